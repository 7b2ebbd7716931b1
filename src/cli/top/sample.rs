//! A proxy as it may be, for tests: a shop with a canary that fails, and one service with nothing to say.

use serde_json::{Value, json};

use super::known::Known;
use crate::admin::wire::LiveLine;

/// When it is looked at: 2026-11-30T18:44:05Z.
pub const NOW: f64 = 1_796_064_245.0;

fn line(rows: Value, seconds: Value) -> LiveLine {
    let line = json!({
        "tick": 1, "at": NOW, "generation": 7, "last_event": 2, "whole": true, "rows": rows, "events": [],
        "seconds": seconds,
    });
    serde_json::from_value(line).unwrap()
}

fn process() -> Value {
    json!({
        "status": {"name": "edge-1", "environment": "production", "version": "0.1.0",
            "started": NOW - 240.0, "ready": true, "store_writable": true},
        "config": {"path": "p.toml", "last_reload_successful": true, "last_reload_success": NOW - 240.0,
            "reloads": 0, "refused_reloads": 0},
    })
}

fn with(mut rows: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    rows.as_object_mut().unwrap().extend(more);
    rows
}

/// All services at a glance.
pub fn overview() -> Known {
    let shop = json!({
        "name": "shop", "revision": 12, "mode": "serve",
        "pools": [
            {"name": "blue", "tag": null, "weight": 90.0, "measured": 89.8},
            {"name": "green", "tag": "v42", "weight": 10.0, "measured": 10.2}],
        "requests_per_second": 1002.0, "errors": 1.27, "p99": 0.0123,
        "budget": {"state": "caution", "remaining": 41.5},
        "rollout": {"id": 3, "from": "blue", "to": "green", "state": "running",
            "status": "holds 10 % for 42 s more", "share": 10.0},
        "upstreams": 3, "well": 2,
        "wrong": [
            {"severity": "medium", "what": "1.27 % of requests fail"},
            {"severity": "medium", "what": "1 of 2 upstreams of blue are not well"}],
    });
    let api = json!({
        "name": "api", "revision": 1, "mode": "serve",
        "pools": [{"name": "main", "weight": 100.0, "measured": 100.0}],
        "requests_per_second": 12.0, "errors": 0.0, "p99": 0.004, "upstreams": 1, "well": 1, "wrong": [],
    });
    let mut known = Known::default();
    known.take(
        None,
        line(with(process(), json!({"service/api": api, "service/shop": shop})), json!(null)),
    );
    known.all_events(events());
    known
}

fn events() -> Vec<crate::admin::wire::Event> {
    let event = |number: u64, severity: &str, what: &str, author: Option<&str>| {
        json!({"number": number, "at": NOW - 60.0 + number as f64, "severity": severity, "kind": "rollout",
            "service": "shop", "pool": "green", "upstream": "", "what": what, "author": author,
            "reason": author.map(|_| "v42")})
    };
    let all = json!([
        event(1, "low", "rollout 3 to green began", Some("cli:ann")),
        event(2, "high", "the breaker opened", None)
    ]);
    serde_json::from_value(all).unwrap()
}

fn attempts(requests: u64, failed: u64) -> Value {
    json!({"requests": requests, "failed": failed, "errors": failed as f64 / requests as f64 * 100.0})
}

fn judged(metric: &str, odds: f64, says: &str) -> Value {
    json!({"metric": metric, "says": says, "worse": {"odds": odds, "enough": 1000.0},
        "stable": attempts(9_000, 9), "target": attempts(1_000, 20),
        "stable_slow_ms": null, "target_slow_ms": null})
}

