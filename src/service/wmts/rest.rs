//! WMTS by paths: the template that says where each value stands.

use std::borrow::Cow;

use super::feature_info::InfoPixel;
use super::{TileQuery, Wmts};
use crate::service::Answer;
use crate::service::base_url::BaseUrl;
use crate::service::exception::{Failure, document};
use crate::service::permit::{Feature, Question};
use crate::wire::Request;

pub const DEFAULT_TEMPLATE: &str = "/{Layer}/{TileMatrixSet}/{TileMatrix}/{TileCol}/{TileRow}.{Format}";
pub const DEFAULT_INFO_TEMPLATE: &str =
    "/{Layer}/{TileMatrixSet}/{TileMatrix}/{TileCol}/{TileRow}/{I}/{J}.{InfoFormat}";
const CAPABILITIES_PATH: &str = "/1.0.0/WMTSCapabilities.xml";

/// Attempts at fitting one path to a template; ambiguous templates could need
/// very many otherwise.
const STEPS_MAX: u32 = 20_000;
/// More variables than any template needs.
const VARIABLES_MAX: usize = 32;

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TemplateError {
    #[error("WMTS restful template '{template}' lacks {missing}")]
    Missing { template: String, missing: String },
    #[error(
        "WMTS restful template '{template}' has more than {VARIABLES_MAX} variables or one of them twice"
    )]
    Variables { template: String },
}

/// What a variable may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Letters, digits and `_ . : -`.
    Name,
    /// As a name, and commas.
    Dimension,
    Digits,
    SignedDigits,
    /// Letters, digits and `_`.
    Word,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Literal(String),
    Variable { name: String, kind: Kind },
}

/// A path with variables in braces (`{Layer}`, or `{{Layer}}` as before
/// MapProxy 1.5). Unknown names are dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct PathTemplate {
    /// As written.
    pub text: String,
    tokens: Vec<Token>,
    /// Names of dimensions as written.
    pub dimensions: Vec<String>,
}

