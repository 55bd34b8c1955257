//! Who may see what: the question that is asked about a request, and what may
//! be answered to it. Both are MapProxy's (`mapproxy.authorize`), so that a
//! callback can be kept behind a small server.
//!
//! Types only. Who decides is told by an [`Authority`]; how a decision becomes
//! an answer, by `guard`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::geo::{Coverage, Extent};
use crate::plan::Turn;
use crate::wire::Request;

/// One of the services that are guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Wms,
    Wmts,
    Tms,
    Kml,
    OgcApi,
    Demo,
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::Wms, Kind::Wmts, Kind::Tms, Kind::Kml, Kind::OgcApi, Kind::Demo];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Wms => "wms",
            Kind::Wmts => "wmts",
            Kind::Tms => "tms",
            Kind::Kml => "kml",
            Kind::OgcApi => "ogcapi",
            Kind::Demo => "demo",
        }
    }
}

/// What is done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// A map, its legend, its place in capabilities.
    Map,
    FeatureInfo,
    Tile,
}

impl Feature {
    pub const ALL: [Feature; 3] = [Feature::Map, Feature::FeatureInfo, Feature::Tile];

    /// As MapProxy spells it in permissions.
    pub fn name(self) -> &'static str {
        match self {
            Feature::Map => "map",
            Feature::FeatureInfo => "featureinfo",
            Feature::Tile => "tile",
        }
    }
}

/// What a request is about to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub kind: Kind,
    /// As MapProxy names it: `wms.map`, `wmts.featureinfo`, `tms`, …
    pub service: &'static str,
    /// `None`: a document about all layers.
    pub feature: Option<Feature>,
    /// Layers as the client names them; groups stand for themselves.
    pub asked: Vec<String>,
    /// The layers that are touched by that: members in place of groups, all
    /// layers for a document.
    pub layers: Vec<String>,
    /// Code of the system and edges, west to north, where a place is asked for.
    pub extent: Option<(String, Extent)>,
    /// Level of the grid; for maps the level of GLOBAL_WEBMERCATOR that is
    /// next to their resolution.
    pub level: Option<u32>,
}

/// What is allowed with one layer.
#[derive(Clone, Debug, Default)]
pub struct LayerPermit {
    pub map: bool,
    pub feature_info: bool,
    pub tile: bool,
    /// What may be seen lies in all of them.
    pub areas: Vec<Coverage>,
    /// The levels at which it may be seen, from and to; `None`: all.
    pub levels: Option<(u32, u32)>,
}

impl LayerPermit {
    pub fn allows(&self, feature: Feature) -> bool {
        match feature {
            Feature::Map => self.map,
            Feature::FeatureInfo => self.feature_info,
            Feature::Tile => self.tile,
        }
    }

    pub fn allow(&mut self, feature: Feature) {
        match feature {
            Feature::Map => self.map = true,
            Feature::FeatureInfo => self.feature_info = true,
            Feature::Tile => self.tile = true,
        }
    }
}

/// Some layers, or parts of them. Who is not named is not allowed.
#[derive(Clone, Debug, Default)]
pub struct Partial {
    pub layers: HashMap<String, LayerPermit>,
    /// For all of them.
    pub limited_to: Option<Coverage>,
    /// Whether the demo pages may be shown.
    pub demo: bool,
    /// Equal for equal permits of one authority.
    pub key: String,
}

impl Partial {
    pub fn allows(&self, layer: &str, feature: Feature) -> bool {
        self.layers.get(layer).is_some_and(|permit| permit.allows(feature))
    }

    /// What is left at one level: layers that may not be seen there are not
    /// named. Documents (`None`) are about all levels.
    pub fn at(self: &Arc<Self>, level: Option<u32>) -> Arc<Partial> {
        let is_beyond = |permit: &LayerPermit| {
            level.zip(permit.levels).is_some_and(|(level, (from, to))| !(from..=to).contains(&level))
        };
        if !self.layers.values().any(is_beyond) {
            return Arc::clone(self);
        }
        let mut rest = Partial::clone(self);
        rest.layers.retain(|_, permit| !is_beyond(permit));
        let mut names: Vec<&str> = rest.layers.keys().map(String::as_str).collect();
        names.sort_unstable();
        rest.key = format!("{} but only {names:?}", self.key);
        Arc::new(rest)
    }

    /// Whether something that was asked for by its name may not be had.
    pub fn forbids(&self, question: &Question) -> bool {
        if question.kind == Kind::Demo {
            return !self.demo;
        }
        let Some(feature) = question.feature else { return self.layers.is_empty() };
        let allowed = |name: &String| self.allows(name, feature);
        let mut by_name = question.asked.iter().filter(|name| question.layers.contains(name));
        // Members of a group that may not be seen are left out of it, unless all are.
        !by_name.all(allowed) || (!question.layers.is_empty() && !question.layers.iter().any(allowed))
    }

    /// The areas within which a layer may be seen.
    pub fn areas(&self, layer: &str) -> Vec<Coverage> {
        let own = self.layers.get(layer).map(|permit| permit.areas.as_slice()).unwrap_or_default();
        own.iter().chain(&self.limited_to).cloned().collect()
    }
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub enum Permit {
    Full,
    Partial(Arc<Partial>),
    /// Known, and not allowed: 403.
    None,
    /// Not known: 401.
    Unauthenticated,
    /// Who decides cannot be asked now: 503.
    Unavailable,
}

/// A permit, and whose it is.
#[derive(Clone, Debug)]
pub struct Decision {
    pub permit: Permit,
    /// The name of whoever asks, where he is known.
    pub user: Option<String>,
}

/// A decision, or how to get it.
pub enum Verdict {
    Known(Decision),
    /// It takes time (a password, a question to somebody else): on a thread.
    Wait(Box<dyn FnOnce(&Turn) -> Decision + Send>),
}

/// Who decides.
pub trait Authority: Send + Sync {
    /// Quick: asks nobody and computes little.
    fn decide(&self, request: &Request, question: &Question) -> Verdict;
    /// Value of `WWW-Authenticate` for a 401, where there is a scheme to name.
    fn challenge(&self) -> Option<&str>;
    /// Fields on which decisions depend, for `Vary`.
    fn depends_on(&self) -> &str;
}
