//! How the master watches over its workers (reliability.md, groups A and B):
//! how many there are, when one is replaced in time, and what a request that
//! kills may do.

use nix::sys::signal::Signal;

use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::{Daemon, TestDir, Upstream, await_some, painted, seed};
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
        .daemon_yaml("limits: {requests_max: 100, drain_idle_ms: 200}\n")
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
