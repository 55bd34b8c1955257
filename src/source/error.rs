//! Failures of a source, and what the configuration makes of them.

/// Why a source gave no image. The text names the cause for the operator;
/// what a client may see of it is decided in `service`. URLs in it hold no
/// credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    #[error("{url}: HTTP status {status}")]
    Status { url: String, status: u16 },
    #[error("{url}: {reason}")]
    Transport { url: String, reason: String },
    #[error("{url}: no image but {content_type}: {excerpt}")]
    NotAnImage { url: String, content_type: String, excerpt: String },
    #[error("{url}: answer over the limit of {limit_bytes} bytes")]
    TooLarge { url: String, limit_bytes: u64 },
    #[error("{0}")]
    Other(String),
    /// What clients may be told even where details are hidden, as in MapProxy.
    #[error("{reason}")]
    Told { shown: String, reason: String },
}

impl SourceError {
    /// What MapProxy shows a client instead of [`SourceError`]'s own text when
    /// `hide_error_details` is on: the kind, no URL and no reason.
    pub fn public_text(&self) -> &str {
        match self {
            SourceError::Status { .. } => "HTTP Error (see logs for URL and reason).",
            SourceError::Transport { .. } | SourceError::TooLarge { .. } => {
                "No response from URL (see logs for URL and reason)."
            }
            SourceError::NotAnImage { .. } => "no image returned from source (see logs for URL and reason).",
            SourceError::Other(_) => "source failed (see logs for the reason).",
            SourceError::Told { shown, .. } => shown,
        }
    }
}

/// One entry of `on_error`.
#[derive(Clone, Debug, PartialEq)]
pub struct OnErrorRule {
    /// `None`: `other`.
    pub status: Option<u16>,
    pub color: [u8; 4],
    pub cache: bool,
    pub authorize_stale: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnError(pub Vec<OnErrorRule>);

impl OnError {
    /// The rule for a failure, if one is configured: that of its HTTP status,
    /// else `other`, which stands for everything not listed, time-outs included.
    pub fn rule(&self, error: &SourceError) -> Option<&OnErrorRule> {
        let status = match error {
            SourceError::Status { status, .. } => Some(*status),
            _ => None,
        };
        let listed = status.and_then(|status| self.0.iter().find(|rule| rule.status == Some(status)));
        listed.or_else(|| self.0.iter().find(|rule| rule.status.is_none()))
    }

    /// The answer that stands for a failure, or the failure.
    pub fn answer(&self, error: SourceError) -> Result<super::Answer, SourceError> {
        match self.rule(&error) {
            Some(rule) => Ok(super::Answer::Color {
                color: rule.color,
                cacheable: rule.cache,
                authorize_stale: rule.authorize_stale,
            }),
            None => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_status_goes_before_other() {
        let rule = |status, color| OnErrorRule { status, color, cache: false, authorize_stale: false };
        let rules = OnError(vec![rule(None, [1; 4]), rule(Some(500), [2; 4]), rule(Some(204), [3; 4])]);
        let of = |error: &SourceError| rules.rule(error).map(|rule| rule.color[0]);
        let status = |status| SourceError::Status { url: String::new(), status };
        assert_eq!(of(&status(500)), Some(2));
        assert_eq!(of(&status(204)), Some(3));
        assert_eq!(of(&status(404)), Some(1));
        assert_eq!(of(&SourceError::Transport { url: String::new(), reason: String::new() }), Some(1));
        assert!(OnError(vec![rule(Some(404), [0; 4])]).rule(&status(500)).is_none());
    }
}
