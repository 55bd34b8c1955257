//! From one configuration to the next: probe, open, roll over in batches,
//! commit; or refuse, and nothing has changed. The start is the same way with
//! no present generation to fall back on.
//!
//! A new worker is READY before an old one drains, so there are never fewer
//! that accept than before. A reload is over when no old one accepts.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use nix::unistd::Pid;

use super::changes::Changes;
use super::control::Control;
use super::crew::{Stage, Worker};
use super::generation::Generation;
use super::listen::Place;
use super::orders::Outcome;
use super::pidfile::PidFile;
use super::probe::{Probe, Remark, Verdict};
use super::{CONFIGURATION_REFUSED, DONE, Master, QUICK_STOP_MS, SYSTEM_REFUSED, Stop};
use crate::board::State;
use crate::conf::daemon::Maps;
use crate::conf::{Daemon, FileSet};
use crate::log;
use crate::sys::Ending;

/// A roll-over replaces this part of the workers at a time, at least one.
const BATCHES: usize = 4;
/// New workers killed from outside before one is ready: after so many the
/// generation is given up.
const KILLS_MAX: u32 = 3;
/// An old worker that has not closed its door by then keeps nobody waiting.
const CLOSING_MAX_MS: u64 = 1_000;
/// File times are coarser than the clock.
const CLOCK_SLACK: Duration = Duration::from_millis(20);

/// What a reload is at.
pub enum Phase {
    Steady,
    Probing(Probe),
    Rolling(Roll),
    /// The new workers serve; the old ones have been told to close their doors.
    Closing(Closing),
}

/// A generation on its way in.
pub struct Roll {
    incoming: Rc<Generation>,
    began_ms: u64,
    /// No present generation: all at once.
    is_start: bool,
    kills: u32,
    warnings: Vec<String>,
}

/// A generation that serves, and is in effect when nobody else takes
/// connections any more.
pub struct Closing {
    number: u64,
    began_ms: u64,
    deadline_ms: u64,
    warnings: Vec<String>,
}

impl Phase {
    pub fn is_probing(&self) -> bool {
        matches!(self, Phase::Probing(_))
    }

    pub fn is_rolling(&self) -> bool {
        matches!(self, Phase::Rolling(_))
    }

    /// When the old workers have had their time to close their doors.
    pub fn closing_deadline_ms(&self) -> Option<u64> {
        match self {
            Phase::Closing(closing) => Some(closing.deadline_ms),
            _ => None,
        }
    }

    pub fn is_probe(&self, pid: Pid) -> bool {
        matches!(self, Phase::Probing(probe) if probe.pid == pid)
    }

    /// Workers that may be starting at the same time.
    pub fn batch(&self, worker_count: usize) -> usize {
        match self {
            Phase::Rolling(roll) if !roll.is_start => (worker_count / BATCHES).max(1),
            _ => worker_count,
        }
    }
}

impl Master {
    /// The generation that workers are forked of.
    pub(super) fn wanted_generation(&self) -> Option<Rc<Generation>> {
        match &self.phase {
            Phase::Rolling(roll) => Some(Rc::clone(&roll.incoming)),
            Phase::Steady | Phase::Probing(_) | Phase::Closing(_) => self.current.clone(),
        }
    }

    /// Takes the next step of a reload when it is due.
    pub(super) fn turn_generations(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let wanted = self.wanted().map_or(1, |(_, count)| count);
        match &mut self.phase {
            Phase::Steady => self.begin_reload_if_wanted(),
            Phase::Probing(probe) => {
                if self.now_ms >= probe.deadline_ms && !probe.late {
                    probe.late = true;
                    probe.kill();
                }
            }
            Phase::Rolling(roll) => {
                let number = roll.incoming.number;
                let serving = self
                    .workers
                    .iter()
                    .filter(|worker| worker.generation == number && worker.stage == Stage::Serving);
                if serving.count() >= wanted {
                    self.commit_roll();
                }
            }
            Phase::Closing(_) => self.end_closing(),
        }
    }

    fn begin_reload_if_wanted(&mut self) {
        let Some(why) = self.reload_wanted else { return };
        // The new master of an upgrade reads the configuration itself.
        if self.upgrade.is_under_way() || self.upgrade.is_standing() {
            return;
        }
        if self.count_generations() >= self.limits.generations_max.max(2) {
            self.hasten_oldest_generation();
            return;
        }
        self.reload_wanted = None;
        self.note_reload_begun();
        if self.current.is_some() {
            self.notifier.reloading();
            log::info!("{why}: checking the configuration");
        }
        let of_several = |present: &&Rc<Generation>| matches!(present.daemon.maps, Maps::Directory(_));
        let present = self.current.as_ref().filter(of_several).map(|present| &present.files);
        match Probe::fork(&self.recipe, present, self.limits.probe_ms, self.limits.worker_data_bytes) {
            Ok(probe) => self.phase = Phase::Probing(probe),
            Err(error) => self.refuse(SYSTEM_REFUSED, &[], &format!("cannot check it: {error}")),
        }
    }

