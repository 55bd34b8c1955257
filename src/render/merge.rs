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

/// Lays one colour with an alpha of its own over one pixel.
pub(super) fn tint(pixel: &mut [u8], color: Color, alpha: u8) {
    match alpha {
        0 => {}
        255 => pixel.copy_from_slice(&[color[0], color[1], color[2], 255]),
        _ => composite(pixel, &color, alpha),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Colours of Pillow 13 `Image.alpha_composite` of a lower and an upper pixel.
    const COMPOSITED: &[(Color, Color, Color)] = &[
        ([120, 155, 52, 255], [245, 79, 46, 34], [137, 145, 51, 255]),
        ([10, 205, 148, 30], [113, 184, 141, 0], [10, 205, 148, 30]),
        ([54, 134, 109, 13], [133, 139, 99, 255], [133, 139, 99, 255]),
        ([158, 148, 190, 255], [172, 198, 127, 91], [163, 166, 168, 255]),
        ([126, 242, 143, 0], [153, 3, 149, 159], [153, 3, 149, 159]),
        ([99, 211, 216, 147], [220, 231, 82, 119], [172, 223, 135, 197]),
        ([156, 132, 22, 255], [23, 236, 143, 241], [30, 230, 136, 255]),
        ([175, 74, 100, 34], [211, 103, 225, 141], [207, 100, 213, 156]),
        ([94, 182, 223, 164], [101, 165, 51, 31], [95, 179, 193, 175]),
        ([117, 142, 121, 255], [169, 90, 148, 235], [165, 94, 146, 255]),
        ([13, 21, 182, 42], [146, 167, 9, 165], [135, 155, 23, 180]),
        ([147, 164, 78, 210], [39, 150, 98, 227], [49, 151, 96, 250]),
        ([149, 69, 128, 255], [81, 169, 4, 186], [99, 142, 38, 255]),
        ([22, 232, 86, 186], [185, 148, 49, 224], [170, 156, 52, 247]),
        ([106, 217, 106, 58], [30, 31, 28, 86], [53, 88, 52, 124]),
        ([76, 20, 251, 255], [164, 18, 62, 149], [127, 19, 141, 255]),
        ([209, 102, 244, 103], [123, 224, 210, 251], [124, 223, 210, 253]),
        ([18, 112, 215, 227], [127, 219, 110, 255], [127, 219, 110, 255]),
        ([96, 16, 18, 255], [129, 124, 106, 118], [111, 66, 59, 255]),
        ([213, 133, 72, 166], [26, 161, 59, 206], [51, 157, 61, 238]),
        ([20, 253, 198, 47], [220, 107, 84, 172], [204, 119, 93, 187]),
        ([151, 241, 161, 255], [110, 137, 173, 200], [119, 159, 170, 255]),
        ([254, 38, 143, 97], [22, 202, 65, 137], [79, 162, 84, 182]),
        ([30, 85, 237, 241], [206, 199, 111, 1], [31, 85, 236, 241]),
    ];

    #[test]
    fn over_equals_pillow() {
        for &(below, above, want) in COMPOSITED {
            for opaque in [false, true] {
                if opaque && below[3] != 255 {
                    continue;
                }
                let mut lower = Raster { opaque, ..Raster::filled(5, 1, below) };
                over(&mut lower, &Raster { opaque: false, ..Raster::filled(5, 1, above) }, (0, 0), None);
                assert_eq!(lower.pixel(4, 0), want, "{above:?} over {below:?}");
            }
        }
    }

    #[test]
    fn offsets_and_opacity() {
        let red = Raster::filled(3, 3, [255, 0, 0, 255]);
        let mut lower = Raster::filled(4, 4, [0, 0, 0, 0]);
        over(&mut lower, &red, (-2, 3), None);
        assert_eq!((lower.pixel(0, 3), lower.pixel(1, 3)), ([255, 0, 0, 255], [0; 4]));
        assert!(!lower.opaque);
        over(&mut lower, &red, (i32::MAX, i32::MIN), None);
        let mut ground = Raster::filled(3, 3, [0, 0, 0, 255]);
        over(&mut ground, &red, (0, 0), Some(0.5));
        assert_eq!(ground.pixel(2, 2), [127, 0, 0, 255]);
        let mut clear = Raster::filled(3, 3, [0; 4]);
        over(&mut clear, &red, (0, 0), Some(0.5));
        assert_eq!(clear.pixel(0, 0), [255, 0, 0, 127]);
        over(&mut clear, &red, (0, 0), Some(7.0));
        assert!(clear.opaque);
    }

    #[test]
    fn flattened_pixels_are_opaque() {
        let mut raster = Raster::filled(7, 1, [10, 20, 30, 0]);
        raster.pixels[3] = 255;
        raster.pixels[7] = 128;
        flatten(&mut raster, [255, 255, 255, 255]);
        assert!(raster.opaque);
        assert_eq!(raster.pixel(0, 0), [10, 20, 30, 255]);
        assert_eq!(raster.pixel(1, 0), [132, 137, 142, 255]);
        assert_eq!(raster.pixel(6, 0), [255; 4]);
        let mut raster = Raster::filled(1, 1, [10, 20, 30, 0]);
        flatten(&mut raster, [1, 2, 3, 4]);
        assert_eq!((raster.pixel(0, 0), raster.opaque), ([1, 2, 3, 4], false));
    }

    #[test]
    fn colours_near_one_become_transparent() {
        let mut raster = Raster::filled(2, 1, [250, 251, 252, 255]);
        raster.pixels[0] = 100;
        make_transparent(&mut raster, [255, 255, 255, 255], 4);
        assert_eq!((raster.pixel(0, 0)[3], raster.pixel(1, 0)[3], raster.opaque), (255, 255, true));
        make_transparent(&mut raster, [253, 253, 253, 255], 3);
        assert_eq!((raster.pixel(0, 0)[3], raster.pixel(1, 0)[3], raster.opaque), (255, 0, false));
    }

    #[test]
    fn one_colour_is_found() {
        let mut raster = Raster::filled(33, 7, [1, 2, 3, 4]);
        assert_eq!(single_color(&raster), Some([1, 2, 3, 4]));
        raster.pixels[33 * 7 * 4 - 1] = 5;
        assert_eq!(single_color(&raster), None);
        assert_eq!(single_color(&Raster::filled(0, 0, [0; 4])), None);
    }
}
