//! The capabilities document of WMS 1.3.0.

use super::Wms;
use super::capabilities::{write_contact, write_dimensions};
use super::layer::LayerNode;
use crate::service::metadata::{
    Attribution, Inspire, InspireDates, InspireLocator, InspireSpecification, KeywordList, MetadataUrl,
};
use crate::service::xml::{XmlWriter, number};

impl Wms {
    /// `url`: of the service.
    pub(super) fn capabilities_130(&self, url: &str) -> String {
        let mut xml = XmlWriter::new();
        self.open_root(&mut xml);
        self.write_service_130(&mut xml, url);
        xml.open("Capability");
        self.write_requests_130(&mut xml, url);
        xml.open("Exception").leaf("Format", "XML").leaf("Format", "INIMAGE").leaf("Format", "BLANK").close();
        if let Some(inspire) = &self.inspire {
            write_inspire(&mut xml, inspire);
        }
        self.write_layer_130(&mut xml, self.layers.root(), url, true);
        xml.finish()
    }

    fn open_root(&self, xml: &mut XmlWriter) {
        const SCHEMAS: &str = "http://www.opengis.net/wms http://schemas.opengis.net/wms/1.3.0/capabilities_1_3_0.xsd http://www.opengis.net/sld http://schemas.opengis.net/sld/1.1.0/sld_capabilities.xsd";
        const INSPIRE_SCHEMA: &str = " http://inspire.ec.europa.eu/schemas/inspire_vs/1.0 http://inspire.ec.europa.eu/schemas/inspire_vs/1.0/inspire_vs.xsd";
        xml.open("WMS_Capabilities")
            .attribute("xmlns", "http://www.opengis.net/wms")
            .attribute("xmlns:sld", "http://www.opengis.net/sld")
            .attribute("xmlns:xlink", "http://www.w3.org/1999/xlink")
            .attribute("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance");
        let mut schemas = SCHEMAS.to_owned();
        if self.inspire.is_some() {
            xml.attribute("xmlns:inspire_common", "http://inspire.ec.europa.eu/schemas/common/1.0")
                .attribute("xmlns:inspire_vs", "http://inspire.ec.europa.eu/schemas/inspire_vs/1.0");
            schemas.push_str(INSPIRE_SCHEMA);
        }
        xml.attribute("version", "1.3.0").attribute("xsi:schemaLocation", &schemas);
    }

    fn write_service_130(&self, xml: &mut XmlWriter, url: &str) {
        let metadata = &self.metadata;
        xml.open("Service").leaf("Name", "WMS").leaf("Title", &metadata.title);
        xml.leaf("Abstract", metadata.abstract_text.as_deref().unwrap_or_default());
        write_keywords(xml, &metadata.keyword_lists);
        let online = metadata.online_resource.as_deref().filter(|text| !text.is_empty()).unwrap_or(url);
        write_resource(xml, online);
        if let Some(contact) = &metadata.contact {
            write_contact(xml, contact);
        }
        xml.leaf("Fees", metadata.fees.as_deref().unwrap_or("none"));
        xml.leaf("AccessConstraints", metadata.access_constraints.as_deref().unwrap_or("none"));
        if self.max_output_pixels > 0 {
            let side = self.max_output_pixels.isqrt().to_string();
            xml.leaf("MaxWidth", &side).leaf("MaxHeight", &side);
        }
        xml.close();
    }

    fn write_requests_130(&self, xml: &mut XmlWriter, url: &str) {
        let formats = || self.image_formats.iter().map(|(mime, _)| mime.as_str());
        let info_formats = self.info_formats("text/xml");
        xml.open("Request");
        write_operation(xml, "GetCapabilities", ["text/xml"].into_iter(), url);
        write_operation(xml, "GetMap", formats(), url);
        write_operation(xml, "GetFeatureInfo", info_formats.into_iter(), url);
        if self.layers.has_legend() {
            write_operation(xml, "sld:GetLegendGraphic", formats(), url);
        }
        xml.close();
    }

