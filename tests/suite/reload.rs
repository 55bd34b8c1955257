//! Reload, drain and leaving (issue criterion 6; reliability.md, group B):
//! events in an order that the log tells, and clients that lose nothing.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::{
    Client, Daemon, End, PATIENCE, TestDir, Upstream, await_some, painted, seed, silent, sockets,
};
use crate::http_abuse::{ASKED, wordy_map};
use crate::smoke::painted_map;

/// A client under load may be kept from asking again for a while: it is not idle.
const PATIENT: &str = "limits: {drain_idle_ms: 10000}\n";

const CAPABILITIES: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities";
const REFUSED: &str = "reload refused";
const RELOADED: &str = "reloaded: generation";

pub fn tile(column: u32, row: u32) -> String {
    format!("/wmts/painted/GLOBAL_WEBMERCATOR/05/{column}/{row}.png")
}

pub fn titled_map(upstream: &Upstream, title: &str) -> String {
    painted_map(upstream).replace("title: Painted", &format!("title: {title}"))
}

pub fn count_in_log(daemon: &Daemon, text: &str) -> usize {
    daemon.log().matches(text).count()
}

/// HUP with a good file; returns when it is in effect, and after how long.
pub fn reload(daemon: &Daemon, map: &str) -> Duration {
    let before = count_in_log(daemon, RELOADED);
    daemon.replace(&daemon.map, map);
    let began = Instant::now();
    daemon.signal(Signal::SIGHUP);
    daemon.await_log(RELOADED, before + 1);
    began.elapsed()
}

/// HUP that must be refused; the log since.
pub fn reload_in_vain(daemon: &Daemon) -> String {
    let (length, before) = (daemon.log().len(), count_in_log(daemon, REFUSED));
    daemon.signal(Signal::SIGHUP);
    daemon.await_log(REFUSED, before + 1);
    daemon.log()[length..].to_owned()
}

fn await_title(daemon: &Daemon, title: &str) {
    await_some(&format!("the title {title:?}"), || {
        daemon.get(CAPABILITIES).text().contains(title).then_some(())
    });
}

fn check_tile(daemon: &Daemon, column: u32, row: u32) {
    let reply = daemon.get(&tile(column, row));
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, column, row).expect("the right tile");
}

/// Makes the tiles that [`tiles_and_maps`] asks for: a crowd that waits for them
/// may be more than a worker has places for.
pub fn warm(daemon: &Daemon) {
    for (column, row) in [(12, 12), (12, 16), (16, 12), (16, 16)] {
        check_tile(daemon, column, row);
    }
}

/// A map file that must be refused: what is replaced in the good one by what,
/// the line that must be named, and a word of the reason.
const BROKEN: &[(&str, &str, &str, u32, &str)] = &[
    ("an unknown grid", "grids: [GLOBAL_WEBMERCATOR]", "grids: [nowhere]", 10, "nowhere"),
    ("a dangling source of a layer", "sources: [painted]}", "sources: [absent]}", 8, "absent"),
    ("an unknown kind of source", "    type: wms\n", "    type: wmz\n", 13, "wmz"),
    ("YAML that ends too early", "sources: [mock]}", "sources: [mock", 11, ""),
    ("a tab for indentation", "    type: wms\n", "\ttype: wms\n", 13, ""),
    ("a list in place of a name", "layers: a}", "layers: a, url: [1]}", 14, "url"),
];

pub fn broken_map(upstream: &Upstream, number: usize) -> (String, u32, &'static str) {
    let (name, good, bad, line, reason) = BROKEN[number % BROKEN.len()];
    let map = painted_map(upstream);
    assert!(map.contains(good), "{name}: the map holds no {good:?}");
    (map.replacen(good, bad, 1), line, reason)
}

pub fn check_refusal(told: &str, line: u32, reason: &str) {
    let place = format!("mapproxy.yaml:{line}:");
    assert!(told.contains(&place), "no {place} in\n{told}");
    assert!(told.contains(reason), "no {reason:?} in\n{told}");
}

