//! Limits on connections: who is refused, who is told to go, and who is not touched by it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::harness::edge::{HEAD, shop};
use crate::harness::{Client, Edge, Gate, Origin, Reply, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// An edge before one pool, with these lines for its clients and the process.
async fn limited(origin: &Origin, server: &str) -> Edge {
    Edge::start_file(&text(origin, server), false).await
}

fn text(origin: &Origin, server: &str) -> String {
    let head = HEAD.replace("workers = 2", &format!("workers = 2\n{server}"));
    format!("{head}{}", shop(&[("only", origin)], ""))
}

/// A connection from this address of the machine.
async fn from(ip: [u8; 4], to: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((ip, 0).into()).unwrap();
    Client::of(socket.connect(to).await.unwrap())
}

/// Whether a connection is served.
async fn is_served(client: &mut Client) -> bool {
    client.try_send(GET.as_bytes()).await
        && client.outcome(false).await.is_ok_and(|answer| answer.status == 200)
}

/// How many connections this limit has refused or ended.
async fn count(edge: &Edge, reason: &str) -> u64 {
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let name = format!("pointsman_connections_limited_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("each reason is there from the start").parse().unwrap()
}

#[tokio::test]
async fn one_client_has_so_many_connections_and_a_proxy_of_ours_has_more() {
    let origin = Origin::named("fine").await;
    let edge = limited(&origin, "client.connections_per_client = 2").await;
    let here = [127, 0, 0, 1];
    let (mut one, mut two) = (from(here, edge.address).await, from(here, edge.address).await);
    assert!(is_served(&mut one).await && is_served(&mut two).await);
    let mut third = from(here, edge.address).await;
    assert!(!is_served(&mut third).await);
    assert!(is_served(&mut from([127, 0, 0, 2], edge.address).await).await, "another client");
    assert!(is_served(&mut one).await, "those that there are go on");
    assert_eq!(count(&edge, "per_client").await, 1);
    drop(two);
    until("its place is free", async || is_served(&mut from(here, edge.address).await).await).await;
    let all = "trusted_proxies = [\"127.0.0.1\"]\nclient.connections_per_client = 2";
    let edge = limited(&origin, all).await;
    let mut proxies = Vec::new();
    for _ in 0..4 {
        proxies.push(from(here, edge.address).await);
        assert!(is_served(proxies.last_mut().unwrap()).await);
    }
}

#[tokio::test]
async fn a_connection_carries_so_many_requests_and_says_which_is_the_last() {
    let origin = Origin::named("fine").await;
    let edge = limited(&origin, "client.requests = 3").await;
    let mut client = edge.client().await;
    // All at once, so that more are there than it may carry.
    client.send(GET.repeat(5)).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let answer = client.response().await;
        told.push((answer.status, answer.fields("connection").join(",")));
    }
    assert_eq!(told, [(200, "".into()), (200, "".into()), (200, "close".into())]);
    assert_eq!(client.rest().await, b"", "the rest is nobody's");
    assert_eq!((origin.received().len(), count(&edge, "requests").await), (3, 1));
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_cut_off_however_steadily() {
    let origin = Origin::named("fine").await;
    let rate = "client.body_rate = \"1KiB\"\nclient.body_grace = \"300ms\"";
    let edge = limited(&origin, rate).await;
    let post = |length: usize| {
        format!("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: {length}\r\n\r\n")
    };
    let mut slow = edge.client().await;
    slow.send(post(1_000_000)).await;
    // Each byte comes well within any bound on a single read.
    let mut answer = None;
    for _ in 0..3_000 {
        slow.try_send(b"x").await;
        let told = tokio::time::timeout(Duration::from_millis(20), slow.response()).await;
        answer = told.ok();
        if answer.is_some() {
            break;
        }
    }
    let answer = answer.expect("it is told in time");
    assert_eq!(answer.status, 408);
    assert!(answer.body.starts_with("Request Timeout: the request body did not arrive in time\n"));
    assert_eq!(count(&edge, "body_rate").await, 1);
    // One that is fast enough may take longer than the grace.
    let mut steady = edge.client().await;
    steady.send(post(40 * 1_024)).await;
    for _ in 0..40 {
        steady.send([b'x'; 1_024]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(steady.response().await.status, 200);
    assert_eq!(count(&edge, "body_rate").await, 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go_and_its_upstream_is_not_blamed() {
    let large = "x".repeat(16 << 20);
    let origin = Origin::always(Reply::ok(&large)).await;
    let edge = limited(&origin, "client.send_timeout = \"300ms\"").await;
    let mut client = edge.client().await;
    client.send(GET).await;
    // More than the buffers between here and there can hold, and nobody reads it.
    until("it is let go", async || {
        let (_, requests) = edge.admin("GET", "/v1/requests", "").await;
        requests.as_array().is_some_and(|all| {
            all.iter().any(|request| {
                let attempt = &request["attempts"][0];
                request["status"] == 200
                    && request["response_bytes"].as_u64() < Some(16 << 20)
                    && attempt["cause"] != "reset"
            })
        })
    })
    .await;
    let cut = client.outcome(false).await;
    assert!(cut.is_err(), "less than all of it has come");
}

#[tokio::test]
async fn short_of_memory_idle_connections_go_first_and_new_ones_are_refused() {
    let gate = Gate::closed();
    let behind = gate.clone();
    let origin = Origin::with(move |request| match request.head.contains("/slow") {
        true => Reply::ok("slow").behind(&behind),
        false => Reply::ok("fine"),
    })
    .await;
    let edge = limited(&origin, "").await;
    let (mut idle, mut busy) = (edge.client().await, edge.client().await);
    assert!(is_served(&mut idle).await);
    busy.send(GET.replace("GET /", "GET /slow")).await;
    until("it is asked", async || origin.received().len() == 2).await;
    let set = async |limit: &str| {
        std::fs::write(edge.file(), text(&origin, limit)).unwrap();
        let (status, said) = edge.admin("POST", "/v1/config/reload", "").await;
        assert_eq!(status, 200, "{said}");
    };
    // Whatever this process has is more.
    set("memory.limit = \"1MiB\"").await;
    assert_eq!(idle.rest().await, b"", "it waited for nothing");
    let mut refused = edge.client().await;
    assert!(!is_served(&mut refused).await);
    gate.open();
    let answer = busy.response().await;
    assert_eq!((answer.status, &*answer.body), (200, "slow"), "requests under way are not cut off");
    let (gone, not_let_in) = (count(&edge, "memory_idle").await, count(&edge, "memory").await);
    assert!(gone >= 1 && not_let_in >= 1, "{gone} {not_let_in}");
    let told =
        async |what: &str| edge.admin_with("GET", "/v1/events", "", &[]).await.body.contains(what);
    until("it is told", async || told("memory is short").await).await;
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_memory_limit_bytes 1048576\n"), "{metrics}");
    set("").await;
    until("new ones are let in", async || is_served(&mut edge.client().await).await).await;
    until("it is told", async || told("memory is not short any more").await).await;
    let mut kept = edge.client().await;
    assert!(is_served(&mut kept).await && is_served(&mut kept).await);
}

#[tokio::test]
async fn a_target_has_a_longest_length() {
    let origin = Origin::named("fine").await;
    let edge = limited(&origin, "client.target_bytes = \"1KiB\"").await;
    let ask = async |length: usize| {
        let target = format!("/{}?{}", "a".repeat(100), "b".repeat(length - 102));
        edge.raw(GET.replace("GET /", &format!("GET {target}"))).await.status
    };
    assert_eq!((ask(1_024).await, ask(1_025).await), (200, 414));
    assert_eq!(origin.received().len(), 1);
}
