//! More than a service may hold at once: some wait for a place, the rest is told so.

use super::fleet;
use crate::harness::edge::shop;
use crate::harness::{Client, Edge, Gate, Origin, Reply, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// An edge whose only place is taken.
struct Full {
    origin: Origin,
    edge: Edge,
    /// Whose request has the place.
    holder: Client,
    /// Gives the place back, as soon as it is open.
    gate: Gate,
}

async fn full(limits: &str) -> Full {
    let gate = Gate::closed();
    let origin = Origin::always(Reply::ok("a").behind(&gate)).await;
    let service = format!("{limits}\ntimeouts.response = \"5m\"");
    let edge = Edge::start(&fleet(&[origin.address], &service)).await;
    let mut holder = edge.client().await;
    holder.send(GET).await;
    until("the only place is taken", async || origin.asked() == 1).await;
    Full { origin, edge, holder, gate }
}

#[tokio::test]
async fn who_finds_no_place_is_told_so_and_keeps_the_connection() {
    for limit in ["limits.in_flight = 1", "limits.upstream_in_flight = 1"] {
        let Full { origin, edge, mut holder, gate } = full(limit).await;
        let mut client = edge.client().await;
        for _ in 0..3 {
            client.send(GET).await;
            let response = client.response().await;
            assert_eq!(response.status, 503, "{limit}");
            assert_eq!(response.fields("retry-after").len(), 1, "{limit}");
        }
        assert_eq!(origin.asked(), 1, "{limit}");
        gate.open();
        assert_eq!(holder.response().await.body, "a", "{limit}");
        // A request is over a little after its client has all.
        let pool = "/v1/services/shop/pools/only";
        until("it is over", async || edge.admin("GET", pool, "").await.1["in_flight"] == 0).await;
        client.send(GET).await;
        assert_eq!(client.response().await.body, "a", "{limit}: the place is given back");
    }
}

#[tokio::test]
async fn the_first_in_the_queue_gets_the_place_and_the_next_is_refused() {
    let limits = "limits = { in_flight = 1, queue = 1, queue_timeout = \"5m\" }";
    let Full { origin, edge, mut holder, gate } = full(limits).await;
    let mut waiting = edge.client().await;
    waiting.send(GET).await;
    until("it is in line", async || are_waiting(&edge).await == 1).await;
    assert_eq!(edge.get(&[]).await.status, 503);
    assert_eq!((origin.asked(), are_waiting(&edge).await), (1, 1));
    gate.open();
    assert_eq!(holder.response().await.body, "a");
    assert_eq!(waiting.response().await.body, "a");
}

#[tokio::test]
async fn who_waits_too_long_is_sent_away() {
    let limits = "limits = { in_flight = 1, queue = 1, queue_timeout = \"100ms\" }";
    let Full { origin, edge, mut holder, gate } = full(limits).await;
    assert_eq!(edge.get(&[]).await.status, 503);
    assert_eq!(origin.asked(), 1, "before the place was free");
    gate.open();
    assert_eq!(holder.response().await.body, "a");
}

/// An edge before blue, which has one place and keeps `/stuck` waiting for ever, and green. Two
/// requests wait for blue's place.
async fn stuck(service: &str) -> (Edge, Client, [Client; 2]) {
    let blue = Origin::with(|request| match request.head.starts_with("GET /stuck ") {
        true => Reply::Nothing,
        false => Reply::ok("blue"),
    })
    .await;
    let green = Origin::named("green").await;
    let limits = "limits = { upstream_in_flight = 1, queue = 10, queue_timeout = \"60s\" }";
    let patience = "timeouts.response = \"5m\"\nretries.total = \"5m\"";
    let service = format!("{service}\n{limits}\n{patience}");
    let edge = Edge::start(&shop(&[("blue", &blue), ("green", &green)], &service)).await;
    let mut holder = edge.client().await;
    holder.send("GET /stuck HTTP/1.1\r\nhost: shop.test\r\nx-pool: blue\r\n\r\n").await;
    until("blue's place is taken", async || blue.asked() == 1).await;
    let mut waiting = [edge.client().await, edge.client().await];
    for client in &mut waiting {
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\nx-pool: blue\r\n\r\n").await;
    }
    until("two wait for blue", async || are_waiting(&edge).await == 2).await;
    (edge, holder, waiting)
}

async fn are_waiting(edge: &Edge) -> u64 {
    let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
    service["waiting"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_pool_that_is_stuck_keeps_nobody_from_another() {
    let service = "split = { blue = 50, green = 50 }\noverride = { header = \"x-pool\" }";
    let (edge, holder, waiting) = stuck(service).await;
    for _ in 0..5 {
        let response = edge.get(&["x-pool: green"]).await;
        assert_eq!((response.status, &*response.body), (200, "green"));
    }
    assert_eq!(are_waiting(&edge).await, 2);
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_service_queue_length{service=\"shop\"} 2\n"), "{metrics}");
    // Whoever is stuck gives up: the place goes to those who wait, one after the other.
    drop(holder);
    for mut client in waiting {
        assert_eq!(client.response().await.body, "blue");
    }
    assert_eq!(are_waiting(&edge).await, 0);
}

#[tokio::test]
async fn who_waits_for_a_pool_goes_where_the_traffic_goes() {
    let (edge, _holder, waiting) = stuck("split = { blue = 100, green = 0 }").await;
    let flip = edge.admin("POST", "/v1/services/shop/flip", r#"{"to": "green"}"#).await;
    assert_eq!(flip.0, 200, "{}", flip.1);
    for mut client in waiting {
        assert_eq!(client.response().await.body, "green");
    }
}
