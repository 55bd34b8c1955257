//! What drawing a layer brings: nothing, pixels, or an encoded image as it is.

use std::sync::Arc;

use super::PlanError;
use crate::render::{self, Color, DecodeLimits, Format, Raster};

#[derive(Clone, Debug)]
pub enum Picture {
    /// Nothing to see here: outside the coverage or the resolution range.
    Blank,
    /// One colour all over: what `on_error` says in place of a failure.
    Color {
        color: Color,
        size: (u32, u32),
    },
    Pixels(Arc<Raster>),
    /// An encoded image exactly as the query asks for it, known to decode;
    /// its pixels are at hand too where somebody needed them.
    Encoded {
        bytes: Arc<[u8]>,
        format: Format,
        pixels: Option<Arc<Raster>>,
    },
    /// An encoded image of another size than asked for. It covers the area all
    /// the same, so its pixels are `stretched` to the right size wherever
    /// anything is done with them.
    Odd {
        bytes: Arc<[u8]>,
        format: Format,
        stretched: Arc<Raster>,
    },
}

#[derive(Clone, Debug)]
pub struct Drawn {
    pub picture: Picture,
    /// False when `on_error` or a partial failure forbids keeping it.
    pub cacheable: bool,
    /// `on_error` made this picture and allows a stale tile in its place.
    pub authorize_stale: bool,
}

impl Drawn {
    pub const BLANK: Drawn = Drawn { picture: Picture::Blank, cacheable: true, authorize_stale: false };

    pub fn pixels(raster: Raster) -> Drawn {
        Drawn { picture: Picture::Pixels(Arc::new(raster)), cacheable: true, authorize_stale: false }
    }

    pub fn is_blank(&self) -> bool {
        matches!(self.picture, Picture::Blank)
    }

    /// The pixels at the size of the query, decoded where needed; `None` for a
    /// blank picture.
    pub fn raster(&self, limits: &DecodeLimits) -> Result<Option<Arc<Raster>>, PlanError> {
        match &self.picture {
            Picture::Blank => Ok(None),
            Picture::Color { color, size } => Ok(Some(Arc::new(Raster::filled(size.0, size.1, *color)))),
            Picture::Pixels(raster)
            | Picture::Encoded { pixels: Some(raster), .. }
            | Picture::Odd { stretched: raster, .. } => Ok(Some(Arc::clone(raster))),
            Picture::Encoded { bytes, .. } => render::decode(bytes, limits)
                .map(|raster| Some(Arc::new(raster)))
                .map_err(|error| PlanError::Image { origin: "tile".into(), reason: error.to_string() }),
        }
    }
}
