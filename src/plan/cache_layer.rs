//! A cache as a layer: level choice, the tiles under a map, drawing from them.

use std::any::Any;
use std::sync::Arc;

use super::source_layer::{Part, place_within};
use super::tile_cache::cache_error;
use super::{Drawn, MapLayer, MapQuery, Picture, PlanError, ResRange, TileCache, Turn};
use crate::cache::Dimensions;
use crate::geo::{Affected, Coverage, Extent, GridError, Srs, WholeEdges};
use crate::render::{ColorMode, Format, Mosaic, Raster, merge, warp};
use crate::story;

/// What a cache layer is made of.
pub struct CacheLayerOptions {
    pub cache: Arc<TileCache>,
    /// The area of its sources; `None`: that of the grid.
    pub extent: Option<(Extent, Srs)>,
    /// Of `extent`.
    pub whole_edges: WholeEdges,
    pub res_range: Option<ResRange>,
    /// From this many tiles on a request is refused; 0: no limit but [`TILES_MAX`].
    pub max_tile_limit: u64,
    /// The cache serves another cache of a compatible grid: tiles are copied.
    pub tiled_only: bool,
    pub opacity: Option<f32>,
}

/// Tiles of one request at most, whatever `max_tile_limit` says.
pub const TILES_MAX: u64 = 10_000;
/// Pixels of all tiles of one request at most, four bytes each: bounds memory.
const TILES_BYTES_MAX: u64 = 1 << 30;

/// A cache that is drawn.
pub struct CacheLayer {
    options: CacheLayerOptions,
}

impl CacheLayer {
    pub fn new(options: CacheLayerOptions) -> CacheLayer {
        CacheLayer { options }
    }

    pub fn cache(&self) -> &Arc<TileCache> {
        &self.options.cache
    }

    fn world(&self) -> (Extent, Srs) {
        let grid = self.options.cache.grid();
        self.options.extent.clone().unwrap_or_else(|| (grid.extent, grid.srs.clone()))
    }

    /// The tiles under an area, within the limits.
    fn affected(&self, extent: &Extent, size: (u32, u32), srs: &Srs) -> Result<Option<Affected>, PlanError> {
        let grid = self.options.cache.grid();
        let tile_bytes = u64::from(grid.tile_size.0) * u64::from(grid.tile_size.1) * 4;
        let bound = TILES_MAX.min(TILES_BYTES_MAX / tile_bytes.max(1)).max(2);
        let limit = match self.options.max_tile_limit {
            0 => bound,
            limit => limit.min(bound),
        };
        let affected = match grid.affected(extent, size, srs, limit as usize) {
            Ok(affected) => affected,
            Err(GridError::NoTiles) => return Ok(None),
            Err(error) => return Err(PlanError::NotOneTile(error.to_string())),
        };
        let count = u64::from(affected.columns) * u64::from(affected.rows);
        if count >= limit {
            return Err(PlanError::TooManyTiles { count, limit });
        }
        Ok(Some(affected))
    }

    /// Exactly one tile, as it lies.
    fn draw_one_tile(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        let cache = &self.options.cache;
        let grid = cache.grid();
        let refuse = |reason: String| Err(PlanError::NotOneTile(reason));
        if !self.options.tiled_only && query.format != cache.format() {
            return refuse(format!("invalid tile format, use {}", cache.format().extension()));
        }
        if query.size != grid.tile_size {
            return refuse(format!("invalid tile size (use {}x{})", grid.tile_size.0, grid.tile_size.1));
        }
        let Some(affected) = self.affected(&query.extent, query.size, &query.srs)? else {
            return Ok(Drawn::BLANK);
        };
        if (affected.columns, affected.rows) != (1, 1) {
            return refuse("not a single tile".into());
        }
        if !aligns(&query.extent, &affected.extent, query.size) {
            return refuse("query does not align to tile boundaries".into());
        }
        let Some(coord) = affected.tiles.first().copied().flatten() else { return Ok(Drawn::BLANK) };
        story::note_level(coord.z);
        let dimensions = Dimensions::new(&query.dimensions).map_err(cache_error)?;
        let tile = cache.tiles(&[coord], dimensions.as_ref(), turn)?.pop().flatten();
        Ok(match tile {
            None => Drawn::BLANK,
            Some(tile) => Drawn {
                picture: Picture::Encoded { bytes: tile.bytes, format: tile.format, pixels: None },
                cacheable: tile.cacheable,
                authorize_stale: false,
            },
        })
    }

