//! The loops in 128-bit vectors (SSE4.1); what is left over at the end of a
//! row goes the way of `scalar`.
//!
//! All functions are `unsafe` because the caller must have found SSE4.1 and,
//! as each says, checked the lengths.

use std::arch::x86_64::*;

use super::{
    CUT_BIAS, LINE_BITS, PHASE_BITS, POSITION_BITS, Run, Support, Taps, WEIGHT_BITS, Window, scalar,
};

const LINE_SHIFT: i32 = (WEIGHT_BITS - LINE_BITS) as i32;
const LINE_HALF: i32 = 1 << (LINE_SHIFT - 1);
const CUT_SHIFT: i32 = (WEIGHT_BITS + LINE_BITS) as i32;

/// Shuffles that bring a channel of two pixels together as a pair of 16 bits:
/// pixels 0 and 1 with the first, 2 and 3 with the second.
#[inline]
#[target_feature(enable = "sse4.1")]
fn pair_masks() -> (__m128i, __m128i) {
    (
        _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1),
        _mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1),
    )
}

/// Weights 0 and 1 in every 32 bits, and weights 2 and 3.
#[inline]
#[target_feature(enable = "sse4.1")]
fn weight_pairs(weights: &[i16; 4]) -> (__m128i, __m128i) {
    // SAFETY: reads the eight bytes of the array.
    let all = unsafe { _mm_loadl_epi64(weights.as_ptr().cast()) };
    (_mm_shuffle_epi32::<0x00>(all), _mm_shuffle_epi32::<0x55>(all))
}

/// Four channels of the weighted sum of `N` pixels, in 32 bits each.
///
/// # Safety
/// `from` may be read for `N` pixels (`N` is 2 or 4).
#[inline]
#[target_feature(enable = "sse4.1")]
unsafe fn mix_line<const N: usize>(from: *const u8, weights: (__m128i, __m128i)) -> __m128i {
    let (mask_01, mask_23) = pair_masks();
    let half = _mm_set1_epi32(LINE_HALF);
    let sum = if N == 4 {
        // SAFETY: 16 bytes are four pixels.
        let pixels = unsafe { _mm_loadu_si128(from.cast()) };
        let first = _mm_madd_epi16(_mm_shuffle_epi8(pixels, mask_01), weights.0);
        _mm_add_epi32(first, _mm_madd_epi16(_mm_shuffle_epi8(pixels, mask_23), weights.1))
    } else {
        // SAFETY: 8 bytes are two pixels.
        let pixels = unsafe { _mm_loadl_epi64(from.cast()) };
        _mm_madd_epi16(_mm_shuffle_epi8(pixels, mask_01), weights.0)
    };
    _mm_srai_epi32::<LINE_SHIFT>(_mm_add_epi32(sum, half))
}

/// # Safety
/// SSE4.1 is there; `line` has `taps.reach()` pixels.
#[target_feature(enable = "sse4.1")]
pub unsafe fn horizontal(line: &[u8], taps: &Taps, out: &mut [i16]) {
    // SAFETY: the caller's contract is passed on.
    unsafe {
        match taps.support {
            Support::Two => horizontal_of::<2>(line, taps, out),
            Support::Four => horizontal_of::<4>(line, taps, out),
        }
    }
}

#[target_feature(enable = "sse4.1")]
unsafe fn horizontal_of<const N: usize>(line: &[u8], taps: &Taps, out: &mut [i16]) {
    let (pairs, rest) = taps.taps.as_chunks::<2>();
    let (pair_out, rest_out) = out.split_at_mut(pairs.len() * 8);
    for ([a, b], out) in pairs.iter().zip(pair_out.chunks_exact_mut(8)) {
        // SAFETY: no tap reaches past the line; `out` is 16 bytes.
        unsafe {
            let a = mix_line::<N>(line.as_ptr().add(a.first as usize * 4), weight_pairs(&a.weights));
            let b = mix_line::<N>(line.as_ptr().add(b.first as usize * 4), weight_pairs(&b.weights));
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm_packs_epi32(a, b));
        }
    }
    for (tap, out) in rest.iter().zip(rest_out.chunks_exact_mut(4)) {
        out.copy_from_slice(&scalar::horizontal_pixel(line, tap, taps.support));
    }
}

