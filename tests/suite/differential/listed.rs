//! The differences that docs/migration.md names, each with the test whether a
//! pair of answers differs in this way and in no other.

use super::grammar::Asked;
use super::site;
use crate::harness::Reply;
use crate::harness::compare::{raster, tree_lines};
use crate::wms_documents::difference;

struct Listed {
    /// In the words of docs/migration.md.
    reason: &'static str,
    holds: fn(&Asked, &Reply, &Reply) -> bool,
}

const LISTED: &[Listed] = &[
    Listed {
        reason: "a request that cannot be read: internal error there, the protocol's exception here",
        holds: |_, ours, theirs| is_internal_error(theirs) && is_exception(ours),
    },
    Listed {
        reason: "a failure that is to be told as an image of no known format: internal error there, PNG here",
        holds: |asked, ours, theirs| {
            is_internal_error(theirs) && asked.wants_images() && ours.content_type().starts_with("image/")
        },
    },
    Listed {
        reason: "a failure told as an image: its type as the request wrote it there, that of the image here",
        holds: |asked, ours, theirs| {
            asked.wants_images()
                && asked.value("format").is_some_and(|format| theirs.content_type() == format)
                && (ours.status, theirs.status) == (200, 200)
                && ours.content_type().starts_with("image/")
        },
    },
    Listed {
        reason: "numbers that are none, or no size: drawn or asked about all the same there, an exception here",
        holds: |asked, ours, _| {
            let text = ours.text();
            let is_center = asked.values("center").any(|center| center.contains("nan"));
            if is_of_ogcapi(asked) && is_center && ours.status == 400 {
                return true;
            }
            let is_told = is_exception(ours)
                && ["invalid bbox nan", "invalid size"].iter().any(|said| text.contains(said));
            let has_nan =
                ["x", "y", "i", "j", "bbox"].iter().any(|name| asked.values(name).any(|v| v.contains("nan")));
            let is_position = is_exception(ours) && text.contains("invalid position")
                || asked.wants_images() && ours.content_type().starts_with("image/");
            is_told || has_nan && is_position
        },
    },
    Listed {
        reason: "a cache with several grids, in a system of none of them: internal error there, an image here; TIFF in EPSG:900913 too",
        holds: |asked, ours, theirs| {
            is_internal_error(theirs)
                && is_picture(ours)
                && (asked.value("layers") == Some("merc")
                    || asked.target.starts_with("/ogcapi/collections/merc/")
                    || ["CRS:84", "EPSG:900913"]
                        .iter()
                        .any(|code| asked.has("srs", code) || asked.has("crs", code)))
        },
    },
    Listed {
        reason: "BGCOLOR that is no colour: internal error there, white here",
        holds: |asked, ours, theirs| {
            is_internal_error(theirs) && is_picture(ours) && asked.value("bgcolor").is_some()
        },
    },
    Listed {
        reason: "dimensions: any value there, those that a drawn layer lists here; the others of no layer are passed over",
        holds: |asked, ours, theirs| {
            let has_dimension =
                ["time", "elevation", "dim_reference"].iter().any(|name| asked.value(name).is_some());
            let is_refused = theirs.status == 200 && ours.text().contains("invalid dimension value");
            has_dimension && (is_refused || is_internal_error(theirs) && is_picture(ours))
        },
    },
    Listed {
        reason: "a failure told as an image beyond max_output_pixels: drawn there, XML here",
        holds: |asked, ours, theirs| {
            let is_large =
                raster(&theirs.body).is_ok_and(|image| image.width * image.height > site::PIXELS_MAX);
            asked.wants_images() && is_exception(ours) && is_large
        },
    },
    Listed {
        reason: "capabilities: units and place of dimensions, both ends of scale hints, WMS-C format of mixed caches, as the schemas want it",
        holds: |asked, ours, theirs| {
            let is_told = |line: &String| {
                ["/Dimension [", "}Dimension [", "ScaleHint [", "/TileSet/Format ["]
                    .iter()
                    .any(|name| line.contains(name))
            };
            let lines = |reply: &Reply| {
                let lines = tree_lines(&reply.text()).unwrap_or_default();
                let (told, rest): (Vec<String>, Vec<String>) = lines.into_iter().partition(is_told);
                (told.len(), rest)
            };
            asked.is("capabilities") && lines(ours).0 > 0 && lines(ours) == lines(theirs)
        },
    },
    Listed {
        reason: "feature info that cannot be read, or whose source fails: internal error there, what the others say here",
        holds: |asked, ours, theirs| asked.is("info") && is_internal_error(theirs) && ours.status == 200,
    },
    Listed {
        reason: "legends: of a group, as JSON of all sources, in formats that are not served",
        holds: |asked, ours, theirs| {
            let as_json =
                theirs.content_type() == "application/json" && ours.content_type() == "application/json";
            asked.is("legend") && (as_json || is_internal_error(theirs) && matches!(ours.status, 200 | 404))
        },
    },
    Listed {
        reason: "a source below an opaque one of its layer: asked there, hidden here, so that the map fails where the upper one does",
        holds: |asked, ours, theirs| {
            asked.is("map")
                && asked.values("layers").any(|layers| layers.contains("faulty"))
                && theirs.status == 200
                && ours.text().contains("Could not get any sources")
        },
    },
    Listed {
        reason: "a part of a map that is less than a pixel wide: asked for without a size there, one pixel here",
        holds: |asked, ours, theirs| {
            let is_thin = ["width", "height"].iter().any(|name| asked.values(name).any(|side| side == "1"));
            asked.is("map") && is_thin && is_picture(ours) && theirs.text().contains("HTTP Error")
        },
    },
    Listed {
        reason: "feature info of a tile: of any tile and pixel there, of those in the grid here, and from the right row",
        holds: |asked, ours, theirs| {
            let text = ours.text();
            let said = [OUT_OF_RANGE.1, "invalid i (", "invalid j ("];
            let is_far = is_exception(ours) && said.iter().any(|said| text.contains(said));
            let is_elsewhere = asked.target.contains("GLOBAL_MERCATOR") && text.contains("bbox=");
            let is_about_tile = asked.values("service").any(|name| name.eq_ignore_ascii_case("wmts"))
                || asked.target.starts_with("/wmts");
            is_about_tile && theirs.status == 200 && (is_far || is_elsewhere)
        },
    },
    Listed {
        reason: "WMTS REST paths that match no template: 500 there, 404 here; letters beyond ASCII match none there",
        holds: |asked, ours, theirs| {
            let is_beyond = asked.target.contains("%C3%A4") && ours.status == 400;
            asked.target.starts_with("/wmts") && theirs.status == 500 && (ours.status == 404 || is_beyond)
        },
    },
    Listed {
        reason: "TMS: whatever lies before /1.0.0 is passed over there",
        holds: |asked, _, theirs| {
            let path = asked.target.trim_start_matches("/tms/1.0.0");
            let tail = path.rsplit_once("/1.0.0").map(|(_, tail)| tail);
            let is_described = theirs.text().contains("<TileMap") || theirs.text().contains("unknown layer");
            asked.target.starts_with("/tms/")
                && tail.is_some_and(|tail| tail.matches('/').count() <= 2)
                && is_described
        },
    },
    Listed {
        reason: "KML of a grid with sqrt2 that is counted from the north: rows of another level in the links there",
        holds: |asked, ours, theirs| {
            let kind = "application/vnd.google-earth.kml+xml";
            asked.target.starts_with("/kml/utm/")
                && [ours, theirs].iter().all(|reply| reply.content_type() == kind)
        },
    },
    Listed {
        reason: "POST: a form is read here, the query only there",
        holds: |asked, _, theirs| {
            let is_missed =
                theirs.status == 400 && theirs.text().contains("The service parameter is missing");
            asked.form.as_ref().is_some_and(|form| !form.is_empty()) && is_missed
        },
    },
    Listed {
        reason: "OGC API: what cannot be read: internal error there, a refusal here",
        holds: |asked, ours, theirs| is_of_ogcapi(asked) && is_internal_error(theirs) && ours.status == 400,
    },
    Listed {
        reason: "OGC API: a place that does not exist: a text there, JSON or a page here",
        holds: |asked, ours, theirs| {
            is_of_ogcapi(asked) && (ours.status, theirs.status) == (404, 404) && theirs.body == b"not found"
        },
    },
    Listed {
        reason: "OGC API: the whole world in degrees as bbox of a mercator map: twelve times too high there",
        holds: |asked, ours, theirs| {
            let is_world = asked.values("bbox").any(|bbox| bbox == "-180,-90,180,90");
            let is_mercator = asked.values("crs").any(|code| code.ends_with("3857"));
            is_of_ogcapi(asked) && is_world && is_mercator && is_picture(ours) && is_picture(theirs)
        },
    },
    Listed {
        reason: "OGC API: CRS84 as the system of a map: told in documents and refused there, served here",
        holds: |asked, _, theirs| {
            let is_asked = asked.values("crs").any(|code| code.ends_with("CRS84"));
            is_of_ogcapi(asked) && is_asked && theirs.text().contains("crs is incompatible with this layer")
        },
    },
    Listed {
        reason: "sentences: a tile out of range, a WMTS request that is none; letters of a path beyond ASCII",
        holds: |_, ours, theirs| {
            let theirs = replaced(theirs, &[OUT_OF_RANGE, ("Ã¤", "ä")]);
            difference(&without_request(ours), &without_request(&theirs)).is_none()
        },
    },
];

