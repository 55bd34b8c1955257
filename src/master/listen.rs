//! Listening sockets: bound once by the master, inherited by every fork, kept
//! over reloads by their address. No SO_REUSEPORT: closing one of several such
//! sockets resets the connections that wait on it.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::conf::daemon::{Listen, ListenAddress, Protocol};
use crate::log;

/// Connections that the kernel holds for us until a worker is free (it lowers
/// this to `net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// A socket as one generation uses it.
pub struct Listener {
    wanted: Listen,
    place: Rc<Place>,
}

/// One listening socket. The last `Rc` closes it and removes its path, unless
/// that is somebody else's.
pub struct Place {
    /// As configured when it was opened: what a reload compares.
    key: ListenAddress,
    /// As bound: a port 0 has become a real one.
    bound: Bound,
    socket: OwnedFd,
    /// From whoever started us (socket activation), under this name: never
    /// removed.
    given: Option<String>,
    /// Another master uses it too, and will remove the path.
    lent: Cell<bool>,
    /// Device and inode of a Unix socket's path: whether what has the name is
    /// still this socket.
    file: Option<(u64, u64)>,
}

enum Bound {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A place that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {reason}")]
pub struct ListenError {
    place: String,
    reason: String,
}

/// The sockets for `wanted`, in that order: those of `present` that have the
/// address already, or bear the protocol as their name where they were given;
/// new ones for the rest.
///
/// # Errors
/// The first address that cannot be had; what was opened for the others is
/// closed again.
pub fn open_listeners(wanted: &[Listen], present: &[Rc<Place>]) -> Result<Vec<Listener>, ListenError> {
    let mut listeners: Vec<Listener> = Vec::with_capacity(wanted.len());
    for listen in wanted {
        let is_taken = |place: &Rc<Place>| listeners.iter().any(|known| Rc::ptr_eq(&known.place, place));
        if listeners.iter().any(|listener| is_same_place(&listener.wanted, listen)) {
            return Err(refuse(&listen.address, "it is named twice"));
        }
        let is_kept = |place: &Rc<Place>| place.is_at(&listen.address) && place.is_reachable();
        let by_address = present.iter().find(|place| is_kept(place) && !is_taken(place));
        let is_elsewhere = |place: &Rc<Place>| wanted.iter().any(|other| place.is_at(&other.address));
        let by_name = || {
            let name = listen.protocol.key();
            present.iter().find(|place| {
                place.given.as_deref() == Some(name) && !is_taken(place) && !is_elsewhere(place)
            })
        };
        let place = match by_address.or_else(by_name) {
            Some(place) => {
                place.set_mode(listen.mode).map_err(|error| refuse(&listen.address, &error.to_string()))?;
                Rc::clone(place)
            }
            None => Rc::new(Place::open(listen)?),
        };
        listeners.push(Listener { wanted: listen.clone(), place });
    }
    Ok(listeners)
}

/// Whether one socket serves for both. Port 0 stands for any port, so there two
/// protocols have one each.
fn is_same_place(a: &Listen, b: &Listen) -> bool {
    let is_any_port = matches!(&a.address, ListenAddress::Tcp(address) if address.port() == 0);
    a.address == b.address && (a.protocol == b.protocol || !is_any_port)
}

fn refuse(address: &ListenAddress, reason: &str) -> ListenError {
    let place = match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => path.display().to_string(),
    };
    ListenError { place, reason: reason.to_owned() }
}

impl Place {
    fn open(wanted: &Listen) -> Result<Place, ListenError> {
        let opened = match &wanted.address {
            ListenAddress::Tcp(address) => open_tcp(*address),
            ListenAddress::Unix(path) => open_unix(path),
        };
        let (socket, bound) = opened.map_err(|error| {
            let reason = match error.kind() {
                io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
                io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
                io::ErrorKind::PermissionDenied => {
                    "permission denied (ports below 1024 are for root)".to_owned()
                }
                _ => error.to_string(),
            };
            refuse(&wanted.address, &reason)
        })?;
        // From here on a failure drops the place, and so removes its path.
        let place = Place {
            key: wanted.address.clone(),
            file: bound.file(),
            bound,
            socket: socket.into(),
            given: None,
            lent: Cell::new(false),
        };
        place.set_mode(wanted.mode).map_err(|error| refuse(&wanted.address, &error.to_string()))?;
        Ok(place)
    }

