//! Limits of the daemon's file that no other test hits: what is let through
//! with the default stops at the number that the file gives, or the reverse.
//! Where a limit is a time, two daemons are held against each other.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};

use crate::harness::daemon::Setup;
use crate::harness::upstream::Answer;
use crate::harness::{Client, Daemon, End, TestDir, Upstream, await_some, painted};
use crate::http_abuse::{HOST, TILE, check_tile, start};
use crate::smoke::painted_map;

/// Longer than any test waits.
const EVER_MS: &str = "3600000";

fn status_of(daemon: &Daemon, bytes: &str) -> u16 {
    let mut client = daemon.client();
    client.send(bytes).expect("sent");
    client.read_reply(false).expect("an answer").status
}

#[test]
fn heads_may_be_as_large_as_the_file_says() {
    let upstream = Upstream::start();
    let dirs = [TestDir::new("limits-heads"), TestDir::new("limits-heads")];
    let limits = "request_line_bytes: 256, header_bytes: 1024, header_count: 8, header_field_bytes: 300";
    let [narrow, wide] = [start(&dirs[0], &upstream, limits), start(&dirs[1], &upstream, "")];
    let fields = |count: usize, bytes: usize| -> String {
        (0..count).map(|n| format!("X-{n}: {}\r\n", "v".repeat(bytes))).collect()
    };
    let with = |fields: String| format!("GET {TILE} HTTP/1.1\r\n{HOST}{fields}\r\n");
    for (what, request, refused) in [
        ("a long line", format!("GET {TILE}?{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(300)), 414),
        ("a long field", with(fields(1, 310)), 431),
        ("many fields", with(fields(9, 1)), 431),
        ("much in all", with(fields(5, 250)), 431),
        ("little", with(fields(3, 250)), 200),
    ] {
        assert_eq!(status_of(&narrow, &request), refused, "{what}");
        assert_eq!(status_of(&wide, &request), 200, "{what}, within the defaults");
    }
    narrow.stop();
    wide.stop();
}

#[test]
fn connections_are_kept_for_so_many_requests_and_so_long() {
    let upstream = Upstream::start();
    let dirs = [TestDir::new("limits-kept"), TestDir::new("limits-kept")];
    let brief = start(&dirs[0], &upstream, "keep_alive_requests: 3, keep_alive_idle_ms: 8000");
    let long = start(&dirs[1], &upstream, &format!("keep_alive_requests: 4, keep_alive_idle_ms: {EVER_MS}"));
    for (daemon, count) in [(&brief, 3), (&long, 4)] {
        let mut client = daemon.client();
        let closes: Vec<bool> = (0..count).map(|_| client.get(TILE).expect("an answer").closes()).collect();
        assert_eq!(closes.iter().position(|closes| *closes), Some(count - 1), "{count} requests");
        assert_eq!(client.read_to_end(), (Vec::new(), End::Fin));
    }
    let mut idle = [brief.client(), long.client()];
    idle.iter_mut().for_each(|client| assert_eq!(client.get(TILE).expect("an answer").status, 200));
    assert_eq!(idle[0].read_to_end(), (Vec::new(), End::Fin), "an idle connection ends");
    assert_eq!(idle[1].get(TILE).expect("the other one goes on").status, 200);
    brief.stop();
    long.stop();
}

/// After a refusal what the client still sends is read for a while, so that
/// the refusal is not lost; then the connection is gone.
#[test]
fn a_refused_client_is_listened_to_as_long_as_the_file_says() {
    let upstream = Upstream::start();
    let dirs = [TestDir::new("limits-lingering"), TestDir::new("limits-lingering")];
    let short = start(&dirs[0], &upstream, "lingering_close_ms: 100");
    let long = start(&dirs[1], &upstream, &format!("lingering_close_ms: {EVER_MS}"));
    let ask_one = |daemon: &Daemon| {
        let mut client = daemon.client();
        client.send(format!("GET / HTTP/1.1\r\n{HOST}X: {}\r\n\r\n", "v".repeat(9_000))).expect("sent");
        assert_eq!(client.read_reply(false).expect("the refusal").status, 431);
        client
    };
    let ask = || [&short, &long].map(ask_one);
    let mut clients = ask();
    // Bytes keep both awake, until one is gone. The long one would take us for gone if none came for a
    // second: where the machine kept us from sending for nearly as long, it may.
    let mut last = Instant::now();
    await_some("the short one to be gone", || {
        let sent: Vec<bool> = clients.iter().map(|client| client.stream().write_all(b"x").is_ok()).collect();
        let was_idle = std::mem::replace(&mut last, Instant::now()).elapsed() > Duration::from_millis(800);
        if !sent[1] && was_idle {
            clients = ask();
            return None;
        }
        assert!(sent[1], "the long one is listened to");
        (!sent[0]).then_some(())
    });
    short.stop();
    long.stop();
}

/// Asks for a tile that nobody has asked for.
fn ask_for(client: &mut Client, number: usize) {
    let target = format!("/wmts/painted/GLOBAL_WEBMERCATOR/09/{}/11.png", number * 8);
    client.send_get(&target).expect("a request");
}

/// While the upstream holds, as many requests are under way as there are
/// threads, as many wait as the queue has places, and the rest is sent away.
#[test]
fn threads_and_queue_have_the_sizes_that_the_file_gives() {
    for (limits, threads, queue) in [
        ("render_threads: 1, waiting_threads: 2, render_queue: 2", 3, 2),
        ("render_threads: 3, waiting_threads: 1, render_queue: 1", 4, 1),
    ] {
        let (dir, upstream) = (TestDir::new("limits-threads"), Upstream::start());
        let daemon = start(&dir, &upstream, limits);
        // A worker with a full queue accepts nobody: these are in before.
        let mut busy: Vec<Client> = (0..threads + 6).map(|_| daemon.client()).collect();
        busy.iter_mut().for_each(|client| assert_eq!(client.get("/nothing").expect("an answer").status, 404));
        let mut others = busy.split_off(threads);
        upstream.hold();
        for (number, client) in busy.iter_mut().enumerate() {
            ask_for(client, number);
            upstream.await_count(number + 1);
        }
        for (number, client) in others.iter_mut().enumerate() {
            ask_for(client, threads + number);
        }
        let refused = 6 - queue;
        // Those that are refused know it while the upstream still holds.
        let mut take_refusals = || {
            others.retain_mut(|client| {
                client.set_patience(Duration::from_millis(1));
                let Ok(reply) = client.read_reply(false) else { return true };
                let advises = reply.header("retry-after").is_some();
                assert_eq!((reply.status, advises), (503, true), "{limits}");
                false
            });
            (others.len() <= 6 - refused).then_some(())
        };
        await_some("the refusals", &mut take_refusals);
        assert_eq!((others.len(), upstream.count()), (queue, threads), "{limits}");
        upstream.release();
        for client in busy.iter_mut().chain(&mut others) {
            client.set_patience(crate::harness::PATIENCE);
            assert_eq!(client.read_reply(false).expect("an answer").status, 200);
        }
        assert_eq!(upstream.peak(), threads, "{limits}");
        daemon.stop();
    }
}

/// A white tile of just so many bytes.
fn white(bytes: usize) -> Vec<u8> {
    let with_text = |length: usize| {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, painted::TILE_PX, painted::TILE_PX);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.add_text_chunk("k".into(), "x".repeat(length)).expect("a text");
        let pixels = vec![0xff; (painted::TILE_PX * painted::TILE_PX / 8) as usize];
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).expect("a PNG");
        out
    };
    with_text(bytes - with_text(0).len())
}

