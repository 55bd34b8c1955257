//! Codes, transformations and extents.

use super::*;

#[test]
fn codes_are_read_in_any_form_and_case() {
    for (text, code) in [
        ("epsg:3857", "EPSG:3857"),
        ("4326", "EPSG:4326"),
        ("crs:84", "CRS:84"),
        ("urn:ogc:def:crs:EPSG::4326", "EPSG:4326"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84"),
        ("http://www.opengis.net/def/crs/EPSG/0/3857", "EPSG:3857"),
        ("EPSG:900913", "EPSG:900913"),
    ] {
        assert_eq!(Srs::parse(text).expect("known").code(), code);
    }
}
