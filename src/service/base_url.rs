//! Under which address the client knows us: Host and what proxies say about
//! it. Everything from the request is checked before it is believed, because
//! these addresses are written into documents that others cache.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::wire::Request;
use crate::wire::forwarded::elements;

/// What may stand unescaped in a path.
const PATH_SAFE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// Longer names of hosts are not believed (DNS: 253, and a port).
const HOST_BYTES_MAX: usize = 270;
/// Longer script names are not believed.
const SCRIPT_NAME_BYTES_MAX: usize = 1024;

/// The address of a request, in the parts that documents need. Borrows from
/// the request: most answers (tiles) never need it spelled out.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseUrl<'r> {
    scheme: &'static str,
    host: Cow<'r, str>,
    /// Where we are mounted, decoded, without a slash at the end: empty or `/gis`.
    script_name: Cow<'r, str>,
    /// The path below it, decoded.
    pub path: Cow<'r, str>,
}

/// The Host field names no host.
#[derive(Debug, PartialEq)]
pub struct BadHost;

impl<'r> BaseUrl<'r> {
    /// Reads what the proxies before us say; fields of peers that are not
    /// believed were taken out before. `X-Forwarded-*` goes before `Forwarded`.
    ///
    /// # Errors
    /// A Host field that cannot be one. Forwarded fields that make no sense
    /// are passed over.
    pub fn of(request: &'r Request) -> Result<BaseUrl<'r>, BadHost> {
        let headers = &request.headers;
        let hop = headers.get("Forwarded").and_then(|list| elements(list).next()).unwrap_or_default();
        let scheme = forwarded_scheme(headers.get("X-Forwarded-Proto"))
            .or_else(|| forwarded_scheme(hop.get("proto").as_deref()))
            .unwrap_or(request.scheme);
        let x_host = headers.get("X-Forwarded-Host").and_then(first).map(Cow::Borrowed);
        let forwarded = [x_host, hop.get("host")].into_iter().flatten().find(|host| is_host(host));
        let host = match (forwarded, headers.get("Host")) {
            (Some(host), _) => host,
            (None, Some(host)) if is_host(host) => Cow::Borrowed(without_default_port(host, scheme)),
            (None, Some(_)) => return Err(BadHost),
            (None, None) => Cow::Borrowed("localhost"),
        };
        let host = with_port(host, scheme, headers.get("X-Forwarded-Port").and_then(first));
        let path = percent_decode_str(&request.path).decode_utf8_lossy();
        let (script_name, path) = match named_mount(request) {
            Some(name) => {
                let rest = below_mount(&path, &name).map(str::to_owned);
                (name, rest.map_or(path, Cow::Owned))
            }
            None => (Cow::Borrowed(request.script_name.trim_end_matches('/')), path),
        };
        Ok(BaseUrl { scheme, host, script_name, path })
    }

    /// Address of the mount point, without a slash at the end.
    pub fn script_url(&self) -> String {
        let script_name = utf8_percent_encode(&self.script_name, PATH_SAFE);
        format!("{}://{}{script_name}", self.scheme, self.host)
    }

    /// Address of the request without its query.
    pub fn request_url(&self) -> String {
        let mut address = self.script_url();
        address.extend(utf8_percent_encode(&self.path, PATH_SAFE));
        address
    }

    /// Another path below the same mount point; `path` is decoded.
    pub fn at(&self, path: impl Into<Cow<'r, str>>) -> BaseUrl<'r> {
        BaseUrl { path: path.into(), ..self.clone() }
    }

    /// The same address as a site mounted at `/name` sees it; `None` when the
    /// path does not lie below.
    pub fn below(&self, name: &str) -> Option<BaseUrl<'r>> {
        let rest = self.path.strip_prefix('/')?.strip_prefix(name)?;
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        Some(BaseUrl {
            scheme: self.scheme,
            host: self.host.clone(),
            script_name: Cow::Owned(format!("{}/{name}", self.script_name)),
            path: Cow::Owned(rest.to_owned()),
        })
    }
}

/// Where proxies say that we are mounted, without a slash at the end.
fn named_mount(request: &Request) -> Option<Cow<'_, str>> {
    let named = request.headers.get("X-Script-Name").filter(|name| is_script_name(name));
    let named = named.map(|name| Cow::Borrowed(name.trim_end_matches('/')));
    named.or_else(|| forwarded_prefix(request.headers.get("X-Forwarded-Prefix")?))
}

/// What follows the mount point in a path; `None` where the proxy took it off.
fn below_mount<'p>(path: &'p str, mount: &str) -> Option<&'p str> {
    path.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The request as one of several sites sees it, and that site's name: the
