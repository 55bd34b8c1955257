//! From each way in which MapProxy is run to rhumb (docs/deploy.md): the site
//! before answers, the site after gives the same tile from the same cache,
//! and its capabilities carry the same address.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::harness::front::{Front, Program, put, unprivileged};
use crate::harness::peers::peer;
use crate::harness::port::Port;
use crate::harness::snippet::snippet;
use crate::harness::{Daemon, Reply, TestDir, Upstream, painted};
use crate::smoke::painted_map;

const TILE: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";

/// A block of the document in this test's directory: `/srv/mapproxy` and
/// `/srv/maps` are it, and the venv is that of the tests.
fn placed(dir: &TestDir, block: &str) -> String {
    snippet(block)
        .replace("/srv/mapproxy/venv", &peer("venv").display().to_string())
        .replace("/srv/mapproxy", &dir.path().display().to_string())
        .replace("/srv/maps", &dir.path().display().to_string())
}

/// What both programs serve.
fn lay_out(dir: &TestDir, upstream: &Upstream) {
    dir.write("mapproxy.yaml", painted_map(upstream));
    dir.write("config.py", placed(dir, "before/config.py"));
    std::fs::create_dir_all(dir.join("var")).expect("a directory for sockets");
    // MapProxy and Apache's processes store tiles as somebody else than root.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    for directory in [dir.path(), &dir.join("var")] {
        std::fs::set_permissions(directory, Clone::clone(&everybody)).expect("a directory for everybody");
    }
}

/// A command line of the document.
fn command(dir: &TestDir, line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = unprivileged(Path::new(words.next().expect("a program")));
    command.args(words).current_dir(dir.path()).env("PYTHONPATH", dir.path());
    command
}

/// rhumb on the map, listening where the document says.
fn rhumb(dir: &TestDir, block: &str, listen: impl Fn(&str) -> String) -> Daemon {
    let config = dir.write("rhumb.yaml", listen(&placed(dir, block)));
    Daemon::serve(dir, &["serve".to_owned(), "-c".to_owned(), config.display().to_string()])
}

/// What a site must show: the tile, its capabilities' address, and a map.
fn look(front: &Front, prefix: &str) -> Reply {
    let host = "maps.example.org";
    let get = |target: &str| {
        let mut client = front.client();
        client
            .send(format!("GET {prefix}{target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .expect("the server reads");
        let reply = client.read_reply(false).unwrap_or_else(|end| panic!("{target}: {end:?}"));
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply
    };
    let tile = get(TILE);
    painted::check(&tile.body, 5, 17, 11).expect("the right tile");
    let capabilities = get("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities").text();
    let address = format!("http://{host}{prefix}/service");
    assert!(capabilities.contains(&address), "no {address} in\n{capabilities}");
    let map = get("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
                   &BBOX=1000000,5000000,3000000,7000000&WIDTH=300&HEIGHT=300&FORMAT=image/png");
    assert_eq!(map.content_type(), "image/png");
    tile
}

fn check_same(before: &Reply, after: &Reply, upstream: &Upstream, asked: usize) {
    assert_eq!(before.body, after.body, "one cache, one tile");
    assert_eq!(upstream.count(), asked, "the tiles of before are the tiles of after");
}

/// An application server behind the same nginx that rhumb gets.
fn check_application_server(name: &'static str, block: &str) {
    let (dir, upstream) = (TestDir::new(name), Upstream::start());
    lay_out(&dir, &upstream);
    let backend = Port::reserve();
    let at = |text: &str| put(text, "127.0.0.1:8080", &backend.address().to_string());
    let site = at(&snippet("before/nginx-proxy.conf"));
    let line = at(&placed(&dir, block));
    let address = backend.address();
    let is_ready = || std::net::TcpStream::connect(address).is_ok();
    let server = Program::start(name, command(&dir, &line), dir.join("server.log"), is_ready);
    let nginx = Front::nginx(&dir, &site);
    let before = look(&nginx, "");
    let asked = upstream.count();
    drop(server);
    let daemon = rhumb(&dir, "after/rhumb.yaml", at);
    let after = look(&nginx, "");
    check_same(&before, &after, &upstream, asked);
    drop(nginx);
    daemon.stop();
}

#[test]
fn gunicorn_behind_nginx_before_and_after() {
    check_application_server("gunicorn", "before/gunicorn");
}

#[test]
fn waitress_behind_nginx_before_and_after() {
    check_application_server("waitress", "before/waitress");
}

#[test]
fn mod_wsgi_before_and_after() {
    let (dir, upstream) = (TestDir::new("mod-wsgi"), Upstream::start());
    lay_out(&dir, &upstream);
    let apache = Front::apache(&dir, &placed(&dir, "before/apache-wsgi.conf"));
    let before = look(&apache, "");
    let asked = upstream.count();
    drop(apache);
    let daemon = rhumb(&dir, "after/rhumb.yaml", |text| put(text, "127.0.0.1:8080", "127.0.0.1:0"));
    let apache = Front::apache(
        &dir,
        &put(&snippet("etc/apache.conf"), "127.0.0.1:8080/", &format!("{}/", daemon.address)),
    );
    let after = look(&apache, "");
    check_same(&before, &after, &upstream, asked);
    drop(apache);
    daemon.stop();
}

/// A program on a Unix socket, and rhumb in its place behind the same server:
/// the blocks of both, and the socket's name.
fn check_socket(
    dir: &TestDir,
    upstream: &Upstream,
    front: &Front,
    prefix: &str,
    [before, after, socket]: [&'static str; 3],
) {
    let path = dir.join("var").join(socket);
    let is_ready = || UnixStream::connect(&path).is_ok();
    let line = placed(dir, before);
    let server = Program::start(before, command(dir, &line), dir.join("server.log"), is_ready);
    let tile_before = look(front, prefix);
    let asked = upstream.count();
    drop(server);
    let daemon = rhumb(dir, after, str::to_owned);
    let tile_after = look(front, prefix);
    check_same(&tile_before, &tile_after, upstream, asked);
    daemon.stop();
}

#[test]
fn uwsgi_behind_nginx_before_and_after() {
    let (dir, upstream) = (TestDir::new("uwsgi"), Upstream::start());
    lay_out(&dir, &upstream);
    dir.write("uwsgi.ini", placed(&dir, "before/uwsgi.ini"));
    let nginx = Front::nginx(&dir, &placed(&dir, "before/nginx-uwsgi.conf"));
    let programs = ["before/uwsgi", "after/rhumb-uwsgi.yaml", "uwsgi-socket"];
    check_socket(&dir, &upstream, &nginx, "", programs);
}

#[test]
fn flup_behind_lighttpd_before_and_after() {
    let (dir, upstream) = (TestDir::new("flup"), Upstream::start());
    lay_out(&dir, &upstream);
    dir.write("fcgi.py", placed(&dir, "before/fcgi.py"));
    let lighttpd = Front::lighttpd(&dir, &placed(&dir, "before/lighttpd.conf"));
    let programs = ["before/flup", "after/rhumb-fastcgi.yaml", "fcgi-socket"];
    check_socket(&dir, &upstream, &lighttpd, "/proxy", programs);
}
