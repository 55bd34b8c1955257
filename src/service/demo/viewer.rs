//! A map to look at: one WMS layer in one system, or one tile layer on one of
//! its grids. What the controls offer is settled on the loop; positions are
//! computed on a thread.

use minijinja::value::Serde;
use minijinja::{Value, context};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::Visit;
use super::page::{Page, json_for_script, missing};
use super::place::{Projection, View, shown_extent};
use crate::geo::{Extent, Srs};
use crate::plan::Turn;
use crate::render::Format;
use crate::service::Answer;
use crate::service::tile::ServedLayer;
use crate::service::wms::Wms;

/// What `viewer.js` is told.
#[derive(Serialize)]
struct Config {
    /// Where the services are, as clients elsewhere name them.
    base: String,
    projection: Projection,
    /// What to show at first, in the system's own units.
    extent: Option<[f64; 4]>,
    view: Option<View>,
    wms: Option<MapRequests>,
    tiles: Option<TileRequests>,
    /// A template of tiles to lie below, in web mercator.
    background: Option<String>,
}

#[derive(Serialize)]
struct MapRequests {
    layer: String,
    version: &'static str,
    /// MIME type.
    format: String,
    transparent: bool,
}

#[derive(Serialize)]
struct TileRequests {
    /// Below the services' address, with `{z}`, `{x}` and `{y}`.
    path: String,
    /// Rows count from the bottom.
    from_south: bool,
    tile_size: (u32, u32),
    levels: Vec<Level>,
}

#[derive(Serialize)]
struct Level {
    /// As requests name it.
    id: String,
    resolution: f64,
    /// The upper left corner of all its tiles.
    corner: [f64; 2],
    columns: i64,
    rows: i64,
}

