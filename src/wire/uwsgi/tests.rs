//! Blocks in, requests out; however the bytes are cut.

use proptest::prelude::*;

use super::*;

fn parser() -> Parser {
    Parser::new(Limits::default(), Arc::new(Mount { services: &["service"], ..Mount::default() }))
}

fn block(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    pairs.iter().flat_map(|(name, value)| [text(name), text(value)].concat()).collect()
}

fn packet(modifier: u8, block: &[u8]) -> Vec<u8> {
    let [low, high] = (block.len() as u16).to_le_bytes();
    [&[modifier, low, high, 0], block].concat()
}

fn request(modifier: u8, extra: &[(&str, &str)], body: &str) -> Vec<u8> {
    let own = [("REQUEST_METHOD", "POST"), ("PATH_INFO", "/service")];
    [packet(modifier, &block(&[&own, extra].concat())), body.as_bytes().to_vec()].concat()
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
    assert_eq!(whole(&request(0, &[], "")), "/service ");
    assert_eq!(whole(&request(0, &[("CONTENT_LENGTH", "")], "")), "/service ");
    assert_eq!(whole(&request(30, &[("CONTENT_LENGTH", "5")], "hello")), "/service hello");
    assert_eq!(whole(&request(0, &[("CONTENT_LENGTH", "5")], "hel")), "incomplete");
    let wide = "v".repeat(7_000);
    let parts: Vec<(&str, &str)> =
        ["HTTP_A", "HTTP_B", "OTHER", "OTHER", "OTHER"].map(|n| (n, &*wide)).to_vec();
    assert_eq!(whole(&request(0, &parts, "")), "/service ");
}

#[test]
fn what_is_no_request_is_refused() {
    for (bytes, outcome) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "400: not uwsgi, or a modifier other than 0 and 30"),
        (request(5, &[], ""), "400: not uwsgi, or a modifier other than 0 and 30"),
        (packet(0, &[9, 0, b'a']), "400: malformed variables"),
        (packet(0, &[1, 0, b'a']), "400: malformed variables"),
        (packet(0, &[1, 0, b'a', 255, 255]), "400: malformed variables"),
        (packet(0, &[]), "400: no REQUEST_METHOD"),
        (request(0, &[("CONTENT_LENGTH", "x")], ""), "400: malformed CONTENT_LENGTH"),
        (request(0, &[("CONTENT_LENGTH", "9999999")], ""), "413: body over the limit"),
        (request(0, &[("HTTP_HOST", "a\nb")], ""), "400: control byte in a header field"),
    ] {
        assert_eq!(whole(&bytes), outcome, "{bytes:?}");
    }
    assert_eq!(whole(&request(0, &vec![("A", "b"); 300], "")), "431: too many variables");
    let mut tight = Parser::new(
        Limits { header_bytes: 100, request_line_bytes: 100, ..Limits::default() },
        Arc::default(),
    );
    let refusal = tight.feed(&request(0, &[("HTTP_A", &"v".repeat(500))], "")).unwrap_err();
    assert_eq!(refusal.status, 431);
}

proptest! {
    #[test]
    fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..60), cut in 1usize..8) {
        if let [modifier, _, high, ..] = bytes.as_mut_slice() {
            (*modifier, *high) = (0, 0);
        }
        let all = run(&bytes, usize::MAX);
        prop_assert_eq!(run(&bytes, cut), all);
    }
}
