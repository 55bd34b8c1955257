//! Single flight within a process: one thread makes something, the others
//! that want the same wait for it and share what it made.
//!
//! A first failure is the maker's own: the next waiter takes over. A second
//! failure is everybody's who waited, so that a crowd before a dead upstream
//! costs two requests and not one for each. Whoever asked before a failure
//! counts as one who waited, though he stood in a queue before this room.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{PlanError, Turn};
use crate::story;

/// Attempts within one flight before all its waiters get the failure.
const ATTEMPTS_MAX: u32 = 2;
/// Failures kept for those who asked before them.
const FAILURES_MAX: usize = 256;
/// Nobody waits longer in a queue.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(60);

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

/// How a flight ended that nobody was on board of any more.
struct Failure {
    at: Instant,
    attempts: u32,
    error: PlanError,
}

struct Board<K, T> {
    flights: HashMap<K, Arc<Flight<T>>>,
    failures: HashMap<K, Failure>,
}

/// The flights under way, by key.
pub struct Flights<K, T> {
    open: Mutex<Board<K, T>>,
}

/// What somebody finds who wants a thing.
enum Boarded<T> {
    /// It is his to make.
    Maker(Arc<Flight<T>>),
    /// Somebody is making it.
    Waiter(Arc<Flight<T>>),
    /// It failed often enough since he asked.
    Failed(PlanError),
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Flights { open: Mutex::new(Board { flights: HashMap::new(), failures: HashMap::new() }) }
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
    /// all who waited or had asked before; [`PlanError::Timeout`] after `wait_max`.
    pub fn share(
        &self,
        key: &K,
        wait_max: Duration,
        turn: &Turn,
        make: impl FnOnce() -> Result<T, PlanError>,
    ) -> Result<T, PlanError> {
        let flight = match self.board(key, turn.asked_at()) {
            Boarded::Failed(error) => return Err(error),
            Boarded::Maker(flight) => flight,
            Boarded::Waiter(flight) => {
                let began = Instant::now();
                let waited = turn.wait(|| Self::wait(&flight, wait_max));
                story::note_lock_wait(began.elapsed());
                match waited {
                    Some(result) => return result,
                    None => flight,
                }
            }
        };
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
        self.close_if_over(key, &flight, result.as_ref().err());
        drop(attempt);
        result
    }

    /// How many threads make or wait, for tests that must know that all have come.
    #[cfg(test)]
    pub(super) fn aboard(&self) -> usize {
        lock(&self.open).flights.values().map(|flight| Arc::strong_count(flight) - 1).sum()
    }

    /// The flight of that key, for one who asked at that moment.
    fn board(&self, key: &K, asked_at: Instant) -> Boarded<T> {
        let mut open = lock(&self.open);
        let mut attempts = 0;
        if !open.flights.contains_key(key)
            && let Some(failure) = open.failures.get(key).filter(|failure| asked_at < failure.at)
        {
            if failure.attempts >= ATTEMPTS_MAX {
                return Boarded::Failed(failure.error.clone());
            }
            attempts = failure.attempts;
        }
        let flight = open.flights.entry(key.clone()).or_insert_with(|| {
            Arc::new(Flight {
                state: Mutex::new(State { making: false, attempts, result: None }),
                changed: Condvar::new(),
            })
        });
        let flight = Arc::clone(flight);
        let mut state = lock(&flight.state);
        let waiting = std::mem::replace(&mut state.making, true);
        drop(state);
        if waiting { Boarded::Waiter(flight) } else { Boarded::Maker(flight) }
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
    /// another attempt (the map and this thread hold the only references). A
    /// failure is kept for those who have asked already.
    fn close_if_over(&self, key: &K, flight: &Arc<Flight<T>>, error: Option<&PlanError>) {
        let mut open = lock(&self.open);
        let (over, attempts) = {
            let state = lock(&flight.state);
            (state.result.is_some() || Arc::strong_count(flight) <= 2, state.attempts)
        };
        if !over || !open.flights.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            return;
        }
        open.flights.remove(key);
        open.failures.remove(key);
        let Some(error) = error else { return };
        let at = Instant::now();
        if open.failures.len() >= FAILURES_MAX {
            open.failures.retain(|_, failure| at.duration_since(failure.at) < FAILURE_AGE_MAX);
        }
        if open.failures.len() < FAILURES_MAX {
            open.failures.insert(key.clone(), Failure { at, attempts, error: error.clone() });
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
                if open.flights.get(&1).is_some_and(|f| Arc::strong_count(f) == crowd + 1) {
                    break;
                }
                drop(open);
                std::thread::yield_now();
            }
            release.send(()).expect("the first maker waits");
            threads.into_iter().map(|t| t.join().expect("no panic").is_ok()).collect()
        });
        assert!(lock(&flights.open).flights.is_empty(), "no flight stays open");
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
    fn who_asked_before_a_failure_shares_it_and_who_asks_after_begins_anew() {
        let flights: Flights<u8, u32> = Flights::default();
        let made = AtomicU32::new(0);
        let fail = || {
            made.fetch_add(1, Ordering::SeqCst);
            Err(failure())
        };
        let queued: Vec<Turn> = (0..5).map(|_| Turn::ungated()).collect();
        for turn in &queued {
            assert!(flights.share(&1, LONG, turn, fail).is_err());
        }
        assert_eq!(made.load(Ordering::SeqCst), ATTEMPTS_MAX);
        assert_eq!(flights.share(&2, LONG, &queued[0], || Ok(4)).ok(), Some(4), "another key");
        assert_eq!(flights.share(&1, LONG, &Turn::ungated(), || Ok(3)).ok(), Some(3));
        assert_eq!(flights.share(&1, LONG, &queued[0], || Ok(5)).ok(), Some(5), "a success ends it");
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
