//! Whole configurations in, resolved values and findings out.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::cache::file::{Layout, LinkKind};
use crate::conf::conf::{Backend, CacheConf, Conf, ResBounds, SourceKind, SourceRef, SqliteConf, TimeSpec};
use crate::conf::load::{Loaded, load_with};
use crate::conf::{FileSet, Finding, load_embedded};
use crate::geo::Origin;
use crate::render::Format;

const PATH: &str = "/map/mapproxy.yaml";

fn load(text: &str) -> Loaded {
    let files = [("/map/other.yaml", "globals: {tiles: {expires_hours: 1}, cache: {meta_size: [2, 2]}}")];
    let mut set = FileSet::holding(Path::new(PATH), text.as_bytes());
    for (path, content) in files {
        set.hold(Path::new(path), content.as_bytes());
    }
    load_with(Path::new(PATH), &mut set, &|name| (name == "HOST").then(|| "example.org".to_owned()))
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

fn conf(text: &str) -> Conf {
    let loaded = load(text);
    loaded.conf.unwrap_or_else(|| panic!("{}\n{text}", lines(&loaded.findings)))
}

fn cache(conf: &Conf, name: &str) -> CacheConf {
    conf.caches.get(name).unwrap().clone()
}

#[test]
fn the_embedded_map_has_no_fault() {
    let loaded = load_embedded();
    assert!(loaded.findings.is_empty(), "{}", lines(&loaded.findings));
    assert!(loaded.conf.is_some());
}

#[test]
fn defaults_are_mapproxys() {
    let conf = conf(
        "sources: {s: {type: wms, req: {url: 'http://h/', layers: a}}}\n\
         caches: {c: {sources: [s], grids: [GLOBAL_MERCATOR, GLOBAL_GEODETIC]}}\n\
         layers: [{name: l, title: L, sources: [c]}]\nservices: {wms: , tms: }\n",
    );
    let c = cache(&conf, "c");
    assert_eq!((c.meta_size, c.meta_buffer_px, c.max_tile_limit), ((4, 4), 80, 500));
    assert_eq!((c.image.format, c.image.colors, c.image.jpeg_quality), (Format::Png, 256, 90));
    let roots = ["/map/./cache_data/c_EPSG900913", "/map/./cache_data/c_EPSG4326"].map(PathBuf::from);
    assert_eq!(c.backend, Backend::File { roots: roots.to_vec(), layout: Layout::Tc });
    let spelled: Vec<&str> = match &c.backend {
        Backend::File { roots, .. } => roots.iter().map(|root| root.to_str().unwrap()).collect(),
        _ => Vec::new(),
    };
    // Paths compare equal with and without `./`; the lock's name does not.
    assert_eq!(spelled[0], "/map/./cache_data/c_EPSG900913");
    assert_eq!(c.lock_dir.to_str(), Some("/map/./cache_data/tile_locks"));
    assert_eq!((c.lock_timeout_s, conf.globals.tile_age_max_s), (60.0, 259_200));
    let wms = conf.services.wms.unwrap();
    assert_eq!(wms.srs, ["EPSG:4326", "EPSG:4258", "CRS:84", "EPSG:900913", "EPSG:3857"]);
    assert_eq!((wms.output_pixels_max, wms.image_formats.len(), wms.versions.len()), (16_000_000, 5, 4));
    assert_eq!(wms.md.title.as_deref(), Some("MapProxy WMS"));
    assert!(conf.services.tms.is_some() && conf.services.kml.is_none());
    let root = conf.root_layer.unwrap();
    assert_eq!((root.name.as_deref(), &*root.tile_caches), (Some("l"), &["c".to_owned()][..]));
}

#[test]
fn paths_of_caches() {
    let conf = conf(
        "caches:\n  a: {sources: [], grids: [GLOBAL_WEBMERCATOR], cache: {type: file, use_grid_names: true}, cache_dir: /data}\n\
         \x20 b: {sources: [], grids: [GLOBAL_WEBMERCATOR], cache: {type: file, directory: tiles, directory_layout: tms, tile_lock_dir: locks}}\n\
         \x20 c: {sources: [], grids: [GLOBAL_WEBMERCATOR], link_single_color_images: true, format: image/png8}\n\
         globals: {cache: {base_dir: ../store, tile_lock_dir: /run/locks, file_permissions: '640'}}\n",
    );
    let root = |name: &str| match cache(&conf, name).backend {
        Backend::File { roots, layout } => (roots[0].to_str().unwrap().to_owned(), layout),
        other => panic!("{other:?}"),
    };
    assert_eq!(root("a"), ("/data/a/GLOBAL_WEBMERCATOR".to_owned(), Layout::Tc));
    assert_eq!(root("b"), ("/map/tiles".to_owned(), Layout::Tms));
    assert_eq!(root("c"), ("/map/../store/c_EPSG3857".to_owned(), Layout::Tc));
    assert_eq!(cache(&conf, "a").lock_dir, Path::new("/run/locks"));
    assert_eq!(cache(&conf, "b").lock_dir, Path::new("/map/locks"));
    let c = cache(&conf, "c");
    assert_eq!((c.link_single_color, c.file_mode), (Some(LinkKind::Symlink), Some(0o640)));
    assert_eq!((c.extension.as_str(), c.image.format), ("png8", Format::Png));
}

#[test]
fn places_of_databases() {
    let conf = conf(
        "grids: {south: {base: GLOBAL_WEBMERCATOR, origin: sw}}\n\
         caches:\n  a: {sources: [], grids: [south], cache: {type: mbtiles}}\n\
         \x20 b: {sources: [], grids: [south], cache_dir: /data, cache: {type: mbtiles, filename: maps/b.db, sqlite_wal: false}}\n\
         \x20 c: {sources: [], grids: [south], cache: {type: mbtiles, filename: ./c.mbtiles, sqlite_timeout: 0}}\n\
         \x20 d: {sources: [], grids: [south, GLOBAL_GEODETIC], cache: {type: sqlite, ttl: 60}}\n\
         \x20 e: {sources: [], grids: [south], cache: {type: sqlite, directory: levels, sqlite_timeout: 1.5}}\n\
         \x20 f: {sources: [], grids: [GLOBAL_WEBMERCATOR, GLOBAL_GEODETIC], cache: {type: geopackage}}\n\
         \x20 g: {sources: [], grids: [GLOBAL_WEBMERCATOR], cache: {type: geopackage, filename: ./g.db, table_name: t-1}}\n\
         \x20 h: {sources: [], grids: [GLOBAL_WEBMERCATOR], cache: {type: geopackage, directory: x, levels: true}}\n\
         globals: {cache: {base_dir: ../store, sqlite_timeout: 7, sqlite_wal: true}}\n",
    );
    let sqlite = |timeout_s, wal| SqliteConf { timeout_s, wal };
    let spelled = |name: &str| match cache(&conf, name).backend {
        Backend::MbTiles { file, sqlite } => (vec![file.to_string_lossy().into_owned()], sqlite, 0),
        Backend::Sqlite { roots, sqlite, ttl_s } => {
            (roots.iter().map(|root| root.to_string_lossy().into_owned()).collect(), sqlite, ttl_s)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(spelled("a"), (vec!["/map/../store/a.mbtiles".to_owned()], sqlite(7.0, true), 0));
    assert_eq!(spelled("b"), (vec!["/data/maps/b.db".to_owned()], sqlite(7.0, false), 0));
    assert_eq!(spelled("c"), (vec!["/map/./c.mbtiles".to_owned()], sqlite(0.0, true), 0));
    let levels = ["/map/../store/d/south", "/map/../store/d/GLOBAL_GEODETIC"].map(str::to_owned);
    assert_eq!(spelled("d"), (levels.to_vec(), sqlite(7.0, true), 60));
    assert_eq!(spelled("e"), (vec!["/map/levels/south".to_owned()], sqlite(1.5, true), 0));
    let package = |name: &str| match cache(&conf, name).backend {
        Backend::GeoPackage { grids, levels, sqlite } => {
            let told =
                grids.iter().map(|grid| format!("{} {} {}", grid.path.display(), grid.table, grid.epsg));
            (told.collect::<Vec<_>>(), levels, sqlite)
        }
        other => panic!("{other:?}"),
    };
    let both =
        ["/map/../store/f.gpkg f_GLOBAL_WEBMERCATOR 3857", "/map/../store/f.gpkg f_GLOBAL_GEODETIC 4326"];
    assert_eq!(package("f"), (both.map(str::to_owned).to_vec(), false, sqlite(7.0, false)));
    assert_eq!(package("g").0, ["/map/./g.db t-1 3857"]);
    let levels = "/map/x/GLOBAL_WEBMERCATOR h_GLOBAL_WEBMERCATOR 3857".to_owned();
    assert_eq!(package("h"), (vec![levels], true, sqlite(7.0, false)));
    assert_eq!(cache(&conf, "e").lock_dir.to_str(), Some("/map/levels/tile_locks"));
}

#[test]
fn grids_inherit_and_are_redefined() {
    let conf = conf(
        "grids:\n  GLOBAL_GEODETIC: {srs: 'EPSG:4326', min_res: 0.703125, origin: nw}\n\
         \x20 a: {base: b, num_levels: 3, name: shown}\n  b: {base: GLOBAL_GEODETIC, tile_size: [512, 512]}\n\
         \x20 r: {srs: 'EPSG:25832', bbox: '5,45,15,55', bbox_srs: 'EPSG:4326', res: [1, 100, 10], origin: ul}\n",
    );
    let grid = |name: &str| conf.grids.get(name).unwrap();
    assert_eq!(grid("GLOBAL_GEODETIC").grid.resolution(0), 0.703125);
    let a = grid("a");
    assert_eq!((a.grid.name.as_str(), a.grid.tile_size, a.grid.levels()), ("shown", (512, 512), 3));
    assert_eq!((a.grid.origin, a.srs_text.as_str()), (Origin::NorthWest, "EPSG:4326"));
    let r = grid("r");
    assert_eq!(r.grid.resolutions, [100.0, 10.0, 1.0]);
    assert!((r.grid.extent.min_x - 150_000.0).abs() < 200_000.0, "{:?}", r.grid.extent);
    assert_eq!(conf.grids.names().collect::<Vec<_>>()[..2], ["GLOBAL_MERCATOR", "GLOBAL_WEBMERCATOR"]);
}

#[test]
fn sources_and_tags() {
    let conf = conf(
        "sources:\n  w: {type: wms, max_scale: 10000, req: {url: 'http://$HOST/', layers: 'a,b,c', time: 2020-01-01, map: /x.map, transparent: true}, on_error: {500: {response: '#ff000080'}, other: {response: transparent, cache: yes}}}\n\
         caches: {c: {sources: ['w:a,c'], grids: [GLOBAL_WEBMERCATOR], refresh_before: {days: 1, hours: 2}}}\n",
    );
    let w = conf.sources.get("w").unwrap();
    let SourceKind::Wms(wms) = &w.kind else { panic!("{w:?}") };
    assert_eq!(wms.url, "http://example.org/");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(wms.parameters, [pair("time", "2020-01-01"), pair("map", "/x.map")]);
    assert_eq!(w.res, ResBounds { min_res: Some(2.8), max_res: None });
    assert_eq!(w.image.options.transparent, Some(true));
    assert_eq!((w.on_error.0[0].status, w.on_error.0[0].color), (Some(500), [255, 0, 0, 128]));
    assert_eq!((w.on_error.0[1].status, w.on_error.0[1].cache), (None, true));
    let c = cache(&conf, "c");
    let layers = Some(vec!["a".to_owned(), "c".to_owned()]);
    assert_eq!(c.sources, [SourceRef::Source { name: "w".to_owned(), layers }]);
    assert_eq!(c.refresh_before, Some(TimeSpec::Ago { seconds: 93_600.0 }));
    assert_eq!(c.image.transparent, Some(true));
}

#[test]
fn a_base_lends_and_parts_stay_aside() {
    let conf = conf(
        "base: other.yaml\nglobals: {tiles: {expires_hours: 2}}\ncaches: {c: {sources: [], grids: [GLOBAL_WEBMERCATOR]}}\n",
    );
    assert_eq!(conf.globals.tile_age_max_s, 7200);
    assert_eq!(cache(&conf, "c").meta_size, (2, 2));
}

#[test]
fn parts_hold_anchors() {
    let conf = conf(
        "parts: {sizes: &sizes {meta_size: [1, 1]}, anything: [goes, 1]}\n\
         caches: {c: {<<: *sizes, sources: [], grids: [GLOBAL_WEBMERCATOR]}}\n",
    );
    assert_eq!(cache(&conf, "c").meta_size, (1, 1));
}

/// A broken piece beside sound ones: one line of the findings says what.
#[test]
fn sources_of_the_ogc_api_lend_their_image_options() {
    for kind in ["ogcapimaps", "ogcapitiles"] {
        let of = |image: &str| {
            let text = format!(
                "sources: {{s: {{type: {kind}, landingpage_url: 'http://h/', image: {{{image}}}}}}}\n\
                 caches: {{c: {{sources: [s], grids: [GLOBAL_MERCATOR]}}}}\n"
            );
            cache(&conf(&text), "c").image.transparent
        };
        assert_eq!((of(""), of("transparent: true")), (None, Some(true)), "{kind}");
    }
}

#[test]
fn the_font_of_a_directory_is_drawn_with() {
    let text = "globals: {image: {font_dir: fonts}}\n\
                caches: {c: {sources: [], grids: [GLOBAL_MERCATOR], watermark: {text: ours}}}\n";
    let mut files = FileSet::holding(Path::new(PATH), text.as_bytes());
    let font = include_bytes!("../../../etc/fonts/DejaVuSans-Latin.ttf");
    files.hold(Path::new("/map/fonts/DejaVuSans.ttf"), font);
    let loaded = load_with(Path::new(PATH), &mut files, &|_| None);
    assert!(!lines(&loaded.findings).contains("font_dir"), "{}", lines(&loaded.findings));
    let conf = loaded.conf.unwrap();
    assert!(conf.globals.typeface.is_some());
    assert!(cache(&conf, "c").watermark.unwrap().typeface.is_some());
}

#[test]
fn every_fault_is_named_with_its_place() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        (
            "layers: [{name: a, title: A, sources: [nope]}]",
            "/map/mapproxy.yaml:1:40: error: layers[0].sources[0]: there is neither a source nor a cache `nope`",
        ),
        (
            "caches: {osm: {sources: [], grids: [GLOBAL_MERCATR]}}",
            "caches.osm.grids[0]: there is no grid `GLOBAL_MERCATR`; did you mean `GLOBAL_MERCATOR`?",
        ),
        (
            "caches:\n  osm:\n    source: []\n    grids: [GLOBAL_MERCATOR]",
            "3:5: error: caches.osm: the required key `sources` is missing; is that meant by `source`?",
        ),
        (
            "caches: {c: {sources: [], meta_buffer: '80'}}",
            "caches.c.meta_buffer: expected a number, found the text \"80\"; write it without quotes",
        ),
        (
            "caches: {c: {sources: [], cache: {type: fiel}}}",
            "caches.c.cache.type: unknown type \"fiel\"; it can be file, world, sqlite, mbtiles, geopackage, compact, s3, azureblob, redis, couchdb; did you mean `file`?",
        ),
        (
            "caches: {c: {sources: c}}",
            "caches.c.sources: expected a list of texts or a mapping, found the text \"c\"",
        ),
        ("caches: {c: {sources: [c]}}", "is made, directly or through other caches, from itself"),
        ("caches: {a: {sources: [b]}, b: {sources: [a]}, d: {sources: [a]}}", "caches.a.sources: is made"),
        (
            "caches: {c: {sources: [], meta_size: [0, 4]}}",
            "caches.c.meta_size: must be two whole numbers from 1 to 64",
        ),
        ("caches: {c: {sources: [], upscale_tiles: 1, downscale_tiles: 1}}", "only one of them"),
        (
            "caches: {c: {sources: [], upscale_tiles: -1}}",
            "caches.c.upscale_tiles: must be a whole number from 0 to 32, not -1",
        ),
        (
            "globals: {renderd: {address: 'unix:/run/renderd'}}",
            "1:30: error: globals.renderd.address: \"unix:/run/renderd\" is no URL",
        ),
        ("caches: {c: {sources: [], format: mixed}}", "needs `request_format: image/png`"),
        ("caches: {c: {sources: [], format: image/pgn}}", "unknown image format \"image/pgn\""),
        (
            "caches: {c: {sources: [], grids: [GLOBAL_MERCATOR, GLOBAL_GEODETIC], cache: {type: file, directory: x}}}",
            "one `directory` cannot hold several grids",
        ),
        (
            "caches: {c: {sources: [], grids: [GLOBAL_MERCATOR, GLOBAL_GEODETIC], cache: {type: mbtiles}}}",
            "caches.c.cache: one MBTiles file cannot hold several grids",
        ),
        (
            "caches: {c: {sources: [], grids: [GLOBAL_MERCATOR, GLOBAL_GEODETIC], cache: {type: geopackage, table_name: t}}}",
            "caches.c.cache.table_name: one table cannot hold several grids",
        ),
        (
            "caches: {c d: {sources: [], cache: {type: geopackage}}}",
            "caches.c d.cache.table_name: a table cannot be named `c d_GLOBAL_MERCATOR`",
        ),
        (
            "caches: {c: {sources: [], cache: {type: sqlite, sqlite_timeout: -1}}}",
            "caches.c.cache.sqlite_timeout: must be a number of seconds, 0 or more",
        ),
        (
            "caches: {in: {sources: [], cache: {type: sqlite}}, c: {sources: [in]}}\n\
             layers: [{name: a, title: A, sources: [c], dimensions: {height: {values: [1]}}}]",
            "2:56: error: layers[0].dimensions: the cache `in` cannot tell tiles of several dimension values apart",
        ),
        (
            "caches: {c: {sources: [], refresh_before: {time: soon}}}",
            "caches.c.refresh_before.time: must be a date or a time",
        ),
        ("caches: {c: {sources: [], watermark: {color: '#fff'}}}", "expected a colour"),
        ("grids: {g: {base: h}, h: {base: g}}", "a circle"),
        (
            "grids: {g: {srs: 'EPSG:999999'}}\ncaches: {c: {sources: [], grids: [g]}}",
            "grids.g.srs: unknown coordinate system EPSG:999999",
        ),
        ("grids: {g: {srs: 'EPSG:25832'}}\ncaches: {c: {sources: [], grids: [g]}}", "error: grids.g: "),
        ("grids: {g: {bbox: [10, 0, 5, 5]}}", "grids.g.bbox: is empty"),
        ("grids: {g: {bbox: [10, 0, 5]}}", "grids.g.bbox: expected a bounding box"),
        ("grids: {g: {res_factor: sqrt3}}", "grids.g.res_factor: must be a number above 1 or `sqrt2`"),
        ("grids: {g: {origin: ne}}", "grids.g.origin: unknown value \"ne\"; it can be ll, sw, ul, nw"),
        (
            "grids: {g: {num_levels: 2.5}}",
            "grids.g.num_levels: expected a whole number, found the number 2.5",
        ),
        ("sources: {s: {type: wms}}", "sources.s: the required key `req` is missing"),
        ("sources: {s: {req: {url: x}}}", "sources.s: the required key `type` is missing"),
        ("sources: {s: {type: wsm}}", "did you mean `wms`?"),
        (
            "sources: {s: {type: wms, req: {url: example.org}}}",
            "sources.s.req.url: \"example.org\" is no URL",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/', layers: 'a,b'}}}\ncaches: {c: {sources: ['s:a,z']}}",
            "the source `s` has no layer `z` in its `req.layers`",
        ),
        (
            "sources: {s: {type: tile, url: 'http://h/%(z)s'}}\nlayers: [{name: l, title: L, sources: [s]}]",
            "has tiles, not maps; put a cache between",
        ),
        (
            "sources: {s: {type: tile, url: 'http://h/%(z)s', grid: GLOBAL_GEODETIC}}\ncaches: {c: {sources: [s], grids: [GLOBAL_WEBMERCATOR]}}",
            "must have the coordinate system and tile size",
        ),
        (
            "sources: {s: {type: debug}}\ncaches: {c: {sources: ['s:a']}}",
            "only for wms, mapserver and mapnik",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, on_error: {'500': {response: transparent}}}}",
            "must be a HTTP status (a number without quotes) or `other`",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, on_error: {500: {}}}}",
            "the required key `response` is missing",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, coverage: {bbox: [1, 2, 3, 4]}}}",
            "sources.s.coverage: needs `srs`",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, coverage: {datasource: no.wkt, srs: 'EPSG:4326'}}}",
            "sources.s.coverage.datasource: cannot read /map/no.wkt",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, coverage: {datasource: 'PG: dbname=x', srs: 'EPSG:4326'}}}",
            "databases cannot be read yet",
        ),
        ("sources: {s: {type: wms, req: {url: 'http://h/'}, min_res: 1, max_res: 10}}", "the range is empty"),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, http: {headers: {A: \"b\\nc\"}}}}",
            "is no valid HTTP header",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, image: {opacity: 50}}}",
            "must be between 0 (invisible) and 1",
        ),
        (
            "sources: {s: {type: wms, req: {url: 'http://h/'}, wms_opts: {version: '1.2.0'}}}",
            "unknown WMS version \"1.2.0\"",
        ),
        ("layers: [{name: a, sources: []}]", "layers[0]: the required key `title` is missing"),
        (
            "layers: [{name: 1, title: A, sources: []}]",
            "layers[0].name: expected text, found the number 1; put it in quotes",
        ),
        ("layers: [{name: a, title: A, tile_sources: [x]}]", "there is no cache `x`"),
        ("services: {wms: }", "services.wms: needs a `layers` section"),
        (
            "services: {wms: {on_source_errors: rise}}",
            "unknown value \"rise\"; it can be notify, raise; did you mean `raise`?",
        ),
        ("services: {wms: {srs: ['EPSG:99999999']}}", "services.wms.srs[0]: unknown coordinate system"),
        (
            "services: {wmts: {restful_template: '/{Layer}'}}",
            "lacks {TileMatrixSet}, {TileMatrix}, {TileCol}, {TileRow}",
        ),
        (
            "globals: {cache: {directory_permissions: 755}}",
            "globals.cache.directory_permissions: expected text, found the number 755; put it in quotes",
        ),
        (
            "globals: {image: {resampling_method: bicubik}}",
            "it can be nearest, bilinear, bicubic; did you mean `bicubic`?",
        ),
        ("globals: {http: {client_timeout: 0}}", "must be above zero"),
        (
            "sources:\n  s:\n    type: ogcapimaps\n    landingpage_url: file:///etc",
            "4:22: error: sources.s.landingpage_url: must begin with http:// or https://",
        ),
        (
            "sources: {s: {type: ogcapitiles, landingpage_url: maps.example.org}}",
            "sources.s.landingpage_url: \"maps.example.org\" is no URL",
        ),
        (
            "sources: {s: {type: ogcapitiles, landingpage_url: 'http://h'}}\nlayers: [{name: l, title: L, sources: [s]}]",
            "2:40: error: layers[0].sources[0]: the source `s` has tiles, not maps; put a cache between",
        ),
        ("sources: {s: {type: ogcapimaps}}", "sources.s: the required key `landingpage_url` is missing"),
        ("base: nothing.yaml", "base: cannot read /map/nothing.yaml"),
        ("base: mapproxy.yaml", "includes itself"),
        ("[1, 2]", "a configuration is a mapping of sections"),
        ("a: [1", "/map/mapproxy.yaml:"),
    ] {
        let loaded = load(text);
        let found = lines(&loaded.findings);
        if loaded.conf.is_some() || !found.contains(expected) {
            wrong.push(format!("{text}\nexpected: {expected}\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn warnings_do_not_refuse() {
    for (text, expected) in [
        ("servces: {}", "servces: unknown key, ignored; did you mean `services`?"),
        ("services: {}", "no service is configured"),
        (
            "caches: {c: {sources: [], grids: [GLOBAL_MERCATOR], cache: {type: s3, bucket_name: b}}}",
            "the type `s3` is still missing",
        ),
        (
            "caches: {a: {sources: []}}\nglobals: {cache: {s3: {bucket_name: b}}}",
            "globals.cache.s3: this feature is still missing in rhumb; the setting has no effect",
        ),
        (
            "globals: {image: {font_dir: /nowhere}}",
            "1:29: warning: globals.image.font_dir: /nowhere/DejaVuSans.ttf cannot be read",
        ),
        (
            "caches: {a: {sources: [], cache_rescaled_tiles: true}}",
            "caches.a.cache_rescaled_tiles: has no effect without `upscale_tiles` or `downscale_tiles`",
        ),
        (
            "globals: {srs: {axis_order_ne: ['EPSG:31467']}}",
            "has no effect: the order of axes comes from PROJ",
        ),
        (
            "globals: {http: {headers: {A: $NOBODY_SET_THIS}}}",
            "the environment variable NOBODY_SET_THIS is not set",
        ),
        ("globals: {}\nglobals: {}", "2:1: warning: globals: the key is in line 1 already"),
        ("caches: {c: {sources: []}}", "caches.c: no `grids` are given"),
        ("grids: {g: {srs: 'EPSG:25832'}}", "warning: grids.g: "),
        ("layers: {a: {title: A, sources: []}}", "layers as a mapping are deprecated"),
        (
            "layers: [{name: a, title: A, sources: []}, {name: a, title: B, sources: []}]",
            "a layer named `a` is in line 1 already",
        ),
    ] {
        let loaded = load(text);
        let found = lines(&loaded.findings);
        assert!(loaded.conf.is_some(), "{text}\n{found}");
        assert!(found.contains(expected), "{text}\nexpected: {expected}\n{found}");
    }
}

#[test]
fn all_faults_are_reported_together_in_order() {
    let loaded = load(
        "services: {wms: {strct: true, srs: EPSG:3857}}\ncaches:\n  a: {sources: [x], grids: [y]}\n  b: {sources: [], meta_buffer: -1}\n",
    );
    let places: Vec<_> =
        loaded.findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.line).collect();
    assert_eq!(places, [1, 1, 3, 3, 4], "{}", lines(&loaded.findings));
}

#[test]
fn three_thousand_layers_load() {
    let mut text = String::from(
        "services: {wms: , wmts: }\nsources:\n  s: {type: wms, req: {url: 'http://h/', layers: a}}\n",
    );
    let (mut caches, mut layers) = ("caches:\n".to_owned(), "layers:\n".to_owned());
    for at in 0..3000 {
        writeln!(caches, "  cache_{at}:\n    grids: [GLOBAL_WEBMERCATOR]\n    sources: [s]").unwrap();
        writeln!(layers, "  - name: layer_{at}\n    title: Layer {at}\n    sources: [cache_{at}]").unwrap();
    }
    text.push_str(&caches);
    text.push_str(&layers);
    let conf = conf(&text);
    assert_eq!((conf.caches.len(), conf.flat_layers().len()), (3000, 3000));
}

/// Cuts, swaps and repeats pieces of a sound file: whatever comes out, it is
/// answered with a configuration or with an error.
fn mutated(cuts: &[(usize, usize, u8)]) -> String {
    const SOUND: &str = include_str!("sample.yaml");
    let mut text: Vec<char> = SOUND.chars().collect();
    for &(at, length, kind) in cuts {
        let at = at % text.len();
        let end = (at + length).min(text.len());
        match kind % 4 {
            0 => drop(text.drain(at..end)),
            1 => {
                let piece: Vec<char> = text[at..end].to_vec();
                text.splice(at..at, piece);
            }
            2 => text[at] = ['[', '{', ':', '-', '&', '*', '\'', '0', ' ', '\n'][length % 10],
            _ => text[at..end].reverse(),
        }
        if text.is_empty() {
            text.push('x');
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn mutated_files_never_panic(cuts in proptest::collection::vec((0usize..4000, 1usize..40, any::<u8>()), 1..6)) {
        let text = mutated(&cuts);
        let loaded = load(&text);
        let refused = loaded.findings.iter().any(Finding::is_error);
        prop_assert_eq!(loaded.conf.is_none(), refused, "{}", text);
    }
}
