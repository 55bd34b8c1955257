//! Where a legend comes from: GetLegendGraphic of one layer, or one address.
//! Brings bytes; pictures and their store are `plan`'s.

use std::sync::Arc;

use super::address::redact;
use super::tile::excerpt;
use super::wms::{Parameters, WmsVersion, with_query};
use super::{Client, SourceError};

/// One legend picture of a source.
pub enum LegendSource {
    /// GetLegendGraphic of one layer.
    Layer {
        /// Without credentials.
        url: String,
        layer: String,
        version: WmsVersion,
        /// Further parameters of `req`.
        parameters: Vec<(String, String)>,
        transparent: Option<bool>,
        /// `req.format`
        format: Option<String>,
        client: Arc<Client>,
    },
    /// A picture at an address (`legendurl`), also `file://`.
    Fixed { url: String, client: Arc<Client> },
}

impl LegendSource {
    /// What MapProxy names the legend's file after: address and layer.
    pub fn identifier(&self) -> String {
        match self {
            LegendSource::Layer { url, layer, .. } => format!("{url}{layer}"),
            LegendSource::Fixed { url, .. } => url.clone(),
        }
    }

    /// The picture as it came. `mime`: what the client wants; `scale` as MapProxy writes it.
    ///
    /// # Errors
    /// As [`Client::fetch`], and an answer that is no image.
    pub fn fetch_image(&self, mime: &str, scale: Option<&str>) -> Result<Vec<u8>, SourceError> {
        let (url, client) = self.request(mime, scale);
        let fetched = client.fetch(&url, None)?;
        let kind = fetched.content_type.to_ascii_lowercase();
        if kind.is_empty() || kind.starts_with("image/") || url.starts_with("file://") {
            return Ok(fetched.bytes);
        }
        Err(SourceError::NotAnImage {
            url: redact(&url),
            content_type: fetched.content_type,
            excerpt: excerpt(&fetched.bytes),
        })
    }

    /// The legend as JSON; `None` where it is a picture at an address.
    ///
    /// # Errors
    /// As [`Client::fetch`], and an answer that does not say it is JSON.
    pub fn fetch_json(&self, scale: Option<&str>) -> Option<Result<Vec<u8>, SourceError>> {
        if matches!(self, LegendSource::Fixed { .. }) {
            return None;
        }
        let (url, client) = self.request("application/json", scale);
        Some(client.fetch(&url, None).and_then(|fetched| {
            let mime = fetched.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if mime == "application/json" {
                return Ok(fetched.bytes);
            }
            Err(SourceError::Other(format!(
                "{}: no JSON but {}: {}",
                redact(&url),
                fetched.content_type,
                excerpt(&fetched.bytes)
            )))
        }))
    }

    fn request(&self, mime: &str, scale: Option<&str>) -> (String, &Client) {
        let (url, layer, version, parameters, transparent, format, client) = match self {
            LegendSource::Fixed { url, client } => return (url.clone(), client),
            LegendSource::Layer { url, layer, version, parameters, transparent, format, client } => {
                (url, layer, *version, parameters, transparent, format, client)
            }
        };
        let mut query = Parameters::default();
        query.set("layer", layer);
        if let Some(transparent) = transparent {
            query.set("transparent", if *transparent { "True" } else { "False" });
        }
        for (name, value) in parameters {
            query.set(name, value);
        }
        query.set("format", &version.format_text(format.as_deref().unwrap_or(mime)));
        if let Some(scale) = scale {
            query.set("scale", scale);
        }
        query.set("sld_version", "1.1.0");
        // Versions before 1.1.1 know no legends; MapProxy refuses them, we ask as 1.1.1.
        version.max_legend().write_operation(&mut query, "GetLegendGraphic", "GetLegendGraphic");
        (with_query(url, &query.to_text()), client)
    }
}

impl WmsVersion {
    fn max_legend(self) -> WmsVersion {
        if self == WmsVersion::V130 { self } else { WmsVersion::V111 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ClientOptions;

    #[test]
    fn a_layer_is_asked_for_by_name_and_scale() {
        let client = Arc::new(Client::new(ClientOptions::default()));
        let legend = LegendSource::Layer {
            url: "http://h/s".into(),
            layer: "foo".into(),
            version: WmsVersion::V111,
            parameters: Vec::new(),
            transparent: None,
            format: None,
            client,
        };
        assert_eq!(legend.identifier(), "http://h/sfoo");
        let (url, _) = legend.request("image/png", Some("5.0"));
        for part in [
            "layer=foo",
            "format=image%2Fpng",
            "scale=5.0",
            "sld_version=1.1.0",
            "version=1.1.1",
            "request=GetLegendGraphic",
        ] {
            assert!(url.contains(part), "{part} is not in {url}");
        }
        assert!(!legend.request("application/json", None).0.contains("scale"));
    }
}
