//! Records in, requests and records out; however the bytes are cut.

use proptest::prelude::*;

use super::super::Response;
use super::super::reply::Persistence;
use super::*;

const MOUNT: &[&str] = &["service"];

fn codec() -> Codec {
    let mount = Mount { services: MOUNT, ..Mount::default() };
    Codec::new(Limits::default(), Arc::new(mount), 1_000)
}

fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    padded(kind, id, content, 0)
}

fn padded(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let mut bytes = header(kind, id, content.len()).to_vec();
    bytes[6] = padding;
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + usize::from(padding), 0xa5);
    bytes
}

fn begin(id: u16, role: u8, flags: u8) -> Vec<u8> {
    record(BEGIN_REQUEST, id, &[0, role, flags, 0, 0, 0, 0, 0])
}

/// A name-value pair; `long`: lengths in four bytes whatever they are.
fn pair(name: &[u8], value: &[u8], long: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in [name, value] {
        match u8::try_from(text.len()) {
            Ok(short @ 0..=0x7f) if !long => bytes.push(short),
            _ => bytes.extend_from_slice(&(text.len() as u32 | 0x8000_0000).to_be_bytes()),
        }
    }
    [bytes.as_slice(), name, value].concat()
}

fn pairs(list: &[(&str, &str)]) -> Vec<u8> {
    list.iter().flat_map(|(name, value)| pair(name.as_bytes(), value.as_bytes(), false)).collect()
}

/// A whole GET or POST.
fn request(id: u16, keep: bool, list: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut params = pairs(&[("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/service")]);
    params.extend(pairs(list));
    let mut bytes =
        [begin(id, 1, u8::from(keep)), record(PARAMS, id, &params), record(PARAMS, id, b"")].concat();
    if !body.is_empty() {
        bytes.extend(record(STDIN, id, body));
    }
    bytes.extend(record(STDIN, id, b""));
    bytes
}

fn answer(codec: &mut Codec, head_only: bool) -> Vec<u8> {
    let mut frames = Frames::default();
    let response = Response::new(200, "text/plain", "hello");
    let framing = Framing { head_only, persistence: Persistence::Close, date: "" };
    codec.write(&mut frames, &response, &framing);
    let body = if head_only { &b""[..] } else { b"hello" };
    frames.pieces(body, 0).flatten().copied().collect()
}

/// Everything that comes out of bytes cut at `cuts`; a complete request is
/// answered at once.
fn run(bytes: &[u8], mut cuts: impl Iterator<Item = usize>) -> Vec<String> {
    let mut codec = codec();
    let mut seen = Vec::new();
    let mut pending = Vec::new();
    let mut rest = bytes;
    loop {
        loop {
            match codec.feed(&pending) {
                Err(refusal) => {
                    seen.push(refusal.to_string());
                    return seen;
                }
                Ok((consumed, step)) => {
                    pending.drain(..consumed);
                    match step {
                        Step::More => break,
                        Step::Complete(message) => {
                            let request = &message.request;
                            let body = String::from_utf8_lossy(&request.body);
                            seen.push(format!(
                                "{:?} {} {} {body}",
                                request.method, request.path, message.keep_alive
                            ));
                            answer(&mut codec, false);
                        }
                        Step::Reply { bytes, ends } => seen.push(format!("{bytes:?} {ends}")),
                        Step::Hangup(why) => {
                            seen.push(why.to_owned());
                            return seen;
                        }
                        other => seen.push(format!("{other:?}")),
                    }
                }
            }
        }
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(cuts.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        pending.extend_from_slice(part);
        rest = after;
    }
    if codec.is_within_request(pending.len()) {
        seen.push("incomplete".to_owned());
    }
    seen
}

fn whole(bytes: &[u8]) -> Vec<String> {
    let seen = run(bytes, std::iter::empty());
    assert_eq!(run(bytes, std::iter::repeat(1)), seen, "byte by byte");
    seen
}

fn ended(id: u16, status: u8, ends: bool) -> String {
    format!("{:?} {ends}", end_request(id, status).to_vec())
}

#[test]
fn requests() {
    let get = "Get /service false ";
    assert_eq!(whole(&request(1, false, &[], b"")), [get]);
    assert_eq!(
        whole(&[request(1, true, &[], b""), request(2, true, &[], b"")].concat()),
        ["Get /service true ", "Get /service true "]
    );
    let post = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "3")];
    assert_eq!(whole(&request(700, false, &post, b"abc")), ["Post /service false abc"]);
    // Without a length STDIN says where the body ends.
    assert_eq!(whole(&request(1, false, &[("REQUEST_METHOD", "POST")], b"abc")), ["Post /service false abc"]);
    // Padding, DATA, and more STDIN after the end.
    let padded_request = [
        begin(1, 1, 1),
        padded(PARAMS, 1, &pairs(&[("REQUEST_METHOD", "GET"), ("PATH_INFO", "/service")]), 255),
        padded(PARAMS, 1, b"", 1),
        record(DATA, 1, b"data"),
        padded(STDIN, 1, b"", 7),
        record(STDIN, 1, b"late"),
    ];
    assert_eq!(whole(&padded_request.concat()), ["Get /service true "]);
    assert_eq!(whole(&begin(1, 1, 0)), ["incomplete"]);
}

