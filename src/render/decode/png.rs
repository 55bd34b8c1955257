//! PNG: every colour type, depth and interlacing becomes RGBA8; of an
//! animation the default image is taken.

use std::io::Cursor;

use super::{DecodeError, DecodeLimits, raster_from_rgba};
use crate::render::raster::Raster;

const FORMAT: &str = "PNG";
const IEND: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];

/// The decoder's own buffers beside the pixels: rows, palettes, windows.
const WORK_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn looks_whole(bytes: &[u8]) -> bool {
    header_size(bytes).is_some() && bytes.len() >= 57 && bytes.ends_with(&IEND)
}

/// Width and height from IHDR, which must be the first chunk.
fn header_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.get(8..24)?;
    let (length_and_name, size) = header.split_at(8);
    (length_and_name == b"\0\0\0\x0dIHDR").then(|| {
        let number = |at: usize| u32::from_be_bytes([size[at], size[at + 1], size[at + 2], size[at + 3]]);
        (number(0), number(4))
    })
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    let (width, height) = header_size(bytes).ok_or_else(|| DecodeError::damaged(FORMAT, "no header"))?;
    let pixels_bytes = limits.pixels_bytes(width, height)?;
    let mut decoder = png::Decoder::new_with_limits(
        Cursor::new(bytes),
        // Twice: 16-bit rows are wider than what comes out.
        png::Limits { bytes: pixels_bytes * 2 + WORK_BYTES },
    );
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| DecodeError::damaged(FORMAT, e))?;
    if (reader.info().width, reader.info().height) != (width, height) {
        return Err(DecodeError::damaged(FORMAT, "two sizes"));
    }
    let size = reader.output_buffer_size().ok_or(DecodeError::TooLarge { width, height })?.min(pixels_bytes);
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(|e| DecodeError::damaged(FORMAT, e))?;
    if (frame.width, frame.height) != (width, height) {
        return Err(DecodeError::damaged(FORMAT, "the first frame is not the whole image"));
    }
    Ok(match frame.color_type {
        png::ColorType::Rgba => raster_from_rgba(width, height, samples),
        png::ColorType::Rgb => {
            spread::<3>(width, height, &samples, pixels_bytes, |[r, g, b]| [r, g, b, 255], true)
        }
        png::ColorType::Grayscale => {
            spread::<1>(width, height, &samples, pixels_bytes, |[v]| [v, v, v, 255], true)
        }
        png::ColorType::GrayscaleAlpha => {
            spread::<2>(width, height, &samples, pixels_bytes, |[v, a]| [v, v, v, a], false)
        }
        png::ColorType::Indexed => return Err(DecodeError::damaged(FORMAT, "palette not applied")),
    })
}

fn spread<const N: usize>(
    width: u32,
    height: u32,
    samples: &[u8],
    pixels_bytes: usize,
    color: impl Fn([u8; N]) -> [u8; 4],
    opaque: bool,
) -> Raster {
    let mut pixels = vec![0; pixels_bytes];
    for (pixel, sample) in pixels.as_chunks_mut::<4>().0.iter_mut().zip(samples.as_chunks::<N>().0) {
        *pixel = color(*sample);
    }
    if opaque { Raster { width, height, opaque, pixels } } else { raster_from_rgba(width, height, pixels) }
}
