//! Messages → queries, results → responses. Knows OGC; knows no disk and no pixels.

pub mod base_url;
pub mod callback;
pub mod caption;
pub mod decorations;
pub mod demo;
pub mod exception;
pub mod guard;
pub mod kml;
pub mod metadata;
pub mod ogcapi;
pub mod parameters;
pub mod pattern;
pub mod permit;
pub mod question;
pub mod restrict;
pub mod site;
pub mod tile;
pub mod tms;
pub mod wms;
pub mod wmts;
pub mod xml;

pub use site::{FIRST_SEGMENTS, Site, SiteParts};

use std::sync::Arc;

use crate::plan::{TileFile, Turn};
use crate::wire::Response;

/// Work that must leave the event loop: it computes or waits.
pub type Work = Box<dyn FnOnce(&Turn) -> Response + Send>;

/// A stored tile's bytes as the loop found them.
pub struct FoundTile {
    pub bytes: Arc<[u8]>,
    /// Told by the bytes.
    pub format: crate::render::Format,
    pub modified: std::time::SystemTime,
}

/// The loop opens `file`, checks that it is whole and fresh, and lets
/// `respond` make the response; otherwise `otherwise` goes to a thread.
pub struct StoredTileAnswer {
    pub file: TileFile,
    pub respond: Box<dyn FnOnce(FoundTile) -> Response + Send>,
    pub otherwise: Work,
}

/// How a request is answered.
pub enum Answer {
    /// At once.
    Ready(Response),
    /// From a file, on the loop itself.
    StoredTile(Box<StoredTileAnswer>),
    /// On a thread.
    Work(Work),
}

#[cfg(test)]
mod tests;
