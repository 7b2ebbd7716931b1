//! TLS to upstreams: who is believed, what they are shown, and that no connection is another's.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pointsman::crypto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::certificates::{Authority, Files, Issued};
use crate::harness::{Edge, until};

/// What a connection was asked for as, and whether it was shown a certificate.
type Seen = (Option<String>, bool);

/// An origin that speaks TLS, answers all alike, and remembers what it was asked under.
pub struct Secure {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    requests: Arc<AtomicUsize>,
}

impl Secure {
    pub async fn start(shown: &Issued, clients: Option<&Authority>) -> Secure {
        let builder = ServerConfig::builder_with_provider(crypto::provider());
        let builder = builder.with_protocol_versions(crypto::FROM_1_2).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().into()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), crypto::provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = builder.with_single_cert(shown.chain(), shown.der_key()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
        let (log, count) = (seen.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, log, count) = (acceptor.clone(), log.clone(), count.clone());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let session = tls.get_ref().1;
                    let name = session.server_name().map(str::to_string);
                    log.lock().unwrap().push((name, session.peer_certificates().is_some()));
                    let mut room = vec![0; 16 * 1024];
                    // Requests here are far smaller than one read.
                    while let Ok(1..) = tls.read(&mut room).await {
                        count.fetch_add(1, Ordering::Relaxed);
                        let body = "z".repeat(64 * 1024);
                        let head =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                        let answer = [head, body].concat();
                        if tls.write_all(answer.as_bytes()).await.is_err()
                            || tls.flush().await.is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        Secure { address, seen, requests }
    }

    fn seen(&self) -> Vec<(Option<String>, bool)> {
        self.seen.lock().unwrap().clone()
    }
}

/// An edge before a pool with this TLS.
async fn edge(pools: &[(&str, SocketAddr, &str)], service: &str) -> Edge {
    let mut text = format!("[services.shop]\n{service}\n");
    for (name, address, tls) in pools {
        text +=
            &format!("[services.shop.pools.{name}]\nupstreams = [\"{address}\"]\ntls = {tls}\n");
    }
    Edge::start(&text).await
}

/// How a request fares.
async fn fares(edge: &Edge) -> (u16, usize) {
    let answer = edge.get(&[]).await;
    (answer.status, answer.body.len())
}

const GOOD: (u16, usize) = (200, 64 * 1024);

#[tokio::test]
async fn an_upstream_is_asked_by_tls_if_it_is_who_it_should_be() {
    let (files, ours, others) = (Files::new(), Authority::new("ours"), Authority::new("others"));
    let (good, expired) =
        (ours.issue(&["shop.test", "127.0.0.1"]), ours.issue_expired(&["shop.test"]));
    let (secure, old) = (Secure::start(&good, None).await, Secure::start(&expired, None).await);
    let (ca, other) = (files.authority("ours.pem", &ours), files.authority("others.pem", &others));
    let at = secure.address;
    let cases = [
        (at, format!("{{ ca = {ca}, server_name = \"shop.test\" }}"), true),
        // By its address, which is no name to ask for.
        (at, format!("{{ ca = {ca} }}"), true),
        (at, format!("{{ ca = {ca}, server_name = \"pay.test\" }}"), false),
        (at, format!("{{ ca = {other}, server_name = \"shop.test\" }}"), false),
        // The system trusts no authority of ours.
        (at, "true".into(), false),
        (at, "{ verify = false }".into(), true),
        (old.address, format!("{{ ca = {ca}, server_name = \"shop.test\" }}"), false),
    ];
    for (address, tls, is_good) in cases {
        let edge = edge(&[("blue", address, &tls)], "").await;
        let answer = edge.get(&[]).await;
        match is_good {
            true => assert_eq!((answer.status, answer.body.len()), GOOD, "{tls}"),
            false => assert!([502, 503].contains(&answer.status), "{tls}: {answer:?}"),
        }
    }
    let names: Vec<_> = secure.seen().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[0].as_deref(), Some("shop.test"));
    assert_eq!(names[1], None, "never an empty one");
    assert_eq!(old.requests.load(Ordering::Relaxed), 0, "nothing was sent");
}

