//! Colours counted and reduced to a palette.
//!
//! An image of few colours keeps them exactly. Of more, the colours are
//! divided into as many boxes as the palette has room for: first so that no
//! box is wide (which bounds the error of rare colours), then always the box
//! with the largest error. A drawn map, which has some thousand colours, is
//! divided by its true colours; imagery by cells of colours that share their
//! high bits. In both a pixel finds its palette index by one table look-up.

mod boxes;
mod count;

use super::raster::{Color, Quantizer, Raster};

/// Squared error at which a drawn map needs no more colours: above 50 dB
/// nobody sees a difference, but the file grows.
const DRAWN_ERROR_ENOUGH: f32 = 1.5;

/// A palette image.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed {
    pub width: u32,
    pub height: u32,
    /// At most 256 colours.
    pub palette: Vec<Color>,
    /// One byte a pixel.
    pub indices: Vec<u8>,
}

/// An exact palette where at most `colors` (1–256) are used, else a reduced
/// one. Fully transparent pixels count as one colour.
///
/// `MedianCut`, which users choose for quality, is quantizr's palette: slower
/// by an order of magnitude, and better than both MapProxy's quantisers. It
/// keeps alpha, which MapProxy's cannot.
pub fn quantize(raster: &Raster, colors: u16, quantizer: Quantizer) -> Indexed {
    let colors = usize::from(colors.clamp(1, 256));
    let pixels = raster.pixels.as_chunks::<4>().0;
    let mut indices = vec![0; pixels.len()];
    let palette = count::with_tables(|tables| {
        let exact = tables.index_exactly(pixels);
        if exact && tables.colors().len() <= colors {
            tables.write_places(&mut indices);
            return tables.colors().iter().map(|color| color.to_le_bytes()).collect();
        }
        if quantizer == Quantizer::MedianCut
            && let Some(palette) = reduce_carefully(raster, colors, &mut indices)
        {
            return palette;
        }
        if exact {
            let mut points = tables.points();
            let palette = boxes::divide(&mut points, colors, DRAWN_ERROR_ENOUGH, |place, index| {
                tables.assign(place, index);
            });
            tables.write_assigned(&mut indices);
            palette
        } else if raster.has_alpha() {
            reduce::<count::Translucent>(tables, pixels, colors, &mut indices)
        } else {
            reduce::<count::Opaque>(tables, pixels, colors, &mut indices)
        }
    });
    Indexed { width: raster.width, height: raster.height, palette, indices }
}

fn reduce<C: count::Cell>(
    tables: &mut count::Tables,
    pixels: &[Color],
    colors: usize,
    indices: &mut [u8],
) -> Vec<Color> {
    let mut points = tables.count_cells::<C>(pixels);
    let palette = boxes::divide(&mut points, colors, C::ERROR_ENOUGH, |key, index| tables.assign(key, index));
    tables.write_cells::<C>(pixels, indices);
    palette
}

/// By quantizr, without dithering: dithered maps compress badly. Nothing where
/// it refuses, which it does only on sizes that are refused before.
fn reduce_carefully(raster: &Raster, colors: usize, indices: &mut [u8]) -> Option<Vec<Color>> {
    let (width, height) = (raster.width as usize, raster.height as usize);
    let image = quantizr::Image::new(&raster.pixels, width, height).ok()?;
    let mut options = quantizr::Options::default();
    options.set_max_colors(i32::try_from(colors.max(2)).ok()?).ok()?;
    let mut result = quantizr::QuantizeResult::quantize(&image, &options);
    result.set_dithering_level(0.0).ok()?;
    result.remap_image(&image, indices).ok()?;
    let palette = result.get_palette();
    let count = usize::try_from(palette.count).ok()?;
    Some(palette.entries.get(..count)?.iter().map(|c| [c.r, c.g, c.b, c.a]).collect())
}

#[cfg(test)]
mod tests;
