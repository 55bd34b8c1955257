//! Every request that a service answers × what may be seen (all, a part,
//! nothing, or nobody is known) × what the permit goes by (layer, geometry,
//! level) × who decides (rules, a service of the operator's).

use serde_json::{Value, json};

use crate::auth::{Callback, Faults, ask, edges, guarded_map, seen, sha256, told, upstream};
use crate::harness::daemon::Setup;
use crate::harness::{Daemon, Reply, TestDir, Upstream, painted};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Pixels of one layer, at the place and level of the case.
    Picture,
    /// Pixels of both layers, which nobody names.
    DataSet,
    /// What is at one point of a layer: in a quarter of the picture, counted
    /// from the west.
    Info(usize),
    /// A document (or legend) about one layer.
    About,
    /// A document about all layers, which names them.
    List,
    /// A document about all layers, which names none.
    Frame,
    /// A page of the demo about one layer.
    Demo,
    /// A page of the demo with a document about all layers.
    Viewer,
}
use Class::{About, DataSet, Demo, Frame, Info, List, Picture, Viewer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Layer,
    Geometry,
    Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Full,
    Part,
    None,
    Unknown,
}

pub const KINDS: [Kind; 3] = [Kind::Layer, Kind::Geometry, Kind::Level];
pub const OUTCOMES: [Outcome; 4] = [Outcome::Full, Outcome::Part, Outcome::None, Outcome::Unknown];

/// Half of tile 5/17/11 lies in it (its west), 5/16/11 whole, 5/20/11 not at all.
const AREA: [f64; 4] = [0.0, 0.0, 16.875, 80.0];
/// Points in the first and in the last quarter of a picture of 256 pixels.
const POINTS: [(usize, u32); 2] = [(0, 20), (3, 230)];
/// Levels that are allowed, where levels count.
const LEVELS: (u32, u32) = (3, 5);

/// The tile that a case asks for: level, column and row.
pub fn place(kind: Kind, outcome: Outcome) -> (u32, u32, u32) {
    match (kind, outcome) {
        (Kind::Geometry, Outcome::Full) => (5, 16, 11),
        (Kind::Geometry, Outcome::None) => (5, 20, 11),
        (Kind::Level, Outcome::None) => (6, 34, 22),
        _ => (5, 17, 11),
    }
}