#[tokio::test]
async fn a_connection_is_kept_and_no_other_pools() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let shown = ours.issue(&["a.test", "b.test"]);
    let secure = Secure::start(&shown, None).await;
    let ca = files.authority("ours.pem", &ours);
    let tls = |name: &str| format!("{{ ca = {ca}, server_name = \"{name}\" }}");
    let (a, b) = (tls("a.test"), tls("b.test"));
    let edge = edge(
        &[("blue", secure.address, &a), ("green", secure.address, &b)],
        "split = { blue = 100, green = 0 }\noverride = { header = \"x-pool\", from = [\"127.0.0.1\"] }",
    )
    .await;
    // One client's: by the time it is served again, the connection of the request before is kept.
    let mut client = edge.client().await;
    let mut asks = async |field: &str| {
        client.send(format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{field}\r\n")).await;
        client.response().await.status
    };
    for _ in 0..3 {
        assert_eq!(asks("").await, 200);
    }
    assert_eq!(secure.seen(), [(Some("a.test".into()), false)], "one for all");
    for _ in 0..2 {
        assert_eq!(asks("x-pool: green\r\n").await, 200);
    }
    assert_eq!(secure.seen().len(), 2, "and none for others");
    assert_eq!(secure.seen()[1].0.as_deref(), Some("b.test"));
    // Whoever is not believed any more is not asked by a connection from before.
    let generation = edge.generation();
    let other = files.authority("ours.pem", &Authority::new("others"));
    assert_eq!(other, ca);
    edge.until_after(generation).await;
    assert!([502, 503].contains(&edge.get(&[]).await.status));
    assert_eq!(secure.seen().len(), 2);
}

#[tokio::test]
async fn an_upstream_is_shown_a_certificate_of_ours_and_probed_and_sent_copies_the_same_way() {
    let (files, ours, partners) =
        (Files::new(), Authority::new("ours"), Authority::new("partners"));
    let shown = ours.issue(&["shop.test"]);
    let secure = Secure::start(&shown, Some(&partners)).await;
    let mirrored = Secure::start(&shown, Some(&partners)).await;
    let ca = files.authority("ours.pem", &ours);
    let own = files.put("own", &partners.issue_to("pointsman"));
    let tls = format!("{{ ca = {ca}, server_name = \"shop.test\", {own} }}");
    let edge = edge(
        &[("blue", secure.address, &tls), ("green", mirrored.address, &tls)],
        "split = { blue = 100, green = 0 }\nhealth = { http = { path = \"/healthz\" }, interval = \"50ms\" }\n\
         mirror = { to = \"green\" }",
    )
    .await;
    until("it is up", async || fares(&edge).await == GOOD).await;
    let asked = |secure: &Secure| secure.requests.load(Ordering::Relaxed);
    until("it is probed", async || asked(&secure) > 3).await;
    until("copies come", async || {
        fares(&edge).await;
        asked(&mirrored) > 3
    })
    .await;
    for secure in [&secure, &mirrored] {
        let all = secure.seen();
        assert!(all.iter().all(|seen| *seen == (Some("shop.test".into()), true)), "{all:?}");
    }
    let without = format!("{{ ca = {ca}, server_name = \"shop.test\" }}");
    let edge = self::edge(&[("blue", secure.address, &without)], "").await;
    assert!([502, 503].contains(&edge.get(&[]).await.status), "it asks for a certificate");
}

#[tokio::test]
async fn what_tls_to_an_upstream_lacks_is_told() {
    let files = Files::new();
    let cases = [
        ("[\"127.0.0.1:1\"]", "{ ca = \"none.pem\" }", "cannot read "),
        ("[\"127.0.0.1:1\"]", "{ certificate = \"a.pem\" }", "a `certificate` without a `key`"),
        ("[\"127.0.0.1:1\"]", "{ server_name = \"\" }", "bad value for `server_name`"),
        ("[\"unix:/run/a.sock\"]", "true", "TLS to a unix socket"),
        ("[\"127.0.0.1:1\"]", "\"yes\"", "`tls` must be `true`, `false` or a table"),
    ];
    let file = files.at("p.toml");
    for (upstreams, tls, why) in cases {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.a.pools.b]\n\
             upstreams = {upstreams}\ntls = {tls}\n"
        );
        std::fs::write(&file, text).unwrap();
        let said = super::checked(&file).await;
        assert!(said.contains(why), "{said}");
    }
}
