//! Pure maths of maps: extents, coordinate systems, tile grids, coverages.
//!
//! No sockets, no clock, no files (libproj reads its own database), no
//! threads. Everything here is tested by table and by property.

mod area;
mod builtin;
pub mod coverage;
pub mod decimal;
pub mod extent;
pub mod grid;
mod mercator;
pub mod metagrid;
pub mod ogc;
mod polygon_text;
pub mod proj;
mod resolutions;
pub mod srs;

pub use coverage::Coverage;
pub use extent::{Extent, WholeEdges};
pub use grid::{Affected, GridError, GridOptions, Origin, TileCoord, TileGrid};
pub use metagrid::{MetaGrid, MetaTile};
pub use srs::{Srs, SrsError};
