//! Requests to every service: right ones, and right ones with one or two
//! things changed, dropped, repeated or written in odd case.

use std::fmt;

use crate::harness::Random;

/// One request.
pub struct Asked {
    pub target: String,
    /// Sent as the form of a POST.
    pub form: Option<String>,
    /// Names of the parameters (or `path`) that were tampered with, in lower case.
    pub changed: Vec<String>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Some(form) => write!(f, "POST {} with {form}", self.target)?,
            None => write!(f, "{}", self.target)?,
        }
        write!(f, " (changed: {})", self.changed.join(", "))
    }
}

impl Asked {
    /// A request as it should be.
    pub fn get(target: String) -> Asked {
        Asked { target, form: None, changed: Vec::new() }
    }

    /// Whether a parameter (lower case) has this value, among others perhaps.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.values(name).any(|given| given == escape(value))
    }

    /// The first value of a parameter, decoded where it has no `%`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All values of a parameter, in their order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether a failure is to be told as an image.
    pub fn wants_images(&self) -> bool {
        let query = self.target.to_lowercase();
        query.split('&').any(|pair| {
            pair.split_once("exceptions=")
                .is_some_and(|(_, kind)| kind.contains("image") || kind.contains("blank"))
        })
    }

    /// Whether the operation of a WMS or WMTS is one of maps, info or legend.
    pub fn is(&self, operation: &str) -> bool {
        self.value("request").is_some_and(|request| request.to_lowercase().contains(operation))
    }

    /// The request as it is sent.
    pub fn bytes(&self) -> String {
        match &self.form {
            Some(form) => format!(
                "POST {} HTTP/1.1\r\nHost: maps.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                self.target,
                form.len()
            ),
            None => format!("GET {} HTTP/1.1\r\nHost: maps.test\r\n\r\n", self.target),
        }
    }
}

/// A random request to a random service.
pub fn request(random: &mut Random) -> Asked {
    match random.between(0, 20) {
        0..5 => pairs(random, map_pairs),
        5..9 => pairs(random, info_pairs),
        9..11 => pairs(random, legend_pairs),
        11 => pairs(random, capabilities_pairs),
        12..14 => pairs(random, tile_pairs),
        14 => pairs(random, tile_info_pairs),
        _ => path_request(random),
    }
}

/// One of a list of texts.
fn one_of<'a>(random: &mut Random, list: &[&'a str]) -> &'a str {
    list[random.between(0, list.len() as i64) as usize]
}

/// Names and values in order.
type Pairs = Vec<(String, String)>;

fn owned(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "1.1.1", "1.3.0"];

/// Code, whether north comes first in 1.3.0, and a place inside.
const PLACES: &[(&str, bool, [&str; 4])] = &[
    ("EPSG:4326", true, ["8", "50", "10", "52"]),
    ("EPSG:3857", false, ["890555.9", "6446275.8", "1113194.9", "6800125.4"]),
    ("EPSG:900913", false, ["890555.9", "6446275.8", "1113194.9", "6800125.4"]),
    ("EPSG:25832", false, ["500000", "5600000", "640000", "5670000"]),
    ("CRS:84", false, ["8", "50", "10", "52"]),
];

const LAYERS: &[&str] = &[
    "text",
    "pages",
    "xmls",
    "jsons",
    "mixed",
    "moved",
    "covered",
    "formatted",
    "styled",
    "cached",
    "arc",
    "mute",
    "legends",
    "one",
    "fixed",
    "named",
    "group",
    "inner",
    "silent",
    "described",
    "tree",
    "leaf",
    "deep",
    "merc",
    "web",
    "utm",
    "geo",
    "mixed_tiles",
    "text,mute",
    "mute,text",
    "group,one",
    "xmls,jsons",
    "pages,xmls",
    "text,text",
];

const LAYERS_BAD: &[&str] = &[
    "",
    "nowhere",
    "text,nowhere",
    "text,,mute",
    "TEXT",
    "text,",
    ",",
    "a<b>&\"c'",
    "ä€",
    "text mute",
    "faulty",
];

fn head(version: &str, request: &str) -> Pairs {
    match version {
        "1.0.0" => owned(&[("WMTVER", "1.0.0"), ("REQUEST", request)]),
        _ => owned(&[("SERVICE", "WMS"), ("VERSION", version), ("REQUEST", request)]),
    }
}

