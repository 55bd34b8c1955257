//! nginx in front: the same bytes over each of its protocols.

use crate::front::{Published, check_same, listening_daemon, painted_daemon};
use crate::harness::front::{Front, put};
use crate::harness::snippet::snippet;
use crate::harness::{TestDir, Upstream};

#[test]
fn nginx_over_http_changes_no_byte() {
    let (dir, upstream) = (TestDir::new("front-nginx-http"), Upstream::start());
    let daemon = painted_daemon(&dir, &upstream, "");
    let site = put(&snippet("etc/nginx.conf"), "127.0.0.1:8080;", &format!("{};", daemon.address));
    let nginx = Front::nginx(&dir, &site);
    check_same(&daemon, &nginx, &Published::at_port(&nginx));
    drop(nginx);
    daemon.stop();
}

/// A gateway protocol on a Unix socket, and nginx's file for it.
fn check_gateway(protocol: &str, place: &str, block: &str, prefix: &'static str) {
    let (dir, upstream) = (TestDir::new(&format!("front-nginx-{protocol}")), Upstream::start());
    let socket = dir.join("gateway");
    let listen = format!("  - {protocol}: {}\n", socket.display());
    let daemon = listening_daemon(&dir, &upstream, &listen);
    let nginx = Front::nginx(&dir, &put(&snippet(block), place, &socket.display().to_string()));
    check_same(&daemon, &nginx, &Published { prefix, ..Published::at_port(&nginx) });
    drop(nginx);
    daemon.stop();
}

#[test]
fn nginx_over_fastcgi_changes_no_byte() {
    check_gateway("fastcgi", "/srv/maps/var/fcgi-socket", "etc/nginx-fastcgi.conf", "/proxy");
}

#[test]
fn nginx_over_uwsgi_changes_no_byte() {
    check_gateway("uwsgi", "/srv/maps/var/uwsgi-socket", "etc/nginx-uwsgi.conf", "");
}

#[test]
fn nginx_over_scgi_changes_no_byte() {
    check_gateway("scgi", "/srv/maps/var/scgi-socket", "etc/nginx-scgi.conf", "");
}
