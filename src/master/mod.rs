//! One process, one thread, no requests: holds the sockets, forks the workers,
//! swaps them on SIGHUP.

use std::process::ExitCode;

use crate::conf::Daemon;

/// Binds, forks, supervises until told to stop.
pub fn run(_daemon: Daemon) -> ExitCode {
    todo!()
}
