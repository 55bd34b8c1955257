//! An outside daemon that makes the tiles: what it is told, what comes of what
//! it says, and that a silent one does not hold requests for ever.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::harness::daemon::Setup;
use crate::harness::{Daemon, TestDir, Upstream, painted};

/// What the daemon says to a message; `None`: nothing, until the asker gives up.
type Script = dyn Fn(&serde_json::Value) -> Option<String> + Send + Sync;

struct Renderd {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Renderd {
    fn start(script: impl Fn(&serde_json::Value) -> Option<String> + Send + Sync + 'static) -> Renderd {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (told, script): (_, Arc<Script>) = (Arc::clone(&messages), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, script) = (Arc::clone(&told), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &told, &*script));
            }
        });
        Renderd { address, messages }
    }

    fn messages(&self) -> Vec<serde_json::Value> {
        self.messages.lock().expect("no panic").clone()
    }
}

fn serve(stream: TcpStream, told: &Mutex<Vec<serde_json::Value>>, script: &Script) {
    let mut writer = stream.try_clone().expect("two ends");
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let message: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        told.lock().expect("no panic").push(message.clone());
        let Some(answer) = script(&message) else {
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if writer.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

fn map(renderd: &Renderd, upstream: &Upstream, more: &str) -> String {
    format!(
        "services:\n  wms:\n  wmts:\nlayers:\n  - {{name: tiles, title: T, sources: [tiles]}}\n\
         \x20 - {{name: single, title: S, sources: [single]}}\n  - {{name: unkept, title: U, sources: [unkept]}}\n\
         caches:\n  tiles: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock]}}\n\
         \x20 single: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock], meta_size: [1, 1], meta_buffer: 0}}\n\
         \x20 unkept: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock], disable_storage: true}}\n\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
         globals:\n  renderd: {{address: 'http://{}/'}}\n{more}",
        upstream.url("/wms"),
        renderd.address
    )
}

/// The daemon as it is meant to be: it makes the meta tile of 4×4 and stores it.
fn making(dir: &TestDir) -> Renderd {
    let root = dir.path().to_owned();
    Renderd::start(move |message| {
        let cache = message["cache_identifier"].as_str()?.strip_suffix("_GLOBAL_WEBMERCATOR")?.to_owned();
        let numbers: Vec<u32> =
            message["tiles"][0].as_array()?.iter().map(|n| n.as_u64().unwrap_or(0) as u32).collect();
        let (x, y, z) = (numbers[0], numbers[1], numbers[2]);
        let side = if cache == "tiles" { 4 } else { 1 };
        for (column, row) in (x..x + side).flat_map(|x| (y..y + side).map(move |y| (x, y))) {
            let directory =
                root.join(format!("cache_data/{cache}_EPSG3857/{z:02}/000/000/{column:03}/000/000"));
            std::fs::create_dir_all(&directory).expect("a directory");
            std::fs::write(directory.join(format!("{row:03}.png")), painted::tile(z, column, row))
                .expect("a tile");
        }
        Some("{\"status\": \"ok\"}".to_owned())
    })
}

const TILE: &str = "/GLOBAL_WEBMERCATOR/05/17/11.png";

fn tile(daemon: &Daemon, layer: &str) -> Vec<u8> {
    let reply = daemon.get(&format!("/wmts/{layer}{TILE}"));
    assert_eq!(reply.status, 200, "{layer}: {}", reply.text());
    reply.body
}

#[test]
fn the_daemon_makes_what_is_missing_and_is_asked_once() {
    let dir = TestDir::new("renderd");
    let (renderd, upstream) = (making(&dir), Upstream::start());
    let daemon = Setup::new(&dir, map(&renderd, &upstream, "")).start();
    for _ in 0..2 {
        painted::check(&tile(&daemon, "tiles"), 5, 17, 11).expect("the right tile");
        painted::check(&tile(&daemon, "single"), 5, 17, 11).expect("the right tile");
    }
    // Another tile of the same meta tile.
    let reply = daemon.get("/wmts/tiles/GLOBAL_WEBMERCATOR/05/18/9.png");
    painted::check(&reply.body, 5, 18, 9).expect("the right tile");
    let told: Vec<_> =
        renderd.messages().iter().map(|m| (m["cache_identifier"].clone(), m["tiles"].clone())).collect();
    let expected = [
        (serde_json::json!("tiles_GLOBAL_WEBMERCATOR"), serde_json::json!([[16, 8, 5]])),
        (serde_json::json!("single_GLOBAL_WEBMERCATOR"), serde_json::json!([[17, 11, 5]])),
    ];
    assert_eq!(told, expected);
    assert!(renderd.messages().iter().all(|m| m["priority"] == 100 && m["command"] == "tile"));
    assert_eq!(upstream.count(), 0, "our own hands stay off");
    // What is not kept cannot be made elsewhere.
    painted::check(&tile(&daemon, "unkept"), 5, 17, 11).expect("the right tile");
    assert_eq!((upstream.count(), renderd.messages().len()), (1, 2));
    daemon.stop();
}

#[test]
fn a_meta_tile_is_named_by_its_north_western_tile() {
    let dir = TestDir::new("renderd-south");
    let (renderd, upstream) = (Renderd::start(|_| Some(r#"{"status": "ok"}"#.to_owned())), Upstream::start());
    let map = map(&renderd, &upstream, "")
        .replace("GLOBAL_WEBMERCATOR], sources: [mock]}", "GLOBAL_MERCATOR], sources: [mock]}");
    let daemon = Setup::new(&dir, map).start();
    assert_eq!(daemon.get("/wmts/tiles/GLOBAL_MERCATOR/05/17/11.png").status, 200);
    let message = renderd.messages().remove(0);
    // Rows count from the south here: row 11 from the north is 20, of 20 to 23.
    assert_eq!(
        (&message["cache_identifier"], &message["tiles"]),
        (&"tiles_GLOBAL_MERCATOR".into(), &serde_json::json!([[16, 23, 5]]))
    );
    daemon.stop();
}

#[test]
fn a_crowd_before_the_daemon_asks_once() {
    let dir = TestDir::new("renderd-crowd");
    let renderd = making(&dir);
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&renderd, &upstream, "")).start();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| painted::check(&tile(&daemon, "tiles"), 5, 17, 11).expect("the right tile"));
        }
    });
    assert_eq!(renderd.messages().len(), 1, "over all workers");
    daemon.stop();
}

