//! `rhumb check`: every error and warning of a configuration.

use std::path::PathBuf;
use std::process::ExitCode;

/// Checks the daemon's file, a map, or both; prints findings on stdout.
/// 0: nothing that would be refused; 2: something would be.
pub fn run(_daemon: Option<PathBuf>, _map: Option<PathBuf>) -> ExitCode {
    todo!()
}
