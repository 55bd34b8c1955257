//! The load generator of `bench/run`: asks one server for a list of targets over
//! keep-alive connections for a fixed time, looks at every answer, and prints
//! rate, latencies and faults as one line of JSON.
//!
//! Two threads with half of the connections each, one request under way on each
//! connection, the next one sent when its answer is whole. All servers get the
//! same targets in the same order. A server that ends a connection in good order
//! (`Connection: close`) is connected to again; the time that takes counts.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

const THREADS: usize = 2;
const SCRATCH_BYTES: usize = 256 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// An answer that takes longer is a fault, and its connection is made anew.
const ANSWER_MAX: Duration = Duration::from_secs(30);

struct Plan {
    address: SocketAddr,
    targets: Vec<String>,
    next: AtomicUsize,
    connections: usize,
    /// Answers that end between these two count.
    counts_from: Instant,
    counts_to: Instant,
}

#[derive(Default)]
struct Tally {
    latencies_us: Vec<u32>,
    body_bytes: u64,
    faults: BTreeMap<String, u64>,
    reconnects: u64,
}

impl Tally {
    fn fault(&mut self, what: String) {
        *self.faults.entry(what).or_default() += 1;
    }
}

/// What the head of an answer says.
struct Head {
    status: u16,
    length: Option<usize>,
    kind: String,
    closes: bool,
}

struct Connection {
    stream: TcpStream,
    /// Not yet known to be connected: the first request waits for it.
    connecting: bool,
    asked_at: Instant,
    head_bytes: Vec<u8>,
    head: Option<Head>,
    body_read: usize,
    /// The first bytes of the body, and the last ones.
    starts: Vec<u8>,
    ends: Vec<u8>,
}

impl Connection {
    fn open(plan: &Plan, poll: &Poll, token: Token) -> std::io::Result<Connection> {
        let mut stream = TcpStream::connect(plan.address)?;
        let _ = stream.set_nodelay(true);
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection {
            stream,
            connecting: true,
            asked_at: Instant::now(),
            head_bytes: Vec::new(),
            head: None,
            body_read: 0,
            starts: Vec::new(),
            ends: Vec::new(),
        })
    }

    fn ask(&mut self, plan: &Plan) -> std::io::Result<()> {
        let at = plan.next.fetch_add(1, Ordering::Relaxed) % plan.targets.len();
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", plan.targets[at], plan.address);
        self.head_bytes.clear();
        self.head = None;
        self.body_read = 0;
        self.starts.clear();
        self.ends.clear();
        self.asked_at = Instant::now();
        // A short request into an empty socket goes whole or not at all.
        self.stream.write_all(request.as_bytes())
    }

    /// Takes in bytes; true when the answer is whole.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool, String> {
        if self.head.is_none() {
            let before = self.head_bytes.len();
            self.head_bytes.extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]);
            let from = before.saturating_sub(3);
            let Some(end) = self.head_bytes[from..].windows(4).position(|w| w == b"\r\n\r\n") else {
                return if self.head_bytes.len() >= HEAD_BYTES_MAX {
                    Err("endless head".into())
                } else {
                    Ok(false)
                };
            };
            let end = from + end + 4;
            self.head = Some(parse_head(&self.head_bytes[..end])?);
            bytes = &bytes[end - before..];
        }
        self.body_read += bytes.len();
        let wanted = 12usize.saturating_sub(self.starts.len());
        self.starts.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
        let tail = &bytes[bytes.len().saturating_sub(8)..];
        self.ends.extend_from_slice(tail);
        let surplus = self.ends.len().saturating_sub(8);
        self.ends.drain(..surplus);
        match self.head.as_ref().and_then(|head| head.length) {
            Some(length) if self.body_read > length => Err("more bytes than announced".into()),
            Some(length) => Ok(self.body_read == length),
            None => Ok(false),
        }
    }

    /// What is wrong with a whole answer.
    fn judge(&self) -> Result<(), String> {
        let Some(head) = &self.head else { return Err("no head".into()) };
        if head.status != 200 {
            return Err(format!("status {}", head.status));
        }
        let whole = match head.kind.as_str() {
            "image/png" => self.starts.starts_with(b"\x89PNG\r\n\x1a\n") && self.ends.starts_with(b"IEND"),
            "image/jpeg" => self.starts.starts_with(&[0xff, 0xd8]) && self.ends.ends_with(&[0xff, 0xd9]),
            other => return Err(format!("type {other}")),
        };
        if whole { Ok(()) } else { Err(format!("no whole {}", head.kind)) }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status")?;
    let mut head =
        Head { status, length: None, kind: String::new(), closes: status_line.starts_with("HTTP/1.0") };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().ok(),
            "content-type" => {
                head.kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
            }
            "connection" => head.closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Ok(head)
}

/// How a connection goes on.
enum Flow {
    Wait,
    Renew,
}

struct Client<'a> {
    plan: &'a Plan,
    poll: Poll,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
    tally: Tally,
}

