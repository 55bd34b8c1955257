//! Every key of the map configuration has a line in `tests/keys.tsv`, and every
//! key that is said to work changes what a configuration comes to.
//!
//! Columns: the key as the tables name it; the test that shows its effect, or
//! `missing` (draws the warning) or `idle` (has no effect in MapProxy either);
//! where [`a_key_changes_the_configuration`] puts it in its sample; the value.

use std::collections::BTreeMap;
use std::path::Path;

use super::load::load_with;
use super::node::{Entry, KeyKind, Node, Value, parse};
use super::schema::{Status, all_keys};
use super::{FileSet, tables};

const KEYS: &str = include_str!("../../tests/keys.tsv");
const HERE: &str = "conf::keys::a_key_changes_the_configuration";

const SAMPLE: &str = include_str!("keys/sample.yaml");

struct Row<'a> {
    key: &'a str,
    test: &'a str,
    place: &'a str,
    value: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let lines = KEYS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let row = |line: &'static str| {
        let mut columns = line.split('\t').map(str::trim);
        let mut next = || columns.next().unwrap_or_default();
        Row { key: next(), test: next(), place: next(), value: next() }
    };
    lines.map(row).collect()
}

#[test]
fn the_list_holds_every_key_and_no_other() {
    let listed: BTreeMap<&str, Row<'_>> = rows().into_iter().map(|row| (row.key, row)).collect();
    let known = all_keys(&tables::ROOT);
    let mut wrong = Vec::new();
    for (key, status) in &known {
        let test = listed.get(key.as_str()).map_or("", |row| row.test);
        let fits = match status {
            Status::Missing => test == "missing",
            Status::Idle(_) => test == "idle",
            Status::Works => !test.is_empty() && test != "missing" && test != "idle",
        };
        if !fits {
            wrong.push(format!("{key}: {status:?}, but tests/keys.tsv says {test:?}"));
        }
    }
    for key in listed.keys().filter(|key| !known.iter().any(|(known, _)| known == *key)) {
        wrong.push(format!("{key}: in tests/keys.tsv, but not a key"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All Rust text below a directory of the sources.
fn sources_below(directory: &Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_tests_that_are_named_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources_below(&root.join("src"), &mut text);
    sources_below(&root.join("tests"), &mut text);
    let tests: std::collections::BTreeSet<&str> =
        rows().iter().map(|row| row.test).filter(|test| !["missing", "idle"].contains(test)).collect();
    for test in tests {
        let function = test.rsplit("::").next().unwrap_or_default();
        assert!(text.contains(&format!("fn {function}(")), "there is no test {test}");
    }
}

fn put(node: &mut Node, place: &[&str], value: Node) {
    let [first, rest @ ..] = place else {
        *node = value;
        return;
    };
    if let Ok(at) = first.parse::<usize>()
        && let Value::List(items) = &mut node.value
    {
        return put(&mut items[at], rest, value);
    }
    if !matches!(node.value, Value::Map(_)) {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else { return };
    let at = entries.iter().position(|entry| &*entry.key == *first).unwrap_or_else(|| {
        let entry = Entry {
            key: (*first).into(),
            kind: KeyKind::Text,
            place: node.place,
            value: Node::null(node.place),
        };
        entries.push(entry);
        entries.len() - 1
    });
    put(&mut entries[at].value, rest, value);
}

/// The tree as flow YAML: places are lost, which only findings have.
fn written(node: &Node) -> String {
    match &node.value {
        Value::List(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let key = |entry: &Entry| match entry.kind {
                KeyKind::Int => entry.key.to_string(),
                _ => format!("'{}'", entry.key),
            };
            let pairs = entries.iter().map(|entry| format!("{}: {}", key(entry), written(&entry.value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Null => "~".to_owned(),
        _ => node.printed().unwrap_or_default(),
    }
}

/// What a configuration comes to, as text; findings that are errors fail.
fn outcome(text: &str) -> String {
    let path = Path::new("/map/mapproxy.yaml");
    let mut files = FileSet::holding(path, text.as_bytes());
    for (name, content) in [
        ("/map/area.wkt", "POLYGON((5 50, 10 50, 10 55, 5 50))"),
        ("/map/style.sld", "<sld/>"),
        ("/map/info.xsl", "<xsl/>"),
        ("/map/ca.pem", "certificates"),
        ("/map/base.yaml", "globals: {tiles: {expires_hours: 1}}"),
    ] {
        files.hold(Path::new(name), content.as_bytes());
    }
    let loaded = load_with(path, &mut files, &|_| None);
    match loaded.conf {
        Some(conf) => format!("{conf:#?}"),
        None => panic!("{:#?}\n{text}", loaded.findings),
    }
}

#[test]
fn a_key_changes_the_configuration() {
    let (sample, _) = parse(SAMPLE.as_bytes(), 0).unwrap();
    let before = outcome(&written(&sample));
    for row in rows().into_iter().filter(|row| row.test == HERE) {
        assert!(!row.place.is_empty(), "{} names no place to put it", row.key);
        let (value, _) = parse(row.value.as_bytes(), 0).unwrap();
        let mut changed = sample.clone();
        put(&mut changed, &row.place.split('/').collect::<Vec<_>>(), value);
        assert_ne!(outcome(&written(&changed)), before, "{} = {} changes nothing", row.key, row.value);
    }
}
