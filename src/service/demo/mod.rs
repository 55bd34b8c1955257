//! The demo pages.

use super::metadata::ServiceMetadata;

/// `services.demo` (mapproxy-features.md §7.7).
#[derive(Clone)]
pub struct DemoParts {
    pub metadata: ServiceMetadata,
    /// `background.url` as written.
    pub background_url: String,
}