#[test]
fn lengths_of_pairs() {
    for length in [0, 1, 126, 127, 128, 129, 5_000] {
        let value = "v".repeat(length);
        let name = format!("HTTP_{}", "N".repeat(length.min(200)));
        for long in [false, true] {
            let params = [
                pairs(&[("REQUEST_METHOD", "GET"), ("PATH_INFO", "/service")]),
                pair(name.as_bytes(), value.as_bytes(), long),
            ];
            let bytes = [
                begin(1, 1, 0),
                record(PARAMS, 1, &params.concat()),
                record(PARAMS, 1, b""),
                record(STDIN, 1, b""),
            ];
            assert_eq!(whole(&bytes.concat()), ["Get /service false "], "{length} {long}");
        }
    }
    // 2³¹−1, a sum that overflows 32 bits, a value past the end, half a pair.
    for params in [
        &[0xff, 0xff, 0xff, 0xff, 1, b'a', b'b'][..],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'a'],
        &[1, 5, b'a', b'b'],
        &[1],
        &[0x80, 0, 0],
        &[3, 0, b'a'],
    ] {
        let bytes = [begin(1, 1, 0), record(PARAMS, 1, params), record(PARAMS, 1, b"")].concat();
        assert_eq!(whole(&bytes), ["400: malformed PARAMS"], "{params:?}");
    }
}

#[test]
fn limits_of_params() {
    let limit = cgi::variables_bytes_max(&Limits::default());
    let mut bytes = begin(1, 1, 0);
    let block = record(PARAMS, 1, &vec![0; limit / 2]);
    bytes.extend([block.clone(), block].concat());
    assert_eq!(whole(&[bytes.clone(), record(PARAMS, 1, b"")].concat()), ["431: too many variables"]);
    assert_eq!(whole(&[bytes, record(PARAMS, 1, b"x")].concat()), ["431: variables over the limit"]);
    let mut wide = codec();
    let long = record(PARAMS, 1, &vec![0; 65_000]);
    wide.feed(&begin(1, 1, 0)).unwrap();
    for part in long.chunks(100) {
        wide.feed(part).unwrap();
    }
    assert!(matches!(&wide.stage, Stage::Params(params) if params.capacity() <= 2 * limit));
}

#[test]
fn bodies_are_as_long_as_announced() {
    for (length, body, outcome) in [
        ("3", &b"abcd"[..], "400: STDIN longer than CONTENT_LENGTH"),
        ("3", b"ab", "400: STDIN shorter than CONTENT_LENGTH"),
        ("0", b"a", "400: STDIN longer than CONTENT_LENGTH"),
        ("1048577", b"", "413: body over the limit"),
        ("x", b"", "400: malformed CONTENT_LENGTH"),
    ] {
        assert_eq!(whole(&request(1, true, &[("CONTENT_LENGTH", length)], body)), [outcome]);
    }
    let mut bytes =
        [begin(1, 1, 0), record(PARAMS, 1, &pairs(&[("REQUEST_METHOD", "GET"), ("PATH_INFO", "/")]))]
            .concat();
    bytes.extend(record(PARAMS, 1, b""));
    let part = record(STDIN, 1, &vec![b'x'; 65_000]);
    bytes.extend((0..17).flat_map(|_| part.clone()));
    assert_eq!(run(&bytes, std::iter::empty()), ["413: body over the limit"]);
    let early = [begin(1, 1, 0), record(STDIN, 1, b"")].concat();
    assert_eq!(whole(&early), ["400: STDIN before the end of PARAMS"]);
}

