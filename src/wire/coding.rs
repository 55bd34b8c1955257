//! Content codings: which one a client wants (RFC 9110 §12.5.3), what is
//! worth it, and how a response changes with it.

use std::io::{self, Write};

use super::message::{Body, Response};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

/// What is offered; the first of equals is taken. Brotli makes documents of
/// this kind smallest, zstd is quickest.
const OFFERED: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// Entries of Accept-Encoding that are read.
const ENTRIES_MAX: usize = 64;
/// Smaller bodies are sent as they are: with its head the answer is one packet
/// either way.
pub const BODY_BYTES_MIN: usize = 1024;

/// Where ten times the time would save a tenth of the bytes, we stop.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW_BITS: u32 = 20;
const ZSTD_LEVEL: i32 = 6;
const GZIP_LEVEL: i32 = 6;

impl Coding {
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// # Errors
    /// The encoder failed: for want of memory, or by a mistake of its own.
    pub fn encode(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Coding::Brotli => {
                let mut writer = brotli::CompressorWriter::new(
                    Vec::with_capacity(bytes.len() / 4),
                    32 * 1024,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW_BITS,
                );
                writer.write_all(bytes)?;
                writer.flush()?;
                Ok(writer.into_inner())
            }
            Coding::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
            Coding::Gzip => {
                let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).unwrap_or_default();
                let mut compressor = libdeflater::Compressor::new(level);
                let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
                let length = compressor
                    .gzip_compress(bytes, &mut packed)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                packed.truncate(length);
                Ok(packed)
            }
        }
    }
}

/// The coding that the client likes best among ours, by all its
/// Accept-Encoding fields; `None`: as it is.
pub fn choose<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Coding> {
    let mut weights = [None; OFFERED.len()];
    let mut others = None;
    for entry in fields.flat_map(|field| field.split(',')).take(ENTRIES_MAX) {
        let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let name = name.trim();
        let weight = weight_of(parameters);
        if name == "*" {
            others = weight;
        }
        for (at, coding) in OFFERED.iter().enumerate() {
            let is_named = name.eq_ignore_ascii_case(coding.name())
                || *coding == Coding::Gzip && name.eq_ignore_ascii_case("x-gzip");
            if is_named {
                weights[at] = weight;
            }
        }
    }
    let mut best = None;
    for (coding, weight) in OFFERED.into_iter().zip(weights) {
        let weight = weight.or(others).unwrap_or(0);
        if weight > best.map_or(0, |(_, most)| most) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// `q=0.5` in thousandths; 1000 without; 0 where it is malformed.
fn weight_of(parameters: &str) -> Option<u16> {
    for parameter in parameters.split(';') {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if !name.trim().eq_ignore_ascii_case("q") {
            continue;
        }
        let value = value.trim();
        let (whole, part) = value.split_once('.').unwrap_or((value, ""));
        let thousandths = format!("{part:0<3}");
        let is_weight = part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
        return Some(match whole {
            "1" if is_weight => 1_000,
            "0" if is_weight => thousandths.parse().unwrap_or(0),
            _ => 0,
        });
    }
    Some(1_000)
}

/// Whether a type of content is text of some kind. Pictures are packed already.
pub fn is_text(content_type: &str) -> bool {
    let mime = content_type.split(';').next().unwrap_or_default().trim();
    let has = |start: &str| mime.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start));
    let ends = |end: &str| {
        mime.len() > end.len()
            && mime.get(mime.len() - end.len()..).is_some_and(|s| s.eq_ignore_ascii_case(end))
    };
    has("text/")
        || [
            "/xml",
            "+xml",
            "_xml",
            "/json",
            "+json",
            "/javascript",
            "/vnd.ogc.gml",
            "/yaml",
            "/vnd.oai.openapi",
        ]
        .into_iter()
        .any(ends)
}

fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Whether the answer depends on what the client accepts.
pub fn is_worth_it(response: &Response) -> bool {
    response.body.as_slice().len() >= BODY_BYTES_MIN
        && field(response, "Content-Type").is_some_and(is_text)
        && field(response, "Content-Encoding").is_none()
        && field(response, "Content-Range").is_none()
}

