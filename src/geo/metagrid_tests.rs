//! Edges of meta tiles; the table of them is checked with the grids'.

use super::*;
use crate::geo::{GridOptions, Srs};

fn world(origin: Origin) -> Arc<TileGrid> {
    let options = GridOptions {
        srs: Some(Srs::parse("EPSG:3857").expect("mercator")),
        origin: Some(origin),
        ..GridOptions::default()
    };
    Arc::new(TileGrid::build(&options).expect("a grid"))
}

#[test]
fn tiles_run_from_the_north_west_and_the_buffer_stops_at_the_grid() {
    let meta = MetaGrid::new(world(Origin::NorthWest), (2, 2), 10);
    let block = meta.meta_tile(TileCoord::new(1, 1, 3));
    assert_eq!(block.size, (522, 522));
    assert_eq!(block.tiles[0], (TileCoord::new(0, 0, 3), (0, 0)));
    let block = meta.meta_tile(TileCoord::new(3, 3, 3));
    assert_eq!(block.size, (532, 532));
    assert_eq!(block.main, TileCoord::new(2, 2, 3));
    assert_eq!(block.tiles[3], (TileCoord::new(3, 3, 3), (266, 266)));
}

#[test]
fn no_tiles_make_an_empty_block_and_far_ones_no_list() {
    let meta = MetaGrid::new(world(Origin::SouthWest), (4, 4), 10);
    assert!(meta.minimal_meta_tile(&[]).tiles.is_empty());
    let far = [TileCoord::new(0, 0, 19), TileCoord::new(i64::MAX, i64::MAX, 19)];
    assert!(meta.minimal_meta_tile(&far).tiles.is_empty());
    assert!(meta.meta_tile(TileCoord::new(i64::MIN, i64::MAX, 40)).tiles.is_empty());
}
