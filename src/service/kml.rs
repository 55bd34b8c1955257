//! KML super-overlays: documents that lead Google Earth from level to level,
//! and the tiles they show.

use std::sync::Arc;

use md5::{Digest as _, Md5};

use super::Answer;
use super::base_url::BaseUrl;
use super::exception::{Failure, document_of_type, plain_failure};
use super::metadata::ServiceMetadata;
use super::permit::{Feature, Kind, Question};
use super::question::{about_layer, about_tile};
use super::site::Manners;
use super::tile::{PublicTile, ServedLayer, TileAnswers, TileLayer};
use super::tms::{LayerTable, TilePath};
use super::xml::XmlWriter;
use crate::geo::{Extent, Origin, Srs};
use crate::plan::TileAddress;
use crate::wire::{Body, Request, Response, cond};

/// `services.kml` (mapproxy-features.md §7.4).
#[derive(Clone)]
pub struct KmlParts {
    pub metadata: ServiceMetadata,
    pub layers: Vec<TileLayer>,
    pub use_grid_names: bool,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}

const FALLBACKS: [&str; 2] = ["EPSG4326", "EPSG900913"];
const MIME: &str = "application/vnd.google-earth.kml+xml";
/// Half the circumference of the mercator sphere.
const MERCATOR_EDGE_M: f64 = 20_037_508.342_789_244;
/// A tile has four below it; grids with odd factors a few more.
const SUBTILES_MAX: usize = 64;

/// The service below `/kml`.
pub struct Kml {
    pub(super) layers: LayerTable,
    answers: Arc<TileAnswers>,
    /// EPSG:4326 and EPSG:900913.
    geographic: Option<Srs>,
    mercator: Option<Srs>,
}

/// A tile of the next level: its public numbers and where it lies in degrees.
struct SubTile {
    tile: PublicTile,
    extent: Extent,
}

impl Kml {
    pub fn new(parts: KmlParts, manners: &Manners) -> Kml {
        Kml {
            layers: LayerTable::new(parts.layers, parts.use_grid_names),
            answers: TileAnswers::new(Kind::Kml, "kml", parts.expires_s, manners, plain_failure),
            geographic: Srs::parse("EPSG:4326").ok(),
            mercator: Srs::parse("EPSG:900913").ok(),
        }
    }

    /// The layers, as the demo pages describe them.
    pub fn layers(&self) -> impl Iterator<Item = &ServedLayer> {
        self.layers.iter()
    }

    /// Answers below `/kml`; `path` is what follows.
    pub fn answer(&self, path: &str, url: &BaseUrl<'_>, request: &Request) -> Answer {
        match self.try_answer(path, url, request) {
            Ok(answer) => answer,
            Err(failure) => self.answers.tell(&failure),
        }
    }

    fn try_answer(&self, path: &str, url: &BaseUrl<'_>, request: &Request) -> Result<Answer, Failure> {
        let invalid = || Failure::new(format!("invalid request (/kml{path})"));
        let below = path.strip_prefix('/').ok_or_else(invalid)?;
        let mut parts = below.strip_suffix('/').unwrap_or(below).split('/');
        if let (Some(name), spec, None) = (parts.next(), parts.next(), parts.next())
            && !name.is_empty()
            && spec != Some("")
        {
            let layer = self.layers.find(name, spec, FALLBACKS)?;
            return self.overlay(layer, name, PublicTile { x: 0, y: 0, z: 0 }, url, request);
        }
        let path = TilePath::parse(below).ok_or_else(invalid)?;
        let layer = self.layers.find(path.layer, path.spec, FALLBACKS)?;
        if path.format == "kml" {
            return self.overlay(layer, path.layer, path.tile, url, request);
        }
        layer.check_format(path.format)?;
        let coord = layer.coord(path.tile, false, Some(Origin::SouthWest))?;
        let dimensions = layer.dimensions(|_| None)?;
        Ok(self.answers.tile(layer, TileAddress { coord, dimensions }, request))
    }

    /// The question that a request puts to whoever guards the site; `None` for
    /// what is refused anyhow.
    pub(super) fn question(&self, path: &str) -> Option<Question> {
        let below = path.strip_prefix('/')?;
        let mut parts = below.strip_suffix('/').unwrap_or(below).split('/');
        if let (Some(name), spec, None) = (parts.next(), parts.next(), parts.next()) {
            let layer = self.layers.find(name, spec, FALLBACKS).ok()?;
            return Some(about_layer(Kind::Kml, "kml", Feature::Tile, layer));
        }
        let path = TilePath::parse(below)?;
        let layer = self.layers.find(path.layer, path.spec, FALLBACKS).ok()?;
        Some(match layer.coord(path.tile, false, Some(Origin::SouthWest)) {
            // A document shows nothing itself, and leads to levels below its own.
            Ok(coord) if path.format == "kml" => {
                Question { level: None, ..about_tile(Kind::Kml, "kml", Feature::Tile, layer, coord) }
            }
            Ok(coord) => about_tile(Kind::Kml, "kml", Feature::Tile, layer, coord),
            // Who may ask is told what is wrong with it.
            Err(_) => about_layer(Kind::Kml, "kml", Feature::Tile, layer),
        })
    }

