//! Tile matrix sets, as JSON of the OGC's standard 17-083r4, as grids.

use serde_json::Value;

use crate::geo::grid::{Level, TILE_EDGE_MAX_PX};
use crate::geo::{Extent, Origin, Srs, TileGrid, ogc};

/// Levels of a set.
const MATRICES_MAX: usize = 64;
/// Columns or rows of a level.
const TILES_PER_SIDE_MAX: u64 = 1 << 40;
/// The name of a level.
const ID_BYTES_MAX: usize = 100;

/// A grid, and the name of each of its levels.
#[derive(Debug)]
pub struct MatrixSet {
    pub id: String,
    pub grid: TileGrid,
    pub names: Vec<String>,
}

/// What one matrix says.
#[derive(Debug, PartialEq)]
struct Matrix {
    name: String,
    /// Map units of a pixel.
    resolution: f64,
    /// Columns and rows.
    size: (u64, u64),
    tile_size: (u32, u32),
    origin: Origin,
    /// The corner, first axis first.
    point: [f64; 2],
}

/// A coordinate system: its URL, or an object with that.
pub fn system(json: &Value) -> Option<Srs> {
    json.as_str().or_else(|| json.get("uri")?.as_str()).and_then(ogc::parse)
}

impl MatrixSet {
    /// Reads a set whose levels all begin in one corner and have tiles of one size.
    ///
    /// # Errors
    /// What is wrong with it or beyond us, in one sentence.
    pub fn parse(json: &Value) -> Result<MatrixSet, String> {
        let srs = json.get("crs").and_then(system).ok_or("its coordinate system is not known here")?;
        let list = json.get("tileMatrices").and_then(Value::as_array).ok_or("it has no tileMatrices")?;
        if list.is_empty() || list.len() > MATRICES_MAX {
            return Err(format!("it has {} levels; there can be 1 to {MATRICES_MAX}", list.len()));
        }
        let mut matrices = Vec::new();
        for json in list {
            matrices.push(Matrix::parse(json)?);
        }
        let first = &matrices[0];
        let alike = |other: &Matrix| {
            (other.tile_size, other.origin, other.point) == (first.tile_size, first.origin, first.point)
        };
        if !matrices.iter().all(alike) {
            return Err("the size of its tiles or their origin differs from level to level".into());
        }
        let (tile_size, origin, point) = (first.tile_size, first.origin, first.point);
        let [x, y] = if srs.is_axis_order_ne() { [point[1], point[0]] } else { point };
        let width = first.resolution * f64::from(tile_size.0) * first.size.0 as f64;
        let height = first.resolution * f64::from(tile_size.1) * first.size.1 as f64;
        let extent = match origin {
            Origin::NorthWest => Extent::new(x, y - height, x + width, y),
            Origin::SouthWest => Extent::new(x, y, x + width, y + height),
        };
        if !extent.is_valid() {
            return Err("its levels cover no area".into());
        }
        matrices.sort_by(|a, b| b.resolution.total_cmp(&a.resolution));
        if matrices.windows(2).any(|pair| pair[0].resolution == pair[1].resolution) {
            return Err("two of its levels have the same cellSize".into());
        }
        let id = json.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let levels = matrices.iter().map(|m| Level {
            resolution: m.resolution,
            columns: m.size.0 as i64,
            rows: m.size.1 as i64,
        });
        let grid = TileGrid::of_levels(&id, srs, extent, origin, tile_size, levels.collect());
        Ok(MatrixSet { id, grid, names: matrices.into_iter().map(|matrix| matrix.name).collect() })
    }
}

