//! One configuration with everything that documents can tell: every way of
//! answering feature info, full metadata, dimensions, scale limits, and tiles
//! on grids of every kind.

use crate::harness::Upstream;
use crate::wms_info;

/// `max_output_pixels`.
pub const PIXELS_MAX: u32 = 600 * 500;

const WMS: &str = "    srs: ['EPSG:4326', 'EPSG:3857', 'EPSG:25832', 'EPSG:900913', 'CRS:84']
    bbox_srs: ['EPSG:4326', {bbox: [300000, 5200000, 900000, 6100000], srs: 'EPSG:25832'}]
    image_formats: [image/png, image/jpeg, image/gif, image/tiff]
    max_output_pixels: [600, 500]
    md:
      title: Maps &amp; &lt;more&gt;
      abstract: Everything that a document can tell
      online_resource: http://maps.example.org/?a&amp;b
      contact: {person: A. Person, position: Cook, organization: Maps &amp; Co, address_type: office, address: Street 1, city: Town, state: State,
        postcode: 12345, country: Land, phone: +49(0)1, fax: +49(0)2, email: maps@example.org}
      access_constraints: ask &amp; wait
      fees: two &lt; three
      keyword_list: [{vocabulary: GEMET, keywords: [Orthoimagery, Land cover]}, {keywords: ['one &amp; two']}]
";

const SERVICES: &str = "  tms:\n    md: {title: Tiles &amp; more, abstract: All tiles}\n  kml: {use_grid_names: true}\n  ogcapi: {map_srs: ['EPSG:4326', 'EPSG:3857', 'EPSG:25832'], default_dataset_layers: [text, cached]}\n";

const WMTS_MD: &str = "    md: {title: Tile maps, abstract: Tiles &amp; more, fees: none, access_constraints: none, online_resource: 'http://tiles.example.org/?a&amp;b',
      keyword_list: [{keywords: [a, b]}], contact: {person: B. Person, organization: Tiles}}\n";

const LAYERS: &str = "  - name: described
    title: Described &#38; &lt;told&gt;
    legendurl: LEGEND
    min_res: 10000
    max_res: 0.5
    sources: [mute]
DIMENSIONS    md:
      abstract: An abstract &amp; more
      keyword_list: [{vocabulary: GEMET, keywords: [x]}, {keywords: [y, z]}]
      attribution: {title: My attribution, url: 'http://example.org/?a&b', logo: {url: 'http://example.org/logo.jpg', width: 100, height: 101, format: image/jpeg}}
      identifier: [{url: 'http://example.org/', name: HKU1234, value: Some value}]
      metadata: [{url: 'http://example.org/metadata2.xml', type: 'ISO19115:2003', format: text/xml}, {url: 'http://example.org/m', type: TC211, format: text/html}]
      data: [{url: 'http://example.org/datasets/test.shp', format: application/octet-stream}, {url: 'http://example.org/datasets/test.gml', format: text/xml}]
      feature_list: [{url: 'http://example.org/datasets/test.pdf', format: application/pdf}]
  - name: tree
    title: A group that draws
    sources: [mute]
    layers:
      - {name: leaf, title: Leaf, sources: [text], min_scale: 100, max_scale: 5000000}
      - title: Nameless
        layers:
          - {name: deep, title: Deep, sources: [one], md: {abstract: Deep down}}
  - {name: merc, title: Mercator from the south, sources: [merc], wmts_rest_legendurl: '{base_url}/legend/{layer_name}.png', wmts_kvp_legendurl: '{base_url}/service?layer={layer_name}&amp;a=b'}
  - {name: web, title: JPEG, sources: [web], nominal_scale: 500000, md: {abstract: 'Pictures &amp; more', keyword_list: [{keywords: [k]}]}}
  - {name: utm, title: UTM, sources: [utm], max_res: 10, nominal_res: 25}
  - {name: informed, title: Informed, sources: [informed]}
  - {name: geo, title: Degrees, sources: [geo]}
  - {name: mixed_tiles, title: Mixed, sources: [mixed_tiles]}
  - {name: part, title: Edges as they were written, sources: [part]}
  - {name: both, title: Edges that were computed, sources: [both]}
  - {name: parts, title: Some of each, sources: [part, both]}
";

const DIMENSIONS: &str = "    dimensions:
      time: {values: ['2020-01-01', '2020-01-02'], default: '2020-01-02'}
      elevation: {values: [0, 100]}
      dim_reference: {values: ['a', 'b c'], default: a}
";

const CACHES: &str = "  merc: {grids: [GLOBAL_MERCATOR, geodetic_nw], sources: [mute]}
  informed: {grids: [GLOBAL_MERCATOR], sources: [text]}
  web: {grids: [GLOBAL_WEBMERCATOR], sources: [mute], format: image/jpeg}
  utm: {grids: [utm32], sources: [mute]}
  geo: {grids: [GLOBAL_GEODETIC], sources: [mute]}
  part: {grids: [GLOBAL_MERCATOR, geodetic_nw], sources: [mute], cache: {type: file, coverage: {bbox: [5, 50, 12, 55.5], srs: 'EPSG:4326'}}}
  both: {grids: [geodetic_nw], sources: [mute], cache: {type: file, coverage: {intersection: [{bbox: [-9, 40, 8, 55], srs: 'EPSG:4326'}, {bbox: [-8, 39, 9, 55], srs: 'EPSG:4326'}]}}}
  mixed_tiles: {grids: [GLOBAL_WEBMERCATOR], sources: [mute], format: mixed, request_format: image/png}
";

const GRIDS: &str = "grids:
  geodetic_nw: {base: GLOBAL_GEODETIC, origin: nw, min_res: 0.703125}
  utm32: {srs: 'EPSG:25832', bbox: [4, 46, 16, 56], bbox_srs: 'EPSG:4326', origin: nw, tile_size: [512, 512], res_factor: sqrt2, num_levels: 20}
";

/// The map file; sources answer as [`wms_info::talkative`] says. No version
/// before 1.3.0 has words for dimensions as MapProxy tells them.
pub fn map(upstream: &Upstream, with_dimensions: bool) -> String {
    let plain = wms_info::map(upstream, "");
    let plain = plain.replacen("    srs: ['EPSG:4326', 'EPSG:3857', 'EPSG:25832']\n", WMS, 1);
    let plain = plain.replacen("  tms:\n", &format!("{WMTS_MD}{SERVICES}"), 1);
    let plain = plain.replacen("layers:\n", &format!("layers:\n{LAYERS}"), 1);
    let plain = plain.replacen("caches:\n", &format!("caches:\n{CACHES}"), 1);
    format!("globals: {{cache: {{meta_size: [1, 1], meta_buffer: 0}}}}\n{plain}{GRIDS}")
        .replace("LEGEND", &upstream.url("/static.png"))
        .replace("DIMENSIONS", if with_dimensions { DIMENSIONS } else { "" })
}
