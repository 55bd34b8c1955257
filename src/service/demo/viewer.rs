//! A map to look at: what the page of every service's viewer has in common.
//! What the controls offer is settled on the loop; positions are computed on a
//! thread.

use minijinja::value::Serde;
use minijinja::{Value, context};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::Visit;
use super::elsewhere::{Credit, Download, Legend, OtherService};
use super::page::{Page, json_for_script};
use super::place::{Projection, View, shown_extent};
use crate::geo::{Extent, Srs, TileGrid};
use crate::plan::Turn;
use crate::service::Answer;
use crate::service::metadata::Dimension;

/// What `viewer.js` is told.
#[derive(Serialize)]
struct Config {
    /// Where the services are, as clients elsewhere name them.
    base: String,
    projection: Projection,
    /// What to show at first, in the system's own units.
    extent: Option<[f64; 4]>,
    view: Option<View>,
    #[serde(flatten)]
    requests: Requests,
    /// How answers about a point can be had; none where nobody answers.
    info: Vec<InfoFormat>,
    /// A template of tiles to lie below, in web mercator.
    background: Option<String>,
}

/// How the map is asked for.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Requests {
    Wms(MapRequests),
    Tiles(TileRequests),
    /// Maps of the OGC API.
    Map(CollectionRequests),
}

#[derive(Serialize)]
pub struct MapRequests {
    pub layer: String,
    pub version: &'static str,
    /// MIME type.
    pub format: String,
}

#[derive(Serialize)]
pub struct CollectionRequests {
    /// Below the services' address, with `{format}`.
    pub path: String,
    /// The system's URL.
    pub crs: String,
    /// `png` or `jpg`.
    pub format: &'static str,
}

#[derive(Serialize)]
pub struct TileRequests {
    /// Ways of asking for the same tiles.
    pub manners: Vec<Manner>,
    pub format: &'static str,
    /// Rows count from the bottom.
    pub from_south: bool,
    pub tile_size: (u32, u32),
    pub levels: Vec<Level>,
}

/// Addresses below that of the services, with `{z}`, `{x}`, `{y}`, `{format}`,
/// and `{dim:NAME}` for dimensions.
#[derive(Serialize)]
pub struct Manner {
    pub name: &'static str,
    #[serde(skip)]
    pub label: &'static str,
    pub path: String,
    /// Feature info of a tile, further with `{i}`, `{j}` and `{info}`.
    pub info: Option<String>,
    /// What stands for `{info}`: the suffix of the format, not its MIME type.
    pub by_suffix: bool,
}

#[derive(Serialize)]
pub struct Level {
    /// As requests name it.
    pub id: String,
    pub resolution: f64,
    /// The upper left corner of all its tiles.
    pub corner: [f64; 2],
    pub columns: i64,
    pub rows: i64,
}

#[derive(Serialize)]
pub struct InfoFormat {
    pub mime: String,
    pub label: String,
    pub suffix: String,
}

impl InfoFormat {
    pub fn new(mime: &str, suffix: &str) -> InfoFormat {
        let label = match mime.split(';').next().unwrap_or_default().trim() {
            "text/plain" => "Text",
            "text/html" => "HTML",
            "text/xml" | "application/xml" => "XML",
            "application/vnd.ogc.gml" => "GML",
            "application/json" => "JSON",
            other => other,
        };
        InfoFormat { mime: mime.to_owned(), label: label.to_owned(), suffix: suffix.to_owned() }
    }
}

