//! The first page: all services with their addresses, all layers with a map
//! for each format, system and grid.

use std::collections::{HashMap, HashSet};

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use super::Visit;
use super::documents::{Document, TMS_ADDRESS, WMTS_REST_ADDRESS};
use super::elsewhere::{Viewer, overlay_address};
use super::page::Page;
use super::tiles::title_of;
use super::viewer::encode;
use super::wms::{best_srs, named_layers, page_address, viewable_formats};
use crate::geo::{Extent, Srs};
use crate::plan::Turn;
use crate::service::Answer;
use crate::service::tile::ServedLayer;
use crate::service::wms::Wms;
use crate::service::wms::layer::LayerNode;
use crate::wire::Response;

/// With more layers than this no pictures are shown: each of them may cost a
/// source some work.
const PICTURES_MAX: usize = 60;
/// Width and height of a picture.
const PICTURE_PX: (u32, u32) = (720, 360);

#[derive(Serialize)]
struct Service {
    name: &'static str,
    about: &'static str,
    /// Below the services' address.
    address: &'static str,
    documents: Vec<Document>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    title: String,
    groups: Vec<String>,
    about: Option<String>,
    /// The page of its first viewer.
    first: String,
    in_wms: bool,
    grids: Vec<Grid>,
    /// Viewers of the OGC API: label, page.
    collection: Vec<(&'static str, String)>,
    is_queryable: bool,
    has_legend: bool,
    dimensions: Vec<String>,
    /// The picture's address, relative to the page.
    picture: Option<String>,
    #[serde(skip)]
    extent: Option<(Extent, Srs)>,
}

#[derive(Serialize)]
struct Grid {
    name: String,
    srs: String,
    tile_size: String,
    levels: u32,
    format: &'static str,
    /// Pages and addresses; absent where the service does not have the layer.
    wmts: Option<String>,
    tms: Option<String>,
    kml: Option<String>,
}

/// The page for `/demo/`.
pub fn show(visit: &Visit<'_>) -> Answer {
    let wms = visit.services.wms.as_deref();
    let mut list = List::default();
    for layer in wms.map(wms_layers).unwrap_or_default() {
        let name = layer.name.clone();
        *list.layer(&name, "") = layer;
    }
    visit.add_tile_layers(&mut list);
    visit.add_collections(&mut list);
    let mut layers = list.layers;
    let format = wms.and_then(|wms| viewable_formats(wms).into_iter().next()).map(|(mime, _)| mime);
    for layer in &mut layers {
        layer.first = match (&format, wms, layer.grids.first(), layer.collection.first()) {
            (Some(format), Some(wms), ..) if layer.in_wms => {
                page_address(&layer.name, format, &best_srs(wms))
            }
            (_, _, Some(grid), _) => grid.wmts.clone().or_else(|| grid.tms.clone()).unwrap_or_default(),
            (_, _, None, Some((_, page))) => page.clone(),
            _ => String::new(),
        };
    }
    let values = StartPage {
        title: visit.site_title().to_owned(),
        about: visit.parts.metadata.abstract_text.clone(),
        base: visit.url.script_url(),
        services: visit.services_shown(),
        srs: wms.map(|wms| wms.served_srs().map(str::to_owned).collect()).unwrap_or_default(),
        best_srs: wms.map(best_srs).unwrap_or_default(),
        any_srs: wms.is_some_and(Wms::any_srs),
        formats: wms
            .map(|wms| viewable_formats(wms).into_iter().map(|(_, short)| short).collect())
            .unwrap_or_default(),
        version: wms.map(|wms| wms.highest_version().text()),
        layers,
    };
    Answer::Work(Box::new(move |_: &Turn| values.respond()))
}

fn wms_layers(wms: &Wms) -> Vec<Layer> {
    let layer = |(name, title, groups): (String, String, Vec<String>)| {
        let node = wms.layers().find(&name).map(|at| wms.layers().node(at));
        Layer {
            about: node.and_then(|node| node.metadata.abstract_text.clone()),
            extent: node.map(|node| (node.extent.extent, node.extent.srs.clone())),
            is_queryable: node.is_some_and(|node| node.queryable),
            has_legend: wms.layers().find(&name).is_some_and(|at| !wms.layers().legends(at).is_empty()),
            dimensions: node.map(dimension_names).unwrap_or_default(),
            groups,
            in_wms: true,
            ..Layer::new(&name, &title)
        }
    };
    named_layers(wms).into_iter().map(layer).collect()
}

fn dimension_names(node: &LayerNode) -> Vec<String> {
    node.dimensions.iter().map(|dimension| dimension.name.clone()).collect()
}

impl Layer {
    fn new(name: &str, title: &str) -> Layer {
        Layer {
            name: name.to_owned(),
            title: if title.is_empty() { name } else { title }.to_owned(),
            groups: Vec::new(),
            about: None,
            first: String::new(),
            in_wms: false,
            grids: Vec::new(),
            collection: Vec::new(),
            is_queryable: false,
            has_legend: false,
            dimensions: Vec::new(),
            picture: None,
            extent: None,
        }
    }
}

/// The layers of all services, each once.
#[derive(Default)]
struct List {
    layers: Vec<Layer>,
    by_name: HashMap<String, usize>,
}

impl List {
    /// The entry of a layer, made where it is not there yet.
    fn layer(&mut self, name: &str, title: &str) -> &mut Layer {
        let next = self.layers.len();
        let at = *self.by_name.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.layers.push(Layer::new(name, title));
        }
        &mut self.layers[at]
    }

