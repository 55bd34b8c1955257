//! The demo pages of the real daemon: documents that need a source's word,
//! addresses behind a prefix, what somebody may see. What a browser makes of
//! them is in `browser.rs`.

use crate::harness::daemon::Setup;
use crate::harness::upstream::Answer;
use crate::harness::{Daemon, Reply, TestDir, Upstream, painted};

/// Two layers with caches, legends and feature info.
fn map(upstream: &Upstream) -> String {
    let source = |name: &str| {
        let url = upstream.url("/wms");
        format!(
            "  {name}: {{type: wms, req: {{url: '{url}', layers: {name}}}, supported_srs: ['EPSG:3857'], \
             wms_opts: {{featureinfo: true, legendgraphic: true}}}}\n"
        )
    };
    format!(
        "services:\n  demo:\n  wms:\n  wmts:\n    featureinfo_formats: [{{mimetype: text/plain, suffix: txt}}]\n  tms:\n  kml:\n  ogcapi:\n\
         layers:\n  - {{name: open, title: Open land, sources: [open]}}\n  - {{name: closed, title: Closed land, sources: [closed]}}\n\
         caches:\n  open: {{grids: [GLOBAL_WEBMERCATOR], sources: [wms_open]}}\n  closed: {{grids: [GLOBAL_WEBMERCATOR], sources: [wms_closed]}}\n\
         sources:\n{}{}",
        source("wms_open"),
        source("wms_closed")
    )
}

fn upstream() -> Upstream {
    Upstream::scripted(|target| match target.to_ascii_lowercase().contains("getlegendgraphic") {
        true => Answer::Bytes("image/png", painted::png(&[9; 300], 10, 10)),
        false => Answer::Painted,
    })
}

/// What a page says in the way of a test: entities of addresses undone.
fn page(reply: &Reply) -> String {
    reply.text().replace("&#x2f;", "/").replace("&amp;", "&")
}

#[test]
fn capabilities_are_shown_before_sizes_of_legends_are_known() {
    let dir = TestDir::new("demo-legends");
    let upstream = upstream();
    let daemon = Setup::new(&dir, map(&upstream)).start();
    let reply = daemon.get("/demo/?wms_capabilities");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("LegendURL"), "{}", reply.text());
    assert_eq!(upstream.count(), 2);
    daemon.stop();
}

#[test]
fn pages_below_a_prefix_stay_below_it() {
    let dir = TestDir::new("demo-prefix");
    let upstream = upstream();
    dir.write("maps/city.yaml", map(&upstream));
    let daemon = Setup::embedded(&dir).daemon_yaml("maps: maps\ntrusted_proxies: [127.0.0.1]\n").start();
    let ask = |target: &str, fields: &str| {
        let mut client = daemon.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: maps.test\r\n{fields}\r\n")).expect("sent");
        client.read_reply(false).expect("an answer")
    };
    let proxied = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: gis.example\r\nX-Script-Name: /gis\r\n";
    for (fields, base) in [("", "http://maps.test/city"), (proxied, "https://gis.example/gis/city")] {
        for (query, shown) in [
            ("", "/service<"),
            ("?wms_layer=open", "\"base\":\""),
            ("?wmts_layer=open", "\"path\":\"wmts/open/GLOBAL_WEBMERCATOR/{z}/{x}/{y}.png\""),
            ("?ogcapi_map=open", "\"path\":\"ogcapi/collections/open/map.{format}\""),
            ("?wms_capabilities", "/service?REQUEST=GetCapabilities&SERVICE=WMS<"),
        ] {
            let reply = ask(&format!("/city/demo/{query}"), fields);
            let text = page(&reply);
            assert_eq!(reply.status, 200, "{query}: {text}");
            assert!(text.contains(base) && text.contains(shown), "{query}: {text}");
            // Everything the page itself asks for is beside it.
            assert!(!text.contains("=\"/"), "{query}: an address from the root: {text}");
        }
        let moved = ask("/city/demo", fields);
        assert_eq!((moved.status, moved.header("location")), (301, Some(format!("{base}/demo/").as_str())));
    }
    daemon.stop();
}

