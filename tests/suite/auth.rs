//! Who may see what, in every service: full, partial, none, unauthenticated,
//! each by layer, geometry and level; by rules, and by a service that answers
//! what MapProxy's callback answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::harness::daemon::Setup;
use crate::harness::fastcgi::{self, cgi_reply};
use crate::harness::painted::{self, MERC};
use crate::harness::port::Port;
use crate::harness::{Answer, Daemon, Reply, TestDir, Upstream};
use crate::http_abuse::settle_access_log;
use crate::scgi_uwsgi::{exchange, request};

/// Two layers in a group, each with a cache, feature info and a legend.
pub fn guarded_map(upstream: &Upstream) -> String {
    let source = |name: &str| {
        format!(
            "  {name}:\n    type: wms\n    wms_opts: {{featureinfo: true, legendgraphic: true}}\n    \
             req: {{url: '{}', layers: {name}, transparent: false}}\n    supported_srs: ['EPSG:3857']\n",
            upstream.url("/wms")
        )
    };
    format!(
        "services:\n  wms:\n    srs: ['EPSG:3857', 'EPSG:4326']\n  tms:\n  kml:\n  demo:\n  ogcapi:\n  wmts:\n    \
         featureinfo_formats: [{{mimetype: text/plain, suffix: txt}}]\n\
         layers:\n  - name: group\n    title: Group\n    layers:\n    - {{name: open, title: Open, sources: [open]}}\n    \
         - {{name: closed, title: Closed, sources: [closed]}}\n\
         caches:\n  open: {{grids: [GLOBAL_WEBMERCATOR], sources: [wms_open]}}\n  \
         closed: {{grids: [GLOBAL_WEBMERCATOR], sources: [wms_closed]}}\nsources:\n{}{}",
        source("wms_open"),
        source("wms_closed")
    )
}

pub fn upstream() -> Upstream {
    Upstream::scripted(|target| {
        let asks = |name: &str| target.to_ascii_lowercase().contains(&format!("request={name}"));
        if asks("getfeatureinfo") {
            Answer::Bytes("text/plain", b"here it is".to_vec())
        } else if asks("getlegendgraphic") && target.contains("json") {
            Answer::Bytes("application/json", b"{\"Legend\": []}".to_vec())
        } else if asks("getlegendgraphic") {
            Answer::Bytes("image/png", painted::png(&[9; 300], 10, 10))
        } else {
            Answer::Painted
        }
    })
}

/// Web mercator edges of a tile, row from the north.
pub fn edges(level: u32, column: u32, row: u32) -> [f64; 4] {
    let side = 2.0 * MERC / f64::from(1_u32 << level);
    let (west, north) = (-MERC + f64::from(column) * side, MERC - f64::from(row) * side);
    [west, north - side, west + side, north]
}

