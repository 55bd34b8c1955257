//! The WMTS capabilities document.

use super::Wmts;
use crate::geo::{Origin, Srs, TileGrid};
use crate::service::base_url::BaseUrl;
use crate::service::tile::ServedLayer;
use crate::service::xml::{XmlWriter, number};

/// Metres in a degree on the equator, as the well-known scale sets have it.
const METERS_PER_DEGREE: f64 = 111_319.490_793_273_6;
/// Metres on the screen for each pixel.
const PIXEL_M: f64 = 0.28 / 1000.0;

impl Wmts {
    pub(super) fn kvp_capabilities(&self, url: &BaseUrl<'_>) -> String {
        let address = url.request_url();
        let base = address.strip_suffix("/service").unwrap_or(&address);
        self.write(&address, base, false)
    }

    /// `address`: of the service, without the name of the document.
    pub(super) fn rest_capabilities(&self, address: &str) -> String {
        let base = address.strip_suffix("/wmts").unwrap_or(address);
        self.write(address, base, true)
    }

    fn write(&self, address: &str, base: &str, restful: bool) -> String {
        let mut xml = XmlWriter::new();
        xml.open("Capabilities")
            .attribute("xmlns", "http://www.opengis.net/wmts/1.0")
            .attribute("xmlns:ows", "http://www.opengis.net/ows/1.1")
            .attribute("xmlns:xlink", "http://www.w3.org/1999/xlink")
            .attribute("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
            .attribute("xmlns:gml", "http://www.opengis.net/gml")
            .attribute(
                "xsi:schemaLocation",
                "http://www.opengis.net/wmts/1.0 http://schemas.opengis.net/wmts/1.0/wmtsGetCapabilities_response.xsd",
            )
            .attribute("version", "1.0.0");
        self.write_identification(&mut xml);
        self.write_provider(&mut xml);
        write_operations(&mut xml, address, restful);
        xml.open("Contents");
        for layer in &self.layers {
            self.write_layer(&mut xml, layer, address, base, restful);
        }
        let mut written: Vec<&str> = Vec::new();
        for layer in self.layers.iter().flat_map(|layer| &layer.by_grid) {
            if !written.contains(&layer.grid().name.as_str()) {
                written.push(&layer.grid().name);
                write_matrix_set(&mut xml, layer.grid());
            }
        }
        xml.close();
        if restful {
            xml.open("ServiceMetadataURL")
                .attribute("xlink:href", &format!("{address}/1.0.0/WMTSCapabilities.xml"))
                .close();
        }
        xml.finish()
    }

    fn write_identification(&self, xml: &mut XmlWriter) {
        let metadata = &self.metadata;
        xml.open("ows:ServiceIdentification");
        xml.leaf("ows:Title", &metadata.title);
        xml.leaf("ows:Abstract", metadata.abstract_text.as_deref().unwrap_or_default());
        if !metadata.keyword_lists.is_empty() {
            xml.open("ows:Keywords");
            for list in &metadata.keyword_lists {
                for keyword in &list.keywords {
                    xml.open("ows:Keyword");
                    if let Some(vocabulary) = list.vocabulary.as_deref().filter(|text| !text.is_empty()) {
                        xml.attribute("vocabulary", vocabulary);
                    }
                    xml.text(keyword).close();
                }
            }
            xml.close();
        }
        xml.leaf("ows:ServiceType", "OGC WMTS").leaf("ows:ServiceTypeVersion", "1.0.0");
        xml.leaf("ows:Fees", metadata.fees.as_deref().unwrap_or("none"));
        xml.leaf("ows:AccessConstraints", metadata.access_constraints.as_deref().unwrap_or("none"));
        xml.close();
    }

    fn write_provider(&self, xml: &mut XmlWriter) {
        let Some(contact) = &self.metadata.contact else { return };
        let site = self.metadata.online_resource.as_deref().unwrap_or_default();
        xml.open("ows:ServiceProvider");
        xml.leaf("ows:ProviderName", &contact.organization);
        xml.open("ows:ProviderSite").attribute("xlink:href", site).close();
        xml.open("ows:ServiceContact")
            .leaf("ows:IndividualName", &contact.person)
            .leaf("ows:PositionName", &contact.position);
        xml.open("ows:ContactInfo");
        xml.open("ows:Phone").leaf("ows:Voice", &contact.phone).leaf("ows:Facsimile", &contact.fax).close();
        xml.open("ows:Address")
            .leaf("ows:DeliveryPoint", &contact.address)
            .leaf("ows:City", &contact.city)
            .leaf("ows:AdministrativeArea", &contact.state)
            .leaf("ows:PostalCode", &contact.postcode)
            .leaf("ows:Country", &contact.country)
            .leaf("ows:ElectronicMailAddress", &contact.email)
            .close();
        xml.close().close().close();
    }

    fn write_layer(
        &self,
        xml: &mut XmlWriter,
        layer: &super::WmtsLayer,
        address: &str,
        base: &str,
        restful: bool,
    ) {
        let first = layer.first();
        let [west, south, east, north] = degrees(first);
        xml.open("Layer").leaf("ows:Title", &first.layer.title).leaf("ows:Abstract", "");
        xml.open("ows:WGS84BoundingBox")
            .leaf("ows:LowerCorner", &format!("{west} {south}"))
            .leaf("ows:UpperCorner", &format!("{east} {north}"))
            .close();
        xml.leaf("ows:Identifier", &layer.name);
        xml.open("Style").attribute("isDefault", "true").leaf("ows:Identifier", "default");
        let template =
            if restful { &first.layer.wmts_rest_legend_url } else { &first.layer.wmts_kvp_legend_url };
        if let Some(template) = template.as_deref().filter(|template| !template.is_empty()) {
            let legend = template.replace("{base_url}", base).replace("{layer_name}", &layer.name);
            xml.open("LegendURL").attribute("format", "image/png").attribute("xlink:href", &legend).close();
        }
        xml.close();
        xml.leaf("Format", &format!("image/{}", first.format));
        if !first.layer.infos.is_empty() {
            for (_, mime) in &self.info_formats {
                xml.leaf("InfoFormat", mime);
            }
        }
        self.write_dimensions(xml, first);
        for on_grid in &layer.by_grid {
            xml.open("TileMatrixSetLink").leaf("TileMatrixSet", &on_grid.grid().name).close();
        }
        if restful {
            self.write_resources(xml, first, address);
        }
        xml.close();
    }

    fn write_dimensions(&self, xml: &mut XmlWriter, layer: &ServedLayer) {
        for dimension in &layer.layer.dimensions {
            let key = dimension.key();
            // Spelled as in the template where it has the dimension.
            let in_template = self.template.dimensions.iter().find(|name| name.to_lowercase() == key);
            xml.open("Dimension");
            xml.leaf("ows:Identifier", in_template.unwrap_or(&dimension.name));
            xml.leaf("Default", &dimension.default);
            for value in &dimension.values {
                xml.leaf("Value", value);
            }
            xml.close();
        }
    }

    fn write_resources(&self, xml: &mut XmlWriter, layer: &ServedLayer, address: &str) {
        let tile = self.template.text.replace("{Format}", layer.format);
        let tile = tile.replace("{Layer}", &layer.layer.name);
        xml.open("ResourceURL")
            .attribute("format", &format!("image/{}", layer.format))
            .attribute("resourceType", "tile")
            .attribute("template", &format!("{address}{tile}"))
            .close();
        if layer.layer.infos.is_empty() {
            return;
        }
        for (suffix, mime) in &self.info_formats {
            let info = self.info_template.text.replace("{InfoFormat}", suffix);
            let info = info.replace("{Layer}", &layer.layer.name);
            xml.open("ResourceURL")
                .attribute("format", mime)
                .attribute("resourceType", "FeatureInfo")
                .attribute("template", &format!("{address}{info}"))
                .close();
        }
    }
}

fn write_operations(xml: &mut XmlWriter, address: &str, restful: bool) {
    xml.open("ows:OperationsMetadata");
    for operation in ["GetCapabilities", "GetTile", "GetFeatureInfo"] {
        xml.open("ows:Operation").attribute("name", operation);
        xml.open("ows:DCP").open("ows:HTTP");
        xml.open("ows:Get").attribute("xlink:href", &format!("{address}?"));
        xml.open("ows:Constraint").attribute("name", "GetEncoding");
        xml.open("ows:AllowedValues").leaf("ows:Value", if restful { "RESTful" } else { "KVP" }).close();
        xml.close().close().close().close().close();
    }
    xml.close();
}

/// The layer's extent in EPSG:4326.
fn degrees(layer: &ServedLayer) -> [String; 4] {
    match Srs::parse("EPSG:4326") {
        Ok(geographic) => layer.edges_in(&geographic),
        Err(_) => layer.edges_in(&layer.layer.extent.1),
    }
}

fn write_matrix_set(xml: &mut XmlWriter, grid: &TileGrid) {
    xml.open("TileMatrixSet").leaf("ows:Identifier", &grid.name);
    xml.leaf("ows:SupportedCRS", &format!("urn:ogc:def:crs:{}", grid.srs.code()));
    let meters_per_unit = if grid.srs.is_geographic() { METERS_PER_DEGREE } else { 1.0 };
    for level in 0..grid.levels() {
        let corner = grid.tile_extent(grid.origin_tile(level, Origin::NorthWest));
        let (first, second) = if grid.srs.is_axis_order_ne() {
            (corner.max_y, corner.min_x)
        } else {
            (corner.min_x, corner.max_y)
        };
        let (columns, rows) = grid.grid_size(level);
        xml.open("TileMatrix");
        xml.leaf("ows:Identifier", &format!("{level:02}"));
        xml.leaf("ScaleDenominator", &scale_text(grid.resolution(level) / PIXEL_M * meters_per_unit));
        xml.leaf("TopLeftCorner", &format!("{} {}", number(first), number(second)));
        xml.leaf("TileWidth", &grid.tile_size.0.to_string());
        xml.leaf("TileHeight", &grid.tile_size.1.to_string());
        xml.leaf("MatrixWidth", &columns.to_string());
        xml.leaf("MatrixHeight", &rows.to_string());
        xml.close();
    }
    xml.close();
}

/// Ten decimals at most, without zeros and a point at the end. (MapProxy cuts
/// zeros at the beginning as well and so shows 0.5 as 5; that is not copied.)
fn scale_text(scale: f64) -> String {
    let rounded: f64 = format!("{scale:.10}").parse().unwrap_or(scale);
    let text = number(rounded);
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_shown_short() {
        for (scale, text) in [
            (559_082_264.028_717_8, "559082264.0287178"),
            (1000.0, "1000"),
            (0.5, "0.5"),
            (12.345_678_901_234, "12.3456789012"),
        ] {
            assert_eq!(scale_text(scale), text);
        }
    }
}
