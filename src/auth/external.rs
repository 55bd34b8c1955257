//! A question to a service of the operator's own: what MapProxy asks its
//! `mapproxy.authorize` callback goes out as JSON, and its answer comes back as
//! JSON. Answers are kept for a while; who cannot be asked allows nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Identity, Opinion};
use crate::conf::daemon::auth;
use crate::geo::{Coverage, Extent, Srs};
use crate::log;
use crate::plan::Turn;
use crate::service::callback;
use crate::service::permit::{LayerPermit, Partial, Permit, Question};
use crate::wire::Request;
use crate::wire::shown::redact;

/// Answers that are kept.
const ANSWERS_MAX: usize = 10_000;
/// Bound on the length of an answer.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What tells askers and questions apart.
type Case = (String, Vec<(String, String)>);

struct Shared {
    options: auth::External,
    map: String,
    agent: ureq::Agent,
    answers: Mutex<HashMap<Case, (Instant, Permit)>>,
}

pub(super) struct External {
    shared: Arc<Shared>,
}

impl External {
    pub fn new(options: &auth::External, map: &str) -> External {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(options.timeout_ms)))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let shared = Shared {
            options: options.clone(),
            map: map.to_owned(),
            agent: config.into(),
            answers: Mutex::default(),
        };
        External { shared: Arc::new(shared) }
    }

    pub fn decide(&self, identity: Option<&Identity>, request: &Request, question: &Question) -> Opinion {
        let shared = &self.shared;
        let body = shared.question(identity, question);
        let fields = callback::fields(&shared.options.fields, request);
        let case = (body.to_string(), fields);
        let kept = shared.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&case).cloned();
        if let Some((at, permit)) = kept
            && at.elapsed() < Duration::from_secs(shared.options.cache_s)
        {
            return Opinion::Known(at_level(permit, question.level));
        }
        let (shared, level) = (Arc::clone(shared), question.level);
        let facts = callback::facts(request);
        Opinion::Wait(Box::new(move |turn| at_level(shared.ask(body, facts, case, turn), level)))
    }
}

/// The permit at one level: answers are kept for all of them.
fn at_level(permit: Permit, level: Option<u32>) -> Permit {
    match permit {
        Permit::Partial(partial) => Permit::Partial(partial.at(level)),
        permit => permit,
    }
}

impl Shared {
    /// The part of the question by which answers are kept.
    fn question(&self, identity: Option<&Identity>, question: &Question) -> Value {
        let mut body = json!({ "service": question.service, "layers": question.layers });
        if let Value::Object(fields) = &mut body {
            if !self.map.is_empty() {
                fields.insert("map".into(), self.map.clone().into());
            }
            if let Some(identity) = identity {
                fields.insert("user".into(), identity.user.clone().into());
                fields.insert("groups".into(), identity.groups.clone().into());
            }
            let extent = question.extent.as_ref().filter(|_| self.options.with_extent);
            let extent = extent.map(|(code, extent)| json!([code, extent.to_array()]));
            fields.insert("query_extent".into(), extent.unwrap_or(Value::Null));
        }
        body
    }

    fn ask(&self, body: Value, facts: Map<String, Value>, case: Case, turn: &Turn) -> Permit {
        let mut whole = body;
        if let Value::Object(fields) = &mut whole {
            fields.extend(facts);
            let headers: Map<String, Value> =
                case.1.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            fields.insert("headers".into(), headers.into());
        }
        let answer = turn.wait(|| self.fetch(&whole)).and_then(|text| read(&text));
        match answer {
            Ok(permit) => {
                let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                if answers.len() >= ANSWERS_MAX {
                    answers.clear();
                }
                answers.insert(case, (Instant::now(), permit.clone()));
                permit
            }
            Err(error) => {
                log::warn!("{} cannot say who may see what: {error}", redact(&self.options.url));
                Permit::Unavailable
            }
        }
    }

    fn fetch(&self, body: &Value) -> Result<String, String> {
        let mut response = self
            .agent
            .post(&self.options.url)
            .content_type("application/json")
            .send(body.to_string())
            .map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("status {}", response.status()));
        }
        let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        reader.read_to_string().map_err(|error| error.to_string())
    }
}

/// The answer of a callback, as MapProxy documents it.
fn read(text: &str) -> Result<Permit, String> {
    let answer: Value =
        serde_json::from_str(text).map_err(|error| format!("its answer is no JSON: {error}"))?;
    match answer.get("authorized").and_then(Value::as_str) {
        Some("full") => Ok(Permit::Full),
        Some("none") => Ok(Permit::None),
        Some("unauthenticated") => Ok(Permit::Unauthenticated),
        Some("partial") => read_partial(&answer, text).map(|partial| Permit::Partial(Arc::new(partial))),
        _ => Err("`authorized` must be full, partial, none or unauthenticated".into()),
    }
}

fn read_partial(answer: &Value, text: &str) -> Result<Partial, String> {
    let layers = answer.get("layers").and_then(Value::as_object).ok_or("`layers` must be an object")?;
    let mut partial =
        Partial { limited_to: limited_to(answer)?, key: format!("external {text}"), ..Partial::default() };
    let all_levels = levels(answer)?;
    for (name, permissions) in layers {
        // As MapProxy: nothing but true allows.
        let allows = |feature: &str| permissions.get(feature) == Some(&Value::Bool(true));
        let permit = LayerPermit {
            map: allows("map"),
            feature_info: allows("featureinfo"),
            tile: allows("tile"),
            areas: limited_to(permissions)?.into_iter().collect(),
            levels: levels(permissions)?.or(all_levels),
        };
        partial.layers.insert(name.clone(), permit);
    }
    Ok(partial)
}

