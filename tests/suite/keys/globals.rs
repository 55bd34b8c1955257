//! Keys of `globals`, of image options and of `http`.

use super::pictures;
use super::row::{Row, prove, row};
use super::seen::*;
use super::{PLACE, TILE, map, map_as, map_in};

/// Where the tile 5/17/11 lies in the default layout.
const STORED: &str = "maps_EPSG3857/05/000/000/017/000/000/011.png";

fn rows() -> Vec<Row> {
    let mut rows = sections();
    rows.extend(images());
    rows.extend(options());
    rows.extend(cache());
    rows.extend(http());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::globals::each_key_shows_its_effect", &rows());
}

fn sections() -> Vec<Row> {
    vec![
        row("base").put("base", "'{SHARED}/base.yaml'").ask(TILE).see(
            header("cache-control"),
            "public, max-age=259200, s-maxage=259200",
            "public, max-age=3600, s-maxage=3600",
        ),
        row("globals globals.tiles globals.tiles.expires_hours").put("globals/tiles", "{expires_hours: 2}").ask(TILE).see(
            header("cache-control"),
            "public, max-age=259200, s-maxage=259200",
            "public, max-age=7200, s-maxage=7200",
        ),
        row("globals.grid globals.grid.tile_size")
            .given("grids/own", "{srs: 'EPSG:3857', origin: nw}")
            .given("caches/maps/grids", "[own]")
            .put("globals/grid/tile_size", "[512, 128]")
            .ask("/wmts/maps/own/03/1/1.png")
            .see(size(), "256x256", "512x128"),
        row("globals.srs globals.srs.preferred_src_proj")
            .put("globals/srs/preferred_src_proj", "{'EPSG:25832': ['EPSG:4326']}")
            .ask(map_in("EPSG:25832", "direct", "500000,5500000,600000,5600000", 64, 64))
            .see(asked("srs"), "EPSG:3857", "EPSG:4326"),
        row("globals.background globals.background.url")
            .given("services/demo", "{}")
            .put("globals/background/url", "'http://ground.example/{z}/{x}/{y}.png'")
            .ask("/demo/?wms_layer=direct&format=png&srs=EPSG:3857")
            .see(holds("http://ground.example/"), "no", "yes"),
        row("globals.mapserver mapserver.binary mapserver.working_dir")
            .given("sources/wms", "{type: mapserver, req: {map: a.map, layers: a}, wms_opts: {featureinfo: true}, mapserver: {binary: '{SHARED}/other', working_dir: '{SHARED}'}}")
            .put("sources/wms/mapserver", "{}")
            .put("globals/mapserver", "{binary: '{SHARED}/mapserv', working_dir: '{DATA}'}")
            .ask(super::info("direct", "text/plain"))
            .see(body(), "other tells", "mapserv tells")
            .see(there("asked.txt"), "-", "file"),
    ]
}

