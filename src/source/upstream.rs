//! An upstream that plays a script, for tests: each connection gets the next
//! scene, on a thread of its own, and no scene measures time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub type Scene = Box<dyn FnOnce(&mut Peer) + Send>;

pub struct Upstream {
    pub authority: String,
    connections: Arc<AtomicUsize>,
}

/// The other end of one connection.
pub struct Peer {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Upstream {
    pub fn play(scenes: Vec<Scene>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for scene in scenes {
                let Ok((stream, _)) = listener.accept() else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let mut peer = Peer { reader: BufReader::new(stream.try_clone().unwrap()), writer: stream };
                std::thread::spawn(move || scene(&mut peer));
            }
        });
        Upstream { authority, connections }
    }

    /// One connection that answers each request with the next of these.
    pub fn answering(answers: Vec<String>) -> Upstream {
        Upstream::play(vec![scene(move |peer| {
            for answer in answers {
                peer.request();
                peer.send(&answer);
            }
            peer.linger();
        })])
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub fn scene(play: impl FnOnce(&mut Peer) + Send + 'static) -> Scene {
    Box::new(play)
}

/// A whole answer.
pub fn answer(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

pub fn png(body: &str) -> String {
    answer("200 OK", "Content-Type: image/png\r\n", body)
}

impl Peer {
    /// The next request, body included; empty when the other side closed.
    pub fn request(&mut self) -> String {
        let mut text = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return String::new();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            text.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        text + &String::from_utf8(body).unwrap()
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        // The other side may have given up; that is its test's affair.
        let _ = self.writer.write_all(text.as_ref());
    }

    /// Stays until the other side closes.
    pub fn linger(&mut self) {
        let _ = self.reader.read_to_end(&mut Vec::new());
    }
}
