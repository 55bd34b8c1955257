//! Layers merged into one encoded map.

use std::borrow::Cow;
use std::sync::Arc;

use super::create::lay_over;
use super::source_layer::place_within;
use super::{Decoration, Drawn, MapLayer, MapQuery, Picture, PlanError, SourceError, Turn};
use crate::geo::{Coverage, Extent};
use crate::render::decor::{self, Attribution, TextStyle};
use crate::render::encode::GeoTag;
use crate::render::{self, Color, ColorMode, DecodeLimits, Encoded, Format, ImageOptions, Raster};

/// What to do when one of several layers fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnSourceErrors {
    /// Paint the message on the image; all failing still raises.
    #[default]
    Notify,
    Raise,
}

#[derive(Clone, Debug)]
pub struct ComposeOptions {
    pub image: ImageOptions,
    pub on_source_errors: OnSourceErrors,
    /// What a client reads when a layer fails and `hide_error_details` is on.
    pub hide_error_details: bool,
    /// Text lower right on the finished map.
    pub attribution: Option<Attribution>,
    /// Layers drawn side by side (`concurrent_layer_renderer`).
    pub concurrent_layers: usize,
    /// The whole map is clipped to this (authorisation).
    pub limit: Option<Coverage>,
    /// Only this part of the map is drawn, in the query's system; the rest
    /// stays ground.
    pub crop: Option<Extent>,
    /// The colour around `crop`; `None`: the ground.
    pub surround: Option<Color>,
    /// How much the background covers where a transparent map shows nothing;
    /// 0 but for backgrounds that have an alpha of their own.
    pub ground_alpha: u8,
    /// What is added to the finished map.
    pub decoration: Option<Decoration>,
    pub decode_limits: DecodeLimits,
}

#[derive(Debug)]
pub struct Composed {
    pub image: Encoded,
    pub cacheable: bool,
}

/// Draws `layers` bottom to top: hides what an opaque one covers, combines
/// adjacent requests, merges, decorates, encodes.
///
/// # Errors
/// The first failure of a layer where `on_source_errors` says raise or every
/// layer fails; otherwise failures are painted on the map.
pub fn compose(
    layers: &[Arc<dyn MapLayer>],
    query: &MapQuery,
    options: &ComposeOptions,
    turn: &Turn,
) -> Result<Composed, PlanError> {
    let (map, cacheable) = match options.crop.filter(|allowed| !allowed.contains(&query.extent)) {
        Some(allowed) => draw_within(&allowed, layers, query, options, turn)?,
        None => draw(layers, query, options, turn)?,
    };
    let Some(decoration) = &options.decoration else {
        let image = match map {
            Map::Untouched { bytes, format, .. } => Encoded { bytes: bytes.to_vec(), format },
            Map::Canvas { canvas, mode } => encode(&canvas, mode, query, options)?,
        };
        return Ok(Composed { image, cacheable });
    };
    let (width, height) = query.size;
    let mut canvas = match map.into_raster(options)? {
        Some(raster) => Arc::unwrap_or_clone(raster),
        None => Raster::filled(width, height, ground(query, options)),
    };
    let may_be_kept = decoration.apply(&mut canvas, turn)?;
    // What was added may need other pixels than the layer has.
    Ok(Composed { image: encode(&canvas, None, query, options)?, cacheable: cacheable && may_be_kept })
}

/// The part of a map that lies in `allowed`, on its ground.
fn draw_within(
    allowed: &Extent,
    layers: &[Arc<dyn MapLayer>],
    query: &MapQuery,
    options: &ComposeOptions,
    turn: &Turn,
) -> Result<(Map, bool), PlanError> {
    let around = options.surround.unwrap_or_else(|| ground(query, options));
    let mut canvas = Raster::filled(query.size.0, query.size.1, around);
    let mut is_cacheable = true;
    if let Some(part) = place_within(&query.extent, query.size, allowed) {
        let inner = MapQuery { extent: part.extent, size: part.size, ..query.clone() };
        let (map, cacheable) = draw(layers, &inner, options, turn)?;
        is_cacheable = cacheable;
        if let Some(piece) = map.into_raster(options)? {
            render::merge::over(&mut canvas, &piece, part.offset, None);
        }
    }
    Ok((Map::Canvas { canvas, mode: None }, is_cacheable))
}

/// What lies under all layers.
fn ground(query: &MapQuery, options: &ComposeOptions) -> Color {
    let [red, green, blue, _] = options.image.background;
    [red, green, blue, if query.transparent { options.ground_alpha } else { 255 }]
}

/// A map before it is written.
enum Map {
    /// The only picture, as it came: it may have another size than asked for.
    Untouched { bytes: Arc<[u8]>, format: Format, drawn: Drawn },
    /// With the kind of pixels that it has whatever is seen on it.
    Canvas { canvas: Raster, mode: Option<ColorMode> },
}

