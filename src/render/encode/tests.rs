//! Round trips: what is written is read back by decoders that are not ours,
//! and by ours.

use proptest::prelude::*;

use md5::{Digest, Md5};

use super::*;
use crate::render::decode::{DecodeLimits, decode, looks_whole, sniff};
use crate::render::raster::TiffCompression;

/// A drawn map in small: flat areas, a soft-edged diagonal road, a label-like speckle.
pub(in crate::render) fn drawn(width: u32, height: u32) -> Raster {
    let mut raster = Raster::filled(width, height, [242, 239, 233, 255]);
    for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let (x, y) = (i as u32 % width, i as u32 / width);
        let distance = x.abs_diff(y);
        if distance < 6 {
            let shade = 255 - (distance * 9) as u8;
            *pixel = [shade, shade / 2 + 90, 60, 255];
        } else if x / 16 % 3 == 0 && y / 16 % 2 == 1 {
            *pixel = [170, 211, 223, 255];
        } else if (x * 7 + y * 13) % 97 == 0 {
            *pixel = [90, 90, 90, 255];
        }
    }
    raster
}

/// Imagery in small: smooth, noisy, thousands of colours.
pub(in crate::render) fn photo(width: u32, height: u32) -> Raster {
    let mut raster = Raster::filled(width, height, [0, 0, 0, 255]);
    let mut noise = 1u32;
    for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let (x, y) = (i as f32 % width as f32, (i / width as usize) as f32);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 28) as f32;
        let wave = |a: f32, b: f32| (120.0 + 100.0 * (x * a + y * b).sin() + grain) as u8;
        *pixel = [wave(0.02, 0.03), wave(0.05, -0.01), wave(-0.01, 0.04), 255];
    }
    raster
}

/// Like `photo`, with alpha from 0 to 255.
pub(in crate::render) fn overlay(width: u32, height: u32) -> Raster {
    let mut raster = photo(width, height);
    raster.opaque = false;
    for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        pixel[3] = ((i as u32 % width) * 3).min(255) as u8;
    }
    raster
}

/// Decibels between premultiplied pixels; infinite where they are equal.
pub(in crate::render) fn psnr(a: &Raster, b: &Raster) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let mut sum = 0.0;
    for (p, q) in a.pixels.as_chunks::<4>().0.iter().zip(b.pixels.as_chunks::<4>().0) {
        let seen =
            |c: &[u8; 4], i: usize| f64::from(c[i]) * if i < 3 { f64::from(c[3]) / 255.0 } else { 1.0 };
        sum += (0..4).map(|i| (seen(p, i) - seen(q, i)).powi(2)).sum::<f64>();
    }
    10.0 * (255.0 * 255.0 / (sum / a.pixels.len() as f64)).log10()
}

fn written(raster: &Raster, options: &ImageOptions) -> (Vec<u8>, Raster) {
    let encoded = encode(raster, options, None).unwrap();
    let sniffed = if encoded.format == Format::GeoTiff { Format::Tiff } else { encoded.format };
    assert_eq!(sniff(&encoded.bytes), Some(sniffed));
    assert_eq!(looks_whole(&encoded.bytes), Some(sniffed));
    let read = decode(&encoded.bytes, &DecodeLimits::default()).unwrap();
    (encoded.bytes, read)
}

fn options(format: Format) -> ImageOptions {
    ImageOptions::new(format)
}

/// Depth and colour type of a PNG.
fn png_type(bytes: &[u8]) -> (u8, u8) {
    (bytes[24], bytes[25])
}

#[test]
fn png_of_few_colours_is_exact_and_small() {
    let raster = drawn(256, 256);
    let (bytes, read) = written(&raster, &options(Format::Png));
    assert_eq!(read, raster);
    assert_eq!(png_type(&bytes), (4, 3));
}

#[test]
fn png_depth_follows_the_number_of_colours() {
    for (colors, depth) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)] {
        for width in [1, 7, 64, 257] {
            let mut raster = Raster::filled(width, 300, [0, 0, 0, 255]);
            for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let v = (i % colors) as u8;
                *pixel = [v, 255 - v, 7, 255];
            }
            let (bytes, read) = written(&raster, &options(Format::Png));
            assert_eq!(png_type(&bytes), (depth, 3), "{colors} colours");
            assert_eq!(read, raster);
        }
    }
}

#[test]
fn png_without_palette_is_exact() {
    let mut full = options(Format::Png);
    full.colors = 0;
    for (raster, kind) in [(photo(131, 67), 2), (overlay(131, 67), 6), (drawn(131, 67), 2)] {
        let (bytes, read) = written(&raster, &full);
        assert_eq!(png_type(&bytes), (8, kind));
        assert_eq!(read, raster);
    }
    let mut grey = photo(40, 30);
    for pixel in grey.pixels.as_chunks_mut::<4>().0 {
        *pixel = [pixel[0], pixel[0], pixel[0], 255];
    }
    let (bytes, read) = written(&grey, &full);
    assert_eq!(png_type(&bytes), (8, 2));
    assert_eq!(read, grey);
    full.mode = Some(ColorMode::I);
    assert_eq!(png_type(&written(&grey, &full).0), (8, 0));
    full.mode = Some(ColorMode::Rgba);
    assert_eq!(png_type(&written(&grey, &full).0), (8, 6));
}

