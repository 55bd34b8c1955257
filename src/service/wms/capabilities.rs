//! What capabilities of all versions say: extents in every system, scales,
//! legends.

use super::Wms;
use super::layer::{LayerExtent, LayerNode};
use crate::geo::decimal::{self, number};
use crate::geo::{Extent, Srs, WholeEdges};
use crate::plan::InfoKind;
use crate::service::metadata::Contact;
use crate::service::xml::XmlWriter;

/// Shown instead of the poles: some clients cannot bear 90 degrees.
const LATITUDE_MAX: f64 = 89.999_999;
/// Metres on the screen for each pixel, as OGC has it.
const PIXEL_M: f64 = 0.000_28;

impl Wms {
    /// The layer's extent in degrees, as numbers are shown.
    pub(super) fn degrees(&self, layer: &LayerNode) -> [String; 4] {
        let own = layer.extent.edges_in(&self.geographic);
        let (shown, whole) = match self.shown_extent("EPSG:4326") {
            Some(LayerExtent { extent, whole_edges, .. }) => {
                let both = extent.intersection(&own.0).unwrap_or(own.0);
                (both, both.whole_edges_of(&[own, (extent, whole_edges)]))
            }
            None => own,
        };
        let [west, south, east, north] = shown.to_array();
        let is_pole = |latitude: f64| latitude.abs() >= LATITUDE_MAX;
        // Where the world ends is MapProxy's own number, and a whole one.
        let within =
            Extent::new(west.max(-180.0), south.max(-LATITUDE_MAX), east.min(180.0), north.min(LATITUDE_MAX));
        let whole = [
            whole[0] || west <= -180.0,
            whole[1] && !is_pole(south),
            whole[2] || east >= 180.0,
            whole[3] && !is_pole(north),
        ];
        decimal::edges(&within, whole)
    }

    /// `bbox_srs`, or where there is none the three systems that everybody
    /// knows; only those that are served.
    fn shown_extent(&self, code: &str) -> Option<LayerExtent> {
        if !self.srs.iter().any(|known| known == code) {
            return None;
        }
        if !self.srs_extents.is_empty() {
            return self.srs_extent(code);
        }
        let is_default = matches!(code, "EPSG:3857" | "EPSG:4326" | "EPSG:900913");
        is_default.then(|| LayerExtent::world(&self.geographic))
    }

    /// The systems in which extents are shown, each with the layer's extent.
    /// `axes_of_authority`: north before east where the authority says so.
    pub(super) fn extents(&self, layer: &LayerNode, axes_of_authority: bool) -> Vec<(String, [String; 4])> {
        let mut codes: Vec<&str> = if self.srs_extents.is_empty() {
            vec!["EPSG:3857", "EPSG:4326", "EPSG:900913"]
        } else {
            self.srs_extents.iter().map(|(code, _)| code.as_str()).collect()
        };
        codes.retain(|code| self.srs_by_code.contains_key(*code));
        let native = layer.extent.srs.code();
        let has_native = codes.contains(&native);
        let mut shown = Vec::with_capacity(codes.len() + 1);
        for code in codes {
            let (Some(srs), Some(allowed)) = (self.srs_by_code.get(code), self.shown_extent(code)) else {
                continue;
            };
            let extent = self.extent_within(layer, srs, &allowed);
            shown.push((code.to_owned(), edges(extent, srs, axes_of_authority)));
        }
        if let Some(srs) = self.srs_by_code.get(native).filter(|_| !has_native) {
            let extent = edges(layer.extent.edges_in(srs), srs, axes_of_authority);
            shown.push((native.to_owned(), extent));
        }
        shown
    }

    fn extent_within(&self, layer: &LayerNode, srs: &Srs, allowed: &LayerExtent) -> (Extent, WholeEdges) {
        if allowed.is_default {
            return layer.extent.edges_in(srs);
        }
        if layer.extent.is_default {
            return allowed.edges_in(srs);
        }
        let parts = [allowed.edges_in(&self.geographic), layer.extent.edges_in(&self.geographic)];
        match parts[0].0.intersection(&parts[1].0) {
            Some(extent) => {
                let whole_edges = extent.whole_edges_of(&parts);
                LayerExtent { extent, srs: self.geographic.clone(), whole_edges, is_default: false }
                    .edges_in(srs)
            }
            None => allowed.edges_in(srs),
        }
    }

    /// Where the layer's legend is to be had, behind the service's address.
    pub(super) fn legend_query(layer: &LayerNode) -> Option<(String, (u32, u32))> {
        let size = layer.legend_size().filter(|_| layer.maps.is_some())?;
        let name = layer.name.as_deref().unwrap_or_default();
        let name = percent_encoding::utf8_percent_encode(name, QUERY_SAFE);
        let query = format!(
            "?format=image%2Fpng&layer={name}&sld_version=1.1.0&request=GetLegendGraphic&service=WMS&version=1.1.1&styles="
        );
        Some((query, size))
    }

