//! Keys that say how much may happen at once, and for how long: the upstream
//! holds its answers, and counts what reaches it meanwhile.

use crate::harness::daemon::Setup;
use crate::harness::{TestDir, Upstream};

use super::{PLACE, map};

const SIDE_M: f64 = 1_252_344.271_424_327;

/// What is asked of a map, and how many requests come together upstream.
struct Case {
    /// YAML below `globals`, `globals.cache`, `caches.maps`, `services.wms` and `services.ogcapi`.
    globals: &'static str,
    globals_cache: &'static str,
    cache: &'static str,
    wms: &'static str,
    ogcapi: &'static str,
    requests: Vec<String>,
    together: usize,
}

impl Case {
    fn new(requests: Vec<String>, together: usize) -> Case {
        Case { globals: "", globals_cache: "", cache: "", wms: "", ogcapi: "", requests, together }
    }

    fn map(&self, upstream: &Upstream, data: &str) -> String {
        let Case { globals, globals_cache, cache, wms, ogcapi, .. } = self;
        let source = |name: &str| {
            format!(
                "  {name}: {{type: wms, supported_srs: ['EPSG:3857'], req: {{url: '{}', layers: a, transparent: true}}}}\n",
                upstream.url(&format!("/wms/{name}"))
            )
        };
        format!(
            "globals: {{cache: {{base_dir: '{data}', meta_size: [1, 1], meta_buffer: 0{globals_cache}}}{globals}}}\n\
             sources:\n{}{}{}\
             caches: {{maps: {{sources: [one], grids: [GLOBAL_WEBMERCATOR]{cache}}}}}\n\
             layers:\n  - {{name: maps, title: Maps, sources: [maps]}}\n\
             \x20 - {{name: two, title: Two, sources: [two]}}\n  - {{name: three, title: Three, sources: [three]}}\n\
             services: {{wms: {{srs: ['EPSG:3857']{wms}}}, ogcapi: {{map_srs: ['EPSG:3857']{ogcapi}}}}}\n",
            source("one"),
            source("two"),
            source("three"),
        )
    }
}

/// Each case has an upstream of its own, which answers only when as many
/// requests have come as should be under way together, and counts if more do.
fn prove(cases: &[Case]) {
    let dir = TestDir::new("keys-waiting");
    let upstreams: Vec<Upstream> = cases.iter().map(|_| Upstream::start()).collect();
    for (number, (case, upstream)) in cases.iter().zip(&upstreams).enumerate() {
        let data = dir.join(format!("data{number}"));
        dir.write(&format!("maps/case{number}.yaml"), case.map(upstream, &data.to_string_lossy()));
    }
    let daemon = Setup::embedded(&dir).workers(1).daemon_yaml("maps: maps\n").start();
    for (number, (case, upstream)) in cases.iter().zip(&upstreams).enumerate() {
        upstream.hold();
        let mut clients: Vec<_> = case.requests.iter().map(|_| daemon.client()).collect();
        for (client, request) in clients.iter_mut().zip(&case.requests) {
            client.send_get(&format!("/case{number}{request}")).expect("a request");
        }
        upstream.await_count(case.together);
        upstream.release();
        for (client, request) in clients.iter_mut().zip(&case.requests) {
            let reply = client.read_reply(false).expect("an answer");
            assert_eq!(reply.status, 200, "{request}: {}", reply.text());
        }
        assert_eq!(upstream.peak(), case.together, "case {number}: {:?}", case.requests);
    }
    daemon.stop();
}

/// Maps of single places, one beside the other.
fn places(count: u32) -> Vec<String> {
    let place = |at: u32| {
        let west = SIDE_M * f64::from(at);
        map("two", &format!("{west},0,{},{SIDE_M}", west + SIDE_M), 64, 64)
    };
    (0..count).map(place).collect()
}

#[test]
fn requests_of_all_sources_are_limited_by_the_globals() {
    prove(&[
        Case::new(places(4), 4),
        Case { globals: ", http: {concurrent_requests: 1}", ..Case::new(places(4), 1) },
        Case { globals: ", http: {concurrent_requests: 3}", ..Case::new(places(4), 3) },
    ]);
}

#[test]
fn tiles_of_a_map_are_made_side_by_side() {
    // Sixteen tiles of level 5.
    let wide = || vec![map("maps", &format!("0,0,{},{}", 4.0 * SIDE_M, 4.0 * SIDE_M), 1024, 1024)];
    prove(&[
        Case::new(wide(), 2),
        Case { cache: ", concurrent_tile_creators: 1", ..Case::new(wide(), 1) },
        Case { cache: ", concurrent_tile_creators: 5", ..Case::new(wide(), 5) },
        Case { globals_cache: ", concurrent_tile_creators: 3", ..Case::new(wide(), 3) },
    ]);
}

#[test]
fn layers_of_a_map_are_drawn_side_by_side() {
    let layers = || vec![map("two,three", PLACE, 64, 64)];
    let collections = || {
        vec!["/ogcapi/map.png?collections=two,three&bbox=5,45,15,55&crs=http://www.opengis.net/def/crs/EPSG/0/3857&width=64&height=64".to_owned()]
    };
    prove(&[
        Case::new(layers(), 1),
        Case { wms: ", concurrent_layer_renderer: 2", ..Case::new(layers(), 2) },
        Case::new(collections(), 1),
        Case { ogcapi: ", concurrent_layer_renderer: 2", ..Case::new(collections(), 2) },
    ]);
}

#[test]
fn an_upstream_that_says_nothing_is_given_up() {
    let dir = TestDir::new("keys-timeout");
    let upstream = Upstream::start();
    let map_with = |http: &str| {
        format!(
            "sources: {{one: {{type: wms, supported_srs: ['EPSG:3857'], req: {{url: '{}', layers: a}}{http}}}}}\n\
             layers: [{{name: one, title: One, sources: [one]}}]\nservices: {{wms: {{srs: ['EPSG:3857']}}}}\n",
            upstream.url("/wms")
        )
    };
    dir.write("maps/patient.yaml", map_with(""));
    dir.write("maps/hasty.yaml", map_with(", http: {client_timeout: 0.2}"));
    let daemon = Setup::embedded(&dir).workers(1).daemon_yaml("maps: maps\n").start();
    upstream.hold();
    let request = map("one", PLACE, 64, 64);
    let mut patient = daemon.client();
    patient.send_get(&format!("/patient{request}")).expect("a request");
    upstream.await_count(1);
    let reply = daemon.get(&format!("/hasty{request}"));
    assert_eq!(reply.status, 500, "an error while the upstream still holds: {}", reply.text());
    upstream.release();
    assert_eq!(patient.read_reply(false).expect("an answer").status, 200);
    daemon.stop();
}
