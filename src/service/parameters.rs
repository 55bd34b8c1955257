//! The parameters of a query: names without case, several values of one name
//! kept in order.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// More pairs than any request needs; the rest is not looked at.
const PAIRS_MAX: usize = 1000;

/// Decoded parameters in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, Vec<String>)>);

impl Parameters {
    /// Splits and decodes a query (or a form body). Bytes that are no UTF-8
    /// become replacement characters.
    pub fn parse(query: &str) -> Parameters {
        let mut parameters = Parameters::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()).take(PAIRS_MAX) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.add(decode(name).to_lowercase(), decode(value));
        }
        parameters
    }

    /// Parameters that were not written as a query; names in lower case.
    pub fn of(pairs: Vec<(&str, String)>) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in pairs {
            parameters.add(name.to_owned(), value);
        }
        parameters
    }

    fn add(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    /// The first value; `name` in lower case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.values(name)?.first().map(String::as_str)
    }

    /// All values of `name`, joined by commas.
    pub fn joined(&self, name: &str) -> Option<String> {
        self.values(name).map(|values| values.join(","))
    }

    /// As [`Parameters::joined`]; nothing where the parameter is missing.
    pub fn whole(&self, name: &str) -> Cow<'_, str> {
        match self.values(name) {
            None => Cow::Borrowed(""),
            Some([one]) => Cow::Borrowed(one),
            Some(values) => Cow::Owned(values.join(",")),
        }
    }

    /// All values of `name`.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, values)| values.as_slice())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.values(name).is_some()
    }

    /// Whether the first value is `true`, in any case.
    pub fn is_true(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Names in lower case with their values joined by commas.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.join(",")))
    }
}

/// One name or value of a query: `+` is a space.
fn decode(text: &str) -> String {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
    }
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_no_case_and_values_keep_their_order() {
        let parameters = Parameters::parse("LAYERS=a,b&&layers=c&Styles&x=%E4%20+%2B&=1");
        assert_eq!(parameters.joined("layers").as_deref(), Some("a,b,c"));
        assert_eq!(parameters.first("layers"), Some("a,b"));
        assert_eq!(parameters.first("styles"), Some(""));
        assert_eq!(parameters.first("x"), Some("\u{fffd}  +"));
        assert!(!parameters.contains("y"));
    }

    proptest! {
        #[test]
        fn no_query_panics(query in ".{0,200}") {
            Parameters::parse(&query);
        }
    }
}
