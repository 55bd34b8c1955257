//! Tiles in and out of real files, and what others may do to these meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::*;
use crate::cache::scratch::Scratch;
use crate::cache::{CacheError, Dimensions, Fsync, NewTile, TileAddress, TileStore};
use crate::geo::{GridOptions, TileCoord, TileGrid};

fn tile(x: i64, y: i64, z: u32) -> TileAddress {
    TileCoord { x, y, z }.into()
}

fn database(timeout_ms: u64) -> DatabaseOptions {
    DatabaseOptions {
        timeout: Duration::from_millis(timeout_ms),
        wal: false,
        fsync: Fsync::None,
        directory_mode: None,
        file_mode: None,
    }
}

fn options(files: RowFiles, database: DatabaseOptions) -> RowOptions {
    RowOptions { files, lock_dir: "/nowhere".into(), database }
}

fn one_with(path: &Path, database: DatabaseOptions) -> RowStore {
    RowStore::mbtiles(options(RowFiles::One(path.to_owned()), database))
}

fn one(path: &Path) -> RowStore {
    one_with(path, database(5_000))
}

fn levels(directory: &Path, ttl_s: u64) -> RowStore {
    let options = options(RowFiles::Levels(directory.to_owned()), database(5_000));
    RowStore::sqlite(options, Duration::from_secs(ttl_s))
}

fn bytes_of(store: &dyn TileStore, at: &TileAddress) -> Option<Vec<u8>> {
    store.load(at).expect("a readable store").map(|tile| tile.bytes.to_vec())
}

fn said<T: std::fmt::Debug>(result: Result<T, CacheError>) -> String {
    result.expect_err("an error").to_string()
}

/// What the schema of a file is, in the order in which it was made.
fn schema(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).expect("a database");
    let mut statement = connection.prepare("SELECT name FROM sqlite_master ORDER BY rowid").unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

#[test]
fn tiles_come_back_as_they_were_stored() {
    let scratch = Scratch::new();
    let path = scratch.path().join("new/deep/c.mbtiles");
    let store = one(&path);
    assert_eq!(bytes_of(&store, &tile(0, 0, 0)), None);
    assert!(!path.exists(), "looking makes nothing");
    let new = |x, bytes| NewTile { tile: tile(x, 7, 3), bytes, single_color: None };
    let results = store.store_all(&[new(1, b"one"), new(2, b"two"), new(3, b"three")]).unwrap();
    assert!(results.len() == 3 && results.iter().all(Result::is_ok));
    assert_eq!(bytes_of(&store, &tile(2, 7, 3)).as_deref(), Some(&b"two"[..]));
    for (x, y, z) in [(2, 7, 4), (7, 2, 3), (4, 7, 3)] {
        assert_eq!(bytes_of(&store, &tile(x, y, z)), None, "{x} {y} {z}");
    }
    store.store(&tile(2, 7, 3), b"other", None).unwrap();
    assert_eq!(bytes_of(&store, &tile(2, 7, 3)).as_deref(), Some(&b"other"[..]));
    let loaded = store.load(&tile(1, 7, 3)).unwrap().unwrap();
    assert_eq!((loaded.modified, loaded.identity), (None, None));
    assert_eq!(store.modified(&tile(1, 7, 3)).unwrap(), Some(UNIX_EPOCH), "as old as can be");
    assert_eq!(store.modified(&tile(9, 7, 3)).unwrap(), None);
    store.remove(&tile(2, 7, 3)).unwrap();
    store.remove(&tile(2, 7, 3)).unwrap();
    assert_eq!(bytes_of(&store, &tile(2, 7, 3)), None);
    assert_eq!(schema(&path), ["tiles", "metadata", "idx_tile"]);
    let left: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["c.mbtiles"], "no lock, journal or temp file stays");
    // Another process sees the same.
    assert_eq!(bytes_of(&one(&path), &tile(3, 7, 3)).as_deref(), Some(&b"three"[..]));
}

#[test]
fn each_level_has_a_file_and_tiles_their_time() {
    let scratch = Scratch::new();
    let store = levels(scratch.path(), 0);
    let before = SystemTime::now() - Duration::from_secs(1);
    for level in [0, 5] {
        store.store(&tile(0, 0, level), b"tile", None).unwrap();
        let loaded = store.load(&tile(0, 0, level)).unwrap().expect("level 0 too");
        let modified = loaded.modified.expect("a time");
        assert!(modified >= before && modified <= SystemTime::now(), "{modified:?}");
        assert_eq!(store.modified(&tile(0, 0, level)).unwrap(), Some(modified));
        assert!(scratch.path().join(format!("{level}.mbtiles")).is_file());
    }
    assert!(store.has_times() && !one(scratch.path()).has_times());
    assert_eq!(bytes_of(&store, &tile(0, 0, 3)), None);
}

