//! The loops in 256-bit vectors (AVX2).

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
