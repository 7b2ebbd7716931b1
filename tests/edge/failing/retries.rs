//! What is tried again, where and how often, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{addresses, fleet};
use crate::harness::{Client, Edge, Origin, Process, Reply};

/// Upstreams that share one script: the first so many requests, whichever gets them, are answered
/// with the failure, all later ones with 200.
async fn origins(count: usize, failures: usize, failure: &Reply) -> Vec<Origin> {
    let seen = Arc::new(AtomicUsize::new(0));
    let mut origins = Vec::new();
    for _ in 0..count {
        let (seen, failure) = (seen.clone(), failure.clone());
        let script = move |_: &_| match seen.fetch_add(1, Ordering::SeqCst) < failures {
            true => failure.clone(),
            false => Reply::ok("fine"),
        };
        origins.push(Origin::with(script).await);
    }
    origins
}

/// Nothing but retries at work.
async fn edge_before(origins: &[Origin], retries: &str) -> Edge {
    let upstreams: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let service = format!(
        "ejection = false\nbreaker = false\nlimits.throttle = false\n\
         timeouts.response = \"3s\"\nretries = {{ {retries} }}"
    );
    Edge::start(&fleet(&upstreams, &service)).await
}

fn real() -> Reply {
    Reply::head("502 Bad Gateway", &["x-real: yes"], "the real answer")
}

/// How often each was asked, the most asked first.
fn asked(origins: &[Origin]) -> Vec<u64> {
    let mut asked: Vec<_> = origins.iter().map(Origin::asked).collect();
    asked.sort_unstable_by(|a, b| b.cmp(a));
    asked
}

fn request(method: &str, body: usize) -> Vec<u8> {
    let head = format!("{method} / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: {body}\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend((0..body).map(|at| b'a' + (at % 26) as u8));
    bytes
}

/// Settings, how many attempts fail, the request; then its status and the attempts at each
/// upstream.
type Case = (&'static str, usize, Vec<u8>, u16, &'static [u64]);

#[tokio::test]
async fn what_is_tried_again_is_tried_elsewhere() {
    let two = "attempts = 2, statuses = [502]";
    let cases: [Case; 12] = [
        ("attempts = 1, statuses = [502]", 1, request("GET", 0), 200, &[1, 1, 0]),
        ("attempts = 1, statuses = [502]", 2, request("GET", 0), 502, &[1, 1, 0]),
        (two, 2, request("GET", 0), 200, &[1, 1, 1]),
        (two, 3, request("GET", 0), 502, &[1, 1, 1]),
        ("attempts = 1, statuses = [503]", 1, request("GET", 0), 502, &[1, 0, 0]),
        ("attempts = 1", 1, request("GET", 0), 502, &[1, 0, 0]),
        ("attempts = 0, statuses = [502]", 1, request("GET", 0), 502, &[1, 0, 0]),
        (two, 1, request("POST", 5), 502, &[1, 0, 0]),
        (two, 1, request("PATCH", 5), 502, &[1, 0, 0]),
        (two, 1, request("DELETE", 0), 200, &[1, 1, 0]),
        (two, 1, request("PUT", 60_000), 200, &[1, 1, 0]),
        (two, 1, request("PUT", 70_000), 502, &[1, 0, 0]),
    ];
    for (retries, failures, request, status, attempts) in cases {
        let line = request.split(|b| *b == b'\r').next().unwrap().escape_ascii();
        let what = format!("{line} of {} bytes, {retries}, {failures} fail", request.len());
        let origins = origins(3, failures, &real()).await;
        let edge = edge_before(&origins, retries).await;
        let response = edge.raw(&request).await;
        assert_eq!((response.status, asked(&origins)), (status, attempts.to_vec()), "{what}");
        if status == 502 {
            // What the upstream said, not what we would say in its place.
            assert_eq!(response.body, "the real answer", "{what}");
            assert_eq!(response.fields("x-real"), ["yes"], "{what}");
        }
    }
}

#[tokio::test]
async fn a_body_is_sent_again_byte_for_byte() {
    for body in [1, 60_000, 64 * 1024] {
        let origins = origins(2, 1, &real()).await;
        let edge = edge_before(&origins, "statuses = [502]").await;
        let sent = request("PUT", body);
        assert_eq!(edge.raw(&sent).await.body, "fine", "{body} bytes");
        for origin in &origins {
            assert!(sent.ends_with(&origin.only().body) && origin.only().body.len() == body);
        }
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_its_answer_is_retried_if_that_is_safe() {
    for failure in [Reply::Close, Reply::Nothing, Reply::BytesThenReset(Vec::new())] {
        for (method, status, attempts) in [("GET", Some(200), 2), ("POST", None, 1)] {
            let origins = origins(2, 1, &failure).await;
            let edge = edge_before(&origins, "attempts = 1").await;
            let response = edge.raw(request(method, 5)).await;
            match status {
                Some(status) => assert_eq!(response.status, status),
                None => assert!([502, 504].contains(&response.status), "{response:?}"),
            }
            assert_eq!(asked(&origins).iter().sum::<u64>(), attempts, "{method}");
        }
    }
}

#[tokio::test]
async fn a_request_that_was_never_sent_is_retried_whatever_it_is() {
    let mut processes = [Process::start("gone").await, Process::start("here").await];
    processes[0].kill().await;
    let service = "ejection = false\nbreaker = false\nretries.budget = 100";
    let edge = Edge::start(&fleet(&addresses(&processes), service)).await;
    for _ in 0..20 {
        let response = edge.raw(request("POST", 5)).await;
        assert_eq!((response.status, &*response.body), (200, "here"));
    }
    // So that the above has shown something.
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
    let gone = processes[0].address.to_string();
    let upstreams = pool["upstreams"].as_array().unwrap();
    let gone = upstreams.iter().find(|upstream| upstream["address"] == gone).unwrap();
    assert!(gone["errors"].as_u64() > Some(0), "{gone}");
}

#[tokio::test]
async fn no_answer_is_cut_in_two_by_a_retry() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    let origins = origins(2, 1, &Reply::BytesThenClose(cut)).await;
    let edge = edge_before(&origins, "attempts = 1").await;
    let mut client = Client::connect(edge.address).await;
    client.send(request("GET", 0)).await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.ends_with("\r\n\r\nhalf"), "{rest}");
    assert_eq!(asked(&origins), [1, 0]);
}

#[tokio::test]
async fn retries_are_a_fifth_of_all_requests_and_a_few_more() {
    const REQUESTS: u64 = 400;
    let origins = origins(3, usize::MAX, &real()).await;
    let edge = edge_before(&origins, "statuses = [502], backoff = \"1ms\"").await;
    let (mut client, begun) = (edge.client().await, Instant::now());
    for _ in 0..REQUESTS {
        client.send(request("GET", 0)).await;
        assert_eq!(client.response().await.body, "the real answer");
    }
    let retries = asked(&origins).iter().sum::<u64>() - REQUESTS;
    let seconds = begun.elapsed().as_secs() + 1;
    println!("{retries} retries within {seconds} s");
    // 80 are the fifth; without a budget there would be 400. And ten a second are free, of which those of
    // ten seconds may be spent at once.
    let most = 80 + 10 * (10 + seconds);
    assert!((60..=most).contains(&retries), "{retries} of {most} within {seconds} s");
}
