//! A WMS that is asked what lies at a point (GetFeatureInfo): the query's words
//! as MapProxy writes them. Brings the document as it came; merging and
//! transforming it is `plan`'s.

use std::sync::Arc;

use super::wms::{Parameters, WmsVersion, with_query};
use super::{Client, SourceError};
use crate::geo::decimal::number;
use crate::geo::{Extent, Srs};

/// A point of a map about which something is asked.
#[derive(Clone, Debug)]
pub struct InfoRequest {
    pub extent: Extent,
    pub size: (u32, u32),
    pub srs: Srs,
    pub position: Position,
    /// MIME type of the wanted document, if the client names one.
    pub info_format: Option<String>,
    /// MIME type of the map that the client sees.
    pub format: Option<String>,
    /// As the client wrote it.
    pub feature_count: Option<String>,
}

/// Pixels from the map's upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub x: f64,
    pub y: f64,
    /// Written without decimals.
    pub is_whole: bool,
}

impl Position {
    /// A pixel by its column and row.
    pub fn whole(x: i64, y: i64) -> Position {
        Position { x: x as f64, y: y as f64, is_whole: true }
    }

    fn texts(self) -> [String; 2] {
        let text = |value: f64| if self.is_whole { format!("{value:.0}") } else { number(value) };
        [text(self.x), text(self.y)]
    }
}

impl InfoRequest {
    /// The point itself, in the request's system.
    pub fn point(&self) -> [f64; 2] {
        let (width, height) = (f64::from(self.size.0.max(1)), f64::from(self.size.1.max(1)));
        [
            self.extent.min_x + self.position.x / width * self.extent.width(),
            self.extent.max_y - self.position.y / height * self.extent.height(),
        ]
    }

    /// The same question in another system: pixels stay square there, the
    /// point is moved to the nearest one. `None`: it does not lie in that system.
    pub fn in_srs(&self, srs: &Srs) -> Option<InfoRequest> {
        let extent = self.srs.transform_extent(srs, &self.extent).filter(Extent::is_valid)?;
        let ratio = extent.height() / extent.width();
        let height = (ratio * f64::from(self.size.0)).clamp(1.0, f64::from(SIDE_PX_MAX)) as u32;
        let mut points = [self.point()];
        self.srs.transform_points(srs, &mut points);
        let [x, y] = points[0];
        if !x.is_finite() || !y.is_finite() {
            return None;
        }
        let column = (x - extent.min_x) / extent.width() * f64::from(self.size.0);
        let row = (extent.max_y - y) / extent.height() * f64::from(height);
        Some(InfoRequest {
            extent,
            size: (self.size.0, height),
            srs: srs.clone(),
            // Python rounds halves to the even neighbour.
            position: Position { x: column.round_ties_even(), y: row.round_ties_even(), is_whole: true },
            // MapProxy forgets the picture's format on this way.
            format: None,
            ..self.clone()
        })
    }
}

/// Pixels of a map in another system about which a source is asked at most.
const SIDE_PX_MAX: u32 = 1 << 20;

/// What a source answered, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoAnswer {
    pub bytes: Vec<u8>,
    /// What the bytes are taken for: the configured type, else the answer's, else the wanted one.
    pub mime: String,
}

/// What is asked of one WMS about points.
pub struct WmsInfoSource {
    pub name: String,
    /// Without credentials.
    pub url: String,
    pub version: WmsVersion,
    pub layers: Vec<String>,
    /// `wms_opts.query_layers`; otherwise `layers`.
    pub query_layers: Option<String>,
    /// Further parameters of `req`.
    pub parameters: Vec<(String, String)>,
    pub transparent: Option<bool>,
    /// `req.format`
    pub format: Option<String>,
    /// `wms_opts.featureinfo_format`: asked for whatever the client wants.
    pub info_format: Option<String>,
    pub client: Arc<Client>,
}

impl WmsInfoSource {
    /// One GetFeatureInfo, by GET.
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub fn fetch(&self, request: &InfoRequest) -> Result<InfoAnswer, SourceError> {
        let fetched = self.client.fetch(&self.info_url(request), None)?;
        let mime = match &self.info_format {
            Some(configured) => configured.clone(),
            None if !fetched.content_type.is_empty() => fetched.content_type,
            None => request.info_format.clone().unwrap_or_default(),
        };
        Ok(InfoAnswer { bytes: fetched.bytes, mime })
    }

