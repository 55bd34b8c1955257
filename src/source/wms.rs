//! A WMS that is asked for maps: the query's words and numbers as MapProxy
//! writes them, because operators match on them in front of their servers.

use std::sync::Arc;

use super::address::redact;
use super::client::Method;
use super::tile::excerpt;
use super::{Answer, Client, MapRequest, OnError, SourceError};
use crate::geo::decimal::edges;
use crate::geo::{Extent, Srs, WholeEdges};
use crate::story;
use crate::wire::url::escape;

/// What is asked of one WMS: URL, version, layers and fixed parameters.
pub struct WmsSource {
    pub name: String,
    pub url: String,
    pub version: WmsVersion,
    pub layers: Vec<String>,
    /// Further parameters of `req`, name and value as configured. An `sld` that
    /// names a file stands here as `sld_body` with the file's text.
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

impl WmsVersion {
    /// From `wms_opts.version`.
    pub fn parse(text: &str) -> Option<WmsVersion> {
        Some(match text {
            "1.0.0" => WmsVersion::V100,
            "1.1.0" => WmsVersion::V110,
            "1.1.1" => WmsVersion::V111,
            "1.3.0" => WmsVersion::V130,
            _ => return None,
        })
    }

    pub fn text(self) -> &'static str {
        match self {
            WmsVersion::V100 => "1.0.0",
            WmsVersion::V110 => "1.1.0",
            WmsVersion::V111 => "1.1.1",
            WmsVersion::V130 => "1.3.0",
        }
    }

    /// An extent as the version writes it: axes as the authority has them from 1.3.0 on.
    pub(super) fn bbox(self, extent: &Extent, whole: WholeEdges, srs: &Srs) -> String {
        let [west, south, east, north] = edges(extent, whole);
        if self == WmsVersion::V130 && srs.is_axis_order_ne() {
            [south, west, north, east].join(",")
        } else {
            [west, south, east, north].join(",")
        }
    }

    /// A format as the version writes it: `PNG` in 1.0.0, else `image/png`.
    pub(super) fn format_text(self, format: &str) -> String {
        match (self, format.split_once('/')) {
            (WmsVersion::V100, Some((_, short))) => short.to_ascii_uppercase(),
            (WmsVersion::V100, None) => format.to_ascii_uppercase(),
            (_, Some(_)) => format.to_owned(),
            (_, None) => format!("image/{format}"),
        }
    }

    /// What every request of an operation says of itself; `name` from 1.1.0 on,
    /// `old_name` in 1.0.0.
    pub(super) fn write_operation(self, query: &mut Parameters, name: &str, old_name: &str) {
        match self {
            WmsVersion::V100 => {
                query.set("request", old_name);
                query.set("wmtver", "1.0.0");
                query.remove("version");
                query.remove("service");
            }
            version => {
                query.set("request", name);
                query.set("version", version.text());
                query.set("service", "WMS");
            }
        }
    }
}

impl WmsSource {
    /// One GetMap. HTTP failures go through `on_error`; an answer that is no
    /// image is always an error, as in MapProxy, so that an exception document
    /// never becomes a colour that is kept.
    pub fn fetch(&self, request: &MapRequest) -> Result<Answer, SourceError> {
        // Two layers asked for at once count as the lower one's source.
        let asked = story::ask(self.name.split('+').next().unwrap_or_default());
        let got = self.get(request);
        asked.end(got.is_ok());
        match got {
            Err(error) if !matches!(error, SourceError::NotAnImage { .. }) => self.on_error.answer(error),
            other => other,
        }
    }

    fn get(&self, request: &MapRequest) -> Result<Answer, SourceError> {
        let url = self.map_url(request);
        let result = if self.is_posted() {
            self.client.fetch(self.url.trim_end_matches('?'), Some(&self.query(request)))
        } else {
            self.client.fetch(&url, None)
        };
        let fetched = result?;
        let is_image = fetched.content_type.is_empty()
            || fetched.content_type.to_ascii_lowercase().starts_with("image/");
        if !is_image {
            return Err(SourceError::NotAnImage {
                url: redact(&url),
                content_type: fetched.content_type,
                excerpt: excerpt(&fetched.bytes),
            });
        }
        Ok(Answer::Image { bytes: fetched.bytes, content_type: fetched.content_type })
    }