/// Connections of each worker, once the present two are all there are, every
/// client has one, and neither holds more than ten: where one worker alone was
/// awake when all came, it hands some over.
fn await_split(daemon: &Daemon, clients: usize) -> Vec<usize> {
    await_some("all clients to be with two workers", || {
        let workers = daemon.workers();
        let split = sockets::connections(daemon.address.port(), &workers);
        let is_even = split.iter().all(|count| *count <= 10);
        (workers.len() == 2 && split.iter().sum::<usize>() == clients && is_even).then_some(split)
    })
}

#[test]
fn thirty_reloads_under_load_lose_nothing() {
    let seed = seed("thirty reloads");
    let (dir, upstream) = (TestDir::new("reload-30"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(PATIENT).start();
    let styles: Vec<Style> = (0..16).map(|n| Style::KeepAlive { depth: [1, 1, 2, 4][n % 4] }).collect();
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(3));
    load.await_answers(64);

    let split = await_split(&daemon, styles.len());
    eprintln!("connections of each worker: {split:?}");
    let workers = daemon.workers();
    let ticks = |pids: &[u32]| pids.iter().map(|pid| sockets::processor_ticks(*pid)).collect::<Vec<u64>>();
    // A machine may have had no time for one of them for a while.
    let are_both_busy = (0..5).any(|_| {
        let before = ticks(&workers);
        load.await_answers(200);
        let spent: Vec<u64> =
            ticks(&workers).iter().zip(&before).map(|(after, before)| after - before).collect();
        eprintln!("processor ticks of each worker over 200 answers: {spent:?}");
        let total: u64 = spent.iter().sum();
        spent.iter().all(|ticks| ticks * 5 >= total)
    });
    assert!(are_both_busy, "one worker idles");

    let mut took = Vec::new();
    for number in 1..=30 {
        if number % 5 == 0 {
            let (map, line, reason) = broken_map(&upstream, number / 5);
            daemon.replace(&daemon.map, &map);
            check_refusal(&reload_in_vain(&daemon), line, reason);
        } else {
            let title = format!("Painted No {number}.");
            took.push(reload(&daemon, &titled_map(&upstream, &title)));
            await_title(&daemon, &title);
        }
    }
    took.sort();
    eprintln!("from HUP to in effect: median {:?}, longest {:?}", took[took.len() / 2], took[took.len() - 1]);
    load.await_answers(64);
    let split = await_split(&daemon, styles.len());
    eprintln!("connections of each worker afterwards: {split:?}");
    let tally = load.stop();
    eprintln!("{tally:?}");
    tally.check();
    assert!(tally.closes > 0, "connections were handed on");
    daemon.stop();
}

#[test]
fn b1_a_reload_under_many_clients_loses_nothing() {
    let seed = seed("b1");
    let (dir, upstream) = (TestDir::new("b1"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(PATIENT).start();
    let styles: Vec<Style> =
        (0..64).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect();
    warm(&daemon);
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(0));
    load.await_answers(500);
    for number in 1..=3 {
        reload(&daemon, &titled_map(&upstream, &format!("Round {number}")));
        load.await_answers(500);
    }
    let tally = load.stop();
    eprintln!("{tally:?}");
    tally.check();
    daemon.stop();
}

/// A SIGHUP every tenth of a second under load.
pub fn pile_up(name: &str, length: Duration) {
    let seed = seed(name);
    let (dir, upstream) = (TestDir::new(name), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream))
        .daemon_yaml("limits: {drain_idle_ms: 10000, generations_max: 3}\n")
        .start();
    let styles: Vec<Style> =
        (0..12).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect();
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(0));
    load.await_answers(200);
    let resident = |pids: &[u32]| pids.iter().map(|pid| silent::resident_kib(*pid)).sum::<u64>();
    let (mut most, mut most_kib) = (0, 0);
    let one_kib = resident(&daemon.workers()) / 2;
    let began = Instant::now();
    while began.elapsed() < length {
        daemon.signal(Signal::SIGHUP);
        // The pace is the case's own.
        std::thread::park_timeout(Duration::from_millis(100));
        let workers = daemon.workers();
        (most, most_kib) = (most.max(workers.len()), most_kib.max(resident(&workers)));
    }
    // Two workers of three generations, and a probe.
    assert!(most <= 7, "{most} processes at once");
    assert!(most_kib <= 7 * (2 * one_kib + 64 * 1024), "{most_kib} KiB in all, {one_kib} KiB in one");
    let title = "After all";
    reload(&daemon, &titled_map(&upstream, title));
    await_title(&daemon, title);
    let tally = load.stop();
    eprintln!(
        "{most} processes and {most_kib} KiB at most, {} reloads; {tally:?}",
        count_in_log(&daemon, RELOADED)
    );
    tally.check();
    daemon.await_workers(2, &[]);
    daemon.stop();
}

