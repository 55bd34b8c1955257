//! A coordinate system by its code, and positions carried from one to another.
//!
//! Definitions come from libproj (see [`super::proj`]), those of web mercator
//! and WGS 84 from here, with the transformation between the two in closed
//! form ([`super::mercator`]). Codes arrive from clients, so what is kept in
//! memory about them is bounded.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::extent::Extent;
use super::{mercator, proj};

/// Why a coordinate system cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SrsError {
    #[error("unknown coordinate system {code}: {reason}")]
    Unknown { code: String, reason: String },
}

/// Longest code that is looked up, bytes.
pub const CODE_LEN_MAX: usize = 80;

/// Most definitions remembered, and apart from them most codes known to be
/// unknown. EPSG defines some 7,000 systems; a client that walks through them
/// only makes the memory start afresh.
pub const DEFINITIONS_MAX: usize = 1024;

/// Metres in a degree on the equator: 2π · 6378137 / 360.
pub const METERS_PER_DEGREE: f64 = 111319.4907932736;

/// How many positions around the outline stand for an extent.
const OUTLINE_POINTS: usize = 16;

/// A coordinate system. Cheap to clone. Two are equal when they are the same
/// projection (EPSG:900913, 3857, 102100 and 102113 are; so are EPSG:4326 and
/// CRS:84, since positions here are always x before y); the code as written
/// stays visible through [`Srs::code`].
#[derive(Clone, Debug)]
pub struct Srs(Arc<Definition>);

#[derive(Debug)]
struct Definition {
    code: String,
    kind: Kind,
    /// The name under which the engine knows the projection: `AUTHORITY:CODE`.
    key: String,
    traits: Traits,
}

/// Which transformations have a closed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    WebMercator,
    Wgs84,
    Other,
}

/// What there is to know about a system beside its transformations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Traits {
    pub geographic: bool,
    /// The authority's first axis points north.
    pub north_first: bool,
    pub meters_per_unit: f64,
    pub area_of_use: Option<Extent>,
}

impl Srs {
    /// Looks the code up (`EPSG:25832`, `CRS:84`, any authority that PROJ
    /// knows, an EPSG number alone, or OGC's URN and URL of one). Cheap when
    /// repeated. The case of letters does not matter.
    pub fn parse(code: &str) -> Result<Srs, SrsError> {
        if code.len() > CODE_LEN_MAX {
            let code = code.chars().take(24).collect::<String>() + "…";
            return Err(SrsError::Unknown { code, reason: format!("longer than {CODE_LEN_MAX} bytes") });
        }
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(code) {
            return found;
        }
        drop(known);
        let found = define(&normalize(code));
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(code, &found);
        found
    }

    /// A plane in metres (degrees for EPSG:4326) under any code, so that tests of
    /// grids need no libproj. It has no transformations.
    #[cfg(test)]
    pub(super) fn plane(code: &str) -> Srs {
        define(code).unwrap_or_else(|_| {
            let traits =
                Traits { geographic: false, north_first: false, meters_per_unit: 1.0, area_of_use: None };
            let (code, key) = (code.to_string(), code.to_string());
            Srs(Arc::new(Definition { code, kind: Kind::Other, key, traits }))
        })
    }

    /// The code as written in the configuration or the request, in upper case;
    /// URNs and URLs are given as `AUTHORITY:CODE`.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Longitude and latitude in degrees rather than lengths on a plane.
    pub fn is_geographic(&self) -> bool {
        self.0.traits.geographic
    }

    /// Whether the authority's first axis points north (WMS 1.3.0, WMTS).
    pub fn is_axis_order_ne(&self) -> bool {
        self.0.traits.north_first
    }

    /// Metres in one unit of this system; for degrees on the equator,
    /// 111319.4907932736 (MapProxy's METERS_PER_DEGREE), for feet 0.3048….
    pub fn meters_per_unit(&self) -> f64 {
        self.0.traits.meters_per_unit
    }

