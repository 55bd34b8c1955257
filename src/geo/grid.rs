//! A tile grid (tile matrix set): resolutions, tile extents, level choice.
//! Rules: mapproxy-features.md §3, where MapProxy's arithmetic is followed to
//! the last bit, because stored tiles, capabilities and URLs depend on it. How
//! the list of resolutions comes about is in [`super::resolutions`].

use super::extent::Extent;
use super::resolutions;
use super::srs::Srs;

/// Column, row and level of a tile; row 0 lies at the grid's own origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileCoord {
    pub x: i64,
    pub y: i64,
    pub z: u32,
}

impl TileCoord {
    /// Column, row, level.
    pub const fn new(x: i64, y: i64, z: u32) -> Self {
        Self { x, y, z }
    }
}

/// The corner where column 0, row 0 lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `ll`, `sw`
    SouthWest,
    /// `ul`, `nw`
    NorthWest,
}

impl Origin {
    /// Reads `ll`, `sw`, `ul`, `nw` in any case.
    pub fn parse(text: &str) -> Option<Origin> {
        match text.to_ascii_lowercase().as_str() {
            "ll" | "sw" => Some(Origin::SouthWest),
            "ul" | "nw" => Some(Origin::NorthWest),
            _ => None,
        }
    }
}

/// What the configuration may say about a grid; absent means MapProxy's default.
#[derive(Clone, Debug, Default)]
pub struct GridOptions {
    pub name: String,
    pub srs: Option<Srs>,
    pub extent: Option<Extent>,
    pub extent_srs: Option<Srs>,
    pub origin: Option<Origin>,
    pub tile_size: Option<(u32, u32)>,
    pub res: Option<Vec<f64>>,
    /// `sqrt2` is given as [`std::f64::consts::SQRT_2`].
    pub res_factor: Option<f64>,
    pub num_levels: Option<u32>,
    /// The coarsest resolution.
    pub min_res: Option<f64>,
    /// The finest resolution.
    pub max_res: Option<f64>,
    pub threshold_res: Option<Vec<f64>>,
    pub stretch_factor: Option<f64>,
    pub max_shrink_factor: Option<f64>,
    /// Resolutions of the grid named by `align_resolutions_with`.
    pub align_with: Option<Vec<f64>>,
}

/// Why a grid cannot be built, or a map has no tiles in it.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum GridError {
    #[error("{0}")]
    Options(String),
    /// The resolution is too coarse for this grid, or the area lies outside.
    #[error("no tiles for this extent and resolution")]
    NoTiles,
    /// The extent is so small or so odd that no tile holds it; MapProxy's wording.
    #[error("Invalid BBOX")]
    InvalidExtent,
}

/// The tiles that a map touches.
#[derive(Clone, Debug)]
pub struct Affected {
    /// The extent of all touched tiles together.
    pub extent: Extent,
    pub level: u32,
    /// Columns and rows of touched tiles.
    pub columns: u32,
    pub rows: u32,
    /// Row by row from the north-west; `None` outside the grid.
    /// At most `columns × rows` entries; see [`TileGrid::affected`].
    pub tiles: Vec<Option<TileCoord>>,
}

/// The longest edge of a tile, pixels.
pub const TILE_EDGE_MAX_PX: u32 = 16_384;

/// Allow maps to be magnified by this factor before the next level is used.
pub const STRETCH_FACTOR_DEFAULT: f64 = 1.15;

/// How much coarser than the first level a map may be before it has no tiles.
pub const MAX_SHRINK_FACTOR_DEFAULT: f64 = 4.0;

/// Half the width of the web mercator square, metres.
pub const MERCATOR_HALF_WIDTH_M: f64 = 20037508.342789244;

/// A tile grid. Resolutions run from coarse to fine, in map units per pixel.
#[derive(Clone, Debug)]
pub struct TileGrid {
    pub name: String,
    pub srs: Srs,
    pub extent: Extent,
    pub origin: Origin,
    pub tile_size: (u32, u32),
    /// At least one.
    pub resolutions: Vec<f64>,
    /// From fine to coarse; may be empty.
    pub threshold_res: Vec<f64>,
    pub stretch_factor: f64,
    pub max_shrink_factor: f64,
    /// Columns and rows of each level.
    sizes: Vec<(i64, i64)>,
}

