//! Behind real lighttpd with FastCGI (issue criterion 1): over a socket file,
//! over TCP, and spawned by lighttpd itself. Each time the address found in
//! the capabilities leads to a map.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::front::{Published, check_same};
use crate::harness::daemon::Setup;
use crate::harness::front::{Front, put};
use crate::harness::snippet::snippet;
use crate::harness::{Daemon, Reply, TestDir, Upstream, await_some, painted, silent};
use crate::smoke::painted_map;

const HOST: &str = "maps.example.org";

/// As the issue has it, to the letter.
const SOCKET_FILE: &str = r#"server.modules += ( "mod_fastcgi" )

$HTTP["host"] == "maps.example.org" {
  fastcgi.server += (
    "/proxy" => ((
      "check-local" => "disable",
      "socket"      => "/srv/maps/var/fcgi-socket"
    ))
  )
}
"#;

fn ask(front: &Front, method: &str, target: &str, body: &str) -> Reply {
    let form = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"),
    };
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n{form}\r\n{body}");
    let mut client = front.client();
    client.send(request).expect("lighttpd reads");
    client.read_reply(method == "HEAD").unwrap_or_else(|end| panic!("{target}: {end:?}"))
}

/// The address of GetMap in capabilities of WMS 1.1.1.
fn map_address(capabilities: &str) -> String {
    let request = capabilities.split("<GetMap>").nth(1).expect("GetMap in the capabilities");
    let address = request.split("xlink:href=\"").nth(1).and_then(|rest| rest.split('"').next());
    address.expect("its address").to_owned()
}

/// WMS answers below the prefix, its capabilities carry host and prefix, and
/// the address in them gives the right map; so do the other services.
fn check_site(front: &Front, prefix: &str) {
    let capabilities =
        ask(front, "GET", &format!("{prefix}/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities"), "");
    assert_eq!(capabilities.status, 200, "{}", capabilities.text());
    let address = map_address(&capabilities.text());
    assert_eq!(address, format!("http://{HOST}{prefix}/service?"));
    let target = address.strip_prefix(&format!("http://{HOST}")).expect("the host");
    let side = 2.0 * painted::MERC / 32.0;
    let (west, north) = (-painted::MERC + 17.0 * side, painted::MERC - 11.0 * side);
    let form = format!(
        "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
         &BBOX={west},{},{},{north}&WIDTH=256&HEIGHT=256&FORMAT=image/png",
        north - side,
        west + side
    );
    let map = ask(front, "GET", &format!("{target}{form}"), "");
    assert_eq!((map.status, map.content_type()), (200, "image/png"), "{}", map.text());
    painted::check(&map.body, 5, 17, 11).expect("the right map");
    let posted = ask(front, "POST", target.trim_end_matches('?'), &form);
    painted::check(&posted.body, 5, 17, 11).expect("the right map, asked by POST");
    let tile = ask(front, "GET", &format!("{prefix}/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png"), "");
    painted::check(&tile.body, 5, 17, 11).expect("the right tile");
    let head = ask(front, "HEAD", &format!("{prefix}/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png"), "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for (target, part) in [
        ("/wmts/1.0.0/WMTSCapabilities.xml", format!("template=\"http://{HOST}{prefix}/wmts/")),
        ("/tms/1.0.0/", format!("href=\"http://{HOST}{prefix}/tms/1.0.0/painted/EPSG3857\"")),
        ("/demo/", format!("{HOST}{}/service<", prefix.replace('/', "&#x2f;"))),
        (if prefix.is_empty() { "/" } else { "" }, "Welcome".to_owned()),
    ] {
        let reply = ask(front, "GET", &format!("{prefix}{target}"), "");
        assert!(reply.status == 200 && reply.text().contains(&part), "{target}: {part}\n{}", reply.text());
    }
    let nothing = ask(front, "GET", &format!("{prefix}/nothing/here"), "");
    assert_eq!(nothing.status, 404, "{}", nothing.text());
}

fn start(dir: &TestDir, upstream: &Upstream, listen: &str) -> Daemon {
    std::fs::create_dir_all(dir.join("var")).expect("a directory");
    Setup::new(dir, painted_map(upstream)).listen(listen).start()
}

#[test]
fn over_a_socket_file() {
    let (dir, upstream) = (TestDir::new("lighttpd-socket"), Upstream::start());
    let daemon = start(&dir, &upstream, "fastcgi: var/fcgi-socket");
    let front = Front::lighttpd(&dir, &put(SOCKET_FILE, "/srv/maps", &dir.path().display().to_string()));
    check_site(&front, "/proxy");
    drop(front);
    daemon.stop();
}

