//! Bytes to pixels; dimensions are checked before memory is taken.
//!
//! One file for each format. What an image says about itself beside its
//! pixels (text, profiles, orientation, later frames) is not read.

mod gif;
mod jpeg;
mod png;
mod tiff;

use super::encode::webp;
use super::raster::{Format, Raster};

/// Bounds on an image that comes from outside.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    pub side_px_max: u32,
    /// Of the decoded pixels, four bytes each.
    pub pixels_bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { side_px_max: 16 * 1024, pixels_bytes_max: 64 * 1024 * 1024 }
    }
}

impl DecodeLimits {
    /// Bytes that the pixels of an image take, if it may be decoded.
    pub fn pixels_bytes(&self, width: u32, height: u32) -> Result<usize, DecodeError> {
        let too_large = DecodeError::TooLarge { width, height };
        if width == 0 || height == 0 || width > self.side_px_max || height > self.side_px_max {
            return Err(too_large);
        }
        let bytes = u64::from(width) * u64::from(height) * 4;
        usize::try_from(bytes).ok().filter(|&bytes| bytes <= self.pixels_bytes_max).ok_or(too_large)
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    #[error("not an image in a format that is read here")]
    Unknown,
    #[error("image of {width}×{height} pixels is empty or over the limit")]
    TooLarge { width: u32, height: u32 },
    #[error("damaged {format} image: {reason}")]
    Damaged { format: &'static str, reason: String },
}

impl DecodeError {
    pub(super) fn damaged(format: &'static str, reason: impl ToString) -> DecodeError {
        DecodeError::Damaged { format, reason: reason.to_string() }
    }
}

/// The format by its first bytes.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'M', b'M', 0, 42, ..] | [b'I', b'I', 42, 0, ..] => Some(Format::Tiff),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        _ => None,
    }
}

/// The format, where the file begins and ends as its format demands (PNG
/// signature and IEND, JPEG SOI and EOI, …). Looks at a few bytes only, so it
/// finds an answer that was cut short, not one that was damaged inside: the
/// check of the direct path.
pub fn looks_whole(bytes: &[u8]) -> Option<Format> {
    let format = sniff(bytes)?;
    let whole = match format {
        Format::Png => png::looks_whole(bytes),
        Format::Jpeg => bytes.len() > 64 && bytes.ends_with(&[0xff, 0xd9]),
        Format::Gif => gif::looks_whole(bytes),
        Format::WebP => webp::looks_whole(bytes),
        Format::Tiff => tiff::looks_whole(bytes),
        Format::GeoTiff | Format::Mixed => false,
    };
    whole.then_some(format)
}

/// Pixels of an image: of its first frame where it has several. Never panics
/// on damaged input, and takes memory only after the size was held against
/// `limits`.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    match sniff(bytes) {
        Some(Format::Png) => png::decode(bytes, limits),
        Some(Format::Jpeg) => jpeg::decode(bytes, limits),
        Some(Format::Gif) => gif::decode(bytes, limits),
        Some(Format::Tiff) => tiff::decode(bytes, limits),
        Some(Format::WebP) => webp::decode(bytes, limits),
        _ => Err(DecodeError::Unknown),
    }
}

/// A raster around decoded RGBA bytes; finds out whether it is opaque.
fn raster_from_rgba(width: u32, height: u32, pixels: Vec<u8>) -> Raster {
    let mut raster = Raster { width, height, opaque: false, pixels };
    raster.opaque = !raster.has_alpha();
    raster
}

#[cfg(test)]
mod tests;
