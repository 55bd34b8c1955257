//! How a section may look, as data: which keys there are, what each may hold,
//! whether it does something yet. One walker checks against it (`check`), and
//! the list of all keys that the tests want comes from it too.

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Any,
    Text,
    Bool,
    /// Whole or not.
    Number,
    Int,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `#rrggbb[aa]`, `0xrrggbb[aa]` or a list of 3–4 numbers.
    Color,
    /// Text `w,s,e,n` or a list of four numbers.
    Bbox,
    Date,
    List(&'static Kind),
    /// A mapping of the tables' keys. Null stands for an empty one.
    Map(&'static [&'static Table]),
    /// The tables' keys and any other beside them.
    Open(&'static [&'static Table]),
    /// Any key, each with such a value.
    Named(&'static Kind),
    /// A mapping whose `type` says which tables hold.
    Typed(&'static [Variant]),
    OneOf(&'static [Kind]),
}

/// Whether a key does what MapProxy's documentation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Works,
    /// Accepted and without effect, in MapProxy too.
    Idle(&'static str),
    /// The feature is still missing here.
    Missing,
}

#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub status: Status,
}

/// Keys that belong together, under the path that names them in
/// `tests/keys.tsv`.
#[derive(Debug)]
pub struct Table {
    pub path: &'static str,
    pub keys: &'static [Key],
}

/// One `type:` of a source or cache.
#[derive(Debug)]
pub struct Variant {
    pub name: &'static str,
    pub tables: &'static [&'static Table],
    pub status: Status,
}

pub const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, required: false, status: Status::Works }
}

pub const fn need(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, required: true, status: Status::Works }
}

/// A key whose feature is still missing.
pub const fn miss(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, required: false, status: Status::Missing }
}

/// A key that is accepted without effect, and why.
pub const fn idle(name: &'static str, kind: Kind, why: &'static str) -> Key {
    Key { name, kind, required: false, status: Status::Idle(why) }
}

impl Kind {
    /// What is right here, in an error message.
    pub fn described(&self) -> String {
        match self {
            Kind::Any => "any value".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Number => "a number".to_owned(),
            Kind::Int => "a whole number".to_owned(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Color => "a colour (\"#rrggbb\", \"#rrggbbaa\" or a list of 3 or 4 numbers)".to_owned(),
            Kind::Bbox => "a bounding box ([west, south, east, north])".to_owned(),
            Kind::Date => "a date".to_owned(),
            Kind::List(kind) => match kind {
                Kind::Text => "a list of texts".to_owned(),
                Kind::Number => "a list of numbers".to_owned(),
                Kind::Int => "a list of whole numbers".to_owned(),
                _ => "a list".to_owned(),
            },
            Kind::Map(_) | Kind::Open(_) | Kind::Named(_) | Kind::Typed(_) => "a mapping".to_owned(),
            Kind::OneOf(kinds) => kinds.iter().map(Kind::described).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// Every key that the tables reach from `root`: path and status, each once,
/// in the tables' order.
#[cfg(test)]
pub fn all_keys(root: &'static Kind) -> Vec<(String, Status)> {
    let mut tables: Vec<(&'static Table, Status)> = Vec::new();
    collect(root, Status::Works, &mut tables);
    let mut keys = Vec::new();
    for (table, outer) in tables {
        for key in table.keys {
            let path = if table.path.is_empty() {
                key.name.to_owned()
            } else {
                format!("{}.{}", table.path, key.name)
            };
            keys.push((path, if outer == Status::Missing { outer } else { key.status }));
        }
    }
    keys
}

#[cfg(test)]
fn collect(kind: &'static Kind, outer: Status, tables: &mut Vec<(&'static Table, Status)>) {
    let mut enter = |table: &'static Table, outer: Status| {
        match tables.iter_mut().find(|(known, _)| std::ptr::eq(*known, table)) {
            // Reached again by a way that works: then its keys do something.
            Some((_, status)) if *status == Status::Missing && outer != Status::Missing => *status = outer,
            Some(_) => return,
            None => tables.push((table, outer)),
        }
        for key in table.keys {
            let inner = if key.status == Status::Missing { key.status } else { outer };
            collect(&key.kind, inner, tables);
        }
    };
    match kind {
        Kind::Map(within) | Kind::Open(within) => within.iter().for_each(|table| enter(table, outer)),
        Kind::Typed(variants) => {
            for variant in *variants {
                let inner = if variant.status == Status::Missing { variant.status } else { outer };
                variant.tables.iter().for_each(|table| enter(table, inner));
            }
        }
        Kind::List(inner) | Kind::Named(inner) => collect(inner, outer, tables),
        Kind::OneOf(kinds) => kinds.iter().for_each(|kind| collect(kind, outer, tables)),
        _ => {}
    }
}
