//! What clients of MapProxy are used to in corners that pictures and documents
//! alone do not show: sizes of pictures, kinds of pixels, words on a page, and
//! how soon a change by hand is seen.

use std::time::{Duration, SystemTime};

use crate::cache_faults::{SINGLE, map, put, set_time, target, tile_path};
use crate::harness::compare::raster;
use crate::harness::daemon::Setup;
use crate::harness::{Answer, Daemon, Reply, TestDir, Upstream, painted};

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 160, 0];

/// A picture of which the western half is red and the eastern green.
fn halves(width: u32, height: u32) -> Vec<u8> {
    let pixels = (0..width * height).flat_map(|at| if at % width < width / 2 { RED } else { GREEN });
    painted::png(&pixels.collect::<Vec<u8>>(), width, height)
}

/// The kind of pixels that a PNG's header tells (PNG specification §11.2.2).
fn pixel_kind(png: &[u8]) -> u8 {
    assert_eq!(&png[12..16], b"IHDR");
    png[25]
}

const GREY: u8 = 0;
const RGB: u8 = 2;
const RGBA: u8 = 6;

fn ok(reply: Reply) -> Vec<u8> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body
}

fn get_map(daemon: &Daemon, layers: &str, rest: &str) -> Vec<u8> {
    ok(daemon.get(&format!(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={layers}&STYLES=&WIDTH=200&HEIGHT=100&{rest}"
    )))
}

/// Size and colours left and right of the middle.
fn check_halves(bytes: &[u8], size: (u32, u32)) {
    let picture = raster(bytes).expect("a picture");
    assert_eq!((picture.width, picture.height), size);
    for (x, [red, green, blue]) in [(size.0 / 8, RED), (size.0 * 7 / 8, GREEN)] {
        for y in [size.1 / 8, size.1 * 7 / 8] {
            assert_eq!(picture.pixel(x, y), [red, green, blue, 255], "{x}, {y}");
        }
    }
}

#[test]
fn an_upstreams_picture_of_another_size_covers_what_was_asked_for() {
    let dir = TestDir::new("odd-size");
    let picture = halves(90, 60);
    let sent = picture.clone();
    let upstream = Upstream::scripted(move |_| Answer::Bytes("image/png", sent.clone()));
    let map = map(&upstream, dir.path(), SINGLE)
        .replace("caches:", "  - {name: direct, title: Direct, sources: [mock]}\ncaches:")
        .replace("globals:\n", "globals:\n  image: {paletted: false}\n");
    let daemon = Setup::new(&dir, map).start();
    let mercator = "SRS=EPSG:3857&BBOX=0,0,2000000,1000000";
    let as_it_came = get_map(&daemon, "direct", &format!("{mercator}&FORMAT=image/png"));
    assert!(as_it_came == picture, "the whole map is the upstream's picture");
    for (layers, rest) in [
        ("direct", format!("{mercator}&FORMAT=image/tiff")),
        ("direct", "SRS=EPSG:4326&BBOX=0,0,20,10&FORMAT=image/png".to_owned()),
        (
            "painted",
            "SRS=EPSG:3857&BBOX=0,0,20037508.342789244,10018754.171394622&FORMAT=image/png".to_owned(),
        ),
    ] {
        check_halves(&get_map(&daemon, layers, &rest), (200, 100));
    }
    check_halves(&ok(daemon.get(&target(6, 3, 20))), (256, 256));
    check_halves(&std::fs::read(tile_path(dir.path(), 6, 3, 20)).expect("a stored tile"), (256, 256));
    assert!(daemon.log().contains("an image of 90×60 pixels in place of"), "{}", daemon.log());
    daemon.stop();
}

#[test]
fn the_colour_in_place_of_a_failure_has_no_palette() {
    let dir = TestDir::new("on-error-colour");
    for (status, response, kind) in [(404, "transparent", RGBA), (405, "'#ff0000'", RGB)] {
        let upstream = Upstream::scripted(move |_| Answer::Status(status));
        let on_error =
            format!("    on_error: {{{status}: {{response: {response}, cache: false}}}}\nglobals:");
        let map = map(&upstream, dir.path(), SINGLE).replace("globals:", &on_error);
        let daemon = Setup::new(&dir, map).start();
        assert_eq!(pixel_kind(&ok(daemon.get(&target(6, 3, 20)))), kind, "{status}");
        daemon.stop();
    }
}

