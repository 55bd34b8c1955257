//! The PNG files that tiles are: not interlaced, eight bits a sample or a
//! palette, inflated in one piece by libdeflate, which takes half the time
//! of a streaming decoder. Whatever is unusual or wrong is left to that
//! decoder, which also finds the words for what is wrong.

use std::borrow::Cow;
use std::cell::RefCell;

use libdeflater::Decompressor;

use crate::render::raster::{Color, Raster};

/// Scratch larger than this is given back after use.
const SCRATCH_KEPT_BYTES: usize = 1024 * 1024 + 512 * 1024;

struct Scratch {
    decompressor: Decompressor,
    rows: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// What the chunks say.
struct Chunks<'a> {
    depth_bits: usize,
    color_type: u8,
    palette: &'a [u8],
    alphas: &'a [u8],
    data: Cow<'a, [u8]>,
}

/// The size is that of the header and was checked.
pub(super) fn decode(bytes: &[u8], width: u32, height: u32) -> Option<Raster> {
    let chunks = read_chunks(bytes)?;
    let samples = match chunks.color_type {
        0 | 3 => 1,
        2 => 3,
        4 => 2,
        6 => 4,
        _ => return None,
    };
    let paletted = chunks.color_type == 3;
    let usual = if paletted {
        matches!(chunks.depth_bits, 1 | 2 | 4 | 8) && !chunks.palette.is_empty()
    } else {
        chunks.depth_bits == 8 && chunks.alphas.is_empty()
    };
    if !usual {
        return None;
    }
    let row_bytes = (width as usize * samples * chunks.depth_bits).div_ceil(8);
    let length = (row_bytes + 1) * height as usize;
    SCRATCH.with_borrow_mut(|kept| {
        let scratch =
            kept.get_or_insert_with(|| Scratch { decompressor: Decompressor::new(), rows: Vec::new() });
        if scratch.rows.len() < length {
            scratch.rows.resize(length, 0);
        }
        let rows = &mut scratch.rows[..length];
        let inflated = scratch.decompressor.zlib_decompress(&chunks.data, rows).ok() == Some(length);
        let raster = (inflated && undo_filters(rows, row_bytes, samples))
            .then(|| expand(rows, row_bytes, width, height, &chunks));
        if scratch.rows.len() > SCRATCH_KEPT_BYTES {
            scratch.rows = Vec::new();
        }
        raster
    })
}

/// Nothing where a chunk is cut, damaged, or of a kind that changes the image
/// and is not known here.
fn read_chunks(bytes: &[u8]) -> Option<Chunks<'_>> {
    let mut chunks =
        Chunks { depth_bits: 0, color_type: 0, palette: &[], alphas: &[], data: Cow::Borrowed(&[]) };
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?) as usize;
        let named = bytes.get(at + 4..(at + 8).checked_add(length)?)?;
        let (name, data) = named.split_at(4);
        let end = at + 8 + length;
        let stated = u32::from_be_bytes(*bytes.get(end..)?.first_chunk::<4>()?);
        let critical = name[0] & 0x20 == 0;
        if (critical || name == b"tRNS") && libdeflater::crc32(named) != stated {
            return None;
        }
        match name {
            b"IHDR" => {
                let &[_, _, _, _, _, _, _, _, depth, color_type, 0, 0, 0] = data else { return None };
                (chunks.depth_bits, chunks.color_type) = (usize::from(depth), color_type);
            }
            b"PLTE" => chunks.palette = data,
            b"tRNS" => chunks.alphas = data,
            b"IDAT" if chunks.data.is_empty() => chunks.data = Cow::Borrowed(data),
            b"IDAT" => chunks.data.to_mut().extend_from_slice(data),
            b"IEND" => return Some(chunks),
            _ if critical => return None,
            _ => {}
        }
        at = end + 4;
    }
}

/// In place; false where a filter is unknown.
fn undo_filters(rows: &mut [u8], row_bytes: usize, samples: usize) -> bool {
    // A row without one above it is as if above it all were 0.
    let zeros = vec![0; row_bytes + 1];
    let mut above: &[u8] = &zeros;
    for row in rows.chunks_exact_mut(row_bytes + 1) {
        let known = match samples {
            1 => undo_filter::<1>(row, above),
            2 => undo_filter::<2>(row, above),
            3 => undo_filter::<3>(row, above),
            _ => undo_filter::<4>(row, above),
        };
        if !known {
            return false;
        }
        above = row;
    }
    true
}

