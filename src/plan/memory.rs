//! The memory tiers: encoded tiles as they lie and decoded tiles for
//! overlapping maps, keyed by the identity of the stored tile, bounded
//! together by `cache_memory` bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::cache::TileIdentity;
use crate::render::{Format, Raster};

/// How long the identity of a stored tile is believed without a look.
pub const IDENTITY_TRUST_MS: u64 = 1_000;

/// An encoded tile in memory.
#[derive(Clone, Debug)]
pub struct EncodedTile {
    pub bytes: Arc<[u8]>,
    pub format: Format,
    pub modified: SystemTime,
    pub identity: TileIdentity,
}

/// One per worker process, shared by its loop and its render threads.
pub struct TileMemory {}

impl TileMemory {
    /// `bytes_max`: bound of both tiers together; 0 keeps nothing.
    pub fn new(_bytes_max: usize) -> Arc<TileMemory> {
        todo!()
    }
    /// The tile if it is here and its identity was looked at within
    /// [`IDENTITY_TRUST_MS`] of `now`.
    pub fn encoded_trusted(&self, _path: &Path, _now: Instant) -> Option<EncodedTile> {
        todo!()
    }
    /// The tile if it is here with just this identity; renews the trust.
    pub fn encoded_if(&self, _path: &Path, _identity: TileIdentity, _now: Instant) -> Option<EncodedTile> {
        todo!()
    }
    pub fn put_encoded(&self, _path: PathBuf, _tile: EncodedTile, _now: Instant) {
        todo!()
    }
    pub fn decoded(&self, _identity: TileIdentity) -> Option<Arc<Raster>> {
        todo!()
    }
    pub fn put_decoded(&self, _identity: TileIdentity, _raster: Arc<Raster>) {
        todo!()
    }
    /// Forgets what is known of a path (it was just replaced by this process).
    pub fn forget(&self, _path: &Path) {
        todo!()
    }
}
