//! Many slow clients at once cost the others nothing (issue 3, line 6). What
//! it costs in time is measured by `bench/crowd`; here it is counted that all
//! others are served meanwhile, and that each slow one is cut.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::harness::daemon::Setup;
use crate::harness::load::{Load, Style, Target};
use crate::harness::{Client, End, Reply, TestDir, Upstream, seed, sockets};
use crate::reload::tile;
use crate::smoke::painted_map;

const DRIBBLERS: usize = 200;
const IDLE: usize = 500;

/// The answer to what is nowhere, and whether the connection stays.
fn kept(reply: Result<Reply, End>) -> Option<()> {
    let reply = reply.expect("an answer");
    assert_eq!(reply.status, 404);
    (!reply.closes()).then_some(())
}

#[test]
fn two_hundred_dribblers_and_five_hundred_idle_clients_cost_others_nothing() {
    let seed = seed("crowd");
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("descriptors for the crowd");
    let (dir, upstream) = (TestDir::new("crowd"), Upstream::start());
    let daemon = Setup::new(&dir, painted_map(&upstream))
        .daemon_yaml("limits: {header_ms: 4000, keep_alive_idle_ms: 600000}\n")
        .start();
    for (column, row) in (16..20).flat_map(|column| (8..12).map(move |row| (column, row))) {
        assert_eq!(daemon.get(&tile(column, row)).status, 200);
    }
    let asked = upstream.count();
    let mut idle: Vec<Client> = (0..IDLE).map(|_| daemon.client()).collect();
    for client in &mut idle {
        client.send_get("/nothing").expect("sent");
    }
    for client in &mut idle {
        // A worker that holds far more of them than the other asks some to come anew.
        while kept(client.read_reply(false)).is_none() {
            *client = daemon.client();
            client.send_get("/nothing").expect("sent");
        }
    }
    let mut dribblers: Vec<Client> = (0..DRIBBLERS).map(|_| daemon.client()).collect();
    let load = Load::start(daemon.address, seed, &[Style::KeepAlive { depth: 1 }; 8], |random| {
        Target::tile(5, random.between(16, 20) as u32, random.between(8, 12) as u32)
    });
    let split = sockets::connections(daemon.address.port(), &daemon.workers());
    eprintln!("connections of each worker: {split:?}");
    // A byte of each after every few answers to the others: no time is waited for.
    for byte in format!("GET {} HTTP/1.1\r\nHost: ma", tile(17, 11)).bytes() {
        for client in &mut dribblers {
            // Cut already on a machine that is slow enough.
            let _ = client.send([byte]);
        }
        load.await_answers(50);
    }
    for client in &mut dribblers {
        let (said, end) = client.read_to_end();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(matches!(end, End::Fin | End::Reset), "a dribbler was not cut: {end:?}");
    }
    load.await_answers(200);
    let tally = load.stop();
    eprintln!("{tally:?}");
    tally.check();
    assert_eq!(upstream.count(), asked, "every tile was a stored one");
    // Who keeps to the rules is still there.
    for client in &mut idle {
        client.send_get("/nothing").expect("sent");
        assert_eq!(client.read_reply(false).expect("an answer").status, 404);
    }
    daemon.stop();
}
