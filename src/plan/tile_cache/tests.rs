//! Tiles found, made, kept and shared, held to MapProxy's rules; and by
//! property: each tile is its own picture whatever was stored and failed.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::geo::{Extent, Origin};
use crate::plan::fakes::*;
use crate::plan::{Drawn, Gate, Picture};

const OLD_COLOR: [u8; 4] = [200, 200, 200, 255];
const ERROR_COLOR: [u8; 4] = [250, 0, 0, 255];

fn tile(x: i64, y: i64) -> TileCoord {
    TileCoord::new(x, y, 4)
}

/// Long before the rule of [`refreshed`].
fn old() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000)
}

fn refreshed(options: &mut TileCacheOptions) {
    options.refresh = Some(FreshRule::Since(UNIX_EPOCH + Duration::from_secs(1_000_000)));
}

fn arc(layer: FakeLayer) -> Arc<FakeLayer> {
    Arc::new(layer)
}

fn over(layer: &Arc<FakeLayer>) -> Vec<Arc<dyn MapLayer>> {
    vec![Arc::clone(layer) as Arc<dyn MapLayer>]
}

fn failing() -> Arc<FakeLayer> {
    arc(FakeLayer::new(|_| Err(failure())))
}

/// What `on_error` makes of a failure.
fn excused(cacheable: bool, authorize_stale: bool) -> Arc<FakeLayer> {
    arc(FakeLayer::new(move |query| {
        let picture = Picture::Pixels(Arc::new(Raster::filled(query.size.0, query.size.1, ERROR_COLOR)));
        Ok(Drawn { picture, cacheable, authorize_stale })
    }))
}

fn ask(cache: &TileCache, coords: &[TileCoord]) -> Result<Vec<Option<Tile>>, PlanError> {
    cache.tiles(coords, None, &Turn::ungated())
}

fn one(cache: &TileCache, coord: TileCoord) -> Result<Option<Tile>, PlanError> {
    Ok(ask(cache, &[coord])?.pop().flatten())
}

/// The ways in which tiles are made.
const WAYS: [(&str, u32, bool, bool); 4] = [
    ("tile by tile", 1, false, false),
    ("meta tiles", 2, false, false),
    ("minimal meta tiles", 4, true, false),
    ("in bulk", 2, false, true),
];

fn made_in(way: (&str, u32, bool, bool), options: &mut TileCacheOptions) {
    let (_, side, minimal, bulk) = way;
    if side > 1 {
        meta(options, side, if bulk { 0 } else { 3 });
    }
    options.minimize_meta_requests = minimal;
    options.bulk_meta = bulk;
}

#[test]
fn a_made_tile_is_kept_and_found() {
    for way in WAYS {
        let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&mercator())));
        let cache = cache(&store, over(&source), |options| made_in(way, options));
        let made = one(&cache, tile(3, 5)).unwrap().expect("a tile");
        assert_eq!(color_in(&made), Some(color_of(tile(3, 5))), "{}", way.0);
        assert!(store.holds(tile(3, 5)) && !made.from_store);
        let asked = source.asked();
        let found = one(&cache, tile(3, 5)).unwrap().expect("a tile");
        assert!(found.from_store && source.asked() == asked, "{}", way.0);
    }
}

/// MapProxy's seeder takes a meta tile for whole when its first tile is there.
#[test]
fn the_first_tile_of_a_meta_tile_is_stored_last() {
    for way in WAYS {
        let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&mercator())));
        let cache = cache(&store, over(&source), |options| made_in(way, options));
        let block = [tile(4, 4), tile(5, 4), tile(4, 5), tile(5, 5)];
        ask(&cache, &block).unwrap();
        assert_eq!(store.count(), block.len(), "{}", way.0);
        assert!(way.1 == 1 || store.last_stored() == Some(tile(4, 4)), "{}", way.0);
    }
}