/// The shop closely.
pub fn shop() -> Known {
    let breaker = json!({"state": "closed", "order": "auto", "opened": 0});
    let upstream = |address: &str, state: &str| {
        json!({"address": address, "state": state, "breaker": breaker, "requests_per_second": 450.0,
            "errors_percent": 0.1, "latency_seconds": 0.0021, "weight": 100, "in_flight": 2,
            "requests": 9000, "errors": 9})
    };
    let mut down = upstream("10.0.0.12:9000", "down");
    let more = json!({"since": NOW - 75.0, "last_error": "connection refused", "last_error_at": NOW - 3.0,
        "requests_per_second": 0.0, "latency_seconds": 0.0, "labels": {"zone": "a"}});
    down.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let pool = |name: &str, weight: f64, measured: f64, rate: f64, errors: f64| {
        json!({"name": name, "weight": weight, "measured": measured, "requests_per_second": rate,
            "errors": errors, "mean_seconds": 0.002, "in_flight": 4, "available": true, "panic": false,
            "latency": [{"window_seconds": 10.0, "count": 100, "p50": 0.002, "p90": 0.003, "p95": 0.004,
                "p99": 0.0123, "p99.9": 0.02}],
            "breaker": breaker, "upstreams": []})
    };
    let rollout = json!({
        "id": 3, "service": "shop", "strategy": "canary", "from": "blue", "to": "green",
        "steps": [1.0, 10.0, 50.0, 100.0], "steps_taken": 2, "state": "running",
        "status": "holds 10 % for 42 s more", "share": 10.0, "step": attempts(500, 10),
        "all": attempts(1_000, 20), "verbs": ["pause", "step", "promote", "abort"], "author": "cli:ann",
        "reason": "v42", "started": NOW - 95.0, "ended": null, "revision": 12, "latency": [],
        "judgement": {"says": "inconclusive", "evidence": "errors: green fails 2 %, blue 0.1 %, 310:1 that it is worse",
            "driver": null, "seconds": 90, "metrics": [judged("errors", 310.0, "smoulders"), judged("p99", 2.0, "quiet")],
            "fine": {"odds": 4.0, "enough": 250.0}, "requests_missing": 812, "arrived_stable": 9000,
            "arrived_target": 1000, "split_off": {"odds": 1.0, "enough": 1000.0}, "bursts": 1.0,
            "regressed": [{"route": "POST shop.example.com/cart", "stable": attempts(900, 1),
                "target": attempts(100, 15), "odds": 400.0}]},
    });
    let service = json!({
        "name": "shop", "revision": 12, "mode": "serve", "waiting": 0, "requests_per_second": 1002.0,
        "budget": {"state": "caution", "remaining": 41.5}, "pools": [], "rollout": null, "orders": [],
        "pool_names": ["blue", "green"],
        "wrong": [{"severity": "medium", "what": "1 of 2 upstreams of blue are not well"}],
    });
    let rows = json!({
        "service": service, "pool/blue": pool("blue", 90.0, 89.8, 900.0, 0.1),
        "pool/green": pool("green", 10.0, 10.2, 102.0, 2.0), "rollout": rollout,
        "revision": {"revision": 12, "weights": {"blue": 90.0, "green": 10.0}, "author": "rollout",
            "reason": null, "at": NOW - 30.0},
        "upstream/blue/10.0.0.11:9000": upstream("10.0.0.11:9000", "active"), "upstream/blue/10.0.0.12:9000": down,
        "upstream/green/10.0.1.11:9000": upstream("10.0.1.11:9000", "active"),
    });
    let points = |rate: f64, failed: f64| -> Vec<Value> {
        let point = |ago: f64| {
            let wave = 1.0 - (ago % 10.0) / 20.0;
            json!([
                NOW - ago,
                (rate * wave).round(),
                (failed * wave).round(),
                0.002,
                0.004,
                0.012 * wave
            ])
        };
        (0..60).rev().map(|ago| point(f64::from(ago))).collect()
    };
    let mut known = Known::default();
    known.watch(Some("shop"));
    let seconds = json!({"blue": points(900.0, 1.0), "green": points(102.0, 2.0)});
    known.take(Some("shop"), line(with(process(), rows), seconds));
    known.all_events(events());
    known
}
