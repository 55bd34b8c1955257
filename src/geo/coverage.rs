//! A coverage: the area in which a source or cache has something to say.
//!
//! A rectangle, or an area of polygons. Questions are asked with a rectangle
//! in any coordinate system; its envelope in the coverage's own system is what
//! is compared, as in MapProxy.

use std::sync::Arc;

use super::area::{Area, CORNERS_MAX, Ring};
use super::extent::{Extent, WholeEdges};
use super::polygon_text::Polygons;
use super::srs::Srs;

/// Why text is no coverage.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct CoverageError(pub String);

/// An area in one coordinate system. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Coverage {
    pub srs: Srs,
    pub extent: Extent,
    /// Whether pixels outside are cut away (`clip: true`).
    pub clip: bool,
    /// How many geometries in the text were no polygons and left aside.
    pub ignored: usize,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// The extent itself, and which of its edges (west, south, east, north) a
    /// configuration names in whole numbers.
    Rectangle {
        whole: WholeEdges,
    },
    Area(Arc<Area>),
    /// Nothing: what has no image in a system, or a list without tiles.
    Empty,
}

impl Shape {
    const RECTANGLE: Shape = Shape::Rectangle { whole: [false; 4] };
}

impl Coverage {
    /// A rectangle.
    pub fn from_extent(srs: Srs, extent: Extent, clip: bool) -> Coverage {
        Coverage { srs, extent, clip, ignored: 0, shape: Shape::RECTANGLE }
    }

    /// A rectangle of which some edges (west, south, east, north) were written
    /// as whole numbers.
    pub fn from_written(srs: Srs, extent: Extent, whole: WholeEdges, clip: bool) -> Coverage {
        Coverage { shape: Shape::Rectangle { whole }, ..Coverage::from_extent(srs, extent, clip) }
    }

    /// Which edges of its extent in a system were written as whole numbers.
    pub fn whole_edges(&self, srs: &Srs) -> WholeEdges {
        match self.shape {
            Shape::Rectangle { whole } if *srs == self.srs => whole,
            _ => [false; 4],
        }
    }

    /// No place at all.
    pub fn nothing(srs: Srs, clip: bool) -> Coverage {
        let extent = Extent::new(0.0, 0.0, 0.0, 0.0);
        Coverage { srs, extent, clip, ignored: 0, shape: Shape::Empty }
    }

    /// Many rectangles at once, such as the tiles of an expire list.
    pub fn from_extents(extents: &[Extent], srs: Srs, clip: bool) -> Result<Coverage, CoverageError> {
        if extents.len() > CORNERS_MAX / 4 {
            return Err(CoverageError(format!("more than {} rectangles", CORNERS_MAX / 4)));
        }
        let polygons: Vec<Vec<Ring>> = extents.iter().map(|e| vec![corners(e)]).collect();
        Self::from_area(Area::of_polygons(&polygons, false), srs, clip, "no polygons")
    }

    /// From the text of a WKT polygon file (one geometry a line).
    pub fn from_wkt(text: &str, srs: Srs, clip: bool) -> Result<Coverage, CoverageError> {
        Self::from_polygons(Polygons::from_wkt(text)?, srs, clip)
    }

    /// From GeoJSON: the polygons of a collection, a feature or a geometry.
    pub fn from_geojson(text: &str, srs: Srs, clip: bool) -> Result<Coverage, CoverageError> {
        Self::from_polygons(Polygons::from_geojson(text)?, srs, clip)
    }

    fn from_polygons(polygons: Polygons, srs: Srs, clip: bool) -> Result<Coverage, CoverageError> {
        let area = Area::of_polygons(&polygons.list, true);
        let coverage = Self::from_area(area, srs, clip, "no polygons")?;
        Ok(Coverage { ignored: polygons.ignored, ..coverage })
    }

    fn from_area(area: Option<Area>, srs: Srs, clip: bool, none: &str) -> Result<Coverage, CoverageError> {
        let area = area.ok_or_else(|| CoverageError(none.to_string()))?;
        Ok(Coverage { srs, extent: area.extent, clip, ignored: 0, shape: Shape::Area(Arc::new(area)) })
    }

