//! A site as somebody may see it: layers that he may not see are not there,
//! of others only the part that he may see is. Every service is then the same
//! as for everybody else: what it does not know, it cannot show.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::permit::{Feature, Kind, Partial};
use super::site::SiteParts;
use super::tile::{TileLayer, TileProvider};
use super::wms::WmsLayer;
use crate::geo::{Coverage, TileCoord, TileGrid};
use crate::plan::limited::{LimitedInfo, LimitedLayer};
use crate::plan::{InfoLayer, MapLayer, PlanError, Tile, TileAddress, TileFile, Turn};
use crate::render::{self, DecodeLimits, Format, ImageOptions, Raster, mask};

/// The parts of one service (of all of them for the demo pages), cut to a permit.
pub fn restrict(parts: &SiteParts, kind: Kind, permit: &Partial) -> SiteParts {
    let wanted = |service: Kind| kind == service || kind == Kind::Demo;
    let tiles = |layers: &[TileLayer], feature| tile_layers(layers, feature, permit);
    SiteParts {
        wms: parts.wms.as_ref().filter(|_| wanted(Kind::Wms)).map(|wms| {
            let mut wms = wms.clone();
            wms.tile_layers = tiles(&wms.tile_layers, Feature::Map);
            wms.root = root(&wms.root, permit);
            wms
        }),
        wmts: parts.wmts.as_ref().filter(|_| wanted(Kind::Wmts)).map(|wmts| {
            let layers = tiles(&wmts.layers, Feature::Tile);
            super::wmts::WmtsParts { layers, ..wmts.clone() }
        }),
        tms: parts.tms.as_ref().filter(|_| wanted(Kind::Tms)).map(|tms| {
            let layers = tiles(&tms.layers, Feature::Tile);
            super::tms::TmsParts { layers, ..tms.clone() }
        }),
        kml: parts.kml.as_ref().filter(|_| wanted(Kind::Kml)).map(|kml| {
            let layers = tiles(&kml.layers, Feature::Tile);
            super::kml::KmlParts { layers, ..kml.clone() }
        }),
        ogcapi: parts.ogcapi.as_ref().filter(|_| wanted(Kind::OgcApi)).map(|ogcapi| {
            let mut ogcapi = ogcapi.clone();
            ogcapi.tiles = tiles(&ogcapi.tiles, Feature::Map);
            ogcapi.root = root(&ogcapi.root, permit);
            ogcapi
        }),
        demo: parts.demo.clone().filter(|_| kind == Kind::Demo),
        cors: parts.cors.clone(),
        hide_error_details: parts.hide_error_details,
        decorations: parts.decorations.clone(),
    }
}

/// The root stays, if only as a group without members.
pub(super) fn root(layer: &WmsLayer, permit: &Partial) -> WmsLayer {
    map_layer(layer, permit).unwrap_or_else(|| WmsLayer {
        name: None,
        maps: None,
        children: Vec::new(),
        infos: Vec::new(),
        legends: Vec::new(),
        ..layer.clone()
    })
}

/// One node with what is left below it; `None` where nothing is. A group is
/// there as long as something in it is; one that draws by itself needs a permit
/// of its own.
fn map_layer(layer: &WmsLayer, permit: &Partial) -> Option<WmsLayer> {
    let name = layer.name.as_deref().unwrap_or_default();
    let children: Vec<WmsLayer> =
        layer.children.iter().filter_map(|child| map_layer(child, permit)).collect();
    let areas = permit.areas(name);
    let own = layer.maps.as_ref().filter(|_| permit.allows(name, Feature::Map));
    let maps = own.map(|maps| limited_maps(maps, &areas)).filter(|maps| !maps.is_empty());
    // A layer without a source that draws is one all the same.
    let maps = maps.or_else(|| own.filter(|maps| maps.is_empty()).cloned());
    let infos = match permit.allows(name, Feature::FeatureInfo) {
        true => limited_infos(&layer.infos, &areas),
        false => Vec::new(),
    };
    if maps.is_none() && children.is_empty() && infos.is_empty() {
        return None;
    }
    let draws_itself = layer.maps.is_some() && !layer.children.is_empty();
    let is_shown = maps.is_some() || (!draws_itself && !children.is_empty()) || !infos.is_empty();
    let legends = if maps.is_some() { layer.legends.clone() } else { Vec::new() };
    // Who may only ask about points gets nothing drawn.
    let maps = maps.or_else(|| layer.maps.as_ref().filter(|_| children.is_empty()).map(|_| Vec::new()));
    Some(WmsLayer {
        name: layer.name.clone().filter(|_| is_shown),
        maps,
        children,
        infos,
        legends,
        ..layer.clone()
    })
}

