//! Rollouts, rollbacks and what outlives the process.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::running::free;
use crate::harness::{Edge, Load, Origin, Proxy, Reply, until};

/// A canary that ends within seconds, sooner than any judge could be sure.
const QUICK: &str = "[services.shop.judge]\nenabled = false\n[services.shop.rollout]\nsteps = [10, 50, 100]\nhold = \"1s\"\n\
                     min_requests = 20\nwatch = \"1s\"\n";

async fn rollout(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/rollout", "").await.1
}

async fn start(edge: &Edge, body: &str) -> (u16, Value) {
    edge.admin("POST", "/v1/services/shop/rollout", body).await
}

async fn weights(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/split", "").await.1["weights"].clone()
}

#[tokio::test]
async fn a_good_canary_gets_everything_and_a_rollback_undoes_all_of_its_steps() {
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], QUICK).await;
    let load = Load::gets(edge.address, 300).start();
    let (status, began) = start(&edge, r#"{"to": "green", "reason": "v2"}"#).await;
    assert_eq!((status, &began["state"], &began["share"]), (201, &"running".into(), &10.0.into()));
    let (status, refused) = start(&edge, r#"{"to": "green"}"#).await;
    assert_eq!((status, &refused["type"]), (409, &"rollout-under-way".into()));
    until("it is promoted", async || rollout(&edge).await["state"] == "promoted").await;
    assert!(load.stop().await.iter().all(|record| record.is_ok()));
    assert_eq!(weights(&edge).await, serde_json::json!({"green": 100.0}));
    let (_, history) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
    let shares: Vec<_> =
        history.as_array().unwrap().iter().map(|r| &r["weights"]["green"]).collect();
    assert_eq!(serde_json::json!(shares), serde_json::json!([100.0, 50.0, 10.0, null]));
    let (status, back) = edge.admin("POST", "/v1/services/shop/rollback", "{}").await;
    assert_eq!((status, &back["weights"]), (200, &serde_json::json!({"blue": 100.0})));
    assert_eq!(back["reason"], "rollback to revision 1");
    let (status, again) = edge.admin("POST", "/v1/services/shop/rollback", "{}").await;
    assert_eq!(
        (status, &again["revision"], &again["unchanged"]),
        (200, &back["revision"], &true.into())
    );
    assert_eq!(weights(&edge).await, serde_json::json!({"blue": 100.0}));
}

#[tokio::test]
async fn a_canary_that_fails_is_taken_back_and_no_user_notices() {
    let (blue, broken) = (Origin::fast("blue").await, Reply::head("500 Oh", &[], "no"));
    let green = Origin::tireless(broken).await;
    let service = format!("breaker = false\nejection = false\nretries.budget = 100\n{QUICK}");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let load = Load::gets(edge.address, 500).start();
    start(&edge, r#"{"to": "green", "steps": [20, 100], "hold": "1h", "min_requests": 5}"#).await;
    until("it is taken back", async || rollout(&edge).await["state"] == "rolled-back").await;
    assert!(load.stop().await.iter().all(|record| record.is_ok()));
    let ended = rollout(&edge).await;
    let why = ended["status"].as_str().unwrap();
    assert!(why.contains("requests failed (100.00 %), more than 5 %"), "{why}");
    assert_eq!(weights(&edge).await, serde_json::json!({"blue": 100.0}));
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    let told = |event: &Value| event["severity"] == "high" && event["kind"] == "rollout";
    assert!(events.as_array().unwrap().iter().any(told), "{events}");
}

#[tokio::test]
async fn smoke_requests_keep_a_bad_version_from_users() {
    let (blue, green) = (Origin::named("blue").await, Origin::always(Reply::ok("nope")).await);
    let service = "[services.shop.rollout]\nstrategy = \"blue-green\"\n\
                   smoke = [{ path = \"/\", contains = \"green\" }]\n";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], service).await;
    start(&edge, "{}").await;
    until("it has failed", async || rollout(&edge).await["state"] == "failed").await;
    let why = rollout(&edge).await["status"].to_string();
    assert!(why.contains("smoke requests failed"), "{why}");
    assert_eq!(weights(&edge).await, serde_json::json!({"blue": 100.0}));
    assert_eq!(edge.get(&[]).await.body, "blue");
}

