//! Keys about certificates: a server whose certificate a private authority has
//! signed, run by `openssl s_server`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::daemon::Setup;
use crate::harness::{TestDir, painted};

fn openssl(dir: &TestDir, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(dir.path()).output();
    let done = done.expect("openssl runs");
    assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A server of files that are whole answers, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(dir: &Path) -> Server {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "leaf.pem", "-key", "leaf.key", "-HTTP"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        // It says "ACCEPT 127.0.0.1:45123" once it listens.
        let said = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut lines = said.lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).expect("an address");
        std::thread::spawn(move || lines.for_each(drop));
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Server { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_private_authority_is_believed_when_it_is_named() {
    let dir = TestDir::new("keys-tls");
    openssl(&dir, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
    openssl(&dir, "req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=localhost");
    dir.write("names", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    openssl(
        &dir,
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out leaf.pem -extfile names",
    );
    let picture = painted::tile(0, 0, 0);
    let head =
        format!("HTTP/1.0 200 OK\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n", picture.len());
    dir.write("answer", [head.as_bytes(), &picture].concat());
    let server = Server::start(dir.path());
    let map = |globals: &str, http: &str| {
        format!(
            "globals: {{cache: {{meta_size: [1, 1], meta_buffer: 0}}{globals}}}\n\
             sources: {{one: {{type: tile, url: 'https://localhost:{}/answer'{http}}}}}\n\
             caches: {{maps: {{sources: [one], disable_storage: true, grids: [GLOBAL_MERCATOR]}}}}\n\
             layers: [{{name: maps, title: Maps, sources: [maps]}}]\nservices: {{tms: {{}}}}\n",
            server.port
        )
    };
    let authority = dir.join("ca.pem").display().to_string();
    for (name, globals, http) in [
        ("nothing", String::new(), String::new()),
        ("everywhere", format!(", http: {{ssl_ca_certs: '{authority}'}}"), String::new()),
        ("here", String::new(), format!(", http: {{ssl_ca_certs: '{authority}'}}")),
        ("unchecked", String::new(), ", http: {ssl_no_cert_checks: true}".to_owned()),
        (
            "checked",
            ", http: {ssl_no_cert_checks: true}".to_owned(),
            ", http: {ssl_no_cert_checks: false}".to_owned(),
        ),
    ] {
        dir.write(&format!("maps/{name}.yaml"), map(&globals, &http));
    }
    let daemon = Setup::embedded(&dir).workers(1).daemon_yaml("maps: maps\n").start();
    for (name, status) in
        [("nothing", 500), ("everywhere", 200), ("here", 200), ("unchecked", 200), ("checked", 500)]
    {
        let reply = daemon.get(&format!("/{name}/tiles/1.0.0/maps/EPSG900913/0/0/0.png"));
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        if status == 200 {
            painted::check(&reply.body, 0, 0, 0).expect("the server's tile");
        }
    }
    assert!(daemon.log().contains("ertificate"), "{}", daemon.log());
    daemon.stop();
}
