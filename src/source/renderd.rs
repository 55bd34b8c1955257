//! An outside daemon that makes tiles and stores them itself (`globals.renderd`):
//! one JSON message by POST for each tile or meta tile, as MapProxy sends it.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::address::{clean, redact};
use super::client::{Client, Question};
use super::error::SourceError;
use crate::geo::TileCoord;
use crate::story;

/// The longest answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Of the daemon's own message, what goes into ours.
const MESSAGE_BYTES_MAX: usize = 300;
/// The name of the daemon among the sources in counters and logs.
const NAME: &str = "renderd";

/// The daemon as one cache on one grid asks it.
pub struct Renderd {
    /// Without credentials.
    pub address: String,
    /// What the daemon calls the cache: `<cache>_<grid>`.
    pub identifier: String,
    /// The higher, the sooner.
    pub priority: u32,
    pub client: Arc<Client>,
}

impl Renderd {
    /// Has a tile, or the meta tile that it stands for, made and stored; returns
    /// when that is done.
    ///
    /// # Errors
    /// The daemon fails or does not answer in the time of its client.
    pub fn make(&self, tile: TileCoord) -> Result<(), SourceError> {
        let asked = story::ask(NAME);
        let result = self.ask(tile);
        asked.end(result.is_ok());
        result
    }

    fn ask(&self, tile: TileCoord) -> Result<(), SourceError> {
        const FAILED: &str = "Error while communicating with renderd";
        let message = self.message(tile).to_string();
        let fetched = self
            .client
            .put(Question {
                url: &self.address,
                body: Some((&message, "application/json")),
                accept: Some("application/json"),
                body_bytes_max: Some(ANSWER_BYTES_MAX),
            })
            .map_err(|error| SourceError::Told {
                shown: format!("{FAILED}: {}", error.public_text()),
                reason: format!("{FAILED}: {error}"),
            })?;
        let told = |shown: String| {
            let reason = format!("{}: {shown}", redact(&self.address));
            Err(SourceError::Told { shown, reason })
        };
        let Ok(answer) = serde_json::from_slice::<Value>(&fetched.bytes) else {
            return told(format!("{FAILED}: invalid JSON"));
        };
        let text = |key: &str| answer.get(key).and_then(Value::as_str);
        let own = |otherwise: &str| clean(text("error_message").unwrap_or(otherwise), MESSAGE_BYTES_MAX);
        match text("status") {
            Some("ok") => Ok(()),
            Some("error") => told(format!("Error from renderd: {}", own("unknown error from renderd"))),
            Some("lock") => {
                let own = own("unknown lock timeout error from renderd");
                told(format!("Lock timeout from renderd: {own}"))
            }
            _ => told(format!("{FAILED}: its status is neither ok nor error nor lock")),
        }
    }

    fn message(&self, tile: TileCoord) -> Value {
        let TileCoord { x, y, z } = tile;
        json!({
            "command": "tile",
            "id": self.id(tile),
            "tiles": [[x, y, z]],
            "cache_identifier": self.identifier,
            "priority": self.priority,
        })
    }

    /// The same for the same tile, from whomever it comes: MapProxy's digest of
    /// identifier and tile as Python writes them.
    fn id(&self, tile: TileCoord) -> String {
        let TileCoord { x, y, z } = tile;
        let text = format!("('{}', [({x}, {y}, {z})])", self.identifier);
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        digest.as_ref().iter().fold(String::with_capacity(40), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::client::ClientOptions;
    use crate::source::upstream::{Upstream, answer, scene};

    fn renderd(address: String) -> Renderd {
        let client = Arc::new(Client::new(ClientOptions::default()));
        Renderd { address, identifier: "wms_cache_GLOBAL_MERCATOR".into(), priority: 100, client }
    }

    #[test]
    fn a_tile_has_mapproxys_identifier() {
        let mut renderd = renderd(String::new());
        assert_eq!(renderd.id(TileCoord::new(15, 17, 5)), "aeb52b506e4e82d0a1edf649d56e0451cfd5862c");
        renderd.identifier = "tms_cache_GLOBAL_MERCATOR".into();
        assert_eq!(renderd.id(TileCoord::new(10, 20, 7)), "c24b8c3247afec34fd0a53e5d3706e977877ef47");
    }

    #[test]
    fn the_message_is_posted_as_json() {
        let (told, requests) = std::sync::mpsc::channel();
        let upstream = Upstream::play(vec![scene(move |peer| {
            told.send(peer.request()).unwrap();
            peer.send(answer("200 OK", "", "{\"status\": \"ok\"}"));
        })]);
        renderd(upstream.url("/")).make(TileCoord::new(15, 17, 5)).unwrap();
        let request = requests.recv().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST / HTTP/1.1") && head.contains("content-type: application/json"));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["tiles"], json!([[15, 17, 5]]));
        assert_eq!((&body["command"], &body["priority"]), (&json!("tile"), &json!(100)));
        assert_eq!(body["cache_identifier"], "wms_cache_GLOBAL_MERCATOR");
    }

    #[test]
    fn failures_are_told_in_mapproxys_words() {
        let ok = |body: &str| answer("200 OK", "", body);
        let huge = format!("{{\"status\": \"error\", \"error_message\": \"{}\"}}", "x".repeat(70_000));
        for (reply, expected) in [
            (ok("{\"status\": \"error\", \"error_message\": \"barf\\n\"}"), "Error from renderd: barf "),
            (ok("{\"status\": \"error\"}"), "Error from renderd: unknown error from renderd"),
            (
                ok("{\"status\": \"lock\"}"),
                "Lock timeout from renderd: unknown lock timeout error from renderd",
            ),
            (ok("{\"invalid"), "Error while communicating with renderd: invalid JSON"),
            (ok("[]"), "Error while communicating with renderd: its status is neither ok nor error nor lock"),
            (
                answer("502 Bad", "", ""),
                "Error while communicating with renderd: HTTP Error (see logs for URL and reason).",
            ),
            (
                ok(&huge),
                "Error while communicating with renderd: No response from URL (see logs for URL and reason).",
            ),
        ] {
            let upstream = Upstream::answering(vec![reply]);
            let error = renderd(upstream.url("/")).make(TileCoord::new(1, 2, 3)).unwrap_err();
            assert_eq!(error.public_text(), expected);
            assert!(error.to_string().contains(&upstream.authority), "{error}");
        }
    }
}
