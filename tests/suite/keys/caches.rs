//! Keys of `caches`: what is stored, how, and what is asked for it.

use super::row::{Row, prove, row};
use super::seen::*;
use super::{PLACE, TILE, WMTS, map};

const STORED: &str = "maps_EPSG3857/05/000/000/017/000/000/011.png";
const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

fn rows() -> Vec<Row> {
    let mut rows = made();
    rows.extend(kept());
    rows.extend(databases());
    rows.extend(refreshed());
    rows.extend(watermarks());
    rows.extend(bands());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::caches::each_key_shows_its_effect", &rows());
}

fn made() -> Vec<Row> {
    const BLOCK: &str = "[2, 2]";
    vec![
        row("caches caches.*.sources").put("caches/maps/sources", "[tile]").ask(TILE).see(
            asked_paths(),
            "wms",
            "5/17/11.png",
        ),
        row("caches.*.grids")
            .given("grids/own", "{base: GLOBAL_WEBMERCATOR}")
            .given("layers", "[{name: maps, title: Maps, sources: [maps]}]")
            .put("caches/maps/grids", "[own]")
            .ask(WMTS)
            .see(xml("Contents/TileMatrixSet/Identifier"), "GLOBAL_WEBMERCATOR", "own"),
        row("caches.*.meta_size").put("caches/maps/meta_size", BLOCK).ask(TILE).see(stored_count(), "1", "4"),
        row("caches.*.meta_buffer").put("caches/maps/meta_buffer", "10").ask(TILE).see(
            asked("width"),
            "256",
            "276",
        ),
        row("caches.*.bulk_meta_tiles")
            .given("caches/tiles/meta_size", BLOCK)
            .put("caches/tiles/bulk_meta_tiles", "true")
            .ask("/wmts/tiles/GLOBAL_WEBMERCATOR/05/17/11.png")
            .see(asked_paths(), "5/17/11.png", "5/16/10.png 5/16/11.png 5/17/10.png 5/17/11.png"),
        row("caches.*.minimize_meta_requests")
            .given("caches/maps/meta_size", BLOCK)
            .put("caches/maps/minimize_meta_requests", "true")
            .ask(map("maps", "-1252344.27,5009377.09,1252344.27,6261721.35", 512, 256))
            .see(asked_count(), "2", "1"),
        row("caches.*.max_tile_limit")
            .put("caches/maps/max_tile_limit", "4")
            .ask(map("maps", "0,0,10018754,10018754", 512, 512))
            .see(holds("4 are allowed"), "no", "yes"),
        row("caches.*.request_format").put("caches/maps/request_format", "image/tiff").ask(TILE).see(
            asked("format"),
            "image/png",
            "image/tiff",
        ),
        row("caches.*.image")
            .given("caches/maps/meta_size", BLOCK)
            .put("caches/maps/image", "{mode: RGB}")
            .ask(TILE)
            .see(color_type(), "palette 2", "rgb"),
        // Half of the flat picture over tile 3/4/2.
        row("caches.*.image.opacity")
            .given("sources/wms/req/url", "'{UP}/flat'")
            .put("caches/maps/image", "{opacity: 0.5}")
            .ask(map("tiles,maps", PLACE, 64, 64))
            .see(pixel(32, 32), "#336699ff", "#313b4dff"),
        row("caches.*.use_direct_from_level")
            .put("caches/maps/use_direct_from_level", "5")
            .ask(map("maps", PLACE, 256, 256))
            .see(stored_count(), "1", "0")
            .keeps(asked_count(), "1"),
        row("caches.*.use_direct_from_res")
            .put("caches/maps/use_direct_from_res", "5000")
            .ask(map("maps", PLACE, 256, 256))
            .see(stored_count(), "1", "0")
            .keeps(asked_count(), "1"),
    ]
}

