//! A tile grid (tile matrix set): resolutions, tile extents, level choice.
//! Rules: mapproxy-features.md §3.

use super::extent::Extent;
use super::srs::Srs;

/// Column, row and level of a tile; row 0 lies at the grid's own origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileCoord {
    pub x: i64,
    pub y: i64,
    pub z: u32,
}

/// The corner where column 0, row 0 lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `ll`, `sw`
    SouthWest,
    /// `ul`, `nw`
    NorthWest,
}

/// What the configuration may say about a grid; absent means MapProxy's default.
#[derive(Clone, Debug, Default)]
pub struct GridOptions {
    pub name: String,
    pub srs: Option<Srs>,
    pub extent: Option<Extent>,
    pub extent_srs: Option<Srs>,
    pub origin: Option<Origin>,
    pub tile_size: Option<(u32, u32)>,
    pub res: Option<Vec<f64>>,
    pub res_factor: Option<f64>,
    pub num_levels: Option<u32>,
    pub min_res: Option<f64>,
    pub max_res: Option<f64>,
    pub threshold_res: Option<Vec<f64>>,
    pub stretch_factor: Option<f64>,
    pub max_shrink_factor: Option<f64>,
    /// Resolutions of the grid named by `align_resolutions_with`.
    pub align_with: Option<Vec<f64>>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum GridError {
    #[error("{0}")]
    Options(String),
    /// The resolution is too coarse for this grid, or the area lies outside.
    #[error("no tiles for this extent and resolution")]
    NoTiles,
}

/// The tiles that a map touches.
#[derive(Clone, Debug)]
pub struct Affected {
    /// The extent of all touched tiles together.
    pub extent: Extent,
    pub level: u32,
    /// Columns and rows of touched tiles.
    pub columns: u32,
    pub rows: u32,
    /// Row by row from the north-west; `None` outside the grid.
    /// At most `columns × rows` entries; see [`TileGrid::affected`].
    pub tiles: Vec<Option<TileCoord>>,
}

/// A tile grid. Resolutions run from coarse to fine, in map units per pixel.
#[derive(Clone, Debug)]
pub struct TileGrid {
    pub name: String,
    pub srs: Srs,
    pub extent: Extent,
    pub origin: Origin,
    pub tile_size: (u32, u32),
    pub resolutions: Vec<f64>,
    pub threshold_res: Vec<f64>,
    pub stretch_factor: f64,
    pub max_shrink_factor: f64,
}

impl TileGrid {
    pub fn build(_options: &GridOptions) -> Result<TileGrid, GridError> {
        todo!()
    }
    pub fn levels(&self) -> u32 {
        self.resolutions.len() as u32
    }
    /// Map units per pixel at `level`.
    pub fn resolution(&self, level: u32) -> f64 {
        self.resolutions[level as usize]
    }
    /// Columns and rows at `level`, with MapProxy's floor division.
    pub fn grid_size(&self, _level: u32) -> (i64, i64) {
        todo!()
    }
    /// The level to use for a wanted resolution (stretch factor, thresholds).
    pub fn closest_level(&self, _resolution: f64) -> u32 {
        todo!()
    }
    /// Extent of a tile, rounded to 12 decimals.
    pub fn tile_extent(&self, _tile: TileCoord) -> Extent {
        todo!()
    }
    /// The tile if it lies in the grid.
    pub fn limit(&self, _tile: TileCoord) -> Option<TileCoord> {
        todo!()
    }
    /// The tile seen from the other origin (row counted from the other edge).
    pub fn flip(&self, _tile: TileCoord) -> TileCoord {
        todo!()
    }
    /// Whether every level's corner coincides, so that rows may be counted
    /// from `origin`.
    pub fn supports_origin(&self, _origin: Origin) -> bool {
        todo!()
    }
    /// The tile that lies at `origin` on `level`.
    pub fn origin_tile(&self, _level: u32, _origin: Origin) -> TileCoord {
        todo!()
    }
    /// The tiles under a map of `size` pixels; `extent` in `srs`.
    /// `tiles_max` bounds the list (the count beyond it is still right in
    /// `columns`/`rows`, the list then empty).
    pub fn affected(
        &self,
        _extent: &Extent,
        _size: (u32, u32),
        _srs: &Srs,
        _tiles_max: usize,
    ) -> Result<Affected, GridError> {
        todo!()
    }
    /// The tiles of one level under an extent in the grid's own system.
    pub fn affected_at(&self, _extent: &Extent, _level: u32, _tiles_max: usize) -> Affected {
        todo!()
    }
    /// Whether every tile of this grid is a tile of `other`.
    pub fn is_subset_of(&self, _other: &TileGrid) -> bool {
        todo!()
    }
}