/// A request for pixels or a document about a place: of each service one.
/// `{layer}` stands for the layer.
pub fn targets(level: u32, column: u32, row: u32) -> Vec<(&'static str, String)> {
    let south = (1 << level) - 1 - row;
    let [west, bottom, east, north] = edges(level, column, row);
    let bbox = format!("{west},{bottom},{east},{north}");
    let map =
        format!("LAYERS={{layer}}&STYLES=&SRS=EPSG:3857&BBOX={bbox}&WIDTH=256&HEIGHT=256&FORMAT=image/png");
    let tile = format!(
        "TILEMATRIXSET=GLOBAL_WEBMERCATOR&TILEMATRIX={level:02}&TILECOL={column}&TILEROW={row}&FORMAT=image/png"
    );
    vec![
        ("wms.map", format!("/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&{map}")),
        (
            "wms.featureinfo",
            format!(
                "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetFeatureInfo&{map}&QUERY_LAYERS={{layer}}&X=20&Y=128&INFO_FORMAT=text/plain"
            ),
        ),
        (
            "wmts.kvp",
            format!("/service?SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetTile&LAYER={{layer}}&STYLE=&{tile}"),
        ),
        (
            "wmts.featureinfo",
            format!(
                "/service?SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetFeatureInfo&LAYER={{layer}}&STYLE=&{tile}&INFOFORMAT=text/plain&I=20&J=128"
            ),
        ),
        ("wmts.rest", format!("/wmts/{{layer}}/GLOBAL_WEBMERCATOR/{level:02}/{column}/{row}.png")),
        ("tms", format!("/tms/1.0.0/{{layer}}/EPSG3857/{}/{column}/{south}.png", level - 1)),
        ("tiles", format!("/tiles/{{layer}}/EPSG3857/{level}/{column}/{row}.png?origin=nw")),
        ("kml", format!("/kml/{{layer}}/EPSG3857/{level}/{column}/{south}.png")),
        (
            "ogcapi.tile",
            format!("/ogcapi/collections/{{layer}}/map/tiles/WebMercatorQuad/{level}/{row}/{column}?f=png"),
        ),
        (
            "ogcapi.map",
            format!(
                "/ogcapi/collections/{{layer}}/map?f=png&width=256&height=256&bbox={bbox}&crs=http://www.opengis.net/def/crs/EPSG/0/3857&bbox-crs=http://www.opengis.net/def/crs/EPSG/0/3857"
            ),
        ),
    ]
}

/// Documents about one layer.
pub const LAYER_DOCUMENTS: &[(&str, &str)] = &[
    (
        "legend",
        "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetLegendGraphic&LAYER={layer}&FORMAT=image/png&SLD_VERSION=1.1.0",
    ),
    ("tms", "/tms/1.0.0/{layer}/EPSG3857"),
    ("kml", "/kml/{layer}/EPSG3857"),
    ("kml", "/kml/{layer}/EPSG3857/1/0/0.kml"),
    ("ogcapi", "/ogcapi/collections/{layer}?f=json"),
    ("ogcapi", "/ogcapi/collections/{layer}/map/tiles?f=json"),
];

/// Documents that list layers.
const LISTS: &[(&str, &str)] = &[
    ("wms", "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities"),
    ("wms", "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"),
    ("wms", "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities&TILED=true"),
    ("wmts", "/service?SERVICE=WMTS&REQUEST=GetCapabilities"),
    ("wmts", "/wmts/1.0.0/WMTSCapabilities.xml"),
    ("tms", "/tms/1.0.0/"),
    ("ogcapi", "/ogcapi/collections?f=json"),
    ("demo", "/demo/"),
];

