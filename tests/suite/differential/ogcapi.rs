//! Random requests to the OGC API, right and wrong: statuses, types, documents
//! in JSON, refusals, sizes of pictures and the fields that tell their place.

use std::collections::BTreeSet;

use serde_json::Value;

use super::grammar::{Asked, escape};
use super::{compare_all, difference, start};
use crate::harness::{Random, Reply, settled_seed};

/// Drawn ones, after those that once differed.
const REQUESTS: usize = 200;
const SETTLED_SEED: u64 = 1;

const COLLECTIONS: &[&str] = &["cached", "mute", "covered", "utm", "geo", "text", "merc", "web", "deep"];

const SYSTEMS: &[&str] = &[
    "EPSG:4326",
    "EPSG:3857",
    "[EPSG:25832]",
    "http://www.opengis.net/def/crs/EPSG/0/3857",
    "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    "OGC:CRS84",
];

const SETS: &[&str] = &["WebMercatorQuad", "GLOBAL_GEODETIC", "GLOBAL_MERCATOR", "utm32", "geodetic_nw"];

/// Parameters of maps with right values, then with wrong ones.
const MAP_PARAMETERS: &[(&str, &[&str], &[&str])] = &[
    ("bbox", &["8,50,10,52", "8,50,0,10,52,9", "8.5,50.5,8.6,50.55", "-180,-90,180,90"], BAD_BOXES),
    ("bbox-crs", SYSTEMS, BAD_SYSTEMS),
    ("crs", SYSTEMS, BAD_SYSTEMS),
    ("center", &["9,51", "8.25,50.75"], &["", "9", "9,51,3", "a,b", "nan,1"]),
    ("center-crs", SYSTEMS, BAD_SYSTEMS),
    ("width", &["160", "80", "301"], BAD_NUMBERS),
    ("height", &["90", "160"], BAD_NUMBERS),
    ("scale-denominator", &["1000000", "2.5e6", "25000"], BAD_NUMBERS),
    ("mm-per-pixel", &["0.28", "0.5"], BAD_NUMBERS),
    ("subset", &["Lon(8:10),Lat(50:52)", "x(8:10),y(50:52)", "lat(50:52),lon(8:10)"], BAD_SUBSETS),
    ("subset-crs", SYSTEMS, BAD_SYSTEMS),
    ("transparent", &["true", "false"], &["", "1", "TRUE", "yes"]),
    ("bgcolor", &["0xff0000", "red", "0x80ff0000", "Aqua"], &["", "0xff", "redd", "#ff0000", "0xgggggg"]),
    ("collections", &["text", "mute,text", "cached"], &["", "nowhere", "text,nowhere", "TEXT"]),
    ("f", &["png", "jpeg", "json"], &["", "gif", "html5", "PNG", "image/png"]),
];

const BAD_BOXES: &[&str] = &["", "8,50,10", "10,50,8,52", "8,50,8,52", "a,b,c,d", "1,2,3,4,5", "8,50,10,52,"];
const BAD_SYSTEMS: &[&str] =
    &["", "EPSG:9999", "EPSG:3035", "4326", "epsg:4326", "http://example.org/x", "[]"];
const BAD_NUMBERS: &[&str] = &["", "0", "-5", "abc", "1.5", "1e2", "100000", " 50"];
const BAD_SUBSETS: &[&str] = &[
    "",
    "Lon(8:10)",
    "Lon(8),Lat(50)",
    "Lon(10:8),Lat(50:52)",
    "Lon(8:10),Lon(8:10)",
    "z(1:2),Lat(50:52)",
    "Lon(a:b),Lat(50:52)",
    "Lon[8:10],Lat(50:52)",
];

/// Level, row, column.
const TILES: &[[&str; 3]] =
    &[["0", "0", "0"], ["3", "2", "4"], ["5", "10", "17"], ["1", "1", "0"], ["03", "2", "4"]];

const BAD_TILES: &[[&str; 3]] = &[
    ["3", "99", "4"],
    ["99", "0", "0"],
    ["a", "0", "0"],
    ["3", "-1", "0"],
    ["3", "2", "x"],
    ["0", "0", "1"],
];

/// One request under way: at most one thing in it is wrong by itself, since in
/// which order several faults are found is nobody's business.
struct Draft<'a> {
    random: &'a mut Random,
    is_wrong: bool,
}