    fn write_layer_130(&self, xml: &mut XmlWriter, layer: &LayerNode, url: &str, is_root: bool) {
        let metadata = &layer.metadata;
        xml.open("Layer");
        if layer.queryable {
            xml.attribute("queryable", "1");
        }
        if let Some(name) = &layer.name {
            xml.leaf("Name", name);
        }
        xml.leaf("Title", &layer.title);
        xml.optional_leaf("Abstract", metadata.abstract_text.as_deref());
        write_keywords(xml, &metadata.keyword_lists);
        if is_root {
            for code in &self.srs {
                xml.leaf("CRS", code);
            }
        }
        self.write_extents_130(xml, layer);
        write_dimensions(xml, layer);
        if let Some(attribution) = &metadata.attribution {
            write_attribution(xml, attribution);
        }
        write_identifiers(xml, layer);
        write_metadata_urls(xml, "MetadataURL", &metadata.metadata_urls);
        write_metadata_urls(xml, "DataURL", &metadata.data_urls);
        write_metadata_urls(xml, "FeatureListURL", &metadata.feature_list_urls);
        self.write_style_130(xml, layer, url);
        let (finest, coarsest) = Wms::scale_denominators(layer);
        if let Some(scale) = finest.filter(|scale| *scale > 0.0) {
            xml.leaf("MinScaleDenominator", &number(scale));
        }
        if let Some(scale) = coarsest {
            xml.leaf("MaxScaleDenominator", &number(scale));
        }
        for &child in &layer.children {
            self.write_layer_130(xml, self.layers.node(child), url, false);
        }
        xml.close();
    }

    fn write_extents_130(&self, xml: &mut XmlWriter, layer: &LayerNode) {
        let [west, south, east, north] = self.degrees(layer);
        xml.open("EX_GeographicBoundingBox")
            .leaf("westBoundLongitude", &west)
            .leaf("eastBoundLongitude", &east)
            .leaf("southBoundLatitude", &south)
            .leaf("northBoundLatitude", &north)
            .close();
        for (code, [min_x, min_y, max_x, max_y]) in self.extents(layer, true) {
            xml.open("BoundingBox")
                .attribute("CRS", &code)
                .attribute("minx", &min_x)
                .attribute("miny", &min_y)
                .attribute("maxx", &max_x)
                .attribute("maxy", &max_y)
                .close();
        }
    }

    fn write_style_130(&self, xml: &mut XmlWriter, layer: &LayerNode, url: &str) {
        let Some((query, (width, height))) = Wms::legend_query(layer) else { return };
        let name = if self.inspire.is_some() { "inspire_common:DEFAULT" } else { "default" };
        xml.open("Style").leaf("Name", name).leaf("Title", "default");
        xml.open("LegendURL")
            .attribute("width", &width.to_string())
            .attribute("height", &height.to_string())
            .leaf("Format", "image/png");
        xml.open("OnlineResource")
            .attribute("xlink:type", "simple")
            .attribute("xlink:href", &format!("{url}{query}"))
            .close();
        xml.close().close();
    }
}

