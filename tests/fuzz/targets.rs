//! What fuzzing feeds: each target takes any bytes and panics where a promise
//! is broken. The fuzzer runs them for hours (`tests/fuzz/run`); the corpora and
//! whatever was found are replayed by every `cargo test`.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rhumb::app::App;
use rhumb::conf::daemon::Maps;
use rhumb::conf::{FileSet, Severity};
use rhumb::geo::grid::{GridOptions, Origin, TileCoord, TileGrid, map_resolution};
use rhumb::geo::{Extent, Srs};
use rhumb::plan::feature_info::{InfoDocument, InfoKind, combine};
use rhumb::render::DecodeLimits;
use rhumb::service::Answer;
use rhumb::wire::cgi::Mount;
use rhumb::wire::codec::{Codec, Step};
use rhumb::wire::limit::Limits;
use rhumb::wire::message::{Headers, Method};
use rhumb::wire::{Request, proxy_protocol, url};

/// A name, as of its directories of corpus and findings, and what is fed.
type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("http", http),
    ("fastcgi", fastcgi),
    ("scgi", scgi),
    ("uwsgi", uwsgi),
    ("url", urls),
    ("proxy_protocol", proxy_header),
    ("configuration", configuration),
    ("image", image),
    ("request", request),
    ("information", information),
    ("grid", grid),
];

/// Longer inputs find nothing that shorter ones do not.
const INPUT_BYTES_MAX: usize = 8 * 1024;

// ---- protocols --------------------------------------------------------------

fn limits() -> Limits {
    // Small, so that the fuzzer reaches them.
    Limits {
        request_line_bytes: 256,
        header_bytes: 1024,
        header_count: 12,
        header_field_bytes: 300,
        body_bytes: 512,
    }
}

fn mount() -> Arc<Mount> {
    Arc::new(Mount { services: &["service", "wmts", "tms", "tiles"], ..Mount::default() })
}

/// What came out of a connection's bytes that arrived in these pieces.
fn outcome<'a>(mut codec: Codec, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut told = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    for piece in pieces {
        pending.extend_from_slice(piece);
        loop {
            let (used, step) = match codec.feed(&pending) {
                Ok(fed) => fed,
                Err(refusal) => {
                    told.push(format!("refused: {refusal}"));
                    return told;
                }
            };
            assert!(used <= pending.len(), "more was consumed than there is");
            pending.drain(..used);
            match step {
                Step::More => break,
                // Whether a client still waits when its body is there is a matter of time.
                Step::Continue => {}
                Step::Complete(message) => {
                    told.push(format!("{message:?}"));
                    // The other protocols answer before they go on.
                    if !codec.pipelines() || !message.keep_alive {
                        return told;
                    }
                }
                Step::Reply { bytes, ends } => {
                    told.push(format!("{bytes:?}"));
                    if ends {
                        return told;
                    }
                }
                Step::Aborted => told.push("aborted".into()),
                Step::Hangup(reason) => {
                    told.push(format!("hung up: {reason}"));
                    return told;
                }
            }
        }
    }
    told
}

/// Any chunking gives the same result.
fn chunked(input: &[u8], codec: impl Fn() -> Codec) {
    let Some((first, input)) = input[..input.len().min(INPUT_BYTES_MAX)].split_first() else { return };
    let whole = outcome(codec(), std::iter::once(input));
    let size = usize::from(*first).max(1);
    for size in [1, size, 7 * size] {
        let pieces = outcome(codec(), input.chunks(size));
        assert_eq!(pieces, whole, "in pieces of {size} bytes");
    }
}

fn http(input: &[u8]) {
    chunked(input, || Codec::http(limits(), "http"));
}

fn fastcgi(input: &[u8]) {
    chunked(input, || Codec::fastcgi(limits(), mount(), 7));
}

fn scgi(input: &[u8]) {
    chunked(input, || Codec::scgi(limits(), mount()));
}

fn uwsgi(input: &[u8]) {
    chunked(input, || Codec::uwsgi(limits(), mount()));
}

