//! Behind real web servers (issue criterion "in front"): one set of requests
//! gets the same bytes through each of them as asked directly. This file has
//! the set and the comparison; `front_nginx.rs`, `front_apache.rs` and
//! `front_haproxy.rs` have the servers.

use crate::harness::daemon::Setup;
use crate::harness::front::{Front, put};
use crate::harness::snippet::{blocks, etc, snippet};
use crate::harness::{Client, Daemon, Reply, TestDir, Upstream, painted};
use crate::smoke::painted_map;

pub const HOST: &str = "maps.example.org";

/// Fields that belong to a connection or a moment: never compared.
const OF_THE_MOMENT: &[&str] = &["connection", "keep-alive", "date"];

/// How a front server publishes the daemon.
pub struct Published<'a> {
    /// As clients write it into Host, and as documents must print it.
    pub host: String,
    /// Empty, or where the maps are below the host: `/proxy`.
    pub prefix: &'a str,
    /// Fields that this server adds to an answer or makes anew, in small letters.
    pub own_fields: &'a [&'a str],
    /// Fields that it adds only where the daemon sends none.
    pub added_fields: &'a [&'a str],
}

impl Published<'_> {
    /// Under the whole of a host, the port in its address.
    pub fn at_port(front: &Front) -> Published<'static> {
        Published {
            host: format!("{HOST}:{}", front.port()),
            prefix: "",
            own_fields: &["server"],
            added_fields: &[],
        }
    }
}

/// One request of the set; `{etag}` stands for that of the painted tile.
struct Asked {
    method: &'static str,
    path: String,
    fields: &'static str,
    body: String,
    status: u16,
}

fn asked(status: u16, method: &'static str, path: impl Into<String>, fields: &'static str) -> Asked {
    Asked { method, path: path.into(), fields, body: String::new(), status }
}

fn get(path: impl Into<String>) -> Asked {
    asked(200, "GET", path, "")
}

const TILE: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";
const CAPABILITIES: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities";
const MAP: &str = "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                   &BBOX=1000000,5000000,3000000,7000000&WIDTH=300&HEIGHT=300&FORMAT=image/png";

fn requests() -> Vec<Asked> {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    vec![
        get(CAPABILITIES),
        get("/service?service=WMS&version=1.3.0&request=GetCapabilities"),
        get("/service?SERVICE=WMTS&REQUEST=GetCapabilities&VERSION=1.0.0"),
        get("/wmts/1.0.0/WMTSCapabilities.xml"),
        get("/tms/1.0.0/"),
        get("/tms/1.0.0/painted/EPSG3857"),
        get(format!("/service?{MAP}")),
        get(format!("/service?{}", MAP.replace("image/png", "image%2Fjpeg"))),
        get("/service?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=painted&STYLE=&FORMAT=image/png\
             &TILEMATRIXSET=GLOBAL_WEBMERCATOR&TILEMATRIX=05&TILECOL=17&TILEROW=11"),
        get(TILE),
        get("/tms/1.0.0/painted/EPSG3857/4/17/20.png"),
        get("/kml/painted/EPSG3857/0/0/0.kml"),
        get("/demo/"),
        get("/demo/?wms_layer=painted&format=png&srs=EPSG%3A3857"),
        asked(304, "GET", TILE, "If-None-Match: {etag}\r\n"),
        asked(200, "GET", TILE, "If-None-Match: \"another\"\r\n"),
        asked(206, "GET", TILE, "Range: bytes=100-299\r\n"),
        asked(416, "GET", TILE, "Range: bytes=9999999-\r\n"),
        asked(200, "HEAD", TILE, ""),
        asked(200, "HEAD", CAPABILITIES, ""),
        Asked { body: MAP.to_owned(), ..asked(200, "POST", "/service", form) },
        asked(204, "OPTIONS", "/service", "Origin: http://a.test\r\nAccess-Control-Request-Method: POST\r\n"),
        asked(404, "GET", "/nothing/here", ""),
        asked(404, "GET", "/nothing/%C3%A4%20b", ""),
        asked(400, "GET", "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/999999.png", ""),
        asked(500, "GET", format!("/service?{}", MAP.replace("LAYERS=painted", "LAYERS=absent")), ""),
        get(format!("/service?{MAP}&NOTE={}", "long%20".repeat(900))),
        asked(200, "GET", CAPABILITIES, "Accept-Encoding: gzip\r\n"),
    ]
}

/// Bytes of a request as a client of `host` sends it.
fn bytes(asked: &Asked, prefix: &str, host: &str, further: &str, etag: &str) -> String {
    let length = match asked.body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!(
        "{} {prefix}{} HTTP/1.1\r\nHost: {host}\r\n{}{further}{length}\r\n{}",
        asked.method,
        asked.path,
        asked.fields.replace("{etag}", etag),
        asked.body
    )
}

