//! Limits and refusals of ours, for clients that speak HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::peer::{Client, whole};
use super::{HEAD, edge};
use crate::harness::edge::{shop, shop_at};
use crate::harness::{Edge, Origin, until};

/// How many connections this limit has ended.
async fn count(edge: &Edge, reason: &str) -> u64 {
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let name = format!("pointsman_connections_limited_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_call_that_we_answer_ourselves_is_told_in_its_head() {
    let gone = crate::harness::running::free();
    let edge = edge(&shop_at(&[("only", &[gone])], "")).await;
    let client = Client::connect(edge.address).await;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let told = client.post("/shop.Cart/Add", &fields, b"\0\0\0\0\0").await;
    assert_eq!((told.status, told.body.len(), told.trailers.len()), (200, 0, 0));
    assert_eq!(told.field("content-type"), Some("application/grpc"));
    assert_eq!(told.field("grpc-status"), Some("14"));
    let message = told.field("grpc-message").unwrap();
    assert!(
        message.starts_with("the upstream could not be reached (Pointsman, request "),
        "{message}"
    );
    until("it is a failure of its pool", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        let name = "pointsman_requests_total{service=\"shop\",pool=\"only\",code=\"5xx\"} 1\n";
        metrics.contains(name)
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_by_us_and_counted() {
    let origin = Origin::named("fine").await;
    let folder = tempfile::TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let head =
        HEAD.replace("workers = 2", &format!("workers = 2\naccess_log.to = \"{}\"", log.display()));
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    let client = Client::connect(edge.address).await;
    for length in [34_000, 50_000] {
        let long = "v".repeat(length);
        let request = client.request(Method::GET, "/", &[("x-long", &long)]);
        let got = whole(client.begin(request, true).await.0).await.unwrap();
        assert_eq!(got.status, 431);
        let told = String::from_utf8(got.body).unwrap();
        assert!(told.contains("the header section is too large"), "{told}");
    }
    assert_eq!(client.get("/").await.body, b"fine");
    until("both are counted", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        metrics.contains("pointsman_refused_total{reason=\"header_too_large\"} 2\n")
    })
    .await;
    until("all have a line", async || {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        let refused = "\"version\":\"HTTP/2.0\",\"status\":431";
        lines.lines().count() == 3 && lines.matches(refused).count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_connection_says_goodbye_with_its_last_request_and_when_memory_is_short() {
    let origin = Origin::named("fine").await;
    let text = |server: &str| {
        let head = HEAD.replace("workers = 2", &format!("workers = 2\n{server}"));
        format!("{head}{}", shop(&[("only", &origin)], ""))
    };
    let edge = Edge::start_file(&text("client.requests = 3"), false).await;
    let (last, idle) = (Client::connect(edge.address).await, Client::connect(edge.address).await);
    for _ in 0..3 {
        assert!(last.takes_more().await);
        assert_eq!(last.get("/").await.body, b"fine");
    }
    until("the goodbye is here", async || !last.takes_more().await).await;
    assert_eq!(count(&edge, "requests").await, 1);
    assert_eq!(idle.get("/").await.body, b"fine");
    std::fs::write(edge.file(), text("memory.limit = \"1MiB\"")).unwrap();
    let (status, said) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 200, "{said}");
    until("it is told to go", async || !idle.takes_more().await).await;
    until("it is counted", async || count(&edge, "memory_idle").await == 1).await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off_and_takes_no_other_request_with_it() {
    let origin = Origin::named("fine").await;
    let rate = "workers = 2\nclient.body_rate = \"1KiB\"\nclient.body_grace = \"300ms\"";
    let head = HEAD.replace("workers = 2", rate);
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    let client = Client::connect(edge.address).await;
    let request = client.request(Method::POST, "/", &[]);
    let (response, mut stream) = client.begin(request, false).await;
    let told = tokio::spawn(whole(response));
    for _ in 0..3_000 {
        if told.is_finished() {
            break;
        }
        // Refused once the other end has had enough.
        let _ = stream.send_data(Bytes::from_static(b"x"), false);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(told.is_finished(), "it is told in time");
    assert_eq!(told.await.unwrap().unwrap().status, 408);
    assert_eq!(client.get("/").await.body, b"fine");
    assert_eq!(count(&edge, "body_rate").await, 1);
}
