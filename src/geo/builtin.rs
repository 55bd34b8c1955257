//! The coordinate systems that are served where no libproj is found: a list
//! whose positions, made by `proj4rs` from the definitions of
//! `crs-definitions`, were tested to lie within a millimetre of PROJ's in their
//! whole area of use. Any other system is refused by name, because being metres
//! off in silence is worse.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use proj4rs::Proj;
use proj4rs::transform::{Transform, TransformClosure};

use super::extent::Extent;
use super::srs::{METERS_PER_DEGREE, Traits};

/// A listed system. Axis order and area are written here, since proj strings
/// know neither.
struct System {
    code: u16,
    north_first: bool,
    /// West, south, east, north in degrees.
    area: [f64; 4],
}

const fn system(code: u16, north_first: bool, area: [f64; 4]) -> System {
    System { code, north_first, area }
}

/// National and continental systems; those in rows of zones are in [`find`].
#[rustfmt::skip]
const SYSTEMS: &[System] = &[
    system(2056, false, [5.96, 45.82, 10.49, 47.81]),
    system(2154, false, [-9.86, 41.15, 10.38, 51.56]),
    system(2180, true, [14.14, 49.0, 24.15, 55.93]),
    system(2193, true, [166.37, -47.33, 178.63, -34.1]),
    system(2451, true, [138.4, 29.31, 141.11, 37.98]),
    system(3005, false, [-139.04, 48.25, -114.08, 60.01]),
    system(3006, true, [10.03, 54.96, 24.17, 69.07]),
    system(3031, true, [-180.0, -90.0, 180.0, -60.0]),
    system(3034, true, [-35.58, 24.6, 44.83, 84.73]),
    system(3043, true, [0.0, 37.0, 6.01, 82.45]),
    system(3044, true, [6.0, 38.76, 12.01, 84.33]),
    system(3045, true, [12.0, 46.4, 18.01, 84.42]),
    system(3046, true, [17.99, 58.84, 24.01, 84.54]),
    system(3059, true, [19.06, 55.67, 28.24, 58.09]),
    system(3067, false, [19.08, 58.84, 31.59, 70.09]),
    system(3301, true, [20.37, 57.52, 28.2, 60.0]),
    system(3346, true, [19.02, 53.89, 26.82, 56.45]),
    system(3347, false, [-141.01, 38.21, -40.73, 86.46]),
    system(3395, false, [-180.0, -80.0, 180.0, 84.0]),
    system(3413, false, [-180.0, 60.0, 180.0, 90.0]),
    system(3414, true, [103.59, 1.13, 104.07, 1.47]),
    system(3416, true, [9.53, 46.4, 17.17, 49.02]),
    system(3571, false, [-180.0, 45.0, 180.0, 90.0]),
    system(3572, false, [-180.0, 45.0, 180.0, 90.0]),
    system(3573, false, [-180.0, 45.0, 180.0, 90.0]),
    system(3574, false, [-180.0, 45.0, 180.0, 90.0]),
    system(3575, false, [-180.0, 45.0, 180.0, 90.0]),
    system(3576, false, [-180.0, 45.0, 180.0, 90.0]),
    system(3577, false, [112.85, -43.7, 153.69, -9.86]),
    system(3763, false, [-9.56, 36.95, -6.19, 42.16]),
    system(3765, false, [13.43, 42.34, 19.43, 46.54]),
    system(3794, false, [13.38, 45.42, 16.61, 46.88]),
    system(3812, false, [2.5, 49.5, 6.4, 51.51]),
    system(3825, false, [118.0, 18.63, 120.0, 24.65]),
    system(3826, false, [119.99, 20.41, 122.06, 26.72]),
    system(3832, false, [98.69, -60.0, 292.0, 66.67]),
    system(3873, true, [19.24, 60.08, 19.5, 60.34]),
    system(3874, true, [19.5, 59.92, 20.5, 60.48]),
    system(3875, true, [20.5, 59.84, 21.5, 69.33]),
    system(3876, true, [21.5, 59.76, 22.5, 69.31]),
    system(3877, true, [22.5, 59.75, 23.5, 68.74]),
    system(3878, true, [23.5, 59.86, 24.5, 68.84]),
    system(3879, true, [24.5, 59.94, 25.5, 68.9]),
    system(3880, true, [25.5, 60.18, 26.5, 69.94]),
    system(3881, true, [26.5, 60.36, 27.5, 70.05]),
    system(3882, true, [27.5, 60.42, 28.5, 70.09]),
    system(3883, true, [28.5, 60.94, 29.5, 69.81]),
    system(3884, true, [29.5, 61.43, 30.5, 67.98]),
    system(3885, true, [30.5, 62.08, 31.59, 64.27]),
    system(3942, false, [-1.06, 41.31, 9.63, 43.07]),
    system(3943, false, [-1.79, 42.33, 7.65, 44.01]),
    system(3944, false, [-1.79, 42.92, 7.71, 45.0]),
    system(3945, false, [-1.46, 44.0, 7.71, 46.0]),
    system(3946, false, [-2.21, 45.0, 7.16, 47.0]),
    system(3947, false, [-4.77, 46.0, 7.63, 48.0]),
    system(3948, false, [-4.87, 47.0, 8.23, 49.0]),
    system(3949, false, [-4.87, 48.0, 8.23, 50.0]),
    system(3950, false, [-2.03, 49.0, 8.08, 51.14]),
    system(3976, true, [-180.0, -90.0, 180.0, -60.0]),
    system(3978, false, [-141.01, 38.21, -40.73, 86.46]),
    system(3995, false, [-180.0, 60.0, 180.0, 90.0]),
    system(3996, false, [-180.0, 60.0, 180.0, 90.0]),
    system(3997, false, [54.84, 24.85, 55.55, 25.34]),
    system(4087, false, [-180.0, -90.0, 180.0, 90.0]),
    system(4167, true, [160.6, -55.95, 188.8, -25.88]),
    system(4171, true, [-9.86, 41.15, 10.38, 51.56]),
    system(4258, true, [-16.1, 32.88, 40.18, 84.73]),
    system(4283, true, [93.41, -60.55, 173.34, -8.47]),
    system(4490, true, [73.62, 16.7, 134.77, 53.56]),
    system(4498, true, [114.0, 19.02, 120.0, 51.52]),
    system(4499, true, [120.0, 24.64, 126.0, 53.56]),
    system(4500, true, [126.0, 29.7, 132.0, 52.79]),
    system(4501, true, [132.0, 45.02, 134.77, 48.4]),
    system(4547, true, [112.5, 21.52, 115.5, 45.45]),
    system(4548, true, [115.5, 22.6, 118.5, 49.88]),
    system(4549, true, [118.5, 24.43, 121.5, 53.33]),
    system(4550, true, [121.5, 28.22, 124.5, 53.56]),
    system(4612, true, [122.38, 17.09, 157.65, 46.05]),
    system(4619, true, [10.03, 54.96, 24.17, 69.07]),
    system(4647, false, [6.0, 47.27, 12.0, 55.47]),
    system(4674, true, [-122.19, -59.87, -25.28, 32.72]),
    system(5041, false, [-180.0, 60.0, 180.0, 90.0]),
    system(5042, true, [-180.0, -90.0, 180.0, -60.0]),
    system(5070, false, [-124.79, 24.41, -66.91, 49.38]),
    system(5105, true, [4.68, 58.32, 6.0, 62.49]),
    system(5110, true, [10.0, 58.9, 11.0, 65.04]),
    system(5179, true, [122.71, 28.6, 134.28, 40.27]),
    system(5183, true, [128.0, 34.49, 129.65, 38.64]),
    system(5184, true, [130.71, 37.39, 131.01, 37.62]),
    system(5185, true, [124.53, 33.99, 126.0, 38.04]),
    system(5186, true, [126.0, 33.14, 128.0, 38.33]),
    system(5187, true, [128.0, 34.49, 129.65, 38.64]),
    system(5188, true, [130.71, 37.39, 131.01, 37.62]),
    system(5243, false, [5.86, 47.27, 15.04, 55.09]),
    system(5650, false, [11.57, 47.46, 15.04, 55.03]),
    system(5651, true, [3.34, 50.97, 6.0, 55.92]),
    system(5652, true, [6.0, 47.27, 12.0, 55.47]),
    system(5653, true, [11.57, 47.46, 15.04, 55.03]),
    system(5880, false, [-74.01, -35.71, -25.28, 7.04]),
    system(5936, false, [-180.0, 60.0, 180.0, 90.0]),
    system(6350, false, [-124.79, 24.41, -66.91, 49.38]),
    system(6372, true, [-122.19, 12.1, -84.64, 32.72]),
    system(6668, true, [122.38, 17.09, 157.65, 46.05]),
    system(6669, true, [128.17, 26.96, 130.46, 34.74]),
    system(6670, true, [129.76, 30.18, 132.05, 33.99]),
    system(6671, true, [130.81, 33.72, 133.49, 36.38]),
    system(6672, true, [131.95, 32.69, 134.81, 34.45]),
    system(6673, true, [133.13, 34.13, 135.47, 35.71]),
    system(6674, true, [134.86, 33.4, 136.99, 36.33]),
    system(6675, true, [136.22, 34.51, 137.84, 37.58]),
    system(6676, true, [137.32, 34.54, 139.91, 38.58]),
    system(6677, true, [138.4, 29.31, 141.11, 37.98]),
    system(6678, true, [139.49, 37.73, 142.14, 41.58]),
    system(6679, true, [139.34, 41.34, 141.46, 43.42]),
    system(6680, true, [140.89, 42.15, 143.61, 45.54]),
    system(6681, true, [142.61, 41.87, 145.87, 44.4]),
    system(6682, true, [141.2, 24.67, 142.33, 27.8]),
    system(6683, true, [126.63, 26.02, 128.4, 26.91]),
    system(7844, true, [93.41, -60.55, 173.34, -8.47]),
    system(7846, false, [93.41, -15.46, 96.01, -8.57]),
    system(7847, false, [96.0, -15.56, 100.34, -8.47]),
    system(7848, false, [102.14, -34.68, 108.01, -8.87]),
    system(7849, false, [108.0, -37.84, 114.01, -10.72]),
    system(7850, false, [114.0, -38.53, 120.01, -12.06]),
    system(7851, false, [120.0, -38.07, 126.01, -10.46]),
    system(7852, false, [125.99, -37.38, 132.0, -9.1]),
    system(7853, false, [132.0, -40.71, 138.01, -8.88]),
    system(7854, false, [138.0, -48.19, 144.01, -9.08]),
    system(7855, false, [144.0, -50.89, 150.01, -9.23]),
    system(7856, false, [150.0, -58.96, 156.0, -13.87]),
    system(21781, false, [5.96, 45.82, 10.49, 47.81]),
    system(25828, false, [-16.1, 34.93, -11.99, 72.44]),
    system(25829, false, [-12.0, 34.91, -6.0, 74.13]),
    system(25830, false, [-6.0, 35.26, 0.01, 80.49]),
    system(25831, false, [0.0, 37.0, 6.01, 82.45]),
    system(25832, false, [6.0, 38.76, 12.01, 84.33]),
    system(25833, false, [12.0, 46.4, 18.01, 84.42]),
    system(25834, false, [17.99, 58.84, 24.01, 84.54]),
    system(25835, false, [24.0, 59.64, 30.01, 84.73]),
    system(25836, false, [30.0, 61.73, 36.01, 84.7]),
    system(25837, false, [36.0, 72.99, 38.01, 79.07]),
    system(25838, false, [42.0, 37.0, 48.0, 41.65]),
    system(25884, true, [19.02, 53.89, 28.24, 60.0]),
    system(28348, false, [102.14, -34.68, 108.01, -8.87]),
    system(28349, false, [108.0, -37.84, 114.01, -10.72]),
    system(28350, false, [114.0, -38.53, 120.01, -12.06]),
    system(28351, false, [120.0, -38.07, 126.01, -10.46]),
    system(28352, false, [125.99, -37.38, 132.0, -9.1]),
    system(28353, false, [132.0, -40.71, 138.01, -8.88]),
    system(28354, false, [138.0, -48.19, 144.01, -9.08]),
    system(28355, false, [144.0, -50.89, 150.01, -9.23]),
    system(28356, false, [150.0, -58.96, 156.0, -13.87]),
    system(31370, false, [2.5, 49.5, 6.4, 51.51]),
    system(31978, false, [-78.0, -59.36, -71.99, 0.0]),
    system(31979, false, [-72.0, -59.87, -66.0, 2.15]),
    system(31980, false, [-66.0, -58.39, -60.0, 5.28]),
    system(31981, false, [-60.0, -44.82, -54.0, 4.51]),
    system(31982, false, [-54.0, -54.18, -47.99, 7.04]),
    system(31983, false, [-48.0, -33.5, -42.0, 5.13]),
    system(31984, false, [-42.0, -26.35, -36.0, 0.74]),
    system(31985, false, [-36.0, -23.8, -29.99, 4.19]),
    system(32198, false, [-79.85, 44.99, -57.1, 62.62]),
    system(32661, false, [-180.0, 60.0, 180.0, 90.0]),
    system(32761, true, [-180.0, -90.0, 180.0, -60.0]),
];

