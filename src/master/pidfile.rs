//! The file that tells others who the master is: written whole after the
//! sockets are bound, removed at the end if it is still ours.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::log;

/// A pid file that holds our number; dropped, it is removed.
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes our number to `path`, replacing a stale file.
    ///
    /// # Errors
    /// A rhumb that lives has it, or it cannot be written.
    pub fn write(path: &Path) -> io::Result<PidFile> {
        let pid = std::process::id();
        if let Some(owner) = read_pid(path)
            && owner != pid
            && is_rhumb(owner)
        {
            return Err(io::Error::other(format!("{}: rhumb runs already, pid {owner}", path.display())));
        }
        let place = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{pid}.tmp"));
        let temporary = path.with_file_name(name);
        // One left by a dead process that had our number.
        let _ = fs::remove_file(&temporary);
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&temporary)
            .and_then(|mut file| file.write_all(format!("{pid}\n").as_bytes()))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(place)?;
        Ok(PidFile { path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read_pid(&self.path) == Some(std::process::id())
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// The master that a pid file tells of, if it lives and is one of ours.
pub fn find_master(pid_file: &Path) -> Option<u32> {
    read_pid(pid_file).filter(|pid| is_rhumb(*pid))
}

fn read_pid(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether a process lives and is one of ours: a number is soon used again.
fn is_rhumb(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("rhumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_is_replaced_ours_is_removed_another_is_left() {
        let directory = std::env::temp_dir().join(format!("rhumb-pid-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("directory");
        let path = directory.join("rhumb.pid");
        fs::write(&path, "4194304999\n").expect("stale");
        let file = PidFile::write(&path).expect("replaced");
        assert_eq!(read_pid(&path), Some(std::process::id()));
        drop(file);
        assert!(!path.exists());

        let file = PidFile::write(&path).expect("written");
        fs::write(&path, "1\n").expect("taken over");
        drop(file);
        assert!(path.exists());

        fs::remove_file(&path).expect("remove");
        assert!(PidFile::write(&directory.join("not/there")).is_err());
        assert_eq!(fs::read_dir(&directory).expect("list").count(), 0);
        fs::remove_dir(&directory).expect("remove");
    }
}
