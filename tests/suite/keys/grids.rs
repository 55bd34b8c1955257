//! Keys of `grids`: seen in the tile matrices of WMTS, and in what is asked
//! upstream for a tile.

use super::row::{Row, prove, row};
use super::seen::*;
use super::{PLACE, WMTS, map};

/// A row about the grid `own`, the only one in the capabilities: 2560 metres
/// in tiles of 256 pixels, from 10 metres a pixel on.
fn own(keys: &'static str) -> Row {
    row(keys)
        .given("grids/own", "{srs: 'EPSG:3857', bbox: [0, 0, 2560, 2560], origin: nw, num_levels: 1}")
        .given("caches/maps/grids", "[own]")
        .given("layers", "[{name: maps, title: Maps, sources: [maps]}]")
}

fn rows() -> Vec<Row> {
    let mut rows = described();
    rows.extend(scaled());
    rows.extend(chosen());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::grids::each_key_shows_its_effect", &rows());
}

fn described() -> Vec<Row> {
    let top_left = || xml("TileMatrix/TopLeftCorner");
    vec![
        own("grids grids.*.base")
            .given("grids/first", "{srs: 'EPSG:3857', bbox: [0, 0, 2560, 2560], origin: nw, num_levels: 1}")
            .given("grids/second", "{srs: 'EPSG:25832', bbox: [0, 0, 2560, 2560], origin: nw, num_levels: 1}")
            .given("grids/own", "{base: first}")
            .put("grids/own", "{base: second}")
            .ask(WMTS)
            .see(
                xml("TileMatrixSet/SupportedCRS"),
                "urn:ogc:def:crs:EPSG:3857",
                "urn:ogc:def:crs:EPSG:25832",
            ),
        own("grids.*.name").put("grids/own/name", "shown").ask(WMTS).see(
            xml("Contents/TileMatrixSet/Identifier"),
            "own",
            "shown",
        ),
        own("grids.*.srs").put("grids/own/srs", "'EPSG:25832'").ask(WMTS).see(
            xml("TileMatrixSet/SupportedCRS"),
            "urn:ogc:def:crs:EPSG:3857",
            "urn:ogc:def:crs:EPSG:25832",
        ),
        own("grids.*.bbox").put("grids/own/bbox", "'0,0,5120,5120'").ask(WMTS).see(
            top_left(),
            "0.0 2560.0",
            "0.0 5120.0",
        ),
        own("grids.*.bbox_srs")
            .given("grids/own/bbox", "[5, 45, 15, 55]")
            .put("grids/own/bbox_srs", "'EPSG:4326'")
            .ask(WMTS)
            .see(top_left(), "5.0 55.0", "556597.4539663679 7361866.113051188"),
        own("grids.*.tile_size").put("grids/own/tile_size", "[512, 512]").ask(WMTS).see(
            xml("TileMatrix/TileWidth"),
            "256",
            "512",
        ),
        own("grids.*.origin")
            .given("grids/own/num_levels", "2")
            .given("services/tms", "{}")
            .put("grids/own/origin", "sw")
            .ask("/tiles/1.0.0/maps/EPSG3857/1/0/0.png")
            .see(asked("bbox"), "0.0,1280.0,1280.0,2560.0", "0.0,0.0,1280.0,1280.0"),
    ]
}

/// Scales are resolutions by 0.28 mm.
fn scaled() -> Vec<Row> {
    let scales = || xml("TileMatrix/ScaleDenominator");
    const TEN: &str = "35714.2857142857";
    vec![
        own("grids.*.num_levels").put("grids/own/num_levels", "2").ask(WMTS).see(
            scales(),
            TEN,
            "35714.2857142857 17857.1428571429",
        ),
        own("grids.*.res")
            .put("grids/own", "{srs: 'EPSG:3857', bbox: [0, 0, 2560, 2560], origin: nw, res: [7, 2.8]}")
            .ask(WMTS)
            .see(scales(), TEN, "25000 10000"),
        own("grids.*.res_factor")
            .given("grids/own/num_levels", "2")
            .put("grids/own/res_factor", "4")
            .ask(WMTS)
            .see(scales(), "35714.2857142857 17857.1428571429", "35714.2857142857 8928.5714285714"),
        own("grids.*.min_res").put("grids/own/min_res", "5.6").ask(WMTS).see(scales(), TEN, "20000"),
        own("grids.*.max_res")
            .given("grids/own/num_levels", "-")
            .given("grids/own/max_res", "5")
            .put("grids/own/max_res", "2.5")
            .ask(WMTS)
            .see(scales(), TEN, "35714.2857142857 17857.1428571429"),
        // 9.55 metres a pixel is web mercator's level 14.
        own("grids.*.align_resolutions_with")
            .given("grids/own/num_levels", "-")
            .given("grids/own/max_res", "4")
            .put("grids/own/align_resolutions_with", "GLOBAL_WEBMERCATOR")
            .ask(WMTS)
            .see(scales(), "35714.2857142857 17857.1428571429", "34123.6733415965 17061.8366707983"),
    ]
}

/// Which level a map is drawn from.
fn chosen() -> Vec<Row> {
    let mercator = |keys: &'static str, yaml: &'static str| {
        row(keys).given("grids/own", yaml).given("caches/maps/grids", "[own]")
    };
    vec![
        mercator("grids.*.stretch_factor", "{base: GLOBAL_WEBMERCATOR}")
            .put("grids/own/stretch_factor", "1.5")
            .ask(map("maps", PLACE, 333, 333))
            .see(stored_levels(), "06", "05"),
        mercator("grids.*.max_shrink_factor", "{base: GLOBAL_WEBMERCATOR, res: [4891.96981025128]}")
            .put("grids/own/max_shrink_factor", "2")
            .ask(map("maps", PLACE, 85, 85))
            .see(stored_levels(), "00", "-"),
        // A map at 4.4 metres a pixel may be stretched from 5, unless the next level begins at 4.8.
        mercator(
            "grids.*.threshold_res",
            "{srs: 'EPSG:3857', bbox: [0, 0, 2560, 2560], origin: nw, res: [10, 5, 2.5]}",
        )
        .put("grids/own/threshold_res", "[4.8]")
        .ask(map("maps", "0,0,1126.4,1126.4", 256, 256))
        .see(stored_levels(), "01", "02"),
    ]
}