    /// The entry of a layer's grid, made where it is not there yet.
    fn grid(&mut self, served: &ServedLayer) -> &mut Grid {
        let grids = &mut self.layer(&served.layer.name, title_of(served)).grids;
        let grid = served.grid();
        let at = grids.iter().position(|known| known.name == grid.name).unwrap_or_else(|| {
            grids.push(Grid {
                name: grid.name.clone(),
                srs: grid.srs.code().to_owned(),
                tile_size: format!("{} × {}", grid.tile_size.0, grid.tile_size.1),
                levels: grid.levels(),
                format: served.format,
                wmts: None,
                tms: None,
                kml: None,
            });
            grids.len() - 1
        });
        &mut grids[at]
    }
}

impl Visit<'_> {
    fn add_collections(&self, list: &mut List) {
        let Some(api) = &self.services.ogcapi else { return };
        for node in api.collection_nodes() {
            let name = node.name.as_deref().unwrap_or_default();
            let pages = [Viewer::Maps, Viewer::Tiles].into_iter().filter_map(|viewer| {
                let label = if viewer == Viewer::Maps { "Maps" } else { "Tiles" };
                Some((label, self.page_of(viewer, name, "EPSG:3857")?))
            });
            let pages: Vec<(&'static str, String)> = pages.collect();
            list.layer(name, &node.title).collection = pages;
        }
    }

    fn add_tile_layers(&self, list: &mut List) {
        let services = self.services;
        let wmts: Vec<&ServedLayer> = services.wmts.iter().flat_map(|wmts| wmts.layers()).collect();
        for (served, page) in viewer_pages(Viewer::Wmts, &wmts) {
            list.grid(served).wmts = Some(page);
        }
        let tms: Vec<&ServedLayer> = services.tms.iter().flat_map(|tms| tms.layers()).collect();
        for (served, page) in viewer_pages(Viewer::Tms, &tms) {
            list.grid(served).tms = Some(page);
        }
        for served in services.kml.iter().flat_map(|kml| kml.layers()) {
            list.grid(served).kml = Some(overlay_address(served));
        }
    }

    fn services_shown(&self) -> Vec<Service> {
        let services = self.services;
        let is_restful = services.wmts.as_ref().is_some_and(|wmts| wmts.restful);
        let wmts_address = if is_restful { WMTS_REST_ADDRESS } else { "service" };
        let all = [
            (services.wms.is_some(), "WMS", "Maps of any size and system", "service"),
            (services.wmts.is_some(), "WMTS", "Tiles with their grids described", wmts_address),
            (services.tms.is_some(), "TMS", "Tiles, rows from the south", TMS_ADDRESS),
            (services.ogcapi.is_some(), "OGC API", "Maps and tiles, with pages of their own", "ogcapi"),
            (
                services.kml.is_some(),
                "KML",
                "Super-overlays: globes such as Google Earth open one and fetch tiles as they come near",
                "kml/LAYER",
            ),
        ];
        let documents = self.documents();
        let there = all.into_iter().filter(|(is_there, ..)| *is_there);
        there
            .map(|(_, name, about, address)| Service {
                name,
                about,
                address,
                // WMS-C is a way of writing the WMS's own.
                documents: documents
                    .iter()
                    .filter(|document| {
                        document.service == name || (document.service == "WMS-C" && name == "WMS")
                    })
                    .cloned()
                    .collect(),
            })
            .collect()
    }
}

