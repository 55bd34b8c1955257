//! The viewers of a tile layer on one of its grids: WMTS and TMS.

use super::Visit;
use super::elsewhere::{Viewer, credit_of};
use super::viewer::{
    Choice, Controls, InfoFormat, LAYERS_MAX, Manner, Requests, Shown, TileRequests, encode, levels_of,
};
use crate::service::Answer;
use crate::service::tile::ServedLayer;
use crate::service::wmts::Wmts;

/// `tms_layer`
pub fn tms(visit: &Visit<'_>) -> Answer {
    let Some(tms) = &visit.services.tms else { return visit.no_such_service("TMS") };
    let name = visit.parameters.first("tms_layer").unwrap_or_default();
    let Some(layer) = visit.on_grid(tms.layers(), name) else { return visit.no_such_layer("TMS", name) };
    let below = format!("tms/1.0.0/{}/{}", encode(name), encode(&layer.spec));
    let manner = Manner {
        name: "tms",
        label: "TMS",
        path: format!("{below}/{{z}}/{{x}}/{{y}}.{}", layer.format),
        info: None,
        by_suffix: false,
    };
    let controls = Controls {
        documents: vec![("Tile map", below), ("Capabilities", "tms/1.0.0/".to_owned())],
        capabilities_query: Some(format!(
            "tms_capabilities&layer={}&grid={}",
            encode(name),
            encode(&layer.grid().name)
        )),
        ..visit.tile_controls(Viewer::Tms, layer, tms.layers())
    };
    visit.place_tiles(controls, layer, vec![manner], Vec::new())
}

/// `wmts_layer`
pub fn wmts(visit: &Visit<'_>) -> Answer {
    let Some(wmts) = &visit.services.wmts else { return visit.no_such_service("WMTS") };
    let name = visit.parameters.first("wmts_layer").unwrap_or_default();
    let Some(layer) = visit.on_grid(wmts.layers(), name) else { return visit.no_such_layer("WMTS", name) };
    let is_queryable = !layer.layer.infos.is_empty() && !wmts.info_formats().is_empty();
    let mut manners = Vec::new();
    if wmts.restful {
        manners.push(Manner {
            name: "rest",
            label: "paths",
            path: format!("wmts{}", wmts.rest_path(|variable| rest_value(wmts, layer, variable))),
            info: is_queryable
                .then(|| format!("wmts{}", wmts.info_path(|variable| rest_value(wmts, layer, variable)))),
            by_suffix: true,
        });
    }
    if wmts.kvp {
        manners.push(kvp_manner(layer, is_queryable));
    }
    let chosen = visit.parameters.first("manner").filter(|name| manners.iter().any(|m| m.name == *name));
    let chosen = chosen.or(manners.first().map(|manner| manner.name)).unwrap_or_default();
    let documents = [
        (wmts.restful, "Capabilities", "wmts/1.0.0/WMTSCapabilities.xml"),
        (wmts.kvp, "Capabilities (KVP)", "service?SERVICE=WMTS&REQUEST=GetCapabilities"),
    ];
    let documents = documents.into_iter().filter(|(is_there, ..)| *is_there);
    let controls = Controls {
        manners: manners.iter().map(|manner| Choice::new(manner.name, manner.label, chosen)).collect(),
        dimensions: layer.layer.dimensions.iter().map(|dimension| visit.values_of(dimension)).collect(),
        is_queryable,
        documents: documents.map(|(_, label, address)| (label, address.to_owned())).collect(),
        capabilities_query: Some(
            if wmts.restful { "wmts_capabilities" } else { "wmts_capabilities_kvp" }.to_owned(),
        ),
        ..visit.tile_controls(Viewer::Wmts, layer, wmts.layers())
    };
    let formats = wmts.info_formats().iter().filter(|_| is_queryable);
    let info = formats.map(|(suffix, mime)| InfoFormat::new(mime, suffix)).collect();
    visit.place_tiles(controls, layer, manners, info)
}

/// What stands for a variable of a RESTful template.
fn rest_value(wmts: &Wmts, layer: &ServedLayer, variable: &str) -> String {
    let has_dimension = |name: &str| layer.layer.dimensions.iter().any(|dimension| dimension.key() == name);
    match variable {
        "Layer" => encode(&layer.layer.name),
        "TileMatrixSet" => encode(&layer.grid().name),
        "TileMatrix" => "{z}".to_owned(),
        "TileCol" => "{x}".to_owned(),
        "TileRow" => "{y}".to_owned(),
        "I" => "{i}".to_owned(),
        "J" => "{j}".to_owned(),
        "InfoFormat" => "{info}".to_owned(),
        "Format" => layer.format.to_owned(),
        name if has_dimension(name) && wmts.restful => format!("{{dim:{name}}}"),
        _ => "default".to_owned(),
    }
}

