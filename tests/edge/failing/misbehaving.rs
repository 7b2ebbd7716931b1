//! One upstream of three misbehaves, each time in another way: it is contained, and the others get
//! what clients send.

use std::sync::Mutex;

use super::fleet;
use crate::harness::{Edge, Load, Origin, Reply, alone};

const PER_SECOND: u32 = 600;
/// How many requests the edge may take to find out.
const SETTLING: u64 = 1_200;
/// And how many are counted then.
const CONTAINED: u64 = 1_800;
/// What a breaker's trials may amount to, per thousand. Balancing alone comes down to ten or
/// twenty where each failure takes half a second; that is no containment.
const TRIALS: u64 = 5;

/// The bad one's share of what clients sent, once contained, is under `permille`. All others were
/// with the healthy ones at once and are as fast as ever: `benches/edge.rs` measures that.
async fn is_contained(bad: &Origin, permille: u64) {
    let _alone = alone().await;
    let healthy = async |name: &str| Origin::tireless(Reply::ok(name).late(5)).await;
    let (a, b) = (healthy("a").await, healthy("b").await);
    let service = "timeouts.response = \"500ms\"";
    let edge = Edge::start(&fleet(&[a.address, b.address, bad.address], service)).await;
    let load = Load::gets(edge.address, PER_SECOND).start();
    load.until_more(SETTLING).await;
    let settled = bad.asked();
    assert_ne!(settled, 0, "it was never asked");
    load.until_more(CONTAINED).await;
    let asked = bad.asked() - settled;
    load.stop().await;
    println!("{settled} requests to be contained; then {asked} of {CONTAINED}");
    assert!(asked * 1_000 < CONTAINED * permille, "{asked} of {CONTAINED} requests went to it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_never_answers_is_contained() {
    is_contained(&Origin::tireless(Reply::Nothing).await, TRIALS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_answers_500_to_half_is_contained() {
    let mine = "127.0.0.1:0".parse().unwrap();
    // Not every second one: that would never be five failures in a row, nor more than half.
    let draws = Mutex::new(fastrand::Rng::with_seed(500));
    let bad = Origin::at(mine, move |_| match draws.lock().unwrap().bool() {
        true => Reply::head("500 Internal Server Error", &[], "bad"),
        false => Reply::ok("bad").late(5),
    });
    // A breaker may let it try again, and half of what it tries succeeds.
    is_contained(&bad.await, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_drips_a_byte_a_second_is_contained() {
    let drip = Reply::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-drip: ".to_vec(), 1_000);
    is_contained(&Origin::tireless(drip).await, TRIALS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closes_after_the_header_is_contained() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n".to_vec();
    is_contained(&Origin::tireless(Reply::BytesThenClose(cut)).await, TRIALS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_resets_within_the_body_is_contained() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    is_contained(&Origin::tireless(Reply::BytesThenReset(cut)).await, TRIALS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_answers_garbage_is_contained() {
    let garbage = b"\x16\x03\x01garbage\r\n\r\n".to_vec();
    is_contained(&Origin::tireless(Reply::BytesThenClose(garbage)).await, TRIALS).await;
}
