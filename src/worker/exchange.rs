//! Requests and answers of one connection: handing over, writing, and the
//! deadlines of each. How requests come in is `intake.rs`.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mio::Token;

use super::access::method_name;
use super::conn::{Connection, Exchange, Next, Output, State};
use super::pool::{Finished, QueueFull};
use super::timer::NEVER;
use super::{Worker, drain};
use crate::board::{CacheState, Event, LOOP, fingerprint};
use crate::log;
use crate::service::{Answer, Work};
use crate::story::{self, Story, Trace};
use crate::sys;
use crate::wire::codec::{Message, Refusal};
use crate::wire::reply::{self, Framing, Persistence};
use crate::wire::{Body, Method, Response};

/// Steps of one connection before the others have their turn.
const STEPS_PER_TURN: usize = 64;
/// We hold idle connections a little longer than we announce, so that it is
/// the client that closes and no request crosses our end on the wire.
const KEEP_ALIVE_GRACE_MS: u64 = 2_000;
/// Requests beyond the bound of a connection that are answered because they
/// were sent before the client could know.
const PIPELINE_GRACE: u32 = 32;
/// A lingering connection without a byte for so long is closed.
const LINGER_IDLE_MS: u64 = 1_000;
/// nginx's number for "the client left before its answer".
pub(super) const CLIENT_LEFT: u16 = 499;
const ALLOWED_METHODS: &str = "GET, HEAD, POST, OPTIONS";
/// When a client that found the queue full may come back.
const RETRY_AFTER_S: &str = "2";

/// How a connection goes on after one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Go,
    /// Nothing to do until an event.
    Wait,
    Close,
}

impl Worker {
    /// Something happened on a connection's socket.
    pub(super) fn connection_event(&mut self, event: &mio::event::Event) {
        let token = event.token();
        let Some(mut connection) = self.connections.take(token) else { return };
        connection.readable |= event.is_readable() || event.is_read_closed();
        connection.read_closed |= event.is_read_closed();
        // Both directions are over, or the connection was reset: whatever is
        // being made for it reaches nobody.
        let is_gone = event.is_error() || (event.is_write_closed() && event.is_read_closed());
        self.connections.put_back(connection);
        if is_gone { self.close(token) } else { self.advance(token) }
    }

    /// Takes the connection as far as it goes without waiting.
    pub(super) fn advance(&mut self, token: Token) {
        let Some(mut connection) = self.connections.take(token) else { return };
        let mut flow = Flow::Go;
        for _ in 0..STEPS_PER_TURN {
            // A panic costs this connection and no other of the worker's.
            let step = catch_unwind(AssertUnwindSafe(|| self.take_one_step(&mut connection)));
            flow = step.unwrap_or_else(|_| self.end_after_panic(&mut connection));
            if flow != Flow::Go {
                break;
            }
        }
        match flow {
            Flow::Close => {
                self.connections.put_back(connection);
                self.close(token);
            }
            Flow::Go => {
                self.connections.put_back(connection);
                self.again.push(token);
            }
            Flow::Wait => {
                self.set_deadline(&mut connection);
                self.connections.put_back(connection);
            }
        }
    }

    fn take_one_step(&mut self, connection: &mut Connection) -> Flow {
        match connection.state {
            State::Reading => self.read_on(connection),
            State::Working(_) if connection.codec.listens_while_answering() => {
                self.hear_while_working(connection)
            }
            State::Working(_) => Flow::Wait,
            State::Writing => self.write_on(connection),
            State::Lingering { .. } => self.linger_on(connection),
        }
    }

    /// Nothing is known of the connection's state any more: says so where no
    /// answer has begun, and ends it.
    fn end_after_panic(&mut self, connection: &mut Connection) -> Flow {
        self.board.slot(self.slot).mark_idle(LOOP);
        log::alert!("a panic ended a connection: {}", drain::describe(connection));
        if !matches!(connection.state, State::Reading) || connection.exchange.is_some() {
            return Flow::Close;
        }
        connection.input = Vec::new();
        connection.input_at = 0;
        connection.unparsed = false;
        let refusal = Refusal { status: 500, reason: "the server made a mistake" };
        catch_unwind(AssertUnwindSafe(|| self.refuse(connection, refusal))).unwrap_or(Flow::Close)
    }

