//! What comes in on a connection: bytes to steps of its protocol, before a
//! request is whole and, with FastCGI, while it is answered.

use std::io::ErrorKind;

use super::Worker;
use super::conn::{self, Connection, Next, State};
use super::exchange::{CLIENT_LEFT, Flow};
use crate::log;
use crate::wire::codec::{Codec, Refusal, Step};
use crate::wire::{Body, proxy_protocol, reply};

impl Worker {
    /// Reads, or parses what was read before.
    pub(super) fn read_on(&mut self, connection: &mut Connection) -> Flow {
        if connection.unparsed {
            return match connection.feed_kept() {
                Ok(step) => self.take_step(connection, step),
                Err(refusal) => self.refuse(connection, refusal),
            };
        }
        match self.receive(connection) {
            Ok(0) => Flow::Close,
            Ok(count) => self.take_bytes(connection, count),
            Err(flow) => flow,
        }
    }

    /// Reads into the scratch buffer; without bytes, how it goes on.
    pub(super) fn receive(&mut self, connection: &mut Connection) -> Result<usize, Flow> {
        if !connection.readable {
            return Err(Flow::Wait);
        }
        match connection.stream.read(&mut self.scratch) {
            Ok(count) => {
                // A short read has emptied the socket, and what comes later is a
                // new event; only an end that is known already makes none.
                connection.readable = count == self.scratch.len() || connection.read_closed;
                Ok(count)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    connection.readable = false;
                    Err(Flow::Wait)
                }
                ErrorKind::Interrupted => Err(Flow::Go),
                _ => Err(Flow::Close),
            },
        }
    }

    /// What a peer says while its request is being worked on: that it takes
    /// it back, or that it wants another one on the same connection.
    pub(super) fn hear_while_working(&mut self, connection: &mut Connection) -> Flow {
        if !connection.unparsed {
            match self.receive(connection) {
                Ok(0) => {
                    // It may still read its answer.
                    connection.read_closed = true;
                    connection.readable = false;
                    return Flow::Wait;
                }
                Ok(count) => connection.keep(&self.scratch[..count]),
                Err(flow) => return flow,
            }
        }
        match connection.feed_kept() {
            Ok(Step::More) => Flow::Go,
            Ok(Step::Aborted) => self.abort(connection),
            Ok(step @ (Step::Reply { .. } | Step::Hangup(_))) => self.take_step(connection, step),
            Ok(Step::Continue | Step::Complete(_)) | Err(_) => Flow::Close,
        }
    }

    /// The peer has taken its request back.
    fn abort(&mut self, connection: &mut Connection) -> Flow {
        let State::Working(ticket) = &connection.state else { return Flow::Go };
        // What a thread has begun ends some time with a response for this
        // connection, so no other request may follow on it.
        let is_over = ticket.withdraw();
        let keeps = connection.wants_more() && is_over && !self.drain.is_on();
        self.frames.clear();
        connection.codec.write_abort(&mut self.frames);
        if let Some(exchange) = &mut connection.exchange {
            exchange.status = CLIENT_LEFT;
            exchange.next = if keeps { Next::Request } else { Next::Linger };
        }
        self.send(connection, Body::Empty)
    }

    /// The first `count` bytes of the scratch buffer came in. A request that
    /// is whole in them is parsed where they lie.
    fn take_bytes(&mut self, connection: &mut Connection, count: usize) -> Flow {
        connection.begun_ms.get_or_insert(self.clock.now_ms);
        if connection.awaits_proxy_header {
            return self.take_proxy_header(connection, count);
        }
        if !connection.input.is_empty() {
            connection.keep(&self.scratch[..count]);
            connection.unparsed = true;
            return Flow::Go;
        }
        match conn::feed(&mut connection.codec, &self.scratch[..count]) {
            Ok((consumed, step)) => {
                if consumed < count {
                    connection.keep(&self.scratch[consumed..count]);
                }
                self.take_step(connection, step)
            }
            Err(refusal) => {
                connection.keep(&self.scratch[..count]);
                self.refuse(connection, refusal)
            }
        }
    }

    /// What the balancer says of a connection, before its first request.
    fn take_proxy_header(&mut self, connection: &mut Connection, count: usize) -> Flow {
        connection.keep(&self.scratch[..count]);
        match proxy_protocol::read(&connection.input[connection.input_at..]) {
            Ok(None) => Flow::Go,
            Ok(Some((header_bytes, told))) => {
                connection.awaits_proxy_header = false;
                connection.consume(header_bytes);
                connection.unparsed = !connection.input.is_empty();
                // The balancer may connect before its client says anything.
                connection.begun_ms = connection.unparsed.then_some(self.clock.now_ms);
                connection.peer = told.client.or(connection.peer);
                // Others hear from their web server whether it was TLS.
                if told.tls && matches!(connection.codec, Codec::Http(_)) {
                    connection.codec = Codec::http(self.wire_limits, "https");
                }
                Flow::Go
            }
            Err(malformed) => {
                log::info!("{malformed}, from {:?}", connection.peer);
                self.refuse(connection, Refusal { status: 400, reason: "no header of the PROXY protocol" })
            }
        }
    }

    fn take_step(&mut self, connection: &mut Connection, step: Step) -> Flow {
        match step {
            Step::More => {
                if connection.codec.is_within_body() {
                    connection.body_since_ms.get_or_insert(self.clock.now_ms);
                } else if !connection.is_within_request() {
                    connection.begun_ms = None;
                }
                Flow::Go
            }
            Step::Continue => {
                connection.body_since_ms = Some(self.clock.now_ms);
                connection.unparsed = !connection.input.is_empty();
                say(connection, reply::CONTINUE)
            }
            Step::Reply { bytes, ends } => {
                connection.unparsed = !connection.input.is_empty();
                if matches!(connection.state, State::Reading) && !connection.codec.has_begun() {
                    connection.begun_ms = None;
                    connection.body_since_ms = None;
                }
                match say(connection, &bytes) {
                    Flow::Go if ends => self.begin_lingering(connection),
                    flow => flow,
                }
            }
            // It was answered, or never asked.
            Step::Aborted => Flow::Go,
            Step::Hangup(why) => {
                log::info!("a connection on the {} socket ended: {why}", connection.codec.name());
                Flow::Close
            }
            Step::Complete(message) => self.dispatch(connection, message),
        }
    }
}

/// Sends a few bytes behind answers that are all in the kernel: where not even
/// these fit, the client does not read.
fn say(connection: &mut Connection, bytes: &[u8]) -> Flow {
    match connection.stream.write(std::iter::once(bytes)) {
        Ok(count) if count == bytes.len() => Flow::Go,
        _ => Flow::Close,
    }
}
