//! The loops in 256-bit vectors (AVX2); what is left over at the end of a row
//! goes the way of `scalar`.
//!
//! All functions are `unsafe` because the caller must have found AVX2 and, as
//! each says, checked the lengths.

use std::arch::x86_64::*;

use super::sse41::{self, phase};
use super::{
    CUT_BIAS, LINE_BITS, PHASE_BITS, POSITION_BITS, Run, Support, Tap, Taps, WEIGHT_BITS, Window, scalar,
};

const LINE_SHIFT: i32 = (WEIGHT_BITS - LINE_BITS) as i32;
const LINE_HALF: i32 = 1 << (LINE_SHIFT - 1);
const CUT_SHIFT: i32 = (WEIGHT_BITS + LINE_BITS) as i32;

/// Shuffles as in `sse41`, for both halves of a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn pair_masks() -> (__m256i, __m256i) {
    let first = _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1);
    let second = _mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
    (_mm256_broadcastsi128_si256(first), _mm256_broadcastsi128_si256(second))
}

/// One vector of two halves.
#[inline]
#[target_feature(enable = "avx2")]
fn join(low: __m128i, high: __m128i) -> __m256i {
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
}

/// The rounded weighted sums of four pixels in each half; `weights` has the
/// four weights in the lower 64 bits of each half.
#[inline]
#[target_feature(enable = "avx2")]
fn mix_four(pixels: __m256i, weights: __m256i) -> __m256i {
    let (mask_01, mask_23) = pair_masks();
    let first =
        _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, mask_01), _mm256_shuffle_epi32::<0x00>(weights));
    let second =
        _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, mask_23), _mm256_shuffle_epi32::<0x55>(weights));
    round_line(_mm256_add_epi32(first, second))
}

#[inline]
#[target_feature(enable = "avx2")]
fn mix_two(pixels: __m256i, weights: __m256i) -> __m256i {
    let (mask_01, _) = pair_masks();
    let weights = _mm256_shuffle_epi32::<0x00>(weights);
    round_line(_mm256_madd_epi16(_mm256_shuffle_epi8(pixels, mask_01), weights))
}

#[inline]
#[target_feature(enable = "avx2")]
fn round_line(sum: __m256i) -> __m256i {
    _mm256_srai_epi32::<LINE_SHIFT>(_mm256_add_epi32(sum, _mm256_set1_epi32(LINE_HALF)))
}

/// # Safety
/// AVX2 is there; `line` has `taps.reach()` pixels.
#[target_feature(enable = "avx2")]
pub unsafe fn horizontal(line: &[u8], taps: &Taps, out: &mut [i16]) {
    // SAFETY: the caller's contract is passed on.
    unsafe {
        match taps.support {
            Support::Two => horizontal_of::<2>(line, taps, out),
            Support::Four => horizontal_of::<4>(line, taps, out),
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn horizontal_of<const N: usize>(line: &[u8], taps: &Taps, out: &mut [i16]) {
    let (fours, rest) = taps.taps.as_chunks::<4>();
    let (four_out, rest_out) = out.split_at_mut(fours.len() * 16);
    for ([a, b, c, d], out) in fours.iter().zip(four_out.chunks_exact_mut(16)) {
        // SAFETY: no tap reaches past the line; `out` is 32 bytes.
        unsafe {
            // Packing takes the lower halves of both first: a and b, then c and d.
            let ac = mix_taps::<N>(line, a, c);
            let bd = mix_taps::<N>(line, b, d);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_packs_epi32(ac, bd));
        }
    }
    for (tap, out) in rest.iter().zip(rest_out.chunks_exact_mut(4)) {
        out.copy_from_slice(&scalar::horizontal_pixel(line, tap, taps.support));
    }
}

/// One tap in each half.
///
/// # Safety
/// `line` has `N` pixels from the first of each tap on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn mix_taps<const N: usize>(line: &[u8], low: &Tap, high: &Tap) -> __m256i {
    // SAFETY: weights are eight bytes; the pixels are there by contract.
    unsafe {
        let weights =
            join(_mm_loadl_epi64(low.weights.as_ptr().cast()), _mm_loadl_epi64(high.weights.as_ptr().cast()));
        let (low, high) =
            (line.as_ptr().add(low.first as usize * 4), line.as_ptr().add(high.first as usize * 4));
        if N == 4 {
            mix_four(join(_mm_loadu_si128(low.cast()), _mm_loadu_si128(high.cast())), weights)
        } else {
            mix_two(join(_mm_loadl_epi64(low.cast()), _mm_loadl_epi64(high.cast())), weights)
        }
    }
}

/// # Safety
/// AVX2 is there; all lines are as long as `out`.
#[target_feature(enable = "avx2")]
pub unsafe fn vertical(support: Support, lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    // SAFETY: the caller's contract is passed on.
    unsafe {
        match support {
            Support::Two => vertical_of::<2>(lines, weights, out),
            Support::Four => vertical_of::<4>(lines, weights, out),
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn vertical_of<const N: usize>(lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    let pair = |a: i16, b: i16| _mm256_set1_epi32(i32::from(a) & 0xffff | i32::from(b) << 16);
    let pairs = (pair(weights[0], weights[1]), pair(weights[2], weights[3]));
    let whole = out.len() / 32 * 32;
    for at in (0..whole).step_by(32) {
        // SAFETY: `at + 32` is within `out` and within each line.
        unsafe {
            let low = mix_column::<N>(lines, at, pairs);
            let high = mix_column::<N>(lines, at + 16, pairs);
            let bytes = _mm256_permute4x64_epi64::<0xd8>(_mm256_packus_epi16(low, high));
            _mm256_storeu_si256(out.as_mut_ptr().add(at).cast(), bytes);
        }
    }
    let support = if N == 4 { Support::Four } else { Support::Two };
    // SAFETY: AVX2 brings SSE4.1; the rest is as long in all lines.
    unsafe { sse41::vertical(support, lines.map(|line| &line[whole..]), weights, &mut out[whole..]) };
}

/// Sixteen values of the weighted sum of lines, from `at` on, not yet cut to a byte.
///
/// # Safety
/// The lines have `at + 16` values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn mix_column<const N: usize>(lines: [&[i16]; 4], at: usize, weights: (__m256i, __m256i)) -> __m256i {
    // SAFETY: sixteen values from `at` on are there by contract.
    let load = |line: &[i16]| unsafe { _mm256_loadu_si256(line.as_ptr().add(at).cast()) };
    let (a, b) = (load(lines[0]), load(lines[1]));
    let mut low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights.0);
    let mut high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights.0);
    if N == 4 {
        let (c, d) = (load(lines[2]), load(lines[3]));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(c, d), weights.1));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(c, d), weights.1));
    }
    let bias = _mm256_set1_epi32(CUT_BIAS);
    _mm256_packs_epi32(
        _mm256_srai_epi32::<CUT_SHIFT>(_mm256_add_epi32(low, bias)),
        _mm256_srai_epi32::<CUT_SHIFT>(_mm256_add_epi32(high, bias)),
    )
}

