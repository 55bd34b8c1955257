//! The demo pages in a real browser. `tests/browser/demo.mjs` is what a
//! newcomer sees after the first command, `services.mjs` a site with every
//! service; what the others do stands at their heads. Screenshots lie in
//! `target/browser` afterwards, to be looked at.

use std::path::Path;
use std::process::Command;

use crate::harness::daemon::Setup;
use crate::harness::peers::peer;
use crate::harness::upstream::Answer;
use crate::harness::{TestDir, Upstream, painted};

/// Runs a script of `tests/browser` on a site.
fn drive(script: &str, base: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = root.join("target/browser");
    std::fs::create_dir_all(&pictures).expect("a directory for screenshots");
    let output = Command::new("node")
        .arg(root.join("tests/browser").join(script))
        .arg(base)
        .arg(&pictures)
        .arg(peer("node_modules").parent().expect("it lies in a directory"))
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_demo_shows_maps_that_zoom_and_pan() {
    let dir = TestDir::new("browser");
    let daemon = Setup::embedded(&dir).start();
    drive("demo.mjs", &format!("http://{}", daemon.address));
    daemon.stop();
}

/// What a source answers that means no good: everything that could run or load.
const HOSTILE_HTML: &str = "<html><head><title>t</title><style>body{background:red}</style><script>alert('head')</script></head>\
<body onload=\"alert('load')\" style=\"color:red\"><h1>Road</h1><script>alert(1)</script>\
<p style=\"font-size:90px\" onclick=\"alert(2)\">The <b>A 66</b> goes here.</p>\
<img src=\"http://203.0.113.1/x.png\" onerror=\"alert(3)\"><iframe src=\"javascript:alert(4)\"></iframe>\
<table border=1><tr><th>Name</th><td>Autobahn 66</td></tr><tr><th>Lanes</th><td>4</td></tr><tr><th>Surface</th><td>asphalt</td></tr></table>\
<a href=\"javascript:alert(5)\">bad</a> <a href=\"https://example.org/a66\" onclick=\"alert(6)\">More about it</a>\
<form action=\"http://203.0.113.1/\"><input name=q></form><svg onload=\"alert(7)\"></svg><style>p{";

const FEATURES: &str = r#"{"type": "FeatureCollection", "features": [
    {"type": "Feature", "id": "road.1", "properties": {"name": "<img src=x onerror=alert(8)>", "lanes": 4, "since": null}},
    {"type": "Feature", "id": "road.2", "properties": {"name": "B 54", "lanes": 2}}]}"#;

/// Paints maps with their address; tells what it was asked about a point.
fn source(target: &str) -> Answer {
    let asked = target.to_ascii_lowercase().replace("%2c", ",");
    let bytes = |kind: &'static str, text: &str| Answer::Bytes(kind, text.as_bytes().to_vec());
    if asked.contains("request=getlegendgraphic") {
        return Answer::Bytes("image/png", painted::png(&[200, 60, 60].repeat(120 * 40), 120, 40));
    }
    if !asked.contains("request=getfeatureinfo") {
        return Answer::Painted;
    }
    if asked.contains("html") {
        bytes("text/html", HOSTILE_HTML)
    } else if asked.contains("json") {
        bytes("application/json", FEATURES)
    } else if asked.contains("xml") || asked.contains("gml") {
        bytes("text/xml", "<r><road name=\"A 66\">4 lanes</road></r>")
    } else {
        bytes("text/plain", &format!("name = <b>'A 66'</b>\n{}\n", asked.replace('&', "\n")))
    }
}

