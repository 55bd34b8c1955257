//! HTTP out: pooled keep-alive connections, deadlines, size caps, redirects.

use std::path::PathBuf;
use std::time::Duration;

use super::error::SourceError;

/// Names and defaults follow reliability.md §2 ("upstream").
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub timeout_connect: Duration,
    pub timeout_first_byte: Duration,
    pub timeout_total: Duration,
    pub body_bytes_max: u64,
    pub redirects_max: u32,
    pub headers: Vec<(String, String)>,
    pub basic_auth: Option<(String, String)>,
    pub ca_certs: Option<PathBuf>,
    pub verify_certs: bool,
    pub method: Method,
    pub manage_cookies: bool,
    /// Simultaneous requests to one host over all processes; 0: no limit.
    pub concurrent_requests: u32,
    pub lock_dir: PathBuf,
    pub hide_error_details: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Method {
    #[default]
    Auto,
    Get,
    Post,
}

/// A pooled client; opens its first connection after the fork.
pub struct Client {}

/// A body with what is known of it.
#[derive(Debug)]
pub struct Fetched {
    pub status: u16,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

impl Client {
    pub fn new(_options: ClientOptions) -> Client {
        todo!()
    }
    /// Asks for a URL; a status outside 200–299 is an error.
    pub fn fetch(&self, _url: &str, _body: Option<&str>) -> Result<Fetched, SourceError> {
        todo!()
    }
}