#[test]
fn a_meta_tile_is_one_query_with_its_buffer_and_ends_at_the_grid() {
    let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&mercator())));
    let cache = cache(&store, over(&source), |options| meta(options, 4, 3));
    one(&cache, tile(5, 5)).unwrap();
    one(&cache, tile(15, 0)).unwrap();
    let sizes: Vec<_> = source.queries().iter().map(|q| q.size).collect();
    assert_eq!(sizes, [(4 * SIDE + 6, 4 * SIDE + 6), (4 * SIDE + 3, 4 * SIDE + 3)]);
    assert_eq!(store.count(), 32);
}

#[test]
fn partial_blocks_at_the_edge_hold_only_tiles_of_the_grid() {
    let whole = mercator().extent;
    // Five tiles across and down on level 4, cut from the corner.
    let extent = Extent::new(whole.min_x, whole.min_y, whole.min_x + 12.5e6, whole.min_y + 12.5e6);
    for origin in [Origin::SouthWest, Origin::NorthWest] {
        let grid = grid(Some(extent), origin);
        let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&grid)));
        let cache = cache(&store, over(&source), |options| {
            options.grid = Arc::clone(&grid);
            meta(options, 3, 2);
        });
        let (columns, rows) = grid.grid_size(2);
        for y in 0..rows {
            for x in 0..columns {
                let coord = TileCoord::new(x, y, 2);
                let made = one(&cache, coord).unwrap().expect("a tile");
                let raster = decoded(&made.bytes);
                let seen: Vec<_> = raster.pixels.chunks(4).filter(|p| p[3] == 255).collect();
                assert!(seen.iter().all(|p| **p == color_of(coord)), "{coord:?} {origin:?}");
            }
        }
        assert_eq!(store.count() as i64, columns * rows);
    }
}

/// As in MapProxy: beyond the grid's edge a tile is ground, and clear only
/// where the cache is said to be transparent; what a source brought clear
/// within stays so unless the cache says otherwise.
#[test]
fn what_lies_beyond_the_grid_is_ground() {
    let whole = mercator().extent;
    let extent = Extent::new(whole.min_x, whole.min_y, whole.min_x + 12.5e6, whole.min_y + 9.5e6);
    let grid = grid(Some(extent), Origin::SouthWest);
    let (columns, rows) = grid.grid_size(1);
    let corner = TileCoord::new(columns - 1, rows - 1, 1);
    let shown = |transparent: Option<bool>| {
        let (store, source) = (FakeStore::new(), arc(FakeLayer::filling([0, 0, 0, 0])));
        let cache = cache(&store, over(&source), |options| {
            options.grid = Arc::clone(&grid);
            options.image.transparent = transparent;
            options.image.background = [9, 8, 7, 255];
            // Only a map with a buffer ends at the grid's edge.
            meta(options, 2, 3);
        });
        let raster = decoded(&one(&cache, corner).unwrap().expect("a tile").bytes);
        raster.pixel(raster.width - 1, 0)
    };
    assert!(grid.tile_extent(corner).max_y > extent.max_y);
    assert_eq!(shown(None), [9, 8, 7, 255]);
    assert_eq!(shown(Some(false)), [9, 8, 7, 255]);
    assert_eq!(shown(Some(true))[3], 0);
}

#[test]
fn two_minimal_blocks_of_one_meta_tile_do_not_share_a_flight() {
    let meeting = Arc::new(Barrier::new(2));
    let grid = mercator();
    let source = arc(FakeLayer::new({
        let grid = Arc::clone(&grid);
        move |query| Ok(Drawn::pixels(paint(&grid, query)))
    }));
    // Without a store there is no lock either: both would be under way at once.
    let together = arc(FakeLayer::new({
        let (meeting, source) = (Arc::clone(&meeting), Arc::clone(&source));
        move |query| {
            meeting.wait();
            source.draw(query, &Turn::ungated())
        }
    }));
    let cache = cache(&FakeStore::new(), over(&together), |options| {
        options.store =
            Arc::new(crate::cache::NoStore { lock_dir: "/nonexistent".into(), lock_id: "".into() });
        meta(options, 4, 0);
        options.minimize_meta_requests = true;
    });
    std::thread::scope(|scope| {
        for coords in [[tile(0, 0), tile(1, 1)], [tile(2, 2), tile(3, 3)]] {
            let cache = &cache;
            scope.spawn(move || {
                for (found, coord) in ask(cache, &coords).unwrap().iter().zip(coords) {
                    assert_eq!(found.as_ref().and_then(color_in), Some(color_of(coord)));
                }
            });
        }
    });
}

