//! The parameters of WMS requests, and how failures are told: as XML of the
//! asked version, painted on an image, or as a blank image.

use super::{Wms, WmsVersion};
use crate::geo::{Extent, Srs};
use crate::render::decor::{self, TextStyle};
use crate::render::{self, Color, Format, ImageOptions, Raster};
use crate::service::Answer;
use crate::service::exception::{Failure, document, document_of_type, internal_error, no_cache};
use crate::service::parameters::Parameters;
use crate::service::xml::XmlWriter;
use crate::wire::Response;

/// Longer sides are never drawn, whatever the operator allows.
pub const SIDE_PX_MAX: u32 = 16 * 1024;
/// More pixels are never drawn, whatever the operator allows.
const PIXELS_MAX: u64 = 1 << 28;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Map,
    Capabilities,
    FeatureInfo,
    LegendGraphic,
}

impl Operation {
    /// From `REQUEST`, in the spellings of all versions.
    pub fn parse(name: &str) -> Option<Operation> {
        match name.to_ascii_lowercase().as_str() {
            "getmap" | "map" => Some(Operation::Map),
            "getcapabilities" | "capabilities" => Some(Operation::Capabilities),
            "getfeatureinfo" | "feature_info" => Some(Operation::FeatureInfo),
            "getlegendgraphic" => Some(Operation::LegendGraphic),
            _ => None,
        }
    }
}

impl WmsVersion {
    pub const ALL: [WmsVersion; 4] = [WmsVersion::V100, WmsVersion::V110, WmsVersion::V111, WmsVersion::V130];

    /// `1.3.0`
    pub fn text(self) -> &'static str {
        match self {
            WmsVersion::V100 => "1.0.0",
            WmsVersion::V110 => "1.1.0",
            WmsVersion::V111 => "1.1.1",
            WmsVersion::V130 => "1.3.0",
        }
    }

    fn parts(self) -> [u32; 3] {
        match self {
            WmsVersion::V100 => [1, 0, 0],
            WmsVersion::V110 => [1, 1, 0],
            WmsVersion::V111 => [1, 1, 1],
            WmsVersion::V130 => [1, 3, 0],
        }
    }

    /// `1.3.0`
    pub fn parse(text: &str) -> Option<WmsVersion> {
        let parts = version_parts(text)?;
        WmsVersion::ALL.into_iter().find(|version| version.parts() == parts.as_slice())
    }

    /// The version to answer in: the highest served one that is not above the
    /// wanted, the lowest if there is none. `served` is sorted and not empty.
    pub fn negotiate(wanted: &[u32], served: &[WmsVersion]) -> WmsVersion {
        let below = served.iter().rev().find(|version| version.parts().as_slice() <= wanted);
        below.or(served.first()).copied().unwrap_or(WmsVersion::V130)
    }
}

fn version_parts(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.trim().parse().ok()).collect()
}

/// The version of a request: `VERSION`, `WMTVER`, else the highest served.
///
/// # Errors
/// Text that is no version at all.
pub fn version_of(parameters: &Parameters, served: &[WmsVersion]) -> Result<WmsVersion, Failure> {
    let wanted = parameters.first("version").or_else(|| parameters.first("wmtver"));
    let highest = served.last().copied().unwrap_or(WmsVersion::V130);
    let Some(wanted) = wanted else { return Ok(highest) };
    match version_parts(wanted) {
        Some(parts) => Ok(WmsVersion::negotiate(&parts, served)),
        None => Err(Failure::new(format!("invalid version {wanted}"))),
    }
}

/// The checked parameters of a GetMap request.
#[derive(Clone, Debug)]
pub struct MapRequest {
    pub layers: Vec<String>,
    /// West, south, east, north, whatever the order of axes in the request.
    pub extent: Extent,
    pub size: (u32, u32),
    pub srs: Srs,
    /// Upper case, as the configuration names it.
    pub srs_code: String,
    /// Which of the configured formats.
    pub format: usize,
    pub transparent: bool,
    pub background: Color,
    pub tiled_only: bool,
}

