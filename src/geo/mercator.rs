//! Longitude and latitude on WGS 84 ⇄ web mercator (EPSG:3857), in closed form.
//!
//! Equal to PROJ within a micrometre, also where PROJ wraps a longitude around
//! or finds no image: at and beyond the date line, the poles and the edges of
//! the plane.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use super::extent::Extent;
use super::grid::MERCATOR_HALF_WIDTH_M;

/// Radius of the sphere, metres: the ellipsoid's semi-major axis.
const RADIUS_M: f64 = 6_378_137.0;

/// Longitudes farther out than this have no image, radians (PROJ's limit).
const LONGITUDE_MAX_RAD: f64 = 10.0;

/// How far beyond a pole still counts as the pole, radians (PROJ's tolerance).
const POLE_TOLERANCE_RAD: f64 = 1e-12;

/// The latitude at which MapProxy takes an extent to reach the square's edge.
const EDGE_LATITUDE_DEG: f64 = 85.06;

const NO_IMAGE: [f64; 2] = [f64::INFINITY, f64::INFINITY];

/// Degrees → metres, in place; no image becomes infinite.
pub(super) fn from_degrees(point: &mut [f64; 2]) {
    let longitude = point[0].to_radians();
    let latitude = point[1].to_radians();
    let known = longitude.abs() <= LONGITUDE_MAX_RAD && latitude.abs() - FRAC_PI_2 <= POLE_TOLERANCE_RAD;
    if !known {
        *point = NO_IMAGE;
        return;
    }
    let latitude = latitude.clamp(-FRAC_PI_2, FRAC_PI_2);
    *point = [RADIUS_M * wrap(longitude), RADIUS_M * latitude.tan().asinh()];
}

/// Metres → degrees, in place; no image becomes infinite.
pub(super) fn to_degrees(point: &mut [f64; 2]) {
    if !(point[0].is_finite() && point[1].is_finite()) {
        *point = NO_IMAGE;
        return;
    }
    // Multiplied as PROJ does: the square's edge becomes 180 degrees exactly.
    let longitude = wrap(point[0] * (1.0 / RADIUS_M));
    let latitude = (point[1] * (1.0 / RADIUS_M)).sinh().atan();
    *point = [longitude.to_degrees(), latitude.to_degrees()];
}

/// A longitude within ±π. A little more is left as it is, so that the date
/// line does not jump to the other side.
fn wrap(longitude: f64) -> f64 {
    if longitude.abs() < PI + 1e-12 {
        return longitude;
    }
    let turned = longitude + PI;
    turned - TAU * (turned / TAU).floor() - PI
}

/// Moves the edges of a transformed extent to the square's, where the extent
/// in degrees reached the world's edge.
pub(super) fn clamp_to_square(degrees: &Extent, image: &mut Extent) {
    if degrees.min_x <= -180.0 {
        image.min_x = -MERCATOR_HALF_WIDTH_M;
    }
    if degrees.min_y <= -EDGE_LATITUDE_DEG {
        image.min_y = -MERCATOR_HALF_WIDTH_M;
    }
    if degrees.max_x >= 180.0 {
        image.max_x = MERCATOR_HALF_WIDTH_M;
    }
    if degrees.max_y >= EDGE_LATITUDE_DEG {
        image.max_y = MERCATOR_HALF_WIDTH_M;
    }
}
