//! Every key of the map configuration and of the daemon's own file has a line
//! in `tests/keys.tsv` and `tests/daemon_keys.tsv`, with a test that is there.
//!
//! Columns: the key as the tables name it; the test that shows its effect, or
//! `missing` (draws the warning) or `idle` (has no effect in MapProxy either).
//! That the tests of `suite::keys` have a row for each of their keys is
//! checked there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::daemon::DAEMON_FILE;
use super::schema::{Kind, Status, all_keys};
use super::tables;

const KEYS: &str = include_str!("../../tests/keys.tsv");
const DAEMON_KEYS: &str = include_str!("../../tests/daemon_keys.tsv");

/// Key and test of each line.
fn rows(list: &'static str) -> Vec<(&'static str, &'static str)> {
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once('\t').unwrap_or((line, ""))).collect()
}

/// What is wrong with a list of all keys that the tables reach from `root`.
fn faults(list: &'static str, name: &str, root: &'static Kind) -> Vec<String> {
    let listed: BTreeMap<&str, &str> = rows(list).into_iter().collect();
    let known = all_keys(root);
    let mut wrong = Vec::new();
    for (key, status) in &known {
        let test = listed.get(key.as_str()).copied().unwrap_or_default();
        let fits = match status {
            Status::Missing => test == "missing",
            Status::Idle(_) => test == "idle",
            Status::Works => test.contains("::"),
        };
        if !fits {
            wrong.push(format!("{key}: {status:?}, but {name} says {test:?}"));
        }
    }
    for key in listed.keys().filter(|key| !known.iter().any(|(known, _)| known == *key)) {
        wrong.push(format!("{key}: in {name}, but not a key"));
    }
    wrong
}

#[test]
fn the_lists_hold_every_key_and_no_other() {
    let mut wrong = faults(KEYS, "tests/keys.tsv", &tables::ROOT);
    wrong.extend(faults(DAEMON_KEYS, "tests/daemon_keys.tsv", &DAEMON_FILE));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files in which the test of that path may stand: of its module, or of
/// the one around it where that is written within (`mod tests`).
fn homes(test: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (root, path) = match test.strip_prefix("suite::") {
        Some(path) => (root.join("tests/suite"), path),
        None => (root.join("src"), test),
    };
    let modules: Vec<&str> = path.split("::").collect();
    let modules = &modules[..modules.len() - 1];
    let mut homes = Vec::new();
    for upto in [modules.len(), modules.len().saturating_sub(1)] {
        let file = root.join(modules[..upto].join("/"));
        homes.extend([file.with_extension("rs"), file.join("mod.rs")]);
    }
    homes
}

#[test]
fn the_tests_that_are_named_exist() {
    let mut absent = Vec::new();
    for (key, test) in rows(KEYS).into_iter().chain(rows(DAEMON_KEYS)) {
        let Some((_, function)) = test.rsplit_once("::") else { continue };
        let is_there = homes(test).iter().any(|home| {
            let text = std::fs::read_to_string(home).unwrap_or_default();
            let Some((before, _)) = text.split_once(&format!("fn {function}(")) else { return false };
            before
                .lines()
                .rev()
                .take_while(|line| !line.is_empty() && *line != "}")
                .any(|line| line == "#[test]" || line == "    #[test]")
        });
        if !is_there {
            absent.push(format!("{key}: there is no test {test}"));
        }
    }
    assert!(absent.is_empty(), "{}", absent.join("\n"));
}
