//! A tile that no source can make, drawn from tiles of other levels: coarser
//! ones are magnified (`upscale_tiles`), finer ones shrunk (`downscale_tiles`).
//!
//! Level by level, as in MapProxy: what lacks on the neighbouring level is
//! itself drawn from the next one, as far as the configuration allows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::tile_cache::{Loaded, address};
use super::{PlanError, Tile, TileCache, Turn};
use crate::cache::Dimensions;
use crate::geo::TileCoord;
use crate::render::{self, Mosaic, Raster, warp};

/// Tiles of other levels that are looked at for one request: each further level
/// down has four times as many.
pub const LOOKED_AT_MAX: usize = 4_096;
/// Tiles of a neighbouring level from which one tile is drawn at most.
const TILES_PER_TILE_MAX: usize = 64;
/// Pixels kept while a request is under way, because neighbours may share them.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where substitutes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescale {
    /// From so many levels above, which are coarser.
    Up(u32),
    /// From so many levels below, which are finer.
    Down(u32),
}

impl Rescale {
    /// The last level from which a tile of `level` may be drawn.
    fn stop(self, level: u32, levels: u32) -> u32 {
        match self {
            Rescale::Up(count) => level.saturating_sub(count),
            Rescale::Down(count) => level.saturating_add(count).min(levels.saturating_sub(1)).max(level),
        }
    }
}

/// The search for one request.
struct Search<'a> {
    cache: &'a TileCache,
    dimensions: Option<&'a Arc<Dimensions>>,
    turn: &'a Turn,
    stop: u32,
    /// What was found already; `None` where there is nothing.
    known: HashMap<TileCoord, Option<(Arc<Raster>, bool)>>,
    looked_at: usize,
    kept_bytes: usize,
}

impl TileCache {
    /// Puts substitutes in the places of tiles that are not to be had.
    pub(super) fn substitute_rasters(
        &self,
        tiles: &[Option<TileCoord>],
        rasters: &mut [Loaded],
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<(), PlanError> {
        let clip = self.options.coverage.as_ref().filter(|coverage| coverage.clip);
        let grid = &self.options.grid;
        let places = rasters.iter_mut().zip(tiles).filter(|(loaded, _)| loaded.0.is_none());
        let wanted = places.filter_map(|(loaded, coord)| Some((loaded, (*coord)?)));
        let mut search: Option<Search<'_>> = None;
        for (loaded, coord) in wanted.filter(|(_, coord)| !self.is_outside(*coord)) {
            let Some(found) = self.substitute(coord, &mut search, dimensions, turn)? else { continue };
            let (mut raster, cacheable) = found;
            if let Some(coverage) = clip {
                let mut clipped = Raster::clone(&raster);
                render::mask::clip(&mut clipped, &grid.tile_extent(coord), &grid.srs, coverage);
                raster = Arc::new(clipped);
            }
            *loaded = (Some(raster), cacheable);
        }
        Ok(())
    }

    /// [`TileCache::substitute_rasters`] in the format of the cache.
    pub(super) fn substitute_tiles(
        &self,
        tiles: &[TileCoord],
        found: &mut [Option<Tile>],
        dimensions: Option<&Arc<Dimensions>>,
        turn: &Turn,
    ) -> Result<(), PlanError> {
        let mut search = None;
        for (tile, &coord) in found.iter_mut().zip(tiles) {
            if tile.is_some() || self.is_outside(coord) {
                continue;
            }
            if let Some((raster, cacheable)) = self.substitute(coord, &mut search, dimensions, turn)? {
                *tile = Some(self.encode_pixels(Raster::clone(&raster), &self.options.image, cacheable)?.0);
            }
        }
        Ok(())
    }

    fn substitute<'a>(
        &'a self,
        coord: TileCoord,
        search: &mut Option<Search<'a>>,
        dimensions: Option<&'a Arc<Dimensions>>,
        turn: &'a Turn,
    ) -> Result<Option<(Arc<Raster>, bool)>, PlanError> {
        let Some(rescale) = self.options.rescale else { return Ok(None) };
        let search = search.get_or_insert_with(|| Search {
            cache: self,
            dimensions,
            turn,
            stop: rescale.stop(coord.z, self.options.grid.levels()),
            known: HashMap::new(),
            looked_at: 0,
            kept_bytes: 0,
        });
        search.draw(coord)
    }
}

