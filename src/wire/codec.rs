//! One connection's protocol, in both directions: which requests come out of
//! its bytes, and which bytes a response becomes. What the loop knows of
//! HTTP, FastCGI, SCGI and uwsgi is this enum.

use std::sync::Arc;

use super::cgi::Mount;
use super::frames::Frames;
use super::limit::Limits;
use super::reply::{self, Framing};
use super::{Request, Response, fastcgi, http, scgi, uwsgi};

/// Why a request is not served, and how the refusal is answered. The
/// connection cannot be used afterwards: where the next request would begin
/// is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {reason}")]
pub struct Refusal {
    pub status: u16,
    pub reason: &'static str,
}

pub(super) const fn bad(reason: &'static str) -> Refusal {
    Refusal { status: 400, reason }
}

/// A complete request with what the connection needs to know of it.
#[derive(Clone, Debug)]
pub struct Message {
    pub request: Request,
    /// Whether the client wants to go on with this connection.
    pub keep_alive: bool,
    /// Minor version of HTTP/1 that the client spoke: 0, or 1 for everything
    /// newer.
    pub minor: u8,
}

/// How far a parser came.
#[derive(Debug)]
pub enum Step {
    /// More bytes are needed.
    More,
    /// HTTP: the head is complete and the client waits for `100 Continue`
    /// before it sends the body. Comes at most once for each request.
    Continue,
    Complete(Box<Message>),
    /// FastCGI: bytes for the peer that end no request of ours: a management
    /// record, or a request that cannot be taken. `ends`: the connection is
    /// over then.
    Reply {
        bytes: Vec<u8>,
        ends: bool,
    },
    /// FastCGI: the peer takes back the request that is being answered.
    Aborted,
    /// The peer does not speak this protocol; nothing can be said to it.
    Hangup(&'static str),
}

/// The parser and writer of a connection.
#[derive(Debug)]
pub enum Codec {
    Http(http::Parser),
    FastCgi(Box<fastcgi::Codec>),
    Scgi(Box<scgi::Parser>),
    Uwsgi(Box<uwsgi::Parser>),
}

impl Codec {
    /// `scheme`: `http`, or `https` where a balancer has taken off TLS.
    pub fn http(limits: Limits, scheme: &'static str) -> Codec {
        Codec::Http(http::Parser::new(limits, scheme))
    }

    /// `connections_max`: what a peer that asks is told.
    pub fn fastcgi(limits: Limits, mount: Arc<Mount>, connections_max: usize) -> Codec {
        Codec::FastCgi(Box::new(fastcgi::Codec::new(limits, mount, connections_max)))
    }

    pub fn scgi(limits: Limits, mount: Arc<Mount>) -> Codec {
        Codec::Scgi(Box::new(scgi::Parser::new(limits, mount)))
    }

    pub fn uwsgi(limits: Limits, mount: Arc<Mount>) -> Codec {
        Codec::Uwsgi(Box::new(uwsgi::Parser::new(limits, mount)))
    }

    /// Looks at all bytes that were received and not consumed; returns how
    /// many of them are consumed now. The next call must begin with the rest,
    /// and after any step but [`Step::More`] may come at once.
    ///
    /// # Errors
    /// A refusal; the codec must not be fed again.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Step), Refusal> {
        match self {
            Codec::Http(parser) => parser.feed(input),
            Codec::FastCgi(codec) => codec.feed(input),
            Codec::Scgi(parser) => parser.feed(input),
            Codec::Uwsgi(parser) => parser.feed(input),
        }
    }

    /// Whether a request has begun and is not complete: `pending` are the
    /// bytes not yet consumed.
    pub fn is_within_request(&self, pending: usize) -> bool {
        match self {
            Codec::Http(parser) => parser.is_within_request(pending),
            Codec::FastCgi(codec) => codec.is_within_request(pending),
            Codec::Scgi(parser) => parser.is_within_request(pending),
            Codec::Uwsgi(parser) => parser.is_within_request(pending),
        }
    }

    /// Whether the head is complete and the body is not.
    pub fn is_within_body(&self) -> bool {
        match self {
            Codec::Http(parser) => parser.is_within_body(),
            Codec::FastCgi(codec) => codec.is_within_body(),
            Codec::Scgi(parser) => parser.is_within_body(),
            Codec::Uwsgi(parser) => parser.is_within_body(),
        }
    }

    /// The request line received so far, for the log of a refusal; `input` as
    /// in the last [`Codec::feed`].
    pub fn request_line<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Codec::Http(parser) => parser.request_line(input),
            Codec::FastCgi(codec) => codec.request_line(),
            Codec::Scgi(parser) => parser.request_line(),
            Codec::Uwsgi(parser) => parser.request_line(),
        }
    }

    /// Whether the peer may have something to say while its request is
    /// answered: all bytes that come then are fed too.
    pub fn listens_while_answering(&self) -> bool {
        matches!(self, Codec::FastCgi(_))
    }

    /// Whether a client may send the next request before the answer.
    pub fn pipelines(&self) -> bool {
        matches!(self, Codec::Http(_))
    }

    /// Whether some of a request has been consumed that is not complete.
    pub fn has_begun(&self) -> bool {
        self.is_within_request(0)
    }

    /// Whether there is a request that a refusal would answer.
    pub fn can_refuse(&self) -> bool {
        match self {
            Codec::Http(_) | Codec::Scgi(_) | Codec::Uwsgi(_) => true,
            Codec::FastCgi(codec) => codec.has_request(),
        }
    }

    /// How the protocol is called in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Codec::Http(_) => "HTTP",
            Codec::FastCgi(_) => "FastCGI",
            Codec::Scgi(_) => "SCGI",
            Codec::Uwsgi(_) => "uwsgi",
        }
    }

    /// Writes what stands around the body of a response: `out` is empty. The
    /// body is part of the message when [`reply::sends_body`] says so.
    pub fn write(&mut self, out: &mut Frames, response: &Response, framing: &Framing) {
        match self {
            Codec::Http(_) => reply::write_head(&mut out.bytes, response, framing),
            Codec::FastCgi(codec) => codec.write(out, response, framing),
            Codec::Scgi(_) => reply::write_cgi_head(&mut out.bytes, response),
            Codec::Uwsgi(_) => reply::write_plain_head(&mut out.bytes, response),
        }
    }

    /// FastCGI: the end of a request that gets no other answer, in `out`.
    pub fn write_abort(&mut self, out: &mut Frames) {
        if let Codec::FastCgi(codec) = self {
            codec.write_abort(out);
        }
    }
}