fn kvp_manner(layer: &ServedLayer, is_queryable: bool) -> Manner {
    let tile = format!(
        "VERSION=1.0.0&LAYER={}&STYLE=&TILEMATRIXSET={}&TILEMATRIX={{z}}&TILEROW={{y}}&TILECOL={{x}}&FORMAT=image/{}",
        encode(&layer.layer.name),
        encode(&layer.grid().name),
        layer.format
    );
    let dimensions = layer.layer.dimensions.iter().map(|dimension| {
        let name = dimension.key();
        format!("&{}={{dim:{name}}}", encode(&name))
    });
    let dimensions: String = dimensions.collect();
    let info = format!(
        "service?SERVICE=WMTS&REQUEST=GetFeatureInfo&{tile}{dimensions}&INFOFORMAT={{info}}&I={{i}}&J={{j}}"
    );
    Manner {
        name: "kvp",
        label: "parameters",
        path: format!("service?SERVICE=WMTS&REQUEST=GetTile&{tile}{dimensions}"),
        info: is_queryable.then_some(info),
        by_suffix: false,
    }
}

impl Visit<'_> {
    /// The layer on the grid that is asked for: by `grid`, else by `srs`, else
    /// the first.
    fn on_grid<'l>(
        &self,
        layers: impl Iterator<Item = &'l ServedLayer>,
        name: &str,
    ) -> Option<&'l ServedLayer> {
        let candidates: Vec<&ServedLayer> = layers.filter(|layer| layer.layer.name == name).collect();
        let by_grid = self
            .parameters
            .first("grid")
            .and_then(|grid| candidates.iter().find(|layer| layer.grid().name == grid || layer.spec == grid));
        let by_srs = || {
            let code = self.parameters.first("srs")?;
            candidates.iter().find(|layer| layer.grid().srs.code().eq_ignore_ascii_case(code))
        };
        by_grid.or_else(by_srs).or(candidates.first()).copied()
    }

    fn tile_controls<'l>(
        &self,
        viewer: Viewer,
        layer: &ServedLayer,
        all: impl Iterator<Item = &'l ServedLayer>,
    ) -> Controls {
        let name = layer.layer.name.as_str();
        let grid = layer.grid();
        let mut layers: Vec<Choice> = Vec::new();
        let mut grids = Vec::new();
        for other in all {
            if other.layer.name == name {
                let (other_grid, code) = (&other.grid().name, other.grid().srs.code());
                grids.push(Choice::new(other_grid, &format!("{other_grid} ({code})"), &grid.name));
            }
            let is_new = layers.last().is_none_or(|last| last.value != other.layer.name);
            if is_new && layers.len() < LAYERS_MAX {
                layers.push(Choice::new(&other.layer.name, title_of(other), name));
            }
        }
        let node = self.wms_node(name);
        let code = grid.srs.code().to_owned();
        Controls {
            service: viewer.label(),
            parameter: viewer.parameter(),
            site: self.site_title().to_owned(),
            title: title_of(layer).to_owned(),
            name: name.to_owned(),
            about: node.and_then(|node| node.metadata.abstract_text.clone()),
            credit: node.and_then(credit_of),
            legend: self.legend_of(name),
            services: self.services_of(name, &code, viewer),
            downloads: self.overlays_of(name),
            srs: code,
            layers,
            grids,
            formats: vec![Choice::new(layer.format, layer.format, layer.format)],
            ..Controls::default()
        }
    }

    fn place_tiles(
        &self,
        controls: Controls,
        layer: &ServedLayer,
        manners: Vec<Manner>,
        info: Vec<InfoFormat>,
    ) -> Answer {
        let (grid, is_tms) = (layer.grid(), controls.parameter == Viewer::Tms.parameter());
        let ids = layer.public_levels(is_tms).map(|(public, level)| {
            let id = if is_tms { public.to_string() } else { format!("{public:02}") };
            (id, level)
        });
        let requests = TileRequests {
            manners,
            format: layer.format,
            from_south: is_tms,
            tile_size: grid.tile_size,
            levels: levels_of(grid, ids),
        };
        let shown = Shown {
            srs: grid.srs.clone(),
            code: grid.srs.code().to_owned(),
            extent: layer.layer.extent.clone(),
            requests: Requests::Tiles(requests),
            info,
        };
        self.place(controls, shown)
    }
}

pub fn title_of(layer: &ServedLayer) -> &str {
    if layer.layer.title.is_empty() { &layer.layer.name } else { &layer.layer.title }
}
