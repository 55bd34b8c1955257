//! A server of OGC API Maps. Which requests are made follows MapProxy, with the
//! same parameters in the same words.

use std::sync::Arc;

use super::known::Known;
use super::{Document, Landing, link};
use crate::geo::{Srs, ogc};
use crate::source::wms::{Parameters, with_query};
use crate::source::{Answer, MapRequest, OnError, SourceError};
use crate::story;

/// Systems of a server that are looked up; those after them count as not there.
const SYSTEMS_MAX: usize = 500;
/// Formats in which maps are asked for, the best first.
const FORMATS: [&str; 2] = ["image/png", "image/jpeg"];

/// What is asked of one data set or collection.
pub struct MapsParts {
    pub name: String,
    pub landing: Landing,
    /// `supported_srs`; empty: what the server says.
    pub systems: Vec<Srs>,
    pub transparent: bool,
    pub bgcolor: Option<[u8; 4]>,
    pub on_error: OnError,
}

/// A server that is asked for maps.
pub struct MapsSource {
    parts: MapsParts,
    known: Known<Description>,
}

/// What a server says of its maps.
#[derive(Debug)]
struct Description {
    /// Media type, and the address of maps in it; not empty.
    addresses: Vec<(&'static str, String)>,
    /// With the URLs by which the server names them; not empty.
    systems: Vec<(Srs, String)>,
}

impl Description {
    /// How the server names a system: by its very code where it can, since some
    /// list CRS84 and draw in EPSG:4326 only.
    fn url_of(&self, srs: &Srs) -> String {
        let systems = &self.systems;
        let found = systems
            .iter()
            .find(|(known, _)| known.code() == srs.code())
            .or_else(|| systems.iter().find(|(known, _)| known == srs));
        found.map_or_else(|| ogc::url(srs), |(_, url)| url.clone())
    }
}

impl MapsSource {
    pub fn new(parts: MapsParts) -> MapsSource {
        MapsSource { parts, known: Known::default() }
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    pub fn on_error(&self) -> &OnError {
        &self.parts.on_error
    }

    /// The systems in which maps can be asked for, that of the server's own data first.
    ///
    /// # Errors
    /// What the server has cannot be found out.
    pub fn systems(&self) -> Result<Vec<Srs>, SourceError> {
        Ok(self.description()?.systems.iter().map(|(srs, _)| srs.clone()).collect())
    }

    /// One map.
    ///
    /// # Errors
    /// Failures for which `on_error` has nothing, and an answer that is no image.
    pub fn fetch(&self, request: &MapRequest) -> Result<Answer, SourceError> {
        let asked = story::ask(&self.parts.name);
        let got = self.map_url(request).and_then(|url| self.parts.landing.image(&url));
        asked.end(got.is_ok());
        match got {
            Err(error) if !matches!(error, SourceError::NotAnImage { .. }) => {
                self.parts.on_error.answer(error)
            }
            other => other,
        }
    }

    fn map_url(&self, request: &MapRequest) -> Result<String, SourceError> {
        let description = self.description()?;
        let addresses = &description.addresses;
        let wanted = request.format.split(';').next().unwrap_or_default().trim();
        let (_, address) = addresses.iter().find(|(format, _)| *format == wanted).unwrap_or(&addresses[0]);
        let srs = &request.srs;
        let url = || description.url_of(srs);
        let mut query = Parameters::default();
        query.set("bbox", &ogc::bbox_text(&request.extent, srs));
        // Longitude and latitude on WGS 84 are what a server takes unasked.
        let is_plain = Srs::parse("EPSG:4326").is_ok_and(|plain| plain == *srs);
        if !is_plain {
            query.set("bbox-crs", &url());
        }
        if !is_plain || description.systems.len() != 1 {
            query.set("crs", &url());
        }
        query.set("width", &request.size.0.to_string());
        query.set("height", &request.size.1.to_string());
        if self.parts.transparent {
            query.set("transparent", "true");
        }
        if let Some([r, g, b, a]) = self.parts.bgcolor {
            let alpha = if a == 255 { String::new() } else { format!("{a:02X}") };
            query.set("bgcolor", &format!("0x{alpha}{r:02X}{g:02X}{b:02X}"));
        }
        Ok(with_query(address, &query.to_text()))
    }

    fn description(&self) -> Result<Arc<Description>, SourceError> {
        self.known.get(|| {
            let asked = story::ask(&self.parts.name);
            let found = self.find();
            asked.end(found.is_ok());
            found
        })
    }

    fn find(&self) -> Result<Description, SourceError> {
        let document = self.parts.landing.visit().begin()?;
        let mut addresses = Vec::new();
        for format in FORMATS {
            if let Some(href) = link(&document.json, "map", format) {
                addresses.push((format, self.parts.landing.follow(&document.url, href)?));
            }
        }
        if addresses.is_empty() {
            return Err(document.refuse(format!("no link to maps as {}", FORMATS.join(" or "))));
        }
        let systems = match self.parts.systems.as_slice() {
            [] => self.systems_of(&document)?,
            own => own.iter().map(|srs| (srs.clone(), ogc::url(srs))).collect(),
        };
        Ok(Description { addresses, systems })
    }

    /// The systems that a document lists, that of the stored data first.
    fn systems_of(&self, document: &Document) -> Result<Vec<(Srs, String)>, SourceError> {
        let json = &document.json;
        let listed = json.get("crs").and_then(|list| list.as_array()).map_or(&[][..], Vec::as_slice);
        let urls: Vec<&str> =
            json.get("storageCrs").into_iter().chain(listed).filter_map(|url| url.as_str()).collect();
        if urls.is_empty() {
            let plain = Srs::parse("EPSG:4326").map_err(|error| document.refuse(error))?;
            return Ok(vec![(plain, ogc::CRS84.to_owned())]);
        }
        let mut systems: Vec<(Srs, String)> = Vec::new();
        for url in urls.into_iter().take(SYSTEMS_MAX) {
            if let Some(srs) = ogc::parse(url)
                && !systems.iter().any(|(known, _)| known.code() == srs.code())
            {
                systems.push((srs, url.to_owned()));
            }
        }
        if systems.is_empty() {
            return Err(document.refuse("none of its coordinate systems is known here"));
        }
        Ok(systems)
    }
}
