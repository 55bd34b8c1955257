//! The Web Map Service 1.0.0, 1.1.0, 1.1.1 and 1.3.0: GetCapabilities, GetMap,
//! GetFeatureInfo, GetLegendGraphic.

pub mod capabilities;
mod capabilities_100;
mod capabilities_111;
mod capabilities_130;
mod get_feature_info;
mod get_legend;
mod get_map;
pub mod layer;
mod question;
pub mod request;

use std::collections::HashMap;
use std::sync::Arc;

use layer::LayerTree;
pub use layer::WmsLayer;
pub(in crate::service) use question::level_of;
use request::{Operation, Telling, version_of};

use super::Answer;
use super::base_url::BaseUrl;
use super::decorations::Decorations;
use super::exception::{Failure, document};
use super::metadata::{Inspire, ServiceMetadata};
use super::parameters::Parameters;
use super::site::Manners;
use super::tile::{ServedLayer, TileLayer};
use crate::geo::{Extent, Srs, SrsError};
use crate::plan::{InfoKind, OnSourceErrors, Stylesheet};
use crate::render::ImageOptions;
use crate::render::decor::Attribution;
use crate::wire::{Request, Response};

/// A version of the WMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WmsVersion {
    V100,
    V110,
    V111,
    V130,
}

/// `services.wms`, all defaults filled in (mapproxy-features.md §7.2).
#[derive(Clone)]
pub struct WmsParts {
    /// The root; without a title it takes that of the service.
    pub root: WmsLayer,
    pub metadata: ServiceMetadata,
    pub inspire: Option<Inspire>,
    /// Codes as written, upper case, in the order of the configuration.
    pub srs: Vec<String>,
    /// Maps are drawn in every system that is known, not only in those of `srs`.
    pub any_srs: bool,
    /// `bbox_srs`: code and, where given, the limiting extent in that system.
    pub srs_extents: Vec<(String, Option<Extent>)>,
    /// MIME type as written and how it is encoded, in order, without duplicates.
    pub image_formats: Vec<(String, ImageOptions)>,
    /// The versions served; empty means all.
    pub versions: Vec<WmsVersion>,
    /// `attribution.text`
    pub attribution: Option<Attribution>,
    /// `featureinfo_types` (`text`, `html`, `xml`, `json`); empty: the default.
    pub info_types: Vec<String>,
    /// `featureinfo_xslt`: for documents of this kind.
    pub info_stylesheets: Vec<(InfoKind, Arc<Stylesheet>)>,
    pub on_source_errors: OnSourceErrors,
    /// Pixels of a map; 0 means no limit of the operator's.
    pub max_output_pixels: u64,
    pub strict: bool,
    pub concurrent_layers: usize,
    /// For `tiled=true` capabilities, keyed as TMS without `use_grid_names`.
    pub tile_layers: Vec<TileLayer>,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}

/// The service at `/service`, `/ows` and `/wms`.
pub struct Wms {
    pub(super) layers: LayerTree,
    pub(super) metadata: ServiceMetadata,
    inspire: Option<Inspire>,
    pub(super) srs: Vec<String>,
    srs_by_code: HashMap<String, Srs>,
    any_srs: bool,
    srs_extents: Vec<(String, Option<Extent>)>,
    pub(super) image_formats: Vec<(String, ImageOptions)>,
    /// Sorted, never empty.
    pub(super) versions: Vec<WmsVersion>,
    attribution: Option<Attribution>,
    info_types: Vec<String>,
    info_stylesheets: Vec<(InfoKind, Arc<Stylesheet>)>,
    on_source_errors: OnSourceErrors,
    strict: bool,
    max_output_pixels: u64,
    concurrent_layers: usize,
    pub(super) tile_layers: Vec<ServedLayer>,
    cache_control: String,
    hide_error_details: bool,
    decorations: Option<Arc<Decorations>>,
    geographic: Srs,
}

impl Wms {
    /// # Errors
    /// EPSG:4326 itself is not known. Other unknown systems are only never
    /// served, see [`Wms::unknown_srs`].
    pub fn new(parts: WmsParts, manners: &Manners) -> Result<Wms, SrsError> {
        let geographic = Srs::parse("EPSG:4326")?;
        let mut root = parts.root;
        if root.title.is_empty() {
            root.title.clone_from(&parts.metadata.title);
        }
        let srs: Vec<String> = parts.srs.iter().map(|code| code.to_uppercase()).collect();
        let srs_by_code =
            srs.iter().filter_map(|code| Some((code.clone(), Srs::parse(code).ok()?))).collect();
        let mut versions = if parts.versions.is_empty() { WmsVersion::ALL.to_vec() } else { parts.versions };
        versions.sort_unstable();
        versions.dedup();
        Ok(Wms {
            layers: LayerTree::new(root, &geographic),
            metadata: parts.metadata,
            inspire: parts.inspire,
            srs,
            srs_by_code,
            any_srs: parts.any_srs,
            srs_extents: parts.srs_extents,
            image_formats: parts.image_formats,
            versions,
            attribution: parts.attribution,
            info_types: parts.info_types,
            info_stylesheets: parts.info_stylesheets,
            strict: parts.strict,
            on_source_errors: parts.on_source_errors,
            max_output_pixels: parts.max_output_pixels,
            concurrent_layers: parts.concurrent_layers.max(1),
            tile_layers: parts.tile_layers.into_iter().map(|layer| ServedLayer::new(layer, false)).collect(),
            cache_control: format!("public, max-age={0}, s-maxage={0}", parts.expires_s),
            hide_error_details: manners.hide_error_details,
            decorations: manners.decorations.clone(),
            geographic,
        })
    }

