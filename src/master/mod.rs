//! One process, one thread, no requests: binds the sockets once, forks the
//! workers, watches them, and swaps them for others on SIGHUP. What a
//! configuration says is found out by a probe, what a worker does is the
//! worker's; nothing that comes from a client or an upstream reaches this room.

mod backoff;
mod changes;
mod control;
mod crew;
mod generation;
mod headcount;
mod launch;
mod listen;
mod muster;
mod notify;
mod orders;
mod origin;
mod pidfile;
mod poison;
mod privilege;
mod probe;
mod reload;
mod signals;
mod spawn;
mod upgrade;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use crate::board::Board;
use crate::conf::daemon::{Limits, LogTarget};
use crate::conf::{Daemon, FileSet, Finding};
use crate::log;
use crate::sys::{self, exec::Start};

use backoff::Backoff;
use changes::Changes;
use control::Control;
pub use control::find_signal;
use crew::Worker;
use generation::Generation;
use headcount::Headcount;
pub use launch::{Launch, detach};
use listen::Place;
use notify::Notifier;
use orders::Outcome;
pub use origin::Origin;
use pidfile::PidFile;
pub use pidfile::find_master;
use poison::Suspects;
use reload::Phase;
use signals::Order;
pub use signals::{Row, TABLE};
pub use upgrade::answer_handshake;
use upgrade::{Predecessor, Upgrade};
use watch::OwnPause;

/// Exit codes (DESIGN.md §2).
const DONE: u8 = 0;
const CONFIGURATION_REFUSED: u8 = 2;
const SYSTEM_REFUSED: u8 = 3;

/// On a quick stop, workers that have not left by then are killed.
const QUICK_STOP_MS: u64 = 5_000;
const SIGNALS: Token = Token(usize::MAX - 1);

/// What the daemon is made of: given by the command line, used by the probe
/// and, on bytes that the probe has survived, by the master.
pub struct Recipe {
    /// Finds the daemon's settings among the files.
    pub settle: Box<Settle>,
    /// Builds everything a worker would serve from, and throws it away.
    /// Returns errors and warnings.
    pub build: fn(&Daemon, &mut FileSet) -> Vec<Finding>,
    /// Gets one line with the addresses when the first workers are ready.
    pub ready: Option<OwnedFd>,
    /// Print the address of the demo page.
    pub shows_demo: bool,
    /// Who waits for the outcome of `--daemon`.
    pub launch: Option<Launch>,
}

/// See [`Recipe::settle`]. Without settings there is an error among the findings.
pub type Settle = dyn Fn(&mut FileSet) -> (Option<Daemon>, Vec<Finding>);

/// Checks, binds, forks, and supervises until told to stop.
pub fn run(recipe: Recipe, origin: Origin) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| log::alert!("{panic}")));
    match Master::new(recipe, origin) {
        Ok(mut master) => ExitCode::from(master.supervise()),
        Err(error) => {
            log::error!("cannot start: {error}");
            ExitCode::from(SYSTEM_REFUSED)
        }
    }
}

/// How we were told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Gracefully,
    Quickly,
}

struct Master {
    recipe: Recipe,
    poll: Poll,
    signals: SignalFd,
    board: Arc<Board>,
    /// What new requests meet; `None` until the first workers are ready.
    current: Option<Rc<Generation>>,
    phase: Phase,
    /// Why the next reload is wanted.
    reload_wanted: Option<&'static str>,
    generations_made: u64,
    workers: Vec<Worker>,
    headcount: Headcount,
    backoff: Backoff,
    own_pause: OwnPause,
    suspects: Suspects,
    memory_kills: u64,
    /// Of the generation that is wanted.
    limits: Limits,
    changes: Changes,
    look_at_files_ms: u64,
    pid_file: Option<PidFile>,
    control: Option<Control>,
    /// How we were started, to start again.
    start: Start,
    notify_socket: Option<OsString>,
    watchdog_us: Option<u64>,
    notifier: Notifier,
    /// Sockets that we were given.
    inherited: Vec<Rc<Place>>,
    upgrade: Upgrade,
    upgrade_wanted: Option<&'static str>,
    leaves_after_upgrade: bool,
    /// The old master that we take over from, while it lives.
    predecessor: Option<Predecessor>,
    last_reload: Option<Outcome>,
    stop: Option<Stop>,
    /// Told to stop gracefully, but not before then.
    send_off_ms: Option<u64>,
    exit_code: u8,
    now_ms: u64,
}

