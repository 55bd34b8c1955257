//! One map configuration's services behind one router.

use super::Answer;
use crate::wire::Request;

/// All services of one map configuration.
pub struct Site {}

impl Site {
    /// Decides how the request is answered. Quick: parses the target, looks
    /// names up, opens nothing.
    pub fn answer(&self, _request: &Request) -> Answer {
        todo!()
    }
}
