//! The second tier: what needs hours. `make long` runs it; its last results
//! are recorded in tests/LONG.md. `RHUMB_LONG_RELOADS`, `RHUMB_LONG_MINUTES` and
//! `RHUMB_LONG_SEEDS` set its length.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::{Daemon, Random, TestDir, Upstream, await_some, painted, seed, silent};
use crate::smoke::painted_map;

/// How much the master's memory may grow over any number of reloads.
const GROWTH_MAX_KIB: u64 = 4 * 1024;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Random requests to MapProxy and rhumb, from fresh seeds.
#[test]
#[cfg(feature = "peers")]
fn requests_of_fresh_seeds_are_answered_alike() {
    let mut random = Random(seed("fresh-requests"));
    for _ in 0..setting("RHUMB_LONG_SEEDS", 20) {
        let seed = random.next() & 0xffff_ffff;
        eprintln!("RHUMB_SEED={seed}");
        crate::differential::answer_alike(seed);
        crate::differential::answer_alike_where_strict(seed);
        crate::differential::ogcapi::answer_alike(seed);
        crate::parity::requests_agree(seed);
    }
}

fn check_tile(daemon: &Daemon) {
    let reply = daemon.get("/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png");
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
}

#[test]
fn thousands_of_reloads_leave_the_master_as_it_was() {
    let count = setting("RHUMB_LONG_RELOADS", 10_000) as usize;
    let (dir, upstream) = (TestDir::new("long-reloads"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let reload = |number: usize| {
        daemon.signal(Signal::SIGHUP);
        daemon.await_log("reloaded: generation", number);
    };
    // The first ones fill what is allocated once.
    (1..=20).for_each(reload);
    let (descriptors, resident_kib) = (silent::descriptors(daemon.pid()), silent::resident_kib(daemon.pid()));
    assert_eq!(silent::threads(daemon.pid()), 1, "the master has one thread");
    let began = Instant::now();
    for number in 21..=count {
        reload(number);
        if number % 500 == 0 {
            eprintln!("{number} of {count} reloads after {:?}", began.elapsed());
        }
    }
    check_tile(&daemon);
    await_some("the last old workers to leave", || (daemon.workers().len() == 2).then_some(()));
    let now_kib = silent::resident_kib(daemon.pid());
    eprintln!("{count} reloads in {:?}: master {resident_kib} → {now_kib} KiB", began.elapsed());
    assert!(now_kib <= resident_kib + GROWTH_MAX_KIB, "the master grew from {resident_kib} to {now_kib} KiB");
    assert!(silent::descriptors(daemon.pid()) <= descriptors, "the master holds more descriptors");
    assert_eq!(silent::threads(daemon.pid()), 1, "the master has one thread");
    assert!(silent::zombies(daemon.pid()).is_empty());
    daemon.stop();
}

/// Load with random kills of workers and reloads. No answer may be wrong; a
/// killed worker takes its connections with it, and nothing else is lost.
#[test]
fn an_hour_of_load_with_kills_and_reloads() {
    let seed = seed("soak");
    let mut random = Random(seed);
    let length = Duration::from_secs(60 * setting("RHUMB_LONG_MINUTES", 60));
    let (dir, upstream) = (TestDir::new("long-soak"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let styles: Vec<Style> = (0..16).map(|n| Style::KeepAlive { depth: [1, 1, 2, 4][n % 4] }).collect();
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(2));
    let began = Instant::now();
    let (mut kills, mut reloads) = (0, 0);
    while began.elapsed() < length {
        load.await_answers(2_000);
        if random.between(0, 3) == 0 {
            let workers = daemon.workers();
            if let Some(worker) = workers.get(random.between(0, workers.len().max(1) as i64) as usize) {
                let _ = kill(Pid::from_raw(*worker as i32), Signal::SIGKILL);
                kills += 1;
            }
        } else {
            daemon.signal(Signal::SIGHUP);
            reloads += 1;
        }
    }
    let tally = load.stop();
    eprintln!("{kills} kills, {reloads} reloads: {tally:#?}");
    assert_eq!((tally.wrong, tally.status_5xx, tally.status_other, tally.timeouts), (0, 0, 0, 0));
    await_some("two workers", || (daemon.workers().len() == 2).then_some(()));
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn a_minute_of_signals_at_random() {
    crate::scarcity::storm("long-signals", Duration::from_secs(setting("RHUMB_LONG_SIGNALS_S", 60)));
}

/// SIGHUPs on top of each other for a minute under load.
#[test]
fn a_minute_of_reloads_on_top_of_each_other() {
    crate::reload::pile_up("long-b2", Duration::from_secs(setting("RHUMB_LONG_SIGNALS_S", 60)));
}

/// Requests damaged at random: whatever comes, the daemon answers the next
/// honest client, and no worker dies.
#[test]
fn damaged_requests_harm_nobody() {
    let seed = seed("damaged requests");
    let mut random = Random(seed);
    let length = Duration::from_secs(60 * setting("RHUMB_LONG_MINUTES", 60));
    let (dir, upstream) = (TestDir::new("long-damaged"), Upstream::start());
    let limits = "limits: {first_byte_ms: 200, header_ms: 300, body_ms: 300}\n";
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(limits).start();
    let workers = daemon.workers();
    let honest = [
        "GET /wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=painted&STYLES=&CRS=EPSG:3857&BBOX=0,0,1000000,1000000&WIDTH=64&HEIGHT=64&FORMAT=image/png HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        "POST /service HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nSERVICE=WMS",
        "POST /service HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "GET /tms/1.0.0/painted/EPSG3857/4/3/2.png HTTP/1.0\r\nConnection: keep-alive\r\nIf-None-Match: \"x\", W/\"y\"\r\n\r\n",
        "GET /kml/painted/EPSG3857/0/0/0.kml HTTP/1.1\r\nHost: maps.test:80\r\nX-Forwarded-Host: b\r\n\r\n",
    ];
    let (began, mut sent) = (Instant::now(), 0_u64);
    while began.elapsed() < length {
        let mut bytes = random.pick(&honest).as_bytes().to_vec();
        for _ in 0..random.between(1, 6) {
            if bytes.is_empty() {
                break;
            }
            let at = random.between(0, bytes.len() as i64) as usize;
            match random.between(0, 4) {
                0 => bytes[at] = random.next() as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, *random.pick(b"\r\n\0 :,;%&=?/\\\t\x7f\xff0")),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let mut client = daemon.client();
        let _ = client.send(&bytes);
        client.half_close();
        let _ = client.read_to_end();
        sent += 1;
        if sent.is_multiple_of(500) {
            check_tile(&daemon);
        }
    }
    eprintln!("{sent} damaged requests");
    assert_eq!(daemon.workers(), workers, "a worker was replaced");
    daemon.stop();
}
