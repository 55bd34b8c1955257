//! Deaths and signals of processes (issue criterion 7; reliability.md, group
//! A): who dies is replaced, nobody waits on what the dead one held, and what
//! is stored stays whole.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, Target};
use crate::harness::{
    Client, Daemon, End, Random, TestDir, Upstream, await_some, painted, seed, silent, sockets,
};
use crate::reload::{check_cache, tile};
use crate::smoke::painted_map;

const RELOADED: &str = "reloaded: generation";
const CHECKING: &str = "checking the configuration";

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).expect("the process is there");
}

/// A connection that this worker holds, and the others that were opened until
/// one came to it.
fn client_of(daemon: &Daemon, worker: u32) -> (Client, Vec<Client>) {
    let mut others = Vec::new();
    let client = await_some(&format!("worker {worker} to take a connection"), || {
        let client = daemon.client();
        if sockets::await_holder(&client, &daemon.workers()) == worker {
            return Some(client);
        }
        others.push(client);
        None
    });
    (client, others)
}

/// Waits until as many workers as there were stand again and each serves.
fn await_replacement(daemon: &Daemon, dead: &[u32], count: usize) -> Duration {
    let began = Instant::now();
    let workers = daemon.await_workers(count, dead);
    for worker in workers {
        let (mut client, _others) = client_of(daemon, worker);
        assert_eq!(client.get("/nothing").expect("an answer").status, 404);
    }
    began.elapsed()
}

fn check_tile(client: &mut Client, column: u32, row: u32) {
    let reply = client.read_reply(false).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, column, row).expect("the right tile");
}

