//! An origin that is a process of its own, so that it can be killed, frozen and started again.
//!
//! The test binary runs itself: [`origin_as_a_process`] is its entry. Each origin has a loopback
//! address of its own, so that no connection's port can be in the way when it comes back on the
//! same one, and nobody can connect to himself while it is away.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Origin, PATIENCE, Reply, until};

/// Tells the child what to be: an address and a name.
pub const ORDERS: &str = "POINTSMAN_TEST_ORIGIN";
pub const ENTRY: &str = "harness::process::origin_as_a_process";
pub const READY: &str = "listening on ";

/// The process; killed at the end of the test, however that comes.
pub struct Process {
    pub address: SocketAddr,
    pub name: &'static str,
    child: Child,
}

impl Process {
    /// A process that answers everything with 200 and its name.
    pub async fn start(name: &'static str) -> Process {
        let (address, child) = spawn(SocketAddr::new(fresh_address().into(), 0), name).await;
        Process { address, name, child }
    }

    /// Its number, while it runs.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Ends it at once, whatever it is doing (SIGKILL).
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it still runs");
        (_, self.child) = spawn(self.address, self.name).await;
    }

    /// Stops it where it stands (SIGSTOP): its sockets stay open, and the kernel still accepts.
    pub async fn freeze(&self) {
        self.signal("STOP").await;
        let id = self.id();
        until("all its threads have stopped", async || {
            let mut threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
            threads.all(|thread| {
                let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
                stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
            })
        })
        .await;
    }

    /// Lets it go on (SIGCONT).
    pub async fn thaw(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let kill = ["-c", "kill -s \"$1\" \"$2\"", "sh", name, &id];
        assert!(Command::new("sh").args(kill).status().await.unwrap().success());
    }
}

/// A loopback address that nobody else in this process has, nor in another run of the tests.
fn fresh_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(16);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(next < 250, "too many origins for one run");
    let [.., a, b] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, next, a, b.clamp(1, 254))
}

async fn spawn(address: SocketAddr, name: &str) -> (SocketAddr, Child) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ENTRY, "--nocapture", "--test-threads=1"])
        .env(ORDERS, format!("{address} {name}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once(READY) {
                return address.parse().unwrap();
            }
        }
        panic!("the origin {name} ended before it was ready");
    };
    let address = tokio::time::timeout(PATIENCE, ready).await.expect("the origin starts in time");
    (address, child)
}

/// No test but the child's entry; without orders there is nothing to do.
#[test]
fn origin_as_a_process() {
    be_what_is_ordered();
}

/// With orders, an origin until whoever gave them is gone; without, nothing.
pub fn be_what_is_ordered() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let (address, name) = orders.split_once(' ').unwrap();
    // Whoever started it holds the other end: when that goes away, so does this.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let reply = Reply::ok(name);
        let origin = Origin::at(address.parse().unwrap(), move |_| reply.clone()).await;
        println!("{READY}{}", origin.address);
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_process_is_killed_and_comes_back_on_its_port() {
    let mut process = Process::start("a").await;
    let asked = super::client::get(process.address, "a", "/", &[]).await;
    assert_eq!((asked.status, &*asked.body), (200, "a"));
    process.kill().await;
    assert!(tokio::net::TcpStream::connect(process.address).await.is_err());
    process.restart().await;
    assert_eq!(super::client::get(process.address, "a", "/", &[]).await.body, "a");
}

#[tokio::test]
async fn a_frozen_process_accepts_and_says_nothing_until_it_thaws() {
    let process = Process::start("a").await;
    process.freeze().await;
    let mut client = super::Client::connect(process.address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let silence = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(silence, client.bytes(1)).await.is_err());
    process.thaw().await;
    assert_eq!(client.response().await.body, "a");
}
