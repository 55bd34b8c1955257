//! MapProxy 7.0.0 and rhumb on one cache directory at the same time: what one
//! has stored the other serves, what one is making the other waits for.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::cache_faults;
use crate::harness::daemon::Setup;
use crate::harness::dir::files_below;
use crate::harness::peers::{MapProxy, peer};
use crate::harness::{Answer, Client, Daemon, Random, TestDir, Upstream, await_some, painted, seed};

const LAYOUTS: [&str; 6] = ["tc", "mp", "tms", "reverse_tms", "quadkey", "arcgis"];

/// Clients on each side of the crowd.
const CROWD: usize = 25;

/// Both servers on one map file and one directory.
pub struct Pair {
    pub daemon: Daemon,
    pub mapproxy: MapProxy,
    pub upstream: Upstream,
    pub dir: TestDir,
}

impl Pair {
    /// One cache and layer for each entry: name and further keys of the cache.
    pub fn start(test: &str, upstream: Upstream, caches: &[(&str, String)]) -> Pair {
        let dir = TestDir::new(test);
        let of = |line: &dyn Fn(&str, &str) -> String| -> String {
            caches.iter().map(|(name, keys)| line(name, keys)).collect()
        };
        let map = format!(
            "services:\n  wms:\n  wmts:\n\
             layers:\n{}caches:\n{}\
             sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
             globals:\n  cache: {{base_dir: '{}', lock_dir: '{}', tile_lock_dir: '{}'}}\n",
            of(&|name, _| format!("  - {{name: {name}, title: {name}, sources: [{name}]}}\n")),
            of(&|name, keys| format!("  {name}: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock], {keys}}}\n")),
            upstream.url("/wms"),
            dir.join("cache").display(),
            dir.join("locks").display(),
            dir.join("tile_locks").display(),
        );
        let daemon = Setup::new(&dir, map).start();
        let mapproxy = MapProxy::start(&dir.join("mapproxy.yaml"));
        Pair { daemon, mapproxy, upstream, dir }
    }

    fn layouts(test: &str) -> Pair {
        let caches: Vec<(&str, String)> = LAYOUTS
            .iter()
            .map(|layout| (*layout, format!("cache: {{type: file, directory_layout: {layout}}}")))
            .collect();
        Pair::start(test, Upstream::start(), &caches)
    }

    pub fn get(&self, server: Server, target: &str) -> Vec<u8> {
        let reply = match server {
            Server::Rhumb => self.daemon.get(target),
            Server::MapProxy => self.mapproxy.get(target),
        };
        assert_eq!(reply.status, 200, "{server:?} {target}: {}", reply.text());
        reply.body
    }

    pub fn locks(&self) -> BTreeSet<String> {
        files_below(&self.dir.join("tile_locks"))
            .iter()
            .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect()
    }

