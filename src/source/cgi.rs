//! A CGI program (MapServer) that is run for each request: in a process group
//! of its own, with a deadline, its output bounded, and reaped whatever it does.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::address::clean;
use super::client::Fetched;
use super::error::SourceError;
use crate::log;
use crate::sys;

/// Of what the program says on its error output, shown in the log; the rest is thrown away.
const ERRORS_SHOWN_BYTES: usize = 1000;
/// Of the program's header.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How often a program that closed its output is asked whether it has ended.
const REAP_STEP: Duration = Duration::from_millis(2);

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub binary: PathBuf,
    /// The program's own folder where nothing is said.
    pub working_dir: Option<PathBuf>,
}

/// A child that does not outlive its owner.
struct Running {
    child: Child,
    has_ended: bool,
}

impl Drop for Running {
    /// Ends the whole group: the program may have started others.
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id())
            && sys::send_signal(Pid::from_raw(-group), Signal::SIGKILL).is_err()
            && !self.has_ended
        {
            let _ = self.child.kill();
        }
        if !self.has_ended {
            let _ = self.child.wait();
        }
    }
}

impl Program {
    /// Runs the program once with a query.
    ///
    /// # Errors
    /// It cannot be started, fails, takes too long or says too much.
    pub fn run(&self, query: &str, limit_bytes: u64, timeout: Duration) -> Result<Fetched, SourceError> {
        let fail = |reason: String| SourceError::Other(format!("{}: {reason}", self.binary.display()));
        let deadline = Instant::now() + timeout;
        let folder = self.working_dir.clone().or_else(|| self.binary.parent().map(PathBuf::from));
        let mut command = Command::new(&self.binary);
        command
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", "GET")
            .env("GATEWAY_INTERFACE", "CGI/1.1")
            .env("SERVER_ADDR", "127.0.0.1")
            .env("SERVER_NAME", "localhost")
            .env("SERVER_PROTOCOL", "HTTP/1.0")
            .env("SERVER_SOFTWARE", concat!("rhumb/", env!("CARGO_PKG_VERSION")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let child = command.spawn().map_err(|error| fail(format!("cannot be started: {error}")))?;
        let mut running = Running { child, has_ended: false };
        let output = running.read(limit_bytes, deadline).map_err(fail)?;
        let status = running.wait(deadline).map_err(fail)?;
        if !status.success() {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, Some(signal)) => format!("was ended by signal {signal}"),
                (None, None) => "ended strangely".to_owned(),
            };
            return Err(fail(how));
        }
        parse(output).map_err(fail)
    }
}

impl Running {
    /// Everything on the standard output; the error output goes to the log.
    fn read(&mut self, limit_bytes: u64, deadline: Instant) -> Result<Vec<u8>, String> {
        let (Some(mut out), Some(mut err)) = (self.child.stdout.take(), self.child.stderr.take()) else {
            return Err("has no output".into());
        };
        let mut output = Vec::new();
        let mut errors = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        let (mut is_out_open, mut is_err_open) = (true, true);
        while is_out_open {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("took too long and was ended".into());
            }
            let mut watched = vec![PollFd::new(out.as_fd(), PollFlags::POLLIN)];
            if is_err_open {
                watched.push(PollFd::new(err.as_fd(), PollFlags::POLLIN));
            }
            let patience = PollTimeout::try_from(left.as_millis().clamp(1, 1000) as i32);
            match poll(&mut watched, patience.unwrap_or(PollTimeout::ZERO)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(format!("cannot be watched: {error}")),
            }
            let is_ready = |at: usize| {
                watched.get(at).and_then(PollFd::revents).is_some_and(|events| !events.is_empty())
            };
            let (out_ready, err_ready) = (is_ready(0), is_ready(1));
            drop(watched);
            if out_ready {
                let count = out.read(&mut piece).map_err(|error| format!("cannot be read: {error}"))?;
                is_out_open = count > 0;
                output.extend_from_slice(&piece[..count]);
                if output.len() as u64 > limit_bytes {
                    return Err(format!("answered more than the limit of {limit_bytes} bytes"));
                }
            }
            if err_ready {
                let count = err.read(&mut piece).unwrap_or(0);
                is_err_open = count > 0;
                let room = ERRORS_SHOWN_BYTES.saturating_sub(errors.len());
                errors.extend_from_slice(&piece[..count.min(room)]);
            }
        }
        if !errors.is_empty() {
            log::warn!(
                "a CGI program said: {}",
                clean(&String::from_utf8_lossy(&errors), ERRORS_SHOWN_BYTES)
            );
        }
        Ok(output)
    }

    fn wait(&mut self, deadline: Instant) -> Result<std::process::ExitStatus, String> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.has_ended = true;
                    return Ok(status);
                }
                Ok(None) if Instant::now() < deadline => std::thread::sleep(REAP_STEP),
                Ok(None) => return Err("closed its output but did not end".into()),
                Err(error) => return Err(format!("cannot be waited for: {error}")),
            }
        }
    }
}

