//! A site before which somebody stands who asks who may see what.
//!
//! A request becomes a question, the question a permit; the answer comes from
//! the site as the permit leaves it (`restrict`). What is no question about a
//! known layer is answered by a site without layers, so a service that is
//! forgotten here shows nothing. Questions that take time move the whole
//! request to a thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::base_url::BaseUrl;
use super::exception::{no_cache, plain};
use super::permit::{Authority, Decision, Kind, Partial, Permit, Question, Verdict};
use super::question::{Asked, ask};
use super::restrict::restrict;
use super::site::{Site, SiteParts};
use super::{Answer, StoredTileAnswer};
use crate::log;
use crate::plan::Turn;
use crate::story;
use crate::wire::{Request, Response};

/// Views of the site that are kept, for different permits.
const VIEWS_MAX: usize = 256;

/// A site and who decides about it.
pub struct Guarded {
    inner: Arc<Inner>,
}

struct Inner {
    parts: SiteParts,
    full: Site,
    authority: Arc<dyn Authority>,
    /// By the kind of service and the permit's key.
    views: Mutex<HashMap<(Kind, String), Arc<Site>>>,
}

impl Guarded {
    /// # Errors
    /// As [`Site::build`].
    pub fn build(parts: SiteParts, authority: Arc<dyn Authority>) -> Result<Guarded, Vec<String>> {
        let full = Site::build(parts.clone())?;
        Ok(Guarded { inner: Arc::new(Inner { parts, full, authority, views: Mutex::default() }) })
    }

    pub fn warnings(&self) -> &[String] {
        self.inner.full.warnings()
    }

    /// Decides who asks and how the request is answered.
    pub fn answer(&self, request: &Request) -> Answer {
        let Ok(url) = BaseUrl::of(request) else { return self.inner.full.answer(request) };
        let question = match ask(self.inner.full.services(), &url, request) {
            Asked::Open => return self.inner.full.answer_at(&url, request),
            Asked::Nothing(kind) => return self.inner.blind(kind, &url, request),
            Asked::Of(question) => question,
        };
        match self.inner.authority.decide(request, &question) {
            Verdict::Known(decision) => self.inner.answer(decision, &question, &url, request),
            Verdict::Wait(wait) => {
                let (inner, request) = (Arc::clone(&self.inner), request.clone());
                Answer::Work(Box::new(move |turn| {
                    let decision = wait(turn);
                    let Ok(url) = BaseUrl::of(&request) else { return plain(400, "invalid Host") };
                    finish(inner.answer(decision, &question, &url, &request), turn)
                }))
            }
        }
    }
}

impl Inner {
    fn answer(
        &self,
        decision: Decision,
        question: &Question,
        url: &BaseUrl<'_>,
        request: &Request,
    ) -> Answer {
        if let Some(user) = &decision.user {
            story::name_user(user);
        }
        let named;
        let request = match decision.user {
            // Pictures may bear his name.
            Some(user) if self.parts.decorations.is_some() => {
                named = Request { user: Some(user), ..request.clone() };
                &named
            }
            _ => request,
        };
        let answer = match decision.permit {
            Permit::Full => self.full.answer_at(url, request),
            Permit::Partial(partial) if partial.forbids(question) => self.refuse(403, "forbidden"),
            Permit::Partial(partial) => match self.view(question.kind, &partial) {
                Some(site) => site.answer_at(url, request),
                None => self.refuse(500, "internal error"),
            },
            Permit::None => self.refuse(403, "forbidden"),
            Permit::Unauthenticated => self.refuse(401, "unauthorized"),
            Permit::Unavailable => self.refuse(503, "it cannot be found out what you may see"),
        };
        keep_private(answer, self.authority.depends_on())
    }

    /// Answers what names nothing that there is: by the service without layers.
    fn blind(&self, kind: Option<Kind>, url: &BaseUrl<'_>, request: &Request) -> Answer {
        let nothing = Partial::default();
        match kind {
            Some(kind) => match self.view(kind, &nothing) {
                Some(site) => site.answer_at(url, request),
                None => self.refuse(500, "internal error"),
            },
            None => {
                let empty = SiteParts { cors: self.parts.cors.clone(), ..SiteParts::default() };
                match Site::build(empty) {
                    Ok(site) => site.answer_at(url, request),
                    Err(_) => self.refuse(500, "internal error"),
                }
            }
        }
    }

    fn refuse(&self, status: u16, text: &str) -> Answer {
        let mut response = no_cache(plain(status, text));
        if status == 401
            && let Some(challenge) = self.authority.challenge()
        {
            response = response.with("WWW-Authenticate", challenge);
        }
        if let Some(origin) = &self.parts.cors {
            response = response.with("Access-Control-Allow-Origin", origin.clone());
        }
        Answer::Ready(response)
    }

    /// The site as a permit leaves it.
    fn view(&self, kind: Kind, partial: &Partial) -> Option<Arc<Site>> {
        let key = (kind, partial.key.clone());
        if let Some(site) = self.views.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(site));
        }
        match Site::build(restrict(&self.parts, kind, partial)) {
            Ok(site) => {
                let site = Arc::new(site);
                let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
                if views.len() >= VIEWS_MAX {
                    views.clear();
                }
                views.insert(key, Arc::clone(&site));
                Some(site)
            }
            Err(errors) => {
                // The whole site was built from the same parts.
                log::alert!("a part of a site cannot be built: {}", errors.join("; "));
                None
            }
        }
    }
}

/// Carries an answer through on the thread that has it already.
fn finish(answer: Answer, turn: &Turn) -> Response {
    match answer {
        Answer::Ready(response) => response,
        Answer::Work(work) => work(turn),
        Answer::StoredTile(tile) => (tile.otherwise)(turn),
    }
}

/// What one may see, a shared cache must not show to another.
fn keep_private(answer: Answer, depends_on: &str) -> Answer {
    match answer {
        Answer::Ready(response) => Answer::Ready(private(response, depends_on)),
        Answer::Work(work) => {
            let fields = depends_on.to_owned();
            Answer::Work(Box::new(move |turn| private(work(turn), &fields)))
        }
        Answer::StoredTile(tile) => {
            let StoredTileAnswer { file, respond, otherwise } = *tile;
            let (fields, other_fields) = (depends_on.to_owned(), depends_on.to_owned());
            Answer::StoredTile(Box::new(StoredTileAnswer {
                file,
                respond: Box::new(move |found| private(respond(found), &fields)),
                otherwise: Box::new(move |turn| private(otherwise(turn), &other_fields)),
            }))
        }
    }
}

fn private(mut response: Response, depends_on: &str) -> Response {
    let mut has_control = false;
    for (name, value) in &mut response.headers {
        if name.eq_ignore_ascii_case("Cache-Control") {
            has_control = true;
            if let Some(rest) = value.strip_prefix("public") {
                let kept: Vec<&str> = rest
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty() && !part.starts_with("s-maxage"))
                    .collect();
                *value = [&["private"], &kept[..]].concat().join(", ");
            }
        }
    }
    if !has_control {
        response = response.with("Cache-Control", "private");
    }
    if depends_on.is_empty() {
        return response;
    }
    match response.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("Vary")) {
        Some((_, value)) => {
            value.push_str(", ");
            value.push_str(depends_on);
        }
        None => response.headers.push(("Vary".into(), depends_on.to_owned())),
    }
    response
}