#[test]
fn a_time_to_live_is_over_on_the_second() {
    let scratch = Scratch::new();
    levels(scratch.path(), 0).store(&tile(1, 1, 2), b"tile", None).unwrap();
    let age = |seconds: i64| {
        let connection = Connection::open(scratch.path().join("2.mbtiles")).unwrap();
        let sql = "UPDATE tiles SET last_modified = datetime('now', 'localtime', ?1)";
        connection.execute(sql, [format!("-{seconds} seconds")]).unwrap();
    };
    let store = levels(scratch.path(), 100);
    for (seconds, is_there) in [(0, true), (90, true), (101, false), (9_000_000, false)] {
        age(seconds);
        assert_eq!(bytes_of(&store, &tile(1, 1, 2)).is_some(), is_there, "{seconds}");
        assert_eq!(store.modified(&tile(1, 1, 2)).unwrap().is_some(), is_there, "{seconds}");
        assert!(bytes_of(&levels(scratch.path(), 0), &tile(1, 1, 2)).is_some());
    }
    // What has no readable time has none, and is gone where tiles have to be young.
    let connection = Connection::open(scratch.path().join("2.mbtiles")).unwrap();
    connection.execute("UPDATE tiles SET last_modified = 'yesterday'", []).unwrap();
    assert_eq!(bytes_of(&store, &tile(1, 1, 2)), None);
    assert_eq!(levels(scratch.path(), 0).load(&tile(1, 1, 2)).unwrap().unwrap().modified, None);
}

/// mapproxy-features.md §4.5: `md5(path as configured)` behind the kind.
#[test]
fn locks_have_mapproxys_names() {
    let store = one(Path::new("/conf/./cache_data/c.mbtiles"));
    assert_eq!(store.lock_id(), "mbtiles-241edffe8af2a14bd38c1383f0792278");
    assert_eq!(levels(Path::new("/c/g"), 0).lock_id(), "sqlite-bb40cb6bdc9a8905606ea2f6ed63da4d");
}

#[test]
fn modes_are_those_asked_for() {
    let scratch = Scratch::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let options =
        DatabaseOptions { directory_mode: Some(0o750), file_mode: Some(0o640), wal: true, ..database(1_000) };
    let path = scratch.path().join("a/b.mbtiles");
    let store = one_with(&path, options);
    store.store(&tile(0, 0, 0), b"tile", None).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o640, 0o750));
    assert_eq!(mode(&scratch.path().join("a/b.mbtiles-wal")), 0o640, "the log follows the file");
    drop(store);
    assert!(!scratch.path().join("a/b.mbtiles-wal").exists(), "the last to leave cleans up");
    assert_eq!(bytes_of(&one(&path), &tile(0, 0, 0)).as_deref(), Some(&b"tile"[..]));
}

/// Files of other programs: the table may be a view, hold odd values, lack an index.
#[test]
fn files_from_elsewhere_are_read_with_care() {
    let scratch = Scratch::new();
    let path = scratch.path().join("view.mbtiles");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE images (id integer, tile_data blob);
             CREATE TABLE map (zoom_level integer, tile_column integer, tile_row integer, id integer);
             INSERT INTO images VALUES (1, x'010203'), (2, x''), (3, 'text'), (4, NULL), (5, 17);
             INSERT INTO map VALUES (0,1,0,1), (0,2,0,2), (0,3,0,3), (0,4,0,4), (0,5,0,5);
             CREATE VIEW tiles AS SELECT zoom_level, tile_column, tile_row, tile_data
                 FROM map JOIN images ON map.id = images.id;",
        )
        .unwrap();
    drop(connection);
    let store = one(&path);
    assert_eq!(bytes_of(&store, &tile(1, 0, 0)), Some(vec![1, 2, 3]));
    for x in 2..7 {
        assert_eq!(bytes_of(&store, &tile(x, 0, 0)), None, "{x}");
    }
    let error = said(store.store(&tile(1, 0, 0), b"tile", None));
    assert!(error.contains("cannot store tiles in") && error.contains("view"), "{error}");
    assert_eq!(bytes_of(&store, &tile(1, 0, 0)), Some(vec![1, 2, 3]));

    let path = scratch.path().join("no_index.mbtiles");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data)").unwrap();
    drop(connection);
    let store = one(&path);
    for bytes in [b"old", b"new"] {
        store.store(&tile(1, 1, 1), bytes, None).unwrap();
    }
    assert_eq!(bytes_of(&store, &tile(1, 1, 1)).as_deref(), Some(&b"new"[..]));
    let rows = Connection::open(&path).unwrap().query_row("SELECT count(*) FROM tiles", [], |r| r.get(0));
    assert_eq!(rows, Ok(1_i64));

    let path = scratch.path().join("endless.mbtiles");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE VIEW tiles AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n)
             SELECT i * 0 - 1 AS zoom_level, i AS tile_column, i AS tile_row, x'01' AS tile_data FROM n",
        )
        .unwrap();
    drop(connection);
    let store = one_with(&path, database(50));
    let error = said(store.load(&tile(0, 0, 0)));
    assert!(error.contains("longer than `sqlite_timeout`"), "{error}");
}

