//! What a client alone can do is never held against an upstream: no breaker opens, nobody is ejected, no
//! canary is taken back, and who asks as one should is answered.

use std::time::Duration;

use serde_json::Value;

use crate::harness::load::Load;
use crate::harness::{Client, Edge, Origin, Reply, until};

/// An upstream that is well: it switches protocols for whoever names one, has streams that are quiet,
/// and refuses what is too large as servers do.
async fn upstream() -> Origin {
    Origin::at("127.0.0.1:0".parse().unwrap(), |request| {
        let upgrade = request.fields("upgrade");
        if let Some(protocol) = upgrade.first() {
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: {protocol}\r\nconnection: upgrade\r\n\r\n"
            );
            return Reply::Echo(switch.into_bytes());
        }
        let path = request.head.split(' ').nth(1).unwrap_or_default();
        match path {
            "/events" => Reply::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n".to_vec(),
            ),
            "/chunks" => Reply::Bytes(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec(),
            ),
            "/large" => Reply::ok(&"x".repeat(4 << 20)),
            "/slow" => Reply::ok("slow").late(400),
            _ if request.head.len() > 8_000 => Reply::head("431 Too Large", &[], "no"),
            _ => Reply::ok("fine"),
        }
    })
    .await
}

const HEAD: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n";

/// A rude thing to send, and how the client goes on.
struct Rude {
    what: &'static str,
    sent: String,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    /// It waits for what comes, for a while.
    Wait,
    /// It leaves at once.
    Leave,
    /// It stays and neither says nor takes anything.
    Stay,
}

