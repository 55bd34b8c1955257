//! The demo pages as a browser gets them, on the services of the room's tests.

use crate::service::tests::{demo_site, field, request, respond, text};
use crate::wire::Response;

fn get(target: &str) -> Response {
    respond(demo_site().answer(&request(target)))
}

#[test]
fn every_layer_is_listed_and_escaped() {
    let page = get("/demo/");
    assert_eq!((page.status, field(&page, "content-type")), (200, Some("text/html; charset=utf-8")));
    let html = text(&page).replace("&#x2f;", "/");
    // Tiles and documents are at MapProxy's own addresses, to the letter.
    for link in [
        "?srs=EPSG%3A3857&amp;format=image%2Fpng&amp;wms_layer=one",
        "../demo/?wmts_layer=photo&format=jpeg&srs=EPSG%3A3857",
        "../demo/?tms_layer=osm&format=png&srs=EPSG%3A25832",
        "../kml/osm/EPSG900913",
        "?wms_capabilities",
        "?wms_capabilities&version=1.1.1",
        "?wmsc_capabilities",
        "?wmts_capabilities",
        "?wmts_capabilities_kvp",
        "?tms_capabilities",
        "../service?REQUEST=GetCapabilities&SERVICE=WMS",
        "http://maps.example/service",
    ] {
        assert!(
            html.contains(&format!("\"{link}\"")) || html.contains(&format!(">{link}<")),
            "{link}\n{html}"
        );
    }
    assert!(html.contains("one &lt;&amp;&gt;") && !html.contains("<&>"));
}

#[test]
fn viewers_open_for_every_kind_of_layer() {
    for (target, told) in [
        ("?wms_layer=one&format=png&srs=EPSG:3857", "\"version\":\"1.3.0\""),
        ("?wms_layer=one&format=image/jpeg&srs=epsg:25832", "\"format\":\"image/jpeg\""),
        ("?wms_layer=one", "\"code\":\"EPSG:3857\""),
        ("?wms_layer=one&version=1.1.1", "\"version\":\"1.1.1\""),
        ("?wms_layer=one&version=9.9.9", "\"version\":\"1.3.0\""),
        ("?srs=EPSG%3A3857&format=image%2Fpng&wms_layer=one", "<h2>Layer Preview - one</h2>"),
        // A group has the dimensions of all that is drawn for it.
        ("?wms_layer=group", "<option selected>2020-01-02</option>"),
        ("?wms_layer=timed&dim:time=2020-01-01", "<option selected>2020-01-01</option>"),
        ("?wms_layer=timed&dim:time=%3Cscript%3E", "<option selected>2020-01-02</option>"),
        ("?wmts_layer=photo&dim:time=2020-01-01", "<option selected>2020-01-01</option>"),
        (
            "?wmts_layer=osm&grid=local",
            "SERVICE=WMTS\\u0026REQUEST=GetTile\\u0026VERSION=1.0.0\\u0026LAYER=osm",
        ),
        ("?wmts_layer=photo", "FORMAT=image/jpeg\\u0026time={dim:time}"),
        ("?wms_layer=group&srs=EPSG:4326", "\"north_first\":true"),
        (
            "?tms_layer=osm&format=png&srs=EPSG:900913",
            "\"path\":\"tms/1.0.0/osm/EPSG900913/{z}/{x}/{y}.png\"",
        ),
        ("?tms_layer=osm&srs=EPSG:25832", "\"path\":\"tms/1.0.0/osm/EPSG25832/{z}/{x}/{y}.png\""),
        ("?wmts_layer=osm&grid=local", "\"path\":\"wmts/osm/local/{z}/{x}/{y}.png\""),
        ("?wmts_layer=photo&srs=EPSG:3857&format=jpeg", "\"path\":\"wmts/photo/web/{z}/{x}/{y}.jpeg\""),
        (
            "?wms_layer=one&srs=EPSG:25832&view=1113194.9,6800125.4,100&from=3857",
            "\"view\":{\"center\":[5686",
        ),
        ("?wms_layer=one&srs=EPSG:3857&view=1,2,3", "\"view\":{\"center\":[1.0,2.0],\"resolution\":3.0}"),
        ("?wms_layer=one&srs=EPSG:3857&view=1,2,nan", "\"view\":null"),
        // The place of another layer is kept where this one lies there, and left where it does not.
        ("?wms_layer=one&srs=EPSG:4326&view=1,2,3&of=two", "\"view\":{\"center\":[1.0,2.0]"),
        ("?wms_layer=one&srs=EPSG:4326&view=400,2,3&of=two", "\"view\":null"),
        ("?wms_layer=one&srs=EPSG:4326&view=400,2,3&of=one", "\"view\":{\"center\":[400.0,2.0]"),
        // The same layer in another service.
        ("?tms_layer=osm&srs=EPSG:25832", "href=\"?wmts_layer=osm&amp;grid=local\""),
    ] {
        let page = get(&format!("/demo/{target}"));
        let html = text(&page);
        assert_eq!(page.status, 200, "{target}\n{html}");
        assert!(html.contains(told), "{target}: no {told}\n{html}");
        assert!(
            field(&page, "content-security-policy")
                .is_some_and(|policy| policy.contains("script-src 'self'"))
        );
    }
}

