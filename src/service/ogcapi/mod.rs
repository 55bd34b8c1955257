//! OGC API Maps and Tiles below `/ogcapi`: every layer is a collection, every
//! grid a tile matrix set. The documents are JSON or pages, by `f` or `Accept`
//! (mapproxy-features.md §7.6). Pixels come from the very layers of the WMS,
//! and tiles from the caches below them where one cache is the collection.

mod collections;
mod draw;
mod landing;
mod map;
mod openapi;
mod page;
mod parameter;
mod question;
mod refusal;
mod request;
mod shown;
mod subject;
mod tile;
mod tiling;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Answer;
use super::base_url::BaseUrl;
use super::decorations::Decorations;
use super::demo;
use super::exception::document;
use super::parameters::Parameters;
use super::permit::Kind;
use super::site::Manners;
use super::tile::{ServedLayer, TileAnswers, TileLayer};
use super::wms::WmsLayer;
use super::wms::layer::LayerTree;
use crate::geo::{Srs, SrsError, TileGrid};
use crate::plan::OnSourceErrors;
use crate::render::decor::Attribution;
use crate::render::{Format, ImageOptions};
use crate::wire::{Request, Response};
use page::Frame;
use refusal::Refusal;
use subject::Scope;

/// `services.ogcapi`, all defaults filled in.
#[derive(Clone)]
pub struct OgcApiParts {
    /// The layers of the WMS.
    pub root: WmsLayer,
    /// `nominal_scale` of layers and groups by name.
    pub nominal_scales: HashMap<String, f64>,
    /// Layers that are just one cache, on each of its grids.
    pub tiles: Vec<TileLayer>,
    /// All grids of the configuration by their keys.
    pub grids: Vec<(String, Arc<TileGrid>)>,
    /// Dotted keys below `md` with their texts.
    pub metadata: Vec<(String, String)>,
    pub enable_tiles: bool,
    pub enable_maps: bool,
    /// Codes of the systems of maps; the first is the default.
    pub map_srs: Vec<String>,
    pub image_formats: Vec<ImageOptions>,
    pub attribution: Option<Attribution>,
    pub on_source_errors: OnSourceErrors,
    /// Pixels of a map.
    pub pixels_max: u64,
    pub concurrent_layers: usize,
    /// `default_dataset_layers`
    pub dataset: Option<Vec<String>>,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
    /// `background.url`, for the maps of the pages.
    pub background_url: Option<String>,
    /// There are demo pages to which the pages may lead.
    pub has_demo: bool,
}

/// The service at `/ogcapi`.
pub struct OgcApi {
    layers: LayerTree,
    /// Names of the collections in the order of the configuration.
    names: Vec<String>,
    nominal_scales: HashMap<String, f64>,
    /// By collection and tile matrix set.
    tiles: HashMap<(String, String), ServedLayer>,
    tile_answers: Arc<TileAnswers>,
    /// Tile matrix sets by their public names.
    grids: Vec<(String, Arc<TileGrid>)>,
    metadata: Vec<(String, String)>,
    enable_tiles: bool,
    enable_maps: bool,
    map_srs: Vec<Srs>,
    image_formats: Vec<ImageOptions>,
    attribution: Option<Attribution>,
    on_source_errors: OnSourceErrors,
    limits: SizeLimits,
    concurrent_layers: usize,
    /// Places of the data set's layers in the tree.
    dataset: Option<Vec<usize>>,
    cache_control: String,
    background_url: Option<String>,
    has_demo: bool,
    hide_error_details: bool,
    decorations: Option<Arc<Decorations>>,
    geographic: Srs,
}

/// How large a map may be.
#[derive(Clone, Copy, Debug)]
struct SizeLimits {
    side_px_max: u64,
    pixels_max: u64,
}

