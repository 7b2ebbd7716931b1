//! What a bare pingora 0.9.1 gets wrong, each mended and kept so.

use crate::harness::edge::HEAD;
use crate::harness::{Edge, Origin, Reply, edge, until};

/// An edge before one origin, with these lines in `[server.client]`.
async fn with_client_limits(origin: &Origin, limits: &str) -> Edge {
    let lines = edge::shop(&[("only", origin)], "");
    Edge::start_file(&format!("{HEAD}[server.client]\n{limits}\n{lines}"), false).await
}

#[tokio::test]
async fn a_client_that_drips_its_head_is_cut_off() {
    let origin = Origin::named("a").await;
    let edge = with_client_limits(&origin, "header_timeout = \"300ms\"").await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-drip: ").await;
    // Each byte comes well within any bound on a single read.
    until("the edge hangs up", async || !drip(edge.address).await).await;
    assert!(client.rest().await.starts_with(b"HTTP/1.1 408 "));
    assert_eq!(origin.received().len(), 0);
}

/// Drips a head for a while; whether the connection is still there at the end.
async fn drip(address: std::net::SocketAddr) -> bool {
    let mut client = crate::harness::Client::connect(address).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-drip: ").await;
    // Longer than its head may take and its answer to be read.
    for _ in 0..150 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if !client.try_send(b"x").await {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_off() {
    let origin = Origin::named("a").await;
    let edge = with_client_limits(&origin, "header_timeout = \"200ms\"").await;
    assert_eq!(edge.client().await.rest().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_keep_alive_time_and_not_before() {
    let origin = Origin::named("a").await;
    let edge = with_client_limits(&origin, "keepalive = \"3s\"\nheader_timeout = \"300ms\"").await;
    let mut client = edge.client().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
        // Longer than the head may take, shorter than the connection may idle.
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    }
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn an_upstream_that_drips_its_head_is_a_504() {
    let origin = Origin::always(Reply::Drip(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), 20)).await;
    let edge = Edge::before(&[("only", &origin)], "timeouts.response = \"300ms\"").await;
    assert_eq!(edge.get(&[]).await.status, 504);
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_a_504_also_after_a_body() {
    let origin = Origin::always(Reply::Nothing).await;
    let edge = Edge::before(&[("only", &origin)], "timeouts.response = \"200ms\"").await;
    let response = edge.get(&[]).await;
    assert_eq!(response.status, 504);
    assert!(response.body.starts_with("Gateway Timeout: the upstream did not answer in time\n"));
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(edge.raw(post).await.status, 504);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let origin = Origin::named("a").await;
    let edge = with_client_limits(&origin, "body_timeout = \"200ms\"").await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhi";
    assert_eq!(edge.raw(post).await.status, 408);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin =
        Origin::with(|request| Reply::ok(request.head.split(' ').nth(1).unwrap_or_default())).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    client.send(request("/1") + &request("/2") + &request("/3")).await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.response().await.body, path);
    }
    client.send(request("/4")).await;
    assert_eq!(client.response().await.body, "/4");
}

#[tokio::test]
async fn a_request_pipelined_behind_a_body_is_served() {
    let origin = Origin::with(|request| Reply::ok(&format!("{} bytes", request.body.len()))).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
             GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert_eq!(client.response().await.body, "5 bytes");
    assert_eq!(client.response().await.body, "0 bytes");
}

#[tokio::test]
async fn chunks_are_ended_once() {
    let origin = Origin::with(|request| Reply::ok(&request.body.escape_ascii().to_string())).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    for _ in 0..2 {
        client
            .send(
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                 5;ext=1\r\nhello\r\n0\r\n\r\n",
            )
            .await;
        assert_eq!(client.response().await.body, "5\\r\\nhello\\r\\n0\\r\\n\\r\\n");
    }
    assert!(origin.received().iter().all(|request| !request.head.starts_with("LEFT OVER")));
}

#[tokio::test]
async fn doubtful_requests_are_refused_and_reach_nobody() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx_y: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5,5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", 400),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\
             transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET /a/../b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nexpect: the-spanish-inquisition\r\n\r\n", 417),
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", 405),
    ];
    for (request, status) in cases {
        let response = edge.raw(request).await;
        assert_eq!(response.status, status, "{request}");
    }
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(40 * 1024));
    assert_eq!(edge.raw(long).await.status, 431);
    assert_eq!(origin.received().len(), 0);
}

#[tokio::test]
async fn a_switch_of_protocols_nobody_asked_for_is_not_passed_on() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                   connection: upgrade\r\n\r\n";
    let origin = Origin::always(Reply::Echo(switch.to_vec())).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    assert_eq!(edge.get(&[]).await.status, 502);
    assert_eq!(edge.get(&["upgrade: h2c", "connection: upgrade"]).await.status, 502);
}

#[tokio::test]
async fn a_websocket_is_passed_through() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                   connection: upgrade\r\nsec-websocket-accept: x\r\n\r\n";
    let origin = Origin::always(Reply::Echo(switch.to_vec())).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    client
        .send(
            "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let response = client.response().await;
    assert_eq!((response.status, response.fields("upgrade")), (101, vec!["websocket"]));
    for word in ["hello", "again"] {
        client.send(word).await;
        assert_eq!(client.bytes(5).await, word.as_bytes());
    }
}

#[tokio::test]
async fn a_response_cut_short_is_cut_short_for_the_client_too() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    let origin = Origin::always(Reply::BytesThenClose(cut)).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.ends_with("\r\n\r\nhalf"), "{rest}");
}

#[tokio::test]
async fn an_upstream_that_is_no_http_server_is_a_502() {
    for reply in [Reply::BytesThenClose(b"garbage\r\n\r\n".to_vec()), Reply::Close] {
        let origin = Origin::always(reply).await;
        let edge = Edge::before(&[("only", &origin)], "").await;
        assert_eq!(edge.get(&[]).await.status, 502);
    }
}
