//! WMS sources as layers: what they are asked for, and what is made of the answer.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::plan::fakes::{SIDE, mercator, query_over};
use crate::render::ImageOptions;
use crate::source::error::OnErrorRule;
use crate::source::upstream::{Peer, Upstream, answer, scene};
use crate::source::wms::WmsVersion;
use crate::source::{Client, ClientOptions, OnError, SourceError, WmsSource};

const RED: Color = [255, 0, 0, 255];

/// A WMS that paints everything in one colour, in the size asked for or in
/// another, or fails; its requests come out of the channel.
fn wms(color: Option<Color>, size: Option<(u32, u32)>) -> (Upstream, Receiver<String>) {
    let (sender, requests) = channel();
    let upstream = Upstream::play(vec![scene(move |peer| serve(peer, color, size, &sender))]);
    (upstream, requests)
}

fn serve(peer: &mut Peer, color: Option<Color>, size: Option<(u32, u32)>, requests: &Sender<String>) {
    loop {
        let request = peer.request();
        if request.is_empty() {
            return;
        }
        match color {
            None => peer.send(answer("500 No", "", "")),
            Some(color) => {
                let asked = || {
                    let number = |name| value(&request, name).parse().expect("a number");
                    (number("width"), number("height"))
                };
                let (width, height) = size.unwrap_or_else(asked);
                let image = ImageOptions { transparent: Some(true), ..ImageOptions::new(Format::Png) };
                let raster = Raster::filled(width, height, color);
                let png = render::encode(&raster, &image, None).expect("a PNG").bytes;
                let head = format!("Content-Type: image/png\r\nContent-Length: {}", png.len());
                peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
                peer.send(&png);
            }
        }
        let _ = requests.send(request);
    }
}

/// A parameter of a request, by its name in lower case.
fn value<'a>(request: &'a str, name: &str) -> &'a str {
    let query = request.split(['?', ' ']).nth(2).unwrap_or("");
    let mut values = query.split('&').filter_map(|pair| pair.split_once('='));
    values.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

fn srs(code: &str) -> Srs {
    Srs::parse(code).expect("a known system")
}

fn options(upstream: &Upstream) -> WmsLayerOptions {
    WmsLayerOptions {
        source: Arc::new(MapSource::Wms(WmsSource {
            name: "s".into(),
            url: upstream.url("/wms?"),
            version: WmsVersion::V111,
            layers: vec!["a".into()],
            parameters: Vec::new(),
            transparent: None,
            format: None,
            client: Arc::new(Client::new(ClientOptions::default())),
            on_error: OnError(vec![OnErrorRule {
                status: Some(500),
                color: [1, 2, 3, 255],
                cache: false,
                authorize_stale: true,
            }]),
        })),
        supported_srs: SupportedSrs::default(),
        supported_formats: Vec::new(),
        format: None,
        transparent: false,
        transparent_color: None,
        opacity: None,
        coverage: None,
        res_range: None,
        forward_parameters: Vec::new(),
        resampling: Kernel::Nearest,
        decode_limits: DecodeLimits::default(),
    }
}

/// Two by two tiles in the middle of the world.
fn query() -> MapQuery {
    use crate::geo::TileCoord;
    query_over(&mercator(), TileCoord::new(7, 7, 4), TileCoord::new(8, 8, 4))
}

fn draw(options: WmsLayerOptions, query: &MapQuery) -> Drawn {
    WmsLayer::new(options).draw(query, &Turn::ungated()).expect("drawn")
}

fn pixels(drawn: &Drawn) -> Arc<Raster> {
    drawn.raster(&DecodeLimits::default()).expect("an image").expect("pixels")
}

/// The western half of the query.
fn west(query: &MapQuery) -> Extent {
    Extent { max_x: (query.extent.min_x + query.extent.max_x) / 2.0, ..query.extent }
}

