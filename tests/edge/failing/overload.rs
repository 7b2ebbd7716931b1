//! More than a service may hold at once: some wait for a place, the rest is told so.

use std::time::Duration;

use super::fleet;
use crate::harness::{Client, Edge, Origin, Reply, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// An edge with these limits, a client whose request holds the only place for 1.5 s.
async fn full(limits: &str) -> (Origin, Edge, Client) {
    let origin = Origin::always(Reply::ok("a").late(1_500)).await;
    let edge = Edge::start(&fleet(&[origin.address], limits)).await;
    let mut holder = edge.client().await;
    holder.send(GET).await;
    until("the only place is taken", async || origin.asked() == 1).await;
    (origin, edge, holder)
}

#[tokio::test]
async fn who_finds_no_place_is_told_so_and_keeps_the_connection() {
    for limit in ["limits.in_flight = 1", "limits.upstream_in_flight = 1"] {
        let (origin, edge, mut holder) = full(limit).await;
        let mut client = edge.client().await;
        for _ in 0..3 {
            client.send(GET).await;
            let response = client.response().await;
            assert_eq!(response.status, 503, "{limit}");
            assert_eq!(response.fields("retry-after").len(), 1, "{limit}");
        }
        assert_eq!(origin.asked(), 1, "{limit}");
        assert_eq!(holder.response().await.body, "a", "{limit}");
        client.send(GET).await;
        assert_eq!(client.response().await.body, "a", "{limit}: the place is given back");
    }
}

#[tokio::test]
async fn the_first_in_the_queue_gets_the_place_and_the_next_is_refused() {
    let limits = "limits = { in_flight = 1, queue = 1, queue_timeout = \"20s\" }";
    let (origin, edge, mut holder) = full(limits).await;
    let mut waiting = edge.client().await;
    waiting.send(GET).await;
    // Time to get in line first.
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The queue has room for one: whoever is answered at once came after it was full.
    until("the queue is full", async || {
        let ask = edge.get(&[]);
        let patience = Duration::from_millis(300);
        tokio::time::timeout(patience, ask).await.is_ok_and(|response| response.status == 503)
    })
    .await;
    assert_eq!(origin.asked(), 1);
    assert_eq!(holder.response().await.body, "a");
    assert_eq!(waiting.response().await.body, "a");
}

#[tokio::test]
async fn who_waits_too_long_is_sent_away() {
    let limits = "limits = { in_flight = 1, queue = 1, queue_timeout = \"100ms\" }";
    let (origin, edge, mut holder) = full(limits).await;
    assert_eq!(edge.get(&[]).await.status, 503);
    assert_eq!(origin.asked(), 1, "before the place was free");
    assert_eq!(holder.response().await.body, "a");
}
