//! The rest of HTTP: methods, content codings, ranges; what a browser, a GIS
//! with POST and a download manager ask for.

use std::io::Read;

use crate::harness::{Daemon, Reply, TestDir, Upstream, painted};
use crate::http_abuse::{HOST, TILE, check_tile, start};

const CAPABILITIES: &str = "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities";

fn ask(daemon: &Daemon, line: &str, fields: &str, body: &str) -> Reply {
    let mut client = daemon.client();
    client.send(format!("{line} HTTP/1.1\r\n{HOST}{fields}\r\n{body}")).expect("sent");
    client.read_reply(line.starts_with("HEAD")).unwrap_or_else(|end| panic!("{line} {fields}: {end:?}"))
}

fn unpacked(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    match reply.header("content-encoding") {
        None => bytes.clone_from(&reply.body),
        Some("br") => {
            brotli::Decompressor::new(&reply.body[..], 4_096).read_to_end(&mut bytes).expect("brotli");
        }
        Some("zstd") => bytes = zstd::bulk::decompress(&reply.body, 1 << 24).expect("zstd"),
        Some("gzip") => {
            bytes.resize(1 << 22, 0);
            let length =
                libdeflater::Decompressor::new().gzip_decompress(&reply.body, &mut bytes).expect("gzip");
            bytes.truncate(length);
        }
        Some(other) => panic!("nobody asked for {other}"),
    }
    bytes
}

