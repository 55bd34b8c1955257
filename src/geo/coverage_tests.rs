//! Coverages against MapProxy's answers (`testdata/coverages.tsv`, from
//! `tests/parity/coverage_table.py`), hostile text, and by property.

use proptest::prelude::*;

use super::*;

fn degrees() -> Srs {
    Srs::parse("EPSG:4326").expect("known")
}

fn wkt(text: &str) -> Coverage {
    Coverage::from_wkt(text, degrees(), true).expect("a coverage")
}

fn numbers(text: &str) -> Vec<f64> {
    text.split(',').map(|v| v.parse().expect("a number")).collect()
}

fn extent(text: &str) -> Extent {
    let n = numbers(text);
    Extent::new(n[0], n[1], n[2], n[3])
}

/// What even-odd rings enclose, when holes turn the other way.
fn size(coverage: &Coverage) -> f64 {
    let turned = |r: &Ring| -> f64 {
        (0..r.len())
            .map(|i| (r[i], r[(i + 1) % r.len()]))
            .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
            .sum::<f64>()
    };
    coverage.rings().iter().map(turned).sum::<f64>() / 2.0
}

fn assert_shape(coverage: &Coverage, row: &[&str], line: usize) {
    let expected = extent(row[1]);
    for (a, b) in coverage.extent.to_array().iter().zip(expected.to_array()) {
        assert!((a - b).abs() < 1e-6, "line {line}: {a} is not {b}");
    }
    let area: f64 = row[2].parse().expect("a number");
    assert!(
        (size(coverage) - area).abs() < area * 1e-6 + 1e-6,
        "line {line}: {} is not {area}",
        size(coverage)
    );
}

#[test]
fn every_row_of_the_table_agrees() {
    let mut all: Vec<Coverage> = Vec::new();
    let mut asked = 0;
    for (number, text) in include_str!("testdata/coverages.tsv").lines().enumerate() {
        let line = number + 1;
        let row: Vec<&str> = text.split('\t').collect();
        if row[0] == "area" {
            all.push(wkt(&row[1..].join("\n")));
            continue;
        }
        let current = all.last().expect("an area first");
        let last_two = &all[all.len().saturating_sub(2)..];
        match row[0] {
            "shape" => assert_shape(current, &row, line),
            "ask" => {
                let asked_for = extent(row[1]);
                assert_eq!(current.intersects(&asked_for, &degrees()), row[2] == "1", "line {line}");
                assert_eq!(current.contains(&asked_for, &degrees()), row[3] == "1", "line {line}");
                asked += 1;
            }
            kind => {
                let made = match kind {
                    "union" => Coverage::union(last_two, false),
                    "intersection" => Coverage::intersection_of(last_two, false),
                    "difference" => Coverage::difference(last_two, false),
                    other => panic!("line {line}: unknown row {other}"),
                };
                match row[1] {
                    "none" => assert!(made.is_err(), "line {line}"),
                    _ => assert_shape(&made.expect("an area"), &row, line),
                }
            }
        }
    }
    assert!(asked > 200);
}

#[test]
fn polygons_keep_their_exact_edges() {
    let coverage = wkt("POLYGON((5.1 45.3, 15.7 45.3, 15.7 55.9, 5.1 55.9, 5.1 45.3))");
    assert_eq!(coverage.extent, Extent::new(5.1, 45.3, 15.7, 55.9));
    assert!(coverage.is_rectangle() && coverage.clip);
    assert!(coverage.contains(&coverage.extent, &degrees()));
    assert!(!coverage.contains(&coverage.extent.grow(1e-5), &degrees()));
}

