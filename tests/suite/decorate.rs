//! What is added to pictures on their way out: an image, a text, or what a
//! service of the operator's makes of them; in every service, and kept nowhere.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use nix::sys::signal::Signal;
use rhumb::render::{DecodeLimits, Raster, decode};
use serde_json::{Value, json};

use crate::auth::{Faults, LAYER_DOCUMENTS, ask, guarded_map, sha256, targets, told, upstream};
use crate::harness::daemon::Setup;
use crate::harness::dir::files_below;
use crate::harness::{Daemon, Reply, TestDir, Upstream, painted};

const MAGENTA: [u8; 3] = [255, 0, 255];

/// Layers open and closed, and one that is kept as JPEG.
fn map(upstream: &Upstream) -> String {
    guarded_map(upstream)
        .replace("- {name: closed,", "- {name: photo, title: Photo, sources: [photo]}\n    - {name: closed,")
        .replace(
            "caches:\n",
            "caches:\n  photo: {grids: [GLOBAL_WEBMERCATOR], sources: [wms_open], format: image/jpeg}\n",
        )
        .replace(
            "  wms:\n    srs:",
            "  wms:\n    image_formats: [image/png, image/png; mode=24bit, image/jpeg, image/gif, image/tiff, \
             image/GeoTIFF, image/webp]\n    srs:",
        )
}

/// Tiles and maps of every service; `{layer}` stands for the layer.
fn pictures(level: u32, column: u32, row: u32) -> Vec<(&'static str, String)> {
    let mut all = targets(level, column, row);
    all.retain(|(service, _)| !service.ends_with("featureinfo"));
    let map = all[0].1.clone();
    all.push(("wms.tiled", format!("{map}&TILED=true")));
    all.push(("wms.130", map.replace("1.1.1", "1.3.0").replace("SRS=", "CRS=")));
    all
}

fn raster(reply: &Reply) -> Result<Raster, String> {
    decode(&reply.body, &DecodeLimits::default()).map_err(|error| format!("{error}: {}", told(reply)))
}

fn is_near(pixel: [u8; 4], color: [u8; 3], tolerance: u8) -> bool {
    pixel.iter().zip(color).all(|(have, want)| have.abs_diff(want) <= tolerance) && pixel[3] == 255
}

/// A daemon whose rule 0 lays a magenta square of 24 pixels at 40, 40.
fn marked(dir: &TestDir, upstream: &Upstream, more: &str) -> Daemon {
    dir.write("mark.png", painted::png(&MAGENTA.repeat(24 * 24), 24, 24));
    let yaml = format!(
        "decorate:\n  - {{image: mark.png, place: upper_left, margin_px: 40, layers: [op*, photo]}}\n{more}"
    );
    Setup::new(dir, map(upstream)).workers(1).daemon_yaml(&yaml).start()
}

#[test]
fn every_picture_of_every_service_bears_the_image_and_no_stored_tile_does() {
    let (dir, upstream) = (TestDir::new("decorate-image"), upstream());
    let daemon = marked(&dir, &upstream, "");
    let mut faults = Faults::default();
    // Twice: made, and found.
    for round in 0..2 {
        for (service, target) in pictures(5, 17, 11) {
            let reply = daemon.get(&target.replace("{layer}", "open"));
            let what = || format!("{round} {service}: {}", told(&reply));
            faults.check(reply.status == 200 && reply.content_type() == "image/png", what);
            match raster(&reply) {
                Ok(raster) => {
                    let corners = [raster.pixel(40, 40), raster.pixel(63, 63), raster.pixel(39, 39)];
                    let [first, last, beside] = corners.map(|pixel| is_near(pixel, MAGENTA, 0));
                    faults.check(first && last && !beside, || format!("{} {corners:?}", what()));
                    let own = painted::color(5, 17, 11);
                    faults.check(is_near(raster.pixel(128, 128), own, 0), || format!("{} own", what()));
                }
                Err(error) => faults.check(false, || format!("{} {error}", what())),
            }
            // Of a layer that no rule names it is the tile itself.
            let reply = daemon.get(&target.replace("{layer}", "closed"));
            let right = painted::check(&reply.body, 5, 17, 11);
            faults.check(right.is_ok(), || format!("{round} {service} closed: {right:?}"));
        }
    }
    for (service, target) in pictures(5, 17, 11) {
        // JPEG is what these layers are kept as; the others draw as PNG.
        let target = target.replace("{layer}", "photo");
        let target =
            target.replace(".png", ".jpeg").replace("image/png", "image/jpeg").replace("f=png", "f=jpeg");
        let reply = daemon.get(&target);
        let is_marked = raster(&reply).is_ok_and(|raster| is_near(raster.pixel(52, 52), MAGENTA, 40));
        faults.check(reply.content_type() == "image/jpeg" && is_marked, || {
            format!("{service}: {}", told(&reply))
        });
    }
    let (_, map) = &pictures(5, 17, 11)[0];
    for format in ["image/png; mode=24bit", "image/gif", "image/tiff", "image/GeoTIFF", "image/webp"] {
        let escaped = format.replace(' ', "%20").replace(';', "%3B");
        let reply = daemon.get(&map.replace("{layer}", "open").replace("image/png", &escaped));
        let is_marked = raster(&reply).is_ok_and(|raster| is_near(raster.pixel(52, 52), MAGENTA, 24));
        let is_typed = reply.content_type().eq_ignore_ascii_case(format) || format.contains("GeoTIFF");
        faults.check(is_typed && is_marked, || format!("{format}: {}", told(&reply)));
    }
    let legend = daemon.get(&LAYER_DOCUMENTS[0].1.replace("{layer}", "open"));
    let is_plain =
        raster(&legend).is_ok_and(|raster| (raster.width, raster.pixel(5, 5)) == (10, [9, 9, 9, 255]));
    faults.check(is_plain, || format!("legend: {}", told(&legend)));
    faults.end();
    daemon.stop();
    check_stored(&dir);
}