/// `{"from": 0, "to": 12}`, one of the two or both.
fn levels(holder: &Value) -> Result<Option<(u32, u32)>, String> {
    let Some(levels) = holder.get("levels").filter(|levels| !levels.is_null()) else { return Ok(None) };
    let wrong = || "`levels` must be an object of `from` and `to`, whole numbers".to_owned();
    let levels = levels.as_object().ok_or_else(wrong)?;
    if levels.is_empty() || levels.keys().any(|key| key != "from" && key != "to") {
        return Err(wrong());
    }
    let bound = |key: &str, default: u32| match levels.get(key) {
        None => Ok(default),
        Some(value) => value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(wrong),
    };
    Ok(Some((bound("from", 0)?, bound("to", u32::MAX)?)))
}

fn limited_to(holder: &Value) -> Result<Option<Coverage>, String> {
    let Some(limit) = holder.get("limited_to").filter(|limit| !limit.is_null()) else { return Ok(None) };
    let code = limit.get("srs").and_then(Value::as_str).ok_or("`limited_to` needs `srs`")?;
    let srs = Srs::parse(code).map_err(|error| error.to_string())?;
    match limit.get("geometry") {
        Some(Value::Array(edges)) => {
            let edges: Vec<f64> = edges.iter().filter_map(Value::as_f64).collect();
            let [west, south, east, north] = edges[..] else {
                return Err("a rectangle of `limited_to` has four edges".into());
            };
            let extent = Extent::new(west, south, east, north);
            let valid = extent.is_valid().then(|| Coverage::from_extent(srs, extent, true));
            valid.map(Some).ok_or_else(|| "a rectangle of `limited_to` is turned round".to_owned())
        }
        Some(Value::String(wkt)) => {
            Coverage::from_wkt(wkt, srs, true).map(Some).map_err(|error| error.to_string())
        }
        Some(geometry @ Value::Object(_)) => Coverage::from_geojson(&geometry.to_string(), srs, true)
            .map(Some)
            .map_err(|error| error.to_string()),
        _ => Err("`limited_to` needs `geometry`: a rectangle, WKT or GeoJSON".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_callback() {
        for (text, expected) in [
            (r#"{"authorized": "full"}"#, "Ok(Full)"),
            (r#"{"authorized": "none"}"#, "Ok(None)"),
            (r#"{"authorized": "unauthenticated"}"#, "Ok(Unauthenticated)"),
            (r#"{"authorized": "maybe"}"#, "Err"),
            (r#"{"authorized": "partial"}"#, "Err"),
            (r#"{"authorized": "partial", "layers": {}}"#, "Ok(Partial"),
            (
                r#"{"authorized": "partial", "layers": {"a": {"limited_to": {"geometry": [0, 0, 1], "srs": "EPSG:4326"}}}}"#,
                "Err",
            ),
            (
                r#"{"authorized": "partial", "layers": {"a": {"limited_to": {"geometry": [0, 0, 1, 1]}}}}"#,
                "Err",
            ),
            (
                r#"{"authorized": "partial", "layers": {}, "limited_to": {"geometry": "POLYGON((0 0,1 0,1 1,0 0))", "srs": "EPSG:4326"}}"#,
                "Ok(Partial",
            ),
            (r#"{"authorized": "partial", "layers": {"a": {"levels": {"to": 5}}}}"#, "Ok(Partial"),
            (r#"{"authorized": "partial", "layers": {"a": {"levels": {"to": -5}}}}"#, "Err"),
            (r#"{"authorized": "partial", "layers": {"a": {"levels": {"up_to": 5}}}}"#, "Err"),
            (r#"{"authorized": "partial", "layers": {"a": {"levels": [0, 5]}}}"#, "Err"),
            (r#"{"authorized": "partial", "levels": {}, "layers": {"a": {}}}"#, "Err"),
            ("[]", "Err"),
            ("full", "Err"),
        ] {
            let read = format!("{:?}", read(text));
            assert!(read.starts_with(expected), "{text}: {read}");
        }
        let Ok(Permit::Partial(partial)) = read(
            r#"{"authorized": "partial", "layers": {"a": {"map": true, "tile": 1, "featureinfo": "true"}}}"#,
        ) else {
            panic!("it is partial");
        };
        let permit = &partial.layers["a"];
        assert!(permit.map && !permit.tile && !permit.feature_info);
        let Ok(Permit::Partial(partial)) = read(
            r#"{"authorized": "partial", "levels": {"from": 2}, "layers": {"a": {"map": true}, "b": {"map": true, "levels": {"to": 5}}}}"#,
        ) else {
            panic!("it is partial");
        };
        for (level, expected) in
            [(None, "a b"), (Some(1), "b"), (Some(2), "a b"), (Some(5), "a b"), (Some(6), "a")]
        {
            let rest = partial.at(level);
            let mut names: Vec<&str> = rest.layers.keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names.join(" "), expected, "{level:?}");
            assert_eq!(rest.key == partial.key, expected == "a b");
        }
    }
}
