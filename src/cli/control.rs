//! The commands that act on a running daemon: `reload`, `upgrade`, `stop`,
//! `quit`, `reopen`, `status`, `signal`. They ask over the control socket, wait
//! and report. Where there is none, they send the signal to the process that
//! the pid file names, and say what they cannot know then.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use super::{Act, Ask, SYSTEM_REFUSED, USAGE};
use crate::conf::daemon::{Reach, find_reach};
use crate::{master, sys};

/// Bound on an answer: a thousand findings fit well.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const CONFIGURATION_REFUSED: u8 = 2;

/// What is asked of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Reload,
    Upgrade,
    Stop,
    Quit,
    Reopen,
    Status { json: bool },
    Signal(&'static master::Row),
}

impl Command {
    fn line(self) -> String {
        match self {
            Command::Reload => "reload".to_owned(),
            Command::Upgrade => "upgrade".to_owned(),
            Command::Stop => "stop".to_owned(),
            Command::Quit => "quit".to_owned(),
            Command::Reopen => "reopen".to_owned(),
            Command::Status { .. } => "status".to_owned(),
            Command::Signal(row) => format!("signal {}", row.signal.as_str()),
        }
    }

    /// The signal that asks for the same.
    fn signal(self) -> Option<Signal> {
        match self {
            Command::Reload => Some(Signal::SIGHUP),
            Command::Upgrade => Some(Signal::SIGUSR2),
            Command::Stop => Some(Signal::SIGTERM),
            Command::Quit => Some(Signal::SIGQUIT),
            Command::Reopen => Some(Signal::SIGUSR1),
            Command::Status { .. } => None,
            Command::Signal(row) => Some(row.signal),
        }
    }

    fn ends_it(self) -> bool {
        matches!(self, Command::Stop | Command::Quit)
    }
}

/// Reads `NAME` of `rhumb signal NAME`.
pub fn parse_signal(name: &str) -> Result<&'static master::Row, String> {
    master::find_signal(name).ok_or_else(|| {
        let known = master::TABLE.iter().filter(|row| !row.meaning.is_empty());
        let names: Vec<_> = known.map(|row| row.signal.as_str().trim_start_matches("SIG")).collect();
        format!("known are {}", names.join(", "))
    })
}

/// Asks, waits, reports. 0: done; 2: a configuration was refused; 3: no daemon
/// runs, or the system refused.
pub fn run(act: Act) -> ExitCode {
    let Act { ask: Ask { config, timeout_s }, command } = act;
    let deadline = Instant::now() + Duration::from_secs(timeout_s);
    let reach = match find_reach(&config) {
        Ok(reach) => reach,
        Err(error) => return complain(CONFIGURATION_REFUSED, &error),
    };
    if reach == Reach::default() {
        let text = format!(
            "{}: neither `control` nor `pid_file` is set, so the daemon cannot be found",
            config.display()
        );
        return complain(CONFIGURATION_REFUSED, &text);
    }
    let stream = match &reach.control {
        Some(path) => match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let text = format!("{}: {error}; it is for the user that the daemon runs as", path.display());
                return complain(SYSTEM_REFUSED, &text);
            }
            Err(error) => {
                let why = format!("nobody listens at {} ({error})", path.display());
                return signal_instead(&reach, command, deadline, &why);
            }
        },
        None => return signal_instead(&reach, command, deadline, "no control socket is configured"),
    };
    match talk(stream, command, deadline) {
        Ok(Some(answer)) => report(command, &answer),
        Ok(None) if command.ends_it() => {
            println!("rhumb has left");
            ExitCode::SUCCESS
        }
        Ok(None) => complain(SYSTEM_REFUSED, "the daemon ended before it answered"),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            let text = format!("no answer within {timeout_s} s; what was asked for may still happen");
            complain(SYSTEM_REFUSED, &text)
        }
        Err(error) => complain(SYSTEM_REFUSED, &format!("the daemon cannot be asked: {error}")),
    }
}

fn complain(code: u8, text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "rhumb: {text}");
    ExitCode::from(code)
}

/// The answer; `None` where the daemon closed without one.
fn talk(mut stream: UnixStream, command: Command, deadline: Instant) -> io::Result<Option<Value>> {
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let peer = sys::peer_of(&stream)?;
    stream.set_write_timeout(Some(left()))?;
    stream.write_all(format!("{}\n", command.line()).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        stream.set_read_timeout(Some(left()))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if (bytes.len() + count) as u64 > ANSWER_BYTES_MAX => {
                return Err(io::Error::other("the answer has no end"));
            }
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if bytes.is_empty() {
        // It closes its sockets a moment before it ends.
        await_end(peer, deadline)?;
        return Ok(None);
    }
    let answer: Value = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    if command == Command::Upgrade && answer["ok"] == true {
        await_end(peer, deadline)?;
    }
    Ok(Some(answer))
}

fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; it waits for its parent.
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}

