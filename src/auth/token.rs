//! JSON Web Tokens: signed by one of the keys of a file (JWKS), by one of the
//! algorithms that the operator names, for us, and not expired. Keys are not
//! fetched: which are right is the operator's decision, and a reload's matter.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::conf::daemon::auth::Jwt;
use crate::log;
use crate::wire::Request;
use crate::wire::url::Query;

struct Key {
    id: Option<String>,
    /// What the key can be used for: a key is never used in another way.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

pub(super) struct Tokens {
    keys: Vec<Key>,
    validation: Validation,
    user_claim: String,
    groups_claim: String,
    parameter: Option<String>,
}

impl Tokens {
    pub fn new(jwt: &Jwt) -> Result<Tokens, Vec<String>> {
        let wrong = |text: String| vec![format!("auth.jwt: {text}")];
        let set: JwkSet = serde_json::from_str(&jwt.jwks)
            .map_err(|error| wrong(format!("jwks_file is no JWKS: {error}")))?;
        let algorithms: Vec<Algorithm> = jwt.algorithms.iter().filter_map(|name| name.parse().ok()).collect();
        let Some(&first) = algorithms.first() else { return Err(wrong("no algorithms".into())) };
        let mut keys = Vec::new();
        for jwk in &set.keys {
            let fitting: Vec<Algorithm> =
                algorithms.iter().copied().filter(|algorithm| fits(jwk, *algorithm)).collect();
            if fitting.is_empty() {
                continue;
            }
            let key = DecodingKey::from_jwk(jwk)
                .map_err(|error| wrong(format!("a key cannot be used: {error}")))?;
            keys.push(Key { id: jwk.common.key_id.clone(), algorithms: fitting, key });
        }
        if keys.is_empty() {
            return Err(wrong("no key of jwks_file fits any of the algorithms".into()));
        }
        let mut validation = Validation::new(first);
        validation.algorithms = algorithms;
        validation.leeway = jwt.leeway_s;
        validation.validate_nbf = true;
        // A token for somebody else is none for us, unless the operator says so.
        validation.validate_aud = jwt.audience.is_some();
        if let Some(audience) = &jwt.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if let Some(issuer) = &jwt.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        Ok(Tokens {
            keys,
            validation,
            user_claim: jwt.user_claim.clone(),
            groups_claim: jwt.groups_claim.clone(),
            parameter: jwt.parameter.clone(),
        })
    }

    /// The token that a request bears.
    pub fn of(&self, request: &Request) -> Option<String> {
        let field = request.headers.get("Authorization").and_then(|field| field.split_once(' '));
        if let Some((scheme, token)) = field
            && scheme.eq_ignore_ascii_case("bearer")
        {
            return Some(token.trim().to_owned());
        }
        let name = self.parameter.as_ref().filter(|_| !request.query.is_empty())?;
        Query::parse(&request.query).get(name).map(str::to_owned)
    }

    /// User and groups of a token that holds.
    pub fn verify(&self, token: &str) -> Option<(String, Vec<String>)> {
        let header = decode_header(token).ok()?;
        let fitting = self.keys.iter().filter(|key| {
            let is_named = header.kid.is_none() || key.id.is_none() || key.id == header.kid;
            is_named && key.algorithms.contains(&header.alg)
        });
        let mut reason = "no key fits".to_owned();
        for key in fitting {
            let mut validation = self.validation.clone();
            // Only what this key is for: jsonwebtoken wants one family of them.
            validation.algorithms.clone_from(&key.algorithms);
            match decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(data) => return self.read(&data.claims),
                Err(error) => reason = error.to_string(),
            }
        }
        log::debug!("a token is refused: {reason}");
        None
    }

    fn read(&self, claims: &Map<String, Value>) -> Option<(String, Vec<String>)> {
        let user = claims.get(&self.user_claim)?.as_str()?.to_owned();
        let groups = match claims.get(&self.groups_claim) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            // OAuth's `scope` is a list in one text.
            Some(Value::String(text)) => {
                text.split([' ', ',']).filter(|g| !g.is_empty()).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Some((user, groups))
    }
}

/// Whether a key may check signatures of that algorithm.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let declared = jwk.common.key_algorithm.map(|declared| declared.to_string());
    if declared.is_some_and(|declared| declared != format!("{algorithm:?}")) {
        return false;
    }
    use jsonwebtoken::jwk::EllipticCurve::{P256, P384};
    match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => {
            matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
        }
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(key) => {
            (algorithm == Algorithm::ES256 && key.curve == P256)
                || (algorithm == Algorithm::ES384 && key.curve == P384)
        }
        AlgorithmParameters::OctetKeyPair(_) => algorithm == Algorithm::EdDSA,
    }
}