#[test]
fn what_is_no_such_file_is_named_with_a_way_out() {
    let scratch = Scratch::new();
    let whole = scratch.path().join("whole.mbtiles");
    let store = one(&whole);
    for x in 0..200 {
        store.store(&tile(x, 0, 8), &[7; 3_000], None).unwrap();
    }
    drop(store);
    let put = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = scratch.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let bytes = fs::read(&whole).unwrap();
    let mut holes = bytes.clone();
    holes[4096..].fill(0x5a);
    for (name, bytes, word) in [
        ("text", &b"this is no database but a text that is long enough to look at"[..], "not a database"),
        ("cut", &bytes[..bytes.len() / 2], "malformed"),
        ("holes", &holes, "malformed"),
    ] {
        let path = put(name, bytes);
        let store = one(&path);
        let error = said((0..200).try_for_each(|x| store.load(&tile(x, 0, 8)).map(drop)));
        assert!(error.contains(word) && error.contains("good copy") && error.contains(name), "{error}");
        assert!(store.store(&tile(0, 0, 8), b"tile", None).is_err() || name != "text");
        // Mended without a restart.
        fs::write(&path, fs::read(&whole).unwrap()).unwrap();
        assert!(bytes_of(&store, &tile(7, 0, 8)).is_some(), "{name}");
    }
    let other = scratch.path().join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE people (name)").unwrap();
    let error = said(one(&other).store(&tile(0, 0, 0), b"tile", None));
    assert!(error.contains("none named tiles"), "{error}");
    assert!(said(one(&other).load(&tile(0, 0, 0))).contains("none named tiles"));
    let directory = said(one(scratch.path()).load(&tile(0, 0, 0)));
    assert!(directory.contains("no regular file"), "{directory}");
    let below = one(&whole.join("below"));
    assert_eq!(bytes_of(&below, &tile(0, 0, 0)), None);
    assert!(below.store(&tile(0, 0, 0), b"tile", None).is_err());
}

/// As a kill leaves it: MapProxy makes the file first and the tables then.
#[test]
fn a_file_without_tables_gets_them() {
    let scratch = Scratch::new();
    for (name, prepare) in [
        ("empty", &(|path: &Path| fs::write(path, b"").unwrap()) as &dyn Fn(&Path)),
        ("header", &|path: &Path| {
            Connection::open(path).unwrap().pragma_update(None, "user_version", 1).unwrap();
        }),
    ] {
        let path = scratch.path().join(name);
        prepare(&path);
        let store = one(&path);
        assert_eq!(bytes_of(&store, &tile(0, 0, 0)), None, "{name}");
        store.store(&tile(0, 0, 0), b"tile", None).unwrap();
        assert_eq!(bytes_of(&store, &tile(0, 0, 0)).as_deref(), Some(&b"tile"[..]), "{name}");
    }
}

