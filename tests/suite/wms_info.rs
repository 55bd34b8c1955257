//! Feature info and legends: what upstreams are asked, and what becomes of
//! their answers.

use crate::harness::compare::raster;
use crate::harness::daemon::Setup;
use crate::harness::upstream::Answer;
use crate::harness::{Daemon, TestDir, Upstream, painted};

/// Documents by path, legends by layer, painted maps for the rest.
pub fn talkative(target: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs: Vec<String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| format!("{}={}", name.to_ascii_lowercase(), value.replace("%2C", ",")))
        .collect();
    pairs.sort();
    let asked = pairs.join("&");
    let bytes = |kind: &'static str, text: String| Answer::Bytes(kind, text.into_bytes());
    if asked.contains("request=getlegendgraphic") || asked.contains("request=GetLegendGraphic") {
        let layer = pairs.iter().find_map(|pair| pair.strip_prefix("layer=")).unwrap_or_default();
        if asked.contains("format=application%2Fjson") {
            return bytes("application/json", format!("{{\"Legend\": [{{\"layerName\": \"{layer}\"}}]}}"));
        }
        let side = 10 * layer.len() as u32;
        return Answer::Bytes(
            "image/png",
            painted::png(&legend(layer).repeat((side * side) as usize), side, side),
        );
    }
    let is_info = asked.contains("request=GetFeatureInfo") || asked.contains("request=feature_info");
    match path {
        "/text" if is_info => bytes("text/plain", asked),
        "/html" if is_info => bytes("text/html", "<p>ä &amp; b</p>".into()),
        "/page" if is_info => {
            bytes("text/html", "<html><head><title>t</title></head><body><b>2</b>x<br></body></html>".into())
        }
        "/xml" if is_info => bytes("text/xml", "<?xml version=\"1.0\"?><r><v>1</v></r>".into()),
        "/more" if is_info => bytes("application/vnd.ogc.gml", "<q xmlns:n=\"u\">lost<n:v/>kept</q>".into()),
        "/json" if is_info => {
            bytes("application/json", "{\"features\": [{\"id\": 1}], \"n\": {\"a\": 1}}".into())
        }
        "/also" if is_info => {
            bytes("application/json", "{\"features\": [{\"id\": 2}], \"n\": {\"b\": 2}}".into())
        }
        "/broken" if is_info => bytes("text/xml", "<r><unfinished>".into()),
        "/down" => Answer::Status(503),
        "/arc/MapServer/identify" => bytes("text/plain", format!("{{\"asked\": \"{asked}\"}}")),
        "/static.png" => Answer::Bytes("image/png", painted::png(&[9, 8, 7].repeat(35), 7, 5)),
        _ => Answer::Painted,
    }
}

/// The colour of a layer's legend.
fn legend(layer: &str) -> [u8; 3] {
    [layer.len() as u8, layer.bytes().next().unwrap_or_default(), 100]
}

