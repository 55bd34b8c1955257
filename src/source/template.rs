//! The placeholders of a tile source's URL.

use std::fmt::Write;

use crate::geo::{TileCoord, TileGrid};

/// Longest template, and widest number in it (`%(x)09d`).
const TEMPLATE_BYTES_MAX: usize = 8 * 1024;
const WIDTH_MAX: usize = 64;

/// A parsed `url:` of a tile source (mapproxy-features.md §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Number { name: Number, style: Style },
    Word(Word),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    X,
    Y,
    Z,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Format,
    Quadkey,
    TcPath,
    TmsPath,
    ArcGisPath,
    Bbox,
}

/// A number's printf conversion: `s`, `d`, `03d`, `08x`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Style {
    is_padded_with_zeros: bool,
    width: usize,
    base: Base,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Ten,
    Hex,
    HexUpper,
}

impl UrlTemplate {
    /// # Errors
    /// A text for the operator: an unknown placeholder, a conversion that is none.
    pub fn parse(text: &str) -> Result<UrlTemplate, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("the URL has {} bytes, {TEMPLATE_BYTES_MAX} are allowed", text.len()));
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                plain.push('%');
                rest = after;
            } else if let Some(after) = after.strip_prefix('(') {
                let (part, after) = parse_placeholder(after)?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(part);
                rest = after;
            } else if after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit()) {
                // An escape of the URL itself. MapProxy wants `%%20` here, and
                // fails at the first request; nothing else can be meant.
                plain.push('%');
                rest = after;
            } else {
                return Err(format!("a percent sign without placeholder before {after:?} (write %% for %)"));
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(UrlTemplate { parts })
    }

    /// The URL of a tile; `tile` in the source grid's own counting, `format` as
    /// extension or MIME type.
    pub fn fill(&self, tile: TileCoord, grid: &TileGrid, format: &str) -> String {
        let mut url = String::with_capacity(128);
        for part in &self.parts {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Number { name, style } => {
                    let value = match name {
                        Number::X => tile.x,
                        Number::Y => tile.y,
                        Number::Z => i64::from(tile.z),
                    };
                    style.write(value, &mut url);
                }
                Part::Word(word) => word.write(tile, grid, format, &mut url),
            }
        }
        url
    }
}

/// What follows `%(`: the name, `)` and a conversion.
fn parse_placeholder(text: &str) -> Result<(Part, &str), String> {
    let (name, after) = text.split_once(')').ok_or_else(|| format!("unclosed placeholder %({text}"))?;
    let (style, conversion, after) = parse_style(after)
        .ok_or_else(|| format!("placeholder %({name}) needs a conversion after it, as in %({name})s"))?;
    let number = match name {
        "x" => Some(Number::X),
        "y" => Some(Number::Y),
        "z" => Some(Number::Z),
        _ => None,
    };
    if let Some(name) = number {
        return Ok((Part::Number { name, style }, after));
    }
    let word = match name {
        "format" => Word::Format,
        "quadkey" => Word::Quadkey,
        "tc_path" => Word::TcPath,
        "tms_path" => Word::TmsPath,
        "arcgiscache_path" => Word::ArcGisPath,
        "bbox" => Word::Bbox,
        _ => {
            return Err(format!(
                "unknown placeholder %({name})s; known are x, y, z, format, quadkey, tc_path, tms_path, \
                 arcgiscache_path, bbox"
            ));
        }
    };
    if conversion != 's' {
        return Err(format!("placeholder %({name}) is text and needs the conversion s"));
    }
    Ok((Part::Word(word), after))
}

fn parse_style(text: &str) -> Option<(Style, char, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (digits, after) = text.split_at(digits);
    let width =
        if digits.is_empty() { 0 } else { digits.parse().ok().filter(|width| *width <= WIDTH_MAX)? };
    let conversion = after.chars().next()?;
    let base = match conversion {
        's' | 'd' | 'i' | 'u' => Base::Ten,
        'x' => Base::Hex,
        'X' => Base::HexUpper,
        _ => return None,
    };
    // For text the zero means nothing.
    let is_padded_with_zeros = digits.starts_with('0') && conversion != 's';
    Some((Style { is_padded_with_zeros, width, base }, conversion, &after[1..]))
}

impl Style {
    fn write(self, value: i64, url: &mut String) {
        let width = self.width;
        // Writing to a String cannot fail.
        let _ = match (self.base, self.is_padded_with_zeros) {
            (Base::Ten, true) => write!(url, "{value:0width$}"),
            (Base::Ten, false) => write!(url, "{value:width$}"),
            (Base::Hex, true) => write!(url, "{value:0width$x}"),
            (Base::Hex, false) => write!(url, "{value:width$x}"),
            (Base::HexUpper, true) => write!(url, "{value:0width$X}"),
            (Base::HexUpper, false) => write!(url, "{value:width$X}"),
        };
    }
}

