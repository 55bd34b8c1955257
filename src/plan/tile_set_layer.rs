//! A server of OGC API Tiles as a layer: the tile set for the cache's system is
//! found at first use, then it answers for exactly one of its tiles.

use std::any::Any;
use std::sync::Arc;

use super::cache_layer::aligns;
use super::source_layer::{NOT_ALIGNED, finish, is_elsewhere, misfit};
use super::{Drawn, MapLayer, MapQuery, PlanError, ResRange, Turn};
use crate::geo::{Coverage, Extent, Srs};
use crate::render::{DecodeLimits, Kernel};
use crate::source::ogcapi::TilesSource;

pub struct TileSetLayer {
    pub source: Arc<TilesSource>,
    /// MIME type of the tiles that are asked for.
    pub media_type: String,
    pub transparent: bool,
    pub opacity: Option<f32>,
    pub coverage: Option<Coverage>,
    pub res_range: Option<ResRange>,
    pub decode_limits: DecodeLimits,
}

impl MapLayer for TileSetLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        if is_elsewhere(self.res_range, self.coverage.as_ref(), query) {
            return Ok(Drawn::BLANK);
        }
        let source = &self.source;
        let set = match turn.wait(|| source.tile_set(&query.srs, &self.media_type)) {
            Ok(set) => set,
            Err(error) => {
                let excused = source.on_error.answer(error).map_err(PlanError::Source)?;
                return finish(excused, query.size, &source.name, &self.decode_limits, Kernel::default());
            }
        };
        let grid = set.grid();
        if query.size != grid.tile_size {
            let ((width, height), (columns, rows)) = (grid.tile_size, query.size);
            return Err(misfit(&format!(
                "tile size of cache and tile source do not match: {width}x{height} != {columns}x{rows}"
            )));
        }
        let Ok(affected) = grid.affected(&query.extent, query.size, &query.srs, 4) else {
            return Ok(Drawn::BLANK);
        };
        let is_one = (affected.columns, affected.rows) == (1, 1);
        if !is_one || !aligns(&query.extent, &affected.extent, query.size) {
            return Err(misfit(NOT_ALIGNED));
        }
        let Some(tile) = affected.tiles.first().copied().flatten() else { return Ok(Drawn::BLANK) };
        let answer = turn.wait(|| source.fetch(&set, tile)).map_err(PlanError::Source)?;
        finish(answer, query.size, &source.name, &self.decode_limits, Kernel::default())
    }

    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        self.transparent
    }

    fn opacity(&self) -> Option<f32> {
        self.opacity
    }

    fn res_range(&self) -> Option<ResRange> {
        self.res_range
    }

    fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_ref()
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        self.coverage.as_ref().map(|coverage| (coverage.extent, coverage.srs.clone()))
    }

    fn supports_meta_tiles(&self) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
