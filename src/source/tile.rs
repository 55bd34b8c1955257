//! A source of ready tiles.

use std::sync::Arc;

use super::address::{clean, redact};
use super::{Answer, Client, OnError, SourceError};
use crate::geo::{TileCoord, TileGrid};
use crate::story;

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
        let asked = story::ask(&self.name);
        let got = self.get(tile);
        asked.end(got.is_ok());
        got.or_else(|error| self.on_error.answer(error))
    }

    fn get(&self, tile: TileCoord) -> Result<Answer, SourceError> {
        let url = self.template.fill(tile, &self.grid, &self.format);
        let fetched = self.client.fetch(&url, None)?;
        // As MapProxy: an answer without a type may be one.
        let is_image =
            fetched.content_type.is_empty() || fetched.content_type.to_ascii_lowercase().starts_with("image");
        if !is_image {
            return Err(SourceError::NotAnImage {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{GridOptions, Srs};
    use crate::source::client::ClientOptions;
    use crate::source::error::OnErrorRule;
    use crate::source::template::UrlTemplate;
    use crate::source::upstream::{Upstream, answer, png};

    fn source(url: &str, on_error: OnError) -> TileSource {
        let options = GridOptions {
            name: "g".into(),
            srs: Some(Srs::parse("EPSG:3857").unwrap()),
            ..GridOptions::default()
        };
        TileSource {
            name: "t".into(),
            grid: Arc::new(TileGrid::build(&options).unwrap()),
            template: UrlTemplate::parse(url).unwrap(),
            format: "png".into(),
            client: Arc::new(Client::new(ClientOptions::default())),
            on_error,
        }
    }

    const AT: TileCoord = TileCoord { x: 1, y: 2, z: 3 };

    #[test]
    fn tiles_come_with_or_without_a_type() {
        let upstream = Upstream::answering(vec![png("one"), answer("200 OK", "", "two")]);
        let tiles = source(&upstream.url("/%(z)s/%(x)s/%(y)s.%(format)s"), OnError::default());
        for body in ["one", "two"] {
            let Ok(Answer::Image { bytes, .. }) = tiles.fetch(AT) else { panic!() };
            assert_eq!(bytes, body.as_bytes());
        }
    }

    #[test]
    fn what_is_no_tile_goes_through_on_error() {
        let html = || answer("200 OK", "Content-Type: text/html\r\n", "<html>\nlog in</html>");
        let upstream = Upstream::answering(vec![html(), answer("404 No", "", "")]);
        let url = upstream.url("/%(tms_path)s");
        let error = source(&url, OnError::default()).fetch(AT).unwrap_err();
        assert!(
            matches!(&error, SourceError::NotAnImage { excerpt, .. } if excerpt == "<html> log in</html>"),
            "{error}"
        );
        assert!(matches!(
            source(&url, OnError::default()).fetch(AT),
            Err(SourceError::Status { status: 404, .. })
        ));
        let other =
            OnError(vec![OnErrorRule { status: None, color: [5; 4], cache: false, authorize_stale: true }]);
        let upstream = Upstream::answering(vec![html()]);
        let got = source(&upstream.url("/"), other).fetch(AT).unwrap();
        assert!(
            matches!(got, Answer::Color { color: [5, 5, 5, 5], cacheable: false, authorize_stale: true }),
            "{got:?}"
        );
    }
}