/// A layer for each way of answering; `services` goes below `services.wms`.
pub fn map(upstream: &Upstream, services: &str) -> String {
    let url = |path: &str| upstream.url(path);
    let info = "wms_opts: {featureinfo: true}";
    let source = |name: &str| {
        format!(
            "  {name}: {{type: wms, req: {{url: '{}', layers: '{name}'}}, {info}}}\n",
            url(&format!("/{name}"))
        )
    };
    let plain: String =
        ["text", "html", "page", "xml", "more", "json", "also", "broken", "down"].map(source).concat();
    let layer =
        |name: &str, sources: &str| format!("  - {{name: {name}, title: {name}, sources: [{sources}]}}\n");
    let layers: String = [
        ("text", "text"),
        ("pages", "html, page"),
        ("xmls", "xml, more"),
        ("jsons", "json, also"),
        ("mixed", "xml, text"),
        ("faulty", "xml, down"),
        ("moved", "moved"),
        ("covered", "covered"),
        ("formatted", "formatted"),
        ("styled", "styled"),
        ("cached", "cached"),
        ("arc", "arc"),
        ("mute", "mute"),
        ("legends", "one, three"),
        ("one", "one"),
        ("fixed", "fixed"),
    ]
    .map(|(name, sources)| layer(name, sources))
    .concat();
    format!(
        "services:\n  wms:\n    srs: ['EPSG:4326', 'EPSG:3857', 'EPSG:25832']\n{services}\
         \x20 wmts:\n    featureinfo_formats: [{{mimetype: text/plain, suffix: txt}}, {{mimetype: application/json, suffix: json}}]\n\
         \x20 tms:\n\
         layers:\n{layers}\
         \x20 - name: named\n    title: named\n    legendurl: {static_url}\n    sources: [text]\n\
         \x20 - name: group\n    title: group\n    layers:\n\
         \x20     - {{name: inner, title: inner, sources: [text]}}\n\
         \x20     - {{name: silent, title: silent, sources: [mute]}}\n\
         caches:\n  cached: {{grids: [GLOBAL_WEBMERCATOR], sources: [text]}}\n\
         sources:\n{plain}\
         \x20 mute: {{type: wms, req: {{url: '{mute}', layers: mute}}}}\n\
         \x20 moved: {{type: wms, req: {{url: '{text}', layers: moved}}, supported_srs: ['EPSG:4326'], {info}}}\n\
         \x20 covered: {{type: wms, req: {{url: '{text}', layers: covered}}, coverage: {{bbox: [5, 45, 15, 55], srs: 'EPSG:4326'}}, {info}}}\n\
         \x20 formatted: {{type: wms, req: {{url: '{text}', layers: formatted, format: image/jpeg, token: a}}, wms_opts: {{version: 1.3.0, featureinfo: true, featureinfo_format: text/plain, query_layers: other}}}}\n\
         \x20 styled: {{type: wms, req: {{url: '{xml}', layers: styled}}, wms_opts: {{featureinfo: true, featureinfo_xslt: in.xsl, featureinfo_format: text/xml, featureinfo_out_format: text/html}}}}\n\
         \x20 one: {{type: wms, req: {{url: '{text}', layers: 'a,bb'}}, wms_opts: {{legendgraphic: true}}}}\n\
         \x20 three: {{type: wms, req: {{url: '{text}', layers: 'ccc'}}, wms_opts: {{legendgraphic: true}}}}\n\
         \x20 fixed: {{type: wms, req: {{url: '{text}', layers: x}}, wms_opts: {{legendurl: {static_url}}}}}\n\
         \x20 arc: {{type: arcgis, req: {{url: '{arc}', layers: 'show:1'}}, opts: {{featureinfo: true, featureinfo_tolerance: 10}}, supported_srs: ['EPSG:3857']}}\n",
        text = url("/text"),
        xml = url("/xml"),
        mute = url("/mute"),
        static_url = url("/static.png"),
        arc = url("/arc/MapServer"),
    )
}

pub const STYLE_IN: &str = "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
<xsl:template match=\"/\"><html><body><i><xsl:value-of select=\"/r/v\"/></i></body></html></xsl:template></xsl:stylesheet>";
pub const STYLE_OUT: &str = "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
<xsl:template match=\"/\"><done><xsl:value-of select=\"count(//*)\"/></done></xsl:template></xsl:stylesheet>";

pub fn start(dir: &TestDir, upstream: &Upstream, services: &str) -> Daemon {
    dir.write("in.xsl", STYLE_IN);
    dir.write("out.xsl", STYLE_OUT);
    Setup::new(dir, map(upstream, services)).start()
}

/// A GetFeatureInfo of 1.1.1 in the middle of Germany.
pub fn info(layers: &str, more: &str) -> String {
    format!(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetFeatureInfo&LAYERS={layers}&QUERY_LAYERS={layers}&STYLES=\
         &SRS=EPSG:4326&BBOX=8,50,10,52&WIDTH=200&HEIGHT=100&X=150&Y=20{more}"
    )
}

