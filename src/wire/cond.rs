//! Conditional requests: ETag, If-None-Match, If-Modified-Since; dates.
//!
//! Decides only; what the validators are is the service's business.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Headers;

/// 9999-12-31T23:59:59Z, the last second that an HTTP date can name.
const LAST_SECOND_S: u64 = 253_402_300_799;

/// `abc` → `"abc"`. What cannot stand in an entity tag is left out.
pub fn quote_etag(tag: &str) -> String {
    let inner: String = tag.chars().filter(|c| matches!(c, '!' | '#'..='~')).collect();
    format!("\"{inner}\"")
}

/// The opaque part of an entity tag: without `W/` and without quotes. A tag
/// without quotes is taken as it is, because clients of MapProxy send back the
/// unquoted tag that it gave them.
fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(tag)
}

/// Whether an If-None-Match field names this entity tag (weak comparison, RFC
/// 9110 §8.8.3.2). `etag` may be quoted or not.
pub fn etag_matches(if_none_match: &str, etag: &str) -> bool {
    if if_none_match.trim() == "*" {
        return true;
    }
    let wanted = opaque(etag);
    let mut rest = if_none_match;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return false;
        }
        let (candidate, after) = split_tag(rest);
        if opaque(candidate) == wanted {
            return true;
        }
        rest = after;
    }
}

/// The first tag of a list and what follows it. A comma inside of quotes
/// belongs to the tag.
fn split_tag(list: &str) -> (&str, &str) {
    let quoted_from = list.strip_prefix("W/\"").map(|_| 3).or_else(|| list.strip_prefix('"').map(|_| 1));
    let end = match quoted_from {
        Some(from) => list[from..].find('"').map_or(list.len(), |at| from + at + 1),
        None => list.find(',').unwrap_or(list.len()),
    };
    list.split_at(end)
}

/// An HTTP date in any of the three forms of RFC 9110 §5.6.7.
pub fn parse_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text.trim()).ok()
}

/// `Sun, 22 Nov 2026 14:00:00 GMT`. Times before 1970 or after 9999 become the
/// nearest that can be named: file times come from disks.
pub fn format_date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().min(LAST_SECOND_S));
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Whether the client has what would be sent (304). If-Modified-Since counts
/// only where If-None-Match is absent (RFC 9110 §13.2.2).
pub fn not_modified(headers: &Headers, etag: Option<&str>, modified: Option<SystemTime>) -> bool {
    let mut tags = headers.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case("if-none-match")).peekable();
    if tags.peek().is_some() {
        return tags.any(|(_, list)| etag.is_some_and(|etag| etag_matches(list, etag)));
    }
    let (Some(since), Some(modified)) = (headers.get("if-modified-since").and_then(parse_date), modified)
    else {
        return false;
    };
    whole_seconds(modified) <= whole_seconds(since)
}

/// Seconds since 1970; dates on the wire have no parts of a second.
fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags() {
        for (list, etag, expected) in [
            ("\"a\"", "a", true),
            ("\"a\"", "\"a\"", true),
            ("a", "\"a\"", true),
            ("W/\"a\"", "a", true),
            ("\"x\", \"a\"", "a", true),
            ("\"x\",\"y\",W/\"a\"", "\"a\"", true),
            ("x,a", "a", true),
            ("*", "anything", true),
            (" * ", "anything", true),
            ("\"a,b\"", "a,b", true),
            ("\"a,b\"", "a", false),
            ("\"b\"", "a", false),
            ("", "a", false),
            (",,,", "a", false),
            ("\"a", "b", false),
            ("W/", "a", false),
        ] {
            assert_eq!(etag_matches(list, etag), expected, "{list} {etag}");
        }
        assert_eq!(quote_etag("a\"b\r\nc d"), "\"abcd\"");
    }

    #[test]
    fn dates_out_of_range_are_brought_into_it() {
        assert_eq!(format_date(UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_date(UNIX_EPOCH - Duration::from_secs(99)), "Thu, 01 Jan 1970 00:00:00 GMT");
        let late = UNIX_EPOCH + Duration::from_secs(LAST_SECOND_S * 5);
        assert_eq!(format_date(late), "Fri, 31 Dec 9999 23:59:59 GMT");
        for text in ["Mon, 01 Jan 0000 00:00:00 GMT", "year 9", "", "Sun, 22 Nov 2026 25:00:00 GMT"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(parse_date(&format_date(time)), Some(time));
    }

    fn headers(fields: &[(&str, &str)]) -> Headers {
        Headers(fields.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect())
    }

    #[test]
    fn if_none_match_goes_before_if_modified_since() {
        let time = UNIX_EPOCH + Duration::from_millis(1_000_000_000_700);
        let date = format_date(time);
        let before = format_date(time - Duration::from_secs(2));
        for (fields, expected) in [
            (vec![("If-Modified-Since", date.as_str())], true),
            (vec![("If-Modified-Since", before.as_str())], false),
            (vec![("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT")], true),
            (vec![("If-Modified-Since", "nonsense")], false),
            (vec![("If-None-Match", "\"b\""), ("If-Modified-Since", date.as_str())], false),
            (vec![("If-None-Match", "\"a\""), ("If-Modified-Since", before.as_str())], true),
            (vec![("If-None-Match", "\"b\""), ("If-None-Match", "\"a\"")], true),
            (vec![], false),
        ] {
            assert_eq!(not_modified(&headers(&fields), Some("a"), Some(time)), expected, "{fields:?}");
        }
        assert!(!not_modified(&headers(&[("If-None-Match", "*")]), None, Some(time)));
    }

    proptest! {
        #[test]
        fn lists_never_panic_or_loop(list in "[\"W/,a* \\t]{0,40}") {
            let _ = etag_matches(&list, "a");
        }
    }
}
