//! Every section and key of `mapproxy.yaml` (mapproxy-features.md §1–7), what it
//! may hold, and which ones wait for their feature ([`miss`]).

use super::schema::Kind::{Any, Bbox, Bool, Choice, Color, Int, List, Map, Named, Number, OneOf};
use super::schema::Kind::{Open, Text, Typed};
use super::schema::{Kind, Status, Table, Variant, idle, key, miss, need};

const TEXTS: Kind = List(&Text);
const NUMBERS: Kind = List(&Number);
const INTS: Kind = List(&Int);
const TEXT_OR_NUMBER: Kind = OneOf(&[Text, Number]);

mod caches;
mod services;

use caches::CACHE;
use services::SERVICES;

/// The whole file.
pub static ROOT: Kind = Map(&[&TOP]);

pub static TOP: Table = Table {
    path: "",
    keys: &[
        key("base", OneOf(&[Text, TEXTS])),
        key("globals", Map(&[&GLOBALS])),
        key("grids", Named(&Map(&[&GRID]))),
        key("sources", Named(&Typed(SOURCE_TYPES))),
        key("caches", Named(&Map(&[&CACHE]))),
        key("layers", List(&ONE_LAYER)),
        key("services", Map(&[&SERVICES])),
        key("parts", Any),
    ],
};

static GLOBALS: Table = Table {
    path: "globals",
    keys: &[
        key("image", Map(&[&GLOBALS_IMAGE])),
        key("http", Map(&[&HTTP, &GLOBALS_HTTP])),
        key("cache", Map(&[&GLOBALS_CACHE])),
        key("grid", Map(&[&GLOBALS_GRID])),
        key("srs", Map(&[&GLOBALS_SRS])),
        key("tiles", Map(&[&GLOBALS_TILES])),
        key("mapserver", Map(&[&MAPSERVER])),
        key("renderd", Map(&[&GLOBALS_RENDERD])),
        key("background", Map(&[&GLOBALS_BACKGROUND])),
    ],
};

const MERGE_METHOD: &str = "pictures are always merged by their alpha";

static GLOBALS_IMAGE: Table = Table {
    path: "globals.image",
    keys: &[
        key("resampling_method", RESAMPLING),
        key("paletted", Bool),
        key("stretch_factor", Number),
        key("max_shrink_factor", Number),
        key("jpeg_quality", Number),
        key("formats", Named(&Map(&[&IMAGE]))),
        key("font_dir", Text),
        idle("merge_method", Text, MERGE_METHOD),
    ],
};

const RESAMPLING: Kind = Choice(&["nearest", "bilinear", "bicubic"]);

/// Image options of formats, caches and sources.
static IMAGE: Table = Table {
    path: "image",
    keys: &[
        key("mode", Choice(&["RGB", "RGBA", "P", "I"])),
        key("colors", Number),
        key("transparent", Bool),
        key("resampling_method", RESAMPLING),
        key("format", Text),
        key("encoding_options", Map(&[&ENCODING])),
        idle("merge_method", Text, MERGE_METHOD),
    ],
};

static ENCODING: Table = Table {
    path: "image.encoding_options",
    keys: &[
        key("jpeg_quality", Int),
        key("quantizer", Choice(&["fastoctree", "mediancut"])),
        key("tiff_compression", Choice(&["raw", "tiff_lzw", "jpeg"])),
    ],
};

/// `globals.http` and `sources.*.http`.
static HTTP: Table = Table {
    path: "http",
    keys: &[
        key("method", Choice(&["AUTO", "GET", "POST"])),
        key("client_timeout", Number),
        key("ssl_no_cert_checks", Bool),
        key("ssl_ca_certs", Text),
        key("hide_error_details", Bool),
        key("headers", Named(&Text)),
        key("manage_cookies", Bool),
    ],
};

static GLOBALS_HTTP: Table = Table {
    path: "globals.http",
    keys: &[key("access_control_allow_origin", OneOf(&[Text, Map(&[])])), key("concurrent_requests", Int)],
};

const LINKS: Kind = OneOf(&[Bool, Choice(&["symlink", "hardlink"])]);

