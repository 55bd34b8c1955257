//! What may befall a cache directory (reliability.md, group C): killed
//! writers, damaged tiles, odd things in a tile's place, full disks, crowds.
//! Whatever happens, a client gets the tile that it asked for or a failure,
//! and what lies in the cache bears the address that its path says.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::daemon::Setup;
use crate::harness::dir::files_below;
use crate::harness::{
    Answer, Client, Daemon, End, Random, Reply, TestDir, Upstream, await_some, painted, seed,
};

/// One cache `painted` over the mock's WMS; `keys` are further keys of it.
pub fn map(upstream: &Upstream, cache: &Path, keys: &str) -> String {
    format!(
        "services:\n  wms:\n  wmts:\n\
         layers:\n  - {{name: painted, title: Painted, sources: [painted]}}\n\
         caches:\n  painted: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock], {keys}}}\n\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
         globals:\n  cache: {{base_dir: '{}', lock_dir: '{}', tile_lock_dir: '{}'}}\n",
        upstream.url("/wms"),
        cache.join("tiles").display(),
        cache.join("locks").display(),
        cache.join("tile_locks").display(),
    )
}

pub const SINGLE: &str = "meta_size: [1, 1], meta_buffer: 0";
pub const FOUR: &str = "meta_size: [2, 2], meta_buffer: 0";

pub fn target(level: u32, column: u32, row: u32) -> String {
    format!("/wmts/painted/GLOBAL_WEBMERCATOR/{level:02}/{column}/{row}.png")
}

/// A map of just one tile, drawn from decoded pixels.
fn map_target(level: u32, column: u32, row: u32) -> String {
    let side = 2.0 * painted::MERC / f64::from(1_u32 << level);
    let (west, north) = (f64::from(column) * side - painted::MERC, painted::MERC - f64::from(row) * side);
    format!(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
         &BBOX={west},{},{},{north}&WIDTH=256&HEIGHT=256&FORMAT=image/png",
        north - side,
        west + side
    )
}

/// Where a tile lies below the directory given to [`map`].
pub fn tile_path(cache: &Path, level: u32, column: u32, row: u32) -> PathBuf {
    cache.join(format!("tiles/painted_EPSG3857/{level:02}/000/000/{column:03}/000/000/{row:03}.png"))
}

/// Level, column and row that a path says.
fn address_of(path: &Path) -> Option<(u32, u32, u32)> {
    let text = path.to_str()?.strip_suffix(".png")?;
    let parts: Vec<u32> = text.rsplit('/').take(7).filter_map(|part| part.parse().ok()).collect();
    let [y0, y1, y2, x0, x1, x2, level] = parts.as_slice() else { return None };
    Some((*level, x2 * 1_000_000 + x1 * 1000 + x0, y2 * 1_000_000 + y1 * 1000 + y0))
}

/// Every tile that lies in the cache bears its path's address; how many there are.
pub fn check_tiles(cache: &Path) -> usize {
    let mut checked = 0;
    for path in files_below(&cache.join("tiles")) {
        let Some((level, column, row)) = address_of(&path) else { continue };
        // A cleaner may have been there between the two looks.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        painted::check(&bytes, level, column, row).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        checked += 1;
    }
    checked
}

#[cfg(feature = "fail-points")]
fn temps(cache: &Path) -> Vec<PathBuf> {
    files_below(cache).into_iter().filter(|path| path.extension().is_some_and(|e| e == "tmp")).collect()
}

pub fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().expect("a tile lies in a directory")).expect("directories");
    std::fs::write(path, bytes).expect("a file in the tile's place");
}

pub fn set_time(path: &Path, time: SystemTime) {
    let file = std::fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(time).expect("a time of modification");
}

fn fetch(daemon: &Daemon, level: u32, column: u32, row: u32) -> Reply {
    let reply = daemon.get(&target(level, column, row));
    assert_eq!(reply.status, 200, "{}\n{}", reply.text(), daemon.log());
    painted::check(&reply.body, level, column, row).expect("the tile asked for");
    reply
}

