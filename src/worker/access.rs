//! What is written down of an answered request: one line of the access log,
//! and the counters of the board.

use std::collections::HashMap;
use std::time::Duration;

use super::Worker;
use super::conn::Connection;
use crate::board::{Board, Event, Series, Service, hash_of};
use crate::log;
use crate::story::{Facts, Tiles};
use crate::sys;
use crate::wire::Method;

pub(super) fn method_name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Options => "OPTIONS",
        Method::Other(name) => name,
    }
}

/// Requests for several layers at once are counted under this name.
const SEVERAL_LAYERS: &str = "several";
/// Remembered places; a worker that knows more looks them up again.
const PLACES_MAX: usize = 16 * 1024;

/// Where on the board requests of one kind are counted, remembered so that no
/// list is searched for each.
#[derive(Default)]
pub(super) struct Tally {
    /// By hash of the layer's name, service, class and state of the cache.
    places: HashMap<(u64, u8, u8, u8), usize>,
}

impl Tally {
    fn place(&mut self, board: &Board, service: Service, facts: &Facts, layer: &str, status: u16) -> usize {
        let class = (status / 100).clamp(1, 5) as u8;
        let cache = facts.cache_state();
        let is_of_one_map = facts.map.is_empty() || layer.is_empty();
        let hash = if is_of_one_map { hash_of(&[layer]) } else { hash_of(&[&facts.map, "/", layer]) };
        let key = (hash, service as u8, class, cache as u8);
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let layer = if is_of_one_map {
            board.place_layer(layer)
        } else {
            board.place_layer(&format!("{}/{layer}", facts.map))
        };
        let place = board.place_series(Series { service, layer, class, cache });
        if self.places.len() >= PLACES_MAX {
            self.places.clear();
        }
        self.places.insert(key, place);
        place
    }
}

/// Counts what a thread's work came to; `queued`: how long it waited for its turn.
pub(super) fn count_work(board: &Board, slot: usize, facts: &Facts, queued: Duration) {
    let counters = &board.slot(slot).counters;
    let Tiles { hit, stale, miss, stored, unstored } = facts.tiles;
    for (event, amount) in [
        (Event::CacheHit, hit),
        (Event::CacheStale, stale),
        (Event::CacheMiss, miss),
        (Event::CacheStore, stored),
        (Event::CacheError, unstored),
        (Event::LockWait, facts.lock_waits),
        (Event::LockWaitUs, facts.lock_us),
    ] {
        if amount > 0 {
            counters.count(event, amount);
        }
    }
    counters.render.count(facts.render_us);
    counters.queue.count(u64::try_from(queued.as_micros()).unwrap_or(u64::MAX));
    for upstream in &facts.upstreams {
        if let Some(source) = counters.source(board.place_source(&upstream.source)) {
            source.count(upstream.outcome, upstream.duration_us);
        }
    }
}

impl Worker {
    /// The answer is out, or as much of it as will ever be.
    pub(super) fn record(&mut self, connection: &mut Connection) {
        let Some(exchange) = connection.exchange.take() else { return };
        if connection.is_admin {
            return;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let slot = self.board.slot(self.slot);
        slot.set_in_flight(self.in_flight);
        let duration_us = sys::monotonic_us().saturating_sub(exchange.begun_us);
        let request = exchange.message.as_ref().map(|message| &message.request);
        let facts = exchange.story.facts();
        let service = facts.service.unwrap_or(Service::Other);
        let layer = match facts.layer_count {
            0 => "",
            1 => &facts.layers,
            _ => SEVERAL_LAYERS,
        };
        let place = self.tally.place(&self.board, service, &facts, layer, exchange.status);
        slot.counters.count_request(place, service, duration_us);
        slot.counters.count(Event::BytesSent, exchange.body_bytes);
        if !self.logs_access {
            return;
        }
        let line;
        let (method, target, protocol) = match &exchange.message {
            Some(message) => {
                line = exchange.line();
                let (method, target) = line.split_once(' ').unwrap_or(("-", &line));
                (method, target, if message.minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" })
            }
            None => {
                line = exchange.line();
                ("-", line.as_str(), "-")
            }
        };
        log::write_access(&log::Access {
            peer: request.map_or(connection.peer, |request| request.peer),
            method,
            target,
            protocol,
            status: exchange.status,
            bytes: exchange.body_bytes,
            duration_us,
            referer: request.and_then(|request| request.headers.get("referer")),
            user_agent: request.and_then(|request| request.headers.get("user-agent")),
            facts: &facts,
            trace: exchange.story.trace.as_ref(),
        });
    }
}
