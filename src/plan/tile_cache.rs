//! A cache of one grid: stored tiles, and how a wanted one is found.
//!
//! Making missing tiles is told in `create.rs`; drawing maps from tiles in
//! `cache_layer.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::complaint::Complaints;
use super::create::{FlightKey, Made};
use super::flight::Flights;
use super::fresh::{FreshRule, fresh_from, is_stale};
use super::patience::patiently;
use super::{
    EmptyLayer, MapLayer, MapQuery, PlanError, RenderdOptions, Rescale, Tile, TileFile, TileMemory, Turn,
};
use crate::board::CacheState;
use crate::cache::{CacheError, Dimensions, StoredTile, TileAddress, TileIdentity, TileStore};
use crate::geo::{Coverage, MetaGrid, TileCoord, TileGrid};
use crate::render::decode::DecodeError;
use crate::render::{self, DecodeLimits, Format, ImageOptions, Raster};
use crate::story;

/// What a tile cache is made of.
pub struct TileCacheOptions {
    pub name: String,
    pub grid: Arc<TileGrid>,
    pub store: Arc<dyn TileStore>,
    /// Bottom to top. Empty: read what is there.
    pub sources: Vec<Arc<dyn MapLayer>>,
    pub image: ImageOptions,
    /// What is asked from the sources.
    pub request_format: Format,
    pub request_mime: Option<Arc<str>>,
    /// `None`: tile by tile.
    pub meta: Option<MetaGrid>,
    /// Meta tiles of sources that only give tiles: one lock, tiles side by side.
    pub bulk_meta: bool,
    pub minimize_meta_requests: bool,
    pub concurrent_creators: usize,
    /// Where tiles come from that no source can make; `None`: from nowhere.
    pub rescale: Option<Rescale>,
    /// Whether those are stored.
    pub keeps_rescaled: bool,
    /// Who makes missing tiles in our place.
    pub renderd: Option<RenderdOptions>,
    pub refresh: Option<FreshRule>,
    pub coverage: Option<Coverage>,
    pub watermark: Option<render::decor::Watermark>,
    /// Whether the store links tiles of one colour, so that it wants to know.
    pub tells_single_color: bool,
    /// How long somebody else may take to make a tile (`http.client_timeout`).
    pub lock_timeout: Duration,
    pub memory: Arc<TileMemory>,
    pub decode_limits: DecodeLimits,
}

/// One cache on one grid (MapProxy's tile manager).
pub struct TileCache {
    pub(super) options: TileCacheOptions,
    pub(super) flights: Flights<FlightKey, Arc<Made>>,
    /// Nothing is ever made: no sources, or none that are asked while serving.
    /// What is stored is served, however old.
    is_read_only: bool,
    pub(super) complaints: Complaints,
}

/// A tile's pixels, `None` where there is nothing, and whether they may be kept.
pub(super) type Loaded = (Option<Arc<Raster>>, bool);

/// A stored tile that passed its checks.
pub(super) enum Found {
    Missing,
    Stale(StoredTile, Format),
    Fresh(StoredTile, Format),
}

impl TileCache {
    pub fn new(options: TileCacheOptions) -> TileCache {
        let is_read_only = options.sources.iter().all(|source| source.as_any().is::<EmptyLayer>());
        TileCache { options, flights: Flights::default(), is_read_only, complaints: Complaints::default() }
    }

    pub fn name(&self) -> &str {
        &self.options.name
    }

    pub fn grid(&self) -> &Arc<TileGrid> {
        &self.options.grid
    }

    pub fn image(&self) -> &ImageOptions {
        &self.options.image
    }

    /// Columns and rows of tiles that are made together at a level.
    pub fn meta_size(&self, level: u32) -> (i64, i64) {
        self.options.meta.as_ref().map_or((1, 1), |meta| meta.level_meta_size(level))
    }

    /// Whether its tiles are those of one source, so that nothing is scaled or
    /// warped to make one.
    pub fn copies_tiles(&self) -> bool {
        matches!(self.sources(), [source] if !source.supports_meta_tiles())
    }

    /// The format of the tiles kept here.
    pub fn format(&self) -> Format {
        self.options.image.format
    }

