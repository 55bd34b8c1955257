//! Keys of `sources`: mostly what is asked upstream.

use super::row::{Row, prove, row};
use super::seen::*;
use super::{PLACE, TILE, info, map};

/// The colour of tile 5/17/11 as the mock paints it.
const PAINTED: &str = "#50440bff";

fn rows() -> Vec<Row> {
    let mut rows = wms();
    rows.extend(wms_opts());
    rows.extend(images());
    rows.extend(errors());
    rows.extend(scales());
    rows.extend(tile());
    rows.extend(mapserver());
    rows.extend(arcgis());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::sources::each_key_shows_its_effect", &rows());
}

fn direct() -> String {
    map("direct", PLACE, 64, 64)
}

fn wms() -> Vec<Row> {
    vec![
        row("sources sources.*(wms).req sources.*(wms).req.url")
            .put("sources/wms/req/url", "'{UP}/other'")
            .ask(direct())
            .see(asked_paths(), "wms", "other"),
        row("sources.*(wms).req.layers").put("sources/wms/req/layers", "[a, b]").ask(direct()).see(
            asked("layers"),
            "roads,rivers",
            "a,b",
        ),
        row("sources.*(wms).req.transparent").put("sources/wms/req/transparent", "true").ask(direct()).see(
            asked("transparent"),
            "-",
            "True",
        ),
        row("sources.*(wms).req.format").put("sources/wms/req/format", "image/jpeg").ask(direct()).see(
            asked("format"),
            "image/png",
            "image/jpeg",
        ),
        row("sources.*(wms).req.sld")
            .put("sources/wms/req/sld", "'file://{SHARED}/style.sld'")
            .ask(direct())
            .see(asked("sld_body"), "-", "<sld-of-the-file/>")
            .see(asked_method(), "GET", "POST"),
        row("sources.*(wms).supported_formats")
            .put("sources/wms/supported_formats", "[image/tiff]")
            .ask(direct())
            .see(asked("format"), "image/png", "image/tiff"),
        row("sources.*(wms).supported_srs")
            .put("sources/wms/supported_srs", "['EPSG:4326']")
            .ask(direct())
            .see(asked("srs"), "EPSG:3857", "EPSG:4326"),
        row("sources.*(wms).forward_req_params")
            .put("sources/wms/forward_req_params", "[time]")
            .ask(format!("{}&TIME=2020", direct()))
            .see(asked("time"), "-", "2020"),
        row("sources.*(wms).http").put("sources/wms/http", "{headers: {X-Ours: told}}").ask(direct()).see(
            asked_header("x-ours"),
            "-",
            "told",
        ),
        row("sources.*.seed_only")
            .put("sources/wms/seed_only", "true")
            .ask(TILE)
            .see(asked_count(), "1", "0")
            .keeps(status(), "200"),
    ]
}

