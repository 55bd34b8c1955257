//! How many workers the operator wants beside what the configuration says:
//! one more or one less by TTIN and TTOU, none at all by WINCH. A reload makes
//! the configuration's word good again.

use super::generation::WORKERS_MAX;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    Here,
    /// Sent away: nobody is forked.
    Away,
    /// Sent away, and called back by a reload that is still being checked.
    Returning,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Headcount {
    /// Added to what is configured.
    shift: isize,
    presence: Presence,
}

impl Headcount {
    /// Workers that should be there where `configured` are configured: at
    /// least one, at most as many as the scoreboard bears; none while away.
    pub fn wanted(&self, configured: usize) -> usize {
        match self.presence {
            Presence::Here => configured.saturating_add_signed(self.shift).clamp(1, WORKERS_MAX),
            Presence::Away | Presence::Returning => 0,
        }
    }

    /// TTIN: one more, or all of those that were sent away. `false`: there are
    /// as many as there can be.
    pub fn add(&mut self, configured: usize) -> bool {
        if self.is_away() {
            self.call_back();
            return true;
        }
        let may = self.wanted(configured) < WORKERS_MAX;
        self.shift += isize::from(may);
        may
    }

    /// TTOU: one less; `false`: there is but one, or none.
    pub fn remove(&mut self, configured: usize) -> bool {
        let may = self.wanted(configured) > 1;
        self.shift -= isize::from(may);
        may
    }

    /// WINCH: all go, none comes.
    pub fn send_away(&mut self) {
        self.presence = Presence::Away;
    }

    /// They come back at once.
    pub fn call_back(&mut self) {
        self.presence = Presence::Here;
    }

    /// A reload is wanted: they come back with its outcome, whatever that is.
    pub fn note_reload_wanted(&mut self) {
        if self.is_away() {
            self.presence = Presence::Returning;
        }
    }

    /// A reload was refused: whoever waited for it comes back as he was.
    pub fn note_reload_refused(&mut self) {
        if self.presence == Presence::Returning {
            self.call_back();
        }
    }

    /// A new configuration is on its way in: its count holds from here on.
    pub fn note_roll(&mut self) {
        self.shift = 0;
        self.note_reload_refused();
    }

    pub fn is_away(&self) -> bool {
        self.presence != Presence::Here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_and_one_less_within_bounds_until_a_reload() {
        let mut count = Headcount::default();
        assert_eq!(count.wanted(2), 2);
        assert!(count.add(2) && count.add(2));
        assert_eq!(count.wanted(2), 4);
        assert!(count.remove(2) && count.remove(2) && count.remove(2));
        assert!(!count.remove(2), "one stays");
        assert_eq!(count.wanted(2), 1);
        count.note_roll();
        assert_eq!(count.wanted(2), 2);
        while count.add(2) {}
        assert_eq!(count.wanted(2), WORKERS_MAX);
        assert!(count.remove(2), "asking for too many is not remembered");
        assert_eq!(count.wanted(2), WORKERS_MAX - 1);
    }

    #[test]
    fn who_was_sent_away_comes_back_by_one_more_or_by_a_reload() {
        let mut count = Headcount::default();
        count.add(2);
        count.send_away();
        assert_eq!((count.wanted(2), count.remove(2)), (0, false));
        assert!(count.add(2));
        assert_eq!(count.wanted(2), 3, "back, and not one more than before");
        count.send_away();
        count.note_reload_wanted();
        assert_eq!(count.wanted(2), 0, "not before the outcome");
        count.note_reload_refused();
        assert_eq!(count.wanted(2), 3);
        count.send_away();
        count.note_reload_refused();
        assert!(count.is_away(), "that reload was wanted before");
        count.note_reload_wanted();
        count.note_roll();
        assert_eq!(count.wanted(2), 2);
    }
}
