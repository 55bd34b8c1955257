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

/// Most findings that one load reports; what is beyond is counted.
pub const FINDINGS_MAX: usize = 10_000;

/// Findings of one load, in files that have a number there.
#[derive(Debug, Default)]
pub struct Findings {
    /// The files by the number that [`Place::file`] holds.
    pub files: Vec<PathBuf>,
    list: Vec<Finding>,
    /// Errors and warnings beyond [`FINDINGS_MAX`].
    beyond: (usize, usize),
}

impl Findings {
    pub fn error(&mut self, place: Place, key: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Error, place, key.into(), text.into());
    }

    pub fn warn(&mut self, place: Place, key: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Warning, place, key.into(), text.into());
    }

    fn add(&mut self, severity: Severity, place: Place, key: String, text: String) {
        if self.list.len() == FINDINGS_MAX {
            match severity {
                Severity::Error => self.beyond.0 += 1,
                Severity::Warning => self.beyond.1 += 1,
            }
            return;
        }
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
        self.list.iter().filter(|finding| finding.is_error()).count() + self.beyond.0
    }

    /// All of them in the order of files and lines.
    pub fn into_sorted(mut self) -> Vec<Finding> {
        let order = |file: &PathBuf| self.files.iter().position(|known| known == file);
        self.list.sort_by_key(|finding| (order(&finding.file), finding.line, finding.column));
        let (errors, warnings) = self.beyond;
        if errors + warnings > 0 {
            self.list.push(Finding {
                severity: if errors > 0 { Severity::Error } else { Severity::Warning },
                file: self.files.first().cloned().unwrap_or_default(),
                line: 0,
                column: 0,
                key: String::new(),
                text: format!("{errors} more errors and {warnings} more warnings are not listed"),
            });
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_lists_of_findings_end_and_stay_errors() {
        let mut findings = Findings::default();
        let place = |line: usize| Place { file: 0, line: u32::try_from(line).unwrap(), column: 1 };
        (0..FINDINGS_MAX).for_each(|line| findings.warn(place(line), "a", "unknown key"));
        assert!(!findings.has_errors());
        findings.error(place(1), "b", "wrong");
        assert_eq!(findings.error_count(), 1);
        let list = findings.into_sorted();
        assert_eq!(list.len(), FINDINGS_MAX + 1);
        assert!(list.last().is_some_and(|last| last.is_error() && last.text.starts_with("1 more errors")));
    }

    #[test]
    fn printed_as_compilers_do() {
        let mut findings = Findings { files: vec![PathBuf::from("/m.yaml")], ..Findings::default() };
        findings.error(Place { file: 0, line: 3, column: 7 }, "caches.c", "wrong");
        findings.error(Place { file: 0, line: 3, column: 7 }, "caches.c", "wrong");
        findings.warn(Place::default(), "", "odd");
        let lines: Vec<String> = findings.into_sorted().iter().map(Finding::to_string).collect();
        assert_eq!(lines, ["/m.yaml: warning: odd", "/m.yaml:3:7: error: caches.c: wrong"]);
    }
}
