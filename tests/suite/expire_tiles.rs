//! A source that is only asked where a list of tiles says so, and a list that
//! changes under a running daemon.

use nix::sys::signal::Signal;

use crate::harness::daemon::Setup;
use crate::harness::{TestDir, Upstream, await_some, painted};

#[test]
fn a_source_is_asked_where_tiles_have_expired() {
    let dir = TestDir::new("expire-tiles");
    let upstream = Upstream::start();
    let map = format!(
        "services:\n  wmts:\nlayers:\n  - {{name: l, title: L, sources: [c]}}\n\
         caches:\n  c: {{grids: [GLOBAL_WEBMERCATOR], sources: [s], disable_storage: true, meta_size: [1, 1], meta_buffer: 0}}\n\
         sources:\n  s:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
         \x20   coverage: {{expire_tiles: expired}}\n",
        upstream.url("/wms")
    );
    // An empty directory is the usual state between two imports.
    std::fs::create_dir_all(dir.join("expired/today")).expect("a directory");
    let daemon = Setup::new(&dir, map).start();
    let ask = |column: u32, row: u32| {
        let reply = daemon.get(&format!("/wmts/l/GLOBAL_WEBMERCATOR/05/{column}/{row}.png"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.body
    };
    let is_empty = |body: &[u8]| {
        rhumb::render::decode(body, &Default::default()).expect("a picture").pixel(9, 9)[3] == 0
    };
    assert!(is_empty(&ask(17, 11)) && upstream.count() == 0);
    assert!(daemon.log().contains("sources.s.coverage.expire_tiles: names no tiles"), "{}", daemon.log());
    dir.write("expired/today/12-00.list", "5/17/11\n");
    daemon.signal(Signal::SIGHUP);
    await_some("the new list to be in force", || (!is_empty(&ask(17, 11))).then_some(()));
    painted::check(&ask(17, 11), 5, 17, 11).expect("the right tile");
    let asked = upstream.count();
    assert!(is_empty(&ask(20, 11)) && upstream.count() == asked, "beside the list nobody is asked");
    daemon.stop();
}
