//! Missing tiles are made: single flight, lock, fetch, split, store.
//!
//! Within the process one thread makes a meta tile and the others share what
//! it made; across processes, and against a MapProxy beside us, the lock file
//! decides, and after waiting for it the store is looked at again.

use std::sync::Arc;
use std::time::SystemTime;

use super::tile_cache::{Found, address, cache_error, from_store};
use super::{Drawn, MapQuery, Picture, PlanError, Tile, TileCache, Turn};
use crate::cache::lock::{Locked, TileLock};
use crate::cache::{Dimensions, TileAddress};
use crate::geo::{Extent, MetaTile, TileCoord};
use crate::render::{self, Format, ImageOptions, Mosaic, Raster};

/// What one flight makes: a meta tile by its main tile and its extent in
/// tiles, for one set of dimension values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    main: TileCoord,
    columns: u32,
    rows: u32,
    dimensions: Option<Arc<Dimensions>>,
}

/// The tiles that one flight made; a tile where the sources had nothing is absent.
#[derive(Debug, Default)]
pub(super) struct Made {
    tiles: Vec<(TileCoord, Tile)>,
}

impl Made {
    pub(super) fn tile(&self, coord: TileCoord) -> Option<&Tile> {
        self.tiles.iter().find(|(at, _)| *at == coord).map(|(_, tile)| tile)
    }
}

