//! OGC API Maps and Tiles: stored tiles as they lie, maps by their parameters,
//! documents that hold together, and GDAL as a client.

use crate::harness::daemon::Setup;
use crate::harness::{Daemon, TestDir, Upstream, painted};

/// A cache, two sources asked directly, and a grid whose tiles are not square.
fn map(upstream: &Upstream) -> String {
    format!(
        "services:\n  wmts:\n  ogcapi:\n    map_srs: ['EPSG:4326', 'EPSG:3857']\n    default_dataset_layers: [painted]\n\
         \x20   md: {{identification: {{title: 'Maps & <tiles>'}}}}\n\
         layers:\n  - {{name: painted, title: 'Painted <b>', sources: [painted], nominal_scale: 100000}}\n\
         \x20 - {{name: direct, title: Direct, sources: [direct]}}\n\
         caches:\n  painted: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock]}}\n\
         grids:\n  wide: {{base: GLOBAL_WEBMERCATOR, tile_size: [512, 256]}}\n\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{0}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
         \x20 direct:\n    type: wms\n    req: {{url: '{0}', layers: b}}\n    supported_srs: ['EPSG:3857']\n",
        upstream.url("/wms")
    )
}

fn start(dir: &TestDir, upstream: &Upstream) -> Daemon {
    Setup::new(dir, map(upstream)).start()
}

fn json(daemon: &Daemon, target: &str, status: u16) -> serde_json::Value {
    let reply = daemon.get(target);
    assert_eq!(reply.status, status, "{target}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{target}: {error}: {}", reply.text()))
}

