//! Section `sources`, resolved.

use std::path::PathBuf;
use std::sync::Arc;

use super::{FormatConf, GridConf, HttpConf, ResBounds};
use crate::geo::{Coverage, Srs};
use crate::render::{Color, Kernel};
use crate::source::OnError;
use crate::source::wms::WmsVersion;

/// One entry of `sources`.
#[derive(Clone, Debug)]
pub struct SourceConf {
    pub name: String,
    pub kind: SourceKind,
    pub image: SourceImage,
    pub coverage: Option<Coverage>,
    pub res: ResBounds,
    pub seed_only: bool,
    /// 0: no limit.
    pub concurrent_requests: u32,
    pub http: HttpConf,
    pub on_error: OnError,
    /// `supported_srs`; empty: all.
    pub supported_srs: Vec<Srs>,
    /// `supported_formats` as written; empty: all.
    pub supported_formats: Vec<String>,
}

/// Image options of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceImage {
    pub options: FormatConf,
    /// Never `None` after resolving.
    pub resampling: Kernel,
    pub opacity: Option<f64>,
    pub transparent_color: Option<Color>,
    pub transparent_color_tolerance: u8,
}

#[derive(Clone, Debug)]
pub enum SourceKind {
    Wms(WmsConf),
    Tile(TileConf),
    Debug,
    MapServer(MapServerSource),
    Mapnik(MapnikConf),
    ArcGis(ArcGisConf),
    OgcApiTiles(OgcApiTilesConf),
    OgcApiMaps(OgcApiMapsConf),
}

/// `req` and `wms_opts` of a WMS source.
#[derive(Clone, Debug)]
pub struct WmsConf {
    /// May carry `user:password@`.
    pub url: String,
    pub layers: Vec<String>,
    /// `req.format` as written.
    pub format: Option<String>,
    pub transparent: Option<bool>,
    /// Further keys of `req` in order, as query parameters. `sld: file://…` is
    /// already read and stands here as `sld_body`.
    pub parameters: Vec<(String, String)>,
    pub version: WmsVersion,
    /// `map: false`: asked for feature info only.
    pub map: bool,
    pub forward_req_params: Vec<String>,
    pub info: WmsInfoConf,
}

/// An XSLT stylesheet: its file and what stood in it when it was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct StylesheetConf {
    pub path: PathBuf,
    pub bytes: Arc<[u8]>,
}

/// `wms_opts` about feature info and legends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WmsInfoConf {
    pub featureinfo: bool,
    pub legendgraphic: bool,
    pub legendurl: Option<String>,
    pub featureinfo_format: Option<String>,
    pub featureinfo_xslt: Option<StylesheetConf>,
    pub featureinfo_out_format: Option<String>,
    pub query_layers: Option<String>,
}

#[derive(Clone, Debug)]
pub struct TileConf {
    /// With placeholders; may carry `user:password@`.
    pub url: String,
    pub grid: Arc<GridConf>,
}

#[derive(Clone, Debug)]
pub struct OgcApiTilesConf {
    /// May carry `user:password@`.
    pub landing_page: String,
    /// `None`: the whole data set.
    pub collection: Option<String>,
    pub tile_matrix_set: Option<String>,
}

#[derive(Clone, Debug)]
pub struct OgcApiMapsConf {
    /// May carry `user:password@`.
    pub landing_page: String,
    /// `None`: the whole data set.
    pub collection: Option<String>,
    pub bgcolor: Option<Color>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapServerConf {
    pub binary: Option<PathBuf>,
    pub working_dir: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct MapServerSource {
    pub mapfile: PathBuf,
    pub server: MapServerConf,
    pub wms: WmsConf,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MapnikConf {
    pub mapfile: PathBuf,
    pub layers: Vec<String>,
    pub scale_factor: Option<f64>,
    pub multithreaded: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ArcGisConf {
    pub url: String,
    pub format: Option<String>,
    pub layers: Option<String>,
    pub transparent: Option<bool>,
    pub dpi: Option<u32>,
    pub time: Option<String>,
    pub map: bool,
    pub featureinfo: bool,
    pub featureinfo_tolerance: f64,
    pub featureinfo_return_geometries: bool,
}

impl ArcGisConf {
    /// What every request carries along.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let mut parameters = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            parameters.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("layers", self.layers.clone());
        add("transparent", self.transparent.map(|on| if on { "True" } else { "False" }.to_owned()));
        add("dpi", self.dpi.map(|dpi| dpi.to_string()));
        add("time", self.time.clone());
        parameters
    }
}
