//! Several hosts behind HAProxy with one cache: each may leave and return.

use nix::sys::signal::Signal;

use crate::harness::front::{Front, put};
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::port::Port;
use crate::harness::snippet::snippet;
use crate::harness::{Daemon, TestDir, Upstream, await_some, seed};
use crate::smoke::painted_map;

/// One of several hosts: its own directory and ports, the cache of all.
struct Host {
    dir: TestDir,
    maps: Port,
    admin: Port,
}

impl Host {
    fn new(name: &str, map: &str) -> Host {
        let host = Host { dir: TestDir::new(name), maps: Port::reserve(), admin: Port::reserve() };
        let yaml = put(&snippet("hosts/rhumb.yaml"), "/srv/maps", &host.dir.path().display().to_string());
        let yaml = put(&yaml, "0.0.0.0:8080", &host.maps.address().to_string());
        host.dir.write("etc/rhumb.yaml", put(&yaml, "0.0.0.0:9180", &host.admin.address().to_string()));
        host.dir.write("etc/mapproxy.yaml", map);
        std::fs::create_dir_all(host.dir.join("var")).expect("a directory for logs");
        host
    }

    fn serve(&self) -> Daemon {
        let config = self.dir.join("etc/rhumb.yaml").display().to_string();
        Daemon::serve(&self.dir, &["serve".to_owned(), "-c".to_owned(), config])
    }

    /// HAProxy's line for it.
    fn line(&self, name: &str) -> String {
        format!("    server {name} {} port {}\n", self.maps.address(), self.admin.number)
    }

    fn answers(&self) -> usize {
        let log = std::fs::read_to_string(self.dir.join("var/access.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("/wmts/")).count()
    }

    /// Waits until HAProxy sends it clients (again).
    fn await_clients(&self) {
        let before = self.answers();
        await_some("clients at this host", || (self.answers() > before).then_some(()));
    }
}

#[test]
fn hosts_leave_and_return_and_no_client_notices() {
    let seed = seed("hosts");
    let (dir, upstream) = (TestDir::new("front-hosts"), Upstream::start());
    let shared = put(&snippet("hosts/cache.yaml"), "/mnt/maps", &dir.path().display().to_string());
    let map = painted_map(&upstream) + &shared;
    let hosts = [Host::new("front-host-1", &map), Host::new("front-host-2", &map)];
    let mut daemons: Vec<Option<Daemon>> = hosts.iter().map(|host| Some(host.serve())).collect();
    let servers = hosts[0].line("map1") + &hosts[1].line("map2");
    let lines = "    server map1 127.0.0.1:8080\n    # server map2 192.0.2.2:8080\n";
    let haproxy = Front::haproxy(&dir, &put(&snippet("etc/haproxy.cfg"), lines, &servers));
    let styles: Vec<Style> =
        (0..16).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect();
    let load = Load::start(haproxy.address, seed, &styles, tiles_and_maps(0));
    load.await_answers(200);
    for at in [0, 1, 0] {
        let leaving = daemons[at].take().expect("a daemon");
        leaving.signal(Signal::SIGQUIT);
        assert_eq!(leaving.await_end(), Some(0));
        load.await_answers(100);
        daemons[at] = Some(hosts[at].serve());
        hosts[at].await_clients();
    }
    // One host is enough for all, and both have one cache.
    let tally = load.stop();
    eprintln!("{tally:?}");
    tally.check();
    let mut targets = upstream.targets();
    let asked = targets.len();
    targets.sort();
    targets.dedup();
    assert_eq!(targets.len(), asked, "a meta tile was asked for twice");
    drop(haproxy);
    for daemon in daemons.into_iter().flatten() {
        daemon.stop();
    }
}
