//! A corpus of requests, valid and invalid, each cut in every way.

use super::*;
use proptest::prelude::*;

fn limits() -> Limits {
    Limits { body_bytes: 1_000, ..Limits::default() }
}

/// What a stream of bytes becomes: one line for each request, then the refusal
/// or what is missing.
fn read_all(input: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<String> {
    let mut parser = Parser::new(limits(), "http");
    let mut seen = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    let mut rest = input;
    for cut in cuts {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(cut.clamp(1, rest.len()));
        rest = after;
        pending.extend_from_slice(part);
        loop {
            match parser.feed(&pending) {
                Err(refusal) => {
                    seen.push(refusal.to_string());
                    return seen;
                }
                Ok((consumed, step)) => {
                    pending.drain(..consumed);
                    match step {
                        Step::Complete(message) => seen.push(told(&message)),
                        Step::Continue => {}
                        _ => break,
                    }
                }
            }
            if pending.is_empty() {
                break;
            }
        }
    }
    if parser.is_within_request(pending.len()) {
        seen.push("incomplete".to_owned());
    }
    seen
}

fn told(message: &Message) -> String {
    let request = &message.request;
    let keep = if message.keep_alive { "keep" } else { "close" };
    let host = request.headers.get("host").unwrap_or("-");
    let body = String::from_utf8_lossy(&request.body);
    format!("{:?} {} {} {host} {keep} [{body}]", request.method, request.path, request.query)
}

fn read_whole(input: &[u8]) -> Vec<String> {
    read_all(input, std::iter::repeat(usize::MAX))
}

/// The same outcome in one piece, byte by byte and by sevens.
fn read(input: &[u8]) -> Vec<String> {
    let whole = read_whole(input);
    for step in [1, 2, 7] {
        assert_eq!(read_all(input, std::iter::repeat(step)), whole, "{:?}", String::from_utf8_lossy(input));
    }
    whole
}

const HOST: &str = "Host: h\r\n";

#[test]
fn valid_requests() {
    let cases: &[(&str, &[&str])] = &[
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &["Get /  h keep []"]),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", &["Get /  h keep []"]),
        ("GET /a?b=c?d HTTP/1.1\r\nhOST:h:80\r\n\r\n", &["Get /a b=c?d h:80 keep []"]),
        ("GET /? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", &["Get /  [::1]:80 keep []"]),
        ("GET //x HTTP/1.1\r\nHost: h\r\n\r\n", &["Get //x  h keep []"]),
        ("GET /%00%2e HTTP/1.1\r\nHost: h\r\n\r\n", &["Get /%00%2e  h keep []"]),
        ("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &["Head /  h close []"]),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: TE, Close\r\n\r\n", &["Get /  h close []"]),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", &["Get /  h keep []"]),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: host\r\n\r\n",
            &["Get /  h keep []"],
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\n", &["Get /  h close []"]),
        ("GET / HTTP/1.0\r\n\r\n", &["Get /  - close []"]),
        ("GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n", &["Get /  h keep []"]),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", &["Get /  h keep []"]),
        ("GET http://g:1/a?b HTTP/1.1\r\nHost: h\r\n\r\n", &["Get /a b g:1 keep []"]),
        ("GET HTTPS://g HTTP/1.1\r\nHost: h\r\n\r\n", &["Get /  g keep []"]),
        ("GET http://g?x HTTP/1.0\r\n\r\n", &["Get / x g close []"]),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &["Options *  h keep []"]),
        ("CONNECT g:443 HTTP/1.1\r\nHost: h\r\n\r\n", &["Other(\"CONNECT\") /  g:443 keep []"]),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", &["Other(\"TRACE\") /  h keep []"]),
        ("get / HTTP/1.1\r\nHost: h\r\n\r\n", &["Other(\"get\") /  h keep []"]),
        ("GET / HTTP/1.1\r\nHost:\t h \t\r\nX:\r\nY: a\tb\r\n\r\n", &["Get /  h keep []"]),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", &["Post /  h keep [abc]"]),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length:003\r\n\r\nabc", &["Post /  h keep [abc]"]),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &["Post /  h keep []"]),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", &["Get /  h keep [abc]"]),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
            &["Post /  h keep [abc]"],
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\na",
            &["Post /  h keep [a]"],
        ),
        ("GET / HTTP/1.0\r\nExpect: nonsense\r\n\r\n", &["Get /  - close []"]),
        (
            "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
            &["Get /1  h keep []", "Get /2  h keep []"],
        ),
        (
            "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
            &["Post /1  h keep [a]", "Get /2  h keep []"],
        ),
        (
            "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nBAD\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
            &["Get /1  h keep []", "400: request line is not method, target, version"],
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\n", &["incomplete"]),
        ("G", &["incomplete"]),
        ("", &[]),
        ("\r\n", &[]),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab", &["incomplete"]),
    ];
    for (input, expected) in cases {
        assert_eq!(read(input.as_bytes()), *expected, "{input:?}");
    }
}