#[test]
fn png_of_one_colour_is_tiny() {
    for color in [[255, 0, 0, 255], [0, 0, 0, 0], [10, 20, 30, 128]] {
        let raster = Raster::filled(256, 256, color);
        let (bytes, read) = written(&raster, &options(Format::Png));
        assert_eq!(png_type(&bytes), (1, 3));
        assert!(bytes.len() < 150, "{}", bytes.len());
        assert_eq!(read, raster);
    }
}

#[test]
fn png_with_reduced_palette_stays_near() {
    for (raster, least_db) in [(photo(256, 256), 29.0), (overlay(256, 256), 28.0)] {
        let (bytes, read) = written(&raster, &options(Format::Png));
        assert_eq!(png_type(&bytes), (8, 3));
        let db = psnr(&raster, &read);
        assert!(db > least_db, "{db}");
    }
}

#[test]
fn transparency_is_laid_on_the_background_where_it_is_not_wanted() {
    let mut raster = Raster::filled(20, 10, [255, 0, 0, 255]);
    raster.opaque = false;
    raster.pixels[..4].copy_from_slice(&[0, 0, 0, 0]);
    raster.pixels[4..8].copy_from_slice(&[0, 0, 0, 128]);
    let mut opaque = options(Format::Png);
    opaque.transparent = Some(false);
    opaque.background = [0, 255, 0, 255];
    let (_, read) = written(&raster, &opaque);
    assert!(read.opaque);
    assert_eq!(read.pixel(0, 0), [0, 255, 0, 255]);
    assert_eq!(read.pixel(1, 0), [0, 127, 0, 255]);
    assert_eq!(read.pixel(2, 0), [255, 0, 0, 255]);
    opaque.transparent = Some(true);
    assert_eq!(written(&raster, &opaque).1, raster);
}

#[test]
fn jpeg_has_pillows_sampling_and_quality() {
    let raster = photo(256, 256);
    let (bytes, read) = written(&raster, &options(Format::Jpeg));
    let header = turbojpeg::read_header(&bytes).unwrap();
    assert_eq!(header.subsamp, turbojpeg::Subsamp::Sub2x2);
    assert!(read.opaque);
    assert!(psnr(&raster, &read) > 29.0, "{}", psnr(&raster, &read));
    let mut low = options(Format::Jpeg);
    low.jpeg_quality = 30;
    assert!(written(&raster, &low).0.len() * 2 < bytes.len());
    for quality in [0, 255] {
        low.jpeg_quality = quality;
        written(&raster, &low);
    }
}

#[test]
fn jpeg_of_a_transparent_image_shows_the_background() {
    let mut white = options(Format::Jpeg);
    white.background = [10, 200, 30, 255];
    let (_, read) = written(&Raster::filled(32, 32, [0, 0, 0, 0]), &white);
    let [r, g, b, a] = read.pixel(9, 9);
    assert!(r.abs_diff(10) < 4 && g.abs_diff(200) < 4 && b.abs_diff(30) < 4 && a == 255);
}

#[test]
fn mixed_is_png_only_where_something_is_transparent() {
    assert_eq!(encode(&photo(16, 16), &options(Format::Mixed), None).unwrap().format, Format::Jpeg);
    assert_eq!(encode(&overlay(16, 16), &options(Format::Mixed), None).unwrap().format, Format::Png);
    let mut solid = overlay(16, 16);
    for pixel in solid.pixels.as_chunks_mut::<4>().0 {
        pixel[3] = 255;
    }
    assert_eq!(encode(&solid, &options(Format::Mixed), None).unwrap().format, Format::Jpeg);
}

/// Files must not change by accident: caches compare them, and links to single
/// colours count on equal bytes.
#[test]
fn files_are_the_same_from_run_to_run() {
    let mut soft = drawn(96, 80);
    for (i, pixel) in soft.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        pixel[1] = pixel[1].wrapping_add((i / 5 % 40) as u8);
    }
    let images = [drawn(64, 48), soft, Raster::filled(256, 256, [10, 20, 30, 128])];
    let mut sums = Vec::new();
    for format in [Format::Png, Format::Gif, Format::Tiff] {
        for image in &images {
            let bytes = encode(image, &options(format), None).unwrap().bytes;
            let sum: String = Md5::digest(&bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(bytes, encode(image, &options(format), None).unwrap().bytes);
            sums.push(sum);
        }
    }
    let expected = [
        "98d3eb23", "4d9cf476", "4a3f07ff", "77689737", "afc607ff", "0506ed28", "3e562d5e", "62067215",
        "9009900a",
    ];
    assert_eq!(sums, expected);
}