/// What a map is described by, in the words of a version.
fn picture_pairs(random: &mut Random, version: &str, layers: &str) -> Pairs {
    let (code, is_north_first, [west, south, east, north]) = random.pick(PLACES);
    let (name, bbox) = match version {
        "1.3.0" if *is_north_first => ("CRS", format!("{south},{west},{north},{east}")),
        "1.3.0" => ("CRS", format!("{west},{south},{east},{north}")),
        _ => ("SRS", format!("{west},{south},{east},{north}")),
    };
    owned(&[
        ("LAYERS", layers),
        ("STYLES", ""),
        (name, code),
        ("BBOX", &bbox),
        ("WIDTH", "160"),
        ("HEIGHT", "80"),
    ])
}

fn image_format(random: &mut Random, version: &str) -> &'static str {
    match version {
        "1.0.0" => one_of(random, &["PNG", "JPEG", "image/png", "GIF", "TIFF"]),
        _ => one_of(random, &["image/png", "image/png", "image/jpeg", "image/gif", "image/tiff"]),
    }
}

fn map_pairs(random: &mut Random) -> Pairs {
    let version = *random.pick(&VERSIONS);
    let mut pairs = head(version, if version == "1.0.0" { "map" } else { "GetMap" });
    let layers = *random.pick(LAYERS);
    pairs.extend(picture_pairs(random, version, layers));
    pairs.extend(owned(&[("FORMAT", image_format(random, version))]));
    for (name, values) in MAP_OPTIONS {
        if random.between(0, 4) == 0 {
            pairs.extend(owned(&[(name, one_of(random, values))]));
        }
    }
    pairs
}

const MAP_OPTIONS: &[(&str, &[&str])] = &[
    ("TRANSPARENT", &["TRUE", "true", "FALSE", "yes", ""]),
    ("BGCOLOR", &["0xff0000", "0XF0EA42", "0xffffff"]),
    ("EXCEPTIONS", EXCEPTIONS),
    ("TIME", &["2020-01-01", "2020-01-02", "default", ""]),
    ("ELEVATION", &["0", "100"]),
    ("DIM_REFERENCE", &["a", "b c"]),
    ("ANGLE", &["30"]),
];

const EXCEPTIONS: &[&str] = &[
    "application/vnd.ogc.se_xml",
    "application/vnd.ogc.se_inimage",
    "application/vnd.ogc.se_blank",
    "INIMAGE",
    "BLANK",
    "blank",
    "XML",
    "nothing",
    "",
];

fn info_pairs(random: &mut Random) -> Pairs {
    let version = *random.pick(&VERSIONS);
    let mut pairs = head(version, if version == "1.0.0" { "feature_info" } else { "GetFeatureInfo" });
    let layers = *random.pick(LAYERS);
    pairs.extend(picture_pairs(random, version, layers));
    let (x, y) = if version == "1.3.0" { ("I", "J") } else { ("X", "Y") };
    let queried = if random.between(0, 5) == 0 { *random.pick(LAYERS) } else { layers };
    pairs.extend(owned(&[("QUERY_LAYERS", queried), (x, "150"), (y, "20")]));
    for (name, values) in INFO_OPTIONS {
        if random.between(0, 3) == 0 {
            pairs.extend(owned(&[(name, one_of(random, values))]));
        }
    }
    pairs
}

const INFO_OPTIONS: &[(&str, &[&str])] = &[
    ("FORMAT", &["image/png", "image/jpeg"]),
    ("INFO_FORMAT", INFO_FORMATS),
    ("FEATURE_COUNT", &["1", "5"]),
    ("EXCEPTIONS", EXCEPTIONS),
];

const INFO_FORMATS: &[&str] = &[
    "text/plain",
    "text/html",
    "text/xml",
    "application/vnd.ogc.gml",
    "application/json",
    "application/geo+json",
    "image/png",
    "junk",
    "",
];

fn legend_pairs(random: &mut Random) -> Pairs {
    let version = *random.pick(&VERSIONS);
    let mut pairs = head(version, "GetLegendGraphic");
    let layer = *random.pick(&[
        "legends",
        "fixed",
        "named",
        "one",
        "mute",
        "described",
        "group",
        "tree",
        "deep",
        "cached",
    ]);
    pairs.extend(owned(&[
        ("LAYER", layer),
        ("FORMAT", one_of(random, &["image/png", "image/jpeg", "image/gif", "application/json"])),
    ]));
    for (name, values) in LEGEND_OPTIONS {
        if random.between(0, 3) == 0 {
            pairs.extend(owned(&[(name, one_of(random, values))]));
        }
    }
    pairs
}

