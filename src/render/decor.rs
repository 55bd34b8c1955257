//! Text on images: errors, attribution, watermark, the debug source.

use super::raster::{Color, Raster};

/// Where text is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    UpperLeft,
    LowerRight,
    Centre,
}

#[derive(Clone, Debug)]
pub struct TextStyle {
    pub size_px: f32,
    pub color: Color,
    /// Ground behind the text, if any.
    pub ground: Option<Color>,
    pub placement: Placement,
}

/// Draws lines of text. Cuts what does not fit.
pub fn draw_text(_raster: &mut Raster, _text: &str, _style: &TextStyle) {
    todo!()
}

/// A watermark on one tile of a meta tile or map (mapproxy-features.md §4.1 `watermark`).
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    pub text: String,
    /// 0–255.
    pub opacity: u8,
    pub font_size_px: f32,
    pub color: Color,
    /// `spacing: wide`: on every other tile only.
    pub wide: bool,
}

/// Draws the watermark on a tile whose column and row are given.
pub fn draw_watermark(_raster: &mut Raster, _mark: &Watermark, _tile_xy: (i64, i64)) {
    todo!()
}