/// Every stored tile of a PNG cache is as the upstream painted it.
fn check_stored(dir: &TestDir) {
    let tiles: Vec<_> = files_below(&dir.join("cache_data"))
        .into_iter()
        .filter(|path| path.ends_with("000/000/011.png") || path.ends_with("000/000/020.png"))
        .collect();
    for path in &tiles {
        let bytes = std::fs::read(path).expect("a tile");
        let raster = decode(&bytes, &DecodeLimits::default()).expect("a sound tile");
        assert!(!is_near(raster.pixel(52, 52), MAGENTA, 0), "{} is decorated", path.display());
    }
    assert!(!tiles.is_empty(), "{:?}", files_below(&dir.join("cache_data")));
}

#[test]
fn what_is_the_same_for_all_may_be_kept_and_no_more() {
    let (dir, upstream) = (TestDir::new("decorate-kept"), upstream());
    let daemon = marked(&dir, &upstream, "  - {text: 'for {user}', services: [tms], place: centre}\n");
    let all = pictures(5, 17, 11);
    let target = |service: &str| {
        let (_, target) = all.iter().find(|(known, _)| *known == service).expect("a target");
        target.replace("{layer}", "open")
    };
    for service in ["wmts.rest", "wmts.kvp", "kml", "ogcapi.tile", "wms.tiled"] {
        let reply = daemon.get(&target(service));
        let control = reply.header("cache-control").unwrap_or_default();
        assert!(control.starts_with("public, max-age="), "{service}: {control}");
        if service == "ogcapi.tile" {
            continue;
        }
        // What is added may change while the tile does not.
        assert_eq!(reply.header("last-modified"), None, "{service}");
        let tag = reply.header("etag").unwrap_or_else(|| panic!("{service} without an ETag"));
        let again = ask(&daemon, &format!("If-None-Match: {tag}\r\n"), &target(service));
        assert_eq!((again.status, again.body.len()), (304, 0), "{service}");
    }
    for service in ["tms", "tiles"] {
        let reply = daemon.get(&target(service));
        let control = reply.header("cache-control").unwrap_or_default();
        assert!(control.contains("no-store"), "{service}: {control}");
        assert_eq!(reply.header("etag"), None, "{service}");
    }
    daemon.stop();
}

