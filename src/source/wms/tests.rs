use std::sync::mpsc::channel;

use super::*;
use crate::geo::{Extent, Srs};
use crate::source::client::ClientOptions;
use crate::source::error::OnErrorRule;
use crate::source::upstream::{Upstream, answer, png, scene};

fn source(url: &str, version: WmsVersion) -> WmsSource {
    WmsSource {
        name: "s".into(),
        url: url.into(),
        version,
        layers: vec!["a".into(), "b".into()],
        parameters: Vec::new(),
        transparent: None,
        format: None,
        client: Arc::new(Client::new(ClientOptions::default())),
        on_error: OnError::default(),
    }
}

fn request(srs: &str) -> MapRequest {
    MapRequest {
        extent: Extent::new(5.0, 50.5, 10.0, 60.25),
        whole_edges: [false; 4],
        size: (256, 512),
        srs: Srs::parse(srs).unwrap(),
        format: "image/png".into(),
        parameters: Vec::new(),
    }
}

/// The parts of a URL after the question mark, sorted: order has no meaning.
fn parts(url: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = url.split_once('?').unwrap().1.split('&').collect();
    parts.sort_unstable();
    parts
}

/// The expected URLs are MapProxy 7.0.0's.
#[test]
fn queries_are_mapproxys() {
    let full = "layers=a,b&transparent=True&styles=s%2F1,%C3%A4%20b&width=256&height=512&time=2020-01-01T00%3A00%3A00Z";
    let bare = "layers=a,b&styles=&width=256&height=512";
    for (version, srs, rest) in [
        (
            WmsVersion::V100,
            "EPSG:4326",
            "format=PNG&request=map&bbox=5.0,50.5,10.0,60.25&srs=EPSG%3A4326&wmtver=1.0.0",
        ),
        (
            WmsVersion::V110,
            "EPSG:4326",
            "format=image%2Fpng&bbox=5.0,50.5,10.0,60.25&srs=EPSG%3A4326&request=GetMap&version=1.1.0&service=WMS",
        ),
        (
            WmsVersion::V111,
            "EPSG:3857",
            "format=image%2Fpng&bbox=5.0,50.5,10.0,60.25&srs=EPSG%3A3857&request=GetMap&version=1.1.1&service=WMS",
        ),
        (
            WmsVersion::V130,
            "EPSG:4326",
            "format=image%2Fpng&bbox=50.5,5.0,60.25,10.0&crs=EPSG%3A4326&request=GetMap&version=1.3.0&service=WMS",
        ),
        (
            WmsVersion::V130,
            "EPSG:3857",
            "format=image%2Fpng&bbox=5.0,50.5,10.0,60.25&crs=EPSG%3A3857&request=GetMap&version=1.3.0&service=WMS",
        ),
    ] {
        let mut wms = source("http://h/wms", version);
        assert_eq!(
            parts(&wms.map_url(&request(srs))),
            parts(&format!("?{bare}&{rest}")),
            "{version:?} {srs}"
        );
        wms.transparent = Some(true);
        wms.parameters = vec![("styles".into(), "s/1,ä b".into())];
        let mut asked = request(srs);
        asked.parameters = vec![("time".into(), "2020-01-01T00:00:00Z".into())];
        assert_eq!(parts(&wms.map_url(&asked)), parts(&format!("?{full}&{rest}")), "{version:?} {srs}");
    }
}

#[test]
fn the_url_of_the_configuration_stays_as_it_is() {
    for (url, start) in [
        ("http://h/wms", "http://h/wms?layers=a,b&"),
        ("http://h/wms?", "http://h/wms?layers=a,b&"),
        ("http://h/wms?map=/x.map", "http://h/wms?map=/x.map&layers=a,b&"),
        ("http://h/wms?map=/x.map&", "http://h/wms?map=/x.map&layers=a,b&"),
    ] {
        let made = source(url, WmsVersion::V111).map_url(&request("EPSG:4326"));
        assert!(made.starts_with(start), "{made}");
    }
}

#[test]
fn configured_names_keep_their_spelling_and_are_set_once() {
    let mut wms = source("http://h/", WmsVersion::V111);
    wms.format = Some("jpeg".into());
    wms.parameters =
        vec![("MAP".into(), "m".into()), ("FORMAT".into(), "image/gif".into()), ("Width".into(), "1".into())];
    let mut asked = request("EPSG:4326");
    asked.parameters = vec![("map".into(), "n".into())];
    let url = wms.map_url(&asked);
    for part in ["MAP=n", "FORMAT=image%2Fjpeg", "Width=256"] {
        assert!(parts(&url).contains(&part), "{part} in {url}");
    }
    assert!(!url.contains("map=") && !url.contains("width="), "{url}");
}

