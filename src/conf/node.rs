//! A YAML document as a tree of plain values in which every node knows its
//! place. Anchors, aliases, merge keys and duplicate keys are dealt with here;
//! depth and size are bounded, so that a hostile file costs an error, not memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::scalar::{Scalar, resolve};
use super::yaml::{Event, Events, Mark, SyntaxError};

/// Lists and mappings within each other.
pub const DEPTH_MAX: usize = 128;
/// Nodes of one document, each alias counted with all it stands for.
pub const NODES_MAX: usize = 1_000_000;
/// Bytes of text in one document, aliases spelled out.
pub const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where a node was written: index into the loader's list of files, line and
/// column from 1. Line 0: nowhere (made by the loader itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Place {
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A date or a point in time, as written.
    Time(Arc<str>),
    Text(Arc<str>),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value. Keys of a map differ from each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as text; a number as it is written in canonical form.
    pub key: Arc<str>,
    pub kind: KeyKind,
    pub place: Place,
    pub value: Node,
}

/// What the key would be to Python: `500` and `'500'` are two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    Text,
    Int,
    Other,
}

impl Node {
    /// The tree as flow YAML; places and comments are lost.
    pub fn flow(&self) -> String {
        match &self.value {
            Value::List(items) => {
                format!("[{}]", items.iter().map(Node::flow).collect::<Vec<_>>().join(", "))
            }
            Value::Map(entries) => {
                let pair = |entry: &Entry| match entry.kind {
                    KeyKind::Text => format!("'{}': {}", entry.key.replace('\'', "''"), entry.value.flow()),
                    _ => format!("{}: {}", entry.key, entry.value.flow()),
                };
                format!("{{{}}}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
            }
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Value::Null => "~".to_owned(),
            _ => self.printed().unwrap_or_default(),
        }
    }

    pub fn null(place: Place) -> Node {
        Node { value: Value::Null, place }
    }
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
    /// The entries of a mapping; of anything else none.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
    /// The items of a list; of anything else none.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }
    /// The entry under a textual key, null or not.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.kind == KeyKind::Text && &*entry.key == key)
    }
    /// The value under a textual key, if it is there and not null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            _ => None,
        }
    }
    pub fn int(&self) -> Option<i64> {
        match self.value {
            Value::Int(value) => Some(value),
            _ => None,
        }
    }
    pub fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }
    /// A scalar as Python would print it; `None` for lists and mappings.
    pub fn printed(&self) -> Option<String> {
        Some(match &self.value {
            Value::Null => "None".to_owned(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => print_float(*value),
            Value::Time(text) | Value::Text(text) => text.to_string(),
            Value::List(_) | Value::Map(_) => return None,
        })
    }
    /// The value in an error message: its kind, and itself when it is short.
    pub fn described(&self) -> String {
        let short = |text: &str| {
            let cut: String = text.chars().take(40).collect();
            if cut.len() < text.len() { format!("{cut}…") } else { cut }
        };
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("the truth value {value}"),
            Value::Int(_) | Value::Float(_) => format!("the number {}", self.printed().unwrap_or_default()),
            Value::Time(text) => format!("the date {text}"),
            Value::Text(text) => format!("the text \"{}\"", short(text)),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(entries) if entries.len() == 1 => {
                format!("a mapping with the key `{}`", short(&entries[0].key))
            }
            Value::Map(entries) => format!("a mapping of {} keys", entries.len()),
        }
    }
}

/// A float with a point, as Python prints it.
pub fn print_float(value: f64) -> String {
    if value.is_finite() && value == value.trunc() && value.abs() < 1e16 {
        format!("{value:.1}")
    } else {
        format!("{value}")
    }
}

/// What reading one document brought beside the tree.
#[derive(Debug, Default)]
pub struct Remarks {
    /// Keys that are written twice in one mapping: key, first place, second place.
    pub duplicates: Vec<(String, Place, Place)>,
}

/// What an alias stands for in nodes and bytes of text.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

struct Builder<'a> {
    events: Events<'a>,
    file: u32,
    anchors: HashMap<String, (Node, Weight)>,
    /// Anchors of the lists and mappings that are still open.
    open: Vec<String>,
    total: Weight,
    remarks: Remarks,
}

