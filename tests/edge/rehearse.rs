//! Rehearsals, by the command line alone, and with what a proxy has recorded.

use serde_json::{Value, json};

use crate::cli::pointsman;
use crate::harness::{Edge, Origin};

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
    let args = ["rehearse", "--config", &config, "shop", "--seeds", "20", "--json"];
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
        (&["shop", "--admin", "127.0.0.1:9"], 69, "cannot reach the admin API"),
        (&["--rps", "5", "--profile", &day], 2, "cannot be used with"),
        (&["--profile", &day], 2, "day.csv: line 2: `many` is no number of requests per second"),
        (&["--config", "nowhere.toml"], 1, "cannot read nowhere.toml"),
        (&["--config", &config], 2, "say which service: "),
        (&["--config", &config, "shup"], 2, "did you mean `shop`?"),
        (&["--config", &broken, "shop"], 1, "did you mean `hold`?"),
        (&["--config", &config, "shop", "--to", "pink"], 2, "no pool is named `pink`"),
        (&["--steps", "50,10"], 2, "steps must rise from above 0 to 100 %"),
    ] {
        let ran = pointsman(&[&["rehearse"], args].concat()).await;
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(told), "{args:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn what_a_proxy_has_recorded_is_played_from_it_or_a_file() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[routes]]\npath_prefix = \"/\"\nservice = \"shop\"\n\
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\n\
         pools.blue.upstreams = [\"{}\"]\npools.green.upstreams = [\"{}\"]\n\
         rollout = {{ steps = [10, 100], hold = \"20s\", watch = \"30s\" }}\njudge.warm_up = \"0s\"\n",
        blue.address, green.address
    );
    let edge = Edge::start_file(&text, false).await;
    let (status, mut told) = edge.admin("GET", "/v1/services/shop/recording", "").await;
    assert_eq!((status, &told["service"], &told["minutes"]), (200, &json!("shop"), &json!([])));
    assert_eq!(told["rollout"]["steps"], json!([10.0, 100.0]));
    assert_eq!(edge.admin("GET", "/v1/services/shup/recording", "").await.0, 404);

    // It has recorded next to nothing yet.
    let admin = edge.admin.to_string();
    let ran = pointsman(&["rehearse", "shop", "--admin", &admin]).await;
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("0 minutes of it are recorded, 10 minutes are needed"), "{}", ran.err);

    // What another has recorded: two upstreams for eleven minutes, one of which stalls now and then.
    let minute = |number: u64| {
        let seconds = if number.is_multiple_of(2) { "50*20 50/20 50*39" } else { "50*60" };
        json!({ "number": number, "ended": 60.0 * number as f64, "follows": number > 0, "pools": [{
            "pool": "blue", "slow_from_micros": [50_000, 120_000, 200_000],
            "took": { "first": 300, "counts": [3_000], "micros": 9_000_000 },
            "upstreams": [{ "upstream": "10.0.0.1:80", "seconds": seconds },
                { "upstream": "10.0.0.2:80", "seconds": "50*30 50/1 50*29" }] }] })
    };
    told["minutes"] = (0..11).map(minute).collect();
    let folder = tempfile::TempDir::new().unwrap();
    let saved = file(&folder, "shop.json", &told.to_string());
    let args = ["rehearse", "--from", &saved, "--seeds", "20"];
    let shown = pointsman(&args).await;
    assert_eq!(shown.code, 0, "{}", shown.err);
    for part in
        ["shop: blue → green at 100.0 requests/s as recorded", "11m of 2 upstreams, of which 1"]
    {
        assert!(shown.out.contains(part), "{part}\n{}", shown.out);
    }
    let told_again = async |more: &[&str]| {
        let ran = pointsman(&[&args[..], &["--json"], more].concat()).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let first = told_again(&["--canary-errors", "20%", "--seed", "3"]).await;
    assert_eq!(first["canary"]["rolled_back"]["count"], 20, "{first}");
    assert_eq!(first["asked"]["recorded_seconds"], 660);
    let second = told_again(&["--canary-errors", "20%", "--seed", "3"]).await;
    assert_eq!(first["canary"], second["canary"]);

    for (more, told) in [
        (&["--rps", "5"][..], "--rps says what the recording says"),
        (&["--canary-latency", "5ms,9ms"], "--canary-latency P50,P99 says"),
    ] {
        let ran = pointsman(&[&args[..], more].concat()).await;
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(told), "{}", ran.err);
    }
    bad_recordings_are_refused(&folder, &told).await;
}

