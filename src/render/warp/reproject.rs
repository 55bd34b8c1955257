//! Reprojection: the mesh tells where pixels come from, straight runs of them
//! are sampled from one window of the source.
//!
//! The window holds just the source pixels that the mesh points at.

use super::mesh::{self, Mesh};
use super::{Target, support};
use crate::geo::Extent;
use crate::render::mosaic::Mosaic;
use crate::render::raster::{Kernel, Raster};
use crate::render::simd::{self, POSITION_BITS, Run, Support, Window};

/// Source pixels around the positions of the mesh: two neighbours on each
/// side, and one for the rounding of positions.
const MARGIN_PX: f64 = 3.0;
/// Pixels that lie beyond an edge and repeat it, as neighbours of edge pixels.
const BEYOND_PX: i64 = 2;

/// `to_source` carries map positions of the target to map positions of the
/// source; what has no image becomes not finite.
pub(super) fn draw(
    source: &Mosaic,
    source_extent: &Extent,
    target: &Target,
    kernel: Kernel,
    to_source: &dyn Fn(&mut [[f64; 2]]),
) -> Raster {
    let (width, height) = target.size;
    let carry = pixels_to_pixels(source, source_extent, target, to_source);
    let mesh = mesh::divide(target.size, source.size(), &carry);
    let mut output = Raster { width, height, opaque: false, pixels: Vec::new() };
    output.pixels.resize(width as usize * height as usize * 4, 0);
    let support = support(kernel);
    let Some(window) = SourceWindow::around(source, &mesh, support) else { return output };
    let mut drawn = 0;
    for cell in &mesh.cells {
        for row in 0..cell.area.y1 - cell.area.y0 {
            let (start, step) = cell.row(row);
            let at = (cell.area.x0, cell.area.y0 + row);
            let run = window.run(start, step, (cell.area.x1 - cell.area.x0) as usize);
            drawn += window.draw_run(support, &run, at, &mut output);
        }
    }
    for &(x, y, place) in &mesh.pixels {
        let run = window.run(place, [0.0, 0.0], 1);
        drawn += window.draw_run(support, &run, (x, y), &mut output);
    }
    output.opaque = window.opaque && drawn == width as usize * height as usize;
    output
}

/// From target pixels to source pixels by way of the two systems.
fn pixels_to_pixels<'a>(
    source: &Mosaic,
    source_extent: &'a Extent,
    target: &'a Target,
    to_source: &'a dyn Fn(&mut [[f64; 2]]),
) -> impl Fn(&mut [[f64; 2]]) + 'a {
    let (width, height) = source.size();
    let per_x = f64::from(width) / source_extent.width();
    let per_y = f64::from(height) / source_extent.height();
    let res_x = target.extent.width() / f64::from(target.size.0);
    let res_y = target.extent.height() / f64::from(target.size.1);
    move |points| {
        for point in points.iter_mut() {
            *point = [target.extent.min_x + point[0] * res_x, target.extent.max_y - point[1] * res_y];
        }
        to_source(points);
        for point in points.iter_mut() {
            *point = [(point[0] - source_extent.min_x) * per_x, (source_extent.max_y - point[1]) * per_y];
        }
    }
}

/// The part of the source that is needed.
struct SourceWindow {
    opaque: bool,
    /// Whether colours are mixed, so that they must carry their alpha.
    premultiplied: bool,
    pixels: Window,
    /// Source column and row of the window's first pixel; may be beyond the edge.
    origin: [i64; 2],
    /// Positions that may be drawn, in window pixels with `POSITION_BITS`:
    /// those in the source whose neighbours are in the window. End excluded.
    allowed: [(i64, i64); 2],
}