#[test]
fn answers_of_one_kind_are_merged() {
    let dir = TestDir::new("wms-info-merge");
    let upstream = Upstream::scripted(talkative);
    let daemon = start(&dir, &upstream, "");
    for (layers, kind, body) in [
        ("pages", "text/html", "<html><body><p>ä &amp; b</p><b>2</b>x<br></body></html>"),
        ("xmls", "application/vnd.ogc.gml", "<r><v>1</v><n:v xmlns:n=\"u\"/>kept</r>"),
        ("jsons", "application/json", "{\"features\":[{\"id\":1},{\"id\":2}],\"n\":{\"a\":1,\"b\":2}}"),
        ("styled", "text/html", "<html><body><i>1</i></body></html>"),
        ("faulty", "application/vnd.ogc.gml", "<r><v>1</v></r>"),
    ] {
        let reply = daemon.get(&info(layers, ""));
        assert_eq!(reply.status, 200, "{layers}: {}", reply.text());
        assert!(reply.content_type().starts_with(kind), "{layers}: {}", reply.content_type());
        assert_eq!(reply.text().replace('\n', ""), body, "{layers}");
    }
    let mixed = daemon.get(&info("mixed", ""));
    assert!(mixed.content_type().starts_with("text/plain"));
    assert!(mixed.text().contains("<r><v>1</v></r>\nbbox=8.0,50.0,10.0,52.0&"), "{}", mixed.text());
    let newer = info("xmls", "")
        .replace("1.1.1", "1.3.0")
        .replace("SRS=", "CRS=")
        .replace("BBOX=8,50,10,52", "BBOX=50,8,52,10");
    let reply = daemon.get(&newer.replace("&X=", "&I=").replace("&Y=", "&J="));
    assert_eq!((reply.status, reply.content_type()), (200, "text/xml; charset=utf-8"), "{}", reply.text());
    daemon.stop();
}

#[test]
fn sources_are_asked_in_their_own_words() {
    let dir = TestDir::new("wms-info-words");
    let upstream = Upstream::scripted(talkative);
    let daemon = start(&dir, &upstream, "");
    for (layers, more, parts) in [
        (
            "text",
            "&FEATURE_COUNT=7&INFO_FORMAT=text/plain&FORMAT=image/jpeg",
            vec![
                "feature_count=7",
                "info_format=text%2Fplain",
                "format=image%2Fjpeg",
                "x=150",
                "y=20",
                "query_layers=text",
            ],
        ),
        (
            "formatted",
            "&INFO_FORMAT=text/html",
            vec![
                "info_format=text%2Fplain",
                "format=image%2Fjpeg",
                "i=150",
                "j=20",
                "query_layers=other",
                "token=a",
                "crs=EPSG%3A4326",
                "bbox=50.0,8.0,52.0,10.0",
            ],
        ),
        ("group", "", vec!["layers=text", "srs=EPSG%3A4326"]),
        ("cached", "", vec!["layers=text", "bbox=8.0,50.0,10.0,52.0"]),
    ] {
        let reply = daemon.get(&info(layers, more));
        assert_eq!(reply.status, 200, "{layers}: {}", reply.text());
        for part in parts {
            assert!(
                reply.text().split('&').any(|pair| pair == part),
                "{layers}: {part} is not in {}",
                reply.text()
            );
        }
    }
    // A source of another system is asked there, about the same place.
    let utm = info("moved", "")
        .replace("EPSG:4326", "EPSG:25832")
        .replace("8,50,10,52", "500000,5600000,510000,5605000");
    let text = daemon.get(&utm).text();
    assert!(text.contains("srs=EPSG%3A4326"), "{text}");
    let number = |name: &str| -> f64 {
        let value = text.split('&').find_map(|pair| pair.strip_prefix(name)).expect(name);
        value.parse().expect("a number")
    };
    let bbox: Vec<f64> = text
        .split('&')
        .find_map(|p| p.strip_prefix("bbox="))
        .expect("a bbox")
        .split(',')
        .map(|v| v.parse().expect("an edge"))
        .collect();
    let longitude = bbox[0] + (bbox[2] - bbox[0]) * number("x=") / number("width=");
    let latitude = bbox[3] - (bbox[3] - bbox[1]) * number("y=") / number("height=");
    assert!(
        (longitude - 9.1057).abs() < 0.002 && (latitude - 50.5894).abs() < 0.002,
        "{longitude} {latitude}"
    );
    let arc = daemon.get(&info("arc", "&INFO_FORMAT=application/json")).text();
    for part in
        ["tolerance=10", "returngeometry=false", "sr=3857", "geometrytype=esriGeometryPoint", "f=json"]
    {
        assert!(arc.contains(part), "{part} is not in {arc}");
    }
    daemon.stop();
}

