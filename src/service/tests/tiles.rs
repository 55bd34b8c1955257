//! Tiles under all the names that services give them.

use super::*;

#[test]
fn tiles_are_found_under_all_their_names() {
    let fixture = fixture();
    for (target, tile) in [
        ("/tiles/osm/0/0/0.png", "0/0/0 "),
        ("/tiles/osm/2/1/3.png", "2/1/3 "),
        ("/tiles/osm/2/1/3.png?origin=nw", "2/1/0 "),
        ("/tiles/1.0.0/osm/EPSG900913/2/1/3.png", "2/1/3 "),
        ("/tiles/osm_EPSG900913/2/1/3.png", "2/1/3 "),
        ("/tiles/osm/EPSG25832/1/0/1.png", "1/0/1 "),
        ("/tms/1.0.0/osm/0/1/1.png", "1/1/1 "),
        ("/tms/1.0.0/osm/EPSG25832/1/0/0.png", "1/0/1 "),
        ("/tms/1.0.0/world/EPSG4326/0/1/0.png", "1/1/0 "),
        ("/kml/osm/EPSG900913/2/1/3.png", "2/1/3 "),
        ("/kml/osm/EPSG25832/1/0/0.png", "1/0/1 "),
        ("/wmts/osm/GLOBAL_MERCATOR/02/1/3.png", "2/1/0 "),
        ("/wmts/osm/local/1/0/1.png", "1/0/1 "),
        (
            "/service?service=WMTS&request=GetTile&version=1.0.0&layer=osm&style=&tilematrixset=local&tilematrix=01&tilerow=1&tilecol=0&format=image/png",
            "1/0/1 ",
        ),
        ("/wmts/photo/web/1/0/1.jpeg", "1/0/1 time-2020-01-02"),
    ] {
        let response = fixture.get(target);
        assert_eq!(text(&response), tile, "{target}");
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(field(&response, "cache-control"), Some("public, max-age=3600, s-maxage=3600"));
    }
}

#[test]
fn dimension_values_are_those_of_the_configuration() {
    let fixture = fixture();
    let kvp = "/service?service=WMTS&request=GetTile&version=1.0.0&layer=photo&style=&tilematrixset=web&tilematrix=1&tilerow=1&tilecol=0&format=image/jpeg";
    for (value, status, tile) in [
        ("&TIME=2020-01-01", 200, "1/0/1 time-2020-01-01"),
        ("&time=default", 200, "1/0/1 time-2020-01-02"),
        ("&time=", 200, "1/0/1 time-2020-01-02"),
        ("&time=..%2F..%2Fx", 400, ""),
        ("&time=2020-01-01%00", 400, ""),
        ("&other=x", 200, "1/0/1 time-2020-01-02"),
    ] {
        let response = fixture.get(&format!("{kvp}{value}"));
        assert_eq!(response.status, status, "{value}");
        assert!(status == 400 || text(&response) == tile, "{value}: {}", text(&response));
    }
}

#[test]
fn tile_numbers_are_whole_numbers() {
    let fixture = fixture();
    let numbers = [
        "-1/0/0",
        "99/0/0",
        "9223372036854775808/0/0",
        "1/-1/0",
        "1/2/0",
        "1/0/2147483648",
        "1/1e3/0",
        "1/+1/0",
        "1/\u{661}/0",
        "1//0",
        "1/0/0x1",
    ];
    for number in numbers {
        // Level 1 of TMS is level 2 of the grid: column 2 is there.
        let prefixes = [
            ("/tms/1.0.0/osm", if number == "1/2/0" { 200 } else { 404 }),
            ("/tiles/osm", 404),
            ("/kml/osm", 404),
        ];
        for (prefix, status) in prefixes {
            let response = fixture.get(&format!("{prefix}/{number}.png"));
            assert_eq!(response.status, status, "{prefix}/{number}");
        }
        let status = fixture.get(&format!("/wmts/osm/GLOBAL_MERCATOR/{number}.png")).status;
        assert!(matches!(status, 400 | 404), "{number}: {status}");
    }
    // Zeros may lead, and what follows the format is not looked at.
    for tile in ["1/01/0.png", "01/0/00.png", "-0/0/0.png", "0/0/0.png/", "0/0/0.png/x/y", "0/0/0.png.txt"] {
        for prefix in ["/tms/1.0.0/osm", "/tiles/osm", "/kml/osm", "/wmts/osm/GLOBAL_MERCATOR"] {
            // WMTS knows levels without a sign only.
            let status = if prefix.starts_with("/wmts") && tile.starts_with('-') { 404 } else { 200 };
            assert_eq!(fixture.get(&format!("{prefix}/{tile}")).status, status, "{prefix}/{tile}");
        }
    }
    for target in [
        "/tiles/osm/0/0/0.jpeg",
        "/tiles/none/0/0/0.png",
        "/tiles/osm/EPSG1/0/0/0.png",
        "/tiles/",
        "/tms/2.0.0",
        "/kml/",
        "/kml/none",
        "/tms/1.0.0/none",
    ] {
        assert_eq!(fixture.get(target).status, 404, "{target}");
    }
    for target in ["/tiles/", "/tms/2.0.0", "/kml/"] {
        let message = format!("invalid request ({target})");
        assert!(text(&fixture.get(target)).contains(&message), "{target}");
    }
    let response = fixture.get("/tms/1.0.0/osm/9/9/99999.png");
    assert!(text(&response).contains("TileMapServerError"));
}