fn wms_opts() -> Vec<Row> {
    let legend = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetLegendGraphic&LAYER=direct&FORMAT=image/png";
    let told = |keys: &'static str, opts: &'static str| row(keys).given("sources/wms/wms_opts", opts);
    vec![
        row("sources.*(wms).wms_opts sources.*(wms).wms_opts.version")
            .put("sources/wms/wms_opts", "{version: 1.3.0}")
            .ask(direct())
            .see(asked("version"), "1.1.1", "1.3.0")
            .see(asked("crs"), "-", "EPSG:3857"),
        told("sources.*(wms).wms_opts.map", "{featureinfo: true}")
            .put("sources/wms/wms_opts/map", "false")
            .ask(direct())
            .see(asked_count(), "1", "0"),
        row("sources.*(wms).wms_opts.featureinfo")
            .put("sources/wms/wms_opts", "{featureinfo: true}")
            .ask(info("direct", "text/plain"))
            .see(holds("told roads,rivers"), "no", "yes"),
        // One picture of 20×10 for each of the two layers.
        row("sources.*(wms).wms_opts.legendgraphic")
            .put("sources/wms/wms_opts", "{legendgraphic: true}")
            .ask(legend)
            .see(asked_count(), "0", "2")
            .see(asked("layer"), "-", "rivers"),
        row("sources.*(wms).wms_opts.legendurl")
            .put("sources/wms/wms_opts", "{legendurl: '{UP}/legend.png'}")
            .ask(legend)
            .see(asked_paths(), "-", "legend.png"),
        told("sources.*(wms).wms_opts.featureinfo_format", "{featureinfo: true}")
            .put("sources/wms/wms_opts/featureinfo_format", "text/xml")
            .ask(info("direct", "text/plain"))
            .see(asked("info_format"), "text/plain", "text/xml"),
        told("sources.*(wms).wms_opts.featureinfo_xslt", "{featureinfo: true, featureinfo_format: text/xml}")
            .given("sources/wms/req/url", "'{UP}/xml'")
            .put("sources/wms/wms_opts/featureinfo_xslt", "'{SHARED}/info.xsl'")
            .ask(info("direct", "text/xml"))
            .see(holds("<turned>7</turned>"), "no", "yes"),
        told(
            "sources.*(wms).wms_opts.featureinfo_out_format",
            "{featureinfo: true, featureinfo_format: text/xml, featureinfo_xslt: '{SHARED}/info.xsl'}",
        )
        .given("sources/wms/req/url", "'{UP}/xml'")
        .put("sources/wms/wms_opts/featureinfo_out_format", "text/html")
        .ask(info("direct", ""))
        .see(header("content-type"), "application/vnd.ogc.gml", "text/html; charset=utf-8"),
        told("sources.*(wms).wms_opts.query_layers", "{featureinfo: true}")
            .put("sources/wms/wms_opts/query_layers", "other")
            .ask(info("direct", "text/plain"))
            .see(asked("query_layers"), "roads,rivers", "other"),
    ]
}

fn images() -> Vec<Row> {
    let on_red = || format!("{}&BGCOLOR=0xff0000", direct());
    vec![
        row("sources.*(wms).image sources.*.image.opacity")
            .given("sources/wms/req/url", "'{UP}/flat'")
            .put("sources/wms/image", "{opacity: 0.5}")
            .ask(map("tiles,direct", PLACE, 64, 64))
            .see(pixel(32, 32), "#336699ff", "#313b4dff"),
        row("sources.*.image.transparent_color")
            .given("sources/wms/req", "{url: '{UP}/flat', layers: a, transparent: true}")
            .put("sources/wms/image", "{transparent_color: '#336699'}")
            .ask(on_red())
            .see(pixel(9, 9), "#336699ff", "#ff0000ff"),
        // White on the left, five less than white on the right.
        row("sources.*.image.transparent_color_tolerance")
            .given("sources/wms/req", "{url: '{UP}/white', layers: a, transparent: true}")
            .given("sources/wms/image", "{transparent_color: '#ffffff'}")
            .put("sources/wms/image/transparent_color_tolerance", "2")
            .ask(on_red())
            .see(pixel(60, 9), "#ff0000ff", "#fafafaff")
            .keeps(pixel(9, 9), "#ff0000ff"),
    ]
}

fn errors() -> Vec<Row> {
    let failing = |keys: &'static str| row(keys).given("sources/wms/req/url", "'{UP}/fail/500'");
    vec![
        failing("sources.*(wms).on_error sources.*.on_error.*.response")
            .given("sources/wms/on_error", "{other: {response: '#0000ff'}}")
            .put("sources/wms/on_error/500", "{response: '#ff0000'}")
            .ask(direct())
            .see(pixel(9, 9), "#0000ffff", "#ff0000ff"),
        failing("sources.*.on_error.*.cache")
            .given("sources/wms/on_error", "{500: {response: '#ff0000'}}")
            .put("sources/wms/on_error/500/cache", "true")
            .ask(TILE)
            .ask(TILE)
            .see(asked_count(), "2", "1"),
        // The second request finds an old tile and a source that fails.
        row("sources.*.on_error.*.authorize_stale")
            .given("sources/wms/req/url", "'{UP}/flaky'")
            .given("sources/wms/on_error", "{500: {response: '#ff0000'}}")
            .given("caches/maps/refresh_before", "{time: 2100-01-01T00:00:00}")
            .put("sources/wms/on_error/500/authorize_stale", "true")
            .ask(TILE)
            .ask(TILE)
            .see(pixel(128, 128), "#ff0000ff", PAINTED)
            .keeps(asked_count(), "2"),
    ]
}

