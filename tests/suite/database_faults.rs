//! What may befall SQLite files that hold tiles: killed writers, damaged files,
//! others that keep them busy, rows that others replace.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use crate::cache_faults::set_time;
use crate::harness::daemon::Setup;
use crate::harness::dir::files_below;
use crate::harness::{Answer, Daemon, Reply, TestDir, Upstream, await_some, painted};

const SINGLE: &str = "meta_size: [1, 1], meta_buffer: 0";
const FOUR: &str = "meta_size: [2, 2], meta_buffer: 0";

/// A cache `one` of type mbtiles, a cache `levels` of type sqlite, and `files`.
fn map(upstream: &Upstream, dir: &Path, keys: &str, of_cache: &str) -> String {
    let cache = |name: &str, kind: &str| {
        format!(
            "  {name}: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock], {keys}, cache: {{type: {kind}}}}}\n"
        )
    };
    let layer = |name: &str| format!("  - {{name: {name}, title: {name}, sources: [{name}]}}\n");
    format!(
        "services:\n  wms:\n  wmts:\n\
         layers:\n{}{}{}caches:\n{}{}{}\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
         globals:\n  cache: {{base_dir: '{}'}}\n",
        layer("one"),
        layer("levels"),
        layer("files"),
        cache("one", &format!("mbtiles{of_cache}")),
        cache("levels", &format!("sqlite{of_cache}")),
        cache("files", "file"),
        upstream.url("/wms"),
        dir.join("cache").display(),
    )
}

fn target(cache: &str, column: u32, row: u32) -> String {
    format!("/wmts/{cache}/GLOBAL_WEBMERCATOR/06/{column}/{row}.png")
}

fn file(dir: &TestDir, cache: &str) -> PathBuf {
    dir.join(match cache {
        "one" => "cache/one.mbtiles",
        _ => "cache/levels/GLOBAL_WEBMERCATOR/6.mbtiles",
    })
}

fn open(dir: &TestDir, cache: &str) -> Connection {
    Connection::open(file(dir, cache)).expect("a database")
}

fn rows(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM tiles", [], |row| row.get(0)).expect("a count")
}

fn fetch(daemon: &Daemon, cache: &str, column: u32, row: u32) -> Reply {
    let reply = daemon.get(&target(cache, column, row));
    assert_eq!(reply.status, 200, "{}\n{}", reply.text(), daemon.log());
    painted::check(&reply.body, 6, column, row).unwrap_or_else(|e| panic!("{cache}: {e}"));
    reply
}

#[test]
#[cfg(feature = "fail-points")]
fn a_kill_at_any_step_leaves_a_whole_database() {
    for (wal, place) in [
        (false, "cache.rename"),
        (false, "cache.renamed"),
        (false, "sqlite.begun"),
        (false, "sqlite.written"),
        (false, "sqlite.committed"),
        (true, "cache.rename"),
        (true, "sqlite.written"),
        (true, "sqlite.committed"),
    ] {
        for cache in ["one", "levels"] {
            kill_at(wal, place, cache);
        }
    }
}

#[cfg(feature = "fail-points")]
fn kill_at(wal: bool, place: &str, cache: &str) {
    let dir = TestDir::new("database-kill");
    let upstream = Upstream::start();
    let points = dir.write("points", format!("{place}:1:kill"));
    let map = map(&upstream, dir.path(), FOUR, &format!(", sqlite_wal: {wal}"));
    let daemon =
        Setup::new(&dir, map).workers(1).env("RHUMB_FAIL", &format!("@{}", points.display())).start();
    let before = daemon.workers();
    assert!(daemon.client().get(&target(cache, 8, 8)).is_err(), "{place} was passed");
    std::fs::write(&points, "").expect("no more faults");
    // What a dead writer left is cleaned away when it is old enough.
    for temp in files_below(dir.path()).iter().filter(|path| path.extension().is_some_and(|e| e == "tmp")) {
        set_time(temp, SystemTime::now() - Duration::from_secs(3600));
    }
    await_some("another worker", || daemon.workers().iter().any(|pid| !before.contains(pid)).then_some(()));
    let is_made = file(&dir, cache).exists();
    assert_eq!(is_made, place != "cache.rename", "{place} {cache}: whole or not there");
    if is_made {
        let connection = open(&dir, cache);
        let found = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
        assert_eq!(found, Ok("ok".to_owned()), "{place} {cache}");
        assert_eq!(rows(&connection), if place == "sqlite.committed" { 4 } else { 0 }, "{place} {cache}");
    }
    for (column, row) in [(8, 8), (9, 8), (8, 9), (9, 9)] {
        fetch(&daemon, cache, column, row);
    }
    assert_eq!(upstream.count(), 1 + usize::from(place != "sqlite.committed"), "{place} {cache}");
    assert_eq!(rows(&open(&dir, cache)), 4);
    daemon.stop();
}

