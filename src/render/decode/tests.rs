//! Files of every kind that is read, and damaged ones.

use proptest::prelude::*;

use super::*;
use crate::render::encode::tests::{drawn, overlay, photo, psnr};
use crate::render::encode::{GeoTag, encode};
use crate::render::raster::{ImageOptions, TiffCompression};

const LIMITS: DecodeLimits = DecodeLimits { side_px_max: 1024, pixels_bytes_max: 1024 * 1024 };

/// A PNG by the `png` crate: samples as they lie in the file.
fn png_file(
    size: (u32, u32),
    color: ::png::ColorType,
    depth: ::png::BitDepth,
    data: &[u8],
    extra: impl Fn(&mut ::png::Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    extra(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn png_of_every_colour_type_and_depth() {
    use ::png::{BitDepth, ColorType};
    let plain = |_: &mut ::png::Encoder<&mut Vec<u8>>| {};
    let read = |file: &[u8]| decode(file, &LIMITS).unwrap();
    // Four grey pixels in each depth.
    for (depth, data, expected) in [
        (BitDepth::One, vec![0b0101_0000], [0, 255, 0, 255]),
        (BitDepth::Two, vec![0b0001_1011], [0, 85, 170, 255]),
        (BitDepth::Four, vec![0x0f, 0x3c], [0, 255, 51, 204]),
        (BitDepth::Eight, vec![0, 9, 200, 255], [0, 9, 200, 255]),
        (BitDepth::Sixteen, vec![0, 0, 9, 77, 200, 1, 255, 255], [0, 9, 200, 255]),
    ] {
        let raster = read(&png_file((4, 1), ColorType::Grayscale, depth, &data, plain));
        assert!(raster.opaque);
        for (x, v) in expected.into_iter().enumerate() {
            assert_eq!(raster.pixel(x as u32, 0), [v, v, v, 255], "{depth:?}");
        }
    }
    let raster = read(&png_file((1, 2), ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 8, 9, 255], plain));
    assert_eq!(
        (raster.pixel(0, 0), raster.pixel(0, 1), raster.opaque),
        ([7, 7, 7, 8], [9, 9, 9, 255], false)
    );
    let deep: Vec<u8> = vec![1, 99, 2, 99, 3, 99, 255, 255];
    let raster = read(&png_file((1, 1), ColorType::Rgba, BitDepth::Sixteen, &deep, plain));
    assert_eq!((raster.pixel(0, 0), raster.opaque), ([1, 2, 3, 255], true));
    let raster = read(&png_file((1, 1), ColorType::Rgb, BitDepth::Eight, &[1, 2, 3], plain));
    assert_eq!(raster.pixel(0, 0), [1, 2, 3, 255]);
}

#[test]
fn png_transparency_chunks() {
    use ::png::{BitDepth, ColorType};
    let read = |file: &[u8]| decode(file, &LIMITS).unwrap();
    let raster = read(&png_file((3, 1), ColorType::Indexed, BitDepth::Two, &[0b00_01_10_00], |encoder| {
        encoder.set_palette(vec![1, 2, 3, 4, 5, 6, 7, 8, 9]);
        encoder.set_trns(vec![0, 100]);
    }));
    assert_eq!(raster.pixels, [1, 2, 3, 0, 4, 5, 6, 100, 7, 8, 9, 255]);
    assert!(!raster.opaque);
    let raster = read(&png_file((2, 1), ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 1, 2, 4], |encoder| {
        encoder.set_trns(vec![0, 1, 0, 2, 0, 3]);
    }));
    assert_eq!(raster.pixels, [1, 2, 3, 0, 1, 2, 4, 255]);
    let raster = read(&png_file((2, 1), ColorType::Grayscale, BitDepth::Eight, &[5, 6], |encoder| {
        encoder.set_trns(vec![0, 6]);
    }));
    assert_eq!(raster.pixels, [5, 5, 5, 255, 6, 6, 6, 0]);
    // A palette index beyond the palette: an answer, not a panic.
    let beyond = png_file((1, 1), ColorType::Indexed, BitDepth::Eight, &[200], |encoder| {
        encoder.set_palette(vec![1, 2, 3]);
    });
    let _ = decode(&beyond, &LIMITS);
}

/// Adam7 by hand: the seven passes of a grey image, each row with filter 0.
#[test]
fn png_interlaced() {
    let (width, height) = (11usize, 9usize);
    let value = |x: usize, y: usize| (x * 20 + y * 3) as u8;
    let mut rows = Vec::new();
    for (x0, y0, dx, dy) in
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    {
        for y in (y0..height).step_by(dy) {
            rows.push(0);
            rows.extend((x0..width).step_by(dx).map(|x| value(x, y)));
        }
    }
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    header.extend([8, 0, 0, 0, 1]);
    let file = chunks(&[(b"IHDR", header), (b"IDAT", zlib(&rows)), (b"IEND", vec![])]);
    let raster = decode(&file, &LIMITS).unwrap();
    for y in 0..height {
        for x in 0..width {
            assert_eq!(raster.pixel(x as u32, y as u32)[0], value(x, y));
        }
    }
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; compressor.zlib_compress_bound(data.len())];
    let length = compressor.zlib_compress(data, &mut out).unwrap();
    out.truncate(length);
    out
}

