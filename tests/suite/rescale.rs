//! Tiles of other levels in place of missing ones: the right part of the right
//! tile, in each service, and the same picture as MapProxy's.

use crate::harness::daemon::Setup;
use crate::harness::{TestDir, Upstream, painted};
#[cfg(feature = "peers")]
use crate::harness::{
    compare::{Pair, best_shift, raster},
    peers::MapProxy,
};

/// A cache that nobody fills, with stored tiles of level 4 (`coarse`), and one
/// with those of level 5 (`fine`).
fn map() -> String {
    "services:\n  wms:\n  tms:\n  wmts:\n\
     layers:\n  - {name: coarse, title: C, sources: [coarse]}\n  - {name: fine, title: F, sources: [fine]}\n\
     caches:\n  coarse: {grids: [GLOBAL_WEBMERCATOR], sources: [], upscale_tiles: 2}\n\
     \x20 fine: {grids: [GLOBAL_WEBMERCATOR], sources: [], downscale_tiles: 1, cache_rescaled_tiles: true}\n\
     globals: {image: {paletted: false}}\n"
        .to_owned()
}

fn path(cache: &str, level: u32, column: u32, row: u32) -> String {
    format!("cache_data/{cache}_EPSG3857/{level:02}/000/000/{column:03}/000/000/{row:03}.png")
}

/// The stored tiles; one of the fine ones is missing.
fn store(dir: &TestDir) {
    dir.write(&path("coarse", 4, 8, 5), painted::tile(4, 8, 5));
    for (column, row) in [(16, 10), (17, 10), (16, 11)] {
        dir.write(&path("fine", 5, column, row), painted::tile(5, column, row));
    }
}

/// Pixels of a picture at some places, without alpha.
fn pixels<const N: usize>(body: &[u8], places: [(u32, u32); N]) -> [[u8; 3]; N] {
    let raster = rhumb::render::decode(body, &Default::default()).expect("a picture");
    assert_eq!((raster.width, raster.height), (256, 256));
    places.map(|(x, y)| {
        let [r, g, b, _] = raster.pixel(x, y);
        [r, g, b]
    })
}

const TILES: [&str; 5] = [
    "/wmts/coarse/GLOBAL_WEBMERCATOR/05/16/10.png",
    "/wmts/coarse/GLOBAL_WEBMERCATOR/05/17/11.png",
    "/wmts/coarse/GLOBAL_WEBMERCATOR/06/32/20.png",
    "/wmts/fine/GLOBAL_WEBMERCATOR/04/8/5.png",
    "/wmts/fine/GLOBAL_WEBMERCATOR/04/0/0.png",
];

/// Tile 4/8/5, and with it a part of its neighbours.
const MAP: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&STYLES=&SRS=EPSG:3857&TRANSPARENT=true\
    &BBOX=-600000,4500000,3100000,8200000&WIDTH=400&HEIGHT=400&FORMAT=image/png&LAYERS=";

