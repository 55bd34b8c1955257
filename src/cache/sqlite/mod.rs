//! Stores that keep their tiles as rows of SQLite files, shared with a MapProxy
//! on the same configuration: one file (`mbtiles`) or one for each level (`sqlite`).
//!
//! Rows are in the grid's own counting, as in MapProxy (mapproxy-features.md
//! §4.3). What others do to the file meanwhile is `database`'s business.

mod database;
mod mbtiles;

pub use database::DatabaseOptions;
pub use mbtiles::{MbTilesFiles, MbTilesOptions, MbTilesStore};

#[cfg(test)]
mod tests;
