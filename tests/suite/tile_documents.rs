//! Documents of a site that tells everything ([`site`]): capabilities of all
//! services, KML and exceptions, as trees beside MapProxy's and against the
//! schemas of the OGC.

use crate::differential::{Asked, listed, site, start};
use crate::harness::daemon::Setup;
use crate::harness::{Reply, TestDir, Upstream};
use crate::wms_documents::{difference, validate};
use crate::wms_info::{STYLE_IN, talkative};

/// Documents that are to be valid, by schema; equal to MapProxy's too.
struct Checked<'a> {
    both: &'a crate::differential::Both,
    dir: TestDir,
    files: Vec<(&'static str, std::path::PathBuf)>,
    faults: Vec<String>,
}

impl Checked<'_> {
    fn new<'a>(both: &'a crate::differential::Both, test: &str) -> Checked<'a> {
        Checked { both, dir: TestDir::new(&format!("{test}-files")), files: Vec::new(), faults: Vec::new() }
    }

    /// Asks both; without a schema only the trees are compared.
    fn add(&mut self, schema: Option<&'static str>, status: u16, target: &str) -> Reply {
        let (ours, theirs) = (self.both.daemon.get(target), self.both.mapproxy.get(target));
        if theirs.status != status {
            self.faults.push(format!(
                "{target}: MapProxy answers with {}: {:.300}",
                theirs.status,
                theirs.text()
            ));
        }
        let asked = Asked::get(target.to_owned());
        if let Some(fault) = difference(&ours, &theirs)
            && listed::reason(&asked, &ours, &theirs).is_none()
        {
            self.faults.push(format!("{target}: {fault}"));
        }
        if let Some(schema) = schema {
            let file = self.dir.write(&format!("{}.xml", self.files.len()), &ours.body);
            self.files.push((schema, file));
        }
        ours
    }

    fn end(self) {
        assert!(self.faults.is_empty(), "{} faults\n{}", self.faults.len(), self.faults.join("\n"));
        validate(&self.files);
    }
}

const KML: &str = "xsd:kml/2.2.0/ogckml22.xsd";
const WMTS: &str = "xsd:wmts/1.0/wmtsGetCapabilities_response.xsd";
const OWS: &str = "xsd:ows/1.1.0/owsExceptionReport.xsd";

const WMS_130: (&str, &str) =
    ("xsd:sld/1.1.0/sld_capabilities.xsd", "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities");

const OLD_WMS: [(&str, &str); 4] = [
    ("dtd:wms/1.0.0/capabilities_1_0_0.dtd", "WMTVER=1.0.0&REQUEST=capabilities"),
    ("dtd:wms/1.1.0/capabilities_1_1_0.dtd", "SERVICE=WMS&VERSION=1.1.0&REQUEST=GetCapabilities"),
    ("dtd:wms/1.1.1/WMS_MS_Capabilities.dtd", "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities"),
    (
        "dtd:wmsc/1.1.1/WMS_MS_Capabilities.dtd",
        "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities&TILED=true",
    ),
];

#[test]
fn everything_that_can_be_told_is_told_validly() {
    let both = start("documents-everything");
    let mut checked = Checked::new(&both, "documents-everything");
    for (_, query) in OLD_WMS {
        checked.add(None, 200, &format!("/service?{query}"));
    }
    for (schema, query) in [WMS_130, (WMTS, "SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetCapabilities")] {
        checked.add(Some(schema), 200, &format!("/service?{query}"));
    }
    let rest = checked.add(Some(WMTS), 200, "/wmts/1.0.0/WMTSCapabilities.xml").text();
    for part in ["/legend/merc.png", "{TileRow}/{I}/{J}.txt", "resourceType=\"FeatureInfo\""] {
        assert!(rest.contains(part), "{part} is not in {rest}");
    }
    checked.end();
    both.daemon.stop();
}

/// Save for dimensions, for which only 1.3.0 has the words that MapProxy uses.
#[test]
fn everything_is_told_validly_in_old_versions_too() {
    let upstream = Upstream::scripted(talkative);
    let dir = TestDir::new("documents-old");
    dir.write("in.xsl", STYLE_IN);
    let daemon = Setup::new(&dir, site::map(&upstream, false)).start();
    let mut files = Vec::new();
    for (schema, query) in OLD_WMS {
        let reply = daemon.get(&format!("/service?{query}"));
        files.push((schema, dir.write(&format!("{}.xml", files.len()), &reply.body)));
    }
    validate(&files);
    daemon.stop();
}

