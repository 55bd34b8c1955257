//! A FastCGI peer in raw bytes: it sends whatever a test makes of it and
//! takes the answer apart record by record.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;
use super::client::{End, Reply};

pub const BEGIN: u8 = 1;
pub const ABORT: u8 = 2;
pub const END: u8 = 3;
pub const PARAMS: u8 = 4;
pub const STDIN: u8 = 5;
pub const STDOUT: u8 = 6;
pub const GET_VALUES: u8 = 9;
pub const GET_VALUES_RESULT: u8 = 10;
pub const UNKNOWN_TYPE: u8 = 11;

/// `protocolStatus` of END_REQUEST.
pub const COMPLETE: u8 = 0;
pub const CANT_MPX: u8 = 1;
pub const UNKNOWN_ROLE: u8 = 3;

pub fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let [id_high, id_low] = id.to_be_bytes();
    let [high, low] = (content.len() as u16).to_be_bytes();
    [&[1, kind, id_high, id_low, high, low, 0, 0], content].concat()
}

pub fn begin(id: u16, role: u8, keep: bool) -> Vec<u8> {
    record(BEGIN, id, &[0, role, u8::from(keep), 0, 0, 0, 0, 0])
}

pub fn pairs(list: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in list {
        for text in [name, value] {
            match text.len() {
                short @ 0..=127 => bytes.push(short as u8),
                long => bytes.extend_from_slice(&(long as u32 | 0x8000_0000).to_be_bytes()),
            }
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes
}

/// The variables of a GET as lighttpd sends them for `"/proxy"`; `target`
/// begins below that.
pub fn variables(target: &str) -> Vec<(String, String)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    [
        ("CONTENT_LENGTH", "0"),
        ("QUERY_STRING", query),
        ("REQUEST_URI", &format!("/proxy{target}")),
        ("SCRIPT_NAME", "/proxy"),
        ("PATH_INFO", path),
        ("REQUEST_METHOD", "GET"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "192.0.2.44"),
        ("HTTP_HOST", "maps.example.org"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// A whole request: the variables of a GET, others in their place or added,
/// and a body.
pub fn request(id: u16, keep: bool, target: &str, others: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut list = variables(target);
    list.retain(|(name, _)| !others.iter().any(|(other, _)| other == name));
    let list: Vec<(&str, &str)> =
        list.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(others.iter().copied()).collect();
    let mut bytes = [begin(id, 1, keep), record(PARAMS, id, &pairs(&list)), record(PARAMS, id, b"")].concat();
    for part in body.chunks(65_528) {
        bytes.extend(record(STDIN, id, part));
    }
    bytes.extend(record(STDIN, id, b""));
    bytes
}

pub fn get(id: u16, keep: bool, target: &str) -> Vec<u8> {
    request(id, keep, target, &[], b"")
}

/// A record of the daemon.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: u8,
    pub id: u16,
    pub content: Vec<u8>,
}

/// A connection with the daemon's socket.
pub struct Peer {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Peer {
    pub fn connect(socket: &Path) -> Peer {
        let stream = UnixStream::connect(socket).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Peer { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A peer that was hung up on finds out when it reads.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Ends our side; the other stays open.
    pub fn half_close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    fn fill(&mut self) -> Result<(), End> {
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(End::Fin),
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(End::Timeout),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(End::Reset),
        }
    }

    /// The next record; how the connection ended where there is none.
    pub fn record(&mut self) -> Result<Record, End> {
        loop {
            if let &[version, kind, id_high, id_low, high, low, padding, _, ..] = self.buffer.as_slice() {
                assert_eq!(version, 1, "a record of FastCGI 1");
                let length = usize::from(u16::from_be_bytes([high, low]));
                let whole = 8 + length + usize::from(padding);
                if self.buffer.len() >= whole {
                    let content = self.buffer[8..8 + length].to_vec();
                    self.buffer.drain(..whole);
                    return Ok(Record { kind, id: u16::from_be_bytes([id_high, id_low]), content });
                }
            }
            self.fill()?;
        }
    }

    /// END_REQUEST of `id`: its protocol status.
    pub fn end_of(&mut self, id: u16) -> Result<u8, End> {
        let record = self.record()?;
        assert_eq!((record.kind, record.id), (END, id), "{record:?}");
        Ok(record.content[4])
    }

    /// The whole answer to request `id`, which must be the only one.
    pub fn reply(&mut self, id: u16) -> Result<Reply, End> {
        let mut out = Vec::new();
        let mut is_closed = false;
        loop {
            let record = self.record()?;
            assert_eq!(record.id, id, "a record of another request");
            match record.kind {
                STDOUT if record.content.is_empty() => is_closed = true,
                STDOUT => {
                    assert!(!is_closed, "STDOUT after its end");
                    out.extend(record.content);
                }
                END => {
                    assert!(is_closed, "END_REQUEST before the end of STDOUT");
                    assert_eq!(record.content, [0; 8], "complete");
                    return Ok(cgi_reply(&out));
                }
                other => panic!("record of type {other}"),
            }
        }
    }

    /// Everything that is still to come, and how it ended.
    pub fn read_to_end(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill() {
                return (std::mem::take(&mut self.buffer), end);
            }
        }
    }
}

/// An answer as CGI has it (`Status:`), or with a status line.
pub fn cgi_reply(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("the end of a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let status = first.strip_prefix("Status: ").or_else(|| first.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|s| s.get(..3)).and_then(|s| s.parse().ok());
    let headers = rest
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Reply {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        headers,
        body: bytes[end + 4..].to_vec(),
    }
}
