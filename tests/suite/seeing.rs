//! What an operator sees: metrics, health, readiness, status, the access log,
//! and that a request's trace goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::smoke::painted_map;
use crate::harness::client::{Client, Reply};
use crate::harness::daemon::{Daemon, Setup};
use crate::harness::{TestDir, Upstream, await_some, painted};

const ADMIN: &str = "admin: 127.0.0.1:0\n";
const TILE: &str = "/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png";

/// Where the admin socket is: the log tells.
fn admin_of(daemon: &Daemon) -> SocketAddr {
    await_some("the admin address in the log", || {
        let log = daemon.log();
        let told = log.split("admin on ").nth(1)?;
        told.split(|c: char| c != '.' && c != ':' && !c.is_ascii_digit())
            .next()?
            .trim_end_matches(':')
            .parse()
            .ok()
    })
}

fn ask(admin: SocketAddr, target: &str) -> Reply {
    Client::connect(admin).expect("the admin socket").get(target).expect("an answer")
}

fn status(admin: SocketAddr) -> Value {
    serde_json::from_str(&ask(admin, "/status.json").text()).expect("JSON")
}

/// The lines of a metrics text that are no comments, by what stands before the number.
fn numbers(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap_or_else(|| panic!("no number in {line:?}")));
    pairs.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// A scrape by each of `count` workers. On an idle machine one and the same
/// would answer always, so who has answered stands still until all have.
fn scrapes(admin: SocketAddr, count: usize) -> BTreeMap<u64, String> {
    let mut by_worker = BTreeMap::new();
    let signal = |pid: u64, signal| kill(Pid::from_raw(pid as i32), signal).expect("a worker");
    while by_worker.len() < count {
        let mut client = Client::connect(admin).expect("the admin socket");
        let told: Value =
            serde_json::from_str(&client.get("/status.json").expect("a status").text()).expect("JSON");
        let pid = told["answered_by"].as_u64().expect("a process number");
        by_worker.insert(pid, client.get("/metrics").expect("metrics").text());
        signal(pid, Signal::SIGSTOP);
    }
    by_worker.keys().for_each(|pid| signal(*pid, Signal::SIGCONT));
    by_worker
}

/// What only grows, of the things that requests move.
fn totals(text: &str) -> BTreeMap<String, f64> {
    let all = numbers(text).into_iter();
    all.filter(|(name, _)| {
        (name.contains("_total") || name.contains("_bucket") || name.contains("_count"))
            && !name.starts_with("rhumb_reloads")
            && !name.starts_with("rhumb_worker_deaths")
    })
    .collect()
}

fn wmts(status: &str, cache: &str) -> String {
    format!(
        "rhumb_requests_total{{service=\"wmts\",layer=\"painted\",status=\"{status}\",cache=\"{cache}\"}}"
    )
}

