//! The way of a request end to end, on pictures that carry their own address.

use crate::harness::daemon::Setup;
use crate::harness::{TestDir, Upstream, painted};

/// A cache over the mock's WMS, PNG and meta tiles of 4×4.
pub fn painted_map(upstream: &Upstream) -> String {
    format!(
        "services:\n  wms:\n  tms:\n  wmts:\n  kml:\n  demo:\n\
         layers:\n  - {{name: painted, title: Painted, sources: [painted]}}\n\
         caches:\n  painted: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock]}}\n\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n",
        upstream.url("/wms")
    )
}

#[test]
fn a_tile_is_fetched_once_and_stored() {
    let dir = TestDir::new("smoke-tile");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    for _ in 0..2 {
        let reply = daemon.get("/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png");
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.content_type(), "image/png");
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    }
    assert_eq!(upstream.count(), 1);
    daemon.stop();
}

#[test]
fn a_tile_just_made_bears_the_etag_of_its_stored_state() {
    let dir = TestDir::new("smoke-etag");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, painted_map(&upstream)).start();
    let target = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";
    let made = daemon.get(target);
    let etag = made.header("etag").expect("a tile has an ETag").to_owned();
    assert_eq!(daemon.get(target).header("etag"), Some(etag.as_str()));
    let mut client = daemon.client();
    let request = format!("GET {target} HTTP/1.1\r\nHost: maps.test\r\nIf-None-Match: {etag}\r\n\r\n");
    client.send(request).expect("the daemon reads");
    assert_eq!(client.read_reply(false).expect("an answer").status, 304);
    daemon.stop();
}
