//! Started as root, at work as somebody else (reliability.md, B30 and B27).
//! These tests need root and say so where they do not have it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User, chown};

use crate::control::{act, reachable, status};
use crate::harness::daemon::Setup;
use crate::harness::{Daemon, TestDir, Upstream, await_some, painted};
use crate::reload::tile;
use crate::smoke::painted_map;

const USER: &str = "nobody";
const GROUP: &str = "nogroup";

fn need_root() -> (Uid, Gid) {
    assert!(Uid::effective().is_root(), "this test gives up root's rights and so must be run as root");
    let user = User::from_name(USER).expect("the table of users").expect("the user nobody of every Debian");
    (user.uid, user.gid)
}

/// A daemon started by root that works as nobody, and may write its cache.
fn start(dir: &TestDir, upstream: &Upstream, yaml: &str) -> Daemon {
    let (user, group) = need_root();
    std::fs::create_dir_all(dir.join("cache_data")).expect("a cache directory");
    chown(&dir.join("cache_data"), Some(user), Some(group)).expect("given away");
    let yaml = format!("user: {USER}\ngroup: {GROUP}\n{}{yaml}", reachable(dir));
    Setup::new(dir, painted_map(upstream)).daemon_yaml(&yaml).start()
}

fn field(pid: u32, name: &str) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("the field");
    line.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

fn check_owner(path: &Path, (user, group): (Uid, Gid)) {
    let meta = std::fs::metadata(path).expect("the file is there");
    assert_eq!((meta.uid(), meta.gid()), (user.as_raw(), group.as_raw()), "owner of {}", path.display());
}

fn check_workers(daemon: &Daemon, (user, group): (Uid, Gid)) {
    for worker in daemon.await_workers(2, &[]) {
        assert_eq!(field(worker, "Uid"), [user.as_raw(); 4], "real, effective, saved, file system");
        assert_eq!(field(worker, "Gid"), [group.as_raw(); 4]);
        let groups = field(worker, "Groups");
        assert!(groups.iter().all(|other| *other == group.as_raw()), "supplementary groups {groups:?}");
        let text = std::fs::read_to_string(format!("/proc/{worker}/status")).expect("the worker");
        let capable = text.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
        assert_eq!(u64::from_str_radix(capable.trim(), 16), Ok(0), "no way back to root");
    }
}

#[test]
fn b30_workers_are_nobody_and_own_what_they_write() {
    let (dir, upstream) = (TestDir::new("b30"), Upstream::start());
    let identity = need_root();
    let daemon = start(&dir, &upstream, "");
    assert_eq!(field(daemon.pid(), "Uid"), [0; 4], "the master stays root");
    check_workers(&daemon, identity);
    let reply = daemon.get(&tile(17, 11));
    painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    for name in ["access.log", "error.log"] {
        check_owner(&dir.join(name), identity);
    }
    let tiles: Vec<_> =
        dir.files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "png")).collect();
    assert!(!tiles.is_empty(), "tiles were stored");
    for tile in tiles {
        check_owner(&tile, identity);
        check_owner(tile.parent().expect("a directory"), identity);
    }
    // A file of root's alone: refused before a worker is forked, by its name.
    let secret =
        dir.write("secret.geojson", r#"{"type": "Polygon", "coordinates": [[[0,0],[1,0],[1,1],[0,0]]]}"#);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let coverage = painted_map(&upstream) + "    coverage: {datasource: secret.geojson, srs: 'EPSG:4326'}\n";
    daemon.replace(&daemon.map, &coverage);
    let (code, _, err) = act(&daemon, &["reload"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("secret.geojson") && err.contains("ermission denied"), "{err}");
    daemon.replace(&daemon.map, &painted_map(&upstream));
    assert_eq!(act(&daemon, &["reload"]).0, Some(0));
    check_workers(&daemon, identity);
    daemon.stop();
}

#[test]
fn b30_an_upgrade_keeps_the_rights_apart() {
    let (dir, upstream) = (TestDir::new("b30-upgrade"), Upstream::start());
    let identity = need_root();
    let mut daemon = start(&dir, &upstream, "limits: {drain_idle_ms: 100}\n");
    let (code, out, err) = act(&daemon, &["upgrade"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(daemon.await_first(), Some(0));
    let new = status(&daemon)["pid"].as_u64().expect("a pid") as u32;
    daemon.follow(new);
    check_workers(&daemon, identity);
    assert_eq!(field(new, "Uid"), [0; 4]);
    assert_eq!(daemon.get(&tile(17, 11)).status, 200);
    daemon.stop();
}

#[test]
fn b30_nobody_known_is_refused() {
    let (dir, upstream) = (TestDir::new("b30-unknown"), Upstream::start());
    for (yaml, told) in [
        ("user: no-such-user-here\n", "no user no-such-user-here"),
        ("group: no-such-group\n", "no group no-such-group"),
    ] {
        let (code, log) =
            Setup::new(&dir, painted_map(&upstream)).daemon_yaml(yaml).try_start().err().expect("refused");
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(told), "{log}");
    }
}

/// Every process of the daemon has this very file open.
fn await_open(daemon: &Daemon, path: &Path) {
    let mut processes = daemon.workers();
    processes.push(daemon.pid());
    await_some(&format!("{} open in {processes:?}", path.display()), || {
        let has_it = |pid: &u32| {
            let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let mut links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
            links.any(|link| link == path).then_some(())
        };
        processes.iter().all(|pid| has_it(pid).is_some()).then_some(())
    });
}

#[test]
fn b27_logs_are_opened_anew_or_kept() {
    let (dir, upstream) = (TestDir::new("b27"), Upstream::start());
    let identity = need_root();
    let daemon = start(&dir, &upstream, "");
    for name in ["access.log", "error.log"] {
        std::fs::rename(dir.join(name), dir.join(format!("{name}.1"))).expect("rotated");
    }
    daemon.signal(Signal::SIGUSR1);
    for name in ["access.log", "error.log"] {
        await_open(&daemon, &dir.join(name));
        check_owner(&dir.join(name), identity);
    }
    assert_eq!(daemon.get(&tile(17, 11)).status, 200);
    await_some("the request in the new file", || daemon.access_log().contains("05/17/11").then_some(()));
    let before = std::fs::read_to_string(dir.join("error.log.1")).expect("the old file");

    // A place that cannot be opened: all keep what they have, and say so.
    for name in ["access.log", "error.log"] {
        std::fs::rename(dir.join(name), dir.join(format!("{name}.2"))).expect("rotated");
    }
    std::fs::create_dir(dir.join("access.log")).expect("a directory in its place");
    let (code, _, err) = act(&daemon, &["reopen"]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("access.log") && err.contains("the old stay in use"), "{err}");
    let kept = std::fs::read_to_string(dir.join("error.log.2")).expect("the kept file");
    assert!(kept.contains("log files not reopened"), "{kept}");
    assert_eq!(daemon.get(&tile(18, 11)).status, 200);
    let in_kept =
        || std::fs::read_to_string(dir.join("access.log.2")).is_ok_and(|log| log.contains("05/18/11"));
    await_some("the request in the kept file", || in_kept().then_some(()));
    std::fs::remove_dir(dir.join("access.log")).expect("gone");
    assert_eq!(act(&daemon, &["reopen"]).0, Some(0));
    await_open(&daemon, &dir.join("access.log"));
    assert_eq!(std::fs::read_to_string(dir.join("error.log.1")).expect("the old file"), before);
    daemon.stop();
}
