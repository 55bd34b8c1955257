//! Tile layers as TMS, `/tiles`, KML and WMTS share them.

use std::sync::Arc;

use super::metadata::Dimension;
use crate::geo::{Extent, Srs, TileGrid};
use crate::plan::{PlanError, Tile, TileAddress, TileCache, TileFile, Turn};
use crate::render::Format;

/// What a tile layer asks of its cache; [`TileCache`] is the one real
/// implementation, tests bring their own.
pub trait TileProvider: Send + Sync {
    fn grid(&self) -> &Arc<TileGrid>;
    fn format(&self) -> Format;
    fn tile_file(&self, tile: &TileAddress) -> Option<TileFile>;
    fn tile(&self, tile: &TileAddress, turn: &Turn) -> Result<Tile, PlanError>;
}

impl TileProvider for TileCache {
    fn grid(&self) -> &Arc<TileGrid> {
        TileCache::grid(self)
    }
    fn format(&self) -> Format {
        TileCache::format(self)
    }
    fn tile_file(&self, tile: &TileAddress) -> Option<TileFile> {
        TileCache::tile_file(self, tile)
    }
    fn tile(&self, tile: &TileAddress, turn: &Turn) -> Result<Tile, PlanError> {
        TileCache::tile(self, tile, turn)
    }
}

/// One layer on one grid of its cache (mapproxy-features.md §6: layers with
/// a name and exactly one cache, or explicit `tile_sources`), in the order of
/// the configuration: layers depth first, children before their parent, then
/// the grids of the cache.
#[derive(Clone)]
pub struct TileLayer {
    pub name: String,
    pub title: String,
    pub cache_name: String,
    pub tiles: Arc<dyn TileProvider>,
    /// The cache's extent (its coverage or the grid).
    pub extent: (Extent, Srs),
    pub dimensions: Vec<Dimension>,
    /// Whether a source answers feature info.
    pub queryable: bool,
    /// Templates with `{base_url}` and `{layer_name}`; `legendurl` fills in
    /// MapProxy's default of both.
    pub wmts_kvp_legend_url: Option<String>,
    pub wmts_rest_legend_url: Option<String>,
}
