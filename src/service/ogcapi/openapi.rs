//! The OpenAPI 3.0 document, and the page that shows it. The document refers to
//! nothing outside of itself, so that both work without a network.

use minijinja::context;
use minijinja::value::Serde;
use serde_json::{Map, Value, json};

use super::landing::{HTML, JSON, OPENAPI};
use super::refusal::Refusal;
use super::{OgcApi, Visit, json_response, request};
use crate::service::Answer;

/// The image parameters of maps.
const OF_MAPS: [&str; 15] = [
    "f_image",
    "width",
    "height",
    "crs",
    "bbox",
    "bbox-crs",
    "center",
    "center-crs",
    "subset",
    "subset-crs",
    "scale-denominator",
    "mm-per-pixel",
    "bgcolor",
    "transparent",
    "collections",
];
/// Of these, maps of one collection have all but the last.
const OF_COLLECTION_MAPS: usize = OF_MAPS.len() - 1;

const TILE: &str = "{tileMatrixSetId}/{tileMatrix}/{tileRow}/{tileCol}";

/// A route as the document describes it.
struct Operation {
    path: String,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    parameters: Vec<&'static str>,
    /// The response component of success.
    answer: &'static str,
    /// Whether something that is named may not exist.
    may_be_missing: bool,
}

impl Operation {
    fn json(&self) -> Value {
        let reference = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
        let response = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
        let mut responses = json!({ "200": response(self.answer), "400": response("InvalidParameter") });
        if self.may_be_missing {
            responses["404"] = response("NotFound");
        }
        if self.answer == "Image" {
            responses["406"] = response("NotAcceptable");
        }
        responses["500"] = response("ServerError");
        json!({ "get": {
            "summary": self.summary,
            "operationId": self.id,
            "tags": [self.tag],
            "parameters": self.parameters.iter().map(|name| reference(name)).collect::<Vec<_>>(),
            "responses": responses,
        } })
    }
}

impl Visit<'_> {
    pub(super) fn openapi(&self) -> Result<Answer, Refusal> {
        request::check(&self.parameters, &["f", "ui"], &["json", "html"])?;
        let ui = self.parameters.first("ui");
        if !matches!(ui, None | Some("swagger" | "redoc")) {
            return Err(Refusal::invalid("Invalid value for ui query parameter"));
        }
        if ui.is_some() && !self.frame.html {
            return Err(Refusal::invalid("ui query parameter can only be used with HTML output"));
        }
        let json = self.openapi_document();
        if !self.frame.html {
            return Ok(Answer::Ready(json_response(OPENAPI, &json)));
        }
        let operations = self.operations_shown(&json);
        let more = context! { operations => minijinja::Value::from(Serde(&operations)), to_try => ui != Some("redoc") };
        Ok(Answer::Ready(self.frame.document("api.html", "API", &json, more)))
    }

    fn openapi_document(&self) -> Value {
        let api = self.api;
        let said = |key: &str| api.metadata(key).filter(|text| !text.is_empty());
        let mut info = json!({
            "title": said("identification.title").unwrap_or("OGC API"),
            "version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(text) = said("identification.description") {
            info["description"] = json!(text);
        }
        let keywords: Vec<&str> = api
            .metadata
            .iter()
            .filter(|(key, _)| key == "identification.keywords")
            .map(|(_, text)| text.as_str())
            .collect();
        if !keywords.is_empty() {
            info["x-keywords"] = json!(keywords);
        }
        if let Some(url) = said("identification.terms_of_service").filter(|text| is_address(text)) {
            info["termsOfService"] = json!(url);
        }
        if let Some(name) = said("license.name") {
            info["license"] = match said("license.url").filter(|text| is_address(text)) {
                Some(url) => json!({ "name": name, "url": url }),
                None => json!({ "name": name }),
            };
        }
        if let Some(contact) = api.contact() {
            info["contact"] = contact;
        }
        if api.enable_maps {
            info["x-OGC-limits"] = json!({ "maps": {
                "maxWidth": api.limits.side_px_max,
                "maxHeight": api.limits.side_px_max,
                "maxPixels": api.limits.pixels_max,
            } });
        }
        let mut server = json!({ "url": self.href("/ogcapi") });
        if let Some(text) = said("identification.description") {
            server["description"] = json!(text);
        }
        let operations = api.operations();
        let paths: Map<String, Value> = operations.iter().map(|o| (o.path.clone(), o.json())).collect();
        let mut tag = json!({ "name": "server", "description": said("identification.description").unwrap_or("Documents about this service") });
        if let Some(url) = said("identification.url").filter(|text| is_address(text)) {
            tag["externalDocs"] = json!({ "description": "information", "url": url });
        }
        let mut tags = vec![tag];
        if api.enable_maps {
            tags.push(json!({ "name": "maps", "description": "Maps of any area, size and system" }));
        }
        if api.enable_tiles {
            tags.push(json!({ "name": "tiles", "description": "Map tiles and their tile matrix sets" }));
        }
        json!({
            "openapi": "3.0.2",
            "info": info,
            "servers": [server],
            "tags": tags,
            "paths": paths,
            "components": { "parameters": api.parameters(&operations), "responses": api.responses(), "schemas": schemas() },
        })
    }

    /// The operations as the page lists them: parameters in place of references.
    fn operations_shown(&self, document: &Value) -> Vec<Value> {
        let parameters = &document["components"]["parameters"];
        let shown = |operation: &Operation| {
            let full: Vec<&Value> = operation.parameters.iter().map(|name| &parameters[*name]).collect();
            json!({
                "path": operation.path,
                "summary": operation.summary,
                "id": operation.id,
                "tag": operation.tag,
                "image": operation.answer == "Image",
                "parameters": full,
                "responses": operation.json()["get"]["responses"].as_object().map(|all| {
                    all.iter().map(|(status, response)| {
                        let name = response["$ref"].as_str().and_then(|text| text.rsplit('/').next()).unwrap_or_default();
                        json!({ "status": status, "about": document["components"]["responses"][name]["description"] })
                    }).collect::<Vec<_>>()
                }),
            })
        };
        self.api.operations().iter().map(shown).collect()
    }
}

