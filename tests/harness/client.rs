//! Raw bytes over a socket: what was sent, what came, how it ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Still open.
    Open,
    Fin,
    Reset,
    Timeout,
}

/// One HTTP response.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or("")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"))
    }
}

/// A connection that keeps what it has read beyond the last response.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    patience: Duration,
}

impl Client {
    pub fn connect(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, buffer: Vec::new(), patience: PATIENCE })
    }

    /// How long a read waits before it counts as [`End::Timeout`].
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a GET that keeps the connection.
    pub fn send_get(&mut self, target: &str) -> std::io::Result<()> {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: maps.test\r\n\r\n"))
    }

    pub fn get(&mut self, target: &str) -> Result<Reply, End> {
        self.send_get(target).map_err(|e| end_of(&e))?;
        self.read_reply(false)
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), End> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(End::Timeout);
        }
        self.stream.set_read_timeout(Some(left)).map_err(|_| End::Reset)?;
        let mut chunk = [0_u8; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(End::Fin),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) => Err(end_of(&e)),
        }
    }

    /// The next response; `head`: it has no body whatever it announces.
    pub fn read_reply(&mut self, head: bool) -> Result<Reply, End> {
        let deadline = Instant::now() + self.patience;
        let head_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill(deadline)?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status line in {text:?}"));
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
            .collect();
        if status == 100 {
            self.buffer.drain(..head_end);
            return self.read_reply(head);
        }
        let bodiless = head || status == 204 || status == 304;
        let length = headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, v)| v.parse::<usize>().ok());
        let chunked =
            headers.iter().any(|(n, v)| n.eq_ignore_ascii_case("transfer-encoding") && v == "chunked");
        if chunked && !bodiless {
            let body = self.read_chunks(head_end, deadline)?;
            return Ok(Reply { status, headers, body });
        }
        let body_end = if bodiless {
            head_end
        } else if let Some(length) = length {
            while self.buffer.len() < head_end + length {
                self.fill(deadline)?;
            }
            head_end + length
        } else {
            loop {
                match self.fill(deadline) {
                    Ok(()) => {}
                    Err(End::Fin) => break self.buffer.len(),
                    Err(end) => return Err(end),
                }
            }
        };
        let body = self.buffer[head_end..body_end].to_vec();
        self.buffer.drain(..body_end);
        Ok(Reply { status, headers, body })
    }

    /// The chunks that begin at `at` of the buffer, put together; neither
    /// extensions nor trailers are expected.
    fn read_chunks(&mut self, mut at: usize, deadline: Instant) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(length) = find(&self.buffer[at..], b"\r\n") {
                    break length;
                }
                self.fill(deadline)?;
            };
            let text = String::from_utf8_lossy(&self.buffer[at..at + line]).into_owned();
            let length = usize::from_str_radix(&text, 16).unwrap_or_else(|e| panic!("chunk {text:?}: {e}"));
            let start = at + line + 2;
            while self.buffer.len() < start + length + 2 {
                self.fill(deadline)?;
            }
            body.extend_from_slice(&self.buffer[start..start + length]);
            at = start + length + 2;
            if length == 0 {
                self.buffer.drain(..at);
                return Ok(body);
            }
        }
    }

    /// Reads until the connection ends; everything that came, and how it ended.
    pub fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Err(end) = self.fill(deadline) {
                return (std::mem::take(&mut self.buffer), end);
            }
        }
    }

    /// No more bytes from here; the other direction stays open.
    pub fn half_close(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

fn end_of(error: &std::io::Error) -> End {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Timeout,
        ErrorKind::UnexpectedEof => End::Fin,
        _ => End::Reset,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
