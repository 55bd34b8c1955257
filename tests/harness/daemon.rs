//! The real daemon in a directory of its own.
//!
//! It listens on a port that the kernel picks and tells the address on its
//! standard output (`--ready-fd 1`) once a full set of workers is ready; its
//! log goes to a file. Ending a test ends it with SIGTERM and looks for what
//! a daemon must not leave behind.

use std::ffi::OsString;
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
    /// Text of the map file; without one the embedded map is served.
    pub map: Option<String>,
    pub workers: usize,
    /// Further keys of the first entry of `listen`, then further entries.
    pub listener_yaml: String,
    /// Further lines of `rhumb.yaml`.
    pub daemon_yaml: String,
    pub env: Vec<(String, String)>,
    /// What is run: `rhumb` itself, or a link to it.
    pub program: PathBuf,
    /// Its standard input; nothing otherwise.
    pub stdin: Stdio,
}

impl<'a> Setup<'a> {
    pub fn new(dir: &'a TestDir, map: impl Into<String>) -> Setup<'a> {
        Setup { map: Some(map.into()), ..Setup::embedded(dir) }
    }

    /// The world map inside the binary.
    pub fn embedded(dir: &'a TestDir) -> Setup<'a> {
        Setup {
            dir,
            map: None,
            workers: 2,
            listener_yaml: String::new(),
            daemon_yaml: String::new(),
            env: Vec::new(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_rhumb")),
            stdin: Stdio::null(),
        }
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

    /// Adds a key to the listener (`proxy_protocol: true`).
    pub fn listener_yaml(mut self, line: &str) -> Self {
        self.listener_yaml.push_str(&format!("    {line}\n"));
        self
    }

    /// Adds a listener (`fastcgi: fcgi.sock`); relative paths are in the
    /// test's directory.
    pub fn listen(mut self, entry: &str) -> Self {
        self.listener_yaml.push_str(&format!("  - {{{entry}}}\n"));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs another program file than `rhumb`'s own.
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
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
        let map = self.dir.join("mapproxy.yaml");
        let maps = match &self.map {
            Some(text) => format!("maps: {}\n", self.dir.write("mapproxy.yaml", text).display()),
            None => String::new(),
        };
        let log = self.dir.join("error.log");
        let config = self.dir.write(
            "rhumb.yaml",
            format!(
                "{maps}listen:\n  - http: 127.0.0.1:0\n{}workers: {}\nlog: {{access: {}, error: {}, format: json}}\n{}",
                self.listener_yaml,
                self.workers,
                self.dir.join("access.log").display(),
                log.display(),
                self.daemon_yaml
            ),
        );
        let arguments = vec!["serve".into(), "-c".into(), config.clone().into_os_string()];
        launch((&self.program, self.stdin), self.dir.path(), &arguments, &self.env, config, map)
    }
}

/// Starts the program, and waits until it says where it listens.
fn launch(
    (program, stdin): (&Path, Stdio),
    dir: &Path,
    arguments: &[OsString],
    env: &[(String, String)],
    config: PathBuf,
    map: PathBuf,
) -> Result<Daemon, (Option<i32>, String)> {
    let mut command = Command::new(program);
    command
        .args(["--ready-fd", "1"])
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(dir.join("stderr.log")).expect("a file for stderr"))
        .current_dir("/")
        .process_group(0);
    for (name, value) in env {
        command.env(name, value);
    }
    let mut child = command.spawn().expect("the daemon's binary runs");
    let out = child.stdout.take().expect("its standard output is piped");
    let (told, ready) = mpsc::channel();
    std::thread::spawn(move || {
        // Other lines are for people.
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        for address in lines.filter_map(|line| listening_address(&line)) {
            let _ = told.send(address);
        }
    });
    let Ok(address) = ready.recv_timeout(PATIENCE) else {
        let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
        let code = child.wait().ok().and_then(|s| s.code());
        return Err((code, read_logs(dir)));
    };
    let worker_count = silent::children(child.id()).len();
    let descriptors = silent::descriptors(child.id());
    let master = child.id();
    Ok(Daemon {
        child,
        master,
        address,
        dir: dir.to_owned(),
        config,
        map,
        descriptors,
        worker_count,
        ended: false,
        faults: false,
    })
}

/// The first TCP address in the line of `--ready-fd`; none but 0.0.0.0:0
/// where the daemon listens on Unix sockets alone. `None` for other lines.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let is_place = ["http ", "fastcgi ", "scgi ", "uwsgi "].iter().any(|protocol| line.starts_with(protocol));
    let on_sockets = is_place.then_some(SocketAddr::from(([0, 0, 0, 0], 0)));
    line.split_whitespace().find_map(|word| word.parse().ok()).or(on_sockets)
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
    /// The master: the child, or one that took over from it.
    master: u32,
    pub address: SocketAddr,
    pub dir: PathBuf,
    pub config: PathBuf,
    pub map: PathBuf,
    /// Open descriptors of the master when it was ready.
    descriptors: usize,
    /// Workers when it was ready.
    worker_count: usize,
    ended: bool,
    /// The test makes the daemon fault.
    faults: bool,
}

impl Daemon {
    /// From here on alerts in the log are what the test asked for.
    pub fn expect_faults(&mut self) {
        self.faults = true;
    }

    /// `rhumb develop` on a map, on a port that the kernel picks.
    pub fn develop(dir: &TestDir, map: &Path) -> Daemon {
        let arguments = ["develop".into(), "--bind".into(), "0".into(), map.as_os_str().to_owned()];
        let program = Path::new(env!("CARGO_BIN_EXE_rhumb"));
        match launch((program, Stdio::null()), dir.path(), &arguments, &[], PathBuf::new(), map.to_owned()) {
            Ok(daemon) => daemon,
            Err((code, log)) => panic!("develop ended with {code:?} before it was ready:\n{log}"),
        }
    }

    /// `rhumb` with just these arguments, as a document shows them.
    pub fn serve(dir: &TestDir, arguments: &[String]) -> Daemon {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let program = Path::new(env!("CARGO_BIN_EXE_rhumb"));
        match launch((program, Stdio::null()), dir.path(), &arguments, &[], PathBuf::new(), PathBuf::new()) {
            Ok(daemon) => daemon,
            Err((code, log)) => panic!("{arguments:?} ended with {code:?} before it was ready:\n{log}"),
        }
    }

    pub fn pid(&self) -> u32 {
        self.master
    }

    /// The daemon goes on as another process, which has taken over.
    pub fn follow(&mut self, master: u32) {
        self.master = master;
        self.worker_count = silent::children(master).len();
        self.descriptors = silent::descriptors(master);
    }

    /// Waits until the process that was started first has ended; its exit code.
    pub fn await_first(&mut self) -> Option<i32> {
        await_some("the first process to end", || self.child.try_wait().ok().flatten()).code()
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

    /// Waits until it has ended by itself or by what the test did to it, and
    /// all that it started too; the exit code (`None`: by a signal). Makes
    /// the silent checks.
    pub fn await_end(mut self) -> Option<i32> {
        await_some("the master to end", || (!silent::lives(self.master)).then_some(()));
        let status = await_some("the daemon to end", || self.child.try_wait().ok().flatten());
        self.ended = true;
        let group = self.child.id();
        await_some("the workers to end", || silent::group(group).is_empty().then_some(()));
        silent::check_log(&self.log());
        silent::check_files(&self.dir);
        status.code()
    }

    /// Replaces a file as an editor does: whole, by a rename.
    pub fn replace(&self, path: &Path, text: &str) {
        let new = path.with_extension("new");
        std::fs::write(&new, text).expect("the new file");
        std::fs::rename(&new, path).expect("the new file in its place");
    }

    /// Waits for `count` workers, none of which is one of `not`.
    pub fn await_workers(&self, count: usize, not: &[u32]) -> Vec<u32> {
        await_some(&format!("{count} workers"), || {
            let workers = self.workers();
            (workers.len() == count && !workers.iter().any(|w| not.contains(w))).then_some(workers)
        })
    }

    /// Descriptors of the master beyond those when it was ready, save for one
    /// for each worker that still drains. A worker that ends this moment is no
    /// fault, so a surplus is looked at again for a while.
    fn surplus_descriptors(&self) -> usize {
        let mut surplus = 0;
        for _ in 0..silent::LOOKS {
            let draining = self.workers().len().saturating_sub(self.worker_count);
            surplus = silent::descriptors(self.pid()).saturating_sub(self.descriptors + draining);
            if surplus == 0 {
                break;
            }
            std::thread::sleep(silent::BETWEEN_LOOKS);
        }
        surplus
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let group = self.child.id();
        let failing = std::thread::panicking();
        let surplus = self.surplus_descriptors();
        let zombies = silent::zombies(self.master);
        let _ = kill(Pid::from_raw(self.master as i32), Signal::SIGTERM);
        await_some("the master to end after SIGTERM", || {
            let _ = self.child.try_wait();
            (!silent::lives(self.master)).then_some(())
        });
        let status = await_some("the daemon to end after SIGTERM", || self.child.try_wait().ok().flatten());
        let left = silent::group(group);
        let _ = killpg(Pid::from_raw(group as i32), Signal::SIGKILL);
        if failing {
            eprintln!("--- log of the daemon\n{}", self.log());
            return;
        }
        let log = self.log();
        // The end of one that took over is not ours to wait for.
        if self.master == group {
            assert_eq!(status.code(), Some(0), "exit code after SIGTERM\n{log}");
        }
        assert!(left.is_empty(), "processes left behind: {left:?}");
        assert!(zombies.is_empty(), "zombies while it ran: {zombies:?}");
        assert_eq!(surplus, 0, "descriptors of the master beyond the {} when it was ready", self.descriptors);
        if !self.faults {
            silent::check_log(&log);
        }
        silent::check_files(&self.dir);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
