//! Another process takes the place of the running one: nobody notices, and what goes wrong with it changes
//! nothing.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use command_fds::{CommandFdExt, FdMapping};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::hanging_disk::LIBRARY;
use crate::harness::edge::shop;
use crate::harness::running::{file, free, preloaded};
use crate::harness::{Client, Gate, Installed, Load, Origin, Reply, client, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// So long that what ends does so for its reason.
const LONG: &str = "drain = \"10m\"\ndrain_idle = \"10m\"\n";

fn failed(records: &[crate::harness::load::Record]) -> Vec<String> {
    let failed = records.iter().filter(|record| !record.is_ok());
    failed.map(|record| format!("{:?}", record.end)).collect()
}

/// What a metric says; the sum of all its series.
async fn metric(installed: &Installed, name: &str) -> f64 {
    let text = client::get(installed.admin, "localhost", "/metrics", &[]).await.body;
    let is_it =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let series = text.lines().filter(is_it);
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn status(installed: &Installed, path: &str) -> Value {
    installed.ask("GET", path, "").await.1
}

#[tokio::test]
async fn three_upgrades_under_load_lose_nothing() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let origin = Origin::with(move |request| match request.head.split(' ').nth(1) {
        Some("/socket") => Reply::Echo(switch.into()),
        _ => Reply::ok("fine"),
    })
    .await;
    let (text, listen, admin) = file(LONG, &shop(&[("blue", &origin), ("green", &origin)], ""));
    let mut installed = Installed::start(&text, admin).await;
    let mut tunnel = Client::connect(listen).await;
    let ask = "GET /socket HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
               sec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n";
    tunnel.send(ask).await;
    assert_eq!(tunnel.response().await.status, 101);
    let kept = Load::gets(listen, 300).start();
    let posts = Load::posts(listen, 50).start();
    let fresh = Load {
        request: "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n",
        connections: 4,
        ..Load::gets(listen, 100)
    };
    let fresh = fresh.start();
    for round in 1..=3_u64 {
        kept.until_more(100).await;
        let before = installed.last();
        let (status, said) = installed.upgrade().await;
        assert_eq!(status, 200, "upgrade {round}: {said}");
        assert_ne!(installed.last(), before);
        // Whoever serves takes orders and goes on where the one before was.
        let weights = format!("{{\"weights\": {{\"blue\": {}, \"green\": {round}}}}}", 100 - round);
        let (status, said) = installed.ask("PUT", "/v1/services/shop/split", &weights).await;
        assert_eq!((status, &said["revision"]), (200, &(round + 1).into()), "{said}");
        kept.until_all_have_asked().await;
    }
    for (load, kind) in [(kept, "kept"), (posts, "posts"), (fresh, "fresh")] {
        let records = load.stop().await;
        assert!(
            records.len() > 20 && failed(&records).is_empty(),
            "{kind}: {:?}",
            failed(&records)
        );
    }
    tunnel.send("still here").await;
    assert_eq!(tunnel.bytes(10).await, b"still here", "three processes later");
    drop(tunnel);
    assert!(installed.first.wait().await.unwrap().success());
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "fine");
    until("each has said so", async || {
        let said = status(&installed, "/v1/events?after=0").await.to_string();
        said.matches("without a connection lost").count() == 3
    })
    .await;
}

/// Asks one request after the other by HTTP/2 until it is over, on a new connection whenever one has had its
/// last; how many were answered.
async fn ask_by_http2(listen: SocketAddr, over: Arc<AtomicBool>) -> u64 {
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(listen).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        while !over.load(Ordering::Relaxed) {
            // It was told to go, between two requests.
            let Ok(mut ready) = client.ready().await else { break };
            let request = http::Request::get("http://shop.test/").body(()).unwrap();
            let Ok((response, _)) = ready.send_request(request, true) else { break };
            let response = response.await.expect("what was sent is answered");
            assert_eq!(response.status(), 200);
            answered += 1;
            client = ready;
        }
    }
    answered
}

#[tokio::test]
async fn http2_connections_are_told_to_go_and_lose_no_request() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    let (text, listen, admin) = file(LONG, &shop(&[("only", &origin)], ""));
    let address = format!("address = \"{listen}\"\n");
    let text = text.replacen(&address, &format!("{address}speaks = [\"http1\", \"h2\"]\n"), 1);
    let mut installed = Installed::start(&text, admin).await;
    let over = Arc::<AtomicBool>::default();
    let clients: Vec<_> =
        (0..4).map(|_| tokio::spawn(ask_by_http2(listen, over.clone()))).collect();
    for _ in 0..2 {
        let asked = origin.asked();
        until("they are under way", async || origin.asked() > asked + 100).await;
        let (status, said) = installed.upgrade().await;
        assert_eq!(status, 200, "{said}");
    }
    let asked = origin.asked();
    until("they go on", async || origin.asked() > asked + 100).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    assert!(installed.first.wait().await.unwrap().success());
}