    /// Ends a connection now.
    pub(super) fn close(&mut self, token: Token) {
        let Some(mut connection) = self.connections.take(token) else { return };
        if let State::Working(ticket) = &connection.state {
            ticket.withdraw();
        }
        if connection.exchange.is_some() {
            let left = connection.output.left() as u64;
            if let Some(exchange) = &mut connection.exchange {
                exchange.status = if exchange.status == 0 { CLIENT_LEFT } else { exchange.status };
                exchange.body_bytes = exchange.body_bytes.saturating_sub(left);
            }
            self.record(&mut connection);
        }
        drop(connection);
        self.connections.release(token);
        self.board.slot(self.slot).set_connections(self.connections.count() as u64);
    }

    /// A whole request: finds out how it is answered, and begins.
    pub(super) fn dispatch(&mut self, connection: &mut Connection, mut message: Box<Message>) -> Flow {
        // A web server tells whom it speaks for.
        message.request.peer = message.request.peer.or(connection.peer);
        if let Some(proxies) = &self.proxies {
            proxies.settle(&mut message.request, connection.peer);
        }
        connection.requests += 1;
        connection.begun_ms = None;
        connection.body_since_ms = None;
        let refused = refuse_method(&message);
        self.begin_exchange(connection, Some(message));
        if let Some(response) = refused {
            return self.respond(connection, response);
        }
        let Some(exchange) = &connection.exchange else { return Flow::Close };
        exchange.write_line(&mut self.line);
        let now_ms = self.clock.now_ms;
        if self.board.has_quarantine(now_ms)
            && let Some(left_ms) = self.board.quarantine_left_ms(fingerprint(&self.line), now_ms)
        {
            return self.respond(connection, quarantined(left_ms));
        }
        self.board.slot(self.slot).mark_busy(LOOP, &self.line, now_ms);
        let flow = self.answer_request(connection);
        self.board.slot(self.slot).mark_idle(LOOP);
        flow
    }

    /// Asks the site, and answers or hands over as it says.
    fn answer_request(&mut self, connection: &mut Connection) -> Flow {
        let Some(Exchange { message: Some(message), story, .. }) = &connection.exchange else {
            return Flow::Close;
        };
        let _entered = story::enter(Some(Arc::clone(story)));
        let answer = catch_unwind(AssertUnwindSafe(|| {
            if connection.is_admin {
                return self.answer_admin(&message.request);
            }
            // Only tests make this place fail, and not with an error.
            let _ = sys::failpoint::pass_with("service", &self.line);
            (self.answer)(&message.request)
        }));
        match answer {
            Ok(Answer::Ready(response)) => self.respond(connection, response),
            Ok(Answer::Work(work)) => self.hand_over(connection, work),
            Ok(Answer::StoredTile(answer)) => {
                let Some(tile) = self.stored.find(&answer.file, self.clock.now) else {
                    return self.hand_over(connection, answer.otherwise);
                };
                self.board.slot(self.slot).counters.count(Event::CacheHit, 1);
                story::note_tile(CacheState::Hit);
                match catch_unwind(AssertUnwindSafe(|| (answer.respond)(tile))) {
                    Ok(response) => self.respond(connection, response),
                    Err(_) => self.respond_to_panic(connection),
                }
            }
            Err(_) => self.respond_to_panic(connection),
        }
    }

    fn begin_exchange(&mut self, connection: &mut Connection, message: Option<Box<Message>>) {
        if !connection.is_admin {
            self.in_flight += 1;
            self.requests += 1;
            self.board.slot(self.slot).set_in_flight(self.in_flight);
        }
        let trace = message.as_ref().and_then(|message| {
            let headers = &message.request.headers;
            Trace::parse(headers.get("traceparent")?, headers.get("tracestate"))
        });
        connection.exchange = Some(Exchange {
            story: if connection.is_admin { Story::uncounted() } else { Story::new(trace) },
            message,
            refused_line: Vec::new(),
            begun_us: sys::monotonic_us(),
            status: 0,
            body_bytes: 0,
            next: Next::Linger,
        });
    }