#[test]
fn over_tcp() {
    let (dir, upstream) = (TestDir::new("lighttpd-tcp"), Upstream::start());
    let daemon = start(&dir, &upstream, "fastcgi: '127.0.0.2:0'");
    let log = daemon.log();
    let port: String = log
        .split("fastcgi on 127.0.0.2:")
        .nth(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
        .expect("the place in the log");
    let site = put(
        SOCKET_FILE,
        "\"socket\"      => \"/srv/maps/var/fcgi-socket\"",
        &format!("\"host\" => \"127.0.0.2\",\n      \"port\" => {port}"),
    );
    let front = Front::lighttpd(&dir, &site);
    check_site(&front, "/proxy");
    drop(front);
    daemon.stop();
}

/// Other ways to mount: a prefix with a slash at its end, the whole host with
/// and without `fix-root-scriptname`, and a prefix that rhumb is told.
#[test]
fn mounted_otherwise() {
    let (dir, upstream) = (TestDir::new("lighttpd-mounts"), Upstream::start());
    std::fs::create_dir_all(dir.join("var")).expect("a directory");
    let daemon = Setup::new(&dir, painted_map(&upstream))
        .listen("fastcgi: var/fcgi-socket")
        .listen("fastcgi: var/told-socket, prefix: /wms")
        .listen("scgi: var/scgi-socket")
        .start();
    let socket = |name: &str| {
        format!("\"check-local\" => \"disable\", \"socket\" => \"{}\"", dir.join(name).display())
    };
    let fastcgi = |mount: &str, more: &str, name: &str| {
        format!(
            "server.modules += ( \"mod_fastcgi\" )\nfastcgi.server = ( \"{mount}\" => (( {}{more} )) )\n",
            socket(name)
        )
    };
    for (site, prefix) in [
        (fastcgi("/", "", "var/fcgi-socket"), ""),
        (fastcgi("/", ", \"fix-root-scriptname\" => \"enable\"", "var/fcgi-socket"), ""),
        (fastcgi("/wms", "", "var/told-socket"), "/wms"),
        (
            format!(
                "server.modules += ( \"mod_scgi\" )\nscgi.server = ( \"/proxy\" => (( {} )) )\n",
                socket("var/scgi-socket")
            ),
            "/proxy",
        ),
    ] {
        let front = Front::lighttpd(&dir, &site);
        check_site(&front, prefix);
    }
    let front = Front::lighttpd(&dir, &fastcgi("/proxy/", "", "var/fcgi-socket"));
    let capabilities =
        ask(&front, "GET", "/proxy/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities", "");
    assert_eq!(map_address(&capabilities.text()), format!("http://{HOST}/proxy/service?"));
    drop(front);
    daemon.stop();
}

/// The file of etc/ is what the others are made of; no byte is changed on the
/// way, and nobody is believed who says what only lighttpd knows.
#[test]
fn the_file_in_etc() {
    let (dir, upstream) = (TestDir::new("lighttpd-etc"), Upstream::start());
    std::fs::create_dir_all(dir.join("var")).expect("a directory");
    let cache = dir.join("cache_data");
    let map = format!("{}globals: {{cache: {{base_dir: {}}}}}\n", painted_map(&upstream), cache.display());
    // This one is asked directly, and is told its prefix by a field.
    let direct_dir = TestDir::new("lighttpd-direct");
    let direct = Setup::new(&direct_dir, map.clone()).start();
    let daemon = Setup::new(&dir, map)
        .listen("fastcgi: var/fcgi-socket")
        .daemon_yaml(&snippet("lighttpd/rhumb.yaml"))
        .start();
    let site = put(&snippet("etc/lighttpd.conf"), "/srv/maps", &dir.path().display().to_string());
    let front = Front::lighttpd(&dir, &site);
    check_site(&front, "/proxy");
    let own_fields = &["server", "accept-ranges"];
    let published = Published { host: HOST.to_owned(), prefix: "/proxy", own_fields, added_fields: &[] };
    check_same(&direct, &front, &published);
    drop(front);
    direct.stop();
    daemon.stop();
}

/// lighttpd starts rhumb with the socket on descriptor 0.
#[test]
fn spawned() {
    let (dir, upstream) = (TestDir::new("lighttpd-spawned"), Upstream::start());
    std::fs::create_dir_all(dir.join("var")).expect("a directory");
    dir.write("mapproxy.yaml", painted_map(&upstream));
    // What a daemon of its own would need is passed over.
    dir.write(
        "rhumb.yaml",
        format!(
            "maps: mapproxy.yaml\nlisten:\n  - http: 127.0.0.1:1\nworkers: 2\npid_file: {0}/rhumb.pid\n\
             control: {0}/control.sock\nlog: {{error: {0}/error.log, access: {0}/access.log}}\n",
            dir.path().display()
        ),
    );
    let program = format!("{} serve -c {}", env!("CARGO_BIN_EXE_rhumb"), dir.join("rhumb.yaml").display());
    let site = put(
        SOCKET_FILE,
        "\"socket\"      => \"/srv/maps/var/fcgi-socket\"",
        &format!(
            "\"socket\" => \"{}\",\n      \"bin-path\" => \"{program}\",\n      \"max-procs\" => 1",
            dir.join("var/fcgi-socket").display()
        ),
    );
    let front = Front::lighttpd(&dir, &site);
    check_site(&front, "/proxy");
    let log = || std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
    assert!(log().contains("ready: 2 workers, fastcgi on"), "{}", log());
    for absent in ["rhumb.pid", "control.sock"] {
        assert!(!dir.join(absent).exists(), "{absent}");
    }
    let master = *silent::children(front.pid()).first().expect("lighttpd's child");
    // SIGHUP works there as everywhere.
    let old = silent::children(master);
    kill(Pid::from_raw(master as i32), Signal::SIGHUP).expect("it is there");
    await_some("new workers", || {
        let workers = silent::children(master);
        (workers.len() == 2 && !workers.iter().any(|w| old.contains(w))).then_some(())
    });
    check_site(&front, "/proxy");
    // It leaves with the server that started it.
    kill(Pid::from_raw(front.pid() as i32), Signal::SIGTERM).expect("lighttpd is there");
    await_some("rhumb to leave", || log().contains("done").then_some(()));
    await_some("the workers to leave", || silent::children(master).is_empty().then_some(()));
    drop(front);
    silent::check_log(&log());
}
