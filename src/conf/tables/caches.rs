//! Tables of section `caches`.

use super::super::schema::Kind::{
    Any, Bool, Choice, Color, Int, List, Map, Named, Number, OneOf, Text, Typed,
};
use super::super::schema::{Kind, Status, Table, Variant, idle, key, need};
use super::{COVERAGE, IMAGE, LINKS, NAMED_BY_KEY, NUMBERS, TEXTS};

pub(super) static CACHE: Table = Table {
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
        key("cache_rescaled_tiles", Bool),
        key("upscale_tiles", Int),
        key("downscale_tiles", Int),
        key("refresh_before", Map(&[&TIME_SPEC])),
        key("watermark", Map(&[&WATERMARK])),
        key("cache", Typed(BACKENDS)),
    ],
};

static CACHE_IMAGE: Table = Table { path: "caches.*.image", keys: &[key("opacity", Number)] };

static BANDS: Table = Table {
    path: "caches.*.sources",
    keys: &[
        key("r", BAND_LIST),
        key("g", BAND_LIST),
        key("b", BAND_LIST),
        key("a", BAND_LIST),
        key("l", BAND_LIST),
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
    Variant { name: "sqlite", tables: &[&BACKEND, &BACKEND_MODES, &SQLITE], status: Status::Works },
    Variant { name: "mbtiles", tables: &[&BACKEND, &BACKEND_MODES, &MBTILES], status: Status::Works },
    Variant { name: "geopackage", tables: &[&BACKEND, &BACKEND_MODES, &GEOPACKAGE], status: Status::Works },
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