    fn count_generations(&self) -> usize {
        let mut numbers: Vec<u64> = self.workers.iter().map(|worker| worker.generation).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len()
    }

    /// Under frequent reloads old workers must not pile up: before one more
    /// generation starts, the oldest leaves. It has had its time for idle
    /// clients by then, or gets the rest of it.
    fn hasten_oldest_generation(&mut self) {
        let Some(oldest) = self.workers.iter().map(|worker| worker.generation).min() else { return };
        // A worker closes idle connections between once and twice that time.
        let patience_ms = 2 * self.limits.drain_idle_ms + 500;
        for worker in &mut self.workers {
            if worker.generation == oldest {
                worker.hasten(self.now_ms, patience_ms);
            }
        }
    }

    /// The probe has ended: what did it say?
    pub(super) fn judge_probe(&mut self, ending: Ending) {
        let Phase::Probing(probe) = std::mem::replace(&mut self.phase, Phase::Steady) else { return };
        if self.stop.is_some() {
            return;
        }
        let since = probe.since.checked_sub(CLOCK_SLACK).unwrap_or(probe.since);
        let began_ms = probe.began_ms;
        let Verdict { accepted, remarks, read } = probe.judge(&self.recipe, ending);
        self.watch_files(read, since, accepted.as_ref().map(|(daemon, _)| &**daemon));
        let Some((daemon, files)) = accepted else {
            return self.refuse(CONFIGURATION_REFUSED, &remarks, "it has errors");
        };
        let number = self.generations_made + 1;
        match Generation::open(number, *daemon, files, &self.present_places()) {
            Ok(generation) => {
                self.generations_made = number;
                for remark in &remarks {
                    log::warn!("{}", remark.text);
                }
                let warnings = remarks.into_iter().map(|remark| remark.text).collect();
                self.begin_roll(generation, began_ms, warnings);
            }
            Err(error) => self.refuse(SYSTEM_REFUSED, &[], &error.to_string()),
        }
    }

    /// Sockets that are open already.
    pub(super) fn present_places(&self) -> Vec<Rc<Place>> {
        let current = self.current.iter().flat_map(|current| &current.listeners);
        let own = current.map(|listener| Rc::clone(listener.place()));
        own.chain(self.inherited.iter().cloned()).collect()
    }

    fn watch_files(&mut self, read: FileSet, since: SystemTime, accepted: Option<&Daemon>) {
        let mut paths: Vec<PathBuf> = read.paths().map(Path::to_owned).collect();
        match accepted.map(|daemon| &daemon.maps) {
            // A map may come or go.
            Some(Maps::Directory(directory)) => paths.push(directory.clone()),
            Some(Maps::Embedded | Maps::File(_)) => {}
            None => {
                // Also what was watched before: the cure may lie in a file that
                // the probe did not come to.
                let before = self.changes.paths().into_iter();
                paths.extend(before);
                paths.sort();
                paths.dedup();
            }
        }
        let is_as_read =
            |path: &Path| path.is_dir() || std::fs::read(path).is_ok_and(|bytes| read.holds(path, &bytes));
        self.changes = Changes::watch(paths.iter().map(PathBuf::as_path), since, is_as_read);
    }

    fn begin_roll(&mut self, generation: Generation, began_ms: u64, warnings: Vec<String>) {
        let is_start = self.current.is_none();
        let settled = self
            .settle_pid_file(&generation, is_start)
            .and_then(|()| self.settle_control(&generation, is_start));
        if let Err(error) = settled {
            return self.refuse(SYSTEM_REFUSED, &[], &error.to_string());
        }
        self.limits = generation.daemon.limits.clone();
        self.headcount.note_roll();
        self.phase =
            Phase::Rolling(Roll { incoming: Rc::new(generation), began_ms, is_start, kills: 0, warnings });
    }

