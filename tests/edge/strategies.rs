//! The ways of deploying beside the canary, through real pools: rolling, blue-green, all at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::edge::{HEAD, shop};
use crate::harness::load::Record;
use crate::harness::{Client, Deployer, Edge, Load, Origin, Process, Reply, alone, until};

/// Quick to see that an upstream is back.
const HEALTH: &str = "health = { http = { path = \"/\" }, interval = \"200ms\", rise = 1 }\n";

async fn rollout_of(edge: &Edge, service: &str) -> Value {
    edge.admin("GET", &format!("/v1/services/{service}/rollout"), "").await.1
}

async fn start(edge: &Edge, service: &str, body: &str) -> (u16, Value) {
    edge.admin("POST", &format!("/v1/services/{service}/rollout"), body).await
}

async fn until_state(edge: &Edge, service: &str, state: &str) -> Value {
    until(&format!("{service} is {state}"), async || {
        rollout_of(edge, service).await["state"] == state
    })
    .await;
    rollout_of(edge, service).await
}

async fn weights(edge: &Edge, service: &str) -> Value {
    edge.admin("GET", &format!("/v1/services/{service}/split"), "").await.1["weights"].clone()
}

async fn events(edge: &Edge) -> String {
    edge.admin("GET", "/v1/events", "").await.1.to_string()
}

fn all_succeeded(records: &[Record]) {
    let failed: Vec<_> = records.iter().filter(|record| !record.is_ok()).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), records.len());
}

