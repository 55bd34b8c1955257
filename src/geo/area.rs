//! Areas bounded by rings on a plane: made whole, combined, and asked quickly
//! whether a rectangle meets them. No coordinate systems here; those are the
//! business of [`super::coverage`].

use geometry::algorithm::bool_ops::{BooleanOps, FillRule, OpType};
use geometry::{Coord, LineString, MultiPolygon, Polygon};

use super::extent::Extent;

/// Most corners that an area may have.
pub const CORNERS_MAX: usize = 2_000_000;

/// Largest coordinate: beyond, arithmetic on doubles loses whole units.
pub(super) const COORDINATE_MAX: f64 = 1e15;

/// Corners nearer to the line between their neighbours than this part of the
/// shorter side are left out, as in MapProxy (mapproxy-features.md §5.12).
const SIMPLIFY_PART: f64 = 1e-6;

/// How many corners in a row one straight edge may replace.
const SIMPLIFY_RUN_MAX: usize = 64;

/// The part of an area's size below which its edges are not told apart: the
/// overlay reckons on a grid of that fineness.
const OVERLAY_PART: f64 = 1e-8;

/// Edges in a band of the index, on average, and the most bands.
const EDGES_PER_BAND: usize = 4;
const BANDS_MAX: usize = 16_384;

/// A ring of corners; the last one is joined to the first.
pub(super) type Ring = Vec<[f64; 2]>;

/// An area with an index of its edges. Rings do not cross; a place is inside
/// when an odd number of rings go around it.
#[derive(Debug)]
pub(super) struct Area {
    pub rings: Vec<Ring>,
    pub extent: Extent,
    /// Four corners, edges parallel to the axes.
    pub is_rectangle: bool,
    bands: Bands,
}

impl Area {
    /// From polygons that may cross themselves and each other: each is filled
    /// even-odd, then they are joined. `None` when nothing is left.
    pub fn of_polygons(polygons: &[Vec<Ring>], simplify: bool) -> Option<Area> {
        let mut whole = Vec::new();
        for rings in polygons {
            let rings: Vec<Ring> = if simplify {
                let tolerance = extent_of(rings).map_or(0.0, |e| e.width().min(e.height()) * SIMPLIFY_PART);
                rings.iter().map(|r| simplified(r, tolerance)).collect()
            } else {
                rings.clone()
            };
            whole.extend(overlay(&to_geometry(&rings), &MultiPolygon(Vec::new()), OpType::Union).0);
        }
        // Outer rings turn one way and holes the other, so counting turns
        // joins what overlaps and keeps holes that nothing else covers.
        let joined = if polygons.len() > 1 {
            MultiPolygon(whole).union_with_fill_rule(&MultiPolygon(Vec::new()), FillRule::NonZero)
        } else {
            MultiPolygon(whole)
        };
        let bounds = polygons.iter().filter_map(|rings| extent_of(rings)).reduce(|a, b| a.union(&b))?;
        Area::new(from_geometry(joined), &[bounds])
    }

    /// From rings that do not cross. Edges that lie on an edge of `exact` but
    /// for the overlay's fineness are moved onto it.
    fn new(mut rings: Vec<Ring>, exact: &[Extent]) -> Option<Area> {
        for bounds in exact {
            let near_x = bounds.width().abs() * OVERLAY_PART;
            let near_y = bounds.height().abs() * OVERLAY_PART;
            let snap = |v: &mut f64, edges: [f64; 2], near: f64| {
                if let Some(edge) = edges.into_iter().find(|e| (e - *v).abs() <= near) {
                    *v = edge;
                }
            };
            for [x, y] in rings.iter_mut().flatten() {
                snap(x, [bounds.min_x, bounds.max_x], near_x);
                snap(y, [bounds.min_y, bounds.max_y], near_y);
            }
        }
        let extent = extent_of(&rings).filter(Extent::is_valid)?;
        let is_rectangle = match &rings[..] {
            [ring] if ring.len() == 4 => (0..4).all(|i| {
                let ([ax, ay], [bx, by]) = (ring[i], ring[(i + 1) % 4]);
                (ax == bx) != (ay == by)
            }),
            _ => false,
        };
        let bands = Bands::new(&rings, &extent);
        Some(Area { rings, extent, is_rectangle, bands })
    }

