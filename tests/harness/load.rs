//! Load: clients in threads that keep their connections, pipeline or go one
//! by one, check what they get, and tell apart every way in which a request
//! can be lost.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::client::{Client, End, Reply};
use super::{PATIENCE, Random, await_some, painted};

/// How a client goes about its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Keeps the connection, with so many requests under way at once.
    KeepAlive { depth: usize },
    /// A connection for each request.
    OneShot,
}

/// A request, and what is known of its answer.
#[derive(Clone, Debug)]
pub struct Target {
    pub path: String,
    /// Level, column and row (from the north) of a painted tile.
    pub tile: Option<(u32, u32, u32)>,
}

impl Target {
    /// A painted tile by WMTS.
    pub fn tile(level: u32, column: u32, row: u32) -> Target {
        Target {
            path: format!("/wmts/painted/GLOBAL_WEBMERCATOR/{level:02}/{column}/{row}.png"),
            tile: Some((level, column, row)),
        }
    }

    /// A map of web mercator, metres west, south, east, north.
    pub fn map(bbox: [f64; 4], side_px: u32) -> Target {
        let [west, south, east, north] = bbox;
        Target {
            path: format!(
                "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                 &BBOX={west},{south},{east},{north}&WIDTH={side_px}&HEIGHT={side_px}&FORMAT=image/png"
            ),
            tile: None,
        }
    }
}

/// What came of all requests, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub ok: usize,
    pub status_5xx: usize,
    pub status_other: usize,
    /// A 200 with a wrong picture.
    pub wrong: usize,
    /// Connections reset while a request had no answer.
    pub resets: usize,
    /// Connections that ended cleanly while a request had no answer, though
    /// no answer before had said `close`.
    pub early_ends: usize,
    pub refusals: usize,
    pub timeouts: usize,
    /// Answers that said `close`: no fault.
    pub closes: usize,
    pub connections: usize,
    /// The first faults in words.
    pub notes: Vec<String>,
}

const NOTES_MAX: usize = 20;

impl Tally {
    pub fn faults(&self) -> usize {
        self.status_5xx
            + self.status_other
            + self.wrong
            + self.resets
            + self.early_ends
            + self.refusals
            + self.timeouts
    }

    /// Nothing was lost.
    pub fn check(&self) {
        assert!(self.ok > 0, "no request was answered");
        assert_eq!(self.faults(), 0, "{self:#?}");
    }

    fn note(&mut self, text: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(text);
        }
    }

    fn add(&mut self, other: Tally) {
        self.ok += other.ok;
        self.status_5xx += other.status_5xx;
        self.status_other += other.status_other;
        self.wrong += other.wrong;
        self.resets += other.resets;
        self.early_ends += other.early_ends;
        self.refusals += other.refusals;
        self.timeouts += other.timeouts;
        self.closes += other.closes;
        self.connections += other.connections;
        for note in other.notes {
            self.note(note);
        }
    }
}

type Targets = dyn Fn(&mut Random) -> Target + Send + Sync;

struct Shared {
    address: SocketAddr,
    targets: Box<Targets>,
    stopping: AtomicBool,
    answered: AtomicUsize,
    seed: AtomicU64,
    /// Bodies that were looked at and found right: equal bytes are right too.
    known: Mutex<HashMap<String, Vec<u8>>>,
}

/// Clients at work until told to stop.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// One client for each style; `targets` picks each request.
    pub fn start(
        address: SocketAddr,
        seed: u64,
        styles: &[Style],
        targets: impl Fn(&mut Random) -> Target + Send + Sync + 'static,
    ) -> Load {
        let shared = Arc::new(Shared {
            address,
            targets: Box::new(targets),
            stopping: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            seed: AtomicU64::new(seed),
            known: Mutex::default(),
        });
        let clients = styles
            .iter()
            .map(|&style| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || work(&shared, style))
            })
            .collect();
        Load { shared, clients }
    }

    /// Requests answered so far, by all clients.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Waits for so many more answers.
    pub fn await_answers(&self, more: usize) {
        let wanted = self.answered() + more;
        await_some(&format!("{more} more answers"), || (self.answered() >= wanted).then_some(()));
    }

    /// Ends the clients, each after the answers it waits for.
    pub fn stop(mut self) -> Tally {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let mut tally = Tally::default();
        for client in self.clients.drain(..) {
            tally.add(client.join().expect("a load client panicked"));
        }
        tally
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
    }
}

