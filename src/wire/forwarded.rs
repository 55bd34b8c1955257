//! What proxies say about a request: `X-Forwarded-*`, `Forwarded` (RFC 7239),
//! `X-Script-Name`; and from whom it is believed.
//!
//! Fields of peers that are not believed are taken out here, before anybody
//! reads them. What the others mean for addresses in documents is decided in
//! the service room.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::message::{Headers, Request};
use super::network::Networks;

/// Which of the two families of fields our proxies write. The other one
/// passes through them as the client sent it, so it is not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    #[default]
    XForwarded,
    Forwarded,
}

/// Who may say what a request was before it came to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    pub networks: Networks,
    pub family: Family,
    /// Further fields that only proxies may send: those that name a user.
    pub identity_fields: Vec<String>,
}

/// Hops that are looked at; more are no proxy chain.
const HOPS_MAX: usize = 32;

impl Proxies {
    /// Takes out of the request what its peer has no right to say; where the
    /// peer is a proxy, the peer becomes the client that it names. `speaker`
    /// holds the connection: with FastCGI and its kin the web server, which
    /// has told the peer itself, otherwise the peer. Returns whether one of
    /// the two was a proxy.
    pub fn settle(&self, request: &mut Request, speaker: Option<IpAddr>) -> bool {
        let is_behind = self.networks.holds(request.peer);
        let is_proxy = is_behind || self.networks.holds(speaker);
        let keeps = |name: &str| {
            let is_x = has_prefix(name, "x-forwarded-");
            let is_rfc = name.eq_ignore_ascii_case("forwarded");
            let is_script = name.eq_ignore_ascii_case("x-script-name");
            let is_identity = self.identity_fields.iter().any(|field| name.eq_ignore_ascii_case(field));
            match self.family {
                _ if !(is_x || is_rfc || is_script || is_identity) => true,
                _ if !is_proxy => false,
                Family::XForwarded => !is_rfc,
                Family::Forwarded => !is_x,
            }
        };
        request.headers.0.retain(|(name, _)| keeps(name));
        // Whoever may open our socket file is known by its mode.
        if speaker.is_some() && !self.networks.holds(speaker) {
            request.remote_user = None;
        }
        if is_behind && let Some(client) = self.client(&request.headers) {
            request.peer = Some(client);
        }
        is_proxy
    }

    /// The first hop from our side that is none of our proxies; everything
    /// before it may be invented. A chain of proxies only begins with the first.
    fn client(&self, headers: &Headers) -> Option<IpAddr> {
        let hops: Vec<IpAddr> = match self.family {
            Family::XForwarded => {
                let lists = headers.all("x-forwarded-for");
                hops_from_right(lists.flat_map(|list| list.split(',')).map(|hop| parse_hop(hop.trim())))
            }
            Family::Forwarded => {
                let lists = headers.all("forwarded");
                let elements = lists.flat_map(elements).map(|element| parse_hop(&element.get("for")?));
                hops_from_right(elements)
            }
        };
        hops.iter().find(|hop| !self.networks.holds(Some(**hop))).or(hops.last()).copied()
    }
}

/// The last hop first, up to the first that is no address.
fn hops_from_right(hops: impl Iterator<Item = Option<IpAddr>>) -> Vec<IpAddr> {
    let all: Vec<Option<IpAddr>> = hops.collect();
    all.into_iter().rev().take(HOPS_MAX).map_while(|hop| hop).collect()
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// One hop's pairs in a `Forwarded` field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Element<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Element<'a> {
    /// The value of a parameter (`for`, `host`, `proto`), quotes taken off.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }
}

/// The elements of one `Forwarded` field in order (RFC 7239 §4); from the
/// first malformed pair on nothing is read.
pub fn elements(list: &str) -> impl Iterator<Item = Element<'_>> {
    let mut rest = list;
    let mut elements = vec![Element::default()];
    while elements.len() <= HOPS_MAX {
        rest = rest.trim_start_matches([' ', '\t']);
        let Some((name, after)) = rest.split_once('=') else { break };
        let Some((value, after)) = take_value(after) else { break };
        if let Some(element) = elements.last_mut() {
            element.0.push((name.trim(), value));
        }
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.as_bytes().first() {
            Some(b';') => &after[1..],
            Some(b',') => {
                elements.push(Element::default());
                &after[1..]
            }
            _ => break,
        };
    }
    elements.into_iter().filter(|element| !element.0.is_empty())
}

