//! The inner loops over pixels: resampling, premultiplication, blending.
//!
//! `scalar` is the definition of every loop; the other files are the same
//! arithmetic in vectors and must agree with it bit by bit. The functions
//! here check lengths, pick the widest set the processor has, and are the only
//! way in. Positions and weights are fixed-point integers, so that the result
//! does not depend on the order of additions.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod sse41;

use std::sync::LazyLock;

/// Fractional bits of a weight; the weights of one position add up to 1.
pub const WEIGHT_BITS: u32 = 14;
/// Fractional bits of a value between the horizontal and the vertical pass.
/// A cubic with a = −1 reaches from −64 to 319, which leaves room in 16 bits.
const LINE_BITS: u32 = 6;
/// Fractional bits of a position in a [`Run`].
pub const POSITION_BITS: u32 = 32;
/// Steps into which the way from one pixel to the next is divided for a [`Run`].
const PHASE_BITS: u32 = 10;
/// Added before the fraction is cut off. Pillow cuts without rounding; half a
/// step of the line value keeps whole numbers whole.
const CUT_BIAS: i32 = 1 << (WEIGHT_BITS + LINE_BITS - 7);

/// How many neighbours a kernel looks at along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Two,
    Four,
}

impl Support {
    pub fn count(self) -> usize {
        match self {
            Support::Two => 2,
            Support::Four => 4,
        }
    }
}

/// Weights of the neighbours at `t` (0 ≤ t < 1) past the pixel before: of two
/// neighbours linear (the last two are 0), of four the cubic with a = −1.
pub fn weights(support: Support, t: f64) -> [i16; 4] {
    let exact = match support {
        Support::Two => [1.0 - t, t, 0.0, 0.0],
        Support::Four => {
            let (t2, t3) = (t * t, t * t * t);
            [-t + 2.0 * t2 - t3, 1.0 - 2.0 * t2 + t3, t + t2 - t3, t3 - t2]
        }
    };
    let one = 1i32 << WEIGHT_BITS;
    let mut fixed = exact.map(|w| (w * f64::from(one)).round() as i32);
    let largest = (0..4).max_by_key(|&at| fixed[at]).unwrap_or(0);
    fixed[largest] += one - fixed.iter().sum::<i32>();
    fixed.map(|w| w as i16)
}

/// One output pixel of a horizontal pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// The first neighbour, in pixels of the line.
    pub first: u32,
    pub weights: [i16; 4],
}

/// A whole row of taps. `reach` is checked once, so that the loops need not.
#[derive(Clone, Debug)]
pub struct Taps {
    support: Support,
    taps: Vec<Tap>,
    reach: usize,
}

impl Taps {
    pub fn new(support: Support, taps: Vec<Tap>) -> Taps {
        let last = taps.iter().map(|tap| tap.first as usize).max();
        Taps { support, reach: last.map_or(0, |first| first + support.count()), taps }
    }

    /// Pixels that a line must have.
    pub fn reach(&self) -> usize {
        self.reach
    }

    pub fn len(&self) -> usize {
        self.taps.len()
    }
}

/// Source pixels (four bytes each) in which a [`Run`] looks up its neighbours.
#[derive(Clone, Debug)]
pub struct Window {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// A straight line of sample positions. `x` and `y` are distances from the
/// centre of the window's first pixel with [`POSITION_BITS`] fractional bits.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub x: i64,
    pub y: i64,
    pub step_x: i64,
    pub step_y: i64,
    pub count: usize,
}

impl Run {
    /// Whether all neighbours of all positions lie in the window. The line is
    /// straight: where both ends are inside, all of it is.
    fn fits(&self, window: &Window, support: Support) -> bool {
        let (before, after) = match support {
            Support::Two => (0, 1),
            Support::Four => (1, 2),
        };
        let inside = |at: i64, side: usize| {
            let at = at >> POSITION_BITS;
            at >= before && at + after < side as i64
        };
        let Some(last) = (self.count as i64).checked_sub(1) else { return false };
        let end = |start: i64, step: i64| step.checked_mul(last).and_then(|way| start.checked_add(way));
        let (Some(end_x), Some(end_y)) = (end(self.x, self.step_x), end(self.y, self.step_y)) else {
            return false;
        };
        window.pixels.len() == window.width * window.height * 4
            && [self.x, end_x].iter().all(|&at| inside(at, window.width))
            && [self.y, end_y].iter().all(|&at| inside(at, window.height))
    }
}

/// Weights at every phase of a run.
struct Phases {
    two: Vec<[i16; 4]>,
    four: Vec<[i16; 4]>,
}

static PHASES: LazyLock<Phases> = LazyLock::new(|| {
    let all = |support| {
        let count = 1 << PHASE_BITS;
        (0..count).map(|at| weights(support, f64::from(at) / f64::from(count))).collect()
    };
    Phases { two: all(Support::Two), four: all(Support::Four) }
});

fn phases(support: Support) -> &'static [[i16; 4]; 1 << PHASE_BITS] {
    let table = match support {
        Support::Two => &PHASES.two,
        Support::Four => &PHASES.four,
    };
    table.as_slice().try_into().unwrap_or_else(|_| unreachable!("a table has one entry for each phase"))
}

