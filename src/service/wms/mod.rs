//! The Web Map Service: GetCapabilities and GetMap of 1.1.1 and 1.3.0.

pub mod layer;

pub use layer::WmsLayer;

use super::metadata::{Inspire, ServiceMetadata};
use super::tile::TileLayer;
use crate::geo::Extent;
use crate::plan::compose::OnSourceErrors;
use crate::render::ImageOptions;

/// A version of the WMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WmsVersion {
    V100,
    V110,
    V111,
    V130,
}

/// `services.wms`, all defaults filled in (mapproxy-features.md §7.2).
#[derive(Clone)]
pub struct WmsParts {
    /// The root; without a title it takes that of the service.
    pub root: WmsLayer,
    pub metadata: ServiceMetadata,
    pub inspire: Option<Inspire>,
    /// Codes as written, upper case, in the order of the configuration.
    pub srs: Vec<String>,
    /// `bbox_srs`: code and, where given, the limiting extent in that system.
    pub srs_extents: Vec<(String, Option<Extent>)>,
    /// MIME type as written and how it is encoded, in order, without duplicates.
    pub image_formats: Vec<(String, ImageOptions)>,
    /// The versions served; empty means all.
    pub versions: Vec<WmsVersion>,
    /// `attribution.text`
    pub attribution: Option<String>,
    /// `featureinfo_types` (`text`, `html`, `xml`, `json`); empty: the default.
    pub info_types: Vec<String>,
    pub on_source_errors: OnSourceErrors,
    /// Pixels of a map; 0 means no limit of the operator's.
    pub max_output_pixels: u64,
    pub strict: bool,
    pub concurrent_layers: usize,
    /// For `tiled=true` capabilities, keyed as TMS without `use_grid_names`.
    pub tile_layers: Vec<TileLayer>,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}
