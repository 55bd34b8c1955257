//! GetMap: from checked parameters to a composed map.

use std::sync::Arc;

use super::layer::LayerExtent;
use super::request::{MapRequest, Telling};
use super::{Wms, WmsVersion};
use crate::geo::Extent;
use crate::plan::{
    ComposeOptions, Composed, Decoration, MapLayer, MapQuery, OnSourceErrors, PlanError, compose, error_text,
};
use crate::render::DecodeLimits;
use crate::service::Answer;
use crate::service::decorations::Occasion;
use crate::service::exception::{Failure, no_cache};
use crate::service::parameters::Parameters;
use crate::service::permit::Kind;
use crate::service::tile::keep_by_content;
use crate::story;
use crate::wire::{Headers, Request, Response};

/// What is to be drawn, and the type under which it is sent.
struct PlannedMap {
    layers: Vec<Arc<dyn MapLayer>>,
    query: MapQuery,
    options: ComposeOptions,
    mime: String,
}

/// Everything a thread needs to draw one map.
struct MapWork {
    map: PlannedMap,
    telling: Telling,
    /// `tiled=true`: how long the tile may be kept, and what the client has.
    tile: Option<(String, Headers)>,
}

impl Wms {
    pub(super) fn get_map(&self, version: WmsVersion, parameters: &Parameters, request: &Request) -> Answer {
        let mut telling = self.telling(version, parameters);
        let planned = MapRequest::parse(self, version, parameters, &mut telling)
            .and_then(|map| self.plan(&map, parameters, request));
        match planned {
            Ok(map) => {
                let tile =
                    map.query.tiled_only.then(|| (self.cache_control.clone(), request.headers.clone()));
                let work = MapWork { map, telling, tile };
                Answer::Work(Box::new(move |turn| work.run(turn)))
            }
            Err(failure) => telling.answer(failure),
        }
    }

    fn plan(
        &self,
        map: &MapRequest,
        parameters: &Parameters,
        request: &Request,
    ) -> Result<PlannedMap, Failure> {
        let (mime, image) = &self.image_formats[map.format];
        let mut image = image.clone();
        image.transparent = Some(map.transparent);
        image.background = map.background;
        let mut drawing = Vec::new();
        let mut query = MapQuery {
            extent: map.extent,
            size: map.size,
            srs: map.srs.clone(),
            format: image.format,
            transparent: map.transparent,
            tiled_only: map.tiled_only,
            dimensions: Vec::new(),
            parameters: parameters.pairs().map(|(name, value)| (name.to_owned(), value)).collect(),
            mime: Some(Arc::from(mime.as_str())),
        };
        for name in &map.layers {
            // Unknown names were refused before.
            let Some(at) = self.layers.find(name) else { continue };
            story::name_layer(name);
            if self.layers.node(at).renders(&query) {
                self.layers.drawing(at, &mut drawing);
            }
        }
        query.dimensions = self.dimensions(&drawing, parameters)?;
        let crop = self.crop(map);
        let is_outside = crop.is_some_and(|crop| !crop.intersects(&map.extent));
        let maps = drawing.iter().filter_map(|&at| self.layers.node(at).maps.as_ref());
        let layers = if is_outside { Vec::new() } else { maps.flatten().cloned().collect() };
        let options = ComposeOptions {
            image,
            on_source_errors: self.on_source_errors,
            hide_error_details: self.hide_error_details,
            attribution: self.attribution.clone().filter(|own| !own.text.is_empty() && !is_outside),
            concurrent_layers: self.concurrent_layers,
            limit: None,
            crop,
            surround: None,
            ground_alpha: 0,
            decoration: self.decoration(map, &drawing, request),
            decode_limits: DecodeLimits::default(),
        };
        Ok(PlannedMap { layers, query, options, mime: mime.clone() })
    }

    /// What is added to the map, by the rules of the site.
    fn decoration(&self, map: &MapRequest, drawing: &[usize], request: &Request) -> Option<Decoration> {
        let decorations = self.decorations.as_ref()?;
        let occasion = Occasion {
            kind: Kind::Wms,
            service: "wms.map",
            asked: &map.layers,
            drawn: &self.layers.names_of(drawing),
            extent: &map.extent,
            srs: &map.srs_code,
        };
        decorations.choose(&occasion, request)
    }

