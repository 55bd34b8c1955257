//! A server of OGC API Tiles. Tile sets are found from the landing page on, the
//! grid and the addresses of tiles when a system is first asked for, in the
//! steps that MapProxy takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::known::Known;
use super::matrices::{MatrixSet, system};
use super::{Document, Landing, Visit, link};
use crate::geo::{Srs, TileCoord, TileGrid};
use crate::source::address::{clean, redact};
use crate::source::{Answer, OnError, SourceError};
use crate::story;

/// Tile sets of a server that are looked at.
const TILE_SETS_MAX: usize = 500;
/// Links by which a tile set may be named.
const SET_LINKS_MAX: usize = 100;
/// Tile sets of one system that are tried for the wanted format.
const TRIED_MAX: usize = 5;
/// Formats that a message lists.
const FORMATS_SHOWN_MAX: usize = 10;
/// Of a path, what needs no escape in the name of a level.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// What is asked of one data set or collection.
pub struct TilesSource {
    pub name: String,
    pub landing: Landing,
    /// `tile_matrix_set_id`; otherwise the first that will do.
    pub tile_matrix_set: Option<String>,
    pub on_error: OnError,
    sets: Known<Vec<Listed>>,
    chosen: Mutex<HashMap<Wanted, Arc<Known<TileSet>>>>,
}

/// Code of a system, and media type of tiles.
type Wanted = (String, String);

/// A tile set as the list has it: its system, and its part of the list.
#[derive(Debug)]
struct Listed {
    srs: Srs,
    document: Document,
}

/// A tile set whose tiles can be asked for.
#[derive(Debug)]
pub struct TileSet {
    matrices: MatrixSet,
    /// The address of tiles, with placeholders, and the document that it stands in.
    template: String,
    document_url: String,
}

impl TileSet {
    pub fn grid(&self) -> &TileGrid {
        &self.matrices.grid
    }

    /// The template with the placeholders filled in.
    fn fill(&self, tile: TileCoord) -> String {
        let escape = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
        let name = self.matrices.names.get(tile.z as usize).map_or("", String::as_str);
        self.template
            .replace("{tileMatrixSetId}", &escape(&self.matrices.id))
            .replace("{tileMatrix}", &escape(name))
            .replace("{tileRow}", &tile.y.to_string())
            .replace("{tileCol}", &tile.x.to_string())
    }
}

impl TilesSource {
    pub fn new(
        name: String,
        landing: Landing,
        tile_matrix_set: Option<String>,
        on_error: OnError,
    ) -> TilesSource {
        let (sets, chosen) = (Known::default(), Mutex::default());
        TilesSource { name, landing, tile_matrix_set, on_error, sets, chosen }
    }

    /// The tile set for a system and a media type.
    ///
    /// # Errors
    /// There is none, or what there is cannot be found out.
    pub fn tile_set(&self, srs: &Srs, media_type: &str) -> Result<Arc<TileSet>, SourceError> {
        let sets = self.sets.get(|| self.asking(|| self.find_sets()))?;
        let key = (srs.code().to_owned(), media_type.to_owned());
        let known = {
            let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(chosen.entry(key).or_default())
        };
        known.get(|| self.asking(|| self.choose(&sets, srs, media_type)))
    }

    /// Runs what asks the server, so that it is counted.
    fn asking<T>(&self, find: impl FnOnce() -> Result<T, SourceError>) -> Result<T, SourceError> {
        let asked = story::ask(&self.name);
        let found = find();
        asked.end(found.is_ok());
        found
    }

    /// One tile, counted as the set's grid does.
    ///
    /// # Errors
    /// Failures for which `on_error` has nothing.
    pub fn fetch(&self, set: &TileSet, tile: TileCoord) -> Result<Answer, SourceError> {
        let got =
            self.asking(|| self.landing.image(&self.landing.follow(&set.document_url, &set.fill(tile))?));
        got.or_else(|error| self.on_error.answer(error))
    }

