//! Coverages from lists of tiles (`expire_tiles`), as importers write them: a
//! `z/x/y` on each line, of the usual grid of web mercator with its origin in
//! the north-west. A file, or a directory with such files on whatever level.

use std::path::Path;

use super::super::node::Node;
use super::Resolver;
use crate::geo::{Coverage, Extent, GridOptions, Origin, Srs, TileCoord, TileGrid};

/// Levels that a list may name; importers go to 18 or so.
const LEVELS_MAX: u32 = 31;
/// What stands on a line.
const LINE_BYTES_MAX: usize = 64;

impl Resolver<'_> {
    pub(super) fn expired_area(&mut self, node: &Node, path: &str, clip: bool) -> Option<Coverage> {
        let place = self.path(node.text()?);
        let srs = self.srs(node, "EPSG:3857", path)?;
        let grid = match usual_grid(&srs) {
            Ok(grid) => grid,
            Err(error) => {
                self.error(node, path, error);
                return None;
            }
        };
        let lists = match self.files.below(&place) {
            Ok(lists) => lists,
            Err(error) => {
                self.error(node, path, format!("cannot read {}: {error}", place.display()));
                return None;
            }
        };
        let mut tiles = Vec::new();
        for list in &lists {
            self.read_tiles(node, path, list, &grid, &mut tiles)?;
        }
        tiles.sort_unstable();
        tiles.dedup();
        if tiles.is_empty() {
            self.warn(node, path, format!("names no tiles ({}); nothing is covered", place.display()));
            return Some(Coverage::nothing(srs, clip));
        }
        let extents: Vec<Extent> = tiles.into_iter().map(|tile| grid.tile_extent(tile)).collect();
        match Coverage::from_extents(&extents, srs, clip) {
            Ok(coverage) => Some(coverage),
            Err(error) => {
                self.error(node, path, format!("{}: {error}", place.display()));
                None
            }
        }
    }

    /// The tiles of one list; from a line on that is none the rest of the file
    /// is left aside, as in MapProxy. `None` when the file cannot be read.
    fn read_tiles(
        &mut self,
        node: &Node,
        path: &str,
        list: &Path,
        grid: &TileGrid,
        tiles: &mut Vec<TileCoord>,
    ) -> Option<()> {
        let bytes = match self.files.read(list) {
            Ok(bytes) => bytes,
            Err(error) => {
                let text = format!("cannot read {}: {error}", list.display());
                self.error(node, path, text);
                return None;
            }
        };
        let mut wrong = None;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match parse(line).and_then(|tile| grid.limit(tile)) {
                Some(tile) => tiles.push(tile),
                None => {
                    wrong = Some(at + 1);
                    break;
                }
            }
        }
        if let Some(line) = wrong {
            let text =
                format!("line {line} of {} is no tile (z/x/y); the rest is left aside", list.display());
            self.warn(node, path, text);
        }
        Some(())
    }
}

fn usual_grid(srs: &Srs) -> Result<TileGrid, String> {
    let options = GridOptions {
        name: "expire_tiles".to_owned(),
        srs: Some(srs.clone()),
        origin: Some(Origin::NorthWest),
        num_levels: Some(LEVELS_MAX),
        ..GridOptions::default()
    };
    TileGrid::build(&options).map_err(|error| error.to_string())
}

/// `z/x/y`.
fn parse(line: &[u8]) -> Option<TileCoord> {
    let text = std::str::from_utf8(line).ok().filter(|text| text.len() <= LINE_BYTES_MAX)?;
    let mut numbers = text.split('/').map(|number| number.trim().parse::<u32>());
    let (z, x, y) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    numbers.next().is_none().then(|| TileCoord::new(i64::from(x), i64::from(y), z))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::load::{Loaded, load_with};
    use crate::conf::{FileSet, Finding};

    fn load(lists: &[(&str, &str)]) -> Loaded {
        let map = Path::new("/map/mapproxy.yaml");
        let text = "sources:\n  s:\n    type: debug\n  w:\n    type: wms\n    req: {url: 'http://h/', layers: a}\n\
                    \x20   coverage: {expire_tiles: expired, clip: true}\n";
        let mut files = FileSet::holding(map, text.as_bytes());
        lists.iter().for_each(|(name, list)| files.hold(Path::new(name), list.as_bytes()));
        load_with(map, &mut files, &|_| None)
    }

    fn area(loaded: &Loaded) -> Coverage {
        let conf = loaded.conf.as_ref().unwrap_or_else(|| panic!("{:?}", loaded.findings));
        conf.sources.get("w").unwrap().coverage.clone().unwrap()
    }

    fn findings(loaded: &Loaded) -> String {
        loaded.findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn tiles_become_an_area() {
        let degrees = Srs::parse("EPSG:4326").unwrap();
        let inside = |area: &Coverage, x: f64, y: f64| area.contains_point([x, y], &degrees);
        // The north-western quarter of the world and a tile in the east, in a file and in a directory.
        let lists: [&[(&str, &str)]; 2] = [
            &[("/map/expired", "1/0/0\n2/3/1\n\n2/3/1\n")],
            &[("/map/expired/a", "1/0/0\r\n"), ("/map/expired/b/2", "2/3/1"), ("/map/other", "0/0/0")],
        ];
        for lists in lists {
            let loaded = load(lists);
            let area = area(&loaded);
            assert!(area.clip && inside(&area, -90.0, 45.0) && inside(&area, 135.0, 45.0));
            assert!(!inside(&area, 45.0, 45.0) && !inside(&area, -90.0, -45.0));
            assert!(!findings(&loaded).contains("coverage"), "{}", findings(&loaded));
        }
    }

    #[test]
    fn lists_of_no_use_say_so() {
        for (list, line) in [("1/0/0\n1/2/0\n", 2), ("x", 1), ("1/0/0/0", 1), ("-1/0/0", 1), ("40/0/0", 1)] {
            let loaded = load(&[("/map/expired", list)]);
            let expected = format!(
                "7:30: warning: sources.w.coverage.expire_tiles: line {line} of /map/expired is no tile (z/x/y)"
            );
            assert!(findings(&loaded).contains(&expected), "{list}: {}", findings(&loaded));
        }
        let nothing = load(&[("/map/expired", "\n")]);
        assert!(findings(&nothing).contains("nothing is covered"), "{}", findings(&nothing));
        assert!(
            !area(&nothing).intersects(&Extent::new(-1.0, -1.0, 1.0, 1.0), &Srs::parse("EPSG:3857").unwrap())
        );
        let missing = load(&[]);
        assert!(findings(&missing).contains("cannot read /map/expired"), "{}", findings(&missing));
        assert!(missing.conf.is_none());
    }
}
