//! The judge before real sockets: what is worse goes back, what is as good gets everything, what
//! nobody can tell pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::edge::shop;
use crate::harness::load::Record;
use crate::harness::{Edge, Load, Origin, PATIENCE, Reply, alone, until};

const ANYWHERE: &str = "127.0.0.1:0";

/// Nothing but the judge takes a failing upstream's traffic away, and nobody is cold.
const UNGUARDED: &str =
    "breaker = false\nejection = false\nretries.budget = 100\njudge.warm_up = \"0s\"\n";

/// An origin of which every so many requests fail once it is `bad`, and every thousandth before.
async fn flaky(name: &str, bad: &Arc<AtomicBool>, every: u64) -> (Origin, Arc<AtomicU64>) {
    let (asked, failed) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let (bad, count, body) = (bad.clone(), failed.clone(), name.to_string());
    let origin = Origin::at(ANYWHERE.parse().unwrap(), move |_| {
        let nth = asked.fetch_add(1, Ordering::Relaxed) + 1;
        let every = if bad.load(Ordering::Relaxed) { every } else { 1_000 };
        match nth % every {
            0 => {
                count.fetch_add(1, Ordering::Relaxed);
                Reply::head("500 Internal Server Error", &[], "oh")
            }
            _ => Reply::ok(&body),
        }
    });
    (origin.await, failed)
}

async fn rollout(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/rollout", "").await.1
}

async fn start(edge: &Edge, body: &str) {
    let (status, began) = edge.admin("POST", "/v1/services/shop/rollout", body).await;
    assert_eq!(status, 201, "{began}");
}

