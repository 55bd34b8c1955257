//! HTTP from hostile or odd clients (reliability.md, group E): bytes in, and
//! what must come back. Deadlines are shortened by `limits:`, so that waiting
//! for one costs a fraction of a second.

use std::time::Duration;

use crate::harness::daemon::Setup;
use crate::harness::{Client, Daemon, End, PATIENCE, TestDir, Upstream, await_some, painted, silent};
use crate::smoke::painted_map;

pub const TILE: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";
pub const HOST: &str = "Host: maps.test\r\n";

/// One worker, so that its log tells the order of things.
pub fn start<'a>(dir: &'a TestDir, upstream: &Upstream, limits: &str) -> Daemon {
    let setup: Setup<'a> = Setup::new(dir, painted_map(upstream)).workers(1);
    setup.daemon_yaml(&format!("limits: {{{limits}}}\n")).start()
}

/// The server is well: it still serves the right tile.
pub fn check_tile(daemon: &Daemon) {
    let reply = daemon.get(TILE);
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
}

/// Sends bytes; everything that came back, and how it ended.
pub fn send(daemon: &Daemon, bytes: &[u8]) -> (Vec<u8>, End) {
    let mut client = daemon.client();
    // A refusal may be there already, and is read even where the rest finds nobody.
    let _ = client.send(bytes);
    client.read_to_end()
}

pub fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).filter(|w| *w == needle).count()
}

/// Exactly one answer with one of these states, told to close, then a clean
/// end; what is wrong otherwise.
pub fn fault_of_refusal(daemon: &Daemon, bytes: &[u8], statuses: &[u16]) -> Option<String> {
    let (answer, end) = send(daemon, bytes);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok()).unwrap_or(0);
    if !statuses.contains(&status) {
        return Some(format!("{status} in place of {statuses:?}, {end:?}: {text:.200}"));
    }
    let answers = count(&answer, b"HTTP/1.1 ");
    if answers != 1 {
        return Some(format!("{answers} answers: {text:.400}"));
    }
    if !text.to_ascii_lowercase().contains("\r\nconnection: close\r\n") {
        return Some(format!("no Connection: close: {text:.200}"));
    }
    (end != End::Fin).then(|| format!("ended with {end:?}"))
}

/// A table of refusals; all faults at once.
pub fn check_refusals(daemon: &Daemon, table: &[(&str, Vec<u8>, &[u16])]) {
    let faults: Vec<String> = table
        .iter()
        .filter_map(|(name, bytes, statuses)| {
            Some(format!("{name}: {}", fault_of_refusal(daemon, bytes, statuses)?))
        })
        .collect();
    assert!(faults.is_empty(), "{} of {} cases\n{}", faults.len(), table.len(), faults.join("\n"));
}

/// Waits until the worker has written down a request that came after all others.
pub fn settle_access_log(daemon: &Daemon) -> String {
    let mark = "/the-last-one";
    daemon.get(mark);
    await_some("the last request in the access log", || {
        let log = daemon.access_log();
        log.contains(mark).then_some(log)
    })
}

/// Sends byte after byte, each when nothing has come for a moment; what came.
fn drip(client: &mut Client, bytes: &[u8]) -> Result<u16, End> {
    client.set_patience(Duration::from_millis(40));
    for byte in bytes {
        match client.read_reply(false) {
            Ok(reply) => return Ok(reply.status),
            Err(End::Timeout) => {}
            Err(end) => return Err(end),
        }
        if client.send([*byte]).is_err() {
            break;
        }
    }
    client.set_patience(crate::harness::PATIENCE);
    client.read_reply(false).map(|reply| reply.status)
}