/// Asks on a connection of its own, which may be cut.
pub fn try_fetch(daemon: &Daemon, target: &str) -> Result<Reply, End> {
    Client::connect(daemon.address).map_err(|_| End::Reset)?.get(target)
}

/// C7: at every pass of every step from the temp file to the rename.
#[test]
#[cfg(feature = "fail-points")]
fn a_kill_at_any_step_of_a_store_leaves_whole_tiles() {
    for place in ["cache.create", "cache.write", "cache.rename", "cache.renamed"] {
        let mut kills = 0;
        while kill_at(place, kills + 1) {
            kills += 1;
        }
        assert!(kills >= 4, "{place} was passed {kills} times for a meta tile of four");
    }
}

/// Whether a kill at the n-th pass happened.
#[cfg(feature = "fail-points")]
fn kill_at(place: &str, n: usize) -> bool {
    let dir = TestDir::new("cache-kill");
    let upstream = Upstream::start();
    let points = dir.write("points", format!("{place}:{n}:kill"));
    let old_time = SystemTime::now() - Duration::from_secs(10 * 86_400);
    let tiles = [(8, 8), (9, 8), (8, 9), (9, 9)];
    let old = |column, row| painted::tile(5, column, row);
    for (column, row) in tiles {
        let path = tile_path(dir.path(), 5, column, row);
        put(&path, old(column, row));
        set_time(&path, old_time);
    }
    let map = map(&upstream, dir.path(), &format!("{FOUR}, refresh_before: {{days: 5}}"));
    let daemon =
        Setup::new(&dir, map).workers(1).env("RHUMB_FAIL", &format!("@{}", points.display())).start();
    let before = daemon.workers();
    let first = try_fetch(&daemon, &target(5, 8, 8));
    let was_killed = first.is_err();
    // Old or new, never a part, never nothing.
    assert_eq!(check_tiles(dir.path()), 4, "{place}:{n}");
    std::fs::write(&points, "").expect("no more faults");
    if was_killed {
        await_some("another worker", || {
            daemon.workers().iter().any(|pid| !before.contains(pid)).then_some(())
        });
    }
    for temp in temps(dir.path()) {
        set_time(&temp, old_time);
    }
    // Nobody waits on the lock of the dead, and the tiles get new.
    for (column, row) in tiles {
        fetch(&daemon, 5, column, row);
    }
    assert_eq!(upstream.count(), 1 + usize::from(was_killed && !(place == "cache.renamed" && n == 4)));
    for (column, row) in tiles {
        let bytes = std::fs::read(tile_path(dir.path(), 5, column, row)).expect("a tile");
        assert!(bytes != old(column, row), "{place}:{n}: {column}/{row} was made anew");
    }
    assert_eq!(check_tiles(dir.path()), 4);
    assert_eq!(temps(dir.path()), [] as [PathBuf; 0], "{place}:{n}");
    daemon.stop();
    was_killed
}

/// What a crash, a power cut or a stranger may leave under a tile's name.
/// Power cuts are told by what they leave without `fsync` (nothing, zeros, a
/// part): dropping unsynced writes for real takes dm-flakey, which kernels of
/// build machines lack; that data reach the disk before the rename with
/// `Fsync::Tile` is held by the unit tests of `cache::atomic`.
fn damages(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut list: Vec<(String, Vec<u8>)> =
        (0..16).map(|part| (format!("{part}/16 of it"), whole[..whole.len() * part / 16].to_vec())).collect();
    list.push(("all but a byte".into(), whole[..whole.len() - 1].to_vec()));
    list.push(("zeros".into(), vec![0; whole.len()]));
    let mut zeros_at_the_end = whole.to_vec();
    zeros_at_the_end[whole.len() / 2..].fill(0);
    list.push(("zeros from the middle on".into(), zeros_at_the_end));
    list.push(("garbage".into(), (0..whole.len()).map(|i| (i * 131 + 7) as u8).collect()));
    list.push(("HTML".into(), b"<html><body>502 Bad Gateway</body></html>".repeat(20)));
    list
}