#[test]
fn what_the_daemon_says_reaches_the_client() {
    let dir = TestDir::new("renderd-errors");
    let upstream = Upstream::start();
    for (answer, expected) in [
        (r#"{"status": "error", "error_message": "barf"}"#, "Error from renderd: barf"),
        (r#"{"status": "lock"}"#, "Lock timeout from renderd: unknown lock timeout error from renderd"),
        ("{\"inv", "Error while communicating with renderd: invalid JSON"),
    ] {
        let renderd = Renderd::start(move |_| Some(answer.to_owned()));
        let daemon = Setup::new(&dir, map(&renderd, &upstream, "")).start();
        let reply = daemon.get(&format!("/wmts/tiles{TILE}"));
        assert_eq!(reply.status, 500);
        assert!(reply.text().contains(expected), "{}", reply.text());
        assert!(daemon.log().contains(expected), "{}", daemon.log());
        daemon.stop();
    }
    // Done, it says, and stored nothing.
    let renderd = Renderd::start(|_| Some(r#"{"status": "ok"}"#.to_owned()));
    let daemon = Setup::new(&dir, map(&renderd, &upstream, "")).start();
    let empty = tile(&daemon, "tiles");
    assert_eq!(rhumb::render::decode(&empty, &Default::default()).expect("a picture").pixel(9, 9)[3], 0);
    daemon.stop();
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_silent_daemon_costs_the_time_of_its_limit() {
    let dir = TestDir::new("renderd-silent");
    let (renderd, upstream) = (Renderd::start(|_| None), Upstream::start());
    let map = map(&renderd, &upstream, "  http: {client_timeout: 1}\n");
    let daemon = Setup::new(&dir, map).start();
    let reply = daemon.get(&format!("/wmts/tiles{TILE}"));
    assert_eq!(reply.status, 500);
    let told = "Error while communicating with renderd: No response from URL (see logs for URL and reason).";
    assert!(reply.text().contains(told), "{}", reply.text());
    assert!(daemon.log().contains("no answer within 1000 ms"), "{}", daemon.log());
    daemon.stop();
}
