//! The landing page and the declaration of conformance.

use minijinja::context;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Visit, request};
use crate::service::Answer;

pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html";
pub(super) const OPENAPI: &str = "application/vnd.oai.openapi+json;version=3.0";

impl Visit<'_> {
    /// A link.
    pub(super) fn link(&self, rel: &str, mime: &str, title: &str, path: &str) -> Value {
        json!({ "rel": rel, "type": mime, "title": title, "href": self.href(path) })
    }

    /// Links to both representations of this document: itself and the other.
    pub(super) fn both(&self, titles: [&str; 2], path: &str) -> [Value; 2] {
        let (json_rel, html_rel) =
            if self.frame.html { ("alternate", "self") } else { ("self", "alternate") };
        [
            self.link(json_rel, JSON, titles[0], &format!("{path}?f=json")),
            self.link(html_rel, HTML, titles[1], &format!("{path}?f=html")),
        ]
    }

    pub(super) fn landing(&self) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let json = json!({ "links": self.landing_links() });
        Ok(self.document("landing.html", &self.frame.title, &json, self.about()))
    }

    fn landing_links(&self) -> Vec<Value> {
        let landing = |kind: &str| {
            format!(
                "The {kind} representation of the landing page for this OGC (geospatial) API Service providing \
                 links to the API definition, the conformance declaration and information about the data \
                 collections offered at this endpoint."
            )
        };
        let classes = |kind: &str| {
            format!(
                "The {kind} representation of the conformance declaration for this server listing the \
                 requirement classes implemented by this server"
            )
        };
        let data = |kind: &str| list_title(kind);
        let mut links = Vec::from(self.both([&landing("JSON"), &landing("HTML")], "/ogcapi"));
        let ogc = |name: &str| format!("http://www.opengis.net/def/rel/ogc/1.0/{name}");
        links.extend([
            // The relation that OGC API Common had before its own were registered.
            self.link("conformance", JSON, &classes("JSON"), "/ogcapi/conformance?f=json"),
            self.link(&ogc("conformance"), JSON, &classes("JSON"), "/ogcapi/conformance?f=json"),
            self.link(&ogc("conformance"), HTML, &classes("HTML"), "/ogcapi/conformance?f=html"),
            self.link(
                "service-desc",
                OPENAPI,
                "The JSON OpenAPI 3.0 document that describes the API offered at this endpoint",
                "/ogcapi/api?f=json",
            ),
            self.link(
                "service-doc",
                HTML,
                "The HTML documentation of the API offered at this endpoint",
                "/ogcapi/api?f=html",
            ),
            self.link("data", JSON, &data("JSON"), "/ogcapi/collections?f=json"),
            self.link("data", HTML, &data("HTML"), "/ogcapi/collections?f=html"),
            self.link(&ogc("data"), JSON, &data("JSON"), "/ogcapi/collections?f=json"),
            self.link(&ogc("data"), HTML, &data("HTML"), "/ogcapi/collections?f=html"),
        ]);
        if self.api.enable_maps && self.api.dataset.is_some() {
            // "datase" is how MapProxy spells it; clients may show the title, none reads it.
            let title = |kind: &str| format!("Default map of the whole datase (as {kind})");
            links.extend(self.api.offered().map(|[mime, kind, extension]| {
                self.link(&ogc("map"), mime, &title(kind), &format!("/ogcapi/map.{extension}"))
            }));
        }
        if self.api.enable_tiles && !self.api.grids.is_empty() {
            let title = |kind: &str| format!("The list of supported tiling schemes (as {kind})");
            let path = |format: &str| format!("/ogcapi/tileMatrixSets?f={format}");
            links.push(self.link(&ogc("tiling-schemes"), JSON, &title("JSON"), &path("json")));
            links.push(self.link(&ogc("tiling-schemes"), HTML, &title("HTML"), &path("html")));
        }
        links
    }

    /// What the page says of the service.
    fn about(&self) -> minijinja::Value {
        let api = self.api;
        let keywords: Vec<String> = api
            .metadata
            .iter()
            .filter(|(key, _)| key == "identification.keywords")
            .map(|(_, text)| text.clone())
            .collect();
        let contact: Vec<Vec<String>> = [
            ("Name", "contact.name"),
            ("E-mail", "contact.email"),
            ("Address", "contact.address"),
            ("City", "contact.city"),
            ("State", "contact.stateorprovince"),
            ("Postcode", "contact.postalcode"),
            ("Country", "contact.country"),
            ("Telephone", "contact.phone"),
            ("Fax", "contact.fax"),
            ("Address on the web", "contact.url"),
            ("Instructions", "contact.instructions"),
        ]
        .into_iter()
        .filter_map(|(label, key)| Some(vec![label.to_owned(), api.metadata(key)?.to_owned()]))
        .collect();
        context! {
            about => api.metadata("identification.description"),
            about_url => api.metadata("identification.url"),
            terms => api.metadata("identification.terms_of_service"),
            license => api.metadata("license.name"),
            license_url => api.metadata("license.url"),
            provider => api.metadata("provider.name"),
            provider_url => api.metadata("provider.url"),
            keywords,
            contact,
            collections => api.names.len(),
            has_map => api.enable_maps && api.dataset.is_some(),
            has_tiles => api.enable_tiles && !api.grids.is_empty(),
            has_dataset_tiles => api.enable_tiles && api.dataset.is_some(),
        }
    }

    pub(super) fn conformance(&self) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let api = self.api;
        let mut classes = Vec::new();
        let mut add = |spec: &str, names: &[&str]| {
            classes.extend(
                names.iter().map(|name| format!("http://www.opengis.net/spec/{spec}/1.0/conf/{name}")),
            );
        };
        add("ogcapi-common-1", &["core", "html", "json", "landing-page", "oas30"]);
        add("ogcapi-common-2", &["collections"]);
        if api.enable_maps {
            const MAPS: [&str; 8] = [
                "core",
                "scaling",
                "spatial-subsetting",
                "crs",
                "display-resolution",
                "background",
                "collection-map",
                "collections-selection",
            ];
            add("ogcapi-maps-1", &MAPS);
            for [_, kind, _] in api.offered() {
                add("ogcapi-maps-1", &[&kind.to_lowercase()]);
            }
            if api.dataset.is_some() {
                add("ogcapi-maps-1", &["dataset-map"]);
            }
            if api.enable_tiles {
                add("ogcapi-maps-1", &["tilesets"]);
            }
        }
        if api.enable_tiles {
            add("ogcapi-tiles-1", &["core", "oas30", "tileset", "tilesets-list", "geodata-tilesets"]);
            if api.dataset.is_some() {
                add("ogcapi-tiles-1", &["dataset-tilesets"]);
            }
        }
        let json = json!({ "conformsTo": classes });
        Ok(self.document("conformance.html", "Conformance", &json, context! {}))
    }
}

/// The title of the list of collections.
pub(super) fn list_title(kind: &str) -> String {
    format!("The {kind} representation of the list of all data collections served from this endpoint")
}
