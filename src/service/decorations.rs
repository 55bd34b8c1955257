//! Which pictures are decorated with what: rules by service and layer, and
//! what a request makes of them. Without rules nobody asks here.

use std::sync::Arc;

use serde_json::json;

use super::callback;
use super::caption::{Caption, Gap};
use super::pattern::names;
use super::permit::Kind;
use crate::geo::Extent;
use crate::plan::{Decoration, PictureHook, Step};
use crate::render::decor::{Overlay, TextStyle};
use crate::wire::Request;

/// What somebody is called who is not known.
const NOBODY: &str = "nobody";

/// What a rule adds.
#[derive(Clone, Debug)]
pub enum Addition {
    Text {
        caption: Caption,
        style: TextStyle,
    },
    Image(Arc<Overlay>),
    Hook {
        hook: Arc<PictureHook>,
        /// Fields of the request that it gets to see.
        fields: Vec<String>,
        may_fail: bool,
        /// It makes the same of the same picture for everybody.
        is_steady: bool,
    },
}

/// An addition and where it is wanted.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Names of kinds of services; empty: all.
    pub services: Vec<String>,
    /// Names with `*`; empty: all.
    pub layers: Vec<String>,
    pub addition: Addition,
}

/// All rules of one map; every one that fits adds its own, in order.
#[derive(Debug)]
pub struct Decorations {
    map: String,
    rules: Vec<Rule>,
}

/// A picture that is about to be made.
pub struct Occasion<'a> {
    pub kind: Kind,
    /// As MapProxy names it: `wms.map`, `tms`, `wmts`, …
    pub service: &'static str,
    /// As the client names them.
    pub asked: &'a [String],
    /// The layers that draw: members in place of groups.
    pub drawn: &'a [String],
    pub extent: &'a Extent,
    /// Code of the system.
    pub srs: &'a str,
}

impl Decorations {
    /// `map`: its name where there are several, else empty. `None` without rules.
    pub fn new(map: &str, rules: Vec<Rule>) -> Option<Arc<Decorations>> {
        let decorations = Decorations { map: map.to_owned(), rules };
        (!decorations.rules.is_empty()).then(|| Arc::new(decorations))
    }

    /// What is added to a picture; `None`: nothing.
    pub fn choose(&self, occasion: &Occasion<'_>, request: &Request) -> Option<Decoration> {
        let mut decoration = Decoration { steps: Vec::new(), is_fleeting: false };
        for rule in self.rules.iter().filter(|rule| rule.fits(occasion)) {
            decoration.is_fleeting |= rule.addition.is_fleeting();
            decoration.steps.push(match &rule.addition {
                Addition::Text { caption, style } => {
                    let text = caption.fill(|gap| self.value(gap, occasion, request));
                    Step::Text { text, style: style.clone() }
                }
                Addition::Image(overlay) => Step::Image(Arc::clone(overlay)),
                Addition::Hook { hook, fields, may_fail, .. } => Step::Hook {
                    hook: Arc::clone(hook),
                    question: self.question(fields, occasion, request),
                    may_fail: *may_fail,
                },
            });
        }
        (!decoration.steps.is_empty()).then_some(decoration)
    }

    fn value(&self, gap: Gap, occasion: &Occasion<'_>, request: &Request) -> String {
        // In UTC: the loop must not wait for files of a time zone.
        let now = || jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string();
        match gap {
            Gap::User => request.user.clone().unwrap_or_else(|| NOBODY.to_owned()),
            Gap::Date => now().split(' ').next().unwrap_or_default().to_owned(),
            Gap::Time => now().split(' ').nth(1).unwrap_or_default().to_owned(),
            Gap::Map => self.map.clone(),
            Gap::Service => occasion.kind.name().to_owned(),
            Gap::Layers => occasion.asked.join(", "),
            Gap::Srs => occasion.srs.to_owned(),
            Gap::Bbox => occasion.extent.to_array().map(|edge| edge.to_string()).join(", "),
        }
    }

