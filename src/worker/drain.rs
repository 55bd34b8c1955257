//! Leaving: no new connections, every answer says `close`, idle connections
//! go when they have been idle for a while, and at the end what is left is cut.

use mio::Token;

use super::Worker;
use super::conn::{Connection, State};
use super::timer::NEVER;
use crate::board::{self, Event};
use crate::log;

/// Why a worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leave {
    /// Its successors share the listening sockets.
    Reload,
    /// Nobody listens after it.
    Shutdown,
    /// At once: requests under way have a moment.
    Quick,
}

/// What is under way has so long on a quick leave.
const QUICK_MAX_MS: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
struct Leaving {
    how: Leave,
    end_ms: u64,
    idle_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Drain(Option<Leaving>);

impl Drain {
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// How long this connection may be idle; spread, so that a reload does not
    /// make every client come back in the same millisecond. `None`: not leaving.
    pub fn idle_ms(&self, token: Token) -> Option<u64> {
        let leaving = self.0?;
        // Fibonacci hashing: neighbours in the table lie far apart in time.
        let spread = (token.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let spread_ms = (leaving.idle_ms.min(u64::from(u32::MAX)) * spread) >> 32;
        Some(leaving.idle_ms.saturating_add(spread_ms))
    }

    /// When what is left will be cut.
    pub fn end_ms(&self) -> u64 {
        self.0.map_or(NEVER, |leaving| leaving.end_ms)
    }
}

/// Request, peer and what of the answer is not sent, for the log.
pub(super) fn describe(connection: &Connection) -> String {
    let line = connection.exchange.as_ref().map(super::conn::Exchange::line).unwrap_or_default();
    let peer = connection.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
    format!("{line} ({peer}, {} bytes not sent)", connection.output.left())
}

impl Worker {
    /// Begins to leave, or leaves faster than it does already.
    pub(super) fn leave(&mut self, how: Leave) {
        if self.drain.0.is_some_and(|leaving| leaving.how >= how) {
            return;
        }
        let now_ms = self.clock.now_ms;
        let (max_ms, idle_ms) = match how {
            Leave::Quick => (QUICK_MAX_MS, 0),
            Leave::Reload | Leave::Shutdown => (self.limits.drain_max_ms, self.limits.drain_idle_ms),
        };
        let end_ms = now_ms.saturating_add(max_ms).min(self.drain.end_ms());
        self.drain = Drain(Some(Leaving { how, end_ms, idle_ms }));
        self.close_door(how == Leave::Shutdown);
        // Who reads it may rely on it: no connection comes here any more.
        self.board.slot(self.slot).set_state(board::State::Draining);
        self.wake_master();
        for token in self.connections.tokens() {
            if let Some(mut connection) = self.connections.take(token) {
                if connection.is_idle() && how == Leave::Quick {
                    connection.deadline_ms = now_ms;
                    self.timer.note(now_ms);
                } else {
                    self.set_deadline(&mut connection);
                }
                self.connections.put_back(connection);
            }
        }
    }

    /// Whether the worker has left: nothing is under way, or the time is over.
    pub(super) fn has_left(&mut self) -> bool {
        if !self.drain.is_on() {
            return false;
        }
        if self.connections.count() == 0 {
            return true;
        }
        if self.clock.now_ms < self.drain.end_ms() {
            return false;
        }
        for token in self.connections.tokens() {
            if let Some(connection) = self.connections.take(token) {
                if !connection.is_idle() && !matches!(connection.state, State::Lingering { .. }) {
                    self.board.slot(self.slot).counters.count(Event::ConnectionCut, 1);
                    log::warn!("cut at the end of the drain: {}", describe(&connection));
                }
                self.connections.put_back(connection);
            }
            self.close(token);
        }
        true
    }
}
