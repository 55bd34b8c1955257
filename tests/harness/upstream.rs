//! A mock map server for what a real one cannot be made to show: counted
//! requests, held answers, broken answers. It paints every picture with its
//! own address (`painted.rs`), as WMS (`/wms?…BBOX=…`) and as tiles
//! (`/z/x/y.png`, row from the north).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::painted;

/// What the mock does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The right picture.
    Painted,
    /// A status with a text body.
    Status(u16),
    /// These bytes as this type, status 200.
    Bytes(&'static str, Vec<u8>),
    /// The right picture's header and half of its bytes, then a close.
    Truncated,
    /// As [`Answer::Truncated`], but ended with a reset.
    Reset,
    /// A picture's header, then chunks for as long as somebody reads them.
    Endless,
    /// A close without an answer.
    Dropped,
    /// This status with these header fields (`Set-Cookie: a=b`) and these bytes.
    Full(u16, Vec<String>, Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// The header fields, as they came, in one text.
    pub fields: String,
    pub body: String,
}

type Script = dyn Fn(&str) -> Answer + Send + Sync;

struct Shared {
    asked: Mutex<Vec<Asked>>,
    arrived: Condvar,
    /// While set, requests wait before they are answered.
    held: Mutex<bool>,
    released: Condvar,
    under_way: AtomicUsize,
    peak: AtomicUsize,
    stopping: AtomicBool,
    script: Box<Script>,
}

pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Answers everything with the right picture.
    pub fn start() -> Upstream {
        Upstream::scripted(|_| Answer::Painted)
    }

    /// `script` decides for each request target.
    pub fn scripted(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the mock upstream");
        let address = listener.local_addr().expect("the mock's address");
        let shared = Arc::new(Shared {
            asked: Mutex::new(Vec::new()),
            arrived: Condvar::new(),
            held: Mutex::new(false),
            released: Condvar::new(),
            under_way: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            script: Box::new(script),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Upstream { address, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Targets asked for so far.
    pub fn targets(&self) -> Vec<String> {
        lock(&self.shared.asked).iter().map(|asked| asked.target.clone()).collect()
    }

    /// Header fields of the requests so far.
    pub fn fields(&self) -> Vec<String> {
        lock(&self.shared.asked).iter().map(|asked| asked.fields.clone()).collect()
    }

    pub fn count(&self) -> usize {
        lock(&self.shared.asked).len()
    }

    /// The most requests that were under way at once.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// From now on requests wait for [`Upstream::release`].
    pub fn hold(&self) {
        *lock(&self.shared.held) = true;
    }

    pub fn release(&self) {
        *lock(&self.shared.held) = false;
        self.shared.released.notify_all();
    }

    /// Waits until `count` requests have arrived.
    pub fn await_count(&self, count: usize) {
        let asked = lock(&self.shared.asked);
        let (asked, timeout) = self
            .shared
            .arrived
            .wait_timeout_while(asked, super::PATIENCE, |asked| asked.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{} of {count} requests reached the upstream", asked.len());
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.release();
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(shared: &Shared, stream: TcpStream) {
    let Ok(writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut writer = writer;
    while let Some(asked) = read_request(&mut reader) {
        let now = shared.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        shared.peak.fetch_max(now, Ordering::SeqCst);
        // A form is a query by another way.
        let target = match asked.body.as_str() {
            "" => asked.target.clone(),
            form => format!("{}{}{form}", asked.target, if asked.target.contains('?') { '&' } else { '?' }),
        };
        lock(&shared.asked).push(asked);
        shared.arrived.notify_all();
        let held = lock(&shared.held);
        drop(shared.released.wait_while(held, |held| *held).unwrap_or_else(PoisonError::into_inner));
        // Whoever reads the answer may be back before this thread runs again.
        shared.under_way.fetch_sub(1, Ordering::SeqCst);
        let keep = answer(&mut writer, &target, (shared.script)(&target));
        if !keep || shared.stopping.load(Ordering::SeqCst) {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut fields = String::new();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        fields.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, target, fields, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Sends the answer; whether the connection is kept.
fn answer(writer: &mut TcpStream, target: &str, answer: Answer) -> bool {
    let reply = |status: u16, kind: &str, length: usize| {
        format!("HTTP/1.1 {status} Mock\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut send = |status: u16, kind: &str, body: &[u8], cut: usize| {
        let head = reply(status, kind, body.len());
        let sent =
            writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body[..body.len() - cut]));
        sent.is_ok() && cut == 0
    };
    match answer {
        Answer::Painted => match paint(target) {
            Some(body) => send(200, "image/png", &body, 0),
            None => send(404, "text/plain", b"no such picture", 0),
        },
        Answer::Truncated => {
            let body = paint(target).unwrap_or_default();
            send(200, "image/png", &body, body.len() / 2)
        }
        Answer::Reset => {
            let body = paint(target).unwrap_or_default();
            let _ = send(200, "image/png", &body, body.len() / 2);
            let _ = socket2::SockRef::from(&*writer).set_linger(Some(std::time::Duration::ZERO));
            false
        }
        Answer::Endless => {
            let head = "HTTP/1.1 200 Mock\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = [b"1000\r\n".as_slice(), &[0; 0x1000], b"\r\n"].concat();
            let mut sent = writer.write_all(head.as_bytes());
            while sent.is_ok() {
                sent = writer.write_all(&chunk);
            }
            false
        }
        // Without a body, or its bytes are read as an answer to the next request.
        Answer::Status(204) => writer.write_all(b"HTTP/1.1 204 Mock\r\n\r\n").is_ok(),
        Answer::Status(status) => send(status, "text/plain", b"as the test wants it", 0),
        Answer::Bytes(kind, body) => send(200, kind, &body, 0),
        Answer::Dropped => false,
        Answer::Full(status, fields, body) => {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let head = format!("HTTP/1.1 {status} Mock\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
            writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body)).is_ok()
        }
    }
}

/// The picture that a target asks for.
pub fn paint(target: &str) -> Option<Vec<u8>> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if query.is_empty() {
        let numbers: Vec<u32> = path
            .trim_start_matches('/')
            .trim_end_matches(".png")
            .split('/')
            .map(|n| n.parse().ok())
            .collect::<Option<_>>()?;
        let [level, column, row] = numbers.as_slice() else { return None };
        return Some(painted::tile(*level, *column, *row));
    }
    let value = |name: &str| {
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| value.replace("%2C", ",").replace("%2c", ","))
        })
    };
    let bbox: Vec<f64> = value("bbox")?.split(',').map(|v| v.parse().ok()).collect::<Option<_>>()?;
    let bbox: [f64; 4] = bbox.try_into().ok()?;
    let side = |name: &str| value(name)?.parse::<u32>().ok().filter(|v| (1..=8192).contains(v));
    Some(painted::map(bbox, side("width")?, side("height")?))
}
