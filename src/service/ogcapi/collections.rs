//! The collections: layers as data that maps are made of.

use minijinja::context;
use serde_json::{Value, json};

use super::landing::{HTML, JSON, list_title};
use super::refusal::Refusal;
use super::subject::Scope;
use super::{OgcApi, Visit, request, scope_path};
use crate::geo::{Extent, Srs, ogc};
use crate::service::Answer;
use crate::service::demo::web_address;
use crate::service::metadata::Attribution;
use crate::service::wms::layer::LayerNode;

/// Metres of a pixel by which the OGC computes scales.
const PIXEL_M: f64 = 0.00028;

impl Visit<'_> {
    pub(super) fn collections(&self) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let api = self.api;
        let nodes = api.names.iter().filter_map(|name| Some(api.layers.node(api.layers.find(name)?)));
        let collections: Vec<Value> = nodes.map(|node| self.description(node)).collect();
        let links = self.both([&list_title("JSON"), &list_title("HTML")], "/ogcapi/collections");
        let json = json!({ "collections": collections, "links": links });
        Ok(self.document("collections.html", "Collections", &json, context! {}))
    }

    pub(super) fn collection(&self, name: &str) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let node = self.api.layers.node(self.api.collection(name)?);
        let json = self.description(node);
        let config = (self.frame.html && self.api.enable_maps).then(|| {
            let srs = self.api.shown_srs(node);
            self.frame.map_config(
                &srs,
                node.extent.in_srs(&srs),
                json!({
                    "map": self.href(&format!("{}/map.{}", scope_path(Scope::Collection(name)), self.api.shown_extension())),
                    "crs": ogc::url(&srs),
                }),
            )
        });
        let title = if node.title.is_empty() { name } else { &node.title };
        let attribution = node.metadata.attribution.as_ref();
        let credit = attribution.and_then(|said| said.title.as_deref()).filter(|title| !title.is_empty());
        let credit_url = attribution.and_then(|said| web_address(said.url.as_deref()?));
        Ok(self.document(
            "collection.html",
            title,
            &json,
            context! { config, tiles => self.api.enable_tiles, credit, credit_url },
        ))
    }

    /// What the list and the collection's own document say of it.
    fn description(&self, node: &LayerNode) -> Value {
        let api = self.api;
        let id = node.name.as_deref().unwrap_or_default();
        let mut json = json!({ "dataType": "map", "id": id, "title": node.title });
        if let Some(about) = node.metadata.abstract_text.as_deref().filter(|text| !text.is_empty()) {
            json["description"] = json!(about);
        }
        if let Some((text, is_markdown)) = node.metadata.attribution.as_ref().and_then(attribution) {
            json["attribution"] = json!(text);
            if is_markdown {
                json["attributionMediaType"] = json!("text/markdown");
            }
        }
        let (extent, storage) = (node.extent.extent, &node.extent.srs);
        let is_earth = !storage.is_beyond_earth();
        let geographic = storage.geographic().unwrap_or_else(|_| api.geographic.clone());
        let mut spatial = json!({ "bbox": [numbers(&node.extent.in_srs(&geographic))] });
        if !is_earth {
            spatial["crs"] = json!(ogc::url(&geographic));
        }
        if *storage != geographic {
            spatial["storageCrsBbox"] = json!([numbers(&extent)]);
        }
        json["extent"] = json!({ "spatial": spatial });
        let mut systems = Vec::new();
        if is_earth {
            systems.extend([ogc::CRS84.to_owned(), ogc::url(&api.geographic)]);
        }
        systems.extend(api.map_srs.iter().map(ogc::url));
        let mut seen = Vec::new();
        systems.retain(|url| {
            !seen.contains(url) && {
                seen.push(url.clone());
                true
            }
        });
        json["crs"] = json!(systems);
        json["storageCrs"] =
            json!(if storage.code() == "EPSG:4326" { ogc::CRS84.to_owned() } else { ogc::url(storage) });
        json["links"] = json!(self.collection_links(id));
        if let Some(range) = &node.res_range {
            // The finest resolution is the OGC's smallest cell.
            for (limit, cell, scale) in [
                (range.finest, "minCellSize", "minScaleDenominator"),
                (range.coarsest, "maxCellSize", "maxScaleDenominator"),
            ] {
                if let Some(limit) = limit.filter(|limit| *limit > 0.0) {
                    json[cell] = json!(limit);
                    json[scale] = json!(limit / PIXEL_M);
                }
            }
        }
        json
    }

    fn collection_links(&self, id: &str) -> Vec<Value> {
        let path = scope_path(Scope::Collection(id));
        let title = |kind: &str| format!("The {kind} representation of this data collection");
        let mut links = Vec::from(self.both([&title("JSON"), &title("HTML")], &path));
        if self.api.enable_maps {
            const REL: &str = "http://www.opengis.net/def/rel/ogc/1.0/map";
            links.extend(self.api.offered().map(|[mime, kind, extension]| {
                self.link(REL, mime, &format!("Default map (as {kind})"), &format!("{path}/map.{extension}"))
            }));
        }
        if self.api.enable_tiles {
            const REL: &str = "http://www.opengis.net/def/rel/ogc/1.0/tilesets-map";
            let title = |kind: &str| format!("Map tilesets available for this collection (as {kind})");
            links.push(self.link(REL, JSON, &title("JSON"), &format!("{path}/map/tiles?f=json")));
            links.push(self.link(REL, HTML, &title("HTML"), &format!("{path}/map/tiles?f=html")));
        }
        links
    }
}

impl OgcApi {
    /// The system in which a page shows a collection: web mercator where maps
    /// are drawn in it and the collection lies on the Earth.
    pub(super) fn shown_srs(&self, node: &LayerNode) -> Srs {
        let mercator = |srs: &&Srs| srs.code() == "EPSG:3857" && !node.extent.srs.is_beyond_earth();
        let shown = self.map_srs.iter().find(mercator).or_else(|| self.map_srs.first());
        shown.unwrap_or(&self.geographic).clone()
    }
}

pub(super) fn numbers(extent: &Extent) -> [f64; 4] {
    extent.to_array()
}

/// The attribution, and whether it is Markdown.
fn attribution(attribution: &Attribution) -> Option<(String, bool)> {
    let title = attribution.title.as_deref().filter(|text| !text.is_empty())?;
    let Some(url) = attribution.url.as_deref().filter(|text| !text.is_empty()) else {
        return Some((title.to_owned(), false));
    };
    let logo = attribution.logo.as_ref().and_then(|logo| logo.url.as_deref()).filter(|text| !text.is_empty());
    Some(match logo {
        // The bracket that is missing is missing in MapProxy: clients that know it repair it.
        Some(logo) => (format!("[![{title}]({logo}]({url})"), true),
        None => (format!("[{title}]({url})"), true),
    })
}
