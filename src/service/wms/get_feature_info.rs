//! GetFeatureInfo: from checked parameters to one document about a point.

use std::sync::Arc;

use super::request::{Telling, check_styles, map_parameters, parse_extent, parse_size, require, with_axes};
use super::{Wms, WmsVersion};
use crate::plan::{
    InfoDocument, InfoKind, InfoLayer, InfoRequest, OnSourceErrors, PlanError, Position, Stylesheet, Turn,
    error_text, feature_info,
};
use crate::service::Answer;
use crate::service::exception::{Failure, document};
use crate::service::parameters::Parameters;
use crate::story;
use crate::wire::Response;

/// Who is asked about what.
struct PlannedInfo {
    /// The sources of the layers that answer, in order.
    infos: Vec<Arc<dyn InfoLayer>>,
    request: InfoRequest,
    /// `info_format` as the client wrote it.
    mime: Option<String>,
}

/// Everything a thread needs to answer.
struct InfoWork {
    info: PlannedInfo,
    version: WmsVersion,
    telling: Telling,
    stylesheets: Vec<(InfoKind, Arc<Stylesheet>)>,
    on_source_errors: OnSourceErrors,
    hide_error_details: bool,
}

impl Wms {
    pub(super) fn get_feature_info(&self, version: WmsVersion, parameters: &Parameters) -> Answer {
        let mut telling = self.telling(version, parameters);
        match self.plan_feature_info(version, parameters, &mut telling) {
            Ok(info) => {
                let work = InfoWork {
                    info,
                    version,
                    telling,
                    stylesheets: self.info_stylesheets.clone(),
                    on_source_errors: self.on_source_errors,
                    hide_error_details: self.hide_error_details,
                };
                Answer::Work(Box::new(move |turn| work.run(turn)))
            }
            Err(failure) => telling.answer(failure),
        }
    }

    /// Checks everything and finds who is asked; asks nobody yet.
    fn plan_feature_info(
        &self,
        version: WmsVersion,
        parameters: &Parameters,
        telling: &mut Telling,
    ) -> Result<PlannedInfo, Failure> {
        let [column, row] = if version == WmsVersion::V130 { ["i", "j"] } else { ["x", "y"] };
        let mut names = map_parameters(version).to_vec();
        names.extend(["query_layers", column, row]);
        if !self.strict {
            names.retain(|name| !matches!(*name, "format" | "styles"));
        }
        require(&names, parameters, telling)?;
        let extent = parse_extent(parameters)?;
        check_styles(parameters)?;
        self.known_layers("layers", parameters)?;
        let (_, srs) = self.find_srs(version, parameters)?;
        let size = parse_size(parameters)
            .ok_or_else(|| Failure::new("invalid size: width and height must be positive numbers"))?;
        let position = parse_position(parameters, column, row)?;
        let text = |name: &str| parameters.joined(name).filter(|value| !value.is_empty());
        let mime = text("info_format");
        let request = InfoRequest {
            extent: with_axes(extent, version, &srs),
            size,
            srs,
            position,
            info_format: mime.clone(),
            format: picture_format(parameters),
            feature_count: parameters.first("feature_count").filter(|n| !n.is_empty()).map(str::to_owned),
        };
        Ok(PlannedInfo { infos: self.asked_infos(parameters)?, request, mime })
    }

    fn asked_infos(&self, parameters: &Parameters) -> Result<Vec<Arc<dyn InfoLayer>>, Failure> {
        let mut asked = Vec::new();
        let lists = parameters.values("query_layers").unwrap_or_default().iter();
        for name in lists.flat_map(|list| list.split(',')) {
            let Some(at) = self.layers.find(name) else {
                return Err(Failure::coded("LayerNotDefined", format!("unknown layer: {name}")));
            };
            if !self.layers.node(at).queryable {
                return Err(Failure::new(format!("layer {name} is not queryable")));
            }
            story::name_layer(name);
            self.layers.drawing(at, &mut asked);
        }
        Ok(asked.into_iter().flat_map(|at| &self.layers.node(at).infos).cloned().collect())
    }
}

