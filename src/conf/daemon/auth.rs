//! `auth:` of the daemon's file: who is who, and who may see what.

use std::collections::HashMap;
use std::path::Path;

use crate::conf::files::FileSet;
use crate::conf::finding::Findings;
use crate::conf::node::{Node, Value};
use crate::conf::schema::Kind::{Any, Bool, Choice, Int, List, Map, OneOf, Text};
use crate::conf::schema::{Table, key};
use crate::geo::{Coverage, Extent, Srs};

pub static AUTH: Table = Table {
    path: "auth",
    keys: &[
        key("realm", Text),
        key("api_keys", Map(&[&API_KEYS])),
        key("basic", Map(&[&BASIC])),
        key("jwt", Map(&[&JWT])),
        key("trusted_headers", Map(&[&HEADERS])),
        key("remote_user", Bool),
        key("groups", Any),
        key("rules", List(&Map(&[&RULE]))),
        key("external", Map(&[&EXTERNAL])),
    ],
};

static API_KEYS: Table = Table {
    path: "auth.api_keys",
    keys: &[
        key("header", Text),
        key("parameter", OneOf(&[Text, Bool])),
        key("keys", List(&Map(&[&API_KEY]))),
    ],
};

static API_KEY: Table = Table {
    path: "auth.api_keys.keys",
    keys: &[key("sha256", Text), key("user", Text), key("groups", List(&Text))],
};

static BASIC: Table = Table { path: "auth.basic", keys: &[key("users_file", Text)] };

static JWT: Table = Table {
    path: "auth.jwt",
    keys: &[
        key("jwks_file", Text),
        key("algorithms", List(&Choice(JWT_ALGORITHMS))),
        key("issuer", Text),
        key("audience", Text),
        key("user_claim", Text),
        key("groups_claim", Text),
        key("leeway_s", Int),
        key("parameter", Text),
    ],
};

static HEADERS: Table =
    Table { path: "auth.trusted_headers", keys: &[key("user", Text), key("groups", Text)] };

static RULE: Table = Table {
    path: "auth.rules",
    keys: &[
        key("who", Choice(&["anyone", "signed_in"])),
        key("users", List(&Text)),
        key("groups", List(&Text)),
        key("maps", List(&Text)),
        key("services", List(&Choice(SERVICES))),
        key("layers", List(&Text)),
        key("features", List(&Choice(FEATURES))),
        key("levels", Map(&[&LEVELS])),
        key("limited_to", Map(&[&LIMITED_TO])),
        key("allow", Bool),
    ],
};

static LEVELS: Table = Table { path: "auth.rules.levels", keys: &[key("from", Int), key("to", Int)] };

static LIMITED_TO: Table = Table {
    path: "auth.rules.limited_to",
    keys: &[key("geometry", Any), key("file", Text), key("srs", Text)],
};

static EXTERNAL: Table = Table {
    path: "auth.external",
    keys: &[
        key("url", Text),
        key("fields", List(&Text)),
        key("with_extent", Bool),
        key("cache_s", Int),
        key("timeout_ms", Int),
    ],
};

/// What a JWT may be signed with.
pub const JWT_ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "EdDSA",
];
/// The services that rules name.
pub const SERVICES: &[&str] = &["wms", "wmts", "tms", "kml", "ogcapi", "demo"];
/// What is done with a layer, as MapProxy spells it.
pub const FEATURES: &[&str] = &["map", "featureinfo", "tile"];

const CACHE_S: u64 = 60;
const CACHE_MAX_S: u64 = 86_400;
const TIMEOUT_MS: u64 = 5_000;
const TIMEOUT_MAX_MS: u64 = 60_000;
const LEEWAY_MAX_S: u64 = 3_600;

/// `auth:`, resolved.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    pub realm: String,
    pub api_keys: Option<ApiKeys>,
    /// User and bcrypt hash.
    pub passwords: Option<Vec<(String, String)>>,
    pub jwt: Option<Jwt>,
    pub trusted_headers: Option<TrustedHeaders>,
    /// `REMOTE_USER` of FastCGI, SCGI and uwsgi names the user.
    pub remote_user: bool,
    /// Groups by user, on top of those that an identity brings.
    pub groups: HashMap<String, Vec<String>>,
    /// The first that fits decides; empty with `external`.
    pub rules: Vec<Rule>,
    pub external: Option<External>,
}

