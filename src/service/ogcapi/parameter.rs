//! The parameters of the OGC API as its OpenAPI document describes them.

use serde_json::{Value, json};

use super::OgcApi;

/// What a value looks like.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Flag,
    /// One of these; the first where none is given.
    Choice(&'static [&'static str]),
    /// A format of images that this service offers.
    Format,
    /// A collection of this service.
    Collection,
    /// A tile matrix set of this service.
    Set,
    /// A row or column.
    Index,
    /// Pixels of one side.
    Side,
    AboveZero,
    /// So many numbers, from and to.
    Numbers(u32, u32),
    Names,
}

/// Name in the document, shape, meaning.
const PARAMETERS: [(&str, Shape, &str); 22] = [
    (
        "f",
        Shape::Choice(&["json", "html"]),
        "The format of the document; without it what the client accepts decides.",
    ),
    (
        "ui",
        Shape::Choice(&["swagger", "redoc"]),
        "The page of this document: with forms to try requests (`swagger`) or only to read (`redoc`).",
    ),
    ("f_image", Shape::Format, "The format of the image; without it what the client accepts decides."),
    ("collectionId", Shape::Collection, "The collection's name."),
    ("tileMatrixSetId", Shape::Set, "The tile matrix set's name."),
    ("tileMatrix", Shape::Text, "The level of the tile matrix set, from 0 on."),
    ("tileRow", Shape::Index, "The row of the tile, counted from the corner of origin."),
    ("tileCol", Shape::Index, "The column of the tile, counted from the corner of origin."),
    (
        "width",
        Shape::Side,
        "Pixels across. Without it the width follows from the height and the area. Together with `center` or `scale-denominator` it says how much of the map is shown.",
    ),
    (
        "height",
        Shape::Side,
        "Pixels down. Without it the height follows from the width and the area. Together with `center` or `scale-denominator` it says how much of the map is shown.",
    ),
    (
        "crs",
        Shape::Text,
        "The coordinate system of the map: a URL of the OGC, `EPSG:3857` or `[EPSG:3857]`; one of those that the collections list.",
    ),
    (
        "bbox",
        Shape::Numbers(4, 6),
        "The area: its lower left and its upper right corner, in `bbox-crs`. Heights are ignored.",
    ),
    (
        "bbox-crs",
        Shape::Text,
        "The coordinate system of `bbox`; CRS84, longitude before latitude, where it is not named.",
    ),
    ("center", Shape::Numbers(2, 2), "The middle of the map, in `center-crs`."),
    ("center-crs", Shape::Text, "The coordinate system of `center`; CRS84 where it is not named."),
    ("subset", Shape::Names, "The area by axis: `Lon(5:10),Lat(50:55)`, or `E(…),N(…)` in `subset-crs`."),
    ("subset-crs", Shape::Text, "The coordinate system of `subset`; CRS84 where it is not named."),
    ("scale-denominator", Shape::AboveZero, "The scale of the map on the client's display."),
    (
        "mm-per-pixel",
        Shape::AboveZero,
        "The size of a pixel on the client's display in millimetres; 0.28 where it is not named.",
    ),
    (
        "bgcolor",
        Shape::Text,
        "The background: `0xRRGGBB`, `0xAARRGGBB` or one of the sixteen names of colours of the W3C.",
    ),
    ("transparent", Shape::Flag, "Whether the background may be seen through."),
    ("collections", Shape::Names, "Only these collections, bottom to top."),
];

/// Parts of paths.
const IN_PATH: [&str; 5] = ["collectionId", "tileMatrixSetId", "tileMatrix", "tileRow", "tileCol"];

impl OgcApi {
    /// One parameter of the document; `f_image` is the `f` of images.
    pub(super) fn parameter(&self, name: &str) -> Value {
        let found = PARAMETERS.iter().find(|(known, ..)| *known == name);
        let Some((_, shape, about)) = found else { return Value::Null };
        let in_path = IN_PATH.contains(&name);
        let mut parameter = json!({
            "name": if name == "f_image" { "f" } else { name },
            "in": if in_path { "path" } else { "query" },
            "description": about,
            "required": in_path,
            "schema": self.schema(*shape),
        });
        if !in_path {
            parameter["style"] = json!("form");
            parameter["explode"] = json!(false);
        }
        parameter
    }

    fn schema(&self, shape: Shape) -> Value {
        match shape {
            Shape::Text => json!({ "type": "string" }),
            Shape::Flag => json!({ "type": "boolean" }),
            Shape::Choice(values) => json!({ "type": "string", "enum": values, "default": values.first() }),
            Shape::Format => {
                let names: Vec<String> = self.offered().map(|[_, kind, _]| kind.to_lowercase()).collect();
                json!({ "type": "string", "enum": names, "default": names.first() })
            }
            Shape::Collection => json!({ "type": "string", "enum": self.names }),
            Shape::Set => {
                let ids: Vec<&str> = self.grids.iter().map(|(id, _)| id.as_str()).collect();
                json!({ "type": "string", "enum": ids })
            }
            Shape::Index => json!({ "type": "integer", "minimum": 0 }),
            Shape::Side => json!({ "type": "integer", "minimum": 1, "maximum": self.limits.side_px_max }),
            Shape::AboveZero => json!({ "type": "number", "minimum": 0, "exclusiveMinimum": true }),
            Shape::Numbers(least, most) => {
                json!({ "type": "array", "items": { "type": "number" }, "minItems": least, "maxItems": most })
            }
            Shape::Names => json!({ "type": "array", "items": { "type": "string" } }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_described_once() {
        for (at, (name, _, about)) in PARAMETERS.iter().enumerate() {
            assert!(about.contains(' ') && about.ends_with('.'), "{name}");
            assert!(!PARAMETERS[..at].iter().any(|(known, ..)| known == name), "{name}");
        }
    }
}