/// One client's life.
fn work(shared: &Shared, style: Style) -> Tally {
    let mut random = Random(shared.seed.fetch_add(0x51_7cc1, Ordering::SeqCst));
    let mut tally = Tally::default();
    while !shared.stopping.load(Ordering::SeqCst) {
        let mut client = match Client::connect(shared.address) {
            Ok(client) => client,
            Err(error) => {
                tally.refusals += 1;
                tally.note(format!("connecting: {error}"));
                // A server that is gone must not be hammered at.
                std::thread::yield_now();
                continue;
            }
        };
        client.set_patience(PATIENCE);
        tally.connections += 1;
        serve_connection(shared, style, &mut client, &mut random, &mut tally);
    }
    tally
}

fn serve_connection(
    shared: &Shared,
    style: Style,
    client: &mut Client,
    random: &mut Random,
    tally: &mut Tally,
) {
    let mut under_way: VecDeque<Target> = VecDeque::new();
    let (depth, close) = match style {
        Style::KeepAlive { depth } => (depth, ""),
        Style::OneShot => (1, "Connection: close\r\n"),
    };
    loop {
        let mut bytes = String::new();
        while under_way.len() < depth && !shared.stopping.load(Ordering::SeqCst) {
            let target = (shared.targets)(random);
            let _ = write!(bytes, "GET {} HTTP/1.1\r\nHost: maps.test\r\n{close}\r\n", target.path);
            under_way.push_back(target);
        }
        if under_way.is_empty() {
            return;
        }
        // How a connection that takes nothing more ended shows when it is read.
        let _ = client.send(&bytes);
        let reply = client.read_reply(false);
        let Some(target) = under_way.pop_front() else { return };
        match reply {
            Ok(reply) => {
                judge(shared, &target, &reply, tally);
                shared.answered.fetch_add(1, Ordering::SeqCst);
                if reply.closes() {
                    tally.closes += 1;
                    return;
                }
            }
            Err(end) => {
                let kind = match end {
                    End::Fin | End::Open => &mut tally.early_ends,
                    End::Reset => &mut tally.resets,
                    End::Timeout => &mut tally.timeouts,
                };
                *kind += 1;
                tally.note(format!(
                    "{end:?} before the answer to {} ({} more)",
                    target.path,
                    under_way.len()
                ));
                return;
            }
        }
    }
}

fn judge(shared: &Shared, target: &Target, reply: &Reply, tally: &mut Tally) {
    match reply.status {
        200 => {}
        500.. => {
            tally.status_5xx += 1;
            return tally.note(format!("{} {:.200} for {}", reply.status, reply.text(), target.path));
        }
        _ => {
            tally.status_other += 1;
            return tally.note(format!("{} {:.200} for {}", reply.status, reply.text(), target.path));
        }
    }
    match check_body(shared, target, reply) {
        Ok(()) => tally.ok += 1,
        Err(fault) => {
            tally.wrong += 1;
            tally.note(fault);
        }
    }
}

fn check_body(shared: &Shared, target: &Target, reply: &Reply) -> Result<(), String> {
    let Some((level, column, row)) = target.tile else {
        let is_picture = reply.content_type() == "image/png" && reply.body.ends_with(b"IEND\xaeB`\x82");
        return if is_picture {
            Ok(())
        } else {
            Err(format!("{}: {} of {} bytes", target.path, reply.content_type(), reply.body.len()))
        };
    };
    let known =
        shared.known.lock().unwrap_or_else(PoisonError::into_inner).get(&target.path) == Some(&reply.body);
    if known {
        return Ok(());
    }
    painted::check(&reply.body, level, column, row)?;
    let mut known = shared.known.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(target.path.clone(), reply.body.clone());
    Ok(())
}

/// Targets of a small square of level 5 around the equator: every fourth a
/// map of 256 pixels, or none.
pub fn tiles_and_maps(maps_in_four: i64) -> impl Fn(&mut Random) -> Target + Send + Sync {
    move |random| {
        let (column, row) = (random.between(12, 20), random.between(12, 20));
        if random.between(0, 4) >= maps_in_four {
            return Target::tile(5, column as u32, row as u32);
        }
        let tile_m = 2.0 * painted::MERC / 32.0;
        let west = -painted::MERC + tile_m * (column as f64 - random.unit()).max(12.0);
        let north = painted::MERC - tile_m * (row as f64 - random.unit()).max(12.0);
        Target::map([west, north - tile_m, west + tile_m, north], 256)
    }
}