/// Layers in a group and beside it, systems and grids of three kinds, feature
/// info, legends, a dimension, and names that try to be markup.
fn every_service(upstream: &Upstream) -> String {
    let source = |name: &str, more: &str| {
        let url = upstream.url("/wms");
        format!(
            "  {name}: {{type: wms, req: {{url: '{url}', layers: {name}}}, supported_srs: ['EPSG:3857'], {more}}}\n"
        )
    };
    let talks = "wms_opts: {featureinfo: true, legendgraphic: true}";
    // More colours than a palette has would be changed by it; nothing is reprojected but what is looked at.
    let head = r#"
globals:
  image: {paletted: false}
  cache: {meta_size: [1, 1], meta_buffer: 0}
services:
  demo:
  wms:
    srs: ['EPSG:3857', 'EPSG:4326', 'EPSG:25832']
    image_formats: [image/png, image/jpeg]
    featureinfo_types: [html, json, text, xml]
    md: {title: 'Maps of <b>everything</b> & "more"', abstract: 'Roads, places and weather, for looking around.'}
  wmts:
    restful_template: '/{Layer}/{TileMatrixSet}/{Time}/{TileMatrix}/{TileCol}/{TileRow}.{Format}'
    featureinfo_formats:
      - {mimetype: text/html, suffix: html}
      - {mimetype: application/json, suffix: json}
      - {mimetype: text/plain, suffix: txt}
  tms:
  kml:
  ogcapi: {map_srs: ['EPSG:3857', 'EPSG:4326', 'EPSG:25832'], default_dataset_layers: [roads]}
layers:
  - name: ground
    title: Ground
    layers:
      - name: roads
        title: 'Roads "quoted" <img src=x onerror=alert(1)>'
        sources: [roads_cache]
        md:
          abstract: 'Every road, </script><script>alert(2)</script> and where it leads.'
          attribution: {title: '© The <i>Road</i> Office', url: 'https://example.org/roads'}
      - {name: places, title: Places, sources: [places]}
  - name: weather
    title: Weather
    sources: [weather_cache]
    dimensions:
      time: {values: ['2026-01-01', '2026-02-01', '2026-03-01'], default: '2026-02-01'}
caches:
  roads_cache: {grids: [GLOBAL_WEBMERCATOR, degrees, utm32], sources: [roads]}
  weather_cache: {grids: [GLOBAL_WEBMERCATOR], sources: [weather]}
grids:
  degrees: {base: GLOBAL_GEODETIC, origin: nw}
  utm32: {srs: 'EPSG:25832', bbox: [0, 5200000, 1000000, 6200000], bbox_srs: 'EPSG:25832', origin: nw}
sources:
"#;
    let sources =
        [source("roads", talks), source("places", talks), source("weather", "forward_req_params: [time]")];
    format!("{head}{}", sources.concat())
}

#[test]
fn every_service_is_shown_and_asked() {
    let dir = TestDir::new("browser-services");
    let upstream = Upstream::scripted(source);
    let daemon = Setup::new(&dir, every_service(&upstream)).start();
    drive("services.mjs", &format!("http://{}", daemon.address));
    daemon.stop();
}

#[test]
fn two_hundred_layers_below_a_prefix_can_be_searched() {
    let dir = TestDir::new("browser-crowd");
    let upstream = Upstream::start();
    let layers: String = (0..200)
        .map(|number| format!("  - {{name: n{number}, title: Number {number}, sources: [painted]}}\n"))
        .collect();
    let odd = "odd \"quoted' <script>alert(1)</script> & more";
    let odd = odd.replace('\'', "''");
    let map = format!(
        "services:\n  demo:\n  wms: {{srs: ['EPSG:3857', 'EPSG:4326']}}\n  ogcapi:\n  wmts:\nlayers:\n{layers}\
         \x20 - {{name: '{odd}', title: 'Title of {odd}', sources: [painted]}}\n\
         sources:\n  painted: {{type: wms, req: {{url: '{}', layers: a}}, supported_srs: ['EPSG:3857']}}\n",
        upstream.url("/wms")
    );
    dir.write("maps/city.yaml", map);
    let daemon = Setup::embedded(&dir).daemon_yaml("maps: maps\n").start();
    drive("crowd.mjs", &format!("http://{}/city", daemon.address));
    daemon.stop();
}
