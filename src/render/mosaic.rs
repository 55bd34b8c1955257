//! Tiles laid side by side as one source image.

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
        (self.tile_size.0 * self.columns, self.tile_size.1 * self.rows)
    }
    pub fn is_opaque(&self) -> bool {
        self.background[3] == 255 && self.tiles.iter().flatten().all(|t| t.opaque)
            || self.tiles.iter().all(|t| t.as_ref().is_some_and(|t| t.opaque))
    }
    /// A window of the mosaic as one raster; pixels outside are transparent.
    pub fn crop(&self, _x: i64, _y: i64, _width: u32, _height: u32) -> Raster {
        todo!()
    }
}
