//! Every section and key of `mapproxy.yaml` (mapproxy-features.md §1–7), what it
//! may hold, and which ones wait for their feature ([`miss`]).

use super::schema::Kind::{Any, Bbox, Bool, Choice, Color, Date, Int, List, Map, Named, Number, OneOf};
use super::schema::Kind::{Open, Text, Typed};
use super::schema::{Kind, Status, Table, Variant, idle, key, miss, need};

const TEXTS: Kind = List(&Text);
const NUMBERS: Kind = List(&Number);
const INTS: Kind = List(&Int);
const TEXT_OR_NUMBER: Kind = OneOf(&[Text, Number]);

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
        miss("mapserver", Map(&[&MAPSERVER])),
        miss("renderd", Map(&[&GLOBALS_RENDERD])),
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
        miss("font_dir", Text),
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
        miss("sqlite_timeout", Number),
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
        miss("proj_data_dir", Text),
        key("preferred_src_proj", Named(&TEXTS)),
    ],
};

static GLOBALS_TILES: Table = Table { path: "globals.tiles", keys: &[key("expires_hours", Number)] };

static GLOBALS_RENDERD: Table = Table { path: "globals.renderd", keys: &[miss("address", Text)] };

static GLOBALS_BACKGROUND: Table = Table { path: "globals.background", keys: &[key("url", Text)] };

/// `globals.mapserver` and `sources.*.mapserver`.
static MAPSERVER: Table =
    Table { path: "mapserver", keys: &[miss("binary", Text), miss("working_dir", Text)] };

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
        miss("expire_tiles", Text),
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
    Variant { name: "mapserver", tables: &[&SOURCE, &SCALES, &MAPSERVER_SOURCE], status: Status::Missing },
    Variant { name: "mapnik", tables: &[&SOURCE, &SCALES, &MAPNIK], status: Status::Missing },
    Variant { name: "arcgis", tables: &[&SOURCE, &SCALES, &ARCGIS], status: Status::Missing },
    Variant { name: "ogcapitiles", tables: &[&SOURCE, &SCALES, &OGCAPI_TILES], status: Status::Missing },
    Variant { name: "ogcapimaps", tables: &[&SOURCE, &SCALES, &OGCAPI_MAPS], status: Status::Missing },
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
        miss("featureinfo", Bool),
        miss("legendgraphic", Bool),
        miss("legendurl", Text),
        miss("featureinfo_format", Text),
        miss("featureinfo_xslt", Text),
        miss("featureinfo_out_format", Text),
        miss("query_layers", Text),
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

static CACHE: Table = Table {
    path: "caches.*",
    keys: &[
        need("sources", OneOf(&[TEXTS, Map(&[&BANDS])])),
        idle("name", Text, NAMED_BY_KEY),
        key("grids", TEXTS),
        key("cache_dir", Text),
        key("meta_size", NUMBERS),
        key("meta_buffer", Number),
        key("bulk_meta_tiles", Bool),
        key("minimize_meta_requests", Bool),
        key("concurrent_tile_creators", Int),
        key("max_tile_limit", Number),
        key("disable_storage", Bool),
        key("format", Text),
        key("image", Map(&[&IMAGE, &CACHE_IMAGE])),
        key("request_format", Text),
        key("use_direct_from_level", Number),
        key("use_direct_from_res", Number),
        key("link_single_color_images", LINKS),
        miss("cache_rescaled_tiles", Bool),
        miss("upscale_tiles", Int),
        miss("downscale_tiles", Int),
        key("refresh_before", Map(&[&TIME_SPEC])),
        key("watermark", Map(&[&WATERMARK])),
        key("cache", Typed(BACKENDS)),
    ],
};

static CACHE_IMAGE: Table = Table { path: "caches.*.image", keys: &[key("opacity", Number)] };

static BANDS: Table = Table {
    path: "caches.*.sources",
    keys: &[
        miss("r", BAND_LIST),
        miss("g", BAND_LIST),
        miss("b", BAND_LIST),
        miss("a", BAND_LIST),
        miss("l", BAND_LIST),
    ],
};

const BAND_LIST: Kind = List(&Map(&[&BAND]));

static BAND: Table = Table {
    path: "caches.*.sources.band",
    keys: &[need("source", Text), need("band", Int), key("factor", Number)],
};

