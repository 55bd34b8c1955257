//! Maps and documents of the WMS, and how its failures are told.

use super::*;

#[test]
fn a_map_is_drawn_as_asked() {
    let fixture = fixture();
    let response = fixture.get(MAP);
    assert_eq!((response.status, field(&response, "content-type")), (200, Some("image/png")));
    assert_eq!(field(&response, "access-control-allow-origin"), Some("*"));
    let query = &fixture.map.queries()[0];
    assert_eq!((query.size, query.extent), ((20, 10), Extent::new(5.0, 45.0, 15.0, 55.0)));
    assert!(!query.transparent);
}

#[test]
fn axes_follow_the_version() {
    for (version, name, code, bbox, swapped) in [
        ("1.1.1", "srs", "EPSG:4326", "5,45,15,55", false),
        ("1.3.0", "crs", "EPSG:4326", "45,5,55,15", true),
        ("1.3.0", "crs", "CRS:84", "5,45,15,55", false),
        ("1.3.0", "crs", "epsg:4326", "45,5,55,15", true),
    ] {
        let fixture = fixture();
        let changes = [("version", Some(version)), ("srs", None), ("bbox", Some(bbox)), (name, Some(code))];
        assert_eq!(fixture.get(&map_with(&changes)).status, 200);
        let extent = fixture.map.queries()[0].extent;
        assert_eq!(extent, Extent::new(5.0, 45.0, 15.0, 55.0), "{version} {code} {swapped}");
    }
}

#[test]
fn an_open_service_draws_in_every_known_system() {
    for (any_srs, code, status) in [
        (false, "EPSG:2056", 500),
        (true, "EPSG:2056", 200),
        (true, "epsg:27700", 200),
        (true, "EPSG:0", 500),
    ] {
        let fixture = fixture_with(FakeLayer::new(), |wms| wms.any_srs = any_srs);
        let target = map_with(&[("srs", Some(code)), ("bbox", Some("100000,100000,200000,200000"))]);
        assert_eq!(fixture.get(&target).status, status, "{any_srs} {code}");
        let drawn =
            fixture.map.queries().iter().any(|query| Srs::parse(code).is_ok_and(|srs| query.srs == srs));
        assert_eq!(drawn, status == 200, "{code}");
    }
}

#[test]
fn groups_draw_their_children_and_each_layer_once() {
    for (layers, count) in [("group", 2), ("one,group,one", 2), ("group,two", 3), ("two", 1)] {
        let fixture = fixture();
        assert_eq!(fixture.get(&map_with(&[("layers", Some(layers))])).status, 200);
        assert_eq!(fixture.map.queries().len(), count, "{layers}");
    }
}

