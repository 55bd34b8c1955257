//! The map that a request means: area, size and system from `bbox`, `center`,
//! `subset`, `width`, `height`, `scale-denominator` and what goes with them
//! (OGC 20-058 tables 5, 6 and 9).

use super::draw::{Colors, Picture};
use super::refusal::Refusal;
use super::request::{self, said};
use super::subject::{Scope, Subject};
use super::{OgcApi, SizeLimits, Visit};
use crate::geo::{Extent, Srs, ogc};
use crate::service::Answer;
use crate::service::parameters::Parameters;

const PARAMETERS: [&str; 14] = [
    "f",
    "crs",
    "bbox-crs",
    "bbox",
    "center-crs",
    "center",
    "subset",
    "subset-crs",
    "width",
    "height",
    "scale-denominator",
    "mm-per-pixel",
    "bgcolor",
    "transparent",
];

/// The longer side of a map where nobody says.
const DEFAULT_SIDE_PX: f64 = 1024.0;

/// Which map is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub extent: Extent,
    pub size: (u32, u32),
    pub srs: Srs,
}

impl Visit<'_> {
    pub(super) fn map(&self, scope: Scope<'_>, file: &str) -> Result<Answer, Refusal> {
        let as_wms = self.parameters.first("service") == Some("WMS");
        let rewritten = as_wms.then(|| from_wms(&self.parameters)).transpose()?;
        let parameters = rewritten.as_ref().unwrap_or(&self.parameters);
        if !as_wms {
            let mut known = PARAMETERS.to_vec();
            let has_collections = self.api.dataset.is_some() || said(parameters, "collections").is_some();
            if scope == Scope::Dataset && has_collections {
                known.push("collections");
            }
            request::check(parameters, &known, &request::IMAGE_FORMATS)?;
        }
        let subject = self.api.subject("ogcapi.map", scope, parameters)?;
        let format = request::image_format(file, parameters, self.request, &self.api.served_formats())?;
        let wanted = self.api.wanted_map(&subject, parameters)?;
        let colors = Colors::parse(parameters)?;
        self.draw(subject, Picture { wanted, format, colors, tile: false })
    }
}

/// A GetMap of WMS 1.1.1 sent to this address, as map widgets without an idea
/// of the OGC API do: its parameters in the OGC API's terms.
///
/// # Errors
/// Parts of the request are missing.
fn from_wms(parameters: &Parameters) -> Result<Parameters, Refusal> {
    let need = |name: &str| {
        said(parameters, name).ok_or_else(|| Refusal::invalid(format!("a WMS request needs {name}")))
    };
    if need("version")? != "1.1.1" {
        return Err(Refusal::invalid("a WMS request to this address has version 1.1.1"));
    }
    let srs = need("srs")?;
    let north_first = ogc::parse(srs).is_some_and(|srs| srs.is_axis_order_ne());
    let edges: Vec<&str> = need("bbox")?.split(',').collect();
    let bbox = match edges.as_slice() {
        [a, b, c, d] if north_first => [*b, *a, *d, *c].join(","),
        edges => edges.join(","),
    };
    let mut pairs = vec![
        ("crs", srs.to_owned()),
        ("bbox-crs", srs.to_owned()),
        ("bbox", bbox),
        ("width", need("width")?.to_owned()),
        ("height", need("height")?.to_owned()),
    ];
    if let Some(format) = said(parameters, "format").and_then(|mime| mime.strip_prefix("image/")) {
        pairs.push(("f", format.to_owned()));
    }
    if let Some(transparent) = said(parameters, "transparent") {
        pairs.push(("transparent", transparent.to_lowercase()));
    }
    Ok(Parameters::of(pairs))
}

impl OgcApi {
    /// Which map of what a request asks for.
    ///
    /// # Errors
    /// The request is refused anyhow.
    pub(super) fn asked_map(
        &self,
        scope: Scope<'_>,
        parameters: &Parameters,
    ) -> Result<(Subject, Wanted), Refusal> {
        let as_wms = parameters.first("service") == Some("WMS");
        let rewritten = as_wms.then(|| from_wms(parameters)).transpose()?;
        let parameters = rewritten.as_ref().unwrap_or(parameters);
        let subject = self.subject("ogcapi.map", scope, parameters)?;
        let wanted = self.wanted_map(&subject, parameters)?;
        Ok((subject, wanted))
    }

