//! `why` and `explain`: what happened to one request, and what would become of another.

use crate::cli::pointsman;
use crate::harness::edge::shop_at;
use crate::harness::running::free;
use crate::harness::{Edge, Origin, until};

/// Asks under an id, and waits until that is remembered.
async fn ask(edge: &Edge, id: &str) -> u16 {
    let status = edge.get(&[&format!("x-request-id: {id}")]).await.status;
    let path = format!("/v1/requests/{id}");
    until("the request is remembered", async || edge.admin("GET", &path, "").await.0 == 200).await;
    status
}

#[tokio::test]
async fn why_tells_of_each_attempt_and_of_what_was_refused() {
    let origin = Origin::named("blue").await;
    let nobody = free();
    let edge = Edge::start(&shop_at(&[("blue", &[origin.address, nobody])], "")).await;
    let admin = edge.admin.to_string();
    let why = async |id: &str, more: &[&str]| {
        pointsman(&[&["why", id, "--admin", &admin], more].concat()).await
    };
    // One of the first two meets the upstream that is not there.
    let mut retried = None;
    for id in ["one", "two", "three", "four"] {
        assert_eq!(ask(&edge, id).await, 200);
        let (_, kept) = edge.admin("GET", &format!("/v1/requests/{id}"), "").await;
        if kept["attempts"].as_array().unwrap().len() == 2 {
            retried = Some(id);
            break;
        }
    }
    let told = why(retried.expect("somebody was sent there first"), &[]).await;
    assert_eq!((told.code, &*told.err), (0, ""));
    for part in [
        "GET shop.test/ HTTP/1.1 from 127.0.0.1",
        "It came by route 1 of service shop at revision 1.",
        "It belonged to pool blue, by ",
        "It was answered with 200 after ",
        "It was tried 2 times:",
        &format!("blue/{nobody}"),
        &format!("blue/{}", origin.address),
        "connect_error: the upstream could not be reached; see that something listens",
    ] {
        assert!(told.out.contains(part), "{part}\n{}", told.out);
    }

    let breaker = "/v1/services/shop/pools/blue/breaker";
    assert_eq!(edge.admin("PUT", breaker, r#"{"state": "open"}"#).await.0, 200);
    assert_eq!(ask(&edge, "refused").await, 503);
    let told = why("refused", &[]).await;
    for part in [
        "with 503 after ",
        ": breaker_open, the service is not available for a moment.\nWhat to do: see why its pool",
        "No upstream was asked.",
    ] {
        assert!(told.out.contains(part), "{part}\n{}", told.out);
    }
    let json = why("refused", &["--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let (_, kept) = edge.admin("GET", "/v1/requests/refused", "").await;
    assert_eq!(json, kept);
}

#[tokio::test]
async fn why_says_that_a_request_is_gone_and_obeys_no_odd_bytes() {
    let origin = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &origin)], "").await;
    let admin = edge.admin.to_string();
    let none = pointsman(&["why", "odd/\u{1b}[2J", "--admin", &admin]).await;
    assert_eq!((none.code, &*none.out), (1, ""));
    let said = "request `odd/\u{fffd}[2J` is not remembered: no request is at the moment \
                (`server.remember`)";
    assert!(none.err.contains(said), "{}", none.err);
    ask(&edge, "one").await;
    let gone = pointsman(&["why", "another", "--admin", &admin]).await;
    assert_eq!(gone.code, 1);
    let said = "request `another` is not remembered: of 1 that are the oldest is of ";
    assert!(gone.err.contains(said), "{}", gone.err);
}

#[tokio::test]
async fn explain_tells_where_a_request_would_go_and_counts_nothing() {
    let origin = Origin::named("blue").await;
    let edge =
        Edge::before(&[("blue", &origin)], "rate_limit = { requests = 1, per = \"1h\" }").await;
    let admin = edge.admin.to_string();
    let explain =
        async |args: &[&str]| pointsman(&[&["explain", "--admin", &admin], args].concat()).await;
    for _ in 0..3 {
        let told = explain(&["http://shop.test/a?b=1", "-H", "x-a: 1", "-X", "POST"]).await;
        assert_eq!((told.code, &*told.err), (0, ""));
        for part in [
            "shop.test/a comes by route 1 of the file",
            "It goes to service shop at revision 1.",
            "Its client's rate is limited there, which was not looked at.",
            &format!("It goes to upstream blue/{}.", origin.address),
        ] {
            assert!(told.out.contains(part), "{part}\n{}", told.out);
        }
    }
    assert_eq!(origin.received().len(), 0);
    assert_eq!(edge.admin("GET", "/v1/requests", "").await.1, serde_json::json!([]));
    // The one that is let in in this hour is still to come.
    assert_eq!(edge.get(&[]).await.status, 200);

    let breaker = "/v1/services/shop/pools/blue/breaker";
    assert_eq!(edge.admin("PUT", breaker, r#"{"state": "open"}"#).await.0, 200);
    let told = explain(&["http://shop.test/", "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&told["status"], &told["cause"]), (&503.into(), &"breaker_open".into()));
    assert_eq!(told["not_taken"][0]["why"], "pool breaker open");

    let wrong = explain(&["shop.test/a"]).await;
    assert_eq!((wrong.code, &*wrong.out), (2, ""));
    assert!(wrong.err.contains("url: a whole one, such as"), "{}", wrong.err);
}