impl SourceWindow {
    fn around(source: &Mosaic, mesh: &Mesh, support: Option<Support>) -> Option<SourceWindow> {
        let places = mesh.cells.iter().flat_map(|cell| cell.corners).chain(mesh.pixels.iter().map(|p| p.2));
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for place in places {
            for axis in 0..2 {
                low[axis] = low[axis].min(place[axis]);
                high[axis] = high[axis].max(place[axis]);
            }
        }
        let sides = [i64::from(source.size().0), i64::from(source.size().1)];
        let (mut origin, mut end, mut allowed) = ([0; 2], [0; 2], [(0, 0); 2]);
        for axis in 0..2 {
            let beyond = sides[axis] + BEYOND_PX;
            // Casts saturate; the clamp makes far positions near ones.
            origin[axis] = ((low[axis] - MARGIN_PX).floor() as i64).clamp(-BEYOND_PX, beyond);
            end[axis] = ((high[axis] + MARGIN_PX).ceil() as i64).clamp(-BEYOND_PX, beyond);
            let first = origin[axis] + BEYOND_PX;
            let last = (end[axis] - BEYOND_PX).min(sides[axis]);
            if first >= last {
                return None;
            }
            allowed[axis] = ((first - origin[axis]) << POSITION_BITS, (last - origin[axis]) << POSITION_BITS);
        }
        let (width, height) = ((end[0] - origin[0]) as usize, (end[1] - origin[1]) as usize);
        let opaque = source.is_opaque_within(origin[0], origin[1], end[0], end[1]);
        let premultiplied = support.is_some() && !opaque;
        let mut pixels = Vec::with_capacity(width * height * 4);
        for row in origin[1]..end[1] {
            let start = pixels.len();
            source.append_row_clamped(row, origin[0], width, &mut pixels);
            if premultiplied {
                simd::premultiply(&mut pixels[start..]);
            }
        }
        let pixels = Window { width, height, pixels };
        Some(SourceWindow { opaque, premultiplied, pixels, origin, allowed })
    }

    /// A run in window pixels, still of pixel corners.
    fn run(&self, start: [f64; 2], step: [f64; 2], count: usize) -> Run {
        let one = (1i64 << POSITION_BITS) as f64;
        // Casts saturate, and so do the sums over the run: what is too far to
        // be counted is not drawn.
        let fixed = |value: f64| (value * one).round() as i64;
        Run {
            x: fixed(start[0] - self.origin[0] as f64),
            y: fixed(start[1] - self.origin[1] as f64),
            step_x: fixed(step[0]),
            step_y: fixed(step[1]),
            count,
        }
    }

    /// Draws the pixels of a run that lie in the source, the first of which
    /// would be the output pixel `at`. How many there were.
    fn draw_run(&self, support: Option<Support>, run: &Run, at: (u32, u32), output: &mut Raster) -> usize {
        let Some((skipped, run)) = self.cut(run) else { return 0 };
        let start = (at.1 as usize * output.width as usize + at.0 as usize + skipped) * 4;
        let out = &mut output.pixels[start..start + run.count * 4];
        match support {
            None => self.copy_nearest(&run, out),
            Some(support) => {
                let half = 1 << (POSITION_BITS - 1);
                simd::sample(&self.pixels, support, &Run { x: run.x - half, y: run.y - half, ..run }, out);
            }
        }
        if self.premultiplied {
            simd::unpremultiply(out);
        }
        run.count
    }

    /// The part of a run that may be drawn and how many pixels come before it.
    fn cut(&self, run: &Run) -> Option<(usize, Run)> {
        let position = |at: usize| {
            let along = |start: i64, step: i64| start.saturating_add(step.saturating_mul(at as i64));
            [along(run.x, run.step_x), along(run.y, run.step_y)]
        };
        let inside = |at: usize| {
            let place = position(at);
            (0..2).all(|axis| (self.allowed[axis].0..self.allowed[axis].1).contains(&place[axis]))
        };
        let first = (0..run.count).find(|&at| inside(at))?;
        let last = (first..run.count).rev().find(|&at| inside(at))?;
        let [x, y] = position(first);
        Some((first, Run { x, y, count: last - first + 1, ..*run }))
    }

    fn copy_nearest(&self, run: &Run, out: &mut [u8]) {
        let (pixels, _) = self.pixels.pixels.as_chunks::<4>();
        let (mut x, mut y) = (run.x, run.y);
        for out in out.chunks_exact_mut(4) {
            let at = (y >> POSITION_BITS) as usize * self.pixels.width + (x >> POSITION_BITS) as usize;
            out.copy_from_slice(&pixels[at]);
            x += run.step_x;
            y += run.step_y;
        }
    }
}
