//! Keys of `services.ogcapi`.

use super::row::{Row, prove, row};
use super::seen::*;

const LANDING: &str = "/ogcapi?f=html";
const API: &str = "/ogcapi/api?f=json";

fn rows() -> Vec<Row> {
    let mut rows = served();
    rows.extend(told_of());
    rows
}

#[test]
fn each_key_shows_its_effect() {
    prove("suite::keys::ogcapi::each_key_shows_its_effect", &rows());
}

fn own(keys: &'static str) -> Row {
    row(keys).given("services/ogcapi", "{}")
}

fn picture(side: u32) -> String {
    format!("/ogcapi/collections/direct/map.png?bbox=5,45,15,55&width={side}&height={side}")
}

fn served() -> Vec<Row> {
    vec![
        own("services.ogcapi.enable_tiles")
            .put("services/ogcapi/enable_tiles", "false")
            .ask("/ogcapi/collections/maps/map/tiles?f=json")
            .see(status(), "200", "404"),
        own("services.ogcapi.enable_maps").put("services/ogcapi/enable_maps", "false").ask(picture(64)).see(
            status(),
            "200",
            "404",
        ),
        own("services.ogcapi.map_srs")
            .put("services/ogcapi/map_srs", "['EPSG:25832']")
            .ask("/ogcapi/collections/maps?f=json")
            .see(
                json("/crs/2"),
                "http://www.opengis.net/def/crs/EPSG/0/3857",
                "http://www.opengis.net/def/crs/EPSG/0/25832",
            ),
        own("services.ogcapi.attribution")
            .given("sources/wms/req/url", "'{UP}/flat'")
            .put("services/ogcapi/attribution", "{text: by us}")
            .ask(picture(128))
            .see(ink(), "-", "33x17 at 95,111"),
        own("services.ogcapi.on_source_errors")
            .given("sources/wms/req/url", "'{UP}/fail/500'")
            .given("sources/wms/req/transparent", "true")
            .given("layers/1/sources", "[tiles, wms]")
            .put("services/ogcapi/on_source_errors", "raise")
            .ask(picture(64))
            .see(status(), "200", "500"),
        own("services.ogcapi.max_output_pixels")
            .put("services/ogcapi/max_output_pixels", "[100, 100]")
            .ask(picture(128))
            .see(status(), "200", "400")
            .see(asked_count(), "1", "0"),
        own("services.ogcapi.image_formats")
            .put("services/ogcapi/image_formats", "[image/png]")
            .ask("/ogcapi/collections/direct/map.jpg?bbox=5,45,15,55&width=64&height=64")
            .ask("/ogcapi/collections/direct?f=json")
            .see(statuses(), "200 200", "406 200")
            .see(holds("map.jpg"), "yes", "no"),
        own("services.ogcapi.default_dataset_layers")
            .put("services/ogcapi/default_dataset_layers", "[direct]")
            .ask("/ogcapi/map.png?bbox=5,45,15,55&width=64&height=64")
            .see(status(), "500", "200"),
    ]
}

fn told_of() -> Vec<Row> {
    let md = |keys: &'static str, yaml: &'static str, target: &'static str| {
        own(keys).put("services/ogcapi/md", yaml).ask(target)
    };
    let shown = |keys: &'static str, yaml: &'static str, label: &'static str| {
        md(keys, yaml, LANDING).see(between(label, "</dd>"), "-", "<dd>told")
    };
    vec![
        md(
            "services.ogcapi.md services.ogcapi.md.identification services.ogcapi.md.identification.title",
            "{identification: {title: told}}",
            LANDING,
        )
        .see(between("<h1>", "</h1>"), "OGC API", "told"),
        md("services.ogcapi.md.identification.description", "{identification: {description: told}}", API)
            .see(json("/info/description"), "-", "told"),
        md("services.ogcapi.md.identification.url", "{identification: {url: 'http://told.example/'}}", API)
            .see(json("/tags/0/externalDocs/url"), "-", "http://told.example/"),
        md(
            "services.ogcapi.md.identification.terms_of_service",
            "{identification: {terms_of_service: 'http://told.example/'}}",
            API,
        )
        .see(json("/info/termsOfService"), "-", "http://told.example/"),
        md("services.ogcapi.md.identification.keywords", "{identification: {keywords: [a, b]}}", API).see(
            json("/info/x-keywords"),
            "-",
            "[\"a\",\"b\"]",
        ),
        md("services.ogcapi.md.contact services.ogcapi.md.contact.name", "{contact: {name: told}}", API).see(
            json("/info/contact/name"),
            "-",
            "told",
        ),
        md("services.ogcapi.md.contact.url", "{contact: {url: 'http://told.example/'}}", API).see(
            json("/info/contact/url"),
            "-",
            "http://told.example/",
        ),
        shown("services.ogcapi.md.contact.email", "{contact: {email: told}}", "<dt>E-mail</dt>"),
        shown("services.ogcapi.md.contact.address", "{contact: {address: told}}", "<dt>Address</dt>"),
        shown("services.ogcapi.md.contact.city", "{contact: {city: told}}", "<dt>City</dt>"),
        shown(
            "services.ogcapi.md.contact.stateorprovince",
            "{contact: {stateorprovince: told}}",
            "<dt>State</dt>",
        ),
        shown("services.ogcapi.md.contact.postalcode", "{contact: {postalcode: told}}", "<dt>Postcode</dt>"),
        shown("services.ogcapi.md.contact.country", "{contact: {country: told}}", "<dt>Country</dt>"),
        shown("services.ogcapi.md.contact.phone", "{contact: {phone: told}}", "<dt>Telephone</dt>"),
        shown("services.ogcapi.md.contact.fax", "{contact: {fax: told}}", "<dt>Fax</dt>"),
        shown(
            "services.ogcapi.md.contact.instructions",
            "{contact: {instructions: told}}",
            "<dt>Instructions</dt>",
        ),
        md("services.ogcapi.md.license services.ogcapi.md.license.name", "{license: {name: told}}", API).see(
            json("/info/license/name"),
            "-",
            "told",
        ),
        md("services.ogcapi.md.license.url", "{license: {name: told, url: 'http://told.example/'}}", API)
            .see(json("/info/license/url"), "-", "http://told.example/"),
        shown(
            "services.ogcapi.md.provider services.ogcapi.md.provider.name",
            "{provider: {name: told}}",
            "<dt>Provider</dt>",
        ),
        md(
            "services.ogcapi.md.provider.url",
            "{provider: {name: told, url: 'http://told.example/'}}",
            LANDING,
        )
        .see(
            between("<dt>Provider</dt><dd>", "</dd>"),
            "-",
            "<a href=\"http://told.example/\">told</a>",
        ),
    ]
}
