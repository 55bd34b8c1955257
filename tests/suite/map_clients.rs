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
        "  wms: {md: {title: Clients}}\n  wmts:\n  tms: {use_grid_names: false}\n",
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
