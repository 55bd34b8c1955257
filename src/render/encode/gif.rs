//! GIF.

use super::EncodeError;
use crate::render::raster::{ImageOptions, Raster};

pub(super) fn encode(_raster: &Raster, _options: &ImageOptions) -> Result<Vec<u8>, EncodeError> {
    Err(EncodeError::new("GIF", "not yet"))
}
