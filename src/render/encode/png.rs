//! PNG by a writer of our own over libdeflate: the pixel rows are made whole
//! in memory and compressed in one piece.
//!
//! One filter is chosen for the whole image: none for drawn maps and for
//! palettes, a predictor for imagery (dependencies.md §3 has the figures that
//! led to this).

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor, Crc};

use super::{EncodeError, luma, only_color, prepared};
use crate::render::quant::{self, Indexed};
use crate::render::raster::{Color, ColorMode, ImageOptions, Raster};

const FORMAT: &str = "PNG";
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// libdeflate's level: 1 is smaller than what MapProxy writes, at half its time.
const LEVEL: i32 = 1;

/// Scratch larger than this is given back after use: enough for a 512 × 512
/// map; many threads keep some.
const SCRATCH_KEPT_BYTES: usize = 2 * 1024 * 1024;

const GREY: u8 = 0;
const RGB: u8 = 2;
const PALETTE: u8 = 3;
const RGBA: u8 = 6;

struct Writer {
    compressor: Compressor,
    /// Filtered rows.
    rows: Vec<u8>,
    packed: Vec<u8>,
}

thread_local! {
    static WRITER: RefCell<Option<Writer>> = const { RefCell::new(None) };
}

struct Header {
    width: u32,
    height: u32,
    depth_bits: u8,
    color_type: u8,
}

pub(super) fn encode(raster: &Raster, options: &ImageOptions) -> Result<Vec<u8>, EncodeError> {
    let raster = prepared(raster, options);
    let plain = matches!(options.mode, Some(ColorMode::Rgb | ColorMode::Rgba));
    if options.mode == Some(ColorMode::I) {
        return with_writer(|writer| writer.write_grey(&raster));
    }
    let palette = !plain && (options.colors > 0 || options.mode == Some(ColorMode::P));
    if palette && let Some(color) = only_color(&raster) {
        return with_writer(|writer| writer.write_single(color, raster.width, raster.height));
    }
    if palette {
        let colors = if options.colors == 0 { 256 } else { options.colors };
        let image = quant::quantize(&raster, colors, options.quantizer);
        if options.mode.is_none() && is_grey_ramp(&image) && choose_filter(&raster) != Filter::None {
            return with_writer(|writer| writer.write_grey(&raster));
        }
        return with_writer(|writer| writer.write_indexed(&image));
    }
    let alpha = options.mode == Some(ColorMode::Rgba) || raster.has_alpha();
    with_writer(|writer| writer.write_color(&raster, alpha))
}

fn with_writer(
    write: impl FnOnce(&mut Writer) -> Result<Vec<u8>, EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    WRITER.with_borrow_mut(|kept| {
        let writer = kept.get_or_insert_with(|| Writer {
            compressor: Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default()),
            rows: Vec::new(),
            packed: Vec::new(),
        });
        let result = write(writer);
        if writer.rows.capacity() + writer.packed.capacity() > SCRATCH_KEPT_BYTES {
            (writer.rows, writer.packed) = (Vec::new(), Vec::new());
        }
        result
    })
}

/// Whether a palette says nothing that 8 bits of grey do not: shaded relief
/// is then better off with a filter, which palettes cannot use.
fn is_grey_ramp(image: &Indexed) -> bool {
    image.palette.len() > 16 && image.palette.iter().all(|&[r, g, b, a]| r == g && g == b && a == 255)
}

impl Writer {
    /// One bit a pixel, all of them 0.
    fn write_single(&mut self, color: Color, width: u32, height: u32) -> Result<Vec<u8>, EncodeError> {
        self.rows.clear();
        self.rows.resize((width.div_ceil(8) as usize + 1) * height as usize, 0);
        self.finish(&Header { width, height, depth_bits: 1, color_type: PALETTE }, &[color])
    }

    fn write_indexed(&mut self, image: &Indexed) -> Result<Vec<u8>, EncodeError> {
        let depth_bits = match image.palette.len() {
            0..=2 => 1,
            3..=4 => 2,
            5..=16 => 4,
            _ => 8,
        };
        let (width, height) = (image.width, image.height);
        pack_indices(&mut self.rows, &image.indices, width as usize, depth_bits);
        let header = Header { width, height, depth_bits, color_type: PALETTE };
        self.finish(&header, &image.palette)
    }

