//! Text on images: errors, attribution, watermark, the debug source.
//!
//! One font is built in (Latin letters of DejaVu Sans). Text may come from an
//! upstream or a client, so its length, its size and its lines are bounded.

use std::fmt;
use std::sync::LazyLock;

use ab_glyph::{Font, FontArc, FontRef, GlyphId, OutlinedGlyph, PxScale, Rect, ScaleFont, point};

use super::merge;
use super::raster::{Color, Raster};

/// Characters of a text that are looked at.
const TEXT_CHARS_MAX: usize = 4096;
const LINES_MAX: usize = 256;
const SIZE_PX_MIN: f32 = 4.0;
const SIZE_PX_MAX: f32 = 512.0;
/// Between text and edge, and around the text on its ground (MapProxy: 3).
const PADDING_PX: i32 = 3;
/// Between the ink of one line and the next (MapProxy: 5).
const LINE_GAP_PX: f32 = 5.0;

static FONT: LazyLock<Option<FontArc>> = LazyLock::new(|| {
    let built_in = FontRef::try_from_slice(include_bytes!("../../etc/fonts/DejaVuSans-Latin.ttf"));
    built_in.ok().map(FontArc::new)
});

/// A font of the operator's (`globals.image.font_dir`) in place of the one that
/// is built in. Cheap to clone.
#[derive(Clone)]
pub struct Typeface(FontArc);

impl Typeface {
    /// From the bytes of a TrueType or OpenType file.
    ///
    /// # Errors
    /// They are none.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Typeface, String> {
        let font = FontArc::try_from_vec(bytes).map_err(|_| "is no TrueType or OpenType font")?;
        if font.units_per_em().is_none_or(|em| em <= 0.0) {
            return Err("is a font without a size".into());
        }
        Ok(Typeface(font))
    }

    /// The glyphs to draw with.
    fn of(own: Option<&Typeface>) -> Option<&FontArc> {
        own.map(|own| &own.0).or(FONT.as_ref())
    }
}

impl fmt::Debug for Typeface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typeface").field("glyphs", &self.0.glyph_count()).finish()
    }
}

/// Where text or an image is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    UpperLeft,
    UpperRight,
    LowerLeft,
    LowerRight,
    Centre,
}

impl Placement {
    /// The upper left corner of a block of `size` in an image of `room`. A block
    /// that is higher than the image shows its upper end.
    fn corner(self, room: (i32, i32), size: (i32, i32), margin: i32) -> (i32, i32) {
        let right = room.0.saturating_sub(margin).saturating_sub(size.0);
        let low = room.1.saturating_sub(margin).saturating_sub(size.1).max(margin);
        match self {
            Placement::UpperLeft => (margin, margin),
            Placement::UpperRight => (right, margin),
            Placement::LowerLeft => (margin, low),
            Placement::LowerRight => (right, low),
            Placement::Centre => (room.0 / 2 - size.0 / 2, room.1 / 2 - size.1 / 2),
        }
    }
}

#[derive(Clone, Debug)]
pub struct TextStyle {
    pub size_px: f32,
    pub color: Color,
    /// Ground behind the text, if any.
    pub ground: Option<Color>,
    pub placement: Placement,
    /// Between the text and the image's edge.
    pub margin_px: u16,
    /// `None`: the one that is built in.
    pub typeface: Option<Typeface>,
}

impl TextStyle {
    /// An error drawn into an image: 9 pixels, upper left, black or, on a dark
    /// opaque `ground`, white.
    pub fn error(ground: Color, transparent: bool) -> TextStyle {
        let [r, g, b, _] = ground.map(f32::from);
        let dark = r * 0.299 + g * 0.587 + b * 0.114 < 128.0;
        let color = if dark && !transparent { [255; 4] } else { [0, 0, 0, 255] };
        TextStyle {
            size_px: 9.0,
            color,
            ground: None,
            placement: Placement::UpperLeft,
            margin_px: PADDING_PX as u16,
            typeface: None,
        }
    }

