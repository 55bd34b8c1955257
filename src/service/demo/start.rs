//! The first page: all services with their addresses, all layers with a map
//! for each format, system and grid.

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use super::Visit;
use super::page::Page;
use super::viewer::{best_srs, encode, named_layers, title_of, viewable_formats};
use crate::geo::{Extent, Srs};
use crate::plan::Turn;
use crate::service::Answer;
use crate::service::tile::ServedLayer;
use crate::service::wms::Wms;
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
struct Document {
    label: &'static str,
    /// Below the services' address.
    address: String,
    /// The parameter of the page that shows it.
    page: &'static str,
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
    let mut layers: Vec<Layer> = wms.map(wms_layers).unwrap_or_default();
    visit.add_tile_layers(&mut layers);
    for layer in &mut layers {
        layer.first = match layer.grids.first() {
            _ if layer.in_wms => format!("?wms_layer={}", encode(&layer.name)),
            Some(grid) => grid.wmts.clone().or_else(|| grid.tms.clone()).unwrap_or_default(),
            None => String::new(),
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
            name,
            title,
            groups,
            first: String::new(),
            in_wms: true,
            grids: Vec::new(),
            picture: None,
        }
    };
    named_layers(wms).into_iter().map(layer).collect()
}

impl Visit<'_> {
    fn add_tile_layers(&self, layers: &mut Vec<Layer>) {
        let services = self.services;
        for served in services.wmts.iter().flat_map(|wmts| wmts.layers()) {
            let page = viewer_page("wmts_layer", served);
            grid_of(layers, served).wmts = Some(page);
        }
        for served in services.tms.iter().flat_map(|tms| tms.layers()) {
            let page = viewer_page("tms_layer", served);
            grid_of(layers, served).tms = Some(page);
        }
        for served in services.kml.iter().flat_map(|kml| kml.layers()) {
            let address = format!("../kml/{}/{}", encode(&served.layer.name), encode(&served.spec));
            grid_of(layers, served).kml = Some(address);
        }
    }

    fn services_shown(&self) -> Vec<Service> {
        let services = self.services;
        let mut shown = Vec::new();
        let document = |label, address: &str, page| Document { label, address: address.to_owned(), page };
        if services.wms.is_some() {
            let documents = vec![
                document("Capabilities", "service?SERVICE=WMS&REQUEST=GetCapabilities", "wms_capabilities"),
                document(
                    "with tiles (WMS-C)",
                    "service?SERVICE=WMS&REQUEST=GetCapabilities&VERSION=1.1.1&tiled=true",
                    "wmsc_capabilities",
                ),
            ];
            shown.push(Service {
                name: "WMS",
                about: "Maps of any size and system",
                address: "service",
                documents,
            });
        }
        if let Some(wmts) = &services.wmts {
            let mut documents = Vec::new();
            if wmts.restful {
                documents.push(document(
                    "Capabilities",
                    "wmts/1.0.0/WMTSCapabilities.xml",
                    "wmts_capabilities",
                ));
            }
            if wmts.kvp {
                documents.push(document(
                    "Capabilities (KVP)",
                    "service?SERVICE=WMTS&REQUEST=GetCapabilities",
                    "wmts_capabilities_kvp",
                ));
            }
            let address = if wmts.restful { "wmts/1.0.0/WMTSCapabilities.xml" } else { "service" };
            shown.push(Service {
                name: "WMTS",
                about: "Tiles with their grids described",
                address,
                documents,
            });
        }
        if services.tms.is_some() {
            let documents = vec![document("Capabilities", "tms/1.0.0/", "tms_capabilities")];
            shown.push(Service {
                name: "TMS",
                about: "Tiles, rows from the south",
                address: "tms/1.0.0/",
                documents,
            });
        }
        let plain = |name, about, address| Service { name, about, address, documents: Vec::new() };
        if services.ogcapi.is_some() {
            shown.push(plain("OGC API", "Maps and tiles, with pages of their own", "ogcapi"));
        }
        if services.kml.is_some() {
            shown.push(plain("KML", "Super-overlays for virtual globes", "kml/"));
        }
        shown
    }
}

/// The page with a layer on its grid.
fn viewer_page(parameter: &str, served: &ServedLayer) -> String {
    let (name, grid) = (encode(&served.layer.name), encode(&served.grid().name));
    format!(
        "?{parameter}={name}&format={}&srs={}&grid={grid}",
        served.format,
        encode(served.grid().srs.code())
    )
}

/// The entry for a layer's grid, made where it is not there yet.
fn grid_of<'l>(layers: &'l mut Vec<Layer>, served: &ServedLayer) -> &'l mut Grid {
    let name = &served.layer.name;
    let at = layers.iter().position(|layer| layer.name == *name).unwrap_or_else(|| {
        layers.push(Layer {
            name: name.clone(),
            title: title_of(served).to_owned(),
            groups: Vec::new(),
            about: None,
            first: String::new(),
            in_wms: false,
            grids: Vec::new(),
            picture: None,
            extent: None,
        });
        layers.len() - 1
    });
    let grids = &mut layers[at].grids;
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
