//! The files that a configuration is made of, read once. The probe reads them
//! from disk and hands them to the master as one block of bytes; every worker
//! of the generation is built from that block, so what was checked is what runs.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Bound on one file of a configuration.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Path → bytes, either read from disk as asked for, or sealed.
///
/// Each of several maps has a set of its own within it, so that one may stay
/// as it was while the others, which may share files with it, move on.
#[derive(Clone, Debug, Default)]
pub struct FileSet {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// By the path of the map's file.
    maps: BTreeMap<PathBuf, FileSet>,
    sealed: bool,
    /// What the present generation was built from; not handed on.
    present: Option<Box<FileSet>>,
}

/// Files and directories below one that is read whole.
const BELOW_MAX: usize = 10_000;

/// Sets within sets that a block may have: the daemon's and its maps'.
const DEPTH_MAX: usize = 2;

impl FileSet {
    /// Reads from disk and remembers.
    pub fn reading() -> FileSet {
        FileSet::default()
    }

    /// No file, and none to be read from disk.
    pub fn nothing() -> FileSet {
        FileSet { sealed: true, ..FileSet::default() }
    }

    /// One file that lies nowhere, and nothing else.
    pub fn holding(path: &Path, bytes: &[u8]) -> FileSet {
        let files = BTreeMap::from([(path.to_owned(), bytes.to_owned())]);
        FileSet { files, sealed: true, ..FileSet::default() }
    }

    /// Lets maps fall back on what the present generation was built from.
    pub fn over(mut self, present: FileSet) -> FileSet {
        self.present = Some(Box::new(present));
        self
    }

    /// The set of one of several maps, by its file; to be read from disk where
    /// this one is.
    pub fn map(&self, file: &Path) -> FileSet {
        let known = self.maps.get(file).cloned();
        known.unwrap_or_else(|| FileSet { sealed: self.sealed, ..FileSet::default() })
    }

    /// The set that the map of that file was built from in the present
    /// generation, if it was served.
    pub fn present_map(&self, file: &Path) -> Option<FileSet> {
        self.present.as_ref()?.maps.get(file).cloned()
    }

    /// Keeps the set that a map was built from.
    pub fn keep_map(&mut self, file: &Path, set: FileSet) {
        self.maps.insert(file.to_owned(), set);
    }

    /// Adds a file as if it had been read.
    pub fn hold(&mut self, path: &Path, bytes: &[u8]) {
        self.files.insert(path.to_owned(), bytes.to_owned());
    }

    /// The bytes of a file. A sealed set answers only from what it holds.
    pub fn read(&mut self, path: &Path) -> io::Result<&[u8]> {
        if !self.files.contains_key(path) {
            if self.sealed {
                return Err(io::Error::new(io::ErrorKind::NotFound, "not among the checked files"));
            }
            let meta = std::fs::metadata(path)?;
            if meta.is_file() && meta.len() > FILE_BYTES_MAX {
                return Err(io::Error::other(format!("file is over the limit of {FILE_BYTES_MAX} bytes")));
            }
            let bytes = std::fs::read(path)?;
            self.files.insert(path.to_owned(), bytes);
        }
        Ok(&self.files[path])
    }