static GLOBALS_CACHE: Table = Table {
    path: "globals.cache",
    keys: &[
        key("base_dir", Text),
        key("lock_dir", Text),
        key("tile_lock_dir", Text),
        key("directory_permissions", Text),
        key("file_permissions", Text),
        key("meta_size", NUMBERS),
        key("meta_buffer", Number),
        key("bulk_meta_tiles", Bool),
        key("max_tile_limit", Number),
        key("minimize_meta_requests", Bool),
        key("concurrent_tile_creators", Int),
        key("link_single_color_images", LINKS),
        key("sqlite_timeout", Number),
        key("sqlite_wal", Bool),
        miss("s3", Map(&[&S3_ACCOUNT])),
        miss("azureblob", Map(&[&AZURE_ACCOUNT])),
    ],
};

static S3_ACCOUNT: Table = Table {
    path: "globals.cache.s3",
    keys: &[
        miss("bucket_name", Text),
        miss("profile_name", Text),
        miss("region_name", Text),
        miss("endpoint_url", Text),
        miss("access_control_list", Text),
        miss("use_http_get", Bool),
        miss("include_grid_name", Bool),
    ],
};

static AZURE_ACCOUNT: Table = Table {
    path: "globals.cache.azureblob",
    keys: &[miss("connection_string", Text), miss("container_name", Text)],
};

static GLOBALS_GRID: Table = Table { path: "globals.grid", keys: &[key("tile_size", INTS)] };

const AXIS_ORDER: &str = "the order of axes comes from PROJ";

static GLOBALS_SRS: Table = Table {
    path: "globals.srs",
    keys: &[
        idle("axis_order_ne", TEXTS, AXIS_ORDER),
        idle("axis_order_en", TEXTS, AXIS_ORDER),
        key("proj_data_dir", Text),
        key("preferred_src_proj", Named(&TEXTS)),
    ],
};

static GLOBALS_TILES: Table = Table { path: "globals.tiles", keys: &[key("expires_hours", Number)] };

static GLOBALS_RENDERD: Table = Table { path: "globals.renderd", keys: &[key("address", Text)] };

static GLOBALS_BACKGROUND: Table = Table { path: "globals.background", keys: &[key("url", Text)] };

/// `globals.mapserver` and `sources.*.mapserver`.
static MAPSERVER: Table = Table { path: "mapserver", keys: &[key("binary", Text), key("working_dir", Text)] };

static GRID: Table = Table {
    path: "grids.*",
    keys: &[
        key("base", Text),
        key("name", Text),
        key("srs", Text),
        key("bbox", Bbox),
        key("bbox_srs", Text),
        key("num_levels", Int),
        key("res", NUMBERS),
        key("res_factor", TEXT_OR_NUMBER),
        key("max_res", Number),
        key("min_res", Number),
        key("stretch_factor", Number),
        key("max_shrink_factor", Number),
        key("align_resolutions_with", Text),
        key("origin", Choice(&["ll", "sw", "ul", "nw"])),
        key("tile_size", INTS),
        key("threshold_res", NUMBERS),
    ],
};

/// Coverages of sources and caches; unions and the like hold more of them.
pub static COVERAGE: Table = Table {
    path: "coverage",
    keys: &[
        key("polygons", Text),
        key("polygons_srs", Text),
        key("bbox", Bbox),
        key("bbox_srs", Text),
        key("ogr_datasource", Text),
        miss("ogr_where", Text),
        key("ogr_srs", Text),
        key("datasource", OneOf(&[Text, NUMBERS])),
        miss("where", Text),
        key("srs", Text),
        key("expire_tiles", Text),
        key("union", List(&ONE_COVERAGE)),
        key("difference", List(&ONE_COVERAGE)),
        key("intersection", List(&ONE_COVERAGE)),
        key("clip", Bool),
    ],
};

static ONE_COVERAGE: Kind = Map(&[&COVERAGE]);

static SCALES: Table = Table {
    path: "min_max",
    keys: &[
        key("max_scale", Number),
        key("min_scale", Number),
        key("max_res", Number),
        key("min_res", Number),
    ],
};

const NAMED_BY_KEY: &str = "what is named is named by its key";

/// Keys of every source but `debug`.
static SOURCE: Table = Table {
    path: "sources.*",
    keys: &[
        idle("name", Text, NAMED_BY_KEY),
        key("concurrent_requests", Int),
        key("coverage", Map(&[&COVERAGE])),
        key("seed_only", Bool),
    ],
};

