//! KML super-overlays.

use super::metadata::ServiceMetadata;
use super::tile::TileLayer;

/// `services.kml` (mapproxy-features.md §7.4).
#[derive(Clone)]
pub struct KmlParts {
    pub metadata: ServiceMetadata,
    pub layers: Vec<TileLayer>,
    pub use_grid_names: bool,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}
