//! Tiles of one colour kept once: the picture lies in `single_color_tiles`,
//! the tiles are links to it, in MapProxy's names so that both can read both's.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{FileStoreOptions, LinkKind, is_absence, open_plain};
use crate::cache::CacheError;
use crate::cache::atomic::{WriteOptions, io_error, make_directories, replace, write_atomic};

const DIRECTORY: &str = "single_color_tiles";

/// `single_color_tiles/<hex>.<ext>`: six digits for an opaque colour (MapProxy's
/// name for RGB and palette pictures), eight with alpha.
fn color_path(color: [u8; 4], extension: &str) -> PathBuf {
    let [r, g, b, a] = color;
    let name = match a {
        255 => format!("{r:02x}{g:02x}{b:02x}.{extension}"),
        _ => format!("{r:02x}{g:02x}{b:02x}{a:02x}.{extension}"),
    };
    Path::new(DIRECTORY).join(name)
}

/// Keeps the tile at `path` (below the root) as a link; the picture itself is
/// written only where it is not there yet.
pub(super) fn store(
    options: &FileStoreOptions,
    write: &WriteOptions,
    kind: LinkKind,
    color: [u8; 4],
    path: &Path,
    bytes: &[u8],
) -> Result<(), CacheError> {
    let below = color_path(color, &options.extension);
    let picture = options.root.join(&below);
    match open_plain(&picture) {
        Ok(Some(_)) => {}
        Ok(None) => write_atomic(&picture, bytes, write)?,
        Err(error) if is_absence(&error) => write_atomic(&picture, bytes, write)?,
        Err(error) => return Err(io_error("open", &picture, error)),
    }
    match kind {
        LinkKind::Symlink => {
            let target = way_up(&options.root, path)?.join(below);
            replace(path, write, |temp| symlink(&target, temp))
        }
        LinkKind::Hardlink => link_hard(&picture, path, write, bytes),
    }
}

fn link_hard(picture: &Path, path: &Path, write: &WriteOptions, bytes: &[u8]) -> Result<(), CacheError> {
    if let Some(directory) = path.parent() {
        // Ahead of the link, so that ENOENT below means the picture.
        make_directories(directory, write)?;
    }
    if same_file(picture, path) {
        // The tile was refreshed and has kept its colour. rename(2) would do
        // nothing here, and the tile's age is the picture's: make it anew.
        write_atomic(picture, bytes, write)?;
    }
    let linked = replace(path, write, |temp| std::fs::hard_link(picture, temp));
    match linked {
        // As many names as one file may have, another disk behind a linked
        // level directory, or the picture cleaned away just now: the tile then
        // stands for itself.
        Err(CacheError::Io { error, .. })
            if matches!(
                error.kind(),
                ErrorKind::TooManyLinks | ErrorKind::CrossesDevices | ErrorKind::NotFound
            ) =>
        {
            write_atomic(path, bytes, write)
        }
        other => other,
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::symlink_metadata(one), std::fs::symlink_metadata(other)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// `../` for each directory between the root and the tile.
fn way_up(root: &Path, path: &Path) -> Result<PathBuf, CacheError> {
    let below = path
        .strip_prefix(root)
        .map_err(|_| CacheError::Refused(format!("{} lies outside of its cache", path.display())))?;
    let depth = below.components().count().saturating_sub(1);
    Ok(std::iter::repeat_n("..", depth).collect())
}
