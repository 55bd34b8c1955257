//! What web servers tell of a request, and what we make of it.

use proptest::prelude::*;

use super::*;

const SERVICES: &[&str] = &["service", "ows", "wms", "wmts", "tms", "tiles", "kml", "demo"];

fn mount() -> Mount {
    Mount { prefix: None, services: SERVICES, maps: Vec::new() }
}

fn read_with(variables: &[(&str, &str)], mount: &Mount) -> Result<Head, Refusal> {
    let pairs: Vec<(&[u8], &[u8])> = variables.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    read(&pairs, mount, &Limits::default())
}

/// Prefix, path and query of a GET with these variables.
fn place_with(variables: &[(&str, &str)], mount: &Mount) -> (String, String, String) {
    let all = [&[("REQUEST_METHOD", "GET")], variables].concat();
    let request = read_with(&all, mount).unwrap_or_else(|refusal| panic!("{variables:?}: {refusal}")).request;
    (request.script_name, request.path, request.query)
}

fn status_of(variables: &[(&str, &str)]) -> u16 {
    let all = [&[("REQUEST_METHOD", "GET"), ("PATH_INFO", "/service")], variables].concat();
    read_with(&all, &mount()).map_or_else(|refusal| refusal.status, |_| 200)
}

/// As the servers named send it, seen on the wire.
#[test]
fn our_part_of_the_path_is_found_behind_every_server() {
    /// Server, variables, prefix and path.
    type Case = (&'static str, &'static [(&'static str, &'static str)], (&'static str, &'static str));
    let cases: &[Case] = &[
        (
            "lighttpd, \"/proxy\"",
            &[("SCRIPT_NAME", "/proxy"), ("PATH_INFO", "/service"), ("REQUEST_URI", "/proxy/service?a=b")],
            ("/proxy", "/service"),
        ),
        (
            "lighttpd, \"/proxy/\"",
            &[("SCRIPT_NAME", "/proxy/service"), ("REQUEST_URI", "/proxy/service?a=b")],
            ("/proxy", "/service"),
        ),
        (
            "lighttpd, \"/\"",
            &[("SCRIPT_NAME", "/tiles"), ("PATH_INFO", "/osm/0/0/0.png")],
            ("", "/tiles/osm/0/0/0.png"),
        ),
        ("lighttpd, \"/\", a folder", &[("SCRIPT_NAME", "/demo"), ("PATH_INFO", "/")], ("", "/demo/")),
        ("lighttpd, \"/proxy\", the root", &[("SCRIPT_NAME", "/proxy"), ("PATH_INFO", "/")], ("/proxy", "/")),
        (
            "lighttpd, \"/\" with fix-root-scriptname",
            &[("SCRIPT_NAME", ""), ("PATH_INFO", "/tiles/osm/0/0/0.png")],
            ("", "/tiles/osm/0/0/0.png"),
        ),
        (
            "lighttpd, the mount itself",
            &[("SCRIPT_NAME", "/proxy"), ("REQUEST_URI", "/proxy")],
            ("/proxy", "/"),
        ),
        (
            "lighttpd, nothing of ours",
            &[("SCRIPT_NAME", "/proxy"), ("PATH_INFO", "/nonsense"), ("REQUEST_URI", "/proxy/nonsense")],
            ("/proxy", "/nonsense"),
        ),
        (
            "a mount that is called as a service of ours",
            &[("SCRIPT_NAME", "/wms"), ("PATH_INFO", "/service"), ("REQUEST_URI", "/wms/service")],
            ("/wms", "/service"),
        ),
        (
            "nginx fastcgi_params",
            &[
                ("SCRIPT_NAME", "/proxy/service"),
                ("DOCUMENT_URI", "/proxy/service"),
                ("REQUEST_URI", "/proxy//service?a=b"),
            ],
            ("/proxy", "/service"),
        ),
        (
            "nginx fastcgi_params, the mount itself",
            &[("SCRIPT_NAME", "/proxy/"), ("DOCUMENT_URI", "/proxy/"), ("REQUEST_URI", "/proxy/")],
            ("/proxy", "/"),
        ),
        (
            "nginx fastcgi_params, nothing of ours",
            &[("SCRIPT_NAME", "/proxy/nonsense"), ("DOCUMENT_URI", "/proxy/nonsense")],
            ("", "/proxy/nonsense"),
        ),
        (
            "nginx fastcgi_split_path_info",
            &[
                ("SCRIPT_NAME", "/proxy"),
                ("PATH_INFO", "/service"),
                ("DOCUMENT_URI", "/proxy/service"),
                ("REQUEST_URI", "/proxy/service"),
            ],
            ("/proxy", "/service"),
        ),
        (
            "nginx uwsgi_params",
            &[("PATH_INFO", "/proxy/service"), ("REQUEST_URI", "/proxy/service?a=b")],
            ("/proxy", "/service"),
        ),
        (
            "nginx uwsgi_params at the root",
            &[("PATH_INFO", "/service"), ("REQUEST_URI", "/service")],
            ("", "/service"),
        ),
        (
            "uwsgi_modifier1 30 and SCRIPT_NAME",
            &[("SCRIPT_NAME", "/proxy"), ("PATH_INFO", "/proxy/service"), ("REQUEST_URI", "/proxy/service")],
            ("/proxy", "/service"),
        ),
        (
            "a rewrite that takes the prefix off",
            &[("PATH_INFO", "/service"), ("REQUEST_URI", "/proxy/service")],
            ("/proxy", "/service"),
        ),
        (
            "a rewrite to a service",
            &[("SCRIPT_NAME", "/service"), ("DOCUMENT_URI", "/service"), ("REQUEST_URI", "/maps?a=b")],
            ("", "/service"),
        ),
        (
            "SCRIPT_NAME of somebody further out",
            &[("SCRIPT_NAME", "/gis/maps"), ("PATH_INFO", "/service"), ("REQUEST_URI", "/service")],
            ("/gis/maps", "/service"),
        ),
        (
            "nginx scgi_params",
            &[("DOCUMENT_URI", "/proxy/service"), ("REQUEST_URI", "/proxy/service")],
            ("/proxy", "/service"),
        ),
        (
            "mod_proxy_fcgi",
            &[
                ("SCRIPT_NAME", "/proxy/service"),
                ("SCRIPT_FILENAME", "proxy:fcgi://localhost/service"),
                ("REQUEST_URI", "/proxy/service"),
            ],
            ("/proxy", "/service"),
        ),
        (
            "mod_proxy_fcgi, nothing of ours",
            &[("SCRIPT_NAME", "/proxy/x"), ("SCRIPT_FILENAME", "proxy:fcgi://localhost/x")],
            ("", "/proxy/x"),
        ),
        (
            "only REQUEST_URI",
            &[("REQUEST_URI", "/a%20b/tiles/x%22/0/0/0.png?q")],
            ("/a b", "/tiles/x%22/0/0/0.png"),
        ),
        ("a whole URL", &[("REQUEST_URI", "http://maps.example.org/proxy/service")], ("/proxy", "/service")),
        (
            "slashes are missing",
            &[("SCRIPT_NAME", "proxy"), ("PATH_INFO", "service")],
            ("/proxy", "/service"),
        ),
        ("the root", &[("SCRIPT_NAME", "/"), ("REQUEST_URI", "/")], ("", "/")),
        ("the root of uwsgi", &[("PATH_INFO", "/"), ("REQUEST_URI", "/")], ("", "/")),
    ];
    for (server, variables, (prefix, path)) in cases {
        let (found_prefix, found_path, _) = place_with(variables, &mount());
        assert_eq!((found_prefix.as_str(), found_path.as_str()), (*prefix, *path), "{server}");
    }
}

