//! What happened to one request on its way, for the access log, the counters
//! and the `Cache-Status` field: told by the rooms that know it, read by the
//! worker when the answer goes out.
//!
//! The loop and every thread that works for a request have its story at hand
//! ([`enter`]), so that telling takes no parameter and nothing is told where
//! there is no request (seeding, tests). Facts only: nobody decides by them.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::board::{CacheState, Outcome, Service};

/// Bound on the layer names of one request as they are logged.
const LAYER_BYTES_MAX: usize = 256;
/// Upstream requests of one request that are told apart by their source; the
/// time of more is still added up.
const UPSTREAMS_MAX: usize = 256;
/// Of a user's name more is not kept.
const USER_BYTES_MAX: usize = 128;
/// `tracestate` beyond this is dropped (W3C Trace Context §3.3.1.5).
const TRACE_STATE_BYTES_MAX: usize = 512;

/// One question to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub source: String,
    pub duration_us: u64,
    pub outcome: Outcome,
}

/// Tiles by how they were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tiles {
    pub hit: u64,
    pub stale: u64,
    pub miss: u64,
    /// Made and kept.
    pub stored: u64,
    /// Made and not kept for a fault of the store.
    pub unstored: u64,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub struct Facts {
    pub service: Option<Service>,
    /// Name of the map, where one daemon serves several.
    pub map: String,
    /// Who asks, where he is known; cut.
    pub user: String,
    /// The layers that were asked for, joined by commas and cut.
    pub layers: String,
    pub layer_count: u32,
    /// Level of the grid that the first drawn layer's tiles are from.
    pub level: Option<u32>,
    pub tiles: Tiles,
    pub upstreams: Vec<Upstream>,
    pub upstream_count: u64,
    pub upstream_us: u64,
    /// Waits for somebody else who made the same tiles.
    pub lock_waits: u64,
    pub lock_us: u64,
    /// Time of computing, of all threads together.
    pub render_us: u64,
}

impl Facts {
    /// How the caches took part: the worst of what happened to any tile.
    pub fn cache_state(&self) -> CacheState {
        let Tiles { hit, stale, miss, .. } = self.tiles;
        match () {
            () if stale > 0 => CacheState::Stale,
            () if miss > 0 => CacheState::Miss,
            () if self.upstream_count > 0 => CacheState::Bypass,
            () if hit > 0 => CacheState::Hit,
            () => CacheState::None,
        }
    }

    /// The `Cache-Status` field (RFC 9211); `None` where no cache was asked.
    pub fn cache_status(&self) -> Option<&'static str> {
        let is_shared = self.lock_waits > 0 && self.upstream_count == 0;
        Some(match self.cache_state() {
            CacheState::None => return None,
            CacheState::Hit => "rhumb; hit",
            CacheState::Stale => "rhumb; fwd=stale",
            CacheState::Miss if is_shared => "rhumb; fwd=miss; collapsed",
            CacheState::Miss if self.tiles.stored > 0 => "rhumb; fwd=miss; stored",
            CacheState::Miss => "rhumb; fwd=miss",
            CacheState::Bypass => "rhumb; fwd=bypass",
        })
    }
}

/// Where a request stands in a trace that began before us (W3C Trace Context).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits: who asked us.
    pub parent_id: String,
    /// 16 hexadecimal digits: this request; the parent of what we ask.
    pub span_id: String,
    flags: String,
    state: Option<String>,
}

impl Trace {
    /// From the request's `traceparent` and `tracestate`; `None` where the
    /// first is not as the recommendation has it.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Trace> {
        let mut parts = parent.split('-');
        let (version, trace_id) = (parts.next()?, parts.next()?);
        let (parent_id, flags) = (parts.next()?, parts.next()?);
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_zero = |text: &str| text.bytes().all(|b| b == b'0');
        let is_fine = is_hex(version, 2)
            && version != "ff"
            // Later versions may have more parts.
            && (version != "00" || parts.next().is_none())
            && is_hex(trace_id, 32)
            && is_hex(parent_id, 16)
            && is_hex(flags, 2)
            && !is_zero(trace_id)
            && !is_zero(parent_id);
        let is_state = |text: &&str| {
            text.len() <= TRACE_STATE_BYTES_MAX && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        };
        is_fine.then(|| Trace {
            trace_id: trace_id.to_owned(),
            parent_id: parent_id.to_owned(),
            span_id: new_span_id(),
            flags: flags.to_owned(),
            state: state.filter(is_state).map(str::to_owned),
        })
    }

    fn parent_field(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }
}

