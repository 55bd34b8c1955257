//! Pictures that carry their own address.
//!
//! The mock upstream paints every pixel by the web mercator tile that it lies
//! in: one colour tells level, column and row, and the tile's uppermost row
//! and leftmost column bear its complement. A tile under a wrong name, of
//! another client, or shifted by a pixel is therefore seen in any answer.

/// Half the side of the web mercator square in metres.
pub const MERC: f64 = 20_037_508.342_789_244;
pub const TILE_PX: u32 = 256;

/// The colour of a tile: level in 4 bits, column and row in 10 each. `row`
/// counts from the north.
pub fn color(level: u32, column: u32, row: u32) -> [u8; 3] {
    let code = (level & 15) << 20 | (column & 1023) << 10 | (row & 1023);
    [(code >> 16) as u8, (code >> 8) as u8, code as u8]
}

fn complement(color: [u8; 3]) -> [u8; 3] {
    color.map(|c| !c)
}

/// Paints a map of web mercator: `bbox` west, south, east, north in metres.
pub fn map(bbox: [f64; 4], width: u32, height: u32) -> Vec<u8> {
    let res = (bbox[2] - bbox[0]) / f64::from(width);
    let level = (2.0 * MERC / f64::from(TILE_PX) / res).log2().round().clamp(0.0, 15.0);
    let exact = 2.0 * MERC / f64::from(TILE_PX) / level.exp2();
    let side = f64::from(TILE_PX);
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        let north = (MERC - (bbox[3] - (f64::from(y) + 0.5) * res)) / exact;
        for x in 0..width {
            let east = (bbox[0] + (f64::from(x) + 0.5) * res + MERC) / exact;
            let (column, row) = ((east / side).floor(), (north / side).floor());
            let own = color(level as u32, column.max(0.0) as u32, row.max(0.0) as u32);
            let edge = (east - column * side).floor() < 1.0 || (north - row * side).floor() < 1.0;
            rgb.extend_from_slice(&if edge { complement(own) } else { own });
        }
    }
    png(&rgb, width, height)
}

/// One tile of web mercator, row from the north.
pub fn tile(level: u32, column: u32, row: u32) -> Vec<u8> {
    let res = 2.0 * MERC / f64::from(TILE_PX) / f64::from(1_u32 << level);
    let side = f64::from(TILE_PX) * res;
    let (west, north) = (-MERC + f64::from(column) * side, MERC - f64::from(row) * side);
    map([west, north - side, west + side, north], TILE_PX, TILE_PX)
}

/// RGB bytes as a PNG file.
pub fn png(rgb: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().expect("a PNG header");
    writer.write_image_data(rgb).expect("PNG pixels");
    writer.finish().expect("a PNG end");
    out
}

/// Checks that an image is just this tile; says what it is otherwise.
pub fn check(bytes: &[u8], level: u32, column: u32, row: u32) -> Result<(), String> {
    let raster = rhumb::render::decode(bytes, &rhumb::render::DecodeLimits::default())
        .map_err(|e| format!("tile {level}/{column}/{row} does not decode: {e}"))?;
    if (raster.width, raster.height) != (TILE_PX, TILE_PX) {
        return Err(format!("tile {level}/{column}/{row} has {}×{} pixels", raster.width, raster.height));
    }
    let own = color(level, column, row);
    for (x, y, wanted) in [
        (128, 128, own),
        (1, 1, own),
        (255, 255, own),
        (0, 0, complement(own)),
        (0, 255, complement(own)),
        (255, 0, complement(own)),
    ] {
        let [r, g, b, a] = raster.pixel(x, y);
        if a != 255 || [r, g, b].iter().zip(wanted).any(|(have, want)| have.abs_diff(want) > 0) {
            return Err(format!(
                "tile {level}/{column}/{row} bears another address: {:?} at {x},{y} in place of {wanted:?}",
                [r, g, b, a]
            ));
        }
    }
    Ok(())
}
