//! From the daemon's file to [`Daemon`]. Unknown keys are errors here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Daemon, Fsync, Limits, Listen, ListenAddress, LogFormat, LogOptions, LogTarget, Maps, Protocol};
use super::{auth, decorate};
use crate::conf::check::Checker;
use crate::conf::files::FileSet;
use crate::conf::finding::{Finding, Findings};
use crate::conf::node::{self, Node, Place, Value};
use crate::conf::schema::Kind::{Any, Bool, Choice, Int, List, Map, OneOf, Text};
use crate::conf::schema::{Kind, Table, key};
use crate::wire::forwarded::{Family, Proxies};
use crate::wire::network::Networks;

/// The whole file.
pub static DAEMON_FILE: Kind = Map(&[&DAEMON]);

static DAEMON: Table = Table {
    path: "",
    keys: &[
        key("maps", Text),
        key("allow_listing", Bool),
        key("watch", Bool),
        key("listen", List(&Map(&[&LISTEN]))),
        key("trusted_proxies", List(&Text)),
        key("auth", Map(&[&auth::AUTH])),
        key("decorate", List(&Map(&[&decorate::DECORATE]))),
        key("forwarded_fields", Choice(&["x-forwarded", "forwarded"])),
        key("workers", OneOf(&[Choice(&["auto"]), Int])),
        key("user", Text),
        key("group", Text),
        key("pid_file", Text),
        key("control", Text),
        key("admin", Text),
        key("log", Map(&[&LOG])),
        // `none` stays text; `off` and `no` would be false to YAML.
        key("fsync", Choice(&["none", "tile", "strict"])),
        key("limits", Map(&[&LIMITS])),
    ],
};

static LISTEN: Table = Table {
    path: "listen",
    keys: &[
        key("http", Text),
        key("fastcgi", Text),
        key("scgi", Text),
        key("uwsgi", Text),
        key("mode", Any),
        key("proxy_protocol", OneOf(&[Bool, List(&Text)])),
        key("prefix", Text),
    ],
};

static LOG: Table = Table {
    path: "log",
    keys: &[
        // `off` is false to YAML.
        key("access", OneOf(&[Text, Bool])),
        key("error", Text),
        key("format", Choice(&["combined", "json", "human"])),
    ],
};