#[test]
fn exceptions_of_the_tile_services_are_valid() {
    let both = start("documents-tile-exceptions");
    let mut checked = Checked::new(&both, "documents-tile-exceptions");
    let tile = "/service?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=cached&STYLE=&TILEMATRIXSET=GLOBAL_WEBMERCATOR\
                &TILEMATRIX=03&TILEROW=2&TILECOL=4&FORMAT=image/png";
    for (from, to, status) in [
        ("LAYER=cached", "LAYER=<b>", 400),
        ("SET=GLOBAL", "SET=LOCAL", 400),
        ("MATRIX=03", "MATRIX=99", 400),
        ("ROW=2", "ROW=8", 400),
        ("&TILECOL=4", "", 500),
        ("image/png", "image/jpeg", 400),
        ("GetTile", "GetNothing", 500),
        ("SERVICE=WMTS", "SERVICE=WFS", 400),
        ("SERVICE=WMTS&", "", 400),
        ("GetTile", "GetFeatureInfo", 500),
    ] {
        checked.add(Some(OWS), status, &tile.replace(from, to));
    }
    for (path, status) in [
        ("cached/GLOBAL_WEBMERCATOR/03/4/8.png", 400),
        ("cached/GLOBAL_WEBMERCATOR/03/4/2.jpeg", 400),
        ("nowhere/GLOBAL_WEBMERCATOR/03/4/2.png", 400),
        ("cached/nowhere/03/4/2.png", 400),
        ("merc/GLOBAL_MERCATOR/03/4/2/1/1.txt", 501),
        ("cached/GLOBAL_WEBMERCATOR/03/4/2/1/1.nothing", 400),
    ] {
        checked.add(Some(OWS), status, &format!("/wmts/{path}"));
    }
    checked.end();
    both.daemon.stop();
}

/// TMS has no schema: what it tells must be MapProxy's.
#[test]
fn every_tile_map_is_described_as_mapproxy_does() {
    let both = start("documents-tms");
    let mut checked = Checked::new(&both, "documents-tms");
    checked.add(None, 200, "/tms/");
    checked.add(None, 200, "/tms");
    let list = checked.add(None, 200, "/tms/1.0.0").text();
    let maps: Vec<&str> = list.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(maps.len() >= 7, "{list}");
    for map in maps {
        let path = map.split_once("maps.test").expect("the name that the test gives").1;
        checked.add(None, 200, path);
    }
    for (path, status) in [
        ("merc", 200),
        ("utm", 404),
        ("cached_EPSG3857", 200),
        ("nowhere", 404),
        ("nowhere/EPSG3857", 404),
        ("merc/EPSG900913/99/0/0.png", 404),
        ("merc/EPSG900913/0/0/0.gif", 404),
        ("merc/EPSG900913/0/0", 404),
    ] {
        checked.add(None, status, &format!("/tms/1.0.0/{path}"));
    }
    checked.end();
    both.daemon.stop();
}

/// Documents of one layer that are looked at on each level.
const DOCUMENTS_OF_A_LEVEL_MAX: usize = 3;
const KML_LEVELS: usize = 5;

#[test]
fn super_overlays_are_valid_down_the_levels() {
    let both = start("documents-kml");
    let mut checked = Checked::new(&both, "documents-kml");
    for start in [
        "/kml/cached/GLOBAL_WEBMERCATOR",
        "/kml/merc/GLOBAL_MERCATOR",
        "/kml/merc/geodetic_nw",
        "/kml/utm/utm32",
        "/kml/geo/GLOBAL_GEODETIC",
        "/kml/web/GLOBAL_WEBMERCATOR",
    ] {
        let extension = if start.contains("web/") { ".jpeg" } else { ".png" };
        let mut level = vec![start.to_owned()];
        for depth in 0..KML_LEVELS {
            let mut deeper = Vec::new();
            assert!(!level.is_empty(), "{start} ends at depth {depth}");
            // First, last and middle: edges of the grid and its inside.
            level.dedup();
            let (last, middle) = (level.len() - 1, level.len() / 2);
            let mut chosen = vec![0, middle, last];
            chosen.dedup();
            for at in chosen.into_iter().take(DOCUMENTS_OF_A_LEVEL_MAX) {
                let reply = checked.add(Some(KML), 200, &level[at]);
                assert_eq!(reply.content_type(), "application/vnd.google-earth.kml+xml", "{}", level[at]);
                deeper.extend(links(&reply.text(), ".kml"));
                if let Some(picture) = links(&reply.text(), extension).pop()
                    && at == 0
                {
                    checked.add(None, 200, &picture);
                }
            }
            level = deeper;
        }
    }
    checked.end();
    both.daemon.stop();
}

/// Paths of a document's links that end in `extension`.
fn links(kml: &str, extension: &str) -> Vec<String> {
    let hrefs = kml.split("<href>").skip(1).filter_map(|rest| rest.split("</href>").next());
    hrefs
        .filter(|href| href.ends_with(extension))
        .map(|href| href.strip_prefix("http://maps.test").expect("the name that the test gives").to_owned())
        .collect()
}