#[test]
fn a_minimal_block_too_large_to_decode_is_asked_for_in_meta_tiles() {
    let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&mercator())));
    let cache = cache(&store, over(&source), |options| {
        meta(options, 2, 0);
        options.minimize_meta_requests = true;
        options.decode_limits.pixels_bytes_max = (4 * SIDE * SIDE * 4) as usize;
    });
    let found = ask(&cache, &[tile(0, 0), tile(15, 15)]).unwrap();
    assert!(found.iter().all(Option::is_some));
    assert!(source.queries().iter().all(|q| q.size == (2 * SIDE, 2 * SIDE)));
}

#[test]
fn an_old_tile_serves_while_its_source_fails() {
    for way in WAYS {
        let (store, source) = (FakeStore::new(), failing());
        let cache = cache(&store, over(&source), |options| {
            made_in(way, options);
            refreshed(options);
        });
        store.put(tile(2, 2), &png(OLD_COLOR), old());
        let found = one(&cache, tile(2, 2)).unwrap().expect("the old tile");
        assert_eq!(color_in(&found), Some(OLD_COLOR), "{}", way.0);
        assert!(found.from_store && source.asked() > 0);
        // A neighbour's old tile is no answer for a tile that was never there.
        assert!(matches!(one(&cache, tile(3, 3)), Err(PlanError::Source(_))), "{}", way.0);
        assert!(matches!(ask(&cache, &[tile(2, 2), tile(3, 3)]), Err(PlanError::Source(_))), "{}", way.0);
    }
}

#[test]
fn a_tile_that_a_source_cannot_follow_is_blank_or_shows_the_others() {
    let (store, grid) = (FakeStore::new(), mercator());
    let lost = || arc(FakeLayer::new(|_| Err(PlanError::Untransformable)));
    let alone = cache(&store, over(&lost()), |_| {});
    assert!(one(&alone, tile(3, 4)).unwrap().is_none());
    let painting = arc(FakeLayer::painting(&grid));
    let both = cache(&store, [over(&lost()), over(&painting)].concat(), |_| {});
    assert!(one(&both, tile(3, 4)).unwrap().is_some());
}

