//! From a request to whoever sent it: fields of trusted proxies, API keys,
//! tokens, passwords. Wrong credentials are never nobody's: who gives some
//! must give right ones.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::Identity;
use super::token::Tokens;
use crate::conf::daemon::auth::{ApiKeys, Auth, TrustedHeaders};
use crate::wire::Request;
use crate::wire::url::Query;

/// How long a password that was right need not be hashed again: hashing one
/// takes some fifty milliseconds on purpose.
const PASSWORD_KEPT: Duration = Duration::from_secs(300);
/// Passwords that are remembered.
const PASSWORDS_MAX: usize = 1_000;
/// What `htpasswd -B` and most others take.
const BCRYPT_COST: u32 = 10;

/// What a request says about its sender.
pub(super) enum Found {
    Nobody,
    Known(Identity),
    Wrong,
    /// It takes a while to find out.
    Check(Credentials),
}

/// A user's name and what he says is his password.
pub(super) struct Credentials {
    user: String,
    password: String,
}

pub(super) struct Identities {
    api_keys: Option<ApiKeys>,
    passwords: Option<HashMap<String, String>>,
    tokens: Option<Tokens>,
    trusted_headers: Option<TrustedHeaders>,
    remote_user: bool,
    groups: HashMap<String, Vec<String>>,
    /// Digests of right passwords, under a secret of this process.
    seen: Mutex<HashMap<[u8; 32], Instant>>,
    secret: [u8; 32],
    /// A hash of nobody's password: checking it takes as long as any other, so
    /// that the time does not tell which users there are.
    nobody: OnceLock<String>,
}

