//! The house rules, checked: who may import whom, where `unsafe` may stand,
//! how long files and functions may grow, which names say nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of logic in a file, tests not counted.
const FILE_LINES_MAX: usize = 700;
/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Who may use whom: a room, and the rooms (or single modules of them) that
/// it may name. Every room may use itself, `sys`, `board`, `log` and `story`, but for
/// `wire` and `geo`, which use none of them.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("lib", &[]),
    // autoconfig reads capabilities; the version page names the engine.
    // Exporting lays an area over a grid and asks in the format that is kept.
    ("cli", &["master", "seed", "conf", "app", "worker", "source", "geo", "render::Format"]),
    ("master", &["conf", "worker::run", "worker::probe", "worker::Birth", "worker::MESSAGE"]),
    ("worker", &["wire", "service", "conf", "app", "plan", "render::decode", "render::Format", "geo::proj"]),
    ("seed", &["plan", "cache", "geo", "conf", "app"]),
    (
        "auth",
        &["conf", "service::permit", "service::pattern", "service::callback", "wire", "geo", "plan::Turn"],
    ),
    ("app", &["auth", "conf", "service", "plan", "cache", "source", "render", "geo", "wire"]),
    ("service", &["wire", "plan", "geo", "render"]),
    ("plan", &["cache", "source", "render", "geo"]),
    ("cache", &["geo"]),
    ("source", &["wire", "geo"]),
    ("render", &["geo"]),
    // The checked configuration is told in the types of the rooms that use it.
    (
        "conf",
        &[
            "geo",
            "render",
            "service::caption",
            "cache::file",
            "source::OnError",
            "source::error",
            "source::client::Method",
            "source::wms::WmsVersion",
            "source::template",
            "wire::network",
            "wire::forwarded",
        ],
    ),
    ("wire", &[]),
    ("geo", &[]),
    ("sys", &[]),
    ("board", &[]),
    ("log", &["conf::daemon"]),
    ("story", &[]),
];
const FOR_ALL: &[&str] = &["sys", "board", "log", "story"];
const PURE: &[&str] = &["wire", "geo"];

/// The files in which `unsafe` may stand.
const UNSAFE_IN: &[&str] = &[
    "src/sys.rs",
    "src/sys/",
    "src/board.rs",
    "src/render/simd/",
    "src/geo/proj.rs",
    "src/conf/yaml.rs",
    "src/render/encode/webp.rs",
    "src/source/xslt.rs",
];

/// Names that say nothing about what a thing is.
const EMPTY_NAMES: &[&str] = &["manager", "helper", "util", "utils", "common", "misc"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a readable directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("readable source")));
            }
        }
    }
    found.sort();
    found
}

/// `src/geo/grid.rs` → `geo`.
fn room(file: &str) -> &str {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    inner.split_once('/').map_or(inner.trim_end_matches(".rs"), |(room, _)| room)
}

/// The part of a file that is not its unit tests.
fn logic(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

fn is_test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/") || file.ends_with("_tests.rs")
}

fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Paths after `crate::` that a piece of source names.
fn crate_paths(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|l| format!("{}\n", without_comment(l))).collect();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let list = &list[..list.find('}').unwrap_or(list.len())];
            found.extend(list.split(',').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()));
        } else {
            let end =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches(':');
            let group = rest[end..].strip_prefix('{').filter(|_| rest[..end].ends_with("::"));
            match group {
                Some(list) => {
                    let list = &list[..list.find('}').unwrap_or(list.len())];
                    for item in list.split(',').map(str::trim).filter(|i| !i.is_empty()) {
                        found.insert(format!("{path}::{item}"));
                    }
                }
                None => {
                    found.insert(path.to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn rooms_use_only_whom_they_may() {
    let mut faults = Vec::new();
    for (file, text) in rust_files("src") {
        if is_test_file(&file) {
            continue;
        }
        let own = room(&file);
        let Some((_, allowed)) = MAY_USE.iter().find(|(room, _)| *room == own) else {
            faults.push(format!("{file}: the room {own} is not in the table"));
            continue;
        };
        for path in crate_paths(logic(&text)) {
            let other = path.split("::").next().unwrap_or(&path);
            let fine = other == own
                || !PURE.contains(&own) && FOR_ALL.contains(&other)
                || allowed.iter().any(|a| {
                    path == *a
                        || path.starts_with(&format!("{a}::"))
                        || path.starts_with(a) && a.contains("::")
                });
            if !fine {
                faults.push(format!("{file}: {own} may not use {path}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn unsafe_stands_only_where_it_may_and_says_why() {
    let mut faults = Vec::new();
    for (file, text) in rust_files("src") {
        let allowed = UNSAFE_IN.iter().any(|u| file == *u || u.ends_with('/') && file.starts_with(u));
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = without_comment(line);
            let word = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == "unsafe");
            if !word || code.contains("unsafe_code") || code.contains("unsafe_op") {
                continue;
            }
            if !allowed {
                faults.push(format!("{file}:{}: unsafe", at + 1));
            } else if code.contains("unsafe {") {
                let before = &lines[at.saturating_sub(8)..=at];
                if !before.iter().any(|l| l.contains("SAFETY:")) {
                    faults.push(format!("{file}:{}: an unsafe block without its contract", at + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn files_stay_short() {
    let mut faults = Vec::new();
    for (file, text) in rust_files("src").into_iter().chain(rust_files("tests")) {
        let lines = logic(&text).lines().count();
        if lines > FILE_LINES_MAX && !is_test_file(&file) && !is_table(&text) {
            faults.push(format!("{file}: {lines} lines of logic"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Lists and tables may be longer; such a file says so in its head.
fn is_table(text: &str) -> bool {
    text.lines().take_while(|l| l.starts_with("//!")).any(|l| l.contains("tidy: table"))
}

#[test]
fn functions_stay_short() {
    let mut faults = Vec::new();
    for (file, text) in rust_files("src") {
        if is_test_file(&file) {
            continue;
        }
        let lines: Vec<&str> = logic(&text).lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "unsafe fn ",
                "pub unsafe fn ",
                "const fn ",
                "pub const fn ",
            ];
            if !starts.iter().any(|s| code.starts_with(s)) || code.ends_with(';') {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let end = lines[at..].iter().position(|l| *l == close).unwrap_or(0);
            if end + 1 > FUNCTION_LINES_MAX {
                faults.push(format!("{file}:{}: {} lines", at + 1, end + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_is_used() {
    let mut faults = Vec::new();
    let files = rust_files("src");
    for (file, text) in &files {
        if !text.starts_with("//!") && !is_test_file(file) {
            faults.push(format!("{file}: no head that says what it is for"));
        }
        let path = PathBuf::from(file);
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) {
            faults.push(format!("{file}: the name says nothing"));
        }
        if matches!(file.as_str(), "src/main.rs" | "src/lib.rs") {
            continue;
        }
        // `#[path = "grid_tests.rs"] mod tests;`
        if is_test_file(file) && files.iter().any(|(_, t)| t.contains(&format!("#[path = \"{stem}.rs\"]"))) {
            continue;
        }
        let name = if stem == "mod" {
            path.parent().and_then(|p| p.file_name()).and_then(|n| n.to_str()).unwrap_or_default()
        } else {
            stem
        };
        let declared = files.iter().any(|(_, t)| {
            t.lines().any(|l| {
                let l = l.trim().split("//").next().unwrap_or_default().trim();
                l.ends_with(&format!("mod {name};"))
            })
        });
        if !declared {
            faults.push(format!("{file}: no module of that name is declared, so nothing uses it"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn nothing_is_left_half_done() {
    let mut faults = Vec::new();
    // Spelled in two halves so that this file does not find itself.
    let marks =
        [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("dbg", "!(")];
    for (file, text) in rust_files("src").into_iter().chain(rust_files("tests")) {
        for (at, line) in text.lines().enumerate() {
            if marks.iter().any(|m| line.contains(m)) || line.trim() == concat!("#[ig", "nore]") {
                faults.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_changelog_is_open() {
    let text = std::fs::read_to_string(root().join("CHANGELOG.md")).expect("a changelog");
    assert!(text.contains("## Unreleased"), "CHANGELOG.md needs its open section");
}

#[test]
fn the_architecture_is_told_in_under_two_hundred_lines() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
    for (room, _) in MAY_USE {
        assert!(
            text.contains(&format!("`{room}`")) || *room == "main" || *room == "lib",
            "{room} is not told of"
        );
    }
}
