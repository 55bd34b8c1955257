//! WebP through libwebp, both directions: the one file of this room that
//! calls it.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use libwebp_sys as ffi;

use super::{EncodeError, prepared};
use crate::render::decode::{DecodeError, DecodeLimits};
use crate::render::raster::{ColorMode, ImageOptions, Raster};

const FORMAT: &str = "WebP";

/// The format stores sides in 14 bits.
const SIDE_PX_MAX: u32 = 16_383;

/// Effort of the lossy encoder, 0–6: 2 has most of 4's size at half its time.
const LOSSY_METHOD: c_int = 2;

/// Effort of the lossless encoder, 0–9: above 1 it takes tens of
/// milliseconds for a tile.
const LOSSLESS_LEVEL: c_int = 1;

/// Whether the length that the container states is the file's.
pub(in crate::render) fn looks_whole(bytes: &[u8]) -> bool {
    let Some(length) = bytes.get(4..8).and_then(|b| b.first_chunk::<4>()) else { return false };
    let stated = u64::from(u32::from_le_bytes(*length)) + 8;
    bytes.len() > 20 && (stated == bytes.len() as u64 || stated + 1 == bytes.len() as u64)
}

/// Pixels of a still image. Animations are refused by the library.
pub(in crate::render) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Raster, DecodeError> {
    let (mut width, mut height): (c_int, c_int) = (0, 0);
    // SAFETY: the pointer and length are one live slice, which the library
    // only reads; both outputs are live integers.
    let found = unsafe { ffi::WebPGetInfo(bytes.as_ptr(), bytes.len(), &mut width, &mut height) };
    if found == 0 {
        return Err(DecodeError::damaged(FORMAT, "no header"));
    }
    let (width, height) = (width.unsigned_abs(), height.unsigned_abs());
    let mut pixels = vec![0u8; limits.pixels_bytes(width, height)?];
    // `pixels_bytes` bounds the side, so that a row fits.
    let stride = (width * 4) as c_int;
    // SAFETY: input as above. The library writes rows of `stride` bytes and
    // checks them against the buffer's true length, which is given.
    let written = unsafe {
        ffi::WebPDecodeRGBAInto(bytes.as_ptr(), bytes.len(), pixels.as_mut_ptr(), pixels.len(), stride)
    };
    if written.is_null() {
        return Err(DecodeError::damaged(FORMAT, "pixels cannot be decoded"));
    }
    let mut raster = Raster { width, height, opaque: false, pixels };
    raster.opaque = !raster.has_alpha();
    Ok(raster)
}

/// Lossless for images that would have a palette in PNG (`colors` > 0 or mode
/// `P`), lossy with `jpeg_quality` otherwise.
pub(super) fn encode(raster: &Raster, options: &ImageOptions) -> Result<Vec<u8>, EncodeError> {
    if raster.width > SIDE_PX_MAX || raster.height > SIDE_PX_MAX {
        return Err(EncodeError::new(FORMAT, "over 16383 pixels on a side"));
    }
    let raster = prepared(raster, options);
    let lossless = options.colors > 0 || options.mode == Some(ColorMode::P);
    let config = config(lossless, options.jpeg_quality)?;
    let mut picture = Picture::new()?;
    picture.import(&raster, lossless)?;
    picture.compress(&config)
}

fn config(lossless: bool, quality: u8) -> Result<ffi::WebPConfig, EncodeError> {
    let invalid = || EncodeError::new(FORMAT, "the library refuses the options");
    let mut config = ffi::WebPConfig::new().map_err(|()| invalid())?;
    config.quality = f32::from(quality.min(100));
    config.method = LOSSY_METHOD;
    if lossless {
        // SAFETY: `config` was initialised by the library above.
        let set = unsafe { ffi::WebPConfigLosslessPreset(&mut config, LOSSLESS_LEVEL) };
        if set == 0 {
            return Err(invalid());
        }
    }
    // SAFETY: only reads the initialised structure.
    if unsafe { ffi::WebPValidateConfig(&config) } == 0 {
        return Err(invalid());
    }
    Ok(config)
}

/// A picture of the library, freed with its pixels.
struct Picture(ffi::WebPPicture);

impl Picture {
    fn new() -> Result<Picture, EncodeError> {
        let picture = ffi::WebPPicture::new();
        Ok(Picture(picture.map_err(|()| EncodeError::new(FORMAT, "library of another version"))?))
    }

    fn import(&mut self, raster: &Raster, lossless: bool) -> Result<(), EncodeError> {
        assert_eq!(raster.pixels.len(), raster.width as usize * raster.height as usize * 4);
        self.0.use_argb = c_int::from(lossless);
        // Bounded by SIDE_PX_MAX.
        self.0.width = raster.width as c_int;
        self.0.height = raster.height as c_int;
        let stride = (raster.width * 4) as c_int;
        // SAFETY: the picture is initialised and has no pixels yet; the slice
        // holds `height` rows of `stride` bytes (asserted) and is only read.
        let imported = unsafe {
            if raster.opaque {
                ffi::WebPPictureImportRGBX(&mut self.0, raster.pixels.as_ptr(), stride)
            } else {
                ffi::WebPPictureImportRGBA(&mut self.0, raster.pixels.as_ptr(), stride)
            }
        };
        if imported == 0 { Err(EncodeError::new(FORMAT, "out of memory")) } else { Ok(()) }
    }

    fn compress(&mut self, config: &ffi::WebPConfig) -> Result<Vec<u8>, EncodeError> {
        let mut writer = MaybeUninit::<ffi::WebPMemoryWriter>::uninit();
        // SAFETY: WebPMemoryWriterInit fills the whole structure. It stays on
        // this stack frame until WebPEncode, the only user of the pointer in
        // `custom_ptr`, has returned. The written memory belongs to the writer
        // until WebPMemoryWriterClear, and is copied before that.
        unsafe {
            ffi::WebPMemoryWriterInit(writer.as_mut_ptr());
            self.0.writer = Some(ffi::WebPMemoryWrite);
            self.0.custom_ptr = writer.as_mut_ptr().cast();
            let done = ffi::WebPEncode(config, &mut self.0);
            self.0.custom_ptr = std::ptr::null_mut();
            let written = writer.assume_init_mut();
            let bytes = if written.mem.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(written.mem, written.size).to_vec()
            };
            ffi::WebPMemoryWriterClear(written);
            if done == 0 || bytes.is_empty() {
                return Err(EncodeError::new(FORMAT, format!("{:?}", self.0.error_code)));
            }
            Ok(bytes)
        }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`; freeing a picture without pixels is allowed.
        unsafe { ffi::WebPPictureFree(&mut self.0) };
    }
}
