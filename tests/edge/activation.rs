//! Sockets that a service manager holds, and the process only uses: the test is the manager.

use std::net::{SocketAddr, TcpListener as Listening, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener as UnixListening, UnixStream as StdUnixStream};
use std::process::Stdio;

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::harness::edge::shop;
use crate::harness::running::until_ready;
use crate::harness::{Client, Load, Origin, Reply, client};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";

/// So long that what ends does so for its reason.
const LONG: &str = "drain = \"10m\"\ndrain_idle = \"10m\"\n";

fn held() -> (Listening, SocketAddr) {
    let socket = Listening::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A manager: a folder with a file, and sockets by name.
struct Manager {
    folder: TempDir,
    sockets: Vec<(&'static str, OwnedFd)>,
    admin: SocketAddr,
}

impl Manager {
    fn of(text: &str, admin: SocketAddr, sockets: Vec<(&'static str, OwnedFd)>) -> Manager {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("p.toml"), text).unwrap();
        Manager { folder, sockets, admin }
    }

    /// Starts the process, as systemd does.
    async fn start(&self) -> Child {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let pass = |(nth, (_, socket)): (usize, &(&str, OwnedFd))| FdMapping {
            parent_fd: socket.try_clone().unwrap(),
            child_fd: 3 + i32::try_from(nth).unwrap(),
        };
        let names: Vec<_> = self.sockets.iter().map(|(name, _)| *name).collect();
        command
            .arg("run")
            .arg(self.folder.path().join("p.toml"))
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .stderr(Stdio::null())
            .fd_mappings(self.sockets.iter().enumerate().map(pass).collect())
            .unwrap();
        let child = Command::from(command).kill_on_drop(true).spawn().unwrap();
        until_ready(self.admin).await;
        child
    }
}

async fn tell(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
}

async fn ask_unix(path: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn nobody_is_refused_or_reset_while_the_process_is_away() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    let ((listener, listen), (admin_listener, admin)) = (held(), held());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("p.sock");
    let unix = UnixListening::bind(&path).unwrap();
    let text = format!(
        "[server]\n{LONG}[[listeners]]\naddress = \"{listen}\"\n[[listeners]]\naddress = \
         \"unix:{}\"\n[admin]\naddress = \"{admin}\"\n{}",
        path.display(),
        shop(&[("only", &origin)], "")
    );
    let sockets =
        vec![("web", listener.into()), ("local", unix.into()), ("admin", admin_listener.into())];
    let manager = Manager::of(&text, admin, sockets);
    let mut process = manager.start().await;
    let load = Load::gets(listen, 400).start();
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut fresh = JoinSet::new();
    for _ in 0..4 {
        let is_over = is_over.clone();
        fresh.spawn(async move {
            let mut answered = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let mut client = Client::of(TcpStream::connect(listen).await.expect("accepted"));
                assert!(client.try_send(GET.as_bytes()).await);
                let answer = client.outcome(false).await;
                assert!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
                answered += 1;
            }
            answered
        });
    }
    for _ in 0..3 {
        load.until_more(100).await;
        tell(&process, "-TERM").await;
        assert!(process.wait().await.unwrap().success());
        // Who comes now stands in a queue that is not the process's.
        let path = path.clone();
        let waits = tokio::spawn(async move { ask_unix(&path).await });
        process = manager.start().await;
        assert!(waits.await.unwrap().starts_with("HTTP/1.1 200"));
    }
    load.until_more(100).await;
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    let records = load.stop().await;
    let failed: Vec<_> = records.iter().filter(|record| !record.is_ok()).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), records.len());
    assert!(fresh.join_all().await.iter().sum::<u32>() > 3);
    assert!(path.exists(), "the file is the manager's");
}

#[tokio::test]
async fn what_is_passed_is_not_passed_on_and_what_is_no_use_is_closed() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    let ((listener, listen), (admin_listener, admin)) = (held(), held());
    let (junk, mut other) = StdUnixStream::pair().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"{admin}\"\n{}",
        shop(&[("only", &origin)], "")
    );
    let sockets = vec![
        ("junk", junk.into()),
        ("web", listener.into()),
        ("udp", udp.into()),
        ("admin", admin_listener.into()),
    ];
    let mut manager = Manager::of(&text, admin, sockets);
    let process = manager.start().await;
    manager.sockets.remove(0);
    // Nobody has the other end any more.
    assert_eq!(std::io::Read::read(&mut other, &mut [0]).unwrap(), 0);
    let about = format!("/proc/{}/fdinfo", process.id().unwrap());
    let mut seen = 0;
    for entry in std::fs::read_dir(about).unwrap() {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        // A file may be closed while it is looked at.
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        // What the test itself has inherited is no matter of the process.
        if (3..7).contains(&number) {
            assert!(flags & 0o2_000_000 != 0, "{number} goes on to hooks: {text}");
            seen += 1;
        }
    }
    assert!(seen >= 2, "both that are used");
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "fine");
}

#[tokio::test]
async fn a_reload_takes_and_gives_back_what_the_manager_holds() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    let ((first, listen), (second, later), (admin_listener, admin)) = (held(), held(), held());
    let services = shop(&[("only", &origin)], "");
    let with = |more: &str| {
        format!(
            "[server]\n{LONG}[[listeners]]\naddress = \"{listen}\"\n{more}[admin]\naddress = \
             \"{admin}\"\n{services}"
        )
    };
    let sockets = vec![("a", first.into()), ("b", second.into()), ("admin", admin_listener.into())];
    let manager = Manager::of(&with(""), admin, sockets);
    let _process = manager.start().await;
    // It stands in the queue until somebody accepts there.
    let mut early = Client::connect(later).await;
    early.send(GET).await;
    let both = with(&format!("[[listeners]]\naddress = \"{later}\"\n"));
    for text in [&both, &with(""), &both] {
        std::fs::write(manager.folder.path().join("p.toml"), text).unwrap();
        let mut admin = Client::connect(admin).await;
        admin
            .send("POST /v1/config/reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
            .await;
        let answer = admin.response().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(early.response().await.body, "fine");
    assert_eq!(client::get(later, "shop.test", "/", &[]).await.body, "fine");
}
