//! The scoreboard: one shared mapping made by the master before the first
//! fork, fixed layout, no pointers, atomics only, one writing process for each
//! word.
//!
//! The master claims a slot for each worker and folds the counters of a dead
//! one into the *gone* counters, so that totals never go backwards. A worker
//! writes only its own slot. Whoever has the mapping may read everything; a
//! number may be an instant old (all accesses are relaxed).
//!
//! What the numbers are is told in `counters`, the lists that make them add up
//! over workers and generations in `names`; `metrics` and `status` tell all of
//! it to Prometheus and to people.

mod counters;
pub mod metrics;
mod names;
mod reload_report;
pub mod status;

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, Ordering::Relaxed};

use memmap2::MmapMut;

pub use counters::{
    Counters, Event, Histogram, LATENCY_BUCKETS, Outcome, SERIES_MAX, SOURCES_MAX, Series, SourceCounters,
};
pub use names::hash_of;
use names::{Keys, Names};
pub use reload_report::ReloadReport;

const MAGIC: u64 = u64::from_le_bytes(*b"rhumbbrd");
const LAYOUT_VERSION: u64 = 3;
/// Slots: workers of all generations alive together.
pub const SLOTS_MAX: usize = 512;
/// Threads of one worker that can be watched.
pub const THREADS_MAX: usize = 64;
/// The mark of the event loop, after those of the threads.
pub const LOOP: usize = THREADS_MAX;
/// Of a request line so much is kept for the log, in words of eight bytes.
const LINE_WORDS: usize = 24;
/// Requests that can be in quarantine at the same time.
pub const QUARANTINE_MAX: usize = 16;
/// Layers that are told apart; the others are counted together.
pub const LAYERS_MAX: usize = 1024;
/// A reader that meets the master at folding this often takes what it sees.
const FOLDS_MET_MAX: usize = 64;

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Wms,
    Wmts,
    Tms,
    Kml,
    /// OGC API.
    Ogc,
    Demo,
    /// Everything else, also what was refused before a service was found.
    Other,
}

impl Service {
    pub const ALL: [Service; 7] = [
        Service::Wms,
        Service::Wmts,
        Service::Tms,
        Service::Kml,
        Service::Ogc,
        Service::Demo,
        Service::Other,
    ];

    /// As metrics and logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Wms => "wms",
            Service::Wmts => "wmts",
            Service::Tms => "tms",
            Service::Kml => "kml",
            Service::Ogc => "ogcapi",
            Service::Demo => "demo",
            Service::Other => "other",
        }
    }
}

/// How the caches took part in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheState {
    /// The answer has nothing to do with a cache.
    None,
    /// All that was needed lay in a cache, fresh.
    Hit,
    /// Something too old was shown for want of something newer.
    Stale,
    /// Something was made for this answer.
    Miss,
    /// A source was asked and no cache.
    Bypass,
}

impl CacheState {
    pub const ALL: [CacheState; 5] =
        [CacheState::None, CacheState::Hit, CacheState::Stale, CacheState::Miss, CacheState::Bypass];

    /// As metrics and logs name it.
    pub fn name(self) -> &'static str {
        match self {
            CacheState::None => "none",
            CacheState::Hit => "hit",
            CacheState::Stale => "stale",
            CacheState::Miss => "miss",
            CacheState::Bypass => "bypass",
        }
    }
}

/// Life of a worker as the board shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    Free = 0,
    Starting = 1,
    Serving = 2,
    Draining = 3,
}

/// Why a worker wants to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Wish {
    /// It has answered as many requests as it may.
    Requests = 1,
    /// It is as old as it may become.
    Age = 2,
    /// It holds more memory than it may.
    Memory = 3,
}

/// What a watched thread is at.
#[repr(C)]
struct ThreadMark {
    /// 0: idle.
    busy_since_ms: AtomicU64,
    fingerprint: AtomicU64,
    /// The beginning of its request line, zeros after it.
    line: [AtomicU64; LINE_WORDS],
}

/// A thread that is at work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyThread {
    /// [`LOOP`]: the event loop.
    pub thread: usize,
    /// By the monotonic clock of `sys`.
    pub since_ms: u64,
    /// Hash of the request line.
    pub fingerprint: u64,
}

