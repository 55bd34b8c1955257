//! The viewers of a collection of the OGC API: as maps, and as tiles on any of
//! the grids.

use super::Visit;
use super::elsewhere::{Viewer, credit_of};
use super::page::missing;
use super::viewer::{
    Choice, CollectionRequests, Controls, LAYERS_MAX, Manner, Requests, Shown, TileRequests, code_of,
    levels_of,
};
use crate::geo::Origin;
use crate::service::Answer;
use crate::service::ogcapi::OgcApi;
use crate::service::wms::layer::LayerNode;

/// Extensions of pictures, the first of which is taken unless another is wanted.
const FORMATS: [&str; 2] = ["png", "jpg"];

/// `ogcapi_map`
pub fn maps(visit: &Visit<'_>) -> Answer {
    let Some(api) = visit.services.ogcapi.as_ref().filter(|api| api.has_maps()) else {
        return visit.no_such_service("OGC API Maps");
    };
    let name = visit.parameters.first("ogcapi_map").unwrap_or_default();
    let Some(node) = api.collection_node(name) else { return visit.no_such_layer("the OGC API", name) };
    let code = visit.parameters.first("srs").map(code_of).unwrap_or_default();
    let Some(srs) = api.map_system(&code).filter(|srs| code.is_empty() || srs.code() == code) else {
        return missing(400, &format!("Maps are not drawn in the coordinate system “{code}”."));
    };
    let (code, format) = (srs.code().to_owned(), visit.format());
    let systems = api.map_systems().map(|known| Choice::new(known.code(), known.code(), &code));
    let controls =
        Controls { systems: systems.collect(), ..visit.collection_controls(Viewer::Maps, api, node, &code) };
    let shown = Shown {
        srs: srs.clone(),
        extent: (node.extent.extent, node.extent.srs.clone()),
        requests: Requests::Map(CollectionRequests {
            path: format!("{}/map.{{format}}", api.collection_path(name)),
            crs: api.system_url(srs),
            format,
        }),
        info: Vec::new(),
        code,
    };
    visit.place(controls, shown)
}

/// `ogcapi_tiles`
pub fn tiles(visit: &Visit<'_>) -> Answer {
    let Some(api) = visit.services.ogcapi.as_ref().filter(|api| api.has_tiles()) else {
        return visit.no_such_service("OGC API Tiles");
    };
    let name = visit.parameters.first("ogcapi_tiles").unwrap_or_default();
    let Some(node) = api.collection_node(name) else { return visit.no_such_layer("the OGC API", name) };
    let code = visit.parameters.first("srs").map(code_of).unwrap_or_default();
    let wanted = visit.parameters.first("grid").filter(|grid| !grid.is_empty());
    let wanted = wanted.or_else(|| api.best_tile_set(node, &code)).unwrap_or_default();
    let found = api.tile_sets(node).find(|(id, _)| *id == wanted);
    let Some((id, grid)) = found else {
        return missing(404, &format!("There is no grid “{wanted}” for tiles of “{name}”."));
    };
    let code = grid.srs.code().to_owned();
    let grids = api.tile_sets(node).map(|(known, grid)| {
        let stored = if api.is_stored(name, known) { ", stored" } else { "" };
        Choice::new(known, &format!("{known} ({}{stored})", grid.srs.code()), id)
    });
    let grids = grids.collect();
    let controls = Controls { grids, ..visit.collection_controls(Viewer::Tiles, api, node, &code) };
    let manner = Manner {
        name: "ogcapi",
        label: "OGC API",
        path: api.tile_path(name, id),
        info: None,
        by_suffix: false,
    };
    let requests = TileRequests {
        manners: vec![manner],
        format: visit.format(),
        from_south: grid.origin == Origin::SouthWest,
        tile_size: grid.tile_size,
        levels: levels_of(grid, (0..grid.levels()).map(|level| (level.to_string(), level))),
    };
    let shown = Shown {
        srs: grid.srs.clone(),
        code,
        extent: (node.extent.extent, node.extent.srs.clone()),
        requests: Requests::Tiles(requests),
        info: Vec::new(),
    };
    visit.place(controls, shown)
}

impl Visit<'_> {
    fn format(&self) -> &'static str {
        let wanted = self.parameters.first("format").unwrap_or_default();
        let is_jpeg = matches!(wanted, "jpg" | "jpeg" | "image/jpeg");
        FORMATS[usize::from(is_jpeg)]
    }

    fn collection_controls(&self, viewer: Viewer, api: &OgcApi, node: &LayerNode, code: &str) -> Controls {
        let name = node.name.clone().unwrap_or_default();
        let layers = api.collection_nodes().map(|other| {
            let id = other.name.as_deref().unwrap_or_default();
            Choice::new(id, if other.title.is_empty() { id } else { &other.title }, &name)
        });
        let format = self.format();
        let page = format!("{}?f=html", api.collection_path(&name));
        Controls {
            service: viewer.label(),
            parameter: viewer.parameter(),
            site: self.site_title().to_owned(),
            title: if node.title.is_empty() { name.clone() } else { node.title.clone() },
            about: node.metadata.abstract_text.clone(),
            credit: credit_of(node),
            srs: code.to_owned(),
            layers: layers.take(LAYERS_MAX).collect(),
            formats: FORMATS.iter().map(|known| Choice::new(known, known, format)).collect(),
            legend: self.legend_of(&name),
            services: self.services_of(&name, code, viewer),
            downloads: self.overlays_of(&name),
            documents: vec![("Collection", page), ("Landing page", "ogcapi?f=html".to_owned())],
            name,
            ..Controls::default()
        }
    }
}
