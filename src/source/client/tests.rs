use std::sync::mpsc::channel;

use super::*;
use crate::source::upstream::{Upstream, answer, png, scene};

fn client(change: impl FnOnce(&mut ClientOptions)) -> Client {
    let mut options = ClientOptions::default();
    change(&mut options);
    Client::new(options)
}

fn plain() -> Client {
    client(|_| {})
}

fn reason(result: Result<Fetched, SourceError>) -> String {
    match result {
        Err(SourceError::Transport { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn status(result: Result<Fetched, SourceError>) -> u16 {
    match result {
        Err(SourceError::Status { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_comes_with_its_type_over_one_kept_connection() {
    let (told, requests) = channel();
    let upstream = Upstream::play(vec![scene(move |peer| {
        for _ in 0..3 {
            told.send(peer.request()).unwrap();
            peer.send(png("pixels"));
        }
    })]);
    let client = client(|options| options.headers = vec![("X-Key".into(), "k1".into())]);
    for _ in 0..3 {
        let fetched = client.fetch(&upstream.url("/a b?q=ä|x"), None).unwrap();
        assert_eq!((fetched.status, fetched.content_type.as_str()), (200, "image/png"));
        assert_eq!(fetched.bytes, b"pixels");
    }
    assert_eq!(upstream.connections(), 1);
    let request = requests.recv().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /a%20b?q=%c3%a4%7cx http/1.1\r\n"), "{request}");
    for field in
        ["user-agent: rhumb/", "accept-encoding: gzip", "x-key: k1", &format!("host: {}", upstream.authority)]
    {
        assert!(request.contains(field), "{field} in {request}");
    }
}

#[test]
fn clients_of_one_server_share_its_connections() {
    let upstream = Upstream::answering(vec![png("1"), png("2")]);
    plain().fetch(&upstream.url("/"), None).unwrap();
    plain().fetch(&upstream.url("/"), None).unwrap();
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_kept_connection_that_dies_at_reuse_is_replaced_once() {
    let upstream = Upstream::play(vec![
        scene(|peer| {
            peer.request();
            peer.send(png("first"));
            // Reads the next request and dies over it.
            peer.request();
        }),
        scene(|peer| {
            peer.request();
            peer.send(png("second"));
        }),
    ]);
    let client = plain();
    client.fetch(&upstream.url("/"), None).unwrap();
    assert_eq!(client.fetch(&upstream.url("/"), None).unwrap().bytes, b"second");
    assert_eq!(upstream.connections(), 2);
}

/// A 204 has no body, whatever its header says; what comes after it all the
/// same is no answer to the next question.
#[test]
fn bytes_that_belong_to_no_answer_cost_a_connection_and_no_request() {
    let upstream = Upstream::play(vec![
        scene(|peer| {
            peer.request();
            peer.send(b"HTTP/1.1 204 Nothing\r\nContent-Length: 5\r\n\r\n");
            peer.request();
            peer.send(b"stray");
        }),
        scene(|peer| {
            peer.request();
            peer.send(png("right"));
        }),
    ]);
    let client = plain();
    assert_eq!(status(client.fetch(&upstream.url("/"), None)), 204);
    assert_eq!(client.fetch(&upstream.url("/"), None).unwrap().bytes, b"right");
    assert_eq!(upstream.connections(), 2);
}

/// Some servers end an idle connection with a 408 that crosses our question.
#[test]
fn a_farewell_on_a_kept_connection_is_no_answer() {
    let farewell = || b"HTTP/1.1 408 Too Late\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let upstream = Upstream::play(vec![
        scene(move |peer| {
            peer.request();
            peer.send(png("first"));
            peer.request();
            peer.send(farewell());
        }),
        scene(move |peer| {
            peer.request();
            peer.send(farewell());
        }),
    ]);
    let client = plain();
    client.fetch(&upstream.url("/"), None).unwrap();
    assert_eq!(status(client.fetch(&upstream.url("/"), None)), 408, "on a new connection it is one");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_new_connection_that_dies_is_not_tried_again() {
    let dying = || scene(|peer| drop(peer.request()));
    let upstream = Upstream::play(vec![dying(), dying()]);
    reason(plain().fetch(&upstream.url("/"), None));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_post_is_never_sent_twice() {
    let upstream = Upstream::play(vec![
        scene(|peer| {
            peer.request();
            peer.send(png("first"));
            peer.request();
        }),
        scene(|peer| drop(peer.request())),
    ]);
    let client = plain();
    client.fetch(&upstream.url("/"), Some("a=b")).unwrap();
    reason(client.fetch(&upstream.url("/"), Some("a=b")));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn silence_ends_with_the_limit_of_its_phase() {
    // Held open until the test ends: the scenes wait for the channel to close.
    let (_open, closed) = channel::<()>();
    let closed = std::sync::Arc::new(Mutex::new(closed));
    let stall = |start: &'static str| {
        let closed = std::sync::Arc::clone(&closed);
        scene(move |peer| {
            peer.request();
            peer.send(start);
            let _ = closed.lock().map(|closed| closed.recv());
        })
    };
    let of = |first_byte_ms, total_ms| {
        client(|options| {
            options.timeout_first_byte = Duration::from_millis(first_byte_ms);
            options.timeout_total = Duration::from_millis(total_ms);
        })
    };
    let (impatient, busy) = (of(60, 60_000), of(60_000, 150));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n";
    // In the time of the whole a slow machine may not come to the body.
    for (client, start, said) in [
        (&impatient, String::new(), "no answer within 60 ms"),
        (&impatient, head.to_owned(), "no answer within 60 ms"),
        (&busy, format!("{head}Content-Length: 10\r\n\r\nabc"), "not finished"),
        (&busy, format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), "not finished"),
    ] {
        let upstream = Upstream::play(vec![stall(Box::leak(start.into_boxed_str()))]);
        let reason = reason(client.fetch(&upstream.url("/"), None));
        assert!(reason.contains(said), "{reason}");
    }
}

#[test]
fn a_body_cut_short_is_an_error() {
    for (answer, said) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "broke off after 3 bytes"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "broke off after 3 bytes"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", ""),
        ("HTTP/1.1 200 O", ""),
        ("SSH-2.0-OpenSSH\r\n\r\n", ""),
        ("", ""),
    ] {
        let upstream = Upstream::play(vec![scene(move |peer| {
            peer.request();
            peer.send(answer);
        })]);
        let reason = reason(plain().fetch(&upstream.url("/"), None));
        assert!(reason.contains(said), "{answer:?}: {reason}");
    }
}

#[test]
fn bytes_beyond_the_length_cost_the_connection_and_nothing_else() {
    let long = || {
        scene(|peer| {
            peer.request();
            peer.send(png("tile") + "more than was promised");
            peer.linger();
        })
    };
    let upstream = Upstream::play(vec![long(), long()]);
    let client = plain();
    for _ in 0..2 {
        assert_eq!(client.fetch(&upstream.url("/"), None).unwrap().bytes, b"tile");
    }
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn large_answers_are_cut_at_the_limit() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + &"4\r\nabcd\r\n".repeat(100);
    let endless = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(500);
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n".to_owned(), chunked, endless] {
        let upstream = Upstream::play(vec![scene(move |peer| {
            peer.request();
            peer.send(answer);
            peer.linger();
        })]);
        let result = client(|options| options.body_bytes_max = 100).fetch(&upstream.url("/"), None);
        assert!(matches!(result, Err(SourceError::TooLarge { limit_bytes: 100, .. })), "{result:?}");
    }
    let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let upstream = Upstream::play(vec![scene(move |peer| {
        peer.request();
        peer.send(header);
        peer.linger();
    })]);
    reason(plain().fetch(&upstream.url("/"), None));
}

#[test]
fn packed_bodies_are_unpacked_within_limits() {
    let pack = |bytes: &[u8]| {
        let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
        let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
        let length = compressor.gzip_compress(bytes, &mut packed).unwrap();
        packed.truncate(length);
        packed
    };
    let fetch = |body: Vec<u8>, encoding: &'static str| {
        let upstream = Upstream::play(vec![scene(move |peer| {
            peer.request();
            let length = body.len();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Encoding: {encoding}\r\nContent-Length: {length}\r\n\r\n"
            ));
            peer.send(&body);
        })]);
        client(|options| options.body_bytes_max = 50_000).fetch(&upstream.url("/"), None)
    };
    assert_eq!(fetch(pack(b"pixels"), "gzip").unwrap().bytes, b"pixels");
    assert!(matches!(
        fetch(pack(&[0; 200_000]), "gzip"),
        Err(SourceError::TooLarge { limit_bytes: 100_000, .. })
    ));
    assert!(reason(fetch(b"not gzip at all".to_vec(), "gzip")).contains("gzip"));
    assert!(reason(fetch(b"xx".to_vec(), "br")).contains("not asked for"));
}

#[test]
fn redirects_are_followed_three_times_and_only_over_http() {
    let to = |location: &str| answer("302 Found", &format!("Location: {location}\r\n"), "moved");
    let near = Upstream::answering(vec![to("/2"), to("3?x"), to("?y"), png("found")]);
    assert_eq!(plain().fetch(&near.url("/1"), None).unwrap().bytes, b"found");
    let other = Upstream::answering(vec![png("there")]);
    let relay = Upstream::answering(vec![to("/2"), to(&format!("http://{}/x", other.authority))]);
    assert_eq!(plain().fetch(&relay.url("/1"), None).unwrap().bytes, b"there");
    let looping = Upstream::answering(vec![to("/"); 4]);
    assert!(reason(plain().fetch(&looping.url("/"), None)).contains("more than 3 redirects"));
    for target in ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher:x"] {
        let upstream = Upstream::answering(vec![to(target)]);
        let reason = reason(plain().fetch(&upstream.url("/"), None));
        assert!(reason.contains("redirect to"), "{reason}");
    }
    let nowhere = Upstream::answering(vec![answer("301 Moved", "", "")]);
    assert_eq!(status(plain().fetch(&nowhere.url("/"), None)), 301);
}

#[test]
fn another_server_sees_no_secrets() {
    let (told, requests) = channel();
    let other = Upstream::play(vec![scene(move |peer| {
        told.send(peer.request()).unwrap();
        peer.send(png("there"));
    })]);
    let location = format!("Location: {}\r\n", other.url("/x"));
    let home = Upstream::answering(vec![
        answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", "who?"),
        answer("302 Found", &location, ""),
    ]);
    let client = client(|options| {
        options.headers =
            vec![("X-Api-Key".into(), "secret".into()), ("Referer".into(), "http://me/".into())];
        options.basic_auth = Some(("me".into(), "secret".into()));
    });
    client.fetch(&home.url("/"), None).unwrap();
    let request = requests.recv().unwrap().to_ascii_lowercase();
    assert!(!request.contains("secret") && !request.contains("authorization"), "{request}");
    assert!(request.contains("referer: http://me/"), "{request}");
}

#[test]
fn credentials_go_after_a_challenge_and_then_at_once() {
    let (told, requests) = channel();
    let upstream = Upstream::play(vec![scene(move |peer| {
        for answer in
            [answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", "who?"), png("1"), png("2")]
        {
            told.send(peer.request().to_ascii_lowercase()).unwrap();
            peer.send(answer);
        }
    })]);
    let url = upstream.url("/").replace("http://", "http://Aladdin:open sesame@");
    let client = plain();
    assert_eq!(client.fetch(&url, None).unwrap().bytes, b"1");
    assert_eq!(client.fetch(&url, None).unwrap().bytes, b"2");
    let field = "authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==";
    let sent: Vec<bool> = requests.iter().take(3).map(|request| request.contains(field)).collect();
    assert_eq!(sent, [false, true, true]);
}

#[test]
fn a_refused_password_is_a_401_without_it_in_the_text() {
    let no = answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", "who?");
    let upstream = Upstream::answering(vec![no.clone(), no.clone(), no]);
    let client = plain();
    let url = upstream.url("/").replace("http://", "http://me:secret@");
    for _ in 0..2 {
        let error = client.fetch(&url, None).unwrap_err();
        assert!(matches!(error, SourceError::Status { status: 401, .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let without = Upstream::answering(vec![answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", "")]);
    assert_eq!(status(plain().fetch(&without.url("/"), None)), 401);
}

#[test]
fn what_brings_no_whole_image_is_its_status() {
    for code in [204, 205, 206, 304, 400, 403, 404, 429, 500, 502, 503] {
        let fields = if matches!(code, 204 | 304) { "" } else { "Content-Length: 0\r\n" };
        let upstream =
            Upstream::answering(vec![format!("HTTP/1.1 {code} X\r\n{fields}Retry-After: 5\r\n\r\n")]);
        assert_eq!(status(plain().fetch(&upstream.url("/"), None)), code);
    }
}

#[test]
fn a_post_brings_a_form_and_becomes_a_get_where_it_is_sent_on() {
    let (told, requests) = channel();
    let upstream = Upstream::play(vec![scene(move |peer| {
        for answer in [
            answer("303 See", "Location: /map\r\n", ""),
            png("map"),
            answer("307 Here", "Location: /\r\n", ""),
        ] {
            told.send(peer.request()).unwrap();
            peer.send(answer);
        }
    })]);
    let client = plain();
    assert_eq!(client.fetch(&upstream.url("/"), Some("sld_body=%3C")).unwrap().bytes, b"map");
    assert!(reason(client.fetch(&upstream.url("/"), Some("x"))).contains("307"));
    let first = requests.recv().unwrap();
    assert!(first.starts_with("POST / ") && first.ends_with("\r\n\r\nsld_body=%3C"), "{first}");
    assert!(
        first.to_ascii_lowercase().contains("content-type: application/x-www-form-urlencoded"),
        "{first}"
    );
    assert!(requests.recv().unwrap().starts_with("GET /map "));
}

#[test]
fn foreign_content_types_are_made_harmless() {
    let long = format!("Content-Type: text/{}\u{e4}\r\n", "x".repeat(500));
    let upstream = Upstream::answering(vec![answer("200 OK", &long, "")]);
    let fetched = plain().fetch(&upstream.url("/"), None).unwrap();
    assert!(fetched.content_type.len() < 110, "{}", fetched.content_type);
    for field in ["Content-Type: text/a\0b\r\n", "Content-Type: text/a\rb\r\n"] {
        let upstream = Upstream::answering(vec![answer("200 OK", field, "")]);
        if let Ok(fetched) = plain().fetch(&upstream.url("/"), None) {
            assert!(!fetched.content_type.contains(char::is_control), "{:?}", fetched.content_type);
        }
    }
}

#[test]
fn cookies_are_kept_where_wanted() {
    for wanted in [true, false] {
        let (told, requests) = channel();
        let upstream = Upstream::play(vec![scene(move |peer| {
            for _ in 0..2 {
                told.send(peer.request().to_ascii_lowercase()).unwrap();
                peer.send(answer("200 OK", "Set-Cookie: sid=7; Path=/\r\n", ""));
            }
        })]);
        let client = client(|options| options.manage_cookies = wanted);
        client.fetch(&upstream.url("/"), None).unwrap();
        client.fetch(&upstream.url("/"), None).unwrap();
        let sent: Vec<bool> =
            requests.iter().take(2).map(|request| request.contains("cookie: sid=7")).collect();
        assert_eq!(sent, [false, wanted]);
    }
}

#[test]
fn no_more_requests_at_once_than_allowed() {
    let dir = std::env::temp_dir().join(format!("rhumb-source-{}", std::process::id()));
    let (arrived, arrivals) = channel();
    let (release, released) = channel::<()>();
    let upstream = Upstream::play(vec![
        scene(move |peer| {
            peer.request();
            arrived.send(()).unwrap();
            let _ = released.recv();
            peer.send(png("first"));
            peer.linger();
        }),
        scene(|peer| {
            peer.request();
            peer.send(png("second"));
        }),
    ]);
    let limited = |timeout_ms| {
        client(|options| {
            options.concurrent_requests = 1;
            options.lock_dir = dir.join("locks");
            options.timeout_first_byte = Duration::from_millis(timeout_ms);
        })
    };
    let url = upstream.url("/");
    let first = std::thread::spawn({
        let (client, url) = (limited(60_000), url.clone());
        move || client.fetch(&url, None).unwrap().bytes
    });
    arrivals.recv().unwrap();
    let text = reason(limited(30).fetch(&url, None));
    assert!(text.contains("none of 1 concurrent requests"), "{text}");
    assert_eq!(upstream.connections(), 1);
    release.send(()).unwrap();
    assert_eq!(first.join().unwrap(), b"first");
    // MapProxy's name: `localhost:1` would be another one.
    let id: String = <md5::Md5 as md5::Digest>::digest(upstream.authority.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(dir.join("locks").join(format!("{id}.lck0")).exists());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = plain().fetch(&format!("http://u:secret@{closed}/wms?x"), None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("http://{closed}/wms?x: ")) && !error.contains("secret"), "{error}");
    for url in ["", "no url", "ftp://h/", "http://"] {
        assert!(plain().fetch(url, None).is_err(), "{url}");
    }
}

#[test]
fn files_are_read_by_their_urls() {
    let dir = std::env::temp_dir().join(format!("rhumb-source-files-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("a b")).unwrap();
    std::fs::write(dir.join("a b/1.png"), b"tile").unwrap();
    let url = |path: &str| format!("file://{}/{path}", dir.display());
    let fetched = plain().fetch(&url("a%20b/1.png"), None).unwrap();
    assert_eq!((fetched.content_type.as_str(), fetched.bytes.as_slice()), ("image/png", b"tile".as_slice()));
    let small = client(|options| options.body_bytes_max = 3);
    assert!(matches!(small.fetch(&url("a%20b/1.png"), None), Err(SourceError::TooLarge { .. })));
    for path in ["a%20b", "missing.png", "%00"] {
        reason(plain().fetch(&url(path), None));
    }
    reason(plain().fetch("file://relative/x.png", None));
    std::fs::remove_dir_all(&dir).unwrap();
}
