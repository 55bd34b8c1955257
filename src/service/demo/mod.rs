//! The demo pages.

use super::Answer;
use super::base_url::BaseUrl;
use super::exception::{document, plain};
use super::metadata::ServiceMetadata;
use super::site::Services;
use super::xml::escape;
use crate::wire::Request;

/// `services.demo` (mapproxy-features.md §7.7).
#[derive(Clone)]
pub struct DemoParts {
    pub metadata: ServiceMetadata,
    /// `background.url` as written.
    pub background_url: String,
}

/// Answers below `/demo`; `path` is what follows.
pub fn answer(
    parts: &DemoParts,
    _services: &Services,
    path: &str,
    url: &BaseUrl<'_>,
    _request: &Request,
) -> Answer {
    if !matches!(path, "" | "/") {
        return Answer::Ready(plain(404, "not found"));
    }
    let title = escape(&parts.metadata.title);
    let address = escape(&url.script_url());
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body><h1>{title}</h1><p>Services at <code>{address}</code></p></body></html>\n"
    );
    Answer::Ready(document(200, "text/html", page))
}