/// A tile that lies in memory is not read again as long as the file looks the same.
#[test]
fn memory_holds_tiles_or_not() {
    for (limits, from_memory) in [("stored_trust_ms: 0", true), ("cache_memory_bytes: 0", false)] {
        let (dir, upstream) = (TestDir::new("limits-memory"), Upstream::start());
        let daemon = start(&dir, &upstream, limits);
        check_tile(&daemon);
        let path =
            dir.files().into_iter().find(|path| path.ends_with("017/000/000/011.png")).expect("the tile");
        // Once more from the disk, which brings it into memory.
        check_tile(&daemon);
        // The same file to look at: place, length and time.
        let old = std::fs::metadata(&path).expect("the tile");
        let mut file = std::fs::File::options().write(true).open(&path).expect("the tile");
        file.write_all(&white(old.len() as usize)).expect("other bytes");
        file.set_modified(old.modified().unwrap_or(SystemTime::UNIX_EPOCH)).expect("the old time");
        let is_old = painted::check(&daemon.get(TILE).body, 5, 17, 11).is_ok();
        assert_eq!(is_old, from_memory, "{limits}");
        daemon.stop();
    }
}

/// And for a while nobody looks whether the file is still the same.
#[test]
fn a_stored_tile_is_trusted_for_so_long() {
    for (trust_ms, from_memory) in [(EVER_MS, true), ("0", false)] {
        let (dir, upstream) = (TestDir::new("limits-trust"), Upstream::start());
        let daemon = start(&dir, &upstream, &format!("stored_trust_ms: {trust_ms}"));
        check_tile(&daemon);
        check_tile(&daemon);
        let path =
            dir.files().into_iter().find(|path| path.ends_with("017/000/000/011.png")).expect("the tile");
        daemon.replace(&path, "");
        std::fs::write(&path, painted::tile(5, 1, 1)).expect("another tile");
        assert_eq!(painted::check(&daemon.get(TILE).body, 5, 17, 11).is_ok(), from_memory, "{trust_ms}");
        daemon.stop();
    }
}