/// One level of a grid.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Map units per pixel, above zero.
    pub resolution: f64,
    pub columns: i64,
    pub rows: i64,
}

impl TileGrid {
    /// Builds a grid from what the configuration says.
    pub fn build(options: &GridOptions) -> Result<TileGrid, GridError> {
        let srs = match &options.srs {
            Some(srs) => srs.clone(),
            None => Srs::parse("EPSG:900913").map_err(|e| GridError::Options(e.to_string()))?,
        };
        let extent = grid_extent(options, &srs)?;
        let tile_size = options.tile_size.unwrap_or((256, 256));
        let edges = 1..=TILE_EDGE_MAX_PX;
        if !edges.contains(&tile_size.0) || !edges.contains(&tile_size.1) {
            return Err(GridError::Options(format!(
                "tile_size must lie between 1 and {TILE_EDGE_MAX_PX} pixels, not {} × {}",
                tile_size.0, tile_size.1
            )));
        }
        let resolutions = resolutions::from_options(options, &extent, tile_size)?;
        let mut threshold_res = options.threshold_res.clone().unwrap_or_default();
        if threshold_res.iter().any(|r| !r.is_finite()) {
            return Err(GridError::Options("threshold_res must hold finite numbers".into()));
        }
        threshold_res.sort_by(f64::total_cmp);
        let sizes = resolutions.iter().map(|&res| level_size(&extent, res, tile_size)).collect();
        Ok(TileGrid {
            name: options.name.clone(),
            srs,
            extent,
            origin: options.origin.unwrap_or(Origin::SouthWest),
            tile_size,
            resolutions,
            threshold_res,
            stretch_factor: options.stretch_factor.unwrap_or(STRETCH_FACTOR_DEFAULT),
            max_shrink_factor: options.max_shrink_factor.unwrap_or(MAX_SHRINK_FACTOR_DEFAULT),
            sizes,
        })
    }

    /// A grid by its levels, as a tile matrix set writes them: at least one, from
    /// coarse to fine, in sizes that need not follow from the extent.
    pub fn of_levels(
        name: &str,
        srs: Srs,
        extent: Extent,
        origin: Origin,
        tile_size: (u32, u32),
        levels: Vec<Level>,
    ) -> TileGrid {
        TileGrid {
            name: name.to_owned(),
            srs,
            extent,
            origin,
            tile_size,
            resolutions: levels.iter().map(|level| level.resolution).collect(),
            threshold_res: Vec::new(),
            stretch_factor: STRETCH_FACTOR_DEFAULT,
            max_shrink_factor: MAX_SHRINK_FACTOR_DEFAULT,
            sizes: levels.iter().map(|level| (level.columns, level.rows)).collect(),
        }
    }

    /// How many levels there are; at least one.
    pub fn levels(&self) -> u32 {
        self.resolutions.len() as u32
    }

    /// Map units per pixel at `level`; a level beyond the last counts as the last.
    pub fn resolution(&self, level: u32) -> f64 {
        let last = self.resolutions.len() - 1;
        self.resolutions[(level as usize).min(last)]
    }

    /// Columns and rows at `level`, with MapProxy's floor division; none at a
    /// level that the grid has not.
    pub fn grid_size(&self, level: u32) -> (i64, i64) {
        self.sizes.get(level as usize).copied().unwrap_or((0, 0))
    }

    /// The level to use for a wanted resolution (stretch factor, thresholds).
    ///
    /// From coarse to fine, the first level within the stretch factor is
    /// taken unless a later one still is not finer than asked for. A threshold
    /// that lies between two levels decides between those two alone.
    pub fn closest_level(&self, resolution: f64) -> u32 {
        let first = self.resolutions[0];
        let mut coarser = first;
        let mut thresholds = self.threshold_res.iter().rev().copied();
        let mut threshold = thresholds.next();
        while let Some(t) = threshold {
            if t <= first {
                break;
            }
            match thresholds.next() {
                Some(next) => threshold = Some(next),
                None => break,
            }
        }
        let mut candidate = None;
        for (level, &res) in self.resolutions.iter().enumerate() {
            let level = level as u32;
            if let Some(t) = threshold.filter(|&t| t != 0.0 && coarser > t && t >= res) {
                if resolution > t {
                    return level.saturating_sub(1);
                }
                if resolution >= res {
                    return level;
                }
                threshold = thresholds.next();
            }
            if let Some(candidate) = candidate
                && res < resolution
            {
                return candidate;
            }
            if res <= resolution * self.stretch_factor {
                candidate = Some(level);
            }
            coarser = res;
        }
        self.levels() - 1
    }

