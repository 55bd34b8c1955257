//! What a master was given by whoever started it: by an old master its
//! sockets and a channel, by systemd sockets, a place for notices and a
//! watchdog; and how it was called, so that it can be started again. Taken out
//! of the environment at once: no child shall take it for its own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::rc::Rc;

use nix::unistd::Pid;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::listen::Place;
use crate::conf::daemon::ListenAddress;
use crate::log;
use crate::sys::exec::{self, Start};

/// The version of what an old master and a new one say to each other.
pub const HANDOFF: u32 = 1;
/// Version, then the channel and the old master's pid, then the sockets.
pub const FDS_VARIABLE: &str = "RHUMB_FDS";
const FDS_BYTES_MAX: usize = 64 * 1024;
/// Sockets that systemd or an old master may give us.
const SOCKETS_MAX: usize = 256;
/// The name of the socket that a web server gave us as descriptor 0; no name
/// of a protocol, so that only its address finds it.
const SPAWNER: &str = "descriptor 0";
/// The first descriptor of socket activation.
const FIRST_GIVEN: RawFd = 3;

/// Who started us, and with what.
pub struct Origin {
    /// How we were called.
    pub start: Start,
    /// The master whose service we take over.
    pub parent: Option<Parent>,
    pub places: Vec<Rc<Place>>,
    /// `NOTIFY_SOCKET`.
    pub notify_socket: Option<OsString>,
    /// `WATCHDOG_USEC`, where it is meant for us.
    pub watchdog_us: Option<u64>,
}

/// The old master.
pub struct Parent {
    pub pid: Pid,
    /// We say READY, it says that systemd knows.
    pub channel: OwnedFd,
}

impl Origin {
    /// To be called first of all: before a fork, a thread or a change of
    /// directory.
    ///
    /// # Errors
    /// What an old master handed over is not as it says.
    pub fn take() -> io::Result<Origin> {
        let start = Start::note();
        let notify_socket = exec::take_variable("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let (mut parent, mut places) = (None, Vec::new());
        let given = [
            exec::take_variable("LISTEN_PID"),
            exec::take_variable("LISTEN_FDS"),
            exec::take_variable("LISTEN_FDNAMES"),
        ];
        if let Some(text) = exec::take_variable(FDS_VARIABLE) {
            let handed = read_handoff(&text.to_string_lossy()).map_err(|error| {
                io::Error::new(error.kind(), format!("what the old master handed over: {error}"))
            })?;
            (parent, places) = (Some(handed.0), handed.1);
        } else {
            let given = given.map(|value| value.map(|value| value.to_string_lossy().into_owned()));
            places.extend(take_given(&given));
            if let Some(socket) = exec::take_listening_input()? {
                places.push(Rc::new(Place::adopt(socket, None, Some(SPAWNER.to_owned()))?));
            }
        }
        let watchdog_us = exec::take_variable("WATCHDOG_USEC");
        let watchdog_pid = exec::take_variable("WATCHDOG_PID");
        let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
        let is_ours = watchdog_pid.and_then(number).is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog_us = watchdog_us.and_then(number).filter(|us| *us > 0 && is_ours);
        Ok(Origin { start, parent, places, notify_socket, watchdog_us })
    }
}

impl Origin {
    /// Where the web server listens that started us for FastCGI, or that
    /// started the master before us.
    pub fn spawner_address(&self) -> Option<ListenAddress> {
        self.places.iter().find(|place| place.given() == Some(SPAWNER)).map(|place| place.address())
    }
}

/// The sockets of socket activation that are meant for this process.
fn take_given([pid, count, names]: &[Option<String>; 3]) -> Vec<Rc<Place>> {
    let is_ours = pid.as_deref().and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    let count = count.as_deref().and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
    if !is_ours || count == 0 {
        return Vec::new();
    }
    let mut names = names.as_deref().unwrap_or("").split(':');
    let mut places = Vec::new();
    for number in (FIRST_GIVEN..).take(count.min(SOCKETS_MAX)) {
        let name = names.next().unwrap_or("").to_owned();
        match exec::adopt_socket(number).and_then(|socket| Place::adopt(socket, None, Some(name))) {
            Ok(place) => places.push(Rc::new(place)),
            Err(error) => log::warn!("descriptor {number}, given as a socket, is not used: {error}"),
        }
    }
    places
}

/// What a new master is told by `master`. Numbers are those of descriptors that pass
/// through the exec.
pub fn write_handoff(channel: RawFd, master: Pid, places: &[Rc<Place>]) -> String {
    use std::os::fd::AsFd;
    let mut text = format!("{HANDOFF};{channel},{master}");
    for place in places {
        let given =
            place.given().map_or_else(|| "-".to_owned(), |name| format!("+{}", escape(name.as_bytes())));
        let _ = write!(
            text,
            ";{},{},{},{given}",
            write_address(place.key()),
            write_address(&place.address()),
            place.as_fd().as_raw_fd()
        );
    }
    text
}

fn read_handoff(text: &str) -> io::Result<(Parent, Vec<Rc<Place>>)> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if text.len() > FDS_BYTES_MAX {
        return Err(odd("it is too long"));
    }
    let mut parts = text.split(';');
    if parts.next().and_then(|version| version.parse().ok()) != Some(HANDOFF) {
        return Err(odd("another version"));
    }
    let (channel, pid) =
        parts.next().and_then(|part| part.split_once(',')).ok_or_else(|| odd("no channel"))?;
    let channel = channel.parse().map_err(|_| odd("no channel"))?;
    let pid = pid.parse().map(Pid::from_raw).map_err(|_| odd("no pid"))?;
    let channel = exec::adopt_socket(channel)?;
    let mut places = Vec::new();
    let mut kept = vec![channel.as_raw_fd()];
    for part in parts.take(SOCKETS_MAX) {
        let fields: Vec<&str> = part.split(',').collect();
        let [key, bound, number, given] = fields[..] else { return Err(odd("a socket without four fields")) };
        let key = read_address(key).ok_or_else(|| odd("an address"))?;
        let bound = read_address(bound).ok_or_else(|| odd("an address"))?;
        let number: RawFd = number.parse().map_err(|_| odd("a descriptor's number"))?;
        let given =
            given.strip_prefix('+').map(unescape).map(|name| String::from_utf8_lossy(&name).into_owned());
        let place = exec::adopt_socket(number).and_then(|socket| Place::adopt(socket, Some(key), given))?;
        // The kernel's word goes before what we were told.
        if place.address() != bound {
            return Err(odd("a socket is bound elsewhere than it says"));
        }
        kept.push(number);
        places.push(Rc::new(place));
    }
    // Whatever else slipped through would stay open for ever, upgrade by upgrade.
    crate::sys::close_all_but(&kept)?;
    Ok((Parent { pid, channel }, places))
}