    fn draw_map(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        let cache = &self.options.cache;
        let grid = cache.grid();
        let Some(part) = self.covered_part(query)? else { return Ok(Drawn::BLANK) };
        let Some(affected) = self.affected(&part.extent, part.size, &query.srs)? else {
            return Ok(Drawn::BLANK);
        };
        if let Some(coord) = affected.tiles.iter().flatten().next() {
            story::note_level(coord.z);
        }
        let dimensions = Dimensions::new(&query.dimensions).map_err(cache_error)?;
        let loaded = cache.rasters(&affected.tiles, dimensions.as_ref(), turn)?;
        if loaded.iter().all(|(raster, _)| raster.is_none()) {
            return Ok(Drawn::BLANK);
        }
        let cacheable = loaded.iter().all(|(_, cacheable)| *cacheable);
        let image = cache.image();
        let background = if self.is_transparent() { [255, 255, 255, 0] } else { image.background };
        let mosaic = Mosaic {
            tile_size: grid.tile_size,
            columns: affected.columns,
            rows: affected.rows,
            tiles: loaded.into_iter().map(|(raster, _)| raster).collect(),
            background,
        };
        let target = warp::Target { extent: part.extent, size: part.size, srs: query.srs.clone() };
        let mut raster = warp::draw(&mosaic, &affected.extent, &grid.srs, &target, image.resampling);
        if part.size != query.size {
            let mut whole = Raster::filled(query.size.0, query.size.1, [255, 255, 255, 0]);
            merge::over(&mut whole, &raster, part.offset, None);
            raster = whole;
        }
        Ok(Drawn { cacheable, ..Drawn::pixels(raster) })
    }

    /// The query cut to this layer's area, in whole pixels as MapProxy cuts it,
    /// and where in the query it lies; `None` when they do not meet.
    ///
    /// # Errors
    /// A map that has no place in the cache's system.
    fn covered_part(&self, query: &MapQuery) -> Result<Option<Part>, PlanError> {
        let (extent, srs) = self.world();
        let there = query.srs.transform_extent(&srs, &query.extent).ok_or(PlanError::Untransformable)?;
        if extent.contains(&there) {
            return Ok(Some(Part { extent: query.extent, size: query.size, offset: (0, 0) }));
        }
        if !extent.intersects(&there) {
            return Ok(None);
        }
        let here = srs.transform_extent(&query.srs, &extent);
        Ok(here.and_then(|here| place_within(&query.extent, query.size, &here)))
    }
}

impl MapLayer for CacheLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        if let Some(range) = self.res_range()
            && !range.contains(&query.extent, query.size, &query.srs)
        {
            return Ok(Drawn::BLANK);
        }
        if query.tiled_only || self.options.tiled_only {
            self.draw_one_tile(query, turn)
        } else {
            self.draw_map(query, turn)
        }
    }

    /// Never certain: tiles may be missing or outside.
    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        let image = self.options.cache.image();
        image.transparent.unwrap_or(image.format == Format::Mixed)
    }

    fn opacity(&self) -> Option<f32> {
        self.options.opacity
    }

    fn mode(&self, transparent: bool) -> Option<ColorMode> {
        let image = self.options.cache.image();
        match image.mode {
            _ if transparent && self.is_transparent() && image.format != Format::Jpeg => {
                Some(ColorMode::Rgba)
            }
            Some(ColorMode::I) if !transparent => Some(ColorMode::I),
            _ => None,
        }
    }

    fn res_range(&self) -> Option<ResRange> {
        self.options.res_range
    }

    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        Some(self.world())
    }

    fn whole_edges(&self) -> WholeEdges {
        self.options.whole_edges
    }

    fn supports_meta_tiles(&self) -> bool {
        !self.options.tiled_only
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whether two extents agree within a tenth of a pixel.
pub(super) fn aligns(a: &Extent, b: &Extent, size: (u32, u32)) -> bool {
    let x_delta = (a.width() / f64::from(size.0) / 10.0).abs();
    let y_delta = (a.height() / f64::from(size.1) / 10.0).abs();
    (a.min_x - b.min_x).abs() <= x_delta
        && (a.max_x - b.max_x).abs() <= x_delta
        && (a.min_y - b.min_y).abs() <= y_delta
        && (a.max_y - b.max_y).abs() <= y_delta
}

#[cfg(test)]
mod tests;
