//! The board as Prometheus reads it: text format 0.0.4, base units, every
//! family with its help, all of them always there.
//!
//! Everything comes from the shared mapping, so it is the same whichever worker
//! is asked.

use std::fmt::Write as _;

use super::counters::bucket_end_s;
use super::{
    Board, CacheState, Counters, Event, Histogram, LATENCY_BUCKETS, Outcome, Service, SourceCounters, State,
};

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A family of the text.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident $name:literal $kind:ident $help:literal;)*) => {
        $(const $constant: Family = Family { name: $name, kind: stringify!($kind), help: $help };)*

        /// All families, in the order of the text.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD "rhumb_build_info" gauge "Always 1; the version is in the label.";
    STARTED "process_start_time_seconds" gauge "When the master started, seconds since 1970. Counters begin there.";
    GENERATION "rhumb_generation" gauge "Number of the configuration in effect; each reload makes a new one.";
    RELOADS "rhumb_reloads_total" counter "Reloads by outcome: done, or refused with the old configuration serving on.";
    RELOADED "rhumb_last_reload_timestamp_seconds" gauge "When the last reload ended, seconds since 1970; 0 without one.";
    RELOAD_OK "rhumb_last_reload_successful" gauge "1 where the last reload was done or there was none, 0 where it was refused.";
    STOPPING "rhumb_stopping" gauge "1 once the daemon has been told to stop.";
    WORKERS "rhumb_workers" gauge "Worker processes by state.";
    WANTED "rhumb_workers_wanted" gauge "Worker processes that the configuration in effect wants.";
    DEATHS "rhumb_worker_deaths_total" counter "Workers that died without being told to.";
    MEMORY "rhumb_worker_memory_bytes" gauge "Memory that a worker shares with nobody, by its place on the scoreboard.";
    CONNECTIONS "rhumb_connections" gauge "Open client connections.";
    ACCEPTED "rhumb_connections_accepted_total" counter "Client connections taken.";
    CUT "rhumb_connections_cut_total" counter "Client connections that a limit ended.";
    IN_FLIGHT "rhumb_requests_in_flight" gauge "Requests begun and not yet answered.";
    REQUESTS "rhumb_requests_total" counter "Answered requests by service, layer, class of the status and state of the cache.";
    DURATION "rhumb_request_duration_seconds" histogram "From the last byte of a request to the last of its answer.";
    SENT "rhumb_sent_bytes_total" counter "Bytes of answers' bodies.";
    TILES "rhumb_tiles_total" counter "Tiles that answers needed, by how they were had: hit, stale, miss.";
    STORED "rhumb_tiles_stored_total" counter "Tiles made and stored.";
    UNSTORED "rhumb_tile_store_failures_total" counter "Tiles made that could not be stored.";
    QUEUE "rhumb_render_queue_length" gauge "Requests that wait for a render thread.";
    QUEUED "rhumb_render_queue_duration_seconds" histogram "How long requests waited for a render thread.";
    REFUSED "rhumb_render_queue_refusals_total" counter "Requests answered with 503 because the queue was full or they waited there too long.";
    RENDER "rhumb_render_duration_seconds" histogram "Time of computing of a request that went to a render thread, its waits left out.";
    UPSTREAM "rhumb_upstream_requests_total" counter "Questions to sources by outcome: ok, error, timeout.";
    UPSTREAM_TIME "rhumb_upstream_duration_seconds" histogram "How long sources took to answer.";
    LOCKS "rhumb_lock_waits_total" counter "Waits for tiles that somebody else was making.";
    LOCKED "rhumb_lock_wait_seconds_total" counter "Time of these waits.";
}

/// The whole text.
pub fn render(board: &Board) -> String {
    board.consistently(|| {
        let mut text = Text { out: String::with_capacity(16 * 1024) };
        push_life(&mut text, board);
        push_workers(&mut text, board);
        push_requests(&mut text, board);
        push_tiles(&mut text, board);
        push_work(&mut text, board);
        push_sources(&mut text, board);
        push_locks(&mut text, board);
        text.out
    })
}