    /// Extent of a tile, rounded to 12 decimals. The tile may lie outside the
    /// grid or reach beyond the grid's extent.
    pub fn tile_extent(&self, tile: TileCoord) -> Extent {
        let res = self.resolution(tile.z);
        let (width_px, height_px) = (f64::from(self.tile_size.0), f64::from(self.tile_size.1));
        let min_x = self.extent.min_x + round_decimals(tile.x as f64 * res * width_px, 12);
        let max_x = min_x + round_decimals(res * width_px, 12);
        let from_origin = round_decimals(tile.y as f64 * res * height_px, 12);
        let height = round_decimals(res * height_px, 12);
        let (min_y, max_y) = match self.origin {
            Origin::NorthWest => {
                let max_y = self.extent.max_y - from_origin;
                (max_y - height, max_y)
            }
            Origin::SouthWest => {
                let min_y = self.extent.min_y + from_origin;
                (min_y, min_y + height)
            }
        };
        Extent::new(min_x, min_y, max_x, max_y)
    }

    /// Extent of a tile, cut at the grid's own extent.
    pub fn tile_extent_within(&self, tile: TileCoord) -> Extent {
        let all = self.tile_extent(tile);
        Extent::new(
            all.min_x.max(self.extent.min_x),
            all.min_y.max(self.extent.min_y),
            all.max_x.min(self.extent.max_x),
            all.max_y.min(self.extent.max_y),
        )
    }

    /// The extent of the block of tiles between two corner tiles of one level.
    pub fn tiles_extent(&self, one: TileCoord, other: TileCoord) -> Extent {
        self.tile_extent(one).union(&self.tile_extent(other))
    }

    /// The tile if it lies in the grid.
    pub fn limit(&self, tile: TileCoord) -> Option<TileCoord> {
        let &(columns, rows) = self.sizes.get(tile.z as usize)?;
        ((0..columns).contains(&tile.x) && (0..rows).contains(&tile.y)).then_some(tile)
    }

    /// The tile seen from the other origin (row counted from the other edge).
    /// A tile outside the grid stays outside.
    pub fn flip(&self, tile: TileCoord) -> TileCoord {
        let (_, rows) = self.grid_size(tile.z);
        TileCoord { y: (rows - 1).saturating_sub(tile.y), ..tile }
    }

    /// Whether every level's corner coincides, so that rows may be counted
    /// from `origin`.
    pub fn supports_origin(&self, origin: Origin) -> bool {
        if origin == self.origin {
            return true;
        }
        let tolerance = self.extent.min_y.abs().max(self.extent.max_y.abs()) / 1e12;
        (0..self.levels()).all(|level| {
            let all = self.level_extent(level);
            (self.extent.min_y - all.min_y).abs() <= tolerance
                && (self.extent.max_y - all.max_y).abs() <= tolerance
        })
    }

    /// The tile that lies at `origin` on `level`; meaningful only where
    /// [`TileGrid::supports_origin`] says yes.
    pub fn origin_tile(&self, level: u32, origin: Origin) -> TileCoord {
        let tile = TileCoord { x: 0, y: 0, z: level };
        if origin == self.origin { tile } else { self.flip(tile) }
    }

    /// The extent of all tiles of a level together; it holds the grid's extent
    /// but for an edge pixel, and may be larger.
    pub fn level_extent(&self, level: u32) -> Extent {
        let (columns, rows) = self.grid_size(level);
        self.tiles_extent(TileCoord::new(0, 0, level), TileCoord::new(columns - 1, rows - 1, level))
    }

