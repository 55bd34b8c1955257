//! The commands that act on a running daemon, over its control socket and,
//! without one, by its pid file.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::daemon::Setup;
use crate::harness::{Daemon, PATIENCE, TestDir, Upstream, await_some, painted};
use crate::reload::tile;
use crate::smoke::painted_map;

/// Runs `rhumb` to its end: exit code, standard output, standard error.
pub fn rhumb(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `rhumb COMMAND -c FILE`.
pub fn act(daemon: &Daemon, command: &[&str]) -> (Option<i32>, String, String) {
    let mut arguments = command.to_vec();
    let config = daemon.config.to_str().expect("a path in UTF-8");
    arguments.extend(["-c", config]);
    rhumb(&arguments)
}

/// What `rhumb status --json` tells.
pub fn status(daemon: &Daemon) -> Value {
    let (code, out, err) = act(daemon, &["status", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).expect("a JSON document")
}

/// Lines of `rhumb.yaml` that make a daemon reachable, its pid file among them.
pub fn reachable(dir: &TestDir) -> String {
    format!("control: {}\npid_file: {}\n", dir.join("rhumb.sock").display(), dir.join("rhumb.pid").display())
}

fn ask(path: &Path, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).expect("the control socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let _ = stream.write_all(line);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn commands_act_wait_and_report() {
    let (dir, upstream) = (TestDir::new("control"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&reachable(&dir)).start();
    let mode = std::fs::metadata(dir.join("rhumb.sock")).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let state = status(&daemon);
    assert_eq!(state["pid"], daemon.pid());
    assert_eq!((&state["state"], &state["generation"]), (&Value::from("serving"), &Value::from(1)));
    assert_eq!(state["workers"].as_array().map(Vec::len), Some(2));
    assert_eq!(state["listen"][0], format!("http {}", daemon.address));

    // When it returns, the new configuration is in effect: one look tells.
    daemon.replace(&daemon.map, &painted_map(&upstream).replace("title: Painted", "title: Once more"));
    let (code, out, err) = act(&daemon, &["reload"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("generation 2 serves"), "{out}");
    let capabilities = daemon.get("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities");
    assert!(capabilities.text().contains("Once more"));

    // A refusal names every reason with its place.
    let broken = painted_map(&upstream)
        .replace("grids: [GLOBAL_WEBMERCATOR]", "grids: [nowhere]")
        .replace("type: wms\n", "type: wmz\n");
    daemon.replace(&daemon.map, &broken);
    let (code, out, err) = act(&daemon, &["reload"]);
    assert_eq!(code, Some(2), "{out}{err}");
    for told in ["mapproxy.yaml:10:", "nowhere", "mapproxy.yaml:13:", "wmz", "generation 2 serves on"] {
        assert!(err.contains(told), "no {told:?} in\n{err}");
    }
    let state = status(&daemon);
    assert_eq!((&state["reloads"], &state["reloads_refused"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(state["last_reload"]["ok"], false);
    let (code, out, _) = act(&daemon, &["status"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("serving") && out.contains("mapproxy.yaml:10:"), "{out}");

    // Also where the daemon's own file has faults, it is found through it.
    daemon.replace(&daemon.map, &painted_map(&upstream));
    let config = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
    daemon.replace(&daemon.config, &format!("{config}wrokers: 3\n"));
    let (code, _, err) = act(&daemon, &["reload"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("rhumb.yaml:") && err.contains("wrokers"), "{err}");
    daemon.replace(&daemon.config, &config);

    std::fs::rename(dir.join("access.log"), dir.join("access.log.1")).expect("rotated");
    let (code, _, err) = act(&daemon, &["reopen"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(dir.join("access.log").exists());

    let (code, _, err) = act(&daemon, &["signal", "hup"]);
    assert_eq!(code, Some(0), "{err}");
    daemon.await_log("reloaded: generation 3", 1);

    let (code, out, err) = act(&daemon, &["stop"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(daemon.await_end(), Some(0));
}

#[test]
fn a_reload_is_over_when_no_old_worker_takes_connections() {
    let (dir, upstream) = (TestDir::new("control-closing"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&reachable(&dir)).start();
    let reload = |title: &str| {
        let titled = painted_map(&upstream).replace("title: Painted", &format!("title: {title}"));
        daemon.replace(&daemon.map, &titled);
        let (code, out, err) = act(&daemon, &["reload"]);
        assert_eq!(code, Some(0), "{out}{err}");
    };
    let title = || daemon.get("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities").text();
    for round in 0..10 {
        let name = format!("Number {round}");
        reload(&name);
        let are_new = (0..8).all(|_| title().contains(&name));
        // Where the machine is too busy for an old worker to shut its door in time, that is told.
        assert!(are_new || daemon.log().contains("may still take connections"), "{name}");
    }
    // One that stands still keeps nobody waiting for ever.
    let old = daemon.workers()[0];
    kill(Pid::from_raw(old as i32), Signal::SIGSTOP).expect("a worker");
    reload("At last");
    daemon.await_log(&format!("worker {old} was told to leave and may still take connections"), 1);
    kill(Pid::from_raw(old as i32), Signal::SIGCONT).expect("the worker");
    daemon.await_workers(2, &[old]);
    assert!(title().contains("At last"));
    daemon.stop();
}

#[test]
fn quit_waits_for_the_last_request() {
    let (dir, upstream) = (TestDir::new("control-quit"), Upstream::start());
    let yaml = reachable(&dir) + "limits: {drain_idle_ms: 100}\n";
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&yaml).start();
    upstream.hold();
    let mut client = daemon.client();
    client.send_get(&tile(17, 11)).expect("sent");
    upstream.await_count(1);
    let config = daemon.config.clone();
    let quitting =
        std::thread::spawn(move || rhumb(&["quit", "-c", config.to_str().expect("a path in UTF-8")]));
    daemon.await_log("after the last request", 1);
    assert_eq!(status(&daemon)["state"], "leaving");
    upstream.release();
    let reply = client.read_reply(false).expect("the answer");
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    let (code, out, err) = quitting.join().expect("quit");
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(daemon.await_end(), Some(0));
}

#[test]
fn who_is_not_there_cannot_be_asked() {
    let (dir, upstream) = (TestDir::new("control-absent"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&reachable(&dir)).start();
    let config = daemon.config.display().to_string();
    let nowhere = dir.write("nowhere.yaml", "listen: [{http: '127.0.0.1:0'}]\n").display().to_string();
    daemon.stop();
    for command in ["status", "reload", "reopen", "stop", "quit", "upgrade"] {
        let (code, _, err) = rhumb(&[command, "-c", &config]);
        assert_eq!(code, Some(3), "{command}: {err}");
        assert!(err.contains("rhumb does not run") && err.contains("rhumb.sock"), "{command}: {err}");
        let (code, _, err) = rhumb(&[command, "-c", &nowhere]);
        assert_eq!(code, Some(2), "{command}: {err}");
        assert!(err.contains("neither `control` nor `pid_file`"), "{err}");
    }
    // A socket file that nobody listens on is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(dir.join("rhumb.sock")).expect("a stale socket"));
    let (code, _, err) = rhumb(&["status", "-c", &config]);
    assert_eq!(code, Some(3), "{err}");
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&reachable(&dir)).start();
    assert_eq!(status(&daemon)["pid"], daemon.pid());
    // One that somebody listens on is.
    let second = dir.write("second.yaml", {
        let text = std::fs::read_to_string(&daemon.config).expect("the daemon's file");
        text.replace("rhumb.pid", "second.pid").replace("error.log", "second.log")
    });
    let (code, _, _) = rhumb(&["serve", "-c", second.to_str().expect("a path")]);
    assert_eq!(code, Some(3));
    let told = std::fs::read_to_string(dir.join("second.log")).unwrap_or_default();
    assert!(told.contains("another program listens there already"), "{told}");
    assert_eq!(status(&daemon)["pid"], daemon.pid(), "the first is unharmed");
    daemon.stop();
}

#[test]
fn without_a_control_socket_the_pid_file_serves() {
    let (dir, upstream) = (TestDir::new("control-pid"), Upstream::start());
    let yaml = format!("pid_file: {}\n", dir.join("rhumb.pid").display());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&yaml).start();
    let (code, out, err) = act(&daemon, &["reload"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("no control socket") && out.contains("SIGHUP"), "{out}");
    daemon.await_log("reloaded: generation 2", 1);
    let (code, _, err) = act(&daemon, &["status"]);
    assert_eq!(code, Some(3));
    assert!(err.contains(&format!("pid {}", daemon.pid())), "{err}");
    let (code, out, err) = act(&daemon, &["quit"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(daemon.await_end(), Some(0));
}

#[test]
fn odd_clients_of_the_control_socket_hold_up_nobody() {
    let (dir, upstream) = (TestDir::new("control-odd"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(&reachable(&dir)).start();
    let path = dir.join("rhumb.sock");
    for (line, told) in [
        (&b"nonsense\n"[..], "not understood"),
        (b"\n", "not understood"),
        (b"status now\n", "not understood"),
        (b"signal KILL\n", "not understood"),
        (b"\xff\xfe\n", "not understood"),
        (&[b'x'; 5_000], "too long"),
        (b"status\nstop\n", "\"serving\""),
    ] {
        let answer = ask(&path, line);
        assert!(answer.contains(told), "{}: {answer}", String::from_utf8_lossy(line));
        assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{answer}");
    }
    // More silent ones than are let in; each is cut in time.
    let silent: Vec<UnixStream> =
        (0..40).map(|_| UnixStream::connect(&path).expect("the socket's queue")).collect();
    for target in [(17, 11), (18, 11)] {
        let reply = daemon.get(&tile(target.0, target.1));
        painted::check(&reply.body, 5, target.0, target.1).expect("the right tile");
    }
    await_some("an answer behind forty silent clients", || {
        let (code, ..) = act(&daemon, &["status", "--timeout", "30"]);
        (code == Some(0)).then_some(())
    });
    drop(silent);
    daemon.stop();
}

/// A daemon in the background, ended at the latest with the test.
struct Background<'a>(&'a TestDir);

impl Background<'_> {
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        let output = command.args(arguments).current_dir(self.0.path()).output().expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.0.join("rhumb.pid")).ok()?.trim().parse().ok()
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        if self.pid().is_some() {
            let _ = self.run(&["stop", "-c", "rhumb.yaml"]);
        }
    }
}

#[test]
fn in_the_background_the_starter_waits_for_the_outcome() {
    let (dir, upstream) = (TestDir::new("background"), Upstream::start());
    dir.write("mapproxy.yaml", painted_map(&upstream));
    let write = |listen: &str, more: &str| {
        let text = format!(
            "maps: mapproxy.yaml\nlisten: [{{http: '{listen}'}}]\nworkers: 1\nlog: {{error: error.log}}\n{}{more}",
            reachable(&dir)
        );
        dir.write("rhumb.yaml", text)
    };
    let background = Background(&dir);
    // A start that fails says why where its starter sees it, and with which code.
    write(&upstream.address.to_string(), "");
    let (code, _, err) = background.run(&["serve", "-c", "rhumb.yaml", "--daemon"]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains(&format!("cannot listen on {}", upstream.address)), "{err}");
    write("127.0.0.1:0", "wrokers: 1\n");
    let (code, _, err) = background.run(&["serve", "-c", "rhumb.yaml", "--daemon"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("wrokers"), "{err}");
    assert_eq!(background.pid(), None, "nothing is left of it");

    // One that does not returns when the first workers are ready.
    let socket = dir.join("http.socket");
    write(&socket.display().to_string(), "");
    let (code, _, err) = background.run(&["serve", "-c", "rhumb.yaml", "--daemon"]);
    assert_eq!(code, Some(0), "{err}");
    let ask = || {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "GET {} HTTP/1.0\r\n\r\n", tile(17, 11)).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        answer
    };
    assert!(ask().starts_with(b"HTTP/1.1 200 "));
    let pid = background.pid().expect("a pid file");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("its name").1.split_whitespace().collect();
    assert_ne!(fields[3], pid.to_string(), "no leader of its session, so no terminal comes to it");
    assert_eq!(fields[4], "0", "no terminal");
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).expect("its directory");
    assert_eq!(cwd, std::path::Path::new("/"));

    // It is upgraded though its file was named by a relative path.
    let (code, out, err) = background.run(&["upgrade", "-c", "rhumb.yaml"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let new = background.pid().expect("a pid file");
    assert_ne!(new, pid);
    assert!(ask().starts_with(b"HTTP/1.1 200 "));
    let (code, out, err) = background.run(&["quit", "-c", "rhumb.yaml"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(!socket.exists() && !dir.join("rhumb.sock").exists() && background.pid().is_none());
    let log = std::fs::read_to_string(dir.join("error.log")).expect("the log");
    crate::harness::silent::check_log(&log);
}

#[test]
fn a_log_that_takes_nothing_is_no_hindrance() {
    let (dir, upstream) = (TestDir::new("log-full"), Upstream::start());
    dir.write("mapproxy.yaml", painted_map(&upstream));
    let socket = dir.join("http.socket");
    let text = format!(
        "maps: mapproxy.yaml\nlisten: [{{http: '{}'}}]\nworkers: 1\nlog: {{access: /dev/full, error: /dev/full}}\n{}",
        socket.display(),
        reachable(&dir)
    );
    dir.write("rhumb.yaml", text);
    let background = Background(&dir);
    let (code, _, err) = background.run(&["serve", "-c", "rhumb.yaml", "--daemon"]);
    assert_eq!(code, Some(0), "{err}");
    for command in ["reload", "reopen", "upgrade", "reload", "quit"] {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "GET {} HTTP/1.0\r\n\r\n", tile(17, 11)).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        let (code, out, err) = background.run(&[command, "-c", "rhumb.yaml"]);
        assert_eq!(code, Some(0), "{command}: {out}{err}");
    }
}
