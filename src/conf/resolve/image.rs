//! Image options: formats of the globals, of caches, sources and services
//! (mapproxy-features.md §2.1).

use super::super::conf::{FormatConf, ServiceFormat};
use super::super::node::Node;
use super::{Resolver, flag, text};
use crate::render::{ColorMode, Format, ImageOptions, Kernel, Quantizer, TiffCompression};

/// `resampling_method`, if it is said.
pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    match node.get("resampling_method")?.text()? {
        "nearest" => Some(Kernel::Nearest),
        "bilinear" => Some(Kernel::Bilinear),
        "bicubic" => Some(Kernel::Bicubic),
        _ => None,
    }
}

pub(super) fn mode(node: &Node) -> Option<ColorMode> {
    match node.get("mode")?.text()? {
        "RGB" => Some(ColorMode::Rgb),
        "RGBA" => Some(ColorMode::Rgba),
        "P" => Some(ColorMode::P),
        "I" => Some(ColorMode::I),
        _ => None,
    }
}

/// `encoding_options` alone.
pub(super) fn encoding(node: &Node) -> FormatConf {
    let Some(options) = node.get("encoding_options") else { return FormatConf::default() };
    let quality = options.get("jpeg_quality").and_then(Node::int);
    FormatConf {
        jpeg_quality: quality
            .and_then(|quality| u8::try_from(quality).ok())
            .filter(|quality| *quality <= 100),
        quantizer: match options.get("quantizer").and_then(Node::text) {
            Some("fastoctree") => Some(Quantizer::FastOctree),
            Some("mediancut") => Some(Quantizer::MedianCut),
            _ => None,
        },
        tiff_compression: match options.get("tiff_compression").and_then(Node::text) {
            Some("raw") => Some(TiffCompression::Raw),
            Some("tiff_lzw") => Some(TiffCompression::Lzw),
            Some("jpeg") => Some(TiffCompression::Jpeg),
            _ => None,
        },
        ..FormatConf::default()
    }
}

/// The extension that MapProxy derives from a format's text.
pub(super) fn extension(format: &str) -> String {
    let name = format.split_once('/').map_or(format, |(_, name)| name);
    name.split(';').next().unwrap_or_default().trim().to_owned()
}

impl Resolver<'_> {
    /// What a mapping of image options says.
    pub(super) fn format_conf(&mut self, node: &Node, path: &str) -> FormatConf {
        let format = text(node, "format");
        if let Some(format) = &format
            && Format::parse(format).is_none()
            && let Some(value) = node.get("format")
        {
            self.error(value, format!("{path}.format"), unknown_format(format));
        }
        let colors = self.count(node, "colors", path, 0, 256).map(|colors| colors as u16);
        let mut conf = FormatConf { format, colors, ..encoding(node) };
        if let Some(options) = node.get("encoding_options") {
            // Bounds are checked here, `encoding` only reads.
            let path = format!("{path}.encoding_options");
            conf.jpeg_quality =
                self.count(options, "jpeg_quality", &path, 1, 100).map(|quality| quality as u8);
        }
        conf.mode = mode(node);
        conf.transparent = flag(node, "transparent");
        conf.resampling = kernel(node);
        conf
    }

    /// Options of the format `format` (a key of the globals' formats, a MIME
    /// type, or not said) with `own` laid over them.
    pub(super) fn image_conf(&self, own: &FormatConf, format: Option<&str>) -> FormatConf {
        let mut conf = format.and_then(|name| self.globals.formats.get(name)).cloned().unwrap_or_default();
        let resampling = own.resampling.or(conf.resampling).unwrap_or(self.globals.resampling);
        conf.resampling = Some(resampling);
        conf.transparent = own.transparent.or(conf.transparent);
        conf.format = own.format.clone().or(conf.format);
        conf.colors = own.colors.or(conf.colors);
        conf.mode = own.mode.or(conf.mode);
        if own.jpeg_quality.is_some() || own.quantizer.is_some() || own.tiff_compression.is_some() {
            // One set of encoding options replaces the other as a whole.
            conf.jpeg_quality = own.jpeg_quality;
            conf.quantizer = own.quantizer;
            conf.tiff_compression = own.tiff_compression;
        }
        if conf.format.is_none() {
            conf.format = format.filter(|name| name.starts_with("image/")).map(str::to_owned);
        }
        if format == Some("mixed") {
            conf.format = Some("mixed".to_owned());
            conf.transparent = Some(true);
        }
        let is_png = conf.format.as_deref().is_some_and(|format| format.contains("png"));
        if conf.colors.is_none() && is_png && self.globals.paletted {
            conf.colors = Some(256);
        }
        conf
    }

    /// All defaults filled in. A format that was not said is PNG.
    pub(super) fn image_options(&self, conf: &FormatConf) -> ImageOptions {
        let format = conf.format.as_deref().and_then(Format::parse).unwrap_or(Format::Png);
        let mut options = ImageOptions::new(format);
        options.mode = conf.mode;
        options.colors = conf.colors.unwrap_or(0);
        options.transparent = conf.transparent;
        options.resampling = conf.resampling.unwrap_or(self.globals.resampling);
        options.jpeg_quality = conf.jpeg_quality.unwrap_or(self.globals.jpeg_quality);
        options.quantizer = conf.quantizer.unwrap_or_default();
        if let Some(compression) = conf.tiff_compression {
            options.tiff_compression = compression;
        }
        options
    }

    /// `image_formats` of a map service. Of two with one extension the last
    /// stands in the first one's place.
    pub(super) fn service_formats(
        &mut self,
        node: &Node,
        path: &str,
        defaults: &[&str],
    ) -> Vec<ServiceFormat> {
        let list = node.get("image_formats");
        let names: Vec<String> = match list {
            Some(list) => list.items().iter().filter_map(Node::text).map(str::to_owned).collect(),
            None => defaults.iter().map(|&name| name.to_owned()).collect(),
        };
        let mut formats: Vec<ServiceFormat> = Vec::new();
        for name in names {
            let conf = self.image_conf(&FormatConf::default(), Some(&name));
            let written = conf.format.clone().unwrap_or_default();
            let Some(format) = Format::parse(&written) else {
                let (place, key) = (list.unwrap_or(node), format!("{path}.image_formats"));
                if conf.format.is_none() {
                    // MapProxy starts with such a name and cannot serve it.
                    let text = format!(
                        "\"{name}\" is neither a MIME type nor a key of globals.image.formats; left out"
                    );
                    self.warn(place, key, text);
                } else {
                    self.error(place, key, unknown_format(&written));
                }
                continue;
            };
            let mime = if written.contains('/') { written } else { format!("image/{written}") };
            let image = self.image_options(&conf);
            let entry = ServiceFormat { name, mime, format, image };
            // `image/png` and `image/png; mode=8bit` are two formats to clients.
            let same = formats.iter_mut().find(|known| known.mime == entry.mime);
            match same {
                Some(known) => {
                    let text =
                        format!("\"{}\" replaces \"{}\", which has the same type", entry.name, known.name);
                    *known = entry;
                    self.warn(list.unwrap_or(node), format!("{path}.image_formats"), text);
                }
                None => formats.push(entry),
            }
        }
        formats
    }
}

