//! What operators and their programs ask: health, readiness, metrics, status.
//!
//! It has a socket of its own (`admin:`), which every worker answers from the
//! scoreboard, so that it does not matter which one is asked; the socket stays
//! open while the others are full. Nothing here is counted or logged as a
//! request. Changes nothing: orders go over the control socket.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Worker;
use crate::board::{State, metrics, status};
use crate::service::Answer;
use crate::wire::{Headers, Method, Request, Response, reply};

/// The status page: one document, nothing from anywhere else.
const PAGE: &str = include_str!("admin/status.html");
/// Where the page carries the status of the moment it was asked for.
const PAGE_DATA_MARK: &str = "/*status*/null";
/// A worker whose loop has not turned for so long serves nobody.
const TICK_STALE_MS: u64 = 5_000;

impl Worker {
    pub(super) fn answer_admin(&self, request: &Request) -> Answer {
        if !matches!(request.method, Method::Get | Method::Head) {
            return Answer::Ready(reply::plain(405, "GET or HEAD").with("Allow", "GET, HEAD"));
        }
        let response = match request.path.as_str() {
            "/healthz" => text(200, "ok"),
            "/readyz" => return self.answer_ready(),
            "/metrics" => {
                Response::new(200, metrics::CONTENT_TYPE, metrics::render(&self.board).into_bytes())
            }
            "/status.json" => self.status_document(),
            "/status" | "/" if wants_json(request) => self.status_document(),
            "/status" | "/" => self.status_page(),
            _ => reply::plain(404, "here are /healthz, /readyz, /metrics, /status and /status.json"),
        };
        Answer::Ready(response.with("Cache-Control", "no-store"))
    }

    /// Ready is a daemon that has not been told to stop and whose worker has
    /// put a request of its own through the site and over to a render thread
    /// and back. A full queue is no reason to send everybody to another host.
    fn answer_ready(&self) -> Answer {
        let no_store = |response: Response| response.with("Cache-Control", "no-store");
        let refuse = |why: &str| Answer::Ready(no_store(text(503, why)));
        if self.board.is_stopping() {
            return refuse("stopping");
        }
        let now_ms = self.clock.now_ms;
        let mut workers = self.board.live_slots().map(|(_, slot)| slot);
        if !workers.any(|slot| slot.state() == State::Serving && slot.tick_ms() + TICK_STALE_MS > now_ms) {
            return refuse("no worker serves");
        }
        match self.probe_site() {
            Some(status) if status < 500 => {}
            Some(status) => return refuse(&format!("the site answers with {status}")),
            None => return refuse("the site does not answer"),
        }
        if self.pool.is_full() {
            return Answer::Ready(no_store(text(200, "ready (busy)")));
        }
        Answer::Work(Box::new(move |_| no_store(text(200, "ready"))))
    }

    /// The status of a request for the root, as a client would see it.
    fn probe_site(&self) -> Option<u16> {
        let request = Request {
            method: Method::Get,
            path: "/".to_owned(),
            query: String::new(),
            scheme: "http",
            script_name: String::new(),
            headers: Headers(vec![("Host".into(), "localhost".into())]),
            body: Vec::new(),
            peer: None,
            remote_user: None,
            user: None,
        };
        match catch_unwind(AssertUnwindSafe(|| (self.answer)(&request))) {
            Ok(Answer::Ready(response)) => Some(response.status),
            // It knows how it would be answered: that is what was asked.
            Ok(Answer::Work(_) | Answer::StoredTile(_)) => Some(200),
            Err(_) => None,
        }
    }

    fn status(&self) -> serde_json::Value {
        let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut status = status::render(&self.board, self.clock.now_ms, now_unix_s);
        status["answered_by"] = std::process::id().into();
        status["projections"] = crate::geo::proj::engine().into();
        status
    }

    fn status_document(&self) -> Response {
        Response::new(200, "application/json", format!("{:#}\n", self.status()).into_bytes())
    }

    /// The page with the status in it: it shows something at once, then asks
    /// for `/status.json` again and again.
    fn status_page(&self) -> Response {
        // Nothing in the data may end the script that it stands in.
        let data = self.status().to_string().replace('<', "\\u003c");
        let page = PAGE.replacen(PAGE_DATA_MARK, &data, 1);
        Response::new(200, "text/html; charset=utf-8", page.into_bytes())
            .with("X-Frame-Options", "DENY")
            .with("X-Content-Type-Options", "nosniff")
    }
}

fn wants_json(request: &Request) -> bool {
    if request.query.split('&').any(|pair| pair == "format=json") {
        return true;
    }
    let accept = request.headers.get("accept").unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

fn text(status: u16, text: &str) -> Response {
    let body: Cow<'_, str> = Cow::Owned(format!("{text}\n"));
    Response::new(status, "text/plain; charset=utf-8", body.into_owned().into_bytes())
}