#[derive(Clone, Debug)]
pub struct ApiKeys {
    pub header: String,
    pub parameter: Option<String>,
    pub keys: Vec<ApiKey>,
}

#[derive(Clone, Debug)]
pub struct ApiKey {
    pub sha256: [u8; 32],
    pub user: String,
    pub groups: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Jwt {
    /// Text of the JWKS file.
    pub jwks: String,
    pub algorithms: Vec<String>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub user_claim: String,
    pub groups_claim: String,
    pub leeway_s: u64,
    /// A parameter of the query that may bear the token too.
    pub parameter: Option<String>,
}

#[derive(Clone, Debug)]
pub struct TrustedHeaders {
    pub user: String,
    pub groups: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Anyone,
    SignedIn,
    /// Whom `users` and `groups` name.
    Named,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub who: Who,
    pub users: Vec<String>,
    pub groups: Vec<String>,
    /// Names with `*`; empty: all.
    pub maps: Vec<String>,
    pub services: Vec<String>,
    pub layers: Vec<String>,
    pub features: Vec<String>,
    /// From, to, both included.
    pub levels: Option<(u32, u32)>,
    pub limited_to: Option<Coverage>,
    pub allow: bool,
}

#[derive(Clone, Debug)]
pub struct External {
    pub url: String,
    /// Fields of the request that are passed on, and tell askers apart.
    pub fields: Vec<String>,
    pub with_extent: bool,
    pub cache_s: u64,
    pub timeout_ms: u64,
}

/// Reads `auth:`; relative paths count from `dir`.
pub(super) fn read(node: &Node, dir: &Path, files: &mut FileSet, findings: &mut Findings) -> Auth {
    let mut reader = Reader { dir, files, findings };
    let auth = Auth {
        realm: text(node, "realm").unwrap_or_else(|| "maps".to_owned()),
        api_keys: node.get("api_keys").map(|node| reader.api_keys(node)),
        passwords: node.get("basic").map(|node| reader.passwords(node)),
        jwt: node.get("jwt").and_then(|node| reader.jwt(node)),
        trusted_headers: node.get("trusted_headers").and_then(|node| reader.trusted_headers(node)),
        remote_user: node.get("remote_user").and_then(Node::bool).unwrap_or(false),
        groups: node.get("groups").map(|node| reader.groups(node)).unwrap_or_default(),
        rules: node.get("rules").map(|node| reader.rules(node)).unwrap_or_default(),
        external: node.get("external").and_then(|node| reader.external(node)),
    };
    if node.get("rules").is_some() == node.get("external").is_some() {
        let text = "needs either `rules` or `external`: who decides?";
        reader.findings.error(node.place, "auth", text);
    }
    auth
}

struct Reader<'a> {
    dir: &'a Path,
    files: &'a mut FileSet,
    findings: &'a mut Findings,
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::text).map(str::to_owned)
}

fn texts(node: &Node, key: &str) -> Vec<String> {
    let items = node.get(key).map(Node::items).unwrap_or_default();
    items.iter().filter_map(Node::text).map(str::to_owned).collect()
}

