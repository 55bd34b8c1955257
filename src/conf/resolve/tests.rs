//! Whole configurations in, resolved values and findings out.

use crate::conf::load_embedded;

#[test]
fn the_embedded_map_has_no_fault() {
    let loaded = load_embedded();
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
    assert!(loaded.conf.is_some());
}
