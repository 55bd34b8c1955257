//! Grids row by row against MapProxy's own arithmetic (`testdata/grids.tsv`,
//! made by `tests/parity/grid_table.py`), and by property.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::geo::MetaGrid;

const TABLE: &str = include_str!("testdata/grids.tsv");
const SUBSETS: &str = include_str!("testdata/subsets.tsv");

fn numbers(text: &str) -> Vec<f64> {
    text.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().expect("a number")).collect()
}

fn extent(text: &str) -> Extent {
    let n = numbers(text);
    Extent::new(n[0], n[1], n[2], n[3])
}

fn pair(text: &str) -> (u32, u32) {
    let n = numbers(text);
    (n[0] as u32, n[1] as u32)
}

fn tile(text: &str) -> TileCoord {
    let n = numbers(text);
    TileCoord::new(n[0] as i64, n[1] as i64, n[2] as u32)
}

/// The grid of a `grid` line and the `asked` line after it.
fn grid(head: &[&str], asked: &[&str]) -> TileGrid {
    let asked: HashMap<&str, &str> = asked.iter().filter_map(|a| a.split_once('=')).collect();
    let number = |key: &str| asked.get(key).map(|v| v.parse::<f64>().expect("a number"));
    let oracle_extent = extent(head[2]);
    let mut options = GridOptions {
        srs: Some(Srs::plane(head[1])),
        extent: asked.get("bbox").map(|b| extent(b)),
        extent_srs: asked.get("bbox_srs").map(|code| Srs::parse(code).expect("a known system")),
        origin: Origin::parse(head[3]),
        tile_size: Some(pair(head[4])),
        res: asked.get("res").map(|v| numbers(v)),
        res_factor: asked.get("res_factor").map(|v| match *v {
            "sqrt2" => std::f64::consts::SQRT_2,
            v => v.parse().expect("a number"),
        }),
        num_levels: number("num_levels").map(|v| v as u32),
        min_res: number("min_res"),
        max_res: number("max_res"),
        threshold_res: Some(numbers(head[7])),
        stretch_factor: Some(head[5].parse().expect("a number")),
        max_shrink_factor: Some(head[6].parse().expect("a number")),
        align_with: asked.get("align").map(|v| numbers(v)),
        ..GridOptions::default()
    };
    let built = TileGrid::build(&options).expect("a grid");
    if options.extent_srs.is_none() {
        assert_eq!(built.extent, oracle_extent);
        return built;
    }
    // PROJ may differ from our closed form in the last bit; go on from its own.
    for (a, b) in built.extent.to_array().iter().zip(oracle_extent.to_array()) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }
    options.extent = Some(oracle_extent);
    options.extent_srs = None;
    TileGrid::build(&options).expect("a grid")
}

fn check_affected(grid: &TileGrid, row: &[&str], line: usize) {
    let answer = grid.affected(&extent(row[1]), pair(row[2]), &grid.srs, 400);
    match row[3] {
        "none" => assert_eq!(answer.err(), Some(GridError::NoTiles), "line {line}"),
        "invalid" => assert_eq!(answer.err(), Some(GridError::InvalidExtent), "line {line}"),
        all => {
            let affected = answer.expect("tiles");
            assert_eq!(affected.extent, extent(all), "line {line}");
            assert_eq!((affected.columns, affected.rows), pair(row[4]), "line {line}");
            if row[5] == "-" {
                assert!(affected.tiles.iter().all(Option::is_none), "line {line}");
                return;
            }
            let n = numbers(row[5]);
            let inside: Vec<TileCoord> = affected.tiles.iter().flatten().copied().collect();
            assert_eq!(affected.tiles.len(), (affected.columns * affected.rows) as usize);
            assert_eq!(affected.tiles.iter().position(Option::is_some), Some(n[0] as usize), "line {line}");
            let coord = |at: usize| TileCoord::new(n[at] as i64, n[at + 1] as i64, n[at + 2] as u32);
            assert_eq!(inside.first(), Some(&coord(1)), "line {line}");
            assert_eq!(inside.last(), Some(&coord(4)), "line {line}");
            assert_eq!(inside.len(), n[7] as usize, "line {line}");
        }
    }
}

