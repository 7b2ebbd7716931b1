use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::http::request::Parts;
use bytes::Bytes;
use http::StatusCode;

use super::queue::Patience;
use super::*;
use crate::config::{Form, NotifyTarget, RoutingKey, SigningKey, SigningKeys};
use crate::observe::{NotifyTally, Process};
use crate::outgoing::tests::{Receiver, deaf};
use crate::server::clock::system;

pub fn notice(severity: Severity, dedup: &str) -> Notice {
    Notice {
        id: 1,
        pointsman: "edge-1".into(),
        environment: "".into(),
        at: WallTime::from_millis(1_700_000_000_000),
        severity,
        kind: "breaker".into(),
        service: "shop".into(),
        pool: "green".into(),
        upstream: "".into(),
        labels: Default::default(),
        what: format!("breaker opened ({dedup})"),
        author: "".into(),
        state: "blue answers".into(),
        next: Some("pointsman status shop".into()),
        runbook: None,
        trace: None,
        topic: dedup.into(),
        dedup: dedup.into(),
        only_for: None,
        is_relief: false,
        alert: None,
    }
}

fn target(name: &str, url: &str) -> NotifyTarget {
    NotifyTarget {
        name: name.into(),
        url: url.parse().unwrap(),
        form: Form::Json,
        routing_key: None,
        headers: Vec::new(),
        severity: Severity::Low,
        secret_file: None,
        timeout: Duration::from_secs(60),
    }
}

/// A notifier that is quick to try again.
fn quick() -> (Notifier, Arc<Process>) {
    let millis = Duration::from_millis;
    let patience = Patience { first: millis(1), longest: millis(4), ..Patience::default() };
    with(patience)
}

fn with(patience: Patience) -> (Notifier, Arc<Process>) {
    let process = Arc::new(Process::default());
    (Notifier::with(Caller::new(system()), patience, process.clone()), process)
}

/// Sent, failed, dropped, suppressed.
fn counts(process: &Process, target: &str) -> [u64; 4] {
    let tallies = process.notify_targets();
    let NotifyTally { sent, failed, dropped, suppressed, .. } =
        &**tallies.iter().find(|tally| &*tally.name == target).unwrap();
    [sent, failed, dropped, suppressed].map(|counter| counter.load(Relaxed))
}

