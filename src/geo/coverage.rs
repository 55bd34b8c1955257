//! A coverage: the area in which a source or cache has something to say.

use super::extent::Extent;
use super::srs::Srs;

/// Why text is no coverage.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CoverageError(pub String);

/// An area in one coordinate system. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Coverage {
    pub srs: Srs,
    pub extent: Extent,
    /// Whether pixels outside are cut away (`clip: true`).
    pub clip: bool,
}

impl Coverage {
    pub fn from_extent(srs: Srs, extent: Extent, clip: bool) -> Coverage {
        Coverage { srs, extent, clip }
    }
    /// From the text of a WKT polygon file (one geometry a line).
    pub fn from_wkt(_text: &str, _srs: Srs, _clip: bool) -> Result<Coverage, CoverageError> {
        todo!()
    }
    pub fn from_geojson(_text: &str, _srs: Srs, _clip: bool) -> Result<Coverage, CoverageError> {
        todo!()
    }
    /// In the system of the first part.
    pub fn union(_parts: &[Coverage], _clip: bool) -> Result<Coverage, CoverageError> {
        todo!()
    }
    pub fn intersection_of(_parts: &[Coverage], _clip: bool) -> Result<Coverage, CoverageError> {
        todo!()
    }
    /// The first part without the others.
    pub fn difference(_parts: &[Coverage], _clip: bool) -> Result<Coverage, CoverageError> {
        todo!()
    }
    pub fn intersects(&self, _extent: &Extent, _srs: &Srs) -> bool {
        todo!()
    }
    pub fn contains(&self, _extent: &Extent, _srs: &Srs) -> bool {
        todo!()
    }
    /// The coverage in another system.
    pub fn transform_to(&self, _srs: &Srs) -> Coverage {
        todo!()
    }
    /// The coverage within an extent; `None` when nothing is left.
    pub fn limit_to(&self, _extent: &Extent, _srs: &Srs) -> Option<Coverage> {
        todo!()
    }
    /// Whether it is a plain rectangle.
    pub fn is_rectangle(&self) -> bool {
        todo!()
    }
    /// The rings of all polygons in map units of `srs`, even-odd filled.
    pub fn rings(&self) -> Vec<Vec<[f64; 2]>> {
        todo!()
    }
}
