//! A tree against the tables: unknown keys, wrong types, missing keys, keys
//! whose feature is still missing. Goes through everything; nothing stops it.

use std::collections::BTreeMap;

use super::color;
use super::finding::Findings;
use super::nearest::hint;
use super::node::{Entry, KeyKind, Node, Place, Value};
use super::schema::{Key, Kind, Status, Table, Variant};

/// How a file is held to its tables.
pub struct Checker<'a> {
    pub findings: &'a mut Findings,
    /// Whether an unknown key is an error (the daemon's file) or a warning.
    pub unknown_is_error: bool,
    path: Vec<String>,
    /// Missing features that the file asks for: the key's path in the tables,
    /// the first place and how it is reached there, how many there are.
    missing: BTreeMap<String, (Place, String, usize)>,
}

impl<'a> Checker<'a> {
    pub fn new(findings: &'a mut Findings, unknown_is_error: bool) -> Self {
        Checker { findings, unknown_is_error, path: Vec::new(), missing: BTreeMap::new() }
    }

    /// Checks a whole document.
    pub fn check(mut self, root: &Node, kind: &Kind) {
        self.node(root, kind);
        for (_, (place, path, count)) in std::mem::take(&mut self.missing) {
            let places = match count {
                1 => String::new(),
                2 => " (and in one more place)".to_owned(),
                _ => format!(" (and in {} more places)", count - 1),
            };
            let text = format!("this feature is still missing in rhumb; the setting has no effect{places}");
            self.findings.warn(place, path, text);
        }
    }

    fn dotted(&self) -> String {
        let mut out = String::new();
        for part in &self.path {
            if !out.is_empty() && !part.starts_with('[') {
                out.push('.');
            }
            out.push_str(part);
        }
        out
    }

    fn within(&mut self, part: impl Into<String>, work: impl FnOnce(&mut Self)) {
        self.path.push(part.into());
        work(self);
        self.path.pop();
    }

    fn wrong(&mut self, node: &Node, kind: &Kind) {
        let expected = kind.described();
        let found = node.described();
        let advice = match (&node.value, kind) {
            (Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Time(_), Kind::Text) => {
                "; put it in quotes"
            }
            (Value::Text(text), Kind::Number | Kind::Int) if text.parse::<f64>().is_ok() => {
                "; write it without quotes"
            }
            (Value::Text(text), Kind::Bool) if matches!(text.to_lowercase().as_str(), "true" | "false") => {
                "; write it without quotes"
            }
            (Value::Int(_), Kind::Color) => "; put it in quotes",
            (Value::Text(_) | Value::Int(_), Kind::List(_)) => "; put it in brackets",
            (Value::Map(_), Kind::List(_)) => "; begin each item with `- `",
            _ => "",
        };
        let key = self.dotted();
        self.findings.error(node.place, key, format!("expected {expected}, found {found}{advice}"));
    }

    fn node(&mut self, node: &Node, kind: &Kind) {
        match kind {
            Kind::Any => {}
            Kind::OneOf(kinds) => match kinds.iter().find(|kind| fits(node, kind)) {
                Some(kind) => self.node(node, kind),
                None => self.wrong(node, kind),
            },
            _ if !fits(node, kind) => match (&node.value, kind) {
                (Value::Text(text), Kind::Choice(words)) => {
                    let key = self.dotted();
                    let near = hint(text, words.iter().copied());
                    let text = format!("unknown value \"{text}\"; it can be {}{near}", words.join(", "));
                    self.findings.error(node.place, key, text);
                }
                _ => self.wrong(node, kind),
            },
            Kind::List(inner) => {
                for (at, item) in node.items().iter().enumerate() {
                    self.within(format!("[{at}]"), |checker| checker.node(item, inner));
                }
            }
            Kind::Named(inner) => {
                for entry in node.entries() {
                    self.within(&*entry.key, |checker| checker.node(&entry.value, inner));
                }
            }
            Kind::Map(tables) => self.map(node, tables, false, false),
            Kind::Open(tables) => self.map(node, tables, true, false),
            Kind::Typed(variants) => self.typed(node, variants),
            _ => {}
        }
    }

    fn typed(&mut self, node: &Node, variants: &'static [Variant]) {
        let names = || variants.iter().map(|variant| variant.name);
        let all = names().collect::<Vec<_>>().join(", ");
        let Some(kind) = node.get("type") else {
            let key = self.dotted();
            self.findings.error(
                node.place,
                key,
                format!("the required key `type` is missing; it can be {all}"),
            );
            return;
        };
        let Some(variant) = kind.text().and_then(|name| variants.iter().find(|known| known.name == name))
        else {
            let written = kind.printed().unwrap_or_default();
            let key = format!("{}.type", self.dotted());
            let near = hint(&written, names());
            let text = format!("unknown type \"{written}\"; it can be {all}{near}");
            self.findings.error(kind.place, key, text);
            return;
        };
        if variant.status == Status::Missing {
            let key = format!("{}.type", self.dotted());
            let text = format!(
                "the type `{}` is still missing in rhumb; what uses it cannot be served",
                variant.name
            );
            self.findings.warn(kind.place, key, text);
        }
        self.map(node, variant.tables, false, true);
    }

