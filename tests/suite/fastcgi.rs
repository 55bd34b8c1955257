//! FastCGI from odd and hostile peers (reliability cases F), and how it ends
//! when the daemon reloads.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::harness::daemon::Setup;
use crate::harness::fastcgi::{
    ABORT, CANT_MPX, COMPLETE, GET_VALUES, GET_VALUES_RESULT, PARAMS, Peer, Record, STDIN, UNKNOWN_ROLE,
    UNKNOWN_TYPE, begin, get, pairs, record, request, variables,
};
use crate::harness::{Daemon, End, TestDir, Upstream, painted};
use crate::smoke::painted_map;

const TILE: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";
const CAPABILITIES: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities";

/// A daemon with a FastCGI socket beside its HTTP port.
struct Site {
    _dir: TestDir,
    upstream: Upstream,
    daemon: Daemon,
    socket: PathBuf,
}

impl Site {
    fn start(name: &str, daemon_yaml: &str) -> Site {
        let dir = TestDir::new(name);
        let upstream = Upstream::start();
        let setup = Setup::new(&dir, painted_map(&upstream)).listen("fastcgi: fcgi.sock");
        let daemon = setup.daemon_yaml(daemon_yaml).start();
        let socket = dir.join("fcgi.sock");
        Site { _dir: dir, upstream, daemon, socket }
    }

    fn peer(&self) -> Peer {
        Peer::connect(&self.socket)
    }

    /// What a connection gets for these bytes before it ends.
    fn whole(&self, bytes: &[u8]) -> (Vec<u8>, End) {
        let mut peer = self.peer();
        peer.send(bytes);
        peer.read_to_end()
    }

    /// The daemon still serves, and the right thing.
    fn stop(self) {
        let mut peer = self.peer();
        peer.send(get(1, false, TILE));
        let reply = peer.reply(1).expect("an answer");
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
        self.daemon.stop();
    }
}

#[test]
fn the_way_of_a_request() {
    let site = Site::start("fcgi-way", "");
    let mut peer = site.peer();
    for id in [1, 2, 40_000] {
        peer.send(get(id, true, TILE));
        let reply = peer.reply(id).expect("a tile");
        assert_eq!((reply.status, reply.content_type()), (200, "image/png"));
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
        assert_eq!(reply.header("connection"), None);
    }
    let etag = {
        peer.send(get(1, true, TILE));
        peer.reply(1).expect("a tile").header("etag").expect("an ETag").to_owned()
    };
    peer.send(request(1, true, TILE, &[("HTTP_IF_NONE_MATCH", &etag)], b""));
    let unchanged = peer.reply(1).expect("an answer");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    peer.send(request(1, true, TILE, &[("REQUEST_METHOD", "HEAD")], b""));
    let head = peer.reply(1).expect("a head");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.header("content-length").is_some());
    peer.send(get(1, true, CAPABILITIES));
    let capabilities = peer.reply(1).expect("capabilities").text();
    assert!(capabilities.contains("xlink:href=\"http://maps.example.org/proxy/service?\""), "{capabilities}");
    peer.send(request(1, true, CAPABILITIES, &[("HTTPS", "on")], b""));
    let capabilities = peer.reply(1).expect("capabilities").text();
    assert!(
        capabilities.contains("xlink:href=\"https://maps.example.org/proxy/service?\""),
        "{capabilities}"
    );
    // The last one ends the connection.
    peer.send(get(7, false, TILE));
    assert_eq!(peer.reply(7).expect("a tile").status, 200);
    assert_eq!(peer.read_to_end(), (Vec::new(), End::Fin));
    let log = site.daemon.access_log();
    assert!(log.contains("192.0.2.44") && log.contains(&format!("/proxy{TILE}")), "{log}");
    assert_eq!(site.upstream.count(), 1);
    site.stop();
}

