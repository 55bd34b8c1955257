//! A source of ready tiles.

use std::sync::Arc;

use super::{Answer, Client, OnError, SourceError};
use crate::geo::{TileCoord, TileGrid};

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
    pub fn fetch(&self, _tile: TileCoord) -> Result<Answer, SourceError> {
        todo!()
    }
}
