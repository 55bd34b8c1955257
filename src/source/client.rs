//! HTTP out: pooled keep-alive connections, deadlines, size caps, redirects,
//! credentials, cookies, the limit on simultaneous requests.
//!
//! Brings a body or says why not; what may be in it is `wms`'s and `tile`'s.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::http;
use ureq::{Body, SendBody, Timeout};

use super::address::{Address, Credentials, clean, redact};
use super::auth::Challenge;
use super::body::{BodyError, decode, read_all};
use super::cgi::Program;
use super::cookies::CookieJar;
use super::error::SourceError;
use super::pool::{PoolKey, agent, note_connecting};
use super::semaphore::Semaphore;
use crate::log;
use crate::story;

/// What an unpacked body may grow to, in bodies as they come.
const INFLATED_PER_BODY: u64 = 2;
/// Of an answer that is not wanted, read so that its connection can be used again.
const UNWANTED_BYTES_MAX: u64 = 64 * 1024;
/// Of a content type that is passed on.
const CONTENT_TYPE_BYTES_MAX: usize = 100;
/// The content type of what a form posts.
const FORM: &str = "application/x-www-form-urlencoded";
/// Longest status, reason or field text in a message.
const REASON_BYTES_MAX: usize = 300;

/// Names and defaults follow reliability.md §2 ("upstream").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    pub timeout_connect: Duration,
    pub timeout_first_byte: Duration,
    pub timeout_total: Duration,
    pub body_bytes_max: u64,
    pub redirects_max: u32,
    pub headers: Vec<(String, String)>,
    /// Sent after a 401 challenge. Those in a URL go before them.
    pub basic_auth: Option<(String, String)>,
    pub ca_certs: Option<PathBuf>,
    pub verify_certs: bool,
    pub method: Method,
    pub manage_cookies: bool,
    /// Simultaneous requests to one host over all processes; 0: no limit.
    pub concurrent_requests: u32,
    pub lock_dir: PathBuf,
    pub hide_error_details: bool,
    /// A CGI program that answers in place of a server; of URLs it sees the query.
    pub program: Option<Program>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout_connect: Duration::from_secs(5),
            timeout_first_byte: Duration::from_secs(60),
            timeout_total: Duration::from_secs(90),
            body_bytes_max: 32 * 1024 * 1024,
            redirects_max: 3,
            headers: Vec::new(),
            basic_auth: None,
            ca_certs: None,
            verify_certs: true,
            method: Method::Auto,
            manage_cookies: false,
            concurrent_requests: 0,
            lock_dir: PathBuf::from("."),
            hide_error_details: true,
            program: None,
        }
    }
}

/// `http.method`. `Auto` is GET, but POST where an `sld_body` has to go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Method {
    #[default]
    Auto,
    Get,
    Post,
}

/// A pooled client; opens its first connection after the fork.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    cookies: CookieJar,
    /// What the configured server asked for, once it did.
    challenge: Mutex<Option<Challenge>>,
}

/// A body with what is known of it.
#[derive(Debug)]
pub struct Fetched {
    pub status: u16,
    /// Clean and short; empty when the answer had none.
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// What is asked, where there is more to say than a URL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    pub url: &'a str,
    /// Makes it a POST: the body, and its content type.
    pub body: Option<(&'a str, &'a str)>,
    /// The field `Accept`.
    pub accept: Option<&'a str>,
    /// In place of [`ClientOptions::body_bytes_max`], where that is larger.
    pub body_bytes_max: Option<u64>,
}

/// One question to one server.
struct Hop<'a> {
    address: Address,
    question: Question<'a>,
    body: Option<(&'a str, &'a str)>,
    /// Still the server of the configuration, which may see credentials.
    is_home: bool,
    credentials: Option<&'a Credentials>,
    deadline: Instant,
}

impl Client {
    pub fn new(options: ClientOptions) -> Client {
        Client { options, cookies: CookieJar::default(), challenge: Mutex::new(None) }
    }

    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Asks for a URL, by POST when there is a body (of a form). A status
    /// outside 200–299 is an error, and so are 204, 205 and 206, which bring
    /// no whole image. `file:` URLs are read from the disk.
    pub fn fetch(&self, url: &str, body: Option<&str>) -> Result<Fetched, SourceError> {
        self.put(Question { url, body: body.map(|body| (body, FORM)), ..Question::default() })
    }

