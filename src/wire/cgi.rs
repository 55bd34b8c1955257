//! CGI variables (RFC 3875), as FastCGI, SCGI and uwsgi carry them, to a
//! request.
//!
//! Web servers tell the same request in different ways: some split the path
//! where we are mounted (`SCRIPT_NAME`, `PATH_INFO`), some put all of it into
//! one of the two, some send only `REQUEST_URI`. [`Mount`] says how our own
//! part is found. The decoded path that the server has looked at itself goes
//! before `REQUEST_URI`, so that nobody gets past its access rules with `..`
//! or escapes.
//!
//! A variable that is sent twice counts with its last value, because that is
//! how an operator overrides what an included file of parameters says.

use std::borrow::Cow;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use super::codec::{Message, Refusal, bad};
use super::http::is_token_byte;
use super::limit::{CGI_OTHER_VARIABLES_MAX, Limits};
use super::{Headers, Method, Request, url};

/// Names and values as they came.
pub type Pairs<'a> = [(&'a [u8], &'a [u8])];

/// How our own part of a path is found.
///
/// In this order: the prefix that the operator has set; the server's own
/// split, where `PATH_INFO` begins with a name of ours; the first
/// name of ours in the whole path: what stands before it is the prefix; the
/// server's split.
#[derive(Clone, Debug, Default)]
pub struct Mount {
    /// As set for the listener: `/proxy`, or empty for the root.
    pub prefix: Option<String>,
    /// First segments of paths that are ours.
    pub services: &'static [&'static str],
    /// Names of maps that stand before those; empty for a single map at the
    /// root.
    pub maps: Vec<String>,
}

/// What the variables of a request say.
#[derive(Debug)]
pub struct Head {
    pub request: Request,
    pub minor: u8,
    /// `CONTENT_LENGTH`; `None` where it is missing or empty.
    pub length: Option<u64>,
}

/// A request whose body of a known length is read: SCGI and uwsgi.
#[derive(Debug)]
pub(super) struct Body {
    pub message: Box<Message>,
    left: usize,
}

impl Body {
    /// `length` has been checked against the limit; without one there is no
    /// body.
    pub fn new(message: Message, length: Option<u64>) -> Body {
        let left = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
        Body { message: Box::new(message), left }
    }

    /// Adds what belongs to the body; returns how many bytes that are.
    pub fn take(&mut self, input: &[u8]) -> usize {
        let count = input.len().min(self.left);
        self.message.request.body.extend_from_slice(&input[..count]);
        self.left -= count;
        count
    }

    pub fn is_complete(&self) -> bool {
        self.left == 0
    }
}

/// Where we are mounted and what is asked for below it, both decoded.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    prefix: String,
    path: String,
}

/// A query comes as it was sent; only what no request line may hold is escaped.
const ESCAPED_IN_QUERY: &AsciiSet = &CONTROLS.add(b' ');

/// The longest of the log's request lines.
const LINE_BYTES_MAX: usize = 1_024;

/// All variables of one request together. The target comes in up to four of
/// them.
pub fn variables_bytes_max(limits: &Limits) -> usize {
    limits.header_bytes.saturating_add(limits.request_line_bytes.saturating_mul(4))
}

/// How many variables one request may have.
pub fn variables_max(limits: &Limits) -> usize {
    limits.header_count.saturating_add(CGI_OTHER_VARIABLES_MAX)
}

/// Method and target, for the log of a refusal.
pub fn request_line(pairs: &Pairs) -> Vec<u8> {
    let method = last(pairs, "REQUEST_METHOD").unwrap_or(b"-");
    let target = ["REQUEST_URI", "PATH_INFO", "SCRIPT_NAME"].iter().find_map(|name| last(pairs, name));
    let mut line = [method, b" ", target.unwrap_or(b"-")].concat();
    line.truncate(LINE_BYTES_MAX);
    line
}

fn last<'a>(pairs: &Pairs<'a>, name: &str) -> Option<&'a [u8]> {
    pairs.iter().rev().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| *value)
}

/// Whether text from a web server holds what no line of a message may hold.
fn has_controls(value: &[u8]) -> bool {
    value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
}

