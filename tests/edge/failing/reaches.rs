//! While one upstream works, requests reach it: whatever befell it before, and the others now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fleet;
use crate::harness::{Edge, Origin, Process, Reply, until};

/// An origin that answers 503 while it is ill, and with `a` when it is not.
async fn moody() -> (Origin, Arc<AtomicBool>) {
    let is_ill = Arc::new(AtomicBool::new(true));
    let seen = is_ill.clone();
    let origin = Origin::with(move |_| match seen.load(Ordering::Relaxed) {
        true => Reply::head("503 Service Unavailable", &[], "ill"),
        false => Reply::ok("a"),
    });
    (origin.await, is_ill)
}

async fn failed(edge: &Edge, requests: usize) -> usize {
    let mut failed = 0;
    for _ in 0..requests {
        failed += usize::from(edge.get(&[]).await.status != 200);
    }
    failed
}

#[tokio::test]
async fn one_that_is_ejected_and_well_again_serves_when_the_others_die() {
    let (a, is_ill) = moody().await;
    let (mut b, mut c) = (Process::start("b").await, Process::start("c").await);
    let edge = Edge::start(&fleet(&[a.address, b.address, c.address], "")).await;
    let is_out = async || {
        let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
        let upstreams = pool["upstreams"].as_array().unwrap().clone();
        upstreams.iter().any(|upstream| upstream["ejected_for"].as_f64().is_some())
    };
    until("a is ejected", async || {
        edge.get(&[]).await;
        is_out().await
    })
    .await;
    is_ill.store(false, Ordering::Relaxed);
    assert_eq!(failed(&edge, 50).await, 0, "the others carry it");
    b.kill().await;
    c.kill().await;
    // Before, each of them failed for more than a minute.
    let failed = failed(&edge, 200).await;
    assert!(failed <= 2, "{failed} of 200 failed");
    assert!(a.asked() >= 198, "{}", a.asked());
}

#[tokio::test]
async fn one_that_is_alone_serves_as_soon_as_it_is_well_again() {
    let (a, is_ill) = moody().await;
    let edge = Edge::start(&fleet(&[a.address], "")).await;
    until("its pool's breaker is open", async || {
        edge.get(&[]).await.fields("retry-after").len() == 1
    })
    .await;
    let before = a.asked();
    failed(&edge, 200).await;
    assert!(a.asked() - before < 50, "it is left in peace: {}", a.asked() - before);
    is_ill.store(false, Ordering::Relaxed);
    until("it answers", async || edge.get(&[]).await.status == 200).await;
    // Two more trials, of which users may not see the end, and neither breaker nor throttle is left.
    until("it is in", async || failed(&edge, 10).await == 0).await;
    assert_eq!(failed(&edge, 200).await, 0);
}

#[tokio::test]
async fn one_that_is_alone_and_is_started_again_serves_without_a_health_check() {
    let mut a = Process::start("a").await;
    let edge = Edge::start(&fleet(&[a.address], "")).await;
    assert_eq!(edge.get(&[]).await.status, 200);
    a.kill().await;
    assert_eq!(failed(&edge, 60).await, 60);
    a.restart().await;
    until("it answers", async || edge.get(&[]).await.status == 200).await;
    until("it is in", async || failed(&edge, 10).await == 0).await;
    assert_eq!(failed(&edge, 200).await, 0);
}

#[tokio::test]
async fn one_that_is_alone_is_asked_once_more_for_what_may_be_repeated() {
    let breaks_off = Arc::new(AtomicBool::new(true));
    let seen = breaks_off.clone();
    let origin = Origin::with(move |_| match seen.swap(false, Ordering::Relaxed) {
        true => Reply::Close,
        false => Reply::ok("a"),
    });
    let origin = origin.await;
    let edge = Edge::start(&fleet(&[origin.address], "")).await;
    assert_eq!((edge.get(&[]).await.status, origin.asked()), (200, 2));
    breaks_off.store(true, Ordering::Relaxed);
    let post = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!((edge.raw(post).await.status, origin.asked()), (502, 3));
}
