//! uwsgi, the binary protocol of the server of that name: one request on a
//! connection, its variables in one block, its body after that. The response
//! has a status line like HTTP and ends with the connection.

use std::sync::Arc;

use super::cgi::{self, Mount};
use super::codec::{Message, Refusal, Step, bad};
use super::limit::Limits;

/// Modifier, length (little-endian), modifier.
const HEADER_BYTES: usize = 4;
/// First modifiers of a request: for a WSGI application, and for one whose
/// path still holds its mount point. Others name other languages or commands.
const MODIFIERS: [u8; 2] = [0, 30];

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
            let Some(block) = self.find_block(input)? else { return Ok((0, Step::More)) };
            self.body = Some(self.read_block(block)?);
            consumed = HEADER_BYTES + block.len();
        }
        let Some(mut body) = self.body.take() else { return Ok((consumed, Step::More)) };
        consumed += body.take(&input[consumed..]);
        if !body.is_complete() {
            self.body = Some(body);
            return Ok((consumed, Step::More));
        }
        Ok((consumed, Step::Complete(body.message)))
    }

    fn find_block<'a>(&self, input: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
        if input.first().is_some_and(|modifier| !MODIFIERS.contains(modifier)) {
            return Err(bad("not uwsgi, or a modifier other than 0 and 30"));
        }
        let &[_, low, high, _, ref rest @ ..] = input else { return Ok(None) };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if length > cgi::variables_bytes_max(&self.limits) {
            return Err(Refusal { status: 431, reason: "variables over the limit" });
        }
        Ok(rest.get(..length))
    }

    fn read_block(&mut self, block: &[u8]) -> Result<cgi::Body, Refusal> {
        let mut pairs = Vec::new();
        let mut rest = block;
        while !rest.is_empty() {
            let (name, after) = read_text(rest).ok_or(bad("malformed variables"))?;
            let (value, after) = read_text(after).ok_or(bad("malformed variables"))?;
            if pairs.len() == cgi::variables_max(&self.limits) {
                return Err(Refusal { status: 431, reason: "too many variables" });
            }
            pairs.push((name, value));
            rest = after;
        }
        self.line = cgi::request_line(&pairs);
        let head = cgi::read(&pairs, &self.mount, &self.limits)?;
        Ok(cgi::Body::new(
            Message { request: head.request, keep_alive: false, minor: head.minor },
            head.length,
        ))
    }
}

/// A text behind its length of two bytes, and what follows.
fn read_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[low, high, ref rest @ ..] = bytes else { return None };
    rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])))
}

#[cfg(test)]
mod tests;