#[test]
fn other_protocols_are_hung_up_on() {
    for bytes in [
        &[0, 1, 0, 1, 0, 8, 0, 0][..],
        &[2, 1, 0, 1, 0, 8, 0, 0],
        &[255],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
    ] {
        assert_eq!(whole(bytes), ["another version of FastCGI, or another protocol"]);
    }
    let odd = "an application record without a request";
    for kind in 1..=8 {
        assert_eq!(whole(&record(kind, 0, &[0; 8])), [odd], "{kind}");
    }
    assert_eq!(whole(&record(BEGIN_REQUEST, 1, &[0, 1, 0])), ["malformed BEGIN_REQUEST"]);
    assert_eq!(whole(&record(BEGIN_REQUEST, 1, &[0; 9])), ["malformed BEGIN_REQUEST"]);
    let twice = [begin(1, 1, 1), begin(1, 1, 1)].concat();
    assert_eq!(whole(&twice), ["the same request begun twice"]);
}

#[test]
fn one_request_at_a_time_and_one_role() {
    let mut bytes = begin(1, 1, 1);
    bytes.extend(begin(2, 1, 1));
    bytes.extend(record(PARAMS, 2, &pairs(&[("REQUEST_METHOD", "PUT")])));
    bytes.extend(record(PARAMS, 1, &pairs(&[("REQUEST_METHOD", "GET"), ("PATH_INFO", "/service")])));
    bytes.extend(record(PARAMS, 2, b""));
    bytes.extend(record(PARAMS, 1, b""));
    bytes.extend(record(STDIN, 2, b"no"));
    bytes.extend(record(STDIN, 1, b""));
    assert_eq!(whole(&bytes), [ended(2, CANT_MPX_CONN, false), "Get /service true ".to_owned()]);
    for role in [0, 2, 3, 9] {
        assert_eq!(whole(&begin(5, role, 0)), [ended(5, UNKNOWN_ROLE, true)]);
        let bytes = [begin(5, role, 1), record(PARAMS, 5, b"x"), request(6, false, &[], b"")].concat();
        assert_eq!(whole(&bytes), [ended(5, UNKNOWN_ROLE, false), "Get /service false ".to_owned()]);
    }
    // Records of requests that are not there.
    let bytes = [record(PARAMS, 9, b"x"), record(STDIN, 9, b""), record(ABORT_REQUEST, 9, b"")].concat();
    assert_eq!(whole(&bytes), [""; 0]);
}

#[test]
fn aborts() {
    let before = [begin(1, 1, 1), record(PARAMS, 1, b"x"), record(ABORT_REQUEST, 1, b"")].concat();
    let next = request(2, false, &[], b"");
    assert_eq!(
        whole(&[before, next].concat()),
        [ended(1, REQUEST_COMPLETE, false), "Get /service false ".to_owned()]
    );
    assert_eq!(
        whole(&[begin(1, 1, 0), record(ABORT_REQUEST, 1, b"")].concat()),
        [ended(1, REQUEST_COMPLETE, true)]
    );
    let mut codec = codec();
    let bytes = [request(1, true, &[], b""), record(ABORT_REQUEST, 1, b"")].concat();
    let (consumed, step) = codec.feed(&bytes).unwrap();
    assert!(matches!(step, Step::Complete(_)));
    let (_, step) = codec.feed(&bytes[consumed..]).unwrap();
    assert!(matches!(step, Step::Aborted));
    let mut frames = Frames::default();
    codec.write_abort(&mut frames);
    assert_eq!(frames.bytes, end_request(1, REQUEST_COMPLETE));
    // A second one meets nothing.
    assert!(matches!(codec.feed(&record(ABORT_REQUEST, 1, b"")).unwrap().1, Step::More));
}