/// What stands unescaped in a segment of a path (RFC 3986 `pchar`).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A place below `/ogcapi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'p> {
    Landing,
    Conformance,
    Api,
    Collections,
    Collection(&'p str),
    Map(Scope<'p>, &'p str),
    TileMatrixSets,
    TileMatrixSet(&'p str),
    TileSets(Scope<'p>),
    TileSet(Scope<'p>, &'p str),
    Tile(Scope<'p>, TilePlace<'p>),
}

/// A tile as its path names it: the column may bear an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TilePlace<'p> {
    set: &'p str,
    level: &'p str,
    row: &'p str,
    column: &'p str,
}

impl<'p> Route<'p> {
    /// `path` is what follows `/ogcapi`.
    fn parse(path: &'p str, maps: bool, tiles: bool) -> Option<Route<'p>> {
        if !(path.is_empty() || path.starts_with('/')) {
            return None;
        }
        let parts: Vec<&str> = match path.trim_matches('/') {
            "" => return Some(Route::Landing),
            path => path.split('/').collect(),
        };
        let (scope, rest) = match parts.as_slice() {
            ["conformance"] => return Some(Route::Conformance),
            ["api"] => return Some(Route::Api),
            ["collections"] => return Some(Route::Collections),
            ["collections", name] => return Some(Route::Collection(name)),
            ["tileMatrixSets"] if tiles => return Some(Route::TileMatrixSets),
            ["tileMatrixSets", id] if tiles => return Some(Route::TileMatrixSet(id)),
            ["collections", name, rest @ ..] => (Scope::Collection(name), rest),
            rest => (Scope::Dataset, rest),
        };
        match rest {
            [file @ ("map" | "map.png" | "map.jpg" | "map.jpeg")] if maps => Some(Route::Map(scope, file)),
            ["map", "tiles"] if tiles => Some(Route::TileSets(scope)),
            ["map", "tiles", set] if tiles => Some(Route::TileSet(scope, set)),
            ["map", "tiles", set, level, row, column] if tiles => {
                Some(Route::Tile(scope, TilePlace { set, level, row, column }))
            }
            _ => None,
        }
    }
}

/// One request and what is known of it.
struct Visit<'a> {
    api: &'a OgcApi,
    request: &'a Request,
    parameters: Parameters,
    frame: Frame,
}

impl OgcApi {
    /// # Errors
    /// EPSG:4326 itself is not known. Other unknown systems are only never
    /// served: `check` names them.
    pub fn new(parts: OgcApiParts, manners: &Manners) -> Result<OgcApi, SrsError> {
        let geographic = Srs::parse("EPSG:4326")?;
        let layers = LayerTree::new(parts.root, &geographic);
        let mut names = Vec::new();
        collect_names(&layers, layers.root_at(), &mut names);
        let dataset = parts.dataset.filter(|names| !names.is_empty());
        let grids: Vec<(String, Arc<TileGrid>)> =
            parts.grids.into_iter().map(|(key, grid)| (public_name(key), grid)).collect();
        let mut tiles = HashMap::new();
        for layer in parts.tiles {
            let Some((id, _)) = grids.iter().find(|(_, grid)| Arc::ptr_eq(grid, layer.tiles.grid())) else {
                continue;
            };
            tiles.insert((layer.name.clone(), id.clone()), ServedLayer::new(layer, true));
        }
        Ok(OgcApi {
            dataset: dataset.map(|names| names.iter().filter_map(|name| layers.find(name)).collect()),
            names,
            nominal_scales: parts.nominal_scales,
            tiles,
            tile_answers: TileAnswers::new(
                Kind::OgcApi,
                "ogcapi.tile",
                parts.expires_s,
                manners,
                refusal::tile_failure,
            ),
            grids,
            metadata: parts.metadata,
            enable_tiles: parts.enable_tiles,
            enable_maps: parts.enable_maps,
            map_srs: parts.map_srs.iter().filter_map(|code| Srs::parse(code).ok()).collect(),
            image_formats: parts.image_formats,
            attribution: parts.attribution.filter(|attribution| !attribution.text.is_empty()),
            on_source_errors: parts.on_source_errors,
            limits: SizeLimits {
                // A map may be ten times as wide as a square of all pixels, as in MapProxy.
                side_px_max: parts.pixels_max.isqrt() * 10,
                pixels_max: parts.pixels_max,
            },
            concurrent_layers: parts.concurrent_layers.max(1),
            cache_control: format!("public, max-age={0}, s-maxage={0}", parts.expires_s),
            background_url: parts.background_url,
            has_demo: parts.has_demo,
            hide_error_details: manners.hide_error_details,
            decorations: manners.decorations.clone(),
            layers,
            geographic,
        })
    }

    /// Answers below `/ogcapi`; `path` is what follows.
    pub fn answer(&self, path: &str, url: &BaseUrl<'_>, request: &Request) -> Answer {
        if let Some(name) = path.strip_prefix("/static/") {
            return Answer::Ready(demo::assets::answer(name, request));
        }
        let parameters = Parameters::parse(&request.query);
        let html = request::wants_html(&parameters, request);
        let frame = Frame {
            base: url.script_url(),
            title: self.metadata("identification.title").unwrap_or("OGC API").to_owned(),
            html,
            background_url: self.background_url.clone(),
            has_demo: self.has_demo,
        };
        let visit = Visit { api: self, request, parameters, frame };
        let answer = match Route::parse(path, self.enable_maps, self.enable_tiles) {
            Some(route) => visit.answer(route),
            None => Err(Refusal::not_found("There is nothing at this address")),
        };
        let answer = answer.unwrap_or_else(|refusal| Answer::Ready(refusal.respond(&visit.frame)));
        match visit.parameters.contains("f") {
            true => answer,
            // What is sent depends on what the client accepts.
            false => draw::with_fields(answer, vec![("Vary".into(), "Accept".to_owned())]),
        }
    }

    /// A text of `md` by its dotted key.
    fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, text)| text.as_str())
    }

    /// The formats of images that are served, the preferred one first.
    fn served_formats(&self) -> Vec<Format> {
        let known = [Format::Png, Format::Jpeg].into_iter();
        known.filter(|format| self.image_options(*format).is_some()).collect()
    }

    /// MIME type, name and extension of [`OgcApi::served_formats`].
    fn offered(&self) -> impl Iterator<Item = [&'static str; 3]> {
        self.served_formats().into_iter().map(|format| match format {
            Format::Jpeg => ["image/jpeg", "JPEG", "jpg"],
            _ => ["image/png", "PNG", "png"],
        })
    }

    /// The extension of the images that pages show.
    fn shown_extension(&self) -> &'static str {
        self.offered().next().map_or("png", |[_, _, extension]| extension)
    }

    /// How a format is written; `None` where the service does not offer it.
    fn image_options(&self, format: Format) -> Option<&ImageOptions> {
        self.image_formats.iter().find(|options| options.format == format)
    }

    fn grid(&self, id: &str) -> Result<&Arc<TileGrid>, Refusal> {
        let found = self.grids.iter().find(|(known, _)| known == id);
        found.map(|(_, grid)| grid).ok_or_else(|| Refusal::not_found("TileMatrixSet not found"))
    }
}