fn kept() -> Vec<Row> {
    let file = |keys: &'static str| row(keys).given("caches/maps/cache", "{type: file}").ask(TILE);
    vec![
        row("caches.*.cache_dir")
            .put("caches/maps/cache_dir", "'{DATA}/mine'")
            .ask(TILE)
            .see(there("mine/maps_EPSG3857"), "-", "directory")
            .see(there(STORED), "file", "-"),
        row("caches.*.disable_storage")
            .put("caches/maps/disable_storage", "true")
            .ask(TILE)
            .ask(TILE)
            .see(asked_count(), "1", "2")
            .see(stored_count(), "1", "0"),
        row("caches.*.format").put("caches/maps/format", "image/jpeg").ask(map("maps", PLACE, 256, 256)).see(
            stored(),
            STORED,
            "maps_EPSG3857/05/000/000/017/000/000/011.jpeg",
        ),
        row("caches.*.link_single_color_images")
            .given("sources/wms/req/url", "'{UP}/flat'")
            .put("caches/maps/link_single_color_images", "true")
            .ask(TILE)
            .see(there(STORED), "file", "symlink")
            .see(there("maps_EPSG3857/single_color_tiles/336699.png"), "-", "file"),
        file("caches.*.cache caches.*.cache(file).directory")
            .put("caches/maps/cache/directory", "'{DATA}/here'")
            .see(stored(), STORED, "here/05/000/000/017/000/000/011.png"),
        file("caches.*.cache(file).directory_layout").put("caches/maps/cache/directory_layout", "tms").see(
            stored(),
            STORED,
            "maps_EPSG3857/5/17/11.png",
        ),
        file("caches.*.cache(file).use_grid_names").put("caches/maps/cache/use_grid_names", "true").see(
            stored(),
            STORED,
            "maps/GLOBAL_WEBMERCATOR/05/000/000/017/000/000/011.png",
        ),
        file("caches.*.cache.coverage")
            .put("caches/maps/cache/coverage", "{bbox: [100, 10, 110, 20], srs: 'EPSG:4326'}")
            .see(asked_count(), "1", "0"),
        file("caches.*.cache.tile_lock_dir")
            .put("caches/maps/cache/tile_lock_dir", "'{DATA}/elsewhere'")
            .see(there("tile_locks"), "directory", "-")
            .see(there("elsewhere"), "-", "directory"),
        file("caches.*.cache.directory_permissions")
            .given("caches/maps/cache/directory_permissions", "'755'")
            .put("caches/maps/cache/directory_permissions", "'710'")
            .see(mode("maps_EPSG3857/05"), "755", "710"),
        file("caches.*.cache.file_permissions")
            .given("caches/maps/cache/file_permissions", "'644'")
            .put("caches/maps/cache/file_permissions", "'640'")
            .see(mode(STORED), "644", "640"),
    ]
}

/// Caches in databases: which file has come to be.
fn databases() -> Vec<Row> {
    let store =
        |keys: &'static str, cache: &'static str| row(keys).given("caches/maps/cache", cache).ask(TILE);
    vec![
        store("caches.*.cache(sqlite).directory", "{type: sqlite}")
            .put("caches/maps/cache/directory", "'{DATA}/here'")
            .see(there("maps/GLOBAL_WEBMERCATOR/5.mbtiles"), "file", "-")
            .see(there("here/GLOBAL_WEBMERCATOR/5.mbtiles"), "-", "file"),
        store("caches.*.cache(mbtiles).filename", "{type: mbtiles}")
            .put("caches/maps/cache/filename", "'{DATA}/here.mbtiles'")
            .see(there("maps.mbtiles"), "file", "-")
            .see(there("here.mbtiles"), "-", "file"),
        store("caches.*.cache(geopackage).filename", "{type: geopackage}")
            .put("caches/maps/cache/filename", "'{DATA}/here.gpkg'")
            .see(there("maps.gpkg"), "file", "-")
            .see(there("here.gpkg"), "-", "file"),
        store("caches.*.cache(geopackage).levels", "{type: geopackage}")
            .put("caches/maps/cache/levels", "true")
            .see(there("maps.gpkg"), "file", "-")
            .see(there("maps/GLOBAL_WEBMERCATOR"), "-", "directory"),
        store("caches.*.cache(geopackage).directory", "{type: geopackage, levels: true}")
            .put("caches/maps/cache/directory", "'{DATA}/here'")
            .see(there("here"), "-", "directory"),
        store("caches.*.cache(geopackage).table_name", "{type: geopackage}")
            .put("caches/maps/cache/table_name", "ours")
            .see(named_in("maps.gpkg", "ours"), "no", "yes"),
        store("caches.*.cache(mbtiles).sqlite_wal", "{type: mbtiles}")
            .put("caches/maps/cache/sqlite_wal", "true")
            .see(is_wal("maps.mbtiles"), "no", "yes"),
        store("caches.*.cache(sqlite).sqlite_wal", "{type: sqlite}")
            .put("caches/maps/cache/sqlite_wal", "true")
            .see(is_wal("maps/GLOBAL_WEBMERCATOR/5.mbtiles"), "no", "yes"),
        store("globals.cache.sqlite_wal", "{type: mbtiles}").put("globals/cache/sqlite_wal", "true").see(
            is_wal("maps.mbtiles"),
            "no",
            "yes",
        ),
    ]
}

