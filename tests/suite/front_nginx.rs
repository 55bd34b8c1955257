//! nginx in front: the same bytes over each of its protocols.

use crate::front::{Published, check_same, painted_daemon};
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