#[test]
fn a_text_names_whoever_asks() {
    let (dir, upstream) = (TestDir::new("decorate-user"), upstream());
    dir.write("mark.png", painted::png(&MAGENTA.repeat(4), 2, 2));
    let keys: String = ["ann", "bob"]
        .map(|user| format!("      - {{sha256: {}, user: {user}}}\n", sha256(&format!("key of {user}"))))
        .concat();
    let yaml = format!(
        "auth:\n  api_keys:\n    keys:\n{keys}  rules:\n    - {{who: anyone}}\n\
         decorate:\n  - {{text: '{{user}} {{layers}} {{service}}', size_px: 20, color: '#ff00ff', ground: no}}\n"
    );
    let daemon = Setup::new(&dir, map(&upstream)).workers(1).daemon_yaml(&yaml).start();
    let mut faults = Faults::default();
    for (service, target) in pictures(5, 17, 11) {
        let seen = |user: &str| {
            let field = if user.is_empty() { String::new() } else { format!("X-Api-Key: key of {user}\r\n") };
            let reply = ask(&daemon, &field, &target.replace("{layer}", "open"));
            assert_eq!(reply.status, 200, "{service} {user}: {}", told(&reply));
            let control = reply.header("cache-control").unwrap_or_default().to_owned();
            assert!(control.contains("no-store"), "{service} {user}: {control}");
            reply.body
        };
        let (ann, bob, nobody) = (seen("ann"), seen("bob"), seen(""));
        faults.check(ann == seen("ann"), || format!("{service}: the same for the same"));
        faults.check(ann != bob && ann != nobody && bob != nobody, || format!("{service}: names differ"));
        let ink = decode(&ann, &DecodeLimits::default()).map(|raster| {
            let places = (128..256).flat_map(|y| (0..256).map(move |x| (x, y)));
            places.filter(|&(x, y)| is_near(raster.pixel(x, y), MAGENTA, 60)).count()
        });
        faults.check(ink.as_ref().is_ok_and(|count| *count > 50), || format!("{service}: ink {ink:?}"));
    }
    faults.end();
    daemon.stop();
}

#[test]
fn what_is_cut_is_decorated_after_that() {
    let (dir, upstream) = (TestDir::new("decorate-cut"), upstream());
    // Half of tile 5/17/11; the mark lies across its edge.
    let rules = "auth:\n  rules:\n    - {who: anyone, limited_to: {geometry: [0, 0, 16.875, 80], srs: 'EPSG:4326'}}\n";
    dir.write("wide.png", painted::png(&MAGENTA.repeat(100 * 10), 100, 10));
    let yaml = format!("  - {{image: wide.png, place: centre}}\n{rules}");
    let daemon = marked(&dir, &upstream, &yaml);
    for (service, target) in pictures(5, 17, 11) {
        for layer in ["open", "photo"] {
            let mut target = target.replace("{layer}", layer);
            if layer == "photo" && !matches!(service, "wms.map" | "wms.130" | "ogcapi.map") {
                target = target
                    .replace(".png", ".jpeg")
                    .replace("image/png", "image/jpeg")
                    .replace("f=png", "f=jpeg");
            }
            let reply = daemon.get(&target);
            let raster = raster(&reply).unwrap_or_else(|error| panic!("{service} {layer}: {error}"));
            let tolerance = if reply.content_type() == "image/png" { 4 } else { 40 };
            assert!(is_near(raster.pixel(52, 52), MAGENTA, tolerance), "{service} {layer}");
            assert!(is_near(raster.pixel(100, 128), MAGENTA, tolerance), "{service} {layer}");
            assert!(is_near(raster.pixel(160, 128), MAGENTA, tolerance), "{service} {layer}");
            let [r, g, b, alpha] = raster.pixel(230, 100);
            let is_nothing = alpha == 0 || [r, g, b].iter().all(|channel| *channel > 250);
            assert!(is_nothing, "{service} {layer}: {:?}", [r, g, b, alpha]);
        }
    }
    daemon.stop();
}

#[test]
fn a_broken_image_is_refused_by_line_and_the_next_good_one_works() {
    let (dir, upstream) = (TestDir::new("decorate-reload"), upstream());
    let daemon = marked(&dir, &upstream, "");
    let tile = pictures(5, 17, 11)[2].1.replace("{layer}", "open");
    let pixel = |daemon: &Daemon| raster(&daemon.get(&tile)).expect("a picture").pixel(52, 52);
    assert!(is_near(pixel(&daemon), MAGENTA, 0));
    let yaml = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
    let line = 1 + yaml.lines().position(|line| line.contains("mark.png")).expect("the rule's line");
    for (bytes, reason) in
        [(&b"no image"[..], "not an image"), (&painted::tile(5, 1, 1)[..90], "damaged PNG")]
    {
        dir.write("mark.png", bytes);
        let before = daemon.log().len();
        daemon.signal(Signal::SIGHUP);
        crate::harness::await_some("the refusal", || {
            daemon.log()[before..].contains("refused").then_some(())
        });
        let told = daemon.log()[before..].to_owned();
        for part in
            [format!("rhumb.yaml:{line}:"), "decorate[0].image".into(), "mark.png".into(), reason.into()]
        {
            assert!(told.contains(&part), "no {part:?} in\n{told}");
        }
        // A worker that is born now is built from what was checked.
        let worker = daemon.workers()[0];
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker as i32), Signal::SIGTERM)
            .expect("it is there");
        daemon.await_workers(1, &[worker]);
        assert!(is_near(pixel(&daemon), MAGENTA, 0));
    }
    dir.write("mark.png", painted::png(&[0, 255, 0].repeat(24 * 24), 24, 24));
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation", 1);
    crate::harness::await_some("the new image", || is_near(pixel(&daemon), [0, 255, 0], 0).then_some(()));
    daemon.stop();
}

