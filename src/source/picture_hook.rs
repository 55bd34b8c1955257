//! A service of the operator's that gets a finished picture and brings back
//! another in its place.

use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;

use super::address::redact;
use super::error::SourceError;
use super::pool::{PoolKey, tls};
use crate::story;

/// The field in which the question goes along, as JSON in ASCII.
const QUESTION_FIELD: &str = "X-Question";

/// One such service.
#[derive(Debug)]
pub struct PictureHook {
    url: String,
    timeout: Duration,
    /// Made at the first question: it reads the system's certificates.
    agent: OnceLock<Result<Agent, String>>,
}

impl PictureHook {
    /// `timeout`: for everything from the connection to the last byte.
    pub fn new(url: &str, timeout: Duration) -> PictureHook {
        PictureHook { url: url.to_owned(), timeout, agent: OnceLock::new() }
    }

    /// Where it is, without credentials.
    pub fn shown_url(&self) -> String {
        redact(&self.url)
    }

    /// Sends a PNG. Brings the bytes of the answer, or `None` where the picture
    /// is to stay as it is (204).
    ///
    /// # Errors
    /// No answer in time, another status than 200 and 204, or more bytes than
    /// `answer_bytes_max`.
    pub fn send(
        &self,
        png: &[u8],
        question: &str,
        answer_bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let name = self.shown_url();
        let asked = story::ask(&name);
        let answer = self.exchange(png, question, answer_bytes_max);
        asked.end(answer.is_ok());
        answer
    }

    fn exchange(
        &self,
        png: &[u8],
        question: &str,
        answer_bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let agent = self.agent.get_or_init(|| agent(&self.url, self.timeout)).as_ref();
        let agent = agent.map_err(|reason| self.failed(reason.clone()))?;
        let request = agent.post(&self.url).content_type("image/png").header(QUESTION_FIELD, question);
        let mut response = request.send(png).map_err(|error| self.told(&error))?;
        match response.status().as_u16() {
            200 => {}
            204 => return Ok(None),
            status => return Err(SourceError::Status { url: self.shown_url(), status }),
        }
        let reader = response.body_mut().with_config().limit(answer_bytes_max);
        reader.read_to_vec().map(Some).map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                SourceError::TooLarge { url: self.shown_url(), limit_bytes: answer_bytes_max }
            }
            error => self.told(&error),
        })
    }

    fn told(&self, error: &ureq::Error) -> SourceError {
        if matches!(error, ureq::Error::Timeout(_)) {
            story::mark_late();
            return self.failed(format!("no answer within {} ms", self.timeout.as_millis()));
        }
        self.failed(error.to_string())
    }

    fn failed(&self, reason: String) -> SourceError {
        SourceError::Transport { url: self.shown_url(), reason }
    }
}

fn agent(url: &str, timeout: Duration) -> Result<Agent, String> {
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        // A kept connection may have been closed while it lay idle, and a POST
        // is not sent twice.
        .max_idle_connections(0)
        .user_agent(concat!("rhumb/", env!("CARGO_PKG_VERSION")))
        .proxy(None);
    let config = match url.starts_with("https:") {
        true => config.tls_config(tls(&PoolKey { is_tls: true, ca_certs: None, verify_certs: true })?),
        false => config,
    };
    Ok(config.build().into())
}
