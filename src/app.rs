//! The wiring closet: configuration → live services, layers, caches, sources.
//!
//! The only file that names every kind. Builds, opens nothing: connections and
//! stores are opened at first use, after the fork.

use std::sync::Arc;

use crate::conf::{Daemon, FileSet, Finding};
use crate::plan::{Gate, TileMemory};
use crate::service::Site;

/// Everything that a worker serves from.
pub struct App {
    pub site: Site,
    pub memory: Arc<TileMemory>,
    pub gate: Arc<Gate>,
    /// What the operator should know though it does not stop the start.
    pub warnings: Vec<Finding>,
}

/// Builds the application of `daemon` from its files: read from disk and
/// remembered in `files` by the probe, answered from the sealed set in a
/// worker.
///
/// # Errors
/// All findings, errors and warnings together, when there is any error.
pub fn build(_daemon: &Daemon, _files: &mut FileSet) -> Result<App, Vec<Finding>> {
    todo!()
}
