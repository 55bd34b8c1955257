//! The request parser: a state over bytes fed in any chunking.
//!
//! Header fields are split by `httparse`; everything that decides where one
//! message ends and the next begins is checked here, and stricter than RFC
//! 9112 asks: whatever two servers might read differently is 400. No I/O, no
//! clock: what to answer comes out as data.

use super::chunked::{ChunkError, Decoder};
use super::codec::{Message, Refusal, Step, bad};
use super::limit::Limits;
use super::{Headers, Method, Request, url};

#[derive(Debug)]
enum State {
    Head,
    /// Content-Length: this many bytes are left.
    Length(usize),
    Chunked(Box<Decoder>),
}

/// What the head says about the message's frame.
struct Frame {
    chunked: bool,
    length: Option<u64>,
    expects_continue: bool,
    keep_alive: bool,
}

/// Reads one request after the other from the bytes of a connection.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    scheme: &'static str,
    state: State,
    /// Bytes of the unfinished head that have been looked at.
    scanned: usize,
    /// Where the line that is being looked at begins.
    line_start: usize,
    /// Where the request line begins and ends (without CRLF).
    request_line: Option<(usize, usize)>,
    /// Lines before the request line.
    blank_lines: usize,
    fields: usize,
    /// The head's message while its body is read.
    message: Option<Box<Message>>,
    announce_continue: bool,
}