impl MapRequest {
    /// Checks everything in MapProxy's order: what must be there, bbox,
    /// styles, size, layers, format, system.
    ///
    /// # Errors
    /// The first thing that is wrong, with the code of the version. `telling`
    /// learns what may not be told on an image, or must be told on a PNG.
    pub fn parse(
        wms: &Wms,
        version: WmsVersion,
        parameters: &Parameters,
        telling: &mut Telling,
    ) -> Result<MapRequest, Failure> {
        require(&map_parameters(version), parameters, telling)?;
        let extent = parse_extent(parameters)?;
        check_styles(parameters)?;
        let size = wms.check_size(parameters, telling)?;
        let layers = wms.known_layers("layers", parameters)?;
        let format = wms.find_format(version, &parameters.whole("format"), telling)?;
        let (srs_code, srs) = wms.find_srs(version, parameters)?;
        Ok(MapRequest {
            layers,
            extent: with_axes(extent, version, &srs),
            size,
            srs,
            srs_code,
            format,
            transparent: parameters.is_true("transparent"),
            background: parse_color(parameters.first("bgcolor")),
            tiled_only: parameters.is_true("tiled"),
        })
    }
}

/// What every map needs to be described, in MapProxy's order.
pub(super) fn map_parameters(version: WmsVersion) -> [&'static str; 9] {
    let srs = if version == WmsVersion::V130 { "crs" } else { "srs" };
    let version = if version == WmsVersion::V100 { "wmtver" } else { "version" };
    [version, "request", "layers", "styles", srs, "bbox", "width", "height", "format"]
}

/// Refuses a request that lacks some of `names`.
pub(super) fn require(names: &[&str], parameters: &Parameters, telling: &mut Telling) -> Result<(), Failure> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !parameters.contains(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if missing.contains(&"format") {
        telling.use_png();
    }
    let quoted: Vec<String> = missing.iter().map(|name| format!("'{name}'")).collect();
    Err(Failure::new(format!("missing parameters [{}]", quoted.join(", "))))
}

/// East before north, whatever the version says about the system's axes.
pub(super) fn with_axes(extent: Extent, version: WmsVersion, srs: &Srs) -> Extent {
    if version == WmsVersion::V130 && srs.is_axis_order_ne() {
        return Extent::new(extent.min_y, extent.min_x, extent.max_y, extent.max_x);
    }
    extent
}

pub(super) fn parse_extent(parameters: &Parameters) -> Result<Extent, Failure> {
    let text = parameters.first("bbox").unwrap_or_default();
    let invalid = || Failure::new(format!("invalid bbox {text}"));
    let mut edges = [0.0; 4];
    let mut parts = text.split(',');
    for edge in &mut edges {
        *edge = parts.next().and_then(|part| part.trim().parse().ok()).ok_or_else(invalid)?;
    }
    let extent = Extent::new(edges[0], edges[1], edges[2], edges[3]);
    // Sums and differences of the edges must stay finite too.
    let is_sane = extent.is_valid() && extent.width().is_finite() && extent.height().is_finite();
    if parts.next().is_some() || !is_sane { Err(invalid()) } else { Ok(extent) }
}

pub(super) fn check_styles(parameters: &Parameters) -> Result<(), Failure> {
    let styles = parameters.joined("styles").unwrap_or_default();
    if styles.split(',').all(|style| matches!(style, "" | "default" | "inspire_common:DEFAULT")) {
        return Ok(());
    }
    Err(Failure::coded("StyleNotDefined", format!("unsupported styles: {styles}")))
}

/// Width and height; decimals are cut off.
pub(super) fn parse_size(parameters: &Parameters) -> Option<(u32, u32)> {
    let side = |name| {
        let value: f64 = parameters.first(name)?.trim().parse().ok()?;
        let value = value.trunc();
        (value >= 1.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
    };
    Some((side("width")?, side("height")?))
}

/// `0xrrggbb` (or `#rrggbb`); white where that is no colour.
fn parse_color(text: Option<&str>) -> Color {
    const WHITE: Color = [255, 255, 255, 255];
    let Some(text) = text else { return WHITE };
    let digits =
        text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).or_else(|| text.strip_prefix('#'));
    let Some(digits) = digits.filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit())) else {
        return WHITE;
    };
    match u32::from_str_radix(digits, 16) {
        Ok(value) => {
            let [_, red, green, blue] = value.to_be_bytes();
            [red, green, blue, 255]
        }
        Err(_) => WHITE,
    }
}

