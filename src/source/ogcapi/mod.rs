//! Servers of the OGC API as sources: what they have is found out at first use,
//! from their landing page on, by the links in their documents.
//!
//! Documents come from strangers: their size, their number, the links and lists
//! in them and the time for all of it have limits, and a link that leads to
//! another server than the landing page's is not followed, so that neither
//! credentials nor requests go where the configuration does not say.

mod known;
pub mod maps;
mod matrices;
pub mod tiles;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::address::{Address, clean, redact};
use super::client::{Client, Question};
use super::tile::excerpt;
use super::{Answer, SourceError};

pub use maps::{MapsParts, MapsSource};
pub use tiles::{TileSet, TilesSource};

/// The largest document.
const DOCUMENT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Documents that are read to find something out.
const DOCUMENTS_MAX: u32 = 20;
/// Links that are looked at in one document.
const LINKS_MAX: usize = 1_000;
/// Longest link that is followed, and shown in a message.
const LINK_BYTES_MAX: usize = 4_096;
const LINK_SHOWN_BYTES_MAX: usize = 200;

/// Of a document that is none, what a message shows.
const EXCERPT_BYTES_MAX: usize = 200;

const JSON: &str = "application/json";
const REL_PREFIX: &str = "http://www.opengis.net/def/rel/ogc/1.0/";

/// Where finding out begins, and who asks.
pub struct Landing {
    /// The landing page, or the collection below it, without credentials.
    url: String,
    client: Arc<Client>,
}

impl Landing {
    /// `landing_page` without credentials; a query stays at the end.
    pub fn new(landing_page: &str, collection: Option<&str>, client: Arc<Client>) -> Landing {
        let (page, query) = match landing_page.split_once('?') {
            Some((page, query)) => (page, Some(query)),
            None => (landing_page, None),
        };
        let mut url = page.trim_end_matches('/').to_owned();
        if let Some(collection) = collection {
            url.push_str("/collections/");
            url.push_str(&collection.replace('?', "%3F").replace('#', "%23"));
        }
        if let Some(query) = query {
            url.push('?');
            url.push_str(query);
        }
        Landing { url, client }
    }

    fn visit(&self) -> Visit<'_> {
        Visit {
            landing: self,
            deadline: Instant::now() + self.client.options().timeout_total,
            documents_left: Cell::new(DOCUMENTS_MAX),
        }
    }

    /// The address that a link in the document at `from` leads to.
    ///
    /// # Errors
    /// It leads to another server, or nowhere.
    fn follow(&self, from: &str, href: &str) -> Result<String, SourceError> {
        let shown = || clean(href, LINK_SHOWN_BYTES_MAX);
        let refuse = |reason: String| SourceError::Other(format!("{}: {reason}", redact(from)));
        if href.len() > LINK_BYTES_MAX {
            return Err(refuse(format!("a link is longer than {LINK_BYTES_MAX} bytes: {}", shown())));
        }
        let (base, _) = Address::parse(from)?;
        let target = base
            .join(href)
            .map_err(|_| refuse(format!("the link {} is no address of http or https", shown())))?;
        if !target.is_same_server(&base) {
            return Err(refuse(format!(
                "the link {} leads to another server and is not followed; \
                 if that is the right one, let landingpage_url name it",
                shown()
            )));
        }
        Ok(target.url())
    }

    /// An image as it comes.
    fn image(&self, url: &str) -> Result<Answer, SourceError> {
        let fetched = self.client.fetch(url, None)?;
        let is_image = fetched.content_type.is_empty()
            || fetched.content_type.to_ascii_lowercase().starts_with("image/");
        if !is_image {
            return Err(SourceError::NotAnImage {
                url: redact(url),
                content_type: fetched.content_type,
                excerpt: excerpt(&fetched.bytes),
            });
        }
        Ok(Answer::Image { bytes: fetched.bytes, content_type: fetched.content_type })
    }
}

/// One way through a server's documents.
struct Visit<'a> {
    landing: &'a Landing,
    deadline: Instant,
    documents_left: Cell<u32>,
}

/// A document, or a part of one, and where it came from.
#[derive(Debug)]
struct Document {
    url: String,
    json: Value,
}

impl Visit<'_> {
    /// The landing page, or the collection.
    fn begin(&self) -> Result<Document, SourceError> {
        self.read(self.landing.url.clone())
    }

    fn read(&self, url: String) -> Result<Document, SourceError> {
        let refuse = |reason: String| SourceError::Transport { url: redact(&url), reason };
        let left = self.documents_left.get();
        if left == 0 {
            return Err(refuse(format!(
                "not read: {DOCUMENTS_MAX} documents did not tell what the source has"
            )));
        }
        self.documents_left.set(left - 1);
        if Instant::now() >= self.deadline {
            crate::story::mark_late();
            let ms = self.landing.client.options().timeout_total.as_millis();
            return Err(refuse(format!("not read: finding out what the source has took {ms} ms already")));
        }
        let fetched = self.landing.client.put(Question {
            url: &url,
            accept: Some(JSON),
            body_bytes_max: Some(DOCUMENT_BYTES_MAX),
            ..Question::default()
        })?;
        match serde_json::from_slice(&fetched.bytes) {
            Ok(json) => Ok(Document { url, json }),
            Err(error) => {
                let start = clean(&excerpt(&fetched.bytes), EXCERPT_BYTES_MAX);
                Err(refuse(format!("no JSON ({error}): {start}")))
            }
        }
    }

    /// The document that a link of another one leads to.
    fn read_linked(&self, from: &Document, rel: &str) -> Result<Document, SourceError> {
        let href =
            link(&from.json, rel, JSON).ok_or_else(|| from.refuse(format!("no link to {rel} as {JSON}")))?;
        self.read(self.landing.follow(&from.url, href)?)
    }
}

impl Document {
    fn refuse(&self, reason: impl std::fmt::Display) -> SourceError {
        SourceError::Other(format!("{}: {reason}", redact(&self.url)))
    }
}

/// The address in a document's link of that relation and media type; one of
/// that relation that names no type will do. `rel` is the OGC's short name or
/// one of the IANA's.
fn link<'d>(document: &'d Value, rel: &str, media_type: &str) -> Option<&'d str> {
    let mut untyped = None;
    for link in document.get("links")?.as_array()?.iter().take(LINKS_MAX) {
        let text = |key: &str| link.get(key).and_then(Value::as_str);
        let (Some(found), Some(href)) = (text("rel"), text("href")) else { continue };
        if !is_relation(found, rel) {
            continue;
        }
        match text("type") {
            Some(found) if is_media_type(found, media_type) => return Some(href),
            None if untyped.is_none() => untyped = Some(href),
            _ => {}
        }
    }
    untyped
}

/// `map` by its URL, as a CURIE (`[ogc-rel:map]`), or `item` as it is.
fn is_relation(found: &str, rel: &str) -> bool {
    let curie = || found.strip_prefix("[ogc-rel:").and_then(|rest| rest.strip_suffix(']'));
    found == rel || found.strip_prefix(REL_PREFIX).or_else(curie) == Some(rel)
}

fn is_media_type(found: &str, wanted: &str) -> bool {
    found.split(';').next().unwrap_or(found).trim().eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests;
