//! TIFF.

use super::{DecodeError, DecodeLimits};
use crate::render::raster::Raster;

pub(super) fn decode(_bytes: &[u8], _limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    Err(DecodeError::Unknown)
}

pub(super) fn looks_whole(_bytes: &[u8]) -> bool {
    false
}
