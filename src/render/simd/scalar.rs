//! The definition of every loop over pixels, one pixel at a time.

use super::{CUT_BIAS, LINE_BITS, PHASE_BITS, POSITION_BITS, Run, Support, Tap, Taps, WEIGHT_BITS, Window};

const LINE_SHIFT: u32 = WEIGHT_BITS - LINE_BITS;

pub fn horizontal(line: &[u8], taps: &Taps, out: &mut [i16]) {
    for (tap, out) in taps.taps.iter().zip(out.chunks_exact_mut(4)) {
        out.copy_from_slice(&horizontal_pixel(line, tap, taps.support));
    }
}

pub fn horizontal_pixel(line: &[u8], tap: &Tap, support: Support) -> [i16; 4] {
    let pixels = &line[tap.first as usize * 4..][..support.count() * 4];
    std::array::from_fn(|channel| {
        let sum: i32 = (0..support.count())
            .map(|at| i32::from(pixels[at * 4 + channel]) * i32::from(tap.weights[at]))
            .sum();
        ((sum + (1 << (LINE_SHIFT - 1))) >> LINE_SHIFT) as i16
    })
}

pub fn vertical(support: Support, lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    for (at, out) in out.iter_mut().enumerate() {
        *out = vertical_value(support, lines.map(|line| line[at]), weights);
    }
}

pub fn vertical_value(support: Support, values: [i16; 4], weights: [i16; 4]) -> u8 {
    let sum: i32 = (0..support.count()).map(|at| i32::from(values[at]) * i32::from(weights[at])).sum();
    ((sum + CUT_BIAS) >> (WEIGHT_BITS + LINE_BITS)).clamp(0, 255) as u8
}

pub fn sample(window: &Window, support: Support, run: &Run, out: &mut [u8]) {
    let phases = super::phases(support);
    let phase = |at: i64| (at >> (POSITION_BITS - PHASE_BITS)) as usize & ((1 << PHASE_BITS) - 1);
    let before = support.count() as i64 / 2 - 1;
    let (mut x, mut y) = (run.x, run.y);
    for out in out.chunks_exact_mut(4) {
        let first = ((x >> POSITION_BITS) - before) as u32;
        let top = ((y >> POSITION_BITS) - before) as usize;
        let tap = Tap { first, weights: phases[phase(x)] };
        let mut lines = [[0i16; 4]; 4];
        for (at, values) in lines.iter_mut().enumerate().take(support.count()) {
            let line = &window.pixels[(top + at) * window.width * 4..][..window.width * 4];
            *values = horizontal_pixel(line, &tap, support);
        }
        for (channel, out) in out.iter_mut().enumerate() {
            *out = vertical_value(support, lines.map(|line| line[channel]), phases[phase(y)]);
        }
        x += run.step_x;
        y += run.step_y;
    }
}

/// Rounded division by 255 of anything up to 255².
fn div255(value: u32) -> u32 {
    let value = value + 128;
    ((value >> 8) + value) >> 8
}

pub fn premultiply(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        for channel in &mut pixel[..3] {
            *channel = div255(u32::from(*channel) * alpha) as u8;
        }
    }
}

pub fn unpremultiply(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        for channel in &mut pixel[..3] {
            *channel = (u32::from(*channel) * 255).checked_div(alpha).map_or(0, |c| c.min(255) as u8);
        }
    }
}

/// One channel of a colour with an alpha over an opaque one.
fn blend(below: u8, above: u8, alpha: u32) -> u8 {
    div255(u32::from(above) * alpha + u32::from(below) * (255 - alpha)) as u8
}

pub fn over_opaque(below: &mut [u8], above: &[u8], fade: u8) {
    for (below, above) in below.chunks_exact_mut(4).zip(above.chunks_exact(4)) {
        let alpha = div255(u32::from(above[3]) * u32::from(fade));
        for channel in 0..3 {
            below[channel] = blend(below[channel], above[channel], alpha);
        }
    }
}

pub fn flatten(pixels: &mut [u8], ground: [u8; 4]) {
    for pixel in pixels.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        for channel in 0..3 {
            pixel[channel] = blend(ground[channel], pixel[channel], alpha);
        }
        pixel[3] = 255;
    }
}