/// # Safety
/// SSE4.1 is there; all lines are as long as `out`.
#[target_feature(enable = "sse4.1")]
pub unsafe fn vertical(support: Support, lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    // SAFETY: the caller's contract is passed on.
    unsafe {
        match support {
            Support::Two => vertical_of::<2>(lines, weights, out),
            Support::Four => vertical_of::<4>(lines, weights, out),
        }
    }
}

#[target_feature(enable = "sse4.1")]
unsafe fn vertical_of<const N: usize>(lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    let pairs = weight_pairs(&weights);
    let whole = out.len() / 16 * 16;
    for at in (0..whole).step_by(16) {
        // SAFETY: `at + 16` is within `out` and within each line.
        unsafe {
            let low = mix_column::<N>(lines, at, pairs);
            let high = mix_column::<N>(lines, at + 8, pairs);
            _mm_storeu_si128(out.as_mut_ptr().add(at).cast(), _mm_packus_epi16(low, high));
        }
    }
    let support = if N == 4 { Support::Four } else { Support::Two };
    scalar::vertical(support, lines.map(|line| &line[whole..]), weights, &mut out[whole..]);
}

/// Eight values of the weighted sum of lines, from `at` on, not yet cut to a byte.
///
/// # Safety
/// The lines have `at + 8` values.
#[inline]
#[target_feature(enable = "sse4.1")]
unsafe fn mix_column<const N: usize>(lines: [&[i16]; 4], at: usize, weights: (__m128i, __m128i)) -> __m128i {
    // SAFETY: eight values from `at` on are there by contract.
    let load = |line: &[i16]| unsafe { _mm_loadu_si128(line.as_ptr().add(at).cast()) };
    let (a, b) = (load(lines[0]), load(lines[1]));
    let mut low = _mm_madd_epi16(_mm_unpacklo_epi16(a, b), weights.0);
    let mut high = _mm_madd_epi16(_mm_unpackhi_epi16(a, b), weights.0);
    if N == 4 {
        let (c, d) = (load(lines[2]), load(lines[3]));
        low = _mm_add_epi32(low, _mm_madd_epi16(_mm_unpacklo_epi16(c, d), weights.1));
        high = _mm_add_epi32(high, _mm_madd_epi16(_mm_unpackhi_epi16(c, d), weights.1));
    }
    _mm_packs_epi32(cut(low), cut(high))
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn cut(sum: __m128i) -> __m128i {
    _mm_srai_epi32::<CUT_SHIFT>(_mm_add_epi32(sum, _mm_set1_epi32(CUT_BIAS)))
}

#[inline]
pub fn phase(at: i64) -> usize {
    (at >> (POSITION_BITS - PHASE_BITS)) as usize & ((1 << PHASE_BITS) - 1)
}

/// # Safety
/// SSE4.1 is there; `run.fits(window, support)`; `out` has four bytes for each
/// position.
#[target_feature(enable = "sse4.1")]
pub unsafe fn sample(window: &Window, support: Support, run: &Run, out: &mut [u8]) {
    // SAFETY: the caller's contract is passed on.
    unsafe {
        match support {
            Support::Two => sample_of::<2>(window, run, out),
            Support::Four => sample_of::<4>(window, run, out),
        }
    }
}

#[inline]
#[target_feature(enable = "sse4.1")]
pub unsafe fn sample_of<const N: usize>(window: &Window, run: &Run, out: &mut [u8]) {
    let phases = super::phases(if N == 4 { Support::Four } else { Support::Two });
    let stride = window.width * 4;
    let before = N as i64 / 2 - 1;
    let (mut x, mut y) = (run.x, run.y);
    for out in out.chunks_exact_mut(4) {
        let left = ((x >> POSITION_BITS) - before) as usize;
        let top = ((y >> POSITION_BITS) - before) as usize;
        let across = weight_pairs(&phases[phase(x)]);
        let down = weight_pairs(&phases[phase(y)]);
        // SAFETY: the position fits: `N` pixels from `left` on lie in each of
        // the `N` rows from `top` on.
        let sum = unsafe {
            let from = window.pixels.as_ptr().add(top * stride + left * 4);
            let a = mix_line::<N>(from, across);
            let b = mix_line::<N>(from.add(stride), across);
            let ab = _mm_packs_epi32(a, b);
            let ab = _mm_unpacklo_epi16(ab, _mm_srli_si128::<8>(ab));
            let mut sum = _mm_madd_epi16(ab, down.0);
            if N == 4 {
                let c = mix_line::<N>(from.add(stride * 2), across);
                let d = mix_line::<N>(from.add(stride * 3), across);
                let cd = _mm_packs_epi32(c, d);
                let cd = _mm_unpacklo_epi16(cd, _mm_srli_si128::<8>(cd));
                sum = _mm_add_epi32(sum, _mm_madd_epi16(cd, down.1));
            }
            sum
        };
        let words = _mm_packs_epi32(cut(sum), cut(sum));
        out.copy_from_slice(&_mm_cvtsi128_si32(_mm_packus_epi16(words, words)).to_le_bytes());
        x += run.step_x;
        y += run.step_y;
    }
}

/// Rounded division by 255 of 16-bit values up to 255².
#[inline]
#[target_feature(enable = "sse4.1")]
fn div255(value: __m128i) -> __m128i {
    let value = _mm_add_epi16(value, _mm_set1_epi16(128));
    _mm_srli_epi16::<8>(_mm_add_epi16(value, _mm_srli_epi16::<8>(value)))
}

/// The alphas of four pixels in the place of each of their channels, in 16
/// bits: the first two pixels, the last two.
#[inline]
#[target_feature(enable = "sse4.1")]
fn alphas(pixels: __m128i) -> (__m128i, __m128i) {
    let low = _mm_setr_epi8(3, -1, 3, -1, 3, -1, 3, -1, 7, -1, 7, -1, 7, -1, 7, -1);
    let high = _mm_setr_epi8(11, -1, 11, -1, 11, -1, 11, -1, 15, -1, 15, -1, 15, -1, 15, -1);
    (_mm_shuffle_epi8(pixels, low), _mm_shuffle_epi8(pixels, high))
}

/// Four pixels as 16-bit values: the first two, the last two.
#[inline]
#[target_feature(enable = "sse4.1")]
fn widen(pixels: __m128i) -> (__m128i, __m128i) {
    (_mm_cvtepu8_epi16(pixels), _mm_unpackhi_epi8(pixels, _mm_setzero_si128()))
}

/// The alpha byte of each pixel.
const ALPHA: i32 = 0xff00_0000_u32 as i32;

/// Whether all alphas are 255, or all 0.
#[inline]
#[target_feature(enable = "sse4.1")]
fn all_opaque(pixels: __m128i) -> bool {
    _mm_test_all_ones(_mm_or_si128(pixels, _mm_set1_epi32(!ALPHA))) != 0
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn all_clear(pixels: __m128i) -> bool {
    _mm_test_all_zeros(pixels, _mm_set1_epi32(ALPHA)) != 0
}

/// # Safety
/// SSE4.1 is there.
#[target_feature(enable = "sse4.1")]
pub unsafe fn premultiply(pixels: &mut [u8]) {
    let (whole, rest) = pixels.as_chunks_mut::<16>();
    // Times 255, divided by 255: the alpha itself stays.
    let alpha_stays = _mm_set1_epi64x(0x00ff_0000_0000_0000);
    for pixels in whole {
        // SAFETY: the chunk is 16 bytes.
        let four = unsafe { _mm_loadu_si128(pixels.as_ptr().cast()) };
        if all_opaque(four) {
            continue;
        }
        let ((low, high), (alpha_low, alpha_high)) = (widen(four), alphas(four));
        let low = div255(_mm_mullo_epi16(low, _mm_or_si128(alpha_low, alpha_stays)));
        let high = div255(_mm_mullo_epi16(high, _mm_or_si128(alpha_high, alpha_stays)));
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(pixels.as_mut_ptr().cast(), _mm_packus_epi16(low, high)) };
    }
    scalar::premultiply(rest);
}

/// # Safety
/// SSE4.1 is there.
#[target_feature(enable = "sse4.1")]
pub unsafe fn unpremultiply(pixels: &mut [u8]) {
    let (whole, rest) = pixels.as_chunks_mut::<16>();
    for pixels in whole {
        // SAFETY: the chunk is 16 bytes.
        let four = unsafe { _mm_loadu_si128(pixels.as_ptr().cast()) };
        if all_opaque(four) {
            continue;
        }
        let divided = if all_clear(four) {
            _mm_setzero_si128()
        } else {
            let a = divide_pixel(four);
            let b = divide_pixel(_mm_srli_si128::<4>(four));
            let c = divide_pixel(_mm_srli_si128::<8>(four));
            let d = divide_pixel(_mm_srli_si128::<12>(four));
            _mm_packus_epi16(_mm_packus_epi32(a, b), _mm_packus_epi32(c, d))
        };
        let result = _mm_blendv_epi8(divided, four, _mm_set1_epi32(ALPHA));
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(pixels.as_mut_ptr().cast(), result) };
    }
    scalar::unpremultiply(rest);
}

