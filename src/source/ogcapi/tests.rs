//! Documents of servers that are right, odd or hostile.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::geo::{Extent, Srs, TileCoord};
use crate::source::client::ClientOptions;
use crate::source::error::OnErrorRule;
use crate::source::{MapRequest, OnError};

/// A server that answers each target with its document, and writes down what it
/// was asked and with which fields.
struct Server {
    authority: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(documents: &[(&str, Value)]) -> Server {
        let documents: HashMap<String, String> =
            documents.iter().map(|(target, json)| ((*target).to_owned(), json.to_string())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut writer = stream.try_clone().unwrap();
                let mut head = String::new();
                let mut reader = BufReader::new(stream);
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                told.lock().unwrap().push(head);
                let (status, kind, body) = match documents.get(&target) {
                    Some(body) => ("200 OK", "application/json", body.as_str()),
                    None if target.contains(".png") => ("200 OK", "image/png", "pixels"),
                    None => ("404 Not Found", "text/plain", ""),
                };
                let length = body.len();
                let _ = writer.write_all(
                    format!(
                        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\
                         Content-Length: {length}\r\n\r\n{body}"
                    )
                    .as_bytes(),
                );
            }
        });
        Server { authority, asked }
    }

    fn landing(&self, collection: Option<&str>) -> Landing {
        let auth = Some(("me".to_owned(), "secret".to_owned()));
        let client = Client::new(ClientOptions { basic_auth: auth, ..ClientOptions::default() });
        Landing::new(&format!("http://{}/ogcapi/", self.authority), collection, Arc::new(client))
    }

    fn targets(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|head| head.split(' ').nth(1).unwrap_or_default().to_owned()).collect()
    }

    fn tiles(&self, tile_matrix_set: Option<&str>) -> TilesSource {
        let set = tile_matrix_set.map(str::to_owned);
        TilesSource::new("t".into(), self.landing(None), set, OnError::default())
    }

    fn maps(&self, change: impl FnOnce(&mut MapsParts)) -> MapsSource {
        let mut parts = MapsParts {
            name: "m".into(),
            landing: self.landing(None),
            systems: Vec::new(),
            transparent: false,
            bgcolor: None,
            on_error: OnError::default(),
        };
        change(&mut parts);
        MapsSource::new(parts)
    }
}

fn srs(code: &str) -> Srs {
    Srs::parse(code).unwrap()
}

fn request(code: &str, format: &str) -> MapRequest {
    MapRequest {
        extent: Extent::new(1.0, 2.0, 3.5, 4.0),
        size: (20, 10),
        srs: srs(code),
        whole_edges: [false; 4],
        format: format.into(),
        parameters: Vec::new(),
    }
}

fn map_link(kind: &str, href: &str) -> Value {
    json!({ "rel": "http://www.opengis.net/def/rel/ogc/1.0/map", "type": kind, "href": href })
}

