//! What systemd sees: notices in their order, signs of life, sockets that it
//! gives and keeps; and the unit files (reliability.md, B25 and B26).

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::control::reachable;
use crate::harness::daemon::Setup;
use crate::harness::{Client, PATIENCE, TestDir, Upstream, painted};
use crate::reload::tile;
use crate::smoke::painted_map;

/// A place for notices, as systemd has it.
struct Notices(UnixDatagram);

impl Notices {
    fn bind(dir: &TestDir) -> Notices {
        let socket = UnixDatagram::bind(dir.join("notify")).expect("a place for notices");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Notices(socket)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let count = loop {
            match self.0.recv(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("a notice within the patience of the tests"),
            }
        };
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    /// The next one that is no sign of life, no mere status and no plea for time.
    fn next_step(&self) -> String {
        loop {
            let notice = self.next();
            let minor = ["WATCHDOG=", "EXTEND_TIMEOUT_USEC=", "STATUS="];
            if !minor.iter().any(|start| notice.starts_with(start)) {
                return notice;
            }
        }
    }

    /// What has come until now.
    fn drain(&self) -> Vec<String> {
        self.0.set_nonblocking(true).expect("non-blocking");
        let mut buffer = [0; 4096];
        let mut notices = Vec::new();
        while let Ok(count) = self.0.recv(&mut buffer) {
            notices.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        self.0.set_nonblocking(false).expect("blocking");
        notices
    }
}

fn field(notice: &str, name: &str) -> Option<String> {
    notice.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

fn monotonic_us() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("the clock");
    now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1_000
}

#[test]
fn b26_notices_come_in_their_order() {
    let (dir, upstream) = (TestDir::new("b26"), Upstream::start());
    let notices = Notices::bind(&dir);
    let mut daemon = Setup::new(&dir, painted_map(&upstream))
        .daemon_yaml(&reachable(&dir))
        .env("NOTIFY_SOCKET", dir.join("notify").to_str().expect("a path"))
        .start();
    let ready = notices.next_step();
    assert_eq!(field(&ready, "READY").as_deref(), Some("1"), "{ready}");
    assert!(field(&ready, "STATUS").is_some_and(|status| status.contains("generation 1")), "{ready}");

    let check_reloading = || {
        let reloading = notices.next_step();
        assert_eq!(field(&reloading, "RELOADING").as_deref(), Some("1"), "{reloading}");
        let told: u64 = field(&reloading, "MONOTONIC_USEC").and_then(|t| t.parse().ok()).expect("the time");
        let now = monotonic_us();
        assert!(told <= now && now - told < PATIENCE.as_micros() as u64, "{told} of {now}");
    };
    daemon.signal(Signal::SIGHUP);
    check_reloading();
    let ready = notices.next_step();
    assert!(ready.starts_with("READY=1\nSTATUS=") && ready.contains("generation 2"), "{ready}");
    // There is no word for a failure but READY with a status.
    daemon.replace(&daemon.map, "layers: [");
    daemon.signal(Signal::SIGHUP);
    check_reloading();
    let ready = notices.next_step();
    assert!(ready.starts_with("READY=1\nSTATUS=reload refused"), "{ready}");
    daemon.replace(&daemon.map, &painted_map(&upstream));

    // An upgrade: the old one names the new, which speaks from then on.
    let old = daemon.pid();
    daemon.signal(Signal::SIGUSR2);
    let named = notices.next_step();
    let new: u32 = field(&named, "MAINPID").and_then(|pid| pid.parse().ok()).expect("the new master");
    assert_ne!(new, old);
    assert_eq!(notices.next_step(), format!("MAINPID={new}"));
    assert!(notices.next_step().starts_with("READY=1\n"));
    daemon.signal(Signal::SIGQUIT);
    assert_eq!(daemon.await_first(), Some(0));
    daemon.follow(new);
    daemon.await_log("has left", 1);
    assert!(notices.drain().iter().all(|n| !n.contains("STOPPING")), "the old one does not stop the service");
    // And one that is taken back: the new one names the old before it leaves.
    daemon.signal(Signal::SIGUSR2);
    let newest = field(&notices.next_step(), "MAINPID").and_then(|pid| pid.parse().ok()).expect("a pid");
    assert_eq!(notices.next_step(), format!("MAINPID={newest}"));
    assert!(notices.next_step().starts_with("READY=1\n"));
    kill(Pid::from_raw(newest), Signal::SIGQUIT).expect("the newest master");
    assert_eq!(notices.next_step(), format!("MAINPID={new}"));
    assert_eq!(notices.next_step(), format!("MAINPID={new}"));
    assert!(notices.next_step().starts_with("READY=1\n"));
    daemon.await_workers(2, &[newest as u32]);

    daemon.signal(Signal::SIGQUIT);
    // It may have left by now.
    let _ = kill(Pid::from_raw(daemon.pid() as i32), Signal::SIGTERM);
    let stopping = notices.next_step();
    assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
    let _ = daemon.await_end();
    let rest = notices.drain();
    assert!(rest.iter().all(|n| !n.contains("STOPPING")), "once: {rest:?}");
}

#[test]
fn b26_signs_of_life_are_the_workers_own() {
    let (dir, upstream) = (TestDir::new("b26-watchdog"), Upstream::start());
    let notices = Notices::bind(&dir);
    let daemon = Setup::new(&dir, painted_map(&upstream))
        .daemon_yaml("limits: {loop_stuck_ms: 4000}\n")
        .env("NOTIFY_SOCKET", dir.join("notify").to_str().expect("a path"))
        .env("WATCHDOG_USEC", "400000")
        .start();
    let mut signs = 0;
    while signs < 3 {
        signs += usize::from(notices.next() == "WATCHDOG=1");
    }
    let workers = daemon.workers();
    for worker in &workers {
        kill(Pid::from_raw(*worker as i32), Signal::SIGSTOP).expect("a worker");
    }
    notices.drain();
    // Twenty would come until the master sees that they stand still; each worker's
    // last turn before may still speak.
    daemon.await_log("has not moved", 1);
    let signs = notices.drain().iter().filter(|notice| *notice == "WATCHDOG=1").count();
    assert!(signs <= workers.len(), "{signs} signs of life of workers that stand still");
    daemon.await_workers(2, &workers);
    while notices.next() != "WATCHDOG=1" {}
    daemon.stop();
}

#[test]
fn an_odd_notify_socket_is_no_hindrance() {
    let (dir, upstream) = (TestDir::new("notify-odd"), Upstream::start());
    for name in ["nowhere", "@rhumb-test-nobody-is-here", "/nonexistent/notify", ""] {
        let daemon = Setup::new(&dir, painted_map(&upstream)).env("NOTIFY_SOCKET", name).start();
        assert_eq!(daemon.get(&tile(17, 11)).status, 200);
        daemon.stop();
    }
}

/// A program that gets its standard input as the first given socket, under the
/// name `http`, and then is rhumb.
fn activation(dir: &TestDir) -> PathBuf {
    let script = format!(
        "#!/bin/sh\nexec 3<&0 0</dev/null\nexport LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_rhumb")
    );
    dir.write_program("activated", &script)
}

#[test]
fn b25_given_sockets_outlive_the_daemon() {
    let (dir, upstream) = (TestDir::new("b25"), Upstream::start());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("its address");
    let program = activation(&dir);
    let start = || {
        let socket = OwnedFd::from(listener.try_clone().expect("another descriptor"));
        Setup::new(&dir, painted_map(&upstream)).program(&program).stdin(socket).start()
    };
    let daemon = start();
    assert_eq!(daemon.address, address, "the given socket stands for `http`");
    let reply = daemon.get(&tile(17, 11));
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    // A reload keeps it.
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 2", 1);
    assert_eq!(daemon.get(&tile(17, 11)).status, 200);
    daemon.signal(Signal::SIGQUIT);
    assert_eq!(daemon.await_end(), Some(0));
    // Nobody is there, but the socket is: who comes waits for the next one.
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(address).expect("the kernel takes it");
        client.send_get(&tile(17, 11)).expect("sent");
        waiting.push(client);
    }
    let daemon = start();
    for mut client in waiting {
        let reply = client.read_reply(false).expect("an answer of the next one");
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    }
    assert!(TcpStream::connect(address).is_ok());
    daemon.stop();
}

