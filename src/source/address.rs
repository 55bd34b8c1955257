//! An upstream's URL: its parts and its credentials.
//!
//! Lenient in what a configuration may say (spaces, raw UTF-8), strict in what
//! a redirect may.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::error::SourceError;
use crate::wire::shown::split_authority;
pub use crate::wire::shown::{clean, redact};

/// What no URL may hold as it is. `%` stays: the configuration's own escapes.
const FORBIDDEN: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// User name and password as they stood in a URL.
pub type Credentials = (String, String);

/// A URL of the schemes `http` and `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub is_tls: bool,
    /// Host and, where it was written, port.
    pub authority: String,
    /// Begins with a slash.
    pub path: String,
    /// Without the question mark.
    pub query: Option<String>,
}

impl Address {
    /// The URL and the credentials in it. Credentials may hold every character
    /// but a slash, as in MapProxy: the last `@` ends them, the first `:` parts them.
    pub fn parse(url: &str) -> Result<(Address, Option<Credentials>), SourceError> {
        let wrong = |reason: &str| SourceError::Transport { url: redact(url), reason: reason.to_owned() };
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| wrong("no URL: no scheme"))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("no URL of http or https")),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path_query) = split_authority(rest);
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        if !crate::wire::url::is_host(authority) {
            return Err(wrong("no URL: no host"));
        }
        let credentials = credentials.map(|text| match text.split_once(':') {
            Some((user, password)) => (user.to_owned(), password.to_owned()),
            None => (text.to_owned(), String::new()),
        });
        let (path, query) = split_query(path_query);
        let address = Address { is_tls, authority: authority.to_owned(), path, query };
        Ok((address, credentials))
    }

    /// The URL without credentials.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let mut url = format!("{scheme}://{}{}", self.authority, self.path);
        if let Some(query) = &self.query {
            url.push('?');
            url.push_str(query);
        }
        url
    }

    /// Whether the other one is the same server, spoken to in the same way.
    pub fn is_same_server(&self, other: &Address) -> bool {
        self.is_tls == other.is_tls && self.host_and_port().eq_ignore_ascii_case(other.host_and_port())
    }

    /// The authority without a port that goes without saying.
    fn host_and_port(&self) -> &str {
        let usual = if self.is_tls { ":443" } else { ":80" };
        self.authority.strip_suffix(usual).unwrap_or(&self.authority)
    }

    /// Where a `Location` leads from here: `http` and `https` only.
    pub fn join(&self, location: &str) -> Result<Address, SourceError> {
        let location = location.trim().split('#').next().unwrap_or_default();
        let is_absolute = location
            .split_once(':')
            .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?']));
        if is_absolute {
            // Credentials from an upstream are not ours to use.
            return Address::parse(location).map(|(address, _)| address);
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.is_tls { "https" } else { "http" };
            return Address::parse(&format!("{scheme}://{rest}")).map(|(address, _)| address);
        }
        let mut target = self.clone();
        if location.starts_with('/') {
            (target.path, target.query) = split_query(location);
        } else if location.starts_with('?') {
            (_, target.query) = split_query(location);
        } else {
            let directory = self.path.rsplit_once('/').map_or("", |(directory, _)| directory);
            (target.path, target.query) = split_query(&format!("{directory}/{location}"));
        }
        target.path = without_dots(&target.path);
        Ok(target)
    }
}

fn split_query(text: &str) -> (String, Option<String>) {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let path = if path.starts_with('/') { tidy(path) } else { format!("/{}", tidy(path)) };
    (path, query.map(tidy))
}

fn tidy(text: &str) -> String {
    utf8_percent_encode(text, FORBIDDEN).to_string()
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for part in path.split('/').skip(1) {
        ends_in_directory = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    if ends_in_directory {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> (String, Option<(String, String)>) {
        let (address, credentials) = Address::parse(url).unwrap();
        (address.url(), credentials)
    }

    #[test]
    fn credentials_part_as_mapproxy_parts_them() {
        let c = |u: &str, p: &str| Some((u.to_owned(), p.to_owned()));
        for (url, plain, credentials) in [
            ("http://localhost/bar", "http://localhost/bar", None),
            ("http://bar@localhost/bar", "http://localhost/bar", c("bar", "")),
            ("http://bar:baz@localhost/bar", "http://localhost/bar", c("bar", "baz")),
            ("http://bar:b:az@@localhost/bar", "http://localhost/bar", c("bar", "b:az@")),
            (
                "http://bar foo; foo@bar:b:az@@localhost/bar",
                "http://localhost/bar",
                c("bar foo; foo@bar", "b:az@"),
            ),
            ("http://localhost/bar@2x", "http://localhost/bar@2x", None),
            ("https://bar@localhost/bar/0/0/0@2x.png", "https://localhost/bar/0/0/0@2x.png", c("bar", "")),
            ("http://localhost:81", "http://localhost:81/", None),
            ("http://localhost?map=a b|c", "http://localhost/?map=a%20b%7Cc", None),
            ("http://h/ä?ö=%20#top", "http://h/%C3%A4?%C3%B6=%20", None),
        ] {
            assert_eq!(parse(url), (plain.to_owned(), credentials), "{url}");
        }
    }

    #[test]
    fn other_schemes_and_no_hosts_are_refused() {
        for url in [
            "ftp://h/",
            "file:///etc/passwd",
            "h/path",
            "http://",
            "http:///x",
            "http://a b/",
            "",
            "http://h:99999/",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_location_leads_on_from_where_we_are() {
        let (from, _) = Address::parse("https://h:8/a/b?x=1").unwrap();
        for (location, target) in [
            ("/c?y", "https://h:8/c?y"),
            ("c", "https://h:8/a/c"),
            ("../c", "https://h:8/c"),
            ("./", "https://h:8/a/"),
            ("../../../..", "https://h:8/"),
            ("?z=2", "https://h:8/a/b?z=2"),
            ("//other/p", "https://other/p"),
            ("http://u:p@other/p#f", "http://other/p"),
            ("c?u=http://x/", "https://h:8/a/c?u=http://x/"),
        ] {
            assert_eq!(from.join(location).unwrap().url(), target, "{location}");
        }
        for location in ["file:///etc/passwd", "javascript:alert(1)", "ftp://h/x", "http://"] {
            assert!(from.join(location).is_err(), "{location}");
        }
    }

    #[test]
    fn the_usual_port_makes_no_other_server() {
        for (one, other, same) in [
            ("http://h/a", "http://H:80/b", true),
            ("https://h:443/", "https://h/", true),
            ("http://h:443/", "http://h/", false),
            ("http://h/", "https://h/", false),
            ("http://h:8080/", "http://h:80/", false),
        ] {
            let (one, other) = (Address::parse(one).unwrap().0, Address::parse(other).unwrap().0);
            assert_eq!(one.is_same_server(&other), same, "{one:?} {other:?}");
        }
    }
}
