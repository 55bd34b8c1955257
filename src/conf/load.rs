//! A map file becomes a [`Conf`], or a list of what is wrong with it: read,
//! lay over its bases, check against the tables, resolve.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::check::Checker;
use super::finding::Findings;
use super::merge::{expand_environment, merge, modernise};
use super::node::{self, Node, Place, Value};
use super::{Conf, FileSet, Finding, resolve, tables};
use crate::geo::Coverage;

/// Most files that `base:` may bring together.
const BASE_FILES_MAX: usize = 64;

/// The map of the world as configuration, for starting without any.
const EMBEDDED: &str = include_str!("../../etc/world/mapproxy.yaml");
/// How the embedded map's file is called in findings.
pub const EMBEDDED_NAME: &str = "(embedded)/mapproxy.yaml";

/// What reading a map brought: a configuration if no finding is an error.
#[derive(Debug)]
pub struct Loaded {
    pub conf: Option<Conf>,
    pub findings: Vec<Finding>,
}

/// Reads and checks the map at `path` with everything it refers to.
pub fn load_map(path: &Path, files: &mut FileSet) -> Loaded {
    load_with(path, files, &|name| std::env::var(name).ok())
}

/// [`load_map`] with a given environment.
pub fn load_with(path: &Path, files: &mut FileSet, environment: &dyn Fn(&str) -> Option<String>) -> Loaded {
    let path = absolute(path);
    let mut loader =
        Loader { files, findings: Findings::default(), environment, unset: HashSet::new(), open: Vec::new() };
    let root = loader.read(&path, None);
    loader.finish(root, &path)
}

/// The coverage of that name in the section `coverages` of a file (a seed.yaml).
///
/// # Errors
/// What is wrong with the file or the coverage.
pub fn load_coverage(path: &Path, name: &str, files: &mut FileSet) -> Result<Coverage, Vec<Finding>> {
    let path = absolute(path);
    let mut loader = Loader {
        files,
        findings: Findings::default(),
        environment: &|name| std::env::var(name).ok(),
        unset: HashSet::new(),
        open: Vec::new(),
    };
    let root = loader.read(&path, None);
    let coverage =
        root.and_then(|root| resolve::coverage(&root, name, &path, loader.files, &mut loader.findings));
    coverage.filter(|_| !loader.findings.has_errors()).ok_or_else(|| loader.findings.into_sorted())
}

/// The world map inside the program.
pub fn load_embedded() -> Loaded {
    let mut files = FileSet::holding(Path::new(EMBEDDED_NAME), EMBEDDED.as_bytes());
    load_embedded_from(&mut files)
}

fn load_embedded_from(files: &mut FileSet) -> Loaded {
    let path = Path::new(EMBEDDED_NAME);
    let nothing = |_: &str| None;
    let mut loader = Loader {
        files,
        findings: Findings::default(),
        environment: &nothing,
        unset: HashSet::new(),
        open: Vec::new(),
    };
    let root = loader.read(path, None);
    loader.finish(root, path)
}

struct Loader<'a> {
    files: &'a mut FileSet,
    findings: Findings,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// Variables that were warned of.
    unset: HashSet<String>,
    /// Files that are being read: those that name each other in a circle.
    open: Vec<PathBuf>,
}

impl Loader<'_> {
    fn finish(mut self, root: Option<Node>, path: &Path) -> Loaded {
        let mut conf = None;
        if let Some(mut root) = root {
            modernise(&mut root, &mut self.findings);
            Checker::new(&mut self.findings, false).check(&root, &tables::ROOT);
            conf = Some(resolve::resolve(&root, path, self.files, &mut self.findings));
        }
        let conf = conf.filter(|_| !self.findings.has_errors());
        Loaded { conf, findings: self.findings.into_sorted() }
    }

    /// Reads a file and lays it over its bases. `asked` is where another file
    /// names this one.
    fn read(&mut self, path: &Path, asked: Option<Place>) -> Option<Node> {
        let number = self.findings.files.len();
        if number == BASE_FILES_MAX {
            let text = format!("more than {BASE_FILES_MAX} files are brought together");
            self.findings.error(asked.unwrap_or_default(), "base", text);
            return None;
        }
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let text = format!("cannot read {}: {error}", path.display());
                match asked {
                    Some(place) => self.findings.error(place, "base", text),
                    None => {
                        self.findings.files.push(path.to_owned());
                        self.findings.error(Place::default(), "", format!("cannot read the file: {error}"));
                    }
                }
                return None;
            }
        };
        self.findings.files.push(path.to_owned());
        let file = u32::try_from(number).unwrap_or(u32::MAX);
        let parsed = node::parse(bytes, file);
        let (mut root, remarks) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.findings.error(Place { file, line: error.line, column: error.column }, "", error.text);
                return None;
            }
        };
        for (key, first, second) in remarks.duplicates {
            let text = format!("the key is in line {} already; the last one stands", first.line);
            self.findings.warn(second, key, text);
        }
        if !matches!(root.value, Value::Map(_)) {
            let found = root.described();
            self.findings.error(
                root.place,
                "",
                format!("a configuration is a mapping of sections, but here is {found}"),
            );
            return None;
        }
        expand_environment(&mut root, self.environment, &mut self.unset, &mut self.findings);
        self.with_bases(root, path)
    }

    fn with_bases(&mut self, mut root: Node, path: &Path) -> Option<Node> {
        let Value::Map(entries) = &mut root.value else { return Some(root) };
        let Some(at) = entries.iter().position(|entry| &*entry.key == "base") else { return Some(root) };
        let named = entries.remove(at).value;
        let bases: Vec<(String, Place)> = match &named.value {
            Value::Text(name) => vec![(name.to_string(), named.place)],
            Value::List(items) if items.iter().all(|item| item.text().is_some()) => {
                items.iter().filter_map(|item| Some((item.text()?.to_owned(), item.place))).collect()
            }
            _ => {
                let found = named.described();
                self.findings.error(
                    named.place,
                    "base",
                    format!("expected a file name or a list of them, found {found}"),
                );
                return None;
            }
        };
        self.open.push(path.to_owned());
        let mut merged: Option<Node> = None;
        let mut whole = true;
        for (name, place) in bases {
            let base = tidy(&path.parent().unwrap_or(Path::new("")).join(name));
            if self.open.contains(&base) {
                self.findings.error(place, "base", format!("{} includes itself", base.display()));
                whole = false;
                continue;
            }
            let Some(base) = self.read(&base, Some(place)) else {
                whole = false;
                continue;
            };
            // Of two bases the one named first has the last word.
            merged = Some(match merged {
                Some(earlier) => merge(earlier, base, &mut self.findings),
                None => base,
            });
        }
        self.open.pop();
        if !whole {
            return None;
        }
        Some(match merged {
            Some(base) => merge(root, base, &mut self.findings),
            None => root,
        })
    }
}

/// Absolute and without `.` and `..`, symbolic links left as they are: the
/// directory's spelling is part of the names of locks.
fn absolute(path: &Path) -> PathBuf {
    tidy(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            _ => out.push(part),
        }
    }
    out
}
