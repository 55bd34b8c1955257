//! What is believed of a proxy: the PROXY protocol at listeners that ask for
//! it, and the fields that name host, scheme, prefix and client.

use crate::harness::daemon::Setup;
use crate::harness::{Client, Daemon, End, Reply, TestDir, Upstream, painted};
use crate::http_abuse::{HOST, TILE, settle_access_log};
use crate::smoke::painted_map;

const CAPABILITIES: &str = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities";

fn ask(daemon: &Daemon, fields: &str, target: &str) -> Reply {
    let mut client = daemon.client();
    client.send(format!("GET {target} HTTP/1.1\r\n{HOST}{fields}\r\n")).expect("sent");
    client.read_reply(false).unwrap_or_else(|end| panic!("{fields}: {end:?}"))
}

/// Clients in the access log, by their user agents.
fn logged_client(log: &str, agent: &str) -> String {
    let line = log.lines().find(|line| line.contains(&format!("\"{agent}\"")));
    let line = line.unwrap_or_else(|| panic!("{agent} is not in {log}"));
    let (_, rest) = line.split_once("\"peer\":\"").unwrap_or_else(|| panic!("no peer in {line}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// A header of version 2 for that client, with an addition that says TLS.
fn version_2(client: [u8; 4], tls: bool) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    let mut rest = [&client[..], &[127, 0, 0, 1, 0x30, 0, 0, 80]].concat();
    if tls {
        rest.extend([0x20, 0, 5, 1, 0, 0, 0, 0]);
    }
    bytes.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn e24_the_proxy_protocol_names_the_client() {
    let (dir, upstream) = (TestDir::new("e24"), Upstream::start());
    let setup = Setup::new(&dir, painted_map(&upstream)).workers(1);
    let daemon = setup.listener_yaml("proxy_protocol: [127.0.0.1]").start();
    let request = |agent: &str| format!("GET {TILE} HTTP/1.1\r\n{HOST}User-Agent: {agent}\r\n\r\n");
    let headers: [(&str, Vec<u8>, &str); 4] = [
        ("line", b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n".to_vec(), "192.0.2.7"),
        ("line6", b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(), "2001:db8::7"),
        ("unknown", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ("binary", version_2([192, 0, 2, 9], false), "192.0.2.9"),
    ];
    for (agent, header, _) in &headers {
        // Whole, and cut at each byte: with the header, then with the request.
        let bytes = [header, request(agent).as_bytes()].concat();
        for cut in [0, 1, 5, 13, header.len() - 1, header.len(), header.len() + 1] {
            let mut client = daemon.client();
            client.send(&bytes[..cut]).expect("the first part");
            client.send(&bytes[cut..]).expect("the rest");
            for _ in 0..2 {
                let reply = client.read_reply(false).expect("an answer");
                assert_eq!(reply.status, 200, "{agent} cut at {cut}: {}", reply.text());
                painted::check(&reply.body, 5, 17, 11).expect("the right tile");
                client.send(request(agent)).expect("the next, without a header");
            }
        }
    }
    let mut client = daemon.client();
    client
        .send(
            [version_2([192, 0, 2, 9], true), format!("GET {CAPABILITIES} HTTP/1.1\r\n{HOST}\r\n").into()]
                .concat(),
        )
        .expect("sent");
    let reply = client.read_reply(false).expect("capabilities");
    assert!(reply.text().contains("https://maps.test/service"), "{}", reply.text());
    for bytes in [request("bare"), "PROXY TCP9 a b 1 2\r\n".into(), "\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0".into()]
    {
        let mut client = daemon.client();
        client.send(&bytes).expect("sent");
        let (answer, end) = client.read_to_end();
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 400 ") && end == End::Fin, "{bytes:?}: {text} {end:?}");
    }
    let mut client = daemon.client();
    client.send("PROXY UNKNOWN\r\nGET /the-last-one HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert_eq!(client.read_reply(false).expect("an answer").status, 404);
    let log = crate::harness::await_some("the last request in the log", || {
        let log = daemon.access_log();
        log.contains("/the-last-one").then_some(log)
    });
    for (agent, _, client) in &headers {
        assert_eq!(logged_client(&log, agent), *client, "{agent}");
    }
    daemon.stop();
}

#[test]
fn e24_who_is_no_sender_is_turned_away() {
    let (dir, upstream) = (TestDir::new("e24-stranger"), Upstream::start());
    let setup = Setup::new(&dir, painted_map(&upstream)).workers(1);
    let daemon = setup.listener_yaml("proxy_protocol: [192.0.2.0/24]").start();
    for bytes in ["PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n", ""] {
        let mut client = Client::connect(daemon.address).expect("accepted");
        let _ = client.send(bytes);
        let _ = client.send_get(TILE);
        let (answer, end) = client.read_to_end();
        assert!(answer.is_empty() && end != End::Timeout && end != End::Open, "{answer:?} {end:?}");
    }
    daemon.await_log("not a sender of the PROXY protocol", 1);
    daemon.stop();
}

#[test]
fn forwarded_fields_are_believed_from_everybody_or_from_the_list() {
    let (dir, upstream) = (TestDir::new("forwarded"), Upstream::start());
    let fields = "X-Forwarded-Host: maps.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n\
                  X-Forwarded-Prefix: /gis\r\n";
    let rfc = "Forwarded: for=192.0.2.8;host=\"rfc.example:81\";proto=https\r\n";
    for (yaml, expected, expected_rfc, client, client_rfc) in [
        // As MapProxy: everybody, but for who he is.
        (
            "",
            "https://maps.example:8443/gis/service",
            "https://rfc.example:81/service",
            "127.0.0.1",
            "127.0.0.1",
        ),
        (
            "trusted_proxies: [127.0.0.0/8]\n",
            "https://maps.example:8443/gis/service",
            "http://maps.test/service",
            "192.0.2.7",
            "127.0.0.1",
        ),
        (
            "trusted_proxies: [127.0.0.1]\nforwarded_fields: forwarded\n",
            "http://maps.test/service",
            "https://rfc.example:81/service",
            "127.0.0.1",
            "192.0.2.8",
        ),
        (
            "trusted_proxies: [10.0.0.0/8, unix]\n",
            "http://maps.test/service",
            "http://maps.test/service",
            "127.0.0.1",
            "127.0.0.1",
        ),
    ] {
        let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).daemon_yaml(yaml).start();
        let x_for = "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.3\r\nUser-Agent: x\r\n";
        let reply = ask(&daemon, &format!("{fields}{x_for}"), CAPABILITIES);
        assert!(reply.text().contains(&format!("\"{expected}")), "{yaml}: {}", reply.text());
        let vary = reply.header("vary").unwrap_or_default();
        for name in ["X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded"] {
            assert!(vary.contains(name), "{vary}");
        }
        let reply = ask(&daemon, &format!("{rfc}User-Agent: rfc\r\n"), CAPABILITIES);
        assert!(reply.text().contains(&format!("\"{expected_rfc}")), "{yaml}: {}", reply.text());
        let log = settle_access_log(&daemon);
        assert_eq!(logged_client(&log, "x"), client, "{yaml}");
        assert_eq!(logged_client(&log, "rfc"), client_rfc, "{yaml}");
        daemon.stop();
        std::fs::remove_file(dir.join("access.log")).expect("a log");
    }
}
