//! The clients that people use: QGIS, GDAL and OWSLib load layers from the
//! daemon and draw one tile's extent, whose address the test reads in the
//! picture that they drew.

use std::path::Path;
use std::process::{Command, Output};

use crate::cache_faults::{FOUR, map};
use crate::harness::daemon::Setup;
use crate::harness::painted::{self, MERC};
use crate::harness::peers::peer;
use crate::harness::{Daemon, TestDir, Upstream};
use crate::wms_info::{self, STYLE_IN, talkative};

const TILE: (u32, u32, u32) = (5, 17, 10);

/// West, south, east, north of [`TILE`] in metres.
fn extent() -> [f64; 4] {
    let (level, column, row) = TILE;
    let side = 2.0 * MERC / f64::from(1_u32 << level);
    let (west, north) = (f64::from(column) * side - MERC, MERC - f64::from(row) * side);
    [west, north - side, west + side, north]
}

fn extent_text() -> String {
    extent().map(|value| value.to_string()).join(",")
}

fn start(dir: &TestDir, upstream: &Upstream) -> Daemon {
    let text = map(upstream, dir.path(), FOUR).replace("title: painted", "title: Painted").replace(
        "  wms:\n  wmts:\n",
        "  wms: {md: {title: Clients}}\n  ogcapi:\n  wmts:\n  tms: {use_grid_names: false}\n",
    );
    Setup::new(dir, text).start()
}