#[test]
fn large_answers_come_in_many_records_and_bodies_arrive() {
    let site = Site::start("fcgi-large", "");
    let library = "/demo/static/openlayers/ol.js";
    let direct = site.daemon.get(library).body;
    assert!(direct.len() > 3 * 65_535, "{} bytes", direct.len());
    let mut peer = site.peer();
    peer.send(get(3, true, library));
    let reply = peer.reply(3).expect("the library");
    assert!(reply.status == 200 && reply.body == direct, "other bytes than asked directly");
    let form = "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                &BBOX=1000000,5000000,3000000,7000000&WIDTH=300&HEIGHT=300&FORMAT=image/png";
    let length = form.len().to_string();
    let variables = [
        ("REQUEST_METHOD", "POST"),
        ("CONTENT_TYPE", "application/x-www-form-urlencoded"),
        ("CONTENT_LENGTH", length.as_str()),
    ];
    peer.send(request(4, true, "/service", &variables, form.as_bytes()));
    let map = peer.reply(4).expect("the map");
    assert_eq!((map.status, map.content_type()), (200, "image/png"));
    assert!(map.body == site.daemon.get(&format!("/service?{form}")).body, "another map than asked directly");
    site.stop();
}

#[test]
fn f1_e9_other_versions_and_protocols_are_hung_up_on() {
    let site = Site::start("fcgi-versions", "");
    let versions = [[0, 1, 0, 1, 0, 8, 0, 0], [2, 1, 0, 1, 0, 8, 0, 0], [255, 1, 0, 1, 0, 8, 0, 0]];
    for bytes in
        versions.iter().map(|v| &v[..]).chain([&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00"])
    {
        assert_eq!(site.whole(bytes).0, b"", "{bytes:?}");
    }
    let line = "a connection on the FastCGI socket ended: another version of FastCGI";
    site.daemon.await_log(line, 5);
    assert_eq!(site.daemon.log().matches(line).count(), 5);
    site.stop();
}

#[test]
fn f2_f3_management_records_are_answered() {
    let site = Site::start("fcgi-management", "limits: {connections_per_worker: 77}\n");
    let mut peer = site.peer();
    for kind in [0, 12, 255] {
        peer.send(record(kind, 0, b"whatever"));
        let content = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(peer.record(), Ok(Record { kind: UNKNOWN_TYPE, id: 0, content }));
        peer.send(record(kind, 9, b"passed over"));
    }
    let asked =
        pairs(&[("FCGI_MAX_CONNS", ""), ("FCGI_MPXS_CONNS", ""), ("FCGI_NONE", ""), ("FCGI_MAX_REQS", "")]);
    let told = pairs(&[("FCGI_MAX_CONNS", "77"), ("FCGI_MAX_REQS", "77"), ("FCGI_MPXS_CONNS", "0")]);
    let result = |content: Vec<u8>| Ok(Record { kind: GET_VALUES_RESULT, id: 0, content });
    peer.send(record(GET_VALUES, 0, &asked));
    assert_eq!(peer.record(), result(told));
    peer.send(record(GET_VALUES, 0, b""));
    assert_eq!(peer.record(), result(Vec::new()));
    // In the middle of a request, which goes on.
    let whole = get(1, true, TILE);
    let (first, rest) = whole.split_at(40);
    peer.send(first);
    peer.send(rest);
    assert_eq!(peer.reply(1).expect("a tile").status, 200);
    let list = variables(TILE);
    let list: Vec<(&str, &str)> = list.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    peer.send([begin(2, 1, true), record(PARAMS, 2, &pairs(&list))].concat());
    peer.send(record(GET_VALUES, 0, &pairs(&[("FCGI_MPXS_CONNS", "")])));
    assert_eq!(peer.record(), result(pairs(&[("FCGI_MPXS_CONNS", "0")])));
    peer.send([record(PARAMS, 2, b""), record(STDIN, 2, b"")].concat());
    assert_eq!(peer.reply(2).expect("a tile").status, 200);
    site.stop();
}

#[test]
fn f4_f5_f6_one_role_one_request() {
    let site = Site::start("fcgi-roles", "");
    for role in [2, 3, 9] {
        let mut peer = site.peer();
        peer.send(begin(1, role, false));
        assert_eq!(peer.end_of(1), Ok(UNKNOWN_ROLE));
        assert_eq!(peer.read_to_end(), (Vec::new(), End::Fin));
        let mut peer = site.peer();
        peer.send([begin(1, role, true), record(PARAMS, 1, b"x"), record(STDIN, 1, b"")].concat());
        assert_eq!(peer.end_of(1), Ok(UNKNOWN_ROLE));
        peer.send(get(1, false, TILE));
        assert_eq!(peer.reply(1).expect("a tile").status, 200);
    }
    // Two requests record by record: the first is served, of the second nothing is mixed in.
    let (one, two) = (get(1, true, TILE), get(2, true, "/nothing"));
    let mut peer = site.peer();
    let (first, rest) = one.split_at(16);
    peer.send([first, &two, rest].concat());
    assert_eq!(peer.end_of(2), Ok(CANT_MPX));
    painted::check(&peer.reply(1).expect("a tile").body, 5, 17, 11).expect("the first request's tile");
    // While it is being rendered, too.
    site.upstream.hold();
    peer.send(get(5, true, "/wmts/painted/GLOBAL_WEBMERCATOR/06/17/11.png"));
    site.upstream.await_count(2);
    peer.send(get(6, true, "/nothing"));
    assert_eq!(peer.end_of(6), Ok(CANT_MPX));
    site.upstream.release();
    painted::check(&peer.reply(5).expect("a tile").body, 6, 17, 11).expect("the right tile");
    // The same request twice, records of none, records for nobody.
    let twice = [begin(1, 1, true), begin(1, 1, true)].concat();
    assert_eq!(site.whole(&twice).0, b"");
    for kind in 1..=8 {
        assert_eq!(site.whole(&record(kind, 0, b"")).0, b"");
    }
    peer.send([record(PARAMS, 9, b"x"), record(STDIN, 9, b""), record(ABORT, 9, b"")].concat());
    peer.send(get(1, false, TILE));
    assert_eq!(peer.reply(1).expect("a tile").status, 200);
    site.stop();
}

#[test]
fn f7_f8_f13_params_are_bounded_and_checked() {
    let site = Site::start("fcgi-params", "");
    let refused = |bytes: &[u8], status: u16| {
        let mut peer = site.peer();
        peer.send(bytes);
        let reply = peer.reply(1).unwrap_or_else(|end| panic!("{end:?} in place of {status}"));
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(peer.read_to_end().0, b"");
    };
    let raw = |params: &[u8]| [begin(1, 1, true), record(PARAMS, 1, params), record(PARAMS, 1, b"")].concat();
    for params in [
        &[0xff, 0xff, 0xff, 0xff, 1, b'a'][..],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[1, 200, b'a', b'b'],
        &[0x80, 0],
    ] {
        refused(&raw(params), 400);
    }
    for (variables, status) in [
        (&[("REQUEST_METHOD", "")][..], 400),
        (&[("SCRIPT_NAME", ""), ("PATH_INFO", ""), ("REQUEST_URI", "")], 400),
        (&[("HTTP_HOST", "a\r\nX-Y: z")], 400),
        (&[("HTTP_HOST", "a/b")], 400),
        (&[("HTTP_X", "a\0b")], 400),
        (&[("CONTENT_LENGTH", "1"), ("CONTENT_LENGTH", "2")], 400),
        (&[("CONTENT_LENGTH", "99999999")], 413),
        (&[("REQUEST_METHOD", "DELETE")], 405),
        (&[("REQUEST_METHOD", "BREW")], 501),
    ] {
        refused(&request(1, false, CAPABILITIES, variables, b""), status);
    }
    refused(&request(1, false, CAPABILITIES, &[("HTTP_X", &"x".repeat(9_000))], b""), 431);
    refused(&request(1, false, &format!("/service?{}", "x".repeat(9_000)), &[], b""), 414);
    refused(&request(1, false, CAPABILITIES, &[("X", "y"); 10_000][..4_000], b""), 431);
    let mut flood = begin(1, 1, true);
    for _ in 0..3 {
        flood.extend(record(PARAMS, 1, &vec![0; 30_000]));
    }
    refused(&flood, 431);
    // Without QUERY_STRING that of the URI counts; the last of two counts.
    let mut peer = site.peer();
    peer.send(request(
        1,
        true,
        CAPABILITIES,
        &[("HTTP_HOST", "no.example"), ("HTTP_HOST", "b.example")],
        b"",
    ));
    let text = peer.reply(1).expect("capabilities").text();
    assert!(text.contains("http://b.example/proxy/service?") && !text.contains("no.example"), "{text}");
    // One byte in each record.
    let list = variables(TILE);
    let list: Vec<(&str, &str)> = list.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut bytes = begin(1, 1, true);
    for byte in pairs(&list) {
        bytes.extend(record(PARAMS, 1, &[byte]));
    }
    bytes.extend([record(PARAMS, 1, b""), record(STDIN, 1, b"")].concat());
    peer.send(&bytes);
    painted::check(&peer.reply(1).expect("a tile").body, 5, 17, 11).expect("the right tile");
    site.stop();
}

#[test]
fn f9_f12_padding_and_early_ends() {
    let site = Site::start("fcgi-padding", "");
    for padding in [1_u8, 7, 255] {
        let mut bytes = Vec::new();
        let mut rest = &get(1, true, TILE)[..];
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            let mut one = rest[..8 + length].to_vec();
            one[6] = padding;
            one.resize(one.len() + usize::from(padding), 0);
            bytes.extend(one);
            rest = &rest[8 + length..];
        }
        let mut peer = site.peer();
        peer.send(&bytes);
        assert_eq!(peer.reply(1).expect("a tile").status, 200);
        peer.send(get(2, false, TILE));
        assert_eq!(peer.reply(2).expect("a tile").status, 200);
        assert_eq!(peer.read_to_end(), (Vec::new(), End::Fin));
    }
    // Peers that leave anywhere leave nothing behind (the silent checks count).
    let whole = get(1, true, TILE);
    for end in 0..whole.len() {
        let mut peer = site.peer();
        peer.send(&whole[..end]);
        peer.half_close();
        assert_eq!(peer.read_to_end().0, b"", "cut after {end} bytes");
    }
    // One that only ends its own side gets its answer.
    let mut peer = site.peer();
    peer.send(get(1, true, TILE));
    peer.half_close();
    assert_eq!(peer.reply(1).expect("a tile").status, 200);
    assert_eq!(peer.read_to_end(), (Vec::new(), End::Fin));
    site.stop();
}

#[test]
fn f10_aborts_end_a_request_once() {
    let site = Site::start("fcgi-abort", "");
    let mut peer = site.peer();
    peer.send([begin(1, 1, true), record(PARAMS, 1, b"x"), record(ABORT, 1, b"")].concat());
    assert_eq!(peer.end_of(1), Ok(COMPLETE));
    peer.send(get(2, true, TILE));
    assert_eq!(peer.reply(2).expect("a tile").status, 200);
    // After the end it meets nothing.
    peer.send([record(ABORT, 2, b""), get(3, true, TILE)].concat());
    assert_eq!(peer.reply(3).expect("a tile").status, 200);
    // While a thread waits for the upstream.
    site.upstream.hold();
    peer.send(get(4, true, "/wmts/painted/GLOBAL_WEBMERCATOR/06/17/11.png"));
    site.upstream.await_count(2);
    peer.send(record(ABORT, 4, b""));
    assert_eq!(peer.end_of(4), Ok(COMPLETE));
    // What was begun could still answer here, so nothing may follow.
    assert_eq!(peer.read_to_end(), (Vec::new(), End::Fin));
    site.upstream.release();
    let mut peer = site.peer();
    peer.send(get(1, false, "/wmts/painted/GLOBAL_WEBMERCATOR/06/17/11.png"));
    painted::check(&peer.reply(1).expect("a tile").body, 6, 17, 11).expect("the right tile");
    site.stop();
}

#[test]
fn f10_an_abort_in_the_queue_frees_its_place() {
    let site = Site::start("fcgi-abort-queue", "limits: {render_threads: 1, waiting_threads: 1}\n");
    site.upstream.hold();
    let tile = |n: u32| format!("/wmts/painted/GLOBAL_WEBMERCATOR/09/{}/11.png", n * 8);
    // Both workers' threads wait for the upstream; what comes now is queued.
    let mut busy: Vec<Peer> = (0..8).map(|_| site.peer()).collect();
    for (n, peer) in busy.iter_mut().enumerate() {
        peer.send(get(1, true, &tile(n as u32)));
    }
    site.upstream.await_count(2);
    for peer in &mut busy {
        peer.send(record(ABORT, 1, b""));
        assert_eq!(peer.end_of(1), Ok(COMPLETE));
    }
    site.upstream.release();
    for mut peer in busy {
        // Where the request had not begun the connection goes on.
        peer.send(get(2, false, TILE));
        match peer.reply(2) {
            Ok(reply) => painted::check(&reply.body, 5, 17, 11).expect("the right tile"),
            Err(end) => assert!(matches!(end, End::Fin | End::Reset), "{end:?}"),
        }
    }
    site.stop();
}

#[test]
fn f11_bodies_follow_the_rules_of_http() {
    let site = Site::start("fcgi-body", "");
    let post = |length: &str, body: &[u8]| {
        let variables = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", length)];
        request(1, true, "/service", &variables, body)
    };
    for (bytes, status) in [
        (post("3", b"abcd"), 400),
        (post("3", b"ab"), 400),
        (post("x", b""), 400),
        (post("2000000", b""), 413),
    ] {
        let mut peer = site.peer();
        peer.send(&bytes);
        assert_eq!(peer.reply(1).expect("an answer").status, status);
        assert_eq!(peer.read_to_end().0, b"");
    }
    let mut peer = site.peer();
    let long = post("", &vec![b'x'; 1_100_000]);
    peer.send(&long);
    assert_eq!(peer.reply(1).expect("an answer").status, 413);
    let mut whole = get(1, true, TILE);
    whole.truncate(whole.len() - 8);
    // The end of STDIN never comes.
    let hasty = Site::start("fcgi-body", "limits: {body_ms: 300, header_ms: 300}\n");
    let mut peer = hasty.peer();
    peer.send(&whole);
    assert_eq!(peer.reply(1).expect("an answer").status, 408);
    assert_eq!(peer.read_to_end().0, b"");
    hasty.stop();
    // DATA is for filters: passed over.
    let mut peer = site.peer();
    peer.send([&whole[..], &record(8, 1, b"data"), &record(STDIN, 1, b"")].concat());
    assert_eq!(peer.reply(1).expect("a tile").status, 200);
    site.stop();
}

#[test]
fn f14_slow_peers_meet_the_deadlines_of_http() {
    let site = Site::start(
        "fcgi-slow",
        "limits: {first_byte_ms: 3000, header_ms: 300, body_ms: 300, keep_alive_idle_ms: 0, write_stall_ms: 300}\n",
    );
    // Nothing at all; half a header; a request of which no variables come.
    for (bytes, answered) in [
        (Vec::new(), false),
        (vec![1, 1, 0], false),
        (begin(1, 1, true), true),
        (get(1, true, TILE)[..60].to_vec(), true),
    ] {
        let mut peer = site.peer();
        peer.send(&bytes);
        if answered {
            assert_eq!(peer.reply(1).expect("an answer").status, 408);
        }
        assert_eq!(peer.read_to_end(), (Vec::new(), End::Fin), "{bytes:?}");
    }
    // One that never reads.
    let mut peer = site.peer();
    peer.send(get(1, true, CAPABILITIES).repeat(100));
    site.daemon.await_log("a client stopped reading", 1);
    // A kept connection is closed when it has idled.
    let mut peer = site.peer();
    peer.send(get(1, true, TILE));
    assert_eq!(peer.reply(1).expect("a tile").status, 200);
    assert_eq!(peer.read_to_end(), (Vec::new(), End::Fin));
    site.stop();
}

#[test]
fn f15_sockets_that_cannot_be_had_are_named() {
    let dir = TestDir::new("fcgi-socket");
    let long = dir.join("x".repeat(120));
    let refused = Setup::embedded(&dir).listen(&format!("fastcgi: {}", long.display())).try_start();
    let (code, log) = refused.err().expect("a path that no socket can have");
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("cannot listen on") && log.contains(&"x".repeat(120)), "{log}");
    // A dead socket is replaced, a living one and a file are not.
    drop(std::os::unix::net::UnixListener::bind(dir.join("dead.sock")).expect("a socket"));
    let living = std::os::unix::net::UnixListener::bind(dir.join("living")).expect("a socket");
    dir.write("file", "a file");
    for taken in ["living", "file"] {
        let refused = Setup::embedded(&dir).listen(&format!("fastcgi: {taken}")).try_start();
        let (code, log) = refused.err().expect("a place that is taken");
        assert_eq!(code, Some(3), "{log}");
        assert!(log.contains(taken) && log.contains("listens there already"), "{log}");
        assert!(dir.join(taken).exists());
    }
    drop(living);
    let daemon = Setup::embedded(&dir).listen("fastcgi: dead.sock, mode: 0620").start();
    let mode = std::fs::metadata(dir.join("dead.sock")).expect("the socket").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o620);
    let mut peer = Peer::connect(&dir.join("dead.sock"));
    peer.send(get(1, false, "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities"));
    assert_eq!(peer.reply(1).expect("capabilities").status, 200);
    std::fs::remove_file(dir.join("living")).expect("the test's own socket");
    daemon.stop();
    assert!(!dir.join("dead.sock").exists());
}

