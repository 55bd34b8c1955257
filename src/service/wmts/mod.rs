//! The Web Map Tile Service 1.0.0, key-value and RESTful: two ways of asking
//! for the same tiles.

pub mod capabilities;
mod feature_info;
pub mod kvp;
pub mod rest;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::Answer;
use super::exception::{Failure, wmts_failure};
use super::metadata::ServiceMetadata;
use super::parameters::Parameters;
use super::permit::{Feature, Kind, Question};
use super::question::{about_all, about_layer, about_tile};
use super::site::Manners;
use super::tile::{PublicTile, ServedLayer, TileAnswers, TileLayer, plain_integer};
use crate::geo::Origin;
use crate::plan::TileAddress;
use crate::wire::Request;

pub use rest::{PathTemplate, TemplateError};

/// `services.wmts` (mapproxy-features.md §7.5).
#[derive(Clone)]
pub struct WmtsParts {
    pub metadata: ServiceMetadata,
    pub layers: Vec<TileLayer>,
    pub kvp: bool,
    pub restful: bool,
    /// `restful_template` as written; the default where absent.
    pub restful_template: Option<String>,
    pub restful_featureinfo_template: Option<String>,
    /// `featureinfo_formats`: suffix, MIME type.
    pub info_formats: Vec<(String, String)>,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}

/// A layer and the grids on which it is served.
pub(super) struct WmtsLayer {
    pub(super) name: String,
    /// In the order of the configuration.
    pub(super) by_grid: Vec<ServedLayer>,
}

impl WmtsLayer {
    /// What capabilities say of the layer is said of its first grid.
    fn first(&self) -> &ServedLayer {
        &self.by_grid[0]
    }

    fn on_grid(&self, name: &str) -> Option<&ServedLayer> {
        self.by_grid.iter().find(|layer| layer.grid().name == name)
    }
}

/// The service at `/service` and `/ows` (key-value) and at `/wmts` (RESTful).
pub struct Wmts {
    metadata: ServiceMetadata,
    pub(super) layers: Vec<WmtsLayer>,
    by_name: HashMap<String, usize>,
    info_formats: Vec<(String, String)>,
    pub kvp: bool,
    pub restful: bool,
    pub(super) template: PathTemplate,
    info_template: PathTemplate,
    answers: Arc<TileAnswers>,
    hide_error_details: bool,
    skipped: Vec<String>,
}

/// A tile as either way of asking names it.
struct TileQuery<'a> {
    layer: Cow<'a, str>,
    matrix_set: Cow<'a, str>,
    matrix: Cow<'a, str>,
    column: Cow<'a, str>,
    row: Cow<'a, str>,
    /// Empty: the layer's own.
    format: Cow<'a, str>,
}

impl Wmts {
    /// # Errors
    /// A template that lacks a required variable.
    pub fn new(parts: WmtsParts, manners: &Manners) -> Result<Wmts, TemplateError> {
        let template = parts.restful_template.as_deref().unwrap_or(rest::DEFAULT_TEMPLATE);
        let info_template =
            parts.restful_featureinfo_template.as_deref().unwrap_or(rest::DEFAULT_INFO_TEMPLATE);
        let mut wmts = Wmts {
            metadata: parts.metadata,
            layers: Vec::new(),
            by_name: HashMap::new(),
            info_formats: parts.info_formats,
            kvp: parts.kvp,
            restful: parts.restful,
            template: PathTemplate::parse(template, false)?,
            info_template: PathTemplate::parse(info_template, true)?,
            answers: TileAnswers::new(Kind::Wmts, "wmts", parts.expires_s, manners, wmts_failure),
            hide_error_details: manners.hide_error_details,
            skipped: Vec::new(),
        };
        for layer in parts.layers {
            wmts.add(layer);
        }
        Ok(wmts)
    }

    fn add(&mut self, layer: TileLayer) {
        let served = ServedLayer::new(layer, true);
        let name = served.layer.name.clone();
        if !served.grid().supports_origin(Origin::NorthWest) {
            let (grid, cache) = (&served.grid().name, &served.layer.cache_name);
            self.skipped.push(format!(
                "layer '{name}' is left out of WMTS: rows of grid '{grid}' of cache '{cache}' cannot be counted from the top"
            ));
            return;
        }
        let at = *self.by_name.entry(name.clone()).or_insert_with(|| {
            self.layers.push(WmtsLayer { name, by_grid: Vec::new() });
            self.layers.len() - 1
        });
        let by_grid = &mut self.layers[at].by_grid;
        match by_grid.iter_mut().find(|known| known.spec == served.spec) {
            Some(known) => *known = served,
            None => by_grid.push(served),
        }
    }