/// The daemon behind all of these tests' servers, on pictures that bear their address.
pub fn painted_daemon(dir: &TestDir, upstream: &Upstream, daemon_yaml: &str) -> Daemon {
    Setup::new(dir, painted_map(upstream)).daemon_yaml(daemon_yaml).start()
}

/// The same with further entries of `listen`.
pub fn listening_daemon(dir: &TestDir, upstream: &Upstream, listen: &str) -> Daemon {
    let setup = Setup::new(dir, painted_map(upstream));
    Setup { listener_yaml: listen.to_owned(), ..setup }.start()
}

fn read(client: &mut Client, request: &str) -> Reply {
    client.send(request).expect("the server reads");
    client.read_reply(request.starts_with("HEAD ")).unwrap_or_else(|end| panic!("{end:?} after\n{request}"))
}

/// What is compared of an answer's head: names in small letters, sorted.
fn compared_fields(reply: &Reply, own_fields: &[&str]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = reply
        .headers
        .iter()
        // Apache writes lists without blanks.
        .map(|(name, value)| (name.to_ascii_lowercase(), value.replace(", ", ",")))
        .filter(|(name, _)| {
            let name = name.as_str();
            !OF_THE_MOMENT.contains(&name) && !own_fields.contains(&name)
        })
        .collect();
    fields.sort();
    fields
}

/// Asks the whole set directly and through the server, and compares; then
/// what clients must not be able to tell the daemon through the server.
pub fn check_same(daemon: &Daemon, front: &Front, published: &Published<'_>) {
    let host = &published.host;
    let script_name = match published.prefix {
        "" => String::new(),
        prefix => format!("X-Script-Name: {prefix}\r\n"),
    };
    let mut direct = daemon.client();
    let tile = read(&mut direct, &bytes(&get(TILE), "", host, "", ""));
    painted::check(&tile.body, 5, 17, 11).expect("the right tile");
    let etag = tile.header("etag").expect("a tile has an ETag").to_owned();
    let requests = requests();
    let answers: Vec<Reply> = requests
        .iter()
        .map(|asked| {
            let request = bytes(asked, "", host, &script_name, &etag);
            // Asked thrice: the first answers may be ones that were just made, by either worker.
            read(&mut daemon.client(), &request);
            read(&mut daemon.client(), &request);
            read(&mut daemon.client(), &request)
        })
        .collect();
    let mut faults = Vec::new();
    // Kept through all of the set, as clients do.
    let mut through = front.client();
    for (asked, ours) in requests.iter().zip(answers) {
        let theirs = read(&mut through, &bytes(asked, published.prefix, host, "", &etag));
        if theirs.closes() {
            through = front.client();
        }
        let what = format!("{} {:.100} {}", asked.method, asked.path, asked.fields.trim());
        let own = compared_fields(&ours, published.own_fields);
        let mut other = compared_fields(&theirs, published.own_fields);
        let is_added = |name: &str| published.added_fields.contains(&name) && ours.header(name).is_none();
        other.retain(|(name, _)| !is_added(name));
        if ours.status != asked.status {
            faults.push(format!("{what}: {} directly: {:.300}", ours.status, ours.text()));
        } else if ours.status != theirs.status {
            faults.push(format!(
                "{what}: {} directly, {} through: {:.300}",
                ours.status,
                theirs.status,
                theirs.text()
            ));
        } else if own != other {
            faults.push(format!("{what}:\n  directly {own:?}\n  through  {other:?}"));
        } else if ours.body != theirs.body {
            faults.push(format!(
                "{what}: {} bytes directly, {} through\n{:.600}\n{:.600}",
                ours.body.len(),
                theirs.body.len(),
                ours.text(),
                theirs.text()
            ));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    check_addresses(front, published);
}

/// The addresses in capabilities are those under which the server is
/// reached, whatever a client claims, and a map is there.
fn check_addresses(front: &Front, published: &Published<'_>) {
    let (host, prefix) = (&published.host, published.prefix);
    let forged = "X-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 666\r\nX-Forwarded-Prefix: /evil\r\n\
                  X-Script-Name: /evil\r\nForwarded: host=evil.test;proto=gopher\r\n";
    let mut client = front.client();
    let capabilities = get(CAPABILITIES);
    let reply = read(&mut client, &bytes(&capabilities, prefix, host, forged, ""));
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    assert!(!text.contains("evil") && !text.contains("666"), "a client decides about addresses:\n{text}");
    let address = format!("http://{host}{prefix}/service");
    assert!(text.contains(&address), "no {address} in\n{text}");
    let map = read(&mut front.client(), &bytes(&get(format!("/service?{MAP}")), prefix, host, "", ""));
    assert_eq!((map.status, map.content_type()), (200, "image/png"), "{}", map.text());
}

#[test]
fn the_document_shows_what_is_tested() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let tests: String = std::fs::read_dir(directory)
        .expect("the suite")
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "rs"))
        .map(|entry| std::fs::read_to_string(entry.path()).expect("a readable test"))
        .collect();
    let mut faults = Vec::new();
    let blocks = blocks();
    for block in &blocks {
        let place = format!("docs/deploy.md:{} {}", block.line, block.name);
        if block.name.is_empty() {
            faults.push(format!("{place}: a block without a name, so no test runs it"));
        } else if block.name.strip_prefix("etc/").is_some_and(|file| etc(file) != block.text) {
            faults.push(format!("{place}: differs from the file"));
        }
        if !tests.contains(&format!("\"{}\"", block.name)) {
            faults.push(format!("{place}: no test runs it"));
        }
    }
    assert!(blocks.len() > 3, "only {} blocks", blocks.len());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Runs the commands of a block, `/srv/maps` being this directory; the last
