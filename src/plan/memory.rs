//! The memory tiers: encoded tiles as they lie and decoded tiles for
//! overlapping maps, keyed by the identity of the stored tile, bounded
//! together by `cache_memory` bytes.
//!
//! Least recently used first out, in a few shards so that the event loop and
//! the render threads rarely meet at a lock. Pixels and bytes are shared, never
//! copied under a lock; what is thrown out is freed after the lock is given up.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::cache::TileIdentity;
use crate::render::{Format, Raster};

/// What is larger than this share of the bound is not kept.
const ENTRY_SHARE_MAX: usize = 8;
const SHARDS: usize = 4;
/// Bytes that an entry costs beside its content: its place, its key, two map slots.
const ENTRY_COST_BYTES: usize = 256;

/// An encoded tile in memory.
#[derive(Clone, Debug)]
pub struct EncodedTile {
    pub bytes: Arc<[u8]>,
    pub format: Format,
    pub modified: SystemTime,
    pub identity: TileIdentity,
}

/// What the status page shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    pub bytes_max: u64,
    pub bytes: u64,
    pub entries: u64,
    pub encoded_hits: u64,
    /// Looks with a fresh identity that found nothing or an older tile.
    pub encoded_misses: u64,
    pub decoded_hits: u64,
    pub decoded_misses: u64,
}

#[derive(Debug, Default)]
struct Counters {
    encoded_hits: AtomicU64,
    encoded_misses: AtomicU64,
    decoded_hits: AtomicU64,
    decoded_misses: AtomicU64,
}

/// One per worker process, shared by its loop and its render threads.
#[derive(Debug)]
pub struct TileMemory {
    bytes_max: usize,
    /// How long the identity of a stored tile is believed without a look.
    trust: Duration,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    counters: Counters,
}