/// Splits a CGI answer into header and body.
fn parse(mut output: Vec<u8>) -> Result<Fetched, String> {
    let head = &output[..output.len().min(HEADER_BYTES_MAX)];
    let unix = head.windows(2).position(|two| two == b"\n\n").map(|at| (at, at + 2));
    let dos = head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| (at, at + 4));
    let (end, begin) = match (unix, dos) {
        (Some(unix), Some(dos)) => unix.min(dos),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => return Err("answered without a header".into()),
    };
    let header = String::from_utf8_lossy(&output[..end]).into_owned();
    let field = |name: &str| {
        header.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let status = match field("Status") {
        Some(text) => text.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500),
        None => 200,
    };
    if !(200..300).contains(&status) {
        return Err(format!("answered with status {status}"));
    }
    let content_type = clean(&field("Content-Type").unwrap_or_default(), 100);
    output.drain(..begin);
    Ok(Fetched { status, content_type, bytes: output })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, limit_bytes: u64, timeout_ms: u64) -> Result<Fetched, String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let binary = std::env::temp_dir().join(format!("rhumb-cgi-{}-{count}", std::process::id()));
        std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&binary, mode).unwrap();
        let program = Program { binary, working_dir: None };
        // Another test's fork may hold the file open for writing for a moment.
        for _ in 0..200 {
            match program.run("a=b", limit_bytes, Duration::from_millis(timeout_ms)) {
                Err(error) if error.to_string().contains("Text file busy") => std::thread::yield_now(),
                other => {
                    let _ = std::fs::remove_file(&program.binary);
                    return other.map_err(|error| error.to_string());
                }
            }
        }
        panic!("the file stays busy");
    }

    #[test]
    fn answers_are_taken_apart() {
        let got = run(
            "printf 'Content-Type: text/plain\\r\\n\\r\\n'; printf '%s' \"$QUERY_STRING $REQUEST_METHOD\"",
            1000,
            60_000,
        )
        .unwrap();
        assert_eq!(
            (got.status, got.content_type.as_str(), got.bytes.as_slice()),
            (200, "text/plain", &b"a=b GET"[..])
        );
        assert!(
            run("printf 'Status: 404 Not Found\\nA: b\\n\\n'", 1000, 60_000)
                .unwrap_err()
                .contains("status 404")
        );
        assert!(run("echo nonsense", 1000, 60_000).unwrap_err().contains("without a header"));
    }

    #[test]
    fn a_program_is_kept_within_its_limits() {
        for (script, limit_bytes, timeout_ms, reason) in [
            ("exit 3", 1000, 60_000, "exit code 3"),
            ("kill -9 $$", 1000, 60_000, "signal 9"),
            ("printf 'A: b\\n\\n'; exec head -c 100000 /dev/zero", 1000, 60_000, "more than the limit"),
            ("exec sleep 600", 1000, 50, "took too long"),
            ("sleep 600 & sleep 600", 1000, 50, "took too long"),
            ("exec >&- 2>&-; exec sleep 600", 1000, 50, "end"),
            ("head -c 2000000 /dev/zero >&2; exit 4", 1000, 60_000, "exit code 4"),
        ] {
            let error = run(script, limit_bytes, timeout_ms).unwrap_err();
            assert!(error.contains(reason), "{script}: {error}");
        }
        let nowhere = Program { binary: "/nowhere/mapserv".into(), working_dir: None };
        let error = nowhere.run("", 10, Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("cannot be started"), "{error}");
    }
}
