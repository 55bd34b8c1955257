//! Forks a worker: the last lines of the master and the first of the child.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nix::unistd::Pid;

use super::backoff::{EXIT_CONFIGURATION, EXIT_RESOURCE};
use super::generation::Generation;
use super::launch::leave_terminal;
use super::signals;
use crate::board::Board;
use crate::conf::FileSet;
use crate::conf::daemon::{Limits, LogTarget};
use crate::log;
use crate::sys::{self, Forked};
use crate::worker::{Birth, run};

/// Open files of a worker: connections, upstreams and tiles together.
pub const OPEN_FILES_MAX: u64 = 65_536;
/// Exit code after a panic that nobody caught.
pub const EXIT_PANIC: i32 = 101;

/// Forks a worker of `generation` that reports on board slot `slot`; it leaves
/// the terminal where somebody waits there for the daemon's start. Returns
/// its pid and our end of the channel.
///
/// # Errors
/// The kernel has no room for another process or descriptor.
pub fn fork_worker(
    generation: &Generation,
    slot: usize,
    board: &Arc<Board>,
    leaves_terminal: bool,
) -> io::Result<(Pid, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    match sys::fork()? {
        Forked::Child => live_as_worker(generation, slot, board, theirs.into(), leaves_terminal),
        Forked::Parent(pid) => Ok((pid, ours)),
    }
}

/// The child: never returns into the master's stack, drops nothing of the
/// master's, leaves by `_exit`.
fn live_as_worker(
    generation: &Generation,
    slot: usize,
    board: &Arc<Board>,
    channel: OwnedFd,
    leaves_terminal: bool,
) -> ! {
    // The starter's output must end when the starter does, not with us.
    let keeps_stderr = generation.daemon.log.error == LogTarget::Stderr;
    if leaves_terminal && let Err(error) = leave_terminal(keeps_stderr) {
        log::warn!("cannot leave the terminal: {error}");
    }
    let body = || match be_born(generation, slot, board, channel) {
        Ok(birth) => run(birth),
        Err((code, error)) => {
            log::error!("worker could not start: {error}");
            code
        }
    };
    // The panic hook has logged it.
    let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(EXIT_PANIC);
    sys::exit_now(code)
}

/// In this order: name, signals, descriptors, limits, privileges, and only then
/// the configuration.
fn be_born(
    generation: &Generation,
    slot: usize,
    board: &Arc<Board>,
    channel: OwnedFd,
) -> Result<Birth, (i32, io::Error)> {
    let resource = |error: io::Error| (EXIT_RESOURCE, error);
    sys::set_thread_name("rhumb: worker");
    sys::set_child_signals(&signals::IGNORED_BY_WORKERS, &signals::READ_BY_WORKERS).map_err(resource)?;

    let duplicates: io::Result<Vec<OwnedFd>> =
        generation.listeners.iter().map(|listener| listener.duplicate()).collect();
    let listeners = duplicates.map_err(resource)?;
    let files = generation.files.try_clone().map_err(resource)?;
    let mut kept = log::descriptors();
    kept.extend(listeners.iter().map(AsRawFd::as_raw_fd));
    kept.extend([channel.as_raw_fd(), files.as_raw_fd()]);
    sys::close_all_but(&kept).map_err(resource)?;

    let open_files_max = sys::raise_open_files(OPEN_FILES_MAX).map_err(resource)?;
    sys::limit_data_bytes(generation.daemon.limits.worker_data_bytes).map_err(resource)?;
    if let Some(identity) = &generation.identity {
        sys::drop_privileges(identity).map_err(|error| (EXIT_CONFIGURATION, error))?;
    }

    sys::failpoint::pass("worker.start").map_err(resource)?;
    let block = sys::read_memory_file(&files, u64::MAX).map_err(resource)?;
    let files = FileSet::from_bytes(&block)
        .ok_or_else(|| (EXIT_CONFIGURATION, io::Error::other("the sealed files are not a set of files")))?;
    let mut daemon = generation.daemon.clone();
    leave_descriptors_for_work(&mut daemon.limits, open_files_max);
    Ok(Birth {
        daemon,
        files,
        generation: generation.number,
        slot,
        board: Arc::clone(board),
        listeners,
        channel,
    })
}

/// Connections get at most half of the descriptors: the rest are for upstreams,
/// tiles and locks, without which a request that was taken cannot be answered.
fn leave_descriptors_for_work(limits: &mut Limits, open_files_max: u64) {
    let connections_max = usize::try_from(open_files_max / 2).unwrap_or(usize::MAX).max(1);
    if limits.connections_per_worker > connections_max {
        log::warn!(
            "only {open_files_max} files may be open at once: {connections_max} connections at a time instead of {}",
            limits.connections_per_worker
        );
        limits.connections_per_worker = connections_max;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_of_the_descriptors() {
        for (open_files_max, configured, taken) in
            [(65_536, 1_000, 1_000), (64, 1_000, 32), (64, 20, 20), (1, 5, 1), (u64::MAX, 7, 7)]
        {
            let mut limits = Limits { connections_per_worker: configured, ..Limits::default() };
            leave_descriptors_for_work(&mut limits, open_files_max);
            assert_eq!(limits.connections_per_worker, taken, "{open_files_max}");
        }
    }
}