impl OgcApi {
    /// The routes in the order of the document.
    fn operations(&self) -> Vec<Operation> {
        let document = |path: &str, id, summary, answer| Operation {
            path: path.to_owned(),
            id,
            tag: "server",
            summary,
            parameters: vec!["f"],
            answer,
            may_be_missing: false,
        };
        let mut all = vec![
            document("/", "getLandingPage", "The landing page: links to everything else", "Document"),
            Operation {
                parameters: vec!["f", "ui"],
                ..document("/api", "getOpenapi", "This description of the API", "ApiDocument")
            },
            document("/collections", "getCollections", "All collections", "Collections"),
            Operation {
                parameters: vec!["collectionId", "f"],
                may_be_missing: true,
                ..document("/collections/{collectionId}", "getCollection", "One collection", "Collection")
            },
        ];
        all.extend(self.collection_operations());
        all.extend(self.dataset_operations());
        if self.enable_tiles && !self.grids.is_empty() {
            all.push(Operation {
                tag: "tiles",
                ..document("/tileMatrixSets", "listTileMatrixSets", "All tile matrix sets", "TileMatrixSets")
            });
            all.push(Operation {
                tag: "tiles",
                parameters: vec!["tileMatrixSetId", "f"],
                may_be_missing: true,
                ..document(
                    "/tileMatrixSets/{tileMatrixSetId}",
                    "describeTileMatrixSet",
                    "One tile matrix set",
                    "TileMatrixSet",
                )
            });
        }
        const CONFORMANCE: &str = "What this service conforms to";
        all.push(document("/conformance", "getConformanceDeclaration", CONFORMANCE, "Conformance"));
        all
    }