/// Once decided, more bytes change nothing.
fn proxy_header(input: &[u8]) {
    let input = &input[..input.len().min(1024)];
    let mut decided = None;
    for length in 0..=input.len() {
        let now = proxy_protocol::read(&input[..length]);
        match (&decided, &now) {
            (Some(before), _) => assert_eq!(before, &now, "at {length} bytes"),
            (None, Ok(None)) => {}
            (None, _) => {
                if let Ok(Some((used, _))) = now {
                    assert!(used <= length, "more was consumed than there is");
                }
                decided = Some(now);
            }
        }
    }
}

/// What is written is read as it was.
fn urls(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert_eq!(url::decode(&url::escape(&text)), text);
    assert_eq!(url::decode_form(&url::escape_value(&text)), text);
    let query = url::Query::parse(&text);
    assert_eq!(url::Query::parse(&query.to_text()).0, query.0, "{text:?}");
    let (path, _) = url::split_target(&text);
    if let Some(segments) = url::path_segments(path) {
        for segment in segments {
            assert!(segment != ".." && segment != "." && !segment.contains('/'), "{path:?} leads elsewhere");
        }
    }
    url::is_host(&text);
}

// ---- configuration ----------------------------------------------------------

const MAP: &str = "/map/mapproxy.yaml";

/// A file comes to a configuration, or to an error that says why not.
fn configuration(input: &[u8]) {
    let path = Path::new(MAP);
    let mut files = FileSet::holding(path, &input[..input.len().min(INPUT_BYTES_MAX)]);
    let loaded = rhumb::conf::load::load_with(path, &mut files, &|_| None);
    let refused = loaded.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(loaded.conf.is_none(), refused, "{:?}", loaded.findings);
    for finding in &loaded.findings {
        assert!(!finding.text.is_empty());
    }
}

/// Numbers of eight bytes each, then of one.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn float(&mut self) -> f64 {
        let Some((first, rest)) = self.0.split_first_chunk::<8>() else { return 0.0 };
        self.0 = rest;
        f64::from_le_bytes(*first)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn maybe(&mut self) -> Option<f64> {
        (self.byte() % 2 == 1).then(|| self.float())
    }

    fn extent(&mut self) -> Extent {
        Extent::new(self.float(), self.float(), self.float(), self.float())
    }
}

/// A grid that can be built has tiles where it says.
fn grid(input: &[u8]) {
    let mut numbers = Numbers(input);
    let srs = ["EPSG:3857", "EPSG:4326", "EPSG:25832"][usize::from(numbers.byte() % 3)];
    let has_extent = numbers.byte() % 4 != 0;
    let options = GridOptions {
        name: "fuzzed".into(),
        srs: Srs::parse(srs).ok(),
        extent: has_extent.then(|| numbers.extent()),
        origin: Some(if numbers.byte() % 2 == 0 { Origin::SouthWest } else { Origin::NorthWest }),
        tile_size: Some((u32::from(numbers.byte()) * 4, u32::from(numbers.byte()) * 4)),
        res: (numbers.byte() % 3 == 0).then(|| (0..numbers.byte() % 8).map(|_| numbers.float()).collect()),
        res_factor: numbers.maybe(),
        num_levels: (numbers.byte() % 2 == 1).then(|| u32::from(numbers.byte())),
        min_res: numbers.maybe(),
        max_res: numbers.maybe(),
        stretch_factor: numbers.maybe(),
        max_shrink_factor: numbers.maybe(),
        ..GridOptions::default()
    };
    let Ok(grid) = TileGrid::build(&options) else { return };
    assert!(grid.levels() >= 1);
    for level in 0..grid.levels() {
        let (columns, rows) = grid.grid_size(level);
        assert!(columns >= 1 && rows >= 1 && grid.resolution(level) > 0.0, "level {level} of {options:?}");
        for (x, y) in [(0, 0), (columns - 1, rows - 1)] {
            let tile = TileCoord { x, y, z: level };
            assert_eq!(grid.limit(tile), Some(tile), "a corner is in the grid: {options:?}");
            assert_eq!(grid.flip(grid.flip(tile)), tile);
            let extent = grid.tile_extent(tile);
            assert!(extent.min_x <= extent.max_x && extent.min_y <= extent.max_y, "{extent:?} {options:?}");
        }
        assert_eq!(grid.limit(TileCoord { x: columns, y: 0, z: level }), None);
    }
    let asked = numbers.extent();
    let size = (u32::from(numbers.byte()) + 1, u32::from(numbers.byte()) + 1);
    let resolution = map_resolution(&asked, size);
    if resolution.is_finite() && resolution > 0.0 {
        assert!(grid.closest_level(resolution) < grid.levels());
    }
    const TILES_MAX: usize = 500;
    if let Ok(affected) = grid.affected(&asked, size, &grid.srs, TILES_MAX) {
        let whole = u64::from(affected.columns) * u64::from(affected.rows);
        assert!(
            affected.tiles.len() as u64 <= whole && affected.tiles.len() <= TILES_MAX + 1,
            "{affected:?}"
        );
        assert!(affected.tiles.iter().flatten().all(|tile| grid.limit(*tile).is_some()), "{affected:?}");
    }
}