#[test]
fn maps_come_by_get_or_post() {
    let (told, requests) = channel();
    let upstream = Upstream::play(vec![scene(move |peer| {
        for _ in 0..2 {
            told.send(peer.request()).unwrap();
            peer.send(png("map"));
        }
    })]);
    let mut wms = source(&upstream.url("/wms?"), WmsVersion::V111);
    for _ in 0..2 {
        let Ok(Answer::Image { bytes, content_type }) = wms.fetch(&request("EPSG:4326")) else { panic!() };
        assert_eq!((bytes.as_slice(), content_type.as_str()), (b"map".as_slice(), "image/png"));
        wms.parameters.push(("sld_body".into(), "<sld/>".into()));
    }
    assert!(requests.recv().unwrap().starts_with("GET /wms?layers=a,b&"));
    let post = requests.recv().unwrap();
    assert!(post.starts_with("POST /wms HTTP/1.1\r\n") && post.contains("sld_body=%3Csld%2F%3E"), "{post}");
}

#[test]
fn an_exception_document_is_an_error_and_never_a_color() {
    let xml = answer(
        "200 OK",
        "Content-Type: text/xml\r\n",
        "<ServiceException>\r\nno such layer</ServiceException>",
    );
    let upstream = Upstream::answering(vec![xml]);
    let mut wms = source(&upstream.url("/wms").replace("http://", "http://me:secret@"), WmsVersion::V111);
    wms.on_error =
        OnError(vec![OnErrorRule { status: None, color: [1; 4], cache: true, authorize_stale: false }]);
    let error = wms.fetch(&request("EPSG:4326")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SourceError::NotAnImage { .. }) && text.contains("no such layer"), "{text}");
    assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
}

#[test]
fn on_error_makes_colors_of_failures() {
    let upstream = Upstream::answering(vec![answer("404 No", "", ""), answer("500 No", "", "")]);
    let mut wms = source(&upstream.url("/"), WmsVersion::V111);
    wms.on_error = OnError(vec![OnErrorRule {
        status: Some(404),
        color: [9, 8, 7, 0],
        cache: true,
        authorize_stale: true,
    }]);
    let answer = wms.fetch(&request("EPSG:4326")).unwrap();
    assert!(
        matches!(answer, Answer::Color { color: [9, 8, 7, 0], cacheable: true, authorize_stale: true }),
        "{answer:?}"
    );
    assert!(matches!(wms.fetch(&request("EPSG:4326")), Err(SourceError::Status { status: 500, .. })));
}

#[test]
fn neighbours_on_one_server_are_asked_together() {
    let lower = || source("http://h/wms", WmsVersion::V111);
    let upper = |change: &dyn Fn(&mut WmsSource)| {
        let mut upper = lower();
        upper.layers = vec!["c,d".into()];
        change(&mut upper);
        upper
    };
    let together = lower().combine(&upper(&|_| {})).unwrap();
    assert_eq!(together.layers, ["a", "b", "c,d"]);
    let different: [&dyn Fn(&mut WmsSource); 6] = [
        &|s| s.url.push('2'),
        &|s| s.version = WmsVersion::V130,
        &|s| s.format = Some("image/gif".into()),
        &|s| s.parameters.push(("map".into(), "x".into())),
        &|s| s.parameters.push(("styles".into(), "one,for,all".into())),
        &|s| {
            s.client = Arc::new(Client::new(ClientOptions {
                headers: vec![("a".into(), "b".into())],
                ..ClientOptions::default()
            }))
        },
    ];
    for (number, change) in different.iter().enumerate() {
        assert!(lower().combine(&upper(change)).is_none(), "{number}");
    }
    // Styles are one for each layer, those of a list included.
    let styled = lower().combine(&upper(&|s| s.parameters.push(("STYLES".into(), "x,y".into())))).unwrap();
    assert_eq!(styled.parameters, [("styles".to_owned(), ",,x,y".to_owned())]);
    // A transparent layer over an opaque one: the lower one's word counts.
    assert_eq!(lower().combine(&upper(&|s| s.transparent = Some(true))).unwrap().transparent, None);
    let mut clear = lower();
    clear.transparent = Some(true);
    assert!(clear.combine(&upper(&|_| {})).is_none());
}
