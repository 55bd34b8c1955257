//! Tiles of other levels in place of missing ones, held to MapProxy's rules.

use std::sync::Arc;

use super::*;
use crate::geo::Origin;
use crate::plan::fakes::*;
use crate::plan::{Drawn, MapLayer, TileCacheOptions};
use crate::render::{Format, ImageOptions};

const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const GREY: [u8; 4] = [90, 90, 90, 255];
const NOTHING: [u8; 4] = [0; 4];

fn at(x: i64, y: i64, z: u32) -> TileCoord {
    TileCoord::new(x, y, z)
}

fn rescaled(rescale: Rescale) -> impl FnOnce(&mut TileCacheOptions) {
    move |options| options.rescale = Some(rescale)
}

/// A tile of four quarters: north-west, north-east, south-west, south-east.
fn quarters(colors: [[u8; 4]; 4]) -> Vec<u8> {
    let mut raster = Raster::filled(SIDE, SIDE, GREY);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let quarter = usize::from(y >= SIDE / 2) * 2 + usize::from(x >= SIDE / 2);
            let place = (y * SIDE + x) as usize * 4;
            raster.pixels[place..place + 4].copy_from_slice(&colors[quarter]);
        }
    }
    let image = ImageOptions { transparent: Some(true), ..ImageOptions::new(Format::Png) };
    render::encode(&raster, &image, None).expect("a PNG").bytes
}

/// The middle of each quarter of a tile.
fn quarters_of(tile: &Tile) -> [[u8; 4]; 4] {
    let raster = decoded(&tile.bytes);
    let (near, far) = (SIDE / 4 - 1, SIDE * 3 / 4);
    [(near, near), (far, near), (near, far), (far, far)].map(|(x, y)| raster.pixel(x, y))
}

fn ask(cache: &TileCache, coord: TileCoord) -> Option<Tile> {
    cache.tiles(&[coord], None, &Turn::ungated()).expect("no failure").pop().flatten()
}

#[test]
fn a_tile_is_magnified_from_the_level_above() {
    for (origin, north, south) in [(Origin::SouthWest, 5, 4), (Origin::NorthWest, 4, 5)] {
        let store = FakeStore::new();
        let cache = cache(&store, Vec::new(), |options| {
            options.grid = grid(None, origin);
            options.rescale = Some(Rescale::Up(2));
        });
        let now = std::time::SystemTime::now();
        store.put(at(1, 2, 3), &quarters([RED, GREEN, BLUE, GREY]), now);
        let middle = |x, y| decoded(&ask(&cache, at(x, y, 4)).expect("a substitute").bytes).pixel(4, 4);
        assert_eq!(middle(2, north), RED, "{origin:?}");
        assert_eq!(middle(3, north), GREEN, "{origin:?}");
        assert_eq!(middle(2, south), BLUE, "{origin:?}");
        assert_eq!(middle(3, south), GREY, "{origin:?}");
        // Two levels further, not three.
        let first_row = if origin == Origin::NorthWest { 4 * 4 } else { 4 * 4 + 7 };
        let far = ask(&cache, at(4, first_row / 2, 5)).expect("two levels up");
        assert_eq!(color_in(&far), Some(RED));
        assert!(ask(&cache, at(8, first_row, 6)).is_none());
        assert_eq!(store.stores.load(std::sync::atomic::Ordering::Relaxed), 0, "nothing is stored unasked");
    }
}

#[test]
fn a_tile_is_put_together_from_the_level_below() {
    let store = FakeStore::new();
    let cache = cache(&store, Vec::new(), rescaled(Rescale::Down(2)));
    let now = std::time::SystemTime::now();
    // Rows count from the south.
    store.put(at(2, 5, 4), &png(RED), now);
    store.put(at(3, 5, 4), &png(GREEN), now);
    // One of the four is itself there only on the next level.
    for (x, y) in [(4, 8), (5, 8), (4, 9), (5, 9)] {
        store.put(at(x, y, 5), &png(BLUE), now);
    }
    let tile = ask(&cache, at(1, 2, 3)).expect("a substitute");
    assert_eq!(quarters_of(&tile), [RED, GREEN, BLUE, NOTHING]);
    assert!(tile.cacheable && !tile.from_store);
    assert!(ask(&cache, at(0, 0, 3)).is_none());
    // The last level has none below.
    assert!(ask(&cache, at(0, 0, 6)).is_none());
}

