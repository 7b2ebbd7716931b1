//! Upgrades, reloads and other certificates one after the other, under load of all kinds: nothing fails.
//!
//! `UPGRADES=20` has that many upgrades, a quarter of them of a program that crashes or hangs, five times as
//! many reloads and as many other certificates, instead of two.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::rustls::ClientConfig;

use crate::harness::running::file;
use crate::harness::{Client, Installed, Load, Origin, Reply, alone, until};
use crate::http2::peer;
use crate::tls::Talk;
use crate::tls::certificates::{Authority, Files};

/// So long that what ends does so for its reason.
const LONG: &str = "drain = \"10m\"\ndrain_idle = \"10m\"\n";

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";

const ASK: &str = "GET /socket HTTP/1.1\r\nhost: shop.test\r\nupgrade: websocket\r\n\
                   connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n";

/// Programs that are none to go on with.
const STAND_INS: [&str; 5] = [
    "exit 3",
    "kill -KILL $$",
    "echo prepared 1 >&3; read word <&3; exit 5",
    // It says nothing any more: what it was told is not answered in time.
    "echo prepared 1 >&3; read word <&3; sleep 100",
    "echo prepared 1 >&3; read yours <&3; echo ready 1 >&3; read serve <&3; exit 7",
];

/// What clients share.
struct Crowd {
    to: SocketAddr,
    over: AtomicBool,
    answered: AtomicU64,
}

impl Crowd {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    async fn until_more(&self, requests: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + requests;
        until("they go on", async || self.answered.load(Ordering::Relaxed) >= goal).await;
    }
}

