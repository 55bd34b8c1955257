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
    /// Start the program anew beside us, with our sockets.
    Upgrade,
    /// Let all workers go, stay ourselves.
    DropWorkers,
    /// One worker more.
    AddWorker,
    /// One worker less.
    RemoveWorker,
    /// Children died.
    Reap,
}

/// One signal that the master acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub signal: Signal,
    pub order: Order,
    /// For the manual: what happens. Empty for what is nobody else's to send.
    pub meaning: &'static str,
}

const fn row(signal: Signal, order: Order, meaning: &'static str) -> Row {
    Row { signal, order, meaning }
}

/// Signals that the master acts on: the one source for the handler, for
/// `rhumb signal` and for the manual.
pub static TABLE: [Row; 10] = [
    row(
        Signal::SIGHUP,
        Order::Reload,
        "Checks the configuration in a process of its own. If it is good, the workers are replaced in batches and no \
         request is lost; if it is not, every reason is logged and the old configuration stays in service. To the old \
         master of an upgrade: takes the service back.",
    ),
    row(Signal::SIGQUIT, Order::StopGracefully, "Leaves after the requests under way."),
    row(
        Signal::SIGTERM,
        Order::StopQuickly,
        "Leaves at once; requests under way get a second. Sent again, kills what is left.",
    ),
    row(Signal::SIGINT, Order::StopQuickly, "As TERM."),
    row(Signal::SIGUSR1, Order::ReopenLogs, "Opens the log files anew, as after a rotation."),
    row(
        Signal::SIGUSR2,
        Order::Upgrade,
        "Starts the program anew from its file beside the running one, with the same sockets. The old master stays \
         with its workers until it gets WINCH, QUIT or HUP.",
    ),
    row(
        Signal::SIGWINCH,
        Order::DropWorkers,
        "Lets all workers go after their requests; the master stays and holds the sockets. HUP or TTIN brings them back.",
    ),
    row(Signal::SIGTTIN, Order::AddWorker, "One worker more, until the next reload."),
    row(Signal::SIGTTOU, Order::RemoveWorker, "One worker less, until the next reload, never less than one."),
    row(Signal::SIGCHLD, Order::Reap, ""),
];

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
    let read = TABLE.map(|row| row.signal);
    sys::block_signals(&read)?;
    // What we were started with as ignored would not come to the workers.
    for signal in read {
        sys::set_disposition(signal, SigHandler::SigDfl)?;
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
        let known = Signal::try_from(number)
            .ok()
            .and_then(|signal| TABLE.iter().find(|row| row.signal == signal).map(|row| (signal, row.order)));
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
        for (index, row) in TABLE.iter().enumerate() {
            assert!(!TABLE[..index].iter().any(|other| other.signal == row.signal), "{} twice", row.signal);
        }
    }

    #[test]
    fn a_worker_neither_reloads_nor_leaves_by_a_terminal() {
        for signal in READ_BY_WORKERS {
            assert!(!IGNORED_BY_WORKERS.contains(&signal), "{signal} is read and ignored");
        }
        for Row { signal, order, .. } in TABLE {
            let settled = READ_BY_WORKERS.contains(&signal)
                || IGNORED_BY_WORKERS.contains(&signal)
                || order == Order::Reap;
            assert!(settled, "{signal} would end a worker");
        }
    }
}