impl Master {
    fn new(recipe: Recipe, origin: Origin) -> io::Result<Master> {
        let Origin { start, parent, places, notify_socket, watchdog_us } = origin;
        let notifier = Notifier::open(notify_socket.as_deref(), watchdog_us, parent.is_some());
        sys::set_thread_name("rhumb: master");
        let signals = signals::open()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut master = Master {
            recipe,
            poll,
            signals,
            board: Arc::new(Board::new(started)?),
            current: None,
            phase: Phase::Steady,
            reload_wanted: Some("start"),
            generations_made: 0,
            workers: Vec::new(),
            headcount: Headcount::default(),
            backoff: Backoff::default(),
            own_pause: OwnPause::default(),
            suspects: Suspects::default(),
            memory_kills: watch::count_memory_kills(),
            limits: Limits::default(),
            changes: Changes::default(),
            look_at_files_ms: 0,
            pid_file: None,
            control: None,
            start,
            notify_socket,
            watchdog_us,
            notifier,
            inherited: places,
            upgrade: Upgrade::Idle,
            upgrade_wanted: None,
            leaves_after_upgrade: false,
            predecessor: None,
            last_reload: None,
            stop: None,
            send_off_ms: None,
            exit_code: DONE,
            now_ms: sys::monotonic_ms(),
        };
        if let Some(parent) = parent {
            master.adopt_predecessor(parent)?;
        }
        Ok(master)
    }

    /// The supervisor: hears what happened, then sees to what is due.
    fn supervise(&mut self) -> u8 {
        let mut events = Events::with_capacity(64);
        loop {
            self.obey_signals();
            self.hear_control();
            self.hear_workers();
            self.reap_children();
            self.look_at_files();
            self.kill_overdue();
            self.turn_generations();
            self.turn_upgrade();
            self.keep_worker_count();
            self.send_off_in_time();
            self.notify_progress();
            if self.has_left() {
                return self.leave();
            }
            self.sleep(&mut events);
        }
    }

    fn sleep(&mut self, events: &mut Events) {
        let wake_ms = self.next_wake_ms();
        let timeout = Duration::from_millis(wake_ms.saturating_sub(sys::monotonic_ms()));
        if let Err(error) = self.poll.poll(events, Some(timeout))
            && error.kind() != io::ErrorKind::Interrupted
        {
            log::alert!("cannot wait for events: {error}");
        }
        self.now_ms = sys::monotonic_ms();
        let period_ms = self.limits.loop_stuck_ms;
        self.own_pause.note_wake(wake_ms, self.now_ms, period_ms);
    }

    /// When something is due, at most a look's time from now.
    fn next_wake_ms(&self) -> u64 {
        let mut wake_ms = self.now_ms + watch::LOOK_EVERY_MS;
        if self.is_watching_files() {
            wake_ms = wake_ms.min(self.look_at_files_ms);
        }
        if self.stop.is_none() && self.missing_workers() > 0 && self.backoff.not_before_ms() > self.now_ms {
            wake_ms = wake_ms.min(self.backoff.not_before_ms());
        }
        if let Phase::Probing(probe) = &self.phase
            && !probe.late
        {
            wake_ms = wake_ms.min(probe.deadline_ms);
        }
        let dues = [self.upgrade.deadline_ms(), self.next_notice_ms(), self.phase.closing_deadline_ms()];
        wake_ms = dues.into_iter().flatten().fold(wake_ms, u64::min);
        if let Some(deadline_ms) = self.control.as_ref().and_then(Control::next_deadline_ms) {
            wake_ms = wake_ms.min(deadline_ms);
        }
        let steps = self.workers.iter().filter_map(Worker::next_step_ms).chain(self.send_off_ms);
        steps.fold(wake_ms, u64::min)
    }

    fn obey_signals(&mut self) {
        loop {
            match signals::next_order(&self.signals) {
                Ok(Some((signal, order))) => self.obey(signal, order),
                Ok(None) => return,
                Err(error) => return log::alert!("cannot read signals: {error}"),
            }
        }
    }

    fn obey(&mut self, signal: Signal, order: Order) {
        match order {
            Order::Reload if self.stop.is_none() && self.upgrade.is_standing() => self.take_back_service(),
            Order::Reload if self.stop.is_none() => self.want_reload("SIGHUP"),
            Order::Reload => log::info!("{signal} ignored: about to leave"),
            Order::StopGracefully if self.stop.is_none() => {
                self.begin_stop(Stop::Gracefully, signal.as_str())
            }
            Order::StopGracefully => {}
            Order::StopQuickly if self.stop == Some(Stop::Quickly) => self.kill_all(),
            Order::StopQuickly => self.begin_stop(Stop::Quickly, signal.as_str()),
            Order::ReopenLogs => drop(self.reopen_logs()),
            Order::Upgrade => drop(self.want_upgrade("SIGUSR2")),
            Order::DropWorkers | Order::AddWorker | Order::RemoveWorker if self.stop.is_some() => {}
            Order::DropWorkers => self.send_workers_away(signal.as_str()),
            Order::AddWorker => self.add_worker(signal.as_str()),
            Order::RemoveWorker => self.remove_worker(signal.as_str()),
            // Every turn of the loop reaps.
            Order::Reap => {}
        }
    }

    /// A reload during a reload is one more afterwards, not two.
    fn want_reload(&mut self, why: &'static str) {
        self.reload_wanted = Some(why);
        self.headcount.note_reload_wanted();
    }

