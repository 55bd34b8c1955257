//! The files that a configuration is made of, read once. The probe reads them
//! from disk and hands them to the master as one block of bytes; every worker
//! of the generation is built from that block, so what was checked is what runs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Bound on one file of a configuration.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Path → bytes, either read from disk as asked for, or sealed.
#[derive(Clone, Debug, Default)]
pub struct FileSet {
    files: BTreeMap<PathBuf, Vec<u8>>,
    sealed: bool,
}

impl FileSet {
    /// Reads from disk and remembers.
    pub fn reading() -> FileSet {
        FileSet::default()
    }

    /// One file that lies nowhere, and nothing else.
    pub fn holding(path: &Path, bytes: &[u8]) -> FileSet {
        FileSet { files: BTreeMap::from([(path.to_owned(), bytes.to_owned())]), sealed: true }
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
            let known = self.files.keys().filter(|p| p.parent() == Some(directory) && is_yaml(p));
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

    /// Whether the set answers only from what it holds.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Files read so far (what a development server watches).
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// One block: count, then path length, path, length, bytes for each.
    pub fn to_bytes(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        let mut out = (self.files.len() as u64).to_le_bytes().to_vec();
        for (path, bytes) in &self.files {
            let path = path.as_os_str().as_bytes();
            out.extend_from_slice(&(path.len() as u64).to_le_bytes());
            out.extend_from_slice(path);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out
    }

    /// The inverse of [`FileSet::to_bytes`]; the set is sealed.
    pub fn from_bytes(block: &[u8]) -> Option<FileSet> {
        use std::os::unix::ffi::OsStringExt;
        fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
            let (head, tail) = rest.split_at_checked(count)?;
            *rest = tail;
            Some(head)
        }
        fn number(rest: &mut &[u8]) -> Option<usize> {
            let bytes = take(rest, 8)?;
            usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
        }
        let mut rest = block;
        let count = number(&mut rest)?;
        let mut files = BTreeMap::new();
        for _ in 0..count {
            let length = number(&mut rest)?;
            let path = take(&mut rest, length)?.to_vec();
            let length = number(&mut rest)?;
            let bytes = take(&mut rest, length)?.to_vec();
            files.insert(PathBuf::from(std::ffi::OsString::from_vec(path)), bytes);
        }
        rest.is_empty().then_some(FileSet { files, sealed: true })
    }
}
