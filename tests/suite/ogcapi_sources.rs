//! Sources that speak the OGC API: one rhumb before another, and before MapProxy;
//! servers that say something odd of themselves, or nothing.

use crate::harness::daemon::Setup;
#[cfg(feature = "peers")]
use crate::harness::peers::MapProxy;
use crate::harness::{Answer, Daemon, TestDir, Upstream, painted};

/// The server behind: a painted cache with maps and tiles, in all their colours.
fn behind(upstream: &Upstream) -> String {
    format!(
        "services:\n  ogcapi:\n    map_srs: ['EPSG:4326', 'EPSG:3857']\n    default_dataset_layers: [painted]\n\
         layers:\n  - {{name: painted, title: Painted, sources: [painted]}}\n\
         caches:\n  painted: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock]}}\n\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
         globals: {{image: {{paletted: false}}}}\n",
        upstream.url("/wms")
    )
}

/// The server before it: two caches and a layer without one.
fn before(landing_page: &str) -> String {
    format!(
        "services:\n  wms:\n  wmts:\n\
         layers:\n  - {{name: tiles, title: T, sources: [tiles]}}\n  - {{name: maps, title: M, sources: [maps]}}\n\
         \x20 - {{name: direct, title: D, sources: [collection]}}\n\
         caches:\n  tiles: {{grids: [GLOBAL_WEBMERCATOR], sources: [sets], disable_storage: true}}\n\
         \x20 maps: {{grids: [GLOBAL_WEBMERCATOR], sources: [dataset], disable_storage: true}}\n\
         sources:\n\
         \x20 sets: {{type: ogcapitiles, landingpage_url: '{landing_page}', collection: painted}}\n\
         \x20 dataset: {{type: ogcapimaps, landingpage_url: '{landing_page}', supported_srs: ['EPSG:3857']}}\n\
         \x20 collection: {{type: ogcapimaps, landingpage_url: '{landing_page}/', collection: painted}}\n"
    )
}

/// Tile 5/17/11 as a map in each of the systems.
const MAPS: [(&str, &str); 2] = [
    ("EPSG:3857", "1252344.271424327,5009377.085697313,2504688.542848654,6261721.357121642"),
    ("EPSG:4326", "11.25,40.97989806962013,22.5,48.92249926375824"),
];

fn get_map(layer: &str, srs: &str, bbox: &str) -> String {
    format!(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={layer}&STYLES=&SRS={srs}&BBOX={bbox}\
         &WIDTH=256&HEIGHT=256&FORMAT=image/png"
    )
}

/// Everything that the server before can be asked for shows the same tile.
fn check_all(daemon: &Daemon) {
    for layer in ["tiles", "maps"] {
        let reply = daemon.get(&format!("/wmts/{layer}/GLOBAL_WEBMERCATOR/05/17/11.png"));
        assert_eq!(reply.status, 200, "{layer}: {}", reply.text());
        painted::check(&reply.body, 5, 17, 11).unwrap_or_else(|error| panic!("{layer}: {error}"));
    }
    for (srs, bbox) in MAPS {
        let reply = daemon.get(&get_map("direct", srs, bbox));
        assert_eq!(reply.content_type(), "image/png", "{srs}: {}", reply.text());
        // At the edges a warped map shows what lies beside the tile.
        let raster = rhumb::render::decode(&reply.body, &Default::default()).expect("a picture");
        let middle = (128 * 256 + 128) * 4;
        assert_eq!(raster.pixels[middle..middle + 3], painted::color(5, 17, 11), "{srs}");
    }
}

#[test]
fn one_rhumb_draws_from_another() {
    let (dir, inner_dir) = (TestDir::new("ogcapi-before"), TestDir::new("ogcapi-behind"));
    let upstream = Upstream::start();
    let inner = Setup::new(&inner_dir, behind(&upstream)).start();
    let daemon = Setup::new(&dir, before(&format!("http://{}/ogcapi", inner.address))).start();
    check_all(&daemon);
    daemon.stop();
    inner.stop();
}

#[test]
#[cfg(feature = "peers")]
fn rhumb_draws_from_mapproxy() {
    let (dir, inner_dir) = (TestDir::new("ogcapi-before-mapproxy"), TestDir::new("ogcapi-mapproxy"));
    let upstream = Upstream::start();
    let inner = MapProxy::start(&inner_dir.write("mapproxy.yaml", behind(&upstream)));
    let daemon = Setup::new(&dir, before(&format!("http://{}/ogcapi", inner.address))).start();
    check_all(&daemon);
    daemon.stop();
}

/// A landing page with a link to maps as PNG.
fn landing_page(href: &str) -> Answer {
    let text = format!(
        r#"{{"links": [{{"rel": "http://www.opengis.net/def/rel/ogc/1.0/map", "type": "image/png", "href": "{href}"}}],
             "storageCrs": "http://www.opengis.net/def/crs/EPSG/0/3857"}}"#
    );
    Answer::Bytes("application/json", text.into_bytes())
}