#[test]
fn geojson_of_all_kinds_is_read() {
    let polygon = r#"{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,0]]]}"#;
    let point = r#"{"type":"Point","coordinates":[1,2]}"#;
    let feature = |g: &str| format!(r#"{{"type":"Feature","properties":{{}},"geometry":{g}}}"#);
    let all = format!(
        r#"{{"type":"FeatureCollection","features":[{},{},{}]}}"#,
        feature(polygon),
        feature(point),
        feature("null")
    );
    for (text, ignored) in [(polygon.to_string(), 0), (feature(polygon), 0), (all, 1)] {
        let coverage = Coverage::from_geojson(&text, degrees(), false).expect("a coverage");
        assert_eq!((coverage.extent, coverage.ignored), (Extent::new(0.0, 0.0, 10.0, 10.0), ignored));
        assert!(!coverage.is_rectangle() && !coverage.clip);
    }
    assert!(Coverage::from_geojson(point, degrees(), false).is_err());
}

#[test]
fn text_that_is_no_area_is_refused() {
    let nested = "GEOMETRYCOLLECTION(".repeat(200_000);
    let deep = "[".repeat(100_000);
    let deep_geojson = format!(r#"{{"type":"Polygon","coordinates":{deep}"#);
    let many = ",".repeat(5 * CORNERS_MAX);
    for bad in [
        "",
        "POLYGON",
        "POLYGON((",
        "POLYGON EMPTY",
        "POLYGON((0 0, 1 1))",
        "POINT(1 2)",
        "rubbish",
        &nested,
        &many,
        "POLYGON((0 0, 1e300 0, 0 1, 0 0))",
        "POLYGON((0 0, nan 0, 0 1, 0 0))",
        "POLYGON((1 1, 1 1, 1 1, 1 1))",
        "POLYGON((0 0, 1 0, 2 0, 0 0))",
    ] {
        let error = Coverage::from_wkt(bad, degrees(), false).expect_err(&bad[..bad.len().min(40)]);
        assert!(error.0.len() < 200, "{error}");
    }
    for bad in ["", "{}", "[]", "null", r#"{"type":"Polygon","coordinates":[[[0]]]}"#, &deep_geojson, &many] {
        assert!(Coverage::from_geojson(bad, degrees(), false).is_err());
    }
    assert!(Coverage::union(&[], false).is_err());
}

#[test]
fn a_ring_that_crosses_itself_is_repaired() {
    let bow = wkt("POLYGON((0 0, 10 10, 10 0, 0 10, 0 0))");
    assert!((size(&bow) - 50.0).abs() < 1e-6);
    assert!(bow.contains(&Extent::new(9.0, 4.9, 9.9, 5.1), &degrees()));
    assert!(!bow.intersects(&Extent::new(4.0, 8.0, 6.0, 9.0), &degrees()));
}

#[test]
fn corners_on_a_straight_way_are_left_out() {
    let along: Vec<String> =
        (0..=1000).map(|i| format!("{} {}", i as f64 / 100.0, (i % 2) as f64 * 1e-9)).collect();
    let coverage = wkt(&format!("POLYGON(({}, 10 10, 0 10, 0 0))", along.join(", ")));
    assert!(coverage.rings()[0].len() < 40, "{}", coverage.rings()[0].len());
}

#[test]
fn rectangles_behave_as_in_mapproxy() {
    let coverage = Coverage::from_extent(degrees(), Extent::new(0.0, 0.0, 10.0, 10.0), false);
    assert!(coverage.is_rectangle());
    // Touching is not enough for a rectangle, and is for a polygon.
    let beside = Extent::new(10.0, 0.0, 20.0, 10.0);
    assert!(!coverage.intersects(&beside, &degrees()));
    assert!(wkt("POLYGON((0 0, 10 0, 10 10, 0 10, 0 0))").intersects(&beside, &degrees()));
    assert!(coverage.contains(&coverage.extent, &degrees()));
    let mercator = Srs::parse("EPSG:3857").expect("known");
    let image = coverage.transform_to(&mercator);
    assert_eq!(Some(image.extent), degrees().transform_extent(&mercator, &coverage.extent));
    assert!(image.is_rectangle());
    assert!(coverage.limit_to(&beside, &degrees()).is_none());
}

#[test]
fn polygons_are_carried_corner_by_corner() {
    let coverage = wkt("POLYGON((-40 40, 60 40, 60 70, -40 70, -40 40))");
    let Ok(lambert) = Srs::parse("EPSG:3034") else { return };
    let image = coverage.transform_to(&lambert);
    let mut corners = coverage.rings()[0].clone();
    degrees().transform_points(&lambert, &mut corners);
    let mut carried = image.rings()[0].clone();
    let by_place = |a: &[f64; 2], b: &[f64; 2]| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]));
    corners.sort_by(by_place);
    carried.sort_by(by_place);
    assert_eq!(carried.len(), corners.len());
    for (carried, corner) in carried.iter().zip(&corners) {
        // Areas are repaired on a grid that is finer than any map.
        let off = (carried[0] - corner[0]).hypot(carried[1] - corner[1]);
        assert!(off < 0.01, "{carried:?} in place of {corner:?}");
    }
}

