//! Pixels outside a coverage are cut away.
//!
//! MapProxy masks without soft edges: a pixel stays when the coverage, made
//! smaller by a tenth of a pixel, touches it; along slopes, as Pillow draws
//! lines, when it reaches the middle of the pixel's side. Here each pixel row is
//! looked at on three lines: on the middle one every pixel stays that the
//! coverage touches, on those a tenth from the edges the pixels whose middle
//! column it covers. That is within a pixel of MapProxy's mask, and mostly equal.

use super::raster::Raster;
use crate::geo::{Coverage, Extent, Srs};

/// What the coverage is made smaller by, in pixels.
const INSET_PX: f64 = 0.1;
/// Lines across a pixel row, from its upper edge, and what a pixel must have of
/// its left and right edge to stay, both in pixels.
const LINES_PX: [(f64, f64); 3] = [(INSET_PX, 0.5), (0.5, INSET_PX), (1.0 - INSET_PX, 0.5)];
/// What is cut away is white, as in MapProxy.
const CLEARED: [u8; 4] = [255, 255, 255, 0];

/// Clears (alpha 0) every pixel of `raster` outside `coverage`; the raster
/// covers `extent` in `srs`.
pub fn clip(raster: &mut Raster, extent: &Extent, srs: &Srs, coverage: &Coverage) {
    if !extent.is_valid() || raster.width == 0 || raster.height == 0 {
        return;
    }
    let coverage = if coverage.srs == *srs { coverage.clone() } else { coverage.transform_to(srs) };
    if coverage.is_rectangle() {
        clip_to_rectangle(raster, extent, &coverage.extent);
    } else {
        clip_to_rings(raster, extent, &coverage.rings());
    }
}

fn clip_to_rectangle(raster: &mut Raster, extent: &Extent, area: &Extent) {
    let per_x = f64::from(raster.width) / extent.width();
    let per_y = f64::from(raster.height) / extent.height();
    let columns = ((area.min_x - extent.min_x) * per_x, (area.max_x - extent.min_x) * per_x);
    let rows = ((extent.max_y - area.max_y) * per_y, (extent.max_y - area.min_y) * per_y);
    let width = raster.width as usize;
    let mut keep_columns = vec![false; width];
    let mut keep_rows = vec![false; raster.height as usize];
    mark(&mut keep_columns, columns.0 + INSET_PX, columns.1 - INSET_PX);
    mark(&mut keep_rows, rows.0 + INSET_PX, rows.1 - INSET_PX);
    let nothing = vec![false; width];
    for (pixels, keep) in raster.pixels.chunks_exact_mut(width * 4).zip(keep_rows) {
        raster.opaque &= !clear(pixels, if keep { &keep_columns } else { &nothing });
    }
}

/// Clears what is not kept of a row; whether anything was.
fn clear(pixels: &mut [u8], keep: &[bool]) -> bool {
    let mut cleared = false;
    for (pixel, _) in pixels.chunks_exact_mut(4).zip(keep).filter(|(_, keep)| !**keep) {
        pixel.copy_from_slice(&CLEARED);
        cleared = true;
    }
    cleared
}

/// A side of a polygon that is not level, in pixels, from its upper end.
#[derive(Clone, Copy, Debug)]
struct Side {
    top_y: f64,
    end_y: f64,
    top_x: f64,
    /// Change of x for one pixel down.
    slope: f64,
}

fn clip_to_rings(raster: &mut Raster, extent: &Extent, rings: &[Vec<[f64; 2]>]) {
    let sides = sides(rings, extent, raster);
    let mut upcoming = sides.into_iter().peekable();
    let mut active: Vec<Side> = Vec::new();
    let mut crossings = Vec::new();
    let width = raster.width as usize;
    let mut keep = vec![false; width];
    for (row, pixels) in raster.pixels.chunks_exact_mut(width * 4).enumerate() {
        keep.fill(false);
        for (line, inset) in LINES_PX {
            let y = row as f64 + line;
            while let Some(side) = upcoming.next_if(|side| side.top_y <= y) {
                active.push(side);
            }
            active.retain(|side| side.end_y > y);
            crossings.clear();
            crossings.extend(active.iter().map(|side| side.top_x + (y - side.top_y) * side.slope));
            crossings.sort_unstable_by(f64::total_cmp);
            for pair in crossings.chunks_exact(2) {
                mark(&mut keep, pair[0] + inset, pair[1] - inset);
            }
        }
        raster.opaque &= !clear(pixels, &keep);
    }
}

