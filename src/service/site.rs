//! One map configuration's services behind one router.

use super::Answer;
use super::demo::DemoParts;
use super::kml::KmlParts;
use super::tms::TmsParts;
use super::wms::WmsParts;
use super::wmts::WmtsParts;
use crate::wire::Request;

/// Everything a site is made of; the application fills it from the
/// configuration.
#[derive(Clone, Default)]
pub struct SiteParts {
    pub wms: Option<WmsParts>,
    pub wmts: Option<WmtsParts>,
    pub tms: Option<TmsParts>,
    pub kml: Option<KmlParts>,
    pub demo: Option<DemoParts>,
    /// `globals.http.access_control_allow_origin`; `None` sends no field.
    pub cors: Option<String>,
    /// `globals.http.hide_error_details`: clients do not see what exactly
    /// went wrong with a source.
    pub hide_error_details: bool,
}

/// All services of one map configuration.
pub struct Site {}

impl Site {
    /// Builds the site: layer trees, lookup tables, URL templates.
    ///
    /// # Errors
    /// What makes the configuration unusable, as one sentence each
    /// (an unusable RESTful template, …).
    pub fn build(_parts: SiteParts) -> Result<Site, Vec<String>> {
        Ok(Site {})
    }

    /// Decides how the request is answered. Quick: parses the target, looks
    /// names up, opens nothing.
    pub fn answer(&self, _request: &Request) -> Answer {
        todo!()
    }
}
