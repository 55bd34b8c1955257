//! `rhumb export`: the tiles of a source or cache into files of their own, as
//! `mapproxy-util export` does it.
//!
//! The configuration is laid under one more cache, which has the source to
//! export and the place to export to; its tiles are then made one by one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::grids::{read, refuse};
use crate::app;
use crate::conf::conf::{Backend, CacheConf, Conf};
use crate::conf::{FileSet, Finding, load_coverage, load_map};
use crate::geo::{Coverage, Srs};
use crate::seed::export::{Job, Progress};

const USAGE: u8 = 1;
const REFUSED: u8 = 2;
/// Some tiles could not be made.
const INCOMPLETE: u8 = 3;
/// Names in the configuration that is laid over the user's.
const CACHE: &str = "rhumb_export";
const GRID: &str = "rhumb_export_grid";
const THREADS_MAX: usize = 64;

#[derive(Args)]
pub struct Export {
    /// A mapproxy.yaml
    #[arg(short = 'f', long = "mapproxy-conf", value_name = "MAP.yaml")]
    conf: Option<PathBuf>,
    /// A mapproxy.yaml
    #[arg(value_name = "MAP.yaml", conflicts_with = "conf", required_unless_present = "conf")]
    map: Option<PathBuf>,
    /// The source or cache to export
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    source: String,
    /// A grid by its name, or written out: 'base=GLOBAL_MERCATOR min_res=1000'
    #[arg(long, default_value = "", hide_default_value = true)]
    grid: String,
    /// Where to: a directory, or a file for types that are one
    #[arg(long, value_name = "PATH")]
    dest: Option<PathBuf>,
    /// How the tiles are laid out there
    #[arg(long = "type", value_name = "TYPE", default_value = "tms", value_parser = [
        "tms", "mapproxy", "tc", "arcgis", "mbtile", "sqlite", "geopackage", "compact-v1", "compact-v2",
    ])]
    kind: String,
    /// Levels: 1,2,4..6
    #[arg(long, value_parser = parse_levels, default_value = "", hide_default_value = true)]
    levels: Levels,
    /// Ask the sources for tiles that a cache does not have
    #[arg(long)]
    fetch_missing_tiles: bool,
    /// Write into a destination that exists
    #[arg(long)]
    force: bool,
    /// Only count the tiles
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Tiles made side by side
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    concurrency: usize,
    /// The area: west,south,east,north, or a file of polygons
    #[arg(long)]
    coverage: Option<String>,
    /// The coordinate system of the area [default: the grid's]
    #[arg(long)]
    srs: Option<String>,
    /// A filter of polygons, for sources that only OGR reads
    #[arg(long)]
    r#where: Option<String>,
    /// Tell less; twice: nothing
    #[arg(short, long, action = clap::ArgAction::Count)]
    quiet: u8,
}