#[test]
fn substitutes_are_stored_where_that_is_wanted() {
    let store = FakeStore::new();
    let cache = cache(&store, Vec::new(), |options| {
        options.rescale = Some(Rescale::Up(3));
        options.keeps_rescaled = true;
    });
    store.put(at(0, 0, 2), &png(RED), std::time::SystemTime::now());
    assert_eq!(color_in(&ask(&cache, at(1, 1, 4)).expect("a substitute")), Some(RED));
    // Those on the way too, as in MapProxy.
    assert!(store.holds(at(1, 1, 4)) && store.holds(at(0, 0, 3)));
    assert!(ask(&cache, at(1, 1, 4)).expect("the stored one").from_store);
}

#[test]
fn a_source_that_shows_only_other_levels_is_asked_there() {
    let store = FakeStore::new();
    let paint_grid = mercator();
    let source = Arc::new(FakeLayer::new(move |query| {
        let level = paint_grid.closest_level(query.resolution());
        Ok(if level > 2 { Drawn::BLANK } else { Drawn::pixels(paint(&paint_grid, query)) })
    }));
    let cache = cache(&store, vec![Arc::clone(&source) as Arc<dyn MapLayer>], |options| {
        options.rescale = Some(Rescale::Up(2));
        meta(options, 2, 0);
    });
    let tile = ask(&cache, at(9, 6, 4)).expect("a substitute");
    assert_eq!(color_in(&tile), Some(color_of(at(2, 1, 2))));
    assert!(store.holds(at(2, 1, 2)) && !store.holds(at(9, 6, 4)));
}

#[test]
fn a_failing_source_has_no_substitute() {
    let store = FakeStore::new();
    store.put(at(0, 0, 2), &png(RED), std::time::SystemTime::now());
    let source = Arc::new(FakeLayer::new(|_| Err(failure())));
    let cache = cache(&store, vec![source as Arc<dyn MapLayer>], rescaled(Rescale::Up(3)));
    assert!(cache.tiles(&[at(0, 0, 3)], None, &Turn::ungated()).is_err());
}

#[test]
fn a_search_through_many_levels_has_an_end() {
    let store = FakeStore::new();
    let cache = cache(&store, Vec::new(), rescaled(Rescale::Down(32)));
    // The south-east is looked at last.
    store.put(at(63, 0, 6), &png(RED), std::time::SystemTime::now());
    let turn = Turn::ungated();
    let mut search = None;
    let found = cache.substitute(at(0, 0, 0), &mut search, None, &turn).expect("no failure");
    assert!(found.is_none(), "the only tile lies behind the limit");
    let search = search.expect("a search");
    assert!(
        search.looked_at > LOOKED_AT_MAX && search.looked_at <= LOOKED_AT_MAX + 6 * TILES_PER_TILE_MAX * 4
    );
    assert_eq!(search.stop, 6, "not below the last level");
}

#[test]
fn a_map_is_drawn_from_substitutes() {
    let store = FakeStore::new();
    let cache = cache(&store, Vec::new(), rescaled(Rescale::Up(1)));
    store.put(at(1, 2, 3), &quarters([RED, GREEN, BLUE, GREY]), std::time::SystemTime::now());
    let tiles = [(2, 5), (3, 5), (2, 4), (3, 4), (0, 0)].map(|(x, y)| Some(at(x, y, 4)));
    let rasters = cache.rasters(&tiles, None, &Turn::ungated()).expect("no failure");
    let colors: Vec<_> = rasters.iter().map(|(raster, _)| raster.as_ref().map(|r| r.pixel(4, 4))).collect();
    assert_eq!(colors, [Some(RED), Some(GREEN), Some(BLUE), Some(GREY), None]);
}