/// Three processes of one pool, who is to replace them, and the edge before them.
async fn rolling(ready_within: &str) -> (Vec<Process>, Deployer, Edge) {
    let mut processes = Vec::new();
    for name in ["old-a", "old-b", "old-c"] {
        processes.push(Process::start(name).await);
    }
    let deployer = Deployer::of("new", &processes).await;
    let upstreams: Vec<_> = processes.iter().map(|p| format!("\"{}\"", p.address)).collect();
    let text = format!(
        "{}\n[services.shop]\n{HEALTH}balance = {{ slow_start = \"100ms\" }}\n\
         [services.shop.rollout]\nstrategy = \"rolling\"\ndrain = \"10s\"\n\
         ready_within = \"{ready_within}\"\n\
         [services.shop.rollout.hooks]\ndeploy = {{ run = [\"{}\"], timeout = \"20s\" }}\n\
         [services.shop.pools.web]\nupstreams = [{}]\n",
        HEAD.replace("workers = 2", "workers = 2\nallow_commands = true"),
        deployer.script().display(),
        upstreams.join(", ")
    );
    let edge = Edge::start_file(&text, false).await;
    until("all three are proven", async || {
        let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/web", "").await;
        let upstreams = pool["upstreams"].as_array().unwrap();
        upstreams.iter().all(|upstream| upstream["state"] == "active")
    })
    .await;
    (processes, deployer, edge)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_replaces_each_process_and_no_request_fails() {
    let _alone = alone().await;
    let (processes, deployer, edge) = rolling("10s").await;
    let load = Load::gets(edge.address, 300).start();
    until("each was asked", async || {
        let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/web", "").await;
        let upstreams = pool["upstreams"].as_array().unwrap();
        upstreams.iter().all(|upstream| upstream["requests"].as_u64() > Some(0))
    })
    .await;
    let (status, began) = start(&edge, "shop", "{}").await;
    assert_eq!((status, &began["strategy"]), (201, &json!("rolling")), "{began}");
    let ended = until_state(&edge, "shop", "promoted").await;
    assert_eq!(ended["status"], "pool `web`: 3 renewed");
    let records = load.stop().await;
    all_succeeded(&records);
    let addresses: Vec<_> = processes.iter().map(|p| p.address.to_string()).collect();
    assert_eq!(deployer.calls(), addresses, "one after the other");
    for (name, is_there) in [("old-a", true), ("old-b", true), ("old-c", true), ("new", true)] {
        assert_eq!(records.iter().any(|record| record.is_from(name)), is_there, "{name}");
    }
    assert_eq!(edge.get(&[]).await.body, "new");
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/web", "").await;
    let states: Vec<_> =
        pool["upstreams"].as_array().unwrap().iter().map(|u| &u["state"]).collect();
    assert!(states.iter().all(|state| **state != "draining"), "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_stops_at_the_first_that_does_not_come_back_and_goes_on_when_it_does() {
    let _alone = alone().await;
    let (processes, deployer, edge) = rolling("1s").await;
    let [a, b, c] = [&processes[0], &processes[1], &processes[2]].map(|p| p.address);
    deployer.break_at(b);
    let load = Load::gets(edge.address, 300).start();
    start(&edge, "shop", "{}").await;
    let stopped = until_state(&edge, "shop", "paused").await;
    let says = format!("paused: `{b}` is not healthy within 1s");
    assert_eq!(stopped["status"], says.as_str());
    assert_eq!(stopped["verbs"], json!(["resume", "step", "abort"]));
    assert_eq!(deployer.calls(), [a, b].map(|address| address.to_string()), "{c} is left alone");
    let told = events(&edge).await;
    assert!(told.contains(&format!("rollout 1 is paused: `{b}` is not healthy")), "{told}");
    assert!(load.stop().await.iter().all(Record::is_ok), "two others serve");
    deployer.mend_at(b);
    let load = Load::gets(edge.address, 300).start();
    let (status, resumed) = edge.admin("POST", "/v1/services/shop/rollout/resume", "{}").await;
    assert_eq!((status, &resumed["state"]), (200, &json!("running")), "{resumed}");
    until_state(&edge, "shop", "promoted").await;
    all_succeeded(&load.stop().await);
    assert_eq!(deployer.calls(), [a, b, b, c].map(|address| address.to_string()));
}

#[tokio::test]
async fn rolling_stops_at_a_deploy_that_fails_and_says_what_it_said() {
    let _alone = alone().await;
    let (processes, deployer, edge) = rolling("10s").await;
    let script = "#!/bin/sh\necho \"no space left for $POINTSMAN_UPSTREAM\" >&2\nexit 3\n";
    std::fs::write(deployer.script(), script).unwrap();
    start(&edge, "shop", "{}").await;
    let stopped = until_state(&edge, "shop", "paused").await;
    let why = stopped["status"].as_str().unwrap();
    let first = processes[0].address;
    assert!(why.starts_with(&format!("paused: hook deploy of `{first}` failed: ")), "{why}");
    assert!(why.contains(&format!("no space left for {first}")), "{why}");
    let (_, aborted) = edge.admin("POST", "/v1/services/shop/rollout/abort", "{}").await;
    assert_eq!(aborted["state"], "aborted");
    let told = events(&edge).await;
    assert!(told.contains(&format!("`{first}` stays out")), "{told}");
    assert!(["old-b", "old-c"].contains(&&*edge.get(&[]).await.body));
}

/// Blue-green with quick probes and these lines for the rollout.
fn blue_green(lines: &str) -> String {
    format!("{HEALTH}[services.shop.rollout]\nstrategy = \"blue-green\"\n{lines}")
}

#[tokio::test]
async fn blue_green_tries_green_in_private_flips_and_drains_blue() {
    let blue = Origin::named("blue").await;
    let green = Origin::with(|request| match request.head.starts_with("POST /cart ") {
        true => Reply::head("201 Created", &[], "a cart on green"),
        false => Reply::ok("green"),
    })
    .await;
    let lines = "watch = \"1s\"\nsmoke = [{ path = \"/\", contains = \"green\" }, \
                 { path = \"/cart\", method = \"POST\", body = \"{}\", status = 201 }]\n";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &blue_green(lines)).await;
    until("blue is proven", async || edge.get(&[]).await.body == "blue").await;
    // Its client takes its time, so it stays on blue while everything else goes to green.
    let mut slow = Client::connect(edge.address).await;
    slow.send("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\nord").await;
    until("it is there", async || {
        edge.admin("GET", "/v1/services/shop/pools/blue", "").await.1["in_flight"] == 1
    })
    .await;
    let load = Load::gets(edge.address, 300).start();
    start(&edge, "shop", "{}").await;
    until("blue is drained", async || {
        let status = rollout_of(&edge, "shop").await["status"].to_string();
        status.contains("waits for requests of `blue` to end")
    })
    .await;
    assert_eq!(weights(&edge, "shop").await, json!({"green": 100.0}));
    assert_eq!(rollout_of(&edge, "shop").await["state"], "running", "one is still on blue");
    slow.send("er").await;
    assert_eq!(slow.response().await.body, "blue");
    let ended = until_state(&edge, "shop", "promoted").await;
    assert_eq!(ended["status"], "`green` has all traffic");
    all_succeeded(&load.stop().await);
    let carts = |origin: &Origin| {
        let received = origin.received();
        received.iter().filter(|request| request.head.starts_with("POST /cart ")).count()
    };
    assert_eq!((carts(&blue), carts(&green)), (0, 1), "the smoke request went to green alone");
}

#[tokio::test]
async fn a_green_that_fails_during_the_watch_is_taken_back() {
    let fails = Arc::new(AtomicBool::new(false));
    let seen = fails.clone();
    let blue = Origin::fast("blue").await;
    let green = Origin::with(move |_| match seen.load(Ordering::Relaxed) {
        true => Reply::head("500 Oh", &[], "no"),
        false => Reply::ok("green"),
    })
    .await;
    let lines = "breaker = false\nejection = false\n".to_string() + &blue_green("watch = \"1h\"\n");
    let lines = lines.replace(HEALTH, "");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &lines).await;
    let load = Load::gets(edge.address, 300).start();
    start(&edge, "shop", "{}").await;
    until("it is watched", async || {
        let status = rollout_of(&edge, "shop").await["status"].to_string();
        status.contains("all traffic is on `green`; `blue` is kept warm")
    })
    .await;
    fails.store(true, Ordering::Relaxed);
    let ended = until_state(&edge, "shop", "rolled-back").await;
    let why = ended["status"].as_str().unwrap();
    assert!(why.starts_with("rolled back: ") && why.contains("the canary failed"), "{why}");
    assert_eq!(weights(&edge, "shop").await, json!({"blue": 100.0}));
    let (_, history) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
    assert_eq!(history[1]["outcome"], "rolled-back", "{history}");
    load.stop().await;
    assert_eq!(edge.get(&[]).await.body, "blue");
}