/// The pages with layers on their grids, as MapProxy writes them: by the grid's
/// system. A grid whose system another one before it has is named.
fn viewer_pages<'l>(viewer: Viewer, layers: &[&'l ServedLayer]) -> Vec<(&'l ServedLayer, String)> {
    let mut taken = HashSet::new();
    let page = |served: &&'l ServedLayer| {
        let (name, grid) = (&served.layer.name, served.grid());
        let code = grid.srs.code();
        let mut page = format!(
            "../demo/?{}={}&format={}&srs={}",
            viewer.parameter(),
            encode(name),
            served.format,
            encode(code),
        );
        if !taken.insert((name.as_str(), code.to_owned())) {
            page.push_str(&format!("&grid={}", encode(&grid.name)));
        }
        (*served, page)
    };
    layers.iter().map(page).collect()
}

/// See `start.html`.
#[derive(Serialize)]
struct StartPage {
    title: String,
    about: Option<String>,
    base: String,
    services: Vec<Service>,
    srs: Vec<String>,
    best_srs: String,
    any_srs: bool,
    formats: Vec<String>,
    version: Option<&'static str>,
    layers: Vec<Layer>,
}

impl StartPage {
    fn respond(mut self) -> Response {
        if self.layers.len() <= PICTURES_MAX
            && let (Some(format), Ok(srs)) = (self.formats.first(), Srs::parse(&self.best_srs))
            && self.version.is_some_and(|version| version != "1.0.0")
        {
            for layer in self.layers.iter_mut() {
                layer.picture = layer.extent.as_ref().and_then(|(extent, of)| {
                    let shown = of.transform_extent(&srs, extent)?;
                    Some(picture(&layer.name, format, &self.best_srs, &shown))
                });
            }
        }
        let page = Page {
            status: 200,
            template: "start.html",
            title: self.title.clone(),
            scripts: &["start.js"],
            styles: &[],
            image_origin: None,
        };
        page.respond(context! { page => Value::from(Serde(self)) })
    }
}

/// A map of the middle of an extent that fills the picture.
fn picture(name: &str, format: &str, code: &str, extent: &Extent) -> String {
    let (width_px, height_px) = PICTURE_PX;
    let resolution = (extent.width() / f64::from(width_px)).min(extent.height() / f64::from(height_px));
    let (x, y) = ((extent.min_x + extent.max_x) / 2.0, (extent.min_y + extent.max_y) / 2.0);
    let (reach_x, reach_y) =
        (resolution * f64::from(width_px) / 2.0, resolution * f64::from(height_px) / 2.0);
    format!(
        "../service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={}&STYLES=&SRS={}&BBOX={},{},{},{}\
         &WIDTH={width_px}&HEIGHT={height_px}&FORMAT=image/{}&TRANSPARENT=true",
        encode(name),
        encode(code),
        x - reach_x,
        y - reach_y,
        x + reach_x,
        y + reach_y,
        encode(format)
    )
}