/// Each leaves the run at another word, or is no program at all.
const STAND_INS: [(&str, &str); 7] = [
    ("exit 3", "ended before it was prepared: exit status: 3"),
    ("kill -KILL $$", "ended before it was prepared: signal: 9"),
    ("echo 'refused the file has mistakes' >&3; sleep 100", "refuses: the file has mistakes"),
    ("echo prepared 1 >&3; exit 4", "ended before it was ready: exit status: 4"),
    ("echo prepared 1 >&3; read word <&3; exit 5", "ended before it was ready: exit status: 5"),
    (
        "echo prepared 1 >&3; read word <&3; echo ready 1 >&3; exit 6",
        "ended before it was serving: exit status: 6",
    ),
    (
        "echo prepared 1 >&3; read yours <&3; echo ready 1 >&3; read serve <&3; exit 7",
        "ended before it was serving: exit status: 7",
    ),
];

#[tokio::test]
async fn a_new_process_that_dies_between_any_two_words_changes_nothing() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    let (text, listen, admin) = file(LONG, &shop(&[("blue", &origin), ("green", &origin)], ""));
    let mut installed = Installed::start(&text, admin).await;
    let load = Load::gets(listen, 300).start();
    let first = installed.last();
    for (round, (script, why)) in (1..).zip(STAND_INS) {
        installed.install(script);
        let (status, said) = installed.upgrade().await;
        let detail = said["detail"].as_str().unwrap_or_default();
        assert!(status == 409 && detail.contains(why), "{script}: {said}");
        // It decides and stores as before.
        let weights = format!("{{\"weights\": {{\"blue\": {}, \"green\": {round}}}}}", 100 - round);
        let (status, said) = installed.ask("PUT", "/v1/services/shop/split", &weights).await;
        assert_eq!((status, &said["revision"]), (200, &(round + 1).into()), "{said}");
        load.until_more(30).await;
    }
    installed.install("");
    std::fs::write(installed.program(), "no program").unwrap();
    assert_eq!(installed.upgrade().await.0, 409);
    std::fs::set_permissions(
        installed.program(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let (status, said) = installed.upgrade().await;
    assert!(status == 409 && said.to_string().contains("can be written by others"), "{said}");
    installed.install_real();
    assert_eq!(installed.last(), first);
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    let history = installed.ask("GET", "/v1/services/shop/revisions", "").await.1;
    let newest = STAND_INS.len() + 1;
    assert!(history.to_string().contains(&format!("\"revision\":{newest}")), "{history}");
    let records = load.stop().await;
    assert!(failed(&records).is_empty(), "{:?}", failed(&records));
    assert!(installed.first.wait().await.unwrap().success());
}

/// The one before, of which only the words are there: the test says them, and ends where it likes.
struct Before {
    hears: tokio::io::Lines<BufReader<tokio::net::unix::OwnedReadHalf>>,
    says: tokio::net::unix::OwnedWriteHalf,
    after: Child,
}

impl Before {
    /// Starts the program as its successor.
    fn start(folder: &std::path::Path, sockets: Vec<OwnedFd>) -> Before {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let mut names = vec!["pointsman-predecessor"];
        names.resize(1 + sockets.len(), "pointsman-own");
        let passed = std::iter::once(theirs.into()).chain(sockets);
        let mappings = (3..).zip(passed);
        let mappings = mappings.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command
            .arg("run")
            .arg(folder.join("p.toml"))
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            // Nobody has to stand between.
            .env("POINTSMAN_BETWEEN", "1")
            .stderr(Stdio::null())
            .fd_mappings(mappings.collect())
            .unwrap();
        let after = Command::from(command).kill_on_drop(true).spawn().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (hears, says) = UnixStream::from_std(ours).unwrap().into_split();
        Before { hears: BufReader::new(hears).lines(), says, after }
    }

    async fn hear(&mut self, word: &str) {
        let line = self.hears.next_line().await.unwrap().unwrap();
        assert_eq!(line.split(' ').next(), Some(word), "{line}");
    }

    async fn say(&mut self, line: &str) {
        self.says.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// It is gone at this moment.
    fn die(self) -> Child {
        self.after
    }
}

#[tokio::test]
async fn an_old_process_that_dies_between_any_two_words_leaves_one_that_serves_or_none() {
    let origin = Origin::tireless(Reply::ok("fine")).await;
    for words in 0..5 {
        let (text, listen, admin) = file(LONG, &shop(&[("only", &origin)], ""));
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("p.toml"), text).unwrap();
        let held = [listen, admin].map(|address| std::net::TcpListener::bind(address).unwrap());
        let mut before = Before::start(folder.path(), held.map(OwnedFd::from).into());
        let mut said = 0;
        for (hears, says) in [("prepared", "yours {}"), ("ready", "serve"), ("serving", "")] {
            if said < words {
                before.hear(hears).await;
                said += 1;
            }
            if said < words {
                before.say(says).await;
                said += 1;
            }
        }
        let mut after = before.die();
        if words < 2 {
            let ended: ExitStatus = after.wait().await.unwrap();
            assert!(!ended.success(), "it would be one without a store, after {words} words");
            // A program that another test starts at this moment may still have our sockets.
            until("nobody listens", async || TcpStream::connect(listen).await.is_err()).await;
        } else {
            // It is the only one left.
            let answer = client::get(listen, "shop.test", "/", &[]).await;
            assert_eq!(answer.body, "fine", "after {words} words");
            let ready = client::get(admin, "localhost", "/readyz", &[]).await;
            assert_eq!(ready.status, 200);
        }
    }
}

#[tokio::test]
async fn a_disk_that_does_not_take_all_there_is_keeps_the_old_process() {
    let origin = Origin::named("fine").await;
    let (text, listen, admin) = file(LONG, &shop(&[("blue", &origin), ("green", &origin)], ""));
    let folder = tempfile::TempDir::new().unwrap();
    let library = preloaded(folder.path(), LIBRARY).await;
    let hangs = folder.path().join("hangs");
    let variables = [("LD_PRELOAD", library.as_path()), ("HANGS_WHILE", hangs.as_path())];
    let mut installed = Installed::with(&text, admin, &variables).await;
    std::fs::write(&hangs, "").unwrap();
    // The disk has taken all there was so far: it does not let go of the store.
    let (status, said) = installed.upgrade().await;
    assert!(status == 409 && said.to_string().contains("let go of the store"), "{said}");
    let weights = r#"{"weights": {"blue": 99, "green": 1}}"#;
    let put = "/v1/services/shop/split";
    let (status, said) = installed.ask("PUT", put, weights).await;
    assert!(status == 503, "nothing is decided without a store: {said}");
    std::fs::remove_file(&hangs).unwrap();
    until("it has a store again", async || installed.ask("PUT", put, weights).await.0 == 200).await;
    std::fs::write(&hangs, "").unwrap();
    let mut order = Client::connect(admin).await;
    let weights = r#"{"weights": {"blue": 98, "green": 2}}"#;
    let length = weights.len();
    order
        .send(format!(
            "PUT /v1/services/shop/split HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
             application/json\r\ncontent-length: {length}\r\n\r\n{weights}"
        ))
        .await;
    until("the disk has it", async || metric(&installed, "pointsman_store_queue").await == 1.0)
        .await;
    let (status, said) = installed.upgrade().await;
    assert!(status == 409 && said.to_string().contains("the disk does not take"), "{said}");
    std::fs::remove_file(&hangs).unwrap();
    assert_eq!(order.response().await.status, 200, "it was only late");
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    let revisions = installed.ask("GET", "/v1/services/shop/revisions", "").await.1;
    assert!(revisions.to_string().contains("\"revision\":3"), "{revisions}");
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "fine");
}

