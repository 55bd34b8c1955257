//! Where the time of one 512×512 map goes: reading, decoding, drawing, merging,
//! quantising, writing, each alone in one thread, on the tiles of `bench/run`;
//! beside it the whole GetMap as a worker does it, without the network.
//!
//!     map_parts MAPPROXY.YAML TILES
//!
//! Milliseconds for one map: the mean over a few dozen maps in one round, the
//! median of many rounds. Files lie in the page cache.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rhumb::app::{self, App};
use rhumb::conf::FileSet;
use rhumb::conf::daemon::{Daemon, Limits, LogFormat, LogOptions, LogTarget, Maps};
use rhumb::geo::{Extent, Srs};
use rhumb::plan::Turn;
use rhumb::render::{
    DecodeLimits, Format, ImageOptions, Kernel, Mosaic, Quantizer, Raster, decode, encode, merge, quant, warp,
};
use rhumb::service::Answer;
use rhumb::wire::{Headers, Method, Request};

const ROUNDS: usize = 15;
const MAPS: usize = 24;
const SIDE: u32 = 512;
const TILE: f64 = 256.0;
const LEVEL: u32 = 8;
const HALF_M: f64 = 20_037_508.342_789_244;

/// A kind of map: layers bottom to top with the extensions of their tiles.
struct Kind {
    name: &'static str,
    layers: &'static [(&'static str, &'static str)],
    format: Format,
    srs: &'static str,
}

const KINDS: &[Kind] = &[
    Kind { name: "map PNG", layers: &[("map", "png")], format: Format::Png, srs: "EPSG:3857" },
    Kind { name: "map JPEG", layers: &[("photo", "jpeg")], format: Format::Jpeg, srs: "EPSG:3857" },
    Kind {
        name: "two layers PNG",
        layers: &[("photo", "jpeg"), ("lines", "png")],
        format: Format::Png,
        srs: "EPSG:3857",
    },
    Kind { name: "EPSG:25832 JPEG", layers: &[("photo", "jpeg")], format: Format::Jpeg, srs: "EPSG:25832" },
    Kind { name: "EPSG:25832 PNG", layers: &[("map", "png")], format: Format::Png, srs: "EPSG:25832" },
];

/// The tiles of the level that a map touches.
struct Window {
    extent: Extent,
    columns: std::ops::RangeInclusive<u32>,
    rows: std::ops::RangeInclusive<u32>,
}

impl Window {
    fn new(extent: Extent, srs: &Srs, mercator: &Srs) -> Window {
        let there = srs.transform_extent(mercator, &extent).expect("inside of Europe");
        let tile_m = 2.0 * HALF_M / f64::from(1u32 << LEVEL);
        let at = |distance: f64| (distance / tile_m).floor() as u32;
        Window {
            extent,
            columns: at(there.min_x + HALF_M)..=at(there.max_x + HALF_M),
            rows: at(HALF_M - there.max_y)..=at(HALF_M - there.min_y),
        }
    }

    fn paths(&self, base: &Path, layer: &str, extension: &str) -> Vec<PathBuf> {
        let folder = base.join(format!("{layer}_cache_EPSG3857/{LEVEL}"));
        self.rows
            .clone()
            .flat_map(|row| self.columns.clone().map(move |column| (column, row)))
            .map(|(column, row)| folder.join(format!("{column}/{row}.{extension}")))
            .collect()
    }

    fn tiles_extent(&self) -> Extent {
        let tile_m = 2.0 * HALF_M / f64::from(1u32 << LEVEL);
        Extent::new(
            f64::from(*self.columns.start()) * tile_m - HALF_M,
            HALF_M - f64::from(self.rows.end() + 1) * tile_m,
            f64::from(self.columns.end() + 1) * tile_m - HALF_M,
            HALF_M - f64::from(*self.rows.start()) * tile_m,
        )
    }
}

/// Maps about central Europe at 1.3 times the level's resolution, nowhere aligned with it.
fn windows(kind: &Kind) -> Vec<Window> {
    let (srs, mercator) =
        (Srs::parse(kind.srs).expect("a known system"), Srs::parse("EPSG:3857").expect("mercator"));
    let res = 2.0 * HALF_M / f64::from(1u32 << LEVEL) / TILE * 1.3;
    let (res, west, south) = match kind.srs {
        "EPSG:25832" => (res * 0.62, 100_000.0, 4_900_000.0),
        _ => (res, 500_000.0, 5_300_000.0),
    };
    (0..MAPS)
        .map(|number| {
            let x = west + (number % 6) as f64 * 141_357.3;
            let y = south + (number / 6) as f64 * 237_119.7;
            let side_m = res * f64::from(SIDE);
            Window::new(Extent::new(x, y, x + side_m, y + side_m), &srs, &mercator)
        })
        .collect()
}

/// Milliseconds of each part for one map.
#[derive(Default, Clone, Copy)]
struct Parts {
    read: f64,
    decode: f64,
    draw: f64,
    merge: f64,
    quantise: f64,
    write: f64,
}

impl Parts {
    fn all(&self) -> [f64; 6] {
        [self.read, self.decode, self.draw, self.merge, self.quantise, self.write]
    }
}

fn timed<T>(into: &mut f64, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = black_box(work());
    *into += began.elapsed().as_secs_f64() * 1e3 / MAPS as f64;
    result
}