#[test]
fn what_has_no_image_meets_nothing() {
    let far = Coverage::from_extent(degrees(), Extent::new(0.0, 95.0, 10.0, 99.0), false);
    let image = far.transform_to(&Srs::parse("EPSG:102100").expect("known"));
    assert!(image.is_empty() && image.rings().is_empty());
    assert!(!image.intersects(&Extent::new(-1e9, -1e9, 1e9, 1e9), &image.srs));
    assert!(!image.contains(&Extent::new(0.0, 0.0, 0.0, 0.0), &image.srs));
    assert!(image.limit_to(&Extent::new(-1e9, -1e9, 1e9, 1e9), &image.srs).is_none());
}

#[test]
fn many_rectangles_become_one_area() {
    let tiles: Vec<Extent> =
        (0..50).map(|i| Extent::new(f64::from(i), 0.0, f64::from(i) + 1.0, 1.0)).collect();
    let coverage = Coverage::from_extents(&tiles, degrees(), false).expect("an area");
    assert_eq!(coverage.extent, Extent::new(0.0, 0.0, 50.0, 1.0));
    assert!(coverage.is_rectangle());
}

/// A ring around the origin with `radii.len()` corners.
fn star(radii: &[f64]) -> String {
    let corner = |i: usize| {
        let angle = std::f64::consts::TAU * (i % radii.len()) as f64 / radii.len() as f64;
        format!("{} {}", radii[i % radii.len()] * angle.cos(), radii[i % radii.len()] * angle.sin())
    };
    let ring: Vec<String> = (0..=radii.len()).map(corner).collect();
    format!("POLYGON(({}))", ring.join(", "))
}

proptest! {
    #[test]
    fn parts_agree_with_the_whole(
        radii in prop::collection::vec(1.0f64..50.0, 3..60),
        x in -60.0f64..60.0, y in -60.0f64..60.0, w in 0.1f64..40.0,
    ) {
        let coverage = wkt(&star(&radii));
        let asked = Extent::new(x, y, x + w, y + w);
        let part = coverage.limit_to(&asked, &degrees());
        if coverage.contains(&asked, &degrees()) {
            prop_assert!(coverage.intersects(&asked, &degrees()));
            prop_assert_eq!(part.as_ref().map(|p| p.extent), Some(asked));
        }
        match part {
            Some(part) => {
                prop_assert!(coverage.intersects(&asked, &degrees()));
                prop_assert!(asked.grow(1e-6).contains(&part.extent));
                prop_assert!(size(&part) <= size(&coverage) * (1.0 + 1e-6));
            }
            // A sliver below the overlay's fineness may vanish.
            None => prop_assert!(!coverage.intersects(&asked.grow(-1e-4), &degrees())),
        }
    }

    #[test]
    fn a_difference_and_an_intersection_make_up_the_first(
        one in prop::collection::vec(1.0f64..50.0, 3..30), other in prop::collection::vec(1.0f64..50.0, 3..30),
    ) {
        let parts = [wkt(&star(&one)), wkt(&star(&other))];
        let shared = Coverage::intersection_of(&parts, false).map_or(0.0, |c| size(&c));
        let rest = Coverage::difference(&parts, false).map_or(0.0, |c| size(&c));
        let whole = size(&parts[0]);
        prop_assert!((shared + rest - whole).abs() < 1e-3, "{} + {} is not {}", shared, rest, whole);
        let union = size(&Coverage::union(&parts, false).expect("an area"));
        prop_assert!((union - (whole + size(&parts[1]) - shared)).abs() < 1e-3);
    }

    #[test]
    fn any_text_is_survived(text in ".{0,80}", numbers in prop::collection::vec(-1e3f64..1e3, 0..40)) {
        let _ = Coverage::from_wkt(&text, degrees(), false);
        let _ = Coverage::from_geojson(&text, degrees(), false);
        let corners: Vec<String> = numbers.chunks(2).map(|c| format!("{} {}", c[0], c.last().unwrap_or(&0.0))).collect();
        if let Ok(coverage) = Coverage::from_wkt(&format!("POLYGON(({}))", corners.join(",")), degrees(), false) {
            prop_assert!(coverage.extent.is_valid());
            prop_assert!(coverage.intersects(&coverage.extent, &degrees()));
        }
    }
}
