//! Callbacks of MapProxy's, in MapProxy itself and behind the small servers of
//! docs/auth.md and docs/decorate.md: the same callback decides the same in both.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rhumb::render::{DecodeLimits, decode};

use crate::auth::{Faults, ask, seen, targets, told, upstream};
use crate::auth_matrix::{Class, KINDS, Kind, OUTCOMES, Outcome, is_named, map, place, requests};
use crate::harness::client::Client;
use crate::harness::daemon::Setup;
use crate::harness::peers::{MapProxy, peer};
use crate::harness::port::Port;
use crate::harness::{Reply, TestDir, await_some};

/// What a callback says to the same cases as `auth_matrix::callback`, but for
/// levels, of which MapProxy knows nothing.
const AUTHORIZE: &str = "
def authorize(service, layers=[], environ=None, query_extent=None, **kw):
    case = environ.get('HTTP_COOKIE', '')
    every = dict(map=True, tile=True, featureinfo=True)
    area = dict(limited_to=dict(geometry=[0.0, 0.0, 16.875, 80.0], srs='EPSG:4326'))
    def some(open, closed):
        return dict(authorized='partial', layers=dict(open=open, closed=closed, group=every))
    if case == 'LayerFull':
        return dict(authorized='full')
    if case == 'LayerPart':
        return some(every, dict(map=False))
    if case == 'LayerNone':
        return dict(authorized='none')
    if case in ('GeometryFull', 'GeometryPart', 'GeometryNone'):
        return some(dict(every, **area), dict(every, **area))
    return dict(authorized='unauthenticated')
";

/// That of MapProxy's own test.
const DECORATE: &str = "
from mapproxy.image import ImageResult

def decorate(image, service, layers, **kw):
    img = image.as_image()
    if getattr(image.image_opts, 'transparent', None):
        img = img.convert('LA').convert('RGBA')
    else:
        img = img.convert('L').convert('RGB')
    return ImageResult(img, image.image_opts)
";

/// The server that a document shows, with its port replaced.
struct Server {
    child: Child,
    port: Port,
}

