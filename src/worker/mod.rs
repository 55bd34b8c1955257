//! One process, one event loop, its render threads.
//!
//! The loop owns every socket and never waits for anything but events; what
//! computes or waits goes to a thread (`pool.rs`). Which answer a request gets
//! is the site's business; this room moves bytes, keeps time and keeps bounds.

mod accept;
mod access;
mod admin;
mod conn;
mod drain;
mod exchange;
mod finish;
mod intake;
mod pool;
mod recycle;
mod stored;
mod timer;

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use crate::app;
use crate::board::{Board, LOOP, State};
use crate::conf::daemon::Limits;
use crate::conf::{Daemon, FileSet};
use crate::log;
use crate::plan::{Gate, TileMemory};
use crate::service::Answer;
use crate::sys;
use crate::wire::forwarded::Proxies;
use crate::wire::frames::Frames;
use crate::wire::{self, Request};
use accept::{Door, Entrance};
use access::Tally;
use conn::Connections;
use drain::{Drain, Leave};
use finish::Finish;
use pool::{Pool, PoolOptions};
use recycle::Term;
use stored::StoredTiles;
use timer::{Clock, Timer};

/// What a worker is born with.
///
/// By then the child has closed every descriptor but these and the logs, has
/// dropped its privileges and ignores HUP, INT, USR2, WINCH, TTIN and TTOU.
/// TERM (leave within a second), QUIT (drain) and USR1 (reopen the logs) are
/// blocked: the worker reads them with `sys::open_signal_fd`.
pub struct Birth {
    pub daemon: Daemon,
    /// The checked files of this generation.
    pub files: FileSet,
    pub generation: u64,
    /// Slot on the scoreboard.
    pub slot: usize,
    pub board: std::sync::Arc<crate::board::Board>,
    /// Listening sockets in the order of `daemon.places()`.
    pub listeners: Vec<OwnedFd>,
    /// The channel to the master: one-byte messages; end of file means the
    /// master died: drain.
    pub channel: OwnedFd,
}

/// Master → worker: others take over, drain.
pub const MESSAGE_DRAIN: u8 = b'd';
/// Worker → master: ready to serve.
pub const MESSAGE_READY: u8 = b'r';
/// Worker → master: the board tells something new.
pub const MESSAGE_LOOK: u8 = b'l';

/// Exit code: left as told.
const CODE_LEFT: i32 = 0;
/// Exit code: the configuration cannot be served; trying again is no use.
const CODE_CONFIGURATION: i32 = 3;
/// Exit code: the system refused something; it may be there later.
const CODE_RESOURCES: i32 = 4;

/// The loop's own tokens have the highest bit; connections never do.
const LISTENERS_FROM: usize = 1 << (usize::BITS - 1);
const WAKER: Token = Token(usize::MAX);
const CHANNEL: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);
const ADMIN: Token = Token(usize::MAX - 3);

const EVENTS_PER_TURN: usize = 256;
/// Read at once from a socket; one buffer for all connections.
const SCRATCH_BYTES: usize = 64 * 1024;
/// The master takes a loop that does not turn for stuck; idle ones turn too.
const HEARTBEAT_MS: u64 = 500;

/// Who says how a request is answered.
type Responder = Box<dyn Fn(&Request) -> Answer>;

/// What a loop is made of.
struct Parts {
    limits: Limits,
    answer: Responder,
    memory: Arc<TileMemory>,
    gate: Arc<Gate>,
    board: Arc<Board>,
    slot: usize,
    entrances: Vec<Entrance>,
    channel: OwnedFd,
    signals: Option<SignalFd>,
    proxies: Option<Proxies>,
}

