//! A query becomes tile operations: which tiles, from where, in what order,
//! who makes them and who waits.
//!
//! The only room that knows cache *and* source *and* lock.

pub mod band_layer;
pub mod by_renderd;
pub mod cache_layer;
mod complaint;
pub mod compose;
pub mod conditional;
pub mod create;
pub mod decoration;
#[cfg(test)]
mod fakes;
pub mod feature_info;
pub mod flight;
pub mod fresh;
pub mod legend;
pub mod limited;
pub mod memory;
mod patience;
pub mod picture;
pub mod source_layer;
pub mod srs_choice;
pub mod substitute;
pub mod tile_cache;
pub mod tile_set_layer;
pub mod turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cache::CacheError;
use crate::geo::{Coverage, Extent, Srs, WholeEdges};
use crate::render::{ColorMode, Format};

pub use crate::cache::atomic::WriteOptions;
pub use crate::cache::{Dimensions, TileAddress, TileIdentity};
pub use crate::source::xslt::{Stylesheet, XsltError};
pub use crate::source::{InfoRequest, PictureHook, Position, SourceError};
pub use band_layer::{BandLayer, BandMix, BandShare};
pub use by_renderd::RenderdOptions;
pub use cache_layer::{CacheLayer, CacheLayerOptions};
pub use compose::{ComposeOptions, Composed, OnSourceErrors, compose, error_text};
pub use conditional::{ResolutionLayer, SrsLayer};
pub use decoration::{Decoration, Step};
pub use feature_info::{InfoDocument, InfoKind, InfoLayer, SourceInfoLayer};
pub use fresh::FreshRule;
pub use legend::{Legend, LegendOptions};
pub use memory::TileMemory;
pub use picture::{Drawn, Picture};
pub use source_layer::{DebugLayer, EmptyLayer, TileLayer, WmsLayer, WmsLayerOptions};
pub use srs_choice::SupportedSrs;
pub use substitute::Rescale;
pub use tile_cache::{TileCache, TileCacheOptions};
pub use tile_set_layer::TileSetLayer;
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
    /// The MIME type as written where it says more than `format`
    /// (`image/png; mode=24bit`), for the request to an upstream.
    pub mime: Option<Arc<str>>,
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
    #[error("the map lies outside of what the source's system can show")]
    Untransformable,
    #[error("error while processing image file from {origin}: {reason}")]
    Image { origin: String, reason: String },
    #[error("the picture cannot be decorated: {0}")]
    Decoration(String),
    #[error("no answer within {ms} ms")]
    Timeout { ms: u64 },
}

/// The resolutions at which something is shown, in metres per pixel.
/// Source of the rule: mapproxy-features.md §5.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResRange {
    /// Coarser than this nothing is shown (`min_res`).
    pub coarsest: Option<f64>,
    /// Finer than this nothing is shown (`max_res`, included).
    pub finest: Option<f64>,
}

impl ResRange {
    /// Whether a map of `size` pixels over `extent` lies in the range, in both directions.
    pub fn contains(&self, extent: &Extent, size: (u32, u32), srs: &Srs) -> bool {
        let unit_m = if srs.is_geographic() { srs.meters_per_unit() } else { 1.0 };
        let x = extent.width() * unit_m / f64::from(size.0.max(1));
        let y = extent.height() * unit_m / f64::from(size.1.max(1));
        // The small surplus keeps a map at just the configured resolution in
        // the range in spite of rounding, as in MapProxy.
        let too_coarse = self.coarsest.is_some_and(|c| c + 1e-6 <= x.max(y));
        let too_fine = self.finest.is_some_and(|f| f > x.min(y));
        !too_coarse && !too_fine
    }

    /// The range in which either of two is shown; no range means all.
    pub fn union(a: Option<ResRange>, b: Option<ResRange>) -> Option<ResRange> {
        let (a, b) = (a?, b?);
        Some(ResRange {
            coarsest: a.coarsest.zip(b.coarsest).map(|(a, b)| a.max(b)),
            finest: a.finest.zip(b.finest).map(|(a, b)| a.min(b)),
        })
    }
}

/// Something that can be drawn: a cache, a source, a debug picture.
pub trait MapLayer: Send + Sync {
    /// Draws the query; `Err` only for failures, a blank picture otherwise.
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError>;
    /// Whether it certainly hides what lies below.
    fn is_opaque(&self, query: &MapQuery) -> bool;
    /// Whether its pixels may be transparent by configuration.
    fn is_transparent(&self) -> bool;
    /// 0.0–1.0, where configured.
    fn opacity(&self) -> Option<f32> {
        None
    }
    /// The kind of pixels of its pictures, whatever they show, for maps that
    /// may be `transparent` or not; `None`: what the pixels need.
    fn mode(&self, _transparent: bool) -> Option<ColorMode> {
        None
    }
    fn res_range(&self) -> Option<ResRange>;
    fn coverage(&self) -> Option<&Coverage>;
    /// The area for capabilities documents; `None`: the whole world.
    fn extent(&self) -> Option<(Extent, Srs)>;
    /// Which edges of [`MapLayer::extent`] were written as whole numbers.
    fn whole_edges(&self) -> WholeEdges {
        self.coverage().map_or([false; 4], |coverage| coverage.whole_edges(&coverage.srs))
    }
    /// Whether it can draw more than single tiles of one grid.
    fn supports_meta_tiles(&self) -> bool {
        true
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
    /// `None` where the store keeps no times.
    pub modified: Option<SystemTime>,
    pub cacheable: bool,
    /// Whether it came from the store as it was, and not from a source just now.
    pub from_store: bool,
    /// Which stored state it is, where it was read from a store.
    pub identity: Option<crate::cache::TileIdentity>,
}
