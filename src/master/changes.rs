//! Watches the files that the configuration is made of, for `develop`: looks
//! at them by a timer. A change counts once it has come to rest, so that an
//! editor that writes in steps causes one reload.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Time between two looks; a change is acted upon after one or two.
pub const LOOK_EVERY_MS: u64 = 250;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

#[derive(Debug, Default)]
pub struct Changes {
    files: Vec<(PathBuf, Option<Signature>)>,
    /// Something differed at the last look.
    unrest: bool,
}

impl Changes {
    /// Watches these files, that were read after `since`. One that is younger
    /// may have been written after it was read: `is_as_read` compares.
    pub fn watch<'a>(
        paths: impl Iterator<Item = &'a Path>,
        since: SystemTime,
        mut is_as_read: impl FnMut(&Path) -> bool,
    ) -> Changes {
        let mut changes = Changes::default();
        for path in paths {
            let signature = sign(path);
            let modified = signature.and_then(|signature| signature.modified);
            if modified.is_some_and(|modified| modified >= since) && !is_as_read(path) {
                changes.unrest = true;
            }
            changes.files.push((path.to_owned(), signature));
        }
        changes
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|(path, _)| path.clone()).collect()
    }

    /// Looks at all files: `true` once after a change, when nothing has moved
    /// since the look before.
    pub fn look(&mut self) -> bool {
        let mut moved = false;
        for (path, known) in &mut self.files {
            let now = sign(path);
            if *known != now {
                *known = now;
                moved = true;
            }
        }
        let rest = self.unrest && !moved;
        self.unrest = moved;
        rest
    }
}

fn sign(path: &Path) -> Option<Signature> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Signature { modified: meta.modified().ok(), size: meta.len(), inode: meta.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_change_counts_once_it_rests() {
        let path = std::env::temp_dir().join(format!("rhumb-changes-{}", std::process::id()));
        std::fs::write(&path, "a").expect("write");
        let later = SystemTime::now() + Duration::from_secs(60);
        let mut changes = Changes::watch([path.as_path()].into_iter(), later, |_| false);
        assert!(!changes.look());
        std::fs::write(&path, "ab").expect("write");
        assert!(!changes.look());
        std::fs::write(&path, "abc").expect("write");
        assert!(!changes.look());
        assert!(changes.look());
        assert!(!changes.look());
        std::fs::remove_file(&path).expect("remove");
        assert!(!changes.look());
        assert!(changes.look());
    }

    #[test]
    fn a_file_written_while_it_was_read_has_changed() {
        let path = std::env::temp_dir().join(format!("rhumb-young-{}", std::process::id()));
        let before = SystemTime::now() - Duration::from_secs(60);
        std::fs::write(&path, "a").expect("write");
        let mut changes = Changes::watch([path.as_path()].into_iter(), before, |_| false);
        assert!(changes.look());
        assert!(!changes.look());
        let mut changes = Changes::watch([path.as_path()].into_iter(), before, |_| true);
        assert!(!changes.look(), "written before it was read");
        std::fs::remove_file(&path).expect("remove");
    }
}
