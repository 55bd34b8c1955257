//! Coverages: rectangles, files of polygons, and what is built of both
//! (mapproxy-features.md §5.12).

use std::path::Path;

use super::super::node::{Node, Value};
use super::{Resolver, flag, text};
use crate::geo::{Coverage, Extent, Srs, WholeEdges};

type Combine = fn(&[Coverage], bool) -> Result<Coverage, crate::geo::coverage::CoverageError>;

impl Resolver<'_> {
    /// The coverage that `key` of `node` describes. What cannot be used is reported.
    pub(super) fn coverage(&mut self, node: &Node, key: &str, path: &str) -> Option<Coverage> {
        let node = node.get(key)?;
        self.coverage_at(node, &format!("{path}.{key}"))
    }

    fn coverage_at(&mut self, node: &Node, path: &str) -> Option<Coverage> {
        let clip = flag(node, "clip").unwrap_or(false);
        let combinations: [(&str, Combine); 3] = [
            ("union", Coverage::union),
            ("intersection", Coverage::intersection_of),
            ("difference", Coverage::difference),
        ];
        for (key, combine) in combinations {
            if let Some(list) = node.get(key) {
                return self.combined(list, &format!("{path}.{key}"), clip, combine);
            }
        }
        if let Some(source) = node.get("ogr_datasource") {
            let srs = self.coverage_srs(node, &["ogr_srs"], path)?;
            return self.read_area(source, &format!("{path}.ogr_datasource"), srs, clip);
        }
        if let Some(source) = node.get("polygons") {
            let srs = self.coverage_srs(node, &["polygons_srs"], path)?;
            return self.read_area(source, &format!("{path}.polygons"), srs, clip);
        }
        if let Some(bbox) = node.get("bbox") {
            let extent = self.bbox(bbox, &format!("{path}.bbox"));
            let srs = self.coverage_srs(node, &["bbox_srs", "srs"], path)?;
            return Some(Coverage::from_written(srs, extent?, whole_numbers(bbox), clip));
        }
        if let Some(source) = node.get("datasource") {
            let srs = self.coverage_srs(node, &["srs"], path);
            let path = format!("{path}.datasource");
            let is_box = match &source.value {
                Value::List(_) => true,
                Value::Text(text) => text.split(',').count() == 4 && text.split(',').all(is_number),
                _ => false,
            };
            if is_box {
                let extent = self.bbox(source, &path)?;
                return Some(Coverage::from_written(srs?, extent, whole_numbers(source), clip));
            }
            return self.read_area(source, &path, srs?, clip);
        }
        if let Some(source) = node.get("expire_tiles") {
            return self.expired_area(source, &format!("{path}.expire_tiles"), clip);
        }
        let known = "bbox, datasource, union, intersection, difference or expire_tiles";
        self.warn(node, path, format!("describes no area and is ignored; it needs one of {known}"));
        None
    }

    fn coverage_srs(&mut self, node: &Node, keys: &[&str], path: &str) -> Option<Srs> {
        for key in keys {
            if let Some(code) = text(node, key) {
                return self.srs(node.get(key).unwrap_or(node), &code, format!("{path}.{key}"));
            }
        }
        let key = keys.last().copied().unwrap_or("srs");
        self.error(node, path, format!("needs `{key}`, the coordinate system of the area"));
        None
    }

    fn combined(&mut self, list: &Node, path: &str, clip: bool, combine: Combine) -> Option<Coverage> {
        let mut parts = Vec::new();
        for (at, item) in list.items().iter().enumerate() {
            parts.push(self.coverage_at(item, &format!("{path}[{at}]")));
        }
        if parts.is_empty() {
            self.error(list, path, "needs at least one area");
            return None;
        }
        let parts: Vec<Coverage> = parts.into_iter().collect::<Option<_>>()?;
        match combine(&parts, clip) {
            Ok(coverage) => Some(coverage),
            Err(error) => {
                self.error(list, path, error.to_string());
                None
            }
        }
    }

    fn read_area(&mut self, node: &Node, path: &str, srs: Srs, clip: bool) -> Option<Coverage> {
        let name = node.text()?;
        if names_database(name) {
            self.error(node, path, "databases cannot be read yet; use a file of WKT or GeoJSON");
            return None;
        }
        let file = self.path(name);
        let bytes = match self.files.read(&file) {
            Ok(bytes) => bytes.to_vec(),
            Err(error) => {
                self.error(node, path, format!("cannot read {}: {error}", file.display()));
                return None;
            }
        };
        let coverage = match std::str::from_utf8(&bytes) {
            Ok(content) if is_json(&file, content) => Coverage::from_geojson(content, srs, clip),
            Ok(content) => Coverage::from_wkt(content, srs, clip),
            Err(_) => {
                let text = format!("{} is no text; only WKT and GeoJSON can be read yet", file.display());
                self.error(node, path, text);
                return None;
            }
        };
        match coverage {
            Ok(coverage) => Some(coverage),
            Err(error) => {
                self.error(node, path, format!("{}: {error}", file.display()));
                None
            }
        }
    }

    /// A rectangle with its system: entries of `bbox_srs`.
    pub(super) fn limited_extent(&mut self, node: &Node, path: &str) -> Option<Extent> {
        node.get("bbox").and_then(|bbox| self.bbox(bbox, &format!("{path}.bbox")))
    }
}

/// Which of four numbers are written without decimals. A text of them is read
/// as decimals, as in MapProxy.
fn whole_numbers(list: &Node) -> WholeEdges {
    std::array::from_fn(|at| list.items().get(at).is_some_and(|item| matches!(item.value, Value::Int(_))))
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

/// `PG:…`, `MYSQL:…`: two or more letters before a colon.
fn names_database(name: &str) -> bool {
    name.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

fn is_json(file: &Path, content: &str) -> bool {
    let by_name = file
        .extension()
        .is_some_and(|ext| ext.eq_ignore_ascii_case("geojson") || ext.eq_ignore_ascii_case("json"));
    by_name || content.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}
