//! What the demo pages need to know of the service to show its maps and tiles.

use std::sync::Arc;

use super::subject::Scope;
use super::{OgcApi, WEB_MERCATOR, scope_path, segment};
use crate::geo::{Srs, TileGrid, ogc};
use crate::service::wms::layer::LayerNode;

impl OgcApi {
    pub fn has_maps(&self) -> bool {
        self.enable_maps
    }

    pub fn has_tiles(&self) -> bool {
        self.enable_tiles
    }

    /// All collections, in the order of the configuration.
    pub fn collection_nodes(&self) -> impl Iterator<Item = &LayerNode> {
        self.names.iter().filter_map(|name| self.collection_node(name))
    }

    pub fn collection_node(&self, name: &str) -> Option<&LayerNode> {
        self.layers.find(name).map(|at| self.layers.node(at))
    }

    /// The systems of maps.
    pub fn map_systems(&self) -> impl Iterator<Item = &Srs> {
        self.map_srs.iter()
    }

    /// The system of that code; where maps are not drawn in it, web mercator or
    /// the first.
    pub fn map_system(&self, code: &str) -> Option<&Srs> {
        let of = |code: &str| self.map_srs.iter().find(|srs| srs.code() == code);
        of(code).or_else(|| of("EPSG:3857")).or_else(|| self.map_srs.first())
    }

    /// The URL that stands for a system in requests.
    pub fn system_url(&self, srs: &Srs) -> String {
        ogc::url(srs)
    }

    /// The tile matrix sets of a collection: those on its planet.
    pub fn tile_sets(&self, node: &LayerNode) -> impl Iterator<Item = (&str, &Arc<TileGrid>)> {
        let beyond_earth = node.extent.srs.is_beyond_earth();
        self.grids
            .iter()
            .filter(move |(_, grid)| grid.srs.is_beyond_earth() == beyond_earth)
            .map(|(id, grid)| (id.as_str(), grid))
    }

    /// Whether tiles of a collection lie in a cache on that set.
    pub fn is_stored(&self, name: &str, set: &str) -> bool {
        self.tiles.contains_key(&(name.to_owned(), set.to_owned()))
    }

    /// The set to show a collection on: in the system `code` where there is
    /// one, and rather where its tiles are stored.
    pub fn best_tile_set(&self, node: &LayerNode, code: &str) -> Option<&str> {
        let name = node.name.as_deref().unwrap_or_default();
        let rank = |(id, grid): &(&str, &Arc<TileGrid>)| {
            let in_system = grid.srs.code() == code;
            (!in_system, !self.is_stored(name, id), *id != WEB_MERCATOR)
        };
        self.tile_sets(node).min_by_key(rank).map(|(id, _)| id)
    }

    /// A collection's path below the site's mount point, without a slash before it.
    pub fn collection_path(&self, name: &str) -> String {
        scope_path(Scope::Collection(name)).trim_start_matches('/').to_owned()
    }

    /// Where tiles lie, with `{z}`, `{x}`, `{y}` and `{format}`.
    pub fn tile_path(&self, name: &str, set: &str) -> String {
        format!("{}/map/tiles/{}/{{z}}/{{y}}/{{x}}.{{format}}", self.collection_path(name), segment(set))
    }
}
