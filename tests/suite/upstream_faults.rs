//! What an upstream may do wrong (reliability.md, group D): whatever comes is
//! either the picture asked for or a failure that is told, and nothing else is
//! ever kept; other layers do not notice.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::cache_faults::{FOUR, SINGLE, check_tiles, is_all_read, map, put, set_time, target, tile_path};
use crate::harness::daemon::Setup;
use crate::harness::port::Port;
use crate::harness::{Answer, Client, Daemon, Reply, TestDir, Upstream, await_some, painted};

/// What the largest map takes that these configurations allow: no lower limit
/// on bodies is obeyed.
const BODY_BYTES_MAX: usize = 256 * 256 * 4;

/// An upstream whose answer is changed while it runs.
struct Fickle {
    answer: Arc<Mutex<Answer>>,
    upstream: Upstream,
}

impl Fickle {
    fn start() -> Fickle {
        let answer = Arc::new(Mutex::new(Answer::Painted));
        let current = Arc::clone(&answer);
        let upstream =
            Upstream::scripted(move |_| current.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Fickle { answer, upstream }
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

/// Caches `bad`, `good` and `refused`, each over a WMS of its own; `keys` are
/// further keys of the sources of the first and the last.
fn three_layers(cache: &Path, bad: &Upstream, good: &Upstream, refused: &Port, keys: &str) -> String {
    let names = ["bad", "good", "refused"];
    let urls = [bad.url("/wms"), good.url("/wms"), format!("http://{}/wms", refused.address())];
    let layers: String = names
        .iter()
        .map(|name| format!("  - {{name: {name}, title: {name}, sources: [{name}]}}\n"))
        .collect();
    let caches: String = names
        .iter()
        .map(|name| format!("  {name}: {{grids: [GLOBAL_WEBMERCATOR], sources: [{name}_wms], {SINGLE}}}\n"))
        .collect();
    let sources: String = names
        .iter()
        .zip(urls)
        .map(|(name, url)| {
            let keys = if *name == "good" { "" } else { keys };
            format!(
                "  {name}_wms:\n    type: wms\n    req: {{url: '{url}', layers: a}}\n    supported_srs: ['EPSG:3857']\n{keys}"
            )
        })
        .collect();
    format!(
        "services:\n  wms: {{max_output_pixels: [256, 256]}}\n  wmts:\nlayers:\n{layers}caches:\n{caches}sources:\n{sources}\
         globals:\n  cache: {{base_dir: '{}', tile_lock_dir: '{}'}}\n",
        cache.join("tiles").display(),
        cache.join("tile_locks").display(),
    )
}

fn tile(daemon: &Daemon, layer: &str, column: u32) -> Reply {
    daemon.get(&target(6, column, 20).replace("painted", layer))
}

fn check(reply: &Reply, column: u32) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 6, column, 20).expect("the tile asked for");
}

fn path(cache: &Path, layer: &str, column: u32) -> PathBuf {
    let painted = tile_path(cache, 6, column, 20).to_string_lossy().into_owned();
    PathBuf::from(painted.replace("painted_", &format!("{layer}_")))
}

/// A PNG of which only the header is there: 65535×65535 pixels.
fn giant() -> Vec<u8> {
    let mut bytes = painted::png(&[0; 3], 1, 1);
    bytes[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    bytes
}

fn faults() -> Vec<(String, Answer)> {
    let exception = "<?xml version=\"1.0\"?><ServiceExceptionReport version=\"1.1.1\">\
                     <ServiceException>no such layer</ServiceException></ServiceExceptionReport>";
    let mut padded = painted::tile(6, 0, 20);
    padded.resize(BODY_BYTES_MAX + 1, 0);
    let mut list = vec![
        ("D3 a close without an answer".to_owned(), Answer::Dropped),
        ("D3 a reset in the body".into(), Answer::Reset),
        ("D4 a body shorter than told".into(), Answer::Truncated),
        ("D5 an exception".into(), Answer::Bytes("application/vnd.ogc.se_xml", exception.into())),
        ("D5 an exception as text/xml".into(), Answer::Bytes("text/xml", exception.into())),
        ("D5 HTML".into(), Answer::Bytes("text/html", b"<html>busy</html>".to_vec())),
        ("D5 an exception as image/png".into(), Answer::Bytes("image/png", exception.into())),
        ("D5 nothing as image/png".into(), Answer::Bytes("image/png", Vec::new())),
        ("D5 half a picture as a whole".into(), Answer::Bytes("image/png", half_a_tile())),
        ("D8 a body over the limit".into(), Answer::Bytes("image/png", padded)),
        ("D8 a body without end".into(), Answer::Endless),
        ("D10 a giant header".into(), Answer::Bytes("image/png", giant())),
    ];
    for status in [204, 206, 400, 401, 403, 404, 429, 500, 502, 503] {
        list.push((format!("D6 status {status}"), Answer::Status(status)));
    }
    list
}

fn half_a_tile() -> Vec<u8> {
    let whole = painted::tile(6, 0, 20);
    whole[..whole.len() / 2].to_vec()
}

/// D1, D3, D4, D5, D6, D8, D10 without `on_error`.
#[test]
fn a_faulty_answer_is_told_and_never_kept() {
    let dir = TestDir::new("upstream-faults");
    let (bad, good, refused) = (Fickle::start(), Upstream::start(), Port::reserve());
    let daemon = Setup::new(&dir, three_layers(dir.path(), &bad.upstream, &good, &refused, ""))
        .daemon_yaml(&format!("limits: {{upstream_body_bytes: {BODY_BYTES_MAX}}}\n"))
        .start();
    for (column, (name, fault)) in (0..).zip(faults()) {
        bad.answers(fault);
        let reply = tile(&daemon, "bad", column);
        assert_eq!(reply.status, 500, "{name}: {}", reply.text());
        assert!(!reply.content_type().starts_with("image/"), "{name}: {}", reply.content_type());
        assert!(!path(dir.path(), "bad", column).exists(), "{name}: nothing is kept");
        check(&tile(&daemon, "good", column), column);
        bad.answers(Answer::Painted);
        check(&tile(&daemon, "bad", column), column);
        assert!(path(dir.path(), "bad", column).is_file(), "{name}: kept when it is right");
    }
    let reply = tile(&daemon, "refused", 0);
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(!path(dir.path(), "refused", 0).exists());
    daemon.await_log("refused: tile", 1);
    daemon.stop();
}

/// D6: colour or transparent, kept or not, just as `on_error` says; answers
/// that are no image are never turned into a colour.
#[test]
fn on_error_decides_what_is_shown_and_what_is_kept() {
    const RULES: &str = "    on_error:\n      404: {response: '#112233', cache: true}\n      \
                         500: {response: '#445566', cache: false}\n      \
                         204: {response: transparent, cache: true}\n      \
                         other: {response: '#778899', cache: false}\n    image: {transparent: true}\n";
    let dir = TestDir::new("upstream-on-error");
    let (bad, good, refused) = (Fickle::start(), Upstream::start(), Port::reserve());
    let text = three_layers(dir.path(), &bad.upstream, &good, &refused, RULES)
        .replace("sources: [bad_wms],", "sources: [bad_wms], image: {transparent: true},");
    let daemon = Setup::new(&dir, text).start();
    let rows = [
        (404, [0x11, 0x22, 0x33, 255], true),
        (500, [0x44, 0x55, 0x66, 255], false),
        (204, [0, 0, 0, 0], true),
        (503, [0x77, 0x88, 0x99, 255], false),
    ];
    for (column, (status, color, is_kept)) in (0..).zip(rows) {
        bad.answers(Answer::Status(status));
        let before = bad.upstream.count();
        for _ in 0..2 {
            let reply = tile(&daemon, "bad", column);
            assert_eq!(
                (reply.status, reply.content_type()),
                (200, "image/png"),
                "{status}: {}",
                reply.text()
            );
            let raster = rhumb::render::decode(&reply.body, &Default::default()).expect("a picture");
            let seen = raster.pixel(100, 100);
            assert_eq!(seen[3], color[3], "{status}: {seen:?}");
            assert!(color[3] == 0 || seen == color, "{status}: {seen:?} in place of {color:?}");
            let says_no = reply
                .header("cache-control")
                .is_some_and(|c| c.contains("no-cache") || c.contains("no-store"));
            assert_eq!(says_no, !is_kept, "{status}: {:?}", reply.headers);
        }
        assert_eq!(bad.upstream.count() - before, if is_kept { 1 } else { 2 }, "{status}");
        assert_eq!(path(dir.path(), "bad", column).exists(), is_kept, "{status}");
    }
    bad.answers(Answer::Bytes("text/xml", b"<ServiceExceptionReport/>".to_vec()));
    assert_eq!(tile(&daemon, "bad", 9).status, 500, "an exception is no colour");
    let reply = tile(&daemon, "refused", 9);
    let raster = rhumb::render::decode(&reply.body, &Default::default()).expect("a picture");
    assert_eq!(raster.pixel(9, 9), [0x77, 0x88, 0x99, 255], "a refused connection is `other`");
    daemon.stop();
}

/// D15: the limit holds over all threads, workers and daemons.
#[test]
fn concurrent_requests_are_counted_over_all_workers() {
    const LIMIT: usize = 3;
    let dirs = [TestDir::new("upstream-limit-a"), TestDir::new("upstream-limit-b")];
    let cache = TestDir::new("upstream-limit");
    let upstream = Upstream::start();
    let text = map(&upstream, cache.path(), SINGLE)
        .replace("    type: wms\n", &format!("    type: wms\n    concurrent_requests: {LIMIT}\n"));
    let daemons: Vec<Daemon> = dirs.iter().map(|dir| Setup::new(dir, text.clone()).start()).collect();
    upstream.hold();
    let mut clients: Vec<Client> = (0..24).map(|number| daemons[number % 2].client()).collect();
    for (column, client) in (0..).zip(&mut clients) {
        client.send_get(&target(6, column, 20)).expect("a request");
    }
    upstream.await_count(LIMIT);
    for daemon in &daemons {
        await_some("all requests to be read", || is_all_read(daemon.address.port()).then_some(()));
    }
    upstream.release();
    for (column, client) in (0..).zip(&mut clients) {
        check(&client.read_reply(false).expect("an answer"), column);
    }
    assert_eq!((upstream.count(), upstream.peak()), (24, LIMIT));
    for daemon in daemons {
        daemon.stop();
    }
}

/// `refresh_before`: a source that fails does not take away what was there,
/// nor does it make up what was not.
#[test]
fn stale_tiles_outlive_a_failing_source() {
    let dir = TestDir::new("upstream-stale");
    let fickle = Fickle::start();
    let stored = [(20, 20), (21, 20), (20, 21)];
    for (column, row) in stored {
        let path = tile_path(dir.path(), 6, column, row);
        put(&path, painted::tile(6, column, row));
        set_time(&path, SystemTime::now() - Duration::from_secs(10 * 86_400));
    }
    let keys = format!("{FOUR}, refresh_before: {{days: 5}}");
    let daemon = Setup::new(&dir, map(&fickle.upstream, dir.path(), &keys)).start();
    for fault in [Answer::Status(500), Answer::Truncated, Answer::Bytes("text/xml", b"<x/>".to_vec())] {
        fickle.answers(fault.clone());
        for (column, row) in stored {
            let reply = daemon.get(&target(6, column, row));
            assert_eq!(reply.status, 200, "{fault:?}: {}", reply.text());
            painted::check(&reply.body, 6, column, row).expect("the tile asked for");
        }
        assert_eq!(daemon.get(&target(6, 21, 21)).status, 500, "{fault:?}: there never was one");
        assert_eq!(check_tiles(dir.path()), 3, "{fault:?}");
    }
    daemon.await_log("stays as it was", 1);
    fickle.answers(Answer::Painted);
    for (column, row) in [(20, 20), (21, 20), (20, 21), (21, 21)] {
        let reply = daemon.get(&target(6, column, row));
        painted::check(&reply.body, 6, column, row).expect("the tile asked for");
        let bytes = std::fs::read(tile_path(dir.path(), 6, column, row)).expect("a tile");
        assert!(bytes != painted::tile(6, column, row), "made anew");
    }
    assert_eq!(check_tiles(dir.path()), 4);
    daemon.stop();
}
