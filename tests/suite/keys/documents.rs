//! Keys that stand in documents: `md` of services and of layers.

use super::row::{Row, prove, row};
use super::seen::*;
use super::{CAPABILITIES, CAPABILITIES_111};

fn rows() -> Vec<Row> {
    let mut rows = service();
    rows.extend(contact());
    rows.extend(layer());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::documents::each_key_shows_its_effect", &rows());
}

fn service() -> Vec<Row> {
    let md = |keys: &'static str| row(keys).ask(CAPABILITIES);
    vec![
        md("services.wms.md services.md.title").put("services/wms/md/title", "Other").see(
            xml("Service/Title"),
            "Site",
            "Other",
        ),
        md("services.md.abstract").put("services/wms/md/abstract", "What it is").see(
            xml("Service/Abstract"),
            "-",
            "What it is",
        ),
        md("services.md.online_resource")
            .put("services/wms/md/online_resource", "'http://our.example/'")
            .see(xml("Service/OnlineResource@href"), "{HERE}/service", "http://our.example/"),
        md("services.md.fees").put("services/wms/md/fees", "a beer").see(
            xml("Service/Fees"),
            "none",
            "a beer",
        ),
        md("services.md.access_constraints").put("services/wms/md/access_constraints", "be kind").see(
            xml("Service/AccessConstraints"),
            "none",
            "be kind",
        ),
        md("services.md.keyword_list keyword_list.keywords keyword_list.vocabulary")
            .put("services/wms/md/keyword_list", "[{vocabulary: GEMET, keywords: [roads, rivers]}]")
            .see(xml("Service/KeywordList/Keyword"), "-", "roads rivers")
            .see(xml("Service/KeywordList/Keyword@vocabulary"), "-", "GEMET GEMET"),
    ]
}

fn contact() -> Vec<Row> {
    let md = |keys: &'static str, place: &'static str, element: &'static str| {
        row(keys).given("services/wms/md/contact", "{person: Ada}").put(place, "told").ask(CAPABILITIES).see(
            xml(element),
            "-",
            "told",
        )
    };
    vec![
        row("services.md.contact services.md.contact.person")
            .put("services/wms/md/contact", "{person: Ada}")
            .ask(CAPABILITIES)
            .see(xml("ContactPersonPrimary/ContactPerson"), "-", "Ada"),
        md("services.md.contact.position", "services/wms/md/contact/position", "ContactPosition"),
        md(
            "services.md.contact.organization",
            "services/wms/md/contact/organization",
            "ContactPersonPrimary/ContactOrganization",
        ),
        row("services.md.contact.address_type")
            .given("services/wms/md/contact", "{person: Ada}")
            .put("services/wms/md/contact/address_type", "home")
            .ask(CAPABILITIES)
            .see(xml("ContactAddress/AddressType"), "postal", "home"),
        md("services.md.contact.address", "services/wms/md/contact/address", "ContactAddress/Address"),
        md("services.md.contact.city", "services/wms/md/contact/city", "ContactAddress/City"),
        md("services.md.contact.postcode", "services/wms/md/contact/postcode", "ContactAddress/PostCode"),
        md("services.md.contact.state", "services/wms/md/contact/state", "ContactAddress/StateOrProvince"),
        md("services.md.contact.country", "services/wms/md/contact/country", "ContactAddress/Country"),
        md("services.md.contact.phone", "services/wms/md/contact/phone", "ContactVoiceTelephone"),
        md("services.md.contact.fax", "services/wms/md/contact/fax", "ContactFacsimileTelephone"),
        md("services.md.contact.email", "services/wms/md/contact/email", "ContactElectronicMailAddress"),
    ]
}

fn layer() -> Vec<Row> {
    let mut rows = attribution();
    let md = |keys: &'static str| row(keys).ask(CAPABILITIES);
    rows.extend([
        md("layers.*.md layers.*.md.abstract").put("layers/0/md", "{abstract: Streets}").see(xml("Layer/Abstract"), "-", "Streets"),
        md("layers.*.md.keyword_list")
            .put("layers/0/md", "{keyword_list: [{keywords: [roads]}]}")
            .see(xml("Layer/KeywordList/Keyword"), "-", "roads"),
        md("layers.*.md.identifier layers.*.md.identifier.url layers.*.md.identifier.name layers.*.md.identifier.value")
            .put("layers/0/md", "{identifier: [{url: 'http://ids.example/', name: ids, value: '17'}]}")
            .see(xml("Layer/AuthorityURL@name"), "-", "ids")
            .see(xml("Layer/AuthorityURL/OnlineResource@href"), "-", "http://ids.example/")
            .see(xml("Layer/Identifier@authority"), "-", "ids")
            .see(xml("Layer/Identifier"), "-", "17"),
        md("layers.*.md.metadata layers.*.md.metadata.url layers.*.md.metadata.type layers.*.md.metadata.format")
            .put("layers/0/md", "{metadata: [{url: 'http://meta.example/', type: TC211, format: text/xml}]}")
            .see(xml("Layer/MetadataURL@type"), "-", "TC211")
            .see(xml("Layer/MetadataURL/Format"), "-", "text/xml")
            .see(xml("Layer/MetadataURL/OnlineResource@href"), "-", "http://meta.example/"),
        md("layers.*.md.data layers.*.md.data.url layers.*.md.data.format")
            .put("layers/0/md", "{data: [{url: 'http://data.example/', format: application/zip}]}")
            .see(xml("Layer/DataURL/Format"), "-", "application/zip")
            .see(xml("Layer/DataURL/OnlineResource@href"), "-", "http://data.example/"),
        md("layers.*.md.feature_list layers.*.md.feature_list.url layers.*.md.feature_list.format")
            .put("layers/0/md", "{feature_list: [{url: 'http://list.example/', format: text/csv}]}")
            .see(xml("Layer/FeatureListURL/Format"), "-", "text/csv")
            .see(xml("Layer/FeatureListURL/OnlineResource@href"), "-", "http://list.example/"),
        row("layers.*.name").put("layers/0/name", "streets").ask(CAPABILITIES_111).see(
            xml("Layer/Name"),
            "maps direct tiles",
            "streets direct tiles",
        ),
    ]);
    rows
}

fn attribution() -> Vec<Row> {
    let md =
        |keys: &'static str| row(keys).given("layers/0/md", "{attribution: {title: Us}}").ask(CAPABILITIES);
    vec![
        row("layers.*.md.attribution layers.*.md.attribution.title")
            .put("layers/0/md", "{attribution: {title: Us}}")
            .ask(CAPABILITIES)
            .see(xml("Layer/Attribution/Title"), "-", "Us"),
        md("layers.*.md.attribution.url")
            .put("layers/0/md/attribution/url", "'http://us.example/'")
            .see(xml("Layer/Attribution/OnlineResource@href"), "-", "http://us.example/"),
        md("layers.*.md.attribution.logo layers.*.md.attribution.logo.url layers.*.md.attribution.logo.width \
            layers.*.md.attribution.logo.height layers.*.md.attribution.logo.format")
            .put("layers/0/md/attribution/logo", "{url: 'http://us.example/logo', width: 7, height: 8, format: image/gif}")
            .see(xml("Layer/Attribution/LogoURL/OnlineResource@href"), "-", "http://us.example/logo")
            .see(xml("Layer/Attribution/LogoURL@width"), "-", "7")
            .see(xml("Layer/Attribution/LogoURL@height"), "-", "8")
            .see(xml("Layer/Attribution/LogoURL/Format"), "-", "image/gif"),
    ]
}
