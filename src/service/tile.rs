//! Tile layers as TMS, `/tiles`, KML and WMTS share them: how their levels
//! are shown, and how one tile is answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest, Md5};

use super::decorations::{Decorations, Occasion};
use super::exception::{Failure, no_cache};
use super::metadata::Dimension;
use super::permit::Kind;
use super::site::Manners;
use super::{Answer, FoundTile, StoredTileAnswer};
use crate::geo::decimal::edges;
use crate::geo::{Extent, Origin, Srs, TileCoord, TileGrid, WholeEdges};
use crate::plan::{
    Decoration, Dimensions, InfoLayer, PlanError, Tile, TileAddress, TileCache, TileFile, Turn,
};
use crate::render::{Format, ImageOptions};
use crate::story;
use crate::wire::{Body, Headers, Request, Response, cond};

/// What a tile layer asks of its cache; [`TileCache`] is the one real
/// implementation, tests bring their own.
pub trait TileProvider: Send + Sync {
    fn grid(&self) -> &Arc<TileGrid>;
    fn format(&self) -> Format;
    /// How its tiles are written.
    fn image(&self) -> &ImageOptions;
    fn tile_file(&self, tile: &TileAddress) -> Option<TileFile>;
    fn tile(&self, tile: &TileAddress, turn: &Turn) -> Result<Tile, PlanError>;
}

impl TileProvider for TileCache {
    fn grid(&self) -> &Arc<TileGrid> {
        TileCache::grid(self)
    }
    fn format(&self) -> Format {
        TileCache::format(self)
    }
    fn image(&self) -> &ImageOptions {
        TileCache::image(self)
    }
    fn tile_file(&self, tile: &TileAddress) -> Option<TileFile> {
        TileCache::tile_file(self, tile)
    }
    fn tile(&self, tile: &TileAddress, turn: &Turn) -> Result<Tile, PlanError> {
        TileCache::tile(self, tile, turn)
    }
}

/// One layer on one grid of its cache (mapproxy-features.md §6: layers with
/// a name and exactly one cache, or explicit `tile_sources`), in the order of
/// the configuration: layers depth first, children before their parent, then
/// the grids of the cache.
#[derive(Clone)]
pub struct TileLayer {
    pub name: String,
    pub title: String,
    pub cache_name: String,
    pub tiles: Arc<dyn TileProvider>,
    /// The cache's extent (its coverage or the grid).
    pub extent: (Extent, Srs),
    /// Of `extent`.
    pub whole_edges: WholeEdges,
    pub dimensions: Vec<Dimension>,
    /// Sources of feature info, in the order in which they are asked.
    pub infos: Vec<Arc<dyn InfoLayer>>,
    /// Templates with `{base_url}` and `{layer_name}`; `legendurl` fills in
    /// MapProxy's default of both.
    pub wmts_kvp_legend_url: Option<String>,
    pub wmts_rest_legend_url: Option<String>,
}

/// Half the circumference of the mercator sphere.
const MERCATOR_EDGE_M: f64 = 20_037_508.342_789_244;

/// A tile layer with what is worked out once: its grid's profile and the
/// names under which it is found.
pub struct ServedLayer {
    pub layer: TileLayer,
    /// `png`, `jpeg`, …: file name extension and format parameter.
    pub format: &'static str,
    /// `image/png`, …; mixed caches are shown as PNG.
    pub mime: &'static str,
    mixed: bool,
    /// `global-mercator`, `global-geodetic` or `local`.
    pub profile: &'static str,
    /// The system as TMS 1.0.0 names it.
    pub srs_name: String,
    /// `EPSG900913`, or the grid's name.
    pub spec: String,
    /// TMS begins at four (two) tiles, so level 0 is hidden there.
    skip_first_level: bool,
    /// Levels of `sqrt2` grids in between are hidden.
    skip_odd_level: bool,
}

