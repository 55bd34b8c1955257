//! What can be seen of a map: its last answer, what it asked for upstream,
//! what lies on its disk. Each look comes to a short text.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::harness::Reply;
use crate::harness::compare::raster;
use crate::harness::dir::files_below;
use crate::harness::upstream::Asked;

use super::pictures::parameter;

/// Everything that came of the requests of a row to one map.
pub struct Seen {
    pub replies: Vec<Reply>,
    /// What the upstream was asked for this map's sake.
    pub asked: Vec<Asked>,
    /// The map's own directory for what it stores.
    pub data: PathBuf,
}

/// One way of looking, with its name for messages.
pub struct Look {
    pub name: String,
    pub look: Box<dyn Fn(&Seen) -> String>,
}

fn look(name: impl Into<String>, look: impl Fn(&Seen) -> String + 'static) -> Look {
    Look { name: name.into(), look: Box::new(look) }
}

const NONE: &str = "-";

impl Seen {
    fn last(&self) -> &Reply {
        self.replies.last().expect("a row asks for something")
    }

    fn decoded(&self) -> Result<rhumb::render::Raster, String> {
        let reply = self.last();
        raster(&reply.body).map_err(|error| format!("{} {error}: {:.200}", reply.status, reply.text()))
    }

    /// Stored files by their path below the map's directory; locks do not count.
    fn stored(&self) -> Vec<String> {
        let files = files_below(&self.data).into_iter().filter_map(|path| {
            let path = path.strip_prefix(&self.data).ok()?.to_string_lossy().into_owned();
            (!path.contains(".lck")).then_some(path)
        });
        files.collect()
    }
}

fn joined(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    if parts.is_empty() { NONE.into() } else { parts.join(" ") }
}

// ---- the answer -------------------------------------------------------------

pub fn status() -> Look {
    look("status", |seen| seen.last().status.to_string())
}

pub fn statuses() -> Look {
    look("statuses", |seen| joined(seen.replies.iter().map(|reply| reply.status.to_string())))
}

pub fn header(name: &'static str) -> Look {
    look(format!("header {name}"), move |seen| seen.last().header(name).unwrap_or(NONE).to_owned())
}

/// Whether the answer holds a text: yes or no.
pub fn holds(text: &'static str) -> Look {
    look(
        format!("holds {text}"),
        move |seen| {
            if seen.last().text().contains(text) { "yes".into() } else { "no".into() }
        },
    )
}

pub fn body() -> Look {
    look("body", |seen| seen.last().text().trim().to_owned())
}

/// What stands between two texts.
pub fn between(from: &'static str, to: &'static str) -> Look {
    look(format!("between {from} and {to}"), move |seen| {
        let text = seen.last().text();
        let found = text.split_once(from).and_then(|(_, rest)| rest.split_once(to));
        found.map_or(NONE, |(found, _)| found.trim()).to_owned()
    })
}

/// The texts of all elements of that path (`Service/Title`), or of an attribute
/// of theirs (`Service/OnlineResource@href`). Names without prefixes.
pub fn xml(path: &'static str) -> Look {
    look(format!("xml {path}"), move |seen| {
        let text = seen.last().text();
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = match roxmltree::Document::parse_with_options(&text, options) {
            Ok(document) => document,
            Err(error) => return format!("{error}: {text:.300}"),
        };
        let (path, attribute) = path.split_once('@').unwrap_or((path, ""));
        let names: Vec<&str> = path.split('/').rev().collect();
        let fits = |node: &roxmltree::Node<'_, '_>| {
            let mut chain = node.ancestors().filter(roxmltree::Node::is_element);
            names.iter().all(|name| chain.next().is_some_and(|node| node.tag_name().name() == *name))
        };
        joined(document.descendants().filter(|node| node.is_element() && fits(node)).filter_map(|node| {
            if attribute.is_empty() {
                let words: Vec<&str> = node.text().unwrap_or_default().split_whitespace().collect();
                return (!words.is_empty()).then(|| words.join(" "));
            }
            let mut attributes = node.attributes();
            attributes.find(|a| a.name() == attribute).map(|a| a.value().to_owned())
        }))
    })
}