/// Each with the place and what is wrong there, and nothing of them is obeyed.
async fn bad_recordings_are_refused(folder: &tempfile::TempDir, told: &Value) {
    let whole = serde_json::to_string_pretty(told).unwrap();
    let first = "minutes[0].pools[0]";
    for (from, to, code, wanted) in [
        ("\"50*60\"", "\"fifty\\u001b[2J\"", 1, "`minutes[1].pools[0].upstreams[0].seconds`: \"fifty\\u{1b}[2J\" is no second of an upstream".into()),
        ("\"50*60\"", "\"50*59\"", 1, "these are 59 seconds of 60; write `-*1` where nobody looked".into()),
        ("\"50*60\"", "50", 1, "invalid type: integer `50`, expected a string; mend it there, or save what".into()),
        ("\"10.0.0.2:80\"", "\"10.0.0.1:80\"", 1, format!("`{first}.upstreams`: \"10.0.0.1:80\" is there twice")),
        ("\"first\": 300", "\"first\": 900", 1, format!("`{first}.took`: `first` and `counts`: there are 832 buckets")),
        ("\"number\": 3,", "\"number\": 2,", 1, "`minutes`: minute 2 comes after minute 2".into()),
        ("\"hold_seconds\": 20.0", "\"hold_seconds\": -1", 1, "`rollout.hold_seconds`: a wait in seconds lies within a day, not -1".into()),
        ("\"alpha\": 0.01", "\"alpha\": 0", 1, "`rollout.judge`: alpha is 0; from 0.0001 to 0.5 would do".into()),
        ("100.0\n", "90.0\n", 1, "`rollout.steps`: steps are percentages that rise".into()),
        ("\"service\": \"shop\"", "\"service\": 7", 1, "`service`: invalid type".into()),
        ("\"pool\": \"blue\",\n      \"upstreams\": 1", "\"pool\": \"bl\\u001bue\",\n      \"upstreams\": 1", 5, "went to `blue`, and its pools are `bl\u{fffd}ue`, `green`".into()),
    ] {
        assert!(whole.contains(from), "{from}");
        let line = 1 + whole[..whole.find(from).unwrap()].matches('\n').count();
        let bad = file(folder, "bad.json", &whole.replacen(from, to, 1));
        let ran = pointsman(&["rehearse", "--from", &bad]).await;
        assert_eq!(ran.code, code, "{to}: {}", ran.err);
        assert!(ran.err.contains(&wanted) && !ran.err.contains('\u{1b}'), "{to}: {}", ran.err);
        // What a list says of its parts is known at its end.
        let is_of_one = !wanted.contains("there") && !wanted.contains("comes after");
        if code == 1 && is_of_one && !wanted.contains("steps") && !wanted.contains("alpha") {
            assert!(ran.err.contains(&format!("line {line}, column ")), "{to}: {line}: {}", ran.err);
        }
    }
    let saved = file(folder, "shop.json", &whole);
    let other = FILE.replace("services.shop", "services.cart").replace("\"shop\"", "\"cart\"");
    let other = file(folder, "other.toml", &other);
    let pools = file(folder, "pools.toml", &FILE.replace("blue", "old"));
    for (args, told) in [
        (&["cart"][..], "is of service `shop`, not of `cart`: leave the name out"),
        (&["--to", "pink"], "no pool is named `pink`; the service has `blue`, `green`"),
        (&["--config", &other], "has no service `shop`"),
        (&["--config", &pools], "went to pool `blue`; in "),
    ] {
        let ran = pointsman(&[&["rehearse", "--from", &saved], args].concat()).await;
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(told), "{args:?}: {}", ran.err);
    }
}