/// first segment below the mount point becomes a part of the mount point.
pub fn request_below(request: &Request) -> (String, Request) {
    let named = named_mount(request);
    let path = named.as_deref().and_then(|mount| below_mount(&request.path, mount)).unwrap_or(&request.path);
    let path = path.trim_start_matches('/');
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let mut below = request.clone();
    below.path = format!("/{rest}");
    below.script_name = format!("{}/{name}", named.as_deref().unwrap_or(&request.script_name));
    // What proxies say of the mount point is in its name now.
    below.headers.0.retain(|(field, _)| {
        !field.eq_ignore_ascii_case("X-Script-Name") && !field.eq_ignore_ascii_case("X-Forwarded-Prefix")
    });
    (name.to_owned(), below)
}

/// The first entry of a list: what the proxy nearest to the client said.
fn first(list: &str) -> Option<&str> {
    list.split(',').next().map(str::trim)
}

/// The prefixes that a chain of proxies took off, outermost first.
fn forwarded_prefix(list: &str) -> Option<Cow<'_, str>> {
    let mut names = list.split(',').map(|name| name.trim().trim_end_matches('/'));
    let whole = match (names.next()?, list.contains(',')) {
        (only, false) => Cow::Borrowed(only),
        (outermost, true) => Cow::Owned(names.fold(outermost.to_owned(), |whole, name| whole + name)),
    };
    is_script_name(&whole).then_some(whole)
}

/// The host with the port of `X-Forwarded-Port`, where it has none itself and
/// the port is not the scheme's own.
fn with_port<'r>(host: Cow<'r, str>, scheme: &str, port: Option<&str>) -> Cow<'r, str> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, tail)| !tail.ends_with(']'));
    match port {
        Some(port) if !has_port && is_port(port) && !is_default_port(port, scheme) => {
            Cow::Owned(format!("{host}:{port}"))
        }
        _ => host,
    }
}

fn is_default_port(port: &str, scheme: &str) -> bool {
    port == if scheme == "https" { "443" } else { "80" }
}

fn forwarded_scheme(value: Option<&str>) -> Option<&'static str> {
    let first = first(value?)?;
    ["https", "http"].into_iter().find(|scheme| first.eq_ignore_ascii_case(scheme))
}

/// A name, IPv4 address or `[IPv6]`, with or without a port.
fn is_host(host: &str) -> bool {
    if host.is_empty() || host.len() > HOST_BYTES_MAX {
        return false;
    }
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let is_address = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
            if address.is_empty() || !is_address {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => ("v6", Some(port)),
                None if rest.is_empty() => ("v6", None),
                None => return false,
            }
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_name = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    is_name && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
}

fn without_default_port<'a>(host: &'a str, scheme: &str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(port).filter(|name| !name.ends_with(':')).unwrap_or(host)
}

