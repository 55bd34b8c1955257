//! The Web Map Tile Service, key-value and RESTful.

use super::metadata::ServiceMetadata;
use super::tile::TileLayer;

/// `services.wmts` (mapproxy-features.md §7.5).
#[derive(Clone)]
pub struct WmtsParts {
    pub metadata: ServiceMetadata,
    pub layers: Vec<TileLayer>,
    pub kvp: bool,
    pub restful: bool,
    /// `restful_template` as written; the default where absent.
    pub restful_template: Option<String>,
    pub restful_featureinfo_template: Option<String>,
    /// `featureinfo_formats`: suffix, MIME type.
    pub info_formats: Vec<(String, String)>,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}