    /// Takes over a socket that listens already: from an old master, which
    /// tells for which address it was opened, or (`given`, a name) from
    /// whoever started us.
    ///
    /// # Errors
    /// No listening stream socket.
    pub fn adopt(socket: OwnedFd, key: Option<ListenAddress>, given: Option<String>) -> io::Result<Place> {
        let socket = Socket::from(socket);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::other("it is not a listening stream socket"));
        }
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let bound = match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => Bound::Tcp(address),
            (None, Some(path)) => Bound::Unix(path.to_owned()),
            (None, None) => return Err(io::Error::other("its kind of address is not known here")),
        };
        let key = key.unwrap_or_else(|| bound.address());
        // Who gave it away uses it still.
        Ok(Place { key, file: bound.file(), bound, socket: socket.into(), given, lent: Cell::new(true) })
    }

    fn is_at(&self, address: &ListenAddress) -> bool {
        self.key == *address || (self.given.is_some() && self.bound.address() == *address)
    }

    /// Whether clients can still come to it: a Unix socket whose path somebody
    /// has removed must be opened anew. What was given to us is the giver's.
    fn is_reachable(&self) -> bool {
        self.given.is_some() || self.bound.file() == self.file
    }

    /// For which address it was opened.
    pub fn key(&self) -> &ListenAddress {
        &self.key
    }

    /// Where it is bound.
    pub fn address(&self) -> ListenAddress {
        self.bound.address()
    }

    /// Where it is bound, and the name under which it was given, for the log.
    pub fn describe(&self) -> String {
        let place = match &self.bound {
            Bound::Tcp(address) => address.to_string(),
            Bound::Unix(path) => path.display().to_string(),
        };
        match self.given.as_deref() {
            None | Some("") => place,
            Some(name) => format!("{place} ({name})"),
        }
    }

    /// The name under which it was given to us.
    pub fn given(&self) -> Option<&str> {
        self.given.as_deref()
    }

    /// Whether another master has it too, and so its path.
    pub fn lend(&self, lent: bool) {
        self.lent.set(lent);
    }

    fn set_mode(&self, mode: Option<u32>) -> io::Result<()> {
        match (&self.bound, mode) {
            // The mode of a given one is for whoever gave it.
            (Bound::Unix(path), Some(mode)) if self.given.is_none() => {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            }
            _ => Ok(()),
        }
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Bound {
    /// Device and inode of what has a Unix socket's name.
    fn file(&self) -> Option<(u64, u64)> {
        let Bound::Unix(path) = self else { return None };
        std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
    }

    fn address(&self) -> ListenAddress {
        match self {
            Bound::Tcp(address) => ListenAddress::Tcp(*address),
            Bound::Unix(path) => ListenAddress::Unix(path.clone()),
        }
    }
}

impl Listener {
    /// Another descriptor of the same socket, closed on exec: for a child.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.place.socket.try_clone()
    }

    pub fn place(&self) -> &Rc<Place> {
        &self.place
    }

    /// Scheme and place, for example `http 127.0.0.1:8080`: for programs.
    pub fn describe(&self) -> String {
        let protocol = self.wanted.protocol.key();
        match &self.place.bound {
            Bound::Tcp(address) => format!("{protocol} {address}"),
            Bound::Unix(path) => format!("{protocol} unix:{}", path.display()),
        }
    }

    /// An address that a browser on this machine can open; `None` for a Unix
    /// socket, and for what no browser speaks.
    pub fn browser_address(&self) -> Option<String> {
        match &self.place.bound {
            _ if self.wanted.protocol != Protocol::Http => None,
            Bound::Tcp(address) if address.ip().is_unspecified() => {
                Some(format!("http://localhost:{}/", address.port()))
            }
            Bound::Tcp(address) => Some(format!("http://{address}/")),
            Bound::Unix(_) => None,
        }
    }
}

/// As people read it: `http://127.0.0.1:8080/`.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.wanted.protocol;
        match &self.place.bound {
            Bound::Tcp(address) if protocol == Protocol::Http => write!(f, "http://{address}/"),
            Bound::Tcp(address) => write!(f, "{} on {address}", protocol.key()),
            Bound::Unix(path) => write!(f, "{} on {}", protocol.key(), path.display()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only the master gets here: a child leaves by `_exit`.
        if self.given.is_none()
            && !self.lent.get()
            && let Bound::Unix(path) = &self.bound
            && self.is_reachable()
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("cannot remove the socket {}: {error}", path.display());
        }
    }
}

fn open_tcp(address: SocketAddr) -> io::Result<(Socket, Bound)> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    // After a restart the port still has connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can stand beside each other.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, Bound::Tcp(bound)))
}

fn open_unix(path: &Path) -> io::Result<(Socket, Bound)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        other => other?,
    }
    socket.listen(BACKLOG)?;
    Ok((socket, Bound::Unix(path.to_owned())))
}

/// Whether a path is a socket that nobody listens on any more.
fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(address: &SocketAddr) -> bool {
        std::net::TcpStream::connect(address).is_ok()
    }

    fn tcp(port: u16) -> Listen {
        let address = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        Listen::new(address, Protocol::Http)
    }

    fn bound(listener: &Listener) -> SocketAddr {
        match listener.place.bound {
            Bound::Tcp(address) => address,
            Bound::Unix(_) => panic!("a Unix socket"),
        }
    }

    #[test]
    fn a_reload_keeps_the_socket_and_its_port() {
        let first = open_listeners(&[tcp(0)], &[]).expect("open");
        let second = open_listeners(&[tcp(0)], &[Rc::clone(first[0].place())]).expect("keep");
        assert!(Rc::ptr_eq(first[0].place(), second[0].place()));
        let address = bound(&first[0]);
        assert_ne!(address.port(), 0);
        drop(first);
        assert!(answers(&address));
        drop(second);
        assert!(!answers(&address));
    }

    #[test]
    fn a_taken_port_is_refused_by_name_and_leaves_nothing_open() {
        let taken = open_listeners(&[tcp(0)], &[]).expect("open");
        let port = bound(&taken[0]).port();
        let path = std::env::temp_dir().join(format!("rhumb-listen-{}", std::process::id()));
        let unix = Listen::new(ListenAddress::Unix(path.clone()), Protocol::Http);
        let error = open_listeners(&[unix, tcp(port)], &[]).err().expect("refused");
        assert_eq!(
            error.to_string(),
            format!("cannot listen on 127.0.0.1:{port}: another program listens there already")
        );
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_file_is_replaced_and_a_living_one_is_not() {
        let path = std::env::temp_dir().join(format!("rhumb-stale-{}", std::process::id()));
        let address = ListenAddress::Unix(path.clone());
        let listen = Listen { mode: Some(0o600), ..Listen::new(address, Protocol::Http) };
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        assert!(path.exists());
        let living = open_listeners(std::slice::from_ref(&listen), &[]).expect("replaced");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(open_listeners(&[listen], &[]).is_err());
        assert!(path.exists());
        drop(living);
        assert!(!path.exists());
    }
}