    /// Where the authority means the system to be used: longitude and latitude
    /// in degrees. East is more than 180 where the area crosses the date line.
    pub fn area_of_use(&self) -> Option<Extent> {
        self.0.traits.area_of_use
    }

    /// Whether the system lies on another body than the Earth. Only the codes
    /// of the International Astronomical Union do.
    pub fn is_beyond_earth(&self) -> bool {
        self.0.code.starts_with("IAU")
    }

    /// The geographic system of the body that this one maps: EPSG:4326 for the
    /// Earth, whatever the datum, as in MapProxy.
    ///
    /// # Errors
    /// EPSG:4326 itself is not known.
    pub fn geographic(&self) -> Result<Srs, SrsError> {
        let below = self
            .is_beyond_earth()
            .then(|| self.0.key.rsplit_once(':').and_then(|(a, c)| proj::body(a, c)))
            .flatten();
        match below.map(|(code, _)| Srs::parse(&code)) {
            Some(Ok(srs)) => Ok(srs),
            _ => Srs::parse("EPSG:4326"),
        }
    }

    /// Metres of a degree on the equator of the body that this system maps.
    pub fn meters_per_degree(&self) -> f64 {
        const EARTH_AXIS_M: f64 = 6_378_137.0;
        let body = match self.0.kind {
            Kind::Other => self.0.key.rsplit_once(':').and_then(|(a, c)| proj::body(a, c)),
            _ => None,
        };
        body.map_or(EARTH_AXIS_M, |(_, axis_m)| axis_m) * 2.0 * std::f64::consts::PI / 360.0
    }

    /// Carries x/y positions to `target`, in place. A position that has no
    /// image becomes infinite. Order is always x (east), y (north).
    pub fn transform_points(&self, target: &Srs, points: &mut [[f64; 2]]) {
        if self == target {
            return;
        }
        match (self.0.kind, target.0.kind) {
            (Kind::Wgs84, Kind::WebMercator) => points.iter_mut().for_each(mercator::from_degrees),
            (Kind::WebMercator, Kind::Wgs84) => points.iter_mut().for_each(mercator::to_degrees),
            _ => proj::transform(&self.0.key, &target.0.key, points),
        }
    }

    /// The envelope of the transformed outline, as MapProxy samples it
    /// (mapproxy-features.md §3.6: 16 points around the whole outline).
    /// `None` when no sampled position has an image.
    pub fn transform_extent(&self, target: &Srs, extent: &Extent) -> Option<Extent> {
        if self == target {
            return Some(*extent);
        }
        let mut points = outline(extent);
        self.transform_points(target, &mut points);
        let mut image = Extent::new(f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
        for [x, y] in points.into_iter().filter(|[x, y]| x.is_finite() && y.is_finite()) {
            image = image.union(&Extent::new(x, y, x, y));
        }
        if image.min_x > image.max_x {
            return None;
        }
        // Mercator ends short of the poles; an extent that reaches them
        // means the whole square. MapProxy does so for these two names only.
        if self.code() == "EPSG:4326" && matches!(target.code(), "EPSG:3857" | "EPSG:900913") {
            mercator::clamp_to_square(extent, &mut image);
        }
        Some(image)
    }
}

impl PartialEq for Srs {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.key == other.0.key
    }
}

/// Positions around an extent's outline, from the south-west on.
fn outline(extent: &Extent) -> [[f64; 2]; OUTLINE_POINTS] {
    const PER_EDGE: usize = OUTLINE_POINTS / 4;
    let (west, east) = (extent.min_x.min(extent.max_x), extent.min_x.max(extent.max_x));
    let (south, north) = (extent.min_y.min(extent.max_y), extent.min_y.max(extent.max_y));
    let step_x = extent.width() / PER_EDGE as f64;
    let step_y = extent.height() / PER_EDGE as f64;
    std::array::from_fn(|i| {
        let along = (i % PER_EDGE) as f64;
        let back = (PER_EDGE - i % PER_EDGE) as f64;
        match i / PER_EDGE {
            0 => [west + along * step_x, south],
            1 if along == 0.0 => [west + PER_EDGE as f64 * step_x, south],
            1 => [east, south + along * step_y],
            2 => [west + back * step_x, north],
            _ if along == 0.0 => [west, north],
            _ => [west, south + back * step_y],
        }
    })
}

