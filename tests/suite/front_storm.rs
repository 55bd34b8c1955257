//! Nothing is lost behind a proxy (issue criterion "in front"): 64 clients
//! that keep their connections and pipeline, and 64 that come for one request,
//! while the daemon is reloaded, refuses broken files, gains and loses workers,
//! replaces those that have served enough, and is replaced itself.

use nix::sys::signal::Signal;

use crate::control::{act, reachable};
use crate::front::painted_daemon;
use crate::front_haproxy::haproxy;
use crate::harness::front::{Front, put};
use crate::harness::load::{Load, Style, Target, tiles_and_maps};
use crate::harness::port::Port;
use crate::harness::snippet::snippet;
use crate::harness::{Daemon, Random, TestDir, Upstream, await_some, seed};
use crate::reload::{broken_map, check_refusal, reload, reload_in_vain, titled_map, warm};

/// Reloads, every fifth of a broken file.
const RELOADS: usize = 60;
/// An upgrade follows each of these; none is of a broken file, which an upgrade refuses too.
const UPGRADES: [usize; 5] = [8, 19, 31, 42, 53];
/// Workers that are replaced because they have served enough.
const RECYCLED: usize = 20;
/// After so many requests.
const LIMITS: &str = "limits: {requests_max: 400}\n";

/// `rhumb upgrade`; the test goes on with the new master.
fn upgrade(daemon: &mut Daemon) {
    let before = daemon.pid();
    let (code, out, err) = act(daemon, &["upgrade"]);
    assert_eq!(code, Some(0), "{out}{err}\n{}", daemon.log());
    let new = await_some("the new master's pid file", || {
        let text = std::fs::read_to_string(daemon.dir.join("rhumb.pid")).ok()?;
        text.trim().parse().ok().filter(|pid| *pid != before)
    });
    daemon.follow(new);
}
/// Workers without TTIN.
const WORKERS: usize = 2;

fn styles() -> Vec<Style> {
    (0..64).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect()
}

/// Tiles, and a map now and then.
fn mostly_tiles(random: &mut Random) -> Target {
    if random.between(0, 50) == 0 { tiles_and_maps(4)(random) } else { tiles_and_maps(0)(random) }
}

/// The whole storm through one proxy.
fn check_nothing_is_lost(daemon: &mut Daemon, upstream: &Upstream, front: &Front) {
    let seed = seed("storm behind a proxy");
    warm(daemon);
    let load = Load::start(front.address, seed, &styles(), mostly_tiles);
    load.await_answers(500);
    for number in 1..=RELOADS {
        if number % 5 == 0 {
            let (map, line, reason) = broken_map(upstream, number / 5);
            daemon.replace(&daemon.map, &map);
            check_refusal(&reload_in_vain(daemon), line, reason);
        } else {
            reload(daemon, &titled_map(upstream, &format!("Round {number}")));
        }
        if number % 20 == 0 {
            daemon.signal(Signal::SIGTTIN);
            daemon.await_log("SIGTTIN: ", number / 20);
            load.await_answers(50);
            daemon.signal(Signal::SIGTTOU);
            daemon.await_log("SIGTTOU: ", number / 20);
        }
        if UPGRADES.contains(&number) {
            upgrade(daemon);
        }
        load.await_answers(20);
    }
    for number in 1..=RECYCLED {
        daemon.await_log(": replaced", number);
    }
    reload(daemon, &titled_map(upstream, "After all"));
    load.await_answers(200);
    let tally = load.stop();
    eprintln!("{tally:?}");
    tally.check();
    let recycled = daemon.log().matches(": replaced").count();
    eprintln!("{recycled} workers replaced after their requests");
    daemon.await_workers(WORKERS, &[]);
    daemon.follow(daemon.pid());
}

#[test]
fn nothing_is_lost_behind_nginx() {
    let (dir, upstream) = (TestDir::new("storm-nginx"), Upstream::start());
    let mut daemon = painted_daemon(&dir, &upstream, &(reachable(&dir) + LIMITS));
    let site = put(&snippet("etc/nginx.conf"), "127.0.0.1:8080;", &format!("{};", daemon.address));
    let nginx = Front::nginx(&dir, &site);
    check_nothing_is_lost(&mut daemon, &upstream, &nginx);
    drop(nginx);
    daemon.stop();
}

#[test]
fn nothing_is_lost_behind_haproxy() {
    let (dir, upstream) = (TestDir::new("storm-haproxy"), Upstream::start());
    let admin = Port::reserve();
    let yaml = format!("{}admin: {}\n{LIMITS}", reachable(&dir), admin.address());
    let mut daemon = painted_daemon(&dir, &upstream, &yaml);
    let haproxy = haproxy(&dir, &daemon, &admin);
    check_nothing_is_lost(&mut daemon, &upstream, &haproxy);
    drop(haproxy);
    daemon.stop();
}