impl Wms {
    /// The names that a parameter lists, each of them known.
    ///
    /// # Errors
    /// The first name that is not.
    pub(super) fn known_layers(&self, key: &str, parameters: &Parameters) -> Result<Vec<String>, Failure> {
        let lists = parameters.values(key).unwrap_or_default().iter();
        let names: Vec<String> = lists.flat_map(|list| list.split(',')).map(str::to_owned).collect();
        match names.iter().find(|name| self.layers.find(name).is_none()) {
            Some(unknown) => Err(Failure::coded("LayerNotDefined", format!("unknown layer: {unknown}"))),
            None => Ok(names),
        }
    }

    fn check_size(&self, parameters: &Parameters, telling: &mut Telling) -> Result<(u32, u32), Failure> {
        let Some((width, height)) = parse_size(parameters) else {
            telling.use_xml();
            return Err(Failure::new("invalid size: width and height must be positive numbers"));
        };
        if !self.size_is_allowed((width, height)) {
            telling.use_xml();
            return Err(Failure::new("image size too large"));
        }
        Ok((width, height))
    }

    fn size_is_allowed(&self, (width, height): (u32, u32)) -> bool {
        let pixels = u64::from(width) * u64::from(height);
        let operator_max = if self.max_output_pixels == 0 { PIXELS_MAX } else { self.max_output_pixels };
        width.max(height) <= SIDE_PX_MAX && pixels <= operator_max.min(PIXELS_MAX)
    }

    pub(super) fn find_format(
        &self,
        version: WmsVersion,
        asked: &str,
        telling: &mut Telling,
    ) -> Result<usize, Failure> {
        self.format_named(version, asked).ok_or_else(|| {
            telling.use_png();
            Failure::coded("InvalidFormat", format!("unsupported image format: {asked}"))
        })
    }

    /// Which of the served formats is asked for; WMS 1.0.0 writes `PNG` too.
    fn format_named(&self, version: WmsVersion, asked: &str) -> Option<usize> {
        let is_asked = |mime: &str| {
            let subtype = mime.split_once('/').map_or(mime, |(_, subtype)| subtype);
            mime == asked || (version == WmsVersion::V100 && subtype.to_uppercase() == asked)
        };
        self.image_formats.iter().position(|(mime, _)| is_asked(mime))
    }

    pub(super) fn find_srs(
        &self,
        version: WmsVersion,
        parameters: &Parameters,
    ) -> Result<(String, Srs), Failure> {
        let (name, code) =
            if version == WmsVersion::V130 { ("crs", "InvalidCRS") } else { ("srs", "InvalidSRS") };
        let asked = parameters.joined(name).unwrap_or_default();
        match self.srs_of(&asked) {
            Some(srs) => Ok((asked.to_uppercase(), srs)),
            None => Err(Failure::coded(code, format!("unsupported {name}: {asked}"))),
        }
    }

    /// How failures of this request are to be told.
    pub(super) fn telling(&self, version: WmsVersion, parameters: &Parameters) -> Telling {
        let mut telling = Telling { version, image: None };
        let wanted = parameters.joined("exceptions").unwrap_or_default().to_lowercase();
        let is_blank = !wanted.contains("image") && wanted.contains("blank");
        if !wanted.contains("image") && !is_blank {
            return telling;
        }
        let size = if parameters.contains("width") && parameters.contains("height") {
            parse_size(parameters)
        } else {
            Some((256, 256))
        };
        let Some(size) = size.filter(|size| self.size_is_allowed(*size)) else { return telling };
        let known = self.format_named(version, &parameters.joined("format").unwrap_or_default());
        let known = known.map(|at| &self.image_formats[at]);
        telling.image = Some(ImageTelling {
            is_blank,
            size,
            format: known.map_or(Format::Png, |(_, options)| options.format),
            mime: known.map_or_else(|| "image/png".to_owned(), |(mime, _)| mime.clone()),
            transparent: parameters.is_true("transparent"),
            background: parse_color(parameters.first("bgcolor")),
        });
        telling
    }
}

