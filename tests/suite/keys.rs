//! Every key of `mapproxy.yaml` shows its effect: in an answer, in what the
//! upstream is asked, or on the disk. `tests/keys.tsv` names for each key the
//! test that has its row; a key is not shown by the configuration that it
//! comes to.

mod caches;
mod coverages;
mod documents;
mod globals;
mod grids;
mod layers;
mod ogcapi;
mod pictures;
mod row;
mod seen;
mod services;
mod sources;
#[cfg(feature = "peers")]
mod tls;
mod waiting;

/// Tile 5/17/11 of the web mercator grid, rows from the north.
const TILE: &str = "/wmts/maps/GLOBAL_WEBMERCATOR/05/17/11.png";
/// Its extent.
const PLACE: &str = "1252344.2714,5009377.0857,2504688.5428,6261721.3571";
const CAPABILITIES: &str = "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities";
const CAPABILITIES_111: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities";
const WMTS: &str = "/wmts/1.0.0/WMTSCapabilities.xml";

/// A map in web mercator.
fn map(layer: &str, bbox: &str, width: u32, height: u32) -> String {
    map_in("EPSG:3857", layer, bbox, width, height)
}

fn map_in(srs: &str, layer: &str, bbox: &str, width: u32, height: u32) -> String {
    map_as("image/png", srs, layer, bbox, width, height)
}

fn map_as(format: &str, srs: &str, layer: &str, bbox: &str, width: u32, height: u32) -> String {
    format!(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={layer}&STYLES=&SRS={srs}&BBOX={bbox}\
         &WIDTH={width}&HEIGHT={height}&FORMAT={format}"
    )
}

/// What lies in the middle of a map.
fn info(layer: &str, format: &str) -> String {
    format!(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetFeatureInfo&LAYERS={layer}&QUERY_LAYERS={layer}&STYLES=&SRS=EPSG:3857\
         &BBOX={PLACE}&WIDTH=256&HEIGHT=256&FORMAT=image/png&X=128&Y=128&INFO_FORMAT={format}"
    )
}
