//! Tiles laid side by side as one source image.
//!
//! Reads windows and rows out of the tiles; never builds an image of all of
//! them. Knows nothing of map units.

use std::sync::Arc;

use super::raster::{Color, Raster};

/// `columns × rows` tiles of one size, row by row from the north-west. A
/// missing tile is `background`. A single image is a mosaic of one tile.
#[derive(Clone, Debug)]
pub struct Mosaic {
    pub tile_size: (u32, u32),
    pub columns: u32,
    pub rows: u32,
    pub tiles: Vec<Option<Arc<Raster>>>,
    pub background: Color,
}

impl Mosaic {
    pub fn single(raster: Arc<Raster>) -> Mosaic {
        Mosaic {
            tile_size: (raster.width, raster.height),
            columns: 1,
            rows: 1,
            tiles: vec![Some(raster)],
            background: [0, 0, 0, 0],
        }
    }

    /// Pixels across and down.
    pub fn size(&self) -> (u32, u32) {
        (self.tile_size.0.saturating_mul(self.columns), self.tile_size.1.saturating_mul(self.rows))
    }

    /// Whether every pixel of the mosaic is opaque.
    pub fn is_opaque(&self) -> bool {
        let (width, height) = self.size();
        self.is_opaque_within(0, 0, i64::from(width), i64::from(height))
    }

    /// Whether every pixel of a window is opaque; the part of the window that
    /// lies outside the mosaic is not looked at.
    pub(super) fn is_opaque_within(&self, x0: i64, y0: i64, x1: i64, y1: i64) -> bool {
        let columns = tile_range(x0, x1, self.tile_size.0, self.columns);
        let rows = tile_range(y0, y1, self.tile_size.1, self.rows);
        rows.into_iter().all(|row| columns.clone().all(|column| self.tile_is_opaque(column, row)))
    }

    fn tile_is_opaque(&self, column: u32, row: u32) -> bool {
        let background = self.background[3] == 255;
        match self.tile(column, row) {
            None => background,
            Some(tile) => {
                tile.opaque
                    && (background || (tile.width >= self.tile_size.0 && tile.height >= self.tile_size.1))
            }
        }
    }

    fn tile(&self, column: u32, row: u32) -> Option<&Raster> {
        let at = row as usize * self.columns as usize + column as usize;
        self.tiles.get(at).and_then(|tile| tile.as_deref())
    }

    /// A window of the mosaic as one raster; pixels outside are transparent.
    pub fn crop(&self, x: i64, y: i64, width: u32, height: u32) -> Raster {
        let (mosaic_width, mosaic_height) = (i64::from(self.size().0), i64::from(self.size().1));
        // Far outside is outside, and sums of what is left cannot overflow.
        const FAR: i64 = 1 << 40;
        let (x, y) = (x.clamp(-FAR, FAR), y.clamp(-FAR, FAR));
        let (x1, y1) = (x + i64::from(width), y + i64::from(height));
        let inside_x0 = x.clamp(0, mosaic_width);
        let inside_x1 = x1.clamp(inside_x0, mosaic_width);
        let whole = x >= 0 && y >= 0 && x1 <= mosaic_width && y1 <= mosaic_height;
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 4);
        for row in y..y1 {
            let end = pixels.len() + width as usize * 4;
            if (0..mosaic_height).contains(&row) && inside_x0 < inside_x1 {
                pixels.resize(pixels.len() + (inside_x0 - x) as usize * 4, 0);
                self.append_row(row as u32, inside_x0 as u32, inside_x1 as u32, &mut pixels);
            }
            pixels.resize(end, 0);
        }
        Raster { width, height, opaque: whole && self.is_opaque_within(x, y, x1, y1), pixels }
    }

    /// Appends columns `x0..x1` of row `y` to `out`. The range must lie within
    /// the mosaic.
    pub(super) fn append_row(&self, y: u32, x0: u32, x1: u32, out: &mut Vec<u8>) {
        let (tile_width, tile_height) = self.tile_size;
        let (row, tile_y) = (y / tile_height.max(1), y % tile_height.max(1));
        let mut x = x0;
        while x < x1 {
            let (column, tile_x) = (x / tile_width, x % tile_width);
            let count = (tile_width - tile_x).min(x1 - x);
            let present = self.tile(column, row).and_then(|tile| tile_row(tile, tile_x, tile_y, count));
            let bytes = present.unwrap_or(&[]);
            out.extend_from_slice(bytes);
            for _ in bytes.len() / 4..count as usize {
                out.extend_from_slice(&self.background);
            }
            x += count;
        }
    }

    /// Appends `width` columns from `x0` on of row `y` to `out`; columns and
    /// rows outside the mosaic repeat the nearest edge pixel.
    pub(super) fn append_row_clamped(&self, y: i64, x0: i64, width: usize, out: &mut Vec<u8>) {
        let (mosaic_width, mosaic_height) = self.size();
        let start = out.len();
        let end = start + width * 4;
        if mosaic_width == 0 || mosaic_height == 0 || width == 0 {
            out.resize(end, 0);
            return;
        }
        let row = y.clamp(0, i64::from(mosaic_height) - 1) as u32;
        let last = i64::from(mosaic_width) - 1;
        let inner_x0 = x0.clamp(0, last);
        let inner_x1 = (x0 + width as i64).clamp(inner_x0 + 1, last + 1);
        let left = (inner_x0 - x0).clamp(0, width as i64) as usize;
        out.resize(start + left * 4, 0);
        self.append_row(row, inner_x0 as u32, inner_x1 as u32, out);
        let first_at = start + left * 4;
        for at in 0..left {
            out.copy_within(first_at..first_at + 4, start + at * 4);
        }
        out.truncate(end);
        while out.len() < end {
            let edge = out.len() - 4;
            out.extend_from_within(edge..);
        }
    }
}

