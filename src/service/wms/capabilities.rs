//! What capabilities of all versions say: extents in every system, scales,
//! legends.

use super::Wms;
use super::layer::{LayerExtent, LayerNode};
use crate::geo::{Extent, Srs};
use crate::plan::InfoKind;
use crate::service::metadata::Contact;
use crate::service::xml::{XmlWriter, number};

/// Shown instead of the poles: some clients cannot bear 90 degrees.
const LATITUDE_MAX: f64 = 89.999_999;
/// Metres on the screen for each pixel, as OGC has it.
const PIXEL_M: f64 = 0.000_28;

impl Wms {
    /// The layer's extent in degrees, as numbers are shown.
    pub(super) fn degrees(&self, layer: &LayerNode) -> [String; 4] {
        let own = layer.extent.in_srs(&self.geographic);
        let allowed = match self.shown_extent("EPSG:4326") {
            Some(LayerExtent { extent, .. }) => extent.intersection(&own).unwrap_or(own),
            None => own,
        };
        let show = if is_as_configured(&allowed) { whole } else { number };
        let longitude =
            |value: f64| if value.abs() >= 180.0 { whole(value.clamp(-180.0, 180.0)) } else { show(value) };
        let latitude = |value: f64| match value.clamp(-LATITUDE_MAX, LATITUDE_MAX) {
            limit if limit.abs() == LATITUDE_MAX => number(limit),
            value => show(value),
        };
        [longitude(allowed.min_x), latitude(allowed.min_y), longitude(allowed.max_x), latitude(allowed.max_y)]
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
            let is_whole = layer.extent.is_default && allowed.is_default && *srs == self.geographic;
            shown.push((code.to_owned(), edges(&extent, srs, axes_of_authority, is_whole)));
        }
        if let Some(srs) = self.srs_by_code.get(native).filter(|_| !has_native) {
            let extent = edges(&layer.extent.extent, srs, axes_of_authority, layer.extent.is_default);
            shown.push((native.to_owned(), extent));
        }
        shown
    }

    fn extent_within(&self, layer: &LayerNode, srs: &Srs, allowed: &LayerExtent) -> Extent {
        if allowed.is_default {
            return layer.extent.in_srs(srs);
        }
        if layer.extent.is_default {
            return allowed.in_srs(srs);
        }
        let allowed_degrees = allowed.in_srs(&self.geographic);
        let own = layer.extent.in_srs(&self.geographic);
        match allowed_degrees.intersection(&own) {
            Some(both) => {
                LayerExtent { extent: both, srs: self.geographic.clone(), is_default: false }.in_srs(srs)
            }
            None => allowed.in_srs(srs),
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

fn edges(extent: &Extent, srs: &Srs, axes_of_authority: bool, is_whole: bool) -> [String; 4] {
    let [west, south, east, north] = extent.to_array();
    let ordered = if axes_of_authority && srs.is_axis_order_ne() {
        [south, west, north, east]
    } else {
        [west, south, east, north]
    };
    ordered.map(if is_whole || is_as_configured(extent) { whole } else { number })
}

/// Four whole numbers come from a configuration, where nobody writes decimals
/// to them; only the world of the built-in grids has them.
fn is_as_configured(extent: &Extent) -> bool {
    let edges = extent.to_array();
    edges.iter().all(|edge| edge.fract() == 0.0 && edge.abs() < 1e15)
        && edges != super::layer::WORLD.to_array()
}

/// A whole number without decimals, as MapProxy shows its own constants.
fn whole(value: f64) -> String {
    format!("{value:.0}")
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
