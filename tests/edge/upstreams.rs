//! Upstreams come and go at run time, and what is known of the others stays.

use serde_json::Value;

use crate::cli::pointsman;
use crate::harness::{Client, Edge, Origin, until};

const UPSTREAMS: &str = "/v1/services/shop/pools/only/upstreams";

async fn upstreams(edge: &Edge) -> Vec<Value> {
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/only", "").await;
    pool["upstreams"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_upstream_is_added_weighed_and_removed_without_touching_the_others() {
    let (first, second) = (Origin::named("first").await, Origin::named("second").await);
    let edge = Edge::before(&[("only", &first)], "balance.slow_start = \"1ms\"").await;
    assert_eq!(edge.get(&[]).await.body, "first");
    let body = format!(r#"{{"address": "{}", "reason": "more"}}"#, second.address);
    assert_eq!(edge.admin("POST", UPSTREAMS, &body).await.0, 201);
    assert_eq!(edge.admin("POST", UPSTREAMS, &body).await.0, 409, "it is there");
    until("it takes requests", async || edge.get(&[]).await.body == "second").await;
    let heavier = format!(r#"{{"address": "{}", "weight": 7}}"#, second.address);
    assert_eq!(edge.admin("POST", UPSTREAMS, &heavier).await.0, 201);
    let list = upstreams(&edge).await;
    assert!(list[0]["requests"].as_u64() > Some(0), "{list:?}");
    assert_eq!((list.len(), &list[1]["weight"]), (2, &Value::from(7)));

    let gone = format!("{UPSTREAMS}/{}", second.address);
    assert_eq!(edge.admin("DELETE", &gone, "").await.0, 200);
    assert_eq!(edge.admin("DELETE", &gone, "").await.0, 404);
    let last = format!("{UPSTREAMS}/{}", first.address);
    assert_eq!(edge.admin("DELETE", &last, "").await.0, 409, "nobody would be left");
    for _ in 0..20 {
        assert_eq!(edge.get(&[]).await.body, "first");
    }
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    let of_upstreams =
        events.as_array().unwrap().iter().filter(|event| event["kind"] == "upstream");
    let said: Vec<_> = of_upstreams.map(|event| &event["what"]).collect();
    assert_eq!(said, ["added with weight 100", "weight 100 → 7", "removed"]);
}

#[tokio::test]
async fn what_was_added_outlives_a_reload_until_the_pool_is_edited() {
    let (first, second) = (Origin::named("first").await, Origin::named("second").await);
    let edge = Edge::before(&[("only", &first)], "").await;
    let body = format!(r#"{{"address": "{}"}}"#, second.address);
    assert_eq!(edge.admin("POST", UPSTREAMS, &body).await.0, 201);
    let text = std::fs::read_to_string(edge.file()).unwrap();
    let reload = async |text: &str| {
        std::fs::write(edge.file(), text).unwrap();
        assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    };
    reload(&text.replace("[services.shop]", "[services.shop]\ntimeouts.idle = \"50s\"")).await;
    assert_eq!(upstreams(&edge).await.len(), 2);
    reload(&text.replace("upstreams = [", "upstreams = [\"127.0.0.1:9\", ")).await;
    let addresses: Vec<_> =
        upstreams(&edge).await.iter().map(|u| u["address"].as_str().unwrap().to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:9".to_string(), first.address.to_string()]);
}

#[tokio::test]
async fn an_added_upstream_goes_with_the_label_that_it_was_given() {
    let (first, second) = (Origin::named("first").await, Origin::named("second").await);
    let edge = Edge::before(&[("only", &first)], "").await;
    let (pool, added) = ("shop/only", second.address.to_string());
    let admin = edge.admin.to_string();
    let add = async |more: &[&str]| {
        let args = [&["upstream", "add", pool, &added, "--admin", &admin], more].concat();
        pointsman(&args).await
    };
    let ran = add(&["--label", "zone=a", "--label", "zone=b"]).await;
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert_eq!(add(&["--label", "Zone=a"]).await.code, 2);
    let ran = add(&["--label", "zone=a", "--label", "rack=7"]).await;
    assert_eq!((ran.code, &*ran.out), (0, &*format!("{added} is in {pool}\n")), "{}", ran.err);
    let labels = async || upstreams(&edge).await[1]["labels"].clone();
    assert_eq!(labels().await, serde_json::json!({"zone": "a", "rack": "7"}));
    let status = pointsman(&["status", "shop", "--admin", &admin]).await.out;
    assert!(status.contains("rack=7 zone=a"), "{status}");
    let drain = r#"{"label": "zone=a", "state": "drain"}"#;
    let (status, set) = edge.admin("PUT", "/v1/services/shop/labelled/state", drain).await;
    assert_eq!((status, &set["upstreams"]), (200, &serde_json::json!([added])));
    for _ in 0..10 {
        assert_eq!(edge.get(&[]).await.body, "first");
    }
    let many: Vec<String> = (0..9).map(|n| format!("\"l{n}\": \"x\"")).collect();
    for labels in
        [&format!("{{{}}}", many.join(", ")), r#"{"zone": ""}"#, r#"{"zone": "a", "zone": "b"}"#]
    {
        let body = format!(r#"{{"address": "127.0.0.1:81", "labels": {labels}}}"#);
        let (status, problem) = edge.admin("POST", UPSTREAMS, &body).await;
        assert_eq!(status, 422, "{body}: {problem}");
    }
}

#[tokio::test]
async fn a_name_is_an_upstream_for_each_address_and_goes_as_a_whole() {
    let origin = Origin::named("named").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let name = format!("localhost:{}", origin.address.port());
    let body = format!(r#"{{"address": "{name}"}}"#);
    assert_eq!(edge.admin("POST", UPSTREAMS, &body).await.0, 201);
    let of_name = async || {
        let list = upstreams(&edge).await;
        list.into_iter().filter(|u| u["name"] == *name).collect::<Vec<_>>()
    };
    // 127.0.0.1 is in the pool already and stays what it was; ::1 may come with the name.
    until("it is looked up", async || {
        upstreams(&edge).await.iter().all(|upstream| upstream["state"] != "unresolved")
    })
    .await;
    for upstream in of_name().await {
        let path = format!("{UPSTREAMS}/{}", upstream["address"].as_str().unwrap());
        let (status, problem) = edge.admin("DELETE", &path, "").await;
        assert_eq!((status, &problem["type"]), (409, &Value::from("upstream-of-a-name")));
    }
    assert_eq!(edge.admin("DELETE", &format!("{UPSTREAMS}/{name}"), "").await.0, 200);
    assert_eq!(upstreams(&edge).await.len(), 1);
    assert_eq!(edge.get(&[]).await.body, "named");
}

#[tokio::test]
async fn bad_addresses_and_weights_are_refused() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    for (body, status) in [
        (r#"{"address": "nonsense"}"#, 422),
        (r#"{"address": "127.0.0.1:0"}"#, 422),
        (r#"{"address": "127.0.0.1:81", "weight": 0}"#, 422),
        (r#"{"address": "127.0.0.1:81", "wieght": 1}"#, 422),
    ] {
        let (got, problem) = edge.admin("POST", UPSTREAMS, body).await;
        assert_eq!(got, status, "{body}: {problem}");
    }
    let elsewhere = "/v1/services/shop/pools/none/upstreams";
    assert_eq!(edge.admin("POST", elsewhere, r#"{"address": "127.0.0.1:81"}"#).await.0, 404);
    assert_eq!(upstreams(&edge).await.len(), 1);
}

#[tokio::test]
async fn kept_connections_outlive_shifts() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    let mut client: Client = edge.client().await;
    for to in ["green", "blue", "green", "blue"] {
        let flip = format!(r#"{{"to": "{to}"}}"#);
        assert_eq!(edge.admin("POST", "/v1/services/shop/flip", &flip).await.0, 200);
        for _ in 0..5 {
            client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
            assert_eq!(client.response().await.body, to);
        }
    }
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let value = |name: &str| -> Vec<&str> {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(_, value)| value).collect()
    };
    assert_eq!(value("pointsman_upstream_connections_opened_total{"), ["1", "1"]);
    assert_eq!(value("pointsman_upstream_connections_reused_total{"), ["9", "9"]);
    assert_eq!(value("pointsman_upstream_connection_reuse_ratio{"), ["0.9", "0.9"]);
}

#[tokio::test]
async fn traffic_is_not_moved_to_a_pool_whose_health_checks_fail() {
    let (blue, green) =
        (Origin::named("blue").await, Origin::always(crate::harness::Reply::Close).await);
    let health = "health = { http = { path = \"/up\" }, interval = \"1s\" }";
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], health).await;
    let flip = async |force: bool| {
        let body = format!(r#"{{"to": "green", "force": {force}}}"#);
        edge.admin("POST", "/v1/services/shop/flip", &body).await
    };
    until("green is down", async || {
        let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/green", "").await;
        pool["upstreams"][0]["state"] == "down"
    })
    .await;
    let (status, problem) = flip(false).await;
    assert_eq!((status, &problem["type"]), (409, &Value::from("pool-not-available")));
    assert_eq!(edge.get(&[]).await.body, "blue");
    assert_eq!(flip(true).await.0, 200);
    until("the event is told", async || {
        let (_, events) = edge.admin("GET", "/v1/events", "").await;
        events.to_string().contains("health check: down, ")
    })
    .await;
}