/// Both rows begin with their filter byte; `N` bytes a pixel.
fn undo_filter<const N: usize>(row: &mut [u8], above: &[u8]) -> bool {
    let filter = row[0];
    let (row, above) = (&mut row[1..], &above[1..]);
    match filter {
        0 => {}
        2 => {
            for (here, up) in row.iter_mut().zip(above) {
                *here = here.wrapping_add(*up);
            }
        }
        1 => {
            let mut left = [0u8; N];
            for here in row.as_chunks_mut::<N>().0 {
                for i in 0..N {
                    here[i] = here[i].wrapping_add(left[i]);
                }
                left = *here;
            }
        }
        3 => {
            let mut left = [0u8; N];
            for (here, up) in row.as_chunks_mut::<N>().0.iter_mut().zip(above.as_chunks::<N>().0) {
                for i in 0..N {
                    let mean = (u16::from(left[i]) + u16::from(up[i])) / 2;
                    here[i] = here[i].wrapping_add(mean as u8);
                }
                left = *here;
            }
        }
        4 => undo_paeth::<N>(row, above),
        _ => return false,
    }
    true
}

/// The predictor of PNG specification §9.4. Always four lanes of 16 bits,
/// whatever N, in steps without branches: so one pixel is a few vector
/// instructions.
fn undo_paeth<const N: usize>(row: &mut [u8], above: &[u8]) {
    let wide = |pixel: &[u8; N]| {
        let mut lanes = [0i16; 4];
        for i in 0..N {
            lanes[i] = i16::from(pixel[i]);
        }
        lanes
    };
    let (mut a, mut c) = ([0i16; 4], [0i16; 4]);
    for (here, up) in row.as_chunks_mut::<N>().0.iter_mut().zip(above.as_chunks::<N>().0) {
        let (b, x) = (wide(up), wide(here));
        let mut sum = [0i16; 4];
        for i in 0..4 {
            let (p, q) = (b[i] - c[i], a[i] - c[i]);
            let (to_left, to_up, to_corner) = (p.abs(), q.abs(), (p + q).abs());
            let nearest = to_left.min(to_up).min(to_corner);
            let vertical = if nearest == to_up { b[i] } else { c[i] };
            let guess = if nearest == to_left { a[i] } else { vertical };
            sum[i] = (x[i] + guess) & 255;
        }
        for i in 0..N {
            here[i] = sum[i] as u8;
        }
        (a, c) = (sum, b);
    }
}

fn expand(rows: &[u8], row_bytes: usize, width: u32, height: u32, chunks: &Chunks) -> Raster {
    let mut pixels = vec![0; width as usize * height as usize * 4];
    let colors = colors_of(chunks);
    let lines = rows.chunks_exact(row_bytes + 1).map(|row| &row[1..]);
    for (to, line) in pixels.chunks_exact_mut(width as usize * 4).zip(lines) {
        let to_pixels = to.as_chunks_mut::<4>().0;
        match (chunks.color_type, chunks.depth_bits) {
            (0, _) => put(to_pixels, line.iter(), |&v| [v, v, v, 255]),
            (2, _) => put(to_pixels, line.as_chunks::<3>().0.iter(), |&[r, g, b]| [r, g, b, 255]),
            (4, _) => put(to_pixels, line.as_chunks::<2>().0.iter(), |&[v, a]| [v, v, v, a]),
            (3, 8) => put(to_pixels, line.iter(), |&index| colors[usize::from(index)]),
            (3, 4) => unpack::<2>(to_pixels, line, &colors),
            (3, 2) => unpack::<4>(to_pixels, line, &colors),
            (3, _) => unpack::<8>(to_pixels, line, &colors),
            _ => to.copy_from_slice(line),
        }
    }
    let opaque = matches!(chunks.color_type, 0 | 2) || chunks.color_type == 3 && chunks.alphas.is_empty();
    let mut raster = Raster { width, height, opaque, pixels };
    raster.opaque = !raster.has_alpha();
    raster
}

fn put<T>(to: &mut [Color], from: impl Iterator<Item = T>, color: impl Fn(T) -> Color) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = color(from);
    }
}

/// `N` indices to a byte, the first in the high bits.
fn unpack<const N: usize>(to: &mut [Color], line: &[u8], colors: &[Color; 256]) {
    let bits = 8 / N;
    for (to, &byte) in to.chunks_mut(N).zip(line) {
        for (place, to) in to.iter_mut().enumerate() {
            let index = byte >> (8 - bits * (place + 1)) & (0xff >> (8 - bits));
            *to = colors[usize::from(index)];
        }
    }
}

/// Every index has a colour; those beyond the palette are black.
fn colors_of(chunks: &Chunks) -> [Color; 256] {
    let mut colors = [[0, 0, 0, 255]; 256];
    for (color, &[r, g, b]) in colors.iter_mut().zip(chunks.palette.as_chunks::<3>().0) {
        *color = [r, g, b, 255];
    }
    for (color, &alpha) in colors.iter_mut().zip(chunks.alphas) {
        color[3] = alpha;
    }
    colors
}