fn limited_maps(maps: &[Arc<dyn MapLayer>], areas: &[Coverage]) -> Vec<Arc<dyn MapLayer>> {
    if areas.is_empty() {
        return maps.to_vec();
    }
    let limited = maps.iter().map(|map| LimitedLayer { inner: Arc::clone(map), areas: areas.to_vec() });
    limited.filter(LimitedLayer::shows_anything).map(|layer| Arc::new(layer) as Arc<dyn MapLayer>).collect()
}

fn limited_infos(infos: &[Arc<dyn InfoLayer>], areas: &[Coverage]) -> Vec<Arc<dyn InfoLayer>> {
    if areas.is_empty() {
        return infos.to_vec();
    }
    let limited = infos.iter().map(|info| LimitedInfo { inner: Arc::clone(info), areas: areas.to_vec() });
    limited.map(|info| Arc::new(info) as Arc<dyn InfoLayer>).collect()
}

pub(super) fn tile_layers(layers: &[TileLayer], feature: Feature, permit: &Partial) -> Vec<TileLayer> {
    layers.iter().filter_map(|layer| tile_layer(layer, feature, permit)).collect()
}

fn tile_layer(layer: &TileLayer, feature: Feature, permit: &Partial) -> Option<TileLayer> {
    let tiles = permit.allows(&layer.name, feature);
    let infos = permit.allows(&layer.name, Feature::FeatureInfo);
    if !tiles && !infos {
        return None;
    }
    let areas = permit.areas(&layer.name);
    let mut limited = layer.clone();
    limited.infos = if infos { limited_infos(&layer.infos, &areas) } else { Vec::new() };
    let (extent, srs) = &layer.extent;
    for area in &areas {
        // Nothing of it is left: its tiles are blank, and its extent a point.
        let within = area.srs.transform_extent(srs, &area.extent);
        if let Some(rest) = within.and_then(|area| limited.extent.0.intersection(&area)) {
            limited.extent.0 = rest;
        } else if !area.intersects(extent, srs) {
            return None;
        }
    }
    limited.whole_edges = limited.extent.0.whole_edges_of(&[(*extent, layer.whole_edges)]);
    if !areas.is_empty() {
        limited.tiles = Arc::new(LimitedTiles { inner: Arc::clone(&layer.tiles), areas });
    }
    Some(limited)
}

/// Tiles cut to areas; those that are cut become PNG, as with MapProxy.
struct LimitedTiles {
    inner: Arc<dyn TileProvider>,
    areas: Vec<Coverage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Inside,
    Across,
    Outside,
}

impl LimitedTiles {
    fn place(&self, coord: TileCoord) -> Place {
        let grid = self.inner.grid();
        let extent = grid.tile_extent(coord);
        if !self.areas.iter().all(|area| area.intersects(&extent, &grid.srs)) {
            return Place::Outside;
        }
        let inside = self.areas.iter().all(|area| area.contains(&extent, &grid.srs));
        if inside { Place::Inside } else { Place::Across }
    }

    fn blank(&self) -> Result<Tile, PlanError> {
        let (width, height) = self.inner.grid().tile_size;
        Ok(Tile {
            bytes: png(&Raster::filled(width, height, [255, 255, 255, 0]))?,
            format: Format::Png,
            modified: Some(UNIX_EPOCH),
            cacheable: true,
            from_store: false,
            identity: None,
        })
    }
}

fn failed(reason: String) -> PlanError {
    PlanError::Image { origin: "a limited tile".into(), reason }
}

fn png(raster: &Raster) -> Result<Arc<[u8]>, PlanError> {
    let options = ImageOptions { transparent: Some(true), ..ImageOptions::new(Format::Png) };
    let encoded = render::encode(raster, &options, None).map_err(|error| failed(error.to_string()))?;
    Ok(encoded.bytes.into())
}

impl TileProvider for LimitedTiles {
    fn grid(&self) -> &Arc<TileGrid> {
        self.inner.grid()
    }

    fn format(&self) -> Format {
        self.inner.format()
    }

    fn image(&self) -> &ImageOptions {
        self.inner.image()
    }

    fn tile_file(&self, tile: &TileAddress) -> Option<TileFile> {
        (self.place(tile.coord) == Place::Inside).then(|| self.inner.tile_file(tile)).flatten()
    }

    fn tile(&self, tile: &TileAddress, turn: &Turn) -> Result<Tile, PlanError> {
        let place = self.place(tile.coord);
        if place == Place::Outside {
            return self.blank();
        }
        let whole = self.inner.tile(tile, turn)?;
        if place == Place::Inside {
            return Ok(whole);
        }
        let decoded = render::decode(&whole.bytes, &DecodeLimits::default());
        let mut raster = decoded.map_err(|error| failed(error.to_string()))?;
        let grid = self.inner.grid();
        for area in &self.areas {
            mask::clip(&mut raster, &grid.tile_extent(tile.coord), &grid.srs, area);
        }
        Ok(Tile { bytes: png(&raster)?, format: Format::Png, ..whole })
    }
}
