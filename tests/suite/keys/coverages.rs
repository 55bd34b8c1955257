//! Keys of `coverage`, here of a source: it is not asked for what lies outside.

use super::map_in;
use super::row::{Row, prove, row};
use super::seen::*;

const INSIDE: &str = "9,49,11,51";
const OUTSIDE: &str = "20,20,22,22";

fn degrees(bbox: &str) -> String {
    map_in("EPSG:4326", "direct", bbox, 64, 64)
}

/// A coverage whose numbers are metres without the change, degrees with it.
fn in_degrees(keys: &'static str, given: &'static str) -> Row {
    row(keys).given("sources/wms/coverage", given).ask(degrees(INSIDE)).see(asked_count(), "0", "1")
}

fn rows() -> Vec<Row> {
    const BOX: &str = "{bbox: [5, 45, 15, 55], srs: 'EPSG:4326'}";
    vec![
        row("sources.*.coverage coverage.bbox")
            .put("sources/wms/coverage", BOX)
            .ask(degrees(OUTSIDE))
            .see(asked_count(), "1", "0"),
        in_degrees("coverage.srs", "{bbox: [5, 45, 15, 55], srs: 'EPSG:3857'}").put("sources/wms/coverage/srs", "'EPSG:4326'"),
        in_degrees("coverage.bbox_srs", "{bbox: [5, 45, 15, 55], bbox_srs: 'EPSG:3857'}")
            .put("sources/wms/coverage/bbox_srs", "'EPSG:4326'"),
        row("coverage.polygons")
            .put("sources/wms/coverage", "{polygons: '{SHARED}/area.wkt', polygons_srs: 'EPSG:4326'}")
            .ask(degrees(OUTSIDE))
            .see(asked_count(), "1", "0"),
        in_degrees("coverage.polygons_srs", "{polygons: '{SHARED}/area.wkt', polygons_srs: 'EPSG:3857'}")
            .put("sources/wms/coverage/polygons_srs", "'EPSG:4326'"),
        row("coverage.ogr_datasource")
            .put("sources/wms/coverage", "{ogr_datasource: '{SHARED}/area.wkt', ogr_srs: 'EPSG:4326'}")
            .ask(degrees(OUTSIDE))
            .see(asked_count(), "1", "0"),
        in_degrees("coverage.ogr_srs", "{ogr_datasource: '{SHARED}/area.wkt', ogr_srs: 'EPSG:3857'}")
            .put("sources/wms/coverage/ogr_srs", "'EPSG:4326'"),
        row("coverage.datasource")
            .put("sources/wms/coverage", "{datasource: '{SHARED}/area.wkt', srs: 'EPSG:4326'}")
            .ask(degrees(OUTSIDE))
            .see(asked_count(), "1", "0"),
        row("coverage.union")
            .given("sources/wms/coverage", BOX)
            .put("sources/wms/coverage", "{union: [{bbox: [5, 45, 15, 55], srs: 'EPSG:4326'}, {bbox: [19, 19, 23, 23], srs: 'EPSG:4326'}]}")
            .ask(degrees(OUTSIDE))
            .see(asked_count(), "0", "1"),
        row("coverage.difference")
            .given("sources/wms/coverage", BOX)
            .put("sources/wms/coverage", "{difference: [{bbox: [5, 45, 15, 55], srs: 'EPSG:4326'}, {bbox: [8, 48, 12, 52], srs: 'EPSG:4326'}]}")
            .ask(degrees(INSIDE))
            .see(asked_count(), "1", "0"),
        row("coverage.intersection")
            .given("sources/wms/coverage", BOX)
            .put("sources/wms/coverage", "{intersection: [{bbox: [5, 45, 15, 55], srs: 'EPSG:4326'}, {bbox: [12, 52, 23, 63], srs: 'EPSG:4326'}]}")
            .ask(degrees(INSIDE))
            .see(asked_count(), "1", "0"),
        // The corner of a box that the triangle in it leaves free.
        row("coverage.clip")
            .given("sources/wms/req/url", "'{UP}/flat'")
            .given("sources/wms/coverage", "{datasource: '{SHARED}/triangle.wkt', srs: 'EPSG:4326'}")
            .put("sources/wms/coverage/clip", "true")
            .ask(degrees("5,45,15,55"))
            .see(pixel(60, 4), "#336699ff", "#ffffffff")
            .keeps(pixel(4, 60), "#336699ff"),
    ]
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::coverages::each_key_shows_its_effect", &rows());
}