/// A map at 4892 metres a pixel, a scale of 17 million.
fn scales() -> Vec<Row> {
    let hidden =
        |keys: &'static str| row(keys).ask(map("direct", PLACE, 256, 256)).see(asked_count(), "1", "0");
    vec![
        hidden("min_max.min_res").put("sources/wms/min_res", "1000"),
        hidden("min_max.max_res").put("sources/wms/max_res", "10000"),
        hidden("min_max.max_scale").put("sources/wms/max_scale", "1000000"),
        hidden("min_max.min_scale").put("sources/wms/min_scale", "100000000"),
    ]
}

fn tile() -> Vec<Row> {
    const FETCHED: &str = "/wmts/tiles/GLOBAL_WEBMERCATOR/05/17/11.png";
    // Alone on a map the cache's opacity counts only where something may be seen through it.
    let half_seen = |keys: &'static str| {
        row(keys)
            .given("sources/tile/url", "'{UP}/flat/%(z)s'")
            .given("caches/tiles/image", "{opacity: 0.5}")
            .ask(map("tiles", PLACE, 256, 256))
            .see(pixel(9, 9), "#336699ff", "#99b3ccff")
    };
    vec![
        row("sources.*(tile).url").put("sources/tile/url", "'{UP}/by/%(quadkey)s'").ask(FETCHED).see(
            asked_paths(),
            "5/17/11.png",
            "by/12023",
        ),
        half_seen("sources.*(tile).transparent").put("sources/tile/transparent", "true"),
        half_seen("sources.*(tile).image").put("sources/tile/image", "{transparent: true}"),
        row("sources.*(tile).grid").put("sources/tile/grid", "GLOBAL_MERCATOR").ask(FETCHED).see(
            asked_paths(),
            "5/17/11.png",
            "5/17/20.png",
        ),
        row("sources.*(tile).http").put("sources/tile/http", "{headers: {X-Ours: told}}").ask(FETCHED).see(
            asked_header("x-ours"),
            "-",
            "told",
        ),
        row("sources.*(tile).on_error")
            .given("sources/tile/url", "'{UP}/fail/404'")
            .put("sources/tile/on_error", "{404: {response: '#ff0000'}}")
            .ask(FETCHED)
            .see(status(), "500", "200"),
    ]
}

fn mapserver() -> Vec<Row> {
    let own = |keys: &'static str| {
        row(keys).given(
            "sources/wms",
            "{type: mapserver, req: {map: '{SHARED}/a.map', layers: a}, supported_srs: ['EPSG:3857', 'EPSG:4326'], \
             mapserver: {binary: '{SHARED}/mapserv', working_dir: '{DATA}'}}",
        )
    };
    vec![
        own("sources.*(mapserver).wms_opts")
            .put("sources/wms/wms_opts", "{version: 1.3.0}")
            .ask(direct())
            .see(noted("version"), "1.1.1", "1.3.0"),
        own("sources.*(mapserver).image")
            .put("sources/wms/image", "{opacity: 0.5}")
            .ask(map("tiles,direct", PLACE, 64, 64))
            .see(pixel(32, 32), "#336699ff", "#313b4dff"),
        own("sources.*(mapserver).supported_formats")
            .put("sources/wms/supported_formats", "[image/tiff]")
            .ask(direct())
            .see(noted("format"), "image/png", "image/tiff"),
        own("sources.*(mapserver).supported_srs")
            .put("sources/wms/supported_srs", "['EPSG:4326']")
            .ask(direct())
            .see(noted("srs"), "EPSG:3857", "EPSG:4326"),
        own("sources.*(mapserver).forward_req_params")
            .put("sources/wms/forward_req_params", "[time]")
            .ask(format!("{}&TIME=2020", direct()))
            .see(noted("time"), "-", "2020"),
        own("sources.*(mapserver).req").put("sources/wms/req/styles", "night").ask(direct()).see(
            noted("styles"),
            "",
            "night",
        ),
        own("sources.*(mapserver).mapserver")
            .put("sources/wms/mapserver", "{binary: '{SHARED}/other', working_dir: '{DATA}'}")
            .given("sources/wms/wms_opts", "{featureinfo: true}")
            .ask(info("direct", "text/plain"))
            .see(body(), "mapserv tells", "other tells"),
        own("sources.*(mapserver).req.map").put("sources/wms/req/map", "'{SHARED}/b.map'").ask(direct()).see(
            noted("map"),
            "{SHARED}/a.map",
            "{SHARED}/b.map",
        ),
        own("sources.*(mapserver).req.layers").put("sources/wms/req/layers", "[a, b]").ask(direct()).see(
            noted("layers"),
            "a",
            "a,b",
        ),
        own("sources.*(mapserver).req.transparent")
            .put("sources/wms/req/transparent", "true")
            .ask(direct())
            .see(noted("transparent"), "-", "True"),
        own("sources.*(mapserver).req.format").put("sources/wms/req/format", "image/jpeg").ask(direct()).see(
            noted("format"),
            "image/png",
            "image/jpeg",
        ),
    ]
}

