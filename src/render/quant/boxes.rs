//! Points in colour space divided into boxes, one for each palette colour.

use std::ops::Range;

use crate::render::raster::Color;

/// Some like colours: their number, and their mean, premultiplied, 0–255.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub weight: f32,
    pub color: [f32; 4],
    pub key: u16,
}

/// No box is wider than this, as long as half the palette suffices for that.
const WIDTH_MAX: f32 = 64.0;

/// Positions at which a box may be cut.
const BINS: usize = 64;

struct Cube {
    range: Range<usize>,
    weight: f64,
    sums: [f64; 4],
    low: [f32; 4],
    high: [f32; 4],
    /// Axis of the largest variance, and the squared error over all axes.
    axis: usize,
    error: f64,
}

impl Cube {
    fn around(points: &[Point], range: Range<usize>) -> Cube {
        let mut sums = [0.0; 4];
        let mut squares = [0.0; 4];
        let mut weight = 0.0;
        let (mut low, mut high) = ([f32::MAX; 4], [f32::MIN; 4]);
        for point in &points[range.clone()] {
            let w = f64::from(point.weight);
            weight += w;
            for i in 0..4 {
                let v = f64::from(point.color[i]);
                sums[i] += w * v;
                squares[i] += w * v * v;
                low[i] = low[i].min(point.color[i]);
                high[i] = high[i].max(point.color[i]);
            }
        }
        let mut axis = 0;
        let mut error = 0.0;
        let mut most = f64::MIN;
        for i in 0..4 {
            let part = (squares[i] - sums[i] * sums[i] / weight).max(0.0);
            error += part;
            if part > most {
                (most, axis) = (part, i);
            }
        }
        if range.len() < 2 {
            error = 0.0;
        }
        Cube { range, weight, sums, low, high, axis, error }
    }

    fn width(&self) -> (f32, usize) {
        (0..4)
            .map(|i| (self.high[i] - self.low[i], i))
            .fold((0.0, 0), |most, next| if next.0 > most.0 { next } else { most })
    }

    fn color(&self) -> Color {
        let mean = |channel: usize| self.sums[channel] / self.weight;
        let alpha = mean(3);
        if alpha < 0.5 {
            return [0; 4];
        }
        let plain = |channel: usize| (mean(channel) * 255.0 / alpha).round().clamp(0.0, 255.0) as u8;
        [plain(0), plain(1), plain(2), alpha.round() as u8]
    }
}

/// Divides the points into at most `colors` boxes, tells each point's key its
/// box, and returns the boxes' mean colours.
pub(super) fn divide(points: &mut [Point], colors: usize, mut tell: impl FnMut(u16, u8)) -> Vec<Color> {
    let mut cubes = vec![Cube::around(points, 0..points.len())];
    while cubes.len() < colors / 2 {
        let widest = cubes.iter().enumerate().max_by(|a, b| a.1.width().0.total_cmp(&b.1.width().0));
        let Some((at, cube)) = widest.filter(|(_, cube)| cube.width().0 > WIDTH_MAX) else { break };
        let (_, axis) = cube.width();
        let middle = (cube.low[axis] + cube.high[axis]) / 2.0;
        if !split(points, &mut cubes, at, |point| point.color[axis] < middle) {
            break;
        }
    }
    while cubes.len() < colors {
        let worst = cubes.iter().enumerate().max_by(|a, b| a.1.error.total_cmp(&b.1.error));
        let Some((at, cube)) = worst.filter(|(_, cube)| cube.error > 0.0) else { break };
        let axis = cube.axis;
        let cut = best_cut(&points[cube.range.clone()], axis, cube.low[axis], cube.high[axis]);
        if !split(points, &mut cubes, at, |point| point.color[axis] < cut) {
            cubes[at].error = 0.0;
        }
    }
    for (index, cube) in cubes.iter().enumerate() {
        for point in &points[cube.range.clone()] {
            tell(point.key, index as u8);
        }
    }
    cubes.iter().map(Cube::color).collect()
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
    let mut weights = [0.0f64; BINS];
    let mut sums = [0.0f64; BINS];
    for point in points {
        let value = point.color[axis];
        let bin = (((value - low) * scale) as usize).min(BINS - 1);
        weights[bin] += f64::from(point.weight);
        sums[bin] += f64::from(point.weight * (value - low));
    }
    let (weight, sum): (f64, f64) = (weights.iter().sum(), sums.iter().sum());
    let (mut below, mut below_sum) = (0.0, 0.0);
    let (mut best, mut best_gain) = (BINS / 2, f64::MIN);
    for bin in 0..BINS - 1 {
        below += weights[bin];
        below_sum += sums[bin];
        let above = weight - below;
        if below <= 0.0 || above <= 0.0 {
            continue;
        }
        let above_sum = sum - below_sum;
        let gain = below_sum * below_sum / below + above_sum * above_sum / above;
        if gain > best_gain {
            (best, best_gain) = (bin + 1, gain);
        }
    }
    low + best as f32 / scale
}
