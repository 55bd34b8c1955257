//! TIFF as map servers write it, by a reader of our own: the first image,
//! in strips or tiles; grey, RGB, palette or CMYK with 1–16 bits a sample;
//! raw, LZW, deflate, PackBits or JPEG; alpha of either kind.
//!
//! Not read: planes stored apart, floating point, fax compression, BigTIFF.
//! Every offset and length in the file is held against the file's length, and
//! every buffer's size follows from the checked size of the image.

use super::{DecodeError, DecodeLimits, jpeg, raster_from_rgba};
use crate::render::raster::{Color, Raster};

const FORMAT: &str = "TIFF";

const TAGS_MAX: usize = 512;

fn damaged(reason: impl ToString) -> DecodeError {
    DecodeError::damaged(FORMAT, reason)
}

/// The file, read in its own byte order; nothing beyond its end.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8]) -> Source<'a> {
        Source { bytes, big_endian: bytes.starts_with(b"MM") }
    }
    fn slice(&self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.bytes.get(at..at.checked_add(length)?)
    }
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.slice(at, 2)?.first_chunk::<2>()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }
    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.slice(at, 4)?.first_chunk::<4>()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

/// The entries of the first directory.
struct Directory<'a> {
    source: Source<'a>,
    /// Tag, type, count and place of the values.
    entries: Vec<(u16, u16, usize, usize)>,
    /// Whether all values lie within the file.
    complete: bool,
}

impl<'a> Directory<'a> {
    fn read(source: Source<'a>) -> Option<Directory<'a>> {
        let at = source.long(4)? as usize;
        let count = usize::from(source.short(at)?);
        if count > TAGS_MAX {
            return None;
        }
        let mut entries = Vec::with_capacity(count);
        let mut complete = true;
        for i in 0..count {
            let entry = at + 2 + i * 12;
            let (tag, kind) = (source.short(entry)?, source.short(entry + 2)?);
            let count = source.long(entry + 4)? as usize;
            let size = match kind {
                1 | 2 | 6 | 7 => 1,
                3 | 8 => 2,
                4 | 9 | 11 => 4,
                _ => 8,
            };
            let length = count.checked_mul(size)?;
            let place = if length <= 4 { entry + 8 } else { source.long(entry + 8)? as usize };
            complete &= source.slice(place, length).is_some();
            entries.push((tag, kind, count, place));
        }
        Some(Directory { source, entries, complete })
    }

    /// The values of a tag as unsigned numbers; nothing where it is missing,
    /// of another type, or points outside the file.
    fn numbers(&self, tag: u16) -> Option<Vec<u32>> {
        let &(_, kind, count, at) = self.entries.iter().find(|entry| entry.0 == tag)?;
        let size = match kind {
            1 => 1,
            3 => 2,
            4 => 4,
            _ => return None,
        };
        let bytes = self.source.slice(at, count.checked_mul(size)?)?;
        Some(match kind {
            1 => bytes.iter().map(|&byte| u32::from(byte)).collect(),
            3 => (0..count).filter_map(|i| self.source.short(at + i * 2)).map(u32::from).collect(),
            _ => (0..count).filter_map(|i| self.source.long(at + i * 4)).collect(),
        })
    }

    fn number(&self, tag: u16) -> Option<u32> {
        self.numbers(tag)?.first().copied()
    }

    fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let &(_, kind, count, at) = self.entries.iter().find(|entry| entry.0 == tag)?;
        if matches!(kind, 1 | 7) { self.source.slice(at, count) } else { None }
    }
}

/// Whether the directory, its values and the pieces of the image lie within the file.
pub(super) fn looks_whole(bytes: &[u8]) -> bool {
    let Some(directory) = Directory::read(Source::new(bytes)) else { return false };
    let Some(pieces) = pieces(&directory) else { return false };
    directory.complete
        && !pieces.is_empty()
        && pieces.iter().all(|&(at, length)| directory.source.slice(at, length).is_some())
}

/// Offset and length of each strip or tile.
fn pieces(directory: &Directory) -> Option<Vec<(usize, usize)>> {
    let offsets = directory.numbers(273).or_else(|| directory.numbers(324))?;
    let lengths = directory.numbers(279).or_else(|| directory.numbers(325))?;
    if offsets.len() != lengths.len() {
        return None;
    }
    Some(offsets.iter().zip(&lengths).map(|(&at, &length)| (at as usize, length as usize)).collect())
}

/// What the tags say about samples and pieces.
struct Layout {
    width: usize,
    height: usize,
    /// Of a strip or tile; a strip is as wide as the image.
    piece_width: usize,
    piece_height: usize,
    compression: u32,
    photometric: u32,
    samples: usize,
    depth_bits: usize,
    predictor: bool,
    /// Of the sample after the colours, if it is alpha: whether colours are premultiplied.
    premultiplied: Option<bool>,
    palette: Vec<u32>,
}

