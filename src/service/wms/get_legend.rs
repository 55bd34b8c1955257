//! GetLegendGraphic: the legends of a layer's sources, stacked, as a picture or
//! as JSON.

use std::sync::Arc;

use super::request::{Telling, require};
use super::{Wms, WmsVersion};
use crate::plan::{Legend, PlanError, Turn, legend};
use crate::render::{self, DecodeLimits, ImageOptions};
use crate::service::Answer;
use crate::service::exception::{Failure, document};
use crate::service::parameters::Parameters;
use crate::story;
use crate::wire::Response;

/// The one version of SLD that is spoken.
const SLD_VERSION: &str = "1.1.0";
const JSON: &str = "application/json";

/// What a legend is sent as.
enum Output {
    Json,
    Image { mime: String, image: ImageOptions },
}

struct PlannedLegend {
    legends: Vec<Arc<Legend>>,
    output: Output,
    /// As MapProxy writes it (`5.0`).
    scale: Option<String>,
}

struct LegendWork {
    legend: PlannedLegend,
    telling: Telling,
}

impl Wms {
    pub(super) fn get_legend(&self, version: WmsVersion, parameters: &Parameters) -> Answer {
        let mut telling = self.telling(version, parameters);
        match self.plan_legend(version, parameters, &mut telling) {
            Ok(legend) => {
                let work = LegendWork { legend, telling };
                Answer::Work(Box::new(move |turn| work.run(turn)))
            }
            Err(failure) => telling.answer(failure),
        }
    }

    fn plan_legend(
        &self,
        version: WmsVersion,
        parameters: &Parameters,
        telling: &mut Telling,
    ) -> Result<PlannedLegend, Failure> {
        let mut names = vec!["version", "request", "layer", "format", "sld_version"];
        if !self.strict {
            names.pop();
        }
        require(&names, parameters, telling)?;
        let sld_version = parameters.first("sld_version").unwrap_or(SLD_VERSION);
        if sld_version != SLD_VERSION {
            return Err(Failure::new(format!("invalid sld_version {sld_version}")));
        }
        let name = parameters.first("layer").unwrap_or_default();
        let Some(at) = self.layers.find(name) else {
            return Err(Failure::coded("LayerNotDefined", format!("unknown layer: {name}")));
        };
        story::name_layer(name);
        let legends = self.layers.legends(at);
        if legends.is_empty() {
            let message = format!("layer {name} has no legend graphic");
            return Err(Failure { status: Some(404), ..Failure::new(message) });
        }
        // Where it is given twice, the first counts, as in MapProxy; the format of a map is all of them.
        let format = parameters.first("format").unwrap_or_default();
        let output = if format.eq_ignore_ascii_case(JSON) {
            Output::Json
        } else {
            let (mime, image) = &self.image_formats[self.find_format(version, format, telling)?];
            Output::Image { mime: mime.clone(), image: image.clone() }
        };
        let scale = match parameters.first("scale").filter(|scale| !scale.is_empty()) {
            Some(text) => {
                Some(scale_text(text).ok_or_else(|| Failure::new(format!("invalid scale {text}")))?)
            }
            None => None,
        };
        Ok(PlannedLegend { legends, output, scale })
    }
}

/// A number as Python prints it: it is part of the name under which MapProxy keeps the legend.
fn scale_text(text: &str) -> Option<String> {
    let scale: f64 = text.trim().parse().ok().filter(|scale: &f64| scale.is_finite())?;
    Some(format!("{scale:?}"))
}

impl LegendWork {
    fn run(self, turn: &Turn) -> Response {
        match self.make(turn) {
            Ok(response) => response,
            Err(error) => {
                crate::log::warn!("no legend: {error}");
                self.telling.respond(&Failure::new("the legend cannot be drawn (see logs for the reason)."))
            }
        }
    }

    fn make(&self, turn: &Turn) -> Result<Response, PlanError> {
        let PlannedLegend { legends, output, scale } = &self.legend;
        let scale = scale.as_deref();
        let (mime, image) = match output {
            Output::Json => {
                let mut entries = Vec::new();
                for legend in legends {
                    legend.entries(scale, turn, &mut entries);
                }
                let body = serde_json::json!({ "Legend": entries }).to_string();
                return Ok(document(200, JSON, body));
            }
            Output::Image { mime, image } => (mime, image),
        };
        let mut pictures = Vec::with_capacity(legends.len());
        for legend in legends {
            pictures.push(legend.draw(mime, scale, turn)?);
        }
        let stacked = legend::stack(pictures, &DecodeLimits::default())?;
        let image = ImageOptions { transparent: Some(stacked.has_alpha()), ..image.clone() };
        let encoded = render::encode(&stacked, &image, None)
            .map_err(|error| PlanError::Image { origin: "legend".into(), reason: error.to_string() })?;
        Ok(Response::new(200, mime, encoded.bytes))
    }
}
