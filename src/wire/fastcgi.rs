//! FastCGI 1.0, the responder's side: records fed in any chunking to
//! requests, and responses to records.
//!
//! One request at a time on a connection: a second one is told
//! `CANT_MPX_CONN`. A peer that breaks the framing, or an application record
//! without a request, ends the connection; records for requests that are not
//! there are passed over, since they may cross the end of one on the wire.

use std::sync::Arc;

use super::Response;
use super::cgi::{self, Mount};
use super::codec::{Message, Refusal, Step, bad};
use super::frames::{Cut, Frames};
use super::limit::{FASTCGI_VALUES_BYTES_MAX, Limits};
use super::reply::{self, Framing};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;

/// Record types (specification §8).
const BEGIN_REQUEST: u8 = 1;
const ABORT_REQUEST: u8 = 2;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const DATA: u8 = 8;
const GET_VALUES: u8 = 9;
const GET_VALUES_RESULT: u8 = 10;
const UNKNOWN_TYPE: u8 = 11;

const RESPONDER: u16 = 1;
const KEEP_CONN: u8 = 1;
const BEGIN_BYTES: usize = 8;

/// `protocolStatus` of END_REQUEST.
const REQUEST_COMPLETE: u8 = 0;
const CANT_MPX_CONN: u8 = 1;
const UNKNOWN_ROLE: u8 = 3;

/// What one record of ours carries at most: the largest multiple of eight
/// that its length can say, so that nothing needs padding to be aligned.
pub const RECORD_BYTES_MAX: usize = 65_528;

/// A record whose header has been read.
#[derive(Debug)]
struct Record {
    kind: u8,
    id: u16,
    /// Length of the content.
    length: usize,
    /// Content that is still to come.
    left: usize,
    /// Padding that is still to come.
    padding: usize,
    /// The content's end has been acted on.
    done: bool,
}

#[derive(Debug)]
enum Stage {
    /// No request.
    Idle,
    Params(Vec<u8>),
    Stdin {
        message: Box<Message>,
        length: Option<u64>,
    },
    /// The request was handed out and its response is not written.
    Answering,
}

/// Reads the requests of one connection and frames their responses.
#[derive(Debug)]
pub struct Codec {
    limits: Limits,
    mount: Arc<Mount>,
    connections_max: usize,
    record: Option<Record>,
    /// Content of the present record where it is needed as a whole.
    content: Vec<u8>,
    stage: Stage,
    /// The request of `stage`.
    id: u16,
    keeps_connection: bool,
    line: Vec<u8>,
}

impl Codec {
    pub fn new(limits: Limits, mount: Arc<Mount>, connections_max: usize) -> Codec {
        Codec {
            limits,
            mount,
            connections_max,
            record: None,
            content: Vec::new(),
            stage: Stage::Idle,
            id: 0,
            keeps_connection: false,
            line: Vec::new(),
        }
    }

    pub fn is_within_request(&self, pending: usize) -> bool {
        matches!(self.stage, Stage::Params(_) | Stage::Stdin { .. })
            || pending > 0
            || self.record.as_ref().is_some_and(|record| !record.done)
    }

    pub fn is_within_body(&self) -> bool {
        matches!(self.stage, Stage::Stdin { .. })
    }

    pub fn has_request(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    pub fn request_line(&self) -> &[u8] {
        &self.line
    }

    /// See [`super::codec::Codec::feed`].
    ///
    /// # Errors
    /// The request cannot be served; its refusal is written as its answer.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Step), Refusal> {
        let mut at = 0;
        loop {
            let (taken, step) = self.take(&input[at..])?;
            at += taken;
            match step {
                Some(step) => return Ok((at, step)),
                None if taken == 0 => return Ok((at, Step::More)),
                None => {}
            }
        }
    }

    /// The next header, piece of content or padding.
    fn take(&mut self, input: &[u8]) -> Result<(usize, Option<Step>), Refusal> {
        let Some(record) = &mut self.record else { return Ok(self.take_header(input)) };
        if record.left > 0 {
            let count = input.len().min(record.left);
            record.left -= count;
            self.take_content(&input[..count])?;
            return Ok((count, None));
        }
        if !record.done {
            record.done = true;
            let (kind, id, length) = (record.kind, record.id, record.length);
            if record.padding == 0 {
                self.record = None;
            }
            let step = self.end_record(kind, id, length)?;
            self.content.clear();
            // Zero bytes taken is no standstill here: the record has ended.
            return match step {
                Some(step) => Ok((0, Some(step))),
                None => self.take(input),
            };
        }
        let count = input.len().min(record.padding);
        record.padding -= count;
        if record.padding == 0 {
            self.record = None;
        }
        Ok((count, None))
    }

    fn take_header(&mut self, input: &[u8]) -> (usize, Option<Step>) {
        match input.first() {
            Some(&VERSION) if input.len() >= HEADER_BYTES => {}
            Some(&VERSION) | None => return (0, None),
            Some(_) => return (0, Some(Step::Hangup("another version of FastCGI, or another protocol"))),
        }
        let kind = input[1];
        let id = u16::from_be_bytes([input[2], input[3]]);
        let length = usize::from(u16::from_be_bytes([input[4], input[5]]));
        if id == 0 && (BEGIN_REQUEST..=DATA).contains(&kind) {
            return (0, Some(Step::Hangup("an application record without a request")));
        }
        let padding = usize::from(input[6]);
        self.record = Some(Record { kind, id, length, left: length, padding, done: false });
        (HEADER_BYTES, None)
    }