fn all() -> Vec<Rude> {
    let rude = |what, sent: String, then| Rude { what, sent, then };
    let field = |what, line: &str| rude(what, format!("{HEAD}{line}\r\n\r\n"), Then::Wait);
    let line =
        |what, line: &str| rude(what, format!("{line}\r\nhost: shop.test\r\n\r\n"), Then::Wait);
    vec![
        field("an upgrade that Connection does not name", "upgrade: websocket"),
        field("another one beside keep-alive", "upgrade: websocket\r\nconnection: keep-alive"),
        field("a switch to what is no WebSocket", "upgrade: h2c\r\nconnection: upgrade"),
        field("two protocols", "upgrade: websocket, h2c\r\nconnection: upgrade"),
        field(
            "two protocols on two lines",
            "upgrade: websocket\r\nupgrade: h2c\r\nconnection: upgrade",
        ),
        rude(
            "a switch by HTTP/1.0",
            "GET / HTTP/1.0\r\nhost: shop.test\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
                .into(),
            Then::Wait,
        ),
        rude(
            "a WebSocket that is left at once",
            format!("{HEAD}upgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
            Then::Leave,
        ),
        rude("half a head", "GET / HTTP/1.1\r\nhost: sh".into(), Then::Leave),
        rude("half a body", format!("{HEAD}content-length: 100\r\n\r\nabc"), Then::Leave),
        rude(
            "half of a chunk",
            format!("{HEAD}transfer-encoding: chunked\r\n\r\n40\r\nabc"),
            Then::Leave,
        ),
        rude(
            "chunks that are none",
            format!("{HEAD}transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
            Then::Wait,
        ),
        field("two lengths", "content-length: 3\r\ncontent-length: 4"),
        field("two framings", "content-length: 3\r\ntransfer-encoding: chunked"),
        field("an unknown coding", "transfer-encoding: gzip, chunked"),
        field("a length that is no number", "content-length: +3"),
        field("an unknown expectation", "expect: 200-ok"),
        rude(
            "an expectation, and no body",
            format!("{HEAD}content-length: 10\r\nexpect: 100-continue\r\n\r\n"),
            Then::Stay,
        ),
        field("a head of 9 kB", &format!("cookie: a={}", "x".repeat(9_000))),
        field("a head of 40 kB", &format!("cookie: a={}", "x".repeat(40_000))),
        field("two hundred fields", "x: 1\r\n".repeat(200).trim_end()),
        field("a field that Connection takes away", "connection: traceparent, x-request-id, host"),
        line("a path with dots", "GET /a/../../etc/passwd HTTP/1.1"),
        line("a method that nobody knows", "BREW / HTTP/1.1"),
        line("a target that is none", "GET  HTTP/1.1"),
        line("CONNECT", "CONNECT shop.test:443 HTTP/1.1"),
        line("a version that nobody knows", "GET / HTTP/7.3"),
        rude("what is not HTTP", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".into(), Then::Wait),
        rude("no host", "GET / HTTP/1.1\r\n\r\n".into(), Then::Wait),
        rude("leaving before the answer", format!("{HEAD}\r\n"), Then::Leave),
        rude(
            "leaving a slow answer",
            "GET /slow HTTP/1.1\r\nhost: shop.test\r\n\r\n".into(),
            Then::Leave,
        ),
        rude("taking nothing", "GET /large HTTP/1.1\r\nhost: shop.test\r\n\r\n".into(), Then::Stay),
        rude(
            "leaving within an answer",
            "GET /large HTTP/1.1\r\nhost: shop.test\r\n\r\n".into(),
            Then::Leave,
        ),
        rude(
            "listening to a stream that is quiet",
            "GET /events HTTP/1.1\r\nhost: shop.test\r\n\r\n".into(),
            Then::Stay,
        ),
        rude(
            "listening to quiet chunks",
            "GET /chunks HTTP/1.1\r\nhost: shop.test\r\n\r\n".into(),
            Then::Stay,
        ),
        rude("many requests at once, then leaving", format!("{HEAD}\r\n").repeat(20), Then::Leave),
    ]
}

#[tokio::test]
async fn no_client_can_bring_an_upstream_into_disrepute() {
    let (one, two) = (upstream().await, upstream().await);
    let canary = upstream().await;
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [server.client]\nbody_timeout = \"500ms\"\nsend_timeout = \"500ms\"\n\
         [services.shop]\nsplit = {{ blue = 50, green = 50 }}\n\
         timeouts = {{ idle = \"400ms\", stream_idle = \"400ms\" }}\n\
         [services.shop.pools]\nblue.upstreams = [\"{}\", \"{}\"]\ngreen.upstreams = [\"{}\"]\n",
        one.address, two.address, canary.address
    );
    let edge = Edge::start_file(&config, false).await;
    let ordinary = Load::gets(edge.address, 100).start();
    let all = all();
    assert!(all.len() >= 25, "{}", all.len());
    let mut clients = tokio::task::JoinSet::new();
    for rude in all {
        let address = edge.address;
        clients.spawn(async move {
            // More often than a breaker or an ejection needs.
            for _ in 0..12 {
                let mut client = Client::connect(address).await;
                client.try_send(rude.sent.as_bytes()).await;
                match rude.then {
                    Then::Wait => drop(tokio::time::timeout(WHILE, client.rest()).await),
                    Then::Leave => tokio::time::sleep(Duration::from_millis(20)).await,
                    Then::Stay => tokio::time::sleep(2 * WHILE).await,
                }
            }
            rude.what
        });
    }
    let mut done = Vec::new();
    while let Some(what) = clients.join_next().await {
        done.push(what.unwrap());
    }
    ordinary.until_more(100).await;
    let sent = ordinary.stop().await;
    let failed: Vec<_> = sent.iter().filter(|record| !record.is_ok()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    until("nothing is under way", async || {
        let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
        service["pools"].as_array().unwrap().iter().all(|pool| pool["in_flight"] == 0)
    })
    .await;
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let is_of_trouble = name.starts_with("pointsman_breaker_opened_total")
            || name.starts_with("pointsman_upstream_ejections_total")
            || name.starts_with("pointsman_pool_failed_attempts_total")
            || name.contains("state=\"open\"")
            || name.contains("state=\"ejected\"");
        assert!(!is_of_trouble || value == "0", "{line}");
    }
    let (_, requests) = edge.admin("GET", "/v1/requests?limit=1000", "").await;
    for request in requests.as_array().unwrap() {
        let blamed = request["attempts"].as_array().unwrap().iter().find(|attempt| {
            let cause = attempt["cause"].as_str().unwrap_or_default();
            !matches!(cause, "" | "client_gone" | "client_timeout" | "quiet" | "malformed")
        });
        assert_eq!(blamed, None::<&Value>, "{request}");
    }
}

/// For how long a client waits for what will come of it.
const WHILE: Duration = Duration::from_millis(300);
