//! Who asks, and what he may see: identities by keys, passwords, tokens and
//! trusted fields; rules; or a question to a service of the operator's own.
//!
//! Implements what `service::permit` asks for. Knows no OGC and no pixels.

mod external;
mod identity;
mod rules;
mod token;

use std::sync::Arc;

use crate::conf::daemon::auth::Auth;
use crate::plan::Turn;
use crate::service::permit::{Authority, Decision, Permit, Question, Verdict};
use crate::wire::Request;
use external::External;
use identity::{Credentials, Found, Identities};
use rules::Rules;

/// Somebody who is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    pub user: String,
    /// Sorted, each once.
    pub groups: Vec<String>,
}

/// What somebody may see, or how to find out.
enum Opinion {
    Known(Permit),
    Wait(Box<dyn FnOnce(&Turn) -> Permit + Send>),
}

enum Decider {
    Rules(Rules),
    External(External),
}

/// Who decides about one map, by the daemon's file.
pub struct Gatekeeper {
    identities: Arc<Identities>,
    decider: Arc<Decider>,
    challenge: Option<String>,
    depends_on: String,
}

impl Gatekeeper {
    /// `layers`: the names of all layers of the map `map`.
    ///
    /// # Errors
    /// Sentences about keys that cannot be used.
    pub fn new(auth: &Auth, map: &str, layers: Vec<String>) -> Result<Gatekeeper, Vec<String>> {
        let identities = Identities::new(auth)?;
        let decider = match &auth.external {
            Some(external) => Decider::External(External::new(external, map)),
            None => Decider::Rules(Rules::new(&auth.rules, map, layers, identities.can_sign_in())),
        };
        let mut fields = identities.fields();
        if let Some(external) = &auth.external {
            fields.extend(external.fields.iter().cloned());
        }
        fields.sort_by_key(|field| field.to_ascii_lowercase());
        fields.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
        Ok(Gatekeeper {
            challenge: identities.challenge(&auth.realm),
            depends_on: fields.join(", "),
            identities: Arc::new(identities),
            decider: Arc::new(decider),
        })
    }
}

impl Decider {
    fn decide(&self, identity: Option<&Identity>, request: &Request, question: &Question) -> Opinion {
        match self {
            Decider::Rules(rules) => Opinion::Known(rules.decide(identity, question)),
            Decider::External(external) => external.decide(identity, request, question),
        }
    }
}

impl Authority for Gatekeeper {
    fn decide(&self, request: &Request, question: &Question) -> Verdict {
        let wrong = Decision { permit: Permit::Unauthenticated, user: None };
        let identity = match self.identities.find(request) {
            Found::Nobody => None,
            Found::Known(identity) => Some(identity),
            Found::Wrong => return Verdict::Known(wrong),
            Found::Check(credentials) => return self.decide_later(credentials, request, question),
        };
        let opinion = self.decider.decide(identity.as_ref(), request, question);
        let user = identity.map(|identity| identity.user);
        match opinion {
            Opinion::Known(permit) => Verdict::Known(Decision { permit, user }),
            Opinion::Wait(wait) => Verdict::Wait(Box::new(move |turn| Decision { permit: wait(turn), user })),
        }
    }

    fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    fn depends_on(&self) -> &str {
        &self.depends_on
    }
}

impl Gatekeeper {
    /// Looks at a password first, which takes a while.
    fn decide_later(&self, credentials: Credentials, request: &Request, question: &Question) -> Verdict {
        let identities = Arc::clone(&self.identities);
        let decider = Arc::clone(&self.decider);
        let (request, question) = (request.clone(), question.clone());
        Verdict::Wait(Box::new(move |turn| {
            let Some(identity) = identities.check(&credentials) else {
                return Decision { permit: Permit::Unauthenticated, user: None };
            };
            let permit = match decider.decide(Some(&identity), &request, &question) {
                Opinion::Known(permit) => permit,
                Opinion::Wait(wait) => wait(turn),
            };
            Decision { permit, user: Some(identity.user) }
        }))
    }
}

#[cfg(test)]
mod tests;
