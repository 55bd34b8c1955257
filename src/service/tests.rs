//! Requests against sites built by hand: fake layers that draw one colour and
//! tiles that carry their own address.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::demo::DemoParts;
use super::kml::KmlParts;
use super::metadata::{Dimension, LayerMetadata, ServiceMetadata};
use super::site::{Site, SiteParts};
use super::tile::{TileLayer, TileProvider};
use super::tms::TmsParts;
use super::wms::{WmsLayer, WmsParts};
use super::wmts::WmtsParts;
use super::{Answer, FoundTile};
use crate::geo::{Coverage, Extent, GridOptions, Origin, Srs, TileGrid};
use crate::plan::{
    Drawn, MapLayer, MapQuery, OnSourceErrors, PlanError, ResRange, SourceError, Tile, TileAddress, TileFile,
    Turn,
};
use crate::render::{Format, ImageOptions, Raster};
use crate::wire::{Headers, Method, Request, Response};

/// Draws one colour, or fails, and remembers what it was asked.
struct FakeLayer {
    asked: Mutex<Vec<MapQuery>>,
    fails: bool,
    extent: Option<(Extent, Srs)>,
    range: Option<ResRange>,
}

impl FakeLayer {
    fn new() -> FakeLayer {
        FakeLayer { asked: Mutex::new(Vec::new()), fails: false, extent: None, range: None }
    }

    fn queries(&self) -> Vec<MapQuery> {
        self.asked.lock().unwrap().clone()
    }
}

