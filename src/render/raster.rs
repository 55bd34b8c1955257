//! The owned raster and what may be said about an image.

/// Red, green, blue, alpha; alpha is not premultiplied.
pub type Color = [u8; 4];

/// A pixel grid, four bytes a pixel (RGBA, not premultiplied), rows from the
/// north, without padding. `opaque` promises that every alpha is 255, so that
/// the alpha need not be looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster {
    pub width: u32,
    pub height: u32,
    pub opaque: bool,
    /// `width × height × 4` bytes.
    pub pixels: Vec<u8>,
}

impl Raster {
    /// A raster of one colour. The caller has checked the size against its limits.
    pub fn filled(width: u32, height: u32, color: Color) -> Raster {
        let count = width as usize * height as usize;
        let mut pixels = Vec::with_capacity(count * 4);
        for _ in 0..count {
            pixels.extend_from_slice(&color);
        }
        Raster { width, height, opaque: color[3] == 255, pixels }
    }

    /// Whether any pixel is not fully opaque. Looks at the pixels only where
    /// `opaque` does not settle it.
    pub fn has_alpha(&self) -> bool {
        const BLOCK_BYTES: usize = 4 * 1024;
        !self.opaque
            && self
                .pixels
                .chunks(BLOCK_BYTES)
                .any(|block| block.as_chunks::<4>().0.iter().fold(255, |all, pixel| all & pixel[3]) != 255)
    }

    /// The pixel at column `x`, row `y`.
    pub fn pixel(&self, x: u32, y: u32) -> Color {
        let at = (y as usize * self.width as usize + x as usize) * 4;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2], self.pixels[at + 3]]
    }
}

/// An image file format that can be read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Png,
    Jpeg,
    Gif,
    Tiff,
    GeoTiff,
    WebP,
    /// PNG where a pixel is transparent, JPEG otherwise.
    Mixed,
}

impl Format {
    /// From a MIME type or short name as MapProxy spells them
    /// (`image/png; mode=24bit`, `png`, `image/vnd.jpeg-png`, `mixed`): what
    /// stands between the slash and the semicolon decides, whatever its case.
    /// Every name that begins with `png` is PNG (`image/png8`).
    pub fn parse(text: &str) -> Option<Format> {
        let name = text.split_once('/').map_or(text, |(_, subtype)| subtype);
        let name = name.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match name.as_str() {
            "jpeg" | "jpg" => Some(Format::Jpeg),
            "gif" => Some(Format::Gif),
            "tiff" | "tif" => Some(Format::Tiff),
            "geotiff" => Some(Format::GeoTiff),
            "webp" => Some(Format::WebP),
            "mixed" | "vnd.jpeg-png" | "vnd.jpeg-png8" => Some(Format::Mixed),
            _ if name.starts_with("png") => Some(Format::Png),
            _ => None,
        }
    }
    /// `image/png`, …; of `Mixed` `image/vnd.jpeg-png`.
    pub fn mime(self) -> &'static str {
        match self {
            Format::Png => "image/png",
            Format::Jpeg => "image/jpeg",
            Format::Gif => "image/gif",
            Format::Tiff => "image/tiff",
            Format::GeoTiff => "image/GeoTIFF",
            Format::WebP => "image/webp",
            Format::Mixed => "image/vnd.jpeg-png",
        }
    }
    /// File name extension: `png`, `jpeg`, `gif`, `tiff`, `webp`, `mixed`.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpeg",
            Format::Gif => "gif",
            Format::Tiff | Format::GeoTiff => "tiff",
            Format::WebP => "webp",
            Format::Mixed => "mixed",
        }
    }
}

/// How a pixel is interpolated. Kernels are those of Pillow's `transform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kernel {
    Nearest,
    Bilinear,
    /// The cubic with a = −1.
    #[default]
    Bicubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorMode {
    Rgb,
    Rgba,
    /// Palette.
    P,
    /// One bit or grey.
    I,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Quantizer {
    #[default]
    FastOctree,
    MedianCut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TiffCompression {
    Raw,
    Lzw,
    Jpeg,
}

/// How an image is to be written (mapproxy-features.md §2.1), all defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageOptions {
    pub format: Format,
    pub mode: Option<ColorMode>,
    /// Colours of a palette; 0: no palette.
    pub colors: u16,
    /// Whether the image may keep alpha; `None`: as the pixels are.
    pub transparent: Option<bool>,
    pub resampling: Kernel,
    /// What lies under a transparent image when it becomes opaque.
    pub background: Color,
    pub jpeg_quality: u8,
    pub quantizer: Quantizer,
    pub tiff_compression: TiffCompression,
}

impl ImageOptions {
    /// MapProxy's defaults for a format: 256 colours for PNG, quality 90 for JPEG.
    pub fn new(format: Format) -> ImageOptions {
        ImageOptions {
            format,
            mode: None,
            colors: if format == Format::Png { 256 } else { 0 },
            transparent: None,
            resampling: Kernel::Bicubic,
            background: [255, 255, 255, 255],
            jpeg_quality: 90,
            quantizer: Quantizer::FastOctree,
            tiff_compression: TiffCompression::Lzw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_the_names_in_use() {
        for (text, format) in [
            ("image/png", Some(Format::Png)),
            ("image/png; mode=24bit", Some(Format::Png)),
            ("image/png;mode=8bit", Some(Format::Png)),
            ("image/png8", Some(Format::Png)),
            ("PNG", Some(Format::Png)),
            ("image/jpeg", Some(Format::Jpeg)),
            ("jpg", Some(Format::Jpeg)),
            ("image/GeoTIFF", Some(Format::GeoTiff)),
            ("tiff", Some(Format::Tiff)),
            ("image/vnd.jpeg-png", Some(Format::Mixed)),
            ("mixed", Some(Format::Mixed)),
            ("image/webp", Some(Format::WebP)),
            ("application/json", None),
            ("", None),
            ("image/", None),
        ] {
            assert_eq!(Format::parse(text), format, "{text}");
        }
        for format in [Format::Png, Format::Jpeg, Format::Gif, Format::Tiff, Format::WebP, Format::Mixed] {
            assert_eq!(Format::parse(format.mime()), Some(format));
            assert_eq!(Format::parse(format.extension()), Some(format));
        }
        assert_eq!(Format::parse(Format::GeoTiff.mime()), Some(Format::GeoTiff));
    }

    #[test]
    fn alpha_is_seen_wherever_it_is() {
        let mut raster = Raster::filled(300, 20, [1, 2, 3, 255]);
        raster.opaque = false;
        assert!(!raster.has_alpha());
        for at in [0, 1023, 1024, 5999] {
            let mut holed = raster.clone();
            holed.pixels[at * 4 + 3] = 254;
            assert!(holed.has_alpha());
        }
    }
}
