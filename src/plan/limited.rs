//! A layer of which somebody may see only a part: what lies outside of an area
//! is not drawn, not asked about, and not there in documents.

use std::sync::Arc;

use super::{Drawn, InfoDocument, InfoLayer, InfoRequest, MapLayer, MapQuery, PlanError, ResRange, Turn};
use crate::geo::{Coverage, Extent, Srs, WholeEdges};
use crate::render::{DecodeLimits, Raster, mask};

/// A layer cut to the areas of everybody who limits it.
pub struct LimitedLayer {
    pub inner: Arc<dyn MapLayer>,
    /// What remains is in all of them.
    pub areas: Vec<Coverage>,
}

impl LimitedLayer {
    /// Whether anything of the layer lies within all areas.
    pub fn shows_anything(&self) -> bool {
        let Some((extent, srs)) = self.inner.extent() else { return true };
        self.areas.iter().all(|area| area.intersects(&extent, &srs))
    }
}

impl MapLayer for LimitedLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        if !self.areas.iter().all(|area| area.intersects(&query.extent, &query.srs)) {
            return Ok(Drawn::BLANK);
        }
        let drawn = self.inner.draw(query, turn)?;
        let mut cutting =
            self.areas.iter().filter(|area| !area.contains(&query.extent, &query.srs)).peekable();
        if cutting.peek().is_none() {
            return Ok(drawn);
        }
        let Some(raster) = drawn.raster(&DecodeLimits::default())? else { return Ok(drawn) };
        let mut raster = Raster::clone(&raster);
        for area in cutting {
            mask::clip(&mut raster, &query.extent, &query.srs, area);
        }
        Ok(Drawn { cacheable: drawn.cacheable, ..Drawn::pixels(raster) })
    }

    fn is_opaque(&self, query: &MapQuery) -> bool {
        self.areas.iter().all(|area| area.contains(&query.extent, &query.srs)) && self.inner.is_opaque(query)
    }

    fn is_transparent(&self) -> bool {
        true
    }

    fn opacity(&self) -> Option<f32> {
        self.inner.opacity()
    }

    fn res_range(&self) -> Option<ResRange> {
        self.inner.res_range()
    }

    fn coverage(&self) -> Option<&Coverage> {
        self.inner.coverage()
    }

    fn whole_edges(&self) -> WholeEdges {
        if self.areas.is_empty() { self.inner.whole_edges() } else { [false; 4] }
    }

    /// Envelopes: documents say rectangles only.
    fn extent(&self) -> Option<(Extent, Srs)> {
        let mut known = self.inner.extent();
        for area in &self.areas {
            known = match known {
                None => Some((area.extent, area.srs.clone())),
                Some((extent, srs)) => {
                    let other = area.srs.transform_extent(&srs, &area.extent);
                    Some((other.and_then(|other| extent.intersection(&other)).unwrap_or(extent), srs))
                }
            };
        }
        known
    }

    fn supports_meta_tiles(&self) -> bool {
        self.inner.supports_meta_tiles()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Feature info within areas only.
pub struct LimitedInfo {
    pub inner: Arc<dyn InfoLayer>,
    pub areas: Vec<Coverage>,
}

impl InfoLayer for LimitedInfo {
    fn info(&self, request: &InfoRequest, turn: &Turn) -> Result<Option<InfoDocument>, PlanError> {
        let (width, height) = request.size;
        let per_x = request.extent.width() / f64::from(width.max(1));
        let per_y = request.extent.height() / f64::from(height.max(1));
        let point = [
            request.extent.min_x + request.position.x * per_x,
            request.extent.max_y - request.position.y * per_y,
        ];
        if !self.areas.iter().all(|area| area.contains_point(point, &request.srs)) {
            return Ok(None);
        }
        self.inner.info(request, turn)
    }
}
