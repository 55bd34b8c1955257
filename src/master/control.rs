//! The control socket: how `rhumb reload` and its sisters reach the master. One
//! line in, one JSON document out, mode 0600. It lives in the master's poll:
//! every read and write is non-blocking, and clients, bytes and time are
//! bounded. What an order does is in `orders.rs`.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use serde_json::{Value, json};

use super::signals::{Order, Row, TABLE};
use crate::log;

const CLIENTS_MAX: usize = 16;
const LINE_BYTES_MAX: usize = 256;
/// For the line to arrive, and for the answer to be taken.
const PATIENCE_MS: u64 = 5_000;
const LISTENER: Token = Token(usize::MAX - 2);
/// Clients have the tokens below this one.
const CLIENTS_BELOW: usize = usize::MAX - 1_024;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Status,
    Reload,
    Reopen,
    /// Leave at once.
    Stop,
    /// Leave after the last request.
    Quit,
    /// Start the new program, then leave.
    Upgrade,
    /// As if this signal had come.
    Signal(&'static Row),
}

impl Wish {
    fn read(line: &str) -> Option<Wish> {
        let mut words = line.split_whitespace();
        let wish = match words.next()? {
            "status" => Wish::Status,
            "reload" => Wish::Reload,
            "reopen" => Wish::Reopen,
            "stop" => Wish::Stop,
            "quit" => Wish::Quit,
            "upgrade" => Wish::Upgrade,
            "signal" => Wish::Signal(find_signal(words.next()?)?),
            _ => return None,
        };
        words.next().is_none().then_some(wish)
    }
}

/// The row of a signal by its name, with or without `SIG`, in any case. Only
/// of those that are somebody's to send.
pub fn find_signal(name: &str) -> Option<&'static Row> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let mut rows = TABLE.iter().filter(|row| row.order != Order::Reap);
    rows.find(|row| row.signal.as_str().strip_prefix("SIG") == Some(name))
}

/// What a client that has asked waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A reload that has not begun.
    NextReload,
    /// The reload that is under way.
    Reload,
    Upgrade,
    /// Our own end, which closes the connection.
    End,
}

#[derive(Debug)]
enum Stage {
    Asking,
    /// Its wish was handed out and must be answered or put off.
    Asked,
    Waiting(Awaited),
    Answered,
}

struct Client {
    number: usize,
    stream: UnixStream,
    line: Vec<u8>,
    stage: Stage,
    answer: Vec<u8>,
    sent: usize,
    deadline_ms: u64,
}

/// The socket with its clients; dropped, it removes its path.
pub struct Control {
    listener: UnixListener,
    /// Where it is to be found.
    path: PathBuf,
    /// Where it lies until it is published.
    temporary: Option<PathBuf>,
    /// Device and inode of the path: what somebody else has put there since is
    /// not ours to remove.
    identity: (u64, u64),
    clients: Vec<Client>,
    next_number: usize,
}