    fn respond_to_panic(&mut self, connection: &mut Connection) -> Flow {
        let line = connection.exchange.as_ref().map(Exchange::line).unwrap_or_default();
        log::alert!("a panic ended the request {line}");
        self.respond(connection, reply::plain(500, "the server made a mistake"))
    }

    /// The answer to a request that no thread has room for.
    fn busy(&self) -> Response {
        self.board.slot(self.slot).counters.count(Event::QueueRefusal, 1);
        reply::plain(503, "too much to do").with("Retry-After", RETRY_AFTER_S)
    }

    fn hand_over(&mut self, connection: &mut Connection, work: Work) -> Flow {
        let Some(exchange) = &connection.exchange else { return Flow::Close };
        match self.pool.submit(connection.token, work, exchange.line(), Arc::clone(&exchange.story)) {
            Ok(ticket) => {
                connection.deadline_ms = self.clock.now_ms.saturating_add(self.limits.render_queue_ms);
                connection.state = State::Working(ticket);
                connection.unparsed = !connection.input.is_empty();
                if connection.codec.listens_while_answering() { Flow::Go } else { Flow::Wait }
            }
            Err(QueueFull) => {
                let response = self.busy();
                self.respond(connection, response)
            }
        }
    }

    /// A thread has finished a job.
    pub(super) fn deliver(&mut self, finished: Finished) {
        let Some(mut connection) = self.connections.take(finished.owner) else { return };
        let flow = match connection.state {
            State::Working(_) => self.respond(&mut connection, finished.response),
            _ => Flow::Wait,
        };
        self.connections.put_back(connection);
        if flow == Flow::Close { self.close(finished.owner) } else { self.advance(finished.owner) }
    }

    /// The request cannot be served and the next one cannot be found: answers
    /// and closes.
    pub(super) fn refuse(&mut self, connection: &mut Connection, refusal: Refusal) -> Flow {
        if !connection.codec.can_refuse() {
            return Flow::Close;
        }
        self.begin_exchange(connection, None);
        if let Some(exchange) = &mut connection.exchange {
            let pending = &connection.input[connection.input_at..];
            exchange.refused_line = connection.codec.request_line(pending).to_vec();
        }
        let mut response = reply::plain(refusal.status, refusal.reason);
        if refusal.status == 505 {
            response = response.with("Upgrade", "HTTP/1.1");
        }
        self.respond(connection, response)
    }

    /// Begins to send; most answers are gone with the first call.
    fn respond(&mut self, connection: &mut Connection, mut response: Response) -> Flow {
        let Some(exchange) = &mut connection.exchange else { return Flow::Close };
        if let Some(status) = exchange.story.facts().cache_status() {
            response.headers.push((Cow::Borrowed("Cache-Status"), status.to_owned()));
        }
        let wants_more = exchange.wants_more();
        // A client that has sent its next request already is told to close with
        // the last one that we have of it: whatever it sent is answered.
        let has_sent_more = connection.codec.pipelines() && !connection.input.is_empty();
        let requests_max =
            self.limits.keep_alive_requests.saturating_add(if has_sent_more { PIPELINE_GRACE } else { 0 });
        let may_stay = !self.drain.is_on() || has_sent_more;
        let stays = wants_more
            && may_stay
            && connection.requests < requests_max
            && (has_sent_more || !self.hands_over());
        let may_be_sending = connection.readable || !connection.input.is_empty();
        exchange.next = match (stays, exchange.message.is_some() && !wants_more && !may_be_sending) {
            (true, _) => Next::Request,
            (false, true) => Next::Close,
            (false, false) => Next::Linger,
        };
        let head_only =
            exchange.message.as_ref().is_some_and(|message| message.request.method == Method::Head);
        let persistence = match exchange.next {
            Next::Request => Persistence::KeepAlive { timeout_s: self.limits.keep_alive_idle_ms / 1_000 },
            Next::Close | Next::Linger => Persistence::Close,
        };
        self.frames.clear();
        let framing = Framing { head_only, persistence, date: &self.clock.date };
        connection.codec.write(&mut self.frames, &response, &framing);
        exchange.status = response.status;
        let body = if reply::sends_body(response.status, head_only) { response.body } else { Body::Empty };
        exchange.body_bytes = body.as_slice().len() as u64;
        self.send(connection, body)
    }