#[test]
fn a_tile_is_the_stored_one() {
    let dir = TestDir::new("ogcapi-stored");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let other = daemon.get("/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png");
    assert_eq!(other.status, 200, "{}", other.text());
    // Level, row, column here; level, column, row in the WMTS template.
    for target in [
        "/ogcapi/collections/painted/map/tiles/WebMercatorQuad/5/11/17.png",
        "/ogcapi/collections/painted/map/tiles/WebMercatorQuad/5/11/17",
        "/ogcapi/map/tiles/WebMercatorQuad/5/11/17?f=png",
    ] {
        let reply = daemon.get(target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
        assert_eq!(reply.body, other.body, "{target}");
        assert_eq!(reply.header("etag"), other.header("etag"), "{target}");
        assert_eq!(reply.header("content-crs"), Some("<http://www.opengis.net/def/crs/EPSG/0/3857>"));
        let bbox = reply.header("content-bbox").expect("a place");
        assert!(bbox.starts_with("1252344.2714243"), "{bbox}");
    }
    assert_eq!(upstream.count(), 1);
    daemon.stop();
}

#[test]
fn tiles_of_the_data_set_are_those_of_the_collections_asked_for() {
    let dir = TestDir::new("ogcapi-collections");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let reply = daemon.get("/ogcapi/map/tiles/WebMercatorQuad/5/11/17.png?collections=direct");
    assert_eq!(reply.status, 200, "{}", reply.text());
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    let asked = upstream.targets();
    assert!(asked.iter().all(|target| target.contains("layers=b")), "{asked:?}");
    assert_eq!(asked.len(), 1);
    let refusal = json(&daemon, "/ogcapi/map/tiles/WebMercatorQuad/5/11/17.png?collections=nothing", 400);
    assert_eq!(refusal["detail"], "unknown collection nothing");
    daemon.stop();
}

#[test]
fn tiles_that_are_not_square_keep_their_ratio() {
    let dir = TestDir::new("ogcapi-ratio");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    for (query, expected) in
        [("?width=256", (256, 128)), ("?height=64", (128, 64)), ("?mm-per-pixel=0.56", (256, 128))]
    {
        let target = format!("/ogcapi/collections/direct/map/tiles/wide/3/2/1.png{query}");
        let reply = daemon.get(&target);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let raster = rhumb::render::decode(&reply.body, &Default::default()).expect("a picture");
        assert_eq!((raster.width, raster.height), expected, "{target}");
    }
    daemon.stop();
}

#[test]
fn a_map_is_what_its_parameters_mean() {
    let dir = TestDir::new("ogcapi-map");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    // The extent of tile 5/17/11 in two ways, at the tile's own size.
    let bbox = "1252344.271424327,5009377.085697313,2504688.542848654,6261721.357121642";
    for query in [
        format!("bbox={bbox}&bbox-crs=EPSG:3857&width=256&height=256"),
        format!("bbox={bbox}&bbox-crs=[EPSG:3857]&width=256"),
        "subset=E(1252344.271424327:2504688.542848654),N(5009377.085697313:6261721.357121642)\
         &subset-crs=http://www.opengis.net/def/crs/EPSG/0/3857&height=256"
            .to_owned(),
    ] {
        let reply = daemon.get(&format!("/ogcapi/collections/painted/map.png?crs=EPSG:3857&{query}"));
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        painted::check(&reply.body, 5, 17, 11).expect("the right map");
    }
    let whole = daemon.get("/ogcapi/map");
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(whole.header("content-crs"), None);
    let raster = rhumb::render::decode(&whole.body, &Default::default()).expect("a picture");
    assert_eq!(raster.width, 1024);
    for (query, detail) in [
        ("bbox=1,2,3", "bbox must be a list of 4 or 6 numeric values"),
        ("bbox=nan,1,2,3", "bbox must be a list of 4 or 6 numeric values"),
        ("bbox=0,0,1,1&center=1,1", "bbox and center are mutually exclusive"),
        ("width=99999999999999999999", "width=18446744073709551615 exceeds max_width=40000"),
        ("width=1e3", "width is not an integer"),
        ("scale-denominator=-1", "scale-denominator must be a strictly positive numeric value"),
        ("crs=EPSG:2154", "crs is incompatible with this layer"),
        ("nothing=1", "Unknown query parameter nothing"),
    ] {
        let refusal = json(&daemon, &format!("/ogcapi/collections/painted/map?{query}"), 400);
        assert_eq!(refusal["detail"], detail, "{query}");
    }
    daemon.stop();
}

#[test]
fn every_link_of_every_document_leads_somewhere() {
    let dir = TestDir::new("ogcapi-links");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    // The name that the harness gives as Host.
    let base = "http://maps.test";
    let mut open = vec!["/ogcapi".to_owned()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(target) = open.pop() {
        if seen.contains(&target) {
            continue;
        }
        let reply = daemon.get(&target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        if reply.content_type().contains("json") {
            let document = serde_json::from_slice(&reply.body).expect("JSON");
            collect_links(&document, &mut |href| {
                let path = href.strip_prefix(base).unwrap_or_else(|| panic!("{href} in {target}"));
                if !href.contains('{') {
                    open.push(path.to_owned());
                }
            });
        } else if reply.content_type().starts_with("text/html") {
            let page = reply.text();
            assert!(!page.contains("Painted <b>") && !page.contains("<tiles>"), "{target}: not escaped");
            let policy = reply.header("content-security-policy").unwrap_or_default();
            assert!(policy.contains("default-src 'none'"), "{target}");
        }
        seen.push(target);
    }
    assert!(seen.len() > 40, "{seen:?}");
    daemon.stop();
}

fn collect_links(value: &serde_json::Value, found: &mut dyn FnMut(&str)) {
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_links(item, found)),
        serde_json::Value::Object(entries) => {
            if let Some(href) = entries.get("href").and_then(|href| href.as_str()) {
                found(href);
            }
            entries.values().for_each(|value| collect_links(value, found));
        }
        _ => {}
    }
}

#[test]
fn what_is_not_there_is_refused_in_the_right_words() {
    let dir = TestDir::new("ogcapi-refused");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    for (target, status) in [
        ("/ogcapi/nothing", 404),
        ("/ogcapi/collections/nothing", 404),
        ("/ogcapi/collections/painted/map.gif", 404),
        ("/ogcapi/collections/painted/map/tiles/WebMercatorQuad/5/11/17.gif", 406),
        ("/ogcapi/tileMatrixSets/nothing", 404),
        ("/ogcapi/collections/painted/map/tiles/WebMercatorQuad/5/32/0.png", 400),
        ("/ogcapi/collections/painted/map/tiles/WebMercatorQuad/99/0/0.png", 400),
        ("/ogcapi/api?f=json&ui=swagger", 400),
        ("/ogcapi?f=xml", 400),
    ] {
        let refusal = json(&daemon, target, status);
        assert_eq!(refusal["status"], status, "{target}");
        assert!(refusal["detail"].is_string(), "{target}");
    }
    let page = daemon.get("/ogcapi/collections/%3Cscript%3E?f=html");
    assert_eq!((page.status, page.content_type()), (404, "text/html; charset=utf-8"));
    assert_eq!(daemon.get("/ogcapi/static/../../etc/passwd").status, 404);
    assert_eq!(daemon.get("/ogcapi/static/ogcapi.css").status, 200);
    daemon.stop();
}

/// GDAL asks for maps by `width`, `height` and `bbox` in degrees. Its 3.6 reads
/// no tile matrix sets as the OGC has them since 2022.
#[cfg(feature = "peers")]
#[test]
fn gdal_draws_a_map_of_a_collection() {
    use std::process::Command;
    let dir = TestDir::new("ogcapi-gdal");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let list = Command::new("gdalinfo")
        .arg(format!("OGCAPI:{}", daemon.url("/ogcapi")))
        .current_dir(dir.path())
        .output()
        .expect("gdalinfo");
    let text = String::from_utf8_lossy(&list.stdout);
    assert!(text.contains("/ogcapi/collections/painted"), "{text}");
    let picture = dir.join("picture.png");
    // The middle of tile 5/17/11 in degrees.
    let (longitude, latitude): (f64, f64) = (16.875, 45.089);
    let output = Command::new("gdal_translate")
        .args([
            "-q", "-of", "PNG", "-outsize", "256", "256", "-b", "1", "-b", "2", "-b", "3", "-oo", "API=MAP",
            "-projwin",
        ])
        .args([longitude - 4.0, latitude + 2.0, longitude + 4.0, latitude - 2.0].map(|edge| edge.to_string()))
        .arg(format!("OGCAPI:{}", daemon.url("/ogcapi/collections/painted")))
        .arg(&picture)
        // It keeps a cache where it stands.
        .current_dir(dir.path())
        .output()
        .expect("gdal_translate runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&picture).expect("a picture");
    let raster = rhumb::render::decode(&bytes, &Default::default()).expect("a picture that decodes");
    // Which level it is drawn from is GDAL's choice; the place is not.
    for (x, y) in [(60, 60), (190, 60), (60, 190), (190, 190)] {
        let east = longitude - 4.0 + (f64::from(x) + 0.5) / 32.0;
        let north = (latitude + 2.0 - (f64::from(y) + 0.5) / 64.0).to_radians();
        let possible: Vec<[u8; 4]> = (4..9)
            .map(|level| {
                let tiles = f64::from(1_u32 << level);
                let column = (east + 180.0) / 360.0 * tiles;
                let row = (1.0 - north.tan().asinh() / std::f64::consts::PI) / 2.0 * tiles;
                let [red, green, blue] = painted::color(level, column as u32, row as u32);
                [red, green, blue, 255]
            })
            .collect();
        let found = raster.pixel(x, y);
        assert!(possible.contains(&found), "{x},{y}: {found:?} is none of {possible:?}");
    }
    daemon.stop();
}

#[cfg(feature = "peers")]
#[test]
fn the_openapi_document_is_valid_and_whole() {
    use crate::harness::peers::peer;
    let dir = TestDir::new("ogcapi-openapi");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let reply = daemon.get("/ogcapi/api?f=json");
    assert_eq!(reply.content_type(), "application/vnd.oai.openapi+json;version=3.0");
    assert!(!reply.text().contains("schemas.opengis.net"), "it refers to another host");
    let file = dir.write("api.json", &reply.body);
    let output = std::process::Command::new(peer("venv/bin/python"))
        .args(["-m", "openapi_spec_validator"])
        .arg(file)
        .output()
        .expect("python runs");
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    daemon.stop();
}

/// Of a service with all formats and of one with a single one.
#[cfg(feature = "peers")]
#[test]
fn every_answer_is_as_the_openapi_document_says() {
    use crate::harness::peers::peer;
    for formats in ["[image/png, image/jpeg]", "[image/jpeg]"] {
        let dir = TestDir::new("ogcapi-answers");
        let text = format!(
            "services:\n  ogcapi: {{map_srs: ['EPSG:4326', 'EPSG:3857'], image_formats: {formats}, default_dataset_layers: [painted]}}\n\
             layers:\n  - name: painted\n    title: Painted\n    sources: [painted]\n    nominal_scale: 100000\n    min_res: 5000\n\
             \x20   max_res: 0.1\n    md: {{attribution: {{title: me, url: 'http://example.org/'}}}}\n\
             \x20 - {{name: direct, title: Direct, sources: [plain]}}\n\
             caches:\n  painted: {{grids: [GLOBAL_WEBMERCATOR, utm], sources: [plain]}}\n\
             grids:\n  utm: {{srs: 'EPSG:25832', bbox: [4, 46, 16, 56], bbox_srs: 'EPSG:4326', origin: nw, num_levels: 12}}\n\
             sources:\n  plain: {{type: debug}}\n"
        );
        let daemon = Setup::new(&dir, text).start();
        let output = std::process::Command::new(peer("venv/bin/python"))
            .arg(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/check_ogcapi.py"))
            .arg(daemon.url(""))
            .output()
            .expect("python runs");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{formats}: {}{}", said(&output.stdout), said(&output.stderr));
        let count = said(&output.stdout).split(' ').nth(2).and_then(|count| count.parse::<u32>().ok());
        assert!(count.is_some_and(|count| count > 100), "{}", said(&output.stdout));
        daemon.stop();
    }
}
