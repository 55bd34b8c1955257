//! JPEG through libjpeg-turbo, straight to RGBA. Orientation and profiles are
//! not read: a map has none.

use std::cell::RefCell;

use super::{DecodeError, DecodeLimits};
use crate::render::raster::Raster;

const FORMAT: &str = "JPEG";

/// Progressive files have about ten scans; thousands are an attack.
const SCANS_MAX: u32 = 100;

thread_local! {
    /// One handle for each thread: making one costs more than a small tile.
    static DECOMPRESSOR: RefCell<Option<turbojpeg::Decompressor>> = const { RefCell::new(None) };
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    let damaged = |e: turbojpeg::Error| DecodeError::damaged(FORMAT, e);
    DECOMPRESSOR.with_borrow_mut(|kept| {
        // Taken out, and put back only after success: a handle that met a
        // damaged file starts afresh.
        let mut handle = match kept.take() {
            Some(handle) => handle,
            None => {
                let mut handle = turbojpeg::Decompressor::new().map_err(damaged)?;
                handle.set_scan_limit(SCANS_MAX).map_err(damaged)?;
                handle
            }
        };
        let raster = decode_with(&mut handle, bytes, limits)?;
        *kept = Some(handle);
        Ok(raster)
    })
}

fn decode_with(
    handle: &mut turbojpeg::Decompressor,
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<Raster, DecodeError> {
    let header = handle.read_header(bytes).map_err(|e| DecodeError::damaged(FORMAT, e))?;
    let (width, height) = (header.width as u32, header.height as u32);
    let pixels_bytes = limits.pixels_bytes(width, height)?;
    let inks = matches!(header.colorspace, turbojpeg::Colorspace::CMYK | turbojpeg::Colorspace::YCCK);
    let mut pixels = vec![0; pixels_bytes];
    let image = turbojpeg::Image {
        pixels: pixels.as_mut_slice(),
        width: header.width,
        pitch: header.width * 4,
        height: header.height,
        format: if inks { turbojpeg::PixelFormat::CMYK } else { turbojpeg::PixelFormat::RGBA },
    };
    match handle.decompress(bytes, image) {
        Ok(()) => {}
        Err(e) if is_harmless(&e) => {}
        Err(e) => return Err(DecodeError::damaged(FORMAT, e)),
    }
    if inks {
        for pixel in pixels.as_chunks_mut::<4>().0 {
            *pixel = color_of_inks(*pixel);
        }
    }
    Ok(Raster { width, height, opaque: true, pixels })
}

/// Padding between segments is a warning of the library, which decodes the
/// whole image all the same; cameras and some map servers write it.
fn is_harmless(error: &turbojpeg::Error) -> bool {
    matches!(error, turbojpeg::Error::TurboJpegError(text) if text.contains("extraneous bytes before marker"))
}

/// CMYK as Adobe's programs write it, which is the only kind found: 255 means no ink.
fn color_of_inks([c, m, y, k]: [u8; 4]) -> [u8; 4] {
    let light = |ink: u8| ((u32::from(ink) * u32::from(k) + 127) / 255) as u8;
    [light(c), light(m), light(y), 255]
}
