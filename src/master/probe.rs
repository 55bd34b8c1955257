//! The probe: a short-lived child that reads and builds a whole configuration
//! before anybody relies on it, so that a panic, a hang or a gigabyte of YAML
//! costs a child and not the master. It leaves what it read and what it found
//! in two memory files; its end is its answer.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::privilege::drop_for_check;
use super::{Recipe, signals};
use crate::conf::{Daemon, FileSet, Finding, Severity};
use crate::log;
use crate::sys::{self, Ending, Forked};

/// Bound on what a configuration is made of.
const FILES_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bounds on the answer: a broken file must not flood the log.
const FINDINGS_BYTES_MAX: u64 = 1024 * 1024;
const FINDINGS_MAX: usize = 200;

const EXIT_ANSWERED: i32 = 0;
const EXIT_SYSTEM: i32 = 4;

/// A probe at work.
pub struct Probe {
    pub pid: Pid,
    pub began_ms: u64,
    /// When it must have answered.
    pub deadline_ms: u64,
    pub late: bool,
    /// Files changed after this may not be those that it read.
    pub since: SystemTime,
    files: OwnedFd,
    findings: OwnedFd,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub is_error: bool,
    pub text: String,
}

/// What came of a probe.
pub struct Verdict {
    /// The settings and the sealed files, if nothing stands against them.
    pub accepted: Option<(Box<Daemon>, OwnedFd)>,
    pub remarks: Vec<Remark>,
    /// What it read, as far as it came.
    pub read: FileSet,
}

impl Probe {
    /// Forks a probe that has `patience_ms` to answer. `present` are the sealed
    /// files of the generation in service, on which one of several maps falls
    /// back whose own file is refused.
    ///
    /// # Errors
    /// The kernel has no room for another process or file.
    pub fn fork(
        recipe: &Recipe,
        present: Option<&OwnedFd>,
        patience_ms: u64,
        data_bytes_max: u64,
    ) -> io::Result<Probe> {
        let files = sys::create_memory_file("rhumb-files")?;
        let findings = sys::create_memory_file("rhumb-findings")?;
        let since = SystemTime::now();
        let master = Pid::this();
        match sys::fork()? {
            Forked::Child => {
                let output = Output { files, findings };
                live_as_probe(recipe, master, data_bytes_max, present, &output)
            }
            Forked::Parent(pid) => {
                let began_ms = sys::monotonic_ms();
                let deadline_ms = began_ms.saturating_add(patience_ms);
                Ok(Probe { pid, began_ms, deadline_ms, late: false, since, files, findings })
            }
        }
    }

    /// Ends it without an answer.
    pub fn kill(&self) {
        if let Err(error) = sys::send_signal(self.pid, Signal::SIGKILL) {
            log::alert!("cannot kill the probe {}: {error}", self.pid);
        }
    }

    /// Reads the answer of a probe that has ended.
    pub fn judge(self, recipe: &Recipe, ending: Ending) -> Verdict {
        let mut remarks = self.read_remarks();
        let arrived = self.read_files();
        let failure = match (ending, &arrived) {
            (Ending::Code(EXIT_ANSWERED), Ok(_)) => None,
            (Ending::Code(EXIT_ANSWERED), Err(error)) => {
                Some(format!("the checked files did not arrive: {error}"))
            }
            _ if self.late => Some("the configuration could not be checked in time".to_owned()),
            _ => Some(format!("the check of the configuration {ending}")),
        };
        remarks.extend(failure.map(|text| Remark { is_error: true, text }));
        // The master reads no configuration from disk.
        let mut read = arrived.unwrap_or_else(|_| FileSet::nothing());
        if remarks.iter().any(|remark| remark.is_error) {
            return Verdict { accepted: None, remarks, read };
        }
        // The probe has survived these very bytes.
        let daemon = (recipe.settle)(&mut read).0;
        let accepted = match (daemon, sys::seal(&self.files)) {
            (Some(daemon), Ok(())) => Some((Box::new(daemon), self.files)),
            (daemon, sealing) => {
                let why = sealing.err().map_or_else(String::new, |error| format!(": {error}"));
                let text = match daemon {
                    Some(_) => format!("the checked files could not be sealed{why}"),
                    None => "the checked settings cannot be read again".to_owned(),
                };
                log::alert!("{text}");
                remarks.push(Remark { is_error: true, text });
                None
            }
        };
        Verdict { accepted, remarks, read }
    }

    fn read_files(&self) -> io::Result<FileSet> {
        let block = sys::read_memory_file(&self.files, FILES_BYTES_MAX)?;
        FileSet::from_bytes(&block).ok_or_else(|| io::Error::other("not a set of files"))
    }