impl ServedLayer {
    /// `by_grid_name`: whether the layer is found by the name of its grid
    /// rather than by the code of its system.
    pub fn new(layer: TileLayer, by_grid_name: bool) -> ServedLayer {
        let grid = Arc::clone(layer.tiles.grid());
        let mixed = layer.tiles.format() == Format::Mixed;
        let mime = if mixed { Format::Png } else { layer.tiles.format() }.mime();
        let world = |code: &str, x: f64, y: f64| {
            grid.extent == Extent::new(-x, -y, x, y) && Srs::parse(code).is_ok_and(|srs| srs == grid.srs)
        };
        let (profile, srs_name) = if world("EPSG:900913", MERCATOR_EDGE_M, MERCATOR_EDGE_M) {
            ("global-mercator", "OSGEO:41001".to_owned())
        } else if world("EPSG:4326", 180.0, 90.0) {
            ("global-geodetic", "EPSG:4326".to_owned())
        } else {
            ("local", grid.srs.code().to_owned())
        };
        let spec =
            if by_grid_name { grid.name.clone() } else { grid.srs.code().replace(':', "").to_uppercase() };
        let skip_odd_level = match grid.resolutions.as_slice() {
            // As exact as MapProxy has it: only factors that were computed count.
            [first, second, ..] => first / second == std::f64::consts::SQRT_2,
            _ => false,
        };
        ServedLayer {
            format: mime.strip_prefix("image/").unwrap_or(mime),
            mime,
            mixed,
            profile,
            srs_name,
            spec,
            skip_first_level: profile != "local",
            skip_odd_level,
            layer,
        }
    }

    pub fn grid(&self) -> &TileGrid {
        self.layer.tiles.grid()
    }

    /// The extent in the grid's own system.
    pub fn extent(&self) -> Extent {
        let (extent, srs) = &self.layer.extent;
        if *srs == self.grid().srs {
            return *extent;
        }
        srs.transform_extent(&self.grid().srs, extent).unwrap_or(self.grid().extent)
    }

    /// The edges of the extent in a system, as documents show them.
    pub fn edges_in(&self, target: &Srs) -> [String; 4] {
        let TileLayer { extent: (extent, srs), whole_edges, .. } = &self.layer;
        if srs == target {
            return edges(extent, *whole_edges);
        }
        edges(&srs.transform_extent(target, extent).unwrap_or(*extent), [false; 4])
    }

    /// Public levels with their resolutions, as TMS shows them.
    pub fn tile_sets(&self) -> impl Iterator<Item = (usize, f64)> {
        let step = if self.skip_odd_level { 2 } else { 1 };
        let start = if self.skip_first_level { step } else { 0 };
        let resolutions = &self.grid().resolutions;
        resolutions.iter().copied().skip(start).step_by(step).enumerate()
    }

    /// Levels as clients number them, from 0 on, with the grid's own.
    pub fn public_levels(&self, use_profiles: bool) -> impl Iterator<Item = (i64, u32)> {
        (0..).map_while(move |z| Some((z, self.internal(PublicTile { x: 0, y: 0, z }, use_profiles)?.z)))
    }

    /// The grid's tile for public numbers, rows still counted from the grid's
    /// own origin. `use_profiles`: level 0 of global profiles is hidden.
    pub fn internal(&self, tile: PublicTile, use_profiles: bool) -> Option<TileCoord> {
        let mut z = u32::try_from(tile.z).ok()?;
        if use_profiles && self.skip_first_level {
            z = z.checked_add(1)?;
        }
        if self.skip_odd_level {
            z = z.checked_mul(2)?;
        }
        let is_level = z < self.grid().levels();
        is_level.then_some(()).and_then(|()| self.grid().limit(TileCoord { x: tile.x, y: tile.y, z }))
    }

    /// The public numbers of a grid's tile, without profiles.
    pub fn external(&self, tile: TileCoord) -> PublicTile {
        let z = i64::from(tile.z);
        PublicTile { x: tile.x, y: tile.y, z: if self.skip_odd_level { z / 2 } else { z } }
    }

