//! Notices to systemd, as sd_notify(3) describes them: one datagram each, to a
//! path or an abstract name, never waited for. Only the process that systemd
//! takes for the main one speaks.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::unistd::Pid;

use super::{Master, Stop};
use crate::log;
use crate::sys;

/// How much longer a stop may take, said again and again while it goes on.
const EXTENSION_US: u64 = 10_000_000;
const EXTEND_EVERY_MS: u64 = 1_000;

/// Where notices go, if anybody wants them.
#[derive(Default)]
pub struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
    /// Another process is the main one.
    muted: bool,
    /// Half of what systemd waits for a sign of life.
    watchdog_every_ms: Option<u64>,
    watchdog_at_ms: u64,
    /// The youngest tick of a worker that a sign of life spoke for.
    tick_ms: u64,
    extend_at_ms: u64,
    has_said_stopping: bool,
}

impl Notifier {
    /// `muted` until somebody says that we are the main process.
    pub fn open(socket: Option<&OsStr>, watchdog_us: Option<u64>, muted: bool) -> Notifier {
        let target = socket.and_then(|name| match find_target(name) {
            Ok(target) => Some(target),
            Err(error) => {
                log::warn!("NOTIFY_SOCKET {}: {error}", name.display());
                None
            }
        });
        let watchdog_every_ms = watchdog_us.map(|us| (us / 2000).max(1)).filter(|_| target.is_some());
        Notifier { target, muted, watchdog_every_ms, ..Notifier::default() }
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.target
            && !self.muted
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            log::warn!("systemd cannot be told {text:?}: {error}");
        }
    }

    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    pub fn status(&self, status: &str) {
        self.say(&format!("STATUS={}", one_line(status)));
    }

    /// Without the time, newer ones wait for ever.
    pub fn reloading(&self) {
        let now_us = sys::monotonic_us();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=checking the configuration"));
    }

    /// Once, and not by a master that another goes on for.
    fn stopping(&mut self, status: &str) {
        if !std::mem::replace(&mut self.has_said_stopping, true) {
            self.say(&format!("STOPPING=1\nSTATUS={status}"));
        }
    }

    /// Another process is the main one from here on: the last word is its name.
    pub fn hand_over(&mut self, main: Pid) {
        self.say(&format!("MAINPID={main}"));
        self.muted = true;
    }

    /// We are the main process now; `false`: we were before.
    pub fn take_over(&mut self) -> bool {
        let was_muted = std::mem::replace(&mut self.muted, false);
        if was_muted {
            self.say(&format!("MAINPID={}", std::process::id()));
        }
        was_muted
    }

    fn sign_of_life_due_ms(&self) -> Option<u64> {
        self.watchdog_every_ms.filter(|_| !self.muted).map(|_| self.watchdog_at_ms)
    }
}

fn find_target(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let bytes = name.as_bytes();
    let address = match bytes.first() {
        Some(b'@') => SocketAddr::from_abstract_name(&bytes[1..])?,
        Some(b'/') => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// A line feed would begin another assignment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1_000).collect()
}

impl Master {
    /// Signs of life, as long as the workers show some themselves; and while a
    /// stop goes on, that it does.
    pub(super) fn notify_progress(&mut self) {
        if let Some(every_ms) = self.notifier.watchdog_every_ms
            && self.now_ms >= self.notifier.watchdog_at_ms
            && (self.current.is_some() || self.stop.is_some())
        {
            self.notifier.watchdog_at_ms = self.now_ms + every_ms;
            let ticks = self.workers.iter().map(|worker| self.board.slot(worker.slot).tick_ms());
            let youngest_ms = ticks.max().unwrap_or(0);
            // Where the operator sent all workers away, or the last has left,
            // nobody can tick.
            let nobody = self.headcount.is_away() || (self.stop.is_some() && self.workers.is_empty());
            if nobody || youngest_ms > self.notifier.tick_ms {
                self.notifier.tick_ms = youngest_ms;
                self.notifier.say("WATCHDOG=1");
            }
        }
        if self.stop.is_some() && self.now_ms >= self.notifier.extend_at_ms {
            self.notifier.extend_at_ms = self.now_ms + EXTEND_EVERY_MS;
            self.notifier.say(&format!("EXTEND_TIMEOUT_USEC={EXTENSION_US}"));
        }
    }

    /// When [`Master::notify_progress`] has something to say.
    pub(super) fn next_notice_ms(&self) -> Option<u64> {
        self.notifier.sign_of_life_due_ms().filter(|_| self.current.is_some())
    }

    pub(super) fn notify_stopping(&mut self, stop: Stop) {
        self.notifier.stopping(match stop {
            Stop::Quickly => "leaving",
            Stop::Gracefully => "leaving after the last request",
        });
    }

    /// For `systemctl status`.
    pub(super) fn tell_state(&self) -> String {
        let Some(current) = &self.current else { return "no worker is ready".to_owned() };
        format!(
            "generation {} serves, {} workers, {}",
            current.number,
            current.worker_count,
            current.places()
        )
    }
}