    fn write_grey(&mut self, raster: &Raster) -> Result<Vec<u8>, EncodeError> {
        let (width, height) = (raster.width, raster.height);
        let samples = |row: &[u8], to: &mut Vec<u8>| {
            to.extend(row.as_chunks::<4>().0.iter().map(|&[r, g, b, _]| luma(r, g, b)));
        };
        filter_rows(&mut self.rows, raster, 1, samples);
        self.finish(&Header { width, height, depth_bits: 8, color_type: GREY }, &[])
    }

    fn write_color(&mut self, raster: &Raster, alpha: bool) -> Result<Vec<u8>, EncodeError> {
        let (width, height) = (raster.width, raster.height);
        if alpha {
            filter_rows(&mut self.rows, raster, 4, |row, to| to.extend_from_slice(row));
        } else {
            filter_rows(&mut self.rows, raster, 3, |row, to| {
                let start = to.len();
                to.resize(start + row.len() / 4 * 3, 0);
                let to = to[start..].as_chunks_mut::<3>().0;
                for (to, &[r, g, b, _]) in to.iter_mut().zip(row.as_chunks::<4>().0) {
                    *to = [r, g, b];
                }
            });
        }
        let color_type = if alpha { RGBA } else { RGB };
        self.finish(&Header { width, height, depth_bits: 8, color_type }, &[])
    }

    /// Compresses the rows and puts the file together.
    fn finish(&mut self, header: &Header, palette: &[Color]) -> Result<Vec<u8>, EncodeError> {
        let bound = self.compressor.zlib_compress_bound(self.rows.len());
        if self.packed.len() < bound {
            self.packed.resize(bound, 0);
        }
        let length = self
            .compressor
            .zlib_compress(&self.rows, &mut self.packed)
            .map_err(|e| EncodeError::new(FORMAT, e))?;

        let mut file = Vec::with_capacity(length + 128 + palette.len() * 4);
        file.extend_from_slice(&SIGNATURE);
        let mut fields = [0; 13];
        fields[..4].copy_from_slice(&header.width.to_be_bytes());
        fields[4..8].copy_from_slice(&header.height.to_be_bytes());
        fields[8] = header.depth_bits;
        fields[9] = header.color_type;
        put_chunk(&mut file, b"IHDR", &fields);
        if !palette.is_empty() {
            let colors: Vec<u8> = palette.iter().flat_map(|c| [c[0], c[1], c[2]]).collect();
            put_chunk(&mut file, b"PLTE", &colors);
            if let Some(last) = palette.iter().rposition(|c| c[3] != 255) {
                let alphas: Vec<u8> = palette[..=last].iter().map(|c| c[3]).collect();
                put_chunk(&mut file, b"tRNS", &alphas);
            }
        }
        put_chunk(&mut file, b"IDAT", &self.packed[..length]);
        put_chunk(&mut file, b"IEND", &[]);
        Ok(file)
    }
}

/// The caller keeps `data` below 2 GiB (PIXELS_MAX).
fn put_chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(data);
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    file.extend_from_slice(name);
    file.extend_from_slice(data);
    file.extend_from_slice(&crc.sum().to_be_bytes());
}

/// Rows of palette indices with the filter byte 0 before each, several pixels
/// to a byte below 8 bits.
fn pack_indices(rows: &mut Vec<u8>, indices: &[u8], width: usize, depth_bits: u8) {
    let per_byte = 8 / usize::from(depth_bits);
    let stride = width.div_ceil(per_byte) + 1;
    rows.clear();
    rows.resize(stride * (indices.len() / width), 0);
    for (row, line) in rows.chunks_exact_mut(stride).zip(indices.chunks_exact(width)) {
        match per_byte {
            1 => row[1..].copy_from_slice(line),
            2 => pack_row::<2>(&mut row[1..], line),
            4 => pack_row::<4>(&mut row[1..], line),
            _ => pack_row::<8>(&mut row[1..], line),
        }
    }
}

