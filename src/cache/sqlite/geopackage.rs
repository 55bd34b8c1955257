//! The tables of GeoPackage 1.0 tiles (OGC 12-128), as MapProxy makes them: any
//! number of tile tables in one file, each with its system and its levels.
//!
//! A file that is there already is looked at first: rows of another system or
//! other resolutions would be drawn in the wrong place.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::database::{Fault, Schema, Standing, has_table};
use super::rows::{RowFiles, RowKind, RowOptions, RowStore};
use crate::geo::{Extent, TileGrid};

/// `GP10` in the file's header.
const APPLICATION_ID: u32 = 0x4750_3130;
/// Levels that the file's table of levels gets at most, as from MapProxy.
const MATRIX_LEVELS_MAX: u32 = 20;
/// How far a resolution may be from the grid's, in shares of the larger.
const RESOLUTION_SLACK: f64 = 1e-9;

const WGS_84: &str = r#"GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AUTHORITY["EPSG","4326"]]"#;
const PSEUDO_MERCATOR: &str = r#"PROJCS["WGS 84 / Pseudo-Mercator",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AUTHORITY["EPSG","4326"]],PROJECTION["Mercator_1SP"],PARAMETER["central_meridian",0],PARAMETER["scale_factor",1],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["X",EAST],AXIS["Y",NORTH],AUTHORITY["EPSG","3857"]]"#;

/// What the file says of one table of tiles.
#[derive(Clone, Debug)]
pub struct GeoPackage {
    /// Letters, digits, `_` and `-`.
    pub table: String,
    /// Number of the grid's system.
    pub epsg: i64,
    pub grid: Arc<TileGrid>,
    /// The area of the tiles in the grid's system.
    pub extent: Extent,
}

impl RowStore {
    /// `type: geopackage`: one file, or with `levels` one for each level.
    pub fn geopackage(options: RowOptions, package: GeoPackage) -> RowStore {
        let lock_prefix = match options.files {
            RowFiles::One(_) => "gpkg",
            RowFiles::Levels(_) => "gpkg-",
        };
        let kind = RowKind {
            lock_prefix,
            ending: "gpkg",
            table: package.table.clone(),
            is_timed: false,
            ttl: Duration::ZERO,
            schema: Arc::new(package),
        };
        RowStore::new(options, kind)
    }
}

impl Schema for GeoPackage {
    fn look(&self, connection: &Connection) -> Result<Standing, Fault> {
        for table in [&self.table, "gpkg_contents", "gpkg_spatial_ref_sys", "gpkg_tile_matrix"] {
            if !has_table(connection, table)? {
                return Ok(Standing::Absent);
            }
        }
        let sql = "SELECT lower(data_type), organization_coordsys_id FROM gpkg_contents \
                   LEFT JOIN gpkg_spatial_ref_sys USING (srs_id) WHERE table_name = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: Option<(String, Option<i64>)> =
            connection.query_row(sql, [&self.table], row).optional()?;
        let Some((kind, Some(epsg))) = found else { return Ok(Standing::Absent) };
        let table = &self.table;
        if kind != "tiles" {
            return Err(Fault::Said(format!(
                "its table {table} holds {kind}, not tiles; name another `table_name`"
            )));
        }
        if epsg != self.epsg {
            let text = format!("its table {table} is in EPSG:{epsg}, the grid in EPSG:{}", self.epsg);
            return Err(Fault::Said(text));
        }
        self.look_at_levels(connection)?;
        Ok(Standing::Ready)
    }

    fn create(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(TABLES)?;
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS [{}] (id INTEGER PRIMARY KEY AUTOINCREMENT, zoom_level INTEGER NOT NULL, \
             tile_column INTEGER NOT NULL, tile_row INTEGER NOT NULL, tile_data BLOB NOT NULL, \
             UNIQUE (zoom_level, tile_column, tile_row))",
            self.table
        ))?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        self.name_systems(connection)?;
        let (table, Extent { min_x, min_y, max_x, max_y }) = (&self.table, self.extent);
        connection.execute(
            "INSERT OR IGNORE INTO gpkg_contents \
             (table_name, data_type, identifier, description, min_x, min_y, max_x, max_y, srs_id) \
             VALUES (?1, 'tiles', ?1, 'map tiles', ?2, ?3, ?4, ?5, ?6)",
            params![table, min_x, min_y, max_x, max_y, self.epsg],
        )?;
        connection.execute(
            "INSERT OR IGNORE INTO gpkg_tile_matrix_set (table_name, srs_id, min_x, min_y, max_x, max_y) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![table, self.epsg, min_x, min_y, max_x, max_y],
        )?;
        let (width, height) = self.grid.tile_size;
        for level in 0..self.grid.levels().min(MATRIX_LEVELS_MAX) {
            let ((columns, rows), resolution) = (self.grid.grid_size(level), self.grid.resolution(level));
            connection.execute(
                "INSERT OR IGNORE INTO gpkg_tile_matrix VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
                params![table, level, columns, rows, width, height, resolution],
            )?;
        }
        Ok(())
    }
}