/// Unlikely to come twice: keyed by the process's random state, its number and
/// the clock, since forked processes share the first.
fn new_span_id() -> String {
    thread_local! {
        static STATE: RandomState = RandomState::new();
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    let count = COUNT.with(|count| count.replace(count.get() + 1));
    let mut hasher = STATE.with(BuildHasher::build_hasher);
    hasher.write_u32(std::process::id());
    hasher.write_u64(crate::sys::monotonic_us());
    hasher.write_u64(count);
    format!("{:016x}", hasher.finish().max(1))
}

/// One request's story; shared by the threads that work for it.
#[derive(Debug)]
pub struct Story {
    facts: Mutex<Facts>,
    /// Whether its work goes into the counters.
    pub is_counted: bool,
    pub trace: Option<Trace>,
}

impl Story {
    pub fn new(trace: Option<Trace>) -> Arc<Story> {
        Arc::new(Story { facts: Mutex::default(), is_counted: true, trace })
    }

    /// For what operators ask, which is no work of the site's.
    pub fn uncounted() -> Arc<Story> {
        Arc::new(Story { facts: Mutex::default(), is_counted: false, trace: None })
    }

    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static NOW: RefCell<Option<Arc<Story>>> = const { RefCell::new(None) };
    /// A question to a source is being timed further out.
    static ASKING: Cell<bool> = const { Cell::new(false) };
    /// It ended because our patience did.
    static LATE: Cell<bool> = const { Cell::new(false) };
}

/// Makes `story` the one that this thread tells, until the result is dropped.
pub fn enter(story: Option<Arc<Story>>) -> Entered {
    Entered { before: NOW.replace(story) }
}

/// See [`enter`].
#[must_use = "dropping it leaves the story"]
pub struct Entered {
    before: Option<Arc<Story>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        NOW.set(self.before.take());
    }
}

/// The story that this thread tells, for another thread that works for it.
pub fn current() -> Option<Arc<Story>> {
    NOW.with_borrow(Clone::clone)
}

fn tell(what: impl FnOnce(&mut Facts)) {
    NOW.with_borrow(|story| {
        if let Some(story) = story {
            what(&mut story.facts());
        }
    });
}

/// Which service answers.
pub fn name_service(service: Service) {
    tell(|facts| facts.service = Some(service));
}

/// Which map is meant, where one daemon serves several.
pub fn name_map(name: &str) {
    tell(|facts| name.clone_into(&mut facts.map));
}

/// Who asks, as far as he has shown it.
pub fn name_user(name: &str) {
    let end = name.floor_char_boundary(USER_BYTES_MAX);
    tell(|facts| name[..end].clone_into(&mut facts.user));
}

/// A layer of the configuration that is asked for; never a name that only the
/// client knows, or clients could make up series of counters.
pub fn name_layer(name: &str) {
    tell(|facts| {
        // Two who know it may both tell.
        if facts.layer_count == 1 && facts.layers == name {
            return;
        }
        facts.layer_count += 1;
        let room = LAYER_BYTES_MAX.saturating_sub(facts.layers.len());
        if facts.layer_count > 1 && room > name.len() {
            facts.layers.push(',');
        }
        if room > name.len() || facts.layer_count == 1 {
            facts.layers.push_str(name);
        }
    });
}

/// The grid's level whose tiles are used; the first one counts.
pub fn note_level(level: u32) {
    tell(|facts| {
        facts.level.get_or_insert(level);
    });
}

/// A tile was found, or made, or an old one had to do.
pub fn note_tile(state: CacheState) {
    tell(|facts| match state {
        CacheState::Hit => facts.tiles.hit += 1,
        CacheState::Stale => facts.tiles.stale += 1,
        CacheState::Miss => facts.tiles.miss += 1,
        CacheState::Bypass | CacheState::None => {}
    });
}

/// A tile was made and kept, or could not be kept.
pub fn note_stored(is_kept: bool) {
    tell(|facts| if is_kept { facts.tiles.stored += 1 } else { facts.tiles.unstored += 1 });
}

/// Somebody else was making the tiles that this request wants.
pub fn note_lock_wait(waited: Duration) {
    tell(|facts| {
        facts.lock_waits += 1;
        facts.lock_us += micros(waited);
    });
}

/// Time spent computing.
pub fn note_render(computed: Duration) {
    tell(|facts| facts.render_us += micros(computed));
}

/// Times a question to a source. Of nested ones the outermost counts, which
/// knows the source's name and whether the answer was of use.
pub fn ask(source: &str) -> Asked<'_> {
    let is_inner = ASKING.replace(true);
    if !is_inner {
        LATE.set(false);
    }
    Asked { source, began: Instant::now(), is_inner }
}

/// The question that this thread asks failed because a deadline passed.
pub fn mark_late() {
    LATE.set(true);
}

