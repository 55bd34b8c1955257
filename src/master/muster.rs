//! Keeps as many workers as are wanted: who is missing is forked, who is dead
//! is buried, who ails is replaced. What a single worker goes through is
//! `crew.rs`; which generation is wanted is `reload.rs`.

use std::io;
use std::rc::Rc;

use mio::{Interest, Token};

use super::Master;
use super::backoff::EARLY_MS;
use super::crew::{Stage, Worker};
use super::generation::Generation;
use super::watch::{self, Ailment};
use super::{poison, spawn};
use crate::board::{BusyThread, Wish};
use crate::log;
use crate::sys::{self, Ending};

impl Master {
    /// A worker that has said READY serves; for each of the new, one of the old
    /// may go.
    pub(super) fn hear_workers(&mut self) {
        let mut ready = 0;
        for worker in &mut self.workers {
            if worker.hear_ready(self.now_ms) {
                ready += 1;
                log::debug!("worker {} (generation {}) is ready", worker.pid, worker.generation);
            }
        }
        if self.stop.is_none() {
            for _ in 0..ready {
                self.drain_one_surplus();
            }
        }
    }

    pub(super) fn reap_children(&mut self) {
        while let Some((pid, ending)) = sys::reap() {
            if self.note_upgrade_end(pid, ending) {
                continue;
            }
            if self.phase.is_probe(pid) {
                self.judge_probe(ending);
            } else if let Some(index) = self.workers.iter().position(|worker| worker.pid == pid) {
                let worker = self.workers.swap_remove(index);
                self.bury_worker(worker, ending);
            }
            // Anybody else is a stranger whose parent died: we may be process 1.
        }
    }

    fn bury_worker(&mut self, mut worker: Worker, ending: Ending) {
        if let Err(error) = self.poll.registry().deregister(worker.channel()) {
            log::alert!("cannot forget the channel of worker {}: {error}", worker.pid);
        }
        let out_of_memory = ending.is_kill() && self.was_memory_kill();
        let mut at_work = String::new();
        if poison::is_fault(ending, out_of_memory) {
            let slot = self.board.slot(worker.slot);
            let requests = poison::last_requests(slot);
            at_work = format!(" at work on {}", poison::describe(slot, &requests));
            self.accuse(worker.slot, &requests);
        }
        self.board.fold(worker.slot);
        let lived_ms = self.now_ms.saturating_sub(worker.forked_ms);
        let name = format!("worker {} (generation {})", worker.pid, worker.generation);
        if worker.dismissed || self.stop.is_some() {
            match ending {
                Ending::Code(0) => log::debug!("{name} left"),
                _ if ending.is_kill() => {
                    log::info!("{name} {ending} while leaving");
                }
                _ => log::warn!("{name} {ending} while leaving"),
            }
            return;
        }
        self.board.count_death();
        let cause = if out_of_memory { " (the kernel was out of memory)" } else { "" };
        let lived_s = lived_ms as f64 / 1000.0;
        let story = format!("{name} {ending}{cause} after {lived_s:.1} s{at_work}");
        if self.is_end_of_roll(&worker, ending) {
            log::error!("{story}");
            return self.abandon_roll(&format!("a new worker {ending}"));
        }
        let noise = sys::monotonic_us();
        if let Some(count) = self.backoff.note_death(self.now_ms, lived_ms, ending, noise) {
            let delay_ms = self.backoff.delay_left_ms(self.now_ms);
            let more =
                if count > 1 { format!("; {count} deaths since the last line") } else { String::new() };
            log::error!("{story}: the next is forked in {delay_ms} ms{more}");
        }
    }

    /// Whether the kernel has killed for memory since we last asked.
    fn was_memory_kill(&mut self) -> bool {
        let before = std::mem::replace(&mut self.memory_kills, watch::count_memory_kills());
        self.memory_kills > before
    }

