//! The question that a WMS request puts to whoever guards the site.

use super::request::{Operation, parse_extent, parse_size, version_of, with_axes};
use super::{Wms, WmsVersion};
use crate::geo::{Extent, Srs};
use crate::service::parameters::Parameters;
use crate::service::permit::{Feature, Kind, Question};
use crate::service::question::about_all;

/// Metres for each pixel at level 0 of GLOBAL_WEBMERCATOR.
const COARSEST_M: f64 = 156_543.033_928_040_97;
/// Levels beyond are no finer for anybody's purpose.
const LEVEL_MAX: f64 = 40.0;

impl Wms {
    /// `None` for what the service refuses anyhow.
    pub(in crate::service) fn question(&self, parameters: &Parameters) -> Option<Question> {
        let version = version_of(parameters, &self.versions).ok()?;
        let (service, feature, key) = match Operation::parse(parameters.first("request")?)? {
            Operation::Capabilities => {
                return Some(about_all(Kind::Wms, "wms.capabilities", self.layers.names()));
            }
            Operation::Map => ("wms.map", Feature::Map, "layers"),
            Operation::FeatureInfo => ("wms.featureinfo", Feature::FeatureInfo, "query_layers"),
            // MapProxy forgets to ask; who may see the map may see its legend.
            Operation::LegendGraphic => ("wms.map", Feature::Map, "layer"),
        };
        let asked = self.known_layers(key, parameters).ok()?;
        let mut drawing = Vec::new();
        for name in &asked {
            self.layers.drawing(self.layers.find(name)?, &mut drawing);
        }
        let layers = drawing.iter().filter_map(|&at| self.layers.node(at).name.clone()).collect();
        let place = self.place(version, parameters);
        let level = place.as_ref().map(|(extent, srs, size)| level_of(extent, srs, *size));
        let extent = place.map(|(extent, srs, _)| (srs.code().to_owned(), extent));
        Some(Question { kind: Kind::Wms, service, feature: Some(feature), asked, layers, extent, level })
    }

    fn place(&self, version: WmsVersion, parameters: &Parameters) -> Option<(Extent, Srs, (u32, u32))> {
        let (_, srs) = self.find_srs(version, parameters).ok()?;
        let extent = with_axes(parse_extent(parameters).ok()?, version, &srs);
        Some((extent, srs, parse_size(parameters)?))
    }
}

/// The level of GLOBAL_WEBMERCATOR whose resolution is next to the map's.
pub(in crate::service) fn level_of(extent: &Extent, srs: &Srs, (width, height): (u32, u32)) -> u32 {
    let unit_m = if srs.is_geographic() { srs.meters_per_unit() } else { 1.0 };
    let per_x = extent.width() / f64::from(width.max(1));
    let per_y = extent.height() / f64::from(height.max(1));
    let finest_m = per_x.min(per_y) * unit_m;
    // Casts saturate, and what is no number becomes 0.
    (COARSEST_M / finest_m).log2().round().clamp(0.0, LEVEL_MAX) as u32
}
