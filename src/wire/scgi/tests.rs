//! Netstrings in, requests out; however the bytes are cut.

use proptest::prelude::*;

use super::*;

fn parser() -> Parser {
    Parser::new(Limits::default(), Arc::new(Mount { services: &["service"], ..Mount::default() }))
}

fn block(pairs: &[(&str, &str)]) -> Vec<u8> {
    pairs
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat())
        .collect()
}

fn netstring(content: &[u8]) -> Vec<u8> {
    [content.len().to_string().as_bytes(), b":", content, b","].concat()
}

fn request(length: &str, extra: &[(&str, &str)], body: &str) -> Vec<u8> {
    let own =
        [("CONTENT_LENGTH", length), ("SCGI", "1"), ("REQUEST_METHOD", "POST"), ("PATH_INFO", "/service")];
    [netstring(&block(&[&own, extra].concat())), body.as_bytes().to_vec()].concat()
}

fn run(bytes: &[u8], cut: usize) -> String {
    let mut parser = parser();
    let mut pending = Vec::new();
    for part in bytes.chunks(cut) {
        pending.extend_from_slice(part);
        match parser.feed(&pending) {
            Err(refusal) => return refusal.to_string(),
            Ok((_, Step::Complete(message))) => {
                assert!(!message.keep_alive);
                let body = String::from_utf8_lossy(&message.request.body).into_owned();
                return format!("{} {body}", message.request.path);
            }
            Ok((consumed, _)) => pending.drain(..consumed),
        };
    }
    if parser.is_within_request(pending.len()) { "incomplete".to_owned() } else { String::new() }
}

fn whole(bytes: &[u8]) -> String {
    let seen = run(bytes, bytes.len().max(1));
    for cut in 1..12 {
        assert_eq!(run(bytes, cut), seen, "cut every {cut} bytes");
    }
    seen
}

#[test]
fn requests() {
    assert_eq!(whole(&request("0", &[], "")), "/service ");
    assert_eq!(whole(&request("5", &[], "hello")), "/service hello");
    assert_eq!(whole(&request("5", &[], "hel")), "incomplete");
    assert_eq!(whole(b""), "");
}

#[test]
fn what_is_no_request_is_refused() {
    for (bytes, outcome) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "400: not SCGI: no netstring"),
        (b"012:".to_vec(), "400: not SCGI: no netstring"),
        (b":".to_vec(), "400: not SCGI: no netstring"),
        (b"99999999:".to_vec(), "431: variables over the limit"),
        (b"65537:".to_vec(), "431: variables over the limit"),
        (b"4:a\0b\0;".to_vec(), "400: netstring without its comma"),
        (netstring(b"a\0b"), "400: malformed variables"),
        (netstring(b""), "400: malformed variables"),
        (netstring(b"a\0b\0c\0"), "400: a variable without a value"),
        (netstring(&block(&[("CONTENT_LENGTH", "0")])), "400: no variable SCGI with the value 1"),
        (
            netstring(&block(&[("SCGI", "1"), ("REQUEST_METHOD", "GET"), ("PATH_INFO", "/")])),
            "400: no CONTENT_LENGTH",
        ),
        (request("x", &[], ""), "400: malformed CONTENT_LENGTH"),
        (request("9999999", &[], ""), "413: body over the limit"),
        (request("0", &[("HTTP_HOST", "a\r\nb")], ""), "400: control byte in a header field"),
    ] {
        assert_eq!(whole(&bytes), outcome, "{}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(whole(&request("0", &vec![("A", "b"); 300], "")), "431: too many variables");
}

proptest! {
    #[test]
    fn nothing_panics(bytes in "[0-9:,\0-\u{3}a-z]{0,40}", cut in 1usize..8) {
        prop_assert_eq!(run(bytes.as_bytes(), cut), run(bytes.as_bytes(), usize::MAX));
    }
}