/// C4, C5, C8.
#[test]
fn a_damaged_tile_is_a_miss_and_is_replaced() {
    let dir = TestDir::new("cache-damage");
    let upstream = Upstream::start();
    let cases = damages(&painted::tile(6, 0, 20));
    for (column, (_, _)) in (0_u32..).zip(&cases) {
        let whole = painted::tile(6, column, 20);
        put(&tile_path(dir.path(), 6, column, 20), &damages(&whole)[column as usize].1);
    }
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).start();
    for (column, (name, _)) in (0_u32..).zip(&cases) {
        for _ in 0..2 {
            let reply = daemon.get(&target(6, column, 20));
            assert_eq!((reply.status, reply.content_type()), (200, "image/png"), "{name}");
            painted::check(&reply.body, 6, column, 20).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(upstream.count(), 1 + column as usize, "{name}: fetched once");
        }
    }
    assert_eq!(check_tiles(dir.path()), cases.len());
    daemon.stop();
}

/// C5: what only decoding shows is found where tiles are decoded.
#[test]
fn a_tile_that_does_not_decode_or_has_another_size_is_made_anew_for_a_map() {
    let dir = TestDir::new("cache-undecodable");
    let upstream = Upstream::start();
    let mut flipped = painted::tile(6, 30, 20);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let small = painted::png(&[7; 128 * 128 * 3], 128, 128);
    put(&tile_path(dir.path(), 6, 30, 20), flipped);
    put(&tile_path(dir.path(), 6, 31, 20), small);
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).start();
    for (column, asked) in [(30, 1), (31, 2)] {
        let reply = daemon.get(&map_target(6, column, 20));
        assert_eq!(reply.status, 200, "{}", reply.text());
        painted::check(&reply.body, 6, column, 20).expect("drawn from a tile made anew");
        assert_eq!(upstream.count(), asked);
    }
    assert_eq!(check_tiles(dir.path()), 2);
    daemon.stop();
}

/// C6: nothing but a plain file counts, and nobody waits for a pipe's other end.
#[test]
fn odd_things_in_a_tiles_place_are_misses() {
    let dir = TestDir::new("cache-odd");
    let upstream = Upstream::start();
    let path = |column| tile_path(dir.path(), 6, column, 20);
    let elsewhere = dir.write("elsewhere/tile.png", painted::tile(6, 1, 1));
    std::fs::create_dir_all(path(0)).expect("a directory");
    for column in 1..5 {
        std::fs::create_dir_all(path(column).parent().expect("a parent")).expect("directories");
    }
    nix::unistd::mkfifo(&path(1), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for (column, end) in
        [(2, Path::new("nowhere.png")), (3, elsewhere.as_path()), (4, Path::new("/dev/zero"))]
    {
        std::os::unix::fs::symlink(end, path(column)).expect("a link");
    }
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).start();
    for column in 0..5 {
        fetch(&daemon, 6, column, 20);
        assert_eq!(upstream.count(), 1 + column as usize);
    }
    // A directory stays; the others gave way to the tile, and what a link named is as it was.
    assert!(path(0).is_dir());
    for column in 1..5 {
        assert!(path(column).symlink_metadata().expect("a tile").is_file(), "{column}");
    }
    painted::check(&std::fs::read(&elsewhere).expect("the file outside"), 6, 1, 1).expect("untouched");
    assert_eq!(check_tiles(dir.path()), 4);
    daemon.stop();
}

