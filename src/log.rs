//! Error and access log: one unbuffered `write(2)` for each line, so that a
//! fork copies no half-written buffer and lines of several processes do not mix.
//!
//! The level says who must act: error: the operator; warn: upstream or data;
//! info: lifecycle; debug: us; alert: must not happen.
//! Every byte that came from outside is escaped, every line is at most
//! [`LINE_BYTES_MAX`] long and is cut with `…`.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::board::{CacheState, Service};
use crate::conf::daemon::{LogFormat, LogOptions, LogTarget};
use crate::story::{Facts, Trace, push_ms};

/// Bound on one line, its line feed included.
pub const LINE_BYTES_MAX: usize = 4096;
/// Bounds on the fields of an access line, so that a long target does not push
/// out the status.
const TARGET_BYTES_MAX: usize = 2048;
const FIELD_BYTES_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 200;
const CUT: &str = "…";

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Must not happen: a mistake of ours.
    Alert = 0,
    /// The operator.
    Error = 1,
    /// An upstream or the data.
    Warn = 2,
    /// Lifecycle.
    Info = 3,
    /// Us, while developing.
    Debug = 4,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Alert => "alert",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// Where the lines go. Without [`open`]: people, stderr, no access log.
struct Sinks {
    options: LogOptions,
    error: Sink,
    access: Sink,
}

enum Sink {
    Off,
    Stderr,
    File(File),
}

static SINKS: RwLock<Sinks> = RwLock::new(Sinks {
    options: LogOptions { access: LogTarget::Off, error: LogTarget::Stderr, format: LogFormat::Human },
    error: Sink::Stderr,
    access: Sink::Off,
});

static LEVEL_MAX: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Opens the files that `options` name, then writes there.
///
/// # Errors
/// The file that could not be opened, with its path; nothing has changed then.
pub fn open(options: &LogOptions) -> io::Result<()> {
    let error = open_target(&options.error)?;
    let access = open_target(&options.access)?;
    let mut sinks = SINKS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    *sinks = Sinks { options: options.clone(), error, access };
    Ok(())
}

/// Opens the same files anew, after a rotation. The new files are opened
/// before the old are left.
///
/// # Errors
/// As [`open`]: the old files stay in use.
pub fn reopen() -> io::Result<()> {
    let options = SINKS.read().unwrap_or_else(|poisoned| poisoned.into_inner()).options.clone();
    open(&options)
}

/// Lets lines up to `level` through; at first [`Level::Info`].
pub fn set_level_max(level: Level) {
    LEVEL_MAX.store(level as u8, Ordering::Relaxed);
}

/// Whether lines of `level` are written.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL_MAX.load(Ordering::Relaxed)
}

/// Whether requests are logged at all.
pub fn access_enabled() -> bool {
    let sinks = SINKS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    !matches!(sinks.access, Sink::Off)
}

/// Descriptors in use: a child that closes what it inherited keeps these.
pub fn descriptors() -> Vec<RawFd> {
    let sinks = SINKS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    [&sinks.error, &sinks.access]
        .into_iter()
        .filter_map(|sink| match sink {
            Sink::File(file) => Some(file.as_raw_fd()),
            Sink::Off | Sink::Stderr => None,
        })
        .collect()
}

/// The file of the error log, where it is one.
pub fn error_file() -> Option<std::path::PathBuf> {
    let sinks = SINKS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    match (&sinks.error, &sinks.options.error) {
        (Sink::File(_), LogTarget::File(path)) => Some(path.clone()),
        _ => None,
    }
}

/// Gives the log files to the user that the workers run as.
///
/// # Errors
/// The first `fchown` that failed.
pub fn chown(user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    let sinks = SINKS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    for sink in [&sinks.error, &sinks.access] {
        if let Sink::File(file) = sink {
            std::os::unix::fs::fchown(file, user, group)?;
        }
    }
    Ok(())
}

fn open_target(target: &LogTarget) -> io::Result<Sink> {
    Ok(match target {
        LogTarget::Off => Sink::Off,
        LogTarget::Stderr => Sink::Stderr,
        LogTarget::File(path) => Sink::File(open_append(path)?),
    })
}