    /// Maps and tiles of one collection.
    fn collection_operations(&self) -> Vec<Operation> {
        let in_collection = |mut parameters: Vec<&'static str>| {
            parameters.insert(0, "collectionId");
            parameters
        };
        let mut all = Vec::new();
        if self.enable_maps {
            all.push(Operation {
                path: "/collections/{collectionId}/map".to_owned(),
                id: "getCollectionMap",
                tag: "maps",
                summary: "A map of one collection",
                parameters: in_collection(OF_MAPS[..OF_COLLECTION_MAPS].to_vec()),
                answer: "Image",
                may_be_missing: true,
            });
        }
        if self.enable_tiles {
            const IDS: [&str; 3] =
                ["listCollectionMapTileSets", "describeCollectionMapTileSet", "getCollectionMapTile"];
            let tiles = self.tile_operations("/collections/{collectionId}/map/tiles", IDS);
            all.extend(tiles.into_iter().map(|o| Operation { parameters: in_collection(o.parameters), ..o }));
        }
        all
    }

    /// Maps and tiles of the whole data set.
    fn dataset_operations(&self) -> Vec<Operation> {
        let mut all = Vec::new();
        if self.dataset.is_none() {
            return all;
        }
        if self.enable_maps {
            all.push(Operation {
                path: "/map".to_owned(),
                id: "getDatasetMap",
                tag: "maps",
                summary: "A map of the whole data set",
                parameters: OF_MAPS.to_vec(),
                answer: "Image",
                may_be_missing: false,
            });
        }
        if self.enable_tiles {
            const IDS: [&str; 3] =
                ["listDatasetMapTileSets", "describeDatasetMapTileSet", "getDatasetMapTile"];
            let mut tiles = self.tile_operations("/map/tiles", IDS);
            let [.., tile] = &mut tiles;
            tile.parameters.push("collections");
            all.extend(tiles);
        }
        all
    }

    /// The list of tile sets, one of them, and a tile.
    fn tile_operations(&self, path: &str, ids: [&'static str; 3]) -> [Operation; 3] {
        let mut of_tile =
            vec!["tileMatrixSetId", "tileMatrix", "tileRow", "tileCol", "f_image", "bgcolor", "transparent"];
        if self.enable_maps {
            of_tile.extend(["width", "height", "scale-denominator", "mm-per-pixel"]);
        }
        let operation = |path: String, id, summary, parameters, answer| Operation {
            path,
            id,
            tag: "tiles",
            summary,
            parameters,
            answer,
            may_be_missing: true,
        };
        [
            operation(path.to_owned(), ids[0], "All sets of tiles", vec!["f"], "TileSets"),
            operation(
                format!("{path}/{{tileMatrixSetId}}"),
                ids[1],
                "One set of tiles",
                vec!["tileMatrixSetId", "f"],
                "TileSet",
            ),
            operation(format!("{path}/{TILE}"), ids[2], "One tile", of_tile, "Image"),
        ]
    }

    fn contact(&self) -> Option<Value> {
        let mut contact = Map::new();
        if let Some(name) = self.metadata("contact.name") {
            contact.insert("name".to_owned(), json!(name));
        }
        if let Some(url) = self.metadata("contact.url").filter(|text| is_address(text)) {
            contact.insert("url".to_owned(), json!(url));
        }
        if let Some(email) = self.metadata("contact.email").filter(|text| text.contains('@')) {
            contact.insert("email".to_owned(), json!(email));
        }
        (!contact.is_empty()).then_some(Value::Object(contact))
    }

    /// The parameters that the operations use.
    fn parameters(&self, operations: &[Operation]) -> Map<String, Value> {
        let mut found = Map::new();
        for name in operations.iter().flat_map(|operation| &operation.parameters) {
            if !found.contains_key(*name) {
                found.insert((*name).to_owned(), self.parameter(name));
            }
        }
        found
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl OgcApi {
    fn responses(&self) -> Value {
        let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        let page = || json!({ "schema": { "type": "string" } });
        let both = |about: &str, json: Value| json!({ "description": about, "content": { JSON: { "schema": json }, HTML: page() } });
        let refused = |about: &str| both(about, schema("Problem"));
        let image = json!({ "schema": { "type": "string", "format": "binary" } });
        let images: Map<String, Value> =
            self.offered().map(|[mime, ..]| (mime.to_owned(), image.clone())).collect();
        json!({
            "Document": both("Links to what there is", schema("Links")),
            "ApiDocument": { "description": "The API", "content": { OPENAPI: { "schema": { "type": "object" } }, HTML: page() } },
            "Conformance": both("Requirement classes", json!({
                "type": "object", "required": ["conformsTo"], "properties": { "conformsTo": { "type": "array", "items": { "type": "string" } } },
            })),
            "Collections": both("The collections", json!({
                "type": "object", "required": ["links", "collections"],
                "properties": { "links": list(schema("Link")), "collections": list(schema("Collection")) },
            })),
            "Collection": both("The collection", schema("Collection")),
            "TileMatrixSets": both("The tile matrix sets", json!({
                "type": "object", "required": ["tileMatrixSets"], "properties": { "tileMatrixSets": list(schema("TileMatrixSetItem")) },
            })),
            "TileMatrixSet": both("The tile matrix set", schema("TileMatrixSet")),
            "TileSets": both("The sets of tiles", json!({
                "type": "object", "required": ["tilesets"], "properties": { "links": list(schema("Link")), "tilesets": list(schema("TileSet")) },
            })),
            "TileSet": both("The set of tiles", schema("TileSet")),
            "Image": { "description": "The image; `Content-Bbox` and `Content-Crs` say what it shows", "content": images },
            "InvalidParameter": refused("A parameter is unknown or has no meaning"),
            "NotFound": refused("What is named does not exist"),
            "NotAcceptable": refused("The format is not served"),
            "ServerError": refused("The server or one of its sources failed"),
        })
    }
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let links = || list(json!({ "$ref": "#/components/schemas/Link" }));
    let positive = || json!({ "type": "number", "minimum": 0, "exclusiveMinimum": true });
    let pixels = || json!({ "type": "integer", "minimum": 1 });
    let numbers = |least: u32, most: u32| json!({ "type": "array", "items": { "type": "number" }, "minItems": least, "maxItems": most });
    json!({
        "Link": {
            "type": "object",
            "required": ["href", "rel"],
            "properties": { "href": text(), "rel": text(), "type": text(), "title": text(), "templated": { "type": "boolean" } },
        },
        "Links": { "type": "object", "required": ["links"], "properties": { "links": links() } },
        "Collection": {
            "type": "object",
            "required": ["id", "links"],
            "properties": {
                "id": text(), "title": text(), "description": text(), "attribution": text(), "attributionMediaType": text(), "dataType": text(),
                "extent": { "type": "object", "properties": { "spatial": { "$ref": "#/components/schemas/Area" } } }, "crs": list(text()), "storageCrs": text(), "links": links(),
                "minScaleDenominator": { "type": "number" }, "maxScaleDenominator": { "type": "number" },
                "minCellSize": { "type": "number" }, "maxCellSize": { "type": "number" },
            },
        },
        "Area": {
            "type": "object",
            "required": ["bbox"],
            "properties": { "bbox": list(numbers(4, 6)), "crs": text(), "storageCrsBbox": list(numbers(4, 6)) },
        },
        "TileMatrixSetItem": {
            "type": "object",
            "required": ["id", "links"],
            "properties": { "id": text(), "title": text(), "uri": text(), "links": links() },
        },
        "TileMatrixSet": {
            "type": "object",
            "required": ["id", "crs", "tileMatrices"],
            "properties": {
                "id": text(), "title": text(), "uri": text(), "crs": text(), "wellKnownScaleSet": text(),
                "tileMatrices": list(json!({ "$ref": "#/components/schemas/TileMatrix" })),
            },
        },
        // As the OGC's two-dimensional tile matrix sets (17-083r4) have it.
        "TileMatrix": {
            "type": "object",
            "required": ["id", "scaleDenominator", "cellSize", "pointOfOrigin", "tileWidth", "tileHeight", "matrixWidth", "matrixHeight"],
            "properties": {
                "id": text(), "scaleDenominator": positive(), "cellSize": positive(), "pointOfOrigin": numbers(2, 2),
                "cornerOfOrigin": { "type": "string", "enum": ["topLeft", "bottomLeft"] },
                "tileWidth": pixels(), "tileHeight": pixels(), "matrixWidth": pixels(), "matrixHeight": pixels(),
            },
        },
        "TileSet": {
            "type": "object",
            "required": ["dataType", "crs", "links"],
            "properties": { "title": text(), "dataType": text(), "crs": text(), "tileMatrixSetURI": text(), "links": links() },
        },
        "Problem": {
            "type": "object",
            "required": ["title", "status", "detail"],
            "properties": { "title": text(), "type": text(), "status": { "type": "integer" }, "detail": text() },
        },
    })
}
