//! Failures of a source, and what the configuration makes of them.

/// Why a source gave no image. The text names the cause for the operator;
/// what a client may see of it is decided in `service`.
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
    /// The rule for a failure, if one is configured.
    pub fn rule(&self, _error: &SourceError) -> Option<&OnErrorRule> {
        todo!()
    }
}