fn open_append(path: &Path) -> io::Result<File> {
    // O_APPEND makes each write land whole at the end, whoever else writes.
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Writes one line to the error log; use the macros.
pub fn write_line(level: Level, message: fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    let sinks = SINKS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    with_line(|line| {
        compose_error_line(line, sinks.options.format, level, std::process::id(), message);
        sinks.error.write(line);
    });
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// `None`: a Unix socket.
    pub peer: Option<IpAddr>,
    pub method: &'a str,
    /// As sent, not decoded.
    pub target: &'a str,
    /// `HTTP/1.1`.
    pub protocol: &'a str,
    pub status: u16,
    /// Body bytes sent.
    pub bytes: u64,
    pub duration_us: u64,
    pub referer: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    /// What happened to it on its way.
    pub facts: &'a Facts,
    pub trace: Option<&'a Trace>,
}

/// Writes one line to the access log, if there is one.
pub fn write_access(access: &Access<'_>) {
    let sinks = SINKS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    if matches!(sinks.access, Sink::Off) {
        return;
    }
    with_line(|line| {
        compose_access_line(line, sinks.options.format, access);
        sinks.access.write(line);
    });
}

impl Sink {
    /// A log that cannot be written has nobody to tell: the line is lost.
    fn write(&self, line: &str) {
        let _ = match self {
            Sink::Off => Ok(0),
            Sink::Stderr => io::stderr().write(line.as_bytes()),
            Sink::File(file) => {
                let mut file = file;
                file.write(line.as_bytes())
            }
        };
    }
}

/// Lends a line buffer that lives as long as the thread. A message whose own
/// `Display` logs gets a fresh one.
fn with_line(compose: impl FnOnce(&mut String)) {
    thread_local! {
        static LINE: RefCell<String> = RefCell::new(String::with_capacity(LINE_BYTES_MAX));
    }
    let fresh = LINE.try_with(|line| match line.try_borrow_mut() {
        Ok(mut line) => std::mem::take(&mut *line),
        Err(_) => String::new(),
    });
    let mut line = fresh.unwrap_or_default();
    line.clear();
    compose(&mut line);
    let _ = LINE.try_with(|slot| {
        if let Ok(mut slot) = slot.try_borrow_mut() {
            *slot = line;
        }
    });
}

fn compose_error_line(
    line: &mut String,
    format: LogFormat,
    level: Level,
    pid: u32,
    message: fmt::Arguments<'_>,
) {
    let tail = match format {
        LogFormat::Human => {
            push_time(line, "%H:%M:%S");
            let _ = write!(line, " {:<5} ", level.word());
            "\n"
        }
        LogFormat::Combined => {
            push_time(line, "%Y-%m-%dT%H:%M:%S%.3fZ");
            let _ = write!(line, " {} {pid}: ", level.word());
            "\n"
        }
        LogFormat::Json => {
            line.push_str("{\"time\":\"");
            push_time(line, "%Y-%m-%dT%H:%M:%S%.3fZ");
            let _ = write!(line, "\",\"level\":\"{}\",\"pid\":{pid},\"message\":\"", level.word());
            "\"}\n"
        }
    };
    let room = LINE_BYTES_MAX - tail.len() - line.len();
    let _ = Escaped::new(line, Escape::of(format), room).write_fmt(message);
    line.push_str(tail);
}

fn compose_access_line(line: &mut String, format: LogFormat, access: &Access<'_>) {
    let peer = PeerName(access.peer);
    match format {
        LogFormat::Combined => {
            let _ = write!(line, "{peer} - ");
            push_user(line, &access.facts.user);
            line.push_str(" [");
            push_time(line, "%d/%b/%Y:%H:%M:%S +0000");
            line.push_str("] \"");
            push_field(line, Escape::Quoted, 32, access.method);
            line.push(' ');
            push_field(line, Escape::Quoted, TARGET_BYTES_MAX, access.target);
            let _ = write!(line, " {}\" {} {} \"", access.protocol, access.status, access.bytes);
            push_field(line, Escape::Quoted, FIELD_BYTES_MAX, access.referer.unwrap_or("-"));
            line.push_str("\" \"");
            push_field(line, Escape::Quoted, FIELD_BYTES_MAX, access.user_agent.unwrap_or("-"));
            line.push('"');
            push_facts(line, access);
            line.push('\n');
        }
        LogFormat::Json => {
            line.push_str("{\"time\":\"");
            push_time(line, "%Y-%m-%dT%H:%M:%S%.3fZ");
            let _ = write!(line, "\",\"peer\":\"{peer}\",\"method\":\"");
            push_field(line, Escape::Json, 32, access.method);
            line.push_str("\",\"target\":\"");
            push_field(line, Escape::Json, TARGET_BYTES_MAX, access.target);
            let _ = write!(
                line,
                "\",\"protocol\":\"{}\",\"status\":{},\"bytes\":{},\"duration_us\":{}",
                access.protocol, access.status, access.bytes, access.duration_us
            );
            let user = Some(access.facts.user.as_str()).filter(|user| !user.is_empty());
            for (name, value) in
                [("user", user), ("referer", access.referer), ("user_agent", access.user_agent)]
            {
                if let Some(value) = value {
                    let _ = write!(line, ",\"{name}\":\"");
                    push_field(line, Escape::Json, FIELD_BYTES_MAX, value);
                    line.push('"');
                }
            }
            push_json_facts(line, access);
            line.push_str("}\n");
        }
        LogFormat::Human => {
            push_time(line, "%H:%M:%S");
            let _ = write!(line, " {} ", access.status);
            push_field(line, Escape::Plain, 32, access.method);
            line.push(' ');
            push_field(line, Escape::Plain, TARGET_BYTES_MAX, access.target);
            let duration_ms = access.duration_us as f64 / 1000.0;
            let cache = match access.facts.cache_state() {
                CacheState::None => "",
                state => state.name(),
            };
            let comma = if cache.is_empty() { "" } else { ", " };
            let _ = writeln!(line, " ({} bytes, {duration_ms:.1} ms{comma}{cache})", access.bytes);
        }
    }
}

/// The third field of the combined format, which ends at a space.
fn push_user(line: &mut String, user: &str) {
    if user.is_empty() {
        line.push('-');
    }
    for (at, word) in user.split(' ').enumerate() {
        if at > 0 {
            line.push_str("\\x20");
        }
        push_field(line, Escape::Quoted, NAME_BYTES_MAX, word);
    }
}

/// The times of an access line that say where it went.
fn times(access: &Access<'_>) -> [(&'static str, u64); 4] {
    let facts = access.facts;
    [
        ("time_ms", access.duration_us),
        ("upstream_ms", facts.upstream_us),
        ("lock_ms", facts.lock_us),
        ("render_ms", facts.render_us),
    ]
}