    /// What MapProxy gives a `mapproxy.decorate_img` callback beside the image.
    fn question(&self, fields: &[String], occasion: &Occasion<'_>, request: &Request) -> String {
        let mut body = json!({
            "service": occasion.service,
            "layers": occasion.drawn,
            "query_extent": [occasion.srs, occasion.extent.to_array()],
        });
        if let Some(body) = body.as_object_mut() {
            if !self.map.is_empty() {
                body.insert("map".into(), self.map.clone().into());
            }
            body.insert("user".into(), request.user.clone().into());
            let headers = callback::fields(fields, request).into_iter();
            let headers = headers.map(|(name, value)| (name, value.into()));
            body.insert("headers".into(), serde_json::Value::Object(headers.collect()));
            body.extend(callback::facts(request));
        }
        in_ascii(&body.to_string())
    }
}

impl Rule {
    fn fits(&self, occasion: &Occasion<'_>) -> bool {
        let is_meant = self.services.is_empty() || self.services.iter().any(|s| s == occasion.kind.name());
        let mut layers = occasion.asked.iter().chain(occasion.drawn);
        is_meant && (self.layers.is_empty() || layers.any(|layer| names(&self.layers, layer)))
    }
}

impl Addition {
    fn is_fleeting(&self) -> bool {
        match self {
            Addition::Text { caption, .. } => caption.is_fleeting(),
            Addition::Image(_) => false,
            Addition::Hook { is_steady, .. } => !is_steady,
        }
    }
}

/// JSON fit for a header field.
fn in_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if (' '..='~').contains(&c) {
            out.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tests::request;

    fn text(text: &str, services: &[&str], layers: &[&str]) -> Rule {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Rule {
            services: owned(services),
            layers: owned(layers),
            addition: Addition::Text {
                caption: Caption::parse(text).unwrap(),
                style: TextStyle::attribution(false),
            },
        }
    }

    #[test]
    fn every_rule_that_fits_adds_its_own() {
        let rules = vec![
            text("all", &[], &[]),
            text("{layers}|{service}|{map}|{srs}|{bbox}", &["wms"], &[]),
            text("roads", &[], &["ro*"]),
            text("{user}", &["tms"], &["rivers"]),
        ];
        let decorations = Decorations::new("city", rules).unwrap();
        let extent = Extent::new(0.5, -1.0, 10.0, 2.0);
        for (kind, asked, drawn, texts, is_fleeting) in [
            (
                Kind::Wms,
                "group",
                "roads",
                &["all", "group|wms|city|EPSG:4326|0.5, -1, 10, 2", "roads"][..],
                false,
            ),
            (Kind::Wms, "x", "y", &["all", "x|wms|city|EPSG:4326|0.5, -1, 10, 2"], false),
            (Kind::Tms, "rivers", "rivers", &["all", "ann"], true),
        ] {
            let occasion = Occasion {
                kind,
                service: "any",
                asked: &[asked.to_owned()],
                drawn: &[drawn.to_owned()],
                extent: &extent,
                srs: "EPSG:4326",
            };
            let mut request = request("/");
            request.user = Some("ann".into());
            let decoration = decorations.choose(&occasion, &request).unwrap();
            let steps = decoration.steps.iter().map(|step| match step {
                Step::Text { text, .. } => text.as_str(),
                _ => panic!("{step:?}"),
            });
            assert_eq!(steps.collect::<Vec<_>>(), texts);
            assert_eq!(decoration.is_fleeting, is_fleeting);
        }
        assert!(Decorations::new("", Vec::new()).is_none());
    }

    #[test]
    fn a_question_fits_into_a_field() {
        let json = in_ascii(&json!({"layers": ["Straße 🗺", "a\nb\u{7f}"]}).to_string());
        assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["layers"], json!(["Straße 🗺", "a\nb\u{7f}"]));
    }
}
