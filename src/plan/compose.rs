//! Layers merged into one encoded map.

use std::sync::Arc;
use std::time::SystemTime;

use super::{MapLayer, MapQuery, PlanError, Turn};
use crate::render::{Encoded, ImageOptions};

/// What to do when one of several layers fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnSourceErrors {
    /// Paint the message on the image; all failing still raises.
    #[default]
    Notify,
    Raise,
}

#[derive(Clone, Debug)]
pub struct ComposeOptions {
    pub image: ImageOptions,
    pub on_source_errors: OnSourceErrors,
    /// Text lower right on the finished map.
    pub attribution: Option<String>,
    /// Layers drawn side by side (`concurrent_layer_renderer`).
    pub concurrent_layers: usize,
}

#[derive(Debug)]
pub struct Composed {
    pub image: Encoded,
    pub cacheable: bool,
    pub modified: Option<SystemTime>,
}

/// Draws `layers` bottom to top: hides what an opaque one covers, combines
/// adjacent requests, merges, decorates, encodes.
pub fn compose(
    _layers: &[Arc<dyn MapLayer>],
    _query: &MapQuery,
    _options: &ComposeOptions,
    _turn: &Turn,
) -> Result<Composed, PlanError> {
    todo!()
}
