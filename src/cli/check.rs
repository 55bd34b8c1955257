//! `rhumb check`: every error and warning of a configuration.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::conf::daemon::Maps;
use crate::conf::{FileSet, Finding, daemon, load_embedded, load_map};

/// Checks the daemon's file with the maps it names, or a map (a file, or a
/// directory of them); prints findings on stdout. 0: nothing that would be
/// refused; 2: something would be, or with `strict` something drew a warning.
pub fn run(daemon: Option<PathBuf>, map: Option<PathBuf>, strict: bool) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let (findings, checked) = collect(daemon.as_deref(), map.as_deref());
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    // Whoever closed the pipe early still wants the exit code.
    let _ = print(&mut out, &findings, &checked, errors);
    if errors > 0 || strict && !findings.is_empty() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

fn print(
    out: &mut impl Write,
    findings: &[Finding],
    checked: &[String],
    errors: usize,
) -> std::io::Result<()> {
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    let warnings = findings.len() - errors;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let what = checked.join(", ");
    writeln!(out, "{what}: {}, {}", plural(errors, "error"), plural(warnings, "warning"))?;
    out.flush()
}

/// All findings, and the names of what was checked.
pub fn collect(daemon_file: Option<&Path>, map: Option<&Path>) -> (Vec<Finding>, Vec<String>) {
    let mut files = FileSet::reading();
    let mut findings = Vec::new();
    let mut checked = Vec::new();
    let mut maps = None;
    if let Some(path) = daemon_file {
        let (loaded, found) = daemon::load(path, &mut files);
        findings.extend(found);
        checked.push(path.display().to_string());
        maps = loaded.map(|loaded| loaded.maps);
    }
    // A map on the command line stands in place of the daemon file's.
    let maps = match map {
        Some(path) if path.is_dir() => Some(Maps::Directory(path.to_owned())),
        Some(path) => Some(Maps::File(path.to_owned())),
        None if daemon_file.is_none() => Some(Maps::Embedded),
        None => maps,
    };
    match maps {
        None => {}
        Some(Maps::Embedded) => {
            findings.extend(load_embedded().findings);
            checked.push("the embedded map".to_owned());
        }
        Some(Maps::File(path)) => {
            findings.extend(load_map(&path, &mut files).findings);
            checked.push(path.display().to_string());
        }
        Some(Maps::Directory(directory)) => match files.list(&directory) {
            Ok(paths) => {
                for path in paths {
                    findings.extend(load_map(&path, &mut files).findings);
                    checked.push(path.display().to_string());
                }
            }
            Err(error) => findings.push(Finding {
                severity: crate::conf::Severity::Error,
                file: directory,
                line: 0,
                column: 0,
                key: String::new(),
                text: format!("cannot list the directory: {error}"),
            }),
        },
    }
    (findings, checked)
}
