//! One map configuration's services behind one router.

use std::borrow::Cow;
use std::sync::Arc;

use super::Answer;
use super::base_url::BaseUrl;
use super::decorations::Decorations;
use super::demo::{self, DemoParts};
use super::exception::{Failure, document, ows_failure, plain};
use super::kml::{Kml, KmlParts};
use super::ogcapi::{OgcApi, OgcApiParts};
use super::parameters::Parameters;
use super::tms::{Tms, TmsParts};
use super::wms::{Wms, WmsParts};
use super::wmts::{Wmts, WmtsParts};
use super::xml::escape;
use crate::board::Service;
use crate::story;
use crate::wire::{Method, Request, Response};

/// The first segments of all paths that a site may answer, configured or not:
/// what stands before one of them is where a web server has mounted us.
pub const FIRST_SEGMENTS: &[&str] =
    &["service", "ows", "wms", "wmts", "tms", "tiles", "kml", "demo", "ogcapi"];

/// Everything a site is made of; the application fills it from the
/// configuration.
#[derive(Clone, Default)]
pub struct SiteParts {
    pub wms: Option<WmsParts>,
    pub wmts: Option<WmtsParts>,
    pub tms: Option<TmsParts>,
    pub kml: Option<KmlParts>,
    pub ogcapi: Option<OgcApiParts>,
    pub demo: Option<DemoParts>,
    /// `globals.http.access_control_allow_origin`; `None` sends no field.
    pub cors: Option<String>,
    /// `globals.http.hide_error_details`: clients do not see what exactly
    /// went wrong with a source.
    pub hide_error_details: bool,
    /// What is added to pictures; `None`: nothing.
    pub decorations: Option<Arc<Decorations>>,
}

/// What all services of a site have in common.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    pub cors: Option<String>,
    pub hide_error_details: bool,
    pub decorations: Option<Arc<Decorations>>,
}

/// How long a browser may remember what scripts of other sites may do.
const PREFLIGHT_AGE_MAX_S: &str = "86400";

/// All services of one map configuration.
pub struct Site {
    services: Services,
    demo: Option<DemoParts>,
    cors: Option<String>,
    warnings: Vec<String>,
}

/// The services themselves, as the demo pages describe them.
#[derive(Default)]
pub struct Services {
    pub wms: Option<Arc<Wms>>,
    pub wmts: Option<Wmts>,
    pub tms: Option<Tms>,
    pub kml: Option<Kml>,
    pub ogcapi: Option<OgcApi>,
}

