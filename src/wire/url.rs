//! Targets, queries, percent-encoding.
//!
//! Text in, text out: what a path or a parameter means belongs to the service.
//! Decoding never fails: what is no valid escape stays as it is, and bytes
//! that are no UTF-8 become U+FFFD, as in MapProxy.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Pairs that are read from one query; what comes after is dropped, so that a
/// request with 10⁵ parameters costs no more than one with this many.
pub const PAIRS_MAX: usize = 1_000;

/// What may stand unescaped in one segment of a path and in a query's key or
/// value: RFC 3986 "unreserved".
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `ESCAPED`, save for what is harmless and common in a segment or a value of a map
/// request: keeps `EPSG:4326`, `0,0,1,1` and `a/b` readable in a query.
const ESCAPED_IN_VALUE: &AsciiSet = &ESCAPED.remove(b':').remove(b',').remove(b'/');

/// Percent-decoding of a path or a part of one: `+` is a plus sign.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    percent_decode_str(text).decode_utf8_lossy()
}

/// Percent-decoding of a query's key or value: `+` is a space.
pub fn decode_form(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return decode(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// Escapes everything but RFC 3986 "unreserved": safe as one segment of a path
/// and as a query's key or value.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// As [`escape`], but keeps `:`, `,` and `/` as they are: for a query's value.
pub fn escape_value(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED_IN_VALUE).to_string()
}

/// What may stay as it is in a path: RFC 3986 `pchar`, and the slash.
const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED_IN_VALUE
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// Escapes a whole decoded path; its slashes stay.
pub fn escape_path(path: &str) -> String {
    utf8_percent_encode(path, ESCAPED_IN_PATH).to_string()
}

/// The decoded segments of a path between its slashes, empty ones included:
/// `/a//b%20c/` → `["a", "", "b c", ""]`; `/` → `[""]`. `None` when a decoded
/// segment could act as a path by itself: it holds a NUL, `/` or `\`, or is
/// `.` or `..`.
pub fn path_segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    inner
        .split('/')
        .map(|segment| {
            let segment = decode(segment);
            let harmless = segment != "." && segment != ".." && !segment.contains(['\0', '/', '\\']);
            harmless.then_some(segment)
        })
        .collect()
}

/// Path and query of an origin-form target, split at the first question mark.
pub fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// A query's pairs in the order received, keys and values decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`; at most [`PAIRS_MAX`] pairs. A part without `=` is a
    /// key with an empty value; empty parts are left out.
    pub fn parse(query: &str) -> Query {
        let parts = query.split('&').filter(|part| !part.is_empty()).take(PAIRS_MAX);
        Query(
            parts
                .map(|part| {
                    let (key, value) = part.split_once('=').unwrap_or((part, ""));
                    (decode_form(key).into_owned(), decode_form(value).into_owned())
                })
                .collect(),
        )
    }

    /// The first value of that key; keys are compared without ASCII case.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    /// All values of that key, in order.
    pub fn get_all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    /// Whether the key is there, with or without a value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// `a=1&b=2`, escaped.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(&escape(key));
            text.push('=');
            text.push_str(&escape_value(value));
        }
        text
    }
}

/// Whether the text is a host and an optional port as a `Host` field or the
/// authority of a URL may hold it: no path, no user, port up to 65535. An
/// empty one is not.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((literal, after)) = rest.split_once(']') else { return false };
            let literal_fits = literal.contains(':')
                && literal.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
            if !literal_fits {
                return false;
            }
            match after.strip_prefix(':') {
                Some(port) => (literal, port),
                None if after.is_empty() => (literal, ""),
                None => return false,
            }
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let named = host.bytes().all(|b| {
        b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b) || (text.starts_with('[') && b == b':')
    });
    let port_fits =
        port.is_empty() || (port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    !host.is_empty() && named && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_keep_order_and_ignore_the_case_of_keys() {
        let query = Query::parse("LAYERS=a,b&styles=&Bbox=1%2C2&x=a+b%2B&flag&&layers=c");
        assert_eq!(query.get("layers"), Some("a,b"));
        assert_eq!(query.get_all("layers").collect::<Vec<_>>(), ["a,b", "c"]);
        assert_eq!(query.get("STYLES"), Some(""));
        assert_eq!(query.get("bbox"), Some("1,2"));
        assert_eq!(query.get("X"), Some("a b+"));
        assert!(query.has("FLAG") && !query.has("nothing"));
        assert_eq!(query.to_text(), "LAYERS=a,b&styles=&Bbox=1,2&x=a%20b%2B&flag=&layers=c");
    }

    #[test]
    fn too_many_pairs_are_dropped() {
        let text = "a=1&".repeat(PAIRS_MAX * 3);
        assert_eq!(Query::parse(&text).0.len(), PAIRS_MAX);
    }

    #[test]
    fn segments_that_are_paths_are_refused() {
        for path in
            ["/../etc/passwd", "/a/%2e%2e/b", "/a/..", "/a%2fb", "/a%5cb", "/..\\x", "/a%00.png", "/./a"]
        {
            assert_eq!(path_segments(path), None, "{path}");
        }
        assert_eq!(path_segments("/a//b%20c/").unwrap(), ["a", "", "b c", ""]);
        assert_eq!(path_segments("/%252e%252e").unwrap(), ["%2e%2e"]);
        assert_eq!(path_segments("/%c0%ae").unwrap(), ["\u{fffd}\u{fffd}"]);
        assert_eq!(path_segments("/").unwrap(), [""]);
    }

    #[test]
    fn hosts() {
        for host in
            ["localhost", "a.example:8080", "127.0.0.1", "[::1]", "[2001:db8::1]:80", "a:", "a_b", "x:65535"]
        {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", ":80", "a/b", "user@a", "a:99999", "a:b", "a b", "a\r\nx", "[::1", "[::1]x", "[]", "a:+5",
            "a\0", "a:80:80", "ä", "[127]", "a\"b", "<a>",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn escaping_is_undone_by_decoding(text in "\\PC*") {
            let (escaped, value) = (escape(&text), escape_value(&text));
            prop_assert_eq!(decode(&escaped), text.as_str());
            prop_assert_eq!(decode_form(&escaped), text.as_str());
            prop_assert_eq!(decode_form(&value), text.as_str());
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (decode(&text), decode_form(&text), path_segments(&text), is_host(&text), Query::parse(&text));
        }
    }
}
