//! Drawing held against Pillow's output, against itself, and positions
//! against the exact transformation.

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

/// Four tiles of 64 × 64, red by column and green by row of the whole.
fn gradient() -> Mosaic {
    let tile = |column: u32, row: u32| {
        let mut raster = Raster::filled(64, 64, [0, 0, 80, 255]);
        for (at, pixel) in raster.pixels.chunks_exact_mut(4).enumerate() {
            pixel[0] = (column * 64 + at as u32 % 64) as u8 * 2;
            pixel[1] = (row * 64 + at as u32 / 64) as u8 * 2;
        }
        Some(Arc::new(raster))
    };
    let tiles = vec![tile(0, 0), tile(1, 0), tile(0, 1), tile(1, 1)];
    Mosaic { tile_size: (64, 64), columns: 2, rows: 2, tiles, background: [0; 4] }
}

#[test]
fn one_resolution_is_a_crop() {
    let source = gradient();
    let srs = Srs::parse("EPSG:3857").unwrap();
    let area = extent(0.0, 0.0, 1280.0, 1280.0);
    let draw_at = |x: f64, y: f64, per_px: f64| {
        let (width, height) = (40.0, 30.0);
        let target = Target {
            extent: extent(x, y - height * per_px, x + width * per_px, y),
            size: (40, 30),
            srs: srs.clone(),
        };
        draw(&source, &area, &srs, &target, Kernel::Bicubic)
    };
    let crop = source.crop(50, 40, 40, 30);
    assert_eq!(draw_at(500.0, 880.0, 10.0), crop);
    assert_eq!(draw_at(503.0, 884.0, 10.0), crop, "less than half a pixel is rounded away");
    assert_eq!(draw_at(500.0, 880.0, 10.000_2), crop);
    assert!(draw_at(500.0, 880.0, 10.5) != crop);
    let beyond = draw_at(-100.0, 880.0, 10.0);
    assert_eq!((beyond.opaque, beyond.pixel(9, 0)[3], beyond.pixel(10, 0)[3]), (false, 0, 255));
    let all = Target { extent: extent(0.4, 0.4, 1280.4, 1280.4), size: (128, 128), srs: srs.clone() };
    assert_eq!(draw(&source, &area, &srs, &all, Kernel::Bicubic), source.crop(0, 0, 128, 128));
}

#[test]
fn stretching_is_drawing_the_whole() {
    let source = gradient();
    let whole = source.crop(0, 0, source.size().0, source.size().1);
    let extent = extent(0.0, 0.0, 1.0, 1.0);
    let srs = Srs::parse("EPSG:3857").unwrap();
    for size in [(7, 5), source.size(), (3 * source.size().0, 2 * source.size().1)] {
        let target = Target { extent, size, srs: srs.clone() };
        let drawn = draw(&source, &extent, &srs, &target, Kernel::Bicubic);
        assert_eq!(stretch(whole.clone(), size, Kernel::Bicubic), drawn, "{size:?}");
    }
    assert_eq!(stretch(whole, (0, 3), Kernel::Bicubic).pixels.len(), 0);
}

#[test]
fn what_cannot_be_drawn_is_transparent() {
    let source = gradient();
    let srs = Srs::parse("EPSG:3857").unwrap();
    let area = extent(0.0, 0.0, 1280.0, 1280.0);
    for target_extent in [
        extent(5000.0, 5000.0, 6000.0, 6000.0),
        extent(0.0, 0.0, 0.0, 0.0),
        extent(f64::NAN, 0.0, 1.0, 1.0),
        extent(-1e300, -1e300, 1e300, 1e300),
        extent(7.0, 7.0, 3.0, 3.0),
    ] {
        for kernel in [Kernel::Nearest, Kernel::Bilinear, Kernel::Bicubic] {
            let target = Target { extent: target_extent, size: (9, 5), srs: srs.clone() };
            let drawn = draw(&source, &area, &srs, &target, kernel);
            assert_eq!((drawn.width, drawn.height, drawn.opaque), (9, 5, false));
            let clear = drawn.pixels.chunks(4).all(|p| p[3] == 0);
            assert!(clear || target_extent.min_x == -1e300, "{target_extent:?}");
        }
    }
    let empty = Mosaic::single(Arc::new(Raster::filled(0, 0, [0; 4])));
    let target = Target { extent: area, size: (2, 2), srs: srs.clone() };
    assert_eq!(draw(&empty, &area, &srs, &target, Kernel::Bicubic).pixels, vec![0; 16]);
}

