//! Pixels to bytes, one file for each format.

use super::raster::{Format, ImageOptions, Raster};
use crate::geo::Extent;

#[derive(Debug, thiserror::Error)]
#[error("cannot write {format}: {reason}")]
pub struct EncodeError {
    pub format: &'static str,
    pub reason: String,
}

/// A finished image file.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// The real format: of `Mixed`, which one it became.
    pub format: Format,
}

/// Where an image lies, for the tags of a GeoTIFF.
#[derive(Clone, Debug)]
pub struct GeoTag {
    pub extent: Extent,
    /// EPSG number, if the system has one.
    pub epsg: Option<u32>,
    pub geographic: bool,
}

pub fn encode(
    _raster: &Raster,
    _options: &ImageOptions,
    _geo: Option<&GeoTag>,
) -> Result<Encoded, EncodeError> {
    todo!()
}