#[test]
fn an_old_tile_stays_where_the_sources_have_nothing() {
    for way in WAYS {
        let store = FakeStore::new();
        let cache = cache(&store, over(&arc(FakeLayer::new(|_| Ok(Drawn::BLANK)))), |options| {
            made_in(way, options);
            refreshed(options);
        });
        store.put(tile(2, 2), &png(OLD_COLOR), old());
        let found = ask(&cache, &[tile(2, 2), tile(3, 3)]).unwrap();
        assert_eq!(found[0].as_ref().and_then(color_in), Some(OLD_COLOR), "{}", way.0);
        assert!(found[1].is_none());
        assert_eq!(store.stores.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_source_that_is_not_asked_while_serving_leaves_the_store_as_it_is() {
    let store = FakeStore::new();
    let empty: Arc<dyn MapLayer> = Arc::new(EmptyLayer { coverage: None });
    for sources in [vec![empty], vec![]] {
        let cache = cache(&store, sources, |options| {
            meta(options, 2, 0);
            refreshed(options);
        });
        store.put(tile(2, 2), &png(OLD_COLOR), old());
        let found = ask(&cache, &[tile(2, 2), tile(3, 3)]).unwrap();
        assert!(found[0].as_ref().is_some_and(|t| t.from_store) && found[1].is_none());
        assert_eq!(cache.tile_file(&tile(2, 2).into()).map(|file| file.fresh_after), Some(None));
        assert_eq!(store.locks.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn what_stands_for_a_failure_obeys_its_rule() {
    for way in WAYS {
        for (cacheable, authorize_stale) in [(false, false), (false, true), (true, false), (true, true)] {
            let store = FakeStore::new();
            let cache = cache(&store, over(&excused(cacheable, authorize_stale)), |options| {
                made_in(way, options);
                refreshed(options);
            });
            store.put(tile(2, 2), &png(OLD_COLOR), old());
            let case = format!("{} {cacheable} {authorize_stale}", way.0);
            let found = ask(&cache, &[tile(2, 2), tile(3, 3)]).unwrap();
            let colors: Vec<_> = found.iter().map(|t| t.as_ref().and_then(color_in)).collect();
            let first = if authorize_stale { OLD_COLOR } else { ERROR_COLOR };
            assert_eq!(colors, [Some(first), Some(ERROR_COLOR)], "{case}");
            assert_eq!(found[1].as_ref().map(|t| t.cacheable), Some(cacheable), "{case}");
            assert_eq!(store.holds(tile(3, 3)), cacheable, "{case}");
        }
    }
}

#[test]
fn waiters_share_an_answer_that_may_not_be_kept() {
    const CROWD: usize = 4;
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let source = arc(FakeLayer::new(move |query| {
        gone.lock().expect("one at a time").recv().expect("the test lets it go on");
        let picture = Picture::Pixels(Arc::new(Raster::filled(query.size.0, query.size.1, ERROR_COLOR)));
        Ok(Drawn { picture, cacheable: false, authorize_stale: false })
    }));
    let store = FakeStore::new();
    let cache = cache(&store, over(&source), |options| meta(options, 2, 0));
    // One permit for all: who waits does not hold it.
    let gate = Gate::new(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CROWD as i64)
            .map(|at| {
                let (cache, gate) = (&cache, &gate);
                scope.spawn(move || cache.tiles(&[tile(at % 2, at / 2)], None, &Turn::take(gate)))
            })
            .collect();
        while cache.flights.aboard() < CROWD {
            std::thread::yield_now();
        }
        go.send(()).expect("the maker waits");
        for thread in threads {
            let found = thread.join().expect("no panic").unwrap().pop().flatten().expect("a tile");
            assert_eq!(color_in(&found), Some(ERROR_COLOR));
            assert!(!found.cacheable);
        }
    });
    assert_eq!((store.count(), source.asked()), (0, 1));
}

#[test]
fn a_disk_that_is_full_or_read_only_costs_the_copy_alone() {
    for way in WAYS {
        let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&mercator())));
        store.is_read_only.store(true, Ordering::Relaxed);
        let cache = cache(&store, over(&source), |options| made_in(way, options));
        let made = one(&cache, tile(3, 5)).unwrap().expect("a tile");
        assert_eq!(color_in(&made), Some(color_of(tile(3, 5))), "{}", way.0);
        store.is_read_only.store(false, Ordering::Relaxed);
        one(&cache, tile(3, 5)).unwrap();
        assert!(store.holds(tile(3, 5)), "{}", way.0);
    }
}

#[test]
fn a_bulk_block_asks_only_for_what_is_not_there() {
    let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&mercator())));
    let cache = cache(&store, over(&source), |options| {
        meta(options, 2, 0);
        options.bulk_meta = true;
    });
    store.put(tile(0, 0), &png(OLD_COLOR), SystemTime::now());
    let found = ask(&cache, &[tile(0, 0), tile(1, 0)]).unwrap();
    assert_eq!(found[0].as_ref().and_then(color_in), Some(OLD_COLOR));
    assert_eq!(found[1].as_ref().and_then(color_in), Some(color_of(tile(1, 0))));
    assert_eq!(source.asked(), 3);
}

#[test]
fn damaged_tiles_count_as_missing_and_are_made_anew() {
    let (store, source) = (FakeStore::new(), arc(FakeLayer::painting(&mercator())));
    let cache = cache(&store, over(&source), |_| {});
    let whole = png(OLD_COLOR);
    let mut inside = whole.clone();
    for byte in &mut inside[40..whole.len() - 16] {
        *byte ^= 0x5a;
    }
    for (name, bytes) in
        [("cut", &whole[..whole.len() - 4]), ("inside", &inside), ("text", b"not an image".as_slice())]
    {
        store.put(tile(1, 1), bytes, SystemTime::now());
        let found = cache.rasters(&[Some(tile(1, 1))], None, &Turn::ungated()).unwrap();
        let raster = found[0].0.as_ref().expect("pixels");
        assert_eq!(render::merge::single_color(raster), Some(color_of(tile(1, 1))), "{name}");
    }
    // A tile of another size, too.
    let image = ImageOptions::new(Format::Png);
    let large = render::encode(&Raster::filled(2 * SIDE, SIDE, OLD_COLOR), &image, None).unwrap().bytes;
    store.put(tile(1, 1), &large, SystemTime::now());
    let found = cache.rasters(&[Some(tile(1, 1))], None, &Turn::ungated()).unwrap();
    assert_eq!(found[0].0.as_ref().map(|r| r.width), Some(SIDE));
}

