//! Missing tiles are made: single flight, lock, fetch, split, store.
//!
//! Within the process one thread makes a meta tile and the others share what
//! it made; across processes, and against a MapProxy beside us, the lock file
//! decides, and after waiting for it the store is looked at again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Instant, SystemTime};

use super::patience::patiently;
use super::tile_cache::{Found, address, cache_error, from_store};
use super::{Drawn, MapLayer, MapQuery, Picture, PlanError, Tile, TileCache, Turn};
use crate::cache::lock::{Locked, TileLock};
use crate::cache::{CacheError, Dimensions, NewTile};
use crate::geo::{Extent, MetaTile, TileCoord};
use crate::log;
use crate::render::{self, Format, ImageOptions, Mosaic, Raster};
use crate::story;

/// What one flight makes: a block by its first tile and its extent in tiles
/// (of two minimal blocks in one meta tile the main tile is the same), for one
/// set of dimension values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    first: TileCoord,
    columns: u32,
    rows: u32,
    dimensions: Option<Arc<Dimensions>>,
}

/// The tiles that one flight made; a tile where the sources had nothing is absent.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) tiles: Vec<(TileCoord, Tile)>,
    /// Where the sources failed and not every tile had an old one to show: the
    /// failure, and the tiles that it is for.
    pub(super) failed: Option<(PlanError, Vec<TileCoord>)>,
}

/// A tile just made, with its one colour where the store wants to know it.
type Fresh = (TileCoord, Tile, Option<[u8; 4]>);

impl Made {
    fn of(tiles: Vec<(TileCoord, Tile)>) -> Made {
        Made { tiles, failed: None }
    }
}