impl Map {
    /// Its pixels, at the size that is asked for.
    fn into_raster(self, options: &ComposeOptions) -> Result<Option<Arc<Raster>>, PlanError> {
        match self {
            Map::Canvas { canvas, .. } => Ok(Some(Arc::new(canvas))),
            Map::Untouched { drawn, .. } => drawn.raster(&options.decode_limits),
        }
    }
}

/// The map, and whether it may be kept.
fn draw(
    layers: &[Arc<dyn MapLayer>],
    query: &MapQuery,
    options: &ComposeOptions,
    turn: &Turn,
) -> Result<(Map, bool), PlanError> {
    let layers = combine(visible(layers, query), query);
    let mut drawn: Vec<(Arc<dyn MapLayer>, Drawn)> = Vec::with_capacity(layers.len());
    let mut errors: Vec<PlanError> = Vec::new();
    for (layer, result) in layers.iter().zip(draw_all(&layers, query, options, turn)) {
        match result {
            Ok(picture) => drawn.push((Arc::clone(layer), picture)),
            Err(error) if options.on_source_errors == OnSourceErrors::Notify && is_partial(&error) => {
                crate::log::warn!("layer left out of a map: {error}");
                errors.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    if drawn.is_empty()
        && let Some(error) = errors.first()
    {
        return Err(error.clone());
    }
    let cacheable = errors.is_empty() && drawn.iter().all(|(_, d)| d.cacheable);
    drawn.retain(|(_, d)| !d.is_blank());
    if errors.is_empty()
        && let Some(map) = pass_through(&drawn, query, options)
    {
        return Ok((map, cacheable));
    }
    let mode = mode(&drawn, query, options);
    let mut canvas = merge(drawn, query, options)?;
    if !errors.is_empty() {
        paint_errors(&mut canvas, &errors, options);
    }
    if let Some(attribution) = options.attribution.as_ref().filter(|_| !query.tiled_only) {
        paint_attribution(&mut canvas, attribution);
    }
    if let Some(limit) = &options.limit {
        render::mask::clip(&mut canvas, &query.extent, &query.srs, limit);
        lay_on_ground(&mut canvas, query, options);
    }
    Ok((Map::Canvas { canvas, mode }, cacheable))
}

/// The kind of pixels that a map without a palette has whatever is seen on it,
/// as in MapProxy: an alpha where several layers leave something open, else
/// that of its only layer. `None`: what the pixels need.
fn mode(
    drawn: &[(Arc<dyn MapLayer>, Drawn)],
    query: &MapQuery,
    options: &ComposeOptions,
) -> Option<ColorMode> {
    let [(layer, _)] = drawn else { return query.transparent.then_some(ColorMode::Rgba) };
    let [red, green, blue, _] = options.image.background;
    let has_colors =
        options.attribution.is_some() || options.limit.is_some() || red != green || green != blue;
    layer.mode(query.transparent).filter(|mode| *mode != ColorMode::I || !has_colors)
}

/// Encodes a finished map; a GeoTIFF gets its place.
fn encode(
    canvas: &Raster,
    mode: Option<ColorMode>,
    query: &MapQuery,
    options: &ComposeOptions,
) -> Result<Encoded, PlanError> {
    let mut image = Cow::Borrowed(&options.image);
    if image.format == Format::Png && image.mode.is_none() && image.colors == 0 {
        image.to_mut().mode = mode;
    }
    let tag = matches!(options.image.format, Format::GeoTiff | Format::Tiff).then(|| GeoTag {
        extent: query.extent,
        epsg: query.srs.code().strip_prefix("EPSG:").and_then(|n| n.parse().ok()),
        geographic: query.srs.is_geographic(),
    });
    render::encode(canvas, &image, tag.as_ref())
        .map_err(|error| PlanError::Image { origin: "map".into(), reason: error.to_string() })
}

/// The layers from the uppermost one that hides all below it.
fn visible(layers: &[Arc<dyn MapLayer>], query: &MapQuery) -> Vec<Arc<dyn MapLayer>> {
    let from = layers.iter().rposition(|layer| layer.is_opaque(query)).unwrap_or(0);
    layers[from..].to_vec()
}

/// Adjacent layers that one request can bring, combined.
fn combine(layers: Vec<Arc<dyn MapLayer>>, query: &MapQuery) -> Vec<Arc<dyn MapLayer>> {
    let mut combined: Vec<Arc<dyn MapLayer>> = Vec::with_capacity(layers.len());
    for layer in layers {
        match combined.last().and_then(|below| below.combine(layer.as_ref(), query)) {
            Some(both) => *combined.last_mut().expect("a layer below") = both,
            None => combined.push(layer),
        }
    }
    combined
}

type DrawResults = Vec<Result<Drawn, PlanError>>;

fn draw_all(
    layers: &[Arc<dyn MapLayer>],
    query: &MapQuery,
    options: &ComposeOptions,
    turn: &Turn,
) -> DrawResults {
    super::create::side_by_side(layers, options.concurrent_layers, turn, |layer, turn| {
        Ok(layer.draw(query, turn))
    })
    .unwrap_or_default()
}

/// Whether a failure may be painted on the map instead of failing it.
fn is_partial(error: &PlanError) -> bool {
    matches!(
        error,
        PlanError::Source(_) | PlanError::Image { .. } | PlanError::Timeout { .. } | PlanError::Cache(_)
    )
}

/// The only picture as it is, where nothing has to be done to it.
fn pass_through(
    drawn: &[(Arc<dyn MapLayer>, Drawn)],
    query: &MapQuery,
    options: &ComposeOptions,
) -> Option<Map> {
    let [(layer, only)] = drawn else { return None };
    let (bytes, format, is_stored) = match &only.picture {
        Picture::Encoded { bytes, format, pixels } => (bytes, *format, pixels.is_none()),
        Picture::Odd { bytes, format, .. } => (bytes, *format, false),
        _ => return None,
    };
    // A tile that nobody has decoded is sent as it lies, whatever its cache mixes.
    let is_stored_tile = query.tiled_only && is_stored;
    let untouched = (!layer.is_transparent() || query.transparent)
        && layer.coverage().is_none_or(|c| !c.clip)
        && (options.attribution.is_none() || query.tiled_only)
        && options.limit.is_none()
        && (options.ground_alpha == 0 || !query.transparent)
        && (format == options.image.format || is_stored_tile);
    untouched.then(|| Map::Untouched { bytes: Arc::clone(bytes), format, drawn: only.clone() })
}

fn merge(
    mut drawn: Vec<(Arc<dyn MapLayer>, Drawn)>,
    query: &MapQuery,
    options: &ComposeOptions,
) -> Result<Raster, PlanError> {
    let (width, height) = query.size;
    if let [(layer, only)] = drawn.as_slice()
        && needs_no_ground(layer.as_ref(), query)
        && (options.ground_alpha == 0 || !query.transparent)
        && let Some(raster) = only.raster(&options.decode_limits)?
        && (raster.width, raster.height) == query.size
    {
        // The only owner gives its pixels away.
        drawn.clear();
        let mut raster = Arc::unwrap_or_clone(raster);
        lay_on_ground(&mut raster, query, options);
        return Ok(raster);
    }
    let mut canvas = Raster::filled(width, height, ground(query, options));
    for (layer, picture) in &drawn {
        let Some(raster) = picture.raster(&options.decode_limits)? else { continue };
        lay_over(&mut canvas, &raster, layer.as_ref(), query.extent, &query.srs);
    }
    Ok(canvas)
}

/// Whether a layer that is alone on a map is the map. Its opacity is for what
/// lies below, so without a ground it does not count, as in MapProxy.
fn needs_no_ground(layer: &dyn MapLayer, query: &MapQuery) -> bool {
    let is_shown_through = layer.opacity().is_some() && layer.is_transparent() && !query.transparent;
    !is_shown_through && layer.coverage().is_none_or(|coverage| !coverage.clip)
}

/// Puts the background under a map that may not be transparent.
fn lay_on_ground(raster: &mut Raster, query: &MapQuery, options: &ComposeOptions) {
    if !query.transparent && !raster.opaque {
        let [red, green, blue, _] = options.image.background;
        render::merge::flatten(raster, [red, green, blue, 255]);
    }
}

fn paint_errors(canvas: &mut Raster, errors: &[PlanError], options: &ComposeOptions) {
    let text = |error: &PlanError| shorten(error_text(error, options.hide_error_details));
    let mut lines: Vec<String> = errors.iter().map(text).collect();
    lines.dedup();
    let style = TextStyle::error(options.image.background, true);
    decor::draw_text(canvas, &lines.join("\n"), &style);
}

/// A painted message leaves most of the map to be seen.
fn shorten(text: String) -> String {
    match text.char_indices().nth(PAINTED_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Characters of a failure that are painted on a map.
const PAINTED_CHARS_MAX: usize = 36;

fn paint_attribution(canvas: &mut Raster, attribution: &Attribution) {
    let style = TextStyle { typeface: attribution.typeface.clone(), ..TextStyle::attribution(false) };
    decor::draw_text(canvas, &attribution.text, &style);
}

/// What a client may read of a failure, in MapProxy's words. With
/// `hide_details` neither addresses nor answers of sources are shown, nor
/// paths; the log has them.
pub fn error_text(error: &PlanError, hide_details: bool) -> String {
    match error {
        PlanError::Source(source) if hide_details => source.public_text().to_owned(),
        PlanError::Image { .. } if hide_details => "Source sent a damaged or wrong image".to_owned(),
        PlanError::Cache(_) if hide_details => "internal error".to_owned(),
        PlanError::Source(SourceError::Status { url, status }) => format!("HTTP Error \"{url}\": {status}"),
        PlanError::Source(SourceError::Transport { url, reason }) => {
            format!("No response from URL \"{url}\": {reason}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
