//! One configuration in effect: its settings, its sealed files, its sockets.
//! Built beside the present one, then taken or dropped, never changed.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::listen::{Listener, Place, open_listeners};
use crate::board::SLOTS_MAX;
use crate::conf::Daemon;
use crate::log;
use crate::sys::{self, Identity};

/// Workers of one generation; leaves slots for those of others that drain.
pub const WORKERS_MAX: usize = SLOTS_MAX / 4;

pub struct Generation {
    /// From 1.
    pub number: u64,
    pub daemon: Daemon,
    /// The checked files, in a memory file that nobody can change.
    pub files: OwnedFd,
    /// In the order of `daemon.places()`.
    pub listeners: Vec<Listener>,
    pub worker_count: usize,
    /// Whom the workers become.
    pub identity: Option<Identity>,
}

impl Generation {
    /// Opens what the master holds for a checked configuration: log files and
    /// sockets, those of `present` where they stay the same.
    ///
    /// # Errors
    /// What the system refused; nothing has changed then.
    pub fn open(
        number: u64,
        daemon: Daemon,
        files: OwnedFd,
        present: &[Rc<Place>],
    ) -> io::Result<Generation> {
        let identity = sys::find_identity(daemon.user.as_deref(), daemon.group.as_deref())?;
        let listeners = open_listeners(&daemon.places(), present).map_err(io::Error::other)?;
        // Last, since it takes effect at once.
        log::open(&daemon.log)?;
        if let Some(identity) = &identity
            && let Err(error) = log::chown(Some(identity.user.as_raw()), Some(identity.group.as_raw()))
        {
            log::warn!("cannot give the log files to {}: {error}", identity.name);
        }
        let worker_count = daemon.workers.unwrap_or_else(sys::count_cores).clamp(1, WORKERS_MAX);
        Ok(Generation { number, daemon, files, listeners, worker_count, identity })
    }

    /// `http://127.0.0.1:8080/, http on /run/rhumb.sock`
    pub fn places(&self) -> String {
        let places: Vec<String> = self.listeners.iter().map(ToString::to_string).collect();
        places.join(", ")
    }
}
