//! Apache in front: the same bytes through each of its modules.

use crate::front::{Published, check_same, listening_daemon, painted_daemon};
use crate::harness::front::{Front, hand_over, put};
use crate::harness::snippet::snippet;
use crate::harness::{TestDir, Upstream};

/// Apache gives an answer without a body (416) the type that its path's end has.
fn published(apache: &Front, prefix: &'static str) -> Published<'static> {
    Published { prefix, added_fields: &["content-type"], ..Published::at_port(apache) }
}

#[test]
fn apache_over_http_changes_no_byte() {
    let (dir, upstream) = (TestDir::new("front-apache-http"), Upstream::start());
    let daemon = painted_daemon(&dir, &upstream, "");
    let site = put(&snippet("etc/apache.conf"), "127.0.0.1:8080/", &format!("{}/", daemon.address));
    let apache = Front::apache(&dir, &site);
    check_same(&daemon, &apache, &published(&apache, ""));
    drop(apache);
    daemon.stop();
}

#[test]
fn apache_over_fastcgi_changes_no_byte() {
    let (dir, upstream) = (TestDir::new("front-apache-fcgi"), Upstream::start());
    let socket = dir.join("fcgi-socket");
    // Apache is somebody else than the daemon here.
    let listen = format!("  - fastcgi: {}\n    mode: 0666\n", socket.display());
    let daemon = listening_daemon(&dir, &upstream, &listen);
    let place = "/srv/maps/var/fcgi-socket";
    let apache =
        Front::apache(&dir, &put(&snippet("etc/apache-fcgi.conf"), place, &socket.display().to_string()));
    check_same(&daemon, &apache, &published(&apache, "/proxy"));
    drop(apache);
    daemon.stop();
}

#[test]
fn apache_starting_rhumb_itself_changes_no_byte() {
    let (dir, upstream) = (TestDir::new("front-apache-fcgid"), Upstream::start());
    // Answers directly, on the same map and cache.
    let daemon = painted_daemon(&dir, &upstream, "");
    for directory in [dir.path(), &dir.join("var")] {
        std::fs::create_dir_all(directory).expect("a directory for logs");
        hand_over(directory);
    }
    std::fs::create_dir_all(dir.join("etc")).expect("a directory for settings");
    dir.write(
        "etc/fcgid.yaml",
        put(&snippet("etc/fcgid.yaml"), "maps: mapproxy.yaml", "maps: ../mapproxy.yaml"),
    );
    let site = put(&snippet("etc/apache-fcgid.conf"), "/usr/bin/rhumb", env!("CARGO_BIN_EXE_rhumb"));
    let apache = Front::apache(&dir, &put(&site, "/srv/maps", &dir.path().display().to_string()));
    check_same(&daemon, &apache, &published(&apache, "/proxy"));
    drop(apache);
    let log =
        std::fs::read_to_string(dir.join("var/fcgid.log")).expect("the log of those that Apache started");
    assert!(log.contains("ready: 1 workers"), "{log}");
    daemon.stop();
}