    /// The grid's tile for public numbers with rows counted from `origin`
    /// (`None`: from the grid's own).
    ///
    /// # Errors
    /// `TileOutOfRange`.
    pub fn coord(
        &self,
        tile: PublicTile,
        use_profiles: bool,
        origin: Option<Origin>,
    ) -> Result<TileCoord, Failure> {
        let coord = self.internal(tile, use_profiles).ok_or_else(Failure::tile_out_of_range)?;
        match origin {
            Some(origin) if origin != self.grid().origin => Ok(self.grid().flip(coord)),
            _ => Ok(coord),
        }
    }

    /// # Errors
    /// `InvalidParameterValue` where the layer has another format.
    pub fn check_format(&self, format: &str) -> Result<(), Failure> {
        if format == self.format {
            return Ok(());
        }
        let message = format!("invalid format ({format}). this tile set only supports ({})", self.format);
        Err(Failure::coded("InvalidParameterValue", message))
    }

    /// The values of the layer's dimensions: those that `value_of`
    /// gives for their lower-case names: absent, empty and `default` mean the
    /// default.
    ///
    /// # Errors
    /// `InvalidParameterValue` for any value that the configuration does not list.
    pub fn dimensions<'a>(
        &self,
        value_of: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<Arc<Dimensions>>, Failure> {
        if self.layer.dimensions.is_empty() {
            return Ok(None);
        }
        let invalid =
            |name: &str| Failure::coded("InvalidParameterValue", format!("invalid dimension value ({name})"));
        let mut values = Vec::with_capacity(self.layer.dimensions.len());
        for dimension in &self.layer.dimensions {
            let key = dimension.key();
            let value = match value_of(&key) {
                Some(value) if dimension.values.iter().any(|known| known == value) => value,
                None | Some("" | "default") => dimension.default.as_str(),
                Some(value) => return Err(invalid(&format!("{key}={value}"))),
            };
            values.push((key, value.to_owned()));
        }
        Dimensions::new(&values).map_err(|error| invalid(&error.to_string()))
    }
}

/// A tile's numbers as a client gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicTile {
    pub x: i64,
    pub y: i64,
    pub z: i64,
}

impl PublicTile {
    /// From three parts of a path; `None` unless each is a whole number.
    pub fn parse(x: &str, y: &str, z: &str) -> Option<PublicTile> {
        Some(PublicTile { x: plain_integer(x)?, y: plain_integer(y)?, z: plain_integer(z)? })
    }
}

/// A whole number in ASCII digits, without a plus sign; zeros may lead.
/// Numbers too large for any grid become the largest there is.
pub fn plain_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if digits.len() < text.len() { i64::MIN } else { i64::MAX }))
}

/// What all tile answers of a service have in common.
pub struct TileAnswers {
    kind: Kind,
    /// As MapProxy names it.
    service: &'static str,
    /// `public, max-age=…, s-maxage=…`
    cache_control: String,
    cors: Option<String>,
    hide_error_details: bool,
    decorations: Option<Arc<Decorations>>,
    /// How the service's protocol tells a failure.
    tell: fn(&Failure) -> Response,
}

impl TileAnswers {
    pub fn new(
        kind: Kind,
        service: &'static str,
        expires_s: u64,
        manners: &Manners,
        tell: fn(&Failure) -> Response,
    ) -> Arc<TileAnswers> {
        Arc::new(TileAnswers {
            kind,
            service,
            cache_control: format!("public, max-age={expires_s}, s-maxage={expires_s}"),
            cors: manners.cors.clone(),
            hide_error_details: manners.hide_error_details,
            decorations: manners.decorations.clone(),
            tell,
        })
    }

    pub fn cache_control(&self) -> &str {
        &self.cache_control
    }

    /// The failure in the protocol's words.
    pub fn tell(&self, failure: &Failure) -> Answer {
        Answer::Ready((self.tell)(failure))
    }