    /// Whoever missed a deadline or stopped moving.
    pub(super) fn kill_overdue(&mut self) {
        for worker in &mut self.workers {
            if let Some(what) = worker.take_due_step(self.now_ms) {
                log::warn!("worker {} (generation {}) {what}", worker.pid, worker.generation);
            }
        }
        if !self.own_pause.is_lenient(self.now_ms) {
            for index in 0..self.workers.len() {
                self.examine_worker(index);
            }
        }
    }

    fn examine_worker(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        if !matches!(worker.stage, Stage::Serving | Stage::Draining) {
            return;
        }
        let slot = self.board.slot(worker.slot);
        let ailment = watch::examine(slot, &self.limits, worker.ready_ms, self.now_ms);
        match ailment {
            Some(Ailment::LoopStuck { late_ms }) => {
                let requests: Vec<BusyThread> = slot.busy_threads().collect();
                log::error!(
                    "worker {} has not moved for {late_ms} ms, at work on {}: aborted",
                    worker.pid,
                    poison::describe(slot, &requests)
                );
                worker.abort(self.now_ms);
            }
            Some(Ailment::RenderStuck { thread, busy_ms }) if !worker.is_sick => {
                let stuck: Vec<BusyThread> =
                    slot.busy_threads().filter(|busy| busy.thread == thread).collect();
                log::error!(
                    "worker {} is at {} for {busy_ms} ms: replaced",
                    worker.pid,
                    poison::describe(slot, &stuck)
                );
                worker.retiring = true;
                worker.is_sick = true;
                let number = worker.slot;
                self.accuse(number, &stuck);
            }
            _ => {}
        }
    }

    /// Workers that have served long enough are replaced one at a time: the next
    /// one's turn comes when the last one has left.
    fn grant_wish(&mut self) {
        let is_steady = self.stop.is_none() && !self.phase.is_rolling() && !self.headcount.is_away();
        if !is_steady || self.workers.iter().any(|worker| worker.retiring) {
            return;
        }
        let board = &self.board;
        let wishes = self.workers.iter_mut().filter_map(|worker| {
            let is_due = worker.stage == Stage::Serving;
            is_due.then(|| board.slot(worker.slot).wish()).flatten().map(|wish| (worker, wish))
        });
        let Some((worker, wish)) = wishes.min_by_key(|(worker, _)| worker.forked_ms) else { return };
        worker.retiring = true;
        let why = match wish {
            Wish::Requests => "has answered as many requests as it may",
            Wish::Age => "is as old as it may become",
            Wish::Memory => "holds more memory than it may",
        };
        log::info!("worker {} (generation {}) {why}: replaced", worker.pid, worker.generation);
    }

    /// How many workers should be there now, of which generation.
    pub(super) fn wanted(&self) -> Option<(Rc<Generation>, usize)> {
        let generation = self.wanted_generation()?;
        let count = self.headcount.wanted(generation.worker_count);
        // A generation on its way in proves itself, also where it is to go.
        let least = usize::from(self.phase.is_rolling());
        Some((generation, count.max(least)))
    }

    /// Workers of that generation that are to stay.
    fn count_fit(&self, generation: u64) -> usize {
        let is_fit = |worker: &&Worker| {
            worker.generation == generation
                && !worker.retiring
                && matches!(worker.stage, Stage::Starting | Stage::Serving)
        };
        self.workers.iter().filter(is_fit).count()
    }

    /// How many workers of the generation that is wanted are not there.
    pub(super) fn missing_workers(&self) -> usize {
        let Some((generation, count)) = self.wanted() else { return 0 };
        count.saturating_sub(self.count_fit(generation.number))
    }

