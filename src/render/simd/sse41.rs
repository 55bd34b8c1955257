//! The loops in 128-bit vectors (SSE4.1).

use super::{Run, Support, Taps, Window, scalar};

pub unsafe fn horizontal(line: &[u8], taps: &Taps, out: &mut [i16]) {
    scalar::horizontal(line, taps, out);
}
pub unsafe fn vertical(support: Support, lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    scalar::vertical(support, lines, weights, out);
}
pub unsafe fn sample(window: &Window, support: Support, run: &Run, out: &mut [u8]) {
    scalar::sample(window, support, run, out);
}
pub unsafe fn premultiply(pixels: &mut [u8]) {
    scalar::premultiply(pixels);
}
pub unsafe fn unpremultiply(pixels: &mut [u8]) {
    scalar::unpremultiply(pixels);
}
pub unsafe fn over_opaque(below: &mut [u8], above: &[u8], fade: u8) {
    scalar::over_opaque(below, above, fade);
}
pub unsafe fn flatten(pixels: &mut [u8], ground: [u8; 4]) {
    scalar::flatten(pixels, ground);
}