static SOURCE_TYPES: &[Variant] = &[
    Variant { name: "wms", tables: &[&SOURCE, &SCALES, &WMS], status: Status::Works },
    Variant { name: "tile", tables: &[&SOURCE, &SCALES, &TILE], status: Status::Works },
    Variant { name: "debug", tables: &[&DEBUG], status: Status::Works },
    Variant { name: "mapserver", tables: &[&SOURCE, &SCALES, &MAPSERVER_SOURCE], status: Status::Works },
    Variant { name: "mapnik", tables: &[&SOURCE, &SCALES, &MAPNIK], status: Status::Missing },
    Variant { name: "arcgis", tables: &[&SOURCE, &SCALES, &ARCGIS], status: Status::Works },
    Variant { name: "ogcapitiles", tables: &[&SOURCE, &SCALES, &OGCAPI_TILES], status: Status::Works },
    Variant { name: "ogcapimaps", tables: &[&SOURCE, &SCALES, &OGCAPI_MAPS], status: Status::Works },
];

static WMS: Table = Table {
    path: "sources.*(wms)",
    keys: &[
        key("wms_opts", Map(&[&WMS_OPTS])),
        key("image", Map(&[&IMAGE, &SOURCE_IMAGE])),
        key("supported_formats", TEXTS),
        key("supported_srs", TEXTS),
        key("http", Map(&[&HTTP])),
        key("on_error", ON_ERROR),
        key("forward_req_params", TEXTS),
        need("req", Open(&[&WMS_REQ])),
    ],
};

static WMS_REQ: Table = Table {
    path: "sources.*(wms).req",
    keys: &[
        need("url", Text),
        key("layers", Any),
        key("transparent", Any),
        key("format", Text),
        key("sld", Text),
    ],
};

static WMS_OPTS: Table = Table {
    path: "sources.*(wms).wms_opts",
    keys: &[
        key("version", Text),
        key("map", Bool),
        key("featureinfo", Bool),
        key("legendgraphic", Bool),
        key("legendurl", Text),
        key("featureinfo_format", Text),
        key("featureinfo_xslt", Text),
        key("featureinfo_out_format", Text),
        key("query_layers", Text),
    ],
};

/// What an image option of a source may be beside the common ones.
static SOURCE_IMAGE: Table = Table {
    path: "sources.*.image",
    keys: &[
        key("opacity", Number),
        key("transparent_color", Color),
        key("transparent_color_tolerance", Number),
    ],
};

const ON_ERROR: Kind = Named(&Map(&[&ON_ERROR_RULE]));

static ON_ERROR_RULE: Table = Table {
    path: "sources.*.on_error.*",
    keys: &[
        need("response", OneOf(&[Choice(&["transparent"]), Color])),
        key("cache", Bool),
        key("authorize_stale", Bool),
    ],
};

static TILE: Table = Table {
    path: "sources.*(tile)",
    keys: &[
        need("url", Text),
        key("transparent", Bool),
        key("image", Map(&[&IMAGE])),
        key("grid", Text),
        idle("request_format", Text, "a tile source asks for the cache's `request_format`"),
        idle("origin", Text, "the origin is that of the source's grid"),
        key("http", Map(&[&HTTP])),
        key("on_error", ON_ERROR),
    ],
};

static DEBUG: Table = Table { path: "sources.*(debug)", keys: &[idle("name", Text, NAMED_BY_KEY)] };

static MAPSERVER_SOURCE: Table = Table {
    path: "sources.*(mapserver)",
    keys: &[
        key("wms_opts", Map(&[&WMS_OPTS])),
        key("image", Map(&[&IMAGE, &SOURCE_IMAGE])),
        key("supported_formats", TEXTS),
        key("supported_srs", TEXTS),
        key("forward_req_params", TEXTS),
        need("req", Open(&[&MAPSERVER_REQ])),
        key("mapserver", Map(&[&MAPSERVER])),
    ],
};

static MAPSERVER_REQ: Table = Table {
    path: "sources.*(mapserver).req",
    keys: &[need("map", Text), key("layers", Any), key("transparent", Any), key("format", Text)],
};

static MAPNIK: Table = Table {
    path: "sources.*(mapnik)",
    keys: &[
        need("mapfile", Text),
        key("transparent", Bool),
        key("image", Map(&[&IMAGE])),
        key("layers", OneOf(&[Text, TEXTS])),
        key("use_mapnik2", Bool),
        key("scale_factor", Number),
        key("multithreaded", Bool),
    ],
};