/// One entry of a list to choose from.
#[derive(Serialize)]
pub struct Choice {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

impl Choice {
    pub fn new(value: &str, label: &str, chosen: &str) -> Choice {
        Choice { value: value.to_owned(), label: label.to_owned(), chosen: value == chosen }
    }
}

/// A dimension's values to choose from.
#[derive(Serialize)]
pub struct Values {
    /// As requests name it.
    pub name: String,
    /// As the configuration writes it.
    pub label: String,
    pub values: Vec<Choice>,
}

/// See `viewer.html`.
#[derive(Default, Serialize)]
pub struct Controls {
    pub service: &'static str,
    /// The parameter that names the layer.
    pub parameter: &'static str,
    pub site: String,
    pub title: String,
    pub name: String,
    pub about: Option<String>,
    pub credit: Option<Credit>,
    pub srs: String,
    pub layers: Vec<Choice>,
    pub systems: Vec<Choice>,
    pub grids: Vec<Choice>,
    pub formats: Vec<Choice>,
    pub versions: Vec<Choice>,
    pub manners: Vec<Choice>,
    pub dimensions: Vec<Values>,
    pub any_srs: bool,
    pub is_queryable: bool,
    pub legend: Option<Legend>,
    pub services: Vec<OtherService>,
    pub downloads: Vec<Download>,
    /// Documents about what is on show, below the services' address.
    pub documents: Vec<(&'static str, String)>,
    /// The query of the page that shows the capabilities.
    pub capabilities_query: Option<String>,
}

/// What a service's viewer shows; see [`Visit::place`].
pub struct Shown {
    pub srs: Srs,
    /// As requests name the system.
    pub code: String,
    /// Where the layer lies.
    pub extent: (Extent, Srs),
    pub requests: Requests,
    pub info: Vec<InfoFormat>,
}

/// A page whose positions are still to be computed.
struct Unplaced {
    controls: Controls,
    config: Config,
    srs: Srs,
    extent: (Extent, Srs),
    /// The view to be carried over, and its system.
    view: Option<(View, String)>,
    /// The view was of another layer.
    of_another: bool,
    background: Option<String>,
}

/// Longer lists in the choice of layers only cost the browser time.
pub const LAYERS_MAX: usize = 2000;
/// Values of one dimension to choose from; more only cost the browser time.
const VALUES_MAX: usize = 2000;

/// The levels of a grid under the names that requests give them.
pub fn levels_of(grid: &TileGrid, levels: impl Iterator<Item = (String, u32)>) -> Vec<Level> {
    let level = |(id, level): (String, u32)| {
        let (columns, rows) = grid.grid_size(level);
        let extent = grid.level_extent(level);
        Level { id, resolution: grid.resolution(level), corner: [extent.min_x, extent.max_y], columns, rows }
    };
    levels.map(level).collect()
}

impl Visit<'_> {
    /// The choice of a dimension's value; the page's parameter `dim:NAME` picks one.
    pub fn values_of(&self, dimension: &Dimension) -> Values {
        let name = dimension.key();
        let picked = self.parameters.first(&format!("dim:{name}"));
        let chosen = picked
            .filter(|value| dimension.values.iter().any(|known| known == value))
            .unwrap_or(&dimension.default);
        let mut values: Vec<Choice> =
            dimension.values.iter().take(VALUES_MAX).map(|value| Choice::new(value, value, chosen)).collect();
        if !values.iter().any(|choice| choice.chosen) {
            values.insert(0, Choice::new(chosen, chosen, chosen));
        }
        Values { name, label: dimension.name.clone(), values }
    }

    /// Leaves the rest to a thread: positions ask PROJ.
    pub fn place(&self, controls: Controls, shown: Shown) -> Answer {
        let Shown { srs, code, extent, requests, info } = shown;
        let projection = Projection {
            code: code.clone(),
            extent: None,
            geographic: srs.is_geographic(),
            north_first: srs.is_axis_order_ne(),
            meters_per_unit: srs.meters_per_unit(),
        };
        let view = self.parameters.first("view").and_then(View::parse);
        let from = self.parameters.first("from").map_or_else(|| code.clone(), code_of);
        let unplaced = Unplaced {
            of_another: self.parameters.first("of").is_some_and(|name| name != controls.name),
            controls,
            config: Config {
                base: self.url.script_url(),
                projection,
                extent: None,
                view: None,
                requests,
                info,
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
        let mut shown = None;
        if let Ok(geographic) = Srs::parse("EPSG:4326") {
            self.config.projection = Projection::of(&self.srs, &code, &geographic);
            let (extent, srs) = &self.extent;
            shown = shown_extent(extent, srs, &self.srs, &geographic);
            self.config.extent = shown.map(Extent::to_array).or(self.config.projection.extent);
        }
        let carried = self.view.take().and_then(|(view, from)| match Srs::parse(&from) {
            Ok(from) if from == self.srs => Some(view),
            Ok(from) => view.carry(&from, &self.srs),
            Err(_) => None,
        });
        // Another layer is shown where the last one was, if it lies there.
        self.config.view = carried.filter(|view| {
            let [x, y] = view.center;
            !self.of_another || shown.is_some_and(|extent| extent.contains(&Extent::new(x, y, x, y)))
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
pub fn code_of(text: &str) -> String {
    let text = text.trim();
    if !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()) {
        return format!("EPSG:{text}");
    }
    text.to_uppercase()
}

/// A value as one part of a path or of a query.
pub fn encode(text: &str) -> String {
    const SAFE: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
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