#[test]
fn nobody_is_asked_outside_of_a_coverage() {
    let dir = TestDir::new("wms-info-coverage");
    let upstream = Upstream::scripted(talkative);
    let daemon = start(&dir, &upstream, "");
    assert!(daemon.get(&info("covered", "")).text().contains("layers=covered"));
    let asked = upstream.count();
    let outside = info("covered", "&INFO_FORMAT=text/html").replace("8,50,10,52", "28,50,30,52");
    let reply = daemon.get(&outside);
    assert_eq!((reply.status, reply.text().as_str()), (200, ""));
    assert!(reply.content_type().starts_with("text/html"));
    assert_eq!(upstream.count(), asked);
    daemon.stop();
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let dir = TestDir::new("wms-info-refused");
    let upstream = Upstream::scripted(talkative);
    let daemon = start(&dir, &upstream, "");
    for (target, said) in [
        (info("mute", ""), "layer mute is not queryable"),
        (info("silent", ""), "layer silent is not queryable"),
        (info("nowhere", ""), "unknown layer: nowhere"),
        (info("text", "").replace("QUERY_LAYERS=text", "QUERY_LAYERS=nowhere"), "unknown layer: nowhere"),
        (info("text", "").replace("&X=150", ""), "missing parameters [&#39;x&#39;]"),
        (info("text", "").replace("X=150", "X=1e999"), "invalid position"),
        (info("text", "").replace("X=150", "X=NaN"), "invalid position"),
        (info("text", "").replace("WIDTH=200", "WIDTH=0"), "invalid size"),
        (info("text", "").replace("EPSG:4326", "EPSG:1"), "unsupported srs: EPSG:1"),
        (info("down", "").replace("down", "faulty").replace("faulty", "text"), ""),
    ] {
        let reply = daemon.get(&target);
        assert!(reply.text().contains(said), "{target}: {} {}", reply.status, reply.text());
        assert_eq!(reply.status == 200, said.is_empty(), "{target}: {}", reply.text());
    }
    daemon.stop();
}

#[test]
fn strict_wants_everything_and_raise_fails() {
    let dir = TestDir::new("wms-info-strict");
    let upstream = Upstream::scripted(talkative);
    let daemon = start(&dir, &upstream, "    strict: true\n    on_source_errors: raise\n");
    let missing = daemon.get(&info("text", "").replace("&STYLES=", ""));
    assert!(
        missing.text().contains("missing parameters [&#39;styles&#39;, &#39;format&#39;]"),
        "{}",
        missing.text()
    );
    assert_eq!(daemon.get(&info("text", "&FORMAT=image/png")).status, 200);
    let failed = daemon.get(&info("faulty", "&FORMAT=image/png"));
    assert_eq!(failed.status, 500);
    assert!(failed.text().contains("HTTP Error"), "{}", failed.text());
    daemon.stop();
}

#[test]
fn the_service_transforms_the_merged_document() {
    let dir = TestDir::new("wms-info-style");
    let upstream = Upstream::scripted(talkative);
    let daemon =
        start(&dir, &upstream, "    featureinfo_types: [xml, json]\n    featureinfo_xslt: {xml: out.xsl}\n");
    let reply = daemon.get(&info("xmls", ""));
    assert_eq!((reply.status, reply.content_type()), (200, "application/vnd.ogc.gml"), "{}", reply.text());
    assert_eq!(reply.text().trim(), "<done>3</done>");
    let capabilities = daemon.get("/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities").text();
    let formats =
        capabilities.split("<GetFeatureInfo>").nth(1).and_then(|rest| rest.split("<DCPType>").next());
    let formats = formats.unwrap_or_default().replace(char::is_whitespace, "");
    assert_eq!(formats, "<Format>text/xml</Format><Format>application/json</Format>");
    daemon.stop();
}