    /// The list of tile sets with maps.
    fn find_sets(&self) -> Result<Vec<Listed>, SourceError> {
        let visit = self.landing.visit();
        let list = visit.read_linked(&visit.begin()?, "tilesets-map")?;
        let sets = list.json.get("tilesets").and_then(Value::as_array);
        let sets = sets.ok_or_else(|| list.refuse("no `tilesets` in it"))?;
        let mut found = Vec::new();
        let mut strange = 0;
        for json in sets.iter().take(TILE_SETS_MAX).filter(|json| self.is_wanted(json)) {
            match json.get("crs").and_then(system) {
                Some(srs) => {
                    let document = Document { url: list.url.clone(), json: json.clone() };
                    found.push(Listed { srs, document });
                }
                None => strange += 1,
            }
        }
        if found.is_empty() {
            return Err(list.refuse(match &self.tile_matrix_set {
                Some(id) => format!("no map tiles by the tile matrix set `{}`", clean(id, 100)),
                None if strange > 0 => "map tiles only in coordinate systems that are not known here".into(),
                None => "no map tiles".to_owned(),
            }));
        }
        Ok(found)
    }

    fn is_wanted(&self, set: &Value) -> bool {
        if set.get("dataType").and_then(Value::as_str) != Some("map") {
            return false;
        }
        let Some(id) = &self.tile_matrix_set else { return true };
        let links = set.get("links").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        links.iter().take(SET_LINKS_MAX).any(|link| {
            let href = link.get("href").and_then(Value::as_str).unwrap_or_default();
            let path = href.split('?').next().unwrap_or_default();
            path.rsplit('/').next() == Some(id)
        })
    }

    /// The first tile set of the system that has tiles of the type.
    fn choose(&self, sets: &[Listed], srs: &Srs, media_type: &str) -> Result<TileSet, SourceError> {
        let visit = self.landing.visit();
        let mut reasons = Vec::new();
        for set in sets.iter().filter(|set| set.srs == *srs).take(TRIED_MAX) {
            match self.look_at(&visit, &set.document, media_type) {
                Ok(found) => return Ok(found),
                Err(error) => reasons.push(error),
            }
        }
        // One failure says most by itself: what it is decides about `on_error`.
        if reasons.len() == 1
            && let Some(error) = reasons.pop()
        {
            return Err(error);
        }
        let page = redact(&self.landing.url);
        let code = srs.code();
        if reasons.is_empty() {
            return Err(SourceError::Other(format!("{page}: no map tiles in {code}")));
        }
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        let reasons = reasons.join("; ");
        Err(SourceError::Other(format!("{page}: no map tiles that will do in {code}: {reasons}")))
    }

    fn look_at(
        &self,
        visit: &Visit<'_>,
        listed: &Document,
        media_type: &str,
    ) -> Result<TileSet, SourceError> {
        let scheme = visit.read_linked(listed, "tiling-scheme")?;
        let matrices = MatrixSet::parse(&scheme.json).map_err(|reason| scheme.refuse(reason))?;
        let own = visit.read_linked(listed, "self")?;
        let Some(template) = link(&own.json, "item", media_type) else {
            let others = formats(&own.json).join(", ");
            return Err(own.refuse(format!(
                "no tiles as {media_type}, but as {others:?}; the cache's request_format says what is asked for"
            )));
        };
        let found = TileSet { matrices, template: template.to_owned(), document_url: own.url.clone() };
        let sample = found.fill(TileCoord::new(0, 0, 0));
        if sample.contains(['{', '}']) {
            let text = clean(template, 200);
            return Err(
                own.refuse(format!("the address of its tiles has placeholders we do not know: {text}"))
            );
        }
        self.landing.follow(&own.url, &sample)?;
        Ok(found)
    }
}

/// The types of the tiles that a document links to.
fn formats(document: &Value) -> Vec<String> {
    let links = document.get("links").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let items = links.iter().filter(|link| link.get("rel").and_then(Value::as_str) == Some("item"));
    let types = items.filter_map(|link| link.get("type").and_then(Value::as_str));
    types.take(FORMATS_SHOWN_MAX).map(|kind| clean(kind, 100)).collect()
}
