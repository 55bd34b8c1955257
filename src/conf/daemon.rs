//! The daemon's own file (`etc/rhumb.yaml`), checked and resolved.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::wire::forwarded::Proxies;
use crate::wire::network::Networks;

/// A place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What is spoken on a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    FastCgi,
    Scgi,
    Uwsgi,
    /// HTTP for operators: `admin:`.
    Admin,
}

impl Protocol {
    /// Those that may stand under `listen`.
    pub const ALL: [Protocol; 4] = [Protocol::Http, Protocol::FastCgi, Protocol::Scgi, Protocol::Uwsgi];

    /// Its key in the daemon's file.
    pub fn key(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::FastCgi => "fastcgi",
            Protocol::Scgi => "scgi",
            Protocol::Uwsgi => "uwsgi",
            Protocol::Admin => "admin",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: ListenAddress,
    pub protocol: Protocol,
    /// Mode of a Unix socket.
    pub mode: Option<u32>,
    /// Connections begin with a header of the PROXY protocol, and only these
    /// peers may connect.
    pub proxy_senders: Option<Networks>,
    /// Where a web server has mounted us, for FastCGI and its kin: `/proxy`,
    /// or empty for the root; `None`: found out for each request.
    pub prefix: Option<String>,
}

impl Listen {
    pub fn new(address: ListenAddress, protocol: Protocol) -> Listen {
        Listen { address, protocol, mode: None, proxy_senders: None, prefix: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Combined,
    Json,
    /// For people, on stderr.
    Human,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    Off,
    Stderr,
    File(PathBuf),
}

#[derive(Clone, Debug)]
pub struct LogOptions {
    pub access: LogTarget,
    pub error: LogTarget,
    pub format: LogFormat,
}

/// How hard stored tiles are pressed onto the disk, against power cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Not at all: a tile may be lost, and is then made again.
    #[default]
    None,
    /// A tile is whole or absent.
    Tile,
    /// A tile that was stored stays.
    Strict,
}

/// Every limit of reliability.md §2, and the deadlines of prefork.md.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub request_line_bytes: usize,
    pub header_bytes: usize,
    pub header_count: usize,
    pub header_field_bytes: usize,
    pub body_bytes: usize,
    pub first_byte_ms: u64,
    pub header_ms: u64,
    pub body_ms: u64,
    pub keep_alive_idle_ms: u64,
    pub keep_alive_requests: u32,
    pub write_stall_ms: u64,
    pub lingering_close_ms: u64,
    pub connections_per_worker: usize,
    pub render_threads: usize,
    pub waiting_threads: usize,
    pub render_queue: usize,
    pub render_queue_ms: u64,
    pub cache_memory_bytes: usize,
    /// How long a stored tile that is in memory is answered without a look at
    /// its file; 0: it is looked at for every request.
    pub stored_trust_ms: u64,
    pub drain_idle_ms: u64,
    pub drain_max_ms: u64,
    /// 0: off. Told to stop after the last request, the daemon serves on so
    /// long with `/readyz` at 503, so that balancers take it out first.
    pub stop_delay_ms: u64,
    pub generations_max: usize,
    pub probe_ms: u64,
    pub worker_start_ms: u64,
    pub loop_stuck_ms: u64,
    pub render_stuck_ms: u64,
    pub worker_data_bytes: u64,
    /// 0: off. A worker that has answered so many requests is replaced.
    pub requests_max: u64,
    /// 0: off. A worker of this age is replaced.
    pub worker_age_max_s: u64,
    /// 0: off. A worker that holds more memory of its own is replaced.
    pub worker_memory_max_bytes: u64,
    /// 0: off. A request that killed two workers is answered with 503 so long.
    pub quarantine_ms: u64,
    pub upstream_connect_ms: u64,
    pub upstream_body_bytes: u64,
    pub upstream_redirects: u32,
    pub decoded_image_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes: 8 * 1024,
            header_bytes: 32 * 1024,
            header_count: 100,
            header_field_bytes: 8 * 1024,
            body_bytes: 1024 * 1024,
            first_byte_ms: 10_000,
            header_ms: 20_000,
            body_ms: 30_000,
            keep_alive_idle_ms: 15_000,
            keep_alive_requests: 1_000,
            write_stall_ms: 30_000,
            lingering_close_ms: 5_000,
            connections_per_worker: 1_000,
            render_threads: 2,
            waiting_threads: 32,
            render_queue: 64,
            render_queue_ms: 30_000,
            cache_memory_bytes: 32 * 1024 * 1024,
            stored_trust_ms: 1_000,
            drain_idle_ms: 2_000,
            drain_max_ms: 30_000,
            stop_delay_ms: 0,
            generations_max: 3,
            probe_ms: 10_000,
            worker_start_ms: 30_000,
            loop_stuck_ms: 10_000,
            render_stuck_ms: 120_000,
            worker_data_bytes: 4 * 1024 * 1024 * 1024,
            requests_max: 0,
            worker_age_max_s: 0,
            worker_memory_max_bytes: 0,
            quarantine_ms: 0,
            upstream_connect_ms: 5_000,
            upstream_body_bytes: 32 * 1024 * 1024,
            upstream_redirects: 3,
            decoded_image_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Where the maps come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maps {
    /// The world map inside the program.
    Embedded,
    File(PathBuf),
    /// Each `NAME.yaml` in it is served under `/NAME/`.
    Directory(PathBuf),
}

/// The daemon's file, resolved: paths absolute, defaults filled in.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// The file itself; `None` for `rhumb` and `rhumb develop` without `-c`.
    pub file: Option<PathBuf>,
    pub maps: Maps,
    pub listen: Vec<Listen>,
    /// `None`: one for each core the process may use.
    pub workers: Option<usize>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub pid_file: Option<PathBuf>,
    pub control: Option<PathBuf>,
    pub admin: Option<ListenAddress>,
    pub log: LogOptions,
    pub fsync: Fsync,
    pub limits: Limits,
    /// Whose word about a request counts. `None`: everybody's about the
    /// address under which he knows us, nobody's about who he is.
    pub proxies: Option<Proxies>,
    /// Who may see what; `None`: everybody everything.
    pub auth: Option<auth::Auth>,
    /// What is added to pictures on their way out.
    pub decorate: Vec<decorate::Decoration>,
    /// Reload when a file of the configuration changes.
    pub watch: bool,
    /// List the maps of a directory at `/`.
    pub allow_listing: bool,
}

impl Daemon {
    /// Everything that is listened on: `listen`, then `admin`.
    pub fn places(&self) -> Vec<Listen> {
        let admin = self.admin.clone().map(|address| Listen::new(address, Protocol::Admin));
        self.listen.iter().cloned().chain(admin).collect()
    }
}

pub mod auth;
pub mod decorate;

#[cfg(test)]
pub(crate) use read::DAEMON_FILE;
pub use read::{Reach, find_reach, load, load_spawned};

mod read;

#[cfg(test)]
mod tests;