impl Reader<'_> {
    fn error(&mut self, node: &Node, path: impl Into<String>, text: impl Into<String>) {
        self.findings.error(node.place, path, text);
    }

    /// A whole number within bounds.
    fn number(&mut self, node: &Node, path: &str, key: &str, default: u64, most: u64) -> u64 {
        let Some(value) = node.get(key) else { return default };
        match value.int().map(u64::try_from) {
            Some(Ok(number)) if number <= most => number,
            _ => {
                self.error(value, format!("{path}.{key}"), format!("must be from 0 to {most}"));
                default
            }
        }
    }

    fn file(&mut self, node: &Node, path: &str) -> Option<String> {
        let name = self.dir.join(node.text()?);
        let found = match self.files.read(&name) {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).map_err(|_| "it is not UTF-8".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(text) => Some(text),
            Err(error) => {
                self.error(node, path, format!("cannot read {}: {error}", name.display()));
                None
            }
        }
    }

    /// The name of a header field or of a parameter.
    fn name(&mut self, node: &Node, path: &str, key: &str, default: Option<&str>) -> Option<String> {
        let Some(value) = node.get(key) else { return default.map(str::to_owned) };
        let name = value.text()?;
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            return Some(name.to_owned());
        }
        self.error(value, format!("{path}.{key}"), format!("\"{name}\" is not the name of a field"));
        None
    }

    fn api_keys(&mut self, node: &Node) -> ApiKeys {
        let path = "auth.api_keys";
        let parameter = match node.get("parameter").map(|node| &node.value) {
            Some(Value::Bool(false)) => None,
            _ => self.name(node, path, "parameter", Some("api_key")),
        };
        let header = self.name(node, path, "header", Some("X-Api-Key")).unwrap_or_default();
        let items = node.get("keys").map(Node::items).unwrap_or_default();
        if items.is_empty() {
            self.error(node, path, "needs `keys`: a list of {sha256: …, user: …}");
        }
        let mut keys = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let digest = text(item, "sha256").and_then(|digits| digest_of(&digits));
            match (digest, text(item, "user")) {
                (Some(sha256), Some(user)) => {
                    keys.push(ApiKey { sha256, user, groups: texts(item, "groups") });
                }
                (None, _) => {
                    let text = "needs `sha256`, 64 hexadecimal digits: `printf %s KEY | sha256sum`";
                    self.error(item, format!("{path}.keys[{at}]"), text);
                }
                (_, None) => {
                    self.error(item, format!("{path}.keys[{at}]"), "needs `user`, a name for its holder")
                }
            }
        }
        ApiKeys { header, parameter, keys }
    }

    /// `user:hash` by line, as `htpasswd -B` writes it.
    fn passwords(&mut self, node: &Node) -> Vec<(String, String)> {
        let path = "auth.basic.users_file";
        let Some(file) = node.get("users_file") else {
            self.error(
                node,
                "auth.basic",
                "needs `users_file`: lines of user:hash, as `htpasswd -B` writes them",
            );
            return Vec::new();
        };
        let Some(text) = self.file(file, path) else { return Vec::new() };
        let mut users = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let is_bcrypt =
                |hash: &str| hash.len() == 60 && ["$2a$", "$2b$", "$2y$"].iter().any(|p| hash.starts_with(p));
            match line.split_once(':').map(|(user, hash)| (user, hash.trim())) {
                Some((user, hash)) if is_bcrypt(hash) => users.push((user.to_owned(), hash.to_owned())),
                _ => {
                    let text = format!("line {} is not user:hash with a bcrypt hash (`htpasswd -B`)", at + 1);
                    self.error(file, path, text);
                }
            }
        }
        users
    }

    fn jwt(&mut self, node: &Node) -> Option<Jwt> {
        let path = "auth.jwt";
        let (Some(file), algorithms) = (node.get("jwks_file"), texts(node, "algorithms")) else {
            self.error(node, path, "needs `jwks_file`, the keys that tokens may be signed with");
            return None;
        };
        if algorithms.is_empty() {
            self.error(node, path, "needs `algorithms`: which ones does the issuer use? For example [RS256]");
        }
        Some(Jwt {
            jwks: self.file(file, "auth.jwt.jwks_file")?,
            algorithms,
            issuer: text(node, "issuer"),
            audience: text(node, "audience"),
            user_claim: text(node, "user_claim").unwrap_or_else(|| "sub".to_owned()),
            groups_claim: text(node, "groups_claim").unwrap_or_else(|| "groups".to_owned()),
            leeway_s: self.number(node, path, "leeway_s", 60, LEEWAY_MAX_S),
            parameter: self.name(node, path, "parameter", None),
        })
    }

    fn trusted_headers(&mut self, node: &Node) -> Option<TrustedHeaders> {
        let path = "auth.trusted_headers";
        let Some(user) = self.name(node, path, "user", None) else {
            self.error(node, path, "needs `user`, the field in which the proxy names the user");
            return None;
        };
        Some(TrustedHeaders { user, groups: self.name(node, path, "groups", None) })
    }

    /// `group: [user, …]`, turned round.
    fn groups(&mut self, node: &Node) -> HashMap<String, Vec<String>> {
        let mut by_user: HashMap<String, Vec<String>> = HashMap::new();
        let Value::Map(entries) = &node.value else {
            self.error(node, "auth.groups", "must be a mapping: a group and the list of its users");
            return by_user;
        };
        for entry in entries {
            let group = entry.key.to_string();
            for user in entry.value.items().iter().filter_map(Node::text) {
                by_user.entry(user.to_owned()).or_default().push(group.clone());
            }
        }
        by_user
    }

    fn rules(&mut self, node: &Node) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (at, item) in node.items().iter().enumerate() {
            let path = format!("auth.rules[{at}]");
            let (users, groups) = (texts(item, "users"), texts(item, "groups"));
            let who = match text(item, "who").as_deref() {
                Some("anyone") => Who::Anyone,
                Some("signed_in") => Who::SignedIn,
                _ => Who::Named,
            };
            if (who == Who::Named) == (users.is_empty() && groups.is_empty()) {
                let text = "needs either `who: anyone` or `who: signed_in`, or `users`, `groups` or both";
                self.error(item, &path, text);
            }
            let levels = item.get("levels").map(|levels| {
                let bound = |reader: &mut Self, key, default| {
                    let number = reader.number(levels, &format!("{path}.levels"), key, default, 99);
                    u32::try_from(number).unwrap_or(99)
                };
                (bound(self, "from", 0), bound(self, "to", 99))
            });
            rules.push(Rule {
                who,
                users,
                groups,
                maps: texts(item, "maps"),
                services: texts(item, "services"),
                layers: texts(item, "layers"),
                features: texts(item, "features"),
                levels,
                limited_to: item.get("limited_to").and_then(|area| self.area(area, &path)),
                allow: item.get("allow").and_then(Node::bool).unwrap_or(true),
            });
        }
        rules
    }

    /// `{geometry: [w, s, e, n] | WKT, srs: …}` or `{file: …, srs: …}`.
    fn area(&mut self, node: &Node, path: &str) -> Option<Coverage> {
        let path = format!("{path}.limited_to");
        let Some(code) = text(node, "srs") else {
            self.error(node, path, "needs `srs`, the coordinate system of the area");
            return None;
        };
        let srs = match Srs::parse(&code) {
            Ok(srs) => srs,
            Err(error) => {
                self.error(node, path, error.to_string());
                return None;
            }
        };
        let area = match (node.get("geometry"), node.get("file")) {
            (Some(geometry), None) => match &geometry.value {
                Value::Text(wkt) => Coverage::from_wkt(wkt, srs, true).map_err(|error| error.to_string()),
                _ => rectangle(geometry)
                    .map(|extent| Coverage::from_extent(srs, extent, true))
                    .ok_or_else(|| "`geometry` must be [west, south, east, north] or WKT".to_owned()),
            },
            (None, Some(file)) => {
                let text = self.file(file, &format!("{path}.file"))?;
                let read = if text.trim_start().starts_with('{') {
                    Coverage::from_geojson
                } else {
                    Coverage::from_wkt
                };
                read(&text, srs, true).map_err(|error| error.to_string())
            }
            _ => Err("needs either `geometry` or `file`".to_owned()),
        };
        match area {
            Ok(area) => Some(area),
            Err(error) => {
                self.error(node, path, error);
                None
            }
        }
    }

    fn external(&mut self, node: &Node) -> Option<External> {
        let path = "auth.external";
        let url = text(node, "url").filter(|url| url.starts_with("http://") || url.starts_with("https://"));
        let Some(url) = url else {
            self.error(node, path, "needs `url`, http:// or https://, of the service that decides");
            return None;
        };
        let mut fields = texts(node, "fields");
        if node.get("fields").is_none() {
            fields = vec!["Authorization".to_owned(), "Cookie".to_owned()];
        }
        Some(External {
            url,
            fields,
            with_extent: node.get("with_extent").and_then(Node::bool).unwrap_or(false),
            cache_s: self.number(node, path, "cache_s", CACHE_S, CACHE_MAX_S),
            timeout_ms: self.number(node, path, "timeout_ms", TIMEOUT_MS, TIMEOUT_MAX_MS).max(1),
        })
    }
}

fn rectangle(node: &Node) -> Option<Extent> {
    let edges: Vec<f64> = node
        .items()
        .iter()
        .filter_map(|item| match item.value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        })
        .collect();
    let [west, south, east, north] = edges[..] else { return None };
    let extent = Extent::new(west, south, east, north);
    extent.is_valid().then_some(extent)
}

fn digest_of(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}