#[test]
fn an_answer_is_passed_as_it_came() {
    let (upstream, _requests) = wms(Some(RED), None);
    let drawn = draw(options(&upstream), &query());
    assert!(matches!(drawn.picture, Picture::Encoded { format: Format::Png, pixels: Some(_), .. }));
    assert!(drawn.cacheable);
}

#[test]
fn a_limited_source_is_asked_for_its_part_only() {
    let (upstream, requests) = wms(Some(RED), None);
    let query = query();
    let coverage = Some(Coverage::from_extent(query.srs.clone(), west(&query), false));
    let drawn = draw(WmsLayerOptions { coverage: coverage.clone(), ..options(&upstream) }, &query);
    let request = requests.recv().expect("a request");
    assert_eq!((value(&request, "width"), value(&request, "height")), ("8", "16"));
    let raster = pixels(&drawn);
    assert_eq!((raster.width, raster.height), query.size);
    assert_eq!((raster.pixel(2, 2), raster.pixel(12, 2)[3]), (RED, 0));
    // Elsewhere, and outside its resolutions, it is not asked at all.
    let elsewhere = MapQuery { extent: Extent::new(1e7, 1e7, 1.1e7, 1.1e7), ..query.clone() };
    assert!(draw(WmsLayerOptions { coverage, ..options(&upstream) }, &elsewhere).is_blank());
    let res_range = Some(ResRange { coarsest: Some(1.0), finest: None });
    assert!(draw(WmsLayerOptions { res_range, ..options(&upstream) }, &query).is_blank());
    assert!(requests.try_recv().is_err());
}

#[test]
fn a_system_that_is_not_spoken_is_warped_and_another_name_of_it_is_not() {
    for (list, asked) in [
        (vec!["EPSG:4326"], "EPSG%3A4326"),
        (vec!["EPSG:4326", "EPSG:900913"], "EPSG%3A900913"),
        (vec!["EPSG:900913", "EPSG:3857"], "EPSG%3A3857"),
        (vec![], "EPSG%3A3857"),
    ] {
        let list = list.into_iter().map(srs).collect();
        let supported_srs = SupportedSrs { list, ..SupportedSrs::default() };
        let (upstream, requests) = wms(Some(RED), None);
        let drawn = draw(WmsLayerOptions { supported_srs, ..options(&upstream) }, &query());
        assert_eq!(value(&requests.recv().expect("a request"), "srs"), asked);
        let raster = pixels(&drawn);
        assert_eq!((raster.width, raster.height), query().size);
        assert_eq!(raster.pixel(SIDE, SIDE), RED);
    }
}

#[test]
fn what_has_no_place_in_the_sources_system_is_refused() {
    let (upstream, requests) = wms(None, None);
    let supported = SupportedSrs { list: vec![srs("EPSG:3857")], preferred: Vec::new() };
    let layer = WmsLayer::new(WmsLayerOptions { supported_srs: supported, ..options(&upstream) });
    let beyond =
        MapQuery { srs: srs("EPSG:4326"), extent: Extent::new(5e5, 5.6e6, 6.4e5, 5.67e6), ..query() };
    assert!(matches!(layer.draw(&beyond, &Turn::ungated()), Err(PlanError::Untransformable)));
    assert!(requests.try_recv().is_err(), "asked for");
}

#[test]
fn the_colour_of_a_failure_is_for_the_whole_query() {
    let query = query();
    let coverage = Some(Coverage::from_extent(query.srs.clone(), west(&query), false));
    let warped = SupportedSrs { list: vec![srs("EPSG:4326")], ..SupportedSrs::default() };
    let transparent_color = Some(([1, 2, 3, 255], 5));
    type Change = Box<dyn Fn(&mut WmsLayerOptions)>;
    let changes: [Change; 3] = [
        Box::new(move |o| o.coverage = coverage.clone()),
        Box::new(move |o| o.supported_srs = warped.clone()),
        Box::new(move |o| o.transparent_color = transparent_color),
    ];
    for change in changes {
        let (upstream, _requests) = wms(None, None);
        let mut options = options(&upstream);
        change(&mut options);
        let drawn = draw(options, &query);
        assert!(!drawn.cacheable && drawn.authorize_stale);
        assert_eq!(render::merge::single_color(&pixels(&drawn)), Some([1, 2, 3, 255]));
    }
}

