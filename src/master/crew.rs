//! A worker as the master sees it: how far it has come, and what happens to it
//! next if it does not move by itself.

use std::io::{self, Read, Write};

use mio::net::UnixStream;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::log;
use crate::sys;
use crate::worker::{MESSAGE_DRAIN, MESSAGE_READY};

/// A worker that drains has this long past its own deadline.
const DRAIN_GRACE_MS: u64 = 1_000;
/// After TERM: a second for what is being answered, and some.
const TERMINATE_GRACE_MS: u64 = 1_500;
/// After ABRT: time for a core file.
const ABORT_GRACE_MS: u64 = 1_000;
/// After KILL a process is gone, unless the kernel itself is stuck.
const KILL_AGAIN_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Forked, not heard of yet.
    Starting,
    Serving,
    /// Told to finish and leave.
    Draining,
    /// Sent a signal that ends it.
    Ending,
}

/// What comes next when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Terminate,
    Kill,
}

pub struct Worker {
    pub pid: Pid,
    /// Its place on the board.
    pub slot: usize,
    pub generation: u64,
    pub stage: Stage,
    /// To be replaced, then drained.
    pub retiring: bool,
    /// One of its threads does not end any more.
    pub is_sick: bool,
    pub forked_ms: u64,
    /// 0: not yet.
    pub ready_ms: u64,
    /// When it was told to drain; 0: not yet.
    drained_ms: u64,
    /// We asked it to leave, so its end is no accident.
    pub dismissed: bool,
    channel: UnixStream,
    next: Option<(u64, Step)>,
}

impl Worker {
    /// A worker just forked; it must be ready by `start_deadline_ms`.
    pub fn new(
        pid: Pid,
        slot: usize,
        generation: u64,
        channel: std::os::unix::net::UnixStream,
        forked_ms: u64,
        start_deadline_ms: u64,
    ) -> Worker {
        Worker {
            pid,
            slot,
            generation,
            stage: Stage::Starting,
            retiring: false,
            is_sick: false,
            forked_ms,
            ready_ms: 0,
            drained_ms: 0,
            dismissed: false,
            channel: UnixStream::from_std(channel),
            next: Some((start_deadline_ms, Step::Kill)),
        }
    }

    pub fn channel(&mut self) -> &mut UnixStream {
        &mut self.channel
    }

    /// Reads the channel empty: `true` when the worker has just said READY. What
    /// else it says is on the board; it only wakes us.
    pub fn hear_ready(&mut self, now_ms: u64) -> bool {
        let mut heard = false;
        let mut buffer = [0; 64];
        loop {
            match self.channel.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => heard |= buffer[..count].contains(&MESSAGE_READY),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if heard && self.stage == Stage::Starting {
            self.stage = Stage::Serving;
            self.ready_ms = now_ms;
            self.next = None;
            return true;
        }
        false
    }

    /// Others take over: asks it to answer what it has and leave.
    pub fn drain(&mut self, now_ms: u64, drain_max_ms: u64) {
        if matches!(self.stage, Stage::Starting | Stage::Serving) {
            // A worker that is gone cannot read it: it will be reaped.
            let _ = self.channel.write(&[MESSAGE_DRAIN]);
            self.begin_draining(now_ms, drain_max_ms);
        }
    }

    /// Nobody takes over: asks it to take what waits on the sockets too.
    pub fn finish(&mut self, now_ms: u64, drain_max_ms: u64) {
        if self.stage != Stage::Ending {
            self.signal(Signal::SIGQUIT);
            self.begin_draining(now_ms, drain_max_ms);
        }
    }

    fn begin_draining(&mut self, now_ms: u64, drain_max_ms: u64) {
        self.stage = Stage::Draining;
        self.drained_ms = now_ms;
        self.dismissed = true;
        self.next = Some((now_ms.saturating_add(drain_max_ms + DRAIN_GRACE_MS), Step::Terminate));
    }

    /// A worker that has drained for `patience_ms` gets TERM.
    pub fn hasten(&mut self, now_ms: u64, patience_ms: u64) {
        if self.stage == Stage::Draining
            && let Some((at_ms, Step::Terminate)) = &mut self.next
        {
            *at_ms = (*at_ms).min(self.drained_ms.saturating_add(patience_ms)).max(now_ms);
        }
    }

    /// TERM, then KILL after `grace_ms`.
    pub fn terminate(&mut self, now_ms: u64, grace_ms: u64) {
        if self.stage == Stage::Ending {
            return;
        }
        self.signal(Signal::SIGTERM);
        self.stage = Stage::Ending;
        self.dismissed = true;
        self.next = Some((now_ms + grace_ms, Step::Kill));
    }

    /// ABRT (a core file tells where it hangs), then KILL.
    pub fn abort(&mut self, now_ms: u64) {
        self.signal(Signal::SIGABRT);
        self.stage = Stage::Ending;
        self.next = Some((now_ms + ABORT_GRACE_MS, Step::Kill));
    }

    pub fn kill(&mut self, now_ms: u64) {
        self.signal(Signal::SIGKILL);
        self.stage = Stage::Ending;
        self.next = Some((now_ms + KILL_AGAIN_MS, Step::Kill));
    }

    /// Does what its deadline asks for, if that has passed. Tells what was
    /// done, for the log.
    pub fn take_due_step(&mut self, now_ms: u64) -> Option<&'static str> {
        let (at_ms, step) = self.next?;
        if now_ms < at_ms {
            return None;
        }
        let was = self.stage;
        match step {
            Step::Terminate => self.terminate(now_ms, TERMINATE_GRACE_MS),
            Step::Kill => self.kill(now_ms),
        }
        Some(match was {
            Stage::Starting => "was not ready in time: killed",
            Stage::Serving | Stage::Draining => "did not finish in time: told to leave at once",
            Stage::Ending => "did not leave: killed",
        })
    }