    /// Attribution: 10 pixels, lower right, black on half transparent white, or
    /// the reverse.
    pub fn attribution(inverse: bool) -> TextStyle {
        let (color, ground) =
            if inverse { ([255; 4], [0, 0, 0, 100]) } else { ([0, 0, 0, 255], [255, 255, 255, 120]) };
        TextStyle {
            size_px: 10.0,
            color,
            ground: Some(ground),
            placement: Placement::LowerRight,
            margin_px: PADDING_PX as u16,
            typeface: None,
        }
    }
}

/// Draws lines of text. Lines wider than the image go on below; what does not
/// fit is cut off.
pub fn draw_text(raster: &mut Raster, text: &str, style: &TextStyle) {
    let Some(font) = Typeface::of(style.typeface.as_ref()) else { return };
    let letters = Letters::new(font, style.size_px);
    let room = raster.width as f32 - 2.0 * f32::from(style.margin_px);
    let Some(block) = Block::new(&letters, &letters.wrap(text, room)) else { return };
    let (width, height) = (raster.width as i32, raster.height as i32);
    let margin = i32::from(style.margin_px);
    let (x, y) = style.placement.corner((width, height), (block.width, block.height), margin);
    if let Some(ground) = style.ground {
        let from = (x - PADDING_PX, y - PADDING_PX);
        let to = (x + block.width + PADDING_PX, y + block.height + PADDING_PX);
        fill(raster, from, to, ground);
    }
    block.draw(raster, (x, y), style.color);
}

/// An image to be laid over others.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlay {
    raster: Raster,
    placement: Placement,
    margin_px: u16,
}

impl Overlay {
    /// `opacity`: 0.0–1.0, on top of the image's own.
    pub fn new(mut raster: Raster, placement: Placement, margin_px: u16, opacity: f32) -> Overlay {
        let share = if opacity.is_finite() { opacity.clamp(0.0, 1.0) } else { 1.0 };
        if share < 1.0 {
            for pixel in raster.pixels.chunks_exact_mut(4) {
                pixel[3] = (f32::from(pixel[3]) * share).round() as u8;
            }
            raster.opaque = false;
        }
        Overlay { raster, placement, margin_px }
    }
}

/// Lays the image over another; what does not fit is cut off.
pub fn draw_overlay(raster: &mut Raster, overlay: &Overlay) {
    let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let room = (side(raster.width), side(raster.height));
    let size = (side(overlay.raster.width), side(overlay.raster.height));
    let corner = overlay.placement.corner(room, size, i32::from(overlay.margin_px));
    merge::over(raster, &overlay.raster, corner, None);
}

/// Who made the map, as it is written on it.
#[derive(Clone, Debug)]
pub struct Attribution {
    pub text: String,
    /// `None`: the one that is built in.
    pub typeface: Option<Typeface>,
}

/// A watermark on one tile of a meta tile or map (mapproxy-features.md §4.1 `watermark`).
#[derive(Clone, Debug)]
pub struct Watermark {
    pub text: String,
    /// 0–255.
    pub opacity: u8,
    pub font_size_px: f32,
    pub color: Color,
    /// `spacing: wide`: on every other tile only.
    pub wide: bool,
    /// `None`: the one that is built in.
    pub typeface: Option<Typeface>,
}

/// Draws the watermark on a tile whose column and row are given. As in
/// MapProxy it stands in the middle of the tiles of even rows and across the
/// sides of those of odd rows; wide, in the middle of every other tile.
pub fn draw_watermark(raster: &mut Raster, mark: &Watermark, tile_xy: (i64, i64)) {
    let (odd_column, odd_row) = (tile_xy.0.rem_euclid(2) == 1, tile_xy.1.rem_euclid(2) == 1);
    if mark.wide && odd_column == odd_row {
        return;
    }
    let Some(font) = Typeface::of(mark.typeface.as_ref()) else { return };
    let letters = Letters::new(font, mark.font_size_px);
    let lines: Vec<String> = mark.text.lines().take(LINES_MAX).map(letters.cleaner()).collect();
    let Some(block) = Block::new(&letters, &lines) else { return };
    let [r, g, b, _] = mark.color;
    let color = [r, g, b, mark.opacity];
    let (width, height) = (raster.width as i32, raster.height as i32);
    let y = height / 2 - block.height / 2;
    if mark.wide || !odd_row {
        block.draw(raster, (width / 2 - block.width / 2, y), color);
    } else {
        block.draw(raster, (-block.width / 2, y), color);
        block.draw(raster, (width - block.width / 2, y), color);
    }
}

