//! From templates to responses: escaping, the common frame, and what browsers
//! may do with a page.

use std::sync::LazyLock;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use crate::service::Answer;
use crate::service::exception::{document, internal_error};
use crate::wire::Response;

macro_rules! template {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../etc/demo/", $name)))
    };
}

/// Names end in `.html`: values are escaped wherever they stand.
const TEMPLATES: [(&str, &str); 5] = [
    template!("frame.html"),
    template!("start.html"),
    template!("viewer.html"),
    template!("capabilities.html"),
    template!("missing.html"),
];

static ENVIRONMENT: LazyLock<Option<Environment<'static>>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).ok()?;
    }
    Some(environment)
});

/// A page without its values.
pub struct Page {
    pub status: u16,
    pub template: &'static str,
    /// For the browser's window.
    pub title: String,
    /// Modules below `static/`.
    pub scripts: &'static [&'static str],
    pub styles: &'static [&'static str],
    /// Another origin of which images may be shown: the operator's background.
    pub image_origin: Option<String>,
}

impl Page {
    /// The page filled with values.
    pub fn respond(&self, values: Value) -> Response {
        self.render(values).unwrap_or_else(|_| internal_error())
    }

    fn render(&self, values: Value) -> Result<Response, minijinja::Error> {
        let environment = ENVIRONMENT.as_ref().ok_or_else(|| {
            minijinja::Error::new(minijinja::ErrorKind::SyntaxError, "a template is broken")
        })?;
        let body = environment.get_template(self.template)?.render(values)?;
        let page = environment.get_template("frame.html")?.render(context! {
            title => self.title.as_str(),
            scripts => Value::from(Serde(self.scripts)),
            styles => Value::from(Serde(self.styles)),
            kind => self.template.trim_end_matches(".html"),
            version => env!("CARGO_PKG_VERSION"),
            body => Value::from_safe_string(body),
        })?;
        // OpenLayers sets styles of elements by script, which is no inline style.
        let images = self.image_origin.as_deref().unwrap_or_default();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob: {images}; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
        );
        Ok(document(self.status, "text/html", page)
            .with("Cache-Control", "no-cache")
            .with("Content-Security-Policy", policy)
            .with("X-Content-Type-Options", "nosniff")
            .with("Referrer-Policy", "same-origin"))
    }
}

/// A page that says what is not there.
pub fn missing(status: u16, message: &str) -> Answer {
    let page = Page {
        status,
        template: "missing.html",
        title: "Not found".to_owned(),
        scripts: &[],
        styles: &[],
        image_origin: None,
    };
    Answer::Ready(page.respond(context! { message }))
}

/// Values for a script, fit to stand in a `<script>` of type
/// `application/json`: nothing in it can end the element.
pub fn json_for_script(values: &impl Serialize) -> Value {
    let text = serde_json::to_string(values).unwrap_or_else(|_| "null".to_owned());
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    Value::from_safe_string(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_templates_are_sound() {
        let environment = ENVIRONMENT.as_ref().expect("templates without mistakes");
        for (name, _) in TEMPLATES {
            assert!(environment.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn no_value_ends_a_script() {
        let value = json_for_script(&["</script><!--\u{2028}&"]);
        assert_eq!(value.to_string(), r#"["\u003c/script\u003e\u003c!--\u2028\u0026"]"#);
    }
}
