//! One SQLite file that others have open too: MapProxy, other workers, a
//! person with `sqlite3`. Connections are opened at first use, which is after
//! the fork, kept for a while, and left when another file has come to the path.
//!
//! Nothing here waits: who finds the file busy gets [`CacheError::Busy`] and
//! asks again. Ends at SQL: which tables there are is the stores' business.

use std::collections::VecDeque;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use crate::cache::CacheError;
use crate::cache::atomic::{Fsync, WriteOptions, io_error, replace};
use crate::cache::file::TILE_BYTES_MAX;
use crate::cache::lock::{LockModes, try_lock_path};
use crate::sys::failpoint;

/// Connections that a process keeps open without using them, of all files together.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Pages that a connection keeps in memory.
const PAGES_KIB_MAX: i64 = 1024;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS_PER_LOOK: i32 = 10_000;
/// Attempts while others make, remove and replace the file around us.
const ATTEMPTS_MAX: u32 = 4;
/// MapProxy's name for the lock under which a file is made.
const INIT_LOCK_SUFFIX: &str = ".init.lck";

/// How a file is opened and written.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// `sqlite_timeout`: how long others may keep it busy; also the longest
    /// that one statement may compute.
    pub timeout: Duration,
    /// `sqlite_wal`: a file that we make has a write-ahead log.
    pub wal: bool,
    pub fsync: Fsync,
    pub directory_mode: Option<u32>,
    pub file_mode: Option<u32>,
}

/// The tables that a file has to have.
pub(super) trait Schema: Send + Sync {
    /// Whether they are there.
    ///
    /// # Errors
    /// Why the file is not ours.
    fn look(&self, connection: &Connection) -> Result<Standing, Fault>;
    /// Makes what is absent, within a transaction.
    fn create(&self, connection: &Connection) -> rusqlite::Result<()>;
}

/// What a look at a file's tables has shown.
pub(super) enum Standing {
    Ready,
    /// Nothing yet, or not all.
    Absent,
}

/// A file and our connections to it.
pub(super) struct Database {
    id: u64,
    path: PathBuf,
    options: DatabaseOptions,
    schema: Arc<dyn Schema>,
}

/// What went wrong within a connection.
pub(super) enum Fault {
    Sql(Error),
    Said(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Sql(error)
    }
}

/// The file that is at a path now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileNumber {
    device: u64,
    inode: u64,
}

