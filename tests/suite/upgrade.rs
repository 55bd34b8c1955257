//! The program replaced under load: the sockets pass from master to master,
//! and whoever dies on the way, somebody serves (reliability.md, B20 to B24).

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::control::{act, reachable, status};
use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::{Daemon, End, TestDir, Upstream, await_some, painted, seed, silent, sockets};
use crate::reload::{tile, warm};
use crate::smoke::painted_map;

/// A link to the program in the test's own directory: what it leads to is what
/// an upgrade starts.
fn link_program(dir: &TestDir) -> PathBuf {
    let link = dir.join("rhumb");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rhumb"), &link).expect("a link");
    link
}

/// Puts a script in the program's place.
fn replace_program(dir: &TestDir, script: &str) {
    let new = dir.write_program("rhumb.new", script);
    std::fs::rename(new, dir.join("rhumb")).expect("in its place");
}

fn restore_program(dir: &TestDir) {
    let _ = std::fs::remove_file(dir.join("rhumb"));
    link_program(dir);
}

fn read_pid(dir: &TestDir, name: &str) -> Option<u32> {
    std::fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).expect("the process is there");
}

/// USR2, and waits for the new master.
fn upgrade(daemon: &Daemon, dir: &TestDir) -> u32 {
    let old = daemon.pid();
    let before = daemon.log().matches("upgraded: the new master").count();
    daemon.signal(Signal::SIGUSR2);
    daemon.await_log("upgraded: the new master", before + 1);
    let new = read_pid(dir, "rhumb.pid").expect("the new master's pid file");
    assert_ne!(new, old);
    assert_eq!(read_pid(dir, "rhumb.pid.oldbin"), Some(old));
    new
}

fn check_tile(daemon: &Daemon) {
    let reply = daemon.get(&tile(17, 11));
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
}

fn await_gone(pid: u32) {
    await_some(&format!("the end of {pid}"), || (!silent::lives(pid)).then_some(()));
}

fn await_pid_file(dir: &TestDir, pid: u32) {
    await_some("the pid file of the one that stays", || {
        (read_pid(dir, "rhumb.pid") == Some(pid) && !dir.join("rhumb.pid.oldbin").exists()).then_some(())
    });
}

fn start(dir: &TestDir, upstream: &Upstream, yaml: &str) -> Daemon {
    let program = link_program(dir);
    let yaml = reachable(dir) + yaml;
    Setup::new(dir, painted_map(upstream)).daemon_yaml(&yaml).program(&program).start()
}

#[test]
fn b20_upgrades_under_load_lose_nothing() {
    let seed = seed("b20");
    let (dir, upstream) = (TestDir::new("b20"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "limits: {drain_idle_ms: 10000}\n");
    // A Unix socket too: its path is there all along.
    let path = dir.join("http.socket");
    let config = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
    let both = config.replace("listen:\n", &format!("listen:\n  - http: {}\n", path.display()));
    daemon.replace(&daemon.config, &both);
    let (code, _, err) = act(&daemon, &["reload"]);
    assert_eq!(code, Some(0), "{err}");
    let styles: Vec<Style> =
        (0..16).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect();
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(1));
    load.await_answers(200);
    // By signals, step by step.
    let old = daemon.pid();
    let new = upgrade(&daemon, &dir);
    assert!(UnixStream::connect(&path).is_ok());
    load.await_answers(200);
    daemon.signal(Signal::SIGQUIT);
    assert_eq!(daemon.await_first(), Some(0));
    daemon.follow(new);
    await_pid_file(&dir, new);
    assert!(UnixStream::connect(&path).is_ok(), "the path outlives who made it");
    load.await_answers(200);
    // By the command: again and again, each master being the child of the last.
    let mut descriptors = None;
    for round in 0..3 {
        let before = daemon.pid();
        let (code, out, err) = act(&daemon, &["upgrade"]);
        assert_eq!(code, Some(0), "round {round}: {out}{err}\n{}", daemon.log());
        assert!(!silent::lives(before), "it returns when the old one has left");
        let new = read_pid(&dir, "rhumb.pid").expect("a pid file");
        assert!(![old, before].contains(&new));
        await_pid_file(&dir, new);
        daemon.follow(new);
        assert_eq!(status(&daemon)["pid"], new);
        assert!(UnixStream::connect(&path).is_ok());
        daemon.signal(Signal::SIGHUP);
        daemon.await_log("reloaded: generation 2", round + 2);
        load.await_answers(100);
        daemon.await_workers(2, &[]);
        // A worker that ends this moment still counts.
        let few = *descriptors.get_or_insert_with(|| silent::descriptors(new));
        await_some(&format!("{few} descriptors of the master, as before"), || {
            (silent::descriptors(new) <= few).then_some(())
        });
    }
    let tally = load.stop();
    eprintln!("{tally:?}");
    tally.check();
    check_tile(&daemon);
    await_some("two workers", || (daemon.workers().len() == 2).then_some(()));
    daemon.follow(daemon.pid());
    daemon.stop();
    assert!(!path.exists(), "the last one removes it");
}

