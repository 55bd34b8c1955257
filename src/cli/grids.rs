//! `rhumb grids`: what the grids of a configuration look like, level by level,
//! as `mapproxy-util grids` tells it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::conf::conf::{Conf, GridConf};
use crate::conf::{FileSet, Finding, load_coverage, load_map};
use crate::geo::{Coverage, Origin};

const USAGE: u8 = 1;
const REFUSED: u8 = 2;

#[derive(Args)]
pub struct Grids {
    /// A mapproxy.yaml
    #[arg(short = 'f', long = "mapproxy-conf", value_name = "MAP.yaml")]
    conf: Option<PathBuf>,
    /// A mapproxy.yaml
    #[arg(value_name = "MAP.yaml", conflicts_with = "conf", required_unless_present = "conf")]
    map: Option<PathBuf>,
    /// Only this grid; upper and lower case do not matter
    #[arg(short, long, value_name = "NAME")]
    grid: Option<String>,
    /// Also grids that no cache uses
    #[arg(long)]
    all: bool,
    /// Only the names
    #[arg(short, long)]
    list: bool,
    /// A seed.yaml in which the coverage is described
    #[arg(short, long, value_name = "SEED.yaml", requires = "coverage_name")]
    seed_conf: Option<PathBuf>,
    /// Tell how many tiles lie in this coverage
    #[arg(short, long, value_name = "NAME", requires = "seed_conf")]
    coverage_name: Option<String>,
}

/// 0 done, 1 no such grid, 2 a configuration is refused.
pub fn run(asked: Grids) -> ExitCode {
    let Some(path) = asked.conf.or(asked.map) else { return ExitCode::from(USAGE) };
    let mut files = FileSet::reading();
    let conf = match read(&path, &mut files) {
        Ok(conf) => conf,
        Err(code) => return code,
    };
    let mut grids: Vec<&GridConf> = if asked.all || asked.grid.is_some() {
        conf.grids.iter().map(|(_, grid)| &**grid).collect()
    } else {
        conf.caches.values().flat_map(|cache| &cache.grids).map(|grid| &**grid).collect()
    };
    grids.sort_by(|a, b| a.key.cmp(&b.key));
    grids.dedup_by(|a, b| a.key == b.key);
    if let Some(name) = &asked.grid {
        grids.retain(|grid| grid.key.eq_ignore_ascii_case(name));
        if grids.is_empty() {
            println!("grid not found: {name}");
            return ExitCode::from(USAGE);
        }
    }
    let coverage = match (&asked.seed_conf, asked.coverage_name) {
        (Some(seed), Some(name)) => match load_coverage(seed, &name, &mut files) {
            Ok(coverage) => Some((name, coverage)),
            Err(findings) => return refuse(&findings),
        },
        _ => None,
    };
    let mut out = std::io::stdout().lock();
    let mut tell = || -> std::io::Result<()> {
        for (at, grid) in grids.iter().enumerate() {
            if asked.list {
                writeln!(out, "{}", grid.key)?;
                continue;
            }
            if at > 0 {
                writeln!(out)?;
            }
            describe(&mut out, grid, coverage.as_ref())?;
        }
        out.flush()
    };
    // Whoever closed the pipe early has read enough.
    let _ = tell();
    ExitCode::SUCCESS
}

/// Reads a map; what is wrong with it goes to stderr.
///
/// # Errors
/// The code to leave with.
pub(super) fn read(path: &Path, files: &mut FileSet) -> Result<Conf, ExitCode> {
    if let Err(error) = std::fs::metadata(path) {
        eprintln!("ERROR: cannot read {}: {error}", path.display());
        return Err(ExitCode::from(REFUSED));
    }
    let loaded = load_map(path, files);
    loaded.conf.ok_or_else(|| refuse(&loaded.findings))
}

/// Tells errors and refuses.
pub(super) fn refuse(findings: &[Finding]) -> ExitCode {
    for finding in findings.iter().filter(|finding| finding.is_error()) {
        eprintln!("{finding}");
    }
    eprintln!("ERROR: invalid configuration (see above)");
    ExitCode::from(REFUSED)
}

/// A number as Python prints it, with a point.
fn float(value: f64) -> String {
    crate::conf::node::print_float(value)
}

fn describe(
    out: &mut impl Write,
    conf: &GridConf,
    coverage: Option<&(String, Coverage)>,
) -> std::io::Result<()> {
    let grid = &conf.grid;
    writeln!(out, "{}:\n    Configuration:", grid.name)?;
    let mut lines: Vec<(String, String)> =
        conf.written.iter().filter(|(key, _)| key != "name").cloned().collect();
    let mut add = |key: &str, value: String| {
        if !conf.written.iter().any(|(known, _)| known == key) {
            lines.push((format!("{key}*"), value));
        }
    };
    add("tile_size", format!("[{}, {}]", grid.tile_size.0, grid.tile_size.1));
    add("bbox", format!("[{}]", grid.extent.to_array().map(float).join(", ")));
    add("origin", if grid.origin == Origin::NorthWest { "'ul'" } else { "'ll'" }.to_owned());
    lines.sort();
    for (key, value) in lines {
        writeln!(out, "        {key}: {value}")?;
    }
    let share = coverage.map(|(_, coverage)| {
        let coverage = coverage.transform_to(&grid.srs);
        area(&coverage) / (grid.extent.width() * grid.extent.height())
    });
    match (coverage, share) {
        (Some((name, _)), Some(share)) => {
            writeln!(out, "    Coverage: {name} covers approx. {:.4}% of the grid BBOX", share * 100.0)?;
            writeln!(out, "    Levels: Resolutions, # x * y = total tiles (approx. tiles within coverage)")?;
        }
        _ => writeln!(out, "    Levels: Resolutions, # x * y = total tiles")?,
    }
    let resolutions: Vec<String> = grid.resolutions.iter().copied().map(float).collect();
    let width = resolutions.iter().map(String::len).max().unwrap_or(0) + 2;
    for (level, resolution) in (0..).zip(&resolutions) {
        let (columns, rows) = grid.grid_size(level);
        let total = columns as f64 * rows as f64;
        let shown = format!("{resolution},");
        write!(
            out,
            "        {level:02}:  {shown:width$}# {columns:6} * {rows:<6} = {:>10}",
            readable(total)
        )?;
        match share {
            Some(share) => writeln!(out, " ({})", readable(total * share))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// The area of a coverage in its own units: shells less holes, by the shoelace.
fn area(coverage: &Coverage) -> f64 {
    if coverage.is_rectangle() {
        return coverage.extent.width() * coverage.extent.height();
    }
    let signed = |ring: &[[f64; 2]]| {
        let pairs = ring.iter().zip(ring.iter().cycle().skip(1));
        pairs.map(|([x, y], [next_x, next_y])| x * next_y - next_x * y).sum::<f64>() / 2.0
    };
    coverage.rings().iter().map(|ring| signed(ring)).sum::<f64>().abs()
}

fn readable(count: f64) -> String {
    if count > 1e6 { format!("{:7.2}M", count / 1e6) } else { format!("{}", count.trunc()) }
}