#[test]
fn tiles_in_memory_are_not_read_again_until_they_are_replaced() {
    let store = FakeStore::new();
    let cache = cache(&store, vec![], |_| {});
    for color in [[1, 2, 3, 255], [4, 5, 6, 255]] {
        store.put(tile(1, 1), &png(color), SystemTime::now());
        for _ in 0..2 {
            let found = cache.rasters(&[Some(tile(1, 1)), None], None, &Turn::ungated()).unwrap();
            assert_eq!(found[0].0.as_ref().and_then(|r| render::merge::single_color(r)), Some(color));
            assert!(found[1].0.is_none());
        }
    }
    assert_eq!(cache.options.memory.usage().decoded_hits, 2);
}

/// Rows have neither path nor time: pixels are known by the bytes they came from.
#[test]
fn pixels_of_rows_are_known_by_their_bytes() {
    let store = FakeStore::new();
    store.keeps_rows.store(true, Ordering::Relaxed);
    let reading = cache(&store, vec![], |_| {});
    for color in [[1, 2, 3, 255], [4, 5, 6, 255], [1, 2, 3, 255]] {
        store.put(tile(1, 1), &png(color), SystemTime::now());
        store.put(tile(2, 2), &png(color), SystemTime::now());
        for at in [tile(1, 1), tile(2, 2)] {
            let found = reading.rasters(&[Some(at)], None, &Turn::ungated()).unwrap();
            assert_eq!(found[0].0.as_ref().and_then(|r| render::merge::single_color(r)), Some(color));
        }
    }
    assert_eq!(reading.options.memory.usage().decoded_hits, 4, "two colours were decoded");
    // Made or found, such a tile bears no time, and `refresh_before` has it made anew.
    let source = arc(FakeLayer::painting(&mercator()));
    let making = cache(&store, over(&source), refreshed);
    for asked in 1..=2 {
        assert_eq!(one(&making, tile(3, 3)).unwrap().expect("a tile").modified, None);
        assert_eq!(source.asked(), asked);
    }
    assert!(store.holds(tile(3, 3)));
}

#[test]
fn coverage_keeps_tiles_out_and_clips_those_at_its_edge() {
    let grid = mercator();
    let (store, source) = (FakeStore::new(), arc(FakeLayer::filling([9, 9, 9, 255])));
    let half = grid.tile_extent(tile(2, 2));
    let area = Extent::new(half.min_x, half.min_y, half.max_x + half.width() / 2.0, half.max_y);
    let cache = cache(&store, over(&source), |options| {
        options.coverage = Some(Coverage::from_extent(options.grid.srs.clone(), area, true));
        options.image = ImageOptions::new(Format::Jpeg);
    });
    assert!(cache.tile_file(&tile(2, 2).into()).is_none());
    let found = ask(&cache, &[tile(1, 2), tile(2, 2), tile(3, 2), tile(4, 2)]).unwrap();
    let formats: Vec<_> = found.iter().map(|t| t.as_ref().map(|t| t.format)).collect();
    assert_eq!(formats, [None, Some(Format::Jpeg), Some(Format::Png), None]);
    let edge = decoded(&found[2].as_ref().expect("a tile").bytes);
    assert_eq!((edge.pixel(1, 4)[3], edge.pixel(SIDE - 2, 4)[3]), (255, 0));
    // What lies in the store is whole.
    assert!(decoded(&store.load(&tile(3, 2).into()).unwrap().expect("a tile").bytes).opaque);
}

