//! A cache of one grid: stored tiles, and how missing ones come to be.

use std::sync::Arc;

use super::{PlanError, Tile, TileFile, Turn};
use crate::cache::TileAddress;
use crate::geo::{TileCoord, TileGrid};
use crate::render::Format;

/// One cache on one grid (MapProxy's tile manager).
pub struct TileCache {}

impl TileCache {
    pub fn grid(&self) -> &Arc<TileGrid> {
        todo!()
    }
    /// The format of the tiles kept here.
    pub fn format(&self) -> Format {
        todo!()
    }
    /// Where the tile would lie, for the event loop; does no I/O. `None` when
    /// the loop cannot answer (no files, a coverage to look at, no storage, …).
    pub fn tile_file(&self, _tile: &TileAddress) -> Option<TileFile> {
        todo!()
    }
    /// The tile from the store, or made. `coord` in the grid's own counting.
    /// A tile outside coverage or resolution range comes back as an empty
    /// picture, as in MapProxy.
    pub fn tile(&self, _tile: &TileAddress, _turn: &Turn) -> Result<Tile, PlanError> {
        todo!()
    }
    /// Several tiles of one level; same order.
    pub fn tiles(
        &self,
        _tiles: &[TileCoord],
        _dimensions: Option<&Arc<str>>,
        _turn: &Turn,
    ) -> Result<Vec<Option<Tile>>, PlanError> {
        todo!()
    }
}