    /// Sentences for the operator: layers that are not served and why.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Every layer on every grid, as the demo pages describe them.
    pub fn layers(&self) -> impl Iterator<Item = &ServedLayer> {
        self.layers.iter().flat_map(|layer| &layer.by_grid)
    }

    /// Where RESTful tiles lie below `/wmts`: each variable becomes what
    /// `value_of` says.
    pub fn rest_path(&self, value_of: impl Fn(&str) -> String) -> String {
        self.template.fill(value_of)
    }

    /// [`Wmts::rest_path`] for feature info.
    pub fn info_path(&self, value_of: impl Fn(&str) -> String) -> String {
        self.info_template.fill(value_of)
    }

    /// The formats of feature info: suffix, MIME type.
    pub fn info_formats(&self) -> &[(String, String)] {
        &self.info_formats
    }

    fn layer(&self, name: &str) -> Result<&WmtsLayer, Failure> {
        let at = self.by_name.get(name).copied();
        at.map(|at| &self.layers[at])
            .ok_or_else(|| Failure::coded("InvalidParameterValue", format!("unknown layer: {name}")))
    }

    fn layer_on_grid(&self, query: &TileQuery<'_>) -> Result<&ServedLayer, Failure> {
        let unknown = || {
            let message = format!("unknown tilematrixset: {}", query.matrix_set);
            Failure::coded("InvalidParameterValue", message)
        };
        self.layer(&query.layer)?.on_grid(&query.matrix_set).ok_or_else(unknown)
    }

    /// The question that key-value pairs put to whoever guards the site; `None`
    /// for what is refused anyhow.
    pub(super) fn question(&self, parameters: &Parameters) -> Option<Question> {
        match &*parameters.first("request")?.to_lowercase() {
            "getcapabilities" => Some(self.question_of_all()),
            "gettile" => self.tile_question("wmts", Feature::Tile, &TileQuery::of(parameters)),
            "getfeatureinfo" => {
                self.tile_question("wmts.featureinfo", Feature::FeatureInfo, &TileQuery::of(parameters))
            }
            _ => None,
        }
    }

    fn question_of_all(&self) -> Question {
        about_all(Kind::Wmts, "wmts", self.layers.iter().map(|layer| layer.name.clone()).collect())
    }

    fn tile_question(
        &self,
        service: &'static str,
        feature: Feature,
        query: &TileQuery<'_>,
    ) -> Option<Question> {
        let layer = self.layer_on_grid(query).ok()?;
        let coord = query.tile().and_then(|tile| layer.coord(tile, false, Some(Origin::NorthWest)));
        Some(match coord {
            Ok(coord) => about_tile(Kind::Wmts, service, feature, layer, coord),
            // Who may ask is told what is wrong with it.
            Err(_) => about_layer(Kind::Wmts, service, feature, layer),
        })
    }

    /// Answers with a tile; `value_of` gives dimension values by lower-case name.
    fn tile<'a>(
        &self,
        query: &TileQuery<'_>,
        value_of: impl Fn(&str) -> Option<&'a str>,
        request: &Request,
    ) -> Result<Answer, Failure> {
        let layer = self.layer_on_grid(query)?;
        let tile = query.tile()?;
        if !query.format.is_empty() {
            layer.check_format(&query.format)?;
        }
        let coord = layer.coord(tile, false, Some(Origin::NorthWest))?;
        let dimensions = layer.dimensions(value_of)?;
        Ok(self.answers.tile(layer, TileAddress { coord, dimensions }, request))
    }
}

impl TileQuery<'_> {
    fn tile(&self) -> Result<PublicTile, Failure> {
        let invalid = |what: &str, value: &str| {
            Failure::coded("InvalidParameterValue", format!("invalid {what} ({value})"))
        };
        let x = plain_integer(&self.column).ok_or_else(|| invalid("tilecol", &self.column))?;
        let y = plain_integer(&self.row).ok_or_else(|| invalid("tilerow", &self.row))?;
        let z = plain_integer(&self.matrix).ok_or_else(|| invalid("tilematrix", &self.matrix))?;
        Ok(PublicTile { x, y, z })
    }
}
