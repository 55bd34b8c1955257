//! What happens to a document before it is checked: `$ENV`, `base:` merging
//! (mapproxy-features.md §1.1) and old spellings (§1.2).

use std::collections::HashSet;
use std::sync::Arc;

use super::finding::Findings;
use super::node::{Entry, KeyKind, Node, Value};

/// Lists under these keys replace those of a base file; others are joined.
const REPLACED_LISTS: [&str; 6] = ["bbox", "tile_size", "max_output_pixels", "sources", "grids", "res"];

/// `own` laid over `base`, which lends what `own` does not say.
pub fn merge(own: Node, mut base: Node, findings: &mut Findings) -> Node {
    let base_place = base.place;
    if let (Value::Map(own_entries), Value::Map(base_entries)) = (own.value, &mut base.value) {
        merge_maps(own_entries, base_entries, "", findings);
    }
    base.place = if own.place.line > 0 { own.place } else { base_place };
    base
}

fn merge_maps(own: Vec<Entry>, base: &mut Vec<Entry>, path: &str, findings: &mut Findings) {
    let index: std::collections::HashMap<(Arc<str>, KeyKind), usize> =
        base.iter().enumerate().map(|(at, entry)| ((entry.key.clone(), entry.kind), at)).collect();
    let mut removed = HashSet::new();
    for entry in own {
        let Some(&at) = index.get(&(entry.key.clone(), entry.kind)) else {
            base.push(entry);
            continue;
        };
        let path = if path.is_empty() { entry.key.to_string() } else { format!("{path}.{}", entry.key) };
        if merge_entry(entry, &mut base[at], &path, findings) == Merged::Removed {
            removed.insert(at);
        }
    }
    let mut at = 0;
    base.retain(|_| {
        at += 1;
        !removed.contains(&(at - 1))
    });
}

#[derive(PartialEq)]
enum Merged {
    Kept,
    Removed,
}

fn merge_entry(own: Entry, base: &mut Entry, path: &str, findings: &mut Findings) -> Merged {
    let place = own.value.place;
    match (own.value.value, &mut base.value.value) {
        // Null never replaces a mapping or a list.
        (Value::Null, Value::Map(_) | Value::List(_)) => {}
        (Value::Map(own_entries), Value::Map(base_entries)) => {
            merge_maps(own_entries, base_entries, path, findings);
            base.value.place = place;
            base.place = own.place;
        }
        (Value::List(own_items), Value::List(base_items)) => {
            let key = &*own.key;
            if REPLACED_LISTS.contains(&key) {
                *base_items = own_items;
            } else if key == "layers" {
                merge_layers(own_items, base_items, path, findings);
            } else if own_items.is_empty() {
                return Merged::Removed;
            } else {
                base_items.extend(own_items);
            }
            base.value.place = place;
            base.place = own.place;
        }
        (value, Value::Map(_)) => {
            let found = Node { value, place }.described();
            findings.error(
                place,
                path,
                format!("the base file has a mapping here, which {found} cannot replace"),
            );
        }
        // `bbox: "1,2,3,4"` may replace a list.
        (value, Value::List(_)) if !REPLACED_LISTS.contains(&&*own.key) => {
            let found = Node { value, place }.described();
            findings.error(
                place,
                path,
                format!("the base file has a list here, which {found} cannot replace"),
            );
        }
        (value, _) => {
            base.value = Node { value, place };
            base.place = own.place;
        }
    }
    Merged::Kept
}

fn name_of(layer: &Node) -> Option<Arc<str>> {
    layer.get("name").and_then(Node::printed).map(Arc::from)
}

/// Layers are merged by name: the base's order, new ones behind.
fn merge_layers(own: Vec<Node>, base: &mut Vec<Node>, path: &str, findings: &mut Findings) {
    let mut own: Vec<Option<Node>> = own.into_iter().map(Some).collect();
    for layer in base.iter_mut() {
        let Some(name) = name_of(layer) else { continue };
        let same = own.iter_mut().find(|node| node.as_ref().and_then(name_of).as_ref() == Some(&name));
        if let Some(over) = same.and_then(Option::take)
            && let (Value::Map(over), Value::Map(entries)) = (over.value, &mut layer.value)
        {
            merge_maps(over, entries, path, findings);
        }
    }
    base.extend(own.into_iter().flatten());
}