    /// What all areas cover together.
    pub fn union(areas: &[&Area]) -> Option<Area> {
        let all = areas.iter().flat_map(|a| to_geometry_whole(a).0).collect();
        let joined = MultiPolygon(all).union_with_fill_rule(&MultiPolygon(Vec::new()), FillRule::NonZero);
        let bounds = areas.iter().map(|a| a.extent).reduce(|a, b| a.union(&b))?;
        Area::new(from_geometry(joined), &[bounds])
    }

    /// What both areas cover.
    pub fn intersection(&self, other: &Area) -> Option<Area> {
        let shared = overlay(&to_geometry(&self.rings), &to_geometry(&other.rings), OpType::Intersection);
        Area::new(from_geometry(shared), &[self.extent, other.extent])
    }

    /// What this area covers and the other does not.
    pub fn difference(&self, other: &Area) -> Option<Area> {
        let left = overlay(&to_geometry(&self.rings), &to_geometry(&other.rings), OpType::Difference);
        Area::new(from_geometry(left), &[self.extent])
    }

    /// The part within a rectangle.
    pub fn within(&self, limit: &Extent) -> Option<Area> {
        let limit = limit.intersection(&self.extent)?;
        // Cutting ring by ring is fast and leaves little for the overlay,
        // which then removes the seams that run along the rectangle.
        let cut: Vec<Ring> = self.rings.iter().map(|r| cut_ring(r, &limit)).filter(|r| r.len() > 2).collect();
        let whole = overlay(&to_geometry(&cut), &MultiPolygon(Vec::new()), OpType::Union);
        Area::new(from_geometry(whole), &[limit])
    }

    /// Whether the rectangle and the area have a place in common; a shared
    /// edge is enough.
    pub fn intersects(&self, rectangle: &Extent) -> bool {
        let apart = rectangle.min_x > self.extent.max_x
            || rectangle.max_x < self.extent.min_x
            || rectangle.min_y > self.extent.max_y
            || rectangle.max_y < self.extent.min_y;
        if apart {
            return false;
        }
        self.bands.edges(rectangle.min_y, rectangle.max_y).any(|e| e.meets(rectangle))
            || self.holds_point(
                (rectangle.min_x + rectangle.max_x) / 2.0,
                (rectangle.min_y + rectangle.max_y) / 2.0,
            )
    }

    /// Whether all of the rectangle lies in the area; edges may coincide.
    pub fn contains(&self, rectangle: &Extent) -> bool {
        let margin = self.extent.width().max(self.extent.height()) * OVERLAY_PART;
        if !self.extent.grow(margin).contains(rectangle) {
            return false;
        }
        // Within the overlay's fineness an edge is not known to be crossed.
        let inner = rectangle.grow(-margin.min(rectangle.width() / 4.0).min(rectangle.height() / 4.0));
        !self.bands.edges(inner.min_y, inner.max_y).any(|e| e.meets(&inner))
            && self.holds_point((inner.min_x + inner.max_x) / 2.0, (inner.min_y + inner.max_y) / 2.0)
    }

    /// Whether an odd number of edges lies east of the point.
    fn holds_point(&self, x: f64, y: f64) -> bool {
        self.bands.at(y).filter(|e| e.is_east_of(x, y)).count() % 2 == 1
    }
}

/// An edge from one corner to the next.
#[derive(Clone, Copy, Debug)]
struct Edge {
    from: [f64; 2],
    to: [f64; 2],
}