fn write_resource(xml: &mut XmlWriter, address: &str) {
    xml.open("OnlineResource").attribute("xlink:href", address).close();
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

fn write_keywords(xml: &mut XmlWriter, lists: &[KeywordList]) {
    if lists.is_empty() {
        return;
    }
    xml.open("KeywordList");
    for list in lists {
        for keyword in &list.keywords {
            xml.open("Keyword");
            if let Some(vocabulary) = list.vocabulary.as_deref().filter(|text| !text.is_empty()) {
                xml.attribute("vocabulary", vocabulary);
            }
            xml.text(keyword).close();
        }
    }
    xml.close();
}

fn write_attribution(xml: &mut XmlWriter, attribution: &Attribution) {
    xml.open("Attribution").optional_leaf("Title", attribution.title.as_deref());
    if let Some(url) = attribution.url.as_deref().filter(|url| !url.is_empty()) {
        write_resource(xml, url);
    }
    if let Some(logo) = &attribution.logo {
        xml.open("LogoURL");
        for (name, value) in [("width", &logo.width), ("height", &logo.height)] {
            if let Some(value) = value {
                xml.attribute(name, value);
            }
        }
        xml.optional_leaf("Format", logo.format.as_deref());
        if let Some(url) = logo.url.as_deref().filter(|url| !url.is_empty()) {
            write_resource(xml, url);
        }
        xml.close();
    }
    xml.close();
}

fn write_identifiers(xml: &mut XmlWriter, layer: &LayerNode) {
    for identifier in &layer.metadata.identifiers {
        xml.open("AuthorityURL").attribute("name", &identifier.name);
        if let Some(url) = identifier.url.as_deref().filter(|url| !url.is_empty()) {
            write_resource(xml, url);
        }
        xml.close();
    }
    for identifier in &layer.metadata.identifiers {
        xml.open("Identifier").attribute("authority", &identifier.name).text(&identifier.value).close();
    }
}

fn write_metadata_urls(xml: &mut XmlWriter, name: &'static str, urls: &[MetadataUrl]) {
    for url in urls {
        xml.open(name);
        if let Some(kind) = url.kind.as_deref().filter(|kind| !kind.is_empty()) {
            xml.attribute("type", kind);
        }
        xml.optional_leaf("Format", url.format.as_deref());
        write_resource(xml, &url.url);
        xml.close();
    }
}

fn write_inspire(xml: &mut XmlWriter, inspire: &Inspire) {
    xml.open("inspire_vs:ExtendedCapabilities");
    if inspire.linked {
        if let Some(locator) = &inspire.metadata_url {
            write_locator(xml, "inspire_common:MetadataUrl", locator);
        }
        write_languages(xml, &inspire.default_language);
        xml.close();
        return;
    }
    for locator in &inspire.resource_locators {
        write_locator(xml, "inspire_common:ResourceLocator", locator);
    }
    xml.leaf("inspire_common:ResourceType", "service");
    xml.open("inspire_common:TemporalReference");
    write_dates(xml, &inspire.temporal_reference);
    xml.close();
    for conformity in &inspire.conformities {
        write_conformity(xml, conformity);
    }
    for contact in &inspire.contacts {
        xml.open("inspire_common:MetadataPointOfContact")
            .leaf("inspire_common:OrganisationName", &contact.organisation_name)
            .leaf("inspire_common:EmailAddress", &contact.email)
            .close();
    }
    xml.leaf("inspire_common:MetadataDate", &inspire.metadata_date);
    xml.leaf("inspire_common:SpatialDataServiceType", "view");
    for keyword in &inspire.mandatory_keywords {
        xml.open("inspire_common:MandatoryKeyword").leaf("inspire_common:KeywordValue", keyword).close();
    }
    for keyword in &inspire.keywords {
        xml.open("inspire_common:Keyword").open("inspire_common:OriginatingControlledVocabulary");
        xml.leaf("inspire_common:Title", &keyword.title);
        write_dates(xml, &keyword.dates);
        write_addresses(xml, &keyword.uris, &keyword.resource_locators);
        xml.close();
        xml.leaf("inspire_common:KeywordValue", &keyword.value).close();
    }
    write_languages(xml, &inspire.default_language);
    if let Some(locator) = &inspire.metadata_url {
        write_locator(xml, "inspire_common:MetadataUrl", locator);
    }
    xml.close();
}

fn write_conformity(xml: &mut XmlWriter, conformity: &InspireSpecification) {
    xml.open("inspire_common:Conformity").open("inspire_common:Specification");
    xml.leaf("inspire_common:Title", &conformity.title);
    write_dates(xml, &conformity.dates);
    write_addresses(xml, &conformity.uris, &conformity.resource_locators);
    xml.close();
    xml.leaf("inspire_common:Degree", &conformity.degree).close();
}

fn write_addresses(xml: &mut XmlWriter, uris: &[String], locators: &[InspireLocator]) {
    for uri in uris {
        xml.leaf("inspire_common:URI", uri);
    }
    for locator in locators {
        write_locator(xml, "inspire_common:ResourceLocator", locator);
    }
}

fn write_locator(xml: &mut XmlWriter, name: &'static str, locator: &InspireLocator) {
    xml.open(name)
        .leaf("inspire_common:URL", &locator.url)
        .leaf("inspire_common:MediaType", &locator.media_type)
        .close();
}

fn write_dates(xml: &mut XmlWriter, dates: &InspireDates) {
    // The schema's order; MapProxy begins with the publication, which is not valid beside another.
    xml.optional_leaf("inspire_common:DateOfCreation", dates.creation.as_deref())
        .optional_leaf("inspire_common:DateOfLastRevision", dates.last_revision.as_deref())
        .optional_leaf("inspire_common:DateOfPublication", dates.publication.as_deref());
}

fn write_languages(xml: &mut XmlWriter, language: &str) {
    xml.open("inspire_common:SupportedLanguages")
        .open("inspire_common:DefaultLanguage")
        .leaf("inspire_common:Language", language)
        .close();
    xml.close();
    xml.open("inspire_common:ResponseLanguage").leaf("inspire_common:Language", language).close();
}