impl Draft<'_> {
    fn pick<T: Copy>(&mut self, right: &[T], wrong: &[T]) -> T {
        let goes_wrong = !self.is_wrong && self.random.between(0, 12) == 0;
        self.is_wrong |= goes_wrong;
        *self.random.pick(if goes_wrong { wrong } else { right })
    }

    fn path(&mut self) -> (String, i64) {
        let kind = self.random.between(0, 16);
        let collection = format!("/ogcapi/collections/{}", self.pick(COLLECTIONS, &["nowhere", "WEB"]));
        let whose = if self.random.between(0, 3) == 0 { "/ogcapi" } else { &collection };
        match kind {
            0 => (self.pick(&["/ogcapi", "/ogcapi/"], &["/ogcapi/nothing", "/ogcapi/map/x"]).to_owned(), 0),
            1 => ("/ogcapi/conformance".to_owned(), 0),
            2 => (
                self.pick(&["/ogcapi/collections", "/ogcapi/collections/"], &["/ogcapi/collection"])
                    .to_owned(),
                0,
            ),
            3 => (collection, 0),
            4 => ("/ogcapi/tileMatrixSets".to_owned(), 0),
            5 => (format!("/ogcapi/tileMatrixSets/{}", self.pick(SETS, &["nowhere"])), 0),
            6 => (format!("{whose}/map/tiles"), 0),
            7 => (format!("{whose}/map/tiles/{}", self.pick(SETS, &["nowhere"])), 0),
            8..11 => {
                let set = self.pick(SETS, &["nowhere"]);
                let [level, row, column] = self.pick(TILES, BAD_TILES);
                let extension = self.pick(&["", "", ".png", ".jpg"], &[".gif", ".x"]);
                (format!("{whose}/map/tiles/{set}/{level}/{row}/{column}{extension}"), 1)
            }
            _ => (format!("{whose}/map{}", self.pick(&["", "", ".png", ".jpg", ".jpeg"], &[".gif"])), 4),
        }
    }

    fn request(&mut self) -> Asked {
        let (path, parameters) = self.path();
        let mut pairs: Vec<String> = Vec::new();
        for _ in 0..self.random.between(0, parameters + 2) {
            let (name, right, wrong) = *self.random.pick(MAP_PARAMETERS);
            let is_there = pairs.iter().any(|pair| pair.split('=').next() == Some(name));
            if !is_there || self.random.between(0, 8) == 0 {
                pairs.push(format!("{name}={}", escape(self.pick(right, wrong))));
            }
        }
        match self.random.between(0, 24) {
            0 => pairs.push("f=json".to_owned()),
            1 => pairs.push("nothing=1".to_owned()),
            _ => {}
        }
        let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
        Asked::get(format!("{path}{query}"))
    }
}

/// Words of documents that docs/migration.md tells of: why, there, here.
const WORDS: &[(&str, &str, &str)] = &[
    ("a slip of the pen", "mominal_res", "nominal_res"),
    ("a URL that the OGC does not have", "EPSG/0/900913", "EPSG/0/3857"),
    ("texts with references are written as such", "&amp;", "&"),
    ("texts with references are written as such", "&#38;", "&"),
    ("texts with references are written as such", "&lt;", "<"),
    ("texts with references are written as such", "&gt;", ">"),
];

/// A document in JSON as lines of path and value.
fn lines_of(value: &Value, path: &str, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                lines_of(value, &format!("{path}/{name}"), lines);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                lines_of(item, &format!("{path}/{at}"), lines);
            }
        }
        Value::Number(number) => {
            lines.insert(format!("{path} {:?}", number.as_f64()));
        }
        leaf => {
            let leaf = WORDS.iter().fold(leaf.to_string(), |text, (_, from, to)| text.replace(from, to));
            // Of layers of the data set all are meant there, that one here.
            let leaf = leaf.split_once(" lacks a nominal_").map_or(leaf.as_str(), |(_, lacks)| lacks);
            lines.insert(format!("{path} {leaf}"));
        }
    }
}

/// What seeds have brought to light.
const ONCE_DIFFERENT: &[&str] = &[
    "/ogcapi/collections/covered/map.png?subset=z%281:2%29,Lat%2850:52%29&subset=x%288:10%29,y%2850:52%29",
    "/ogcapi/map.jpeg?subset-crs=OGC:CRS84&collections=mute,text&subset=Lon%288:10%29,Lat%2850:52%29&collections=nowhere",
    "/ogcapi/collections/geo/map/tiles/WebMercatorQuad/a/0/0?f=jpeg&height=-5",
    "/ogcapi/collections/text/map.jpeg?subset-crs=&crs=OGC:CRS84&subset=lat%2850:52%29,lon%288:10%29",
];

/// As [`difference`], documents by their lines, pictures by the fields that
/// tell their place too.
fn fault(ours: &Reply, theirs: &Reply) -> Option<String> {
    let kind = theirs.content_type();
    if ours.status == theirs.status && ours.content_type() == kind && kind.contains("html") {
        // Pages are of each one's own making.
        return None;
    }
    let documents = [ours, theirs].map(|reply| serde_json::from_slice::<Value>(&reply.body).ok());
    if let [Some(here), Some(there)] = documents
        && ours.status == theirs.status
    {
        let [here, there] = [here, there].map(|document| {
            let mut lines = BTreeSet::new();
            lines_of(&document, "", &mut lines);
            // Grids in degrees: as if degrees were metres there.
            if ["/EPSG/0/4326", "CRS84"].iter().any(|name| document["crs"].to_string().contains(name)) {
                lines.retain(|line| !line.contains("/scaleDenominator "));
            }
            lines
        });
        let told = |sign: char, some: &BTreeSet<String>, others: &BTreeSet<String>| -> Vec<String> {
            some.difference(others).take(6).map(|line| format!("{sign} {line}")).collect()
        };
        let lines = [told('+', &here, &there), told('-', &there, &here)].concat();
        return (!lines.is_empty()).then(|| lines.join("\n    "));
    }
    let place = |reply: &Reply| {
        ["content-crs", "content-bbox"]
            .map(|name| reply.header(name).unwrap_or_default().replace("EPSG/0/900913", "EPSG/0/3857"))
    };
    difference(ours, theirs).or_else(|| {
        let (here, there) = (place(ours), place(theirs));
        (kind.starts_with("image/") && here != there).then(|| format!("{here:?} in place of {there:?}"))
    })
}

#[test]
fn random_requests_to_the_ogc_api_are_answered_alike() {
    answer_alike(settled_seed("differential-ogcapi", SETTLED_SEED));
}

pub fn answer_alike(seed: u64) {
    let both = start("differential-ogcapi");
    let mut random = Random(seed);
    let mut requests: Vec<Asked> =
        ONCE_DIFFERENT.iter().map(|target| Asked::get((*target).to_owned())).collect();
    requests.extend((0..REQUESTS).map(|_| Draft { random: &mut random, is_wrong: false }.request()));
    compare_all(&both, seed, &requests, fault);
    both.daemon.stop();
}
