//! A checked tree becomes a [`Conf`]: defaults, inheritance, references, paths.
//!
//! Types were checked before (`check`), so what has the wrong one is passed over
//! here without another word; what is reported here is what only the whole
//! configuration can tell: dangling references, impossible combinations,
//! unknown coordinate systems, unreadable files.

mod caches;
mod coverage;
mod dimension;
mod expire_tiles;
mod globals;
mod grids;
mod image;
mod inspire;
mod layers;
mod services;
mod sources;
mod stores;
mod time;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conf::{CacheConf, Conf, FormatConf, Globals, GridConf, Named, Services, SourceConf};
use super::files::FileSet;
use super::finding::Findings;
use super::nearest::hint;
use super::node::{Node, Place};
use crate::geo::{Coverage, Srs};

/// State of one resolution. Sections are filled in the order of their fields.
pub(super) struct Resolver<'a> {
    root: &'a Node,
    dir: PathBuf,
    files: &'a mut FileSet,
    findings: &'a mut Findings,
    globals: Globals,
    grid_defaults: GridDefaults,
    grids: Named<Arc<GridConf>>,
    /// Grids that are named in the file but could not be built: already reported.
    broken_grids: HashSet<String>,
    sources: Named<SourceConf>,
    caches: Named<CacheConf>,
    /// Image options of caches before their sources' are joined in.
    cache_images: HashMap<String, FormatConf>,
}

/// What the globals say about grids.
#[derive(Clone, Copy, Debug)]
struct GridDefaults {
    tile_size: (u32, u32),
    stretch_factor: f64,
    max_shrink_factor: f64,
}

/// Resolves the whole document. The result is of use only if no error was found.
pub(super) fn resolve(root: &Node, file: &Path, files: &mut FileSet, findings: &mut Findings) -> Conf {
    let mut resolver = Resolver::new(root, file, files, findings);
    resolver.resolve_globals();
    resolver.resolve_grids();
    resolver.resolve_sources();
    resolver.resolve_caches();
    let root_layer = resolver.resolve_layers();
    let services = resolver.resolve_services(root_layer.as_ref());
    if services.is_empty() {
        let place = Place { line: 0, ..root.place };
        resolver.findings.warn(
            place,
            "services",
            "no service is configured; only the start page will answer",
        );
    }
    Conf {
        file: file.to_owned(),
        base_dir: resolver.dir,
        globals: resolver.globals,
        grids: resolver.grids,
        sources: resolver.sources,
        caches: resolver.caches,
        root_layer,
        services,
    }
}

/// The coverage of that name in a document's section `coverages`. What cannot be
/// used is reported.
pub(super) fn coverage(
    root: &Node,
    name: &str,
    file: &Path,
    files: &mut FileSet,
    findings: &mut Findings,
) -> Option<Coverage> {
    let mut resolver = Resolver::new(root, file, files, findings);
    let Some(all) = root.get("coverages").filter(|all| all.get(name).is_some()) else {
        let near = hint(name, section(root, "coverages").iter().map(|entry| &*entry.key));
        resolver.error(root, "coverages", format!("there is no coverage `{name}`{near}"));
        return None;
    };
    resolver.coverage(all, name, "coverages")
}

impl<'a> Resolver<'a> {
    fn new(root: &'a Node, file: &Path, files: &'a mut FileSet, findings: &'a mut Findings) -> Resolver<'a> {
        let dir = file.parent().map(Path::to_owned).unwrap_or_default();
        let (globals, grid_defaults) = globals::defaults(&dir);
        Resolver {
            root,
            dir,
            files,
            findings,
            globals,
            grid_defaults,
            grids: Named::default(),
            broken_grids: HashSet::new(),
            sources: Named::default(),
            caches: Named::default(),
            cache_images: HashMap::new(),
        }
    }
}

impl Services {
    fn is_empty(&self) -> bool {
        self.wms.is_none()
            && self.wmts.is_none()
            && self.tms.is_none()
            && self.kml.is_none()
            && self.demo.is_none()
            && self.ogcapi.is_none()
    }
}

/// A section's entries by name; nothing where the section is no mapping.
fn section<'n>(root: &'n Node, name: &str) -> &'n [super::node::Entry] {
    root.get(name).map_or(&[], Node::entries)
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::text).map(str::to_owned)
}