/// The channels of the first pixel, times 255, divided by its alpha, cut to
/// whole numbers up to 255. A quotient of numbers this small never rounds up
/// to a whole number in 32-bit floats, so cutting it off is exact.
#[inline]
#[target_feature(enable = "sse4.1")]
fn divide_pixel(pixels: __m128i) -> __m128i {
    let values = _mm_cvtepu8_epi32(pixels);
    let alpha = _mm_shuffle_epi32::<0xff>(values);
    let products = _mm_mul_ps(_mm_cvtepi32_ps(values), _mm_set1_ps(255.0));
    let quotients = _mm_cvttps_epi32(_mm_div_ps(products, _mm_cvtepi32_ps(alpha)));
    let has_alpha = _mm_cmpgt_epi32(alpha, _mm_setzero_si128());
    _mm_and_si128(_mm_min_epi32(quotients, _mm_set1_epi32(255)), has_alpha)
}

/// `above` with `alpha` over `below`, in 16 bits.
#[inline]
#[target_feature(enable = "sse4.1")]
fn blend(below: __m128i, above: __m128i, alpha: __m128i) -> __m128i {
    let rest = _mm_sub_epi16(_mm_set1_epi16(255), alpha);
    div255(_mm_add_epi16(_mm_mullo_epi16(above, alpha), _mm_mullo_epi16(below, rest)))
}