fn draw_layer(parts: &mut Parts, base: &Path, window: &Window, kind: &Kind, layer: (&str, &str)) -> Raster {
    let paths = window.paths(base, layer.0, layer.1);
    let limits = DecodeLimits::default();
    let files: Vec<Vec<u8>> = timed(&mut parts.read, || {
        paths
            .iter()
            .map(|path| std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
            .collect()
    });
    let tiles = timed(&mut parts.decode, || {
        files.iter().map(|file| Some(Arc::new(decode(file, &limits).expect("a whole tile")))).collect()
    });
    let mosaic = Mosaic {
        tile_size: (256, 256),
        columns: window.columns.end() - window.columns.start() + 1,
        rows: window.rows.end() - window.rows.start() + 1,
        tiles,
        background: [255, 255, 255, 0],
    };
    let target = warp::Target {
        extent: window.extent,
        size: (SIDE, SIDE),
        srs: Srs::parse(kind.srs).expect("a known system"),
    };
    let mercator = Srs::parse("EPSG:3857").expect("mercator");
    timed(&mut parts.draw, || {
        warp::draw(&mosaic, &window.tiles_extent(), &mercator, &target, Kernel::Bicubic)
    })
}

fn one_round(base: &Path, kind: &Kind, windows: &[Window]) -> Parts {
    let mut parts = Parts::default();
    for window in windows {
        let mut drawn = kind
            .layers
            .iter()
            .map(|&layer| draw_layer(&mut parts, base, window, kind, layer))
            .collect::<Vec<_>>();
        let mut map = drawn.remove(0);
        for upper in &drawn {
            timed(&mut parts.merge, || merge::over(&mut map, upper, (0, 0), None));
        }
        let mut options = ImageOptions::new(kind.format);
        options.transparent = Some(false);
        let mut quantised = 0.0;
        if kind.format == Format::Png {
            timed(&mut quantised, || quant::quantize(&map, 256, Quantizer::FastOctree));
        }
        parts.quantise += quantised;
        timed(&mut parts.write, || encode(&map, &options, None).expect("a map"));
        // Writing a PNG quantises too; what is left is filter and deflate.
        parts.write -= quantised;
    }
    parts
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The application of a worker, with a memory tier of that size.
fn application(map: &Path, cache_memory_bytes: usize) -> App {
    let daemon = Daemon {
        file: None,
        maps: Maps::File(map.to_owned()),
        listen: Vec::new(),
        workers: None,
        user: None,
        group: None,
        pid_file: None,
        control: None,
        admin: None,
        log: LogOptions { access: LogTarget::Off, error: LogTarget::Stderr, format: LogFormat::Human },
        fsync: rhumb::conf::daemon::Fsync::None,
        limits: Limits { cache_memory_bytes, ..Limits::default() },
        proxies: None,
        auth: None,
        decorate: Vec::new(),
        watch: false,
        allow_listing: false,
    };
    match app::build(&daemon, &mut FileSet::reading()) {
        Ok(app) => app,
        Err(findings) => panic!("{findings:?}"),
    }
}

fn get_map(app: &App, kind: &Kind, window: &Window) {
    let layers: Vec<&str> = kind.layers.iter().map(|(name, _)| *name).collect();
    let [x0, y0, x1, y1] = window.extent.to_array();
    let request = Request {
        method: Method::Get,
        path: "/service".into(),
        query: format!(
            "SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS={}&STYLES=&SRS={}&BBOX={x0},{y0},{x1},{y1}&WIDTH={SIDE}&HEIGHT={SIDE}&FORMAT={}",
            layers.join(","),
            kind.srs,
            kind.format.mime(),
        ),
        scheme: "http",
        script_name: String::new(),
        headers: Headers::default(),
        body: Vec::new(),
        peer: None,
        remote_user: None,
        user: None,
    };
    let response = match app.site.answer(&request) {
        Answer::Work(work) => work(&Turn::ungated()),
        Answer::Ready(response) => response,
        Answer::StoredTile(_) => panic!("a map is no tile"),
    };
    let text = String::from_utf8_lossy(response.body.as_slice());
    assert!(response.status == 200 && !text.contains("Exception"), "{}: {text}", request.query);
    black_box(response);
}

/// Milliseconds of one whole map.
fn whole(app: &App, kind: &Kind, windows: &[Window]) -> f64 {
    let mut spent = 0.0;
    for window in windows {
        timed(&mut spent, || get_map(app, kind, window));
    }
    spent
}

fn main() {
    let arguments: Vec<PathBuf> =
        std::env::args_os().skip(1).filter(|a| a != "--bench").map(PathBuf::from).collect();
    let [map, base] = arguments.as_slice() else {
        eprintln!("usage: map_parts MAPPROXY.YAML TILES (bench/run starts it)");
        return;
    };
    let (plain, remembering) = (application(map, 0), application(map, 256 << 20));
    println!(
        "| 512×512 map, ms | tiles | read | decode | resample or warp | merge | quantise | write | sum | whole GetMap | over the sum | tiles in memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for kind in KINDS {
        let windows = windows(kind);
        let tiles: usize = windows.iter().map(|w| w.columns.clone().count() * w.rows.clone().count()).sum();
        let (mut rounds, mut wholes, mut remembered) = (Vec::new(), Vec::new(), Vec::new());
        whole(&remembering, kind, &windows);
        for _ in 0..ROUNDS {
            rounds.push(one_round(base, kind, &windows));
            wholes.push(whole(&plain, kind, &windows));
            remembered.push(whole(&remembering, kind, &windows));
        }
        let parts: Vec<f64> = (0..6).map(|at| median(rounds.iter().map(|r| r.all()[at]).collect())).collect();
        let sum: f64 = parts.iter().sum();
        let whole = median(wholes);
        let cells: Vec<String> = parts.iter().map(|ms| format!("{ms:.2}")).collect();
        println!(
            "| {} | {:.1} | {} | {sum:.2} | {whole:.2} | {:.2}× | {:.2} |",
            kind.name,
            tiles as f64 / MAPS as f64 * kind.layers.len() as f64,
            cells.join(" | "),
            whole / sum,
            median(remembered),
        );
    }
}
