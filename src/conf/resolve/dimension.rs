//! Dimensions of layers: values written one by one, or intervals
//! (`start/end/period`) that are spelled out here.

use jiff::civil::DateTime;
use jiff::{Span, Timestamp};

use super::super::conf::DimensionConf;
use super::super::node::Node;
use super::Resolver;

/// Most values that one interval may stand for.
const VALUES_MAX: usize = 100_000;

impl Resolver<'_> {
    pub(super) fn dimensions(&mut self, layer: &Node, path: &str) -> Vec<DimensionConf> {
        let mut found = Vec::new();
        for entry in super::section(layer, "dimensions") {
            let path = format!("{path}.dimensions.{}", entry.key);
            let Some(list) = entry.value.get("values") else { continue };
            let values = match self.dimension_values(list, &entry.key, &path) {
                Some(values) if !values.is_empty() => values,
                Some(_) => {
                    self.error(list, format!("{path}.values"), "must hold at least one value");
                    continue;
                }
                None => continue,
            };
            let default = entry.value.get("default").and_then(Node::printed);
            let default = default.unwrap_or_else(|| values.last().cloned().unwrap_or_default());
            found.push(DimensionConf { name: entry.key.to_string(), values, default });
        }
        found
    }

    /// A single value is an interval: of time where the name says so, else a
    /// list with slashes.
    fn dimension_values(&mut self, list: &Node, name: &str, path: &str) -> Option<Vec<String>> {
        let values: Vec<String> = list.items().iter().filter_map(Node::printed).collect();
        let [only] = &values[..] else { return Some(values) };
        if !name.to_lowercase().contains("time") {
            return Some(only.trim().split('/').map(str::to_owned).collect());
        }
        match spell_out(only.trim()) {
            Ok(values) => Some(values),
            Err(reason) => {
                self.error(list, format!("{path}.values"), format!("\"{only}\": {reason}"));
                None
            }
        }
    }
}

/// The points of an interval, as MapProxy prints them.
fn spell_out(text: &str) -> Result<Vec<String>, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (start, end, period) = match parts[..] {
        [point] => return Ok(vec![parse_point(point)?.print()]),
        [start, period] if period.starts_with('P') => (Some(start), None, period),
        [period, end] if period.starts_with('P') => (None, Some(end), period),
        [start, end, period] if period.starts_with('P') => (Some(start), Some(end), period),
        _ => {
            return Err("is no time and no interval such as 2026-01-01T00:00:00Z/2026-01-02T00:00:00Z/PT6H"
                .to_owned());
        }
    };
    let step: Span = period.parse().map_err(|_| format!("{period} is no duration such as PT6H"))?;
    let wrong = |_| "goes beyond the calendar".to_owned();
    let start = start.map(parse_point).transpose()?;
    let end = end.map(parse_point).transpose()?;
    let (start, end) = match (start, end) {
        (Some(start), Some(end)) => (start, end),
        (Some(start), None) => (start, Point { at: start.at.checked_add(step).map_err(wrong)?, ..start }),
        (None, Some(end)) => (Point { at: end.at.checked_sub(step).map_err(wrong)?, ..end }, end),
        (None, None) => return Err("has neither a start nor an end".to_owned()),
    };
    let first_step = start.at.checked_add(step).map_err(wrong)?;
    if first_step <= start.at {
        return Err(format!("the duration {period} does not move forward"));
    }
    // MapProxy's interval holds its end, and one step more where the end is not met exactly.
    let limit = end.at.checked_add(step).map_err(wrong)?;
    let mut values = Vec::new();
    let mut at = start.at;
    while at < limit {
        if values.len() == VALUES_MAX {
            return Err(format!("stands for more than {VALUES_MAX} values"));
        }
        values.push(Point { at, ..start }.print());
        at = at.checked_add(step).map_err(wrong)?;
    }
    Ok(values)
}

/// A point in time, in UTC if it says so, else without a zone.
#[derive(Clone, Copy)]
struct Point {
    at: DateTime,
    utc: bool,
}

impl Point {
    fn print(&self) -> String {
        let zone = if self.utc { "Z" } else { "" };
        format!("{}{zone}", self.at.strftime("%Y-%m-%dT%H:%M:%S%.f"))
    }
}

fn parse_point(text: &str) -> Result<Point, String> {
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Ok(Point { at: stamp.to_zoned(jiff::tz::TimeZone::UTC).datetime(), utc: true });
    }
    text.parse()
        .map(|at| Point { at, utc: false })
        .map_err(|_| format!("{text} is no time such as 2026-01-01T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_as_mapproxy_spells_them_out() {
        for (text, expected) in [
            ("2020-08-25T00:00:00Z", "2020-08-25T00:00:00Z"),
            (
                "2020-03-25T12:00:00Z/2020-03-27T00:00:00Z/PT12H",
                "2020-03-25T12:00:00Z 2020-03-26T00:00:00Z 2020-03-26T12:00:00Z 2020-03-27T00:00:00Z",
            ),
            (
                "2020-03-25T12:00:00Z/2020-03-27T00:00:00Z/PT12H30M",
                "2020-03-25T12:00:00Z 2020-03-26T00:30:00Z 2020-03-26T13:00:00Z 2020-03-27T01:30:00Z",
            ),
            ("2020-01-31/P1M", "2020-01-31T00:00:00 2020-02-29T00:00:00"),
        ] {
            assert_eq!(spell_out(text).map(|values| values.join(" ")), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn endless_and_broken_intervals_are_refused() {
        for text in [
            "2020-01-01T00:00:00Z/2030-01-01T00:00:00Z/PT1S",
            "2020-01-01T00:00:00Z/2030-01-01T00:00:00Z/PT0S",
            "2020-01-01T00:00:00Z/2030-01-01T00:00:00Z/-PT1H",
            "a/b/c",
            "yesterday",
            "P1D/P1D",
            "9999-12-31T00:00:00Z/P1Y",
        ] {
            assert!(spell_out(text).is_err(), "{text}");
        }
    }
}
