//! Which stored tiles are still fresh (`refresh_before`).

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A rule that is evaluated anew for each request.
#[derive(Clone, Debug, PartialEq)]
pub enum FreshRule {
    /// Tiles older than this are stale.
    Age(Duration),
    /// Tiles stored up to this moment are stale.
    Since(SystemTime),
    /// Tiles stored up to the modification time of this file are stale.
    FileTime(PathBuf),
}

impl FreshRule {
    /// The moment up to which tiles are stale. `None` when the rule says
    /// nothing now (its file is missing).
    pub fn stale_until(&self, now: SystemTime) -> Option<SystemTime> {
        match self {
            FreshRule::Age(age) => Some(now.checked_sub(*age).unwrap_or(UNIX_EPOCH)),
            FreshRule::Since(moment) => Some(*moment),
            FreshRule::FileTime(path) => std::fs::metadata(path).and_then(|m| m.modified()).ok(),
        }
    }
}

/// Whether a tile stored at `modified` is stale. Whole seconds are compared,
/// as in MapProxy, whose time specifications carry no fractions.
pub fn is_stale(modified: SystemTime, stale_until: SystemTime) -> bool {
    let seconds = |t: SystemTime| match t.duration_since(UNIX_EPOCH) {
        Ok(after) => i128::from(after.as_secs()),
        Err(before) => -i128::from(before.duration().as_secs()),
    };
    seconds(modified) <= seconds(stale_until)
}

/// The first moment at which a stored tile is not stale any more: the same rule
/// for who can only compare moments.
pub fn fresh_from(stale_until: SystemTime) -> SystemTime {
    let second = stale_until.duration_since(UNIX_EPOCH).map_or(0, |after| after.as_secs());
    UNIX_EPOCH.checked_add(Duration::from_secs(second.saturating_add(1))).unwrap_or(stale_until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_compared_whole() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert!(is_stale(at(5_900), at(5_100)));
        assert!(!is_stale(at(6_000), at(5_900)));
        assert!(is_stale(UNIX_EPOCH, at(1)));
    }

    #[test]
    fn moments_and_seconds_say_the_same() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        for until in [0, 1, 999, 1_000, 5_100, 5_999, 6_000] {
            for modified in (0..8_000).step_by(100).chain([999, 1_001, 5_999, 6_001]) {
                let is_fresh = at(modified) >= fresh_from(at(until));
                assert_eq!(is_fresh, !is_stale(at(modified), at(until)), "{modified} {until}");
            }
        }
    }

    #[test]
    fn an_age_beyond_the_epoch_makes_nothing_stale_but_the_epoch() {
        let rule = FreshRule::Age(Duration::from_secs(u64::MAX));
        assert_eq!(rule.stale_until(SystemTime::now()), Some(UNIX_EPOCH));
    }

    #[test]
    fn a_missing_file_says_nothing() {
        assert_eq!(FreshRule::FileTime("/nonexistent/stamp".into()).stale_until(SystemTime::now()), None);
    }
}
