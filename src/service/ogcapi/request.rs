//! What a client asks for: which parameters there may be, whether it wants a
//! page, which image format.

use super::refusal::Refusal;
use crate::render::Format;
use crate::service::parameters::Parameters;
use crate::wire::Request;

/// Whether the answer is to be a page: `f=html`, or a client that accepts pages
/// and does not ask for JSON.
pub fn wants_html(parameters: &Parameters, request: &Request) -> bool {
    match parameters.first("f") {
        Some("html") => true,
        Some("json") => false,
        _ => accepts(request).contains("text/html"),
    }
}

fn accepts(request: &Request) -> &str {
    request.headers.get("Accept").unwrap_or_default()
}

/// # Errors
/// A parameter that is not in `known`; a value of `f` that is not in `formats`.
pub fn check(parameters: &Parameters, known: &[&str], formats: &[&str]) -> Result<(), Refusal> {
    if let Some((name, _)) = parameters.pairs().find(|(name, _)| !known.contains(name)) {
        return Err(Refusal::unknown_parameter(name));
    }
    check_format(parameters, formats)
}

fn check_format(parameters: &Parameters, formats: &[&str]) -> Result<(), Refusal> {
    match parameters.first("f") {
        Some(format) if !formats.contains(&format) => {
            Err(Refusal::invalid("Invalid value for f query parameter"))
        }
        _ => Ok(()),
    }
}

/// [`check`] for documents.
pub fn check_document(parameters: &Parameters) -> Result<(), Refusal> {
    check(parameters, &["f"], &["json", "html"])
}

/// The values of `f` for images.
pub const IMAGE_FORMATS: [&str; 2] = ["png", "jpeg"];

/// The format of an image: the extension of the path's last segment, `f`, what
/// the client accepts; the first that is `served` where none of them says.
///
/// # Errors
/// A format that is not served.
pub fn image_format(
    file: &str,
    parameters: &Parameters,
    request: &Request,
    served: &[Format],
) -> Result<Format, Refusal> {
    if let Some((_, extension)) = file.split_once('.') {
        return match extension {
            "png" => Ok(Format::Png),
            "jpg" | "jpeg" => Ok(Format::Jpeg),
            _ => Err(Refusal::not_acceptable(extension)),
        };
    }
    match parameters.first("f") {
        Some("png") => return Ok(Format::Png),
        Some("jpeg") => return Ok(Format::Jpeg),
        _ => {}
    }
    let accepted = accepts(request);
    if let Some(named) = served.iter().find(|format| accepted.contains(format.mime())) {
        return Ok(*named);
    }
    let takes_any = accepted.is_empty() || accepted.contains("*/*") || accepted.contains("image/*");
    served.first().filter(|_| takes_any).copied().ok_or_else(|| Refusal::not_acceptable(accepted))
}

/// A value that is there and not empty.
pub fn said<'p>(parameters: &'p Parameters, name: &str) -> Option<&'p str> {
    parameters.first(name).filter(|value| !value.is_empty())
}

/// `width` and `height` where they are given.
///
/// # Errors
/// No whole numbers, or none above zero.
pub fn size(parameters: &Parameters) -> Result<(Option<u64>, Option<u64>), Refusal> {
    let side = |name: &str| {
        let Some(text) = said(parameters, name) else { return Ok(None) };
        let text = text.trim();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Refusal::invalid(format!("{name} is not an integer")));
        }
        // More digits than a number has are too many pixels in any case.
        match text.parse::<i128>().unwrap_or(if text.starts_with('-') { -1 } else { i128::MAX }) {
            ..=0 => Err(Refusal::invalid(format!("{name} must be strictly positive"))),
            pixels => Ok(Some(u64::try_from(pixels).unwrap_or(u64::MAX))),
        }
    };
    Ok((side("width")?, side("height")?))
}

/// A number above zero; `None` where it is not given.
///
/// # Errors
/// Anything else.
pub fn positive(parameters: &Parameters, name: &str) -> Result<Option<f64>, Refusal> {
    let Some(text) = said(parameters, name) else { return Ok(None) };
    match number(text) {
        Some(value) if value > 0.0 => Ok(Some(value)),
        _ => Err(Refusal::invalid(format!("{name} must be a strictly positive numeric value"))),
    }
}

/// Metres of a pixel on the client's display.
///
/// # Errors
/// See [`positive`]; unlike other parameters an empty one is refused too.
pub fn display_pixel_m(parameters: &Parameters) -> Result<f64, Refusal> {
    const PIXEL_MM: f64 = 0.28;
    if parameters.first("mm-per-pixel") == Some("") {
        return Err(Refusal::invalid("mm-per-pixel must be a strictly positive numeric value"));
    }
    Ok(positive(parameters, "mm-per-pixel")?.unwrap_or(PIXEL_MM) / 1000.0)
}

/// A finite number.
pub fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite())
}
