//! Requests that kill: a worker that dies of a fault leaves on the board what
//! its threads were at, and a request that was there at two deaths is a
//! suspect of which the operator must hear. Numbers in, numbers out: no clock.

use super::Master;
use crate::board::{BusyThread, Slot};
use crate::log;
use crate::sys::Ending;

/// Suspects that are kept in mind.
const SUSPECTS_MAX: usize = 256;
/// Two deaths further apart than this have nothing to do with each other.
const FORGET_MS: u64 = 3_600_000;
/// Deaths that make a suspect.
pub const DEATHS: u32 = 2;

/// Requests named in one line of the log.
const DESCRIBED_MAX: usize = 8;

struct Suspect {
    fingerprint: u64,
    deaths: u32,
    last_ms: u64,
}

/// What workers were at when they died.
#[derive(Default)]
pub struct Suspects(Vec<Suspect>);

impl Suspects {
    /// A worker died at this request: how many have by now.
    pub fn note_death(&mut self, fingerprint: u64, now_ms: u64) -> u32 {
        self.0.retain(|suspect| now_ms.saturating_sub(suspect.last_ms) < FORGET_MS);
        if let Some(known) = self.0.iter_mut().find(|suspect| suspect.fingerprint == fingerprint) {
            known.deaths = known.deaths.saturating_add(1);
            known.last_ms = now_ms;
            return known.deaths;
        }
        if self.0.len() >= SUSPECTS_MAX
            && let Some(oldest) = (0..self.0.len()).min_by_key(|at| self.0[*at].last_ms)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(Suspect { fingerprint, deaths: 1, last_ms: now_ms });
        1
    }
}

/// What a dead worker was at: the request of the thread it crashed in, where
/// it could tell, and otherwise those of all its threads.
pub fn last_requests(slot: &Slot) -> Vec<BusyThread> {
    let culprit = slot.culprit();
    slot.busy_threads().filter(|busy| culprit.is_none_or(|culprit| culprit == busy.thread)).collect()
}

/// `[00c0ffee00c0ffee GET /a, …]`, for the log.
pub fn describe(slot: &Slot, requests: &[BusyThread]) -> String {
    let words: Vec<String> = requests
        .iter()
        .take(DESCRIBED_MAX)
        .map(|busy| format!("{:016x} {}", busy.fingerprint, slot.line(busy.thread)))
        .collect();
    format!("[{}]", words.join(", "))
}

/// Whether a worker that ended so may have been ended by a request: by a fault
/// of its own or by the kernel for its memory, not by a signal from outside.
pub fn is_fault(ending: Ending, out_of_memory: bool) -> bool {
    match ending {
        Ending::Code(code) => code == super::spawn::EXIT_PANIC,
        Ending::Signal { number: libc::SIGKILL, .. } => out_of_memory,
        Ending::Signal { number, .. } => {
            let faults =
                [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGSYS];
            faults.contains(&number)
        }
        Ending::Odd(_) => false,
    }
}

impl Master {
    /// These requests were there when a worker ended or stood still. One that
    /// was there before is told to the operator, and kept out for a while
    /// where the limits say so.
    pub(super) fn accuse(&mut self, slot: usize, requests: &[BusyThread]) {
        for busy in requests {
            let deaths = self.suspects.note_death(busy.fingerprint, self.now_ms);
            if deaths < DEATHS {
                continue;
            }
            let line = self.board.slot(slot).line(busy.thread);
            let quarantine_ms = self.limits.quarantine_ms;
            let then = if quarantine_ms > 0 {
                self.board.quarantine(busy.fingerprint, self.now_ms.saturating_add(quarantine_ms));
                format!("it is answered with 503 for {} s", quarantine_ms.div_ceil(1_000))
            } else {
                "limits.quarantine_ms would keep it out".to_owned()
            };
            log::error!("request {:016x} has cost {deaths} workers: {line}: {then}", busy.fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Board, LOOP, fingerprint};
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn deaths_are_counted_for_each_request_and_forgotten_after_an_hour() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.note_death(7, 1_000), 1);
        assert_eq!(suspects.note_death(8, 1_000), 1);
        assert_eq!(suspects.note_death(7, 2_000), 2);
        assert_eq!(suspects.note_death(7, 2_000 + FORGET_MS), 1);
    }

    #[test]
    fn the_list_is_bounded_and_forgets_the_oldest() {
        let mut suspects = Suspects::default();
        for fingerprint in 0..=SUSPECTS_MAX as u64 {
            suspects.note_death(fingerprint, 1_000 + fingerprint);
        }
        assert_eq!(suspects.0.len(), SUSPECTS_MAX);
        assert_eq!(suspects.note_death(1, 5_000), 2);
        assert_eq!(suspects.note_death(0, 5_000), 1, "the oldest made room");
    }

    #[test]
    fn kills_from_outside_accuse_nobody() {
        let signal = |number| Ending::Signal { number, core: false };
        assert!(is_fault(signal(libc::SIGSEGV), false) && is_fault(signal(libc::SIGABRT), false));
        assert!(is_fault(signal(libc::SIGKILL), true) && !is_fault(signal(libc::SIGKILL), false));
        assert!(!is_fault(signal(libc::SIGTERM), true) && !is_fault(Ending::Code(4), true));
        assert!(is_fault(Ending::Code(101), false) && !is_fault(Ending::Odd(0xffff), false));
    }

    #[test]
    fn a_crash_that_names_its_thread_accuses_nobody_else() {
        let board = Board::new(1).expect("board");
        let slot = board.slot(board.claim(1, 1).expect("slot"));
        slot.mark_busy(0, "GET /innocent", 5);
        slot.mark_busy(LOOP, "GET /guilty", 5);
        assert_eq!(last_requests(slot).len(), 2);
        slot.culprit_word().store(LOOP as u64 + 1, Relaxed);
        let requests = last_requests(slot);
        let expected = format!("[{:016x} GET /guilty]", fingerprint("GET /guilty"));
        assert_eq!(describe(slot, &requests), expected);
        slot.mark_idle(LOOP);
        assert_eq!(last_requests(slot), [], "it crashed while it was at none");
    }
}
