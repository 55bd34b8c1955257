//! Stores that keep their tiles as rows of SQLite files, shared with a MapProxy
//! on the same configuration: one file
//! (`mbtiles`, `geopackage`) or one for each level (`sqlite`, `geopackage`).
//!
//! Rows are in the grid's own counting, as in MapProxy (mapproxy-features.md
//! §4.3). What others do to the file meanwhile is `database`'s business.

mod database;
mod geopackage;
mod mbtiles;
mod rows;

pub use database::DatabaseOptions;
pub use geopackage::GeoPackage;
pub use rows::{RowFiles, RowOptions, RowStore};

#[cfg(test)]
mod tests;
