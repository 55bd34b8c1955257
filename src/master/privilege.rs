//! Whoever builds a configuration does so as the user that it names, the probe
//! as well as the workers: the master alone stays root, and only where it was
//! started so. A file that the workers may not read is thus found before they
//! are forked.

use std::path::PathBuf;

use crate::conf::{Daemon, Finding, Severity};
use crate::sys;

/// Becomes the user and group of the settings, for good. The settings
/// themselves have been read by then: they may be root's own.
///
/// # Errors
/// There is no such user or group, or only root could become it.
pub fn drop_for_check(daemon: &Daemon) -> Result<(), Finding> {
    let refuse = |error: std::io::Error| Finding {
        severity: Severity::Error,
        file: daemon.file.clone().unwrap_or_else(|| PathBuf::from("-")),
        line: 0,
        column: 0,
        key: if daemon.user.is_some() { "user" } else { "group" }.to_owned(),
        text: error.to_string(),
    };
    match sys::find_identity(daemon.user.as_deref(), daemon.group.as_deref()).map_err(refuse)? {
        Some(identity) => sys::drop_privileges(&identity).map_err(refuse),
        None => Ok(()),
    }
}
