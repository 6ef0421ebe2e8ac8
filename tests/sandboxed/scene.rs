//! What there is for the confined process to reach and not to reach.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

/// A backing, a secret beside it, a process that can be attacked, and places
/// that can be called. All is gone when this is dropped.
pub struct Scene {
    scratch: TempDir,
    victim: Child,
    tcp: TcpListener,
    udp: UdpSocket,
    _unix: UnixListener,
    _abstract: UnixListener,
    abstract_name: String,
}

impl Scene {
    pub fn new() -> Self {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let at = |name: &str| scratch.path().join(name);
        for directory in ["backing/sub", "backing/empty", "outside", "mountpoint"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::create_dir(at("cache")).unwrap();
        fs::write(at("backing/file"), "content").unwrap();
        fs::write(at("backing/sub/file"), "content below").unwrap();
        fs::write(at("outside/secret"), "secret").unwrap();
        let unix = UnixListener::bind(at("socket")).unwrap();
        let abstract_name = format!("continuity-test-{}", scratch.path().display());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        Self {
            victim: Command::new("sleep").arg("600").spawn().unwrap(),
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            _unix: unix,
            _abstract: UnixListener::bind_addr(&address).unwrap(),
            abstract_name,
            scratch,
        }
    }

    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    pub fn backing(&self) -> PathBuf {
        self.path().join("backing")
    }

    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("SCENE", self.path().to_str().unwrap().to_owned()),
            ("VICTIM", self.victim.id().to_string()),
            ("TCP", self.tcp.local_addr().unwrap().to_string()),
            ("UDP", self.udp.local_addr().unwrap().to_string()),
            ("ABSTRACT", self.abstract_name.clone()),
        ]
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}
