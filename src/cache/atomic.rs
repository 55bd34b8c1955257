//! A file becomes visible only whole: written under a temp name beside its
//! place, then renamed. Contract: reliability.md §5.
//!
//! Ends at one file: which file a tile is, is decided in `file`.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::CacheError;
use crate::sys::failpoint;

/// How hard a stored tile is pressed onto the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fsync {
    /// Not at all: after a power cut a tile may be empty, which reads as missing.
    #[default]
    None,
    /// The file before its rename: complete or absent.
    Tile,
    /// Also the directory after the rename: a stored tile stays.
    Strict,
}

/// How files and directories are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// `None`: 0777 without the umask's bits.
    pub directory_mode: Option<u32>,
    /// `None`: 0664 without the umask's bits, as MapProxy.
    pub file_mode: Option<u32>,
    pub fsync: Fsync,
}

/// Attempts at a file while others make and remove directories and names around us.
const ATTEMPTS_MAX: u32 = 8;
/// One store in so many looks for leavings of dead writers beside the tile.
/// Prime: meta tiles of a power of two would lead it to the same places always.
const SWEEP_EVERY: u64 = 31;
/// Directories remembered as looked at by this process.
const SWEPT_MAX: usize = 1024;
/// Directory entries looked at in one sweep.
const SWEEP_ENTRIES_MAX: usize = 4096;
/// A writer needs milliseconds. The margin is for writers whose process number
/// we cannot see (another container on the same disk).
const TEMP_AGE_MIN: Duration = Duration::from_secs(10);
/// File names end at 255 bytes on every file system of note.
const NAME_BYTES_MAX: usize = 255;

static COUNTER: AtomicU64 = AtomicU64::new(0);
static STORES: AtomicU64 = AtomicU64::new(0);
static SWEPT: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// Puts `bytes` at `path`. A reader sees what was there before or all of it.
/// Whatever had the name is replaced, a link itself and not what it names.
pub fn write_atomic(path: &Path, bytes: &[u8], options: &WriteOptions) -> Result<(), CacheError> {
    replace(path, options, |temp| write_new(temp, bytes, options))
}

/// Presses the names in a directory onto the disk.
fn sync_directory(directory: &Path) -> Result<(), CacheError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_error("sync directory", directory, error))
}

/// Makes something under a temp name with `make` and renames it to `path`;
/// makes the directories that are missing. With [`Fsync::Strict`] the names
/// are on the disk when it returns.
pub(super) fn replace(
    path: &Path,
    options: &WriteOptions,
    make: impl Fn(&Path) -> io::Result<()>,
) -> Result<(), CacheError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(CacheError::Refused(format!("{} names no file", path.display())));
    };
    if is_sweep_due(directory) {
        sweep_temps(directory, SystemTime::now());
    }
    let mut last = io::Error::from(ErrorKind::NotFound);
    for _ in 0..ATTEMPTS_MAX {
        let temp = directory.join(temp_name(name));
        match make(&temp) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_directories(directory, options)?;
                last = error;
                continue;
            }
            // A dead process had our number; the next counter is free.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                last = error;
                continue;
            }
            Err(error) => {
                let _ = std::fs::remove_file(&temp);
                return Err(io_error("write", path, error));
            }
        }
        match failpoint::pass("cache.rename").and_then(|()| std::fs::rename(&temp, path)) {
            Ok(()) => {
                failpoint::pass("cache.renamed").map_err(|error| io_error("write", path, error))?;
                return if options.fsync == Fsync::Strict { sync_directory(directory) } else { Ok(()) };
            }
            // The directory was cleaned away between the two steps.
            Err(error) if error.kind() == ErrorKind::NotFound => last = error,
            Err(error) => {
                let _ = std::fs::remove_file(&temp);
                return Err(io_error("rename into place", path, error));
            }
        }
    }
    Err(io_error("write", path, last))
}

fn write_new(temp: &Path, bytes: &[u8], options: &WriteOptions) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(options.file_mode.unwrap_or(0o664))
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(temp)?;
    failpoint::pass("cache.create")?;
    if let Some(mode) = options.file_mode {
        // The umask has taken bits away that the operator asked for.
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.write_all(bytes)?;
    failpoint::pass("cache.write")?;
    if options.fsync != Fsync::None {
        file.sync_data()?;
    }
    Ok(())
}

/// Makes `directory` and those above it. Someone else making the same ones at
/// the same time does no harm.
pub fn make_directories(directory: &Path, options: &WriteOptions) -> Result<(), CacheError> {
    let mode = options.directory_mode;
    let mut missing = Vec::new();
    let mut at = directory;
    while !at.as_os_str().is_empty() && !at.is_dir() {
        missing.push(at);
        let Some(above) = at.parent() else { break };
        at = above;
    }
    for level in missing.into_iter().rev() {
        match DirBuilder::new().mode(mode.unwrap_or(0o777)).create(level) {
            Ok(()) => {
                if let Some(mode) = mode {
                    std::fs::set_permissions(level, Permissions::from_mode(mode))
                        .map_err(|error| io_error("set the mode of", level, error))?;
                }
                if options.fsync == Fsync::Strict
                    && let Some(above) = level.parent()
                {
                    sync_directory(above)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && level.is_dir() => {}
            // Removed again above us by a cleaner: the caller tries anew.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error("make directory", level, error)),
        }
    }
    Ok(())
}

/// `.<tile>.<pid>.<counter>.tmp`, the tile's part cut where the name would get too long.
fn temp_name(name: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    let tail = format!(".{}.{counter}.tmp", std::process::id());
    let room = NAME_BYTES_MAX - 1 - tail.len();
    let name = name.as_bytes();
    let mut full = Vec::with_capacity(1 + name.len() + tail.len());
    full.push(b'.');
    full.extend_from_slice(&name[..name.len().min(room)]);
    full.extend_from_slice(tail.as_bytes());
    OsString::from_vec(full)
}

/// The process that a temp name belongs to.
fn temp_owner(name: &OsStr) -> Option<i32> {
    let name = name.to_str()?.strip_prefix('.')?.strip_suffix(".tmp")?;
    let (rest, counter) = name.rsplit_once('.')?;
    counter.parse::<u64>().ok()?;
    let (_, pid) = rest.rsplit_once('.')?;
    pid.parse().ok().filter(|pid| *pid > 0)
}

/// A process's first store into a directory, which may have lost its writer,
/// and some of the later ones.
fn is_sweep_due(directory: &Path) -> bool {
    let is_turn = STORES.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY);
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if swept.contains(directory) {
        return is_turn;
    }
    if swept.len() >= SWEPT_MAX {
        swept.clear();
    }
    swept.insert(directory.to_owned())
}

/// Removes temp files of dead processes from one directory. Economy, not
/// correctness: nobody reads those names, so failures are passed over.
fn sweep_temps(directory: &Path, now: SystemTime) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.take(SWEEP_ENTRIES_MAX).flatten() {
        let Some(pid) = temp_owner(&entry.file_name()) else { continue };
        if is_alive(pid) {
            continue;
        }
        let Ok(modified) = entry.metadata().and_then(|m| m.modified()) else { continue };
        // A time in the future (the clock was set back) counts as no age.
        if now.duration_since(modified).is_ok_and(|age| age >= TEMP_AGE_MIN) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn is_alive(pid: i32) -> bool {
    // Not to be allowed to signal it (EPERM) also means that it is there.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}

pub(super) fn io_error(operation: &'static str, path: &Path, error: io::Error) -> CacheError {
    CacheError::Io { operation, path: PathBuf::from(path), error }
}

#[cfg(test)]
mod tests;