impl GeoPackage {
    /// Rows of the file's levels must be tiles of the grid.
    fn look_at_levels(&self, connection: &Connection) -> Result<(), Fault> {
        let sql = "SELECT zoom_level, tile_width, tile_height, pixel_x_size, pixel_y_size \
                   FROM gpkg_tile_matrix WHERE table_name = ?1";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([&self.table])?;
        while let Some(row) = rows.next()? {
            let level: u32 = row.get(0)?;
            let (width, height): (u32, u32) = (row.get(1)?, row.get(2)?);
            let (x, y): (f64, f64) = (row.get(3)?, row.get(4)?);
            if level >= self.grid.levels() {
                continue;
            }
            let table = &self.table;
            if (width, height) != self.grid.tile_size {
                let (ours_x, ours_y) = self.grid.tile_size;
                return Err(Fault::Said(format!(
                    "its table {table} has tiles of {width}×{height} pixels, the grid has {ours_x}×{ours_y}"
                )));
            }
            let ours = self.grid.resolution(level);
            let is_near = |theirs: f64| (theirs - ours).abs() <= RESOLUTION_SLACK * theirs.abs().max(ours);
            if !is_near(x) || !is_near(y) {
                return Err(Fault::Said(format!(
                    "level {level} of its table {table} has the resolution {x}, in the grid it is {ours}"
                )));
            }
        }
        Ok(())
    }

    /// The systems that every GeoPackage names, and that of the grid.
    fn name_systems(&self, connection: &Connection) -> rusqlite::Result<()> {
        let own = format!("EPSG:{}", self.epsg);
        for (name, number, organization, definition) in [
            ("WGS 84 / Pseudo-Mercator", 3857, "epsg", PSEUDO_MERCATOR),
            ("WGS 84", 4326, "epsg", WGS_84),
            ("undefined cartesian", -1, "NONE", "undefined"),
            ("undefined geographic", 0, "NONE", "undefined"),
            (own.as_str(), self.epsg, "epsg", "undefined"),
        ] {
            connection.execute(
                "INSERT OR IGNORE INTO gpkg_spatial_ref_sys \
                 (srs_name, srs_id, organization, organization_coordsys_id, definition) VALUES (?1, ?2, ?3, ?2, ?4)",
                params![name, number, organization, definition],
            )?;
        }
        Ok(())
    }
}

/// Clauses 1.1.2, 1.1.3, 2.2.6 and 2.2.7 of the standard.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS gpkg_spatial_ref_sys (
    srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE IF NOT EXISTS gpkg_contents (
    table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '',
    last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
    CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE IF NOT EXISTS gpkg_tile_matrix_set (
    table_name TEXT NOT NULL PRIMARY KEY, srs_id INTEGER NOT NULL,
    min_x DOUBLE NOT NULL, min_y DOUBLE NOT NULL, max_x DOUBLE NOT NULL, max_y DOUBLE NOT NULL,
    CONSTRAINT fk_gtms_table_name FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
    CONSTRAINT fk_gtms_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE IF NOT EXISTS gpkg_tile_matrix (
    table_name TEXT NOT NULL, zoom_level INTEGER NOT NULL, matrix_width INTEGER NOT NULL,
    matrix_height INTEGER NOT NULL, tile_width INTEGER NOT NULL, tile_height INTEGER NOT NULL,
    pixel_x_size DOUBLE NOT NULL, pixel_y_size DOUBLE NOT NULL,
    CONSTRAINT pk_ttm PRIMARY KEY (table_name, zoom_level),
    CONSTRAINT fk_tmm_table_name FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name));
";
