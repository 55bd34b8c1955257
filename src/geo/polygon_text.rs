//! Polygons out of WKT and GeoJSON text: only their corners, x before y. What
//! they mean is for [`super::coverage`].

use std::str::FromStr;

use geojson::{GeoJson, GeometryValue, Position};
use wkt::Wkt;

use super::area::{COORDINATE_MAX, CORNERS_MAX, Ring};
use super::coverage::CoverageError;

/// Polygons, and how many geometries of other kinds were left aside.
#[derive(Debug, Default)]
pub(super) struct Polygons {
    pub list: Vec<Vec<Ring>>,
    pub ignored: usize,
    corners: usize,
}

/// Kinds of geometry that may stand in a WKT file and mean no area.
const OTHER_KINDS: [&str; 5] = ["POINT", "LINESTRING", "MULTIPOINT", "MULTILINESTRING", "GEOMETRYCOLLECTION"];

fn error<T>(text: impl Into<String>) -> Result<T, CoverageError> {
    Err(CoverageError(text.into()))
}

impl Polygons {
    /// One WKT geometry a line; empty lines and a byte order mark are allowed.
    pub fn from_wkt(text: &str) -> Result<Polygons, CoverageError> {
        check_size(text)?;
        let mut found = Polygons::default();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let word: String = line.chars().take_while(char::is_ascii_alphabetic).collect();
            let word = word.to_ascii_uppercase();
            // Others are not parsed at all: collections could nest without end.
            if OTHER_KINDS.contains(&word.as_str()) {
                found.ignored += 1;
                continue;
            }
            if !matches!(word.as_str(), "POLYGON" | "MULTIPOLYGON") {
                return error(format!("line {}: not WKT: {}", number + 1, start_of(line)));
            }
            let geometry = Wkt::<f64>::from_str(line)
                .map_err(|e| CoverageError(format!("line {}: {e}: {}", number + 1, start_of(line))))?;
            let polygons = match geometry {
                Wkt::Polygon(polygon) => vec![polygon],
                Wkt::MultiPolygon(many) => many.into_inner().0,
                _ => Vec::new(),
            };
            for polygon in polygons {
                let rings = polygon.rings().iter().map(|r| r.coords().iter().map(|c| [c.x, c.y]).collect());
                found.add(rings.collect())?;
            }
        }
        Ok(found)
    }

    /// A FeatureCollection, a Feature, a Polygon or a MultiPolygon.
    pub fn from_geojson(text: &str) -> Result<Polygons, CoverageError> {
        check_size(text)?;
        let document = GeoJson::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|e| CoverageError(format!("not GeoJSON: {e}")))?;
        let geometries = match document {
            GeoJson::FeatureCollection(all) => all.features.into_iter().filter_map(|f| f.geometry).collect(),
            GeoJson::Feature(feature) => feature.geometry.into_iter().collect(),
            GeoJson::Geometry(geometry) => vec![geometry],
        };
        let mut found = Polygons::default();
        for geometry in geometries {
            match geometry.value {
                GeometryValue::Polygon { coordinates } => found.add(corners(&coordinates)?)?,
                GeometryValue::MultiPolygon { coordinates } => {
                    for polygon in coordinates {
                        found.add(corners(&polygon)?)?;
                    }
                }
                _ => found.ignored += 1,
            }
        }
        Ok(found)
    }

    fn add(&mut self, rings: Vec<Ring>) -> Result<(), CoverageError> {
        self.corners += rings.iter().map(Vec::len).sum::<usize>();
        if self.corners > CORNERS_MAX {
            return error(format!("more than {CORNERS_MAX} corners"));
        }
        if let Some(bad) = rings.iter().flatten().flatten().find(|v| v.is_nan() || v.abs() > COORDINATE_MAX) {
            return error(format!("{bad:e} is no coordinate"));
        }
        if !rings.is_empty() {
            self.list.push(rings);
        }
        Ok(())
    }
}

/// Refuses text with far more numbers than an area may have, before it is parsed.
fn check_size(text: &str) -> Result<(), CoverageError> {
    // A corner brings at most one comma in WKT, three in GeoJSON (with height).
    if text.bytes().filter(|b| *b == b',').count() > 4 * CORNERS_MAX {
        return error(format!("more than {CORNERS_MAX} corners"));
    }
    Ok(())
}

fn start_of(line: &str) -> String {
    line.chars().take(40).collect()
}

fn corners(rings: &[Vec<Position>]) -> Result<Vec<Ring>, CoverageError> {
    let corner = |p: &Position| match p.as_slice() {
        [x, y, ..] => Ok([*x, *y]),
        _ => error("a position needs two numbers"),
    };
    rings.iter().map(|ring| ring.iter().map(corner).collect()).collect()
}