#[test]
fn b25_a_given_unix_socket_is_not_removed() {
    let (dir, upstream) = (TestDir::new("b25-unix"), Upstream::start());
    let path = dir.join("given.socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let socket = OwnedFd::from(listener.try_clone().expect("another descriptor"));
    let program = activation(&dir);
    let daemon = Setup::new(&dir, painted_map(&upstream)).program(&program).stdin(socket).start();
    let ask = || {
        let mut stream = UnixStream::connect(&path).expect("the socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "GET {} HTTP/1.0\r\n\r\n", tile(17, 11)).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        answer
    };
    assert!(ask().starts_with(b"HTTP/1.1 200 "));
    daemon.stop();
    assert!(path.exists(), "whoever gave it keeps it");
}

/// The units of `etc/`, with this program in the place of the installed one.
#[cfg(feature = "peers")]
#[test]
fn units_are_what_systemd_takes() {
    let dir = TestDir::new("units");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut units = Vec::new();
    for name in
        ["etc/rhumb.service", "etc/rhumb.socket", "etc/rhumb-upgrade.service", "etc/rhumb-upgrade.path"]
    {
        let text = std::fs::read_to_string(root.join(name)).expect("a unit");
        let text = text.replace("/usr/bin/rhumb", env!("CARGO_BIN_EXE_rhumb"));
        // The user is the operator's to make.
        let text = text.replace("User=rhumb", "User=root").replace("Group=rhumb", "Group=root");
        units.push(dir.write(name.trim_start_matches("etc/"), text));
    }
    let output = std::process::Command::new("systemd-analyze").arg("verify").args(&units).output();
    let output = output.expect("systemd-analyze (package systemd; tests/install brings it)");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("rhumb")).collect();
    assert!(output.status.success() && ours.is_empty(), "{told}");
}
