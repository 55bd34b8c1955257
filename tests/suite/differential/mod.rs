//! MapProxy 7.0.0 beside rhumb under random requests, right and wrong, to
//! every service: the same statuses, types, documents and messages, but for
//! what [`listed`] names.

mod grammar;
pub mod listed;
pub mod ogcapi;
pub mod site;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::harness::daemon::Setup;
use crate::harness::peers::MapProxy;
use crate::harness::{Client, Daemon, Random, Reply, TestDir, Upstream, settled_seed};
use crate::wms_documents::difference;
use crate::wms_info::{STYLE_IN, STYLE_OUT, talkative};
pub use grammar::Asked;

/// For each of the two services.
const REQUESTS: usize = 800;

pub struct Both {
    pub daemon: Daemon,
    pub mapproxy: MapProxy,
    _upstream: Upstream,
    _dirs: (TestDir, TestDir),
}

/// Both servers on [`site::map`].
pub fn start(test: &str) -> Both {
    start_on(test, |text| text)
}

/// As [`start`], with another map file.
fn start_on(test: &str, edit: fn(String) -> String) -> Both {
    let upstream = Upstream::scripted(talkative);
    let text = edit(site::map(&upstream, true));
    let (ours, theirs) = (TestDir::new(test), TestDir::new(&format!("{test}-mapproxy")));
    for dir in [&ours, &theirs] {
        dir.write("in.xsl", STYLE_IN);
        dir.write("out.xsl", STYLE_OUT);
    }
    let config: PathBuf = theirs.write("mapproxy.yaml", &text);
    let daemon = Setup::new(&ours, text).start();
    Both { daemon, mapproxy: MapProxy::start(&config), _upstream: upstream, _dirs: (ours, theirs) }
}

/// A connection that is opened anew where the server has closed it.
struct Line {
    address: SocketAddr,
    client: Option<Client>,
}

impl Line {
    fn ask(&mut self, asked: &Asked) -> Reply {
        let mut client =
            self.client.take().unwrap_or_else(|| Client::connect(self.address).expect("the server accepts"));
        client.send(asked.bytes()).unwrap_or_else(|error| panic!("{asked}: {error}"));
        let reply = client.read_reply(false).unwrap_or_else(|end| panic!("{asked} ended with {end:?}"));
        if !reply.closes() {
            self.client = Some(client);
        }
        reply
    }
}

/// What came of a part of the requests.
#[derive(Default)]
struct Findings {
    faults: Vec<String>,
    /// How often each listed difference was seen.
    listed: BTreeMap<&'static str, usize>,
    statuses: BTreeMap<u16, usize>,
}

/// What differs between our answer and MapProxy's.
type Fault = fn(&Reply, &Reply) -> Option<String>;

fn compare(both: &Both, requests: &[Asked], fault: Fault) -> Findings {
    let mut ours = Line { address: both.daemon.address, client: None };
    let mut theirs = Line { address: both.mapproxy.address, client: None };
    let mut findings = Findings::default();
    for asked in requests {
        let pair = (ours.ask(asked), theirs.ask(asked));
        *findings.statuses.entry(pair.1.status).or_default() += 1;
        let Some(fault) = fault(&pair.0, &pair.1) else { continue };
        match listed::reason(asked, &pair.0, &pair.1) {
            Some(reason) => *findings.listed.entry(reason).or_default() += 1,
            None => findings.faults.push(format!("{asked}\n    {fault}")),
        }
    }
    findings
}

fn compare_random_requests(both: &Both, seed: u64) {
    let mut random = Random(seed);
    let requests: Vec<Asked> = (0..REQUESTS).map(|_| grammar::request(&mut random)).collect();
    compare_all(both, seed, &requests, difference);
}

/// All requests to both, in two threads.
fn compare_all(both: &Both, seed: u64, requests: &[Asked], fault: Fault) {
    let mut findings = Findings::default();
    std::thread::scope(|scope| {
        let parts = requests.chunks(requests.len().div_ceil(2));
        let halves: Vec<_> = parts.map(|half| scope.spawn(move || compare(both, half, fault))).collect();
        for half in halves {
            let found = half.join().expect("no panic while comparing");
            findings.faults.extend(found.faults);
            for (reason, count) in found.listed {
                *findings.listed.entry(reason).or_default() += count;
            }
            for (status, count) in found.statuses {
                *findings.statuses.entry(status).or_default() += count;
            }
        }
    });
    eprintln!("MapProxy's statuses: {:?}", findings.statuses);
    findings.listed.iter().for_each(|(reason, count)| eprintln!("{count} differ as listed: {reason}"));
    let faults = &findings.faults;
    assert!(faults.is_empty(), "{} differ (RHUMB_SEED={seed})\n{}", faults.len(), faults.join("\n"));
}

