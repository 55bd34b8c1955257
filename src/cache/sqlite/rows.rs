//! A store of tiles that are rows with level, column, row and bytes, in one file
//! or in one for each level. Which tables a file has beside is its schema's
//! business (`mbtiles`, `geopackage`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::database::{Database, DatabaseOptions, Schema};
use crate::cache::file::lock_id;
use crate::cache::lock::{LockModes, Locked, lock_tile_with};
use crate::cache::{CacheError, NewTile, StoredTile, TileAddress, TileIdentity, TileStore};
use crate::geo::TileCoord;

/// Which files the rows are in, spelled as MapProxy hashes it for the lock id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowFiles {
    /// All in this one.
    One(PathBuf),
    /// `<level>.<ending>` below this directory.
    Levels(PathBuf),
}

/// What stores of all kinds are made of.
#[derive(Clone, Debug)]
pub struct RowOptions {
    pub files: RowFiles,
    pub lock_dir: PathBuf,
    pub database: DatabaseOptions,
}

/// What tells the kinds apart.
pub(super) struct RowKind {
    /// Stands before the hash in the names of locks.
    pub lock_prefix: &'static str,
    /// Of the files of single levels.
    pub ending: &'static str,
    /// Without anything that ends a quoted name.
    pub table: String,
    /// Whether a column `last_modified` holds local time.
    pub is_timed: bool,
    /// Tiles of that age are gone; zero: never.
    pub ttl: Duration,
    pub schema: Arc<dyn Schema>,
}

/// Tiles of one grid as rows.
pub struct RowStore {
    options: RowOptions,
    kind: RowKind,
    /// By level; of a store with one file under level 0.
    databases: Mutex<HashMap<u32, Arc<Database>>>,
    lock_id: String,
}

const READ: &str = "read a tile of";
const STORE: &str = "store tiles in";
const REMOVE: &str = "remove a tile from";

impl RowStore {
    pub(super) fn new(options: RowOptions, kind: RowKind) -> RowStore {
        let (RowFiles::One(path) | RowFiles::Levels(path)) = &options.files;
        let lock_id = format!("{}{}", kind.lock_prefix, lock_id(&path.to_string_lossy()));
        RowStore { options, kind, databases: Mutex::default(), lock_id }
    }

    fn database(&self, tile: &TileAddress) -> Arc<Database> {
        let (level, path) = match &self.options.files {
            RowFiles::One(file) => (0, file.clone()),
            RowFiles::Levels(directory) => {
                let level = tile.coord.z;
                (level, directory.join(format!("{level}.{}", self.kind.ending)))
            }
        };
        // As many as the grid has levels: no other tile is asked for.
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let schema = Arc::clone(&self.kind.schema);
            Arc::new(Database::new(path, self.options.database.clone(), schema))
        };
        Arc::clone(databases.entry(level).or_insert_with(make))
    }

    /// `content` of the tile's row and its time.
    fn look<T>(
        &self,
        tile: &TileAddress,
        content: &str,
        take: impl Fn(ValueRef<'_>) -> Option<T>,
    ) -> Result<Option<(T, Option<SystemTime>)>, CacheError> {
        refuse_dimensions(tile)?;
        let time = if self.kind.is_timed { "unixepoch(last_modified, 'utc')" } else { "NULL" };
        let sql = format!("SELECT {content}, {time} FROM [{}] WHERE {PLACE}", self.kind.table);
        let found = self.database(tile).read(READ, |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let TileCoord { x, y, z } = tile.coord;
            let row = |row: &rusqlite::Row<'_>| Ok((take(row.get_ref(0)?), row.get::<_, Option<i64>>(1)?));
            statement.query_row(params![z, x, y], row).optional()
        })?;
        Ok(found.and_then(|(content, seconds)| {
            let modified = seconds.map(time_of);
            (!self.is_gone(modified)).then_some(content?).map(|content| (content, modified))
        }))
    }

    /// Whether the tile's time to live is over.
    fn is_gone(&self, modified: Option<SystemTime>) -> bool {
        if self.kind.ttl.is_zero() {
            return false;
        }
        let age = modified.map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
        age.is_none_or(|age| age.as_secs() >= self.kind.ttl.as_secs())
    }

    /// Deleted first: a file from elsewhere may have no unique index.
    fn replace_row(&self, connection: &Connection, new: &NewTile<'_>, now_s: i64) -> rusqlite::Result<()> {
        self.delete_row(connection, new.tile.coord)?;
        let table = &self.kind.table;
        let TileCoord { x, y, z } = new.tile.coord;
        if self.kind.is_timed {
            let sql = format!(
                "INSERT INTO [{table}] (zoom_level, tile_column, tile_row, tile_data, last_modified) \
                 VALUES (?1, ?2, ?3, ?4, datetime(?5, 'unixepoch', 'localtime'))"
            );
            connection.prepare_cached(&sql)?.execute(params![z, x, y, new.bytes, now_s])?;
        } else {
            let sql = format!(
                "INSERT INTO [{table}] (zoom_level, tile_column, tile_row, tile_data) VALUES (?1, ?2, ?3, ?4)"
            );
            connection.prepare_cached(&sql)?.execute(params![z, x, y, new.bytes])?;
        }
        Ok(())
    }

    fn delete_row(&self, connection: &Connection, coord: TileCoord) -> rusqlite::Result<()> {
        let TileCoord { x, y, z } = coord;
        let sql = format!("DELETE FROM [{}] WHERE {PLACE}", self.kind.table);
        connection.prepare_cached(&sql)?.execute(params![z, x, y]).map(drop)
    }
}