pub fn sha256(key: &str) -> String {
    digest(&SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Half of tile 5/17/11 lies in it; 5/16/11 whole, 5/20/11 not at all.
const AREA: &str = "{geometry: [0, 0, 16.875, 80], srs: 'EPSG:4326'}";

fn rules() -> String {
    let keys: String = ["full", "part", "none", "area", "shallow"]
        .iter()
        .map(|user| format!("      - {{sha256: {}, user: {user}}}\n", sha256(&format!("key of {user}"))))
        .collect();
    format!(
        "auth:\n  api_keys:\n    keys:\n{keys}  rules:\n    - {{users: [full]}}\n    - {{users: [part], layers: [op*]}}\n    \
         - {{users: [area], limited_to: {AREA}}}\n    - {{users: [shallow], levels: {{from: 0, to: 5}}}}\n"
    )
}

pub fn ask(daemon: &Daemon, fields: &str, target: &str) -> Reply {
    let mut client = daemon.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: maps.test\r\n{fields}\r\n")).expect("sent");
    client.read_reply(false).unwrap_or_else(|end| panic!("{target}: {end:?}\n{}", daemon.log()))
}

pub fn as_user(daemon: &Daemon, user: &str, target: &str) -> Reply {
    let fields = if user.is_empty() { String::new() } else { format!("X-Api-Key: key of {user}\r\n") };
    ask(daemon, &fields, target)
}

/// Faults of many requests at once.
#[derive(Default)]
pub struct Faults(Vec<String>);

impl Faults {
    pub fn check(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.0.push(what());
        }
    }

    pub fn end(self) {
        assert!(self.0.is_empty(), "{} faults\n{}", self.0.len(), self.0.join("\n"));
    }
}

pub fn told(reply: &Reply) -> String {
    format!("{} {} {:.160}", reply.status, reply.content_type(), reply.text())
}

#[test]
fn layers_are_allowed_or_not_in_every_service() {
    let (dir, upstream) = (TestDir::new("auth-layers"), upstream());
    let daemon = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(&rules()).start();
    let mut faults = Faults::default();
    let pixels = targets(5, 17, 11);
    let documents = LAYER_DOCUMENTS.iter().map(|(name, target)| (*name, (*target).to_owned()));
    let all: Vec<(&str, String)> = pixels.into_iter().chain(documents).collect();
    // Who may see nothing first: nobody is asked for him.
    for (user, layer, status) in [
        ("", "open", 401),
        ("nobody", "open", 401),
        ("none", "open", 403),
        ("part", "closed", 403),
        ("part", "open", 200),
        ("full", "closed", 200),
        ("full", "open", 200),
        ("area", "open", 200),
    ] {
        for (service, target) in &all {
            let reply = as_user(&daemon, user, &target.replace("{layer}", layer));
            faults.check(reply.status == status, || format!("{user} {service} {layer}: {}", told(&reply)));
            let is_private = reply.header("cache-control").is_some_and(|c| !c.contains("public"));
            let varies = reply.header("vary").is_some_and(|v| v.contains("X-Api-Key"));
            faults.check(is_private && varies, || format!("{user} {service}: {:?}", reply.headers));
        }
        if status >= 400 {
            assert_eq!(upstream.count(), 0, "{user}: {:?}", upstream.targets());
        }
    }
    for (user, status, shown) in [
        ("", 401, &[][..]),
        ("none", 403, &[]),
        ("part", 200, &["open"]),
        ("full", 200, &["open", "closed"]),
        ("area", 200, &["open", "closed"]),
    ] {
        for (service, target) in LISTS {
            let reply = as_user(&daemon, user, target);
            faults.check(reply.status == status, || format!("{user} {target}: {}", told(&reply)));
            let text = reply.text().to_lowercase();
            for layer in ["open", "closed"] {
                // As a title or as part of an address, not as a word.
                let names =
                    [format!(">{layer}<"), format!("\"{layer}\""), format!("/{layer}/"), format!("={layer}")];
                let is_shown = names.iter().any(|name| text.contains(name));
                faults.check(is_shown == shown.contains(&layer), || {
                    format!("{user} {service} {target}: {layer}\n{text:.600}")
                });
            }
        }
    }
    // A group shows what is left of it, and both by the parameter are one key.
    let group = &targets(5, 17, 11)[0].1.replace("{layer}", "group");
    for (user, status) in [("part", 200), ("none", 403), ("full", 200)] {
        let reply = as_user(&daemon, "", &format!("{group}&api_key=key%20of%20{user}"));
        faults.check(reply.status == status, || format!("group for {user}: {}", told(&reply)));
    }
    let both = targets(5, 17, 11)[0].1.replace("{layer}", "open,closed");
    faults.check(as_user(&daemon, "part", &both).status == 403, || "one of two".into());
    // Who may ask is told what is wrong as if nobody stood before the site.
    for (target, text) in [
        ("/wmts/open/GLOBAL_WEBMERCATOR/05/99/11.png", "TileOutOfRange"),
        ("/tms/1.0.0/open/EPSG3857/4/99/1.png", "outside the bounding box"),
        ("/kml/open/EPSG3857/5/99/1.png", "outside the bounding box"),
        ("/tiles/open/EPSG3857/5/1/1.gif", "invalid format"),
        ("/ogcapi/collections/open/map/tiles/WebMercatorQuad/5/99/1?f=png", "Invalid row number"),
        ("/ogcapi/collections/open/map?f=png&width=0", ""),
    ] {
        let reply = as_user(&daemon, "part", target);
        faults.check(reply.status >= 400 && reply.status != 403 && reply.text().contains(text), || {
            format!("{target}: {}", told(&reply))
        });
        let status = as_user(&daemon, "none", target).status;
        faults.check(status == 403, || format!("{target} for nobody: {status}"));
    }
    // Names that are none are the service's own refusals, whoever asks.
    for (service, target) in targets(5, 17, 11) {
        let reply = as_user(&daemon, "full", &target.replace("{layer}", "absent"));
        faults.check(
            (400..=500).contains(&reply.status) && reply.status != 403 || service.starts_with("wms"),
            || format!("{service} absent: {}", told(&reply)),
        );
    }
    for (target, status) in [("/", 200), ("/demo/static/demo.css", 200), ("/nothing", 404), ("/service", 400)]
    {
        let reply = as_user(&daemon, "", target);
        faults.check(reply.status == status, || format!("{target}: {}", told(&reply)));
    }
    faults.end();
    daemon.stop();
}

/// How many of the four quarters of the picture's middle row are seen.
pub fn seen(reply: &Reply) -> Option<Vec<bool>> {
    let limits = rhumb::render::DecodeLimits::default();
    let raster = rhumb::render::decode(&reply.body, &limits).ok()?;
    let is_seen = |x: u32| {
        let [r, g, b, a] = raster.pixel(x, 100);
        a == 255 && [r, g, b] != [255, 255, 255]
    };
    Some([30, 100, 160, 230].map(is_seen).to_vec())
}

#[test]
fn pictures_are_cut_and_points_outside_are_silent() {
    let (dir, upstream) = (TestDir::new("auth-area"), upstream());
    let daemon = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(&rules()).start();
    let mut faults = Faults::default();
    // Twice: made, and found.
    for round in 0..2 {
        for (column, expected) in [(16, [true; 4]), (17, [true, true, false, false]), (20, [false; 4])] {
            for (service, target) in targets(5, column, 11) {
                let reply = as_user(&daemon, "area", &target.replace("{layer}", "open"));
                let what = || format!("{round} {service} {column}: {}", told(&reply));
                if service.ends_with("featureinfo") {
                    let is_there = reply.text() == "here it is";
                    faults.check(reply.status == 200 && is_there == (column != 20), what);
                    continue;
                }
                faults.check(reply.status == 200 && seen(&reply).as_deref() == Some(&expected), || {
                    format!("{} {:?}", what(), seen(&reply))
                });
            }
        }
        // Others see the very tiles whole: nothing that was cut is stored.
        for column in [16, 17, 20] {
            for (service, target) in targets(5, column, 11) {
                if !service.ends_with("featureinfo") {
                    let reply = as_user(&daemon, "full", &target.replace("{layer}", "open"));
                    let right = painted::check(&reply.body, 5, column, 11);
                    faults.check(right.is_ok(), || format!("{round} {service} {column} whole: {right:?}"));
                }
            }
        }
    }
    let outside = targets(5, 17, 11)[1].1.replace("X=20", "X=200").replace("{layer}", "open");
    faults.check(as_user(&daemon, "area", &outside).text().is_empty(), || "feature info outside".into());
    let capabilities = as_user(&daemon, "area", LISTS[0].1).text();
    faults.check(capabilities.contains("maxx=\"16.875\""), || format!("{capabilities:.3000}"));
    faults.end();
    daemon.stop();
}

#[test]
fn levels_are_counted_in_every_service() {
    let (dir, upstream) = (TestDir::new("auth-level"), upstream());
    let daemon = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(&rules()).start();
    let mut faults = Faults::default();
    for (level, column, row, status) in [(5, 17, 11, 200), (6, 34, 22, 403)] {
        for (service, target) in targets(level, column, row) {
            let reply = as_user(&daemon, "shallow", &target.replace("{layer}", "open"));
            faults.check(reply.status == status, || format!("{service} level {level}: {}", told(&reply)));
        }
    }
    for (service, target) in LISTS {
        let reply = as_user(&daemon, "shallow", target);
        faults.check(reply.status == 200, || format!("{service} {target}: {}", told(&reply)));
    }
    // A larger picture of a coarse tile is a finer map.
    let (_, tile) = &targets(5, 17, 11)[8];
    let large = format!("{}&width=1024&height=1024", tile.replace("{layer}", "open"));
    let reply = as_user(&daemon, "shallow", &large);
    faults.check(reply.status == 403, || format!("a large tile: {}", told(&reply)));
    faults.end();
    daemon.stop();
}

/// A coverage that was written in whole numbers, cut to an area that was not.
#[test]
fn documents_show_the_edges_of_what_may_be_seen() {
    let (dir, upstream) = (TestDir::new("auth-edges"), upstream());
    let coverage = "cache: {type: file, coverage: {bbox: [0, 40, 20, 60], srs: 'EPSG:4326'}}";
    let map = guarded_map(&upstream).replacen(
        "open: {grids: [GLOBAL_WEBMERCATOR],",
        &format!("open: {{grids: [degrees], {coverage},"),
        1,
    ) + "grids: {degrees: {base: GLOBAL_GEODETIC, origin: nw, min_res: 0.703125}}\n";
    for (area, edges) in [
        ("[-10, 30, 30, 70]", ["0", "40", "20", "60"]),
        ("[5.75, 30, 30, 50.5]", ["5.75", "40", "20", "50.5"]),
    ] {
        let rule = format!("{{who: anyone, limited_to: {{geometry: {area}, srs: 'EPSG:4326'}}}}");
        let yaml = format!("auth: {{rules: [{rule}]}}\n");
        let daemon = Setup::new(&dir, map.clone()).workers(1).daemon_yaml(&yaml).start();
        let [west, south, east, north] = edges;
        let tms = daemon.get("/tms/1.0.0/open/EPSG4326").text();
        let box_of_tms =
            format!("<BoundingBox minx=\"{west}\" miny=\"{south}\" maxx=\"{east}\" maxy=\"{north}\" />");
        assert!(tms.contains(&box_of_tms), "{area}: {tms}");
        let wmts = daemon.get("/wmts/1.0.0/WMTSCapabilities.xml").text();
        assert!(wmts.contains(&format!("<ows:LowerCorner>{west} {south}<")), "{area}: {wmts}");
        assert!(wmts.contains(&format!("<ows:UpperCorner>{east} {north}<")), "{area}: {wmts}");
        daemon.stop();
    }
}

#[test]
fn passwords_and_fields_of_proxies_name_users_too() {
    let (dir, upstream) = (TestDir::new("auth-who"), upstream());
    let hash = bcrypt::hash("pass", 4).expect("a hash");
    dir.write("users", format!("# people\nann:{hash}\n"));
    let yaml = |trusted: &str| {
        format!(
            "trusted_proxies: [{trusted}]\nauth:\n  realm: our maps\n  basic: {{users_file: users}}\n  \
             trusted_headers: {{user: X-User, groups: X-Groups}}\n  groups: {{staff: [ann]}}\n  \
             rules:\n    - {{groups: [staff]}}\n    - {{who: anyone, layers: [open], features: [tile]}}\n"
        )
    };
    let tile = |layer: &str| format!("/wmts/{layer}/GLOBAL_WEBMERCATOR/05/17/11.png");
    let basic = |text: &str| format!("Authorization: Basic {}\r\n", STANDARD.encode(text));
    for (trusted, believed) in [("127.0.0.1", true), ("10.0.0.0/8", false)] {
        let daemon = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(&yaml(trusted)).start();
        let written_before = daemon.access_log().len();
        for (fields, layer, status) in [
            (String::new(), "open", 200),
            (String::new(), "closed", 401),
            (basic("ann:pass"), "closed", 200),
            (basic("ann:pass"), "closed", 200),
            (basic("ann:other"), "closed", 401),
            (basic("ann:other"), "open", 401),
            (basic("eve:pass"), "closed", 401),
            ("X-User: pat\r\nX-Groups: staff, others\r\n".into(), "closed", if believed { 200 } else { 401 }),
            ("x-user: pat\r\n".into(), "closed", if believed { 403 } else { 401 }),
        ] {
            let reply = ask(&daemon, &fields, &tile(layer));
            assert_eq!(reply.status, status, "{trusted} {fields} {layer}: {}", told(&reply));
            let challenge = (status == 401).then_some("Basic realm=\"our maps\", charset=\"UTF-8\"");
            assert_eq!(reply.header("www-authenticate"), challenge);
        }
        let log = settle_access_log(&daemon).split_off(written_before);
        let named = |user: &str| log.matches(&format!("\"user\":\"{user}\"")).count();
        let expected = (2, if believed { 2 } else { 0 }, 0);
        assert_eq!((named("ann"), named("pat"), named("eve")), expected, "{log}");
        daemon.stop();
    }
}

#[test]
fn a_web_server_that_speaks_cgi_may_name_users_and_clients_may_not() {
    let (dir, upstream) = (TestDir::new("auth-remote-user"), upstream());
    let tile = "/wmts/closed/GLOBAL_WEBMERCATOR/05/17/11.png";
    for (is_on, more) in [(true, ""), (false, ""), (true, "trusted_proxies: [10.9.9.9]\n")] {
        let yaml = format!(
            "{more}auth:\n  remote_user: {is_on}\n  api_keys: {{keys: [{{sha256: {}, user: robot}}]}}\n  groups: {{staff: [ann]}}\n  \
             rules: [{{groups: [staff]}}]\n",
            sha256("a key")
        );
        let setup = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(&yaml);
        let setup = setup.listen("fastcgi: fcgi.sock").listen("scgi: scgi.sock").listen("uwsgi: uwsgi.sock");
        let daemon = setup.start();
        for protocol in ["fastcgi", "scgi", "uwsgi"] {
            let get = |others: &[(&str, &str)]| match protocol {
                "fastcgi" => {
                    let mut peer = fastcgi::Peer::connect(&dir.join("fcgi.sock"));
                    peer.send(fastcgi::request(1, false, tile, others, b""));
                    peer.reply(1).expect("an answer")
                }
                _ => cgi_reply(&exchange(
                    &dir.join(format!("{protocol}.sock")),
                    &request(protocol, tile, others, ""),
                )),
            };
            for (variables, status) in [
                (&[][..], 401),
                (&[("REMOTE_USER", "ann")], if is_on { 200 } else { 401 }),
                (&[("REMOTE_USER", "eve")], if is_on { 403 } else { 401 }),
                // The client's: fields are another thing than variables.
                (&[("HTTP_REMOTE_USER", "ann")], 401),
                (&[("HTTP_REMOTE-USER", "ann"), ("HTTP_X_REMOTE_USER", "ann")], 401),
                (&[("REMOTE_USER", "eve"), ("HTTP_REMOTE_USER", "ann")], if is_on { 403 } else { 401 }),
                (&[("REMOTE_USER", ""), ("HTTP_REMOTE_USER", "ann")], 401),
            ] {
                let reply = get(variables);
                assert_eq!(reply.status, status, "{is_on} {more} {protocol} {variables:?}: {}", told(&reply));
            }
        }
        for fields in ["", "Remote-User: ann\r\n", "REMOTE_USER: ann\r\n", "HTTP_REMOTE_USER: ann\r\n"] {
            let reply = ask(&daemon, fields, tile);
            assert_eq!(reply.status, 401, "{is_on} {fields}: {}", told(&reply));
        }
        daemon.stop();
    }
}

#[test]
fn a_web_server_by_tcp_names_users_where_it_is_trusted() {
    let (dir, upstream) = (TestDir::new("auth-remote-tcp"), upstream());
    let tile = "/wmts/closed/GLOBAL_WEBMERCATOR/05/17/11.png";
    for (more, status) in
        [("", 200), ("trusted_proxies: [127.0.0.1]\n", 200), ("trusted_proxies: [10.9.9.9]\n", 401)]
    {
        let port = Port::reserve();
        let yaml = format!("{more}auth: {{remote_user: yes, rules: [{{users: [ann]}}]}}\n");
        let setup = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(&yaml);
        let daemon = setup.listen(&format!("scgi: '{}'", port.address())).start();
        let mut stream = std::net::TcpStream::connect(port.address()).expect("the daemon listens");
        stream.write_all(&request("scgi", tile, &[("REMOTE_USER", "ann")], "")).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let reply = cgi_reply(&answer);
        assert_eq!(reply.status, status, "{more}: {}", told(&reply));
        daemon.stop();
    }
}

#[test]
fn a_broken_section_is_refused_with_its_reasons() {
    let (dir, upstream) = (TestDir::new("auth-broken"), upstream());
    dir.write("users", "ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n");
    dir.write("keys.json", "{\"keys\": []}");
    for (yaml, expected) in [
        ("auth: {}\n", "either `rules` or `external`"),
        ("auth: {rules: [{layers: [a]}]}\n", "auth.rules[0]"),
        ("auth: {rules: [{who: anyone, services: [wfs]}]}\n", "services"),
        ("auth: {rules: [{who: anyone, limited_to: {geometry: [0, 0, 1]}}]}\n", "needs `srs`"),
        ("auth: {rules: [{who: anyone}], basic: {users_file: users}}\n", "line 1 is not user:hash"),
        ("auth: {rules: [{who: anyone}], basic: {users_file: absent}}\n", "cannot read"),
        (
            "auth: {rules: [{who: anyone}], jwt: {jwks_file: keys.json, algorithms: [RS256]}}\n",
            "no key of jwks_file",
        ),
        ("auth: {rules: [{who: anyone}], trusted_headers: {user: X-User}}\n", "needs `trusted_proxies`"),
        (
            "auth: {rules: [{who: anyone}], api_keys: {keys: [{sha256: abc, user: a}]}}\n",
            "64 hexadecimal digits",
        ),
        ("auth: {external: {url: 'file:///x'}}\n", "auth.external"),
        ("auth: {rules: [{who: signed_in}], remote_user: yes}\n", "a listener of fastcgi, scgi or uwsgi"),
    ] {
        let setup = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(yaml);
        let (code, log) = setup.try_start().err().unwrap_or_else(|| panic!("it starts with {yaml}"));
        assert!(code == Some(2) && log.contains(expected), "{yaml}: {code:?}\n{log}");
    }
}

/// What a ten-line server before a callback does; remembers what it was asked.
pub struct Callback {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Callback {
    pub fn start(decide: impl Fn(&Value) -> (u16, String) + Send + 'static) -> Callback {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    if let Some((name, value)) = line.split_once(':')
                        && name.eq_ignore_ascii_case("content-length")
                    {
                        length = value.trim().parse().expect("a length");
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("the question");
                let question: Value = serde_json::from_slice(&body).expect("JSON");
                let (status, answer) = decide(&question);
                all.lock().expect("a list").push(question);
                let head = format!(
                    "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all((head + &answer).as_bytes());
            }
        });
        Callback { address, asked }
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("a list").clone()
    }
}

#[test]
fn a_callback_behind_a_small_server_decides_as_with_mapproxy() {
    let (dir, upstream) = (TestDir::new("auth-external"), upstream());
    let callback = Callback::start(|question| {
        let cookie = question["headers"]["Cookie"].as_str().unwrap_or_default();
        let all = json!({"map": true, "tile": true, "featureinfo": true});
        let limited = json!({"geometry": [0, 0, 16.875, 80], "srs": "EPSG:4326"});
        let answer = match cookie {
            "full" => json!({"authorized": "full"}),
            "part" => json!({"authorized": "partial", "layers": {"open": all, "group": {"map": true}}}),
            "area" => {
                json!({"authorized": "partial", "layers": {"open": all, "group": all}, "limited_to": limited})
            }
            "none" => json!({"authorized": "none"}),
            "broken" => return (200, "nonsense".into()),
            "ill" => return (500, "{\"authorized\": \"full\"}".into()),
            _ => json!({"authorized": "unauthenticated"}),
        };
        (200, answer.to_string())
    });
    let yaml = format!(
        "auth:\n  external: {{url: 'http://{}/ask', fields: [Cookie], with_extent: true, timeout_ms: 60000}}\n",
        callback.address
    );
    let daemon = Setup::new(&dir, guarded_map(&upstream)).workers(1).daemon_yaml(&yaml).start();
    let ask_as = |cookie: &str, target: &str| ask(&daemon, &format!("Cookie: {cookie}\r\n"), target);
    let mut faults = Faults::default();
    for (cookie, layer, status) in [
        ("", "open", 401),
        ("none", "open", 403),
        ("broken", "open", 503),
        ("ill", "open", 503),
        ("part", "closed", 403),
        ("part", "open", 200),
        ("area", "open", 200),
        ("full", "closed", 200),
    ] {
        for (service, target) in targets(5, 17, 11) {
            let reply = ask_as(cookie, &target.replace("{layer}", layer));
            faults.check(reply.status == status, || format!("{cookie} {service} {layer}: {}", told(&reply)));
            if cookie == "area" && !service.ends_with("featureinfo") {
                let half = Some(vec![true, true, false, false]);
                faults.check(seen(&reply) == half, || format!("{service}: {:?}", seen(&reply)));
            }
        }
        if status >= 400 {
            assert_eq!(upstream.count(), 0, "{cookie}: {:?}", upstream.targets());
        }
    }
    for (cookie, status) in [("", 401), ("none", 403), ("part", 200), ("full", 200)] {
        for (service, target) in LISTS {
            let reply = ask_as(cookie, target);
            // MapProxy shows the demo pages to those who may see everything.
            let status = if *service == "demo" && cookie == "part" { 403 } else { status };
            faults.check(reply.status == status, || format!("{cookie} {service} {target}: {}", told(&reply)));
        }
    }
    // What was asked is what MapProxy asks.
    let asked = callback.asked();
    let about = |service: &str| asked.iter().find(|q| q["service"] == service).cloned().unwrap_or_default();
    let map = about("wms.map");
    faults
        .check(map["layers"] == json!(["open"]) && map["query_extent"][0] == "EPSG:3857", || map.to_string());
    faults.check(map["method"] == "GET" && map["path"] == "/service", || map.to_string());
    let capabilities = about("wms.capabilities");
    faults.check(capabilities["layers"] == json!(["closed", "group", "open"]), || capabilities.to_string());
    for service in
        ["wms.featureinfo", "wmts", "wmts.featureinfo", "tms", "kml", "demo", "ogcapi.map", "ogcapi.tile"]
    {
        faults.check(!about(service).is_null(), || format!("nobody asked about {service}"));
    }
    // An answer is kept, a failure is not.
    let before = callback.asked().len();
    let tile = targets(5, 17, 11)[4].1.replace("{layer}", "open");
    for _ in 0..3 {
        faults.check(ask_as("part", &tile).status == 200, || "kept".into());
    }
    faults.check(callback.asked().len() == before, || "an answer was not kept".into());
    for _ in 0..2 {
        faults.check(ask_as("ill", &tile).status == 503, || "ill".into());
    }
    faults.check(callback.asked().len() == before + 2, || "a failure was kept".into());
    faults.end();
    daemon.stop();
}