/// A variable's last value; an empty one counts as none.
fn text<'a>(pairs: &Pairs<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    match last(pairs, name) {
        None | Some(b"") => Ok(None),
        Some(value) if has_controls(value) => Err(bad("control byte in a CGI variable")),
        Some(value) => Ok(Some(String::from_utf8_lossy(value))),
    }
}

/// Reads all variables of a request.
///
/// # Errors
/// What makes them no request that we serve.
pub fn read(pairs: &Pairs, mount: &Mount, limits: &Limits) -> Result<Head, Refusal> {
    if pairs.len() > variables_max(limits) {
        return Err(Refusal { status: 431, reason: "too many variables" });
    }
    let method = text(pairs, "REQUEST_METHOD")?.ok_or(bad("no REQUEST_METHOD"))?;
    if !method.bytes().all(is_token_byte) {
        return Err(bad("malformed REQUEST_METHOD"));
    }
    let uri = text(pairs, "REQUEST_URI")?;
    let (path, query) = match &uri {
        Some(uri) if method == "OPTIONS" && uri == "*" => (Place::server(), Cow::Borrowed("")),
        _ => (find_place(pairs, uri.as_deref(), mount)?, read_query(pairs, uri.as_deref())?),
    };
    let encoded = match path.path.as_str() {
        "*" => "*".to_owned(),
        path => url::escape_path(path),
    };
    if encoded.len() + query.len() > limits.request_line_bytes {
        return Err(Refusal { status: 414, reason: "target over the limit" });
    }
    let scheme = if is_https(pairs)? { "https" } else { "http" };
    let remote = text(pairs, "REMOTE_ADDR")?;
    Ok(Head {
        request: Request {
            method: Method::named(&method),
            path: encoded,
            query: query.into_owned(),
            scheme,
            script_name: path.prefix,
            headers: read_headers(pairs, scheme, limits)?,
            body: Vec::new(),
            peer: remote.and_then(|address| read_address(&address)),
            remote_user: text(pairs, "REMOTE_USER")?.map(Cow::into_owned),
            user: None,
        },
        minor: u8::from(text(pairs, "SERVER_PROTOCOL")?.as_deref() != Some("HTTP/1.0")),
        length: read_length(pairs, limits)?,
    })
}

impl Place {
    /// The server as a whole, as `OPTIONS *` asks.
    fn server() -> Place {
        Place { prefix: String::new(), path: "*".to_owned() }
    }
}

fn read_query(pairs: &Pairs, uri: Option<&str>) -> Result<Cow<'static, str>, Refusal> {
    let query = match text(pairs, "QUERY_STRING")? {
        Some(query) => query.into_owned(),
        // Set and empty: there is none, whatever was rewritten.
        None if last(pairs, "QUERY_STRING").is_some() => return Ok(Cow::Borrowed("")),
        None => uri.map(|uri| url::split_target(uri).1.to_owned()).unwrap_or_default(),
    };
    let query = query.split('#').next().unwrap_or_default();
    Ok(Cow::Owned(utf8_percent_encode(query, ESCAPED_IN_QUERY).to_string()))
}