    fn is_posted(&self) -> bool {
        match self.client.options().method {
            Method::Post => true,
            Method::Get => false,
            Method::Auto => self.parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case("sld_body")),
        }
    }

    /// The URL of a GetMap by GET, credentials included; [`redact`] it for eyes.
    pub fn map_url(&self, request: &MapRequest) -> String {
        with_query(&self.url, &self.query(request))
    }

    /// Names and values of a GetMap, escaped.
    fn query(&self, request: &MapRequest) -> String {
        let mut query = Parameters::default();
        if !self.layers.is_empty() {
            query.set("layers", &self.layers.join(","));
        }
        if let Some(transparent) = self.transparent {
            // MapProxy writes Python's word for it.
            query.set("transparent", if transparent { "True" } else { "False" });
        }
        for (name, value) in &self.parameters {
            query.set(name, value);
        }
        query.set("bbox", &self.bbox(request));
        query.set("width", &request.size.0.to_string());
        query.set("height", &request.size.1.to_string());
        query.set("srs", request.srs.code());
        query.set("format", &self.format_text(request));
        for (name, value) in &request.parameters {
            query.set(name, value);
        }
        self.version.write_operation(&mut query, "GetMap", "map");
        if !query.has("styles") {
            query.set("styles", "");
        }
        if self.version == WmsVersion::V130 {
            query.remove("srs");
            query.set("crs", request.srs.code());
        }
        query.to_text()
    }

    fn bbox(&self, request: &MapRequest) -> String {
        self.version.bbox(&request.extent, request.whole_edges, &request.srs)
    }

    fn format_text(&self, request: &MapRequest) -> String {
        self.version.format_text(self.format.as_deref().unwrap_or(&request.format))
    }

    /// One request in place of two adjacent ones, if URL and parameters allow
    /// it: `upper` is drawn above `self`. Whether coverage, systems, opacity
    /// and forwarded values agree is the caller's to know.
    pub fn combine(&self, upper: &WmsSource) -> Option<WmsSource> {
        let is_same_server = self.url == upper.url
            && self.version == upper.version
            && self.format == upper.format
            && self.on_error == upper.on_error
            && (Arc::ptr_eq(&self.client, &upper.client) || self.client.options() == upper.client.options());
        // An opaque request cannot show what lies below a transparent one; the
        // lower one's word counts for both.
        let is_same_alpha = self.transparent == upper.transparent
            || (self.transparent != Some(true) && upper.transparent == Some(true));
        if !is_same_server || !is_same_alpha || self.layers.is_empty() || upper.layers.is_empty() {
            return None;
        }
        Some(WmsSource {
            name: format!("{}+{}", self.name, upper.name),
            url: self.url.clone(),
            version: self.version,
            layers: self.layers.iter().chain(&upper.layers).cloned().collect(),
            parameters: self.combine_parameters(upper)?,
            transparent: self.transparent,
            format: self.format.clone(),
            client: Arc::clone(&self.client),
            on_error: self.on_error.clone(),
        })
    }

    /// The parameters of both: equal but for `styles`, of which each layer has one.
    fn combine_parameters(&self, upper: &WmsSource) -> Option<Vec<(String, String)>> {
        let is_styles = |name: &str| name.eq_ignore_ascii_case("styles");
        let others = |source: &WmsSource| {
            let mut others: Vec<(String, String)> = source
                .parameters
                .iter()
                .filter(|(name, _)| !is_styles(name))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect();
            others.sort();
            others
        };
        if others(self) != others(upper) {
            return None;
        }
        let styles = |source: &WmsSource| -> Option<Vec<String>> {
            let text =
                source.parameters.iter().find(|(name, _)| is_styles(name)).map_or("", |(_, value)| value);
            // One layer entry may itself be a list.
            let count = source.layers.iter().map(|layer| layer.split(',').count()).sum();
            if text.is_empty() {
                return Some(vec![String::new(); count]);
            }
            let list: Vec<String> = text.split(',').map(str::to_owned).collect();
            (list.len() == count).then_some(list)
        };
        let both = [styles(self)?, styles(upper)?].concat();
        let mut parameters: Vec<_> =
            self.parameters.iter().filter(|(name, _)| !is_styles(name)).cloned().collect();
        if both.iter().any(|style| !style.is_empty()) {
            parameters.push(("styles".into(), both.join(",")));
        }
        Some(parameters)
    }
}

/// The URL may have parameters of its own, or end where they begin.
pub(super) fn with_query(url: &str, query: &str) -> String {
    let joint = match url {
        url if url.ends_with(['?', '&']) => "",
        url if url.contains('?') => "&",
        _ => "?",
    };
    format!("{url}{joint}{query}")
}

/// Parameters whose names are compared without case; the first spelling and
/// place stay.
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some(known) => value.clone_into(&mut known.1),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    pub(super) fn to_text(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| {
            // Commas stay readable, as MapProxy leaves them.
            format!("{}={}", escape(name), escape(value).replace("%2C", ","))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests;