/// RFC 9110 `tchar`.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Parser {
    pub fn new(limits: Limits, scheme: &'static str) -> Parser {
        Parser {
            limits,
            scheme,
            state: State::Head,
            scanned: 0,
            line_start: 0,
            request_line: None,
            blank_lines: 0,
            fields: 0,
            message: None,
            announce_continue: false,
        }
    }

    /// Whether a request has begun and is not complete: `pending` are the
    /// bytes not yet consumed. An early CRLF alone is no beginning.
    pub fn is_within_request(&self, pending: usize) -> bool {
        self.is_within_body() || pending > self.blank_lines * 2
    }

    /// Whether the head is complete and the body is not.
    pub fn is_within_body(&self) -> bool {
        self.message.is_some()
    }

    /// The request line received so far, for the log of a refusal; `input` as
    /// in the last [`Parser::feed`].
    pub fn request_line<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        let (start, end) = self.request_line.unwrap_or((self.line_start, self.scanned));
        input.get(start..end.min(input.len())).unwrap_or(&[])
    }

    /// Looks at all bytes that were received and not consumed; returns how
    /// many of them are consumed now. The next call must begin with the rest.
    ///
    /// # Errors
    /// A refusal; the parser must not be fed again.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Step), Refusal> {
        let mut consumed = 0;
        if matches!(self.state, State::Head) {
            let Some(head_bytes) = self.scan_head(input)? else { return Ok((0, Step::More)) };
            self.begin_body(&input[..head_bytes])?;
            consumed = head_bytes;
        }
        let (body_bytes, complete) = self.take_body(&input[consumed..])?;
        consumed += body_bytes;
        if complete {
            let message = self.message.take().ok_or(bad("no request"))?;
            *self = Parser::new(self.limits, self.scheme);
            return Ok((consumed, Step::Complete(message)));
        }
        // Whoever already sends the body does not wait.
        let waits = std::mem::take(&mut self.announce_continue) && consumed == input.len() && body_bytes == 0;
        Ok((consumed, if waits { Step::Continue } else { Step::More }))
    }

    /// Checks bytes in the order of their arrival, so that the outcome does
    /// not depend on how they were cut. Returns the head's length once its
    /// blank line is there.
    fn scan_head(&mut self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        while self.scanned < input.len() {
            let byte = input[self.scanned];
            self.scanned += 1;
            if (b' '..0x7f).contains(&byte) {
                if self.request_line.is_none() {
                    self.check_request_line_byte(input)?;
                } else {
                    self.check_field_size()?;
                }
                continue;
            }
            match byte {
                b'\n' if self.scanned >= 2 && input[self.scanned - 2] == b'\r' => {
                    if self.end_line(input)? {
                        return Ok(Some(self.scanned));
                    }
                }
                b'\n' => return Err(bad("bare line feed")),
                b'\r' => match input.get(self.scanned) {
                    Some(b'\n') => {}
                    // Judged when its neighbour is here.
                    None => {
                        self.scanned -= 1;
                        return Ok(None);
                    }
                    Some(_) => return Err(bad("bare carriage return")),
                },
                b'\t' if self.request_line.is_some() => self.check_field_size()?,
                _ => return Err(bad("control or non-ASCII byte in the head")),
            }
        }
        Ok(None)
    }

    /// A byte of the request line: refuses what cannot become one at once,
    /// so that a TLS or binary client is not kept waiting.
    fn check_request_line_byte(&mut self, input: &[u8]) -> Result<(), Refusal> {
        let length = self.scanned - self.line_start;
        if length > self.limits.request_line_bytes {
            return Err(Refusal { status: 414, reason: "request line over the limit" });
        }
        if length == 1 && !is_token_byte(input[self.line_start]) {
            return Err(bad("no method"));
        }
        Ok(())
    }

    fn check_field_size(&self) -> Result<(), Refusal> {
        let (_, line_end) = self.request_line.unwrap_or((0, 0));
        let block = self.scanned.saturating_sub(line_end + 2);
        let field = self.scanned - self.line_start;
        if field > self.limits.header_field_bytes || block > self.limits.header_bytes {
            return Err(Refusal { status: 431, reason: "header fields over the limit" });
        }
        Ok(())
    }

    /// The line just got its CRLF. True when it was the blank one that ends
    /// the head.
    fn end_line(&mut self, input: &[u8]) -> Result<bool, Refusal> {
        let line = self.line_start..self.scanned - 2;
        self.line_start = self.scanned;
        if self.request_line.is_some() {
            if line.is_empty() {
                return Ok(true);
            }
            self.fields += 1;
            if self.fields > self.limits.header_count {
                return Err(Refusal { status: 431, reason: "too many header fields" });
            }
            return Ok(false);
        }
        if line.is_empty() {
            // RFC 9112 §2.2: some clients end a body with one CRLF too many.
            self.blank_lines += 1;
            if self.blank_lines > 1 {
                return Err(bad("blank lines before the request"));
            }
            return Ok(false);
        }
        // Read now only to refuse early; read again with the head.
        RequestLine::read(&input[line.clone()])?;
        self.request_line = Some((line.start, line.end));
        Ok(false)
    }

    fn begin_body(&mut self, head: &[u8]) -> Result<(), Refusal> {
        let (start, end) = self.request_line.ok_or(bad("no request line"))?;
        let line = RequestLine::read(&head[start..end])?;
        let (headers, frame) = read_fields(&head[end + 2..], self.fields, line.minor)?;
        let request = Request {
            method: line.method,
            path: line.path.to_owned(),
            query: line.query.to_owned(),
            scheme: self.scheme,
            script_name: String::new(),
            headers: with_host(headers, line.authority, line.minor)?,
            body: Vec::new(),
            peer: None,
            remote_user: None,
            user: None,
        };
        self.message = Some(Box::new(Message { request, keep_alive: frame.keep_alive, minor: line.minor }));
        self.state = if frame.chunked {
            State::Chunked(Box::default())
        } else {
            let length = frame.length.unwrap_or(0);
            if length > self.limits.body_bytes as u64 {
                return Err(Refusal { status: 413, reason: "body over the limit" });
            }
            State::Length(usize::try_from(length).unwrap_or(usize::MAX))
        };
        self.announce_continue = frame.expects_continue && !matches!(self.state, State::Length(0));
        Ok(())
    }

    /// Bytes taken, and whether the body is complete.
    fn take_body(&mut self, input: &[u8]) -> Result<(usize, bool), Refusal> {
        let message = self.message.as_mut().ok_or(bad("no request"))?;
        match &mut self.state {
            State::Head => Err(bad("no request")),
            State::Length(left) => {
                let count = input.len().min(*left);
                message.request.body.extend_from_slice(&input[..count]);
                *left -= count;
                Ok((count, *left == 0))
            }
            State::Chunked(decoder) => {
                let taken = decoder.feed(input, &mut message.request.body, self.limits.body_bytes);
                taken.map_err(|error| match error {
                    ChunkError::Malformed => bad("malformed chunk"),
                    ChunkError::TooLong => bad("chunk line or trailer over the limit"),
                    ChunkError::ForbiddenTrailer => bad("a trailer that must not be one"),
                    ChunkError::BodyTooLarge => Refusal { status: 413, reason: "body over the limit" },
                })
            }
        }
    }
}

/// A request line, split.
struct RequestLine<'a> {
    method: Method,
    path: &'a str,
    query: &'a str,
    /// The host of an absolute-form target.
    authority: Option<&'a str>,
    minor: u8,
}

impl<'a> RequestLine<'a> {
    /// `line` holds printable ASCII only.
    fn read(line: &'a [u8]) -> Result<RequestLine<'a>, Refusal> {
        let line = std::str::from_utf8(line).map_err(|_| bad("non-ASCII request line"))?;
        let mut parts = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("request line is not method, target, version"));
        };
        if method.is_empty() || !method.bytes().all(is_token_byte) {
            return Err(bad("malformed method"));
        }
        let minor = read_version(version)?;
        let method = Method::named(method);
        let (authority, path, query) = read_target(&method, target)?;
        Ok(RequestLine { method, path, query, authority, minor })
    }
}

/// The minor version; what is newer than 1.1 but still HTTP/1 is spoken as 1.1.
fn read_version(version: &str) -> Result<u8, Refusal> {
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version.as_bytes() else {
        return Err(bad("malformed version"));
    };
    match (major, minor) {
        (b'1', b'0') => Ok(0),
        (b'1', b'1'..=b'9') => Ok(1),
        (b'0'..=b'9', b'0'..=b'9') => Err(Refusal { status: 505, reason: "only HTTP/1 is spoken here" }),
        _ => Err(bad("malformed version")),
    }
}