    fn read_remarks(&self) -> Vec<Remark> {
        let bytes = sys::read_memory_file(&self.findings, FINDINGS_BYTES_MAX).unwrap_or_default();
        decode_remarks(&String::from_utf8_lossy(&bytes))
    }
}

/// Where the probe leaves what it read and what it found.
struct Output {
    files: OwnedFd,
    findings: OwnedFd,
}

fn live_as_probe(
    recipe: &Recipe,
    master: Pid,
    data_bytes_max: u64,
    present: Option<&OwnedFd>,
    Output { files, findings }: &Output,
) -> ! {
    let body = || -> io::Result<()> {
        sys::set_thread_name("rhumb: probe");
        sys::set_child_signals(&signals::IGNORED_BY_WORKERS, &[])?;
        sys::die_with_parent(master)?;
        let mut kept = log::descriptors();
        kept.extend([files.as_raw_fd(), findings.as_raw_fd()]);
        kept.extend(present.map(AsRawFd::as_raw_fd));
        sys::close_all_but(&kept)?;
        sys::raise_open_files(super::spawn::OPEN_FILES_MAX)?;
        sys::limit_data_bytes(data_bytes_max)?;

        sys::failpoint::pass("probe.start")?;
        let mut set = FileSet::reading();
        if let Some(present) = present {
            let block = sys::read_memory_file(present, FILES_BYTES_MAX)?;
            set = set.over(FileSet::from_bytes(&block).unwrap_or_default());
        }
        let (daemon, mut found) = (recipe.settle)(&mut set);
        let refused = found.iter().any(|finding| finding.severity == Severity::Error);
        if let Some(daemon) = daemon
            && !refused
        {
            match drop_for_check(&daemon) {
                Ok(()) => {
                    // A change of user takes this promise back.
                    sys::die_with_parent(master)?;
                    found.extend((recipe.build)(&daemon, &mut set));
                }
                Err(refusal) => found.push(refusal),
            }
        }
        File::from(findings.try_clone()?).write_all(encode_remarks(&found).as_bytes())?;
        File::from(files.try_clone()?).write_all(&set.to_bytes())
    };
    let code = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => EXIT_ANSWERED,
        Ok(Err(error)) => {
            log::error!("the check of the configuration failed: {error}");
            EXIT_SYSTEM
        }
        // The panic hook has logged it.
        Err(_) => super::spawn::EXIT_PANIC,
    };
    sys::exit_now(code)
}

/// One line each: `E` or `W`, then the text. Errors first, since the rest may
/// be cut.
fn encode_remarks(findings: &[Finding]) -> String {
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding.severity == Severity::Error);
    let mut out = String::new();
    for (count, finding) in errors.iter().chain(&warnings).enumerate() {
        let line = finding.to_string().replace('\n', " ");
        let left = findings.len() - count;
        if count == FINDINGS_MAX || (out.len() + line.len() + 64) as u64 > FINDINGS_BYTES_MAX {
            let letter = if count < errors.len() { 'E' } else { 'W' };
            out.push_str(&format!("{letter}and {left} more\n"));
            break;
        }
        out.push(if finding.severity == Severity::Error { 'E' } else { 'W' });
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn decode_remarks(text: &str) -> Vec<Remark> {
    text.lines()
        .filter_map(|line| {
            let is_error = line.starts_with('E');
            let text = line.strip_prefix(['E', 'W'])?.to_owned();
            Some(Remark { is_error, text })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn finding(severity: Severity, text: &str) -> Finding {
        let file = PathBuf::from("a.yaml");
        Finding { severity, file, line: 3, column: 5, key: "caches.roads".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn findings_arrive_errors_first() {
        let findings = [finding(Severity::Warning, "thin\nice"), finding(Severity::Error, "no such grid")];
        let remarks = decode_remarks(&encode_remarks(&findings));
        let texts: Vec<_> = remarks.iter().map(|r| (r.is_error, r.text.as_str())).collect();
        assert_eq!(
            texts,
            [
                (true, "a.yaml:3:5: error: caches.roads: no such grid"),
                (false, "a.yaml:3:5: warning: caches.roads: thin ice"),
            ]
        );
    }

    #[test]
    fn a_flood_of_findings_is_cut_but_stays_an_error() {
        let long = "x".repeat(10_000);
        for (text, count) in [("short", 5000), (long.as_str(), 5000)] {
            let findings = vec![finding(Severity::Error, text); count];
            let encoded = encode_remarks(&findings);
            assert!(encoded.len() as u64 <= FINDINGS_BYTES_MAX);
            let remarks = decode_remarks(&encoded);
            assert!(remarks.len() <= FINDINGS_MAX + 1);
            let last = remarks.last().expect("some");
            assert!(last.is_error);
            assert_eq!(last.text, format!("and {} more", count + 1 - remarks.len()));
        }
    }
}
