//! What is wrong with a configuration: where, and what would be right.

use std::path::PathBuf;

use super::node::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

/// One error or warning. Printed as `file:line:column: level: key.path: text`.
#[derive(Clone, Debug)]
pub struct Finding {
    pub severity: Severity,
    pub file: PathBuf,
    /// From 1; 0 when no place can be named.
    pub line: usize,
    pub column: usize,
    /// Dotted key path, for example `caches.roads.sources`.
    pub key: String,
    pub text: String,
}

impl Finding {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        let level = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, ": {level}: ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Findings of one load, in files that have a number there.
#[derive(Debug, Default)]
pub struct Findings {
    /// The files by the number that [`Place::file`] holds.
    pub files: Vec<PathBuf>,
    list: Vec<Finding>,
}

impl Findings {
    pub fn error(&mut self, place: Place, key: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Error, place, key.into(), text.into());
    }

    pub fn warn(&mut self, place: Place, key: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Warning, place, key.into(), text.into());
    }

    fn add(&mut self, severity: Severity, place: Place, key: String, text: String) {
        let file = self.files.get(place.file as usize).cloned().unwrap_or_default();
        let (line, column) = (place.line as usize, place.column as usize);
        // What one list of layers says wrong may be met by several services.
        let known = |old: &Finding| {
            old.line == line && old.column == column && old.key == key && old.text == text && old.file == file
        };
        if !self.list.iter().rev().take(64).any(known) {
            self.list.push(Finding { severity, file, line, column, key, text });
        }
    }

    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    pub fn error_count(&self) -> usize {
        self.list.iter().filter(|finding| finding.is_error()).count()
    }

    /// All of them in the order of files and lines.
    pub fn into_sorted(mut self) -> Vec<Finding> {
        let order = |file: &PathBuf| self.files.iter().position(|known| known == file);
        self.list.sort_by_key(|finding| (order(&finding.file), finding.line, finding.column));
        self.list
    }
}