#[test]
fn maps_are_asked_for_as_mapproxy_asks() {
    let server = Server::start(&[(
        "/ogcapi",
        json!({
            "links": [map_link("image/jpeg", "map.jpg"), map_link("image/png", "/ogcapi/map.png?k=1")],
            "crs": ["http://www.opengis.net/def/crs/OGC/1.3/CRS84", "http://www.opengis.net/def/crs/EPSG/0/31467",
                    "http://www.opengis.net/def/crs/NOBODY/0/1", "http://www.opengis.net/def/crs/EPSG/0/4326"],
            "storageCrs": "http://www.opengis.net/def/crs/EPSG/0/3857",
        }),
    )]);
    let maps = server.maps(|_| {});
    let codes: Vec<String> = maps.systems().unwrap().iter().map(|srs| srs.code().to_owned()).collect();
    assert_eq!(codes, ["EPSG:3857", "OGC:CRS84", "EPSG:31467", "EPSG:4326"]);
    for (request, target) in [
        (
            request("EPSG:3857", "image/png; mode=24bit"),
            "/ogcapi/map.png?k=1&bbox=1,2,3.5,4&bbox-crs=http%3A%2F%2Fwww.opengis.net%2Fdef%2Fcrs%2FEPSG%2F0%2F3857\
             &crs=http%3A%2F%2Fwww.opengis.net%2Fdef%2Fcrs%2FEPSG%2F0%2F3857&width=20&height=10",
        ),
        (
            request("EPSG:31467", "image/gif"),
            "/ogcapi/map.png?k=1&bbox=2,1,4,3.5&bbox-crs=http%3A%2F%2Fwww.opengis.net%2Fdef%2Fcrs%2FEPSG%2F0%2F31467\
             &crs=http%3A%2F%2Fwww.opengis.net%2Fdef%2Fcrs%2FEPSG%2F0%2F31467&width=20&height=10",
        ),
        (
            request("EPSG:4326", "image/png"),
            "/ogcapi/map.png?k=1&bbox=1,2,3.5,4\
             &crs=http%3A%2F%2Fwww.opengis.net%2Fdef%2Fcrs%2FEPSG%2F0%2F4326&width=20&height=10",
        ),
        (
            request("CRS:84", "image/png"),
            "/ogcapi/map.png?k=1&bbox=1,2,3.5,4\
             &crs=http%3A%2F%2Fwww.opengis.net%2Fdef%2Fcrs%2FOGC%2F1.3%2FCRS84&width=20&height=10",
        ),
    ] {
        assert!(matches!(maps.fetch(&request), Ok(Answer::Image { .. })), "{target}");
        assert_eq!(server.targets().last().unwrap(), target);
    }
    // A relative link counts from the document, whose address has no slash at its end.
    assert!(matches!(maps.fetch(&request("EPSG:3857", "image/jpeg")), Err(SourceError::Status { .. })));
    assert!(server.targets().last().unwrap().starts_with("/map.jpg?bbox=1,2,"));
    let documents = server.targets().iter().filter(|target| *target == "/ogcapi").count();
    assert_eq!(documents, 1, "the landing page is read once");
    assert!(server.asked.lock().unwrap()[0].to_lowercase().contains("\r\naccept: application/json\r\n"));
}

#[test]
fn maps_without_systems_are_in_degrees_and_say_their_ground() {
    let server = Server::start(&[("/ogcapi", json!({ "links": [map_link("image/png", "/m.png")] }))]);
    let maps = server.maps(|parts| {
        parts.transparent = true;
        parts.bgcolor = Some([255, 0, 16, 255]);
    });
    assert_eq!(maps.systems().unwrap(), [srs("EPSG:4326")]);
    maps.fetch(&request("EPSG:4326", "image/png")).unwrap();
    let target = server.targets().pop().unwrap();
    assert_eq!(target, "/m.png?bbox=1,2,3.5,4&width=20&height=10&transparent=true&bgcolor=0xFF0010");
    let half = server.maps(|parts| parts.bgcolor = Some([255, 0, 16, 128]));
    half.fetch(&request("EPSG:4326", "image/png")).unwrap();
    assert!(server.targets().pop().unwrap().ends_with("&bgcolor=0x80FF0010"));
}

#[test]
fn a_landing_page_of_no_use_says_what_is_missing() {
    let elsewhere = json!({ "links": [map_link("image/png", "http://169.254.169.254/map")] });
    for (page, reason) in [
        (json!({ "title": "no links" }), "no link to maps"),
        (json!({ "links": "none" }), "no link to maps"),
        (
            json!({ "links": [{ "rel": "map", "type": "text/html", "href": "/m" }, 7, null] }),
            "no link to maps",
        ),
        (json!({ "links": [map_link("image/png", "file:///etc/passwd")] }), "no address of http"),
        (elsewhere, "leads to another server"),
        (json!({ "links": [map_link("image/png", &"x".repeat(5_000))] }), "longer than 4096 bytes"),
        (
            json!({ "links": [map_link("image/png", "/m")], "crs": ["urn:x", 4] }),
            "none of its coordinate systems",
        ),
    ] {
        let server = Server::start(&[("/ogcapi", page)]);
        let error = server.maps(|_| {}).systems().unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&server.authority), "{reason}: {error}");
        assert_eq!(server.targets(), ["/ogcapi"]);
    }
    let nowhere = Server::start(&[]);
    assert!(matches!(nowhere.maps(|_| {}).systems(), Err(SourceError::Status { status: 404, .. })));
    let other = OnErrorRule { status: None, color: [9; 4], cache: false, authorize_stale: false };
    let excused = nowhere.maps(|parts| parts.on_error = OnError(vec![other]));
    assert!(matches!(excused.fetch(&request("EPSG:4326", "image/png")), Ok(Answer::Color { .. })));
}