    pub fn sources(&self) -> &[Arc<dyn MapLayer>] {
        &self.options.sources
    }

    /// Where the tile would lie, for the event loop; does no I/O but for a
    /// `refresh_before` that names a file. `None` when the loop cannot answer:
    /// no file for each tile, no storage, a coverage to look at.
    pub fn tile_file(&self, tile: &TileAddress) -> Option<TileFile> {
        if self.options.coverage.is_some() || !self.options.store.keeps() {
            return None;
        }
        let path = self.options.store.path_of(tile)?;
        let stale_until = if self.is_read_only { None } else { self.stale_until() };
        Some(TileFile { path, format: self.format(), fresh_after: stale_until.map(fresh_from) })
    }

    /// The tile from the store, or made. `tile` in the grid's own counting. A
    /// tile where there is nothing (outside coverage or resolution range)
    /// comes back as an empty picture, as in MapProxy.
    pub fn tile(&self, tile: &TileAddress, turn: &Turn) -> Result<Tile, PlanError> {
        let coord = self.options.grid.limit(tile.coord).ok_or(PlanError::TileOutOfRange)?;
        let mut tiles = self.tiles(&[coord], tile.dimensions.as_ref(), turn)?;
        match tiles.pop().flatten() {
            Some(tile) => Ok(tile),
            None => self.empty_tile(),
        }
    }

