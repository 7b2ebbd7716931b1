//! The admin port under people who do not mean well, or do not do well.

use serde_json::{Value, json};

use crate::harness::edge::shop;
use crate::harness::running::until_ready;
use crate::harness::{Client, Edge, Origin, Running, client, connect, until};

const PROBE: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Memory that a process holds, in KiB.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn probed(running: &Running, count: usize) -> Vec<Client> {
    let mut clients = connect(running.admin, count, PROBE).await;
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    clients
}

#[tokio::test]
async fn an_idle_connection_costs_little() {
    let origin = Origin::named("fine").await;
    let running = Running::start("", &shop(&[("only", &origin)], "")).await;
    // What is set aside once, whoever comes.
    drop(probed(&running, 100).await);
    let before = resident(running.id());
    let clients = probed(&running, 100).await;
    let each = resident(running.id()).saturating_sub(before) / clients.len() as u64;
    // Wanted are 32; it was 1,900.
    assert!(each <= 64, "{each} KiB for each connection");
}

#[tokio::test]
async fn half_a_head_and_half_a_body_end() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut silent = connect(edge.admin, 1, "").await;
    let mut head = connect(edge.admin, 1, "GET /livez HTTP/1.1\r\nho").await;
    let half = "PUT /v1/services/shop/mode HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\
                content-type: application/json\r\n\r\n{";
    let mut body = connect(edge.admin, 1, half).await;
    let answer = body[0].response().await;
    assert_eq!(
        (answer.status, answer.fields("content-type")),
        (408, vec!["application/problem+json"])
    );
    assert_eq!(silent[0].rest().await, b"");
    let said = String::from_utf8(head[0].rest().await).unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

#[tokio::test]
async fn clients_leave_descriptors_for_whoever_looks_after_it() {
    let origin = Origin::tireless(crate::harness::Reply::ok("fine")).await;
    let running = Running::with("", &shop(&[("only", &origin)], ""), Some(256)).await;
    let listen = running.listen;
    // More than there are descriptors: some are let in, all others are closed at once.
    let mut clients = connect(listen, 300, "").await;
    for client in &mut clients {
        client.try_send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    let mut served = 0;
    for client in &mut clients {
        served += usize::from(client.outcome(false).await.is_ok_and(|answer| answer.status == 200));
    }
    assert!((50..150).contains(&served), "{served}");
    // Those that were closed at once are counted a moment longer.
    until("only those that are served are there", async || {
        let status = client::get(running.admin, "localhost", "/v1/status", &[]).await;
        let status: Value = serde_json::from_str(&status.body).unwrap();
        status["listeners"][0]["connections"] == served
    })
    .await;
    // And of those that are connected to the admin port not all can be kept out either.
    let others = connect(running.admin, 40, "").await;
    drop(others);
    until_ready(running.admin).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_words() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    // A body that nobody says the type of is not overlooked: it went back further than was meant.
    let mut client = Client::connect(edge.admin).await;
    let body = r#"{"to": 1}"#;
    let head =
        "POST /v1/services/shop/rollback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n";
    client.send(format!("{head}{body}")).await;
    let answer = client.response().await;
    assert_eq!(answer.status, 415, "{answer:?}");
    let long = "x".repeat(1_025);
    let split = json!({"weights": {"blue": 50, "green": 50}, "reason": long}).to_string();
    let (status, problem) = edge.admin("PUT", "/v1/services/shop/split", &split).await;
    assert_eq!((status, &problem["detail"]), (422, &json!("reason: at most 1024 characters")));
    let mode = json!({"mode": "maintenance", "author": long}).to_string();
    let (status, problem) = edge.admin("PUT", "/v1/services/shop/mode", &mode).await;
    assert_eq!((status, &problem["detail"]), (422, &json!("author: at most 1024 characters")));
    for path in ["/v1/services/shop/rollouts/first", "/v1/services/%ff"] {
        let answer = edge.admin_with("GET", path, "", &[]).await;
        let kind = answer.fields("content-type");
        assert_eq!((answer.status, kind), (400, vec!["application/problem+json"]), "{path}");
    }
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_told_that_it_was_carried_out() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    let path = "/v1/services/shop/split";
    let order = |blue: u8, author: &str| {
        json!({"weights": {"blue": blue, "green": 100 - blue}, "author": author, "reason": "r"})
            .to_string()
    };
    let number = edge.admin("GET", "/v1/services/shop", "").await.1["revision"].as_u64().unwrap();
    let expected = format!("if-match: \"{number}\"");
    let ask = async |body: &str| {
        let answer = edge.admin_with("PUT", path, body, &[&expected]).await;
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, problem["made_already"].clone())
    };
    assert_eq!(ask(&order(90, "ann")).await.0, 200);
    assert_eq!(ask(&order(90, "ann")).await, (412, json!(true)));
    assert_eq!(ask(&order(80, "ann")).await, (412, json!(false)));
    assert_eq!(ask(&order(90, "bob")).await, (412, json!(false)));
    let flip = json!({"to": "blue", "author": "ann", "reason": "r"}).to_string();
    let answer = edge.admin_with("POST", "/v1/services/shop/flip", &flip, &[&expected]).await;
    assert!(answer.status == 412 && answer.body.contains("\"made_already\":false"), "{answer:?}");
}