impl Control {
    /// Opens a socket that is not to be found yet: see [`Control::publish`].
    /// `may_replace` is the process whose socket may be in use at the path.
    ///
    /// # Errors
    /// Somebody lives at the path, or it cannot be had.
    pub fn open(path: &Path, may_replace: bool, registry: &Registry) -> io::Result<Control> {
        if !may_replace && std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(at(path, &io::Error::other("another program listens there already")));
        }
        if let Ok(meta) = fs::symlink_metadata(path)
            && !meta.file_type().is_socket()
        {
            return Err(at(path, &io::Error::other("is there already and is no socket")));
        }
        let (listener, temporary, identity) = bind(path, registry).map_err(|error| at(path, &error))?;
        Ok(Control {
            listener,
            path: path.to_owned(),
            temporary: Some(temporary),
            identity,
            clients: Vec::new(),
            next_number: 0,
        })
    }

    /// Somebody else had the path and is gone: a new socket there.
    ///
    /// # Errors
    /// As [`Control::open`].
    pub fn restore(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.listener)?;
        let (listener, temporary, identity) =
            bind(&self.path, registry).map_err(|error| at(&self.path, &error))?;
        (self.listener, self.temporary, self.identity) = (listener, Some(temporary), identity);
        self.publish()
    }

    /// Puts the socket to its path, in place of what is there.
    ///
    /// # Errors
    /// The directory is not writable.
    pub fn publish(&mut self) -> io::Result<()> {
        let Some(temporary) = &self.temporary else { return Ok(()) };
        fs::rename(temporary, &self.path).map_err(|error| at(&self.path, &error))?;
        self.temporary = None;
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still to be found at its path.
    pub fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity)
    }

    /// Takes what has come: the wishes that are complete, each with the number
    /// of the client to answer.
    pub fn hear(&mut self, registry: &Registry, now_ms: u64) -> Vec<(usize, Wish)> {
        self.accept(registry, now_ms);
        let mut wishes = Vec::new();
        for client in &mut self.clients {
            if let Some(wish) = client.hear() {
                wishes.push((client.number, wish));
            }
            client.send(now_ms);
        }
        self.forget_done(registry, now_ms);
        wishes
    }

    fn accept(&mut self, registry: &Registry, now_ms: u64) {
        while self.clients.len() < CLIENTS_MAX {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // Also where descriptors are short: the next look tries again.
                Err(_) => return,
            };
            let number = self.next_number;
            self.next_number = (number + 1) % 1_000_000;
            let token = Token(CLIENTS_BELOW - number);
            if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_err() {
                continue;
            }
            self.clients.push(Client {
                number,
                stream,
                line: Vec::new(),
                stage: Stage::Asking,
                answer: Vec::new(),
                sent: 0,
                deadline_ms: now_ms + PATIENCE_MS,
            });
        }
    }

    fn forget_done(&mut self, registry: &Registry, now_ms: u64) {
        self.clients.retain_mut(|client| {
            let over = match client.stage {
                Stage::Asking => now_ms >= client.deadline_ms,
                Stage::Answered => client.sent >= client.answer.len() || now_ms >= client.deadline_ms,
                Stage::Asked | Stage::Waiting(_) => false,
            };
            if over && let Err(error) = registry.deregister(&mut client.stream) {
                log::alert!("cannot forget a client of the control socket: {error}");
            }
            !over
        });
    }

    /// Lets a client wait.
    pub fn put_off(&mut self, number: usize, awaited: Awaited) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.number == number) {
            client.stage = Stage::Waiting(awaited);
        }
    }

    /// What the waiting ones of one kind wait for from now on.
    pub fn turn(&mut self, from: Awaited, to: Awaited) {
        for client in &mut self.clients {
            if matches!(client.stage, Stage::Waiting(awaited) if awaited == from) {
                client.stage = Stage::Waiting(to);
            }
        }
    }

    /// Answers all who wait for this.
    pub fn answer_waiting(&mut self, awaited: Awaited, answer: &Value, now_ms: u64) {
        for client in &mut self.clients {
            if matches!(client.stage, Stage::Waiting(waits) if waits == awaited) {
                client.settle(answer, now_ms);
            }
        }
    }

    pub fn answer(&mut self, number: usize, answer: &Value, now_ms: u64) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.number == number) {
            client.settle(answer, now_ms);
        }
    }

    /// When a client's time is over.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let timed = self.clients.iter().filter(|c| matches!(c.stage, Stage::Asking | Stage::Answered));
        timed.map(|client| client.deadline_ms).min()
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A listening socket beside `path`, for its owner only; where it lies, and
/// what tells it from others.
fn bind(path: &Path, registry: &Registry) -> io::Result<(UnixListener, PathBuf, (u64, u64))> {
    // Shorter than any name that a person would choose: the length of a
    // socket's path is bounded.
    let temporary = path.with_file_name(format!(".{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut listener = UnixListener::bind(&temporary)?;
    let opened = fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))
        .and_then(|()| registry.register(&mut listener, LISTENER, Interest::READABLE))
        .and_then(|()| fs::symlink_metadata(&temporary));
    let meta = opened.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    Ok((listener, temporary, (meta.dev(), meta.ino())))
}

impl Drop for Control {
    fn drop(&mut self) {
        // Only the master gets here: a child leaves by `_exit`.
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        } else if self.is_in_place()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

impl Client {
    /// Its wish, once, when the line is whole.
    fn hear(&mut self) -> Option<Wish> {
        if !matches!(self.stage, Stage::Asking) {
            return None;
        }
        let mut buffer = [0; LINE_BYTES_MAX];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break self.deadline_ms = 0,
                Ok(count) => self.line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break self.deadline_ms = 0,
            }
            if self.line.contains(&b'\n') || self.line.len() > LINE_BYTES_MAX {
                break;
            }
        }
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else {
            if self.line.len() > LINE_BYTES_MAX {
                self.refuse("the line is too long");
            }
            return None;
        };
        let wish = std::str::from_utf8(&self.line[..end]).ok().and_then(Wish::read);
        match wish {
            Some(_) => self.stage = Stage::Asked,
            None => self.refuse(
                "not understood; known are status, reload, reopen, stop, quit, upgrade and signal NAME",
            ),
        }
        wish
    }

    fn refuse(&mut self, why: &str) {
        let deadline_ms = self.deadline_ms;
        self.settle(&json!({"ok": false, "code": 1, "message": why}), deadline_ms);
    }

    fn settle(&mut self, answer: &Value, now_ms: u64) {
        self.answer = answer.to_string().into_bytes();
        self.answer.push(b'\n');
        self.stage = Stage::Answered;
        self.deadline_ms = now_ms + PATIENCE_MS;
        self.send(now_ms);
    }

    fn send(&mut self, now_ms: u64) {
        if !matches!(self.stage, Stage::Answered) {
            return;
        }
        while self.sent < self.answer.len() {
            match self.stream.write(&self.answer[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.deadline_ms = now_ms + PATIENCE_MS;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It has gone and wants no answer.
                Err(_) => self.sent = self.answer.len(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_wishes() {
        for (line, wish) in [
            ("status", Some(Wish::Status)),
            ("  reload \r", Some(Wish::Reload)),
            ("upgrade", Some(Wish::Upgrade)),
            ("reload now", None),
            ("", None),
            ("RELOAD", None),
            ("signal", None),
            ("signal KILL", None),
            ("signal CHLD", None),
        ] {
            assert_eq!(Wish::read(line).is_some(), wish.is_some(), "{line:?}");
        }
        for name in ["HUP", "hup", "SIGHUP", "sigHup"] {
            assert_eq!(find_signal(name).map(|row| row.order), Some(Order::Reload), "{name}");
        }
    }
}
