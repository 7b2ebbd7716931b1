//! A proxy that is a process of its own, with a config file and free ports, to be told by signals.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::client;
use super::until;

/// A process with a file, and where it listens.
pub struct Running {
    pub folder: TempDir,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
}

/// An address that nobody else takes before it is bound: below those that the system gives to who connects
/// or asks for any port, and another one each time.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (first, ports) = (std::process::id().wrapping_mul(997), 20_000);
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + first.wrapping_add(nth) % ports;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
        assert!(nth < 10 * ports, "no port is free");
    }
}

/// A file with these lines in `[server]`, on free addresses.
pub fn file(server: &str, services: &str) -> (String, SocketAddr, SocketAddr) {
    let (listen, admin) = (free(), free());
    let text = format!(
        "[server]\n{server}\n[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"{admin}\"\n\
         {services}"
    );
    (text, listen, admin)
}

/// A library of this C, made in a folder, for a process to load before the system's own.
pub async fn preloaded(folder: &Path, source: &str) -> PathBuf {
    let (file, made) = (folder.join("preloaded.c"), folder.join("preloaded.so"));
    std::fs::write(&file, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).args([&made, &file]).arg("-ldl");
    assert!(cc.status().await.unwrap().success());
    made
}

impl Running {
    /// With these lines in `[server]`.
    pub async fn start(server: &str, services: &str) -> Running {
        Running::with(server, services, None).await
    }

    /// With at most so many descriptors.
    pub async fn with(server: &str, services: &str, most: Option<u32>) -> Running {
        let folder = TempDir::new().unwrap();
        let (text, listen, admin) = file(server, services);
        std::fs::write(folder.path().join("p.toml"), text).unwrap();
        let child = run(&folder, admin, most).await;
        Running { folder, listen, admin, child }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Starts it once more where it was.
    pub async fn start_again(&mut self) {
        self.child = run(&self.folder, self.admin, None).await;
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    pub async fn until_not_ready(&self) {
        until("it is not ready", async || {
            client::get(self.admin, "localhost", "/readyz", &[]).await.status == 503
        })
        .await;
    }

    pub async fn ends_well(&mut self) {
        assert!(self.child.wait().await.unwrap().success());
    }
}

async fn run(folder: &TempDir, admin: SocketAddr, most: Option<u32>) -> Child {
    let program = env!("CARGO_BIN_EXE_pointsman");
    let mut command = match most {
        None => Command::new(program),
        Some(most) => {
            let mut command = Command::new("prlimit");
            command.args([&format!("--nofile={most}:{most}"), program]);
            command
        }
    };
    let child = command
        .arg("run")
        .arg(folder.path().join("p.toml"))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("it is ready", async || {
        TcpStream::connect(admin).await.is_ok()
            && client::get(admin, "localhost", "/readyz", &[]).await.status == 200
    })
    .await;
    child
}
