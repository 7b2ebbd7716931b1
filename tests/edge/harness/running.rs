//! A proxy that is a process of its own, with a config file and free ports, to be told by signals.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

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

/// An address that nobody else takes, neither before it is bound nor while who had it is away: below those
/// that the system gives to who connects or asks for any port, another one each time, and of a block that is
/// this process's, whoever else runs these tests beside it.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static BLOCK: LazyLock<(u16, TcpListener)> = LazyLock::new(block);
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(nth < BLOCK_LENGTH, "no port is free");
        let address = local(FIRST_PORT + BLOCK.0 * BLOCK_LENGTH + nth);
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

const FIRST_PORT: u16 = 12_000;
const BLOCK_LENGTH: u16 = 1_000;
const BLOCKS: u16 = 20;

/// A block of ports that no other process has, with what says so for as long as this one lives: whoever
/// listens on the port below the blocks that has the block's number.
fn block() -> (u16, TcpListener) {
    let first = (std::process::id() % u32::from(BLOCKS)) as u16;
    let blocks = (0..BLOCKS).map(|nth| (first + nth) % BLOCKS);
    let guard = |block| TcpListener::bind(local(FIRST_PORT - BLOCKS + block));
    let mut free = blocks.filter_map(|block| Some((block, guard(block).ok()?)));
    free.next().expect("fewer than twenty run these tests at once")
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
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
    until_ready(admin).await;
    child
}

/// Waits until whoever has this admin address is there and takes requests.
pub async fn until_ready(admin: SocketAddr) {
    until("it is ready", async || {
        TcpStream::connect(admin).await.is_ok()
            && client::get(admin, "localhost", "/readyz", &[]).await.status == 200
    })
    .await;
}