    /// Configured systems that cannot be served because nobody knows them.
    pub fn unknown_srs(&self) -> impl Iterator<Item = &str> {
        self.srs.iter().map(String::as_str).filter(|code| !self.srs_by_code.contains_key(*code))
    }

    /// All layers, as the demo pages describe them.
    pub fn layers(&self) -> &LayerTree {
        &self.layers
    }

    /// Codes of the systems that can be served, in the order of the configuration.
    pub fn served_srs(&self) -> impl Iterator<Item = &str> {
        self.srs.iter().map(String::as_str).filter(|code| self.srs_by_code.contains_key(*code))
    }

    /// The system of a request; with `any_srs` every known one.
    pub fn srs_of(&self, code: &str) -> Option<Srs> {
        let key = code.to_uppercase();
        let listed = self.srs_by_code.get(&key).cloned();
        listed.or_else(|| self.any_srs.then(|| Srs::parse(&key).ok()).flatten())
    }

    /// Whether systems beyond [`Wms::served_srs`] are drawn.
    pub fn any_srs(&self) -> bool {
        self.any_srs
    }

    /// MIME types as written and how they are encoded.
    pub fn image_formats(&self) -> &[(String, ImageOptions)] {
        &self.image_formats
    }

    /// The versions served, the lowest first.
    pub fn versions(&self) -> &[WmsVersion] {
        &self.versions
    }

    /// The highest version served.
    pub fn highest_version(&self) -> WmsVersion {
        self.versions.last().copied().unwrap_or(WmsVersion::V130)
    }

    /// Answers a request to the service.
    pub fn answer(self: &Arc<Self>, parameters: &Parameters, url: &BaseUrl<'_>, request: &Request) -> Answer {
        let version = match version_of(parameters, &self.versions) {
            Ok(version) => version,
            Err(failure) => {
                let highest = self.versions.last().copied().unwrap_or(WmsVersion::V130);
                return Telling::xml(highest).answer(failure);
            }
        };
        let name = parameters.first("request").map(str::to_lowercase);
        let operation = name
            .as_deref()
            .and_then(Operation::parse)
            .filter(|operation| *operation != Operation::LegendGraphic || version >= WmsVersion::V111);
        match operation {
            Some(Operation::Map) => self.get_map(version, parameters, request),
            Some(Operation::Capabilities) => self.get_capabilities(version, parameters, url),
            Some(Operation::FeatureInfo) => self.get_feature_info(version, parameters),
            Some(Operation::LegendGraphic) => self.get_legend(version, parameters),
            None => {
                let name = name.as_deref().unwrap_or("None");
                let name = if name == "getlegendgraphic" { "legendgraphic" } else { name };
                let failure = Failure::new(format!("unknown WMS request type '{name}'"));
                self.telling(version, parameters).answer(failure)
            }
        }
    }

    /// Legends are shown with their sizes: where one is not known yet, a thread
    /// looks at it first.
    fn get_capabilities(
        self: &Arc<Self>,
        version: WmsVersion,
        parameters: &Parameters,
        url: &BaseUrl<'_>,
    ) -> Answer {
        let url = url.request_url();
        let with_tiles = parameters.is_true("tiled");
        if self.layers.all_legends().all(|legend| legend.is_size_known()) {
            return Answer::Ready(self.capabilities(version, &url, with_tiles));
        }
        let wms = Arc::clone(self);
        Answer::Work(Box::new(move |turn| {
            for legend in wms.layers.all_legends() {
                legend.size(turn);
            }
            wms.capabilities(version, &url, with_tiles)
        }))
    }

    fn capabilities(&self, version: WmsVersion, url: &str, with_tiles: bool) -> Response {
        match version {
            WmsVersion::V130 => document(200, "text/xml", self.capabilities_130(url)),
            WmsVersion::V100 => document(200, "text/xml", self.capabilities_100(url)),
            WmsVersion::V110 | WmsVersion::V111 => {
                let body = self.capabilities_111(version, url, with_tiles);
                document(200, "application/vnd.ogc.wms_xml", body)
            }
        }
    }
}