/// See [`ask`].
#[must_use = "the outcome has to be told"]
pub struct Asked<'a> {
    source: &'a str,
    began: Instant,
    is_inner: bool,
}

impl Asked<'_> {
    pub fn end(self, is_ok: bool) {
        if self.is_inner {
            return;
        }
        let outcome = match (is_ok, LATE.get()) {
            (true, _) => Outcome::Ok,
            (false, true) => Outcome::Timeout,
            (false, false) => Outcome::Error,
        };
        let duration_us = micros(self.began.elapsed());
        tell(|facts| {
            facts.upstream_count += 1;
            facts.upstream_us += duration_us;
            if facts.upstreams.len() < UPSTREAMS_MAX {
                facts.upstreams.push(Upstream { source: self.source.to_owned(), duration_us, outcome });
            }
        });
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        ASKING.set(self.is_inner);
    }
}

/// `traceparent` and `tracestate` for a request upstream.
pub fn trace_fields() -> Option<(String, Option<String>)> {
    NOW.with_borrow(|story| {
        let trace = story.as_ref()?.trace.as_ref()?;
        Some((trace.parent_field(), trace.state.clone()))
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds with three places, as the logs have them.
pub fn push_ms(line: &mut String, duration_us: u64) {
    let _ = write!(line, "{}.{:03}", duration_us / 1000, duration_us % 1000);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn facts_go_to_the_story_that_was_entered() {
        let story = Story::new(None);
        note_level(9);
        {
            let _entered = enter(Some(Arc::clone(&story)));
            name_service(Service::Tms);
            name_layer("roads");
            name_layer("rivers");
            note_level(3);
            note_level(4);
            note_tile(CacheState::Hit);
            let outer = ask("wms");
            ask("host").end(true);
            mark_late();
            outer.end(false);
            std::thread::scope(|scope| {
                let story = current();
                scope.spawn(move || {
                    let _entered = enter(story);
                    note_tile(CacheState::Miss);
                    note_stored(true);
                });
            });
        }
        note_level(9);
        let facts = story.facts();
        assert_eq!((facts.service, facts.level), (Some(Service::Tms), Some(3)));
        assert_eq!((facts.layers.as_str(), facts.layer_count), ("roads,rivers", 2));
        assert_eq!(facts.upstreams.len(), 1);
        assert_eq!(
            (facts.upstreams[0].source.as_str(), facts.upstreams[0].outcome),
            ("wms", Outcome::Timeout)
        );
        assert_eq!(facts.cache_state(), CacheState::Miss);
        assert_eq!(facts.cache_status(), Some("rhumb; fwd=miss; stored"));
    }

    #[test]
    fn the_worst_tile_names_the_state() {
        let state = |tiles, upstream_count| Facts { tiles, upstream_count, ..Facts::default() }.cache_state();
        let none = Tiles::default();
        assert_eq!(state(none, 0), CacheState::None);
        assert_eq!(state(none, 1), CacheState::Bypass);
        assert_eq!(state(Tiles { hit: 5, ..none }, 0), CacheState::Hit);
        assert_eq!(state(Tiles { hit: 5, ..none }, 1), CacheState::Bypass);
        assert_eq!(state(Tiles { hit: 5, miss: 1, ..none }, 1), CacheState::Miss);
        assert_eq!(state(Tiles { hit: 5, miss: 1, stale: 1, ..none }, 1), CacheState::Stale);
    }

    #[test]
    fn layer_names_are_bounded() {
        let story = Story::new(None);
        let _entered = enter(Some(Arc::clone(&story)));
        name_layer("lone");
        name_layer("lone");
        assert_eq!(story.facts().layer_count, 1);
        for _ in 0..999 {
            name_layer("a-name-of-some-length");
        }
        assert!(story.facts().layers.len() <= LAYER_BYTES_MAX);
        assert_eq!(story.facts().layer_count, 1000);
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_our_own() {
        let trace = Trace::parse(PARENT, Some("a=1")).expect("valid");
        assert_ne!(trace.span_id, trace.parent_id);
        let story = Story::new(Some(trace.clone()));
        let _entered = enter(Some(story));
        let (parent, state) = trace_fields().expect("fields");
        assert_eq!(parent, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", trace.span_id));
        assert_eq!(state.as_deref(), Some("a=1"));
        assert_ne!(new_span_id(), new_span_id());
    }

    #[test]
    fn what_is_no_trace_is_none() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        ] {
            assert_eq!(Trace::parse(bad, None), None, "{bad}");
        }
        assert!(Trace::parse(&PARENT.replacen("00", "01", 1).replace("-01", "-01-x"), None).is_some());
        assert_eq!(Trace::parse(PARENT, Some("a\nb")).and_then(|trace| trace.state), None);
    }
}