    /// Answers with one tile of `layer`: from its file where the loop can,
    /// else on a thread.
    pub fn tile(self: &Arc<Self>, layer: &ServedLayer, address: TileAddress, request: &Request) -> Answer {
        story::name_layer(&layer.layer.name);
        story::note_level(address.coord.z);
        let conditions = conditions(&request.headers);
        let shown = ShownType { mime: layer.mime, mixed: layer.mixed };
        if let Some(decoration) = self.decoration(layer, &address, request) {
            let answers = Arc::clone(self);
            let tiles = Arc::clone(&layer.layer.tiles);
            return Answer::Work(Box::new(move |turn| {
                answers.decorate(&*tiles, &address, &decoration, shown, &conditions, turn)
            }));
        }
        let Some(file) = layer.layer.tiles.tile_file(&address) else {
            let answers = Arc::clone(self);
            let tiles = Arc::clone(&layer.layer.tiles);
            return Answer::Work(Box::new(move |turn| {
                answers.make(&*tiles, &address, shown, &conditions, turn)
            }));
        };
        let answers = Arc::clone(self);
        let conditions = Arc::new(conditions);
        let found_conditions = Arc::clone(&conditions);
        let found_answers = Arc::clone(self);
        let tiles = Arc::clone(&layer.layer.tiles);
        Answer::StoredTile(Box::new(StoredTileAnswer {
            file,
            respond: Box::new(move |found: FoundTile| {
                let mime = shown.mime_of(found.format);
                let body = Body::Shared(found.bytes);
                let response = found_answers.respond(body, mime, Some(found.modified), &found_conditions);
                found_answers.with_cors(response)
            }),
            otherwise: Box::new(move |turn| {
                answers.with_cors(answers.make(&*tiles, &address, shown, &conditions, turn))
            }),
        }))
    }

    /// What is added to a tile, by the rules of the site.
    fn decoration(
        &self,
        layer: &ServedLayer,
        address: &TileAddress,
        request: &Request,
    ) -> Option<Decoration> {
        let decorations = self.decorations.as_ref()?;
        let grid = layer.grid();
        let layers = [layer.layer.name.clone()];
        let occasion = Occasion {
            kind: self.kind,
            service: self.service,
            asked: &layers,
            drawn: &layers,
            extent: &grid.tile_extent(address.coord),
            srs: grid.srs.code(),
        };
        decorations.choose(&occasion, request)
    }

    /// Its tag is that of its own bytes: what is added may change while the
    /// tile does not.
    fn decorate(
        &self,
        tiles: &dyn TileProvider,
        address: &TileAddress,
        decoration: &Decoration,
        shown: ShownType,
        conditions: &Headers,
        turn: &Turn,
    ) -> Response {
        let tile = tiles.tile(address, turn).and_then(|tile| decoration.tile(tile, tiles.image(), turn));
        let tile = match tile {
            Ok(tile) => tile,
            Err(error) => {
                if let PlanError::Decoration(_) = &error {
                    crate::log::warn!("tile failed: {error}");
                }
                return (self.tell)(&Failure::of_tile(&error, self.hide_error_details));
            }
        };
        let mime = shown.mime_of(tile.format);
        let response = Response {
            status: 200,
            headers: vec![(Cow::Borrowed("Content-Type"), mime.to_owned())],
            body: Body::Shared(tile.bytes),
        };
        if !tile.cacheable {
            return no_cache(response);
        }
        keep_by_content(response, self.cache_control.clone(), conditions)
    }

    fn make(
        &self,
        tiles: &dyn TileProvider,
        address: &TileAddress,
        shown: ShownType,
        conditions: &Headers,
        turn: &Turn,
    ) -> Response {
        match tiles.tile(address, turn) {
            Ok(tile) => {
                let mime = shown.mime_of(tile.format);
                if tile.cacheable {
                    return self.respond(Body::Shared(tile.bytes), mime, tile.modified, conditions);
                }
                no_cache(Response {
                    status: 200,
                    headers: vec![(Cow::Borrowed("Content-Type"), mime.to_owned())],
                    body: Body::Shared(tile.bytes),
                })
            }
            Err(error) => (self.tell)(&Failure::of_tile(&error, self.hide_error_details)),
        }
    }

