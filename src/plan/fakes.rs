//! For tests: a store in memory, and sources that paint the address of each
//! tile and write down what they were asked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::cache::lock::{Locked, lock_tile};
use crate::cache::{StoredTile, TileStore};
use crate::geo::{GridOptions, MetaGrid, Origin, TileCoord, TileGrid};
use crate::render::{self, Color, DecodeLimits, ImageOptions, Raster};

/// Pixels on a side of the tiles here.
pub const SIDE: u32 = 8;

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes and when they were stored.
type Stored = (Arc<[u8]>, SystemTime);

/// Tiles in memory; only locks lie on a disk.
pub struct FakeStore {
    tiles: Mutex<HashMap<TileAddress, Stored>>,
    lock_dir: PathBuf,
    pub is_read_only: AtomicBool,
    /// Tiles lie in rows without files and times.
    pub keeps_rows: AtomicBool,
    pub locks: AtomicU32,
    pub stores: AtomicU32,
    last_stored: Mutex<Option<TileCoord>>,
}

impl FakeStore {
    pub fn new() -> Arc<FakeStore> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Arc::new(FakeStore {
            tiles: Mutex::default(),
            lock_dir: std::env::temp_dir().join(format!("rhumb-plan-{}-{number}", std::process::id())),
            is_read_only: AtomicBool::new(false),
            keeps_rows: AtomicBool::new(false),
            locks: AtomicU32::new(0),
            stores: AtomicU32::new(0),
            last_stored: Mutex::default(),
        })
    }

    pub fn put(&self, tile: TileCoord, bytes: &[u8], modified: SystemTime) {
        held(&self.tiles).insert(tile.into(), (bytes.into(), modified));
    }

    pub fn last_stored(&self) -> Option<TileCoord> {
        *held(&self.last_stored)
    }

    pub fn holds(&self, tile: TileCoord) -> bool {
        held(&self.tiles).contains_key(&tile.into())
    }

    pub fn count(&self) -> usize {
        held(&self.tiles).len()
    }
}

impl Drop for FakeStore {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.lock_dir);
    }
}

impl TileStore for FakeStore {
    fn path_of(&self, tile: &TileAddress) -> Option<PathBuf> {
        let path = || format!("/{}/{}/{}", tile.coord.z, tile.coord.x, tile.coord.y).into();
        self.has_times().then(path)
    }
    fn load(&self, tile: &TileAddress) -> Result<Option<StoredTile>, CacheError> {
        Ok(held(&self.tiles).get(tile).map(|(bytes, modified)| StoredTile {
            bytes: Arc::clone(bytes),
            modified: self.has_times().then_some(*modified),
            identity: self.has_times().then(|| identity(bytes, *modified)),
        }))
    }
    fn modified(&self, tile: &TileAddress) -> Result<Option<SystemTime>, CacheError> {
        let time = |modified: &SystemTime| if self.has_times() { *modified } else { UNIX_EPOCH };
        Ok(held(&self.tiles).get(tile).map(|(_, modified)| time(modified)))
    }
    fn identity(&self, tile: &TileAddress) -> Result<Option<TileIdentity>, CacheError> {
        let tiles = held(&self.tiles);
        let found = tiles.get(tile).filter(|_| self.has_times());
        Ok(found.map(|(bytes, modified)| identity(bytes, *modified)))
    }
    fn store(&self, tile: &TileAddress, bytes: &[u8], _color: Option<Color>) -> Result<(), CacheError> {
        if self.is_read_only.load(Ordering::Relaxed) {
            return Err(read_only());
        }
        self.stores.fetch_add(1, Ordering::Relaxed);
        *held(&self.last_stored) = Some(tile.coord);
        held(&self.tiles).insert(tile.clone(), (bytes.into(), SystemTime::now()));
        Ok(())
    }
    fn remove(&self, tile: &TileAddress) -> Result<(), CacheError> {
        held(&self.tiles).remove(tile);
        Ok(())
    }
    fn lock_dir(&self) -> &Path {
        &self.lock_dir
    }
    fn lock_id(&self) -> &str {
        "fake"
    }
    fn has_times(&self) -> bool {
        !self.keeps_rows.load(Ordering::Relaxed)
    }
    fn lock(&self, main: TileCoord, timeout: Duration) -> Result<Locked, CacheError> {
        if self.is_read_only.load(Ordering::Relaxed) {
            return Err(read_only());
        }
        self.locks.fetch_add(1, Ordering::Relaxed);
        lock_tile(&self.lock_dir, self.lock_id(), main, timeout)
    }
}

fn read_only() -> CacheError {
    let error = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
    CacheError::Io { operation: "write", path: "/fake".into(), error }
}

/// Bytes never move while they are held, so their place tells them apart.
fn identity(bytes: &Arc<[u8]>, modified: SystemTime) -> TileIdentity {
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    TileIdentity {
        device: 1,
        inode: bytes.as_ptr() as u64,
        size: bytes.len() as u64,
        modified_ns: since.as_nanos() as i128,
    }
}

pub(super) type Behaviour = dyn Fn(&MapQuery) -> Result<Drawn, PlanError> + Send + Sync;

/// A source that does what the test says and remembers its queries.
pub struct FakeLayer {
    pub(super) behaviour: Box<Behaviour>,
    pub(super) queries: Mutex<Vec<MapQuery>>,
    pub transparent: bool,
    pub opaque: bool,
    pub opacity: Option<f32>,
    pub coverage: Option<Coverage>,
    pub gives_meta_tiles: bool,
}

impl FakeLayer {
    pub fn new(
        behaviour: impl Fn(&MapQuery) -> Result<Drawn, PlanError> + Send + Sync + 'static,
    ) -> FakeLayer {
        FakeLayer {
            behaviour: Box::new(behaviour),
            queries: Mutex::default(),
            transparent: false,
            opaque: false,
            opacity: None,
            coverage: None,
            gives_meta_tiles: true,
        }
    }