#[test]
fn documents_have_limits() {
    let huge = json!({ "links": [map_link("image/png", "/m.png")], "more": "x".repeat(2 * 1024 * 1024) });
    let server = Server::start(&[("/ogcapi", huge)]);
    let error = server.maps(|_| {}).systems().unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { limit_bytes: DOCUMENT_BYTES_MAX, .. }), "{error}");
    let mut links = vec![json!({ "rel": "self", "href": "/" }); LINKS_MAX];
    links.push(map_link("image/png", "/m.png"));
    let server = Server::start(&[("/ogcapi", json!({ "links": links }))]);
    assert!(server.maps(|_| {}).systems().is_err());
    let mut deep = Value::Null;
    for _ in 0..120 {
        deep = json!([deep]);
    }
    let text = deep.to_string().replace("null", &format!("{}{}", "[".repeat(50), "]".repeat(50)));
    assert!(serde_json::from_str::<Value>(&text).is_err(), "the parser bounds depth");
}

fn tiling_scheme(cell: f64, side: u32) -> Value {
    const HALF: f64 = 20037508.342789244;
    json!({
        "id": "quad", "crs": { "uri": "http://www.opengis.net/def/crs/EPSG/0/3857" },
        "tileMatrices": [{
            "id": "EPSG:3857:0/1", "cellSize": cell, "cornerOfOrigin": "topLeft", "pointOfOrigin": [-HALF, HALF],
            "matrixWidth": side, "matrixHeight": side, "tileWidth": 256, "tileHeight": 256,
        }],
    })
}

fn tile_set(name: &str, crs: &str) -> Value {
    json!({
        "dataType": "map", "crs": format!("http://www.opengis.net/def/crs/EPSG/0/{crs}"),
        "links": [
            { "rel": "[ogc-rel:tiling-scheme]", "type": "application/json; charset=utf-8",
              "href": format!("/schemes/{name}") },
            { "rel": "self", "type": "application/json", "href": format!("/ogcapi/map/tiles/{name}?f=json") },
        ],
    })
}

/// Documents of a server with two tile sets of one system, the first of which
/// does not have the wanted format.
fn documents(template: &str) -> Vec<(&'static str, Value)> {
    let item = |kind: &str, href: &str| json!({ "links": [{ "rel": "item", "type": kind, "href": href }] });
    vec![
        (
            "/ogcapi",
            json!({ "links": [{
                "rel": "http://www.opengis.net/def/rel/ogc/1.0/tilesets-map",
                "type": "application/json", "href": "/ogcapi/map/tiles",
            }] }),
        ),
        (
            "/ogcapi/map/tiles",
            json!({ "tilesets": [
                { "dataType": "vector", "crs": "http://www.opengis.net/def/crs/EPSG/0/3857" },
                { "dataType": "map" },
                tile_set("jpegs", "3857"), tile_set("quad", "3857"), tile_set("other", "25832"),
            ] }),
        ),
        ("/schemes/jpegs", tiling_scheme(156543.03392804097, 1)),
        ("/schemes/quad", tiling_scheme(78271.51696402048, 2)),
        ("/ogcapi/map/tiles/jpegs?f=json", item("image/jpeg", "/j/{tileMatrix}/{tileRow}/{tileCol}.jpg")),
        ("/ogcapi/map/tiles/quad?f=json", item("image/png", template)),
    ]
}