fn images() -> Vec<Row> {
    let checks =
        |row: Row| row.given("sources/wms/req/url", "'{UP}/checks'").given("globals/image/paletted", "false");
    let half = map("maps", PLACE, 200, 200);
    vec![
        checks(row("globals.image globals.image.resampling_method"))
            .put("globals/image/resampling_method", "nearest")
            .ask(&half)
            .see(more_colors_than(2), "yes", "no"),
        row("globals.image.paletted")
            .given("globals/cache/meta_size", "[2, 2]")
            .put("globals/image/paletted", "false")
            .ask(TILE)
            .see(color_type(), "palette 2", "rgb"),
        // A map at 1.3 times the fineness of level 5: its tiles may be stretched by 1.15, or by 1.5.
        row("globals.image.stretch_factor")
            .put("globals/image/stretch_factor", "1.5")
            .ask(map("maps", PLACE, 333, 333))
            .see(stored_levels(), "06", "05"),
        // Coarser than the only level by three.
        row("globals.image.max_shrink_factor")
            .given("grids/own", "{base: GLOBAL_WEBMERCATOR, res: [4891.96981025128]}")
            .given("caches/maps/grids", "[own]")
            .put("globals/image/max_shrink_factor", "2")
            .ask(map("maps", PLACE, 85, 85))
            .see(stored_levels(), "00", "-"),
        row("globals.image.jpeg_quality")
            .given("caches/maps/format", "image/jpeg")
            .put("globals/image/jpeg_quality", "40")
            .ask("/wmts/maps/GLOBAL_WEBMERCATOR/05/17/11.jpeg")
            .see(jpeg_step(), "3", "20"),
        row("globals.image.formats")
            .given("globals/cache/meta_size", "[2, 2]")
            .put("globals/image/formats", "{image/png: {mode: RGBA}}")
            .ask(TILE)
            .see(color_type(), "palette 2", "rgba"),
        checks(row("image.resampling_method"))
            .put("caches/maps/image", "{resampling_method: nearest}")
            .ask(&half)
            .see(more_colors_than(2), "yes", "no"),
    ]
}

/// Options of one image, here of a cache's.
fn options() -> Vec<Row> {
    vec![
        row("image.mode")
            .given("globals/cache/meta_size", "[2, 2]")
            .put("caches/maps/image", "{mode: RGB}")
            .ask(TILE)
            .see(color_type(), "palette 2", "rgb"),
        row("image.colors")
            .given("globals/cache/meta_size", "[2, 2]")
            .given("sources/wms/req/url", "'{UP}/gradient'")
            .put("caches/maps/image", "{colors: 16}")
            .ask(TILE)
            .see(color_type(), "palette 256", "palette 16"),
        row("image.transparent")
            .given("globals/cache/meta_size", "[2, 2]")
            .given("sources/wms/req/url", "'{UP}/holes'")
            .put("caches/maps/image", "{transparent: false}")
            .ask("/wmts/maps/GLOBAL_WEBMERCATOR/05/16/11.png")
            .see(pixel(10, 10), "#00000000", "#ffffffff"),
        row("image.format")
            .put("caches/maps/image", "{format: image/jpeg}")
            .put("caches/maps/format", "image/jpeg")
            .ask(map("maps", PLACE, 256, 256))
            .see(there(STORED), "file", "-"),
        row("image.encoding_options image.encoding_options.jpeg_quality")
            .given("caches/maps/format", "image/jpeg")
            .put("caches/maps/image", "{encoding_options: {jpeg_quality: 40}}")
            .ask("/wmts/maps/GLOBAL_WEBMERCATOR/05/17/11.jpeg")
            .see(jpeg_step(), "3", "20"),
        // What mediancut is chosen for: it strays less from the picture.
        row("image.encoding_options.quantizer")
            .given("sources/wms/req/url", "'{UP}/slopes'")
            .given("globals/cache/meta_size", "[2, 2]")
            .given("caches/maps/image", "{colors: 64}")
            .put("caches/maps/image/encoding_options", "{quantizer: mediancut}")
            .ask("/wmts/maps/GLOBAL_WEBMERCATOR/05/16/10.png")
            .see(strays_from(pictures::slopes, 5.5), "yes", "no"),
        row("image.encoding_options.tiff_compression")
            .put(
                "globals/image/formats",
                "{image/tiff: {format: image/tiff, encoding_options: {tiff_compression: raw}}}",
            )
            .ask(map_as("image/tiff", "EPSG:3857", "direct", PLACE, 64, 64))
            .see(tiff_compression(), "5", "1"),
    ]
}

