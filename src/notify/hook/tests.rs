use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::tests::{assert_signed, key_at, secret};
use super::*;
use crate::outgoing::tests::{Receiver, deaf};
use crate::server::clock::system;

fn occasion(point: HookPoint) -> Occasion {
    Occasion {
        pointsman: "edge-1".into(),
        environment: "production".into(),
        point,
        service: "shop".into(),
        rollout: 7,
        strategy: Strategy::BlueGreen,
        from: "blue".into(),
        to: "green".into(),
        step: 2,
        share: BasisPoints::new(1_250).unwrap(),
        author: "ci".into(),
        reason: Some("release 5".into()),
        at: WallTime::from_millis(1_700_000_000_500),
    }
}

fn webhook(url: String) -> Hook {
    Hook::Webhook { url, secret_file: None, timeout: Duration::from_secs(60) }
}

fn shell(script: &str) -> Hook {
    let run = ["/bin/sh", "-c", script].map(String::from).to_vec();
    Hook::Command { run, timeout: Duration::from_secs(60) }
}

async fn call(hook: &Hook, occasion: &Occasion) -> Result<Finished, TaskError> {
    call_hook(&Caller::new(system()), hook, &SigningKeys::default(), occasion).await
}

#[tokio::test]
async fn a_webhook_is_told_the_occasion_and_may_agree() {
    let receiver = Receiver::start(|_| Some((StatusCode::CREATED, "go ahead\n"))).await;
    let (_folder, key) = secret("s3cret");
    let timeout = Duration::from_secs(60);
    let hook = Hook::Webhook { url: receiver.url("/gate"), secret_file: Some(key), timeout };
    let occasion = occasion(HookPoint::BeforeStep);
    assert_eq!(call(&hook, &occasion).await, Ok(Finished::Agreed("go ahead".into())));
    let received = &receiver.calls()[0];
    assert_signed(received, b"s3cret");
    let expected = json!({
        "id": occasion.id(), "type": "rollout.hook", "pointsman": "edge-1",
        "environment": "production", "point": "before_step", "service": "shop",
        "rollout": 7, "strategy": "blue-green", "from": "blue", "to": "green", "step": 2,
        "share": 12.5, "author": "ci", "reason": "release 5", "at": 1_700_000_000.5,
    });
    assert_eq!(serde_json::from_slice::<Value>(&received.1).unwrap(), expected);
    assert_eq!(received.0.headers["webhook-id"], occasion.id());
}

#[tokio::test]
async fn the_key_in_force_signs_and_a_file_that_is_not_named_any_more_is_read() {
    let receiver = Receiver::start(|_| Some(StatusCode::OK)).await;
    let (_folder, file) = secret("from the file");
    let (url, secret_file) = (receiver.url("/gate"), Some(file.clone()));
    let hook = Hook::Webhook { url, secret_file, timeout: Duration::from_secs(60) };
    let (caller, occasion) = (Caller::new(system()), occasion(HookPoint::Contract));
    for keys in [key_at(&file, "in force"), SigningKeys::default()] {
        call_hook(&caller, &hook, &keys, &occasion).await.unwrap();
    }
    assert_signed(&receiver.calls()[0], b"in force");
    assert_signed(&receiver.calls()[1], b"from the file");
}

#[tokio::test]
async fn whatever_is_not_a_clear_yes_is_a_no() {
    let replies = [
        (StatusCode::SERVICE_UNAVAILABLE, "not now"),
        (StatusCode::FOUND, ""),
        (StatusCode::NOT_FOUND, ""),
    ];
    let receiver = Receiver::start(move |n| replies.get(n).copied()).await;
    let place = receiver.address;
    let failure =
        async |hook: Hook| call(&hook, &occasion(HookPoint::Expand)).await.unwrap_err().to_string();
    let expected = ["503 Service Unavailable: not now", "302 Found", "404 Not Found"];
    for what in expected {
        let why = failure(webhook(receiver.url("/gate"))).await;
        assert_eq!(why, format!("POST http://{place}/…: {what}"));
    }
    let hook = Hook::Webhook {
        url: receiver.url("/gate"),
        secret_file: None,
        timeout: Duration::from_millis(50),
    };
    assert_eq!(failure(hook).await, format!("POST http://{place}/…: timed out after 50ms"));
    let (_socket, nobody) = deaf();
    let why = failure(webhook(format!("http://{nobody}/"))).await;
    assert_eq!(why, format!("POST http://{nobody}: connection refused"));
    let why = failure(webhook("gate.example.com".into())).await;
    assert!(why.starts_with("bad address of a hook: "), "{why}");
}

#[tokio::test]
async fn a_command_is_told_by_variables_and_by_json() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("told");
    let script =
        format!("cat > {0}.json; env | sort > {0}.env; echo done; echo more", file.display());
    let occasion = occasion(HookPoint::Deploy { upstream: "10.0.0.1:80".into() });
    assert_eq!(call(&shell(&script), &occasion).await, Ok(Finished::Agreed("done".into())));
    let read = |end: &str| std::fs::read_to_string(file.with_extension(end)).unwrap();
    let told: Value = serde_json::from_str(&read("json")).unwrap();
    assert_eq!((&told["point"], &told["upstream"]), (&json!("deploy"), &json!("10.0.0.1:80")));
    let env = read("env");
    // What a shell sets by itself.
    let own = ["PATH=", "PWD=", "SHLVL=", "_="];
    let ours: Vec<&str> =
        env.lines().filter(|line| !own.iter().any(|own| line.starts_with(own))).collect();
    let expected = [
        "POINTSMAN_FROM=blue",
        "POINTSMAN_NAME=edge-1",
        "POINTSMAN_POINT=deploy",
        "POINTSMAN_ROLLOUT=7",
        "POINTSMAN_SERVICE=shop",
        "POINTSMAN_SHARE=12.5",
        "POINTSMAN_TO=green",
        "POINTSMAN_UPSTREAM=10.0.0.1:80",
    ];
    assert_eq!(ours, expected);
    assert!(env.lines().any(|line| line.starts_with("PATH=/")), "{env}");
}

#[test]
fn an_occasion_told_again_has_its_id_and_another_has_another() {
    let one = occasion(HookPoint::BeforeStep);
    assert_eq!(one.id(), one.clone().id());
    let others = [
        Occasion { at: one.at + Duration::from_millis(1), ..one.clone() },
        Occasion { step: 3, ..one.clone() },
        Occasion { rollout: 8, ..one.clone() },
        Occasion { service: "pay".into(), ..one.clone() },
        Occasion { point: HookPoint::BeforePromote, ..one.clone() },
        Occasion { point: HookPoint::Deploy { upstream: "a:1".into() }, ..one.clone() },
        Occasion { point: HookPoint::Deploy { upstream: "b:1".into() }, ..one.clone() },
    ];
    let ids: std::collections::HashSet<String> =
        others.iter().chain([&one]).map(Occasion::id).collect();
    assert_eq!(ids.len(), 8);
    assert!(ids.iter().all(|id| id.len() == 37 && !id.contains('.')), "{ids:?}");
}
