//! Listening sockets: bound once by the master, inherited by every fork, kept
//! over reloads by their address. No SO_REUSEPORT: closing one of several such
//! sockets resets the connections that wait on it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::conf::daemon::{Listen, ListenAddress, Protocol};
use crate::log;

/// Connections that the kernel holds for us until a worker is free (it lowers
/// this to `net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// One listening socket. The last `Rc` closes it and removes its path.
pub struct Listener {
    /// As configured: what a reload compares.
    wanted: Listen,
    /// As bound: a port 0 has become a real one.
    bound: Bound,
    socket: OwnedFd,
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
/// address already, new ones for the rest.
///
/// # Errors
/// The first address that cannot be had; what was opened for the others is
/// closed again.
pub fn open_listeners(wanted: &[Listen], present: &[Rc<Listener>]) -> Result<Vec<Rc<Listener>>, ListenError> {
    let mut listeners: Vec<Rc<Listener>> = Vec::with_capacity(wanted.len());
    for listen in wanted {
        if listeners.iter().any(|listener| listener.wanted.address == listen.address) {
            return Err(refuse(&listen.address, "it is named twice"));
        }
        let kept = present.iter().find(|listener| listener.wanted.address == listen.address);
        let listener = match kept {
            Some(listener) => {
                set_mode(&listener.bound, listen.mode)
                    .map_err(|error| refuse(&listen.address, &error.to_string()))?;
                Rc::clone(listener)
            }
            None => Rc::new(Listener::open(listen)?),
        };
        listeners.push(listener);
    }
    Ok(listeners)
}

fn refuse(address: &ListenAddress, reason: &str) -> ListenError {
    let place = match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => path.display().to_string(),
    };
    ListenError { place, reason: reason.to_owned() }
}

impl Listener {
    fn open(wanted: &Listen) -> Result<Listener, ListenError> {
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
        // From here on a failure drops the listener, and so removes its path.
        let listener = Listener { wanted: wanted.clone(), bound, socket: socket.into() };
        set_mode(&listener.bound, wanted.mode)
            .map_err(|error| refuse(&wanted.address, &error.to_string()))?;
        Ok(listener)
    }

    /// Another descriptor of the same socket, closed on exec: for a child.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// Scheme and place, for example `http 127.0.0.1:8080`: for programs.
    pub fn describe(&self) -> String {
        let protocol = self.wanted.protocol.key();
        match &self.bound {
            Bound::Tcp(address) => format!("{protocol} {address}"),
            Bound::Unix(path) => format!("{protocol} unix:{}", path.display()),
        }
    }

    /// An address that a browser on this machine can open; `None` for a Unix
    /// socket, and for what no browser speaks.
    pub fn browser_address(&self) -> Option<String> {
        match &self.bound {
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
        match &self.bound {
            Bound::Tcp(address) if protocol == Protocol::Http => write!(f, "http://{address}/"),
            Bound::Tcp(address) => write!(f, "{} on {address}", protocol.key()),
            Bound::Unix(path) => write!(f, "{} on {}", protocol.key(), path.display()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Only the master gets here: a child leaves by `_exit`.
        if let Bound::Unix(path) = &self.bound
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

fn set_mode(bound: &Bound, mode: Option<u32>) -> io::Result<()> {
    match (bound, mode) {
        (Bound::Unix(path), Some(mode)) => {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        }
        _ => Ok(()),
    }
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
        match listener.bound {
            Bound::Tcp(address) => address,
            Bound::Unix(_) => panic!("a Unix socket"),
        }
    }

    #[test]
    fn a_reload_keeps_the_socket_and_its_port() {
        let first = open_listeners(&[tcp(0)], &[]).expect("open");
        let second = open_listeners(&[tcp(0)], &first).expect("keep");
        assert!(Rc::ptr_eq(&first[0], &second[0]));
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
