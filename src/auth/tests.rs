//! Identities and rules as tables.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::conf::daemon::auth::{ApiKey, ApiKeys, Jwt, Rule, TrustedHeaders, Who};
use crate::plan::Turn;
use crate::service::permit::{Feature, Kind};
use crate::wire::{Headers, Method};

fn request(query: &str, fields: &[(&str, &str)]) -> Request {
    Request {
        method: Method::Get,
        path: "/service".into(),
        query: query.into(),
        scheme: "http",
        script_name: String::new(),
        headers: Headers(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()),
        body: Vec::new(),
        peer: None,
    }
}

fn question(kind: Kind, feature: Option<Feature>, layer: &str, level: Option<u32>) -> Question {
    let layers = vec![layer.to_owned()];
    Question { kind, service: "wms.map", feature, asked: layers.clone(), layers, extent: None, level }
}

fn rule(who: Who) -> Rule {
    Rule {
        who,
        users: Vec::new(),
        groups: Vec::new(),
        maps: Vec::new(),
        services: Vec::new(),
        layers: Vec::new(),
        features: Vec::new(),
        levels: None,
        limited_to: None,
        allow: true,
    }
}

const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

fn auth() -> Auth {
    let sha256 = |key: &str| {
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref());
        digest
    };
    let key =
        json!({"keys": [{"kty": "oct", "kid": "one", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET)}]});
    Auth {
        realm: "ma\"ps".into(),
        api_keys: Some(ApiKeys {
            header: "X-Api-Key".into(),
            parameter: Some("api_key".into()),
            keys: vec![ApiKey {
                sha256: sha256("k1"),
                user: "robot".into(),
                groups: vec!["machines".into()],
            }],
        }),
        passwords: Some(vec![("ann".into(), bcrypt::hash("pass:word", 4).unwrap())]),
        jwt: Some(Jwt {
            jwks: key.to_string(),
            algorithms: vec!["HS256".into()],
            issuer: Some("us".into()),
            audience: Some("maps".into()),
            user_claim: "sub".into(),
            groups_claim: "groups".into(),
            leeway_s: 5,
            parameter: Some("token".into()),
        }),
        trusted_headers: Some(TrustedHeaders { user: "X-User".into(), groups: Some("X-Groups".into()) }),
        groups: [("ann".to_owned(), vec!["staff".to_owned()])].into(),
        rules: Vec::new(),
        external: None,
    }
}

fn token(claims: serde_json::Value, algorithm: Algorithm, secret: &[u8]) -> String {
    encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// `user[groups]`, `nobody` or `wrong`.
fn found(identities: &Identities, request: &Request) -> String {
    let identity = match identities.find(request) {
        Found::Nobody => return "nobody".into(),
        Found::Wrong => return "wrong".into(),
        Found::Known(identity) => Some(identity),
        Found::Check(credentials) => identities.check(&credentials),
    };
    identity.map_or("wrong".into(), |identity| format!("{}[{}]", identity.user, identity.groups.join(",")))
}

#[test]
fn credentials_name_somebody_or_are_wrong() {
    let identities = Identities::new(&auth()).unwrap();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let later = 4_000_000_000_u64;
    let good = json!({"sub": "eve", "groups": ["b", "a", "b"], "iss": "us", "aud": "maps", "exp": later});
    let bearer = |claims: serde_json::Value| format!("Bearer {}", token(claims, Algorithm::HS256, SECRET));
    let changed = |key: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[key] = value;
        bearer(claims)
    };
    let without = |key: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(key);
        bearer(claims)
    };
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(good.to_string())
    );
    for (query, fields, expected) in [
        ("", vec![], "nobody"),
        ("", vec![("Authorization", "Digest x".to_owned())], "nobody"),
        ("", vec![("X-Api-Key", "k1".into())], "robot[machines]"),
        ("", vec![("X-Api-Key", "k2".into())], "wrong"),
        ("SERVICE=WMS&API_KEY=k1", vec![], "robot[machines]"),
        ("api_key=", vec![], "wrong"),
        ("", vec![("Authorization", basic("ann:pass:word"))], "ann[staff]"),
        ("", vec![("authorization", basic("ann:pass:word").replace("Basic", "bASIC"))], "ann[staff]"),
        ("", vec![("Authorization", basic("ann:other"))], "wrong"),
        ("", vec![("Authorization", basic("bob:pass:word"))], "wrong"),
        ("", vec![("Authorization", basic("nocolon"))], "wrong"),
        ("", vec![("Authorization", "Basic %%%".into())], "wrong"),
        ("", vec![("Authorization", bearer(good.clone()))], "eve[a,b]"),
        ("token=x", vec![], "wrong"),
        ("", vec![("Authorization", changed("exp", 1.into()))], "wrong"),
        ("", vec![("Authorization", changed("nbf", later.into()))], "wrong"),
        ("", vec![("Authorization", changed("iss", "them".into()))], "wrong"),
        ("", vec![("Authorization", changed("aud", "other".into()))], "wrong"),
        ("", vec![("Authorization", changed("groups", "x y".into()))], "eve[x,y]"),
        ("", vec![("Authorization", without("exp"))], "wrong"),
        ("", vec![("Authorization", without("iss"))], "wrong"),
        ("", vec![("Authorization", without("aud"))], "wrong"),
        ("", vec![("Authorization", without("sub"))], "wrong"),
        ("", vec![("Authorization", format!("Bearer {none}"))], "wrong"),
        (
            "",
            vec![("Authorization", format!("Bearer {}", token(good.clone(), Algorithm::HS256, b"other")))],
            "wrong",
        ),
        (
            "",
            vec![("Authorization", format!("Bearer {}", token(good.clone(), Algorithm::HS384, SECRET)))],
            "wrong",
        ),
        ("", vec![("X-User", "pat".into()), ("X-Groups", "b, a,".into())], "pat[a,b]"),
        ("", vec![("X-User", "".into())], "nobody"),
    ] {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(found(&identities, &request(query, &fields)), expected, "{query} {fields:?}");
    }
    // The second time the password need not be hashed.
    let again = request("", &[("Authorization", &basic("ann:pass:word"))]);
    assert!(matches!(identities.find(&again), Found::Known(_)));
    let challenge = identities.challenge("ma\"ps").unwrap();
    assert_eq!(challenge, "Basic realm=\"maps\", charset=\"UTF-8\", Bearer realm=\"maps\"");
}

