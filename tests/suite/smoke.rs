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