    /// MIME types of feature info; 1.3.0 calls GML plain XML.
    pub fn info_formats(&self, xml: &'static str) -> Vec<&'static str> {
        const DEFAULT: [&str; 3] = ["text", "html", "xml"];
        let mime = |kind: &str| match kind {
            "html" => "text/html",
            "xml" => xml,
            "json" => "application/json",
            _ => "text/plain",
        };
        if self.info_types.is_empty() && !self.info_stylesheets.is_empty() {
            let kind = |kind: InfoKind| match kind {
                InfoKind::Text => "text/plain",
                InfoKind::Html => "text/html",
                InfoKind::Xml => xml,
                InfoKind::Json => "application/json",
            };
            return self.info_stylesheets.iter().map(|(known, _)| kind(*known)).collect();
        }
        if self.info_types.is_empty() {
            return DEFAULT.into_iter().map(mime).collect();
        }
        self.info_types.iter().map(|kind| mime(kind)).collect()
    }

    /// The finest and coarsest scale denominators.
    pub(super) fn scale_denominators(layer: &LayerNode) -> (Option<f64>, Option<f64>) {
        let scale = |resolution: f64| resolution / PIXEL_M;
        let range = layer.res_range;
        (range.and_then(|r| r.finest).map(scale), range.and_then(|r| r.coarsest).map(scale))
    }
}

/// What stays as it is in the value of a query.
const QUERY_SAFE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b',');

fn edges((extent, whole): (Extent, WholeEdges), srs: &Srs, axes_of_authority: bool) -> [String; 4] {
    let [west, south, east, north] = decimal::edges(&extent, whole);
    if axes_of_authority && srs.is_axis_order_ne() {
        [south, west, north, east]
    } else {
        [west, south, east, north]
    }
}

/// `ContactInformation` of all WMS versions.
pub(super) fn write_contact(xml: &mut XmlWriter, contact: &Contact) {
    xml.open("ContactInformation");
    xml.open("ContactPersonPrimary")
        .leaf("ContactPerson", &contact.person)
        .leaf("ContactOrganization", &contact.organization)
        .close();
    xml.leaf("ContactPosition", &contact.position);
    xml.open("ContactAddress")
        .leaf("AddressType", contact.address_type.as_deref().unwrap_or("postal"))
        .leaf("Address", &contact.address)
        .leaf("City", &contact.city)
        .leaf("StateOrProvince", &contact.state)
        .leaf("PostCode", &contact.postcode)
        .leaf("Country", &contact.country)
        .close();
    xml.leaf("ContactVoiceTelephone", &contact.phone)
        .leaf("ContactFacsimileTelephone", &contact.fax)
        .leaf("ContactElectronicMailAddress", &contact.email);
    xml.close();
}

/// The dimensions of a layer, alike in all versions; groups show none.
pub(super) fn write_dimensions(xml: &mut XmlWriter, layer: &LayerNode) {
    for dimension in layer.dimensions.iter().filter(|_| layer.children.is_empty()) {
        let key = dimension.key();
        xml.open("Dimension").attribute("name", &key).attribute("default", &dimension.default);
        xml.attribute("nearestValue", "0");
        // Empty is how 1.3.0 says that there is none; it must be said.
        xml.attribute("units", if key.contains("time") { "ISO8601" } else { "" });
        xml.text(&dimension.values.join(",")).close();
    }
}

/// The edges as attributes of the element just opened.
pub(super) fn write_edges(xml: &mut XmlWriter, [west, south, east, north]: &[String; 4]) {
    xml.attribute("minx", west).attribute("miny", south).attribute("maxx", east).attribute("maxy", north);
}

/// In place of a coarsest scale where there is none: versions before 1.3.0 want both.
const SCALE_HINT_MAX: &str = "1e+20";

/// Scales as versions before 1.3.0 have them: metres across the diagonal of a pixel.
pub(super) fn write_scale_hint(xml: &mut XmlWriter, layer: &LayerNode) {
    let Some(range) = layer.res_range else { return };
    let diagonal = |resolution: f64| number((2.0 * resolution * resolution).sqrt());
    xml.open("ScaleHint");
    let coarsest = range.coarsest.map_or_else(|| SCALE_HINT_MAX.to_owned(), diagonal);
    xml.attribute("min", &diagonal(range.finest.unwrap_or(0.0))).attribute("max", &coarsest);
    xml.close();
}