impl PathTemplate {
    /// # Errors
    /// A variable that every tile needs is missing, or there are too many.
    pub fn parse(text: &str, with_position: bool) -> Result<PathTemplate, TemplateError> {
        let mut template = PathTemplate { text: text.to_owned(), tokens: Vec::new(), dimensions: Vec::new() };
        let mut rest = text;
        let mut literal = String::new();
        while let Some(first) = rest.chars().next() {
            if let Some((name, after)) = variable_at(rest) {
                if !literal.is_empty() {
                    template.tokens.push(Token::Literal(std::mem::take(&mut literal)));
                }
                template.add(name);
                rest = after;
            } else {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            template.tokens.push(Token::Literal(literal));
        }
        template.check(with_position)?;
        Ok(template)
    }

    fn add(&mut self, name: &str) {
        let kind = match name {
            "TileMatrixSet" | "Style" | "Layer" => Kind::Name,
            "TileMatrix" | "I" | "J" => Kind::Digits,
            "TileRow" | "TileCol" => Kind::SignedDigits,
            "Format" | "InfoFormat" => Kind::Word,
            _ => Kind::Dimension,
        };
        let name = if kind == Kind::Dimension {
            self.dimensions.push(name.to_owned());
            name.to_lowercase()
        } else {
            name.to_owned()
        };
        self.tokens.push(Token::Variable { name, kind });
    }

    fn check(&self, with_position: bool) -> Result<(), TemplateError> {
        let mut names: Vec<&str> = self.names().collect();
        let required = ["Layer", "TileMatrixSet", "TileMatrix", "TileCol", "TileRow", "I", "J"];
        let required = &required[..if with_position { 7 } else { 5 }];
        let missing: Vec<&str> = required.iter().copied().filter(|name| !names.contains(name)).collect();
        if !missing.is_empty() {
            return Err(TemplateError::Missing { template: self.text.clone(), missing: missing.join(", ") });
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() < count || count > VARIABLES_MAX {
            return Err(TemplateError::Variables { template: self.text.clone() });
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Variable { name, .. } => Some(name.as_str()),
            Token::Literal(_) => None,
        })
    }

    /// The path with each variable as `value_of` says; dimensions are asked
    /// for by lower-case name.
    pub fn fill(&self, value_of: impl Fn(&str) -> String) -> String {
        let mut path = String::with_capacity(self.text.len());
        for token in &self.tokens {
            match token {
                Token::Literal(literal) => path.push_str(literal),
                Token::Variable { name, .. } => path.push_str(&value_of(name)),
            }
        }
        path
    }

    /// The values of all variables if `path` fits; what follows the last of
    /// them is not looked at, as in MapProxy.
    pub fn values<'t, 'p>(&'t self, path: &'p str) -> Option<TemplateValues<'t, 'p>> {
        let mut values = Vec::with_capacity(8);
        let mut steps = STEPS_MAX;
        fit(&self.tokens, path, &mut values, &mut steps).then_some(TemplateValues(values))
    }
}

/// Variables with their values.
pub struct TemplateValues<'t, 'p>(Vec<(&'t str, &'p str)>);

impl<'p> TemplateValues<'_, 'p> {
    /// A value; dimensions by lower-case name.
    pub fn get(&self, name: &str) -> Option<&'p str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// `{Name}…` or `{{Name}}…` taken apart.
fn variable_at(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let inner = inner.strip_prefix('{').unwrap_or(inner);
    let (name, after) = inner.split_once('}')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then(|| (name, after.strip_prefix('}').unwrap_or(after)))
}

impl Kind {
    /// The length of the longest value at the beginning of `text`, in bytes.
    fn longest(self, text: &str) -> usize {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let while_allowed = |extra: &str| {
            text.find(|c: char| !(c.is_alphanumeric() || c == '_' || extra.contains(c))).unwrap_or(text.len())
        };
        match self {
            Kind::Digits => digits(text),
            Kind::SignedDigits => match text.strip_prefix('-') {
                Some(rest) if digits(rest) > 0 => 1 + digits(rest),
                Some(_) => 0,
                None => digits(text),
            },
            Kind::Word => while_allowed(""),
            Kind::Name => while_allowed(".:-"),
            Kind::Dimension => while_allowed(".,:-"),
        }
    }
}

/// Fits tokens to the beginning of `path`, longest values first.
fn fit<'t, 'p>(
    tokens: &'t [Token],
    path: &'p str,
    values: &mut Vec<(&'t str, &'p str)>,
    steps: &mut u32,
) -> bool {
    let Some(left) = steps.checked_sub(1) else { return false };
    *steps = left;
    match tokens.split_first() {
        None => true,
        Some((Token::Literal(literal), rest)) => match path.strip_prefix(literal.as_str()) {
            Some(after) => fit(rest, after, values, steps),
            None => false,
        },
        Some((Token::Variable { name, kind }, rest)) => {
            let longest = kind.longest(path);
            let ends = path[..longest].char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            for end in ends {
                let (value, after) = path.split_at(end);
                values.push((name, value));
                if fit(rest, after, values, steps) {
                    return true;
                }
                values.pop();
                if *steps == 0 {
                    return false;
                }
            }
            false
        }
    }
}

impl Wmts {
    /// Answers below `/wmts`; `path` is what follows.
    pub fn answer_rest(&self, path: &str, url: &BaseUrl<'_>, request: &Request) -> Answer {
        if path.ends_with(CAPABILITIES_PATH) {
            let address = url.request_url();
            let address = address.strip_suffix(CAPABILITIES_PATH).unwrap_or(&address);
            return Answer::Ready(document(200, "application/xml", self.rest_capabilities(address)));
        }
        let answer = if let Some(values) = self.template.values(path) {
            self.rest_tile(&values, request)
        } else if let Some(values) = self.info_template.values(path) {
            self.rest_feature_info(&values)
        } else {
            return Answer::Ready(super::super::exception::no_cache(super::super::exception::plain(
                404,
                "invalid request",
            )));
        };
        answer.unwrap_or_else(|failure| self.answers.tell(&failure))
    }

    /// The question that a path puts to whoever guards the site; `None` for
    /// what is refused anyhow.
    pub(in crate::service) fn rest_question(&self, path: &str) -> Option<Question> {
        if path.ends_with(CAPABILITIES_PATH) {
            return Some(self.question_of_all());
        }
        if let Some(values) = self.template.values(path) {
            return self.tile_question("wmts", Feature::Tile, &TileQuery::at(&values));
        }
        let values = self.info_template.values(path)?;
        self.tile_question("wmts.featureinfo", Feature::FeatureInfo, &TileQuery::at(&values))
    }

