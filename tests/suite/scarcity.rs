//! What the daemon does where the system gives no more: memory, processes,
//! descriptors; and where it is the first process of all (reliability.md,
//! group A). Some of it only root can arrange; it fails elsewhere, and says so.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::{Client, End, Random, TestDir, Upstream, await_some, painted, seed, silent};
use crate::reload::tile;
use crate::smoke::painted_map;

const RELOADED: &str = "reloaded: generation";
/// A user with no name and no processes.
const NOBODY_ELSE: u32 = 54_321;

fn check_tile(client: &mut Client, column: u32, row: u32) {
    let reply = client.get(&tile(column, row)).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, column, row).expect("the right tile");
}

fn require_root() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root: run the tests as root, as CI does");
}

/// Changes limits of a running process, as `prlimit(1)` does; its own user may.
fn limit(pid: u32, resource: &str) {
    use std::os::unix::fs::MetadataExt;
    let mut command = Command::new("prlimit");
    let owner = std::fs::metadata(format!("/proc/{pid}")).expect("the process").uid();
    if owner != nix::unistd::geteuid().as_raw() {
        command.uid(owner).gid(owner);
    }
    let ended = command.args(["--pid", &pid.to_string(), resource]).status();
    assert!(ended.expect("prlimit").success(), "prlimit {resource}");
}

/// A picture whose pixels alone take 64 MiB.
fn huge_map() -> String {
    "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
     &BBOX=0,0,100,100&WIDTH=4000&HEIGHT=4000&FORMAT=image/png"
        .to_owned()
}

#[test]
fn a15_a_picture_that_memory_does_not_bear_costs_its_request_only() {
    let (dir, upstream) = (TestDir::new("a15"), Upstream::start());
    let mut daemon = Setup::new(&dir, painted_map(&upstream))
        .daemon_yaml("limits: {worker_data_bytes: 67108864, render_threads: 1, waiting_threads: 1}\n")
        .start();
    let master = daemon.pid();
    // An allocation that fails ends its process, loudly.
    daemon.expect_faults();
    check_tile(&mut daemon.client(), 17, 11);
    let mut victim = daemon.client();
    victim.send_get(&huge_map()).expect("sent");
    match victim.read_reply(false) {
        Ok(reply) => assert!(reply.status >= 500, "{}: 64 MiB fit into less", reply.status),
        Err(end) => assert!(matches!(end, End::Fin | End::Reset), "{end:?}"),
    }
    daemon.await_workers(2, &[]);
    check_tile(&mut daemon.client(), 18, 11);
    check_tile(&mut daemon.client(), 1, 1);
    assert_eq!(daemon.pid(), master);
    daemon.signal(Signal::SIGHUP);
    daemon.await_log(RELOADED, 1);
    daemon.stop();
}

/// A memory cgroup of the test's own, of either version; removed in the end.
struct MemoryGroup {
    path: PathBuf,
    is_v2: bool,
}