    /// The same area, cutting pixels away or not.
    pub fn with_clip(self, clip: bool) -> Coverage {
        Coverage { clip, ..self }
    }

    /// In the system of the first part.
    pub fn union(parts: &[Coverage], clip: bool) -> Result<Coverage, CoverageError> {
        let (srs, areas) = areas(parts)?;
        let areas: Vec<&Area> = areas.iter().flatten().map(Arc::as_ref).collect();
        Self::from_area(Area::union(&areas), srs, clip, "the union is empty")
    }

    /// What all parts cover, in the system of the first.
    pub fn intersection_of(parts: &[Coverage], clip: bool) -> Result<Coverage, CoverageError> {
        let (srs, areas) = areas(parts)?;
        let shared = areas.into_iter().reduce(|a, b| a?.intersection(&*b?).map(Arc::new)).flatten();
        Self::from_shared(shared, srs, clip, "intersection did not return any geometry")
    }

    /// The first part without the others.
    pub fn difference(parts: &[Coverage], clip: bool) -> Result<Coverage, CoverageError> {
        let (srs, areas) = areas(parts)?;
        let mut areas = areas.into_iter();
        let first = areas.next().flatten();
        let left = areas.flatten().fold(first, |left, other| left?.difference(&other).map(Arc::new));
        Self::from_shared(left, srs, clip, "diff did not return any geometry")
    }

    fn from_shared(
        area: Option<Arc<Area>>,
        srs: Srs,
        clip: bool,
        none: &str,
    ) -> Result<Coverage, CoverageError> {
        let area = area.ok_or_else(|| CoverageError(none.to_string()))?;
        Ok(Coverage { srs, extent: area.extent, clip, ignored: 0, shape: Shape::Area(area) })
    }

    /// Whether the area and a rectangle have something in common. Edges that
    /// only touch count for polygons and not for a rectangle, as in MapProxy.
    pub fn intersects(&self, extent: &Extent, srs: &Srs) -> bool {
        let Some(extent) = srs.transform_extent(&self.srs, extent) else { return false };
        match &self.shape {
            Shape::Rectangle { .. } => self.extent.intersects(&extent),
            Shape::Area(area) => area.intersects(&extent),
            Shape::Empty => false,
        }
    }

    /// Whether the area covers the whole rectangle; edges may coincide.
    pub fn contains(&self, extent: &Extent, srs: &Srs) -> bool {
        let Some(extent) = srs.transform_extent(&self.srs, extent) else { return false };
        match &self.shape {
            Shape::Rectangle { .. } => {
                // A hair's breadth, so that rounding does not decide.
                let (x, y) = (self.extent.width() / 1e13, self.extent.height() / 1e13);
                let own = &self.extent;
                Extent::new(own.min_x - x, own.min_y - y, own.max_x + x, own.max_y + y).contains(&extent)
            }
            Shape::Area(area) => area.contains(&extent),
            Shape::Empty => false,
        }
    }

    /// Whether a point lies in the area or on its edge.
    pub fn contains_point(&self, point: [f64; 2], srs: &Srs) -> bool {
        let mut points = [point];
        srs.transform_points(&self.srs, &mut points);
        let [x, y] = points[0];
        if !x.is_finite() || !y.is_finite() {
            return false;
        }
        let near = self.extent.width().max(self.extent.height()) * 1e-12;
        let around = Extent::new(x, y, x, y).grow(near);
        match &self.shape {
            Shape::Rectangle { .. } => self.extent.intersects(&around),
            Shape::Area(area) => area.intersects(&around),
            Shape::Empty => false,
        }
    }

