//! `decorate:` of the daemon's file: what is added to pictures on their way out.

use std::path::Path;
use std::sync::Arc;

use super::auth::SERVICES;
use crate::conf::color;
use crate::conf::files::FileSet;
use crate::conf::finding::Findings;
use crate::conf::node::{Node, Value};
use crate::conf::schema::Kind::{Bool, Choice, Color, Int, List, Number, OneOf, Text};
use crate::conf::schema::{Table, key};
use crate::render::decor::{Overlay, Placement, TextStyle};
use crate::render::{self, DecodeLimits};
use crate::service::caption::Caption;

pub static DECORATE: Table = Table {
    path: "decorate",
    keys: &[
        key("maps", List(&Text)),
        key("services", List(&Choice(PICTURED))),
        key("layers", List(&Text)),
        key("text", Text),
        key("image", Text),
        key("http", Text),
        key("place", Choice(PLACES)),
        key("margin_px", Int),
        key("size_px", Number),
        key("color", Color),
        key("ground", OneOf(&[Color, Bool])),
        key("opacity", Number),
        key("timeout_ms", Int),
        key("on_failure", Choice(&["fail", "leave"])),
        key("fields", List(&Text)),
        key("steady", Bool),
    ],
};

/// The services that answer with pictures: all but the demo pages.
const PICTURED: &[&str] = SERVICES.split_at(SERVICES.len() - 1).0;
const PLACES: &[&str] = &["upper_left", "upper_right", "lower_left", "lower_right", "centre"];
/// The keys that only one kind of addition has.
const OWN_KEYS: &[(&str, &[&str])] = &[
    ("text", &["place", "margin_px", "size_px", "color", "ground"]),
    ("image", &["place", "margin_px", "opacity"]),
    ("http", &["timeout_ms", "on_failure", "fields", "steady"]),
];

const MARGIN_PX: u64 = 3;
const MARGIN_MAX_PX: u64 = 10_000;
const SIZE_PX: f64 = 10.0;
const SIZE_MIN_PX: f64 = 4.0;
const SIZE_MAX_PX: f64 = 512.0;
const TIMEOUT_MS: u64 = 5_000;
const TIMEOUT_MAX_MS: u64 = 60_000;
/// Pixels of an image that is laid over pictures: it is held in every worker.
const IMAGE_PIXELS_MAX: usize = 4 * 1024 * 1024;

/// One entry of `decorate:`, resolved.
#[derive(Clone, Debug)]
pub struct Decoration {
    /// Names with `*`; empty: all.
    pub maps: Vec<String>,
    pub services: Vec<String>,
    pub layers: Vec<String>,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Text { caption: Caption, style: TextStyle },
    Image(Arc<Overlay>),
    Http(Http),
}

#[derive(Clone, Debug)]
pub struct Http {
    pub url: String,
    pub timeout_ms: u64,
    /// Without an answer the picture is sent as it is, instead of an error.
    pub may_fail: bool,
    /// Fields of the request that are passed on.
    pub fields: Vec<String>,
    /// It answers the same picture with the same picture, whoever asks.
    pub is_steady: bool,
}

/// Reads `decorate:`; relative paths count from `dir`.
pub(super) fn read(list: &Node, dir: &Path, files: &mut FileSet, findings: &mut Findings) -> Vec<Decoration> {
    let items = list.items().iter().enumerate();
    let read = items.filter_map(|(at, item)| {
        let path = format!("decorate[{at}]");
        Entry { item, path, dir, files: &mut *files, findings: &mut *findings }.read()
    });
    read.collect()
}

struct Entry<'a> {
    item: &'a Node,
    path: String,
    dir: &'a Path,
    files: &'a mut FileSet,
    findings: &'a mut Findings,
}

