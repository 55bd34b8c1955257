//! SCGI: one request on a connection, its variables in a netstring, its body
//! after that. The response is that of CGI and ends with the connection.

use std::sync::Arc;

use super::cgi::{self, Mount};
use super::codec::{Message, Refusal, Step, bad};
use super::limit::Limits;

/// Digits of the netstring's length: no header block that long is taken.
const LENGTH_DIGITS_MAX: usize = 7;

/// Reads the request of one connection.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    mount: Arc<Mount>,
    body: Option<cgi::Body>,
    line: Vec<u8>,
}

impl Parser {
    pub fn new(limits: Limits, mount: Arc<Mount>) -> Parser {
        Parser { limits, mount, body: None, line: Vec::new() }
    }

    pub fn is_within_request(&self, pending: usize) -> bool {
        pending > 0 || self.is_within_body()
    }

    pub fn is_within_body(&self) -> bool {
        self.body.is_some()
    }

    pub fn request_line(&self) -> &[u8] {
        &self.line
    }

    /// See [`super::codec::Codec::feed`].
    ///
    /// # Errors
    /// The request cannot be served.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Step), Refusal> {
        let mut consumed = 0;
        if self.body.is_none() {
            let Some((block, whole)) = self.find_block(input)? else { return Ok((0, Step::More)) };
            self.body = Some(self.read_block(block)?);
            consumed = whole;
        }
        let Some(mut body) = self.body.take() else { return Ok((consumed, Step::More)) };
        consumed += body.take(&input[consumed..]);
        if !body.is_complete() {
            self.body = Some(body);
            return Ok((consumed, Step::More));
        }
        Ok((consumed, Step::Complete(body.message)))
    }

    /// The block of variables and the bytes of the whole netstring, once it
    /// is there.
    fn find_block<'a>(&self, input: &'a [u8]) -> Result<Option<(&'a [u8], usize)>, Refusal> {
        let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > LENGTH_DIGITS_MAX {
            return Err(Refusal { status: 431, reason: "variables over the limit" });
        }
        match input.get(digits) {
            None => return Ok(None),
            Some(b':') if digits > 0 && (digits == 1 || input[0] != b'0') => {}
            Some(_) => return Err(bad("not SCGI: no netstring")),
        }
        let length = input[..digits].iter().fold(0_usize, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        if length > cgi::variables_bytes_max(&self.limits) {
            return Err(Refusal { status: 431, reason: "variables over the limit" });
        }
        let block = digits + 1;
        match input.get(block + length) {
            None => Ok(None),
            Some(b',') => Ok(Some((&input[block..block + length], block + length + 1))),
            Some(_) => Err(bad("netstring without its comma")),
        }
    }

    /// Names and values, each ended by a NUL.
    fn read_block(&mut self, block: &[u8]) -> Result<cgi::Body, Refusal> {
        let block = block.strip_suffix(b"\0").ok_or(bad("malformed variables"))?;
        let mut pairs = Vec::new();
        let mut texts = block.split(|&byte| byte == 0);
        while let Some(name) = texts.next() {
            let value = texts.next().ok_or(bad("a variable without a value"))?;
            if pairs.len() == cgi::variables_max(&self.limits) {
                return Err(Refusal { status: 431, reason: "too many variables" });
            }
            pairs.push((name, value));
        }
        self.line = cgi::request_line(&pairs);
        if !pairs.contains(&(b"SCGI", b"1")) {
            return Err(bad("no variable SCGI with the value 1"));
        }
        let head = cgi::read(&pairs, &self.mount, &self.limits)?;
        // Without a length the end of the body is nowhere.
        head.length.ok_or(bad("no CONTENT_LENGTH"))?;
        Ok(cgi::Body::new(
            Message { request: head.request, keep_alive: false, minor: head.minor },
            head.length,
        ))
    }
}

#[cfg(test)]
mod tests;