/// Runs a client that prints the names of the pictures that it has drawn.
fn run(client: &mut Command) -> Vec<String> {
    let Output { status, stdout, stderr } = client.output().expect("the client starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    stdout.lines().map(str::to_owned).collect()
}

/// Clients scale and shift by a hair, so pixels beside the frame are a mixture; those further in are the tile's.
fn check(directory: &Path, name: &str) {
    let bytes = std::fs::read(directory.join(format!("{name}.png"))).expect("a picture");
    let raster = rhumb::render::decode(&bytes, &Default::default()).expect("a picture that decodes");
    assert_eq!((raster.width, raster.height), (painted::TILE_PX, painted::TILE_PX), "{name}");
    let (level, column, row) = TILE;
    let [r, g, b] = painted::color(level, column, row);
    for (x, y) in [(128, 128), (3, 3), (252, 3), (3, 252), (252, 252)] {
        assert_eq!(raster.pixel(x, y), [r, g, b, 255], "{name} at {x},{y}");
    }
    let frame = raster.pixel(0, 128);
    assert!(
        frame[2].abs_diff(!b) < frame[2].abs_diff(b),
        "{name}: the tile's frame is at the picture's: {frame:?}"
    );
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[test]
fn qgis_draws_what_it_is_told_of() {
    let dir = TestDir::new("client-qgis");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let mut client = Command::new("/usr/bin/python3");
    client.arg(script("draw_with_qgis.py")).arg(daemon.url("")).arg(extent_text()).arg(dir.path());
    client.env("QT_QPA_PLATFORM", "offscreen").env("HOME", dir.path()).env("XDG_RUNTIME_DIR", dir.path());
    let names = run(&mut client);
    assert_eq!(names, ["wms", "wms-1.1.1", "wmts", "wmts-kvp", "xyz", "tms"]);
    for name in names {
        check(dir.path(), &name);
    }
    daemon.stop();
}

/// Every way of answering feature info and legends, and the OGC API.
fn start_talkative(dir: &TestDir, upstream: &Upstream) -> Daemon {
    dir.write("in.xsl", STYLE_IN);
    let md = "    md: {title: Talkative}\n";
    let text = wms_info::map(upstream, md).replacen("  tms:\n", "  tms:\n  ogcapi:\n", 1);
    Setup::new(dir, text).start()
}

#[test]
fn qgis_finds_layers_asks_about_points_and_shows_legends() {
    let dir = TestDir::new("client-qgis-browses");
    let upstream = Upstream::scripted(talkative);
    let daemon = start_talkative(&dir, &upstream);
    let mut client = Command::new("/usr/bin/python3");
    client.arg(script("browse_with_qgis.py")).arg(daemon.url("")).arg(extent_text()).arg(dir.path());
    client.env("QT_QPA_PLATFORM", "offscreen").env("HOME", dir.path()).env("XDG_RUNTIME_DIR", dir.path());
    let told = run(&mut client);
    assert_eq!(
        told[0],
        "wms arc cached covered faulty fixed formatted inner jsons legends mixed moved mute named one pages \
         silent styled text xmls"
    );
    assert_eq!(told[1], "wmts cached");
    // Two layers below one another.
    assert_eq!(told[2], "legend 20x30");
    assert!(told[3].starts_with("info ") && told[3].contains("&query_layers=text&"), "{}", told[3]);
    check(dir.path(), "browsed");
    daemon.stop();
}

#[test]
fn owslib_asks_about_points_and_for_maps_of_the_ogc_api() {
    let dir = TestDir::new("client-owslib-inquires");
    let upstream = Upstream::scripted(talkative);
    let daemon = start_talkative(&dir, &upstream);
    let mut client = Command::new(peer("venv/bin/python"));
    let told = run(client.arg(script("inquire_with_owslib.py")).arg(daemon.url("")));
    for (at, version) in [(0, "1.1.1"), (2, "1.3.0")] {
        for part in [
            &format!("info-{version} bbox=8.0,50.0,10.0,52.0&feature_count=3&"),
            "&layers=text&",
            "&x=150&y=20",
        ] {
            assert!(told[at].contains(part), "{part} is not in {}", told[at]);
        }
        let legend = &told[at + 1];
        assert!(legend.contains("GetLegendGraphic") && legend.contains("layer=one"), "{legend}");
    }
    let collections: Vec<&str> = told[4].split(' ').collect();
    assert!(collections.contains(&"mute") && collections.contains(&"cached"), "{collections:?}");
    assert_eq!(told[5], "map PNG 200 100");
    daemon.stop();
}

#[test]
fn owslib_reads_the_capabilities_and_what_they_lead_to() {
    let dir = TestDir::new("client-owslib");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let (level, column, row) = TILE;
    let mut client = Command::new(peer("venv/bin/python"));
    client.arg(script("ask_with_owslib.py")).arg(daemon.url("")).arg(extent_text());
    client.arg(format!("{level},{column},{row}")).arg(dir.path());
    let names = run(&mut client);
    assert_eq!(names, ["wms-1.1.1", "wms-1.3.0", "wmts", "tms"]);
    for name in names {
        check(dir.path(), &name);
    }
    daemon.stop();
}

#[test]
fn gdal_reads_every_service_as_a_raster() {
    let dir = TestDir::new("client-gdal");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let [west, south, east, north] = extent();
    let wms = format!(
        "SERVICE=WMS&REQUEST=GetMap&LAYERS=painted&STYLES=&FORMAT=image/png&BBOX={0},{0},{MERC},{MERC}",
        -MERC
    );
    let sources = [
        ("wms-1.1.1", format!("WMS:{}&VERSION=1.1.1&SRS=EPSG:3857", daemon.url(&format!("/service?{wms}")))),
        ("wms-1.3.0", format!("WMS:{}&VERSION=1.3.0&CRS=EPSG:3857", daemon.url(&format!("/service?{wms}")))),
        ("wmts", format!("WMTS:{},layer=painted", daemon.url("/wmts/1.0.0/WMTSCapabilities.xml"))),
        ("tms", daemon.url("/tms/1.0.0/painted/EPSG3857")),
    ];
    for (name, source) in sources {
        let mut client = Command::new("gdal_translate");
        client.args([
            "-q", "-of", "PNG", "-outsize", "256", "256", "-b", "1", "-b", "2", "-b", "3", "-projwin",
        ]);
        client.args([west, north, east, south].map(|value| value.to_string()));
        client.arg(source).arg(dir.path().join(format!("{name}.png"))).current_dir(dir.path());
        run(&mut client);
        check(dir.path(), name);
    }
    daemon.stop();
}

/// Debian's GDAL reads no tile matrix sets as the OGC has them since 2022.
#[test]
fn a_newer_gdal_reads_tiles_and_maps_of_the_ogc_api() {
    let dir = TestDir::new("client-gdal-ogcapi");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    let source = format!("OGCAPI:{}", daemon.url("/ogcapi/collections/painted"));
    let read = |options: &str, window: String, name: &str| {
        let mut client = Command::new(peer("venv/bin/python"));
        client.arg(script("read_with_gdal.py")).arg(&source).arg(options).arg(window);
        run(client.arg(dir.join(format!("{name}.png"))).current_dir(dir.path()));
    };
    read("API=TILES,TILEMATRIXSET=WebMercatorQuad", extent_text(), "tiles");
    check(dir.path(), "tiles");
    // Maps are read in degrees; which level they are drawn from is the server's choice.
    let (longitude, latitude): (f64, f64) = (16.875, 45.089);
    let [west, south, east, north] = [longitude - 2.0, latitude - 1.0, longitude + 2.0, latitude + 1.0];
    read("API=MAP", format!("{west},{south},{east},{north}"), "map");
    let bytes = std::fs::read(dir.join("map.png")).expect("a picture");
    let raster = rhumb::render::decode(&bytes, &Default::default()).expect("a picture that decodes");
    for (x, y) in [(60, 60), (190, 60), (60, 190), (190, 190)] {
        let east = west + (f64::from(x) + 0.5) / 64.0;
        let north = north - (f64::from(y) + 0.5) / 128.0;
        let possible: Vec<[u8; 4]> = (4..12).map(|level| painted_at(level, east, north)).collect();
        let found = raster.pixel(x, y);
        assert!(possible.contains(&found), "{x},{y}: {found:?} is none of {possible:?}");
    }
    daemon.stop();
}

/// The colour of the tile of a level at a place in degrees.
fn painted_at(level: u32, east: f64, north: f64) -> [u8; 4] {
    let tiles = f64::from(1_u32 << level);
    let column = (east + 180.0) / 360.0 * tiles;
    let row = (1.0 - north.to_radians().tan().asinh() / std::f64::consts::PI) / 2.0 * tiles;
    let [red, green, blue] = painted::color(level, column as u32, row as u32);
    [red, green, blue, 255]
}