/// `refresh_before` here, `remove_before` in the seed file.
pub static TIME_SPEC: Table = Table {
    path: "refresh_before",
    keys: &[
        key("seconds", Number),
        key("minutes", Number),
        key("hours", Number),
        key("days", Number),
        key("weeks", Number),
        key("time", Any),
        key("mtime", Text),
    ],
};

static WATERMARK: Table = Table {
    path: "caches.*.watermark",
    keys: &[
        key("text", Text),
        key("font_size", Number),
        key("color", Color),
        key("opacity", Number),
        key("spacing", Choice(&["wide"])),
    ],
};

static BACKENDS: &[Variant] = &[
    Variant { name: "file", tables: &[&BACKEND, &BACKEND_MODES, &FILE], status: Status::Works },
    Variant { name: "world", tables: &[&WORLD], status: Status::Works },
    Variant { name: "sqlite", tables: &[&BACKEND, &BACKEND_MODES, &SQLITE], status: Status::Missing },
    Variant { name: "mbtiles", tables: &[&BACKEND, &BACKEND_MODES, &MBTILES], status: Status::Missing },
    Variant { name: "geopackage", tables: &[&BACKEND, &BACKEND_MODES, &GEOPACKAGE], status: Status::Missing },
    Variant { name: "compact", tables: &[&BACKEND, &BACKEND_MODES, &COMPACT], status: Status::Missing },
    Variant { name: "s3", tables: &[&BACKEND, &S3], status: Status::Missing },
    Variant { name: "azureblob", tables: &[&BACKEND, &AZURE], status: Status::Missing },
    Variant { name: "redis", tables: &[&BACKEND, &REDIS], status: Status::Missing },
    Variant { name: "couchdb", tables: &[&BACKEND, &COUCHDB], status: Status::Missing },
];

/// Keys of every backend.
static BACKEND: Table =
    Table { path: "caches.*.cache", keys: &[key("coverage", Map(&[&COVERAGE])), key("tile_lock_dir", Text)] };

static BACKEND_MODES: Table = Table {
    path: "caches.*.cache",
    keys: &[key("directory_permissions", Text), key("file_permissions", Text)],
};

static FILE: Table = Table {
    path: "caches.*.cache(file)",
    keys: &[
        key("directory_layout", Choice(&["tc", "mp", "tms", "reverse_tms", "quadkey", "arcgis"])),
        key("use_grid_names", Bool),
        key("directory", Text),
    ],
};

static WORLD: Table = Table { path: "caches.*.cache(world)", keys: &[] };

static SQLITE: Table = Table {
    path: "caches.*.cache(sqlite)",
    keys: &[key("directory", Text), key("sqlite_timeout", Number), key("sqlite_wal", Bool), key("ttl", Int)],
};

static MBTILES: Table = Table {
    path: "caches.*.cache(mbtiles)",
    keys: &[key("filename", Text), key("sqlite_timeout", Number), key("sqlite_wal", Bool)],
};

static GEOPACKAGE: Table = Table {
    path: "caches.*.cache(geopackage)",
    keys: &[key("filename", Text), key("directory", Text), key("table_name", Text), key("levels", Bool)],
};

static COMPACT: Table =
    Table { path: "caches.*.cache(compact)", keys: &[key("directory", Text), need("version", Number)] };

const BLOB_LAYOUTS: Kind = Choice(&["tc", "mp", "tms", "reverse_tms", "quadkey", "arcgis"]);

static S3: Table = Table {
    path: "caches.*.cache(s3)",
    keys: &[
        key("bucket_name", Text),
        key("directory_layout", BLOB_LAYOUTS),
        key("directory", Text),
        key("profile_name", Text),
        key("region_name", Text),
        key("endpoint_url", Text),
        key("access_control_list", Text),
        key("use_http_get", Bool),
        key("include_grid_name", Bool),
    ],
};

static AZURE: Table = Table {
    path: "caches.*.cache(azureblob)",
    keys: &[
        key("connection_string", Text),
        key("container_name", Text),
        key("directory_layout", BLOB_LAYOUTS),
        key("directory", Text),
    ],
};

static REDIS: Table = Table {
    path: "caches.*.cache(redis)",
    keys: &[
        key("host", Text),
        key("port", Int),
        key("password", Text),
        key("username", Text),
        key("db", Int),
        key("prefix", Text),
        key("default_ttl", Int),
        key("ssl_certfile", Text),
        key("ssl_keyfile", Text),
        key("ssl_ca_certs", Text),
    ],
};