const LEGEND_OPTIONS: &[(&str, &[&str])] = &[
    ("SLD_VERSION", &["1.1.0"]),
    ("SCALE", &["5", "2.5"]),
    ("STYLE", &["", "x"]),
    ("EXCEPTIONS", EXCEPTIONS),
];

fn capabilities_pairs(random: &mut Random) -> Pairs {
    if random.between(0, 5) == 0 {
        return owned(&[("SERVICE", "WMTS"), ("VERSION", "1.0.0"), ("REQUEST", "GetCapabilities")]);
    }
    let version = *random.pick(&VERSIONS);
    let mut pairs = head(version, if version == "1.0.0" { "capabilities" } else { "GetCapabilities" });
    if random.between(0, 3) == 0 {
        pairs.extend(owned(&[("TILED", one_of(random, &["true", "TRUE", "false", "1"]))]));
    }
    pairs
}

/// Layer, tile matrix set, format.
const MATRICES: &[(&str, &str, &str)] = &[
    ("cached", "GLOBAL_WEBMERCATOR", "png"),
    ("informed", "GLOBAL_MERCATOR", "png"),
    ("merc", "GLOBAL_MERCATOR", "png"),
    ("merc", "geodetic_nw", "png"),
    ("web", "GLOBAL_WEBMERCATOR", "jpeg"),
    ("utm", "utm32", "png"),
    ("geo", "GLOBAL_GEODETIC", "png"),
    ("mixed_tiles", "GLOBAL_WEBMERCATOR", "png"),
];

/// Matrix, column and row: mostly inside.
const TILES: &[(&str, &str, &str)] = &[
    ("03", "4", "2"),
    ("00", "0", "0"),
    ("05", "17", "10"),
    ("2", "1", "1"),
    ("04", "15", "15"),
    ("01", "0", "1"),
];

fn tile_pairs(random: &mut Random) -> Pairs {
    let (layer, set, format) = random.pick(MATRICES);
    let (matrix, column, row) = random.pick(TILES);
    let format = format!("image/{format}");
    owned(&[
        ("SERVICE", "WMTS"),
        ("REQUEST", "GetTile"),
        ("VERSION", "1.0.0"),
        ("LAYER", layer),
        ("STYLE", ""),
        ("TILEMATRIXSET", set),
        ("TILEMATRIX", matrix),
        ("TILEROW", row),
        ("TILECOL", column),
        ("FORMAT", &format),
    ])
}

fn tile_info_pairs(random: &mut Random) -> Pairs {
    let mut pairs = tile_pairs(random);
    pairs[1].1 = "GetFeatureInfo".to_owned();
    let format = *random.pick(&["text/plain", "application/json", "txt", "json", "text/html"]);
    pairs.extend(owned(&[("INFOFORMAT", format), ("I", "17"), ("J", "34")]));
    if random.between(0, 3) == 0 {
        pairs.extend(owned(&[("FEATURE_COUNT", "3")]));
    }
    pairs
}

/// Values that a parameter may be given in place of its own.
fn odd_values(name: &str) -> &'static [&'static str] {
    match name {
        "service" => &["", "wms", "WMTS", "wmts", "WFS", "WMS ", "<b>", "Wms"],
        "version" => &[
            "", "1.0.0", "1.0.7", "1.1.0", "1.1.1", "1.2.0", "1.3.0", "1.3", "2.0.0", "0.9.9", "1.3.0.1", "1",
        ],
        "wmtver" => &["", "1.0.0", "1.1.1", "1.0", "0.9"],
        "request" => &[
            "",
            "GetNothing",
            "getmap",
            "GETMAP",
            "map",
            "capabilities",
            "GetLegendGraphic",
            "GetTile",
            "getcapabilities",
            "GetFeatureInfo",
            "feature_info",
            "get",
            "<i>",
        ],
        "layers" | "query_layers" | "layer" => LAYERS_BAD,
        "styles" | "style" => &[
            "default",
            "night",
            "default,default",
            ",,",
            "inspire_common:DEFAULT",
            "Default",
            "default,x",
            " ",
        ],
        "srs" | "crs" => &[
            "",
            "EPSG:9999",
            "EPSG:3035",
            "epsg:4326",
            "4326",
            "EPSG:4326 ",
            "AUTO:42001",
            "EPSG:3857,EPSG:4326",
            "&",
        ],
        "bbox" => &[
            "10,50,8,52",
            "8,50,8,52",
            "-500,-500,500,500",
            "8.0,50.0,10.0,52.0",
            " 8, 50, 10, 52 ",
            "1e1,5e1,1.2e1,5.2e1",
            "170,10,190,20",
            "-20037508,-20037508,20037508,20037508",
        ],
        "width" | "height" => &["100.7", "1e2", "600", "601", "5000", " 50", "1"],
        "format" => &[
            "",
            "image/bmp",
            "png",
            "PNG",
            "image/PNG",
            "image/png; mode=24bit",
            "image/jpeg",
            "JPEG",
            "image/gif",
            "image/tiff",
            "application/json",
            "image/geotiff",
            "png8",
            "jpeg",
            "image",
            "image/",
        ],
        "x" | "y" | "i" | "j" => &["-1", "500", "150.5", "0", "199.9"],
        "info_format" | "infoformat" => INFO_FORMATS,
        "feature_count" => &["0", "-1", "a", "3", ""],
        "exceptions" => EXCEPTIONS,
        "tilematrixset" => {
            &["", "GLOBAL_GEODETIC", "nowhere", "global_webmercator", "GLOBAL_MERCATOR", "utm32"]
        }
        "tilematrix" => &["99", "3", "003", "-1", "19", "20"],
        "tilerow" | "tilecol" => &["-1", "99999", "0", "007", "8"],
        "sld_version" => &["1.0.0", "", "1.1"],
        "bgcolor" => &["0x12", "ff0000", ""],
        "transparent" => &["TRUE", "1", ""],
        "tiled" => &["true", "1", ""],
        _ => &["", "0", "x", "<u>&"],
    }
}

