//! `rhumb create DIR`: a directory to start from.

use std::path::PathBuf;
use std::process::ExitCode;

/// Writes the starter files below `directory`; refuses to overwrite any.
pub fn run(_directory: PathBuf) -> ExitCode {
    todo!()
}
