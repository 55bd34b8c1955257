//! GIF with one frame. A pixel is either there or not: alpha below half
//! becomes the transparent colour.

use weezl::BitOrder;

use super::{EncodeError, prepared};
use crate::render::quant::{self, Indexed};
use crate::render::raster::{ImageOptions, Raster};

const FORMAT: &str = "GIF";
const BLOCK_BYTES_MAX: usize = 255;

pub(super) fn encode(raster: &Raster, options: &ImageOptions) -> Result<Vec<u8>, EncodeError> {
    let side =
        |px: u32| u16::try_from(px).map_err(|_| EncodeError::new(FORMAT, "over 65535 pixels on a side"));
    let (width, height) = (side(raster.width)?, side(raster.height)?);
    let mut raster = prepared(raster, options).into_owned();
    if !raster.opaque {
        for pixel in raster.pixels.as_chunks_mut::<4>().0 {
            *pixel = if pixel[3] < 128 { [0; 4] } else { [pixel[0], pixel[1], pixel[2], 255] };
        }
    }
    let colors = if options.colors == 0 { 256 } else { options.colors };
    let image = quant::quantize(&raster, colors, options.quantizer);
    file(&image, width, height)
}

fn file(image: &Indexed, width: u16, height: u16) -> Result<Vec<u8>, EncodeError> {
    let bits = image.palette.len().next_power_of_two().ilog2().max(1) as u8;
    let mut file = b"GIF89a".to_vec();
    file.extend_from_slice(&width.to_le_bytes());
    file.extend_from_slice(&height.to_le_bytes());
    // A global palette of 2^bits colours.
    file.extend_from_slice(&[0xf0 | (bits - 1), 0, 0]);
    for entry in 0..1 << bits {
        let [r, g, b, _] = image.palette.get(entry).copied().unwrap_or_default();
        file.extend_from_slice(&[r, g, b]);
    }
    if let Some(hole) = image.palette.iter().position(|color| color[3] < 128) {
        file.extend_from_slice(&[0x21, 0xf9, 4, 1, 0, 0, hole as u8, 0]);
    }
    file.extend_from_slice(&[0x2c, 0, 0, 0, 0]);
    file.extend_from_slice(&width.to_le_bytes());
    file.extend_from_slice(&height.to_le_bytes());
    let code_bits = bits.max(2);
    file.extend_from_slice(&[0, code_bits]);
    let packed = weezl::encode::Encoder::new(BitOrder::Lsb, code_bits)
        .encode(&image.indices)
        .map_err(|e| EncodeError::new(FORMAT, e))?;
    for block in packed.chunks(BLOCK_BYTES_MAX) {
        file.push(block.len() as u8);
        file.extend_from_slice(block);
    }
    file.extend_from_slice(&[0, 0x3b]);
    Ok(file)
}