/// Names every limit once: its key, its field and its bounds.
macro_rules! limits {
    ($($name:ident: $least:expr, $most:expr;)*) => {
        static LIMITS: Table = Table { path: "limits", keys: &[$(key(stringify!($name), Int)),*] };

        fn read_limits(node: &Node, findings: &mut Findings) -> Limits {
            let mut limits = Limits::default();
            $(
                if let Some(value) = bounded(node, stringify!($name), $least, $most, findings) {
                    // The bounds fit the field's type, so nothing is cut off.
                    limits.$name = value as _;
                }
            )*
            limits
        }

        #[cfg(test)]
        pub(super) const LIMIT_NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;
const HOUR_MS: i64 = 3_600_000;

limits! {
    request_line_bytes: 256, MIB;
    header_bytes: KIB, 16 * MIB;
    header_count: 8, 10_000;
    header_field_bytes: 256, MIB;
    body_bytes: 0, GIB;
    first_byte_ms: 100, HOUR_MS;
    header_ms: 100, HOUR_MS;
    body_ms: 100, HOUR_MS;
    keep_alive_idle_ms: 0, HOUR_MS;
    keep_alive_requests: 1, 1_000_000_000;
    write_stall_ms: 100, HOUR_MS;
    lingering_close_ms: 0, HOUR_MS;
    connections_per_worker: 1, 1_000_000;
    render_threads: 1, 256;
    waiting_threads: 1, 4_096;
    render_queue: 1, 100_000;
    render_queue_ms: 10, HOUR_MS;
    cache_memory_bytes: 0, 1024 * GIB;
    stored_trust_ms: 0, HOUR_MS;
    drain_idle_ms: 0, HOUR_MS;
    drain_max_ms: 100, 24 * HOUR_MS;
    stop_delay_ms: 0, HOUR_MS;
    generations_max: 2, 16;
    probe_ms: 100, HOUR_MS;
    worker_start_ms: 100, HOUR_MS;
    loop_stuck_ms: 1_000, HOUR_MS;
    render_stuck_ms: 1_000, 24 * HOUR_MS;
    worker_data_bytes: 64 * MIB, 1024 * GIB;
    requests_max: 0, 1_000_000_000_000;
    worker_age_max_s: 0, 366 * 24 * 3_600;
    worker_memory_max_bytes: 0, 1024 * GIB;
    quarantine_ms: 0, 24 * HOUR_MS;
    upstream_connect_ms: 10, HOUR_MS;
    upstream_body_bytes: KIB, 16 * GIB;
    upstream_redirects: 0, 100;
    decoded_image_bytes: MIB, 16 * GIB;
}

const WORKERS_MAX: i64 = 1024;

fn bounded(node: &Node, name: &str, least: i64, most: i64, findings: &mut Findings) -> Option<i64> {
    let value = node.get(name)?;
    let written = value.int()?;
    if (least..=most).contains(&written) {
        return Some(written);
    }
    let text = format!("must be from {least} to {most}, not {written}");
    findings.error(value.place, format!("limits.{name}"), text);
    None
}

/// Reads and checks the daemon's file; `None` when a finding is an error.
/// Relative paths count from the file's own directory.
pub fn load(path: &Path, files: &mut FileSet) -> (Option<Daemon>, Vec<Finding>) {
    load_spawned(path, files, None)
}

/// As [`load`], for a daemon that a web server starts with a socket at this
/// address: it listens there only, for FastCGI, and has neither pid file nor
/// control socket, whatever the file says.
pub fn load_spawned(
    path: &Path,
    files: &mut FileSet,
    address: Option<&ListenAddress>,
) -> (Option<Daemon>, Vec<Finding>) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut findings = Findings::default();
    findings.files.push(path.clone());
    let daemon = read(&path, files, address, &mut findings);
    let daemon = daemon.filter(|_| !findings.has_errors());
    (daemon, findings.into_sorted())
}

/// Where a running daemon can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub control: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
}

/// Where the daemon of this file can be reached; also where the file has
/// faults, as long as it can be read and is YAML.
///
/// # Errors
/// It cannot be read, or is no YAML: with its name and the place.
pub fn find_reach(path: &Path) -> Result<Reach, String> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (root, _) = node::parse(&bytes, 0)
        .map_err(|error| format!("{}:{}:{}: {}", path.display(), error.line, error.column, error.text))?;
    let reader = Reader { dir: path.parent().unwrap_or(Path::new("/")), root: &root };
    Ok(Reach { control: reader.path("control"), pid_file: reader.path("pid_file") })
}

fn read(
    path: &Path,
    files: &mut FileSet,
    spawner: Option<&ListenAddress>,
    findings: &mut Findings,
) -> Option<Daemon> {
    let nowhere = Place::default();
    let bytes = match files.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.error(nowhere, "", format!("cannot read the file: {error}"));
            return None;
        }
    };
    let (root, remarks) = match node::parse(bytes, 0) {
        Ok(parsed) => parsed,
        Err(error) => {
            findings.error(Place { file: 0, line: error.line, column: error.column }, "", error.text);
            return None;
        }
    };
    for (key, first, second) in remarks.duplicates {
        findings.error(second, key, format!("the key is in line {} already", first.line));
    }
    Checker::new(findings, true).check(&root, &DAEMON_FILE);
    let reader = Reader { dir: path.parent().unwrap_or(Path::new("/")), root: &root };
    let listen = reader.listen(spawner, findings);
    reader.check_remote_user(&listen, findings);
    Some(Daemon {
        file: Some(path.to_owned()),
        maps: reader.maps(findings),
        listen,
        workers: reader.workers(findings),
        user: reader.text("user"),
        group: reader.text("group"),
        pid_file: reader.path("pid_file").filter(|_| spawner.is_none()),
        control: reader.path("control").filter(|_| spawner.is_none()),
        admin: reader.admin(findings).filter(|_| spawner.is_none()),
        log: reader.log(),
        fsync: match root.get("fsync").and_then(Node::text) {
            Some("tile") => Fsync::Tile,
            Some("strict") => Fsync::Strict,
            _ => Fsync::None,
        },
        proxies: reader.proxies(findings),
        auth: root.get("auth").map(|node| auth::read(node, reader.dir, files, findings)),
        decorate: match root.get("decorate") {
            Some(node) => decorate::read(node, reader.dir, files, findings),
            None => Vec::new(),
        },
        limits: root.get("limits").map(|node| read_limits(node, findings)).unwrap_or_default(),
        watch: root.get("watch").and_then(Node::bool).unwrap_or(false),
        allow_listing: root.get("allow_listing").and_then(Node::bool).unwrap_or(false),
    })
}