/// Runs `work` for each item, at most `limit` side by side, in order of items;
/// after a failure no further item is begun. The caller's permit to compute is
/// given up meanwhile; each thread takes its own.
///
/// # Errors
/// The failure of the first item that failed.
pub(super) fn side_by_side<I: Sync, T: Send>(
    items: &[I],
    limit: usize,
    turn: &Turn,
    work: impl Fn(&I, &Turn) -> Result<T, PlanError> + Sync,
) -> Result<Vec<T>, PlanError> {
    if limit <= 1 || items.len() <= 1 {
        return items.iter().map(|item| work(item, turn)).collect();
    }
    let next = AtomicUsize::new(0);
    let has_failed = AtomicBool::new(false);
    let story = story::current();
    let run = || {
        let _entered = story::enter(story.clone());
        let own = turn.another();
        let mut done = Vec::new();
        while !has_failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item, &own);
            has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((at, result));
        }
        done
    };
    let mut results = turn.wait(|| {
        thread::scope(|scope| {
            let others: Vec<_> = (1..limit.min(items.len()))
                // A thread that the system refuses leaves its share to the others.
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, run).ok())
                .collect();
            let mut all = run();
            for other in others {
                match other.join() {
                    Ok(done) => all.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        })
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What a source has for a tile: nothing where its system cannot follow (a
/// client's own map of such a place is refused).
fn draw_source(source: &Arc<dyn MapLayer>, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
    match source.draw(query, turn) {
        Err(PlanError::Untransformable) => Ok(Drawn::BLANK),
        drawn => drawn,
    }
}

impl TileCache {
    /// Makes the tiles, and with them whatever shares their meta tiles.
    pub(super) fn create(
        &self,
        coords: &[TileCoord],
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Vec<Arc<Made>>, PlanError> {
        let limit = self.options.concurrent_creators;
        let Some(meta) = &self.options.meta else {
            return side_by_side(coords, limit, turn, |coord, turn| {
                self.share_single(*coord, dimensions, turn)
            });
        };
        // The daemon knows whole meta tiles only.
        let is_ours = self.renderd_for(dimensions.is_some()).is_none();
        if self.options.minimize_meta_requests && coords.len() > 1 && !self.options.bulk_meta && is_ours {
            let block = meta.minimal_meta_tile(coords);
            // A picture that could not be decoded is not asked for.
            if self.options.decode_limits.pixels_bytes(block.size.0, block.size.1).is_ok() {
                return Ok(vec![self.share_meta(&block, dimensions, turn)?]);
            }
        }
        let mut mains = HashSet::new();
        let blocks: Vec<MetaTile> = coords
            .iter()
            .filter(|coord| mains.insert(meta.main_tile(**coord)))
            .map(|coord| meta.meta_tile(*coord))
            .collect();
        let limit = if self.options.bulk_meta { 1 } else { limit };
        side_by_side(&blocks, limit, turn, |block, turn| self.share_meta(block, dimensions, turn))
    }

    fn share_single(
        &self,
        coord: TileCoord,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Arc<Made>, PlanError> {
        let key = FlightKey { first: coord, columns: 1, rows: 1, dimensions: dimensions.cloned() };
        self.flights.share(&key, self.options.lock_timeout, turn, || {
            self.told(coord, self.make_single(coord, dimensions, turn)).map(Arc::new)
        })
    }

    fn share_meta(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Arc<Made>, PlanError> {
        let key = FlightKey {
            first: block.tiles.first().map_or(block.main, |(coord, _)| *coord),
            columns: block.columns,
            rows: block.rows,
            dimensions: dimensions.cloned(),
        };
        self.flights.share(&key, self.options.lock_timeout, turn, || {
            self.told(block.main, self.make_meta(block, dimensions, turn)).map(Arc::new)
        })
    }

    /// Tells the operator of a failure: where it happened, not for each client
    /// who waited for the tile.
    fn told(&self, main: TileCoord, result: Result<Made, PlanError>) -> Result<Made, PlanError> {
        if let Err(error) = &result
            && !matches!(error, PlanError::TileOutOfRange | PlanError::NotOneTile(_))
            && let Some(more) = self.complaints.unmade.due(Instant::now())
        {
            let level = if is_source_failure(error) { log::Level::Warn } else { log::Level::Error };
            log::write_line(level, format_args!("{}: tile {main:?} not made: {error}{more}", self.name()));
        }
        result
    }

    pub(super) fn tell_stale(&self, main: TileCoord, error: &PlanError) {
        if let Some(more) = self.complaints.unmade.due(Instant::now()) {
            crate::log::warn!("{}: tile {main:?} stays as it was: {error}{more}", self.name());
        }
    }

    /// Waits for the lock file; `None` where nothing is stored and so nothing
    /// can be found after waiting, and where the file cannot be made: locks
    /// save work, a full or read-only disk must not cost the answer.
    fn lock(&self, main: TileCoord, turn: &Turn) -> Result<Option<TileLock>, PlanError> {
        let store = &self.options.store;
        if !store.keeps() {
            return Ok(None);
        }
        let asked = Instant::now();
        let locked = turn.wait(|| store.lock(main, self.options.lock_timeout));
        if !matches!(locked, Ok(Locked::AtOnce(_))) {
            story::note_lock_wait(asked.elapsed());
        }
        match locked {
            Ok(Locked::AtOnce(lock) | Locked::AfterWait(lock)) => Ok(Some(lock)),
            Err(error @ CacheError::Io { .. }) => {
                if let Some(more) = self.complaints.lockless.due(Instant::now()) {
                    crate::log::error!("{}: made without a lock: {error}{more}", self.name());
                }
                Ok(None)
            }
            Err(error) => Err(cache_error(error)),
        }
    }

    fn make_single(
        &self,
        coord: TileCoord,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        if let Some(renderd) = self.renderd_for(dimensions.is_some()) {
            return self.have_made(renderd, &[coord], turn);
        }
        let tile = address(coord, dimensions);
        let lock = self.lock(coord, turn)?;
        let stale = match self.find(&tile, turn)? {
            Found::Fresh(stored, format) => {
                return Ok(Made::of(vec![(coord, from_store(stored, format))]));
            }
            Found::Stale(stored, format) => Some(from_store(stored, format)),
            Found::Missing => None,
        };
        let grid = &self.options.grid;
        let query = self.source_query(grid.tile_extent(coord), grid.tile_size, values_of(dimensions));
        let drawn = match self.ask_sources(&query, turn) {
            Ok(drawn) => drawn,
            // A failing source does not take away the tile that was there.
            Err(error) => match stale {
                Some(stale) if is_source_failure(&error) => {
                    self.tell_stale(coord, &error);
                    return Ok(Made::of(vec![(coord, stale)]));
                }
                _ => return Err(error),
            },
        };
        if let Some(stale) = stale.filter(|_| drawn.authorize_stale) {
            return Ok(Made::of(vec![(coord, stale)]));
        }
        if drawn.is_blank() {
            return Ok(Made::default());
        }
        let (tile, color) = self.finish_single(coord, &drawn)?;
        let made = self.keep(vec![(coord, tile, color)], dimensions, turn);
        drop(lock);
        Ok(made)
    }

    /// A drawn tile in the cache's format: as it came where it fits, else encoded.
    fn finish_single(&self, coord: TileCoord, drawn: &Drawn) -> Result<(Tile, Option<[u8; 4]>), PlanError> {
        let image = &self.options.image;
        if let Picture::Encoded { bytes, format, pixels } = &drawn.picture
            && fits(*format, pixels.as_deref(), image.format)
            && self.options.watermark.is_none()
        {
            let color = match (self.options.tells_single_color, drawn.raster(&self.options.decode_limits)?) {
                (true, Some(raster)) => render::merge::single_color(&raster),
                _ => None,
            };
            return Ok((made_tile(Arc::clone(bytes), *format, drawn.cacheable), color));
        }
        let raster = drawn.raster(&self.options.decode_limits)?.ok_or_else(|| self.no_pixels())?;
        // A colour in place of a failure has no palette, as in MapProxy.
        let has_palette = self.options.watermark.is_some() || !matches!(drawn.picture, Picture::Color { .. });
        let image = ImageOptions { colors: if has_palette { image.colors } else { 0 }, ..image.clone() };
        self.encode_tile(coord, Arc::unwrap_or_clone(raster), &image, drawn.cacheable)
    }

    fn make_meta(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        if let Some(renderd) = self.renderd_for(dimensions.is_some()) {
            let coords: Vec<TileCoord> = block.tiles.iter().map(|(coord, _)| *coord).collect();
            return self.have_made(renderd, &coords, turn);
        }
        let lock = self.lock(block.main, turn)?;
        if let Some(found) = self.find_all(block, dimensions, turn)? {
            return Ok(found);
        }
        let result = if self.options.bulk_meta {
            self.fetch_bulk(block, dimensions, turn)
        } else {
            self.draw_meta(block, dimensions, turn)
        };
        let made = match result {
            Ok(made) => made,
            Err(error) if is_source_failure(&error) => self.stale_or(error, block, dimensions, turn)?,
            Err(error) => return Err(error),
        };
        drop(lock);
        Ok(made)
    }

    /// All tiles of the block, if every one is stored and fresh.
    fn find_all(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Option<Made>, PlanError> {
        for (coord, _) in &block.tiles {
            if !self.is_stored_fresh(&address(*coord, dimensions), turn)? {
                return Ok(None);
            }
        }
        let mut tiles = Vec::with_capacity(block.tiles.len());
        for (coord, _) in &block.tiles {
            match self.find(&address(*coord, dimensions), turn)? {
                Found::Fresh(stored, format) => tiles.push((*coord, from_store(stored, format))),
                _ => return Ok(None),
            }
        }
        Ok(Some(Made::of(tiles)))
    }

    /// What the store still holds of the block, however old, in place of a
    /// failure; the failure is that of the other tiles.
    ///
    /// # Errors
    /// The failure, where nothing is held.
    fn stale_or(
        &self,
        error: PlanError,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        let mut tiles = Vec::new();
        let mut without = Vec::new();
        for &(coord, _) in &block.tiles {
            match self.held(coord, dimensions, turn)? {
                Some(tile) => tiles.push((coord, tile)),
                None => without.push(coord),
            }
        }
        if tiles.is_empty() {
            return Err(error);
        }
        self.tell_stale(block.main, &error);
        let failed = (!without.is_empty()).then_some((error, without));
        Ok(Made { tiles, failed })
    }

    /// The stored tile, however old.
    pub(super) fn held(
        &self,
        coord: TileCoord,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Option<Tile>, PlanError> {
        Ok(match self.find(&address(coord, dimensions), turn)? {
            Found::Stale(stored, format) | Found::Fresh(stored, format) => Some(from_store(stored, format)),
            Found::Missing => None,
        })
    }

    /// One map for the whole block, split into tiles.
    fn draw_meta(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        let query = self.source_query(block.extent, block.size, values_of(dimensions));
        let drawn = self.ask_sources(&query, turn)?;
        let Some(raster) = drawn.raster(&self.options.decode_limits)? else { return Ok(Made::default()) };
        let mosaic = Mosaic::single(raster);
        let (width, height) = self.options.grid.tile_size;
        let mut tiles = Vec::with_capacity(block.tiles.len());
        for &(coord, (x, y)) in &block.tiles {
            if drawn.authorize_stale
                && let Some(stale) = self.held(coord, dimensions, turn)?
            {
                tiles.push((coord, stale, None));
                continue;
            }
            let mut piece = mosaic.crop(i64::from(x), i64::from(y), width, height);
            // The map ends at the grid's edge; what a tile shows beyond is ground.
            let ends_within = x < 0
                || y < 0
                || i64::from(x) + i64::from(width) > i64::from(block.size.0)
                || i64::from(y) + i64::from(height) > i64::from(block.size.1);
            let image = &self.options.image;
            if ends_within && !image.transparent.unwrap_or(image.format == Format::Mixed) {
                render::merge::flatten(&mut piece, image.background);
            }
            let (tile, color) = self.encode_tile(coord, piece, image, drawn.cacheable)?;
            tiles.push((coord, tile, color));
        }
        Ok(self.keep(tiles, dimensions, turn))
    }

    /// The block's tiles fetched one by one, some side by side; those that are
    /// there and fresh are not asked for again.
    fn fetch_bulk(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        let grid = &self.options.grid;
        let limit = self.options.concurrent_creators;
        let tiles = side_by_side(&block.tiles, limit, turn, |(coord, _), turn| {
            let found = self.find(&address(*coord, dimensions), turn)?;
            if let Found::Fresh(stored, format) = found {
                return Ok(Some((*coord, from_store(stored, format), None)));
            }
            let query = self.source_query(grid.tile_extent(*coord), grid.tile_size, values_of(dimensions));
            let drawn = self.ask_sources(&query, turn)?;
            match found {
                Found::Stale(stored, format) if drawn.authorize_stale => {
                    Ok(Some((*coord, from_store(stored, format), None)))
                }
                _ if drawn.is_blank() => Ok(None),
                _ => {
                    let (tile, color) = self.finish_single(*coord, &drawn)?;
                    Ok(Some((*coord, tile, color)))
                }
            }
        })?;
        Ok(self.keep(tiles.into_iter().flatten().collect(), dimensions, turn))
    }

    /// Asks every source and lays the answers over one another.
    fn ask_sources(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        let sources = &self.options.sources;
        if let [only] = sources.as_slice() {
            let clips = only.coverage().is_some_and(|c| c.clip && c.intersects(&query.extent, &query.srs));
            if !clips {
                return draw_source(only, query, turn);
            }
        }
        let drawn =
            side_by_side(sources, sources.len(), turn, |source, turn| draw_source(source, query, turn))?;
        if let Some(lone) = self.lone(&drawn) {
            return Ok(lone.clone());
        }
        let canvas = if self.options.image.transparent.unwrap_or(false) {
            [255, 255, 255, 0]
        } else {
            self.options.image.background
        };
        let mut result = Raster::filled(query.size.0, query.size.1, canvas);
        let mut cacheable = true;
        for (source, drawn) in sources.iter().zip(&drawn) {
            cacheable &= drawn.cacheable;
            let Some(raster) = drawn.raster(&self.options.decode_limits)? else { continue };
            lay_over(&mut result, &raster, source.as_ref(), query.extent, &query.srs);
        }
        let authorize_stale = drawn.iter().any(|d| d.authorize_stale);
        Ok(Drawn { cacheable, authorize_stale, ..Drawn::pixels(result) })
    }

    /// The only picture of all sources where it needs no ground and no clipping:
    /// it is kept as it came (as in MapProxy without its source's opacity).
    fn lone<'a>(&self, drawn: &'a [Drawn]) -> Option<&'a Drawn> {
        let mut pictures = self.options.sources.iter().zip(drawn).filter(|(_, drawn)| !drawn.is_blank());
        let (source, only) = pictures.next()?;
        let fits = (!source.is_transparent() || self.options.image.transparent == Some(true))
            && source.coverage().is_none_or(|coverage| !coverage.clip);
        (fits && pictures.next().is_none()).then_some(only)
    }

    /// Watermarked and encoded as `image` says; with its one colour
    /// where the store wants to know it.
    fn encode_tile(
        &self,
        coord: TileCoord,
        mut raster: Raster,
        image: &ImageOptions,
        cacheable: bool,
    ) -> Result<(Tile, Option<[u8; 4]>), PlanError> {
        lay_ground(&mut raster, image);
        if let Some(mark) = &self.options.watermark {
            render::decor::draw_watermark(&mut raster, mark, (coord.x, coord.y));
        }
        self.encode_pixels(raster, image, cacheable)
    }

    /// Encoded as `image` says, without a watermark; with its one colour where
    /// the store wants to know it.
    pub(super) fn encode_pixels(
        &self,
        mut raster: Raster,
        image: &ImageOptions,
        cacheable: bool,
    ) -> Result<(Tile, Option<[u8; 4]>), PlanError> {
        lay_ground(&mut raster, image);
        let color = self.options.tells_single_color.then(|| render::merge::single_color(&raster)).flatten();
        let encoded = encode(&raster, image, self.name())?;
        Ok((made_tile(encoded.bytes.into(), encoded.format, cacheable), color))
    }

    /// Stores what was made just now and may be kept; each tile then bears the
    /// time of its stored state, so that its ETag is the one that later answers
    /// carry. A full or read-only disk costs the copies, not the answer.
    pub(super) fn keep(
        &self,
        mut made: Vec<Fresh>,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Made {
        let store = &self.options.store;
        if store.keeps() {
            let is_new = |at: &usize| made[*at].1.cacheable && !made[*at].1.from_store;
            let mut new: Vec<usize> = (0..made.len()).filter(is_new).collect();
            // The first of a meta tile comes last: by it MapProxy's seeder tells whether the whole is there, also after
            // a process was killed on the way.
            new.sort_by_key(|at| std::cmp::Reverse((made[*at].0.x, made[*at].0.y)));
            let stored =
                self.store_new(&new.iter().map(|at| &made[*at]).collect::<Vec<_>>(), dimensions, turn);
            for (at, is_stored) in new.into_iter().zip(stored) {
                let (coord, tile, _) = &mut made[at];
                if !store.has_times() {
                    tile.modified = None;
                } else if is_stored && let Ok(Some(modified)) = store.modified(&address(*coord, dimensions)) {
                    tile.modified = Some(modified);
                }
            }
        }
        Made::of(made.into_iter().map(|(coord, tile, _)| (coord, tile)).collect())
    }

    /// Stores tiles; which of them are stored now.
    fn store_new(&self, new: &[&Fresh], dimensions: Option<&Arc<Dimensions>>, turn: &Turn) -> Vec<bool> {
        let tiles: Vec<NewTile<'_>> = new
            .iter()
            .map(|(coord, tile, color)| NewTile {
                tile: address(*coord, dimensions),
                bytes: &tile.bytes,
                single_color: *color,
            })
            .collect();
        if tiles.is_empty() {
            return Vec::new();
        }
        let mut stored = vec![false; tiles.len()];
        match patiently(turn, || self.options.store.store_all(&tiles)) {
            Err(error) => self.tell_unstored(&error),
            Ok(results) => {
                for (at, result) in results.into_iter().enumerate() {
                    match result {
                        Ok(()) => stored[at] = true,
                        Err(error) => self.tell_unstored(&error),
                    }
                }
            }
        }
        for (new, is_stored) in tiles.iter().zip(&stored) {
            story::note_stored(*is_stored);
            if let Some(path) = self.options.store.path_of(&new.tile).filter(|_| *is_stored) {
                self.options.memory.forget(&path);
            }
        }
        stored
    }

    fn tell_unstored(&self, error: &CacheError) {
        if let Some(more) = self.complaints.unwritable.due(Instant::now()) {
            crate::log::error!("{}: tile not stored: {error}{more}", self.name());
        }
    }

    fn no_pixels(&self) -> PlanError {
        PlanError::Image { origin: self.name().into(), reason: "no pixels".into() }
    }
}

/// Whether an image of `has` may be kept as it is where `wanted` is configured;
/// of a mixed cache's images those without transparency are JPEG.
fn fits(has: Format, pixels: Option<&Raster>, wanted: Format) -> bool {
    match (wanted, has) {
        (Format::Mixed, Format::Jpeg) => true,
        // Without pixels it is a tile that another mixed cache has chosen.
        (Format::Mixed, Format::Png) => pixels.is_none_or(Raster::has_alpha),
        _ => has == wanted,
    }
}

/// Whether a tile that was there may stand in for what failed.
fn is_source_failure(error: &PlanError) -> bool {
    matches!(error, PlanError::Source(_) | PlanError::Image { .. })
}

/// Where nothing is said, what the sources bring is kept as it is, as in MapProxy.
fn lay_ground(raster: &mut Raster, image: &ImageOptions) {
    if image.transparent == Some(false) && image.format != Format::Mixed && !raster.opaque {
        render::merge::flatten(raster, image.background);
    }
}

fn made_tile(bytes: Arc<[u8]>, format: Format, cacheable: bool) -> Tile {
    Tile { bytes, format, modified: Some(SystemTime::now()), cacheable, from_store: false, identity: None }
}

fn encode(raster: &Raster, image: &ImageOptions, origin: &str) -> Result<render::Encoded, PlanError> {
    render::encode(raster, image, None)
        .map_err(|error| PlanError::Image { origin: origin.into(), reason: error.to_string() })
}

/// Lays one layer's pixels on the canvas: clipped to its coverage where that
/// is wanted, with its opacity.
pub(super) fn lay_over(
    canvas: &mut Raster,
    upper: &Arc<Raster>,
    layer: &dyn super::MapLayer,
    extent: Extent,
    srs: &crate::geo::Srs,
) {
    let clip = layer.coverage().filter(|c| c.clip && !c.contains(&extent, srs));
    match clip {
        Some(coverage) => {
            let mut clipped = Raster::clone(upper);
            render::mask::clip(&mut clipped, &extent, srs, coverage);
            render::merge::over(canvas, &clipped, (0, 0), layer.opacity());
        }
        None => render::merge::over(canvas, upper, (0, 0), layer.opacity()),
    }
}

/// The dimension values that sources are asked for.
fn values_of(dimensions: Option<&Arc<Dimensions>>) -> &[(String, String)] {
    dimensions.map_or(&[], |d| d.values())
}
