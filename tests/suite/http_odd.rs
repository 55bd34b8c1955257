//! Odd but possible clients (reliability.md, group E from E8 on): versions,
//! forms, paths, parameters, pipelines, ends. What RFC 9110 and 9112 allow is
//! served, the rest refused, and nothing is looked for outside the cache.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::load::Target;
use crate::harness::{Client, Daemon, End, PATIENCE, Reply, TestDir, Upstream, await_some, painted, silent};
use crate::http_abuse::{HOST, TILE, check_refusals, check_tile, count, send, settle_access_log, start};

/// Answered on purpose: a picture, a refusal, or an exception document, which
/// MapProxy sends as 500 and so do we. A panic's 500 is plain text.
fn is_deliberate(reply: &Reply) -> bool {
    reply.status < 500 || reply.status == 500 && reply.content_type().contains("xml")
}

fn ask(daemon: &Daemon, bytes: impl AsRef<[u8]>) -> Reply {
    let mut client = daemon.client();
    client.send(bytes).expect("sent");
    client.read_reply(false).unwrap_or_else(|end| panic!("{end:?}"))
}

/// Sends a request twice on one connection: whether the second is answered.
fn persists(daemon: &Daemon, request: &str) -> bool {
    let mut client = daemon.client();
    client.send(request).expect("sent");
    let reply = client.read_reply(false).expect("an answer");
    assert_eq!(reply.status, 200, "{request}");
    if reply.closes() {
        assert_eq!(client.read_to_end(), (Vec::new(), End::Fin), "{request}");
        return false;
    }
    client.send(request).expect("sent again");
    client.read_reply(false).is_ok()
}

