//! A stored tile for the event loop: from the memory tier, or from its file
//! where that needs no waiting. Everything else (missing, cold, stale, damaged,
//! odd) is left to a thread.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::plan::memory::EncodedTile;
use crate::plan::{TileFile, TileIdentity, TileMemory};
use crate::render::decode::looks_whole;
use crate::service::FoundTile;
use crate::sys::{self, CachedReads};

/// Larger ones are a thread's business: reading them would hold up the loop.
const TILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// File systems whose abilities are remembered.
const DEVICES_MAX: usize = 64;
/// MapProxy's folder of single-colour tiles, inside of the cache's directory.
const SINGLE_COLOR_FOLDER: &str = "single_color_tiles";

pub(super) struct StoredTiles {
    memory: Arc<TileMemory>,
    /// By device number.
    reads: HashMap<u64, CachedReads>,
    /// The kernel has no `openat2`, or a sandbox forbids it.
    opens_plainly: bool,
    /// Without `openat2` nobody knows before the open whether it waits for a
    /// network: after the first tile on one, threads open.
    saw_network: bool,
}

/// An open tile.
struct OpenTile {
    file: File,
    metadata: Metadata,
    modified: SystemTime,
}

impl StoredTiles {
    pub fn new(memory: Arc<TileMemory>) -> StoredTiles {
        StoredTiles { memory, reads: HashMap::new(), opens_plainly: false, saw_network: false }
    }

    /// The tile, if it is here, whole and fresh and no wait is needed.
    pub fn find(&mut self, wanted: &TileFile, now: Instant) -> Option<FoundTile> {
        if let Some(tile) = self.memory.encoded_trusted(&wanted.path, now) {
            return is_fresh(wanted, tile.modified).then(|| found(tile));
        }
        let open = self.open(&wanted.path)?;
        let bytes = open.metadata.len();
        if !open.metadata.is_file() || bytes == 0 || bytes > TILE_BYTES_MAX {
            return None;
        }
        if !is_fresh(wanted, open.modified) {
            return None;
        }
        let identity = TileIdentity::new(&open.metadata, open.modified);
        if let Some(tile) = self.memory.encoded_if(&wanted.path, identity, now) {
            return Some(found(tile));
        }
        let bytes = self.read(&wanted.path, &open, usize::try_from(bytes).ok()?)?;
        let format = looks_whole(&bytes)?;
        let tile = EncodedTile { bytes, format, modified: open.modified, identity };
        self.memory.put_encoded(wanted.path.clone(), tile.clone(), now);
        Some(found(tile))
    }

    fn open(&mut self, path: &Path) -> Option<OpenTile> {
        match self.open_name(path) {
            Ok(file) => {
                let metadata = file.metadata().ok()?;
                let modified = metadata.modified().ok()?;
                Some(OpenTile { file, metadata, modified })
            }
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => self.open_single_color(path),
            Err(_) => None,
        }
    }

    /// A link counts only when it leads into the folder of single-colour tiles
    /// of its own cache; its own time is the tile's. Others are looked at by
    /// the cache room, which knows the cache's directory.
    fn open_single_color(&mut self, path: &Path) -> Option<OpenTile> {
        let target = plain(&path.parent()?.join(std::fs::read_link(path).ok()?));
        let folder = target.parent()?;
        if folder.file_name()? != SINGLE_COLOR_FOLDER || !plain(path).starts_with(folder.parent()?) {
            return None;
        }
        let modified = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
        let file = self.open_name(&target).ok()?;
        let metadata = file.metadata().ok()?;
        Some(OpenTile { file, metadata, modified })
    }

    /// Opens without following a link in the last place, and without waiting.
    fn open_name(&mut self, path: &Path) -> io::Result<File> {
        if !self.opens_plainly {
            let opened = sys::open_cached(path);
            match opened.as_ref().map_err(io::Error::raw_os_error) {
                Err(Some(libc::ENOSYS | libc::EPERM | libc::EOPNOTSUPP | libc::EINVAL)) => {
                    self.opens_plainly = true;
                }
                _ => return opened,
            }
        }
        if self.saw_network {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
        std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
    }

    fn read(&mut self, path: &Path, open: &OpenTile, length: usize) -> Option<Arc<[u8]>> {
        let reads = self.reads_of(open.metadata.dev(), path)?;
        if reads.network && !reads.read {
            self.saw_network = true;
            return None;
        }
        // Zeroed once in its final place: no second copy of the bytes.
        let mut shared: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        let buffer = Arc::get_mut(&mut shared)?;
        if !reads.read {
            open.file.read_exact_at(buffer, 0).ok()?;
            return Some(shared);
        }
        let mut filled = 0;
        while filled < length {
            match sys::read_cached(&open.file, &mut buffer[filled..], filled as u64) {
                // Shorter than a moment ago: somebody writes in place.
                Ok(0) => return None,
                Ok(count) => filled += count,
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    self.reads.insert(open.metadata.dev(), CachedReads { read: false, ..reads });
                    return None;
                }
                Err(_) => return None,
            }
        }
        Some(shared)
    }

    /// How files of that device may be read; tried at its first tile.
    fn reads_of(&mut self, device: u64, path: &Path) -> Option<CachedReads> {
        if let Some(reads) = self.reads.get(&device) {
            return Some(*reads);
        }
        let reads = CachedReads::try_directory(path.parent()?).ok()?;
        if self.reads.len() < DEVICES_MAX {
            self.reads.insert(device, reads);
        }
        Some(reads)
    }
}

fn is_fresh(wanted: &TileFile, modified: SystemTime) -> bool {
    wanted.fresh_after.is_none_or(|after| modified >= after)
}

fn found(tile: EncodedTile) -> FoundTile {
    FoundTile { bytes: tile.bytes, format: tile.format, modified: tile.modified }
}

/// The path without `.` and `..`, by its text alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
