//! The daemon's file: what is read, what is refused.

use std::path::{Path, PathBuf};

use super::*;
use crate::conf::{FileSet, Finding};
use crate::wire::forwarded::Family;

fn daemon(text: &str) -> (Option<Daemon>, Vec<Finding>) {
    let path = Path::new("/nowhere/etc/rhumb.yaml");
    load(path, &mut FileSet::holding(path, text.as_bytes()))
}

fn refused(text: &str) -> String {
    let (daemon, findings) = daemon(text);
    assert!(daemon.is_none(), "{text}");
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn proxies_and_senders_are_lists_of_networks() {
    let text = "
listen:
  - {http: 0.0.0.0:1, proxy_protocol: true}
  - {http: 0.0.0.0:2, proxy_protocol: [192.0.2.1]}
  - {http: 0.0.0.0:3, proxy_protocol: no}
trusted_proxies: [10.0.0.0/8, unix]
forwarded_fields: forwarded
";
    let daemon = daemon(text).0.unwrap();
    let networks = |list: &[&str]| {
        let mut networks = Networks::default();
        list.iter().for_each(|text| networks.add(text).unwrap());
        networks
    };
    let trusted = networks(&["10.0.0.0/8", "unix"]);
    let senders: Vec<_> = daemon.listen.iter().map(|listen| listen.proxy_senders.clone()).collect();
    assert_eq!(senders, [Some(trusted.clone()), Some(networks(&["192.0.2.1"])), None]);
    assert_eq!(
        daemon.proxies,
        Some(Proxies { networks: trusted, family: Family::Forwarded, identity_fields: Vec::new() })
    );
    for (text, expected) in [
        ("listen: [{http: '1.1.1.1:1', proxy_protocol: true}]", "who may send it?"),
        ("listen: [{http: '1.1.1.1:1', proxy_protocol: [x]}]", "\"x\" is neither an address"),
        ("listen: [{http: '1.1.1.1:1'}]\ntrusted_proxies: [10.0.0.1/8]", "trusted_proxies[0]"),
        ("listen: [{http: '1.1.1.1:1'}]\nforwarded_fields: forwarded", "only together with"),
        ("listen: [{http: '1.1.1.1:1'}]\nforwarded_fields: both", "forwarded_fields"),
    ] {
        let told = refused(text);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn everything_is_read() {
    let text = "
listen:
  - http: 0.0.0.0:8080
  - http: '[::1]:8081'
  - http: var/http.sock
    mode: 0660
workers: 3
user: rhumb
group: maps
pid_file: var/rhumb.pid
control: /run/rhumb.sock
admin: 127.0.0.1:9180
allow_listing: yes
watch: true
log: {access: var/access.log, error: stderr, format: json}
limits: {render_threads: 4, cache_memory_bytes: 0, drain_max_ms: 60_000}
";
    let (daemon, findings) = daemon(text);
    assert!(findings.is_empty(), "{findings:?}");
    let daemon = daemon.unwrap();
    let tcp = |address: &str| ListenAddress::Tcp(address.parse().unwrap());
    let http = |address, mode| Listen { mode, ..Listen::new(address, Protocol::Http) };
    let socket = ListenAddress::Unix(PathBuf::from("/nowhere/etc/var/http.sock"));
    let expected =
        [http(tcp("0.0.0.0:8080"), None), http(tcp("[::1]:8081"), None), http(socket, Some(0o660))];
    assert_eq!(daemon.listen, expected);
    assert_eq!(daemon.workers, Some(3));
    assert_eq!((daemon.user.as_deref(), daemon.group.as_deref()), (Some("rhumb"), Some("maps")));
    assert_eq!(daemon.pid_file, Some(PathBuf::from("/nowhere/etc/var/rhumb.pid")));
    assert_eq!(daemon.control, Some(PathBuf::from("/run/rhumb.sock")));
    assert_eq!(daemon.admin, Some(tcp("127.0.0.1:9180")));
    assert!(daemon.allow_listing && daemon.watch);
    assert_eq!(daemon.log.access, LogTarget::File(PathBuf::from("/nowhere/etc/var/access.log")));
    assert_eq!(daemon.log.format, LogFormat::Json);
    assert_eq!(daemon.maps, Maps::Embedded);
    let expected =
        Limits { render_threads: 4, cache_memory_bytes: 0, drain_max_ms: 60_000, ..Limits::default() };
    assert_eq!(daemon.limits, expected);
}

#[test]
fn each_protocol_has_its_key() {
    let (daemon, findings) = daemon(
        "listen:\n  - {fastcgi: var/fcgi-socket, mode: 0660, prefix: /proxy/}\n  - {scgi: '127.0.0.1:4000'}\n  \
         - {uwsgi: '*:3031', prefix: /}",
    );
    assert!(findings.is_empty(), "{findings:?}");
    let tcp = |address: &str| ListenAddress::Tcp(address.parse().unwrap());
    let socket = ListenAddress::Unix(PathBuf::from("/nowhere/etc/var/fcgi-socket"));
    let expected = [
        Listen {
            mode: Some(0o660),
            prefix: Some("/proxy".to_owned()),
            ..Listen::new(socket, Protocol::FastCgi)
        },
        Listen::new(tcp("127.0.0.1:4000"), Protocol::Scgi),
        Listen { prefix: Some(String::new()), ..Listen::new(tcp("0.0.0.0:3031"), Protocol::Uwsgi) },
    ];
    assert_eq!(daemon.unwrap().listen, expected);
}

#[test]
fn a_web_server_that_starts_us_says_where_to_listen() {
    let address = ListenAddress::Unix(PathBuf::from("/run/lighttpd/fcgi-0"));
    let path = Path::new("/nowhere/etc/rhumb.yaml");
    let spawned =
        |text: &str| load_spawned(path, &mut FileSet::holding(path, text.as_bytes()), Some(&address));
    let (daemon, findings) = spawned("workers: 1");
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(daemon.unwrap().listen, [Listen::new(address.clone(), Protocol::FastCgi)]);
    let (daemon, _) =
        spawned("listen: [{http: '*:80'}, {fastcgi: a.sock, prefix: /p}]\npid_file: a.pid\ncontrol: c.sock");
    let daemon = daemon.unwrap();
    assert_eq!((daemon.pid_file, daemon.control), (None, None));
    let expected =
        Listen { prefix: Some("/p".to_owned()), ..Listen::new(address.clone(), Protocol::FastCgi) };
    assert_eq!(daemon.listen, [expected]);
    assert!(spawned("listen: [{htp: '*:80'}]").0.is_none(), "what is there is checked");
}

#[test]
fn little_is_enough() {
    let (daemon, _) = daemon("listen: [{http: 'localhost:8080'}]\nworkers: auto\nlog: {access: off}");
    let daemon = daemon.unwrap();
    assert_eq!(daemon.listen[0].address, ListenAddress::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert_eq!((daemon.workers, daemon.limits), (None, Limits::default()));
    assert_eq!(daemon.log.access, LogTarget::Off);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, part) in [
        ("listen: [{http: '*:80'}]\nworker: 2", "2:1: error: worker: unknown key; did you mean `workers`?"),
        (
            "listen: [{http: '*:80'}]\nlimits: {render_thread: 2}",
            "limits.render_thread: unknown key; did you mean `render_threads`?",
        ),
        (
            "listen: [{http: '*:80'}]\nlimits: {render_threads: 0}",
            "limits.render_threads: must be from 1 to 256, not 0",
        ),
        (
            "listen: [{http: '*:80'}]\nlimits: {render_threads: many}",
            "expected a whole number, found the text \"many\"",
        ),
        ("workers: 2", "the required key `listen` is missing"),
        ("listen: []", "at least one place"),
        (
            "listen: [{mode: 0660}]",
            "listen[0]: one of the keys `http`, `fastcgi`, `scgi`, `uwsgi` is required",
        ),
        ("listen: [{http: '*:80', scgi: '*:81'}]", "`http` and `scgi` in one place"),
        ("listen: [{http: '*:80', prefix: /proxy}]", "is for fastcgi, scgi and uwsgi"),
        ("listen: [{uwsgi: '*:80', prefix: proxy}]", "must be a path such as /proxy"),
        ("listen: [{uwsgi: '*:80', prefix: /a/../b}]", "must be a path such as /proxy"),
        ("listen: [{http: '*:80'}, {fastcgi: '*:80'}]", "listened on already"),
        ("listen: [{http: 'example.org:80'}]", "is neither an address"),
        ("listen: [{http: '*:80', mode: 0660}]", "only for a Unix socket"),
        ("listen: [{http: s.sock, mode: rw}]", "octal file mode"),
        ("listen: [{http: '*:80'}, {http: '*:80'}]", "listened on already"),
        ("listen: [{http: '*:80'}]\nworkers: 0", "must be `auto` or from 1"),
        ("listen: [{http: '*:80'}]\nworkers: few", "workers"),
        ("listen: [{http: '*:80'}]\nmaps: missing.yaml", "maps: cannot read /nowhere/etc/missing.yaml"),
        ("listen: [{http: '*:80'}]\nlisten: []", "in line 1 already"),
        ("listen: [", "1:"),
        ("- a", "expected a mapping"),
    ] {
        let found = refused(text);
        assert!(found.contains(part), "{text}\n{found}");
    }
}

#[test]
fn every_limit_has_a_key() {
    let fields = format!("{:?}", Limits::default());
    let named = read::LIMIT_NAMES;
    assert_eq!(fields.matches(": ").count(), named.len(), "{fields}");
    for name in named {
        assert!(fields.contains(&format!("{name}: ")), "{name}");
    }
}

#[test]
fn what_is_added_to_pictures_is_one_thing_with_its_own_keys() {
    let of = |entry: &str| format!("listen: [{{http: '*:80'}}]\ndecorate:\n  - {entry}");
    let (read, findings) = daemon(&of(
        "{text: 'for {user}', services: [wms], maps: [a*], place: centre, ground: no, size_px: 12.5, margin_px: 9}",
    ));
    assert!(findings.is_empty(), "{findings:?}");
    let [entry] = &read.unwrap().decorate[..] else { panic!("one entry") };
    let decorate::What::Text { style, .. } = &entry.what else { panic!("a text") };
    assert_eq!((style.size_px, style.margin_px, style.ground), (12.5, 9, None));
    assert_eq!((&entry.maps[..], &entry.services[..]), (&["a*".to_owned()][..], &["wms".to_owned()][..]));
    for (entry, part) in [
        ("{}", "3:5: error: decorate[0]: needs one of `text`, `image` and `http`"),
        ("{text: a, image: b.png}", "needs one of"),
        ("{text: 'by {usr}'}", "decorate[0].text: unknown placeholder {usr}"),
        ("{text: a, timeout_ms: 5}", "decorate[0].timeout_ms: is of use only with `http`"),
        ("{http: 'http://a/', opacity: 1}", "decorate[0].opacity: is of use only with `image`"),
        ("{http: 'ftp://a/'}", "decorate[0].http: must be the address"),
        ("{http: 'http://a/', timeout_ms: 0}", "decorate[0].timeout_ms: must be from 1 to 60000"),
        ("{http: 'http://a/', on_failure: ignore}", "it can be fail, leave"),
        ("{image: absent.png}", "decorate[0].image: cannot read /nowhere/etc/absent.png"),
        ("{text: a, size_px: 1}", "decorate[0].size_px: must be from 4 to 512"),
        ("{text: a, size_px: .nan}", "decorate[0].size_px: must be from 4 to 512"),
        ("{text: a, color: red}", "expected a colour"),
        ("{text: a, services: [demo]}", "it can be wms, wmts, tms, kml, ogcapi"),
        ("{text: a, sise_px: 4}", "did you mean `size_px`?"),
        ("text", "expected a mapping"),
    ] {
        let told = refused(&of(entry));
        assert!(told.contains(part), "{entry}: {told}");
    }
}

#[test]
fn who_may_name_users_by_remote_user_is_clear() {
    let auth = "\nauth: {remote_user: yes, rules: [{who: signed_in}]}\n";
    let http = "{http: '*:80'}";
    for (listen, more, refusal) in [
        ("{fastcgi: var/socket}", "", None),
        ("{scgi: '127.0.0.1:4000'}", "", None),
        ("{uwsgi: '*:4000'}", "trusted_proxies: [10.0.0.7]", None),
        ("{uwsgi: '*:4000'}", "", Some("auth.remote_user: needs `trusted_proxies`")),
        (
            http,
            "trusted_proxies: [10.0.0.7]",
            Some("auth.remote_user: is of use only with a listener of fastcgi"),
        ),
    ] {
        let text =
            format!("listen: [{http}, {listen}]{auth}{more}").replace(&format!("{http}, {http}"), http);
        match refusal {
            None => assert!(
                daemon(&text).0.is_some_and(|daemon| daemon.auth.is_some_and(|auth| auth.remote_user))
            ),
            Some(part) => assert!(refused(&text).contains(part), "{text}"),
        }
    }
}
