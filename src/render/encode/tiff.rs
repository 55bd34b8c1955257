//! TIFF.

use super::{EncodeError, GeoTag};
use crate::render::raster::{ImageOptions, Raster};

pub(super) fn encode(
    _raster: &Raster,
    _options: &ImageOptions,
    _geo: Option<&GeoTag>,
) -> Result<Vec<u8>, EncodeError> {
    Err(EncodeError::new("TIFF", "not yet"))
}
