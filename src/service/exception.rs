//! Responses that are not maps or tiles: documents, refusals, failures; and
//! how a failure is told in the words of each protocol.

use super::xml::XmlWriter;
use crate::plan::{PlanError, error_text};
use crate::wire::Response;

/// Fields that change the addresses in a document.
const VARY: &str =
    "X-Script-Name, X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Port, X-Forwarded-Prefix, Forwarded";

/// Why a request is not answered as wished.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What the client is told.
    pub message: String,
    /// The protocol's code, where it has one for this.
    pub code: Option<&'static str>,
    /// The parameter at fault (OWS).
    pub locator: Option<&'static str>,
    /// The request was right, the failure is ours or a source's.
    pub internal: bool,
    /// In place of the protocol's usual HTTP status.
    pub status: Option<u16>,
    /// Something that the protocol has no words for: told as plain text.
    pub unexpected: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            code: None,
            locator: None,
            internal: false,
            status: None,
            unexpected: false,
        }
    }

    pub fn coded(code: &'static str, message: impl Into<String>) -> Failure {
        Failure { code: Some(code), ..Failure::new(message) }
    }

    pub fn tile_out_of_range() -> Failure {
        Failure::coded("TileOutOfRange", "the tile lies outside the bounding box of the tile map")
    }

    /// A failure while a tile was fetched or made.
    pub fn of_tile(error: &PlanError, hide_details: bool) -> Failure {
        match error {
            PlanError::TileOutOfRange => Failure::tile_out_of_range(),
            PlanError::Source(_) | PlanError::Image { .. } => {
                Failure { internal: true, ..Failure::new(error_text(error, hide_details)) }
            }
            _ => Failure { internal: true, unexpected: true, ..Failure::new("internal error") },
        }
    }
}

/// A text or XML document. `text/…` types name their character set, and all
/// documents say on which fields they depend.
pub fn document(status: u16, mime: &str, body: impl Into<Vec<u8>>) -> Response {
    let response = if mime.starts_with("text/") && !mime.contains(';') {
        Response::new(status, &format!("{mime}; charset=utf-8"), body)
    } else {
        Response::new(status, mime, body)
    };
    response.with("Vary", VARY)
}

/// [`document`] with the type exactly as given.
pub fn document_of_type(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
    Response::new(status, content_type, body).with("Vary", VARY)
}

/// Forbids caches to keep the response.
pub fn no_cache(response: Response) -> Response {
    response.with("Cache-Control", "no-cache, no-store").with("Pragma", "no-cache").with("Expires", "-1")
}

/// A plain refusal.
pub fn plain(status: u16, message: &str) -> Response {
    document(status, "text/plain", message.as_bytes())
}

/// What clients see of a failure of ours; the log says more.
pub fn internal_error() -> Response {
    no_cache(document_of_type(500, "text/plain", &b"internal error"[..]))
}

/// As plain text: 404, or 500 where it is not the client's fault (`/tiles`, KML).
pub fn plain_failure(failure: &Failure) -> Response {
    if failure.unexpected {
        return internal_error();
    }
    no_cache(plain(if failure.internal { 500 } else { 404 }, &failure.message))
}

/// As TMS tells it: 404, or 500 where it is not the client's fault.
pub fn tms_failure(failure: &Failure) -> Response {
    if failure.unexpected {
        return internal_error();
    }
    let mut xml = XmlWriter::new();
    xml.open("TileMapServerError").leaf("Message", &failure.message);
    no_cache(document(if failure.internal { 500 } else { 404 }, "text/xml", xml.finish()))
}

/// As WMTS tells it.
pub fn wmts_failure(failure: &Failure) -> Response {
    if failure.unexpected {
        return internal_error();
    }
    let status = match failure.code {
        Some("TileOutOfRange" | "MissingParameterValue" | "InvalidParameterValue") => 400,
        Some("OperationNotSupported") => 501,
        _ => 500,
    };
    let body = ows_report(failure.code.or(Some("NoApplicableCode")), None, &failure.message);
    no_cache(document_of_type(status, "text/xml", body))
}

/// As the common entrance of the OWS services tells it: 400.
pub fn ows_failure(failure: &Failure) -> Response {
    let body = ows_report(failure.code, failure.locator, &failure.message);
    no_cache(document(400, "text/xml", body))
}

fn ows_report(code: Option<&str>, locator: Option<&str>, message: &str) -> String {
    let mut xml = XmlWriter::new();
    xml.open("ows:ExceptionReport")
        .attribute("xmlns:ows", "http://www.opengis.net/ows/1.1")
        .attribute("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
        .attribute(
            "xsi:schemaLocation",
            "http://www.opengis.net/ows/1.1 http://schemas.opengis.net/ows/1.1.0/owsExceptionReport.xsd",
        )
        .attribute("version", "1.0.0")
        .attribute("xml:lang", "en");
    xml.open("ows:Exception");
    if let Some(code) = code {
        xml.attribute("exceptionCode", code);
    }
    if let Some(locator) = locator {
        xml.attribute("locator", locator);
    }
    xml.leaf("ows:ExceptionText", message);
    xml.finish()
}