    /// The `*.yaml` files of a directory, in alphabetical order. A sealed set
    /// knows those that were read.
    pub fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let is_yaml = |path: &Path| path.extension().is_some_and(|e| e == "yaml");
        if self.sealed {
            let known = self.maps.keys().filter(|p| p.parent() == Some(directory) && is_yaml(p));
            return Ok(known.cloned().collect());
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if is_yaml(&path) && path.is_file() {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The file itself, or all files below a directory, in alphabetical order. A
    /// sealed set knows those that were read; links to directories are not followed.
    /// The directories themselves are among them, as files without a byte, so that
    /// a sealed set knows empty ones and a development server sees what comes new.
    ///
    /// # Errors
    /// Nothing is there, or too much.
    pub fn below(&mut self, place: &Path) -> io::Result<Vec<PathBuf>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "not among the checked files");
        if self.sealed {
            let known: Vec<PathBuf> =
                self.files.keys().filter(|path| path.starts_with(place)).cloned().collect();
            return if known.is_empty() { Err(missing()) } else { Ok(known) };
        }
        if !std::fs::metadata(place)?.is_dir() {
            return Ok(vec![place.to_owned()]);
        }
        let mut found = Vec::new();
        let mut open = vec![place.to_owned()];
        while let Some(directory) = open.pop() {
            self.hold(&directory, b"");
            for entry in std::fs::read_dir(&directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                } else if entry.path().is_file() {
                    found.push(entry.path());
                }
                if found.len() + open.len() > BELOW_MAX {
                    return Err(io::Error::other(format!("more than {BELOW_MAX} files and directories")));
                }
            }
            found.push(directory);
        }
        found.sort();
        Ok(found)
    }

    /// Whether the set answers only from what it holds.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Files read so far (what a development server watches).
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = self.files.keys();
        own.chain(self.maps.values().flat_map(|map| map.files.keys())).map(PathBuf::as_path)
    }

    /// Whether the set, or a map's in it, holds just these bytes of a file.
    pub fn holds(&self, path: &Path, bytes: &[u8]) -> bool {
        let has = |set: &FileSet| set.files.get(path).is_some_and(|known| known == bytes);
        has(self) || self.maps.values().any(has)
    }

    /// One block: count, then path length, path, length, bytes for each file;
    /// after that the same for each map, whose bytes are a block.
    pub fn to_bytes(&self) -> Vec<u8> {
        fn put(out: &mut Vec<u8>, path: &Path, bytes: &[u8]) {
            let path = path.as_os_str().as_bytes();
            out.extend_from_slice(&(path.len() as u64).to_le_bytes());
            out.extend_from_slice(path);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        let mut out = (self.files.len() as u64).to_le_bytes().to_vec();
        for (path, bytes) in &self.files {
            put(&mut out, path, bytes);
        }
        out.extend_from_slice(&(self.maps.len() as u64).to_le_bytes());
        for (path, map) in &self.maps {
            put(&mut out, path, &map.to_bytes());
        }
        out
    }

    /// The inverse of [`FileSet::to_bytes`]; the set is sealed.
    pub fn from_bytes(block: &[u8]) -> Option<FileSet> {
        FileSet::from_block(block, DEPTH_MAX)
    }

    fn from_block(block: &[u8], depth_max: usize) -> Option<FileSet> {
        let mut rest = block;
        let count = take_number(&mut rest)?;
        let mut set = FileSet { sealed: true, ..FileSet::default() };
        for _ in 0..count {
            let (path, bytes) = take_entry(&mut rest)?;
            set.files.insert(path, bytes.to_vec());
        }
        let count = take_number(&mut rest)?;
        let depth_left = if count > 0 { depth_max.checked_sub(1)? } else { 0 };
        for _ in 0..count {
            let (path, bytes) = take_entry(&mut rest)?;
            set.maps.insert(path, FileSet::from_block(bytes, depth_left)?);
        }
        rest.is_empty().then_some(set)
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

fn take_number(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 8)?;
    usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<(PathBuf, &'a [u8])> {
    let length = take_number(rest)?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(take(rest, length)?.to_vec()));
    let length = take_number(rest)?;
    Some((path, take(rest, length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> FileSet {
        let mut set = FileSet::reading();
        set.hold(Path::new("/etc/rhumb.yaml"), b"maps: maps");
        for name in ["/maps/a.yaml", "/maps/b.yaml"] {
            let mut map = set.map(Path::new(name));
            map.hold(Path::new(name), name.as_bytes());
            map.hold(Path::new("/maps/base.yaml"), b"shared");
            set.keep_map(Path::new(name), map);
        }
        set
    }

    #[test]
    fn what_arrives_is_what_was_sent_and_sealed() {
        let mut arrived = FileSet::from_bytes(&set().to_bytes()).unwrap();
        assert!(arrived.is_sealed());
        assert_eq!(arrived.read(Path::new("/etc/rhumb.yaml")).unwrap(), b"maps: maps");
        assert!(arrived.read(Path::new("/maps/base.yaml")).is_err(), "a map's files are its own");
        let names = arrived.list(Path::new("/maps")).unwrap();
        assert_eq!(names, [Path::new("/maps/a.yaml"), Path::new("/maps/b.yaml")]);
        let mut map = arrived.map(&names[1]);
        assert_eq!(map.read(&names[1]).unwrap(), b"/maps/b.yaml");
        assert_eq!(map.read(Path::new("/maps/base.yaml")).unwrap(), b"shared");
        assert!(arrived.map(Path::new("/maps/c.yaml")).is_sealed(), "an unknown map is not read from disk");
    }

    #[test]
    fn blocks_that_are_cut_or_nested_too_deep_are_none() {
        let bytes = set().to_bytes();
        for length in 0..bytes.len() {
            assert!(FileSet::from_bytes(&bytes[..length]).is_none(), "{length} of {} bytes", bytes.len());
        }
        let mut deep = set();
        for _ in 0..2 {
            let mut above = FileSet::reading();
            above.keep_map(Path::new("/maps"), deep);
            deep = above;
        }
        assert!(FileSet::from_bytes(&deep.to_bytes()).is_none());
    }
}
