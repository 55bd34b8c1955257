//! Where below its root a tile lies: the six `directory_layout`s and the path
//! part of dimension values, byte for byte as MapProxy 7.0.0 has them.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{CacheError, TileAddress};

/// `directory_layout` (mapproxy-features.md §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    #[default]
    Tc,
    Mp,
    Tms,
    ReverseTms,
    Quadkey,
    ArcGis,
}

impl Layout {
    /// From the word in the configuration.
    pub fn parse(word: &str) -> Option<Layout> {
        Some(match word {
            "tc" => Layout::Tc,
            "mp" => Layout::Mp,
            "tms" => Layout::Tms,
            "reverse_tms" => Layout::ReverseTms,
            "quadkey" => Layout::Quadkey,
            "arcgis" => Layout::ArcGis,
            _ => return None,
        })
    }
}

/// The tile's path below the root.
///
/// MapProxy leaves dimension values out of `quadkey` and `arcgis` paths, so
/// that tiles of two times overwrite each other; here they go ahead of the
/// path as in the other layouts. Without dimensions there is no difference.
pub fn relative_path(layout: Layout, tile: &TileAddress, extension: &str) -> PathBuf {
    let mut path = String::with_capacity(48 + extension.len());
    if let Some(dimensions) = &tile.dimensions {
        path.push_str(dimensions.path());
        path.push('/');
    }
    let (x, y, z) = (tile.coord.x, tile.coord.y, tile.coord.z);
    // Writing to a String cannot fail.
    let _ = match layout {
        Layout::Tc => write!(
            path,
            "{z:02}/{:03}/{:03}/{:03}/{:03}/{:03}/{:03}.{extension}",
            x / 1_000_000,
            (x / 1000) % 1000,
            x % 1000,
            y / 1_000_000,
            (y / 1000) % 1000,
            y % 1000,
        ),
        Layout::Mp => write!(
            path,
            "{z:02}/{:04}/{:04}/{:04}/{:04}.{extension}",
            x / 10_000,
            x % 10_000,
            y / 10_000,
            y % 10_000,
        ),
        Layout::Tms => write!(path, "{z}/{x}/{y}.{extension}"),
        Layout::ReverseTms => write!(path, "{y}/{x}/{z}.{extension}"),
        Layout::Quadkey => {
            path.push_str(&quadkey(x, y, z));
            write!(path, ".{extension}")
        }
        Layout::ArcGis => write!(path, "L{z:02}/R{y:08x}/C{x:08x}.{extension}"),
    };
    PathBuf::from(path)
}

/// One base-4 digit for each level, the coarsest first.
fn quadkey(x: i64, y: i64, z: u32) -> String {
    (0..z)
        .rev()
        .map(|level| {
            let bit = |v: i64| v.checked_shr(level).unwrap_or(0) & 1;
            match (bit(x), bit(y)) {
                (0, 0) => '0',
                (1, 0) => '1',
                (0, _) => '2',
                _ => '3',
            }
        })
        .collect()
}

/// The path part for dimension values (name, value), `None` for none of them:
/// `time` and `elevation` by name, then those that begin with `dim_`.
///
/// A value may hold slashes and then makes directories, as in MapProxy, but
/// must be a normal path: nothing empty, no `..`, no doubled or trailing slash.
pub fn dimension_path(dimensions: &[(String, String)]) -> Result<Option<Arc<str>>, CacheError> {
    if dimensions.is_empty() {
        return Ok(None);
    }
    let refuse = || CacheError::Refused("dimension value contains illegal characters".into());
    let mut parts = Vec::with_capacity(dimensions.len());
    for (name, value) in dimensions {
        if name.is_empty() || name.contains(['/', '\0']) || !is_normal(value) {
            return Err(refuse());
        }
        parts.push((name.starts_with("dim_"), name, value));
    }
    parts.sort();
    let parts: Vec<String> = parts.iter().map(|(_, name, value)| format!("{name}-{value}")).collect();
    Ok(Some(Arc::from(parts.join("/"))))
}

fn is_normal(value: &str) -> bool {
    if value.is_empty() || value.contains('\0') {
        return false;
    }
    if matches!(value, "." | "/" | "//") {
        return true;
    }
    if value.split('\\').any(|part| part == "..") {
        return false;
    }
    // POSIX leaves one or two leading slashes alone.
    let rest = value.strip_prefix("//").or_else(|| value.strip_prefix('/')).unwrap_or(value);
    rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
