//! Bytes to pixels; dimensions are checked before memory is taken.

use super::raster::{Format, Raster};

/// Bounds on an image that comes from outside.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    pub side_px_max: u32,
    pub pixels_bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { side_px_max: 16 * 1024, pixels_bytes_max: 64 * 1024 * 1024 }
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    #[error("not an image in a format that is read here")]
    Unknown,
    #[error("image of {width}×{height} pixels is over the limit")]
    TooLarge { width: u32, height: u32 },
    #[error("damaged {format} image: {reason}")]
    Damaged { format: &'static str, reason: String },
}

/// The format by its first bytes.
pub fn sniff(_bytes: &[u8]) -> Option<Format> {
    todo!()
}

/// Whether the file begins and ends as its format demands (PNG signature and
/// IEND, JPEG SOI and EOI, …), without decoding: the check of the direct path.
pub fn looks_whole(_bytes: &[u8]) -> Option<Format> {
    todo!()
}

/// Pixels of an image. Never panics on damaged input.
pub fn decode(_bytes: &[u8], _limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    todo!()
}