#[test]
fn totals_agree_between_workers_and_survive_a_death_and_a_reload() {
    let dir = TestDir::new("seeing-totals");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(2).daemon_yaml(ADMIN).start();
    let admin = admin_of(&daemon);
    for _ in 0..5 {
        painted::check(&daemon.get(TILE).body, 5, 17, 11).expect("the right tile");
    }
    assert_eq!(daemon.get("/wmts/painted/GLOBAL_WEBMERCATOR/99/17/11.png").status, 400);
    let nobody = "/service?service=WMS&request=GetMap&version=1.1.1&layers=made-up&styles=&srs=EPSG:3857\
                  &bbox=0,0,1000,1000&width=10&height=10&format=image/png";
    daemon.get(nobody);
    // A request is counted when its answer is out: a moment after its client has it.
    await_some("seven requests to be counted", || {
        let counted = numbers(&ask(admin, "/metrics").text());
        let requests = counted.iter().filter(|(name, _)| name.starts_with("rhumb_requests_total"));
        (requests.map(|(_, count)| count).sum::<f64>() >= 7.0).then_some(())
    });

    let by_worker = scrapes(admin, 2);
    let texts: Vec<&String> = by_worker.values().collect();
    assert_eq!(totals(texts[0]), totals(texts[1]), "two workers tell different totals");
    let seen = numbers(texts[0]);
    assert_eq!((seen.get(&wmts("2xx", "miss")), seen.get(&wmts("2xx", "hit"))), (Some(&1.0), Some(&4.0)));
    assert_eq!(seen.get("rhumb_tiles_stored_total"), Some(&16.0));
    assert_eq!(seen.get("rhumb_upstream_requests_total{source=\"mock\",outcome=\"ok\"}"), Some(&1.0));
    assert_eq!(seen.get("rhumb_workers{state=\"serving\"}"), Some(&2.0));
    assert_eq!(seen.get("rhumb_request_duration_seconds_count{service=\"wmts\"}"), Some(&6.0));
    assert!(!texts[0].contains("made-up"), "a client made up a series");

    // A worker is shot; its numbers stay.
    let before = totals(texts[0]);
    let victim = daemon.workers()[0];
    kill(Pid::from_raw(victim as i32), Signal::SIGKILL).expect("it lives");
    daemon.await_workers(2, &[victim]);
    await_some("two serving workers", || {
        (numbers(&ask(admin, "/metrics").text()).get("rhumb_workers{state=\"serving\"}") == Some(&2.0))
            .then_some(())
    });
    assert_eq!(totals(&ask(admin, "/metrics").text()), before, "a death took numbers with it");
    assert_eq!(numbers(&ask(admin, "/metrics").text()).get("rhumb_worker_deaths_total"), Some(&1.0));

    // A reload is refused, then one is done; both are told.
    daemon.replace(&daemon.map, "services: {wms: }\nlayers: [{name: x, title: x, sources: [nothing]}]\n");
    daemon.signal(Signal::SIGHUP);
    let last = await_some("the refusal in the status", || {
        let last = status(admin)["last_reload"].clone();
        (last["ok"] == false).then_some(last)
    });
    assert!(last["errors"].to_string().contains("nothing"), "{last}");
    daemon.replace(&daemon.map, &painted_map(&upstream));
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 2", 1);
    let after = await_some("the second generation", || {
        let text = ask(admin, "/metrics").text();
        (numbers(&text).get("rhumb_generation") == Some(&2.0)).then_some(text)
    });
    assert_eq!(totals(&after), before, "a reload took numbers with it");
    let seen = numbers(&after);
    assert_eq!(seen.get("rhumb_reloads_total{outcome=\"done\"}"), Some(&1.0));
    assert_eq!(seen.get("rhumb_reloads_total{outcome=\"refused\"}"), Some(&1.0));
    // Counting goes on in the same series.
    daemon.get(TILE);
    await_some("one more hit", || {
        let counted = numbers(&ask(admin, "/metrics").text());
        (counted.get(&wmts("2xx", "hit")) == Some(&5.0)).then_some(())
    });
    daemon.stop();
}

#[test]
fn health_and_readiness_tell_a_balancer_when_to_look_elsewhere() {
    let dir = TestDir::new("seeing-ready");
    let upstream = Upstream::start();
    let lines = format!("{ADMIN}limits: {{stop_delay_ms: 600000}}\n");
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(2).daemon_yaml(&lines).start();
    let admin = admin_of(&daemon);
    for (target, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let reply = ask(admin, target);
        assert_eq!((reply.status, reply.text().as_str()), (200, text), "{target}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    assert_eq!(ask(admin, TILE).status, 404, "maps are not for this socket");
    assert_eq!(daemon.get("/metrics").status, 404, "and this is not for clients");
    let mut client = Client::connect(admin).expect("the admin socket");
    client.send("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").expect("sent");
    assert_eq!(client.read_reply(false).expect("an answer").status, 405);

    // Told to stop, it says so first and serves on.
    let mut kept = daemon.client();
    daemon.signal(Signal::SIGQUIT);
    daemon.await_log("serving on for 600000 ms", 1);
    let reply = ask(admin, "/readyz");
    assert_eq!((reply.status, reply.text().as_str()), (503, "stopping\n"));
    assert_eq!(ask(admin, "/healthz").status, 200);
    assert_eq!(status(admin)["state"], "leaving");
    for reply in [daemon.get(TILE), kept.get(TILE).expect("an answer")] {
        painted::check(&reply.body, 5, 17, 11).expect("the right tile");
        assert!(!reply.closes(), "it does not drain yet");
    }
    // Who cannot wait says so once more.
    drop(kept);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.await_end(), Some(0));

    // It ends by itself when the delay is over.
    let dir = TestDir::new("seeing-delay");
    let lines = "limits: {stop_delay_ms: 50}\n";
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).daemon_yaml(lines).start();
    daemon.signal(Signal::SIGQUIT);
    assert_eq!(daemon.await_end(), Some(0));
}

