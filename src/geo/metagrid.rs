//! Meta tiles: several tiles made from one map with a margin around it.
//! Rules: mapproxy-features.md §3.5.

use std::sync::Arc;

use super::extent::Extent;
use super::grid::{TileCoord, TileGrid};

/// A block of tiles that is rendered as one map.
#[derive(Clone, Debug)]
pub struct MetaTile {
    /// Extent of the map with its buffer.
    pub extent: Extent,
    /// Pixels of the map with its buffer.
    pub size: (u32, u32),
    pub level: u32,
    /// The tile that names the block, also in the lock file's name.
    pub main: TileCoord,
    /// Columns and rows of tiles in the block.
    pub columns: u32,
    pub rows: u32,
    /// Each tile with the pixel offset of its north-west corner in the map.
    pub tiles: Vec<(TileCoord, (i32, i32))>,
}

/// A grid cut into meta tiles.
#[derive(Clone, Debug)]
pub struct MetaGrid {
    pub grid: Arc<TileGrid>,
    pub meta_size: (u32, u32),
    pub buffer_px: u32,
}

impl MetaGrid {
    pub fn new(grid: Arc<TileGrid>, meta_size: (u32, u32), buffer_px: u32) -> Self {
        Self { grid, meta_size, buffer_px }
    }
    /// The meta tile that holds `tile`.
    pub fn meta_tile(&self, _tile: TileCoord) -> MetaTile {
        todo!()
    }
    /// The smallest block that holds all of `tiles` (one level): the bounding
    /// request of `minimize_meta_requests`.
    pub fn minimal_meta_tile(&self, _tiles: &[TileCoord]) -> MetaTile {
        todo!()
    }
    /// The tile that names the meta tile of `tile`.
    pub fn main_tile(&self, _tile: TileCoord) -> TileCoord {
        todo!()
    }
}
