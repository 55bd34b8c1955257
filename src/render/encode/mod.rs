//! Pixels to bytes, one file for each format.

mod gif;
mod jpeg;
mod png;
mod tiff;
pub(super) mod webp;

use std::borrow::Cow;

use super::raster::{Color, ColorMode, Format, ImageOptions, Raster};
use crate::geo::Extent;

/// Larger images are refused: lengths in PNG and TIFF have 32 bits, and sums
/// over an image are kept in 32 bits.
const PIXELS_MAX: u64 = 1 << 28;

#[derive(Debug, thiserror::Error)]
#[error("cannot write {format}: {reason}")]
pub struct EncodeError {
    pub format: &'static str,
    pub reason: String,
}

impl EncodeError {
    fn new(format: &'static str, reason: impl ToString) -> EncodeError {
        EncodeError { format, reason: reason.to_string() }
    }
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

/// Writes a raster as the options say.
///
/// - `transparent: false`, mode `RGB`, and JPEG lay the image on the
///   background colour first.
/// - PNG has a palette where `colors` > 0 or the mode is `P`, unless the mode
///   asks for `RGB` or `RGBA`; an image of one colour has a palette even then.
///   Otherwise it has 24 or 32 bits, whichever the pixels need. Mode `I` is grey.
/// - `Mixed` becomes PNG if any pixel is transparent, JPEG otherwise.
/// - WebP is lossless where `colors` > 0 or the mode is `P` (there is no
///   palette to choose, the file finds its own), else lossy with `jpeg_quality`.
/// - `geo` is written into GeoTIFF and TIFF, and ignored elsewhere.
pub fn encode(raster: &Raster, options: &ImageOptions, geo: Option<&GeoTag>) -> Result<Encoded, EncodeError> {
    // Only tests make this place fail, and not with an error.
    let _ = crate::sys::failpoint::pass("render");
    let format = match options.format {
        Format::Mixed if keeps_alpha(raster, options) => Format::Png,
        Format::Mixed => Format::Jpeg,
        format => format,
    };
    check_size(raster)?;
    let bytes = match format {
        Format::Png | Format::Mixed => png::encode(raster, options),
        Format::Jpeg => jpeg::encode(&flattened(raster, options.background), options.jpeg_quality),
        Format::Gif => gif::encode(raster, options),
        Format::Tiff | Format::GeoTiff => tiff::encode(raster, options, geo),
        Format::WebP => webp::encode(raster, options),
    }?;
    Ok(Encoded { bytes, format })
}

fn check_size(raster: &Raster) -> Result<(), EncodeError> {
    let pixels = u64::from(raster.width) * u64::from(raster.height);
    if pixels == 0 || pixels > PIXELS_MAX || raster.pixels.len() as u64 != pixels * 4 {
        let reason = format!("size {}×{}, {} bytes", raster.width, raster.height, raster.pixels.len());
        return Err(EncodeError::new("image", reason));
    }
    Ok(())
}

/// Whether the file will have transparent pixels.
fn keeps_alpha(raster: &Raster, options: &ImageOptions) -> bool {
    options.transparent != Some(false) && options.mode != Some(ColorMode::Rgb) && raster.has_alpha()
}

/// The raster as it may be written: without alpha where none is allowed.
fn prepared<'a>(raster: &'a Raster, options: &ImageOptions) -> Cow<'a, Raster> {
    if keeps_alpha(raster, options) { Cow::Borrowed(raster) } else { flattened(raster, options.background) }
}

/// The raster laid on a ground; the ground's own alpha does not count.
fn flattened(raster: &Raster, ground: Color) -> Cow<'_, Raster> {
    if !raster.has_alpha() {
        return Cow::Borrowed(raster);
    }
    let mut pixels = vec![0; raster.pixels.len()];
    for (to, from) in pixels.as_chunks_mut::<4>().0.iter_mut().zip(raster.pixels.as_chunks::<4>().0) {
        let alpha = u32::from(from[3]);
        let lay = |upper: u8, lower: u8| {
            ((u32::from(upper) * alpha + u32::from(lower) * (255 - alpha) + 127) / 255) as u8
        };
        *to = [lay(from[0], ground[0]), lay(from[1], ground[1]), lay(from[2], ground[2]), 255];
    }
    Cow::Owned(Raster { width: raster.width, height: raster.height, opaque: true, pixels })
}

/// The one colour of an image that has only one; looks no further than the
/// first difference.
fn only_color(raster: &Raster) -> Option<Color> {
    let pixels = &raster.pixels;
    let color = *pixels.first_chunk::<4>()?;
    (pixels[4..] == pixels[..pixels.len() - 4]).then_some(color)
}

/// Brightness by ITU-R 601, as Pillow weighs it.
fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
pub(super) mod tests;
