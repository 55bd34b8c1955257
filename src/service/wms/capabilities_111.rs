//! The capabilities documents of WMS 1.1.1 and 1.1.0, which differ little.

use super::Wms;
use super::WmsVersion;
use super::capabilities::{write_contact, write_dimensions, write_edges, write_scale_hint};
use super::layer::LayerNode;
use crate::service::xml::{XmlWriter, number};

const XLINK: &str = "http://www.w3.org/1999/xlink";

impl Wms {
    /// `url`: of the service; `with_tiles`: list the tile sets (`tiled=true`).
    pub(super) fn capabilities_111(&self, version: WmsVersion, url: &str, with_tiles: bool) -> String {
        let with_tiles = with_tiles && !self.tile_layers.is_empty();
        let is_110 = version == WmsVersion::V110;
        let mut xml = XmlWriter::new();
        xml.prolog(&doctype(is_110, with_tiles));
        xml.open("WMT_MS_Capabilities").attribute("version", if is_110 { "1.1.0" } else { "1.1.1" });
        self.write_service_111(&mut xml, url);
        xml.open("Capability");
        self.write_requests_111(&mut xml, is_110, url);
        xml.open("Exception")
            .leaf("Format", "application/vnd.ogc.se_xml")
            .leaf("Format", "application/vnd.ogc.se_inimage")
            .leaf("Format", "application/vnd.ogc.se_blank")
            .close();
        if with_tiles {
            self.write_tile_sets(&mut xml, is_110);
        }
        self.write_layer_111(&mut xml, self.layers.root(), url, is_110, true);
        xml.finish()
    }

    fn write_service_111(&self, xml: &mut XmlWriter, url: &str) {
        let metadata = &self.metadata;
        xml.open("Service").leaf("Name", "OGC:WMS").leaf("Title", &metadata.title);
        xml.leaf("Abstract", metadata.abstract_text.as_deref().unwrap_or_default());
        let online = metadata.online_resource.as_deref().filter(|text| !text.is_empty()).unwrap_or(url);
        write_resource(xml, online);
        if let Some(contact) = &metadata.contact {
            write_contact(xml, contact);
        }
        xml.leaf("Fees", metadata.fees.as_deref().unwrap_or("none"));
        xml.leaf("AccessConstraints", metadata.access_constraints.as_deref().unwrap_or("none"));
        xml.close();
    }

    fn write_requests_111(&self, xml: &mut XmlWriter, is_110: bool, url: &str) {
        let formats = || self.image_formats.iter().map(|(mime, _)| mime.as_str());
        let info_formats = self.info_formats("application/vnd.ogc.gml");
        xml.open("Request");
        write_operation(xml, "GetCapabilities", ["application/vnd.ogc.wms_xml"].into_iter(), url);
        write_operation(xml, "GetMap", formats(), url);
        write_operation(xml, "GetFeatureInfo", info_formats.into_iter(), url);
        if self.layers.has_legend() && !is_110 {
            write_operation(xml, "GetLegendGraphic", formats(), url);
        }
        xml.close();
    }

    fn write_tile_sets(&self, xml: &mut XmlWriter, is_110: bool) {
        xml.open("VendorSpecificCapabilities");
        for layer in &self.tile_layers {
            let grid = layer.grid();
            let resolutions: String =
                layer.tile_sets().map(|(_, resolution)| number(resolution) + " ").collect();
            let code = if is_110 { &layer.srs_name } else { grid.srs.code() };
            xml.open("TileSet").leaf("SRS", code);
            xml.open("BoundingBox").attribute("SRS", code);
            write_edges(xml, &layer.edges_in(&grid.srs));
            xml.close();
            xml.leaf("Resolutions", &resolutions)
                .leaf("Width", &grid.tile_size.0.to_string())
                .leaf("Height", &grid.tile_size.1.to_string())
                .leaf("Format", layer.mime)
                .leaf("Layers", &layer.layer.name)
                .leaf("Styles", "");
            xml.close();
        }
        xml.close();
    }