    /// The tile of `level` that holds a point; it may lie outside the grid.
    pub fn tile_at(&self, x: f64, y: f64, level: u32) -> TileCoord {
        let res = self.resolution(level);
        let from_west = x - self.extent.min_x;
        let from_origin = match self.origin {
            Origin::NorthWest => self.extent.max_y - y,
            Origin::SouthWest => y - self.extent.min_y,
        };
        // `as` saturates, and turns what is no number into 0.
        TileCoord {
            x: (from_west / (res * f64::from(self.tile_size.0))).floor() as i64,
            y: (from_origin / (res * f64::from(self.tile_size.1))).floor() as i64,
            z: level,
        }
    }

    /// The tiles under a map of `size` pixels; `extent` in `srs`.
    /// `tiles_max` bounds the list (the count beyond it is still right in
    /// `columns`/`rows`, the list then empty).
    pub fn affected(
        &self,
        extent: &Extent,
        size: (u32, u32),
        srs: &Srs,
        tiles_max: usize,
    ) -> Result<Affected, GridError> {
        let (extent, level) = self.extent_and_level(extent, size, srs)?;
        self.affected_at(&extent, level, tiles_max)
    }

    /// The extent of a map in the grid's own system, and the level that serves
    /// it. [`GridError::NoTiles`] where the map lies beside the grid or is
    /// coarser than the first level by more than the shrink factor.
    pub fn extent_and_level(
        &self,
        extent: &Extent,
        size: (u32, u32),
        srs: &Srs,
    ) -> Result<(Extent, u32), GridError> {
        let own = srs.transform_extent(&self.srs, extent).ok_or(GridError::InvalidExtent)?;
        if !self.extent.intersects(&own) {
            return Err(GridError::NoTiles);
        }
        let resolution = map_resolution(&own, size);
        let level = self.closest_level(resolution);
        if !resolution.is_finite() || resolution > self.resolutions[0] * self.max_shrink_factor {
            return Err(GridError::NoTiles);
        }
        Ok((own, level))
    }

    /// The tiles of one level under an extent in the grid's own system. The
    /// extent counts as smaller by a tenth of a pixel on each side, so that a
    /// tile which is only touched is not used.
    pub fn affected_at(&self, extent: &Extent, level: u32, tiles_max: usize) -> Result<Affected, GridError> {
        let margin = self.resolution(level) / 10.0;
        let one = self.tile_at(extent.min_x + margin, extent.min_y + margin, level);
        let other = self.tile_at(extent.max_x - margin, extent.max_y - margin, level);
        let (south, north) = (one.y, other.y);
        let (first_y, last_y) = match self.origin {
            Origin::NorthWest => (north, south),
            Origin::SouthWest => (south, north),
        };
        if other.x < one.x || last_y < first_y {
            return Err(GridError::InvalidExtent);
        }
        let columns = span(one.x, other.x);
        let rows = span(first_y, last_y);
        let count = u64::from(columns) * u64::from(rows);
        let mut tiles = Vec::new();
        if count <= tiles_max as u64 {
            tiles.reserve_exact(count as usize);
            for row in 0..i64::from(rows) {
                let y = match self.origin {
                    Origin::NorthWest => first_y + row,
                    Origin::SouthWest => last_y - row,
                };
                tiles.extend((one.x..=other.x).map(|x| self.limit(TileCoord { x, y, z: level })));
            }
        }
        let extent = self.tiles_extent(one, other);
        Ok(Affected { extent, level, columns, rows, tiles })
    }

    /// Whether every tile of this grid is a tile of `other`; coordinates may
    /// differ and `other` may have more tiles and levels.
    pub fn is_subset_of(&self, other: &TileGrid) -> bool {
        if self.srs != other.srs || self.tile_size != other.tile_size {
            return false;
        }
        (0..self.levels()).all(|level| {
            let own = self.level_extent(level);
            let (columns, rows) = self.grid_size(level);
            let size_px =
                (columns as f64 * f64::from(self.tile_size.0), rows as f64 * f64::from(self.tile_size.1));
            if !other.extent.intersects(&own) {
                return false;
            }
            let resolution = (own.width().abs() / size_px.0).min(own.height().abs() / size_px.1);
            if resolution > other.resolutions[0] * other.max_shrink_factor {
                return false;
            }
            let level_other = other.closest_level(resolution);
            let Ok(theirs) = other.affected_at(&own, level_other, 0) else { return false };
            other.resolution(level_other) == self.resolution(level) && nearly_equal(&theirs.extent, &own)
        })
    }
}