fn escape(bytes: &[u8]) -> String {
    percent_encode(bytes, NON_ALPHANUMERIC).to_string()
}

fn unescape(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn write_address(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => format!("tcp:{address}"),
        ListenAddress::Unix(path) => format!("unix:{}", escape(path.as_os_str().as_bytes())),
    }
}

fn read_address(text: &str) -> Option<ListenAddress> {
    match text.split_once(':')? {
        ("tcp", address) => address.parse::<SocketAddr>().ok().map(ListenAddress::Tcp),
        ("unix", path) => Some(ListenAddress::Unix(PathBuf::from(OsString::from_vec(unescape(path))))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way() {
        for address in [
            ListenAddress::Tcp("127.0.0.1:8080".parse().expect("an address")),
            ListenAddress::Tcp("[::1]:0".parse().expect("an address")),
            ListenAddress::Unix(PathBuf::from("/srv/a;b,c=d %41/\u{e4}")),
            ListenAddress::Unix(PathBuf::from(OsString::from_vec(vec![b'/', 0xff, b';']))),
        ] {
            let text = write_address(&address);
            assert!(!text.contains([';', ',']), "{text}");
            assert_eq!(read_address(&text), Some(address), "{text}");
        }
        for odd in ["", "tcp", "tcp:", "tcp:nowhere", "udp:127.0.0.1:1"] {
            assert_eq!(read_address(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_odd_handoff_is_refused_before_anything_is_closed() {
        for odd in ["", "0;5,1", "2;5,1", "1", "1;5", "1;x,1", "1;2,1", "1;999999,1"] {
            assert!(read_handoff(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn only_what_is_meant_for_us_is_taken() {
        let words = |pid: &str, count: &str| [Some(pid.to_owned()), Some(count.to_owned()), None];
        assert!(take_given(&words("1", "1")).is_empty());
        assert!(take_given(&words(&std::process::id().to_string(), "0")).is_empty());
        assert!(take_given(&[None, Some("1".to_owned()), None]).is_empty());
    }
}