/// What the processor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Sse41,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

fn widest() -> Set {
    #[cfg(target_arch = "x86_64")]
    {
        // Both answers are kept by the standard library after the first call.
        if is_x86_feature_detected!("avx2") {
            return Set::Avx2;
        }
        if is_x86_feature_detected!("sse4.1") {
            return Set::Sse41;
        }
    }
    Set::Scalar
}

/// Horizontal pass: one line of source pixels to one line of values with
/// `LINE_BITS` fractional bits.
pub fn horizontal(line: &[u8], taps: &Taps, out: &mut [i16]) {
    horizontal_with(widest(), line, taps, out);
}

fn horizontal_with(set: Set, line: &[u8], taps: &Taps, out: &mut [i16]) {
    assert!(line.len() >= taps.reach * 4 && out.len() == taps.taps.len() * 4);
    match set {
        Set::Scalar => scalar::horizontal(line, taps, out),
        // SAFETY: the set was detected; the lengths are checked above.
        #[cfg(target_arch = "x86_64")]
        Set::Sse41 => unsafe { sse41::horizontal(line, taps, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2::horizontal(line, taps, out) },
    }
}

/// Vertical pass over four lines of a horizontal pass (of a kernel with two
/// neighbours, the last two are not looked at) to bytes.
pub fn vertical(support: Support, lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    vertical_with(widest(), support, lines, weights, out);
}

fn vertical_with(set: Set, support: Support, lines: [&[i16]; 4], weights: [i16; 4], out: &mut [u8]) {
    assert!(lines.iter().all(|line| line.len() == out.len()) && out.len().is_multiple_of(4));
    match set {
        Set::Scalar => scalar::vertical(support, lines, weights, out),
        // SAFETY: the set was detected; the lengths are checked above.
        #[cfg(target_arch = "x86_64")]
        Set::Sse41 => unsafe { sse41::vertical(support, lines, weights, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2::vertical(support, lines, weights, out) },
    }
}

/// Samples a run. Panics where a neighbour would lie outside the window.
pub fn sample(window: &Window, support: Support, run: &Run, out: &mut [u8]) {
    sample_with(widest(), window, support, run, out);
}

fn sample_with(set: Set, window: &Window, support: Support, run: &Run, out: &mut [u8]) {
    assert!(out.len() == run.count * 4);
    if run.count == 0 {
        return;
    }
    // Half a phase more makes the cut to a phase a rounding.
    let half = 1 << (POSITION_BITS - PHASE_BITS - 1);
    let run = &Run { x: run.x + half, y: run.y + half, ..*run };
    assert!(run.fits(window, support));
    match set {
        Set::Scalar => scalar::sample(window, support, run, out),
        // SAFETY: the set was detected; every neighbour lies in the window.
        #[cfg(target_arch = "x86_64")]
        Set::Sse41 => unsafe { sse41::sample(window, support, run, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { avx2::sample(window, support, run, out) },
    }
}

/// Multiplies colours by their alpha (Pillow's `RGBA` to `RGBa`).
pub fn premultiply(pixels: &mut [u8]) {
    match widest() {
        Set::Scalar => scalar::premultiply(pixels),
        // SAFETY: the set was detected; any length will do.
        #[cfg(target_arch = "x86_64")]
        Set::Sse41 | Set::Avx2 => unsafe { sse41::premultiply(pixels) },
    }
}

/// Divides colours by their alpha (Pillow's `RGBa` to `RGBA`); what has no
/// alpha becomes 0.
pub fn unpremultiply(pixels: &mut [u8]) {
    match widest() {
        Set::Scalar => scalar::unpremultiply(pixels),
        // SAFETY: the set was detected; any length will do.
        #[cfg(target_arch = "x86_64")]
        Set::Sse41 | Set::Avx2 => unsafe { sse41::unpremultiply(pixels) },
    }
}

/// Lays `above` with its alpha times `fade` / 255 over opaque `below`.
pub fn over_opaque(below: &mut [u8], above: &[u8], fade: u8) {
    assert!(below.len() == above.len() && below.len().is_multiple_of(4));
    match widest() {
        Set::Scalar => scalar::over_opaque(below, above, fade),
        // SAFETY: the set was detected; the lengths are checked above.
        #[cfg(target_arch = "x86_64")]
        Set::Sse41 | Set::Avx2 => unsafe { sse41::over_opaque(below, above, fade) },
    }
}

/// Lays pixels on an opaque ground of one colour.
pub fn flatten(pixels: &mut [u8], ground: [u8; 4]) {
    assert!(pixels.len().is_multiple_of(4));
    match widest() {
        Set::Scalar => scalar::flatten(pixels, ground),
        // SAFETY: the set was detected; the length is checked above.
        #[cfg(target_arch = "x86_64")]
        Set::Sse41 | Set::Avx2 => unsafe { sse41::flatten(pixels, ground) },
    }
}

#[cfg(test)]
mod tests;