    /// The URL of a GetFeatureInfo.
    pub fn info_url(&self, request: &InfoRequest) -> String {
        let mut query = Parameters::default();
        if !self.layers.is_empty() {
            query.set("layers", &self.layers.join(","));
        }
        if let Some(transparent) = self.transparent {
            query.set("transparent", if transparent { "True" } else { "False" });
        }
        for (name, value) in &self.parameters {
            query.set(name, value);
        }
        query.set("bbox", &self.version.bbox(&request.extent, [false; 4], &request.srs));
        query.set("width", &request.size.0.to_string());
        query.set("height", &request.size.1.to_string());
        query.set(if self.version == WmsVersion::V130 { "crs" } else { "srs" }, request.srs.code());
        let format = self.format.as_deref().or(request.format.as_deref()).unwrap_or("image/png");
        // MapProxy writes the whole type even in 1.0.0.
        query.set("format", &WmsVersion::V111.format_text(format));
        let [x, y] = request.position.texts();
        let (column, row) = if self.version == WmsVersion::V130 { ("i", "j") } else { ("x", "y") };
        query.set(column, &x);
        query.set(row, &y);
        if let Some(count) = request.feature_count.as_deref().filter(|count| !count.is_empty()) {
            query.set("feature_count", count);
        }
        match &self.query_layers {
            Some(layers) => query.set("query_layers", layers),
            None if !query.has("query_layers") => query.set("query_layers", &self.layers.join(",")),
            None => {}
        }
        if let Some(wanted) = self.info_format.as_ref().or(request.info_format.as_ref())
            && !wanted.is_empty()
            && (self.info_format.is_some() || !query.has("info_format"))
        {
            query.set("info_format", wanted);
        }
        self.version.write_operation(&mut query, "GetFeatureInfo", "feature_info");
        if !query.has("styles") {
            query.set("styles", "");
        }
        with_query(&self.url, &query.to_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ClientOptions;

    fn request(srs: &str) -> InfoRequest {
        InfoRequest {
            extent: Extent::new(1000.0, 400.0, 2000.0, 1400.0),
            size: (200, 100),
            srs: Srs::parse(srs).unwrap(),
            position: Position::whole(10, 20),
            info_format: Some("text/html".into()),
            format: None,
            feature_count: None,
        }
    }

    fn source(version: WmsVersion) -> WmsInfoSource {
        WmsInfoSource {
            name: "s".into(),
            url: "http://h/s?map=a".into(),
            version,
            layers: vec!["foo".into(), "bar".into()],
            query_layers: None,
            parameters: Vec::new(),
            transparent: None,
            format: None,
            info_format: None,
            client: Arc::new(Client::new(ClientOptions::default())),
        }
    }

    #[test]
    fn each_version_has_its_words() {
        for (version, parts) in [
            (
                WmsVersion::V100,
                vec!["request=feature_info", "wmtver=1.0.0", "format=image%2Fpng", "x=10", "srs=EPSG%3A3857"],
            ),
            (WmsVersion::V110, vec!["request=GetFeatureInfo", "version=1.1.0", "y=20", "styles="]),
            (
                WmsVersion::V111,
                vec!["service=WMS", "bbox=1000.0,400.0,2000.0,1400.0", "query_layers=foo,bar"],
            ),
            (WmsVersion::V130, vec!["i=10", "j=20", "crs=EPSG%3A3857", "info_format=text%2Fhtml"]),
        ] {
            let url = source(version).info_url(&request("EPSG:3857"));
            let query = url.strip_prefix("http://h/s?map=a&").unwrap();
            for part in parts {
                assert!(query.split('&').any(|pair| pair == part), "{part} is not in {query}");
            }
        }
    }

    #[test]
    fn what_is_configured_goes_before_what_is_wanted() {
        let mut source = source(WmsVersion::V111);
        source.info_format = Some("text/xml".into());
        source.query_layers = Some("only".into());
        source.format = Some("image/jpeg".into());
        let mut asked = request("EPSG:3857");
        asked.feature_count = Some("7".into());
        asked.position = Position { x: 10.5, y: 20.25, is_whole: false };
        let url = source.info_url(&asked);
        for part in [
            "info_format=text%2Fxml",
            "query_layers=only",
            "format=image%2Fjpeg",
            "feature_count=7",
            "x=10.5",
            "y=20.25",
        ] {
            assert!(url.contains(part), "{part} is not in {url}");
        }
    }

    #[test]
    fn points_move_with_the_system() {
        let utm = InfoRequest {
            extent: Extent::new(600_000.0, 6_000_000.0, 610_000.0, 6_010_000.0),
            size: (200, 200),
            ..request("EPSG:25832")
        };
        let there = utm.in_srs(&Srs::parse("EPSG:900913").unwrap()).unwrap();
        assert_eq!(there.size.0, 200);
        assert!(there.size.1 > 190 && there.size.1 < 210, "{:?}", there.size);
        let mut back = [there.point()];
        there.srs.transform_points(&utm.srs, &mut back);
        let [x, y] = utm.point();
        assert!((back[0][0] - x).abs() < 60.0 && (back[0][1] - y).abs() < 60.0, "{back:?} {x} {y}");
    }
}
