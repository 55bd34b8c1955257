//! A map file becomes a [`Conf`], or a list of what is wrong with it.

use std::path::Path;

use super::{Conf, FileSet, Finding};

/// What reading a map brought: a configuration if no finding is an error.
#[derive(Debug)]
pub struct Loaded {
    pub conf: Option<Conf>,
    pub findings: Vec<Finding>,
}

/// Reads and checks the map at `path` with everything it refers to.
pub fn load_map(_path: &Path, _files: &mut FileSet) -> Loaded {
    todo!()
}

/// The world map inside the program.
pub fn load_embedded() -> Loaded {
    todo!()
}
