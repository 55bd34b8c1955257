//! Layers that stand for several others: the one whose grid suits the query's
//! system, or a cache down to some resolution and its source below it.

use std::any::Any;
use std::sync::Arc;

use super::{Drawn, MapLayer, MapQuery, PlanError, ResRange, SupportedSrs, Turn};
use crate::geo::{Coverage, Extent, Srs, WholeEdges};

/// A cache with several grids: the grid of the query's own system, else of
/// the best one.
pub struct SrsLayer {
    layers: Vec<Arc<dyn MapLayer>>,
    systems: SupportedSrs,
    opacity: Option<f32>,
    res_range: Option<ResRange>,
}

impl SrsLayer {
    /// `layers` and the list of `systems` side by side; at least one. Of two
    /// layers in one system the last is drawn, as in MapProxy.
    pub fn new(layers: Vec<Arc<dyn MapLayer>>, systems: SupportedSrs, opacity: Option<f32>) -> SrsLayer {
        let res_range = union_of(&layers);
        SrsLayer { layers, systems, opacity, res_range }
    }

    fn choose(&self, wanted: &Srs) -> &Arc<dyn MapLayer> {
        let srs = self.systems.same(wanted).or_else(|| self.systems.best(wanted));
        let at = srs.and_then(|srs| self.systems.list.iter().rposition(|s| s == srs)).unwrap_or(0);
        &self.layers[at]
    }
}

/// The range in which any of the layers is shown.
pub fn union_of(layers: &[Arc<dyn MapLayer>]) -> Option<ResRange> {
    let mut ranges = layers.iter().map(|layer| layer.res_range());
    let first = ranges.next()?;
    ranges.fold(first, ResRange::union)
}

impl MapLayer for SrsLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        self.choose(&query.srs).draw(query, turn)
    }

    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        self.layers.iter().any(|layer| layer.is_transparent())
    }

    fn opacity(&self) -> Option<f32> {
        self.opacity
    }

    fn res_range(&self) -> Option<ResRange> {
        self.res_range
    }

    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        self.layers[0].extent()
    }

    fn whole_edges(&self) -> WholeEdges {
        self.layers[0].whole_edges()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `use_direct_from_res`: the cache while the map is coarser, its source
/// from there on.
pub struct ResolutionLayer {
    pub cache: Arc<dyn MapLayer>,
    pub direct: Arc<dyn MapLayer>,
    /// Map units per pixel in `srs`.
    pub resolution: f64,
    pub srs: Srs,
    pub opacity: Option<f32>,
}

impl MapLayer for ResolutionLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        let extent = query.srs.transform_extent(&self.srs, &query.extent);
        let resolution = extent.map_or(query.resolution(), |extent| {
            (extent.width() / f64::from(query.size.0)).min(extent.height() / f64::from(query.size.1))
        });
        if resolution > self.resolution {
            self.cache.draw(query, turn)
        } else {
            self.direct.draw(query, turn)
        }
    }

    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        self.cache.is_transparent() || self.direct.is_transparent()
    }

    fn opacity(&self) -> Option<f32> {
        self.opacity
    }

    fn res_range(&self) -> Option<ResRange> {
        ResRange::union(self.cache.res_range(), self.direct.res_range())
    }

    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        self.cache.extent()
    }

    fn whole_edges(&self) -> WholeEdges {
        self.cache.whole_edges()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
