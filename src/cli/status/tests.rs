//! A busy edge on terminals of several sizes, and in a pipe.

use super::*;

/// A busy edge: long names, a rollout's pools, an upstream that refuses.
fn status() -> wire::Status {
    let upstream = |address: &str, state: &str| {
        serde_json::json!({
            "address": address, "state": state, "weight": 100, "in_flight": 12,
            "breaker": {"state": "closed", "order": "auto", "opened": 0},
            "latency_seconds": 0.01, "requests": 1_000_000, "errors": 5, "since": 1.0,
            "last_error": "it refuses connections or cannot be reached",
            "requests_per_second": 412.7, "errors_percent": 0.25,
        })
    };
    let pool = |name: &str| {
        serde_json::json!({
            "name": name, "weight": 99.95, "measured": 99.87, "requests_per_second": 12_345.6,
            "errors": 0.25, "mean_seconds": 0.01, "in_flight": 1_234, "available": true,
            "panic": false, "breaker": {"state": "closed", "order": "auto", "opened": 0},
            "latency": [{"window_seconds": 10.0, "count": 5, "p50": 0.0123, "p99": 0.1234}],
            "upstreams": [upstream("checkout-1.internal:9000", "active"),
                          upstream("[2001:db8::1234:5678]:9000", "refusing")],
        })
    };
    let service = |name: &str| {
        serde_json::json!({
            "name": name, "revision": 1_234, "mode": "serve", "waiting": 0,
            "requests_per_second": 12_345.6, "pools": [pool("blue"), pool("green-2026-11")],
            "orders": [{"kind": "drain", "pool": "blue", "upstream": "checkout-1.internal:9000",
                        "what": "drained", "author": "cli:somebody", "since": 5.0, "until": null,
                        "reason": "the disk of this machine is about to be replaced"}],
        })
    };
    let services: Vec<_> = (0..12).map(|n| service(&format!("checkout-service-{n}"))).collect();
    let status = serde_json::json!({
        "name": "edge-1.example.internal", "environment": "production", "version": "0.1.0",
        "uptime_seconds": 123_456.0, "generation": 5, "ready": true, "store_writable": false,
        "config": {"path": "/etc/pointsman/pointsman.toml", "last_reload_successful": false,
                   "last_reload_success": 1.0, "reloads": 1, "refused_reloads": 1},
        "listeners": [{"address": "0.0.0.0:8080", "connections": 1_234},
                      {"address": "0.0.0.0:8443", "connections": 1_234}],
        "services": services,
    });
    serde_json::from_value(status).unwrap()
}

fn verb(args: &[&str]) -> Status {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        status: Status,
    }
    let args = ["status"].into_iter().chain(args.iter().copied());
    <Line as clap::Parser>::parse_from(args).status
}

fn widest(lines: &str) -> usize {
    lines.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn it_fits_a_terminal_and_a_pipe_gets_all_of_it() {
    let (status, one) = (status(), verb(&["checkout-service-1"]));
    for columns in [80, 100, 120] {
        let screen = Screen { size: Some((columns, 24)), is_coloured: false };
        let text = one.shown(&status, screen);
        assert!(widest(&text) <= columns, "{columns}: {}\n{text}", widest(&text));
        assert!(text.contains("412.7") && text.contains("refusing"), "{text}");
    }
    let text = one.shown(&status, Screen::default());
    assert!(
        !text.contains('\x1b') && text.contains("P50") && text.contains("about to be replaced")
    );
}

#[test]
fn a_watch_clips_to_the_height_and_writes_no_escapes_into_pipes() {
    let (status, watch) = (status(), verb(&["--watch"]));
    let screen = Screen { size: Some((80, 24)), is_coloured: false };
    let text = watch.shown(&status, screen);
    assert!(text.starts_with("\x1b[2J\x1b[H"));
    assert_eq!(text.lines().count(), 23);
    assert!(text.lines().last().unwrap().contains("lines more"), "{text}");
    let piped = watch.shown(&status, Screen::default());
    assert!(!piped.contains('\x1b') && piped.ends_with('\n'));
}

#[test]
fn what_is_not_well_is_coloured_where_that_is_wanted() {
    let screen = Screen { size: Some((80, 24)), is_coloured: true };
    let text = verb(&["checkout-service-1"]).shown(&status(), screen);
    let is = |line: &str, colour: &str| line.starts_with(colour) && line.ends_with("\x1b[0m");
    assert!(text.lines().any(|line| line.contains("refusing") && is(line, "\x1b[31m")), "{text}");
    assert!(text.lines().any(|line| line.contains("1 of 2") && is(line, "\x1b[33m")), "{text}");
}

#[test]
fn what_is_no_length_of_time_stops_nobody() {
    let mut status = status();
    status.kept = serde_json::from_value(serde_json::json!([
        {"what": "pool `shop/red`", "orders": ["hold by ada"], "since": 1.0, "until": 1e300},
    ]))
    .unwrap();
    let text = verb(&[]).shown(&status, Screen::default());
    assert!(text.contains("! pool `shop/red` is gone from the file"), "{text}");
}
