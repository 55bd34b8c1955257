//! The door: when a worker takes new connections, and when it leaves them to
//! its siblings.
//!
//! All workers listen on the same sockets with exclusive wake-ups, which go to
//! whoever registered last. So a worker steps back (takes the sockets out of its
//! poll) while it is full, and while it holds clearly more connections than the
//! least loaded of its siblings.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Token};

use super::conn::{Connection, Stream};
use super::timer::NEVER;
use super::{ADMIN, LISTENERS_FROM, Worker};
use crate::board::{Event, State};
use crate::conf::daemon::{Listen, Protocol};
use crate::log;
use crate::service::FIRST_SEGMENTS;
use crate::sys;
use crate::wire;
use crate::wire::cgi::Mount;
use crate::wire::codec::Codec;
use crate::wire::network::Networks;

/// Connections taken in one turn of the loop.
const ACCEPTS_PER_TURN: usize = 32;
/// How long siblings may take what this worker leaves, before it looks whether
/// somebody did: a wake-up that we used up reaches nobody else.
const HEAD_START_MS: u64 = 10;
/// How often a worker that stepped back looks at the others.
const BALANCE_LOOK_MS: u64 = 50;
/// Between two kept connections that are handed over to a sibling.
const HAND_OVER_INTERVAL_MS: u64 = 50;
/// A sibling whose loop has not turned for so long takes nothing.
const SIBLING_STALE_MS: u64 = 1_500;
/// Without descriptors, waiting is all that helps.
const DESCRIPTORS_PAUSE_MS: u64 = 500;
const DESCRIPTORS_LOG_INTERVAL_MS: u64 = 60_000;
/// Admin connections beyond the bound on all connections.
const ADMIN_CONNECTIONS_SPARE: usize = 32;
const STRANGERS_LOG_INTERVAL_MS: u64 = 60_000;

/// A listening socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Takes over a bound, listening socket.
    ///
    /// # Errors
    /// Not a socket of a family that is known here.
    fn new(socket: OwnedFd) -> io::Result<Listener> {
        let socket = socket2::Socket::from(socket);
        socket.set_nonblocking(true)?;
        let is_unix = socket.domain()? == socket2::Domain::UNIX;
        let socket = OwnedFd::from(socket);
        Ok(if is_unix {
            Listener::Unix(UnixListener::from_std(socket.into()))
        } else {
            Listener::Tcp(TcpListener::from_std(socket.into()))
        })
    }

    fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                // Answers go out in one write: waiting for more gains nothing.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Listener::Unix(listener) => Ok((Stream::Unix(listener.accept()?.0), None)),
        }
    }

    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Whether the trouble is one connection's own: the client left before it was
/// taken, a firewall forbade it, or its network failed (Linux hands those on).
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    Open,
    /// Connections or queued renders are at their bound.
    Full,
    /// Siblings are to take the next ones; `look_ms`: when to see whether
    /// they did.
    StepsBack {
        look_ms: u64,
    },
    /// No descriptors left, until then.
    OutOfDescriptors {
        until_ms: u64,
    },
}

/// One place to come in.
pub(super) struct Entrance {
    listener: Listener,
    protocol: Protocol,
    mount: Arc<Mount>,
    /// Connections begin with a header of the PROXY protocol, and only these
    /// peers may come.
    proxy_senders: Option<Networks>,
}

impl Entrance {
    /// Takes over a bound, listening socket; `maps` are the names of maps
    /// below the root.
    ///
    /// # Errors
    /// Not a socket of a family that is known here.
    pub fn new(socket: OwnedFd, listen: &Listen, maps: &[String]) -> io::Result<Entrance> {
        let mount = Mount { prefix: listen.prefix.clone(), services: FIRST_SEGMENTS, maps: maps.to_vec() };
        Ok(Entrance {
            listener: Listener::new(socket)?,
            protocol: listen.protocol,
            mount: Arc::new(mount),
            proxy_senders: listen.proxy_senders.clone(),
        })
    }

    /// The protocol of a new connection.
    fn codec(&self, limits: wire::limit::Limits, connections_max: usize) -> Codec {
        let mount = Arc::clone(&self.mount);
        match self.protocol {
            Protocol::Http | Protocol::Admin => Codec::http(limits, "http"),
            Protocol::FastCgi => Codec::fastcgi(limits, mount, connections_max),
            Protocol::Scgi => Codec::scgi(limits, mount),
            Protocol::Uwsgi => Codec::uwsgi(limits, mount),
        }
    }
}

