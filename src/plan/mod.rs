//! A query becomes tile operations: which tiles, from where, in what order,
//! who makes them and who waits.
//!
//! The only room that knows cache *and* source *and* lock.

pub mod cache_layer;
pub mod compose;
pub mod create;
pub mod memory;
pub mod source_layer;
pub mod tile_cache;
pub mod turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cache::CacheError;
use crate::geo::{Coverage, Extent, Srs};
use crate::render::{Format, Raster};
use crate::source::SourceError;

pub use crate::cache::TileAddress;
pub use compose::{Composed, ComposeOptions, compose};
pub use memory::TileMemory;
pub use tile_cache::TileCache;
pub use turn::{Gate, Turn};

/// A map that is wanted.
#[derive(Clone, Debug)]
pub struct MapQuery {
    pub extent: Extent,
    pub size: (u32, u32),
    pub srs: Srs,
    pub format: Format,
    pub transparent: bool,
    /// `tiled=true`: answer from exactly one tile or not at all.
    pub tiled_only: bool,
    /// Dimension values of the request: name (`time`, `dim_x`), value.
    pub dimensions: Vec<(String, String)>,
    /// All parameters of the client's request, for sources that forward some:
    /// lower-case name, value.
    pub parameters: Vec<(String, String)>,
}

impl MapQuery {
    /// Map units per pixel, the finer of the two directions.
    pub fn resolution(&self) -> f64 {
        (self.extent.width() / f64::from(self.size.0)).min(self.extent.height() / f64::from(self.size.1))
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    #[error("the map touches {count} tiles, {limit} are allowed")]
    TooManyTiles { count: u64, limit: u64 },
    #[error("tile outside of the grid")]
    TileOutOfRange,
    #[error("invalid tile request: {0}")]
    NotOneTile(String),
    #[error("{0}")]
    Source(SourceError),
    #[error("{0}")]
    Cache(Arc<CacheError>),
    #[error("damaged or wrong image from {origin}: {reason}")]
    Image { origin: String, reason: String },
    #[error("no answer within {ms} ms")]
    Timeout { ms: u64 },
}

/// What drawing a layer brought.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Nothing to see here: outside the coverage or the resolution range.
    Blank,
    Pixels(Arc<Raster>),
    /// An encoded tile exactly as the query asks for it; decode it only when needed.
    Encoded { bytes: Arc<[u8]>, format: Format },
}

#[derive(Clone, Debug)]
pub struct Drawn {
    pub picture: Picture,
    /// False when `on_error` or a partial failure forbids keeping it.
    pub cacheable: bool,
    /// When the oldest tile in it was stored, if it is made of stored tiles.
    pub modified: Option<SystemTime>,
}

/// The resolutions at which something is shown: map units are metres per
/// pixel; `coarsest` excluded, `finest` included as in MapProxy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResRange {
    pub coarsest: Option<f64>,
    pub finest: Option<f64>,
}

/// Something that can be drawn: a cache, a source, a debug picture.
pub trait MapLayer: Send + Sync {
    /// Draws the query; `Err` only for failures, a blank picture otherwise.
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError>;
    /// Whether it certainly hides what lies below.
    fn is_opaque(&self) -> bool;
    fn res_range(&self) -> Option<ResRange>;
    fn coverage(&self) -> Option<&Coverage>;
    /// The area for capabilities documents.
    fn extent(&self) -> (Extent, Srs);
    /// Whether that extent is only the whole world for want of a better one
    /// (a source without coverage): it gives way when extents are merged.
    fn extent_is_default(&self) -> bool {
        false
    }
    /// One layer in place of two adjacent ones (`upper` above `self`), where a
    /// single request can bring both.
    fn combine(&self, _upper: &dyn MapLayer, _query: &MapQuery) -> Option<Arc<dyn MapLayer>> {
        None
    }
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A stored tile as the event loop needs it: this file, this type, this age.
#[derive(Clone, Debug)]
pub struct TileFile {
    pub path: PathBuf,
    /// The format that the cache keeps; `Mixed` is told apart by its bytes.
    pub format: Format,
    /// Older than this: stale, make it anew.
    pub fresh_after: Option<SystemTime>,
}

/// A finished tile.
#[derive(Clone, Debug)]
pub struct Tile {
    pub bytes: Arc<[u8]>,
    pub format: Format,
    pub modified: SystemTime,
    pub cacheable: bool,
    /// Whether it came from the store as it was, and not from a source just now.
    pub from_store: bool,
}
