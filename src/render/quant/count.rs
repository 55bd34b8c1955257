//! Which colours an image has, and how often: exactly up to some thousand,
//! in cells beyond.

use std::cell::RefCell;

use super::boxes::Point;
use crate::render::raster::Color;

/// More distinct colours than this are counted in cells.
const COLORS_MAX: usize = 8 * 1024;
const SLOTS_BITS: u32 = 15;
const SLOTS: usize = 1 << SLOTS_BITS;

/// Counting exactly is given up where more than one pixel in this many shows a new colour …
const NEW_EVERY: usize = 16;
/// … beyond the first few.
const NEW_FREE: usize = 768;

const CELLS: usize = 1 << 15;

/// Scratch larger than this is given back after use.
const SCRATCH_KEPT_PIXELS: usize = 512 * 1024;

/// Scratch of a thread.
pub(super) struct Tables {
    /// Hash table: colours, and their place in `colors` + 1; 0 is a free slot.
    slot_colors: Box<[u32; SLOTS]>,
    slot_places: Box<[u16; SLOTS]>,
    colors: Vec<u32>,
    counts: Vec<u32>,
    /// Of each pixel, the place of its colour.
    places: Vec<u16>,
    /// Of each place or cell, the palette index.
    assigned: Box<[u8; CELLS]>,
}

thread_local! {
    static TABLES: RefCell<Tables> = RefCell::new(Tables {
        slot_colors: zeros(),
        slot_places: zeros(),
        colors: Vec::new(),
        counts: Vec::new(),
        places: Vec::new(),
        assigned: zeros(),
    });
}

/// Made on the heap: threads that wait for sources have small stacks.
fn zeros<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    match vec![T::default(); N].try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("the vector has N elements"),
    }
}

pub(super) fn with_tables<T>(work: impl FnOnce(&mut Tables) -> T) -> T {
    TABLES.with_borrow_mut(|tables| {
        let result = work(tables);
        if tables.places.capacity() > SCRATCH_KEPT_PIXELS {
            tables.places = Vec::new();
        }
        result
    })
}

impl Tables {
    /// Finds the place of every pixel's colour; false where there are too
    /// many colours, or where new ones keep coming.
    pub(super) fn index_exactly(&mut self, pixels: &[Color]) -> bool {
        const BLOCK: usize = 1024;
        self.slot_places.fill(0);
        self.colors.clear();
        self.counts.clear();
        self.places.clear();
        self.places.reserve(pixels.len());
        for (number, block) in pixels.chunks(BLOCK).enumerate() {
            self.index_block(block);
            let seen = number * BLOCK + block.len();
            if self.colors.len() > (NEW_FREE + seen / NEW_EVERY).min(COLORS_MAX) {
                return false;
            }
        }
        true
    }

    fn index_block(&mut self, block: &[Color]) {
        let (mut last, mut last_place, mut run) = (0, 0, 0);
        let (colors, counts) = (&mut self.colors, &mut self.counts);
        let (slot_colors, slot_places) = (&mut *self.slot_colors, &mut *self.slot_places);
        self.places.extend(block.iter().map(|pixel| {
            let color = if pixel[3] == 0 { 0 } else { u32::from_le_bytes(*pixel) };
            if color == last && run > 0 {
                run += 1;
                return last_place;
            }
            if run > 0 {
                counts[usize::from(last_place)] += run;
            }
            let mut slot = (color.wrapping_mul(0x9E37_79B1) >> (32 - SLOTS_BITS)) as usize;
            while slot_places[slot] != 0 && slot_colors[slot] != color {
                slot = (slot + 1) % SLOTS;
            }
            if slot_places[slot] == 0 {
                colors.push(color);
                counts.push(0);
                // At most COLORS_MAX and one block more.
                (slot_colors[slot], slot_places[slot]) = (color, colors.len() as u16);
            }
            (last, last_place, run) = (color, slot_places[slot] - 1, 1);
            last_place
        }));
        if run > 0 {
            counts[usize::from(last_place)] += run;
        }
    }

    /// The colours in the order in which they were met, as little-endian RGBA.
    pub(super) fn colors(&self) -> &[u32] {
        &self.colors
    }

    /// Each colour as a point, its place as key.
    pub(super) fn points(&self) -> Vec<Point> {
        let of = |(place, (color, count)): (usize, (&u32, &u32))| {
            let [r, g, b, a] = color.to_le_bytes().map(f32::from);
            let seen = |v: f32| v * a / 255.0;
            Point { weight: *count as f32, color: [seen(r), seen(g), seen(b), a], key: place as u16 }
        };
        self.colors.iter().zip(&self.counts).enumerate().map(of).collect()
    }

    pub(super) fn assign(&mut self, key: u16, index: u8) {
        self.assigned[usize::from(key) % CELLS] = index;
    }

    /// The places themselves; there are at most 256 colours.
    pub(super) fn write_places(&self, indices: &mut [u8]) {
        for (index, place) in indices.iter_mut().zip(&self.places) {
            *index = *place as u8;
        }
    }

    /// What was assigned to the places.
    pub(super) fn write_assigned(&self, indices: &mut [u8]) {
        for (index, place) in indices.iter_mut().zip(&self.places) {
            *index = self.assigned[usize::from(*place) % CELLS];
        }
    }

    /// The used cells as points, with their cell number as key.
    pub(super) fn count_cells<C: Cell>(&mut self, pixels: &[Color]) -> Vec<Point> {
        let places = &mut self.slot_places;
        places.fill(0);
        let mut keys: Vec<u16> = Vec::with_capacity(1024);
        let mut cells: Vec<C> = Vec::with_capacity(1024);
        for &pixel in pixels {
            let key = C::key(pixel) % CELLS;
            let mut place = usize::from(places[key]);
            if place == 0 {
                keys.push(key as u16);
                cells.push(C::default());
                place = cells.len();
                places[key] = place as u16;
            }
            cells[place - 1].add(pixel);
        }
        cells.iter().zip(&keys).map(|(cell, &key)| cell.point(usize::from(key))).collect()
    }

    /// What was assigned to the cells.
    pub(super) fn write_cells<C: Cell>(&self, pixels: &[Color], indices: &mut [u8]) {
        for (index, pixel) in indices.iter_mut().zip(pixels) {
            *index = self.assigned[C::key(*pixel) % CELLS];
        }
    }
}

/// How colours share cells, and what is summed up in one.
pub(super) trait Cell: Copy + Default {
    /// Squared error between cells at which imagery needs no more colours.
    const ERROR_ENOUGH: f32;
    /// Below `CELLS`.
    fn key(color: Color) -> usize;
    fn add(&mut self, color: Color);
    /// The mean of the cell's colours and their number.
    fn point(&self, key: usize) -> Point;
}

/// Five bits a channel. Only the low bits are summed, so that 32 bits suffice.
#[derive(Clone, Copy, Default)]
pub(super) struct Opaque {
    count: u32,
    low: [u32; 3],
}

impl Cell for Opaque {
    // About 40.5 dB with what is lost within cells: a decibel above Pillow's
    // octree at its file size. More colours would be noise to the compressor.
    const ERROR_ENOUGH: f32 = 13.0;
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
pub(super) struct Translucent {
    count: u64,
    sums: [u64; 4],
}

impl Cell for Translucent {
    const ERROR_ENOUGH: f32 = 6.0;
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