#[test]
fn formats_of_kept_tiles() {
    let through = [10, 20, 30, 100];
    for (wanted, transparent, color, kept) in [
        (Format::Mixed, None, [10, 20, 30, 255], Format::Jpeg),
        (Format::Mixed, None, through, Format::Png),
        (Format::Jpeg, None, through, Format::Jpeg),
        (Format::Png, Some(true), through, Format::Png),
        (Format::Png, None, [10, 20, 30, 255], Format::Png),
    ] {
        for (encoded, side) in [(false, 1), (false, 2), (true, 1)] {
            let source = arc(FakeLayer::new(move |query| {
                if !encoded {
                    return Ok(Drawn::pixels(Raster::filled(query.size.0, query.size.1, color)));
                }
                let bytes = png(color);
                let pixels = Some(Arc::new(decoded(&bytes)));
                let picture = Picture::Encoded { bytes: bytes.into(), format: Format::Png, pixels };
                Ok(Drawn { picture, ..Drawn::BLANK })
            }));
            let cache = cache(&FakeStore::new(), over(&source), |options| {
                options.image = ImageOptions { transparent, ..ImageOptions::new(wanted) };
                if side > 1 {
                    meta(options, side, 0);
                }
            });
            let made = one(&cache, tile(0, 0)).unwrap().expect("a tile");
            assert_eq!(made.format, kept, "{wanted:?} {color:?} {encoded} {side}");
            assert_eq!(render::sniff(&made.bytes), Some(kept));
        }
    }
}

#[test]
fn sources_lie_over_one_another_and_a_lone_one_is_kept_as_it_came() {
    let bytes: Arc<[u8]> = png([1, 1, 1, 255]).into();
    let lone = {
        let bytes = Arc::clone(&bytes);
        arc(FakeLayer::new(move |_| {
            let picture = Picture::Encoded { bytes: Arc::clone(&bytes), format: Format::Png, pixels: None };
            Ok(Drawn { picture, ..Drawn::BLANK })
        }))
    };
    let nothing = arc(FakeLayer::new(|_| Ok(Drawn::BLANK)));
    let mut veil = FakeLayer::filling([255, 255, 255, 255]);
    veil.opacity = Some(0.5);
    let veil = arc(veil);
    let of = |layers: &[&Arc<FakeLayer>]| {
        let sources = layers.iter().map(|l| Arc::clone(*l) as Arc<dyn MapLayer>).collect();
        let cache = cache(&FakeStore::new(), sources, |_| {});
        one(&cache, tile(0, 0)).unwrap().expect("a tile")
    };
    assert!(Arc::ptr_eq(&of(&[&lone]).bytes, &bytes));
    assert!(Arc::ptr_eq(&of(&[&nothing, &lone]).bytes, &bytes));
    let both = color_in(&of(&[&lone, &veil])).expect("one colour");
    assert!((126..=130).contains(&both[0]) && both[3] == 255, "{both:?}");
    // Several sources that have nothing make an empty tile, which is kept.
    assert_eq!(color_in(&of(&[&nothing, &nothing])).map(|c| c[3]), Some(0));
}

#[test]
fn tiles_outside_the_grid_are_refused_and_empty_ones_are_transparent() {
    let cache = cache(&FakeStore::new(), vec![], |_| {});
    let ask = |x, y, z| cache.tile(&TileCoord::new(x, y, z).into(), &Turn::ungated());
    for (x, y, z) in [(-1, 0, 1), (2, 0, 1), (0, 2, 1), (0, 0, 7), (i64::MAX, i64::MIN, u32::MAX)] {
        assert!(matches!(ask(x, y, z), Err(PlanError::TileOutOfRange)));
    }
    let empty = ask(1, 1, 1).unwrap();
    assert_eq!(color_in(&empty), Some([255, 255, 255, 0]));
}