/// The system of an `AUTHORITY:CODE`, if it is listed.
fn find(key: &str) -> Option<System> {
    let code: u16 = key.strip_prefix("EPSG:")?.parse().ok()?;
    let zone = |first: u16| {
        let west = -180.0 + 6.0 * f64::from(code - first);
        (west, west + 6.0)
    };
    match code {
        // UTM on WGS 84.
        32601..=32660 => {
            let (west, east) = zone(32601);
            Some(system(code, false, [west, 0.0, east, 84.0]))
        }
        32701..=32760 => {
            let (west, east) = zone(32701);
            Some(system(code, false, [west, -80.0, east, 0.0]))
        }
        _ => SYSTEMS.iter().find(|s| s.code == code).map(|s| system(s.code, s.north_first, s.area)),
    }
}

/// What a listed system is like; for another, why it is refused. `missing`
/// says why there is no libproj.
pub(super) fn describe(key: &str, missing: &str) -> Result<Traits, String> {
    let refusal = || format!("it needs libproj ({missing})");
    let found = find(key).ok_or_else(refusal)?;
    let geographic = projection(key).ok_or_else(refusal)?.is_latlong();
    let [west, south, east, north] = found.area;
    Ok(Traits {
        geographic,
        north_first: found.north_first,
        meters_per_unit: if geographic { METERS_PER_DEGREE } else { 1.0 },
        area_of_use: Some(Extent::new(west, south, east, north)),
    })
}

