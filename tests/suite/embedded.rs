//! The map inside the binary shows the right place in whatever system it is
//! asked for. The positions below were computed once with cs2cs; nothing of
//! the daemon's own geometry has a part in them.

use crate::harness::TestDir;
use crate::harness::daemon::{Daemon, Setup};

const WATER: [u8; 3] = [170, 206, 224];
/// Graticules darken the water a little.
const WATER_TOLERANCE: u8 = 16;
/// All tints of land have more red than this; borders and letters have less.
const LAND_RED_MIN: u8 = 220;
/// Pixels around a position that are looked at.
const REACH_PX: i64 = 2;
const WIDTH_PX: u32 = 900;

/// Places and whether they are land, in the order of [`System::points`].
const PLACES: [(&str, bool); 12] = [
    ("Berlin", true),
    ("Zürich", true),
    ("west of London", true),
    ("Paris", true),
    ("Lyon", true),
    ("Derbyshire", true),
    ("the North Sea", false),
    ("the Ligurian Sea", false),
    ("the Bay of Biscay", false),
    ("the Irish Sea", false),
    ("the Baltic off Bornholm", false),
    ("the English Channel", false),
];

struct System {
    code: &'static str,
    /// WMS 1.3.0 wants the northing first.
    north_first: bool,
    /// West, south, east, north.
    extent: [f64; 4],
    /// East and north of each of [`PLACES`].
    points: [[f64; 2]; 12],
}

const SYSTEMS: [System; 6] = [
    System {
        code: "EPSG:3857",
        north_first: false,
        extent: [-650_000.0, 5_310_000.0, 1_850_000.0, 7_550_000.0],
        points: [
            [1_491_681.0, 6_894_700.0],
            [951_782.0, 6_002_678.0],
            [-66_792.0, 6_710_219.0],
            [261_601.0, 6_249_448.0],
            [537_673.0, 5_741_972.0],
            [-222_639.0, 7_020_079.0],
            [389_618.0, 7_459_517.0],
            [979_612.0, 5_403_748.0],
            [-556_597.0, 5_780_349.0],
            [-545_466.0, 7_113_543.0],
            [1_758_848.0, 7_420_309.0],
            [-445_278.0, 6_360_131.0],
        ],
    },
    System {
        code: "EPSG:4326",
        north_first: true,
        extent: [-5.80, 42.80, 16.60, 56.30],
        points: [
            [13.40, 52.52],
            [8.55, 47.37],
            [-0.60, 51.50],
            [2.35, 48.85],
            [4.83, 45.76],
            [-2.00, 53.20],
            [3.50, 55.50],
            [8.80, 43.60],
            [-5.00, 46.00],
            [-4.90, 53.70],
            [15.80, 55.30],
            [-4.00, 49.50],
        ],
    },
    System {
        code: "EPSG:25832",
        north_first: false,
        extent: [-670_000.0, 4_740_000.0, 1_020_000.0, 6_250_000.0],
        points: [
            [798_474.0, 5_827_979.0],
            [466_025.0, 5_246_380.0],
            [-165_650.0, 5_749_254.0],
            [12_291.0, 5_432_138.0],
            [175_721.0, 5_075_844.0],
            [-233_502.0, 5_951_200.0],
            [152_753.0, 6_164_186.0],
            [483_858.0, 4_827_467.0],
            [-583_592.0, 5_190_223.0],
            [-414_910.0, 6_040_340.0],
            [931_376.0, 6_149_262.0],
            [-439_978.0, 5_564_777.0],
        ],
    },
    System {
        code: "EPSG:3035",
        north_first: true,
        extent: [3_080_000.0, 2_190_000.0, 4_780_000.0, 3_710_000.0],
        points: [
            [4_551_697.0, 3_273_252.0],
            [4_211_411.0, 2_696_228.0],
            [3_587_916.0, 3_207_730.0],
            [3_760_537.0, 2_888_771.0],
            [3_918_607.0, 2_530_342.0],
            [3_523_251.0, 3_409_706.0],
            [3_910_657.0, 3_618_012.0],
            [4_223_868.0, 2_277_573.0],
            [3_166_587.0, 2_660_004.0],
            [3_344_812.0, 3_500_091.0],
            [4_689_104.0, 3_592_045.0],
            [3_313_745.0, 3_028_282.0],
        ],
    },
    System {
        code: "EPSG:2056",
        north_first: false,
        extent: [1_550_000.0, 740_000.0, 3_230_000.0, 2_250_000.0],
        points: [
            [3_006_216.0, 1_835_890.0],
            [2_683_942.0, 1_247_167.0],
            [2_040_955.0, 1_735_205.0],
            [2_226_589.0, 1_423_308.0],
            [2_397_046.0, 1_070_970.0],
            [1_966_901.0, 1_934_820.0],
            [2_348_411.0, 2_161_028.0],
            [2_710_099.0, 828_312.0],
            [1_640_391.0, 1_170_426.0],
            [1_782_500.0, 2_017_318.0],
            [3_135_850.0, 2_161_010.0],
            [1_773_418.0, 1_543_920.0],
        ],
    },
    System {
        code: "EPSG:27700",
        north_first: false,
        extent: [80_000.0, -730_000.0, 1_610_000.0, 840_000.0],
        points: [
            [1_441_428.0, 403_632.0],
            [1_196_050.0, -226_941.0],
            [497_275.0, 178_825.0],
            [719_053.0, -107_545.0],
            [931_060.0, -437_313.0],
            [400_097.0, 366_991.0],
            [747_213.0, 636_666.0],
            [1_271_829.0, -642_946.0],
            [167_729.0, -429_004.0],
            [208_658.0, 426_525.0],
            [1_523_373.0, 746_052.0],
            [255_203.0, -42_498.0],
        ],
    },
];

