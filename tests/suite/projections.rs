//! Where PROJ's data come from.

use crate::harness::daemon::Setup;
use crate::harness::{Client, Daemon, TestDir, await_some};

const ADMIN: &str = "admin: 127.0.0.1:0\n";

/// The engine as the status tells it: `PROJ 9.1.1, /usr/share/proj, EPSG …`.
fn engine(daemon: &Daemon) -> String {
    let address: std::net::SocketAddr = await_some("the admin address in the log", || {
        let log = daemon.log();
        let told = log.split("admin on ").nth(1)?;
        let address = told.split(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).next()?;
        address.trim_end_matches(':').parse().ok()
    });
    let reply = Client::connect(address).expect("the admin socket").get("/status.json").expect("an answer");
    let status: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    status["projections"].as_str().expect("an engine").to_owned()
}

fn map(data: &str) -> String {
    format!(
        "services:\n  wms: {{srs: ['EPSG:25832', 'EPSG:3857']}}\n\
         layers:\n  - {{name: l, title: L, sources: [d]}}\nsources: {{d: {{type: debug}}}}\n{data}"
    )
}

#[test]
fn the_data_directory_is_the_one_that_is_named() {
    let usual = TestDir::new("proj-usual");
    let daemon = Setup::new(&usual, map("")).daemon_yaml(ADMIN).start();
    let found = engine(&daemon);
    daemon.stop();
    let system = found.split(", ").nth(1).unwrap_or_else(|| panic!("no libproj: {found}")).to_owned();
    let dir = TestDir::new("proj-named");
    std::os::unix::fs::symlink(&system, dir.join("our-proj")).expect("a link");
    let daemon =
        Setup::new(&dir, map("globals: {srs: {proj_data_dir: our-proj}}\n")).daemon_yaml(ADMIN).start();
    let named = engine(&daemon);
    assert!(named.contains(&format!(", {}", dir.join("our-proj").display())), "{named}");
    let reply = daemon.get(
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=l&STYLES=&SRS=EPSG:25832\
         &BBOX=400000,5500000,500000,5600000&WIDTH=100&HEIGHT=100&FORMAT=image/png",
    );
    assert_eq!(reply.content_type(), "image/png", "{}", reply.text());
    daemon.stop();
}

#[test]
fn a_directory_without_the_database_is_refused() {
    let dir = TestDir::new("proj-nothing");
    let setup = Setup::new(&dir, map("globals:\n  srs:\n    proj_data_dir: nothing\n"));
    let Err((code, log)) = setup.try_start() else { panic!("it starts without PROJ's data") };
    assert_eq!(code, Some(2), "{log}");
    let told = "mapproxy.yaml:8:20: error: globals.srs.proj_data_dir:";
    assert!(log.contains(told) && log.contains("nothing has no proj.db"), "{log}");
}