/// C9: two daemons on one cache, everybody wants the same area.
#[test]
fn two_daemons_ask_once_for_each_meta_tile() {
    let dirs = [TestDir::new("cache-two-a"), TestDir::new("cache-two-b")];
    let cache = TestDir::new("cache-two");
    let upstream = Upstream::start();
    let daemons: Vec<Daemon> =
        dirs.iter().map(|dir| Setup::new(dir, map(&upstream, cache.path(), FOUR)).start()).collect();
    upstream.hold();
    let sent = Barrier::new(33);
    std::thread::scope(|scope| {
        for number in 0..32 {
            let (daemon, sent) = (&daemons[number as usize % 2], &sent);
            scope.spawn(move || {
                let (column, row) = (16 + number / 2 % 4, 16 + number / 8);
                let mut client = daemon.client();
                client.send_get(&target(6, column, row)).expect("a request");
                sent.wait();
                let reply = client.read_reply(false).expect("an answer");
                assert_eq!(reply.status, 200, "{}", reply.text());
                painted::check(&reply.body, 6, column, row).expect("the tile asked for");
            });
        }
        sent.wait();
        upstream.await_count(4);
        upstream.release();
    });
    assert_eq!(upstream.count(), 4, "{:?}", upstream.targets());
    assert_eq!(check_tiles(cache.path()), 16);
    for daemon in daemons {
        daemon.stop();
    }
}

/// C10: serving, cleaning and kills at once. (A second daemon is the second
/// writer.)
#[test]
fn cleaning_and_kills_while_serving_tear_no_tile() {
    const REQUESTS: usize = 120;
    let seed = seed("cache-clean");
    let dirs = [TestDir::new("cache-clean-a"), TestDir::new("cache-clean-b")];
    let cache = TestDir::new("cache-clean");
    let upstream = Upstream::start();
    let daemons: Vec<Daemon> =
        dirs.iter().map(|dir| Setup::new(dir, map(&upstream, cache.path(), FOUR)).start()).collect();
    let answered = AtomicUsize::new(0);
    let (tick, ticks) = mpsc::channel::<u64>();
    std::thread::scope(|scope| {
        let (cache, daemons, answered) = (&cache, &daemons, &answered);
        scope.spawn(move || {
            for number in ticks {
                clean_and_kill(cache.path(), daemons, &mut Random(number), answered.load(Ordering::SeqCst));
            }
        });
        for number in 0..3 {
            let tick = tick.clone();
            scope.spawn(move || {
                let mut random = Random(seed + number);
                for _ in 0..REQUESTS {
                    let daemon = random.pick(daemons);
                    let (column, row) = (16 + random.between(0, 6) as u32, 16 + random.between(0, 6) as u32);
                    // The worker may be killed under the request, even more than once.
                    let reply = await_some("an answer", || try_fetch(daemon, &target(6, column, row)).ok());
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    painted::check(&reply.body, 6, column, row).expect("the tile asked for");
                    answered.fetch_add(1, Ordering::SeqCst);
                    let _ = tick.send(random.next());
                }
            });
        }
        drop(tick);
    });
    check_tiles(cache.path());
    for daemon in daemons {
        daemon.stop();
    }
}

fn clean_and_kill(cache: &Path, daemons: &[Daemon], random: &mut Random, answered: usize) {
    let tiles = files_below(&cache.join("tiles"));
    if !tiles.is_empty() {
        let tile = random.pick(&tiles);
        let _ = match random.between(0, 8) {
            0 => std::fs::remove_dir_all(tile.ancestors().nth(random.between(1, 6) as usize).unwrap_or(tile)),
            _ => std::fs::remove_file(tile),
        };
    }
    if answered % 40 == 7 {
        let workers = random.pick(daemons).workers();
        if !workers.is_empty() {
            let _ = kill(Pid::from_raw(*random.pick(&workers) as i32), Signal::SIGKILL);
        }
    }
}

/// Whether a local server has taken every connection and read what was sent.
pub fn is_all_read(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of connections");
    table.lines().skip(1).all(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = fields.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
        // The second half of this field: bytes unread, for a listener connections.
        !is_ours || fields.get(4).is_some_and(|queues| queues.ends_with(":00000000"))
    })
}

/// Five hundred connections that have asked for one tile while the upstream
/// holds its answer, and what they get.
fn crowd(daemon: &Daemon, upstream: &Upstream, target: &str) -> Vec<Reply> {
    upstream.hold();
    let mut clients: Vec<Client> = (0..500).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.send_get(target).expect("a request");
    }
    upstream.await_count(1);
    // What is still unread comes later than the upstream's answer.
    await_some("all requests to be read", || is_all_read(daemon.address.port()).then_some(()));
    upstream.release();
    clients.iter_mut().map(|client| client.read_reply(false).expect("an answer")).collect()
}

