//! The tables of MBTiles 1.x (github.com/mapbox/mbtiles-spec), with a column for
//! the tiles' time in the files of single levels, as MapProxy has it.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::database::{Fault, Schema, Standing, count_tables, has_table};
use super::rows::{RowKind, RowOptions, RowStore};

impl RowStore {
    /// `type: mbtiles`: one file, without times.
    pub fn mbtiles(options: RowOptions) -> RowStore {
        RowStore::new(options, kind("mbtiles-", false, Duration::ZERO))
    }

    /// `type: sqlite`: a file for each level, with times. `ttl`: tiles of that
    /// age are gone; zero: never.
    pub fn sqlite(options: RowOptions, ttl: Duration) -> RowStore {
        RowStore::new(options, kind("sqlite-", true, ttl))
    }
}

fn kind(lock_prefix: &'static str, is_timed: bool, ttl: Duration) -> RowKind {
    let (ending, table) = ("mbtiles", TILES.to_owned());
    RowKind { lock_prefix, ending, table, is_timed, ttl, schema: Arc::new(MbTiles { is_timed }) }
}

const TILES: &str = "tiles";

struct MbTiles {
    is_timed: bool,
}

impl Schema for MbTiles {
    /// A view will do for reading.
    fn look(&self, connection: &Connection) -> Result<Standing, Fault> {
        if has_table(connection, TILES)? {
            return Ok(Standing::Ready);
        }
        match count_tables(connection)? {
            0 => Ok(Standing::Absent),
            _ => Err(Fault::Said(format!("it has tables, but none named {TILES}"))),
        }
    }

    fn create(&self, connection: &Connection) -> rusqlite::Result<()> {
        let time = match self.is_timed {
            true => ", last_modified datetime DEFAULT (datetime('now','localtime'))",
            false => "",
        };
        connection.execute_batch(&format!(
            "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob{time});
             CREATE TABLE metadata (name text, value text);
             CREATE UNIQUE INDEX idx_tile on tiles (zoom_level, tile_column, tile_row);"
        ))
    }
}
