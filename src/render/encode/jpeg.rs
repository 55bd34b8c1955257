//! JPEG through libjpeg-turbo, 4:2:0 as Pillow writes it.

use std::cell::RefCell;

use super::EncodeError;
use crate::render::raster::Raster;

const FORMAT: &str = "JPEG";

/// JPEG stores sides in 16 bits; libjpeg refuses the last few.
const SIDE_PX_MAX: u32 = 65_500;

/// Scratch larger than this is given back after use.
const SCRATCH_KEPT_BYTES: usize = 1024 * 1024;

struct Writer {
    compressor: turbojpeg::Compressor,
    scratch: Vec<u8>,
}

thread_local! {
    static WRITER: RefCell<Option<Writer>> = const { RefCell::new(None) };
}

/// The raster must be opaque: its alpha is not looked at. `quality` 1–100.
pub(super) fn encode(raster: &Raster, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let failed = |e: turbojpeg::Error| EncodeError::new(FORMAT, e);
    if raster.width > SIDE_PX_MAX || raster.height > SIDE_PX_MAX {
        return Err(EncodeError::new(FORMAT, "over 65500 pixels on a side"));
    }
    WRITER.with_borrow_mut(|kept| {
        let mut writer = match kept.take() {
            Some(writer) => writer,
            None => {
                let mut compressor = turbojpeg::Compressor::new().map_err(failed)?;
                compressor.set_subsamp(turbojpeg::Subsamp::Sub2x2).map_err(failed)?;
                Writer { compressor, scratch: Vec::new() }
            }
        };
        writer.compressor.set_quality(i32::from(quality.clamp(1, 100))).map_err(failed)?;
        let (width, height) = (raster.width as usize, raster.height as usize);
        let bound = writer.compressor.buf_len(width, height).map_err(failed)?;
        if writer.scratch.len() < bound {
            writer.scratch.resize(bound, 0);
        }
        let image = turbojpeg::Image {
            pixels: raster.pixels.as_slice(),
            width,
            pitch: width * 4,
            height,
            format: turbojpeg::PixelFormat::RGBX,
        };
        let length = writer.compressor.compress_to_slice(image, &mut writer.scratch).map_err(failed)?;
        let bytes = writer.scratch[..length].to_vec();
        if writer.scratch.len() > SCRATCH_KEPT_BYTES {
            writer.scratch = Vec::new();
        }
        *kept = Some(writer);
        Ok(bytes)
    })
}