/// How a connection came in.
#[derive(Clone, Copy, Debug)]
struct Guest {
    /// It begins with a header of the PROXY protocol.
    proxied: bool,
    admin: bool,
}

pub(super) struct Door {
    entrances: Vec<Entrance>,
    /// Always open: who looks after us must be answered while all is full.
    admin: Option<Entrance>,
    admin_is_watched: bool,
    stance: Stance,
    /// Given up for a moment to take a connection and close it, when there is
    /// no other descriptor left: the client gets an answer of a kind.
    spare: Option<File>,
    descriptors_logged_ms: Option<u64>,
    stranger_logged_ms: Option<u64>,
    /// When it was last looked whether to hand a connection over.
    hand_over_ms: u64,
}

impl Door {
    pub fn new(mut entrances: Vec<Entrance>) -> Door {
        let admin = entrances.iter().position(|entrance| entrance.protocol == Protocol::Admin);
        Door {
            admin: admin.map(|at| entrances.remove(at)),
            admin_is_watched: false,
            entrances,
            stance: Stance::Full,
            spare: File::open("/dev/null").ok(),
            descriptors_logged_ms: None,
            stranger_logged_ms: None,
            hand_over_ms: 0,
        }
    }

    /// Until when the loop may sleep as far as the door is concerned.
    pub fn look_ms(&self, now_ms: u64) -> u64 {
        match self.stance {
            Stance::Open | Stance::Full => NEVER,
            Stance::StepsBack { look_ms } => look_ms.min(now_ms + BALANCE_LOOK_MS),
            Stance::OutOfDescriptors { until_ms } => until_ms,
        }
    }

    fn watch(&mut self, registry: &mio::Registry) -> io::Result<()> {
        for (number, entrance) in self.entrances.iter().enumerate() {
            let token = (LISTENERS_FROM + number) as u64;
            sys::watch_exclusively(registry.as_fd(), entrance.listener.as_fd(), token)?;
        }
        Ok(())
    }

    fn stop_watching(&mut self, registry: &mio::Registry) {
        for entrance in &self.entrances {
            if let Err(error) = sys::stop_watching(registry.as_fd(), entrance.listener.as_fd()) {
                log::alert!("cannot take a listening socket out of the poll: {error}");
            }
        }
    }
}

impl Worker {
    /// Begins to take connections.
    pub(super) fn open_door(&mut self) {
        if self.door.stance == Stance::Open || self.door.entrances.is_empty() {
            return;
        }
        match self.door.watch(self.poll.registry()) {
            Ok(()) => self.door.stance = Stance::Open,
            Err(error) => {
                self.door.stop_watching(self.poll.registry());
                let until_ms = self.clock.now_ms + DESCRIPTORS_PAUSE_MS;
                self.door.stance = Stance::OutOfDescriptors { until_ms };
                log::error!("cannot watch the listening sockets: {error}");
            }
        }
    }

    fn shut_door(&mut self, stance: Stance) {
        if self.door.stance == Stance::Open {
            self.door.stop_watching(self.poll.registry());
        }
        self.door.stance = stance;
    }

    /// Takes no more connections, ever; the sockets are closed. With
    /// `take_queued`, what waits in them is taken first: nobody else will.
    /// Otherwise only what a wake-up may have been used up for.
    pub(super) fn close_door(&mut self, take_queued: bool) {
        self.shut_door(Stance::Full);
        drop(self.stop_watching_admin());
        let connections_max = if take_queued { usize::MAX } else { ACCEPTS_PER_TURN };
        for entrance in std::mem::take(&mut self.door.entrances) {
            for _ in 0..connections_max {
                if self.connections.count() >= self.limits.connections_per_worker {
                    break;
                }
                let Ok((stream, peer)) = entrance.listener.accept() else { break };
                match &entrance.proxy_senders {
                    Some(senders) if !senders.holds(peer) => self.turn_away(peer),
                    senders => {
                        let codec = self.codec_of(&entrance);
                        self.welcome(stream, peer, codec, Guest { proxied: senders.is_some(), admin: false });
                    }
                }
            }
        }
    }

