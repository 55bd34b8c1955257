//! Which of the systems that a source speaks is asked for.

use crate::geo::Srs;

/// `supported_srs` of a source with `globals.srs.preferred_src_proj`.
#[derive(Clone, Debug, Default)]
pub struct SupportedSrs {
    pub list: Vec<Srs>,
    /// Target system → sources to prefer, best first.
    pub preferred: Vec<(Srs, Vec<Srs>)>,
}

impl SupportedSrs {
    /// The very system, in the spelling of the list, if it is supported.
    /// An exact code wins over another name of the same projection.
    pub fn same(&self, wanted: &Srs) -> Option<&Srs> {
        self.list
            .iter()
            .find(|srs| srs.code() == wanted.code())
            .or_else(|| self.list.iter().find(|srs| *srs == wanted))
    }

    /// The system to ask for when `wanted` is not supported: a preferred one,
    /// else the first of the same kind, else the first.
    pub fn best(&self, wanted: &Srs) -> Option<&Srs> {
        let preferred = self
            .preferred
            .iter()
            .filter(|(target, _)| target == wanted)
            .flat_map(|(_, sources)| sources)
            .find_map(|source| self.list.iter().find(|srs| *srs == source));
        preferred
            .or_else(|| self.list.iter().find(|srs| srs.is_geographic() == wanted.is_geographic()))
            .or_else(|| self.list.first())
    }
}
