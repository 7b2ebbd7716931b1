//! What a supervisor such as systemd hears: the test is the supervisor.

use std::io::{ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use socket2::SockRef;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::harness::edge::shop;
use crate::harness::{Origin, PATIENCE, client, until};

/// Who hears what the process says.
struct Supervisor {
    folder: TempDir,
    hears: UnixDatagram,
}

impl Supervisor {
    fn new(text: &str) -> Supervisor {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("p.toml"), text).unwrap();
        let hears = UnixDatagram::bind(folder.path().join("notify.sock")).unwrap();
        hears.set_read_timeout(Some(PATIENCE)).unwrap();
        Supervisor { folder, hears }
    }

    /// The process; its watchdog wants to hear from it within this.
    fn start(&self, watchdog: Duration) -> Child {
        self.start_with(watchdog, Vec::new())
    }

    /// The process, with sockets of one that has crashed.
    fn start_with(&self, watchdog: Duration, kept: Vec<OwnedFd>) -> Child {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        if !kept.is_empty() {
            command.env("LISTEN_FDS", kept.len().to_string());
            command.env("LISTEN_FDNAMES", vec!["pointsman-own"; kept.len()].join(":"));
        }
        let mappings =
            (3..).zip(kept).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        command
            .fd_mappings(mappings.collect())
            .unwrap()
            .arg("run")
            .arg(self.folder.path().join("p.toml"))
            .env("NOTIFY_SOCKET", self.folder.path().join("notify.sock"))
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
            .stderr(Stdio::null());
        Command::from(command).kill_on_drop(true).spawn().unwrap()
    }

    /// The next sockets that it gives us to keep.
    fn hear_kept(&self) -> Vec<OwnedFd> {
        loop {
            let mut bytes = [0; 4_096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            // A process that ends interrupts whoever waits, whosever it is.
            let heard = retry_on_intr(|| recvmsg(&self.hears, &mut parts, &mut beside, flags));
            let length = heard.unwrap().bytes;
            let rights = beside.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
                _ => None,
            });
            let sockets: Vec<OwnedFd> = rights.flatten().collect();
            if String::from_utf8_lossy(&bytes[..length]).contains("FDSTORE=1") {
                return sockets;
            }
        }
    }

    /// The next that it says beside that it lives.
    fn hear_news(&self) -> String {
        loop {
            let said = self.hear();
            if !said.starts_with("WATCHDOG=1") {
                return said;
            }
        }
    }

    /// The next that it says.
    fn hear(&self) -> String {
        let mut bytes = [0; 4_096];
        let heard = loop {
            match self.hears.recv(&mut bytes) {
                // A process that has ended, whosever it was.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                heard => break heard,
            }
        };
        let length = heard.expect("something is said in time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Everything up to what says this, which comes last.
    fn hear_until(&self, wanted: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let said = self.hear();
            let is_it = said.lines().any(|line| line.starts_with(wanted));
            heard.push(said);
            if is_it {
                return heard;
            }
        }
    }
}

async fn tell(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
}

async fn file(origin: &Origin) -> (String, SocketAddr) {
    let (text, listen, _) = crate::harness::running::file("", &shop(&[("only", origin)], ""));
    (text, listen)
}

