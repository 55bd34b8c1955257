//! SCGI and uwsgi: the way of a request, and peers that do not keep to the
//! protocol.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::daemon::Setup;
use crate::harness::fastcgi::{cgi_reply, variables};
use crate::harness::{Daemon, PATIENCE, Reply, TestDir, Upstream, await_some, painted};
use crate::smoke::painted_map;

const TILE: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";
const CAPABILITIES: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities";
const PROTOCOLS: [&str; 2] = ["scgi", "uwsgi"];

/// Variables in the frame of a protocol.
fn framed(protocol: &str, list: &[(String, String)]) -> Vec<u8> {
    if protocol == "scgi" {
        let block: String = list.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect();
        return format!("{}:{block},", block.len()).into_bytes();
    }
    let text = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let block: Vec<u8> = list.iter().flat_map(|(name, value)| [text(name), text(value)].concat()).collect();
    let [low, high] = (block.len() as u16).to_le_bytes();
    [&[0, low, high, 0][..], &block].concat()
}

pub fn request(protocol: &str, target: &str, others: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut list = variables(target);
    list.retain(|(name, _)| !others.iter().any(|(other, _)| other == name));
    list.push(("SCGI".into(), "1".into()));
    list.extend(others.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    [framed(protocol, &list), body.as_bytes().to_vec()].concat()
}

/// Everything that comes back before the connection ends.
pub fn exchange(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("the daemon listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    // A refusal may come before the last byte is out.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("a clean end");
    answer
}

fn start<'a>(dir: &'a TestDir, upstream: &Upstream) -> Setup<'a> {
    Setup::new(dir, painted_map(upstream)).listen("scgi: scgi.sock").listen("uwsgi: uwsgi.sock")
}

fn each(dir: &TestDir, check: impl Fn(&str, &dyn Fn(&[u8]) -> Reply)) {
    for protocol in PROTOCOLS {
        let socket = dir.join(format!("{protocol}.sock"));
        check(protocol, &|bytes| cgi_reply(&exchange(&socket, bytes)));
    }
}

#[test]
fn the_way_of_a_request() {
    let dir = TestDir::new("cgi-way");
    let upstream = Upstream::start();
    let daemon: Daemon = start(&dir, &upstream).start();
    each(&dir, |protocol, ask| {
        let tile = ask(&request(protocol, TILE, &[], ""));
        assert_eq!((tile.status, tile.content_type()), (200, "image/png"), "{protocol}");
        painted::check(&tile.body, 5, 17, 11).expect("the right tile");
        let etag = tile.header("etag").expect("an ETag").to_owned();
        let unchanged = ask(&request(protocol, TILE, &[("HTTP_IF_NONE_MATCH", &etag)], ""));
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{protocol}");
        let head = ask(&request(protocol, TILE, &[("REQUEST_METHOD", "HEAD")], ""));
        assert_eq!((head.status, head.body.len()), (200, 0), "{protocol}");
        let capabilities = ask(&request(protocol, CAPABILITIES, &[], "")).text();
        assert!(
            capabilities.contains("\"http://maps.example.org/proxy/service?\""),
            "{protocol}: {capabilities}"
        );
        let form = "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                    &BBOX=1000000,5000000,3000000,7000000&WIDTH=300&HEIGHT=300&FORMAT=image/png";
        let length = form.len().to_string();
        let variables = [
            ("REQUEST_METHOD", "POST"),
            ("CONTENT_TYPE", "application/x-www-form-urlencoded"),
            ("CONTENT_LENGTH", length.as_str()),
        ];
        let map = ask(&request(protocol, "/service", &variables, form));
        let direct = daemon.get(&format!("/service?{form}"));
        assert!(map.status == 200 && map.body == direct.body, "{protocol}: other bytes than asked directly");
        let library = "/demo/static/openlayers/ol.js";
        let large = ask(&request(protocol, library, &[], ""));
        assert!(large.body == daemon.get(library).body && large.body.len() > 200_000, "{protocol}");
    });
    daemon.stop();
}

#[test]
fn what_is_no_request_is_refused() {
    let dir = TestDir::new("cgi-odd");
    let upstream = Upstream::start();
    let limits = "limits: {header_ms: 300, body_ms: 300}\n";
    let daemon = start(&dir, &upstream).daemon_yaml(limits).start();
    each(&dir, |protocol, ask| {
        for (variables, status) in [
            (&[("REQUEST_METHOD", "")][..], 400),
            (&[("HTTP_HOST", "a\r\nb")], 400),
            (&[("CONTENT_LENGTH", "x")], 400),
            (&[("CONTENT_LENGTH", "99999999")], 413),
            (&[("REQUEST_METHOD", "DELETE")], 405),
            (&[("X", "y"); 1_000], 431),
            // The body never comes.
            (&[("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "5")], 408),
        ] {
            let reply = ask(&request(protocol, CAPABILITIES, variables, ""));
            assert_eq!(reply.status, status, "{protocol} {variables:?}: {}", reply.text());
        }
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x01\x01\0\x01\0\x08\0\0", b"\x16\x03\x01"] {
            assert_eq!(ask(bytes).status, 400, "{protocol} {bytes:?}");
        }
        let whole = request(protocol, TILE, &[], "");
        assert_eq!(ask(&whole[..40]).status, 408, "{protocol}");
        assert_eq!(ask(&whole).status, 200);
    });
    daemon.stop();
}

#[test]
fn a_reload_loses_no_request() {
    let dir = TestDir::new("cgi-reload");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream).start();
    each(&dir, |protocol, ask| assert_eq!(ask(&request(protocol, TILE, &[], "")).status, 200));
    let sockets = PROTOCOLS.map(|protocol| (protocol, dir.join(format!("{protocol}.sock"))));
    upstream.hold();
    let late: Vec<_> = sockets
        .clone()
        .into_iter()
        .zip([6_u32, 7])
        .map(|((protocol, socket), level)| {
            let target = format!("/wmts/painted/GLOBAL_WEBMERCATOR/0{level}/17/11.png");
            let bytes = request(protocol, &target, &[], "");
            (level, std::thread::spawn(move || cgi_reply(&exchange(&socket, &bytes))))
        })
        .collect();
    upstream.await_count(3);
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 2", 1);
    upstream.release();
    for (level, thread) in late {
        let reply = thread.join().expect("an answer of the old worker");
        painted::check(&reply.body, level, 17, 11).expect("the right tile");
    }
    await_some("the new workers", || {
        let (protocol, socket) = &sockets[0];
        (cgi_reply(&exchange(socket, &request(protocol, TILE, &[], ""))).status == 200).then_some(())
    });
    daemon.stop();
}
