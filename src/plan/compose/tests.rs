//! Layers over one another: order, hiding, opacity, failures, ground.

use super::*;
use crate::geo::TileCoord;
use crate::plan::SourceError;
use crate::plan::fakes::*;

const RED: [u8; 4] = [255, 0, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const VEIL: [u8; 4] = [0, 255, 0, 128];

fn query(transparent: bool) -> MapQuery {
    let first = TileCoord::new(1, 1, 4);
    MapQuery { transparent, ..query_over(&mercator(), first, TileCoord::new(4, 4, 4)) }
}

fn options() -> ComposeOptions {
    ComposeOptions {
        image: ImageOptions { transparent: Some(true), ..ImageOptions::new(Format::Png) },
        on_source_errors: OnSourceErrors::Notify,
        hide_error_details: false,
        attribution: None,
        concurrent_layers: 2,
        limit: None,
        crop: None,
        surround: None,
        ground_alpha: 0,
        decoration: None,
        decode_limits: DecodeLimits::default(),
    }
}

fn layers(list: Vec<FakeLayer>) -> Vec<Arc<dyn MapLayer>> {
    list.into_iter().map(|layer| Arc::new(layer) as Arc<dyn MapLayer>).collect()
}

fn map(list: Vec<FakeLayer>, query: &MapQuery, options: &ComposeOptions) -> Result<Raster, PlanError> {
    compose(&layers(list), query, options, &Turn::ungated()).map(|composed| decoded(&composed.image.bytes))
}

/// The colour of the whole map.
fn color(list: Vec<FakeLayer>, transparent: bool) -> [u8; 4] {
    let raster = map(list, &query(transparent), &options()).expect("a map");
    render::merge::single_color(&raster).expect("one colour")
}

fn faded(color: [u8; 4], transparent: bool) -> FakeLayer {
    FakeLayer { opacity: Some(0.5), transparent, ..FakeLayer::filling(color) }
}

fn veil() -> FakeLayer {
    FakeLayer { transparent: true, ..FakeLayer::filling(VEIL) }
}

fn near(seen: [u8; 4], wanted: [u8; 4]) {
    let is_near = seen.iter().zip(wanted).all(|(s, w)| s.abs_diff(w) <= 1);
    assert!(is_near, "{seen:?} in place of {wanted:?}");
}

#[test]
fn layers_lie_in_their_order() {
    near(color(vec![FakeLayer::filling(RED), FakeLayer::filling(BLUE)], false), BLUE);
    near(color(vec![FakeLayer::filling(RED), veil()], false), [127, 128, 0, 255]);
    near(color(vec![veil()], true), VEIL);
    near(color(vec![veil()], false), [127, 255, 127, 255]);
    assert_eq!(color(vec![], true)[3], 0);
    near(color(vec![FakeLayer::new(|_| Ok(Drawn::BLANK))], false), [255; 4]);
}

#[test]
fn opacity_is_for_what_lies_below() {
    near(color(vec![FakeLayer::filling(RED), faded(BLUE, false)], false), [128, 0, 127, 255]);
    // Alone on the map it does not count, as in MapProxy, but for a ground.
    near(color(vec![faded(BLUE, false)], false), BLUE);
    near(color(vec![faded(BLUE, true)], true), BLUE);
    near(color(vec![faded(BLUE, true)], false), [128, 128, 255, 255]);
}

#[test]
fn what_an_opaque_layer_hides_is_not_drawn() {
    let below = Arc::new(FakeLayer::filling(RED));
    let above = Arc::new(FakeLayer { opaque: true, ..FakeLayer::filling(BLUE) });
    let both: Vec<Arc<dyn MapLayer>> = vec![Arc::clone(&below) as _, Arc::clone(&above) as _];
    compose(&both, &query(false), &options(), &Turn::ungated()).expect("a map");
    assert_eq!((below.asked(), above.asked()), (0, 1));
}

#[test]
fn one_failure_is_painted_and_all_failing_fails() {
    let broken = || FakeLayer::new(|_| Err(failure()));
    let composed = compose(
        &layers(vec![FakeLayer::filling(RED), broken()]),
        &MapQuery { size: (200, 100), ..query(false) },
        &options(),
        &Turn::ungated(),
    )
    .expect("a map");
    assert!(!composed.cacheable);
    let raster = decoded(&composed.image.bytes);
    assert!(raster.pixels.chunks(4).any(|p| p != RED), "a message");
    assert!(matches!(map(vec![broken(), broken()], &query(false), &options()), Err(PlanError::Source(_))));
    // Blank beside a failure is a map, as in MapProxy.
    let blank = FakeLayer::new(|_| Ok(Drawn::BLANK));
    assert!(map(vec![broken(), blank], &query(false), &options()).is_ok());
    let raise = ComposeOptions { on_source_errors: OnSourceErrors::Raise, ..options() };
    let first = vec![FakeLayer::filling(RED), broken()];
    assert!(matches!(map(first, &query(false), &raise), Err(PlanError::Source(_))));
    // What the client did wrong is no message on a map.
    let refused = FakeLayer::new(|_| Err(PlanError::TooManyTiles { count: 9, limit: 4 }));
    assert!(map(vec![FakeLayer::filling(RED), refused], &query(false), &options()).is_err());
}

#[test]
fn details_are_hidden_where_that_is_wanted() {
    let error = PlanError::Source(SourceError::Other("http://secret/".into()));
    assert!(error_text(&error, false).contains("secret"));
    assert!(!error_text(&error, true).contains("secret"));
}

#[test]
fn a_picture_that_fits_passes_as_it_is() {
    let bytes: Arc<[u8]> = png(RED).into();
    let encoded = |format: Format| {
        let bytes = Arc::clone(&bytes);
        FakeLayer::new(move |_| {
            let picture = Picture::Encoded { bytes: Arc::clone(&bytes), format, pixels: None };
            Ok(Drawn { picture, ..Drawn::BLANK })
        })
    };
    let one_tile = MapQuery { size: (SIDE, SIDE), ..query(true) };
    let image = |list, options: &ComposeOptions| {
        compose(&layers(list), &one_tile, options, &Turn::ungated()).expect("a map").image
    };
    assert_eq!(image(vec![encoded(Format::Png)], &options()).bytes, *bytes);
    let jpeg = ComposeOptions { image: ImageOptions::new(Format::Jpeg), ..options() };
    assert_eq!(render::sniff(&image(vec![encoded(Format::Png)], &jpeg).bytes), Some(Format::Jpeg));
    let signed =
        ComposeOptions { attribution: Some(Attribution { text: "me".into(), typeface: None }), ..options() };
    assert_ne!(image(vec![encoded(Format::Png)], &signed).bytes, *bytes);
    // A tile that is asked for as one passes whatever its format, a source's answer does not.
    let tiled = MapQuery { tiled_only: true, ..one_tile.clone() };
    for (pixels, expected) in [(None, Format::Png), (Some(Arc::new(decoded(&bytes))), Format::Jpeg)] {
        let bytes = Arc::clone(&bytes);
        let layer = FakeLayer::new(move |_| {
            let (bytes, pixels) = (Arc::clone(&bytes), pixels.clone());
            let picture = Picture::Encoded { bytes, format: Format::Png, pixels };
            Ok(Drawn { picture, ..Drawn::BLANK })
        });
        let composed = compose(&layers(vec![layer]), &tiled, &jpeg, &Turn::ungated()).expect("a map");
        assert_eq!(render::sniff(&composed.image.bytes), Some(expected));
    }
}

#[test]
fn only_the_allowed_part_is_asked_for() {
    let layer = Arc::new(FakeLayer::filling(RED));
    let (whole, options) = (query(false), options());
    let middle = (whole.extent.min_x + whole.extent.max_x) / 2.0;
    let allowed = Extent { max_x: middle, ..whole.extent };
    let cropped = ComposeOptions { crop: Some(allowed), ..options.clone() };
    let list: Vec<Arc<dyn MapLayer>> = vec![Arc::clone(&layer) as _];
    let composed = compose(&list, &whole, &cropped, &Turn::ungated()).expect("a map");
    let raster = decoded(&composed.image.bytes);
    assert_eq!((raster.width, raster.height), whole.size);
    assert_eq!(raster.pixel(2, 2), RED);
    assert_eq!(raster.pixel(whole.size.0 - 2, 2), [255; 4]);
    assert_eq!(layer.queries()[0].size, (whole.size.0 / 2, whole.size.1));
}

#[test]
fn a_limit_cuts_the_finished_map() {
    let whole = query(true);
    let middle = (whole.extent.min_x + whole.extent.max_x) / 2.0;
    let half = Extent { min_x: middle, ..whole.extent };
    let limit = Some(Coverage::from_extent(whole.srs.clone(), half, true));
    let raster =
        map(vec![FakeLayer::filling(RED)], &whole, &ComposeOptions { limit, ..options() }).expect("a map");
    assert_eq!((raster.pixel(2, 2)[3], raster.pixel(whole.size.0 - 2, 2)), (0, RED));
}

#[test]
fn coverages_that_clip_cut_their_layer_only() {
    let whole = query(false);
    let middle = (whole.extent.min_x + whole.extent.max_x) / 2.0;
    let half = Extent { min_x: middle, ..whole.extent };
    for (clip, seen) in [(true, RED), (false, BLUE)] {
        let coverage = Some(Coverage::from_extent(whole.srs.clone(), half, clip));
        let above = FakeLayer { coverage, ..FakeLayer::filling(BLUE) };
        let raster = map(vec![FakeLayer::filling(RED), above], &whole, &options()).expect("a map");
        assert_eq!((raster.pixel(2, 2), raster.pixel(whole.size.0 - 2, 2)), (seen, BLUE));
    }
}