/// The event loop with all that hangs on it.
struct Worker {
    poll: Poll,
    limits: Limits,
    wire_limits: wire::limit::Limits,
    answer: Responder,
    /// Whose word about a request counts.
    proxies: Option<Proxies>,
    door: Door,
    connections: Connections,
    /// Connections that had more to do than their turn allowed.
    again: Vec<Token>,
    timer: Timer,
    clock: Clock,
    pool: Pool,
    stored: StoredTiles,
    board: Arc<Board>,
    slot: usize,
    drain: Drain,
    channel: Option<UnixStream>,
    signals: Option<SignalFd>,
    logs_access: bool,
    tally: Tally,
    /// Requests begun and not yet answered.
    in_flight: u64,
    /// Requests begun since the start.
    requests: u64,
    term: Term,
    scratch: Vec<u8>,
    /// What stands around the body of the response that is being made.
    frames: Frames,
    /// Method and target of the request that is being taken up.
    line: String,
    door_looked_ms: u64,
}

/// The worker's whole life, after the fork; returns the exit code
/// (prefork.md §8: 0 drained, 3 configuration, 4 resources).
pub fn run(birth: Birth) -> i32 {
    log_panics();
    sys::allocator::keep_picture_memory();
    let Birth { daemon, mut files, generation, slot, board, listeners, channel } = birth;
    sys::crash::name_thread(LOOP);
    let marked = sys::crash::mark_crashes(Arc::clone(&board), |board| board.slot(slot).culprit_word());
    if let Err(error) = marked {
        log::warn!("a crash of this worker will not tell its request: {error}");
    }
    let app = match app::build(&daemon, &mut files) {
        Ok(app) => app,
        Err(findings) => {
            for finding in findings {
                log::error!("{finding}");
            }
            return CODE_CONFIGURATION;
        }
    };
    drop(files);
    let signals = sys::open_signal_fd(&[Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGUSR1]);
    let site = app.site;
    let maps = site.names();
    let entrances: io::Result<Vec<Entrance>> = listeners
        .into_iter()
        .zip(daemon.places())
        .map(|(socket, listen)| Entrance::new(socket, &listen, &maps))
        .collect();
    let finish = Finish::default();
    let started = signals.and_then(|signals| {
        Worker::new(Parts {
            limits: daemon.limits,
            answer: Box::new(move |request| finish.apply(request, site.answer(request))),
            memory: app.memory,
            gate: app.gate,
            board,
            slot,
            entrances: entrances?,
            channel,
            signals: Some(signals),
            proxies: daemon.proxies,
        })
    });
    let mut worker = match started {
        Ok(worker) => worker,
        Err(error) => {
            log::error!("a worker cannot start: {error}");
            return CODE_RESOURCES;
        }
    };
    log::debug!("worker of generation {generation} serves");
    match worker.serve() {
        Ok(()) => CODE_LEFT,
        Err(error) => {
            log::error!("the event loop of a worker failed: {error}");
            CODE_RESOURCES
        }
    }
}

/// Panics of threads and of the loop go to the log, with their place.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        log::alert!("{info}");
    }));
}