    pub fn stop(self) {
        self.daemon.stop();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Rhumb,
    MapProxy,
}

pub fn target(cache: &str, level: u32, column: u32, row: u32) -> String {
    format!("/wmts/{cache}/GLOBAL_WEBMERCATOR/{level:02}/{column}/{row}.png")
}

/// The sixteen tiles of the meta tile that begins there.
pub fn block(column: u32, row: u32) -> impl Iterator<Item = (u32, u32)> {
    (row..row + 4).flat_map(move |y| (column..column + 4).map(move |x| (x, y)))
}

#[test]
fn a_tile_made_by_either_is_served_by_the_other() {
    let pair = Pair::layouts("shared-either");
    let mut asked = 0;
    for layout in LAYOUTS {
        for (maker, server, column) in
            [(Server::Rhumb, Server::MapProxy, 16), (Server::MapProxy, Server::Rhumb, 20)]
        {
            let made = pair.get(maker, &target(layout, 5, column + 1, 10));
            painted::check(&made, 5, column + 1, 10).unwrap_or_else(|e| panic!("{maker:?} {layout}: {e}"));
            asked += 1;
            assert_eq!(pair.upstream.count(), asked, "{maker:?} {layout} made one meta tile");
            for (x, y) in block(column, 8) {
                let bytes = pair.get(server, &target(layout, 5, x, y));
                painted::check(&bytes, 5, x, y).unwrap_or_else(|e| panic!("{server:?} {layout}: {e}"));
            }
            assert_eq!(pair.upstream.count(), asked, "{server:?} has {layout} from the cache");
        }
    }
    pair.stop();
}

/// Both lock a meta tile under one name, else each would make it for itself.
#[test]
fn both_name_their_locks_alike() {
    let pair = Pair::layouts("shared-locks");
    let mut asked = 0;
    for layout in LAYOUTS {
        let mut names = Vec::new();
        for server in [Server::Rhumb, Server::MapProxy] {
            pair.upstream.hold();
            let target = target(layout, 5, 17, 10);
            asked += 1;
            std::thread::scope(|scope| {
                let answer = scope.spawn(|| pair.get(server, &target));
                pair.upstream.await_count(asked);
                names.push(pair.locks());
                pair.upstream.release();
                painted::check(&answer.join().expect("an answer"), 5, 17, 10).expect("the right tile");
            });
            assert!(pair.locks().is_empty(), "{server:?} has left {:?}", pair.locks());
            std::fs::remove_dir_all(pair.dir.join("cache")).expect("the cache is there");
        }
        assert_eq!(names[0].len(), 1, "{layout}: {names:?}");
        assert_eq!(names[0], names[1], "{layout}");
    }
    pair.stop();
}

/// Clients of both servers at once for tiles of one meta tile.
pub fn crowd(pair: &Pair, cache: &str, column: u32) {
    let tiles: Vec<(u32, u32)> = block(column, 8).collect();
    let before = pair.upstream.count();
    pair.upstream.hold();
    let (ready, sent) = (Barrier::new(2 * CROWD), Barrier::new(2 * CROWD + 1));
    std::thread::scope(|scope| {
        for number in 0..2 * CROWD {
            let (tiles, ready, sent) = (&tiles, &ready, &sent);
            scope.spawn(move || {
                let server = if number % 2 == 0 { Server::Rhumb } else { Server::MapProxy };
                let address = match server {
                    Server::Rhumb => pair.daemon.address,
                    Server::MapProxy => pair.mapproxy.address,
                };
                let (x, y) = tiles[number / 2 % tiles.len()];
                let client = Client::connect(address);
                ready.wait();
                let answer =
                    client.and_then(|mut client| client.send_get(&target(cache, 5, x, y)).map(|()| client));
                sent.wait();
                let reply = answer.expect("a connection").read_reply(false).expect("an answer");
                assert_eq!(reply.status, 200, "{server:?} {x}/{y}: {}", reply.text());
                painted::check(&reply.body, 5, x, y).unwrap_or_else(|e| panic!("{server:?}: {e}"));
            });
        }
        sent.wait();
        pair.upstream.await_count(before + 1);
        pair.upstream.release();
    });
    assert_eq!(pair.upstream.count(), before + 1, "one request for one meta tile of {cache}");
}

#[test]
fn fifty_clients_of_both_cost_one_request() {
    let pair = Pair::layouts("shared-crowd");
    for (round, layout) in LAYOUTS.iter().enumerate() {
        crowd(&pair, layout, 4 * round as u32);
    }
    pair.stop();
}

/// The colour of four neighbouring tiles, which tells their address.
fn common_color(column: u32, row: u32) -> [u8; 3] {
    painted::color(5, column & !1, row & !1)
}

/// A mock whose pictures of one tile have one colour.
fn plain_upstream() -> Upstream {
    Upstream::scripted(|target| {
        let value = |name: &str| {
            target.split(['?', '&']).find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                key.eq_ignore_ascii_case(name).then(|| value.replace("%2C", ","))
            })
        };
        let corner =
            value("bbox").map(|text| text.split(',').filter_map(|v| v.parse().ok()).collect::<Vec<f64>>());
        let Some([west, _, east, north]) = corner.as_deref() else { return Answer::Status(400) };
        let side = east - west;
        let column = ((west + painted::MERC) / side).round() as u32;
        let row = ((painted::MERC - north) / side).round() as u32;
        let rgb = common_color(column, row).repeat(256 * 256);
        Answer::Bytes("image/png", painted::png(&rgb, 256, 256))
    })
}

fn check_color(bytes: &[u8], column: u32, row: u32) {
    let raster = rhumb::render::decode(bytes, &Default::default()).expect("a picture");
    assert_eq!((raster.width, raster.height), (256, 256));
    let [r, g, b] = common_color(column, row);
    for at in [(0, 0), (128, 128), (255, 255)] {
        assert_eq!(raster.pixel(at.0, at.1), [r, g, b, 255], "tile {column}/{row}");
    }
}

/// Pictures in the folders of single colours.
fn color_files(cache: &Path) -> Vec<PathBuf> {
    files_below(cache)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("single_color_tiles"))
        .collect()
}

#[test]
fn links_of_one_colour_are_read_both_ways() {
    let keys = |link: &str| format!("meta_size: [1, 1], meta_buffer: 0, link_single_color_images: {link}");
    let caches = [("symlinks", keys("true")), ("hardlinks", keys("hardlink"))];
    let pair = Pair::start("shared-links", plain_upstream(), &caches);
    let cache = pair.dir.join("cache");
    let mut asked = 0;
    for (name, _) in &caches {
        for (first, second, column) in
            [(Server::Rhumb, Server::MapProxy, 16), (Server::MapProxy, Server::Rhumb, 20)]
        {
            let of_before = color_files(&cache).len();
            // One tile by each, of one colour: one picture for both.
            for (server, column) in [(first, column), (second, column + 1)] {
                check_color(&pair.get(server, &target(name, 5, column, 10)), column, 10);
                asked += 1;
                assert_eq!(pair.upstream.count(), asked, "{server:?} {name}");
            }
            assert_eq!(color_files(&cache).len(), of_before + 1, "{name}: {:?}", color_files(&cache));
            // Each serves the other's link without a request.
            for (server, column) in [(second, column), (first, column + 1)] {
                check_color(&pair.get(server, &target(name, 5, column, 10)), column, 10);
            }
            assert_eq!(pair.upstream.count(), asked, "{name} is served from links");
        }
    }
    let links = files_below(&cache).into_iter().filter(|path| path.is_symlink()).count();
    assert_eq!(links, 4, "every tile of the first cache is a link");
    pair.stop();
}