#[test]
fn a_failure_without_a_rule_is_a_failure() {
    let (upstream, _requests) = wms(None, None);
    let mut options = options(&upstream);
    let Some(MapSource::Wms(source)) = Arc::get_mut(&mut options.source) else { panic!("the only owner") };
    source.on_error = OnError::default();
    let failed = WmsLayer::new(options).draw(&query(), &Turn::ungated());
    assert!(matches!(failed, Err(PlanError::Source(SourceError::Status { status: 500, .. }))));
}

#[test]
fn one_colour_becomes_transparent() {
    for (color, alpha) in [([250, 4, 3, 255], 0), ([240, 0, 0, 255], 255)] {
        let (upstream, _requests) = wms(Some(color), None);
        let transparent_color = Some((RED, 5));
        let drawn = draw(WmsLayerOptions { transparent_color, ..options(&upstream) }, &query());
        assert_eq!(pixels(&drawn).pixel(0, 0)[3], alpha);
    }
}

#[test]
fn an_image_of_another_size_is_stretched_and_still_at_hand_as_it_came() {
    let query = query();
    let coverage = Some(Coverage::from_extent(query.srs.clone(), west(&query), false));
    for size in [(SIDE, SIDE), (4 * SIDE, 4 * SIDE), (SIDE, 3 * SIDE)] {
        let (upstream, _requests) = wms(Some(RED), Some(size));
        let drawn = draw(options(&upstream), &query);
        let Picture::Odd { bytes, .. } = &drawn.picture else { panic!("{size:?}: {:?}", drawn.picture) };
        let came = render::decode(bytes, &DecodeLimits::default()).expect("an image");
        assert_eq!((came.width, came.height), size);
        let raster = pixels(&drawn);
        assert_eq!((raster.width, raster.height), query.size);
        assert_eq!(render::merge::single_color(&raster), Some(RED));
        // In its place on a map of which it has only a part.
        let (upstream, _requests) = wms(Some(RED), Some(size));
        let raster =
            pixels(&draw(WmsLayerOptions { coverage: coverage.clone(), ..options(&upstream) }, &query));
        assert_eq!((raster.width, raster.height), query.size);
        assert_eq!((raster.pixel(0, 0), raster.pixel(SIDE - 1, 2 * SIDE - 1)), (RED, RED));
        assert_eq!(raster.pixel(SIDE, 0)[3], 0);
    }
}

#[test]
fn names_that_are_forwarded_come_once() {
    let (upstream, requests) = wms(Some(RED), None);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let query = MapQuery {
        parameters: vec![pair("time", "2019"), pair("vendor", "x"), pair("vendor", "y"), pair("secret", "z")],
        dimensions: vec![pair("time", "2020")],
        ..query()
    };
    let forward_parameters = vec!["time".to_owned(), "vendor".to_owned()];
    draw(WmsLayerOptions { forward_parameters, ..options(&upstream) }, &query);
    let request = requests.recv().expect("a request");
    assert_eq!(
        (value(&request, "time"), value(&request, "vendor"), value(&request, "secret")),
        ("2020", "x", "")
    );
    assert_eq!(request.to_lowercase().matches("time=").count(), 1);
}

