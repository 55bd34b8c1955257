//! Maps from tiles: which tiles, which limits, what is drawn where nothing is.

use super::*;
use crate::geo::{Origin, TileCoord, TileGrid};
use crate::plan::fakes::*;
use crate::plan::{MapLayer, TileCacheOptions};
use crate::render::{Format, ImageOptions, Raster};

fn at(x: i64, y: i64) -> TileCoord {
    TileCoord::new(x, y, 4)
}

fn layer_with(
    source: &Arc<FakeLayer>,
    change_cache: impl FnOnce(&mut TileCacheOptions),
    change: impl FnOnce(&mut CacheLayerOptions),
) -> CacheLayer {
    let sources = vec![Arc::clone(source) as Arc<dyn MapLayer>];
    let mut options = CacheLayerOptions {
        cache: Arc::new(cache(&FakeStore::new(), sources, change_cache)),
        extent: None,
        whole_edges: [false; 4],
        res_range: None,
        max_tile_limit: 0,
        tiled_only: false,
        opacity: None,
    };
    change(&mut options);
    CacheLayer::new(options)
}

fn draw(layer: &CacheLayer, query: &MapQuery) -> Result<Option<Arc<Raster>>, PlanError> {
    layer.draw(query, &Turn::ungated())?.raster(&crate::render::DecodeLimits::default())
}

/// Whether each tile of the map, but for its outermost pixels, has its colour.
fn shows(raster: &Raster, grid: &TileGrid, query: &MapQuery) -> bool {
    let wanted = paint(grid, query);
    (0..query.size.1).all(|y| {
        (0..query.size.0).all(|x| {
            let inside = |v: u32| (1..SIDE - 1).contains(&(v % SIDE));
            !inside(x) || !inside(y) || raster.pixel(x, y) == wanted.pixel(x, y)
        })
    })
}

#[test]
fn a_map_is_drawn_from_its_tiles() {
    let grid = mercator();
    let source = Arc::new(FakeLayer::painting(&grid));
    let layer = layer_with(&source, |_| {}, |_| {});
    for (first, last) in [(at(3, 4), at(5, 5)), (at(0, 0), at(2, 2)), (at(14, 15), at(15, 15))] {
        let query = query_over(&grid, first, last);
        let raster = draw(&layer, &query).unwrap().expect("a map");
        assert!(shows(&raster, &grid, &query), "{first:?}");
        assert!(!raster.has_alpha());
    }
}

#[test]
fn nothing_is_drawn_beyond_the_grid_or_the_sources() {
    let whole = mercator().extent;
    let side = whole.width();
    // The grid ends in the middle of a tile.
    let own =
        Extent::new(whole.min_x, whole.min_y, whole.min_x + side / 32.0 * 5.0, whole.min_y + side / 4.0);
    let cut = grid(Some(own), Origin::SouthWest);
    let source = Arc::new(FakeLayer::filling([5, 5, 5, 255]));
    let layer = layer_with(&source, |options| options.grid = Arc::clone(&cut), |_| {});
    let mut query = query_over(&cut, TileCoord::new(0, 0, 3), TileCoord::new(0, 0, 3));
    query.extent = Extent::new(own.min_x, own.min_y, own.min_x + 2.0 * own.width(), own.max_y);
    query.size = (40, 32);
    let raster = draw(&layer, &query).unwrap().expect("a map");
    assert_eq!((raster.pixel(18, 10)[3], raster.pixel(22, 10)[3]), (255, 0));

    // A source that is limited.
    let limit = Extent::new(own.min_x, own.min_y, own.min_x + own.width() / 2.0, own.max_y);
    let layer = layer_with(&source, |_| {}, |o| o.extent = Some((limit, cut.srs.clone())));
    let raster = draw(&layer, &query).unwrap().expect("a map");
    assert_eq!((raster.pixel(8, 10)[3], raster.pixel(12, 10)[3]), (255, 0));
    query.extent = Extent::new(0.0, 0.0, 1e6, 1e6);
    let asked = source.asked();
    assert!(draw(&layer, &query).unwrap().is_none());
    assert_eq!(source.asked(), asked);
}

