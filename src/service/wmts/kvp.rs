//! WMTS by key-value pairs.

use std::borrow::Cow;

use super::feature_info::InfoPixel;
use super::{TileQuery, Wmts};
use crate::service::Answer;
use crate::service::base_url::BaseUrl;
use crate::service::exception::{Failure, document};
use crate::service::parameters::Parameters;
use crate::wire::Request;

const TILE_PARAMETERS: [&str; 9] =
    ["version", "request", "layer", "style", "tilematrixset", "tilematrix", "tilerow", "tilecol", "format"];
const INFO_PARAMETERS: [&str; 3] = ["infoformat", "i", "j"];

impl Wmts {
    /// Answers a request with `service=WMTS`.
    pub fn answer_kvp(&self, parameters: &Parameters, url: &BaseUrl<'_>, request: &Request) -> Answer {
        let asked = parameters.first("request").map(str::to_lowercase);
        let answer = match asked.as_deref() {
            Some("getcapabilities") => {
                return Answer::Ready(document(200, "application/xml", self.kvp_capabilities(url)));
            }
            Some("gettile") => self.kvp_tile(parameters, request),
            Some("getfeatureinfo") => self.kvp_feature_info(parameters),
            other => {
                let name = other.unwrap_or("None");
                let name = name.strip_prefix("get").unwrap_or(name);
                Err(Failure::new(format!("unknown WMTS request type '{name}'")))
            }
        };
        answer.unwrap_or_else(|failure| self.answers.tell(&failure))
    }

    fn kvp_tile(&self, parameters: &Parameters, request: &Request) -> Result<Answer, Failure> {
        require(parameters, TILE_PARAMETERS.iter())?;
        let query = TileQuery::of(parameters);
        self.tile(&query, |name| parameters.first(name), request)
    }

    fn kvp_feature_info(&self, parameters: &Parameters) -> Result<Answer, Failure> {
        require(parameters, TILE_PARAMETERS.iter().chain(&INFO_PARAMETERS))?;
        let pixel = InfoPixel {
            column: &parameters.whole("i"),
            row: &parameters.whole("j"),
            format: &parameters.whole("infoformat"),
            feature_count: parameters.first("feature_count"),
        };
        self.feature_info(&TileQuery::of(parameters), &pixel)
    }
}

impl<'a> TileQuery<'a> {
    pub(super) fn of(parameters: &'a Parameters) -> TileQuery<'a> {
        let value = |name| parameters.whole(name);
        let format = parameters.first("format").unwrap_or_default();
        let subtype = format.split_once('/').map_or(format, |(_, subtype)| subtype);
        TileQuery {
            layer: value("layer"),
            matrix_set: value("tilematrixset"),
            matrix: value("tilematrix"),
            column: value("tilecol"),
            row: value("tilerow"),
            format: Cow::Borrowed(subtype.split(';').next().unwrap_or_default().trim()),
        }
    }
}

/// All of `names` must be there (they may be empty); styles may only be empty.
fn require<'n>(parameters: &Parameters, names: impl Iterator<Item = &'n &'n str>) -> Result<(), Failure> {
    let missing: Vec<String> =
        names.filter(|name| !parameters.contains(name)).map(|name| format!("'{name}'")).collect();
    if !missing.is_empty() {
        return Err(Failure::new(format!("missing parameters [{}]", missing.join(", "))));
    }
    match parameters.joined("styles") {
        Some(styles) if !styles.replace(',', "").trim().is_empty() => {
            Err(Failure::coded("StyleNotDefined", format!("unsupported styles: {styles}")))
        }
        _ => Ok(()),
    }
}