impl Entry<'_> {
    fn error(&mut self, node: &Node, key: &str, text: impl Into<String>) {
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        self.findings.error(node.place, path, text);
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let items = self.item.get(key).map(Node::items).unwrap_or_default();
        items.iter().filter_map(Node::text).map(str::to_owned).collect()
    }

    /// A number from `least` to `most`.
    fn number(&mut self, key: &str, default: f64, least: f64, most: f64) -> f64 {
        let Some(node) = self.item.get(key) else { return default };
        match node.number() {
            Some(number) if (least..=most).contains(&number) => number,
            _ => {
                self.error(node, key, format!("must be from {least} to {most}"));
                default
            }
        }
    }

    fn whole_number(&mut self, key: &str, default: u64, least: u64, most: u64) -> u64 {
        let Some(node) = self.item.get(key) else { return default };
        match node.int().map(u64::try_from) {
            Some(Ok(number)) if (least..=most).contains(&number) => number,
            _ => {
                self.error(node, key, format!("must be from {least} to {most}"));
                default
            }
        }
    }

    fn read(mut self) -> Option<Decoration> {
        let item = self.item;
        let mut kinds = OWN_KEYS.iter().filter(|(kind, _)| item.entry(kind).is_some());
        let (Some((kind, own)), None) = (kinds.next(), kinds.next()) else {
            self.error(item, "", "needs one of `text`, `image` and `http`: what is added?");
            return None;
        };
        for (other, keys) in OWN_KEYS.iter().filter(|(other, _)| other != kind) {
            for key in keys.iter().filter(|key| !own.contains(key)) {
                if let Some(node) = item.get(key) {
                    self.error(node, key, format!("is of use only with `{other}`"));
                }
            }
        }
        let node = item.get(kind)?;
        let what = match *kind {
            "text" => self.caption(node)?,
            "image" => self.overlay(node)?,
            _ => self.http(node)?,
        };
        Some(Decoration {
            maps: self.texts("maps"),
            services: self.texts("services"),
            layers: self.texts("layers"),
            what,
        })
    }

    fn place(&mut self) -> (Placement, u16) {
        let place = match self.item.get("place").and_then(Node::text) {
            Some("upper_left") => Placement::UpperLeft,
            Some("upper_right") => Placement::UpperRight,
            Some("lower_left") => Placement::LowerLeft,
            Some("centre") => Placement::Centre,
            _ => Placement::LowerRight,
        };
        let margin = self.whole_number("margin_px", MARGIN_PX, 0, MARGIN_MAX_PX);
        (place, u16::try_from(margin).unwrap_or(u16::MAX))
    }

    fn caption(&mut self, node: &Node) -> Option<What> {
        let caption = match Caption::parse(node.text()?) {
            Ok(caption) => caption,
            Err(error) => {
                self.error(node, "text", error);
                return None;
            }
        };
        let (placement, margin_px) = self.place();
        let plain = TextStyle::attribution(false);
        // What is no colour was named by the check against the table.
        let ground = match self.item.get("ground") {
            Some(Node { value: Value::Bool(false), .. }) => None,
            Some(node) => color::parse(node).or(plain.ground),
            None => plain.ground,
        };
        let style = TextStyle {
            size_px: self.number("size_px", SIZE_PX, SIZE_MIN_PX, SIZE_MAX_PX) as f32,
            color: self.item.get("color").and_then(color::parse).unwrap_or(plain.color),
            ground,
            placement,
            margin_px,
            typeface: None,
        };
        Some(What::Text { caption, style })
    }

    /// Read and decoded now: what a worker draws was seen by whoever checked.
    fn overlay(&mut self, node: &Node) -> Option<What> {
        let name = self.dir.join(node.text()?);
        let limits = DecodeLimits { pixels_bytes_max: IMAGE_PIXELS_MAX * 4, ..DecodeLimits::default() };
        let read = match self.files.read(&name) {
            Ok(bytes) => render::decode(bytes, &limits).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let (placement, margin_px) = self.place();
        let opacity = self.number("opacity", 1.0, 0.0, 1.0) as f32;
        match read {
            Ok(raster) => Some(What::Image(Arc::new(Overlay::new(raster, placement, margin_px, opacity)))),
            Err(error) => {
                self.error(node, "image", format!("cannot read {}: {error}", name.display()));
                None
            }
        }
    }

    fn http(&mut self, node: &Node) -> Option<What> {
        let url = node.text()?;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            self.error(node, "http", "must be the address of a service, http:// or https://");
            return None;
        }
        Some(What::Http(Http {
            url: url.to_owned(),
            timeout_ms: self.whole_number("timeout_ms", TIMEOUT_MS, 1, TIMEOUT_MAX_MS),
            may_fail: self.item.get("on_failure").and_then(Node::text) == Some("leave"),
            fields: self.texts("fields"),
            is_steady: self.item.get("steady").and_then(Node::bool).unwrap_or(false),
        }))
    }
}
