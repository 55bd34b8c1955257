//! `file:` URLs: an upstream that is a directory of files.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::address::clean;
use super::body::{BodyError, read_all};
use super::client::Fetched;
use super::error::SourceError;
use crate::wire::url::decode;

/// Reads a file named by what follows `file://` (escapes allowed); a regular
/// file of at most `limit_bytes`.
pub(super) fn read(path: &str, limit_bytes: u64) -> Result<Fetched, SourceError> {
    let url = clean(&format!("file://{path}"), 1_000);
    let fail = |reason: String| SourceError::Transport { url: url.clone(), reason };
    let path = path.strip_prefix("localhost/").map_or_else(|| path.to_owned(), |rest| format!("/{rest}"));
    let path = decode(&path).into_owned();
    if !path.starts_with('/') || path.contains('\0') {
        return Err(fail("no absolute path".into()));
    }
    // A pipe must not hold us up.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(&path);
    let file = opened.map_err(|error| fail(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !metadata.is_file() {
        return Err(fail("no regular file".into()));
    }
    match read_all(file, Some(metadata.len()), limit_bytes) {
        Ok(bytes) => Ok(Fetched { status: 200, content_type: content_type(&path).to_owned(), bytes }),
        Err(BodyError::TooLarge { limit_bytes }) => Err(SourceError::TooLarge { url, limit_bytes }),
        Err(BodyError::Broken(reason)) => Err(fail(reason)),
    }
}

/// By the name's extension; empty where it says nothing.
fn content_type(path: &str) -> &'static str {
    let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "tif" | "tiff" => "image/tiff",
        "webp" => "image/webp",
        "xml" => "text/xml",
        "html" | "htm" => "text/html",
        "txt" => "text/plain",
        "json" => "application/json",
        _ => "",
    }
}