/// The facts behind the combined format's own fields.
fn push_facts(line: &mut String, access: &Access<'_>) {
    let facts = access.facts;
    let _ = write!(line, " service={}", facts.service.unwrap_or(Service::Other).name());
    line.push_str(" layer=\"");
    push_field(
        line,
        Escape::Quoted,
        NAME_BYTES_MAX,
        if facts.layers.is_empty() { "-" } else { &facts.layers },
    );
    let _ = match facts.level {
        Some(level) => write!(line, "\" level={level}"),
        None => write!(line, "\" level=-"),
    };
    let _ = write!(line, " cache={}", facts.cache_state().name());
    for (name, duration_us) in times(access) {
        let _ = write!(line, " {name}=");
        push_ms(line, duration_us);
    }
}

fn push_json_facts(line: &mut String, access: &Access<'_>) {
    let facts = access.facts;
    let _ = write!(line, ",\"service\":\"{}\"", facts.service.unwrap_or(Service::Other).name());
    for (name, value) in [("map", &facts.map), ("layer", &facts.layers)] {
        if !value.is_empty() {
            let _ = write!(line, ",\"{name}\":\"");
            push_field(line, Escape::Json, NAME_BYTES_MAX, value);
            line.push('"');
        }
    }
    if let Some(level) = facts.level {
        let _ = write!(line, ",\"level\":{level}");
    }
    let _ = write!(line, ",\"cache\":\"{}\"", facts.cache_state().name());
    for (name, duration_us) in &times(access)[1..] {
        let _ = write!(line, ",\"{name}\":");
        push_ms(line, *duration_us);
    }
    if let Some(trace) = access.trace {
        let Trace { trace_id, span_id, parent_id, .. } = trace;
        let _ = write!(
            line,
            ",\"trace_id\":\"{trace_id}\",\"span_id\":\"{span_id}\",\"parent_span_id\":\"{parent_id}\""
        );
    }
}