    /// [`Client::fetch`] for a question of any kind.
    pub fn put(&self, question: Question<'_>) -> Result<Fetched, SourceError> {
        // Only tests make this place fail, and not with an error.
        let _ = crate::sys::failpoint::pass("source");
        if let Some(program) = &self.options.program {
            return self.run(program, question.url, question.body.map(|(body, _)| body));
        }
        if let Some(path) = question.url.strip_prefix("file://") {
            return super::local::read(path, self.body_bytes_max(&question));
        }
        let (address, in_url) = Address::parse(question.url)?;
        let authority = address.authority.clone();
        let asked = story::ask(&authority);
        let result = self.fetch_from(address, in_url, question);
        asked.end(result.is_ok());
        result
    }

    fn body_bytes_max(&self, question: &Question<'_>) -> u64 {
        let own = self.options.body_bytes_max;
        question.body_bytes_max.map_or(own, |limit| limit.min(own))
    }

    /// One run of a CGI program. It knows no POST: what would be posted joins the query.
    fn run(&self, program: &Program, url: &str, body: Option<&str>) -> Result<Fetched, SourceError> {
        let name = program.binary.to_string_lossy();
        let asked = story::ask(&name);
        let _permit = self.wait_for_place(&name)?;
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let query = match body {
            Some(body) if query.is_empty() => body.to_owned(),
            Some(body) => format!("{query}&{body}"),
            None => query.to_owned(),
        };
        let result = program.run(&query, self.options.body_bytes_max, self.options.timeout_total);
        asked.end(result.is_ok());
        result
    }

    fn fetch_from(
        &self,
        address: Address,
        in_url: Option<Credentials>,
        question: Question<'_>,
    ) -> Result<Fetched, SourceError> {
        let credentials = in_url.or_else(|| self.options.basic_auth.clone());
        let _permit = self.wait_for_permit(&address, credentials.as_ref())?;
        let started = Instant::now();
        let method = if question.body.is_some() { "POST" } else { "GET" };
        let hop = Hop {
            deadline: started + self.options.timeout_total,
            credentials: credentials.as_ref(),
            is_home: true,
            body: question.body,
            question,
            address,
        };
        let result = self.follow(hop);
        if log::enabled(log::Level::Debug) {
            let ms = started.elapsed().as_millis();
            match &result {
                Ok(got) => log::debug!(
                    "upstream {method} {}: {} {}, {} bytes in {ms} ms",
                    redact(question.url),
                    got.status,
                    got.content_type,
                    got.bytes.len()
                ),
                Err(error) => log::debug!("upstream {method} {error} after {ms} ms"),
            }
        }
        result
    }

    fn wait_for_permit(
        &self,
        address: &Address,
        credentials: Option<&Credentials>,
    ) -> Result<Option<super::semaphore::Permit>, SourceError> {
        if self.options.concurrent_requests == 0 {
            return Ok(None);
        }
        // MapProxy hashes what stands between `//` and `/`, credentials and all.
        let host = match credentials {
            Some((user, password)) if password.is_empty() => format!("{user}@{}", address.authority),
            Some((user, password)) => format!("{user}:{password}@{}", address.authority),
            None => address.authority.clone(),
        };
        self.wait_for_place(&host)
    }

    fn wait_for_place(&self, host: &str) -> Result<Option<super::semaphore::Permit>, SourceError> {
        let places = self.options.concurrent_requests;
        if places == 0 {
            return Ok(None);
        }
        let shown = host.rsplit('@').next().unwrap_or_default();
        let failed = |reason| SourceError::Transport { url: shown.to_owned(), reason };
        let timeout = self.options.timeout_first_byte;
        match Semaphore::new(&self.options.lock_dir, host, places).take(timeout) {
            Ok(Some(permit)) => Ok(Some(permit)),
            Ok(None) => {
                story::mark_late();
                Err(failed(format!(
                    "none of {places} concurrent requests ended within {} ms",
                    timeout.as_millis()
                )))
            }
            Err(error) => Err(failed(format!("lock files in {}: {error}", self.options.lock_dir.display()))),
        }
    }

