//! One tile: from the cache as it lies where the collection is just one cache,
//! else drawn like any map.

use super::draw::{Colors, Picture, with_fields};
use super::map::{Wanted, units};
use super::refusal::Refusal;
use super::request::{self, said};
use super::subject::{Scope, Subject};
use super::{OgcApi, TilePlace, Visit};
use crate::geo::{Extent, Origin, TileCoord, TileGrid};
use crate::plan::{MapQuery, TileAddress};
use crate::render::Format;
use crate::service::Answer;
use crate::service::parameters::Parameters;
use crate::service::tile::ServedLayer;

impl Visit<'_> {
    pub(super) fn tile(&self, scope: Scope<'_>, place: TilePlace<'_>) -> Result<Answer, Refusal> {
        let api = self.api;
        let mut known = vec!["f", "bgcolor", "transparent"];
        if scope == Scope::Dataset {
            known.push("collections");
        }
        if api.enable_maps {
            known.extend(["width", "height", "scale-denominator", "mm-per-pixel"]);
        }
        request::check(&self.parameters, &known, &request::IMAGE_FORMATS)?;
        let subject = api.subject("ogcapi.tile", scope, &self.parameters)?;
        let grid = api.grid(place.set)?;
        let format =
            request::image_format(place.column, &self.parameters, self.request, &self.api.served_formats())?;
        request::size(&self.parameters)?;
        let level = level(grid, place.level)?;
        let (width, height) = tile_size(grid, level, &self.parameters)?;
        let size = api.limits.check(width, height)?;
        let coord = coord(grid, level, place)?;
        let colors = Colors::parse(&self.parameters)?;
        let wanted = Wanted { extent: extent(grid, coord), size, srs: grid.srs.clone() };
        let picture = Picture { wanted, format, colors, tile: true };
        let stored = api
            .stored(&subject, place.set, grid, &picture)
            .and_then(|layer| Some((layer, layer.dimensions(|_| None).ok()?)));
        match stored {
            Some((layer, dimensions)) => {
                let address = TileAddress { coord, dimensions };
                let answer = api.tile_answers.tile(layer, address, self.request);
                Ok(with_fields(answer, picture.fields()))
            }
            None => self.draw(subject, picture),
        }
    }
}

impl OgcApi {
    /// Which tile of what a request asks for, and its level.
    ///
    /// # Errors
    /// The request is refused anyhow.
    pub(super) fn asked_tile(
        &self,
        scope: Scope<'_>,
        place: TilePlace<'_>,
        parameters: &Parameters,
    ) -> Result<(Subject, Wanted, u32), Refusal> {
        let subject = self.subject("ogcapi.tile", scope, parameters)?;
        let grid = self.grid(place.set)?;
        let level = level(grid, place.level)?;
        let (width, height) = tile_size(grid, level, parameters)?;
        let size = self.limits.check(width, height)?;
        let coord = coord(grid, level, place)?;
        let wanted = Wanted { extent: extent(grid, coord), size, srs: grid.srs.clone() };
        Ok((subject, wanted, level))
    }

    /// The cache that keeps the subject's tiles just as they are asked for.
    fn stored(
        &self,
        subject: &Subject,
        set: &str,
        grid: &TileGrid,
        picture: &Picture,
    ) -> Option<&ServedLayer> {
        if self.attribution.is_some() || !picture.may_be_stored(grid.tile_size) {
            return None;
        }
        let Wanted { extent, size, srs } = &picture.wanted;
        let query = MapQuery {
            extent: *extent,
            size: *size,
            srs: srs.clone(),
            format: picture.format,
            transparent: true,
            tiled_only: false,
            dimensions: Vec::new(),
            parameters: Vec::new(),
            mime: None,
        };
        let drawing = self.drawing(subject, &query);
        let &[at] = drawing.as_slice() else { return None };
        let name = self.layers.node(at).name.clone()?;
        let layer = self.tiles.get(&(name, set.to_owned()))?;
        let is_kept = |format: Format| layer.layer.tiles.format() == format;
        is_kept(picture.format).then_some(layer)
    }
}

fn level(grid: &TileGrid, text: &str) -> Result<u32, Refusal> {
    let last = i64::from(grid.levels()) - 1;
    whole_number(text, last)
        .and_then(|level| u32::try_from(level).ok())
        .ok_or_else(|| Refusal::invalid(format!("Invalid zoom level. Valid range is [0,{last}]")))
}

/// A number from 0 to `last`.
fn whole_number(text: &str, last: i64) -> Option<i64> {
    text.parse().ok().filter(|number| (0..=last).contains(number))
}

/// The tile's numbers, rows counted from the grid's own origin.
fn coord(grid: &TileGrid, level: u32, place: TilePlace<'_>) -> Result<TileCoord, Refusal> {
    let (columns, rows) = grid.grid_size(level);
    let row = whole_number(place.row, rows - 1)
        .ok_or_else(|| Refusal::invalid(format!("Invalid row number. Valid range is [0,{}]", rows - 1)))?;
    let column = place.column.split_once('.').map_or(place.column, |(column, _)| column);
    let column = whole_number(column, columns - 1)
        .ok_or_else(|| Refusal::invalid(format!("Invalid col number. Valid range is [0,{}]", columns - 1)))?;
    Ok(TileCoord::new(column, row, level))
}

/// Width and height of the tile's image in pixels: as asked for, or the grid's
/// own for the display and scale that are named.
fn tile_size(grid: &TileGrid, level: u32, parameters: &Parameters) -> Result<(u64, u64), Refusal> {
    const PIXEL_M: f64 = 0.00028;
    let (width, height) = request::size(parameters)?;
    let pixel_m = request::display_pixel_m(parameters)?;
    if said(parameters, "scale-denominator").is_some() && (width.is_some() || height.is_some()) {
        let detail = "scale-denominator is mutually exclusive with width or height";
        return Err(Refusal::invalid(detail));
    }
    let (own_width, own_height) = (f64::from(grid.tile_size.0), f64::from(grid.tile_size.1));
    let pixels = |side: f64| side.round_ties_even().max(1.0) as u64;
    let zoomed = |zoom: f64| (pixels(own_width * zoom), pixels(own_height * zoom));
    Ok(match (width, height) {
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, pixels(width as f64 * own_height / own_width)),
        (None, Some(height)) => (pixels(height as f64 * own_width / own_height), height),
        (None, None) => match request::positive(parameters, "scale-denominator")? {
            Some(scale) => zoomed(grid.resolution(level) / units(scale * pixel_m, &grid.srs)),
            None => zoomed(PIXEL_M / pixel_m),
        },
    })
}

/// A tile's area, not rounded as those of stored tiles are: it is what the
/// tile matrix set says.
fn extent(grid: &TileGrid, coord: TileCoord) -> Extent {
    let resolution = grid.resolution(coord.z);
    let across = f64::from(grid.tile_size.0) * resolution;
    let up = f64::from(grid.tile_size.1) * resolution;
    let (column, row) = (coord.x as f64, coord.y as f64);
    let (min_x, max_x) = (grid.extent.min_x + column * across, grid.extent.min_x + (column + 1.0) * across);
    match grid.origin {
        Origin::NorthWest => {
            Extent::new(min_x, grid.extent.max_y - (row + 1.0) * up, max_x, grid.extent.max_y - row * up)
        }
        Origin::SouthWest => {
            Extent::new(min_x, grid.extent.min_y + row * up, max_x, grid.extent.min_y + (row + 1.0) * up)
        }
    }
}
