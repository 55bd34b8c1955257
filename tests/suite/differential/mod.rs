//! MapProxy 7.0.0 beside rhumb under random requests, right and wrong, to
//! every service: the same statuses, types, documents and messages, but for
//! what [`listed`] names.

mod grammar;
pub mod listed;
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

fn compare(both: &Both, requests: &[Asked]) -> Findings {
    let mut ours = Line { address: both.daemon.address, client: None };
    let mut theirs = Line { address: both.mapproxy.address, client: None };
    let mut findings = Findings::default();
    for asked in requests {
        let pair = (ours.ask(asked), theirs.ask(asked));
        *findings.statuses.entry(pair.1.status).or_default() += 1;
        let Some(fault) = difference(&pair.0, &pair.1) else { continue };
        match listed::reason(asked, &pair.0, &pair.1) {
            Some(reason) => *findings.listed.entry(reason).or_default() += 1,
            None => findings.faults.push(format!("{asked}\n    {fault}")),
        }
    }
    findings
}

/// Random requests to both, in two threads.
fn compare_random_requests(both: &Both, seed: u64) {
    let mut random = Random(seed);
    let requests: Vec<Asked> = (0..REQUESTS).map(|_| grammar::request(&mut random)).collect();
    let mut findings = Findings::default();
    std::thread::scope(|scope| {
        let parts = requests.chunks(REQUESTS.div_ceil(2));
        let halves: Vec<_> = parts.map(|half| scope.spawn(move || compare(both, half))).collect();
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
