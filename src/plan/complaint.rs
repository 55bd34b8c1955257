//! The same complaint is not written for every tile: a dead disk or a damaged
//! directory says so now and then, with how often it happened meanwhile.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most one line of a kind in this time.
const SILENCE: Duration = Duration::from_secs(10);

/// One kind of complaint of one cache, or of all sources together.
#[derive(Debug)]
pub(super) struct Complaint(Mutex<State>);

#[derive(Debug)]
struct State {
    told: Option<Instant>,
    held_back: u64,
}

/// What follows the text of a line that is due: how many like it were held back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct More(u64);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like it since the last line)"),
        }
    }
}

impl Default for Complaint {
    fn default() -> Self {
        Complaint::new()
    }
}

impl Complaint {
    pub(super) const fn new() -> Complaint {
        Complaint(Mutex::new(State { told: None, held_back: 0 }))
    }

    /// `Some` when a line is due, `None` when it is only counted.
    pub(super) fn due(&self, now: Instant) -> Option<More> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.is_some_and(|told| now.saturating_duration_since(told) < SILENCE) {
            state.held_back += 1;
            return None;
        }
        state.told = Some(now);
        Some(More(std::mem::take(&mut state.held_back)))
    }
}

/// The kinds of complaint of one cache.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// A stored tile is damaged.
    pub(super) damaged: Complaint,
    /// The store cannot be read.
    pub(super) unreadable: Complaint,
    /// The store cannot be written.
    pub(super) unwritable: Complaint,
    /// No lock file can be made.
    pub(super) lockless: Complaint,
    /// A tile could not be made.
    pub(super) unmade: Complaint,
    /// The search for a substitute went too far.
    pub(super) far: Complaint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_counted() {
        let (complaint, start) = (Complaint::default(), Instant::now());
        let due = |ms| complaint.due(start + Duration::from_millis(ms)).map(|more| more.to_string());
        assert_eq!(due(0).as_deref(), Some(""));
        assert_eq!((due(1), due(9_999)), (None, None));
        assert_eq!(due(10_000).as_deref(), Some(" (2 more like it since the last line)"));
        assert_eq!(due(10_001), None);
        assert_eq!(due(30_000).as_deref(), Some(" (1 more like it since the last line)"));
    }
}
