//! YAML → checked configuration. Reads files, opens nothing else.

pub mod daemon;
pub mod files;
pub mod finding;
pub mod yaml;

pub use daemon::Daemon;
pub use files::FileSet;
pub use finding::{Finding, Severity};