#[test]
fn missing_tiles_are_drawn_from_other_levels() {
    let dir = TestDir::new("rescale");
    store(&dir);
    let daemon = Setup::new(&dir, map()).start();
    let own = painted::color(4, 8, 5);
    let edge = own.map(|c| !c);
    // The tile's edge, two pixels wide now, is in the north and west of its quarter.
    let [north_west, south_east, two_up, finer, nothing] = TILES.map(|target| {
        let reply = daemon.get(target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        assert_eq!(reply.content_type(), "image/png");
        reply.body
    });
    // Beside each other the two colours change a little.
    let about = |found: [u8; 3]| {
        let near = |color: [u8; 3]| found.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 40);
        if near(own) {
            "tile"
        } else if near(edge) {
            "edge"
        } else {
            "neither"
        }
    };
    for (tile, name, corners) in [
        (&north_west, "north-west", ["edge", "edge", "edge", "tile"]),
        (&south_east, "south-east", ["tile"; 4]),
        (&two_up, "two levels up", ["edge", "edge", "edge", "tile"]),
    ] {
        assert_eq!(pixels(tile, [(128, 128)]), [own], "{name}");
        assert_eq!(pixels(tile, [(0, 0), (255, 0), (0, 255), (255, 255)]).map(about), corners, "{name}");
    }
    let [a, b, c] = [(16, 10), (17, 10), (16, 11)].map(|(column, row)| painted::color(5, column, row));
    assert_eq!(pixels(&finer, [(64, 64), (192, 64), (64, 192)]), [a, b, c]);
    let hole = rhumb::render::decode(&finer, &Default::default()).expect("a picture").pixel(192, 192);
    assert_eq!(hole[3], 0, "what is missing stays open");
    assert!(rhumb::render::decode(&nothing, &Default::default()).expect("a picture").pixel(9, 9)[3] == 0);
    // Level 7 is three levels away.
    let far = daemon.get("/wmts/coarse/GLOBAL_WEBMERCATOR/07/64/40.png");
    assert_eq!(rhumb::render::decode(&far.body, &Default::default()).expect("a picture").pixel(99, 99)[3], 0);
    // Kept where that was asked for, and only there.
    assert!(dir.join(path("fine", 4, 8, 5)).is_file() && !dir.join(path("fine", 4, 0, 0)).exists());
    assert!(!dir.join(path("coarse", 5, 16, 10)).exists());
    let again = daemon.get(TILES[3]);
    assert!(again.header("etag").is_some() && again.body == finer, "the stored one is the one that was sent");
    daemon.stop();
}

#[test]
#[cfg(feature = "peers")]
fn substitutes_are_mapproxys() {
    let (dir, other) = (TestDir::new("rescale-rhumb"), TestDir::new("rescale-mapproxy"));
    store(&dir);
    store(&other);
    let mapproxy = MapProxy::start(&other.write("mapproxy.yaml", map()));
    let daemon = Setup::new(&dir, map()).start();
    let maps = ["coarse", "fine"].map(|layer| format!("{MAP}{layer}"));
    for target in TILES.iter().map(|tile| (*tile).to_owned()).chain(maps) {
        let (ours, theirs) = (daemon.get(&target), mapproxy.get(&target));
        assert_eq!(theirs.status, 200, "{target}: {}", theirs.text());
        let (a, b) = (raster(&ours.body).expect("ours"), raster(&theirs.body).expect("theirs"));
        let pair = Pair::new(&a, &b).unwrap_or_else(|| panic!("{target}: sizes differ"));
        let psnr_db = pair.psnr_db();
        assert!(psnr_db > 33.0, "{target}: {psnr_db} dB");
        if psnr_db < 99.0 {
            assert_eq!(best_shift(&pair.shift_errors()), (0, 0), "{target}");
        }
    }
    daemon.stop();
}

#[test]
fn a_source_of_coarse_levels_is_magnified_and_only_those_are_asked_for() {
    let dir = TestDir::new("rescale-source");
    let upstream = Upstream::start();
    // Level 4 has 9784 metres per pixel, level 5 half of that.
    let map = format!(
        "services:\n  wmts:\nlayers:\n  - {{name: coarse, title: C, sources: [coarse]}}\n\
         caches:\n  coarse: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock], upscale_tiles: 1, meta_size: [1, 1], meta_buffer: 0}}\n\
         globals: {{image: {{paletted: false}}}}\n\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n    max_res: 9000\n",
        upstream.url("/wms")
    );
    let daemon = Setup::new(&dir, map).start();
    let reply = daemon.get("/wmts/coarse/GLOBAL_WEBMERCATOR/05/17/11.png");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(pixels(&reply.body, [(0, 0), (128, 128)]), [painted::color(4, 8, 5); 2]);
    assert_eq!(upstream.count(), 1);
    assert!(dir.join(path("coarse", 4, 8, 5)).is_file());
    daemon.stop();
}