    /// Each pixel tells the tile of `grid` that it lies in.
    pub fn painting(grid: &Arc<TileGrid>) -> FakeLayer {
        let grid = Arc::clone(grid);
        FakeLayer::new(move |query| Ok(Drawn::pixels(paint(&grid, query))))
    }

    pub fn filling(color: Color) -> FakeLayer {
        FakeLayer::new(move |query| Ok(Drawn::pixels(Raster::filled(query.size.0, query.size.1, color))))
    }

    pub fn queries(&self) -> Vec<MapQuery> {
        held(&self.queries).clone()
    }

    pub fn asked(&self) -> usize {
        held(&self.queries).len()
    }
}

impl MapLayer for FakeLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        held(&self.queries).push(query.clone());
        turn.wait(|| (self.behaviour)(query))
    }
    fn is_opaque(&self, _query: &MapQuery) -> bool {
        self.opaque
    }
    fn is_transparent(&self) -> bool {
        self.transparent
    }
    fn opacity(&self) -> Option<f32> {
        self.opacity
    }
    fn res_range(&self) -> Option<ResRange> {
        None
    }
    fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_ref()
    }
    fn extent(&self) -> Option<(Extent, Srs)> {
        None
    }
    fn supports_meta_tiles(&self) -> bool {
        self.gives_meta_tiles
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

pub fn failure() -> PlanError {
    PlanError::Source(SourceError::Other("made by the test".into()))
}

/// The colour that stands for a tile.
pub fn color_of(tile: TileCoord) -> Color {
    [tile.x as u8, tile.y as u8, tile.z as u8, 255]
}

/// The tiles under a query, each in its own colour.
pub fn paint(grid: &TileGrid, query: &MapQuery) -> Raster {
    let level = grid.closest_level(query.resolution());
    let mut raster = Raster::filled(query.size.0, query.size.1, [0, 0, 0, 255]);
    let (x_res, y_res) =
        (query.extent.width() / f64::from(query.size.0), query.extent.height() / f64::from(query.size.1));
    for y in 0..query.size.1 {
        for x in 0..query.size.0 {
            let east = query.extent.min_x + (f64::from(x) + 0.5) * x_res;
            let north = query.extent.max_y - (f64::from(y) + 0.5) * y_res;
            let at = (y * query.size.0 + x) as usize * 4;
            raster.pixels[at..at + 4].copy_from_slice(&color_of(grid.tile_at(east, north, level)));
        }
    }
    raster
}

/// A PNG of one colour, as large as a tile.
pub fn png(color: Color) -> Vec<u8> {
    let mut image = ImageOptions::new(Format::Png);
    image.transparent = Some(true);
    render::encode(&Raster::filled(SIDE, SIDE, color), &image, None).expect("a PNG").bytes
}

pub fn decoded(bytes: &[u8]) -> Raster {
    render::decode(bytes, &DecodeLimits::default()).expect("an image")
}

/// The one colour of a tile; `None` where it has several.
pub fn color_in(tile: &Tile) -> Option<Color> {
    render::merge::single_color(&decoded(&tile.bytes))
}

/// The web mercator square with small tiles; level `z` has 2^z columns.
pub fn mercator() -> Arc<TileGrid> {
    grid(None, Origin::SouthWest)
}

pub fn grid(extent: Option<Extent>, origin: Origin) -> Arc<TileGrid> {
    let options = GridOptions {
        name: "test".into(),
        srs: Some(Srs::parse("EPSG:3857").expect("web mercator")),
        extent,
        origin: Some(origin),
        tile_size: Some((SIDE, SIDE)),
        num_levels: Some(7),
        ..GridOptions::default()
    };
    Arc::new(TileGrid::build(&options).expect("a grid"))
}

/// A cache over fakes; `change` says what is special about it.
pub fn cache(
    store: &Arc<FakeStore>,
    sources: Vec<Arc<dyn MapLayer>>,
    change: impl FnOnce(&mut TileCacheOptions),
) -> TileCache {
    let mut options = TileCacheOptions {
        name: "test".into(),
        grid: mercator(),
        store: Arc::clone(store) as Arc<dyn TileStore>,
        sources,
        image: ImageOptions { transparent: Some(true), ..ImageOptions::new(Format::Png) },
        request_format: Format::Png,
        request_mime: None,
        meta: None,
        bulk_meta: false,
        minimize_meta_requests: false,
        concurrent_creators: 2,
        rescale: None,
        keeps_rescaled: false,
        renderd: None,
        refresh: None,
        coverage: None,
        watermark: None,
        tells_single_color: false,
        lock_timeout: Duration::from_secs(20),
        memory: TileMemory::new(1 << 20, Duration::from_secs(1)),
        decode_limits: DecodeLimits::default(),
    };
    change(&mut options);
    TileCache::new(options)
}

pub fn meta(options: &mut TileCacheOptions, side: u32, buffer_px: u32) {
    options.meta = Some(MetaGrid::new(Arc::clone(&options.grid), (side, side), buffer_px));
}

/// A map of the whole pixels of some tiles, from `first` (lower left) on.
pub fn query_over(grid: &TileGrid, first: TileCoord, last: TileCoord) -> MapQuery {
    let extent = grid.tiles_extent(first, last);
    let size = ((last.x - first.x + 1) as u32 * SIDE, (last.y - first.y + 1) as u32 * SIDE);
    MapQuery {
        extent,
        size,
        srs: grid.srs.clone(),
        format: Format::Png,
        transparent: true,
        tiled_only: false,
        dimensions: Vec::new(),
        parameters: Vec::new(),
        mime: None,
    }
}