static COUCHDB: Table = Table {
    path: "caches.*.cache(couchdb)",
    keys: &[key("url", Text), key("db_name", Text), key("tile_metadata", Named(&Any)), key("tile_id", Text)],
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
        miss("legendurl", Text),
        key("wmts_rest_legendurl", Text),
        key("wmts_kvp_legendurl", Text),
        key("layers", List(&ONE_LAYER)),
        key("md", Map(&[&LAYER_MD])),
        key("dimensions", Named(&Map(&[&DIMENSION]))),
        miss("nominal_res", Number),
        miss("nominal_scale", Number),
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

static SERVICES: Table = Table {
    path: "services",
    keys: &[
        key("demo", Map(&[])),
        key("kml", Map(&[&KML])),
        key("tms", Map(&[&TMS])),
        key("wmts", Map(&[&WMTS])),
        key("wms", Map(&[&WMS_SERVICE])),
        miss("ogcapi", Map(&[&OGCAPI])),
    ],
};

static KML: Table =
    Table { path: "services.kml", keys: &[key("use_grid_names", Bool), key("md", Map(&[&SERVICE_MD]))] };

static TMS: Table = Table {
    path: "services.tms",
    keys: &[
        key("use_grid_names", Bool),
        key("origin", Choice(&["ll", "sw", "ul", "nw"])),
        key("md", Map(&[&SERVICE_MD])),
    ],
};

static WMTS: Table = Table {
    path: "services.wmts",
    keys: &[
        key("kvp", Bool),
        key("restful", Bool),
        key("restful_template", Text),
        miss("restful_featureinfo_template", Text),
        key("md", Map(&[&SERVICE_MD])),
        miss("featureinfo_formats", List(&Map(&[&INFO_FORMAT]))),
    ],
};

static INFO_FORMAT: Table =
    Table { path: "services.wmts.featureinfo_formats", keys: &[need("mimetype", Text), key("suffix", Text)] };

const PIXELS: Kind = OneOf(&[Number, NUMBERS]);
const ON_SOURCE_ERRORS: Kind = Choice(&["notify", "raise"]);

static WMS_SERVICE: Table = Table {
    path: "services.wms",
    keys: &[
        key("srs", TEXTS),
        key("bbox_srs", List(&OneOf(&[Text, Map(&[&BBOX_SRS])]))),
        key("image_formats", TEXTS),
        key("attribution", Map(&[&ATTRIBUTION])),
        miss("featureinfo_types", TEXTS),
        miss("featureinfo_xslt", Named(&Text)),
        key("on_source_errors", ON_SOURCE_ERRORS),
        key("max_output_pixels", PIXELS),
        miss("strict", Bool),
        key("md", Map(&[&SERVICE_MD])),
        miss("inspire_md", Typed(INSPIRE)),
        key("versions", TEXTS),
        key("concurrent_layer_renderer", Int),
    ],
};

static BBOX_SRS: Table =
    Table { path: "services.wms.bbox_srs", keys: &[key("bbox", NUMBERS), key("srs", Text)] };

static ATTRIBUTION: Table = Table { path: "attribution", keys: &[key("text", Text)] };

/// `md` of WMS, WMTS, TMS and KML.
static SERVICE_MD: Table = Table {
    path: "services.md",
    keys: &[
        key("title", Text),
        key("abstract", Text),
        key("online_resource", Text),
        key("contact", Open(&[&CONTACT])),
        key("fees", Text),
        key("access_constraints", Text),
        key("keyword_list", KEYWORDS),
    ],
};

static CONTACT: Table = Table {
    path: "services.md.contact",
    keys: &[
        key("person", Any),
        key("position", Any),
        key("organization", Any),
        key("address_type", Any),
        key("address", Any),
        key("city", Any),
        key("postcode", Any),
        key("state", Any),
        key("country", Any),
        key("phone", Any),
        key("fax", Any),
        key("email", Any),
    ],
};

static OGCAPI: Table = Table {
    path: "services.ogcapi",
    keys: &[
        key("enable_tiles", Bool),
        key("enable_maps", Bool),
        key("map_srs", TEXTS),
        key("attribution", Map(&[&ATTRIBUTION])),
        key("on_source_errors", ON_SOURCE_ERRORS),
        key("max_output_pixels", PIXELS),
        key("image_formats", TEXTS),
        key("concurrent_layer_renderer", Number),
        key("md", Map(&[&OGCAPI_MD])),
        key("default_dataset_layers", TEXTS),
    ],
};

static OGCAPI_MD: Table = Table {
    path: "services.ogcapi.md",
    keys: &[
        key("identification", Map(&[&OGCAPI_IDENTIFICATION])),
        key("contact", Map(&[&OGCAPI_CONTACT])),
        key("license", Map(&[&OGCAPI_LICENSE])),
        key("provider", Map(&[&OGCAPI_PROVIDER])),
    ],
};

static OGCAPI_IDENTIFICATION: Table = Table {
    path: "services.ogcapi.md.identification",
    keys: &[
        key("title", Text),
        key("description", Text),
        key("url", Text),
        key("terms_of_service", Text),
        key("keywords", Any),
    ],
};

static OGCAPI_CONTACT: Table = Table {
    path: "services.ogcapi.md.contact",
    keys: &[
        key("name", Text),
        key("email", Text),
        key("address", Text),
        key("city", Text),
        key("stateorprovince", Text),
        key("postalcode", Text),
        key("country", Text),
        key("phone", Text),
        key("fax", Text),
        key("url", Text),
        key("instructions", Text),
    ],
};

static OGCAPI_LICENSE: Table =
    Table { path: "services.ogcapi.md.license", keys: &[need("name", Text), key("url", Text)] };

static OGCAPI_PROVIDER: Table =
    Table { path: "services.ogcapi.md.provider", keys: &[key("name", Text), key("url", Text)] };

const DATE: Kind = OneOf(&[Text, Date]);

static INSPIRE: &[Variant] = &[
    Variant { name: "linked", tables: &[&INSPIRE_LINKED], status: Status::Works },
    Variant { name: "embedded", tables: &[&INSPIRE_EMBEDDED], status: Status::Works },
];

static INSPIRE_LINKED: Table = Table {
    path: "services.wms.inspire_md(linked)",
    keys: &[need("metadata_url", Map(&[&INSPIRE_URL])), need("languages", Map(&[&INSPIRE_LANGUAGES]))],
};

static INSPIRE_URL: Table =
    Table { path: "services.wms.inspire_md.url", keys: &[need("url", Text), need("media_type", Text)] };

static INSPIRE_LANGUAGES: Table =
    Table { path: "services.wms.inspire_md.languages", keys: &[need("default", Text)] };

static INSPIRE_EMBEDDED: Table = Table {
    path: "services.wms.inspire_md(embedded)",
    keys: &[
        need("resource_locators", List(&Map(&[&INSPIRE_URL]))),
        need("temporal_reference", Map(&[&INSPIRE_DATES])),
        need("conformities", List(&Map(&[&INSPIRE_DATES, &INSPIRE_CONFORMITY]))),
        need("metadata_points_of_contact", List(&Map(&[&INSPIRE_CONTACT]))),
        need("mandatory_keywords", TEXTS),
        key("keywords", List(&Map(&[&INSPIRE_DATES, &INSPIRE_KEYWORD]))),
        need("metadata_date", DATE),
        key("metadata_url", Map(&[&INSPIRE_URL])),
        need("languages", Map(&[&INSPIRE_LANGUAGES])),
    ],
};

static INSPIRE_DATES: Table = Table {
    path: "services.wms.inspire_md.dates",
    keys: &[
        key("date_of_publication", DATE),
        key("date_of_creation", DATE),
        key("date_of_last_revision", DATE),
    ],
};

static INSPIRE_CONFORMITY: Table = Table {
    path: "services.wms.inspire_md.conformities",
    keys: &[
        key("title", Text),
        key("uris", TEXTS),
        need("resource_locators", List(&Map(&[&INSPIRE_URL]))),
        need("degree", Text),
    ],
};

static INSPIRE_CONTACT: Table = Table {
    path: "services.wms.inspire_md.metadata_points_of_contact",
    keys: &[key("organisation_name", Text), key("email", Text)],
};

static INSPIRE_KEYWORD: Table = Table {
    path: "services.wms.inspire_md.keywords",
    keys: &[
        need("title", Text),
        key("uris", TEXTS),
        key("resource_locators", List(&Map(&[&INSPIRE_URL]))),
        need("keyword_value", Text),
    ],
};
