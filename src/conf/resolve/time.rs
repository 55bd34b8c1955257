//! Points in time that make tiles old (mapproxy-features.md §1.3).

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::conf::TimeSpec;
use super::super::node::{Node, Value};
use super::{Resolver, number, text};

const UNITS: [(&str, f64); 5] =
    [("weeks", 604_800.0), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)];

impl Resolver<'_> {
    /// `time` before `mtime` before a span counted back from now.
    pub(super) fn time_spec(&mut self, node: &Node, path: &str) -> Option<TimeSpec> {
        if let Some(time) = node.get("time") {
            let parsed = match &time.value {
                Value::Text(text) | Value::Time(text) => parse_time(text),
                _ => None,
            };
            if parsed.is_none() {
                let text = "must be a date or a time such as 2026-11-22T10:00:00";
                self.error(time, format!("{path}.time"), text);
            }
            return parsed.map(TimeSpec::At);
        }
        if let Some(file) = text(node, "mtime") {
            return Some(TimeSpec::FileTime(self.path(&file)));
        }
        let said: Vec<f64> =
            UNITS.iter().filter_map(|(key, scale)| Some(number(node, key)? * scale)).collect();
        let seconds: f64 = said.iter().sum();
        if said.is_empty() {
            return None;
        }
        if !(0.0..1e11).contains(&seconds) {
            self.error(node, path, "must count back from now: the sum of its units is negative or too large");
            return None;
        }
        Some(TimeSpec::Ago { seconds })
    }
}

/// A point in time as YAML or ISO 8601 writes it; local time where no zone is
/// given, midnight where no time is.
pub(super) fn parse_time(text: &str) -> Option<SystemTime> {
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Some(stamp.into());
    }
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::system()).ok()?.timestamp().into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn zones_are_honoured_and_dates_are_midnight() {
        let at = |text| parse_time(text).map(|time| time.duration_since(UNIX_EPOCH).unwrap());
        assert_eq!(at("1970-01-02T00:00:01Z"), Some(Duration::from_secs(86_401)));
        assert_eq!(at("1970-01-02 01:00:00+01:00"), Some(Duration::from_secs(86_400)));
        let midnight = at("2020-06-01").unwrap();
        assert_eq!(at("2020-06-01T00:00:00"), Some(midnight));
        assert!(at("yesterday").is_none());
    }
}