impl Visit<'_> {
    fn answer(&self, route: Route<'_>) -> Result<Answer, Refusal> {
        match route {
            Route::Landing => self.landing(),
            Route::Conformance => self.conformance(),
            Route::Api => self.openapi(),
            Route::Collections => self.collections(),
            Route::Collection(name) => self.collection(name),
            Route::Map(scope, file) => self.map(scope, file),
            Route::TileMatrixSets => self.tile_matrix_sets(),
            Route::TileMatrixSet(id) => self.tile_matrix_set(id),
            Route::TileSets(scope) => self.tile_sets(scope),
            Route::TileSet(scope, set) => self.tile_set(scope, set),
            Route::Tile(scope, place) => self.tile(scope, place),
        }
    }

    /// An address below the service's mount point.
    fn href(&self, path: &str) -> String {
        format!("{}{path}", self.frame.base)
    }

    /// A document as JSON, or as the page that `template` makes of it.
    fn document(&self, template: &'static str, title: &str, json: &Value, more: minijinja::Value) -> Answer {
        Answer::Ready(if self.frame.html {
            self.frame.document(template, title, json, more)
        } else {
            json_response("application/json", json)
        })
    }
}

fn json_response(mime: &str, json: &Value) -> Response {
    document(200, mime, format!("{json:#}"))
}

/// A name as a segment of a path.
fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// `/ogcapi` or `/ogcapi/collections/NAME`.
fn scope_path(scope: Scope<'_>) -> String {
    match scope {
        Scope::Dataset => "/ogcapi".to_owned(),
        Scope::Collection(name) => format!("/ogcapi/collections/{}", segment(name)),
    }
}

/// MapProxy's own grid is the OGC's, whose name clients know.
fn public_name(key: String) -> String {
    if key == "GLOBAL_WEBMERCATOR" { WEB_MERCATOR.to_owned() } else { key }
}

const WEB_MERCATOR: &str = "WebMercatorQuad";

/// Groups before their layers, each name once.
fn collect_names(layers: &LayerTree, at: usize, names: &mut Vec<String>) {
    let node = layers.node(at);
    if let Some(name) = node.name.as_ref().filter(|name| !names.contains(name)) {
        names.push(name.clone());
    }
    for &child in &node.children {
        collect_names(layers, child, names);
    }
}