#[test]
fn several_maps_are_found_by_their_names() {
    let mount = Mount { maps: vec!["city".into(), "proxy".into()], ..mount() };
    for (path, prefix, rest) in [
        ("/proxy/city/service", "/proxy", "/city/service"),
        ("/city/service", "", "/city/service"),
        ("/proxy/proxy/wms", "/proxy", "/proxy/wms"),
        ("/a/city/", "/a", "/city/"),
        ("/a/city", "/a", "/city"),
        // No map: nothing of ours.
        ("/a/service", "", "/a/service"),
    ] {
        let (found_prefix, found_path, _) = place_with(&[("PATH_INFO", path)], &mount);
        assert_eq!((found_prefix.as_str(), found_path.as_str()), (prefix, rest), "{path}");
    }
}

#[test]
fn a_configured_prefix_goes_before_all() {
    let at = |prefix: &str| Mount { prefix: Some(prefix.to_owned()), ..mount() };
    for (prefix, path, rest) in [
        ("/tiles", "/tiles/service", "/service"),
        ("/tiles", "/tiles", "/"),
        ("", "/tiles/wms/0/0/0.png", "/tiles/wms/0/0/0.png"),
        // Taken off further out.
        ("/proxy", "/service", "/service"),
        ("/proxy", "/proxyless/service", "/proxyless/service"),
    ] {
        let (found_prefix, found_path, _) = place_with(&[("SCRIPT_NAME", path)], &at(prefix));
        assert_eq!((found_prefix.as_str(), found_path.as_str()), (prefix, rest), "{prefix} {path}");
    }
}