/// One worker's place. Aligned so that no two workers write one cache line.
#[repr(C, align(64))]
pub struct Slot {
    pid: AtomicU32,
    state: AtomicU32,
    generation: AtomicU64,
    tick_ms: AtomicU64,
    connections: AtomicU64,
    in_flight: AtomicU64,
    queued: AtomicU64,
    /// When the master forked it.
    forked_ms: AtomicU64,
    /// 0, or a [`Wish`].
    wish: AtomicU32,
    memory_bytes: AtomicU64,
    /// One more than the thread in which the worker crashed; 0: it did not, or
    /// cannot tell.
    culprit: AtomicU64,
    threads: [ThreadMark; THREADS_MAX + 1],
    pub counters: Counters,
}

impl Slot {
    pub fn pid(&self) -> u32 {
        self.pid.load(Relaxed)
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            1 => State::Starting,
            2 => State::Serving,
            3 => State::Draining,
            _ => State::Free,
        }
    }

    /// Written by the worker, once it is claimed.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u32, Relaxed);
    }

    /// When the event loop last turned, by the monotonic clock of `sys`; must
    /// move at least once a second.
    pub fn tick_ms(&self) -> u64 {
        self.tick_ms.load(Relaxed)
    }

    pub fn set_tick_ms(&self, now_ms: u64) {
        self.tick_ms.store(now_ms, Relaxed);
    }

    /// Open client connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    pub fn set_connections(&self, count: u64) {
        self.connections.store(count, Relaxed);
    }

    /// Requests begun and not yet answered.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    pub fn set_in_flight(&self, count: u64) {
        self.in_flight.store(count, Relaxed);
    }

    /// Requests that wait for a render thread.
    pub fn queued(&self) -> u64 {
        self.queued.load(Relaxed)
    }

    pub fn set_queued(&self, count: u64) {
        self.queued.store(count, Relaxed);
    }

    /// When it was forked, by the monotonic clock of `sys`.
    pub fn forked_ms(&self) -> u64 {
        self.forked_ms.load(Relaxed)
    }

    /// Whether the worker wants to be replaced, and why.
    pub fn wish(&self) -> Option<Wish> {
        match self.wish.load(Relaxed) {
            1 => Some(Wish::Requests),
            2 => Some(Wish::Age),
            3 => Some(Wish::Memory),
            _ => None,
        }
    }

    pub fn set_wish(&self, wish: Wish) {
        self.wish.store(wish as u32, Relaxed);
    }

    /// Memory that the worker shares with nobody, as it saw it a second ago.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Relaxed)
    }

    pub fn set_memory_bytes(&self, bytes: u64) {
        self.memory_bytes.store(bytes, Relaxed);
    }

    /// The word in which a crash leaves one more than the thread it came to.
    pub fn culprit_word(&self) -> &AtomicU64 {
        &self.culprit
    }

    /// The thread that the worker crashed in, if it could tell.
    pub fn culprit(&self) -> Option<usize> {
        usize::try_from(self.culprit.load(Relaxed).checked_sub(1)?).ok()
    }

    /// Marks a thread ([`LOOP`]: the event loop) as busy with a request since
    /// `now_ms` (not 0). Threads past [`THREADS_MAX`] are not watched.
    pub fn mark_busy(&self, thread: usize, line: &str, now_ms: u64) {
        if let Some(mark) = self.threads.get(thread) {
            mark.fingerprint.store(fingerprint(line), Relaxed);
            let mut rest = line.as_bytes().chunks(8);
            for word in &mark.line {
                let mut bytes = [0; 8];
                if let Some(chunk) = rest.next() {
                    bytes[..chunk.len()].copy_from_slice(chunk);
                }
                let bytes = u64::from_le_bytes(bytes);
                // The rest is zeros already.
                if bytes == 0 && word.load(Relaxed) == 0 {
                    break;
                }
                word.store(bytes, Relaxed);
            }
            mark.busy_since_ms.store(now_ms.max(1), Relaxed);
        }
    }

    pub fn mark_idle(&self, thread: usize) {
        if let Some(mark) = self.threads.get(thread) {
            mark.busy_since_ms.store(0, Relaxed);
        }
    }

    /// The beginning of the request line that a thread is at or was at last;
    /// of one that runs it may be torn.
    pub fn line(&self, thread: usize) -> String {
        let Some(mark) = self.threads.get(thread) else { return String::new() };
        let bytes: Vec<u8> = mark.line.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// The threads at work, with what they are at.
    pub fn busy_threads(&self) -> impl Iterator<Item = BusyThread> + '_ {
        self.threads.iter().enumerate().filter_map(|(thread, mark)| {
            let since_ms = mark.busy_since_ms.load(Relaxed);
            let fingerprint = mark.fingerprint.load(Relaxed);
            (since_ms != 0).then_some(BusyThread { thread, since_ms, fingerprint })
        })
    }
}