/// What fresh seeds have brought to light.
const ONCE_DIFFERENT: &[&str] = &[
    "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=arc&STYLES=&SRS=EPSG:4326&BBOX=8,50,10,52&WIDTH=160&HEIGHT=80&FORMAT=image/png&LAYERS=faulty",
    "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=mixed_tiles&STYLES=&SRS=EPSG:3857&BBOX=890555.9,6446275.8,1113194.9,6800125.4&WIDTH=160&HEIGHT=80&FORMAT=image/jpeg&TILED=true",
    "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetLegendGraphic&LAYER=legends&FORMAT=image/jpeg&FORMAT=png",
    "/tms/99/1.0.0/mixed_tiles/EPSG3857/1.0.0",
    "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=text,text&STYLES=&CRS=EPSG:25832&BBOX=-20037508,-20037508,20037508,20037508&WIDTH=1&HEIGHT=80&FORMAT=image/tiff",
    "/service?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=arc&STYLES=&CRS=EPSG:4326&BBOX=-20037508,-20037508,20037508,20037508&WIDTH=160&HEIGHT=80&FORMAT=image/png",
    "/service?WMTVER=1.0.0&REQUEST=feature_info&LAYERS=group&STYLES=&SRS=CRS:84&BBOX=8,50,10,52&WIDTH=160&HEIGHT=80&QUERY_LAYERS=group&X=150.5&Y=nan&INFO_FORMAT=text/html&EXCEPTIONS=blank",
    "/service?SERVICE=wmts&REQUEST=GetFeatureInfo&VERSION=1.0.0&LAYER=informed&STYLE=&TILEMATRIXSET=GLOBAL_MERCATOR&TILEMATRIX=05&TILEROW=10&TILECOL=17&FORMAT=image/png&INFOFORMAT=text/plain&I=17&J=34",
    "/service?INFO_FORMAT=application/geo%2Bjson&J=nan&I=199.9&QUERY_LAYERS=utm&HEIGHT=80&WIDTH=160&BBOX=8,50,10,52&CRS=CRS:84&STYLES=&LAYERS=utm&REQUEST=GetFeatureInfo&VERSION=1.3.0&SERVICE=WMS",
    "/service?WMTVER=1.0.0&REQUEST=feature_info&LAYERS=geo&STYLES=&SRS=EPSG:3857&BBOX=nan,nan,nan,nan&WIDTH=160&HEIGHT=80&QUERY_LAYERS=covered&X=199.9&Y=20&FORMAT=image/png&EXCEPTIONS=application/vnd.ogc.se_inimage",
    "/tms/1.0.0/0/0/0.png?origin=sw",
    "/tms/1.0.0/3/4/2.png",
    "/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=arc&STYLES=&SRS=EPSG:4326&BBOX=500000,5600000,640000,5670000&WIDTH=160&HEIGHT=80&FORMAT=image/jpeg",
];

#[test]
fn requests_that_once_differed_are_answered_alike() {
    let both = start("differential-once");
    let requests: Vec<Asked> = ONCE_DIFFERENT.iter().map(|target| Asked::get((*target).to_owned())).collect();
    let faults = compare(&both, &requests, difference).faults;
    assert!(faults.is_empty(), "{} differ\n{}", faults.len(), faults.join("\n"));
    both.daemon.stop();
}

/// See [`settled_seed`].
const SETTLED_SEED: u64 = 1;

#[test]
fn random_requests_are_answered_alike() {
    answer_alike(settled_seed("differential", SETTLED_SEED));
}

pub fn answer_alike(seed: u64) {
    let both = start("differential");
    compare_random_requests(&both, seed);
    both.daemon.stop();
}

#[test]
fn random_requests_are_answered_alike_where_the_service_is_strict() {
    answer_alike_where_strict(settled_seed("differential-strict", SETTLED_SEED));
}

pub fn answer_alike_where_strict(seed: u64) {
    let both = start_on("differential-strict", |text| {
        let strict = "  wms:\n    strict: true\n    on_source_errors: raise\n\
                      \x20   featureinfo_types: [json, xml]\n    featureinfo_xslt: {xml: out.xsl}\n    attribution: {text: 'me'}\n";
        let text = text.replacen("  wms:\n", strict, 1).replacen(
            "  tms:\n",
            "  tms:\n    use_grid_names: true\n    origin: nw\n",
            1,
        );
        text.replacen("globals: {", "globals: {http: {hide_error_details: false}, ", 1)
    });
    compare_random_requests(&both, seed);
    both.daemon.stop();
}