#[tokio::test]
async fn who_waits_in_the_old_process_follows_what_the_new_one_decides() {
    let gate = Gate::closed();
    let held = gate.clone();
    let blue = Origin::with(move |_| Reply::ok("blue").behind(&held)).await;
    let green = Origin::named("green").await;
    let (text, listen, admin) = file(LONG, &shop(&[("blue", &blue), ("green", &green)], ""));
    let mut installed = Installed::start(&text, admin).await;
    let mut slow = Client::connect(listen).await;
    slow.send(GET).await;
    until("it is with the origin", async || blue.asked() == 1).await;
    let mode = "/v1/services/shop/mode";
    let hold = r#"{"mode": "hold", "for": "5m"}"#;
    assert_eq!(installed.ask("PUT", mode, hold).await.0, 200);
    let mut waits = Client::connect(listen).await;
    waits.send(GET).await;
    until("it is held", async || metric(&installed, "pointsman_service_queue_length").await == 1.0)
        .await;
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    // The new process takes traffic away from what fails, and then lets go of who is held.
    let weights = r#"{"weights": {"blue": 0, "green": 100}}"#;
    assert_eq!(installed.ask("PUT", "/v1/services/shop/split", weights).await.0, 200);
    assert_eq!(installed.ask("PUT", mode, r#"{"mode": "serve"}"#).await.0, 200);
    let answer = waits.response().await;
    assert_eq!((answer.body.as_str(), answer.fields("connection")), ("green", vec!["close"]));
    gate.open();
    assert_eq!(slow.response().await.body, "blue", "what was sent before stays where it is");
    assert!(installed.first.wait().await.unwrap().success());
    // What the old process has still served is counted where somebody looks.
    until("both are counted", async || metric(&installed, "pointsman_requests_total").await == 2.0)
        .await;
}

#[tokio::test]
async fn what_is_known_of_upstreams_and_what_was_counted_goes_over() {
    let (good, bad) = (Origin::named("good").await, free());
    let services = format!(
        "[services.shop.pools.only]\nupstreams = [\"{}\", \"{bad}\"]\n\
         [services.shop.breaker]\nopen = \"1h\"\nlongest = \"1h\"\n",
        good.address
    );
    let (text, listen, admin) = file(LONG, &services);
    let mut installed = Installed::start(&text, admin).await;
    let path = "/v1/services/shop/pools/only";
    let out = async |installed: &Installed| {
        let pool = status(installed, path).await;
        let upstreams = pool["upstreams"].as_array().unwrap().clone();
        let bad = upstreams.into_iter().find(|u| u["address"] == bad.to_string()).unwrap();
        (bad["takes_requests"].clone(), bad["why"].clone(), bad["conditions"].clone())
    };
    let asked = std::cell::Cell::new(0.0);
    until("one is found to refuse", async || {
        asked.set(asked.get() + 1.0);
        assert_eq!(client::get(listen, "shop.test", "/", &[]).await.status, 200);
        let text = client::get(installed.admin, "localhost", "/metrics", &[]).await.body;
        text.lines().any(|line| {
            line.starts_with("pointsman_upstream_up{")
                && line.contains(&bad.to_string())
                && line.ends_with(" 0")
        })
    })
    .await;
    let before = out(&installed).await;
    // A request is accounted for a moment after its answer.
    let all = async |installed: &Installed| {
        metric(installed, "pointsman_requests_total").await == asked.get()
    };
    until("all are counted", async || all(&installed).await).await;
    let attempts = metric(&installed, "pointsman_upstream_requests_total").await;
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(out(&installed).await, before);
    assert!(all(&installed).await);
    assert_eq!(metric(&installed, "pointsman_upstream_requests_total").await, attempts);
}

#[tokio::test]
async fn unix_sockets_go_over_with_their_files_and_a_signal_is_as_good_as_an_order() {
    let origin = Origin::named("fine").await;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("web.sock");
    let admin = free();
    let text = format!(
        "[[listeners]]\naddress = \"unix:{}\"\n[admin]\naddress = \"{admin}\"\n{}",
        path.display(),
        shop(&[("only", &origin)], "")
    );
    let mut installed = Installed::start(&text, admin).await;
    let answer = async || {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(GET.as_bytes()).await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    };
    assert_eq!(answer().await, "HTTP/1.1 200 OK\r\n");
    let first = installed.first.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-USR2", &first]).status().await.unwrap().success());
    assert!(installed.first.wait().await.unwrap().success());
    let last = only_child(installed.folder.path());
    installed.note(last);
    assert_eq!(answer().await, "HTTP/1.1 200 OK\r\n");
    until("it says so", async || {
        let events = status(&installed, "/v1/events?after=0").await.to_string();
        events.contains("without a connection lost")
    })
    .await;
    assert!(
        Command::new("kill").args(["-TERM", &last.to_string()]).status().await.unwrap().success()
    );
    until("the file has gone with the last process", async || !path.exists()).await;
}

#[tokio::test]
async fn an_old_process_that_is_stopped_after_the_word_to_serve_leaves_the_sockets_to_the_new_one()
{
    let origin = Origin::named("fine").await;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("web.sock");
    let admin = free();
    let text = format!(
        "[[listeners]]\naddress = \"unix:{}\"\n[admin]\naddress = \"{admin}\"\n{}",
        path.display(),
        shop(&[("only", &origin)], "")
    );
    let mut installed = Installed::start(&text, admin).await;
    assert!(path.exists());
    installed.install(
        "echo prepared >&3; read yours <&3; echo ready $$ >&3; read serve <&3\n\
         kill -TERM $PPID; sleep 100",
    );
    let mut order = Client::connect(admin).await;
    order.send("POST /v1/upgrade HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    assert!(installed.first.wait().await.unwrap().success());
    assert!(path.exists(), "the new process serves there");
}

/// The process that runs a program of this folder.
fn only_child(folder: &std::path::Path) -> u32 {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let number: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let program = std::fs::read_link(format!("/proc/{number}/exe")).ok()?;
        program.starts_with(folder).then_some(number)
    });
    let processes: Vec<u32> = processes.collect();
    assert_eq!(processes.len(), 1, "{processes:?}");
    processes[0]
}
