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
    /// (`image/png; mode=24bit`, `png`, `image/vnd.jpeg-png`, `mixed`).
    pub fn parse(_text: &str) -> Option<Format> {
        todo!()
    }
    /// `image/png`, …; of `Mixed` `image/vnd.jpeg-png`.
    pub fn mime(self) -> &'static str {
        todo!()
    }
    /// File name extension: `png`, `jpeg`, `gif`, `tiff`, `webp`, `mixed`.
    pub fn extension(self) -> &'static str {
        todo!()
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
