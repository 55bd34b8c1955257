//! What lies at a point: sources are asked, their documents transformed and
//! merged into one. Source of the rules: mapproxy-features.md §5.13.

use std::borrow::Cow;
use std::sync::Arc;

use super::{PlanError, SupportedSrs, Turn};
use crate::geo::Coverage;
use crate::log;
use crate::source::xslt::{Document, Markup, Stylesheet, XsltError};
use crate::source::{InfoAnswer, InfoRequest, InfoSource};

/// What a document is, as far as merging goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InfoKind {
    Text,
    Html,
    Xml,
    Json,
}

impl InfoKind {
    /// From a MIME type, its parameters aside; everything unknown is text.
    pub fn of_mime(mime: &str) -> InfoKind {
        match mime.split(';').next().unwrap_or_default().trim() {
            "text/xml" | "application/xml" | "application/gml+xml" | "application/vnd.ogc.gml" => {
                InfoKind::Xml
            }
            "text/html" => InfoKind::Html,
            "application/json" => InfoKind::Json,
            _ => InfoKind::Text,
        }
    }

    fn markup(self) -> Option<Markup> {
        match self {
            InfoKind::Xml => Some(Markup::Xml),
            InfoKind::Html => Some(Markup::Html),
            InfoKind::Text | InfoKind::Json => None,
        }
    }
}

/// What one source says about a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoDocument {
    pub kind: InfoKind,
    pub bytes: Vec<u8>,
}

