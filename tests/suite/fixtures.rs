//! The configurations of MapProxy's own package: `rhumb check` and MapProxy's
//! load stage come to the same verdict.

use std::path::Path;
use std::process::Command;

use crate::harness::peers::peer;

/// Files where the verdicts differ, and why that is right.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "cache_coverage.yaml",
        "names coverage files that are not there: MapProxy sees it when it builds, rhumb at the check",
    ),
    ("sld.yaml", "names an SLD file that is not there: MapProxy sees it when it builds, rhumb at the check"),
    ("xslt_featureinfo.yaml", "names stylesheets that are not there: the same"),
    ("xslt_featureinfo_input.yaml", "names a stylesheet that is not there: the same"),
];

/// MapProxy's package brings at least so many.
const FIXTURES_MIN: usize = 63;

#[test]
fn mapproxy_and_rhumb_load_the_same_configurations() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures.py");
    let oracle = Command::new(peer("venv/bin/python")).arg(script).output().expect("the oracle runs");
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    let verdicts = String::from_utf8(oracle.stdout).expect("the oracle prints text");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in verdicts.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [load, _, path, reason] = columns[..] else { panic!("unexpected line {line:?}") };
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let check =
            Command::new(env!("CARGO_BIN_EXE_rhumb")).arg("check").arg(path).output().expect("rhumb runs");
        let ours = match check.status.code() {
            Some(0) => "loads",
            Some(2) => "refused",
            code => panic!("rhumb check {path} ended with {code:?}"),
        };
        count += 1;
        let known = DIFFERENT.iter().any(|(different, _)| *different == name);
        if (ours == load) == known {
            let findings = String::from_utf8_lossy(&check.stdout);
            wrong.push(format!("{path}\n  rhumb: {ours}\n{findings}  MapProxy: {load} {reason}"));
        }
    }
    assert!(count >= FIXTURES_MIN, "only {count} configurations");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