/// Numbers that are none: MapProxy knows no better than an internal error.
fn broken_values(name: &str) -> &'static [&'static str] {
    match name {
        "version" | "wmtver" => &["abc", "1.1.1a", "1..3", "v1.3.0"],
        "bbox" => &[
            "",
            "1,2,3",
            "1,2,3,4,5",
            "a,b,c,d",
            "nan,nan,nan,nan",
            "inf,0,1,1",
            "8,50,10",
            "8;50;10;52",
            "1e400,0,1,1",
        ],
        "width" | "height" => &["", "0", "-5", "abc", "1e999", "nan"],
        "x" | "y" | "i" | "j" => &["", "a", "1e1", "nan", "1.5.5"],
        "tilematrix" | "tilerow" | "tilecol" => &["", "a", "1.5", "0x1", "1e1"],
        "scale" => &["", "a", "1:5000"],
        _ => odd_values(name),
    }
}

/// Parameters that nobody asked for, and those of other requests.
const FURTHER: &[(&str, &str)] = &[
    ("nothing", "1"),
    ("MAP", "/etc/passwd"),
    ("TILED", "true"),
    ("WMTVER", "1.0.0"),
    ("VERSION", "1.3.0"),
    ("CRS", "EPSG:4326"),
    ("SRS", "EPSG:4326"),
    ("EXCEPTIONS", "INIMAGE"),
    ("SLD", "http://example.org/sld"),
    ("TIME", "2020-01-01"),
    ("TIME", "1999"),
    ("STYLES", "x"),
    ("", "x"),
    ("LAYER", "text"),
];

/// A request by names and values, tampered with more often than not.
fn pairs(random: &mut Random, make: fn(&mut Random) -> Pairs) -> Asked {
    let mut pairs = make(random);
    let mut changed = Vec::new();
    for _ in 0..*random.pick(&[0, 0, 1, 1, 1, 1, 1, 2, 2, 3]) {
        changed.extend(tamper(random, &mut pairs));
    }
    if random.between(0, 6) == 0 {
        pairs.reverse();
    }
    let cased = random.between(0, 5) == 0;
    let query: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            let name = if cased { odd_case(random, name) } else { name.clone() };
            format!("{}={}", escape(&name), escape(value))
        })
        .collect();
    let query = query.join("&");
    let path =
        *random.pick(&["/service", "/service", "/service", "/ows", "/wms", "/service/", "/service/more"]);
    if random.between(0, 40) == 0 {
        return Asked { target: path.to_owned(), form: Some(query), changed };
    }
    if random.between(0, 40) == 0 {
        return Asked { target: format!("{path}?{query}"), form: Some(String::new()), changed };
    }
    Asked { target: format!("{path}?{query}"), form: None, changed }
}