impl Search<'_> {
    /// A tile that is not to be had, drawn from the level before or behind it.
    fn draw(&mut self, coord: TileCoord) -> Result<Option<(Arc<Raster>, bool)>, PlanError> {
        if let Some(known) = self.known.get(&coord) {
            return Ok(known.clone());
        }
        if coord.z == self.stop {
            return Ok(None);
        }
        let level = if self.stop > coord.z { coord.z + 1 } else { coord.z - 1 };
        let options = &self.cache.options;
        let grid = &options.grid;
        let extent = grid.tile_extent(coord);
        let Ok(affected) = grid.affected_at(&extent, level, TILES_PER_TILE_MAX) else { return Ok(None) };
        let pieces = self.pieces(&affected.tiles)?;
        if pieces.iter().all(|(raster, _)| raster.is_none()) {
            self.keep(coord, None);
            return Ok(None);
        }
        let cacheable = pieces.iter().all(|(_, cacheable)| *cacheable);
        let is_transparent =
            options.image.transparent.unwrap_or(options.image.format == render::Format::Mixed);
        let mosaic = Mosaic {
            tile_size: grid.tile_size,
            columns: affected.columns,
            rows: affected.rows,
            tiles: pieces.into_iter().map(|(raster, _)| raster).collect(),
            background: if is_transparent { [255, 255, 255, 0] } else { options.image.background },
        };
        let target = warp::Target { extent, size: grid.tile_size, srs: grid.srs.clone() };
        let raster = warp::draw(&mosaic, &affected.extent, &grid.srs, &target, options.image.resampling);
        let drawn = (Arc::new(raster), cacheable);
        if options.keeps_rescaled && cacheable {
            self.store(coord, &drawn.0)?;
        }
        self.keep(coord, Some(drawn.clone()));
        Ok(Some(drawn))
    }

    /// The tiles of a level, each as it is had, or drawn from further away.
    fn pieces(&mut self, tiles: &[Option<TileCoord>]) -> Result<Vec<Loaded>, PlanError> {
        let mut pieces: Vec<Loaded> = vec![(None, true); tiles.len()];
        let unknown: Vec<Option<TileCoord>> =
            tiles.iter().map(|coord| coord.filter(|coord| !self.known.contains_key(coord))).collect();
        self.looked_at += unknown.iter().flatten().count();
        if self.looked_at > LOOKED_AT_MAX {
            if let Some(more) = self.cache.complaints.far.due(Instant::now()) {
                let name = self.cache.name();
                crate::log::warn!("{name}: no substitute in {LOOKED_AT_MAX} tiles of other levels{more}");
            }
            return Ok(pieces);
        }
        let loaded = self.cache.plain_rasters(&unknown, self.dimensions, self.turn)?;
        for ((piece, loaded), coord) in pieces.iter_mut().zip(loaded).zip(tiles) {
            let Some(coord) = *coord else { continue };
            if let (Some(raster), cacheable) = loaded {
                self.keep(coord, Some((Arc::clone(&raster), cacheable)));
                *piece = (Some(raster), cacheable);
            } else if let Some((raster, cacheable)) = self.draw(coord)? {
                *piece = (Some(raster), cacheable);
            }
        }
        Ok(pieces)
    }

    fn keep(&mut self, coord: TileCoord, found: Option<(Arc<Raster>, bool)>) {
        let bytes = found.as_ref().map_or(0, |(raster, _)| raster.pixels.len());
        if self.kept_bytes + bytes <= KEPT_BYTES_MAX {
            self.kept_bytes += bytes;
            self.known.insert(coord, found);
        }
    }

    /// Stores a substitute (`cache_rescaled_tiles`), unless the tile itself has come meanwhile.
    fn store(&self, coord: TileCoord, raster: &Arc<Raster>) -> Result<(), PlanError> {
        let cache = self.cache;
        if cache.is_stored(&address(coord, self.dimensions), self.turn) {
            return Ok(());
        }
        let (tile, color) = cache.encode_pixels(Raster::clone(raster), &cache.options.image, true)?;
        cache.keep(vec![(coord, tile, color)], self.dimensions, self.turn);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
