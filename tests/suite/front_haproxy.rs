//! HAProxy in front: the same bytes.

use crate::front::{Published, check_same, painted_daemon};
use crate::harness::front::{Front, put};
use crate::harness::snippet::snippet;
use crate::harness::{TestDir, Upstream};

#[test]
fn haproxy_changes_no_byte() {
    let (dir, upstream) = (TestDir::new("front-haproxy"), Upstream::start());
    let daemon = painted_daemon(&dir, &upstream, "");
    let config = put(&snippet("etc/haproxy.cfg"), "127.0.0.1:8080", &daemon.address.to_string());
    let config = put(&config, " check port 9180", "");
    let haproxy = Front::haproxy(&dir, &config);
    check_same(&daemon, &haproxy, &Published::at_port(&haproxy));
    drop(haproxy);
    daemon.stop();
}
