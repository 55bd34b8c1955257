//! Apache in front: the same bytes through each of its modules.

use crate::front::{Published, check_same, listening_daemon, painted_daemon};
use crate::harness::front::{Front, put};
use crate::harness::snippet::snippet;
use crate::harness::{TestDir, Upstream};

#[test]
fn apache_over_http_changes_no_byte() {
    let (dir, upstream) = (TestDir::new("front-apache-http"), Upstream::start());
    let daemon = painted_daemon(&dir, &upstream, "");
    let site = put(&snippet("etc/apache.conf"), "127.0.0.1:8080/", &format!("{}/", daemon.address));
    let apache = Front::apache(&dir, &site);
    check_same(&daemon, &apache, &Published::at_port(&apache));
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
    check_same(&daemon, &apache, &Published { prefix: "/proxy", ..Published::at_port(&apache) });
    drop(apache);
    daemon.stop();
}
