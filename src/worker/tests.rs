//! The loop with real sockets on 127.0.0.1 and a site of our own making.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::*;
use crate::conf::daemon::{Listen, ListenAddress, Protocol};
use crate::plan::TileFile;
use crate::service::StoredTileAnswer;
use crate::wire::Response;

/// Bound on every wait for bytes: a hang is a failure, not a stuck run.
const PATIENCE: Duration = Duration::from_secs(20);

/// A loop in a thread of its own.
struct Running {
    address: SocketAddr,
    channel: Option<StdUnixStream>,
    thread: Option<JoinHandle<()>>,
    board: Arc<Board>,
    slot: usize,
}

impl Running {
    fn start(limits: Limits, answer: impl Fn(&Request) -> Answer + Send + 'static) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let board = Arc::new(Board::new(0).unwrap());
        Running::start_on(&listener, board, limits, answer)
    }

    fn start_on(
        listener: &TcpListener,
        board: Arc<Board>,
        limits: Limits,
        answer: impl Fn(&Request) -> Answer + Send + 'static,
    ) -> Running {
        let address = listener.local_addr().unwrap();
        Running::start_with(listener.try_clone().unwrap().into(), address, board, limits, answer)
    }

    fn start_with(
        listener: OwnedFd,
        address: SocketAddr,
        board: Arc<Board>,
        limits: Limits,
        answer: impl Fn(&Request) -> Answer + Send + 'static,
    ) -> Running {
        let slot = board.claim(1, sys::monotonic_ms()).unwrap();
        let (mut ours, theirs) = StdUnixStream::pair().unwrap();
        let own_board = Arc::clone(&board);
        let thread = std::thread::spawn(move || {
            let gate = Gate::new(limits.render_threads);
            let listen = Listen::new(ListenAddress::Tcp(address), Protocol::Http);
            let entrance = Entrance::new(listener, &listen, &[]).unwrap();
            let parts = Parts {
                limits,
                answer: Box::new(answer),
                memory: TileMemory::new(1024 * 1024, Duration::from_secs(1)),
                gate,
                board: own_board,
                slot,
                entrances: vec![entrance],
                channel: theirs.into(),
                signals: None,
                proxies: None,
            };
            Worker::new(parts).unwrap().serve().unwrap();
        });
        let mut ready = [0];
        ours.read_exact(&mut ready).unwrap();
        assert_eq!(ready, [MESSAGE_READY]);
        Running { address, channel: Some(ours), thread: Some(thread), board, slot }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn ask(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        stream
    }

    fn drain(&mut self) {
        self.channel.as_mut().unwrap().write_all(&[MESSAGE_DRAIN]).unwrap();
    }

    /// Waits until the worker has left by itself.
    fn join(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    fn wait_until(&self, holds: impl Fn(&crate::board::Slot) -> bool) {
        let begun = std::time::Instant::now();
        while !holds(self.board.slot(self.slot)) {
            assert!(begun.elapsed() < PATIENCE, "it never came to hold");
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of the channel makes the loop leave; nobody waits for it.
        self.channel = None;
    }
}

fn limits() -> Limits {
    Limits { render_threads: 2, waiting_threads: 4, ..Limits::default() }
}

/// `/work/…` on a thread, `/large` 4 MB, `/panic…` panics, the rest at once.
fn site(request: &Request) -> Answer {
    let path = request.path.clone();
    match path.split('/').nth(1).unwrap_or("") {
        "work" => Answer::Work(Box::new(move |_| Response::new(200, "text/plain", path.into_bytes()))),
        "large" => Answer::Ready(Response::new(200, "text/plain", vec![b'x'; 4_000_000])),
        "panic" => panic!("a panic that a test wants"),
        "panic-work" => Answer::Work(Box::new(|_| panic!("a panic that a test wants"))),
        "echo" => Answer::Ready(Response::new(200, "text/plain", request.body.clone())),
        _ => Answer::Ready(Response::new(200, "text/plain", path.into_bytes())),
    }
}

/// One response from a stream: head and body. `None` at a clean end.
fn read_response(stream: &mut TcpStream, head_only: bool) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).expect("a response or a clean end") == 0 {
            assert!(head.is_empty(), "an end within a head: {}", String::from_utf8_lossy(&head));
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; if head_only { 0 } else { length }];
    stream.read_exact(&mut body).unwrap();
    Some((head, body))
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn pipelined_answers_come_in_the_order_of_their_requests() {
    let running = Running::start(limits(), site);
    let paths: Vec<String> =
        (0..200).map(|n| if n % 3 == 0 { format!("/work/{n}") } else { format!("/{n}") }).collect();
    let requests: String = paths.iter().map(|path| get(path)).collect();
    let mut stream = running.ask(requests.as_bytes());
    for path in &paths {
        let (head, body) = read_response(&mut stream, false).unwrap();
        assert!(head.contains("Connection: keep-alive\r\nKeep-Alive: timeout=15\r\n"), "{head}");
        assert_eq!(String::from_utf8(body).unwrap(), *path);
    }
    // The connection goes on.
    stream.write_all(get("/more").as_bytes()).unwrap();
    assert_eq!(read_response(&mut stream, false).unwrap().1, b"/more");
}

#[test]
fn a_bad_request_in_a_pipeline_ends_it() {
    let running = Running::start(limits(), site);
    let input = format!("{}{}BAD\r\n\r\n{}", get("/1"), get("/work/2"), get("/3"));
    let mut stream = running.ask(input.as_bytes());
    assert_eq!(read_response(&mut stream, false).unwrap().1, b"/1");
    assert_eq!(read_response(&mut stream, false).unwrap().1, b"/work/2");
    let (head, _) = read_response(&mut stream, false).unwrap();
    assert!(status(&head) == 400 && head.contains("Connection: close\r\n"), "{head}");
    assert!(read_response(&mut stream, false).is_none());
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let running = Running::start(limits(), site);
    let mut stream =
        running.ask(b"HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\nGET /abc HTTP/1.1\r\nHost: h\r\n\r\n");
    let (head, _) = read_response(&mut stream, true).unwrap();
    let (same, body) = read_response(&mut stream, false).unwrap();
    let without_date = |head: &str| head.lines().filter(|l| !l.starts_with("Date")).collect::<String>();
    assert_eq!(without_date(&head), without_date(&same));
    assert_eq!(body, b"/abc");
}

#[test]
fn half_closed_clients_still_get_their_answers() {
    let running = Running::start(limits(), site);
    for path in ["/work/a", "/b", "/large"] {
        let mut stream = running.ask(get(path).as_bytes());
        stream.shutdown(Shutdown::Write).unwrap();
        let (head, body) = read_response(&mut stream, false).unwrap();
        assert_eq!(status(&head), 200);
        assert!(body == path.as_bytes() || body.len() == 4_000_000);
        assert!(read_response(&mut stream, false).is_none());
    }
}

#[test]
fn versions_and_persistence() {
    let running = Running::start(limits(), site);
    for (input, persists) in [
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
    ] {
        let mut stream = running.ask(input.as_bytes());
        let (head, _) = read_response(&mut stream, false).unwrap();
        assert_eq!(head.contains("Connection: keep-alive\r\n"), persists, "{input}");
        if !persists {
            assert!(read_response(&mut stream, false).is_none());
        }
    }
}

#[test]
fn methods_that_no_map_knows() {
    let running = Running::start(limits(), site);
    for (method, target, expected) in [
        ("PUT", "/", 405),
        ("DELETE", "/", 405),
        ("TRACE", "/", 405),
        ("CONNECT", "h:443", 405),
        ("BREW", "/", 501),
        ("get", "/", 501),
        ("OPTIONS", "*", 204),
        ("OPTIONS", "/", 200),
        ("POST", "/", 200),
    ] {
        let mut stream = running.ask(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!(status(&read_response(&mut stream, false).unwrap().0), expected, "{method}");
    }
}

#[test]
fn a_panic_costs_one_request() {
    let running = Running::start(limits(), site);
    let mut stream = running.ask(format!("{}{}{}", get("/panic"), get("/panic-work"), get("/a")).as_bytes());
    assert_eq!(status(&read_response(&mut stream, false).unwrap().0), 500);
    assert_eq!(status(&read_response(&mut stream, false).unwrap().0), 500);
    assert_eq!(read_response(&mut stream, false).unwrap().1, b"/a");
}

#[test]
fn refusals_are_read_whole_though_the_client_is_still_sending() {
    let running = Running::start(limits(), site);
    let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(300_000));
    let fields = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: abcdefgh\r\n".repeat(20_000));
    let body =
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n{}", "b".repeat(3_000_000));
    for (input, expected) in [(line, 414), (fields, 431), (body, 413)] {
        let mut stream = running.connect();
        // What comes after the refusal may find nobody where we are kept from sending it for long.
        let _ = stream.write_all(input.as_bytes());
        let (head, body) = read_response(&mut stream, false).unwrap();
        assert_eq!(status(&head), expected);
        assert!(head.contains("Connection: close\r\n") && !body.is_empty());
        assert!(read_response(&mut stream, false).is_none());
    }
}

#[test]
fn bodies_and_continue() {
    let running = Running::start(limits(), site);
    let mut stream =
        running.ask(b"POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert!(read_response(&mut stream, false).unwrap().0.starts_with("HTTP/1.1 100 Continue"));
    stream.write_all(b"abc").unwrap();
    assert_eq!(read_response(&mut stream, false).unwrap().1, b"abc");
    stream
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .unwrap();
    assert_eq!(read_response(&mut stream, false).unwrap().1, b"abc");
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert_eq!(status(&read_response(&mut stream, false).unwrap().0), 417);
}

#[test]
fn deadlines_of_reading() {
    let hasty = Running::start(Limits { first_byte_ms: 60, ..limits() }, site);
    let slow = Limits { header_ms: 60, body_ms: 60, keep_alive_idle_ms: 0, ..limits() };
    let running = Running::start(slow, site);
    // Nothing at all: a silent end.
    assert!(read_response(&mut hasty.connect(), false).is_none());
    // A head that never ends, a body that never comes: 408.
    for part in ["GET / HT", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab"] {
        let mut stream = running.ask(part.as_bytes());
        let (head, _) = read_response(&mut stream, false).unwrap();
        assert!(status(&head) == 408 && head.contains("Connection: close\r\n"), "{head}");
        assert!(read_response(&mut stream, false).is_none());
    }
    // Idle between requests: a silent end.
    let mut stream = running.ask(get("/").as_bytes());
    assert!(read_response(&mut stream, false).is_some());
    assert!(read_response(&mut stream, false).is_none());
}

#[test]
fn a_connection_has_a_bounded_number_of_requests() {
    let running = Running::start(Limits { keep_alive_requests: 3, ..limits() }, site);
    let mut stream = running.connect();
    for n in 1..=3 {
        stream.write_all(get("/a").as_bytes()).unwrap();
        let (head, _) = read_response(&mut stream, false).unwrap();
        assert_eq!(head.contains("Connection: close\r\n"), n == 3);
    }
    assert!(read_response(&mut stream, false).is_none());
    // What was sent at once is answered a little further, not without end.
    let mut stream = running.ask(get("/a").repeat(100).as_bytes());
    let heads: Vec<String> = std::iter::from_fn(|| Some(read_response(&mut stream, false)?.0)).collect();
    assert!(heads.len() > 3 && heads.len() < 100, "{}", heads.len());
    let closes = heads.iter().filter(|head| head.contains("Connection: close\r\n")).count();
    assert!(closes == 1 && heads[heads.len() - 1].contains("Connection: close\r\n"));
}

#[test]
fn slow_readers_get_everything_and_who_reads_nothing_is_reset() {
    let running = Running::start(limits(), site);
    let mut stream = running.ask(get("/large").repeat(2).as_bytes());
    for _ in 0..2 {
        let (_, body) = read_response(&mut stream, false).unwrap();
        assert!(body.len() == 4_000_000 && body.iter().all(|byte| *byte == b'x'));
    }

    let running = Running::start(Limits { write_stall_ms: 60, ..limits() }, site);
    let mut stream = running.ask(get("/large").repeat(20).as_bytes());
    running.wait_until(|slot| slot.counters.events(crate::board::Event::ConnectionCut) == 1);
    let ended =
        std::iter::from_fn(|| Some(stream.read(&mut [0; 65_536]))).find(|read| !matches!(read, Ok(1..)));
    assert!(ended.unwrap().is_err(), "a reset, not an end that looks like the whole answer");
}

/// One render thread, held up by `/wait` until `released` is at its end;
/// `/never` must not run.
fn held_up(released: crossbeam_channel::Receiver<()>) -> impl Fn(&Request) -> Answer + Send + 'static {
    move |request| {
        let released = released.clone();
        match request.path.as_str() {
            "/wait" => Answer::Work(Box::new(move |_| {
                let _ = released.recv();
                Response::new(200, "text/plain", "late")
            })),
            "/never" => Answer::Work(Box::new(|_| unreachable!("nobody waits for this"))),
            _ => Answer::Ready(Response::new(200, "text/plain", "now")),
        }
    }
}

#[test]
fn who_waits_too_long_for_a_thread_gets_503_with_advice() {
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let one = Limits { render_threads: 1, waiting_threads: 0, render_queue_ms: 2_000, ..limits() };
    let running = Running::start(one, held_up(released));
    let mut first = running.ask(get("/wait").as_bytes());
    running.wait_until(|slot| slot.busy_threads().count() == 1);
    let mut queued = running.ask(get("/never").as_bytes());
    let (head, _) = read_response(&mut queued, false).unwrap();
    assert!(status(&head) == 503 && head.contains("Retry-After: "), "{head}");
    drop(release);
    assert_eq!(read_response(&mut first, false).unwrap().1, b"late");
    // The connection goes on.
    queued.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_response(&mut queued, false).unwrap().1, b"now");
}

#[test]
fn what_nobody_waits_for_any_more_is_not_begun() {
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let one = Limits { render_threads: 1, waiting_threads: 0, ..limits() };
    let running = Running::start(one, held_up(released));
    let mut first = running.ask(get("/wait").as_bytes());
    running.wait_until(|slot| slot.busy_threads().count() == 1);
    let queued = running.ask(get("/never").as_bytes());
    running.wait_until(|slot| slot.in_flight() == 2);
    // A reset: an end alone could be a half-close.
    socket2::SockRef::from(&queued).set_linger(Some(Duration::ZERO)).unwrap();
    drop(queued);
    running.wait_until(|slot| slot.connections() == 1 && slot.in_flight() == 1);
    drop(release);
    assert_eq!(read_response(&mut first, false).unwrap().1, b"late");
}

#[test]
fn draining_answers_with_close_and_ends_idle_connections_cleanly() {
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let quick = Limits { drain_idle_ms: 30, ..limits() };
    let mut running = Running::start(quick, move |request| {
        let released = released.clone();
        if request.path == "/wait" {
            return Answer::Work(Box::new(move |_| {
                let _ = released.recv();
                Response::new(200, "text/plain", vec![b'y'; 3_000_000])
            }));
        }
        site(request)
    });
    let mut idle = running.ask(get("/a").as_bytes());
    assert!(read_response(&mut idle, false).unwrap().0.contains("keep-alive"));
    let mut busy = running.ask(get("/wait").as_bytes());
    let mut silent = running.connect();
    running.wait_until(|slot| slot.busy_threads().count() == 1 && slot.connections() == 3);
    running.drain();
    running.wait_until(|slot| slot.state() == State::Draining);
    // The idle one: a clean end, and bytes that cross it are no reset.
    assert!(read_response(&mut idle, false).is_none());
    let _ = idle.write_all(get("/late").as_bytes());
    assert!(read_response(&mut idle, false).is_none());
    drop(idle);
    // Accepted, nothing sent yet: served.
    silent.write_all(get("/b").repeat(3).as_bytes()).unwrap();
    for n in 1..=3 {
        let (head, body) = read_response(&mut silent, false).unwrap();
        assert_eq!(body, b"/b");
        assert_eq!(head.contains("Connection: close\r\n"), n == 3, "{head}");
    }
    assert!(read_response(&mut silent, false).is_none());
    drop(silent);
    // Under way: finished, though it is larger than any socket buffer.
    drop(release);
    let (head, body) = read_response(&mut busy, false).unwrap();
    assert!(head.contains("Connection: close\r\n") && body.len() == 3_000_000);
    drop(busy);
    running.join();
}

#[test]
fn a_drain_ends_in_time_whatever_the_clients_do() {
    let quick = Limits { drain_max_ms: 50, ..limits() };
    let mut running = Running::start(quick, site);
    let stream = running.ask(get("/large").repeat(3).as_bytes());
    running.wait_until(|slot| slot.in_flight() == 1);
    running.drain();
    running.join();
    assert_eq!(running.board.slot(running.slot).counters.events(crate::board::Event::ConnectionCut), 1);
    drop(stream);
}

#[test]
fn without_a_master_the_worker_takes_what_waits_and_leaves() {
    let quick = Limits { drain_idle_ms: 1, ..limits() };
    let mut running = Running::start(quick, site);
    let mut stream = running.ask(get("/a").as_bytes());
    assert!(read_response(&mut stream, false).is_some());
    running.channel = None;
    assert!(read_response(&mut stream, false).is_none());
    drop(stream);
    running.join();
}

#[test]
fn connections_spread_over_the_workers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let board = Arc::new(Board::new(0).unwrap());
    let workers: Vec<Running> =
        (0..2).map(|_| Running::start_on(&listener, Arc::clone(&board), limits(), site)).collect();
    // A machine may have no time for one of them for a while; another round shows another picture.
    let is_spread = (0..5).any(|_| {
        let mut streams: Vec<TcpStream> =
            (0..16).map(|_| workers[0].ask(get("/work/a").as_bytes())).collect();
        for stream in &mut streams {
            assert!(read_response(stream, false).is_some());
        }
        let counts: Vec<u64> = workers.iter().map(|w| board.slot(w.slot).connections()).collect();
        assert_eq!(counts.iter().sum::<u64>(), 16);
        drop(streams);
        workers.iter().for_each(|worker| worker.wait_until(|slot| slot.connections() == 0));
        eprintln!("{counts:?}");
        counts.iter().all(|count| *count <= 10)
    });
    assert!(is_spread, "one worker has nearly all, time and again");
}

