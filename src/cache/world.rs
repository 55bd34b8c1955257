//! The store inside the program: the embedded world map's tiles, read only.
//!
//! The archive `etc/world/world.tiles` is made by `etc/world/make`. Layout,
//! all numbers little-endian: the magic `RHWORLD1`; u32 levels; for each
//! level, row by row from the north-west, one u32: the tile's blob number;
//! u32 count of blobs; count + 1 u32 offsets into the blob area, which is the
//! rest of the file. Equal tiles share a blob.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CacheError, StoredTile, TileAddress, TileIdentity, TileStore};

const MAGIC: &[u8; 8] = b"RHWORLD1";
/// Deepest level that an archive may have: bounds the arithmetic on its index.
const LEVELS_MAX: u32 = 12;

/// Tiles of GLOBAL_WEBMERCATOR out of an archive in memory.
pub struct WorldStore {
    archive: &'static [u8],
    levels: u32,
    blobs_from: usize,
    blob_count: usize,
    /// The archive has no times of its own; tiles are as old as the release.
    modified: SystemTime,
}

impl WorldStore {
    /// Checks the archive's index once, so that reading a tile cannot fail.
    ///
    /// # Errors
    /// A sentence about what is wrong with the archive.
    pub fn open(archive: &'static [u8], modified_s: u64) -> Result<WorldStore, String> {
        if archive.get(..8) != Some(MAGIC) {
            return Err("not an archive of world tiles".into());
        }
        let levels =
            number(archive, 8).filter(|l| (1..=LEVELS_MAX).contains(l)).ok_or("levels out of range")?;
        let blobs_from = 12 + 4 * index_of(levels, 0, 0);
        let blob_count = number(archive, blobs_from).ok_or("cut short")? as usize;
        let store = WorldStore {
            archive,
            levels,
            blobs_from,
            blob_count,
            modified: UNIX_EPOCH + Duration::from_secs(modified_s),
        };
        for at in 0..index_of(levels, 0, 0) {
            let blob = number(archive, 12 + 4 * at).ok_or("cut short")? as usize;
            store.blob(blob).ok_or_else(|| format!("tile {at} points nowhere"))?;
        }
        Ok(store)
    }

    fn blob(&self, at: usize) -> Option<&'static [u8]> {
        if at >= self.blob_count {
            return None;
        }
        let offsets = self.blobs_from + 4;
        let area = offsets.checked_add(4 * (self.blob_count + 1))?;
        let from = number(self.archive, offsets + 4 * at)? as usize;
        let to = number(self.archive, offsets + 4 * at + 4)? as usize;
        self.archive.get(area..)?.get(from..to)
    }

    fn find(&self, tile: &TileAddress) -> Option<(usize, &'static [u8])> {
        let coord = tile.coord;
        let side = 1_i64.checked_shl(coord.z).filter(|_| coord.z < self.levels)?;
        if !(0..side).contains(&coord.x) || !(0..side).contains(&coord.y) {
            return None;
        }
        let at =
            number(self.archive, 12 + 4 * index_of(coord.z, coord.x as usize, coord.y as usize))? as usize;
        Some((at, self.blob(at)?))
    }

    fn identity_of(&self, blob: usize, size: usize) -> TileIdentity {
        // No file system numbers its devices like this.
        TileIdentity { device: u64::MAX, inode: blob as u64, size: size as u64, modified_ns: 0 }
    }

    fn refuse(&self) -> CacheError {
        CacheError::Refused("the embedded world map cannot be written".into())
    }
}

/// The index entry of a tile; levels before `level` have (4^level − 1) / 3 entries.
fn index_of(level: u32, x: usize, y: usize) -> usize {
    ((1_usize << (2 * level)) - 1) / 3 + (y << level) + x
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl TileStore for WorldStore {
    fn path_of(&self, _tile: &TileAddress) -> Option<PathBuf> {
        None
    }
    fn load(&self, tile: &TileAddress) -> Result<Option<StoredTile>, CacheError> {
        Ok(self.find(tile).map(|(blob, bytes)| StoredTile {
            bytes: Arc::from(bytes),
            modified: Some(self.modified),
            identity: Some(self.identity_of(blob, bytes.len())),
        }))
    }
    fn modified(&self, tile: &TileAddress) -> Result<Option<SystemTime>, CacheError> {
        Ok(self.find(tile).map(|_| self.modified))
    }
    fn identity(&self, tile: &TileAddress) -> Result<Option<TileIdentity>, CacheError> {
        Ok(self.find(tile).map(|(blob, bytes)| self.identity_of(blob, bytes.len())))
    }
    fn store(&self, _: &TileAddress, _: &[u8], _: Option<[u8; 4]>) -> Result<(), CacheError> {
        Err(self.refuse())
    }
    fn remove(&self, _: &TileAddress) -> Result<(), CacheError> {
        Err(self.refuse())
    }
    fn lock_dir(&self) -> &Path {
        Path::new("")
    }
    fn lock_id(&self) -> &str {
        ""
    }
    fn has_times(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::TileCoord;

    /// Two levels: one blob above, two below in a chequerboard.
    fn archive() -> &'static [u8] {
        let mut bytes = MAGIC.to_vec();
        for n in [2_u32, 0, 1, 0, 0, 1, /* blobs */ 2, 0, 3, 5] {
            bytes.extend_from_slice(&n.to_le_bytes());
        }
        bytes.extend_from_slice(b"oneTW");
        Vec::leak(bytes)
    }

    fn bytes_of(store: &WorldStore, x: i64, y: i64, z: u32) -> Option<Vec<u8>> {
        let tile = TileAddress::from(TileCoord { x, y, z });
        store.load(&tile).expect("memory does not fail").map(|t| t.bytes.to_vec())
    }

    #[test]
    fn tiles_are_found_by_their_place() {
        let store = WorldStore::open(archive(), 0).expect("a whole archive");
        assert_eq!(bytes_of(&store, 0, 0, 0).as_deref(), Some(&b"one"[..]));
        assert_eq!(bytes_of(&store, 0, 0, 1).as_deref(), Some(&b"TW"[..]));
        assert_eq!(bytes_of(&store, 1, 0, 1).as_deref(), Some(&b"one"[..]));
        assert_eq!(bytes_of(&store, 1, 1, 1).as_deref(), Some(&b"TW"[..]));
        for (x, y, z) in [(-1, 0, 1), (2, 0, 1), (0, 2, 1), (0, 0, 2), (0, 0, 64), (i64::MAX, 0, 1)] {
            assert_eq!(bytes_of(&store, x, y, z), None);
        }
    }

    #[test]
    fn a_damaged_archive_is_refused_and_not_read_beyond() {
        let whole = archive();
        for cut in 0..whole.len() {
            let bytes: &'static [u8] = &whole[..cut];
            assert!(WorldStore::open(bytes, 0).is_err(), "cut at {cut}");
        }
    }
}