struct Reader<'a> {
    dir: &'a Path,
    root: &'a Node,
}

impl Reader<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.root.get(key).and_then(Node::text).map(str::to_owned)
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|path| self.dir.join(path))
    }

    fn maps(&self, findings: &mut Findings) -> Maps {
        let Some(path) = self.path("maps") else { return Maps::Embedded };
        let place = self.root.get("maps").map(|node| node.place).unwrap_or_default();
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Maps::Directory(path),
            Ok(_) => Maps::File(path),
            Err(error) => {
                findings.error(place, "maps", format!("cannot read {}: {error}", path.display()));
                Maps::File(path)
            }
        }
    }

    fn workers(&self, findings: &mut Findings) -> Option<usize> {
        let node = self.root.get("workers")?;
        let count = node.int()?;
        if !(1..=WORKERS_MAX).contains(&count) {
            findings.error(
                node.place,
                "workers",
                format!("must be `auto` or from 1 to {WORKERS_MAX}, not {count}"),
            );
        }
        usize::try_from(count).ok()
    }

    /// All places, or the one where a web server listens for us.
    fn listen(&self, spawner: Option<&ListenAddress>, findings: &mut Findings) -> Vec<Listen> {
        let Some(address) = spawner else { return self.listed_places(findings) };
        let listed = match self.root.get("listen") {
            Some(_) => self.listed_places(findings),
            None => Vec::new(),
        };
        let prefix = listed.into_iter().find_map(|listen| listen.prefix);
        vec![Listen { prefix, ..Listen::new(address.clone(), Protocol::FastCgi) }]
    }

    fn listed_places(&self, findings: &mut Findings) -> Vec<Listen> {
        let mut places: Vec<Listen> = Vec::new();
        let Some(list) = self.root.get("listen") else {
            findings.error(
                self.root.place,
                "",
                "the required key `listen` is missing; for example `listen: [{http: 127.0.0.1:8080}]`",
            );
            return places;
        };
        if list.items().is_empty() && matches!(list.value, Value::List(_)) {
            findings.error(list.place, "listen", "must name at least one place to listen on");
        }
        for (at, item) in list.items().iter().enumerate() {
            let path = format!("listen[{at}]");
            if !matches!(item.value, Value::Map(_)) {
                continue;
            }
            if let Some(listen) = self.listen_item(item, &path, findings) {
                if places.iter().any(|known| known.address == listen.address) {
                    findings.error(item.place, path, "its address is listened on already");
                    continue;
                }
                places.push(listen);
            }
        }
        places
    }

    /// The socket for operators: one of its own.
    fn admin(&self, findings: &mut Findings) -> Option<ListenAddress> {
        let node = self.root.get("admin")?;
        let address = self.address(node, "admin", findings)?;
        let is_any_port = matches!(&address, ListenAddress::Tcp(address) if address.port() == 0);
        let listened = self.listen(None, &mut Findings::default());
        if !is_any_port && listened.iter().any(|listen| listen.address == address) {
            let text = "is listened on for maps already (`listen`); operators need a socket of their own";
            findings.error(node.place, "admin", text);
        }
        Some(address)
    }

    /// Who may speak the PROXY protocol at a listener, where it is on.
    fn proxy_senders(
        &self,
        item: &Node,
        address: &ListenAddress,
        path: &str,
        findings: &mut Findings,
    ) -> Option<Networks> {
        let node = item.get("proxy_protocol")?;
        let path = format!("{path}.proxy_protocol");
        match node.bool() {
            Some(false) => return None,
            None => return Some(networks(node, &path, findings)),
            Some(true) => {}
        }
        if let Some(trusted) = self.root.get("trusted_proxies") {
            return Some(networks(trusted, "trusted_proxies", &mut Findings::default()));
        }
        let mut senders = Networks::default();
        if matches!(address, ListenAddress::Unix(_)) {
            // Who may connect is told by the socket's mode.
            let _ = senders.add("unix");
        } else {
            let text = "who may send it? List the balancers here (`proxy_protocol: [10.0.0.1]`) or under \
                        `trusted_proxies`";
            findings.error(node.place, path, text);
        }
        Some(senders)
    }

    /// Whose `X-Forwarded-*` and `Forwarded` are believed.
    fn proxies(&self, findings: &mut Findings) -> Option<Proxies> {
        let family = self.root.get("forwarded_fields");
        let headers = self.root.get("auth").and_then(|auth| auth.get("trusted_headers"));
        let Some(list) = self.root.get("trusted_proxies") else {
            if let Some(node) = family {
                let text = "is of use only together with `trusted_proxies`";
                findings.error(node.place, "forwarded_fields", text);
            }
            if let Some(node) = headers {
                let text = "needs `trusted_proxies`: anybody could send these fields otherwise";
                findings.error(node.place, "auth.trusted_headers", text);
            }
            return None;
        };
        let family = match family.and_then(Node::text) {
            Some("forwarded") => Family::Forwarded,
            _ => Family::XForwarded,
        };
        let names = ["user", "groups"].map(|key| headers.and_then(|h| h.get(key)).and_then(Node::text));
        let identity_fields = names.into_iter().flatten().map(str::to_owned).collect();
        let networks = networks(list, "trusted_proxies", findings);
        Some(Proxies { networks, family, identity_fields })
    }

    /// Who speaks CGI to us names users: it must be clear who may.
    fn check_remote_user(&self, listen: &[Listen], findings: &mut Findings) {
        let node = self.root.get("auth").and_then(|auth| auth.get("remote_user"));
        let Some(node) = node.filter(|node| node.bool() == Some(true)) else { return };
        let path = "auth.remote_user";
        let mut cgi = listen.iter().filter(|listen| listen.protocol != Protocol::Http).peekable();
        if cgi.peek().is_none() {
            let text = "is of use only with a listener of fastcgi, scgi or uwsgi; a proxy that speaks HTTP names \
                        users in fields (`trusted_headers`)";
            findings.error(node.place, path, text);
        }
        let is_open = |listen: &Listen| matches!(&listen.address, ListenAddress::Tcp(address) if !address.ip().is_loopback());
        if cgi.any(is_open) && self.root.get("trusted_proxies").is_none() {
            let text = "needs `trusted_proxies`, the addresses of the web servers: anybody who reaches the port could name a \
                        user otherwise";
            findings.error(node.place, path, text);
        }
    }

    /// One place: exactly one protocol with its address.
    fn listen_item(&self, item: &Node, path: &str, findings: &mut Findings) -> Option<Listen> {
        let mut named = Protocol::ALL.into_iter().filter(|protocol| item.entry(protocol.key()).is_some());
        let Some(protocol) = named.next() else {
            let text = "one of the keys `http`, `fastcgi`, `scgi`, `uwsgi` is required";
            findings.error(item.place, path, text);
            return None;
        };
        if let Some(other) = named.next() {
            let text = format!(
                "`{}` and `{}` in one place: each protocol needs an entry of its own",
                protocol.key(),
                other.key()
            );
            findings.error(item.place, path, text);
            return None;
        }
        let node = item.get(protocol.key())?;
        let address = self.address(node, &format!("{path}.{}", protocol.key()), findings)?;
        let mode = socket_mode(item, path, findings);
        if mode.is_some() && !matches!(address, ListenAddress::Unix(_)) {
            findings.error(item.place, format!("{path}.mode"), "is of use only for a Unix socket");
        }
        let prefix = mount_prefix(item, protocol, path, findings);
        let proxy_senders = self.proxy_senders(item, &address, path, findings);
        Some(Listen { address, protocol, mode, proxy_senders, prefix })
    }

    /// `host:port`, `[v6]:port`, or the path of a Unix socket.
    fn address(&self, node: &Node, key: &str, findings: &mut Findings) -> Option<ListenAddress> {
        let text = node.text()?;
        if let Some(address) = parse_address(text) {
            return Some(ListenAddress::Tcp(address));
        }
        if text.contains('/') || !text.contains(':') && !text.is_empty() {
            return Some(ListenAddress::Unix(self.dir.join(text)));
        }
        let text =
            format!("\"{text}\" is neither an address (127.0.0.1:8080, [::1]:8080, *:8080) nor a path");
        findings.error(node.place, key, text);
        None
    }

    fn log(&self) -> LogOptions {
        let mut log =
            LogOptions { access: LogTarget::Off, error: LogTarget::Stderr, format: LogFormat::Combined };
        let Some(node) = self.root.get("log") else { return log };
        let target = |node: &Node| match &node.value {
            Value::Text(text) => Some(match &**text {
                "stderr" => LogTarget::Stderr,
                "off" => LogTarget::Off,
                path => LogTarget::File(self.dir.join(path)),
            }),
            Value::Bool(false) => Some(LogTarget::Off),
            _ => None,
        };
        if let Some(access) = node.get("access").and_then(target) {
            log.access = access;
        }
        if let Some(error) = node.get("error").and_then(target) {
            log.error = error;
        }
        log.format = match node.get("format").and_then(Node::text) {
            Some("json") => LogFormat::Json,
            Some("human") => LogFormat::Human,
            _ => LogFormat::Combined,
        };
        log
    }
}

