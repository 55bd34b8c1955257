//! Keys of the daemon's file that no other test shows: sockets, logs, watching,
//! and who is who.

use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::harness::daemon::Setup;
use crate::harness::painted;
use crate::harness::upstream::Answer;
use crate::harness::{Daemon, TestDir, Upstream, await_some};
use crate::smoke::painted_map;

const TILE: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";
const MAP: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                   &BBOX=0,0,5000000,5000000&WIDTH=64&HEIGHT=64&FORMAT=image/png";

#[test]
fn sockets_have_the_mode_that_the_file_says() {
    for mode in [0o620, 0o666] {
        let dir = TestDir::new("file-mode");
        let daemon = Setup::embedded(&dir).listen(&format!("http: at.socket, mode: 0{mode:o}")).start();
        let found = std::fs::metadata(dir.join("at.socket")).expect("the socket").permissions().mode();
        assert_eq!(found & 0o777, mode);
        daemon.stop();
    }
}

#[test]
fn logs_go_where_the_file_says_and_look_as_it_says() {
    for (format, line) in [("combined", "\"GET /nothing HTTP/1.1\" 404"), ("json", "\"target\":\"/nothing\"")]
    {
        let dir = TestDir::new("file-log");
        let upstream = Upstream::start();
        let config = dir.write(
            "own.yaml",
            format!(
                "maps: {}\nlisten: [{{http: '127.0.0.1:0'}}]\nworkers: 1\n\
                 log: {{access: asked.log, error: told.log, format: {format}}}\n",
                dir.write("map.yaml", painted_map(&upstream)).display()
            ),
        );
        let arguments = ["serve".to_owned(), "-c".to_owned(), config.display().to_string()];
        let daemon = Daemon::serve(&dir, &arguments);
        assert_eq!(daemon.get("/nothing").status, 404);
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        await_some("the request in its log", || read("asked.log").contains(line).then_some(()));
        let told = read("told.log");
        assert!(told.contains("ready") && told.starts_with('{') == (format == "json"), "{told}");
        daemon.stop();
    }
}

#[test]
fn a_changed_map_is_read_again_where_the_file_says_so() {
    let dir = TestDir::new("file-watch");
    let upstream = Upstream::start();
    let map = painted_map(&upstream);
    let daemon = Setup::new(&dir, map.clone()).workers(1).daemon_yaml("watch: true\n").start();
    let title = || daemon.get("/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities").text();
    assert!(title().contains("<Title>Painted</Title>"));
    daemon.replace(&daemon.map, &map.replace("title: Painted", "title: Changed"));
    await_some("the changed title", || title().contains("<Title>Changed</Title>").then_some(()));
    daemon.stop();
}

#[test]
fn maps_are_listed_where_the_file_says_so() {
    let upstream = Upstream::start();
    for (yaml, listed) in [("allow_listing: true\n", true), ("", false)] {
        let dir = TestDir::new("file-listing");
        dir.write("maps/city.yaml", painted_map(&upstream));
        let daemon = Setup::embedded(&dir).workers(1).daemon_yaml(&format!("maps: maps\n{yaml}")).start();
        assert_eq!(daemon.get("/").text().contains("/city/"), listed);
        daemon.stop();
    }
}

/// An image of one colour covers what lies below it, or half of it.
#[test]
fn decorations_cover_as_much_as_the_file_says() {
    let upstream = Upstream::start();
    for (opacity, covers) in [("1", true), ("0.5", false)] {
        let dir = TestDir::new("file-opacity");
        dir.write("mark.png", painted::png(&[255, 0, 255].repeat(16 * 16), 16, 16));
        let yaml = format!("decorate: [{{image: mark.png, place: centre, opacity: {opacity}}}]\n");
        let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).daemon_yaml(&yaml).start();
        let raster = crate::harness::compare::raster(&daemon.get(MAP).body).expect("a map");
        let found = raster.pixels.chunks_exact(4).any(|pixel| pixel == [255, 0, 255, 255]);
        assert_eq!(found, covers, "{opacity}");
        daemon.stop();
    }
}