#[test]
fn a_damaged_database_costs_the_copies_and_not_the_answers() {
    let dir = TestDir::new("database-damage");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE, "")).start();
    let mut asked = 0;
    for cache in ["one", "levels"] {
        for column in 0..40 {
            fetch(&daemon, cache, column, 20);
        }
        asked += 40;
        assert_eq!(upstream.count(), asked);
        let whole = std::fs::read(file(&dir, cache)).expect("a file");
        let put = |bytes: &[u8]| {
            let beside = dir.write("beside", bytes);
            std::fs::rename(beside, file(&dir, cache)).expect("another file in its place");
        };
        put(b"<html><body>502 Bad Gateway</body></html>, and some more to make it long enough");
        for _ in 0..2 {
            fetch(&daemon, cache, 7, 20);
            asked += 1;
            assert_eq!(upstream.count(), asked, "{cache}: nothing can be kept");
        }
        daemon.await_log(&format!("{cache}: counts as missing: cannot read a tile of"), 1);
        daemon.await_log(&format!("{cache}: tile not stored: cannot store tiles in"), 1);
        // Mended without a restart.
        put(&whole);
        for column in 0..40 {
            fetch(&daemon, cache, column, 20);
        }
        assert_eq!(upstream.count(), asked, "{cache}: served from the good copy");
    }
    assert!(daemon.log().contains("put a good copy in its place, or remove it"), "{}", daemon.log());
    daemon.stop();
}

/// More requests wait for a busy file than may compute at once, and what has
/// nothing to do with it is answered meanwhile.
#[test]
fn a_busy_database_holds_up_its_own_tiles_alone() {
    const WAITING: u32 = 6;
    let dir = TestDir::new("database-busy");
    let upstream = Upstream::start();
    let setup = Setup::new(&dir, map(&upstream, dir.path(), SINGLE, ", sqlite_timeout: 3600")).workers(1);
    let daemon = setup.daemon_yaml("limits: {render_threads: 1, waiting_threads: 20}\n").start();
    let mut asked = 0;
    for cache in ["one", "levels"] {
        for column in 0..WAITING {
            fetch(&daemon, cache, column, 20);
        }
        let other = open(&dir, cache);
        other.execute_batch("BEGIN EXCLUSIVE").expect("the file for us alone");
        let mut clients: Vec<_> = (0..=WAITING).map(|_| daemon.client()).collect();
        // The last tile is not there yet.
        for (column, client) in (0..).zip(&mut clients) {
            client.send_get(&target(cache, column, 20)).expect("a request");
        }
        let column = if cache == "one" { 30 } else { 40 };
        fetch(&daemon, "files", column, 20);
        asked += WAITING as usize + 1;
        assert_eq!(upstream.count(), asked, "{cache}: nobody has given up");
        other.execute_batch("COMMIT").expect("the end of it");
        for (column, client) in (0..).zip(&mut clients) {
            let reply = client.read_reply(false).expect("an answer");
            assert_eq!(reply.status, 200, "{}", reply.text());
            painted::check(&reply.body, 6, column, 20).expect("the tile asked for");
        }
        asked += 1;
        assert_eq!(upstream.count(), asked, "{cache}: tiles that were there came from the file");
    }
    daemon.stop();
}