/// A reprojection that moves nothing equals scaling, but for the rounding of
/// positions to a phase.
#[test]
fn reprojection_and_scaling_agree() {
    let source = gradient();
    let area = extent(0.0, 0.0, 1280.0, 1280.0);
    let srs = Srs::parse("EPSG:3857").unwrap();
    let stays = |_: &mut [[f64; 2]]| {};
    for target_extent in [extent(-30.0, 101.0, 1003.0, 900.0), extent(307.0, 350.0, 611.0, 599.0)] {
        let target = Target { extent: target_extent, size: (150, 111), srs: srs.clone() };
        for kernel in [Kernel::Nearest, Kernel::Bilinear, Kernel::Bicubic] {
            let scaled = draw(&source, &area, &srs, &target, kernel);
            let projected = reproject::draw(&source, &area, &target, kernel, &stays);
            assert_eq!(scaled.opaque, projected.opaque);
            for (at, (a, b)) in scaled.pixels.iter().zip(&projected.pixels).enumerate() {
                // A pixel whose centre meets an edge may fall to either side.
                let limit = if kernel == Kernel::Nearest { 2 } else { 1 };
                assert!(a.abs_diff(*b) <= limit, "{kernel:?}: {a} and {b} at {at}");
            }
        }
    }
}

/// The largest distance in source pixels between the mesh and the exact
/// transformation, over all pixels whose exact place lies in the source.
fn mesh_error_px(size: (u32, u32), side: (u32, u32), exact: &dyn Fn(&mut [[f64; 2]])) -> f64 {
    let mesh = mesh::divide(size, side, exact);
    let mut places = vec![None; (size.0 * size.1) as usize];
    let mut put = |x: u32, y: u32, place: [f64; 2]| {
        let old = places[(y * size.0 + x) as usize].replace(place);
        assert!(old.is_none(), "pixel {x}, {y} is drawn twice");
    };
    for cell in &mesh.cells {
        for row in 0..cell.area.y1 - cell.area.y0 {
            let (start, step) = cell.row(row);
            for column in 0..cell.area.x1 - cell.area.x0 {
                let along = |axis: usize| start[axis] + step[axis] * f64::from(column);
                put(cell.area.x0 + column, cell.area.y0 + row, [along(0), along(1)]);
            }
        }
    }
    mesh.pixels.iter().for_each(|&(x, y, place)| put(x, y, place));
    let centre = |at: u32| [f64::from(at % size.0) + 0.5, f64::from(at / size.0) + 0.5];
    let mut points: Vec<[f64; 2]> = (0..size.0 * size.1).map(centre).collect();
    exact(&mut points);
    let mut worst: f64 = 0.0;
    for (point, place) in points.iter().zip(places) {
        let inside = |axis: usize, side: u32| (0.0..f64::from(side)).contains(&point[axis]);
        if inside(0, side.0) && inside(1, side.1) {
            let place = place.unwrap_or([f64::INFINITY; 2]);
            worst = worst.max((place[0] - point[0]).abs()).max((place[1] - point[1]).abs());
        }
    }
    worst
}

#[test]
fn the_mesh_bears_folds_and_holes() {
    type Hole<'a> = &'a dyn Fn(&mut [[f64; 2]]);
    let holes: [Hole<'_>; 4] = [
        &|points| points.iter_mut().for_each(|p| p[0] = if p[0] > 77.3 { f64::INFINITY } else { p[0] }),
        &|points| points.iter_mut().for_each(|p| p[1] = (p[1] / 40.0).tan() * 30.0),
        &|points| points.iter_mut().for_each(|p| p[0] = (p[0] * 3.0) % 200.0),
        &|points| {
            points.iter_mut().for_each(|p| *p = [p[0].powi(3) / 1e4, (p[1] - 60.0).powi(3) / 1e4 + 90.0])
        },
    ];
    for exact in holes {
        let error = mesh_error_px((200, 150), (200, 180), exact);
        assert!(error < 0.25, "{error}");
    }
    let nowhere = |points: &mut [[f64; 2]]| points.fill([f64::INFINITY; 2]);
    let mesh = mesh::divide((300, 300), (200, 200), &nowhere);
    assert!(mesh.cells.is_empty() && mesh.pixels.is_empty());
}

