//! When a worker has served long enough: so many requests, so old, so much
//! memory. It only says so on the board and serves on; the master grants the
//! wish when nobody else is being replaced, and the next one is ready first.

use super::Worker;
use crate::board::Wish;
use crate::conf::daemon::Limits;
use crate::log;
use crate::sys;

/// Requests and age are stretched by up to this part, so that workers forked
/// together do not all want to leave together.
const SPREAD: u64 = 8;
/// How often the memory is looked at.
const MEMORY_LOOK_MS: u64 = 1_000;

/// How long a worker serves.
#[derive(Debug)]
pub(super) struct Term {
    requests_max: u64,
    end_ms: u64,
    memory_max_bytes: u64,
    memory_look_ms: u64,
    is_told: bool,
}

impl Term {
    /// The term of a worker that begins at `now_ms`; `noise` is any number.
    pub fn new(limits: &Limits, now_ms: u64, noise: u64) -> Term {
        let stretched = |full: u64| match full {
            0 => u64::MAX,
            full => full.saturating_add(noise % (full / SPREAD + 1)),
        };
        Term {
            requests_max: stretched(limits.requests_max),
            end_ms: now_ms.saturating_add(stretched(limits.worker_age_max_s.saturating_mul(1_000))),
            memory_max_bytes: match limits.worker_memory_max_bytes {
                0 => u64::MAX,
                bytes => bytes,
            },
            memory_look_ms: 0,
            is_told: false,
        }
    }

    fn is_time_to_look_at_memory(&mut self, now_ms: u64) -> bool {
        let is_time = self.memory_look_ms <= now_ms;
        if is_time {
            self.memory_look_ms = now_ms + MEMORY_LOOK_MS;
        }
        is_time
    }

    /// Which bound is reached, if one is.
    fn wish(&self, requests: u64, memory_bytes: u64, now_ms: u64) -> Option<Wish> {
        if requests >= self.requests_max {
            Some(Wish::Requests)
        } else if now_ms >= self.end_ms {
            Some(Wish::Age)
        } else if memory_bytes > self.memory_max_bytes {
            Some(Wish::Memory)
        } else {
            None
        }
    }
}

impl Worker {
    /// Once in each turn of the loop: tells the master, once, when the term is
    /// over.
    pub(super) fn mind_term(&mut self) {
        let now_ms = self.clock.now_ms;
        let slot = self.board.slot(self.slot);
        if self.term.is_time_to_look_at_memory(now_ms) {
            match sys::own_memory_bytes() {
                Ok(bytes) => slot.set_memory_bytes(bytes),
                Err(error) => log::debug!("cannot tell how much memory this worker holds: {error}"),
            }
        }
        if self.term.is_told || self.drain.is_on() {
            return;
        }
        if let Some(wish) = self.term.wish(self.requests, slot.memory_bytes(), now_ms) {
            self.term.is_told = true;
            slot.set_wish(wish);
            self.wake_master();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_term_without_bounds() {
        let term = Term::new(&Limits::default(), 1_000, 77);
        assert_eq!(term.wish(u64::MAX - 1, u64::MAX - 1, u64::MAX - 1), None);
    }

    #[test]
    fn each_bound_ends_a_term() {
        let limits = Limits {
            requests_max: 800,
            worker_age_max_s: 8,
            worker_memory_max_bytes: 1_000,
            ..Limits::default()
        };
        for noise in [0, 1, 100, 101, 12_345, u64::MAX] {
            let term = Term::new(&limits, 50_000, noise);
            assert_eq!(term.wish(799, 1_000, 57_999), None, "never before what is configured");
            assert_eq!(term.wish(900, 0, 50_000), Some(Wish::Requests), "{noise}");
            assert_eq!(term.wish(0, 0, 59_000), Some(Wish::Age), "{noise}");
            assert_eq!(term.wish(0, 1_001, 50_000), Some(Wish::Memory));
        }
        let exact = Term::new(&limits, 50_000, 0);
        assert_eq!(exact.wish(800, 0, 50_000), Some(Wish::Requests));
        assert_eq!(exact.wish(0, 0, 58_000), Some(Wish::Age));
        let one = Limits { requests_max: 1, ..Limits::default() };
        assert_eq!(Term::new(&one, 0, 9).wish(1, 0, 0), Some(Wish::Requests));
    }

    #[test]
    fn memory_is_looked_at_once_a_second() {
        let mut term = Term::new(&Limits::default(), 1_000, 0);
        assert!(term.is_time_to_look_at_memory(1_000));
        assert!(!term.is_time_to_look_at_memory(1_999));
        assert!(term.is_time_to_look_at_memory(2_000));
    }
}