#[test]
fn the_access_log_and_cache_status_tell_where_an_answer_came_from() {
    let dir = TestDir::new("seeing-log");
    let upstream = Upstream::start();
    let daemon = Setup::new(&dir, painted_map(&upstream)).workers(1).start();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut client = daemon.client();
    let request = |field: &str| format!("GET {TILE} HTTP/1.1\r\nHost: maps.test\r\n{field}\r\n");
    client.send(request(&format!("traceparent: {parent}\r\n"))).expect("sent");
    let made = client.read_reply(false).expect("an answer");
    assert_eq!(made.header("cache-status"), Some("rhumb; fwd=miss; stored"));
    assert_eq!(client.get(TILE).expect("an answer").header("cache-status"), Some("rhumb; hit"));
    let capabilities = client.get("/service?service=WMS&request=GetCapabilities").expect("an answer");
    assert_eq!(capabilities.header("cache-status"), None);

    let lines = await_some("three lines", || {
        let text = daemon.access_log();
        (text.lines().count() >= 3).then(|| text.lines().map(str::to_owned).collect::<Vec<_>>())
    });
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        (text("service"), text("layer"), line["level"].as_u64(), text("cache"))
    };
    let tile = |cache: &str| ("wmts".to_owned(), "painted".to_owned(), Some(5), cache.to_owned());
    assert_eq!((told(&lines[0]), told(&lines[1])), (tile("miss"), tile("hit")));
    assert_eq!(told(&lines[2]), ("wms".into(), "-".into(), None, "none".into()));
    let spent = |name: &str| lines[0][name].as_f64().unwrap_or_else(|| panic!("no {name}"));
    assert!(
        spent("upstream_ms") > 0.0 && spent("render_ms") > 0.0 && spent("lock_ms") == 0.0,
        "{}",
        lines[0]
    );
    assert_eq!(lines[1]["upstream_ms"], 0.0);
    assert_eq!(lines[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(lines[0]["parent_span_id"], "00f067aa0ba902b7");
    let span = lines[0]["span_id"].as_str().expect("a span of our own");
    assert!(span.len() == 16 && span != "00f067aa0ba902b7");
    assert!(lines[1].get("trace_id").is_none());
    let sent = upstream.fields();
    assert!(
        sent[0].contains(&format!("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01")),
        "{sent:?}"
    );
    daemon.stop();
}

#[test]
fn stale_and_direct_answers_are_told_apart() {
    let dir = TestDir::new("seeing-states");
    let upstream = Upstream::start();
    let map = painted_map(&upstream)
        .replace("layers:\n", "layers:\n  - {name: direct, title: Direct, sources: [mock]}\n");
    let stale =
        map.replace("sources: [mock]}\nsources", "sources: [mock], refresh_before: {seconds: 0}}\nsources");
    assert_ne!(map, stale);
    let daemon = Setup::new(&dir, map).workers(1).start();
    let direct = "/service?service=WMS&request=GetMap&version=1.1.1&layers=direct&styles=&srs=EPSG:3857\
                  &bbox=0,0,1000000,1000000&width=256&height=256&format=image/png";
    assert_eq!(daemon.get(direct).header("cache-status"), Some("rhumb; fwd=bypass"));
    daemon.get(TILE);
    drop(upstream);
    daemon.replace(&daemon.map, &stale);
    daemon.signal(Signal::SIGHUP);
    daemon.await_log("reloaded: generation 2", 1);
    let reply = await_some("an answer of the new generation", || {
        let reply = daemon.get(TILE);
        (reply.header("cache-status") != Some("rhumb; hit")).then_some(reply)
    });
    assert_eq!((reply.status, reply.header("cache-status")), (200, Some("rhumb; fwd=stale")));
    painted::check(&reply.body, 5, 17, 11).expect("the old tile");
    daemon.stop();
}

/// Every name of a metric that a query may use.
fn metric_names() -> BTreeSet<String> {
    let families = rhumb::board::metrics::FAMILIES.iter();
    families
        .flat_map(|family| match family.kind {
            "histogram" => {
                ["_bucket", "_sum", "_count"].iter().map(|s| format!("{}{s}", family.name)).collect()
            }
            _ => vec![family.name.to_owned()],
        })
        .collect()
}

/// All texts under a key, wherever it stands.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|inner| texts(inner, key, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| texts(inner, key, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/grafana-dashboard.json");
    let text = std::fs::read_to_string(path).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut queries = Vec::new();
    texts(&dashboard, "expr", &mut queries);
    texts(&dashboard, "query", &mut queries);
    assert!(queries.len() > 15, "{} queries", queries.len());
    let known = metric_names();
    let mut used = BTreeSet::new();
    for query in queries {
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|w| w.starts_with("rhumb_") || w.starts_with("process_")) {
            assert!(known.contains(word), "{word} in {query} is no metric of ours");
            used.insert(word);
        }
    }
    assert!(used.len() > 15, "{used:?}");
}