#[tokio::test]
async fn a_supervisor_hears_of_the_start_a_reload_and_the_end() {
    let origin = Origin::named("fine").await;
    let (text, listen) = file(&origin).await;
    let supervisor = Supervisor::new(&text);
    let mut process = supervisor.start(Duration::from_secs(3_600));
    supervisor.hear_until("READY=1");
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "fine");
    tell(&process, "-HUP").await;
    let reloading = supervisor.hear_until("RELOADING=1").pop().unwrap();
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
    // Its sockets are those that it had: what is kept over a crash is left alone.
    let heard = supervisor.hear_until("READY=1");
    assert!(heard.iter().all(|said| !said.contains("FDSTORE")), "{heard:?}");
    tell(&process, "-TERM").await;
    supervisor.hear_until("STOPPING=1");
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_watchdog_hears_nothing_while_nobody_is_served() {
    let origin = Origin::named("fine").await;
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = held.local_addr().unwrap();
    let admin = crate::harness::running::free();
    let text = format!(
        "[[listeners]]\naddress = \"{listen}\"\n[admin]\naddress = \"{admin}\"\n{}",
        shop(&[("only", &origin)], "")
    );
    let supervisor = Supervisor::new(&text);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let socket = FdMapping { parent_fd: held.try_clone().unwrap().into(), child_fd: 3 };
    command
        .arg("run")
        .arg(supervisor.folder.path().join("p.toml"))
        .env("LISTEN_FDS", "1")
        .env("NOTIFY_SOCKET", supervisor.folder.path().join("notify.sock"))
        .env("WATCHDOG_USEC", "800000")
        .stderr(Stdio::null());
    command.fd_mappings(vec![socket]).unwrap();
    let _process = Command::from(command).kill_on_drop(true).spawn().unwrap();
    let fed = supervisor.hear_until("WATCHDOG=1").pop().unwrap();
    assert!(fed.contains("STATUS=serving: 1 listeners"), "{fed}");
    // What is done to a socket is done to all who hold it: nobody can connect any more, and all looks
    // well from within.
    SockRef::from(&held).shutdown(std::net::Shutdown::Both).unwrap();
    supervisor.hear_until(&format!("STATUS={listen} does not answer"));
    for _ in 0..3 {
        let said = supervisor.hear();
        assert!(!said.contains("WATCHDOG=1") && said.contains("does not answer"), "{said}");
    }
}

#[tokio::test]
async fn over_a_crash_the_supervisor_keeps_the_sockets_and_nobody_is_refused() {
    let origin = Origin::named("fine").await;
    let (text, listen) = file(&origin).await;
    let supervisor = Supervisor::new(&text);
    let hour = Duration::from_secs(3_600);
    let mut process = supervisor.start(hour);
    let kept = supervisor.hear_kept();
    assert_eq!(kept.len(), 1);
    process.kill().await.unwrap();
    // Nobody is there, and yet it waits in the queue.
    let waits = tokio::spawn(client::get(listen, "shop.test", "/", &[]));
    until("somebody waits", async || TcpStream::connect(listen).await.is_ok()).await;
    let mut process = supervisor.start_with(hour, kept);
    // Where it fails to start, the next attempt is not to be given them again.
    assert_eq!(supervisor.hear_news(), "FDSTOREREMOVE=1\nFDNAME=pointsman-own\n");
    assert_eq!(waits.await.unwrap().body, "fine");
    supervisor.hear_until("READY=1");
    let kept = supervisor.hear_kept();
    assert_eq!(kept.len(), 1);
    process.kill().await.unwrap();

    // A file that listens elsewhere: what nobody wants is closed, and what there is now is kept.
    let (other, elsewhere) = file(&origin).await;
    std::fs::write(supervisor.folder.path().join("p.toml"), other).unwrap();
    let mut process = supervisor.start_with(hour, kept);
    supervisor.hear_until("READY=1");
    assert_eq!(supervisor.hear_news(), "FDSTOREREMOVE=1\nFDNAME=pointsman-own\n");
    let kept = supervisor.hear_kept();
    assert_eq!(client::get(elsewhere, "shop.test", "/", &[]).await.body, "fine");
    // A program that another test starts at this moment may still have our sockets.
    until("nobody listens", async || TcpStream::connect(listen).await.is_err()).await;
    // A reload's are others.
    std::fs::write(supervisor.folder.path().join("p.toml"), &text).unwrap();
    tell(&process, "-HUP").await;
    let others = supervisor.hear_kept();
    drop((kept, others));
    until("nobody is there any more", async || TcpStream::connect(elsewhere).await.is_err()).await;
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "fine");
    // Nobody is to wait for a process that nobody starts.
    tell(&process, "-TERM").await;
    supervisor.hear_until("STOPPING=1");
    assert_eq!(supervisor.hear_news(), "FDSTOREREMOVE=1\nFDNAME=pointsman-own\n");
    assert!(process.wait().await.unwrap().success());
}
