//! What the mock upstream answers to the maps of this list: the first part of
//! a path is the map's name, the second says what comes.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::harness::painted;
use crate::harness::upstream::{Answer, paint};

/// Side of a square of the chequered picture.
const CHECK_PX: u32 = 4;

/// The colour of `/flat`.
pub const FLAT: [u8; 4] = [0x33, 0x66, 0x99, 0xff];
/// The colour of `/glass`.
pub const GLASS: [u8; 4] = [0xff, 0, 0, 0x80];

/// Answers by path; what has been asked before counts for `/flaky`.
pub fn script() -> impl Fn(&str) -> Answer + Send + Sync {
    let seen: Mutex<HashMap<String, u32>> = Mutex::default();
    move |target: &str| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let rest = path.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest);
        let times = {
            let mut seen = seen.lock().expect("nobody panics with it");
            let times = seen.entry(path.to_owned()).or_default();
            *times += 1;
            *times
        };
        answer(rest, query, times)
    }
}

fn answer(path: &str, query: &str, times: u32) -> Answer {
    let asked = |text: &str| query.to_ascii_lowercase().contains(text);
    if asked("request=getfeatureinfo") || path.ends_with("/identify") {
        let body = match path {
            "xml" => "<?xml version=\"1.0\"?><info><v>7</v></info>".to_owned(),
            "json" => "{\"v\": 7}".to_owned(),
            _ => format!("told {}", parameter(query, "query_layers").unwrap_or_default()),
        };
        let kind = parameter(query, "info_format").unwrap_or_else(|| "text/plain".into());
        return Answer::Full(200, vec![format!("Content-Type: {kind}")], body.into_bytes());
    }
    if asked("request=getlegendgraphic") {
        return picture(20, 10, |_, _| [1, 2, 3, 255]);
    }
    let (width, height) = size(query);
    match path.split('/').next().unwrap_or_default() {
        "flat" => picture(width, height, |_, _| FLAT),
        "white" => picture(width, height, |x, _| if x < width / 2 { [255; 4] } else { [250, 250, 250, 255] }),
        "glass" => picture(width, height, |_, _| GLASS),
        "holes" => picture(width, height, |x, _| if x < width / 2 { [0; 4] } else { FLAT }),
        "slopes" => picture(width, height, slopes),
        "gradient" => picture(width, height, gradient),
        "checks" => picture(width, height, |x, y| {
            if (x / CHECK_PX + y / CHECK_PX).is_multiple_of(2) { [0, 0, 0, 255] } else { [255; 4] }
        }),
        "fail" => Answer::Status(path.rsplit('/').next().and_then(|code| code.parse().ok()).unwrap_or(500)),
        "flaky" if times > 1 => Answer::Status(500),
        "cookie" => {
            let body = paint(&format!("/wms?{query}")).unwrap_or_default();
            Answer::Full(200, vec!["Content-Type: image/png".into(), "Set-Cookie: taste=sweet".into()], body)
        }
        _ => match paint(&format!("/{path}?{query}")).or_else(|| paint(&format!("/{path}"))) {
            Some(body) => Answer::Bytes("image/png", body),
            None => picture(width, height, |_, _| FLAT),
        },
    }
}

/// The value of a parameter, whatever its case.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', " ");
        let value = percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned();
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn size(query: &str) -> (u32, u32) {
    let side = |name: &str| parameter(query, name)?.parse().ok();
    let both = parameter(query, "size").and_then(|size| {
        let (width, height) = size.split_once(',')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    });
    both.unwrap_or((side("width").unwrap_or(painted::TILE_PX), side("height").unwrap_or(painted::TILE_PX)))
}

/// What `/gradient` shows: more colours than a palette has.
pub fn gradient(x: u32, y: u32) -> [u8; 4] {
    [x as u8, y as u8, (x ^ y) as u8, 255]
}

/// What `/slopes` shows: many colours that change slowly.
pub fn slopes(x: u32, y: u32) -> [u8; 4] {
    let (x, y) = (x & 255, y & 255);
    [((x * x) >> 8) as u8, ((x * y) >> 8) as u8, ((y * y) >> 8) as u8, 255]
}

/// A picture of [`FLAT`].
pub fn flat(width: u32, height: u32) -> Vec<u8> {
    drawn(width, height, |_, _| FLAT)
}

fn picture(width: u32, height: u32, color: impl Fn(u32, u32) -> [u8; 4]) -> Answer {
    Answer::Bytes("image/png", drawn(width, height, color))
}

fn drawn(width: u32, height: u32, color: impl Fn(u32, u32) -> [u8; 4]) -> Vec<u8> {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels: Vec<u8> = places.flat_map(|(x, y)| color(x, y)).collect();
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a PNG header");
    writer.write_image_data(&pixels).expect("PNG pixels");
    writer.finish().expect("a PNG end");
    out
}
