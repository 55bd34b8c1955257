//! Answering a 401: Basic and Digest, only to the server of the configuration
//! and only after it asked, as MapProxy does. Once asked, Basic goes along
//! with every further request, which saves the first of two round trips.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::address::Credentials;

/// What a server asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Digest(DigestChallenge),
}

/// RFC 7616 with MD5, the one algorithm that servers of old offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChallenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    has_qop: bool,
}

static COUNTER: AtomicU32 = AtomicU32::new(1);

impl Challenge {
    /// From a `WWW-Authenticate` field; `None` for schemes we do not speak.
    pub fn parse(field: &str) -> Option<Challenge> {
        let (scheme, rest) = field.trim().split_once(' ').unwrap_or((field.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let parameters = parse_parameters(rest);
        let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if get("algorithm").is_some_and(|algorithm| !algorithm.eq_ignore_ascii_case("md5")) {
            return None;
        }
        let has_qop = match get("qop") {
            Some(qop) if qop.split(',').any(|word| word.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
            None => false,
        };
        Some(Challenge::Digest(DigestChallenge {
            realm: get("realm").unwrap_or_default(),
            nonce: get("nonce")?,
            opaque: get("opaque"),
            has_qop,
        }))
    }

    /// The `Authorization` field for a request; `target`: path and query.
    pub fn answer(&self, credentials: &Credentials, method: &str, target: &str) -> String {
        match self {
            Challenge::Basic => {
                format!("Basic {}", STANDARD.encode(format!("{}:{}", credentials.0, credentials.1)))
            }
            Challenge::Digest(digest) => {
                let count = COUNTER.fetch_add(1, Ordering::Relaxed);
                let client_nonce =
                    hex(&format!("{}-{count}-{:?}", std::process::id(), std::time::Instant::now()));
                digest.answer(credentials, method, target, &client_nonce[..16])
            }
        }
    }
}

impl DigestChallenge {
    fn answer(
        &self,
        (user, password): &Credentials,
        method: &str,
        target: &str,
        client_nonce: &str,
    ) -> String {
        let secret = hex(&format!("{user}:{}:{password}", self.realm));
        let request = hex(&format!("{method}:{target}"));
        let response = match self.has_qop {
            true => hex(&format!("{secret}:{}:00000001:{client_nonce}:auth:{request}", self.nonce)),
            false => hex(&format!("{secret}:{}:{request}", self.nonce)),
        };
        let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut field = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{target}\", response=\"{response}\", algorithm=MD5",
            quote(user),
            quote(&self.realm),
            quote(&self.nonce),
        );
        if let Some(opaque) = &self.opaque {
            field.push_str(&format!(", opaque=\"{}\"", quote(opaque)));
        }
        if self.has_qop {
            field.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{client_nonce}\""));
        }
        field
    }
}

fn hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `name=value` and `name="quoted value"`, separated by commas.
fn parse_parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, left) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), left)
            }
        };
        found.push((name, value));
        rest = left;
    }
    found
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_answered() {
        let challenge = Challenge::parse("basic realm=\"maps\"").unwrap();
        let credentials = ("Aladdin".to_owned(), "open sesame".to_owned());
        assert_eq!(challenge.answer(&credentials, "GET", "/"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(Challenge::parse("Negotiate"), None);
    }

    #[test]
    fn digest_gives_the_answer_of_the_standard() {
        // The example of RFC 2617, section 3.5.
        let field = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                     nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let Some(Challenge::Digest(digest)) = Challenge::parse(field) else { panic!() };
        let credentials = ("Mufasa".to_owned(), "Circle Of Life".to_owned());
        let answer = digest.answer(&credentials, "GET", "/dir/index.html", "0a4f113b");
        assert!(answer.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{answer}");
        assert!(answer.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""), "{answer}");
    }

    #[test]
    fn odd_challenges_do_no_harm() {
        for field in [
            "",
            "Digest",
            "Digest nonce",
            "Digest nonce=\"unclosed",
            "Digest a=b,,=,c=\"\\",
            "Digest nonce=x, qop=auth-int",
            "Digest nonce=x, algorithm=SHA-256",
        ] {
            let _ = Challenge::parse(field);
        }
        assert_eq!(Challenge::parse("Digest nonce=x, algorithm=SHA-256"), None);
    }
}
