//! What else there is of a layer on show: the same layer in the other
//! services, its legend, whom to thank, overlays for virtual globes.

use serde::Serialize;

use super::Visit;
use super::viewer::encode;
use super::wms::best_srs;
use crate::service::tile::ServedLayer;
use crate::service::wms::WmsVersion;
use crate::service::wms::layer::LayerNode;

/// A service that has the layer too.
#[derive(Serialize)]
pub struct OtherService {
    pub label: &'static str,
    /// The viewer's page.
    pub page: String,
    /// It is the one on show.
    pub chosen: bool,
}

/// Whom to thank for the data.
#[derive(Serialize)]
pub struct Credit {
    pub title: String,
    /// Of http or https.
    pub url: Option<String>,
}

/// A picture that explains the signs of a map.
#[derive(Serialize)]
pub struct Legend {
    pub address: String,
    /// It comes from here, so that the page may show it.
    pub is_own: bool,
}

/// A document for another program.
#[derive(Serialize)]
pub struct Download {
    pub label: String,
    /// Relative to the page.
    pub address: String,
    pub file: String,
}

/// The viewers, in the order in which they are offered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    Wms,
    Wmts,
    Tms,
    Maps,
    Tiles,
}

impl Viewer {
    const ALL: [Viewer; 5] = [Viewer::Wms, Viewer::Wmts, Viewer::Tms, Viewer::Maps, Viewer::Tiles];

    pub fn label(self) -> &'static str {
        match self {
            Viewer::Wms => "WMS",
            Viewer::Wmts => "WMTS",
            Viewer::Tms => "TMS",
            Viewer::Maps => "OGC API Maps",
            Viewer::Tiles => "OGC API Tiles",
        }
    }

    /// The parameter that names the layer and so asks for the page.
    pub fn parameter(self) -> &'static str {
        match self {
            Viewer::Wms => "wms_layer",
            Viewer::Wmts => "wmts_layer",
            Viewer::Tms => "tms_layer",
            Viewer::Maps => "ogcapi_map",
            Viewer::Tiles => "ogcapi_tiles",
        }
    }
}

impl Visit<'_> {
    /// The services that have a layer, in the given system where they can.
    pub fn services_of(&self, name: &str, code: &str, current: Viewer) -> Vec<OtherService> {
        let page = |viewer: Viewer| Some((viewer, self.page_of(viewer, name, code)?));
        let found = Viewer::ALL.into_iter().filter_map(page);
        found
            .map(|(viewer, page)| OtherService { label: viewer.label(), page, chosen: viewer == current })
            .collect()
    }

    /// The viewer's page for a layer; `None` where the service does not have it.
    pub fn page_of(&self, viewer: Viewer, name: &str, code: &str) -> Option<String> {
        let services = self.services;
        let grid = |layers: Vec<&ServedLayer>| {
            let fits = |layer: &&&ServedLayer| layer.grid().srs.code() == code;
            layers.iter().find(fits).or_else(|| layers.first()).map(|layer| layer.grid().name.clone())
        };
        let (key, value) = match viewer {
            Viewer::Wms => {
                let wms = services.wms.as_ref()?;
                wms.layers().find(name)?;
                let known = wms.srs_of(code).is_some();
                ("srs", if known { code.to_owned() } else { best_srs(wms) })
            }
            Viewer::Wmts => {
                let layers = services.wmts.as_ref()?.layers().filter(|layer| layer.layer.name == name);
                ("grid", grid(layers.collect())?)
            }
            Viewer::Tms => {
                let layers = services.tms.as_ref()?.layers().filter(|layer| layer.layer.name == name);
                ("grid", grid(layers.collect())?)
            }
            Viewer::Maps => {
                let api = services.ogcapi.as_ref()?;
                api.collection_node(name).filter(|_| api.has_maps())?;
                ("srs", api.map_system(code)?.code().to_owned())
            }
            Viewer::Tiles => {
                let api = services.ogcapi.as_ref()?;
                let node = api.collection_node(name).filter(|_| api.has_tiles())?;
                ("grid", api.best_tile_set(node, code)?.to_owned())
            }
        };
        Some(format!("?{}={}&{key}={}", viewer.parameter(), encode(name), encode(&value)))
    }

    /// What the WMS says of a layer of any service.
    pub fn wms_node(&self, name: &str) -> Option<&LayerNode> {
        let layers = self.services.wms.as_ref()?.layers();
        Some(layers.node(layers.find(name)?))
    }

    /// The layer's legend: that of the WMS, or what the WMTS refers to.
    pub fn legend_of(&self, name: &str) -> Option<Legend> {
        if let Some(wms) = &self.services.wms
            && let Some(at) = wms.layers().find(name)
            && !wms.layers().legends(at).is_empty()
            && wms.highest_version() >= WmsVersion::V111
        {
            let mime = super::wms::viewable_formats(wms).into_iter().next().map(|(mime, _)| mime)?;
            let address = format!(
                "service?SERVICE=WMS&VERSION={}&REQUEST=GetLegendGraphic&SLD_VERSION=1.1.0&LAYER={}&FORMAT={}",
                wms.highest_version().text(),
                encode(name),
                encode(&mime)
            );
            return Some(Legend { address: format!("../{address}"), is_own: true });
        }
        let base = self.url.script_url();
        let layer = self.services.wmts.as_ref()?.layers().find(|layer| layer.layer.name == name)?;
        let layer = &layer.layer;
        let template = layer.wmts_rest_legend_url.as_ref().or(layer.wmts_kvp_legend_url.as_ref())?;
        let address = template.replace("{base_url}", &base).replace("{layer_name}", name);
        if let Some(below) = address.strip_prefix(&base).and_then(|rest| rest.strip_prefix('/')) {
            return Some(Legend { address: format!("../{below}"), is_own: true });
        }
        let is_web = web_address(&address).is_some();
        is_web.then_some(Legend { address, is_own: false })
    }

    /// Super-overlays of a layer, one for each of its grids.
    pub fn overlays_of(&self, name: &str) -> Vec<Download> {
        let layers = self.services.kml.iter().flat_map(|kml| kml.layers());
        layers
            .filter(|layer| layer.layer.name == name)
            .map(|layer| Download {
                label: format!("KML on {}", layer.grid().name),
                address: overlay_address(layer),
                file: format!("{name}-{}.kml", layer.spec),
            })
            .collect()
    }
}

/// The address of a super-overlay, relative to the page.
pub fn overlay_address(layer: &ServedLayer) -> String {
    format!("../kml/{}/{}", encode(&layer.layer.name), encode(&layer.spec))
}

/// Whom to thank for a layer.
pub fn credit_of(node: &LayerNode) -> Option<Credit> {
    let attribution = node.metadata.attribution.as_ref()?;
    let title = attribution.title.clone().filter(|title| !title.is_empty())?;
    Some(Credit { title, url: attribution.url.as_deref().and_then(web_address).map(str::to_owned) })
}

/// An address that a page may link to: of http or https, so never a script.
pub fn web_address(address: &str) -> Option<&str> {
    let scheme = address.split_once("://")?.0;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web.then_some(address)
}
