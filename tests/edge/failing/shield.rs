//! What fails on the canary is answered by the stable pool, and held against the canary.

use super::pool;
use crate::harness::{Edge, Origin, Reply, until};

/// So many that at a fifth the canary is asked in all but one of 10^11 runs.
const REQUESTS: u64 = 120;

async fn edge_before(stable: &Origin, canary: &Origin, share: u32, retries: &str) -> Edge {
    let text = format!(
        "[services.shop]\nsplit = {{ stable = 100, canary = 0 }}\nejection = false\n\
         breaker = false\nretries = {{ {retries} }}\n{}{}",
        pool("stable", &[stable.address]),
        pool("canary", &[canary.address])
    );
    let edge = Edge::start(&text).await;
    let split = format!(r#"{{"weights": {{"stable": {}, "canary": {share}}}}}"#, 100 - share);
    let (status, answer) = edge.admin("PUT", "/v1/services/shop/split", &split).await;
    assert_eq!(status, 200, "{answer}");
    edge
}

fn broken() -> Reply {
    Reply::head("500 Internal Server Error", &[], "canary")
}

#[tokio::test]
async fn a_get_that_fails_on_the_canary_is_answered_by_the_stable_pool() {
    for share in [20, 50] {
        let (stable, canary) = (Origin::named("stable").await, Origin::always(broken()).await);
        let edge = edge_before(&stable, &canary, share, "budget = 100").await;
        for _ in 0..REQUESTS {
            let response = edge.get(&[]).await;
            assert_eq!((response.status, &*response.body), (200, "stable"), "at {share} %");
        }
        assert_ne!(canary.asked(), 0, "at {share} %");
        assert_eq!(stable.asked(), REQUESTS, "at {share} %");
        // The failures stay on the canary's account.
        until("all is accounted for", async || {
            let (_, pools) = edge.admin("GET", "/v1/services/shop/pools", "").await;
            pools.as_array().unwrap().iter().all(|pool| {
                let errors = if pool["name"] == "canary" { canary.asked() } else { 0 };
                pool["upstreams"][0]["errors"] == errors && pool["in_flight"] == 0
            })
        })
        .await;
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        let said = |name: &str, pool: &str, count: u64| {
            let line = format!("{name}{{service=\"shop\",pool=\"{pool}\"}} {count}");
            assert!(metrics.lines().any(|said| said == line), "{line} in\n{metrics}");
        };
        said("pointsman_pool_attempts_total", "stable", REQUESTS);
        said("pointsman_pool_failed_attempts_total", "stable", 0);
        said("pointsman_pool_attempts_total", "canary", canary.asked());
        said("pointsman_pool_failed_attempts_total", "canary", canary.asked());
    }
}

#[tokio::test]
async fn a_canary_that_cannot_be_asked_yields_to_the_stable_pool() {
    let (stable, canary) = (Origin::named("stable").await, Origin::named("canary").await);
    let edge = edge_before(&stable, &canary, 50, "budget = 100").await;
    let breaker = "/v1/services/shop/pools/canary/breaker";
    let (status, answer) = edge.admin("PUT", breaker, r#"{"state": "open"}"#).await;
    assert_eq!(status, 200, "{answer}");
    for _ in 0..REQUESTS {
        let response = edge.get(&[]).await;
        assert_eq!((response.status, &*response.body), (200, "stable"));
    }
    assert_eq!((canary.asked(), stable.asked()), (0, REQUESTS));
}

#[tokio::test]
async fn a_post_sees_the_failure_of_the_canary() {
    let (stable, canary) = (Origin::named("stable").await, Origin::always(broken()).await);
    let edge = edge_before(&stable, &canary, 50, "budget = 100").await;
    let post = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi";
    let mut failures = 0;
    for _ in 0..REQUESTS {
        let response = edge.raw(post).await;
        match response.status {
            500 => failures += u64::from(response.body == "canary"),
            status => assert_eq!((status, &*response.body), (200, "stable")),
        }
    }
    assert_ne!(failures, 0);
    assert_eq!((canary.asked(), stable.asked()), (failures, REQUESTS - failures));
}

#[tokio::test]
async fn without_the_shield_a_get_sees_the_failure_too() {
    let (stable, canary) = (Origin::named("stable").await, Origin::always(broken()).await);
    let edge = edge_before(&stable, &canary, 50, "shield = false").await;
    let mut failures = 0;
    for _ in 0..REQUESTS {
        failures += u64::from(edge.get(&[]).await.status == 500);
    }
    assert_ne!(failures, 0);
    assert_eq!((canary.asked(), stable.asked()), (failures, REQUESTS - failures));
}

#[tokio::test]
async fn a_failure_of_the_stable_pool_is_not_tried_on_the_canary() {
    let (stable, canary) = (Origin::always(broken()).await, Origin::named("canary").await);
    let edge = edge_before(&stable, &canary, 0, "budget = 100").await;
    for _ in 0..10 {
        assert_eq!(edge.get(&[]).await.status, 500);
    }
    assert_eq!((stable.asked(), canary.asked()), (10, 0));
}