    fn take_content(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(Record { kind, id, .. }) = self.record else { return Ok(()) };
        let is_ours = id == self.id;
        match (kind, &mut self.stage) {
            (BEGIN_REQUEST, _) => {
                let room = BEGIN_BYTES.saturating_sub(self.content.len());
                self.content.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            (GET_VALUES, _) if id == 0 => {
                let room = FASTCGI_VALUES_BYTES_MAX.saturating_sub(self.content.len());
                self.content.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            (PARAMS, Stage::Params(params)) if is_ours => {
                if params.len() + bytes.len() > cgi::variables_bytes_max(&self.limits) {
                    return Err(Refusal { status: 431, reason: "variables over the limit" });
                }
                params.extend_from_slice(bytes);
            }
            (STDIN, Stage::Params(_)) if is_ours => {
                return Err(bad("STDIN before the end of PARAMS"));
            }
            (STDIN, Stage::Stdin { message, length }) if is_ours => {
                let body = &mut message.request.body;
                let size = body.len() + bytes.len();
                if length.is_some_and(|length| size as u64 > length) {
                    return Err(bad("STDIN longer than CONTENT_LENGTH"));
                }
                if size > self.limits.body_bytes {
                    return Err(Refusal { status: 413, reason: "body over the limit" });
                }
                body.extend_from_slice(bytes);
            }
            _ => {}
        }
        Ok(())
    }

    fn end_record(&mut self, kind: u8, id: u16, length: usize) -> Result<Option<Step>, Refusal> {
        if id == 0 {
            return Ok(Some(Step::Reply { bytes: self.answer_management(kind), ends: false }));
        }
        if kind == BEGIN_REQUEST {
            return Ok(self.begin_request(id, length));
        }
        if id != self.id || matches!(self.stage, Stage::Idle) {
            return Ok(None);
        }
        match (kind, std::mem::replace(&mut self.stage, Stage::Idle)) {
            (ABORT_REQUEST, Stage::Answering) => {
                self.stage = Stage::Answering;
                Ok(Some(Step::Aborted))
            }
            (ABORT_REQUEST, _) => {
                let bytes = end_request(id, REQUEST_COMPLETE).to_vec();
                Ok(Some(Step::Reply { bytes, ends: !self.keeps_connection }))
            }
            (PARAMS, Stage::Params(params)) if length == 0 => {
                // For a refusal there is a request to answer.
                self.stage = Stage::Answering;
                self.stage = self.read_params(&params)?;
                Ok(None)
            }
            (STDIN, Stage::Params(params)) => {
                self.stage = Stage::Params(params);
                Err(bad("STDIN before the end of PARAMS"))
            }
            (STDIN, Stage::Stdin { message, length: announced }) if length == 0 => {
                self.stage = Stage::Answering;
                if announced.is_some_and(|announced| announced != message.request.body.len() as u64) {
                    return Err(bad("STDIN shorter than CONTENT_LENGTH"));
                }
                Ok(Some(Step::Complete(message)))
            }
            (_, stage) => {
                self.stage = stage;
                Ok(None)
            }
        }
    }

    fn begin_request(&mut self, id: u16, length: usize) -> Option<Step> {
        let &[role_high, role_low, flags, ..] = self.content.as_slice() else {
            return Some(Step::Hangup("malformed BEGIN_REQUEST"));
        };
        if length != BEGIN_BYTES {
            return Some(Step::Hangup("malformed BEGIN_REQUEST"));
        }
        if self.has_request() {
            if id == self.id {
                return Some(Step::Hangup("the same request begun twice"));
            }
            return Some(Step::Reply { bytes: end_request(id, CANT_MPX_CONN).to_vec(), ends: false });
        }
        let keeps_connection = flags & KEEP_CONN != 0;
        if u16::from_be_bytes([role_high, role_low]) != RESPONDER {
            let bytes = end_request(id, UNKNOWN_ROLE).to_vec();
            return Some(Step::Reply { bytes, ends: !keeps_connection });
        }
        self.id = id;
        self.keeps_connection = keeps_connection;
        self.line.clear();
        self.stage = Stage::Params(Vec::new());
        None
    }

    fn read_params(&mut self, params: &[u8]) -> Result<Stage, Refusal> {
        let mut pairs = Vec::new();
        let mut rest = params;
        while !rest.is_empty() {
            let (pair, after) = read_pair(rest).ok_or(bad("malformed PARAMS"))?;
            if pairs.len() == cgi::variables_max(&self.limits) {
                return Err(Refusal { status: 431, reason: "too many variables" });
            }
            pairs.push(pair);
            rest = after;
        }
        self.line = cgi::request_line(&pairs);
        let head = cgi::read(&pairs, &self.mount, &self.limits)?;
        let keep_alive = self.keeps_connection;
        let message = Box::new(Message { request: head.request, keep_alive, minor: head.minor });
        Ok(Stage::Stdin { message, length: head.length })
    }

    /// The answer to a management record; unknown types are named, unknown
    /// values left out (specification §4).
    fn answer_management(&self, kind: u8) -> Vec<u8> {
        if kind != GET_VALUES {
            let mut record = header(UNKNOWN_TYPE, 0, 8).to_vec();
            record.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
            return record;
        }
        let mut asked = Vec::new();
        let mut rest = self.content.as_slice();
        while let Some(((name, _), after)) = read_pair(rest) {
            if !asked.contains(&name) {
                asked.push(name);
            }
            rest = after;
        }
        let many = self.connections_max.to_string();
        let known =
            [("FCGI_MAX_CONNS", many.as_str()), ("FCGI_MAX_REQS", many.as_str()), ("FCGI_MPXS_CONNS", "0")];
        let mut content = Vec::new();
        for (name, value) in known {
            if asked.contains(&name.as_bytes()) {
                // All of them are shorter than 128.
                content.extend_from_slice(&[name.len() as u8, value.len() as u8]);
                content.extend_from_slice(name.as_bytes());
                content.extend_from_slice(value.as_bytes());
            }
        }
        let mut record = header(GET_VALUES_RESULT, 0, content.len()).to_vec();
        record.extend_from_slice(&content);
        record
    }

    /// The response of the present request: head and body in STDOUT records,
    /// its empty one, END_REQUEST.
    pub fn write(&mut self, out: &mut Frames, response: &Response, framing: &Framing) {
        let Frames { bytes, cuts } = out;
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        reply::write_cgi_head(bytes, response);
        let sends_body = reply::sends_body(response.status, framing.head_only);
        let body_bytes = if sends_body { response.body.as_slice().len() } else { 0 };
        let mut head_bytes = bytes.len() - HEADER_BYTES;
        if head_bytes > RECORD_BYTES_MAX {
            let head = bytes.split_off(HEADER_BYTES);
            bytes.clear();
            let whole = head.len() / RECORD_BYTES_MAX * RECORD_BYTES_MAX;
            for part in head[..whole].chunks(RECORD_BYTES_MAX) {
                bytes.extend_from_slice(&header(STDOUT, self.id, part.len()));
                bytes.extend_from_slice(part);
            }
            bytes.extend_from_slice(&[0; HEADER_BYTES]);
            bytes.extend_from_slice(&head[whole..]);
            head_bytes = head.len() - whole;
        }
        let head_at = bytes.len() - head_bytes - HEADER_BYTES;
        let mut body_at = body_bytes.min(RECORD_BYTES_MAX - head_bytes);
        let first = header(STDOUT, self.id, head_bytes + body_at);
        bytes[head_at..head_at + HEADER_BYTES].copy_from_slice(&first);
        if body_bytes > 0 {
            cuts.push(Cut { frame: bytes.len(), body: body_at });
        }
        while body_at < body_bytes {
            let next = (body_bytes - body_at).min(RECORD_BYTES_MAX);
            bytes.extend_from_slice(&header(STDOUT, self.id, next));
            body_at += next;
            cuts.push(Cut { frame: bytes.len(), body: body_at });
        }
        bytes.extend_from_slice(&header(STDOUT, self.id, 0));
        self.write_abort(out);
    }

    /// END_REQUEST for the present request, which is over with that.
    pub fn write_abort(&mut self, out: &mut Frames) {
        out.bytes.extend_from_slice(&end_request(self.id, REQUEST_COMPLETE));
        self.stage = Stage::Idle;
    }
}

/// A record's header. `length` is at most [`RECORD_BYTES_MAX`].
fn header(kind: u8, id: u16, length: usize) -> [u8; HEADER_BYTES] {
    let [id_high, id_low] = id.to_be_bytes();
    let [high, low] = (length as u16).to_be_bytes();
    [VERSION, kind, id_high, id_low, high, low, 0, 0]
}

fn end_request(id: u16, status: u8) -> [u8; HEADER_BYTES + 8] {
    let mut record = [0; HEADER_BYTES + 8];
    record[..HEADER_BYTES].copy_from_slice(&header(END_REQUEST, id, 8));
    record[HEADER_BYTES + 4] = status;
    record
}

type Pair<'a> = (&'a [u8], &'a [u8]);

/// The first name-value pair (specification §3.4) and what follows it; `None`
/// when there is no whole one.
fn read_pair(bytes: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (name_bytes, rest) = read_size(bytes)?;
    let (value_bytes, rest) = read_size(rest)?;
    let (name, rest) = rest.split_at_checked(name_bytes)?;
    let (value, rest) = rest.split_at_checked(value_bytes)?;
    Some(((name, value), rest))
}

/// A length of one byte, or of four where the first has its highest bit.
fn read_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes {
        [short @ 0..=0x7f, ref rest @ ..] => Some((usize::from(short), rest)),
        [a, b, c, d, ref rest @ ..] => {
            let size = u32::from_be_bytes([a & 0x7f, b, c, d]);
            Some((usize::try_from(size).ok()?, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