fn check_block(grid: &Arc<TileGrid>, row: &[&str], line: usize) {
    let meta = MetaGrid::new(grid.clone(), pair(row[1]), row[2].parse().expect("a buffer"));
    let tiles: Vec<TileCoord> = row[3].split(' ').map(tile).collect();
    let block = match row[0] {
        "meta" => meta.meta_tile(tiles[0]),
        _ => meta.minimal_meta_tile(&tiles),
    };
    assert_eq!(block.extent, extent(row[4]), "line {line}");
    assert_eq!(block.size, pair(row[5]), "line {line}");
    assert_eq!((block.columns, block.rows), pair(row[6]), "line {line}");
    assert_eq!(block.main, tile(row[7]), "line {line}");
    assert_eq!(block.tiles.len().to_string(), row[8], "line {line}");
    for (placed, text) in [(block.tiles.first(), row[9]), (block.tiles.last(), row[10])] {
        let n = numbers(text);
        assert_eq!(placed, Some(&(tile(text), (n[3] as i32, n[4] as i32))), "line {line}");
    }
}

/// Goes through the table, checks every row, and returns its grids.
fn grids_of_table() -> Vec<Arc<TileGrid>> {
    let mut grids: Vec<Arc<TileGrid>> = Vec::new();
    let mut head: Vec<&str> = Vec::new();
    for (number, text) in TABLE.lines().enumerate() {
        let line = number + 1;
        let row: Vec<&str> = text.split('\t').collect();
        let current = grids.last().cloned();
        match (row[0], current) {
            ("grid", _) => head = row,
            ("asked", _) => grids.push(Arc::new(grid(&head, &row[1..]))),
            ("levels", Some(grid)) => {
                assert_eq!(grid.levels() as usize, row.len() - 1, "line {line}");
                for (level, text) in row[1..].iter().enumerate() {
                    let n = numbers(text);
                    assert_eq!(grid.resolution(level as u32), n[0], "line {line}");
                    assert_eq!(grid.grid_size(level as u32), (n[1] as i64, n[2] as i64), "line {line}");
                }
            }
            ("flips", Some(grid)) => {
                assert_eq!(grid.supports_origin(Origin::SouthWest), row[1] == "1", "line {line}");
                assert_eq!(grid.supports_origin(Origin::NorthWest), row[2] == "1", "line {line}");
            }
            ("closest", Some(grid)) => {
                for text in &row[1..] {
                    let n = numbers(text);
                    assert_eq!(grid.closest_level(n[0]), n[1] as u32, "line {line}: {}", n[0]);
                }
            }
            ("tile", Some(grid)) => {
                let t = tile(row[1]);
                assert_eq!(grid.tile_extent(t), extent(row[2]), "line {line}");
                assert_eq!(grid.flip(t), tile(row[3]), "line {line}");
                assert_eq!(grid.limit(t).is_some(), row[4] == "1", "line {line}");
            }
            ("affected", Some(grid)) => check_affected(&grid, &row, line),
            ("meta" | "minimal", Some(grid)) => check_block(&grid, &row, line),
            (other, _) => panic!("line {line}: unknown row {other}"),
        }
    }
    grids
}

#[test]
fn every_row_of_the_table_agrees() {
    assert_eq!(grids_of_table().len(), 40);
}

