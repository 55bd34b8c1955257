//! MapProxy 7.0.0 and rhumb on the same SQLite files at the same time.

use rusqlite::Connection;

use crate::harness::{Upstream, painted};
use crate::shared_cache::{Pair, Server, block, crowd, seeder, target};

const KINDS: [(&str, &str); 6] = [
    ("one", "cache: {type: mbtiles}"),
    ("one_wal", "cache: {type: mbtiles, sqlite_wal: true}"),
    ("levels", "cache: {type: sqlite}"),
    ("levels_wal", "cache: {type: sqlite, sqlite_wal: true}"),
    ("package", "cache: {type: geopackage}"),
    ("packages", "cache: {type: geopackage, levels: true}"),
];

fn pair(test: &str) -> Pair {
    let caches: Vec<(&str, String)> = KINDS.iter().map(|(name, keys)| (*name, (*keys).to_owned())).collect();
    Pair::start(test, Upstream::start(), &caches)
}

/// The file that holds the tiles of a level.
fn database(pair: &Pair, cache: &str, level: u32) -> Connection {
    let name = match cache {
        "one" | "one_wal" => format!("cache/{cache}.mbtiles"),
        "package" => format!("cache/{cache}.gpkg"),
        "packages" => format!("cache/{cache}/GLOBAL_WEBMERCATOR/{level}.gpkg"),
        _ => format!("cache/{cache}/GLOBAL_WEBMERCATOR/{level}.mbtiles"),
    };
    Connection::open(pair.dir.join(name)).expect("a database")
}

fn journal_mode(connection: &Connection) -> String {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("a journal mode")
}

#[test]
fn a_row_made_by_either_is_served_by_the_other() {
    let pair = pair("databases-either");
    let mut asked = 0;
    for (name, _) in KINDS {
        // Each makes the file of its level where there is one for each.
        for (maker, server, level) in
            [(Server::Rhumb, Server::MapProxy, 5), (Server::MapProxy, Server::Rhumb, 6)]
        {
            let made = pair.get(maker, &target(name, level, 17, 10));
            painted::check(&made, level, 17, 10).unwrap_or_else(|e| panic!("{maker:?} {name}: {e}"));
            asked += 1;
            assert_eq!(pair.upstream.count(), asked, "{maker:?} {name} made one meta tile");
            for (x, y) in block(16, 8) {
                let bytes = pair.get(server, &target(name, level, x, y));
                painted::check(&bytes, level, x, y).unwrap_or_else(|e| panic!("{server:?} {name}: {e}"));
            }
            assert_eq!(pair.upstream.count(), asked, "{server:?} has {name} from the file");
            let mode = if name.ends_with("wal") { "wal" } else { "delete" };
            assert_eq!(journal_mode(&database(&pair, name, level)), mode, "{maker:?} {name}");
        }
    }
    pair.stop();
}

#[test]
fn times_and_schemas_are_the_same() {
    let pair = pair("databases-times");
    let told = |level: u32| {
        pair.get(if level == 5 { Server::Rhumb } else { Server::MapProxy }, &target("levels", level, 17, 10));
        let connection = database(&pair, "levels", level);
        let mut statement = connection
            .prepare("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name")
            .expect("a schema");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let tables: Vec<(String, String, String)> =
            rows.expect("rows").map(|row| row.expect("a row")).collect();
        let columns = connection.prepare("SELECT * FROM tiles").expect("tiles");
        let columns: Vec<String> = columns.column_names().map(str::to_owned).collect();
        let sql = "SELECT count(*) FROM tiles \
                   WHERE abs(strftime('%s', 'now', 'localtime') - strftime('%s', last_modified)) < 3600 \
                   AND length(last_modified) = 19";
        let timed: i64 = connection.query_row(sql, [], |row| row.get(0)).expect("a count");
        (tables, columns, timed)
    };
    let (ours, theirs) = (told(5), told(6));
    assert_eq!(ours, theirs);
    assert_eq!(ours.2, 16, "every row bears local time");
    // Both tell clients the same time and, but for its quotes, the same tag.
    for level in [5, 6] {
        let target = target("levels", level, 17, 10);
        let (ours, theirs) = (pair.daemon.get(&target), pair.mapproxy.get(&target));
        assert!(ours.body == theirs.body);
        assert_eq!(ours.header("last-modified"), theirs.header("last-modified"));
        let tag = theirs.header("etag").expect("a tag").trim_matches('"').to_owned();
        assert_eq!(ours.header("etag"), Some(format!("\"{tag}\"").as_str()));
    }
    pair.stop();
}

