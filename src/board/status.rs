//! The board for people and programs: one JSON document, which `/status.json`
//! sends, the status page draws and `rhumb status` prints.

use serde_json::{Value, json};

use super::counters::bucket_end_s;
use super::metrics::{asks, of_source};
use super::{
    Board, CacheState, Counters, Event, Histogram, LATENCY_BUCKETS, LOOP, Outcome, Service, Slot, State,
};

/// An event loop that is at one request for so long is worth telling.
const LOOP_BUSY_MS: u64 = 1_000;
/// Layers that are listed, those with the most requests first.
const LAYERS_LISTED_MAX: usize = 200;

impl State {
    /// As the status and the metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            State::Free => "free",
            State::Starting => "starting",
            State::Serving => "serving",
            State::Draining => "draining",
        }
    }
}

/// Everything that is known of the running daemon. Numbers that grow are
/// totals since its start; times are in milliseconds unless their name says
/// otherwise. `now_ms` is by the monotonic clock of `sys`, `now_unix_s` by the
/// calendar.
pub fn render(board: &Board, now_ms: u64, now_unix_s: u64) -> Value {
    board.consistently(|| {
        let (done, refused) = board.reloads();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": board.master_pid(),
            "started_unix_s": board.started_unix_s(),
            "now_unix_s": now_unix_s,
            "uptime_s": now_unix_s.saturating_sub(board.started_unix_s()),
            "state": if board.is_stopping() { "leaving" } else { "serving" },
            "generation": board.generation(),
            "workers_wanted": board.workers_wanted(),
            "workers_died": board.workers_died(),
            "reloads": done,
            "reloads_refused": refused,
            "last_reload": last_reload(board),
            "workers": workers(board, now_ms),
            "requests": requests(board),
            "services": services(board),
            "layers": layers(board),
            "tiles": {
                "hit": event(board, Event::CacheHit),
                "stale": event(board, Event::CacheStale),
                "miss": event(board, Event::CacheMiss),
                "stored": event(board, Event::CacheStore),
                "not_stored": event(board, Event::CacheError),
            },
            "render": {
                "queued": board.live_slots().map(|(_, slot)| slot.queued()).sum::<u64>(),
                "refused": event(board, Event::QueueRefusal),
                "time": times(|read| board.total(|c| read(&c.render))),
                "queue_time": times(|read| board.total(|c| read(&c.queue))),
            },
            "locks": {
                "waits": event(board, Event::LockWait),
                "waited_ms": event(board, Event::LockWaitUs) / 1000,
            },
            "sources": sources(board),
            "connections": {
                "open": board.live_slots().map(|(_, slot)| slot.connections()).sum::<u64>(),
                "accepted": event(board, Event::ConnectionAccepted),
                "cut": event(board, Event::ConnectionCut),
            },
        })
    })
}

fn event(board: &Board, event: Event) -> u64 {
    board.total(|counters| counters.events(event))
}

fn last_reload(board: &Board) -> Value {
    board.last_reload().map_or(Value::Null, |reload| {
        json!({
            "ok": reload.is_done,
            "message": reload.message,
            "errors": reload.errors,
            "warnings": reload.warnings,
            "unix_s": reload.unix_s,
        })
    })
}

fn workers(board: &Board, now_ms: u64) -> Vec<Value> {
    let series = board.series().count();
    board.live_slots().map(|(number, slot)| worker(number, slot, series, now_ms)).collect()
}

fn worker(number: usize, slot: &Slot, series: usize, now_ms: u64) -> Value {
    let counters = &slot.counters;
    let busy: Vec<Value> = slot
        .busy_threads()
        // The loop is at whoever asks for this.
        .filter(|busy| busy.thread != LOOP || now_ms.saturating_sub(busy.since_ms) > LOOP_BUSY_MS)
        .map(|busy| {
            json!({
                "thread": busy.thread,
                "for_ms": now_ms.saturating_sub(busy.since_ms),
                "request": format!("{:016x}", busy.fingerprint),
            })
        })
        .collect();
    json!({
        "slot": number,
        "pid": slot.pid(),
        "generation": slot.generation(),
        "state": slot.state().name(),
        "age_s": now_ms.saturating_sub(slot.forked_ms()) / 1000,
        "tick_age_ms": now_ms.saturating_sub(slot.tick_ms()),
        "connections": slot.connections(),
        "in_flight": slot.in_flight(),
        "queued": slot.queued(),
        "busy": busy,
        "requests": (0..series).map(|place| counters.series(place)).sum::<u64>(),
        "memory_bytes": slot.memory_bytes(),
    })
}

/// All requests, by class of status and by state of the cache.
fn requests(board: &Board) -> Value {
    let mut classes = [0; 6];
    let mut caches = [0; CacheState::ALL.len()];
    for (place, series) in board.series() {
        let count = board.total(|counters| counters.series(place));
        classes[usize::from(series.class).min(5)] += count;
        caches[series.cache as usize] += count;
    }
    let by_class: serde_json::Map<String, Value> =
        (1..=5).map(|class| (format!("{class}xx"), json!(classes[class]))).collect();
    let by_cache: serde_json::Map<String, Value> = CacheState::ALL
        .iter()
        .map(|state| (state.name().to_owned(), json!(caches[*state as usize])))
        .collect();
    json!({
        "total": classes.iter().sum::<u64>(),
        "status": by_class,
        "cache": by_cache,
        "in_flight": board.live_slots().map(|(_, slot)| slot.in_flight()).sum::<u64>(),
        "sent_bytes": event(board, Event::BytesSent),
        "time": times(|read| board.total(|c| Service::ALL.iter().map(|s| read(c.latency(*s))).sum())),
    })
}