/// The server has looked at the decoded path, so that is what counts.
#[test]
fn nobody_gets_past_the_rules_of_the_server() {
    let mount = Mount { maps: vec!["open".into(), "secret".into()], ..mount() };
    for uri in ["/maps/secret/service/../../open/service", "/maps/secret/service/%2e%2e/%2e%2e/open/service"]
    {
        let variables = [("SCRIPT_NAME", "/maps/open/service"), ("REQUEST_URI", uri)];
        let (prefix, path, _) = place_with(&variables, &mount);
        assert_eq!((prefix.as_str(), path.as_str()), ("/maps", "/open/service"));
    }
    let (prefix, ..) = place_with(&[("PATH_INFO", "/open/"), ("REQUEST_URI", "/x/../open/")], &mount);
    assert_eq!(prefix, "", "no dots in a prefix");
}

#[test]
fn queries() {
    for (variables, query) in [
        (vec![("QUERY_STRING", "a=b&c=%20"), ("REQUEST_URI", "/service?other")], "a=b&c=%20"),
        (vec![("REQUEST_URI", "/service?a=b")], "a=b"),
        (vec![("QUERY_STRING", ""), ("REQUEST_URI", "/service?a=b")], ""),
        (vec![("QUERY_STRING", "l=\u{e4} b#x")], "l=%C3%A4%20b"),
        (vec![], ""),
    ] {
        let variables = [vec![("PATH_INFO", "/service")], variables].concat();
        assert_eq!(place_with(&variables, &mount()).2, query, "{variables:?}");
    }
}

#[test]
fn variables_become_a_request() {
    let head = read_with(
        &[
            ("REQUEST_METHOD", "POST"),
            ("PATH_INFO", "/service"),
            ("HTTPS", "on"),
            ("SERVER_PROTOCOL", "HTTP/1.0"),
            ("REMOTE_ADDR", "::ffff:192.0.2.7"),
            ("CONTENT_LENGTH", "12"),
            ("CONTENT_TYPE", "text/xml"),
            ("HTTP_CONTENT_TYPE", "text/plain"),
            ("HTTP_HOST", "maps.example.org:8443"),
            ("HTTP_X_FORWARDED_PROTO", "https"),
            ("HTTP_CONNECTION", "close"),
            ("HTTP_TRANSFER_ENCODING", "chunked"),
            ("HTTP_PROXY", "http://evil.example"),
            ("HTTP_REMOTE_USER", "mallory"),
            ("REMOTE_USER", "ann"),
            ("HTTP_", "x"),
            ("SSL_CLIENT_CERT", "-----BEGIN\nMII\n"),
            ("http_odd", "x"),
        ],
        &mount(),
    )
    .unwrap();
    assert_eq!((head.minor, head.length), (0, Some(12)));
    let request = head.request;
    assert_eq!((request.method, request.scheme), (Method::Post, "https"));
    assert_eq!(request.peer, Some(IpAddr::from([192, 0, 2, 7])));
    assert_eq!(request.remote_user.as_deref(), Some("ann"), "no field of the client's");
    let names: Vec<&str> = request.headers.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-length", "content-type", "host", "x-forwarded-proto", "remote-user"]);
    assert_eq!(request.headers.get("Content-Type"), Some("text/xml"));
    assert_eq!(request.headers.get("Host"), Some("maps.example.org:8443"));
}

#[test]
fn schemes_and_hosts() {
    for (variables, scheme) in [
        (vec![("HTTPS", "on")], "https"),
        (vec![("HTTPS", "1")], "https"),
        (vec![("HTTPS", "off")], "http"),
        (vec![("HTTPS", ""), ("REQUEST_SCHEME", "https")], "https"),
        (vec![("REQUEST_SCHEME", "http")], "http"),
    ] {
        let all = [vec![("REQUEST_METHOD", "GET"), ("PATH_INFO", "/")], variables].concat();
        assert_eq!(read_with(&all, &mount()).unwrap().request.scheme, scheme, "{all:?}");
    }
    for (variables, host) in [
        (vec![("HTTP_HOST", "a"), ("SERVER_NAME", "b")], Some("a")),
        (vec![("SERVER_NAME", "b"), ("SERVER_PORT", "80")], Some("b")),
        (vec![("SERVER_NAME", "b"), ("SERVER_PORT", "8080")], Some("b:8080")),
        (vec![("SERVER_NAME", "b"), ("SERVER_PORT", "443"), ("HTTPS", "on")], Some("b")),
        (vec![("SERVER_NAME", "_"), ("SERVER_ADDR", "192.0.2.1")], Some("192.0.2.1")),
        (vec![("HTTP_HOST", ""), ("SERVER_NAME", "::1")], Some("[::1]")),
        (vec![("SERVER_NAME", "a/b")], None),
        (vec![], None),
    ] {
        let all = [vec![("REQUEST_METHOD", "GET"), ("PATH_INFO", "/")], variables].concat();
        assert_eq!(read_with(&all, &mount()).unwrap().request.headers.get("host"), host, "{all:?}");
    }
}

