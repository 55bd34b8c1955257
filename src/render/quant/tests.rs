//! Exactness, bounds, and the numbers of colours.

use proptest::prelude::*;

use super::*;
use crate::render::encode::tests::{drawn, overlay, photo, psnr};

fn shown(indexed: &Indexed) -> Raster {
    let pixels: Vec<u8> = indexed.indices.iter().flat_map(|&i| indexed.palette[usize::from(i)]).collect();
    let mut raster = Raster { width: indexed.width, height: indexed.height, opaque: false, pixels };
    raster.opaque = !raster.has_alpha();
    raster
}

/// A smooth map with a few thousand colours: more than a palette, few enough to count.
fn soft(width: u32, height: u32) -> Raster {
    let mut raster = drawn(width, height);
    for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        pixel[0] = pixel[0].wrapping_sub((i as u32 % width / 8) as u8 & 31);
        pixel[2] = pixel[2].wrapping_add((i as u32 / width / 8) as u8 & 31);
    }
    raster
}

#[test]
fn few_colours_stay_as_they_are() {
    for raster in [drawn(256, 256), Raster::filled(9, 9, [1, 2, 3, 4]), Raster::filled(1, 1, [0, 0, 0, 0])] {
        for quantizer in [Quantizer::FastOctree, Quantizer::MedianCut] {
            assert_eq!(shown(&quantize(&raster, 256, quantizer)), raster);
        }
    }
}

#[test]
fn exactly_the_limit_is_exact_and_one_more_is_not() {
    let mut raster = Raster::filled(16, 16, [0, 0, 0, 255]);
    for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *pixel = [i as u8, 255 - i as u8, 9, 255];
    }
    let exact = quantize(&raster, 256, Quantizer::FastOctree);
    assert_eq!((exact.palette.len(), shown(&exact)), (256, raster.clone()));
    let reduced = quantize(&raster, 255, Quantizer::FastOctree);
    assert!(reduced.palette.len() <= 255);
    assert!(psnr(&raster, &shown(&reduced)) > 50.0);
}

#[test]
fn the_number_of_colours_is_kept() {
    for raster in [photo(200, 200), overlay(200, 200), soft(256, 256)] {
        for colors in [1, 2, 3, 16, 100, 255, 256] {
            for quantizer in [Quantizer::FastOctree, Quantizer::MedianCut] {
                let indexed = quantize(&raster, colors, quantizer);
                assert!(indexed.palette.len() <= usize::from(colors.max(2)));
                assert!(indexed.indices.iter().all(|&i| usize::from(i) < indexed.palette.len()));
            }
        }
    }
}

#[test]
fn quality_on_the_three_kinds_of_image() {
    for (raster, octree_db, careful_db) in
        [(photo(256, 256), 29.0, 28.0), (overlay(256, 256), 28.0, 28.0), (soft(256, 256), 40.0, 40.0)]
    {
        for (quantizer, least) in [(Quantizer::FastOctree, octree_db), (Quantizer::MedianCut, careful_db)] {
            let db = psnr(&raster, &shown(&quantize(&raster, 256, quantizer)));
            assert!(db > least, "{quantizer:?}: {db}");
        }
    }
}

/// One red pixel in a grey photograph must not become grey.
#[test]
fn a_rare_colour_keeps_its_hue() {
    for base in [photo(256, 256), soft(256, 256)] {
        let mut raster = base;
        raster.pixels[40_000..40_004].copy_from_slice(&[255, 0, 0, 255]);
        let read = shown(&quantize(&raster, 256, Quantizer::FastOctree));
        let [r, g, b, _] = *read.pixels[40_000..].first_chunk().unwrap();
        assert!(r > 190 && g < 65 && b < 65, "{r} {g} {b}");
    }
}

#[test]
fn transparent_pixels_stay_transparent_whatever_lies_under_them() {
    let mut raster = overlay(256, 256);
    for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        if i % 3 == 0 {
            *pixel = [i as u8, (i >> 8) as u8, 77, 0];
        }
    }
    let read = shown(&quantize(&raster, 256, Quantizer::FastOctree));
    assert!(read.pixels.as_chunks::<4>().0.iter().step_by(3).all(|pixel| pixel[3] == 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With the whole palette no channel is off by more than a box is wide and a cell more.
    #[test]
    fn the_error_is_bounded(seed in any::<u64>(), spread in 1u32..256, width in 1u32..200) {
        let mut raster = Raster::filled(width, 64, [0, 0, 0, 255]);
        let mut state = seed;
        for pixel in raster.pixels.as_chunks_mut::<4>().0 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let part = |shift: u32| ((state >> shift) as u32 % spread) as u8;
            *pixel = [part(32), part(40), part(48), 255];
        }
        let read = shown(&quantize(&raster, 256, Quantizer::FastOctree));
        for (read, was) in read.pixels.iter().zip(&raster.pixels) {
            prop_assert!(read.abs_diff(*was) <= 72);
        }
    }
}