#[test]
fn e1_slow_headers_are_cut_and_others_are_served() {
    let (dir, upstream) = (TestDir::new("e1"), Upstream::start());
    let daemon = start(&dir, &upstream, "first_byte_ms: 3000, header_ms: 2000");
    check_tile(&daemon);
    let request = format!("GET {TILE} HTTP/1.1\r\n{HOST}X-Slow: {}\r\n\r\n", "a".repeat(4_000));
    std::thread::scope(|scope| {
        let slow: Vec<_> = (0..24)
            .map(|_| {
                let mut client = daemon.client();
                let request = request.as_bytes();
                scope.spawn(move || drip(&mut client, request))
            })
            .collect();
        for _ in 0..20 {
            check_tile(&daemon);
        }
        for client in slow {
            assert_eq!(client.join().expect("a slow client"), Ok(408));
        }
    });
    let (bytes, end) = daemon.client().read_to_end();
    assert_eq!((bytes.as_slice(), end), (&b""[..], End::Fin), "a client that says nothing");
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e2_slow_bodies_are_cut() {
    let (dir, upstream) = (TestDir::new("e2"), Upstream::start());
    let daemon = start(&dir, &upstream, "body_ms: 500");
    let head = format!("POST /service HTTP/1.1\r\n{HOST}Content-Length: 100000\r\n\r\n");
    let chunked = format!("POST /service HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nab");
    check_refusals(
        &daemon,
        &[
            ("never sent", head.clone().into_bytes(), &[408]),
            ("begun", format!("{head}abc").into_bytes(), &[408]),
            ("a chunk begun", chunked.into_bytes(), &[408]),
        ],
    );
    let mut client = daemon.client();
    client.send(&head).expect("the head is taken");
    assert_eq!(drip(&mut client, &[b'a'; 4_000]), Ok(408));
    check_tile(&daemon);
    daemon.stop();
}

/// Clients that ask and do not read.
const GREEDY: usize = 8;
/// What each of them asks for, with bytes that fit into any socket's buffer.
pub const ASKED: usize = 200;
/// Bytes of one answer: all of them together are many times what the kernel
/// holds between two ends (4 MiB to send, and a socket that nobody reads keeps
/// the small buffer that it came with).
const ANSWER_BYTES: usize = 200_000;

/// The painted map, with capabilities of [`ANSWER_BYTES`].
pub fn wordy_map(upstream: &Upstream) -> String {
    let wordy = format!("  wms: {{md: {{abstract: {}}}}}\n", "x".repeat(ANSWER_BYTES));
    painted_map(upstream).replacen("  wms:\n", &wordy, 1)
}

#[test]
fn e3_who_does_not_read_is_reset() {
    let (dir, upstream) = (TestDir::new("e3"), Upstream::start());
    let setup = Setup::new(&dir, wordy_map(&upstream)).workers(1);
    let daemon = setup.daemon_yaml("limits: {write_stall_ms: 500}\n").start();
    check_tile(&daemon);
    let worker = daemon.workers()[0];
    let before_kib = silent::resident_kib(worker);
    let capabilities = "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities";
    let requests = format!("GET {capabilities} HTTP/1.1\r\n{HOST}\r\n").repeat(ASKED);
    let ask = || {
        let mut client = daemon.client();
        client.send(&requests).expect("the kernel takes the questions");
        client
    };
    let clients: Vec<_> = (0..GREEDY).map(|_| ask()).collect();
    daemon.await_log("a client stopped reading", GREEDY);
    let grown_kib = silent::resident_kib(worker).saturating_sub(before_kib);
    assert!(grown_kib < 32 * 1024, "the worker grew by {grown_kib} KiB");
    for mut client in clients {
        client.set_patience(PATIENCE);
        let (answers, end) = client.read_to_end();
        let whole = count(&answers, b"</WMS_Capabilities>");
        assert!(whole < ASKED && end == End::Reset, "{whole} answers, {end:?}");
    }
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e4_oversized_heads_are_refused_and_the_refusal_arrives() {
    let (dir, upstream) = (TestDir::new("e4"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let target = |bytes: usize| {
        let rest = "GET / HTTP/1.1".len();
        format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(bytes - rest)).into_bytes()
    };
    let headers = |count: usize, bytes: usize| {
        let fields: String = (0..count).map(|n| format!("X-{n}: {}\r\n", "v".repeat(bytes))).collect();
        format!("GET / HTTP/1.1\r\n{HOST}{fields}\r\n").into_bytes()
    };
    check_refusals(
        &daemon,
        &[
            ("a line of 8193 bytes", target(8_193), &[414]),
            ("a target of 100 KiB", target(100 * 1024), &[414]),
            ("a target of 4 MiB", target(4 * 1024 * 1024), &[414]),
            ("101 fields", headers(100, 1), &[431]),
            ("33 KiB of fields", headers(33, 1_020), &[431]),
            ("a field of 9 KiB", headers(1, 9 * 1024), &[431]),
            ("1 MiB of fields", headers(1_000, 1_024), &[431]),
            (
                "a body over the limit",
                format!(
                    "POST /service HTTP/1.1\r\n{HOST}Content-Length: 2000000\r\n\r\n{}",
                    "b".repeat(2_000_000)
                )
                .into_bytes(),
                &[413],
            ),
        ],
    );
    // And just within the limits.
    for bytes in [target(8_192), headers(99, 1), headers(31, 1_000)] {
        let mut client = daemon.client();
        client.send(&bytes).expect("sent");
        let status = client.read_reply(false).expect("an answer").status;
        assert!(status < 414, "{status}");
    }
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e5_nothing_is_smuggled() {
    let (dir, upstream) = (TestDir::new("e5"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let fields: &[&str] = &[
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 5,5",
        "Content-Length: 5, 6",
        "Content-Length: 0x5",
        "Content-Length:  5 ",
        "Content-Length: 5 ",
        "Content-Length: 5_0",
        "Content-Length: 18446744073709551616",
        "Content-Length: 18446744073709551621",
        "Content-Length:",
        "Content-Length: five",
        "Content-Length : 5",
        "Content-Length\t: 5",
        "Content-Length: 5\r\n ,6",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding\x0b: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ",
        "Transfer-Encoding: gzip, chunked",
        " Transfer-Encoding: chunked",
        "X: a\nTransfer-Encoding: chunked",
        "X: a\rTransfer-Encoding: chunked",
        "X: a\0\r\nContent-Length: 5",
    ];
    let mut faults = Vec::new();
    for (number, field) in fields.iter().enumerate() {
        let smuggled = format!("GET /smuggled-{number} HTTP/1.1\r\n{HOST}\r\n");
        for method in ["POST", "GET"] {
            for body in ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", ""] {
                let bytes = format!("{method} /outer HTTP/1.1\r\n{HOST}{field}\r\n\r\n{body}{smuggled}");
                if let Some(fault) = fault_of_refusal(&daemon, bytes.as_bytes(), &[400]) {
                    faults.push(format!("{method} {field:?} {body:?}: {fault}"));
                }
            }
        }
    }
    // A 1.0 client cannot frame by chunks.
    let old = format!(
        "POST /outer HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.0\r\n\r\n"
    );
    faults.extend(fault_of_refusal(&daemon, old.as_bytes(), &[400]).map(|f| format!("HTTP/1.0: {f}")));
    assert!(faults.is_empty(), "{} cases\n{}", faults.len(), faults.join("\n"));
    let log = settle_access_log(&daemon);
    assert!(!log.contains("smuggled"), "a smuggled request was executed\n{log}");
    assert!(log.contains("/outer"), "the refused requests are written down\n{log}");
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e6_malformed_chunks_are_refused() {
    let (dir, upstream) = (TestDir::new("e6"), Upstream::start());
    let daemon = start(&dir, &upstream, "body_bytes: 100000");
    let head = format!("POST /service HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(1024 * 1024));
    let many_trailers = format!("0\r\n{}\r\n", "X-Trailer: 1\r\n".repeat(10_000));
    let bodies: &[(&str, &str, &[u16])] = &[
        ("size over 64 bits", "10000000000000000\r\nhello\r\n0\r\n\r\n", &[400, 413]),
        ("size of 16 digits", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", &[400, 413]),
        ("over the limit", "186a1\r\n", &[413]),
        ("negative", "-1\r\nhello\r\n0\r\n\r\n", &[400]),
        ("plus", "+5\r\nhello\r\n0\r\n\r\n", &[400]),
        ("hex prefix", "0x10\r\n0123456789abcdef\r\n0\r\n\r\n", &[400]),
        ("no size", "\r\nhello\r\n0\r\n\r\n", &[400]),
        ("no digits", "zz\r\nhello\r\n0\r\n\r\n", &[400]),
        ("space before", " 5\r\nhello\r\n0\r\n\r\n", &[400]),
        ("no CRLF after the data", "5\r\nhello0\r\n\r\n", &[400]),
        ("data longer than its size", "4\r\nhello\r\n0\r\n\r\n", &[400]),
        ("bare LF after the size", "5\nhello\r\n0\r\n\r\n", &[400]),
        ("bare LF after the data", "5\r\nhello\n0\r\n\r\n", &[400]),
        ("bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", &[400]),
        ("bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", &[400]),
        ("NUL in an extension", "5;a\0b\r\nhello\r\n0\r\n\r\n", &[400]),
        ("extension of 1 MiB", &extension, &[400]),
        ("trailer Content-Length", "0\r\nContent-Length: 5\r\n\r\n", &[400]),
        ("trailer Transfer-Encoding", "0\r\nTransfer-Encoding: chunked\r\n\r\n", &[400]),
        ("trailer Host", "0\r\nHost: evil.test\r\n\r\n", &[400]),
        ("trailer with bare LF", "0\r\nX: a\n\r\n", &[400]),
        ("trailer without a colon", "0\r\nnothing\r\n\r\n", &[400]),
        ("10,000 trailers", &many_trailers, &[400]),
    ];
    let table: Vec<(&str, Vec<u8>, &[u16])> = bodies
        .iter()
        .map(|(name, body, want)| (*name, format!("{head}{body}").into_bytes(), *want))
        .collect();
    check_refusals(&daemon, &table);
    // What is allowed: upper case, leading zeros, extensions, trailers.
    let mut client = daemon.client();
    client.send(format!("{head}00000A;name=\"v\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n")).expect("sent");
    let reply = client.read_reply(false).expect("an answer");
    assert!(!reply.closes(), "the connection is kept: {}", reply.status);
    assert_eq!(client.get(TILE).expect("the next request").status, 200);
    daemon.stop();
}

#[test]
fn e7_odd_bytes_in_a_head_are_refused() {
    let (dir, upstream) = (TestDir::new("e7"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let mut table: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("bare LF ends", b"GET / HTTP/1.1\nHost: a\n\n".to_vec(), &[400]),
        ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n".to_vec(), &[400]),
        ("bare LF at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n".to_vec(), &[400]),
        ("bare CR in the line", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n".to_vec(), &[400]),
        ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n".to_vec(), &[400]),
        ("space before a colon", b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n".to_vec(), &[400]),
        ("a field without a colon", b"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n".to_vec(), &[400]),
        ("a field without a name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n".to_vec(), &[400]),
        ("a folded field", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n".to_vec(), &[400]),
        ("a folded first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_vec(), &[400]),
        ("two leading blank lines", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("a leading LF", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("a leading space", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("a tab in the line", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("a trailing space", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("a fourth word", b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("a quote in the method", b"G\"T / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
    ];
    for byte in [0_u8, 1, 0x0b, 0x1b, 0x7f, 0x80, 0xa0, 0xc3, 0xff] {
        for (name, before, after) in [
            ("in the method", "GE", "T / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("before the method", "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("in the target", "GET /tiles/a", "b HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("in the version", "GET / HTTP/1.", "1\r\nHost: a\r\n\r\n"),
            ("in a name", "GET / HTTP/1.1\r\nHost: a\r\nX-", "Y: b\r\n\r\n"),
            ("in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a", "b\r\n\r\n"),
            ("in the host", "GET / HTTP/1.1\r\nHost: a", "b\r\n\r\n"),
        ] {
            table.push((name, [before.as_bytes(), &[byte], after.as_bytes()].concat(), &[400]));
        }
    }
    check_refusals(&daemon, &table);
    // One blank line too many is what old clients send after a body.
    let mut client = daemon.client();
    for _ in 0..2 {
        client.send(format!("\r\nGET {TILE} HTTP/1.1\r\n{HOST}\r\n")).expect("sent");
        assert_eq!(client.read_reply(false).expect("an answer").status, 200);
    }
    daemon.stop();
}