    fn begin_stop(&mut self, stop: Stop, why: &str) {
        log::info!("{why}: leaving {}", if stop == Stop::Quickly { "now" } else { "after the last request" });
        self.stop = Some(stop);
        self.reload_wanted = None;
        self.disappoint_waiting();
        self.leave_upgrade();
        match &self.predecessor {
            // It goes on in our place.
            Some(predecessor) => self.notifier.hand_over(predecessor.pid),
            None => self.notify_stopping(stop),
        }
        let goes_on_elsewhere = self.goes_on_elsewhere();
        if let Phase::Probing(probe) = &self.phase {
            probe.kill();
        } else {
            self.phase = Phase::Steady;
        }
        // Where another master serves on the same sockets, no balancer need know.
        let delay_ms = if goes_on_elsewhere { 0 } else { self.limits.stop_delay_ms };
        if !goes_on_elsewhere {
            self.board.set_stopping();
        }
        if stop == Stop::Gracefully && delay_ms > 0 {
            log::info!("serving on for {delay_ms} ms, so that balancers look elsewhere");
            self.send_off_ms = Some(self.now_ms.saturating_add(delay_ms));
            return;
        }
        self.send_off(stop);
    }

    /// Whether another master serves on the same sockets.
    fn goes_on_elsewhere(&self) -> bool {
        self.upgrade.is_standing() || self.predecessor.is_some()
    }

    /// Balancers have had their time.
    fn send_off_in_time(&mut self) {
        if self.send_off_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.send_off(Stop::Gracefully);
        }
    }

    fn send_off(&mut self, stop: Stop) {
        self.send_off_ms = None;
        let goes_on_elsewhere = self.goes_on_elsewhere();
        let drain_max_ms = self.limits.drain_max_ms;
        for worker in &mut self.workers {
            match stop {
                Stop::Gracefully if goes_on_elsewhere => worker.drain(self.now_ms, drain_max_ms),
                Stop::Gracefully => worker.finish(self.now_ms, drain_max_ms),
                Stop::Quickly => worker.terminate(self.now_ms, QUICK_STOP_MS),
            }
        }
        // Workers hold the sockets until they have taken what waits on them.
        self.current = None;
    }

    fn kill_all(&mut self) {
        log::warn!("told twice to leave: killing {} workers", self.workers.len());
        for worker in &mut self.workers {
            worker.kill(self.now_ms);
        }
    }

    /// New files first: where one cannot be had, all stay as they are.
    fn reopen_logs(&mut self) -> io::Result<()> {
        if let Err(error) = log::reopen() {
            log::error!("log files not reopened, the old stay in use: {error}");
            return Err(error);
        }
        log::info!("log files reopened");
        if let Some(identity) = self.current.as_ref().and_then(|current| current.identity.as_ref())
            && let Err(error) = log::chown(Some(identity.user.as_raw()), Some(identity.group.as_raw()))
        {
            log::warn!("cannot give the log files to {}: {error}", identity.name);
        }
        for worker in &self.workers {
            worker.signal(Signal::SIGUSR1);
        }
        Ok(())
    }

    fn is_watching_files(&self) -> bool {
        self.stop.is_none()
            && !self.upgrade.is_standing()
            && self.current.as_ref().is_some_and(|current| current.daemon.watch)
    }

    fn look_at_files(&mut self) {
        if self.is_watching_files() && self.now_ms >= self.look_at_files_ms {
            self.look_at_files_ms = self.now_ms + changes::LOOK_EVERY_MS;
            if self.changes.look() {
                self.reload_wanted.get_or_insert("a file changed");
            }
        }
    }

    fn has_left(&self) -> bool {
        let is_busy = self.phase.is_probing() || self.upgrade.is_under_way();
        self.stop.is_some() && self.workers.is_empty() && !is_busy
    }

    /// Everybody has left.
    fn leave(&mut self) -> u8 {
        self.pid_file = None;
        self.current = None;
        log::info!("done");
        self.control = None;
        if let Some(launch) = self.recipe.launch.take() {
            launch.report(self.exit_code, true);
        }
        self.exit_code
    }

    /// Tells the world, once, that the first workers are ready.
    fn announce(&mut self, generation: &Generation) {
        self.notifier.ready(&self.tell_state());
        log::info!("ready: {} workers, {}", generation.worker_count, generation.places());
        if self.recipe.shows_demo
            && let Some(address) = generation.listeners.iter().find_map(|l| l.browser_address())
        {
            let _ = writeln!(io::stdout(), "Open {address}demo/ in a browser.");
        }
        if let Some(launch) = self.recipe.launch.take() {
            launch.report(DONE, generation.daemon.log.error == LogTarget::Stderr);
        }
        if let Some(ready) = self.recipe.ready.take() {
            let places: Vec<String> = generation.listeners.iter().map(|l| l.describe()).collect();
            let line = format!("{}\n", places.join(" "));
            if let Err(error) = std::fs::File::from(ready).write_all(line.as_bytes()) {
                log::warn!("cannot tell the starter that we are ready: {error}");
            }
        }
    }
}
