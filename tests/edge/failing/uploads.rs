//! Bodies that take their time: they take no place from others, and there is a bound on them too.

use super::fleet;
use crate::harness::edge::shop;
use crate::harness::{Client, Edge, Gate, Origin, Reply, connect, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// A request, and the first byte of its body.
const BEGUN: &str = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\no";
const REST: &str = "rder";

/// How many requests are held by the service, its pool and all of its upstreams, and how many of
/// them are being sent by what each of these knows.
fn held(edge: &Edge) -> [(u32, u32); 3] {
    let snapshot = edge.server.published().load();
    let service = &snapshot.services[0];
    let pool = &service.pools[0];
    let upstreams = pool.members.list().iter().map(|member| member.upstream.load());
    let upstreams = upstreams.fold((0, 0), |sum, one| (sum.0 + one.all, sum.1 + one.sending));
    let [service, pool] = [service.state.load(), pool.state.load()];
    [(service.all, service.sending), (pool.all, pool.sending), upstreams]
}

async fn until_sending(edge: &Edge, count: u32) {
    until("so many are being sent", async || held(edge)[0].1 == count).await;
}

/// Waits until this is what the service holds: a request is over a little after its client has all.
async fn until_held(edge: &Edge, all_and_sending: (u32, u32)) {
    until("this much is held", async || held(edge)[0] == all_and_sending).await;
}

async fn until_nothing_is_held(edge: &Edge) {
    until("nothing is held", async || held(edge) == [(0, 0); 3]).await;
}

/// So many whose bodies have begun and do not go on.
async fn slow(edge: &Edge, count: usize) -> Vec<Client> {
    let before = held(edge)[0].1;
    let clients = connect(edge.address, count, BEGUN).await;
    until_sending(edge, before + count as u32).await;
    clients
}

async fn are_waiting(edge: &Edge) -> u64 {
    let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
    service["waiting"].as_u64().expect("a number")
}

#[tokio::test]
async fn slow_uploads_keep_nobody_from_a_place() {
    for limits in ["adaptive = true", "in_flight = 1", "upstream_in_flight = 1"] {
        let origin = Origin::named("a").await;
        let edge = Edge::before(&[("only", &origin)], &format!("limits = {{ {limits} }}")).await;
        let mut slow = slow(&edge, 20).await;
        for client in &mut slow {
            assert_eq!(edge.get(&[]).await.status, 200, "{limits}");
            client.send("r").await;
            until_held(&edge, (20, 20)).await;
        }
        for client in &mut slow {
            client.send("der").await;
            assert_eq!(client.response().await.body, "a", "{limits}");
        }
        until_nothing_is_held(&edge).await;
        assert_eq!(origin.asked(), 40, "{limits}");
    }
}

#[tokio::test]
async fn a_hundred_may_be_sent_beside_a_lower_limit() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "limits.in_flight = 1").await;
    let slow = slow(&edge, 100).await;
    assert_eq!(edge.raw(BEGUN).await.status, 503);
    assert_eq!(edge.get(&[]).await.status, 200);
    until_held(&edge, (100, 100)).await;
    let whole = format!("{BEGUN}{REST}");
    assert_eq!(edge.raw(whole).await.status, 200, "its body came with its head");
    until_held(&edge, (100, 100)).await;
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    for line in [
        "pointsman_service_requests_in_flight{service=\"shop\"} 100\n",
        "pointsman_service_requests_sending{service=\"shop\"} 100\n",
        "pointsman_shed_total{service=\"shop\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    drop(slow);
    until_nothing_is_held(&edge).await;
    assert_eq!(edge.get(&[]).await.status, 200);
}

#[tokio::test]
async fn more_uploads_than_may_be_wait_for_one_to_end() {
    let origin = Origin::named("a").await;
    let limits = "limits = { uploads = 2, queue = 2, queue_timeout = \"5m\" }";
    let edge = Edge::before(&[("only", &origin)], limits).await;
    let mut slow = slow(&edge, 2).await;
    let mut third = edge.client().await;
    third.send(BEGUN).await;
    until("it is in line", async || are_waiting(&edge).await == 1).await;
    assert_eq!(edge.raw(BEGUN).await.status, 503, "half of the line is theirs");
    for _ in 0..3 {
        assert_eq!(edge.get(&[]).await.body, "a", "others go past the line");
    }
    slow[0].send(REST).await;
    assert_eq!(slow[0].response().await.body, "a");
    until("it has its turn", async || are_waiting(&edge).await == 0).await;
    until_sending(&edge, 2).await;
    // One that gives up makes room as well.
    drop(slow);
    third.send(REST).await;
    assert_eq!(third.response().await.body, "a");
    until_nothing_is_held(&edge).await;
}