/// A service that gets pictures, in one of several moods by the path.
struct Painter {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Value>>,
    held: Mutex<bool>,
    changed: Condvar,
}

impl Painter {
    fn start() -> Painter {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { held: Mutex::new(true), ..Shared::default() });
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&all);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Painter { address, shared }
    }

    fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().expect("a list").clone()
    }

    fn await_asked(&self, count: usize) {
        crate::harness::await_some("a question", || (self.asked().len() >= count).then_some(()));
    }

    fn release(&self) {
        *self.shared.held.lock().expect("a flag") = false;
        self.shared.changed.notify_all();
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mood = line.split_whitespace().nth(1)?.trim_start_matches('/').to_owned();
    let (mut length, mut question) = (0, Value::Null);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "x-question" => question = serde_json::from_str(value.trim()).ok()?,
            _ => {}
        }
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).ok()?;
    let picture = decode(&sent, &DecodeLimits::default()).expect("a PNG was sent");
    shared.asked.lock().expect("a list").push(question);
    let (width, height) = (picture.width, picture.height);
    let magenta =
        |width: u32, height: u32| painted::png(&MAGENTA.repeat((width * height) as usize), width, height);
    let mut answer = |status: u16, body: &[u8], length: usize| {
        let head = format!("HTTP/1.1 {status} Mood\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body)).ok()
    };
    let good = magenta(width, height);
    match mood.as_str() {
        "good" => answer(200, &good, good.len()),
        "same" => answer(204, b"", 0),
        "small" => answer(200, &magenta(width / 2, height), magenta(width / 2, height).len()),
        // Small as a file, large as pixels.
        "huge" => answer(200, &magenta(1024, 1024), magenta(1024, 1024).len()),
        "text" => answer(200, b"no picture", 10),
        "ill" => answer(500, &good, good.len()),
        "away" => answer(302, b"", 0),
        "cut" => answer(200, &good[..good.len() / 2], good.len()),
        "endless" => {
            let mut sent = answer(200, b"", 1 << 40);
            let zeros = [0; 64 * 1024];
            while sent.is_some() {
                sent = writer.write_all(&zeros).ok();
            }
            None
        }
        "held" => {
            let held = shared.held.lock().expect("a flag");
            drop(shared.changed.wait_while(held, |held| *held).expect("a flag"));
            answer(200, &good, good.len())
        }
        // "close": hangs up.
        _ => None,
    }
}

#[test]
fn a_service_of_the_operators_makes_the_picture_or_fails_it() {
    let (dir, upstream) = (TestDir::new("decorate-hook"), upstream());
    let painter = Painter::start();
    let moods = ["good", "same", "small", "huge", "text", "ill", "away", "cut", "endless", "close", "slow"];
    // Each mood twice: fatal for one layer, not for the other. By path, since
    // a rule chooses by map: maps of a directory bear the mood's name.
    let maps = dir.join("maps");
    std::fs::create_dir(&maps).expect("a directory of maps");
    let mut yaml = format!("maps: {}\ndecorate:\n", maps.display());
    for mood in moods {
        dir.write(&format!("maps/{mood}.yaml"), map(&upstream));
        let path = if mood == "slow" { "held" } else { mood };
        let timeout_ms = if mood == "slow" { 300 } else { 60_000 };
        let rule = |layer: &str, more: &str| {
            format!(
                "  - {{http: 'http://{}/{path}', maps: [{mood}], layers: [{layer}], timeout_ms: {timeout_ms}{more}}}\n",
                painter.address
            )
        };
        yaml.push_str(&rule("open", ", fields: [Cookie]"));
        yaml.push_str(&rule("closed", ", on_failure: leave, steady: yes"));
    }
    let daemon = Setup::embedded(&dir).workers(1).daemon_yaml(&yaml).start();
    let mut faults = Faults::default();
    for mood in moods {
        for (service, target) in pictures(5, 17, 11) {
            let get = |layer: &str| daemon.get(&format!("/{mood}{}", target.replace("{layer}", layer)));
            let is_painted = |reply: &Reply| painted::check(&reply.body, 5, 17, 11).is_ok();
            let is_magenta =
                |reply: &Reply| raster(reply).is_ok_and(|raster| is_near(raster.pixel(128, 128), MAGENTA, 0));
            let control = |reply: &Reply| reply.header("cache-control").unwrap_or_default().to_owned();
            let (fatal, mild) = (get("open"), get("closed"));
            let what = || format!("{mood} {service}: {} | {} {}", told(&fatal), told(&mild), control(&mild));
            faults.check(control(&fatal).contains("no-store"), what);
            let is_right = match mood {
                "good" => is_magenta(&fatal) && is_magenta(&mild) && !control(&mild).contains("no-store"),
                "same" => is_painted(&fatal) && is_painted(&mild) && !control(&mild).contains("no-store"),
                // Nothing of the picture gets out, and nobody keeps what is not decorated.
                _ => {
                    fatal.status == 500
                        && raster(&fatal).is_err()
                        && is_painted(&mild)
                        && control(&mild).contains("no-store")
                }
            };
            faults.check(is_right, what);
        }
    }
    for reason in [
        "answered 128×256 pixels to a picture of 256×256",
        "image of 1024×1024 pixels is empty or over the limit",
        "not an image in a format",
        "/ill: HTTP status 500",
        "/away: HTTP status 302",
        "answer over the limit of",
        "no answer within 300 ms",
    ] {
        let log = daemon.log();
        faults.check(log.contains(reason), || format!("no {reason:?} in the log"));
        faults.check(log.contains("cannot be decorated") && log.contains("sent undecorated"), || {
            "no reason".into()
        });
    }
    faults.end();
    painter.release();
    daemon.stop();
}