fn sha256(key: &str) -> String {
    digest(&SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

/// A token of these claims that ended so many seconds ago.
fn token(mut claims: serde_json::Value, ended_s: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    claims["exp"] = json!(now.as_secs() - ended_s);
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).expect("a token")
}

/// Asks with a query and with header fields.
fn asked(daemon: &Daemon, target: &str, fields: &str) -> u16 {
    let mut client = daemon.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: maps.test\r\n{fields}\r\n")).expect("sent");
    client.read_reply(false).expect("an answer").status
}

/// Whether a map is shown under an `auth:` section.
fn check(name: &str, auth: &str, table: &[(&str, String, u16)]) {
    let dir = TestDir::new(name);
    let upstream = Upstream::start();
    let key = json!({"keys": [{"kty": "oct", "kid": "one", "k": URL_SAFE_NO_PAD.encode(SECRET)}]});
    dir.write("keys.json", key.to_string());
    dir.write("area.wkt", "POLYGON((5 45, 15 45, 15 55, 5 55, 5 45))");
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).daemon_yaml(auth).start();
    for (target, fields, status) in table {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        assert_eq!(asked(&daemon, target, &fields), *status, "{auth}\n{target} {fields}");
    }
    daemon.stop();
}

#[test]
fn keys_are_looked_for_where_the_file_says_and_name_whom_it_says() {
    let keys = format!(
        "keys: [{{sha256: {}, user: ann}}, {{sha256: {}, user: bob, groups: [staff]}}, {{sha256: {}, user: eve}}]",
        sha256("a"),
        sha256("b"),
        sha256("e")
    );
    let rules = "rules: [{users: [ann]}, {groups: [staff]}]";
    let header = |name: &str, key: &str| format!("{name}: {key}");
    check(
        "auth-keys",
        &format!("auth:\n  api_keys: {{{keys}}}\n  {rules}\n"),
        &[
            (TILE, header("X-Api-Key", "a"), 200),
            (TILE, header("X-Api-Key", "b"), 200),
            (TILE, header("X-Api-Key", "e"), 403),
            (TILE, header("X-Api-Key", "unknown"), 401),
            (&format!("{TILE}?api_key=a"), String::new(), 200),
            (TILE, header("X-Ours", "a"), 401),
        ],
    );
    check(
        "auth-keys-elsewhere",
        &format!("auth:\n  api_keys: {{header: X-Ours, parameter: ours, {keys}}}\n  {rules}\n"),
        &[
            (TILE, header("X-Ours", "a"), 200),
            (TILE, header("X-Api-Key", "a"), 401),
            (&format!("{TILE}?ours=b"), String::new(), 200),
            (&format!("{TILE}?api_key=b"), String::new(), 401),
        ],
    );
}

#[test]
fn tokens_are_believed_as_the_file_says() {
    let bearer =
        |claims: serde_json::Value, ended_s: u64| format!("Authorization: Bearer {}", token(claims, ended_s));
    let plain = json!({"sub": "ann", "groups": ["staff"]});
    let rules = "rules: [{groups: [staff]}]";
    let jwt = |more: &str| {
        format!("auth:\n  jwt: {{jwks_file: keys.json, algorithms: [HS256]{more}}}\n  {rules}\n")
    };
    check(
        "auth-token",
        &jwt(""),
        &[
            (TILE, bearer(plain.clone(), 0), 200),
            (TILE, bearer(json!({"sub": "ann"}), 0), 403),
            // A minute of grace.
            (TILE, bearer(plain.clone(), 600), 401),
            (&format!("{TILE}?token={}", token(plain.clone(), 0)), String::new(), 401),
        ],
    );
    check(
        "auth-token-algorithms",
        &jwt("").replace("HS256", "HS512"),
        &[(TILE, bearer(plain.clone(), 0), 401)],
    );
    let named = json!({"name": "ann", "roles": ["staff"], "iss": "us", "aud": "maps"});
    let without = |claim: &str, value: serde_json::Value| {
        let mut claims = named.clone();
        claims[claim] = value;
        claims
    };
    check(
        "auth-token-elsewhere",
        &jwt(
            ", user_claim: name, groups_claim: roles, issuer: us, audience: maps, leeway_s: 3600, parameter: token",
        ),
        &[
            (TILE, bearer(named.clone(), 600), 200),
            (TILE, bearer(without("iss", json!("them")), 0), 401),
            (TILE, bearer(without("aud", json!("other")), 0), 401),
            (TILE, bearer(without("name", json!(null)), 0), 401),
            (TILE, bearer(without("roles", json!(["guests"])), 0), 403),
            (&format!("{TILE}?token={}", token(named.clone(), 0)), String::new(), 200),
        ],
    );
}