struct PeerName(Option<IpAddr>);

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

fn push_time(line: &mut String, format: &str) {
    let now = jiff::Timestamp::now();
    let before = line.len();
    if write!(line, "{}", now.strftime(format)).is_err() {
        // Only a format that jiff does not know can fail; ours are constants.
        line.truncate(before);
        line.push('-');
    }
}

fn push_field(line: &mut String, escape: Escape, bytes_max: usize, value: &str) {
    let _ = Escaped::new(line, escape, bytes_max).write_str(value);
}

/// What must not stand raw in a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Escape {
    /// Controls, so that no line can be forged and no terminal be driven.
    Plain,
    /// Also the quote and the backslash, as in the combined format.
    Quoted,
    /// The body of a JSON string.
    Json,
}

impl Escape {
    fn of(format: LogFormat) -> Escape {
        if format == LogFormat::Json { Escape::Json } else { Escape::Plain }
    }
}

/// Appends to a line, escaped, at most so many bytes; what does not fit is
/// cut with `…`.
struct Escaped<'a> {
    line: &'a mut String,
    escape: Escape,
    room: usize,
    cut: bool,
}

impl<'a> Escaped<'a> {
    fn new(line: &'a mut String, escape: Escape, room: usize) -> Self {
        Escaped { line, escape, room: room.saturating_sub(CUT.len()), cut: false }
    }

    fn push(&mut self, piece: &str) -> fmt::Result {
        if piece.len() > self.room {
            self.line.push_str(CUT);
            self.cut = true;
            return Err(fmt::Error);
        }
        self.room -= piece.len();
        self.line.push_str(piece);
        Ok(())
    }

    fn push_escaped(&mut self, character: char) -> fmt::Result {
        let number = u32::from(character);
        let piece = match (character, self.escape) {
            ('\n', _) => "\\n".to_owned(),
            ('\r', _) => "\\r".to_owned(),
            ('\t', _) => "\\t".to_owned(),
            ('"' | '\\', Escape::Json) => format!("\\{character}"),
            (_, Escape::Json) => format!("\\u{number:04x}"),
            (_, _) if number < 0x100 => format!("\\x{number:02x}"),
            (_, _) => format!("\\u{{{number:x}}}"),
        };
        self.push(&piece)
    }
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error);
        }
        let mut encoded = [0; 4];
        for character in text.chars() {
            let harmful = character.is_control()
                // Marks that turn the direction of writing hide what a line says.
                || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                || (self.escape != Escape::Plain && matches!(character, '"' | '\\'));
            if harmful {
                self.push_escaped(character)?;
            } else {
                self.push(character.encode_utf8(&mut encoded))?;
            }
        }
        Ok(())
    }
}

/// Must not happen: a mistake of ours. Tests fail on such a line.
macro_rules! alert_ {
    ($($message:tt)+) => {
        $crate::log::write_line($crate::log::Level::Alert, format_args!($($message)+))
    };
}
/// The operator must act.
macro_rules! error_ {
    ($($message:tt)+) => {
        $crate::log::write_line($crate::log::Level::Error, format_args!($($message)+))
    };
}
/// An upstream or the data are not as they should be.
macro_rules! warn_ {
    ($($message:tt)+) => {
        $crate::log::write_line($crate::log::Level::Warn, format_args!($($message)+))
    };
}
/// A step in the life of the daemon.
macro_rules! info_ {
    ($($message:tt)+) => {
        $crate::log::write_line($crate::log::Level::Info, format_args!($($message)+))
    };
}
/// For us.
macro_rules! debug_ {
    ($($message:tt)+) => {
        $crate::log::write_line($crate::log::Level::Debug, format_args!($($message)+))
    };
}
// The plain names would collide with the attribute `warn` where they are made.
#[allow(unused_imports)]
pub(crate) use {alert_ as alert, debug_ as debug, error_ as error, info_ as info, warn_ as warn};

