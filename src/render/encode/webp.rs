//! WebP.

use super::EncodeError;
use crate::render::decode::{DecodeError, DecodeLimits};
use crate::render::raster::{ImageOptions, Raster};

pub(super) fn encode(_raster: &Raster, _options: &ImageOptions) -> Result<Vec<u8>, EncodeError> {
    Err(EncodeError::new("WebP", "not yet"))
}
pub(in crate::render) fn looks_whole(_bytes: &[u8]) -> bool {
    false
}
pub(in crate::render) fn decode(_bytes: &[u8], _limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    Err(DecodeError::Unknown)
}