    /// # Errors
    /// Parameters that make no sense, or none together.
    fn wanted_map(&self, subject: &Subject, parameters: &Parameters) -> Result<Wanted, Refusal> {
        let (width, height) = request::size(parameters)?;
        let pixel_m = request::display_pixel_m(parameters)?;
        let bbox = said(parameters, "bbox");
        let center = said(parameters, "center");
        let subset = parameters.values("subset");
        if (bbox.is_some() || center.is_some()) && subset.is_some() {
            return Err(Refusal::invalid("(bbox or center) and subset are mutually exclusive"));
        }
        let srs = self.map_srs(parameters)?;
        let mut area = None;
        let mut middle = None;
        if let Some(parts) = subset {
            area = Some(subset_extent(parts, parameters, subject, &srs)?);
        } else if let Some(text) = bbox {
            area = Some(bbox_extent(text, parameters, subject, &srs)?);
        } else if let Some(text) = center {
            middle = Some(center_position(text, parameters, subject, &srs)?);
        }
        let scale = request::positive(parameters, "scale-denominator")?;
        if bbox.is_some() && center.is_some() {
            return Err(Refusal::invalid("bbox and center are mutually exclusive"));
        }
        if area.is_some() && scale.is_some() && (width.is_some() || height.is_some()) {
            let detail = "bbox and scale-denominator and (width/height) are mutually exclusive";
            return Err(Refusal::invalid(detail));
        }
        let frame = MapFrame { subject, srs: &srs, pixel_m, scale };
        let (extent, (width, height)) = frame.lay(area, middle, width, height)?;
        let size = self.limits.check(width, height)?;
        if !extent.is_valid() || extent.width() <= 0.0 || extent.height() <= 0.0 {
            return Err(Refusal::invalid("the map has no area"));
        }
        Ok(Wanted { extent, size, srs })
    }

    /// The system of the map: `crs`, or the first of `map_srs`.
    fn map_srs(&self, parameters: &Parameters) -> Result<Srs, Refusal> {
        let Some(text) = said(parameters, "crs") else {
            return Ok(self.map_srs.first().unwrap_or(&self.geographic).clone());
        };
        let srs = ogc::parse(text).ok_or_else(|| Refusal::invalid("crs is not a valid CRS"))?;
        if !self.map_srs.contains(&srs) {
            return Err(Refusal::invalid("crs is incompatible with this layer"));
        }
        Ok(srs)
    }
}

impl SizeLimits {
    /// # Errors
    /// More pixels than are allowed.
    pub(super) fn check(&self, width: u64, height: u64) -> Result<(u32, u32), Refusal> {
        for (name, side) in [("width", width), ("height", height)] {
            if side > self.side_px_max {
                let max = self.side_px_max;
                return Err(Refusal::invalid(format!("{name}={side} exceeds max_{name}={max}")));
            }
        }
        let pixels = u128::from(width) * u128::from(height);
        if pixels > u128::from(self.pixels_max) {
            let max = self.pixels_max;
            return Err(Refusal::invalid(format!("number of pixels {pixels} exceed max_pixels={max}")));
        }
        let side = |pixels: u64| u32::try_from(pixels).map_err(|_| Refusal::invalid("the map is too large"));
        Ok((side(width)?, side(height)?))
    }
}

/// What the rules of tables 5 and 9 go by.
struct MapFrame<'a> {
    subject: &'a Subject,
    srs: &'a Srs,
    pixel_m: f64,
    scale: Option<f64>,
}

