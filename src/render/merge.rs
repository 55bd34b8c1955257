//! Rasters laid over one another.
//!
//! The arithmetic is Pillow's (`alpha_composite`, `paste`, `multiply` with
//! rounded division by 255), because MapProxy's images are the reference.

use super::raster::{Color, Raster};
use super::simd;

/// Draws `upper` over `lower` at an offset. `opacity` 0.0–1.0 scales upper's alpha.
pub fn over(lower: &mut Raster, upper: &Raster, offset: (i32, i32), opacity: Option<f32>) {
    let fade = opacity.map_or(255, |o| (o.clamp(0.0, 1.0) * 255.0) as u8);
    let Some((lower_x, upper_x, width)) = overlap(lower.width, upper.width, offset.0) else { return };
    let Some((lower_y, upper_y, height)) = overlap(lower.height, upper.height, offset.1) else { return };
    let paste = upper.opaque && fade == 255;
    let covers = paste && (width, height) == (lower.width as usize, lower.height as usize);
    for row in 0..height {
        let lower_at = ((lower_y + row) * lower.width as usize + lower_x) * 4;
        let upper_at = ((upper_y + row) * upper.width as usize + upper_x) * 4;
        let below = &mut lower.pixels[lower_at..lower_at + width * 4];
        let above = &upper.pixels[upper_at..upper_at + width * 4];
        if paste {
            below.copy_from_slice(above);
        } else if lower.opaque {
            simd::over_opaque(below, above, fade);
        } else {
            over_any(below, above, fade);
        }
    }
    lower.opaque |= covers;
}

/// Where two spans share pixels: start in the lower, start in the upper, length.
fn overlap(lower: u32, upper: u32, offset: i32) -> Option<(usize, usize, usize)> {
    let start = i64::from(offset).max(0);
    let end = (i64::from(offset) + i64::from(upper)).min(i64::from(lower));
    (end > start).then(|| (start as usize, (start - i64::from(offset)) as usize, (end - start) as usize))
}

/// One row over ground that may be transparent.
fn over_any(below: &mut [u8], above: &[u8], fade: u8) {
    for (low, up) in below.chunks_exact_mut(4).zip(above.chunks_exact(4)) {
        let alpha = if fade == 255 { up[3] } else { div255(u32::from(up[3]) * u32::from(fade)) as u8 };
        match alpha {
            0 => {}
            255 => low.copy_from_slice(up),
            _ => composite(low, up, alpha),
        }
    }
}

/// Porter-Duff "over" on colours that are not premultiplied, with 7 bits more
/// than a byte so that the one division does not cost precision.
fn composite(low: &mut [u8], up: &[u8], alpha: u8) {
    const MORE: u32 = 1 << 7;
    let alpha = u32::from(alpha);
    let rest = u32::from(low[3]) * (255 - alpha);
    let total = alpha * 255 + rest;
    let share_up = alpha * 255 * 255 * MORE / total;
    let share_low = 255 * MORE - share_up;
    for channel in 0..3 {
        let sum = u32::from(up[channel]) * share_up + u32::from(low[channel]) * share_low;
        let sum = sum + 0x80 * MORE;
        low[channel] = ((((sum >> 8) + sum) >> 8) / MORE) as u8;
    }
    low[3] = div255(total) as u8;
}

/// Rounded division by 255 of anything up to 255².
fn div255(value: u32) -> u32 {
    let value = value + 128;
    ((value >> 8) + value) >> 8
}

/// Lays the raster on a ground of one colour; the result is opaque if `ground` is.
pub fn flatten(raster: &mut Raster, ground: Color) {
    if raster.opaque {
        return;
    }
    if ground[3] == 255 {
        simd::flatten(&mut raster.pixels, ground);
        raster.opaque = true;
        return;
    }
    for pixel in raster.pixels.chunks_exact_mut(4) {
        let mut below = ground;
        match pixel[3] {
            0 => {}
            255 => continue,
            alpha => composite(&mut below, pixel, alpha),
        }
        pixel.copy_from_slice(&below);
    }
}

/// Makes pixels within `tolerance` (per channel) of `color` transparent.
pub fn make_transparent(raster: &mut Raster, color: Color, tolerance: u8) {
    let low = color.map(|c| c.saturating_sub(tolerance));
    let high = color.map(|c| c.saturating_add(tolerance));
    let mut cleared = false;
    for pixel in raster.pixels.chunks_exact_mut(4) {
        let inside = (0..3).all(|c| low[c] <= pixel[c] && pixel[c] <= high[c]);
        if inside {
            pixel[3] = 0;
            cleared = true;
        }
    }
    raster.opaque &= !cleared;
}

/// The one colour of the whole raster, if it has only one.
pub fn single_color(raster: &Raster) -> Option<Color> {
    let first: [u8; 4] = raster.pixels.get(..4)?.try_into().ok()?;
    // A picture equals itself moved by one pixel exactly when it has one
    // colour; slice comparison stops at the first difference and is a memcmp.
    let rest = raster.pixels.len() - 4;
    (raster.pixels[..rest] == raster.pixels[4..]).then_some(first)
}