/// # Safety
/// AVX2 is there; `run.fits(window, support)`; `out` has four bytes for each
/// position.
#[target_feature(enable = "avx2")]
pub unsafe fn sample(window: &Window, support: Support, run: &Run, out: &mut [u8]) {
    // SAFETY: the caller's contract is passed on; AVX2 brings SSE4.1. Two rows
    // of two pixels fill no more than 128 bits.
    unsafe {
        match support {
            Support::Two => sse41::sample_of::<2>(window, run, out),
            Support::Four => sample_four(window, run, out),
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn sample_four(window: &Window, run: &Run, out: &mut [u8]) {
    let phases = super::phases(Support::Four);
    let stride = window.width * 4;
    let (mut x, mut y) = (run.x, run.y);
    let (pairs, rest) = out.as_chunks_mut::<8>();
    for out in pairs {
        // SAFETY: both positions fit.
        let (a, b) = unsafe {
            (
                mix_rows(window, stride, phases, (x, y)),
                mix_rows(window, stride, phases, (x + run.step_x, y + run.step_y)),
            )
        };
        let down = &phases[phase(y)];
        let down_next = &phases[phase(y + run.step_y)];
        // SAFETY: weights are eight bytes.
        let down = unsafe {
            join(_mm_loadl_epi64(down.as_ptr().cast()), _mm_loadl_epi64(down_next.as_ptr().cast()))
        };
        let even = _mm256_permute2x128_si256::<0x20>(a, b);
        let odd = _mm256_permute2x128_si256::<0x31>(a, b);
        let first = _mm256_madd_epi16(_mm256_unpacklo_epi16(even, odd), _mm256_shuffle_epi32::<0x00>(down));
        let second = _mm256_madd_epi16(_mm256_unpackhi_epi16(even, odd), _mm256_shuffle_epi32::<0x55>(down));
        let sum = _mm256_add_epi32(_mm256_add_epi32(first, second), _mm256_set1_epi32(CUT_BIAS));
        let words = _mm256_packs_epi32(_mm256_srai_epi32::<CUT_SHIFT>(sum), _mm256_setzero_si256());
        let bytes = _mm256_packus_epi16(words, words);
        let both = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
        *out = _mm_cvtsi128_si64(both).to_le_bytes();
        x += run.step_x * 2;
        y += run.step_y * 2;
    }
    if !rest.is_empty() {
        // SAFETY: AVX2 brings SSE4.1; the last position fits as the others do.
        unsafe { sse41::sample_of::<4>(window, &Run { x, y, count: 1, ..*run }, rest) };
    }
}

/// Four rows at a position, each mixed horizontally: rows 0 and 2 in the lower
/// half, 1 and 3 in the upper.
///
/// # Safety
/// The position fits the window.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn mix_rows(
    window: &Window,
    stride: usize,
    phases: &[[i16; 4]; 1 << PHASE_BITS],
    (x, y): (i64, i64),
) -> __m256i {
    let left = ((x >> POSITION_BITS) - 1) as usize;
    let top = ((y >> POSITION_BITS) - 1) as usize;
    // SAFETY: four pixels from `left` on lie in each of the four rows from
    // `top` on. Weights are eight bytes.
    unsafe {
        let across = _mm256_broadcastsi128_si256(_mm_loadl_epi64(phases[phase(x)].as_ptr().cast()));
        let from = window.pixels.as_ptr().add(top * stride + left * 4);
        let load = |row: usize| _mm_loadu_si128(from.add(stride * row).cast());
        let a = mix_four(join(load(0), load(1)), across);
        let b = mix_four(join(load(2), load(3)), across);
        _mm256_packs_epi32(a, b)
    }
}