const ROOM_FOR_A_CROWD: &str = "limits: {render_queue: 1000}\n";

/// C11.
#[test]
fn five_hundred_clients_cost_one_request() {
    let dir = TestDir::new("cache-crowd");
    let upstream = Upstream::start();
    let setup = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).daemon_yaml(ROOM_FOR_A_CROWD);
    let daemon = setup.start();
    let replies = crowd(&daemon, &upstream, &target(6, 3, 4));
    assert_eq!(upstream.count(), 1);
    painted::check(&replies[0].body, 6, 3, 4).expect("the tile asked for");
    for reply in &replies {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.body == replies[0].body, "the same bytes for all");
    }
    daemon.stop();
}

/// C11: a failure is told to each of them once and is not asked for by each.
#[test]
fn five_hundred_clients_of_a_dead_upstream_cost_two_requests_a_worker() {
    let dir = TestDir::new("cache-crowd-fails");
    let upstream = Upstream::scripted(|_| Answer::Status(500));
    let setup = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).daemon_yaml(ROOM_FOR_A_CROWD);
    let daemon = setup.start();
    for reply in crowd(&daemon, &upstream, &target(6, 3, 4)) {
        assert_eq!(reply.status, 500, "{}", reply.text());
    }
    // Two of each worker; who asked at the moment of the failure may begin anew.
    assert!(upstream.count() <= 8, "{} requests of two workers", upstream.count());
    assert_eq!(check_tiles(dir.path()), 0);
    daemon.stop();
}

/// C12: the first waiter takes over from a creator that fails; only he fails.
#[test]
fn a_waiter_takes_over_from_a_creator_that_fails() {
    let dir = TestDir::new("cache-take-over");
    let asked = AtomicUsize::new(0);
    let upstream = Upstream::scripted(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::Status(503),
        _ => Answer::Painted,
    });
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).start();
    upstream.hold();
    let mut clients: Vec<Client> = (0..12).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.send_get(&target(6, 3, 4)).expect("a request");
    }
    upstream.await_count(1);
    upstream.release();
    let mut failed = 0;
    for client in &mut clients {
        let reply = client.read_reply(false).expect("an answer");
        match reply.status {
            200 => painted::check(&reply.body, 6, 3, 4).expect("the tile asked for"),
            _ => failed += 1,
        }
    }
    assert_eq!((failed, upstream.count()), (1, 2));
    daemon.stop();
}

/// C13.
#[test]
fn a_lock_directory_is_made_and_what_is_in_its_way_costs_no_answer() {
    let dir = TestDir::new("cache-locks");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).start();
    fetch(&daemon, 6, 3, 4);
    let locks = dir.join("tile_locks");
    assert!(locks.is_dir(), "made with the first lock");
    std::fs::remove_dir(&locks).expect("an empty directory");
    // A file in its place cannot be written into, whoever asks. Locks save
    // work: without them the answer is made all the same.
    std::fs::write(&locks, "in the way").expect("a file");
    fetch(&daemon, 6, 4, 4);
    daemon.await_log("made without a lock", 1);
    assert_eq!(upstream.count(), 2);
    std::fs::remove_file(&locks).expect("the file");
    fetch(&daemon, 6, 5, 4);
    assert!(locks.is_dir(), "made anew");
    daemon.stop();
}