/// Replaces `$NAME` and `${NAME}` in every text; names that are not set stay as
/// they are, with one warning each.
pub fn expand_environment(
    root: &mut Node,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut HashSet<String>,
    findings: &mut Findings,
) {
    match &mut root.value {
        Value::Text(text) if text.contains('$') => {
            let place = root.place;
            let expanded = expand(text, lookup, |name| {
                if unset.insert(name.to_owned()) {
                    let text = format!("the environment variable {name} is not set; the text stays as it is");
                    findings.warn(place, "", text);
                }
            });
            *text = Arc::from(expanded);
        }
        Value::List(items) => {
            for item in items {
                expand_environment(item, lookup, unset, findings);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                expand_environment(&mut entry.value, lookup, unset, findings);
            }
        }
        _ => {}
    }
}

fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>, mut note_unset: impl FnMut(&str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let word = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
        let (name, used) = if word > 0 {
            (&after[..word], word)
        } else {
            match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some((name, _)) if !name.is_empty() => (name, name.len() + 2),
                _ => {
                    out.push('$');
                    rest = after;
                    continue;
                }
            }
        };
        match lookup(name) {
            Some(value) => out.push_str(&value),
            None => {
                note_unset(name);
                out.push('$');
                out.push_str(&after[..used]);
            }
        }
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

/// Rewrites spellings of old versions, each with a warning.
pub fn modernise(root: &mut Node, findings: &mut Findings) {
    let Value::Map(sections) = &mut root.value else { return };
    for section in sections {
        match &*section.key {
            "layers" => modernise_layers(&mut section.value, findings),
            "caches" => modernise_caches(&mut section.value, findings),
            _ => {}
        }
    }
}

const LAYERS_OLD: &str =
    "layers as a mapping are deprecated; write a list of layers, each with `name` and `title`";

fn modernise_layers(layers: &mut Node, findings: &mut Findings) {
    let place = layers.place;
    match &mut layers.value {
        Value::Map(entries) => {
            findings.warn(place, "layers", LAYERS_OLD);
            let items = std::mem::take(entries).into_iter().map(named_layer).collect();
            layers.value = Value::List(items);
        }
        Value::List(items) => {
            let is_old = items.first().is_some_and(|item| match item.entries() {
                [only] => matches!(only.value.value, Value::Map(_)),
                _ => false,
            });
            if is_old {
                findings.warn(place, "layers", LAYERS_OLD);
                let entries = std::mem::take(items).into_iter().flat_map(|item| match item.value {
                    Value::Map(entries) => entries,
                    _ => Vec::new(),
                });
                *items = entries.map(named_layer).collect();
            }
        }
        _ => {}
    }
}

fn named_layer(entry: Entry) -> Node {
    let mut layer = entry.value;
    if let Value::Map(entries) = &mut layer.value {
        entries.retain(|known| &*known.key != "name");
        let name = Node { value: Value::Text(entry.key), place: entry.place };
        entries.insert(0, Entry { key: "name".into(), kind: KeyKind::Text, place: entry.place, value: name });
    }
    layer
}

fn modernise_caches(caches: &mut Node, findings: &mut Findings) {
    let place = caches.place;
    let Value::List(items) = &mut caches.value else { return };
    if !items.iter().all(|item| matches!(item.value, Value::Map(_))) {
        return;
    }
    findings.warn(place, "caches", "caches as a list are deprecated; write a mapping from name to cache");
    let mut joined: Vec<Entry> = Vec::new();
    for item in std::mem::take(items) {
        if let Value::Map(entries) = item.value {
            for entry in entries {
                match joined.iter_mut().find(|known| known.key == entry.key) {
                    Some(known) => *known = entry,
                    None => joined.push(entry),
                }
            }
        }
    }
    caches.value = Value::Map(joined);
}

#[cfg(test)]
mod tests {
    use super::super::node::parse;
    use super::*;

