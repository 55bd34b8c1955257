//! Where the pixels of a reprojected map come from: rectangles of the target
//! in which the position in the source is bilinear to a tenth of a pixel.
//!
//! A rectangle begins large; where positions measured inside it differ from
//! the interpolated ones it is quartered, down to single pixels. So the number
//! of transformed positions is bounded by about twice the number of pixels.

/// Source pixels by which an interpolated position may be off where it is
/// measured. Between the measured places a smooth transformation stays below
/// a third more.
const ERROR_MAX_PX: f64 = 0.1;
/// The side of the first rectangles in target pixels.
const SIDE_MAX_PX: u32 = 128;
/// Rectangles with no more pixels than this are transformed pixel by pixel.
const PIXELWISE_MAX: u32 = 16;
/// A rectangle of at most this side, none of whose measured places has an
/// image in the source, is taken as empty.
const EMPTY_SIDE_MAX_PX: u32 = 16;

/// Pixels `x0..x1`, `y0..y1` of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub x0: u32,
    pub y0: u32,
    pub x1: u32,
    pub y1: u32,
}

impl Area {
    fn width(&self) -> u32 {
        self.x1 - self.x0
    }

    fn height(&self) -> u32 {
        self.y1 - self.y0
    }

    /// The centre of the pixel at a share of the way from the first to the
    /// last pixel centre.
    fn at(&self, share_x: f64, share_y: f64) -> [f64; 2] {
        [
            f64::from(self.x0) + 0.5 + share_x * f64::from(self.width() - 1),
            f64::from(self.y0) + 0.5 + share_y * f64::from(self.height() - 1),
        ]
    }

    /// Halves each side that is at least half as long as the other.
    fn split(&self) -> impl Iterator<Item = Area> {
        let (width, height) = (self.width(), self.height());
        let middle_x = if width > 1 && width * 2 > height { self.x0 + width / 2 } else { self.x1 };
        let middle_y = if height > 1 && height * 2 > width { self.y0 + height / 2 } else { self.y1 };
        let Area { x0, y0, x1, y1 } = *self;
        [
            (x0, y0, middle_x, middle_y),
            (middle_x, y0, x1, middle_y),
            (x0, middle_y, middle_x, y1),
            (middle_x, middle_y, x1, y1),
        ]
        .into_iter()
        .map(|(x0, y0, x1, y1)| Area { x0, y0, x1, y1 })
        .filter(|area| area.x0 < area.x1 && area.y0 < area.y1)
    }
}

/// A rectangle and the source positions of the centres of its corner pixels,
/// in source pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub area: Area,
    /// North-west, north-east, south-west, south-east.
    pub corners: [[f64; 2]; 4],
}

impl Cell {
    /// The interpolated position at a share of the way between the corners.
    fn position(&self, share_x: f64, share_y: f64) -> [f64; 2] {
        let [nw, ne, sw, se] = self.corners;
        std::array::from_fn(|axis| {
            let north = nw[axis] + (ne[axis] - nw[axis]) * share_x;
            let south = sw[axis] + (se[axis] - sw[axis]) * share_x;
            north + (south - north) * share_y
        })
    }

    /// Position of the first pixel of a row of the area, and the step to the next.
    pub fn row(&self, row: u32) -> ([f64; 2], [f64; 2]) {
        let share = |of: u32, at: u32| if of > 1 { f64::from(at) / f64::from(of - 1) } else { 0.0 };
        let share_y = share(self.area.height(), row);
        let (start, end) = (self.position(0.0, share_y), self.position(1.0, share_y));
        let steps = f64::from(self.area.width().max(2) - 1);
        (start, [(end[0] - start[0]) / steps, (end[1] - start[1]) / steps])
    }
}

/// What is known of the whole target.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    pub cells: Vec<Cell>,
    /// Single pixels where no interpolation is good enough: column, row, position.
    pub pixels: Vec<(u32, u32, [f64; 2])>,
}

