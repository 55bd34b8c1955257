//! One connection's states, and the table of all of them.
//!
//! A connection reads, then its request is worked on, then it writes; one
//! request at a time, so answers leave in the order of their requests. What a
//! client sends meanwhile stays in the kernel, which is all the back-pressure
//! that is needed.

use std::io::{self, IoSlice, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use mio::Token;
use mio::net::{TcpStream, UnixStream};

use super::pool::Ticket;
use super::timer::NEVER;
use crate::story::Story;
use crate::wire::Body;
use crate::wire::codec::{Codec, Message, Refusal, Step};
use crate::wire::frames::Frames;
use crate::wire::url;

/// Pieces of a message that go out with one call: four FastCGI records of a
/// large body, more than a socket takes at once.
const PIECES_MAX: usize = 8;

/// A client's socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    /// Sends pieces of a message in one call, as many as that takes.
    pub fn write<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        match self {
            Stream::Tcp(stream) => stream.write_vectored(&slices[..count]),
            Stream::Unix(stream) => stream.write_vectored(&slices[..count]),
        }
    }

    /// Says that nothing more will come.
    pub fn end_writing(&self) {
        // Fails only where the client is gone already.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
    }

    /// Makes the coming close a reset: what the client has not taken is thrown away.
    pub fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

/// What a connection is at.
pub(super) enum State {
    /// Waits for a request or reads one.
    Reading,
    /// A thread has the request, or it lies in the queue.
    Working(Arc<Ticket>),
    Writing,
    /// All is said; what the client still sends is read and thrown away, so
    /// that no reset eats the answer on its way.
    Lingering {
        until_ms: u64,
    },
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Request,
    /// The client asked to close and sends nothing more.
    Close,
    /// We close on our own account: the client may be sending.
    Linger,
}

/// A response on its way out.
#[derive(Default)]
pub(super) struct Output {
    pub frames: Frames,
    pub body: Body,
    /// Bytes of both that are sent.
    pub sent: usize,
}

impl Output {
    /// What is left to send.
    pub fn rest(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.pieces(self.body.as_slice(), self.sent)
    }

    pub fn left(&self) -> usize {
        self.rest().map(<[u8]>::len).sum()
    }
}

/// A request from its last byte to the last byte of its answer.
pub(super) struct Exchange {
    /// `None` for one that was refused before it was whole.
    pub message: Option<Box<Message>>,
    /// The request line of a refused one, as far as it came.
    pub refused_line: Vec<u8>,
    pub begun_us: u64,
    pub status: u16,
    pub body_bytes: u64,
    pub next: Next,
    /// What happens to it on its way.
    pub story: Arc<Story>,
}

impl Exchange {
    /// Whether the client wants to go on with the connection afterwards.
    pub fn wants_more(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.keep_alive)
    }

    /// Method and target, for the log; bounded.
    pub fn line(&self) -> String {
        let mut line = String::new();
        self.write_line(&mut line);
        line
    }

    /// [`Exchange::line`] into a buffer, in place of what is in it.
    pub fn write_line(&self, line: &mut String) {
        const LINE_BYTES_MAX: usize = 1_024;
        line.clear();
        match &self.message {
            Some(message) => {
                let request = &message.request;
                line.push_str(super::access::method_name(&request.method));
                line.push(' ');
                if !request.script_name.is_empty() {
                    line.push_str(&url::escape_path(&request.script_name));
                }
                line.push_str(&request.path);
                if !request.query.is_empty() {
                    line.push('?');
                    line.push_str(&request.query);
                }
            }
            None => line.push_str(&String::from_utf8_lossy(&self.refused_line)),
        }
        let mut end = line.len().min(LINE_BYTES_MAX);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
    }
}

pub(super) struct Connection {
    pub token: Token,
    pub stream: Stream,
    pub peer: Option<IpAddr>,
    /// A header of the PROXY protocol comes first.
    pub awaits_proxy_header: bool,
    /// It came in by the admin socket: another site answers, nothing is counted.
    pub is_admin: bool,
    pub codec: Codec,
    /// Received and not consumed; empty between requests.
    pub input: Vec<u8>,
    /// Where the unconsumed part of `input` begins.
    pub input_at: usize,
    /// `input` holds bytes that the parser has not seen.
    pub unparsed: bool,
    pub state: State,
    /// The kernel may have bytes for us.
    pub readable: bool,
    /// The client has ended its side: read until the end shows.
    pub read_closed: bool,
    pub requests: u32,
    /// When the connection came, or when its last answer was sent.
    pub idle_since_ms: u64,
    /// When the first byte of the present request was seen.
    pub begun_ms: Option<u64>,
    /// When its head was complete.
    pub body_since_ms: Option<u64>,
    pub deadline_ms: u64,
    pub output: Output,
    pub exchange: Option<Exchange>,
}

