//! Whom we ask: another server's answer, its failure, our patience.
//!
//! Uses `wire` (URLs) and `geo`. Brings bytes; pixels are made elsewhere.

mod address;
mod auth;
mod body;
pub mod client;
mod cookies;
pub mod error;
mod local;
mod pool;
mod semaphore;
pub mod template;
pub mod tile;
#[cfg(test)]
pub(crate) mod upstream;
pub mod wms;

pub use address::redact;
pub use client::{Client, ClientOptions, Method};
pub use error::{OnError, OnErrorRule, SourceError};
pub use tile::TileSource;
pub use wms::{WmsSource, WmsVersion};

use crate::geo::{Extent, Srs};

/// A map that a source is asked for.
#[derive(Clone, Debug)]
pub struct MapRequest {
    pub extent: Extent,
    pub size: (u32, u32),
    pub srs: Srs,
    /// MIME type wanted, as configured.
    pub format: String,
    /// Parameters of the client's request that this source forwards, and
    /// dimension values: name, value.
    pub parameters: Vec<(String, String)>,
}

/// What a source answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// An image as it came, not yet decoded.
    Image { bytes: Vec<u8>, content_type: String },
    /// `on_error` turned the failure into one colour (alpha 0: transparent).
    Color { color: [u8; 4], cacheable: bool, authorize_stale: bool },
}