/// Every request of every service; `{layer}` stands for the layer.
pub fn requests((level, column, row): (u32, u32, u32)) -> Vec<(Class, String)> {
    let south = (1 << level) - 1 - row;
    let [west, bottom, east, north] = edges(level, column, row);
    let bbox = format!("{west},{bottom},{east},{north}");
    let mut all = Vec::new();
    for version in ["1.0.0", "1.1.0", "1.1.1", "1.3.0"] {
        let old = version == "1.0.0";
        let service = if old { "WMTVER=1.0.0".to_owned() } else { format!("SERVICE=WMS&VERSION={version}") };
        let srs = if version == "1.3.0" { "CRS" } else { "SRS" };
        let [map, info, capabilities] = match old {
            true => ["map", "feature_info", "capabilities"],
            false => ["GetMap", "GetFeatureInfo", "GetCapabilities"],
        };
        let format = if old { "PNG" } else { "image/png" };
        let what = format!(
            "LAYERS={{layer}}&STYLES=&{srs}=EPSG:3857&BBOX={bbox}&WIDTH=256&HEIGHT=256&FORMAT={format}"
        );
        let [x, y] = if version == "1.3.0" { ["I", "J"] } else { ["X", "Y"] };
        all.push((Picture, format!("/service?{service}&REQUEST={map}&{what}")));
        for (quarter, at) in POINTS {
            let point = format!("{x}={at}&{y}=128&INFO_FORMAT=text/plain");
            all.push((
                Info(quarter),
                format!("/service?{service}&REQUEST={info}&{what}&QUERY_LAYERS={{layer}}&{point}"),
            ));
        }
        all.push((List, format!("/service?{service}&REQUEST={capabilities}")));
        if version >= "1.1.1" {
            let legend = "REQUEST=GetLegendGraphic&LAYER={layer}&FORMAT=image/png&SLD_VERSION=1.1.0";
            all.push((About, format!("/service?{service}&{legend}")));
            all.push((About, format!("/ows?{service}&{}", legend.replace("image/png", "application/json"))));
        }
    }
    let is_map = |target: &str| target.contains("1.1.1") && target.contains("GetMap");
    let map = all.iter().find(|(_, target)| is_map(target)).map(|(_, target)| target.clone());
    let map = map.expect("a map of version 1.1.1");
    all.push((Picture, format!("{map}&TILED=true")));
    all.push((Picture, map.replace("/service", "/ows")));
    all.push((Picture, map.replace("/service", "/wms")));
    all.push((List, "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities&TILED=true".into()));
    // WMTS
    let tile = format!(
        "TILEMATRIXSET=GLOBAL_WEBMERCATOR&TILEMATRIX={level:02}&TILECOL={column}&TILEROW={row}&FORMAT=image/png"
    );
    let wmts = "/service?SERVICE=WMTS&VERSION=1.0.0";
    all.push((Picture, format!("{wmts}&REQUEST=GetTile&LAYER={{layer}}&STYLE=&{tile}")));
    let rest = format!("/wmts/{{layer}}/GLOBAL_WEBMERCATOR/{level:02}/{column}/{row}");
    for (quarter, at) in POINTS {
        let asked = format!("{wmts}&REQUEST=GetFeatureInfo&LAYER={{layer}}&STYLE=&{tile}");
        all.push((Info(quarter), format!("{asked}&INFOFORMAT=text/plain&I={at}&J=128")));
        all.push((Info(quarter), format!("{rest}/{at}/128.txt")));
    }
    all.push((List, format!("{wmts}&REQUEST=GetCapabilities")));
    all.push((Picture, format!("{rest}.png")));
    all.push((List, "/wmts/1.0.0/WMTSCapabilities.xml".into()));
    // TMS, plain tiles, KML
    all.push((Picture, format!("/tms/1.0.0/{{layer}}/EPSG3857/{}/{column}/{south}.png", level - 1)));
    all.push((Picture, format!("/tiles/{{layer}}/EPSG3857/{level}/{column}/{row}.png?origin=nw")));
    all.push((Picture, format!("/tiles/1.0.0/{{layer}}/EPSG3857/{level}/{column}/{row}.png")));
    all.push((Frame, "/tms/".into()));
    all.push((List, "/tms/1.0.0/".into()));
    all.push((About, "/tms/1.0.0/{layer}/EPSG3857".into()));
    all.push((Picture, format!("/kml/{{layer}}/EPSG3857/{level}/{column}/{south}.png")));
    all.push((About, "/kml/{layer}/EPSG3857".into()));
    all.push((About, "/kml/{layer}/EPSG3857/0/0/0.kml".into()));
    // OGC API
    let crs = "http://www.opengis.net/def/crs/EPSG/0/3857";
    let map = format!("width=256&height=256&bbox={bbox}&crs={crs}&bbox-crs={crs}");
    let tile = format!("map/tiles/WebMercatorQuad/{level}/{row}/{column}");
    for (class, path) in [
        (Picture, format!("collections/{{layer}}/map?f=png&{map}")),
        (Picture, format!("collections/{{layer}}/map.png?{map}")),
        (Picture, format!("collections/{{layer}}/{tile}?f=png")),
        (Picture, format!("collections/{{layer}}/{tile}.png")),
        (Picture, format!("map?f=png&{map}&collections={{layer}}")),
        (Picture, format!("{tile}?f=png&collections={{layer}}")),
        (DataSet, format!("map?f=png&{map}")),
        (DataSet, format!("{tile}?f=png")),
        (About, "collections/{layer}?f=json".into()),
        (About, "collections/{layer}?f=html".into()),
        (About, "collections/{layer}/map/tiles?f=json".into()),
        (About, "collections/{layer}/map/tiles/WebMercatorQuad?f=json".into()),
        (List, "collections?f=json".into()),
        (List, "collections?f=html".into()),
        (List, "api?f=json".into()),
        (Frame, "?f=json".into()),
        (Frame, "conformance?f=json".into()),
        (Frame, "tileMatrixSets?f=json".into()),
        (Frame, "tileMatrixSets/WebMercatorQuad?f=json".into()),
        (Frame, "map/tiles?f=json".into()),
        (Frame, "map/tiles/WebMercatorQuad?f=json".into()),
    ] {
        all.push((class, format!("/ogcapi/{path}")));
    }
    // Demo
    all.push((List, "/demo/".into()));
    for query in [
        "wms_layer={layer}&srs=EPSG%3A3857&format=png",
        "wmts_layer={layer}&matrix_set=GLOBAL_WEBMERCATOR&format=png",
        "tms_layer={layer}&srs=EPSG%3A3857&format=png",
    ] {
        all.push((Demo, format!("/demo/?{query}")));
    }
    for query in [
        "wms_capabilities",
        "wmsc_capabilities",
        "wmts_capabilities",
        "wmts_capabilities_kvp",
        "tms_capabilities",
    ] {
        all.push((Viewer, format!("/demo/?{query}")));
    }
    all.push((Demo, "/demo/?tms_capabilities&layer={layer}&srs=EPSG3857".into()));
    all
}