impl Site {
    /// Builds the site: layer trees, lookup tables, URL templates.
    ///
    /// # Errors
    /// What makes the configuration unusable, as one sentence each
    /// (an unusable RESTful template, …).
    pub fn build(parts: SiteParts) -> Result<Site, Vec<String>> {
        let manners = Manners {
            cors: parts.cors.filter(|origin| is_field_value(origin)),
            hide_error_details: parts.hide_error_details,
            decorations: parts.decorations,
        };
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        let wms = match parts.wms.map(|parts| Wms::new(parts, &manners)).transpose() {
            Ok(wms) => wms.map(Arc::new),
            Err(error) => {
                errors.push(error.to_string());
                None
            }
        };
        let wmts = match parts.wmts.map(|parts| Wmts::new(parts, &manners)).transpose() {
            Ok(wmts) => wmts,
            Err(error) => {
                errors.push(error.to_string());
                None
            }
        };
        let ogcapi = parts.ogcapi.map(|parts| OgcApi::new(parts, &manners)).transpose();
        let ogcapi = ogcapi.unwrap_or_else(|error| {
            errors.push(error.to_string());
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(wms) = &wms {
            warnings.extend(wms.unknown_srs().map(|code| format!("WMS: unknown coordinate system {code}")));
        }
        if let Some(wmts) = &wmts {
            warnings.extend_from_slice(wmts.skipped());
        }
        let tms = parts.tms.map(|parts| Tms::new(parts, &manners));
        let kml = parts.kml.map(|parts| Kml::new(parts, &manners));
        Ok(Site {
            services: Services { wms, wmts, tms, kml, ogcapi },
            demo: parts.demo,
            cors: manners.cors,
            warnings,
        })
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// What the operator should know though it does not stop the start.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Decides how the request is answered. Quick: parses the target, looks
    /// names up, opens nothing.
    pub fn answer(&self, request: &Request) -> Answer {
        match BaseUrl::of(request) {
            Ok(url) => self.answer_at(&url, request),
            Err(_) => self.with_cors(Answer::Ready(plain(400, "invalid Host"))),
        }
    }

    /// As [`Site::answer`], for a site mounted where `url` says.
    pub fn answer_at(&self, url: &BaseUrl<'_>, request: &Request) -> Answer {
        self.with_cors(self.route(url, request))
    }

    fn route(&self, url: &BaseUrl<'_>, request: &Request) -> Answer {
        if request.method == Method::Options {
            return Answer::Ready(self.options(url, request));
        }
        let Some((name, path)) = split_service(&url.path) else {
            return match &*url.path {
                "" | "/" if is_get(request) => Answer::Ready(self.welcome(url)),
                "" | "/" => method_not_allowed(),
                _ => not_found(),
            };
        };
        let Services { wms, wmts, tms, kml, ogcapi } = &self.services;
        let is_ows = matches!(name, "service" | "ows") || (name == "wms" && wms.is_some());
        if is_ows && request.method == Method::Post {
            return if is_form(request) { self.ows(&form(request), url, request) } else { no_form(request) };
        }
        if let Some(service) = service_at(name) {
            story::name_service(service);
        }
        let answer = match (name, tms, kml, wmts, &self.demo) {
            _ if is_ows => Some(self.ows(&Parameters::parse(&request.query), url, request)),
            ("tiles", Some(tms), ..) => Some(tms.answer_plain(path, request)),
            ("tms", Some(tms), ..) => Some(tms.answer_tms(path, url, request)),
            ("kml", _, Some(kml), ..) => Some(kml.answer(path, url, request)),
            ("wmts", _, _, Some(wmts), _) if wmts.restful => Some(wmts.answer_rest(path, url, request)),
            ("ogcapi", ..) => ogcapi.as_ref().map(|ogcapi| ogcapi.answer(path, url, request)),
            ("demo", .., Some(parts)) => Some(demo::answer(parts, &self.services, path, url, request)),
            _ => None,
        };
        match answer {
            Some(_) if !is_get(request) => method_not_allowed(),
            Some(answer) => answer,
            None => not_found(),
        }
    }

    /// `/service`, `/ows`, `/wms`: the parameters say which service is meant.
    fn ows(&self, parameters: &Parameters, url: &BaseUrl<'_>, request: &Request) -> Answer {
        let Some(service) = service_named(parameters) else {
            return told(Failure {
                locator: Some("service"),
                ..Failure::coded("MissingParameterValue", "The service parameter is missing")
            });
        };
        match (service.as_str(), &self.services.wms, &self.services.wmts) {
            ("wms", Some(wms), _) => {
                story::name_service(Service::Wms);
                wms.answer(parameters, url, request)
            }
            ("wmts", _, Some(wmts)) if wmts.kvp => {
                story::name_service(Service::Wmts);
                wmts.answer_kvp(parameters, url, request)
            }
            _ => told(Failure {
                locator: Some("service"),
                ..Failure::coded(
                    "InvalidParameterValue",
                    format!("The value of the service parameter \"{service}\" is invalid"),
                )
            }),
        }
    }

    /// Which methods a path takes; where a browser asks whether a script of
    /// another site may use them (a preflight of CORS), that too. Whether
    /// there is anything at the path is told by GET.
    fn options(&self, url: &BaseUrl<'_>, request: &Request) -> Response {
        let name = split_service(&url.path).map_or("", |(name, _)| name);
        let methods = match name {
            "service" | "ows" | "wms" => "GET, HEAD, POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        };
        let mut response = Response::new(204, "", Vec::new()).with("Allow", methods);
        response.headers.retain(|(name, _)| name != "Content-Type");
        let asked = request.headers.get("Access-Control-Request-Method");
        if self.cors.is_none() || asked.is_none() {
            return response;
        }
        let mut response = response
            .with("Access-Control-Allow-Methods", methods)
            .with("Access-Control-Max-Age", PREFLIGHT_AGE_MAX_S)
            .with("Vary", "Access-Control-Request-Headers");
        // Whatever fields a script sends, none makes us do more than a GET does.
        let fields = request.headers.get("Access-Control-Request-Headers");
        if let Some(fields) = fields.filter(|list| is_list_of_fields(list)) {
            response = response.with("Access-Control-Allow-Headers", fields);
        }
        response
    }

    fn welcome(&self, url: &BaseUrl<'_>) -> Response {
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>rhumb</title></head>\
             <body><h1>Welcome to rhumb {}</h1><p>It answers as MapProxy does.</p>",
            env!("CARGO_PKG_VERSION")
        );
        if self.demo.is_some() {
            let address = escape(&url.script_url());
            page.push_str("<p>All layers and services: <a href=\"");
            page.push_str(&address);
            page.push_str("/demo/\">demo</a></p>");
        }
        page.push_str("</body></html>\n");
        document(200, "text/html", page)
    }

    /// Adds the CORS field; stored tiles bring their own.
    fn with_cors(&self, answer: Answer) -> Answer {
        let Some(origin) = &self.cors else { return answer };
        match answer {
            Answer::Ready(response) => Answer::Ready(allow_origin(response, origin.clone())),
            Answer::Work(work) => {
                let origin = origin.clone();
                Answer::Work(Box::new(move |turn| allow_origin(work(turn), origin)))
            }
            Answer::StoredTile(tile) => Answer::StoredTile(tile),
        }
    }
}

fn allow_origin(mut response: Response, origin: String) -> Response {
    response.headers.push((Cow::Borrowed("Access-Control-Allow-Origin"), origin));
    response
}

/// Which service the parameters ask for, in lower case; any name may stand there.
pub(super) fn service_named(parameters: &Parameters) -> Option<String> {
    let named = parameters.first("service").filter(|name| !name.is_empty());
    // WMS 1.0.0 knew no SERVICE, and GetMap of later versions does not need it.
    let is_old_wms = parameters.first("wmtver") == Some("1.0.0");
    match named {
        Some(name) => Some(name.to_lowercase()),
        None if is_old_wms || parameters.first("request") == Some("GetMap") => Some("wms".to_owned()),
        None => None,
    }
}

/// `/name…` into `name` and what follows it.
pub(super) fn split_service(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix('/')?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (end > 0).then(|| rest.split_at(end))
}

/// The service that answers below a first segment, for the counters and the
/// log; at `/service` and its like the parameters tell.
fn service_at(name: &str) -> Option<Service> {
    Some(match name {
        "tiles" | "tms" => Service::Tms,
        "kml" => Service::Kml,
        "wmts" => Service::Wmts,
        "ogcapi" => Service::Ogc,
        "demo" => Service::Demo,
        _ => return None,
    })
}

fn is_get(request: &Request) -> bool {
    matches!(request.method, Method::Get | Method::Head)
}

pub(super) fn is_form(request: &Request) -> bool {
    let content_type = request.headers.get("Content-Type").unwrap_or_default();
    let mime = content_type.split(';').next().unwrap_or_default().trim();
    request.method == Method::Post && mime.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Parameters of the query, then those of the body.
pub(super) fn form(request: &Request) -> Parameters {
    let body = String::from_utf8_lossy(&request.body);
    Parameters::parse(&format!("{}&{}", request.query, body.trim_end()))
}

/// Whether a configured text may stand in a header field.
fn is_field_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// Whether a text is a list of names of fields, short enough to be repeated.
fn is_list_of_fields(list: &str) -> bool {
    list.len() <= 1_024
        && list.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b',' | b' '))
}

fn no_form(request: &Request) -> Answer {
    let content_type = request.headers.get("Content-Type").unwrap_or_default().to_ascii_lowercase();
    let text = if content_type.contains("xml") {
        "requests in XML are not read: send the parameters of a GET, as application/x-www-form-urlencoded"
    } else {
        "a POST must carry application/x-www-form-urlencoded: the parameters of a GET"
    };
    Answer::Ready(plain(415, text).with("Accept-Post", "application/x-www-form-urlencoded"))
}

fn told(failure: Failure) -> Answer {
    Answer::Ready(ows_failure(&failure))
}

fn not_found() -> Answer {
    Answer::Ready(plain(404, "not found"))
}

fn method_not_allowed() -> Answer {
    Answer::Ready(plain(405, "method not allowed").with("Allow", "GET, HEAD, OPTIONS"))
}