/// Asks by HTTPS, on a connection for as long as nobody says that it ends.
async fn ask_by_tls(crowd: Arc<Crowd>, config: Arc<ClientConfig>) {
    while !crowd.is_over() {
        let mut talk = Talk::by(crowd.to, "shop.test", &config).await.expect("a handshake");
        for _ in 0..20 {
            let answer = talk.get("shop.test", &[]).await;
            assert_eq!((answer.status, &*answer.body), (200, "fine"));
            crowd.count();
            if crowd.is_over() || answer.fields("connection") == ["close"] {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Asks by HTTP/2 over TLS, until it is told to go.
async fn ask_by_http2(crowd: Arc<Crowd>, config: Arc<ClientConfig>) {
    while !crowd.is_over() {
        let talk = Talk::by(crowd.to, "shop.test", &config).await.expect("a handshake");
        let client = peer::Client::over(talk.stream).await;
        while !crowd.is_over() && client.takes_more().await {
            // It may be told to go between two requests, which are two: what was sent is answered.
            let Some(got) = client.try_get("/").await else { break };
            assert_eq!((got.status, &got.body[..]), (200, &b"fine"[..]));
            crowd.count();
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Says something in a WebSocket over and over, by the one connection that it has.
async fn chat(crowd: Arc<Crowd>) {
    let mut socket = Client::connect(crowd.to).await;
    socket.send(ASK.replace("shop.test", "plain.test")).await;
    assert_eq!(socket.response().await.status, 101);
    while !crowd.is_over() {
        socket.send("hello").await;
        assert_eq!(socket.bytes(5).await, b"hello");
        crowd.count();
        sleep(Duration::from_millis(5)).await;
    }
}

/// The same over TLS.
async fn chat_by_tls(crowd: Arc<Crowd>, config: Arc<ClientConfig>) {
    let mut socket = Talk::by(crowd.to, "shop.test", &config).await.expect("a handshake");
    socket.send(ASK).await;
    assert_eq!(socket.response().await.unwrap().status, 101);
    while !crowd.is_over() {
        socket.send("hello").await;
        assert_eq!(socket.bytes(5).await, b"hello");
        crowd.count();
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_reloads_and_other_certificates_lose_nothing() {
    let _alone = alone().await;
    let many = std::env::var("UPGRADES").ok().map(|many| many.parse().expect("a number"));
    let many: usize = many.unwrap_or(2);
    let origin = Origin::with(|request| match request.head.starts_with("GET /socket") {
        true => Reply::Echo(SWITCH.into()),
        false => Reply::ok("fine"),
    });
    let origin = origin.await;
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let shown = files.issue("shop", &ours, &["shop.test"]);
    let services = |weight: usize| {
        format!(
            "[services.shop.pools.only]\nupstreams = [{{ address = \"{}\", weight = {weight} }}]\n",
            origin.address
        )
    };
    let (text, plain, admin) = file(LONG, "");
    let tls = crate::harness::running::free();
    let text = |weight: usize| {
        let secure = format!(
            "[[listeners]]\naddress = \"{tls}\"\ntls.certificates = [{{ {shown}, default = true }}]\n"
        );
        text.replacen("[admin]", &format!("{secure}[admin]"), 1) + &services(weight)
    };
    let mut installed = Installed::start(&text(100), admin).await;

    let crowd = |to| {
        let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Crowd { to, over, answered })
    };
    let (over_tls, over_plain, mut clients) = (crowd(tls), crowd(plain), JoinSet::new());
    let http1 = Arc::new(ours.clients());
    let mut http2 = ours.clients();
    http2.alpn_protocols = vec![b"h2".to_vec()];
    let http2 = Arc::new(http2);
    for _ in 0..2 {
        clients.spawn(ask_by_tls(over_tls.clone(), http1.clone()));
        clients.spawn(ask_by_http2(over_tls.clone(), http2.clone()));
    }
    clients.spawn(chat_by_tls(over_tls.clone(), http1.clone()));
    clients.spawn(chat(over_plain.clone()));
    let load = Load::gets(plain, 200).start();

    let (mut reloads, mut rotations, mut failed) = (0, 0, 0);
    for round in 1..=many {
        let is_bad = round % 4 == 2;
        match is_bad {
            true => installed.install(STAND_INS[failed % STAND_INS.len()]),
            false => installed.install_real(),
        }
        let before = installed.last();
        // Another file and another certificate in the midst of it, too.
        let next = round + 1;
        std::fs::write(installed.folder.path().join("p.toml"), text(100 + next)).unwrap();
        let (status, said) = installed.upgrade().await;
        assert_eq!(status, if is_bad { 409 } else { 200 }, "round {round}: {said}");
        assert_eq!(installed.last() == before, is_bad, "round {round}");
        failed += usize::from(is_bad);
        for turn in 0..5 {
            let weight = 200 + round * 10 + turn;
            std::fs::write(installed.folder.path().join("p.toml"), text(weight)).unwrap();
            let (status, said) = installed.ask("POST", "/v1/config/reload", "").await;
            assert_eq!(status, 200, "round {round}: {said}");
            reloads += 1;
        }
        let issued = ours.issue(&["shop.test"]);
        files.put("shop", &issued);
        until("another certificate is shown", async || {
            Talk::by(tls, "shop.test", &http1).await.expect("a handshake").shown() == issued.der()
        })
        .await;
        rotations += 1;
        load.until_all_have_asked().await;
        over_tls.until_more(20).await;
        over_plain.until_more(2).await;
        if let Some(ended) = clients.try_join_next() {
            panic!("round {round}: {ended:?}");
        }
    }
    for crowd in [&over_tls, &over_plain] {
        crowd.over.store(true, Ordering::Relaxed);
    }
    clients.join_all().await;
    let records = load.stop().await;
    let lost: Vec<_> = records.iter().filter(|record| !record.is_ok()).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let answered = |crowd: &Crowd| crowd.answered.load(Ordering::Relaxed);
    println!(
        "{many} upgrades, {failed} of them of a program that is none, {reloads} reloads, {rotations} other \
         certificates: {} answers of HTTP/1.1, {} over TLS, by HTTP/2 and in sockets, none lost",
        records.len(),
        answered(&over_tls) + answered(&over_plain)
    );
    assert!(installed.first.wait().await.unwrap().success(), "nothing was left to it");
}