    fn overlay(
        &self,
        layer: &ServedLayer,
        name: &str,
        tile: PublicTile,
        url: &BaseUrl<'_>,
        request: &Request,
    ) -> Result<Answer, Failure> {
        let coord = layer.coord(tile, false, Some(Origin::SouthWest))?;
        let grid = layer.grid();
        let extent = grid.tile_extent(coord);
        let extent = grid.extent.intersection(&extent).unwrap_or(extent);
        let subtiles = self.subtiles(layer, tile, &extent);
        let text = write_overlay(layer, name, &self.in_degrees(layer, &extent), &subtiles, url);
        let mut digest = String::with_capacity(34);
        digest.push('"');
        for byte in Md5::digest(text.as_bytes()) {
            digest.push_str(&format!("{byte:02x}"));
        }
        digest.push('"');
        let mut response = if cond::not_modified(&request.headers, Some(&digest), None) {
            Response { status: 304, headers: Vec::new(), body: Body::Empty }
        } else {
            document_of_type(200, MIME, text)
        };
        response = response.with("ETag", digest).with("Cache-Control", self.answers.cache_control());
        Ok(Answer::Ready(response))
    }

    /// The tiles of the next level whose lower left corner lies in `extent`,
    /// so that none appears in two documents.
    fn subtiles(&self, layer: &ServedLayer, tile: PublicTile, extent: &Extent) -> Vec<SubTile> {
        const TOLERANCE: f64 = -1e-7;
        let grid = layer.grid();
        let below = PublicTile { z: tile.z.saturating_add(1), ..tile };
        let Some(level) = layer.internal(below, false).map(|coord| coord.z) else { return Vec::new() };
        let Ok(affected) = grid.affected_at(extent, level, SUBTILES_MAX) else { return Vec::new() };
        let mut subtiles = Vec::with_capacity(4);
        for coord in affected.tiles.into_iter().flatten() {
            let corner = grid.tile_extent(coord);
            if corner.min_x - extent.min_x > TOLERANCE && corner.min_y - extent.min_y > TOLERANCE {
                let from_south = match grid.origin {
                    Origin::SouthWest => coord,
                    Origin::NorthWest => grid.flip(coord),
                };
                let tile = layer.external(from_south);
                subtiles.push(SubTile { tile, extent: self.in_degrees(layer, &corner) });
            }
        }
        subtiles
    }

    /// The corners in degrees; the edges of the mercator square are the poles
    /// there, or Google Earth leaves holes.
    fn in_degrees(&self, layer: &ServedLayer, extent: &Extent) -> Extent {
        let grid = layer.grid();
        let Some(geographic) = &self.geographic else { return *extent };
        if grid.srs == *geographic {
            return *extent;
        }
        let [west, south, east, north] = extent.to_array();
        let mut corners = [[west, south], [east, south], [east, north], [west, north]];
        grid.srs.transform_points(geographic, &mut corners);
        let fold = |pick: fn(f64, f64) -> f64, axis: usize| {
            corners.iter().map(|corner| corner[axis]).reduce(pick).unwrap_or(f64::NAN)
        };
        let mut degrees =
            Extent::new(fold(f64::min, 0), fold(f64::min, 1), fold(f64::max, 0), fold(f64::max, 1));
        if self.mercator.as_ref().is_some_and(|mercator| *mercator == grid.srs) {
            if (south + MERCATOR_EDGE_M).abs() < 0.1 {
                degrees.min_y = -90.0;
            }
            if (north - MERCATOR_EDGE_M).abs() < 0.1 {
                degrees.max_y = 90.0;
            }
        }
        degrees
    }
}

fn write_overlay(
    layer: &ServedLayer,
    name: &str,
    extent: &Extent,
    subtiles: &[SubTile],
    url: &BaseUrl<'_>,
) -> String {
    let tile_px = layer.grid().tile_size.0;
    let prefix = format!("{}/kml/{}/{}", url.script_url(), layer.layer.name, layer.spec);
    let mut xml = XmlWriter::new();
    xml.open("kml").attribute("xmlns", "http://www.opengis.net/kml/2.2");
    xml.open("Document").leaf("name", name);
    xml.open("Region");
    write_box(&mut xml, "LatLonAltBox", extent);
    xml.close();
    for SubTile { tile, extent } in subtiles {
        let PublicTile { x, y, z } = tile;
        xml.open("NetworkLink").leaf("name", &format!("{name} - ({x}, {y}, {z})"));
        xml.open("Region");
        write_box(&mut xml, "LatLonAltBox", extent);
        xml.open("Lod").leaf("minLodPixels", &(tile_px / 2).to_string()).leaf("maxLodPixels", "-1").close();
        xml.close();
        xml.open("Link")
            .leaf("href", &format!("{prefix}/{z}/{x}/{y}.kml"))
            .leaf("viewRefreshMode", "onRegion")
            .open("viewFormat")
            .close();
        xml.close();
        xml.close();
    }
    for SubTile { tile, extent } in subtiles {
        let PublicTile { x, y, z } = tile;
        xml.open("GroundOverlay").leaf("name", &format!("({x}, {y}, {z})"));
        xml.open("Region");
        write_box(&mut xml, "LatLonAltBox", extent);
        xml.open("Lod")
            .leaf("minLodPixels", &(tile_px / 2).to_string())
            .leaf("maxLodPixels", &tile_px.saturating_mul(3).to_string())
            .leaf("minFadeExtent", "8")
            .leaf("maxFadeExtent", "8")
            .close();
        xml.close();
        xml.leaf("drawOrder", &z.to_string());
        xml.open("Icon").leaf("href", &format!("{prefix}/{z}/{x}/{y}.{}", layer.format)).close();
        write_box(&mut xml, "LatLonBox", extent);
        xml.close();
    }
    xml.finish()
}

fn write_box(xml: &mut XmlWriter, name: &'static str, extent: &Extent) {
    xml.open(name)
        .leaf("north", &format!("{:.6}", extent.max_y))
        .leaf("south", &format!("{:.6}", extent.min_y))
        .leaf("east", &format!("{:.6}", extent.max_x))
        .leaf("west", &format!("{:.6}", extent.min_x))
        .close();
}
