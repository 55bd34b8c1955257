//! Where the caches of the configuration keep their tiles.

use std::sync::Arc;
use std::time::Duration;

use super::layers::{Builder, seconds};
use crate::cache::world::WorldStore;
use crate::cache::{
    DatabaseOptions, FileStore, FileStoreOptions, Fsync, GeoPackage, NoStore, RowFiles, RowOptions, RowStore,
    TileStore,
};
use crate::conf::conf::{Backend, CacheConf, SqliteConf};
use crate::conf::daemon;

/// The embedded world's tiles and when they were made.
static WORLD: &[u8] = include_bytes!("../../etc/world/world.tiles");
/// 2026-11-22: the day the archive was drawn.
const WORLD_MODIFIED_S: u64 = 1_795_305_600;

impl Builder<'_> {
    /// The store of a cache for the grid of that number.
    pub(super) fn store(&mut self, conf: &CacheConf, at: usize) -> Option<Arc<dyn TileStore>> {
        if conf.disable_storage {
            return Some(Arc::new(NoStore { lock_dir: conf.lock_dir.clone(), lock_id: "".into() }));
        }
        match &conf.backend {
            Backend::File { roots, layout } => {
                let root = roots.get(at)?.clone();
                Some(Arc::new(FileStore::new(FileStoreOptions {
                    lock_id_source: root.to_string_lossy().into_owned(),
                    root,
                    lock_dir: conf.lock_dir.clone(),
                    layout: *layout,
                    extension: conf.extension.clone(),
                    link_single_color: conf.link_single_color,
                    directory_mode: conf.directory_mode,
                    file_mode: conf.file_mode,
                    fsync: self.fsync(),
                })))
            }
            Backend::MbTiles { file, sqlite } => {
                let options = self.row_options(conf, RowFiles::One(file.clone()), *sqlite);
                Some(Arc::new(RowStore::mbtiles(options)))
            }
            Backend::Sqlite { roots, sqlite, ttl_s } => {
                let options = self.row_options(conf, RowFiles::Levels(roots.get(at)?.clone()), *sqlite);
                Some(Arc::new(RowStore::sqlite(options, Duration::from_secs(*ttl_s))))
            }
            Backend::GeoPackage { grids, levels, sqlite } => {
                let own = grids.get(at)?;
                let files = match levels {
                    true => RowFiles::Levels(own.path.clone()),
                    false => RowFiles::One(own.path.clone()),
                };
                let grid = &conf.grids.get(at)?.grid;
                let covered =
                    conf.coverage.as_ref().and_then(|c| c.srs.transform_extent(&grid.srs, &c.extent));
                let package = GeoPackage {
                    table: own.table.clone(),
                    epsg: own.epsg,
                    grid: Arc::clone(grid),
                    extent: covered.unwrap_or(grid.extent),
                };
                Some(Arc::new(RowStore::geopackage(self.row_options(conf, files, *sqlite), package)))
            }
            Backend::World => match WorldStore::open(WORLD, WORLD_MODIFIED_S) {
                Ok(store) => Some(Arc::new(store)),
                Err(error) => {
                    self.errors.push(format!("caches.{}: {error}", conf.name));
                    None
                }
            },
            // `conf` has said that this kind is still missing.
            Backend::Missing { .. } => None,
        }
    }

    fn row_options(&self, conf: &CacheConf, files: RowFiles, sqlite: SqliteConf) -> RowOptions {
        RowOptions {
            files,
            lock_dir: conf.lock_dir.clone(),
            database: DatabaseOptions {
                timeout: seconds(sqlite.timeout_s),
                wal: sqlite.wal,
                fsync: self.fsync(),
                directory_mode: conf.directory_mode,
                file_mode: conf.file_mode,
            },
        }
    }

    fn fsync(&self) -> Fsync {
        match self.shared.fsync {
            daemon::Fsync::None => Fsync::None,
            daemon::Fsync::Tile => Fsync::Tile,
            daemon::Fsync::Strict => Fsync::Strict,
        }
    }
}