impl Edge {
    /// Whether the edge crosses or touches a rectangle.
    fn meets(&self, rectangle: &Extent) -> bool {
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        let limits = [(rectangle.min_x, rectangle.max_x), (rectangle.min_y, rectangle.max_y)];
        for (axis, (low, high)) in limits.into_iter().enumerate() {
            let (start, way) = (self.from[axis], self.to[axis] - self.from[axis]);
            if way == 0.0 {
                if start < low || start > high {
                    return false;
                }
                continue;
            }
            let (a, b) = ((low - start) / way, (high - start) / way);
            enter = enter.max(a.min(b));
            leave = leave.min(a.max(b));
        }
        enter <= leave
    }

    /// Whether a ray from the point to the east crosses the edge. The lower
    /// end belongs to the edge, the upper does not, so that a ray through a
    /// corner counts once.
    fn is_east_of(&self, x: f64, y: f64) -> bool {
        let ([ax, ay], [bx, by]) = (self.from, self.to);
        (ay <= y) != (by <= y) && x < ax + (y - ay) / (by - ay) * (bx - ax)
    }
}

/// Edges sorted into horizontal bands: each band lists the edges it touches.
#[derive(Debug)]
struct Bands {
    edges: Vec<Edge>,
    /// Where each band's part of `entries` begins; one more than there are bands.
    starts: Vec<u32>,
    entries: Vec<u32>,
    min_y: f64,
    band_height: f64,
}

impl Bands {
    fn new(rings: &[Ring], extent: &Extent) -> Bands {
        let mut edges = Vec::with_capacity(rings.iter().map(Vec::len).sum());
        for ring in rings {
            for (i, from) in ring.iter().enumerate() {
                edges.push(Edge { from: *from, to: ring[(i + 1) % ring.len()] });
            }
        }
        // How many bands of the whole height the edges would fill; long edges
        // in many bands must not make the index grow without measure.
        let filled: f64 = edges.iter().map(|e| (e.to[1] - e.from[1]).abs()).sum::<f64>() / extent.height();
        let affordable = (4 * edges.len()) as f64 / filled.max(1.0);
        let wanted = (edges.len() / EDGES_PER_BAND).min(affordable as usize);
        let count = wanted.clamp(1, BANDS_MAX);
        let mut bands = Bands {
            edges,
            starts: vec![0; count + 1],
            entries: Vec::new(),
            min_y: extent.min_y,
            band_height: extent.height() / count as f64,
        };
        let spans: Vec<(usize, usize)> = bands
            .edges
            .iter()
            .map(|e| (bands.band(e.from[1].min(e.to[1])), bands.band(e.from[1].max(e.to[1]))))
            .collect();
        for &(first, last) in &spans {
            bands.starts[first + 1..=last + 1].iter_mut().for_each(|n| *n += 1);
        }
        for band in 0..count {
            bands.starts[band + 1] += bands.starts[band];
        }
        let mut next = bands.starts.clone();
        bands.entries = vec![0; bands.starts[count] as usize];
        for (edge, &(first, last)) in spans.iter().enumerate() {
            for slot in &mut next[first..=last] {
                bands.entries[*slot as usize] = edge as u32;
                *slot += 1;
            }
        }
        bands
    }

    /// The band that holds y; the nearest where none does.
    fn band(&self, y: f64) -> usize {
        (((y - self.min_y) / self.band_height) as usize).min(self.starts.len() - 2)
    }

    fn at(&self, y: f64) -> impl Iterator<Item = &Edge> {
        let band = self.band(y);
        self.listed(band, band)
    }

    /// The edges that may lie between two heights; some more than once.
    fn edges(&self, min_y: f64, max_y: f64) -> impl Iterator<Item = &Edge> {
        self.listed(self.band(min_y), self.band(max_y))
    }

    fn listed(&self, first: usize, last: usize) -> impl Iterator<Item = &Edge> {
        let range =
            self.starts[first] as usize..(self.starts[last + 1] as usize).max(self.starts[first] as usize);
        self.entries[range].iter().map(|&e| &self.edges[e as usize])
    }
}

