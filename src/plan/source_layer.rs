//! A source as a layer: system and format chosen, answer decoded, warped,
//! made transparent, put in its place.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use super::complaint::Complaint;
use super::{Drawn, MapLayer, MapQuery, Picture, PlanError, ResRange, SupportedSrs, Turn};
use crate::geo::{Coverage, Extent, Srs, WholeEdges};
use crate::render::decor::{self, Placement, TextStyle};
use crate::render::{self, Color, DecodeLimits, Format, Kernel, Mosaic, Raster, warp};
use crate::source::{Answer, MapRequest, MapSource, SourceError, TileSource};

/// What a layer of maps from a server is made of.
#[derive(Clone)]
pub struct WmsLayerOptions {
    pub source: Arc<MapSource>,
    /// Empty: every system is asked for as it comes.
    pub supported_srs: SupportedSrs,
    /// MIME types; empty: any.
    pub supported_formats: Vec<String>,
    /// `image.format` of the source: asked for in place of the query's.
    pub format: Option<String>,
    pub transparent: bool,
    pub transparent_color: Option<(Color, u8)>,
    pub opacity: Option<f32>,
    pub coverage: Option<Coverage>,
    pub res_range: Option<ResRange>,
    /// Names of client parameters that go upstream, lower case.
    pub forward_parameters: Vec<String>,
    pub resampling: Kernel,
    pub decode_limits: DecodeLimits,
}

/// A server of maps (WMS, ArcGIS, OGC API) that is drawn.
pub struct WmsLayer {
    options: WmsLayerOptions,
}

impl WmsLayer {
    pub fn new(options: WmsLayerOptions) -> WmsLayer {
        WmsLayer { options }
    }

    pub fn source(&self) -> &Arc<MapSource> {
        &self.options.source
    }

    /// The MIME type to ask for.
    fn format(&self, query: &MapQuery) -> String {
        let options = &self.options;
        let wanted = options
            .format
            .clone()
            .or_else(|| query.mime.as_deref().map(str::to_owned))
            .unwrap_or_else(|| query.format.mime().to_owned());
        match options.supported_formats.as_slice() {
            [] => wanted,
            // Formats compare by what they are, not by how they are spelled.
            list if list.iter().any(|l| *l == wanted || Format::parse(l) == Format::parse(&wanted)) => wanted,
            list => list[0].clone(),
        }
    }

