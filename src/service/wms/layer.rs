//! The tree of WMS layers: what each draws, where it lies, at which scales.

use std::collections::HashMap;
use std::sync::Arc;

use crate::geo::{Extent, Srs, WholeEdges};
use crate::plan::{InfoLayer, Legend, MapLayer, MapQuery, ResRange};
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
    /// Sources of feature info, in the order in which they are asked.
    pub infos: Vec<Arc<dyn InfoLayer>>,
    /// Legends of its sources, the uppermost last.
    pub legends: Vec<Arc<Legend>>,
}

/// Where a layer lies; without a better one it is the whole world, which
/// gives way when extents are merged.
#[derive(Clone, Debug)]
pub struct LayerExtent {
    pub extent: Extent,
    pub srs: Srs,
    pub whole_edges: WholeEdges,
    pub is_default: bool,
}

pub const WORLD: Extent = Extent::new(-180.0, -90.0, 180.0, 90.0);

impl LayerExtent {
    /// The whole world; `geographic` is EPSG:4326.
    pub fn world(geographic: &Srs) -> LayerExtent {
        LayerExtent { extent: WORLD, srs: geographic.clone(), whole_edges: [true; 4], is_default: true }
    }

    /// The envelope in another system; as it is where there is none.
    pub fn in_srs(&self, srs: &Srs) -> Extent {
        if *srs == self.srs {
            return self.extent;
        }
        self.srs.transform_extent(srs, &self.extent).unwrap_or(self.extent)
    }

    /// As [`LayerExtent::in_srs`], with the edges that are whole numbers there.
    pub fn edges_in(&self, srs: &Srs) -> (Extent, WholeEdges) {
        (self.in_srs(srs), if *srs == self.srs { self.whole_edges } else { [false; 4] })
    }

    fn merge(self, other: LayerExtent, geographic: &Srs) -> LayerExtent {
        if other.is_default {
            return self;
        }
        if self.is_default {
            return other;
        }
        let parts = [self.edges_in(geographic), other.edges_in(geographic)];
        let extent = parts[0].0.union(&parts[1].0);
        let whole_edges = extent.whole_edges_of(&parts);
        LayerExtent { extent, srs: geographic.clone(), whole_edges, is_default: false }
    }

    /// The area of several together.
    pub fn merge_all(extents: Vec<LayerExtent>, geographic: &Srs) -> LayerExtent {
        let mut extents = extents;
        let Some(last) = extents.pop() else { return LayerExtent::world(geographic) };
        extents.into_iter().fold(last, |merged, extent| merged.merge(extent, geographic))
    }
}

/// A layer or group with what follows from its sources and children.
pub struct LayerNode {
    pub name: Option<String>,
    pub title: String,
    pub metadata: LayerMetadata,
    pub maps: Option<Vec<Arc<dyn MapLayer>>>,
    pub children: Vec<usize>,
    pub extent: LayerExtent,
    pub res_range: Option<ResRange>,
    pub dimensions: Vec<Dimension>,
    /// Of the layer itself, not of its children.
    pub infos: Vec<Arc<dyn InfoLayer>>,
    /// Of the layer itself, not of its children.
    pub legends: Vec<Arc<Legend>>,
    /// Whether the layer or one of its children can be asked about a point.
    pub queryable: bool,
}

/// All layers; the root stands last.
pub struct LayerTree {
    nodes: Vec<LayerNode>,
    by_name: HashMap<String, usize>,
    has_legend: bool,
}

impl LayerTree {
    /// `geographic` is EPSG:4326.
    pub fn new(root: WmsLayer, geographic: &Srs) -> LayerTree {
        let mut tree = LayerTree { nodes: Vec::new(), by_name: HashMap::new(), has_legend: false };
        let root = tree.add(root, geographic);
        tree.name(root);
        tree
    }