fn chunks(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        file.extend((data.len() as u32).to_be_bytes());
        let named = [name.as_slice(), data].concat();
        file.extend(&named);
        file.extend(libdeflater::crc32(&named).to_be_bytes());
    }
    file
}

fn png_header(width: u32, height: u32) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes()[..], &[8, 6, 0, 0, 0]].concat()
}

#[test]
fn bombs_are_refused_by_their_header() {
    let limits = DecodeLimits::default();
    let refused = |file: &[u8]| {
        assert!(
            matches!(decode(file, &limits), Err(DecodeError::TooLarge { .. })),
            "{:?}",
            decode(file, &limits)
        );
    };
    for (width, height) in
        [(65_535, 65_535), (0, 5), (5, 0), (u32::MAX, u32::MAX), (16_385, 1), (16_384, 1025)]
    {
        refused(&chunks(&[(b"IHDR", png_header(width, height)), (b"IDAT", vec![0; 40]), (b"IEND", vec![])]));
    }
    // JPEG: the size in its frame header made huge.
    let mut jpeg = encode(&photo(64, 64), &ImageOptions::new(Format::Jpeg), None).unwrap().bytes;
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    refused(&jpeg);
    let mut gif = encode(&drawn(16, 16), &ImageOptions::new(Format::Gif), None).unwrap().bytes;
    gif[6..10].fill(0xff);
    refused(&gif);
    let mut tiff = encode(&drawn(16, 16), &ImageOptions::new(Format::Tiff), None).unwrap().bytes;
    let directory = u32::from_le_bytes(*tiff[4..].first_chunk().unwrap()) as usize;
    tiff[directory + 2 + 8..][..4].copy_from_slice(&[0xff, 0xff, 0, 0]);
    refused(&tiff);
    // One row of pixels that inflates without end.
    let bomb = chunks(&[(b"IHDR", png_header(1, 1)), (b"IDAT", zlib(&vec![0; 8 << 20])), (b"IEND", vec![])]);
    let _ = decode(&bomb, &limits);
    // Text and profiles that inflate without end are not looked at.
    let text = [b"k\0\0".as_slice(), &zlib(&vec![b'a'; 64 << 20])].concat();
    let image = zlib(&[0, 1, 2, 3, 4]);
    let file = chunks(&[
        (b"IHDR", png_header(1, 1)),
        (b"zTXt", text.clone()),
        (b"iCCP", text),
        (b"IDAT", image),
        (b"IEND", vec![]),
    ]);
    assert_eq!(decode(&file, &limits).unwrap().pixel(0, 0), [1, 2, 3, 4]);
}

/// One file of each format and kind.
fn samples() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let geo =
        GeoTag { extent: crate::geo::Extent::new(0.0, 0.0, 1.0, 1.0), epsg: Some(3857), geographic: false };
    for raster in [drawn(33, 17), photo(33, 17), overlay(33, 17)] {
        for format in [Format::Png, Format::Jpeg, Format::Gif, Format::WebP, Format::GeoTiff] {
            for colors in [0, 256] {
                let mut options = ImageOptions::new(format);
                options.colors = colors;
                files.push(encode(&raster, &options, Some(&geo)).unwrap().bytes);
            }
        }
        for compression in [TiffCompression::Raw, TiffCompression::Jpeg] {
            let mut options = ImageOptions::new(Format::Tiff);
            options.tiff_compression = compression;
            files.push(encode(&raster, &options, None).unwrap().bytes);
        }
    }
    files
}

#[test]
fn a_file_that_is_cut_is_not_whole_and_does_not_panic() {
    for file in samples() {
        assert!(looks_whole(&file).is_some());
        for length in 0..file.len() {
            let cut = &file[..length];
            assert_eq!(looks_whole(cut), None, "{:?} cut at {length} of {}", sniff(&file), file.len());
            let _ = decode(cut, &LIMITS);
        }
    }
}

#[test]
fn a_cut_png_or_jpeg_is_an_error() {
    for format in [Format::Png, Format::Jpeg] {
        let file = encode(&photo(64, 64), &ImageOptions::new(format), None).unwrap().bytes;
        for part in 1..8 {
            let cut = &file[..file.len() * part / 8];
            assert!(matches!(decode(cut, &LIMITS), Err(DecodeError::Damaged { .. })), "{format:?} {part}/8");
        }
    }
}

#[test]
fn what_is_no_image_is_unknown() {
    for bytes in [&b""[..], b"<?xml version=\"1.0\"?>", b"\x89PNG", b"GIF90a", b"RIFFxxxxWAVE", &[0xff, 0xd8]]
    {
        assert!(matches!(decode(bytes, &LIMITS), Err(DecodeError::Unknown)));
        assert_eq!(looks_whole(bytes), None);
    }
}