/// Map units per pixel of a map of `size` pixels: the finer of the two
/// directions (mapproxy-features.md §3.4). Infinite where a side has no pixel.
pub fn map_resolution(extent: &Extent, size: (u32, u32)) -> f64 {
    (extent.width().abs() / f64::from(size.0)).min(extent.height().abs() / f64::from(size.1))
}

/// How many whole numbers lie between two, both counted.
fn span(first: i64, last: i64) -> u32 {
    u32::try_from(i128::from(last) - i128::from(first) + 1).unwrap_or(u32::MAX)
}

/// Whether two extents agree within a millionth of the first one's width.
fn nearly_equal(one: &Extent, other: &Extent) -> bool {
    let tolerance = one.width().abs() / 1_000_000.0;
    one.to_array().iter().zip(other.to_array()).all(|(a, b)| (a - b).abs() < tolerance)
}

/// The extent that a grid covers: as configured, or the default of the few
/// systems that have one.
fn grid_extent(options: &GridOptions, srs: &Srs) -> Result<Extent, GridError> {
    let extent = match (options.extent, &options.extent_srs) {
        (Some(extent), Some(extent_srs)) => extent_srs.transform_extent(srs, &extent).ok_or_else(|| {
            GridError::Options(format!("the bbox has no image of {} in {}", extent_srs.code(), srs.code()))
        })?,
        (Some(extent), None) => extent,
        (None, _) => default_extent(srs)
            .ok_or_else(|| GridError::Options(format!("need a bbox for grid with {}", srs.code())))?,
    };
    if extent.is_valid() {
        Ok(extent)
    } else {
        Err(GridError::Options(format!(
            "bbox must be west, south, east, north with an area, not {:?}",
            extent.to_array()
        )))
    }
}

/// The extent a grid has when the configuration gives none: the world for
/// EPSG:4326, the square for the names of web mercator.
pub fn default_extent(srs: &Srs) -> Option<Extent> {
    const HALF: f64 = MERCATOR_HALF_WIDTH_M;
    match srs.code() {
        "EPSG:4326" => Some(Extent::new(-180.0, -90.0, 180.0, 90.0)),
        "EPSG:900913" | "EPSG:3857" | "EPSG:102100" | "EPSG:102113" => {
            Some(Extent::new(-HALF, -HALF, HALF, HALF))
        }
        _ => None,
    }
}

/// Columns and rows of a level. The width is first divided by the resolution
/// and cut to whole pixels, as MapProxy does: an edge pixel may be lost.
fn level_size(extent: &Extent, resolution: f64, tile_size: (u32, u32)) -> (i64, i64) {
    let count =
        |length: f64, tile: u32| ((floor_divide(length, resolution) / f64::from(tile)).ceil() as i64).max(1);
    (count(extent.width(), tile_size.0), count(extent.height(), tile_size.1))
}

/// Division rounded down, by way of the remainder: the true quotient's floor,
/// where rounding the quotient first could step over a whole number.
fn floor_divide(a: f64, b: f64) -> f64 {
    let remainder = a % b;
    let mut quotient = (a - remainder) / b;
    if remainder != 0.0 && (b < 0.0) != (remainder < 0.0) {
        quotient -= 1.0;
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

/// The nearest number with at most `decimals` decimals, ties to even, exact in
/// the decimal sense.
pub(super) fn round_decimals(value: f64, decimals: usize) -> f64 {
    use std::io::Write;
    // At 2^13 doubles lie farther apart than two numbers of 12 decimals, and
    // multiples of 1/4096 have no more than 12: nothing to round.
    let scaled = value * 4096.0;
    if !value.is_finite() || (decimals == 12 && (value.abs() >= 8192.0 || scaled == scaled.trunc())) {
        return value;
    }
    let mut text = [0u8; 400];
    let mut rest = &mut text[..];
    if write!(rest, "{value:.decimals$}").is_err() {
        return value;
    }
    let left = rest.len();
    let used = text.len() - left;
    std::str::from_utf8(&text[..used]).ok().and_then(|t| t.parse().ok()).unwrap_or(value)
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