/// A request that is answered with 503 for a while.
#[repr(C)]
struct Banned {
    fingerprint: AtomicU64,
    until_ms: AtomicU64,
}

/// FNV-1a of a request line: tells a request that kills workers again and
/// again.
pub fn fingerprint(line: &str) -> u64 {
    line.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[repr(C, align(64))]
struct Table {
    magic: AtomicU64,
    layout_version: AtomicU64,
    slots_max: AtomicU64,
    started_unix_s: AtomicU64,
    generation: AtomicU64,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
    workers_died: AtomicU64,
    /// One past the highest slot that was ever claimed: readers stop there.
    slots_used: AtomicU64,
    master_pid: AtomicU64,
    /// Workers that the generation in effect wants.
    workers_wanted: AtomicU64,
    /// 1 once the daemon has been told to stop.
    stopping: AtomicU64,
    /// Odd while the master folds a slot.
    folds: AtomicU64,
    last_reload: reload_report::Words,
    /// When the last quarantine ends: until then readers look at the list.
    quarantine_until_ms: AtomicU64,
    quarantine: [Banned; QUARANTINE_MAX],
    layers: Names<LAYERS_MAX>,
    sources: Names<SOURCES_MAX>,
    series: Keys<SERIES_MAX>,
    gone: Counters,
    slots: [Slot; SLOTS_MAX],
}

/// Requests that name no layer.
const LAYER_NONE: &str = "";
/// Layers (and sources) for which there was no room.
const LAYER_OTHER: &str = "other";

/// Fixed slots of counters, shared by master and workers.
pub struct Board {
    map: MmapMut,
}

impl Board {
    /// Makes a board of zeros; forked children share it. An untouched slot
    /// costs no memory.
    ///
    /// # Errors
    /// The kernel has no memory file or no room.
    pub fn new(started_unix_s: u64) -> io::Result<Board> {
        // A file in memory, not an anonymous mapping: memmap2 makes the latter
        // private, and a private one is copied by the fork.
        let file = File::from(crate::sys::create_memory_file("rhumb-board")?);
        file.set_len(size_of::<Table>() as u64)?;
        // SAFETY: the file is ours alone and never truncated; every access
        // goes through the atomics of `Table`.
        let map = unsafe { MmapMut::map_mut(&file)? };
        let board = Board { map };
        let table = board.table();
        table.magic.store(MAGIC, Relaxed);
        table.layout_version.store(LAYOUT_VERSION, Relaxed);
        table.slots_max.store(SLOTS_MAX as u64, Relaxed);
        table.started_unix_s.store(started_unix_s, Relaxed);
        table.master_pid.store(u64::from(std::process::id()), Relaxed);
        for name in [LAYER_NONE, LAYER_OTHER] {
            table.layers.place(name);
        }
        table.sources.place(LAYER_OTHER);
        Ok(board)
    }

    fn table(&self) -> &Table {
        debug_assert!(self.map.len() >= size_of::<Table>());
        // SAFETY: the mapping is page aligned, as long as a `Table` (set_len in
        // `new`), lives as long as `self`, and `Table` is atomics throughout,
        // for which every bit pattern is valid and shared writing is sound.
        unsafe { &*self.map.as_ptr().cast::<Table>() }
    }

    /// Panics where `slot` is not below [`SLOTS_MAX`]: slots come from
    /// [`Board::claim`] only.
    pub fn slot(&self, slot: usize) -> &Slot {
        &self.table().slots[slot]
    }

    /// The slots of workers that are alive, with their numbers.
    pub fn live_slots(&self) -> impl Iterator<Item = (usize, &Slot)> {
        let table = self.table();
        let used = (table.slots_used.load(Relaxed) as usize).min(SLOTS_MAX);
        table.slots[..used].iter().enumerate().filter(|(_, slot)| slot.state() != State::Free)
    }

    /// Master: takes a free slot for a worker that is about to be forked;
    /// `None` when all are taken.
    pub fn claim(&self, generation: u64, now_ms: u64) -> Option<usize> {
        let table = self.table();
        let number = table.slots.iter().position(|slot| slot.state() == State::Free)?;
        let slot = &table.slots[number];
        slot.generation.store(generation, Relaxed);
        slot.tick_ms.store(now_ms, Relaxed);
        slot.forked_ms.store(now_ms, Relaxed);
        slot.wish.store(0, Relaxed);
        slot.culprit.store(0, Relaxed);
        slot.memory_bytes.store(0, Relaxed);
        slot.set_state(State::Starting);
        let used = table.slots_used.load(Relaxed).max(number as u64 + 1);
        table.slots_used.store(used, Relaxed);
        Some(number)
    }

    /// Master: whose slot it is, known after the fork.
    pub fn set_pid(&self, slot: usize, pid: u32) {
        self.slot(slot).pid.store(pid, Relaxed);
    }

    /// Master: the worker is dead; its counters go to the gone, its slot is
    /// free again.
    pub fn fold(&self, slot: usize) {
        let table = self.table();
        let slot = &table.slots[slot];
        let (series, sources) = (table.series.count(), table.sources.count());
        // Readers that look meanwhile would see a number in neither place.
        table.folds.fetch_add(1, Ordering::AcqRel);
        let words = slot.counters.words(series, sources);
        for (gone, word) in table.gone.words(series, sources).zip(words) {
            gone.fetch_add(word.swap(0, Relaxed), Relaxed);
        }
        table.folds.fetch_add(1, Ordering::AcqRel);
        for mark in &slot.threads {
            mark.busy_since_ms.store(0, Relaxed);
            mark.fingerprint.store(0, Relaxed);
        }
        slot.connections.store(0, Relaxed);
        slot.in_flight.store(0, Relaxed);
        slot.queued.store(0, Relaxed);
        slot.pid.store(0, Relaxed);
        slot.set_state(State::Free);
    }

    /// Master: nobody begins this request before `until_ms`. Where the list is
    /// full, the one that would end first makes room.
    pub fn quarantine(&self, fingerprint: u64, until_ms: u64) {
        let table = self.table();
        let same = table.quarantine.iter().find(|entry| entry.fingerprint.load(Relaxed) == fingerprint);
        let first_to_end = || table.quarantine.iter().min_by_key(|entry| entry.until_ms.load(Relaxed));
        let Some(entry) = same.or_else(first_to_end) else { return };
        // A reader between the two stores sees the new request with the old
        // end, which is over or earlier: it lets one more pass at worst.
        entry.fingerprint.store(fingerprint, Relaxed);
        entry.until_ms.store(until_ms, Relaxed);
        table.quarantine_until_ms.fetch_max(until_ms, Relaxed);
    }

    /// Whether any request is in quarantine: most of the time none is, and the
    /// fingerprint need not be made.
    pub fn has_quarantine(&self, now_ms: u64) -> bool {
        now_ms < self.table().quarantine_until_ms.load(Relaxed)
    }

    /// For how long this request is not to be begun.
    pub fn quarantine_left_ms(&self, fingerprint: u64, now_ms: u64) -> Option<u64> {
        let mut entries = self.table().quarantine.iter();
        let entry = entries.find(|entry| entry.fingerprint.load(Relaxed) == fingerprint)?;
        entry.until_ms.load(Relaxed).checked_sub(now_ms).filter(|left_ms| *left_ms > 0)
    }

    /// The sum of one number over the gone and the living.
    pub fn total(&self, read: impl Fn(&Counters) -> u64) -> u64 {
        let living: u64 = self.live_slots().map(|(_, slot)| read(&slot.counters)).sum();
        read(&self.table().gone) + living
    }

    /// Reads while no counters are on their way from a slot to the gone ones.
    pub fn consistently<R>(&self, read: impl Fn() -> R) -> R {
        let folds = &self.table().folds;
        for _ in 0..FOLDS_MET_MAX {
            let before = folds.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let result = read();
                std::sync::atomic::fence(Ordering::Acquire);
                if folds.load(Relaxed) == before {
                    return result;
                }
            }
            std::thread::yield_now();
        }
        read()
    }

    /// The place of a layer's name; that of all others where there is no room.
    pub fn place_layer(&self, name: &str) -> u16 {
        let layers = &self.table().layers;
        let place = layers.place(name).or_else(|| layers.place(LAYER_OTHER)).unwrap_or(0);
        u16::try_from(place).unwrap_or(0)
    }

    /// The place of a source's name, likewise.
    pub fn place_source(&self, name: &str) -> usize {
        let sources = &self.table().sources;
        sources.place(name).or_else(|| sources.place(LAYER_OTHER)).unwrap_or(0)
    }

    /// The place of a series; that of its layer among the others where there is
    /// no room.
    pub fn place_series(&self, series: Series) -> usize {
        let keys = &self.table().series;
        let kept_max = SERIES_MAX - counters::SERIES_KEPT;
        let place = keys.place(series.key(), kept_max).or_else(|| {
            let other = Series { layer: self.place_layer(LAYER_OTHER), ..series };
            keys.place(other.key(), SERIES_MAX)
        });
        place.unwrap_or(0)
    }

    /// Every series that was ever counted, with its place.
    pub fn series(&self) -> impl Iterator<Item = (usize, Series)> + '_ {
        let keys = self.table().series.iter().enumerate();
        keys.filter_map(|(place, key)| Some((place, Series::of_key(key)?)))
    }

    /// The name of the layer in a place.
    pub fn layer_name(&self, place: u16) -> String {
        self.table().layers.get(usize::from(place)).unwrap_or_else(|| format!("layer {place}"))
    }

    /// The sources that were ever asked, with their places.
    pub fn sources(&self) -> impl Iterator<Item = (usize, String)> + '_ {
        let names = &self.table().sources;
        (0..names.count()).filter_map(|place| Some((place, names.get(place)?)))
    }

    /// Requests of a service answered with a status of that class (1 to 5).
    pub fn requests(&self, service: Service, class: u8) -> u64 {
        let wanted = self.series().filter(|(_, series)| series.service == service && series.class == class);
        wanted.map(|(place, _)| self.total(|counters| counters.series(place))).sum()
    }

    /// Generation that new requests meet.
    pub fn generation(&self) -> u64 {
        self.table().generation.load(Relaxed)
    }

    /// Master: a generation is in effect.
    pub fn set_generation(&self, generation: u64) {
        self.table().generation.store(generation, Relaxed);
    }

    /// Master: a reload was done (`true`) or refused.
    pub fn count_reload(&self, done: bool) {
        let table = self.table();
        let word = if done { &table.reloads } else { &table.reloads_refused };
        word.fetch_add(1, Relaxed);
    }

    /// Reloads done and refused.
    pub fn reloads(&self) -> (u64, u64) {
        (self.table().reloads.load(Relaxed), self.table().reloads_refused.load(Relaxed))
    }

    /// Master: how the last reload ended.
    pub fn report_reload(&self, report: &ReloadReport) {
        self.table().last_reload.write(report);
    }

    /// How the last reload ended; `None` where there was none yet.
    pub fn last_reload(&self) -> Option<ReloadReport> {
        self.table().last_reload.read()
    }

    /// Master: the daemon has been told to stop; balancers are to look elsewhere.
    pub fn set_stopping(&self) {
        self.table().stopping.store(1, Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.table().stopping.load(Relaxed) != 0
    }

    pub fn master_pid(&self) -> u64 {
        self.table().master_pid.load(Relaxed)
    }

    /// Master: as many workers are wanted.
    pub fn set_workers_wanted(&self, count: usize) {
        self.table().workers_wanted.store(count as u64, Relaxed);
    }

    pub fn workers_wanted(&self) -> u64 {
        self.table().workers_wanted.load(Relaxed)
    }

    /// Master: a worker died that should not have.
    pub fn count_death(&self) {
        self.table().workers_died.fetch_add(1, Relaxed);
    }

    pub fn workers_died(&self) -> u64 {
        self.table().workers_died.load(Relaxed)
    }

    /// When the master started, seconds since 1970.
    pub fn started_unix_s(&self) -> u64 {
        self.table().started_unix_s.load(Relaxed)
    }
}

#[cfg(test)]
mod tests;
