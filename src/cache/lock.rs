//! One creator per meta tile: across threads in memory, across processes (and
//! a MapProxy beside us) by `flock` on MapProxy's own lock file.
//!
//! Names and protocol: mapproxy-features.md §4.5 and DESIGN.md §4. Ends at
//! holding the lock; looking into the cache again is the caller's.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::CacheError;
use super::atomic::{WriteOptions, io_error, make_directories};
use crate::geo::TileCoord;

/// How often other processes' locks are looked at; MapProxy's step.
const POLL: Duration = Duration::from_millis(10);
/// One lock call in so many sweeps the directory, as in MapProxy.
const SWEEP_EVERY: u32 = 50;
/// Files older than the timeout and this are left over.
const SWEEP_MARGIN: Duration = Duration::from_secs(10);
/// Entries looked at in one sweep, so that a full directory slows nobody down.
const SWEEP_ENTRIES_MAX: usize = 4096;
/// Attempts at the file at once, while others unlink it or its directory.
const REOPEN_MAX: u32 = 16;

static CALLS: AtomicU32 = AtomicU32::new(0);

/// Held while a meta tile is made; freed on drop, and by the kernel when the
/// process dies.
#[derive(Debug)]
pub struct TileLock {
    // Order matters: the file goes before the next thread's turn comes.
    file: HeldFile,
    _place: Place,
}

/// How a lock was got.
#[derive(Debug)]
pub enum Locked {
    /// Free at once.
    AtOnce(TileLock),
    /// After waiting for somebody else, so look into the cache again.
    AfterWait(TileLock),
}

impl Locked {
    /// Whether somebody else had it before us.
    pub fn has_waited(&self) -> bool {
        matches!(self, Locked::AfterWait(_))
    }
}

impl TileLock {
    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

/// Modes of what is made new; `None` leaves it to the umask.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockModes {
    pub directory: Option<u32>,
    pub file: Option<u32>,
}

/// Locks `<dir>/<id>-x-y-z.lck`; waits at most `timeout`.
///
/// Threads of this process queue up in memory; only one of them polls the file.
pub fn lock_tile(dir: &Path, id: &str, main: TileCoord, timeout: Duration) -> Result<Locked, CacheError> {
    lock_tile_with(dir, id, main, timeout, LockModes::default())
}

/// [`lock_tile`] with the modes of a shared cache.
pub fn lock_tile_with(
    dir: &Path,
    id: &str,
    main: TileCoord,
    timeout: Duration,
    modes: LockModes,
) -> Result<Locked, CacheError> {
    let started = Instant::now();
    if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY) {
        sweep(dir, SystemTime::now(), timeout.saturating_add(SWEEP_MARGIN));
    }
    let path = dir.join(format!("{id}-{}-{}-{}.lck", main.x, main.y, main.z));
    let (place, joined) = Place::take(&path, started, timeout)?;
    let (file, polled) = poll_file(path, started, timeout, modes)?;
    let lock = TileLock { file, _place: place };
    Ok(if joined || polled { Locked::AfterWait(lock) } else { Locked::AtOnce(lock) })
}

/// Locks any file in MapProxy's manner, without waiting: `None` while another
/// has it. Freed and removed on drop.
pub(super) fn try_lock_path(path: &Path, modes: LockModes) -> Result<Option<HeldFile>, CacheError> {
    Ok(try_file(path, modes)?.map(|file| HeldFile { path: path.to_owned(), file }))
}

/// The keys that threads of this process hold or wait for: how many of them,
/// and whether one holds it.
static PLACES: LazyLock<Mutex<HashMap<PathBuf, Queue>>> = LazyLock::new(Mutex::default);
/// One condition for all keys: waits are rare and short lists.
static FREED: Condvar = Condvar::new();

#[derive(Default)]
struct Queue {
    is_held: bool,
    waiting: usize,
}

/// This process's turn at one key.
#[derive(Debug)]
struct Place(PathBuf);