/// Marks the pixels that `from..=to` touches.
fn mark(keep: &mut [bool], from: f64, to: f64) {
    if from > to || to < 0.0 || from >= keep.len() as f64 {
        return;
    }
    // Casts saturate: what is left of the image begins at 0.
    let (first, last) = (from as usize, (to as usize).min(keep.len() - 1));
    keep[first..=last].fill(true);
}

/// All sides that reach into the rows of the image, from the uppermost.
fn sides(rings: &[Vec<[f64; 2]>], extent: &Extent, raster: &Raster) -> Vec<Side> {
    let per_x = f64::from(raster.width) / extent.width();
    let per_y = f64::from(raster.height) / extent.height();
    let pixel = |p: &[f64; 2]| [(p[0] - extent.min_x) * per_x, (extent.max_y - p[1]) * per_y];
    let mut sides = Vec::new();
    for ring in rings {
        let next = ring.iter().cycle().skip(1);
        for (from, to) in ring.iter().zip(next) {
            let (from, to) = (pixel(from), pixel(to));
            let (top, end) = if from[1] <= to[1] { (from, to) } else { (to, from) };
            let reaches = end[1] > 0.0 && top[1] < f64::from(raster.height) && top[1] < end[1];
            if reaches && top.iter().chain(&end).all(|v| v.is_finite()) {
                let slope = (end[0] - top[0]) / (end[1] - top[1]);
                sides.push(Side { top_y: top[1], end_y: end[1], top_x: top[0], slope });
            }
        }
    }
    sides.sort_unstable_by(|a, b| a.top_y.total_cmp(&b.top_y));
    sides
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mask of rings given in pixels of a `width × height` image, row by row.
    fn drawn(width: u32, height: u32, rings: &[&[[f64; 2]]]) -> Vec<String> {
        let mut raster = Raster::filled(width, height, [1, 2, 3, 255]);
        let extent = Extent::new(0.0, 0.0, f64::from(width), f64::from(height));
        let flipped = |p: &[f64; 2]| [p[0], f64::from(height) - p[1]];
        let rings: Vec<Vec<[f64; 2]>> = rings.iter().map(|ring| ring.iter().map(flipped).collect()).collect();
        if let [ring] = rings.as_slice()
            && ring.len() == 5
        {
            let area = Extent::new(ring[0][0], ring[2][1], ring[2][0], ring[0][1]);
            clip_to_rectangle(&mut raster, &extent, &area);
        } else {
            clip_to_rings(&mut raster, &extent, &rings);
        }
        assert_eq!(raster.opaque, raster.pixels.chunks(4).all(|p| p[3] == 255));
        let shown = |p: &[u8]| if p == CLEARED { '.' } else { '#' };
        raster.pixels.chunks(width as usize * 4).map(|row| row.chunks(4).map(shown).collect()).collect()
    }

    #[test]
    fn touched_pixels_stay_less_a_tenth() {
        let ring = |x0: f64, y0: f64, x1: f64, y1: f64| [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]];
        assert_eq!(drawn(6, 4, &[&ring(1.0, 1.0, 4.0, 3.0)]), ["......", ".###..", ".###..", "......"]);
        assert_eq!(drawn(6, 4, &[&ring(1.05, 0.95, 4.05, 3.05)]), ["......", ".###..", ".###..", "......"]);
        assert_eq!(drawn(6, 4, &[&ring(1.5, 0.5, 4.5, 2.5)]), [".####.", ".####.", ".####.", "......"]);
        assert_eq!(drawn(6, 2, &[&ring(-9.0, -9.0, 90.0, 90.0)]), ["######", "######"]);
        assert_eq!(drawn(6, 1, &[&ring(-9.0, -9.0, -1.0, 90.0)]), ["......"]);
    }

    #[test]
    fn holes_and_slopes() {
        let outer = [[0.0, 0.0], [7.0, 0.0], [7.0, 5.0], [0.0, 5.0]];
        let hole = [[2.0, 1.0], [5.0, 1.0], [5.0, 4.0], [2.0, 4.0]];
        assert_eq!(drawn(7, 5, &[&outer, &hole]), ["#######", "##...##", "##...##", "##...##", "#######"]);
        let triangle = [[0.0, 0.0], [5.0, 5.0], [0.0, 5.0]];
        assert_eq!(drawn(6, 5, &[&triangle]), ["#.....", "##....", "###...", "####..", "#####."]);
        assert_eq!(drawn(2, 1, &[]), [".."]);
        let broken = [[f64::NAN, 0.0], [f64::INFINITY, 3.0], [1.0, f64::NEG_INFINITY]];
        assert_eq!(drawn(2, 1, &[&broken]), [".."]);
    }
}