    fn tree(text: &str) -> Node {
        parse(text.as_bytes(), 0).unwrap().0
    }

    /// Values without places, as JSON-like text.
    fn show(node: &Node) -> String {
        match &node.value {
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let pairs = entries.iter().map(|entry| format!("{}:{}", entry.key, show(&entry.value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
            }
            _ => node.printed().unwrap(),
        }
    }

    #[test]
    fn base_merging() {
        for (own, base, expected) in [
            ("a: 1", "a: 2\nb: 3", "{a:1 b:3}"),
            ("a: {x: 1}", "a: {x: 0, y: 2}", "{a:{x:1 y:2}}"),
            ("a:", "a: {x: 0}", "{a:{x:0}}"),
            ("a:", "a: [1]", "{a:[1]}"),
            ("a:", "a: 1", "{a:None}"),
            ("bbox: [5]", "bbox: [1, 2]", "{bbox:[5]}"),
            ("bbox: '1,2'", "bbox: [1, 2]", "{bbox:1,2}"),
            ("m: {sources: [b]}", "m: {sources: [a]}", "{m:{sources:[b]}}"),
            ("m: {srs: [b]}", "m: {srs: [a]}", "{m:{srs:[a b]}}"),
            ("m: {srs: []}", "m: {srs: [a], x: 1}", "{m:{x:1}}"),
            (
                "layers: [{name: b, title: B2}, {name: c, title: C}]",
                "layers: [{name: a, title: A}, {name: b, title: B, sources: [s]}]",
                "{layers:[{name:a title:A} {name:b title:B2 sources:[s]} {name:c title:C}]}",
            ),
            (
                "layers: [{name: g, layers: [{name: x, title: X2}]}]",
                "layers: [{name: g, layers: [{name: x, title: X}, {name: y}]}]",
                "{layers:[{name:g layers:[{name:x title:X2} {name:y}]}]}",
            ),
        ] {
            let mut findings = Findings::default();
            let merged = merge(tree(own), tree(base), &mut findings);
            assert_eq!(show(&merged), expected, "{own} over {base}");
            assert!(!findings.has_errors());
        }
    }

    #[test]
    fn what_cannot_be_merged_is_an_error() {
        for (own, base) in [("a: 1", "a: {x: 1}"), ("a: 1", "a: [1]"), ("a: {x: 1}", "a: [1]")] {
            let mut findings = Findings::default();
            merge(tree(own), tree(base), &mut findings);
            assert!(findings.has_errors(), "{own} over {base}");
        }
    }

    #[test]
    fn environment() {
        let lookup = |name: &str| match name {
            "HOST" => Some("example.org".to_owned()),
            "A_1" => Some("$HOST".to_owned()),
            _ => None,
        };
        for (text, expected, unset) in [
            ("http://$HOST/x", "http://example.org/x", 0),
            ("${HOST}x", "example.orgx", 0),
            ("$A_1/", "$HOST/", 0),
            ("$NOPE ${NOPE}", "$NOPE ${NOPE}", 2),
            ("100$ $", "100$ $", 0),
            ("${} ${HOST", "${} ${HOST", 0),
            ("$$HOST", "$example.org", 0),
            ("%(x)s", "%(x)s", 0),
        ] {
            let mut missing = 0;
            assert_eq!(expand(text, &lookup, |_| missing += 1), expected);
            assert_eq!(missing, unset, "{text}");
        }
    }

    #[test]
    fn old_spellings() {
        for (text, expected) in [
            ("layers: {a: {title: A}, b: {title: B}}", "{layers:[{name:a title:A} {name:b title:B}]}"),
            ("layers: [{a: {title: A}}, {b: {title: B}}]", "{layers:[{name:a title:A} {name:b title:B}]}"),
            ("layers: [{name: a, title: A}]", "{layers:[{name:a title:A}]}"),
            ("caches: [{a: {x: 1}}, {b: {x: 2}}]", "{caches:{a:{x:1} b:{x:2}}}"),
        ] {
            let mut node = tree(text);
            modernise(&mut node, &mut Findings::default());
            assert_eq!(show(&node), expected, "{text}");
        }
    }
}
