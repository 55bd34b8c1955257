//! A map drawn from a mosaic: integer crop, scaling, or reprojection.
//!
//! Own core. Positions stay within 0.25 pixel of PROJ; the scalar sampler is
//! the definition, SIMD equals it bit by bit. Kernels, edge rule and cut of
//! fractions are those of Pillow's `transform`: a pixel is drawn when its
//! centre lies in the source, neighbours beyond the edge repeat it.

mod mesh;
mod reproject;
mod scale;

use std::sync::Arc;

use super::mosaic::Mosaic;
use super::raster::{Kernel, Raster};
use super::simd::Support;
use crate::geo::{Extent, Srs};

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Target {
    pub extent: Extent,
    pub size: (u32, u32),
    pub srs: Srs,
}

/// Draws `target` from `source`, whose whole pixel area covers
/// `source_extent` in `source_srs`. Pixels that `source` does not cover are
/// transparent. The caller has checked the size of the target.
pub fn draw(
    source: &Mosaic,
    source_extent: &Extent,
    source_srs: &Srs,
    target: &Target,
    kernel: Kernel,
) -> Raster {
    let (width, height) = target.size;
    let (source_width, source_height) = source.size();
    let drawable = source_extent.is_valid() && target.extent.is_valid();
    if !drawable || width == 0 || height == 0 || source_width == 0 || source_height == 0 {
        return Raster::filled(width, height, [0; 4]);
    }
    if *source_srs != target.srs {
        let to_source = |points: &mut [[f64; 2]]| {
            target.srs.transform_points(source_srs, points);
        };
        return reproject::draw(source, source_extent, target, kernel, &to_source);
    }
    let part = Part::new(source, source_extent, &target.extent);
    if let Some((x, y)) = part.aligned(source_extent, (source_width, source_height), target) {
        return source.crop(x, y, width, height);
    }
    scale::draw(source, &part, target.size, kernel)
}

/// The whole of `source` on `size` pixels. The caller has checked the size.
pub fn stretch(source: Raster, size: (u32, u32), kernel: Kernel) -> Raster {
    let source = Mosaic::single(Arc::new(source));
    let (width, height) = source.size();
    if size.0 == 0 || size.1 == 0 || width == 0 || height == 0 {
        return Raster::filled(size.0, size.1, [0; 4]);
    }
    let whole = Part { x0: 0.0, y0: 0.0, x1: f64::from(width), y1: f64::from(height) };
    scale::draw(&source, &whole, size, kernel)
}

/// The target's rectangle in pixels of the source.
#[derive(Clone, Copy, Debug)]
struct Part {
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
}

impl Part {
    fn new(source: &Mosaic, source_extent: &Extent, extent: &Extent) -> Part {
        let (width, height) = source.size();
        let per_x = f64::from(width) / source_extent.width();
        let per_y = f64::from(height) / source_extent.height();
        Part {
            x0: (extent.min_x - source_extent.min_x) * per_x,
            y0: (source_extent.max_y - extent.max_y) * per_y,
            x1: (extent.max_x - source_extent.min_x) * per_x,
            y1: (source_extent.max_y - extent.min_y) * per_y,
        }
    }

    /// Where the target begins in whole source pixels, if both have the same
    /// resolution. MapProxy's rule: the difference, added up over the whole
    /// target, is less than a tenth of a pixel; or both are the same area.
    fn aligned(
        &self,
        source_extent: &Extent,
        source_size: (u32, u32),
        target: &Target,
    ) -> Option<(i64, i64)> {
        let (width, height) = (f64::from(target.size.0), f64::from(target.size.1));
        let target_res = (target.extent.width() / width, target.extent.height() / height);
        let source_res = (
            source_extent.width() / f64::from(source_size.0),
            source_extent.height() / f64::from(source_size.1),
        );
        let near = |a: f64, b: f64, limit: f64| (a - b).abs() < limit;
        let same_resolution = near(source_res.0, target_res.0, target_res.0 / (width * 10.0))
            && near(source_res.1, target_res.1, target_res.1 / (height * 10.0));
        let same_area = source_size == target.size
            && source_extent
                .to_array()
                .iter()
                .zip(target.extent.to_array())
                .zip([target_res.0, target_res.1, target_res.0, target_res.1])
                .all(|((&a, b), res)| near(a, b, res / 10.0));
        if same_area {
            return Some((0, 0));
        }
        // A cast of a float saturates, so a target far away stays far away.
        same_resolution.then(|| (self.x0.round_ties_even() as i64, self.y0.round_ties_even() as i64))
    }
}

/// The neighbours that a kernel looks at; `None` for the nearest pixel alone.
fn support(kernel: Kernel) -> Option<Support> {
    match kernel {
        Kernel::Nearest => None,
        Kernel::Bilinear => Some(Support::Two),
        Kernel::Bicubic => Some(Support::Four),
    }
}

#[cfg(test)]
mod tests;
