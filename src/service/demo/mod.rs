//! The demo pages: every service and layer with a map to look at, for the
//! operator who wants to see what he has configured. Plain HTML that works
//! without scripts, but for the maps; everything is in the binary, and no page
//! asks another host. The parameters are those of MapProxy's demo.

pub(in crate::service) mod assets;
mod documents;
mod elsewhere;
mod markup;
mod ogcapi;
pub(in crate::service) mod page;
mod place;
mod start;
mod tiles;
mod viewer;
mod wms;

#[cfg(test)]
mod tests;

use super::Answer;
use super::base_url::BaseUrl;
use super::exception::document;
use super::metadata::ServiceMetadata;
use super::parameters::Parameters;
use super::site::Services;
use crate::wire::Request;

pub(in crate::service) use elsewhere::web_address;
use page::missing;

/// `services.demo` (mapproxy-features.md §7.7).
#[derive(Clone)]
pub struct DemoParts {
    pub metadata: ServiceMetadata,
    /// `background.url` as written: a template with `{z}`, `{x}` and `{y}` of
    /// web mercator.
    pub background_url: Option<String>,
}

/// All that a page is made from.
struct Visit<'a> {
    parts: &'a DemoParts,
    services: &'a Services,
    url: &'a BaseUrl<'a>,
    request: &'a Request,
    parameters: Parameters,
}

/// A page and the parameter whose presence asks for it.
type Route = (&'static str, for<'a, 'b> fn(&'a Visit<'b>) -> Answer);

/// The first one present decides.
const ROUTES: [Route; 10] = [
    ("wms_layer", wms::show),
    ("tms_layer", tiles::tms),
    ("wmts_layer", tiles::wmts),
    ("ogcapi_map", ogcapi::maps),
    ("ogcapi_tiles", ogcapi::tiles),
    ("wms_capabilities", markup::wms),
    ("wmsc_capabilities", markup::wms_c),
    ("wmts_capabilities_kvp", markup::wmts_kvp),
    ("wmts_capabilities", markup::wmts_rest),
    ("tms_capabilities", markup::tms),
];

/// Answers below `/demo`; `path` is what follows.
pub fn answer(
    parts: &DemoParts,
    services: &Services,
    path: &str,
    url: &BaseUrl<'_>,
    request: &Request,
) -> Answer {
    if let Some(name) = path.strip_prefix("/static/") {
        return Answer::Ready(assets::answer(name, request));
    }
    if path != "/" {
        // Addresses in the pages are relative to `/demo/`.
        let query = if request.query.is_empty() { "" } else { "?" };
        let location = format!("{}/demo/{query}{}", url.script_url(), request.query);
        return Answer::Ready(document(301, "text/plain", "").with("Location", location));
    }
    let visit = Visit { parts, services, url, request, parameters: Parameters::parse(&request.query) };
    match ROUTES.iter().find(|(name, _)| visit.parameters.contains(name)) {
        Some((_, show)) => show(&visit),
        None => start::show(&visit),
    }
}

impl Visit<'_> {
    /// What the site is called.
    fn site_title(&self) -> &str {
        let title = self.parts.metadata.title.as_str();
        if title.is_empty() { "rhumb" } else { title }
    }

    fn no_such_layer(&self, service: &str, name: &str) -> Answer {
        missing(404, &format!("There is no layer “{name}” in {service}."))
    }

    fn no_such_service(&self, service: &str) -> Answer {
        missing(404, &format!("{service} is not among the services of this configuration."))
    }
}
