//! A coordinate system by its code, and positions carried from one to another.

use std::sync::Arc;

use super::extent::Extent;

/// Why a coordinate system cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SrsError {
    #[error("unknown coordinate system {code}: {reason}")]
    Unknown { code: String, reason: String },
}

/// A coordinate system. Cheap to clone. Two are equal when they are the same
/// projection (EPSG:900913, 3857, 102100 and 102113 are); the code as written
/// stays visible through [`Srs::code`].
#[derive(Clone, Debug)]
pub struct Srs(Arc<Definition>);

#[derive(Debug)]
struct Definition {
    code: String,
}

impl Srs {
    /// Looks the code up (`EPSG:25832`, `CRS:84`, any authority that PROJ knows).
    pub fn parse(_code: &str) -> Result<Srs, SrsError> {
        todo!()
    }

    /// The code as written in the configuration or the request, in upper case.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Longitude and latitude in degrees rather than lengths on a plane.
    pub fn is_geographic(&self) -> bool {
        todo!()
    }

    /// Whether the authority's first axis points north (WMS 1.3.0, WMTS).
    pub fn is_axis_order_ne(&self) -> bool {
        todo!()
    }

    /// Metres in one unit of this system; for degrees on the equator,
    /// 111319.4907932736 (MapProxy's METERS_PER_DEGREE), for feet 0.3048….
    pub fn meters_per_unit(&self) -> f64 {
        todo!()
    }

    /// Carries x/y positions to `target`, in place. A position that has no
    /// image becomes infinite. Order is always x (east), y (north).
    pub fn transform_points(&self, _target: &Srs, _points: &mut [[f64; 2]]) {
        todo!()
    }

    /// The envelope of the transformed outline, as MapProxy samples it
    /// (mapproxy-features.md §3.6: 16 points around the whole outline).
    /// `None` when no sampled position has an image.
    pub fn transform_extent(&self, _target: &Srs, _extent: &Extent) -> Option<Extent> {
        todo!()
    }
}

impl PartialEq for Srs {
    fn eq(&self, other: &Self) -> bool {
        self.0.code == other.0.code
    }
}