/// Levels that are seeded and cleaned: 341 tiles.
const SEED_LEVELS_MAX: u32 = 4;
const SEED_TILES: usize = 341;

/// `mapproxy-seed` on the pair's map and cache, in a process group of its own.
pub fn seeder(config: &Path, seeding: &Path, task: [&str; 2]) -> Child {
    Command::new(peer("venv/bin/python"))
        .arg(peer("venv/bin/mapproxy-seed"))
        .args(["-q", "-q", "-c", "2"])
        .arg("-f")
        .arg(config)
        .arg("-s")
        .arg(seeding)
        .args(task)
        .current_dir(seeding.parent().expect("a directory"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("mapproxy-seed starts")
}

/// C10: a seeder and a cleaner at work while clients are served; workers and
/// seeders are killed at any moment.
#[test]
fn serving_seeding_and_cleaning_with_kills_tear_no_tile() {
    const CLIENTS: u64 = 3;
    const KILL_EVERY: usize = 60;
    let seed = seed("shared-seed");
    let cache = TestDir::new("shared-seed-cache");
    let dir = TestDir::new("shared-seed");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, cache_faults::map(&upstream, cache.path(), cache_faults::FOUR)).start();
    let seeding = dir.write(
        "seed.yaml",
        format!(
            "seeds:\n  all: {{caches: [painted], levels: {{to: {SEED_LEVELS_MAX}}}}}\n\
             cleanups:\n  gone: {{caches: [painted], levels: [{}, {SEED_LEVELS_MAX}], remove_all: true}}\n",
            SEED_LEVELS_MAX - 1
        ),
    );
    let map = dir.join("mapproxy.yaml");
    let is_over = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (daemon, is_over, answered) = (&daemon, &is_over, &answered);
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let mut random = Random(seed + number);
                while !is_over.load(Ordering::SeqCst) {
                    let level = random.between(1, i64::from(SEED_LEVELS_MAX) + 1) as u32;
                    let [column, row] = [0; 2].map(|_| random.between(0, 1 << level) as u32);
                    // The worker may be killed under the request, even more than once.
                    let target = cache_faults::target(level, column, row);
                    let reply = await_some("an answer", || cache_faults::try_fetch(daemon, &target).ok());
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    painted::check(&reply.body, level, column, row).expect("the tile asked for");
                    if answered.fetch_add(1, Ordering::SeqCst) % KILL_EVERY == KILL_EVERY / 2
                        && let Some(worker) = daemon.workers().first()
                    {
                        let _ = kill(Pid::from_raw(*worker as i32), Signal::SIGKILL);
                    }
                }
            });
        }
        for round in 0..2 {
            let mut seeder_of_round = seeder(&map, &seeding, ["--seed", "ALL"]);
            let mut cleaner = seeder(&map, &seeding, ["--cleanup", "ALL"]);
            if round % 2 == 1 {
                // Some way into its work.
                let until = upstream.count() + 20;
                await_some("the seeder to be at work", || {
                    let is_gone = seeder_of_round.try_wait().expect("a child").is_some();
                    (is_gone || upstream.count() >= until).then_some(())
                });
                let _ = killpg(Pid::from_raw(seeder_of_round.id() as i32), Signal::SIGKILL);
            }
            seeder_of_round.wait().expect("the seeder ends");
            cleaner.wait().expect("the cleaner ends");
        }
        is_over.store(true, Ordering::SeqCst);
    });
    cache_faults::check_tiles(cache.path());
    let mut last = seeder(&map, &seeding, ["--seed", "ALL"]);
    assert!(last.wait().expect("the seeder ends").success());
    cache_faults::check_tiles(cache.path());
    // Who was killed between two tiles of a meta tile has left a part of it, and the seeder looks at the first one only: the
    // others are made when they are asked for.
    for level in 0..=SEED_LEVELS_MAX {
        for (column, row) in (0..1 << level).flat_map(|column| (0..1 << level).map(move |row| (column, row)))
        {
            let reply = daemon.get(&cache_faults::target(level, column, row));
            assert_eq!(reply.status, 200, "{}", reply.text());
            painted::check(&reply.body, level, column, row).expect("the tile asked for");
        }
    }
    assert_eq!(cache_faults::check_tiles(cache.path()), SEED_TILES);
    daemon.stop();
}