/// An entry of a list to choose from.
#[derive(Serialize)]
pub struct Choice {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

impl Choice {
    fn new(value: &str, label: &str, chosen: &str) -> Choice {
        Choice { value: value.to_owned(), label: label.to_owned(), chosen: value == chosen }
    }
}

/// What the page offers; see `viewer.html`.
#[derive(Serialize)]
struct Controls {
    service: &'static str,
    /// The parameter that names the layer.
    parameter: &'static str,
    site: String,
    title: String,
    name: String,
    about: Option<String>,
    attribution: Option<String>,
    srs: String,
    layers: Vec<Choice>,
    systems: Vec<Choice>,
    grids: Vec<Choice>,
    formats: Vec<Choice>,
    any_srs: bool,
    /// Below the services' address.
    capabilities: String,
    /// The query of the page that shows them.
    capabilities_query: String,
}

/// A page whose positions are still to be computed.
struct Unplaced {
    controls: Controls,
    config: Config,
    srs: Srs,
    extent: (Extent, Srs),
    /// The view to be carried over, and its system.
    view: Option<(View, String)>,
    background: Option<String>,
}

/// Longer lists in the choice of layers only cost the browser time.
const LAYERS_MAX: usize = 2000;

/// `wms_layer`
pub fn wms(visit: &Visit<'_>) -> Answer {
    let Some(wms) = &visit.services.wms else { return visit.no_such_service("WMS") };
    let name = visit.parameters.first("wms_layer").unwrap_or_default();
    let Some(at) = wms.layers().find(name) else { return visit.no_such_layer("WMS", name) };
    let node = wms.layers().node(at);
    let code = match visit.parameters.first("srs").map(str::trim) {
        Some(code) if !code.is_empty() => code_of(code),
        _ => best_srs(wms),
    };
    let Some(srs) = wms.srs_of(&code) else {
        return missing(400, &format!("Maps are not drawn in the coordinate system “{code}”."));
    };
    let formats = viewable_formats(wms);
    let wanted = visit.parameters.first("format").unwrap_or_default();
    let format = formats
        .iter()
        .find(|(mime, short)| mime == wanted || short == wanted)
        .or_else(|| formats.first())
        .cloned()
        .unwrap_or_else(|| ("image/png".to_owned(), "png".to_owned()));
    let layers = named_layers(wms).into_iter().map(|(name_of, title, _)| Choice::new(&name_of, &title, name));
    let mut systems: Vec<Choice> = wms.served_srs().map(|known| Choice::new(known, known, &code)).collect();
    if !systems.iter().any(|choice| choice.chosen) {
        systems.push(Choice::new(&code, &code, &code));
    }
    let attribution = node.metadata.attribution.as_ref().and_then(|attribution| attribution.title.clone());
    let controls = Controls {
        service: "WMS",
        parameter: "wms_layer",
        site: visit.site_title().to_owned(),
        title: if node.title.is_empty() { name.to_owned() } else { node.title.clone() },
        name: name.to_owned(),
        about: node.metadata.abstract_text.clone(),
        attribution,
        srs: code.clone(),
        layers: layers.take(LAYERS_MAX).collect(),
        systems,
        grids: Vec::new(),
        formats: formats.iter().map(|(_, short)| Choice::new(short, short, &format.1)).collect(),
        any_srs: wms.any_srs(),
        capabilities: "service?SERVICE=WMS&REQUEST=GetCapabilities".to_owned(),
        capabilities_query: "wms_capabilities".to_owned(),
    };
    let requests = MapRequests {
        layer: name.to_owned(),
        version: wms.highest_version().text(),
        transparent: format.0 != "image/jpeg",
        format: format.0,
    };
    let extent = (node.extent.extent, node.extent.srs.clone());
    visit.place(controls, srs, &code, extent, Some(requests), None)
}

/// `tms_layer`
pub fn tms(visit: &Visit<'_>) -> Answer {
    let Some(tms) = &visit.services.tms else { return visit.no_such_service("TMS") };
    let name = visit.parameters.first("tms_layer").unwrap_or_default();
    let Some(layer) = visit.on_grid(tms.layers(), name) else { return visit.no_such_layer("TMS", name) };
    let path =
        format!("tms/1.0.0/{}/{}/{{z}}/{{x}}/{{y}}.{}", encode(name), encode(&layer.spec), layer.format);
    let requests = TileRequests { from_south: true, ..requests(layer, path, true) };
    let capabilities = format!("tms/1.0.0/{}/{}", encode(name), encode(&layer.spec));
    let controls = Controls {
        capabilities_query: format!(
            "tms_capabilities&layer={}&grid={}",
            encode(name),
            encode(&layer.grid().name)
        ),
        ..visit.tile_controls("TMS", "tms_layer", layer, tms.layers(), capabilities)
    };
    visit.place_tiles(controls, layer, requests)
}

/// `wmts_layer`
pub fn wmts(visit: &Visit<'_>) -> Answer {
    let Some(wmts) = &visit.services.wmts else { return visit.no_such_service("WMTS") };
    let name = visit.parameters.first("wmts_layer").unwrap_or_default();
    let Some(layer) = visit.on_grid(wmts.layers(), name) else { return visit.no_such_layer("WMTS", name) };
    let (layer_name, grid) = (encode(name), encode(&layer.grid().name));
    let (path, capabilities, page) = if wmts.restful {
        let path = wmts.rest_path(|variable| match variable {
            "Layer" => layer_name.clone(),
            "TileMatrixSet" => grid.clone(),
            "TileMatrix" => "{z}".to_owned(),
            "TileCol" => "{x}".to_owned(),
            "TileRow" => "{y}".to_owned(),
            "Format" => layer.format.to_owned(),
            _ => "default".to_owned(),
        });
        (format!("wmts{path}"), "wmts/1.0.0/WMTSCapabilities.xml", "wmts_capabilities")
    } else {
        let path = format!(
            "service?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER={layer_name}&STYLE=&TILEMATRIXSET={grid}\
             &TILEMATRIX={{z}}&TILEROW={{y}}&TILECOL={{x}}&FORMAT=image/{}",
            layer.format
        );
        (path, "service?SERVICE=WMTS&REQUEST=GetCapabilities", "wmts_capabilities_kvp")
    };
    let mut requests = requests(layer, path, false);
    for level in &mut requests.levels {
        level.id = format!("{:0>2}", level.id);
    }
    let controls = Controls {
        capabilities_query: page.to_owned(),
        ..visit.tile_controls("WMTS", "wmts_layer", layer, wmts.layers(), capabilities.to_owned())
    };
    visit.place_tiles(controls, layer, requests)
}

fn requests(layer: &ServedLayer, path: String, use_profiles: bool) -> TileRequests {
    let grid = layer.grid();
    let level = |(public, level): (i64, u32)| {
        let (columns, rows) = grid.grid_size(level);
        let extent = grid.level_extent(level);
        Level {
            id: public.to_string(),
            resolution: grid.resolution(level),
            corner: [extent.min_x, extent.max_y],
            columns,
            rows,
        }
    };
    TileRequests {
        path,
        from_south: false,
        tile_size: grid.tile_size,
        levels: layer.public_levels(use_profiles).map(level).collect(),
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
        service: &'static str,
        parameter: &'static str,
        layer: &ServedLayer,
        all: impl Iterator<Item = &'l ServedLayer>,
        capabilities: String,
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
        Controls {
            service,
            parameter,
            site: self.site_title().to_owned(),
            title: title_of(layer).to_owned(),
            name: name.to_owned(),
            about: None,
            attribution: None,
            srs: grid.srs.code().to_owned(),
            layers,
            systems: Vec::new(),
            grids,
            formats: vec![Choice::new(layer.format, layer.format, layer.format)],
            any_srs: false,
            capabilities,
            capabilities_query: String::new(),
        }
    }

    fn place_tiles(&self, controls: Controls, layer: &ServedLayer, requests: TileRequests) -> Answer {
        let srs = layer.grid().srs.clone();
        let code = srs.code().to_owned();
        self.place(controls, srs, &code, layer.layer.extent.clone(), None, Some(requests))
    }

    /// Leaves the rest to a thread: positions ask PROJ.
    fn place(
        &self,
        controls: Controls,
        srs: Srs,
        code: &str,
        extent: (Extent, Srs),
        wms: Option<MapRequests>,
        tiles: Option<TileRequests>,
    ) -> Answer {
        let projection = Projection {
            code: code.to_owned(),
            extent: None,
            geographic: srs.is_geographic(),
            north_first: srs.is_axis_order_ne(),
            meters_per_unit: srs.meters_per_unit(),
        };
        let view = self.parameters.first("view").and_then(View::parse);
        let from = self.parameters.first("from").map_or_else(|| code.to_owned(), code_of);
        let unplaced = Unplaced {
            controls,
            config: Config {
                base: self.url.script_url(),
                projection,
                extent: None,
                view: None,
                wms,
                tiles,
                background: None,
            },
            srs,
            extent,
            view: view.map(|view| (view, from)),
            background: self.parts.background_url.clone(),
        };
        Answer::Work(Box::new(move |_: &Turn| unplaced.respond()))
    }
}

impl Unplaced {
    fn respond(mut self) -> crate::wire::Response {
        let code = self.config.projection.code.clone();
        if let Ok(geographic) = Srs::parse("EPSG:4326") {
            self.config.projection = Projection::of(&self.srs, &code, &geographic);
            let (extent, srs) = &self.extent;
            let shown = shown_extent(extent, srs, &self.srs, &geographic);
            self.config.extent = shown.map(Extent::to_array).or(self.config.projection.extent);
        }
        self.config.view = self.view.take().and_then(|(view, from)| match Srs::parse(&from) {
            Ok(from) if from == self.srs => Some(view),
            Ok(from) => view.carry(&from, &self.srs),
            Err(_) => None,
        });
        let is_mercator = Srs::parse("EPSG:3857").is_ok_and(|mercator| mercator == self.srs);
        let background = self.background.take().filter(|_| is_mercator);
        let image_origin = background.as_deref().and_then(origin_of);
        self.config.background = background.filter(|_| image_origin.is_some());
        let page = Page {
            status: 200,
            template: "viewer.html",
            title: format!("{} · {} · {}", self.controls.title, self.controls.service, self.controls.site),
            scripts: &["viewer.js"],
            styles: &["openlayers/ol.css"],
            image_origin,
        };
        let config = json_for_script(&self.config);
        let base = &self.config.base;
        page.respond(
            context! { controls => Value::from(Serde(self.controls)), base => base, config => config },
        )
    }
}

/// `EPSG:25832` for `25832` and `epsg:25832`.
fn code_of(text: &str) -> String {
    let text = text.trim();
    if !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()) {
        return format!("EPSG:{text}");
    }
    text.to_uppercase()
}