impl MapLayer for FakeLayer {
    fn draw(&self, query: &MapQuery, _turn: &Turn) -> Result<Drawn, PlanError> {
        self.asked.lock().unwrap().push(query.clone());
        if self.fails {
            let url = "http://secret.example/wms".to_owned();
            return Err(PlanError::Source(SourceError::Transport { url, reason: "refused".to_owned() }));
        }
        Ok(Drawn::pixels(Raster::filled(query.size.0, query.size.1, [200, 0, 0, 255])))
    }
    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }
    fn is_transparent(&self) -> bool {
        true
    }
    fn res_range(&self) -> Option<ResRange> {
        self.range
    }
    fn coverage(&self) -> Option<&Coverage> {
        None
    }
    fn extent(&self) -> Option<(Extent, Srs)> {
        self.extent.clone()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Tiles whose bytes are their own address.
struct FakeTiles {
    grid: Arc<TileGrid>,
    format: Format,
    image: ImageOptions,
    has_files: bool,
}

fn address_text(tile: &TileAddress) -> String {
    let dimensions = tile.dimensions.as_ref().map_or("", |dimensions| dimensions.path());
    format!("{}/{}/{} {dimensions}", tile.coord.z, tile.coord.x, tile.coord.y)
}

impl TileProvider for FakeTiles {
    fn grid(&self) -> &Arc<TileGrid> {
        &self.grid
    }
    fn format(&self) -> Format {
        self.format
    }
    fn image(&self) -> &ImageOptions {
        &self.image
    }
    fn tile_file(&self, tile: &TileAddress) -> Option<TileFile> {
        let path = address_text(tile).into();
        self.has_files.then_some(TileFile { path, format: self.format, fresh_after: None })
    }
    fn tile(&self, tile: &TileAddress, _turn: &Turn) -> Result<Tile, PlanError> {
        Ok(Tile {
            bytes: Arc::from(address_text(tile).into_bytes()),
            format: self.format,
            modified: Some(UNIX_EPOCH + Duration::from_secs(1_600_000_000)),
            cacheable: true,
            from_store: true,
            identity: None,
        })
    }
}

fn grid(name: &str, srs: &str, origin: Origin, extent: Option<Extent>) -> Arc<TileGrid> {
    let options = GridOptions {
        name: name.to_owned(),
        srs: Some(Srs::parse(srs).unwrap()),
        origin: Some(origin),
        extent,
        ..GridOptions::default()
    };
    Arc::new(TileGrid::build(&options).unwrap())
}

fn tile_layer(name: &str, grid: Arc<TileGrid>, format: Format, dimensions: Vec<Dimension>) -> TileLayer {
    TileLayer {
        name: name.to_owned(),
        title: format!("{name} <&>"),
        cache_name: format!("{name}_cache"),
        extent: (grid.extent, grid.srs.clone()),
        whole_edges: [false; 4],
        tiles: Arc::new(FakeTiles { grid, format, image: ImageOptions::new(format), has_files: false }),
        dimensions,
        infos: Vec::new(),
        wmts_kvp_legend_url: None,
        wmts_rest_legend_url: None,
    }
}

fn leaf(name: &str, map: Arc<FakeLayer>) -> WmsLayer {
    WmsLayer {
        name: Some(name.to_owned()),
        title: format!("{name} <&>"),
        metadata: LayerMetadata::default(),
        maps: Some(vec![map]),
        children: Vec::new(),
        res_range: None,
        dimensions: Vec::new(),
        infos: Vec::new(),
        legends: Vec::new(),
    }
}

fn time() -> Dimension {
    Dimension {
        name: "Time".to_owned(),
        values: vec!["2020-01-01".to_owned(), "2020-01-02".to_owned()],
        default: "2020-01-02".to_owned(),
    }
}

struct Fixture {
    site: Site,
    map: Arc<FakeLayer>,
}

fn fixture_with(map: FakeLayer, change: impl FnOnce(&mut WmsParts)) -> Fixture {
    let map = Arc::new(map);
    let parts = site_parts(&map, change);
    Fixture { site: Site::build(parts).unwrap_or_else(|errors| panic!("{errors:?}")), map }
}

fn site_parts(map: &Arc<FakeLayer>, change: impl FnOnce(&mut WmsParts)) -> SiteParts {
    let mercator = grid("GLOBAL_MERCATOR", "EPSG:900913", Origin::SouthWest, None);
    let web = grid("web", "EPSG:3857", Origin::NorthWest, None);
    let local_extent = Extent::new(0.0, 0.0, 1_000_000.0, 1_000_000.0);
    let local = grid("local", "EPSG:25832", Origin::NorthWest, Some(local_extent));
    let geodetic = grid("GLOBAL_GEODETIC", "EPSG:4326", Origin::SouthWest, None);
    let layers = vec![
        tile_layer("osm", mercator, Format::Png, Vec::new()),
        tile_layer("osm", local, Format::Png, Vec::new()),
        tile_layer("photo", web, Format::Jpeg, vec![time()]),
        tile_layer("world", geodetic, Format::Mixed, Vec::new()),
    ];
    let mut timed = leaf("timed", Arc::clone(map));
    timed.dimensions = vec![time()];
    let mut group = leaf("group", Arc::clone(map));
    group.maps = None;
    group.children = vec![leaf("one", Arc::clone(map)), timed];
    let mut root = leaf("", Arc::clone(map));
    root.maps = None;
    root.title = String::new();
    root.children = vec![group, leaf("two", Arc::clone(map))];
    let metadata = ServiceMetadata { title: "T <&>".to_owned(), ..ServiceMetadata::default() };
    let mut wms = WmsParts {
        root,
        metadata: metadata.clone(),
        inspire: None,
        srs: ["EPSG:4326", "EPSG:3857", "EPSG:25832", "CRS:84"].map(str::to_owned).to_vec(),
        any_srs: false,
        srs_extents: Vec::new(),
        image_formats: vec![
            ("image/png".to_owned(), ImageOptions::new(Format::Png)),
            ("image/jpeg".to_owned(), ImageOptions::new(Format::Jpeg)),
        ],
        versions: Vec::new(),
        attribution: None,
        info_types: Vec::new(),
        info_stylesheets: Vec::new(),
        on_source_errors: OnSourceErrors::Raise,
        max_output_pixels: 4_000_000,
        strict: false,
        concurrent_layers: 1,
        tile_layers: layers.clone(),
        expires_s: 3600,
    };
    change(&mut wms);
    SiteParts {
        wms: Some(wms),
        ogcapi: None,
        wmts: Some(WmtsParts {
            metadata: metadata.clone(),
            layers: layers.clone(),
            kvp: true,
            restful: true,
            restful_template: None,
            restful_featureinfo_template: None,
            info_formats: Vec::new(),
            expires_s: 3600,
        }),
        tms: Some(TmsParts {
            metadata: metadata.clone(),
            layers: layers.clone(),
            use_grid_names: false,
            origin: None,
            expires_s: 3600,
        }),
        kml: Some(KmlParts { metadata, layers, use_grid_names: false, expires_s: 3600 }),
        demo: None,
        cors: Some("*".to_owned()),
        hide_error_details: true,
        decorations: None,
    }
}

/// A site with every service, for the tests of the demo pages.
pub(super) fn demo_site() -> Site {
    let mut parts = site_parts(&Arc::new(FakeLayer::new()), |_| {});
    parts.demo = Some(DemoParts { metadata: ServiceMetadata::default(), background_url: None });
    Site::build(parts).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn fixture() -> Fixture {
    fixture_with(FakeLayer::new(), |_| {})
}

pub(super) fn request(target: &str) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request {
        method: Method::Get,
        path: path.to_owned(),
        query: query.to_owned(),
        scheme: "http",
        script_name: String::new(),
        headers: Headers(vec![("Host".to_owned(), "maps.example".to_owned())]),
        body: Vec::new(),
        peer: None,
        remote_user: None,
        user: None,
    }
}

pub(super) fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Ready(response) => response,
        Answer::Work(work) => work(&Turn::ungated()),
        Answer::StoredTile(tile) => (tile.otherwise)(&Turn::ungated()),
    }
}

