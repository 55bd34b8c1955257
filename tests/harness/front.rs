//! Real web servers in front of the daemon: nginx, Apache, HAProxy and
//! lighttpd, each in the foreground, on a port that is its own, with the
//! snippet that a test hands over inside the least configuration around it.
//! What tests/install brings must be there: a server that is missing is a failure.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User};

use super::client::{Client, End, Reply};
use super::port::Port;
use super::{TestDir, await_some};

/// The longest that a server may take to end by itself.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// A running program that is not ours, ended with the test.
pub struct Program {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

/// A web server that clients talk to.
pub struct Front {
    program: Program,
    port: Port,
    pub address: SocketAddr,
}

/// What stands in a text exactly so, replaced: a snippet in which a test
/// finds no place for its port is not the snippet that it believes to test.
pub fn put(text: &str, place: &str, value: &str) -> String {
    assert!(text.contains(place), "no {place:?} in\n{text}");
    text.replace(place, value)
}

/// A program that Debian may have put where only root looks.
pub fn program(name: &str) -> PathBuf {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: run tests/install"))
}

/// Whom Apache and what it starts run as: it refuses to be root.
pub const UNPRIVILEGED: &str = "www-data";

/// Hands a directory to [`UNPRIVILEGED`] where the tests run as root.
pub fn hand_over(path: &Path) {
    if nix::unistd::geteuid().is_root() {
        let user = User::from_name(UNPRIVILEGED).ok().flatten().expect("www-data, as Debian makes it");
        nix::unistd::chown(path, Some(user.uid), Some(user.gid)).expect("a directory handed over");
    }
}

/// A program that runs as [`UNPRIVILEGED`] where the tests run as root; it may still read
/// what root may, because the sources can lie where nobody else looks.
pub fn unprivileged(program: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("/usr/bin/setpriv");
    command
        .args(["--reuid", UNPRIVILEGED, "--regid", UNPRIVILEGED, "--clear-groups"])
        .args(["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"])
        .arg(program);
    command
}

impl Program {
    /// Starts a program whose output goes to `log`, and waits until it is ready.
    pub fn start(
        name: &'static str,
        mut command: Command,
        log: PathBuf,
        is_ready: impl Fn() -> bool,
    ) -> Program {
        let output = std::fs::File::create(&log).expect("a log");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one log for both outputs"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} starts: {error}"));
        let mut program = Program { child, name, log };
        await_some(&format!("{name} to be ready"), || {
            if let Ok(Some(status)) = program.child.try_wait() {
                panic!("{name} ended with {status}:\n{}", program.log());
            }
            is_ready().then_some(())
        });
        program
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed and logged so far.
    pub fn log(&self) -> String {
        [self.log.clone(), self.log.with_file_name("error.log")]
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap_or_default())
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = self.pid();
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.name, self.log());
        }
        let _ = killpg(Pid::from_raw(group as i32), Signal::SIGTERM);
        let deadline = Instant::now() + ENDING_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = killpg(Pid::from_raw(group as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Front {
    /// Starts a server that will listen on `port`; its output goes to `log`.
    pub fn start(name: &'static str, command: Command, port: Port, log: PathBuf) -> Front {
        let address = port.address();
        let program = Program::start(name, command, log, || TcpStream::connect(address).is_ok());
        Front { program, port, address }
    }

    /// nginx with a snippet whose server says `listen 80;`.
    pub fn nginx(dir: &TestDir, snippet: &str) -> Front {
        let port = Port::reserve();
        let site = put(snippet, "listen 80;", &format!("listen {};", port.address()));
        let home = dir.join("nginx");
        std::fs::create_dir_all(&home).expect("a directory for nginx");
        for name in ["fastcgi_params", "scgi_params", "uwsgi_params"] {
            std::fs::copy(Path::new("/etc/nginx").join(name), home.join(name)).expect("nginx's parameters");
        }
        let user = if nix::unistd::geteuid().is_root() { "user root;\n" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {};\n", home.join(kind).display()))
            .concat();
        let config = dir.write(
            "nginx/nginx.conf",
            format!(
                "{user}worker_processes 2;\npid {home}/master;\ndaemon off;\nerror_log stderr warn;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{\n    access_log {home}/access.log;\n{temporary}{site}}}\n",
                home = home.display()
            ),
        );
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(&home).arg("-e").arg("stderr").arg("-c").arg(config);
        Front::start("nginx", command, port, home.join("output.log"))
    }

    /// Apache with a site at `<VirtualHost *:80>`. Its line `# a2enmod …`
    /// names the modules beyond those that Debian switches on.
    pub fn apache(dir: &TestDir, site: &str) -> Front {
        let port = Port::reserve();
        let address = port.address();
        let site = put(site, "<VirtualHost *:80>", &format!("<VirtualHost {address}>"));
        let home = dir.join("apache");
        std::fs::create_dir_all(&home).expect("a directory for Apache");
        hand_over(&home);
        let wanted = site.lines().filter_map(|line| line.trim().strip_prefix("# a2enmod "));
        let usual = ["mpm_event", "authz_core", "authz_host", "alias", "env", "mime", "setenvif", "dir"];
        let modules: String = usual
            .into_iter()
            .chain(wanted.flat_map(str::split_whitespace))
            .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
            .collect();
        let config = dir.write(
            "apache/apache.conf",
            format!(
                "{modules}ServerRoot {home}\nServerName localhost\nListen {address}\nPidFile {home}/master\n\
                 Mutex file:{home} default\nDefaultRuntimeDir {home}\nErrorLog {home}/error.log\nTypesConfig /etc/mime.types\n\
                 LogLevel warn\nStartServers 2\nServerLimit 4\nThreadsPerChild 64\nMaxRequestWorkers 256\nMinSpareThreads 64\n\
                 <Directory />\n  Require all granted\n</Directory>\n\
                 <IfModule wsgi_module>\n  WSGISocketPrefix {home}/wsgi\n</IfModule>\n\
                 <IfModule fcgid_module>\n  FcgidIPCDir {home}\n  FcgidProcessTableFile {home}/fcgid_shm\n</IfModule>\n{site}\n",
                home = home.display()
            ),
        );
        let mut command = unprivileged(&program("apache2"));
        command.arg("-DFOREGROUND").arg("-f").arg(config);
        Front::start("Apache", command, port, home.join("output.log"))
    }

    /// HAProxy with a whole configuration whose frontend says `bind :80`.
    pub fn haproxy(dir: &TestDir, config: &str) -> Front {
        let port = Port::reserve();
        let config = put(config, "bind :80\n", &format!("bind {}\n", port.address()));
        let path = dir.write("haproxy/haproxy.cfg", config);
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(path);
        Front::start("HAProxy", command, port, dir.join("haproxy/output.log"))
    }

    /// lighttpd with a snippet that its main configuration includes.
    pub fn lighttpd(dir: &TestDir, snippet: &str) -> Front {
        let port = Port::reserve();
        let home = dir.join("lighttpd");
        let config = dir.write(
            "lighttpd/lighttpd.conf",
            format!(
                "server.document-root = \"{home}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
                 server.errorlog = \"{home}/error.log\"\nserver.pid-file = \"{home}/master\"\n\
                 server.upload-dirs = ( \"{home}\" )\n{snippet}\n",
                home = home.display(),
                port = port.number
            ),
        );
        let mut command = Command::new(program("lighttpd"));
        command.arg("-D").arg("-f").arg(config);
        Front::start("lighttpd", command, port, home.join("output.log"))
    }

    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    pub fn port(&self) -> u16 {
        self.port.number
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address).unwrap_or_else(|error| panic!("{}: {error}", self.program.name))
    }

    /// One request, the bytes of a whole one, on a connection of its own.
    pub fn ask(&self, request: &str) -> Result<Reply, End> {
        let mut client = self.client();
        client.send(request).map_err(|_| End::Reset)?;
        client.read_reply(request.starts_with("HEAD "))
    }

    pub fn log(&self) -> String {
        self.program.log()
    }
}