/// Authority (absolute-form), path and query of a target.
fn read_target<'a>(method: &Method, target: &'a str) -> Result<(Option<&'a str>, &'a str, &'a str), Refusal> {
    if target.contains('#') {
        return Err(bad("fragment in the target"));
    }
    if target.starts_with('/') {
        let (path, query) = url::split_target(target);
        return Ok((None, path, query));
    }
    match method {
        // The server as a whole; the worker answers it without a path.
        Method::Options if target == "*" => return Ok((None, "*", "")),
        Method::Other(name) if name == "CONNECT" && url::is_host(target) => {
            return Ok((Some(target), "/", ""));
        }
        _ => {}
    }
    let scheme_end = target.find("://").ok_or(bad("malformed target"))?;
    let scheme = &target[..scheme_end];
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(bad("target of another scheme"));
    }
    let rest = &target[scheme_end + 3..];
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    if !url::is_host(authority) {
        return Err(bad("malformed host in the target"));
    }
    let (path, query) = url::split_target(rest);
    Ok((Some(authority), if path.is_empty() { "/" } else { path }, query))
}

/// Splits the fields and reads those that frame the message. `block` ends
/// with the blank line.
fn read_fields(block: &[u8], count: usize, minor: u8) -> Result<(Headers, Frame), Refusal> {
    let mut few = [httparse::EMPTY_HEADER; 32];
    let mut many = Vec::new();
    let slots = if count <= few.len() {
        &mut few[..]
    } else {
        many.resize(count, httparse::EMPTY_HEADER);
        &mut many[..]
    };
    let fields = match httparse::parse_headers(block, slots) {
        Ok(httparse::Status::Complete((length, fields))) if length == block.len() => fields,
        _ => return Err(bad("malformed header field")),
    };
    let mut frame = Frame { chunked: false, length: None, expects_continue: false, keep_alive: minor >= 1 };
    let mut headers = Vec::with_capacity(fields.len());
    let mut wants_close = false;
    for field in fields {
        let value = std::str::from_utf8(field.value).map_err(|_| bad("non-ASCII header value"))?;
        if field.name.eq_ignore_ascii_case("content-length") {
            if frame.length.is_some() {
                return Err(bad("more than one Content-Length"));
            }
            frame.length = Some(read_length(block, field.name, value)?);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if frame.chunked || minor == 0 || !value.eq_ignore_ascii_case("chunked") {
                return Err(bad("Transfer-Encoding other than chunked"));
            }
            frame.chunked = true;
        } else if field.name.eq_ignore_ascii_case("expect") && minor >= 1 {
            if !value.eq_ignore_ascii_case("100-continue") {
                return Err(Refusal { status: 417, reason: "unknown expectation" });
            }
            frame.expects_continue = true;
        } else if field.name.eq_ignore_ascii_case("connection") {
            for option in value.split(',').map(str::trim) {
                wants_close |= option.eq_ignore_ascii_case("close");
                frame.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
            }
        }
        headers.push((field.name.to_owned(), value.to_owned()));
    }
    frame.keep_alive &= !wants_close;
    if frame.chunked && frame.length.is_some() {
        return Err(bad("both Content-Length and Transfer-Encoding"));
    }
    Ok((Headers(headers), frame))
}

/// Content-Length: digits only, and no space around them but one after the
/// colon, because proxies disagree on the others.
fn read_length(block: &[u8], name: &str, value: &str) -> Result<u64, Refusal> {
    let malformed = bad("malformed Content-Length");
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    // `name` and `value` are parts of `block`: between them stand the colon
    // and at most one space, and right after the value stands the CRLF.
    let name_end = (name.as_ptr() as usize).wrapping_sub(block.as_ptr() as usize).wrapping_add(name.len());
    let value_start = (value.as_ptr() as usize).wrapping_sub(block.as_ptr() as usize);
    let between = block.get(name_end..value_start).ok_or(malformed)?;
    let follows = block.get(value_start.wrapping_add(value.len())).ok_or(malformed)?;
    if !matches!(between, b":" | b": ") || *follows != b'\r' {
        return Err(malformed);
    }
    value.parse().map_err(|_| malformed)
}

/// Checks the Host field (RFC 9112 §3.2); an absolute-form target replaces it.
fn with_host(mut headers: Headers, authority: Option<&str>, minor: u8) -> Result<Headers, Refusal> {
    let mut hosts = headers.0.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("more than one Host"));
    }
    match (host, authority) {
        (None, _) if minor >= 1 => return Err(bad("no Host")),
        (Some((_, value)), _) if !url::is_host(value) => return Err(bad("malformed Host")),
        (Some((_, value)), Some(authority)) => authority.clone_into(value),
        (None, Some(authority)) => headers.0.push(("Host".to_owned(), authority.to_owned())),
        (_, None) => {}
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