impl Export {
    /// Where to; empty where it is not said, which is refused first.
    fn dest(&self) -> &Path {
        self.dest.as_deref().unwrap_or(Path::new(""))
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Levels(Vec<u32>);

/// `1,2,4..6`
fn parse_levels(text: &str) -> Result<Levels, String> {
    const LEVEL_MAX: u32 = 100;
    let mut levels = Vec::new();
    if text.is_empty() {
        return Ok(Levels(levels));
    }
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let level = |text: &str| text.trim().parse::<u32>().ok().filter(|level| *level <= LEVEL_MAX);
        match (level(first), level(last)) {
            (Some(first), Some(last)) if first <= last => levels.extend(first..=last),
            _ => return Err(format!("`{part}` is no level and no range such as 4..6")),
        }
    }
    levels.sort_unstable();
    levels.dedup();
    Ok(Levels(levels))
}

/// 0 done, 1 usage, 2 refused, 3 some tiles could not be made.
pub fn run(asked: Export) -> ExitCode {
    match prepare(&asked) {
        Ok(job) => export(&asked, &job),
        Err(code) => code,
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("ERROR: {message}");
    ExitCode::from(REFUSED)
}

fn prepare(asked: &Export) -> Result<Job, ExitCode> {
    let Some(path) = asked.conf.as_ref().or(asked.map.as_ref()) else { return Err(ExitCode::from(USAGE)) };
    for (name, is_missing) in [
        ("grid", asked.grid.is_empty()),
        ("source", asked.source.is_empty()),
        ("dest", asked.dest.is_none()),
        ("levels", asked.levels.0.is_empty()),
    ] {
        if is_missing {
            eprintln!("ERROR: missing required option --{name}; see rhumb export --help");
            return Err(ExitCode::from(USAGE));
        }
    }
    let mut files = FileSet::reading();
    let conf = read(path, &mut files)?;
    if asked.dest().exists() && !asked.force {
        return Err(fail("destination exists, remove it first or use --force"));
    }
    let conf = with_export(asked, path, &conf, &mut files)?;
    let Some(cache_conf) = conf.caches.get(CACHE) else { return Err(fail("nothing can be exported")) };
    if let Backend::Missing { kind } = &cache_conf.backend {
        return Err(fail(&format!("tiles of the type {kind} cannot be written yet")));
    }
    let cache = app::cache(&conf, CACHE).map_err(|errors| fail(&errors.join("; ")))?;
    let grid = cache.grid();
    if asked.levels.0.last().is_some_and(|level| *level >= grid.levels()) {
        return Err(fail(&format!("the destination's grid only has {} levels", grid.levels())));
    }
    let coverage = match &asked.coverage {
        Some(text) => coverage(asked, text, &grid.srs)?,
        None => Coverage::from_extent(grid.srs.clone(), grid.extent, false),
    };
    if !cache.copies_tiles() && asked.quiet < 2 {
        eprintln!("WARN: the grids differ: tiles are scaled or warped for the export");
    }
    if !asked.dry_run {
        make_lock_dir(cache_conf)?;
    }
    Ok(Job {
        coverage,
        levels: asked.levels.0.clone(),
        threads: asked.concurrency.clamp(1, THREADS_MAX),
        dry_run: asked.dry_run,
        cache,
    })
}

/// The destination is there from the start, with the directory of its locks,
/// even where no tile comes to lie in it.
fn make_lock_dir(cache: &CacheConf) -> Result<(), ExitCode> {
    std::fs::create_dir_all(&cache.lock_dir)
        .map_err(|error| fail(&format!("cannot make {}: {error}", cache.lock_dir.display())))
}

/// The user's configuration with one more cache, that of the export.
fn with_export(asked: &Export, path: &Path, conf: &Conf, files: &mut FileSet) -> Result<Conf, ExitCode> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_known = conf.sources.contains(&asked.source) || conf.caches.contains(&asked.source);
    if !is_known {
        return Err(fail(&format!("there is no source or cache `{}`", asked.source)));
    }
    let is_written_out = asked.grid.contains('=');
    if !is_written_out && !conf.grids.contains(&asked.grid) {
        return Err(fail(&format!("there is no grid `{}`", asked.grid)));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let grid = if is_written_out { GRID } else { &asked.grid };
    let mut text = String::new();
    let _ = writeln!(text, "base: {}", json!(name));
    let _ = writeln!(text, "caches:\n  {CACHE}: {}", export_cache(asked, grid, conf));
    if is_written_out {
        let _ = writeln!(text, "grids:\n  {GRID}:");
        for (key, value) in split_definition(&asked.grid).map_err(|error| fail(&error))? {
            let _ = writeln!(text, "    {key}: {value}");
        }
    }
    if !asked.fetch_missing_tiles && conf.sources.iter().len() > 0 {
        let _ = writeln!(text, "sources:");
        for (name, _) in conf.sources.iter() {
            let _ = writeln!(text, "  {}: {{seed_only: true}}", json!(name));
        }
    }
    // It lies where the user's file lies, so that relative paths mean the same.
    let laid = path.with_file_name(".rhumb-export.yaml");
    files.hold(&laid, text.as_bytes());
    let loaded = load_map(&laid, files);
    // A key that means nothing is a slip here, not a remark.
    let is_slip = |finding: &Finding| finding.is_error() || finding.text.starts_with("unknown key");
    let of_grid = |finding: &&Finding| {
        is_written_out && finding.key.starts_with(&format!("grids.{GRID}")) && is_slip(finding)
    };
    if let Some(finding) = loaded.findings.iter().find(of_grid) {
        let key = finding.key.replace(&format!("grids.{GRID}"), "grid");
        return Err(fail(&format!("invalid grid configuration: {key}: {}", finding.text)));
    }
    loaded.conf.ok_or_else(|| refuse(&loaded.findings))
}

/// The cache of the export as configuration.
fn export_cache(asked: &Export, grid: &str, conf: &Conf) -> Value {
    let dest = std::path::absolute(asked.dest()).unwrap_or_else(|_| asked.dest().to_owned());
    let dest = dest.to_string_lossy();
    let store = match asked.kind.as_str() {
        "mbtile" => json!({ "type": "mbtiles", "filename": dest }),
        "sqlite" => json!({ "type": "sqlite", "directory": dest }),
        "geopackage" => json!({ "type": "geopackage", "filename": dest }),
        "compact-v1" => json!({ "type": "compact", "version": 1, "directory": dest }),
        "compact-v2" => json!({ "type": "compact", "version": 2, "directory": dest }),
        "arcgis" => json!({ "type": "file", "directory_layout": "arcgis", "directory": dest }),
        "tms" => json!({ "type": "file", "directory_layout": "tms", "directory": dest }),
        _ => json!({ "type": "file", "directory": dest }),
    };
    let mut cache = json!({ "grids": [grid], "sources": [asked.source], "cache": store });
    if asked.force {
        // What lies there from before is made anew.
        cache["refresh_before"] = json!({ "time": jiff::Timestamp::now().to_string() });
    }
    // A source and a cache of one name: the source is exported.
    if let Some(source) = conf.caches.get(&asked.source).filter(|_| !conf.sources.contains(&asked.source)) {
        if source.image.format == crate::render::Format::Mixed {
            cache["format"] = json!("mixed");
            cache["request_format"] = json!(source.request_format);
        } else {
            cache["format"] = json!(source.image.format.mime());
        }
    }
    cache
}

/// `key=value key='a value'` into its pairs.
fn split_definition(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars() {
        match (c, quote) {
            ('\n' | '\r', _) => return Err("invalid grid configuration: more than one line".to_owned()),
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()))
            }
            (c, _) => word.push(c),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    let pair = |word: String| match word.split_once('=') {
        Some((key, value)) if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!("invalid grid configuration: `{word}` is not key=value")),
    };
    words.into_iter().map(pair).collect()
}