fn cache() -> Vec<Row> {
    vec![
        row("globals.cache globals.cache.base_dir")
            .put("globals/cache/base_dir", "'{DATA}/deeper'")
            .ask(TILE)
            .see(there(STORED), "file", "-")
            .see(there("deeper/maps_EPSG3857"), "-", "directory"),
        row("globals.cache.lock_dir")
            .given("sources/wms/concurrent_requests", "2")
            .put("globals/cache/lock_dir", "'{DATA}/semaphores'")
            .ask(TILE)
            .see(there("semaphores"), "-", "directory"),
        row("globals.cache.tile_lock_dir")
            .put("globals/cache/tile_lock_dir", "'{DATA}/elsewhere'")
            .ask(TILE)
            .see(there("tile_locks"), "directory", "-")
            .see(there("elsewhere"), "-", "directory"),
        row("globals.cache.directory_permissions")
            .given("globals/cache/directory_permissions", "'755'")
            .put("globals/cache/directory_permissions", "'710'")
            .ask(TILE)
            .see(mode("maps_EPSG3857/05"), "755", "710"),
        row("globals.cache.file_permissions")
            .given("globals/cache/file_permissions", "'644'")
            .put("globals/cache/file_permissions", "'640'")
            .ask(TILE)
            .see(mode(STORED), "644", "640"),
        row("globals.cache.meta_size").put("globals/cache/meta_size", "[2, 2]").ask(TILE).see(
            stored_count(),
            "1",
            "4",
        ),
        row("globals.cache.meta_buffer").put("globals/cache/meta_buffer", "10").ask(TILE).see(
            asked("width"),
            "256",
            "276",
        ),
        row("globals.cache.bulk_meta_tiles")
            .given("globals/cache/meta_size", "[4, 4]")
            .put("globals/cache/bulk_meta_tiles", "true")
            .ask("/wmts/tiles/GLOBAL_WEBMERCATOR/05/17/11.png")
            .see(asked_count(), "1", "16"),
        row("globals.cache.max_tile_limit")
            .put("globals/cache/max_tile_limit", "4")
            .ask(map("maps", "0,0,10018754,10018754", 512, 512))
            .see(holds("4 are allowed"), "no", "yes"),
        // Two meta tiles, in one request or in two.
        row("globals.cache.minimize_meta_requests")
            .given("globals/cache/meta_size", "[2, 2]")
            .put("globals/cache/minimize_meta_requests", "true")
            .ask(map("maps", "-1252344.27,5009377.09,1252344.27,6261721.35", 512, 256))
            .see(asked_count(), "2", "1"),
        row("globals.cache.link_single_color_images")
            .given("sources/wms/req/url", "'{UP}/flat'")
            .put("globals/cache/link_single_color_images", "hardlink")
            .ask(TILE)
            .see(there(STORED), "file", "hardlink")
            .see(there("maps_EPSG3857/single_color_tiles/336699.png"), "-", "hardlink"),
    ]
}

fn http() -> Vec<Row> {
    vec![
        row("globals.http http.headers").put("globals/http/headers", "{X-Ours: told}").ask(TILE).see(
            asked_header("x-ours"),
            "-",
            "told",
        ),
        row("http.method").put("globals/http/method", "POST").ask(TILE).see(asked_method(), "GET", "POST"),
        row("http.hide_error_details")
            .given("sources/wms/req/url", "'{UP}/fail/503'")
            .given("services/wms/on_source_errors", "raise")
            .put("globals/http/hide_error_details", "false")
            .ask(map("direct", PLACE, 64, 64))
            .see(holds("/fail/503"), "no", "yes")
            .keeps(status(), "500"),
        row("http.manage_cookies")
            .given("sources/wms/req/url", "'{UP}/cookie'")
            .put("globals/http/manage_cookies", "true")
            .ask(map("direct", PLACE, 64, 64))
            .ask(map("direct", PLACE, 64, 64))
            .see(asked_header("cookie"), "-", "taste=sweet"),
        row("globals.http.access_control_allow_origin")
            .put("globals/http/access_control_allow_origin", "'http://app.example'")
            .ask(TILE)
            .see(header("access-control-allow-origin"), "*", "http://app.example"),
    ]
}