impl MapFrame<'_> {
    /// The area and the size of the map, in pixels.
    fn lay(
        &self,
        area: Option<Extent>,
        middle: Option<[f64; 2]>,
        width: Option<u64>,
        height: Option<u64>,
    ) -> Result<(Extent, (u64, u64)), Refusal> {
        let Some(area) = area else {
            let whole = self.whole()?;
            let nothing_said = middle.is_none() && width.is_none() && height.is_none();
            let size = sides(width, height, ratio(&whole));
            if nothing_said && self.scale.is_none() {
                return Ok((whole, size));
            }
            let middle =
                middle.unwrap_or([(whole.min_x + whole.max_x) / 2.0, (whole.min_y + whole.max_y) / 2.0]);
            return Ok((around(middle, size, self.resolution()?), size));
        };
        let Some(_) = self.scale else { return Ok((area, sides(width, height, ratio(&area)))) };
        let resolution = self.resolution()?;
        let pixels = |length: f64| (length / resolution).round_ties_even().max(1.0) as u64;
        Ok((area, (pixels(area.width()), pixels(area.height()))))
    }

    /// The subject's whole area.
    fn whole(&self) -> Result<Extent, Refusal> {
        let extent = &self.subject.extent;
        ogc::transform(&extent.extent, &extent.srs, self.srs).ok_or_else(|| {
            Refusal::invalid(format!("{} has no area in {}", self.subject.name, self.srs.code()))
        })
    }

    /// Units of the system per pixel, by the scale asked for or the nominal one.
    fn resolution(&self) -> Result<f64, Refusal> {
        let scale = self.scale.or(self.subject.nominal_scale).ok_or_else(|| {
            let name = &self.subject.name;
            Refusal::internal(format!("Layer {name} lacks a nominal_res/nominal_scale setting"))
        })?;
        Ok(units(scale * self.pixel_m, self.srs))
    }
}

/// A length on the ground in units of the system.
pub(super) fn units(length_m: f64, srs: &Srs) -> f64 {
    if srs.is_geographic() { length_m / srs.meters_per_degree() } else { length_m }
}

fn ratio(extent: &Extent) -> f64 {
    extent.width() / extent.height()
}

/// Width and height in pixels; what is not given follows from the ratio.
fn sides(width: Option<u64>, height: Option<u64>, ratio: f64) -> (u64, u64) {
    let pixels = |side: f64| side.round_ties_even().max(1.0) as u64;
    match (width, height) {
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, pixels(width as f64 / ratio)),
        (None, Some(height)) => (pixels(height as f64 * ratio), height),
        (None, None) if ratio >= 1.0 => (DEFAULT_SIDE_PX as u64, pixels(DEFAULT_SIDE_PX / ratio)),
        (None, None) => (pixels(DEFAULT_SIDE_PX * ratio), DEFAULT_SIDE_PX as u64),
    }
}

fn around([x, y]: [f64; 2], size: (u64, u64), resolution: f64) -> Extent {
    let (half_x, half_y) = (size.0 as f64 * resolution / 2.0, size.1 as f64 * resolution / 2.0);
    Extent::new(x - half_x, y - half_y, x + half_x, y + half_y)
}

/// The system of positions in a parameter: as named, or longitude and latitude
/// of the subject's body.
fn position_srs(parameters: &Parameters, name: &str, subject: &Subject) -> Result<Srs, Refusal> {
    match said(parameters, name) {
        Some(text) => ogc::parse(text).ok_or_else(|| Refusal::invalid(format!("{name} is not a valid CRS"))),
        None if subject.extent.srs.is_beyond_earth() => {
            subject.extent.srs.geographic().map_err(|error| Refusal::internal(error.to_string()))
        }
        None => Srs::parse("OGC:CRS84").map_err(|error| Refusal::internal(error.to_string())),
    }
}

fn not_reprojected(what: &str, from: &Srs, to: &Srs) -> Refusal {
    let (from, to) = (from.code(), to.code());
    Refusal::invalid(format!(
        "{what} cannot be reprojected from SRS {from} ('{from}') to SRS {to} ('{to}'): no position has an image"
    ))
}

