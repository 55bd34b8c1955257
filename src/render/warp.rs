//! A map drawn from a mosaic: integer crop, scaling, or reprojection.
//!
//! Own core. Positions stay within 0.25 pixel of PROJ; the scalar sampler is
//! the definition, SIMD equals it bit by bit.

use super::mosaic::Mosaic;
use super::raster::{Kernel, Raster};
use crate::geo::{Extent, Srs};

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Target {
    pub extent: Extent,
    pub size: (u32, u32),
    pub srs: Srs,
}

/// Draws `target` from `source`, whose whole pixel area covers
/// `source_extent` in `source_srs`. Pixels that `source` does not cover are
/// transparent.
pub fn draw(
    _source: &Mosaic,
    _source_extent: &Extent,
    _source_srs: &Srs,
    _target: &Target,
    _kernel: Kernel,
) -> Raster {
    todo!()
}
