//! Several maps in one daemon: a directory of files, each map under its own
//! name, each with its own fate when the configuration is read again.

use nix::sys::signal::Signal;

use crate::harness::daemon::Setup;
use crate::harness::{Daemon, TestDir, Upstream, await_some};

fn map(title: &str, upstream: &Upstream) -> String {
    format!(
        "base: shared/base.yaml\nservices:\n  demo:\n  wms: {{md: {{title: {title}}}}}\n\
         layers: [{{name: roads, title: {title}, sources: [wms]}}]\n\
         sources:\n  wms: {{type: wms, req: {{url: '{}', layers: a}}}}\n",
        upstream.url("/wms")
    )
}

fn base(person: &str) -> String {
    format!("services: {{wms: {{md: {{contact: {{person: {person}}}}}}}}}\n")
}

fn start(dir: &TestDir, upstream: &Upstream) -> Daemon {
    for name in ["city", "county"] {
        dir.write(&format!("maps/{name}.yaml"), map(name, upstream));
    }
    dir.write("maps/shared/base.yaml", base("Ada"));
    Setup::embedded(dir).daemon_yaml("maps: maps\nallow_listing: true\n").start()
}

/// Title and contact that a map's capabilities tell.
fn told(daemon: &Daemon, name: &str) -> Option<(String, String)> {
    let reply = daemon.get(&format!("/{name}/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"));
    if reply.status == 404 {
        return None;
    }
    let text = reply.text();
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.to_owned())
    };
    Some((element("Title")?, element("ContactPerson").unwrap_or_default()))
}

fn is(title: &str, person: &str) -> Option<(String, String)> {
    Some((title.to_owned(), person.to_owned()))
}

#[test]
fn a_broken_map_stays_as_it_was_and_the_others_move_on() {
    let dir = TestDir::new("several-maps");
    let upstream = Upstream::start();
    let daemon = start(&dir, &upstream);
    assert_eq!(told(&daemon, "city"), is("city", "Ada"));
    assert_eq!(told(&daemon, "county"), is("county", "Ada"));
    let list = daemon.get("/").text();
    assert!(list.contains("/city/") && list.contains("/county/"), "{list}");

    // One breaks, the other changes, and so does the file that both share.
    dir.write(
        "maps/city.yaml",
        "layers: [{name: roads, title: Roads, sources: [nowhere]}]\nservices: {wms: }\n",
    );
    dir.write("maps/county.yaml", map("shire", &upstream));
    dir.write("maps/shared/base.yaml", base("Grace"));
    dir.write("maps/new.yaml", map("new", &upstream));
    dir.write("maps/never.yaml", "services: {wms: }\nlayers: {");
    daemon.signal(Signal::SIGHUP);
    await_some("the changed map", || (told(&daemon, "county") == is("shire", "Grace")).then_some(()));
    assert_eq!(told(&daemon, "city"), is("city", "Ada"), "as it was, with the base as it was");
    await_some("the new map", || (told(&daemon, "new") == is("new", "Grace")).then_some(()));
    assert_eq!(told(&daemon, "never"), None);
    let log = daemon.log();
    assert!(log.contains("city.yaml") && log.contains("this map stays as it was"), "{log}");
    assert!(log.contains("never.yaml") && log.contains("this map is not served"), "{log}");

    // It stays so for as long as it takes, also in workers that are forked later.
    dir.write("maps/county.yaml", map("county", &upstream));
    daemon.signal(Signal::SIGHUP);
    await_some("the changed map", || (told(&daemon, "county") == is("county", "Grace")).then_some(()));
    assert_eq!(told(&daemon, "city"), is("city", "Ada"));

    dir.write("maps/city.yaml", map("town", &upstream));
    daemon.signal(Signal::SIGHUP);
    await_some("the mended map", || (told(&daemon, "city") == is("town", "Grace")).then_some(()));

    // A map that is taken away is gone, broken or not.
    std::fs::remove_file(dir.join("maps/city.yaml")).expect("the file");
    daemon.signal(Signal::SIGHUP);
    await_some("the map to go", || told(&daemon, "city").is_none().then_some(()));
    daemon.stop();
}

#[test]
fn where_every_map_is_broken_the_start_is_refused_with_each_reason() {
    let dir = TestDir::new("several-broken");
    dir.write("maps/one.yaml", "services: {wms: }\nlayers: {");
    dir.write("maps/two.yaml", "services: {wms: }\nlayers: [{name: a, title: A, sources: [nowhere]}]\n");
    let ended = Setup::embedded(&dir).daemon_yaml("maps: maps\n").try_start();
    let (code, log) = ended.err().expect("it does not start");
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("one.yaml:3") && log.contains("two.yaml:2"), "{log}");
}
