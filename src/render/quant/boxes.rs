//! Points in colour space divided into boxes, one for each palette colour.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::render::raster::Color;

/// Some like colours: their number, and their mean, premultiplied, 0–255.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub color: [f32; 4],
    pub weight: f32,
    /// By which the caller knows the point again.
    pub key: u16,
}

/// No box is wider than this, as long as half the palette suffices for that:
/// 64 boxes always do for opaque images.
const WIDTH_MAX: f32 = 64.0;

/// Positions at which a box may be cut.
const BINS: usize = 64;

struct Cube {
    range: Range<usize>,
    mean: [f32; 4],
    low: [f32; 4],
    high: [f32; 4],
    /// Axis of the largest variance, and the squared error over all axes.
    axis: usize,
    error: f32,
}

impl Cube {
    fn around(points: &[Point], range: Range<usize>) -> Cube {
        // Sums are taken from one of the points on, which keeps them small
        // and 32 bits exact enough.
        let origin = points[range.start].color;
        let (mut sums, mut squares) = ([0.0f32; 4], [0.0f32; 4]);
        let mut weight = 0.0;
        let (mut low, mut high) = (origin, origin);
        for point in &points[range.clone()] {
            weight += point.weight;
            for i in 0..4 {
                let away = point.color[i] - origin[i];
                let weighed = away * point.weight;
                sums[i] += weighed;
                squares[i] += weighed * away;
                low[i] = if point.color[i] < low[i] { point.color[i] } else { low[i] };
                high[i] = if point.color[i] > high[i] { point.color[i] } else { high[i] };
            }
        }
        let (mut axis, mut error, mut most) = (0, 0.0, -1.0);
        let mut mean = origin;
        for i in 0..4 {
            mean[i] += sums[i] / weight;
            let part = (squares[i] - sums[i] * sums[i] / weight).max(0.0);
            error += part;
            if part > most {
                (most, axis) = (part, i);
            }
        }
        if range.len() < 2 {
            error = 0.0;
        }
        Cube { range, mean, low, high, axis, error }
    }

    /// Of the widest side, and its axis.
    fn width(&self) -> (f32, usize) {
        let widths = (0..4).map(|axis| (self.high[axis] - self.low[axis], axis));
        widths.fold((0.0, 0), |most, next| if next.0 > most.0 { next } else { most })
    }

    fn color(&self) -> Color {
        let alpha = self.mean[3];
        if alpha < 0.5 {
            return [0; 4];
        }
        let plain = |channel: usize| (self.mean[channel] * 255.0 / alpha).round().clamp(0.0, 255.0) as u8;
        [plain(0), plain(1), plain(2), alpha.round() as u8]
    }
}

/// Divides the points into at most `colors` boxes, fewer where their squared
/// error (premultiplied, all channels, mean of all pixels) falls to
/// `error_enough` before. Tells each point's key its box, and returns the
/// boxes' mean colours.
pub(super) fn divide(
    points: &mut [Point],
    colors: usize,
    error_enough: f32,
    mut tell: impl FnMut(u16, u8),
) -> Vec<Color> {
    let enough = error_enough * points.iter().map(|point| point.weight).sum::<f32>();
    let mut cubes = vec![Cube::around(points, 0..points.len())];
    narrow(points, &mut cubes, colors / 2);
    // Errors are not negative, so that their bits are in their order.
    let mut queue: BinaryHeap<(u32, usize)> =
        cubes.iter().enumerate().map(|(at, cube)| (cube.error.to_bits(), at)).collect();
    let mut left: f32 = cubes.iter().map(|cube| cube.error).sum();
    while cubes.len() < colors
        && left > enough
        && let Some((error, at)) = queue.pop()
        && error > 0
    {
        left -= cubes[at].error;
        let cube = &cubes[at];
        let axis = cube.axis;
        let cut = best_cut(&points[cube.range.clone()], axis, cube.low[axis], cube.high[axis]);
        if split(points, &mut cubes, at, |point| point.color[axis] < cut) {
            for part in [at, cubes.len() - 1] {
                left += cubes[part].error;
                queue.push((cubes[part].error.to_bits(), part));
            }
        }
    }
    for (index, cube) in cubes.iter().enumerate() {
        for point in &points[cube.range.clone()] {
            tell(point.key, index as u8);
        }
    }
    cubes.iter().map(Cube::color).collect()
}

/// Halves the widest box until none is too wide or there are `most` of them.
fn narrow(points: &mut [Point], cubes: &mut Vec<Cube>, most: usize) {
    while cubes.len() < most {
        let widest = cubes.iter().enumerate().map(|(at, cube)| (cube.width(), at));
        let Some(((width, axis), at)) = widest.max_by(|a, b| a.0.0.total_cmp(&b.0.0)) else { break };
        let middle = (cubes[at].low[axis] + cubes[at].high[axis]) / 2.0;
        if width <= WIDTH_MAX || !split(points, cubes, at, |point| point.color[axis] < middle) {
            break;
        }
    }
}

/// Whether both sides got something.
fn split(points: &mut [Point], cubes: &mut Vec<Cube>, at: usize, lower: impl Fn(&Point) -> bool) -> bool {
    let range = cubes[at].range.clone();
    let part = &mut points[range.clone()];
    let mut count = 0;
    for i in 0..part.len() {
        if lower(&part[i]) {
            part.swap(i, count);
            count += 1;
        }
    }
    if count == 0 || count == part.len() {
        return false;
    }
    let middle = range.start + count;
    cubes[at] = Cube::around(points, range.start..middle);
    cubes.push(Cube::around(points, middle..range.end));
    true
}

/// Where a cut across `axis` leaves the smallest squared error along it.
fn best_cut(points: &[Point], axis: usize, low: f32, high: f32) -> f32 {
    let scale = BINS as f32 / (high - low).max(f32::MIN_POSITIVE);
    // Weights and weighed distances from `low`.
    let mut bins = [[0.0f32; 2]; BINS];
    let (mut weight, mut sum) = (0.0, 0.0);
    for point in points {
        let away = point.color[axis] - low;
        let bin = &mut bins[((away * scale) as usize).min(BINS - 1)];
        bin[0] += point.weight;
        bin[1] += point.weight * away;
        weight += point.weight;
        sum += point.weight * away;
    }
    let (mut below, mut below_sum) = (0.0, 0.0);
    let (mut best, mut best_gain) = (BINS / 2, f32::MIN);
    for (bin, [bin_weight, bin_sum]) in bins[..BINS - 1].iter().enumerate() {
        below += bin_weight;
        below_sum += bin_sum;
        let (above, above_sum) = (weight - below, sum - below_sum);
        if below <= 0.0 || above <= 0.0 {
            continue;
        }
        let gain = below_sum * below_sum / below + above_sum * above_sum / above;
        if gain > best_gain {
            (best, best_gain) = (bin + 1, gain);
        }
    }
    low + best as f32 / scale
}