    fn rest_tile(&self, values: &TemplateValues<'_, '_>, request: &Request) -> Result<Answer, Failure> {
        let query = TileQuery::at(values);
        let layer = self.layer_on_grid(&query)?;
        for name in &self.template.dimensions {
            let key = name.to_lowercase();
            let is_known = layer.layer.dimensions.iter().any(|dimension| dimension.key() == key);
            if !is_known && values.get(&key) != Some("default") {
                return Err(Failure::coded("InvalidParameterValue", format!("unknown dimension: {key}")));
            }
        }
        self.tile(&query, |name| values.get(name), request)
    }

    fn rest_feature_info(&self, values: &TemplateValues<'_, '_>) -> Result<Answer, Failure> {
        let value = |name| values.get(name).unwrap_or_default();
        let pixel = InfoPixel {
            column: value("I"),
            row: value("J"),
            format: value("InfoFormat"),
            feature_count: None,
        };
        self.feature_info(&TileQuery::at(values), &pixel)
    }
}

impl<'p> TileQuery<'p> {
    fn at(values: &TemplateValues<'_, 'p>) -> TileQuery<'p> {
        let value = |name| Cow::Borrowed(values.get(name).unwrap_or_default());
        TileQuery {
            layer: value("Layer"),
            matrix_set: value("TileMatrixSet"),
            matrix: value("TileMatrix"),
            column: value("TileCol"),
            row: value("TileRow"),
            format: value("Format"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn templates_take_paths_apart() {
        let double =
            "/{{Layer}}/{{Time}}/{{TileMatrixSet}}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.{{Format}}";
        for (template, path, expected) in [
            (DEFAULT_TEMPLATE, "/a.b/G:1/00/3/-4.png", Some(vec![("Layer", "a.b"), ("TileRow", "-4")])),
            (DEFAULT_TEMPLATE, "/a/G/1/3/4.png/x", Some(vec![("TileRow", "4"), ("Format", "png")])),
            (DEFAULT_TEMPLATE, "/a/G/1/3/+4.png", None),
            (DEFAULT_TEMPLATE, "/a/G/x/3/4.png", None),
            (DEFAULT_TEMPLATE, "/a b/G/1/3/4.png", None),
            (
                double,
                "/l/2020-01-01,x/G/1/2/3.jpeg",
                Some(vec![("time", "2020-01-01,x"), ("Format", "jpeg")]),
            ),
            (
                "/{Layer}-{TileMatrixSet}.{TileMatrix}-{TileCol}-{TileRow}",
                "/a-b-c.1-2--3",
                Some(vec![("Layer", "a-b"), ("TileMatrixSet", "c"), ("TileRow", "-3")]),
            ),
        ] {
            let template = PathTemplate::parse(template, false).unwrap();
            let values = template.values(path);
            match expected {
                None => assert!(values.is_none(), "{path}"),
                Some(expected) => {
                    let values = values.unwrap_or_else(|| panic!("{path}"));
                    for (name, value) in expected {
                        assert_eq!(values.get(name), Some(value), "{path}");
                    }
                }
            }
        }
    }

    #[test]
    fn templates_without_what_a_tile_needs_are_refused() {
        for template in ["", "/{Layer}", "/{Layer}/{TileMatrixSet}/{TileMatrix}/{TileCol}/{tilerow}"] {
            assert!(matches!(PathTemplate::parse(template, false), Err(TemplateError::Missing { .. })));
        }
        let twice = format!("{DEFAULT_TEMPLATE}{{Layer}}");
        assert!(matches!(PathTemplate::parse(&twice, false), Err(TemplateError::Variables { .. })));
        assert!(PathTemplate::parse(DEFAULT_TEMPLATE, true).is_err());
        assert!(PathTemplate::parse(DEFAULT_INFO_TEMPLATE, true).is_ok());
    }

    #[test]
    fn hopeless_paths_end() {
        let template = "/{Layer}{a}{b}{c}{d}{e}{f}{TileMatrixSet}{TileMatrix}{TileCol}{TileRow}";
        let template = PathTemplate::parse(template, false).unwrap();
        assert!(template.values(&format!("/{}!", "a1".repeat(3000))).is_none());
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "\\PC{0,80}", template in "[/{}a-zA-Zä.]{0,60}") {
            let _ = PathTemplate::parse(&template, false);
            let _ = PathTemplate::parse(DEFAULT_TEMPLATE, false).unwrap().values(&path);
        }
    }
}