#[test]
fn keys_are_used_for_what_they_are_only() {
    let jwt = |algorithms: &[&str], keys: serde_json::Value| Jwt {
        algorithms: algorithms.iter().map(|a| (*a).to_owned()).collect(),
        jwks: json!({ "keys": keys }).to_string(),
        ..auth().jwt.unwrap()
    };
    let octets = json!([{"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)}]);
    assert!(token::Tokens::new(&jwt(&["RS256"], octets.clone())).is_err());
    assert!(token::Tokens::new(&jwt(&["HS256"], json!([]))).is_err());
    assert!(token::Tokens::new(&jwt(&["HS256", "RS256"], octets)).is_ok());
}

fn decided(rules: Vec<Rule>, identity: Option<(&str, &[&str])>, question: &Question) -> Permit {
    let layers = ["roads", "rivers", "osm_a", "osm_b"].map(str::to_owned).to_vec();
    let identity = identity.map(|(user, groups)| Identity {
        user: user.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    });
    Rules::new(&rules, "city", layers, true).decide(identity.as_ref(), question)
}

#[test]
fn the_first_rule_that_fits_decides() {
    let named = |users: &[&str], groups: &[&str]| Rule {
        users: users.iter().map(|u| (*u).to_owned()).collect(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        ..rule(Who::Named)
    };
    let list = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>();
    let rules = || {
        vec![
            Rule { layers: list(&["rivers"]), allow: false, ..named(&["mallory"], &[]) },
            Rule { maps: list(&["country"]), ..rule(Who::Anyone) },
            Rule { layers: list(&["osm_*"]), features: list(&["map", "tile"]), ..rule(Who::Anyone) },
            Rule {
                levels: Some((0, 9)),
                layers: list(&["roads"]),
                services: list(&["wmts"]),
                ..rule(Who::SignedIn)
            },
            named(&["ann"], &["staff"]),
            Rule { layers: list(&["rivers"]), ..named(&["mallory"], &[]) },
        ]
    };
    let (map, info, tile) = (Some(Feature::Map), Some(Feature::FeatureInfo), Some(Feature::Tile));
    for (identity, kind, feature, layer, level, expected) in [
        (None, Kind::Wms, map, "osm_a", None, "Partial"),
        (None, Kind::Wms, info, "osm_a", None, "Unauthenticated"),
        (None, Kind::Wms, map, "roads", None, "Unauthenticated"),
        (Some(("x", &[][..])), Kind::Wms, map, "roads", None, "forbidden"),
        (Some(("x", &[])), Kind::Wmts, tile, "roads", Some(9), "Partial"),
        (Some(("x", &[])), Kind::Wmts, tile, "roads", Some(10), "forbidden"),
        (Some(("x", &[])), Kind::Tms, tile, "roads", Some(9), "forbidden"),
        (Some(("x", &["staff"])), Kind::Tms, tile, "roads", Some(30), "Full"),
        (Some(("ann", &[])), Kind::Wms, info, "rivers", None, "Full"),
        (Some(("mallory", &[])), Kind::Wms, map, "rivers", None, "forbidden"),
        (Some(("x", &[])), Kind::Demo, None, "", None, "Partial"),
    ] {
        let question = question(kind, feature, layer, level);
        let permit = decided(rules(), identity, &question);
        let told = match &permit {
            Permit::Partial(partial) if partial.forbids(&question) => "forbidden".to_owned(),
            permit => format!("{permit:?}").chars().take_while(|c| c.is_alphanumeric()).collect(),
        };
        assert_eq!(told, expected, "{identity:?} {kind:?} {feature:?} {layer} {level:?}");
    }
    let nothing = decided(Vec::new(), Some(("ann", &[])), &question(Kind::Wms, None, "", None));
    assert!(matches!(nothing, Permit::None));
}

#[test]
fn passwords_are_checked_on_a_thread() {
    let auth = Auth { rules: vec![rule(Who::SignedIn)], ..auth() };
    let keeper = Gatekeeper::new(&auth, "", vec!["roads".into()]).unwrap();
    let field = format!("Basic {}", STANDARD.encode("ann:pass:word"));
    let asks = request("", &[("Authorization", &field)]);
    let question = question(Kind::Wms, Some(Feature::Map), "roads", None);
    let Verdict::Wait(wait) = keeper.decide(&asks, &question) else { panic!("it takes time") };
    assert!(matches!(wait(&Turn::ungated()), Permit::Full));
    assert!(matches!(keeper.decide(&asks, &question), Verdict::Known(Permit::Full)));
    assert!(keeper.depends_on().contains("Authorization") && keeper.depends_on().contains("X-Api-Key"));
}