    /// Begins to take admin connections.
    pub(super) fn watch_admin(&mut self) {
        let Some(admin) = self.door.admin.as_ref().filter(|_| !self.door.admin_is_watched) else { return };
        let watched =
            sys::watch_exclusively(self.poll.registry().as_fd(), admin.listener.as_fd(), ADMIN.0 as u64);
        match watched {
            Ok(()) => self.door.admin_is_watched = true,
            Err(error) => log::error!("cannot watch the admin socket: {error}"),
        }
    }

    fn stop_watching_admin(&mut self) -> Option<Entrance> {
        let admin = self.door.admin.take()?;
        if std::mem::take(&mut self.door.admin_is_watched)
            && let Err(error) = sys::stop_watching(self.poll.registry().as_fd(), admin.listener.as_fd())
        {
            log::alert!("cannot take the admin socket out of the poll: {error}");
        }
        Some(admin)
    }

    /// The admin socket is readable.
    pub(super) fn accept_admin(&mut self) {
        let connections_max = self.limits.connections_per_worker + ADMIN_CONNECTIONS_SPARE;
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(admin) = &self.door.admin else { return };
            let accepted = if self.connections.count() < connections_max {
                admin.listener.accept()
            } else {
                Err(io::Error::from_raw_os_error(libc::EMFILE))
            };
            match accepted {
                Ok((stream, peer)) => {
                    let codec = Codec::http(self.wire_limits, "http");
                    self.welcome(stream, peer, codec, Guest { proxied: false, admin: true });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_passing(&error) => {}
                // Looked at again in a second: the event would come back at once.
                Err(error) => {
                    log::warn!("no connection to the admin socket can be taken: {error}");
                    self.door.admin = self.stop_watching_admin();
                    return;
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.connections.count() >= self.limits.connections_per_worker || self.pool.is_full()
    }

    fn has_room_again(&self) -> bool {
        self.connections.count() <= self.limits.connections_per_worker * 3 / 4 && self.pool.has_room_again()
    }

    /// Whether this worker holds clearly more connections than the least
    /// loaded one that could take the next.
    fn is_heavy(&self) -> bool {
        let own = self.connections.count() as u64;
        self.least_of_siblings().is_some_and(|least| own >= least + 2 + least / 8)
    }

    /// Whether to end one kept connection after its answer, so that its client
    /// comes back to a sibling that holds far fewer. Who keeps a connection
    /// stays where it came to: with a worker that was alone awake in a rush, or
    /// with the survivor of a death.
    pub(super) fn hands_over(&mut self) -> bool {
        let now_ms = self.clock.now_ms;
        if now_ms < self.door.hand_over_ms + HAND_OVER_INTERVAL_MS {
            return false;
        }
        self.door.hand_over_ms = now_ms;
        let own = self.connections.count() as u64;
        self.least_of_siblings().is_some_and(|least| own >= least + 4 + least / 4)
    }

    /// Connections of the least loaded sibling that could take the next one.
    fn least_of_siblings(&self) -> Option<u64> {
        self.board
            .live_slots()
            .filter(|(number, slot)| {
                *number != self.slot
                    && slot.state() == State::Serving
                    && slot.tick_ms() + SIBLING_STALE_MS > self.clock.now_ms
            })
            .map(|(_, slot)| slot.connections())
            .min()
    }

    /// Once in each turn of the loop: opens or shuts as things have become.
    pub(super) fn mind_door(&mut self) {
        let now_ms = self.clock.now_ms;
        match self.door.stance {
            _ if self.door.entrances.is_empty() => {}
            Stance::Open if self.is_full() => self.shut_door(Stance::Full),
            Stance::Full if self.has_room_again() => self.open_door(),
            Stance::StepsBack { .. } if self.is_full() => self.shut_door(Stance::Full),
            Stance::StepsBack { .. } if !self.is_heavy() => self.open_door(),
            Stance::StepsBack { look_ms } if look_ms <= now_ms => {
                // Still queued after the head start: nobody was woken for it.
                let took = (0..self.door.entrances.len()).any(|number| self.accept_one(number));
                let look_ms = if took { now_ms + HEAD_START_MS } else { NEVER };
                if matches!(self.door.stance, Stance::StepsBack { .. }) {
                    self.door.stance = Stance::StepsBack { look_ms };
                }
            }
            Stance::OutOfDescriptors { until_ms } if until_ms <= now_ms => self.open_door(),
            _ => {}
        }
    }

    /// A look at the sockets without an event, once a second: a sibling may
    /// have used up a wake-up and then stepped back.
    pub(super) fn look_at_door(&mut self) {
        self.watch_admin();
        if matches!(self.door.stance, Stance::Open | Stance::StepsBack { .. }) && !self.is_full() {
            for number in 0..self.door.entrances.len() {
                self.accept_one(number);
            }
        }
    }

    /// A listening socket is readable.
    pub(super) fn accept_from(&mut self, number: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.door.stance != Stance::Open {
                return;
            }
            if self.is_full() {
                return self.shut_door(Stance::Full);
            }
            if self.is_heavy() {
                let look_ms = self.clock.now_ms + HEAD_START_MS;
                return self.shut_door(Stance::StepsBack { look_ms });
            }
            if !self.accept_one(number) {
                return;
            }
        }
    }

    /// Takes one connection; false when there is none or none can be had.
    fn accept_one(&mut self, number: usize) -> bool {
        let Some(entrance) = self.door.entrances.get(number) else { return false };
        let senders = &entrance.proxy_senders;
        match entrance.listener.accept() {
            Ok((_, peer)) if senders.as_ref().is_some_and(|senders| !senders.holds(peer)) => {
                self.turn_away(peer);
                true
            }
            Ok((stream, peer)) => {
                let proxied = senders.is_some();
                let codec = self.codec_of(entrance);
                self.welcome(stream, peer, codec, Guest { proxied, admin: false });
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if is_passing(&error) => {
                log::debug!("a connection could not be taken: {error}");
                true
            }
            // No descriptors or memory, or something that will not go away by
            // itself: trying again at once would only burn the core.
            Err(error) => {
                self.pause_accepting(number, &error);
                false
            }
        }
    }

    fn pause_accepting(&mut self, number: usize, error: &io::Error) {
        let now_ms = self.clock.now_ms;
        self.shut_door(Stance::OutOfDescriptors { until_ms: now_ms + DESCRIPTORS_PAUSE_MS });
        let door = &mut self.door;
        if door.spare.take().is_some() {
            drop(door.entrances[number].listener.accept());
            door.spare = File::open("/dev/null").ok();
        }
        if door.descriptors_logged_ms.is_none_or(|at| at + DESCRIPTORS_LOG_INTERVAL_MS <= now_ms) {
            door.descriptors_logged_ms = Some(now_ms);
            log::error!("connections wait, none can be taken: {error}");
        }
    }

    /// Somebody who must not say from whom he comes tried to; he is closed.
    fn turn_away(&mut self, peer: Option<IpAddr>) {
        let now_ms = self.clock.now_ms;
        self.board.slot(self.slot).counters.count(Event::ConnectionCut, 1);
        if self.door.stranger_logged_ms.is_none_or(|at| at + STRANGERS_LOG_INTERVAL_MS <= now_ms) {
            self.door.stranger_logged_ms = Some(now_ms);
            let name = peer.map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_string());
            log::error!(
                "a connection from {name} is refused: not a sender of the PROXY protocol (proxy_protocol, trusted_proxies)"
            );
        }
    }

    /// The protocol of a new connection.
    fn codec_of(&self, entrance: &Entrance) -> Codec {
        entrance.codec(self.wire_limits, self.limits.connections_per_worker)
    }

    /// A new connection.
    fn welcome(&mut self, mut stream: Stream, peer: Option<IpAddr>, codec: Codec, guest: Guest) {
        let token = self.connections.reserve();
        let registry = self.poll.registry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = match &mut stream {
            Stream::Tcp(stream) => registry.register(stream, token, interest),
            Stream::Unix(stream) => registry.register(stream, token, interest),
        };
        if let Err(error) = registered {
            log::error!("cannot watch a connection: {error}");
            return;
        }
        let mut connection = Connection::new(stream, peer, codec, self.clock.now_ms);
        connection.awaits_proxy_header = guest.proxied;
        connection.is_admin = guest.admin;
        self.connections.insert(Box::new(connection));
        let slot = self.board.slot(self.slot);
        slot.set_connections(self.connections.count() as u64);
        if !guest.admin {
            slot.counters.count(Event::ConnectionAccepted, 1);
        }
        self.advance(token);
    }

    /// Which listening socket a token names, if it names one.
    pub(super) fn listener_number(token: Token) -> Option<usize> {
        token.0.checked_sub(LISTENERS_FROM)
    }
}
