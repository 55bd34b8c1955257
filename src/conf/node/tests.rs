//! Trees as PyYAML builds them, limits, and that nothing panics.

use super::*;
use proptest::prelude::*;

fn tree(text: &str) -> Node {
    parse(text.as_bytes(), 0).unwrap_or_else(|error| panic!("{text:?}: {error}")).0
}

/// Compact form for comparing: `{a: 1, b: [x, ~]}`.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "~".to_owned(),
        Value::Text(text) => format!("{text:?}"),
        Value::Time(text) => format!("@{text}"),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let pairs: Vec<_> =
                entries.iter().map(|entry| format!("{}: {}", entry.key, show(&entry.value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => node.printed().unwrap(),
    }
}

#[test]
fn trees_as_pyyaml_builds_them() {
    for (text, expected) in [
        ("", "~"),
        ("a: 1\nb: [x, 'y', \"z\", 1.5, yes]", r#"{a: 1, b: ["x", "y", "z", 1.5, True]}"#),
        ("a: '0755'\nb: 0755\nc: !!str 12\nd: ! '12'", r#"{a: "0755", b: 493, c: "12", d: 12}"#),
        ("phone: 0123456789", r#"{phone: "0123456789"}"#),
        ("on: 1\n500: x\n~: y", r#"{True: 1, 500: "x", None: "y"}"#),
        ("a: &x {p: 1}\nb: *x", "{a: {p: 1}, b: {p: 1}}"),
        ("a: &x 1\nb: &x 2\nc: *x", "{a: 1, b: 2, c: 2}"),
        ("base: &b {p: 1, q: 2}\nm: {<<: *b, q: 3, r: 4}", "{base: {p: 1, q: 2}, m: {p: 1, q: 3, r: 4}}"),
        (
            "a: &a {p: 1, q: 1}\nb: &b {q: 2, r: 2}\nm: {<<: [*a, *b]}",
            "{a: {p: 1, q: 1}, b: {q: 2, r: 2}, m: {q: 1, r: 2, p: 1}}",
        ),
        ("a: &a {p: 1}\nb: &b {<<: *a, q: 2}\nc: {<<: *b}", "{a: {p: 1}, b: {p: 1, q: 2}, c: {p: 1, q: 2}}"),
        ("a: &a {p: 1}\nb: &b {p: 2}\nm: {<<: *a, <<: *b}", "{a: {p: 1}, b: {p: 2}, m: {p: 2}}"),
        ("m: {'<<': 1}", "{m: {<<: 1}}"),
        ("a: 1\nb: 2\na: 3", "{a: 3, b: 2}"),
        ("a:\t1", "{a: 1}"),
        ("a: [1,\n2\n]\nb: {c: 1\n}", "{a: [1, 2], b: {c: 1}}"),
        ("\u{feff}a: 1", "{a: 1}"),
        ("a: |\n  x\n  y\nb: >\n  x\n  y\n", r#"{a: "x\ny\n", b: "x y\n"}"#),
        ("d: 2010-12-08", "{d: @2010-12-08}"),
        ("=: 1", "{=: 1}"),
        ("--- \na: 1\n...\n", "{a: 1}"),
    ] {
        assert_eq!(show(&tree(text)), expected, "{text:?}");
    }
}

#[test]
fn duplicates_are_noted_but_overrides_are_not() {
    let (_, remarks) = parse(b"a: 1\nb: &b {c: 1}\na: 2\nd: {<<: *b, c: 2}\n", 0).unwrap();
    let noted: Vec<_> = remarks
        .duplicates
        .iter()
        .map(|(key, first, second)| (key.as_str(), first.line, second.line))
        .collect();
    assert_eq!(noted, [("a", 1, 3)]);
    let (_, remarks) = parse(b"500: a\n'500': b\n", 0).unwrap();
    assert!(remarks.duplicates.is_empty());
}

#[test]
fn what_is_refused() {
    for (text, line, part) in [
        ("a: !foo 1", 1, "tag `!foo`"),
        ("a: !!binary aGk=", 1, "tag `!!binary`"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: *nowhere", 1, "`*nowhere` refers to no anchor"),
        ("a: &a [*a]", 1, "within what it refers to"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: {<<: 1}", 1, "`<<` merges a mapping"),
        ("a: {<<: [1]}", 1, "`<<` merges a mapping"),
        ("[a]: 1", 1, "key must be text"),
        ("a: =", 1, "in quotes"),
        ("a: 2010-13-01", 1, "no date"),
        ("a: !!int x", 1, "`!!int`"),
    ] {
        let error = parse(text.as_bytes(), 0).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.text.contains(part), "{error}");
    }
}

#[test]
fn depth_and_expansion_are_bounded() {
    let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 2), "]".repeat(DEPTH_MAX + 2));
    assert!(parse(deep.as_bytes(), 0).unwrap_err().text.contains("deeper than"));
    let fits = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    assert!(parse(fits.as_bytes(), 0).is_ok());

    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (inner, outer) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        let items = vec![format!("*{inner}"); 9].join(", ");
        laughs.push_str(&format!("{outer}: &{outer} [{items}]\n"));
    }
    assert!(parse(laughs.as_bytes(), 0).unwrap_err().text.contains("aliases spelled out"));

    let mut wide = format!("a: &a {}\nb: [", "x".repeat(1 << 20));
    wide.push_str(&vec!["*a"; 100].join(", "));
    wide.push(']');
    assert!(parse(wide.as_bytes(), 0).unwrap_err().text.contains("aliases spelled out"));
}

#[test]
fn places_are_kept() {
    let root = tree("a:\n  b: [1,\n      two]\n");
    let list = root.get("a").and_then(|a| a.get("b")).unwrap();
    assert_eq!((list.place.line, list.place.column), (2, 6));
    let second = &list.items()[1];
    assert_eq!((second.place.line, second.place.column), (3, 7));
    assert_eq!(root.entry("a").unwrap().value.entry("b").unwrap().place.column, 3);
}

proptest! {
    #[test]
    fn any_text_gives_a_tree_or_an_error(text in "[-a:&*!<{}\\[\\], \n\t'\"|>#%0-9]{0,80}") {
        let _ = parse(text.as_bytes(), 0);
    }

    #[test]
    fn any_bytes_give_a_tree_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = parse(&bytes, 0);
    }
}