#[cfg(test)]
mod tests {
    use super::*;

    fn error_line(format: LogFormat, message: fmt::Arguments<'_>) -> String {
        let mut line = String::new();
        compose_error_line(&mut line, format, Level::Warn, 7, message);
        line
    }

    fn access(facts: &Facts) -> Access<'_> {
        Access {
            peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1))),
            method: "GET",
            target: TARGET,
            protocol: "HTTP/1.1",
            status: 200,
            bytes: 12,
            duration_us: 1500,
            referer: None,
            user_agent: Some("tool \"x\"\r\nSet: 1"),
            facts,
            trace: None,
        }
    }

    const TARGET: &str = "/a?b=\"c\\d\u{1b}";

    fn facts() -> Facts {
        Facts {
            service: Some(Service::Wms),
            layers: "a \"b".into(),
            layer_count: 1,
            level: Some(3),
            upstream_count: 1,
            upstream_us: 1_234_567,
            ..Facts::default()
        }
    }

    #[test]
    fn control_characters_do_not_forge_lines() {
        for format in [LogFormat::Human, LogFormat::Combined, LogFormat::Json] {
            let line = error_line(format, format_args!("a\nb\r\u{1b}[31m\0\u{85}\u{202e}z"));
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(line.ends_with('\n'));
            assert!(!line.trim_end_matches('\n').chars().any(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_json_stays_json() {
        let long = "ä\"".repeat(5000);
        for format in [LogFormat::Human, LogFormat::Combined, LogFormat::Json] {
            let line = error_line(format, format_args!("{long}"));
            assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
            assert!(line.len() > LINE_BYTES_MAX - 16);
            assert!(line.contains('…'));
        }
        let line = error_line(LogFormat::Json, format_args!("{long}"));
        let value: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(value["level"], "warn");
        assert_eq!(value["pid"], 7);
    }

    #[test]
    fn access_lines() {
        let mut line = String::new();
        compose_access_line(&mut line, LogFormat::Combined, &access(&facts()));
        assert!(line.starts_with("10.0.0.1 - - ["), "{line}");
        assert!(
            line.ends_with(
                " +0000] \"GET /a?b=\\x22c\\x5cd\\x1b HTTP/1.1\" 200 12 \"-\" \"tool \\x22x\\x22\\r\\nSet: 1\" service=wms \
                 layer=\"a \\x22b\" level=3 cache=bypass time_ms=1.500 upstream_ms=1234.567 lock_ms=0.000 render_ms=0.000\n"
            ),
            "{line}"
        );

        let named = Facts { user: "Ann\nB \"x".into(), ..facts() };
        let mut line = String::new();
        compose_access_line(&mut line, LogFormat::Combined, &access(&named));
        assert!(line.starts_with("10.0.0.1 - Ann\\nB\\x20\\x22x ["), "{line}");
        let mut line = String::new();
        compose_access_line(&mut line, LogFormat::Json, &access(&named));
        let value: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(value["user"], "Ann\nB \"x");

        let mut line = String::new();
        compose_access_line(&mut line, LogFormat::Json, &access(&facts()));
        let value: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(value["target"], TARGET);
        assert_eq!(value["user_agent"], "tool \"x\"\r\nSet: 1");
        assert_eq!(value["duration_us"], 1500);
        assert!(value.get("referer").is_none());
        assert_eq!((&value["layer"], &value["cache"]), (&"a \"b".into(), &"bypass".into()));
        assert_eq!((&value["level"], &value["upstream_ms"]), (&3.into(), &1234.567.into()));
    }

    #[test]
    fn access_line_with_hostile_lengths_is_bounded() {
        let long = "\u{1}".repeat(100_000);
        let facts = Facts { layers: long.clone(), map: long.clone(), ..Facts::default() };
        let access = Access {
            method: &long,
            target: &long,
            referer: Some(&long),
            user_agent: Some(&long),
            ..access(&facts)
        };
        for format in [LogFormat::Human, LogFormat::Combined, LogFormat::Json] {
            let mut line = String::new();
            compose_access_line(&mut line, format, &access);
            assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
            assert!(line.contains(" 200 ") || line.contains("\"status\":200"));
        }
    }
}
