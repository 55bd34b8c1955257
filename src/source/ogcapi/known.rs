//! What a server said of itself, believed for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::log;
use crate::source::SourceError;

/// After this time a server is asked anew what it has.
pub const DISCOVERY_AGE_MAX: Duration = Duration::from_secs(3600);
/// For this time a failure stands for everybody who wants to know.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(1);

/// Something that is found out at first use and kept in the process. One thread
/// asks, the others wait for what it finds, or go on with what was known before.
#[derive(Debug)]
pub struct Known<T> {
    state: Mutex<State<T>>,
    /// Held by whoever asks.
    asking: Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    found: Option<(Arc<T>, Instant)>,
    failed: Option<(SourceError, Instant)>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Known { state: Mutex::new(State { found: None, failed: None }), asking: Mutex::default() }
    }
}

impl<T> Known<T> {
    /// What is known, or what `find` finds. Where it fails after it once did
    /// not, the old finding stays in force.
    ///
    /// # Errors
    /// That of `find`, or of another thread's a moment ago.
    pub fn get(&self, find: impl FnOnce() -> Result<T, SourceError>) -> Result<Arc<T>, SourceError> {
        self.get_at(Instant::now, find)
    }

    fn get_at(
        &self,
        now: impl Fn() -> Instant,
        find: impl FnOnce() -> Result<T, SourceError>,
    ) -> Result<Arc<T>, SourceError> {
        if let Some(known) = self.look(now()) {
            return known;
        }
        let old = self.state().found.as_ref().map(|(found, _)| Arc::clone(found));
        let _asking = match (&old, self.asking.try_lock()) {
            (_, Ok(asking)) => asking,
            (Some(old), Err(TryLockError::WouldBlock)) => return Ok(Arc::clone(old)),
            _ => self.asking.lock().unwrap_or_else(PoisonError::into_inner),
        };
        // Who waited has what the other found.
        if let Some(known) = self.look(now()) {
            return known;
        }
        let result = find();
        let mut state = self.state();
        match result {
            Ok(found) => {
                let found = Arc::new(found);
                *state = State { found: Some((Arc::clone(&found), now())), failed: None };
                Ok(found)
            }
            Err(error) => {
                state.failed = Some((error.clone(), now()));
                let Some(old) = old else { return Err(error) };
                log::warn!("what was known of a source before stays in force: {error}");
                Ok(old)
            }
        }
    }

    /// What needs no asking.
    fn look(&self, now: Instant) -> Option<Result<Arc<T>, SourceError>> {
        let state = self.state();
        let found = state.found.as_ref();
        if let Some((found, since)) = found
            && now.saturating_duration_since(*since) < DISCOVERY_AGE_MAX
        {
            return Some(Ok(Arc::clone(found)));
        }
        let (error, since) = state.failed.as_ref()?;
        if now.saturating_duration_since(*since) >= FAILURE_AGE_MAX {
            return None;
        }
        Some(found.map_or_else(|| Err(error.clone()), |(found, _)| Ok(Arc::clone(found))))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn failure(text: &str) -> SourceError {
        SourceError::Other(text.into())
    }

    #[test]
    fn a_finding_lasts_a_while_and_then_until_there_is_a_better_one() {
        let (known, start) = (Known::default(), Instant::now());
        let get = |ms: u64, find: Result<u32, SourceError>| {
            let at = start + Duration::from_millis(ms);
            known.get_at(|| at, || find).map(|found| *found).map_err(|error| error.to_string())
        };
        assert_eq!(get(0, Err(failure("first"))), Err("first".into()));
        assert_eq!(get(999, Ok(1)), Err("first".into()), "a failure is not asked about at once");
        assert_eq!(get(1_000, Ok(2)), Ok(2));
        assert_eq!(get(3_600_999, Ok(3)), Ok(2), "what is known is not asked again");
        assert_eq!(get(3_601_000, Err(failure("later"))), Ok(2), "the old finding stays in force");
        assert_eq!(get(3_601_999, Ok(4)), Ok(2));
        assert_eq!(get(3_602_000, Ok(5)), Ok(5));
    }

    #[test]
    fn one_asks_and_the_others_wait() {
        let known = Known::default();
        let (told, has_begun) = channel();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                known.get(|| {
                    told.send(()).unwrap();
                    Ok(7)
                })
            });
            has_begun.recv().unwrap();
            let second = known.get(|| panic!("asked twice"));
            assert_eq!((*first.join().unwrap().unwrap(), *second.unwrap()), (7, 7));
        });
    }
}
