//! A source of ready tiles.

use std::sync::Arc;

use super::address::{clean, redact};
use super::{Answer, Client, OnError, SourceError};
use crate::geo::{TileCoord, TileGrid};

/// What of a body that is no image goes into the error.
const EXCERPT_BYTES: usize = 1_000;

pub struct TileSource {
    pub name: String,
    pub grid: Arc<TileGrid>,
    pub template: super::template::UrlTemplate,
    pub format: String,
    pub client: Arc<Client>,
    pub on_error: OnError,
}

impl TileSource {
    /// The tile as it came; `tile` is counted in the source grid's own way.
    /// Failures, also an answer that is no image, go through `on_error`.
    pub fn fetch(&self, tile: TileCoord) -> Result<Answer, SourceError> {
        let url = self.template.fill(tile, &self.grid, &self.format);
        let fetched = match self.client.fetch(&url, None) {
            Ok(fetched) => fetched,
            Err(error) => return self.on_error.answer(error),
        };
        // As MapProxy: an answer without a type may be one.
        let is_image =
            fetched.content_type.is_empty() || fetched.content_type.to_ascii_lowercase().starts_with("image");
        if !is_image {
            return self.on_error.answer(SourceError::NotAnImage {
                url: redact(&url),
                content_type: fetched.content_type,
                excerpt: excerpt(&fetched.bytes),
            });
        }
        Ok(Answer::Image { bytes: fetched.bytes, content_type: fetched.content_type })
    }
}

/// The beginning of a foreign body as text of one line.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(EXCERPT_BYTES)];
    clean(&String::from_utf8_lossy(start), EXCERPT_BYTES)
}
