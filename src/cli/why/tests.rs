//! The picture of a request.

use super::*;

fn request(more: serde_json::Value) -> wire::Request {
    let mut value = serde_json::json!({
        "at": 1_764_000_000.5, "request_id": "mine", "method": "GET", "host": "shop.test",
        "path": "/a", "version": "HTTP/1.1", "client": "192.0.2.1", "took_ms": 12.345,
        "waited_ms": 0.0, "connection_age_ms": 1.0, "service": "shop", "route": 2, "pool": "blue",
        "revision": 7, "by": "cohort", "cohort": 4_711, "status": 200, "request_bytes": 0,
        "response_bytes": 4, "attempts": [], "not_taken": [],
    });
    for (name, field) in more.as_object().unwrap() {
        value[name] = field.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn attempt(upstream: &str, status: Option<u16>, cause: Option<&str>) -> serde_json::Value {
    serde_json::json!({
        "pool": "blue", "upstream": upstream, "chosen_ms": 0.1, "began_ms": 0.2,
        "connected_ms": 0.3, "is_reused": false, "sent_ms": 0.4, "head_ms": status.map(|_| 5.0),
        "done_ms": 11.0, "status": status, "cause": cause, "sent_bytes": 0, "received_bytes": 4,
    })
}

#[test]
fn a_retried_request_shows_its_way_and_both_attempts() {
    let retried = request(serde_json::json!({
        "waited_ms": 20.0,
        "attempts": [
            attempt("10.0.0.1:80", Some(503), Some("retried")),
            attempt("10.0.0.2:80", Some(200), None),
        ],
    }));
    let wanted = "\
2025-11-24T16:00:00Z  GET shop.test/a HTTP/1.1 from 192.0.2.1

It came by route 2 of service shop at revision 7.
It belonged to pool blue, by its client's cohort, 4711 of 10,000.
It waited in line for 20 ms.
It was answered with 200 after 12 ms.

It was tried 2 times:
 #  UPSTREAM           CHOSEN    BEGAN  CONNECTED     SENT     HEAD   DONE  STATUS  OUTCOME
 1  blue/10.0.0.1:80  0.10 ms  0.20 ms    0.30 ms  0.40 ms  5.00 ms  11 ms     503  retried
 2  blue/10.0.0.2:80  0.10 ms  0.20 ms    0.30 ms  0.40 ms  5.00 ms  11 ms     200  well
retried: the upstream failed; nothing: it was tried again; see the upstream if that is often so.";
    let shown = picture(&retried, None);
    let trimmed =
        |text: &str| text.lines().map(|line| line.trim_start().to_string()).collect::<Vec<_>>();
    assert_eq!(trimmed(&shown), trimmed(wanted), "{shown}");
    let narrow = picture(&retried, Some(60));
    assert!(!narrow.contains("CHOSEN") && narrow.contains("retried"), "{narrow}");
}

#[test]
fn a_shield_is_told_from_the_pool_that_it_answers_for() {
    let shielded = picture(&request(serde_json::json!({"by": "shield", "pool": "green"})), None);
    let told = "pool green; the stable pool, which shields it, was asked in its place.\n";
    assert!(shielded.contains(told), "{shielded}");
}

#[test]
fn each_cause_of_attempts_is_explained_once() {
    let causes = ["connect_error", "retried", "connect_error", "retried"];
    let attempts: Vec<_> =
        causes.map(|cause| attempt("10.0.0.1:80", None, Some(cause))).into_iter().collect();
    let shown = picture(&request(serde_json::json!({"attempts": attempts})), None);
    for cause in ["connect_error: ", "retried: "] {
        assert_eq!(shown.matches(cause).count(), 1, "{shown}");
    }
}

#[test]
fn a_refused_request_says_why_and_what_to_do() {
    let refused = request(serde_json::json!({
        "status": 503, "cause": "no_upstream", "by": "draw", "cohort": null,
        "not_taken": [{"pool": "blue", "upstream": "10.0.0.1:80", "why": "down"}],
    }));
    let shown = picture(&refused, None);
    for part in [
        "by a draw",
        "answered with 503 after 12 ms: no_upstream, no upstream is available.\nWhat to do: ",
        "No upstream was asked.",
        "Not taken at the end:\n",
        "blue/10.0.0.1:80  down",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let unknown = request(serde_json::json!({"status": 503, "cause": "of_another_version"}));
    assert!(picture(&unknown, None).contains("with 503 after 12 ms: of_another_version.\n"));
}

#[test]
fn one_that_came_to_no_service_says_so() {
    let none =
        serde_json::json!({"service": null, "pool": null, "status": 404, "cause": "no_route"});
    let shown = picture(&request(none), None);
    assert!(shown.contains("It came to no service.\nIt was answered with 404"), "{shown}");
    let own = request(serde_json::json!({"service": "_redirect", "pool": null, "status": 308}));
    assert!(picture(&own, None).contains("Its route leads elsewhere by itself.\n"));
    let gone = request(serde_json::json!({"method": "", "host": "", "path": "", "status": null}));
    let shown = picture(&gone, None);
    assert!(
        shown.contains("head is not remembered")
            && shown.contains("It got no answer, and was over after")
    );
}