/// C13: leavings of others are swept some at a time and slow nobody down.
#[test]
fn stale_locks_are_swept_while_serving() {
    let dir = TestDir::new("cache-stale-locks");
    let upstream = Upstream::start();
    let locks = dir.join("tile_locks");
    std::fs::create_dir(&locks).expect("a directory");
    let old = SystemTime::now() - Duration::from_secs(86_400);
    let stale = locks.join("0123456789abcdef0123456789abcdef-0-0-0.lck");
    std::fs::write(&stale, "1").expect("a lock");
    set_time(&stale, old);
    // Names of one file have its time; a file has as many as ext4 lets it.
    for number in 1..20_000 {
        let name = locks.join(format!("0123456789abcdef0123456789abcdef-{number}-0-0.lck"));
        std::fs::hard_link(&stale, name).expect("a name");
    }
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).workers(1).start();
    fetch(&daemon, 6, 3, 4);
    let left = files_below(&locks).len();
    assert!(left < 20_000, "{left} are left");
    daemon.stop();
}

/// C14: links of one colour whose picture is gone or another's are misses.
#[test]
fn links_to_lost_pictures_are_made_anew() {
    let dir = TestDir::new("cache-links");
    let color = |column| painted::color(6, column, 20);
    let upstream = Upstream::scripted(|target| match column_of(target) {
        Some(column) => {
            let rgb = painted::color(6, column, 20).repeat(256 * 256);
            Answer::Bytes("image/png", painted::png(&rgb, 256, 256))
        }
        None => Answer::Status(400),
    });
    let map = map(&upstream, dir.path(), &format!("{SINGLE}, link_single_color_images: true"));
    let check = |daemon: &Daemon, column: u32| {
        let reply = daemon.get(&target(6, column, 20));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let raster = rhumb::render::decode(&reply.body, &Default::default()).expect("a picture");
        let [r, g, b] = color(column);
        assert_eq!(raster.pixel(128, 128), [r, g, b, 255]);
    };
    let daemon = Setup::new(&dir, map.clone()).start();
    let pictures = dir.join("tiles/painted_EPSG3857/single_color_tiles");
    for column in 0..3 {
        check(&daemon, column);
        assert!(tile_path(dir.path(), 6, column, 20).is_symlink());
    }
    daemon.stop();
    let picture = |column: u32| {
        std::fs::read_link(tile_path(dir.path(), 6, column, 20))
            .expect("a link")
            .file_name()
            .map(|n| pictures.join(n))
    };
    std::fs::remove_file(picture(0).expect("a name")).expect("the first picture");
    std::fs::write(picture(1).expect("a name"), "").expect("the second picture");
    let daemon = Setup::new(&dir, map).start();
    for (column, asked) in [(0, 4), (1, 5), (2, 5)] {
        for _ in 0..2 {
            check(&daemon, column);
        }
        assert_eq!(upstream.count(), asked, "{column}");
        assert!(tile_path(dir.path(), 6, column, 20).is_symlink());
    }
    daemon.stop();
}

/// The column of level 6 that a GetMap of one tile is for.
fn column_of(target: &str) -> Option<u32> {
    let bbox = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("bbox="))?.replace("%2C", ",");
    let west: f64 = bbox.split(',').next()?.parse().ok()?;
    Some(((west + painted::MERC) / (2.0 * painted::MERC / 64.0)).round() as u32)
}

