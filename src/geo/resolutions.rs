//! The list of resolutions of a grid, from what the configuration says
//! (mapproxy-features.md §3.2). The mathematics of tiles is in [`super::grid`].

use std::f64::consts::SQRT_2;

use super::extent::Extent;
use super::grid::{GridError, GridOptions, round_decimals};

/// The most levels that a grid may have.
pub const LEVELS_MAX: usize = 256;

/// Levels where the configuration does not say how many.
const LEVELS_DEFAULT: u32 = 20;

/// The same for steps of √2, which reach as deep in twice as many.
const LEVELS_DEFAULT_SQRT2: u32 = 40;

/// The resolutions of a grid, from coarse to fine.
pub(super) fn from_options(
    options: &GridOptions,
    extent: &Extent,
    tile_size: (u32, u32),
) -> Result<Vec<f64>, GridError> {
    let list = match (&options.res, &options.align_with) {
        (Some(list), align) if !list.is_empty() => {
            if options.min_res.is_some() || options.max_res.is_some() || align.is_some() {
                return refuse("res excludes min_res, max_res and align_resolutions_with");
            }
            let mut list = list.clone();
            list.sort_by(|a, b| b.total_cmp(a));
            list
        }
        (_, Some(with)) => aligned(options, with, coarsest(options, extent, tile_size))?,
        _ => pyramid(options, coarsest(options, extent, tile_size))?,
    };
    if list.is_empty() || list.len() > LEVELS_MAX {
        return refuse(&format!("a grid has between 1 and {LEVELS_MAX} levels, not {}", list.len()));
    }
    match list.iter().find(|r| !r.is_finite() || **r <= 0.0) {
        Some(bad) => refuse(&format!("a resolution must be a positive number, not {bad}")),
        None => Ok(list),
    }
}

fn refuse<T>(reason: &str) -> Result<T, GridError> {
    Err(GridError::Options(reason.to_string()))
}

/// A number that counts as given: MapProxy reads 0 as "not given".
fn given(value: Option<f64>) -> Option<f64> {
    value.filter(|v| *v != 0.0)
}

/// The resolution of level 0 unless told otherwise: the whole extent in one tile.
fn coarsest(options: &GridOptions, extent: &Extent, tile_size: (u32, u32)) -> f64 {
    given(options.min_res).unwrap_or_else(|| {
        (extent.width() / f64::from(tile_size.0)).max(extent.height() / f64::from(tile_size.1))
    })
}

fn pyramid(options: &GridOptions, coarsest: f64) -> Result<Vec<f64>, GridError> {
    let factor = options.res_factor.unwrap_or(2.0);
    let levels = options.num_levels.filter(|n| *n != 0);
    if levels.is_some_and(|n| n as usize > LEVELS_MAX) {
        return refuse(&format!("num_levels must be at most {LEVELS_MAX}"));
    }
    match (given(options.max_res), levels) {
        (Some(finest), Some(levels)) => logarithmic(coarsest, finest, levels),
        (finest, levels) => {
            if !(factor.is_finite() && factor > 1.0) {
                return refuse(&format!("res_factor must be greater than 1, not {factor}"));
            }
            if let Some(finest) = finest {
                return down_to(coarsest, finest, factor);
            }
            let default = if factor == SQRT_2 { LEVELS_DEFAULT_SQRT2 } else { LEVELS_DEFAULT };
            let levels = levels.unwrap_or(default) as usize;
            Ok(std::iter::successors(Some(coarsest), |r| Some(r / factor)).take(levels).collect())
        }
    }
}

/// Levels from `coarsest` to `finest`, both included, in equal ratios.
fn logarithmic(coarsest: f64, finest: f64, levels: u32) -> Result<Vec<f64>, GridError> {
    if levels < 2 {
        return refuse("min_res with max_res needs at least 2 levels");
    }
    let step = (coarsest.log10() - finest.log10()) / f64::from(levels - 1);
    Ok((0..levels).map(|i| 10f64.powf(coarsest.log10() - step * f64::from(i))).collect())
}

/// Levels from `coarsest` on, as long as they stay coarser than `finest`.
fn down_to(coarsest: f64, finest: f64, factor: f64) -> Result<Vec<f64>, GridError> {
    if finest.is_nan() || finest < 0.0 {
        return refuse(&format!("max_res must be a positive number, not {finest}"));
    }
    let mut list = vec![coarsest];
    let mut next = coarsest / factor;
    while finest < next {
        if list.len() == LEVELS_MAX {
            return refuse(&format!("max_res {finest} needs more than {LEVELS_MAX} levels"));
        }
        list.push(next);
        next /= factor;
    }
    Ok(list)
}

/// The resolutions of another grid between the ends of this one. Where this
/// grid steps by √2 and the other by 2, the steps between are added; the other
/// way round they are left out.
fn aligned(options: &GridOptions, with: &[f64], coarsest: f64) -> Result<Vec<f64>, GridError> {
    let finest = given(options.max_res);
    let mut list: Vec<f64> =
        with.iter().copied().filter(|r| *r <= coarsest && finest.is_none_or(|f| *r >= f)).collect();
    if let Some(levels) = options.num_levels.filter(|n| *n != 0) {
        list.truncate(levels as usize);
    }
    let [first, second, ..] = list[..] else {
        return refuse("fewer than two resolutions of the other grid lie between min_res and max_res");
    };
    let step = round_decimals(first / second, 8);
    let sqrt2 = round_decimals(SQRT_2, 8);
    match options.res_factor.unwrap_or(2.0) {
        SQRT_2 if step == 2.0 => Ok(list.iter().flat_map(|r| [*r, r / SQRT_2]).collect()),
        2.0 if step == sqrt2 => Ok(list.into_iter().step_by(2).collect()),
        _ => Ok(list),
    }
}
