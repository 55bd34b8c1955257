//! A request as every protocol delivers it, and a response as every protocol sends it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Options,
    Other(String),
}

impl Method {
    /// The method of that name; names are compared with case.
    pub fn named(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            other => Method::Other(other.to_owned()),
        }
    }
}

/// Header fields in the order received; names are compared without case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All fields of that name, in the order received.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// A complete request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Path as sent, percent-encoded, without the query; begins with `/`.
    pub path: String,
    /// Query as sent, without the question mark.
    pub query: String,
    /// `http` or `https`, before any `X-Forwarded-Proto`.
    pub scheme: &'static str,
    /// Where a web server has mounted us, decoded, without a slash at the end
    /// (see [`super::cgi`]); empty for HTTP.
    pub script_name: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub peer: Option<IpAddr>,
    /// Who asks, as the web server before us has found out: `REMOTE_USER` of
    /// CGI variables. No header field becomes this.
    pub remote_user: Option<String>,
    /// Who asks, once whoever guards the site has found out.
    pub user: Option<String>,
}

/// What a response carries.
#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    Empty,
    Bytes(Vec<u8>),
    /// Shared with a memory tier.
    Shared(Arc<[u8]>),
}

impl Body {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Body::Empty => &[],
            Body::Bytes(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }
}

/// A response without the fields that belong to the connection
/// (Content-Length, Connection, Date, Keep-Alive): the protocol adds those.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: Body,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: vec![(Cow::Borrowed("Content-Type"), content_type.to_owned())],
            body: Body::Bytes(body.into()),
        }
    }
    /// Adds a field; the value has been checked to hold no CR, LF or NUL.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }
}