/// In files of either kind, whether the cache says so or all of them.
#[test]
fn who_has_no_patience_makes_the_tile_himself() {
    for (cache, of_cache, of_all) in [
        ("one", ", sqlite_timeout: 0", ""),
        ("levels", ", sqlite_timeout: 0", ""),
        ("one", "", "sqlite_timeout: 0, "),
    ] {
        let dir = TestDir::new("database-impatient");
        let upstream = Upstream::start();
        let text = map(&upstream, dir.path(), SINGLE, of_cache);
        let text = text.replace("cache: {base_dir:", &format!("cache: {{{of_all}base_dir:"));
        let daemon = Setup::new(&dir, text).start();
        fetch(&daemon, cache, 1, 20);
        let other = open(&dir, cache);
        other.execute_batch("BEGIN EXCLUSIVE").expect("the file for us alone");
        fetch(&daemon, cache, 1, 20);
        assert_eq!(upstream.count(), 2);
        daemon.await_log(&format!("{cache}: counts as missing: somebody else writes to"), 1);
        daemon.await_log(&format!("{cache}: tile not stored: somebody else writes to"), 1);
        drop(other);
        fetch(&daemon, cache, 1, 20);
        assert_eq!(upstream.count(), 2);
        daemon.stop();
    }
}

/// A map of just one tile, drawn from decoded pixels.
fn map_of(daemon: &Daemon, cache: &str, column: u32, row: u32) -> Vec<u8> {
    let side = 2.0 * painted::MERC / f64::from(1_u32 << 6);
    let (west, north) = (f64::from(column) * side - painted::MERC, painted::MERC - f64::from(row) * side);
    let reply = daemon.get(&format!(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={cache}&STYLES=&SRS=EPSG:3857\
         &BBOX={west},{},{},{north}&WIDTH=256&HEIGHT=256&FORMAT=image/png",
        north - side,
        west + side
    ));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body
}

/// A row that another program replaces is seen by the next request, by tile
/// services and by maps from decoded tiles, though its number and length stay.
#[test]
fn a_replaced_row_is_seen_at_once() {
    let dir = TestDir::new("database-replaced");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE, "")).start();
    for cache in ["one", "levels"] {
        let first = fetch(&daemon, cache, 1, 20);
        let again = fetch(&daemon, cache, 1, 20);
        assert_eq!(first.header("etag"), again.header("etag"));
        assert_eq!(first.header("last-modified"), again.header("last-modified"));
        assert_eq!(first.header("last-modified").is_some(), cache == "levels", "{cache}");
        let tag = first.header("etag").expect("a tag").to_owned();
        let conditional = |tag: &str| {
            let mut client = daemon.client();
            let head = format!("Host: maps.test\r\nIf-None-Match: {tag}");
            client
                .send(format!("GET {} HTTP/1.1\r\n{head}\r\n\r\n", target(cache, 1, 20)))
                .expect("a request");
            client.read_reply(false).expect("an answer").status
        };
        assert_eq!((conditional(&tag), conditional("\"other\"")), (304, 200));
        for _ in 0..2 {
            painted::check(&map_of(&daemon, cache, 1, 20), 6, 1, 20).expect("a map of the tile");
        }
        let time = if cache == "levels" { ", last_modified = '2001-02-03 04:05:06'" } else { "" };
        let changed = open(&dir, cache)
            .execute(&format!("UPDATE tiles SET tile_data = ?1{time}"), [painted::tile(6, 3, 20)])
            .expect("another picture");
        assert_eq!(changed, 1);
        painted::check(&map_of(&daemon, cache, 1, 20), 6, 3, 20).expect("a map of the new tile");
        let reply = daemon.get(&target(cache, 1, 20));
        painted::check(&reply.body, 6, 3, 20).expect("the new tile");
        assert_ne!(reply.header("etag"), Some(tag.as_str()));
        assert_eq!(conditional(&tag), 200);
        // What does not decode is found where tiles are decoded, and made anew.
        let mut broken = painted::tile(6, 1, 20);
        let middle = broken.len() / 2;
        broken[middle] ^= 0xff;
        open(&dir, cache).execute("UPDATE tiles SET tile_data = ?1", [broken]).expect("a broken picture");
        painted::check(&map_of(&daemon, cache, 1, 20), 6, 1, 20).expect("a map of a tile made anew");
        painted::check(&daemon.get(&target(cache, 1, 20)).body, 6, 1, 20).expect("a tile made anew");
    }
    assert_eq!(upstream.count(), 4);
    daemon.stop();
}