/// # Safety
/// SSE4.1 is there; both slices have the same length.
#[target_feature(enable = "sse4.1")]
pub unsafe fn over_opaque(below: &mut [u8], above: &[u8], fade: u8) {
    let (whole, rest) = below.as_chunks_mut::<16>();
    let (whole_above, rest_above) = above.as_chunks::<16>();
    let share = _mm_set1_epi16(i16::from(fade));
    for (low, up) in whole.iter_mut().zip(whole_above) {
        // SAFETY: the chunks are 16 bytes.
        let up = unsafe { _mm_loadu_si128(up.as_ptr().cast()) };
        if all_clear(up) {
            continue;
        }
        // SAFETY: as above.
        let under = unsafe { _mm_loadu_si128(low.as_ptr().cast()) };
        let mixed = if fade == 255 && all_opaque(up) {
            up
        } else {
            let (alpha_low, alpha_high) = alphas(up);
            let alpha_low = div255(_mm_mullo_epi16(alpha_low, share));
            let alpha_high = div255(_mm_mullo_epi16(alpha_high, share));
            let ((under_low, under_high), (up_low, up_high)) = (widen(under), widen(up));
            _mm_packus_epi16(blend(under_low, up_low, alpha_low), blend(under_high, up_high, alpha_high))
        };
        let mixed = _mm_blendv_epi8(mixed, under, _mm_set1_epi32(ALPHA));
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(low.as_mut_ptr().cast(), mixed) };
    }
    scalar::over_opaque(rest, rest_above, fade);
}

/// # Safety
/// SSE4.1 is there.
#[target_feature(enable = "sse4.1")]
pub unsafe fn flatten(pixels: &mut [u8], ground: [u8; 4]) {
    let (whole, rest) = pixels.as_chunks_mut::<16>();
    let ground_four = _mm_set1_epi32(i32::from_le_bytes(ground));
    let (ground_low, ground_high) = widen(ground_four);
    for pixels in whole {
        // SAFETY: the chunk is 16 bytes.
        let four = unsafe { _mm_loadu_si128(pixels.as_ptr().cast()) };
        if all_opaque(four) {
            continue;
        }
        let ((low, high), (alpha_low, alpha_high)) = (widen(four), alphas(four));
        let mixed = _mm_packus_epi16(blend(ground_low, low, alpha_low), blend(ground_high, high, alpha_high));
        let mixed = _mm_or_si128(mixed, _mm_set1_epi32(ALPHA));
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(pixels.as_mut_ptr().cast(), mixed) };
    }
    scalar::flatten(rest, ground);
}
