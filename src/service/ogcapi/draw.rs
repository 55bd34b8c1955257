//! From a subject and the map wanted of it to an image, with the fields that
//! say what it shows.

use std::borrow::Cow;
use std::sync::Arc;

use super::map::Wanted;
use super::page::Frame;
use super::refusal::Refusal;
use super::request::said;
use super::subject::Subject;
use super::{OgcApi, Visit};
use crate::geo::ogc;
use crate::plan::{ComposeOptions, Composed, Decoration, MapLayer, MapQuery, Turn, compose};
use crate::render::{Color, DecodeLimits, Format, ImageOptions};
use crate::service::decorations::Occasion;
use crate::service::exception::no_cache;
use crate::service::parameters::Parameters;
use crate::service::permit::Kind;
use crate::service::{Answer, FoundTile};
use crate::wire::{Request, Response};

/// `bgcolor` and `transparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colors {
    /// The background, where one is given.
    pub background: Option<Color>,
    pub transparent: Option<bool>,
}

/// The W3C's sixteen names of colours.
const NAMED: [(&str, [u8; 3]); 16] = [
    ("black", [0x00, 0x00, 0x00]),
    ("silver", [0xc0, 0xc0, 0xc0]),
    ("gray", [0x80, 0x80, 0x80]),
    ("white", [0xff, 0xff, 0xff]),
    ("maroon", [0x80, 0x00, 0x00]),
    ("red", [0xff, 0x00, 0x00]),
    ("purple", [0x80, 0x00, 0x80]),
    ("fuchsia", [0xff, 0x00, 0xff]),
    ("green", [0x00, 0x80, 0x00]),
    ("lime", [0x00, 0xff, 0x00]),
    ("olive", [0x80, 0x80, 0x00]),
    ("yellow", [0xff, 0xff, 0x00]),
    ("navy", [0x00, 0x00, 0x80]),
    ("blue", [0x00, 0x00, 0xff]),
    ("teal", [0x00, 0x80, 0x80]),
    ("aqua", [0x00, 0xff, 0xff]),
];

impl Colors {
    /// # Errors
    /// A colour or a flag that is none.
    pub fn parse(parameters: &Parameters) -> Result<Colors, Refusal> {
        let background = match said(parameters, "bgcolor") {
            Some(text) => {
                Some(parse_color(text).ok_or_else(|| Refusal::invalid("invalid value for bgcolor"))?)
            }
            None => None,
        };
        let transparent = match parameters.first("transparent") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Refusal::invalid("invalid value for transparent")),
            None => background.map(|_| true),
        };
        Ok(Colors { background, transparent })
    }

    fn are_default(self) -> bool {
        self.background.is_none() && self.transparent.is_none()
    }
}