    /// Follows redirects and answers one challenge.
    fn follow(&self, mut hop: Hop<'_>) -> Result<Fetched, SourceError> {
        let mut redirects = 0;
        let mut challenges = 0;
        loop {
            let response = self.ask(&hop)?;
            let status = response.status().as_u16();
            if status == 401 && challenges == 0 && hop.is_home && self.take_challenge(&hop, &response) {
                challenges += 1;
                discard(response);
                continue;
            }
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return self.receive(&hop, response);
            }
            let fail = |reason: String| SourceError::Transport { url: redact(&hop.address.url()), reason };
            let Some(location) = text_field(&response, "location") else {
                return Err(SourceError::Status { url: redact(&hop.address.url()), status });
            };
            if redirects >= self.options.redirects_max {
                return Err(fail(format!("more than {redirects} redirects")));
            }
            if hop.body.is_some() && matches!(status, 307 | 308) {
                return Err(fail(format!("redirect {status} of a POST is not followed")));
            }
            redirects += 1;
            let target = hop.address.join(&location).map_err(|error| fail(format!("redirect to {error}")))?;
            // Credentials never come back once another server has led the way.
            hop.is_home &= target.is_same_server(&hop.address);
            hop.address = target;
            hop.body = None;
            discard(response);
        }
    }

    /// Notes what the server wants; false where that cannot be given.
    fn take_challenge(&self, hop: &Hop<'_>, response: &http::Response<Body>) -> bool {
        if hop.credentials.is_none() {
            return false;
        }
        let fields = response.headers().get_all("www-authenticate");
        let mut offers = fields.iter().filter_map(|field| Challenge::parse(field.to_str().ok()?));
        let Some(mut chosen) = offers.next() else { return false };
        if let Some(better) = offers.find(|offer| matches!(offer, Challenge::Digest(_)))
            && chosen == Challenge::Basic
        {
            chosen = better;
        }
        let mut known = self.challenge.lock().unwrap_or_else(PoisonError::into_inner);
        // Basic went along already, and was not enough.
        let is_new = *known != Some(Challenge::Basic) || chosen != Challenge::Basic;
        *known = Some(chosen);
        is_new
    }

    /// One request; once more for a GET whose kept connection turned out dead.
    fn ask(&self, hop: &Hop<'_>) -> Result<http::Response<Body>, SourceError> {
        let fail = |reason: String| SourceError::Transport { url: redact(&hop.address.url()), reason };
        let key = PoolKey {
            is_tls: hop.address.is_tls,
            ca_certs: self.options.ca_certs.clone().filter(|_| hop.address.is_tls),
            verify_certs: self.options.verify_certs || !hop.address.is_tls,
        };
        let agent = agent(&key).map_err(fail)?;
        let mut must_be_new = false;
        loop {
            let left = hop.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(fail(self.late(Timeout::Global)));
            }
            let (parts, body) = self.request(hop)?.into_parts();
            let body = match body {
                Some(body) => SendBody::from_owned_reader(std::io::Cursor::new(body.as_bytes().to_vec())),
                None => SendBody::none(),
            };
            let mut config = agent
                .configure_request(http::Request::from_parts(parts, body))
                .timeout_global(Some(left))
                .timeout_resolve(Some(self.options.timeout_connect))
                .timeout_connect(Some(self.options.timeout_connect))
                .timeout_recv_response(Some(self.options.timeout_first_byte));
            if must_be_new {
                config = config.max_idle_age(Duration::ZERO);
            }
            let request = config.build();
            let (result, has_connected) = note_connecting(|| agent.run(request));
            let may_ask_again = !has_connected && !must_be_new && hop.body.is_none();
            match result {
                // Sent to whoever was idle, before our question arrived (RFC 9110 §15.5.9).
                Ok(response) if may_ask_again && response.status().as_u16() == 408 => must_be_new = true,
                Ok(response) => {
                    self.keep_cookies(hop, &response);
                    return Ok(response);
                }
                Err(error) if may_ask_again && is_dead(&error) => must_be_new = true,
                Err(error) => return Err(fail(self.describe(&error))),
            }
        }
    }

    fn request<'a>(&self, hop: &Hop<'a>) -> Result<http::Request<Option<&'a str>>, SourceError> {
        let url = hop.address.url();
        let method = if hop.body.is_some() { "POST" } else { "GET" };
        let mut request = http::Request::builder().method(method).uri(&url);
        for (name, value) in &self.options.headers {
            let is_said_otherwise = hop.question.accept.is_some() && name.eq_ignore_ascii_case("accept");
            if (hop.is_home || is_harmless(name)) && !is_said_otherwise {
                request = request.header(name, value);
            }
        }
        if let Some((parent, state)) = story::trace_fields() {
            request = request.header("traceparent", parent);
            if let Some(state) = state {
                request = request.header("tracestate", state);
            }
        }
        if let Some(accept) = hop.question.accept {
            request = request.header("accept", accept);
        }
        if let Some((body, content_type)) = hop.body {
            request =
                request.header("content-type", content_type).header("content-length", body.len().to_string());
        }
        if hop.is_home
            && let Some(credentials) = hop.credentials
        {
            let challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(challenge) = challenge {
                let target = match &hop.address.query {
                    Some(query) => format!("{}?{query}", hop.address.path),
                    None => hop.address.path.clone(),
                };
                request = request.header("authorization", challenge.answer(credentials, method, &target));
            }
        }
        if self.options.manage_cookies
            && let Some(cookies) = self.cookies.get(&hop.address)
        {
            request = request.header("cookie", cookies);
        }
        request.body(hop.body.map(|(body, _)| body)).map_err(|error| SourceError::Transport {
            url: redact(&url),
            reason: format!("no request can be made of it: {error}"),
        })
    }

    fn keep_cookies(&self, hop: &Hop<'_>, response: &http::Response<Body>) {
        if self.options.manage_cookies {
            for field in response.headers().get_all("set-cookie") {
                if let Ok(text) = field.to_str() {
                    self.cookies.set(&hop.address, text);
                }
            }
        }
    }

    fn receive(&self, hop: &Hop<'_>, response: http::Response<Body>) -> Result<Fetched, SourceError> {
        let status = response.status().as_u16();
        let url = || redact(&hop.address.url());
        if !(200..300).contains(&status) || matches!(status, 204..=206) {
            discard(response);
            return Err(SourceError::Status { url: url(), status });
        }
        let content_type = text_field(&response, "content-type").unwrap_or_default();
        let encoding = text_field(&response, "content-encoding").unwrap_or_default();
        let length = response.body().content_length();
        let limit = self.body_bytes_max(&hop.question);
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        let bytes = read_all(reader, length, limit)
            .and_then(|bytes| decode(&encoding, bytes, limit.saturating_mul(INFLATED_PER_BODY)))
            .map_err(|error| match error {
                BodyError::TooLarge { limit_bytes } => SourceError::TooLarge { url: url(), limit_bytes },
                BodyError::Broken(reason) => {
                    SourceError::Transport { url: url(), reason: clean(&reason, REASON_BYTES_MAX) }
                }
            })?;
        Ok(Fetched { status, content_type: clean(&content_type, CONTENT_TYPE_BYTES_MAX), bytes })
    }

    fn describe(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(which) => self.late(*which),
            ureq::Error::HostNotFound => "host not found".to_owned(),
            ureq::Error::Io(error) => clean(&error.to_string(), REASON_BYTES_MAX),
            other => clean(&other.to_string(), REASON_BYTES_MAX),
        }
    }

    fn late(&self, which: Timeout) -> String {
        story::mark_late();
        let options = &self.options;
        match which {
            Timeout::Resolve => {
                format!("host name not found within {} ms", options.timeout_connect.as_millis())
            }
            Timeout::Connect => format!("no connection within {} ms", options.timeout_connect.as_millis()),
            Timeout::RecvResponse => {
                format!("no answer within {} ms", options.timeout_first_byte.as_millis())
            }
            _ => format!("not finished within {} ms", options.timeout_total.as_millis()),
        }
    }
}

/// Reads what is left of a small answer, so that its connection is kept; a
/// large one is given up with its connection.
fn discard(response: http::Response<Body>) {
    let length = response.body().content_length();
    let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
    let _ = read_all(reader, length, UNWANTED_BYTES_MAX);
}

/// Fields that may go along to a server the configuration does not name.
fn is_harmless(name: &str) -> bool {
    ["accept", "accept-language", "referer", "user-agent"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// How a kept connection fails that the other side had closed before we asked,
/// or that still carries bytes of an answer before (the body of a 204, say),
/// which are no head of an answer to us.
fn is_dead(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    match error {
        ureq::Error::Protocol(_) => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
        ),
        _ => false,
    }
}

fn text_field(response: &http::Response<Body>, name: &str) -> Option<String> {
    let field = response.headers().get(name)?;
    Some(String::from_utf8_lossy(field.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