#[test]
fn dimensions_reach_the_source_and_keep_tiles_apart() {
    let (store, source) = (FakeStore::new(), arc(FakeLayer::filling([7, 7, 7, 255])));
    let cache = cache(&store, over(&source), |options| meta(options, 2, 0));
    for year in ["2019", "2020"] {
        let values = [("time".to_owned(), year.to_owned())];
        let dimensions = Dimensions::new(&values).unwrap();
        cache.tiles(&[tile(0, 0)], dimensions.as_ref(), &Turn::ungated()).unwrap();
        assert_eq!(source.queries().last().map(|q| q.dimensions.clone()), Some(values.to_vec()));
    }
    one(&cache, tile(0, 0)).unwrap();
    assert_eq!((store.count(), source.asked()), (12, 3));
}

#[test]
fn a_panic_of_a_source_leaves_the_cache_usable() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let source = arc(FakeLayer::new({
        let is_broken = Arc::clone(&is_broken);
        move |query| {
            assert!(!is_broken.load(Ordering::Relaxed), "made by the test");
            Ok(Drawn::pixels(Raster::filled(query.size.0, query.size.1, [1, 2, 3, 255])))
        }
    }));
    for way in WAYS {
        is_broken.store(true, Ordering::Relaxed);
        let cache = cache(&FakeStore::new(), over(&source), |options| made_in(way, options));
        let gate = Gate::new(1);
        let coords = [tile(0, 0), tile(5, 5)];
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let turn = Turn::take(&gate);
            cache.tiles(&coords, None, &turn)
        }));
        assert!(broken.is_err(), "{}", way.0);
        is_broken.store(false, Ordering::Relaxed);
        // The permit and the lock are free again.
        let found = cache.tiles(&coords, None, &Turn::take(&gate)).unwrap();
        assert!(found.iter().all(Option::is_some), "{}", way.0);
    }
}

#[test]
fn after_a_failure_no_further_tile_is_begun() {
    let source = failing();
    let cache = cache(&FakeStore::new(), over(&source), |_| {});
    let coords: Vec<_> = (0..16).map(|x| tile(x, 0)).collect();
    assert!(ask(&cache, &coords).is_err());
    assert!(source.asked() <= 4, "{}", source.asked());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is stored, old, damaged or failing: a tile that comes back is
    /// its own picture, one that is asked for twice too, and nothing wrong is stored.
    #[test]
    fn each_tile_is_its_own_picture(
        way in 0usize..4,
        creators in 1usize..4,
        permits in 1usize..3,
        stored in prop::collection::vec((0i64..6, 0i64..6, 0u8..3), 0..20),
        asked in prop::collection::vec((0i64..6, 0i64..6), 1..12),
        fails_each in 1u32..6,
    ) {
        let (store, grid) = (FakeStore::new(), mercator());
        let count = AtomicU32::new(0);
        let source = arc(FakeLayer::new(move |query| {
            if fails_each > 1 && count.fetch_add(1, Ordering::Relaxed).is_multiple_of(fails_each) {
                return Err(failure());
            }
            Ok(Drawn::pixels(paint(&grid, query)))
        }));
        let cache = cache(&store, over(&source), |options| {
            made_in(WAYS[way], options);
            refreshed(options);
            options.concurrent_creators = creators;
        });
        for (x, y, state) in stored {
            let bytes = png(color_of(tile(x, y)));
            match state {
                0 => store.put(tile(x, y), &bytes, SystemTime::now()),
                1 => store.put(tile(x, y), &bytes, old()),
                _ => store.put(tile(x, y), &bytes[..bytes.len() / 2], SystemTime::now()),
            }
        }
        let coords: Vec<_> = asked.iter().map(|(x, y)| tile(*x, *y)).collect();
        let turn = Turn::take(&Gate::new(permits));
        for _ in 0..2 {
            let Ok(found) = cache.tiles(&coords, None, &turn) else { continue };
            for (found, coord) in found.iter().zip(&coords) {
                let found = found.as_ref().expect("the source has something everywhere");
                prop_assert_eq!(color_in(found), Some(color_of(*coord)));
            }
            let rasters = cache.rasters(&coords.iter().copied().map(Some).collect::<Vec<_>>(), None, &turn);
            for ((raster, _), coord) in rasters.into_iter().flatten().zip(&coords) {
                let color = raster.as_ref().and_then(|r| render::merge::single_color(r));
                prop_assert_eq!(color, Some(color_of(*coord)));
            }
        }
    }
}