fn is_script_name(name: &str) -> bool {
    name.starts_with('/')
        && !name.starts_with("//")
        && name.len() <= SCRIPT_NAME_BYTES_MAX
        && !name.bytes().any(|b| b.is_ascii_control() || b == b'\\' || b == b'?' || b == b'#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Headers, Method};

    fn request(path: &str, fields: &[(&str, &str)]) -> Request {
        Request {
            method: Method::Get,
            path: path.to_owned(),
            query: String::new(),
            scheme: "http",
            script_name: String::new(),
            headers: Headers(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()),
            body: Vec::new(),
            peer: None,
            remote_user: None,
            user: None,
        }
    }

    #[test]
    fn addresses_follow_what_proxies_say() {
        for (fields, url) in [
            (vec![("Host", "example.org")], "http://example.org/service"),
            (vec![("Host", "example.org:80")], "http://example.org/service"),
            (vec![("Host", "example.org:8080")], "http://example.org:8080/service"),
            (vec![("Host", "[::1]:80")], "http://[::1]/service"),
            (vec![], "http://localhost/service"),
            (vec![("Host", "a:443"), ("X-Forwarded-Proto", "https, http")], "https://a/service"),
            (vec![("Host", "a"), ("X-Forwarded-Host", "b.example:81, c")], "http://b.example:81/service"),
            (vec![("Host", "a"), ("X-Forwarded-Host", "b/evil")], "http://a/service"),
            (vec![("Host", "a"), ("X-Forwarded-Proto", "javascript")], "http://a/service"),
            (vec![("Host", "a"), ("X-Script-Name", "/gis/ä")], "http://a/gis/%C3%A4/service"),
            (vec![("Host", "a"), ("X-Script-Name", "//evil.example")], "http://a/service"),
            (vec![("Host", "a"), ("X-Script-Name", "evil")], "http://a/service"),
            (vec![("Host", "a"), ("X-Forwarded-Port", "8443")], "http://a:8443/service"),
            (vec![("Host", "a"), ("X-Forwarded-Port", "80")], "http://a/service"),
            (vec![("Host", "a:81"), ("X-Forwarded-Port", "8443")], "http://a:81/service"),
            (vec![("Host", "[::1]"), ("X-Forwarded-Port", "8443, 9")], "http://[::1]:8443/service"),
            (
                vec![("Host", "a"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "443")],
                "https://a/service",
            ),
            (vec![("Host", "a"), ("X-Forwarded-Port", "0")], "http://a/service"),
            (vec![("Host", "a"), ("X-Forwarded-Port", "80/x")], "http://a/service"),
            (vec![("Host", "a"), ("X-Forwarded-Prefix", "/gis/")], "http://a/gis/service"),
            (vec![("Host", "a"), ("X-Forwarded-Prefix", "/a, /b")], "http://a/a/b/service"),
            (vec![("Host", "a"), ("X-Forwarded-Prefix", "/a, b?")], "http://a/service"),
            (vec![("Host", "a"), ("X-Forwarded-Prefix", "//evil.example")], "http://a/service"),
            (
                vec![("Host", "a"), ("X-Forwarded-Prefix", "/no"), ("X-Script-Name", "/yes")],
                "http://a/yes/service",
            ),
            (vec![("Host", "a"), ("Forwarded", "host=b;proto=https")], "https://b/service"),
            (vec![("Host", "a"), ("Forwarded", "host=\"b:81\", host=c")], "http://b:81/service"),
            (vec![("Host", "a"), ("Forwarded", "host=\"b/evil\"")], "http://a/service"),
            (vec![("Host", "a"), ("Forwarded", "host=b"), ("X-Forwarded-Host", "c")], "http://c/service"),
        ] {
            assert_eq!(BaseUrl::of(&request("/service", &fields)).unwrap().request_url(), url, "{fields:?}");
        }
    }

    #[test]
    fn a_script_name_in_the_path_is_taken_off() {
        let request_below = request("/gis/tms/x%22", &[("Host", "a"), ("X-Script-Name", "/gis/")]);
        let url = BaseUrl::of(&request_below).unwrap();
        assert_eq!(url.path, "/tms/x\"");
        let request_below = request("/gis/tms/x%22", &[("Host", "a"), ("X-Script-Name", "/gis")]);
        let url = BaseUrl::of(&request_below).unwrap();
        assert_eq!(url.path, "/tms/x\"");
        assert_eq!(url.request_url(), "http://a/gis/tms/x%22");
        assert_eq!(url.script_url(), "http://a/gis");
    }

    #[test]
    fn one_of_several_sites_is_mounted_below_what_proxies_say() {
        for (path, fields, base, rest) in [
            ("/city/tms/%22", vec![], "http://a/city", "/tms/\""),
            ("/city/demo/", vec![("X-Script-Name", "/gis")], "http://a/gis/city", "/demo/"),
            ("/gis/city/demo/", vec![("X-Script-Name", "/gis")], "http://a/gis/city", "/demo/"),
            ("/city/demo/", vec![("X-Forwarded-Prefix", "/x, /y")], "http://a/x/y/city", "/demo/"),
            // Bears its service's name, and is taken off once.
            ("/tms/tms/1.0.0", vec![], "http://a/tms", "/tms/1.0.0"),
        ] {
            let fields = [vec![("Host", "a")], fields].concat();
            let (_, below) = request_below(&request(path, &fields));
            let url = BaseUrl::of(&below).unwrap();
            assert_eq!((url.script_url().as_str(), &*url.path), (base, rest), "{path} {fields:?}");
        }
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        for host in [
            "", "a b", "a/b", "user@a", "a:99999", "a:", "a:0", "a:80:80", "[::1", "[]", "a\"b", "ä",
            "[::1]x",
        ] {
            assert_eq!(BaseUrl::of(&request("/", &[("Host", host)])), Err(BadHost), "{host:?}");
        }
    }

    #[test]
    fn a_site_below_a_prefix_sees_its_own_path() {
        let request_below = request("/one/service", &[("Host", "a")]);
        let url = BaseUrl::of(&request_below).unwrap();
        let below = url.below("one").unwrap();
        assert_eq!((&*below.path, below.script_url().as_str()), ("/service", "http://a/one"));
        assert_eq!(below.request_url(), url.request_url());
        assert!(url.below("on").is_none());
    }
}