/// The format of the picture that was clicked on: sources are told its bare type.
fn picture_format(parameters: &Parameters) -> Option<String> {
    let asked = parameters.first("format")?;
    let subtype = asked.split_once('/').map_or(asked, |(_, subtype)| subtype);
    let subtype = subtype.split(';').next().unwrap_or_default().trim();
    (!subtype.is_empty()).then(|| format!("image/{subtype}"))
}

fn parse_position(parameters: &Parameters, column: &str, row: &str) -> Result<Position, Failure> {
    let texts = [column, row].map(|name| parameters.whole(name));
    let is_whole = !texts.iter().any(|text| text.contains('.'));
    let [x, y] = texts.map(|text| {
        let text = text.trim();
        let value = if is_whole { text.parse::<i32>().ok().map(f64::from) } else { text.parse().ok() };
        value.filter(|value: &f64| value.abs() < 1e9)
    });
    match (x, y) {
        (Some(x), Some(y)) => Ok(Position { x, y, is_whole }),
        _ => Err(Failure::new(format!("invalid position: {column} and {row} must be numbers"))),
    }
}

impl InfoWork {
    fn run(self, turn: &Turn) -> Response {
        match self.ask(turn).and_then(|documents| self.respond(&documents)) {
            Ok(response) => response,
            Err(failure) => self.telling.respond(&failure),
        }
    }

    /// With `on_source_errors: notify` sources that fail are left out, unless
    /// nobody else answers.
    fn ask(&self, turn: &Turn) -> Result<Vec<InfoDocument>, Failure> {
        let mut documents = Vec::new();
        let mut first_error: Option<PlanError> = None;
        let mut has_answer = false;
        for layer in &self.info.infos {
            match layer.info(&self.info.request, turn) {
                Ok(document) => {
                    has_answer = true;
                    documents.extend(document);
                }
                Err(error) => {
                    crate::log::warn!("no feature info: {error}");
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if !has_answer || self.on_source_errors == OnSourceErrors::Raise => {
                Err(Failure::new(error_text(&error, self.hide_error_details)))
            }
            _ => Ok(documents),
        }
    }

    fn respond(&self, documents: &[InfoDocument]) -> Result<Response, Failure> {
        let wanted = self.info.mime.as_deref();
        if documents.is_empty() {
            return Ok(document(200, wanted.unwrap_or("text/plain"), ""));
        }
        let has_sheet = |kind: InfoKind| self.stylesheets.iter().any(|(known, _)| *known == kind);
        let wanted_kind = match wanted {
            Some(mime) => InfoKind::of_mime(mime),
            None => {
                [InfoKind::Xml, InfoKind::Html].into_iter().find(|k| has_sheet(*k)).unwrap_or(InfoKind::Text)
            }
        };
        let stylesheet = self.stylesheets.iter().find(|(kind, _)| *kind == wanted_kind);
        let combined = feature_info::combine(documents, stylesheet.map(|(_, sheet)| &**sheet));
        let (body, kind) = combined.map_err(|error| {
            crate::log::error!("feature info failed: {error}");
            Failure { unexpected: true, ..Failure::new("internal error") }
        })?;
        let mime = match kind {
            Some(kind) => mime_of(kind, self.version),
            None => wanted.unwrap_or_else(|| mime_of(wanted_kind, self.version)),
        };
        Ok(document(200, mime, body))
    }
}

/// The MIME type of a document; before 1.3.0 XML is called GML.
fn mime_of(kind: InfoKind, version: WmsVersion) -> &'static str {
    match kind {
        InfoKind::Text => "text/plain",
        InfoKind::Html => "text/html",
        InfoKind::Xml if version == WmsVersion::V130 => "text/xml",
        InfoKind::Xml => "application/vnd.ogc.gml",
        InfoKind::Json => "application/json",
    }
}