    /// The coverage in another system. A rectangle stays one (the envelope of
    /// its image); polygons are carried corner by corner. What has no image there is left out; a coverage
    /// without any meets nothing.
    pub fn transform_to(&self, srs: &Srs) -> Coverage {
        if *srs == self.srs {
            return Coverage { srs: srs.clone(), ..self.clone() };
        }
        let carried = match &self.shape {
            Shape::Rectangle { .. } => {
                self.srs.transform_extent(srs, &self.extent).map(|extent| (extent, Shape::RECTANGLE))
            }
            Shape::Area(area) => {
                carry(area, &self.srs, srs).map(|area| (area.extent, Shape::Area(Arc::new(area))))
            }
            Shape::Empty => None,
        };
        let (extent, shape) = carried.unwrap_or((Extent::new(0.0, 0.0, 0.0, 0.0), Shape::Empty));
        Coverage { srs: srs.clone(), extent, shape, ..*self }
    }

    /// The coverage within an extent; `None` when nothing is left.
    pub fn limit_to(&self, extent: &Extent, srs: &Srs) -> Option<Coverage> {
        let limit = srs.transform_extent(&self.srs, extent)?;
        let srs = self.srs.clone();
        match &self.shape {
            Shape::Rectangle { .. } => Some(Coverage {
                srs,
                extent: self.extent.intersection(&limit)?,
                shape: Shape::RECTANGLE,
                ..*self
            }),
            Shape::Area(area) if area.contains(&limit) => {
                Some(Coverage { srs, extent: limit, shape: Shape::RECTANGLE, ..*self })
            }
            Shape::Area(area) => {
                let part = area.within(&limit)?;
                Some(Coverage { srs, extent: part.extent, shape: Shape::Area(Arc::new(part)), ..*self })
            }
            Shape::Empty => None,
        }
    }

    /// Whether it is a plain rectangle.
    pub fn is_rectangle(&self) -> bool {
        match &self.shape {
            Shape::Rectangle { .. } => true,
            Shape::Area(area) => area.is_rectangle,
            Shape::Empty => false,
        }
    }

    /// Whether nothing is covered at all.
    pub fn is_empty(&self) -> bool {
        matches!(self.shape, Shape::Empty)
    }

    /// The rings of all polygons in map units of `srs`, even-odd filled. The
    /// first corner is not repeated at the end.
    pub fn rings(&self) -> Vec<Vec<[f64; 2]>> {
        match &self.shape {
            Shape::Rectangle { .. } => vec![corners(&self.extent)],
            Shape::Area(area) => area.rings.clone(),
            Shape::Empty => Vec::new(),
        }
    }

    /// The area; of a rectangle, too.
    fn area(&self) -> Option<Arc<Area>> {
        match &self.shape {
            Shape::Rectangle { .. } => Area::of_polygons(&[vec![corners(&self.extent)]], false).map(Arc::new),
            Shape::Area(area) => Some(area.clone()),
            Shape::Empty => None,
        }
    }
}

fn corners(extent: &Extent) -> Ring {
    let Extent { min_x, min_y, max_x, max_y } = *extent;
    vec![[min_x, min_y], [max_x, min_y], [max_x, max_y], [min_x, max_y]]
}

/// The parts of a combination; `None` for one that covers nothing.
type Areas = Vec<Option<Arc<Area>>>;

/// The areas of all parts in the first one's system, and that system.
fn areas(parts: &[Coverage]) -> Result<(Srs, Areas), CoverageError> {
    let first = parts.first().ok_or_else(|| CoverageError("no coverages to combine".into()))?;
    let srs = first.srs.clone();
    let areas = parts.iter().map(|p| p.transform_to(&srs).area()).collect();
    Ok((srs, areas))
}

/// Carries an area to another system, corner by corner: between two corners
/// the edge is straight in whatever system is drawn in. So does MapProxy, and
/// operators have drawn their coverages for what they saw there.
fn carry(area: &Area, from: &Srs, to: &Srs) -> Option<Area> {
    let rings = area.rings.iter().map(|ring| {
        let mut images = ring.clone();
        from.transform_points(to, &mut images);
        images.retain(|p| p[0].is_finite() && p[1].is_finite());
        images
    });
    Area::of_polygons(&[rings.filter(|r| r.len() > 2).collect()], false)
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
