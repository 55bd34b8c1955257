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
        remote_user: None,
        user: None,
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
        remote_user: false,
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
        ("", vec![("X-User", "root".into()), ("x-user", "pat".into())], "wrong"),
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

/// A key made for this test and used nowhere else.
const RSA_DER: &str = "MIIEowIBAAKCAQEAsrLtHsD331WTTXlstHdOp2B9bV4zB2uNhp+LMIT6XZf+BHCNAGYPR+HOari6I40lGE1gcz9gn32hVR3c\
    lAC8fNnCzHR56k3iXHa7xovHVjYpdQjXUN4QY6dasG8cDwajN9+Qx3s8oQMRDzqWTng2/GWwHxSCJyOzcYY1EpNWfYKVR/EA\
    CRUh4PRtsB4tmbXZT/QhHN0AmxsyMq/2PYcKJh+VtE2G6gDVT01ahaOowAHCnaLkrRHGHyfMwtGx23ul8T8F8fBwXWA2y1Ld\
    Jx41oX3u1BvCauEEMEiP1wEJjblyXQMIU4VbgONVn0xfYHyIEkvy1TvfTxHbLl7xHxtAwQIDAQABAoIBAAcQxonfAN36fPjE\
    +oyXJAu/p63tmdBrCv097Su1sk2FjzRfO9/+aQ/DSJ1VIPz7XXJcytm7sYcU2U5rgBd1AP7hwE9DsrdWLYNQ6YND7xWETjbT\
    qunGYfkCurX7qq0YatcwdoHAqGjIXYIP47YGEEyB+8j6z1ubUILGVu5dV3/eWzuTn31hT13ETYO4tXeKatp8aRSFflATNK6s\
    OnlJcHrweBOpEeBXo0Wd+GgSOdZJqnb0b7JxF/3y/4sy4oDY4u7tpV0CHgn1qTCeSHz2wK8XbCXu7b+vl+VR2MhyxQTmHWUk\
    5eJ5kdsIYgd74EYUu3fFRhSSyKPklD6lcU3DYd0CgYEA2+tIeNj0bR23A9OjjTZt+HAHy79RL0Fdw8Mq7xYi3I7II4ZUbQYN\
    mu3S9W8NacLoWU6erA4ec0AYkR7VXxSrjDOWY0rpMu3ddCNhZ+XwnhoBd9SNwe88Bg91XsyyMyJ2smCvOkBXBv126qPy8Gi/\
    xK+bwWKJ3cmFGt4iUHLPU8UCgYEA0ARgGwIcCddm4RQaSKJSofom0B+rTM/FtGTPLt4YQNGPm9udHsoW4aN5KFm6otGUiH2u\
    hu1dPMlgDBOUnnqz90ew2xkWf75UI7fgWyxbsH15CGNN6n1wOoZP1bNjg3CoDxHC67N0Pl+WTOmGwSTWEwmzS5HHi/B5AOcH\
    AxnXPM0CgYEAxmHtY05a19+5S5Nr8yPJehYdgjeYVaeCnOh+32Q5mHqYois4F40hUsP8zHgcQm6XSJC6Y/zsjQyh3K9SzU2J\
    HpUesX1O9ilK3sxXvvDW6NgOwPkV038qx1DEkPrYOXZ6WpkLGOIXX2/gCPRSX3oum4/KUl3AfjiegMknbSjUS/0CgYB1voRH\
    xWHpkCuDq8VU58yuMtJVbBeiWtklywobFUvVJMmNBzpgezOIdOfXlzK1hrv0pm9roF/uUG41Z7/wFLRZfBL3cbPyiuFFdodg\
    FDOyKtOfk9Y+rNIhznTSGcByXgpCvWL/14ws4h5JWsYT/a3PCOacF+BDrdJQWHT3pGDY4QKBgC1p7+3EcAYsswQd+KkvUQR+\
    lBFVQ6u/quW1Kki/yPC2Pcl1OrhZVaIoQsA/bkFxPsHEuqXcnTe3XqGCvKRIjkqr5ylDnWGA5oEX0/QeGp9j7l/DxAetJn0o\
    apmShEDd+mck2Kpp5pjKosqExzHEfUDq21BaPeWBKYj7aYaNmS8y";
