//! Whose fault it is: what clients do and what a dead connection explains is not an upstream's, and
//! an upstream gets away with nothing else.

use std::time::Duration;

use super::fleet;
use crate::harness::{Edge, Origin, Reply, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\norder";

#[tokio::test]
async fn resets_of_posts_on_kept_connections_trip_the_breaker() {
    let origin = Origin::with(|request| match request.head.starts_with("POST") {
        true => Reply::BytesThenReset(Vec::new()),
        false => Reply::ok("fine"),
    })
    .await;
    let service = "ejection = false\nbreaker.failures = 40\nlimits.throttle = false";
    let edge = Edge::start(&fleet(&[origin.address], service)).await;
    let (mut resets, mut refused) = (0, 0);
    while refused == 0 {
        assert!(resets < 40, "half of all requests fail and nothing happens");
        let mut client = edge.client().await;
        client.send(GET).await;
        client.response().await;
        client.send(POST).await;
        match client.response().await.status {
            502 => resets += 1,
            status => refused += u32::from(status == 503),
        }
    }
    assert_eq!(origin.received().iter().filter(|got| got.head.starts_with("POST")).count(), resets);
}

/// Whether an upstream that answers nobody within `timeout` is out, before clients that wait for so
/// long and no longer.
async fn is_out_after(patience: Duration, timeout: &str) -> bool {
    let (frozen, well) = (Origin::always(Reply::Nothing).await, Origin::named("well").await);
    let service =
        format!("timeouts.response = \"{timeout}\"\nbalance.by = \"round-robin\"\nbreaker = false");
    let edge = Edge::start(&fleet(&[frozen.address, well.address], &service)).await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = edge.client().await;
        client.send(GET).await;
        clients.push(client);
    }
    until("half of them wait", async || frozen.asked() == 6).await;
    tokio::time::sleep(patience).await;
    drop(clients);
    let pool = async || edge.admin("GET", "/v1/services/shop/pools/only", "").await.1;
    until("all have left", async || pool().await["in_flight"] == 0).await;
    let address = frozen.address.to_string();
    let pool = pool().await;
    let upstreams = pool["upstreams"].as_array().unwrap();
    let frozen = upstreams.iter().find(|upstream| upstream["address"] == address).unwrap();
    frozen["ejected_for"].is_number()
}

#[tokio::test]
async fn a_frozen_upstream_before_impatient_clients_is_ejected_and_hasty_ones_eject_nobody() {
    // A third of the time-out is long.
    assert!(is_out_after(Duration::from_millis(1_100), "3s").await);
    assert!(!is_out_after(Duration::from_millis(100), "5m").await);
}
