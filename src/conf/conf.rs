//! The map configuration, resolved: defaults filled in, references checked,
//! paths absolute, coordinate systems and grids built.
//!
//! Plain values only. `load_map` makes it, `app` wires services from it;
//! nobody below `conf` ever sees the YAML.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::geo::{Extent, GridOptions, Srs, TileGrid};
use crate::render::decor::Typeface;
use crate::render::{ColorMode, Format, ImageOptions, Kernel, Quantizer, TiffCompression};
use crate::source::client::Method;
use crate::source::wms::WmsVersion;

mod caches;
mod sources;

pub use caches::{Backend, BandConf, CacheConf, GeoPackageConf, RescaleConf, SqliteConf};
pub use sources::*;

/// Named things in the order in which the file names them.
#[derive(Clone, Debug)]
pub struct Named<T> {
    entries: Vec<(String, T)>,
    index: HashMap<String, usize>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named { entries: Vec::new(), index: HashMap::new() }
    }
}

impl<T> Named<T> {
    /// Adds an entry; one of the same name is replaced in its old place.
    pub fn insert(&mut self, name: String, value: T) {
        match self.index.get(&name) {
            Some(&at) => self.entries[at].1 = value,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
    }
    pub fn get(&self, name: &str) -> Option<&T> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &T)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// One map configuration, ready to be wired.
#[derive(Clone, Debug)]
pub struct Conf {
    /// The file it came from.
    pub file: PathBuf,
    /// What relative paths of the configuration count from.
    pub base_dir: PathBuf,
    pub globals: Globals,
    /// The three built-in grids first, then the file's own.
    pub grids: Named<Arc<GridConf>>,
    pub sources: Named<SourceConf>,
    pub caches: Named<CacheConf>,
    /// The tree of layers under one root; `None` without a `layers` section.
    pub root_layer: Option<LayerConf>,
    pub services: Services,
}

impl Conf {
    /// Layers that have a name and sources of their own, in MapProxy's order:
    /// the children before the group. A name that comes twice counts once, the
    /// last definition in the place of the first.
    pub fn flat_layers(&self) -> Vec<&LayerConf> {
        fn walk<'a>(layer: &'a LayerConf, into: &mut Named<&'a LayerConf>) {
            for child in &layer.layers {
                walk(child, into);
            }
            if let Some(name) = &layer.name
                && layer.has_own_sources
            {
                into.insert(name.clone(), layer);
            }
        }
        let mut found = Named::default();
        if let Some(root) = &self.root_layer {
            walk(root, &mut found);
        }
        found.values().copied().collect()
    }
}

/// Section `globals`.
#[derive(Clone, Debug)]
pub struct Globals {
    pub resampling: Kernel,
    pub paletted: bool,
    pub jpeg_quality: u8,
    /// The font of `image.font_dir`.
    pub typeface: Option<Typeface>,
    /// `globals.image.formats`, by the name that caches and services refer to.
    pub formats: Named<FormatConf>,
    /// Defaults of sources' `http`.
    pub http: HttpConf,
    /// `None`: no CORS header.
    pub access_control_allow_origin: Option<String>,
    /// Default of sources' `concurrent_requests`; 0: no limit.
    pub concurrent_requests: u32,
    /// Absolute, spelled as configured (`/conf/./cache_data`).
    pub base_dir: PathBuf,
    /// Where the semaphores of `concurrent_requests` lie.
    pub lock_dir: PathBuf,
    /// What caches of SQLite files go by that do not say.
    pub sqlite: SqliteConf,
    pub directory_mode: Option<u32>,
    pub file_mode: Option<u32>,
    /// Target system → source systems in order of preference.
    pub preferred_src: Vec<(Srs, Vec<Srs>)>,
    pub proj_data_dir: Option<PathBuf>,
    /// How long clients may keep a tile (`tiles.expires_hours`).
    pub tile_age_max_s: u64,
    pub mapserver: MapServerConf,
    pub renderd_address: Option<String>,
    /// Background of the demo pages (`background.url`); MapProxy shows tiles of
    /// openstreetmap.org where nothing is configured, we ask nobody unasked.
    pub background_url: Option<String>,
}

/// What a configuration says about an image; `None`: not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FormatConf {
    /// The MIME type as written (`image/png; mode=8bit`).
    pub format: Option<String>,
    pub mode: Option<ColorMode>,
    pub colors: Option<u16>,
    pub transparent: Option<bool>,
    pub resampling: Option<Kernel>,
    pub jpeg_quality: Option<u8>,
    pub quantizer: Option<Quantizer>,
    pub tiff_compression: Option<TiffCompression>,
}