#[test]
fn wrong_parameters_are_told_with_the_code_of_the_version() {
    type Headers<'a> = &'a [(&'a str, Option<&'a str>)];
    let cases: &[(Headers<'_>, &str)] = &[
        (&[("styles", None)], "missing parameters"),
        (&[("bbox", Some("5,45,15"))], "invalid bbox"),
        (&[("bbox", Some("5,45,15,55,1"))], "invalid bbox"),
        (&[("bbox", Some("15,45,5,55"))], "invalid bbox"),
        (&[("bbox", Some("nan,45,5,55"))], "invalid bbox"),
        (&[("bbox", Some("0,0,inf,55"))], "invalid bbox"),
        (&[("bbox", Some("-1.7e308,0,1.7e308,55"))], "invalid bbox"),
        (&[("styles", Some("red"))], "code=\"StyleNotDefined\""),
        (&[("layers", Some("one,none"))], "code=\"LayerNotDefined\""),
        (&[("layers", Some(""))], "code=\"LayerNotDefined\""),
        (&[("format", Some("image/bmp"))], "code=\"InvalidFormat\""),
        (&[("srs", Some("EPSG:31466"))], "code=\"InvalidSRS\""),
        (&[("srs", Some("EPSG:4326%3Cscript%3E"))], "&lt;script&gt;"),
        (&[("version", Some("1.3.0")), ("crs", Some("EPSG:1"))], "code=\"InvalidCRS\""),
        (&[("width", Some("0"))], "invalid size"),
        (&[("width", Some("-1"))], "invalid size"),
        (&[("width", Some(""))], "invalid size"),
        (&[("width", Some("0x10"))], "invalid size"),
        (&[("width", Some("4294967297"))], "invalid size"),
        (&[("width", Some("1e9"))], "image size too large"),
        (&[("width", Some("20000")), ("height", Some("1"))], "image size too large"),
        (&[("request", Some("GetMapp"))], "unknown WMS request type"),
        (&[("version", Some("1.x"))], "invalid version"),
        (&[("layers", Some("timed")), ("time", Some("../../x"))], "code=\"InvalidDimensionValue\""),
    ];
    let fixture = fixture();
    for (changes, expected) in cases {
        let response = fixture.get(&map_with(changes));
        assert_eq!(response.status, 500, "{changes:?}");
        assert!(text(&response).contains(expected), "{changes:?}: {}", text(&response));
        assert_eq!(field(&response, "cache-control"), Some("no-cache, no-store"));
        let mime = field(&response, "content-type").unwrap();
        assert!(matches!(mime, "application/vnd.ogc.se_xml" | "text/xml; charset=utf-8"), "{mime}");
    }
    assert!(fixture.map.queries().is_empty());
}

#[test]
fn decimals_of_sizes_are_cut() {
    let fixture = fixture();
    assert_eq!(fixture.get(&map_with(&[("width", Some("20.9"))])).status, 200);
    assert_eq!(fixture.map.queries()[0].size, (20, 10));
}

#[test]
fn failures_are_told_on_images_where_wished() {
    let fixture = fixture();
    for (kind, layers, format, mime) in [
        ("application/vnd.ogc.se_inimage", "none", "image/jpeg", "image/jpeg"),
        ("BLANK", "none", "image/png", "image/png"),
        ("inimage", "one", "image/bmp", "image/png"),
    ] {
        let changes = [("exceptions", Some(kind)), ("layers", Some(layers)), ("format", Some(format))];
        let response = fixture.get(&map_with(&changes));
        assert_eq!((response.status, field(&response, "content-type")), (200, Some(mime)), "{kind}");
    }
    let response = fixture.get(&map_with(&[("exceptions", Some("inimage")), ("width", Some("16000"))]));
    assert_eq!(response.status, 200);
    let response = fixture.get(&map_with(&[
        ("exceptions", Some("inimage")),
        ("width", Some("16000")),
        ("height", Some("16000")),
    ]));
    assert_eq!(field(&response, "content-type"), Some("application/vnd.ogc.se_xml"));
}

#[test]
fn details_of_sources_stay_hidden() {
    let failing = FakeLayer { fails: true, ..FakeLayer::new() };
    let response = fixture_with(failing, |_| {}).get(MAP);
    assert_eq!(response.status, 500);
    assert!(!text(&response).contains("secret"), "{}", text(&response));
}

#[test]
fn scales_out_of_range_draw_nothing() {
    let range = Some(ResRange { coarsest: Some(100.0), finest: None });
    let fixture = fixture_with(FakeLayer { range, ..FakeLayer::new() }, |_| {});
    assert_eq!(fixture.get(MAP).status, 200);
    assert!(fixture.map.queries().is_empty());
}

#[test]
fn versions_are_negotiated() {
    let fixture = fixture();
    for (version, root) in [
        ("&version=1.1.1", "WMT_MS_Capabilities"),
        ("&version=1.3.0", "WMS_Capabilities"),
        ("&version=1.2.0", "WMT_MS_Capabilities"),
        ("&version=9", "WMS_Capabilities"),
        ("", "WMS_Capabilities"),
    ] {
        let response = fixture.get(&format!("/service?SERVICE=wms&REQUEST=GetCapabilities{version}"));
        let body = text(&response);
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&body, options).unwrap();
        assert_eq!(document.root_element().tag_name().name(), root, "{version}");
    }
}

#[test]
fn documents_are_xml_whatever_titles_hold() {
    let fixture = fixture();
    for target in [
        "/service?service=WMS&request=GetCapabilities&version=1.1.1&tiled=true",
        "/service?service=WMS&request=GetCapabilities&version=1.3.0",
        "/service?service=WMTS&request=GetCapabilities",
        "/wmts/1.0.0/WMTSCapabilities.xml",
        "/tms/",
        "/tms/1.0.0",
        "/tms/1.0.0/osm/EPSG900913",
        "/kml/osm",
        "/kml/osm/EPSG25832/1/0/0.kml",
    ] {
        let response = fixture.get(target);
        assert_eq!(response.status, 200, "{target}: {}", text(&response));
        assert!(field(&response, "vary").is_some(), "{target}");
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let body = text(&response);
        roxmltree::Document::parse_with_options(&body, options)
            .unwrap_or_else(|e| panic!("{target}: {e}\n{body}"));
    }
}

#[test]
fn entrances_of_ows_want_a_service() {
    let fixture = fixture();
    for (target, status, part) in [
        ("/service?request=GetCapabilities", 400, "locator=\"service\""),
        ("/service", 400, "MissingParameterValue"),
        ("/service?service=wcs", 400, "InvalidParameterValue"),
        ("/nothing", 404, "not found"),
        ("/-", 404, "not found"),
        ("/demo/", 404, "not found"),
    ] {
        let response = fixture.get(target);
        assert_eq!(response.status, status, "{target}");
        assert!(text(&response).contains(part), "{target}: {}", text(&response));
    }
    assert_eq!(fixture.get("/").status, 200);
}

#[test]
fn only_get_and_forms_are_understood() {
    let fixture = fixture();
    let mut post = request("/service");
    post.method = Method::Post;
    let response = respond(fixture.site.answer(&post));
    assert_eq!(response.status, 415);
    post.headers.0.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    post.body = MAP.split_once('?').unwrap().1.as_bytes().to_vec();
    assert_eq!(respond(fixture.site.answer(&post)).status, 200);
    let mut options = request("/tiles/osm/0/0/0.png");
    options.method = Method::Options;
    assert_eq!(respond(fixture.site.answer(&options)).status, 204);
    options.method = Method::Post;
    assert_eq!(respond(fixture.site.answer(&options)).status, 405);
}
