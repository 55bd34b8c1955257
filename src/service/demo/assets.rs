//! Styles and scripts of the demo pages and of those of the OGC API, out of the
//! binary. A name that is not
//! in the table does not exist: nothing a client sends becomes a path.

use std::sync::LazyLock;

use md5::{Digest, Md5};

use crate::service::exception::plain;
use crate::wire::{Body, Request, Response, cond};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

macro_rules! asset {
    ($name:literal, $mime:expr) => {
        asset!("demo", $name, $mime)
    };
    ($folder:literal, $name:literal, $mime:expr) => {
        ($name, $mime, include_bytes!(concat!("../../../etc/", $folder, "/", $name)))
    };
}

/// Name, type, content.
const ASSETS: &[(&str, &str, &[u8])] = &[
    asset!("demo.css", CSS),
    asset!("start.js", JAVASCRIPT),
    asset!("viewer.js", JAVASCRIPT),
    asset!("map.js", JAVASCRIPT),
    asset!("info.js", JAVASCRIPT),
    asset!("copy.js", JAVASCRIPT),
    asset!("logo.svg", "image/svg+xml"),
    asset!("openlayers/ol.js", JAVASCRIPT),
    asset!("openlayers/ol.css", CSS),
    asset!("ogcapi", "ogcapi.css", CSS),
    asset!("ogcapi", "ogcapi-map.js", JAVASCRIPT),
    asset!("ogcapi", "ogcapi-try.js", JAVASCRIPT),
    asset!("openlayers/LICENSE", "text/plain; charset=utf-8"),
];

/// Quoted entity tags in the order of [`ASSETS`]: digests of the contents, so
/// that all workers and generations of one build agree.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let digest = |content: &[u8]| {
        let digits: String = Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\"{digits}\"")
    };
    ASSETS.iter().map(|(_, _, content)| digest(content)).collect()
});

/// The asset of that name. Browsers ask again each time and mostly learn
/// that nothing has changed: another build brings other files.
pub fn answer(name: &str, request: &Request) -> Response {
    let found = ASSETS.iter().zip(TAGS.iter()).find(|((known, _, _), _)| *known == name);
    let Some(((_, mime, content), tag)) = found else { return plain(404, "not found") };
    let response = if cond::not_modified(&request.headers, Some(tag), None) {
        Response { status: 304, headers: Vec::new(), body: Body::Empty }
    } else {
        Response::new(200, mime, *content)
    };
    response
        .with("ETag", tag.clone())
        .with("Cache-Control", "no-cache")
        .with("X-Content-Type-Options", "nosniff")
}
