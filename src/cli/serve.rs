//! The commands that start a master: `rhumb`, `develop`, `serve`. They say how
//! the settings are found; reading them is the probe's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Develop, SYSTEM_REFUSED, Serve, Start, USAGE};
use crate::conf::daemon::{
    self, Daemon, Fsync, Limits, Listen, ListenAddress, LogFormat, LogOptions, LogTarget, Maps, Protocol,
};
use crate::conf::{FileSet, Finding};
use crate::master::{self, Origin, Recipe, Settle};
use crate::{app, log, sys};

const PORT: u16 = 8080;

/// Finds the settings, given where the web server listens that started us.
type Settling = Box<dyn Fn(&mut FileSet, Option<&ListenAddress>) -> (Option<Daemon>, Vec<Finding>)>;

/// `rhumb`: the world map inside the program.
pub fn serve_embedded(start: Start) -> ExitCode {
    let settle = |_: &mut FileSet, spawner: Option<&ListenAddress>| {
        (Some(develop_daemon(Maps::Embedded, spawner)), Vec::new())
    };
    run(Box::new(settle), start, Attended::Yes)
}

/// `rhumb develop`.
pub fn develop(arguments: Develop, start: Start) -> ExitCode {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let config = arguments.config.as_ref().map(absolute);
    let map = arguments.map.as_ref().map(absolute);
    let settle = move |files: &mut FileSet, spawner: Option<&ListenAddress>| {
        let maps = map.as_deref().map(tell_maps);
        let (daemon, findings) = match &config {
            Some(file) => daemon::load_spawned(file, files, spawner),
            None => (Some(develop_daemon(Maps::Embedded, spawner)), Vec::new()),
        };
        let is_spawned = spawner.is_some();
        (daemon.map(|daemon| with_arguments(daemon, maps, &arguments, is_spawned)), findings)
    };
    run(Box::new(settle), start, Attended::Yes)
}

/// `rhumb serve`.
pub fn serve(arguments: Serve, start: Start) -> ExitCode {
    let file = std::path::absolute(&arguments.config).unwrap_or(arguments.config);
    let attended = if arguments.daemon { Attended::Detached } else { Attended::No };
    run(Box::new(move |files, spawner| daemon::load_spawned(&file, files, spawner)), start, attended)
}

/// Who is there when the daemon has started.
#[derive(Clone, Copy, PartialEq)]
enum Attended {
    /// A person who wants to see a map.
    Yes,
    /// Whoever started us; we stay in the foreground.
    No,
    /// Nobody: we go to the background.
    Detached,
}

fn run(settle: Settling, start: Start, attended: Attended) -> ExitCode {
    if start.handshake {
        let settle: Box<Settle> = Box::new(move |files| settle(files, None));
        return ExitCode::from(master::answer_handshake(&settle, build));
    }
    // Before anything else opens a descriptor, forks or changes directory.
    let origin = match Origin::take() {
        Ok(origin) => origin,
        Err(error) => {
            log::error!("cannot start: {error}");
            return ExitCode::from(SYSTEM_REFUSED);
        }
    };
    let spawner = origin.spawner_address();
    // A web server that started us is nobody to read an address, and watches
    // over the process that it knows.
    let is_spawned = spawner.is_some();
    let settle: Box<Settle> = Box::new(move |files| settle(files, spawner.as_ref()));
    // Who started the old master has heard that it is ready.
    let is_heir = origin.parent.is_some();
    let ready = match start.ready_fd.filter(|_| !is_heir).map(sys::adopt_descriptor).transpose() {
        Ok(ready) => ready,
        Err(error) => {
            log::error!("--ready-fd {}: {error}", start.ready_fd.unwrap_or(-1));
            return ExitCode::from(USAGE);
        }
    };
    let detaches = attended == Attended::Detached && !is_heir && !is_spawned;
    let launch = match detaches.then(master::detach).transpose() {
        Ok(launch) => launch,
        Err(error) => {
            log::error!("cannot go to the background: {error}");
            return ExitCode::from(SYSTEM_REFUSED);
        }
    };
    let shows_demo = attended == Attended::Yes && !is_heir && !is_spawned;
    crate::geo::proj::map_library();
    master::run(Recipe { settle, build, ready, shows_demo, launch }, origin)
}

/// The probe's work: everything a worker would do before it serves.
fn build(daemon: &Daemon, files: &mut FileSet) -> Vec<Finding> {
    match app::build(daemon, files) {
        Ok(app) => app.warnings,
        Err(findings) => findings,
    }
}

fn tell_maps(path: &Path) -> Maps {
    if path.is_dir() { Maps::Directory(path.to_owned()) } else { Maps::File(path.to_owned()) }
}

/// What is typed goes before what the file says.
fn with_arguments(mut daemon: Daemon, maps: Option<Maps>, arguments: &Develop, is_spawned: bool) -> Daemon {
    if let Some(maps) = maps {
        daemon.maps = maps;
    }
    if let Some(address) = arguments.bind.filter(|_| !is_spawned) {
        daemon.listen = vec![listen_on(address)];
    }
    daemon.watch = !arguments.no_reload;
    daemon.allow_listing |= arguments.allow_listing;
    daemon
}

/// The settings of a development server that has no file.
fn develop_daemon(maps: Maps, spawner: Option<&ListenAddress>) -> Daemon {
    let own = listen_on(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    let given = spawner.map(|address| Listen::new(address.clone(), Protocol::FastCgi));
    Daemon {
        file: None,
        maps,
        listen: vec![given.unwrap_or(own)],
        workers: None,
        user: None,
        group: None,
        pid_file: None,
        control: None,
        admin: None,
        log: LogOptions { access: LogTarget::Stderr, error: LogTarget::Stderr, format: LogFormat::Human },
        fsync: Fsync::None,
        // Who works on tiles by hand wants to see it at once.
        limits: Limits { stored_trust_ms: 0, ..Limits::default() },
        proxies: None,
        auth: None,
        decorate: Vec::new(),
        watch: false,
        allow_listing: false,
    }
}

fn listen_on(address: SocketAddr) -> Listen {
    Listen::new(ListenAddress::Tcp(address), Protocol::Http)
}

/// `[HOST:]PORT`; without a host, this machine only.
pub fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let wanted = || "[HOST:]PORT, for example 8080, 0.0.0.0:8080 or [::1]:8080".to_owned();
    if !text.contains(':') {
        return Err(wanted());
    }
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}; wanted: {}", wanted()))?;
    found.next().ok_or_else(|| format!("no address for it; wanted: {}", wanted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_bind() {
        for (text, address) in [
            ("9000", "127.0.0.1:9000"),
            ("0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(parse_bind(text).map(|a| a.to_string()), Ok(address.to_owned()));
        }
        for text in ["", "host", "99999", "127.0.0.1", "127.0.0.1:99999", "::1"] {
            assert!(parse_bind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn typed_arguments_go_before_the_file() {
        let arguments = Develop {
            map: None,
            config: None,
            bind: parse_bind("0.0.0.0:1").ok(),
            reload: false,
            no_reload: false,
            allow_listing: true,
        };
        let maps = Some(Maps::File(PathBuf::from("/a.yaml")));
        let daemon = with_arguments(develop_daemon(Maps::Embedded, None), maps, &arguments, false);
        assert_eq!(daemon.maps, Maps::File(PathBuf::from("/a.yaml")));
        assert_eq!(daemon.listen.len(), 1);
        assert!(daemon.watch && daemon.allow_listing);
        assert_eq!((daemon.limits.stored_trust_ms, Limits::default().stored_trust_ms), (0, 1_000));
    }
}
