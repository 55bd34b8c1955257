//! The program itself is replaced: nginx's way, with a channel that says READY.
//! A probe asks the new program whether it understands us and our
//! configuration; then it starts beside us, with our sockets. The old master
//! stays with its workers until it is told to go (QUIT), to take the service
//! back (HUP), or until the new one dies.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use mio::net::UnixStream;
use mio::{Interest, Token};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::json;

use super::control::Awaited;
use super::listen::Place;
use super::orders::{Granted, consent, refusal};
use super::origin::{FDS_VARIABLE, HANDOFF, Parent, write_handoff};
use super::privilege::drop_for_check;
use super::reload::Phase;
use super::{CONFIGURATION_REFUSED, DONE, Master, SYSTEM_REFUSED, Settle, Stop};
use crate::conf::{Daemon, FileSet, Finding};
use crate::log;
use crate::sys::{self, Ending, Forked, exec};

/// The new program's word that understands us; what it was built from follows.
const GREETING: &str = "rhumb handoff";
const GREETING_BYTES_MAX: u64 = 4 * 1024;
const COMPLAINT_BYTES_MAX: u64 = 64 * 1024;
const COMPLAINTS_MAX: usize = 50;
/// A new master reads, probes and starts workers, each of which has its own
/// limit; this is for the rest.
const START_GRACE_MS: u64 = 5_000;
/// From TERM to KILL.
const END_GRACE_MS: u64 = 6_000;
/// New master → old: my workers are ready.
const MESSAGE_READY: u8 = b'r';
/// Old master → new: systemd takes you for the main process.
const MESSAGE_MAIN: u8 = b'm';
const CHANNEL: Token = Token(usize::MAX - 3);

/// How far an upgrade has come.
pub enum Upgrade {
    Idle,
    /// The new program is asked.
    Asking(Inquiry),
    /// The new master starts.
    Starting(Heir),
    /// Both serve.
    Standing(Heir),
}

/// The new program, run to say what it is.
pub struct Inquiry {
    pid: Pid,
    said: OwnedFd,
    complained: OwnedFd,
    deadline_ms: u64,
    is_late: bool,
}

/// The new master.
pub struct Heir {
    pid: Pid,
    channel: UnixStream,
    deadline_ms: u64,
    is_told_to_end: bool,
}

/// The old master, as the new one knows it.
pub struct Predecessor {
    pub pid: Pid,
    channel: UnixStream,
}

impl Upgrade {
    pub fn is_under_way(&self) -> bool {
        matches!(self, Upgrade::Asking(_) | Upgrade::Starting(_))
    }

    pub fn is_standing(&self) -> bool {
        matches!(self, Upgrade::Standing(_))
    }

    fn pid(&self) -> Option<Pid> {
        match self {
            Upgrade::Idle => None,
            Upgrade::Asking(inquiry) => Some(inquiry.pid),
            Upgrade::Starting(heir) | Upgrade::Standing(heir) => Some(heir.pid),
        }
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        match self {
            Upgrade::Asking(inquiry) if !inquiry.is_late => Some(inquiry.deadline_ms),
            Upgrade::Starting(heir) => Some(heir.deadline_ms),
            _ => None,
        }
    }
}

impl Master {
    /// What is asked for by `rhumb upgrade`: the new one in, the old one out.
    pub(super) fn grant_upgrade(&mut self) -> Granted {
        match self.want_upgrade("rhumb upgrade") {
            Ok(()) => {
                self.leaves_after_upgrade = true;
                Granted::Later(Awaited::Upgrade)
            }
            Err(why) => Granted::Now(refusal(SYSTEM_REFUSED, &format!("no upgrade: {why}"))),
        }
    }

