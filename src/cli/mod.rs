//! What a person types: argv, usage text, exit code.

pub mod check;
pub mod create;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line; 0 done, 1 usage, 2 a configuration is refused,
/// 3 the system refused.
pub fn run(_arguments: impl Iterator<Item = OsString>) -> ExitCode {
    todo!()
}