    /// What goes upstream of dimensions and of the client's parameters, each name once.
    fn forwarded(&self, query: &MapQuery) -> Vec<(String, String)> {
        let mut forwarded: Vec<(String, String)> = Vec::new();
        for (name, value) in query.dimensions.iter().chain(&query.parameters) {
            let is_wanted = self.options.forward_parameters.iter().any(|f| f.eq_ignore_ascii_case(name));
            if is_wanted && !forwarded.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                forwarded.push((name.clone(), value.clone()));
            }
        }
        forwarded
    }

    fn ask(
        &self,
        query: &MapQuery,
        (extent, whole_edges): (Extent, WholeEdges),
        size: (u32, u32),
        srs: &Srs,
        turn: &Turn,
    ) -> Result<Answer, PlanError> {
        let request = MapRequest {
            extent,
            whole_edges,
            size,
            srs: srs.clone(),
            format: self.format(query),
            parameters: self.forwarded(query),
        };
        turn.wait(|| self.options.source.fetch(&request)).map_err(PlanError::Source)
    }

    /// The edges at which the coverage ends before the query and that it names
    /// in whole numbers: they go upstream as they were written.
    fn edges_cut(&self, query: &MapQuery, srs: &Srs) -> WholeEdges {
        let Some(coverage) = &self.options.coverage else { return [false; 4] };
        let (own, asked) = (coverage.extent, query.extent);
        let ends = [
            own.min_x > asked.min_x,
            own.min_y > asked.min_y,
            own.max_x < asked.max_x,
            own.max_y < asked.max_y,
        ];
        let whole = coverage.whole_edges(srs);
        std::array::from_fn(|at| ends[at] && whole[at])
    }

    /// The map in a system that the source speaks, at the size of the query.
    fn draw_in(&self, query: &MapQuery, srs: &Srs, turn: &Turn) -> Result<Drawn, Halt> {
        let limit = match self.extent() {
            None => None,
            Some((extent, own)) => match own.transform_extent(srs, &extent) {
                None => return Ok(Drawn::BLANK),
                limit => limit.filter(|limit| !limit.contains(&query.extent)),
            },
        };
        let Some(limit) = limit else {
            let answer = self.ask(query, (query.extent, [false; 4]), query.size, srs, turn)?;
            return self.finish(answer, query.size);
        };
        let Some(part) = place_within(&query.extent, query.size, &limit) else { return Ok(Drawn::BLANK) };
        let edges = (part.extent, self.edges_cut(query, srs));
        let answer = self.ask(query, edges, part.size, srs, turn)?;
        let drawn = self.finish(answer, part.size)?;
        let Some(piece) = drawn.raster(&self.options.decode_limits)? else { return Ok(drawn) };
        let mut whole = Raster::filled(query.size.0, query.size.1, [255, 255, 255, 0]);
        render::merge::over(&mut whole, &piece, part.offset, None);
        Ok(Drawn { picture: Picture::Pixels(Arc::new(whole)), ..drawn })
    }

    /// The map asked for in another system and warped.
    fn draw_warped(&self, query: &MapQuery, srs: &Srs, turn: &Turn) -> Result<Drawn, Halt> {
        let extent = query.srs.transform_extent(srs, &query.extent).filter(Extent::is_valid);
        let extent = extent.ok_or(PlanError::Untransformable)?;
        let pixels_max = self.options.decode_limits.pixels_bytes_max as u64 / 4;
        let size = size_for(&extent, query.size, pixels_max);
        let there = MapQuery { extent, size, srs: srs.clone(), ..query.clone() };
        let drawn = self.draw_in(&there, srs, turn)?;
        let Some(raster) = drawn.raster(&self.options.decode_limits)? else { return Ok(drawn) };
        let target = warp::Target { extent: query.extent, size: query.size, srs: query.srs.clone() };
        let warped = warp::draw(&Mosaic::single(raster), &extent, srs, &target, self.options.resampling);
        Ok(Drawn { picture: Picture::Pixels(Arc::new(warped)), ..drawn })
    }

    /// Decodes the answer, which is thereby known to be whole, and checks its size.
    fn finish(&self, answer: Answer, size: (u32, u32)) -> Result<Drawn, Halt> {
        match answer {
            Answer::Color { color, cacheable, authorize_stale } => {
                Err(Halt::Excused { color, cacheable, authorize_stale })
            }
            answer => {
                let options = &self.options;
                Ok(finish(answer, size, options.source.name(), &options.decode_limits, options.resampling)?)
            }
        }
    }

    fn draw_shown(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, Halt> {
        let options = &self.options;
        let supported = &options.supported_srs;
        let told;
        let supported = if supported.list.is_empty() && options.source.tells_systems() {
            let preferred = supported.preferred.clone();
            told = match turn.wait(|| options.source.systems()) {
                Ok(list) => SupportedSrs { list, preferred },
                Err(error) => {
                    let excused = options.source.excuse(error).map_err(PlanError::Source)?;
                    return self.finish(excused, query.size);
                }
            };
            &told
        } else {
            supported
        };
        let drawn = if supported.list.is_empty() {
            self.draw_in(query, &query.srs, turn)?
        } else if let Some(srs) = supported.same(&query.srs) {
            self.draw_in(query, srs, turn)?
        } else {
            let srs = supported.best(&query.srs).unwrap_or(&query.srs);
            self.draw_warped(query, srs, turn)?
        };
        let Some((color, tolerance)) = options.transparent_color else { return Ok(drawn) };
        let Some(raster) = drawn.raster(&options.decode_limits)? else { return Ok(drawn) };
        let mut raster = Raster::clone(&raster);
        render::merge::make_transparent(&mut raster, color, tolerance);
        Ok(Drawn { picture: Picture::Pixels(Arc::new(raster)), ..drawn })
    }
}

/// Why nothing more is done with an answer.
enum Halt {
    Failed(PlanError),
    /// `on_error` has a colour for the whole of what was asked for: it is
    /// neither warped nor made transparent.
    Excused {
        color: Color,
        cacheable: bool,
        authorize_stale: bool,
    },
}

impl From<PlanError> for Halt {
    fn from(error: PlanError) -> Halt {
        Halt::Failed(error)
    }
}