    /// `bbox_srs` with an extent crops maps of that system.
    fn crop(&self, map: &MapRequest) -> Option<Extent> {
        let (_, allowed) = self.srs_extents.iter().find(|(code, _)| *code == map.srs_code)?;
        *allowed
    }

    /// Values for the dimensions that the drawn layers have; others are not
    /// passed on, or any client could fill a cache with variants.
    fn dimensions(
        &self,
        drawing: &[usize],
        parameters: &Parameters,
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut values: Vec<(String, String)> = Vec::new();
        for dimension in drawing.iter().flat_map(|&at| &self.layers.node(at).dimensions) {
            let key = dimension.key();
            let Some(value) = parameters.first(&key).filter(|value| !value.is_empty()) else { continue };
            if values.iter().any(|(known, _)| *known == key) {
                continue;
            }
            let is_known = dimension.values.iter().any(|known| known == value) || value == dimension.default;
            if !is_known {
                let message = format!("invalid dimension value ({key}={value})");
                return Err(Failure::coded("InvalidDimensionValue", message));
            }
            values.push((key, value.to_owned()));
        }
        Ok(values)
    }

    /// The allowed extent of a system, if the operator set one.
    pub(super) fn srs_extent(&self, code: &str) -> Option<LayerExtent> {
        let (_, extent) = self.srs_extents.iter().find(|(known, _)| known == code)?;
        let srs = self.srs_by_code.get(code)?.clone();
        Some(match extent {
            Some(extent) => {
                // Nobody writes decimals to whole numbers.
                let whole_edges = extent.to_array().map(|edge| edge.fract() == 0.0 && edge.abs() < WHOLE_MAX);
                LayerExtent { extent: *extent, srs, whole_edges, is_default: false }
            }
            None => LayerExtent::world(&self.geographic),
        })
    }
}

/// Beyond it a number is not written out.
const WHOLE_MAX: f64 = 1e15;

impl MapWork {
    fn run(self, turn: &crate::plan::Turn) -> Response {
        let PlannedMap { layers, query, options, .. } = &self.map;
        match compose(layers, query, options, turn) {
            Ok(composed) => self.respond(composed),
            Err(error) => self.telling.respond(&self.failure(&error)),
        }
    }

    fn respond(self, composed: Composed) -> Response {
        let cacheable = composed.cacheable;
        let bytes = composed.image.bytes;
        // A tile that is passed on as it lies has a type of its own.
        let mime = match composed.image.format {
            format if format == self.map.query.format => self.map.mime,
            format => format.mime().to_owned(),
        };
        let response = Response::new(200, &mime, bytes);
        if !cacheable {
            return no_cache(response);
        }
        match self.tile {
            Some((cache_control, conditions)) => keep_by_content(response, cache_control, &conditions),
            None => response,
        }
    }

    fn failure(&self, error: &PlanError) -> Failure {
        match error {
            PlanError::Source(_) | PlanError::Image { .. } => {
                crate::log::warn!("map failed: {error}");
                let text = error_text(error, self.map.options.hide_error_details);
                Failure::new(match self.map.options.on_source_errors {
                    OnSourceErrors::Notify => format!("Could not get any sources:\n{text}"),
                    OnSourceErrors::Raise => text,
                })
            }
            PlanError::TooManyTiles { .. } => {
                Failure::new(format!("Request too large or invalid BBOX. ({error})"))
            }
            PlanError::NotOneTile(reason) if reason.starts_with("invalid") => {
                Failure::new(format!("Invalid request: {reason}"))
            }
            PlanError::NotOneTile(reason) => {
                Failure::new(format!("Request too large or invalid BBOX. ({reason})"))
            }
            PlanError::Untransformable => Failure::new("Could not transform BBOX: Invalid result."),
            PlanError::TileOutOfRange => Failure::new("Request too large or invalid BBOX."),
            PlanError::Decoration(_) => {
                crate::log::warn!("map failed: {error}");
                Failure { unexpected: true, ..Failure::new("internal error") }
            }
            PlanError::Cache(_) | PlanError::Timeout { .. } => {
                crate::log::error!("map failed: {error}");
                Failure { unexpected: true, ..Failure::new("internal error") }
            }
        }
    }
}