/// Reads the one document in `text`; `file` goes into every [`Place`].
/// An empty document is null.
pub fn parse(text: &[u8], file: u32) -> Result<(Node, Remarks), SyntaxError> {
    let mut builder = Builder {
        events: Events::new(text)?,
        file,
        anchors: HashMap::new(),
        open: Vec::new(),
        total: Weight::default(),
        remarks: Remarks::default(),
    };
    let start = Place { file, line: 1, column: 1 };
    let mut root = None;
    loop {
        let (event, mark) = builder.events.next_event()?;
        match event {
            Event::StreamStart | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            Event::DocumentStart if root.is_some() => {
                return Err(fault(mark, "a second document begins here; a configuration is one document"));
            }
            Event::DocumentStart => {
                let (event, mark) = builder.events.next_event()?;
                root = Some(builder.node(event, mark, 0)?);
            }
            _ => return Err(fault(mark, "unexpected content after the document")),
        }
    }
    Ok((root.unwrap_or_else(|| Node::null(start)), builder.remarks))
}

fn fault(mark: Mark, text: impl Into<String>) -> SyntaxError {
    SyntaxError { line: mark.line, column: mark.column, text: text.into() }
}

impl Builder<'_> {
    fn place(&self, mark: Mark) -> Place {
        Place { file: self.file, line: mark.line, column: mark.column }
    }

    fn count(&mut self, weight: Weight, mark: Mark) -> Result<(), SyntaxError> {
        self.total.nodes += weight.nodes;
        self.total.bytes = self.total.bytes.saturating_add(weight.bytes);
        if self.total.nodes > NODES_MAX || self.total.bytes > TEXT_BYTES_MAX {
            let limits = format!("{NODES_MAX} values or {TEXT_BYTES_MAX} bytes");
            return Err(fault(mark, format!("with all aliases spelled out there are more than {limits}")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event, mark: Mark, depth: usize) -> Result<Node, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(fault(mark, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let before = self.total;
        let (anchor, value) = match event {
            Event::Alias(name) => return self.alias(&name, mark),
            Event::Scalar { anchor, tag, text, plain } => {
                self.count(Weight { nodes: 1, bytes: text.len() }, mark)?;
                (anchor, value_of(scalar(tag.as_deref(), text, plain, mark)?))
            }
            Event::ListStart { anchor, tag } => {
                self.count(Weight { nodes: 1, bytes: 0 }, mark)?;
                check_tag(tag.as_deref(), "seq", mark)?;
                self.open.extend(anchor.clone());
                (anchor, Value::List(self.list(depth)?))
            }
            Event::MapStart { anchor, tag } => {
                self.count(Weight { nodes: 1, bytes: 0 }, mark)?;
                check_tag(tag.as_deref(), "map", mark)?;
                self.open.extend(anchor.clone());
                (anchor, Value::Map(self.map(depth)?))
            }
            _ => return Err(fault(mark, "a value was expected here")),
        };
        let node = Node { value, place: self.place(mark) };
        if let Some(anchor) = anchor {
            if !matches!(node.value, Value::Null | Value::Bool(_) | Value::Text(_)) {
                self.open.retain(|open| *open != anchor);
            }
            let weight =
                Weight { nodes: self.total.nodes - before.nodes, bytes: self.total.bytes - before.bytes };
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        Ok(node)
    }

    fn alias(&mut self, name: &str, mark: Mark) -> Result<Node, SyntaxError> {
        if self.open.iter().any(|open| open == name) {
            return Err(fault(mark, format!("the alias `*{name}` stands within what it refers to")));
        }
        let Some((_, weight)) = self.anchors.get(name) else {
            return Err(fault(mark, format!("the alias `*{name}` refers to no anchor `&{name}` above it")));
        };
        let weight = *weight;
        self.count(weight, mark)?;
        Ok(self.anchors[name].0.clone())
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (event, mark) = self.events.next_event()?;
            if event == Event::ListEnd {
                return Ok(items);
            }
            items.push(self.node(event, mark, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
        let mut merged: Vec<Entry> = Vec::new();
        let mut own: Vec<Entry> = Vec::new();
        loop {
            let (event, mark) = self.events.next_event()?;
            if event == Event::MapEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar { text, plain: true, .. } if text == "<<");
            let key = if is_merge { None } else { Some(self.key(event, mark, depth)?) };
            let place = self.place(mark);
            let (event, mark) = self.events.next_event()?;
            let value = self.node(event, mark, depth + 1)?;
            match key {
                Some((key, kind)) => own.push(Entry { key, kind, place, value }),
                None => merged.extend(merge_entries(value, mark)?),
            }
        }
        self.note_duplicates(&own);
        if merged.is_empty() {
            return Ok(collapse(own));
        }
        // What is merged in comes first and is overruled by the mapping's own keys.
        merged.append(&mut own);
        Ok(collapse(merged))
    }

    fn key(&mut self, event: Event, mark: Mark, depth: usize) -> Result<(Arc<str>, KeyKind), SyntaxError> {
        if let Event::Scalar { anchor: None, tag: None, text, plain: true } = &event
            && text == "="
        {
            return Ok((Arc::from("="), KeyKind::Text));
        }
        let node = self.node(event, mark, depth + 1)?;
        match &node.value {
            Value::Text(text) => Ok((text.clone(), KeyKind::Text)),
            Value::Int(value) => Ok((Arc::from(value.to_string()), KeyKind::Int)),
            Value::List(_) | Value::Map(_) => Err(fault(mark, "a key must be text or a number")),
            _ => Ok((Arc::from(node.printed().unwrap_or_default()), KeyKind::Other)),
        }
    }

    fn note_duplicates(&mut self, own: &[Entry]) {
        let mut seen: HashMap<(&str, KeyKind), Place> = HashMap::with_capacity(own.len());
        for entry in own {
            if let Some(first) = seen.insert((&entry.key, entry.kind), entry.place) {
                self.remarks.duplicates.push((entry.key.to_string(), first, entry.place));
            }
        }
    }
}

/// Of keys that come twice the last value stands in the first one's place in
/// the order, as in a Python dictionary.
fn collapse(entries: Vec<Entry>) -> Vec<Entry> {
    let mut at_key: HashMap<(Arc<str>, KeyKind), usize> = HashMap::with_capacity(entries.len());
    let mut out: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match at_key.get(&(entry.key.clone(), entry.kind)) {
            Some(&at) => out[at] = entry,
            None => {
                at_key.insert((entry.key.clone(), entry.kind), out.len());
                out.push(entry);
            }
        }
    }
    out
}

/// What `<<: value` brings in, weakest first.
fn merge_entries(value: Node, mark: Mark) -> Result<Vec<Entry>, SyntaxError> {
    let wrong = |node: &Node| {
        fault(mark, format!("`<<` merges a mapping or a list of mappings, but here is {}", node.described()))
    };
    match value.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) => {
            let mut merged = Vec::new();
            for item in items.into_iter().rev() {
                match item.value {
                    Value::Map(entries) => merged.extend(entries),
                    _ => return Err(wrong(&item)),
                }
            }
            Ok(merged)
        }
        _ => Err(wrong(&value)),
    }
}

fn value_of(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Int(value) => Value::Int(value),
        Scalar::Float(value) => Value::Float(value),
        Scalar::Time(text) => Value::Time(Arc::from(text)),
        Scalar::Text(text) => Value::Text(Arc::from(text)),
        // As a value `<<` is nothing but text.
        Scalar::Merge => Value::Text(Arc::from("<<")),
    }
}

const TAG: &str = "tag:yaml.org,2002:";

fn check_tag(tag: Option<&str>, kind: &str, mark: Mark) -> Result<(), SyntaxError> {
    match tag {
        None | Some("!") => Ok(()),
        Some(tag) if tag.strip_prefix(TAG) == Some(kind) => Ok(()),
        Some(tag) => Err(unknown_tag(tag, mark)),
    }
}

fn unknown_tag(tag: &str, mark: Mark) -> SyntaxError {
    let shown = tag.strip_prefix(TAG).map_or_else(|| tag.to_owned(), |short| format!("!!{short}"));
    fault(mark, format!("the tag `{shown}` has no meaning in a configuration"))
}

fn scalar(tag: Option<&str>, text: String, plain: bool, mark: Mark) -> Result<Scalar, SyntaxError> {
    // To PyYAML a lone `!` means: resolve it as if it were plain, even in quotes.
    let plain = plain || tag == Some("!");
    let Some(tag) = tag.filter(|&tag| tag != "!") else {
        return if plain {
            resolve(&text).map_err(|reason| fault(mark, reason))
        } else {
            Ok(Scalar::Text(text))
        };
    };
    let kind = tag.strip_prefix(TAG).ok_or_else(|| unknown_tag(tag, mark))?;
    let found = resolve(&text).unwrap_or(Scalar::Null);
    match (kind, found) {
        ("str", _) => Ok(Scalar::Text(text)),
        ("null", _) => Ok(Scalar::Null),
        ("bool", value @ Scalar::Bool(_)) => Ok(value),
        ("int", value @ Scalar::Int(_)) => Ok(value),
        ("float", value @ Scalar::Float(_)) => Ok(value),
        ("float", Scalar::Int(value)) => Ok(Scalar::Float(value as f64)),
        ("timestamp", value @ Scalar::Time(_)) => Ok(value),
        ("bool" | "int" | "float" | "timestamp", _) => {
            Err(fault(mark, format!("\"{text}\" is no value for the tag `!!{kind}`")))
        }
        _ => Err(unknown_tag(tag, mark)),
    }
}

#[cfg(test)]
mod tests;
