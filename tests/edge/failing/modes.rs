//! A service is held or closed for maintenance by its operator.

use serde_json::Value;

use super::fleet;
use crate::harness::edge::{HEAD, shop};
use crate::harness::{Client, Edge, Gate, Origin, Reply, until};

const MODE: &str = "/v1/services/shop/mode";
const HELD: usize = 12;

async fn set_mode(edge: &Edge, body: &str) {
    let (status, answer) = edge.admin("PUT", MODE, body).await;
    assert_eq!(status, 200, "{answer}");
}

async fn are_waiting(edge: &Edge) -> u64 {
    let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
    service["waiting"].as_u64().expect("a number")
}

/// Sends `/0`, `/1` and so on; each waits before the next is sent.
async fn send_held(edge: &Edge, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for nth in 0..count {
        clients.push(send(edge, nth).await);
        until("it waits", async || are_waiting(edge).await == nth as u64 + 1).await;
    }
    clients
}

async fn send(edge: &Edge, nth: usize) -> Client {
    let mut client = edge.client().await;
    client.send(format!("GET /{nth} HTTP/1.1\r\nhost: shop.test\r\n\r\n")).await;
    client
}

#[tokio::test]
async fn held_requests_go_to_the_pool_in_force_when_they_are_released() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    set_mode(&edge, r#"{"mode": "hold", "for": "5m", "reason": "switch"}"#).await;
    let mut clients = send_held(&edge, HELD).await;
    let flip = edge.admin("POST", "/v1/services/shop/flip", r#"{"to": "green"}"#).await;
    assert_eq!(flip.0, 200, "{}", flip.1);
    assert_eq!((blue.asked(), green.asked()), (0, 0), "nothing leaves while it is held");
    set_mode(&edge, r#"{"mode": "serve"}"#).await;
    for client in &mut clients {
        let response = client.response().await;
        assert_eq!((response.status, &*response.body), (200, "green"));
    }
    // In which order they come there is the runtime's affair: each opens a connection of its own.
    // That they leave the line in order is shown where the line is (`exchange/line/tests.rs`).
    assert_eq!((blue.asked(), green.asked()), (0, HELD as u64));
}

#[tokio::test]
async fn a_hold_ends_by_itself() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    set_mode(&edge, r#"{"mode": "hold", "for": "3s"}"#).await;
    let mut clients = [send(&edge, 0).await, send(&edge, 1).await];
    until("both wait", async || are_waiting(&edge).await == 2).await;
    for client in &mut clients {
        assert_eq!(client.response().await.body, "a");
    }
    assert_eq!(edge.get(&[]).await.body, "a");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_held_asks_nobody() {
    let origin = Origin::named("a").await;
    let text = format!("{HEAD}{}", shop(&[("only", &origin)], ""));
    let edge = Edge::start_file(&text.replace("workers = 2", "workers = 1"), false).await;
    set_mode(&edge, r#"{"mode": "hold", "for": "5m"}"#).await;
    let mut clients = send_held(&edge, 2).await;
    drop(clients.remove(0));
    // The one worker has heard of that when it answers what came later.
    assert_eq!(edge.raw("GET / HTTP/1.1\r\n\r\n").await.status, 400);
    set_mode(&edge, r#"{"mode": "serve"}"#).await;
    assert_eq!(clients[0].response().await.body, "a");
    let heads: Vec<_> = origin.received().into_iter().map(|request| request.head).collect();
    assert!(heads.len() == 1 && heads[0].starts_with("GET /1 "), "{heads:?}");
}

#[tokio::test]
async fn maintenance_says_so_and_keeps_the_connection() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "maintenance.paths = [\"/healthz\"]").await;
    set_mode(&edge, r#"{"mode": "maintenance", "message": "back soon"}"#).await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    let text = client.response().await;
    assert_eq!(text.status, 503);
    assert!(text.body.contains("back soon"), "{}", text.body);
    assert!(!text.fields("retry-after").is_empty(), "{}", text.head);

    client.send("GET / HTTP/1.1\r\nhost: shop.test\r\naccept: application/json\r\n\r\n").await;
    let json = client.response().await;
    assert_eq!(json.status, 503);
    let body: Value = serde_json::from_str(&json.body).expect("a JSON body");
    assert_eq!(body["status"], 503);
    assert!(body["detail"].as_str().is_some_and(|d| d.contains("back soon")), "{body}");
    assert_eq!(origin.asked(), 0);

    client.send("GET /healthz HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(client.response().await.body, "a", "a path on the list passes");
    client.send("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi").await;
    assert_eq!(client.response().await.status, 503, "an unread body is no reason to close");

    set_mode(&edge, r#"{"mode": "serve"}"#).await;
    client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(client.response().await.body, "a");
}

#[tokio::test]
async fn testers_on_the_list_pass_maintenance() {
    let origin = Origin::named("a").await;
    for (allow, status) in [("127.0.0.0/8", 200), ("192.0.2.0/24", 503)] {
        let service = format!("maintenance.allow = [\"{allow}\"]");
        let edge = Edge::start(&fleet(&[origin.address], &service)).await;
        set_mode(&edge, r#"{"mode": "maintenance", "message": "back soon"}"#).await;
        assert_eq!(edge.get(&[]).await.status, status, "{allow}");
    }
}

#[tokio::test]
async fn probes_go_on_while_a_service_is_in_maintenance() {
    let origin = Origin::with(|_| Reply::ok("a")).await;
    let health = "[services.shop.health]\nhttp = { path = \"/up\" }\ninterval = \"1s\"";
    let edge = Edge::start(&fleet(&[origin.address], health)).await;
    set_mode(&edge, r#"{"mode": "maintenance", "message": "back soon"}"#).await;
    let before = origin.asked();
    until("probes come", async || origin.asked() >= before + 2).await;
    assert!(origin.received().iter().all(|request| request.head.starts_with("GET /up ")));
}

#[tokio::test]
async fn a_mode_that_does_not_exist_is_refused() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    for (path, body, status) in [
        (MODE, r#"{"mode": "pause"}"#, 422),
        (MODE, r#"{"mode": "hold", "for": "soon"}"#, 422),
        ("/v1/services/none/mode", r#"{"mode": "serve"}"#, 404),
    ] {
        assert_eq!(edge.admin("PUT", path, body).await.0, status, "{path} {body}");
    }
    assert_eq!(edge.get(&[]).await.status, 200);
}

#[tokio::test]
async fn who_waits_for_a_service_that_a_reload_removes_is_told_so() {
    let gate = Gate::closed();
    let origin = Origin::always(Reply::ok("a").behind(&gate)).await;
    // A name before `shop`, so that places move when it goes.
    let other = "[[routes]]\nhosts = [\"other.test\"]\nservice = \"a\"\n[services.a.pools.only]\n\
                 upstreams = [\"127.0.0.1:9\"]\n";
    let route = "[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n";
    let limits = "timeouts.response = \"5m\"\n\
                  limits = { in_flight = 1, queue = 10, queue_timeout = \"5m\" }";
    let text = format!("{HEAD}{route}{other}{}", fleet(&[origin.address], limits));
    let edge = Edge::start_file(&text, false).await;
    let mut holder = send(&edge, 0).await;
    until("the only place is taken", async || origin.asked() == 1).await;
    let waiting = send_held(&edge, 2).await;
    std::fs::write(edge.file(), format!("{HEAD}{other}")).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    for mut client in waiting {
        assert_eq!(client.response().await.status, 404);
    }
    gate.open();
    assert_eq!(holder.response().await.status, 200);
}

#[tokio::test]
async fn a_reload_sends_each_that_is_held_where_it_belongs_now() {
    let (shop, other) = (Origin::named("shop").await, Origin::named("other").await);
    let route = |path: &str, service: &str| {
        format!(
            "[[routes]]\nhosts = [\"shop.test\"]\npath_prefix = \"{path}\"\nservice = \"{service}\"\n"
        )
    };
    let services = format!(
        "[services.shop.pools.only]\nupstreams = [\"{}\"]\n\
         [services.other.pools.only]\nupstreams = [\"{}\"]\n",
        shop.address, other.address
    );
    let text = format!("{HEAD}{}{}{services}", route("/", "shop"), route("/other", "other"));
    let edge = Edge::start_file(&text, false).await;
    set_mode(&edge, r#"{"mode": "hold", "for": "5m"}"#).await;
    let mut clients = send_held(&edge, 4).await;
    let text = format!("{HEAD}{}{}{services}", route("/0", "shop"), route("/2", "other"));
    std::fs::write(edge.file(), text).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    // The first is still held; those behind it are not any more.
    assert_eq!(clients[1].response().await.status, 404);
    assert_eq!(clients[2].response().await.body, "other");
    assert_eq!(clients[3].response().await.status, 404);
    assert_eq!(shop.asked(), 0);
    let text = format!(
        "{HEAD}{}{}",
        route("/", "other"),
        services.replace("services.shop", "services.new")
    );
    let text = format!("{text}[[routes]]\nhosts = [\"new.test\"]\nservice = \"new\"\n");
    std::fs::write(edge.file(), text).unwrap();
    let (status, answer) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(clients[0].response().await.body, "other", "its service is gone");
}
