//! `concurrent_requests`: at most n requests to one host at a time, over all
//! threads and processes, a MapProxy beside us included: n lock files
//! `<md5 of host[:port]>.lck0…`, each held with `flock` by one request
//! (mapproxy-features.md §4.5).

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use crate::sys;

/// MapProxy's step.
const POLL: Duration = Duration::from_millis(10);
/// More places than this are no limit; and each costs an open file per look.
pub const PLACES_MAX: u32 = 1_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The right to one request; ends with the file, however the process ends.
#[derive(Debug)]
pub struct Permit {
    _file: File,
}

/// The places of one host.
#[derive(Clone, Debug)]
pub struct Semaphore {
    /// Without the place's number.
    stem: PathBuf,
    places: u32,
}

impl Semaphore {
    /// `host`: the URL's authority as configured, with the credentials and the
    /// port if they stand there, because MapProxy hashes just that.
    pub fn new(dir: &Path, host: &str, places: u32) -> Semaphore {
        let id: String = Md5::digest(host.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Semaphore { stem: dir.join(format!("{id}.lck")), places: places.clamp(1, PLACES_MAX) }
    }

    fn place(&self, number: u32) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(number.to_string());
        PathBuf::from(path)
    }

    /// A place, waiting at most `timeout` for one; `None` when none got free.
    ///
    /// # Errors
    /// The lock files cannot be made or locked.
    pub fn take(&self, timeout: Duration) -> io::Result<Option<Permit>> {
        let started = Instant::now();
        loop {
            if let Some(permit) = self.try_take()? {
                return Ok(Some(permit));
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(POLL.min(left));
        }
    }

    fn try_take(&self) -> io::Result<Option<Permit>> {
        // Different starts, so that threads do not all meet at place 0.
        let start = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id()) % self.places;
        for step in 0..self.places {
            let path = self.place((start + step) % self.places);
            let mut file = match open(&path) {
                Ok(file) => file,
                // Another user's file: his place, not ours.
                Err(error) if error.kind() == ErrorKind::PermissionDenied && path.is_file() => continue,
                Err(error) => return Err(error),
            };
            if sys::try_flock(&file)? {
                // For people who look; a full disk must not stop requests.
                let _ = file.set_len(0).and_then(|()| writeln!(file, " {}", std::process::id()));
                return Ok(Some(Permit { _file: file }));
            }
        }
        Ok(None)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o666);
    options.custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match (options.open(path), path.parent()) {
        (Err(error), Some(dir)) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(dir)?;
            options.open(path)
        }
        (opened, _) => opened,
    }
}
