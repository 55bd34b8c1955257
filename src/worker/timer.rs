//! The loop's clock, and when the next deadline may be due.
//!
//! Each connection knows its own deadline. There are at most some thousand of
//! them, so looking at all of them when the earliest may be due is cheaper than
//! keeping an ordered set that every request changes twice.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::wire::cond::format_date;

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

/// Sweeps are at least so far apart: many deadlines close together are one sweep.
const SWEEP_INTERVAL_MS: u64 = 20;

/// The time at the beginning of this turn of the loop.
pub(super) struct Clock {
    /// By the monotonic clock of `sys`.
    pub now_ms: u64,
    pub now: Instant,
    /// For the Date field.
    pub date: String,
    date_s: u64,
}

impl Clock {
    pub fn new() -> Clock {
        let mut clock = Clock { now_ms: 0, now: Instant::now(), date: String::new(), date_s: NEVER };
        clock.tick();
        clock
    }

    pub fn tick(&mut self) {
        self.now_ms = crate::sys::monotonic_ms();
        self.now = Instant::now();
        let wall = SystemTime::now();
        let wall_s = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if wall_s != self.date_s {
            self.date_s = wall_s;
            self.date = format_date(wall);
        }
    }
}

/// When to look at all deadlines again.
pub(super) struct Timer {
    next_ms: u64,
    swept_ms: u64,
}

impl Timer {
    pub fn new() -> Timer {
        Timer { next_ms: NEVER, swept_ms: 0 }
    }

    /// Somebody has a deadline then.
    pub fn note(&mut self, deadline_ms: u64) {
        self.next_ms = self.next_ms.min(deadline_ms);
    }

    /// When the next sweep is due.
    pub fn next_ms(&self) -> u64 {
        if self.next_ms == NEVER { NEVER } else { self.next_ms.max(self.swept_ms + SWEEP_INTERVAL_MS) }
    }

    /// Whether to sweep now; the sweep must note every deadline that stays.
    pub fn begin_sweep(&mut self, now_ms: u64) -> bool {
        let due = self.next_ms() <= now_ms;
        if due {
            self.next_ms = NEVER;
            self.swept_ms = now_ms;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_come_when_something_may_be_due_and_not_too_often() {
        let mut timer = Timer::new();
        assert!(!timer.begin_sweep(1_000));
        timer.note(1_500);
        timer.note(1_200);
        assert_eq!(timer.next_ms(), 1_200);
        assert!(!timer.begin_sweep(1_199) && timer.begin_sweep(1_200));
        assert_eq!(timer.next_ms(), NEVER);
        timer.note(1_201);
        assert!(!timer.begin_sweep(1_201) && timer.begin_sweep(1_200 + SWEEP_INTERVAL_MS));
    }
}
