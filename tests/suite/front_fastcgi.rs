//! Behind real nginx over FastCGI while both sides reload (reliability case F16).

use std::io::Read;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::daemon::Setup;
use crate::harness::front::{Front, put};
use crate::harness::load::{Load, Style, tiles_and_maps};
use crate::harness::snippet::etc;
use crate::harness::{TestDir, Upstream, seed};
use crate::reload::{reload, titled_map};
use crate::smoke::painted_map;

/// Clients that ask and leave: at once, or with some of the answer.
fn leave_early(nginx: &Front, round: u32) {
    for bytes in [0, 100] {
        let mut client = nginx.client();
        let request =
            format!("GET /wmts/painted/GLOBAL_WEBMERCATOR/09/{round}/11.png HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(request).expect("nginx reads");
        if bytes > 0 {
            let _ = client.stream().read(&mut vec![0; bytes]);
        }
    }
}

#[test]
fn f16_nothing_is_lost_while_both_sides_reload() {
    let (dir, upstream) = (TestDir::new("front-fastcgi"), Upstream::start());
    std::fs::create_dir_all(dir.join("var")).expect("a directory for sockets");
    let daemon =
        Setup::new(&dir, painted_map(&upstream)).listen("fastcgi: var/fcgi-socket, mode: 0666").start();
    let site = put(&etc("nginx-fastcgi.conf"), "/srv/maps", &dir.path().display().to_string());
    // The whole host, so that the load's paths are the daemon's; nothing is
    // held back, so that clients that leave are felt at once.
    let site = put(&site, "location /proxy {", "location / {\n        fastcgi_buffering off;");
    let site = put(&site, "^(/proxy)(.*)$", "^()(.*)$");
    let nginx = Front::nginx(&dir, &site);
    let seed = seed("FastCGI storm");
    let kept: Vec<Style> =
        (0..24).flat_map(|n| [Style::KeepAlive { depth: 1 + n % 3 }, Style::OneShot]).collect();
    // nginx, when it reloads, ends kept connections of its clients at any
    // moment: for that part all of them come for one request.
    let once = vec![Style::OneShot; 48];
    for (part, styles) in [kept, once].iter().enumerate() {
        let load = Load::start(nginx.address, seed, styles, tiles_and_maps(1));
        load.await_answers(200);
        for round in 1..=4 {
            reload(&daemon, &titled_map(&upstream, &format!("Part {part}, round {round}")));
            leave_early(&nginx, round);
            if part == 1 && round % 2 == 0 {
                kill(Pid::from_raw(nginx.pid() as i32), Signal::SIGHUP).expect("nginx is there");
            }
            load.await_answers(50);
        }
        let tally = load.stop();
        eprintln!("{tally:?}");
        tally.check();
    }
    drop(nginx);
    daemon.stop();
}
