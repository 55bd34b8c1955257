//! Capabilities documents to read: the very document that clients get, indented
//! and coloured.

use minijinja::value::Serde;
use minijinja::{Value, context};

use super::Visit;
use super::documents::{Document, WMS_C_ADDRESS, WMTS_ADDRESS, WMTS_REST_ADDRESS, wms_address};
use super::page::Page;
use super::viewer::encode;
use crate::plan::Turn;
use crate::service::Answer;
use crate::service::parameters::Parameters;
use crate::service::wms::WmsVersion;
use crate::service::xml::escape_into;
use crate::wire::Response;

/// Longer documents are shown only up to here: a browser gets slow with them.
const SHOWN_BYTES_MAX: usize = 4 << 20;
/// Deeper elements are not indented any further.
const INDENT_MAX: usize = 24;

/// `wms_capabilities`, of the version that `version` names.
pub fn wms(visit: &Visit<'_>) -> Answer {
    let served = visit.services.wms.as_ref().map(|wms| wms.versions()).unwrap_or_default();
    let version = visit.parameters.first("version").and_then(WmsVersion::parse);
    let version = version.filter(|version| served.contains(version));
    let label = version.map_or("", WmsVersion::text);
    wms_document(visit, "WMS", label, wms_address(version))
}

/// `wmsc_capabilities`
pub fn wms_c(visit: &Visit<'_>) -> Answer {
    wms_document(visit, "WMS-C", "WMS-C", WMS_C_ADDRESS.to_owned())
}

fn wms_document(visit: &Visit<'_>, service: &'static str, label: &'static str, address: String) -> Answer {
    let Some(wms) = &visit.services.wms else { return visit.no_such_service(service) };
    let url = visit.url.at("/service");
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let answer = wms.answer(&Parameters::parse(query), &url, visit.request);
    present(visit, service, label, address, answer)
}

/// `wmts_capabilities`
pub fn wmts_rest(visit: &Visit<'_>) -> Answer {
    match &visit.services.wmts {
        Some(wmts) if wmts.restful => {
            let url = visit.url.at("/wmts/1.0.0/WMTSCapabilities.xml");
            let answer = wmts.answer_rest("/1.0.0/WMTSCapabilities.xml", &url, visit.request);
            present(visit, "WMTS", "Capabilities", WMTS_REST_ADDRESS.to_owned(), answer)
        }
        _ => visit.no_such_service("RESTful WMTS"),
    }
}

/// `wmts_capabilities_kvp`
pub fn wmts_kvp(visit: &Visit<'_>) -> Answer {
    match &visit.services.wmts {
        Some(wmts) if wmts.kvp => {
            let url = visit.url.at("/service");
            let query = WMTS_ADDRESS.split_once('?').map_or("", |(_, query)| query);
            let answer = wmts.answer_kvp(&Parameters::parse(query), &url, visit.request);
            let label = if wmts.restful { "with parameters" } else { "Capabilities" };
            present(visit, "WMTS", label, WMTS_ADDRESS.to_owned(), answer)
        }
        _ => visit.no_such_service("WMTS with key-value pairs"),
    }
}

/// `tms_capabilities`, of one layer where `layer` and `srs` (or `grid`) name it.
pub fn tms(visit: &Visit<'_>) -> Answer {
    let Some(tms) = &visit.services.tms else { return visit.no_such_service("TMS") };
    let (mut below, url) = (String::from("/1.0.0/"), visit.url.at("/tms/1.0.0/"));
    let Some(name) = visit.parameters.first("layer") else {
        let answer = tms.answer_tms(&below, &url, visit.request);
        return present(visit, "TMS", "Capabilities", format!("tms{below}"), answer);
    };
    let system = visit.parameters.first("srs").unwrap_or_default();
    let grid = visit.parameters.first("grid").unwrap_or(system);
    let found = tms.layers().filter(|served| served.layer.name == name).find(|served| {
        served.spec == grid
            || served.grid().name == grid
            || served.grid().srs.code().eq_ignore_ascii_case(grid)
    });
    let Some(served) = found else { return visit.no_such_layer("TMS", name) };
    let address = format!("tms{below}{}/{}", encode(name), encode(&served.spec));
    below.push_str(&format!("{name}/{}", served.spec));
    let url = visit.url.at(format!("/tms{below}"));
    let answer = tms.answer_tms(&below, &url, visit.request);
    present(visit, "TMS", "", address, answer)
}

/// A document as the page shows it, with its neighbours to go on to.
struct Shown {
    site: String,
    base: String,
    service: &'static str,
    label: &'static str,
    address: String,
    others: Vec<Document>,
}

/// The page for a document that a service writes: on a thread, as the service
/// may have to ask for the sizes of legends.
fn present(
    visit: &Visit<'_>,
    service: &'static str,
    label: &'static str,
    address: String,
    answer: Answer,
) -> Answer {
    let (site, base) = (visit.site_title().to_owned(), visit.url.script_url());
    let shown = Shown { site, base, service, label, address, others: visit.documents() };
    Answer::Work(Box::new(move |turn: &Turn| {
        shown.respond(&match answer {
            Answer::Ready(document) => document,
            Answer::Work(work) => work(turn),
            Answer::StoredTile(tile) => (tile.otherwise)(turn),
        })
    }))
}

