//! Scaling in one system: the positions of columns and rows are independent
//! of each other, so each source row is sampled horizontally once and each
//! output row is mixed from two or four of those.
//!
//! Works row by row from the tiles; holds one source row and four sampled ones.

use super::{Part, support};
use crate::render::mosaic::Mosaic;
use crate::render::raster::{Kernel, Raster};
use crate::render::simd::{self, Support, Tap, Taps};

/// The output pixels of one axis that lie in the source, and where.
struct Axis {
    /// The first output pixel that lies in the source.
    first: usize,
    /// Source positions of it and those after it, in pixels.
    positions: Vec<f64>,
}

impl Axis {
    /// `from..to`: the whole output in source pixels.
    fn new(from: f64, to: f64, output_px: u32, source_px: u32) -> Axis {
        let step = (to - from) / f64::from(output_px);
        let mut axis = Axis { first: 0, positions: Vec::new() };
        for at in 0..output_px {
            let position = (f64::from(at) + 0.5) * step + from;
            if (0.0..f64::from(source_px)).contains(&position) {
                if axis.positions.is_empty() {
                    axis.first = at as usize;
                }
                axis.positions.push(position);
            }
        }
        axis
    }

    fn covers(&self, output_px: u32) -> bool {
        self.positions.len() == output_px as usize
    }
}

/// The neighbours of a position: index of the first (may lie beyond the edge)
/// and weights.
fn neighbours(support: Support, position: f64) -> (i64, [i16; 4]) {
    let position = position - 0.5;
    let whole = position.floor();
    let before = support.count() as i64 / 2 - 1;
    (whole as i64 - before, simd::weights(support, position - whole))
}

pub(super) fn draw(source: &Mosaic, part: &Part, size: (u32, u32), kernel: Kernel) -> Raster {
    let (source_width, source_height) = source.size();
    let columns = Axis::new(part.x0, part.x1, size.0, source_width);
    let rows = Axis::new(part.y0, part.y1, size.1, source_height);
    let covered = columns.covers(size.0) && rows.covers(size.1);
    let mut output = Raster { width: size.0, height: size.1, opaque: false, pixels: Vec::new() };
    output.pixels.resize(size.0 as usize * size.1 as usize * 4, 0);
    let (Some(&left), Some(&right)) = (columns.positions.first(), columns.positions.last()) else {
        return output;
    };
    let (Some(&top), Some(&bottom)) = (rows.positions.first(), rows.positions.last()) else {
        return output;
    };
    let opaque =
        source.is_opaque_within(left as i64 - 2, top as i64 - 2, right as i64 + 3, bottom as i64 + 3);
    match support(kernel) {
        None => draw_nearest(source, &columns, &rows, &mut output),
        Some(support) => draw_weighted(source, support, &columns, &rows, opaque, &mut output),
    }
    output.opaque = covered && opaque;
    output
}

fn draw_nearest(source: &Mosaic, columns: &Axis, rows: &Axis, output: &mut Raster) {
    let left = columns.positions[0] as i64;
    let picks: Vec<usize> = columns.positions.iter().map(|&x| (x as i64 - left) as usize).collect();
    let width = picks.last().map_or(0, |last| last + 1);
    let mut line = Vec::with_capacity(width * 4);
    let mut read = None;
    for (at, &y) in rows.positions.iter().enumerate() {
        if read != Some(y as i64) {
            line.clear();
            source.append_row_clamped(y as i64, left, width, &mut line);
            read = Some(y as i64);
        }
        let (pixels, _) = line.as_chunks::<4>();
        for (out, &pick) in output_row(output, rows.first + at, columns).chunks_exact_mut(4).zip(&picks) {
            out.copy_from_slice(&pixels[pick]);
        }
    }
}

fn draw_weighted(
    source: &Mosaic,
    support: Support,
    columns: &Axis,
    rows: &Axis,
    opaque: bool,
    output: &mut Raster,
) {
    let across: Vec<(i64, [i16; 4])> = columns.positions.iter().map(|&x| neighbours(support, x)).collect();
    let left = across[0].0;
    let taps = across.iter().map(|&(x, weights)| Tap { first: (x - left) as u32, weights }).collect();
    let taps = Taps::new(support, taps);
    let mut ring = Ring::new(source, &taps, left, opaque);
    for (at, &y) in rows.positions.iter().enumerate() {
        let (top, weights) = neighbours(support, y);
        let lines = ring.lines(top, support);
        let row = output_row(output, rows.first + at, columns);
        simd::vertical(support, lines, weights, row);
        if !opaque {
            simd::unpremultiply(row);
        }
    }
}

/// The covered pixels of an output row.
fn output_row<'a>(output: &'a mut Raster, row: usize, columns: &Axis) -> &'a mut [u8] {
    let start = (row * output.width as usize + columns.first) * 4;
    &mut output.pixels[start..start + columns.positions.len() * 4]
}

/// The last few source rows, sampled horizontally.
struct Ring<'a> {
    source: &'a Mosaic,
    taps: &'a Taps,
    left: i64,
    opaque: bool,
    line: Vec<u8>,
    sampled: [(Option<i64>, Vec<i16>); 4],
}

impl<'a> Ring<'a> {
    fn new(source: &'a Mosaic, taps: &'a Taps, left: i64, opaque: bool) -> Ring<'a> {
        let empty = || (None, vec![0i16; taps.len() * 4]);
        let sampled = [empty(), empty(), empty(), empty()];
        Ring { source, taps, left, opaque, line: Vec::with_capacity(taps.reach() * 4), sampled }
    }

    /// The rows from `top` on that `support` needs. Rows beyond the edge are
    /// the edge row; four neighbours of each other never share a place.
    fn lines(&mut self, top: i64, support: Support) -> [&[i16]; 4] {
        let last = i64::from(self.source.size().1) - 1;
        let wanted: [i64; 4] = std::array::from_fn(|at| (top + at as i64).clamp(0, last));
        for &row in &wanted[..support.count()] {
            self.fetch(row);
        }
        wanted.map(|row| self.sampled[(row & 3) as usize].1.as_slice())
    }

    fn fetch(&mut self, row: i64) {
        let (held, values) = &mut self.sampled[(row & 3) as usize];
        if *held == Some(row) {
            return;
        }
        self.line.clear();
        self.source.append_row_clamped(row, self.left, self.taps.reach(), &mut self.line);
        if !self.opaque {
            simd::premultiply(&mut self.line);
        }
        simd::horizontal(&self.line, self.taps, values);
        *held = Some(row);
    }
}
