//! TIFF in one strip: raw, LZW or JPEG, 24 or 32 bits (8 in mode `I`), with
//! the place on earth where it is a GeoTIFF.
//!
//! There is no palette: `colors` has no effect here.

use weezl::BitOrder;

use super::{EncodeError, GeoTag, flattened, jpeg, prepared};
use crate::render::raster::{ColorMode, ImageOptions, Raster, TiffCompression};

const FORMAT: &str = "TIFF";

/// Where the strip begins: after the header, on a word boundary.
const STRIP_OFFSET: u32 = 8;

/// One directory entry: its number, and its values in the type they have.
enum Value {
    Shorts(Vec<u16>),
    Long(u32),
    Rational(u32, u32),
    Doubles(Vec<f64>),
}

pub(super) fn encode(
    raster: &Raster,
    options: &ImageOptions,
    geo: Option<&GeoTag>,
) -> Result<Vec<u8>, EncodeError> {
    let jpeg = options.tiff_compression == TiffCompression::Jpeg;
    let raster = if jpeg { flattened(raster, options.background) } else { prepared(raster, options) };
    let samples = match options.mode {
        Some(ColorMode::I) if !jpeg => 1,
        Some(ColorMode::Rgba) if !jpeg => 4,
        _ if raster.has_alpha() => 4,
        _ => 3,
    };
    let (strip, compression) = match options.tiff_compression {
        TiffCompression::Raw => (interleaved(&raster, samples), 1),
        TiffCompression::Lzw => (pack_lzw(&interleaved(&raster, samples))?, 5),
        TiffCompression::Jpeg => (jpeg::encode(&raster, options.jpeg_quality)?, 7),
    };
    let strip_bytes = u32::try_from(strip.len()).map_err(|_| EncodeError::new(FORMAT, "strip over 4 GiB"))?;
    let photometric = match samples {
        1 => 1,
        _ if jpeg => 6,
        _ => 2,
    };
    let mut tags = vec![
        (256, Value::Long(raster.width)),
        (257, Value::Long(raster.height)),
        (258, Value::Shorts(vec![8; samples])),
        (259, Value::Shorts(vec![compression])),
        (262, Value::Shorts(vec![photometric])),
        (273, Value::Long(STRIP_OFFSET)),
        (277, Value::Shorts(vec![samples as u16])),
        (278, Value::Long(raster.height)),
        (279, Value::Long(strip_bytes)),
        (282, Value::Rational(72, 1)),
        (283, Value::Rational(72, 1)),
        (284, Value::Shorts(vec![1])),
        (296, Value::Shorts(vec![2])),
    ];
    if samples == 4 {
        // Not premultiplied.
        tags.push((338, Value::Shorts(vec![2])));
    }
    if jpeg {
        tags.push((530, Value::Shorts(vec![2, 2])));
    }
    if let Some(geo) = geo {
        tags.extend(geo_tags(geo, raster.width, raster.height));
    }
    Ok(file(&strip, &tags))
}

/// ModelPixelScale, ModelTiepoint (the north-west corner) and the keys
/// GTModelType, GTRasterType (area) and the system's EPSG number.
fn geo_tags(geo: &GeoTag, width: u32, height: u32) -> [(u16, Value); 3] {
    let extent = &geo.extent;
    let scale = vec![extent.width() / f64::from(width), extent.height() / f64::from(height), 0.0];
    let corner = vec![0.0, 0.0, 0.0, extent.min_x, extent.max_y, 0.0];
    let mut keys = vec![[1024, 0, 1, if geo.geographic { 2 } else { 1 }], [1025, 0, 1, 1]];
    if let Some(code) = geo.epsg.and_then(|code| u16::try_from(code).ok()) {
        keys.push([if geo.geographic { 2048 } else { 3072 }, 0, 1, code]);
    }
    let mut directory = vec![1, 1, 0, keys.len() as u16];
    directory.extend(keys.concat());
    [(33_550, Value::Doubles(scale)), (33_922, Value::Doubles(corner)), (34_735, Value::Shorts(directory))]
}

fn interleaved(raster: &Raster, samples: usize) -> Vec<u8> {
    let pixels = raster.pixels.as_chunks::<4>().0;
    match samples {
        1 => pixels.iter().map(|&[r, g, b, _]| super::luma(r, g, b)).collect(),
        3 => pixels.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
        _ => raster.pixels.clone(),
    }
}

fn pack_lzw(samples: &[u8]) -> Result<Vec<u8>, EncodeError> {
    weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8)
        .encode(samples)
        .map_err(|e| EncodeError::new(FORMAT, e))
}

/// Header, strip, directory, and what does not fit into the directory.
fn file(strip: &[u8], tags: &[(u16, Value)]) -> Vec<u8> {
    let padding = strip.len() % 2;
    let directory = STRIP_OFFSET as usize + strip.len() + padding;
    let mut file = b"II\x2a\0".to_vec();
    file.extend_from_slice(&(directory as u32).to_le_bytes());
    file.extend_from_slice(strip);
    file.resize(directory, 0);
    file.extend_from_slice(&(tags.len() as u16).to_le_bytes());
    let mut beside: Vec<u8> = Vec::new();
    let beside_at = directory + 2 + tags.len() * 12 + 4;
    for (tag, value) in tags {
        let (kind, count, mut bytes) = value_bytes(value);
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&count.to_le_bytes());
        if bytes.len() <= 4 {
            bytes.resize(4, 0);
            file.extend_from_slice(&bytes);
        } else {
            file.extend_from_slice(&((beside_at + beside.len()) as u32).to_le_bytes());
            beside.extend_from_slice(&bytes);
        }
    }
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&beside);
    file
}

/// TIFF's number of the type, how many values, and their bytes (always an even number).
fn value_bytes(value: &Value) -> (u16, u32, Vec<u8>) {
    match value {
        Value::Shorts(v) => (3, v.len() as u32, v.iter().flat_map(|n| n.to_le_bytes()).collect()),
        Value::Long(n) => (4, 1, n.to_le_bytes().to_vec()),
        Value::Rational(n, d) => (5, 1, [n.to_le_bytes(), d.to_le_bytes()].concat()),
        Value::Doubles(v) => (12, v.len() as u32, v.iter().flat_map(|n| n.to_le_bytes()).collect()),
    }
}