    /// Sends the frames that were just written, with their body.
    pub(super) fn send(&mut self, connection: &mut Connection, body: Body) -> Flow {
        let total = self.frames.bytes.len() + body.as_slice().len();
        let sent = match connection.stream.write(self.frames.pieces(body.as_slice(), 0)) {
            Ok(sent) if sent == total => return self.finish_exchange(connection),
            Ok(sent) => sent,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => return Flow::Close,
        };
        connection.output = Output { frames: std::mem::take(&mut self.frames), body, sent };
        connection.state = State::Writing;
        connection.deadline_ms = self.clock.now_ms.saturating_add(self.limits.write_stall_ms);
        Flow::Go
    }

    fn write_on(&mut self, connection: &mut Connection) -> Flow {
        if connection.output.left() == 0 {
            return self.finish_exchange(connection);
        }
        match connection.stream.write(connection.output.rest()) {
            Ok(0) => Flow::Close,
            Ok(count) => {
                connection.output.sent += count;
                connection.deadline_ms = self.clock.now_ms.saturating_add(self.limits.write_stall_ms);
                Flow::Go
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Flow::Wait,
                ErrorKind::Interrupted => Flow::Go,
                _ => Flow::Close,
            },
        }
    }

    /// The answer is with the kernel.
    fn finish_exchange(&mut self, connection: &mut Connection) -> Flow {
        let next = connection.exchange.as_ref().map_or(Next::Close, |exchange| exchange.next);
        connection.output = Output::default();
        self.record(connection);
        connection.idle_since_ms = self.clock.now_ms;
        match next {
            Next::Request => {
                connection.state = State::Reading;
                connection.unparsed = !connection.input.is_empty();
                connection.begun_ms = connection.unparsed.then_some(self.clock.now_ms);
                // An end that was seen while working makes no second event.
                connection.readable |= connection.read_closed;
                Flow::Go
            }
            Next::Close => Flow::Close,
            Next::Linger => self.begin_lingering(connection),
        }
    }

    pub(super) fn begin_lingering(&mut self, connection: &mut Connection) -> Flow {
        connection.stream.end_writing();
        connection.input = Vec::new();
        connection.input_at = 0;
        connection.unparsed = false;
        let until_ms = self.clock.now_ms.saturating_add(self.limits.lingering_close_ms);
        connection.state = State::Lingering { until_ms };
        connection.deadline_ms = until_ms.min(self.clock.now_ms + LINGER_IDLE_MS);
        Flow::Go
    }