#[test]
fn wmts_failures_have_codes() {
    let fixture = fixture();
    for (target, status, part) in [
        ("/wmts/none/web/0/0/0.png", 400, "InvalidParameterValue"),
        ("/wmts/osm/none/0/0/0.png", 400, "InvalidParameterValue"),
        ("/wmts/osm/local/0/0/-1.png", 400, "TileOutOfRange"),
        ("/wmts/osm/local/0/0/0.jpeg", 400, "InvalidParameterValue"),
        ("/wmts/world/GLOBAL_GEODETIC/0/0/0.png", 400, "unknown layer"),
        ("/wmts/osm/local/0/0/0/1/1.txt", 400, "unknown infoformat"),
        ("/wmts/osm", 404, "invalid request"),
        ("/service?service=WMTS&request=GetTile&layer=a", 500, "missing parameters"),
        ("/service?service=WMTS&request=Get", 500, "unknown WMTS request type"),
    ] {
        let response = fixture.get(target);
        assert_eq!(response.status, status, "{target}: {}", text(&response));
        assert!(text(&response).contains(part), "{target}: {}", text(&response));
    }
    assert!(fixture.site.warnings().iter().any(|warning| warning.contains("GLOBAL_GEODETIC")));
}

#[test]
fn known_tiles_are_not_sent_again() {
    let fixture = fixture();
    let first = fixture.get("/tiles/osm/0/0/0.png");
    let tag = field(&first, "etag").unwrap().to_owned();
    let modified = field(&first, "last-modified").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'));
    for (name, value, status) in [
        ("If-None-Match", tag.as_str(), 304),
        ("If-None-Match", "\"other\"", 200),
        ("If-Modified-Since", modified.as_str(), 304),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", 200),
    ] {
        let mut request = request("/tiles/osm/0/0/0.png");
        request.headers.0.push((name.to_owned(), value.to_owned()));
        let response = respond(fixture.site.answer(&request));
        assert_eq!(response.status, status, "{name}: {value}");
        if status == 304 {
            assert!(response.body.as_slice().is_empty() && field(&response, "content-type").is_none());
            assert_eq!(field(&response, "etag"), Some(tag.as_str()));
        }
    }
}

#[test]
fn stored_tiles_are_answered_on_the_loop() {
    let grid = grid("web", "EPSG:3857", Origin::NorthWest, None);
    let mut layer = tile_layer("mixed", Arc::clone(&grid), Format::Mixed, Vec::new());
    layer.tiles = Arc::new(FakeTiles {
        grid,
        format: Format::Mixed,
        image: ImageOptions::new(Format::Mixed),
        has_files: true,
    });
    let tms = TmsParts {
        metadata: ServiceMetadata::default(),
        layers: vec![layer],
        use_grid_names: true,
        origin: Some(Origin::NorthWest),
        expires_s: 60,
    };
    let parts = SiteParts { tms: Some(tms), cors: Some("*".to_owned()), ..SiteParts::default() };
    let site = Site::build(parts).unwrap_or_else(|errors| panic!("{errors:?}"));
    let Answer::StoredTile(tile) = site.answer(&request("/tiles/mixed/web/1/0/1.png")) else {
        panic!("not from a file");
    };
    assert_eq!(tile.file.path.to_str(), Some("1/0/1 "));
    let found = FoundTile { bytes: Arc::from(&b"x"[..]), format: Format::Jpeg, modified: UNIX_EPOCH };
    let response = (tile.respond)(found);
    assert_eq!(field(&response, "content-type"), Some("image/jpeg"));
    assert_eq!(field(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(field(&response, "last-modified"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(respond(site.answer(&request("/tiles/mixed/1/0/1.png"))).status, 404);
}

proptest! {
    #[test]
    fn no_target_panics(target in "\\PC{0,60}", query in "[-+%&=,.a-zA-Z0-9:/]{0,120}") {
        let fixture = fixture();
        for service in ["/service?service=WMS&version=1.3.0&request=GetMap&", "/wmts", "/tms", "/tiles", "/kml", ""] {
            let _ = fixture.site.answer(&request(&format!("{service}{target}?{query}")));
        }
    }

    #[test]
    fn no_map_parameter_panics(name in "bbox|width|height|layers|srs|bgcolor|format|exceptions|time|styles", value in "[-+%,.0-9a-zA-Z:]{0,40}") {
        let fixture = fixture();
        let changes = [(name.as_str(), Some(value.as_str())), ("exceptions", Some("blank"))];
        let _ = fixture.site.answer(&request(&map_with(&changes)));
    }
}
