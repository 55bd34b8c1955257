//! Which place a path means, what parameters come to, and that nothing a client
//! sends ends in a panic.

use proptest::prelude::*;

use super::draw::Colors;
use super::subject::Scope;
use super::{Route, SizeLimits, TilePlace, request};
use crate::render::Format;
use crate::service::parameters::Parameters;
use crate::service::tests::request as request_of;
use crate::wire::{Headers, Request};

fn asking(accept: &str) -> Request {
    let headers = Headers(vec![("Accept".to_owned(), accept.to_owned())]);
    Request { headers, ..request_of("/ogcapi/map") }
}

#[test]
fn paths_name_places() {
    let tile = TilePlace { set: "g", level: "1", row: "2", column: "3.png" };
    for (path, expected) in [
        ("", Some(Route::Landing)),
        ("/", Some(Route::Landing)),
        ("/conformance/", Some(Route::Conformance)),
        ("/api", Some(Route::Api)),
        ("/collections", Some(Route::Collections)),
        ("/collections/a", Some(Route::Collection("a"))),
        ("/collections/a/map.jpg", Some(Route::Map(Scope::Collection("a"), "map.jpg"))),
        ("/map", Some(Route::Map(Scope::Dataset, "map"))),
        ("/map/tiles", Some(Route::TileSets(Scope::Dataset))),
        ("/collections/a/map/tiles/g", Some(Route::TileSet(Scope::Collection("a"), "g"))),
        ("/collections/a/map/tiles/g/1/2/3.png", Some(Route::Tile(Scope::Collection("a"), tile))),
        ("/map/tiles/g/1/2/3.png", Some(Route::Tile(Scope::Dataset, tile))),
        ("/tileMatrixSets/g", Some(Route::TileMatrixSet("g"))),
        ("/map/tiles/g/1/2", None),
        ("/map.gif", None),
        ("-x", None),
        ("/nothing", None),
    ] {
        assert_eq!(Route::parse(path, true, true), expected, "{path}");
    }
    for path in ["/map", "/collections/a/map"] {
        assert_eq!(Route::parse(path, false, true), None, "{path}");
    }
    for path in ["/tileMatrixSets", "/map/tiles", "/collections/a/map/tiles/g"] {
        assert_eq!(Route::parse(path, true, false), None, "{path}");
    }
}

#[test]
fn colours_have_names_and_numbers() {
    let parse = |query: &str| Colors::parse(&Parameters::parse(query));
    for (query, background, transparent) in [
        ("", None, None),
        ("bgcolor=Green", Some([0, 128, 0, 0]), Some(true)),
        ("bgcolor=0x123456&transparent=false", Some([0x12, 0x34, 0x56, 0]), Some(false)),
        ("bgcolor=0x78123456", Some([0x12, 0x34, 0x56, 0x78]), Some(true)),
        ("transparent=true", None, Some(true)),
    ] {
        let expected = Colors { background, transparent };
        assert_eq!(parse(query).ok(), Some(expected), "{query}");
    }
    for query in ["bgcolor=0x12", "bgcolor=0x+12345", "bgcolor=mud", "transparent=TRUE", "transparent="] {
        assert!(parse(query).is_err(), "{query}");
    }
}

#[test]
fn the_format_is_told_by_extension_then_parameter_then_accept() {
    let format = |file: &str, query: &str, accept: &str| {
        let both = [Format::Png, Format::Jpeg];
        request::image_format(file, &Parameters::parse(query), &asking(accept), &both)
            .map_err(|refusal| refusal.status)
    };
    assert_eq!(format("map.jpg", "f=png", ""), Ok(Format::Jpeg));
    assert_eq!(format("map", "f=jpeg", "image/png"), Ok(Format::Jpeg));
    assert_eq!(format("map", "", "image/jpeg"), Ok(Format::Jpeg));
    assert_eq!(format("map", "", "image/avif,image/*"), Ok(Format::Png));
    assert_eq!(format("map", "", ""), Ok(Format::Png));
    assert_eq!(format("map", "", "application/json"), Err(406));
    assert_eq!(format("3.tif", "", ""), Err(406));
    // Where there is no PNG, nobody gets it for want of a wish.
    let only = |accept: &str| {
        request::image_format("map", &Parameters::parse(""), &asking(accept), &[Format::Jpeg]).ok()
    };
    assert_eq!((only(""), only("image/png,*/*")), (Some(Format::Jpeg), Some(Format::Jpeg)));
}

#[test]
fn sizes_have_limits() {
    let limits = SizeLimits { side_px_max: 100, pixels_max: 1000 };
    assert_eq!(limits.check(100, 10).ok(), Some((100, 10)));
    for (width, height) in [(101, 1), (1, 101), (100, 11), (u64::MAX, u64::MAX)] {
        assert!(limits.check(width, height).is_err(), "{width}×{height}");
    }
    let size = |query: &str| request::size(&Parameters::parse(query)).ok();
    assert_eq!(size("width=+12&height="), Some((Some(12), None)));
    for query in
        ["width=-1", "width=0", "width=1.5", "width=x", "height=-99999999999999999999999999999999999999999"]
    {
        assert_eq!(size(query), None, "{query}");
    }
    assert_eq!(size("width=9999999999999999999999999999999999999999999999"), Some((Some(u64::MAX), None)));
}

proptest! {
    #[test]
    fn no_path_and_no_value_panics(path in ".{0,60}", value in ".{0,30}") {
        Route::parse(&path, true, true);
        let query = format!("width={value}&bgcolor={value}&mm-per-pixel={value}");
        let parameters = Parameters::parse(&query);
        let _ = request::size(&parameters);
        let _ = request::display_pixel_m(&parameters);
        let _ = Colors::parse(&parameters);
    }
}