const OUT_OF_RANGE: (&str, &str) = (
    "The requested tile is outside the bounding box of the tile map.",
    "the tile lies outside the bounding box of the tile map",
);

/// The first listed difference that explains a pair.
pub fn reason(asked: &Asked, ours: &Reply, theirs: &Reply) -> Option<&'static str> {
    LISTED.iter().find(|listed| (listed.holds)(asked, ours, theirs)).map(|listed| listed.reason)
}

fn is_internal_error(theirs: &Reply) -> bool {
    theirs.status == 500 && theirs.body == b"internal error"
}

fn is_picture(ours: &Reply) -> bool {
    ours.status == 200 && ours.content_type().starts_with("image/")
}

fn is_of_ogcapi(asked: &Asked) -> bool {
    asked.target.starts_with("/ogcapi")
}

/// A document in which a service tells a failure.
fn is_exception(ours: &Reply) -> bool {
    ours.status >= 400 && ours.content_type().contains("xml") && ours.text().contains("xception")
}

/// The reply with other words in it.
fn replaced(reply: &Reply, words: &[(&str, &str)]) -> Reply {
    let text = words.iter().fold(reply.text(), |text, (from, to)| text.replace(from, to));
    Reply { body: text.into_bytes(), ..reply.clone() }
}

/// The reply without the name of the request that is unknown.
fn without_request(reply: &Reply) -> Reply {
    const BEFORE: &str = "unknown WMTS request type ";
    let text = reply.text();
    let Some((before, after)) = text.split_once(BEFORE) else { return reply.clone() };
    let after = after.split_once('<').map_or("", |(_, after)| after);
    Reply { body: format!("{before}{BEFORE}<{after}").into_bytes(), ..reply.clone() }
}
