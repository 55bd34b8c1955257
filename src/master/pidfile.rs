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
    /// Written, but not in its place yet.
    temporary: Option<PathBuf>,
    /// Renamed, while a new master uses the path.
    is_aside: bool,
}

impl PidFile {
    /// Writes our number to `path`, replacing a stale file.
    ///
    /// # Errors
    /// A rhumb that lives has it, or it cannot be written.
    pub fn write(path: &Path) -> io::Result<PidFile> {
        let mut file = PidFile::prepare(path)?;
        file.publish()?;
        Ok(file)
    }

    /// As [`PidFile::write`], but the file is not to be found before
    /// [`PidFile::publish`].
    ///
    /// # Errors
    /// As there.
    pub fn prepare(path: &Path) -> io::Result<PidFile> {
        let pid = std::process::id();
        if let Some(owner) = read_pid(path)
            && owner != pid
            && is_rhumb(owner)
        {
            return Err(io::Error::other(format!("{}: rhumb runs already, pid {owner}", path.display())));
        }
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
            .and_then(|mut file| file.write_all(format!("{pid}\n").as_bytes()));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(|error| at(path, &error))?;
        Ok(PidFile { path: path.to_owned(), temporary: Some(temporary), is_aside: false })
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// The directory is not writable.
    pub fn publish(&mut self) -> io::Result<()> {
        let Some(temporary) = &self.temporary else { return Ok(()) };
        fs::rename(temporary, &self.path).map_err(|error| at(&self.path, &error))?;
        self.temporary = None;
        // Of an old master that was killed.
        let old = aside(&self.path);
        if read_pid(&old).is_some_and(|pid| !is_rhumb(pid)) {
            let _ = fs::remove_file(old);
        }
        Ok(())
    }

    /// Makes room for the pid file of a new master.
    ///
    /// # Errors
    /// The directory is not writable.
    pub fn step_aside(&mut self) -> io::Result<()> {
        fs::rename(&self.path, aside(&self.path)).map_err(|error| at(&self.path, &error))?;
        self.is_aside = true;
        Ok(())
    }

    /// The new master is gone: the path is ours again.
    pub fn step_back(&mut self) {
        if !std::mem::replace(&mut self.is_aside, false) {
            return;
        }
        if let Err(error) = fs::rename(aside(&self.path), &self.path) {
            log::error!("{}: the pid file cannot be put back: {error}", self.path.display());
        }
    }

    /// Removes what the old master left beside, if it was killed.
    pub fn sweep_old(&self, old: u32) {
        let left = aside(&self.path);
        if read_pid(&left) == Some(old) {
            let _ = fs::remove_file(left);
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
            return;
        }
        let path = if self.is_aside { aside(&self.path) } else { self.path.clone() };
        if read_pid(&path) == Some(std::process::id())
            && let Err(error) = fs::remove_file(&path)
        {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Where the pid file of an old master lies while a new one starts.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".oldbin");
    PathBuf::from(name)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
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