#[test]
fn subsets_agree() {
    let mut grids = grids_of_table();
    for text in SUBSETS.lines() {
        let row: Vec<&str> = text.split('\t').collect();
        if row[0] == "extra" {
            let options = GridOptions {
                srs: Some(Srs::plane(row[1])),
                extent: Some(extent(row[2])),
                origin: Origin::parse(row[3]),
                num_levels: row[4].parse().ok(),
                ..GridOptions::default()
            };
            grids.push(Arc::new(TileGrid::build(&options).expect("a grid")));
            continue;
        }
        let one: usize = row[0].parse().expect("an index");
        for (other, expected) in row[1].chars().enumerate() {
            assert_eq!(grids[one].is_subset_of(&grids[other]), expected == '1', "{one} in {other}");
        }
    }
}

#[test]
fn rounding_is_decimal_and_to_even() {
    assert_eq!(round_decimals(0.0001220703125, 12), 0.000122070312);
    assert_eq!(round_decimals(0.0003662109375, 12), 0.000366210938);
    assert_eq!(round_decimals(-1.23456789012345, 12), -1.234567890123);
    assert_eq!(round_decimals(1e300, 12), 1e300);
    assert_eq!(round_decimals(0.703_125_000_000_000_1, 5), 0.70313);
    assert!(round_decimals(f64::NAN, 12).is_nan());
}

#[test]
fn floor_division_keeps_python_s_answer() {
    assert_eq!(floor_divide(7.0, 2.0), 3.0);
    assert_eq!(floor_divide(-7.0, 2.0), -4.0);
    assert_eq!(floor_divide(1.0, 0.1), 9.0);
    assert_eq!(floor_divide(360.0, 1.40625), 256.0);
}

#[test]
fn impossible_options_are_refused() {
    let refused = |change: fn(&mut GridOptions)| {
        let mut options = GridOptions::default();
        change(&mut options);
        TileGrid::build(&options).expect_err("refused").to_string()
    };
    assert!(refused(|o| o.tile_size = Some((0, 256))).contains("tile_size"));
    assert!(refused(|o| o.res = Some(vec![10.0, 0.0])).contains("positive"));
    assert!(refused(|o| o.res = Some(vec![f64::NAN])).contains("positive"));
    assert!(refused(|o| o.res_factor = Some(1.0)).contains("res_factor"));
    assert!(refused(|o| o.num_levels = Some(u32::MAX)).contains("num_levels"));
    assert!(refused(|o| o.max_res = Some(1e-300)).contains("levels"));
    assert!(refused(|o| o.extent = Some(Extent::new(1.0, 0.0, -1.0, 5.0))).contains("bbox"));
    assert!(refused(|o| o.extent = Some(Extent::new(0.0, 0.0, f64::INFINITY, 5.0))).contains("bbox"));
    assert!(refused(|o| o.srs = Some(Srs::plane("EPSG:25832"))).contains("need a bbox"));
    assert!(refused(|o| o.align_with = Some(vec![1.0])).contains("two resolutions"));
    let both = |o: &mut GridOptions| (o.res, o.min_res) = (Some(vec![10.0]), Some(3.0));
    assert!(refused(both).contains("excludes"));
}

#[test]
fn tiles_and_levels_off_the_grid_are_harmless() {
    let grid = TileGrid::build(&GridOptions::default()).expect("a grid");
    for far in [i64::MIN, -1, i64::MAX] {
        for z in [0, 19, 20, u32::MAX] {
            let t = TileCoord::new(far, far, z);
            assert_eq!(grid.limit(t), None);
            assert_eq!(grid.limit(grid.flip(t)), None);
            grid.tile_extent(t);
        }
    }
    let everywhere = Extent::new(-1e300, -1e300, 1e300, 1e300);
    let affected = grid.affected_at(&everywhere, 19, 1000).expect("a count");
    assert_eq!((affected.columns, affected.tiles.len()), (u32::MAX, 0));
    let odd = Extent::new(f64::NAN, 0.0, f64::INFINITY, 1.0);
    assert!(grid.affected(&odd, (0, 0), &grid.srs, 10).is_err());
}