/// Section `http`, of the globals or of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConf {
    pub client_timeout_s: f64,
    pub method: Method,
    pub headers: Vec<(String, String)>,
    pub ssl_ca_certs: Option<PathBuf>,
    pub ssl_no_cert_checks: bool,
    pub hide_error_details: bool,
    pub manage_cookies: bool,
}

/// A grid with everything inherited from its `base`.
#[derive(Clone, Debug)]
pub struct GridConf {
    /// The key in the file; `grid.name` is what clients see.
    pub key: String,
    /// `srs:` as written; its code without the colon names directories.
    pub srs_text: String,
    /// Whether `origin` was said.
    pub has_origin: bool,
    /// Its own keys in alphabetical order, values as flow YAML.
    pub written: Vec<(String, String)>,
    pub options: GridOptions,
    pub grid: Arc<TileGrid>,
}

/// Resolutions at which something is shown, metres per pixel (scales are
/// already converted, 0.28 mm a pixel). `min_res` is the coarse end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ResBounds {
    pub min_res: Option<f64>,
    pub max_res: Option<f64>,
}

impl ResBounds {
    pub fn is_unbounded(&self) -> bool {
        self.min_res.is_none() && self.max_res.is_none()
    }
}

/// Something a cache or layer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRef {
    Cache(String),
    Source {
        name: String,
        /// `name:lyr1,lyr2`: these layers in place of the configured ones.
        layers: Option<Vec<String>>,
    },
}

/// A point in time before which tiles are old.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeSpec {
    /// So many seconds before now.
    Ago {
        seconds: f64,
    },
    At(SystemTime),
    /// When this file was last changed; looked at for each use.
    FileTime(PathBuf),
}

/// One node of the layer tree.
#[derive(Clone, Debug, Default)]
pub struct LayerConf {
    pub name: Option<String>,
    /// `None` for the unnamed root that encloses several layers: it bears the
    /// title of `services.wms.md`.
    pub title: Option<String>,
    /// Drawn bottom to top.
    pub sources: Vec<SourceRef>,
    /// Whether the node itself says `sources` or `tile_sources`.
    pub has_own_sources: bool,
    /// Whether the node itself says `sources` or `legendurl`: only then WMS
    /// draws it as a layer of its own (`this` of a group).
    pub has_map: bool,
    /// The caches that serve it as tiles (TMS, WMTS, KML); empty: no tiles.
    pub tile_caches: Vec<String>,
    pub layers: Vec<LayerConf>,
    pub legendurl: Option<String>,
    pub wmts_kvp_legendurl: Option<String>,
    pub wmts_rest_legendurl: Option<String>,
    pub md: LayerMd,
    pub res: ResBounds,
    pub dimensions: Vec<DimensionConf>,
    pub nominal_scale: Option<f64>,
}

/// A dimension of a layer, its intervals already spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimensionConf {
    /// As written; compared without regard to case.
    pub name: String,
    pub values: Vec<String>,
    pub default: String,
}