fn flag(node: &Node, key: &str) -> Option<bool> {
    node.get(key).and_then(Node::bool)
}

fn number(node: &Node, key: &str) -> Option<f64> {
    node.get(key).and_then(Node::number).filter(|value| value.is_finite())
}

/// The texts of a list, others passed over.
fn texts(node: &Node, key: &str) -> Option<Vec<String>> {
    let items = node.get(key)?.items();
    Some(items.iter().filter_map(Node::text).map(str::to_owned).collect())
}

impl<'a> Resolver<'a> {
    fn error(&mut self, node: &Node, key: impl Into<String>, text: impl Into<String>) {
        self.findings.error(node.place, key, text);
    }

    fn warn(&mut self, node: &Node, key: impl Into<String>, text: impl Into<String>) {
        self.findings.warn(node.place, key, text);
    }

    /// A relative path counts from the configuration's directory; the spelling
    /// is kept, because lock names are hashes of it.
    fn path(&self, text: &str) -> PathBuf {
        self.dir.join(text)
    }

    /// A whole number between bounds, or an error.
    fn count(&mut self, node: &Node, key: &str, path: &str, least: u32, most: u32) -> Option<u32> {
        let value = node.get(key)?;
        let written = value.number()?;
        if written.fract() == 0.0 && (f64::from(least)..=f64::from(most)).contains(&written) {
            return Some(written as u32);
        }
        let text = format!(
            "must be a whole number from {least} to {most}, not {}",
            value.printed().unwrap_or_default()
        );
        self.error(value, format!("{path}.{key}"), text);
        None
    }

    /// A number above zero, or an error.
    fn positive(&mut self, node: &Node, key: &str, path: &str) -> Option<f64> {
        let value = node.get(key)?;
        let written = value.number()?;
        if written.is_finite() && written > 0.0 {
            return Some(written);
        }
        let text = format!("must be above zero, not {}", value.printed().unwrap_or_default());
        self.error(value, format!("{path}.{key}"), text);
        None
    }

    /// Two whole numbers from 1 to `most`, or an error.
    fn pair(&mut self, node: &Node, key: &str, path: &str, most: u32) -> Option<(u32, u32)> {
        let value = node.get(key)?;
        let numbers: Vec<f64> = value.items().iter().filter_map(Node::number).collect();
        if numbers.len() < value.items().len() || !matches!(value.value, super::node::Value::List(_)) {
            return None;
        }
        let fits = |number: f64| number.fract() == 0.0 && (1.0..=f64::from(most)).contains(&number);
        match numbers[..] {
            [x, y] if fits(x) && fits(y) => Some((x as u32, y as u32)),
            _ => {
                let text = format!("must be two whole numbers from 1 to {most}, for example [4, 4]");
                self.error(value, format!("{path}.{key}"), text);
                None
            }
        }
    }

    /// Permission bits, octal in quotes (`'755'`).
    fn mode(&mut self, node: &Node, key: &str, path: &str) -> Option<u32> {
        let value = node.get(key)?;
        let written = value.text()?;
        match u32::from_str_radix(written, 8) {
            Ok(mode) if mode <= 0o7777 => Some(mode),
            _ => {
                let text = format!("\"{written}\" is no octal file mode such as '755'");
                self.error(value, format!("{path}.{key}"), text);
                None
            }
        }
    }

    fn srs(&mut self, node: &Node, code: &str, path: impl Into<String>) -> Option<Srs> {
        match Srs::parse(code) {
            Ok(srs) => Some(srs),
            Err(error) => {
                self.error(node, path, error.to_string());
                None
            }
        }
    }

    /// The systems of a list.
    fn srs_list(&mut self, node: &Node, key: &str, path: &str) -> Option<Vec<Srs>> {
        let value = node.get(key)?;
        let mut list = Vec::new();
        for (at, item) in value.items().iter().enumerate() {
            if let Some(code) = item.text() {
                list.extend(self.srs(item, code, format!("{path}.{key}[{at}]")));
            }
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests;