fn await_end(pid: Pid, deadline: Instant) -> io::Result<()> {
    while lives(pid) {
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn report(command: Command, answer: &Value) -> ExitCode {
    let code = answer["code"].as_u64().and_then(|code| u8::try_from(code).ok()).unwrap_or(USAGE);
    let is_good = answer["ok"] == true;
    if let Command::Status { json } = command
        && is_good
    {
        let text = if json { format!("{answer}\n") } else { describe(answer) };
        let _ = io::stdout().write_all(text.as_bytes());
        return ExitCode::SUCCESS;
    }
    for key in ["errors", "warnings"] {
        for text in answer[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
    let message = answer["message"].as_str().unwrap_or("the daemon gave no reason");
    if is_good {
        println!("{message}");
        return ExitCode::SUCCESS;
    }
    complain(if code == 0 { SYSTEM_REFUSED } else { code }, message)
}

/// The state for a person.
fn describe(answer: &Value) -> String {
    let text = |key: &str| answer[key].as_str().unwrap_or("-").to_owned();
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or(0);
    let mut out = format!(
        "rhumb {}: {}, pid {}, up {} s\nconfiguration {}, generation {}\n",
        text("version"),
        text("state"),
        number(answer, "pid"),
        number(answer, "uptime_s"),
        text("file"),
        number(answer, "generation"),
    );
    for place in answer["listen"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.push_str(&format!("listens on {place}\n"));
    }
    if let Some(upgrade) = answer["upgrade"].as_str() {
        out.push_str(&format!("upgrade: {upgrade}\n"));
    }
    out.push_str(&format!(
        "reloads: {} done, {} refused; workers that died: {}\n",
        number(answer, "reloads"),
        number(answer, "reloads_refused"),
        number(answer, "workers_died"),
    ));
    let last = &answer["last_reload"];
    if last["ok"] == false {
        out.push_str(&format!("last reload: {}\n", last["message"].as_str().unwrap_or("-")));
        for error in last["errors"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.push_str(&format!("  {error}\n"));
        }
    }
    out.push_str("    pid  generation  state     age (s)  connections  requests\n");
    for worker in answer["workers"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "{:7}  {:10}  {:8}  {:7}  {:11}  {:8}\n",
            number(worker, "pid"),
            number(worker, "generation"),
            worker["state"].as_str().unwrap_or("-"),
            number(worker, "age_s"),
            number(worker, "connections"),
            number(worker, "in_flight"),
        ));
    }
    out
}

/// Without a control socket: by the pid file, as far as that goes.
fn signal_instead(reach: &Reach, command: Command, deadline: Instant, why: &str) -> ExitCode {
    let found = reach.pid_file.as_deref().and_then(master::find_master);
    let Some(pid) = found.and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw) else {
        return complain(SYSTEM_REFUSED, &format!("rhumb does not run: {why}{}", tell_pid_file(reach)));
    };
    let Some(signal) = command.signal() else {
        return complain(
            SYSTEM_REFUSED,
            &format!("rhumb runs with pid {pid}, but {why}: it cannot be asked"),
        );
    };
    if let Err(error) = sys::send_signal(pid, signal) {
        return complain(SYSTEM_REFUSED, &format!("cannot send {signal} to pid {pid}: {error}"));
    }
    let waited = match command {
        Command::Stop | Command::Quit => await_end(pid, deadline).map(|()| "it has left"),
        Command::Upgrade => finish_upgrade(reach, pid, deadline),
        _ => Ok("what comes of it is told in its log"),
    };
    match waited {
        Ok(outcome) => {
            println!("{why}: sent {signal} to pid {pid}; {outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(SYSTEM_REFUSED, &format!("{why}: sent {signal} to pid {pid}, but {error}; see its log"))
        }
    }
}

fn tell_pid_file(reach: &Reach) -> String {
    match &reach.pid_file {
        Some(path) => format!(", and {} names no process of rhumb", path.display()),
        None => ", and no pid_file is set".to_owned(),
    }
}

/// The new master writes the pid file when it is ready; then the old may go.
fn finish_upgrade(reach: &Reach, old: Pid, deadline: Instant) -> io::Result<&'static str> {
    let pid_file = reach.pid_file.as_deref().unwrap_or(Path::new(""));
    let is_new = |pid: u32| i32::try_from(pid).is_ok_and(|pid| pid != old.as_raw());
    let mut stepped_aside = false;
    loop {
        match master::find_master(pid_file) {
            Some(pid) if is_new(pid) => break,
            Some(_) if stepped_aside => return Err(io::Error::other("the new program was not taken")),
            Some(_) => {}
            None => stepped_aside = true,
        }
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    sys::send_signal(old, Signal::SIGQUIT)?;
    await_end(old, deadline)?;
    Ok("the new one serves and the old has left")
}