impl Connection {
    pub fn new(stream: Stream, peer: Option<IpAddr>, codec: Codec, now_ms: u64) -> Connection {
        Connection {
            token: Token(0),
            stream,
            peer,
            awaits_proxy_header: false,
            is_admin: false,
            codec,
            input: Vec::new(),
            input_at: 0,
            unparsed: false,
            state: State::Reading,
            // Clients often send with the last packet of the handshake.
            readable: true,
            read_closed: false,
            requests: 0,
            idle_since_ms: now_ms,
            begun_ms: None,
            body_since_ms: None,
            deadline_ms: NEVER,
            output: Output::default(),
            exchange: None,
        }
    }

    /// Whether it waits for a request of which nothing has come.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Reading) && !self.is_within_request()
    }

    pub fn is_within_request(&self) -> bool {
        self.codec.is_within_request(self.input.len() - self.input_at)
    }

    pub fn wants_more(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::wants_more)
    }

    /// Feeds what was received and not consumed.
    pub fn feed_kept(&mut self) -> Result<Step, Refusal> {
        self.unparsed = false;
        let (consumed, step) = feed(&mut self.codec, &self.input[self.input_at..])?;
        self.consume(consumed);
        Ok(step)
    }

    /// Marks bytes of `input` as consumed; an empty buffer is given back.
    pub fn consume(&mut self, bytes: usize) {
        self.input_at += bytes;
        if self.input_at >= self.input.len() {
            self.input = Vec::new();
            self.input_at = 0;
        }
    }

    /// Adds received bytes.
    pub fn keep(&mut self, bytes: &[u8]) {
        if self.input_at > 0 {
            self.input.drain(..self.input_at);
            self.input_at = 0;
        }
        self.input.extend_from_slice(bytes);
    }
}

/// Shows received bytes to a codec.
pub(super) fn feed(codec: &mut Codec, bytes: &[u8]) -> Result<(usize, Step), Refusal> {
    // Only tests make this place fail, and not with an error.
    let _ = crate::sys::failpoint::pass("wire");
    codec.feed(bytes)
}

/// All connections; a place that is used again gets a new token, so that a late
/// outcome never meets a stranger.
#[derive(Default)]
pub(super) struct Connections {
    places: Vec<Place>,
    free: Vec<usize>,
    count: usize,
}

#[derive(Default)]
struct Place {
    generation: usize,
    connection: Option<Box<Connection>>,
}

/// Bits of a token that name the place; the rest, without the highest bit, is
/// the generation (tokens with that bit are the loop's own).
const PLACE_BITS: u32 = usize::BITS / 2;
const GENERATION_MASK: usize = (1 << (usize::BITS - PLACE_BITS - 1)) - 1;

impl Connections {
    pub fn count(&self) -> usize {
        self.count
    }

    /// A free place's token, for a connection about to be inserted.
    pub fn reserve(&mut self) -> Token {
        if self.free.is_empty() {
            self.free.push(self.places.len());
            self.places.push(Place::default());
        }
        let place = self.free[self.free.len() - 1];
        Token(place | (self.places[place].generation << PLACE_BITS))
    }

    /// Puts a connection at the place that was just reserved.
    pub fn insert(&mut self, mut connection: Box<Connection>) {
        connection.token = self.reserve();
        if let Some(place) = self.free.pop() {
            self.places[place].connection = Some(connection);
            self.count += 1;
        }
    }

    /// Takes a connection out while it is worked on; [`Connections::put_back`]
    /// or [`Connections::release`] must follow.
    pub fn take(&mut self, token: Token) -> Option<Box<Connection>> {
        let place = self.places.get_mut(token.0 & ((1 << PLACE_BITS) - 1))?;
        if place.generation != token.0 >> PLACE_BITS {
            return None;
        }
        place.connection.take()
    }

    pub fn put_back(&mut self, connection: Box<Connection>) {
        let place = connection.token.0 & ((1 << PLACE_BITS) - 1);
        self.places[place].connection = Some(connection);
    }

    /// The connection that was taken is closed: its place is free.
    pub fn release(&mut self, token: Token) {
        let number = token.0 & ((1 << PLACE_BITS) - 1);
        let place = &mut self.places[number];
        place.generation = (place.generation + 1) & GENERATION_MASK;
        self.free.push(number);
        self.count -= 1;
    }

    /// Tokens of all connections.
    pub fn tokens(&self) -> Vec<Token> {
        self.places.iter().flat_map(|place| &place.connection).map(|connection| connection.token).collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Box<Connection>> {
        self.places.iter_mut().filter_map(|place| place.connection.as_mut())
    }
}
