//! Requests against sites built by hand: fake layers that draw one colour and
//! tiles that carry their own address.

mod maps;
mod tiles;

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