impl Shown {
    fn respond(self, document: &Response) -> Response {
        let text = String::from_utf8_lossy(document.body.as_slice());
        let (text, is_cut) = match text.char_indices().find(|(at, _)| *at >= SHOWN_BYTES_MAX) {
            Some((at, _)) => (&text[..at], true),
            None => (&*text, false),
        };
        let markup = Value::from_safe_string(highlight(text));
        let Shown { site, base, service, label, address, others } = self;
        let page = Page {
            status: document.status,
            template: "capabilities.html",
            title: format!("{service} {label} · {site}"),
            scripts: &["start.js"],
            styles: &[],
            image_origin: None,
        };
        let others = Value::from(Serde(others));
        page.respond(context! { service, label, site, base, address, others, markup, is_cut })
    }
}

/// XML as HTML: one element a line where it holds elements, every character
/// of the document escaped.
fn highlight(xml: &str) -> String {
    let mut html = String::with_capacity(xml.len() * 3);
    let mut depth = 0_usize;
    let mut rest = xml.trim();
    // Whether the last thing was the start of an element, and whether text.
    let (mut after_start, mut after_text) = (false, false);
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            rest = after;
            if !text.trim().is_empty() {
                html.push_str("<span class=\"text\">");
                escape_into(&mut html, text.trim());
                html.push_str("</span>");
                after_text = true;
            }
            continue;
        };
        let end = end_of_markup(rest);
        let (whole, after) = rest.split_at(end);
        rest = after;
        let is_end = tag.starts_with('/');
        let is_other = tag.starts_with('!') || tag.starts_with('?');
        if is_end {
            depth = depth.saturating_sub(1);
        }
        let stays_on_line = is_end && (after_text || after_start) || html.is_empty();
        if !stays_on_line {
            new_line(&mut html, depth);
        }
        push_tag(&mut html, whole, is_other);
        after_start = !is_end && !is_other && !whole.ends_with("/>");
        after_text = false;
        if after_start {
            depth += 1;
        }
    }
    html
}

fn new_line(html: &mut String, depth: usize) {
    html.push('\n');
    for _ in 0..depth.min(INDENT_MAX) {
        html.push_str("  ");
    }
}

/// Where the markup at the beginning of `text` ends.
fn end_of_markup(text: &str) -> usize {
    let found = if text.starts_with("<!--") {
        text.find("-->").map(|at| at + 3)
    } else if text.starts_with("<![CDATA[") {
        text.find("]]>").map(|at| at + 3)
    } else {
        text.find('>').map(|at| at + 1)
    };
    found.unwrap_or(text.len())
}

fn push_tag(html: &mut String, whole: &str, is_other: bool) {
    if is_other {
        return span(html, "other", whole);
    }
    // The name goes up to the first blank; what follows are attributes.
    let name_end = whole.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(whole.len());
    let (name, attributes) = whole.split_at(name_end);
    let name = if name == "<" { whole } else { name };
    span(html, "tag", name);
    if name.len() == whole.len() {
        return;
    }
    let close = if attributes.ends_with("/>") { "/>" } else { ">" };
    let mut rest = attributes.strip_suffix(close).unwrap_or(attributes);
    while let Some((before, after)) = rest.split_once('"') {
        span(html, "attribute", before);
        let (value, after) = after.split_once('"').unwrap_or((after, ""));
        span(html, "value", &format!("\"{value}\""));
        rest = after;
    }
    span(html, "attribute", rest);
    span(html, "tag", close);
}

fn span(html: &mut String, class: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    html.push_str("<span class=\"");
    html.push_str(class);
    html.push_str("\">");
    escape_into(html, text);
    html.push_str("</span>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader sees.
    fn seen(html: &str) -> String {
        let mut text = String::new();
        let mut in_tag = false;
        for c in html.chars() {
            match c {
                '<' => in_tag = true,
                '>' if in_tag => in_tag = false,
                c if !in_tag => text.push(c),
                _ => {}
            }
        }
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    }

    #[test]
    fn a_document_is_indented_and_shown_as_written() {
        let xml = "<?xml version=\"1.0\"?>\n<a x=\"1 &lt; 2\"><b>T &amp; t</b><c/><d></d><e>\n <f/></e></a>";
        assert_eq!(
            seen(&highlight(xml)),
            "<?xml version=\"1.0\"?>\n<a x=\"1 &lt; 2\">\n  <b>T &amp; t</b>\n  <c/>\n  <d></d>\n  <e>\n    <f/>\n  </e>\n</a>"
        );
    }

    proptest! {
        #[test]
        fn nothing_of_a_document_becomes_markup(xml in "[<>&\"'/ab=! ?\\[\\]-]{0,80}") {
            let html = highlight(&xml);
            let spans: String = ["tag", "attribute", "value", "text", "other"]
                .iter()
                .fold(html, |html, class| html.replace(&format!("<span class=\"{class}\">"), ""));
            let left = spans.replace("</span>", "");
            prop_assert!(!left.contains('<') && !left.contains('>') && !left.contains('"'), "{}", left);
        }
    }
}