#[test]
fn text_is_packed_as_the_client_likes_it_and_pictures_are_not() {
    let (dir, upstream) = (TestDir::new("packed"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    let script = "/demo/static/openlayers/ol.js";
    for target in [
        CAPABILITIES,
        "/service?SERVICE=WMTS&REQUEST=GetCapabilities",
        "/demo/",
        script,
        "/kml/painted/EPSG3857/0/0/0.kml",
    ] {
        let plain = daemon.get(target);
        assert_eq!(plain.status, 200, "{target}: {}", plain.text());
        assert!(plain.header("content-encoding").is_none());
        let vary = plain.header("vary").unwrap_or_default().to_owned();
        assert!(vary.contains("Accept-Encoding") || plain.body.len() < 1_024, "{target}: {vary}");
        for (accept, expected) in [
            ("gzip", "gzip"),
            ("br;q=0.5, zstd", "zstd"),
            ("gzip, deflate, br, zstd", "br"),
            ("identity", ""),
        ] {
            // The first is packed, the second found packed; both are the same.
            for _ in 0..2 {
                let reply =
                    ask(&daemon, &format!("GET {target}"), &format!("Accept-Encoding: {accept}\r\n"), "");
                let coding = reply.header("content-encoding").unwrap_or_default();
                assert!(coding == expected || plain.body.len() < 1_024, "{target} {accept}: {coding}");
                assert_eq!(unpacked(&reply), plain.body, "{target} {accept}");
                assert_eq!(reply.header("vary"), Some(&*vary).filter(|v| !v.is_empty()));
                assert!(
                    expected.is_empty()
                        || reply.body.len() * 2 < plain.body.len()
                        || plain.body.len() < 1_024
                );
                let head =
                    ask(&daemon, &format!("HEAD {target}"), &format!("Accept-Encoding: {accept}\r\n"), "");
                assert_eq!(
                    head.header("content-length"),
                    reply.header("content-length"),
                    "{target} {accept}"
                );
                if let Some(etag) = reply.header("etag") {
                    assert_eq!(etag.starts_with("W/"), !coding.is_empty(), "{target}: {etag}");
                    let again = format!("Accept-Encoding: {accept}\r\nIf-None-Match: {etag}\r\n");
                    assert_eq!(ask(&daemon, &format!("GET {target}"), &again, "").status, 304, "{target}");
                }
            }
        }
    }
    let picture = ask(&daemon, &format!("GET {TILE}"), "Accept-Encoding: gzip, br, zstd\r\n", "");
    assert!(picture.header("content-encoding").is_none() && picture.header("vary").is_none());
    painted::check(&picture.body, 5, 17, 11).expect("as it lies");
    daemon.stop();
}

#[test]
fn stored_tiles_come_in_parts_and_maps_do_not() {
    let (dir, upstream) = (TestDir::new("ranges"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    let whole = daemon.get(TILE);
    let etag = whole.header("etag").expect("a tag").to_owned();
    let length = whole.body.len();
    let mut joined = Vec::new();
    for from in (0..length).step_by(100) {
        let fields = format!("Range: bytes={from}-{}\r\nIf-Range: {etag}\r\n", from + 99);
        let part = ask(&daemon, &format!("GET {TILE}"), &fields, "");
        let to = (from + 99).min(length - 1);
        assert_eq!(part.status, 206);
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {from}-{to}/{length}")));
        assert_eq!(part.header("etag"), Some(&*etag));
        joined.extend(part.body);
    }
    painted::check(&joined, 5, 17, 11).expect("the parts make the tile");
    let beyond = ask(&daemon, &format!("GET {TILE}"), &format!("Range: bytes={length}-\r\n"), "");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(&*format!("bytes */{length}"))));
    let changed = ask(&daemon, &format!("GET {TILE}"), "Range: bytes=0-9\r\nIf-Range: \"other\"\r\n", "");
    assert_eq!((changed.status, changed.body.len()), (200, length));
    let head = ask(&daemon, &format!("HEAD {TILE}"), "Range: bytes=0-9\r\n", "");
    assert_eq!(head.status, 200);
    // A tile that is not there yet is made and cut as well.
    let made = ask(&daemon, "GET /wmts/painted/GLOBAL_WEBMERCATOR/05/5/11.png", "Range: bytes=1-3\r\n", "");
    assert_eq!((made.status, made.body.as_slice()), (206, &b"PNG"[..]));
    let map = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
               &BBOX=0,0,1000000,1000000&WIDTH=64&HEIGHT=64&FORMAT=image/png";
    let map = ask(&daemon, &format!("GET {map}"), "Range: bytes=0-9\r\n", "");
    assert!(map.status == 200 && map.body.len() > 10);
    daemon.stop();
}

#[test]
fn scripts_of_other_sites_ask_first() {
    let (dir, upstream) = (TestDir::new("cors"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    for (target, methods) in [
        (TILE, "GET, HEAD, OPTIONS"),
        ("/service", "GET, HEAD, POST, OPTIONS"),
        ("/demo/", "GET, HEAD, OPTIONS"),
    ] {
        let reply = ask(&daemon, &format!("OPTIONS {target}"), "", "");
        assert_eq!((reply.status, reply.header("allow"), reply.body.len()), (204, Some(methods), 0));
        assert!(reply.header("access-control-allow-methods").is_none());
        let fields = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\
                      Access-Control-Request-Headers: authorization, x-api-key\r\n";
        let reply = ask(&daemon, &format!("OPTIONS {target}"), fields, "");
        assert_eq!(reply.status, 204);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{target}");
        assert_eq!(reply.header("access-control-allow-methods"), Some(methods));
        assert_eq!(reply.header("access-control-allow-headers"), Some("authorization, x-api-key"));
        assert_eq!(reply.header("access-control-max-age"), Some("86400"));
        let fields = fields.replace("authorization", "<script>");
        let reply = ask(&daemon, &format!("OPTIONS {target}"), &fields, "");
        assert!(reply.status == 204 && reply.header("access-control-allow-headers").is_none());
    }
    daemon.stop();
}

#[test]
fn a_post_is_a_form_or_is_told_so() {
    let (dir, upstream) = (TestDir::new("post"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let form = "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                &BBOX=0,0,1000000,1000000&WIDTH=64&HEIGHT=64&FORMAT=image/png";
    let get = daemon.get(&format!("/service?{form}"));
    assert_eq!(get.content_type(), "image/png", "{}", get.text());
    let post = |target: &str, content_type: &str, body: &str| {
        let fields = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        ask(&daemon, &format!("POST {target}"), &fields, body)
    };
    let (first, rest) = form.split_once('&').expect("pairs");
    for (target, content_type, body) in [
        ("/service".to_owned(), "application/x-www-form-urlencoded", form),
        ("/ows".to_owned(), "Application/X-WWW-Form-URLEncoded; charset=utf-8", form),
        (format!("/service?{first}"), "application/x-www-form-urlencoded", rest),
    ] {
        let reply = post(&target, content_type, body);
        assert_eq!((reply.status, &reply.body), (200, &get.body), "{target}: {}", reply.text());
    }
    let xml = "<?xml version=\"1.0\"?><GetMap xmlns=\"http://www.opengis.net/sld\"/>";
    for (content_type, body, word) in [
        ("text/xml", xml, "XML"),
        ("application/json", "{}", "form"),
        ("multipart/form-data; boundary=a", "--a--", "form"),
    ] {
        let reply = post("/service", content_type, body);
        assert!(reply.status == 415 && reply.text().contains(word), "{content_type}: {}", reply.text());
    }
    assert_eq!(post(TILE, "application/x-www-form-urlencoded", "").status, 405);
    // In chunks, after 100 Continue.
    let mut client = daemon.client();
    let fields = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
    client.send(format!("POST /service HTTP/1.1\r\n{HOST}{fields}\r\n")).expect("the head");
    let mut interim = [0; 25];
    client.stream().read_exact(&mut interim).expect("100 Continue");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(format!("{:x}\r\n{form}\r\n0\r\n\r\n", form.len())).expect("the body");
    assert_eq!(client.read_reply(false).expect("the map").body, get.body);
    daemon.stop();
}