#[test]
fn a_hook_is_asked_as_mapproxy_calls_its_callback() {
    let (dir, upstream) = (TestDir::new("decorate-question"), upstream());
    let painter = Painter::start();
    let yaml = format!(
        "decorate:\n  - {{http: 'http://{}/good', layers: [open, group], fields: [Cookie], timeout_ms: 60000}}\n",
        painter.address
    );
    let daemon = Setup::new(&dir, map(&upstream)).workers(1).daemon_yaml(&yaml).start();
    for (service, target) in pictures(5, 17, 11) {
        let before = painter.asked().len();
        let reply = ask(&daemon, "Cookie: a=1\r\n", &target.replace("{layer}", "open"));
        assert_eq!(reply.status, 200, "{service}: {}", told(&reply));
        let question = painter.asked()[before].clone();
        let name = match service {
            "wmts.kvp" | "wmts.rest" => "wmts",
            "tms" | "tiles" => "tms",
            "kml" | "ogcapi.map" | "ogcapi.tile" => service,
            _ => "wms.map",
        };
        assert_eq!(question["service"], name, "{service}: {question}");
        assert_eq!(question["layers"], json!(["open"]), "{service}: {question}");
        let [code, edges] = [&question["query_extent"][0], &question["query_extent"][1]];
        assert!(code == "EPSG:3857" || code == "EPSG:900913", "{service}: {question}");
        let west = edges[0].as_f64().expect("an edge");
        assert!((west - 1_252_344.27).abs() < 1.0, "{service}: {question}");
        assert_eq!(question["headers"], json!({"Cookie": "a=1"}), "{service}");
        assert_eq!((&question["user"], &question["method"]), (&Value::Null, &json!("GET")), "{service}");
        assert_eq!(
            target.split('?').next(),
            question["path"].as_str().map(|path| path.replace("open", "{layer}")).as_deref()
        );
    }
    let group = daemon.get(&pictures(5, 17, 11)[0].1.replace("{layer}", "group"));
    assert_eq!(group.status, 200);
    let question = painter.asked().pop().expect("a question");
    assert_eq!(question["layers"], json!(["open", "photo", "closed"]), "members, as with MapProxy");
    daemon.stop();
}

#[test]
fn who_waits_for_a_hook_holds_nobody_up() {
    let (dir, upstream) = (TestDir::new("decorate-held"), upstream());
    let painter = Painter::start();
    let yaml = format!(
        "limits: {{render_threads: 1}}\ndecorate:\n  - {{http: 'http://{}/held', layers: [open], timeout_ms: 60000}}\n",
        painter.address
    );
    let daemon = Setup::new(&dir, map(&upstream)).workers(1).daemon_yaml(&yaml).start();
    let target = pictures(5, 17, 11)[0].1.clone();
    let mut waiting = daemon.client();
    waiting.send_get(&target.replace("{layer}", "open")).expect("sent");
    painter.await_asked(1);
    let other = daemon.get(&target.replace("{layer}", "closed"));
    assert_eq!(other.status, 200, "{}", told(&other));
    painter.release();
    let reply = waiting.read_reply(false).expect("an answer");
    assert!(is_near(raster(&reply).expect("a picture").pixel(128, 128), MAGENTA, 0));
    daemon.stop();
}