/// The font at one size.
struct Letters<'a> {
    font: &'a FontArc,
    scale: PxScale,
}

impl<'a> Letters<'a> {
    /// `size_px`: of the em square, as Pillow counts.
    fn new(font: &'a FontArc, size_px: f32) -> Letters<'a> {
        let size_px = if size_px.is_finite() { size_px.clamp(SIZE_PX_MIN, SIZE_PX_MAX) } else { SIZE_PX_MIN };
        let em = font.units_per_em().unwrap_or(1000.0);
        Letters { font, scale: PxScale::from(size_px * font.height_unscaled() / em) }
    }

    /// Makes a line of letters only: what controls a terminal has no place here.
    fn cleaner(&self) -> impl Fn(&str) -> String + use<> {
        |line| {
            let plain = |c: char| if c.is_control() || c.is_whitespace() { ' ' } else { c };
            line.chars().take(TEXT_CHARS_MAX).map(plain).collect()
        }
    }

    fn advance(&self, glyph: GlyphId) -> f32 {
        self.font.as_scaled(self.scale).h_advance(glyph)
    }

    fn width(&self, text: &str) -> f32 {
        text.chars().map(|c| self.advance(self.font.glyph_id(c))).sum()
    }

    /// Lines no wider than `room_px`: broken between words where possible.
    fn wrap(&self, text: &str, room_px: f32) -> Vec<String> {
        let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
        let mut lines = Vec::new();
        for line in text.lines().map(self.cleaner()) {
            let mut open = String::new();
            let mut open_px = 0.0;
            for word in line.split_inclusive(' ') {
                let word_px = self.width(word.trim_end());
                if open_px > 0.0 && open_px + word_px > room_px {
                    lines.push(std::mem::take(&mut open));
                    open_px = 0.0;
                }
                open.push_str(word);
                open_px += self.width(word);
            }
            lines.push(open);
            if lines.len() >= LINES_MAX {
                lines.truncate(LINES_MAX);
                break;
            }
        }
        lines
    }

    /// The outlines of a line whose baseline is at `y`.
    fn outline(&self, line: &str, y: f32) -> Vec<OutlinedGlyph> {
        let mut x = 0.0;
        let mut outlines = Vec::new();
        for character in line.chars() {
            let id = self.font.glyph_id(character);
            let glyph = id.with_scale_and_position(self.scale, point(x, y));
            outlines.extend(self.font.outline_glyph(glyph));
            x += self.advance(id);
        }
        outlines
    }
}

/// Lines of outlines, and the rectangle of their ink, in whole pixels.
struct Block {
    outlines: Vec<OutlinedGlyph>,
    left: i32,
    top: i32,
    width: i32,
    height: i32,
}

impl Block {
    /// `None` where there is no ink.
    fn new(letters: &Letters, lines: &[String]) -> Option<Block> {
        let ascent = letters.font.as_scaled(letters.scale).ascent().round();
        let mut top = 0.0;
        let mut ink: Option<Rect> = None;
        let mut outlines = Vec::new();
        for line in lines {
            let outlined = letters.outline(line, top + ascent);
            let bounds = outlined.iter().map(OutlinedGlyph::px_bounds).reduce(union);
            top = bounds.map_or(top + ascent, |bounds| bounds.max.y) + LINE_GAP_PX;
            ink = ink.into_iter().chain(bounds).reduce(union);
            outlines.extend(outlined);
        }
        let ink = ink?;
        let (left, top) = (ink.min.x.floor() as i32, ink.min.y.floor() as i32);
        let (width, height) = (ink.max.x.ceil() as i32 - left, ink.max.y.ceil() as i32 - top);
        Some(Block { outlines, left, top, width, height })
    }