/// One row.
const PLACE: &str = "zoom_level = ?1 AND tile_column = ?2 AND tile_row = ?3";

impl TileStore for RowStore {
    fn path_of(&self, _tile: &TileAddress) -> Option<PathBuf> {
        None
    }

    fn load(&self, tile: &TileAddress) -> Result<Option<StoredTile>, CacheError> {
        let bytes = |value: ValueRef<'_>| match value {
            ValueRef::Blob(bytes) if !bytes.is_empty() => Some(Arc::from(bytes)),
            _ => None,
        };
        let found = self.look(tile, "tile_data", bytes)?;
        Ok(found.map(|(bytes, modified)| StoredTile { bytes, modified, identity: None }))
    }

    fn modified(&self, tile: &TileAddress) -> Result<Option<SystemTime>, CacheError> {
        let is_there = |value: ValueRef<'_>| value.as_i64().is_ok_and(|bytes| bytes > 0).then_some(());
        let found = self.look(tile, "length(tile_data)", is_there)?;
        Ok(found.map(|((), modified)| modified.unwrap_or(UNIX_EPOCH)))
    }

    /// Other programs give rows their numbers anew and again: only the bytes tell.
    fn identity(&self, _tile: &TileAddress) -> Result<Option<TileIdentity>, CacheError> {
        Ok(None)
    }

    fn store(&self, tile: &TileAddress, bytes: &[u8], color: Option<[u8; 4]>) -> Result<(), CacheError> {
        let new = NewTile { tile: tile.clone(), bytes, single_color: color };
        self.store_all(std::slice::from_ref(&new))?.into_iter().collect()
    }

    fn store_all(&self, tiles: &[NewTile<'_>]) -> Result<Vec<Result<(), CacheError>>, CacheError> {
        for new in tiles {
            refuse_dimensions(&new.tile)?;
            if new.bytes.is_empty() {
                return Err(CacheError::Refused("an empty tile is not stored".into()));
            }
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
        // Tiles of a meta tile are of one level.
        for level in tiles.chunk_by(|a, b| a.tile.coord.z == b.tile.coord.z) {
            let Some(first) = level.first() else { continue };
            self.database(&first.tile).write(STORE, |connection| {
                level.iter().try_for_each(|new| self.replace_row(connection, new, now_s))
            })?;
        }
        Ok(tiles.iter().map(|_| Ok(())).collect())
    }

    fn remove(&self, tile: &TileAddress) -> Result<(), CacheError> {
        refuse_dimensions(tile)?;
        self.database(tile).write_if_there(REMOVE, |connection| self.delete_row(connection, tile.coord))
    }

    fn lock_dir(&self) -> &Path {
        &self.options.lock_dir
    }

    fn lock_id(&self) -> &str {
        &self.lock_id
    }

    fn lock(&self, main: TileCoord, timeout: Duration) -> Result<Locked, CacheError> {
        let database = &self.options.database;
        let modes = LockModes { directory: database.directory_mode, file: database.file_mode };
        lock_tile_with(&self.options.lock_dir, &self.lock_id, main, timeout, modes)
    }

    fn has_times(&self) -> bool {
        self.kind.is_timed
    }
}

fn time_of(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds >= 0 { UNIX_EPOCH.checked_add(distance) } else { UNIX_EPOCH.checked_sub(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// Rows have no place for dimension values; `conf` has refused such a cache.
fn refuse_dimensions(tile: &TileAddress) -> Result<(), CacheError> {
    match &tile.dimensions {
        None => Ok(()),
        Some(_) => {
            Err(CacheError::Refused("tiles of several dimension values cannot be told apart here".into()))
        }
    }
}