/// The definitions in use; no more than there are codes in the list.
static PROJECTIONS: LazyLock<RwLock<HashMap<u16, Arc<Proj>>>> = LazyLock::new(RwLock::default);

fn projection(key: &str) -> Option<Arc<Proj>> {
    let code: u16 = key.strip_prefix("EPSG:")?.parse().ok()?;
    if !matches!(code, 4326 | 3857) && find(key).is_none() {
        return None;
    }
    define(code)
}

/// The projection of any code of `crs-definitions`.
fn define(code: u16) -> Option<Arc<Proj>> {
    if let Some(found) = PROJECTIONS.read().unwrap_or_else(PoisonError::into_inner).get(&code) {
        return Some(found.clone());
    }
    let made = Arc::new(Proj::from_proj_string(crs_definitions::from_code(code)?.proj4).ok()?);
    PROJECTIONS.write().unwrap_or_else(PoisonError::into_inner).insert(code, made.clone());
    Some(made)
}

/// Carries positions between two listed systems, in place; x before y. No
/// image becomes infinite, and so does everything where a system is not listed.
pub(super) fn transform(source: &str, target: &str, points: &mut [[f64; 2]]) {
    match (projection(source), projection(target)) {
        (Some(source), Some(target)) => carry(&source, &target, points),
        _ => points.fill([f64::INFINITY; 2]),
    }
}

/// One position at a time, so that one without an image does not stop the rest.
struct Position<'a>(&'a mut [f64; 2]);

impl Transform for Position<'_> {
    fn transform_coordinates<F: TransformClosure>(&mut self, f: &mut F) -> proj4rs::errors::Result<()> {
        let (x, y, _) = f(self.0[0], self.0[1], 0.0)?;
        *self.0 = [x, y];
        Ok(())
    }
}

fn carry(source: &Proj, target: &Proj, points: &mut [[f64; 2]]) {
    for point in points {
        if source.is_latlong() {
            *point = point.map(f64::to_radians);
        }
        let done = proj4rs::transform::transform(source, target, &mut Position(point)).is_ok();
        if !(done && point[0].is_finite() && point[1].is_finite()) {
            *point = [f64::INFINITY; 2];
        } else if target.is_latlong() {
            *point = point.map(f64::to_degrees);
        }
    }
}

#[cfg(test)]
#[path = "builtin_tests.rs"]
mod tests;