    fn settle_pid_file(&mut self, generation: &Generation, is_start: bool) -> std::io::Result<()> {
        let wanted = generation.daemon.pid_file.as_deref();
        if is_start {
            // After the bind: a second start fails on the port, not on a race.
            // A new master shows itself once it is ready.
            let write = if self.predecessor.is_some() { PidFile::prepare } else { PidFile::write };
            self.pid_file = wanted.map(write).transpose()?;
        } else if wanted != self.pid_file.as_ref().map(PidFile::path) {
            log::warn!("pid_file has changed: that takes a restart");
        }
        Ok(())
    }

    fn settle_control(&mut self, generation: &Generation, is_start: bool) -> std::io::Result<()> {
        let wanted = generation.daemon.control.as_deref();
        if is_start {
            let place = |error: std::io::Error| std::io::Error::other(format!("control: {error}"));
            let is_heir = self.predecessor.is_some();
            let open = |path| Control::open(path, is_heir, self.poll.registry());
            self.control = wanted.map(open).transpose().map_err(place)?;
            if let Some(control) = &mut self.control
                && !is_heir
            {
                control.publish().map_err(place)?;
            }
        } else if wanted != self.control.as_ref().map(Control::path) {
            log::warn!("control has changed: that takes a restart");
        }
        Ok(())
    }

    /// A new worker is ready: one that is old or ailing goes for it.
    pub(super) fn drain_one_surplus(&mut self) {
        let Some(wanted) = self.wanted_generation() else { return };
        let drain_max_ms = self.limits.drain_max_ms;
        let surplus = |worker: &&mut Worker| {
            worker.stage == Stage::Serving && (worker.generation != wanted.number || worker.retiring)
        };
        let oldest = self.workers.iter_mut().filter(surplus).min_by_key(|worker| worker.forked_ms);
        if let Some(worker) = oldest {
            worker.drain(self.now_ms, drain_max_ms);
        }
    }

    fn commit_roll(&mut self) {
        if let Err(error) = self.show_itself() {
            return self.abandon_roll(&error.to_string());
        }
        let Phase::Rolling(roll) = std::mem::replace(&mut self.phase, Phase::Steady) else { return };
        let number = roll.incoming.number;
        for worker in &mut self.workers {
            if worker.generation != number {
                worker.drain(self.now_ms, self.limits.drain_max_ms);
            }
        }
        // Sockets that are no longer wanted close here with the old generation;
        // workers that drain hold them until they have taken what waits there.
        self.current = Some(Rc::clone(&roll.incoming));
        self.board.set_generation(number);
        let Roll { began_ms, warnings, .. } = roll;
        if roll.is_start {
            self.note_serving(number, began_ms, warnings);
            self.let_go_of_unused();
            self.announce(&roll.incoming);
            return self.tell_predecessor();
        }
        let deadline_ms = self.now_ms.saturating_add(CLOSING_MAX_MS);
        self.phase = Phase::Closing(Closing { number, began_ms, deadline_ms, warnings });
        self.end_closing();
    }

    /// Tells whoever waits that the new configuration is in effect, as soon as
    /// no old worker takes connections.
    fn end_closing(&mut self) {
        let Phase::Closing(closing) = &self.phase else { return };
        let is_open = |worker: &&Worker| {
            worker.generation != closing.number && self.board.slot(worker.slot).state() == State::Serving
        };
        let open: Vec<Pid> = self.workers.iter().filter(is_open).map(|worker| worker.pid).collect();
        if !open.is_empty() && self.now_ms < closing.deadline_ms {
            return;
        }
        for pid in open {
            log::warn!("worker {pid} was told to leave and may still take connections");
        }
        let Phase::Closing(closing) = std::mem::replace(&mut self.phase, Phase::Steady) else { return };
        let took_ms = self.note_serving(closing.number, closing.began_ms, closing.warnings);
        self.notifier.ready(&self.tell_state());
        self.board.count_reload(true);
        let Some(current) = &self.current else { return };
        log::info!(
            "reloaded: generation {} serves after {took_ms} ms ({} workers, {})",
            closing.number,
            current.worker_count,
            current.places()
        );
    }

    /// Answers who waits for the reload or the start; how long it took.
    fn note_serving(&mut self, number: u64, began_ms: u64, warnings: Vec<String>) -> u64 {
        let took_ms = self.now_ms.saturating_sub(began_ms);
        let message = format!("generation {number} serves after {took_ms} ms");
        self.note_reload_ended(Outcome { warnings, ..Outcome::new(DONE, message) });
        took_ms
    }

