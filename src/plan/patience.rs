//! A store that somebody else is busy with is asked again and again, without
//! a permit to compute, until it answers or its patience is at an end.

use std::time::{Duration, Instant};

use super::Turn;
use crate::cache::CacheError;
use crate::story;

/// The first pause; each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What `ask` says in the end: [`CacheError::Busy`] only when it said so for
/// as long as that error allows.
pub(super) fn patiently<T>(
    turn: &Turn,
    mut ask: impl FnMut() -> Result<T, CacheError>,
) -> Result<T, CacheError> {
    let patience = match ask() {
        Err(CacheError::Busy { patience, .. }) if !patience.is_zero() => patience,
        answer => return answer,
    };
    let since = Instant::now();
    let answer = turn.wait(|| {
        let mut pause = PAUSE_MIN;
        loop {
            std::thread::sleep(pause.min(patience.saturating_sub(since.elapsed())));
            pause = (2 * pause).min(PAUSE_MAX);
            match ask() {
                Err(CacheError::Busy { .. }) if since.elapsed() < patience => {}
                answer => return answer,
            }
        }
    });
    story::note_lock_wait(since.elapsed());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Gate;

    fn busy(patience_ms: u64) -> CacheError {
        CacheError::Busy { path: "/a".into(), patience: Duration::from_millis(patience_ms) }
    }

    #[test]
    fn a_busy_store_is_asked_until_it_answers_and_costs_no_permit() {
        let gate = Gate::new(1);
        let turn = Turn::take(&gate);
        let mut asked = 0;
        let answer = patiently(&turn, || {
            asked += 1;
            if asked < 4 {
                return Err(busy(60_000));
            }
            // Another can compute meanwhile: with the permit held this would never come.
            drop(Turn::take(&gate));
            Ok(asked)
        });
        assert_eq!(answer.expect("an answer"), 4);
    }

    #[test]
    fn patience_ends_and_other_errors_end_it() {
        let turn = Turn::ungated();
        for patience_ms in [0, 5] {
            let mut asked = 0;
            let answer = patiently(&turn, || {
                asked += 1;
                Err::<(), _>(busy(patience_ms))
            });
            assert!(matches!(answer, Err(CacheError::Busy { .. })));
            assert_eq!(asked == 1, patience_ms == 0, "{patience_ms} {asked}");
        }
        let mut answers = vec![Err(CacheError::Refused("no".into())), Err(busy(60_000))];
        let answer = patiently(&turn, || answers.pop().unwrap_or(Ok(())));
        assert!(matches!(answer, Err(CacheError::Refused(_))));
    }
}