fn arcgis() -> Vec<Row> {
    let own = |keys: &'static str| {
        row(keys).given(
            "sources/wms",
            "{type: arcgis, req: {url: '{UP}/flat/MapServer'}, supported_srs: ['EPSG:3857', 'EPSG:4326']}",
        )
    };
    let informed = |keys: &'static str| {
        own(keys).given("sources/wms/opts", "{featureinfo: true}").ask(info("direct", "text/plain"))
    };
    vec![
        own("sources.*(arcgis).req sources.*(arcgis).req.dpi")
            .put("sources/wms/req/dpi", "72")
            .ask(direct())
            .see(asked("dpi"), "-", "72"),
        own("sources.*(arcgis).opts sources.*(arcgis).opts.map")
            .put("sources/wms/opts", "{map: false, featureinfo: true}")
            .ask(direct())
            .see(asked_count(), "1", "0"),
        own("sources.*(arcgis).image")
            .given("globals/cache/meta_size", "[2, 2]")
            .put("sources/wms/image", "{mode: RGB}")
            .ask(TILE)
            .see(color_type(), "palette 1", "rgb"),
        own("sources.*(arcgis).supported_srs")
            .put("sources/wms/supported_srs", "['EPSG:4326']")
            .ask(direct())
            .see(asked("bboxSR"), "3857", "4326"),
        own("sources.*(arcgis).supported_formats")
            .put("sources/wms/supported_formats", "[image/tiff]")
            .ask(direct())
            .see(asked("format"), "png", "tiff"),
        own("sources.*(arcgis).http").put("sources/wms/http", "{headers: {X-Ours: told}}").ask(direct()).see(
            asked_header("x-ours"),
            "-",
            "told",
        ),
        own("sources.*(arcgis).on_error")
            .given("sources/wms/req/url", "'{UP}/fail/500'")
            .put("sources/wms/on_error", "{other: {response: '#ff0000'}}")
            .ask(direct())
            .see(status(), "500", "200"),
        own("sources.*(arcgis).req.url")
            .put("sources/wms/req/url", "'{UP}/flat/ImageServer'")
            .ask(direct())
            .see(asked_paths(), "flat/MapServer/export", "flat/ImageServer/exportImage"),
        own("sources.*(arcgis).req.format").put("sources/wms/req/format", "jpg").ask(direct()).see(
            asked("format"),
            "png",
            "jpg",
        ),
        own("sources.*(arcgis).req.layers").put("sources/wms/req/layers", "'show:1'").ask(direct()).see(
            asked("layers"),
            "-",
            "show:1",
        ),
        own("sources.*(arcgis).req.transparent")
            .put("sources/wms/req/transparent", "true")
            .ask(direct())
            .see(asked("transparent"), "-", "True"),
        own("sources.*(arcgis).req.time").put("sources/wms/req/time", "'5'").ask(direct()).see(
            asked("time"),
            "-",
            "5",
        ),
        own("sources.*(arcgis).opts.featureinfo")
            .put("sources/wms/opts", "{featureinfo: true}")
            .ask(info("direct", "text/plain"))
            .see(asked_paths(), "-", "flat/MapServer/identify"),
        informed("sources.*(arcgis).opts.featureinfo_tolerance")
            .put("sources/wms/opts/featureinfo_tolerance", "9")
            .see(asked("tolerance"), "5", "9"),
        informed("sources.*(arcgis).opts.featureinfo_return_geometries")
            .put("sources/wms/opts/featureinfo_return_geometries", "true")
            .see(asked("returnGeometry"), "false", "true"),
    ]
}
