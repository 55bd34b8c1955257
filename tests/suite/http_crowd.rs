//! Clients in numbers (reliability.md, E1, E22, E25): hundreds that dribble,
//! thousands that hold a connection, thousands that leave in every way. And
//! what names of files a request can reach (E12, E13).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::daemon::Setup;
use crate::harness::{Client, Daemon, TestDir, Upstream, await_some, painted, silent};
use crate::http_abuse::{HOST, TILE, check_tile, start};
use crate::smoke::painted_map;

/// Lets this process, and the daemons that it starts, have so many descriptors.
fn allow_descriptors(count: u64) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(hard >= count, "this test needs {count} descriptors, the hard limit is {hard} (ulimit -Hn)");
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count, hard).expect("up to the hard limit");
    }
}

/// A connection that is written to and read from as far as it goes.
fn unwaiting(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(daemon.address).expect("a connection");
    stream.set_nonblocking(true).expect("nonblocking");
    stream
}

/// Whatever has come; `None` when the connection has ended.
fn take_some(stream: &mut TcpStream, into: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => into.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
            Err(error) => panic!("ended with {error} after {:?}", String::from_utf8_lossy(into)),
        }
    }
}

#[test]
fn e1_nine_hundred_that_dribble_cost_the_others_nothing() {
    allow_descriptors(4_096);
    let (dir, upstream) = (TestDir::new("e1-crowd"), Upstream::start());
    let daemon = start(&dir, &upstream, "header_ms: 3000");
    check_tile(&daemon);
    let mut head = format!("GET {TILE} HTTP/1.1\r\n{HOST}X-Slow: ").into_bytes();
    head.resize(head.len() + 6_000, b'a');
    let mut slow: Vec<(TcpStream, Vec<u8>)> = (0..900).map(|_| (unwaiting(&daemon), Vec::new())).collect();
    let mut sent = 0;
    // Each round a byte of each, and a tile for somebody who is in no hurry either.
    while !slow.is_empty() {
        check_tile(&daemon);
        slow.retain_mut(|(stream, answer)| {
            // Who was answered and closed takes no more.
            let _ = stream.write(&head[sent..=sent]);
            if take_some(stream, answer).is_some() {
                return true;
            }
            let text = String::from_utf8_lossy(answer);
            assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
            false
        });
        sent += 1;
        assert!(sent < head.len(), "{} are still there", slow.len());
    }
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e25_ten_thousand_connections_are_held_and_others_served() {
    allow_descriptors(15_000);
    let (dir, upstream) = (TestDir::new("e25"), Upstream::start());
    let limits = "limits: {connections_per_worker: 9000, first_byte_ms: 600000, header_ms: 600000}\n";
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(2).daemon_yaml(limits).start();
    check_tile(&daemon);
    let before: Vec<usize> = daemon.workers().into_iter().map(silent::descriptors).collect();
    let mut held = Vec::with_capacity(10_000);
    for n in 0..10_000 {
        let mut client = Client::connect(daemon.address).expect("accepted");
        // Half of them are in the middle of a head.
        if n % 2 == 0 {
            client.send(format!("GET {TILE} HTTP/1.1\r\n{HOST}")).expect("a part");
        }
        held.push(client);
        if n % 100 == 0 {
            check_tile(&daemon);
        }
    }
    let workers = daemon.workers();
    let held_by = |workers: &[u32]| workers.iter().map(|w| silent::descriptors(*w)).sum::<usize>();
    let base: usize = before.iter().sum();
    // A connection of the first look may have been open still when they were counted.
    await_some("all to be held", || (held_by(&workers) + 4 >= base + 10_000).then_some(()));
    for _ in 0..100 {
        check_tile(&daemon);
    }
    // The others are not forgotten: every hundredth goes on.
    for client in held.iter_mut().step_by(100) {
        client.send("\r\n").expect("the rest");
        let reply = client.read_reply(false).expect("an answer");
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    }
    drop(held);
    await_some("all to be given back", || (held_by(&workers) <= base + 4).then_some(()));
    assert_eq!(daemon.workers(), workers, "nobody died of it");
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e25_more_than_there_is_room_for_wait_and_are_served() {
    let (dir, upstream) = (TestDir::new("e25-more"), Upstream::start());
    let daemon = start(&dir, &upstream, "connections_per_worker: 50, first_byte_ms: 3000");
    check_tile(&daemon);
    let silent_ones: Vec<Client> = (0..50).map(|_| daemon.client()).collect();
    let mut waiting: Vec<Client> = (0..300)
        .map(|_| {
            let mut client = daemon.client();
            client.send(format!("GET {TILE} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")).expect("queued");
            client
        })
        .collect();
    for client in &mut waiting {
        let reply = client.read_reply(false).expect("an answer when there is room");
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
    }
    drop(silent_ones);
    daemon.stop();
}

#[test]
fn e22_ten_thousand_that_leave_in_any_way_leave_nothing() {
    let (dir, upstream) = (TestDir::new("e22-crowd"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    let worker = daemon.workers()[0];
    let before = silent::descriptors(worker);
    let before_kib = silent::resident_kib(worker);
    let request = format!("GET {TILE} HTTP/1.1\r\n{HOST}\r\n");
    let pipelined = request.repeat(20);
    for round in 0..10_000 {
        let mut client = daemon.client();
        let bytes = match round % 5 {
            0 => "",
            1 => &request[..20],
            2 | 3 => &request,
            _ => &pipelined,
        };
        client.send(bytes).expect("sent");
        if round % 5 > 2 {
            socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a reset");
        }
    }
    await_some("all connections to be given back", || {
        (silent::descriptors(worker) <= before + 1).then_some(())
    });
    let grown_kib = silent::resident_kib(worker).saturating_sub(before_kib);
    assert!(grown_kib < 64 * 1024, "the worker grew by {grown_kib} KiB");
    assert_eq!(daemon.workers(), [worker]);
    check_tile(&daemon);
    daemon.stop();
}

/// A cache whose tiles depend on two dimensions; `e` with an accent, composed.
fn dimensions_map(upstream: &Upstream) -> String {
    painted_map(upstream)
        .replace(
            "sources: [painted]}",
            "sources: [painted], dimensions: {time: {values: ['2026-01-01', '2026-02-01'], default: '2026-01-01'}, \
             style: {values: [\"caf\\u00e9\", a/b], default: a/b}}}",
        )
        .replace("layers: a}", "layers: a}\n    forward_req_params: [time, dim_style]")
}

fn files_below(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("readable").flatten() {
            if entry.file_type().expect("a type").is_dir() {
                open.push(entry.path());
            } else {
                let path = entry.path();
                found.insert(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[test]
fn e13_a_dimensions_value_is_one_of_the_list_or_refused() {
    let (dir, upstream) = (TestDir::new("e13"), Upstream::start());
    let daemon = Setup::new(&dir, dimensions_map(&upstream)).workers(1).start();
    let wmts = |dimension: &str| {
        format!(
            "/service?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=painted&STYLE=&TILEMATRIXSET=GLOBAL_WEBMERCATOR\
             &TILEMATRIX=05&TILECOL=17&TILEROW=11&FORMAT=image/png&{dimension}"
        )
    };
    let wms = |dimension: &str| {
        format!(
            "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=painted&STYLES=&SRS=EPSG:3857\
             &BBOX=0,0,1000000,1000000&WIDTH=64&HEIGHT=64&FORMAT=image/png&{dimension}"
        )
    };
    let listed = files_below(dir.path());
    let long = "x".repeat(7_000);
    let odd = [
        "../../x",
        "..%2f..%2fx",
        "%2e%2e",
        ".",
        "..",
        "%2f",
        "%2fetc%2fpasswd",
        "%5c..%5c",
        "%00",
        "2026-01-01%00",
        "2026-01-01/../..",
        "2026-01-01%0a",
        "a,b",
        "cafe%CC%81",
        "CAF%C3%89",
        &long,
    ];
    for value in odd {
        for key in ["TIME", "STYLE", "DIM_STYLE"] {
            for target in [wmts(&format!("{key}={value}")), wms(&format!("{key}={value}"))] {
                let reply = daemon.get(&target);
                // Whatever is answered, no other names are made of it.
                assert!(reply.status < 600, "{target:.200}: {}", reply.status);
            }
        }
        let rest = format!("/wmts/painted/{value}/a%2Fb/GLOBAL_WEBMERCATOR/05/17/11.png");
        assert_ne!(daemon.get(&rest).status, 200, "{rest:.200}");
    }
    // Refused before anybody is asked, and nothing is stored under such a name.
    let log = upstream.targets().join("\n");
    assert!(!log.contains("..") && !log.contains("passwd") && !log.contains("xxxx"), "{log:.2000}");
    let made: Vec<String> = files_below(dir.path()).difference(&listed).cloned().collect();
    for path in &made {
        let odd =
            path.contains("..") || path.contains('\\') || path.contains("xxxx") || path.contains("passwd");
        assert!(!odd && !path.chars().any(|c| c.is_control() || c == '\u{301}'), "{path}");
    }
    // Those of the list each have a tile of their own.
    let before = upstream.count();
    for time in ["2026-01-01", "2026-02-01"] {
        for style in ["caf%C3%A9", "a%2Fb"] {
            let reply = daemon.get(&wmts(&format!("TIME={time}&STYLE={style}&DIM_STYLE={style}")));
            assert_eq!(reply.status, 200, "{time} {style}: {}", reply.text());
            painted::check(&reply.body, 5, 17, 11).expect("the right tile");
        }
    }
    assert!(upstream.count() > before, "{:?}", upstream.targets());
    daemon.stop();
}

/// What the process opens for itself whatever is asked.
const SYSTEM_PATHS: &[&str] =
    &["/proc/", "/sys/", "/dev/null", "/usr/share/proj", "/etc/localtime", "/usr/share/zoneinfo"];

#[test]
fn e12_no_file_is_opened_outside_of_the_cache() {
    let (dir, upstream) = (TestDir::new("e12-strace"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    daemon.get("/demo/");
    let trace = dir.join("trace.txt");
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-s", "4096", "-e", "trace=open,openat,openat2,stat,lstat,newfstatat,readlink,readlinkat,access,faccessat,faccessat2,mkdir,mkdirat"])
        .args(["-o", &trace.display().to_string(), "-p", &daemon.workers()[0].to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace runs: tests/install brings it");
    let mut told = BufReader::new(strace.stderr.take().expect("piped"));
    let mut line = String::new();
    told.read_line(&mut line).expect("a line");
    assert!(line.contains("attached"), "{line}");
    let passwd =
        ["../", "%2e%2e/", "%2e%2e%2f", "%252e%252e%252f", "%c0%ae%c0%ae/", "..%5c", "....//", "..;/"]
            .map(|climb| format!("{}etc/passwd", climb.repeat(9)));
    for climb in &passwd {
        for target in [
            format!("/{climb}"),
            format!("/demo/static/{climb}"),
            format!("/wmts/painted/{climb}"),
            format!("/wmts/painted/GLOBAL_WEBMERCATOR/05/17/{climb}.png"),
            format!("/tms/1.0.0/painted/EPSG3857/4/1/{climb}.png"),
            format!("/tiles/{climb}/4/1/1.png"),
            format!("/kml/painted/EPSG3857/{climb}.kml"),
            format!(
                "/service?SERVICE=WMS&REQUEST=GetMap&VERSION=1.1.1&LAYERS={climb}&STYLES={climb}&SRS={climb}&BBOX=0,0,9,9&WIDTH=9&HEIGHT=9&FORMAT={climb}"
            ),
            format!(
                "/service?SERVICE=WMS&REQUEST=GetMap&VERSION=1.1.1&LAYERS=painted&STYLES=&SRS=EPSG:3857&BBOX=0,0,9,9&WIDTH=9&HEIGHT=9&FORMAT=image/png&TIME={climb}&SLD={climb}"
            ),
            format!(
                "/service?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=painted&STYLE=&TILEMATRIXSET={climb}&TILEMATRIX=5&TILECOL=1&TILEROW=1&FORMAT=image/png"
            ),
        ] {
            let _ = daemon.get(&target);
        }
    }
    // Something that must be seen, or the trace proves nothing.
    assert_eq!(daemon.get("/wmts/painted/GLOBAL_WEBMERCATOR/05/3/11.png").status, 200);
    kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT).expect("strace is there");
    strace.wait().expect("strace has ended");
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    assert!(trace.contains("cache_data"), "{trace:.2000}");
    let own = dir.path().display().to_string();
    for line in trace.lines() {
        for path in line.split('"').skip(1).step_by(2) {
            let within = path.starts_with(&own) || path.is_empty() || !path.starts_with('/');
            let of_system = SYSTEM_PATHS.iter().any(|system| path.starts_with(system));
            assert!(within || of_system, "{line}");
            assert!(!path.contains("passwd") && !path.contains(".."), "{line}");
        }
    }
    daemon.stop();
}