#[test]
fn missing_tiles_show_the_ground_of_an_opaque_cache() {
    let grid = mercator();
    for (transparent, seen) in [(Some(false), [1, 2, 3, 255]), (Some(true), [255, 255, 255, 0])] {
        let source = Arc::new(FakeLayer::new({
            let grid = Arc::clone(&grid);
            move |query| {
                let center = (query.extent.min_x + query.extent.max_x) / 2.0;
                match grid.tile_at(center, 0.0, 4).x {
                    3 => Ok(Drawn::BLANK),
                    _ => Ok(Drawn::pixels(paint(&grid, query))),
                }
            }
        }));
        let image =
            ImageOptions { transparent, background: [1, 2, 3, 255], ..ImageOptions::new(Format::Png) };
        let layer = layer_with(&source, |options| options.image = image, |_| {});
        let raster = draw(&layer, &query_over(&grid, at(2, 2), at(3, 2))).unwrap().expect("a map");
        assert_eq!(raster.pixel(12, 4), seen);
        assert_eq!(raster.pixel(4, 4), color_of(at(2, 2)));
        // Where there is nothing at all, no ground is drawn either.
        assert!(draw(&layer, &query_over(&grid, at(3, 2), at(3, 2))).unwrap().is_none());
    }
}

#[test]
fn too_many_tiles_are_refused_before_any_is_made() {
    let grid = mercator();
    let source = Arc::new(FakeLayer::painting(&grid));
    for (limit, side, fits) in [(4, 2, false), (5, 2, true), (1, 1, false), (0, 8, true)] {
        let layer = layer_with(&source, |_| {}, |o| o.max_tile_limit = limit);
        let asked = source.asked();
        let drawn = draw(&layer, &query_over(&grid, at(0, 0), at(side - 1, side - 1)));
        assert_eq!(drawn.is_ok(), fits, "{limit} {side}");
        if let Err(error) = drawn {
            assert!(matches!(error, PlanError::TooManyTiles { .. }));
            assert_eq!(source.asked(), asked);
        }
    }
    // A grid of huge tiles has a limit of its own.
    let huge = crate::geo::GridOptions {
        srs: Some(grid.srs.clone()),
        tile_size: Some((8192, 8192)),
        num_levels: Some(7),
        ..Default::default()
    };
    let huge = Arc::new(TileGrid::build(&huge).expect("a grid"));
    let layer = layer_with(&source, |options| options.grid = Arc::clone(&huge), |_| {});
    let mut query = query_over(&huge, at(0, 0), at(3, 3));
    query.size = (4 * 8192, 4 * 8192);
    assert!(matches!(draw(&layer, &query), Err(PlanError::TooManyTiles { count: 16, limit: 4 })));
}

#[test]
fn one_tile_comes_as_it_lies_or_not_at_all() {
    let grid = mercator();
    let source = Arc::new(FakeLayer::painting(&grid));
    let layer = layer_with(&source, |_| {}, |_| {});
    let mut query = query_over(&grid, at(3, 4), at(3, 4));
    query.tiled_only = true;
    let drawn = layer.draw(&query, &Turn::ungated()).unwrap();
    let Picture::Encoded { bytes, format, pixels } = drawn.picture else { panic!("pixels") };
    assert_eq!((format, pixels.is_none()), (Format::Png, true));
    assert_eq!(crate::render::merge::single_color(&decoded(&bytes)), Some(color_of(at(3, 4))));

    let refused = |change: fn(&mut MapQuery)| {
        let mut query = query.clone();
        change(&mut query);
        matches!(layer.draw(&query, &Turn::ungated()), Err(PlanError::NotOneTile(_)))
    };
    assert!(refused(|q| q.format = Format::Jpeg));
    assert!(refused(|q| q.size = (SIDE, SIDE + 1)));
    assert!(refused(|q| {
        let width = q.extent.width();
        q.extent.min_x += width / 3.0;
        q.extent.max_x += width / 3.0;
    }));
    // A tenth of a pixel is no difference.
    assert!(!refused(|q| {
        let pixel = q.extent.width() / f64::from(SIDE);
        q.extent.min_x += pixel / 20.0;
        q.extent.max_x += pixel / 20.0;
    }));
}