/// Runs `work` for each item, at most `limit` side by side, in order of items.
/// The caller's permit to compute is given up meanwhile; each thread takes its own.
pub(super) fn side_by_side<I: Sync, T: Send>(
    items: &[I],
    limit: usize,
    turn: &Turn,
    work: impl Fn(&I, &Turn) -> Result<T, PlanError> + Sync,
) -> Result<Vec<T>, PlanError> {
    if limit <= 1 || items.len() <= 1 {
        return items.iter().map(|item| work(item, turn)).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let run = |turn: &Turn| {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, work(item, turn)));
        }
    };
    let mut results = turn.wait(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..limit.min(items.len()))
                .map(|_| {
                    scope.spawn(|| {
                        let own = turn.another();
                        run(&own)
                    })
                })
                .collect();
            let mut all = Vec::with_capacity(items.len());
            for thread in threads {
                match thread.join() {
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
        if self.options.minimize_meta_requests && coords.len() > 1 && !self.options.bulk_meta {
            let block = meta.minimal_meta_tile(coords);
            return Ok(vec![self.share_meta(&block, dimensions, turn)?]);
        }
        let mut blocks: Vec<MetaTile> = Vec::new();
        for &coord in coords {
            let main = meta.main_tile(coord);
            if !blocks.iter().any(|b| b.main == main) {
                blocks.push(meta.meta_tile(coord));
            }
        }
        let limit = if self.options.bulk_meta { 1 } else { limit };
        side_by_side(&blocks, limit, turn, |block, turn| self.share_meta(block, dimensions, turn))
    }

    fn share_single(
        &self,
        coord: TileCoord,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Arc<Made>, PlanError> {
        let key = FlightKey { main: coord, columns: 1, rows: 1, dimensions: dimensions.cloned() };
        self.flights.share(&key, self.options.lock_timeout, turn, || {
            self.make_single(coord, dimensions, turn).map(Arc::new)
        })
    }

    fn share_meta(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Arc<Made>, PlanError> {
        let key = FlightKey {
            main: block.main,
            columns: block.columns,
            rows: block.rows,
            dimensions: dimensions.cloned(),
        };
        self.flights.share(&key, self.options.lock_timeout, turn, || {
            self.make_meta(block, dimensions, turn).map(Arc::new)
        })
    }

    /// Waits for the lock file; `None` where nothing is stored and so nothing
    /// can be found after waiting.
    fn lock(&self, main: TileCoord, turn: &Turn) -> Result<Option<TileLock>, PlanError> {
        let store = &self.options.store;
        if !store.keeps() {
            return Ok(None);
        }
        let locked = turn.wait(|| store.lock(main, self.options.lock_timeout));
        match locked.map_err(cache_error)? {
            Locked::AtOnce(lock) | Locked::AfterWait(lock) => Ok(Some(lock)),
        }
    }

    fn make_single(
        &self,
        coord: TileCoord,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        let tile = address(coord, dimensions);
        let lock = self.lock(coord, turn)?;
        let stale = match self.find(&tile)? {
            Found::Fresh(stored, format) => {
                return Ok(Made { tiles: vec![(coord, from_store(stored, format))] });
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
                Some(stale) if matches!(error, PlanError::Source(_) | PlanError::Image { .. }) => {
                    return Ok(Made { tiles: vec![(coord, stale)] });
                }
                _ => return Err(error),
            },
        };
        if let Some(stale) = stale.filter(|_| drawn.authorize_stale) {
            return Ok(Made { tiles: vec![(coord, stale)] });
        }
        if drawn.is_blank() {
            return Ok(Made::default());
        }
        let made = self.finish_single(coord, &drawn)?;
        if drawn.cacheable {
            self.keep(&tile, &made.0, made.1);
        }
        drop(lock);
        Ok(Made { tiles: vec![(coord, made.0)] })
    }

    /// A drawn tile in the cache's format: as it came where it fits, else encoded.
    fn finish_single(&self, coord: TileCoord, drawn: &Drawn) -> Result<(Tile, Option<[u8; 4]>), PlanError> {
        let image = &self.options.image;
        if let Picture::Encoded { bytes, format, .. } = &drawn.picture
            && fits(*format, image.format)
            && self.options.watermark.is_none()
        {
            let color = match (self.options.tells_single_color, drawn.raster(&self.options.decode_limits)?) {
                (true, Some(raster)) => render::merge::single_color(&raster),
                _ => None,
            };
            return Ok((made_tile(Arc::clone(bytes), *format, drawn.cacheable), color));
        }
        let raster = drawn.raster(&self.options.decode_limits)?.ok_or_else(|| self.no_pixels())?;
        self.encode_tile(coord, Raster::clone(&raster), drawn.cacheable)
    }

    fn make_meta(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        let lock = self.lock(block.main, turn)?;
        if let Some(found) = self.find_all(block, dimensions)? {
            return Ok(found);
        }
        let result = if self.options.bulk_meta {
            self.fetch_bulk(block, dimensions, turn)
        } else {
            self.draw_meta(block, dimensions, turn)
        };
        let made = match result {
            Ok(made) => made,
            Err(error) => match self.stale_of(block, dimensions)? {
                Some(stale) if matches!(error, PlanError::Source(_) | PlanError::Image { .. }) => stale,
                _ => return Err(error),
            },
        };
        drop(lock);
        Ok(made)
    }

    /// All tiles of the block, if every one is stored and fresh.
    fn find_all(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
    ) -> Result<Option<Made>, PlanError> {
        for (coord, _) in &block.tiles {
            if !self.is_stored_fresh(&address(*coord, dimensions))? {
                return Ok(None);
            }
        }
        let mut tiles = Vec::with_capacity(block.tiles.len());
        for (coord, _) in &block.tiles {
            match self.find(&address(*coord, dimensions))? {
                Found::Fresh(stored, format) => tiles.push((*coord, from_store(stored, format))),
                _ => return Ok(None),
            }
        }
        Ok(Some(Made { tiles }))
    }

    /// What the store still holds of the block, however old; `None`: nothing.
    fn stale_of(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
    ) -> Result<Option<Made>, PlanError> {
        let mut tiles = Vec::new();
        for (coord, _) in &block.tiles {
            if let Found::Stale(stored, format) | Found::Fresh(stored, format) =
                self.find(&address(*coord, dimensions))?
            {
                tiles.push((*coord, from_store(stored, format)));
            }
        }
        Ok((!tiles.is_empty()).then_some(Made { tiles }))
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
        if drawn.authorize_stale
            && let Some(stale) = self.stale_of(block, dimensions)?
        {
            return Ok(stale);
        }
        let Some(raster) = drawn.raster(&self.options.decode_limits)? else { return Ok(Made::default()) };
        let mosaic = Mosaic::single(raster);
        let (width, height) = self.options.grid.tile_size;
        let mut tiles = Vec::with_capacity(block.tiles.len());
        for &(coord, (x, y)) in &block.tiles {
            let piece = mosaic.crop(i64::from(x), i64::from(y), width, height);
            let (tile, color) = self.encode_tile(coord, piece, drawn.cacheable)?;
            if drawn.cacheable {
                self.keep(&address(coord, dimensions), &tile, color);
            }
            tiles.push((coord, tile));
        }
        Ok(Made { tiles })
    }

    /// The block's tiles fetched one by one, some side by side.
    fn fetch_bulk(
        &self,
        block: &MetaTile,
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        let grid = &self.options.grid;
        let limit = self.options.concurrent_creators;
        let tiles = side_by_side(&block.tiles, limit, turn, |(coord, _), turn| {
            let query = self.source_query(grid.tile_extent(*coord), grid.tile_size, values_of(dimensions));
            let drawn = self.ask_sources(&query, turn)?;
            if drawn.is_blank() {
                return Ok(None);
            }
            Ok(Some((*coord, self.finish_single(*coord, &drawn)?)))
        })?;
        let mut made = Made::default();
        for (coord, (tile, color)) in tiles.into_iter().flatten() {
            if tile.cacheable {
                self.keep(&address(coord, dimensions), &tile, color);
            }
            made.tiles.push((coord, tile));
        }
        Ok(made)
    }

    /// Asks every source and lays the answers over one another.
    fn ask_sources(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        let sources = &self.options.sources;
        if let [only] = sources.as_slice() {
            let clips = only.coverage().is_some_and(|c| c.clip && c.intersects(&query.extent, &query.srs));
            if !clips {
                return only.draw(query, turn);
            }
        }
        let drawn = side_by_side(sources, sources.len(), turn, |source, turn| source.draw(query, turn))?;
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

    /// Watermarked and encoded in the cache's format; with its one colour
    /// where the store wants to know it.
    fn encode_tile(
        &self,
        coord: TileCoord,
        mut raster: Raster,
        cacheable: bool,
    ) -> Result<(Tile, Option<[u8; 4]>), PlanError> {
        let image = &self.options.image;
        if !image.transparent.unwrap_or(image.format == Format::Mixed) && !raster.opaque {
            render::merge::flatten(&mut raster, image.background);
        }
        if let Some(mark) = &self.options.watermark {
            render::decor::draw_watermark(&mut raster, mark, (coord.x, coord.y));
        }
        let color = self.options.tells_single_color.then(|| render::merge::single_color(&raster)).flatten();
        let encoded = encode(&raster, image, self.name())?;
        Ok((made_tile(encoded.bytes.into(), encoded.format, cacheable), color))
    }

    /// Stores a tile. A full or read-only disk costs the copy, not the answer.
    fn keep(&self, tile: &TileAddress, made: &Tile, color: Option<[u8; 4]>) {
        if !self.options.store.keeps() {
            return;
        }
        if let Err(error) = self.options.store.store(tile, &made.bytes, color) {
            crate::log::error!("{}: tile not stored: {error}", self.name());
        } else if let Some(path) = self.options.store.path_of(tile) {
            self.options.memory.forget(&path);
        }
    }

    fn no_pixels(&self) -> PlanError {
        PlanError::Image { origin: self.name().into(), reason: "no pixels".into() }
    }
}

/// Whether an image of `has` may be kept as it is where `wanted` is configured.
fn fits(has: Format, wanted: Format) -> bool {
    has == wanted || wanted == Format::Mixed && matches!(has, Format::Png | Format::Jpeg)
}

fn made_tile(bytes: Arc<[u8]>, format: Format, cacheable: bool) -> Tile {
    Tile { bytes, format, modified: SystemTime::now(), cacheable, from_store: false, identity: None }
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