/// Rules for a user of each kind and outcome, and what nobody may do.
fn rules() -> String {
    let area =
        |[w, s, e, n]: [f64; 4]| format!("limited_to: {{geometry: [{w}, {s}, {e}, {n}], srs: 'EPSG:4326'}}");
    let levels = format!("levels: {{from: {}, to: {}}}", LEVELS.0, LEVELS.1);
    let mut keys = String::new();
    let mut rules = String::new();
    for kind in KINDS {
        for outcome in OUTCOMES {
            let user = format!("{kind:?}{outcome:?}");
            let key = sha256(&format!("key of {user}"));
            keys.push_str(&format!("      - {{sha256: {key}, user: {user}}}\n"));
            let more = match (kind, outcome) {
                (_, Outcome::Unknown) | (Kind::Layer, Outcome::None) => continue,
                (Kind::Layer, Outcome::Full) => String::new(),
                (Kind::Layer, Outcome::Part) => ", layers: [open]".into(),
                (Kind::Geometry, _) => format!(", {}", area(AREA)),
                // One layer at these levels, the other at others.
                (Kind::Level, Outcome::Part) => {
                    rules.push_str(&format!("    - {{users: [{user}], layers: [open], {levels}}}\n"));
                    ", layers: [closed], levels: {from: 6}".into()
                }
                (Kind::Level, _) => format!(", {levels}"),
            };
            rules.push_str(&format!("    - {{users: [{user}]{more}}}\n"));
        }
    }
    format!("auth:\n  api_keys:\n    keys:\n{keys}  rules:\n{rules}")
}

/// The same as a service of the operator's says it.
fn callback(question: &Value) -> (u16, String) {
    let cookie = question["headers"]["Cookie"].as_str().unwrap_or_default();
    let all = |more: Value| {
        let mut permit = json!({"map": true, "tile": true, "featureinfo": true});
        permit.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        permit
    };
    let levels = json!({"levels": {"from": LEVELS.0, "to": LEVELS.1}});
    let area = json!({"limited_to": {"geometry": AREA, "srs": "EPSG:4326"}});
    let layers = |open: Value, closed: Value| json!({"authorized": "partial", "layers": {"open": open, "closed": closed, "group": all(json!({}))}});
    let none = || json!({});
    let answer = match cookie {
        "LayerFull" => json!({"authorized": "full"}),
        "LayerPart" => layers(all(none()), json!({"map": false})),
        "LayerNone" | "" => json!({"authorized": "none"}),
        "GeometryFull" | "GeometryPart" | "GeometryNone" => layers(all(area.clone()), all(area)),
        "LevelFull" | "LevelNone" => layers(all(levels.clone()), all(levels)),
        "LevelPart" => layers(all(levels), all(json!({"levels": {"from": 6}}))),
        _ => json!({"authorized": "unauthenticated"}),
    };
    (200, answer.to_string())
}