/// `printf 'key of part' | sha256sum`
const KEY_OF_PART: &str = "59f4c900d4aeafd7198aa43ed0a4f54192410df1fc3887d2359c47a15bdaf8b6";

fn as_part(daemon: &Daemon, target: &str) -> Reply {
    let mut client = daemon.client();
    let fields = "X-Api-Key: key of part\r\n";
    client.send(format!("GET {target} HTTP/1.1\r\nHost: maps.test\r\n{fields}\r\n")).expect("sent");
    client.read_reply(false).expect("an answer")
}

#[test]
fn nobody_learns_of_layers_that_he_may_not_see() {
    let dir = TestDir::new("demo-permits");
    let upstream = upstream();
    let auth = format!(
        "auth:\n  api_keys: {{keys: [{{sha256: {KEY_OF_PART}, user: part}}]}}\n  rules:\n    - {{users: [part], layers: [open]}}\n"
    );
    let daemon = Setup::new(&dir, map(&upstream)).daemon_yaml(&auth).start();
    for query in [
        "",
        "?wms_layer=open",
        "?wmts_layer=open",
        "?tms_layer=open",
        "?ogcapi_map=open",
        "?ogcapi_tiles=open",
        "?wms_capabilities",
        "?wmts_capabilities",
        "?wmts_capabilities_kvp",
        "?tms_capabilities",
    ] {
        let reply = as_part(&daemon, &format!("/demo/{query}"));
        let text = reply.text().to_lowercase();
        assert_eq!(reply.status, 200, "{query}: {text}");
        assert!(text.contains("open") && !text.contains("closed"), "{query}: {text}");
        assert!(reply.header("cache-control").is_some_and(|value| !value.contains("public")), "{query}");
        assert_eq!(daemon.get(&format!("/demo/{query}")).status, 401, "{query}");
    }
    for query in ["wms_layer", "wmts_layer", "tms_layer", "ogcapi_map", "ogcapi_tiles"] {
        // As if there were no such layer.
        let closed = as_part(&daemon, &format!("/demo/?{query}=closed"));
        let absent = as_part(&daemon, &format!("/demo/?{query}=absent"));
        assert_eq!((closed.status, absent.status), (404, 404), "{query}");
        assert_eq!(closed.text().replace("closed", "absent"), absent.text(), "{query}");
    }
    daemon.stop();
}

/// Addresses that MapProxy's demo writes, and so may stand among anybody's bookmarks.
#[test]
fn bookmarks_of_mapproxys_pages_open() {
    let dir = TestDir::new("demo-bookmarks");
    let upstream = upstream();
    let daemon = Setup::new(&dir, map(&upstream)).start();
    for (query, shown) in [
        ("?srs=EPSG%3A3857&format=image%2Fpng&wms_layer=open", "Layer Preview - open"),
        ("?srs=EPSG:4326&format=image/jpeg&wms_layer=open", "\"code\":\"EPSG:4326\""),
        ("?wmts_layer=open&format=png&srs=EPSG%3A3857", "Layer Preview - open"),
        ("?tms_layer=open&format=png&srs=EPSG%3A3857", "Layer Preview - open"),
        ("?tms_capabilities&layer=open&srs=EPSG3857", "TileSets"),
        ("?wms_capabilities", "WMS_Capabilities"),
        ("?wms_capabilities&type=external", "WMS_Capabilities"),
        ("?wmsc_capabilities", "TileSet"),
        ("?wmsc_capabilities&type=external", "TileSet"),
        ("?wmts_capabilities", "TileMatrixSet"),
        ("?wmts_capabilities_kvp&type=external", "TileMatrixSet"),
        ("?tms_capabilities&type=external", "TileMapService"),
    ] {
        let reply = daemon.get(&format!("/demo/{query}"));
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert!(page(&reply).contains(shown), "{query}: {}", reply.text());
    }
    let start = daemon.get("/demo/").text();
    for address in [
        "../service?REQUEST=GetCapabilities&SERVICE=WMS",
        "../demo/?wmts_layer=open&format=png&srs=EPSG%3A3857",
        "../demo/?tms_layer=open&format=png&srs=EPSG%3A3857",
    ] {
        assert!(start.contains(&format!("href=\"{address}\"")), "{address}: {start}");
    }
    daemon.stop();
}
