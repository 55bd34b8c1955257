//! Tile Map Service 1.0.0 and its plain sister `/tiles`.

use super::metadata::ServiceMetadata;
use super::tile::TileLayer;
use crate::geo::Origin;

/// `services.tms` (mapproxy-features.md §7.3).
#[derive(Clone)]
pub struct TmsParts {
    pub metadata: ServiceMetadata,
    pub layers: Vec<TileLayer>,
    pub use_grid_names: bool,
    /// `origin`: where `/tiles` counts rows from unless the request says so.
    pub origin: Option<Origin>,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}