#[test]
fn management() {
    let result = |content: &[u8]| format!("{:?} false", record(GET_VALUES_RESULT, 0, content));
    let all = pairs(&[("FCGI_MAX_CONNS", ""), ("FCGI_MPXS_CONNS", ""), ("X", ""), ("FCGI_MAX_REQS", "")]);
    let told = pairs(&[("FCGI_MAX_CONNS", "1000"), ("FCGI_MAX_REQS", "1000"), ("FCGI_MPXS_CONNS", "0")]);
    assert_eq!(whole(&record(GET_VALUES, 0, &all)), [result(&told)]);
    assert_eq!(whole(&record(GET_VALUES, 0, &pairs(&[("X", "y")]))), [result(b"")]);
    assert_eq!(whole(&record(GET_VALUES, 0, b"")), [result(b"")]);
    assert_eq!(whole(&record(GET_VALUES, 0, &[0xff; 300])), [result(b"")]);
    let bytes = [begin(1, 1, 0), record(GET_VALUES, 0, &pairs(&[("FCGI_MPXS_CONNS", "")]))].concat();
    assert_eq!(whole(&bytes), [result(&pairs(&[("FCGI_MPXS_CONNS", "0")])), "incomplete".to_owned()]);
    for kind in [0, 10, 11, 12, 255] {
        let unknown = record(UNKNOWN_TYPE, 0, &[kind, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(whole(&record(kind, 0, b"abc")), [format!("{unknown:?} false")], "{kind}");
        assert_eq!(whole(&record(kind, 3, b"abc")), [""; 0], "{kind}");
    }
    let long = vec![0; 60_000];
    assert_eq!(whole(&record(GET_VALUES, 0, &long)), [result(b"")]);
}

/// Splits records: kind, id, content.
fn records(mut bytes: &[u8]) -> Vec<(u8, u16, Vec<u8>)> {
    let mut found = Vec::new();
    while let &[1, kind, id_high, id_low, high, low, padding, 0, ref rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([high, low]));
        found.push((kind, u16::from_be_bytes([id_high, id_low]), rest[..length].to_vec()));
        bytes = &rest[length + usize::from(padding)..];
    }
    assert!(bytes.is_empty(), "half a record: {bytes:?}");
    found
}

#[test]
fn responses_are_records() {
    let mut small = codec();
    small.feed(&request(258, true, &[], b"")).unwrap();
    let out = b"Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello".to_vec();
    let end = vec![0; 8];
    assert_eq!(
        records(&answer(&mut small, false)),
        [(STDOUT, 258, out.clone()), (STDOUT, 258, Vec::new()), (END_REQUEST, 258, end.clone())]
    );
    assert_eq!(records(&answer(&mut small, true))[0].2, &out[..out.len() - 5]);
}

proptest! {
    #[test]
    fn every_body_arrives_whole(body_bytes in 0usize..300_000, head_bytes in 0usize..70_000, sent in 0usize..400_000) {
        let mut codec = codec();
        codec.feed(&request(7, true, &[], b"")).unwrap();
        let body: Vec<u8> = (0..body_bytes).map(|n| n as u8).collect();
        let mut response = Response::new(200, "image/png", body.clone());
        response.headers.push(("X".into(), "h".repeat(head_bytes)));
        let framing = Framing { head_only: false, persistence: Persistence::Close, date: "" };
        let mut frames = Frames::default();
        codec.write(&mut frames, &response, &framing);
        let bytes: Vec<u8> = frames.pieces(&body, 0).flatten().copied().collect();
        let rest: Vec<u8> = frames.pieces(&body, sent).flatten().copied().collect();
        prop_assert_eq!(&rest, &bytes[sent.min(bytes.len())..]);
        let found = records(&bytes);
        let (end, outs) = found.split_last().unwrap();
        prop_assert_eq!(end, &(END_REQUEST, 7, vec![0; 8]));
        prop_assert!(outs.iter().all(|(kind, id, _)| (*kind, *id) == (STDOUT, 7)));
        let empty = outs.iter().position(|(.., content)| content.is_empty());
        prop_assert_eq!(empty, Some(outs.len() - 1), "the empty record is the last");
        let stream: Vec<u8> = outs.iter().flat_map(|(.., content)| content.clone()).collect();
        prop_assert!(stream.ends_with(&body));
        prop_assert_eq!(stream.windows(4).position(|w| w == b"\r\n\r\n"), Some(stream.len() - body_bytes - 4));
    }

    #[test]
    fn any_chunking_gives_the_same(
        kinds in proptest::collection::vec((0u8..13, 0u16..3, proptest::collection::vec(any::<u8>(), 0..20), 0u8..9), 0..12),
        cuts in proptest::collection::vec(1usize..40, 0..60),
        valid in any::<bool>(),
    ) {
        let mut bytes = if valid { request(1, true, &[], b"") } else { begin(1, 1, 1) };
        for (kind, id, content, padding) in kinds {
            match kind {
                1 => bytes.extend(begin(id.max(1), 1, 1)),
                4 if valid => bytes.extend(request(id + 5, true, &[], b"")),
                _ => bytes.extend(padded(kind, id, &content, padding)),
            }
        }
        prop_assert_eq!(run(&bytes, cuts.into_iter()), run(&bytes, std::iter::empty()));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1usize..20) {
        let mut bytes = bytes;
        // As far as the version most of them come.
        for at in (0..bytes.len()).step_by(8) {
            bytes[at] = 1;
        }
        prop_assert_eq!(run(&bytes, std::iter::repeat(cut)), run(&bytes, std::iter::empty()));
    }
}