impl Layout {
    fn read(directory: &Directory, width: u32, height: u32) -> Result<Layout, DecodeError> {
        let photometric = directory.number(262).ok_or_else(|| damaged("no photometric interpretation"))?;
        let samples = directory.number(277).unwrap_or(1) as usize;
        let depths = directory.numbers(258).unwrap_or_else(|| vec![1]);
        let depth_bits = depths.first().copied().unwrap_or(1) as usize;
        let colors = match photometric {
            0 | 1 | 3 => 1,
            2 | 6 => 3,
            5 => 4,
            other => return Err(damaged(format!("photometric interpretation {other} is not read"))),
        };
        let tiled = directory.numbers(324).is_some();
        let (piece_width, piece_height) = if tiled {
            (directory.number(322).unwrap_or(0), directory.number(323).unwrap_or(0))
        } else {
            (width, directory.number(278).unwrap_or(height).min(height))
        };
        let palette = if photometric == 3 {
            directory.numbers(320).ok_or_else(|| damaged("no palette"))?
        } else {
            Vec::new()
        };
        let layout = Layout {
            width: width as usize,
            height: height as usize,
            piece_width: piece_width as usize,
            piece_height: piece_height as usize,
            compression: directory.number(259).unwrap_or(1),
            photometric,
            samples,
            depth_bits,
            predictor: directory.number(317) == Some(2),
            premultiplied: match directory.number(338) {
                Some(1) if samples > colors => Some(true),
                Some(2) if samples > colors => Some(false),
                _ => None,
            },
            palette,
        };
        let even = depths.iter().all(|&depth| depth as usize == depth_bits);
        let plain = directory.number(284).unwrap_or(1) == 1 && directory.number(339).unwrap_or(1) == 1;
        if !even || !plain || !matches!(depth_bits, 1 | 2 | 4 | 8 | 16) || !(colors..=8).contains(&samples) {
            return Err(damaged("this kind of samples is not read"));
        }
        if photometric == 3 && layout.palette.len() != 3 << depth_bits {
            return Err(damaged("palette of a wrong length"));
        }
        Ok(layout)
    }

    fn row_bytes(&self) -> usize {
        (self.piece_width * self.samples * self.depth_bits).div_ceil(8)
    }
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    let directory = Directory::read(Source::new(bytes)).ok_or_else(|| damaged("no directory"))?;
    let side = |tag| directory.number(tag).ok_or_else(|| damaged("no size"));
    let (width, height) = (side(256)?, side(257)?);
    let pixels_bytes = limits.pixels_bytes(width, height)?;
    let layout = Layout::read(&directory, width, height)?;
    // A tile may reach over the image's edge, but not far: that is bounded too.
    limits.pixels_bytes(layout.piece_width as u32, layout.piece_height as u32)?;
    let pieces = pieces(&directory).ok_or_else(|| damaged("no strips"))?;
    let columns = layout.width.div_ceil(layout.piece_width);
    let rows = layout.height.div_ceil(layout.piece_height);
    if pieces.len() < columns * rows {
        return Err(damaged("too few strips"));
    }
    let mut pixels = vec![0; pixels_bytes];
    for row in 0..rows {
        for column in 0..columns {
            let (at, length) = pieces[row * columns + column];
            let packed = directory.source.slice(at, length).ok_or_else(|| damaged("ends early"))?;
            let (x, y) = (column * layout.piece_width, row * layout.piece_height);
            let lines = layout.piece_height.min(layout.height - y);
            let piece = if layout.compression == 7 {
                jpeg_piece(&directory, packed, limits)?
            } else {
                plain_piece(&directory, &layout, packed, lines)?
            };
            paste(&mut pixels, layout.width, &piece, (x, y), lines);
        }
    }
    Ok(raster_from_rgba(width, height, pixels))
}

/// Copies the part of a piece that lies in the image.
fn paste(pixels: &mut [u8], width: usize, piece: &Raster, (x, y): (usize, usize), lines: usize) {
    let piece_width = piece.width as usize;
    let count = piece_width.min(width - x);
    for (line, from) in piece.pixels.chunks_exact(piece_width * 4).take(lines).enumerate() {
        let at = ((y + line) * width + x) * 4;
        pixels[at..at + count * 4].copy_from_slice(&from[..count * 4]);
    }
}

/// A strip that is a JPEG file; its tables may be kept once for all strips.
fn jpeg_piece(directory: &Directory, packed: &[u8], limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    match directory.bytes(347) {
        Some(tables) if tables.ends_with(&[0xff, 0xd9]) && packed.starts_with(&[0xff, 0xd8]) => {
            jpeg::decode(&[&tables[..tables.len() - 2], &packed[2..]].concat(), limits)
        }
        _ => jpeg::decode(packed, limits),
    }
}

fn plain_piece(
    directory: &Directory,
    layout: &Layout,
    packed: &[u8],
    lines: usize,
) -> Result<Raster, DecodeError> {
    if layout.photometric == 6 {
        return Err(damaged("YCbCr is read only as JPEG"));
    }
    let row_bytes = layout.row_bytes();
    let mut samples = unpack(layout.compression, packed, row_bytes * lines)?;
    if directory.source.big_endian && layout.depth_bits == 16 {
        samples.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
    }
    if layout.predictor {
        undo_differences(&mut samples, layout, row_bytes)?;
    }
    let mut pixels = Vec::with_capacity(layout.piece_width * lines * 4);
    for row in samples.chunks_exact(row_bytes) {
        for x in 0..layout.piece_width {
            pixels.extend_from_slice(&color_at(row, x, layout));
        }
    }
    Ok(Raster { width: layout.piece_width as u32, height: lines as u32, opaque: false, pixels })
}

