//! A row of the list: one key, the change that it makes to the base map, what
//! is asked, and what must be seen without the change and with it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_yaml::Value;

use crate::harness::daemon::Setup;
use crate::harness::{Daemon, TestDir, Upstream};

use super::pictures;
use super::seen::{Look, Seen};

const KEYS: &str = include_str!("../../keys.tsv");
/// What the changes are made to. `{UP}` is the mock upstream, `{DATA}` the
/// map's own directory, `{SHARED}` that of the files below.
const BASE: &str = include_str!("base.yaml");

const FILES: &[(&str, &str)] = &[
    ("area.wkt", "POLYGON((5 45, 15 45, 15 55, 5 55, 5 45))"),
    ("triangle.wkt", "POLYGON((5 45, 15 45, 5 55, 5 45))"),
    ("style.sld", "<sld-of-the-file/>"),
    ("base.yaml", "globals: {tiles: {expires_hours: 1}}\n"),
    ("stamp", ""),
    (
        "info.xsl",
        "<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">\
         <xsl:template match=\"/\"><turned><xsl:value-of select=\"//v\"/></turned></xsl:template></xsl:stylesheet>",
    ),
];

pub struct Row {
    keys: Vec<&'static str>,
    given: Vec<(&'static str, &'static str)>,
    put: Vec<(&'static str, &'static str)>,
    /// Tiles that were stored so many seconds ago, by their path.
    stored: Vec<(&'static str, u64)>,
    ask: Vec<String>,
    sights: Vec<Sight>,
}

struct Sight {
    look: Look,
    without: &'static str,
    with: &'static str,
}

/// A row for a key, or for several between blanks: a section and the key in it.
pub fn row(keys: &'static str) -> Row {
    Row {
        keys: keys.split_whitespace().collect(),
        given: Vec::new(),
        put: Vec::new(),
        stored: Vec::new(),
        ask: Vec::new(),
        sights: Vec::new(),
    }
}

impl Row {
    /// A part of the map that both have: its place (`layers/0/title`) and its
    /// YAML; `-` takes away what the base has there.
    pub fn given(mut self, place: &'static str, yaml: &'static str) -> Row {
        self.given.push((place, yaml));
        self
    }

    /// The change.
    pub fn put(mut self, place: &'static str, yaml: &'static str) -> Row {
        self.put.push((place, yaml));
        self
    }

    /// A tile that was stored a while ago, below the map's directory.
    pub fn stored(mut self, path: &'static str, age_s: u64) -> Row {
        self.stored.push((path, age_s));
        self
    }

    /// A request below the map's name; several come one after the other.
    pub fn ask(mut self, target: impl Into<String>) -> Row {
        self.ask.push(target.into());
        self
    }

    pub fn see(mut self, look: Look, without: &'static str, with: &'static str) -> Row {
        assert_ne!(without, with, "{:?}: {} shows no effect", self.keys, look.name);
        self.sights.push(Sight { look, without, with });
        self
    }

    /// What stays as it is; beside a `see` that says what does not.
    pub fn keeps(mut self, look: Look, seen: &'static str) -> Row {
        self.sights.push(Sight { look, without: seen, with: seen });
        self
    }
}

/// Sets what is at a place (`a/b/0`; `~1` stands for a slash within a name).
fn put(node: &mut Value, place: &[&str], value: Option<Value>) {
    let Some((first, rest)) = place.split_first() else {
        *node = value.unwrap_or(Value::Null);
        return;
    };
    if let (Value::Sequence(items), Ok(at)) = (&mut *node, first.parse::<usize>()) {
        while items.len() <= at {
            items.push(Value::Null);
        }
        return put(&mut items[at], rest, value);
    }
    if !node.is_mapping() {
        *node = Value::Mapping(serde_yaml::Mapping::new());
    }
    let Value::Mapping(map) = node else { return };
    // Statuses are numbers to YAML.
    let key = first.parse::<u64>().map_or_else(|_| Value::from(first.replace("~1", "/")), Value::from);
    if rest.is_empty() && value.is_none() {
        map.remove(&key);
        return;
    }
    put(map.entry(key).or_insert(Value::Null), rest, value);
}

fn apply(map: &mut Value, changes: &[(&str, &str)]) {
    for (place, yaml) in changes {
        let value = (*yaml != "-")
            .then(|| serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{place}: {yaml}: {error}")));
        put(map, &place.split('/').collect::<Vec<_>>(), value);
    }
}

/// The rows that name each other in the list and here, or what is missing.
fn check_list(test: &str, rows: &[Row]) {
    let listed = KEYS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        let key = columns.next()?;
        (columns.next()? == test).then_some(key)
    });
    let listed: BTreeSet<&str> = listed.collect();
    let shown: BTreeSet<&str> = rows.iter().flat_map(|row| row.keys.iter().copied()).collect();
    let without_row: Vec<_> = listed.difference(&shown).collect();
    assert!(
        without_row.is_empty(),
        "tests/keys.tsv names {test} for {without_row:?}, which have no row there"
    );
    let not_listed: Vec<_> = shown.difference(&listed).collect();
    assert!(not_listed.is_empty(), "{not_listed:?} have a row in {test}; tests/keys.tsv should say so");
}

