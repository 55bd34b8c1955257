//! Colours counted and reduced to a palette.
//!
//! An image of few colours keeps them exactly. Of more, colours that share
//! the high bits of their channels are put in one cell, and the cells are
//! divided into as many boxes as the palette has room for: first so that no
//! box is wide (which bounds the error of rare colours), then always the box
//! with the largest error. A cell knows its box, so pixels become indices by
//! one table look-up.

mod boxes;

use std::cell::RefCell;

use super::raster::{Color, Quantizer, Raster};
use boxes::Point;

/// A palette image.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed {
    pub width: u32,
    pub height: u32,
    /// At most 256 colours.
    pub palette: Vec<Color>,
    /// One byte a pixel.
    pub indices: Vec<u8>,
}

/// An exact palette where at most `colors` (1–256) are used, else a reduced
/// one. Fully transparent pixels count as one colour.
pub fn quantize(raster: &Raster, colors: u16, _quantizer: Quantizer) -> Indexed {
    let colors = usize::from(colors.clamp(1, 256));
    let pixels = raster.pixels.as_chunks::<4>().0;
    let mut indices = vec![0; pixels.len()];
    let palette = exact_palette(pixels, colors, &mut indices).unwrap_or_else(|| {
        TABLES.with_borrow_mut(|tables| {
            if raster.has_alpha() {
                tables.reduce::<Translucent>(pixels, colors, &mut indices)
            } else {
                tables.reduce::<Opaque>(pixels, colors, &mut indices)
            }
        })
    });
    Indexed { width: raster.width, height: raster.height, palette, indices }
}

/// The colours in order of first sight, or nothing where there are more than `limit` (≤ 256).
fn exact_palette(pixels: &[Color], limit: usize, indices: &mut [u8]) -> Option<Vec<Color>> {
    const SLOTS_BITS: u32 = 10;
    const SLOTS: usize = 1 << SLOTS_BITS;
    let mut keys = [0u32; SLOTS];
    // Index + 1; 0: free.
    let mut ids = [0u16; SLOTS];
    let mut palette: Vec<Color> = Vec::with_capacity(limit);
    let (mut last, mut last_id) = (None, 0);
    for (pixel, index) in pixels.iter().zip(indices) {
        let color = if pixel[3] == 0 { 0 } else { u32::from_le_bytes(*pixel) };
        if last == Some(color) {
            *index = last_id;
            continue;
        }
        let mut slot = (color.wrapping_mul(0x9E37_79B1) >> (32 - SLOTS_BITS)) as usize;
        while ids[slot] != 0 && keys[slot] != color {
            slot = (slot + 1) % SLOTS;
        }
        if ids[slot] == 0 {
            if palette.len() == limit {
                return None;
            }
            palette.push(color.to_le_bytes());
            (keys[slot], ids[slot]) = (color, palette.len() as u16);
        }
        (last, last_id) = (Some(color), (ids[slot] - 1) as u8);
        *index = last_id;
    }
    Some(palette)
}

const CELLS: usize = 1 << 15;

/// Scratch of a thread: which cell has which place in the list of used cells,
/// later which palette index.
struct Tables {
    places: Box<[u16; CELLS]>,
    lookup: Box<[u8; CELLS]>,
}

thread_local! {
    static TABLES: RefCell<Tables> =
        RefCell::new(Tables { places: Box::new([0; CELLS]), lookup: Box::new([0; CELLS]) });
}

/// How colours share cells, and what is summed up in one.
trait Cell: Copy + Default {
    /// Below `CELLS`.
    fn key(color: Color) -> usize;
    fn add(&mut self, color: Color);
    /// The mean of the cell's colours and their number.
    fn point(&self, key: usize) -> Point;
}

/// Five bits a channel. Only the low bits are summed, so that 32 bits suffice.
#[derive(Clone, Copy, Default)]
struct Opaque {
    count: u32,
    low: [u32; 3],
}

impl Cell for Opaque {
    #[inline(always)]
    fn key([r, g, b, _]: Color) -> usize {
        usize::from(r >> 3) << 10 | usize::from(g >> 3) << 5 | usize::from(b >> 3)
    }
    #[inline(always)]
    fn add(&mut self, [r, g, b, _]: Color) {
        self.count += 1;
        self.low[0] += u32::from(r & 7);
        self.low[1] += u32::from(g & 7);
        self.low[2] += u32::from(b & 7);
    }
    fn point(&self, key: usize) -> Point {
        let mean = |channel: usize| {
            let high = (key >> (10 - 5 * channel) & 31) << 3;
            high as f32 + self.low[channel] as f32 / self.count as f32
        };
        Point { weight: self.count as f32, color: [mean(0), mean(1), mean(2), 255.0], key: key as u16 }
    }
}

/// Four bits a colour, three of alpha; colours are summed up premultiplied,
/// as they are seen.
#[derive(Clone, Copy, Default)]
struct Translucent {
    count: u64,
    sums: [u64; 4],
}

impl Cell for Translucent {
    #[inline(always)]
    fn key([r, g, b, a]: Color) -> usize {
        let key = usize::from(r >> 4) << 11
            | usize::from(g >> 4) << 7
            | usize::from(b >> 4) << 3
            | usize::from(a >> 5);
        if a == 0 { 0 } else { key }
    }
    #[inline(always)]
    fn add(&mut self, [r, g, b, a]: Color) {
        let a = u64::from(a);
        self.count += 1;
        self.sums[0] += u64::from(r) * a;
        self.sums[1] += u64::from(g) * a;
        self.sums[2] += u64::from(b) * a;
        self.sums[3] += a;
    }
    fn point(&self, key: usize) -> Point {
        let mean = |channel: usize| (self.sums[channel] as f64 / self.count as f64) as f32;
        let color = [mean(0) / 255.0, mean(1) / 255.0, mean(2) / 255.0, mean(3)];
        Point { weight: self.count as f32, color, key: key as u16 }
    }
}

impl Tables {
    fn reduce<C: Cell>(&mut self, pixels: &[Color], colors: usize, indices: &mut [u8]) -> Vec<Color> {
        self.places.fill(0);
        let mut keys: Vec<u16> = Vec::with_capacity(1024);
        let mut cells: Vec<C> = Vec::with_capacity(1024);
        for &pixel in pixels {
            let key = C::key(pixel) % CELLS;
            let mut place = usize::from(self.places[key]);
            if place == 0 {
                keys.push(key as u16);
                cells.push(C::default());
                place = cells.len();
                self.places[key] = place as u16;
            }
            cells[place - 1].add(pixel);
        }
        let mut points: Vec<Point> =
            cells.iter().zip(&keys).map(|(cell, &key)| cell.point(usize::from(key))).collect();
        let palette = boxes::divide(&mut points, colors, |key, index| self.lookup[usize::from(key)] = index);
        for (pixel, index) in pixels.iter().zip(indices) {
            *index = self.lookup[C::key(*pixel) % CELLS];
        }
        palette
    }
}