impl MapLayer for WmsLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        let options = &self.options;
        if is_elsewhere(options.res_range, options.coverage.as_ref(), query) {
            return Ok(Drawn::BLANK);
        }
        match self.draw_shown(query, turn) {
            Ok(drawn) => Ok(drawn),
            Err(Halt::Failed(error)) => Err(error),
            Err(Halt::Excused { color, cacheable, authorize_stale }) => {
                let picture = Picture::Color { color, size: query.size };
                Ok(Drawn { picture, cacheable, authorize_stale })
            }
        }
    }

    fn is_opaque(&self, query: &MapQuery) -> bool {
        let options = &self.options;
        let shown = options.res_range.is_none_or(|r| r.contains(&query.extent, query.size, &query.srs));
        shown
            && !self.is_transparent()
            && options.opacity.is_none_or(|o| o <= 0.0 || o >= 0.99)
            && options.coverage.as_ref().is_none_or(|c| c.contains(&query.extent, &query.srs))
    }

    fn is_transparent(&self) -> bool {
        self.options.transparent || self.options.transparent_color.is_some()
    }

    fn opacity(&self) -> Option<f32> {
        self.options.opacity
    }

    fn res_range(&self) -> Option<ResRange> {
        self.options.res_range
    }

    fn coverage(&self) -> Option<&Coverage> {
        self.options.coverage.as_ref()
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        self.options.coverage.as_ref().map(|c| (c.extent, c.srs.clone()))
    }

    fn combine(&self, upper: &dyn MapLayer, query: &MapQuery) -> Option<Arc<dyn MapLayer>> {
        let upper = upper.as_any().downcast_ref::<WmsLayer>()?;
        let (a, b) = (&self.options, &upper.options);
        let alike = a.opacity.is_none()
            && b.opacity.is_none()
            && a.supported_srs.list == b.supported_srs.list
            && a.supported_formats == b.supported_formats
            && a.transparent_color == b.transparent_color
            && same_coverage(a.coverage.as_ref(), b.coverage.as_ref())
            && self.forwarded(query) == upper.forwarded(query);
        if !alike {
            return None;
        }
        let source = Arc::new(a.source.combine(&b.source)?);
        // A layer outside its range was left out before layers are combined.
        Some(Arc::new(WmsLayer { options: WmsLayerOptions { source, res_range: None, ..a.clone() } }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A source of ready tiles as a layer: answers for exactly one of its tiles.
pub struct TileLayer {
    pub source: Arc<TileSource>,
    pub transparent: bool,
    pub opacity: Option<f32>,
    pub coverage: Option<Coverage>,
    pub res_range: Option<ResRange>,
    pub decode_limits: DecodeLimits,
}

impl MapLayer for TileLayer {
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        if is_elsewhere(self.res_range, self.coverage.as_ref(), query) {
            return Ok(Drawn::BLANK);
        }
        let grid = &self.source.grid;
        if query.size != grid.tile_size || query.srs != grid.srs {
            return Err(misfit("tile size or system of cache and tile source do not match"));
        }
        let affected = match grid.affected(&query.extent, query.size, &query.srs, 4) {
            Ok(affected) => affected,
            Err(_) => return Ok(Drawn::BLANK),
        };
        if (affected.columns, affected.rows) != (1, 1) {
            return Err(misfit(NOT_ALIGNED));
        }
        let Some(tile) = affected.tiles.first().copied().flatten() else { return Ok(Drawn::BLANK) };
        let answer = turn.wait(|| self.source.fetch(tile)).map_err(PlanError::Source)?;
        finish(answer, query.size, &self.source.name, &self.decode_limits, Kernel::default())
    }

    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        self.transparent
    }

    fn opacity(&self) -> Option<f32> {
        self.opacity
    }

    fn res_range(&self) -> Option<ResRange> {
        self.res_range
    }

    fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_ref()
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        let grid = &self.source.grid;
        Some(match &self.coverage {
            Some(coverage) => (coverage.extent, coverage.srs.clone()),
            None => (grid.extent, grid.srs.clone()),
        })
    }

    fn supports_meta_tiles(&self) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The debug source: extent and resolution of the query as text.
pub struct DebugLayer;

impl MapLayer for DebugLayer {
    fn draw(&self, query: &MapQuery, _turn: &Turn) -> Result<Drawn, PlanError> {
        let [west, south, east, north] = query.extent.to_array();
        let x_res = query.extent.width() / f64::from(query.size.0);
        let y_res = query.extent.height() / f64::from(query.size.1);
        let text = format!("bbox: ({west}, {south}, {east}, {north})\nres: {x_res:.8}({y_res:.8})");
        let mut raster = Raster::filled(query.size.0, query.size.1, [255, 255, 255, 0]);
        let style = TextStyle {
            size_px: 12.0,
            color: [0, 0, 0, 255],
            ground: Some([255, 255, 255, 255]),
            placement: Placement::UpperLeft,
            margin_px: 3,
            typeface: None,
        };
        decor::draw_text(&mut raster, &text, &style);
        Ok(Drawn::pixels(raster))
    }

    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        true
    }

    fn res_range(&self) -> Option<ResRange> {
        None
    }

    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        None
    }

    /// Each tile tells of itself.
    fn supports_meta_tiles(&self) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A source that is not asked while serving (`seed_only`): always blank.
pub struct EmptyLayer {
    pub coverage: Option<Coverage>,
}