/// A map of both layers, which are also the data set.
pub fn map(upstream: &Upstream) -> String {
    guarded_map(upstream).replace("  ogcapi:\n", "  ogcapi: {default_dataset_layers: [open, closed]}\n")
}

/// One cell of the matrix with one request and one layer.
struct Case<'a> {
    kind: Kind,
    outcome: Outcome,
    class: Class,
    target: &'a str,
    layer: &'a str,
    by_rules: bool,
}

impl Case<'_> {
    fn status(&self) -> u16 {
        if self.outcome == Outcome::Unknown {
            return 401;
        }
        let is_closed = self.layer == "closed";
        let is_about_one = !matches!(self.class, DataSet | List | Frame | Viewer);
        // As with MapProxy: who does not see everything does not see the demo,
        // where a service decides.
        if self.target.starts_with("/demo/")
            && !self.by_rules
            && (self.kind, self.outcome) != (Kind::Layer, Outcome::Full)
        {
            return 403;
        }
        // A page of a layer that is not there for him.
        if self.class == Demo && (self.kind, self.outcome, is_closed) == (Kind::Layer, Outcome::Part, true) {
            return 404;
        }
        let is_allowed = match (self.kind, self.outcome) {
            (_, Outcome::Full) | (Kind::Geometry, _) => true,
            (Kind::Layer, Outcome::Part) => !(is_closed && is_about_one),
            (Kind::Layer, _) => false,
            // Documents are about all levels.
            (Kind::Level, _) if !matches!(self.class, Picture | DataSet | Info(_)) => true,
            (Kind::Level, Outcome::Part) => !(is_closed && is_about_one),
            (Kind::Level, _) => false,
        };
        if is_allowed { 200 } else { 403 }
    }

    /// The quarters of a picture that are seen.
    fn quarters(&self) -> [bool; 4] {
        match (self.kind, self.outcome) {
            (Kind::Geometry, Outcome::Part) => [true, true, false, false],
            (Kind::Geometry, Outcome::None) => [false; 4],
            _ => [true; 4],
        }
    }

    /// Documents that tell where a layer lies tell the part that may be seen.
    fn check_extent(&self, reply: &Reply, faults: &mut Faults) {
        // Legends, pages with maps, and documents about the grid.
        let tells = [
            "GetCapabilities",
            "REQUEST=capabilities",
            "Capabilities.xml",
            "/tms/1.0.0/",
            "/ogcapi/collections",
        ];
        let silent = ["html", "/map/tiles", "KML"];
        let is_list_of_tms = self.target == "/tms/1.0.0/";
        let has = |list: &[&str]| list.iter().any(|part| self.target.contains(part));
        if self.kind != Kind::Geometry || !has(&tells) || has(&silent) || is_list_of_tms {
            return;
        }
        // 16.875 degrees, or the same in metres.
        let text = reply.text();
        let is_cut = text.contains("16.875") || text.contains("1878516.4");
        faults.check(is_cut, || {
            format!("{:?} {} tells the whole extent: {text:.2000}", self.outcome, self.target)
        });
    }

    fn check(&self, reply: &Reply, faults: &mut Faults) {
        let what = || {
            let by = if self.by_rules { "rules" } else { "callback" };
            format!("{by} {:?} {:?} {} {}: {}", self.kind, self.outcome, self.layer, self.target, told(reply))
        };
        let expected = self.status();
        faults.check(reply.status == expected, || format!("{expected} expected: {}", what()));
        let is_private = reply.header("cache-control").is_some_and(|control| !control.contains("public"));
        faults.check(is_private, || format!("{}: {:?}", what(), reply.header("cache-control")));
        if reply.status != expected || expected != 200 {
            return;
        }
        match self.class {
            Picture | DataSet => {
                let quarters = seen(reply);
                faults
                    .check(quarters == Some(self.quarters().to_vec()), || format!("{} {quarters:?}", what()));
                if self.outcome == Outcome::Full {
                    let (level, column, row) = place(self.kind, self.outcome);
                    let right = painted::check(&reply.body, level, column, row);
                    faults.check(right.is_ok(), || format!("{}: {right:?}", what()));
                }
            }
            Info(quarter) => {
                let is_within = self.quarters()[quarter];
                faults.check((reply.text() == "here it is") == is_within, what);
            }
            List => {
                self.check_extent(reply, faults);
                let hidden = (self.kind, self.outcome) == (Kind::Layer, Outcome::Part);
                for (layer, is_expected) in [("open", true), ("closed", !hidden)] {
                    faults.check(is_named(&reply.text(), layer) == is_expected, || {
                        format!("{}: {layer}", what())
                    });
                }
            }
            About => {
                faults.check(!reply.body.is_empty(), what);
                self.check_extent(reply, faults);
            }
            Viewer => {
                let hidden = (self.kind, self.outcome) == (Kind::Layer, Outcome::Part);
                for (layer, is_expected) in [("open", true), ("closed", !hidden)] {
                    let title = if layer == "open" { "Open" } else { "Closed" };
                    faults.check(reply.text().contains(title) == is_expected, || {
                        format!("{}: {layer}", what())
                    });
                }
            }
            Frame | Demo => {}
        }
    }
}

