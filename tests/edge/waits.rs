//! No wait is without end, whoever causes it and wherever the bytes are stuck.

use std::time::Duration;

use crate::harness::edge::{HEAD, shop};
use crate::harness::{Client, Edge, Origin, Reply, until};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                        connection: upgrade\r\n\r\n";
const ASK_WEBSOCKET: &str = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\
    connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n";

async fn until_nothing_is_in_flight(edge: &Edge) {
    until("nothing is in flight", async || {
        let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
        pool["in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_ahead_does_not_put_the_deadline_off() {
    let origin = Origin::always(Reply::Nothing).await;
    let edge = Edge::before(&[("only", &origin)], "timeouts.response = \"1500ms\"").await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the origin has the request", async || origin.received().len() == 1).await;
    client.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 504);
    until_nothing_is_in_flight(&edge).await;
}

#[tokio::test]
async fn interim_responses_do_not_put_the_deadline_off() {
    // One every 290 ms, for ever.
    let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
    let origin = Origin::always(Reply::Drip(hint, 10)).await;
    let edge = Edge::before(&[("only", &origin)], "timeouts.response = \"1500ms\"").await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.starts_with("HTTP/1.1 103 "), "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 504 ").count(), 1, "{rest}");
    until_nothing_is_in_flight(&edge).await;
}

#[tokio::test]
async fn a_client_that_sends_ahead_and_goes_away_is_noticed() {
    let origin = Origin::always(Reply::Nothing).await;
    // Longer than the test waits: what ends it is that the client has gone.
    let edge = Edge::before(&[("only", &origin)], "timeouts.response = \"5m\"").await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the origin has the request", async || origin.received().len() == 1).await;
    client.send("GET /next HTTP/1.1\r\n").await;
    drop(client);
    until_nothing_is_in_flight(&edge).await;
}

#[tokio::test]
async fn what_was_sent_ahead_is_served_next() {
    let origin = Origin::with(|request| {
        Reply::ok(request.head.split(' ').nth(1).unwrap_or_default()).late(300)
    })
    .await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the origin has the request", async || origin.received().len() == 1).await;
    client.send("GET /2 HTTP/1.1\r\nho").await;
    assert_eq!(client.response().await.body, "/1");
    client.send("st: a\r\n\r\n").await;
    assert_eq!(client.response().await.body, "/2");
}

#[tokio::test]
async fn half_a_head_sent_ahead_is_due_like_any_other() {
    let origin = Origin::always(Reply::ok("a").late(300)).await;
    let lines = shop(&[("only", &origin)], "");
    let text = format!("{HEAD}[server.client]\nheader_timeout = \"1s\"\n{lines}");
    let edge = Edge::start_file(&text, false).await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("the origin has the request", async || origin.received().len() == 1).await;
    client.send("GET /next").await;
    assert_eq!(client.response().await.status, 200);
    // With the keep-alive time of 75 s this would take longer than any test may.
    assert!(client.rest().await.starts_with(b"HTTP/1.1 408 "));
}

#[tokio::test]
async fn an_upload_that_nobody_takes_ends() {
    let origin = Origin::unread().await;
    let service = "timeouts = { idle = \"300ms\", response = \"300ms\" }";
    let lines = shop(&[("only", &origin)], service);
    let text = format!("{HEAD}[server.client]\nbody_timeout = \"100ms\"\n{lines}");
    let edge = Edge::start_file(&text, false).await;
    let mut client = edge.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n").await;
    let chunk = vec![b'x'; 1 << 20];
    let upload = async {
        for _ in 0..100 {
            if !client.try_send(&chunk).await {
                return;
            }
        }
        panic!("all of it was taken");
    };
    tokio::time::timeout(crate::harness::PATIENCE, upload).await.expect("the upload is ended");
    until_nothing_is_in_flight(&edge).await;
}

#[tokio::test]
async fn a_tunnel_that_nobody_reads_ends() {
    let origin = Origin::unread_after(SWITCH).await;
    // As soon as nobody takes anything, however long it may be silent.
    let edge = Edge::before(&[("only", &origin)], "timeouts.idle = \"400ms\"").await;
    let mut client = edge.client().await;
    client.send(ASK_WEBSOCKET).await;
    assert_eq!(client.response().await.status, 101);
    let chunk = vec![b'x'; 1 << 20];
    let flood = async { while client.try_send(&chunk).await {} };
    tokio::time::timeout(crate::harness::PATIENCE, flood).await.expect("the tunnel is ended");
    until_nothing_is_in_flight(&edge).await;
}

#[tokio::test]
async fn a_silent_tunnel_lives_as_long_as_a_stream_and_not_as_a_body() {
    let origin = Origin::always(Reply::Echo(SWITCH.to_vec())).await;
    let timeouts = "timeouts = { idle = \"100ms\", stream_idle = \"4s\" }";
    let lines = shop(&[("only", &origin)], timeouts);
    let folder = tempfile::TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let server = format!("workers = 2\naccess_log.to = \"{}\"", log.display());
    let head = HEAD.replace("workers = 2", &server);
    let text = format!("{head}[server.client]\nbody_timeout = \"100ms\"\n{lines}");
    let edge = Edge::start_file(&text, false).await;
    let mut client = edge.client().await;
    client.send(ASK_WEBSOCKET).await;
    assert_eq!(client.response().await.status, 101);
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
    assert_eq!(client.rest().await, b"");
    until_nothing_is_in_flight(&edge).await;
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
    assert_eq!(pool["upstreams"][0]["errors"], 0, "an idle tunnel is nobody's failure");
    until("its line says why it has ended", async || {
        let line = std::fs::read_to_string(&log).unwrap_or_default();
        line.contains("\"status\":101,\"cause\":\"quiet\"")
    })
    .await;
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(!metrics.contains("pointsman_refused_total{reason=\"quiet\"}"), "{metrics}");
}

#[tokio::test]
async fn a_trickling_answer_arrives_as_it_comes() {
    let origin = Origin::always(Reply::Drip(
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_vec(),
        3,
    ))
    .await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nxx") {
        seen.extend(client.bytes(1).await);
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_what_it_can_read() {
    let chunked = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
        HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let origin = Origin::always(Reply::Bytes(chunked.to_vec())).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = Client::connect(edge.address).await;
    client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("chunked"), "{head}");
    assert!(head.to_lowercase().contains("connection: close"), "{head}");
    assert_eq!(body, "hello");
    assert_eq!(origin.only().fields("host"), [origin.address.to_string()]);
}

#[tokio::test]
async fn a_body_that_breaks_the_rules_of_chunks_is_a_400() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(edge.raw(post).await.status, 400);
    until_nothing_is_in_flight(&edge).await;
}