#[test]
fn e8_versions_and_persistence() {
    let (dir, upstream) = (TestDir::new("e8"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    for (version, fields, kept) in [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: Keep-Alive, Close\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\n", true),
        ("HTTP/1.2", "", true),
        ("HTTP/1.9", "", true),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: keep-alive\r\n", true),
        ("HTTP/1.0", "Connection: close\r\n", false),
    ] {
        let request = format!("GET {TILE} {version}\r\n{HOST}{fields}\r\n");
        assert_eq!(persists(&daemon, &request), kept, "{version} {fields:?}");
    }
    let line = |line: &str| format!("{line}\r\n{HOST}\r\n").into_bytes();
    check_refusals(
        &daemon,
        &[
            ("0.9", b"GET /\r\n".to_vec(), &[400]),
            ("0.9 with a field", line("GET /"), &[400]),
            ("2.0", line("GET / HTTP/2.0"), &[505]),
            ("0.9 by name", line("GET / HTTP/0.9"), &[400, 505]),
            ("9", line("GET / HTTP/9"), &[400]),
            ("lower case", line("GET / http/1.1"), &[400]),
            ("1.10", line("GET / HTTP/1.10"), &[400]),
            ("01.1", line("GET / HTTP/01.1"), &[400]),
            ("no number", line("GET / HTTP/"), &[400]),
            ("another protocol", line("GET / ICY/1.1"), &[400]),
        ],
    );
    daemon.stop();
}

#[test]
fn e9_other_protocols_are_refused_at_once() {
    let (dir, upstream) = (TestDir::new("e9"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let hello = [&[0x16, 3, 1, 0, 0xc8, 1, 0, 0, 0xc4, 3, 3][..], &[0x5a; 196]].concat();
    check_refusals(
        &daemon,
        &[
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), &[400, 505]),
            ("TLS", hello, &[400]),
            ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), &[400]),
            ("FastCGI", b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0".to_vec(), &[400]),
            (
                "PROXY 1",
                format!("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n{HOST}\r\n").into_bytes(),
                &[400],
            ),
            (
                "PROXY 2",
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02".to_vec(),
                &[400],
            ),
            ("uwsgi", b"\0\x10\0\0\x04\0PATH\x01\0/".to_vec(), &[400]),
            ("SMTP", b"EHLO mail.test\r\n".to_vec(), &[400]),
        ],
    );
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e10_hosts_are_checked() {
    let (dir, upstream) = (TestDir::new("e10"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let with = |fields: &str| {
        format!("GET /service?REQUEST=GetCapabilities&SERVICE=WMS HTTP/1.1\r\n{fields}\r\n").into_bytes()
    };
    let names = ["a/b", "user@a", "a:99999", "a b", "a\"b", "a<b>", "a:b", "[::1", "a?b", "a#b", "a\\b"];
    let mut table: Vec<(&str, Vec<u8>, &[u16])> =
        vec![("no Host", with(""), &[400]), ("two", with("Host: a\r\nHost: a\r\n"), &[400])];
    table.extend(names.map(|name| (name, with(&format!("Host: {name}\r\n")), &[400_u16][..])));
    check_refusals(&daemon, &table);
    // Allowed in a name, but no address can be made of it.
    for host in ["a,b", "a%0d%0ab"] {
        assert_eq!(ask(&daemon, with(&format!("Host: {host}\r\n"))).status, 400, "{host}");
    }
    for host in ["maps.test", "maps.test:8080", "127.0.0.1", "[::1]:8080"] {
        let reply = ask(&daemon, with(&format!("Host: {host}\r\n")));
        assert!(
            reply.status == 200 && reply.text().contains(&format!("http://{host}/")),
            "{host}: {:.300}",
            reply.text()
        );
    }
    daemon.stop();
}

#[test]
fn e11_forms_of_targets_and_methods() {
    let (dir, upstream) = (TestDir::new("e11"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    let long = "M".repeat(40);
    for (line, status) in [
        (format!("GET http://other.test{TILE} HTTP/1.1"), 200),
        (format!("GET HTTPS://other.test:8443{TILE} HTTP/1.1"), 200),
        ("OPTIONS * HTTP/1.1".into(), 204),
        (format!("PUT {TILE} HTTP/1.1"), 405),
        (format!("DELETE {TILE} HTTP/1.1"), 405),
        (format!("PATCH {TILE} HTTP/1.1"), 405),
        (format!("TRACE {TILE} HTTP/1.1"), 405),
        ("CONNECT other.test:443 HTTP/1.1".into(), 405),
        (format!("{long} {TILE} HTTP/1.1"), 501),
        (format!("get {TILE} HTTP/1.1"), 501),
    ] {
        assert_eq!(ask(&daemon, format!("{line}\r\n{HOST}\r\n")).status, status, "{line}");
    }
    let line = |line: &str| format!("{line}\r\n{HOST}\r\n").into_bytes();
    check_refusals(
        &daemon,
        &[
            ("authority", line("GET maps.test:80 HTTP/1.1"), &[400]),
            ("star", line("GET * HTTP/1.1"), &[400]),
            ("another scheme", line("GET file:///etc/passwd HTTP/1.1"), &[400]),
            ("ftp", line("GET ftp://a/b HTTP/1.1"), &[400]),
            ("no slash", line("GET service HTTP/1.1"), &[400]),
            ("userinfo", line("GET http://a@b/ HTTP/1.1"), &[400]),
            ("fragment", line("GET /a#b HTTP/1.1"), &[400]),
        ],
    );
    // HEAD is GET without a body, field by field.
    for target in [TILE, "/service?SERVICE=WMS&REQUEST=GetCapabilities", "/nothing", "/demo/"] {
        let mut client = daemon.client();
        let get = client.get(target).expect("GET");
        client.send(format!("HEAD {target} HTTP/1.1\r\n{HOST}\r\n")).expect("sent");
        let head = client.read_reply(true).expect("HEAD");
        let fields = |reply: &Reply| -> BTreeSet<(String, String)> {
            reply.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")).cloned().collect()
        };
        assert_eq!((head.status, fields(&head)), (get.status, fields(&get)), "{target}");
        assert_eq!(client.get(TILE).expect("nothing follows a HEAD").status, 200, "{target}");
    }
    daemon.stop();
}

#[test]
fn e12_paths_lead_nowhere_else() {
    let (dir, upstream) = (TestDir::new("e12"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let climbs = [
        "../",
        "%2e%2e/",
        "%2e%2e%2f",
        "%252e%252e/",
        "%c0%ae%c0%ae/",
        "..\\",
        "..%5c",
        ".%00./",
        "....//",
        "..;/",
    ];
    let places = [
        "/",
        "//",
        "/demo/",
        "/demo/static/",
        "/wmts/",
        "/wmts/painted/GLOBAL_WEBMERCATOR/",
        "/tms/1.0.0/",
        "/tiles/painted/",
        "/kml/painted/",
        "/service/",
    ];
    for place in places {
        for climb in climbs {
            for file in ["etc/passwd", "etc/passwd%00.png", "mapproxy.yaml"] {
                let target = format!("{place}{}{file}", climb.repeat(8));
                let reply = daemon.get(&target);
                // The demo pages send whoever is lost to their own front page.
                let to_front =
                    reply.status == 301 && reply.header("location").is_some_and(|to| to.ends_with("/demo/"));
                assert!(
                    (400..=404).contains(&reply.status) || to_front,
                    "{target}: {} {:?} {:.200}",
                    reply.status,
                    reply.header("location"),
                    reply.text()
                );
                let leaked = reply.text().contains("root:") || reply.text().contains("sources:");
                assert!(!leaked, "{target}: {:.200}", reply.text());
            }
        }
    }
    let passwd = "..%2f..%2f..%2fetc%2fpasswd";
    for target in [
        format!(
            "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={passwd}&STYLES=&SRS=EPSG:3857&BBOX=0,0,9,9&WIDTH=9&HEIGHT=9&FORMAT=image/png"
        ),
        format!(
            "/service?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER={passwd}&STYLE=&TILEMATRIXSET={passwd}&TILEMATRIX=5&TILECOL=1&TILEROW=1&FORMAT=image/png"
        ),
        format!("/tms/1.0.0/{passwd}/EPSG3857/4/1/1.png"),
        format!("/wmts/painted/{passwd}/5/1/1.png"),
        format!("/wmts/painted/GLOBAL_WEBMERCATOR/5/1/{passwd}.png"),
    ] {
        let reply = daemon.get(&target);
        assert!(
            is_deliberate(&reply) && !reply.content_type().starts_with("image/"),
            "{target}: {}",
            reply.status
        );
    }
    assert_eq!(upstream.count(), 0, "{:?}", upstream.targets());
    daemon.stop();
}

#[test]
fn e14_nothing_is_injected_into_a_head() {
    let (dir, upstream) = (TestDir::new("e14"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let evil = "x%0d%0aX-Injected:%201%0d%0a%0d%0a%3Cscript%3Ealert(1)%3C/script%3E%22%27";
    let mut requests: Vec<String> = ["format", "exceptions", "callback", "layers", "srs", "info_format", "request", "version", "styles", "bbox"]
        .iter()
        .map(|key| {
            format!(
                "GET /service?{key}={evil}&service=WMS&request=GetMap&version=1.1.1&layers=painted&styles=&srs=EPSG:3857\
                 &bbox=0,0,9,9&width=9&height=9&format=image/png HTTP/1.1\r\n{HOST}\r\n"
            )
        })
        .collect();
    for name in [
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-For",
        "X-Script-Name",
        "Referer",
        "Origin",
        "User-Agent",
    ] {
        let value = "x\"'><script>alert(1)</script>%0d%0aX-Injected: 1";
        requests.push(format!(
            "GET /service?SERVICE=WMS&REQUEST=GetCapabilities HTTP/1.1\r\n{HOST}{name}: {value}\r\n\r\n"
        ));
        requests.push(format!("GET /demo/ HTTP/1.1\r\n{HOST}{name}: {value}\r\n\r\n"));
    }
    requests.push(format!("GET /{evil} HTTP/1.1\r\n{HOST}\r\n"));
    requests.push(format!("GET /demo/?wms_layer={evil}&srs={evil}&format={evil} HTTP/1.1\r\n{HOST}\r\n"));
    for request in requests {
        let reply = ask(&daemon, &request);
        assert!(is_deliberate(&reply), "{request}: {}", reply.status);
        assert!(reply.header("x-injected").is_none(), "{request}: {:?}", reply.headers);
        let is_text = reply.content_type().contains("xml") || reply.content_type().contains("html");
        assert!(!is_text || !reply.text().contains("<script>alert(1)"), "{request}: {:.2000}", reply.text());
    }
    let log = settle_access_log(&daemon);
    assert!(!log.lines().any(|line| line.starts_with("X-Injected")), "{log}");
    daemon.stop();
}

fn get_map(changed: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = vec![
        ("SERVICE", "WMS"),
        ("VERSION", "1.1.1"),
        ("REQUEST", "GetMap"),
        ("LAYERS", "painted"),
        ("STYLES", ""),
        ("SRS", "EPSG:3857"),
        ("BBOX", "0,0,1000000,1000000"),
        ("WIDTH", "64"),
        ("HEIGHT", "64"),
        ("FORMAT", "image/png"),
    ];
    let changes: Vec<(&str, &str)> = changed.split('&').filter_map(|pair| pair.split_once('=')).collect();
    pairs.retain(|(key, _)| !changes.iter().any(|(other, _)| other == key));
    let pairs: Vec<String> =
        pairs.iter().chain(&changes).map(|(key, value)| format!("{key}={value}")).collect();
    format!("/service?{}", pairs.join("&"))
}

#[test]
fn e15_e16_absurd_sizes_and_boxes_get_an_answer_and_cost_nothing() {
    let (dir, upstream) = (TestDir::new("e15"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    let worker = daemon.workers()[0];
    let before_kib = silent::resident_kib(worker);
    let many = vec!["1"; 1_500].join(",");
    let mut changes: Vec<String> = [
        "0",
        "-1",
        "1000000000",
        "1.5",
        "",
        "0x10",
        "4294967297",
        "1e3",
        "NaN",
        "18446744073709551616",
        "%00",
        "٣",
    ]
    .iter()
    .flat_map(|value| {
        [format!("WIDTH={value}"), format!("HEIGHT={value}"), format!("WIDTH={value}&HEIGHT={value}")]
    })
    .collect();
    changes.push("WIDTH=1000000000&HEIGHT=1".into());
    changes.push("WIDTH=64&WIDTH=65".into());
    for bbox in [
        "nan,nan,nan,nan",
        "0,0,inf,inf",
        "-inf,-inf,inf,inf",
        "1e308,1e308,1.1e308,1.1e308",
        "-1e308,-1e308,1e308,1e308",
        "-0,-0,0,0",
        "9,9,0,0",
        "5,5,5,5",
        "0,0,9",
        "0,0,9,9,9",
        "",
        "a,b,c,d",
        "0,0,1e-300,1e-300",
        "1e300,0,2e300,9",
        ",,,",
        "0,0,9,9,",
        "0 0 9 9",
        &many,
    ] {
        changes.push(format!("BBOX={bbox}"));
        changes.push(format!("BBOX={bbox}&SRS=EPSG:4326"));
        changes.push(format!("BBOX={bbox}&SRS=EPSG:25832"));
    }
    for bbox in
        ["170,-10,190,10", "-190,-10,-170,10", "-180,-90,180,90", "-1000,-1000,1000,1000", "0,89,1,91"]
    {
        changes.push(format!("BBOX={bbox}&SRS=EPSG:4326"));
    }
    for change in &changes {
        let mut client = daemon.client();
        let reply = client.get(&get_map(change)).unwrap_or_else(|end| panic!("{change}: {end:?}"));
        assert!(is_deliberate(&reply), "{change}: {} {:.200}", reply.status, reply.text());
    }
    let grown_kib = silent::resident_kib(worker).saturating_sub(before_kib);
    eprintln!("{} requests; the worker grew by {grown_kib} KiB", changes.len());
    assert!(grown_kib < 192 * 1024, "the worker grew by {grown_kib} KiB");
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e17_tiles_that_are_not_in_the_grid_ask_nobody() {
    let (dir, upstream) = (TestDir::new("e17"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let mut targets = Vec::new();
    for odd in [
        "-1",
        "99",
        "9223372036854775808",
        "2147483648",
        "1e3",
        "+1",
        "0x1",
        "",
        "1.0",
        "%D9%A3",
        " 1",
        "%201",
        "99999999999999999999999",
    ] {
        let odd = odd.replace(' ', "%20");
        targets.push(format!("/wmts/painted/GLOBAL_WEBMERCATOR/{odd}/1/1.png"));
        targets.push(format!("/wmts/painted/GLOBAL_WEBMERCATOR/05/{odd}/1.png"));
        targets.push(format!("/wmts/painted/GLOBAL_WEBMERCATOR/05/1/{odd}.png"));
        targets.push(format!("/tms/1.0.0/painted/EPSG3857/{odd}/1/1.png"));
        targets.push(format!("/tms/1.0.0/painted/EPSG3857/4/{odd}/1.png"));
        targets.push(format!("/tiles/painted/EPSG3857/5/1/{odd}.png"));
        targets.push(format!("/kml/painted/EPSG3857/5/1/{odd}.png"));
        targets.push(format!(
            "/service?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=painted&STYLE=&TILEMATRIXSET=GLOBAL_WEBMERCATOR&TILEMATRIX=05&TILECOL={odd}&TILEROW=1&FORMAT=image/png"
        ));
    }
    // One past the edge in each direction: level 5 has 32 tiles to the side.
    targets.push("/wmts/painted/GLOBAL_WEBMERCATOR/05/32/1.png".into());
    targets.push("/wmts/painted/GLOBAL_WEBMERCATOR/05/1/32.png".into());
    let faults: Vec<String> = targets
        .iter()
        .filter_map(|target| {
            // 99 as a column or row is past the edge as well.
            let reply = daemon.get(target);
            let wrong =
                !is_deliberate(&reply) || reply.content_type().starts_with("image/") && reply.status == 200;
            wrong.then(|| format!("{target}: {} {}", reply.status, reply.content_type()))
        })
        .collect();
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), targets.len(), faults.join("\n"));
    assert_eq!(upstream.count(), 0, "{:?}", upstream.targets());
    daemon.stop();
}

#[test]
fn e18_absurd_parameters_are_bounded() {
    let (dir, upstream) = (TestDir::new("e18"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let times = vec!["2026-01-01"; 700].join(",");
    for change in [
        format!("LAYERS={}", vec!["painted"; 900].join(",")),
        format!("LAYERS={}", vec!["absent"; 900].join(",")),
        format!("LAYERS={}", ",".repeat(7_000)),
        format!("TIME={times}"),
        format!("SLD_BODY={}", "%3Ca%3E".repeat(900)),
        "SRS=EPSG:999999".into(),
        "SRS=EPSG:".into(),
        "SRS=EPSG:3857;DROP%20TABLE".into(),
        "SRS=%2Bproj=pipeline%20%2Bstep%20%2Binit=/etc/passwd".into(),
        "SRS=../../etc/passwd".into(),
        "SRS=EPSG:99999999999999999999".into(),
        "FORMAT=image/../../x".into(),
        format!("FORMAT={}", "x".repeat(7_000)),
        format!("{}=1", "A".repeat(7_000)),
        vec!["A=1"; 1_500].join("&"),
        "BGCOLOR=0xzzzzzz".into(),
        "BGCOLOR=".into(),
        "TRANSPARENT=perhaps".into(),
        "VERSION=99.99.99".into(),
        "VERSION=".into(),
        "EXCEPTIONS=nothing".into(),
    ] {
        let reply = daemon.get(&get_map(&change));
        assert!(is_deliberate(&reply), "{change:.60}: {} {:.200}", reply.status, reply.text());
    }
    // A body of colliding and of very many names.
    let body = vec!["Aa=BB&BB=Aa"; 80_000].join("&");
    let request = format!(
        "POST /service?SERVICE=WMS&REQUEST=GetCapabilities HTTP/1.1\r\n{HOST}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = ask(&daemon, request);
    assert!(is_deliberate(&reply), "{}", reply.status);
    check_tile(&daemon);
    daemon.stop();
}

#[test]
fn e19_pipelines_are_answered_in_order_and_end_at_a_bad_one() {
    let (dir, upstream) = (TestDir::new("e19"), Upstream::start());
    let daemon = start(&dir, &upstream, "keep_alive_requests: 5000");
    let targets: Vec<Target> = (0..1_000).map(|n| Target::tile(5, 16 + n % 4, 8 + (n / 4) % 4)).collect();
    let get = |target: &Target| format!("GET {} HTTP/1.1\r\n{HOST}\r\n", target.path);
    let requests: String = targets.iter().map(get).collect();
    let mut client = daemon.client();
    let mut sender = client.stream().try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::io::Write::write_all(&mut sender, requests.as_bytes()).expect("all are taken")
        });
        for target in &targets {
            let reply = client.read_reply(false).expect("an answer to each");
            let (level, column, row) = target.tile.expect("a tile");
            painted::check(&reply.body, level, column, row).expect("in the order of the requests");
        }
    });
    // Ten good ones, a bad one, and some that must not be seen.
    let bad = format!("GET /bad HTTP/1.1\r\n{HOST}X : 1\r\n\r\n");
    let after = format!("GET /after-the-bad-one HTTP/1.1\r\n{HOST}\r\n").repeat(5);
    let good: String = targets[..10].iter().map(get).collect();
    let (answer, end) = send(&daemon, format!("{good}{bad}{after}").as_bytes());
    assert_eq!((count(&answer, b"HTTP/1.1 200 "), count(&answer, b"HTTP/1.1 "), end), (10, 11, End::Fin));
    assert_eq!(count(&answer, b"HTTP/1.1 400 "), 1);
    assert!(!settle_access_log(&daemon).contains("after-the-bad-one"));
    daemon.stop();
}

#[test]
fn e20_conditions_and_ranges_follow_the_rules() {
    let (dir, upstream) = (TestDir::new("e20"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    // A tile just made has the time of its making, a stored one that of its file.
    check_tile(&daemon);
    let first = daemon.get(TILE);
    let etag = first.header("etag").expect("a tile has an ETag").to_owned();
    let modified = first.header("last-modified").expect("a tile has a date").to_owned();
    let ranges = (0..1_000).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(",");
    for (fields, statuses) in [
        (format!("If-None-Match: {etag}"), &[304][..]),
        ("If-None-Match: *".into(), &[304]),
        (format!("If-None-Match: \"a\", W/\"b\", {etag}"), &[304]),
        ("If-None-Match: \"other\"".into(), &[200]),
        (format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {modified}"), &[200]),
        ("If-None-Match: garbage".into(), &[200]),
        (format!("If-Modified-Since: {modified}"), &[304]),
        ("If-Modified-Since: Mon, 01 Jan 0000 00:00:00 GMT".into(), &[200]),
        ("If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT".into(), &[200, 304]),
        ("If-Modified-Since: yesterday".into(), &[200]),
        ("Range: bytes=0-9".into(), &[200, 206]),
        ("Range: bytes=9-0".into(), &[200, 416]),
        ("Range: bytes=-0".into(), &[200, 416]),
        (format!("Range: bytes={ranges}"), &[200, 206, 416]),
        ("Range: lines=1-2".into(), &[200]),
        (format!("Accept-Encoding: {}", "gzip;q=0.1, br;q=1, ".repeat(200)), &[200]),
        ("Accept-Encoding: identity;q=0, *;q=0".into(), &[200, 406]),
        ("Accept: text/html".into(), &[200]),
    ] {
        let reply = ask(&daemon, format!("GET {TILE} HTTP/1.1\r\n{HOST}{fields}\r\n\r\n"));
        assert!(statuses.contains(&reply.status), "{fields:.80}: {}", reply.status);
        match reply.status {
            200 => painted::check(&reply.body, 5, 17, 11).expect("the whole tile"),
            304 => {
                assert!(reply.body.is_empty() && reply.header("etag") == Some(&etag), "{:?}", reply.headers)
            }
            _ => {}
        }
    }
    daemon.stop();
}

#[test]
fn e21_expectations() {
    let (dir, upstream) = (TestDir::new("e21"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    let mut client = daemon.client();
    let head = format!("POST /service HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    client.send(&head).expect("the head");
    let mut first = [0; 25];
    client.stream().set_read_timeout(Some(PATIENCE)).expect("a timeout");
    std::io::Read::read_exact(&mut client.stream(), &mut first).expect("an interim answer");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("SERVICE=WMS").expect("the body");
    assert!(client.read_reply(false).expect("the answer").status < 500);
    assert_eq!(client.get(TILE).expect("the next").status, 200);
    // The body along with the head: nobody waits.
    let (answer, _) = send(
        &daemon,
        format!("{}SERVICE=WMS", head.replace("Expect", "Connection: close\r\nExpect")).as_bytes(),
    );
    assert_eq!(count(&answer, b"HTTP/1.1 "), 1, "{}", String::from_utf8_lossy(&answer));
    check_refusals(&daemon, &[("unknown", head.replace("100-continue", "tea").into_bytes(), &[417])]);
    daemon.stop();
}

#[test]
fn e22_clients_that_leave_in_any_way_leave_nothing() {
    let (dir, upstream) = (TestDir::new("e22"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    check_tile(&daemon);
    let worker = daemon.workers()[0];
    let before = silent::descriptors(worker);
    // Who has ended his side still gets his answers.
    let mut client = daemon.client();
    client.send(format!("GET {TILE} HTTP/1.1\r\n{HOST}\r\n").repeat(3)).expect("sent");
    client.half_close();
    let (answer, end) = client.read_to_end();
    assert_eq!((count(&answer, b"HTTP/1.1 200 "), end), (3, End::Fin));
    let request = format!("GET {TILE} HTTP/1.1\r\n{HOST}\r\n");
    let capabilities =
        format!("GET /service?SERVICE=WMS&REQUEST=GetCapabilities HTTP/1.1\r\n{HOST}\r\n").repeat(50);
    for round in 0..300 {
        let mut client = daemon.client();
        match round % 5 {
            // Says nothing.
            0 => {}
            1 => client.send(&request[..20]).expect("half a request"),
            2 => client.send(&request).expect("a request"),
            // Leaves in the middle of an answer, with a reset.
            3 => {
                client.send(&capabilities).expect("many");
                reset(&client);
            }
            _ => {
                client.send(&request).expect("a request");
                reset(&client);
            }
        }
    }
    // While a render is under way: it ends once, for nobody.
    upstream.hold();
    let mut gone = daemon.client();
    gone.send_get("/wmts/painted/GLOBAL_WEBMERCATOR/05/1/1.png").expect("sent");
    upstream.await_count(2);
    reset(&gone);
    drop(gone);
    upstream.release();
    await_some("the abandoned tile to be stored", || {
        let mut client = daemon.client();
        let reply = client.get("/wmts/painted/GLOBAL_WEBMERCATOR/05/1/1.png").ok()?;
        painted::check(&reply.body, 5, 1, 1).ok()
    });
    assert!(upstream.count() <= 3, "{:?}", upstream.targets());
    // One more is the pooled connection to the upstream.
    await_some("all connections to be given back", || {
        (silent::descriptors(worker) <= before + 1).then_some(())
    });
    check_tile(&daemon);
    daemon.stop();
}

fn reset(client: &Client) {
    socket2::SockRef::from(client.stream())
        .set_linger(Some(Duration::ZERO))
        .expect("a reset instead of an end");
}

#[test]
fn e23_hop_fields_and_upgrades_are_passed_over() {
    let (dir, upstream) = (TestDir::new("e23"), Upstream::start());
    let daemon = start(&dir, &upstream, "");
    for fields in [
        "Connection: Host, Content-Length, X-Forwarded-For",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "TE: trailers, deflate",
        "Keep-Alive: timeout=999999",
        "Proxy-Connection: keep-alive",
        "Connection: ,, ,",
    ] {
        let request = format!("GET {TILE} HTTP/1.1\r\n{HOST}{fields}\r\n\r\n");
        assert!(persists(&daemon, &request), "{fields}");
    }
    daemon.stop();
}