/// `0xRRGGBB`, `0xAARRGGBB` or a name. Without an alpha of its own a colour is
/// not there at all on transparent maps.
fn parse_color(text: &str) -> Option<Color> {
    let text = text.to_lowercase();
    let Some(digits) = text.strip_prefix("0x") else {
        let (_, [red, green, blue]) = NAMED.iter().find(|(name, _)| *name == text)?;
        return Some([*red, *green, *blue, 0]);
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let [alpha, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    match digits.len() {
        6 => Some([red, green, blue, 0]),
        8 => Some([red, green, blue, alpha]),
        _ => None,
    }
}

/// An image that is wanted.
pub struct Picture {
    pub wanted: Wanted,
    pub format: Format,
    pub colors: Colors,
    /// Whether it is a tile: an answer that clients may keep.
    pub tile: bool,
}

impl Picture {
    /// Whether a stored tile is such a picture as it lies.
    pub fn may_be_stored(&self, tile_size: (u32, u32)) -> bool {
        let plain = self.colors.are_default()
            || (self.colors == Colors { background: None, transparent: Some(true) });
        plain && self.wanted.size == tile_size
    }

    /// What the image shows, for its header.
    pub fn fields(&self) -> Vec<(Cow<'static, str>, String)> {
        let Wanted { extent, srs, .. } = &self.wanted;
        let mut fields = Vec::with_capacity(2);
        if srs.code() != "EPSG:4326" {
            fields.push((Cow::Borrowed("Content-Crs"), format!("<{}>", ogc::url(srs))));
        }
        fields.push((Cow::Borrowed("Content-Bbox"), ogc::bbox_text(extent, srs)));
        fields
    }
}

/// Everything a thread needs to draw.
struct DrawWork {
    layers: Vec<Arc<dyn MapLayer>>,
    query: MapQuery,
    options: ComposeOptions,
    fields: Vec<(Cow<'static, str>, String)>,
    cache_control: Option<String>,
    frame: Frame,
    /// Service and collections, for the log.
    what: String,
}

impl Visit<'_> {
    /// Draws the subject.
    ///
    /// # Errors
    /// An image format that the service does not offer.
    pub(super) fn draw(&self, subject: Subject, picture: Picture) -> Result<Answer, Refusal> {
        let work = self.api.plan(&subject, &picture, &self.frame, self.request)?;
        Ok(Answer::Work(Box::new(move |turn| work.run(turn))))
    }
}

impl OgcApi {
    fn plan(
        &self,
        subject: &Subject,
        picture: &Picture,
        frame: &Frame,
        request: &Request,
    ) -> Result<DrawWork, Refusal> {
        let options = self.image_options(picture.format);
        let offered = || Refusal::not_acceptable(picture.format.mime());
        let (image, ground_alpha, surround) = colored(options.ok_or_else(offered)?, picture.colors);
        let Wanted { extent, size, srs } = &picture.wanted;
        let query = MapQuery {
            extent: *extent,
            size: *size,
            srs: srs.clone(),
            format: picture.format,
            transparent: image.transparent == Some(true),
            tiled_only: false,
            dimensions: Vec::new(),
            parameters: Vec::new(),
            mime: Some(Arc::from(picture.format.mime())),
        };
        // Beyond its area a collection shows nothing, and its sources are not asked.
        let crop = ogc::transform(&subject.extent.extent, &subject.extent.srs, srs);
        let is_outside = crop.is_none_or(|crop| !crop.intersects(extent));
        let layers = if is_outside { Vec::new() } else { self.maps_of(subject, &query) };
        Ok(DrawWork {
            layers,
            options: ComposeOptions {
                image,
                on_source_errors: self.on_source_errors,
                hide_error_details: self.hide_error_details,
                attribution: self.attribution.clone().filter(|_| !is_outside),
                concurrent_layers: self.concurrent_layers,
                limit: None,
                crop: Some(crop.unwrap_or(subject.extent.extent)),
                surround,
                ground_alpha,
                decoration: self.decoration(subject, &query, request),
                decode_limits: DecodeLimits::default(),
            },
            query,
            fields: picture.fields(),
            cache_control: picture.tile.then(|| self.cache_control.clone()),
            frame: frame.clone(),
            what: format!("{} {}", subject.service, subject.name),
        })
    }

    /// What is added to the picture, by the rules of the site.
    fn decoration(&self, subject: &Subject, query: &MapQuery, request: &Request) -> Option<Decoration> {
        let decorations = self.decorations.as_ref()?;
        let occasion = Occasion {
            kind: Kind::OgcApi,
            service: subject.service,
            asked: &self.layers.names_of(&subject.collections),
            drawn: &self.layers.names_of(&self.drawing(subject, query)),
            extent: &query.extent,
            srs: query.srs.code(),
        };
        decorations.choose(&occasion, request)
    }

    /// Sources and caches bottom to top, without what is not shown at this scale.
    fn maps_of(&self, subject: &Subject, query: &MapQuery) -> Vec<Arc<dyn MapLayer>> {
        let maps = self.drawing(subject, query);
        maps.into_iter().filter_map(|at| self.layers.node(at).maps.as_ref()).flatten().cloned().collect()
    }

    /// The places of the layers that draw for the subject at the query's scale.
    pub(super) fn drawing(&self, subject: &Subject, query: &MapQuery) -> Vec<usize> {
        let mut drawing = Vec::new();
        for &at in &subject.collections {
            if self.layers.node(at).renders(query) {
                self.layers.drawing(at, &mut drawing);
            }
        }
        drawing
    }
}

/// How the image is written, the alpha of its ground and the colour around the
/// subject's area. Where nothing is said of transparency the map itself is
/// opaque and what lies around it is not there, as in MapProxy.
fn colored(options: &ImageOptions, colors: Colors) -> (ImageOptions, u8, Option<Color>) {
    let mut image = options.clone();
    image.transparent = colors.transparent;
    let alpha = colors.background.map_or(0, |[.., alpha]| alpha);
    if let Some([red, green, blue, _]) = colors.background {
        image.background = [red, green, blue, 255];
    }
    let [red, green, blue, _] = image.background;
    let surround = colors.transparent.is_none().then_some([red, green, blue, 0]);
    (image, alpha, surround)
}

impl DrawWork {
    fn run(self, turn: &Turn) -> Response {
        let DrawWork { layers, query, options, fields, cache_control, frame, what } = self;
        let Composed { image, cacheable } = match compose(&layers, &query, &options, turn) {
            Ok(composed) => composed,
            Err(error) => {
                let refusal =
                    Refusal::of_map(&what, &error, options.on_source_errors, options.hide_error_details);
                return refusal.respond(&frame);
            }
        };
        let mut response = Response::new(200, image.format.mime(), image.bytes);
        response.headers.extend(fields);
        match cache_control {
            _ if !cacheable => no_cache(response),
            Some(cache_control) => response.with("Cache-Control", cache_control),
            None => response,
        }
    }
}

/// Adds fields to whatever is answered.
pub fn with_fields(answer: Answer, fields: Vec<(Cow<'static, str>, String)>) -> Answer {
    let add = |mut response: Response, fields: Vec<(Cow<'static, str>, String)>| {
        response.headers.extend(fields);
        response
    };
    match answer {
        Answer::Ready(response) => Answer::Ready(add(response, fields)),
        Answer::Work(work) => Answer::Work(Box::new(move |turn| add(work(turn), fields))),
        Answer::StoredTile(mut tile) => {
            let (respond, otherwise) = (tile.respond, tile.otherwise);
            let made = fields.clone();
            tile.respond = Box::new(move |found: FoundTile| add(respond(found), fields));
            tile.otherwise = Box::new(move |turn| add(otherwise(turn), made));
            Answer::StoredTile(tile)
        }
    }
}
