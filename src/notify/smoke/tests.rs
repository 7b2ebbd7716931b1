use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::outgoing::tests::{Receiver, deaf};
use crate::server::clock::system;

fn get(path: &str) -> Smoke {
    Smoke {
        method: "GET".into(),
        path: path.into(),
        headers: Vec::new(),
        body: None,
        status: None,
        contains: None,
        timeout: Duration::from_secs(60),
    }
}

async fn ask(
    targets: &[DialAddress],
    host: &str,
    requests: &[Smoke],
) -> Result<Finished, TaskError> {
    smoke(&Caller::new(system()), targets, host, requests).await
}

fn at(receivers: &[&Receiver]) -> Vec<DialAddress> {
    receivers.iter().map(|receiver| DialAddress::Socket(receiver.address)).collect()
}

#[tokio::test]
async fn every_upstream_is_sent_every_request_as_it_is_written() {
    let receivers = [
        Receiver::start(|_| Some("all ready")).await,
        Receiver::start(|_| Some("all ready")).await,
    ];
    let order = Smoke {
        method: "POST".into(),
        headers: vec![("X-Test".into(), "1".into()), ("accept".into(), "text/plain".into())],
        body: Some("{}".into()),
        status: Some(200),
        contains: Some("ready".into()),
        ..get("/orders?dry=1")
    };
    let targets = at(&[&receivers[0], &receivers[1]]);
    let result = ask(&targets, "shop.example.com", &[get("/"), order]).await;
    assert_eq!(result, Ok(Finished::Answered { requests: 2, upstreams: 2 }));
    for receiver in &receivers {
        let calls = receiver.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!((calls[0].0.method.as_str(), calls[0].0.uri.path()), ("GET", "/"));
        assert_eq!(calls[0].0.headers["host"], "shop.example.com");
        let (head, body) = &*calls[1];
        assert_eq!((head.method.as_str(), &head.uri.to_string()[..]), ("POST", "/orders?dry=1"));
        assert_eq!(
            (&head.headers["x-test"], &head.headers["accept"]),
            (&HeaderValue::from_static("1"), &HeaderValue::from_static("text/plain"))
        );
        assert_eq!(&body[..], b"{}");
    }
}

#[tokio::test]
async fn the_first_that_is_not_answered_as_expected_ends_it() {
    let fine = Receiver::start(|_| Some("ok")).await;
    let bad = Receiver::start(|_| Some((StatusCode::INTERNAL_SERVER_ERROR, "boom"))).await;
    let result = ask(&at(&[&fine, &bad]), "h", &[get("/a"), get("/b")]).await;
    let expected =
        format!("GET /a at {}: expected a 2xx, got 500 Internal Server Error", bad.address);
    assert_eq!(result.unwrap_err().to_string(), expected);
    assert_eq!((fine.calls().len(), bad.calls().len()), (2, 1));
}

#[tokio::test]
async fn a_failure_says_what_was_expected_and_what_came() {
    let receiver =
        Receiver::start(|_| Some((StatusCode::FOUND, [("location", "/b")], "moved"))).await;
    let targets = at(&[&receiver]);
    let cases = [
        (get("/a"), "expected a 2xx, got 302 Found"),
        (Smoke { status: Some(200), ..get("/a") }, "expected status 200, got 302 Found"),
        (
            Smoke { status: Some(302), contains: Some("welcome".into()), ..get("/a") },
            "expected a body with `welcome`, got `moved`",
        ),
    ];
    for (request, failure) in cases {
        let result = ask(&targets, "h", &[request]).await;
        let expected = format!("GET /a at {}: {failure}", receiver.address);
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
    let odd = Smoke { headers: vec![("a b".into(), "c".into())], ..get("/a") };
    let result = ask(&targets, "h", &[odd]).await.unwrap_err().to_string();
    assert!(result.contains(": the request cannot be made: "), "{result}");
    assert_eq!(receiver.calls().len(), 3);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_fails() {
    let silent = Receiver::start(|_| None::<StatusCode>).await;
    let short = Smoke { timeout: Duration::from_millis(50), ..get("/a") };
    let result = ask(&at(&[&silent]), "h", &[short]).await;
    let expected = format!("GET /a at {}: timed out after 50ms", silent.address);
    assert_eq!(result.unwrap_err().to_string(), expected);
    let (_socket, nobody) = deaf();
    let result = ask(&[DialAddress::Socket(nobody)], "h", &[get("/a")]).await;
    let failure = result.unwrap_err().to_string();
    assert_eq!(failure, format!("GET /a at {nobody}: connection refused"));
}

#[tokio::test]
async fn a_body_is_looked_through_up_to_its_limit() {
    let body = |before: usize| {
        let mut body = vec![b'.'; before];
        body.extend_from_slice(b"ready");
        body
    };
    let receiver = Receiver::start(move |n| Some(body(BODY_LIMIT - 5 + n))).await;
    let request = Smoke { contains: Some("ready".into()), ..get("/a") };
    let targets = at(&[&receiver]);
    assert!(ask(&targets, "h", std::slice::from_ref(&request)).await.is_ok());
    let failure = ask(&targets, "h", &[request]).await.unwrap_err().to_string();
    assert!(failure.contains("expected a body with `ready`, got `...."), "{failure}");
}

#[tokio::test]
async fn nobody_to_ask_is_no_success() {
    let result = ask(&[], "h", &[get("/a")]).await;
    assert_eq!(result, Err(TaskError::NoUpstream));
}
