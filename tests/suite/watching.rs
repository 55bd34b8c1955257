//! How the master watches over its workers (reliability.md, groups A and B):
//! how many there are, when one is replaced in time, and what a request that
//! kills may do.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::{Daemon, End, TestDir, Upstream, await_some, painted, seed};
use crate::reload::tile;
use crate::smoke::painted_map;

fn check_tile(daemon: &Daemon, column: u32, row: u32) {
    let reply = daemon.get(&tile(column, row));
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, column, row).expect("the right tile");
}

#[test]
fn b18_workers_sent_away_come_back() {
    let (dir, upstream) = (TestDir::new("b18"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    for signal in [Signal::SIGTTIN, Signal::SIGHUP] {
        check_tile(&daemon, 17, 11);
        let away = daemon.workers();
        daemon.signal(Signal::SIGWINCH);
        await_some("all workers to be gone", || daemon.workers().is_empty().then_some(()));
        // The sockets stay: who comes now waits, and is served by those that return.
        let mut waiting = daemon.client();
        waiting.send_get(&tile(18, 11)).expect("the kernel takes it");
        daemon.signal(signal);
        let reply = waiting.read_reply(false).expect("an answer by the next workers");
        assert_eq!(reply.status, 200);
        painted::check(&reply.body, 5, 18, 11).expect("the right tile");
        daemon.await_workers(2, &away);
    }
    // A reload that is refused brings them back as they were.
    daemon.signal(Signal::SIGWINCH);
    await_some("all workers to be gone", || daemon.workers().is_empty().then_some(()));
    daemon.replace(&daemon.map, "layers: [");
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reload refused, generation 2 serves on", 1);
    daemon.await_workers(2, &[]);
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn b19_one_more_and_one_less_up_to_the_limits() {
    let (dir, upstream) = (TestDir::new("b19"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let first = daemon.workers();
    daemon.signal(Signal::SIGTTIN);
    let three = daemon.await_workers(3, &[]);
    assert!(first.iter().all(|worker| three.contains(worker)), "those that were there stay");
    for _ in 0..2 {
        daemon.signal(Signal::SIGTTOU);
    }
    // Signals of one kind that wait together are one to the kernel.
    await_some("fewer workers", || (daemon.workers().len() < 3).then_some(()));
    daemon.signal(Signal::SIGTTOU);
    daemon.await_workers(1, &[]);
    daemon.signal(Signal::SIGTTOU);
    daemon.await_log("SIGTTOU ignored: 1 workers", 1);
    check_tile(&daemon, 17, 11);
    assert_eq!(daemon.workers().len(), 1);
    // The configuration's word is good again.
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 2", 1);
    daemon.await_workers(2, &[]);
    // Up to as many as the scoreboard bears.
    let mut asked = 0;
    await_some("the upper limit", || {
        asked += 1;
        daemon.signal(Signal::SIGTTIN);
        daemon.log().contains("SIGTTIN ignored: 128 workers").then_some(())
    });
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 3", 1);
    daemon.await_workers(2, &[]);
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

const REPLACED: &str = ": replaced";

#[test]
fn b28_workers_that_have_served_enough_are_replaced_one_at_a_time() {
    let seed = seed("b28");
    let (dir, upstream) = (TestDir::new("b28"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream))
        .workers(3)
        .daemon_yaml("limits: {requests_max: 100, drain_idle_ms: 10000}\n")
        .start();
    let styles: Vec<Style> =
        (0..12).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect();
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(0));
    // All of them want to leave most of the time.
    let mut most = 0;
    for round in 1..=20 {
        await_some("the next to be replaced", || {
            most = most.max(daemon.workers().len());
            (daemon.log().matches(REPLACED).count() >= round).then_some(())
        });
    }
    load.await_answers(200);
    let tally = load.stop();
    eprintln!("{most} processes at most; {tally:?}");
    tally.check();
    assert!(most <= 4, "{most} processes at once: more than one was being replaced");
    assert!(daemon.log().contains("has answered as many requests as it may"));
    let log = daemon.log();
    assert!(!log.contains("the next is forked in"), "nobody died: {log}");
    daemon.stop();
}

#[test]
fn old_and_large_workers_are_replaced() {
    for (limit, word) in [
        ("worker_age_max_s: 1", "is as old as it may become"),
        ("worker_memory_max_bytes: 1", "holds more memory"),
    ] {
        let (dir, upstream) = (TestDir::new("recycle"), Upstream::start());
        let yaml = format!("limits: {{{limit}, drain_idle_ms: 100}}\n");
        let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&yaml).start();
        daemon.await_log(word, 3);
        check_tile(&daemon, 17, 11);
        assert!(!daemon.log().contains("the next is forked in"), "{limit}: {}", daemon.log());
        daemon.stop();
    }
}

/// A daemon whose fail-points are read from a file at each pass.
fn start_failing(dir: &TestDir, upstream: &Upstream, workers: usize, limits: &str) -> (Daemon, PathBuf) {
    let fail = dir.write("fail", "");
    let mut daemon = Setup::new(dir, painted_map(upstream))
        .workers(workers)
        .daemon_yaml(&format!("limits: {{{limits}}}\n"))
        .env("RHUMB_FAIL", &format!("@{}", fail.display()))
        .start();
    daemon.expect_faults();
    (daemon, fail)
}

const DEADLY: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/deadly/11.png";

/// Asks for what ends a worker; how the connection ended.
fn ask_deadly(daemon: &Daemon, target: &str) -> Result<u16, End> {
    daemon.client().get(target).map(|reply| reply.status)
}

#[test]
fn a11_a_request_that_crashes_workers_is_named_and_kept_out_where_asked() {
    for (place, target) in [("service@deadly", DEADLY.to_owned()), ("plan@17/11", tile(17, 11))] {
        for quarantine_ms in [0, 600_000] {
            let (dir, upstream) = (TestDir::new("a11"), Upstream::start());
            let limits = format!("quarantine_ms: {quarantine_ms}");
            let (daemon, fail) = start_failing(&dir, &upstream, 2, &limits);
            daemon.replace(&fail, &format!("{place}:*:abort"));
            // Deaths within a second share a line.
            for told in ["was ended by SIGABRT", "has cost 2 workers"] {
                let ended = ask_deadly(&daemon, &target);
                assert!(matches!(ended, Err(End::Fin | End::Reset)), "{ended:?}");
                daemon.await_log(told, 1);
            }
            let log = daemon.log();
            assert!(log.contains("has cost 2 workers: GET ") && log.contains(&target), "{log}");
            let third = ask_deadly(&daemon, &target);
            if quarantine_ms == 0 {
                assert!(matches!(third, Err(End::Fin | End::Reset)), "{third:?}");
            } else {
                assert_eq!(third, Ok(503));
                let reply = daemon.get(&target);
                assert!(reply.header("retry-after").is_some_and(|s| s.parse::<u32>().is_ok()));
                let workers = daemon.await_workers(2, &[]);
                assert_eq!(ask_deadly(&daemon, &target), Ok(503));
                assert_eq!(daemon.workers(), workers, "no more deaths");
            }
            // Everybody else is served, also what ran beside the deadly one.
            check_tile(&daemon, 21, 15);
            daemon.stop();
        }
    }
}

#[test]
fn a12_a_panic_anywhere_costs_its_own_request_only() {
    let (dir, upstream) = (TestDir::new("a12"), Upstream::start());
    let (daemon, fail) = start_failing(&dir, &upstream, 1, "drain_idle_ms: 200");
    let workers = daemon.workers();
    let map = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
               &BBOX=0,0,1000000,1000000&WIDTH=64&HEIGHT=64&FORMAT=image/png";
    let places =
        ["wire", "service", "plan", "source", "render", "cache.create", "cache.write", "cache.rename"];
    for (round, place) in places.into_iter().enumerate() {
        let column = 1 + 4 * round as u32;
        let mut kept = daemon.client();
        assert_eq!(kept.get("/nothing").expect("an answer").status, 404);
        daemon.replace(&fail, &format!("{place}:*:panic"));
        let mut victim = daemon.client();
        // A tile that is not stored, so that every room has its part in it.
        let target = if place == "render" { map.to_owned() } else { tile(column, 1) };
        victim.send_get(&target).expect("sent");
        let outcome = victim.read_reply(false).map(|reply| reply.status);
        daemon.replace(&fail, "");
        // What fails after the picture is made may cost the store and not the answer.
        let may_answer = place.starts_with("cache");
        let is_right = outcome == Ok(500) || may_answer && outcome == Ok(200);
        assert!(is_right, "{place}: {outcome:?}");
        assert!(daemon.log().contains("panic"), "{place}: it did not happen");
        assert_eq!(kept.get("/nothing").expect("others are unaffected").status, 404, "{place}");
        let mut again = daemon.client();
        again.send_get(&tile(column, 1)).expect("sent");
        let reply = again.read_reply(false).expect("the same request afterwards");
        assert_eq!(reply.status, 200, "{place}: {}", reply.text());
        painted::check(&reply.body, 5, column, 1).expect("the right tile");
    }
    assert_eq!(daemon.workers(), workers, "the worker has lived through all of it");
    for path in dir.files() {
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(&path).expect("a temporary file");
        }
    }
    daemon.stop();
}

#[test]
fn a14_a_render_that_never_ends_costs_its_client_and_the_worker_is_replaced() {
    let (dir, upstream) = (TestDir::new("a14"), Upstream::start());
    let limits = "render_stuck_ms: 5000, render_queue_ms: 5000, drain_idle_ms: 200";
    let (daemon, fail) = start_failing(&dir, &upstream, 2, limits);
    let old = daemon.workers();
    daemon.replace(&fail, "plan@17/11:1:hang");
    let mut victim = daemon.client();
    victim.send_get(&tile(17, 11)).expect("sent");
    let reply = victim.read_reply(false).expect("an answer");
    assert_eq!((reply.status, reply.closes()), (504, true));
    daemon.await_log("replaced", 1);
    let log = daemon.log();
    assert!(log.contains(&format!("GET {}", tile(17, 11))), "the request is named: {log}");
    // The sick one leaves, the other stays, and there are as many as before.
    let workers = await_some("a new worker in place of the sick one", || {
        let workers = daemon.workers();
        (workers.len() == 2 && workers.iter().any(|worker| !old.contains(worker))).then_some(workers)
    });
    assert_eq!(workers.iter().filter(|worker| old.contains(worker)).count(), 1);
    assert!(!daemon.log().contains("the next is forked in"), "replaced first, then drained");
    daemon.replace(&fail, "");
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn a_loop_that_stands_still_is_aborted_and_its_request_named() {
    let (dir, upstream) = (TestDir::new("stuck"), Upstream::start());
    let (daemon, fail) = start_failing(&dir, &upstream, 2, "loop_stuck_ms: 4000");
    daemon.replace(&fail, "service@deadly:*:hang");
    for times in 1..=2 {
        let ended = ask_deadly(&daemon, DEADLY);
        assert!(matches!(ended, Err(End::Fin | End::Reset)), "{ended:?}");
        daemon.await_log("has not moved for", times);
        daemon.await_log("was ended by SIGABRT", times);
    }
    daemon.await_log(&format!("has cost 2 workers: GET {DEADLY}"), 1);
    daemon.replace(&fail, "");
    daemon.await_workers(2, &[]);
    check_tile(&daemon, 17, 11);
    daemon.stop();
}

#[test]
fn a_worker_that_is_never_ready_is_killed() {
    let (dir, upstream) = (TestDir::new("late"), Upstream::start());
    let (daemon, fail) = start_failing(&dir, &upstream, 2, "worker_start_ms: 8000");
    let old = daemon.workers();
    daemon.replace(&fail, "worker.start:*:hang");
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("was not ready in time: killed", 1);
    daemon.await_log("reload refused, generation 1 serves on", 1);
    assert_eq!(daemon.await_workers(2, &[]), old);
    daemon.replace(&fail, "");
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation", 1);
    check_tile(&daemon, 17, 11);
    daemon.stop();
}
