//! Pixels outside a coverage are cut away.

use super::raster::Raster;
use crate::geo::{Coverage, Extent, Srs};

/// Clears (alpha 0) every pixel of `raster` outside `coverage`; the raster
/// covers `extent` in `srs`.
pub fn clip(_raster: &mut Raster, _extent: &Extent, _srs: &Srs, _coverage: &Coverage) {
    todo!()
}
