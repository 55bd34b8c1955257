//! HAProxy in front: the same bytes.

use crate::front::{Published, check_same, painted_daemon};
use crate::harness::front::{Front, put};
use crate::harness::port::Port;
use crate::harness::snippet::snippet;
use crate::harness::{Daemon, TestDir, Upstream};

/// The file of etc/ before one daemon, whose health it asks at `admin`.
pub fn haproxy(dir: &TestDir, daemon: &Daemon, admin: &Port) -> Front {
    let config = put(&snippet("etc/haproxy.cfg"), "127.0.0.1:8080", &daemon.address.to_string());
    Front::haproxy(dir, &put(&config, "port 9180", &format!("port {}", admin.number)))
}

#[test]
fn haproxy_changes_no_byte() {
    let (dir, upstream) = (TestDir::new("front-haproxy"), Upstream::start());
    let admin = Port::reserve();
    let daemon = painted_daemon(
        &dir,
        &upstream,
        &put(&snippet("haproxy/rhumb.yaml"), "127.0.0.1:9180", &admin.address().to_string()),
    );
    let haproxy = haproxy(&dir, &daemon, &admin);
    check_same(&daemon, &haproxy, &Published::at_port(&haproxy));
    drop(haproxy);
    daemon.stop();
}
