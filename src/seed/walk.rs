//! The tiles of an area in blocks that are made together, never all at once in
//! memory.

use crate::geo::{Coverage, Extent, TileCoord, TileGrid};
use crate::plan::TileCache;

/// The blocks of one level that touch the coverage.
pub struct Walk<'a> {
    grid: &'a TileGrid,
    coverage: &'a Coverage,
    level: u32,
    /// Columns and rows of a block.
    step: (i64, i64),
    /// The outermost tiles, inclusive.
    first: (i64, i64),
    last: (i64, i64),
    next: (i64, i64),
}

impl<'a> Walk<'a> {
    /// `coverage` in the grid's system.
    pub fn new(cache: &'a TileCache, coverage: &'a Coverage, level: u32) -> Walk<'a> {
        let grid = cache.grid();
        let step = cache.meta_size(level);
        let (first, last) = match coverage.extent.intersection(&grid.level_extent(level)) {
            Some(area) => range(grid, &area, level),
            None => ((0, 0), (-1, -1)),
        };
        let next = (first.0 - first.0.rem_euclid(step.0), first.1 - first.1.rem_euclid(step.1));
        Walk { grid, coverage, level, step, first: next, last, next }
    }

    /// The most tiles that may come.
    pub fn tiles_max(&self) -> u64 {
        let across = self.last.0 - self.first.0 + 1;
        let down = self.last.1 - self.first.1 + 1;
        u64::try_from(across.max(0)).unwrap_or(0).saturating_mul(u64::try_from(down.max(0)).unwrap_or(0))
    }
}

/// The outermost tiles under an area; a tenth of a pixel at its rim does not count.
fn range(grid: &TileGrid, area: &Extent, level: u32) -> ((i64, i64), (i64, i64)) {
    let delta = grid.resolution(level) / 10.0;
    let one = grid.tile_at(area.min_x + delta, area.min_y + delta, level);
    let other = grid.tile_at(area.max_x - delta, area.max_y - delta, level);
    let (columns, rows) = grid.grid_size(level);
    let inside = |x: i64, y: i64| (x.clamp(0, columns - 1), y.clamp(0, rows - 1));
    (inside(one.x.min(other.x), one.y.min(other.y)), inside(one.x.max(other.x), one.y.max(other.y)))
}

impl Iterator for Walk<'_> {
    /// The tiles of a block that are in the grid and touch the coverage.
    type Item = Vec<TileCoord>;

    fn next(&mut self) -> Option<Vec<TileCoord>> {
        while self.next.1 <= self.last.1 {
            let (x, y) = self.next;
            if x > self.last.0 {
                self.next = (self.first.0, y + self.step.1);
                continue;
            }
            self.next.0 = x + self.step.0;
            let mut tiles = Vec::new();
            for row in y..y + self.step.1 {
                for column in x..x + self.step.0 {
                    let tile = TileCoord::new(column, row, self.level);
                    let is_wanted = self.grid.limit(tile).is_some()
                        && self.coverage.intersects(&self.grid.tile_extent(tile), &self.grid.srs);
                    if is_wanted {
                        tiles.push(tile);
                    }
                }
            }
            if !tiles.is_empty() {
                return Some(tiles);
            }
        }
        None
    }
}