/// A token or a quoted string, and what follows it.
fn take_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        return Some((Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Method;
    use proptest::prelude::*;

    fn request(peer: &str, fields: &[(&str, &str)]) -> Request {
        Request {
            method: Method::Get,
            path: "/".into(),
            query: String::new(),
            scheme: "http",
            script_name: String::new(),
            headers: Headers(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()),
            body: Vec::new(),
            peer: peer.parse().ok(),
            remote_user: None,
            user: None,
        }
    }

    fn proxies(family: Family) -> Proxies {
        let mut networks = Networks::default();
        networks.add("10.0.0.0/8").unwrap();
        networks.add("unix").unwrap();
        Proxies { networks, family, identity_fields: vec!["X-User".into()] }
    }

    #[test]
    fn the_client_is_the_first_stranger_from_our_side() {
        for (peer, list, client) in [
            ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
            ("10.0.0.1", "6.6.6.6, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
            ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
            ("10.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"),
            ("10.0.0.1", "unknown, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("192.0.2.9", "6.6.6.6", "192.0.2.9"),
            ("unix", "192.0.2.7", "192.0.2.7"),
        ] {
            let mut request = request(peer, &[("X-Forwarded-For", list)]);
            let speaker = request.peer;
            proxies(Family::XForwarded).settle(&mut request, speaker);
            assert_eq!(request.peer, client.parse().ok(), "{peer} {list}");
        }
        for (list, client) in [
            ("for=192.0.2.7;proto=https;host=a", "192.0.2.7"),
            ("for=6.6.6.6, For=\"[2001:db8::1]:4711\", for=10.0.0.2", "2001:db8::1"),
            ("for=_hidden", "10.0.0.1"),
            ("host=a", "10.0.0.1"),
        ] {
            let mut request = request("10.0.0.1", &[("Forwarded", list)]);
            let speaker = request.peer;
            proxies(Family::Forwarded).settle(&mut request, speaker);
            assert_eq!(request.peer, client.parse().ok(), "{list}");
        }
    }

    #[test]
    fn strangers_say_nothing_and_proxies_one_family_only() {
        let fields = [
            ("Host", "a"),
            ("X-Forwarded-Host", "b"),
            ("x-forwarded-anything", "c"),
            ("Forwarded", "host=d"),
            ("X-Script-Name", "/e"),
            ("x-user", "f"),
        ];
        for (peer, family, left) in [
            ("192.0.2.1", Family::XForwarded, vec!["Host"]),
            ("192.0.2.1", Family::Forwarded, vec!["Host"]),
            (
                "10.9.9.9",
                Family::XForwarded,
                vec!["Host", "X-Forwarded-Host", "x-forwarded-anything", "X-Script-Name", "x-user"],
            ),
            ("10.9.9.9", Family::Forwarded, vec!["Host", "Forwarded", "X-Script-Name", "x-user"]),
        ] {
            let mut request = request(peer, &fields);
            let speaker = request.peer;
            assert_eq!(proxies(family).settle(&mut request, speaker), peer.starts_with("10."));
            let names: Vec<&str> = request.headers.0.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, left, "{peer} {family:?}");
        }
    }

    /// Over FastCGI the web server holds the connection and tells its client.
    #[test]
    fn a_web_server_on_the_list_may_speak_for_a_client_that_is_not() {
        let fields = [("X-Forwarded-For", "192.0.2.7"), ("X-Script-Name", "/a"), ("x-user", "anna")];
        for (speaker, told, kept, client) in [
            (Some("10.0.0.1"), "192.0.2.9", true, "192.0.2.9"),
            (Some("10.0.0.1"), "10.0.0.2", true, "192.0.2.7"),
            (Some("192.0.2.1"), "10.0.0.2", true, "192.0.2.7"),
            (Some("192.0.2.1"), "192.0.2.9", false, "192.0.2.9"),
            (None, "192.0.2.9", true, "192.0.2.9"),
        ] {
            let mut request = request(told, &fields);
            request.remote_user = Some("anna".into());
            let speaker = speaker.map(|address| address.parse().unwrap());
            assert_eq!(proxies(Family::XForwarded).settle(&mut request, speaker), kept);
            assert_eq!(request.headers.get("x-user").is_some(), kept, "{speaker:?} {told}");
            // The client's place on the list says nothing about who the web server is.
            let is_server = speaker != Some([192, 0, 2, 1].into());
            assert_eq!(request.remote_user.is_some(), is_server, "{speaker:?} {told}");
            assert_eq!(request.peer, client.parse().ok(), "{speaker:?} {told}");
        }
    }

    #[test]
    fn elements_of_a_forwarded_field() {
        let read = |list: &str| -> Vec<(String, String)> {
            elements(list)
                .map(|e| {
                    let text = |name| e.get(name).unwrap_or_default().into_owned();
                    (text("host"), text("proto"))
                })
                .collect()
        };
        for (list, expected) in [
            ("host=a;proto=https", vec![("a", "https")]),
            ("Host=\"a:81\" ; PROTO=http, host=b", vec![("a:81", "http"), ("b", "")]),
            ("host=\"a\\\"b\"", vec![("a\"b", "")]),
            ("host=\"a,b;c\";proto=x", vec![("a,b;c", "x")]),
            ("host=\"open", vec![]),
            ("nothing", vec![]),
            ("", vec![]),
        ] {
            let expected: Vec<(String, String)> =
                expected.into_iter().map(|(h, p)| (h.into(), p.into())).collect();
            assert_eq!(read(list), expected, "{list}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_in_bounds(list in "[a-z=\";,\\\\ \\[\\]:.0-9]{0,80}") {
            prop_assert!(elements(&list).count() <= HOPS_MAX + 1);
            let _ = parse_hop(&list);
        }
    }
}
