//! Meta tiles: several tiles made from one map with a margin around it.
//! Rules: mapproxy-features.md §3.5.

use std::sync::Arc;

use super::extent::Extent;
use super::grid::{Origin, TileCoord, TileGrid, round_decimals};

/// The most tiles of one block; no map of that many could be rendered.
pub const META_TILES_MAX: u64 = 65_536;

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
    /// Columns and rows of tiles in the block, those outside the grid too.
    pub columns: u32,
    pub rows: u32,
    /// Each tile inside the grid with the pixel offset of its north-west
    /// corner in the map, row by row from the north-west. An offset is
    /// negative where the buffer's cut took away more than the buffer.
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
    pub fn meta_tile(&self, tile: TileCoord) -> MetaTile {
        let main = self.main_tile(tile);
        let (columns, rows) = self.level_meta_size(tile.z);
        let last =
            TileCoord::new(main.x.saturating_add(columns - 1), main.y.saturating_add(rows - 1), tile.z);
        self.block(main, last, |t| self.grid.limit(t))
    }

    /// The smallest block that holds all of `tiles` (one level): the bounding
    /// request of `minimize_meta_requests`. The tiles come from one map's list
    /// of affected tiles, so they lie together. Without any the block is empty.
    pub fn minimal_meta_tile(&self, tiles: &[TileCoord]) -> MetaTile {
        let level = tiles.first().map_or(0, |t| t.z);
        let low = |of: fn(&TileCoord) -> i64| tiles.iter().map(of).min().unwrap_or(0);
        let high = |of: fn(&TileCoord) -> i64| tiles.iter().map(of).max().unwrap_or(-1);
        let first = TileCoord::new(low(|t| t.x), low(|t| t.y), level);
        let last = TileCoord::new(high(|t| t.x), high(|t| t.y), level);
        self.block(first, last, |t| (t.x >= 0 && t.y >= 0).then_some(t))
    }

    /// The tile that names the meta tile of `tile`.
    pub fn main_tile(&self, tile: TileCoord) -> TileCoord {
        let (columns, rows) = self.level_meta_size(tile.z);
        let down = |v: i64, step: i64| v.saturating_sub(v.rem_euclid(step));
        TileCoord { x: down(tile.x, columns), y: down(tile.y, rows), z: tile.z }
    }

    /// Columns and rows of the level's meta tiles: as configured, but no more
    /// than the level has tiles.
    pub fn level_meta_size(&self, level: u32) -> (i64, i64) {
        let (columns, rows) = self.grid.grid_size(level);
        let cut = |meta: u32, tiles: i64| i64::from(meta.max(1)).min(tiles.max(1));
        (cut(self.meta_size.0, columns), cut(self.meta_size.1, rows))
    }

    /// The block from the tile with the lowest to that with the highest column
    /// and row; `keep` says which of its tiles there are.
    fn block(
        &self,
        first: TileCoord,
        last: TileCoord,
        keep: impl Fn(TileCoord) -> Option<TileCoord>,
    ) -> MetaTile {
        let level = first.z;
        let count = |a: i64, b: i64| u32::try_from(i128::from(b) - i128::from(a) + 1).unwrap_or(u32::MAX);
        let (columns, rows) = (count(first.x, last.x), count(first.y, last.y));
        let (extent, west_px, north_px) = self.buffered(&self.grid.tiles_extent(first, last), level);
        let res = self.grid.resolution(level);
        // `as` saturates.
        let pixels = |length: f64| (length / res).round_ties_even() as u32;
        let mut block = MetaTile {
            extent,
            size: (pixels(extent.width()), pixels(extent.height())),
            level,
            main: self.main_tile(first),
            columns,
            rows,
            tiles: Vec::new(),
        };
        if u64::from(columns) * u64::from(rows) > META_TILES_MAX {
            return block;
        }
        let (width_px, height_px) = (i64::from(self.grid.tile_size.0), i64::from(self.grid.tile_size.1));
        for row in 0..i64::from(rows) {
            let y = match self.grid.origin {
                Origin::NorthWest => first.y + row,
                Origin::SouthWest => last.y - row,
            };
            for column in 0..i64::from(columns) {
                let Some(tile) = keep(TileCoord { x: first.x + column, y, z: level }) else { continue };
                let x_px = (column * width_px).saturating_add(west_px);
                let y_px = (row * height_px).saturating_add(north_px);
                block.tiles.push((tile, (saturate(x_px), saturate(y_px))));
            }
        }
        if let Some((tile, _)) = block.tiles.first() {
            block.main = self.main_tile(*tile);
        }
        block
    }

    /// An extent with the buffer around it, cut at the grid's extent, and the
    /// pixels that the buffer has left in the west and in the north.
    fn buffered(&self, extent: &Extent, level: u32) -> (Extent, i64, i64) {
        if self.buffer_px == 0 {
            return (*extent, 0, 0);
        }
        let res = self.grid.resolution(level);
        let buffer = i64::from(self.buffer_px);
        let mut grown = extent.grow(f64::from(self.buffer_px) * res);
        let limit = &self.grid.extent;
        let (mut west_px, mut north_px) = (buffer, buffer);
        // Five decimals first, so that a hair's breadth costs no pixel.
        let lost_px = |distance: f64| round_decimals(distance / res, 5) as i64;
        if limit.min_x > grown.min_x {
            west_px = buffer.saturating_sub(lost_px(limit.min_x - grown.min_x));
            grown.min_x = limit.min_x;
        }
        if limit.max_y < grown.max_y {
            north_px = buffer.saturating_sub(lost_px(grown.max_y - limit.max_y));
            grown.max_y = limit.max_y;
        }
        grown.min_y = grown.min_y.max(limit.min_y);
        grown.max_x = grown.max_x.min(limit.max_x);
        (grown, west_px, north_px)
    }
}

fn saturate(value: i64) -> i32 {
    value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

#[cfg(test)]
#[path = "metagrid_tests.rs"]
mod tests;
