//! The operator's hand on a breaker, and what a tripped one answers.

use super::fleet;
use crate::harness::{Edge, Origin, Reply, until};

const POOL: &str = "/v1/services/shop/pools/blue/breaker";
const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

async fn set(edge: &Edge, path: &str, state: &str) {
    let body = format!(r#"{{"state": "{state}", "reason": "try"}}"#);
    let (status, answer) = edge.admin("PUT", path, &body).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_breaker_opened_by_hand_answers_503_and_keeps_the_connection() {
    let origin = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &origin)], "").await;
    set(&edge, POOL, "open").await;
    let mut client = edge.client().await;
    for _ in 0..3 {
        client.send(GET).await;
        let response = client.response().await;
        assert_eq!(response.status, 503);
        let after = response.fields("retry-after");
        assert!(after.len() == 1 && after[0].parse::<u32>().is_ok_and(|s| s > 0), "{after:?}");
    }
    assert_eq!(origin.asked(), 0);
    set(&edge, POOL, "auto").await;
    client.send(GET).await;
    assert_eq!(client.response().await.body, "blue");
}

#[tokio::test]
async fn a_breaker_of_one_upstream_opened_by_hand_leaves_the_others() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = Edge::start(&fleet(&[a.address, b.address], "")).await;
    let path = format!("/v1/services/shop/pools/only/upstreams/{}/breaker", a.address);
    set(&edge, &path, "open").await;
    for _ in 0..20 {
        assert_eq!(edge.get(&[]).await.body, "b");
    }
    set(&edge, &path, "auto").await;
    until("it is asked again", async || edge.get(&[]).await.body == "a").await;
}

/// More failures than any breaker lets pass, of an upstream that is never ejected.
async fn status_after_failures(state: Option<&str>) -> u16 {
    let failure = Reply::head("500 Internal Server Error", &[], "bad");
    let origin = Origin::tireless(failure).await;
    let edge = Edge::before(&[("blue", &origin)], "ejection = false\nretries.attempts = 0").await;
    if let Some(state) = state {
        set(&edge, POOL, state).await;
    }
    let mut status = 0;
    let mut client = edge.client().await;
    for _ in 0..60 {
        client.send(GET).await;
        status = client.response().await.status;
    }
    status
}

#[tokio::test]
async fn a_pool_that_only_fails_trips_its_breaker() {
    assert_eq!(status_after_failures(None).await, 503);
}

#[tokio::test]
async fn a_breaker_closed_by_hand_does_not_trip() {
    // Both hold: that of the pool, and the only upstream is always tried.
    assert_eq!(status_after_failures(Some("closed")).await, 500);
}

#[tokio::test]
async fn breakers_that_do_not_exist_are_refused() {
    let origin = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &origin)], "").await;
    for (path, body, status) in [
        (POOL, r#"{"state": "ajar"}"#, 422),
        ("/v1/services/shop/pools/red/breaker", r#"{"state": "open"}"#, 404),
        ("/v1/services/none/pools/blue/breaker", r#"{"state": "open"}"#, 404),
    ] {
        assert_eq!(edge.admin("PUT", path, body).await.0, status, "{path} {body}");
    }
    assert_eq!(edge.get(&[]).await.status, 200);
}