#[test]
fn levels_are_numbered_as_each_service_does() {
    // Level 0 of a global profile is hidden in TMS: its first has four tiles.
    let html = text(&get("/demo/?tms_layer=osm&srs=EPSG:900913"));
    assert!(html.contains("{\"id\":\"0\",\"resolution\":78271.5"), "{html}");
    let html = text(&get("/demo/?wmts_layer=photo"));
    assert!(html.contains("{\"id\":\"00\",\"resolution\":156543.0"), "{html}");
}

#[test]
fn what_is_not_there_is_told_and_escaped() {
    for (target, status) in [
        ("?wms_layer=%3Cscript%3E", 404),
        ("?tms_layer=%3Cscript%3E", 404),
        ("?wmts_layer=%3Cscript%3E", 404),
        ("?tms_capabilities&layer=..%2F%3Cscript%3E", 404),
        ("?wms_layer=one&srs=%3Cscript%3E", 400),
        ("?wms_layer=one&srs=EPSG:31467", 400),
        ("?ogcapi_map=%3Cscript%3E", 404),
        ("?ogcapi_tiles=one", 404),
    ] {
        let page = get(&format!("/demo/{target}"));
        assert_eq!(page.status, status, "{target}");
        assert!(!text(&page).contains("<script>"), "{target}");
    }
    // Whatever else is sent stays out of the page.
    let page = text(&get(
        "/demo/?wms_layer=one&format=%3Cscript%3E&grid=%22%3E&view=%3Cscript%3E&from=%3Cscript%3E",
    ));
    assert!(!page.contains("<script>") && page.contains("\"format\":\"image/png\""));
}

#[test]
fn capabilities_are_shown_as_text() {
    for (page, part) in [
        ("wms_capabilities", "WMS_Capabilities"),
        ("wms_capabilities&type=external", "WMS_Capabilities"),
        ("wms_capabilities&version=1.1.1", "WMT_MS_Capabilities"),
        ("wms_capabilities&version=%3Cscript%3E", "WMS_Capabilities"),
        ("wmsc_capabilities", "TileSet"),
        ("wmts_capabilities", "TileMatrixSet"),
        ("wmts_capabilities_kvp", "TileMatrixSet"),
        ("tms_capabilities", "TileMapService"),
        ("tms_capabilities&layer=osm&srs=EPSG:25832", "TileSets"),
    ] {
        let response = get(&format!("/demo/?{page}"));
        let html = text(&response);
        assert_eq!(response.status, 200, "{page}\n{html}");
        assert!(html.contains(&format!("<span class=\"tag\">&lt;{part}")), "{page}\n{html}");
        // The documents speak of the services, not of the demo.
        let own = html.split("<pre").nth(1).unwrap_or_default();
        assert!(!own.contains("/demo"), "{page}");
    }
}

#[test]
fn static_files_come_from_the_table_alone() {
    for (name, mime) in [
        ("demo.css", "text/css; charset=utf-8"),
        ("viewer.js", "text/javascript; charset=utf-8"),
        ("map.js", "text/javascript; charset=utf-8"),
        ("openlayers/ol.js", "text/javascript; charset=utf-8"),
    ] {
        let target = format!("/demo/static/{name}");
        let first = get(&target);
        assert_eq!((first.status, field(&first, "content-type")), (200, Some(mime)));
        let tag = field(&first, "etag").unwrap().to_owned();
        let mut again = request(&target);
        again.headers.0.push(("If-None-Match".to_owned(), tag));
        let again = respond(demo_site().answer(&again));
        assert_eq!((again.status, again.body.as_slice().len()), (304, 0));
    }
    for name in [
        "",
        "../frame.html",
        "..%2fframe.html",
        "%2e%2e/mod.rs",
        "openlayers",
        "demo.css/",
        "DEMO.css",
        "%00",
    ] {
        assert_eq!(get(&format!("/demo/static/{name}")).status, 404, "{name}");
    }
}

#[test]
fn other_paths_lead_to_the_start() {
    for (target, location) in [
        ("/demo", "http://maps.example/demo/"),
        ("/demo?wms_layer=one", "http://maps.example/demo/?wms_layer=one"),
        ("/demo/elsewhere", "http://maps.example/demo/"),
    ] {
        let response = get(target);
        assert_eq!((response.status, field(&response, "location")), (301, Some(location)));
    }
}
