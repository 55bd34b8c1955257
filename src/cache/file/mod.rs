//! The file store: a file for each tile below a root directory, shared with a
//! MapProxy on the same configuration.
//!
//! Knows paths, permissions and links; how a file gets written whole is
//! `atomic`'s, what is in it nobody's here.

mod layout;
mod single_color;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use md5::{Digest, Md5};

use super::atomic::{Fsync, WriteOptions, io_error, write_atomic};
use super::lock::{LockModes, Locked, lock_tile_with};
use super::{CacheError, StoredTile, TileAddress, TileIdentity, TileStore};
use crate::geo::TileCoord;

pub use layout::{Layout, dimension_path, relative_path};

/// A stored tile over this is no tile of ours, and reads as missing.
pub const TILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    Symlink,
    Hardlink,
}

/// What a file store is made of; all paths absolute or as configured where
/// the lock id demands the spelling.
#[derive(Clone, Debug, Default)]
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
    pub fsync: Fsync,
}

/// Tiles of one grid as files.
pub struct FileStore {
    options: FileStoreOptions,
    write: WriteOptions,
    lock_id: String,
}

/// The id in the names of a file store's locks: the hex md5 of the cache
/// directory as configured (mapproxy-features.md §4.5).
pub fn lock_id(source: &str) -> String {
    Md5::digest(source.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FileStore {
    pub fn new(options: FileStoreOptions) -> FileStore {
        let write = WriteOptions {
            directory_mode: options.directory_mode,
            file_mode: options.file_mode,
            fsync: options.fsync,
        };
        FileStore { lock_id: lock_id(&options.lock_id_source), write, options }
    }

    /// The tile's path below the root.
    pub fn relative_path(layout: Layout, tile: &TileAddress, extension: &str) -> PathBuf {
        relative_path(layout, tile, extension)
    }

    pub fn options(&self) -> &FileStoreOptions {
        &self.options
    }

    fn path(&self, tile: &TileAddress) -> PathBuf {
        self.options.root.join(relative_path(self.options.layout, tile, &self.options.extension))
    }

    /// Opens the tile, following one link if it stays below the root. With it
    /// the time that counts: the link's own where there is one.
    fn open(&self, path: &Path) -> Result<Option<(File, Metadata, SystemTime)>, CacheError> {
        match open_plain(path) {
            Ok(Some((file, metadata))) => {
                let modified = time_of(&metadata);
                Ok(Some((file, metadata, modified)))
            }
            Ok(None) => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => self.open_linked(path),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(io_error("open", path, error)),
        }
    }

    fn open_linked(&self, path: &Path) -> Result<Option<(File, Metadata, SystemTime)>, CacheError> {
        let failed = |error: io::Error| io_error("follow link", path, error);
        let link = match std::fs::symlink_metadata(path) {
            Ok(link) if link.is_symlink() => link,
            Ok(_) => return Ok(None),
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let Some(target) = self.link_target(path).map_err(failed)? else { return Ok(None) };
        match open_plain(&target) {
            Ok(Some((file, metadata))) => Ok(Some((file, metadata, time_of(&link)))),
            Ok(None) => Ok(None),
            // A link to a link: not made by anybody who writes tiles.
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// What a tile's link names, if that lies below the root.
    fn link_target(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let named = match std::fs::read_link(path) {
            Ok(named) => named,
            // Replaced by a file just now: the next look finds that.
            Err(error) if error.kind() == ErrorKind::InvalidInput || is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let target = normalize(&path.parent().unwrap_or(Path::new("/")).join(named));
        if target.starts_with(normalize(&self.options.root)) {
            return Ok(Some(target));
        }
        // The root may go by another name in the link (a mount, a link above it).
        let (Ok(target), Ok(root)) = (target.canonicalize(), self.options.root.canonicalize()) else {
            return Ok(None);
        };
        Ok(target.starts_with(root).then_some(target))
    }

    fn look(&self, tile: &TileAddress) -> Result<Option<(Metadata, SystemTime)>, CacheError> {
        let path = self.path(tile);
        let own = match std::fs::symlink_metadata(&path) {
            Ok(own) => own,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(io_error("look at", &path, error)),
        };
        if !own.is_symlink() {
            let modified = time_of(&own);
            return Ok(is_tile(&own).then_some((own, modified)));
        }
        Ok(self.open_linked(&path)?.map(|(_, metadata, modified)| (metadata, modified)))
    }
}

impl TileStore for FileStore {
    fn path_of(&self, tile: &TileAddress) -> Option<PathBuf> {
        Some(self.path(tile))
    }

    fn load(&self, tile: &TileAddress) -> Result<Option<StoredTile>, CacheError> {
        let path = self.path(tile);
        let Some((file, metadata, modified)) = self.open(&path)? else { return Ok(None) };
        let bytes = match read_all(file, metadata.len()) {
            Ok(bytes) => bytes,
            // Cut shorter while we read: nothing that writes tiles does that.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        let identity = Some(TileIdentity::new(&metadata, modified));
        Ok(Some(StoredTile { bytes, modified: Some(modified), identity }))
    }

    fn modified(&self, tile: &TileAddress) -> Result<Option<SystemTime>, CacheError> {
        Ok(self.look(tile)?.map(|(_, modified)| modified))
    }

    fn identity(&self, tile: &TileAddress) -> Result<Option<TileIdentity>, CacheError> {
        Ok(self.look(tile)?.map(|(metadata, modified)| TileIdentity::new(&metadata, modified)))
    }

    fn store(
        &self,
        tile: &TileAddress,
        bytes: &[u8],
        single_color: Option<[u8; 4]>,
    ) -> Result<(), CacheError> {
        if bytes.is_empty() {
            return Err(CacheError::Refused("an empty tile is not stored".into()));
        }
        let path = self.path(tile);
        if let (Some(kind), Some(color)) = (self.options.link_single_color, single_color) {
            return single_color::store(&self.options, &self.write, kind, color, &path, bytes);
        }
        write_atomic(&path, bytes, &self.write)
    }

    fn remove(&self, tile: &TileAddress) -> Result<(), CacheError> {
        let path = self.path(tile);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if is_absence(&error) => Ok(()),
            Err(error) => Err(io_error("remove", &path, error)),
        }
    }

    fn lock_dir(&self) -> &Path {
        &self.options.lock_dir
    }

    fn lock_id(&self) -> &str {
        &self.lock_id
    }

    fn lock(&self, main: TileCoord, timeout: Duration) -> Result<Locked, CacheError> {
        let modes = LockModes { directory: self.options.directory_mode, file: self.options.file_mode };
        lock_tile_with(&self.options.lock_dir, &self.lock_id, main, timeout, modes)
    }
}

/// Opens a regular file that is not empty, and nothing else: `None` for a
/// directory, a device, a pipe (without waiting for its other end), an empty
/// or an absurdly large file. A link is the error ELOOP.
pub(super) fn open_plain(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    Ok(is_tile(&metadata).then_some((file, metadata)))
}

fn is_tile(metadata: &Metadata) -> bool {
    metadata.is_file() && (1..=TILE_BYTES_MAX).contains(&metadata.len())
}

/// Errors that say "there is no such tile" rather than "the disk is ill".
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG | libc::ENXIO | libc::ENODEV)
    )
}

fn read_all(mut file: File, size: u64) -> io::Result<Arc<[u8]>> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, size).collect();
    match Arc::get_mut(&mut bytes) {
        Some(buffer) => file.read_exact(buffer)?,
        None => return Err(io::Error::other("a fresh buffer is shared")),
    }
    Ok(bytes)
}

fn time_of(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The path without `.` and `..`, by its text alone.
fn normalize(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

impl TileIdentity {
    /// `modified`: the time that counts for the tile, which for a link is the
    /// link's own.
    pub fn new(metadata: &Metadata, modified: SystemTime) -> TileIdentity {
        let modified_ns = match modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => i128::try_from(before.duration().as_nanos()).map_or(i128::MIN, |ns| -ns),
        };
        TileIdentity { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), modified_ns }
    }

    /// Of an open plain file.
    pub fn of(metadata: &Metadata) -> TileIdentity {
        TileIdentity::new(metadata, time_of(metadata))
    }
}

/// A store that keeps nothing (`disable_storage: true`).
pub struct NoStore {
    pub lock_dir: PathBuf,
    pub lock_id: Arc<str>,
}

impl TileStore for NoStore {
    fn path_of(&self, _tile: &TileAddress) -> Option<PathBuf> {
        None
    }
    fn load(&self, _tile: &TileAddress) -> Result<Option<StoredTile>, CacheError> {
        Ok(None)
    }
    fn modified(&self, _tile: &TileAddress) -> Result<Option<SystemTime>, CacheError> {
        Ok(None)
    }
    fn identity(&self, _tile: &TileAddress) -> Result<Option<TileIdentity>, CacheError> {
        Ok(None)
    }
    fn store(
        &self,
        _tile: &TileAddress,
        _bytes: &[u8],
        _single_color: Option<[u8; 4]>,
    ) -> Result<(), CacheError> {
        Ok(())
    }
    fn remove(&self, _tile: &TileAddress) -> Result<(), CacheError> {
        Ok(())
    }
    fn lock_dir(&self) -> &Path {
        &self.lock_dir
    }
    fn lock_id(&self) -> &str {
        &self.lock_id
    }
    fn keeps(&self) -> bool {
        false
    }
    fn has_times(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
