//! Where a tile is kept, and the lock that makes one creator per meta tile.
//!
//! Uses `geo` and `sys`. Knows bytes, not pixels; never talks to a network
//! source. Nothing is opened before the fork.

pub mod atomic;
pub mod file;
pub mod lock;
#[cfg(test)]
mod scratch;
pub mod sqlite;
pub mod world;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::geo::TileCoord;

pub use atomic::Fsync;
pub use file::{FileStore, FileStoreOptions, Layout, LinkKind, NoStore, dimension_path};
pub use lock::{Locked, TileLock, lock_tile};
pub use sqlite::{DatabaseOptions, GeoPackage, RowFiles, RowOptions, RowStore};

/// Dimension values of a tile: as asked for, and as the path part that keeps
/// tiles of different values apart (`time-2020/dim_x-1`).
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Dimensions {
    values: Vec<(String, String)>,
    path: Arc<str>,
}

impl Dimensions {
    /// `None` for no values.
    ///
    /// # Errors
    /// A value that is no normal path and so could lead elsewhere.
    pub fn new(values: &[(String, String)]) -> Result<Option<Arc<Dimensions>>, CacheError> {
        Ok(dimension_path(values)?.map(|path| Arc::new(Dimensions { values: values.to_vec(), path })))
    }

    pub fn values(&self) -> &[(String, String)] {
        &self.values
    }

    pub fn path(&self) -> &str {
        &self.path
    }
}

/// A tile's address in one store: its coordinate in the grid's own counting
/// and its dimension values, if any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TileAddress {
    pub coord: TileCoord,
    pub dimensions: Option<Arc<Dimensions>>,
}

impl From<TileCoord> for TileAddress {
    fn from(coord: TileCoord) -> Self {
        TileAddress { coord, dimensions: None }
    }
}

/// What identifies one stored state of a tile: a tile that was replaced has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileIdentity {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    pub modified_ns: i128,
}

impl TileIdentity {
    /// Of a tile that lies in no file of its own: a digest of its bytes, so
    /// that equal identities mean equal pictures whoever has written them how.
    pub fn of_bytes(bytes: &[u8]) -> TileIdentity {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let word = |at: usize| {
            let word = digest.as_ref().get(at..at + 8).and_then(|word| word.try_into().ok());
            word.map_or(0, u64::from_le_bytes)
        };
        // No file is as old as that.
        TileIdentity { device: word(0), inode: word(8), size: bytes.len() as u64, modified_ns: i128::MIN }
    }
}

/// A tile's bytes as they lie.
#[derive(Clone, Debug)]
pub struct StoredTile {
    pub bytes: Arc<[u8]>,
    /// `None` where no time is kept.
    pub modified: Option<SystemTime>,
    pub identity: Option<TileIdentity>,
}

/// A tile that is to be stored.
#[derive(Clone, Debug)]
pub struct NewTile<'a> {
    pub tile: TileAddress,
    pub bytes: &'a [u8],
    /// The colour if all pixels have it (for links).
    pub single_color: Option<[u8; 4]>,
}

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("cannot {operation} {path}: {error}")]
    Io { operation: &'static str, path: PathBuf, error: std::io::Error },
    #[error("waited {waited_ms} ms for the lock {path}")]
    LockTimeout { path: PathBuf, waited_ms: u64 },
    /// To be asked again; who asks waits, at most so long in all.
    #[error("somebody else writes to {path} for more than {} ms (`sqlite_timeout`)", .patience.as_millis())]
    Busy { path: PathBuf, patience: Duration },
    #[error("cannot {operation} {path}: {reason}")]
    Database { operation: &'static str, path: PathBuf, reason: String },
    #[error("{0}")]
    Refused(String),
}

/// One store of tiles for one grid. Implementations open nothing before the
/// first use, which is after the fork.
pub trait TileStore: Send + Sync {
    /// The file where the tile lies, for stores that keep a file for each
    /// tile: lets the event loop answer without coming here.
    fn path_of(&self, tile: &TileAddress) -> Option<PathBuf>;
    /// The tile, or `None` when it is missing, zero length, no regular file.
    fn load(&self, tile: &TileAddress) -> Result<Option<StoredTile>, CacheError>;
    /// When the tile was stored; `None` when it is missing. For a single-colour
    /// link the link's own time; the epoch where no time is kept.
    fn modified(&self, tile: &TileAddress) -> Result<Option<SystemTime>, CacheError>;
    /// The identity of the present state without reading the bytes; `None`
    /// also where only the bytes tell.
    fn identity(&self, tile: &TileAddress) -> Result<Option<TileIdentity>, CacheError>;
    /// Stores complete bytes so that a reader sees the old or the new tile.
    /// `single_color`: the colour if all pixels have it (for links).
    fn store(
        &self,
        tile: &TileAddress,
        bytes: &[u8],
        single_color: Option<[u8; 4]>,
    ) -> Result<(), CacheError>;
    /// Stores several tiles, in one go where that is cheaper: one result for each.
    ///
    /// # Errors
    /// Why none of them was stored.
    fn store_all(&self, tiles: &[NewTile<'_>]) -> Result<Vec<Result<(), CacheError>>, CacheError> {
        Ok(tiles.iter().map(|new| self.store(&new.tile, new.bytes, new.single_color)).collect())
    }
    fn remove(&self, tile: &TileAddress) -> Result<(), CacheError>;
    /// Where locks of this store lie and what id their names begin with
    /// (mapproxy-features.md §4.5).
    fn lock_dir(&self) -> &std::path::Path;
    fn lock_id(&self) -> &str;
    /// Locks the meta tile whose main tile is `main`, waiting at most `timeout`.
    fn lock(&self, main: TileCoord, timeout: Duration) -> Result<Locked, CacheError> {
        lock_tile(self.lock_dir(), self.lock_id(), main, timeout)
    }
    /// Whether anything is kept (`disable_storage` says no).
    fn keeps(&self) -> bool {
        true
    }
    /// Whether a tile that is stored gets a time.
    fn has_times(&self) -> bool {
        true
    }
}

/// Opens the tile for the event loop: nothing but a plain file that is not
/// empty counts. `None` for everything else, a link too: those are for a
/// thread, which knows how far a link may lead.
pub fn open_tile(path: &std::path::Path) -> std::io::Result<Option<File>> {
    match file::open_plain(path) {
        Ok(opened) => Ok(opened.map(|(file, _)| file)),
        Err(error) if file::is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
