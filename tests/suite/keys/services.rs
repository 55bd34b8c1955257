//! Keys of `services`: WMS, WMTS, TMS, KML and the demo.

use super::row::{Row, prove, row};
use super::seen::*;
use super::{CAPABILITIES, PLACE, WMTS, info, map, map_in};

const WMTS_KVP: &str = "/service?SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetCapabilities";

fn rows() -> Vec<Row> {
    let mut rows = there_or_not();
    rows.extend(tiles());
    rows.extend(wmts());
    rows.extend(wms());
    rows.extend(wms_answers());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::services::each_key_shows_its_effect", &rows());
}

fn there_or_not() -> Vec<Row> {
    let appears =
        |keys: &'static str, target: &'static str| row(keys).ask(target).see(status(), "404", "200");
    vec![
        appears("services services.demo", "/demo/").put("services/demo", "{}"),
        appears("services.kml", "/kml/maps/EPSG3857").put("services/kml", "{}"),
        appears("services.tms", "/tms/1.0.0/").put("services/tms", "{}"),
        appears("services.wmts", WMTS).given("services/wmts", "-").put("services/wmts", "{}"),
        appears("services.ogcapi", "/ogcapi").put("services/ogcapi", "{}"),
        row("services.wms").given("services/wms", "-").put("services/wms", "{}").ask(CAPABILITIES).see(
            holds("<WMS_Capabilities"),
            "no",
            "yes",
        ),
    ]
}

fn tiles() -> Vec<Row> {
    vec![
        row("services.kml.use_grid_names")
            .given("services/kml", "{}")
            .put("services/kml/use_grid_names", "true")
            .ask("/kml/maps/GLOBAL_WEBMERCATOR")
            .see(status(), "404", "200"),
        row("services.tms.use_grid_names")
            .given("services/tms", "{}")
            .put("services/tms/use_grid_names", "true")
            .ask("/tms/1.0.0/maps/GLOBAL_WEBMERCATOR")
            .see(status(), "404", "200"),
        // Row 11 counts from the south, or from the north.
        row("services.tms.origin")
            .given("services/tms", "{}")
            .given("services/tms/origin", "nw")
            .put("services/tms/origin", "sw")
            .ask("/tiles/1.0.0/tiles/EPSG3857/5/17/11.png")
            .see(asked_paths(), "5/17/11.png", "5/17/20.png"),
        row("services.tms.md")
            .given("services/tms", "{}")
            .put("services/tms/md", "{title: Other}")
            .ask("/tms/1.0.0/")
            .see(xml("TileMapService/Title"), "Site", "Other"),
    ]
}

fn wmts() -> Vec<Row> {
    const TOLD: &str = "/wmts/maps/GLOBAL_WEBMERCATOR/05/17/11/128/128.txt";
    let informed = |keys: &'static str| {
        row(keys)
            .given("sources/wms/wms_opts", "{featureinfo: true}")
            .given("services/wmts/featureinfo_formats", "[{mimetype: text/html, suffix: txt}]")
    };
    vec![
        row("services.wmts.kvp").put("services/wmts/kvp", "false").ask(WMTS_KVP).see(
            holds("<Capabilities"),
            "yes",
            "no",
        ),
        row("services.wmts.restful").put("services/wmts/restful", "false").ask(WMTS).see(
            status(),
            "200",
            "404",
        ),
        row("services.wmts.restful_template")
            .put(
                "services/wmts/restful_template",
                "'/at/{TileMatrixSet}/{Layer}/{TileMatrix}/{TileRow}/{TileCol}.{Format}'",
            )
            .ask("/wmts/at/GLOBAL_WEBMERCATOR/tiles/05/11/17.png")
            .see(status(), "404", "200")
            .see(asked_paths(), "-", "5/17/11.png"),
        informed("services.wmts.restful_featureinfo_template")
            .put(
                "services/wmts/restful_featureinfo_template",
                "'/what/{Layer}/{TileMatrixSet}/{TileMatrix}/{TileCol}/{TileRow}/{I}/{J}.{InfoFormat}'",
            )
            .ask("/wmts/what/maps/GLOBAL_WEBMERCATOR/05/17/11/128/128.txt")
            .see(status(), "404", "200")
            .see(holds("told roads,rivers"), "no", "yes"),
        row("services.wmts.md").put("services/wmts/md", "{title: Other}").ask(WMTS).see(
            xml("ServiceIdentification/Title"),
            "Site",
            "Other",
        ),
        row("services.wmts.featureinfo_formats")
            .given("sources/wms/wms_opts", "{featureinfo: true}")
            .put("services/wmts/featureinfo_formats", "[{mimetype: text/plain, suffix: txt}]")
            .ask(WMTS)
            .see(xml("Layer/InfoFormat"), "-", "text/plain"),
        informed("services.wmts.featureinfo_formats.mimetype")
            .put("services/wmts/featureinfo_formats/0/mimetype", "text/plain")
            .ask(TOLD)
            .see(asked("info_format"), "text/html", "text/plain"),
        informed("services.wmts.featureinfo_formats.suffix")
            .put("services/wmts/featureinfo_formats/0/suffix", "htm")
            .ask(TOLD)
            .see(status(), "200", "400"),
    ]
}