#[test]
fn a_raster_that_lies_about_its_size_is_refused() {
    for (width, height, bytes) in [(0, 0, 0), (2, 2, 12), (2, 2, 20), (u32::MAX, u32::MAX, 4)] {
        let raster = Raster { width, height, opaque: true, pixels: vec![0; bytes] };
        for format in [Format::Png, Format::Jpeg, Format::Gif, Format::Tiff, Format::WebP] {
            assert!(encode(&raster, &options(format), None).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn png_of_any_small_image_comes_back(
        width in 1u32..40, height in 1u32..40, seed in any::<u32>(), levels in 1u32..9, alpha in any::<bool>(),
        colors in prop_oneof![Just(0u16), Just(256u16)],
    ) {
        let mut raster = Raster::filled(width, height, [0, 0, 0, 255]);
        let mut state = seed;
        for pixel in raster.pixels.as_chunks_mut::<4>().0 {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 16) % levels * 255 / levels.max(2)) as u8
            };
            *pixel = [next(), next(), 9, if alpha { next().max(1) } else { 255 }];
        }
        raster.opaque = !alpha;
        raster.opaque = !raster.has_alpha();
        let mut options = options(Format::Png);
        options.colors = colors;
        let (_, read) = written(&raster, &options);
        if levels <= 4 || colors == 0 {
            prop_assert_eq!(read, raster);
        } else {
            prop_assert!(psnr(&raster, &read) > 30.0);
        }
    }
}

#[test]
fn gif_keeps_256_colours_and_holes() {
    for raster in [drawn(67, 45), Raster::filled(300, 2, [9, 8, 7, 255]), Raster::filled(5, 5, [0, 0, 0, 0])]
    {
        assert_eq!(written(&raster, &options(Format::Gif)).1, raster);
    }
    let (_, read) = written(&overlay(128, 64), &options(Format::Gif));
    assert_eq!(read.pixel(3, 3)[3], 0);
    assert_eq!(read.pixel(100, 3)[3], 255);
    // More than one block, every code length.
    let (_, read) = written(&photo(256, 256), &options(Format::Gif));
    assert!(psnr(&photo(256, 256), &read) > 29.0);
}

#[test]
fn tiff_in_every_compression() {
    for (raster, exact) in [(photo(131, 67), true), (overlay(131, 67), true), (drawn(16, 16), true)] {
        for compression in [TiffCompression::Raw, TiffCompression::Lzw, TiffCompression::Jpeg] {
            let mut options = options(Format::Tiff);
            options.tiff_compression = compression;
            let (_, mut read) = written(&raster, &options);
            if compression == TiffCompression::Jpeg {
                assert!(read.opaque);
                assert!(psnr(&flattened(&raster, options.background), &read) > 25.0);
            } else {
                if !raster.opaque {
                    // Colours under alpha 0 are not kept.
                    read.pixels = read
                        .pixels
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .zip(raster.pixels.as_chunks::<4>().0)
                        .flat_map(|(read, was)| if read[3] == 0 && was[3] == 0 { *was } else { *read })
                        .collect();
                }
                assert_eq!(exact, read == raster);
            }
        }
    }
}

#[test]
fn geotiff_says_where_it_is() {
    let geo =
        GeoTag { extent: Extent::new(100.0, 200.0, 140.0, 220.0), epsg: Some(25832), geographic: false };
    let bytes = encode(&drawn(40, 10), &options(Format::GeoTiff), Some(&geo)).unwrap().bytes;
    let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let short = |at: usize| u16::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let directory = number(4);
    let values = |tag: u16| {
        let entry =
            (0..usize::from(short(directory))).map(|i| directory + 2 + i * 12).find(|&at| short(at) == tag);
        number(entry.unwrap() + 8)
    };
    let doubles = |tag: u16, count: usize| -> Vec<f64> {
        let at = values(tag);
        (0..count).map(|i| f64::from_le_bytes(*bytes[at + i * 8..].first_chunk().unwrap())).collect()
    };
    assert_eq!(doubles(33_550, 3), [1.0, 2.0, 0.0]);
    assert_eq!(doubles(33_922, 6), [0.0, 0.0, 0.0, 100.0, 220.0, 0.0]);
    let keys: Vec<u16> = (0..16).map(|i| short(values(34_735) + i * 2)).collect();
    assert_eq!(keys, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 25832]);
}

#[test]
fn webp_is_lossless_where_a_palette_is_asked_for() {
    let mut lossless = options(Format::WebP);
    lossless.colors = 256;
    for raster in [drawn(60, 40), photo(60, 40)] {
        assert_eq!(written(&raster, &lossless).1, raster);
        let (_, read) = written(&raster, &options(Format::WebP));
        assert!(psnr(&raster, &read) > 20.0, "{}", psnr(&raster, &read));
        assert!(read.opaque);
    }
    let (_, read) = written(&overlay(60, 40), &lossless);
    assert!(psnr(&overlay(60, 40), &read).is_infinite());
    let (_, read) = written(&overlay(60, 40), &options(Format::WebP));
    assert!(!read.opaque);
    assert!(encode(&Raster::filled(16_384, 1, [0; 4]), &options(Format::WebP), None).is_err());
}
