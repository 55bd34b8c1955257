//! What lies at a pixel of a tile, for both ways of asking.

use std::sync::Arc;

use super::{TileQuery, Wmts};
use crate::geo::Origin;
use crate::plan::{InfoLayer, InfoRequest, PlanError, Position, Turn, error_text, feature_info};
use crate::service::Answer;
use crate::service::exception::{Failure, document, wmts_failure};
use crate::service::tile::plain_integer;
use crate::story;
use crate::wire::Response;

/// The pixel of the tile, and how the answer is wanted.
pub(super) struct InfoPixel<'a> {
    pub(super) column: &'a str,
    pub(super) row: &'a str,
    /// A MIME type, or a suffix of `featureinfo_formats`.
    pub(super) format: &'a str,
    pub(super) feature_count: Option<&'a str>,
}

struct InfoWork {
    infos: Vec<Arc<dyn InfoLayer>>,
    request: InfoRequest,
    mime: String,
    hide_error_details: bool,
}

impl Wmts {
    /// Checks the tile and the pixel, then asks the layer's sources on a thread.
    pub(super) fn feature_info(
        &self,
        query: &TileQuery<'_>,
        pixel: &InfoPixel<'_>,
    ) -> Result<Answer, Failure> {
        let layer = self.layer_on_grid(query)?;
        let tile = query.tile()?;
        let mime = self.info_mime(pixel.format)?;
        if layer.layer.infos.is_empty() {
            let message = format!("layer {} not queryable", query.layer);
            return Err(Failure::coded("OperationNotSupported", message));
        }
        let coord = layer.coord(tile, false, Some(Origin::NorthWest))?;
        let side = |name: &str, text: &str| {
            let value = plain_integer(text).filter(|value| (0..=i64::from(u16::MAX)).contains(value));
            value.ok_or_else(|| Failure::coded("InvalidParameterValue", format!("invalid {name} ({text})")))
        };
        let position = Position::whole(side("i", pixel.column)?, side("j", pixel.row)?);
        let grid = layer.grid();
        story::name_layer(&query.layer);
        let work = InfoWork {
            infos: layer.layer.infos.clone(),
            request: InfoRequest {
                extent: grid.tile_extent(coord),
                size: grid.tile_size,
                srs: grid.srs.clone(),
                position,
                info_format: Some(mime.clone()),
                format: None,
                feature_count: pixel.feature_count.map(str::to_owned),
            },
            mime,
            hide_error_details: self.hide_error_details,
        };
        Ok(Answer::Work(Box::new(move |turn| work.run(turn))))
    }

    fn info_mime(&self, asked: &str) -> Result<String, Failure> {
        let is_mime = asked.contains('/');
        let found =
            self.info_formats.iter().find(|(suffix, mime)| asked == if is_mime { mime } else { suffix });
        found
            .map(|(_, mime)| mime.clone())
            .ok_or_else(|| Failure::coded("InvalidParameterValue", format!("unknown infoformat: {asked}")))
    }
}

impl InfoWork {
    fn run(self, turn: &Turn) -> Response {
        match self.ask(turn) {
            Ok(body) => document(200, &self.mime, body),
            Err(failure) => wmts_failure(&failure),
        }
    }

    /// The documents of all sources as one; nothing where nobody knows anything.
    fn ask(&self, turn: &Turn) -> Result<String, Failure> {
        let failed = |error: PlanError| {
            crate::log::warn!("no feature info: {error}");
            Failure::coded("NoApplicableCode", error_text(&error, self.hide_error_details))
        };
        let mut documents = Vec::new();
        for info in &self.infos {
            documents.extend(info.info(&self.request, turn).map_err(failed)?);
        }
        if documents.is_empty() {
            return Ok(String::new());
        }
        match feature_info::combine(&documents, None) {
            Ok((body, _)) => Ok(body),
            Err(error) => {
                crate::log::error!("feature info failed: {error}");
                Err(Failure { unexpected: true, ..Failure::new("internal error") })
            }
        }
    }
}