    /// Forks what is missing, as many at a time as a roll-over allows; lets go
    /// what is too many.
    pub(super) fn keep_worker_count(&mut self) {
        if self.stop.is_some() {
            return;
        }
        self.grant_wish();
        let Some((wanted, count)) = self.wanted() else { return };
        self.board.set_workers_wanted(count);
        self.drain_surplus(&wanted, count);
        let starting = self.workers.iter().filter(|worker| worker.stage == Stage::Starting).count();
        let batch = self.phase.batch(count).saturating_sub(starting);
        let missing = self.missing_workers();
        if missing == 0 {
            let youngest_ms = self.workers.iter().map(|worker| worker.forked_ms).max().unwrap_or(0);
            if self.now_ms.saturating_sub(youngest_ms) > EARLY_MS {
                self.backoff.calm_down();
            }
            return;
        }
        if self.now_ms < self.backoff.not_before_ms() {
            return;
        }
        for _ in 0..missing.min(batch) {
            if let Err(error) = self.spawn_worker(&wanted) {
                log::error!("cannot fork a worker: {error}");
                self.backoff.note_fork_refused(self.now_ms);
                return self.give_up_roll_without_forks();
            }
        }
    }

    /// Workers beyond the count that is wanted leave, the youngest first; where
    /// none is wanted, those of all generations.
    fn drain_surplus(&mut self, wanted: &Generation, count: usize) {
        let mut surplus = self.count_fit(wanted.number).saturating_sub(count);
        let drain_max_ms = self.limits.drain_max_ms;
        while surplus > 0 {
            let fit = self.workers.iter_mut().filter(|worker| {
                worker.generation == wanted.number
                    && !worker.retiring
                    && matches!(worker.stage, Stage::Starting | Stage::Serving)
            });
            let Some(youngest) = fit.max_by_key(|worker| worker.forked_ms) else { break };
            youngest.drain(self.now_ms, drain_max_ms);
            surplus -= 1;
        }
        if count == 0 {
            for worker in &mut self.workers {
                worker.drain(self.now_ms, drain_max_ms);
            }
        }
    }

    pub(super) fn send_workers_away(&mut self, why: &str) {
        if self.current.is_none() {
            return log::warn!("{why} ignored: the start is not done");
        }
        log::info!("{why}: all workers leave, the sockets stay; HUP or TTIN brings them back");
        self.headcount.send_away();
    }

    pub(super) fn add_worker(&mut self, why: &str) {
        let Some(generation) = self.wanted_generation() else { return };
        let configured = generation.worker_count;
        let more = self.headcount.add(configured);
        self.tell_headcount(why, configured, more);
    }

    pub(super) fn remove_worker(&mut self, why: &str) {
        let Some(generation) = self.wanted_generation() else { return };
        let configured = generation.worker_count;
        let less = self.headcount.remove(configured);
        self.tell_headcount(why, configured, less);
    }

    fn tell_headcount(&self, why: &str, configured: usize, changed: bool) {
        let wanted = self.headcount.wanted(configured);
        if changed {
            log::info!("{why}: {wanted} workers until the next reload, {configured} are configured");
        } else {
            log::warn!("{why} ignored: {wanted} workers are as far as it goes");
        }
    }

    fn spawn_worker(&mut self, generation: &Rc<Generation>) -> io::Result<()> {
        let forked_ms = sys::monotonic_ms();
        let slot = self
            .board
            .claim(generation.number, forked_ms)
            .ok_or_else(|| io::Error::other("all slots of the scoreboard are taken"))?;
        let is_launching = self.recipe.launch.is_some();
        let (pid, channel) = spawn::fork_worker(generation, slot, &self.board, is_launching)
            .inspect_err(|_| self.board.fold(slot))?;
        self.board.set_pid(slot, pid.as_raw().unsigned_abs());
        let deadline_ms = forked_ms.saturating_add(generation.daemon.limits.worker_start_ms);
        let mut worker = Worker::new(pid, slot, generation.number, channel, forked_ms, deadline_ms);
        let registered = self.poll.registry().register(worker.channel(), Token(slot), Interest::READABLE);
        if registered.is_err() {
            worker.kill(forked_ms);
        }
        self.workers.push(worker);
        registered
    }
}
