//! The documents of every service: where they are, and which page shows them
//! to be read.

use serde::Serialize;

use super::Visit;
use crate::service::wms::WmsVersion;

/// One document.
#[derive(Clone, Serialize)]
pub struct Document {
    /// `WMS`, `WMS-C`, `WMTS`, `TMS`.
    pub service: &'static str,
    pub label: String,
    /// Below the services' address. No part of it comes from a request or
    /// from the configuration.
    pub address: String,
    /// The query of the page that shows it.
    pub page: String,
}

impl Document {
    fn new(service: &'static str, label: &str, address: &str, page: &str) -> Document {
        Document { service, label: label.to_owned(), address: address.to_owned(), page: page.to_owned() }
    }
}

/// The address of the capabilities of one version, and of the highest.
pub fn wms_address(version: Option<WmsVersion>) -> String {
    match version {
        Some(version) => format!("service?REQUEST=GetCapabilities&SERVICE=WMS&VERSION={}", version.text()),
        None => "service?REQUEST=GetCapabilities&SERVICE=WMS".to_owned(),
    }
}

/// Tile sets are written into 1.1.x alone, so the version is named.
pub const WMS_C_ADDRESS: &str = "service?REQUEST=GetCapabilities&SERVICE=WMS&VERSION=1.1.1&tiled=true";
pub const WMTS_ADDRESS: &str = "service?REQUEST=GetCapabilities&SERVICE=WMTS";
pub const WMTS_REST_ADDRESS: &str = "wmts/1.0.0/WMTSCapabilities.xml";
pub const TMS_ADDRESS: &str = "tms/1.0.0/";

impl Visit<'_> {
    /// The capabilities of all services.
    pub fn documents(&self) -> Vec<Document> {
        let services = self.services;
        let mut found = Vec::new();
        if let Some(wms) = &services.wms {
            found.push(Document::new("WMS", "Capabilities", &wms_address(None), "wms_capabilities"));
            for version in wms.versions().iter().rev().skip(1) {
                let page = format!("wms_capabilities&version={}", version.text());
                found.push(Document::new("WMS", version.text(), &wms_address(Some(*version)), &page));
            }
            let has_tiles = wms.versions().iter().any(|v| matches!(v, WmsVersion::V110 | WmsVersion::V111));
            if has_tiles {
                found.push(Document::new("WMS-C", "WMS-C", WMS_C_ADDRESS, "wmsc_capabilities"));
            }
        }
        if let Some(wmts) = &services.wmts {
            if wmts.restful {
                let page = "wmts_capabilities";
                found.push(Document::new("WMTS", "Capabilities", WMTS_REST_ADDRESS, page));
            }
            if wmts.kvp {
                let label = if wmts.restful { "with parameters" } else { "Capabilities" };
                found.push(Document::new("WMTS", label, WMTS_ADDRESS, "wmts_capabilities_kvp"));
            }
        }
        if services.tms.is_some() {
            found.push(Document::new("TMS", "Capabilities", TMS_ADDRESS, "tms_capabilities"));
        }
        found
    }
}