/// A connection in use by one thread.
struct Open {
    connection: Connection,
    path: PathBuf,
    file: FileNumber,
    /// When the statement under way is interrupted: milliseconds after [`START`].
    deadline_ms: Arc<AtomicU64>,
    /// Its tables are there.
    is_known: bool,
    /// How its commits get to the disk is set.
    is_synchronous: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        // The last to leave puts the log back into the file and removes the log
        // by its name, which is another file's by now.
        if !matches!(present(&self.path), Ok(Some((file, _))) if file == self.file) {
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

/// Connections without work, the longest unused first.
static IDLE: Mutex<VecDeque<(u64, Open)>> = Mutex::new(VecDeque::new());
static NEXT_ID: AtomicU64 = AtomicU64::new(0);
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn idle() -> MutexGuard<'static, VecDeque<(u64, Open)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The file at the path and its size in bytes; `None` where there is none.
fn present(path: &Path) -> io::Result<Option<(FileNumber, u64)>> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {
            Ok(Some((FileNumber { device: found.dev(), inode: found.ino() }, found.len())))
        }
        Ok(_) => Err(io::Error::other("it is no regular file")),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Database {
    pub(super) fn new(path: PathBuf, options: DatabaseOptions, schema: Arc<dyn Schema>) -> Database {
        Database { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), path, options, schema }
    }

    /// Reads; `None` also where there is no file yet, or nothing in it.
    ///
    /// # Errors
    /// [`CacheError::Busy`] and [`CacheError::Database`].
    pub(super) fn read<T>(
        &self,
        operation: &'static str,
        work: impl Fn(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>, CacheError> {
        let found = self.with(operation, false, |open| {
            if !open.is_known && matches!(self.schema.look(&open.connection)?, Standing::Absent) {
                return Ok(None);
            }
            open.is_known = true;
            Ok(work(&open.connection)?)
        });
        Ok(found?.flatten())
    }

    /// Writes in one transaction: all of it is there afterwards or nothing.
    /// Makes the file where there is none.
    ///
    /// # Errors
    /// [`CacheError::Busy`] and [`CacheError::Database`].
    pub(super) fn write(
        &self,
        operation: &'static str,
        work: impl Fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), CacheError> {
        for _ in 0..ATTEMPTS_MAX {
            if self.with(operation, true, |open| self.transact(open, &work))?.is_some() {
                return Ok(());
            }
            self.make()?;
        }
        Err(self.error(operation, "it is removed again and again".into()))
    }

    /// Does something that needs the file to be there; nothing where it is not.
    pub(super) fn write_if_there(
        &self,
        operation: &'static str,
        work: impl Fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), CacheError> {
        self.with(operation, false, |open| self.transact(open, &work)).map(drop)
    }

    fn transact(
        &self,
        open: &mut Open,
        work: &impl Fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Fault> {
        if !open.is_synchronous {
            self.set_synchronous(&open.connection)?;
            open.is_synchronous = true;
        }
        let connection = &open.connection;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = self.fill(connection, open.is_known, work);
        let done = done.and_then(|()| Ok(connection.execute_batch("COMMIT")?));
        if done.is_err() && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        done?;
        open.is_known = true;
        failpoint::pass("sqlite.committed").map_err(|error| Fault::Said(error.to_string()))
    }

    /// What happens within a transaction.
    fn fill(
        &self,
        connection: &Connection,
        is_known: bool,
        work: &impl Fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Fault> {
        if !is_known && matches!(self.schema.look(connection)?, Standing::Absent) {
            self.schema.create(connection)?;
            if matches!(self.schema.look(connection)?, Standing::Absent) {
                return Err(Fault::Said("its tables contradict each other".into()));
            }
        }
        failpoint::pass("sqlite.begun").map_err(|error| Fault::Said(error.to_string()))?;
        work(connection)?;
        failpoint::pass("sqlite.written").map_err(|error| Fault::Said(error.to_string()))
    }

    /// Runs `work` with a connection to the file that is at the path now.
    /// `even_if_empty`: a file of no bytes counts.
    fn with<T>(
        &self,
        operation: &'static str,
        even_if_empty: bool,
        work: impl Fn(&mut Open) -> Result<T, Fault>,
    ) -> Result<Option<T>, CacheError> {
        let found = present(&self.path).map_err(|error| self.error(operation, error.to_string()))?;
        let Some((file, _)) = found.filter(|(_, bytes)| even_if_empty || *bytes > 0) else {
            return Ok(None);
        };
        let opened = match self.take_idle(file) {
            Some(open) => Ok(Some(open)),
            None => self.open(file),
        };
        let mut open = match opened.map_err(|fault| self.explain(operation, fault))? {
            Some(open) => open,
            // Another file has come in between; as good as being busy.
            None => return Err(self.busy()),
        };
        let limit_ms = u64::try_from(self.options.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        open.deadline_ms.store(now_ms().saturating_add(limit_ms), Ordering::Relaxed);
        match work(&mut open) {
            Ok(done) => {
                self.put_idle(open);
                Ok(Some(done))
            }
            Err(fault) => {
                if is_busy(&fault) {
                    self.put_idle(open);
                }
                Err(self.explain(operation, fault))
            }
        }
    }

    fn take_idle(&self, file: FileNumber) -> Option<Open> {
        let mut left = Vec::new();
        let mut idle = idle();
        let found = loop {
            let Some(at) = idle.iter().rposition(|(id, _)| *id == self.id) else { break None };
            match idle.remove(at) {
                Some((_, open)) if open.file == file => break Some(open),
                Some((_, open)) => left.push(open),
                None => break None,
            }
        };
        // Closed after the lock is given up.
        drop(idle);
        found
    }

    fn put_idle(&self, open: Open) {
        let mut idle = idle();
        idle.push_back((self.id, open));
        let oldest = if idle.len() > IDLE_CONNECTIONS_MAX { idle.pop_front() } else { None };
        drop(idle);
        drop(oldest);
    }

    /// A connection to this file; `None` where another has come to its path.
    fn open(&self, file: FileNumber) -> Result<Option<Open>, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        if !matches!(present(&self.path), Ok(Some((now, _))) if now == file) {
            return Ok(None);
        }
        let deadline_ms = Arc::new(AtomicU64::new(u64::MAX));
        guard(&mut connection, &deadline_ms)?;
        Ok(Some(Open {
            connection,
            path: self.path.clone(),
            file,
            deadline_ms,
            is_known: false,
            is_synchronous: false,
        }))
    }

    /// A write-ahead log survives a power cut whole in any case; without one
    /// every commit goes to the disk, or the file may be lost.
    fn set_synchronous(&self, connection: &Connection) -> Result<(), Fault> {
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let level = match self.options.fsync {
            Fsync::None if mode == "wal" => "NORMAL",
            Fsync::None | Fsync::Tile => "FULL",
            Fsync::Strict => "EXTRA",
        };
        Ok(connection.pragma_update(None, "synchronous", level)?)
    }

    /// Makes the file with its tables: under a temp name, so that nobody sees
    /// it without them.
    fn make(&self) -> Result<(), CacheError> {
        let mut lock = self.path.clone().into_os_string();
        lock.push(INIT_LOCK_SUFFIX);
        let modes = LockModes { directory: self.options.directory_mode, file: self.options.file_mode };
        let Some(_held) = try_lock_path(Path::new(&lock), modes)? else { return Err(self.busy()) };
        match present(&self.path) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(()),
            Err(error) => return Err(io_error("make", &self.path, error)),
        }
        let options = WriteOptions {
            directory_mode: self.options.directory_mode,
            file_mode: self.options.file_mode,
            fsync: self.options.fsync,
        };
        replace(&self.path, &options, |temp| {
            // MapProxy's mode, less the umask.
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(temp)?;
            self.fill_new(temp).map_err(io::Error::other)?;
            match self.options.file_mode {
                Some(mode) => std::fs::set_permissions(temp, Permissions::from_mode(mode)),
                None => Ok(()),
            }
        })
    }

    fn fill_new(&self, temp: &Path) -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(temp, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        self.schema.create(&connection)?;
        connection.execute_batch("COMMIT")?;
        if self.options.wal {
            connection.pragma_update(None, "journal_mode", "wal")?;
        }
        connection.close().map_err(|(_, error)| error)
    }

    fn busy(&self) -> CacheError {
        CacheError::Busy { path: self.path.clone(), patience: self.options.timeout }
    }

    fn error(&self, operation: &'static str, reason: String) -> CacheError {
        CacheError::Database { operation, path: self.path.clone(), reason }
    }

    /// The fault in words, with a way out where there is one.
    fn explain(&self, operation: &'static str, fault: Fault) -> CacheError {
        if is_busy(&fault) {
            return self.busy();
        }
        let error = match fault {
            Fault::Said(reason) => return self.error(operation, reason),
            Fault::Sql(error) => error,
        };
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                "; put a good copy in its place, or remove it and its tiles are made anew"
            }
            Some(ErrorCode::ReadOnly) => {
                "; the daemon's user must be able to write to the file and to its directory"
            }
            Some(ErrorCode::OperationInterrupted) => {
                ": it took longer than `sqlite_timeout`; is there no index on zoom_level, tile_column and tile_row?"
            }
            _ => "",
        };
        self.error(operation, format!("{error}{advice}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut idle = idle();
        let (ours, others): (VecDeque<_>, VecDeque<_>) = idle.drain(..).partition(|(id, _)| *id == self.id);
        *idle = others;
        drop(idle);
        drop(ours);
    }
}

/// A file may come from anywhere: its schema gets no rights, its values and
/// its statements have bounds.
fn guard(connection: &mut Connection, deadline_ms: &Arc<AtomicU64>) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -PAGES_KIB_MAX)?;
    let bytes_max = i32::try_from(TILE_BYTES_MAX).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes_max)?;
    let deadline_ms = Arc::clone(deadline_ms);
    connection.progress_handler(STEPS_PER_LOOK, Some(move || now_ms() > deadline_ms.load(Ordering::Relaxed)))
}

fn is_busy(fault: &Fault) -> bool {
    let Fault::Sql(error) = fault else { return false };
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

pub(super) fn count_tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
}

pub(super) fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?1";
    connection.query_row(sql, [table], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}