    /// When [`Worker::take_due_step`] has something to do.
    pub fn next_step_ms(&self) -> Option<u64> {
        self.next.map(|(at_ms, _)| at_ms)
    }

    pub fn signal(&self, signal: Signal) {
        if let Err(error) = sys::send_signal(self.pid, signal) {
            log::error!("cannot send {signal} to worker {}: {error}", self.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    /// A process that ends by signals only, and the worker's end of a channel.
    fn worker_of(child: &Child) -> (Worker, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("pid"));
        (Worker::new(pid, 0, 1, ours, 1_000, 31_000), theirs)
    }

    fn start() -> Child {
        Command::new("sleep").arg("600").spawn().expect("sleep")
    }

    #[test]
    fn ready_ends_the_patience_with_a_start() {
        let mut child = start();
        let (mut worker, mut theirs) = worker_of(&child);
        assert!(!worker.hear_ready(1_500));
        assert_eq!(worker.next_step_ms(), Some(31_000));
        theirs.write_all(&[MESSAGE_READY]).expect("write");
        assert!(worker.hear_ready(2_000));
        assert_eq!((worker.stage, worker.ready_ms), (Stage::Serving, 2_000));
        assert_eq!(worker.take_due_step(u64::MAX / 2), None);
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    #[test]
    fn a_worker_that_drains_too_long_is_told_then_killed() {
        let mut child = start();
        let (mut worker, mut theirs) = worker_of(&child);
        theirs.write_all(&[MESSAGE_READY]).expect("write");
        assert!(worker.hear_ready(2_000));
        worker.drain(10_000, 30_000);
        let mut message = [0; 8];
        assert_eq!(theirs.read(&mut message).expect("read"), 1);
        assert_eq!(message[0], MESSAGE_DRAIN);
        worker.hasten(11_000, 60_000);
        assert_eq!(worker.next_step_ms(), Some(41_000), "hastening never gives more time");
        worker.hasten(11_000, 4_500);
        assert_eq!(worker.next_step_ms(), Some(14_500));
        assert_eq!(worker.take_due_step(14_499), None);
        assert!(worker.take_due_step(14_500).is_some());
        assert_eq!((worker.stage, worker.dismissed), (Stage::Ending, true));
        assert_eq!(child.wait().expect("wait").signal(), Some(Signal::SIGTERM as i32));
        assert_eq!(worker.next_step_ms(), Some(16_000), "then it would be killed");
    }

    #[test]
    fn a_late_start_ends_by_kill() {
        let mut child = start();
        let (mut worker, _theirs) = worker_of(&child);
        assert_eq!(worker.take_due_step(31_000), Some("was not ready in time: killed"));
        assert!(!worker.dismissed, "its death counts");
        assert_eq!(child.wait().expect("wait").signal(), Some(Signal::SIGKILL as i32));
    }
}