    fn respond(
        &self,
        body: Body,
        mime: &str,
        modified: Option<SystemTime>,
        conditions: &Headers,
    ) -> Response {
        let tag = match modified {
            Some(modified) => entity_tag(modified, body.as_slice().len()),
            None => content_tag(body.as_slice()),
        };
        let is_known = !conditions.0.is_empty() && cond::not_modified(conditions, Some(&tag), modified);
        let mut headers: Vec<(Cow<'static, str>, String)> = Vec::with_capacity(5);
        if !is_known {
            headers.push((Cow::Borrowed("Content-Type"), mime.to_owned()));
        }
        headers.push((Cow::Borrowed("ETag"), tag));
        if let Some(modified) = modified {
            headers.push((Cow::Borrowed("Last-Modified"), cond::format_date(modified)));
        }
        headers.push((Cow::Borrowed("Cache-Control"), self.cache_control.clone()));
        if is_known {
            return Response { status: 304, headers, body: Body::Empty };
        }
        Response { status: 200, headers, body }
    }

    fn with_cors(&self, mut response: Response) -> Response {
        if let Some(origin) = &self.cors {
            response.headers.push((Cow::Borrowed("Access-Control-Allow-Origin"), origin.clone()));
        }
        response
    }
}

/// Lets caches keep a picture that has no time of its own, by a quoted tag of
/// its bytes; 304 where the client has it.
pub(super) fn keep_by_content(response: Response, cache_control: String, conditions: &Headers) -> Response {
    let tag = content_tag(response.body.as_slice());
    let is_known = cond::not_modified(conditions, Some(&tag), None);
    let response = match is_known {
        true => Response { status: 304, headers: Vec::new(), body: Body::Empty },
        false => response,
    };
    response.with("ETag", tag).with("Cache-Control", cache_control)
}

/// A quoted tag of the bytes themselves, where no time is kept. MapProxy takes
/// their number alone, which tiles of one colour share.
fn content_tag(bytes: &[u8]) -> String {
    in_quotes(&Md5::digest(bytes))
}

/// The type a layer promises, and whether its tiles speak for themselves.
#[derive(Clone, Copy)]
struct ShownType {
    mime: &'static str,
    mixed: bool,
}

impl ShownType {
    fn mime_of(self, format: Format) -> &'static str {
        match format {
            // An empty tile of a JPEG layer is a PNG.
            Format::Png | Format::Jpeg => format.mime(),
            _ if self.mixed => format.mime(),
            _ => self.mime,
        }
    }
}

/// The conditional fields of a request, mostly none.
fn conditions(headers: &Headers) -> Headers {
    let is_condition = |name: &str| {
        name.eq_ignore_ascii_case("if-none-match") || name.eq_ignore_ascii_case("if-modified-since")
    };
    Headers(headers.0.iter().filter(|(name, _)| is_condition(name)).cloned().collect())
}

/// A quoted tag of the time of change and the size: stable over restarts, the
/// same in all workers, and within the quotes MapProxy's own for the same file
/// (the MD5 of both as Python writes them), so that what clients keep stays
/// good over a switch.
fn entity_tag(modified: SystemTime, size: usize) -> String {
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified_s = since.as_secs() as f64 + f64::from(since.subsec_nanos()) * 1e-9;
    in_quotes(&Md5::digest(format!("{modified_s:?}{size}")))
}

fn in_quotes(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut tag = String::with_capacity(2 + 2 * digest.len());
    tag.push('"');
    for byte in digest {
        tag.push(char::from(DIGITS[usize::from(byte >> 4)]));
        tag.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As Python says: `md5(f"{mtime}{size}")`.
    #[test]
    fn tags_are_mapproxys_within_quotes() {
        for (ns, size, tag) in [
            (1_234_567_890_000_000_000, 10_214, "\"a4b85e1a675022430a0d03778841a25f\""),
            (1_700_000_000_123_456_789, 5, "\"24e27e3746eb5f5211efdac17419cc4c\""),
        ] {
            assert_eq!(entity_tag(UNIX_EPOCH + Duration::from_nanos(ns), size), tag);
        }
    }
}