#[test]
fn rules_fit_by_what_the_file_names() {
    let keys = format!("api_keys: {{keys: [{{sha256: {}, user: ann}}]}}", sha256("a"));
    let own = || "X-Api-Key: a".to_owned();
    let all = |tile: u16, map: u16| [(TILE, own(), tile), (MAP, own(), map)];
    for (rule, table) in [
        ("{who: signed_in}", all(200, 200).to_vec()),
        ("{who: anyone}", vec![(TILE, String::new(), 200)]),
        ("{users: [bob]}", all(403, 403).to_vec()),
        ("{who: anyone, maps: [other]}", all(403, 403).to_vec()),
        ("{who: anyone, services: [wms]}", all(403, 200).to_vec()),
        ("{who: anyone, layers: [other]}", all(403, 403).to_vec()),
        ("{who: anyone, features: [tile]}", all(200, 403).to_vec()),
        ("{who: anyone, services: [wmts], levels: {from: 6}}", all(403, 403).to_vec()),
        ("{who: anyone, services: [wmts], levels: {from: 2, to: 5}}", all(200, 403).to_vec()),
        ("{who: anyone, services: [wmts], levels: {to: 4}}", all(403, 403).to_vec()),
        ("{who: anyone, allow: false}", all(403, 403).to_vec()),
    ] {
        check("auth-rules", &format!("auth:\n  {keys}\n  rules: [{rule}]\n"), &table);
    }
}

/// The part of a map that an area leaves is painted, the rest is not.
#[test]
fn areas_are_given_as_numbers_or_as_a_file() {
    let upstream = Upstream::start();
    let degrees = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                   &BBOX=0,5000000,2000000,7000000&WIDTH=64&HEIGHT=64&FORMAT=image/png&TRANSPARENT=true";
    for (area, west_is_seen) in [
        ("{geometry: [5, 45, 15, 55], srs: 'EPSG:4326'}", false),
        ("{file: area.wkt, srs: 'EPSG:4326'}", false),
        ("{geometry: [0, 45, 15, 55], srs: 'EPSG:4326'}", true),
        ("{geometry: [0, 5000000, 1600000, 7000000], srs: 'EPSG:3857'}", true),
    ] {
        let dir = TestDir::new("auth-area");
        dir.write("area.wkt", "POLYGON((5 45, 15 45, 15 55, 5 55, 5 45))");
        let yaml = format!("auth: {{rules: [{{who: anyone, limited_to: {area}}}]}}\n");
        let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).daemon_yaml(&yaml).start();
        let raster = crate::harness::compare::raster(&daemon.get(degrees).body).expect("a map");
        let alpha = |x: u32| raster.pixel(x, 32)[3];
        assert_eq!((alpha(8) == 255, alpha(40), alpha(62)), (west_is_seen, 255, 0), "{area}");
        daemon.stop();
    }
}

#[test]
fn a_service_that_decides_is_asked_as_the_file_says() {
    let decides = Upstream::scripted(|_| {
        Answer::Full(
            200,
            vec!["Content-Type: application/json".into()],
            b"{\"authorized\": \"full\"}".to_vec(),
        )
    });
    let upstream = Upstream::start();
    let url = decides.url("/ask");
    for (more, times, extent, field) in [
        ("", 1, false, false),
        (", cache_s: 0", 2, false, false),
        (", with_extent: true", 1, true, false),
        (", fields: [X-Ours]", 1, false, true),
    ] {
        let dir = TestDir::new("auth-asked");
        let yaml = format!("auth: {{external: {{url: '{url}'{more}}}}}\n");
        let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).daemon_yaml(&yaml).start();
        let before = decides.count();
        for _ in 0..2 {
            assert_eq!(asked(&daemon, MAP, "X-Ours: told\r\n"), 200, "{more}");
        }
        let questions = decides.asked().split_off(before);
        let told = |text: &str| questions.iter().all(|question| question.body.contains(text));
        let (told_extent, told_field) = (!told("\"query_extent\":null"), told("\"X-Ours\":\"told\""));
        let found = (questions.len(), told_extent, told_field);
        assert_eq!(found, (times, extent, field), "{more}: {questions:?}");
        daemon.stop();
    }
    let dir = TestDir::new("auth-timeout");
    let with_password = url.replacen("://", "://user:secret@", 1);
    let yaml = format!("auth: {{external: {{url: '{with_password}', timeout_ms: 100}}}}\n");
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).daemon_yaml(&yaml).start();
    decides.hold();
    assert_eq!(asked(&daemon, MAP, ""), 503, "while the service says nothing");
    daemon.await_log(&format!("{url} cannot say who may see what"), 1);
    decides.release();
    daemon.stop();
}
