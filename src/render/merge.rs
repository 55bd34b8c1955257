//! Rasters laid over one another.

use super::raster::{Color, Raster};

/// Draws `upper` over `lower` at an offset. `opacity` 0.0–1.0 scales upper's alpha.
pub fn over(_lower: &mut Raster, _upper: &Raster, _offset: (i32, i32), _opacity: Option<f32>) {
    todo!()
}

/// Lays the raster on a ground of one colour; the result is opaque if `ground` is.
pub fn flatten(_raster: &mut Raster, _ground: Color) {
    todo!()
}

/// Makes pixels within `tolerance` (per channel) of `color` transparent.
pub fn make_transparent(_raster: &mut Raster, _color: Color, _tolerance: u8) {
    todo!()
}

/// The one colour of the whole raster, if it has only one.
pub fn single_color(_raster: &Raster) -> Option<Color> {
    todo!()
}
