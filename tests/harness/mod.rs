//! What black-box tests are made with: the real daemon, raw clients, a mock
//! upstream whose pictures carry their own address, and the silent checks
//! that end every test.

pub mod client;
pub mod compare;
pub mod daemon;
pub mod dir;
pub mod fastcgi;
#[cfg(feature = "peers")]
pub mod front;
pub mod load;
pub mod painted;
#[cfg(feature = "peers")]
pub mod peers;
pub mod port;
pub mod silent;
#[cfg(feature = "peers")]
pub mod snippet;
pub mod sockets;
pub mod upstream;

pub use client::{Client, End, Reply};
pub use daemon::Daemon;
pub use dir::TestDir;
pub use upstream::{Answer, Upstream};

use std::time::{Duration, Instant};

/// The longest that any test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A seed for a randomised test: `RHUMB_SEED`, else fresh. It is printed, so
/// that a failing run can be repeated.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("RHUMB_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |n| n.as_nanos() as u64 & 0xffff_ffff)
    });
    eprintln!("{test}: RHUMB_SEED={seed}");
    seed
}

/// `RHUMB_SEED`, else the seed whose findings are all settled: a test that
/// every change has to pass throws no dice. The second tier draws fresh ones.
pub fn settled_seed(test: &str, settled: u64) -> u64 {
    let seed = std::env::var("RHUMB_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(settled);
    eprintln!("{test}: RHUMB_SEED={seed}");
    seed
}

/// Random numbers for tests: splitmix64, so that a seed repeats a run on any machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `from` up to, not including, `to`.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from) as u64) as i64
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.between(0, list.len() as i64) as usize]
    }
}

/// Waits until `look` finds something: for states that announce themselves
/// nowhere (a process gone, a file there). Panics with `what` after [`PATIENCE`].
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