#[test]
fn who_finds_it_busy_is_told_at_once() {
    let scratch = Scratch::new();
    let path = scratch.path().join("c.mbtiles");
    let store = one_with(&path, database(1_234));
    store.store(&tile(0, 0, 0), b"tile", None).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let is_busy = |error: CacheError| matches!(error, CacheError::Busy { patience, .. } if patience.as_millis() == 1_234);
    assert!(store.load(&tile(0, 0, 0)).is_err_and(is_busy));
    assert!(store.modified(&tile(0, 0, 0)).is_err_and(is_busy));
    assert!(store.store(&tile(0, 0, 0), b"new", None).is_err_and(is_busy));
    assert!(store.remove(&tile(0, 0, 0)).is_err_and(is_busy));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(bytes_of(&store, &tile(0, 0, 0)).as_deref(), Some(&b"tile"[..]));
    // A reader alone keeps the writer from committing, and nothing stays half done.
    other.execute_batch("BEGIN; SELECT count(*) FROM tiles").unwrap();
    assert!(store.store(&tile(0, 0, 0), b"new", None).is_err_and(is_busy));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(bytes_of(&store, &tile(0, 0, 0)).as_deref(), Some(&b"tile"[..]));
    store.store(&tile(0, 0, 0), b"new", None).unwrap();
    assert_eq!(bytes_of(&store, &tile(0, 0, 0)).as_deref(), Some(&b"new"[..]));
    // Somebody else makes the file.
    let path = scratch.path().join("d.mbtiles");
    let modes = crate::cache::lock::LockModes::default();
    let lock = crate::cache::lock::try_lock_path(&scratch.path().join("d.mbtiles.init.lck"), modes).unwrap();
    let store = one(&path);
    assert!(matches!(store.store(&tile(0, 0, 0), b"tile", None), Err(CacheError::Busy { .. })));
    drop(lock);
    store.store(&tile(0, 0, 0), b"tile", None).unwrap();
}

/// `mapproxy-seed` removes the files of whole levels while they are in use.
#[test]
fn a_file_that_was_replaced_or_removed_is_left() {
    let scratch = Scratch::new();
    for wal in [false, true] {
        let path = scratch.path().join(format!("{wal}.mbtiles"));
        let options = DatabaseOptions { wal, ..database(1_000) };
        let store = one_with(&path, options.clone());
        store.store(&tile(0, 0, 0), b"old", None).unwrap();
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", path.display()));
        }
        assert_eq!(bytes_of(&store, &tile(0, 0, 0)), None, "{wal}");
        // Another makes it anew and has not put its log back yet.
        let other = one_with(&path, options);
        other.store(&tile(0, 0, 0), b"new", None).unwrap();
        assert_eq!(bytes_of(&store, &tile(0, 0, 0)).as_deref(), Some(&b"new"[..]), "{wal}");
        drop(store);
        other.store(&tile(1, 0, 0), b"newer", None).unwrap();
        drop(other);
        let store = one(&path);
        assert_eq!(bytes_of(&store, &tile(0, 0, 0)).as_deref(), Some(&b"new"[..]), "{wal}");
        assert_eq!(bytes_of(&store, &tile(1, 0, 0)).as_deref(), Some(&b"newer"[..]), "{wal}");
        let left = fs::read_dir(scratch.path())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
        assert_eq!(left.count(), 0);
    }
}

