//! Section `grids` and the three built-in ones (mapproxy-features.md §3).

use std::collections::HashSet;
use std::sync::Arc;

use super::super::conf::GridConf;
use super::super::nearest::hint;
use super::super::node::{Entry, Node, Value};
use super::{Resolver, text};
use crate::geo::{Extent, GridOptions, Origin, Srs, TileGrid};

/// Longest side of a tile, pixels.
pub(super) const TILE_SIDE_MAX: u32 = 4096;
/// Most levels of a grid.
const LEVELS_MAX: u32 = 100;

const BUILT_IN: [(&str, &str, Origin); 3] = [
    ("GLOBAL_GEODETIC", "EPSG:4326", Origin::SouthWest),
    ("GLOBAL_MERCATOR", "EPSG:900913", Origin::SouthWest),
    ("GLOBAL_WEBMERCATOR", "EPSG:3857", Origin::NorthWest),
];

/// The grid that a cache or tile source has which names none.
pub(super) const DEFAULT_GRID: &str = "GLOBAL_MERCATOR";

impl Resolver<'_> {
    pub(super) fn resolve_grids(&mut self) {
        let root = self.root;
        let own = super::section(root, "grids");
        for (name, code, origin) in BUILT_IN {
            if own.iter().any(|entry| &*entry.key == name) {
                continue;
            }
            let options = GridOptions {
                name: name.to_owned(),
                srs: Srs::parse(code).ok(),
                origin: Some(origin),
                tile_size: Some(self.grid_defaults.tile_size),
                stretch_factor: Some(self.grid_defaults.stretch_factor),
                max_shrink_factor: Some(self.grid_defaults.max_shrink_factor),
                ..GridOptions::default()
            };
            match TileGrid::build(&options) {
                Ok(grid) => {
                    let grid = Arc::new(grid);
                    let conf = GridConf {
                        key: name.to_owned(),
                        srs_text: code.to_owned(),
                        has_origin: true,
                        written: vec![
                            (
                                "origin".to_owned(),
                                if origin == Origin::NorthWest { "'nw'" } else { "'sw'" }.to_owned(),
                            ),
                            ("srs".to_owned(), format!("'{code}'")),
                        ],
                        options,
                        grid,
                    };
                    self.grids.insert(name.to_owned(), Arc::new(conf));
                }
                Err(error) => self.error(root, format!("grids.{name}"), error.to_string()),
            }
        }
        let used = used_grids(root);
        let mut open = Vec::new();
        for entry in own {
            self.grid(entry, own, &used, &mut open);
        }
    }

    /// Builds a grid after those that it refers to. `open` holds the names of
    /// grids that wait for it.
    fn grid(&mut self, entry: &Entry, all: &[Entry], used: &HashSet<String>, open: &mut Vec<String>) {
        let name = entry.key.to_string();
        if self.grids.contains(&name) || self.broken_grids.contains(&name) {
            return;
        }
        let path = format!("grids.{name}");
        open.push(name.clone());
        let built = self.build_grid(entry, all, used, open, &path);
        open.pop();
        match built {
            Some(grid) => self.grids.insert(name, Arc::new(grid)),
            None => {
                self.broken_grids.insert(name);
            }
        }
    }

    /// The grid named by `key` of `node`, built if need be.
    fn other_grid(
        &mut self,
        node: &Node,
        key: &str,
        all: &[Entry],
        used: &HashSet<String>,
        open: &mut Vec<String>,
        path: &str,
    ) -> Result<Option<Arc<GridConf>>, ()> {
        let Some(value) = node.get(key) else { return Ok(None) };
        let Some(other) = value.text() else { return Err(()) };
        let path = format!("{path}.{key}");
        if open.iter().any(|name| name == other) {
            self.error(value, path, format!("the grid `{other}` is made from this one: a circle"));
            return Err(());
        }
        if let Some(entry) = all.iter().find(|entry| &*entry.key == other) {
            self.grid(entry, all, used, open);
        }
        match self.grids.get(other) {
            Some(grid) => Ok(Some(Arc::clone(grid))),
            None if self.broken_grids.contains(other) => Err(()),
            None => {
                let near = hint(other, self.grids.names().chain(all.iter().map(|entry| &*entry.key)));
                self.findings.error(value.place, path, format!("there is no grid `{other}`{near}"));
                Err(())
            }
        }
    }

    fn build_grid(
        &mut self,
        entry: &Entry,
        all: &[Entry],
        used: &HashSet<String>,
        open: &mut Vec<String>,
        path: &str,
    ) -> Option<GridConf> {
        let node = &entry.value;
        let base = self.other_grid(node, "base", all, used, open, path).ok()?;
        let align = self.other_grid(node, "align_resolutions_with", all, used, open, path).ok()?;
        let mut options = base.as_ref().map_or_else(GridOptions::default, |base| base.options.clone());
        let mut srs_text =
            base.as_ref().map_or_else(|| "EPSG:900913".to_owned(), |base| base.srs_text.clone());
        let mut has_origin = base.as_ref().is_some_and(|base| base.has_origin);

        options.name = text(node, "name").unwrap_or_else(|| entry.key.to_string());
        if let Some(code) = text(node, "srs") {
            options.srs = Some(self.srs(node.get("srs")?, &code, format!("{path}.srs"))?);
            srs_text = code;
        }
        self.grid_extent(node, &mut options, path)?;
        if let Some(origin) = node.get("origin").and_then(Node::text) {
            options.origin = origin_of(origin);
            has_origin = true;
        }
        let errors_before = self.findings.error_count();
        self.grid_numbers(node, &mut options, path);
        if let Some(align) = align {
            options.align_with = Some(align.grid.resolutions.clone());
        }
        options.tile_size.get_or_insert(self.grid_defaults.tile_size);
        options.stretch_factor.get_or_insert(self.grid_defaults.stretch_factor);
        options.max_shrink_factor.get_or_insert(self.grid_defaults.max_shrink_factor);
        if !has_origin && used.contains(&*entry.key) {
            self.findings.warn(
                entry.place,
                path,
                "no `origin` is given; tiles are counted from the south-west (ll)",
            );
        }
        match TileGrid::build(&options) {
            Ok(grid) => Some(GridConf {
                key: entry.key.to_string(),
                srs_text,
                has_origin,
                written: written(node),
                options,
                grid: Arc::new(grid),
            }),
            Err(_) if self.findings.error_count() > errors_before => None,
            // MapProxy builds only grids that something uses.
            Err(error) if !used.contains(&*entry.key) => {
                self.findings.warn(entry.place, path, format!("{error}; nothing uses this grid"));
                None
            }
            Err(error) => {
                self.findings.error(entry.place, path, error.to_string());
                None
            }
        }
    }

    /// A base's `bbox_srs` holds for a box of the grid's own too, as in MapProxy.
    fn grid_extent(&mut self, node: &Node, options: &mut GridOptions, path: &str) -> Option<()> {
        if let Some(bbox) = node.get("bbox") {
            options.extent = Some(self.bbox(bbox, &format!("{path}.bbox"))?);
        }
        if let Some(code) = text(node, "bbox_srs") {
            options.extent_srs = Some(self.srs(node.get("bbox_srs")?, &code, format!("{path}.bbox_srs"))?);
        }
        Some(())
    }

    fn grid_numbers(&mut self, node: &Node, options: &mut GridOptions, path: &str) {
        if let Some(size) = self.pair(node, "tile_size", path, TILE_SIDE_MAX) {
            options.tile_size = Some(size);
        }
        options.num_levels = self.count(node, "num_levels", path, 1, LEVELS_MAX).or(options.num_levels);
        options.min_res = self.positive(node, "min_res", path).or(options.min_res);
        options.max_res = self.positive(node, "max_res", path).or(options.max_res);
        options.stretch_factor = self.positive(node, "stretch_factor", path).or(options.stretch_factor);
        options.max_shrink_factor =
            self.positive(node, "max_shrink_factor", path).or(options.max_shrink_factor);
        options.res = self.resolutions(node, "res", path).or(options.res.take());
        options.threshold_res =
            self.resolutions(node, "threshold_res", path).or(options.threshold_res.take());
        if let Some(factor) = node.get("res_factor") {
            let value = match &factor.value {
                Value::Text(text) if &**text == "sqrt2" => Some(std::f64::consts::SQRT_2),
                _ => factor.number().filter(|value| value.is_finite() && *value > 1.0),
            };
            if value.is_none() {
                self.error(factor, format!("{path}.res_factor"), "must be a number above 1 or `sqrt2`");
            }
            options.res_factor = value;
        }
    }

    fn resolutions(&mut self, node: &Node, key: &str, path: &str) -> Option<Vec<f64>> {
        let list = node.get(key)?;
        let path = format!("{path}.{key}");
        let items = list.items();
        if items.is_empty() || items.len() > LEVELS_MAX as usize {
            self.error(list, path, format!("must hold from 1 to {LEVELS_MAX} resolutions"));
            return None;
        }
        let values: Option<Vec<f64>> = items
            .iter()
            .map(|item| item.number().filter(|value| value.is_finite() && *value > 0.0))
            .collect();
        if values.is_none() && items.iter().all(|item| item.number().is_some()) {
            self.error(list, path, "resolutions must be above zero");
        }
        values
    }

    /// `[w, s, e, n]` or `"w,s,e,n"`.
    pub(super) fn bbox(&mut self, node: &Node, path: &str) -> Option<Extent> {
        let numbers: Vec<f64> = match &node.value {
            Value::Text(text) => text.split(',').filter_map(|part| part.trim().parse().ok()).collect(),
            Value::List(items) => items.iter().filter_map(Node::number).collect(),
            _ => return None,
        };
        let extent = match numbers[..] {
            [west, south, east, north] => Extent::new(west, south, east, north),
            _ => {
                // Of a list the check of types has said so already.
                if matches!(node.value, Value::Text(_)) {
                    self.error(node, path, "must be four numbers: west, south, east, north");
                }
                return None;
            }
        };
        if !extent.is_valid() {
            self.error(node, path, "is empty: east must lie beyond west and north beyond south");
            return None;
        }
        Some(extent)
    }
}

/// A grid's own keys in alphabetical order.
fn written(node: &Node) -> Vec<(String, String)> {
    let mut keys: Vec<(String, String)> =
        node.entries().iter().map(|entry| (entry.key.to_string(), entry.value.flow())).collect();
    keys.sort();
    keys
}

pub(super) fn origin_of(text: &str) -> Option<Origin> {
    match text {
        "ll" | "sw" => Some(Origin::SouthWest),
        "ul" | "nw" => Some(Origin::NorthWest),
        _ => None,
    }
}

/// Grids that a cache, a tile source or another grid asks for.
fn used_grids(root: &Node) -> HashSet<String> {
    let mut used = HashSet::from([DEFAULT_GRID.to_owned()]);
    for cache in super::section(root, "caches") {
        used.extend(super::texts(&cache.value, "grids").unwrap_or_default());
    }
    for source in super::section(root, "sources") {
        used.extend(text(&source.value, "grid"));
    }
    for grid in super::section(root, "grids") {
        used.extend(text(&grid.value, "base"));
        used.extend(text(&grid.value, "align_resolutions_with"));
    }
    used
}
