//! How long reading, colour reduction and writing of images take, each alone,
//! on images made here: `cargo bench --bench images`. The tenth percentile of
//! repeated runs is printed, with the size of the file.
//!
//! Times are to be compared within one run only.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rhumb::render::{DecodeLimits, Format, ImageOptions, Quantizer, Raster, decode, encode, quant};

const RUN: Duration = Duration::from_millis(300);

/// Flat areas and soft-edged lines: a few thousand colours.
fn drawn(side: u32) -> Raster {
    fill(side, |x, y| {
        let road = ((x as i32 * 3 + y as i32) % 97 - 48).unsigned_abs();
        let river = ((y as i32 * 5 - x as i32 * 2).rem_euclid(211) - 105).unsigned_abs();
        match (road, river) {
            (0..6, _) => [250 - road as u8 * 9, 200 - road as u8 * 3, 120 + (x / 37) as u8, 255],
            (_, 0..14) => [150 + river as u8, 200 + (river / 2) as u8, 230, 255],
            _ if (x / 24 + y / 31) % 3 == 0 => [205, 235, 176 + (y / 64) as u8, 255],
            _ => [242, 239, 233, 255],
        }
    })
}

/// Smooth and grainy: imagery.
fn photo(side: u32) -> Raster {
    let mut grain = 1u32;
    fill(side, |x, y| {
        grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wave =
            |a: f32, b: f32| (90.0 + 70.0 * (x as f32 * a + y as f32 * b).sin() + (grain >> 29) as f32) as u8;
        [wave(0.011, 0.017), wave(0.021, -0.008), wave(0.007, 0.013) / 2, 255]
    })
}

fn fill(side: u32, mut color: impl FnMut(u32, u32) -> [u8; 4]) -> Raster {
    let mut raster = Raster::filled(side, side, [0, 0, 0, 255]);
    for (i, pixel) in raster.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *pixel = color(i as u32 % side, i as u32 / side);
    }
    raster
}

/// Milliseconds, and what the last run gave.
fn time<T>(mut work: impl FnMut() -> T) -> (f64, T) {
    let began = Instant::now();
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        let result = black_box(work());
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if began.elapsed() > RUN && times.len() > 10 {
            times.sort_by(f64::total_cmp);
            return (times[times.len() / 10], result);
        }
    }
}

fn main() {
    println!("{:14} {:>16} {:>9} {:>9} {:>9}", "image", "what", "write ms", "kB", "read ms");
    for side in [256, 512] {
        let single = Raster::filled(side, side, [170, 211, 223, 255]);
        for (name, raster) in [("drawn", drawn(side)), ("photo", photo(side)), ("one colour", single)] {
            let image = format!("{name} {side}");
            let (ms, palette) = time(|| quant::quantize(&raster, 256, Quantizer::FastOctree).palette);
            println!("{image:14} {:>16} {ms:9.3}", format!("{} colours", palette.len()));
            for (what, format, colors) in
                [("png palette", Format::Png, 256), ("png 24", Format::Png, 0), ("jpeg", Format::Jpeg, 0)]
            {
                let options = ImageOptions { colors, ..ImageOptions::new(format) };
                let (write_ms, file) = time(|| encode(&raster, &options, None).expect("a valid raster"));
                let limits = DecodeLimits::default();
                let (read_ms, _) = time(|| decode(&file.bytes, &limits).expect("our own file"));
                let size = file.bytes.len() as f64 / 1e3;
                println!("{image:14} {what:>16} {write_ms:9.3} {size:9.1} {read_ms:9.3}");
            }
        }
    }
}
