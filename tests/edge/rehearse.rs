//! Rehearsals, by the command line alone: nothing runs beside it.

use serde_json::{Value, json};

use crate::cli::pointsman;

const FILE: &str = r#"
[[listeners]]
address = "127.0.0.1:0"

[[routes]]
path_prefix = "/"
service = "shop"

[[routes]]
path_prefix = "/search"
service = "search"

[services.shop]
split = { blue = 100, green = 0 }

[services.shop.pools]
blue.upstreams = ["127.0.0.1:9001", "127.0.0.1:9002"]
green.upstreams = ["127.0.0.1:9003"]

[services.shop.rollout]
steps = [10, 100]
hold = "20s"
watch = "30s"

[services.shop.judge]
warm_up = "0s"

[services.search.pools.red]
upstreams = ["127.0.0.1:9004"]
"#;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_string()
}

#[tokio::test]
async fn a_bad_canary_is_told_beside_a_good_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let svg = folder.path().join("out.svg");
    let ran = pointsman(&[
        "rehearse",
        "--canary-errors",
        "2%",
        "--seeds",
        "40",
        "--svg",
        svg.to_str().unwrap(),
    ])
    .await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in [
        "stable → canary at 500 requests/s\nerrors 0.1 % → 2 %, latency p50 50ms p99 200ms\n",
        "THIS CANARY",
        "ONE AS GOOD AS STABLE",
        "rolled back               100 % (40)",
        "errors 100 %",
        "0 of 40 canaries as good as `stable` were rolled back",
        "at most 8.76 % (95 % confidence)",
        "█ rolled back",
        "80 rollouts, ",
    ] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    assert!(!ran.out.contains('\x1b') && ran.err.is_empty(), "{}", ran.err);
    let drawn = std::fs::read_to_string(svg).unwrap();
    assert!(drawn.starts_with("<svg ") && drawn.contains("this canary: rolled back, 40 (median"));
}

#[tokio::test]
async fn plan_and_judge_come_from_the_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = file(&folder, "p.toml", FILE);
    let args = ["rehearse", "--config", &config, "--service", "shop", "--seeds", "20", "--json"];
    let run = async |more: &[&str]| {
        let ran = pointsman(&[&args, more].concat()).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let told = run(&["--canary-latency", "x2", "--seed", "7"]).await;
    assert_eq!(
        [&told["service"], &told["to"], &told["steps"], &told["first_seed"]],
        [&json!("shop"), &json!("green"), &json!([10.0, 100.0]), &json!(7)]
    );
    let canary = &told["canary"];
    assert_eq!(canary["rolled_back"]["count"], 20, "{canary}");
    assert!(canary["rolled_back_by"][0]["what"].as_str().unwrap().starts_with('p'), "{canary}");
    let identical = &told["identical"];
    assert_eq!(identical["promoted"]["count"], 20, "{identical}");
    // A hold of 20 s, about as long again for the gate at most, and a watch of 30 s.
    let took = identical["promoted"]["seconds"]["median"].as_f64().unwrap();
    assert!((50.0..120.0).contains(&took), "{took}");
    assert_eq!(told["false_rollback"]["share"], 0.0);

    // The same seeds do the same; without a difference there is one canary only.
    let again = run(&["--canary-latency", "x2", "--seed", "7"]).await;
    assert_eq!(&again["canary"], canary);
    let night = file(&folder, "night.csv", "seconds,requests_per_second\n0,200\n60,0\n");
    let silent = run(&["--profile", &night, "--steps", "1,100", "--users", "5000"]).await;
    assert_eq!(silent["identical"]["paused"]["count"], 20, "{silent}");
    assert!(silent["canary"].is_null(), "{silent}");
    assert!(silent["identical"]["users_hit"]["median"].is_u64(), "{silent}");
}

#[tokio::test]
async fn mistakes_say_where_and_what_would_do() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = file(&folder, "p.toml", FILE);
    let broken = file(&folder, "broken.toml", &FILE.replace("hold =", "hould ="));
    let day = file(&folder, "day.csv", "0,5\n60,many\n");
    for (args, code, told) in [
        (&["--baseline-errors", "0.1"][..], 2, "of what? say 0.1%"),
        (&["--canary-latency", "50ms"], 2, "or how many times as long, such as x1.5"),
        (&["--service", "shop"], 2, "--config <FILE>"),
        (&["--rps", "5", "--profile", &day], 2, "cannot be used with"),
        (&["--profile", &day], 2, "day.csv: line 2: `many` is no number of requests per second"),
        (&["--config", "nowhere.toml"], 1, "cannot read nowhere.toml"),
        (&["--config", &config], 2, "say which with --service: "),
        (&["--config", &config, "--service", "shup"], 2, "did you mean `shop`?"),
        (&["--config", &broken, "--service", "shop"], 1, "did you mean `hold`?"),
        (&["--config", &config, "--service", "shop", "--to", "pink"], 2, "no pool is named `pink`"),
        (&["--steps", "50,10"], 2, "steps must rise from above 0 to 100 %"),
    ] {
        let ran = pointsman(&[&["rehearse"], args].concat()).await;
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(told), "{args:?}: {}", ran.err);
    }
}