/// A value of a JSON document (`/links/0/href`).
pub fn json(pointer: &'static str) -> Look {
    look(format!("json {pointer}"), move |seen| {
        let text = seen.last().text();
        let document: serde_json::Value = match serde_json::from_str(&text) {
            Ok(document) => document,
            Err(error) => return format!("{error}: {text:.300}"),
        };
        match document.pointer(pointer) {
            None => NONE.to_owned(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    })
}

// ---- a picture --------------------------------------------------------------

pub fn pixel(x: u32, y: u32) -> Look {
    look(format!("pixel {x},{y}"), move |seen| match seen.decoded() {
        Ok(raster) if x < raster.width && y < raster.height => hex(raster.pixel(x, y)),
        Ok(_) => "outside".into(),
        Err(error) => error,
    })
}

fn hex(color: [u8; 4]) -> String {
    format!("#{}", color.map(|c| format!("{c:02x}")).concat())
}

pub fn size() -> Look {
    look("size", |seen| seen.decoded().map_or_else(|e| e, |r| format!("{}x{}", r.width, r.height)))
}

/// Whether the picture has more than so many colours.
pub fn more_colors_than(few: usize) -> Look {
    look(format!("more than {few} colours"), move |seen| match seen.decoded() {
        Ok(raster) => {
            let colors: BTreeSet<&[u8]> = raster.pixels.chunks_exact(4).collect();
            if colors.len() > few { "yes".into() } else { "no".into() }
        }
        Err(error) => error,
    })
}

/// How many pixels differ from the picture's first pixel: none, or where.
pub fn ink() -> Look {
    look("box of what is drawn", |seen| match seen.decoded() {
        Ok(raster) => {
            let ground = raster.pixel(0, 0);
            let inked = (0..raster.height)
                .flat_map(|y| (0..raster.width).map(move |x| (x, y)))
                .filter(|(x, y)| raster.pixel(*x, *y) != ground);
            let bounds = inked.fold(None, |bounds: Option<(u32, u32, u32, u32)>, (x, y)| {
                let (w, n, e, s) = bounds.unwrap_or((x, y, x, y));
                Some((w.min(x), n.min(y), e.max(x), s.max(y)))
            });
            bounds.map_or(NONE.into(), |(w, n, e, s)| format!("{}x{} at {w},{n}", e - w + 1, s - n + 1))
        }
        Err(error) => error,
    })
}

/// The most frequent colour beside that of the first pixel.
pub fn ink_color() -> Look {
    look("colour that is drawn", |seen| match seen.decoded() {
        Ok(raster) => {
            let ground = raster.pixel(0, 0);
            let mut counts = std::collections::BTreeMap::new();
            for color in raster.pixels.chunks_exact(4).filter(|color| **color != ground) {
                *counts.entry(<[u8; 4]>::try_from(color).unwrap_or_default()).or_insert(0) += 1;
            }
            counts.into_iter().max_by_key(|(_, count)| *count).map_or(NONE.into(), |(color, _)| hex(color))
        }
        Err(error) => error,
    })
}

/// Whether the picture strays from what was drawn by more than this, as the
/// mean over all values.
pub fn strays_from(drawn: fn(u32, u32) -> [u8; 4], mean: f64) -> Look {
    look(format!("strays by more than {mean}"), move |seen| match seen.decoded() {
        Ok(raster) => {
            let places = (0..raster.height).flat_map(|y| (0..raster.width).map(move |x| (x, y)));
            let errors = places.flat_map(|(x, y)| {
                let (is, was) = (raster.pixel(x, y), drawn(x, y));
                [0, 1, 2, 3].map(|band| f64::from(is[band].abs_diff(was[band])))
            });
            let error = errors.sum::<f64>() / (f64::from(raster.width * raster.height) * 4.0);
            if error > mean { "yes".into() } else { "no".into() }
        }
        Err(error) => error,
    })
}

/// The colour type of a PNG: `palette 16` with its length, `rgb`, `rgba`, `grey`.
pub fn color_type() -> Look {
    look("colour type", |seen| {
        let decoder = png::Decoder::new(std::io::Cursor::new(&seen.last().body));
        let reader = match decoder.read_info() {
            Ok(reader) => reader,
            Err(error) => return format!("{} {error}: {:.200}", seen.last().status, seen.last().text()),
        };
        let info = reader.info();
        match info.color_type {
            png::ColorType::Indexed => {
                format!("palette {}", info.palette.as_ref().map_or(0, |p| p.len() / 3))
            }
            png::ColorType::Rgb => "rgb".into(),
            png::ColorType::Rgba => "rgba".into(),
            png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha => "grey".into(),
        }
    })
}

/// The first step of a JPEG's first quantisation table: 3 at quality 90, 20 at 40.
pub fn jpeg_step() -> Look {
    look("JPEG quantisation step", |seen| {
        let body = &seen.last().body;
        let at = body.windows(2).position(|w| w == [0xff, 0xdb]);
        at.and_then(|at| body.get(at + 5)).map_or(NONE.into(), u8::to_string)
    })
}

/// Tag 259 of a TIFF: 1 raw, 5 LZW, 7 JPEG.
pub fn tiff_compression() -> Look {
    look("TIFF compression", |seen| {
        let body = &seen.last().body;
        let number = |at: usize, bytes: usize| -> Option<u64> {
            let part = body.get(at..at + bytes)?;
            Some(part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        let found = (|| {
            let directory = number(4, 4)? as usize;
            let entries = number(directory, 2)? as usize;
            (0..entries)
                .map(|at| directory + 2 + at * 12)
                .find(|at| number(*at, 2) == Some(259))
                .and_then(|at| number(at + 8, 2))
        })();
        found.map_or(NONE.into(), |tag| tag.to_string())
    })
}

// ---- the upstream -----------------------------------------------------------

/// How many requests went upstream.
pub fn asked_count() -> Look {
    look("requests upstream", |seen| seen.asked.len().to_string())
}

/// A parameter of the last request upstream.
pub fn asked(name: &'static str) -> Look {
    look(format!("asked {name}"), move |seen| {
        let found = seen.asked.last().and_then(|asked| {
            let query = asked.target.split_once('?').map_or("", |(_, query)| query);
            parameter(query, name).or_else(|| parameter(&asked.body, name))
        });
        found.unwrap_or(NONE.into())
    })
}

/// The bounding box of the last request upstream, in whole units.
pub fn asked_bbox() -> Look {
    look("asked bbox", |seen| {
        let query = seen.asked.last().map_or("", |asked| &asked.target);
        let query = query.split_once('?').map_or("", |(_, query)| query);
        let numbers = parameter(query, "bbox").unwrap_or_default();
        joined(
            numbers
                .split(',')
                .filter_map(|number| number.parse().ok())
                .map(|number: f64| format!("{number:.0}")),
        )
    })
}

/// The paths that were asked for, without the map's name.
pub fn asked_paths() -> Look {
    look("asked paths", |seen| {
        let mut paths: Vec<String> = seen
            .asked
            .iter()
            .map(|asked| {
                let path = asked.target.split('?').next().unwrap_or_default();
                path.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest).to_owned()
            })
            .collect();
        paths.sort();
        joined(paths)
    })
}

pub fn asked_method() -> Look {
    look("asked by", |seen| seen.asked.last().map_or(NONE.into(), |asked| asked.method.clone()))
}

/// A header field of the last request upstream.
pub fn asked_header(name: &'static str) -> Look {
    look(format!("asked with {name}"), move |seen| {
        let fields = seen.asked.last().map_or("", |asked| &asked.fields);
        let found = fields.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        found.unwrap_or(NONE.into())
    })
}

// ---- the disk ---------------------------------------------------------------

/// The stored files.
pub fn stored() -> Look {
    look("stored", |seen| joined(seen.stored()))
}

pub fn stored_count() -> Look {
    look("stored files", |seen| seen.stored().len().to_string())
}

/// The levels of which tiles are stored, in the default layout.
pub fn stored_levels() -> Look {
    look("stored levels", |seen| {
        let levels: BTreeSet<String> =
            seen.stored().iter().filter_map(|path| path.split('/').nth(1).map(str::to_owned)).collect();
        joined(levels)
    })
}

/// Whether a path below the map's directory is there, and as what.
pub fn there(path: &'static str) -> Look {
    look(format!("{path} on disk"), move |seen| match std::fs::symlink_metadata(seen.data.join(path)) {
        Ok(found) if found.is_dir() => "directory".into(),
        Ok(found) if found.is_symlink() => "symlink".into(),
        Ok(found) if found.nlink() > 1 => "hardlink".into(),
        Ok(_) => "file".into(),
        Err(_) => NONE.into(),
    })
}

/// The mode bits of a path below the map's directory.
pub fn mode(path: &'static str) -> Look {
    look(format!("mode of {path}"), move |seen| {
        let found = std::fs::symlink_metadata(seen.data.join(path));
        found.map_or(NONE.into(), |found| format!("{:o}", found.permissions().mode() & 0o777))
    })
}

/// Whether a database keeps a write-ahead log: its header says so.
pub fn is_wal(path: &'static str) -> Look {
    look(format!("write-ahead log of {path}"), move |seen| {
        let bytes = std::fs::read(seen.data.join(path)).unwrap_or_default();
        bytes.get(18).map_or(NONE.into(), |version| if *version == 2 { "yes".into() } else { "no".into() })
    })
}

/// Whether a file holds a word.
pub fn named_in(path: &'static str, word: &'static str) -> Look {
    look(format!("{word} in {path}"), move |seen| {
        let bytes = std::fs::read(seen.data.join(path)).unwrap_or_default();
        let found = bytes.windows(word.len()).any(|w| w == word.as_bytes());
        if found { "yes".into() } else { "no".into() }
    })
}

/// A parameter of the last request to the CGI program of the tests, which
/// notes them in the directory where it runs.
pub fn noted(name: &'static str) -> Look {
    look(format!("noted {name}"), move |seen| {
        let notes = read(&seen.data.join("asked.txt")).unwrap_or_default();
        let query =
            notes.lines().last().and_then(|line| line.split_once(" asked ")).map_or("", |(_, query)| query);
        parameter(query, name).unwrap_or(NONE.into())
    })
}

fn read(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
