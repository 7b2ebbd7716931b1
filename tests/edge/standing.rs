//! What stands until somebody takes it back, as `status` and the metrics show it.

use serde_json::{Value, json};

use crate::harness::{Edge, Origin, until};

/// Steps that nobody has time to see the end of.
const SLOW: &str =
    "[services.shop.rollout]\nsteps = [10, 50, 100]\nhold = \"1h\"\nwatch = \"0s\"\n";

async fn two_pools() -> (Origin, Origin, Edge) {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], SLOW).await;
    (blue, green, edge)
}

async fn shop(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/status", "").await.1["services"][0].clone()
}

async fn metrics(edge: &Edge) -> String {
    edge.admin_with("GET", "/metrics", "", &[]).await.body
}

async fn cli(edge: &Edge, args: &[&str]) -> String {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(args)
        .args(["--admin", &edge.admin.to_string()])
        .env("USER", "ann")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn every_order_is_shown_with_who_why_and_since_when_until_it_is_taken_back() {
    let (blue, green, edge) = two_pools().await;
    assert_eq!(
        (&shop(&edge).await["orders"], &shop(&edge).await["rollout"]),
        (&json!([]), &Value::Null)
    );
    let place = format!("/v1/services/shop/pools/green/upstreams/{}", green.address);
    let by = |rest: &str| format!(r#"{{{rest}, "author": "ann", "reason": "disk"}}"#);
    let order = async |path: &str, body: &str| {
        let (status, answer) = edge.admin("PUT", path, &by(body)).await;
        assert_eq!(status, 200, "{answer}");
    };
    order(&format!("{place}/state"), r#""state": "drain""#).await;
    order(&format!("{place}/breaker"), r#""state": "open""#).await;
    order("/v1/services/shop/pools/blue/breaker", r#""state": "closed""#).await;
    order("/v1/services/shop/mode", r#""mode": "hold", "for": "60s", "most": 7"#).await;
    let now = edge.server.process().gauges().started;
    let orders = shop(&edge).await["orders"].clone();
    let of = |kind: &str, pool: &str| {
        let found = orders.as_array().unwrap().iter().find(|order| {
            order["kind"] == kind && order["pool"].as_str().unwrap_or_default() == pool
        });
        let order = found.unwrap_or_else(|| panic!("{kind} {pool} {orders}"));
        assert_eq!((&order["author"], &order["reason"]), (&json!("ann"), &json!("disk")));
        assert!((0.0..60.0).contains(&(order["since"].as_f64().unwrap() - now)), "{order}");
        order.clone()
    };
    assert_eq!(orders.as_array().unwrap().len(), 4, "{orders}");
    let drain = of("drain", "green");
    assert_eq!(drain["upstream"], green.address.to_string());
    assert_eq!((&drain["what"], &drain["until"]), (&json!("drained"), &Value::Null));
    assert_eq!(of("breaker", "green")["what"], "breaker open");
    assert_eq!(of("breaker", "blue")["what"], "breaker closed");
    let hold = of("hold", "");
    assert_eq!(hold["what"], "held, 7 may wait");
    assert_eq!(hold["until"].as_f64().unwrap() - hold["since"].as_f64().unwrap(), 60.0);
    // A maintenance takes the place of a hold; both are the service's one mode.
    order("/v1/services/shop/mode", r#""mode": "maintenance", "message": "soon""#).await;
    let seen = cli(&edge, &["status"]).await;
    let line = seen.lines().find(|line| line.contains("in maintenance: soon")).unwrap();
    assert!(line.starts_with("shop ") && line.contains("ann") && line.ends_with("disk"), "{seen}");
    let drained = format!("shop/green {}", green.address);
    assert!(
        seen.lines().any(|line| line.starts_with(&drained) && line.contains("drained")),
        "{seen}"
    );
    assert!(!seen.contains("may wait"), "{seen}");
    edge.admin("PUT", "/v1/services/shop/mode", r#"{"mode": "serve"}"#).await;
    edge.admin("PUT", &format!("{place}/state"), r#"{"state": "active"}"#).await;
    for path in [format!("{place}/breaker"), "/v1/services/shop/pools/blue/breaker".into()] {
        edge.admin("PUT", &path, r#"{"state": "auto"}"#).await;
    }
    assert_eq!(shop(&edge).await["orders"], json!([]));
    assert!(!cli(&edge, &["status"]).await.contains("ORDER"));
    drop(blue);
}

#[tokio::test]
async fn a_rollout_under_way_is_in_the_status_and_the_metrics_and_counted_when_it_ends() {
    let (_blue, _green, edge) = two_pools().await;
    let has = |text: &str, name: &str, labels: &str, value: f64| {
        let line = format!("{name}{{service=\"shop\"{labels}}} {value}\n");
        assert!(text.contains(&line), "{line}{text}");
    };
    let ended = |outcome: &str| format!(",outcome=\"{outcome}\"");
    let before = metrics(&edge).await;
    assert!(!before.contains("pointsman_rollout"), "{before}");
    cli(&edge, &["rollout", "start", "shop", "--to", "green", "--reason", "v2"]).await;
    let rollout = shop(&edge).await["rollout"].clone();
    assert_eq!((&rollout["id"], &rollout["to"]), (&json!(1), &json!("green")));
    assert_eq!((&rollout["share"], &rollout["steps_taken"]), (&json!(10.0), &json!(1)));
    assert_eq!((&rollout["state"], &rollout["author"]), (&json!("running"), &json!("cli:ann")));
    let words = rollout["status"].as_str().unwrap();
    assert!(words.starts_with("holds 10 % for another"), "{words}");
    let seen = cli(&edge, &["status", "shop"]).await;
    assert!(seen.contains("shop rollout 1: green at 10 %: holds 10 % for another"), "{seen}");
    let running = metrics(&edge).await;
    has(&running, "pointsman_rollout_state", "", 1.0);
    has(&running, "pointsman_rollouts_total", &ended("promoted"), 0.0);
    has(&running, "pointsman_rollout_step", "", 1.0);
    has(&running, "pointsman_rollout_steps", "", 3.0);
    has(&running, "pointsman_rollout_share_ratio", "", 0.1);
    cli(&edge, &["rollout", "step", "shop"]).await;
    cli(&edge, &["rollout", "pause", "shop", "--reason", "lunch"]).await;
    let paused = metrics(&edge).await;
    has(&paused, "pointsman_rollout_state", "", 2.0);
    has(&paused, "pointsman_rollout_step", "", 2.0);
    has(&paused, "pointsman_rollout_share_ratio", "", 0.5);
    assert!(shop(&edge).await["rollout"]["status"].as_str().unwrap().contains("lunch"));
    cli(&edge, &["rollout", "abort", "shop"]).await;
    assert_eq!(shop(&edge).await["rollout"], Value::Null);
    let after = metrics(&edge).await;
    has(&after, "pointsman_rollout_state", "", 0.0);
    has(&after, "pointsman_rollouts_total", &ended("aborted"), 1.0);
    has(&after, "pointsman_rollout_step", "", 0.0);
    let start = r#"{"to": "green", "strategy": "all-at-once"}"#;
    edge.admin("POST", "/v1/services/shop/rollout", start).await;
    until("it is counted", async || {
        let promoted = "pointsman_rollouts_total{service=\"shop\",outcome=\"promoted\"} 1\n";
        metrics(&edge).await.contains(promoted)
    })
    .await;
}

#[tokio::test]
async fn a_diff_names_the_rollout_that_would_end_and_what_was_ordered() {
    let (blue, green, edge) = two_pools().await;
    let text = std::fs::read_to_string(edge.file()).unwrap();
    edge.admin("POST", "/v1/services/shop/rollout", r#"{"to": "green"}"#).await;
    let diff = async |text: &str| {
        let (status, changes) = edge.admin("POST", "/v1/config/diff", text).await;
        assert_eq!(status, 200, "{changes}");
        let lines =
            changes["changes"].as_array().unwrap().iter().map(|change| {
                format!("{}: {}", change["subject"], change["what"]).replace('"', "")
            });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(diff(&format!("# a note\n{text}")).await, [""; 0]);
    let edited = text.replace("blue = 100, green = 0", "blue = 60, green = 40");
    assert_eq!(
        diff(&edited).await,
        [
            "service shop: split blue=90 green=10 → blue=60 green=40, 30 % of its traffic moves",
            "service shop: rollout 1 to green at 10 % ends, superseded",
        ]
    );
    let more = format!("\"{}\", \"127.0.0.1:9\"", green.address);
    let another = text.replace(&format!("\"{}\"", green.address), &more);
    let gets = "pool shop/green: upstream 127.0.0.1:9 added, gets 5 % of the traffic";
    assert_eq!(diff(&another).await, [gets]);
    // What is said is what happens.
    std::fs::write(edge.file(), &edited).unwrap();
    cli(&edge, &["reload"]).await;
    let (_, ended) = edge.admin("GET", "/v1/services/shop/rollout", "").await;
    assert_eq!(ended["state"], "superseded");
    drop(blue);
}