#[test]
fn a_tile_set_is_found_step_by_step_and_only_once() {
    let server = Server::start(&documents("quad/{tileMatrix}/{tileRow}/{tileCol}.png"));
    let tiles = server.tiles(None);
    for _ in 0..2 {
        let set = tiles.tile_set(&srs("EPSG:900913"), "image/png").unwrap();
        assert_eq!(set.grid().grid_size(0), (2, 2));
        let got = tiles.fetch(&set, TileCoord::new(1, 0, 0)).unwrap();
        assert!(matches!(got, Answer::Image { bytes, .. } if bytes == b"pixels"));
    }
    let tile = "/ogcapi/map/tiles/quad/EPSG:3857:0%2F1/0/1.png";
    assert_eq!(
        server.targets(),
        [
            "/ogcapi",
            "/ogcapi/map/tiles",
            "/schemes/jpegs",
            "/ogcapi/map/tiles/jpegs?f=json",
            "/schemes/quad",
            "/ogcapi/map/tiles/quad?f=json",
            tile,
            tile,
        ]
    );
}

#[test]
fn a_tile_set_can_be_named() {
    let server = Server::start(&documents("/{tileMatrix}/{tileRow}/{tileCol}.png"));
    let tiles = server.tiles(Some("quad"));
    assert!(tiles.tile_set(&srs("EPSG:3857"), "image/png").is_ok());
    assert!(!server.targets().contains(&"/schemes/jpegs".to_owned()));
    let error = server.tiles(Some("uad")).tile_set(&srs("EPSG:3857"), "image/png").unwrap_err();
    assert!(error.to_string().contains("no map tiles by the tile matrix set `uad`"), "{error}");
}

#[test]
fn tiles_that_are_not_to_be_had_say_why() {
    let missing = |template: &str, code: &str, media_type: &str| {
        let server = Server::start(&documents(template));
        server.tiles(None).tile_set(&srs(code), media_type).unwrap_err().to_string()
    };
    let good = "/{tileMatrix}/{tileRow}/{tileCol}.png";
    for (template, code, media_type, reason) in [
        (good, "EPSG:4326", "image/png", "no map tiles in EPSG:4326"),
        (good, "EPSG:25832", "image/png", "HTTP status 404"),
        (good, "EPSG:3857", "image/tiff", "no tiles as image/tiff, but as \"image/png\""),
        ("http://evil.example/{tileMatrix}/{tileRow}/{tileCol}", "EPSG:3857", "image/png", "another server"),
        ("/{tileMatrix}/{z}.png", "EPSG:3857", "image/png", "placeholders we do not know"),
    ] {
        let error = missing(template, code, media_type);
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn addresses_stay_on_the_server_whatever_a_level_is_called() {
    let server = Server::start(&documents("{tileMatrix}"));
    let error = server.tiles(None).tile_set(&srs("EPSG:3857"), "image/png").unwrap_err().to_string();
    // The level's name has a colon; as a whole address it would be a scheme.
    assert!(error.contains("the link EPSG:3857:0%2F1 is no address"), "{error}");
    assert!(
        server.targets().iter().all(|target| target.starts_with("/ogcapi") || target.starts_with("/sch"))
    );
}

#[test]
fn finding_out_has_an_end() {
    let server = Server::start(&documents("/x"));
    let landing = server.landing(None);
    let visit = landing.visit();
    for _ in 0..DOCUMENTS_MAX {
        visit.begin().unwrap();
    }
    assert!(visit.begin().unwrap_err().to_string().contains("20 documents"));
    let late = Visit { deadline: Instant::now(), ..landing.visit() };
    assert!(late.begin().unwrap_err().to_string().contains("took 90000 ms"));
}

#[test]
fn the_landing_page_keeps_its_query() {
    for (page, collection, url) in [
        ("http://h/ogcapi/", None, "http://h/ogcapi"),
        ("http://h", Some("a"), "http://h/collections/a"),
        ("http://h/x/?map=m", Some("a?b"), "http://h/x/collections/a%3Fb?map=m"),
    ] {
        let client = Arc::new(Client::new(ClientOptions::default()));
        assert_eq!(Landing::new(page, collection, client).url, url);
    }
}