#[tokio::test]
async fn a_body_that_comes_while_its_request_waits_needs_no_room() {
    let origin = Origin::named("a").await;
    let limits = "limits = { uploads = 1, queue = 2, queue_timeout = \"5m\" }";
    let edge = Edge::before(&[("only", &origin)], limits).await;
    let _slow = slow(&edge, 1).await;
    let mut waiting = edge.client().await;
    waiting.send(BEGUN).await;
    until("it is in line", async || are_waiting(&edge).await == 1).await;
    waiting.send(REST).await;
    assert_eq!(waiting.response().await.body, "a");
    until_held(&edge, (1, 1)).await;
}

#[tokio::test]
async fn an_upload_counts_from_its_end() {
    let gate = Gate::closed();
    let origin = Origin::always(Reply::ok("a").behind(&gate)).await;
    for limits in ["limits.in_flight = 1", "limits.upstream_in_flight = 1"] {
        let service = format!("{limits}\ntimeouts.response = \"5m\"");
        let edge = Edge::start(&fleet(&[origin.address], &service)).await;
        let asked = origin.asked();
        let mut client = slow(&edge, 1).await.remove(0);
        client.send(REST).await;
        until("all of it has come", async || origin.asked() == asked + 1).await;
        until_held(&edge, (1, 0)).await;
        assert_eq!(edge.get(&[]).await.status, 503, "{limits}");
        assert_eq!(edge.raw(BEGUN).await.status, 503, "{limits}");
        // It gives up before its answer has begun.
        drop(client);
        until_nothing_is_held(&edge).await;
    }
    let edge = Edge::start(&fleet(&[origin.address], "limits.in_flight = 1")).await;
    gate.open();
    assert_eq!(edge.get(&[]).await.body, "a");
}

#[tokio::test]
async fn an_upload_that_is_answered_early_counts_from_then_on() {
    let origin = Origin::unread_after(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nearly").await;
    let edge = Edge::before(&[("only", &origin)], "limits.in_flight = 1").await;
    let mut client = edge.client().await;
    client.send(BEGUN).await;
    let head = String::from_utf8(client.bytes(17).await).unwrap();
    assert_eq!(head, "HTTP/1.1 200 OK\r\n");
    until_held(&edge, (1, 0)).await;
    assert_eq!(edge.get(&[]).await.status, 503);
    // It gives up within its answer.
    drop(client);
    until_nothing_is_held(&edge).await;
}

#[tokio::test]
async fn whoever_gives_up_at_any_time_leaves_nothing_behind() {
    let gate = Gate::closed();
    let origin = Origin::always(Reply::ok("a").behind(&gate)).await;
    let limits = "limits = { in_flight = 2, upstream_in_flight = 2, adaptive = true, uploads = 1, \
                  queue = 9, queue_timeout = \"5m\" }\ntimeouts.response = \"5m\"";
    let edge = Edge::start(&shop(&[("only", &origin)], limits)).await;
    for _ in 0..3 {
        let asked = origin.asked();
        // One that has been sent, one that is being sent, and one that waits to be.
        let mut sent = slow(&edge, 1).await.remove(0);
        sent.send(REST).await;
        until("all of it has come", async || origin.asked() == asked + 1).await;
        until_held(&edge, (1, 0)).await;
        let sending = slow(&edge, 1).await;
        let mut waiting = edge.client().await;
        waiting.send(BEGUN).await;
        until("it is in line", async || are_waiting(&edge).await == 1).await;
        assert_eq!(held(&edge), [(2, 1); 3]);
        drop(waiting);
        until("it has left", async || are_waiting(&edge).await == 0).await;
        drop((sent, sending));
        until_nothing_is_held(&edge).await;
    }
    gate.open();
    let mut client = edge.client().await;
    client.send(GET).await;
    assert_eq!(client.response().await.body, "a");
    until_nothing_is_held(&edge).await;
}
