//! The peers: MapProxy beside the daemon, a real WMS behind both. What
//! tests/install brings must be there: a peer that is missing is a failure.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::client::{Client, Reply};
use super::port::Port;
use super::{await_some, silent};

/// A program or directory below what tests/install made.
pub fn peer(name: &str) -> PathBuf {
    let base = std::env::var_os("RHUMB_PEERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"), PathBuf::from);
    let path = base.join(name);
    assert!(path.exists(), "{} is missing: run tests/install", path.display());
    path
}

/// The real WMS that tests/run starts (`RHUMB_UPSTREAM`).
pub fn real_wms() -> String {
    std::env::var("RHUMB_UPSTREAM").expect("RHUMB_UPSTREAM names a real WMS: tests/run starts one")
}

/// MapProxy 7.0.0 serving one configuration.
pub struct MapProxy {
    child: Child,
    _port: Port,
    pub address: SocketAddr,
}

impl MapProxy {
    pub fn start(config: &Path) -> MapProxy {
        MapProxy::start_with(config, "tests/conformance/mapproxy_server.py")
    }

    /// The same with a mesh so fine that it is no source of error.
    pub fn start_with_fine_mesh(config: &Path) -> MapProxy {
        MapProxy::start_with(config, "tests/parity/fine_mesh_server.py")
    }

    /// The same with the callbacks of a module, which is put beside `config`.
    pub fn start_with_callbacks(config: &Path, module: &Path) -> MapProxy {
        std::fs::copy(module, config.with_file_name("mymaps.py")).expect("the module beside the map");
        MapProxy::start_with(config, "tests/parity/callback_server.py")
    }

    fn start_with(config: &Path, server: &str) -> MapProxy {
        let port = Port::reserve();
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join(server);
        let log = std::fs::File::create(config.with_extension(format!("{}.log", port.number)))
            .expect("a log for MapProxy");
        let mut child = Command::new(peer("venv/bin/python"))
            .arg(server)
            .arg(config)
            .arg(port.number.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one log for both outputs"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("MapProxy starts");
        let address = port.address();
        await_some("MapProxy to listen", || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("MapProxy ended with {status}");
            }
            TcpStream::connect(address).ok()
        });
        MapProxy { child, _port: port, address }
    }

    pub fn get(&self, target: &str) -> Reply {
        let mut client = Client::connect(self.address).expect("MapProxy accepts");
        client.get(target).unwrap_or_else(|end| panic!("MapProxy: {target} ended with {end:?}"))
    }
}

impl Drop for MapProxy {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id() as i32);
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
        debug_assert!(silent::group(self.child.id()).is_empty());
    }
}