#[test]
fn tiles_answer_about_their_pixels() {
    let dir = TestDir::new("wmts-info");
    let upstream = Upstream::scripted(talkative);
    let daemon = start(&dir, &upstream, "");
    let key_value = "/service?SERVICE=WMTS&REQUEST=GetFeatureInfo&VERSION=1.0.0&LAYER=cached&STYLE=&TILEMATRIXSET=GLOBAL_WEBMERCATOR\
                     &TILEMATRIX=01&TILEROW=0&TILECOL=1&FORMAT=image/png&INFOFORMAT=text/plain&I=17&J=34";
    for target in [key_value, "/wmts/cached/GLOBAL_WEBMERCATOR/01/1/0/17/34.txt"] {
        let reply = daemon.get(target);
        assert_eq!(
            (reply.status, reply.content_type()),
            (200, "text/plain; charset=utf-8"),
            "{}",
            reply.text()
        );
        for part in [
            "bbox=0.0,0.0,20037508.342789244,20037508.342789244",
            "x=17",
            "y=34",
            "width=256",
            "srs=EPSG%3A3857",
        ] {
            assert!(reply.text().split('&').any(|pair| pair == part), "{part} is not in {}", reply.text());
        }
    }
    for (target, status, said) in [
        (
            key_value.replace("INFOFORMAT=text/plain", "INFOFORMAT=image/png"),
            400,
            "unknown infoformat: image/png",
        ),
        (key_value.replace("TILECOL=1", "TILECOL=2"), 400, "TileOutOfRange"),
        (key_value.replace("&I=17", "&I=x"), 400, "invalid i (x)"),
        (key_value.replace("&J=34", ""), 500, "missing parameters [&#39;j&#39;]"),
        ("/wmts/cached/GLOBAL_WEBMERCATOR/01/1/0/17/34.exe".to_owned(), 400, "unknown infoformat: exe"),
    ] {
        let reply = daemon.get(&target);
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
        assert!(reply.text().contains(said), "{target}: {}", reply.text());
    }
    daemon.stop();
}

#[test]
fn legends_are_stacked_and_kept() {
    let dir = TestDir::new("wms-legend");
    let upstream = Upstream::scripted(talkative);
    let daemon = start(&dir, &upstream, "");
    let target = |layer: &str, more: &str| {
        format!(
            "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetLegendGraphic&LAYER={layer}&FORMAT=image/png&SLD_VERSION=1.1.0{more}"
        )
    };
    for _ in 0..2 {
        let reply = daemon.get(&target("legends", ""));
        assert_eq!((reply.status, reply.content_type()), (200, "image/png"), "{}", reply.text());
        let picture = raster(&reply.body).expect("a picture");
        assert_eq!((picture.width, picture.height), (30, 60));
        for (y, layer) in [(0, "ccc"), (29, "ccc"), (30, "bb"), (49, "bb"), (50, "a"), (59, "a")] {
            let [r, g, b] = legend(layer);
            assert_eq!(picture.pixel(5, y), [r, g, b, 255], "row {y}");
        }
    }
    assert_eq!(upstream.count(), 3, "the second answer comes from the folder");
    daemon.get(&target("legends", "&SCALE=5"));
    assert_eq!(upstream.count(), 6, "each scale has a legend of its own");
    assert!(upstream.targets().iter().any(|target| target.contains("scale=5.0")));
    let json = daemon.get(&target("legends", "").replace("image/png", "application/json"));
    assert_eq!(json.content_type(), "application/json");
    assert_eq!(json.text(), r#"{"Legend":[{"layerName":"a"},{"layerName":"bb"},{"layerName":"ccc"}]}"#);
    for layer in ["fixed", "named"] {
        let picture = raster(&daemon.get(&target(layer, "&SCALE=9")).body).expect("a picture");
        assert_eq!((picture.width, picture.height, picture.pixel(0, 0)), (7, 5, [9, 8, 7, 255]));
    }
    let none = daemon.get(&target("mute", ""));
    assert_eq!(none.status, 404);
    assert!(none.text().contains("layer mute has no legend graphic"));
    let capabilities = daemon.get("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities").text();
    assert!(capabilities.contains("<LegendURL width=\"30\" height=\"60\">"), "{capabilities}");
    let tiles = daemon.get("/wmts/1.0.0/WMTSCapabilities.xml").text();
    assert!(!tiles.contains("LegendURL"), "the cached layer has no legend");
    daemon.stop();
}

#[test]
fn a_stylesheet_that_is_none_is_refused() {
    let dir = TestDir::new("wms-info-bad-style");
    let upstream = Upstream::scripted(talkative);
    dir.write("in.xsl", "<no>");
    let refused = Setup::new(&dir, map(&upstream, "")).try_start();
    let Err((code, log)) = refused else { panic!("a broken stylesheet was taken") };
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("in.xsl"), "{log}");
}
