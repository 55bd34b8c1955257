//! A thread's turn on the cores: held while it computes, given up while it
//! waits for an upstream or a lock, so that slow upstreams never take the
//! cores away from hits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::story;

/// How many threads may compute at once.
#[derive(Debug)]
pub struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Gate {
    pub fn new(permits: usize) -> Arc<Gate> {
        Arc::new(Gate { free: Mutex::new(permits), freed: Condvar::new() })
    }

    fn take(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
    }

    fn give(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

/// A permit to compute, for one thread. [`Turn::wait`] gives it up for the
/// time of a wait.
#[derive(Debug)]
pub struct Turn {
    gate: Option<Arc<Gate>>,
    asked_at: Instant,
    began: Instant,
    /// Of the time since then: not computing.
    waited_us: AtomicU64,
}

impl Turn {
    fn new(gate: Option<Arc<Gate>>, asked_at: Instant) -> Turn {
        Turn { gate, asked_at, began: Instant::now(), waited_us: AtomicU64::new(0) }
    }

    /// Waits for a permit; given back on drop.
    pub fn take(gate: &Arc<Gate>) -> Turn {
        Turn::take_for(gate, Instant::now())
    }

    /// [`Turn::take`] for a request that came at that moment.
    pub fn take_for(gate: &Arc<Gate>, asked_at: Instant) -> Turn {
        gate.take();
        Turn::new(Some(Arc::clone(gate)), asked_at)
    }

    /// For programs without a gate (seeding, tests).
    pub fn ungated() -> Turn {
        Turn::new(None, Instant::now())
    }

    /// Another thread's turn at the same gate.
    pub fn another(&self) -> Turn {
        match &self.gate {
            Some(gate) => Turn::take_for(gate, self.asked_at),
            None => Turn::new(None, self.asked_at),
        }
    }

    /// When the request came that this turn is for.
    pub fn asked_at(&self) -> Instant {
        self.asked_at
    }

    /// Runs something that waits (network, lock) without holding the permit.
    pub fn wait<R>(&self, waiting: impl FnOnce() -> R) -> R {
        struct Retake<'a>(&'a Turn, Instant);
        impl Drop for Retake<'_> {
            fn drop(&mut self) {
                let Retake(turn, since) = self;
                if let Some(gate) = &turn.gate {
                    gate.take();
                }
                let waited_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                turn.waited_us.fetch_add(waited_us, Ordering::Relaxed);
            }
        }
        let _retake = Retake(self, Instant::now());
        if let Some(gate) = &self.gate {
            gate.give();
        }
        waiting()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let waited = Duration::from_micros(self.waited_us.load(Ordering::Relaxed));
        story::note_render(self.began.elapsed().saturating_sub(waited));
        if let Some(gate) = &self.gate {
            gate.give();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(gate: &Gate) -> usize {
        *gate.free.lock().expect("not poisoned")
    }

    #[test]
    fn who_waits_holds_no_permit() {
        let gate = Gate::new(1);
        let turn = Turn::take(&gate);
        assert_eq!(free(&gate), 0);
        let other = turn.wait(|| {
            let other = turn.another();
            assert_eq!(free(&gate), 0);
            drop(other);
            free(&gate)
        });
        assert_eq!((other, free(&gate)), (1, 0));
        drop(turn);
        assert_eq!(free(&gate), 1);
        assert_eq!(Turn::ungated().wait(|| 7), 7);
    }

    #[test]
    fn a_panic_loses_no_permit() {
        let gate = Gate::new(2);
        for waiting in [true, false] {
            let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let turn = Turn::take(&gate);
                if waiting {
                    turn.wait(|| panic!("made by the test"));
                }
                panic!("made by the test");
            }));
            assert!(broken.is_err());
            assert_eq!(free(&gate), 2);
        }
    }
}
