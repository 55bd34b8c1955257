//! Pixels in, bytes out: decode, warp, merge, mask, decorate, encode.
//!
//! No network, no disk, no OGC. Knows `geo` only.

pub mod decode;
pub mod decor;
pub mod encode;
pub mod mask;
pub mod merge;
pub mod mosaic;
pub mod quant;
pub mod raster;
mod simd;
pub mod warp;

pub use decode::{DecodeError, DecodeLimits, decode, sniff};
pub use encode::{EncodeError, Encoded, encode};
pub use mosaic::Mosaic;
pub use raster::{Color, ColorMode, Format, ImageOptions, Kernel, Quantizer, Raster, TiffCompression};
