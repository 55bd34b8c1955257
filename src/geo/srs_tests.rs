//! Codes, what is known about systems, extents carried over.

use proptest::prelude::*;

use super::*;

fn srs(code: &str) -> Srs {
    Srs::parse(code).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn codes_are_read_in_any_form_and_case() {
    for (text, code) in [
        ("epsg:3857", "EPSG:3857"),
        ("4326", "EPSG:4326"),
        (" crs:84 ", "CRS:84"),
        ("urn:ogc:def:crs:EPSG::4326", "EPSG:4326"),
        ("urn:ogc:def:crs:EPSG:9.9:25832", "EPSG:25832"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84"),
        ("http://www.opengis.net/def/crs/EPSG/0/3857", "EPSG:3857"),
        ("EPSG:900913", "EPSG:900913"),
    ] {
        assert_eq!(srs(text).code(), code);
    }
}

#[test]
fn what_is_no_code_is_refused_with_a_reason() {
    let long = "x".repeat(5000);
    for bad in [
        "",
        ":",
        "EPSG:",
        ":4326",
        "EPSG:99999999",
        "EPSG:4326;DROP",
        "NOBODY:1",
        "EPSG:43 26",
        "ΕPSG:1",
        &long,
    ] {
        let error = Srs::parse(bad).expect_err(bad).to_string();
        assert!(error.starts_with("unknown coordinate system") && error.len() < 300, "{error}");
    }
    // Heights alone and earth-centred places are no maps.
    assert!(Srs::parse("EPSG:5773").is_err());
    assert!(Srs::parse("EPSG:4978").is_err());
}

#[test]
fn names_of_one_projection_are_equal() {
    for code in ["EPSG:900913", "EPSG:102100", "EPSG:102113"] {
        assert_eq!(srs(code), srs("EPSG:3857"));
        assert_eq!(srs(code).code(), code);
    }
    assert_eq!(srs("CRS:84"), srs("EPSG:4326"));
    assert_ne!(srs("EPSG:3857"), srs("EPSG:4326"));
    assert_ne!(srs("EPSG:25832"), srs("EPSG:25833"));
}

#[test]
fn axes_units_and_areas_are_known() {
    for (code, geographic, north_first) in [
        ("EPSG:4326", true, true),
        ("CRS:84", true, false),
        ("EPSG:3857", false, false),
        ("EPSG:25832", false, false),
        ("EPSG:4258", true, true),
        ("EPSG:2180", false, true),
    ] {
        let srs = srs(code);
        assert_eq!((srs.is_geographic(), srs.is_axis_order_ne()), (geographic, north_first), "{code}");
        let unit = if geographic { METERS_PER_DEGREE } else { 1.0 };
        assert!((srs.meters_per_unit() - unit).abs() < 1e-6, "{code}");
    }
    let area = srs("EPSG:25832").area_of_use().expect("an area");
    assert!(area.min_x == 6.0 && area.max_x > 12.0);
    assert!(srs("EPSG:2193").area_of_use().expect("an area").is_valid());
    // US survey feet, known to libproj alone.
    if let Ok(feet) = Srs::parse("EPSG:2263") {
        assert!((feet.meters_per_unit() - 1200.0 / 3937.0).abs() < 1e-9);
    }
}

#[test]
fn clients_cannot_fill_the_memory_with_codes() {
    for number in 0..DEFINITIONS_MAX + 10 {
        assert!(Srs::parse(&format!("NOBODY:{number}")).is_err());
    }
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    assert!(known.unknown.len() <= DEFINITIONS_MAX);
}

/// Against MapProxy (`testdata/extents.tsv`, from `tests/parity/grid_table.py`).
#[test]
fn extents_are_sampled_as_mapproxy_does() {
    for (number, line) in include_str!("testdata/extents.tsv").lines().enumerate() {
        let row: Vec<&str> = line.split('\t').collect();
        let edges = |text: &str| -> [f64; 4] {
            let list: Vec<f64> = text.split(',').map(|v| v.parse().expect("a number")).collect();
            list.try_into().expect("four numbers")
        };
        let [west, south, east, north] = edges(row[2]);
        let image = srs(row[0]).transform_extent(&srs(row[1]), &Extent::new(west, south, east, north));
        let expected = edges(row[3]);
        let tolerance = if row[1] == "EPSG:4326" { 1e-11 } else { 1e-6 };
        for (ours, theirs) in image.expect("an image").to_array().iter().zip(expected) {
            assert!((ours - theirs).abs() < tolerance, "line {}: {ours} is not {theirs}", number + 1);
        }
    }
}

#[test]
fn an_extent_without_an_image_is_none() {
    let nowhere = Extent::new(f64::NAN, f64::NAN, f64::NAN, f64::NAN);
    assert_eq!(srs("EPSG:4326").transform_extent(&srs("EPSG:3857"), &nowhere), None);
    let beyond = Extent::new(0.0, 95.0, 10.0, 99.0);
    assert_eq!(srs("EPSG:4326").transform_extent(&srs("EPSG:102100"), &beyond), None);
}

#[test]
fn the_outline_starts_in_the_south_west_and_goes_around() {
    let points = outline(&Extent::new(10.0, 5.0, 20.0, 15.0));
    assert_eq!(points[0], [10.0, 5.0]);
    assert_eq!(points[1], [12.5, 5.0]);
    assert_eq!(points[4], [20.0, 5.0]);
    assert_eq!(points[5], [20.0, 7.5]);
    assert_eq!(points[8], [20.0, 15.0]);
    assert_eq!(points[12], [10.0, 15.0]);
    assert_eq!(points[15], [10.0, 7.5]);
}

proptest! {
    #[test]
    fn there_and_back_is_the_same_place(x in -180.0f64..180.0, y in -85.0f64..85.0) {
        let (degrees, mercator) = (srs("EPSG:4326"), srs("EPSG:900913"));
        let mut points = [[x, y]];
        degrees.transform_points(&mercator, &mut points);
        mercator.transform_points(&degrees, &mut points);
        prop_assert!((points[0][0] - x).abs() < 1e-11 && (points[0][1] - y).abs() < 1e-11);
    }

    #[test]
    fn there_and_back_through_the_engine(x in 6.0f64..12.0, y in 40.0f64..80.0) {
        let (degrees, zone) = (srs("EPSG:4326"), srs("EPSG:25832"));
        let mut points = [[x, y]; 3];
        degrees.transform_points(&zone, &mut points);
        zone.transform_points(&degrees, &mut points);
        prop_assert!((points[2][0] - x).abs() < 1e-9 && (points[2][1] - y).abs() < 1e-9);
    }

    #[test]
    fn the_image_of_an_extent_holds_the_image_of_its_corners(x in -170.0f64..160.0, y in -80.0f64..70.0, w in 0.1f64..10.0) {
        let (degrees, mercator) = (srs("EPSG:4326"), srs("EPSG:3857"));
        let extent = Extent::new(x, y, x + w, y + w);
        let image = degrees.transform_extent(&mercator, &extent).expect("an image");
        let mut corners = [[x, y], [x + w, y + w]];
        degrees.transform_points(&mercator, &mut corners);
        prop_assert_eq!(image.to_array(), [corners[0][0], corners[0][1], corners[1][0], corners[1][1]]);
    }
}