#[test]
fn refused_request_lines() {
    for (line, status) in [
        ("GET /", 400),
        ("GET", 400),
        ("GET /  HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET\t/\tHTTP/1.1", 400),
        ("GET / HTTP/1.1\t", 400),
        ("G@T / HTTP/1.1", 400),
        ("GET: / HTTP/1.1", 400),
        ("GET / a HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET h:80 HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("GET ftp://h/ HTTP/1.1", 400),
        ("GET http:///a HTTP/1.1", 400),
        ("GET http://u@h/ HTTP/1.1", 400),
        ("GET http://h:99999/ HTTP/1.1", 400),
        ("GET file:///etc/passwd HTTP/1.1", 400),
        ("CONNECT /a/../b HTTP/1.x", 400),
        ("CONNECT h/a HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP/11", 400),
        ("GET / HTTP/9", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/01.1", 400),
        ("GET / HTTP 1.1", 400),
        ("GET / XTTP/1.1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/9.9", 505),
        ("PRI * HTTP/2.0", 400),
        ("GET /\u{0} HTTP/1.1", 400),
        ("GET /\u{7f} HTTP/1.1", 400),
        ("GET /ä HTTP/1.1", 400),
        ("GÄT / HTTP/1.1", 400),
        ("SSH-2.0-OpenSSH_9.2p1", 400),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 5 80", 400),
        ("\u{16}\u{3}\u{1}\u{2}", 400),
        ("\u{1}\u{1}\u{0}\u{1}\u{0}\u{8}\u{0}\u{0}", 400),
    ] {
        let input = format!("{line}\r\n{HOST}\r\n");
        let status = if line.starts_with("PRI") { 505 } else { status };
        let outcome = read(input.as_bytes());
        assert_eq!(outcome.len(), 1, "{line:?}");
        assert!(outcome[0].starts_with(&status.to_string()), "{line:?}: {outcome:?}");
    }
}

#[test]
fn refused_fields() {
    for fields in [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: h\r\nHost: h\r\n",
        "Host: h\r\nhost: g\r\n",
        "Host: h/path\r\n",
        "Host: user@h\r\n",
        "Host: h:99999\r\n",
        "Host: h:x\r\n",
        "Host: h, g\r\n",
        "Host: h g\r\n",
        "Host: h\u{0}\r\n",
        "Host: h\"><script>\r\n",
        "Host : h\r\n",
        " Host: h\r\n",
        "Host: h\r\nX\r\n",
        "Host: h\r\n: x\r\n",
        "Host: h\r\nX Y: x\r\n",
        "Host: h\r\nX: a\r\n folded\r\n",
        "Host: h\r\nX: a\r\n\tfolded\r\n",
        "Host: h\nX: a\r\n",
        "Host: h\r\nX: a\n\r\n",
        "Host: h\r\nX: a\rb\r\n",
        "Host: h\r\nX: a\u{0}b\r\n",
        "Host: h\r\nX: a\u{b}b\r\n",
        "Host: h\r\nX: ä\r\n",
        "Host: h\r\nÄ: a\r\n",
        "Host: h\r\nX\t: a\r\n",
        "Host: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Host: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "Host: h\r\nContent-Length: 1\r\ncontent-length: 1\r\n",
        "Host: h\r\nContent-Length: +5\r\n",
        "Host: h\r\nContent-Length: -1\r\n",
        "Host: h\r\nContent-Length: 5,5\r\n",
        "Host: h\r\nContent-Length: 5, 5\r\n",
        "Host: h\r\nContent-Length: 0x5\r\n",
        "Host: h\r\nContent-Length:  5 \r\n",
        "Host: h\r\nContent-Length: 5 \r\n",
        "Host: h\r\nContent-Length:\t5\r\n",
        "Host: h\r\nContent-Length: 5.0\r\n",
        "Host: h\r\nContent-Length: 1e1\r\n",
        "Host: h\r\nContent-Length:\r\n",
        "Host: h\r\nContent-Length: 18446744073709551616\r\n",
        "Host: h\r\nContent-Length : 5\r\n",
        "Host: h\r\nContent-Length\u{b}: 5\r\n",
        "Host: h\r\nTransfer-Encoding: chunked, identity\r\n",
        "Host: h\r\nTransfer-Encoding: identity\r\n",
        "Host: h\r\nTransfer-Encoding: xchunked\r\n",
        "Host: h\r\nTransfer-Encoding: chunked, chunked\r\n",
        "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Host: h\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: h\r\nTransfer-Encoding\t: chunked\r\n",
        "Host: h\r\nTransfer-Encoding\u{b}: chunked\r\n",
        "Host: h\r\nTransfer-Encoding: \"chunked\"\r\n",
        "Host: h\r\nTransfer-Encoding:\r\n chunked\r\n",
        "Host: h\r\nTransfer-Encoding:\u{b}chunked\r\n",
        "Host: h\r\nTransfer-Encoding: chunked;q=1\r\n",
    ] {
        // A second request hides behind the first: it must never come out.
        let input =
            format!("POST / HTTP/1.1\r\n{fields}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        let outcome = read(input.as_bytes());
        assert_eq!(outcome.len(), 1, "{fields:?}: {outcome:?}");
        assert!(outcome[0].starts_with("400"), "{fields:?}: {outcome:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(read(old.as_bytes())[0].starts_with("400"));
    let two = "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n";
    assert!(read(two.as_bytes())[0].starts_with("400"));
    let expect = "POST / HTTP/1.1\r\nHost: h\r\nExpect: nonsense\r\nContent-Length: 1\r\n\r\n";
    assert!(read(expect.as_bytes())[0].starts_with("417"));
    let blank = "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(read(blank.as_bytes())[0].starts_with("400"));
}

#[test]
fn limits_hold_to_the_byte() {
    let line = |bytes: usize| format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(bytes - 14));
    assert!(read_whole(line(8192).as_bytes())[0].starts_with("Get"));
    assert!(read_whole(line(8193).as_bytes())[0].starts_with("414"));
    assert!(read_whole(line(100_000).as_bytes())[0].starts_with("414"));
    let field = |bytes: usize| format!("GET / HTTP/1.1\r\n{HOST}X: {}\r\n\r\n", "a".repeat(bytes - 3));
    assert!(read_whole(field(8192).as_bytes())[0].starts_with("Get"));
    assert!(read_whole(field(8193).as_bytes())[0].starts_with("431"));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "X: 1\r\n".repeat(count - 1));
    assert!(read_whole(fields(100).as_bytes())[0].starts_with("Get"));
    assert!(read_whole(fields(101).as_bytes())[0].starts_with("431"));
    let block = format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", format!("X: {}\r\n", "a".repeat(8000)).repeat(5));
    assert!(read_whole(block.as_bytes())[0].starts_with("431"));
    for (body, status) in [(1_000, "Post"), (1_001, "413"), (usize::MAX, "413")] {
        let head = format!("POST / HTTP/1.1\r\n{HOST}Content-Length: {body}\r\n\r\n");
        let sent = "a".repeat(body.min(1_000));
        assert!(read_whole(format!("{head}{sent}").as_bytes())[0].starts_with(status), "{body}");
    }
    let chunks = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3e9\r\n");
    assert!(read_whole(chunks.as_bytes())[0].starts_with("413"));
}

#[test]
fn continue_is_announced_once_and_only_to_who_waits() {
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut parser = Parser::new(limits(), "http");
    let (consumed, step) = parser.feed(head).unwrap();
    assert!(consumed == head.len() && matches!(step, Step::Continue));
    assert!(parser.is_within_body());
    assert!(matches!(parser.feed(b"a").unwrap(), (1, Step::More)));
    assert!(matches!(parser.feed(b"b").unwrap(), (1, Step::Complete(_))));

    let eager = [&head[..], b"a"].concat();
    let mut parser = Parser::new(limits(), "http");
    assert!(matches!(parser.feed(&eager).unwrap().1, Step::More));
}

#[test]
fn a_thousand_pipelined_requests_come_out_in_order() {
    let input: String = (0..1_000).map(|n| format!("GET /{n} HTTP/1.1\r\n{HOST}\r\n")).collect();
    let outcome = read_whole(input.as_bytes());
    assert_eq!(outcome.len(), 1_000);
    assert!(outcome.iter().enumerate().all(|(n, told)| told.starts_with(&format!("Get /{n} "))));
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same(
        input in "(GET|POST|P ST) (/|/a\\?b|\\*|x)( |  )HTTP/1\\.[01]\r\n(Host: h\r\n|H\r\n)?(Content-Length: [0-9]\r\n|Transfer-Encoding: chunked\r\n)?\r?\n[0-9a-f\r\n;]{0,30}",
        cuts in proptest::collection::vec(1usize..20, 200),
    ) {
        prop_assert_eq!(read_all(input.as_bytes(), cuts.into_iter()), read_whole(input.as_bytes()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        input in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(1usize..20, 300),
    ) {
        prop_assert_eq!(read_all(&input, cuts.into_iter()), read_whole(&input));
    }
}