/// Tells caches that another client may get other bytes.
pub fn vary(response: &mut Response) {
    match response.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("Vary")) {
        Some((_, value)) if value.trim() == "*" => {}
        Some((_, value)) => value.push_str(", Accept-Encoding"),
        None => response.headers.push(("Vary".into(), "Accept-Encoding".to_owned())),
    }
}

/// Gives the response a packed body. Its entity tag becomes weak: it is the
/// same document in other bytes (RFC 9110 §8.8.1).
pub fn put(response: &mut Response, coding: Coding, packed: Body) {
    response.body = packed;
    for (name, value) in &mut response.headers {
        if name.eq_ignore_ascii_case("ETag") && !value.starts_with("W/") {
            value.insert_str(0, "W/");
        }
    }
    response.headers.push(("Content-Encoding".into(), coding.name().to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    #[test]
    fn clients_choose_by_weight_and_we_among_equals() {
        for (fields, expected) in [
            (&["gzip, deflate, br, zstd"][..], Some("br")),
            (&["gzip, deflate"], Some("gzip")),
            (&["gzip;q=1.0, br;q=0.9"], Some("gzip")),
            (&["gzip;q=0.1", "zstd;q=0.2"], Some("zstd")),
            (&["GZIP"], Some("gzip")),
            (&["x-gzip"], Some("gzip")),
            (&["*"], Some("br")),
            (&["br;q=0, *;q=0.5"], Some("zstd")),
            (&["*;q=0, gzip"], Some("gzip")),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.000"], None),
            (&["gzip;q=0.001"], Some("gzip")),
            (&["gzip;q=2"], None),
            (&["gzip;q=-1"], None),
            (&["gzip;q=0.0001"], None),
            (&["gzip ; Q=1"], Some("gzip")),
            (&["identity"], None),
            (&["identity;q=0"], None),
            (&["gzipped"], None),
            (&[""], None),
            (&[], None),
        ] {
            let chosen = choose(fields.iter().copied());
            assert_eq!(chosen.map(Coding::name), expected, "{fields:?}");
        }
    }

    #[test]
    fn text_is_packed_and_pictures_are_not() {
        for (mime, expected) in [
            ("text/html; charset=utf-8", true),
            ("text/xml", true),
            ("application/vnd.ogc.wms_xml", true),
            ("application/vnd.google-earth.kml+xml", true),
            ("application/json", true),
            ("application/geo+json", true),
            ("application/javascript", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("image/jpeg", false),
            ("image/tiff", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            assert_eq!(is_text(mime), expected, "{mime}");
        }
    }

    #[test]
    fn a_packed_response_says_so() {
        let response =
            Response::new(200, "text/xml", vec![b'x'; 5_000]).with("ETag", "\"a\"").with("Vary", "Origin");
        assert!(is_worth_it(&response));
        let mut packed = response.clone();
        vary(&mut packed);
        put(&mut packed, Coding::Gzip, Body::Bytes(vec![1]));
        let fields: Vec<(&str, &str)> = packed.headers.iter().map(|(n, v)| (&**n, v.as_str())).collect();
        assert_eq!(
            fields,
            [
                ("Content-Type", "text/xml"),
                ("ETag", "W/\"a\""),
                ("Vary", "Origin, Accept-Encoding"),
                ("Content-Encoding", "gzip")
            ]
        );
        assert!(!is_worth_it(&packed) && !is_worth_it(&Response::new(200, "text/xml", "short")));
        assert!(!is_worth_it(&response.clone().with("Content-Range", "bytes 0-9/10")));
    }

    fn decode(coding: Coding, packed: &[u8], length: usize) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => {
                brotli::Decompressor::new(packed, 4096).read_to_end(&mut out).unwrap();
            }
            Coding::Zstd => out = zstd::bulk::decompress(packed, length).unwrap(),
            Coding::Gzip => {
                out.resize(length, 0);
                libdeflater::Decompressor::new().gzip_decompress(packed, &mut out).unwrap();
            }
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(bytes in proptest::collection::vec(any::<u8>(), 0..5_000)) {
            for coding in OFFERED {
                let packed = coding.encode(&bytes).unwrap();
                prop_assert_eq!(decode(coding, &packed, bytes.len()), &bytes[..], "{:?}", coding);
            }
        }

        #[test]
        fn any_list_is_read(list in "[a-z*;=,. 0-9q]{0,200}") {
            let _ = choose([list.as_str()].into_iter());
        }
    }
}