/// Waits until it has ended, longer than the harness would: a judge that hears less a second on a
/// busy machine takes longer to be sure.
async fn until_ended(edge: &Edge) -> Value {
    let ended = tokio::time::timeout(3 * PATIENCE, async {
        loop {
            let now = rollout(edge).await;
            if now["state"] != "running" {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    ended.await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_begins_to_fail_goes_back_before_thirty_requests_failed() {
    let _alone = alone().await;
    let (never, turns_bad) = (Arc::default(), Arc::default());
    let (blue, _) = flaky("blue", &never, 1_000).await;
    let (green, failed) = flaky("green", &turns_bad, 20).await;
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], UNGUARDED).await;
    let load = Load::gets(edge.address, 1_000).start();
    start(&edge, r#"{"to": "green", "steps": [5, 100], "hold": "1h"}"#).await;
    until("the canary was asked", async || green.asked() > 150).await;
    assert_eq!(rollout(&edge).await["state"], "running");
    turns_bad.store(true, Ordering::Relaxed);
    let (turned, before) = (Instant::now(), failed.load(Ordering::Relaxed));
    let ended = until_ended(&edge).await;
    let failed = failed.load(Ordering::Relaxed) - before;
    println!("{failed} failed, {:?}: {}", turned.elapsed(), ended["status"]);
    assert_eq!(ended["state"], "rolled-back");
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    let is_back = |event: &&serde_json::Value| {
        event["what"].as_str().is_some_and(|what| what.contains("is rolled back"))
    };
    let back = events.as_array().unwrap().iter().find(is_back).unwrap();
    assert_eq!((&back["author"], &back["reason"]), (&"judge".into(), &serde_json::Value::Null));
    assert!(failed < 30, "{failed} requests failed");
    // The stable pool has answered what the canary failed; its own one of a thousand was told.
    let records = load.stop().await;
    let told: Vec<&Record> = records.iter().filter(|record| !record.is_ok()).collect();
    assert!(told.len() <= records.len() / 500 + 1, "{} of {}", told.len(), records.len());
    let judgement = &ended["judgement"];
    assert_eq!(judgement["says"], "fail");
    assert!(["errors", "guard"].contains(&judgement["driver"].as_str().unwrap()), "{judgement}");

    let (_, report) = edge.admin("GET", "/v1/services/shop/rollouts/1/report", "").await;
    let text = report["markdown"].as_str().unwrap();
    // A star stands for itself in Markdown behind a backslash.
    for part in ["# Rollout 1 of `shop`", "## Verdict: fail", "## Where it regressed", "GET /\\*"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let kept = report["failing"].as_array().unwrap();
    assert!((1..=20).contains(&kept.len()), "{kept:?}");
    assert_eq!((&kept[0]["method"], &kept[0]["ended"]), (&"GET".into(), &"500".into()));
    assert!(!report["trail"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_as_good_as_the_old_version_gets_everything() {
    let _alone = alone().await;
    let good = Arc::default();
    let ((blue, _), (green, _)) =
        (flaky("blue", &good, 1_000).await, flaky("green", &good, 1_000).await);
    let service = format!(
        "{UNGUARDED}[services.shop.rollout]\nsteps = [25, 50, 100]\nhold = \"1s\"\n\
         min_requests = 100\nwatch = \"2s\"\n"
    );
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let load = Load::gets(edge.address, 1_000).start();
    start(&edge, r#"{"to": "green"}"#).await;
    let ended = until_ended(&edge).await;
    load.stop().await;
    assert_eq!(ended["state"], "promoted", "{ended}");
}

/// An origin of which every fiftieth answer takes so many milliseconds.
async fn slow_each_50th(name: &'static str, tail: u64) -> Origin {
    let asked = AtomicU64::new(0);
    let script = move |_: &_| {
        let nth = asked.fetch_add(1, Ordering::Relaxed);
        Reply::ok(name).late(if nth.is_multiple_of(50) { tail } else { 4 })
    };
    Origin::at(ANYWHERE.parse().unwrap(), script).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slower_tail_goes_back() {
    let _alone = alone().await;
    // The slowest fiftieth takes half as long again, and so does the p99: by more than a busy machine
    // adds to either.
    let (blue, green) = (slow_each_50th("blue", 400).await, slow_each_50th("green", 600).await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], UNGUARDED).await;
    let load = Load::gets(edge.address, 1_000).start();
    until("the old version has a past", async || blue.asked() > 3_000).await;
    start(&edge, r#"{"to": "green", "steps": [50, 100], "hold": "1h"}"#).await;
    let ended = until_ended(&edge).await;
    load.stop().await;
    assert_eq!(ended["state"], "rolled-back", "{ended}");
    assert_eq!(ended["judgement"]["driver"], "p99", "{ended}");
}

#[tokio::test]
async fn too_little_traffic_pauses_and_somebody_is_told() {
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let told = Origin::always(Reply::ok("")).await;
    let service = "judge.warm_up = \"0s\"\n[services.shop.rollout]\nsteps = [50, 100]\n\
                   hold = \"1s\"\nmin_requests = 1\nlongest_step = \"3s\"\n";
    let pools = [("blue", &blue), ("green", &green)];
    let notify = format!("[[notify]]\nurl = \"http://{}/hook\"\n", told.address);
    let edge = Edge::start(&format!("{}{notify}", shop(&pools, service))).await;
    let load = Load { connections: 2, ..Load::gets(edge.address, 10) }.start();
    start(&edge, "{}").await;
    let paused = until_ended(&edge).await;
    load.stop().await;
    let status = paused["status"].as_str().unwrap();
    assert!(paused["state"] == "paused" && status.contains("no verdict after 3s"), "{status}");
    assert!(status.contains("more requests without a failure"), "{status}");
    assert_eq!(paused["judgement"]["says"], "inconclusive");
    let heard = || {
        told.received()
            .iter()
            .any(|call| String::from_utf8_lossy(&call.body).contains("rollout 1 is paused"))
    };
    until("it is told", async || heard()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_just_started_may_be_slow() {
    let _alone = alone().await;
    let (blue, green) = (slow_each_50th("blue", 100).await, slow_each_50th("green", 900).await);
    let service = UNGUARDED.replace("\"0s\"", "\"1h\"");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let load = Load::gets(edge.address, 500).start();
    until("the old version has a past", async || blue.asked() > 1_000).await;
    start(&edge, r#"{"to": "green", "steps": [50, 100], "hold": "1h"}"#).await;
    // Both are cold, for this proxy knows neither for longer; people see how long they take.
    until("it was asked a lot", async || green.asked() > 3_000).await;
    let now = rollout(&edge).await;
    load.stop().await;
    assert_eq!(now["state"], "running", "{now}");
    let metrics = now["judgement"]["metrics"].as_array().unwrap();
    let p99 = metrics.iter().find(|metric| metric["metric"] == "p99").unwrap();
    assert_eq!(p99["target"]["requests"], 0, "{p99}");
    assert!(now["latency"].to_string().contains("p99"), "{now}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_upstreams_report_is_judged_and_stays_between_us() {
    let _alone = alone().await;
    let asked = AtomicU64::new(0);
    let blue = Origin::fast("blue").await;
    let green = Origin::at(ANYWHERE.parse().unwrap(), move |_| {
        let failed = asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(5);
        let field = format!("x-pointsman-metric: checkout_failed={}", u8::from(failed));
        Reply::head("200 OK", &[&field], "green")
    })
    .await;
    let service = "override = { header = \"x-pool\" }\n\
                   [services.shop.judge]\nwarm_up = \"0s\"\nmetrics = [\"checkout_failed\"]\n";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], service).await;
    let response = edge.get(&["x-pool: green"]).await;
    assert_eq!((&*response.body, response.fields("x-pointsman-metric").len()), ("green", 0));
    let load = Load::gets(edge.address, 500).start();
    start(&edge, r#"{"steps": [20, 100], "hold": "1h"}"#).await;
    let ended = until_ended(&edge).await;
    assert!(load.stop().await.iter().all(Record::is_ok));
    assert_eq!(ended["judgement"]["driver"], "checkout_failed", "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_clients_are_not_held_against_the_version_they_sit_on() {
    let _alone = alone().await;
    // One user of twenty fails always, on either version: by requests that is an uproar.
    let origin = |name: &'static str| {
        Origin::at(ANYWHERE.parse().unwrap(), move |request| {
            match request.fields("x-user").first().is_some_and(|user| user.ends_with("00")) {
                true => Reply::head("500 Oh", &[], "no"),
                false => Reply::ok(name),
            }
        })
    };
    let (blue, green) = (origin("blue").await, origin("green").await);
    let service =
        format!("{UNGUARDED}retries.shield = false\nsticky = {{ header = \"x-user\" }}\n");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let request = "GET / HTTP/1.1\r\nhost: shop.test\r\nx-user: u100\r\n\r\n";
    let well = "GET / HTTP/1.1\r\nhost: shop.test\r\nx-user: u7\r\n\r\n";
    let broken = Load { request, connections: 2, ..Load::gets(edge.address, 20) }.start();
    let fine = Load { request: well, ..Load::gets(edge.address, 100) }.start();
    start(&edge, r#"{"steps": [50, 100], "hold": "1h"}"#).await;
    // One user's failures are one event however many there are.
    let failures = async || {
        let now = rollout(&edge).await;
        let judged = &now["judgement"]["metrics"][1];
        assert_eq!(judged["metric"], "errors");
        (judged["stable"]["failed"].as_u64().unwrap(), judged["target"]["failed"].as_u64().unwrap())
    };
    until("its failures are seen", async || failures().await != (0, 0)).await;
    until("and more came", async || blue.asked() + green.asked() > 600).await;
    let (stable, target) = failures().await;
    assert_eq!(stable + target, 1, "{stable} and {target}");
    assert_eq!(rollout(&edge).await["state"], "running");
    broken.stop().await;
    fine.stop().await;
}

/// A Prometheus server that scrapes nothing; a query may name numbers of its own.
struct Prometheus {
    address: String,
    _child: tokio::process::Child,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    async fn start() -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, "global: {}\n").unwrap();
        let free = crate::harness::running::free();
        let child = tokio::process::Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus is installed, as the README says");
        let is_up = async || tokio::net::TcpStream::connect(free).await.is_ok();
        until("prometheus listens", is_up).await;
        Prometheus { address: format!("http://{free}"), _child: child, _folder: folder }
    }
}

/// A service whose judge asks a server, and lets through what one answer in two could tell.
fn asks(url: &str, query: &str) -> String {
    format!(
        "[services.shop.rollout]\nsteps = [50, 100]\nhold = \"0s\"\nmin_requests = 1\n\
         longest_step = \"4s\"\n[services.shop.judge]\n\
         gate = {{ rate = 90, risk = 50 }}\n\
         prometheus = {{ url = \"{url}\", query = \"{query}\", above = 0.5, interval = \"1s\" }}\n"
    )
}

#[tokio::test]
async fn a_prometheus_server_may_have_a_say() {
    let prometheus = Prometheus::start().await;
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let pools = [("blue", &blue), ("green", &green)];
    let bad = Edge::before(&pools, &asks(&prometheus.address, "vector(0.8)")).await;
    let good = Edge::before(&pools, &asks(&prometheus.address, "vector(0.2)")).await;
    let nobody = Edge::before(&pools, &asks("http://127.0.0.1:9", "vector(0.2)")).await;
    let edges = [&bad, &good, &nobody];
    let loads = edges.map(|edge| Load { connections: 2, ..Load::gets(edge.address, 50) }.start());
    for edge in edges {
        start(edge, r#"{"watch": "0s"}"#).await;
    }
    let ended = until_ended(&bad).await;
    assert_eq!(ended["state"], "rolled-back", "{ended}");
    let why = ended["status"].as_str().unwrap();
    assert!(why.contains("`vector(0.8)` is 0.8, the limit is 0.5"), "{why}");
    let ended = until_ended(&good).await;
    assert_eq!(ended["state"], "promoted", "{ended}");
    let ended = until_ended(&nobody).await;
    let why = ended["status"].as_str().unwrap();
    assert!(ended["state"] == "paused" && why.contains("Prometheus has no answer"), "{why}");
    for load in loads {
        load.stop().await;
    }
}