impl System {
    fn height_px(&self) -> u32 {
        let [west, south, east, north] = self.extent;
        ((north - south) / (east - west) * f64::from(WIDTH_PX)).round() as u32
    }

    fn target(&self, version: &str) -> String {
        let [west, south, east, north] = self.extent;
        let (srs, bbox) = match version {
            "1.3.0" if self.north_first => ("CRS", [south, west, north, east]),
            "1.3.0" => ("CRS", self.extent),
            _ => ("SRS", self.extent),
        };
        let bbox = bbox.map(|edge| edge.to_string()).join(",");
        format!(
            "/service?SERVICE=WMS&REQUEST=GetMap&VERSION={version}&LAYERS=world&STYLES=&{srs}={}&BBOX={bbox}\
             &WIDTH={WIDTH_PX}&HEIGHT={}&FORMAT=image/png",
            self.code,
            self.height_px()
        )
    }
}

/// What is seen around a position: `Some(true)` for land alone.
fn seen(raster: &rhumb::render::Raster, x: i64, y: i64) -> Option<bool> {
    let (mut land, mut water) = (0, 0);
    for row in y - REACH_PX..=y + REACH_PX {
        for column in x - REACH_PX..=x + REACH_PX {
            let at = (row * i64::from(raster.width) + column) as usize * 4;
            let pixel = raster.pixels.get(at..at + 3)?;
            let is_water = pixel.iter().zip(WATER).all(|(&a, b)| a.abs_diff(b) <= WATER_TOLERANCE);
            water += u32::from(is_water);
            land += u32::from(pixel[0] >= LAND_RED_MIN);
        }
    }
    match (land, water) {
        (1.., 0) => Some(true),
        (0, 1..) => Some(false),
        _ => None,
    }
}

fn check(daemon: &Daemon, system: &System, version: &str, wrong: &mut Vec<String>) {
    let reply = daemon.get(&system.target(version));
    let what = format!("{} in {version}", system.code);
    assert_eq!((reply.status, reply.content_type()), (200, "image/png"), "{what}: {}", reply.text());
    let raster = rhumb::render::decode(&reply.body, &rhumb::render::DecodeLimits::default())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((raster.width, raster.height), (WIDTH_PX, system.height_px()), "{what}");
    let [west, _, east, north] = system.extent;
    let resolution = (east - west) / f64::from(WIDTH_PX);
    for ((place, is_land), [x, y]) in PLACES.iter().zip(system.points) {
        let (column, row) = (((x - west) / resolution) as i64, ((north - y) / resolution) as i64);
        let seen = seen(&raster, column, row);
        if seen != Some(*is_land) {
            wrong.push(format!("{what}: {place} at {column}, {row}: land is {seen:?}, not {is_land}"));
        }
    }
}

#[test]
fn the_world_lies_right_in_six_systems() {
    let dir = TestDir::new("embedded-systems");
    let daemon = Setup::embedded(&dir).start();
    let mut wrong = Vec::new();
    for system in &SYSTEMS {
        for version in ["1.1.1", "1.3.0"] {
            check(&daemon, system, version, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    daemon.stop();
}

#[test]
fn systems_that_no_list_names_are_drawn_too() {
    let dir = TestDir::new("embedded-any");
    let daemon = Setup::embedded(&dir).start();
    // Belgian Lambert 2008 around Brussels, Fiji's map grid, UTM far in the south.
    for (code, bbox) in [
        ("EPSG:3812", "550000,550000,750000,750000"),
        ("EPSG:3460", "1800000,3800000,2200000,4200000"),
        ("EPSG:32719", "200000,5000000,900000,7000000"),
    ] {
        let reply = daemon.get(&format!(
            "/service?SERVICE=WMS&REQUEST=GetMap&VERSION=1.1.1&LAYERS=world&STYLES=&SRS={code}&BBOX={bbox}\
             &WIDTH=200&HEIGHT=200&FORMAT=image/png"
        ));
        assert_eq!((reply.status, reply.content_type()), (200, "image/png"), "{code}: {}", reply.text());
    }
    let reply = daemon.get(
        "/service?SERVICE=WMS&REQUEST=GetMap&VERSION=1.1.1&LAYERS=world&STYLES=&SRS=EPSG:999999&BBOX=0,0,1,1\
         &WIDTH=20&HEIGHT=20&FORMAT=image/png",
    );
    assert!(reply.text().contains("InvalidSRS"), "{}", reply.text());
    daemon.stop();
}
