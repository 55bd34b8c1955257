//! A WMS that is asked for maps.

use std::sync::Arc;

use super::{Answer, Client, MapRequest, OnError, SourceError};

/// What is asked of one WMS: URL, version, layers and fixed parameters.
pub struct WmsSource {
    pub name: String,
    pub url: String,
    pub version: WmsVersion,
    pub layers: Vec<String>,
    /// Further parameters of `req`, name and value as configured.
    pub parameters: Vec<(String, String)>,
    pub transparent: Option<bool>,
    pub format: Option<String>,
    pub client: Arc<Client>,
    pub on_error: OnError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WmsVersion {
    V100,
    V110,
    V111,
    V130,
}

impl WmsSource {
    /// One GetMap.
    pub fn fetch(&self, _request: &MapRequest) -> Result<Answer, SourceError> {
        todo!()
    }
    /// One request in place of two adjacent ones, if URL and parameters allow
    /// it: `upper` is drawn above `self`.
    pub fn combine(&self, _upper: &WmsSource) -> Option<WmsSource> {
        todo!()
    }
}