/// A stored tile of some age: whether the upstream is asked anew.
fn refreshed() -> Vec<Row> {
    let aged = |keys: &'static str, age_s: u64| {
        row(keys).stored(STORED, age_s).ask(TILE).see(asked_count(), "0", "1")
    };
    let span = |row: Row, place: &'static str| row.given(place, "20").put(place, "5");
    vec![
        aged("caches.*.refresh_before", 10 * DAY_S).put("caches/maps/refresh_before", "{days: 5}"),
        aged("refresh_before.seconds", 10 * DAY_S)
            .given("caches/maps/refresh_before/seconds", "1_000_000")
            .put("caches/maps/refresh_before/seconds", "500_000"),
        span(aged("refresh_before.minutes", 600), "caches/maps/refresh_before/minutes"),
        span(aged("refresh_before.hours", 10 * HOUR_S), "caches/maps/refresh_before/hours"),
        span(aged("refresh_before.days", 10 * DAY_S), "caches/maps/refresh_before/days"),
        span(aged("refresh_before.weeks", 70 * DAY_S), "caches/maps/refresh_before/weeks"),
        aged("refresh_before.time", 10)
            .given("caches/maps/refresh_before", "{time: 2000-01-01T00:00:00}")
            .put("caches/maps/refresh_before/time", "2100-01-01T00:00:00"),
        // The file is as old as this test.
        aged("refresh_before.mtime", DAY_S).put("caches/maps/refresh_before", "{mtime: '{SHARED}/stamp'}"),
    ]
}

fn watermarks() -> Vec<Row> {
    // In even columns and rows it stands in the middle.
    let marked = |keys: &'static str, given: &'static str| {
        row(keys)
            .given("sources/wms/req/url", "'{UP}/flat'")
            .given("caches/maps/watermark", given)
            .ask("/wmts/maps/GLOBAL_WEBMERCATOR/05/16/12.png")
    };
    vec![
        marked("caches.*.watermark caches.*.watermark.text", "{}")
            .put("caches/maps/watermark", "{text: ours}")
            .see(ink(), "-", "50x15 at 103,121"),
        marked("caches.*.watermark.font_size", "{text: ours}")
            .put("caches/maps/watermark/font_size", "12")
            .see(ink(), "50x15 at 103,121", "26x8 at 115,124"),
        marked("caches.*.watermark.color", "{text: ours, opacity: 255}")
            .put("caches/maps/watermark/color", "[255, 0, 0]")
            .see(ink_color(), "#808080ff", "#ff0000ff"),
        marked("caches.*.watermark.opacity", "{text: ours}").put("caches/maps/watermark/opacity", "255").see(
            ink_color(),
            "#3c6996ff",
            "#808080ff",
        ),
        marked("caches.*.watermark.spacing", "{text: ours}")
            .put("caches/maps/watermark/spacing", "wide")
            .see(ink(), "50x15 at 103,121", "-"),
    ]
}

/// Bands of #336699.
fn bands() -> Vec<Row> {
    let band = |keys: &'static str| {
        row(keys)
            .given("sources/wms/req/url", "'{UP}/flat'")
            .given(
                "sources/dark",
                "{type: wms, req: {url: '{UP}/wms', layers: a}, supported_srs: ['EPSG:3857']}",
            )
            .given(
                "caches/maps/sources",
                "{r: [{source: wms, band: 0}], g: [{source: wms, band: 1}], b: [{source: wms, band: 2}]}",
            )
            .ask(TILE)
    };
    let seen = |row: Row, with: &'static str| row.see(pixel(128, 128), "#336699ff", with);
    vec![
        seen(
            band("caches.*.sources.r").put("caches/maps/sources/r", "[{source: wms, band: 2}]"),
            "#996699ff",
        ),
        seen(
            band("caches.*.sources.g").put("caches/maps/sources/g", "[{source: wms, band: 2}]"),
            "#339999ff",
        ),
        seen(
            band("caches.*.sources.b").put("caches/maps/sources/b", "[{source: wms, band: 0}]"),
            "#336633ff",
        ),
        seen(
            band("caches.*.sources.a").put("caches/maps/sources/a", "[{source: wms, band: 2}]"),
            "#33669999",
        ),
        seen(
            band("caches.*.sources.l").put("caches/maps/sources", "{l: [{source: wms, band: 1}]}"),
            "#666666ff",
        ),
        // Tile 5/17/11 is #50440b.
        seen(band("caches.*.sources.band.source").put("caches/maps/sources/r/0/source", "dark"), "#506699ff"),
        seen(band("caches.*.sources.band.band").put("caches/maps/sources/b/0/band", "1"), "#336666ff"),
        seen(band("caches.*.sources.band.factor").put("caches/maps/sources/b/0/factor", "0.5"), "#33664cff"),
    ]
}