/// C16: times at the ends of what can be said, with and without a rule on age.
#[test]
fn times_at_the_ends_are_ages_like_others() {
    let times = [
        ("the epoch", SystemTime::UNIX_EPOCH, true),
        ("before the epoch", SystemTime::UNIX_EPOCH - Duration::from_secs(86_400 * 365 * 50), true),
        ("a day ahead", SystemTime::now() + Duration::from_secs(86_400), false),
        ("far ahead", SystemTime::UNIX_EPOCH + Duration::from_secs(15_000_000_000), false),
    ];
    for rule in ["", ", refresh_before: {days: 2}"] {
        let dir = TestDir::new("cache-times");
        let upstream = Upstream::start();
        for (column, (_, time, _)) in (0_u32..).zip(&times) {
            let path = tile_path(dir.path(), 6, column, 20);
            put(&path, painted::tile(6, column, 20));
            set_time(&path, *time);
        }
        let daemon = Setup::new(&dir, map(&upstream, dir.path(), &format!("{SINGLE}{rule}"))).start();
        let mut asked = 0;
        for (column, (name, _, is_old)) in (0_u32..).zip(&times) {
            asked += usize::from(*is_old && !rule.is_empty());
            for _ in 0..2 {
                let reply = fetch(&daemon, 6, column, 20);
                assert!(reply.header("last-modified").is_some(), "{name}");
                assert_eq!(upstream.count(), asked, "{name} with {rule:?}");
            }
            let reply = daemon.get(&map_target(6, column, 20));
            painted::check(&reply.body, 6, column, 20).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        daemon.stop();
    }
}

/// C1, C2, C20 by fail-points: a disk that takes nothing costs the copy, not
/// the answer.
#[test]
#[cfg(feature = "fail-points")]
fn a_disk_that_takes_nothing_costs_no_answer() {
    for place in ["cache.create", "cache.write", "cache.rename"] {
        for fault in ["enospc", "eio"] {
            let dir = TestDir::new("cache-full");
            let upstream = Upstream::start();
            let points = dir.write("points", format!("{place}:*:{fault}"));
            let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE))
                .env("RHUMB_FAIL", &format!("@{}", points.display()))
                .start();
            for asked in 1..3 {
                fetch(&daemon, 6, 3, 4);
                assert_eq!(upstream.count(), asked, "{place} {fault}: nothing was stored");
            }
            daemon.await_log("tile not stored", 1);
            assert_eq!(temps(dir.path()), [] as [PathBuf; 0], "{place} {fault}");
            std::fs::write(&points, "").expect("the disk is well again");
            fetch(&daemon, 6, 3, 4);
            fetch(&daemon, 6, 3, 4);
            assert_eq!(upstream.count(), 3, "{place} {fault}: stored again");
            daemon.stop();
        }
    }
}

/// C3: a cache directory that is gone, or in whose place a file lies.
#[test]
fn a_cache_directory_may_go_and_come_back() {
    let dir = TestDir::new("cache-gone");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).start();
    let tiles = dir.join("tiles");
    fetch(&daemon, 6, 3, 4);
    std::fs::remove_dir_all(&tiles).expect("the cache");
    fetch(&daemon, 6, 4, 4);
    assert_eq!(check_tiles(dir.path()), 1, "made anew with the next tile");
    std::fs::remove_dir_all(&tiles).expect("the cache");
    std::fs::write(&tiles, "in the way").expect("a file");
    fetch(&daemon, 6, 5, 4);
    daemon.await_log("tile not stored", 1);
    std::fs::remove_file(&tiles).expect("the file");
    fetch(&daemon, 6, 5, 4);
    fetch(&daemon, 6, 5, 4);
    assert_eq!(upstream.count(), 4);
    assert_eq!(check_tiles(dir.path()), 1);
    daemon.stop();
}

/// C21: first writers of one new tree at once, modes as configured.
#[test]
fn first_writes_into_a_new_tree_do_no_harm() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TestDir::new("cache-tree");
    let upstream = Upstream::start();
    let map = map(&upstream, dir.path(), SINGLE).replace(
        "globals:\n  cache: {",
        "globals:\n  cache: {directory_permissions: '750', file_permissions: '640', ",
    );
    let daemon = Setup::new(&dir, map).start();
    upstream.hold();
    let mut clients: Vec<Client> = (0..16).map(|_| daemon.client()).collect();
    for (column, client) in (0..).zip(&mut clients) {
        client.send_get(&target(6, column, 20)).expect("a request");
    }
    upstream.await_count(16);
    upstream.release();
    for (column, client) in (0..).zip(&mut clients) {
        let reply = client.read_reply(false).expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
        painted::check(&reply.body, 6, column, 20).expect("the tile asked for");
    }
    assert_eq!(check_tiles(dir.path()), 16);
    for column in 0..16 {
        let path = tile_path(dir.path(), 6, column, 20);
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o640, "{}", path.display());
        for above in path.ancestors().skip(1).take_while(|above| *above != dir.path()) {
            assert_eq!(mode(above), 0o750, "{}", above.display());
        }
    }
    daemon.stop();
}