#[test]
fn every_metric_is_in_the_manual() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operate.md");
    let text = std::fs::read_to_string(path).expect("docs/operate.md");
    for family in rhumb::board::metrics::FAMILIES {
        let row = format!("| `{}` | {} |", family.name, family.kind);
        assert!(text.contains(&row), "no row {row:?}");
    }
}

#[cfg(feature = "peers")]
mod with_peers {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::harness::peers::peer;

    #[test]
    fn promtool_finds_nothing_to_blame() {
        let dir = TestDir::new("seeing-promtool");
        let upstream = Upstream::start();
        let daemon = Setup::new(&dir, painted_map(&upstream)).daemon_yaml(ADMIN).start();
        painted::check(&daemon.get(TILE).body, 5, 17, 11).expect("the right tile");
        let reply = ask(admin_of(&daemon), "/metrics");
        assert_eq!(reply.content_type(), "text/plain; version=0.0.4; charset=utf-8");
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool runs: see tests/install");
        promtool.stdin.take().expect("a pipe").write_all(&reply.body).expect("it reads");
        let output = promtool.wait_with_output().expect("it ends");
        let told = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && told.is_empty(), "{}", String::from_utf8_lossy(&told));
        daemon.stop();
    }

    /// The page in a real browser, at the width of a desk and of a phone; the
    /// pictures lie in `target/browser` afterwards, to be looked at.
    #[test]
    fn the_status_page_is_right_on_desk_and_phone() {
        let dir = TestDir::new("seeing-page");
        let upstream = Upstream::start();
        let daemon = Setup::new(&dir, painted_map(&upstream)).workers(2).daemon_yaml(ADMIN).start();
        let admin = admin_of(&daemon);
        for column in 0..12 {
            daemon.get(&format!("/wmts/painted/GLOBAL_WEBMERCATOR/05/{column}/11.png"));
        }
        daemon.replace(
            &daemon.map,
            "services: {wms: }\nlayers: [{name: x, title: <b>x, sources: [no<script>]}]\n",
        );
        daemon.signal(Signal::SIGHUP);
        await_some("the refusal", || (status(admin)["last_reload"]["ok"] == false).then_some(()));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let pictures = root.join("target/browser");
        std::fs::create_dir_all(&pictures).expect("a directory for screenshots");
        let output = Command::new("node")
            .arg(root.join("tests/browser/status.mjs"))
            .arg(format!("http://{admin}"))
            .arg(format!("http://{}", daemon.address))
            .arg(&pictures)
            .arg(peer("node_modules").parent().expect("it lies in a directory"))
            .output()
            .expect("node runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        daemon.stop();
    }
}
