//! Numbers that only grow: of one worker, and of all that are gone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{CacheState, Service};

/// Bucket `n` counts what took at most 2^n × 64 µs; the last takes the rest.
pub const LATENCY_BUCKETS: usize = 24;
/// Different (service, layer, status class, cache state) that are counted
/// apart.
pub const SERIES_MAX: usize = 8192;
/// Kept for requests whose layer has no place of its own.
pub(super) const SERIES_KEPT: usize = 512;
/// Sources that are told apart.
pub const SOURCES_MAX: usize = 256;

/// One thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Tiles by how they were found.
    CacheHit,
    CacheStale,
    CacheMiss,
    CacheStore,
    /// Tiles that could not be stored.
    CacheError,
    ConnectionAccepted,
    /// Closed by us for a limit.
    ConnectionCut,
    /// Body bytes sent.
    BytesSent,
    LockWait,
    /// Microseconds of these waits.
    LockWaitUs,
    /// Requests that found the render queue full, or waited there too long.
    QueueRefusal,
}

impl Event {
    pub const ALL: [Event; 11] = [
        Event::CacheHit,
        Event::CacheStale,
        Event::CacheMiss,
        Event::CacheStore,
        Event::CacheError,
        Event::ConnectionAccepted,
        Event::ConnectionCut,
        Event::BytesSent,
        Event::LockWait,
        Event::LockWaitUs,
        Event::QueueRefusal,
    ];
}

/// How a question to a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// Refused, broken off, no image.
    Error,
    Timeout,
}

impl Outcome {
    pub const ALL: [Outcome; 3] = [Outcome::Ok, Outcome::Error, Outcome::Timeout];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Timeout => "timeout",
        }
    }
}

/// What a request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    pub service: Service,
    /// Place of the layer's name on the board.
    pub layer: u16,
    /// Class of the status: 1 to 5.
    pub class: u8,
    pub cache: CacheState,
}

impl Series {
    pub(super) fn key(self) -> u64 {
        1 << 63
            | u64::from(self.layer) << 16
            | (self.service as u64) << 8
            | u64::from(self.class) << 4
            | self.cache as u64
    }

    /// `None` for a key that no series has.
    pub(super) fn of_key(key: u64) -> Option<Series> {
        Some(Series {
            service: *Service::ALL.get((key >> 8 & 0xff) as usize)?,
            layer: (key >> 16 & 0xffff) as u16,
            class: (key >> 4 & 0xf) as u8,
            cache: *CacheState::ALL.get((key & 0xf) as usize)?,
        })
    }
}

/// How long something took, and how often.
#[repr(C)]
pub struct Histogram {
    buckets: [AtomicU64; LATENCY_BUCKETS],
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn count(&self, duration_us: u64) {
        self.buckets[latency_bucket(duration_us)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(duration_us, Relaxed);
    }

    /// In a bucket of [`latency_bucket`].
    pub fn bucket(&self, bucket: usize) -> u64 {
        self.buckets.get(bucket).map_or(0, |count| count.load(Relaxed))
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Relaxed)
    }

    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.buckets.iter().chain([&self.sum_us])
    }
}

/// The bucket of what took so long: bucket `n` ends at 2^n × 64 µs.
pub fn latency_bucket(duration_us: u64) -> usize {
    let steps = duration_us.div_ceil(64).max(1).next_power_of_two().trailing_zeros() as usize;
    steps.min(LATENCY_BUCKETS - 1)
}

/// Where a bucket ends, in seconds; the last has no end.
pub fn bucket_end_s(bucket: usize) -> Option<f64> {
    (bucket + 1 < LATENCY_BUCKETS).then(|| (64u64 << bucket) as f64 / 1e6)
}

/// How a source answered.
#[repr(C)]
pub struct SourceCounters {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    pub time: Histogram,
}

impl SourceCounters {
    pub fn count(&self, outcome: Outcome, duration_us: u64) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
        self.time.count(duration_us);
    }

    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.outcomes.iter().chain(self.time.words())
    }
}

/// Everything that is counted of one worker. The lists are longer than what is
/// ever used of them: a page that nobody touches costs nothing, so readers stop
/// at what is in use.
#[repr(C)]
pub struct Counters {
    events: [AtomicU64; Event::ALL.len()],
    /// From the last byte of a request to the last of its answer.
    latency: [Histogram; Service::ALL.len()],
    /// Time of computing, of requests that went to a thread.
    pub render: Histogram,
    /// Time between the loop and a thread's turn.
    pub queue: Histogram,
    series: [AtomicU64; SERIES_MAX],
    sources: [SourceCounters; SOURCES_MAX],
}

impl Counters {
    /// Counts `amount` of one event.
    pub fn count(&self, event: Event, amount: u64) {
        self.events[event as usize].fetch_add(amount, Relaxed);
    }

    pub fn events(&self, event: Event) -> u64 {
        self.events[event as usize].load(Relaxed)
    }

    /// Counts an answered request of the series in that place.
    pub fn count_request(&self, place: usize, service: Service, duration_us: u64) {
        if let Some(count) = self.series.get(place) {
            count.fetch_add(1, Relaxed);
        }
        self.latency[service as usize].count(duration_us);
    }

    /// Requests of the series in that place.
    pub fn series(&self, place: usize) -> u64 {
        self.series.get(place).map_or(0, |count| count.load(Relaxed))
    }

    pub fn latency(&self, service: Service) -> &Histogram {
        &self.latency[service as usize]
    }

    /// The source whose name has that place.
    pub fn source(&self, place: usize) -> Option<&SourceCounters> {
        self.sources.get(place)
    }

    /// All words in use, in an order that is the same for every worker.
    pub(super) fn words(&self, series: usize, sources: usize) -> impl Iterator<Item = &AtomicU64> {
        let latency = self.latency.iter().flat_map(Histogram::words);
        let times = self.render.words().chain(self.queue.words());
        let sources = self.sources[..sources.min(SOURCES_MAX)].iter().flat_map(SourceCounters::words);
        let series = &self.series[..series.min(SERIES_MAX)];
        self.events.iter().chain(latency).chain(times).chain(series).chain(sources)
    }
}
