//! What a callback of MapProxy's reads in its WSGI environ, as JSON for one
//! that stands behind a small server of its own.

use serde_json::{Map, Value};

use crate::wire::{Method, Request};

/// The request itself: `method`, `path`, `query_string`, `remote_addr`.
pub fn facts(request: &Request) -> Map<String, Value> {
    let method = match &request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Options => "OPTIONS",
        Method::Other(name) => name,
    };
    let mut facts = Map::new();
    facts.insert("method".into(), method.into());
    facts.insert("path".into(), request.path.clone().into());
    facts.insert("query_string".into(), request.query.clone().into());
    facts.insert("remote_addr".into(), request.peer.map(|peer| peer.to_string()).into());
    facts
}

/// The values of the fields that are passed on; several of one name are joined.
pub fn fields(names: &[String], request: &Request) -> Vec<(String, String)> {
    let found = names.iter().filter_map(|name| {
        let values: Vec<&str> = request.headers.all(name).collect();
        (!values.is_empty()).then(|| (name.clone(), values.join(", ")))
    });
    found.collect()
}
