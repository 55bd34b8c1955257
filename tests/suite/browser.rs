//! The demo pages in a real browser: what a newcomer sees after the first
//! command. The steps are in `tests/browser/demo.mjs`; its screenshots lie in
//! `target/browser` afterwards, to be looked at.

use std::path::Path;
use std::process::Command;

use crate::harness::TestDir;
use crate::harness::daemon::Setup;
use crate::harness::peers::peer;

#[test]
fn the_demo_shows_maps_that_zoom_and_pan() {
    let dir = TestDir::new("browser");
    let daemon = Setup::embedded(&dir).start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = root.join("target/browser");
    std::fs::create_dir_all(&pictures).expect("a directory for screenshots");
    let output = Command::new("node")
        .arg(root.join("tests/browser/demo.mjs"))
        .arg(format!("http://{}", daemon.address))
        .arg(&pictures)
        .arg(peer("node_modules").parent().expect("it lies in a directory"))
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    daemon.stop();
}
