//! Keys of `layers`, but for their `md`.

use super::row::{Row, prove, row};
use super::seen::*;
use super::{CAPABILITIES, PLACE, TILE, WMTS, map};

fn rows() -> Vec<Row> {
    let mut rows = tree();
    rows.extend(legends());
    rows.extend(dimensions());
    rows.extend(scales());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::layers::each_key_shows_its_effect", &rows());
}

fn tree() -> Vec<Row> {
    vec![
        row("layers layers.*.title").put("layers/0/title", "Streets").ask(CAPABILITIES).see(
            xml("Layer/Title"),
            "Site Maps Direct Tiles",
            "Site Streets Direct Tiles",
        ),
        row("layers.*.layers")
            .put(
                "layers/1",
                "{name: direct, title: Direct, layers: [{name: inner, title: Inner, sources: [wms]}]}",
            )
            .ask(CAPABILITIES)
            .see(xml("Layer/Layer/Layer/Name"), "-", "inner"),
        row("layers.*.sources").put("layers/0/sources", "[tiles]").ask(map("maps", PLACE, 256, 256)).see(
            asked_paths(),
            "wms",
            "5/17/11.png",
        ),
        row("layers.*.tile_sources").put("layers/1/tile_sources", "[maps]").ask(WMTS).see(
            xml("Contents/Layer/Identifier"),
            "maps tiles",
            "maps direct tiles",
        ),
    ]
}

fn legends() -> Vec<Row> {
    vec![
        row("layers.*.legendurl")
            .put("layers/0/legendurl", "'{UP}/legend.png'")
            .ask("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetLegendGraphic&LAYER=maps&FORMAT=image/png")
            .see(asked_paths(), "-", "legend.png"),
        row("layers.*.wmts_rest_legendurl")
            .put("layers/0/wmts_rest_legendurl", "'{base_url}/legends/{layer_name}'")
            .ask(WMTS)
            .see(xml("LegendURL@href"), "-", "{HERE}/legends/maps"),
        row("layers.*.wmts_kvp_legendurl")
            .put("layers/0/wmts_kvp_legendurl", "'{base_url}/legends/{layer_name}'")
            .ask("/service?SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetCapabilities")
            .see(xml("LegendURL@href"), "-", "{HERE}/legends/maps"),
    ]
}

fn dimensions() -> Vec<Row> {
    let known =
        |keys: &'static str| row(keys).given("layers/0/dimensions", "{height: {values: [1, 2], default: 1}}");
    let nominal = |keys: &'static str| {
        row(keys)
            .given("services/ogcapi", "{}")
            .ask("/ogcapi/collections/direct/map.png?center=0,0&width=64&height=64&crs=http://www.opengis.net/def/crs/EPSG/0/3857")
            .see(status(), "500", "200")
    };
    vec![
        row("layers.*.dimensions")
            .put("layers/0/dimensions", "{time: {values: ['2020-01-01T00:00:00Z/2020-01-03T00:00:00Z/P1D']}}")
            .ask(WMTS)
            .see(xml("Layer/Dimension/Identifier"), "-", "time")
            .see(
                xml("Layer/Dimension/Value"),
                "-",
                "2020-01-01T00:00:00Z 2020-01-02T00:00:00Z 2020-01-03T00:00:00Z",
            ),
        known("layers.*.dimensions.*.values")
            .put("layers/0/dimensions/height/values", "[1, 5]")
            .ask(WMTS)
            .see(xml("Layer/Dimension/Value"), "1 2", "1 5"),
        known("layers.*.dimensions.*.default").put("layers/0/dimensions/height/default", "2").ask(TILE).see(
            stored(),
            "maps_EPSG3857/height-1/05/000/000/017/000/000/011.png",
            "maps_EPSG3857/height-2/05/000/000/017/000/000/011.png",
        ),
        // 64 pixels of 100 metres around the origin.
        nominal("layers.*.nominal_res").put("layers/1/nominal_res", "100").see(
            asked_bbox(),
            "-",
            "-3200 -3200 3200 3200",
        ),
        nominal("layers.*.nominal_scale").put("layers/1/nominal_scale", "1000000").see(
            asked_bbox(),
            "-",
            "-8960 -8960 8960 8960",
        ),
    ]
}

/// A map at 4892 metres a pixel, a scale of 17 million.
fn scales() -> Vec<Row> {
    let hidden =
        |keys: &'static str| row(keys).ask(map("direct", PLACE, 256, 256)).see(asked_count(), "1", "0");
    vec![
        hidden("layers.*.min_res").put("layers/1/min_res", "1000"),
        hidden("layers.*.max_res").put("layers/1/max_res", "10000"),
        hidden("layers.*.max_scale").put("layers/1/max_scale", "1000000"),
        hidden("layers.*.min_scale").put("layers/1/min_scale", "100000000"),
    ]
}