fn wms() -> Vec<Row> {
    vec![
        row("services.wms.srs")
            .put("services/wms/srs", "['EPSG:4326', 'EPSG:3857']")
            .ask(map_in("EPSG:25832", "direct", "500000,5500000,600000,5600000", 64, 64))
            .see(status(), "200", "500")
            .see(holds("InvalidSRS"), "no", "yes"),
        row("services.wms.bbox_srs services.wms.bbox_srs.srs services.wms.bbox_srs.bbox")
            .given("layers", "[{name: maps, title: Maps, sources: [maps]}]")
            .put("services/wms/bbox_srs", "[{srs: 'EPSG:3857', bbox: [1, 2, 3, 4]}]")
            .ask(CAPABILITIES)
            .see(xml("Layer/BoundingBox@maxx"), "20037508.342789244 85.0511287798066", "3.0"),
        row("services.wms.image_formats")
            .put("services/wms/image_formats", "[image/png, image/gif]")
            .ask(CAPABILITIES)
            .see(
                xml("GetMap/Format"),
                "image/png image/jpeg image/gif image/GeoTIFF image/tiff",
                "image/png image/gif",
            ),
        row("services.wms.versions").put("services/wms/versions", "[1.1.1]").ask(CAPABILITIES).see(
            holds("<WMT_MS_Capabilities version=\"1.1.1\">"),
            "no",
            "yes",
        ),
        row("services.wms.max_output_pixels")
            .put("services/wms/max_output_pixels", "[100, 100]")
            .ask(map("direct", PLACE, 128, 128))
            .see(status(), "200", "500")
            .see(asked_count(), "1", "0"),
        row("services.wms.featureinfo_types")
            .given("sources/wms/wms_opts", "{featureinfo: true}")
            .put("services/wms/featureinfo_types", "[json]")
            .ask(CAPABILITIES)
            .see(xml("GetFeatureInfo/Format"), "text/plain text/html text/xml", "application/json"),
        row("services.wms.featureinfo_xslt")
            .given("sources/wms/wms_opts", "{featureinfo: true}")
            .given("sources/wms/req/url", "'{UP}/xml'")
            .put("services/wms/featureinfo_xslt", "{xml: '{SHARED}/info.xsl'}")
            .ask(info("direct", "text/xml"))
            .see(holds("<turned>7</turned>"), "no", "yes"),
        row("services.wms.strict")
            .given("sources/wms/wms_opts", "{featureinfo: true}")
            .put("services/wms/strict", "true")
            .ask(info("direct", "text/plain").replace("&FORMAT=image/png", ""))
            .see(status(), "200", "500"),
    ]
}

fn wms_answers() -> Vec<Row> {
    vec![
        row("services.wms.attribution attribution.text")
            .given("sources/wms/req/url", "'{UP}/flat'")
            .put("services/wms/attribution", "{text: by us}")
            .ask(map("direct", PLACE, 128, 128))
            .see(ink(), "-", "33x17 at 95,111"),
        // One of two layers fails.
        row("services.wms.on_source_errors")
            .given("sources/wms/req/url", "'{UP}/fail/500'")
            .given("sources/wms/req/transparent", "true")
            .put("services/wms/on_source_errors", "raise")
            .ask(map("tiles,direct", PLACE, 64, 64))
            .see(status(), "200", "500"),
    ]
}
