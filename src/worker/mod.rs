//! One process, one event loop, its render threads.

use std::os::fd::OwnedFd;

use crate::conf::{Daemon, FileSet};

/// What a worker is born with.
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