/// one is handed back: it is the daemon.
fn run_commands(block: &str, home: &std::path::Path) -> Vec<String> {
    let text = put(&snippet(block), "/srv/maps", &home.display().to_string());
    let mut lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    let last = lines.pop().expect("a command");
    for words in &lines {
        assert_eq!(words[0], "rhumb");
        let status = std::process::Command::new(env!("CARGO_BIN_EXE_rhumb")).args(&words[1..]).status();
        assert!(status.expect("rhumb runs").success(), "{words:?}");
    }
    last[1..].to_vec()
}

#[test]
fn what_is_created_is_what_the_document_shows_and_serves() {
    let dir = TestDir::new("front-create");
    let home = dir.join("maps");
    let serve = run_commands("create", &home);
    for block in blocks().iter().filter(|block| block.name.starts_with("etc/")) {
        let created = std::fs::read_to_string(home.join(&block.name));
        assert_eq!(created.ok().as_deref(), Some(block.text.as_str()), "{}", block.name);
    }
    let config = home.join("etc/rhumb.yaml");
    let yaml = std::fs::read_to_string(&config).expect("a created file");
    std::fs::write(&config, put(&yaml, "127.0.0.1:8080", "127.0.0.1:0")).expect("another port");
    let daemon = Daemon::serve(&dir, &serve);
    let site = put(&snippet("etc/nginx.conf"), "127.0.0.1:8080;", &format!("{};", daemon.address));
    let nginx = Front::nginx(&dir, &site);
    let reply = nginx.client().get("/demo/").expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop(nginx);
    daemon.stop();
}

/// The number that follows a word in a text.
fn number_after(text: &str, word: &str) -> u64 {
    let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("no {word:?} in\n{text}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {word:?}"))
}

/// Who is in front gives up an idle connection first, and waits for a map at
/// least as long as the daemon works on one.
#[test]
fn times_of_servers_in_front_fit_those_of_the_daemon() {
    let limits = rhumb::conf::daemon::Limits::default();
    for (file, word) in [
        ("nginx.conf", "keepalive_timeout"),
        ("nginx-fastcgi.conf", "keepalive_timeout"),
        ("apache.conf", "ttl="),
        ("haproxy.cfg", "timeout http-keep-alive"),
        ("haproxy.cfg", "pool-purge-delay"),
    ] {
        let idle_s = number_after(&etc(file), word);
        assert!(idle_s * 1000 < limits.keep_alive_idle_ms, "{file}: {word} {idle_s}");
    }
    for (file, word) in [
        ("nginx.conf", "proxy_read_timeout"),
        ("nginx-fastcgi.conf", "fastcgi_read_timeout"),
        ("nginx-uwsgi.conf", "uwsgi_read_timeout"),
        ("nginx-scgi.conf", "scgi_read_timeout"),
        ("apache.conf", " timeout="),
        ("apache-fcgi.conf", " timeout="),
        ("apache-fcgid.conf", "FcgidIOTimeout"),
        ("haproxy.cfg", "timeout server"),
    ] {
        let wait_s = number_after(&etc(file), word);
        assert!(wait_s * 1000 >= limits.render_stuck_ms, "{file}: {word} {wait_s}");
    }
    // Both of them out of one file: HAProxy is done with a host before its connections end.
    let hosts = snippet("hosts/rhumb.yaml");
    let (inter_s, fall) =
        (number_after(&etc("haproxy.cfg"), " inter"), number_after(&etc("haproxy.cfg"), " fall"));
    assert!(number_after(&hosts, "stop_delay_ms:") > (inter_s * fall + 1) * 1000);
    assert_eq!(number_after(&etc("apache-fcgid.conf"), "FcgidMaxRequestLen"), limits.body_bytes as u64);
}