impl<'a> Client<'a> {
    fn new(plan: &'a Plan, count: usize) -> std::io::Result<Client<'a>> {
        let poll = Poll::new()?;
        let connections =
            (0..count).map(|at| Connection::open(plan, &poll, Token(at))).collect::<std::io::Result<_>>()?;
        Ok(Client { plan, poll, connections, scratch: vec![0; SCRATCH_BYTES], tally: Tally::default() })
    }

    fn run(mut self) -> Tally {
        let mut events = Events::with_capacity(64);
        while Instant::now() < self.plan.counts_to {
            let _ = self.poll.poll(&mut events, Some(Duration::from_millis(100)));
            for event in &events {
                if let Flow::Renew = self.advance(event.token().0) {
                    self.renew(event.token().0);
                }
            }
            for at in 0..self.connections.len() {
                if self.connections[at].asked_at.elapsed() > ANSWER_MAX {
                    self.tally.fault("no answer in time".into());
                    self.renew(at);
                }
            }
        }
        self.tally
    }

    fn renew(&mut self, at: usize) {
        self.tally.reconnects += 1;
        match Connection::open(self.plan, &self.poll, Token(at)) {
            Ok(connection) => self.connections[at] = connection,
            Err(error) => self.tally.fault(format!("connect: {}", error.kind())),
        }
    }

    fn advance(&mut self, at: usize) -> Flow {
        let connection = &mut self.connections[at];
        if connection.connecting {
            if connection.stream.peer_addr().is_err() {
                return Flow::Wait;
            }
            connection.connecting = false;
            if connection.ask(self.plan).is_err() {
                self.tally.fault("refused".into());
                return Flow::Renew;
            }
        }
        loop {
            let connection = &mut self.connections[at];
            let count = match connection.stream.read(&mut self.scratch) {
                Ok(0) => {
                    let idle = connection.head_bytes.is_empty();
                    self.tally.fault(if idle { "closed before an answer" } else { "cut off" }.into());
                    return Flow::Renew;
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flow::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.tally.fault(format!("read: {}", error.kind()));
                    return Flow::Renew;
                }
            };
            match connection.take(&self.scratch[..count]) {
                Ok(false) => {}
                Ok(true) => {
                    if let Flow::Renew = self.finish(at) {
                        return Flow::Renew;
                    }
                }
                Err(what) => {
                    self.tally.fault(what);
                    return Flow::Renew;
                }
            }
            // A short read has emptied the socket; the next bytes are a new event.
            if count < self.scratch.len() {
                return Flow::Wait;
            }
        }
    }

    /// An answer is whole: counts it, asks for the next.
    fn finish(&mut self, at: usize) -> Flow {
        let connection = &mut self.connections[at];
        let now = Instant::now();
        if now >= self.plan.counts_from && now <= self.plan.counts_to {
            match connection.judge() {
                Ok(()) => {
                    let latency = now.duration_since(connection.asked_at).as_micros();
                    self.tally.latencies_us.push(u32::try_from(latency).unwrap_or(u32::MAX));
                    self.tally.body_bytes += connection.body_read as u64;
                }
                Err(what) => self.tally.fault(what),
            }
        }
        if connection.head.as_ref().is_some_and(|head| head.closes) || connection.ask(self.plan).is_err() {
            return Flow::Renew;
        }
        Flow::Wait
    }
}

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|a| a == name)?;
    arguments.next()
}

fn number(name: &str, default: f64) -> f64 {
    argument(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn main() {
    let (Some(address), Some(file)) = (argument("--address"), argument("--targets")) else {
        eprintln!(
            "usage: load --address HOST:PORT --targets FILE [--from N] [--connections 16] [--warm S] [--seconds S]"
        );
        return;
    };
    let text = std::fs::read_to_string(&file).expect("a readable list of targets");
    let targets: Vec<String> = text.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect();
    assert!(!targets.is_empty(), "{file} names no target");
    let seconds = number("--seconds", 3.0);
    let counts_from = Instant::now() + Duration::from_secs_f64(number("--warm", 0.5));
    let plan = Plan {
        address: address.parse().expect("an address as 127.0.0.1:8080"),
        targets,
        next: AtomicUsize::new(number("--from", 0.0) as usize),
        connections: number("--connections", 16.0) as usize,
        counts_from,
        counts_to: counts_from + Duration::from_secs_f64(seconds),
    };
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|at| {
                let count = (plan.connections + THREADS - 1 - at) / THREADS;
                let plan = &plan;
                scope.spawn(move || Client::new(plan, count).expect("connections").run())
            })
            .collect();
        for thread in threads {
            let tally = thread.join().expect("a client thread");
            all.latencies_us.extend(tally.latencies_us);
            all.body_bytes += tally.body_bytes;
            all.reconnects += tally.reconnects;
            for (what, count) in tally.faults {
                *all.faults.entry(what).or_default() += count;
            }
        }
    });
    print(all, seconds, plan.next.into_inner());
}

fn print(mut tally: Tally, seconds: f64, asked: usize) {
    tally.latencies_us.sort_unstable();
    let count = tally.latencies_us.len();
    let at = |share: f64| {
        let place = ((count as f64 * share) as usize).min(count.saturating_sub(1));
        tally.latencies_us.get(place).map_or(0.0, |us| f64::from(*us) / 1e3)
    };
    let faults: Vec<String> = tally.faults.iter().map(|(what, n)| format!("{what:?}: {n}")).collect();
    println!(
        "{{\"answers\": {count}, \"rate\": {:.2}, \"p50_ms\": {:.3}, \"p90_ms\": {:.3}, \"p99_ms\": {:.3}, \"max_ms\": {:.3}, \
         \"mean_bytes\": {:.1}, \"reconnects\": {}, \"asked\": {asked}, \"faults\": {{{}}}}}",
        count as f64 / seconds,
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        tally.body_bytes as f64 / count.max(1) as f64,
        tally.reconnects,
        faults.join(", "),
    );
}