impl MapLayer for EmptyLayer {
    fn draw(&self, _query: &MapQuery, _turn: &Turn) -> Result<Drawn, PlanError> {
        Ok(Drawn::BLANK)
    }

    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        true
    }

    fn res_range(&self) -> Option<ResRange> {
        None
    }

    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        self.coverage.as_ref().map(|c| (c.extent, c.srs.clone()))
    }

    fn whole_edges(&self) -> WholeEdges {
        self.coverage.as_ref().map_or([false; 4], |c| c.whole_edges(&c.srs))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// MapProxy's words for a tile of the cache that is none of the source.
pub(super) const NOT_ALIGNED: &str = "BBOX does not align to tile";

/// Cache and tile source do not go together: nothing about it is secret.
pub(super) fn misfit(text: &str) -> PlanError {
    PlanError::Source(SourceError::Told { shown: text.to_owned(), reason: text.to_owned() })
}

pub(super) fn is_elsewhere(range: Option<ResRange>, coverage: Option<&Coverage>, query: &MapQuery) -> bool {
    range.is_some_and(|r| !r.contains(&query.extent, query.size, &query.srs))
        || coverage.is_some_and(|c| !c.intersects(&query.extent, &query.srs))
}

static RESIZED: Complaint = Complaint::new();

/// An answer as a picture. Decoding it here proves that it is whole, so that
/// nothing damaged is ever stored or passed on.
pub(super) fn finish(
    answer: Answer,
    size: (u32, u32),
    origin: &str,
    limits: &DecodeLimits,
    kernel: Kernel,
) -> Result<Drawn, PlanError> {
    let damaged = |reason: String| PlanError::Image { origin: origin.to_owned(), reason };
    match answer {
        Answer::Color { color, cacheable, authorize_stale } => {
            Ok(Drawn { picture: Picture::Color { color, size }, cacheable, authorize_stale })
        }
        Answer::Image { bytes, .. } => {
            let format = render::sniff(&bytes)
                .ok_or_else(|| damaged("unable to transform image: cannot identify image file".into()))?;
            let raster = render::decode(&bytes, limits).map_err(|e| damaged(e.to_string()))?;
            let bytes = bytes.into();
            let picture = if (raster.width, raster.height) == size {
                Picture::Encoded { bytes, format, pixels: Some(Arc::new(raster)) }
            } else {
                tell_odd(origin, &raster, size);
                Picture::Odd { bytes, format, stretched: Arc::new(warp::stretch(raster, size, kernel)) }
            };
            Ok(Drawn { picture, cacheable: true, authorize_stale: false })
        }
    }
}

fn tell_odd(origin: &str, raster: &Raster, (width, height): (u32, u32)) {
    if let Some(more) = RESIZED.due(Instant::now()) {
        crate::log::warn!(
            "{origin}: an image of {}×{} pixels in place of {width}×{height} is stretched, or passed on where it is \
             the whole map{more}",
            raster.width,
            raster.height
        );
    }
}

fn same_coverage(a: Option<&Coverage>, b: Option<&Coverage>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.srs == b.srs && a.clip == b.clip && a.extent == b.extent && a.rings() == b.rings()
        }
        _ => false,
    }
}

/// The size that keeps the query's resolution on the finer axis, as far as a
/// picture of at most `pixels_max` pixels can.
fn size_for(extent: &Extent, size: (u32, u32), pixels_max: u64) -> (u32, u32) {
    let ratio = extent.width() / extent.height();
    let side = |pixels: f64, other: u32| {
        let max = (pixels_max / u64::from(other.max(1))).clamp(1, u64::from(SOURCE_SIDE_PX_MAX));
        (pixels + 0.5).clamp(1.0, max as f64) as u32
    };
    if extent.width() / f64::from(size.0) < extent.height() / f64::from(size.1) {
        (size.0, side(f64::from(size.0) / ratio, size.0))
    } else {
        (side(f64::from(size.1) * ratio, size.1), size.1)
    }
}

/// Pixels on a side that a source is asked for at most when a map is warped:
/// near a pole the ratio of the sides knows no bound of its own.
const SOURCE_SIDE_PX_MAX: u32 = 8_192;

/// A part of a map in whole pixels.
pub(super) struct Part {
    pub(super) extent: Extent,
    pub(super) size: (u32, u32),
    pub(super) offset: (i32, i32),
}

/// The part of a map that lies within `limit`, its edges cut where `limit`
/// ends and its pixels counted from the map's north-west (MapProxy's rule:
/// fractions of a pixel are dropped).
pub(super) fn place_within(extent: &Extent, size: (u32, u32), limit: &Extent) -> Option<Part> {
    let part = extent.intersection(limit)?;
    let column = |x: f64| ((x - extent.min_x) / extent.width() * f64::from(size.0)) as i64;
    let row = |y: f64| ((extent.max_y - y) / extent.height() * f64::from(size.1)) as i64;
    let (left, right) = (column(part.min_x), column(part.max_x));
    let (top, bottom) = (row(part.max_y), row(part.min_y));
    let (width, height) = (right - left, bottom - top);
    (width > 0 && height > 0).then_some(Part {
        extent: part,
        size: (width as u32, height as u32),
        offset: (left as i32, top as i32),
    })
}

#[cfg(test)]
mod tests;
