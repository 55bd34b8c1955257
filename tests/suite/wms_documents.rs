//! Documents beside MapProxy's and against the schemas of the OGC: feature
//! info, legends, exceptions and capabilities of every WMS version, INSPIRE.

use crate::harness::compare::{raster, tree_differences, tree_lines};
use crate::harness::daemon::Setup;
use crate::harness::peers::{MapProxy, peer};
use crate::harness::{Daemon, Reply, TestDir, Upstream};
use crate::wms_info::{STYLE_IN, STYLE_OUT, info, map, talkative};

struct Both {
    daemon: Daemon,
    mapproxy: MapProxy,
    _upstream: Upstream,
    _dirs: (TestDir, TestDir),
}

fn start_both(test: &str, services: &str) -> Both {
    let upstream = Upstream::scripted(talkative);
    let text = map(&upstream, services);
    start_on(test, text, upstream)
}

fn start_on(test: &str, text: String, upstream: Upstream) -> Both {
    let (ours, theirs) = (TestDir::new(test), TestDir::new(&format!("{test}-mapproxy")));
    for dir in [&ours, &theirs] {
        dir.write("in.xsl", STYLE_IN);
        dir.write("out.xsl", STYLE_OUT);
    }
    let config = theirs.write("mapproxy.yaml", &text);
    let daemon = Setup::new(&ours, text).start();
    Both { daemon, mapproxy: MapProxy::start(&config), _upstream: upstream, _dirs: (ours, theirs) }
}

/// What differs between two replies, in a sentence; documents as trees.
pub fn difference(ours: &Reply, theirs: &Reply) -> Option<String> {
    let plain = |r: &Reply| r.content_type().split(';').next().unwrap_or("").trim().to_owned();
    if (ours.status, plain(ours)) != (theirs.status, plain(theirs)) {
        let shown = |reply: &Reply| match plain(reply).starts_with("image/") {
            true => format!("{} bytes", reply.body.len()),
            false => format!("{:.600}", reply.text()),
        };
        let told = |reply: &Reply| format!("{} {}: {}", reply.status, plain(reply), shown(reply));
        return Some(format!("{}\n    in place of {}", told(ours), told(theirs)));
    }
    if ours.body == theirs.body {
        return None;
    }
    let kind = plain(theirs);
    if kind.starts_with("image/") {
        return match (raster(&ours.body), raster(&theirs.body)) {
            (Ok(a), Ok(b)) if (a.width, a.height) == (b.width, b.height) => None,
            (Ok(a), Ok(b)) => Some(format!("{}×{} in place of {}×{}", a.width, a.height, b.width, b.height)),
            (a, b) => Some(format!("{:?} {:?}", a.err(), b.err())),
        };
    }
    if kind.contains("json") {
        let value = |r: &Reply| serde_json::from_slice::<serde_json::Value>(&r.body).ok();
        return (value(ours) != value(theirs))
            .then(|| format!("{} in place of {}", ours.text(), theirs.text()));
    }
    if kind.contains("xml") || kind.contains("gml") {
        return match (tree_lines(&ours.text()), tree_lines(&theirs.text())) {
            (Ok(a), Ok(b)) => {
                let differences = tree_differences(&a, &b);
                (!differences.is_empty()).then(|| differences.join("; "))
            }
            (a, b) => Some(format!("{:?} {:?}", a.err(), b.err())),
        };
    }
    // The plain documents say what the upstream was asked, its names sorted.
    let lines = |r: &Reply| {
        let mut pairs: Vec<String> = r.text().split(['&', '\n']).map(str::to_owned).collect();
        pairs.sort();
        pairs
    };
    (lines(ours) != lines(theirs)).then(|| format!("{} in place of {}", ours.text(), theirs.text()))
}