fn places() -> MutexGuard<'static, HashMap<PathBuf, Queue>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    /// The turn, and whether we had to wait for it.
    fn take(path: &Path, started: Instant, timeout: Duration) -> Result<(Place, bool), CacheError> {
        let mut places = places();
        let mut waited = false;
        loop {
            let queue = places.entry(path.to_owned()).or_default();
            if !queue.is_held {
                queue.is_held = true;
                queue.waiting -= usize::from(waited);
                return Ok((Place(path.to_owned()), waited));
            }
            queue.waiting += usize::from(!waited);
            waited = true;
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                queue.waiting -= 1;
                return Err(timed_out(path, started));
            }
            places = FREED.wait_timeout(places, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = places();
        if let Some(queue) = places.get_mut(&self.0) {
            queue.is_held = false;
            if queue.waiting == 0 {
                places.remove(&self.0);
            } else {
                FREED.notify_all();
            }
        }
    }
}

fn timed_out(path: &Path, started: Instant) -> CacheError {
    let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    CacheError::LockTimeout { path: path.to_owned(), waited_ms }
}

/// A lock file that is ours in the kernel's eyes.
#[derive(Debug)]
pub(super) struct HeldFile {
    path: PathBuf,
    file: Flock<File>,
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        // Unlink before the lock goes with the descriptor, and only what is
        // ours: MapProxy may have removed the name, and another made it anew.
        if is_still_named(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Gets the file, polling while another process has it.
fn poll_file(
    path: PathBuf,
    started: Instant,
    timeout: Duration,
    modes: LockModes,
) -> Result<(HeldFile, bool), CacheError> {
    let mut polled = false;
    loop {
        if let Some(file) = try_file(&path, modes)? {
            return Ok((HeldFile { path, file }, polled));
        }
        polled = true;
        let left = timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(timed_out(&path, started));
        }
        std::thread::sleep(POLL.min(left));
    }
}

/// One attempt: the locked file, or `None` while another has it.
fn try_file(path: &Path, modes: LockModes) -> Result<Option<Flock<File>>, CacheError> {
    for _ in 0..REOPEN_MAX {
        let file = match open_lock(path, modes) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(dir) = path.parent() {
                    // Locks need not outlive the power.
                    let options = WriteOptions { directory_mode: modes.directory, ..WriteOptions::default() };
                    make_directories(dir, &options)?;
                }
                continue;
            }
            // Another user's lock: ours to wait for, as long as it is there.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && path.is_file() => return Ok(None),
            Err(error) => return Err(io_error("open lock", path, error)),
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // MapProxy deletes lock files, so this may be a name's former file.
                if !is_still_named(&file, path) {
                    continue;
                }
                // Fresh time, so that no sweep takes it for left over; failing
                // (disk full) costs only that.
                let _ = file.set_len(0).and_then(|()| writeln!(file, " {}", std::process::id()));
                return Ok(Some(file));
            }
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => return Ok(None),
            Err((_, errno)) => return Err(io_error("lock", path, errno.into())),
        }
    }
    Ok(None)
}

fn open_lock(path: &Path, modes: LockModes) -> io::Result<File> {
    let mut open = OpenOptions::new();
    open.read(true).write(true).mode(modes.file.unwrap_or(0o666));
    open.custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match open.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let file = open.create(true).open(path)?;
    if let Some(mode) = modes.file {
        // May be another user's by now; then it is his to set.
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok(file)
}

fn is_still_named(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Removes lock files older than `age`, never one that is held. Economy only,
/// so what cannot be removed is passed over.
fn sweep(dir: &Path, now: SystemTime, age: Duration) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let is_old = |modified: io::Result<SystemTime>| {
        modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|passed| passed > age))
    };
    for entry in entries.take(SWEEP_ENTRIES_MAX).flatten() {
        if !entry.file_name().as_encoded_bytes().ends_with(b".lck") {
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() || !is_old(metadata.modified()) {
            continue;
        }
        let path = entry.path();
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        let Ok(file) = opened else { continue };
        let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { continue };
        if is_still_named(&file, &path) && is_old(file.metadata().and_then(|m| m.modified())) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests;