impl Identities {
    pub fn new(auth: &Auth) -> Result<Identities, Vec<String>> {
        let mut secret = [0; 32];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| vec!["no random numbers for a secret".to_owned()])?;
        Ok(Identities {
            api_keys: auth.api_keys.clone(),
            passwords: auth.passwords.as_ref().map(|users| users.iter().cloned().collect()),
            tokens: auth.jwt.as_ref().map(Tokens::new).transpose()?,
            trusted_headers: auth.trusted_headers.clone(),
            remote_user: auth.remote_user,
            groups: auth.groups.clone(),
            seen: Mutex::default(),
            secret,
            nobody: OnceLock::new(),
        })
    }

    /// Whether somebody who is not known could be.
    pub fn can_sign_in(&self) -> bool {
        self.api_keys.is_some()
            || self.passwords.is_some()
            || self.tokens.is_some()
            || self.trusted_headers.is_some()
            || self.remote_user
    }

    /// Fields of a request that say who sent it.
    pub fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        if self.remote_user {
            // By these a web server knows whom it has let in.
            fields.extend(["Authorization".to_owned(), "Cookie".to_owned()]);
        }
        if self.passwords.is_some() || self.tokens.is_some() {
            fields.push("Authorization".to_owned());
        }
        fields.extend(self.api_keys.iter().map(|keys| keys.header.clone()));
        if let Some(headers) = &self.trusted_headers {
            fields.push(headers.user.clone());
            fields.extend(headers.groups.clone());
        }
        fields
    }

    /// What a 401 says about how to come in.
    pub fn challenge(&self, realm: &str) -> Option<String> {
        let realm: String =
            realm.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        let mut schemes = Vec::new();
        if self.passwords.is_some() {
            schemes.push(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
        }
        if self.tokens.is_some() {
            schemes.push(format!("Bearer realm=\"{realm}\""));
        }
        (!schemes.is_empty()).then(|| schemes.join(", "))
    }

    /// Whose request it is, as far as that is told quickly.
    pub fn find(&self, request: &Request) -> Found {
        if let Some(found) = self.find_named(request) {
            return found;
        }
        if let Some(user) = request.remote_user.as_ref().filter(|_| self.remote_user) {
            return Found::Known(self.identity(user, Vec::new()));
        }
        if let Some(found) = self.find_key(request) {
            return found;
        }
        let bearer = self.tokens.as_ref().and_then(|tokens| Some((tokens, tokens.of(request)?)));
        if let Some((tokens, token)) = bearer {
            return match tokens.verify(&token) {
                Some((user, groups)) => Found::Known(self.identity(&user, groups)),
                None => Found::Wrong,
            };
        }
        let Some(passwords) = &self.passwords else { return Found::Nobody };
        let Some(credentials) = basic(request) else { return Found::Nobody };
        let Some(credentials) = credentials else { return Found::Wrong };
        if passwords.contains_key(&credentials.user) && self.was_right(&credentials) {
            return Found::Known(self.identity(&credentials.user, Vec::new()));
        }
        Found::Check(credentials)
    }

    /// The user that a trusted proxy names; others' fields were taken out before.
    fn find_named(&self, request: &Request) -> Option<Found> {
        let names = self.trusted_headers.as_ref()?;
        let user = request.headers.get(&names.user).filter(|user| !user.is_empty())?;
        let fields = [Some(&names.user), names.groups.as_ref()];
        // The proxy has added its field to one that the client sent.
        if fields.into_iter().flatten().any(|name| request.headers.all(name).count() > 1) {
            return Some(Found::Wrong);
        }
        let list = names.groups.as_ref().and_then(|name| request.headers.get(name)).unwrap_or_default();
        let groups = list.split(',').map(str::trim).filter(|group| !group.is_empty());
        Some(Found::Known(self.identity(user, groups.map(str::to_owned).collect())))
    }

    fn find_key(&self, request: &Request) -> Option<Found> {
        let keys = self.api_keys.as_ref()?;
        let query;
        let key = match (request.headers.get(&keys.header), &keys.parameter) {
            (Some(key), _) => key,
            (None, Some(name)) if !request.query.is_empty() => {
                query = Query::parse(&request.query);
                query.get(name)?
            }
            _ => return None,
        };
        // Digests are compared: how long that takes says nothing about a key.
        let sha256 = digest(&SHA256, key.as_bytes());
        let found = keys.keys.iter().find(|known| known.sha256 == sha256.as_ref());
        Some(
            found
                .map_or(Found::Wrong, |known| Found::Known(self.identity(&known.user, known.groups.clone()))),
        )
    }

    /// Hashes the password: takes a while.
    pub fn check(&self, credentials: &Credentials) -> Option<Identity> {
        let hash = self.passwords.as_ref()?.get(&credentials.user);
        let nobody = || self.nobody.get_or_init(|| bcrypt::hash("", BCRYPT_COST).unwrap_or_default());
        let hash_or_nobody = hash.unwrap_or_else(nobody);
        let is_right = bcrypt::verify(&credentials.password, hash_or_nobody).unwrap_or(false);
        if !is_right || hash.is_none() {
            return None;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= PASSWORDS_MAX {
            seen.clear();
        }
        seen.insert(self.fingerprint(credentials), Instant::now());
        Some(self.identity(&credentials.user, Vec::new()))
    }

    fn was_right(&self, credentials: &Credentials) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&self.fingerprint(credentials)).is_some_and(|at| at.elapsed() < PASSWORD_KEPT)
    }

    fn fingerprint(&self, credentials: &Credentials) -> [u8; 32] {
        let mut text = self.secret.to_vec();
        text.extend((credentials.user.len() as u64).to_be_bytes());
        text.extend(credentials.user.as_bytes());
        text.extend(credentials.password.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &text).as_ref());
        fingerprint
    }

    fn identity(&self, user: &str, mut groups: Vec<String>) -> Identity {
        groups.extend(self.groups.get(user).into_iter().flatten().cloned());
        groups.sort_unstable();
        groups.dedup();
        Identity { user: user.to_owned(), groups }
    }
}

/// The credentials of scheme Basic: `None` where there are none, `Some(None)`
/// where they are malformed.
fn basic(request: &Request) -> Option<Option<Credentials>> {
    let (scheme, rest) = request.headers.get("Authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Some(decoded.and_then(|text| {
        let (user, password) = text.split_once(':')?;
        Some(Credentials { user: user.to_owned(), password: password.to_owned() })
    }))
}
