//! YAML → checked configuration. Reads files, opens nothing else.

mod check;
mod color;
#[allow(clippy::module_inception)] // the room's result bears the room's name
pub mod conf;
pub mod daemon;
pub mod files;
pub mod finding;
pub mod load;
mod merge;
mod nearest;
pub mod node;
mod resolve;
pub mod scalar;
mod schema;
mod tables;
pub mod yaml;

#[cfg(test)]
mod keys;

pub use conf::Conf;
pub use daemon::Daemon;
pub use files::FileSet;
pub use finding::{Finding, Severity};
pub use load::{Loaded, load_coverage, load_embedded, load_map};
