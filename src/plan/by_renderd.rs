//! Missing tiles made by an outside daemon: it is told which, and when it is
//! done they are in the store.

use std::path::PathBuf;
use std::time::Instant;

use super::create::Made;
use super::tile_cache::{address, cache_error};
use super::{PlanError, TileCache, Turn};
use crate::cache::CacheError;
use crate::cache::lock::{Locked, TileLock, lock_tile};
use crate::geo::TileCoord;
use crate::source::renderd::Renderd;
use crate::story;

/// The daemon, and where we queue up before it.
pub struct RenderdOptions {
    pub source: Renderd,
    pub lock_dir: PathBuf,
}

impl TileCache {
    /// The daemon that makes a tile; none where it would have to know dimensions.
    pub(super) fn renderd_for(&self, has_dimensions: bool) -> Option<&RenderdOptions> {
        self.options.renderd.as_ref().filter(|_| !has_dimensions)
    }

    /// Has a meta tile made, whose tiles are `coords`; the first of them, in the
    /// north-west, stands for it as in MapProxy. The daemon itself takes the
    /// lock of the meta tile; ours keeps us from asking twice.
    pub(super) fn have_made(
        &self,
        renderd: &RenderdOptions,
        coords: &[TileCoord],
        turn: &Turn,
    ) -> Result<Made, PlanError> {
        let Some(&main) = coords.first() else { return Ok(Made::default()) };
        let lock = self.queue_for_renderd(renderd, main, turn)?;
        let mut is_there = true;
        for &coord in coords {
            is_there &= self.is_stored_fresh(&address(coord, None), turn)?;
        }
        let failure = if is_there {
            None
        } else {
            turn.wait(|| renderd.source.make(main)).map_err(PlanError::Source).err()
        };
        drop(lock);
        let mut made = Made::default();
        let mut without = Vec::new();
        for &coord in coords {
            if let Some(path) = self.options.store.path_of(&address(coord, None)) {
                self.options.memory.forget(&path);
            }
            match self.held(coord, None, turn)? {
                Some(tile) => made.tiles.push((coord, tile)),
                None => without.push(coord),
            }
        }
        let Some(error) = failure else { return Ok(made) };
        // A failure does not take away the tiles that were there.
        if made.tiles.is_empty() {
            return Err(error);
        }
        self.tell_stale(main, &error);
        made.failed = (!without.is_empty()).then_some((error, without));
        Ok(made)
    }

    /// `None` where no lock can be made: locks save work, no more.
    fn queue_for_renderd(
        &self,
        renderd: &RenderdOptions,
        main: TileCoord,
        turn: &Turn,
    ) -> Result<Option<TileLock>, PlanError> {
        let id = format!("{}_renderd", renderd.source.identifier.replace('/', "_"));
        let asked = Instant::now();
        let timeout = self.options.lock_timeout;
        match turn.wait(|| lock_tile(&renderd.lock_dir, &id, main, timeout)) {
            Ok(Locked::AtOnce(lock)) => Ok(Some(lock)),
            Ok(Locked::AfterWait(lock)) => {
                story::note_lock_wait(asked.elapsed());
                Ok(Some(lock))
            }
            Err(error @ CacheError::Io { .. }) => {
                if let Some(more) = self.complaints.lockless.due(Instant::now()) {
                    crate::log::error!("{}: made without a lock: {error}{more}", self.name());
                }
                Ok(None)
            }
            Err(error) => Err(cache_error(error)),
        }
    }
}