#[test]
fn of_duplicates_the_last_counts() {
    let head = read_with(
        &[
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_METHOD", "HEAD"),
            ("SCRIPT_NAME", "/proxy/service"),
            ("SCRIPT_NAME", "/proxy"),
            ("PATH_INFO", "/tms"),
            ("PATH_INFO", "/service"),
            ("HTTP_HOST", "a\r\nb"),
            ("HTTP_HOST", "b.example"),
            ("CONTENT_LENGTH", "0"),
            ("CONTENT_LENGTH", "0"),
        ],
        &mount(),
    )
    .unwrap();
    assert_eq!(head.request.method, Method::Head);
    assert_eq!((head.request.script_name.as_str(), head.request.path.as_str()), ("/proxy", "/service"));
    assert_eq!(head.request.headers.get("host"), Some("b.example"));
    assert_eq!(status_of(&[("CONTENT_LENGTH", "1"), ("CONTENT_LENGTH", "2")]), 400);
}

#[test]
fn what_is_no_request_is_refused() {
    assert_eq!(read_with(&[("PATH_INFO", "/service")], &mount()).unwrap_err().status, 400);
    assert_eq!(read_with(&[("REQUEST_METHOD", "GET")], &mount()).unwrap_err().status, 400);
    let long = "x".repeat(9_000);
    let wide = "x".repeat(8_000);
    for (variables, status) in [
        (vec![("REQUEST_METHOD", "G T")], 400),
        (vec![("REQUEST_METHOD", "")], 400),
        (vec![("HTTP_HOST", "a\r\nX: y")], 400),
        (vec![("HTTP_HOST", "a/b")], 400),
        (vec![("HTTP_X", "a\0")], 400),
        (vec![("PATH_INFO", "/a\0")], 400),
        (vec![("SCRIPT_NAME", "/a\r\n")], 400),
        (vec![("QUERY_STRING", "a\n")], 400),
        (vec![("REQUEST_URI", "/a%00")], 400),
        (vec![("REQUEST_URI", "/a%0d%0a")], 400),
        (vec![("CONTENT_LENGTH", "+5")], 400),
        (vec![("CONTENT_LENGTH", "-1")], 400),
        (vec![("CONTENT_LENGTH", "5,5")], 400),
        (vec![("CONTENT_LENGTH", "99999999999999999999999")], 400),
        (vec![("CONTENT_LENGTH", "2000000")], 413),
        (vec![("QUERY_STRING", long.as_str())], 414),
        (vec![("HTTP_X", long.as_str())], 431),
        (
            vec![
                ("HTTP_A", &wide),
                ("HTTP_B", &wide),
                ("HTTP_C", &wide),
                ("HTTP_D", &wide),
                ("HTTP_E", &wide),
            ],
            431,
        ),
        (vec![("OTHER", long.as_str())], 200),
    ] {
        assert_eq!(status_of(&variables), status, "{variables:?}");
    }
    let names: Vec<String> = (0..101).map(|n| format!("HTTP_X{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!((status_of(&many), status_of(&many[..100])), (431, 200));
    let others = vec![("OTHER", ""); 300];
    assert_eq!(status_of(&others), 431);
}

#[test]
fn a_line_for_the_log() {
    let line = |pairs: &Pairs| String::from_utf8(request_line(pairs)).unwrap();
    assert_eq!(line(&[]), "- -");
    assert_eq!(
        line(&[(b"REQUEST_METHOD", b"GET"), (b"PATH_INFO", b"/a"), (b"REQUEST_URI", b"/b?c")]),
        "GET /b?c"
    );
    assert_eq!(line(&[(b"REQUEST_URI", &[b'x'; 5_000])]).len(), LINE_BYTES_MAX);
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/"),
        Just("service"),
        Just("tiles"),
        Just("proxy"),
        Just(".."),
        Just("%2f"),
        Just("%00"),
        Just("ä"),
        Just("?"),
        Just("://"),
        Just("*"),
    ]
    .prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_comes_is_a_sound_request_or_refused(
        script in path(), info in path(), document in path(), uri in path(), host in "[a-z:/\\[\\]\r]{0,8}",
    ) {
        let variables = [
            ("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", &script), ("PATH_INFO", &info),
            ("DOCUMENT_URI", &document), ("REQUEST_URI", &uri), ("HTTP_HOST", &host),
        ];
        if let Ok(head) = read_with(&variables, &mount()) {
            let request = head.request;
            prop_assert!(request.path.starts_with('/') && request.path.is_ascii(), "{}", request.path);
            prop_assert!(request.query.bytes().all(|b| (0x21..0x7f).contains(&b)), "{}", request.query);
            let prefix = &request.script_name;
            prop_assert!(prefix.is_empty() || prefix.starts_with('/'), "{prefix}");
            prop_assert!(!prefix.ends_with('/') && !prefix.contains('\0'), "{prefix}");
        }
    }
}