/// Level 5 is made by rhumb and level 6 by MapProxy.
#[test]
fn geopackages_of_both_say_the_same() {
    let pair = pair("databases-package");
    let told = |level: u32| {
        pair.get(
            if level == 5 { Server::Rhumb } else { Server::MapProxy },
            &target("packages", level, 17, 10),
        );
        let connection = database(&pair, "packages", level);
        let rows = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).expect("a query");
            let rows = statement.query_map([], |row| row.get(0)).expect("rows");
            rows.map(|row| row.expect("a row")).collect()
        };
        [
            rows("SELECT type || ' ' || tbl_name FROM sqlite_master ORDER BY 1"),
            rows(
                "SELECT m.name || '.' || p.name || ' ' || p.type || ' ' || p.pk FROM sqlite_master m, \
                  pragma_table_info(m.name) p WHERE m.type = 'table' ORDER BY 1",
            ),
            rows(
                "SELECT table_name || ' ' || data_type || ' ' || identifier || ' ' || srs_id || ' ' || min_x || ' ' || \
                  min_y || ' ' || max_x || ' ' || max_y FROM gpkg_contents",
            ),
            rows(
                "SELECT table_name || ' ' || srs_id || ' ' || min_x || ' ' || max_y FROM gpkg_tile_matrix_set",
            ),
            rows(
                "SELECT table_name || ' ' || zoom_level || ' ' || matrix_width || ' ' || matrix_height || ' ' || \
                  tile_width || ' ' || tile_height || ' ' || round(pixel_x_size, 9) || ' ' || round(pixel_y_size, 9) \
                  FROM gpkg_tile_matrix ORDER BY zoom_level",
            ),
            rows(
                "SELECT srs_id || ' ' || organization || ' ' || organization_coordsys_id \
                  FROM gpkg_spatial_ref_sys ORDER BY srs_id",
            ),
            rows("SELECT application_id || '' FROM pragma_application_id")
                .into_iter()
                .chain(rows("PRAGMA integrity_check"))
                .collect(),
        ]
    };
    for (ours, theirs) in told(5).iter().zip(&told(6)) {
        assert_eq!(ours, theirs);
    }
    pair.stop();
}

#[test]
fn both_name_the_locks_of_databases_alike() {
    let pair = pair("databases-locks");
    let mut asked = 0;
    for (name, _) in KINDS {
        let mut names = Vec::new();
        for server in [Server::Rhumb, Server::MapProxy] {
            pair.upstream.hold();
            let target = target(name, 5, 17, 10);
            asked += 1;
            std::thread::scope(|scope| {
                let answer = scope.spawn(|| pair.get(server, &target));
                pair.upstream.await_count(asked);
                names.push(pair.locks());
                pair.upstream.release();
                painted::check(&answer.join().expect("an answer"), 5, 17, 10).expect("the right tile");
            });
            assert!(pair.locks().is_empty(), "{server:?} has left {:?}", pair.locks());
            let table =
                if name.starts_with("pack") { format!("{name}_GLOBAL_WEBMERCATOR") } else { "tiles".into() };
            let gone = database(&pair, name, 5).execute(&format!("DELETE FROM {table}"), []);
            assert_eq!(gone, Ok(16), "{server:?} {name}");
        }
        assert_eq!(names[0].len(), 1, "{name}: {names:?}");
        assert_eq!(names[0], names[1], "{name}");
    }
    pair.stop();
}

#[test]
fn fifty_clients_of_both_cost_one_request_for_a_database() {
    let pair = pair("databases-crowd");
    for (round, (name, _)) in KINDS.iter().enumerate() {
        crowd(&pair, name, 4 * round as u32);
    }
    pair.stop();
}

/// `mapproxy-seed` seeds a level, and removes its file while it is in use.
#[test]
fn levels_are_seeded_and_removed_under_a_running_daemon() {
    let pair = pair("databases-seed");
    let seeding = pair.dir.write(
        "seed.yaml",
        "seeds:\n  all: {caches: [levels, levels_wal], levels: [3]}\n\
         cleanups:\n  gone: {caches: [levels, levels_wal], levels: [3], remove_all: true}\n",
    );
    let map = pair.dir.join("mapproxy.yaml");
    let names = ["levels", "levels_wal"];
    for name in names {
        pair.get(Server::Rhumb, &target(name, 3, 1, 1));
    }
    for round in 0..2 {
        assert!(seeder(&map, &seeding, ["--seed", "ALL"]).wait().expect("a seeder").success());
        let asked = pair.upstream.count();
        for name in names {
            for (x, y) in (0..8).flat_map(|x| (0..8).map(move |y| (x, y))) {
                let bytes = pair.get(Server::Rhumb, &target(name, 3, x, y));
                painted::check(&bytes, 3, x, y).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
        assert_eq!(pair.upstream.count(), asked, "{round}: all of it was seeded");
        assert!(seeder(&map, &seeding, ["--cleanup", "ALL"]).wait().expect("a cleaner").success());
        for name in names {
            let path = pair.dir.join(format!("cache/{name}/GLOBAL_WEBMERCATOR/3.mbtiles"));
            assert!(!path.exists(), "{round}: {name} was removed");
            pair.get(Server::Rhumb, &target(name, 3, 1, 1));
            assert!(path.exists(), "{round}: {name} was made anew");
            let found = database(&pair, name, 3).query_row("PRAGMA integrity_check", [], |row| row.get(0));
            assert_eq!(found, Ok("ok".to_owned()), "{name}");
        }
        assert_eq!(pair.upstream.count(), asked + 2, "{round}: what was removed was asked for again");
    }
    pair.stop();
}
