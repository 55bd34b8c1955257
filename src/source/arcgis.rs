//! An ArcGIS server: maps by `export` (`exportImage` of an image service), what
//! lies at a point by `identify`. Words and numbers as MapProxy writes them.

use std::sync::Arc;

use super::address::redact;
use super::tile::excerpt;
use super::wms::{Parameters, with_query};
use super::{Answer, Client, InfoAnswer, InfoRequest, MapRequest, OnError, SourceError};
use crate::geo::decimal::{edges, number};

/// Dots per inch that `identify` is told.
const IDENTIFY_DPI: u32 = 96;

/// What is asked of one map or image service.
pub struct ArcGisSource {
    pub name: String,
    /// As configured, without credentials: the service or its operation.
    pub url: String,
    /// `req.layers`, `req.dpi` and so on: name and value.
    pub parameters: Vec<(String, String)>,
    /// `req.format`
    pub format: Option<String>,
    pub client: Arc<Client>,
    pub on_error: OnError,
}

impl ArcGisSource {
    /// One map.
    ///
    /// # Errors
    /// As [`Client::fetch`], where `on_error` has nothing for it, and an answer that is no image.
    pub fn fetch(&self, request: &MapRequest) -> Result<Answer, SourceError> {
        let url = self.map_url(request);
        let fetched = match self.client.fetch(&url, None) {
            Ok(fetched) => fetched,
            Err(error) => return self.on_error.answer(error),
        };
        // Errors come with status 200, as JSON or as a page. Types of images are
        // not to be trusted: whether it is one is seen when it is decoded.
        let kind = fetched.content_type.to_ascii_lowercase();
        if kind.starts_with("text/") || kind.starts_with("application/json") {
            return Err(SourceError::NotAnImage {
                url: redact(&url),
                content_type: fetched.content_type,
                excerpt: excerpt(&fetched.bytes),
            });
        }
        Ok(Answer::Image { bytes: fetched.bytes, content_type: fetched.content_type })
    }

    /// The URL of a map.
    pub fn map_url(&self, request: &MapRequest) -> String {
        let mut query = Parameters::default();
        for (name, value) in &self.parameters {
            query.set(name, value);
        }
        let format = self.format.as_deref().unwrap_or(&request.format);
        query.set("format", format.rsplit('/').next().unwrap_or(format));
        query.set("bbox", &edges(&request.extent, request.whole_edges).join(","));
        query.set("size", &format!("{},{}", request.size.0, request.size.1));
        let code = short_code(request.srs.code());
        query.set("bboxSR", code);
        query.set("imageSR", code);
        query.set("f", "image");
        with_query(&endpoint(&self.url, Operation::Export), &query.to_text())
    }
}

/// What is asked about points.
pub struct ArcGisInfoSource {
    pub name: String,
    pub url: String,
    pub parameters: Vec<(String, String)>,
    pub tolerance_px: f64,
    pub return_geometries: bool,
    pub client: Arc<Client>,
}

impl ArcGisInfoSource {
    /// One `identify`; the answer is HTML where that is wanted, else JSON.
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub fn fetch(&self, request: &InfoRequest) -> Result<InfoAnswer, SourceError> {
        let fetched = self.client.fetch(&self.identify_url(request), None)?;
        // Servers call everything text/plain: what was asked for counts.
        Ok(InfoAnswer { bytes: fetched.bytes, mime: request.info_format.clone().unwrap_or_default() })
    }

    /// The URL of an `identify`.
    pub fn identify_url(&self, request: &InfoRequest) -> String {
        let mut query = Parameters::default();
        for (name, value) in &self.parameters {
            query.set(name, value);
        }
        query.set("mapExtent", &edges(&request.extent, [false; 4]).join(","));
        query.set("imageDisplay", &format!("{},{},{IDENTIFY_DPI}", request.size.0, request.size.1));
        let [x, y] = request.point();
        query.set("geometry", &format!("{x:.6},{y:.6}"));
        query.set("geometryType", "esriGeometryPoint");
        query.set("sr", short_code(request.srs.code()));
        let wants_html = request.info_format.as_deref().is_some_and(|mime| mime.starts_with("text/html"));
        query.set("f", if wants_html { "html" } else { "json" });
        let tolerance = self.tolerance_px;
        let tolerance = if tolerance.fract() == 0.0 { format!("{tolerance:.0}") } else { number(tolerance) };
        query.set("tolerance", &tolerance);
        query.set("returnGeometry", if self.return_geometries { "true" } else { "false" });
        with_query(&endpoint(&self.url, Operation::Identify), &query.to_text())
    }
}

/// `EPSG:3857` as the server wants it: `3857`.
fn short_code(code: &str) -> &str {
    code.rsplit(':').next().unwrap_or(code)
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Export,
    Identify,
}

/// The address of an operation, whatever of the service the configuration names.
fn endpoint(url: &str, operation: Operation) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (url, None),
    };
    let mut parts: Vec<&str> = address.trim_end_matches('/').split('/').collect();
    let is_operation = matches!(parts.last(), Some(&("export" | "exportImage" | "identify")));
    if is_operation && parts.len() > 1 && matches!(parts[parts.len() - 2], "MapServer" | "ImageServer") {
        parts.pop();
    }
    match (parts.last().copied(), operation) {
        (Some("MapServer"), Operation::Export) => parts.push("export"),
        (Some("ImageServer"), Operation::Export) => parts.push("exportImage"),
        (_, Operation::Identify) => parts.push("identify"),
        _ => {}
    }
    let address = parts.join("/");
    match query {
        Some(query) if !query.is_empty() => format!("{address}?{query}"),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_their_addresses() {
        for (url, export, identify) in [
            ("http://h/s/MapServer", "http://h/s/MapServer/export", "http://h/s/MapServer/identify"),
            ("http://h/s/MapServer/", "http://h/s/MapServer/export", "http://h/s/MapServer/identify"),
            (
                "http://h/s/MapServer/exportImage",
                "http://h/s/MapServer/export",
                "http://h/s/MapServer/identify",
            ),
            (
                "http://h/s/ImageServer",
                "http://h/s/ImageServer/exportImage",
                "http://h/s/ImageServer/identify",
            ),
            (
                "http://h/s/ImageServer/export?a=b",
                "http://h/s/ImageServer/exportImage?a=b",
                "http://h/s/ImageServer/identify?a=b",
            ),
            ("http://h/own", "http://h/own", "http://h/own/identify"),
        ] {
            assert_eq!(endpoint(url, Operation::Export), export);
            assert_eq!(endpoint(url, Operation::Identify), identify);
        }
    }
}