    fn linger_on(&mut self, connection: &mut Connection) -> Flow {
        let State::Lingering { until_ms } = connection.state else { return Flow::Go };
        if !connection.readable {
            return Flow::Wait;
        }
        match connection.stream.read(&mut self.scratch) {
            Ok(0) => Flow::Close,
            Ok(_) => {
                connection.deadline_ms = until_ms.min(self.clock.now_ms + LINGER_IDLE_MS);
                if self.clock.now_ms >= until_ms { Flow::Close } else { Flow::Go }
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    connection.readable = false;
                    Flow::Wait
                }
                ErrorKind::Interrupted => Flow::Go,
                _ => Flow::Close,
            },
        }
    }

    /// Sets until when the connection may stay as it is. States other than
    /// reading set theirs when they begin and when they get on.
    pub(super) fn set_deadline(&mut self, connection: &mut Connection) {
        if matches!(connection.state, State::Reading) {
            let limits = &self.limits;
            connection.deadline_ms = if let Some(since_ms) = connection.body_since_ms {
                since_ms.saturating_add(limits.body_ms)
            } else if connection.is_within_request() {
                connection.begun_ms.unwrap_or(self.clock.now_ms).saturating_add(limits.header_ms)
            } else if connection.requests == 0 {
                connection.idle_since_ms.saturating_add(limits.first_byte_ms)
            } else {
                let idle_ms = self
                    .drain
                    .idle_ms(connection.token)
                    .unwrap_or(limits.keep_alive_idle_ms.saturating_add(KEEP_ALIVE_GRACE_MS));
                connection.idle_since_ms.saturating_add(idle_ms)
            };
        }
        self.timer.note(connection.deadline_ms);
    }

    /// Ends what is past its deadline.
    pub(super) fn sweep(&mut self) {
        let now_ms = self.clock.now_ms;
        if !self.timer.begin_sweep(now_ms) {
            return;
        }
        let mut due = Vec::new();
        for connection in self.connections.iter_mut() {
            if connection.deadline_ms <= now_ms {
                due.push(connection.token);
            } else {
                self.timer.note(connection.deadline_ms);
            }
        }
        for token in due {
            self.expire(token);
        }
    }

    /// A thread has been at the request for longer than any should. The client
    /// need not wait for the master, who sees the same and replaces the worker.
    /// The connection ends, so that an outcome that still comes meets nobody.
    fn give_up(&mut self, connection: &mut Connection) -> Flow {
        if let Some(Exchange { message: Some(message), .. }) = &mut connection.exchange {
            message.keep_alive = false;
        }
        self.respond(connection, late())
    }

    fn expire(&mut self, token: Token) {
        let Some(mut connection) = self.connections.take(token) else { return };
        connection.deadline_ms = NEVER;
        let counters = &self.board.slot(self.slot).counters;
        let now_ms = self.clock.now_ms;
        let flow = match &connection.state {
            State::Reading if connection.is_within_request() => {
                counters.count(Event::ConnectionCut, 1);
                self.refuse(&mut connection, Refusal { status: 408, reason: "the request took too long" })
            }
            // A client that writes at this moment reads a clean end, no reset.
            State::Reading if connection.requests > 0 && self.drain.is_on() => {
                self.begin_lingering(&mut connection)
            }
            State::Reading => Flow::Close,
            State::Working(ticket) if ticket.withdraw() => {
                let response = self.busy();
                self.respond(&mut connection, response)
            }
            State::Working(ticket) => {
                let end_ms = ticket.begun_ms().saturating_add(self.limits.render_stuck_ms);
                if now_ms < end_ms {
                    connection.deadline_ms = end_ms;
                    Flow::Wait
                } else {
                    self.give_up(&mut connection)
                }
            }
            State::Writing => {
                counters.count(Event::ConnectionCut, 1);
                log::info!("a client stopped reading: {}", drain::describe(&connection));
                connection.stream.reset_on_close();
                Flow::Close
            }
            State::Lingering { .. } => Flow::Close,
        };
        self.connections.put_back(connection);
        if flow == Flow::Close { self.close(token) } else { self.advance(token) }
    }
}

/// The answer to a request that killed workers.
pub(super) fn quarantined(left_ms: u64) -> Response {
    let left_s = left_ms.div_ceil(1_000).to_string();
    reply::plain(503, "not answered for a while: this request ended the server's processes")
        .with("Retry-After", left_s)
}

fn late() -> Response {
    reply::plain(504, "the answer took too long")
}

/// The answer to what no site is asked for: methods that no map knows, and the
/// server as a whole.
fn refuse_method(message: &Message) -> Option<Response> {
    let request = &message.request;
    match &request.method {
        Method::Options if request.path == "*" => {
            let mut response = Response::new(204, "text/plain", Vec::new()).with("Allow", ALLOWED_METHODS);
            response.headers.retain(|(name, _)| name != "Content-Type");
            Some(response)
        }
        Method::Get | Method::Head | Method::Post | Method::Options => None,
        Method::Other(_) => Some(match method_name(&request.method) {
            "PUT" | "DELETE" | "PATCH" | "TRACE" | "CONNECT" => {
                reply::plain(405, "not a method for maps").with("Allow", ALLOWED_METHODS)
            }
            _ => reply::plain(501, "unknown method"),
        }),
    }
}