    fn write_layer_111(
        &self,
        xml: &mut XmlWriter,
        layer: &LayerNode,
        url: &str,
        is_110: bool,
        is_root: bool,
    ) {
        xml.open("Layer");
        if layer.queryable {
            xml.attribute("queryable", "1");
        }
        if let Some(name) = &layer.name {
            xml.leaf("Name", name);
        }
        xml.leaf("Title", &layer.title);
        if let Some(text) = layer.metadata.abstract_text.as_ref().filter(|_| !is_110) {
            xml.leaf("Abstract", text);
        }
        if is_root && is_110 {
            xml.leaf("SRS", &self.srs.join(" "));
        } else if is_root {
            for code in &self.srs {
                xml.leaf("SRS", code);
            }
        }
        xml.open("LatLonBoundingBox");
        write_edges(xml, &self.degrees(layer));
        xml.close();
        for (code, edges) in self.extents(layer, false) {
            xml.open("BoundingBox").attribute("SRS", &code);
            write_edges(xml, &edges);
            xml.close();
        }
        write_dimensions(xml, layer);
        if !is_110 {
            write_metadata_urls(xml, layer);
        }
        if let Some((query, (width, height))) = Wms::legend_query(layer) {
            xml.open("Style").leaf("Name", "default").leaf("Title", "default");
            xml.open("LegendURL")
                .attribute("width", &width.to_string())
                .attribute("height", &height.to_string())
                .leaf("Format", "image/png");
            xml.open("OnlineResource")
                .attribute("xmlns:xlink", XLINK)
                .attribute("xlink:type", "simple")
                .attribute("xlink:href", &format!("{url}{query}"))
                .close();
            xml.close().close();
        }
        write_scale_hint(xml, layer);
        for &child in &layer.children {
            self.write_layer_111(xml, self.layers.node(child), url, is_110, false);
        }
        xml.close();
    }
}

fn doctype(is_110: bool, with_tiles: bool) -> String {
    const TILE_SETS: &str = "<!ELEMENT VendorSpecificCapabilities (TileSet*) >
<!ELEMENT TileSet (SRS, BoundingBox?, Resolutions, Width, Height, Format, Layers*, Styles*) >
<!ELEMENT Resolutions (#PCDATA) >
<!ELEMENT Width (#PCDATA) >
<!ELEMENT Height (#PCDATA) >
<!ELEMENT Layers (#PCDATA) >
<!ELEMENT Styles (#PCDATA) >";
    let elements = if with_tiles { TILE_SETS } else { "<!ELEMENT VendorSpecificCapabilities EMPTY>" };
    let dtd = if is_110 { "1.1.0/capabilities_1_1_0" } else { "1.1.1/WMS_MS_Capabilities" };
    format!(
        "<!DOCTYPE WMT_MS_Capabilities SYSTEM \"http://schemas.opengis.net/wms/{dtd}.dtd\" [\n{elements}\n]>\n"
    )
}

fn write_resource(xml: &mut XmlWriter, address: &str) {
    xml.open("OnlineResource").attribute("xmlns:xlink", XLINK).attribute("xlink:href", address).close();
}

fn write_operation<'a>(
    xml: &mut XmlWriter,
    name: &'static str,
    formats: impl Iterator<Item = &'a str>,
    url: &str,
) {
    xml.open(name);
    for format in formats {
        xml.leaf("Format", format);
    }
    xml.open("DCPType").open("HTTP").open("Get");
    write_resource(xml, &format!("{url}?"));
    xml.close().close().close().close();
}

/// Only the two types that 1.1.1 knows.
fn write_metadata_urls(xml: &mut XmlWriter, layer: &LayerNode) {
    for metadata in &layer.metadata.metadata_urls {
        let kind = match metadata.kind.as_deref() {
            Some("ISO19115:2003") => "TC211",
            Some("FGDC:1998") => "FGDC",
            _ => continue,
        };
        xml.open("MetadataURL").attribute("type", kind);
        xml.optional_leaf("Format", metadata.format.as_deref());
        write_resource(xml, &metadata.url);
        xml.close();
    }
}