#[test]
fn a1_a_worker_killed_while_it_renders_is_replaced_and_waiters_get_their_tile() {
    let (dir, upstream) = (TestDir::new("a1"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let [first, second] = daemon.workers()[..] else { panic!("two workers") };
    upstream.hold();
    let (mut victim, _others) = client_of(&daemon, first);
    victim.send_get(&tile(17, 11)).expect("sent");
    upstream.await_count(1);
    // Another tile of the same meta tile, in the other worker.
    let (mut waiter, _others) = client_of(&daemon, second);
    waiter.send_get(&tile(18, 10)).expect("sent");
    let began = Instant::now();
    send(first, Signal::SIGKILL);
    assert!(matches!(victim.read_reply(false), Err(End::Fin | End::Reset)));
    upstream.await_count(2);
    eprintln!("the waiter has the lock {:?} after the kill", began.elapsed());
    let took = await_replacement(&daemon, &[first], 2);
    eprintln!("the replacement serves after {took:?}");
    upstream.release();
    check_tile(&mut waiter, 18, 10);
    let mut again = daemon.client();
    again.send_get(&tile(17, 11)).expect("sent");
    check_tile(&mut again, 17, 11);
    assert_eq!(upstream.count(), 2, "the second attempt made both");
    daemon.await_log("was ended by SIGKILL", 1);
    check_cache(&dir);
    daemon.stop();
}

#[test]
fn a2_the_lock_of_a_dead_worker_is_free_at_once() {
    let (dir, upstream) = (TestDir::new("a2"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    for round in 0..4 {
        upstream.hold();
        let mut victim = daemon.client();
        let (column, row) = (1 + 4 * round, 1);
        victim.send_get(&tile(column, row)).expect("sent");
        upstream.await_count(2 * round as usize + 1);
        let workers = daemon.await_workers(2, &[]);
        let worker = sockets::await_holder(&victim, &workers);
        send(worker, Signal::SIGKILL);
        assert!(matches!(victim.read_reply(false), Err(End::Fin | End::Reset)));
        upstream.release();
        let began = Instant::now();
        let mut next = daemon.client();
        next.send_get(&tile(column, row)).expect("sent");
        check_tile(&mut next, column, row);
        eprintln!("the next request for the tile took {:?}", began.elapsed());
        daemon.await_workers(2, &[worker]);
    }
    daemon.stop();
}

#[test]
fn a3_all_workers_killed_twenty_times_come_back() {
    let (dir, upstream) = (TestDir::new("a3"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let mut dead = Vec::new();
    let mut took = Vec::new();
    for _ in 0..20 {
        let workers = daemon.await_workers(2, &dead);
        workers.iter().for_each(|worker| send(*worker, Signal::SIGKILL));
        dead = workers;
        let began = Instant::now();
        daemon.await_workers(2, &dead);
        took.push(began.elapsed());
    }
    took.sort();
    eprintln!("from the kill to two new processes: median {:?}, longest {:?}", took[10], took[19]);
    eprintln!("the last ones serve after {:?}", await_replacement(&daemon, &dead, 2));
    assert!(daemon.log().contains("the next is forked in"), "the back-off is in the log");
    let mut client = daemon.client();
    client.send_get(&tile(17, 11)).expect("sent");
    check_tile(&mut client, 17, 11);
    daemon.stop();
}

#[test]
fn a4_workers_of_a_killed_master_finish_and_leave_the_port() {
    let (dir, upstream) = (TestDir::new("a4"), Upstream::start());
    let yaml = format!("pid_file: {}\nlimits: {{drain_idle_ms: 200}}\n", dir.join("pid").display());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&yaml).start();
    upstream.hold();
    let mut busy = daemon.client();
    busy.send_get(&tile(17, 11)).expect("sent");
    upstream.await_count(1);
    let mut idle = daemon.client();
    assert_eq!(idle.get("/nothing").expect("an answer").status, 404);
    send(daemon.pid(), Signal::SIGKILL);
    daemon.await_log("the master is gone", 2);
    upstream.release();
    let reply = busy.read_reply(false).expect("what is under way is answered");
    assert!(reply.status == 200 && reply.closes(), "{}", reply.status);
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    assert_eq!(idle.read_to_end(), (Vec::new(), End::Fin));
    let address = daemon.address;
    assert_eq!(daemon.await_end(), None, "ended by the signal");
    TcpListener::bind(address).expect("the port is free");
    // The pid file of the dead one does not keep the next from starting.
    assert!(dir.join("pid").exists());
    let next = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&yaml).start();
    assert_eq!(next.get(&tile(17, 11)).status, 200);
    next.stop();
    assert!(!dir.join("pid").exists());
}

#[test]
fn a5_a_worker_that_stands_still_is_replaced() {
    let (dir, upstream) = (TestDir::new("a5"), Upstream::start());
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).daemon_yaml("limits: {loop_stuck_ms: 4000}\n").start();
    let [first, second] = daemon.workers()[..] else { panic!("two workers") };
    let (mut held, others) = client_of(&daemon, first);
    drop(others);
    assert_eq!(held.get("/nothing").expect("an answer").status, 404);
    send(first, Signal::SIGSTOP);
    held.send_get("/nothing").expect("sent");
    // New connections go to the other one meanwhile.
    for _ in 0..8 {
        assert_eq!(daemon.get("/nothing").status, 404);
    }
    daemon.await_log("has not moved for", 1);
    assert!(matches!(held.read_reply(false), Err(End::Fin | End::Reset)), "its client does not hang");
    let workers = daemon.await_workers(2, &[first]);
    assert!(workers.contains(&second), "the other one stays");
    await_replacement(&daemon, &[first], 2);
    daemon.stop();
}

#[test]
fn a7_a_master_that_slept_kills_nobody() {
    let (dir, upstream) = (TestDir::new("a7"), Upstream::start());
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).daemon_yaml("limits: {loop_stuck_ms: 4000}\n").start();
    let workers = daemon.workers();
    send(daemon.pid(), Signal::SIGSTOP);
    // Longer than a worker may stand still; served throughout.
    let began = Instant::now();
    let mut quiet = daemon.client();
    quiet.set_patience(Duration::from_millis(100));
    while began.elapsed() < Duration::from_millis(6_500) {
        assert_eq!(daemon.get(&tile(17, 11)).status, 200);
        assert_eq!(quiet.read_reply(false).expect_err("nothing was asked"), End::Timeout);
    }
    send(daemon.pid(), Signal::SIGCONT);
    daemon.signal(Signal::SIGHUP);
    daemon.await_log(RELOADED, 1);
    let log = daemon.log();
    assert!(!log.contains("has not moved") && !log.contains("forked in"), "{log}");
    daemon.await_workers(2, &workers);
    daemon.stop();
}

#[test]
fn a8_workers_that_die_at_the_start_end_it_with_a_reason() {
    let upstream = Upstream::start();
    for (action, word) in [("abort", "ABRT"), ("exit", "7"), ("eio", "4")] {
        let dir = TestDir::new("a8");
        let started = Setup::new(&dir, painted_map(&upstream))
            .env("RHUMB_FAIL", &format!("worker.start:*:{action}"))
            .try_start();
        let Err((code, log)) = started else { panic!("{action}: it started") };
        assert_eq!(code, Some(3), "{action}\n{log}");
        assert!(log.contains("cannot start") && log.contains(word), "{action}\n{log}");
    }
}

#[test]
fn a9_workers_that_die_in_a_reload_leave_the_old_ones_serving() {
    let (dir, upstream) = (TestDir::new("a9"), Upstream::start());
    let fail = dir.write("fail", "");
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).env("RHUMB_FAIL", &format!("@{}", fail.display())).start();
    let workers = daemon.workers();
    for (round, (action, place)) in [
        ("abort", "worker.start"),
        ("exit", "worker.start"),
        ("kill", "worker.start"),
        ("abort", "probe.start"),
        ("exit", "probe.start"),
    ]
    .into_iter()
    .enumerate()
    {
        daemon.replace(&fail, &format!("{place}:*:{action}"));
        daemon.signal(Signal::SIGHUP);
        daemon.await_log("reload refused, generation 1 serves on", round + 1);
        assert_eq!(daemon.await_workers(2, &[]), workers, "{place} {action}: the old ones stay");
        assert_eq!(daemon.get(&tile(17, 11)).status, 200);
    }
    daemon.replace(&fail, "");
    daemon.signal(Signal::SIGHUP);
    daemon.await_log(RELOADED, 1);
    daemon.await_workers(2, &workers);
    daemon.stop();
}

/// The delays in "the next is forked in N ms".
fn delays_ms(log: &str) -> Vec<u64> {
    log.split("the next is forked in ")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next()?.parse().ok())
        .collect()
}