/// Changes one thing; the names of the parameters in question.
fn tamper(random: &mut Random, pairs: &mut Pairs) -> Option<String> {
    if pairs.is_empty() {
        return None;
    }
    let at = random.between(0, pairs.len() as i64) as usize;
    let name = pairs[at].0.to_lowercase();
    match random.between(0, 20) {
        0..4 => {
            pairs.remove(at);
        }
        4..6 => {
            let (name, value) = *random.pick(FURTHER);
            pairs.push((name.to_owned(), value.to_owned()));
            return Some(name.to_lowercase());
        }
        6..8 => {
            let value = (*random.pick(odd_values(&name))).to_owned();
            pairs.push((pairs[at].0.clone(), value));
        }
        8..10 => pairs[at].1 = (*random.pick(broken_values(&name))).to_owned(),
        _ => pairs[at].1 = (*random.pick(odd_values(&name))).to_owned(),
    }
    Some(name)
}

fn odd_case(random: &mut Random, name: &str) -> String {
    name.chars().map(|c| if random.between(0, 2) == 0 { c.to_ascii_lowercase() } else { c }).collect()
}

pub fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b",:/._-".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Layer, EPSG part, grid name, extension of what lies below `/tms`, `/tiles` and `/kml`.
const SPECS: &[(&str, &str, &str, &str)] = &[
    ("cached", "EPSG3857", "GLOBAL_WEBMERCATOR", "png"),
    ("merc", "EPSG900913", "GLOBAL_MERCATOR", "png"),
    ("merc", "EPSG4326", "geodetic_nw", "png"),
    ("web", "EPSG3857", "GLOBAL_WEBMERCATOR", "jpeg"),
    ("utm", "EPSG25832", "utm32", "png"),
    ("geo", "EPSG4326", "GLOBAL_GEODETIC", "png"),
    ("mixed_tiles", "EPSG3857", "GLOBAL_WEBMERCATOR", "png"),
];

/// A request by a path: its segments, tampered with more often than not.
fn path_request(random: &mut Random) -> Asked {
    let &(layer, epsg, grid, extension) = random.pick(SPECS);
    let &(level, column, row) = random.pick(TILES);
    let level = level.trim_start_matches('0');
    let level = if level.is_empty() { "0" } else { level };
    let tile = format!("{row}.{extension}");
    let mut segments: Vec<String> = match random.between(0, 9) {
        0 | 1 => vec!["tms", "1.0.0", layer, epsg, level, column, &tile],
        2 => vec!["tms", "1.0.0", layer, epsg],
        3 => vec!["tiles", layer, epsg, level, column, &tile],
        4 => vec!["tiles", "1.0.0", layer, epsg, level, column, &tile],
        5 => vec!["kml", layer, grid, level, column, &tile],
        6 => vec!["kml", layer, grid, level, column, row, "kml"],
        7 => vec!["wmts", layer, grid, level, column, &tile],
        _ => vec!["wmts", layer, grid, level, column, row, "17", "34.txt"],
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    if segments.last().is_some_and(|last| last == "kml") {
        segments.pop();
        let row = segments.pop().unwrap_or_default();
        segments.push(format!("{row}.kml"));
    }
    let mut changed = Vec::new();
    for _ in 0..*random.pick(&[0, 0, 1, 1, 1, 2]) {
        tamper_path(random, &mut segments);
        changed = vec!["path".to_owned()];
    }
    let query = *random.pick(&["", "", "", "?origin=nw", "?origin=sw", "?origin=x", "?a=b"]);
    Asked { target: format!("/{}{query}", segments.join("/")), form: None, changed }
}

const ODD_SEGMENTS: &[&str] = &[
    "",
    "nowhere",
    "cached",
    "merc",
    "EPSG4326",
    "EPSG900913",
    "EPSG3857",
    "GLOBAL_WEBMERCATOR",
    "GLOBAL_MERCATOR",
    "1.0.0",
    "1.1.0",
    "99",
    "-1",
    "a",
    "0",
    "%3Cb%3E",
    "cached_EPSG3857",
    "%C3%A4",
    "0.png",
    "1.jpeg",
    "2.gif",
    "0.kml",
    "x.png",
    "1",
    "17.json",
    "1.2.png",
    ".png",
    "0.",
];

fn tamper_path(random: &mut Random, segments: &mut Vec<String>) {
    if segments.len() < 2 {
        return;
    }
    let at = random.between(1, segments.len() as i64) as usize;
    match random.between(0, 6) {
        0 => {
            segments.remove(at);
        }
        1 => segments.truncate(at),
        2 => segments.insert(at, (*random.pick(ODD_SEGMENTS)).to_owned()),
        3 => segments.push((*random.pick(ODD_SEGMENTS)).to_owned()),
        _ => segments[at] = (*random.pick(ODD_SEGMENTS)).to_owned(),
    }
}
