//! Tile matrix sets, which are the grids of the configuration, and the tile
//! sets that each collection has on them.

use minijinja::context;
use serde_json::{Value, json};

use super::collections::numbers;
use super::landing::{HTML, JSON};
use super::refusal::Refusal;
use super::subject::Scope;
use super::{Visit, WEB_MERCATOR, request, scope_path, segment};
use crate::geo::{Origin, Srs, TileGrid, ogc};
use crate::service::Answer;
use crate::service::wms::layer::LayerExtent;

const MERCATOR_URI: &str = "http://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad";
const MERCATOR_SCALES: &str = "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible";
const TILING_SCHEME: &str = "http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme";
/// Metres of a pixel by which the OGC computes scales.
const PIXEL_M: f64 = 0.00028;

/// The system of a grid for clients: longitude first.
fn system(grid: &TileGrid) -> Srs {
    let plain = (grid.srs.code() == "EPSG:4326").then(|| Srs::parse("OGC:CRS84").ok()).flatten();
    plain.unwrap_or_else(|| grid.srs.clone())
}

impl Visit<'_> {
    pub(super) fn tile_matrix_sets(&self) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let sets: Vec<Value> = self
            .api
            .grids
            .iter()
            .map(|(id, _)| {
                let title =
                    |kind: &str| format!("The {kind} representation of the {id} tiling scheme definition");
                let path = format!("/ogcapi/tileMatrixSets/{}", segment(id));
                let links = self.both([&title("JSON"), &title("HTML")], &path);
                let mut set = json!({ "id": id, "title": id, "links": links });
                if id == WEB_MERCATOR {
                    set["uri"] = json!(MERCATOR_URI);
                }
                set
            })
            .collect();
        let json = json!({ "tileMatrixSets": sets });
        Ok(self.document("matrix_sets.html", "Tile matrix sets", &json, context! {}))
    }

    pub(super) fn tile_matrix_set(&self, id: &str) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let grid = self.api.grid(id)?;
        let srs = system(grid);
        let mut json = json!({ "id": id, "title": id, "crs": ogc::url(&srs) });
        if id == WEB_MERCATOR {
            json["uri"] = json!(MERCATOR_URI);
            json["wellKnownScaleSet"] = json!(MERCATOR_SCALES);
        }
        let (corner, y) = match grid.origin {
            Origin::NorthWest => ("topLeft", grid.extent.max_y),
            Origin::SouthWest => ("bottomLeft", grid.extent.min_y),
        };
        let x = grid.extent.min_x;
        let point = if srs.is_axis_order_ne() { [y, x] } else { [x, y] };
        let matrices: Vec<Value> = (0..grid.levels())
            .map(|level| {
                let (columns, rows) = grid.grid_size(level);
                let resolution = grid.resolution(level);
                json!({
                    "id": level.to_string(),
                    "cellSize": resolution,
                    "scaleDenominator": resolution * grid.srs.meters_per_unit() / PIXEL_M,
                    "cornerOfOrigin": corner,
                    "pointOfOrigin": point,
                    "matrixWidth": columns,
                    "matrixHeight": rows,
                    "tileWidth": grid.tile_size.0,
                    "tileHeight": grid.tile_size.1,
                })
            })
            .collect();
        json["tileMatrices"] = json!(matrices);
        Ok(self.document("matrix_set.html", id, &json, context! {}))
    }

    pub(super) fn tile_sets(&self, scope: Scope<'_>) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let extent = self.scope_extent(scope)?;
        let whose = whose(scope);
        let title = |kind: &str| {
            format!("The {kind} representation of the available map tilesets {whose} (as {kind})")
        };
        let path = format!("{}/map/tiles", scope_path(scope));
        let links = self.both([&title("JSON"), &title("HTML")], &path);
        let fitting = |grid: &TileGrid| grid.srs.is_beyond_earth() == extent.srs.is_beyond_earth();
        let sets: Vec<Value> = self
            .api
            .grids
            .iter()
            .filter(|(_, grid)| fitting(grid))
            .map(|(id, grid)| self.description_of_set(scope, id, grid))
            .collect();
        let ids: Vec<String> =
            self.api.grids.iter().filter(|(_, grid)| fitting(grid)).map(|(id, _)| id.clone()).collect();
        let json = json!({ "links": links, "tilesets": sets });
        let name = self.scope_title(scope);
        Ok(self.document(
            "tile_sets.html",
            "Tiles",
            &json,
            context! { ids, name, place => scope_name(scope) },
        ))
    }

    pub(super) fn tile_set(&self, scope: Scope<'_>, id: &str) -> Result<Answer, Refusal> {
        request::check_document(&self.parameters)?;
        let extent = self.scope_extent(scope)?;
        let grid = self.api.grid(id)?;
        let mut json = self.description_of_set(scope, id, grid);
        let path = scope_path(scope);
        let mut more = Vec::from(self.scheme_links(id));
        if let Scope::Collection(name) = scope {
            const REL: &str = "http://www.opengis.net/def/rel/ogc/1.0/geodata";
            let title = |kind: &str| format!("{name} collection (as {kind})");
            more.push(self.link(REL, JSON, &title("JSON"), &format!("{path}?f=json")));
            more.push(self.link(REL, HTML, &title("HTML"), &format!("{path}?f=html")));
        }
        if let Some(links) = json["links"].as_array_mut() {
            links.extend(more);
        }
        let config = self.frame.html.then(|| {
            let srs = &grid.srs;
            self.frame.map_config(
                srs,
                extent.in_srs(srs),
                json!({ "tiles": self.viewer_tiles(&path, id, grid) }),
            )
        });
        let name = self.scope_title(scope);
        let values = context! { config, id, name, place => scope_name(scope) };
        let answer = self.document("tile_set.html", id, &json, values);
        let template = format!("{}{path}/map/tiles/{}", self.frame.mount_path(), segment(id));
        let fields = self.api.offered().take(1).map(|[mime, _, extension]| {
            let place = "{tileMatrix}/{tileRow}/{tileCol}";
            let value = format!("<{template}/{place}.{extension}>; rel=\"item\"; type=\"{mime}\"");
            ("Link-Template".into(), value)
        });
        Ok(super::draw::with_fields(answer, fields.collect()))
    }

    /// What a list and the tile set's own document say of it.
    fn description_of_set(&self, scope: Scope<'_>, id: &str, grid: &TileGrid) -> Value {
        let title = match scope {
            Scope::Collection(name) => format!("{name} with {id} tile matrix set"),
            Scope::Dataset => format!("Whole dataset with {id} tile matrix set"),
        };
        let mut json = json!({ "title": title });
        if id == WEB_MERCATOR {
            json["tileMatrixSetURI"] = json!(MERCATOR_URI);
        }
        json["dataType"] = json!("map");
        json["crs"] = json!(ogc::url(&system(grid)));
        let path = format!("{}/map/tiles/{}", scope_path(scope), segment(id));
        let whose = whose(scope);
        let own = |kind: &str| format!("{id} map tileset {whose} (as {kind})");
        let mut links = Vec::from(self.scheme_links(id));
        links.extend(self.both([&own("JSON"), &own("HTML")], &path));
        for [mime, kind, extension] in self.api.offered() {
            let title = format!("{id} map tiles {whose} (as {kind})");
            let template = format!("{path}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}.{extension}");
            let mut link = self.link("item", mime, &title, &template);
            link["templated"] = json!(true);
            links.push(link);
        }
        json["links"] = json!(links);
        json
    }

    fn scheme_links(&self, id: &str) -> [Value; 2] {
        let path = format!("/ogcapi/tileMatrixSets/{}", segment(id));
        [
            self.link(TILING_SCHEME, JSON, &format!("{id} definition (as JSON)"), &format!("{path}?f=json")),
            self.link(TILING_SCHEME, HTML, &format!("{id} definition (as HTML)"), &format!("{path}?f=html")),
        ]
    }

    /// What the page's map needs to know of the tiles.
    fn viewer_tiles(&self, path: &str, id: &str, grid: &TileGrid) -> Value {
        let levels: Vec<Value> = (0..grid.levels())
            .map(|level| {
                let (columns, rows) = grid.grid_size(level);
                let resolution = grid.resolution(level);
                let height = f64::from(grid.tile_size.1) * resolution * rows as f64;
                let top = match grid.origin {
                    Origin::NorthWest => grid.extent.max_y,
                    Origin::SouthWest => grid.extent.min_y + height,
                };
                json!({
                    "resolution": resolution,
                    "corner": [grid.extent.min_x, top],
                    "columns": columns,
                    "rows": rows,
                })
            })
            .collect();
        json!({
            "address": self.href(&format!("{path}/map/tiles/{}/{{z}}/{{y}}/{{x}}.{}", segment(id), self.api.shown_extension())),
            "from_south": grid.origin == Origin::SouthWest,
            "tile_size": [grid.tile_size.0, grid.tile_size.1],
            "levels": levels,
            "extent": numbers(&grid.extent),
        })
    }

    fn scope_extent(&self, scope: Scope<'_>) -> Result<LayerExtent, Refusal> {
        match scope {
            Scope::Dataset => self.api.dataset_extent(),
            Scope::Collection(name) => Ok(self.api.layers.node(self.api.collection(name)?).extent.clone()),
        }
    }

    fn scope_title(&self, scope: Scope<'_>) -> String {
        match scope {
            Scope::Dataset => "the whole data set".to_owned(),
            Scope::Collection(name) => {
                let at = self.api.layers.find(name);
                let title = at.map(|at| self.api.layers.node(at).title.clone());
                title.filter(|title| !title.is_empty()).unwrap_or_else(|| name.to_owned())
            }
        }
    }
}

/// The address of a scope's page; empty for the data set.
fn scope_name(scope: Scope<'_>) -> Option<String> {
    match scope {
        Scope::Dataset => None,
        Scope::Collection(_) => Some(scope_path(scope)),
    }
}

fn whose(scope: Scope<'_>) -> String {
    match scope {
        Scope::Dataset => "for the whole dataset".to_owned(),
        Scope::Collection(name) => format!("for {name}"),
    }
}
