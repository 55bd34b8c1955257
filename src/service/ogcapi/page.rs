//! The documents as pages: the same facts as the JSON, for people. Everything
//! they need comes from here, and every value is escaped where it leaves.

use std::sync::LazyLock;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use serde_json::json;

use crate::geo::{Extent, Srs};
use crate::service::demo::page::json_for_script;
use crate::service::exception::{document, internal_error};
use crate::service::xml::escape;
use crate::wire::Response;

macro_rules! template {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../etc/ogcapi/", $name)))
    };
}

/// Names end in `.html`: values are escaped wherever they stand.
const TEMPLATES: [(&str, &str); 11] = [
    template!("frame.html"),
    template!("landing.html"),
    template!("conformance.html"),
    template!("collections.html"),
    template!("collection.html"),
    template!("matrix_sets.html"),
    template!("matrix_set.html"),
    template!("tile_sets.html"),
    template!("tile_set.html"),
    template!("api.html"),
    template!("refusal.html"),
];

static ENVIRONMENT: LazyLock<Option<Environment<'static>>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    // The engine's own escaping writes slashes as entities, which makes addresses hard to read.
    environment.set_formatter(|out, state, value| {
        let plain = value.is_safe() || matches!(state.auto_escape(), AutoEscape::None);
        let text = match value.is_undefined() || value.is_none() {
            true => String::new(),
            false => value.to_string(),
        };
        out.write_str(&if plain { text } else { escape(&text) })
            .map_err(|error| minijinja::Error::new(minijinja::ErrorKind::WriteFailure, error.to_string()))
    });
    environment.add_filter("segment", |name: String| super::segment(&name));
    environment.add_filter("code", |url: String| code(&url));
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).ok()?;
    }
    Some(environment)
});

/// What every page shows around its content, and whether there is to be a page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Address of the site's mount point, without a slash at the end.
    pub base: String,
    /// What the service is called.
    pub title: String,
    pub html: bool,
    pub background_url: Option<String>,
    /// There are demo pages.
    pub has_demo: bool,
}

impl Frame {
    /// The page of a JSON document.
    pub fn document(&self, template: &str, title: &str, json: &serde_json::Value, more: Value) -> Response {
        self.page(200, template, title, context! { doc => Value::from(Serde(json)), ..more })
    }

    /// A page filled with values.
    pub fn page(&self, status: u16, template: &str, title: &str, values: Value) -> Response {
        self.render(status, template, title, values).unwrap_or_else(|_| internal_error())
    }

    fn render(
        &self,
        status: u16,
        template: &str,
        title: &str,
        values: Value,
    ) -> Result<Response, minijinja::Error> {
        let environment = ENVIRONMENT.as_ref().ok_or_else(|| {
            minijinja::Error::new(minijinja::ErrorKind::SyntaxError, "a template is broken")
        })?;
        let place = context! {
            api => format!("{}/ogcapi", self.base),
            demo => self.has_demo.then(|| format!("{}/demo/", self.base)),
            site => self.title.as_str(),
            title,
        };
        let body = environment.get_template(template)?.render(merged(&place, &values))?;
        let page = environment.get_template("frame.html")?.render(context! {
            kind => template.trim_end_matches(".html"),
            body => Value::from_safe_string(body),
            version => env!("CARGO_PKG_VERSION"),
            ..merged(&place, &values)
        })?;
        let images = self.background_url.as_deref().and_then(origin).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob: {images}; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
        );
        Ok(document(status, "text/html", page)
            .with("Content-Security-Policy", policy)
            .with("X-Content-Type-Options", "nosniff")
            .with("Referrer-Policy", "same-origin"))
    }

    /// What the script of a map reads: the system, the area, and `more`.
    pub fn map_config(&self, srs: &Srs, extent: Extent, more: serde_json::Value) -> Value {
        let is_mercator = Srs::parse("EPSG:3857").is_ok_and(|mercator| mercator == *srs);
        let mut config = json!({
            "projection": {
                "code": if is_mercator { "EPSG:3857" } else { srs.code() },
                "geographic": srs.is_geographic(),
                "meters_per_unit": srs.meters_per_unit(),
                "north_first": srs.is_axis_order_ne(),
            },
            "extent": extent.to_array(),
        });
        // Tiles of a background lie in web mercator.
        if let Some(url) = self.background_url.as_ref().filter(|_| is_mercator) {
            config["background"] = json!(url);
        }
        if let (Some(config), serde_json::Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        json_for_script(&config)
    }

    /// The path of the mount point: the base without scheme and host.
    pub fn mount_path(&self) -> &str {
        let rest = self.base.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').map_or("", |at| &rest[at..])
    }
}

/// `EPSG:3857` for `http://www.opengis.net/def/crs/EPSG/0/3857`; other texts as they are.
fn code(url: &str) -> String {
    let parts: Option<Vec<&str>> =
        url.strip_prefix("http://www.opengis.net/def/crs/").map(|rest| rest.split('/').collect());
    match parts.as_deref() {
        Some([authority, "0" | "1.3", code]) => format!("{authority}:{code}"),
        Some([authority, version, code]) => format!("{authority}_{version}:{code}"),
        _ => url.to_owned(),
    }
}

fn merged(one: &Value, other: &Value) -> Value {
    minijinja::value::merge_maps([one.clone(), other.clone()])
}

/// The origin of an address of http or https, fit for a policy.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    let is_plain =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    (matches!(scheme, "http" | "https") && is_plain).then(|| format!("{scheme}://{host}"))
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
    fn the_mount_point_is_what_follows_the_host() {
        let frame = |base: &str| Frame {
            base: base.to_owned(),
            title: String::new(),
            html: true,
            background_url: None,
            has_demo: false,
        };
        assert_eq!(frame("http://localhost").mount_path(), "");
        assert_eq!(frame("https://example.org:81/gis/a").mount_path(), "/gis/a");
    }

    #[test]
    fn systems_are_told_by_their_codes() {
        assert_eq!(code("http://www.opengis.net/def/crs/EPSG/0/3857"), "EPSG:3857");
        assert_eq!(code("http://www.opengis.net/def/crs/OGC/1.3/CRS84"), "OGC:CRS84");
        assert_eq!(code("http://www.opengis.net/def/crs/IAU/2015/30100"), "IAU_2015:30100");
        assert_eq!(code("urn:x"), "urn:x");
    }

    #[test]
    fn only_plain_origins_get_into_the_policy() {
        assert_eq!(origin("https://t.example.org/{z}/{x}/{y}.png").as_deref(), Some("https://t.example.org"));
        assert_eq!(origin("https://a;b/{z}"), None);
        assert_eq!(origin("ftp://a/{z}"), None);
    }
}