#[test]
fn f15_a_socket_that_was_removed_is_opened_anew_by_a_reload() {
    let dir = TestDir::new("fcgi-removed");
    let daemon = Setup::embedded(&dir).listen("fastcgi: fcgi.sock, mode: 0600").start();
    let path = dir.join("fcgi.sock");
    let ask = || {
        let mut peer = Peer::connect(&path);
        peer.send(get(1, false, "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities"));
        peer.reply(1).expect("capabilities").status
    };
    assert_eq!(ask(), 200);
    std::fs::remove_file(&path).expect("the socket");
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 2", 1);
    assert_eq!(ask(), 200);
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 3", 1);
    assert_eq!(ask(), 200, "what is there is kept");
    daemon.stop();
    assert!(!path.exists());
}

#[test]
fn b14_a_kept_connection_ends_after_end_request_at_a_reload() {
    let site = Site::start("fcgi-reload", "");
    let (mut idle, mut busy) = (site.peer(), site.peer());
    for peer in [&mut idle, &mut busy] {
        peer.send(get(1, true, TILE));
        assert_eq!(peer.reply(1).expect("a tile").status, 200);
    }
    site.upstream.hold();
    busy.send(get(2, true, "/wmts/painted/GLOBAL_WEBMERCATOR/06/17/11.png"));
    site.upstream.await_count(2);
    site.daemon.signal(Signal::SIGHUP);
    site.daemon.await_log("reloaded: generation 2", 1);
    site.upstream.release();
    painted::check(&busy.reply(2).expect("the answer of the old worker").body, 6, 17, 11).expect("its tile");
    assert_eq!(busy.read_to_end(), (Vec::new(), End::Fin));
    assert_eq!(idle.read_to_end(), (Vec::new(), End::Fin));
    site.stop();
}

#[test]
fn a_listener_takes_another_protocol_at_a_reload() {
    let site = Site::start("fcgi-changes", "");
    let config = std::fs::read_to_string(&site.daemon.config).expect("rhumb.yaml");
    let change = |text: &str| {
        let old = site.daemon.workers();
        site.daemon.replace(&site.daemon.config, text);
        site.daemon.signal(Signal::SIGHUP);
        site.daemon.await_workers(2, &old);
    };
    change(&config.replace("fastcgi: fcgi.sock", "scgi: fcgi.sock"));
    assert!(site.whole(b"x").0.starts_with(b"Status: 400"));
    change(&config);
    let mut peer = site.peer();
    peer.send(begin(1, 9, false));
    assert_eq!(peer.end_of(1), Ok(UNKNOWN_ROLE));
    site.stop();
}