impl Fixture {
    fn get(&self, target: &str) -> Response {
        respond(self.site.answer(&request(target)))
    }
}

pub(super) fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response
        .headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

pub(super) fn text(response: &Response) -> String {
    String::from_utf8_lossy(response.body.as_slice()).into_owned()
}

const MAP: &str = "/service?service=WMS&version=1.1.1&request=GetMap&layers=one&styles=&srs=EPSG:4326&bbox=5,45,15,55&width=20&height=10&format=image/png";

/// [`MAP`] with some parameters replaced; `None` takes one away.
fn map_with(changes: &[(&str, Option<&str>)]) -> String {
    let (path, query) = MAP.split_once('?').unwrap();
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        if let Some(value) = value {
            pairs.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    let query: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{path}?{}", query.join("&"))
}

#[test]
fn a_map_is_drawn_as_asked() {
    let fixture = fixture();
    let response = fixture.get(MAP);
    assert_eq!((response.status, field(&response, "content-type")), (200, Some("image/png")));
    assert_eq!(field(&response, "access-control-allow-origin"), Some("*"));
    let query = &fixture.map.queries()[0];
    assert_eq!((query.size, query.extent), ((20, 10), Extent::new(5.0, 45.0, 15.0, 55.0)));
    assert!(!query.transparent);
}

#[test]
fn axes_follow_the_version() {
    for (version, name, code, bbox, swapped) in [
        ("1.1.1", "srs", "EPSG:4326", "5,45,15,55", false),
        ("1.3.0", "crs", "EPSG:4326", "45,5,55,15", true),
        ("1.3.0", "crs", "CRS:84", "5,45,15,55", false),
        ("1.3.0", "crs", "epsg:4326", "45,5,55,15", true),
    ] {
        let fixture = fixture();
        let changes = [("version", Some(version)), ("srs", None), ("bbox", Some(bbox)), (name, Some(code))];
        assert_eq!(fixture.get(&map_with(&changes)).status, 200);
        let extent = fixture.map.queries()[0].extent;
        assert_eq!(extent, Extent::new(5.0, 45.0, 15.0, 55.0), "{version} {code} {swapped}");
    }
}

#[test]
fn an_open_service_draws_in_every_known_system() {
    for (any_srs, code, status) in [
        (false, "EPSG:2056", 500),
        (true, "EPSG:2056", 200),
        (true, "epsg:27700", 200),
        (true, "EPSG:0", 500),
    ] {
        let fixture = fixture_with(FakeLayer::new(), |wms| wms.any_srs = any_srs);
        let target = map_with(&[("srs", Some(code)), ("bbox", Some("100000,100000,200000,200000"))]);
        assert_eq!(fixture.get(&target).status, status, "{any_srs} {code}");
        let drawn =
            fixture.map.queries().iter().any(|query| Srs::parse(code).is_ok_and(|srs| query.srs == srs));
        assert_eq!(drawn, status == 200, "{code}");
    }
}

#[test]
fn groups_draw_their_children_and_each_layer_once() {
    for (layers, count) in [("group", 2), ("one,group,one", 2), ("group,two", 3), ("two", 1)] {
        let fixture = fixture();
        assert_eq!(fixture.get(&map_with(&[("layers", Some(layers))])).status, 200);
        assert_eq!(fixture.map.queries().len(), count, "{layers}");
    }
}

#[test]
fn wrong_parameters_are_told_with_the_code_of_the_version() {
    type Headers<'a> = &'a [(&'a str, Option<&'a str>)];
    let cases: &[(Headers<'_>, &str)] = &[
        (&[("styles", None)], "missing parameters"),
        (&[("bbox", Some("5,45,15"))], "invalid bbox"),
        (&[("bbox", Some("5,45,15,55,1"))], "invalid bbox"),
        (&[("bbox", Some("15,45,5,55"))], "invalid bbox"),
        (&[("bbox", Some("nan,45,5,55"))], "invalid bbox"),
        (&[("bbox", Some("0,0,inf,55"))], "invalid bbox"),
        (&[("bbox", Some("-1.7e308,0,1.7e308,55"))], "invalid bbox"),
        (&[("styles", Some("red"))], "code=\"StyleNotDefined\""),
        (&[("layers", Some("one,none"))], "code=\"LayerNotDefined\""),
        (&[("layers", Some(""))], "code=\"LayerNotDefined\""),
        (&[("format", Some("image/bmp"))], "code=\"InvalidFormat\""),
        (&[("srs", Some("EPSG:31466"))], "code=\"InvalidSRS\""),
        (&[("srs", Some("EPSG:4326%3Cscript%3E"))], "&lt;script&gt;"),
        (&[("version", Some("1.3.0")), ("crs", Some("EPSG:1"))], "code=\"InvalidCRS\""),
        (&[("width", Some("0"))], "invalid size"),
        (&[("width", Some("-1"))], "invalid size"),
        (&[("width", Some(""))], "invalid size"),
        (&[("width", Some("0x10"))], "invalid size"),
        (&[("width", Some("4294967297"))], "invalid size"),
        (&[("width", Some("1e9"))], "image size too large"),
        (&[("width", Some("20000")), ("height", Some("1"))], "image size too large"),
        (&[("request", Some("GetMapp"))], "unknown WMS request type"),
        (&[("version", Some("1.x"))], "invalid version"),
        (&[("layers", Some("timed")), ("time", Some("../../x"))], "code=\"InvalidDimensionValue\""),
    ];
    let fixture = fixture();
    for (changes, expected) in cases {
        let response = fixture.get(&map_with(changes));
        assert_eq!(response.status, 500, "{changes:?}");
        assert!(text(&response).contains(expected), "{changes:?}: {}", text(&response));
        assert_eq!(field(&response, "cache-control"), Some("no-cache, no-store"));
        let mime = field(&response, "content-type").unwrap();
        assert!(matches!(mime, "application/vnd.ogc.se_xml" | "text/xml; charset=utf-8"), "{mime}");
    }
    assert!(fixture.map.queries().is_empty());
}

#[test]
fn decimals_of_sizes_are_cut() {
    let fixture = fixture();
    assert_eq!(fixture.get(&map_with(&[("width", Some("20.9"))])).status, 200);
    assert_eq!(fixture.map.queries()[0].size, (20, 10));
}

#[test]
fn failures_are_told_on_images_where_wished() {
    let fixture = fixture();
    for (kind, layers, format, mime) in [
        ("application/vnd.ogc.se_inimage", "none", "image/jpeg", "image/jpeg"),
        ("BLANK", "none", "image/png", "image/png"),
        ("inimage", "one", "image/bmp", "image/png"),
    ] {
        let changes = [("exceptions", Some(kind)), ("layers", Some(layers)), ("format", Some(format))];
        let response = fixture.get(&map_with(&changes));
        assert_eq!((response.status, field(&response, "content-type")), (200, Some(mime)), "{kind}");
    }
    let response = fixture.get(&map_with(&[("exceptions", Some("inimage")), ("width", Some("16000"))]));
    assert_eq!(response.status, 200);
    let response = fixture.get(&map_with(&[
        ("exceptions", Some("inimage")),
        ("width", Some("16000")),
        ("height", Some("16000")),
    ]));
    assert_eq!(field(&response, "content-type"), Some("application/vnd.ogc.se_xml"));
}

#[test]
fn details_of_sources_stay_hidden() {
    let failing = FakeLayer { fails: true, ..FakeLayer::new() };
    let response = fixture_with(failing, |_| {}).get(MAP);
    assert_eq!(response.status, 500);
    assert!(!text(&response).contains("secret"), "{}", text(&response));
}

#[test]
fn scales_out_of_range_draw_nothing() {
    let range = Some(ResRange { coarsest: Some(100.0), finest: None });
    let fixture = fixture_with(FakeLayer { range, ..FakeLayer::new() }, |_| {});
    assert_eq!(fixture.get(MAP).status, 200);
    assert!(fixture.map.queries().is_empty());
}

#[test]
fn versions_are_negotiated() {
    let fixture = fixture();
    for (version, root) in [
        ("&version=1.1.1", "WMT_MS_Capabilities"),
        ("&version=1.3.0", "WMS_Capabilities"),
        ("&version=1.2.0", "WMT_MS_Capabilities"),
        ("&version=9", "WMS_Capabilities"),
        ("", "WMS_Capabilities"),
    ] {
        let response = fixture.get(&format!("/service?SERVICE=wms&REQUEST=GetCapabilities{version}"));
        let body = text(&response);
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&body, options).unwrap();
        assert_eq!(document.root_element().tag_name().name(), root, "{version}");
    }
}

#[test]
fn documents_are_xml_whatever_titles_hold() {
    let fixture = fixture();
    for target in [
        "/service?service=WMS&request=GetCapabilities&version=1.1.1&tiled=true",
        "/service?service=WMS&request=GetCapabilities&version=1.3.0",
        "/service?service=WMTS&request=GetCapabilities",
        "/wmts/1.0.0/WMTSCapabilities.xml",
        "/tms/",
        "/tms/1.0.0",
        "/tms/1.0.0/osm/EPSG900913",
        "/kml/osm",
        "/kml/osm/EPSG25832/1/0/0.kml",
    ] {
        let response = fixture.get(target);
        assert_eq!(response.status, 200, "{target}: {}", text(&response));
        assert!(field(&response, "vary").is_some(), "{target}");
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let body = text(&response);
        roxmltree::Document::parse_with_options(&body, options)
            .unwrap_or_else(|e| panic!("{target}: {e}\n{body}"));
    }
}

#[test]
fn entrances_of_ows_want_a_service() {
    let fixture = fixture();
    for (target, status, part) in [
        ("/service?request=GetCapabilities", 400, "locator=\"service\""),
        ("/service", 400, "MissingParameterValue"),
        ("/service?service=wcs", 400, "InvalidParameterValue"),
        ("/nothing", 404, "not found"),
        ("/-", 404, "not found"),
        ("/demo/", 404, "not found"),
    ] {
        let response = fixture.get(target);
        assert_eq!(response.status, status, "{target}");
        assert!(text(&response).contains(part), "{target}: {}", text(&response));
    }
    assert_eq!(fixture.get("/").status, 200);
}

#[test]
fn only_get_and_forms_are_understood() {
    let fixture = fixture();
    let mut post = request("/service");
    post.method = Method::Post;
    let response = respond(fixture.site.answer(&post));
    assert_eq!(response.status, 415);
    post.headers.0.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    post.body = MAP.split_once('?').unwrap().1.as_bytes().to_vec();
    assert_eq!(respond(fixture.site.answer(&post)).status, 200);
    let mut options = request("/tiles/osm/0/0/0.png");
    options.method = Method::Options;
    assert_eq!(respond(fixture.site.answer(&options)).status, 204);
    options.method = Method::Post;
    assert_eq!(respond(fixture.site.answer(&options)).status, 405);
}

#[test]
fn tiles_are_found_under_all_their_names() {
    let fixture = fixture();
    for (target, tile) in [
        ("/tiles/osm/0/0/0.png", "0/0/0 "),
        ("/tiles/osm/2/1/3.png", "2/1/3 "),
        ("/tiles/osm/2/1/3.png?origin=nw", "2/1/0 "),
        ("/tiles/1.0.0/osm/EPSG900913/2/1/3.png", "2/1/3 "),
        ("/tiles/osm_EPSG900913/2/1/3.png", "2/1/3 "),
        ("/tiles/osm/EPSG25832/1/0/1.png", "1/0/1 "),
        ("/tms/1.0.0/osm/0/1/1.png", "1/1/1 "),
        ("/tms/1.0.0/osm/EPSG25832/1/0/0.png", "1/0/1 "),
        ("/tms/1.0.0/world/EPSG4326/0/1/0.png", "1/1/0 "),
        ("/kml/osm/EPSG900913/2/1/3.png", "2/1/3 "),
        ("/kml/osm/EPSG25832/1/0/0.png", "1/0/1 "),
        ("/wmts/osm/GLOBAL_MERCATOR/02/1/3.png", "2/1/0 "),
        ("/wmts/osm/local/1/0/1.png", "1/0/1 "),
        (
            "/service?service=WMTS&request=GetTile&version=1.0.0&layer=osm&style=&tilematrixset=local&tilematrix=01&tilerow=1&tilecol=0&format=image/png",
            "1/0/1 ",
        ),
        ("/wmts/photo/web/1/0/1.jpeg", "1/0/1 time-2020-01-02"),
    ] {
        let response = fixture.get(target);
        assert_eq!(text(&response), tile, "{target}");
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(field(&response, "cache-control"), Some("public, max-age=3600, s-maxage=3600"));
    }
}

#[test]
fn dimension_values_are_those_of_the_configuration() {
    let fixture = fixture();
    let kvp = "/service?service=WMTS&request=GetTile&version=1.0.0&layer=photo&style=&tilematrixset=web&tilematrix=1&tilerow=1&tilecol=0&format=image/jpeg";
    for (value, status, tile) in [
        ("&TIME=2020-01-01", 200, "1/0/1 time-2020-01-01"),
        ("&time=default", 200, "1/0/1 time-2020-01-02"),
        ("&time=", 200, "1/0/1 time-2020-01-02"),
        ("&time=..%2F..%2Fx", 400, ""),
        ("&time=2020-01-01%00", 400, ""),
        ("&other=x", 200, "1/0/1 time-2020-01-02"),
    ] {
        let response = fixture.get(&format!("{kvp}{value}"));
        assert_eq!(response.status, status, "{value}");
        assert!(status == 400 || text(&response) == tile, "{value}: {}", text(&response));
    }
}

#[test]
fn tile_numbers_are_whole_numbers() {
    let fixture = fixture();
    let numbers = [
        "-1/0/0",
        "99/0/0",
        "9223372036854775808/0/0",
        "1/-1/0",
        "1/2/0",
        "1/0/2147483648",
        "1/1e3/0",
        "1/+1/0",
        "1/\u{661}/0",
        "1//0",
        "1/0/0x1",
    ];
    for number in numbers {
        // Level 1 of TMS is level 2 of the grid: column 2 is there.
        let prefixes = [
            ("/tms/1.0.0/osm", if number == "1/2/0" { 200 } else { 404 }),
            ("/tiles/osm", 404),
            ("/kml/osm", 404),
        ];
        for (prefix, status) in prefixes {
            let response = fixture.get(&format!("{prefix}/{number}.png"));
            assert_eq!(response.status, status, "{prefix}/{number}");
        }
        let status = fixture.get(&format!("/wmts/osm/GLOBAL_MERCATOR/{number}.png")).status;
        assert!(matches!(status, 400 | 404), "{number}: {status}");
    }
    // Zeros may lead, and what follows the format is not looked at.
    for tile in ["1/01/0.png", "01/0/00.png", "-0/0/0.png", "0/0/0.png/", "0/0/0.png/x/y", "0/0/0.png.txt"] {
        for prefix in ["/tms/1.0.0/osm", "/tiles/osm", "/kml/osm", "/wmts/osm/GLOBAL_MERCATOR"] {
            // WMTS knows levels without a sign only.
            let status = if prefix.starts_with("/wmts") && tile.starts_with('-') { 404 } else { 200 };
            assert_eq!(fixture.get(&format!("{prefix}/{tile}")).status, status, "{prefix}/{tile}");
        }
    }
    for target in [
        "/tiles/osm/0/0/0.jpeg",
        "/tiles/none/0/0/0.png",
        "/tiles/osm/EPSG1/0/0/0.png",
        "/tiles/",
        "/tms/2.0.0",
        "/kml/",
        "/kml/none",
        "/tms/1.0.0/none",
    ] {
        assert_eq!(fixture.get(target).status, 404, "{target}");
    }
    for target in ["/tiles/", "/tms/2.0.0", "/kml/"] {
        let message = format!("invalid request ({target})");
        assert!(text(&fixture.get(target)).contains(&message), "{target}");
    }
    let response = fixture.get("/tms/1.0.0/osm/9/9/99999.png");
    assert!(text(&response).contains("TileMapServerError"));
}

#[test]
fn wmts_failures_have_codes() {
    let fixture = fixture();
    for (target, status, part) in [
        ("/wmts/none/web/0/0/0.png", 400, "InvalidParameterValue"),
        ("/wmts/osm/none/0/0/0.png", 400, "InvalidParameterValue"),
        ("/wmts/osm/local/0/0/-1.png", 400, "TileOutOfRange"),
        ("/wmts/osm/local/0/0/0.jpeg", 400, "InvalidParameterValue"),
        ("/wmts/world/GLOBAL_GEODETIC/0/0/0.png", 400, "unknown layer"),
        ("/wmts/osm/local/0/0/0/1/1.txt", 400, "unknown infoformat"),
        ("/wmts/osm", 404, "invalid request"),
        ("/service?service=WMTS&request=GetTile&layer=a", 500, "missing parameters"),
        ("/service?service=WMTS&request=Get", 500, "unknown WMTS request type"),
    ] {
        let response = fixture.get(target);
        assert_eq!(response.status, status, "{target}: {}", text(&response));
        assert!(text(&response).contains(part), "{target}: {}", text(&response));
    }
    assert!(fixture.site.warnings().iter().any(|warning| warning.contains("GLOBAL_GEODETIC")));
}

#[test]
fn known_tiles_are_not_sent_again() {
    let fixture = fixture();
    let first = fixture.get("/tiles/osm/0/0/0.png");
    let tag = field(&first, "etag").unwrap().to_owned();
    let modified = field(&first, "last-modified").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'));
    for (name, value, status) in [
        ("If-None-Match", tag.as_str(), 304),
        ("If-None-Match", "\"other\"", 200),
        ("If-Modified-Since", modified.as_str(), 304),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", 200),
    ] {
        let mut request = request("/tiles/osm/0/0/0.png");
        request.headers.0.push((name.to_owned(), value.to_owned()));
        let response = respond(fixture.site.answer(&request));
        assert_eq!(response.status, status, "{name}: {value}");
        if status == 304 {
            assert!(response.body.as_slice().is_empty() && field(&response, "content-type").is_none());
            assert_eq!(field(&response, "etag"), Some(tag.as_str()));
        }
    }
}

#[test]
fn stored_tiles_are_answered_on_the_loop() {
    let grid = grid("web", "EPSG:3857", Origin::NorthWest, None);
    let mut layer = tile_layer("mixed", Arc::clone(&grid), Format::Mixed, Vec::new());
    layer.tiles = Arc::new(FakeTiles {
        grid,
        format: Format::Mixed,
        image: ImageOptions::new(Format::Mixed),
        has_files: true,
    });
    let tms = TmsParts {
        metadata: ServiceMetadata::default(),
        layers: vec![layer],
        use_grid_names: true,
        origin: Some(Origin::NorthWest),
        expires_s: 60,
    };
    let parts = SiteParts { tms: Some(tms), cors: Some("*".to_owned()), ..SiteParts::default() };
    let site = Site::build(parts).unwrap_or_else(|errors| panic!("{errors:?}"));
    let Answer::StoredTile(tile) = site.answer(&request("/tiles/mixed/web/1/0/1.png")) else {
        panic!("not from a file");
    };
    assert_eq!(tile.file.path.to_str(), Some("1/0/1 "));
    let found = FoundTile { bytes: Arc::from(&b"x"[..]), format: Format::Jpeg, modified: UNIX_EPOCH };
    let response = (tile.respond)(found);
    assert_eq!(field(&response, "content-type"), Some("image/jpeg"));
    assert_eq!(field(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(field(&response, "last-modified"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(respond(site.answer(&request("/tiles/mixed/1/0/1.png"))).status, 404);
}

proptest! {
    #[test]
    fn no_target_panics(target in "\\PC{0,60}", query in "[-+%&=,.a-zA-Z0-9:/]{0,120}") {
        let fixture = fixture();
        for service in ["/service?service=WMS&version=1.3.0&request=GetMap&", "/wmts", "/tms", "/tiles", "/kml", ""] {
            let _ = fixture.site.answer(&request(&format!("{service}{target}?{query}")));
        }
    }

    #[test]
    fn no_map_parameter_panics(name in "bbox|width|height|layers|srs|bgcolor|format|exceptions|time|styles", value in "[-+%,.0-9a-zA-Z:]{0,40}") {
        let fixture = fixture();
        let changes = [(name.as_str(), Some(value.as_str())), ("exceptions", Some("blank"))];
        let _ = fixture.site.answer(&request(&map_with(&changes)));
    }
}