fn is_https(pairs: &Pairs) -> Result<bool, Refusal> {
    if let Some(https) = text(pairs, "HTTPS")? {
        return Ok(!matches!(https.to_ascii_lowercase().as_str(), "off" | "0" | "no" | "false"));
    }
    Ok(text(pairs, "REQUEST_SCHEME")?.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")))
}

fn read_address(text: &str) -> Option<IpAddr> {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    inner.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// `CONTENT_LENGTH`: digits only; two of them must say the same, because
/// where the message ends is not a matter of overriding.
fn read_length(pairs: &Pairs, limits: &Limits) -> Result<Option<u64>, Refusal> {
    let mut values = pairs.iter().filter(|(name, value)| *name == b"CONTENT_LENGTH" && !value.is_empty());
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.any(|(_, other)| other != value) {
        return Err(bad("more than one CONTENT_LENGTH"));
    }
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let length: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(bad("malformed CONTENT_LENGTH"))?;
    if length > limits.body_bytes as u64 {
        return Err(Refusal { status: 413, reason: "body over the limit" });
    }
    Ok(Some(length))
}

/// Header fields out of `HTTP_*`, `CONTENT_TYPE` and `CONTENT_LENGTH`; a host
/// out of `SERVER_NAME` where the client has sent none.
fn read_headers(pairs: &Pairs, scheme: &str, limits: &Limits) -> Result<Headers, Refusal> {
    let too_large = Refusal { status: 431, reason: "header fields over the limit" };
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut bytes = 0;
    for (at, (name, value)) in pairs.iter().enumerate() {
        let Some(field) = field_name(name) else { continue };
        bytes += field.len() + value.len() + 4;
        if field.len() + value.len() + 2 > limits.header_field_bytes || bytes > limits.header_bytes {
            return Err(too_large);
        }
        // Counts with its last value.
        if pairs[at + 1..].iter().any(|(later, _)| later == name) {
            continue;
        }
        if has_controls(value) {
            return Err(bad("control byte in a header field"));
        }
        if fields.len() == limits.header_count {
            return Err(too_large);
        }
        fields.push((field, String::from_utf8_lossy(value).trim().to_owned()));
    }
    // An empty Host is what a server sends for a client that has sent none.
    fields.retain(|(name, value)| name != "host" || !value.is_empty());
    match fields.iter().find(|(name, _)| name == "host") {
        Some((_, host)) if !url::is_host(host) => return Err(bad("malformed Host")),
        Some(_) => {}
        None => {
            if let Some(host) = server_host(pairs, scheme)? {
                fields.push(("host".to_owned(), host));
            }
        }
    }
    Ok(Headers(fields))
}

/// `HTTP_USER_AGENT` → `user-agent`. `None` for what is no header field, and
/// for those that belong to the client's connection with the web server.
fn field_name(variable: &[u8]) -> Option<String> {
    let name = match variable {
        b"CONTENT_TYPE" | b"CONTENT_LENGTH" => variable,
        _ => variable.strip_prefix(b"HTTP_")?,
    };
    if name.is_empty() || !name.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let field: String =
        name.iter().map(|&b| if b == b'_' { '-' } else { char::from(b.to_ascii_lowercase()) }).collect();
    let is_hop = matches!(
        field.as_str(),
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "expect" | "proxy"
    );
    // Those two have variables of their own.
    let is_twin = name.len() != variable.len() && matches!(field.as_str(), "content-type" | "content-length");
    (!is_hop && !is_twin).then_some(field)
}

/// The host that the web server takes itself for.
fn server_host(pairs: &Pairs, scheme: &str) -> Result<Option<String>, Refusal> {
    for variable in ["SERVER_NAME", "SERVER_ADDR"] {
        let Some(name) = text(pairs, variable)? else { continue };
        let is_bare_v6 = name.contains(':') && !name.starts_with('[');
        let mut host = if is_bare_v6 { format!("[{name}]") } else { name.into_owned() };
        // nginx has `_` where a server is nameless.
        if host == "_" || !url::is_host(&host) {
            continue;
        }
        let usual = if scheme == "https" { "443" } else { "80" };
        if let Some(port) = text(pairs, "SERVER_PORT")?.filter(|port| port != usual) {
            host = format!("{host}:{port}");
        }
        if url::is_host(&host) {
            return Ok(Some(host));
        }
    }
    Ok(None)
}

/// Finds prefix and path as [`Mount`] says.
fn find_place(pairs: &Pairs, uri: Option<&str>, mount: &Mount) -> Result<Place, Refusal> {
    let uri_path = uri.map(uri_path).transpose()?;
    let script = text(pairs, "SCRIPT_NAME")?.map(with_slash).unwrap_or_default();
    let mut info = text(pairs, "PATH_INFO")?.map(with_slash).unwrap_or_default();
    let document = text(pairs, "DOCUMENT_URI")?.map(with_slash);
    if script.is_empty() && info.is_empty() {
        info = document.clone().or(uri_path.clone()).ok_or(bad("no path"))?;
    }
    let (named, script) = (script.as_str(), script.trim_end_matches('/'));
    // uWSGI's way to mount: the path holds the name of the mount, too.
    if let Some(rest) = below(&info, script).filter(|_| !script.is_empty()) {
        let repeated = format!("{script}{info}");
        if uri_path.as_ref().is_none_or(|path| !path.starts_with(&repeated)) {
            info = rest.to_owned();
        }
    }
    // Apache's mod_proxy_fcgi tells the whole path as SCRIPT_NAME, and a slash at its end counts.
    let whole = if info.is_empty() { named.to_owned() } else { format!("{script}{info}") };
    if let Some(prefix) = &mount.prefix {
        let path = below(&whole, prefix).unwrap_or(&whole);
        return Ok(place(prefix, path));
    }
    let was_split = if info.is_empty() {
        let is_proxied = text(pairs, "SCRIPT_FILENAME")?.is_some_and(|name| name.starts_with("proxy:"));
        !is_proxied && document.is_none_or(|document| document.trim_end_matches('/') != script)
    } else {
        !script.is_empty()
    };
    let found = if was_split && mount.find_own(&info) == Some(0) {
        place(script, &info)
    } else if let Some(at) = mount.find_own(&whole) {
        place(&whole[..at], &whole[at..])
    } else if was_split {
        place(script, &info)
    } else if let Some(prefix) = whole.strip_suffix('/') {
        place(prefix, "/")
    } else if text(pairs, "SCRIPT_NAME")?.is_some_and(|name| name.ends_with('/')) && info.is_empty() {
        place(script, "/")
    } else {
        place("", &whole)
    };
    Ok(with_public_prefix(found, uri_path.as_deref()))
}

fn place(prefix: &str, path: &str) -> Place {
    let path = if path.is_empty() { "/" } else { path };
    Place { prefix: prefix.trim_end_matches('/').to_owned(), path: path.to_owned() }
}

fn with_slash(path: Cow<'_, str>) -> String {
    if path.starts_with('/') { path.into_owned() } else { format!("/{path}") }
}

/// The rest of a path below a prefix; `None` when it does not lie there.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The decoded path of `REQUEST_URI`, which may be a whole URL.
fn uri_path(uri: &str) -> Result<String, Refusal> {
    let target = match uri.find("://") {
        Some(at) if !uri.starts_with('/') => {
            let rest = &uri[at + 3..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => uri,
    };
    let (path, _) = url::split_target(target);
    let decoded: Cow<'_, [u8]> = percent_decode(path.as_bytes()).into();
    if has_controls(&decoded) {
        return Err(bad("control byte in REQUEST_URI"));
    }
    Ok(with_slash(String::from_utf8_lossy(&decoded)))
}

/// A server that rewrites paths has told ours without the prefix that clients
/// see; `REQUEST_URI` still has it.
fn with_public_prefix(mut place: Place, uri_path: Option<&str>) -> Place {
    if !place.prefix.is_empty() {
        return place;
    }
    let Some(before) = uri_path.and_then(|path| path.strip_suffix(place.path.as_str())) else { return place };
    let before = before.trim_end_matches('/');
    let is_plain = before.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    if is_plain {
        before.clone_into(&mut place.prefix);
    }
    place
}

impl Mount {
    /// Where the first segment of our own stands in a path: the index of its
    /// slash.
    fn find_own(&self, path: &str) -> Option<usize> {
        let mut at = 0;
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let next = segments.peek().copied();
            if self.is_own(segment, next) {
                return Some(at);
            }
            at += segment.len() + 1;
        }
        None
    }

    fn is_own(&self, segment: &str, next: Option<&str>) -> bool {
        if self.maps.is_empty() {
            return self.is_service(segment);
        }
        let is_map = self.maps.iter().any(|map| map == segment);
        is_map && next.is_none_or(|next| next.is_empty() || self.is_service(next))
    }

    /// As the router reads a segment: up to what no name holds.
    fn is_service(&self, segment: &str) -> bool {
        let end = segment.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(segment.len());
        self.services.contains(&&segment[..end])
    }
}

#[cfg(test)]
mod tests;
