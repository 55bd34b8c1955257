//! Whole configurations in, resolved values and findings out.

use std::path::Path;

use crate::conf::load::load_with;
use crate::conf::{FileSet, load_embedded};

#[test]
fn the_embedded_map_has_no_fault() {
    let loaded = load_embedded();
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
    assert!(loaded.conf.is_some());
}

#[test]
fn tmp_parity() {
    let Ok(list) = std::env::var("TMP_PARITY") else { return };
    for path in std::fs::read_to_string(list).unwrap().lines() {
        let loaded = load_with(Path::new(path), &mut FileSet::reading(), &|_| None);
        println!("== {} {path}", if loaded.conf.is_some() { "loads" } else { "refused" });
        for finding in &loaded.findings {
            println!("   {finding}");
        }
    }
}