impl MemoryGroup {
    fn create() -> MemoryGroup {
        let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let root = if is_v2 { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" };
        let path = Path::new(root).join(format!("rhumb-test-{}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&path) {
            panic!("this test needs a memory cgroup and may not make {}: {error}", path.display());
        }
        let group = MemoryGroup { path, is_v2 };
        assert!(
            group.path.join(group.limit_file()).exists(),
            "this test needs the memory controller in {root}"
        );
        group
    }

    fn limit_file(&self) -> &'static str {
        if self.is_v2 { "memory.max" } else { "memory.limit_in_bytes" }
    }

    fn used_bytes(&self) -> u64 {
        let file = if self.is_v2 { "memory.current" } else { "memory.usage_in_bytes" };
        let text = std::fs::read_to_string(self.path.join(file)).expect("the usage");
        text.trim().parse().expect("a number")
    }

    fn limit(&self, bytes: u64) {
        std::fs::write(self.path.join(self.limit_file()), bytes.to_string()).expect("the limit");
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let is_gone = || std::fs::remove_dir(&self.path).is_ok().then_some(());
        await_some("the cgroup to be empty", is_gone);
    }
}

#[test]
fn a16_a_worker_that_the_kernel_kills_for_memory_is_told_as_such() {
    require_root();
    let group = MemoryGroup::create();
    let dir = TestDir::new("a16");
    let prelude = format!("echo $$ > {}/cgroup.procs", group.path.display());
    with_shell(&dir, (&prelude, None, 1), |pid, address| {
        let worker = silent::children(pid)[0];
        let mut client = Client::connect(address).expect("it accepts");
        check_tile(&mut client, 17, 11);
        group.limit(group.used_bytes() + 24 * 1024 * 1024);
        client.send_get(&huge_map()).expect("sent");
        let ended = client.read_reply(false).map(|reply| reply.status);
        assert!(matches!(ended, Err(End::Fin | End::Reset)), "{ended:?}");
        let log = || std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
        let line = await_some("the death in the log", || {
            log().lines().find(|line| line.contains("was ended by SIGKILL")).map(str::to_owned)
        });
        assert!(line.contains("the kernel was out of memory"), "{line}");
        assert!(line.contains("WIDTH=4000"), "what it was at: {line}");
        let delay_ms: u64 = line
            .split("the next is forked in ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .expect("a delay");
        assert!(delay_ms <= 400, "no crash loop: {delay_ms} ms");
        group.limit(1024 * 1024 * 1024);
        await_some("another worker", || {
            let workers = silent::children(pid);
            (workers.len() == 1 && workers[0] != worker).then_some(())
        });
        let mut client = Client::connect(address).expect("it accepts");
        check_tile(&mut client, 18, 11);
    });
}

#[test]
fn a17_without_processes_the_present_workers_serve_until_there_are_again() {
    require_root();
    let dir = TestDir::new("a17");
    with_shell(&dir, ("", Some(NOBODY_ELSE), 2), |pid, address| {
        let log = || std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
        let [first, second] = silent::children(pid)[..] else { panic!("two workers") };
        limit(pid, "--nproc=1:1000");
        kill(Pid::from_raw(first as i32), Signal::SIGKILL).expect("a worker");
        let refused = || log().matches("cannot fork a worker").count();
        await_some("the kernel to refuse", || (refused() >= 1).then_some(()));
        check_tile(&mut Client::connect(address).expect("it accepts"), 17, 11);
        // A reload in this state is refused, and the present worker stays.
        kill(Pid::from_raw(pid as i32), Signal::SIGHUP).expect("the master");
        await_some("the refusal", || log().contains("reload refused, generation 1 serves on").then_some(()));
        assert_eq!(silent::children(pid), [second]);
        // Slowly: a second lies between two attempts.
        let (began, before) = (Instant::now(), refused());
        await_some("two more attempts", || (refused() >= before + 2).then_some(()));
        assert!(began.elapsed() >= Duration::from_millis(900), "it tries again at once");
        limit(pid, "--nproc=1000:1000");
        await_some("two workers", || (silent::children(pid).len() == 2).then_some(()));
        check_tile(&mut Client::connect(address).expect("it accepts"), 18, 11);
    });
}

#[test]
fn a19_a_reload_without_descriptors_is_refused_at_every_step() {
    let (dir, upstream) = (TestDir::new("a19"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).start();
    // One more descriptor each time, until a reload gets through: each step of
    // it has then been the one that found none.
    let (mut refused, mut reloads) = (0, 0);
    for more in 0..64 {
        daemon.await_workers(1, &[]);
        limit(daemon.pid(), &format!("--nofile={}:4096", silent::descriptors(daemon.pid()) + more));
        let present = daemon.workers();
        daemon.signal(Signal::SIGHUP);
        let log = await_some("an outcome", || {
            let log = daemon.log();
            let outcomes = log.matches("reload refused").count() + log.matches(RELOADED).count();
            (outcomes > refused + reloads).then_some(log)
        });
        limit(daemon.pid(), "--nofile=4096:4096");
        check_tile(&mut daemon.client(), 17, 11);
        if log.contains(RELOADED) {
            reloads += 1;
            break;
        }
        refused += 1;
        assert_eq!(daemon.await_workers(1, &[]), present, "the old one stays");
    }
    eprintln!("refused with 0 to {} descriptors to spare", refused.saturating_sub(1));
    assert!(refused >= 3 && reloads == 1, "{refused} refused, {reloads} done");
    daemon.signal(Signal::SIGHUP);
    daemon.await_log(RELOADED, 2);
    daemon.stop();
}

/// Signals at random to the master and to workers, under load.
pub fn storm(name: &str, length: Duration) {
    let seed = seed(name);
    let mut random = Random(seed);
    let (dir, upstream) = (TestDir::new(name), Upstream::start());
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).daemon_yaml("limits: {drain_idle_ms: 10000}\n").start();
    let styles: Vec<Style> =
        (0..6).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect();
    let load = Load::start(daemon.address, seed, &styles, tiles_and_maps(0));
    load.await_answers(100);
    // Without those that end it, and USR2, whose new master is another test's.
    let to_master = [
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGWINCH,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGCHLD,
        Signal::SIGCONT,
        Signal::SIGPIPE,
    ];
    let to_worker = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGCHLD,
        Signal::SIGCONT,
        Signal::SIGPIPE,
    ];
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < length {
        if random.between(0, 2) == 0 {
            daemon.signal(*random.pick(&to_master));
        } else if let Some(worker) = daemon.workers().first() {
            // Gone by now, perhaps; a probe may be among them and is as deaf.
            let _ = kill(Pid::from_raw(*worker as i32), *random.pick(&to_worker));
        }
        sent += 1;
        // Fifty in a second: the pace is the case's own.
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // Whatever was last: after a reload everything is as configured.
    let before = daemon.log().matches(RELOADED).count();
    daemon.signal(Signal::SIGHUP);
    await_some("a reload", || (daemon.log().matches(RELOADED).count() > before).then_some(()));
    load.await_answers(100);
    daemon.signal(Signal::SIGHUP);
    await_some("another", || (daemon.log().matches(RELOADED).count() > before + 1).then_some(()));
    let tally = load.stop();
    eprintln!("{sent} signals, {before} reloads; {tally:?}");
    tally.check();
    daemon.await_workers(2, &[]);
    check_tile(&mut daemon.client(), 17, 11);
    daemon.stop();
}

#[test]
fn a21_signals_at_random_under_load_lose_nothing() {
    storm("a21", Duration::from_secs(6));
}

#[test]
fn a22_as_the_first_process_it_reaps_strangers_in_silence() {
    require_root();
    let dir = TestDir::new("a22");
    let upstream = Upstream::start();
    let config = write_config(&dir, &upstream, 1);
    // Fifty whose parents are gone: the kernel gives them to the first process.
    let script = format!(
        "for n in $(seq 50); do (sleep 0.$n & sleep 0.0$n &); done; exec '{}' serve -c '{}'",
        env!("CARGO_BIN_EXE_rhumb"),
        config.display()
    );
    let child = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "bash", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("unshare");
    let mut child = Guard(child);
    let log = || std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
    let address = await_address(&log);
    let master = silent::children(child.0.id())[0];
    let mut client = Client::connect(address).expect("it accepts");
    check_tile(&mut client, 17, 11);
    await_some("the strangers to be gone", || (silent::children(master).len() == 1).then_some(()));
    assert!(silent::zombies(master).is_empty(), "strangers that nobody reaped");
    // Signals reach it as any other process.
    kill(Pid::from_raw(master as i32), Signal::SIGHUP).expect("the master");
    await_some("a reload", || log().contains(RELOADED).then_some(()));
    check_tile(&mut Client::connect(address).expect("it accepts"), 18, 11);
    kill(Pid::from_raw(master as i32), Signal::SIGTERM).expect("the master");
    let status = await_some("the end", || child.0.try_wait().ok().flatten());
    assert_eq!(status.code(), Some(0), "{}", log());
    // A machine may be too busy for the old worker to shut its door in time.
    let is_fault = |line: &&str| !line.contains("may still take connections");
    let told = log().lines().filter(is_fault).collect::<Vec<_>>().join("\n");
    assert!(!told.contains("\"error\"") && !told.contains("\"warn\""), "not in silence: {told}");
    silent::check_log(&told);
}

fn write_config(dir: &TestDir, upstream: &Upstream, workers: usize) -> PathBuf {
    let map = dir.write("mapproxy.yaml", painted_map(upstream));
    let text = format!(
        "maps: {}\nlisten: [{{http: '127.0.0.1:0'}}]\nworkers: {workers}\nlog: {{error: {}, format: json}}\n",
        map.display(),
        dir.join("error.log").display()
    );
    dir.write("rhumb.yaml", text)
}

fn await_address(log: &dyn Fn() -> String) -> SocketAddr {
    await_some("the daemon to be ready", || {
        let text = log();
        let (_, rest) = text.split_once("ready: ")?;
        rest.split_once("http://")?.1.split('/').next()?.parse().ok()
    })
}

/// Starts the daemon from a shell after `prelude`, as `user` where one is
/// given; hands its pid and address over, and ends it.
fn with_shell(
    dir: &TestDir,
    (prelude, user, workers): (&str, Option<u32>, usize),
    check: impl FnOnce(u32, SocketAddr),
) {
    let upstream = Upstream::start();
    let config = write_config(dir, &upstream, workers);
    let mut program = PathBuf::from(env!("CARGO_BIN_EXE_rhumb"));
    if let Some(user) = user {
        // Where it was built, others may have no way to.
        let copy = dir.join("rhumb");
        // By a child: this process never has it open for writing, so no other child does when it is run.
        let status = Command::new("cp").args([&program, &copy]).status().expect("cp");
        assert!(status.success(), "no copy of the program");
        program = copy;
        std::os::unix::fs::chown(dir.path(), Some(user), Some(user)).expect("the directory");
        for file in dir.files() {
            std::os::unix::fs::chown(file, Some(user), Some(user)).expect("a file");
        }
    }
    let script = format!("{prelude}\nexec '{}' serve -c '{}'", program.display(), config.display());
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let child = Guard(command.spawn().expect("bash"));
    let log = || std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
    let address = await_address(&log);
    let pid = child.0.id();
    check(pid, address);
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("the master");
    let mut child = child;
    let status = await_some("the daemon to end", || child.0.try_wait().ok().flatten());
    assert_eq!(status.code(), Some(0), "{}", log());
    assert!(silent::group(pid).is_empty());
    silent::check_log(&log());
}

/// Ends a process, and all that it started, with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = nix::sys::signal::killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}