fn push_life(text: &mut Text, board: &Board) {
    text.head(&BUILD);
    text.line("rhumb_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.one(&STARTED, board.started_unix_s());
    text.one(&GENERATION, board.generation());
    let (done, refused) = board.reloads();
    text.head(&RELOADS);
    text.line(RELOADS.name, &[("outcome", "done")], done);
    text.line(RELOADS.name, &[("outcome", "refused")], refused);
    let last = board.last_reload();
    text.one(&RELOADED, last.as_ref().map_or(0, |reload| reload.unix_s));
    text.one(&RELOAD_OK, u64::from(last.is_none_or(|reload| reload.is_done)));
    text.one(&STOPPING, u64::from(board.is_stopping()));
}

fn push_workers(text: &mut Text, board: &Board) {
    text.head(&WORKERS);
    for (state, name) in
        [(State::Starting, "starting"), (State::Serving, "serving"), (State::Draining, "draining")]
    {
        let count = board.live_slots().filter(|(_, slot)| slot.state() == state).count();
        text.line(WORKERS.name, &[("state", name)], count as u64);
    }
    text.one(&WANTED, board.workers_wanted());
    text.one(&DEATHS, board.workers_died());
    text.head(&MEMORY);
    for (number, slot) in board.live_slots() {
        text.line(MEMORY.name, &[("worker", &number.to_string())], slot.memory_bytes());
    }
    text.one(&CONNECTIONS, board.live_slots().map(|(_, slot)| slot.connections()).sum());
    text.one(&ACCEPTED, board.total(|c| c.events(Event::ConnectionAccepted)));
    text.one(&CUT, board.total(|c| c.events(Event::ConnectionCut)));
    text.one(&IN_FLIGHT, board.live_slots().map(|(_, slot)| slot.in_flight()).sum());
}

fn push_requests(text: &mut Text, board: &Board) {
    text.head(&REQUESTS);
    for (place, series) in board.series() {
        let layer = board.layer_name(series.layer);
        let class = format!("{}xx", series.class);
        let labels = [
            ("service", series.service.name()),
            ("layer", &layer),
            ("status", &class),
            ("cache", series.cache.name()),
        ];
        text.line(REQUESTS.name, &labels, board.total(|c| c.series(place)));
    }
    text.head(&DURATION);
    for service in Service::ALL {
        text.histogram(DURATION.name, &[("service", service.name())], board, |c| c.latency(service));
    }
    text.one(&SENT, board.total(|c| c.events(Event::BytesSent)));
}

fn push_tiles(text: &mut Text, board: &Board) {
    text.head(&TILES);
    let found = [
        (CacheState::Hit, Event::CacheHit),
        (CacheState::Stale, Event::CacheStale),
        (CacheState::Miss, Event::CacheMiss),
    ];
    for (state, event) in found {
        text.line(TILES.name, &[("result", state.name())], board.total(|c| c.events(event)));
    }
    text.one(&STORED, board.total(|c| c.events(Event::CacheStore)));
    text.one(&UNSTORED, board.total(|c| c.events(Event::CacheError)));
}

fn push_work(text: &mut Text, board: &Board) {
    text.one(&QUEUE, board.live_slots().map(|(_, slot)| slot.queued()).sum());
    text.head(&QUEUED);
    text.histogram(QUEUED.name, &[], board, |c| &c.queue);
    text.one(&REFUSED, board.total(|c| c.events(Event::QueueRefusal)));
    text.head(&RENDER);
    text.histogram(RENDER.name, &[], board, |c| &c.render);
}

fn push_sources(text: &mut Text, board: &Board) {
    let asked: Vec<(usize, String)> = board.sources().filter(|(place, _)| asks(board, *place) > 0).collect();
    text.head(&UPSTREAM);
    for (place, name) in &asked {
        for outcome in Outcome::ALL {
            let labels = [("source", name.as_str()), ("outcome", outcome.name())];
            text.line(UPSTREAM.name, &labels, of_source(board, *place, |s| s.outcome(outcome)));
        }
    }
    text.head(&UPSTREAM_TIME);
    for (place, name) in &asked {
        let place = *place;
        text.histogram_of(UPSTREAM_TIME.name, &[("source", name)], |read| {
            of_source(board, place, |source| read(&source.time))
        });
    }
}

/// Questions to the source in that place.
pub(super) fn asks(board: &Board, place: usize) -> u64 {
    of_source(board, place, |source| Outcome::ALL.iter().map(|outcome| source.outcome(*outcome)).sum())
}

/// A number of the source in that place, over all workers.
pub(super) fn of_source(board: &Board, place: usize, read: impl Fn(&SourceCounters) -> u64) -> u64 {
    board.total(|counters| counters.source(place).map_or(0, &read))
}

fn push_locks(text: &mut Text, board: &Board) {
    text.one(&LOCKS, board.total(|c| c.events(Event::LockWait)));
    text.head(&LOCKED);
    let waited_us = board.total(|c| c.events(Event::LockWaitUs));
    let _ = writeln!(text.out, "{} {}", LOCKED.name, Seconds(waited_us));
}

struct Text {
    out: String,
}

/// Microseconds, written as seconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Text {
    fn head(&mut self, family: &Family) {
        let Family { name, kind, help } = family;
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, family: &Family, value: u64) {
        self.head(family);
        self.line(family.name, &[], value);
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.name(name, labels, None);
        let _ = writeln!(self.out, " {value}");
    }

    fn name(&mut self, name: &str, labels: &[(&str, &str)], end_s: Option<&str>) {
        self.out.push_str(name);
        let mut before = '{';
        for (label, value) in labels.iter().copied().chain(end_s.map(|end_s| ("le", end_s))) {
            let _ = write!(self.out, "{before}{label}=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        board: &Board,
        of: impl Fn(&Counters) -> &Histogram,
    ) {
        self.histogram_of(name, labels, |read| board.total(|counters| read(of(counters))));
    }

    /// `total` adds up one number of the histogram over all workers.
    fn histogram_of(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        total: impl Fn(&dyn Fn(&Histogram) -> u64) -> u64,
    ) {
        let mut count = 0;
        for bucket in 0..LATENCY_BUCKETS {
            count += total(&|histogram| histogram.bucket(bucket));
            let end_s = bucket_end_s(bucket).map_or_else(|| "+Inf".to_owned(), |end_s| end_s.to_string());
            self.name(&format!("{name}_bucket"), labels, Some(&end_s));
            let _ = writeln!(self.out, " {count}");
        }
        self.name(&format!("{name}_sum"), labels, None);
        let _ = writeln!(self.out, " {}", Seconds(total(&Histogram::sum_us)));
        self.line(&format!("{name}_count"), labels, count);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    fn board() -> Board {
        let board = Board::new(7).expect("board");
        let slot = board.slot(board.claim(1, 1).expect("slot"));
        let layer = board.place_layer("a \"b\"\\\n");
        let series = Series { service: Service::Tms, layer, class: 2, cache: CacheState::Hit };
        slot.counters.count_request(board.place_series(series), Service::Tms, 100);
        let source = board.place_source("wms");
        slot.counters.source(source).expect("counters").count(Outcome::Error, 2_000_000);
        board
    }

    #[test]
    fn every_family_is_there_once_with_its_head_and_a_value() {
        let text = render(&board());
        for family in FAMILIES {
            let Family { name, kind, help } = family;
            let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}");
            assert_eq!(text.matches(&head).count(), 1, "{name}\n{text}");
        }
        assert_eq!(text.matches("# TYPE ").count(), FAMILIES.len());
    }

    #[test]
    fn labels_are_escaped_and_histograms_add_up() {
        let text = render(&board());
        let line = "rhumb_requests_total{service=\"tms\",layer=\"a \\\"b\\\"\\\\\\n\",status=\"2xx\",cache=\"hit\"} 1\n";
        assert!(text.contains(line), "{text}");
        for line in [
            "rhumb_request_duration_seconds_bucket{service=\"tms\",le=\"0.000064\"} 0\n",
            "rhumb_request_duration_seconds_bucket{service=\"tms\",le=\"0.000128\"} 1\n",
            "rhumb_request_duration_seconds_bucket{service=\"tms\",le=\"+Inf\"} 1\n",
            "rhumb_request_duration_seconds_sum{service=\"tms\"} 0.000100\n",
            "rhumb_request_duration_seconds_count{service=\"tms\"} 1\n",
            "rhumb_upstream_requests_total{source=\"wms\",outcome=\"error\"} 1\n",
            "rhumb_upstream_duration_seconds_sum{source=\"wms\"} 2.000000\n",
            "rhumb_render_duration_seconds_bucket{le=\"+Inf\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