fn agree(both: &Both, targets: &[String]) {
    let mut faults = Vec::new();
    for target in targets {
        let (ours, theirs) = (both.daemon.get(target), both.mapproxy.get(target));
        if let Some(fault) = difference(&ours, &theirs) {
            faults.push(format!("{target}: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{} of {} differ\n{}", faults.len(), targets.len(), faults.join("\n"));
}

/// The request in the words of a version.
fn versioned(version: &str, request: &str) -> String {
    match version {
        "1.0.0" => request
            .replace("SERVICE=WMS&VERSION=1.1.1", "WMTVER=1.0.0")
            .replace("GetFeatureInfo", "feature_info")
            .replace("GetMap", "map")
            .replace("GetCapabilities", "capabilities"),
        "1.3.0" => request
            .replace("1.1.1", "1.3.0")
            .replace("SRS=", "CRS=")
            .replace("BBOX=8,50,10,52", "BBOX=50,8,52,10")
            .replace("&X=", "&I=")
            .replace("&Y=", "&J="),
        version => request.replace("1.1.1", version),
    }
}

const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "1.1.1", "1.3.0"];

#[test]
fn feature_info_is_as_mapproxys() {
    let both = start_both("documents-info", "");
    let mut targets = Vec::new();
    for version in VERSIONS {
        for layers in [
            "text",
            "pages",
            "xmls",
            "jsons",
            "mixed",
            "moved",
            "covered",
            "formatted",
            "styled",
            "cached",
            "group",
        ] {
            targets.push(versioned(version, &info(layers, "&FORMAT=image/png")));
        }
        for more in [
            "&INFO_FORMAT=text/plain&FEATURE_COUNT=3",
            "&INFO_FORMAT=text/html",
            "&INFO_FORMAT=application/json&FORMAT=image/jpeg",
        ] {
            targets.push(versioned(version, &info("text", more)));
        }
    }
    targets.push(info("text,xmls", ""));
    targets.push(info("text", "").replace("X=150", "X=150.5"));
    targets.push(info("arc", "&INFO_FORMAT=application/json"));
    targets.push(
        info("moved", "")
            .replace("EPSG:4326", "EPSG:25832")
            .replace("8,50,10,52", "500000,5600000,510000,5605000"),
    );
    for tile in ["01/1/0/17/34", "03/4/2/0/255"] {
        targets.push(format!("/wmts/cached/GLOBAL_WEBMERCATOR/{tile}.txt"));
        targets.push(format!("/wmts/cached/GLOBAL_WEBMERCATOR/{tile}.json"));
    }
    agree(&both, &targets);
    both.daemon.stop();
}

#[test]
fn stylesheets_of_the_service_are_as_mapproxys() {
    let both = start_both("documents-style", "    featureinfo_xslt: {xml: out.xsl, html: out.xsl}\n");
    let targets = [
        info("xmls", ""),
        info("mixed", ""),
        versioned("1.3.0", &info("xmls", "&INFO_FORMAT=text/xml")),
        "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities".to_owned(),
    ];
    agree(&both, &targets);
    both.daemon.stop();
}

#[test]
fn legends_are_as_mapproxys() {
    let both = start_both("documents-legend", "");
    let mut targets = Vec::new();
    for version in ["1.1.1", "1.3.0"] {
        for layer in ["legends", "fixed", "named", "mute", "nowhere"] {
            for more in ["&SLD_VERSION=1.1.0", "", "&SLD_VERSION=1.0.0", "&SCALE=5"] {
                targets.push(format!(
                    "/service?SERVICE=WMS&VERSION={version}&REQUEST=GetLegendGraphic&LAYER={layer}&FORMAT=image/png{more}"
                ));
            }
        }
        targets
            .push(format!("/service?SERVICE=WMS&VERSION={version}&REQUEST=GetLegendGraphic&LAYER=legends"));
    }
    // MapProxy forgets all but the first source here.
    targets.push(
        "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetLegendGraphic&LAYER=one&FORMAT=application/json"
            .into(),
    );
    agree(&both, &targets);
    // Both keep a legend under one name.
    let names = |dir: &TestDir| {
        let mut names: Vec<String> = dir
            .files()
            .iter()
            .filter(|path| path.parent().is_some_and(|parent| parent.ends_with("legends")))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        names
    };
    let ours = names(&both._dirs.0);
    let theirs = names(&both._dirs.1);
    assert!(ours.len() >= 5, "{ours:?}");
    assert!(ours.iter().all(|name| theirs.contains(name)), "{ours:?} in place of {theirs:?}");
    both.daemon.stop();
}

#[test]
fn exceptions_are_as_mapproxys_and_valid() {
    let both = start_both("documents-exceptions", "    max_output_pixels: [300, 300]\n");
    let good = "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=mute&STYLES=&SRS=EPSG:4326&BBOX=8,50,10,52\
                &WIDTH=100&HEIGHT=100&FORMAT=image/png";
    let mut targets = Vec::new();
    for version in VERSIONS {
        for (from, to) in [
            ("LAYERS=mute", "LAYERS=nowhere"),
            ("STYLES=", "STYLES=night"),
            ("EPSG:4326", "EPSG:9999"),
            ("BBOX=8,50,10,52", "BBOX=10,50,8,52"),
            ("&WIDTH=100", ""),
            ("WIDTH=100", "WIDTH=1000"),
            ("&FORMAT=image/png", ""),
            ("image/png", "image/bmp"),
            ("GetMap", "GetNothing"),
        ] {
            let bad = versioned(version, &good.replace(from, to));
            for exceptions in ["", "&EXCEPTIONS=application/vnd.ogc.se_inimage", "&EXCEPTIONS=blank"] {
                targets.push(format!("{bad}{exceptions}"));
            }
        }
        targets.push(versioned(version, &info("mute", "&FORMAT=image/png")));
        targets.push(versioned(version, &info("nowhere", "&FORMAT=image/png")));
        targets.push(versioned(version, &info("text", "&FORMAT=image/png").replace("&X=150", "")));
    }
    agree(&both, &targets);
    let dir = TestDir::new("documents-exceptions-valid");
    let mut files = Vec::new();
    for (version, schema) in [
        ("1.1.0", "dtd:wms/1.1.0/exception_1_1_0.dtd"),
        ("1.1.1", "dtd:wms/1.1.1/exception_1_1_1.dtd"),
        ("1.3.0", "xsd:wms/1.3.0/exceptions_1_3_0.xsd"),
    ] {
        let reply = both.daemon.get(&versioned(version, &good.replace("LAYERS=mute", "LAYERS=nowhere")));
        files.push((schema, dir.write(&format!("exception-{version}.xml"), &reply.body)));
    }
    validate(&files);
    both.daemon.stop();
}

/// Validates documents with the schemas that MapProxy's test package carries.
pub fn validate(files: &[(&str, std::path::PathBuf)]) {
    const SCRIPT: &str = "
import sys
from lxml import etree
from mapproxy.test.helper import validate_with_dtd, validate_with_xsd
bad = 0
for argument in sys.argv[1:]:
    kind, schema, path = argument.split(':', 2)
    check = validate_with_dtd if kind == 'dtd' else validate_with_xsd
    name = 'dtd_name' if kind == 'dtd' else 'xsd_name'
    if not check(etree.parse(path), **{name: schema}):
        print(schema, path)
        bad = 1
sys.exit(bad)
";
    let mut command = std::process::Command::new(peer("venv/bin/python"));
    command.arg("-c").arg(SCRIPT);
    for (schema, path) in files {
        command.arg(format!("{schema}:{}", path.display()));
    }
    let output = command.output().expect("python runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

#[test]
fn capabilities_of_every_version_are_valid() {
    let both = start_both("documents-valid", "");
    let dir = TestDir::new("documents-valid-files");
    let mut files = Vec::new();
    let mut targets = Vec::new();
    for (schema, target) in [
        ("dtd:wms/1.0.0/capabilities_1_0_0.dtd", "/service?WMTVER=1.0.0&REQUEST=capabilities"),
        (
            "dtd:wms/1.1.0/capabilities_1_1_0.dtd",
            "/service?SERVICE=WMS&VERSION=1.1.0&REQUEST=GetCapabilities",
        ),
        (
            "dtd:wms/1.1.1/WMS_MS_Capabilities.dtd",
            "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities",
        ),
        ("xsd:sld/1.1.0/sld_capabilities.xsd", "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"),
        (
            "xsd:wmts/1.0/wmtsGetCapabilities_response.xsd",
            "/service?SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetCapabilities",
        ),
        ("xsd:wmts/1.0/wmtsGetCapabilities_response.xsd", "/wmts/1.0.0/WMTSCapabilities.xml"),
    ] {
        let reply = both.daemon.get(target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        files.push((schema, dir.write(&format!("{}.xml", files.len()), &reply.body)));
        targets.push(target.to_owned());
    }
    validate(&files);
    agree(&both, &targets);
    both.daemon.stop();
}

const INSPIRE: [&str; 2] = [
    "    inspire_md:
      type: linked
      languages: {default: eng}
      metadata_url: {url: 'http://example.org/md?a&b', media_type: application/vnd.iso.19139+xml}
",
    "    inspire_md:
      type: embedded
      resource_locators: [{url: 'http://example.org/locator', media_type: application/vnd.iso.19139+xml}]
      temporal_reference: {date_of_publication: 2015-04-02, date_of_creation: 2015-05-01, date_of_last_revision: 2015-05-02}
      conformities:
        - title: Regulation
          date_of_publication: 2010-12-08
          uris: ['OJ:L:2010:323:0011:0102:EN:PDF']
          resource_locators: [{url: 'http://example.org/law', media_type: text/html}]
          degree: notEvaluated
      metadata_points_of_contact: [{organisation_name: Acme, email: acme@example.org}]
      mandatory_keywords: [infoMapAccessService, humanGeographicViewer]
      keywords:
        - title: GEMET
          date_of_last_revision: 2008-06-01
          uris: ['http://example.org/gemet']
          resource_locators: [{url: 'http://example.org/gemet', media_type: text/html}]
          keyword_value: Orthoimagery
      metadata_date: 2015-07-23
      metadata_url: {url: 'http://example.org/md', media_type: application/vnd.iso.19139+xml}
      languages: {default: eng}
",
];

#[test]
fn inspire_metadata_is_told() {
    for (kind, section) in ["linked", "embedded"].into_iter().zip(INSPIRE) {
        let upstream = Upstream::scripted(talkative);
        // The schema of INSPIRE knows no GetLegendGraphic, so no layer has a legend here.
        let text = format!(
            "services:\n  wms:\n    srs: ['EPSG:4326']\n    md: {{title: Inspired}}\n{section}layers:\n  - {{name: a, title: A, sources: [a]}}\n\
             sources:\n  a: {{type: wms, req: {{url: '{}', layers: a}}}}\n",
            upstream.url("/text")
        );
        let both = start_on(&format!("documents-inspire-{kind}"), text, upstream);
        let target = "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities";
        // MapProxy writes several dates in an order that is not valid.
        if kind == "linked" {
            agree(&both, &[target.to_owned()]);
        }
        let dir = TestDir::new(&format!("documents-inspire-{kind}-valid"));
        let file = dir.write("capabilities.xml", &both.daemon.get(target).body);
        validate(&[("xsd:inspire/inspire_vs/1.0/inspire_vs.xsd", file)]);
        both.daemon.stop();
    }
}
