//! Connections out: who makes them, how TLS is checked, which proxy stands
//! between, and whether one was new or used before.
//!
//! All sources of a process that agree on TLS and proxy share one pool, so
//! that many layers of one server share its connections. Nothing is opened
//! before the first request, which is after the fork.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};
use ureq::{Agent, Proxy};

/// Idle connections kept for one host and for all of them, in one process.
const IDLE_PER_HOST_MAX: usize = 16;
const IDLE_MAX: usize = 64;
/// Shorter than what servers commonly grant, so that few die at reuse.
const IDLE_AGE_MAX: Duration = Duration::from_secs(12);
/// Status line and fields of an answer.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// A bundle of certificates larger than this is no bundle.
const CA_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Where systems keep the certificates they trust, the most common first.
const SYSTEM_CA: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What makes connections differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    pub is_tls: bool,
    /// Only these count, instead of the system's.
    pub ca_certs: Option<PathBuf>,
    pub verify_certs: bool,
}

static AGENTS: LazyLock<Mutex<HashMap<PoolKey, Agent>>> = LazyLock::new(Mutex::default);

/// The pool for such connections.
///
/// # Errors
/// A text: the certificates cannot be read.
pub fn agent(key: &PoolKey) -> Result<Agent, String> {
    let mut agents = AGENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(agent) = agents.get(key) {
        return Ok(agent.clone());
    }
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        // Redirects are followed by the client, which knows whom to trust with what.
        .max_redirects(0)
        .max_response_header_size(HEADER_BYTES_MAX)
        .max_idle_connections(IDLE_MAX)
        .max_idle_connections_per_host(IDLE_PER_HOST_MAX)
        .max_idle_age(IDLE_AGE_MAX)
        .user_agent(concat!("rhumb/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("gzip")
        .proxy(proxy_from_environment(key.is_tls, |name| std::env::var(name).ok())?);
    if key.is_tls {
        config = config.tls_config(tls(key)?);
    }
    let agent = Agent::with_parts(config.build(), NotingConnector::default(), DefaultResolver::default());
    agents.insert(key.clone(), agent.clone());
    Ok(agent)
}

pub(super) fn tls(key: &PoolKey) -> Result<TlsConfig, String> {
    let roots = if !key.verify_certs {
        RootCerts::WebPki
    } else if let Some(path) = &key.ca_certs {
        read_certs(path)?
    } else {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let mut known = named.into_iter().chain(SYSTEM_CA.iter().map(PathBuf::from));
        known.find_map(|path| read_certs(&path).ok()).unwrap_or(RootCerts::WebPki)
    };
    Ok(TlsConfig::builder().root_certs(roots).disable_verification(!key.verify_certs).build())
}

fn read_certs(path: &Path) -> Result<RootCerts, String> {
    let failed = |reason: String| format!("certificates {}: {reason}", path.display());
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > CA_BYTES_MAX {
        return Err(failed(format!("{size} bytes, {CA_BYTES_MAX} are allowed")));
    }
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    // A bundle with a few bad entries is common; those are left out.
    let certs: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(cert)) => Some(cert),
            _ => None,
        })
        .collect();
    if certs.is_empty() {
        return Err(failed("no certificate in it".into()));
    }
    Ok(RootCerts::new_with_certs(&certs))
}

/// The proxy for URLs of one scheme, by the names Python's urllib looks at.
/// `no_proxy` names a host and all hosts below it.
fn proxy_from_environment(
    is_tls: bool,
    get: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, String> {
    let lookup = |names: &[&str]| names.iter().find_map(|name| get(name).filter(|value| !value.is_empty()));
    let names: &[&str] = if is_tls { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy", "HTTP_PROXY"] };
    let Some(text) = lookup(names).or_else(|| lookup(&["all_proxy", "ALL_PROXY"])) else {
        return Ok(None);
    };
    let wrong = |error: ureq::Error| format!("proxy of the environment: {error}");
    let plain = Proxy::new(&text).map_err(wrong)?;
    let mut proxy = Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
    if let Some(user) = plain.username() {
        proxy = proxy.username(user).password(plain.password().unwrap_or_default());
    }
    for entry in lookup(&["no_proxy", "NO_PROXY"]).unwrap_or_default().split(',') {
        let host = entry.trim().trim_start_matches('.');
        if host == "*" {
            return Ok(None);
        }
        if !host.is_empty() {
            proxy = proxy.no_proxy(host).no_proxy(&format!(".{host}"));
        }
    }
    proxy.build().map(Some).map_err(wrong)
}

thread_local! {
    static CONNECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a request on this thread; says whether it had to open a connection.
pub fn note_connecting<R>(request: impl FnOnce() -> R) -> (R, bool) {
    CONNECTED.set(false);
    let result = request();
    (result, CONNECTED.get())
}

/// The usual connector, which leaves a note that it was needed.
#[derive(Debug, Default)]
struct NotingConnector(DefaultConnector);

impl Connector for NotingConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        CONNECTED.set(true);
        self.0.connect(details, chained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let environment = HashMap::from([
            ("http_proxy", "http://u:p@proxy:3128"),
            ("HTTPS_PROXY", "other:3129"),
            ("no_proxy", "localhost, .intern.example"),
        ]);
        let get = |name: &str| environment.get(name).map(|value| (*value).to_owned());
        let plain = proxy_from_environment(false, get).unwrap().unwrap();
        assert_eq!((plain.host(), plain.port(), plain.username()), ("proxy", 3128, Some("u")));
        assert_eq!(proxy_from_environment(true, get).unwrap().unwrap().host(), "other");
        for (url, is_direct) in [
            ("http://localhost/", true),
            ("http://wms.intern.example/", true),
            ("http://intern.example:8080/", true),
            ("http://notintern.example/", false),
        ] {
            assert_eq!(plain.is_no_proxy(&url.parse().unwrap()), is_direct, "{url}");
        }
        assert!(proxy_from_environment(false, |_| None).unwrap().is_none());
        let all = |name: &str| (name == "ALL_PROXY" || name == "NO_PROXY").then(|| "*".to_owned());
        assert!(
            proxy_from_environment(false, all).is_err()
                || proxy_from_environment(false, all).unwrap().is_none()
        );
    }

    #[test]
    fn certificates_that_are_none_are_named() {
        let error = read_certs(Path::new("/nowhere/ca.pem")).unwrap_err();
        assert!(error.contains("/nowhere/ca.pem"), "{error}");
    }
}