const RSA_MODULUS: &str = "srLtHsD331WTTXlstHdOp2B9bV4zB2uNhp-LMIT6XZf-BHCNAGYPR-HOari6I40lGE1gcz9gn32hVR3clAC8fNnCzHR56k3i\
    XHa7xovHVjYpdQjXUN4QY6dasG8cDwajN9-Qx3s8oQMRDzqWTng2_GWwHxSCJyOzcYY1EpNWfYKVR_EACRUh4PRtsB4tmbXZ\
    T_QhHN0AmxsyMq_2PYcKJh-VtE2G6gDVT01ahaOowAHCnaLkrRHGHyfMwtGx23ul8T8F8fBwXWA2y1LdJx41oX3u1BvCauEE\
    MEiP1wEJjblyXQMIU4VbgONVn0xfYHyIEkvy1TvfTxHbLl7xHxtAwQ";

#[test]
fn tokens_of_every_kind_are_verified() {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    let random = SystemRandom::new();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed_public = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec_pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap();
    let point = ec_pair.public_key().as_ref();
    let keys = json!([
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(ed_public.public_key().as_ref())},
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": text(&point[1..33]), "y": text(&point[33..])},
        {"kty": "RSA", "kid": "rsa", "n": RSA_MODULUS, "e": "AQAB"},
        {"kty": "oct", "kid": "oct", "k": text(SECRET)},
    ]);
    let rsa = STANDARD.decode(RSA_DER).unwrap();
    let encoding = [
        (Algorithm::EdDSA, EncodingKey::from_ed_der(ed.as_ref())),
        (Algorithm::ES256, EncodingKey::from_ec_der(ec.as_ref())),
        (Algorithm::RS256, EncodingKey::from_rsa_der(&rsa)),
        (Algorithm::PS384, EncodingKey::from_rsa_der(&rsa)),
        (Algorithm::HS512, EncodingKey::from_secret(SECRET)),
        // Signed with what everybody may know.
        (Algorithm::HS256, EncodingKey::from_secret(RSA_MODULUS.as_bytes())),
    ];
    let all = ["EdDSA", "ES256", "RS256", "PS384", "HS512", "HS256"];
    let jwt = |algorithms: &[&str]| Jwt {
        jwks: json!({ "keys": keys }).to_string(),
        algorithms: algorithms.iter().map(|a| (*a).to_owned()).collect(),
        issuer: None,
        audience: None,
        ..auth().jwt.unwrap()
    };
    let claims = json!({"sub": "eve", "aud": "anybody", "exp": 4_000_000_000_u64});
    for (at, (algorithm, key)) in encoding.iter().enumerate() {
        for kid in [None, Some("ed"), Some("ec"), Some("rsa"), Some("oct"), Some("other")] {
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(*algorithm) };
            let token = encode(&header, &claims, key).unwrap();
            let own = ["ed", "ec", "rsa", "rsa", "oct", ""][at];
            let is_right = at < 5 && kid.is_none_or(|kid| kid == own);
            let tokens = token::Tokens::new(&jwt(&all)).unwrap();
            assert_eq!(tokens.verify(&token).is_some(), is_right, "{algorithm:?} {kid:?}");
            let others: Vec<&str> = all.into_iter().filter(|name| *name != all[at]).collect();
            let tokens = token::Tokens::new(&jwt(&others)).unwrap();
            assert_eq!(tokens.verify(&token), None, "{algorithm:?} is not allowed");
        }
    }
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
    let decision = wait(&Turn::ungated());
    assert!(matches!(decision.permit, Permit::Full) && decision.user.as_deref() == Some("ann"));
    let Verdict::Known(decision) = keeper.decide(&asks, &question) else { panic!("it is known by now") };
    assert!(matches!(decision.permit, Permit::Full) && decision.user.as_deref() == Some("ann"));
    assert!(keeper.depends_on().contains("Authorization") && keeper.depends_on().contains("X-Api-Key"));
}
