//! What is added to a finished picture on its way out: text, an image, or
//! whatever a service of the operator's makes of it. Nothing of it is stored.

use std::sync::Arc;

use super::{PictureHook, PlanError, Tile, Turn};
use crate::log;
use crate::render::decor::{self, Overlay, TextStyle};
use crate::render::{self, ColorMode, DecodeLimits, Format, ImageOptions, Raster};

/// Of a hook's answer, on top of its pixels as they lie in memory.
const ANSWER_EXTRA_BYTES: u64 = 64 * 1024;

/// One thing that is added.
#[derive(Clone, Debug)]
pub enum Step {
    Text {
        text: String,
        style: TextStyle,
    },
    Image(Arc<Overlay>),
    /// Somebody else's work.
    Hook {
        hook: Arc<PictureHook>,
        /// JSON in ASCII.
        question: String,
        /// A failure leaves the picture as it is; otherwise it fails it.
        may_fail: bool,
    },
}

/// Everything that is added to one picture, in order.
#[derive(Clone, Debug)]
pub struct Decoration {
    pub steps: Vec<Step>,
    /// It is for this request only: nobody may keep the picture.
    pub is_fleeting: bool,
}

impl Decoration {
    /// Draws on the picture. Returns whether others may get to see it too:
    /// everything was added, and nothing for this request only.
    ///
    /// # Errors
    /// [`PlanError::Decoration`]: a hook failed that must not fail.
    pub fn apply(&self, picture: &mut Raster, turn: &Turn) -> Result<bool, PlanError> {
        let mut may_be_kept = !self.is_fleeting;
        for step in &self.steps {
            match step {
                Step::Text { text, style } => decor::draw_text(picture, text, style),
                Step::Image(overlay) => decor::draw_overlay(picture, overlay),
                Step::Hook { hook, question, may_fail } => match ask(hook, question, picture, turn) {
                    Ok(Some(other)) => *picture = other,
                    Ok(None) => {}
                    Err(reason) if *may_fail => {
                        log::warn!("a picture is sent undecorated: {reason}");
                        may_be_kept = false;
                    }
                    Err(reason) => return Err(PlanError::Decoration(reason)),
                },
            }
        }
        Ok(may_be_kept)
    }

    /// A tile with everything that is added to it, written as `image` says; a
    /// PNG in a layer of another format (it is empty or was cut) stays one.
    ///
    /// # Errors
    /// As [`Decoration::apply`]; the tile cannot be read or written.
    pub fn tile(&self, tile: Tile, image: &ImageOptions, turn: &Turn) -> Result<Tile, PlanError> {
        let failed = |reason: String| PlanError::Image { origin: "a decorated tile".into(), reason };
        let decoded = render::decode(&tile.bytes, &DecodeLimits::default());
        let mut picture = decoded.map_err(|error| failed(error.to_string()))?;
        let may_be_kept = self.apply(&mut picture, turn)?;
        let is_exempt = tile.format == Format::Png && !matches!(image.format, Format::Png | Format::Mixed);
        let exempt = ImageOptions { transparent: Some(true), ..ImageOptions::new(Format::Png) };
        let encoded = render::encode(&picture, if is_exempt { &exempt } else { image }, None)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Tile {
            bytes: encoded.bytes.into(),
            format: encoded.format,
            cacheable: tile.cacheable && may_be_kept,
            identity: None,
            ..tile
        })
    }
}

/// Sends the picture as PNG with all of its colours, and reads what comes back:
/// a picture of the same size in whatever format. `None`: it is to stay as it is.
fn ask(hook: &PictureHook, question: &str, picture: &Raster, turn: &Turn) -> Result<Option<Raster>, String> {
    let (width, height) = (picture.width, picture.height);
    let mode = if picture.has_alpha() { ColorMode::Rgba } else { ColorMode::Rgb };
    let options = ImageOptions { mode: Some(mode), colors: 0, ..ImageOptions::new(Format::Png) };
    let sent = render::encode(picture, &options, None).map_err(|error| error.to_string())?;
    let pixels_bytes = picture.pixels.len();
    let answer_bytes_max = pixels_bytes as u64 + ANSWER_EXTRA_BYTES;
    let answer = turn
        .wait(|| hook.send(&sent.bytes, question, answer_bytes_max))
        .map_err(|error| error.to_string())?;
    let Some(bytes) = answer else { return Ok(None) };
    let limits = DecodeLimits { side_px_max: width.max(height), pixels_bytes_max: pixels_bytes };
    let url = hook.shown_url();
    let other = render::decode(&bytes, &limits).map_err(|error| format!("{url}: {error}"))?;
    if (other.width, other.height) != (width, height) {
        let (w, h) = (other.width, other.height);
        return Err(format!("{url}: answered {w}×{h} pixels to a picture of {width}×{height}"));
    }
    Ok(Some(other))
}
