//! The capabilities document of WMS 1.0.0.

use super::Wms;
use super::capabilities::{write_dimensions, write_edges, write_scale_hint};
use super::layer::LayerNode;
use crate::service::xml::XmlWriter;

impl Wms {
    /// `url`: of the service.
    pub(super) fn capabilities_100(&self, url: &str) -> String {
        let mut xml = XmlWriter::new();
        xml.prolog(
            "<!DOCTYPE WMT_MS_Capabilities SYSTEM \"http://schemas.opengis.net/wms/1.0.0/WMS_MS_Capabilities.dtd\" [\n<!ELEMENT VendorSpecificCapabilities EMPTY>\n]>\n",
        );
        xml.open("WMT_MS_Capabilities").attribute("version", "1.0.0");
        let metadata = &self.metadata;
        xml.open("Service").leaf("Name", "OGC:WMS").leaf("Title", &metadata.title);
        xml.leaf("Abstract", metadata.abstract_text.as_deref().unwrap_or_default());
        let online = metadata.online_resource.as_deref().filter(|text| !text.is_empty()).unwrap_or(url);
        xml.leaf("OnlineResource", online);
        xml.leaf("Fees", metadata.fees.as_deref().unwrap_or("none"));
        xml.leaf("AccessConstraints", metadata.access_constraints.as_deref().unwrap_or("none")).close();
        xml.open("Capability");
        self.write_requests_100(&mut xml, url);
        write_flags(xml.open("Exception"), ["INIMAGE", "BLANK", "WMS_XML"]);
        xml.close();
        self.write_layer_100(&mut xml, self.layers.root(), url);
        xml.finish()
    }

    fn write_requests_100(&self, xml: &mut XmlWriter, url: &str) {
        let formats = self.image_formats.iter().filter_map(|(mime, _)| match mime.as_str() {
            "image/png" => Some("PNG"),
            "image/jpeg" => Some("JPEG"),
            "image/gif" => Some("GIF"),
            "image/tiff" => Some("TIFF"),
            _ => None,
        });
        let info_formats = self.info_formats("application/vnd.ogc.gml");
        let info_formats = info_formats.iter().map(|mime| match *mime {
            "application/vnd.ogc.gml" => "GML.1",
            _ => "MIME",
        });
        xml.open("Request");
        write_operation(xml, "Capabilities", ["WMS_XML"], url);
        write_operation(xml, "Map", formats, url);
        write_operation(xml, "FeatureInfo", info_formats, url);
        xml.close();
    }

    fn write_layer_100(&self, xml: &mut XmlWriter, layer: &LayerNode, url: &str) {
        xml.open("Layer");
        if layer.queryable {
            xml.attribute("queryable", "1");
        }
        if let Some(name) = &layer.name {
            xml.leaf("Name", name);
        }
        xml.leaf("Title", &layer.title);
        xml.leaf("SRS", &self.srs.join(" "));
        xml.open("LatLonBoundingBox");
        write_edges(xml, &self.degrees(layer));
        xml.close();
        for (code, edges) in self.extents(layer, false) {
            xml.open("BoundingBox").attribute("SRS", &code);
            write_edges(xml, &edges);
            xml.close();
        }
        write_dimensions(xml, layer);
        if let Some((query, _)) = Wms::legend_query(layer) {
            xml.open("Style").leaf("Name", "default").leaf("Title", "default");
            xml.leaf("StyleURL", &format!("{url}{query}")).close();
        }
        write_scale_hint(xml, layer);
        for &child in &layer.children {
            self.write_layer_100(xml, self.layers.node(child), url);
        }
        xml.close();
    }
}

/// Formats were empty elements then, in one `Format`.
fn write_flags(xml: &mut XmlWriter, names: impl IntoIterator<Item = &'static str>) {
    xml.open("Format");
    for name in names {
        xml.open(name).close();
    }
    xml.close();
}

fn write_operation(
    xml: &mut XmlWriter,
    name: &'static str,
    formats: impl IntoIterator<Item = &'static str>,
    url: &str,
) {
    write_flags(xml.open(name), formats);
    xml.open("DCPType").open("HTTP");
    xml.open("Get").attribute("onlineResource", &format!("{url}?")).close();
    xml.close().close().close();
}