/// The system that a map is shown in unless another is wanted.
pub fn best_srs(wms: &Wms) -> String {
    let mercator = wms.served_srs().find(|code| matches!(*code, "EPSG:3857" | "EPSG:900913"));
    mercator.or_else(|| wms.served_srs().next()).unwrap_or("EPSG:4326").to_owned()
}

/// The configured formats that a browser shows: MIME type and short name.
pub fn viewable_formats(wms: &Wms) -> Vec<(String, String)> {
    let viewable = wms.image_formats().iter().filter(|(_, options)| {
        matches!(options.format, Format::Png | Format::Jpeg | Format::Gif | Format::WebP)
    });
    viewable.map(|(mime, _)| (mime.clone(), mime.strip_prefix("image/").unwrap_or(mime).to_owned())).collect()
}

/// Every layer that can be asked for, parents before their children: its
/// name, its title, and the titles of the groups it stands in.
pub fn named_layers(wms: &Wms) -> Vec<(String, String, Vec<String>)> {
    fn walk(
        wms: &Wms,
        at: Option<usize>,
        groups: &mut Vec<String>,
        found: &mut Vec<(String, String, Vec<String>)>,
    ) {
        let node = at.map_or_else(|| wms.layers().root(), |at| wms.layers().node(at));
        if let Some(name) = &node.name {
            let title = if node.title.is_empty() { name } else { &node.title };
            found.push((name.clone(), title.clone(), groups.clone()));
        }
        let is_group = at.is_some() && !node.title.is_empty();
        if is_group {
            groups.push(node.title.clone());
        }
        for &child in &node.children {
            walk(wms, Some(child), groups, found);
        }
        if is_group {
            groups.pop();
        }
    }
    let mut found = Vec::new();
    walk(wms, None, &mut Vec::new(), &mut found);
    found
}

pub fn title_of(layer: &ServedLayer) -> &str {
    if layer.layer.title.is_empty() { &layer.layer.name } else { &layer.layer.title }
}

/// A value as one part of a path or of a query.
pub fn encode(text: &str) -> String {
    const SAFE: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');
    utf8_percent_encode(text, SAFE).to_string()
}

/// Scheme and host of an address, if both are plain.
fn origin_of(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let host = rest.split('/').next()?;
    let is_plain = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'));
    (matches!(scheme, "http" | "https") && is_plain).then(|| format!("{scheme}://{host}"))
}