impl Word {
    fn write(self, tile: TileCoord, grid: &TileGrid, format: &str, url: &mut String) {
        let TileCoord { x, y, z } = tile;
        let _ = match self {
            Word::Format => {
                url.push_str(extension(format));
                Ok(())
            }
            Word::Quadkey => {
                url.extend((0..z).rev().map(|level| {
                    let bit = |v: i64| v.checked_shr(level).unwrap_or(0) & 1;
                    char::from(b"0123"[usize::from(bit(x) == 1) + 2 * usize::from(bit(y) == 1)])
                }));
                Ok(())
            }
            Word::TcPath => write!(
                url,
                "{z:02}/{:03}/{:03}/{:03}/{:03}/{:03}/{:03}",
                x / 1_000_000,
                (x / 1000) % 1000,
                x % 1000,
                y / 1_000_000,
                (y / 1000) % 1000,
                y % 1000,
            ),
            Word::TmsPath => write!(url, "{z}/{x}/{y}"),
            Word::ArcGisPath => write!(url, "L{z:02}/R{y:08x}/C{x:08x}"),
            Word::Bbox => {
                let e = grid.tile_extent(tile);
                write!(url, "{:.8},{:.8},{:.8},{:.8}", e.min_x, e.min_y, e.max_x, e.max_y)
            }
        };
    }
}

/// `png` of `image/png; mode=24bit`.
fn extension(format: &str) -> &str {
    let format = format.split(';').next().unwrap_or(format).trim();
    format.rsplit_once('/').map_or(format, |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Extent, GridOptions, Origin, Srs};

    fn grid(origin: Origin) -> TileGrid {
        let options = GridOptions {
            name: "g".into(),
            srs: Some(Srs::parse("EPSG:4326").unwrap()),
            extent: Some(Extent::new(0.0, -15.0, 10.0, -5.0)),
            origin: Some(origin),
            ..GridOptions::default()
        };
        TileGrid::build(&options).unwrap()
    }

    fn fill(text: &str, (x, y, z): (i64, i64, u32), format: &str) -> String {
        UrlTemplate::parse(text).unwrap().fill(TileCoord { x, y, z }, &grid(Origin::SouthWest), format)
    }

    #[test]
    fn placeholders_are_filled_as_mapproxy_fills_them() {
        for (template, tile, format, url) in [
            ("http://foo/%(z)s/%(x)d/%(y)s.png", (7, 4, 3), "", "http://foo/3/7/4.png"),
            ("http://foo/%(tc_path)s.png", (7, 4, 3), "", "http://foo/03/000/000/007/000/000/004.png"),
            ("%(tc_path)s", (1_234_567, 87_654_321, 9), "", "09/001/234/567/087/654/321"),
            ("http://foo/%(tms_path)s.%(format)s", (7, 4, 3), "png", "http://foo/3/7/4.png"),
            ("/%(tms_path)s.%(format)s", (7, 4, 3), "image/jpeg", "/3/7/4.jpeg"),
            ("/%(format)s", (7, 4, 3), "image/png; mode=24bit", "/png"),
            ("%(quadkey)s", (1, 2, 2), "", "21"),
            ("%(quadkey)s|", (0, 0, 0), "", "|"),
            ("%(arcgiscache_path)s", (1_234_567, 87_654_321, 9), "", "L09/R05397fb1/C0012d687"),
            ("%(bbox)s", (0, 0, 1), "", "0.00000000,-15.00000000,5.00000000,-10.00000000"),
            ("%(z)02d/%(x)5s/%(y)04X", (7, 255, 3), "", "03/    7/00FF"),
            ("a%%b%20c%2F", (0, 0, 0), "", "a%b%20c%2F"),
        ] {
            assert_eq!(fill(template, tile, format), url, "{template}");
        }
        let template = UrlTemplate::parse("%(bbox)s").unwrap();
        let northern = template.fill(TileCoord { x: 0, y: 0, z: 1 }, &grid(Origin::NorthWest), "");
        assert_eq!(northern, "0.00000000,-10.00000000,5.00000000,-5.00000000");
    }

    #[test]
    fn what_is_no_placeholder_is_refused_when_loaded() {
        for text in [
            "%(q)s",
            "%(x)",
            "%(x",
            "%x",
            "%",
            "100%",
            "%(x)f",
            "%(bbox)d",
            "%(x)999999999999d",
            "%()s",
            "%(y)é",
        ] {
            assert!(UrlTemplate::parse(text).is_err(), "{text}");
        }
        assert!(UrlTemplate::parse("%(level)s").unwrap_err().contains("tms_path"));
    }
}
