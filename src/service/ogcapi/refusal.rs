//! Why a request of the OGC API is not answered, told as JSON or as a page.

use minijinja::context;
use serde_json::json;

use super::page::Frame;
use crate::plan::{OnSourceErrors, PlanError, error_text};
use crate::service::exception::{Failure, document, no_cache};
use crate::wire::Response;

/// A refusal: what kind, in words, with which status.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub kind: &'static str,
    pub detail: String,
    pub status: u16,
}

impl Refusal {
    pub fn invalid(detail: impl Into<String>) -> Refusal {
        Refusal { kind: "Invalid Parameter", detail: detail.into(), status: 400 }
    }

    pub fn unknown_parameter(name: &str) -> Refusal {
        Refusal { kind: "Bad Request", detail: format!("Unknown query parameter {name}"), status: 400 }
    }

    pub fn not_found(detail: impl Into<String>) -> Refusal {
        Refusal { kind: "Not Found", detail: detail.into(), status: 404 }
    }

    pub fn not_acceptable(format: &str) -> Refusal {
        let detail = format!("Unsupported image format {format}");
        Refusal { kind: "Not Acceptable", detail, status: 406 }
    }

    pub fn internal(detail: impl Into<String>) -> Refusal {
        Refusal { kind: "InternalError", detail: detail.into(), status: 500 }
    }

    /// A failure while a map of `what` was drawn.
    pub fn of_map(
        what: &str,
        error: &PlanError,
        on_source_errors: OnSourceErrors,
        hide_details: bool,
    ) -> Refusal {
        match error {
            PlanError::Source(_) | PlanError::Image { .. } => {
                crate::log::warn!("{what} failed: {error}");
                let text = error_text(error, hide_details);
                Refusal::internal(match on_source_errors {
                    OnSourceErrors::Notify => format!("Could not get any sources:\n{text}"),
                    OnSourceErrors::Raise => text,
                })
            }
            PlanError::TooManyTiles { .. }
            | PlanError::TileOutOfRange
            | PlanError::Untransformable
            | PlanError::NotOneTile(_) => {
                Refusal::invalid(format!("The map is too large or lies nowhere: {error}"))
            }
            PlanError::Decoration(_) => {
                crate::log::warn!("{what} failed: {error}");
                Refusal::internal("internal error")
            }
            PlanError::Cache(_) | PlanError::Timeout { .. } => {
                crate::log::error!("{what} failed: {error}");
                Refusal::internal("internal error")
            }
        }
    }

    pub fn respond(&self, frame: &Frame) -> Response {
        if frame.html {
            return no_cache(frame.page(
                self.status,
                "refusal.html",
                self.kind,
                context! { doc => context! {}, kind => self.kind, detail => self.detail.as_str(), status => self.status },
            ));
        }
        no_cache(document(self.status, "application/json", self.json()))
    }

    fn json(&self) -> String {
        let body = json!({
            "title": "OGCAPI",
            "type": self.kind,
            "status": self.status,
            "detail": self.detail,
        });
        format!("{body:#}")
    }
}

/// As a stored tile's failure is told: always JSON.
pub fn tile_failure(failure: &Failure) -> Response {
    let refusal = match (failure.internal, failure.unexpected) {
        (_, true) => Refusal::internal("internal error"),
        (true, _) => Refusal::internal(failure.message.clone()),
        _ => Refusal::not_found(failure.message.clone()),
    };
    no_cache(document(refusal.status, "application/json", refusal.json()))
}
