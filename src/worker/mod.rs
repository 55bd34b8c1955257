//! One process, one event loop, its render threads.

use std::os::fd::OwnedFd;

use crate::conf::{Daemon, FileSet};

/// What a worker is born with.
///
/// By then the child has closed every descriptor but these and the logs, has
/// dropped its privileges and ignores HUP, INT, USR2, WINCH, TTIN and TTOU.
/// TERM (leave within a second), QUIT (drain) and USR1 (reopen the logs) are
/// blocked: the worker reads them with `sys::open_signal_fd`.
pub struct Birth {
    pub daemon: Daemon,
    /// The checked files of this generation.
    pub files: FileSet,
    pub generation: u64,
    /// Slot on the scoreboard.
    pub slot: usize,
    pub board: std::sync::Arc<crate::board::Board>,
    /// Listening sockets in the order of `daemon.listen`.
    pub listeners: Vec<OwnedFd>,
    /// The channel to the master: one-byte messages; end of file means the
    /// master died: drain.
    pub channel: OwnedFd,
}

/// Master → worker.
pub const MESSAGE_DRAIN: u8 = b'd';
/// Worker → master: ready to serve.
pub const MESSAGE_READY: u8 = b'r';

/// The worker's whole life, after the fork; returns the exit code
/// (prefork.md §8: 0 drained, 3 configuration, 4 resources).
pub fn run(_birth: Birth) -> i32 {
    todo!()
}