/// Target systems with an area of theirs, against mercator and geographic sources.
#[test]
fn positions_stay_within_a_quarter_pixel() {
    let targets = [
        ("EPSG:25832", extent(280_000.0, 5_235_000.0, 921_000.0, 6_101_000.0)),
        ("EPSG:25832", extent(690_000.0, 5_333_000.0, 692_000.0, 5_335_000.0)),
        ("EPSG:4326", extent(-180.0, -90.0, 180.0, 90.0)),
        ("EPSG:4326", extent(5.0, 45.0, 25.0, 60.0)),
        ("EPSG:3857", extent(-20_037_508.3, -20_037_508.3, 20_037_508.3, 20_037_508.3)),
        ("EPSG:3035", extent(2_400_000.0, 1_400_000.0, 7_300_000.0, 5_500_000.0)),
        ("EPSG:2056", extent(2_485_000.0, 1_075_000.0, 2_834_000.0, 1_296_000.0)),
        ("EPSG:27700", extent(0.0, 0.0, 700_000.0, 1_300_000.0)),
        ("EPSG:3413", extent(-4_000_000.0, -4_000_000.0, 4_000_000.0, 4_000_000.0)),
        ("EPSG:32633", extent(-3_000_000.0, 1_000_000.0, 4_000_000.0, 9_900_000.0)),
    ];
    for source_code in ["EPSG:3857", "EPSG:4326", "EPSG:25832"] {
        for (target_code, area) in &targets {
            let (Ok(source), Ok(target)) = (Srs::parse(source_code), Srs::parse(target_code)) else {
                continue; // a build without that projection refuses its name elsewhere
            };
            if source == target {
                continue;
            }
            let size = (301, 257);
            let Some(source_area) = target.transform_extent(&source, area) else { continue };
            let res = [area.width() / 301.0, area.height() / 257.0];
            let per = [700.0 / source_area.width(), 500.0 / source_area.height()];
            let exact = |points: &mut [[f64; 2]]| {
                for p in points.iter_mut() {
                    *p = [area.min_x + p[0] * res[0], area.max_y - p[1] * res[1]];
                }
                target.transform_points(&source, points);
                for p in points.iter_mut() {
                    *p = [(p[0] - source_area.min_x) * per[0], (source_area.max_y - p[1]) * per[1]];
                }
            };
            let error = mesh_error_px(size, (700, 500), &exact);
            assert!(error < 0.25, "{target_code} from {source_code}: {error} px");
        }
    }
}

/// Pixels and positions together: a gradient tells where each pixel came from.
#[test]
fn a_reprojected_gradient_lies_where_it_should() {
    let source = gradient();
    let (mercator, geographic) = (Srs::parse("EPSG:3857").unwrap(), Srs::parse("EPSG:4326").unwrap());
    let area = extent(1_000_000.0, 6_000_000.0, 1_128_000.0, 6_128_000.0);
    let target = Target { extent: extent(9.3, 47.6, 10.3, 48.2), size: (173, 141), srs: geographic.clone() };
    for kernel in [Kernel::Nearest, Kernel::Bilinear, Kernel::Bicubic] {
        let drawn = draw(&source, &area, &mercator, &target, kernel);
        let mut seen = 0;
        for y in 0..141 {
            for x in 0..173 {
                let mut at =
                    [[9.3 + (f64::from(x) + 0.5) / 173.0, 48.2 - (f64::from(y) + 0.5) * 0.6 / 141.0]];
                geographic.transform_points(&mercator, &mut at);
                let place = [(at[0][0] - area.min_x) / 1000.0, (area.max_y - at[0][1]) / 1000.0];
                if place.iter().any(|&p| !(2.0..126.0).contains(&p)) {
                    continue;
                }
                seen += 1;
                let pixel = drawn.pixel(x, y);
                // Two levels a pixel: a quarter pixel, and what is cut off.
                let limit = if kernel == Kernel::Nearest { 1.5 } else { 1.5 + 0.01 };
                for axis in 0..2 {
                    let exact = if kernel == Kernel::Nearest {
                        place[axis].floor() * 2.0
                    } else {
                        (place[axis] - 0.5) * 2.0
                    };
                    let off = (f64::from(pixel[axis]) - exact).abs();
                    let edge = (place[axis] - place[axis].round()).abs() < 0.25;
                    assert!(off <= limit || (edge && off <= 2.0), "{kernel:?}: {off} at {x}, {y}");
                }
                assert_eq!((pixel[2], pixel[3]), (80, 255));
            }
        }
        assert!(seen > 5000 && !drawn.opaque, "{seen}");
    }
}
