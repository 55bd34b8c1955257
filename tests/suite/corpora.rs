//! What fuzzing starts from and what it has found: every input of the corpora
//! and of the findings goes through its target again.

use std::path::Path;

#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn every_input_of_the_fuzzer_keeps_its_promises() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    for (name, target) in targets::TARGETS {
        let mut count = 0;
        for kind in ["corpus", "regressions"] {
            let Ok(directory) = std::fs::read_dir(root.join(kind).join(name)) else { continue };
            for entry in directory.flatten() {
                let input = std::fs::read(entry.path()).expect("an input");
                // Names the input if it panics.
                eprintln!("{}", entry.path().display());
                target(&input);
                count += 1;
            }
        }
        assert!(count > 0, "{name} has no corpus");
    }
}