    /// Sockets that we were given and that no `listen` names: those of an old
    /// master stay until it is gone, those of systemd for ever.
    fn let_go_of_unused(&mut self) {
        if self.predecessor.is_none() {
            self.inherited.retain(|place| place.given().is_some());
        }
        let used = |place: &Rc<Place>| {
            let current = self.current.iter().flat_map(|current| &current.listeners);
            current.into_iter().any(|listener| Rc::ptr_eq(listener.place(), place))
        };
        for place in self.inherited.iter().filter(|place| place.given().is_some() && !used(place)) {
            log::warn!("the given socket {} stays unused: no `listen` names it", place.describe());
        }
    }

    /// From here on pid file and control socket lead to us.
    fn show_itself(&mut self) -> std::io::Result<()> {
        if let Some(pid_file) = &mut self.pid_file {
            pid_file.publish()?;
        }
        self.control.as_mut().map_or(Ok(()), Control::publish)
    }

    /// A worker died that nobody had asked to: whether its generation, on its
    /// way in, is given up for that.
    pub(super) fn is_end_of_roll(&mut self, worker: &Worker, ending: Ending) -> bool {
        let Phase::Rolling(roll) = &mut self.phase else { return false };
        if worker.generation != roll.incoming.number {
            return false;
        }
        if ending.is_kill() {
            roll.kills += 1;
        }
        let mut others = self.workers.iter().filter(|other| other.generation == worker.generation);
        let proven = others.any(|other| other.stage == Stage::Serving);
        // At the start one worker that serves is better than none; in a reload
        // the old ones are better than new ones that die.
        let bearable = roll.is_start && proven;
        !(bearable || (ending.is_kill() && roll.kills < KILLS_MAX))
    }

    /// The kernel forks no more: a reload that cannot go on is given up; what
    /// has started with fewer workers goes on with those.
    pub(super) fn give_up_roll_without_forks(&mut self) {
        let goes_on = match &self.phase {
            Phase::Rolling(roll) => roll.is_start && !self.workers.is_empty(),
            Phase::Steady | Phase::Probing(_) | Phase::Closing(_) => true,
        };
        if !goes_on {
            self.abandon_roll("no worker can be forked");
        }
    }

    pub(super) fn abandon_roll(&mut self, why: &str) {
        let Phase::Rolling(roll) = std::mem::replace(&mut self.phase, Phase::Steady) else { return };
        let number = roll.incoming.number;
        drop(roll);
        if let Some(current) = &self.current {
            self.limits = current.daemon.limits.clone();
            if let Err(error) = log::open(&current.daemon.log) {
                log::error!("cannot return to the log files of before: {error}");
            }
        }
        let drain_max_ms = self.limits.drain_max_ms;
        for worker in self.workers.iter_mut().filter(|worker| worker.generation == number) {
            match worker.stage {
                Stage::Starting => worker.terminate(self.now_ms, QUICK_STOP_MS),
                _ => worker.drain(self.now_ms, drain_max_ms),
            }
        }
        self.refuse(SYSTEM_REFUSED, &[], why);
    }

    /// Where the log is a file, whoever waits for the start does not see it.
    fn tell_starter(&self, remarks: &[Remark], why: &str) {
        let Some(file) = log::error_file() else { return };
        if self.predecessor.is_some() {
            return;
        }
        for remark in remarks.iter().filter(|remark| remark.is_error) {
            write_to_starter(&remark.text);
        }
        write_to_starter(&format!("cannot start: {why}; the log is {}", file.display()));
    }

    /// The new configuration is not taken. With a present one nothing has
    /// changed; at the start there is nothing to stay for.
    fn refuse(&mut self, code: u8, remarks: &[Remark], why: &str) {
        for remark in remarks {
            if remark.is_error {
                log::error!("{}", remark.text);
            } else {
                log::warn!("{}", remark.text);
            }
        }
        match &self.current {
            Some(current) => {
                self.headcount.note_reload_refused();
                self.board.count_reload(false);
                let message = format!("reload refused, generation {} serves on: {why}", current.number);
                log::error!("{message}");
                self.notifier.ready(&message);
                let told = |errors: bool| {
                    let remarks = remarks.iter().filter(|remark| remark.is_error == errors);
                    remarks.map(|remark| remark.text.clone()).collect::<Vec<_>>()
                };
                let (errors, warnings) = (told(true), told(false));
                self.note_reload_ended(Outcome { errors, warnings, ..Outcome::new(code, message) });
            }
            None => {
                log::error!("cannot start: {why}");
                self.tell_starter(remarks, why);
                self.exit_code = code;
                self.stop = Some(Stop::Quickly);
                for worker in &mut self.workers {
                    worker.terminate(self.now_ms, QUICK_STOP_MS);
                }
            }
        }
    }
}

/// What a starter sees of a failed start is its standard error.
fn write_to_starter(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "rhumb: {text}");
}