impl Worker {
    fn new(parts: Parts) -> io::Result<Worker> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let channel = std::os::unix::net::UnixStream::from(parts.channel);
        channel.set_nonblocking(true)?;
        let mut channel = UnixStream::from_std(channel);
        poll.registry().register(&mut channel, CHANNEL, Interest::READABLE)?;
        if let Some(signals) = &parts.signals {
            let fd = signals.as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), SIGNALS, Interest::READABLE)?;
        }
        let limits = parts.limits;
        let clock = Clock::new();
        let noise = sys::monotonic_us() ^ (u64::from(std::process::id()) << 8);
        let term = Term::new(&limits, clock.now_ms, noise);
        let pool = Pool::new(PoolOptions {
            gate: parts.gate,
            render_threads: limits.render_threads,
            waiting_threads: limits.waiting_threads,
            queue_max: limits.render_queue,
            board: Arc::clone(&parts.board),
            slot: parts.slot,
            waker,
        });
        Ok(Worker {
            poll,
            wire_limits: wire::limit::Limits {
                request_line_bytes: limits.request_line_bytes,
                header_bytes: limits.header_bytes,
                header_count: limits.header_count,
                header_field_bytes: limits.header_field_bytes,
                body_bytes: limits.body_bytes,
            },
            limits,
            answer: parts.answer,
            proxies: parts.proxies,
            door: Door::new(parts.entrances),
            connections: Connections::default(),
            again: Vec::new(),
            timer: Timer::new(),
            clock,
            pool,
            stored: StoredTiles::new(parts.memory),
            board: parts.board,
            slot: parts.slot,
            drain: Drain::default(),
            channel: Some(channel),
            signals: parts.signals,
            logs_access: log::access_enabled(),
            tally: Tally::default(),
            in_flight: 0,
            requests: 0,
            term,
            scratch: vec![0; SCRATCH_BYTES],
            frames: Frames::default(),
            line: String::with_capacity(1024),
            door_looked_ms: 0,
        })
    }

    /// Tells the master, opens the door, and serves until it has left.
    fn serve(&mut self) -> io::Result<()> {
        let slot = self.board.slot(self.slot);
        slot.set_tick_ms(self.clock.now_ms);
        slot.set_state(State::Serving);
        self.open_door();
        self.watch_admin();
        if let Some(channel) = &mut self.channel {
            channel.write_all(&[MESSAGE_READY])?;
        }
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.has_left() {
            self.turn(&mut events)?;
        }
        Ok(())
    }

    /// What there is to say is on the board, and the master looks there every
    /// second anyway.
    fn wake_master(&mut self) {
        if let Some(channel) = &mut self.channel {
            let _ = channel.write(&[MESSAGE_LOOK]);
        }
    }

    /// One turn of the loop: wait, handle what happened, keep time.
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let wait = Some(self.wait_max());
        match self.poll.poll(events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Err(_) => events.clear(),
            Ok(()) => {}
        }
        self.clock.tick();
        self.board.slot(self.slot).set_queued(self.pool.queued());
        self.board.slot(self.slot).set_tick_ms(self.clock.now_ms);
        for token in std::mem::take(&mut self.again) {
            self.advance(token);
        }
        for event in events.iter() {
            match event.token() {
                WAKER => {
                    for finished in self.pool.take_finished() {
                        self.deliver(finished);
                    }
                }
                CHANNEL => self.hear_master(),
                SIGNALS => self.take_signals(),
                ADMIN => self.accept_admin(),
                token => match Self::listener_number(token) {
                    Some(number) => self.accept_from(number),
                    None => self.connection_event(event),
                },
            }
        }
        self.sweep();
        self.mind_door();
        self.mind_term();
        if self.door_looked_ms + 2 * HEARTBEAT_MS <= self.clock.now_ms {
            self.door_looked_ms = self.clock.now_ms;
            self.look_at_door();
        }
        Ok(())
    }

    /// How long the loop may sleep.
    fn wait_max(&self) -> Duration {
        if !self.again.is_empty() {
            return Duration::ZERO;
        }
        let now_ms = self.clock.now_ms;
        let next_ms = self.timer.next_ms().min(self.door.look_ms(now_ms)).min(self.drain.end_ms());
        Duration::from_millis(next_ms.saturating_sub(now_ms).min(HEARTBEAT_MS))
    }

    /// Messages from the master; the end of the channel is its death, after
    /// which nobody listens any more.
    fn hear_master(&mut self) {
        let mut bytes = [0; 64];
        loop {
            let Some(channel) = &mut self.channel else { return };
            match channel.read(&mut bytes) {
                Ok(0) => {
                    self.channel = None;
                    log::warn!("the master is gone: leaving");
                    return self.leave(Leave::Shutdown);
                }
                Ok(count) => {
                    for message in &bytes[..count] {
                        match *message {
                            MESSAGE_DRAIN => self.leave(Leave::Reload),
                            other => log::alert!("unknown message {other} from the master"),
                        }
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted => {}
                    _ => {
                        self.channel = None;
                        return self.leave(Leave::Shutdown);
                    }
                },
            }
        }
    }

    fn take_signals(&mut self) {
        while let Some(Ok(Some(signal))) = self.signals.as_ref().map(SignalFd::read_signal) {
            match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGTERM)) => self.leave(Leave::Quick),
                Ok(Ok(Signal::SIGQUIT)) => self.leave(Leave::Shutdown),
                Ok(Ok(Signal::SIGUSR1)) => {
                    if let Err(error) = log::reopen() {
                        log::error!("the logs cannot be opened anew, the old ones stay in use: {error}");
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