#[test]
fn threads_and_stores_write_side_by_side() {
    const THREADS: i64 = 6;
    const TILES: i64 = 25;
    let scratch = Scratch::new();
    for wal in [false, true] {
        let path = scratch.path().join(format!("{wal}.mbtiles"));
        let options = DatabaseOptions { wal, ..database(60_000) };
        let shared = one_with(&path, options.clone());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (shared, options, path) = (&shared, options.clone(), path.clone());
                scope.spawn(move || {
                    let own = one_with(&path, options);
                    let store = if thread % 2 == 0 { shared } else { &own };
                    for x in 0..TILES {
                        let bytes = format!("{thread} {x}");
                        while let Err(error) = store.store(&tile(x, thread, 9), bytes.as_bytes(), None) {
                            assert!(matches!(error, CacheError::Busy { .. }), "{error}");
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        for (thread, x) in (0..THREADS).flat_map(|thread| (0..TILES).map(move |x| (thread, x))) {
            let expected = format!("{thread} {x}").into_bytes();
            assert_eq!(bytes_of(&shared, &tile(x, thread, 9)), Some(expected), "{wal}");
        }
    }
}

#[test]
fn idle_connections_are_few() {
    let scratch = Scratch::new();
    let stores: Vec<RowStore> =
        (0..80).map(|number| one(&scratch.path().join(format!("{number}.mbtiles")))).collect();
    for store in &stores {
        store.store(&tile(0, 0, 0), b"tile", None).unwrap();
    }
    let open = || {
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        targets.filter(|target| target.starts_with(scratch.path())).count()
    };
    assert!(open() <= 64, "{}", open());
    assert!(stores.iter().all(|store| bytes_of(store, &tile(0, 0, 0)).is_some()));
    drop(stores);
    assert_eq!(open(), 0);
}

#[test]
fn tiles_that_have_no_place_are_refused() {
    let scratch = Scratch::new();
    let store = one(&scratch.path().join("c.mbtiles"));
    let dimensions = Dimensions::new(&[("time".into(), "2020".into())]).unwrap();
    let at = TileAddress { coord: TileCoord { x: 0, y: 0, z: 0 }, dimensions };
    assert!(said(store.load(&at)).contains("dimension"));
    assert!(said(store.store(&at, b"tile", None)).contains("dimension"));
    assert!(said(store.store(&tile(0, 0, 0), b"", None)).contains("empty"));
}

fn package(table: &str, change: impl Fn(&mut GridOptions)) -> GeoPackage {
    let mut options = GridOptions { origin: Some(crate::geo::Origin::NorthWest), ..GridOptions::default() };
    options.srs = Some(crate::geo::Srs::parse("EPSG:3857").unwrap());
    change(&mut options);
    let grid = Arc::new(TileGrid::build(&options).unwrap());
    let epsg = grid.srs.code().trim_start_matches("EPSG:").parse().unwrap();
    GeoPackage { table: table.to_owned(), epsg, extent: grid.extent, grid }
}

fn packed(path: &Path, package: GeoPackage) -> RowStore {
    RowStore::geopackage(options(RowFiles::One(path.to_owned()), database(5_000)), package)
}

#[test]
fn a_geopackage_holds_several_tables_of_tiles() {
    let scratch = Scratch::new();
    let path = scratch.path().join("c.gpkg");
    let (a, b) = (packed(&path, package("a", |_| {})), packed(&path, package("b-2", |_| {})));
    assert_eq!(bytes_of(&a, &tile(1, 2, 3)), None);
    a.store(&tile(1, 2, 3), b"of a", None).unwrap();
    assert_eq!(bytes_of(&b, &tile(1, 2, 3)), None);
    b.store(&tile(1, 2, 3), b"of b", None).unwrap();
    b.store(&tile(1, 2, 3), b"new of b", None).unwrap();
    assert_eq!(bytes_of(&a, &tile(1, 2, 3)).as_deref(), Some(&b"of a"[..]));
    assert_eq!(bytes_of(&b, &tile(1, 2, 3)).as_deref(), Some(&b"new of b"[..]));
    assert!(!a.has_times());
    a.remove(&tile(1, 2, 3)).unwrap();
    assert_eq!(bytes_of(&a, &tile(1, 2, 3)), None);
    let connection = Connection::open(&path).unwrap();
    let told = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(told("SELECT application_id || '' FROM pragma_application_id"), "1196437808");
    assert_eq!(
        told("SELECT group_concat(table_name || ' ' || data_type || ' ' || srs_id, ', ') FROM gpkg_contents"),
        "a tiles 3857, b-2 tiles 3857"
    );
    let levels = "SELECT count(*) || ' ' || max(matrix_width) || ' ' || min(tile_width) \
                  FROM gpkg_tile_matrix WHERE table_name = 'a'";
    assert_eq!(told(levels), "20 524288 256");
    assert_eq!(told("SELECT count(*) || '' FROM pragma_foreign_key_check"), "0");
    assert_eq!(a.lock_id().len(), 4 + 32);
    let by_level = RowStore::geopackage(
        options(RowFiles::Levels(scratch.path().join("l")), database(1_000)),
        package("a", |_| {}),
    );
    by_level.store(&tile(0, 0, 0), b"tile", None).unwrap();
    assert!(scratch.path().join("l/0.gpkg").is_file());
    assert!(by_level.lock_id().starts_with("gpkg-"));
}

#[test]
fn a_geopackage_of_another_grid_is_neither_read_nor_written() {
    let scratch = Scratch::new();
    let path = scratch.path().join("c.gpkg");
    packed(&path, package("a", |_| {})).store(&tile(0, 0, 0), b"tile", None).unwrap();
    let before = fs::read(&path).unwrap();
    for (package, word) in [
        (package("a", |o| o.srs = Some(crate::geo::Srs::parse("EPSG:4326").unwrap())), "is in EPSG:3857"),
        (package("a", |o| o.tile_size = Some((512, 512))), "tiles of 256×256 pixels"),
        (package("a", |o| o.res_factor = Some(3.0)), "level 1 of its table a has"),
    ] {
        let store = packed(&path, package);
        for error in [said(store.load(&tile(0, 0, 0))), said(store.store(&tile(0, 0, 0), b"other", None))] {
            assert!(error.contains(word), "{error}");
        }
    }
    assert!(fs::read(&path).unwrap() == before);
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE gpkg_contents SET data_type = 'features'", []).unwrap();
    drop(connection);
    assert!(said(packed(&path, package("a", |_| {})).load(&tile(0, 0, 0))).contains("holds features"));
}