#[test]
fn inks_become_colours() {
    // Adobe's inverted inks: white, black, pure cyan.
    let inks = [[255, 255, 255, 255], [255, 255, 255, 0], [0, 255, 255, 255]].concat();
    let pixels: Vec<u8> = inks.chunks(4).flat_map(|ink| ink.repeat(16)).collect::<Vec<_>>().repeat(16);
    let image = turbojpeg::Image {
        pixels: pixels.as_slice(),
        width: 48,
        pitch: 192,
        height: 16,
        format: turbojpeg::PixelFormat::CMYK,
    };
    let file = turbojpeg::compress(image, 95, turbojpeg::Subsamp::None).unwrap();
    let raster = decode(&file, &LIMITS).unwrap();
    for (x, expected) in [(4, [255, 255, 255]), (20, [0, 0, 0]), (40, [0, 255, 255])] {
        let color = raster.pixel(x, 8);
        assert!((0..3).all(|i| color[i].abs_diff(expected[i]) < 6) && color[3] == 255, "{color:?}");
    }
}

#[test]
fn jpeg_of_one_channel_is_grey() {
    let image = turbojpeg::Image {
        pixels: &[77u8; 256][..],
        width: 16,
        pitch: 16,
        height: 16,
        format: turbojpeg::PixelFormat::GRAY,
    };
    let file = turbojpeg::compress(image, 95, turbojpeg::Subsamp::Gray).unwrap();
    assert_eq!(decode(&file, &LIMITS).unwrap().pixel(3, 3), [77, 77, 77, 255]);
}

/// A big-endian TIFF of two tiles, palette, PackBits: by hand.
#[test]
fn tiff_with_palette_in_tiles() {
    let mut file = b"MM\0\x2a\0\0\0\x08".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let value = if kind == 3 && count == 1 { value << 16 } else { value };
        [&tag.to_be_bytes()[..], &kind.to_be_bytes()[..], &count.to_be_bytes()[..], &value.to_be_bytes()[..]]
            .concat()
    };
    let tags = 12u32;
    let beside = 8 + 2 + tags * 12 + 4;
    let (offsets, lengths, palette) = (beside, beside + 8, beside + 16);
    let tiles = palette + 3 * 4 * 2;
    file.extend((tags as u16).to_be_bytes());
    for line in [
        entry(256, 3, 1, 20),
        entry(257, 3, 1, 16),
        entry(258, 3, 1, 2),
        entry(259, 3, 1, 32_773),
        entry(262, 3, 1, 3),
        entry(277, 3, 1, 1),
        entry(284, 3, 1, 1),
        entry(320, 3, 12, palette),
        entry(322, 3, 1, 16),
        entry(323, 3, 1, 16),
        entry(324, 4, 2, offsets),
        entry(325, 4, 2, lengths),
    ] {
        file.extend(line);
    }
    file.extend([0; 4]);
    // 16 rows of 4 bytes: the first tile all 1, the second all 2.
    let tiles_data: [&[u8]; 2] = [&[0xc1, 0b0101_0101], &[0xe1, 0b1010_1010, 0xe1, 0b1010_1010]];
    file.extend(tiles.to_be_bytes());
    file.extend((tiles + 2).to_be_bytes());
    file.extend(2u32.to_be_bytes());
    file.extend(4u32.to_be_bytes());
    for (r, g, b) in [((0, 10, 20, 0), (0, 11, 21, 0), (0, 12, 22, 0))] {
        for channel in [r, g, b] {
            for value in [channel.0, channel.1, channel.2, channel.3] {
                file.extend([value, value]);
            }
        }
    }
    file.extend(tiles_data.concat());
    assert_eq!(looks_whole(&file), Some(Format::Tiff));
    let raster = decode(&file, &LIMITS).unwrap();
    assert_eq!(raster.pixel(0, 0), [10, 11, 12, 255]);
    assert_eq!(raster.pixel(15, 15), [10, 11, 12, 255]);
    assert_eq!(raster.pixel(16, 0), [20, 21, 22, 255]);
    assert_eq!(raster.pixel(19, 15), [20, 21, 22, 255]);
}

#[test]
fn handles_survive_a_damaged_file() {
    let good = encode(&photo(64, 64), &ImageOptions::new(Format::Jpeg), None).unwrap().bytes;
    let before = decode(&good, &LIMITS).unwrap();
    assert!(decode(&good[..300], &LIMITS).is_err());
    let after = decode(&good, &LIMITS).unwrap();
    assert!(psnr(&before, &after).is_infinite());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn flipped_bits_do_not_panic(flips in prop::collection::vec((any::<u32>(), 0u8..8), 1..6)) {
        for mut file in samples() {
            for &(at, bit) in &flips {
                let at = at as usize % file.len();
                file[at] ^= 1 << bit;
            }
            let _ = looks_whole(&file);
            let _ = decode(&file, &LIMITS);
        }
    }

    #[test]
    fn any_bytes_after_a_signature_do_not_panic(
        start in prop::sample::select(vec![
            &b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF89a", b"II\x2a\0\x08\0\0\0", b"MM\0\x2a\0\0\0\x08",
            b"RIFF\x40\0\0\0WEBPVP8 ", b"RIFF\x40\0\0\0WEBPVP8L",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let file = [start, &rest].concat();
        let _ = looks_whole(&file);
        let _ = decode(&file, &LIMITS);
    }
}