prop_compose! {
    fn any_grid()(
        x in -1e6f64..1e6, y in -1e6f64..1e6, w in 0.5f64..1e6, h in 0.5f64..1e6,
        north_west: bool, factor in 1.2f64..3.0, levels in 1u32..12, edge in 1u32..600,
    ) -> TileGrid {
        TileGrid::build(&GridOptions {
            srs: Some(Srs::plane("EPSG:25832")),
            extent: Some(Extent::new(x, y, x + w, y + h)),
            origin: Some(if north_west { Origin::NorthWest } else { Origin::SouthWest }),
            tile_size: Some((edge, edge + 3)),
            res_factor: Some(factor),
            num_levels: Some(levels),
            ..GridOptions::default()
        }).expect("a grid")
    }
}

proptest! {
    #[test]
    fn flipping_twice_changes_nothing(grid in any_grid(), x in -5i64..500, y in -5i64..500, z in 0u32..14) {
        let t = TileCoord::new(x, y, z);
        prop_assert_eq!(grid.flip(grid.flip(t)), t);
        prop_assert_eq!(grid.limit(t).is_some(), grid.limit(grid.flip(t)).is_some());
    }

    #[test]
    fn a_tile_s_own_extent_touches_that_tile_alone(grid in any_grid(), x in 0.0f64..1.0, y in 0.0f64..1.0, z in 0.0f64..1.0) {
        let level = (z * f64::from(grid.levels())) as u32;
        let (columns, rows) = grid.grid_size(level);
        let t = TileCoord::new((x * columns as f64) as i64, (y * rows as f64) as i64, level);
        let own = grid.tile_extent(t);
        let affected = grid.affected_at(&own, level, 9).expect("tiles");
        // A tile of few pixels is all margin.
        prop_assume!(grid.tile_size.0 > 1);
        prop_assert_eq!(affected.tiles, vec![Some(t)]);
        prop_assert_eq!(affected.extent, own);
        prop_assert_eq!(grid.tile_at((own.min_x + own.max_x) / 2.0, (own.min_y + own.max_y) / 2.0, level), t);
    }

    #[test]
    fn the_tiles_of_a_map_hold_the_map(grid in any_grid(), x in 0.0f64..0.9, y in 0.0f64..0.9, w in 0.01f64..0.5, px in 1u32..900) {
        let (width, height) = (grid.extent.width(), grid.extent.height());
        let map = Extent::new(
            grid.extent.min_x + x * width,
            grid.extent.min_y + y * height,
            grid.extent.min_x + (x + w) * width,
            grid.extent.min_y + (y + w) * height,
        );
        if let Ok(affected) = grid.affected(&map, (px, px), &grid.srs, 1 << 16) {
            let margin = grid.resolution(affected.level) / 9.0;
            prop_assert!(affected.extent.grow(margin).contains(&map));
            if !affected.tiles.is_empty() {
                prop_assert_eq!(affected.tiles.len() as u32, affected.columns * affected.rows);
                for t in affected.tiles.iter().flatten() {
                    prop_assert!(affected.extent.grow(margin).contains(&grid.tile_extent(*t)));
                }
            }
        }
    }

    #[test]
    fn meta_tiles_part_the_grid(grid in any_grid(), columns in 1u32..6, rows in 1u32..6, buffer in 0u32..90) {
        let grid = Arc::new(grid);
        let meta = MetaGrid::new(grid.clone(), (columns, rows), buffer);
        let level = grid.levels().min(3) - 1;
        let (w, h) = grid.grid_size(level);
        prop_assume!(w * h <= 400);
        for y in 0..h {
            for x in 0..w {
                let t = TileCoord::new(x, y, level);
                let block = meta.meta_tile(t);
                prop_assert_eq!(block.main, meta.main_tile(t));
                prop_assert_eq!(block.tiles.iter().filter(|(other, _)| *other == t).count(), 1);
            }
        }
    }
}