    fn map(&mut self, node: &Node, tables: &'static [&'static Table], open: bool, typed: bool) {
        for key in tables.iter().flat_map(|table| table.keys) {
            if key.required && node.entry(key.name).is_none() {
                let path = self.dotted();
                let near = hint(key.name, unknown_keys(node, tables));
                let near =
                    if near.is_empty() { near } else { near.replace("did you mean", "is that meant by") };
                let text = format!("the required key `{}` is missing{near}", key.name);
                self.findings.error(node.place, path, text);
            }
        }
        for entry in node.entries() {
            if typed && &*entry.key == "type" {
                continue;
            }
            match find(tables, &entry.key).filter(|_| entry.kind == KeyKind::Text) {
                Some((table, key)) => {
                    self.within(&*entry.key, |checker| {
                        checker.note_status(table, key, entry);
                        checker.node(&entry.value, &key.kind);
                    });
                }
                None if open => {}
                None => self.unknown(entry, tables, node),
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, tables: &'static [&'static Table], node: &Node) {
        let names = tables.iter().flat_map(|table| table.keys).map(|key| key.name);
        let near = hint(&entry.key, names.filter(|name| node.entry(name).is_none()));
        let near = match &*entry.key {
            // MapProxy's documentation names this key wrongly.
            "restful_featureinfo_template" | "restful_fi_template" => {
                "; did you mean `restful_featureinfo_template`?".to_owned()
            }
            _ => near,
        };
        let key = self.dotted();
        let key = if key.is_empty() { entry.key.to_string() } else { format!("{key}.{}", entry.key) };
        if self.unknown_is_error {
            self.findings.error(entry.place, key, format!("unknown key{near}"));
        } else {
            self.findings.warn(entry.place, key, format!("unknown key, ignored{near}"));
        }
    }

    fn note_status(&mut self, table: &Table, key: &Key, entry: &Entry) {
        match key.status {
            Status::Works => {}
            Status::Idle(why) => {
                let path = self.dotted();
                self.findings.warn(entry.place, path, format!("has no effect: {why}"));
            }
            Status::Missing if is_off(&entry.value) => {}
            Status::Missing => {
                let path = self.dotted();
                let id = format!("{}.{}", table.path, key.name);
                self.missing.entry(id).and_modify(|known| known.2 += 1).or_insert((entry.place, path, 1));
            }
        }
    }
}

/// Values that ask for nothing.
fn is_off(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

fn find(tables: &'static [&'static Table], name: &str) -> Option<(&'static Table, &'static Key)> {
    tables.iter().find_map(|table| table.keys.iter().find(|key| key.name == name).map(|key| (*table, key)))
}

fn unknown_keys<'n>(node: &'n Node, tables: &'static [&'static Table]) -> impl Iterator<Item = &'n str> {
    node.entries().iter().map(|entry| &*entry.key).filter(move |name| find(tables, name).is_none())
}

/// Whether the value is of the kind, its contents left aside. A mapping may be
/// left empty (`wms:`), anything else must not.
fn fits(node: &Node, kind: &Kind) -> bool {
    match (kind, &node.value) {
        (Kind::Any, _) => true,
        (Kind::Text, Value::Text(_)) => true,
        (Kind::Bool, Value::Bool(_)) => true,
        (Kind::Number, Value::Int(_) | Value::Float(_)) => true,
        (Kind::Int, Value::Int(_)) => true,
        (Kind::Date, Value::Time(_)) => true,
        (Kind::Choice(words), Value::Text(text)) => words.contains(&&**text),
        (Kind::Color, _) => color::parse(node).is_some(),
        (Kind::Bbox, Value::Text(_)) => true,
        (Kind::Bbox, Value::List(items)) => {
            items.len() == 4 && items.iter().all(|item| item.number().is_some_and(f64::is_finite))
        }
        (Kind::List(_), Value::List(_)) => true,
        (Kind::Map(_) | Kind::Open(_) | Kind::Named(_), Value::Map(_) | Value::Null) => true,
        (Kind::Typed(_), Value::Map(_) | Value::Null) => true,
        (Kind::OneOf(kinds), _) => kinds.iter().any(|kind| fits(node, kind)),
        _ => false,
    }
}
