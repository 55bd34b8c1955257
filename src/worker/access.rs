//! What is written down of an answered request: one line of the access log,
//! and the counters of the board.

use super::Worker;
use super::conn::Connection;
use crate::board::{Event, Service};
use crate::log;
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

impl Worker {
    /// The answer is out, or as much of it as will ever be.
    pub(super) fn record(&mut self, connection: &mut Connection) {
        let Some(exchange) = connection.exchange.take() else { return };
        self.in_flight = self.in_flight.saturating_sub(1);
        let slot = self.board.slot(self.slot);
        slot.set_in_flight(self.in_flight);
        let duration_us = sys::monotonic_us().saturating_sub(exchange.begun_us);
        let request = exchange.message.as_ref().map(|message| &message.request);
        let facts = exchange.story.facts();
        let service = facts.service.unwrap_or(Service::Other);
        slot.counters.count_request(service, exchange.status, duration_us);
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
