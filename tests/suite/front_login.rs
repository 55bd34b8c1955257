//! Web servers that have a login of their own and name the user by
//! `REMOTE_USER`: nginx and lighttpd over FastCGI.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::auth::{guarded_map, told, upstream};
use crate::harness::daemon::Setup;
use crate::harness::front::{Front, put};
use crate::harness::snippet::etc;
use crate::harness::{TestDir, painted};

/// What lighttpd's documentation shows, in front of `/proxy`.
const LIGHTTPD: &str = r#"server.modules += ( "mod_auth", "mod_authn_file", "mod_fastcgi" )
auth.backend = "htpasswd"
auth.backend.htpasswd.userfile = "USERS"
auth.require = ( "/proxy" => ( "method" => "basic", "realm" => "maps", "require" => "valid-user" ) )
fastcgi.server += ( "/proxy" => (( "check-local" => "disable", "socket" => "SOCKET" )) )
"#;

#[test]
fn a_login_of_the_web_servers_is_believed() {
    let (dir, upstream) = (TestDir::new("front-login"), upstream());
    let password = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, b"pass"));
    let users = dir.write("users", format!("ann:{{SHA}}{password}\neve:{{SHA}}{password}\n"));
    let users = users.display().to_string();
    let socket = dir.join("fcgi-socket").display().to_string();
    let daemon = Setup::new(&dir, guarded_map(&upstream))
        .workers(1)
        .listen(&format!("fastcgi: {socket}, mode: 0666"))
        .daemon_yaml("auth: {remote_user: yes, rules: [{users: [ann], layers: [open]}]}\n")
        .start();
    let nginx = put(&etc("nginx-fastcgi.conf"), "/srv/maps/var/fcgi-socket", &socket);
    let login = format!(
        "include fastcgi_params;\n        auth_basic maps;\n        auth_basic_user_file {users};\n        \
         fastcgi_param REMOTE_USER $remote_user;"
    );
    let nginx = Front::nginx(&dir, &put(&nginx, "include fastcgi_params;", &login));
    let lighttpd = Front::lighttpd(&dir, &put(&put(LIGHTTPD, "USERS", &users), "SOCKET", &socket));
    for (name, front) in [("nginx", &nginx), ("lighttpd", &lighttpd)] {
        for (credentials, layer, status) in [
            (Some("ann:pass"), "open", 200),
            (Some("ann:pass"), "closed", 403),
            (Some("eve:pass"), "open", 403),
            (Some("ann:other"), "open", 401),
            (None, "open", 401),
        ] {
            let login = credentials.map(|text| format!("Authorization: Basic {}\r\n", STANDARD.encode(text)));
            let request = format!(
                "GET /proxy/wmts/{layer}/GLOBAL_WEBMERCATOR/05/17/11.png HTTP/1.1\r\nHost: maps.example.org\r\n\
                 Remote-User: ann\r\nX-Remote-User: ann\r\n{}\r\n",
                login.unwrap_or_default()
            );
            let reply = front.ask(&request).expect("an answer");
            assert_eq!(reply.status, status, "{name} {credentials:?} {layer}: {}", told(&reply));
            if status == 200 {
                painted::check(&reply.body, 5, 17, 11).expect("the right tile");
                let control = reply.header("cache-control").unwrap_or_default();
                assert!(control.starts_with("private"), "{name}: {control}");
            }
        }
    }
    drop((nginx, lighttpd));
    daemon.stop();
}