#[tokio::test]
async fn orders_pause_step_and_abort() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], QUICK).await;
    let order = async |verb: &str| {
        edge.admin("POST", &format!("/v1/services/shop/rollout/{verb}"), "{}").await
    };
    assert_eq!(order("pause").await.0, 409);
    start(&edge, r#"{"hold": "1h"}"#).await;
    assert_eq!(order("pause").await.1["state"], "paused");
    assert_eq!(order("pause").await.0, 409);
    assert_eq!(order("step").await.1["share"], 50.0);
    let (status, refused) =
        edge.admin("PUT", "/v1/services/shop/split", r#"{"weights": {"blue": 100}}"#).await;
    assert_eq!((status, &refused["type"]), (409, &"rollout-under-way".into()));
    assert_eq!(order("abort").await.1["state"], "aborted");
    assert_eq!(weights(&edge).await, serde_json::json!({"blue": 100.0}));
}

#[tokio::test]
async fn what_was_answered_outlives_a_kill() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    let admin = free().to_string();
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"{admin}\"\n\
         [flags.beta]\npercent = 10\nservices = [\"shop\"]\n\
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\n{QUICK}\
         [services.shop.pools.blue]\nupstreams = [\"{}\"]\n\
         [services.shop.pools.green]\nupstreams = [\"{}\"]\n",
        blue.address, green.address
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let proxy = Proxy::run(file, &admin).await;
    proxy.json(&["flags", "beta", "40", "--reason", "trial"]).await;
    proxy.json(&["maintenance", "shop", "--message", "soon"]).await;
    let place = format!("{}", blue.address);
    proxy.json(&["breaker", "shop/blue", "closed", "--reason", "test"]).await;
    let began = proxy.json(&["rollout", "start", "shop", "--to", "green", "--hold", "1h"]).await;
    assert_eq!(began["share"], 10.0);
    let stepped = proxy.json(&["rollout", "step", "shop"]).await;
    assert_eq!((&stepped["share"], &stepped["revision"]), (&50.0.into(), &3.into()));
    // A second one has no business with its state.
    let (code, said) = {
        let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["run", file])
            .output()
            .await
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(code == Some(1) && said.contains("in use by another pointsman"), "{said}");
    let proxy = proxy.kill().await;
    let going_on = proxy.json(&["rollout", "status", "shop"]).await;
    assert_eq!((&going_on["state"], &going_on["share"]), (&"running".into(), &50.0.into()));
    let history = proxy.json(&["history", "shop"]).await;
    assert_eq!(history.as_array().unwrap().len(), 3, "{history}");
    assert_eq!(proxy.json(&["flags", "beta"]).await[0]["percent"], 40.0);
    let status = proxy.json(&["status"]).await;
    let shop = &status["services"][0];
    assert_eq!((&shop["mode"], &shop["revision"]), (&"maintenance".into(), &3.into()));
    assert_eq!(shop["pools"][0]["breaker"]["order"], "closed", "{place} {shop}");
    proxy.json(&["rollback", "shop"]).await;
    let proxy = proxy.kill().await;
    let ended = proxy.json(&["rollout", "status", "shop"]).await;
    assert_eq!(ended["state"], "superseded");
    let (code, said) = proxy.cli(&["rollback", "shop"]).await;
    assert!(code == 0 && said.contains("\"unchanged\": true"), "{code} {said}");
    let status = proxy.json(&["status"]).await;
    assert_eq!(status["services"][0]["pools"][0]["weight"], 100.0);
    let export = proxy.cli(&["store", "export"]).await.1;
    assert!(export.contains("\"revisions\""), "{export}");
}

#[tokio::test]
async fn a_rollout_survives_kills_at_any_moment() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    let admin = free().to_string();
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"{admin}\"\n\
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\n\
         [services.shop.pools.blue]\nupstreams = [\"{}\"]\n\
         [services.shop.pools.green]\nupstreams = [\"{}\"]\n",
        blue.address, green.address
    );
    std::fs::write(&file, text).unwrap();
    let mut proxy = Proxy::run(file.to_str().unwrap(), &admin).await;
    let (mut known, mut before) = (1, String::new());
    for round in 0..50u64 {
        let now = proxy.json(&["history", "shop", "--last", "1"]).await;
        let newest = now[0]["revision"].as_u64().unwrap();
        // What was answered is there, and at most what was asked for and not answered beside it.
        let is_so = (known..=known + 1).contains(&newest);
        assert!(is_so, "round {round}: {known} then {newest}, after {before}");
        known = newest;
        let (code, said) = match round % 3 {
            0 => {
                let args = ["rollout", "start", "shop", "--to", "green", "--hold", "1h"];
                proxy.cli(&args).await
            }
            1 => proxy.cli(&["rollout", "step", "shop"]).await,
            _ => proxy.cli(&["rollback", "shop"]).await,
        };
        // What goes back is in force before a slow disk has it, and the answer says so: then a kill may undo
        // it, and the rollout goes on.
        let is_unstored = |said: &str| said.contains("\"stored\": false");
        let goes_on = code == 5 && is_unstored(&before) && said.contains("is under way");
        assert!(code == 0 || goes_on, "round {round}: {code} {said}");
        known += u64::from(code == 0 && !is_unstored(&said));
        before = said;
        // Killed somewhere within the next second: in a tick, between two, or while it is asked.
        tokio::time::sleep(Duration::from_millis(round * 37 % 300)).await;
        proxy = proxy.kill().await;
    }
}

/// What the one writer has taken so far.
async fn commands(edge: &Edge) -> String {
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let mut lines = metrics.lines();
    lines.find(|line| line.starts_with("pointsman_commands_total")).unwrap().to_string()
}

#[tokio::test]
async fn who_waits_for_a_rollout_pulls_that_one_alone_and_asks_nothing_of_the_writer() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let slow = "[services.shop.rollout]\nsteps = [10, 100]\nhold = \"1h\"\n";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], slow).await;
    let abort = async || {
        let path = "/v1/services/shop/rollout/abort";
        assert_eq!(edge.admin("POST", path, "{}").await.0, 200);
    };
    let size = async |path: &str| edge.admin_with("GET", path, "", &[]).await.body.len();
    let mut first = 0;
    for id in 1..=8 {
        start(&edge, r#"{"to": "green"}"#).await;
        if id == 1 {
            first = size("/v1/services/shop/rollouts/1").await;
        }
        abort().await;
    }
    let before = commands(&edge).await;
    let waiter = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["rollout", "start", "shop", "--to", "green", "--wait"])
        .args(["--admin", &edge.admin.to_string()])
        .output();
    let waiting = tokio::spawn(waiter);
    until("it has started", async || rollout(&edge).await["id"] == 9).await;
    let started = commands(&edge).await;
    assert_ne!(before, started);
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    assert_eq!(commands(&edge).await, started, "a waiter is no work for the writer");
    let ninth = size("/v1/services/shop/rollouts/9").await;
    assert!(ninth < first + 1_024 && ninth < 16_384, "{first} with one, {ninth} with nine");
    assert!(size("/v1/services/shop/rollouts").await > 8 * ninth / 2);
    abort().await;
    assert_eq!(waiting.await.unwrap().unwrap().status.code(), Some(3));
}