/// `N` pixels to a byte, the first in the high bits; the last byte is filled up with 0.
fn pack_row<const N: usize>(row: &mut [u8], line: &[u8]) {
    let byte_of = |pixels: &[u8]| {
        let bits = 8 / N;
        pixels.iter().enumerate().fold(0, |byte, (place, pixel)| byte | pixel << (8 - bits * (place + 1)))
    };
    let (whole, rest) = line.as_chunks::<N>();
    for (byte, pixels) in row.iter_mut().zip(whole) {
        *byte = byte_of(pixels);
    }
    if !rest.is_empty() {
        row[whole.len()] = byte_of(rest);
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Filter {
    None = 0,
    Sub = 1,
    Up = 2,
    Paeth = 4,
}

/// Fills `rows` with filtered rows of `samples_per_pixel` bytes a pixel.
fn filter_rows(
    rows: &mut Vec<u8>,
    raster: &Raster,
    samples_per_pixel: usize,
    samples: impl Fn(&[u8], &mut Vec<u8>),
) {
    let filter = choose_filter(raster);
    let line_bytes = raster.width as usize * 4;
    let stride = raster.width as usize * samples_per_pixel;
    rows.clear();
    rows.reserve((stride + 1) * raster.height as usize);
    // Both with a pixel of zeros before the row, so that every pixel has a left neighbour.
    let mut above = vec![0; stride + samples_per_pixel];
    let mut line = Vec::with_capacity(stride + samples_per_pixel);
    for row in raster.pixels.chunks_exact(line_bytes) {
        rows.push(filter as u8);
        if filter == Filter::None {
            samples(row, rows);
            continue;
        }
        line.clear();
        line.resize(samples_per_pixel, 0);
        samples(row, &mut line);
        let start = rows.len();
        rows.resize(start + stride, 0);
        filter_row(filter, &mut rows[start..], &line, &above, samples_per_pixel);
        std::mem::swap(&mut line, &mut above);
    }
}

/// `line` and `above` begin with one pixel of zeros.
fn filter_row(filter: Filter, to: &mut [u8], line: &[u8], above: &[u8], bpp: usize) {
    let count = to.len();
    let (here, left) = (&line[bpp..][..count], &line[..count]);
    let (up, corner) = (&above[bpp..][..count], &above[..count]);
    match filter {
        Filter::None => to.copy_from_slice(here),
        Filter::Sub => {
            for i in 0..count {
                to[i] = here[i].wrapping_sub(left[i]);
            }
        }
        Filter::Up => {
            for i in 0..count {
                to[i] = here[i].wrapping_sub(up[i]);
            }
        }
        Filter::Paeth => {
            for i in 0..count {
                to[i] = here[i].wrapping_sub(paeth(left[i], up[i], corner[i]));
            }
        }
    }
}

/// The neighbour that is nearest to left + above − corner (PNG specification
/// §9.4). Written in masks of one width, so that it becomes vector code.
#[inline(always)]
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
    let (to_left, to_up) = ((b - c).abs(), (a - c).abs());
    let to_corner = (a + b - c - c).abs();
    let choose_left = -i16::from(to_left <= to_up.min(to_corner));
    let choose_up = -i16::from(to_up <= to_corner);
    let vertical = (b & choose_up) | (c & !choose_up);
    ((a & choose_left) | (vertical & !choose_left)) as u8
}

/// Samples some rows: where many neighbours are equal the image is drawn, and
/// filters would hide its repetitions from the compressor; else the filter
/// with the smallest residues.
fn choose_filter(raster: &Raster) -> Filter {
    const ROWS_SAMPLED: usize = 32;
    /// Share of equal neighbours, in hundredths, from which an image counts as drawn.
    const EQUAL_MIN_PERCENT: usize = 40;
    let line_bytes = raster.width as usize * 4;
    let step = (raster.height as usize / ROWS_SAMPLED).max(1);
    let rows: Vec<&[u8]> = raster.pixels.chunks_exact(line_bytes).collect();
    let (mut equal, mut seen) = (0, 0);
    let (mut sub, mut up, mut mixed) = (0u64, 0u64, 0u64);
    for pair in rows.windows(2).step_by(step) {
        let (above, line) = (pair[0], pair[1]);
        let pixels = line.as_chunks::<4>().0;
        equal += pixels.windows(2).filter(|p| p[0] == p[1]).count();
        seen += pixels.len() - 1;
        for i in 4..line_bytes {
            let residue = |prediction: u8| u64::from((line[i].wrapping_sub(prediction) as i8).unsigned_abs());
            sub += residue(line[i - 4]);
            up += residue(above[i]);
            mixed += residue(paeth(line[i - 4], above[i], above[i - 4]));
        }
    }
    if equal * 100 >= seen * EQUAL_MIN_PERCENT {
        Filter::None
    } else if mixed <= sub && mixed <= up {
        Filter::Paeth
    } else if sub <= up {
        Filter::Sub
    } else {
        Filter::Up
    }
}