/// `count` pixels of a tile's row, or as many as there are.
fn tile_row(tile: &Raster, x: u32, y: u32, count: u32) -> Option<&[u8]> {
    if y >= tile.height || x >= tile.width {
        return None;
    }
    let count = count.min(tile.width - x) as usize;
    let start = (y as usize * tile.width as usize + x as usize) * 4;
    tile.pixels.get(start..start + count * 4)
}

/// The tiles of one axis that `from..to` (pixels) touches.
fn tile_range(from: i64, to: i64, tile_px: u32, tiles: u32) -> std::ops::Range<u32> {
    let tile_px = i64::from(tile_px.max(1));
    let first = from.max(0).div_euclid(tile_px).min(i64::from(tiles));
    let end = (to.saturating_add(tile_px - 1)).div_euclid(tile_px).clamp(first, i64::from(tiles));
    first as u32..end as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tiles whose pixels tell their place in the mosaic.
    pub(crate) fn numbered(columns: u32, rows: u32, side: u32) -> Mosaic {
        let tiles = (0..columns * rows).map(|at| {
            let (column, row) = (at % columns, at / columns);
            let mut raster = Raster::filled(side, side, [0, 0, 7, 255]);
            for y in 0..side {
                for x in 0..side {
                    let at = ((y * side + x) * 4) as usize;
                    raster.pixels[at] = (column * side + x) as u8;
                    raster.pixels[at + 1] = (row * side + y) as u8;
                }
            }
            Some(Arc::new(raster))
        });
        Mosaic { tile_size: (side, side), columns, rows, tiles: tiles.collect(), background: [0; 4] }
    }

    #[test]
    fn a_crop_crosses_tiles_and_ends_at_the_edges() {
        let mosaic = numbered(3, 2, 5);
        let crop = mosaic.crop(-2, 3, 20, 9);
        assert!(!crop.opaque);
        assert_eq!(crop.pixels.len(), 20 * 9 * 4);
        for y in 0..9 {
            for x in 0..20 {
                let (sx, sy) = (i64::from(x) - 2, i64::from(y) + 3);
                let want = if (0..15).contains(&sx) && (0..10).contains(&sy) {
                    [sx as u8, sy as u8, 7, 255]
                } else {
                    [0; 4]
                };
                assert_eq!(crop.pixel(x, y), want, "{x} {y}");
            }
        }
        assert!(mosaic.crop(4, 4, 3, 3).opaque);
        assert_eq!(mosaic.crop(100, 100, 3, 2).pixels, vec![0; 24]);
        assert_eq!(mosaic.crop(i64::MIN, i64::MAX, 1, 1).pixels, vec![0; 4]);
        assert_eq!(mosaic.crop(0, 0, 0, 4).pixels, Vec::<u8>::new());
    }

    #[test]
    fn a_missing_or_short_tile_shows_the_background() {
        let mut mosaic = numbered(2, 1, 4);
        mosaic.background = [9, 9, 9, 255];
        mosaic.tiles[0] = None;
        mosaic.tiles[1] = Some(Arc::new(Raster::filled(2, 3, [1, 2, 3, 255])));
        let crop = mosaic.crop(0, 0, 8, 4);
        assert!(crop.opaque && mosaic.is_opaque());
        assert_eq!(crop.pixel(3, 0), [9, 9, 9, 255]);
        assert_eq!(crop.pixel(5, 2), [1, 2, 3, 255]);
        assert_eq!(crop.pixel(6, 2), [9, 9, 9, 255]);
        assert_eq!(crop.pixel(4, 3), [9, 9, 9, 255]);
        mosaic.background[3] = 0;
        assert!(!mosaic.is_opaque());
    }

    #[test]
    fn rows_outside_repeat_the_edge() {
        let mosaic = numbered(2, 1, 4);
        let mut line = Vec::new();
        mosaic.append_row_clamped(-3, -2, 12, &mut line);
        let reds: Vec<u8> = line.chunks(4).map(|p| p[0]).collect();
        assert_eq!(reds, [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 7]);
        mosaic.append_row_clamped(0, 20, 2, &mut line);
        assert_eq!((line[48], line.len()), (7, 56));
        mosaic.append_row_clamped(0, -20, 2, &mut line);
        assert_eq!((line[56], line.len()), (0, 64));
        mosaic.append_row_clamped(0, -20, 0, &mut line);
        assert_eq!(line.len(), 64);
    }
}