#[test]
fn a_transparent_map_without_palette_has_an_alpha_and_a_grey_one_is_grey() {
    let dir = TestDir::new("pixel-kinds");
    let upstream = Upstream::start();
    let map = map(&upstream, dir.path(), &format!("{SINGLE}, image: {{transparent: true}}"))
        .replace(
            "caches:\n",
            "  - {name: grey, title: Grey, sources: [grey]}\n  - {name: direct, title: Direct, sources: [mock]}\n\
             caches:\n  grey:\n    grids: [GLOBAL_WEBMERCATOR]\n    disable_storage: true\n    sources:\n      \
             l: [{source: painted, band: 0, factor: 0.5}, {source: painted, band: 1, factor: 0.5}]\n",
        )
        .replace("globals:\n", "globals:\n  image: {paletted: false}\n");
    let daemon = Setup::new(&dir, map).start();
    let rest = "SRS=EPSG:3857&BBOX=0,0,2000000,1000000&FORMAT=image/png";
    for (layers, more, kind) in [
        ("painted", "&TRANSPARENT=true", RGBA),
        ("painted", "", RGB),
        ("direct", "&TRANSPARENT=true", RGB),
        ("grey", "", GREY),
        ("grey", "&BGCOLOR=0xff0000", RGB),
        ("grey,direct", "", RGB),
    ] {
        let map = get_map(&daemon, layers, &format!("{rest}{more}"));
        assert_eq!(pixel_kind(&map), kind, "{layers} {more}");
    }
    let tile = ok(daemon.get("/wmts/grey/GLOBAL_WEBMERCATOR/06/3/20.png"));
    assert_eq!(pixel_kind(&tile), GREY);
    let [red, green, _] = painted::color(6, 3, 20);
    let grey = red / 2 + green / 2;
    let [r, g, b, _] = raster(&tile).expect("a tile").pixel(128, 128);
    assert!([r, g, b].iter().all(|band| band.abs_diff(grey) <= 1), "{r} {g} {b} in place of {grey}");
    daemon.stop();
}

/// `serve` trusts a tile in memory for a second, `develop` does not.
#[test]
fn in_development_a_tile_that_is_changed_by_hand_is_seen_at_once() {
    let dir = TestDir::new("develop-tile");
    let upstream = Upstream::start();
    let map = dir.write(
        "mapproxy.yaml",
        map(&upstream, dir.path(), &format!("{SINGLE}, refresh_before: {{days: 5}}")),
    );
    let daemon = Daemon::develop(&dir, &map);
    for _ in 0..3 {
        painted::check(&ok(daemon.get(&target(6, 3, 20))), 6, 3, 20).expect("the tile");
    }
    assert_eq!(upstream.count(), 1);
    let path = tile_path(dir.path(), 6, 3, 20);
    put(&path, halves(256, 256));
    check_halves(&ok(daemon.get(&target(6, 3, 20))), (256, 256));
    set_time(&path, SystemTime::now() - Duration::from_secs(6 * 86_400));
    painted::check(&ok(daemon.get(&target(6, 3, 20))), 6, 3, 20).expect("the tile, made anew");
    assert_eq!(upstream.count(), 2);
    daemon.stop();
}

/// Edges that a coverage names in whole numbers go upstream as they were written.
#[test]
fn a_coverage_of_whole_numbers_is_asked_for_in_whole_numbers() {
    let dir = TestDir::new("whole-edges");
    let upstream = Upstream::start();
    for (bbox, asked) in [
        ("[10, 15, 30.5, 31]", "12.0,15,30.5,31"),
        ("[10.0, 15.0, 30.5, 31.0]", "12.0,15.0,30.5,31.0"),
        ("'10,15,30.5,31'", "12.0,15.0,30.5,31.0"),
    ] {
        let map = map(&upstream, dir.path(), SINGLE)
            .replace("supported_srs: ['EPSG:3857']", &format!("coverage: {{bbox: {bbox}, srs: 'EPSG:4326'}}"))
            .replace("caches:", "  - {name: direct, title: Direct, sources: [mock]}\ncaches:");
        let daemon = Setup::new(&dir, map).start();
        get_map(&daemon, "direct", "SRS=EPSG:4326&BBOX=12,0,40,40&FORMAT=image/png");
        let targets = upstream.targets();
        let query = targets.last().expect("a request");
        assert!(query.contains(&format!("bbox={asked}&")), "{bbox}: {query}");
        daemon.stop();
    }
}

#[test]
fn the_first_page_names_whom_it_stands_for() {
    let dir = TestDir::new("first-page");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, map(&upstream, dir.path(), SINGLE)).start();
    assert!(daemon.get("/").text().contains("MapProxy"));
    daemon.stop();
    dir.write("maps/one.yaml", map(&upstream, dir.path(), SINGLE));
    let daemon = Setup::embedded(&dir).daemon_yaml("maps: maps\n").start();
    assert!(daemon.get("/").text().contains("MapProxy"));
    daemon.stop();
}

/// A debug source in a cache draws single tiles: one of a whole block would
/// tell its text in the first of them only.
#[test]
fn a_debug_source_tells_of_each_tile() {
    let dir = TestDir::new("debug-tiles");
    let upstream = Upstream::start();
    let map = map(&upstream, dir.path(), "meta_size: [2, 2]")
        .replace("sources: [mock]", "sources: [told]")
        .replace("sources:\n", "sources:\n  told: {type: debug}\n");
    let daemon = Setup::new(&dir, map.clone()).start();
    for (column, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let tile = raster(&ok(daemon.get(&target(1, column, row)))).expect("a tile");
        let mut inks: Vec<[u8; 4]> = tile.pixels.as_chunks::<4>().0.to_vec();
        inks.sort_unstable();
        inks.dedup();
        assert!(inks.len() > 1, "{column}/{row} is empty");
    }
    daemon.stop();
    // With a source of whole maps it can share no meta tiles.
    let mixed = map.replace("sources: [told]", "sources: [mock, told]");
    let (code, log) = Setup::new(&dir, mixed).try_start().err().expect("a refusal");
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("cannot share meta tiles"), "{log}");
}
