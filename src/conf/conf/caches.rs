//! A cache of the configuration, and where it keeps its tiles.

use std::path::PathBuf;
use std::sync::Arc;

use super::{GridConf, SourceRef, TimeSpec};
use crate::cache::file::{Layout, LinkKind};
use crate::geo::Coverage;
use crate::render::ImageOptions;
use crate::render::decor::Watermark;

/// One entry of `caches`.
#[derive(Clone, Debug)]
pub struct CacheConf {
    pub name: String,
    /// Bottom to top. Empty: only what is stored already.
    pub sources: Vec<SourceRef>,
    /// Band merge in place of plain merging (`sources` as a mapping).
    pub bands: Option<Vec<BandConf>>,
    /// One store for each; never empty.
    pub grids: Vec<Arc<GridConf>>,
    /// How stored tiles are written; `image.format` is the format kept.
    pub image: ImageOptions,
    /// The same before the sources' options were joined in: what a layer of
    /// this cache says of itself.
    pub base_image: ImageOptions,
    /// File name extension of stored tiles, as MapProxy derives it from the
    /// format's text (`image/png8` → `png8`).
    pub extension: String,
    pub opacity: Option<f64>,
    /// What sources are asked for (`image/png`), as written.
    pub request_format: String,
    pub meta_size: (u32, u32),
    pub meta_buffer_px: u32,
    pub bulk_meta_tiles: bool,
    pub minimize_meta_requests: bool,
    pub concurrent_tile_creators: u32,
    pub max_tile_limit: u32,
    pub disable_storage: bool,
    /// `use_direct_from_res`, or the resolution of `use_direct_from_level`
    /// in the first grid.
    pub use_direct_from_res: Option<f64>,
    pub link_single_color: Option<LinkKind>,
    pub rescale: RescaleConf,
    pub refresh_before: Option<TimeSpec>,
    pub watermark: Option<Watermark>,
    pub backend: Backend,
    /// `cache.coverage`.
    pub coverage: Option<Coverage>,
    /// Where the lock files of its meta tiles lie.
    pub lock_dir: PathBuf,
    pub lock_timeout_s: f64,
    pub directory_mode: Option<u32>,
    pub file_mode: Option<u32>,
}

/// `upscale_tiles`, `downscale_tiles` and `cache_rescaled_tiles`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RescaleConf {
    /// Levels; one of the two is 0.
    pub upscale: u32,
    pub downscale: u32,
    pub is_kept: bool,
}

/// Weighted share of a source's band in a band of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct BandConf {
    /// `r`, `g`, `b`, `a`, `l`
    pub target: char,
    pub source: SourceRef,
    pub band: u32,
    pub factor: f64,
}

/// How SQLite files are shared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SqliteConf {
    /// How long others may keep a file busy.
    pub timeout_s: f64,
    /// Whether a file that we make has a write-ahead log.
    pub wal: bool,
}

/// Where the tiles of one grid are in a GeoPackage.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoPackageConf {
    /// The file, or the directory of the levels' files, spelled as MapProxy
    /// hashes it.
    pub path: PathBuf,
    pub table: String,
    /// Number of the grid's system.
    pub epsg: i64,
}

/// Where a cache keeps its tiles.
#[derive(Clone, Debug, PartialEq)]
pub enum Backend {
    File {
        /// One for each of the cache's grids, spelled as MapProxy hashes it
        /// for the lock id.
        roots: Vec<PathBuf>,
        layout: Layout,
    },
    /// One SQLite file, spelled as MapProxy hashes it.
    MbTiles { file: PathBuf, sqlite: SqliteConf },
    /// A SQLite file for each level, below one directory for each grid.
    Sqlite {
        roots: Vec<PathBuf>,
        sqlite: SqliteConf,
        /// Older tiles are gone; 0: never.
        ttl_s: u64,
    },
    /// Tables of GeoPackage files.
    GeoPackage {
        /// One for each of the cache's grids.
        grids: Vec<GeoPackageConf>,
        /// Whether each level has a file.
        levels: bool,
        sqlite: SqliteConf,
    },
    /// The world map inside the program.
    World,
    /// A kind that is known and checked, but cannot be used yet.
    Missing { kind: String },
}