/// Exactly `length` bytes out of a strip.
fn unpack(compression: u32, packed: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
    let mut out = vec![0; length];
    let written = match compression {
        1 => {
            let count = length.min(packed.len());
            out[..count].copy_from_slice(&packed[..count]);
            count
        }
        5 => unpack_lzw(packed, &mut out),
        // Writers may pad the last strip, so more may come out than is wanted.
        8 | 32_946 => match libdeflater::Decompressor::new().zlib_decompress(packed, &mut out) {
            Ok(count) => count,
            Err(libdeflater::DecompressionError::InsufficientSpace) => length,
            Err(e) => return Err(damaged(e)),
        },
        32_773 => unpack_bits(packed, &mut out),
        other => return Err(damaged(format!("compression {other} is not read"))),
    };
    if written < length { Err(damaged("strip ends early")) } else { Ok(out) }
}

fn unpack_lzw(packed: &[u8], out: &mut [u8]) -> usize {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&packed[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        let stuck = step.consumed_in == 0 && step.consumed_out == 0;
        if stuck || !matches!(step.status, Ok(weezl::LzwStatus::Ok)) {
            break;
        }
    }
    written
}

fn unpack_bits(packed: &[u8], out: &mut [u8]) -> usize {
    let (mut read, mut written) = (0, 0);
    while written < out.len() && read + 1 < packed.len() {
        let code = packed[read] as i8;
        read += 1;
        if code >= 0 {
            let count = (code as usize + 1).min(packed.len() - read).min(out.len() - written);
            out[written..written + count].copy_from_slice(&packed[read..read + count]);
            read += code as usize + 1;
            written += count;
        } else if code != i8::MIN {
            let count = (1 - isize::from(code)) as usize;
            let count = count.min(out.len() - written);
            out[written..written + count].fill(packed[read]);
            read += 1;
            written += count;
        }
    }
    written
}

/// Samples were stored as differences from the pixel to the left.
fn undo_differences(samples: &mut [u8], layout: &Layout, row_bytes: usize) -> Result<(), DecodeError> {
    for row in samples.chunks_exact_mut(row_bytes) {
        match layout.depth_bits {
            8 => {
                for i in layout.samples..row.len() {
                    row[i] = row[i].wrapping_add(row[i - layout.samples]);
                }
            }
            16 => {
                let row = row.as_chunks_mut::<2>().0;
                for i in layout.samples..row.len() {
                    let sum =
                        u16::from_le_bytes(row[i]).wrapping_add(u16::from_le_bytes(row[i - layout.samples]));
                    row[i] = sum.to_le_bytes();
                }
            }
            _ => return Err(damaged("differences of small samples are not read")),
        }
    }
    Ok(())
}

/// The colour of a pixel; `row` has `row_bytes` bytes.
fn color_at(row: &[u8], x: usize, layout: &Layout) -> Color {
    let raw = |channel: usize| -> usize {
        let at = x * layout.samples + channel;
        match layout.depth_bits {
            8 => usize::from(row[at]),
            16 => usize::from(row[at * 2 + 1]),
            depth => {
                let bit = at * depth;
                usize::from(row[bit / 8] >> (8 - depth - bit % 8)) & ((1 << depth) - 1)
            }
        }
    };
    let level = |channel: usize| match layout.depth_bits {
        8 | 16 => raw(channel) as u8,
        depth => (raw(channel) * 255 / ((1 << depth) - 1)) as u8,
    };
    let (color, colors) = match layout.photometric {
        0 => ([255 - level(0); 3], 1),
        1 => ([level(0); 3], 1),
        3 => {
            // All reds, then all greens, then all blues; 16 bits each.
            let count = layout.palette.len() / 3;
            let index = match layout.depth_bits {
                16 => usize::from(row[x * layout.samples * 2]) | raw(0) << 8,
                _ => raw(0),
            };
            let part = |n: usize| layout.palette.get(n * count + index).map_or(0, |v| (v >> 8) as u8);
            ([part(0), part(1), part(2)], 1)
        }
        5 => {
            let light = 255 - u32::from(level(3));
            let mixed = |ink: u8| ((255 - u32::from(ink)) * light / 255) as u8;
            ([mixed(level(0)), mixed(level(1)), mixed(level(2))], 4)
        }
        _ => ([level(0), level(1), level(2)], 3),
    };
    let [r, g, b] = color;
    match layout.premultiplied.map(|premultiplied| (premultiplied, level(colors))) {
        None => [r, g, b, 255],
        Some((_, 0)) => [0; 4],
        Some((false, alpha)) => [r, g, b, alpha],
        Some((true, alpha)) => {
            let plain = |v: u8| (u32::from(v) * 255 / u32::from(alpha)).min(255) as u8;
            [plain(r), plain(g), plain(b), alpha]
        }
    }
}