async fn until_counted(process: &Process, target: &str, expected: [u64; 4]) {
    while counts(process, target) != expected {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn dedup_of(call: &(Parts, Bytes)) -> String {
    let body: serde_json::Value = serde_json::from_slice(&call.1).unwrap();
    body["dedup"].as_str().unwrap().into()
}

#[tokio::test]
async fn a_slow_target_delays_no_other() {
    let slow = Receiver::start(|_| None::<StatusCode>).await;
    let swift = Receiver::start(|_| Some(StatusCode::NO_CONTENT)).await;
    let (notifier, process) = quick();
    notifier.set_targets(
        &[target("slow", &slow.url("/")), target("swift", &swift.url("/"))],
        &SigningKeys::default(),
    );
    for key in ["a", "b", "c"] {
        notifier.send(notice(Severity::Low, key));
    }
    let calls = swift.after(3).await;
    assert_eq!(calls.iter().map(|call| dedup_of(call)).collect::<Vec<_>>(), ["a", "b", "c"]);
    until_counted(&process, "swift", [3, 0, 0, 0]).await;
    assert_eq!(slow.after(1).await.len(), 1);
    assert_eq!(counts(&process, "slow"), [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_target_that_fails_is_called_again_with_the_same_id_until_it_takes_the_notice() {
    let replies = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    let receiver = Receiver::start(move |n| Some(*replies.get(n).unwrap_or(&StatusCode::OK))).await;
    let (notifier, process) = quick();
    notifier.set_targets(&[target("t", &receiver.url("/in"))], &SigningKeys::default());
    notifier.send(notice(Severity::Medium, "a"));
    until_counted(&process, "t", [1, 2, 0, 0]).await;
    let calls = receiver.calls();
    let ids: Vec<_> = calls.iter().map(|call| call.0.headers["webhook-id"].clone()).collect();
    assert_eq!(ids, ["notice_1700000000000_1"; 3]);
}

#[tokio::test]
async fn a_target_that_never_takes_a_notice_is_called_eight_times() {
    let receiver = Receiver::start(|_| Some(StatusCode::BAD_GATEWAY)).await;
    let (notifier, process) = quick();
    notifier.set_targets(&[target("t", &receiver.url("/"))], &SigningKeys::default());
    notifier.send(notice(Severity::Medium, "a"));
    until_counted(&process, "t", [0, 8, 1, 0]).await;
    assert_eq!(receiver.calls().len(), 8);
}

#[tokio::test]
async fn a_call_that_is_wrong_is_not_made_again() {
    let receiver = Receiver::start(|_| Some(StatusCode::NOT_FOUND)).await;
    let (notifier, process) = quick();
    notifier.set_targets(&[target("t", &receiver.url("/"))], &SigningKeys::default());
    notifier.send(notice(Severity::Medium, "a"));
    until_counted(&process, "t", [0, 1, 1, 0]).await;
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn targets_get_what_is_severe_enough_and_once() {
    let receiver = Receiver::start(|_| Some(StatusCode::OK)).await;
    let (notifier, process) = quick();
    let severe = NotifyTarget { severity: Severity::High, ..target("t", &receiver.url("/")) };
    notifier.set_targets(&[severe], &SigningKeys::default());
    notifier.send(notice(Severity::Medium, "a"));
    notifier.send(notice(Severity::High, "b"));
    notifier.send(notice(Severity::High, "b"));
    notifier.send(notice(Severity::Critical, "b"));
    until_counted(&process, "t", [2, 0, 0, 1]).await;
    let calls = receiver.calls();
    let bodies = calls.iter().map(|call| serde_json::from_slice(&call.1).unwrap());
    let mut told: Vec<_> = bodies
        .map(|body: serde_json::Value| (body["severity"].to_string(), body["suppressed"].clone()))
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(told, [("\"critical\"".into(), 1.into()), ("\"high\"".into(), 0.into())]);
}

#[tokio::test]
async fn a_reload_keeps_what_a_target_has_still_to_be_told() {
    let (_socket, nobody) = deaf();
    let receiver = Receiver::start(|_| Some(StatusCode::OK)).await;
    let (notifier, process) = quick();
    let before = target("t", &format!("http://{nobody}/"));
    notifier.set_targets(
        &[before.clone(), target("gone", &receiver.url("/gone"))],
        &SigningKeys::default(),
    );
    notifier.send(notice(Severity::Low, "a"));
    while counts(&process, "t")[1] == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    notifier.set_targets(&[before], &SigningKeys::default());
    notifier.set_targets(&[target("t", &receiver.url("/new"))], &SigningKeys::default());
    while counts(&process, "t")[0] == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let calls = receiver.calls();
    let new: Vec<_> = calls.iter().filter(|call| call.0.uri.path() == "/new").collect();
    assert_eq!(new.iter().map(|call| dedup_of(call)).collect::<Vec<_>>(), ["a"]);
    assert_eq!(process.notify_targets().len(), 1);
}

#[tokio::test]
async fn a_stop_tells_what_waits_and_the_most_severe_first() {
    let replies = [StatusCode::SERVICE_UNAVAILABLE];
    let receiver = Receiver::start(move |n| Some(*replies.get(n).unwrap_or(&StatusCode::OK))).await;
    // It would be called again in hours.
    let hours = Duration::from_secs(7_200);
    let patience = Patience { first: hours, longest: hours, age: hours * 3, ..Patience::default() };
    let (notifier, process) = with(patience);
    notifier.set_targets(&[target("t", &receiver.url("/"))], &SigningKeys::default());
    notifier.send(notice(Severity::Critical, "a"));
    until_counted(&process, "t", [0, 1, 0, 0]).await;
    notifier.send(notice(Severity::Medium, "b"));
    notifier.send(notice(Severity::High, "c"));
    notifier.stop().await;
    assert_eq!(counts(&process, "t"), [3, 1, 0, 0]);
    let told: Vec<_> = receiver.calls().iter().map(|call| dedup_of(call)).collect();
    assert_eq!(told, ["a", "a", "c", "b"]);
}

#[tokio::test]
async fn a_stop_waits_three_seconds_for_a_target_that_does_not_answer() {
    let receiver = Receiver::start(|_| None::<StatusCode>).await;
    let (notifier, process) = quick();
    notifier.set_targets(&[target("t", &receiver.url("/"))], &SigningKeys::default());
    notifier.send(notice(Severity::Critical, "a"));
    receiver.after(1).await;
    // All that is left to wait for is time.
    tokio::time::pause();
    notifier.stop().await;
    assert_eq!(counts(&process, "t"), [0, 0, 1, 0]);
}

#[tokio::test]
async fn a_call_that_is_not_urgent_gives_way_at_a_stop_and_is_made_again() {
    let receiver = Receiver::start(|n| (n > 0).then_some(StatusCode::OK)).await;
    let (notifier, process) = quick();
    notifier.set_targets(&[target("t", &receiver.url("/"))], &SigningKeys::default());
    notifier.send(notice(Severity::Low, "a"));
    receiver.after(1).await;
    notifier.send(notice(Severity::High, "b"));
    notifier.stop().await;
    assert_eq!(counts(&process, "t"), [2, 0, 0, 0]);
    let told: Vec<_> = receiver.calls().iter().map(|call| dedup_of(call)).collect();
    assert_eq!(told, ["a", "b", "a"]);
}

#[tokio::test]
async fn slack_gets_its_form_and_totals_are_metrics() {
    let receiver = Receiver::start(|_| Some("ok")).await;
    let (notifier, process) = quick();
    let chat = NotifyTarget { form: Form::Slack, ..target("chat", &receiver.url("/hooks/x")) };
    notifier.set_targets(&[chat], &SigningKeys::default());
    notifier.send(notice(Severity::High, "a"));
    until_counted(&process, "chat", [1, 0, 0, 0]).await;
    let body: serde_json::Value = serde_json::from_slice(&receiver.calls()[0].1).unwrap();
    assert_eq!(body["text"], "*HIGH* shop/green: breaker opened (a)");

    let text = "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
    let config = Arc::new(crate::config::Config::parse(text).unwrap().0);
    let run_time = crate::snapshot::RunTime::default();
    let (secret, now) = (crate::split::Secret([0; 16]), system().now());
    let blueprint = crate::snapshot::Blueprint { config, run_time: &run_time, secret, now };
    let snapshot = crate::snapshot::Snapshot::build(&blueprint, None);
    let metrics = crate::observe::encode(&crate::observe::Scrape {
        snapshot: &snapshot,
        process: &process,
        took: &|_, _| Default::default(),
        capacity: &|_| Default::default(),
        events: Vec::new(),
        now: (now, Default::default()),
        form: crate::observe::Form::Text,
    });
    let lines: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("pointsman_notifications_total")).collect();
    let line = |result, count| {
        format!("pointsman_notifications_total{{target=\"chat\",result=\"{result}\"}} {count}")
    };
    assert_eq!(
        lines,
        [line("sent", 1), line("failed", 0), line("dropped", 0), line("suppressed", 0)]
    );
}

fn alert(turn: Turn) -> Option<Alert> {
    Some(Alert { name: "HealthCheckFails", turn, severities: &[Severity::Medium] })
}

fn body_of(call: &(Parts, Bytes)) -> serde_json::Value {
    serde_json::from_slice(&call.1).unwrap()
}

#[tokio::test]
async fn pagerduty_is_told_that_it_is_over_by_a_process_that_told_nothing_before() {
    let receiver = Receiver::start(|_| Some(StatusCode::ACCEPTED)).await;
    let (notifier, process) = quick();
    let pager = NotifyTarget {
        form: Form::PagerDuty,
        severity: Severity::Critical,
        routing_key: Some(RoutingKey::of("R0UTING").unwrap()),
        ..target("pager", &receiver.url("/v2/enqueue"))
    };
    notifier.set_targets(&[pager], &SigningKeys::default());
    let of = |turn, is_relief, severity, dedup: &str| Notice {
        alert: alert(turn),
        is_relief,
        topic: "health".into(),
        ..notice(severity, dedup)
    };
    // What nobody would close is no alert.
    notifier.send(notice(Severity::Low, "shifted"));
    notifier.send(of(Turn::Opens, false, Severity::High, "not severe enough"));
    notifier.send(of(Turn::Closes, true, Severity::Low, "up"));
    until_counted(&process, "pager", [1, 0, 0, 0]).await;
    notifier.send(of(Turn::Opens, false, Severity::Critical, "down"));
    until_counted(&process, "pager", [2, 0, 0, 0]).await;
    let calls = receiver.calls();
    let (over, open) = (body_of(&calls[0]), body_of(&calls[1]));
    assert_eq!(
        (&over["event_action"], &open["event_action"]),
        (&"resolve".into(), &"trigger".into())
    );
    assert_eq!((&over["dedup_key"], &over["routing_key"]), (&open["dedup_key"], &"R0UTING".into()));
}

#[tokio::test]
async fn a_call_has_the_fields_of_its_target() {
    let receiver = Receiver::start(|_| Some(StatusCode::OK)).await;
    let (notifier, process) = quick();
    let field = |name: &'static str, value: &'static str| {
        (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
    };
    let headers = vec![field("authorization", "Basic eA=="), field("x-scope-orgid", "shop")];
    let api = NotifyTarget { headers, ..target("api", &receiver.url("/")) };
    notifier.set_targets(&[api], &SigningKeys::default());
    notifier.send(notice(Severity::Medium, "a"));
    until_counted(&process, "api", [1, 0, 0, 0]).await;
    let head = &receiver.calls()[0].0;
    let field = |name: &str| head.headers[name].to_str().unwrap();
    assert_eq!([field("authorization"), field("x-scope-orgid")], ["Basic eA==", "shop"]);
    assert_eq!(field("content-type"), "application/json");
}

fn trial(is_over: bool) -> Notice {
    let moment = (WallTime::from_millis(1_700_000_000_000), u64::from(is_over));
    tried(("edge-1".into(), "".into()), moment, Severity::Low, "cli:ann".into(), is_over)
}

const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_trial_goes_before_what_waits_and_out_of_turn_and_says_what_was_answered() {
    let replies = [StatusCode::SERVICE_UNAVAILABLE];
    let receiver = Receiver::start(move |n| Some(*replies.get(n).unwrap_or(&StatusCode::OK))).await;
    let refusing = Receiver::start(|_| Some((StatusCode::BAD_REQUEST, "no such key"))).await;
    let (_socket, nobody) = deaf();
    // What failed would be tried again in hours.
    let hours = Duration::from_secs(7_200);
    let patience = Patience { first: hours, longest: hours, age: hours * 3, ..Patience::default() };
    let (notifier, process) = with(patience);
    let severe = NotifyTarget { severity: Severity::Critical, ..target("t", &receiver.url("/")) };
    let gone = target("gone", &format!("http://{nobody}/"));
    let targets = [severe, target("refusing", &refusing.url("/")), gone];
    notifier.set_targets(&targets, &SigningKeys::default());
    notifier.send(notice(Severity::Critical, "waits"));
    while counts(&process, "t")[1] == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let found = notifier.try_out(None, trial(false), PATIENT).await.unwrap();
    let of = |name: &str| &found.iter().find(|tried| &*tried.target == name).unwrap().heard;
    assert_eq!((of("t").is_taken, &*of("t").answer), (true, "200 OK"));
    let refused = of("refusing");
    assert_eq!((refused.is_taken, refused.status), (false, Some(StatusCode::BAD_REQUEST)));
    assert_eq!(refused.answer, "400 Bad Request: no such key");
    assert_eq!((of("gone").status, &*of("gone").answer), (None, "connection refused"));
    let body = body_of(&receiver.calls()[1]);
    assert_eq!((&body["kind"], &body["alert"]), (&"test".into(), &"PointsmanTest".into()));
    assert!(body["what"].as_str().unwrap().starts_with("TEST: "), "{body}");
    // One that failed is not tried again.
    until_counted(&process, "gone", [0, 2, 1, 0]).await;
    let over = notifier.try_out(Some("t"), trial(true), PATIENT).await.unwrap();
    assert!(over[0].heard.is_taken && over.len() == 1, "{over:?}");
    assert_eq!(notifier.try_out(Some("nobody"), trial(false), PATIENT).await, None);
}

#[tokio::test]
async fn a_trial_that_is_not_answered_in_time_says_so() {
    let receiver = Receiver::start(|_| None::<StatusCode>).await;
    let (notifier, _process) = quick();
    notifier.set_targets(&[target("t", &receiver.url("/"))], &SigningKeys::default());
    let mut trying = std::pin::pin!(notifier.try_out(None, trial(false), Duration::from_secs(1)));
    tokio::select! {
        _ = &mut trying => {}
        _ = receiver.after(1) => {}
    }
    tokio::time::pause();
    let found = trying.await.unwrap();
    assert_eq!(found[0].heard.answer, "not told within 1 s");
}

#[tokio::test]
async fn alertmanager_is_reminded_of_what_is_open_until_it_is_closed() {
    let receiver = Receiver::start(|_| Some(StatusCode::OK)).await;
    let (notifier, process) = quick();
    let api = NotifyTarget { form: Form::Alertmanager, ..target("am", &receiver.url("/")) };
    notifier.set_targets(&[api], &SigningKeys::default());
    let now = system().wall_time();
    let of = |topic: &str, turn| Notice {
        at: now,
        alert: alert(turn),
        is_relief: turn == Turn::Closes,
        topic: topic.into(),
        ..notice(Severity::Medium, if turn == Turn::Closes { "up" } else { "down" })
    };
    notifier.send(of("a", Turn::Opens));
    notifier.send(of("b", Turn::Opens));
    notifier.send(of("b", Turn::Closes));
    until_counted(&process, "am", [3, 0, 0, 0]).await;
    // All that is left to wait for is time.
    tokio::time::pause();
    let calls = receiver.after(4).await;
    let again = body_of(&calls[3]);
    let keys: Vec<_> =
        again.as_array().unwrap().iter().map(|alert| &alert["labels"]["key"]).collect();
    assert_eq!(keys, ["pointsman//edge-1/a"], "{again}");
    assert_eq!(counts(&process, "am"), [3, 0, 0, 0]);
}

/// A file with this text, in a folder that goes when the first is dropped.
pub fn secret(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Checks a call's signature with nothing of ours: HMAC as RFC 2104 has it, on SHA-256 alone.
pub fn assert_signed((head, body): &(Parts, Bytes), key: &[u8]) {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let field = |name: &str| head.headers[name].to_str().unwrap().to_string();
    let mut content =
        format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).into_bytes();
    content.extend_from_slice(body);
    assert!(key.len() <= 64, "longer keys are hashed first");
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|place| key.get(place).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Sha256::digest([pad(0x36), content].concat());
    let outer = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
    let expected = format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(outer));
    assert_eq!(field("webhook-signature"), expected);
}

/// The key that this text is, as if it had been read of a file at this path.
pub fn key_at(path: &Path, text: &str) -> SigningKeys {
    let key = SigningKey::of(text.as_bytes()).unwrap();
    [(path.to_path_buf(), key)].into_iter().collect()
}

#[tokio::test]
async fn notices_are_signed_with_the_key_in_force_whatever_the_file_says_now() {
    let receiver = Receiver::start(|_| Some(StatusCode::OK)).await;
    let (_folder, path) = secret("not in force\n");
    let (notifier, process) = quick();
    let signed =
        NotifyTarget { secret_file: Some(path.clone()), ..target("t", &receiver.url("/")) };
    for (told, key) in [(1, "one"), (2, "two")] {
        notifier.set_targets(std::slice::from_ref(&signed), &key_at(&path, key));
        notifier.send(notice(Severity::Low, key));
        until_counted(&process, "t", [told, 0, 0, 0]).await;
    }
    assert_signed(&receiver.calls()[0], b"one");
    assert_signed(&receiver.calls()[1], b"two");
}