/// Definitions by the text they were asked for with.
#[derive(Default)]
struct Known {
    systems: HashMap<String, Srs>,
    unknown: HashMap<String, SrsError>,
}

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

impl Known {
    fn get(&self, code: &str) -> Option<Result<Srs, SrsError>> {
        match self.systems.get(code) {
            Some(srs) => Some(Ok(srs.clone())),
            None => self.unknown.get(code).map(|e| Err(e.clone())),
        }
    }

    fn insert(&mut self, code: &str, found: &Result<Srs, SrsError>) {
        match found {
            Ok(srs) => {
                if self.systems.len() >= DEFINITIONS_MAX {
                    self.systems.clear();
                }
                self.systems.insert(code.to_string(), srs.clone());
            }
            Err(error) => {
                if self.unknown.len() >= DEFINITIONS_MAX {
                    self.unknown.clear();
                }
                self.unknown.insert(code.to_string(), error.clone());
            }
        }
    }
}

/// A code as `AUTHORITY:CODE` in upper case. A number alone is EPSG's; the
/// version in a URN or URL says nothing but for the IAU, where it is part of
/// the authority's name.
fn normalize(code: &str) -> String {
    let upper = code.trim().to_ascii_uppercase();
    let parts: Option<Vec<&str>> = if let Some(rest) = upper.strip_prefix("URN:OGC:DEF:CRS:") {
        Some(rest.split(':').collect())
    } else {
        ["HTTP://WWW.OPENGIS.NET/DEF/CRS/", "HTTPS://WWW.OPENGIS.NET/DEF/CRS/"]
            .iter()
            .find_map(|prefix| upper.strip_prefix(prefix))
            .map(|rest| rest.trim_end_matches('/').split('/').collect())
    };
    match parts.as_deref() {
        Some(["IAU", version, code]) => format!("IAU_{version}:{code}"),
        Some([authority, _, code]) => format!("{authority}:{code}"),
        _ if upper.contains(':') => upper,
        _ => format!("EPSG:{upper}"),
    }
}

/// Builds the definition of a code in normal form.
fn define(code: &str) -> Result<Srs, SrsError> {
    let unknown = |reason: String| SrsError::Unknown { code: code.to_string(), reason };
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    let (authority, number) = code
        .rsplit_once(':')
        .filter(|(authority, number)| plain(authority) && plain(number))
        .ok_or_else(|| unknown("a code is AUTHORITY:CODE, such as EPSG:3857".into()))?;
    let world = |south: f64, north: f64| Some(Extent::new(-180.0, south, 180.0, north));
    let (kind, key, traits) = match code {
        "EPSG:3857" | "EPSG:900913" | "EPSG:102100" | "EPSG:102113" => {
            let area_of_use = world(-85.06, 85.06);
            let traits = Traits { geographic: false, north_first: false, meters_per_unit: 1.0, area_of_use };
            (Kind::WebMercator, "EPSG:3857".to_string(), traits)
        }
        "EPSG:4326" | "CRS:84" | "OGC:CRS84" => {
            let traits = Traits {
                geographic: true,
                north_first: code == "EPSG:4326",
                meters_per_unit: METERS_PER_DEGREE,
                area_of_use: world(-90.0, 90.0),
            };
            (Kind::Wgs84, "EPSG:4326".to_string(), traits)
        }
        _ => (Kind::Other, code.to_string(), proj::describe(authority, number).map_err(unknown)?),
    };
    Ok(Srs(Arc::new(Definition { code: code.to_string(), kind, key, traits })))
}

#[cfg(test)]
#[path = "srs_tests.rs"]
mod tests;
