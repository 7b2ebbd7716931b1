//! What upstreams and clients are told in fields.

use crate::harness::{Edge, Origin, Reply};

#[tokio::test]
async fn an_upstream_is_told_where_a_request_comes_from() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let response = edge
        .get(&[
            "x-forwarded-for: 203.0.113.9",
            "x-forwarded-proto: https",
            "x-real-ip: 203.0.113.9",
            "via: 1.1 elsewhere",
        ])
        .await;
    let received = origin.only();
    assert_eq!(received.fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(received.fields("x-forwarded-host"), ["shop.test"]);
    assert_eq!(received.fields("x-real-ip"), [""; 0]);
    assert_eq!(received.fields("via"), ["1.1 elsewhere"]);
    assert_eq!(received.fields("host"), ["shop.test"]);
    assert_eq!(received.fields("x-request-id"), response.fields("x-request-id"));
    assert_eq!(received.fields("x-request-id")[0].len(), 32);
    let parent = received.fields("traceparent");
    assert!(
        parent.len() == 1 && parent[0].starts_with("00-") && parent[0].len() == 55,
        "{parent:?}"
    );
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let origin = Origin::named("a").await;
    let lines = crate::harness::edge::shop(&[("only", &origin)], "sticky = { client_ip = true }");
    let text = crate::harness::edge::HEAD
        .replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let edge = Edge::start_file(&format!("{text}{lines}"), false).await;
    edge.get(&["x-forwarded-for: 203.0.113.9", "x-forwarded-proto: https", "x-request-id: abc"])
        .await;
    let received = origin.only();
    assert_eq!(received.fields("x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(received.fields("x-forwarded-proto"), ["https"]);
    assert_eq!(received.fields("x-request-id"), ["abc"]);
}

#[tokio::test]
async fn a_trace_is_continued() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    edge.get(&[parent, "tracestate: a=1", "tracestate: b=2"]).await;
    let received = origin.only();
    assert!(received.fields("traceparent")[0].starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(received.fields("tracestate"), ["a=1,b=2"]);
}

#[tokio::test]
async fn a_malformed_trace_is_started_anew_and_its_state_dropped() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    edge.get(&["traceparent: 00-xyz", "tracestate: a=1"]).await;
    let received = origin.only();
    assert_eq!(received.fields("traceparent")[0].len(), 55);
    assert_eq!(received.fields("tracestate"), [""; 0]);
}

#[tokio::test]
async fn hop_by_hop_fields_stop_here_in_both_directions() {
    let fields = [
        "Connection: X-Secret",
        "X-Secret: 1",
        "Keep-Alive: timeout=9",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "X-Stays: 1",
    ];
    let origin = Origin::always(Reply::head("200 OK", &fields, "a")).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let response =
        edge.get(&["connection: x-mine, te", "x-mine: 1", "te: trailers", "x-stays: 1"]).await;
    for gone in ["x-secret", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(response.fields(gone), [""; 0], "{gone}");
    }
    assert_eq!(response.fields("x-stays"), ["1"]);
    assert_eq!(response.fields("connection"), ["keep-alive"]);
    let received = origin.only();
    for gone in ["x-mine", "te", "connection"] {
        assert_eq!(received.fields(gone), [""; 0], "{gone}");
    }
    assert_eq!(received.fields("x-stays"), ["1"]);
}

#[tokio::test]
async fn equal_lengths_of_a_response_become_one() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let origin = Origin::always(Reply::Bytes(bytes)).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    assert_eq!(edge.get(&[]).await.fields("content-length"), ["2"]);
}

#[tokio::test]
async fn a_client_cannot_take_away_what_we_add() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let response = edge.get(&["connection: x-request-id, traceparent", "x-request-id: abc"]).await;
    assert_eq!(response.status, 200);
    let received = origin.only();
    assert_eq!(received.fields("traceparent").len(), 1);
    assert_eq!(received.fields("connection"), [""; 0]);
}