fn bbox_extent(text: &str, parameters: &Parameters, subject: &Subject, srs: &Srs) -> Result<Extent, Refusal> {
    let from = position_srs(parameters, "bbox-crs", subject)?;
    let numbers: Option<Vec<f64>> = text.split(',').map(request::number).collect();
    let [a, b, c, d] = match numbers.as_deref() {
        Some(&[a, b, c, d]) => [a, b, c, d],
        // The heights of the third axis mean nothing on a map.
        Some(&[a, b, _, c, d, _]) => [a, b, c, d],
        _ => return Err(Refusal::invalid("bbox must be a list of 4 or 6 numeric values")),
    };
    if c <= a || d <= b {
        let detail = "bbox[2] must be greater than bbox[0] and bbox[3] must be greater than bbox[1]";
        return Err(Refusal::invalid(detail));
    }
    let extent = if from.is_axis_order_ne() { Extent::new(b, a, d, c) } else { Extent::new(a, b, c, d) };
    ogc::transform(&extent, &from, srs).ok_or_else(|| not_reprojected("bbox", &from, srs))
}

fn center_position(
    text: &str,
    parameters: &Parameters,
    subject: &Subject,
    srs: &Srs,
) -> Result<[f64; 2], Refusal> {
    let from = position_srs(parameters, "center-crs", subject)?;
    let numbers: Option<Vec<f64>> = text.split(',').map(request::number).collect();
    let Some(&[first, second]) = numbers.as_deref() else {
        return Err(Refusal::invalid("center must be a list of 2 numeric values"));
    };
    let mut position = [if from.is_axis_order_ne() { [second, first] } else { [first, second] }];
    from.transform_points(srs, &mut position);
    let [position] = position;
    if position.iter().all(|value| value.is_finite()) {
        return Ok(position);
    }
    Err(not_reprojected("center", &from, srs))
}

const X_AXES: [&str; 6] = ["lon", "long", "longitude", "x", "e", "easting"];
const Y_AXES: [&str; 5] = ["lat", "latitude", "y", "n", "northing"];

fn subset_extent(
    parts: &[String],
    parameters: &Parameters,
    subject: &Subject,
    srs: &Srs,
) -> Result<Extent, Refusal> {
    let from = position_srs(parameters, "subset-crs", subject)?;
    let parts: Vec<String> = parts.iter().map(|part| part.to_lowercase()).collect();
    // Both axes in one, or each in its own.
    let parts: Vec<&str> = match parts.as_slice() {
        [one] => one.split(',').collect(),
        several => several.iter().map(String::as_str).collect(),
    };
    if parts.len() != 2 {
        return Err(Refusal::invalid("subset must include 2 axis"));
    }
    let (mut x, mut y) = (None, None);
    for part in parts {
        let Some((axis, range)) = part
            .strip_suffix(')')
            .and_then(|part| part.split_once('('))
            .filter(|(axis, range)| is_word(axis) && !range.is_empty() && !range.contains(')'))
        else {
            return Err(Refusal::invalid(format!("Invalid subset part {part}")));
        };
        let Some((low, high)) = range.split_once(':').filter(|(_, high)| !high.contains(':')) else {
            let detail = format!("Only intervals are supported in subset part {part}");
            return Err(Refusal::invalid(detail));
        };
        let place = match axis {
            axis if X_AXES.contains(&axis) => &mut x,
            axis if Y_AXES.contains(&axis) => &mut y,
            _ => {
                let detail = format!("Unsupported axis name {axis} in subset part {part}");
                return Err(Refusal::invalid(detail));
            }
        };
        if place.is_some() {
            let detail = format!("Axis name {axis} has been specified in multiple subset parts");
            return Err(Refusal::invalid(detail));
        }
        let (Some(low), Some(high)) = (request::number(low), request::number(high)) else {
            let detail = format!("Non numeric value found in range of subset part {part}");
            return Err(Refusal::invalid(detail));
        };
        *place = Some((low, high));
    }
    let (Some((min_x, max_x)), Some((min_y, max_y))) = (x, y) else {
        return Err(Refusal::invalid("subset must include 2 axis"));
    };
    if max_x <= min_x || max_y <= min_y {
        let detail = "Invalid range in subset: first value must be less than second one";
        return Err(Refusal::invalid(detail));
    }
    let extent = Extent::new(min_x, min_y, max_x, max_y);
    ogc::transform(&extent, &from, srs).ok_or_else(|| not_reprojected("subset", &from, srs))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}
