//! Where web servers mount us with their parameters as they come, over
//! FastCGI, SCGI and uwsgi (docs/fastcgi.md): the address in the capabilities
//! is the one that was asked.

use crate::harness::daemon::Setup;
use crate::harness::front::{Front, hand_over};
use crate::harness::{Daemon, Reply, TestDir, Upstream, painted};
use crate::smoke::painted_map;

const HOST: &str = "maps.example.org";

fn start(dir: &TestDir, upstream: &Upstream) -> Daemon {
    std::fs::create_dir_all(dir.join("var")).expect("a directory for sockets");
    hand_over(dir.path());
    let setup = Setup::new(dir, painted_map(upstream));
    ["fastcgi", "scgi", "uwsgi"]
        .iter()
        .fold(setup, |setup, name| setup.listen(&format!("{name}: var/{name}, mode: 0666")))
        .start()
}

fn get(front: &Front, target: &str) -> Reply {
    let mut client = front.client();
    // HTTP/1.0: Apache sends in chunks what comes over FastCGI, whatever its length.
    client.send(format!("GET {target} HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).expect("the server reads");
    client.read_reply(false).unwrap_or_else(|end| panic!("{target}: {end:?}"))
}

fn check_mount(front: &Front, prefix: &str) {
    let capabilities =
        get(front, &format!("{prefix}/service?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetCapabilities"));
    let text = capabilities.text();
    assert_eq!(capabilities.status, 200, "{prefix}: {text}");
    assert!(text.contains(&format!("\"http://{HOST}{prefix}/service?\"")), "{prefix}: {text}");
    let tile = get(front, &format!("{prefix}/wmts/painted/GLOBAL_WEBMERCATOR/05/17/11.png"));
    painted::check(&tile.body, 5, 17, 11)
        .unwrap_or_else(|fault| panic!("{prefix}: {} {fault} {}", tile.status, tile.text()));
    let start_page = get(front, &format!("{prefix}/"));
    assert!(
        start_page.text().contains(&format!("http://{HOST}{prefix}/demo/")),
        "{prefix}: {}",
        start_page.text()
    );
    assert_eq!(get(front, &format!("{prefix}/nothing")).status, 404, "{prefix}");
}

#[test]
fn nginx_with_its_own_parameters() {
    let (dir, upstream) = (TestDir::new("mounts-nginx"), Upstream::start());
    let daemon = start(&dir, &upstream);
    let socket = |name: &str| format!("unix:{}", dir.join("var").join(name).display());
    let location = |prefix: &str, name: &str, more: &str| {
        let pass = format!("{name}_pass {};", socket(name));
        format!(
            "    location {prefix}/ {{\n        {more}\n        include {name}_params;\n        {pass}\n    }}\n"
        )
    };
    let site = [
        location("/f", "fastcgi", ""),
        location("/s", "scgi", ""),
        location("/u", "uwsgi", ""),
        location("/a/b", "uwsgi", ""),
        location("/mounted", "uwsgi", "uwsgi_param SCRIPT_NAME /mounted; uwsgi_modifier1 30;"),
        location("/rewritten", "uwsgi", "rewrite ^/rewritten(/.*)$ $1 break;"),
        location(
            "/split",
            "fastcgi",
            "fastcgi_split_path_info ^(/split)(/.*)$; fastcgi_param PATH_INFO $fastcgi_path_info;",
        ),
    ];
    let front = Front::nginx(&dir, &format!("server {{\n    listen 80;\n{}}}\n", site.concat()));
    for prefix in ["/f", "/s", "/u", "/a/b", "/mounted", "/rewritten", "/split"] {
        check_mount(&front, prefix);
    }
    drop(front);
    daemon.stop();
}

#[test]
fn apache_with_each_of_its_modules() {
    let (dir, upstream) = (TestDir::new("mounts-apache"), Upstream::start());
    let daemon = start(&dir, &upstream);
    let pass = |prefix: &str, name: &str, scheme: &str, below: &str| {
        format!(
            "    ProxyPass {prefix} unix:{}|{scheme}://localhost/{below}\n",
            dir.join("var").join(name).display()
        )
    };
    let site = [
        pass("/f", "fastcgi", "fcgi", ""),
        pass("/s", "scgi", "scgi", ""),
        pass("/u", "uwsgi", "uwsgi", ""),
        pass("/whole", "uwsgi", "uwsgi", "whole"),
    ];
    let front = Front::apache(
        &dir,
        &format!(
            "# a2enmod proxy proxy_fcgi proxy_scgi proxy_uwsgi\n<VirtualHost *:80>\n{}</VirtualHost>\n",
            site.concat()
        ),
    );
    for prefix in ["/f", "/s", "/u", "/whole"] {
        check_mount(&front, prefix);
    }
    drop(front);
    daemon.stop();
}