#[test]
fn formats_that_are_asked_for() {
    let (upstream, _requests) = wms(None, None);
    for (own, supported, mime, asked) in [
        (None, &[][..], None, "image/png"),
        (None, &[], Some("image/png; mode=24bit"), "image/png; mode=24bit"),
        (Some("image/tiff"), &[], Some("image/jpeg"), "image/tiff"),
        (None, &["image/gif", "image/jpeg"], None, "image/gif"),
        (None, &["image/gif", "image/png"], None, "image/png"),
        (None, &["image/png; mode=8bit"], None, "image/png"),
    ] {
        let layer = WmsLayer::new(WmsLayerOptions {
            format: own.map(str::to_owned),
            supported_formats: supported.iter().map(|f| (*f).to_owned()).collect(),
            ..options(&upstream)
        });
        let query = MapQuery { mime: mime.map(Arc::from), ..query() };
        assert_eq!(layer.format(&query), asked, "{own:?} {supported:?} {mime:?}");
    }
}

#[test]
fn layers_are_combined_where_one_request_brings_both() {
    let (upstream, _requests) = wms(None, None);
    let base = options(&upstream);
    let with = |change: fn(&mut WmsLayerOptions)| {
        let mut options = base.clone();
        change(&mut options);
        WmsLayer::new(options)
    };
    let alike = with(|_| {});
    let both = alike.combine(&with(|_| {}), &query()).expect("both");
    let both = both.as_any().downcast_ref::<WmsLayer>().expect("a WMS");
    assert!(matches!(&**both.source(), MapSource::Wms(wms) if wms.layers == ["a", "a"]));
    let unlike: [fn(&mut WmsLayerOptions); 4] = [
        |o| o.opacity = Some(0.5),
        |o| o.transparent_color = Some((RED, 0)),
        |o| o.supported_srs.list.push(srs("EPSG:4326")),
        |o| {
            o.coverage = Some(Coverage::from_extent(srs("EPSG:4326"), Extent::new(0.0, 0.0, 1.0, 1.0), false))
        },
    ];
    for change in unlike {
        assert!(alike.combine(&with(change), &query()).is_none());
    }
}

#[test]
fn sizes_of_maps_that_are_warped() {
    let large = 1 << 24;
    for (extent, size, pixels_max, wanted) in [
        ([0.0, 0.0, 20.0, 10.0], (256, 256), large, (512, 256)),
        ([0.0, 0.0, 10.0, 20.0], (256, 256), large, (256, 512)),
        ([0.0, 0.0, 10.0, 10.0], (300, 200), large, (300, 300)),
        // Near a pole: as large as is allowed, and never without a pixel.
        ([0.0, 0.0, 1e9, 1.0], (256, 256), large, (8192, 256)),
        ([0.0, 0.0, 1.0, 1e300], (256, 256), large, (256, 8192)),
        ([0.0, 0.0, 1e9, 1.0], (256, 256), 256 * 1000, (1000, 256)),
        ([0.0, 0.0, 1e9, 1.0], (256, 256), 0, (1, 256)),
    ] {
        let [min_x, min_y, max_x, max_y] = extent;
        let extent = Extent::new(min_x, min_y, max_x, max_y);
        assert_eq!(size_for(&extent, size, pixels_max), wanted, "{extent:?}");
    }
}

#[test]
fn parts_of_a_map_in_whole_pixels() {
    let whole = Extent::new(0.0, 0.0, 100.0, 50.0);
    for (limit, wanted) in [
        ([0.0, 0.0, 100.0, 50.0], Some(((100, 50), (0, 0)))),
        ([-9.0, -9.0, 50.0, 25.0], Some(((50, 25), (0, 25)))),
        ([10.7, 10.0, 20.2, 20.0], Some(((10, 10), (10, 30)))),
        ([10.1, 10.0, 10.9, 20.0], None),
        ([200.0, 0.0, 300.0, 50.0], None),
    ] {
        let [min_x, min_y, max_x, max_y] = limit;
        let part = place_within(&whole, (100, 50), &Extent::new(min_x, min_y, max_x, max_y));
        assert_eq!(part.map(|p| (p.size, p.offset)), wanted, "{limit:?}");
    }
}
