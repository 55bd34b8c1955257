//! The placeholders of a tile source's URL.

use crate::geo::{TileCoord, TileGrid};

/// A parsed `url:` of a tile source (mapproxy-features.md §5.3).
#[derive(Clone, Debug)]
pub struct UrlTemplate {}

impl UrlTemplate {
    pub fn parse(_text: &str) -> Result<UrlTemplate, String> {
        todo!()
    }
    pub fn fill(&self, _tile: TileCoord, _grid: &TileGrid, _format: &str) -> String {
        todo!()
    }
}
