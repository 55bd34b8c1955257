//! What is wrong with a configuration: where, and what would be right.

use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

/// One error or warning. Printed as `file:line:column: key.path: text`.
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
