//! The listed systems against PROJ; without libproj only that they are served.

use super::*;
use crate::geo::proj;

/// Positions across an area, its edges included.
fn across(area: [f64; 4]) -> Vec<[f64; 2]> {
    const STEPS: usize = 12;
    let [west, south, east, north] = area;
    let at = |low: f64, high: f64, i: usize| low + (high - low) * i as f64 / STEPS as f64;
    let around = |x: f64| if x > 180.0 { x - 360.0 } else { x };
    (0..=STEPS)
        .flat_map(|i| (0..=STEPS).map(move |j| [around(at(west, east, i)), at(south, north, j)]))
        .collect()
}

fn worst_m(ours: &[[f64; 2]], theirs: &[[f64; 2]], meters_per_unit: f64) -> f64 {
    let mut worst = 0.0f64;
    for (a, b) in ours.iter().zip(theirs) {
        if a == b {
            continue;
        }
        // Both sides of the date line are one place.
        let x = (a[0] - b[0]).abs();
        let x = if meters_per_unit > 1.0 { x.min((x - 360.0).abs()) } else { x };
        let distance = x.hypot(a[1] - b[1]) * meters_per_unit;
        worst = if distance.is_nan() { f64::INFINITY } else { worst.max(distance) };
    }
    worst
}

#[test]
fn every_listed_system_is_within_a_millimetre_of_proj() {
    let compare = proj::engine().starts_with("PROJ");
    if !compare {
        println!("not compared: {}", proj::engine());
    }
    // A transformation costs milliseconds to build, and zones differ by one number.
    let zones = (32601..=32660).step_by(7).chain((32701..=32760).step_by(59));
    for code in SYSTEMS.iter().map(|s| s.code).chain(zones) {
        let key = format!("EPSG:{code}");
        let listed = find(&key).expect("listed");
        let ours = describe(&key, "").expect("served");
        let mut forward = across(listed.area);
        transform("EPSG:4326", &key, &mut forward);
        if !compare {
            assert!(forward.iter().any(|p| p[0].is_finite()), "{key}");
            continue;
        }
        let theirs = proj::describe("EPSG", &code.to_string()).expect("known to PROJ");
        assert_eq!((ours.geographic, ours.north_first), (theirs.geographic, theirs.north_first), "{key}");
        assert!((ours.meters_per_unit - theirs.meters_per_unit).abs() < 1e-6, "{key}");
        let mut expected = across(listed.area);
        proj::transform("EPSG:4326", &key, &mut expected);
        assert!(worst_m(&forward, &expected, ours.meters_per_unit) < 1e-3, "{key}");
        let (mut back, mut expected_back) = (expected.clone(), expected);
        transform(&key, "EPSG:4326", &mut back);
        proj::transform(&key, "EPSG:4326", &mut expected_back);
        assert!(worst_m(&back, &expected_back, METERS_PER_DEGREE) < 1e-3, "{key} back");
    }
}

#[test]
fn other_systems_are_refused_by_name_with_advice() {
    let reason =
        describe("EPSG:31467", "no libproj found; install libproj 8.2 or newer").expect_err("refused");
    assert!(reason.contains("install libproj"), "{reason}");
    let mut points = [[1.0, 2.0]];
    transform("EPSG:31467", "EPSG:3857", &mut points);
    assert_eq!(points, [[f64::INFINITY; 2]]);
}

#[test]
fn a_position_without_an_image_spoils_no_other() {
    let mut points = [[9.0, 50.0], [f64::NAN, 0.0], [9.0, 50.0]];
    transform("EPSG:4326", "EPSG:25832", &mut points);
    assert_eq!(points[1], [f64::INFINITY; 2]);
    assert!((points[0][0] - 500_000.0).abs() < 1e-6);
    assert_eq!(points[0], points[2]);
}