impl InfoDocument {
    fn of(answer: InfoAnswer) -> InfoDocument {
        InfoDocument { kind: InfoKind::of_mime(&answer.mime), bytes: answer.bytes }
    }

    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Something that can be asked about a point.
pub trait InfoLayer: Send + Sync {
    /// `None`: nothing is known there.
    ///
    /// # Errors
    /// The source fails.
    fn info(&self, request: &InfoRequest, turn: &Turn) -> Result<Option<InfoDocument>, PlanError>;
}

/// A source with what is done to its answers.
pub struct SourceInfoLayer {
    pub source: InfoSource,
    /// Empty: every system is asked in as it comes.
    pub supported_srs: SupportedSrs,
    /// Outside of it nobody is asked.
    pub coverage: Option<Coverage>,
    /// `featureinfo_xslt` of the source, and what it makes (`featureinfo_out_format`).
    pub stylesheet: Option<(Arc<Stylesheet>, InfoKind)>,
}

impl InfoLayer for SourceInfoLayer {
    fn info(&self, request: &InfoRequest, turn: &Turn) -> Result<Option<InfoDocument>, PlanError> {
        if self.coverage.as_ref().is_some_and(|c| !c.contains_point(request.point(), &request.srs)) {
            return Ok(None);
        }
        let moved;
        let mut request = request;
        let supported = &self.supported_srs;
        if !supported.list.is_empty() && supported.same(&request.srs).is_none() {
            let srs = supported.best(&request.srs).unwrap_or(&request.srs);
            match request.in_srs(srs) {
                Some(there) => moved = there,
                None => return Ok(None),
            }
            request = &moved;
        }
        let answer = turn.wait(|| self.source.fetch(request)).map_err(PlanError::Source)?;
        let document = InfoDocument::of(answer);
        let Some((stylesheet, kind)) = &self.stylesheet else { return Ok(Some(document)) };
        match transform(&document, stylesheet, *kind) {
            Ok(made) => Ok(Some(made)),
            Err(error) => {
                log::warn!("feature info of {} left out: {error}", self.source.name());
                Ok(None)
            }
        }
    }
}

fn transform(
    document: &InfoDocument,
    stylesheet: &Stylesheet,
    kind: InfoKind,
) -> Result<InfoDocument, XsltError> {
    let markup = document.kind.markup().unwrap_or(Markup::Xml);
    let made = stylesheet.apply(&Document::parse(&document.bytes, markup)?)?;
    let kind = if kind == InfoKind::Html { InfoKind::Html } else { InfoKind::Xml };
    let text = made.to_text(kind.markup().unwrap_or(Markup::Xml));
    Ok(InfoDocument { kind, bytes: text.into_bytes() })
}

/// All documents as one, and what it is; `None`: a stylesheet made it, whose
/// output has the type that the client asked for.
///
/// Documents of one kind are merged as that kind, others are joined as text.
/// What cannot be read is left out.
pub fn combine(
    documents: &[InfoDocument],
    stylesheet: Option<&Stylesheet>,
) -> Result<(String, Option<InfoKind>), XsltError> {
    let kind = documents.first().map_or(InfoKind::Text, |first| first.kind);
    if documents.iter().any(|document| document.kind != kind) {
        return Ok((join(documents), Some(InfoKind::Text)));
    }
    match kind {
        InfoKind::Text => Ok((join(documents), Some(kind))),
        InfoKind::Json => Ok((merge_json(documents), Some(kind))),
        InfoKind::Xml => merge_markup(documents, Markup::Xml, kind, stylesheet),
        InfoKind::Html => merge_markup(documents, Markup::Html, kind, stylesheet),
    }
}

fn join(documents: &[InfoDocument]) -> String {
    let texts: Vec<Cow<'_, str>> =
        documents.iter().map(InfoDocument::text).filter(|text| !text.is_empty()).collect();
    texts.join("\n")
}

fn merge_markup(
    documents: &[InfoDocument],
    markup: Markup,
    kind: InfoKind,
    stylesheet: Option<&Stylesheet>,
) -> Result<(String, Option<InfoKind>), XsltError> {
    let mut merged: Option<Document> = None;
    for document in documents {
        match Document::parse(&document.bytes, markup) {
            Ok(next) => match &mut merged {
                Some(merged) => merged.append(&next, markup),
                None => merged = Some(next),
            },
            Err(error @ XsltError::Library { .. }) if stylesheet.is_some() => return Err(error),
            Err(XsltError::Library { .. }) => {
                // As MapProxy without lxml. A single document is what it is.
                let is_single = documents.len() == 1;
                return Ok((join(documents), Some(if is_single { kind } else { InfoKind::Text })));
            }
            Err(error) => log::warn!("a document of feature info is left out: {error}"),
        }
    }
    let Some(merged) = merged else { return Ok((String::new(), Some(kind))) };
    match stylesheet {
        Some(stylesheet) => Ok((stylesheet.apply(&merged)?.to_text(Markup::Xml), None)),
        None => Ok((merged.to_text(markup), Some(kind))),
    }
}

/// Objects are merged key by key: objects into objects, lists behind lists,
/// anything else is replaced by what comes later.
fn merge_json(documents: &[InfoDocument]) -> String {
    use serde_json::Value;
    if let [only] = documents
        && serde_json::from_slice::<serde::de::IgnoredAny>(&only.bytes).is_ok()
    {
        return only.text().into_owned();
    }
    let mut merged: Option<Value> = None;
    for document in documents {
        let value: Value = match serde_json::from_slice(&document.bytes) {
            Ok(value) => value,
            Err(error) => {
                log::warn!("a document of feature info is left out: no JSON: {error}");
                continue;
            }
        };
        let is_empty = match &value {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if is_empty {
            continue;
        }
        match &mut merged {
            Some(merged) => merge_value(merged, value),
            None => merged = Some(value),
        }
    }
    merged.map_or_else(|| "{}".to_owned(), |merged| merged.to_string())
}

fn merge_value(base: &mut serde_json::Value, other: serde_json::Value) {
    use serde_json::Value;
    match (base, other) {
        (Value::Object(base), Value::Object(other)) => {
            for (key, value) in other {
                match base.get_mut(&key) {
                    Some(known) => merge_value(known, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(base), Value::Array(other)) => base.extend(other),
        (base, other) => *base = other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(mime: &str, text: &str) -> InfoDocument {
        InfoDocument { kind: InfoKind::of_mime(mime), bytes: text.into() }
    }

    fn combined(documents: &[(&str, &str)]) -> (String, Option<InfoKind>) {
        let documents: Vec<_> = documents.iter().map(|(mime, text)| document(mime, text)).collect();
        combine(&documents, None).unwrap()
    }

    #[test]
    fn kinds_are_told_by_mime_types() {
        for (mime, kind) in [
            ("text/xml; charset=utf-8", InfoKind::Xml),
            ("application/gml+xml", InfoKind::Xml),
            ("application/vnd.ogc.gml", InfoKind::Xml),
            ("text/html;a=b", InfoKind::Html),
            ("application/json", InfoKind::Json),
            ("text/plain", InfoKind::Text),
            ("application/geo+json", InfoKind::Text),
            ("", InfoKind::Text),
        ] {
            assert_eq!(InfoKind::of_mime(mime), kind, "{mime}");
        }
    }

    #[test]
    fn documents_of_one_kind_become_one() {
        let (xml, html, json, text) = ("text/xml", "text/html", "application/json", "text/plain");
        for (documents, merged, kind) in [
            (vec![(text, "a"), (text, ""), (text, "b")], "a\nb", InfoKind::Text),
            (
                vec![(xml, "<a><b/></a>"), (xml, "broken"), (xml, "<a><c/>t</a>")],
                "<a><b/><c/>t</a>",
                InfoKind::Xml,
            ),
            (
                vec![(html, "<p>1</p>"), (html, "<body><p>2")],
                "<html><body><p>1</p><p>2</p></body></html>",
                InfoKind::Html,
            ),
            (vec![(xml, "<a/>"), (text, "b")], "<a/>\nb", InfoKind::Text),
            (vec![(json, "{\"a\": [1],\n \"b\": 1.50}")], "{\"a\": [1],\n \"b\": 1.50}", InfoKind::Json),
            (
                vec![
                    (json, r#"{"a":[1],"o":{"x":1}}"#),
                    (json, "{}"),
                    (json, "no"),
                    (json, r#"{"a":[2],"o":{"y":2},"z":null}"#),
                ],
                r#"{"a":[1,2],"o":{"x":1,"y":2},"z":null}"#,
                InfoKind::Json,
            ),
            (vec![(json, "no"), (json, "[]")], "{}", InfoKind::Json),
        ] {
            assert_eq!(combined(&documents), (merged.to_owned(), Some(kind)));
        }
    }

    #[test]
    fn a_stylesheet_sees_the_merged_document() {
        let sheet = "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'>\
            <xsl:template match='/'><n><xsl:value-of select='count(/a/b)'/></n></xsl:template></xsl:stylesheet>";
        let sheet = Stylesheet::parse(sheet.as_bytes(), std::path::Path::new("s.xsl")).unwrap();
        let documents = [document("text/xml", "<a><b/></a>"), document("text/xml", "<a><b/><b/></a>")];
        assert_eq!(combine(&documents, Some(&sheet)).unwrap(), ("<n>3</n>".to_owned(), None));
        let mixed = [document("text/xml", "<a/>"), document("text/plain", "t")];
        assert_eq!(combine(&mixed, Some(&sheet)).unwrap().1, Some(InfoKind::Text));
    }
}