#[test]
fn b2_reloads_on_top_of_each_other_pile_up_nothing() {
    pile_up("b2", Duration::from_secs(10));
}

#[test]
fn b3_five_hundred_reloads_leave_the_master_as_it_was() {
    let (dir, upstream) = (TestDir::new("b3"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).start();
    let look = || {
        daemon.await_workers(1, &[]);
        let threads = silent::threads(daemon.pid());
        (silent::descriptors(daemon.pid()), threads, silent::resident_kib(daemon.pid()))
    };
    let reload = |number: usize| {
        daemon.signal(Signal::SIGHUP);
        daemon.await_log(RELOADED, number);
    };
    // The first ones fill what is kept for later.
    (1..=20).for_each(reload);
    let (descriptors, threads, kib) = look();
    let began = Instant::now();
    (21..=520).for_each(reload);
    eprintln!("500 reloads took {:?}", began.elapsed());
    let (_, threads_after, kib_after) = look();
    eprintln!("the master: {kib} KiB, then {kib_after} KiB");
    // The channel of a worker that has just died is closed when it is reaped.
    await_some("no more descriptors than before", || {
        (silent::descriptors(daemon.pid()) <= descriptors).then_some(())
    });
    assert_eq!((threads, threads_after), (1, 1), "the master has one thread");
    assert!(kib_after < kib + 1024, "{kib} KiB grew to {kib_after} KiB");
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn b12_who_does_not_read_is_cut_at_the_end_of_a_drain() {
    let (dir, upstream) = (TestDir::new("b12"), Upstream::start());
    let daemon = Setup::new(&dir, wordy_map(&upstream)).daemon_yaml("limits: {drain_max_ms: 600}\n").start();
    let old = daemon.workers();
    let mut client = daemon.client();
    client
        .send(format!("GET {CAPABILITIES} HTTP/1.1\r\nHost: maps.test\r\n\r\n").repeat(ASKED))
        .expect("asked");
    client.set_patience(PATIENCE);
    client.stream().set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The first answer has begun; the last one finds no room until we read.
    client.stream().peek(&mut [0]).expect("an answer");
    reload(&daemon, &titled_map(&upstream, "New"));
    daemon.await_log("cut at the end of the drain", 1);
    daemon.await_workers(2, &old);
    assert_ne!(client.read_to_end().1, End::Timeout);
    daemon.stop();
}

#[test]
fn b4_each_broken_file_is_refused_by_line_and_the_next_good_one_works() {
    let (dir, upstream) = (TestDir::new("b4"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let workers = daemon.workers();
    for (number, (name, ..)) in BROKEN.iter().enumerate() {
        let (map, line, reason) = broken_map(&upstream, number);
        daemon.replace(&daemon.map, &map);
        check_refusal(&reload_in_vain(&daemon), line, reason);
        assert_eq!(daemon.workers(), workers, "{name}: the same workers serve");
    }
    // Every error at once, also across keys.
    let two = painted_map(&upstream).replacen("grids: [GLOBAL_WEBMERCATOR]", "grids: [nowhere]", 1).replacen(
        "    type: wms\n",
        "    type: wmz\n",
        1,
    );
    daemon.replace(&daemon.map, &two);
    let told = reload_in_vain(&daemon);
    check_refusal(&told, 13, "wmz");
    check_refusal(&told, 10, "nowhere");
    // A coverage that is not there is named with the key that wants it.
    let coverage = painted_map(&upstream) + "    coverage: {datasource: nothing.geojson, srs: 'EPSG:4326'}\n";
    daemon.replace(&daemon.map, &coverage);
    let told = reload_in_vain(&daemon);
    check_refusal(&told, 16, "nothing.geojson");
    // A file that is not there at all.
    std::fs::remove_file(&daemon.map).expect("the map goes");
    assert!(reload_in_vain(&daemon).contains("mapproxy.yaml"));
    assert_eq!(daemon.workers(), workers);
    check_tile(&daemon, 17, 11);
    reload(&daemon, &titled_map(&upstream, "Well again"));
    await_title(&daemon, "Well again");
    daemon.stop();
}

#[test]
fn b5_bombs_cost_the_probe_and_not_the_master() {
    let (dir, upstream) = (TestDir::new("b5"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let workers = daemon.workers();
    let before_kib = silent::resident_kib(daemon.pid());
    let laughs: String =
        std::iter::once("l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned())
            .chain((1..12).map(|n| {
                let alias = format!("*l{}", n - 1);
                format!("l{n}: &l{n} [{}]\n", vec![alias; 10].join(", "))
            }))
            .collect();
    let merges: String = std::iter::once("m0: &m0 {a: 1, b: 2}\n".to_owned())
        .chain((1..40).map(|n| format!("m{n}: &m{n} {{x: *m{0}, y: *m{0}, <<: *m{0}}}\n", n - 1)))
        .collect();
    for (name, bomb) in [
        ("a billion laughs", laughs),
        ("merges of merges", merges),
        ("deep lists", format!("layers: {}", "[".repeat(1_000_000))),
        ("deep maps", format!("layers: {}", "{a: ".repeat(500_000))),
        ("deep blocks", (0..3_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("64 MiB", format!("layers: '{}'\n", "x".repeat(64 * 1024 * 1024))),
        ("bytes", (0..=255_u8).map(|b| format!("\\x{b:02x}{}", char::from(b))).collect()),
    ] {
        daemon.replace(&daemon.map, &bomb);
        let began = Instant::now();
        let told = reload_in_vain(&daemon);
        eprintln!("{name}: {:?} {:.200}", began.elapsed(), told);
        assert_eq!(daemon.workers(), workers, "{name}");
    }
    let grown_kib = silent::resident_kib(daemon.pid()).saturating_sub(before_kib);
    assert!(grown_kib < 16 * 1024, "the master grew by {grown_kib} KiB");
    reload(&daemon, &titled_map(&upstream, "Well again"));
    daemon.stop();
}

#[test]
fn b6_workers_live_on_the_bytes_that_were_checked() {
    let (dir, upstream) = (TestDir::new("b6"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    reload(&daemon, &titled_map(&upstream, "As checked"));
    await_title(&daemon, "As checked");
    // From here on the disk says something else; nobody has checked it.
    daemon.replace(&daemon.map, "layers: [");
    daemon.replace(&daemon.config, "maps: [");
    let before = daemon.await_workers(2, &[]);
    for worker in &before {
        kill(Pid::from_raw(*worker as i32), Signal::SIGKILL).expect("a worker");
    }
    daemon.await_workers(2, &before);
    assert!(daemon.get(CAPABILITIES).text().contains("As checked"));
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn b7_a_fifo_for_a_file_is_refused_in_time() {
    let (dir, upstream) = (TestDir::new("b7"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml("limits: {probe_ms: 10000}\n").start();
    let fifo = dir.join("base.yaml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    daemon.replace(&daemon.map, &format!("base: {}\n{}", fifo.display(), painted_map(&upstream)));
    eprintln!("{}", reload_in_vain(&daemon));
    std::fs::remove_file(&fifo).expect("the FIFO goes");
    check_tile(&daemon, 17, 11);
    reload(&daemon, &titled_map(&upstream, "Well again"));
    daemon.stop();
}

#[test]
fn b8_listeners_come_and_go_and_others_are_untouched() {
    let (dir, upstream) = (TestDir::new("b8"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let config = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
    let path = dir.join("http.socket");
    let both = config.replace("listen:\n", &format!("listen:\n  - http: {}\n", path.display()));
    daemon.replace(&daemon.config, &both);
    reload(&daemon, &painted_map(&upstream));
    let mut stream = UnixStream::connect(&path).expect("the new socket is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {} HTTP/1.0\r\n\r\n", tile(17, 11));
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:.200}", String::from_utf8_lossy(&answer));
    check_tile(&daemon, 17, 11);
    daemon.replace(&daemon.config, &config);
    reload(&daemon, &painted_map(&upstream));
    assert!(UnixStream::connect(&path).is_err(), "the removed socket refuses");
    assert!(!path.exists());
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn b9_a_port_that_is_taken_is_refused_and_nothing_changes() {
    let (dir, upstream) = (TestDir::new("b9"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let config = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
    let path = dir.join("http.socket");
    let more = format!("listen:\n  - http: {}\n  - http: {}\n", path.display(), upstream.address);
    daemon.replace(&daemon.config, &config.replace("listen:\n", &more));
    let workers = daemon.workers();
    let told = reload_in_vain(&daemon);
    assert!(told.contains(&upstream.address.to_string()), "{told}");
    assert!(!path.exists(), "the other new listener is closed again");
    assert_eq!(daemon.workers(), workers);
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn b10_a_render_under_way_ends_well_in_the_old_worker() {
    let (dir, upstream) = (TestDir::new("b10"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let old = daemon.workers();
    upstream.hold();
    let mut client = daemon.client();
    client.send_get(&tile(17, 11)).expect("sent");
    upstream.await_count(1);
    reload(&daemon, &titled_map(&upstream, "New"));
    let holder = sockets::await_holder(&client, &old);
    assert!(silent::children(daemon.pid()).contains(&holder), "the old worker stays for it");
    upstream.release();
    let reply = client.read_reply(false).expect("the answer");
    assert_eq!(reply.status, 200);
    assert!(reply.closes());
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    assert_eq!(client.read_to_end(), (Vec::new(), End::Fin));
    daemon.await_workers(2, &old);
    daemon.stop();
}

#[test]
fn b11_idle_connections_are_served_or_end_cleanly() {
    let (dir, upstream) = (TestDir::new("b11"), Upstream::start());
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).daemon_yaml("limits: {drain_idle_ms: 5000}\n").start();
    check_tile(&daemon, 17, 11);
    let mut clients: Vec<Client> = (0..40).map(|_| daemon.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get(&tile(17, 11)).expect("an answer").status, 200);
    }
    reload(&daemon, &titled_map(&upstream, "New"));
    // Some ask at once, some one after the other as the deadlines come, some never again.
    let mut served = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        let pause = match number {
            ..10 => Duration::from_millis(1),
            10..30 => Duration::from_millis(400),
            _ => PATIENCE,
        };
        client.set_patience(pause);
        match client.read_reply(false) {
            Err(End::Timeout) if pause < PATIENCE => {}
            Err(End::Fin) => continue,
            other => panic!("{other:?} on an idle connection"),
        }
        client.set_patience(PATIENCE);
        client.send_get(&tile(17, 11)).expect("sent");
        match client.read_reply(false) {
            Ok(reply) => {
                assert!(reply.status == 200 && reply.closes(), "{}", reply.status);
                served += 1;
            }
            Err(End::Fin) => {}
            Err(end) => panic!("an idle connection ended with {end:?}"),
        }
    }
    assert!(served > 0, "who asks in time is served");
    daemon.stop();
}

#[test]
fn b13_pipelined_requests_are_answered_in_order() {
    let (dir, upstream) = (TestDir::new("b13"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    check_tile(&daemon, 17, 11);
    upstream.hold();
    let mut client = daemon.client();
    // The first is not in the cache and waits; the others lie behind it.
    let order = [(1, 1), (17, 11), (16, 10), (18, 9)];
    let get = |(column, row)| format!("GET {} HTTP/1.1\r\nHost: maps.test\r\n\r\n", tile(column, row));
    client.send(order.map(get).concat()).expect("sent");
    upstream.await_count(2);
    reload(&daemon, &titled_map(&upstream, "New"));
    upstream.release();
    for (number, (column, row)) in order.into_iter().enumerate() {
        let reply = client.read_reply(false).expect("each is answered");
        assert_eq!(reply.status, 200);
        painted::check(&reply.body, 5, column, row).expect("in the order of the requests");
        assert_eq!(reply.closes(), number == order.len() - 1, "the last one says close: {number}");
    }
    assert_eq!(client.read_to_end(), (Vec::new(), End::Fin));
    daemon.stop();
}

#[test]
fn b15_quit_answers_what_is_accepted_and_what_waits() {
    let (dir, upstream) = (TestDir::new("b15"), Upstream::start());
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).daemon_yaml("limits: {drain_idle_ms: 200}\n").start();
    check_tile(&daemon, 17, 11);
    upstream.hold();
    let mut accepted: Vec<Client> = (0..4).map(|_| daemon.client()).collect();
    for client in &mut accepted {
        client.send_get(&tile(1, 1)).expect("sent");
    }
    upstream.await_count(2);
    let workers = daemon.workers();
    for client in &accepted {
        sockets::await_holder(client, &workers);
    }
    // While nobody runs, connections pile up in the kernel.
    let tell =
        |signal| workers.iter().for_each(|w| kill(Pid::from_raw(*w as i32), signal).expect("a worker"));
    tell(Signal::SIGSTOP);
    let mut waiting: Vec<Client> = (0..24).map(|_| daemon.client()).collect();
    for client in &mut waiting {
        client.send_get(&tile(17, 11)).expect("sent");
    }
    daemon.signal(Signal::SIGQUIT);
    daemon.await_log("after the last request", 1);
    tell(Signal::SIGCONT);
    upstream.release();
    for (client, column, row) in
        accepted.iter_mut().map(|c| (c, 1, 1)).chain(waiting.iter_mut().map(|c| (c, 17, 11)))
    {
        let reply = client.read_reply(false).expect("everything accepted is answered");
        assert_eq!(reply.status, 200);
        painted::check(&reply.body, 5, column, row).expect("the right tile");
        assert_eq!(client.read_to_end(), (Vec::new(), End::Fin));
    }
    assert_eq!(daemon.await_end(), Some(0));
}

#[test]
fn b16_term_under_load_leaves_nothing_behind() {
    let seed = seed("b16");
    let (dir, upstream) = (TestDir::new("b16"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let load = Load::start(daemon.address, seed, &[Style::KeepAlive { depth: 2 }; 8], tiles_and_maps(2));
    load.await_answers(40);
    let began = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.await_end(), Some(0));
    eprintln!("from TERM to the end: {:?}", began.elapsed());
    let tally = load.stop();
    assert_eq!(
        (tally.wrong, tally.status_5xx, tally.status_other, tally.timeouts),
        (0, 0, 0, 0),
        "{tally:?}"
    );
    check_cache(&dir);
}

/// Every stored picture is whole.
pub fn check_cache(dir: &TestDir) {
    let tiles: Vec<_> =
        dir.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "png")).collect();
    assert!(!tiles.is_empty(), "tiles were stored");
    for path in tiles {
        let bytes = std::fs::read(&path).expect("a stored tile");
        let limits = rhumb::render::DecodeLimits::default();
        assert!(rhumb::render::decode(&bytes, &limits).is_ok(), "{} is torn", path.display());
    }
}

#[test]
fn b17_term_after_quit_goes_faster() {
    let (dir, upstream) = (TestDir::new("b17"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    upstream.hold();
    let mut client = daemon.client();
    client.send_get(&tile(17, 11)).expect("sent");
    upstream.await_count(1);
    daemon.signal(Signal::SIGQUIT);
    daemon.await_log("after the last request", 1);
    daemon.signal(Signal::SIGTERM);
    // The upstream never answers, and the daemon does not wait for it.
    assert_eq!(daemon.await_end(), Some(0));
    assert!(client.read_reply(false).is_err());
    upstream.release();
}

/// Runs the program to its end; exit code and everything it printed.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rhumb"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let status = await_some("the program to end", || child.try_wait().ok().flatten());
    let mut text = String::new();
    let _ = child.stdout.take().expect("piped").read_to_string(&mut text);
    let _ = child.stderr.take().expect("piped").read_to_string(&mut text);
    (status.code(), text)
}

#[test]
fn b29_a_second_start_on_the_port_fails_and_harms_nobody() {
    let (dir, upstream) = (TestDir::new("b29"), Upstream::start());
    let pid_file = dir.join("rhumb.pid");
    let yaml = format!("pid_file: {}\n", pid_file.display());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&yaml).start();
    let pid = daemon.pid().to_string();
    assert_eq!(std::fs::read_to_string(&pid_file).expect("the pid file").trim(), pid);
    let config = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
    let same_port =
        config.replace("127.0.0.1:0", &daemon.address.to_string()).replace("error.log", "second.log");
    let second = dir.write("second.yaml", &same_port);
    let (code, told) = run(&["serve", "-c", second.to_str().expect("a path")]);
    let told = told + &std::fs::read_to_string(dir.join("second.log")).unwrap_or_default();
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains(&daemon.address.to_string()), "{told}");
    assert_eq!(std::fs::read_to_string(&pid_file).expect("the pid file").trim(), pid);
    // Another port, the same pid file.
    let second = dir.write("second.yaml", config.replace("error.log", "second.log"));
    let (code, told) = run(&["serve", "-c", second.to_str().expect("a path")]);
    assert_eq!(code, Some(3), "{told}");
    assert_eq!(std::fs::read_to_string(&pid_file).expect("the pid file").trim(), pid);
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn exit_codes_tell_why() {
    let (dir, upstream) = (TestDir::new("exit-codes"), Upstream::start());
    let map = painted_map(&upstream);
    let good_map = dir.write("good.yaml", &map);
    let bad_map = dir.write("bad.yaml", map.replace("sources: [mock]", "sources: [mokc]"));
    let daemon_file = |name: &str, map: &std::path::Path, listen: &str| {
        let text = format!("maps: {}\nlisten: [{{http: '{listen}'}}]\nworkers: 1\n", map.display());
        dir.write(name, text).display().to_string()
    };
    let bad = daemon_file("bad-map.yaml", &bad_map, "127.0.0.1:0");
    let unknown =
        dir.write("unknown.yaml", "listen: [{http: '127.0.0.1:0'}]\nwrokers: 2\n").display().to_string();
    let taken = daemon_file("taken.yaml", &good_map, &upstream.address.to_string());
    let absent = dir.join("absent.yaml").display().to_string();
    let good = good_map.display().to_string();
    let bad_map = bad_map.display().to_string();
    for (arguments, code, word) in [
        (vec!["--help"], 0, "Usage"),
        (vec!["--version"], 0, "rhumb"),
        (vec!["serv"], 1, "serv"),
        (vec!["serve"], 1, "--config"),
        (vec!["serve", "-c"], 1, ""),
        (vec!["develop", "--bind", "nowhere"], 1, "nowhere"),
        (vec!["check", &good], 0, ""),
        (vec!["check", &bad_map], 2, "bad.yaml:10:"),
        (vec!["serve", "-c", &bad], 2, "bad.yaml:10:"),
        (vec!["serve", "-c", &unknown], 2, "workers"),
        (vec!["serve", "-c", &absent], 2, "absent.yaml"),
        (vec!["develop", "--bind", "0", &bad_map], 2, "mokc"),
        (vec!["serve", "-c", &taken], 3, &upstream.address.to_string()),
    ] {
        let (got, told) = run(&arguments);
        assert_eq!(got, Some(code), "{arguments:?}\n{told}");
        assert!(told.contains(word), "{arguments:?}: no {word:?} in\n{told}");
    }
}

#[test]
fn develop_reloads_by_itself_and_keeps_the_last_good_file() {
    let (dir, upstream) = (TestDir::new("develop"), Upstream::start());
    let map = dir.write("mapproxy.yaml", painted_map(&upstream));
    let daemon = Daemon::develop(&dir, &map);
    await_title(&daemon, "Painted");
    daemon.replace(&map, &titled_map(&upstream, "Edited once"));
    await_title(&daemon, "Edited once");
    let (broken, line, reason) = broken_map(&upstream, 0);
    daemon.replace(&map, &broken);
    daemon.await_log(REFUSED, 1);
    check_refusal(&daemon.log(), line, reason);
    check_tile(&daemon, 17, 11);
    assert!(daemon.get(CAPABILITIES).text().contains("Edited once"));
    daemon.replace(&map, &titled_map(&upstream, "Edited twice"));
    await_title(&daemon, "Edited twice");
    daemon.stop();
}
