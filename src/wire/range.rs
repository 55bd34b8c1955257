//! Ranges of bytes (RFC 9110 §14): one range of an answer that has a strong
//! entity tag, which here is a stored tile or a file of the demo.
//!
//! Maps are not cut: each part would be drawn from the beginning, and nobody
//! could tell whether two parts belong together. Lists of ranges get the whole,
//! as the RFC allows: packing them costs more than it saves.

use super::message::{Body, Headers, Method, Request, Response};

/// What a Range field asks of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing that is served here: the whole.
    Whole,
    /// From, to (inclusive).
    Part(usize, usize),
    /// Nothing of it is there.
    Beyond,
}

fn read(field: &str, length: usize) -> Asked {
    let Some(("bytes", spec)) = field.split_once('=').map(|(unit, spec)| (unit.trim(), spec.trim())) else {
        return Asked::Whole;
    };
    let Some((from, to)) = spec.split_once('-') else { return Asked::Whole };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(from) || !digits(to) || (from.is_empty() && to.is_empty()) {
        return Asked::Whole;
    }
    // More digits than a number holds are beyond any end.
    let number = |text: &str| text.parse::<usize>().unwrap_or(usize::MAX);
    let last = length.checked_sub(1);
    if from.is_empty() {
        let count = number(to).min(length);
        return match last {
            Some(last) if count > 0 => Asked::Part(length - count, last),
            _ => Asked::Beyond,
        };
    }
    let from = number(from);
    let to = if to.is_empty() { usize::MAX } else { number(to) };
    match last {
        _ if to < from => Asked::Whole,
        Some(last) if from <= last => Asked::Part(from, to.min(last)),
        _ => Asked::Beyond,
    }
}

/// Whether a part belongs to what the client has (If-Range, §13.1.5): only the
/// very same strong tag or date says so.
fn fits_if_range(headers: &Headers, etag: &str, modified: Option<&str>) -> bool {
    headers.get("If-Range").is_none_or(|wanted| {
        let wanted = wanted.trim();
        wanted == etag || Some(wanted) == modified
    })
}

/// Whether the request asks for a part at all.
pub fn is_asked(request: &Request) -> bool {
    request.method == Method::Get && request.headers.get("Range").is_some()
}

/// Cuts the response to the part that the fields ask for, where it can be cut.
pub fn cut(headers: &Headers, mut response: Response) -> Response {
    let field = |name: &str| {
        response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let Some(etag) = field("ETag").filter(|etag| !etag.starts_with("W/") && response.status == 200) else {
        return response;
    };
    if field("Content-Encoding").is_some() || !fits_if_range(headers, etag, field("Last-Modified")) {
        return response;
    }
    let length = response.body.as_slice().len();
    match headers.get("Range").map(|range| read(range, length)) {
        None | Some(Asked::Whole) => response,
        Some(Asked::Part(from, to)) => {
            response.status = 206;
            response.body = Body::Bytes(response.body.as_slice()[from..=to].to_vec());
            response.with("Content-Range", format!("bytes {from}-{to}/{length}"))
        }
        Some(Asked::Beyond) => {
            response.status = 416;
            response.body = Body::Empty;
            response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Content-Type"));
            response.with("Content-Range", format!("bytes */{length}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        Headers(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn ranges_of_ten_bytes() {
        for (range, status, body) in [
            ("bytes=0-0", 206, "0"),
            ("bytes=2-4", 206, "234"),
            ("bytes=7-", 206, "789"),
            ("bytes=7-99999999999999999999999", 206, "789"),
            ("bytes=-3", 206, "789"),
            ("bytes=-99", 206, "0123456789"),
            ("bytes=10-", 416, ""),
            ("bytes=99999999999999999999999-", 416, ""),
            ("bytes=-0", 416, ""),
            ("bytes=4-2", 200, "0123456789"),
            ("bytes=0-1,4-5", 200, "0123456789"),
            ("bytes=+1-2", 200, "0123456789"),
            ("bytes=-", 200, "0123456789"),
            ("bytes=", 200, "0123456789"),
            ("lines=1-2", 200, "0123456789"),
            ("nonsense", 200, "0123456789"),
        ] {
            let response = Response::new(200, "image/png", "0123456789").with("ETag", "\"a\"");
            let cut = cut(&headers(&[("Range", range)]), response);
            assert_eq!((cut.status, cut.body.as_slice()), (status, body.as_bytes()), "{range}");
            let told = cut.headers.iter().any(|(name, _)| name == "Content-Range");
            assert_eq!(told, status != 200, "{range}");
        }
    }

    #[test]
    fn only_what_is_surely_the_same_is_cut() {
        let date = "Sun, 22 Nov 2026 14:00:00 GMT";
        for (etag, if_range, status) in [
            ("\"a\"", None, 206),
            ("\"a\"", Some("\"a\""), 206),
            ("\"a\"", Some("\"b\""), 200),
            ("\"a\"", Some("W/\"a\""), 200),
            ("\"a\"", Some(date), 206),
            ("\"a\"", Some("Sun, 22 Nov 2026 14:00:01 GMT"), 200),
            ("W/\"a\"", None, 200),
            ("W/\"a\"", Some("W/\"a\""), 200),
        ] {
            let response =
                Response::new(200, "image/png", "0123456789").with("ETag", etag).with("Last-Modified", date);
            let mut fields = vec![("Range", "bytes=1-2")];
            fields.extend(if_range.map(|value| ("If-Range", value)));
            assert_eq!(cut(&headers(&fields), response).status, status, "{etag} {if_range:?}");
        }
        let untagged = Response::new(200, "image/png", "0123456789");
        assert_eq!(cut(&headers(&[("Range", "bytes=1-2")]), untagged).status, 200);
    }

    proptest! {
        #[test]
        fn any_field_of_any_body(range in "(bytes=)?[-0-9, ]{0,30}", length in 0_usize..20) {
            let response = Response::new(200, "image/png", vec![b'x'; length]).with("ETag", "\"a\"");
            let cut = cut(&headers(&[("Range", range.as_str())]), response);
            prop_assert!(cut.body.as_slice().len() <= length);
        }
    }
}