/// `md` of a layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerMd {
    pub abstract_text: Option<String>,
    pub keyword_list: Vec<KeywordList>,
    pub attribution: Option<LayerAttribution>,
    pub identifier: Vec<Identifier>,
    pub metadata: Vec<MetadataUrl>,
    pub data: Vec<MetadataUrl>,
    pub feature_list: Vec<MetadataUrl>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeywordList {
    pub vocabulary: Option<String>,
    pub keywords: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerAttribution {
    pub title: Option<String>,
    pub url: Option<String>,
    pub logo: Option<Logo>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logo {
    pub url: Option<String>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub format: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identifier {
    pub url: Option<String>,
    pub name: Option<String>,
    pub value: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataUrl {
    pub url: Option<String>,
    /// `type`; only of `metadata`.
    pub kind: Option<String>,
    pub format: Option<String>,
}

/// The services that answer.
#[derive(Clone, Debug, Default)]
pub struct Services {
    pub wms: Option<WmsService>,
    pub wmts: Option<WmtsService>,
    pub tms: Option<TmsService>,
    pub kml: Option<KmlService>,
    pub demo: Option<DemoService>,
    pub ogcapi: Option<OgcApiService>,
}

/// A format that a map service offers: its name as written (also the key of
/// `globals.image.formats`) and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceFormat {
    pub name: String,
    /// MIME type in capabilities.
    pub mime: String,
    pub format: Format,
    pub image: ImageOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnSourceErrors {
    #[default]
    Notify,
    Raise,
}

#[derive(Clone, Debug)]
pub struct WmsService {
    pub md: ServiceMd,
    /// Codes as written, in order.
    pub srs: Vec<String>,
    pub bbox_srs: Vec<BboxSrs>,
    /// Of two with the same extension the last stands.
    pub image_formats: Vec<ServiceFormat>,
    /// Served versions, lowest first.
    pub versions: Vec<WmsVersion>,
    pub attribution: Option<String>,
    pub on_source_errors: OnSourceErrors,
    pub output_pixels_max: u64,
    pub strict: bool,
    pub concurrent_layer_renderer: u32,
    /// `text`, `html`, `xml`, `json`; `None`: all.
    pub featureinfo_types: Option<Vec<String>>,
    pub inspire: Option<InspireConf>,
    /// Kind → stylesheet.
    pub featureinfo_xslt: Vec<(String, StylesheetConf)>,
}

/// `services.wms.inspire_md`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireConf {
    /// `type: linked`; otherwise embedded.
    pub is_linked: bool,
    pub metadata_url: Option<InspireLocator>,
    pub default_language: String,
    pub resource_locators: Vec<InspireLocator>,
    pub temporal_reference: InspireDates,
    /// What is conformed to, and to which degree.
    pub conformities: Vec<(InspireSpecification, String)>,
    pub contacts: Vec<InspireContact>,
    pub metadata_date: String,
    pub mandatory_keywords: Vec<String>,
    pub keywords: Vec<InspireKeyword>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireLocator {
    pub url: String,
    pub media_type: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireDates {
    pub publication: Option<String>,
    pub creation: Option<String>,
    pub last_revision: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireSpecification {
    pub title: String,
    pub dates: InspireDates,
    pub uris: Vec<String>,
    pub resource_locators: Vec<InspireLocator>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireContact {
    pub organisation_name: String,
    pub email: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireKeyword {
    pub vocabulary: InspireSpecification,
    pub value: String,
}

/// A system whose bounding box capabilities show, with its limit if one is written.
#[derive(Clone, Debug, PartialEq)]
pub struct BboxSrs {
    pub srs: String,
    pub limit: Option<Extent>,
}

#[derive(Clone, Debug)]
pub struct WmtsService {
    /// The WMS service's `md` with this service's own keys above it.
    pub md: ServiceMd,
    pub kvp: bool,
    pub restful: bool,
    /// Braces already single; with a leading slash.
    pub restful_template: String,
    pub restful_featureinfo_template: Option<String>,
    /// Suffix and MIME type.
    pub featureinfo_formats: Vec<(String, String)>,
}

/// MapProxy's `restful_template` where none is configured.
pub const WMTS_TEMPLATE: &str = "/{Layer}/{TileMatrixSet}/{TileMatrix}/{TileCol}/{TileRow}.{Format}";

#[derive(Clone, Debug)]
pub struct TmsService {
    pub md: ServiceMd,
    pub use_grid_names: bool,
    /// Default origin of `/tiles`.
    pub origin: Option<crate::geo::Origin>,
}

#[derive(Clone, Debug)]
pub struct KmlService {
    pub md: ServiceMd,
    pub use_grid_names: bool,
}

#[derive(Clone, Debug)]
pub struct DemoService {
    pub md: ServiceMd,
    pub image_formats: Vec<ServiceFormat>,
    pub srs: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct OgcApiService {
    pub enable_tiles: bool,
    pub enable_maps: bool,
    pub map_srs: Vec<String>,
    pub image_formats: Vec<ServiceFormat>,
    pub attribution: Option<String>,
    pub on_source_errors: OnSourceErrors,
    pub output_pixels_max: u64,
    pub concurrent_layer_renderer: u32,
    pub default_dataset_layers: Option<Vec<String>>,
    /// Dotted key below `md` (`contact.email`) → text; `identification.keywords` once for each.
    pub md: Vec<(String, String)>,
}

/// `md` of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceMd {
    pub title: Option<String>,
    pub abstract_text: Option<String>,
    pub online_resource: Option<String>,
    pub contact: Option<Contact>,
    pub fees: Option<String>,
    pub access_constraints: Option<String>,
    pub keyword_list: Vec<KeywordList>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contact {
    pub person: Option<String>,
    pub position: Option<String>,
    pub organization: Option<String>,
    pub address_type: Option<String>,
    pub address: Option<String>,
    pub city: Option<String>,
    pub postcode: Option<String>,
    pub state: Option<String>,
    pub country: Option<String>,
    pub phone: Option<String>,
    pub fax: Option<String>,
    pub email: Option<String>,
}