#[test]
fn past_the_bound_connections_wait_for_a_place() {
    let running = Running::start(Limits { connections_per_worker: 4, ..limits() }, site);
    let mut first: Vec<TcpStream> = (0..4).map(|_| running.ask(get("/a").as_bytes())).collect();
    for stream in &mut first {
        assert!(read_response(stream, false).is_some());
    }
    let mut waiting = running.ask(get("/b").as_bytes());
    first.truncate(2);
    assert_eq!(read_response(&mut waiting, false).unwrap().1, b"/b");
}

/// A temporary directory that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rhumb-worker-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The smallest whole PNG, with something that tells it apart.
fn png(mark: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[mark]).unwrap();
    bytes
}

#[test]
fn unix_sockets_are_served_alike() {
    let folder = Folder::new("unix");
    let path = folder.0.join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let board = Arc::new(Board::new(0).unwrap());
    let _running = Running::start_with(listener.into(), nowhere, board, limits(), |request| {
        assert_eq!(request.peer, None);
        site(request)
    });
    let mut stream = StdUnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n") && response.len() > 4_000_000);
}

#[test]
fn stored_tiles_are_answered_from_their_files_and_odd_ones_by_threads() {
    let folder = Folder::new("stored");
    let path = |name: &str| folder.0.join(name);
    std::fs::create_dir(path("single_color_tiles")).unwrap();
    std::fs::write(path("a.png"), png(1)).unwrap();
    std::fs::write(path("empty.png"), b"").unwrap();
    std::fs::write(path("cut.png"), &png(2)[..30]).unwrap();
    std::fs::write(path("single_color_tiles/ff.png"), png(3)).unwrap();
    std::fs::write(path("elsewhere.png"), png(4)).unwrap();
    std::fs::create_dir(path("folder.png")).unwrap();
    std::os::unix::fs::symlink("single_color_tiles/ff.png", path("color.png")).unwrap();
    std::os::unix::fs::symlink("elsewhere.png", path("odd.png")).unwrap();
    std::os::unix::fs::symlink("nowhere", path("dangling.png")).unwrap();
    nix::unistd::mkfifo(&path("fifo.png"), nix::sys::stat::Mode::S_IRWXU).unwrap();

    let root = folder.0.clone();
    let running = Running::start(limits(), move |request| {
        let stale = request.query == "stale";
        let file = TileFile {
            path: root.join(request.path.trim_start_matches('/')),
            format: crate::render::Format::Png,
            fresh_after: stale.then(|| SystemTime::now() + Duration::from_secs(60)),
        };
        Answer::StoredTile(Box::new(StoredTileAnswer {
            file,
            respond: Box::new(|tile| {
                let mut response = Response::new(200, "image/png", Vec::new());
                response.body = crate::wire::Body::Shared(tile.bytes);
                response
            }),
            otherwise: Box::new(|_| Response::new(200, "text/plain", "thread")),
        }))
    });
    let mut stream = running.connect();
    let mut body_of = |target: &str| {
        stream.write_all(get(target).as_bytes()).unwrap();
        read_response(&mut stream, false).unwrap().1
    };
    // Read as it lies, then from memory.
    for _ in 0..3 {
        assert_eq!(body_of("/a.png"), png(1));
        assert_eq!(body_of("/color.png"), png(3));
    }
    for odd in ["empty", "cut", "folder", "odd", "dangling", "fifo", "missing"] {
        assert_eq!(body_of(&format!("/{odd}.png")), b"thread", "{odd}");
    }
    assert_eq!(body_of("/a.png?stale"), b"thread");
}
