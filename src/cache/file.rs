//! The file store: six directory layouts, single-colour links, permissions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{CacheError, StoredTile, TileAddress, TileIdentity, TileStore};

/// `directory_layout` (mapproxy-features.md §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    #[default]
    Tc,
    Mp,
    Tms,
    ReverseTms,
    Quadkey,
    ArcGis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Symlink,
    Hardlink,
}

/// What a file store is made of; all paths absolute or as configured where
/// the lock id demands the spelling.
#[derive(Clone, Debug)]
pub struct FileStoreOptions {
    pub root: PathBuf,
    /// The root as MapProxy would hash it for the lock id.
    pub lock_id_source: String,
    pub lock_dir: PathBuf,
    pub layout: Layout,
    /// `png`, `jpeg`, `mixed`, …
    pub extension: String,
    pub link_single_color: Option<LinkKind>,
    pub directory_mode: Option<u32>,
    pub file_mode: Option<u32>,
}

pub struct FileStore {
    options: FileStoreOptions,
    lock_id: String,
}

impl FileStore {
    pub fn new(_options: FileStoreOptions) -> FileStore {
        todo!()
    }
    /// The tile's path below the root.
    pub fn relative_path(_layout: Layout, _tile: &TileAddress, _extension: &str) -> PathBuf {
        todo!()
    }
}

impl TileStore for FileStore {
    fn path_of(&self, _tile: &TileAddress) -> Option<PathBuf> {
        todo!()
    }
    fn load(&self, _tile: &TileAddress) -> Result<Option<StoredTile>, CacheError> {
        todo!()
    }
    fn modified(&self, _tile: &TileAddress) -> Result<Option<SystemTime>, CacheError> {
        todo!()
    }
    fn identity(&self, _tile: &TileAddress) -> Result<Option<TileIdentity>, CacheError> {
        todo!()
    }
    fn store(
        &self,
        _tile: &TileAddress,
        _bytes: &[u8],
        _single_color: Option<[u8; 4]>,
    ) -> Result<(), CacheError> {
        todo!()
    }
    fn remove(&self, _tile: &TileAddress) -> Result<(), CacheError> {
        todo!()
    }
    fn lock_dir(&self) -> &Path {
        &self.options.lock_dir
    }
    fn lock_id(&self) -> &str {
        &self.lock_id
    }
}

/// A store that keeps nothing (`disable_storage: true`).
pub struct NoStore {
    pub lock_dir: PathBuf,
    pub lock_id: Arc<str>,
}