    /// Several tiles of one level, in the order asked for; `None` where there
    /// is nothing.
    pub fn tiles(
        &self,
        tiles: &[TileCoord],
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Vec<Option<Tile>>, PlanError> {
        let mut found = self.plain_tiles(tiles, dimensions, turn)?;
        self.substitute_tiles(tiles, &mut found, dimensions, turn)?;
        if let Some(coverage) = self.options.coverage.as_ref().filter(|c| c.clip) {
            for (tile, &coord) in found.iter_mut().zip(tiles) {
                if let Some(tile) = tile {
                    self.clip_tile(tile, coord, coverage)?;
                }
            }
        }
        Ok(found)
    }

    /// What is stored or can be made, neither clipped nor drawn from other levels.
    fn plain_tiles(
        &self,
        tiles: &[TileCoord],
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Vec<Option<Tile>>, PlanError> {
        let mut found: Vec<Option<Tile>> = vec![None; tiles.len()];
        let mut missing = Vec::new();
        for (at, &coord) in tiles.iter().enumerate() {
            if self.is_outside(coord) {
                continue;
            }
            match self.find(&address(coord, dimensions), turn)? {
                Found::Fresh(stored, format) => {
                    story::note_tile(CacheState::Hit);
                    found[at] = Some(from_store(stored, format));
                }
                Found::Stale(stored, format) => {
                    found[at] = Some(from_store(stored, format));
                    missing.push((at, coord));
                }
                Found::Missing => missing.push((at, coord)),
            }
        }
        if !missing.is_empty() && !self.is_read_only {
            let coords: Vec<TileCoord> = missing.iter().map(|(_, coord)| *coord).collect();
            let made = self.create(&coords, dimensions, turn)?;
            take_made(&made, &missing, &mut found)?;
        }
        self.tell_missing(&missing, &found);
        Ok(found)
    }

    /// How the tiles that were not there, or too old, were had in the end.
    fn tell_missing(&self, missing: &[(usize, TileCoord)], found: &[Option<Tile>]) {
        if !self.options.store.keeps() {
            return;
        }
        let until = self.stale_until();
        for &(at, _) in missing {
            let is_old = found[at].as_ref().is_some_and(|tile| {
                tile.from_store && until.is_some_and(|until| is_stale(time_of(tile.modified), until))
            });
            story::note_tile(match is_old {
                true if self.is_read_only => CacheState::Hit,
                true => CacheState::Stale,
                false => CacheState::Miss,
            });
        }
    }

    /// Decoded tiles of one level for drawing, in the order asked for. Tiles
    /// in the memory tier are not read again.
    pub(super) fn rasters(
        &self,
        tiles: &[Option<TileCoord>],
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Vec<Loaded>, PlanError> {
        let mut rasters = self.plain_rasters(tiles, dimensions, turn)?;
        self.substitute_rasters(tiles, &mut rasters, dimensions, turn)?;
        Ok(rasters)
    }

    /// [`TileCache::rasters`] without those that have to be drawn from other levels.
    pub(super) fn plain_rasters(
        &self,
        tiles: &[Option<TileCoord>],
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Vec<Loaded>, PlanError> {
        let mut rasters: Vec<Loaded> = vec![(None, true); tiles.len()];
        let mut wanted = Vec::new();
        for (at, coord) in tiles.iter().enumerate() {
            let Some(coord) = *coord else { continue };
            match self.remembered(coord, dimensions)? {
                Some(raster) => {
                    story::note_tile(CacheState::Hit);
                    rasters[at].0 = Some(raster);
                }
                None => wanted.push((at, coord)),
            }
        }
        if wanted.is_empty() {
            return Ok(rasters);
        }
        let coords: Vec<TileCoord> = wanted.iter().map(|(_, coord)| *coord).collect();
        let clip = self.options.coverage.as_ref().filter(|coverage| coverage.clip);
        let loaded = self.plain_tiles(&coords, dimensions, turn)?;
        for ((at, coord), tile) in wanted.into_iter().zip(loaded) {
            let Some(mut tile) = tile else { continue };
            if let Some(coverage) = clip {
                self.clip_tile(&mut tile, coord, coverage)?;
            }
            rasters[at] = (self.raster_of(&tile, coord, dimensions, turn)?, tile.cacheable);
        }
        Ok(rasters)
    }

    /// The decoded tile from the memory tier, if the store still holds that state.
    fn remembered(
        &self,
        coord: TileCoord,
        dimensions: Option<&Arc<Dimensions>>,
    ) -> Result<Option<Arc<Raster>>, PlanError> {
        let options = &self.options;
        if options.coverage.is_some() || !options.store.keeps() {
            return Ok(None);
        }
        let tile = address(coord, dimensions);
        let identity = match options.store.path_of(&tile) {
            Some(path) => match options.memory.encoded_trusted(&path, Instant::now()) {
                Some(encoded) => Some(encoded.identity),
                None => self.identity(&tile)?,
            },
            None => self.identity(&tile)?,
        };
        let Some(identity) = identity else { return Ok(None) };
        if !self.is_read_only
            && let Some(until) = self.stale_until()
            && is_stale(modified_of(&identity), until)
        {
            return Ok(None);
        }
        Ok(options.memory.decoded(identity))
    }

    fn identity(&self, tile: &TileAddress) -> Result<Option<TileIdentity>, PlanError> {
        Ok(self.readable(self.options.store.identity(tile)))
    }

    /// The identity of a stored tile that lies in no file of its own.
    fn identity_by_bytes(&self, address: &TileAddress, tile: &Tile) -> Option<TileIdentity> {
        let lies_in_file = || self.options.store.path_of(address).is_some();
        (tile.from_store && !lies_in_file()).then(|| TileIdentity::of_bytes(&tile.bytes))
    }

    /// What the store holds; a tile that cannot be read counts as missing, so
    /// that a damaged disk costs time and not the map.
    fn readable<T>(&self, found: Result<Option<T>, CacheError>) -> Option<T> {
        found.unwrap_or_else(|error| {
            if let Some(more) = self.complaints.unreadable.due(Instant::now()) {
                crate::log::warn!("{}: counts as missing: {error}{more}", self.name());
            }
            None
        })
    }

    /// Decodes a tile. One that turns out to be damaged is removed and made
    /// anew once; without a source it counts as missing.
    fn raster_of(
        &self,
        tile: &Tile,
        coord: TileCoord,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Option<Arc<Raster>>, PlanError> {
        let address = address(coord, dimensions);
        let identity = tile.identity.or_else(|| self.identity_by_bytes(&address, tile));
        // One that only the bytes tell has not been looked up before them.
        if let Some(identity) = identity.filter(|_| tile.identity.is_none())
            && let Some(raster) = self.options.memory.decoded(identity)
        {
            return Ok(Some(raster));
        }
        let (problem, is_removable) = match self.decode(&tile.bytes) {
            Ok(raster) => {
                if let Some(identity) = identity {
                    self.options.memory.put_decoded(identity, Arc::clone(&raster));
                }
                return Ok(Some(raster));
            }
            Err(problem) => problem,
        };
        let is_remade = tile.from_store && !self.is_read_only && is_removable;
        if let Some(more) = self.complaints.damaged.due(Instant::now()) {
            let fate = if is_remade { "removed and made anew" } else { "left out" };
            crate::log::warn!("{}: tile {} is {fate}: {problem}{more}", self.name(), level_column_row(coord));
        }
        if !is_remade {
            return Ok(None);
        }
        if let Err(error) = patiently(turn, || self.options.store.remove(&address)) {
            if let Some(more) = self.complaints.unwritable.due(Instant::now()) {
                crate::log::error!("{}: a damaged tile stays: {error}{more}", self.name());
            }
            return Ok(None);
        }
        if let Some(path) = self.options.store.path_of(&address) {
            self.options.memory.forget(&path);
        }
        match self.plain_tiles(&[coord], dimensions, turn)?.pop().flatten() {
            Some(again) => self
                .decode(&again.bytes)
                .map(Some)
                .map_err(|(reason, _)| PlanError::Image { origin: self.name().into(), reason }),
            None => Ok(None),
        }
    }

    /// The pixels of a tile of this grid, or why it is of no use and whether
    /// that speaks for removing it.
    fn decode(&self, bytes: &[u8]) -> Result<Arc<Raster>, (String, bool)> {
        let (width, height) = self.options.grid.tile_size;
        match render::decode(bytes, &self.options.decode_limits) {
            Ok(raster) if (raster.width, raster.height) == (width, height) => Ok(Arc::new(raster)),
            Ok(raster) => {
                Err((format!("{}×{} pixels in place of {width}×{height}", raster.width, raster.height), true))
            }
            Err(error @ DecodeError::TooLarge { .. }) => Err((error.to_string(), false)),
            Err(error) => Err((error.to_string(), true)),
        }
    }

    /// Looks the tile up; a damaged one counts as missing.
    pub(super) fn find(&self, tile: &TileAddress, turn: &Turn) -> Result<Found, PlanError> {
        let Some(stored) = self.readable(patiently(turn, || self.options.store.load(tile))) else {
            return Ok(Found::Missing);
        };
        let Some(format) = render::decode::looks_whole(&stored.bytes) else {
            if let Some(more) = self.complaints.damaged.due(Instant::now()) {
                let place = level_column_row(tile.coord);
                crate::log::warn!("{}: tile {place} is damaged and counts as missing{more}", self.name());
            }
            return Ok(Found::Missing);
        };
        match self.stale_until() {
            Some(until) if is_stale(time_of(stored.modified), until) => Ok(Found::Stale(stored, format)),
            _ => Ok(Found::Fresh(stored, format)),
        }
    }

    /// Whether a tile is stored, however old, without reading it.
    pub(super) fn is_stored(&self, tile: &TileAddress, turn: &Turn) -> bool {
        self.readable(patiently(turn, || self.options.store.modified(tile))).is_some()
    }

    /// Whether a fresh tile is stored, without reading it.
    pub(super) fn is_stored_fresh(&self, tile: &TileAddress, turn: &Turn) -> Result<bool, PlanError> {
        let modified = self.readable(patiently(turn, || self.options.store.modified(tile)));
        Ok(match (modified, self.stale_until()) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(modified), Some(until)) => !is_stale(modified, until),
        })
    }

    pub(super) fn stale_until(&self) -> Option<SystemTime> {
        self.options.refresh.as_ref()?.stale_until(SystemTime::now())
    }

    /// Whether the cache's own coverage keeps the tile out.
    pub(super) fn is_outside(&self, coord: TileCoord) -> bool {
        self.options.coverage.as_ref().is_some_and(|coverage| {
            let grid = &self.options.grid;
            !coverage.intersects(&grid.tile_extent(coord), &grid.srs)
        })
    }

    fn clip_tile(&self, tile: &mut Tile, coord: TileCoord, coverage: &Coverage) -> Result<(), PlanError> {
        let grid = &self.options.grid;
        let extent = grid.tile_extent(coord);
        if coverage.contains(&extent, &grid.srs) {
            return Ok(());
        }
        let damaged = |reason: String| PlanError::Image { origin: self.name().into(), reason };
        let mut raster =
            render::decode(&tile.bytes, &self.options.decode_limits).map_err(|e| damaged(e.to_string()))?;
        render::mask::clip(&mut raster, &extent, &grid.srs, coverage);
        let mut image = ImageOptions::new(Format::Png);
        image.transparent = Some(true);
        let encoded = render::encode(&raster, &image, None).map_err(|e| damaged(e.to_string()))?;
        tile.bytes = encoded.bytes.into();
        tile.format = encoded.format;
        tile.identity = None;
        Ok(())
    }

    /// An empty picture in place of a tile where there is nothing: a PNG, as
    /// in MapProxy, whatever the format of the cache.
    fn empty_tile(&self) -> Result<Tile, PlanError> {
        let (width, height) = self.options.grid.tile_size;
        let mut image = ImageOptions::new(Format::Png);
        image.transparent = Some(true);
        image.mode = Some(crate::render::ColorMode::Rgba);
        let raster = Raster::filled(width, height, [255, 255, 255, 0]);
        let encoded = render::encode(&raster, &image, None)
            .map_err(|e| PlanError::Image { origin: self.name().into(), reason: e.to_string() })?;
        Ok(Tile {
            bytes: encoded.bytes.into(),
            format: encoded.format,
            modified: Some(SystemTime::now()),
            cacheable: true,
            from_store: false,
            identity: None,
        })
    }

    /// The query that the sources get for an area of this grid.
    pub(super) fn source_query(
        &self,
        extent: crate::geo::Extent,
        size: (u32, u32),
        dimensions: &[(String, String)],
    ) -> MapQuery {
        MapQuery {
            extent,
            size,
            srs: self.options.grid.srs.clone(),
            format: self.options.request_format,
            transparent: self.options.image.transparent.unwrap_or(false),
            tiled_only: false,
            dimensions: dimensions.to_vec(),
            parameters: Vec::new(),
            mime: self.options.request_mime.clone(),
        }
    }
}

/// Puts made tiles in their places. Where the sources had nothing, an old tile
/// stays that was found there, as in MapProxy.
fn take_made(
    made: &[Arc<Made>],
    missing: &[(usize, TileCoord)],
    found: &mut [Option<Tile>],
) -> Result<(), PlanError> {
    let by_coord: HashMap<TileCoord, &Tile> =
        made.iter().flat_map(|m| &m.tiles).map(|(coord, tile)| (*coord, tile)).collect();
    let failures = || made.iter().filter_map(|m| m.failed.as_ref());
    for &(at, coord) in missing {
        if let Some(tile) = by_coord.get(&coord) {
            found[at] = Some(Tile::clone(tile));
        } else if let Some((error, _)) = failures().find(|(_, coords)| coords.contains(&coord)) {
            return Err(error.clone());
        }
    }
    Ok(())
}

fn level_column_row(coord: TileCoord) -> String {
    format!("{}/{}/{}", coord.z, coord.x, coord.y)
}

pub(super) fn cache_error(error: CacheError) -> PlanError {
    PlanError::Cache(Arc::new(error))
}

pub(super) fn address(coord: TileCoord, dimensions: Option<&Arc<Dimensions>>) -> TileAddress {
    TileAddress { coord, dimensions: dimensions.cloned() }
}

pub(super) fn from_store(stored: StoredTile, format: Format) -> Tile {
    Tile {
        bytes: stored.bytes,
        format,
        modified: stored.modified,
        cacheable: true,
        from_store: true,
        identity: stored.identity,
    }
}

/// A tile without a time is as old as can be: `refresh_before` makes it anew
/// at each request, as in MapProxy.
fn time_of(modified: Option<SystemTime>) -> SystemTime {
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn modified_of(identity: &TileIdentity) -> SystemTime {
    let ns = identity.modified_ns;
    let distance = Duration::from_nanos(u64::try_from(ns.unsigned_abs()).unwrap_or(u64::MAX));
    if ns >= 0 {
        SystemTime::UNIX_EPOCH + distance
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(distance).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests;
