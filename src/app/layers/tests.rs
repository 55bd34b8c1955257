//! Configurations in, layers and caches out: who draws from whom, and where.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::conf::daemon::Limits;
use crate::conf::{FileSet, load_map};
use crate::plan::TileMemory;

const SOURCES: &str = "
sources:
  wms: {type: wms, req: {url: 'http://127.0.0.1:9/wms?', layers: a}}
  cut: {type: wms, req: {url: 'http://127.0.0.1:9/wms?', layers: b}, coverage: {bbox: [5, 45, 15, 55], srs: 'EPSG:4326'}}
  far: {type: wms, req: {url: 'http://127.0.0.1:9/wms?', layers: c}, coverage: {bbox: [20, 45, 25, 50], srs: 'EPSG:4326'}}
  quiet: {type: wms, seed_only: true, req: {url: 'http://127.0.0.1:9/wms?', layers: d}}
  tms: {type: tile, grid: GLOBAL_WEBMERCATOR, url: 'http://127.0.0.1:9/%(z)s/%(x)s/%(y)s.png'}
services: {wms: , tms: }
layers: [{name: l, title: L, sources: [c]}]
";

/// Builds cache `c` of a configuration; `look` sees the builder after that.
fn built<T>(caches: &str, look: impl FnOnce(&mut Builder<'_>, &[BuiltCache]) -> T) -> T {
    let text = format!("{SOURCES}\ncaches:\n{caches}");
    let path = Path::new("/map/mapproxy.yaml");
    let loaded = load_map(path, &mut FileSet::holding(path, text.as_bytes()));
    let conf = loaded.conf.unwrap_or_else(|| panic!("{:?}", loaded.findings));
    let limits = Limits::default();
    let shared = Shared {
        limits: &limits,
        fsync: crate::conf::daemon::Fsync::None,
        memory: TileMemory::new(0, Duration::ZERO),
        any_srs: false,
        auth: None,
        decorate: &[],
        renderd_priority: 100,
    };
    let mut builder = Builder::new(&conf, &shared);
    let built = builder.cache(conf.caches.get("c").expect("a cache c"));
    look(&mut builder, &built)
}

fn extent_of(caches: &str) -> Option<([f64; 4], String)> {
    built(caches, |_, built| {
        let (extent, srs) = built[0].extent.clone()?;
        Some((extent.to_array(), srs.code().to_owned()))
    })
}

#[test]
fn the_area_of_a_cache_is_its_coverage_or_that_of_its_sources() {
    let in_degrees = |extent: [f64; 4]| Some((extent, "EPSG:4326".to_owned()));
    for (sources, wanted) in [
        ("[wms]", None),
        ("[cut]", in_degrees([5.0, 45.0, 15.0, 55.0])),
        // MapProxy's rule: a source without limits does not widen the area.
        ("[wms, cut]", in_degrees([5.0, 45.0, 15.0, 55.0])),
        ("[cut, far]", in_degrees([5.0, 45.0, 25.0, 55.0])),
    ] {
        let cache = format!("  c: {{sources: {sources}, grids: [GLOBAL_WEBMERCATOR]}}");
        assert_eq!(extent_of(&cache), wanted, "{sources}");
    }
    let own = "  c: {sources: [cut], grids: [GLOBAL_WEBMERCATOR], \
               cache: {type: file, coverage: {bbox: [7, 50, 8, 51], srs: 'EPSG:4326'}}}";
    assert_eq!(extent_of(own), in_degrees([7.0, 50.0, 8.0, 51.0]));
}

#[test]
fn a_cache_of_a_cache_copies_where_grids_and_formats_agree() {
    let inner = "  i: {sources: [wms], grids: [GLOBAL_WEBMERCATOR], format: image/jpeg}\n";
    for (outer, copies) in [
        ("{sources: [i], grids: [GLOBAL_WEBMERCATOR], format: image/jpeg}", true),
        ("{sources: [i], grids: [GLOBAL_WEBMERCATOR], format: image/png}", false),
        ("{sources: [i], grids: [GLOBAL_WEBMERCATOR], format: image/png, request_format: image/jpeg}", true),
        ("{sources: [i], grids: [GLOBAL_GEODETIC], format: image/jpeg}", false),
        ("{sources: [i, wms], grids: [GLOBAL_WEBMERCATOR], format: image/jpeg}", false),
    ] {
        built(&format!("{inner}  c: {outer}"), |_, built| {
            assert_eq!(!built[0].cache.sources()[0].supports_meta_tiles(), copies, "{outer}");
        });
    }
}

#[test]
fn layers_stand_for_grids_and_for_resolutions() {
    let kind = |cache: &str| {
        built(&format!("  c: {cache}"), |builder, _| {
            let layer = builder.cache_layer("c").expect("a layer");
            match layer.as_any() {
                any if any.is::<ResolutionLayer>() => "resolutions",
                any if any.is::<SrsLayer>() => "grids",
                any if any.is::<CacheLayer>() => "cache",
                _ => "something else",
            }
        })
    };
    assert_eq!(kind("{sources: [wms], grids: [GLOBAL_WEBMERCATOR]}"), "cache");
    assert_eq!(kind("{sources: [wms], grids: [GLOBAL_WEBMERCATOR, GLOBAL_GEODETIC]}"), "grids");
    assert_eq!(
        kind("{sources: [wms], grids: [GLOBAL_WEBMERCATOR], use_direct_from_level: 9}"),
        "resolutions"
    );
}

#[test]
fn kinds_of_sources() {
    built("  c: {sources: [quiet], grids: [GLOBAL_WEBMERCATOR]}", |_, built| {
        assert!(built[0].cache.sources()[0].as_any().is::<EmptyLayer>());
    });
    built("  c: {sources: [tms], grids: [GLOBAL_WEBMERCATOR]}", |builder, _| {
        assert!(builder.errors.is_empty());
    });
    // Ready tiles and drawn ones share a cache that makes tile by tile.
    built(
        "  c: {sources: [tms, wms], grids: [GLOBAL_WEBMERCATOR], meta_size: [1, 1], meta_buffer: 0}",
        |builder, _| {
            assert!(builder.errors.is_empty(), "{:?}", builder.errors);
        },
    );
}

#[test]
fn sources_that_are_asked_alike_share_a_client() {
    built("  c: {sources: [wms, cut, far], grids: [GLOBAL_WEBMERCATOR]}", |builder, _| {
        assert_eq!(builder.clients.len(), 1);
    });
}

#[test]
fn credentials_are_taken_out_of_a_url() {
    let user = |u: &str, p: &str| Some((u.to_owned(), p.to_owned()));
    for (url, plain, auth) in [
        ("http://host/wms?a=b@c", "http://host/wms?a=b@c", None),
        ("http://me:secret@host:80/", "http://host:80/", user("me", "secret")),
        ("https://me:p%40ss@host?x", "https://host?x", user("me", "p@ss")),
        ("http://me@host", "http://host", user("me", "")),
        ("no url", "no url", None),
    ] {
        assert_eq!(split_credentials(url), (plain.to_owned(), auth), "{url}");
    }
}
