//! PNG: every colour type, depth and interlacing becomes RGBA8; of an
//! animation the default image is taken.

mod plain;

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
    match plain::decode(bytes, width, height) {
        Some(raster) => Ok(raster),
        None => decode_any(bytes, width, height, pixels_bytes),
    }
}

/// By the `png` crate.
fn decode_any(bytes: &[u8], width: u32, height: u32, pixels_bytes: usize) -> Result<Raster, DecodeError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::encode::tests::{drawn, overlay, photo};
    use ::png::{BitDepth, ColorType, Filter};

    /// Both ways give the same raster, for every kind and filter.
    #[test]
    fn the_short_way_equals_the_long_way() {
        for raster in [drawn(61, 37), photo(61, 37), overlay(61, 37)] {
            let pixels = raster.pixels.as_chunks::<4>().0;
            let kinds: [(ColorType, BitDepth, Vec<u8>); 6] = [
                (ColorType::Rgba, BitDepth::Eight, raster.pixels.clone()),
                (ColorType::Rgb, BitDepth::Eight, pixels.iter().flat_map(|p| [p[0], p[1], p[2]]).collect()),
                (ColorType::Grayscale, BitDepth::Eight, pixels.iter().map(|p| p[0]).collect()),
                (
                    ColorType::GrayscaleAlpha,
                    BitDepth::Eight,
                    pixels.iter().flat_map(|p| [p[0], p[3]]).collect(),
                ),
                (ColorType::Indexed, BitDepth::Eight, pixels.iter().map(|p| p[0]).collect()),
                (ColorType::Indexed, BitDepth::Two, pixels[..16 * 37].iter().map(|p| p[0]).collect()),
            ];
            for (color, depth, data) in kinds {
                for filter in
                    [Filter::NoFilter, Filter::Sub, Filter::Up, Filter::Avg, Filter::Paeth, Filter::Adaptive]
                {
                    let mut file = Vec::new();
                    let mut encoder = ::png::Encoder::new(&mut file, 61, 37);
                    encoder.set_color(color);
                    encoder.set_depth(depth);
                    encoder.set_filter(filter);
                    if color == ColorType::Indexed {
                        encoder
                            .set_palette((0..=255u8).flat_map(|i| [i, 255 - i, i / 2]).collect::<Vec<_>>());
                        encoder.set_trns((0..100).collect::<Vec<_>>());
                    }
                    let mut writer = encoder.write_header().unwrap();
                    writer.write_image_data(&data).unwrap();
                    writer.finish().unwrap();
                    let short = plain::decode(&file, 61, 37).expect("a plain file");
                    let long = decode_any(&file, 61, 37, 61 * 37 * 4).unwrap();
                    assert!(short == long, "{color:?} {depth:?} {filter:?}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_is_left_to_the_long_way() {
        let options = crate::render::raster::ImageOptions::new(crate::render::raster::Format::Png);
        let file = crate::render::encode::encode(&photo(32, 32), &options, None).unwrap().bytes;
        assert!(plain::decode(&file, 32, 32).is_some());
        for at in (8..file.len() - 16).step_by(11) {
            let mut broken = file.clone();
            broken[at] ^= 4;
            assert!(plain::decode(&broken, 32, 32).is_none(), "byte {at}");
        }
    }
}