    fn add(&mut self, layer: WmsLayer, geographic: &Srs) -> usize {
        let children: Vec<usize> =
            layer.children.into_iter().map(|child| self.add(child, geographic)).collect();
        let own = layer.maps.as_ref().map(|maps| {
            let extents = maps.iter().map(|map| extent_of(&**map, geographic)).collect();
            let range = layer.res_range.or_else(|| merge_ranges(maps.iter().map(|map| map.res_range())));
            (LayerExtent::merge_all(extents, geographic), range)
        });
        let mut extents: Vec<LayerExtent> =
            children.iter().map(|&at| self.nodes[at].extent.clone()).collect();
        let mut ranges: Vec<Option<ResRange>> = children.iter().map(|&at| self.nodes[at].res_range).collect();
        if let Some((extent, range)) = own {
            extents.push(extent);
            ranges.push(range);
        }
        let queryable = !layer.infos.is_empty() || children.iter().any(|&at| self.nodes[at].queryable);
        self.has_legend |= !layer.legends.is_empty();
        self.nodes.push(LayerNode {
            name: layer.name.filter(|name| !name.is_empty()),
            title: layer.title,
            metadata: layer.metadata,
            maps: layer.maps,
            children,
            extent: LayerExtent::merge_all(extents, geographic),
            res_range: merge_ranges(ranges.into_iter()),
            dimensions: layer.dimensions,
            infos: layer.infos,
            legends: layer.legends,
            queryable,
        });
        self.nodes.len() - 1
    }

    /// Enters names, so that of two equal ones the later wins, and a child
    /// over its group.
    fn name(&mut self, at: usize) {
        if let Some(name) = self.nodes[at].name.clone() {
            self.by_name.insert(name, at);
        }
        for child in self.nodes[at].children.clone() {
            self.name(child);
        }
    }

    pub fn root(&self) -> &LayerNode {
        // `new` always adds one.
        &self.nodes[self.nodes.len() - 1]
    }

    /// The root's place.
    pub fn root_at(&self) -> usize {
        self.nodes.len() - 1
    }

    pub fn node(&self, at: usize) -> &LayerNode {
        &self.nodes[at]
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Names of all layers, in no order that matters.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.by_name.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Names of the layers at these places; those without one are left out.
    pub fn names_of(&self, places: &[usize]) -> Vec<String> {
        places.iter().filter_map(|&at| self.nodes[at].name.clone()).collect()
    }

    /// Whether any layer has a legend.
    pub fn has_legend(&self) -> bool {
        self.has_legend
    }

    /// The layers that draw for the one at `at`, bottom to top: itself, or for
    /// a plain group its children.
    pub fn drawing(&self, at: usize, drawing: &mut Vec<usize>) {
        let node = &self.nodes[at];
        if node.maps.is_some() {
            // A layer asked for twice is drawn once, at its first place.
            if !drawing.contains(&at) {
                drawing.push(at);
            }
            return;
        }
        for &child in &node.children {
            self.drawing(child, drawing);
        }
    }
}

impl LayerTree {
    /// The legends below the layer at `at`, as it is drawn: its own, or for a
    /// plain group those of its children.
    pub fn legends(&self, at: usize) -> Vec<Arc<Legend>> {
        let mut drawing = Vec::new();
        self.drawing(at, &mut drawing);
        drawing.iter().flat_map(|&at| &self.nodes[at].legends).cloned().collect()
    }

    /// Every legend there is.
    pub fn all_legends(&self) -> impl Iterator<Item = &Arc<Legend>> {
        self.nodes.iter().flat_map(|node| &node.legends)
    }
}

impl LayerNode {
    /// Width and height of the layer's own legend as far as it was asked for;
    /// `None` without one.
    pub fn legend_size(&self) -> Option<(u32, u32)> {
        let sizes = self.legends.iter().map(|legend| legend.known_size().unwrap_or((1, 1)));
        sizes.reduce(|(width, height), (w, h)| (width.max(w), height.saturating_add(h)))
    }

    /// Whether the layer shows anything at the query's scale.
    pub fn renders(&self, query: &MapQuery) -> bool {
        self.res_range.is_none_or(|range| range.contains(&query.extent, query.size, &query.srs))
    }
}

fn extent_of(map: &dyn MapLayer, geographic: &Srs) -> LayerExtent {
    match map.extent() {
        Some((extent, srs)) => LayerExtent { extent, srs, whole_edges: map.whole_edges(), is_default: false },
        None => LayerExtent::world(geographic),
    }
}

/// The range in which any of several is shown; none where one has no range.
fn merge_ranges(mut ranges: impl Iterator<Item = Option<ResRange>>) -> Option<ResRange> {
    let first = ranges.next()?;
    let merged = ranges.fold(first, ResRange::union)?;
    (merged.coarsest.is_some() || merged.finest.is_some()).then_some(merged)
}