/// As a title, as a name or as part of an address, not as a word.
pub fn is_named(text: &str, layer: &str) -> bool {
    let text = text.to_lowercase();
    [format!(">{layer}<"), format!("\"{layer}\""), format!("/{layer}/"), format!("={layer}")]
        .iter()
        .any(|name| text.contains(name))
}

fn check_all(daemon: &Daemon, upstream: &Upstream, by_rules: bool) {
    let mut faults = Faults::default();
    for kind in KINDS {
        // Who may see nothing first: nobody is asked for him.
        for outcome in OUTCOMES.into_iter().rev() {
            let before = upstream.count();
            for (class, target) in requests(place(kind, outcome)) {
                let layers = if target.contains("{layer}") { &["open", "closed"][..] } else { &[""] };
                for layer in layers {
                    let target = target.replace("{layer}", layer);
                    let who = match (by_rules, outcome) {
                        (true, Outcome::Unknown) => String::new(),
                        (true, _) => format!("X-Api-Key: key of {kind:?}{outcome:?}\r\n"),
                        (false, _) => format!("Cookie: {kind:?}{outcome:?}\r\n"),
                    };
                    let reply = ask(daemon, &who, &target);
                    Case { kind, outcome, class, target: &target, layer, by_rules }
                        .check(&reply, &mut faults);
                }
            }
            let is_shut = matches!((kind, outcome), (_, Outcome::Unknown) | (Kind::Layer, Outcome::None));
            if is_shut {
                faults.check(upstream.count() == before, || {
                    format!("{kind:?} {outcome:?}: {:?}", &upstream.targets()[before..])
                });
            }
        }
    }
    faults.end();
}

#[test]
fn every_request_by_rules() {
    let (dir, upstream) = (TestDir::new("auth-matrix"), upstream());
    let daemon = Setup::new(&dir, map(&upstream)).workers(1).daemon_yaml(&rules()).start();
    check_all(&daemon, &upstream, true);
    daemon.stop();
}

#[test]
fn every_request_by_a_service_that_is_asked() {
    let (dir, upstream) = (TestDir::new("auth-matrix-external"), upstream());
    let callback = Callback::start(callback);
    let yaml = format!(
        "auth:\n  external: {{url: 'http://{}/ask', fields: [Cookie], timeout_ms: 60000}}\n",
        callback.address
    );
    let daemon = Setup::new(&dir, map(&upstream)).workers(1).daemon_yaml(&yaml).start();
    check_all(&daemon, &upstream, false);
    daemon.stop();
}
