//! Colours counted and reduced to a palette.

use super::raster::{Color, Quantizer, Raster};

/// A palette image.
#[derive(Clone, Debug)]
pub struct Indexed {
    pub width: u32,
    pub height: u32,
    /// At most 256 colours.
    pub palette: Vec<Color>,
    /// One byte a pixel.
    pub indices: Vec<u8>,
}

/// An exact palette where at most `colors` are used, else a reduced one.
pub fn quantize(_raster: &Raster, _colors: u16, _quantizer: Quantizer) -> Indexed {
    todo!()
}
