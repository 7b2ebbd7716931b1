//! No traffic for the dead: pools that died while they had none are found out before they get any, by
//! connect checks over real sockets.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use crate::harness::edge::shop_at;
use crate::harness::{Edge, Load, Origin, Reply, until};

/// The guard alone takes a rollout back, in one step that is watched for long.
const BLUE_GREEN: &str = "breaker = false\nejection = false\nretries = { attempts = 0 }\n\
     [services.shop.judge]\nenabled = false\n\
     [services.shop.rollout]\nstrategy = \"blue-green\"\nwatch = \"1h\"\n";

/// An upstream that can go away and come back: while it is away its address refuses connections.
struct Comer {
    address: SocketAddr,
    /// Bound and not listening, so that nobody else gets the port meanwhile.
    _place: TcpSocket,
    server: Option<tokio::task::JoinHandle<()>>,
}

impl Comer {
    async fn here() -> Comer {
        let place = bound(([127, 0, 0, 1], 0).into());
        let mut comer = Comer { address: place.local_addr().unwrap(), _place: place, server: None };
        comer.come_back();
        comer
    }

    async fn leave(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    fn come_back(&mut self) {
        self.server = Some(serve(bound(self.address).listen(64).unwrap()));
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

/// Answers each connection's first request with `blue`, and closes.
fn serve(listener: TcpListener) -> tokio::task::JoinHandle<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut head = [0; 4096];
            // A connect check sends nothing and is closed at once.
            if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nblue";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
}

async fn flip(edge: &Edge, to: &str, force: bool) -> (u16, Value) {
    let body = json!({"to": to, "force": force}).to_string();
    edge.admin("POST", "/v1/services/shop/flip", &body).await
}

async fn rollout(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/rollout", "").await.1
}

async fn weights(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/split", "").await.1["weights"].clone()
}

/// Some old upstreams and a green one whose every other answer is a failure, once it is switched on.
async fn half_bad(olds: &[Comer]) -> (Origin, std::sync::Arc<std::sync::atomic::AtomicBool>, Edge) {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let is_bad = std::sync::Arc::new(AtomicBool::new(false));
    let (known, asked) = (is_bad.clone(), AtomicU64::new(0));
    let green = Origin::with(move |_| {
        let is_failure =
            known.load(Ordering::Relaxed) && asked.fetch_add(1, Ordering::Relaxed) % 2 == 0;
        if is_failure { Reply::head("500 Oh", &[], "no") } else { Reply::ok("green") }
    })
    .await;
    let blue: Vec<SocketAddr> = olds.iter().map(|old| old.address).collect();
    let text = shop_at(&[("blue", &blue), ("green", &[green.address])], BLUE_GREEN);
    let edge = Edge::start(&text).await;
    let (status, began) =
        edge.admin("POST", "/v1/services/shop/rollout", r#"{"to": "green"}"#).await;
    assert_eq!(status, 201, "{began}");
    until("green has all", async || weights(&edge).await == json!({"green": 100.0})).await;
    (green, is_bad, edge)
}

/// Waits until the proxy knows that these are away.
async fn until_refusing(edge: &Edge, count: usize) {
    until("it is known that they are away", async || {
        let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/blue", "").await;
        let upstreams = pool["upstreams"].as_array().unwrap();
        upstreams.iter().filter(|upstream| upstream["state"] == "refusing").count() == count
    })
    .await;
}

#[tokio::test]
async fn orders_to_a_pool_that_died_unnoticed_are_refused() {
    let (mut blue, green) = (Comer::here().await, Origin::named("green").await);
    let text = shop_at(&[("green", &[green.address]), ("blue", &[blue.address])], "");
    let edge = Edge::start(&text).await;
    assert_eq!(weights(&edge).await, json!({"green": 100.0}));
    blue.leave().await;
    let said = "pool `blue` has no upstream that accepts connections";
    let (status, problem) = flip(&edge, "blue", false).await;
    assert_eq!((status, &problem["type"]), (409, &json!("pool-not-available")));
    assert!(problem["detail"].as_str().unwrap().contains(said), "{problem}");
    let half = json!({"weights": {"blue": 50, "green": 50}}).to_string();
    assert_eq!(edge.admin("PUT", "/v1/services/shop/split", &half).await.0, 409);
    let start = edge.admin("POST", "/v1/services/shop/rollout", r#"{"to": "blue"}"#).await;
    assert!(start.0 == 409 && start.1["detail"].as_str().unwrap().contains(said), "{}", start.1);
    assert_eq!(edge.get(&[]).await.body, "green");
    // It is found at once that it is back, without a health check and without a request.
    blue.come_back();
    assert_eq!(flip(&edge, "blue", false).await.0, 200);
    assert_eq!(edge.get(&[]).await.body, "blue");
    drop(green);
}

#[tokio::test]
async fn a_rollback_to_a_pool_that_died_meanwhile_is_refused() {
    let (mut blue, green) = (Comer::here().await, Origin::named("green").await);
    let text = shop_at(&[("blue", &[blue.address]), ("green", &[green.address])], "");
    let edge = Edge::start(&text).await;
    assert_eq!(edge.get(&[]).await.body, "blue");
    assert_eq!(flip(&edge, "green", false).await.0, 200);
    blue.leave().await;
    let back = "/v1/services/shop/rollback";
    let (status, problem) = edge.admin("POST", back, "{}").await;
    assert_eq!((status, &problem["type"]), (409, &json!("pool-not-available")));
    assert_eq!(edge.get(&[]).await.body, "green");
    assert_eq!(edge.admin("POST", back, r#"{"force": true}"#).await.0, 200);
}

#[tokio::test]
async fn a_failing_target_goes_back_though_one_of_ten_old_ones_is_away() {
    let mut olds = Vec::new();
    for _ in 0..10 {
        olds.push(Comer::here().await);
    }
    let (_green, is_bad, edge) = half_bad(&olds).await;
    olds[3].leave().await;
    until_refusing(&edge, 1).await;
    is_bad.store(true, std::sync::atomic::Ordering::Relaxed);
    let load = Load::gets(edge.address, 200).start();
    until("it is taken back", async || rollout(&edge).await["state"] == "rolled-back").await;
    load.stop().await;
    assert_eq!(weights(&edge).await, json!({"blue": 100.0}));
    for _ in 0..20 {
        assert_eq!(edge.get(&[]).await.body, "blue", "who is away is asked nothing");
    }
}

#[tokio::test]
async fn a_failing_target_keeps_its_traffic_while_all_old_ones_are_away() {
    let mut olds = vec![Comer::here().await, Comer::here().await];
    let (_green, is_bad, edge) = half_bad(&olds).await;
    olds[0].leave().await;
    olds[1].leave().await;
    until_refusing(&edge, 2).await;
    is_bad.store(true, std::sync::atomic::Ordering::Relaxed);
    let load = Load::gets(edge.address, 200).start();
    until("it pauses", async || rollout(&edge).await["state"] == "paused").await;
    assert_eq!(weights(&edge).await, json!({"green": 100.0}));
    let status = rollout(&edge).await["status"].to_string();
    assert!(status.contains("pool `blue` has no upstream that accepts connections"), "{status}");
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    let critical =
        events.as_array().unwrap().iter().filter(|event| event["severity"] == "critical");
    assert_eq!(critical.count(), 1, "{events}");
    let abort = "/v1/services/shop/rollout/abort";
    let (code, problem) = edge.admin("POST", abort, "{}").await;
    assert_eq!((code, &problem["type"]), (409, &json!("pool-not-available")));
    // As soon as one is back it goes back by itself.
    olds[1].come_back();
    until("it is taken back", async || rollout(&edge).await["state"] == "rolled-back").await;
    load.stop().await;
    assert_eq!(weights(&edge).await, json!({"blue": 100.0}));
}

#[tokio::test]
async fn an_order_to_a_pool_that_swallows_connections_is_refused() {
    let green = Origin::named("green").await;
    // Its queue is full, so that the next connection is neither accepted nor refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let hole = socket.listen(1).unwrap();
    let address = hole.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(
        std::time::Duration::from_secs(2),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        filling.push(stream);
    }
    let text = shop_at(&[("green", &[green.address]), ("blue", &[address])], "");
    let edge = Edge::start(&text).await;
    let (status, problem) = flip(&edge, "blue", false).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(edge.get(&[]).await.body, "green");
}
