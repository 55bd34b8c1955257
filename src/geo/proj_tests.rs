//! libproj behind its face: against itself by another way, and against the
//! `cs2cs` program where there is one of the same version.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::geo::Srs;
use crate::geo::mercator;

/// How many systems each run draws.
const DRAWN: usize = 20;

/// A small generator whose whole state is the seed (Steele's SplitMix).
struct Draw(u64);

impl Draw {
    /// From `RHUMB_SEED`, else new in each run; printed either way.
    fn new(test: &str) -> Draw {
        use std::hash::BuildHasher;
        let given = std::env::var("RHUMB_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0) % 1_000_000_007);
        println!("{test}: RHUMB_SEED={seed}");
        Draw(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// Positions within an area, and near, on and past each of its edges.
fn probes(draw: &mut Draw, area: &Extent) -> Vec<[f64; 2]> {
    let mut all: Vec<[f64; 2]> = (0..40)
        .map(|_| [draw.between(area.min_x, area.max_x), draw.between(area.min_y, area.max_y)])
        .collect();
    for off in [-1.0, -1e-7, 0.0, 1e-7, 0.5, 8.0] {
        let along = draw.between(0.0, 1.0);
        let (x, y) = (area.min_x + along * area.width(), area.min_y + along * area.height());
        all.extend([
            [area.min_x - off, y],
            [area.max_x + off, y],
            [x, area.min_y - off],
            [x, area.max_y + off],
        ]);
        all.extend([[area.min_x - off, area.min_y - off], [area.max_x + off, area.max_y + off]]);
    }
    all
}

fn assert_same(ours: &[[f64; 2]], theirs: &[[f64; 2]], tolerance: f64, what: &str) {
    for (a, b) in ours.iter().zip(theirs) {
        let image = b[0].is_finite() && b[1].is_finite();
        if image {
            let far = (a[0] - b[0]).abs().max((a[1] - b[1]).abs());
            assert!(far <= tolerance, "{what}: {a:?} is not {b:?}");
        } else {
            assert_eq!(*a, [f64::INFINITY; 2], "{what}: {b:?}");
        }
    }
}

#[test]
fn drawn_systems_carry_positions_as_proj_does() {
    let Some(codes) = codes(c"EPSG") else {
        println!("PROJ not compared: {}", engine());
        return;
    };
    assert!(codes.len() > 3000, "{}", codes.len());
    let mut draw = Draw::new("drawn systems");
    let (degrees, mercator) = (Srs::parse("EPSG:4326").unwrap(), Srs::parse("EPSG:3857").unwrap());
    let mut compared = 0;
    for _ in 0..DRAWN {
        let key = format!("EPSG:{}", codes[draw.next() as usize % codes.len()]);
        let srs = Srs::parse(&key).unwrap_or_else(|e| panic!("{e}"));
        // Between these two we reckon ourselves, to a micrometre, which has a test of its own.
        if srs == degrees || srs == mercator {
            continue;
        }
        let Some(area) = srs.area_of_use() else { continue };
        let mut start = probes(&mut draw, &area);
        let mut on_earth = start.clone();
        on_earth.iter_mut().for_each(|p| p[1] = p[1].clamp(-90.0, 90.0));
        start.append(&mut on_earth);
        let (mut ours, mut theirs) = (start.clone(), start);
        degrees.transform_points(&srs, &mut ours);
        if !reference("EPSG:4326", &key, &mut theirs) {
            // A few systems are in the database whose projection PROJ cannot reckon.
            println!("no positions in {key}");
            assert!(ours.iter().all(|p| *p == [f64::INFINITY; 2]), "{key}");
            continue;
        }
        assert_same(&ours, &theirs, 0.0, &key);
        compared += ours.iter().filter(|p| p[0].is_finite()).count();
        for (target, name) in [(&degrees, "EPSG:4326"), (&mercator, "EPSG:3857")] {
            let (mut ours, mut theirs) = (ours.clone(), ours.clone());
            srs.transform_points(target, &mut ours);
            assert!(reference(&key, name, &mut theirs), "{key}");
            assert_same(&ours, &theirs, 0.0, &format!("{key} to {name}"));
        }
    }
    assert!(compared > DRAWN * 20, "{compared}");
}

/// What `cs2cs` says; `None` where there is no such program of our version.
fn cs2cs(target: &str, longitudes_latitudes: &[[f64; 2]]) -> Option<Vec<[f64; 2]>> {
    let version = engine();
    let version = version.strip_prefix("PROJ ")?.split(',').next()?;
    let usage = Command::new("cs2cs").output().ok()?;
    if !String::from_utf8_lossy(&usage.stderr).contains(version) {
        return None;
    }
    let mut program = Command::new("cs2cs")
        .args(["-f", "%.12f", "EPSG:4326", target])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let lines: String = longitudes_latitudes.iter().map(|[x, y]| format!("{y:.17} {x:.17}\n")).collect();
    program.stdin.take()?.write_all(lines.as_bytes()).ok()?;
    let output = program.wait_with_output().ok()?;
    let number = |t: Option<&str>| t.and_then(|t| t.parse().ok()).unwrap_or(f64::INFINITY);
    let read = |line: &str| {
        let mut parts = line.split_whitespace();
        [number(parts.next()), number(parts.next())]
    };
    Some(String::from_utf8_lossy(&output.stdout).lines().map(read).collect())
}

#[test]
fn positions_are_those_of_the_cs2cs_program() {
    let mut draw = Draw::new("cs2cs");
    for (code, swapped) in [
        ("EPSG:25832", false),
        ("EPSG:31467", true),
        ("EPSG:3035", true),
        ("EPSG:27700", false),
        ("EPSG:2056", false),
    ] {
        let Ok(srs) = Srs::parse(code) else {
            println!("not compared: {}", engine());
            return;
        };
        assert_eq!(srs.is_axis_order_ne(), swapped, "{code}");
        let start = probes(&mut draw, &srs.area_of_use().expect("an area"));
        let Some(mut theirs) = cs2cs(code, &start) else {
            println!("no cs2cs of the version of {}", engine());
            return;
        };
        if swapped {
            theirs.iter_mut().for_each(|p| p.swap(0, 1));
        }
        let mut ours = start.clone();
        Srs::parse("EPSG:4326").unwrap().transform_points(&srs, &mut ours);
        assert_eq!(ours.len(), theirs.len());
        assert_same(&ours, &theirs, 1e-6, code);
    }
}

#[test]
fn closed_forms_are_within_a_micrometre_of_proj() {
    let mut draw = Draw::new("closed forms");
    let mut degrees: Vec<[f64; 2]> = vec![
        [0.0, 0.0],
        [180.0, 0.0],
        [-180.0, 0.0],
        [180.0 + 1e-10, 10.0],
        [190.0, 5.0],
        [-190.0, 5.0],
        [360.0, 1.0],
        [540.0, -1.0],
        [572.0, 1.0],
        [573.0, 1.0],
        [-573.0, 1.0],
        [0.0, 90.0],
        [0.0, -90.0],
        [0.0, 89.9999999],
        [10.0, 90.0 + 1e-11],
        [10.0, 90.001],
        [10.0, -95.0],
        [f64::INFINITY, 0.0],
        [0.0, f64::NAN],
        [f64::NAN, 0.0],
        [10.0, 85.06],
        [10.0, 85.051128779806],
        [10.0, -85.06],
    ];
    degrees.extend((0..5000).map(|_| [draw.between(-200.0, 200.0), draw.between(-89.9, 89.9)]));
    let mut theirs = degrees.clone();
    if !reference("EPSG:4326", "EPSG:3857", &mut theirs) {
        println!("not compared: {}", engine());
        return;
    }
    let mut ours = degrees.clone();
    ours.iter_mut().for_each(mercator::from_degrees);
    assert_same(&ours, &theirs, 1e-6, "degrees to metres");

    let mut metres: Vec<[f64; 2]> = vec![
        [20037508.342789244, 20037508.342789244],
        [-20037508.342789244, 0.0],
        [20037508.35, 1.0],
        [-2.1e8, 5.0],
        [1e9, 1e9],
        [0.0, 1e12],
        [0.0, -1e300],
        [f64::NAN, 0.0],
        [0.0, f64::INFINITY],
    ];
    metres.extend((0..5000).map(|_| [draw.between(-3e7, 3e7), draw.between(-4e7, 4e7)]));
    let mut theirs = metres.clone();
    assert!(reference("EPSG:3857", "EPSG:4326", &mut theirs));
    metres.iter_mut().for_each(mercator::to_degrees);
    // A micrometre on the equator.
    assert_same(&metres, &theirs, 8.9e-12, "metres to degrees");
}

#[test]
fn a_thread_keeps_a_bounded_number_of_transformations() {
    let keys: Vec<String> = (1..=60).chain(101..=120).map(|zone| format!("EPSG:{}", 32600 + zone)).collect();
    let count = with_engine(|engine| {
        for key in &keys {
            engine.transform("EPSG:4326", key, &mut [[9.0, 50.0]]);
        }
        engine.transform("EPSG:4326", &keys[79], &mut []);
        engine.transformers.len()
    });
    if let Ok(count) = count {
        assert_eq!(count, TRANSFORMERS_PER_THREAD_MAX);
    }
}

#[test]
fn the_data_directory_comes_first_or_not_at_all() {
    let _ = engine();
    assert_eq!(set_data_dir(Path::new("/nowhere/to/be/found")), Err(DataDirError::Late));
    assert_eq!(set_data_dir(Path::new("a\0b")), Err(DataDirError::Path));
}

#[test]
fn threads_share_nothing() {
    let expected = {
        let mut points = [[9.5, 51.5]];
        transform("EPSG:4326", "EPSG:25832", &mut points);
        points
    };
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let mut points = [[9.5, 51.5]];
                    transform("EPSG:4326", "EPSG:25832", &mut points);
                    assert_eq!(points, expected);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
}
