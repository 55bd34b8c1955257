use std::sync::Arc;

use super::*;
use crate::render::raster::Color;

/// The image of `tests/parity/pillow_transform.py`, cut into tiles.
fn pillow_source(mode: &str) -> Mosaic {
    let (width, height) = (23u32, 17u32);
    let mut state = 12345u64;
    let mut next = || {
        state = (state * 1_103_515_245 + 12345) % (1 << 31);
        (state >> 16) as u8
    };
    let mut raster = Raster::filled(width, height, [0; 4]);
    raster.opaque = mode == "RGB";
    for pixel in raster.pixels.chunks_exact_mut(4) {
        pixel.fill_with(&mut next);
        pixel[3] = match pixel[3] {
            _ if mode == "RGB" => 255,
            ..60 => 0,
            201.. => 255,
            alpha => alpha,
        };
    }
    Mosaic::single(Arc::new(raster))
}

/// The same picture in tiles of one column and the full height.
fn in_strips(mosaic: &Mosaic) -> Mosaic {
    let (width, height) = mosaic.size();
    let tiles = (0..width).map(|x| Some(Arc::new(mosaic.crop(i64::from(x), 0, 1, height)))).collect();
    Mosaic { tile_size: (1, height), columns: width, rows: 1, tiles, background: [0; 4] }
}

fn premultiplied(color: Color) -> [f64; 4] {
    let alpha = f64::from(color[3]);
    let part = |c: u8| f64::from(c) * alpha / 255.0;
    [part(color[0]), part(color[1]), part(color[2]), alpha]
}

#[test]
fn scaling_equals_pillow() {
    let cases = include_str!("../testdata/pillow_transform.tsv");
    let mut expected: &[u8] = include_bytes!("../testdata/pillow_transform.bin");
    let (mut exact, mut all) = (0, 0);
    for case in cases.lines() {
        let fields: Vec<&str> = case.split('\t').collect();
        let number = |at: usize| fields[at].parse::<f64>().unwrap();
        let size = (number(2) as u32, number(3) as u32);
        let part = Part { x0: number(4), y0: number(5), x1: number(6), y1: number(7) };
        let kernel = match fields[1] {
            "nearest" => Kernel::Nearest,
            "bilinear" => Kernel::Bilinear,
            _ => Kernel::Bicubic,
        };
        let source = pillow_source(fields[0]);
        let ours = scale::draw(&source, &part, size, kernel);
        assert_eq!(ours, scale::draw(&in_strips(&source), &part, size, kernel), "{case}");
        let (theirs, rest) = expected.split_at(ours.pixels.len());
        expected = rest;
        for (at, (ours, theirs)) in ours.pixels.chunks(4).zip(theirs.chunks(4)).enumerate() {
            let ours: Color = ours.try_into().unwrap();
            let mut theirs: Color = theirs.try_into().unwrap();
            if fields[0] == "RGB" && ours[3] == 0 {
                theirs[3] = 0; // Pillow's RGB has no alpha; what is not drawn is black.
            }
            all += 1;
            exact += usize::from(ours == theirs);
            let (ours, theirs) = (premultiplied(ours), premultiplied(theirs));
            for channel in 0..4 {
                let off = (ours[channel] - theirs[channel]).abs();
                assert!(off <= 2.01, "{case}: pixel {at}: {ours:?} for {theirs:?}");
            }
        }
    }
    assert!(expected.is_empty());
    assert!(exact * 100 >= all * 95, "{exact} of {all} pixels are the same");
}

fn extent(min_x: f64, min_y: f64, max_x: f64, max_y: f64) -> Extent {
    Extent::new(min_x, min_y, max_x, max_y)
}