/// A list of addresses, networks and `unix`.
fn networks(list: &Node, path: &str, findings: &mut Findings) -> Networks {
    let mut networks = Networks::default();
    for (at, item) in list.items().iter().enumerate() {
        if let Some(Err(error)) = item.text().map(|text| networks.add(text)) {
            findings.error(item.place, format!("{path}[{at}]"), error.to_string());
        }
    }
    networks
}

/// `HOST:PORT` where the host is an address, `localhost` or `*`.
pub(super) fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = match host {
        "localhost" => Ipv4Addr::LOCALHOST,
        "*" => Ipv4Addr::UNSPECIFIED,
        _ => return None,
    };
    Some(SocketAddr::from((host, port.parse::<u16>().ok()?)))
}

/// `/proxy`; `/` is the root.
fn mount_prefix(item: &Node, protocol: Protocol, path: &str, findings: &mut Findings) -> Option<String> {
    let node = item.get("prefix")?;
    let text = node.text()?;
    let key = format!("{path}.prefix");
    if protocol == Protocol::Http {
        let text = "is for fastcgi, scgi and uwsgi; a proxy that speaks HTTP sends X-Script-Name";
        findings.error(node.place, key, text);
        return None;
    }
    let prefix = text.trim_end_matches('/');
    let is_plain = prefix.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    if !text.starts_with('/') || !is_plain || text.contains(|c: char| c.is_control() || "?#%\\".contains(c)) {
        findings.error(node.place, key, "must be a path such as /proxy, or / for the root");
        return None;
    }
    Some(prefix.to_owned())
}

/// `0660` (which YAML reads as octal) or `'660'`.
fn socket_mode(item: &Node, path: &str, findings: &mut Findings) -> Option<u32> {
    let node = item.get("mode")?;
    let mode = match &node.value {
        Value::Int(mode) => u32::try_from(*mode).ok(),
        Value::Text(text) => u32::from_str_radix(text, 8).ok(),
        _ => None,
    };
    let mode = mode.filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        findings.error(node.place, format!("{path}.mode"), "must be an octal file mode such as 0660");
    }
    mode
}