    pub(super) fn want_upgrade(&mut self, why: &'static str) -> Result<(), &'static str> {
        // It may have left this moment.
        self.watch_predecessor();
        let against = if self.stop.is_some() {
            Some("about to leave")
        } else if self.current.is_none() {
            Some("the start is not done")
        } else if self.upgrade_wanted.is_some() || self.upgrade.is_under_way() {
            Some("one is under way")
        } else if self.upgrade.is_standing() {
            Some("a new master serves already; QUIT this one or the new one first")
        } else if self.predecessor.is_some() {
            Some("the old master still lives; QUIT it first")
        } else {
            None
        };
        match against {
            Some(against) => {
                log::warn!("{why} ignored: {against}");
                Err(against)
            }
            None => {
                self.upgrade_wanted = Some(why);
                Ok(())
            }
        }
    }

    pub(super) fn describe_upgrade(&self) -> Option<String> {
        match (&self.upgrade, &self.predecessor) {
            (Upgrade::Asking(_), _) => Some("the new program is asked whether it can take over".to_owned()),
            (Upgrade::Starting(heir), _) => Some(format!("the new master {} starts", heir.pid)),
            (Upgrade::Standing(heir), _) => {
                Some(format!("the new master {} serves beside this one", heir.pid))
            }
            (Upgrade::Idle, Some(old)) => Some(format!("the old master {} serves beside this one", old.pid)),
            (Upgrade::Idle, None) => None,
        }
    }

    /// Takes the next step of an upgrade when it is due.
    pub(super) fn turn_upgrade(&mut self) {
        self.watch_predecessor();
        match &mut self.upgrade {
            Upgrade::Idle if self.stop.is_none() && matches!(self.phase, Phase::Steady) => {
                if let Some(why) = self.upgrade_wanted.take() {
                    log::info!("{why}: asking {} whether it can take over", self.start.program.display());
                    if let Err(error) = self.ask_program() {
                        self.end_upgrade(
                            SYSTEM_REFUSED,
                            &format!("the new program cannot be asked: {error}"),
                            &[],
                        );
                    }
                }
            }
            Upgrade::Asking(inquiry) if self.now_ms >= inquiry.deadline_ms && !inquiry.is_late => {
                inquiry.is_late = true;
                send(inquiry.pid, Signal::SIGKILL);
            }
            Upgrade::Starting(heir) => {
                if heir.says_ready() {
                    self.stand_beside_heir();
                } else if self.now_ms >= heir.deadline_ms {
                    let signal = if heir.is_told_to_end { Signal::SIGKILL } else { Signal::SIGTERM };
                    log::error!("the new master {} was not ready in time: {signal}", heir.pid);
                    heir.end(signal, self.now_ms);
                }
            }
            Upgrade::Idle | Upgrade::Asking(_) | Upgrade::Standing(_) => {}
        }
    }

    fn ask_program(&mut self) -> io::Result<()> {
        let said = sys::create_memory_file("rhumb-said")?;
        let complained = sys::create_memory_file("rhumb-complained")?;
        let master = Pid::this();
        match sys::fork()? {
            Forked::Child => {
                let error = self.become_inquiry(master, &said, &complained);
                log::error!("{}: {error}", self.start.program.display());
                sys::exit_now(127)
            }
            Forked::Parent(pid) => {
                let deadline_ms = sys::monotonic_ms() + self.limits.probe_ms;
                let inquiry = Inquiry { pid, said, complained, deadline_ms, is_late: false };
                self.upgrade = Upgrade::Asking(inquiry);
                Ok(())
            }
        }
    }

    /// In the child; returns only where it failed.
    fn become_inquiry(&self, master: Pid, said: &OwnedFd, complained: &OwnedFd) -> io::Error {
        let mut arguments = self.start.arguments.clone();
        arguments.insert(1.min(arguments.len()), OsString::from("--handshake"));
        let prepared = sys::die_with_parent(master)
            .and_then(|()| exec::become_output(said, complained))
            .and_then(|()| sys::close_all_but(&log::descriptors()));
        match prepared {
            Ok(()) => exec::exec(&self.start, &arguments, &[]),
            Err(error) => error,
        }
    }

    /// A child has ended: whether it was one of an upgrade.
    pub(super) fn note_upgrade_end(&mut self, pid: Pid, ending: Ending) -> bool {
        if self.upgrade.pid() != Some(pid) {
            return false;
        }
        match std::mem::replace(&mut self.upgrade, Upgrade::Idle) {
            Upgrade::Idle => {}
            Upgrade::Asking(inquiry) => self.judge_inquiry(&inquiry, ending),
            Upgrade::Starting(heir) => {
                self.bury_heir(heir);
                let why =
                    format!("the new master {pid} {ending} before it was ready; its reasons are in the log");
                self.end_upgrade(SYSTEM_REFUSED, &why, &[]);
            }
            Upgrade::Standing(heir) => {
                self.bury_heir(heir);
                log::warn!("the new master {pid} {ending}: this one serves on");
            }
        }
        true
    }

    fn judge_inquiry(&mut self, inquiry: &Inquiry, ending: Ending) {
        if self.stop.is_some() {
            return self.end_upgrade(SYSTEM_REFUSED, "about to leave", &[]);
        }
        let read = |file: &OwnedFd, bytes_max| {
            let bytes = sys::read_memory_file(file, bytes_max).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let said = read(&inquiry.said, GREETING_BYTES_MAX);
        let complained = read(&inquiry.complained, COMPLAINT_BYTES_MAX);
        let complaints: Vec<String> = complained.lines().take(COMPLAINTS_MAX).map(str::to_owned).collect();
        let version = said.lines().find_map(|line| line.strip_prefix(GREETING)).map(str::trim);
        let program = self.start.program.display();
        let against = match (version, ending) {
            _ if inquiry.is_late => Some(format!("{program} did not answer in time")),
            (Some(version), Ending::Code(0)) if version == HANDOFF.to_string() => None,
            (Some(version), Ending::Code(0)) => Some(format!(
                "{program} hands over in version {version}, this one in {HANDOFF}: stop and start instead"
            )),
            (Some(_), Ending::Code(2)) => Some(format!("{program} refuses the configuration")),
            _ => Some(format!("{program} {ending} when asked whether it can take over")),
        };
        if let Some(against) = against {
            let is_conf = ending == Ending::Code(i32::from(CONFIGURATION_REFUSED)) && version.is_some();
            let code = if is_conf { CONFIGURATION_REFUSED } else { SYSTEM_REFUSED };
            return self.end_upgrade(code, &against, &complaints);
        }
        if let Err(error) = self.start_heir() {
            if let Some(pid_file) = &mut self.pid_file {
                pid_file.step_back();
            }
            self.end_upgrade(SYSTEM_REFUSED, &format!("the new program cannot be started: {error}"), &[]);
        }
    }

    fn start_heir(&mut self) -> io::Result<()> {
        if let Some(pid_file) = &mut self.pid_file {
            pid_file.step_aside()?;
        }
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let places = self.present_places();
        let master = Pid::this();
        match sys::fork()? {
            Forked::Child => {
                let error = self.become_heir(master, &places, &theirs.into());
                log::error!("{}: {error}", self.start.program.display());
                sys::exit_now(127)
            }
            Forked::Parent(pid) => {
                let mut channel = UnixStream::from_std(ours);
                self.poll.registry().register(&mut channel, CHANNEL, Interest::READABLE)?;
                let limits = &self.limits;
                let deadline_ms =
                    sys::monotonic_ms() + limits.probe_ms + limits.worker_start_ms + START_GRACE_MS;
                log::info!("the new master {pid} starts");
                self.notifier.status("a new program starts");
                self.upgrade = Upgrade::Starting(Heir { pid, channel, deadline_ms, is_told_to_end: false });
                Ok(())
            }
        }
    }

    /// In the child; returns only where it failed.
    fn become_heir(&self, master: Pid, places: &[Rc<Place>], channel: &OwnedFd) -> io::Error {
        let mut kept = log::descriptors();
        kept.push(channel.as_raw_fd());
        kept.extend(places.iter().map(|place| place.as_fd().as_raw_fd()));
        let prepared = sys::close_all_but(&kept)
            .and_then(|()| exec::keep_on_exec(channel.as_fd()))
            .and_then(|()| places.iter().try_for_each(|place| exec::keep_on_exec(place.as_fd())));
        if let Err(error) = prepared {
            return error;
        }
        let mut variables = vec![(FDS_VARIABLE, write_handoff(channel.as_raw_fd(), master, places).into())];
        if let Some(socket) = &self.notify_socket {
            variables.push(("NOTIFY_SOCKET", socket.clone()));
        }
        if let Some(watchdog_us) = self.watchdog_us {
            variables.push(("WATCHDOG_USEC", watchdog_us.to_string().into()));
        }
        exec::exec(&self.start, &self.start.arguments, &variables)
    }

    /// The new master serves: whoever waits for that hears it.
    fn stand_beside_heir(&mut self) {
        let Upgrade::Starting(mut heir) = std::mem::replace(&mut self.upgrade, Upgrade::Idle) else { return };
        for place in self.present_places() {
            place.lend(true);
        }
        // Only the main process may name another one.
        self.notifier.hand_over(heir.pid);
        let _ = heir.channel.write(&[MESSAGE_MAIN]);
        log::info!(
            "upgraded: the new master {} serves; QUIT lets this one go, HUP lets it take the service back",
            heir.pid
        );
        let message = format!("the new master {} serves", heir.pid);
        self.answer_waiting(Awaited::Upgrade, &consent(&message));
        // It has just read what we would read.
        self.reload_wanted = None;
        self.headcount.note_reload_refused();
        self.answer_waiting(Awaited::NextReload, &consent(&message));
        self.upgrade = Upgrade::Standing(heir);
        if std::mem::take(&mut self.leaves_after_upgrade) && self.stop.is_none() {
            self.begin_stop(Stop::Gracefully, "upgraded");
        }
    }

    /// What was the new master's is ours again.
    fn bury_heir(&mut self, mut heir: Heir) {
        if let Err(error) = self.poll.registry().deregister(&mut heir.channel) {
            log::alert!("cannot forget the channel of the new master: {error}");
        }
        for place in self.present_places() {
            place.lend(false);
        }
        if self.stop.is_some() {
            return;
        }
        self.headcount.call_back();
        if let Some(pid_file) = &mut self.pid_file {
            pid_file.step_back();
        }
        if let Some(control) = &mut self.control
            && !control.is_in_place()
            && let Err(error) = control.restore(self.poll.registry())
        {
            log::error!("control: {error}");
        }
        if self.notifier.take_over() {
            self.notifier.ready(&self.tell_state());
        }
    }

    fn end_upgrade(&mut self, code: u8, why: &str, complaints: &[String]) {
        self.leaves_after_upgrade = false;
        for complaint in complaints {
            log::error!("{complaint}");
        }
        log::error!("upgrade refused, this program serves on: {why}");
        let answer = json!({
            "ok": false,
            "code": if code == DONE { SYSTEM_REFUSED } else { code },
            "message": format!("upgrade refused, the old program serves on: {why}"),
            "errors": complaints,
        });
        self.answer_waiting(Awaited::Upgrade, &answer);
        self.notifier.status(&format!("upgrade refused: {why}"));
    }

    /// HUP to the old master of a pair: its workers come back, as they were.
    pub(super) fn take_back_service(&mut self) {
        log::info!("SIGHUP: this master serves on beside the new one; QUIT the new one");
        self.headcount.call_back();
    }

    /// We leave: an upgrade that is not done yet ends with us.
    pub(super) fn leave_upgrade(&mut self) {
        self.upgrade_wanted = None;
        match &mut self.upgrade {
            Upgrade::Asking(inquiry) => send(inquiry.pid, Signal::SIGKILL),
            Upgrade::Starting(heir) => heir.end(Signal::SIGTERM, self.now_ms),
            Upgrade::Idle | Upgrade::Standing(_) => {}
        }
    }

    // --- the new master's side ----------------------------------------------

    pub(super) fn adopt_predecessor(&mut self, parent: Parent) -> io::Result<()> {
        let channel = std::os::unix::net::UnixStream::from(parent.channel);
        channel.set_nonblocking(true)?;
        let mut channel = UnixStream::from_std(channel);
        self.poll.registry().register(&mut channel, CHANNEL, Interest::READABLE)?;
        self.predecessor = Some(Predecessor { pid: parent.pid, channel });
        Ok(())
    }

    /// Our workers are ready: tells the old master.
    pub(super) fn tell_predecessor(&mut self) {
        if let Some(predecessor) = &mut self.predecessor
            && let Err(error) = predecessor.channel.write(&[MESSAGE_READY])
        {
            log::warn!("the old master {} cannot be told that we are ready: {error}", predecessor.pid);
        }
    }

    fn watch_predecessor(&mut self) {
        let Some(predecessor) = &mut self.predecessor else { return };
        let mut buffer = [0; 16];
        let is_gone = match predecessor.channel.read(&mut buffer) {
            Ok(0) => true,
            Ok(count) => {
                if buffer[..count].contains(&MESSAGE_MAIN) && self.notifier.take_over() {
                    self.notifier.ready(&self.tell_state());
                }
                false
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
            Err(_) => true,
        };
        if is_gone {
            self.succeed();
        }
    }

    /// The old master is gone: all that was lent is ours.
    fn succeed(&mut self) {
        let Some(mut predecessor) = self.predecessor.take() else { return };
        log::info!("the old master {} has left", predecessor.pid);
        if let Err(error) = self.poll.registry().deregister(&mut predecessor.channel) {
            log::alert!("cannot forget the channel of the old master: {error}");
        }
        for place in self.present_places() {
            place.lend(false);
        }
        // Sockets that the configuration does not name close here.
        if self.current.is_some() {
            self.inherited.retain(|place| place.given().is_some());
        }
        if let Some(pid_file) = &self.pid_file {
            pid_file.sweep_old(predecessor.pid.as_raw().unsigned_abs());
        }
        if self.notifier.take_over() && self.current.is_some() {
            self.notifier.ready(&self.tell_state());
        }
    }
}

impl Heir {
    fn says_ready(&mut self) -> bool {
        let mut buffer = [0; 16];
        match self.channel.read(&mut buffer) {
            Ok(count) => buffer[..count].contains(&MESSAGE_READY),
            // Its end is told by its death.
            Err(_) => false,
        }
    }

    fn end(&mut self, signal: Signal, now_ms: u64) {
        send(self.pid, signal);
        self.is_told_to_end = true;
        self.deadline_ms = now_ms + END_GRACE_MS;
    }
}

fn send(pid: Pid, signal: Signal) {
    if let Err(error) = sys::send_signal(pid, signal) {
        log::alert!("cannot send {signal} to {pid}: {error}");
    }
}

/// `--handshake`: says which handoff this program understands, and checks the
/// configuration as a start would. Returns the exit code.
pub fn answer_handshake(settle: &Settle, build: fn(&Daemon, &mut FileSet) -> Vec<Finding>) -> u8 {
    let _ = writeln!(io::stdout(), "{GREETING} {HANDOFF}");
    let mut files = FileSet::reading();
    let (daemon, mut findings) = settle(&mut files);
    if let Some(daemon) = daemon
        && !findings.iter().any(Finding::is_error)
    {
        match drop_for_check(&daemon) {
            Ok(()) => findings.extend(build(&daemon, &mut files)),
            Err(refusal) => findings.push(refusal),
        }
    }
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
    for finding in &errors {
        let _ = writeln!(io::stderr(), "{finding}");
    }
    if errors.is_empty() { DONE } else { CONFIGURATION_REFUSED }
}
