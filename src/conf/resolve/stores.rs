//! Key `cache` of a cache: where its tiles and locks lie (mapproxy-features.md §4.1–4.5).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::conf::{Backend, GeoPackageConf, GridConf, SqliteConf};
use super::super::node::{Entry, Node};
use super::{Resolver, flag, number, text};
use crate::cache::file::Layout;
use crate::geo::{Coverage, Origin};

/// Nobody waits longer for a file that others write to.
const SQLITE_TIMEOUT_MAX_S: f64 = 86_400.0;

/// What a `cache` section comes to.
pub(super) struct Store {
    pub backend: Backend,
    pub lock_dir: PathBuf,
    pub coverage: Option<Coverage>,
    pub directory_mode: Option<u32>,
    pub file_mode: Option<u32>,
}

/// A section `cache` and what its cache says of places.
struct Place<'a> {
    /// The cache's entry.
    entry: &'a Entry,
    /// Its section `cache`.
    cache: &'a Node,
    path: String,
    grids: &'a [Arc<GridConf>],
    dir: PathBuf,
    /// Whether that is the store's own `directory`.
    has_own_dir: bool,
}

impl Resolver<'_> {
    /// Where tiles and locks lie. Spellings are MapProxy's, because the lock's
    /// name is a hash of the path.
    pub(super) fn store(&mut self, entry: &Entry, grids: &[Arc<GridConf>], path: &str) -> Store {
        let node = &entry.value;
        let empty = Node::null(node.place);
        let cache = node.get("cache").unwrap_or(&empty);
        let path = format!("{path}.cache");
        let own_dir = text(cache, "directory").filter(|dir| !dir.is_empty());
        let dir = match own_dir.clone().or_else(|| text(node, "cache_dir")) {
            Some(dir) => self.path(&dir),
            None => self.globals.base_dir.clone(),
        };
        if own_dir.is_some() && node.get("cache_dir").is_some() {
            self.warn(cache, &path, "has `directory`; the cache's `cache_dir` is ignored");
        }
        let globals = self.root.get("globals").and_then(|globals| globals.get("cache"));
        let lock_dir = match text(cache, "tile_lock_dir")
            .or_else(|| globals.and_then(|cache| text(cache, "tile_lock_dir")))
        {
            Some(dir) => self.path(&dir),
            None => dir.join("tile_locks"),
        };
        let place = Place { entry, cache, path, grids, dir, has_own_dir: own_dir.is_some() };
        let kind = text(cache, "type").unwrap_or_else(|| "file".to_owned());
        let backend = match kind.as_str() {
            "file" => self.file_store(&place),
            "mbtiles" => self.mbtiles_store(&place),
            "sqlite" => self.sqlite_store(&place),
            "geopackage" => self.geopackage_store(&place),
            "world" => Backend::World,
            _ => Backend::Missing { kind },
        };
        Store {
            backend,
            lock_dir,
            coverage: self.coverage(cache, "coverage", &place.path),
            directory_mode: self.mode(cache, "directory_permissions", &place.path),
            file_mode: self.mode(cache, "file_permissions", &place.path),
        }
    }

    fn file_store(&mut self, place: &Place<'_>) -> Backend {
        let Place { entry, cache, path, grids, dir, has_own_dir } = place;
        if *has_own_dir && grids.len() > 1 {
            let text = "one `directory` cannot hold several grids; give each grid a cache of its own";
            self.error(cache.get("directory").unwrap_or(cache), format!("{path}.directory"), text);
        }
        let by_name = flag(cache, "use_grid_names").unwrap_or(false);
        let root = |grid: &Arc<GridConf>| -> PathBuf {
            if *has_own_dir {
                return dir.clone();
            }
            if by_name {
                return dir.join(&*entry.key).join(&grid.grid.name);
            }
            dir.join(format!("{}_{}", entry.key, grid.srs_text.replace(':', "")))
        };
        Backend::File { roots: grids.iter().map(root).collect(), layout: layout(cache) }
    }

    fn mbtiles_store(&mut self, place: &Place<'_>) -> Backend {
        let Place { entry, cache, path, grids, dir, .. } = place;
        if grids.len() > 1 {
            let text = "one MBTiles file cannot hold several grids; give each grid a cache of its own";
            self.error(cache, path, text);
        }
        if let Some(grid) = grids.first().filter(|grid| grid.grid.origin == Origin::NorthWest) {
            let text = format!(
                "the grid `{}` counts rows from the north, other programs count those of an MBTiles file from the south; \
                 for their use a grid needs `origin: sw`",
                grid.grid.name
            );
            self.warn(cache, path, text);
        }
        let file = self.database_file(cache, dir, &format!("{}.mbtiles", entry.key));
        Backend::MbTiles { file, sqlite: self.sqlite_conf(cache, path) }
    }

    fn sqlite_store(&mut self, place: &Place<'_>) -> Backend {
        let Place { entry, cache, path, grids, dir, has_own_dir } = place;
        let dir = if *has_own_dir { dir.clone() } else { dir.join(&*entry.key) };
        Backend::Sqlite {
            roots: grids.iter().map(|grid| dir.join(&grid.grid.name)).collect(),
            sqlite: self.sqlite_conf(cache, path),
            ttl_s: u64::from(self.count(cache, "ttl", path, 0, u32::MAX).unwrap_or(0)),
        }
    }

    fn geopackage_store(&mut self, place: &Place<'_>) -> Backend {
        let Place { entry, cache, path, grids, dir, has_own_dir } = place;
        let levels = flag(cache, "levels").unwrap_or(false);
        let own_table = text(cache, "table_name").filter(|name| !name.is_empty());
        if own_table.is_some() && grids.len() > 1 && !levels {
            let value = cache.get("table_name").unwrap_or(cache);
            let text = "one table cannot hold several grids; leave `table_name` out, or give each grid a cache of its own";
            self.error(value, format!("{path}.table_name"), text);
        }
        let file = self.database_file(cache, dir, &format!("{}.gpkg", entry.key));
        let root = if *has_own_dir { dir.clone() } else { dir.join(&*entry.key) };
        let mut found = Vec::new();
        for grid in *grids {
            let name = &grid.grid.name;
            let table = own_table.clone().unwrap_or_else(|| format!("{}_{name}", entry.key));
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if table.is_empty() || !table.chars().all(fits) {
                let text = format!(
                    "a table cannot be named `{table}`: letters, digits, _ and - are allowed; give a `table_name`"
                );
                self.error(cache, format!("{path}.table_name"), text);
                continue;
            }
            let number = grid.srs_text.split_once(':').filter(|(who, _)| who.eq_ignore_ascii_case("EPSG"));
            let Some(epsg) = number.and_then(|(_, number)| number.parse().ok()) else {
                let text =
                    format!("the grid `{name}` is in {}; a GeoPackage needs an EPSG code", grid.srs_text);
                self.error(cache, path, text);
                continue;
            };
            if grid.grid.origin == Origin::SouthWest {
                let text = format!(
                    "the grid `{name}` counts rows from the south, other programs count those of a GeoPackage from \
                     the north; for their use a grid needs `origin: nw`"
                );
                self.warn(cache, path, text);
            }
            let path = if levels { root.join(name) } else { file.clone() };
            found.push(GeoPackageConf { path, table, epsg });
        }
        // MapProxy's own, which these keys do not change.
        let sqlite = SqliteConf { wal: false, ..self.globals.sqlite };
        Backend::GeoPackage { grids: found, levels, sqlite }
    }

    /// `filename` below the cache's directory; with `./` beside the configuration.
    fn database_file(&self, cache: &Node, dir: &Path, default: &str) -> PathBuf {
        let name = text(cache, "filename").filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| default.to_owned());
        if name.starts_with("./") { self.path(&name) } else { dir.join(name) }
    }

    fn sqlite_conf(&mut self, cache: &Node, path: &str) -> SqliteConf {
        SqliteConf {
            timeout_s: self.sqlite_timeout(cache, path).unwrap_or(self.globals.sqlite.timeout_s),
            wal: flag(cache, "sqlite_wal").unwrap_or(self.globals.sqlite.wal),
        }
    }

    /// `sqlite_timeout` of a cache or of the globals; 0 waits for nobody.
    pub(super) fn sqlite_timeout(&mut self, node: &Node, path: &str) -> Option<f64> {
        let timeout_s = number(node, "sqlite_timeout")?;
        if timeout_s.is_finite() && timeout_s >= 0.0 {
            return Some(timeout_s.min(SQLITE_TIMEOUT_MAX_S));
        }
        let value = node.get("sqlite_timeout").unwrap_or(node);
        self.error(value, format!("{path}.sqlite_timeout"), "must be a number of seconds, 0 or more");
        None
    }
}

fn layout(cache: &Node) -> Layout {
    match cache.get("directory_layout").and_then(Node::text) {
        Some("mp") => Layout::Mp,
        Some("tms") => Layout::Tms,
        Some("reverse_tms") => Layout::ReverseTms,
        Some("quadkey") => Layout::Quadkey,
        Some("arcgis") => Layout::ArcGis,
        _ => Layout::Tc,
    }
}
