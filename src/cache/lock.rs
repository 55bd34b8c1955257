//! One creator per meta tile: across threads in memory, across processes (and
//! a MapProxy beside us) by `flock` on MapProxy's own lock file.

use std::path::Path;
use std::time::Duration;

use super::CacheError;
use crate::geo::TileCoord;

/// Held while a meta tile is made; freed on drop, and by the kernel when the
/// process dies.
pub struct TileLock {}

/// How a lock was got.
pub enum Locked {
    /// Free at once.
    AtOnce(TileLock),
    /// After waiting for somebody else, so look into the cache again.
    AfterWait(TileLock),
}

/// Locks `<dir>/<id>-x-y-z.lck`; waits at most `timeout`.
///
/// Threads of this process queue up in memory; only one of them polls the file.
pub fn lock_tile(
    _dir: &Path,
    _id: &str,
    _main: TileCoord,
    _timeout: Duration,
) -> Result<Locked, CacheError> {
    todo!()
}
