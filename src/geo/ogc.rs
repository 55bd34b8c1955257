//! Coordinate systems as the OGC API writes them: URLs of the OGC, codes in
//! brackets or plain; and numbers as its headers and addresses carry them.

use super::{Extent, Srs};

/// A system by URL (`http://www.opengis.net/def/crs/EPSG/0/4326`), safe CURIE
/// (`[EPSG:4326]`) or plain code.
pub fn parse(text: &str) -> Option<Srs> {
    let code = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    Srs::parse(code).ok()
}

/// The URL of a system.
pub fn url(srs: &Srs) -> String {
    let (authority, code) = srs.code().split_once(':').unwrap_or(("EPSG", srs.code()));
    match (authority, code) {
        ("OGC" | "CRS", "84" | "CRS84") => CRS84.to_owned(),
        // The OGC knows none of the other names of web mercator.
        ("EPSG", "900913" | "102100" | "102113") => url_of("EPSG", "0", "3857"),
        _ => match authority.strip_prefix("IAU_") {
            Some(version) => url_of("IAU", version, code),
            None => url_of(authority, "0", code),
        },
    }
}

/// Longitude before latitude on WGS 84: what the OGC API takes where nothing is said.
pub const CRS84: &str = "http://www.opengis.net/def/crs/OGC/1.3/CRS84";

fn url_of(authority: &str, version: &str, code: &str) -> String {
    format!("http://www.opengis.net/def/crs/{authority}/{version}/{code}")
}

/// Whether positions are written north before east. EPSG:4326 stands for CRS84
/// in what is written, as in MapProxy, so it does not count here.
fn is_north_first(srs: &Srs) -> bool {
    srs.is_axis_order_ne() && srs.code() != "EPSG:4326"
}

/// An extent for the field `Content-Bbox` and the parameter `bbox`.
pub fn bbox_text(extent: &Extent, srs: &Srs) -> String {
    let [min_x, min_y, max_x, max_y] = extent.to_array();
    let edges = if is_north_first(srs) { [min_y, min_x, max_y, max_x] } else { [min_x, min_y, max_x, max_y] };
    edges.map(seventeen_digits).join(",")
}

/// A number with up to 17 significant digits, as `%.17g` of C writes it: enough
/// to read the same number back.
fn seventeen_digits(value: f64) -> String {
    const DIGITS: i32 = 17;
    let scientific = format!("{value:.16e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs())
}

/// Without zeros at the end of the decimals.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// The envelope in another system. CRS84 counts as EPSG:4326, so that the whole
/// world becomes the whole mercator square. `None` where there is no image.
pub fn transform(extent: &Extent, from: &Srs, to: &Srs) -> Option<Extent> {
    let plain = Srs::parse("EPSG:4326").ok().filter(|plain| plain == from);
    let image = plain.as_ref().unwrap_or(from).transform_extent(to, extent)?;
    (image.is_valid() && image.width() > 0.0 && image.height() > 0.0).then_some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_read_and_written() {
        let url_of = |text: &str| parse(text).map(|srs| url(&srs));
        for (text, expected) in [
            ("EPSG:4326", "http://www.opengis.net/def/crs/EPSG/0/4326"),
            ("[EPSG:3857]", "http://www.opengis.net/def/crs/EPSG/0/3857"),
            ("EPSG:900913", "http://www.opengis.net/def/crs/EPSG/0/3857"),
            ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", CRS84),
            ("CRS:84", CRS84),
        ] {
            assert_eq!(url_of(text).as_deref(), Some(expected), "{text}");
        }
        assert!(parse("invalid").is_none());
        assert!(parse("[EPSG:4326").is_none());
    }

    #[test]
    fn numbers_are_written_as_c_writes_them() {
        for (value, expected) in [
            (-180.0, "-180"),
            (0.0, "0"),
            (20037508.342789244, "20037508.342789244"),
            (0.125764139776733, "0.12576413977673301"),
            (-0.251_528_279_553_466, "-0.25152827955346602"),
            (1e-5, "1.0000000000000001e-05"),
            (1e20, "1e+20"),
            (10018754.171394622, "10018754.171394622"),
        ] {
            assert_eq!(seventeen_digits(value), expected);
        }
    }

    #[test]
    fn the_world_becomes_the_whole_square() {
        let (Some(from), Some(to)) = (parse(CRS84), parse("EPSG:3857")) else { panic!("known systems") };
        let image = transform(&Extent::new(-180.0, -90.0, 180.0, 90.0), &from, &to).expect("an image");
        assert_eq!(
            bbox_text(&image, &to),
            "-20037508.342789244,-20037508.342789244,20037508.342789244,20037508.342789244"
        );
    }
}
