//! When a dead worker is followed by a new one: at once, unless it died young;
//! then later and later, so that a crash loop costs nothing. Numbers in,
//! numbers out: no clock.

use crate::sys::Ending;

/// A worker that dies sooner after its fork died early.
pub const EARLY_MS: u64 = 5_000;
const STEP_MS: u64 = 100;
const DELAY_MAX_MS: u64 = 30_000;
/// SIGKILL came from outside (an operator, the kernel short of memory) and says
/// nothing about the next worker: replaced well within a second, always.
const KILLED_DELAY_MAX_MS: u64 = 400;
/// A worker that lacked a resource (descriptors, memory) will lack it again.
const RESOURCE_DELAY_MIN_MS: u64 = 1_000;
/// One line a second about early deaths.
const LINE_EVERY_MS: u64 = 1_000;

/// Exit code of a worker whose configuration cannot be built.
pub const EXIT_CONFIGURATION: i32 = 3;
/// Exit code of a worker that lacks a resource.
pub const EXIT_RESOURCE: i32 = 4;

/// Counts early deaths in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    early: u32,
    /// No fork before this.
    not_before_ms: u64,
    line_at_ms: u64,
    unlogged: u32,
}

impl Backoff {
    /// A worker died that should have lived. `noise` is any number. Returns
    /// how many deaths a log line should speak for, if one is due.
    pub fn note_death(&mut self, now_ms: u64, lived_ms: u64, ending: Ending, noise: u64) -> Option<u32> {
        if lived_ms >= EARLY_MS && ending != Ending::Code(EXIT_RESOURCE) {
            self.early = 0;
            return Some(1 + std::mem::take(&mut self.unlogged));
        }
        self.early = self.early.saturating_add(1);
        let delay_ms = match ending {
            ending if ending.is_kill() => delay_ms(self.early, noise).min(KILLED_DELAY_MAX_MS),
            Ending::Code(EXIT_RESOURCE | EXIT_CONFIGURATION) => {
                delay_ms(self.early, noise).max(RESOURCE_DELAY_MIN_MS)
            }
            _ => delay_ms(self.early, noise),
        };
        self.not_before_ms = self.not_before_ms.max(now_ms + delay_ms);
        self.unlogged += 1;
        if now_ms < self.line_at_ms {
            return None;
        }
        self.line_at_ms = now_ms + LINE_EVERY_MS;
        Some(std::mem::take(&mut self.unlogged))
    }

    /// The kernel would not fork: again in a second.
    pub fn note_fork_refused(&mut self, now_ms: u64) {
        self.not_before_ms = now_ms + RESOURCE_DELAY_MIN_MS;
    }

    /// All workers stand and the youngest has outlived its early days.
    pub fn calm_down(&mut self) {
        self.early = 0;
    }

    /// When the next fork may be.
    pub fn not_before_ms(&self) -> u64 {
        self.not_before_ms
    }

    pub fn delay_left_ms(&self, now_ms: u64) -> u64 {
        self.not_before_ms.saturating_sub(now_ms)
    }
}

/// 100 ms · 2^early, at most 30 s, give or take a fifth.
fn delay_ms(early: u32, noise: u64) -> u64 {
    let full = 1u64.checked_shl(early).unwrap_or(u64::MAX).saturating_mul(STEP_MS).min(DELAY_MAX_MS);
    full * (800 + noise % 401) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Ending = Ending::Signal { number: 11, core: false };
    const KILL: Ending = Ending::Signal { number: 9, core: false };
    /// Makes the jitter zero.
    const STILL: u64 = 200;

    #[test]
    fn delays_double_up_to_half_a_minute() {
        let table =
            [(0, 100), (1, 200), (2, 400), (8, 25_600), (9, 30_000), (63, 30_000), (u32::MAX, 30_000)];
        for (early, delay) in table {
            assert_eq!(delay_ms(early, STILL), delay, "{early}");
            for noise in [0, 400, 401, u64::MAX] {
                let jittered = delay_ms(early, noise);
                assert!(jittered * 10 >= delay * 8 && jittered * 10 <= delay * 12, "{jittered}");
            }
        }
    }

    #[test]
    fn a_worker_in_its_prime_is_replaced_at_once() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.note_death(50_000, EARLY_MS, CRASH, STILL), Some(1));
        assert_eq!(backoff.delay_left_ms(50_000), 0);
    }

    #[test]
    fn early_deaths_slow_down_and_are_logged_once_a_second() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.note_death(1_000, 1, CRASH, STILL), Some(1));
        assert_eq!(backoff.delay_left_ms(1_000), 200);
        assert_eq!(backoff.note_death(1_100, 1, CRASH, STILL), None);
        assert_eq!(backoff.note_death(1_200, 1, CRASH, STILL), None);
        assert_eq!(backoff.note_death(2_100, 1, CRASH, STILL), Some(3));
        assert_eq!(backoff.delay_left_ms(2_100), 1_600);
        backoff.calm_down();
        assert_eq!(backoff.note_death(9_000, 1, CRASH, STILL), Some(1));
        assert_eq!(backoff.delay_left_ms(9_000), 200);
    }

    #[test]
    fn kills_from_outside_never_delay_long() {
        let mut backoff = Backoff::default();
        for now_ms in 0..100 {
            backoff.note_death(now_ms, 1, KILL, now_ms * 37);
            assert!(backoff.delay_left_ms(now_ms) <= KILLED_DELAY_MAX_MS);
        }
    }

    #[test]
    fn a_lacking_resource_waits_a_second_at_least() {
        let mut backoff = Backoff::default();
        backoff.note_death(0, 60_000, Ending::Code(EXIT_RESOURCE), STILL);
        assert_eq!(backoff.delay_left_ms(0), 1_000);
        backoff.note_fork_refused(5_000);
        assert_eq!(backoff.delay_left_ms(5_000), 1_000);
    }
}