static ARCGIS: Table = Table {
    path: "sources.*(arcgis)",
    keys: &[
        need("req", Map(&[&ARCGIS_REQ])),
        key("opts", Map(&[&ARCGIS_OPTS])),
        key("image", Map(&[&IMAGE])),
        key("supported_srs", TEXTS),
        key("supported_formats", TEXTS),
        key("http", Map(&[&HTTP])),
        key("on_error", ON_ERROR),
    ],
};

static ARCGIS_REQ: Table = Table {
    path: "sources.*(arcgis).req",
    keys: &[
        need("url", Text),
        key("format", Text),
        key("dpi", Int),
        key("layers", Text),
        key("transparent", Bool),
        key("time", Text),
    ],
};

static ARCGIS_OPTS: Table = Table {
    path: "sources.*(arcgis).opts",
    keys: &[
        key("map", Bool),
        key("featureinfo", Bool),
        key("featureinfo_tolerance", Number),
        key("featureinfo_return_geometries", Bool),
    ],
};

static OGCAPI_TILES: Table = Table {
    path: "sources.*(ogcapitiles)",
    keys: &[
        need("landingpage_url", Text),
        key("collection", Text),
        key("tile_matrix_set_id", Text),
        key("image", Map(&[&IMAGE])),
        key("http", Map(&[&HTTP])),
        key("on_error", ON_ERROR),
    ],
};

static OGCAPI_MAPS: Table = Table {
    path: "sources.*(ogcapimaps)",
    keys: &[
        need("landingpage_url", Text),
        key("collection", Text),
        key("supported_srs", TEXTS),
        key("transparent", Bool),
        key("image", Map(&[&IMAGE, &SOURCE_IMAGE])),
        key("bgcolor", Color),
        key("http", Map(&[&HTTP])),
        key("on_error", ON_ERROR),
    ],
};

// Statics, because tables that hold themselves can only do so by address.
static ONE_LAYER: Kind = Map(&[&LAYER]);

/// One layer, with more of them within.
static LAYER: Table = Table {
    path: "layers.*",
    keys: &[
        key("max_scale", Number),
        key("min_scale", Number),
        key("max_res", Number),
        key("min_res", Number),
        key("sources", TEXTS),
        key("tile_sources", TEXTS),
        key("name", Text),
        need("title", Text),
        key("legendurl", Text),
        key("wmts_rest_legendurl", Text),
        key("wmts_kvp_legendurl", Text),
        key("layers", List(&ONE_LAYER)),
        key("md", Map(&[&LAYER_MD])),
        key("dimensions", Named(&Map(&[&DIMENSION]))),
        key("nominal_res", Number),
        key("nominal_scale", Number),
    ],
};

static DIMENSION: Table = Table {
    path: "layers.*.dimensions.*",
    keys: &[need("values", List(&TEXT_OR_NUMBER)), key("default", TEXT_OR_NUMBER)],
};

static LAYER_MD: Table = Table {
    path: "layers.*.md",
    keys: &[
        key("abstract", Text),
        key("keyword_list", KEYWORDS),
        key("attribution", Map(&[&LAYER_ATTRIBUTION])),
        key("identifier", List(&Map(&[&IDENTIFIER]))),
        key("metadata", List(&Map(&[&METADATA]))),
        key("data", List(&Map(&[&DATA]))),
        key("feature_list", List(&Map(&[&FEATURE_LIST]))),
    ],
};

static LAYER_ATTRIBUTION: Table = Table {
    path: "layers.*.md.attribution",
    keys: &[key("title", Text), key("url", Text), key("logo", Map(&[&LOGO]))],
};

static LOGO: Table = Table {
    path: "layers.*.md.attribution.logo",
    keys: &[key("url", Text), key("width", Int), key("height", Int), key("format", Text)],
};

static IDENTIFIER: Table = Table {
    path: "layers.*.md.identifier",
    keys: &[key("url", Text), key("name", Text), key("value", Text)],
};

static METADATA: Table =
    Table { path: "layers.*.md.metadata", keys: &[key("url", Text), key("type", Text), key("format", Text)] };

static DATA: Table = Table { path: "layers.*.md.data", keys: &[key("url", Text), key("format", Text)] };

static FEATURE_LIST: Table =
    Table { path: "layers.*.md.feature_list", keys: &[key("url", Text), key("format", Text)] };

const KEYWORDS: Kind = List(&Map(&[&KEYWORD_LIST]));

static KEYWORD_LIST: Table =
    Table { path: "keyword_list", keys: &[key("vocabulary", Text), key("keywords", TEXTS)] };
