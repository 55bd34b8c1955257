//! Whom we ask: another server's answer, its failure, our patience.
//!
//! Uses `wire` (URLs) and `geo`. Brings bytes; pixels are made elsewhere.

mod address;
pub mod arcgis;
mod auth;
mod body;
pub mod cgi;
pub mod client;
mod cookies;
pub mod error;
mod local;
pub mod ogcapi;
pub mod picture_hook;
mod pool;
pub mod renderd;
mod semaphore;
pub mod template;
pub mod tile;
#[cfg(test)]
pub(crate) mod upstream;
pub mod wms;
pub mod wms_info;
pub mod wms_legend;
pub mod xslt;

pub use address::redact;
pub use client::{Client, ClientOptions, Method};
pub use error::{OnError, OnErrorRule, SourceError};
pub use picture_hook::PictureHook;
pub use tile::TileSource;
pub use wms::{WmsSource, WmsVersion};
pub use wms_info::{InfoAnswer, InfoRequest, Position, WmsInfoSource};
pub use wms_legend::LegendSource;

use crate::geo::{Extent, Srs, WholeEdges};

/// A map that a source is asked for.
#[derive(Clone, Debug)]
pub struct MapRequest {
    pub extent: Extent,
    /// Edges (west, south, east, north) that are shown without decimals.
    pub whole_edges: WholeEdges,
    pub size: (u32, u32),
    pub srs: Srs,
    /// MIME type wanted, as configured.
    pub format: String,
    /// Parameters of the client's request that this source forwards, and
    /// dimension values: name, value.
    pub parameters: Vec<(String, String)>,
}

/// A source that is asked for maps.
pub enum MapSource {
    Wms(WmsSource),
    ArcGis(arcgis::ArcGisSource),
    OgcApi(ogcapi::MapsSource),
}

impl MapSource {
    /// The name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            MapSource::Wms(wms) => &wms.name,
            MapSource::ArcGis(arcgis) => &arcgis.name,
            MapSource::OgcApi(maps) => maps.name(),
        }
    }

    /// Whether the server itself says which systems it has maps in.
    pub fn tells_systems(&self) -> bool {
        matches!(self, MapSource::OgcApi(_))
    }

    /// The systems that the server says it has maps in; none of a server that
    /// does not tell. Asks it where that is not known.
    ///
    /// # Errors
    /// What it has cannot be found out; see [`MapSource::excuse`].
    pub fn systems(&self) -> Result<Vec<Srs>, SourceError> {
        match self {
            MapSource::OgcApi(maps) => maps.systems(),
            MapSource::Wms(_) | MapSource::ArcGis(_) => Ok(Vec::new()),
        }
    }

    /// What `on_error` has in place of a failure.
    ///
    /// # Errors
    /// The failure, where it has nothing.
    pub fn excuse(&self, error: SourceError) -> Result<Answer, SourceError> {
        match self {
            MapSource::Wms(wms) => wms.on_error.answer(error),
            MapSource::ArcGis(arcgis) => arcgis.on_error.answer(error),
            MapSource::OgcApi(maps) => maps.on_error().answer(error),
        }
    }

    /// One map.
    ///
    /// # Errors
    /// The source fails and `on_error` has nothing for it.
    pub fn fetch(&self, request: &MapRequest) -> Result<Answer, SourceError> {
        match self {
            MapSource::Wms(wms) => wms.fetch(request),
            MapSource::ArcGis(arcgis) => arcgis.fetch(request),
            MapSource::OgcApi(maps) => maps.fetch(request),
        }
    }

    /// One source that brings what both bring, `upper` above `self`.
    pub fn combine(&self, upper: &MapSource) -> Option<MapSource> {
        match (self, upper) {
            (MapSource::Wms(lower), MapSource::Wms(upper)) => lower.combine(upper).map(MapSource::Wms),
            _ => None,
        }
    }
}

/// A source that is asked what lies at a point.
pub enum InfoSource {
    Wms(WmsInfoSource),
    ArcGis(arcgis::ArcGisInfoSource),
}

impl InfoSource {
    /// The name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            InfoSource::Wms(wms) => &wms.name,
            InfoSource::ArcGis(arcgis) => &arcgis.name,
        }
    }

    /// What lies there, as the source says it.
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub fn fetch(&self, request: &InfoRequest) -> Result<InfoAnswer, SourceError> {
        let asked = crate::story::ask(self.name());
        let result = match self {
            InfoSource::Wms(wms) => wms.fetch(request),
            InfoSource::ArcGis(arcgis) => arcgis.fetch(request),
        };
        asked.end(result.is_ok());
        result
    }
}

/// What a source answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// An image as it came, not yet decoded.
    Image { bytes: Vec<u8>, content_type: String },
    /// `on_error` turned the failure into one colour (alpha 0: transparent).
    Color { color: [u8; 4], cacheable: bool, authorize_stale: bool },
}
