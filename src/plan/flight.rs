//! Single flight within a process: one thread makes something, the others
//! that want the same wait for it and share what it made.
//!
//! A first failure is the maker's own: the next waiter takes over. A second
//! failure is everybody's who waited, so that a crowd before a dead upstream
//! costs two requests and not one for each.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{PlanError, Turn};

/// Attempts within one flight before all its waiters get the failure.
const ATTEMPTS_MAX: u32 = 2;

struct State<T> {
    /// A thread is making it now.
    making: bool,
    attempts: u32,
    result: Option<Result<T, PlanError>>,
}

struct Flight<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// The flights under way, by key.
pub struct Flights<K, T> {
    open: Mutex<HashMap<K, Arc<Flight<T>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Flights { open: Mutex::new(HashMap::new()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends an attempt however it ends, a panic included: a waiter takes over.
struct Attempt<'a, T>(&'a Flight<T>);

impl<T> Drop for Attempt<'_, T> {
    fn drop(&mut self) {
        lock(&self.0.state).making = false;
        self.0.changed.notify_all();
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Flights<K, T> {
    /// Makes the thing, or waits for the thread that does.
    ///
    /// # Errors
    /// The maker's own error; after [`ATTEMPTS_MAX`] failures that error for
    /// all who waited; [`PlanError::Timeout`] after `wait_max`.
    pub fn share(
        &self,
        key: &K,
        wait_max: Duration,
        turn: &Turn,
        make: impl FnOnce() -> Result<T, PlanError>,
    ) -> Result<T, PlanError> {
        let (flight, waiting) = self.board(key);
        if waiting {
            match turn.wait(|| Self::wait(&flight, wait_max)) {
                Some(result) => return result,
                None => { /* this thread is the maker now */ }
            }
        }
        let attempt = Attempt(&flight);
        let result = make();
        {
            let mut state = lock(&flight.state);
            state.attempts += 1;
            if result.is_ok() || state.attempts >= ATTEMPTS_MAX {
                state.result = Some(result.clone());
            }
        }
        // Closed before the waiters wake: who comes later begins anew.
        self.close_if_over(key, &flight);
        drop(attempt);
        result
    }

    /// How many threads make or wait, for tests that must know that all have come.
    #[cfg(test)]
    pub(super) fn aboard(&self) -> usize {
        lock(&self.open).values().map(|flight| Arc::strong_count(flight) - 1).sum()
    }

    /// The flight of that key and whether somebody else is making it.
    fn board(&self, key: &K) -> (Arc<Flight<T>>, bool) {
        let mut open = lock(&self.open);
        let flight = open.entry(key.clone()).or_insert_with(|| {
            Arc::new(Flight {
                state: Mutex::new(State { making: false, attempts: 0, result: None }),
                changed: Condvar::new(),
            })
        });
        let flight = Arc::clone(flight);
        let mut state = lock(&flight.state);
        let waiting = state.making;
        state.making = true;
        drop(state);
        (flight, waiting)
    }

    /// `Some` with the shared result, `None` when this thread has become the maker.
    fn wait(flight: &Flight<T>, wait_max: Duration) -> Option<Result<T, PlanError>> {
        let deadline = Instant::now() + wait_max;
        let mut state = lock(&flight.state);
        loop {
            if let Some(result) = &state.result {
                return Some(result.clone());
            }
            if !state.making {
                state.making = true;
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Err(PlanError::Timeout { ms: wait_max.as_millis() as u64 }));
            }
            state = flight.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forgets the flight when it has its result, or when nobody waits for
    /// another attempt (the map and this thread hold the only references).
    fn close_if_over(&self, key: &K, flight: &Arc<Flight<T>>) {
        let mut open = lock(&self.open);
        let over = lock(&flight.state).result.is_some() || Arc::strong_count(flight) <= 2;
        if over && open.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            open.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);

    fn failure() -> PlanError {
        PlanError::NotOneTile("test".into())
    }

    /// Starts `crowd` threads that board while the first one is making.
    fn fly(crowd: usize, outcome: impl Fn(u32) -> Result<u32, PlanError> + Sync) -> (u32, Vec<bool>) {
        let flights: Flights<u8, u32> = Flights::default();
        let made = AtomicU32::new(0);
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(Some(released));
        let make = || {
            let n = made.fetch_add(1, Ordering::SeqCst);
            if let Some(released) = lock(&released).take() {
                released.recv().expect("the test releases the first maker");
            }
            outcome(n)
        };
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..crowd).map(|_| scope.spawn(|| flights.share(&1, LONG, &Turn::ungated(), make))).collect();
            // All but the maker hold a reference to the flight when they wait.
            loop {
                let open = lock(&flights.open);
                if open.get(&1).is_some_and(|f| Arc::strong_count(f) == crowd + 1) {
                    break;
                }
                drop(open);
                std::thread::yield_now();
            }
            release.send(()).expect("the first maker waits");
            threads.into_iter().map(|t| t.join().expect("no panic").is_ok()).collect()
        });
        assert!(lock(&flights.open).is_empty(), "no flight stays open");
        (made.load(Ordering::SeqCst), results)
    }

    #[test]
    fn a_crowd_is_served_by_one() {
        let (made, results) = fly(12, |_| Ok(7));
        assert_eq!(made, 1);
        assert!(results.iter().all(|ok| *ok));
    }

    #[test]
    fn the_first_waiter_takes_over_after_a_failure() {
        let (made, results) = fly(6, |n| if n == 0 { Err(failure()) } else { Ok(7) });
        assert_eq!(made, 2);
        assert_eq!(results.iter().filter(|ok| !**ok).count(), 1);
    }

    #[test]
    fn a_second_failure_is_everybodys() {
        let (made, results) = fly(6, |_| Err(failure()));
        assert_eq!(made, 2);
        assert!(results.iter().all(|ok| !*ok));
    }

    #[test]
    fn a_panic_lets_the_next_one_try() {
        let flights: Flights<u8, u32> = Flights::default();
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            flights.share(&1, LONG, &Turn::ungated(), || panic!("made by the test"))
        }));
        assert!(broken.is_err());
        assert_eq!(flights.share(&1, LONG, &Turn::ungated(), || Ok(3)).ok(), Some(3));
    }
}