#[test]
fn a_wrong_format_is_told_with_the_name_that_the_cache_has_in_the_configuration() {
    let grid = mercator();
    for (format, name) in [(Format::Png, "png"), (Format::Mixed, "mixed")] {
        let source = Arc::new(FakeLayer::painting(&grid));
        let layer = layer_with(&source, |options| options.image = ImageOptions::new(format), |_| {});
        let mut query = query_over(&grid, at(3, 4), at(3, 4));
        (query.tiled_only, query.format) = (true, Format::Jpeg);
        let Err(PlanError::NotOneTile(said)) = layer.draw(&query, &Turn::ungated()) else { panic!("drawn") };
        assert_eq!(said, format!("invalid tile format, use {name}"));
    }
}

#[test]
fn a_cache_of_a_cache_copies_tiles_of_its_grid() {
    let grid = mercator();
    let source = Arc::new(FakeLayer::painting(&grid));
    let inner = layer_with(&source, |options| meta(options, 2, 0), |o| o.tiled_only = true);
    assert!(!inner.supports_meta_tiles());
    let inner_cache = Arc::clone(inner.cache());
    let store = FakeStore::new();
    let outer = cache(&store, vec![Arc::new(inner)], |_| {});
    let copied = outer.tiles(&[at(3, 4)], None, &Turn::ungated()).unwrap().pop().flatten().expect("a tile");
    let there = inner_cache.tiles(&[at(3, 4)], None, &Turn::ungated()).unwrap().pop().flatten().expect("it");
    assert_eq!(copied.bytes, there.bytes);
    assert!(store.holds(at(3, 4)) && store.count() == 1);
    // In another format it is written anew.
    let inner = layer_with(&source, |_| {}, |_| {});
    let outer = cache(&FakeStore::new(), vec![Arc::new(inner)], |options| {
        options.image = ImageOptions::new(Format::Jpeg);
    });
    let made = outer.tiles(&[at(3, 4)], None, &Turn::ungated()).unwrap().pop().flatten().expect("a tile");
    assert_eq!(crate::render::sniff(&made.bytes), Some(Format::Jpeg));
}

#[test]
fn outside_its_resolutions_a_cache_is_blank() {
    let grid = mercator();
    let source = Arc::new(FakeLayer::painting(&grid));
    let resolution = grid.resolution(4);
    for (coarsest, finest, is_shown) in [
        (None, None, true),
        (Some(resolution), None, true),
        (Some(resolution * 0.99), None, false),
        (None, Some(resolution), true),
        (None, Some(resolution * 1.01), false),
    ] {
        let range = ResRange { coarsest, finest };
        let layer = layer_with(&source, |_| {}, |o| o.res_range = Some(range));
        let drawn = draw(&layer, &query_over(&grid, at(3, 3), at(4, 4))).unwrap();
        assert_eq!(drawn.is_some(), is_shown, "{range:?}");
    }
}

#[test]
fn what_may_not_be_kept_makes_a_map_that_may_not() {
    let grid = mercator();
    let source = Arc::new(FakeLayer::new({
        let grid = Arc::clone(&grid);
        move |query| {
            let cacheable = query.extent != grid.tile_extent(at(3, 4));
            Ok(Drawn { cacheable, ..Drawn::pixels(paint(&grid, query)) })
        }
    }));
    let layer = layer_with(&source, |_| {}, |_| {});
    for (first, last, cacheable) in [(at(3, 4), at(4, 4), false), (at(4, 4), at(5, 5), true)] {
        let drawn = layer.draw(&query_over(&grid, first, last), &Turn::ungated()).unwrap();
        assert_eq!(drawn.cacheable, cacheable);
    }
}