impl Server {
    /// `document`: below docs/. Its server is the indented block from the
    /// first import to the line that serves.
    fn start(dir: &TestDir, document: &str, written_port: u16) -> Server {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document);
        let text = std::fs::read_to_string(path).expect("the document");
        let code: String = text
            .lines()
            .skip_while(|line| !line.starts_with("    import "))
            .take_while(|line| line.is_empty() || line.starts_with("    "))
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
            .collect();
        let port = Port::reserve();
        assert!(code.contains("serve_forever()"), "{document} shows a server:\n{code}");
        let code =
            code.replace(&format!("'127.0.0.1', {written_port}"), &format!("'127.0.0.1', {}", port.number));
        let program = dir.write("server.py", code);
        let log = std::fs::File::create(dir.join("server.log")).expect("a log");
        let mut child = Command::new(peer("venv/bin/python"))
            .arg(program)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one log for both outputs"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("the server starts");
        await_some("the server to listen", || {
            if let Ok(Some(status)) = child.try_wait() {
                let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
                panic!("the server ended with {status}\n{log}");
            }
            TcpStream::connect(port.address()).ok()
        });
        Server { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn ask_mapproxy(mapproxy: &MapProxy, cookie: &str, target: &str) -> Reply {
    let mut client = Client::connect(mapproxy.address).expect("MapProxy accepts");
    client
        .send(format!("GET {target} HTTP/1.1\r\nHost: maps.test\r\nCookie: {cookie}\r\n\r\n"))
        .expect("sent");
    client.read_reply(false).unwrap_or_else(|end| panic!("MapProxy: {target} ended with {end:?}"))
}

/// Nobody is asked about these by MapProxy, or they are not MapProxy's: see
/// docs/migration.md.
fn is_ours_alone(target: &str) -> bool {
    let forgotten = ["GetLegendGraphic", "GetCapabilities&TILED"];
    target == "/tms/"
        || target.starts_with("/ogcapi")
        || target.starts_with("/demo/?")
        || forgotten.iter().any(|part| target.contains(part))
}

/// The text of an answer, empty where a chunked body has only its end.
fn text(reply: &Reply) -> String {
    let is_chunked = reply.header("transfer-encoding").is_some_and(|coding| coding == "chunked");
    if is_chunked && reply.body == b"0\r\n\r\n" { String::new() } else { reply.text() }
}

#[test]
fn an_authorisation_callback_decides_the_same_in_both() {
    let (dir, upstream) = (TestDir::new("callback-authorize"), upstream());
    dir.write("mymaps.py", AUTHORIZE);
    let yaml_of_map = map(&upstream);
    let mapproxy = MapProxy::start_with_callbacks(
        &dir.write("theirs/mapproxy.yaml", &yaml_of_map),
        &dir.join("mymaps.py"),
    );
    let server = Server::start(&dir, "auth.md", 9000);
    let yaml = format!(
        "auth:\n  external: {{url: 'http://127.0.0.1:{}/authorize', fields: [Cookie], timeout_ms: 60000}}\n",
        server.port.number
    );
    let daemon = Setup::new(&dir, yaml_of_map).workers(1).daemon_yaml(&yaml).start();
    let mut faults = Faults::default();
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Level) {
        for outcome in OUTCOMES {
            for (class, target) in requests(place(kind, outcome)) {
                if is_ours_alone(&target) {
                    continue;
                }
                for layer in if target.contains("{layer}") { &["open", "closed", "group"][..] } else { &[""] }
                {
                    let target = target.replace("{layer}", layer);
                    let case = format!("{kind:?}{outcome:?}");
                    let ours = ask(&daemon, &format!("Cookie: {case}\r\n"), &target);
                    let theirs = ask_mapproxy(&mapproxy, &case, &target);
                    let what = || format!("{case} {target}:\n  {}\n  {}", told(&ours), told(&theirs));
                    // A group of which nothing may be seen is blank there, forbidden here.
                    let is_blank_there = *layer == "group" && (kind, outcome) == (Kind::Layer, Outcome::None);
                    let expected = if is_blank_there && theirs.status == 200 { 403 } else { theirs.status };
                    faults.check(ours.status == expected, what);
                    if ours.status != 200 || theirs.status != 200 {
                        continue;
                    }
                    match class {
                        Class::Picture => faults.check(seen(&ours) == seen(&theirs), what),
                        Class::Info(_) => faults.check(text(&ours) == text(&theirs), what),
                        Class::List => {
                            for layer in ["open", "closed"] {
                                let [a, b] = [&ours, &theirs].map(|reply| is_named(&reply.text(), layer));
                                faults.check(a == b, || format!("{}: {layer} {a} {b}", what()));
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    faults.end();
    daemon.stop();
}

#[test]
fn a_decoration_callback_paints_the_same_in_both() {
    let (dir, upstream) = (TestDir::new("callback-decorate"), upstream());
    dir.write("mymaps.py", DECORATE);
    let yaml_of_map = map(&upstream);
    let mapproxy = MapProxy::start_with_callbacks(
        &dir.write("theirs/mapproxy.yaml", &yaml_of_map),
        &dir.join("mymaps.py"),
    );
    let server = Server::start(&dir, "decorate.md", 9100);
    let yaml =
        format!("decorate:\n  - {{http: 'http://127.0.0.1:{}/', timeout_ms: 60000}}\n", server.port.number);
    let daemon = Setup::new(&dir, yaml_of_map).workers(1).daemon_yaml(&yaml).start();
    let mut faults = Faults::default();
    for (service, target) in targets(5, 17, 11) {
        // MapProxy forgets KML.
        if service.ends_with("featureinfo") || service == "kml" {
            continue;
        }
        let target = target.replace("{layer}", "open");
        let (ours, theirs) = (daemon.get(&target), mapproxy.get(&target));
        let pixels = |reply: &Reply| {
            let raster = decode(&reply.body, &DecodeLimits::default()).ok()?;
            Some([(0, 0), (1, 1), (128, 128), (255, 255)].map(|(x, y)| raster.pixel(x, y)))
        };
        let (a, b) = (pixels(&ours), pixels(&theirs));
        let is_grey = a.is_some_and(|pixels| pixels.iter().all(|[r, g, b, _]| r == g && g == b));
        faults.check(is_grey && a == b, || format!("{service}: {a:?} {b:?} {}", told(&theirs)));
    }
    faults.end();
    daemon.stop();
}