impl Matrix {
    fn parse(json: &Value) -> Result<Matrix, String> {
        let name = match json.get("id") {
            Some(Value::String(id)) if id.len() <= ID_BYTES_MAX => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(format!("a level has no id of at most {ID_BYTES_MAX} bytes")),
        };
        let wrong = |key: &str| format!("the {key} of its level {name:?} is of no use");
        if json.get("variableMatrixWidths").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            return Err(format!("its level {name:?} has rows of different length (variableMatrixWidths)"));
        }
        let number = |key: &str, most: u64| {
            json.get(key).and_then(Value::as_u64).filter(|n| (1..=most).contains(n)).ok_or_else(|| wrong(key))
        };
        let resolution = json
            .get("cellSize")
            .and_then(Value::as_f64)
            .filter(|size| size.is_finite() && *size > 0.0)
            .ok_or_else(|| wrong("cellSize"))?;
        let edge = |key: &str| number(key, u64::from(TILE_EDGE_MAX_PX)).map(|edge| edge as u32);
        let origin = match json.get("cornerOfOrigin").and_then(Value::as_str) {
            None | Some("topLeft") => Origin::NorthWest,
            Some("bottomLeft") => Origin::SouthWest,
            Some(_) => return Err(wrong("cornerOfOrigin")),
        };
        let point = json.get("pointOfOrigin").and_then(Value::as_array).map(Vec::as_slice);
        let point = match point {
            Some([a, b]) => [a.as_f64(), b.as_f64()],
            _ => [None, None],
        };
        let [Some(a), Some(b)] = point else { return Err(wrong("pointOfOrigin")) };
        Ok(Matrix {
            resolution,
            size: (number("matrixWidth", TILES_PER_SIDE_MAX)?, number("matrixHeight", TILES_PER_SIDE_MAX)?),
            tile_size: (edge("tileWidth")?, edge("tileHeight")?),
            origin,
            point: [a, b],
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::geo::TileCoord;

    fn set() -> Value {
        let matrix = |id: &str, cell: f64, columns: u32, rows: u32| {
            json!({
                "id": id, "cellSize": cell, "cornerOfOrigin": "topLeft", "pointOfOrigin": [90, -180],
                "matrixWidth": columns, "matrixHeight": rows, "tileWidth": 256, "tileHeight": 256,
            })
        };
        // The coarsest level does not come first.
        json!({
            "id": "degrees", "crs": "http://www.opengis.net/def/crs/EPSG/0/4326",
            "tileMatrices": [matrix("half", 0.703_125, 2, 1), matrix("whole", 1.40625, 1, 1)],
        })
    }

    #[test]
    fn a_set_is_a_grid_whose_levels_have_names() {
        let set = MatrixSet::parse(&set()).unwrap();
        assert_eq!(
            (set.id.as_str(), set.names.as_slice()),
            ("degrees", &["whole".into(), "half".into()][..])
        );
        assert_eq!(set.grid.extent, Extent::new(-180.0, -90.0, 180.0, 90.0));
        assert_eq!((set.grid.grid_size(0), set.grid.grid_size(1)), ((1, 1), (2, 1)));
        let east = TileCoord::new(1, 0, 1);
        assert_eq!(set.grid.tile_extent(east), Extent::new(0.0, -90.0, 180.0, 90.0));
    }

    #[test]
    fn what_is_no_grid_of_ours_is_refused_with_the_reason() {
        let huge: Vec<Value> = vec![json!({}); 65];
        for (pointer, value, reason) in [
            ("/crs", json!("urn:nothing"), "coordinate system"),
            ("/tileMatrices", json!([]), "0 levels"),
            ("/tileMatrices", json!(huge), "65 levels"),
            ("/tileMatrices", json!("x"), "no tileMatrices"),
            ("/tileMatrices/0/cellSize", json!(0), "cellSize"),
            ("/tileMatrices/0/cellSize", json!(1.40625), "same cellSize"),
            ("/tileMatrices/0/matrixWidth", json!(-1), "matrixWidth"),
            ("/tileMatrices/0/matrixHeight", json!(u64::MAX), "matrixHeight"),
            ("/tileMatrices/0/tileWidth", json!(1_000_000), "tileWidth"),
            ("/tileMatrices/0/tileWidth", json!(512), "differs"),
            ("/tileMatrices/0/pointOfOrigin", json!([90, -179]), "differs"),
            ("/tileMatrices/0/pointOfOrigin", json!([90]), "pointOfOrigin"),
            ("/tileMatrices/0/cornerOfOrigin", json!("middle"), "cornerOfOrigin"),
            ("/tileMatrices/0/id", json!(null), "no id"),
        ] {
            let mut json = set();
            *json.pointer_mut(pointer).unwrap() = value;
            let error = MatrixSet::parse(&json).unwrap_err();
            assert!(error.contains(reason), "{pointer}: {error}");
        }
        let mut json = set();
        json["tileMatrices"][0]["variableMatrixWidths"] = json!([{ "coalesce": 2 }]);
        assert!(MatrixSet::parse(&json).unwrap_err().contains("variableMatrixWidths"));
    }
}