pub(super) fn unknown_format(format: &str) -> String {
    let known =
        ["image/png", "image/jpeg", "image/gif", "image/tiff", "image/GeoTIFF", "image/webp", "mixed"];
    let near = super::super::nearest::hint(format, known);
    format!("unknown image format \"{format}\"; it can be {}{near}", known.join(", "))
}

/// Joins the options of a cache's sources into the cache's own where those say
/// nothing: most colours (0, no palette, above all), the richest mode; one
/// opaque source makes the result opaque.
pub(super) fn join(own: &FormatConf, sources: &[FormatConf]) -> FormatConf {
    let mut joined = own.clone();
    if joined.colors.is_none() {
        let unlimited = sources.iter().any(|source| source.colors == Some(0));
        let most = sources.iter().filter_map(|source| source.colors).max().unwrap_or(0);
        joined.colors = Some(if unlimited { 0 } else { most });
    }
    if joined.mode.is_none() {
        let rank = |mode: &ColorMode| match mode {
            ColorMode::I => 0,
            ColorMode::P => 1,
            ColorMode::Rgb => 2,
            ColorMode::Rgba => 3,
        };
        joined.mode = sources.iter().filter_map(|source| source.mode).max_by_key(rank);
    }
    if joined.transparent.is_none() {
        joined.transparent = if sources.iter().any(|source| source.transparent == Some(false)) {
            Some(false)
        } else {
            sources.iter().find_map(|source| source.transparent)
        };
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_from_format_texts() {
        for (format, expected) in [
            ("image/png", "png"),
            ("image/png; mode=8bit", "png"),
            ("image/png8", "png8"),
            ("mixed", "mixed"),
        ] {
            assert_eq!(extension(format), expected);
        }
    }

    #[test]
    fn sources_lend_what_the_cache_does_not_say() {
        let said =
            |colors, transparent, mode| FormatConf { colors, transparent, mode, ..FormatConf::default() };
        let own = said(None, None, None);
        let joined =
            join(&own, &[said(Some(64), Some(true), None), said(Some(128), None, Some(ColorMode::Rgb))]);
        assert_eq!(joined, said(Some(128), Some(true), Some(ColorMode::Rgb)));
        let joined = join(&own, &[said(Some(0), Some(true), None), said(Some(9), Some(false), None)]);
        assert_eq!(joined, said(Some(0), Some(false), None));
        let fixed = said(Some(256), Some(true), Some(ColorMode::P));
        assert_eq!(join(&fixed, &[said(Some(0), Some(false), Some(ColorMode::Rgba))]), fixed);
        assert_eq!(join(&own, &[]), said(Some(0), None, None));
    }
}