fn coverage(asked: &Export, text: &str, grid_srs: &Srs) -> Result<Coverage, ExitCode> {
    let srs = asked.srs.as_deref().unwrap_or(grid_srs.code());
    let mut described = json!({ "datasource": text, "srs": srs });
    if let Some(filter) = &asked.r#where {
        described["where"] = json!(filter);
    }
    // Files are looked for where the command was typed.
    let laid = std::env::current_dir().unwrap_or_default().join(".rhumb-coverage.yaml");
    let mut files = FileSet::reading();
    files.hold(&laid, format!("coverages: {}", json!({ "export": described })).as_bytes());
    load_coverage(&laid, "export", &mut files).map_err(|findings| refuse(&findings))
}

fn export(asked: &Export, job: &Job) -> ExitCode {
    let grid = job.cache.grid();
    let is_talking = asked.quiet == 0;
    if asked.quiet < 2 {
        let levels: Vec<String> = job.levels.iter().map(u32::to_string).collect();
        println!(
            "Exporting {} to {} as {}, grid {} in {}",
            asked.source,
            asked.dest().display(),
            asked.kind,
            asked.grid,
            grid.srs.code()
        );
        if asked.coverage.is_some() {
            let Coverage { extent, srs, .. } = &job.coverage;
            let edges = extent.to_array().map(|edge| format!("{edge:.5}")).join(", ");
            println!("  Limited to: {edges} ({})", srs.code());
        }
        println!("  Levels: {}", levels.join(", "));
    }
    let done = job.run(&mut |progress, failure| match failure {
        Some(error) => eprintln!("WARN: tiles of level {} were not made: {error}", progress.level),
        None if is_talking => println!("{}", line(progress)),
        None => {}
    });
    if asked.quiet < 2 {
        let verb = if asked.dry_run { "to make" } else { "made" };
        println!("{} tiles {verb} in {:.1} s", done.tiles_done, done.elapsed.as_secs_f64());
    }
    if done.tiles_failed > 0 {
        eprintln!("ERROR: {} tiles could not be made; the export is not complete", done.tiles_failed);
        return ExitCode::from(INCOMPLETE);
    }
    ExitCode::SUCCESS
}

/// How far it is, in a line.
fn line(progress: &Progress) -> String {
    let seconds = progress.elapsed.as_secs_f64().max(0.001);
    let percent = 100.0 * progress.tiles_done as f64 / progress.tiles_max.max(1) as f64;
    format!(
        "level {:2}  {percent:5.1}%  {} of {} tiles  {:.1} tiles/s",
        progress.level,
        progress.tiles_done,
        progress.tiles_max,
        progress.tiles_done as f64 / seconds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_lists_and_ranges() {
        assert_eq!(parse_levels("1..3, 8,2"), Ok(Levels(vec![1, 2, 3, 8])));
        for bad in [",", "a", "3..1", "1..", "-1", "1..1000"] {
            assert!(parse_levels(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn grids_are_written_out_as_pairs() {
        let pairs = split_definition("res=[10000,1000] srs=EPSG:4326 bbox='5,50, 10,60'");
        let expected = [("res", "[10000,1000]"), ("srs", "EPSG:4326"), ("bbox", "5,50, 10,60")];
        assert_eq!(pairs, Ok(expected.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()));
        for bad in ["foo", "a=1\nb: 2", "a b=1", "a:b=1"] {
            assert!(split_definition(bad).is_err(), "{bad}");
        }
    }
}
