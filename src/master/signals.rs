//! The signal table: what each signal asks of the master, which ones it leaves
//! alone, and with which set a worker is born. Signals are blocked before the
//! first fork and read from a descriptor: a handler would be inherited.

use std::io;

use nix::sys::signal::{SigHandler, Signal};
use nix::sys::signalfd::SignalFd;

use crate::sys;

/// What a signal asks of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Check the configuration and roll over to it.
    Reload,
    /// Leave now; requests being answered get a second.
    StopQuickly,
    /// Answer everything accepted, then leave.
    StopGracefully,
    /// Open the log files anew.
    ReopenLogs,
    /// Children died.
    Reap,
}

/// Signals that the master acts on.
pub const TABLE: [(Signal, Order); 6] = [
    (Signal::SIGHUP, Order::Reload),
    (Signal::SIGTERM, Order::StopQuickly),
    (Signal::SIGINT, Order::StopQuickly),
    (Signal::SIGQUIT, Order::StopGracefully),
    (Signal::SIGUSR1, Order::ReopenLogs),
    (Signal::SIGCHLD, Order::Reap),
];

/// Signals whose default would end or stop a daemon, and that ask nothing of it.
const IGNORED: [Signal; 4] = [Signal::SIGUSR2, Signal::SIGWINCH, Signal::SIGTTIN, Signal::SIGTTOU];

/// What a worker ignores: only the master may act on these, also where a
/// terminal or `killall` sends them to everybody.
pub const IGNORED_BY_WORKERS: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR2, Signal::SIGWINCH, Signal::SIGTTIN, Signal::SIGTTOU];

/// What a worker reads from a descriptor of its own.
pub const READ_BY_WORKERS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGUSR1];

/// Blocks the master's signals and opens the descriptor that reads them.
///
/// # Errors
/// The kernel refused.
pub fn open() -> io::Result<SignalFd> {
    let read = TABLE.map(|(signal, _)| signal);
    sys::block_signals(&read)?;
    for signal in IGNORED {
        sys::set_disposition(signal, SigHandler::SigIgn)?;
    }
    sys::open_signal_fd(&read)
}

/// The next order, if a signal waits.
///
/// # Errors
/// The kernel refused.
pub fn next_order(signals: &SignalFd) -> io::Result<Option<(Signal, Order)>> {
    while let Some(info) = signals.read_signal()? {
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        let known = Signal::try_from(number).ok().and_then(|signal| {
            TABLE.iter().find(|(known, _)| *known == signal).map(|(_, order)| (signal, *order))
        });
        if known.is_some() {
            return Ok(known);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_asks_one_thing() {
        for (index, (signal, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..index].iter().any(|(other, _)| other == signal), "{signal} twice");
            assert!(!IGNORED.contains(signal), "{signal} is read and ignored");
        }
    }

    #[test]
    fn a_worker_neither_reloads_nor_leaves_by_a_terminal() {
        for signal in READ_BY_WORKERS {
            assert!(!IGNORED_BY_WORKERS.contains(&signal), "{signal} is read and ignored");
        }
        for (signal, order) in TABLE {
            let settled = READ_BY_WORKERS.contains(&signal)
                || IGNORED_BY_WORKERS.contains(&signal)
                || order == Order::Reap;
            assert!(settled, "{signal} would end a worker");
        }
    }
}