#[tokio::test]
async fn all_at_once_waits_for_the_target_and_then_switches_once() {
    let blue = Origin::fast("blue").await;
    let mut green = Process::start("green").await;
    green.kill().await;
    let text = format!(
        "{HEAD}[services.shop]\nsplit = {{ blue = 100, green = 0 }}\n{HEALTH}\
         [services.shop.rollout]\nstrategy = \"all-at-once\"\n\
         smoke = [{{ path = \"/\", contains = \"never said\" }}]\n\
         [services.shop.pools]\nblue.upstreams = [\"{}\"]\ngreen.upstreams = [\"{}\"]\n",
        blue.address, green.address
    );
    let edge = Edge::start_file(&text, false).await;
    let load = Load::gets(edge.address, 300).start();
    let (status, refused) = start(&edge, "shop", "{}").await;
    assert_eq!((status, &refused["type"]), (409, &json!("pool-not-available")));
    let (_, began) = start(&edge, "shop", r#"{"force": true}"#).await;
    let says = began["status"].as_str().unwrap();
    assert!(says.starts_with("waits for pool `green` to be healthy"), "{says}");
    assert_eq!(weights(&edge, "shop").await, json!({"blue": 100.0}));
    green.restart().await;
    until_state(&edge, "shop", "promoted").await;
    let records = load.stop().await;
    all_succeeded(&records);
    let (_, history) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
    assert_eq!(history.as_array().unwrap().len(), 2, "{history}");
    assert_eq!(edge.get(&[]).await.body, "green");
}

#[tokio::test]
async fn rollouts_of_two_services_go_their_own_ways() {
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let (old, broken) =
        (Origin::fast("old").await, Origin::tireless(Reply::head("500 Oh", &[], "no")).await);
    let quick = "breaker = false\nejection = false\nretries.budget = 100\n\
                 [services.shop.judge]\nenabled = false\n\
                 [services.shop.rollout]\nsteps = [20, 60, 100]\nhold = \"1s\"\n\
                 min_requests = 5\nwatch = \"1s\"\n";
    let other = shop(&[("old", &old), ("broken", &broken)], quick).replace(".shop", ".mail");
    let text = format!(
        "{HEAD}{}{other}[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n\
         [[routes]]\nhosts = [\"mail.test\"]\nservice = \"mail\"\n",
        shop(&[("blue", &blue), ("green", &green)], quick),
    );
    let edge = Edge::start_file(&text, false).await;
    let mail = Load {
        request: "GET / HTTP/1.1\r\nhost: mail.test\r\n\r\n",
        ..Load::gets(edge.address, 250)
    };
    let loads = [Load::gets(edge.address, 250).start(), mail.start()];
    assert_eq!(start(&edge, "shop", r#"{"to": "green"}"#).await.0, 201);
    assert_eq!(start(&edge, "mail", r#"{"to": "broken"}"#).await.0, 201);
    let (status, refused) = start(&edge, "mail", r#"{"to": "broken"}"#).await;
    let detail = "rollout 1 of `mail` to `broken` is under way";
    assert_eq!((status, &refused["type"]), (409, &json!("rollout-under-way")));
    assert!(refused["detail"].as_str().unwrap().contains(detail), "{refused}");
    until_state(&edge, "mail", "rolled-back").await;
    until_state(&edge, "shop", "promoted").await;
    assert_eq!(weights(&edge, "shop").await, json!({"green": 100.0}));
    assert_eq!(weights(&edge, "mail").await, json!({"old": 100.0}));
    for load in loads {
        all_succeeded(&load.stop().await);
    }
}