/// One daemon, a map for each row without its change and one with it.
struct World<'a> {
    daemon: &'a Daemon,
    upstream: &'a Upstream,
    dir: &'a TestDir,
}

impl World<'_> {
    fn look_at(&self, row: &Row, name: &str, with: bool, faults: &mut Vec<String>) {
        let fill = |text: &str| fill(text, name, self.upstream, self.dir);
        let replies =
            row.ask.iter().map(|target| self.daemon.get(&format!("/{name}{}", fill(target)))).collect();
        let prefix = format!("/{name}/");
        let asked =
            self.upstream.asked().into_iter().filter(|asked| asked.target.starts_with(&prefix)).collect();
        let seen = Seen { replies, asked, data: self.dir.join("data").join(name) };
        for sight in &row.sights {
            let expected = if with { sight.with } else { sight.without };
            let found = self.plain((sight.look.look)(&seen), name);
            if found != expected {
                let how = if with { "with" } else { "without" };
                faults.push(format!(
                    "{}: {how} {:?}: {}: {found}\n    where it should be: {expected}",
                    row.keys.join(" "),
                    row.put,
                    sight.look.name
                ));
            }
        }
    }

    /// A text without the addresses of this run.
    fn plain(&self, text: String, name: &str) -> String {
        let shared = self.dir.join("shared");
        text.replace(&self.upstream.url(&format!("/{name}")), "{UP}")
            .replace(&format!("http://maps.test/{name}"), "{HERE}")
            .replace(&*self.dir.join("data").join(name).to_string_lossy(), "{DATA}")
            .replace(&*shared.to_string_lossy(), "{SHARED}")
    }
}

fn fill(text: &str, name: &str, upstream: &Upstream, dir: &TestDir) -> String {
    text.replace("{UP}", &upstream.url(&format!("/{name}")))
        .replace("{DATA}", &dir.join("data").join(name).to_string_lossy())
        .replace("{SHARED}", &dir.join("shared").to_string_lossy())
}

/// Runs all rows against one daemon; `test` is its name in `tests/keys.tsv`.
pub fn prove(test: &str, rows: &[Row]) {
    check_list(test, rows);
    let dir = TestDir::new("keys");
    let upstream = Upstream::scripted(pictures::script());
    for (name, text) in FILES {
        dir.write(&format!("shared/{name}"), text);
    }
    dir.write("shared/picture.png", pictures::flat(64, 64));
    dir.write_program("shared/mapserv", include_str!("mapserv.sh"));
    dir.write_program("shared/other", &include_str!("mapserv.sh").replace("mapserv", "other"));
    for (at, row) in rows.iter().enumerate() {
        assert!(row.sights.iter().any(|sight| sight.without != sight.with), "{:?} shows nothing", row.keys);
        let mut map: Value = serde_yaml::from_str(BASE).expect("the base is YAML");
        apply(&mut map, &row.given);
        for side in ["without", "with"] {
            if side == "with" {
                apply(&mut map, &row.put);
            }
            let name = format!("r{at}{side}");
            let text = serde_yaml::to_string(&map).expect("a map is YAML");
            dir.write(&format!("maps/{name}.yaml"), fill(&text, &name, &upstream, &dir));
            std::fs::create_dir_all(dir.join("data").join(&name)).expect("a directory for its data");
            for (path, age_s) in &row.stored {
                let file = dir.write(&format!("data/{name}/{path}"), pictures::flat(256, 256));
                let time = SystemTime::now() - Duration::from_secs(*age_s);
                let file = std::fs::File::options().write(true).open(file).expect("the tile");
                file.set_modified(time).expect("its age");
            }
        }
    }
    let daemon =
        Setup::embedded(&dir).workers(1).daemon_yaml("maps: maps\nlimits: {probe_ms: 120000}\n").start();
    let world = World { daemon: &daemon, upstream: &upstream, dir: &dir };
    let mut faults = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        world.look_at(row, &format!("r{at}without"), false, &mut faults);
        world.look_at(row, &format!("r{at}with"), true, &mut faults);
    }
    assert!(faults.is_empty(), "{} faults\n{}\n{}", faults.len(), faults.join("\n"), refused(&daemon));
    daemon.stop();
}

/// Lines of the log about maps that are not served.
fn refused(daemon: &Daemon) -> String {
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains(".yaml") && !line.contains("not been read"));
    lines.take(60).collect::<Vec<_>>().join("\n")
}
