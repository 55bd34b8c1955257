//! `rhumb export` and `rhumb grids`: tiles of a cache into files of their own,
//! and what the grids look like.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{TestDir, Upstream, painted};

fn rhumb(dir: &TestDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rhumb"))
        .args(arguments)
        .current_dir(dir.path())
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write_map(dir: &TestDir, upstream: &Upstream) {
    let map = format!(
        "caches:\n  painted: {{grids: [GLOBAL_WEBMERCATOR], sources: [mock], cache: {{type: file}}}}\n\
         sources:\n  mock:\n    type: wms\n    req: {{url: '{}', layers: a}}\n    supported_srs: ['EPSG:3857']\n\
         globals: {{cache: {{base_dir: '{}'}}}}\n",
        upstream.url("/wms"),
        dir.join("cache").display()
    );
    dir.write("map.yaml", map);
}

/// A tile of the layout `tms`; rows of GLOBAL_WEBMERCATOR count from the north.
fn check_tile(directory: &Path, level: u32, column: u32, row: u32) {
    let path = directory.join(format!("{level}/{column}/{row}.png"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    painted::check(&bytes, level, column, row).expect("the right tile");
}

#[test]
fn tiles_are_fetched_and_exported() {
    let dir = TestDir::new("export");
    let upstream = Upstream::start();
    write_map(&dir, &upstream);
    let arguments = [
        "export",
        "map.yaml",
        "--source",
        "painted",
        "--grid",
        "GLOBAL_WEBMERCATOR",
        "--dest",
        "out",
        "--levels",
        "0..3",
    ];
    let nothing = rhumb(&dir, &arguments);
    assert!(nothing.status.success(), "{}", text(&nothing.stderr));
    assert_eq!(upstream.count(), 0);
    assert!(dir.join("out/tile_locks").is_dir());

    let again = rhumb(&dir, &arguments);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--force"), "{}", text(&again.stderr));

    let fetched = rhumb(&dir, &[&arguments[..], &["--force", "--fetch-missing-tiles", "-c", "3"]].concat());
    assert!(fetched.status.success(), "{}", text(&fetched.stderr));
    assert!(text(&fetched.stdout).contains("85 tiles made"), "{}", text(&fetched.stdout));
    for (level, column, row) in [(0, 0, 0), (1, 1, 0), (2, 3, 2), (3, 0, 7), (3, 5, 1)] {
        check_tile(&dir.join("out"), level, column, row);
    }
    let asked = upstream.count();

    // What is cached now needs no source any more.
    let copy =
        rhumb(&dir, &[&arguments[..7], &["copy", "--levels", "3", "--type", "mapproxy", "-qq"]].concat());
    assert!(copy.status.success(), "{}", text(&copy.stderr));
    assert_eq!((upstream.count(), text(&copy.stdout).as_str()), (asked, ""));
    assert!(dir.join("copy/03/000/000/005/000/000/001.png").is_file());
}

#[test]
fn tiles_are_exported_into_databases() {
    let dir = TestDir::new("export-database");
    let upstream = Upstream::start();
    write_map(&dir, &upstream);
    let base = ["export", "map.yaml", "--source", "painted", "--fetch-missing-tiles", "--levels", "0..2"];
    for (kind, grid, path, is_south) in [
        ("mbtile", "base=GLOBAL_WEBMERCATOR origin=sw", "south.mbtiles", true),
        ("mbtile", "GLOBAL_WEBMERCATOR", "north.mbtiles", false),
        ("sqlite", "GLOBAL_WEBMERCATOR", "levels", false),
        ("geopackage", "GLOBAL_WEBMERCATOR", "north.gpkg", false),
    ] {
        let export = rhumb(&dir, &[&base[..], &["--type", kind, "--grid", grid, "--dest", path]].concat());
        assert!(export.status.success(), "{kind}: {}", text(&export.stderr));
        let file = if kind == "sqlite" {
            dir.join(path).join("GLOBAL_WEBMERCATOR/2.mbtiles")
        } else {
            dir.join(path)
        };
        let connection = rusqlite::Connection::open(file).expect("a database");
        let is_package = "SELECT table_name FROM gpkg_contents";
        let table = connection.query_row(is_package, [], |row| row.get(0)).unwrap_or("tiles".to_owned());
        let sql = format!("SELECT count(*) FROM \"{table}\"");
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0)).expect("a count");
        assert_eq!(count, if kind == "sqlite" { 16 } else { 21 });
        let place = "zoom_level = 2 AND tile_column = 3 AND tile_row = 1";
        let sql = format!("SELECT tile_data FROM \"{table}\" WHERE {place}");
        let bytes: Vec<u8> = connection.query_row(&sql, [], |row| row.get(0)).expect("a tile");
        painted::check(&bytes, 2, 3, if is_south { 2 } else { 1 }).expect("the right tile");
    }
}

#[test]
fn an_export_keeps_to_its_area_and_grid() {
    let dir = TestDir::new("export-area");
    let upstream = Upstream::start();
    write_map(&dir, &upstream);
    let base = ["export", "-f", "map.yaml", "--source", "painted", "--fetch-missing-tiles"];
    let part = rhumb(
        &dir,
        &[
            &base[..],
            &["--grid", "GLOBAL_WEBMERCATOR", "--dest", "part", "--levels", "4"],
            &["--coverage", "10,10,20,20", "--srs", "EPSG:4326"],
        ]
        .concat(),
    );
    assert!(part.status.success(), "{}", text(&part.stderr));
    assert!(text(&part.stdout).contains("1 tiles made"), "{}", text(&part.stdout));
    check_tile(&dir.join("part"), 4, 8, 7);

    let grid =
        ["--grid", "base=GLOBAL_WEBMERCATOR num_levels=3 origin=sw", "--dest", "south", "--levels", "2"];
    let south = rhumb(&dir, &[&base[..], &grid].concat());
    assert!(south.status.success(), "{}", text(&south.stderr));
    let bytes = std::fs::read(dir.join("south/2/1/0.png")).expect("a tile");
    painted::check(&bytes, 2, 1, 3).expect("the southernmost row is number 0");

    let unsaid = rhumb(&dir, &["export", "map.yaml"]);
    assert_eq!(unsaid.status.code(), Some(1));
    assert!(text(&unsaid.stderr).starts_with("ERROR: missing required option --grid"));
    for (wrong, word) in [
        (["--grid", "nothing", "--dest", "a", "--levels", "1"], "there is no grid `nothing`"),
        (["--grid", "bas=1", "--dest", "a", "--levels", "1"], "bas"),
        (["--grid", "GLOBAL_WEBMERCATOR", "--dest", "a", "--levels", "40"], "levels"),
        (["--grid", "GLOBAL_WEBMERCATOR", "--dest", "a", "--levels", "3..1"], "no level"),
    ] {
        let refused = rhumb(&dir, &[&base[..], &wrong].concat());
        assert!(!refused.status.success(), "{wrong:?}");
        assert!(text(&refused.stderr).contains(word), "{wrong:?}: {}", text(&refused.stderr));
    }
}

#[test]
fn grids_are_told_level_by_level() {
    let dir = TestDir::new("grids");
    let upstream = Upstream::start();
    write_map(&dir, &upstream);
    dir.write(
        "seed.yaml",
        "coverages:\n  half: {bbox: [0, -20037508.342789244, 20037508.342789244, 20037508.342789244], srs: \'EPSG:3857\'}\nseeds: {}\n",
    );
    let names = rhumb(&dir, &["grids", "map.yaml", "-l", "--all"]);
    assert_eq!(text(&names.stdout), "GLOBAL_GEODETIC\nGLOBAL_MERCATOR\nGLOBAL_WEBMERCATOR\n");
    let grids = rhumb(&dir, &["grids", "-f", "map.yaml", "-s", "seed.yaml", "-c", "half"]);
    let told = text(&grids.stdout);
    for line in [
        "GLOBAL_WEBMERCATOR:\n    Configuration:\n",
        "        origin: 'nw'\n        srs: 'EPSG:3857'\n        tile_size*: [256, 256]\n",
        "    Coverage: half covers approx. 50.0000% of the grid BBOX\n",
        "        00:  156543.03392804097,  #      1 * 1      =          1 (0)\n",
        "        04:  9783.93962050256,    #     16 * 16     =        256 (128)\n",
    ] {
        assert!(told.contains(line), "{line:?} is not in\n{told}");
    }
    let other = rhumb(&dir, &["grids", "map.yaml", "-g", "nothing"]);
    assert_eq!((other.status.code(), text(&other.stdout).as_str()), (Some(1), "grid not found: nothing\n"));
}
