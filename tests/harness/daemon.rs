//! The real daemon in a directory of its own.
//!
//! It listens on a port that the kernel picks and tells the address on its
//! standard output (`--ready-fd 1`) once a full set of workers is ready; its
//! log goes to a file. Ending a test ends it with SIGTERM and looks for what
//! a daemon must not leave behind.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::client::{Client, Reply};
use super::{PATIENCE, TestDir, await_some, silent};

/// How a daemon is started.
pub struct Setup<'a> {
    pub dir: &'a TestDir,
    /// Text of the map file.
    pub map: String,
    pub workers: usize,
    /// Further lines of `rhumb.yaml`.
    pub daemon_yaml: String,
    pub env: Vec<(String, String)>,
}

impl<'a> Setup<'a> {
    pub fn new(dir: &'a TestDir, map: impl Into<String>) -> Setup<'a> {
        Setup { dir, map: map.into(), workers: 2, daemon_yaml: String::new(), env: Vec::new() }
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Adds lines to `rhumb.yaml`.
    pub fn daemon_yaml(mut self, lines: &str) -> Self {
        self.daemon_yaml.push_str(lines);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts and waits until it is ready.
    pub fn start(self) -> Daemon {
        match self.try_start() {
            Ok(daemon) => daemon,
            Err((code, log)) => panic!("the daemon ended with {code:?} before it was ready:\n{log}"),
        }
    }

    /// Starts; the exit code and the log where it ends before it is ready.
    pub fn try_start(self) -> Result<Daemon, (Option<i32>, String)> {
        let map = self.dir.write("mapproxy.yaml", &self.map);
        let log = self.dir.join("error.log");
        let config = self.dir.write(
            "rhumb.yaml",
            format!(
                "maps: {}\nlisten:\n  - http: 127.0.0.1:0\nworkers: {}\nlog: {{access: {}, error: {}, format: json}}\n{}",
                map.display(),
                self.workers,
                self.dir.join("access.log").display(),
                log.display(),
                self.daemon_yaml
            ),
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_rhumb"));
        command
            .args(["serve", "--ready-fd", "1", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(self.dir.join("stderr.log")).expect("a file for stderr"))
            .current_dir("/")
            .process_group(0);
        for (name, value) in &self.env {
            command.env(name, value);
        }
        let mut child = command.spawn().expect("the daemon's binary runs");
        let out = child.stdout.take().expect("its standard output is piped");
        let (told, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let line = ready.recv_timeout(PATIENCE);
        let Ok(line) = line else {
            let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let code = child.wait().ok().and_then(|s| s.code());
            return Err((code, read_logs(self.dir.path())));
        };
        let address = line
            .split_whitespace()
            .find_map(|word| word.parse::<SocketAddr>().ok())
            .unwrap_or_else(|| panic!("no address in the ready line {line:?}"));
        let descriptors = silent::descriptors(child.id());
        Ok(Daemon { child, address, dir: self.dir.path().to_owned(), config, map, descriptors, ended: false })
    }
}

fn read_logs(dir: &Path) -> String {
    ["stderr.log", "error.log"]
        .iter()
        .map(|name| std::fs::read_to_string(dir.join(name)).unwrap_or_default())
        .collect()
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    pub dir: PathBuf,
    pub config: PathBuf,
    pub map: PathBuf,
    /// Open descriptors of the master when it was ready.
    descriptors: usize,
    ended: bool,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address).expect("the daemon accepts")
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Reply {
        self.client().get(target).unwrap_or_else(|end| panic!("{target} ended with {end:?}\n{}", self.log()))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("the master is there");
    }

    /// What it has logged so far, errors of its start included.
    pub fn log(&self) -> String {
        read_logs(&self.dir)
    }

    pub fn access_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("access.log")).unwrap_or_default()
    }

    /// Waits until the log holds `text` at least `times` times.
    pub fn await_log(&self, text: &str, times: usize) {
        await_some(&format!("{times} × {text:?} in the log"), || {
            (self.log().matches(text).count() >= times).then_some(())
        });
    }

    /// Live child processes of the master.
    pub fn workers(&self) -> Vec<u32> {
        silent::children(self.pid())
    }

    /// Ends it with SIGTERM and makes the silent checks.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let group = self.pid();
        let failing = std::thread::panicking();
        let descriptors = silent::descriptors(group);
        let zombies = silent::zombies(group);
        let _ = kill(Pid::from_raw(group as i32), Signal::SIGTERM);
        let status = await_some("the daemon to end after SIGTERM", || self.child.try_wait().ok().flatten());
        let left = silent::group(group);
        let _ = killpg(Pid::from_raw(group as i32), Signal::SIGKILL);
        if failing {
            eprintln!("--- log of the daemon\n{}", self.log());
            return;
        }
        let log = self.log();
        assert_eq!(status.code(), Some(0), "exit code after SIGTERM\n{log}");
        assert!(left.is_empty(), "processes left behind: {left:?}");
        assert!(zombies.is_empty(), "zombies while it ran: {zombies:?}");
        assert!(
            descriptors <= self.descriptors,
            "the master had {} descriptors when ready and {descriptors} at the end",
            self.descriptors
        );
        silent::check_log(&log);
        silent::check_files(&self.dir);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