#[test]
fn what_a_server_has_is_asked_once_in_a_process() {
    let dir = TestDir::new("ogcapi-once");
    let upstream = Upstream::scripted(|target| match target {
        "/api" => landing_page("/map.png"),
        _ => Answer::Painted,
    });
    let map = before(&upstream.url("/api")).replace("collection: painted", "seed_only: false");
    let daemon = Setup::new(&dir, map).workers(1).start();
    for _ in 0..3 {
        let (srs, bbox) = MAPS[0];
        let reply = daemon.get(&get_map("direct", srs, bbox));
        painted::check(&reply.body, 5, 17, 11).expect("the right map");
    }
    let targets = upstream.targets();
    assert_eq!(targets.iter().filter(|target| *target == "/api").count(), 1, "{targets:?}");
    assert!(targets[1].starts_with("/map.png?bbox=1252344.27"), "{targets:?}");
    daemon.stop();
}

#[test]
fn a_link_to_another_server_is_not_followed_and_no_password_goes_there() {
    let dir = TestDir::new("ogcapi-elsewhere");
    let other = Upstream::start();
    let elsewhere = other.url("/map.png");
    let upstream = Upstream::scripted(move |_| landing_page(&elsewhere));
    let page = upstream.url("/api").replace("http://", "http://me:secret@");
    let daemon = Setup::new(&dir, before(&page)).start();
    let (srs, bbox) = MAPS[0];
    let reply = daemon.get(&get_map("direct", srs, bbox));
    assert!(reply.text().contains("source failed (see logs for the reason)"), "{}", reply.text());
    assert_eq!(other.count(), 0);
    let log = daemon.log();
    assert!(log.contains("leads to another server and is not followed"), "{log}");
    assert!(log.contains("let landingpage_url name it") && !log.contains("secret"), "{log}");
    daemon.stop();
}

#[test]
fn a_failing_landing_page_is_a_failing_source() {
    let dir = TestDir::new("ogcapi-failing");
    let upstream = Upstream::scripted(|target| match target {
        "/api/collections/painted" => Answer::Status(503),
        _ => Answer::Bytes("application/json", b"{\"tilesets\": ".to_vec()),
    });
    let mut map = before(&upstream.url("/api"));
    map.push_str(&format!(
        "  excused: {{type: ogcapimaps, landingpage_url: '{}', on_error: {{other: {{response: '#00ff00'}}}}}}\n",
        upstream.url("/broken")
    ));
    let map = map.replace("caches:\n", "  - {name: excused, title: E, sources: [excused]}\ncaches:\n");
    let daemon = Setup::new(&dir, map).start();
    let (srs, bbox) = MAPS[0];
    let reply = daemon.get(&get_map("direct", srs, bbox));
    assert!(reply.text().contains("HTTP Error (see logs for URL and reason)"), "{}", reply.text());
    let reply = daemon.get("/wmts/tiles/GLOBAL_WEBMERCATOR/05/17/11.png");
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("HTTP Error (see logs"), "{}", reply.text());
    let reply = daemon.get(&get_map("excused", srs, bbox));
    let raster = rhumb::render::decode(&reply.body, &Default::default()).expect("a picture");
    assert_eq!(raster.pixels[..4], [0, 255, 0, 255]);
    assert!(upstream.targets().contains(&"/broken".to_owned()));
    daemon.stop();
}

#[test]
fn keys_of_its_sources_show_their_effect() {
    let dir = TestDir::new("ogcapi-keys");
    let upstream = Upstream::scripted(|target| match target {
        "/api" => landing_page("/map.png"),
        "/tiles" => Answer::Status(404),
        _ => Answer::Painted,
    });
    let map = format!(
        "services:\n  wms:\n  wmts:\nlayers:\n  - {{name: m, title: M, sources: [m]}}\n  - {{name: t, title: T, sources: [t]}}\n\
         caches:\n  t: {{grids: [GLOBAL_WEBMERCATOR], sources: [t]}}\nsources:\n\
         \x20 m: {{type: ogcapimaps, landingpage_url: '{}', supported_srs: ['EPSG:25832'], transparent: true, bgcolor: '#ff00ff',\n\
         \x20     http: {{headers: {{X-Key: k1}}}}}}\n\
         \x20 t: {{type: ogcapitiles, landingpage_url: '{}', http: {{headers: {{X-Key: k2}}}}, on_error: {{404: {{response: '#00ff00'}}}}}}\n",
        upstream.url("/api"),
        upstream.url("/tiles")
    );
    let daemon = Setup::new(&dir, map).start();
    let (srs, bbox) = MAPS[0];
    assert_eq!(daemon.get(&get_map("m", srs, bbox)).status, 200);
    let asked = upstream.targets().pop().expect("a map was asked for");
    for part in [
        "crs=http%3A%2F%2Fwww.opengis.net%2Fdef%2Fcrs%2FEPSG%2F0%2F25832",
        "transparent=true",
        "bgcolor=0xFF00FF",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let reply = daemon.get("/wmts/t/GLOBAL_WEBMERCATOR/05/17/11.png");
    let raster = rhumb::render::decode(&reply.body, &Default::default()).expect("a picture");
    assert_eq!(raster.pixels[..4], [0, 255, 0, 255]);
    let fields = upstream.fields().join("\n").to_lowercase();
    assert!(fields.contains("x-key: k1") && fields.contains("x-key: k2"), "{fields}");
    daemon.stop();
}