const DAY_MS: u64 = 86_400_000;

/// When, in milliseconds of the day, each line that holds `text` was written.
fn stamps_ms(log: &str, text: &str) -> Vec<u64> {
    let of_line = |line: &str| {
        let (_, time) = line.split_once("\"time\":\"")?.1.split_once('T')?;
        let mut parts = time.get(..12)?.split([':', '.']).map(str::parse::<u64>);
        let mut next = || parts.next()?.ok();
        let (hours, minutes, seconds, ms) = (next()?, next()?, next()?, next()?);
        Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms)
    };
    log.lines().filter(|line| line.contains(text)).map(|line| of_line(line).expect("a time")).collect()
}

#[test]
fn a10_a_worker_that_crashes_again_and_again_costs_ever_less() {
    let (dir, upstream) = (TestDir::new("a10"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let [_, stays] = daemon.workers()[..] else { panic!("two workers") };
    assert_eq!(daemon.get(&tile(17, 11)).status, 200);
    for _ in 0..4 {
        let workers = daemon.await_workers(2, &[]);
        let crashing = *workers.iter().find(|worker| **worker != stays).expect("the other one");
        // As a bug would end it; SIGKILL comes from outside and is forgiven sooner.
        send(crashing, Signal::SIGABRT);
        await_some("the crashed one to be gone", || (!daemon.workers().contains(&crashing)).then_some(()));
        assert_eq!(daemon.get(&tile(17, 11)).status, 200, "the other one serves");
    }
    // At most one line a second: it speaks for several deaths where they come faster.
    daemon.await_log("the next is forked in", 1);
    let stamps = stamps_ms(&daemon.log(), "the next is forked in");
    let gaps: Vec<u64> = stamps.windows(2).map(|pair| (pair[1] + DAY_MS - pair[0]) % DAY_MS).collect();
    assert!(gaps.iter().all(|gap| *gap >= 990), "{gaps:?} ms between lines");
    let delays = delays_ms(&daemon.log());
    eprintln!("delays: {delays:?} ms");
    assert!(delays.windows(2).all(|pair| pair[0] < pair[1]), "{delays:?}");
    let began = Instant::now();
    daemon.stop();
    eprintln!("TERM during a back-off took {:?}", began.elapsed());
}

#[test]
fn a20_signals_to_a_worker_do_not_move_the_master() {
    let (dir, upstream) = (TestDir::new("a20"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).start();
    let worker = daemon.workers()[0];
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGPIPE,
    ] {
        send(worker, signal);
        assert_eq!(daemon.get(&tile(17, 11)).status, 200, "{signal}");
        assert_eq!(daemon.workers(), [worker], "{signal}");
    }
    assert!(!daemon.log().contains(CHECKING), "{}", daemon.log());
    // USR1: the worker writes to the new file, not to the renamed one.
    std::fs::rename(dir.join("access.log"), dir.join("access.log.1")).expect("rotated");
    send(worker, Signal::SIGUSR1);
    await_some("the new access log", || dir.join("access.log").exists().then_some(()));
    daemon.get("/after-the-rotation");
    await_some("the request in the new log", || {
        daemon.access_log().contains("after-the-rotation").then_some(())
    });
    // The same asked of the master.
    std::fs::rename(dir.join("access.log"), dir.join("access.log.2")).expect("rotated");
    daemon.signal(Signal::SIGUSR1);
    daemon.await_log("log files reopened", 1);
    await_some("a request in the new log", || {
        daemon.get("/after-the-second");
        daemon.access_log().contains("after-the-second").then_some(())
    });
    // The master leaves alone what asks nothing of it.
    daemon.signal(Signal::SIGPIPE);
    assert_eq!(daemon.get(&tile(17, 11)).status, 200);
    assert_eq!(daemon.workers(), [worker]);
    daemon.stop();
}

/// Starts the program from a shell that does something odd before; waits until
/// it is ready, hands its pid and address over, and ends it.
fn with_shell(dir: &TestDir, prelude: &str, check: impl FnOnce(u32, SocketAddr)) {
    let upstream = Upstream::start();
    let map = dir.write("mapproxy.yaml", painted_map(&upstream));
    let log = dir.join("error.log");
    let text = format!(
        "maps: {}\nlisten: [{{http: '127.0.0.1:0'}}]\nworkers: 1\nlog: {{error: {}, format: json}}\n",
        map.display(),
        log.display()
    );
    let config = dir.write("rhumb.yaml", text);
    let script = format!("{prelude}\nexec '{}' serve -c '{}'", env!("CARGO_BIN_EXE_rhumb"), config.display());
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("bash");
    let read_log = || std::fs::read_to_string(&log).unwrap_or_default();
    let address = await_some("the daemon to be ready", || {
        let text = read_log();
        let (_, rest) = text.split_once("ready: ")?;
        rest.split_once("http://")?.1.split('/').next()?.parse().ok()
    });
    check(child.id(), address);
    send(child.id(), Signal::SIGTERM);
    let status = await_some("the daemon to end", || child.try_wait().ok().flatten());
    assert_eq!(status.code(), Some(0), "{}", read_log());
    assert!(silent::group(child.id()).is_empty());
    silent::check_log(&read_log());
}

fn descriptor(pid: u32, number: u32) -> String {
    std::fs::read_link(format!("/proc/{pid}/fd/{number}"))
        .map_or_else(|_| "closed".to_owned(), |path| path.display().to_string())
}

#[test]
fn a23_closed_standard_descriptors_do_no_harm() {
    let dir = TestDir::new("a23");
    with_shell(&dir, "exec 0<&- 1>&- 2>&-", |pid, address| {
        let worker = silent::children(pid)[0];
        for number in 0..3 {
            assert_eq!(descriptor(pid, number), "/dev/null", "of the master, {number}");
            assert_eq!(descriptor(worker, number), "/dev/null", "of the worker, {number}");
        }
        let mut client = Client::connect(address).expect("it accepts");
        client.send_get(&tile(17, 11)).expect("sent");
        check_tile(&mut client, 17, 11);
    });
}

#[test]
fn a24_inherited_descriptors_reach_no_worker() {
    let dir = TestDir::new("a24");
    let open = "for n in $(seq 20 900); do eval \"exec $n</etc/passwd\"; done";
    with_shell(&dir, open, |pid, address| {
        let worker = silent::children(pid)[0];
        let leaked = |pid: u32| (3..1_000).filter(|n| descriptor(pid, *n) == "/etc/passwd").count();
        assert_eq!(leaked(worker), 0);
        let mut client = Client::connect(address).expect("it accepts");
        client.send_get(&tile(17, 11)).expect("sent");
        check_tile(&mut client, 17, 11);
    });
}

#[test]
fn a18_without_descriptors_connections_wait_and_are_served_later() {
    let dir = TestDir::new("a18");
    with_shell(&dir, "ulimit -n 64", |pid, address| {
        let worker = silent::children(pid)[0];
        let mut clients: Vec<Client> =
            (0..200).map(|_| Client::connect(address).expect("the kernel accepts")).collect();
        for client in &mut clients {
            let request = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", tile(17, 11));
            client.send(request).expect("the kernel takes it");
        }
        let log = || std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
        let before = sockets::processor_ticks(worker);
        let began = Instant::now();
        let (mut served, mut turned_away) = (0, 0);
        for client in &mut clients {
            match client.read_reply(false) {
                Ok(reply) if reply.status == 200 => served += 1,
                Ok(reply) => panic!("{}: {}", reply.status, reply.text()),
                Err(End::Timeout | End::Open) => panic!("a client was forgotten"),
                Err(End::Fin | End::Reset) => turned_away += 1,
            }
        }
        let ticks = sockets::processor_ticks(worker) - before;
        eprintln!("{served} served, {turned_away} turned away in {:?}, {ticks} ticks", began.elapsed());
        assert_eq!((served, turned_away), (200, 0), "{}", log());
        assert_eq!(silent::children(pid), [worker], "nobody died of it");
        drop(clients);
        let mut client = Client::connect(address).expect("it accepts");
        client.send_get(&tile(18, 11)).expect("sent");
        check_tile(&mut client, 18, 11);
    });
}

#[test]
fn the_replacement_of_a_dead_worker_gets_its_share_of_kept_connections() {
    let seed = seed("share");
    let (dir, upstream) = (TestDir::new("share"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let load = Load::start(daemon.address, seed, &[Style::KeepAlive { depth: 1 }; 16], |random| {
        Target::tile(5, random.between(16, 20) as u32, random.between(8, 12) as u32)
    });
    load.await_answers(64);
    let dead = daemon.workers()[0];
    send(dead, Signal::SIGKILL);
    let workers = daemon.await_workers(2, &[dead]);
    let split = await_some("both workers to hold a share", || {
        let split = sockets::connections(daemon.address.port(), &workers);
        split.iter().all(|count| (6..=10).contains(count)).then_some(split)
    });
    eprintln!("connections after the death: {split:?}");
    let tally = load.stop();
    assert_eq!(tally.faults(), tally.resets + tally.early_ends, "{tally:?}");
    daemon.stop();
}

/// Tiles of a level that is wide enough to make new ones all the time.
fn wide(random: &mut Random) -> Target {
    Target::tile(9, random.between(0, 512) as u32, random.between(0, 512) as u32)
}

#[test]
fn workers_killed_at_any_moment_cost_their_own_requests_only() {
    let seed = seed("kills");
    let (dir, upstream) = (TestDir::new("kills"), Upstream::start());
    // Single tiles, so that there is a store for each request.
    let map = painted_map(&upstream)
        .replace("sources: [mock]}", "sources: [mock], meta_size: [1, 1], meta_buffer: 0}");
    let daemon = Setup::new(&dir, map).start();
    let mut random = Random(seed);
    let styles: Vec<Style> = (0..8).map(|n| Style::KeepAlive { depth: 1 + n % 2 }).collect();
    let load = Load::start(daemon.address, seed, &styles, wide);
    let kills = 12;
    let mut took = Vec::new();
    for _ in 0..kills {
        load.await_answers(random.between(1, 24) as usize);
        let workers = daemon.await_workers(2, &[]);
        let dead = *random.pick(&workers);
        send(dead, Signal::SIGKILL);
        let began = Instant::now();
        daemon.await_workers(2, &[dead]);
        took.push(began.elapsed());
    }
    load.await_answers(32);
    let tally = load.stop();
    took.sort();
    eprintln!(
        "{tally:?}\nfrom the kill to a new process: median {:?}, longest {:?}",
        took[kills / 2],
        took[kills - 1]
    );
    let others = (tally.wrong, tally.status_5xx, tally.status_other, tally.refusals, tally.timeouts);
    assert_eq!(others, (0, 0, 0, 0, 0), "{tally:?}");
    assert!(tally.resets + tally.early_ends <= kills * styles.len(), "{tally:?}");
    // What a killed writer leaves has a name that nobody reads; it is this
    // test that made it.
    for path in dir.files() {
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(&path).expect("a temporary file");
        }
    }
    check_cache(&dir);
    daemon.stop();
}

#[test]
fn a_worker_killed_between_writing_and_renaming_leaves_no_torn_tile() {
    let (dir, upstream) = (TestDir::new("rename-kill"), Upstream::start());
    let fail = dir.write("fail", "");
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).env("RHUMB_FAIL", &format!("@{}", fail.display())).start();
    for (round, place) in ["cache.create", "cache.write", "cache.rename"].into_iter().enumerate() {
        let column = 1 + 4 * round as u32;
        daemon.replace(&fail, &format!("{place}:*:kill"));
        let mut client = daemon.client();
        client.send_get(&tile(column, 1)).expect("sent");
        assert!(matches!(client.read_reply(false), Err(End::Fin | End::Reset)), "{place}");
        daemon.replace(&fail, "");
        let began = Instant::now();
        let mut next = daemon.client();
        next.send_get(&tile(column, 1)).expect("sent");
        check_tile(&mut next, column, 1);
        eprintln!("{place}: the next request took {:?}", began.elapsed());
        daemon.await_workers(2, &[]);
    }
    for path in dir.files() {
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(&path).expect("a temporary file");
        }
    }
    check_cache(&dir);
    daemon.stop();
}