#[test]
fn sixty_reloads_and_five_upgrades_lose_nothing() {
    let seed = seed("sixty and five");
    let (dir, upstream) = (TestDir::new("sixty"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "limits: {drain_idle_ms: 10000}\n");
    let styles: Vec<Style> =
        (0..64).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 4 }, Style::OneShot]).collect();
    warm(&daemon);
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(0));
    load.await_answers(500);
    let good = painted_map(&upstream);
    let broken = good.replace("sources: [mock]", "sources: [mokc]");
    let (mut reloads, mut refusals, mut upgrades) = (0, 0, 0);
    for round in 1..=60 {
        if round % 5 == 0 {
            daemon.replace(&daemon.map, &broken);
            let (code, _, err) = act(&daemon, &["reload"]);
            assert_eq!(code, Some(2), "{err}");
            refusals += 1;
            daemon.replace(&daemon.map, &good);
        } else {
            let title = format!("title: Round {round}");
            daemon.replace(&daemon.map, &good.replace("title: Painted", &title));
            let (code, out, err) = act(&daemon, &["reload"]);
            assert_eq!(code, Some(0), "{out}{err}");
            reloads += 1;
        }
        match round % 12 {
            3 => daemon.signal(Signal::SIGTTIN),
            6 => daemon.signal(Signal::SIGTTOU),
            9 => {
                daemon.replace(&daemon.map, &good);
                let (code, out, err) = act(&daemon, &["upgrade"]);
                assert_eq!(code, Some(0), "{out}{err}\n{}", daemon.log());
                daemon.follow(read_pid(&dir, "rhumb.pid").expect("a pid file"));
                upgrades += 1;
            }
            _ => {}
        }
        load.await_answers(50);
    }
    load.await_answers(200);
    let tally = load.stop();
    eprintln!("{reloads} reloads, {refusals} refused, {upgrades} upgrades: {tally:?}");
    assert_eq!((reloads, refusals, upgrades), (48, 12, 5));
    tally.check();
    daemon.await_workers(2, &[]);
    daemon.follow(daemon.pid());
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn b21_a_broken_program_changes_nothing() {
    let (dir, upstream) = (TestDir::new("b21"), Upstream::start());
    let daemon = start(&dir, &upstream, "limits: {probe_ms: 10000}\n");
    let workers = daemon.workers();
    let real = env!("CARGO_BIN_EXE_rhumb");
    let only_handshake = format!("#!/bin/sh\n[ \"$1\" = --handshake ] && exec {real} \"$@\"\nexit 5\n");
    for (name, script, told) in [
        ("exits", "#!/bin/sh\necho no such thing >&2\nexit 7\n".to_owned(), "exited with code 7"),
        ("hangs", "#!/bin/sh\nexec sleep 600\n".to_owned(), "did not answer in time"),
        ("is older", "#!/bin/sh\necho rhumb handoff 0\n".to_owned(), "hands over in version 0"),
        ("is no program", "\x7fELF nonsense".to_owned(), "exited with code 127"),
        ("says nothing", "#!/bin/sh\nexit 0\n".to_owned(), "exited with code 0 when asked"),
        ("dies at the start", only_handshake, "exited with code 5 before it was ready"),
    ] {
        replace_program(&dir, &script);
        let (code, out, err) = act(&daemon, &["upgrade"]);
        assert_eq!(code, Some(3), "{name}: {out}{err}");
        assert!(err.contains(told) && err.contains("serves on"), "{name}: no {told:?} in\n{err}");
        await_pid_file(&dir, daemon.pid());
        assert_eq!(daemon.workers(), workers, "{name}");
        assert_eq!(status(&daemon)["pid"], daemon.pid(), "{name}");
        check_tile(&daemon);
    }
    std::fs::set_permissions(dir.join("rhumb"), std::fs::Permissions::from_mode(0o644)).expect("a mode");
    assert_eq!(act(&daemon, &["upgrade"]).0, Some(3));
    std::fs::remove_file(dir.join("rhumb")).expect("removed");
    assert_eq!(act(&daemon, &["upgrade"]).0, Some(3));
    restore_program(&dir);
    // A configuration that the new program refuses: with its reasons.
    daemon.replace(&daemon.map, "layers: 1\n");
    let (code, _, err) = act(&daemon, &["upgrade"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("mapproxy.yaml:1:"), "{err}");
    assert_eq!(daemon.workers(), workers);
    daemon.replace(&daemon.map, &painted_map(&upstream));
    // Workers that were sent away come back.
    daemon.signal(Signal::SIGWINCH);
    await_some("no worker", || daemon.workers().is_empty().then_some(()));
    replace_program(&dir, &format!("#!/bin/sh\n[ \"$1\" = --handshake ] && exec {real} \"$@\"\nexit 5\n"));
    assert_eq!(act(&daemon, &["upgrade"]).0, Some(3));
    daemon.await_workers(2, &workers);
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn b22_one_upgrade_at_a_time() {
    let (dir, upstream) = (TestDir::new("b22"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "");
    let new = upgrade(&daemon, &dir);
    daemon.signal(Signal::SIGUSR2);
    daemon.await_log("a new master serves already", 1);
    send(new, Signal::SIGUSR2);
    daemon.await_log("the old master still lives", 1);
    check_tile(&daemon);
    daemon.signal(Signal::SIGQUIT);
    assert_eq!(daemon.await_first(), Some(0));
    daemon.follow(new);
    await_pid_file(&dir, new);
    let newest = upgrade(&daemon, &dir);
    daemon.signal(Signal::SIGTERM);
    await_gone(new);
    daemon.follow(newest);
    check_tile(&daemon);
    await_pid_file(&dir, newest);
    daemon.stop();
}

#[test]
fn b23_whoever_is_killed_the_other_serves() {
    let (dir, upstream) = (TestDir::new("b23"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "limits: {drain_idle_ms: 200}\n");
    let old = daemon.pid();
    // The new one, once it serves.
    let new = upgrade(&daemon, &dir);
    send(new, Signal::SIGKILL);
    daemon.await_log("this one serves on", 1);
    await_pid_file(&dir, old);
    assert_eq!(status(&daemon)["pid"], old, "the control socket is the old one's again");
    check_tile(&daemon);
    // The new one, while it starts.
    replace_program(
        &dir,
        &format!(
            "#!/bin/sh\n[ \"$1\" = --handshake ] && exec {} \"$@\"\nexec sleep 600\n",
            env!("CARGO_BIN_EXE_rhumb")
        ),
    );
    daemon.signal(Signal::SIGUSR2);
    daemon.await_log(" starts\"", 2);
    let starting = await_some("the pid in the log", || {
        let log = daemon.log();
        let told = log
            .rsplit("the new master ")
            .find(|rest| rest.split('"').next().is_some_and(|l| l.ends_with("starts")))?;
        told.split_whitespace().next()?.parse::<u32>().ok()
    });
    send(starting, Signal::SIGKILL);
    daemon.await_log("before it was ready", 1);
    await_pid_file(&dir, old);
    check_tile(&daemon);
    restore_program(&dir);
    // The old one, once the new one serves.
    let new = upgrade(&daemon, &dir);
    daemon.signal(Signal::SIGKILL);
    daemon.await_first();
    daemon.follow(new);
    daemon.await_log("has left", 1);
    await_pid_file(&dir, new);
    check_tile(&daemon);
    assert_eq!(status(&daemon)["pid"], new);
    await_some("the dead one's workers to leave", || (silent::group(old).len() == 3).then_some(()));
    daemon.follow(new);
    daemon.stop();
}

#[test]
fn b23_an_old_master_killed_early_leaves_the_service_to_the_new() {
    let (dir, upstream) = (TestDir::new("b23-early"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "limits: {drain_idle_ms: 100}\n");
    let old = daemon.pid();
    // The new one answers at once and waits before it starts.
    let go = dir.join("go");
    replace_program(
        &dir,
        &format!(
            "#!/bin/sh\nif [ \"$1\" != --handshake ]; then while [ ! -e {} ]; do sleep 0.01; done; fi\nexec {} \"$@\"\n",
            go.display(),
            env!("CARGO_BIN_EXE_rhumb")
        ),
    );
    daemon.signal(Signal::SIGUSR2);
    daemon.await_log(" starts\"", 1);
    assert_eq!(read_pid(&dir, "rhumb.pid.oldbin"), Some(old));
    daemon.signal(Signal::SIGKILL);
    daemon.await_first();
    // Whoever comes now waits in the sockets' queues, which the new one holds.
    let mut client = daemon.client();
    client.send_get(&tile(17, 11)).expect("sent");
    std::fs::write(&go, "").expect("the sign to start");
    let new = await_some("the new master's pid file", || read_pid(&dir, "rhumb.pid"));
    assert_ne!(new, old);
    daemon.follow(new);
    let reply = client.read_reply(false).expect("an answer");
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    drop(client);
    await_pid_file(&dir, new);
    await_some("the new master and its two workers alone", || (silent::group(old).len() == 3).then_some(()));
    daemon.follow(new);
    assert_eq!(status(&daemon)["pid"], new);
    daemon.stop();
}

#[test]
fn what_an_upgrade_needs_and_does_not_get() {
    let (dir, upstream) = (TestDir::new("upgrade-places"), Upstream::start());
    // The pid file's directory is gone: nothing begins.
    let var = dir.join("var");
    std::fs::create_dir(&var).expect("a directory");
    let program = link_program(&dir);
    let yaml = format!(
        "control: {}\npid_file: {}\n",
        dir.join("rhumb.sock").display(),
        var.join("rhumb.pid").display()
    );
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&yaml).program(&program).start();
    std::fs::rename(&var, dir.join("away")).expect("moved");
    let (code, _, err) = act(&daemon, &["upgrade"]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("rhumb.pid") && err.contains("serves on"), "{err}");
    std::fs::rename(dir.join("away"), &var).expect("moved back");
    check_tile(&daemon);
    // The new configuration wants a port that is taken: the old one serves on.
    let config = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
    let taken = config.replace("listen:\n", &format!("listen:\n  - http: {}\n", upstream.address));
    daemon.replace(&daemon.config, &taken);
    let (code, _, err) = act(&daemon, &["upgrade"]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("before it was ready"), "{err}");
    daemon.await_log(&format!("cannot listen on {}", upstream.address), 1);
    let pid = std::fs::read_to_string(var.join("rhumb.pid")).expect("the pid file is back");
    assert_eq!(pid.trim(), daemon.pid().to_string());
    check_tile(&daemon);
    // Stopped in the middle: the new one ends with the old.
    daemon.replace(&daemon.config, &config);
    replace_program(
        &dir,
        &format!(
            "#!/bin/sh\n[ \"$1\" = --handshake ] && exec {} \"$@\"\nexec sleep 600\n",
            env!("CARGO_BIN_EXE_rhumb")
        ),
    );
    daemon.signal(Signal::SIGUSR2);
    daemon.await_log(" starts\"", 2);
    daemon.signal(Signal::SIGQUIT);
    assert_eq!(daemon.await_end(), Some(0));
}

#[test]
fn a_master_that_stood_still_goes_on_with_its_upgrade() {
    let (dir, upstream) = (TestDir::new("upgrade-stop"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "");
    // Stopped, it is sent everything; when it wakes it does one thing after another.
    daemon.signal(Signal::SIGSTOP);
    daemon.signal(Signal::SIGUSR2);
    daemon.signal(Signal::SIGHUP);
    check_tile(&daemon);
    daemon.signal(Signal::SIGCONT);
    daemon.await_log("upgraded: the new master", 1);
    let new = read_pid(&dir, "rhumb.pid").expect("a pid file");
    daemon.signal(Signal::SIGQUIT);
    daemon.await_first();
    daemon.follow(new);
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn b24_an_upgrade_can_be_taken_back() {
    let seed = seed("b24");
    let (dir, upstream) = (TestDir::new("b24"), Upstream::start());
    let daemon = start(&dir, &upstream, "limits: {drain_idle_ms: 10000}\n");
    let old = daemon.pid();
    let load = Load::start(
        daemon.address,
        seed,
        &[Style::KeepAlive { depth: 2 }, Style::OneShot].repeat(8),
        tiles_and_maps(1),
    );
    load.await_answers(100);
    let new = upgrade(&daemon, &dir);
    daemon.signal(Signal::SIGWINCH);
    await_some("the old master without workers", || {
        daemon.workers().iter().all(|pid| *pid == new).then_some(())
    });
    load.await_answers(100);
    daemon.signal(Signal::SIGHUP);
    await_some("its workers again", || (daemon.workers().len() == 3).then_some(()));
    load.await_answers(100);
    send(new, Signal::SIGQUIT);
    await_gone(new);
    await_pid_file(&dir, old);
    load.await_answers(100);
    let tally = load.stop();
    eprintln!("{tally:?}");
    tally.check();
    assert_eq!(status(&daemon)["pid"], old);
    daemon.await_workers(2, &[]);
    daemon.stop();
}

#[test]
fn reloads_and_upgrades_do_not_cross() {
    let (dir, upstream) = (TestDir::new("upgrade-hup"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "");
    // HUP before, during and after: one thing after the other.
    for signal in [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGHUP] {
        daemon.signal(signal);
    }
    daemon.await_log("upgraded: the new master", 1);
    let new = read_pid(&dir, "rhumb.pid").expect("a pid file");
    check_tile(&daemon);
    daemon.signal(Signal::SIGQUIT);
    daemon.await_first();
    daemon.follow(new);
    await_pid_file(&dir, new);
    let workers = daemon.await_workers(2, &[]);
    // Nothing but standard descriptors, sockets and its own came along.
    for worker in &workers {
        assert!(silent::descriptors(*worker) < 40, "{} descriptors", silent::descriptors(*worker));
    }
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn an_idle_connection_of_the_old_master_ends_cleanly() {
    let (dir, upstream) = (TestDir::new("upgrade-idle"), Upstream::start());
    let mut daemon = start(&dir, &upstream, "limits: {drain_idle_ms: 100}\n");
    upstream.hold();
    let mut client = daemon.client();
    client.send_get(&tile(17, 11)).expect("sent");
    upstream.await_count(1);
    let workers = daemon.workers();
    sockets::await_holder(&client, &workers);
    let new = upgrade(&daemon, &dir);
    daemon.signal(Signal::SIGQUIT);
    daemon.await_log("after the last request", 1);
    upstream.release();
    let reply = client.read_reply(false).expect("the answer of the old one");
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    assert!(reply.closes());
    assert_eq!(client.read_to_end(), (Vec::new(), End::Fin));
    daemon.await_first();
    daemon.follow(new);
    check_tile(&daemon);
    daemon.stop();
}
