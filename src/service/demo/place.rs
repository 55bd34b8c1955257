//! Where the map of a viewer lies: the part of a coordinate system that is
//! worth showing, and a view carried over from another system.

use serde::Serialize;

use crate::geo::{Extent, Srs};

/// Positions along each side of the mesh by which envelopes are found: polar
/// systems need points within, not only on the outline.
const MESH_POINTS: usize = 17;
const WORLD: Extent = Extent::new(-180.0, -90.0, 180.0, 90.0);

/// A coordinate system as OpenLayers wants it described.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Projection {
    pub code: String,
    /// Its area of use, in its own units.
    pub extent: Option<[f64; 4]>,
    pub geographic: bool,
    /// WMS 1.3.0 wants the northing first.
    pub north_first: bool,
    pub meters_per_unit: f64,
}

impl Projection {
    /// `code` as requests name the system.
    pub fn of(srs: &Srs, code: &str, geographic: &Srs) -> Projection {
        let area = srs.area_of_use().and_then(|area| envelope(&area, geographic, srs));
        Projection {
            code: code.to_owned(),
            extent: area.map(Extent::to_array),
            geographic: srs.is_geographic(),
            north_first: srs.is_axis_order_ne(),
            meters_per_unit: srs.meters_per_unit(),
        }
    }
}

/// The part of a layer to be shown at first: where it lies, as far as the
/// system is meant for it. `geographic` is EPSG:4326.
pub fn shown_extent(extent: &Extent, srs: &Srs, target: &Srs, geographic: &Srs) -> Option<Extent> {
    if srs == target {
        return Some(*extent);
    }
    let in_degrees = srs.transform_extent(geographic, extent).unwrap_or(WORLD);
    let area = target.area_of_use().unwrap_or(WORLD);
    let part = area.intersection(&in_degrees).filter(|part| part.width() > 0.0 && part.height() > 0.0);
    envelope(&part.unwrap_or(area), geographic, target)
}

/// The envelope of an area in another system; `None` without an image or a size.
fn envelope(area: &Extent, srs: &Srs, target: &Srs) -> Option<Extent> {
    let along =
        |low: f64, high: f64, step: usize| low + (high - low) * step as f64 / (MESH_POINTS - 1) as f64;
    let mut points: Vec<[f64; 2]> = (0..MESH_POINTS * MESH_POINTS)
        .map(|at| {
            let (column, row) = (at % MESH_POINTS, at / MESH_POINTS);
            [along(area.min_x, area.max_x, column), along(area.min_y, area.max_y, row)]
        })
        .collect();
    srs.transform_points(target, &mut points);
    points
        .into_iter()
        .filter(|[x, y]| x.is_finite() && y.is_finite())
        .map(|[x, y]| Extent::new(x, y, x, y))
        .reduce(|a, b| a.union(&b))
        .filter(|found| found.width() > 0.0 && found.height() > 0.0)
}

/// A view: centre and map units per pixel.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub struct View {
    pub center: [f64; 2],
    pub resolution: f64,
}

impl View {
    /// From `x,y,resolution`.
    pub fn parse(text: &str) -> Option<View> {
        let mut parts = text.split(',').map(|part| part.trim().parse::<f64>().ok().filter(|v| v.is_finite()));
        let (x, y, resolution) = (parts.next()??, parts.next()??, parts.next()??);
        (parts.next().is_none() && resolution > 0.0).then_some(View { center: [x, y], resolution })
    }

    /// The same place at about the same scale in another system; `None` where
    /// it has none there.
    pub fn carry(self, srs: &Srs, target: &Srs) -> Option<View> {
        let [x, y] = self.center;
        // Far enough for a sound difference, near enough to be local.
        let reach = self.resolution * 16.0;
        let mut points = [[x, y], [x - reach, y], [x + reach, y], [x, y - reach], [x, y + reach]];
        srs.transform_points(target, &mut points);
        if points.iter().flatten().any(|value| !value.is_finite()) {
            return None;
        }
        let span = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) / 32.0;
        let resolution = (span(points[1], points[2]) * span(points[3], points[4])).sqrt();
        (resolution.is_finite() && resolution > 0.0).then_some(View { center: points[0], resolution })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srs(code: &str) -> Srs {
        Srs::parse(code).unwrap()
    }

    #[test]
    fn a_world_layer_is_shown_where_the_system_is_meant_for_it() {
        let geographic = srs("EPSG:4326");
        for code in
            ["EPSG:25832", "EPSG:2056", "EPSG:27700", "EPSG:3035", "EPSG:3413", "EPSG:3031", "EPSG:4258"]
        {
            let target = srs(code);
            let shown = shown_extent(&WORLD, &geographic, &target, &geographic).unwrap();
            let mut middle = [[(shown.min_x + shown.max_x) / 2.0, (shown.min_y + shown.max_y) / 2.0]];
            target.transform_points(&geographic, &mut middle);
            let area = target.area_of_use().unwrap();
            let [[longitude, latitude]] = middle;
            let is_inside = (area.min_y..=area.max_y).contains(&latitude)
                && (area.min_x..=area.max_x).contains(&longitude);
            assert!(is_inside, "{code}: {middle:?} not in {area:?}");
        }
        // All around the pole, not only the outline of a rectangle of degrees.
        let polar = shown_extent(&WORLD, &geographic, &srs("EPSG:3413"), &geographic).unwrap();
        assert!(
            polar.min_x < -2e6 && polar.max_x > 2e6 && polar.min_y < -2e6 && polar.max_y > 2e6,
            "{polar:?}"
        );
    }

    #[test]
    fn a_view_is_carried_to_another_system() {
        let view = View::parse("1113194.9, 6800125.45,100").unwrap();
        let carried = view.carry(&srs("EPSG:3857"), &srs("EPSG:4326")).unwrap();
        assert!(
            (carried.center[0] - 10.0).abs() < 1e-5 && (carried.center[1] - 52.0).abs() < 1e-4,
            "{carried:?}"
        );
        let back = carried.carry(&srs("EPSG:4326"), &srs("EPSG:3857")).unwrap();
        assert!((back.resolution / 100.0 - 1.0).abs() < 0.01, "{back:?}");
        for broken in ["", "1,2", "1,2,0", "1,2,-3", "1,2,inf", "NaN,2,3", "1,2,3,4", "a,b,c"] {
            assert_eq!(View::parse(broken), None, "{broken}");
        }
        let far = View { center: [1e300, 1e300], resolution: 1e300 };
        assert_eq!(far.carry(&srs("EPSG:4326"), &srs("EPSG:25832")), None);
    }
}
