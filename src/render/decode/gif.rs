//! GIF: the first frame, laid on its screen.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::gif::GifDecoder;

use super::{DecodeError, DecodeLimits, raster_from_rgba};
use crate::render::raster::Raster;

const FORMAT: &str = "GIF";

/// Whether the chain of blocks leads to the trailer.
pub(super) fn looks_whole(bytes: &[u8]) -> bool {
    let palette_bytes = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let Some(&flags) = bytes.get(10) else { return false };
    let mut at = 13 + palette_bytes(flags);
    loop {
        // What stands before the data of an extension or an image.
        at += match bytes.get(at) {
            Some(0x3b) => return true,
            Some(0x21) => 2,
            Some(0x2c) => match bytes.get(at + 9) {
                Some(&flags) => 11 + palette_bytes(flags),
                None => return false,
            },
            _ => return false,
        };
        loop {
            match bytes.get(at) {
                Some(0) => break,
                Some(&length) => at += 1 + usize::from(length),
                None => return false,
            }
        }
        at += 1;
    }
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    let damaged = |e: image::ImageError| DecodeError::damaged(FORMAT, e);
    let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let pixels_bytes = limits.pixels_bytes(width, height)?;
    // A frame may be larger than its screen: the library then takes a buffer
    // for it, which this bounds.
    let mut bounds = image::Limits::no_limits();
    bounds.max_alloc = Some(limits.pixels_bytes_max as u64);
    decoder.set_limits(bounds).map_err(damaged)?;
    let mut pixels = vec![0; pixels_bytes];
    decoder.read_image(&mut pixels).map_err(damaged)?;
    Ok(raster_from_rgba(width, height, pixels))
}