fn services(board: &Board) -> Vec<Value> {
    let of = |service: Service| {
        let time = times(|read| board.total(|counters: &Counters| read(counters.latency(service))));
        let errors: u64 = (4..=5).map(|class| board.requests(service, class)).sum();
        json!({"service": service.name(), "requests": time["count"], "errors": errors, "time": time})
    };
    Service::ALL.into_iter().map(of).filter(|service| service["requests"] != 0).collect()
}

fn layers(board: &Board) -> Vec<Value> {
    #[derive(Default)]
    struct Layer {
        requests: u64,
        errors: u64,
        hit: u64,
        cached: u64,
    }
    let mut layers: std::collections::BTreeMap<u16, Layer> = std::collections::BTreeMap::new();
    for (place, series) in board.series() {
        let count = board.total(|counters| counters.series(place));
        let layer = layers.entry(series.layer).or_default();
        layer.requests += count;
        layer.errors += if series.class >= 4 { count } else { 0 };
        layer.hit += if series.cache == CacheState::Hit { count } else { 0 };
        layer.cached += if series.cache == CacheState::None { 0 } else { count };
    }
    let mut listed: Vec<_> =
        layers.into_iter().filter(|(place, layer)| *place != 0 && layer.requests > 0).collect();
    listed.sort_by_key(|(_, layer)| std::cmp::Reverse(layer.requests));
    listed.truncate(LAYERS_LISTED_MAX);
    let told = listed.into_iter().map(|(place, Layer { requests, errors, hit, cached })| {
        json!({
            "layer": board.layer_name(place),
            "requests": requests,
            "errors": errors,
            "hit": hit,
            "cached": cached,
        })
    });
    told.collect()
}

fn sources(board: &Board) -> Vec<Value> {
    let asked = board.sources().filter(|(place, _)| asks(board, *place) > 0);
    let told = asked.map(|(place, name)| {
        let outcome = |outcome| of_source(board, place, |source| source.outcome(outcome));
        json!({
            "source": name,
            "ok": outcome(Outcome::Ok),
            "error": outcome(Outcome::Error),
            "timeout": outcome(Outcome::Timeout),
            "time": times(|read| of_source(board, place, |source| read(&source.time))),
        })
    });
    told.collect()
}

/// A histogram in a few numbers: how often, how long together, and the ends of
/// the buckets in which the median and the slowest hundredth lie.
fn times(total: impl Fn(&dyn Fn(&Histogram) -> u64) -> u64) -> Value {
    let buckets: Vec<u64> =
        (0..LATENCY_BUCKETS).map(|bucket| total(&|histogram| histogram.bucket(bucket))).collect();
    let count: u64 = buckets.iter().sum();
    let quantile_ms = |share: f64| {
        let wanted = (count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = buckets.iter().position(|in_bucket| {
            seen += in_bucket;
            seen >= wanted
        })?;
        bucket_end_s(bucket.min(LATENCY_BUCKETS - 2)).map(|end_s| end_s * 1000.0)
    };
    json!({
        "count": count,
        "sum_ms": total(&Histogram::sum_us) / 1000,
        "p50_ms": quantile_ms(0.5),
        "p99_ms": quantile_ms(0.99),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ReloadReport, Series};
    use super::*;

    #[test]
    fn the_status_tells_what_happened() {
        let board = Board::new(100).expect("board");
        let number = board.claim(3, 1_000).expect("slot");
        let slot = board.slot(number);
        board.set_pid(number, 77);
        slot.set_state(State::Serving);
        let layer = board.place_layer("roads");
        for (cache, class) in [(CacheState::Hit, 2), (CacheState::Hit, 2), (CacheState::Miss, 5)] {
            let place = board.place_series(Series { service: Service::Wmts, layer, class, cache });
            slot.counters.count_request(place, Service::Wmts, 1_000);
        }
        let (message, errors) = ("refused".to_owned(), vec!["why".to_owned()]);
        board.report_reload(&ReloadReport { unix_s: 101, is_done: false, message, errors, warnings: vec![] });
        let source = board.place_source("wms");
        slot.counters.source(source).expect("counters").count(Outcome::Timeout, 5_000_000);
        let status = render(&board, 3_000, 160);
        assert_eq!((&status["uptime_s"], &status["state"]), (&json!(60), &json!("serving")));
        assert_eq!(status["workers"][0]["pid"], 77);
        assert_eq!(
            (&status["workers"][0]["age_s"], &status["workers"][0]["requests"]),
            (&json!(2), &json!(3))
        );
        assert_eq!(status["requests"]["status"]["2xx"], 2);
        assert_eq!(status["requests"]["cache"]["hit"], 2);
        assert_eq!(status["requests"]["time"]["p50_ms"], 1.024);
        assert_eq!(
            status["layers"],
            json!([{"layer": "roads", "requests": 3, "errors": 1, "hit": 2, "cached": 3}])
        );
        assert_eq!(status["services"][0]["errors"], 1);
        assert_eq!((&status["sources"][0]["timeout"], &status["sources"][0]["ok"]), (&json!(1), &json!(0)));
        assert_eq!(status["last_reload"]["errors"], json!(["why"]));
        assert_eq!(status["render"]["time"]["p50_ms"], Value::Null);
    }
}