/// How a failure is told to the client.
#[derive(Clone, Debug)]
pub struct Telling {
    version: WmsVersion,
    image: Option<ImageTelling>,
}

#[derive(Clone, Debug)]
struct ImageTelling {
    is_blank: bool,
    size: (u32, u32),
    format: Format,
    mime: String,
    transparent: bool,
    background: Color,
}

impl Telling {
    /// As XML of a version.
    pub fn xml(version: WmsVersion) -> Telling {
        Telling { version, image: None }
    }

    fn use_xml(&mut self) {
        self.image = None;
    }

    fn use_png(&mut self) {
        if let Some(image) = &mut self.image {
            image.format = Format::Png;
            "image/png".clone_into(&mut image.mime);
        }
    }

    /// The answer for a failure: images are drawn on a thread.
    pub fn answer(self, failure: Failure) -> Answer {
        if self.image.is_some() && !failure.unexpected {
            return Answer::Work(Box::new(move |_turn| self.respond(&failure)));
        }
        Answer::Ready(self.respond(&failure))
    }

    /// The response for a failure; draws where an image is wanted.
    pub fn respond(&self, failure: &Failure) -> Response {
        if failure.unexpected {
            return internal_error();
        }
        let response = self.image.as_ref().and_then(|image| image.draw(&failure.message));
        no_cache(response.unwrap_or_else(|| self.report(failure)))
    }

    fn report(&self, failure: &Failure) -> Response {
        let mut xml = XmlWriter::new();
        match self.version {
            WmsVersion::V100 => {
                xml.open("WMTException").attribute("version", "1.0.0").text(&failure.message);
                return document_of_type(failure.status.unwrap_or(500), "text/xml", xml.finish());
            }
            WmsVersion::V110 | WmsVersion::V111 => {
                let version = if self.version == WmsVersion::V110 { "1.1.0" } else { "1.1.1" };
                let file = version.replace('.', "_");
                xml.prolog(&format!(
                    "<!DOCTYPE ServiceExceptionReport SYSTEM \"http://schemas.opengis.net/wms/{version}/exception_{file}.dtd\">\n"
                ));
                xml.open("ServiceExceptionReport").attribute("version", version);
            }
            WmsVersion::V130 => {
                xml.open("ServiceExceptionReport")
                    .attribute("version", "1.3.0")
                    .attribute("xmlns", "http://www.opengis.net/ogc")
                    .attribute("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
                    .attribute(
                        "xsi:schemaLocation",
                        "http://www.opengis.net/ogc http://schemas.opengis.net/wms/1.3.0/exceptions_1_3_0.xsd",
                    );
            }
        }
        xml.open("ServiceException");
        if let Some(code) = failure.code {
            xml.attribute("code", code);
        }
        xml.text(&failure.message);
        let mime = if self.version == WmsVersion::V130 { "text/xml" } else { "application/vnd.ogc.se_xml" };
        document(failure.status.unwrap_or(500), mime, xml.finish())
    }
}

impl ImageTelling {
    /// `None` where the image cannot be written.
    fn draw(&self, message: &str) -> Option<Response> {
        let [red, green, blue, _] = self.background;
        let ground = [red, green, blue, if self.transparent { 0 } else { 255 }];
        let mut raster = Raster::filled(self.size.0, self.size.1, ground);
        if !self.is_blank && !message.is_empty() {
            let style = TextStyle::error(self.background, self.transparent);
            decor::draw_text(&mut raster, message, &style);
        }
        let mut options = ImageOptions::new(self.format);
        options.transparent = Some(self.transparent);
        options.background = self.background;
        let encoded = render::encode(&raster, &options, None).ok()?;
        Some(Response::new(200, &self.mime, encoded.bytes))
    }
}