/// MBTiles rows bear no time: with `refresh_before` all of them are old. A time
/// to live counts from the row's own.
#[test]
fn old_rows_are_made_anew() {
    let dir = TestDir::new("database-old");
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let failing = std::sync::Arc::clone(&fails);
    let upstream = Upstream::scripted(move |_| match failing.load(std::sync::atomic::Ordering::SeqCst) {
        true => Answer::Status(500),
        false => Answer::Painted,
    });
    let text = map(&upstream, dir.path(), &format!("{SINGLE}, refresh_before: {{days: 1}}"), "");
    let daemon = Setup::new(&dir, text.replace("type: sqlite", "type: sqlite, ttl: 1000000")).start();
    for asked in 1..=3 {
        fetch(&daemon, "one", 1, 20);
        assert_eq!(upstream.count(), asked);
    }
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    fetch(&daemon, "one", 1, 20);
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    let asked = upstream.count();
    let age = |days: i64| {
        let sql = "UPDATE tiles SET last_modified = datetime('now', 'localtime', ?1)";
        open(&dir, "levels").execute(sql, [format!("-{days} days")]).expect("another time");
    };
    for (days, more) in [(0, 1), (0, 1), (2, 2), (0, 2), (30, 3)] {
        if days > 0 {
            age(days);
        }
        fetch(&daemon, "levels", 1, 20);
        assert_eq!(upstream.count(), asked + more, "{days} days");
    }
    // Old is better than nothing, but what has outlived its time is gone.
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    age(2);
    fetch(&daemon, "levels", 1, 20);
    age(30);
    assert_eq!(daemon.get(&target("levels", 1, 20)).status, 500);
    daemon.stop();
}

/// A file of another program, without a source behind it.
#[test]
fn a_file_is_served_as_it_is_and_not_written() {
    let dir = TestDir::new("database-file");
    let connection = Connection::open(dir.join("theirs.mbtiles")).expect("a database");
    connection
        .execute_batch(
            "CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data); CREATE TABLE metadata (name, value)",
        )
        .expect("tables");
    // Rows count from the south, as the specification has it: the grid does too.
    let sql = "INSERT INTO tiles VALUES (6, 5, ?1, ?2)";
    connection.execute(sql, rusqlite::params![63 - 20, painted::tile(6, 5, 20)]).expect("a row");
    drop(connection);
    let before = std::fs::read(dir.join("theirs.mbtiles")).expect("a file");
    let map = "services:\n  wmts:\nlayers:\n  - {name: theirs, title: Theirs, sources: [theirs]}\n\
               grids:\n  south: {base: GLOBAL_WEBMERCATOR, origin: sw}\n\
               caches:\n  theirs: {grids: [south], sources: [], cache: {type: mbtiles, filename: ./theirs.mbtiles}}\n";
    let daemon = Setup::new(&dir, map).start();
    let reply = daemon.get("/wmts/theirs/south/06/5/20.png");
    assert!(reply.body == painted::tile(6, 5, 20), "byte by byte");
    assert_eq!(daemon.get("/wmts/theirs/south/06/6/20.png").status, 200, "nothing there is an empty picture");
    assert!(std::fs::read(dir.join("theirs.mbtiles")).expect("a file") == before);
    assert!(!daemon.log().contains("missing"), "{}", daemon.log());
    daemon.stop();
}
