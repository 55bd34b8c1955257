//! The tree of WMS layers: what each draws, where it lies, at which scales.

use std::sync::Arc;

use crate::plan::{MapLayer, ResRange};
use crate::service::metadata::{Dimension, LayerMetadata};

/// One layer or group as configured.
#[derive(Clone)]
pub struct WmsLayer {
    /// Absent for groups that cannot be asked for.
    pub name: Option<String>,
    pub title: String,
    pub metadata: LayerMetadata,
    /// Sources and caches bottom to top. `Some` for a leaf and for a group
    /// with `sources` of its own (they are drawn instead of its children's),
    /// `None` for a plain group.
    pub maps: Option<Vec<Arc<dyn MapLayer>>>,
    pub children: Vec<WmsLayer>,
    /// `min_res`/`max_res`/`min_scale`/`max_scale` of the layer itself; where
    /// absent the ranges of its sources are merged here.
    pub res_range: Option<ResRange>,
    pub dimensions: Vec<Dimension>,
    /// The size of the legend in pixels, if the layer has one.
    pub legend_size: Option<(u32, u32)>,
    /// Whether a source answers feature info.
    pub queryable: bool,
}