/// Places of a rectangle that are measured: the corners, then the places where
/// the interpolation is tested. The middles find what is curved, those of the
/// edges also where the curves of opposite edges cancel each other in the
/// centre, and the quarters what is curved to both sides.
const MEASURED: [(f64, f64); 13] = [
    (0.0, 0.0),
    (1.0, 0.0),
    (0.0, 1.0),
    (1.0, 1.0),
    (0.5, 0.5),
    (0.5, 0.0),
    (0.5, 1.0),
    (0.0, 0.5),
    (1.0, 0.5),
    (0.25, 0.25),
    (0.75, 0.25),
    (0.25, 0.75),
    (0.75, 0.75),
];

/// Divides a target of `size` pixels. `to_source` carries target pixels
/// (corner of the first is 0, 0) to pixels of a source of `source_size`; what
/// has no image becomes not finite. Areas that lie beyond the source are left out.
pub(super) fn divide(size: (u32, u32), source_size: (u32, u32), to_source: &dyn Fn(&mut [[f64; 2]])) -> Mesh {
    let mut mesh = Mesh::default();
    let mut open = first_areas(size);
    let mut points = Vec::new();
    while !open.is_empty() {
        points.clear();
        let mut singles = Vec::new();
        open.retain(|area| {
            let small = area.width() * area.height() <= PIXELWISE_MAX;
            if small {
                singles.push(*area);
            }
            !small
        });
        transform_singles(&singles, to_source, &mut mesh);
        points.extend(open.iter().flat_map(|area| MEASURED.map(|(x, y)| area.at(x, y))));
        to_source(&mut points);
        let mut next = Vec::new();
        for (area, measured) in open.iter().zip(points.chunks_exact(MEASURED.len())) {
            let cell = Cell { area: *area, corners: [measured[0], measured[1], measured[2], measured[3]] };
            if is_beyond(measured, source_size) || is_empty(area, measured) {
                continue;
            }
            if is_good(&cell, measured) {
                mesh.cells.push(cell);
            } else {
                next.extend(area.split());
            }
        }
        open = next;
    }
    mesh
}

fn first_areas(size: (u32, u32)) -> Vec<Area> {
    let starts = |px: u32| (0..px).step_by(SIDE_MAX_PX as usize);
    let end = |start: u32, px: u32| start.saturating_add(SIDE_MAX_PX).min(px);
    starts(size.1)
        .flat_map(|y| starts(size.0).map(move |x| (x, y)))
        .map(|(x0, y0)| Area { x0, y0, x1: end(x0, size.0), y1: end(y0, size.1) })
        .collect()
}

fn is_good(cell: &Cell, measured: &[[f64; 2]]) -> bool {
    MEASURED.iter().zip(measured).skip(4).all(|(&(x, y), place)| {
        let guess = cell.position(x, y);
        // Not finite compares as not near.
        (guess[0] - place[0]).abs() < ERROR_MAX_PX && (guess[1] - place[1]).abs() < ERROR_MAX_PX
    })
}

/// Whether all places lie past one edge of the source, by more than they lie
/// apart from each other (so that what is between them cannot reach it).
fn is_beyond(measured: &[[f64; 2]], source_size: (u32, u32)) -> bool {
    [source_size.0, source_size.1].into_iter().enumerate().any(|(axis, side)| {
        let all = || measured.iter().map(|place| place[axis]);
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        let apart = high - low;
        all().all(f64::is_finite) && (high + apart < 0.0 || low - apart > f64::from(side))
    })
}

fn is_empty(area: &Area, measured: &[[f64; 2]]) -> bool {
    area.width().max(area.height()) <= EMPTY_SIDE_MAX_PX
        && measured.iter().all(|place| !place[0].is_finite() || !place[1].is_finite())
}

fn transform_singles(areas: &[Area], to_source: &dyn Fn(&mut [[f64; 2]]), mesh: &mut Mesh) {
    let places = areas.iter().flat_map(|area| {
        let columns = area.x0..area.x1;
        (area.y0..area.y1).flat_map(move |y| columns.clone().map(move |x| (x, y)))
    });
    let places: Vec<(u32, u32)> = places.collect();
    let mut points: Vec<[f64; 2]> =
        places.iter().map(|&(x, y)| [f64::from(x) + 0.5, f64::from(y) + 0.5]).collect();
    to_source(&mut points);
    let known = places.into_iter().zip(points).map(|((x, y), point)| (x, y, point));
    mesh.pixels.extend(known.filter(|(_, _, point)| point[0].is_finite() && point[1].is_finite()));
}