/// The rectangle around all rings.
fn extent_of(rings: &[Ring]) -> Option<Extent> {
    rings.iter().flatten().map(|&[x, y]| Extent::new(x, y, x, y)).reduce(|a, b| a.union(&b))
}

/// A ring without the corners that lie on the way from one kept corner to the next.
fn simplified(ring: &Ring, tolerance: f64) -> Ring {
    if ring.len() <= 4 {
        return ring.clone();
    }
    let mut kept = vec![ring[0]];
    let mut anchor = 0;
    while anchor + 1 < ring.len() {
        let mut next = anchor + 1;
        let furthest = (anchor + SIMPLIFY_RUN_MAX).min(ring.len() - 1);
        while next < furthest
            && ring[anchor + 1..=next]
                .iter()
                .all(|p| distance(p, &ring[anchor], &ring[next + 1]) <= tolerance)
        {
            next += 1;
        }
        kept.push(ring[next]);
        anchor = next;
    }
    kept
}

/// How far a point lies from the line segment between two others.
fn distance(point: &[f64; 2], a: &[f64; 2], b: &[f64; 2]) -> f64 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { ((point[0] - a[0]) * dx + (point[1] - a[1]) * dy) / length } else { 0.0 };
    let along = along.clamp(0.0, 1.0);
    (point[0] - a[0] - along * dx).hypot(point[1] - a[1] - along * dy)
}

/// A ring cut at a rectangle, edge after edge (Sutherland and Hodgman). Parts
/// that fall asunder stay joined by seams along the rectangle.
fn cut_ring(ring: &Ring, limit: &Extent) -> Ring {
    let sides =
        [(0, limit.min_x, 1.0), (0, limit.max_x, -1.0), (1, limit.min_y, 1.0), (1, limit.max_y, -1.0)];
    let mut ring = ring.clone();
    for (axis, edge, sign) in sides {
        let inside = |p: &[f64; 2]| (p[axis] - edge) * sign >= 0.0;
        let mut cut = Ring::with_capacity(ring.len() + 4);
        for (i, to) in ring.iter().enumerate() {
            let from = ring[(i + ring.len() - 1) % ring.len()];
            if inside(&from) != inside(to) {
                let part = (edge - from[axis]) / (to[axis] - from[axis]);
                let mut crossing = [from[0] + part * (to[0] - from[0]), from[1] + part * (to[1] - from[1])];
                crossing[axis] = edge;
                cut.push(crossing);
            }
            if inside(to) {
                cut.push(*to);
            }
        }
        ring = cut;
    }
    ring
}

fn to_ring(ring: &Ring) -> LineString<f64> {
    LineString(ring.iter().chain(ring.first()).map(|&[x, y]| Coord { x, y }).collect())
}

/// Rings for an even-odd overlay, where it does not matter which is a hole.
fn to_geometry(rings: &[Ring]) -> MultiPolygon<f64> {
    MultiPolygon(rings.iter().map(|r| Polygon::new(to_ring(r), Vec::new())).collect())
}

/// An area with its holes turned the other way than its outer rings.
fn to_geometry_whole(area: &Area) -> MultiPolygon<f64> {
    overlay(&to_geometry(&area.rings), &MultiPolygon(Vec::new()), OpType::Union)
}

fn overlay(one: &MultiPolygon<f64>, other: &MultiPolygon<f64>, operation: OpType) -> MultiPolygon<f64> {
    one.boolean_op_with_fill_rule(other, operation, FillRule::EvenOdd)
}

fn from_geometry(geometry: MultiPolygon<f64>) -> Vec<Ring> {
    let mut rings = Vec::new();
    for polygon in geometry {
        let (outer, holes) = polygon.into_inner();
        for line in std::iter::once(outer).chain(holes) {
            let mut ring: Ring = line.0.into_iter().map(|c| [c.x, c.y]).collect();
            if ring.len() > 1 && ring.first() == ring.last() {
                ring.pop();
            }
            if ring.len() > 2 {
                rings.push(ring);
            }
        }
    }
    rings
}