    /// Draws with the upper left corner of the ink at `at`.
    fn draw(&self, raster: &mut Raster, at: (i32, i32), color: Color) {
        let (width, height) = (i64::from(raster.width), i64::from(raster.height));
        for outline in &self.outlines {
            let bounds = outline.px_bounds();
            let x0 = i64::from(bounds.min.x as i32) + i64::from(at.0) - i64::from(self.left);
            let y0 = i64::from(bounds.min.y as i32) + i64::from(at.1) - i64::from(self.top);
            let beyond = x0 >= width || y0 >= height;
            if beyond || x0 + (bounds.width() as i64) < 0 || y0 + (bounds.height() as i64) < 0 {
                continue;
            }
            outline.draw(|x, y, share| {
                let (x, y) = (x0 + i64::from(x), y0 + i64::from(y));
                if (0..width).contains(&x) && (0..height).contains(&y) {
                    let alpha = (share.clamp(0.0, 1.0) * f32::from(color[3])).round() as u8;
                    let start = (y * width + x) as usize * 4;
                    merge::tint(&mut raster.pixels[start..start + 4], color, alpha);
                }
            });
        }
    }
}

fn union(a: Rect, b: Rect) -> Rect {
    Rect {
        min: point(a.min.x.min(b.min.x), a.min.y.min(b.min.y)),
        max: point(a.max.x.max(b.max.x), a.max.y.max(b.max.y)),
    }
}

/// Lays a colour over a rectangle, as much of it as lies in the image.
fn fill(raster: &mut Raster, from: (i32, i32), to: (i32, i32), color: Color) {
    let span = |from: i32, to: i32, side: u32| {
        let clamp = |at: i32| i64::from(at).clamp(0, i64::from(side)) as usize;
        clamp(from)..clamp(to)
    };
    let columns = span(from.0, to.0, raster.width);
    for y in span(from.1, to.1, raster.height) {
        let row = y * raster.width as usize;
        for x in columns.clone() {
            let start = (row + x) * 4;
            merge::tint(&mut raster.pixels[start..start + 4], color, color[3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(raster: &Raster, ground: Color) -> Option<(u32, u32, u32, u32)> {
        let places = (0..raster.height).flat_map(|y| (0..raster.width).map(move |x| (x, y)));
        places.filter(|&(x, y)| raster.pixel(x, y) != ground).fold(None, |area, (x, y)| {
            let (x0, y0, x1, y1) = area.unwrap_or((x, y, x, y));
            Some((x0.min(x), y0.min(y), x1.max(x), y1.max(y)))
        })
    }

    #[test]
    fn the_font_has_the_letters() {
        let font = FONT.as_ref().expect("the built-in font is sound");
        for letter in "AzÄöüßéñçŁőŞț©–€→".chars() {
            assert_ne!(font.glyph_id(letter).0, 0, "{letter}");
        }
    }

    #[test]
    fn a_typeface_of_ones_own_is_drawn_with() {
        let bytes = include_bytes!("../../etc/fonts/DejaVuSans-Latin.ttf").to_vec();
        let own = Typeface::from_bytes(bytes.clone()).unwrap();
        let drawn = |typeface| {
            let mut raster = Raster::filled(60, 30, [255; 4]);
            draw_text(&mut raster, "Aa", &TextStyle { typeface, ..TextStyle::attribution(false) });
            raster.pixels
        };
        assert!(drawn(Some(own)) == drawn(None), "the same letters are the same pixels");
        for bytes in [Vec::new(), b"no font".to_vec(), bytes[..bytes.len() / 8].to_vec()] {
            assert!(Typeface::from_bytes(bytes).is_err());
        }
    }

    #[test]
    fn text_stands_where_it_is_put() {
        const WHITE: Color = [255; 4];
        let black = |placement| TextStyle {
            size_px: 12.0,
            color: [0, 0, 0, 255],
            ground: None,
            placement,
            margin_px: 3,
            typeface: None,
        };
        let drawn = |placement| {
            let mut raster = Raster::filled(200, 100, WHITE);
            draw_text(&mut raster, "Hxgq", &black(placement));
            ink(&raster, WHITE).unwrap()
        };
        let (x0, y0, x1, y1) = drawn(Placement::UpperLeft);
        assert!((3..=4).contains(&x0) && (3..=4).contains(&y0) && x1 < 40 && y1 < 20);
        let (x0, y0, x1, y1) = drawn(Placement::LowerRight);
        assert!(x0 > 160 && y0 > 80 && (195..=197).contains(&x1) && (95..=97).contains(&y1));
        let (x0, y0, x1, y1) = drawn(Placement::UpperRight);
        assert!(x0 > 160 && (3..=4).contains(&y0) && (195..=197).contains(&x1) && y1 < 20);
        let (x0, y0, x1, y1) = drawn(Placement::LowerLeft);
        assert!((3..=4).contains(&x0) && y0 > 80 && x1 < 40 && (95..=97).contains(&y1));
        let (x0, y0, x1, y1) = drawn(Placement::Centre);
        assert!((x0 + x1).abs_diff(200) <= 3 && (y0 + y1).abs_diff(100) <= 3);
    }

    #[test]
    fn a_long_line_goes_on_below() {
        let mut raster = Raster::filled(120, 120, [0; 4]);
        draw_text(&mut raster, &"some words ".repeat(9), &TextStyle::error([255; 4], true));
        let (_, _, x1, y1) = ink(&raster, [0; 4]).unwrap();
        assert!(x1 < 120 && y1 > 40);
    }

    #[test]
    fn hostile_text_is_cut() {
        let mut raster = Raster::filled(40, 20, [255; 4]);
        for text in ["", "\n\n", "\0\u{1b}[31m", &"M".repeat(100_000), &"a\n".repeat(10_000)] {
            draw_text(&mut raster, text, &TextStyle::attribution(false));
        }
        let huge = TextStyle { size_px: f32::INFINITY, ..TextStyle::error([0; 4], false) };
        draw_text(&mut raster, "x", &huge);
        draw_text(&mut Raster::filled(0, 0, [0; 4]), "x", &huge);
        assert_eq!(raster.pixels.len(), 40 * 20 * 4);
    }

    #[test]
    fn images_are_laid_over_with_their_opacity() {
        let mark = |opacity| {
            Overlay::new(Raster::filled(10, 6, [200, 0, 0, 255]), Placement::LowerRight, 4, opacity)
        };
        let mut raster = Raster::filled(40, 30, [0, 0, 0, 255]);
        draw_overlay(&mut raster, &mark(1.0));
        assert_eq!(ink(&raster, [0, 0, 0, 255]), Some((26, 20, 35, 25)));
        let mut raster = Raster::filled(40, 30, [0, 0, 0, 255]);
        draw_overlay(&mut raster, &mark(0.5));
        assert_eq!((raster.pixel(30, 22), raster.opaque), ([100, 0, 0, 255], true));
        // Larger than the picture: its upper left part shows.
        let mut raster = Raster::filled(8, 5, [0; 4]);
        draw_overlay(&mut raster, &mark(1.0));
        assert_eq!((raster.pixel(3, 4), raster.pixel(3, 3)), ([200, 0, 0, 255], [0; 4]));
    }

    #[test]
    fn watermarks_alternate() {
        let mark = |wide| Watermark {
            text: "mark".into(),
            opacity: 30,
            font_size_px: 24.0,
            color: [128, 128, 128, 255],
            wide,
            typeface: None,
        };
        let columns = |wide, tile| {
            let mut raster = Raster::filled(256, 256, [0, 0, 0, 255]);
            draw_watermark(&mut raster, &mark(wide), tile);
            assert!(raster.pixels.chunks(4).all(|p| p[0] <= 16 && p[3] == 255));
            ink(&raster, [0, 0, 0, 255]).map(|(x0, _, x1, _)| (x0, x1))
        };
        let middle = columns(false, (1, 0)).unwrap();
        assert!(middle.0 > 80 && middle.1 < 176);
        let (x0, x1) = columns(false, (1, 1)).unwrap();
        assert!(x0 == 0 && x1 > 250);
        assert_eq!(columns(true, (1, 1)), None);
        assert_eq!(columns(true, (0, 1)), Some(middle));
    }
}