fn map_of(source: &str) -> String {
    format!(
        "sources:\n  one: {{type: wms, {source}}}\nlayers: [{{name: one, title: One, sources: [one]}}]\n\
         services: {{wms: {{srs: ['EPSG:3857'], max_output_pixels: [64, 64], image_formats: [image/png]}}}}\n"
    )
}

const MAP: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=one&STYLES=&SRS=EPSG:3857&BBOX=0,0,64,64&WIDTH=64&HEIGHT=64&FORMAT=image/png";
const LEGEND: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetLegendGraphic&LAYER=one&FORMAT=image/png";

#[test]
fn an_upstream_may_send_us_on_so_often() {
    let upstream = Upstream::scripted(|target| match target.split_once('?') {
        Some((path, query)) if path.len() < 4 => {
            Answer::Full(302, vec![format!("Location: {path}x?{query}")], Vec::new())
        }
        _ => Answer::Painted,
    });
    // From /x by /xx to /xxx.
    for (limits, status) in [("upstream_redirects: 1", 500), ("upstream_redirects: 2", 200), ("", 200)] {
        let dir = TestDir::new("limits-redirects");
        let map = map_of(&format!("req: {{url: '{}', layers: a}}", upstream.url("/x")));
        let daemon = Setup::new(&dir, map).workers(1).daemon_yaml(&format!("limits: {{{limits}}}\n")).start();
        assert_eq!(daemon.get(MAP).status, status, "{limits}");
        daemon.stop();
    }
}

#[test]
fn a_picture_may_have_so_many_bytes_when_it_is_unpacked() {
    // 600×600 pixels are 1.44 million bytes, packed a few thousand.
    let upstream =
        Upstream::scripted(|_| Answer::Bytes("image/png", painted::png(&[7; 600 * 600 * 3], 600, 600)));
    for (limits, side) in
        [("decoded_image_bytes: 1048576", None), ("decoded_image_bytes: 2097152", Some(600)), ("", Some(600))]
    {
        let dir = TestDir::new("limits-decoded");
        let url = upstream.url("/");
        let map =
            map_of(&format!("req: {{url: '{url}', layers: a}}, wms_opts: {{legendurl: '{url}legend.png'}}"));
        let daemon = Setup::new(&dir, map).workers(1).daemon_yaml(&format!("limits: {{{limits}}}\n")).start();
        let legend = crate::harness::compare::raster(&daemon.get(LEGEND).body).ok();
        assert_eq!(legend.map(|raster| raster.width).filter(|width| *width == 600), side, "{limits}");
        daemon.stop();
    }
}

/// A host whose queue of connections is full answers nothing at all.
#[test]
fn an_upstream_that_does_not_connect_is_given_up_when_the_file_says() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("bound");
    socket.listen(0).expect("listening");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("an address");
    let _waiting = fill_up(address);
    let [hasty, patient] = [("limits-hasty", "100"), ("limits-patient", EVER_MS)].map(|(name, ms)| {
        let dir = TestDir::new(name);
        let map =
            map_of(&format!("http: {{client_timeout: 3600}}, req: {{url: 'http://{address}/', layers: a}}"));
        let yaml = format!("limits: {{upstream_connect_ms: {ms}}}\n");
        let daemon = Setup::new(&dir, map).workers(1).daemon_yaml(&yaml).start();
        (daemon, dir)
    });
    let mut waits = patient.0.client();
    waits.send_get(MAP).expect("a request");
    assert_eq!(hasty.0.get(MAP).status, 500);
    waits.set_patience(Duration::from_millis(1));
    assert_eq!(waits.read_reply(false).err(), Some(End::Timeout), "the other one still waits");
    hasty.0.stop();
    patient.0.stop();
}

/// Connections that nobody accepts, until no more are taken.
fn fill_up(address: std::net::SocketAddr) -> Vec<std::net::TcpStream> {
    let mut held = Vec::new();
    loop {
        match std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => held.push(stream),
            Err(_) => return held,
        }
    }
}

/// The map of `painted_map` in one worker or in several.
#[test]
fn as_many_workers_serve_as_the_file_says() {
    let upstream = Upstream::start();
    for count in [1, 3] {
        let dir = TestDir::new("limits-workers");
        let daemon = Setup::new(&dir, painted_map(&upstream)).workers(count).start();
        assert_eq!(daemon.workers().len(), count);
        daemon.stop();
    }
}