impl TileMemory {
    /// `bytes_max`: bound of both tiers together; 0 keeps nothing. `trust`: how
    /// long a stored tile is not looked at again; 0: it is at every request.
    pub fn new(bytes_max: usize, trust: Duration) -> Arc<TileMemory> {
        Arc::new(TileMemory {
            bytes_max,
            trust,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(Shard::new(bytes_max / SHARDS))),
            counters: Counters::default(),
        })
    }

    /// The tile if it is here and its identity was looked at so shortly before
    /// `now` that it is trusted. Only what is found is counted; who finds
    /// nothing asks again with an identity.
    pub fn encoded_trusted(&self, path: &Path, now: Instant) -> Option<EncodedTile> {
        let tile = self
            .shard(path)
            .encoded(path, |_, looked_at| now.saturating_duration_since(looked_at) < self.trust)?;
        self.counters.encoded_hits.fetch_add(1, Ordering::Relaxed);
        Some(tile)
    }

    /// The tile if it is here with just this identity; renews the trust.
    pub fn encoded_if(&self, path: &Path, identity: TileIdentity, now: Instant) -> Option<EncodedTile> {
        let found = self.shard(path).encoded_renewed(path, identity, now);
        let counter = match found {
            Some(_) => &self.counters.encoded_hits,
            None => &self.counters.encoded_misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a tile whose identity was looked at just `now`.
    pub fn put_encoded(&self, path: PathBuf, tile: EncodedTile, now: Instant) {
        let bytes = tile.bytes.len() + 2 * path.as_os_str().len() + ENTRY_COST_BYTES;
        if !self.has_room_for(bytes) {
            return self.forget(&path);
        }
        let thrown_out = self.shard(&path).put(Item::Encoded { path, tile, looked_at: now }, bytes);
        drop(thrown_out);
    }

    /// The pixels of a stored tile, if they are here.
    pub fn decoded(&self, identity: TileIdentity) -> Option<Arc<Raster>> {
        let found = self.shard(&identity).decoded(&identity);
        let counter = match found {
            Some(_) => &self.counters.decoded_hits,
            None => &self.counters.decoded_misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub fn put_decoded(&self, identity: TileIdentity, raster: Arc<Raster>) {
        let bytes = raster.pixels.len() + ENTRY_COST_BYTES;
        if self.has_room_for(bytes) {
            let thrown_out = self.shard(&identity).put(Item::Decoded { identity, raster }, bytes);
            drop(thrown_out);
        }
    }

    /// Forgets what is known of a path (it was just replaced by this process).
    pub fn forget(&self, path: &Path) {
        let removed = self.shard(path).remove_path(path);
        if let Some(Item::Encoded { tile, .. }) = &removed {
            let pixels = self.shard(&tile.identity).remove_identity(&tile.identity);
            drop(pixels);
        }
    }

    /// Filling and counters, for the status page.
    pub fn usage(&self) -> MemoryUsage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut usage = MemoryUsage {
            bytes_max: self.bytes_max as u64,
            encoded_hits: read(&self.counters.encoded_hits),
            encoded_misses: read(&self.counters.encoded_misses),
            decoded_hits: read(&self.counters.decoded_hits),
            decoded_misses: read(&self.counters.decoded_misses),
            ..MemoryUsage::default()
        };
        for shard in &self.shards {
            let shard = lock(shard);
            usage.bytes += shard.bytes as u64;
            usage.entries += (shard.by_path.len() + shard.by_identity.len()) as u64;
        }
        usage
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= self.bytes_max / ENTRY_SHARE_MAX
    }

    fn shard<K: Hash + ?Sized>(&self, key: &K) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        lock(&self.shards[at])
    }
}

/// A shard is consistent between any two statements that can panic.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
enum Item {
    Encoded { path: PathBuf, tile: EncodedTile, looked_at: Instant },
    Decoded { identity: TileIdentity, raster: Arc<Raster> },
}

/// No place.
const NONE: usize = usize::MAX;

#[derive(Debug)]
struct Slot {
    /// `None` on the list of free slots.
    item: Option<Item>,
    bytes: usize,
    newer: usize,
    older: usize,
}

/// Slots linked from the newest to the oldest; every operation is O(1), but
/// for throwing out, which is so on average.
#[derive(Debug)]
struct Shard {
    bytes_max: usize,
    bytes: usize,
    slots: Vec<Slot>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
    by_path: HashMap<PathBuf, usize>,
    by_identity: HashMap<TileIdentity, usize>,
}

impl Shard {
    fn new(bytes_max: usize) -> Shard {
        Shard {
            bytes_max,
            bytes: 0,
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            by_path: HashMap::new(),
            by_identity: HashMap::new(),
        }
    }

    fn encoded(&mut self, path: &Path, good: impl Fn(&EncodedTile, Instant) -> bool) -> Option<EncodedTile> {
        let at = *self.by_path.get(path)?;
        let Some(Item::Encoded { tile, looked_at, .. }) = &self.slots[at].item else { return None };
        if !good(tile, *looked_at) {
            return None;
        }
        let tile = tile.clone();
        self.touch(at);
        Some(tile)
    }

    fn encoded_renewed(&mut self, path: &Path, identity: TileIdentity, now: Instant) -> Option<EncodedTile> {
        let at = *self.by_path.get(path)?;
        let Some(Item::Encoded { tile, looked_at, .. }) = &mut self.slots[at].item else { return None };
        if tile.identity != identity {
            self.remove(at);
            return None;
        }
        *looked_at = now;
        let tile = tile.clone();
        self.touch(at);
        Some(tile)
    }

    fn decoded(&mut self, identity: &TileIdentity) -> Option<Arc<Raster>> {
        let at = *self.by_identity.get(identity)?;
        let Some(Item::Decoded { raster, .. }) = &self.slots[at].item else { return None };
        let raster = Arc::clone(raster);
        self.touch(at);
        Some(raster)
    }

    /// Puts an item in front; what had to go comes back to be freed.
    fn put(&mut self, item: Item, bytes: usize) -> Vec<Item> {
        let mut thrown_out = Vec::new();
        thrown_out.extend(match &item {
            Item::Encoded { path, .. } => self.remove_path(path),
            Item::Decoded { identity, .. } => self.remove_identity(identity),
        });
        while self.bytes + bytes > self.bytes_max && self.oldest != NONE {
            thrown_out.extend(self.remove(self.oldest));
        }
        let slot = Slot { item: None, bytes, newer: NONE, older: NONE };
        let at = self.free.pop().unwrap_or(self.slots.len());
        match &item {
            Item::Encoded { path, .. } => self.by_path.insert(path.clone(), at),
            Item::Decoded { identity, .. } => self.by_identity.insert(*identity, at),
        };
        if at == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[at] = slot;
        }
        self.slots[at].item = Some(item);
        self.bytes += bytes;
        self.link(at);
        thrown_out
    }

    fn remove_path(&mut self, path: &Path) -> Option<Item> {
        let at = *self.by_path.get(path)?;
        self.remove(at)
    }

    fn remove_identity(&mut self, identity: &TileIdentity) -> Option<Item> {
        let at = *self.by_identity.get(identity)?;
        self.remove(at)
    }

    fn remove(&mut self, at: usize) -> Option<Item> {
        let item = self.slots[at].item.take()?;
        match &item {
            Item::Encoded { path, .. } => self.by_path.remove(path),
            Item::Decoded { identity, .. } => self.by_identity.remove(identity),
        };
        self.unlink(at);
        self.bytes -= self.slots[at].bytes;
        self.free.push(at);
        Some(item)
    }

    fn touch(&mut self, at: usize) {
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    fn link(&mut self, at: usize) {
        self.slots[at].newer = NONE;
        self.slots[at].older = self.newest;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest].newer = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: usize) {
        let (newer, older) = (self.slots[at].newer, self.slots[at].older);
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST: Duration = Duration::from_secs(1);

    fn identity(inode: u64) -> TileIdentity {
        TileIdentity { device: 1, inode, size: 10, modified_ns: 5 }
    }

    fn tile(inode: u64, bytes: usize) -> EncodedTile {
        EncodedTile {
            bytes: vec![inode as u8; bytes].into(),
            format: Format::Png,
            modified: SystemTime::UNIX_EPOCH,
            identity: identity(inode),
        }
    }

    #[test]
    fn trust_ends_and_is_renewed() {
        let memory = TileMemory::new(1 << 20, TRUST);
        let start = Instant::now();
        let path = PathBuf::from("/tiles/1");
        memory.put_encoded(path.clone(), tile(1, 100), start);
        let later = start + TRUST;
        assert!(memory.encoded_trusted(&path, start).is_some());
        assert!(memory.encoded_trusted(&path, later).is_none());
        assert!(memory.encoded_if(&path, identity(1), later).is_some());
        assert!(memory.encoded_trusted(&path, later).is_some());
        // A clock read before the last look does no harm.
        assert!(memory.encoded_trusted(&path, start).is_some());
        assert!(memory.encoded_if(&path, identity(2), later).is_none());
        assert!(memory.encoded_trusted(&path, later).is_none(), "a replaced tile is gone");
        let usage = memory.usage();
        assert_eq!((usage.encoded_hits, usage.encoded_misses, usage.entries, usage.bytes), (4, 1, 0, 0));
    }

    #[test]
    fn without_trust_every_request_looks() {
        let memory = TileMemory::new(1 << 20, Duration::ZERO);
        let now = Instant::now();
        memory.put_encoded("/a".into(), tile(1, 10), now);
        assert!(memory.encoded_trusted(Path::new("/a"), now).is_none());
        assert!(memory.encoded_if(Path::new("/a"), identity(1), now).is_some());
    }

    #[test]
    fn forgetting_a_path_forgets_its_pixels() {
        let memory = TileMemory::new(1 << 20, TRUST);
        let now = Instant::now();
        memory.put_encoded("/a".into(), tile(7, 10), now);
        memory.put_decoded(identity(7), Arc::new(Raster::filled(4, 4, [1; 4])));
        assert!(memory.decoded(identity(7)).is_some());
        memory.forget(Path::new("/a"));
        assert!(memory.decoded(identity(7)).is_none());
        assert!(memory.encoded_trusted(Path::new("/a"), now).is_none());
        memory.forget(Path::new("/never"));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let memory = TileMemory::new(80_000, TRUST);
        let now = Instant::now();
        memory.put_encoded("/a".into(), tile(1, 100), now);
        memory.put_encoded("/a".into(), tile(2, 10_000), now);
        assert!(memory.encoded_trusted(Path::new("/a"), now).is_none(), "the older state must not stay");
        let nothing = TileMemory::new(0, TRUST);
        nothing.put_encoded("/a".into(), tile(1, 0), now);
        nothing.put_decoded(identity(1), Arc::new(Raster::filled(0, 0, [0; 4])));
        assert_eq!(nothing.usage().entries, 0);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut shard = Shard::new(1000);
        let item = |inode| Item::Decoded {
            identity: identity(inode),
            raster: Arc::new(Raster::filled(1, 1, [0; 4])),
        };
        for inode in 0..10 {
            assert!(shard.put(item(inode), 100).is_empty());
        }
        assert!(shard.decoded(&identity(0)).is_some());
        let gone = shard.put(item(10), 150);
        assert_eq!(gone.len(), 2);
        assert!(shard.decoded(&identity(0)).is_some());
        assert!(shard.decoded(&identity(1)).is_none() && shard.decoded(&identity(2)).is_none());
    }

    proptest::proptest! {
        /// Whatever is done, the list, the maps and the count of bytes agree
        /// and the bound holds.
        #[test]
        fn a_shard_stays_consistent(steps in proptest::collection::vec((0u8..4, 0u64..12, 1usize..400), 0..200)) {
            let mut shard = Shard::new(1000);
            for (kind, inode, bytes) in steps {
                let path = PathBuf::from(inode.to_string());
                match kind {
                    0 => drop(shard.put(Item::Encoded { path, tile: tile(inode, 1), looked_at: Instant::now() }, bytes)),
                    1 => drop(shard.put(Item::Decoded { identity: identity(inode), raster: Arc::new(Raster::filled(1, 1, [0; 4])) }, bytes)),
                    2 => drop(shard.remove_path(&path)),
                    _ => drop(shard.decoded(&identity(inode))),
                }
                let (mut at, mut count, mut sum, mut newer) = (shard.newest, 0, 0, NONE);
                while at != NONE {
                    let slot = &shard.slots[at];
                    assert!(slot.item.is_some() && slot.newer == newer);
                    (newer, count, sum, at) = (at, count + 1, sum + slot.bytes, slot.older);
                }
                assert_eq!(shard.oldest, newer);
                assert_eq!(count, shard.by_path.len() + shard.by_identity.len());
                assert_eq!(sum, shard.bytes);
                assert!(sum <= 1000);
                assert_eq!(shard.slots.len(), count + shard.free.len());
            }
        }
    }
}
