//! The PROXY protocol, versions 1 and 2: what a balancer says about a
//! connection before the first byte of it.
//!
//! After the specification of HAProxy. Only read where a listener asks for
//! it, and then it must be there: whether bytes are an address or a request
//! is never guessed. Sans-io; any chunking gives the same result.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::limit::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};

/// What begins a header of version 2; no HTTP request begins like this.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// TLV types (specification §2.2): what follows describes a TLS connection.
const TYPE_SSL: u8 = 0x20;
/// In the first byte of that: the client came over TLS.
const CLIENT_SSL: u8 = 1;

/// What the balancer said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The client's address; `None`: the balancer speaks for itself (health
    /// checks), or for a client without an internet address.
    pub client: Option<IpAddr>,
    /// The client came to the balancer over TLS.
    pub tls: bool,
}

/// Not a header, or not one of a version that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no header of the PROXY protocol")]
pub struct Malformed;

/// Reads the header from all bytes that were received so far. `None`: more
/// are needed. Otherwise how many bytes it took and what it says.
///
/// # Errors
/// The bytes cannot become a header.
pub fn read(input: &[u8]) -> Result<Option<(usize, Told)>, Malformed> {
    let seen = input.len().min(SIGNATURE.len());
    if input[..seen] == SIGNATURE[..seen] {
        return if input.len() < FIXED_BYTES { Ok(None) } else { read_binary(input) };
    }
    const WORD: &[u8] = b"PROXY ";
    let seen = input.len().min(WORD.len());
    if input[..seen] != WORD[..seen] {
        return Err(Malformed);
    }
    let line = &input[..input.len().min(PROXY_LINE_BYTES_MAX)];
    match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => Ok(Some((end + 1, read_line(&line[..end])?))),
        None if line.len() == PROXY_LINE_BYTES_MAX => Err(Malformed),
        None => Ok(None),
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 51000 80\r`, or `PROXY UNKNOWN …\r`.
fn read_line(line: &[u8]) -> Result<Told, Malformed> {
    let line = line.strip_suffix(b"\r").ok_or(Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut parts = line.split(' ').skip(1);
    let family = parts.next();
    if family == Some("UNKNOWN") {
        return Ok(Told::default());
    }
    let addresses = [parts.next(), parts.next()];
    let ports = [parts.next(), parts.next()];
    let is_port = |port: Option<&str>| {
        port.is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok())
    };
    if parts.next().is_some() || !ports.into_iter().all(is_port) {
        return Err(Malformed);
    }
    let mut read = [None; 2];
    for (at, text) in addresses.into_iter().enumerate() {
        let text = text.ok_or(Malformed)?;
        read[at] = match family {
            Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        };
        read[at].ok_or(Malformed)?;
    }
    Ok(Told { client: read[0].map(|client| client.to_canonical()), tls: false })
}

fn read_binary(input: &[u8]) -> Result<Option<(usize, Told)>, Malformed> {
    let (command, family) = (input[12], input[13]);
    let length = usize::from(u16::from_be_bytes([input[14], input[15]]));
    if command >> 4 != 2 || length > PROXY_HEADER_BYTES_MAX {
        return Err(Malformed);
    }
    let Some(rest) = input[FIXED_BYTES..].get(..length) else { return Ok(None) };
    let total = FIXED_BYTES + length;
    match command & 0xf {
        // LOCAL: the balancer's own connection; what it adds is to be ignored.
        0 => return Ok(Some((total, Told::default()))),
        1 => {}
        _ => return Err(Malformed),
    }
    // The low half is the transport; datagrams do not come to this door.
    let address_bytes = match family >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(Malformed),
    };
    let (addresses, additions) = rest.split_at_checked(address_bytes).ok_or(Malformed)?;
    let client = match family >> 4 {
        1 => addresses.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        2 => addresses.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes).to_canonical()),
        _ => None,
    };
    Ok(Some((total, Told { client, tls: is_tls(additions)? })))
}

/// Looks for the TLS entry among type, length, value.
fn is_tls(mut additions: &[u8]) -> Result<bool, Malformed> {
    let mut tls = false;
    while !additions.is_empty() {
        let (head, rest) = additions.split_first_chunk::<3>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        if head[0] == TYPE_SSL {
            tls |= value.first().ok_or(Malformed)? & CLIENT_SSL != 0;
        }
        additions = rest;
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(client: &str) -> Told {
        Told { client: client.parse().ok(), tls: false }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xc7, 0x38, 0, 80];

    #[test]
    fn lines_of_version_1() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 51000 80\r\n", Ok(told("192.0.2.1"))),
            ("PROXY TCP6 2001:db8::1 ::1 51000 443\r\n", Ok(told("2001:db8::1"))),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 51000 443\r\n", Ok(told("192.0.2.1"))),
            ("PROXY UNKNOWN\r\n", Ok(Told::default())),
            ("PROXY UNKNOWN ffff::1 x y z\r\n", Ok(Told::default())),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 51000 80\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 51000\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 51000 80 x\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 51000 65536\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n", Err(Malformed)),
            ("PROXY TCP4 ::1 ::1 1 80\r\n", Err(Malformed)),
            ("PROXY TCP4 192.0.2.1 a.example 1 80\r\n", Err(Malformed)),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 1 80\r\n", Err(Malformed)),
            ("PROXY\tTCP4 192.0.2.1 192.0.2.2 1 80\r\n", Err(Malformed)),
            ("proxy TCP4 192.0.2.1 192.0.2.2 1 80\r\n", Err(Malformed)),
            ("GET / HTTP/1.1\r\n", Err(Malformed)),
        ] {
            let expected = expected.map(|told| Some((line.len(), told)));
            assert_eq!(read(line.as_bytes()), expected, "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(PROXY_LINE_BYTES_MAX));
        assert_eq!(read(long.as_bytes()), Err(Malformed));
    }

    #[test]
    fn headers_of_version_2() {
        let six: Vec<u8> = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]; 2].concat();
        let six = [&six[..], &[0, 1, 0, 2]].concat();
        let tls = [&V4[..], &[0x20, 0, 5, 1, 0, 0, 0, 0, 0x04, 0, 1, 0]].concat();
        let plain = [&V4[..], &[0x20, 0, 5, 6, 0, 0, 0, 0]].concat();
        for (name, bytes, expected) in [
            ("IPv4", binary(0x21, 0x11, &V4), Ok(told("192.0.2.1"))),
            ("IPv6", binary(0x21, 0x21, &six), Ok(told("2001:db8::1"))),
            ("Unix", binary(0x21, 0x31, &[0; 216]), Ok(Told::default())),
            ("unknown family", binary(0x21, 0, b""), Ok(Told::default())),
            ("local", binary(0x20, 0, b"anything"), Ok(Told::default())),
            ("TLS", binary(0x21, 0x11, &tls), Ok(Told { tls: true, ..told("192.0.2.1") })),
            ("not TLS", binary(0x21, 0x11, &plain), Ok(told("192.0.2.1"))),
            ("version 1", binary(0x11, 0x11, &V4), Err(Malformed)),
            ("a third command", binary(0x22, 0x11, &V4), Err(Malformed)),
            ("a fourth family", binary(0x21, 0x41, &V4), Err(Malformed)),
            ("short addresses", binary(0x21, 0x21, &V4), Err(Malformed)),
            ("cut addition", binary(0x21, 0x11, &[&V4[..], &[4, 0]].concat()), Err(Malformed)),
            ("long addition", binary(0x21, 0x11, &[&V4[..], &[4, 0, 9, 1]].concat()), Err(Malformed)),
            ("too long", binary(0x21, 0x11, &vec![0; PROXY_HEADER_BYTES_MAX + 1]), Err(Malformed)),
        ] {
            let expected = expected.map(|told| Some((bytes.len(), told)));
            assert_eq!(read(&bytes), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike_however_they_are_cut(
            prefix in prop_oneof![Just(&b""[..]), Just(&b"PROXY "[..]), Just(&SIGNATURE[..])],
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [prefix, &bytes].concat();
            let whole = read(&bytes);
            for end in 0..bytes.len() {
                // What is decided early is decided the same.
                match read(&bytes[..end]) {
                    Ok(None) => {}
                    early => prop_assert_eq!(&early, &whole),
                }
            }
        }
    }
}
