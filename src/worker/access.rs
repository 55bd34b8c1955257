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

/// The service by its usual place in the path, with or without the name of a
/// map before it. For counting only: the site decides who answers.
fn service_of(path: &str) -> Service {
    for segment in path.split('/').skip(1).take(2) {
        return match segment {
            "service" | "ows" | "wms" => Service::Wms,
            "wmts" => Service::Wmts,
            "tms" | "tiles" => Service::Tms,
            "kml" => Service::Kml,
            "demo" => Service::Demo,
            _ => continue,
        };
    }
    Service::Other
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
        let service = request.map_or(Service::Other, |request| service_of(&request.path));
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
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_by_their_place() {
        for (path, service) in [
            ("/service", Service::Wms),
            ("/city/service", Service::Wms),
            ("/wmts/1.0.0/WMTSCapabilities.xml", Service::Wmts),
            ("/city/tiles/1.0.0/a/0/0/0.png", Service::Tms),
            ("/kml/a", Service::Kml),
            ("/demo/", Service::Demo),
            ("/", Service::Other),
            ("/a/b/service", Service::Other),
        ] {
            assert_eq!(service_of(path), service, "{path}");
        }
    }
}