// ---- pictures and documents of upstreams ------------------------------------

/// Nothing is decoded beyond the limits.
fn image(input: &[u8]) {
    let limits = DecodeLimits { side_px_max: 2048, pixels_bytes_max: 1 << 20 };
    let Ok(raster) = rhumb::render::decode(input, &limits) else { return };
    let bytes = raster.width as usize * raster.height as usize * 4;
    assert!(
        bytes <= limits.pixels_bytes_max && raster.pixels.len() == bytes,
        "{}×{}",
        raster.width,
        raster.height
    );
    assert!(raster.width <= 2048 && raster.height <= 2048);
    assert!(!raster.opaque || !raster.has_alpha(), "called opaque and is not");
}

/// Documents of one or two sources are merged: by kind, and split in halves.
fn information(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let rest = &rest[..rest.len().min(INPUT_BYTES_MAX)];
    let kind = [InfoKind::Text, InfoKind::Html, InfoKind::Xml, InfoKind::Json][usize::from(first % 4)];
    let cut = rest.len() * usize::from(first / 4) / 64;
    let documents = [&rest[..cut], &rest[cut..]].map(|bytes| InfoDocument { kind, bytes: bytes.to_vec() });
    for part in [&documents[..1], &documents[..]] {
        if let Ok((text, Some(InfoKind::Json))) = combine(part, None)
            && !text.is_empty()
        {
            serde_json::from_str::<serde_json::Value>(&text).expect("merged JSON is JSON");
        }
    }
}

// ---- requests ---------------------------------------------------------------

/// A map with every service, of sources that are never asked: deciding how a
/// request is answered opens nothing.
static APP: LazyLock<App> = LazyLock::new(|| {
    let daemon_file = Path::new("/map/rhumb.yaml");
    let mut files = FileSet::holding(daemon_file, b"listen: [{http: '127.0.0.1:1'}]\n");
    files.hold(Path::new(MAP), include_bytes!("every_service.yaml"));
    let (daemon, findings) = rhumb::conf::daemon::load(daemon_file, &mut files);
    let mut daemon = daemon.unwrap_or_else(|| panic!("{findings:?}"));
    daemon.maps = Maps::File(MAP.into());
    rhumb::app::build(&daemon, &mut files).unwrap_or_else(|findings| panic!("{findings:?}"))
});

/// A path with its query, and a form: there is an answer, and nothing of the
/// request breaks out of its head.
fn request(input: &[u8]) {
    let text = String::from_utf8_lossy(&input[..input.len().min(INPUT_BYTES_MAX)]);
    let (target, form) = text.split_once('\n').unwrap_or((&text, ""));
    // As the codec lets it through.
    let target: String = target.chars().filter(|c| c.is_ascii_graphic()).collect();
    let (path, query) = url::split_target(&target);
    let request = Request {
        method: if form.is_empty() { Method::Get } else { Method::Post },
        path: format!("/{}", path.trim_start_matches('/')),
        query: query.to_owned(),
        scheme: "http",
        script_name: String::new(),
        headers: Headers(vec![
            ("Host".into(), "maps.test".into()),
            ("Content-Type".into(), "application/x-www-form-urlencoded".into()),
        ]),
        body: form.as_bytes().to_vec(),
        peer: None,
        remote_user: None,
        user: None,
    };
    if let Answer::Ready(response) = APP.site.answer(&request) {
        assert!((200..600).contains(&response.status), "{}", response.status);
        for (name, value) in &response.headers {
            assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
        }
    }
}
