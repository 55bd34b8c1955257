//! Rules: the first that fits user, map, service, layer, feature and level
//! decides. What no rule allows is not allowed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Identity;
use crate::conf::daemon::auth::{Rule, Who};
use crate::service::pattern::names;
use crate::service::permit::{Feature, Kind, LayerPermit, Partial, Permit, Question};

/// Outcomes that are remembered, for different users, services and levels.
const OUTCOMES_MAX: usize = 4_096;

type Case = (Option<Identity>, Kind, Option<u32>);

pub(super) struct Rules {
    /// Those about this map.
    rules: Vec<Rule>,
    layers: Vec<String>,
    can_sign_in: bool,
    outcomes: Mutex<HashMap<Case, Permit>>,
}

impl Rules {
    pub fn new(rules: &[Rule], map: &str, layers: Vec<String>, can_sign_in: bool) -> Rules {
        let rules = rules.iter().filter(|rule| names(&rule.maps, map)).cloned().collect();
        Rules { rules, layers, can_sign_in, outcomes: Mutex::default() }
    }

    pub fn decide(&self, identity: Option<&Identity>, question: &Question) -> Permit {
        // Documents show a layer if any of its levels may be seen.
        let level = question.level.filter(|_| self.rules.iter().any(|rule| rule.levels.is_some()));
        let case = (identity.cloned(), question.kind, level);
        let known = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).get(&case).cloned();
        let permit = known.unwrap_or_else(|| {
            let permit = self.permit(identity, question.kind, level);
            let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            if outcomes.len() >= OUTCOMES_MAX {
                outcomes.clear();
            }
            outcomes.insert(case, permit.clone());
            permit
        });
        let is_refused = match &permit {
            Permit::Partial(partial) => partial.forbids(question),
            Permit::None => true,
            _ => false,
        };
        match permit {
            // Who is not known may be somebody who may.
            _ if is_refused && identity.is_none() && self.can_sign_in => Permit::Unauthenticated,
            permit => permit,
        }
    }

    /// What somebody may do with all layers in a service.
    fn permit(&self, identity: Option<&Identity>, kind: Kind, level: Option<u32>) -> Permit {
        // The demo pages show what any service shows.
        let kinds: &[Kind] = if kind == Kind::Demo { &Kind::ALL[..5] } else { std::slice::from_ref(&kind) };
        let mut partial = Partial { demo: true, ..Partial::default() };
        let mut is_full = true;
        if kind == Kind::Demo && !self.rule_for_demo(identity).is_some_and(|rule| rule.allow) {
            return Permit::None;
        }
        let mut key = format!("{kind:?}");
        for layer in &self.layers {
            let mut permit = LayerPermit::default();
            let mut limits = Vec::new();
            for feature in Feature::ALL {
                for kind in kinds {
                    let found = self.rule_for(identity, *kind, layer, feature, level);
                    let Some((at, rule)) = found.filter(|(_, rule)| rule.allow) else {
                        is_full = false;
                        continue;
                    };
                    permit.allow(feature);
                    // Features of one layer share their areas: what two rules
                    // limit lies in both, so that neither is overstepped.
                    if let Some(area) = rule.limited_to.as_ref().filter(|_| !limits.contains(&at)) {
                        limits.push(at);
                        permit.areas.push(area.clone());
                        key.push_str(&format!(" {at}"));
                    }
                    is_full &= rule.limited_to.is_none();
                }
            }
            if Feature::ALL.iter().any(|feature| permit.allows(*feature)) {
                let [map, info, tile] = Feature::ALL.map(|feature| u8::from(permit.allows(feature)));
                key.push_str(&format!(" {map}{info}{tile} {layer:?}"));
                partial.layers.insert(layer.clone(), permit);
            }
        }
        if is_full {
            return Permit::Full;
        }
        if partial.layers.is_empty() {
            return Permit::None;
        }
        partial.key = key;
        Permit::Partial(Arc::new(partial))
    }

    fn rule_for(
        &self,
        identity: Option<&Identity>,
        kind: Kind,
        layer: &str,
        feature: Feature,
        level: Option<u32>,
    ) -> Option<(usize, &Rule)> {
        self.rules.iter().enumerate().find(|(_, rule)| {
            is_meant(rule, identity)
                && (rule.services.is_empty() || rule.services.iter().any(|name| name == kind.name()))
                && (rule.features.is_empty() || rule.features.iter().any(|name| name == feature.name()))
                && names(&rule.layers, layer)
                && is_within(rule, level)
        })
    }

    fn rule_for_demo(&self, identity: Option<&Identity>) -> Option<&Rule> {
        let is_about =
            |rule: &Rule| rule.services.is_empty() || rule.services.iter().any(|name| name == "demo");
        self.rules.iter().find(|rule| is_meant(rule, identity) && is_about(rule))
    }
}

fn is_meant(rule: &Rule, identity: Option<&Identity>) -> bool {
    match (rule.who, identity) {
        (Who::Anyone, _) | (Who::SignedIn, Some(_)) => true,
        (Who::Named, Some(identity)) => {
            rule.users.contains(&identity.user)
                || rule.groups.iter().any(|group| identity.groups.contains(group))
        }
        _ => false,
    }
}

/// A question without a level is about all of them: it meets a rule that
/// allows some, and passes one that refuses some.
fn is_within(rule: &Rule, level: Option<u32>) -> bool {
    match (rule.levels, level) {
        (None, _) => true,
        (Some((from, to)), Some(level)) => (from..=to).contains(&level),
        (Some(_), None) => rule.allow,
    }
}
