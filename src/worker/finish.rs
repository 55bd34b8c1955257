//! What is done to every answer of the site before it leaves: text is packed
//! where the client likes it, stored pictures are cut to the range asked for.
//!
//! Packing takes longer than the loop may take, so what is not small goes to a
//! thread; documents that the loop has at once (capabilities, demo pages) do
//! not change within a generation, so each is packed once and kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::log;
use crate::service::{Answer, StoredTileAnswer, Work};
use crate::wire::coding::{self, Coding};
use crate::wire::{Body, Request, Response, range};

/// Larger bodies are packed by a thread: this much takes about a millisecond.
const LOOP_BYTES_MAX: usize = 16 * 1024;
/// Packed documents that are kept.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Packed documents by what they were packed from. The key is a hash under a
/// secret of this process, so nobody can make two documents meet on purpose.
#[derive(Default)]
struct Kept {
    documents: HashMap<(Coding, u64, usize), Arc<[u8]>>,
    bytes: usize,
}

#[derive(Clone, Default)]
pub(super) struct Finish {
    kept: Arc<Mutex<Kept>>,
    secret: RandomState,
}

impl Finish {
    /// The answer as it will be sent.
    pub fn apply(&self, request: &Request, answer: Answer) -> Answer {
        let coding = coding::choose(request.headers.all("Accept-Encoding"));
        let is_part = range::is_asked(request);
        match answer {
            Answer::Ready(response) => {
                let response = if is_part { range::cut(&request.headers, response) } else { response };
                self.pack_ready(response, coding)
            }
            Answer::Work(work) => Answer::Work(finished_work(work, request, is_part, coding)),
            Answer::StoredTile(tile) if is_part => {
                let StoredTileAnswer { file, respond, otherwise } = *tile;
                let headers = request.headers.clone();
                let respond = Box::new(move |found| range::cut(&headers, respond(found)));
                let otherwise = finished_work(otherwise, request, is_part, coding);
                Answer::StoredTile(Box::new(StoredTileAnswer { file, respond, otherwise }))
            }
            tile @ Answer::StoredTile(_) => tile,
        }
    }

    fn pack_ready(&self, mut response: Response, coding: Option<Coding>) -> Answer {
        if !coding::is_worth_it(&response) {
            return Answer::Ready(response);
        }
        coding::vary(&mut response);
        let Some(coding) = coding else { return Answer::Ready(response) };
        let body = response.body.as_slice();
        let key = (coding, self.secret.hash_one(body), body.len());
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).documents.get(&key).cloned();
        if let Some(packed) = kept {
            coding::put(&mut response, coding, Body::Shared(packed));
            return Answer::Ready(response);
        }
        let is_small = body.len() <= LOOP_BYTES_MAX;
        let finish = self.clone();
        let pack = move || {
            if let Some(packed) = pack(&response, coding) {
                let packed: Arc<[u8]> = packed.into();
                finish.keep(key, &packed);
                coding::put(&mut response, coding, Body::Shared(packed));
            }
            response
        };
        if is_small { Answer::Ready(pack()) } else { Answer::Work(Box::new(|_| pack())) }
    }

    fn keep(&self, key: (Coding, u64, usize), packed: &Arc<[u8]>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if packed.len() > KEPT_BYTES_MAX / 4 {
            return;
        }
        if kept.bytes + packed.len() > KEPT_BYTES_MAX {
            // A generation has few documents; whoever fills this asks under
            // ever new addresses, and none of them will come again.
            *kept = Kept::default();
        }
        if kept.documents.insert(key, Arc::clone(packed)).is_none() {
            kept.bytes += packed.len();
        }
    }
}

/// Work whose outcome is cut or packed on its thread.
fn finished_work(work: Work, request: &Request, is_part: bool, coding: Option<Coding>) -> Work {
    let headers = is_part.then(|| request.headers.clone());
    Box::new(move |turn| {
        let mut response = work(turn);
        if let Some(headers) = headers {
            response = range::cut(&headers, response);
        }
        if coding::is_worth_it(&response) {
            coding::vary(&mut response);
            if let Some(coding) = coding
                && let Some(packed) = pack(&response, coding)
            {
                coding::put(&mut response, coding, Body::Bytes(packed));
            }
        }
        response
    })
}

/// The packed body; `None` where it is not smaller, or not to be had.
fn pack(response: &Response, coding: Coding) -> Option<Vec<u8>> {
    let body = response.body.as_slice();
    match coding.encode(body) {
        Ok(packed) => (packed.len() < body.len()).then_some(packed),
        Err(error) => {
            log::error!("a document of {} bytes is sent unpacked: {error}", body.len());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Turn;
    use crate::wire::{Headers, Method};

    fn request(fields: &[(&str, &str)]) -> Request {
        Request {
            method: Method::Get,
            path: "/".into(),
            query: String::new(),
            scheme: "http",
            script_name: String::new(),
            headers: Headers(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()),
            body: Vec::new(),
            peer: None,
            remote_user: None,
            user: None,
        }
    }

    fn document(length: usize) -> Response {
        Response::new(200, "text/xml", "<layer/>".repeat(length / 8))
    }

    fn encoding(response: &Response) -> Option<&str> {
        response.headers.iter().find(|(name, _)| name == "Content-Encoding").map(|(_, value)| value.as_str())
    }

    #[test]
    fn small_ones_on_the_loop_large_ones_once_on_a_thread() {
        let finish = Finish::default();
        let asks = request(&[("Accept-Encoding", "gzip")]);
        for (length, on_loop) in [(8_000, true), (800_000, false), (800_000, true), (8_000, true)] {
            let response = match finish.apply(&asks, Answer::Ready(document(length))) {
                Answer::Ready(response) if on_loop => response,
                Answer::Work(work) if !on_loop => work(&Turn::ungated()),
                _ => panic!("{length} is packed at the wrong place"),
            };
            assert_eq!(encoding(&response), Some("gzip"));
            assert!(response.body.as_slice().len() < length / 20);
        }
        let Answer::Ready(plain) = finish.apply(&request(&[]), Answer::Ready(document(800_000))) else {
            panic!("there is nothing to do");
        };
        assert_eq!(encoding(&plain), None);
        assert!(plain.headers.contains(&("Vary".into(), "Accept-Encoding".into())));
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let finish = Finish::default();
        let packed: Arc<[u8]> = vec![0; KEPT_BYTES_MAX / 5].into();
        for n in 0..50 {
            finish.keep((Coding::Gzip, n, 0), &packed);
            let kept = finish.kept.lock().unwrap();
            assert!(kept.bytes <= KEPT_BYTES_MAX);
            assert_eq!(kept.bytes, kept.documents.len() * packed.len());
        }
    }
}
