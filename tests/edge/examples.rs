//! The example files of rollouts are run: their addresses are replaced by real ones and nothing else,
//! and a rollout goes to its end.

use pointsman::config::Config;
use pointsman::rollout::{Hook, Hooks};
use serde_json::{Value, json};

use crate::harness::client::fields;
use crate::harness::{Edge, Load, Origin, Reply, until};

const CANARY: &str = include_str!("../../conf/canary.toml");
const BLUE_GREEN: &str = include_str!("../../conf/blue-green.toml");
const ROLLING: &str = include_str!("../../conf/rolling.toml");

/// An example with real places in it.
struct Example {
    edge: Edge,
    /// One for each upstream of the file, in its order, by the names of their pools.
    origins: Vec<(String, Origin)>,
    /// Who is called by the hooks of the file.
    hooks: Origin,
}

impl Example {
    /// Puts an origin where the file has an upstream, a receiver where it calls a hook, and free
    /// ports where it listens.
    async fn run(text: &str) -> Example {
        let (config, _) = Config::parse(text).unwrap();
        let hooks = Origin::always(Reply::ok("yes")).await;
        let (mut text, mut origins) = (text.to_string(), Vec::new());
        for listener in &config.listeners {
            text = replaced(&text, &listener.to_string(), "127.0.0.1:0");
        }
        for service in &config.services {
            for pool in &service.pools {
                for (address, _) in &pool.upstreams {
                    let origin = shop_like(&pool.name).await;
                    text = replaced(&text, &address.to_string(), &origin.address.to_string());
                    origins.push((pool.name.to_string(), origin));
                }
            }
            for url in urls(&service.rollout.hooks) {
                text = replaced(&text, &url, &format!("http://{}/hook", hooks.address));
            }
        }
        text.push_str("\n[admin]\naddress = \"127.0.0.1:0\"\n");
        let edge = Edge::start_file(&text, false).await;
        until("all upstreams are proven", async || {
            let (_, pools) = edge.admin("GET", "/v1/services/shop/pools", "").await;
            let mut upstreams =
                pools.as_array().unwrap().iter().flat_map(|p| p["upstreams"].as_array().unwrap());
            upstreams.all(|upstream| upstream["state"] != "unproven")
        })
        .await;
        Example { edge, origins, hooks }
    }

    async fn start(&self, body: &str) -> Value {
        let (status, began) = self.edge.admin("POST", "/v1/services/shop/rollout", body).await;
        assert_eq!(status, 201, "{began}");
        began
    }

    async fn until_promoted(&self) -> Value {
        let rollout = async || self.edge.admin("GET", "/v1/services/shop/rollout", "").await.1;
        until("it is promoted", async || rollout().await["state"] == "promoted").await;
        rollout().await
    }

    /// What the origins of a pool were asked, by their request lines.
    fn asked(&self, pool: &str, line: &str) -> usize {
        let of_pool = self.origins.iter().filter(|(name, _)| name == pool);
        let received = of_pool.flat_map(|(_, origin)| origin.received());
        received.filter(|request| request.head.starts_with(line)).count()
    }
}

/// Every place where the file names this in quotes, and at least one.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let (from, to) = (format!("\"{from}\""), format!("\"{to}\""));
    assert!(text.contains(&from), "{from} is not in the file");
    text.replace(&from, &to)
}

fn urls(hooks: &Hooks) -> Vec<String> {
    let Hooks {
        before_start,
        expand,
        before_step,
        before_promote,
        after_promote,
        after_rollback,
        contract,
        deploy,
    } = hooks.clone();
    let all = [
        before_start,
        expand,
        before_step,
        before_promote,
        after_promote,
        after_rollback,
        contract,
        deploy,
    ];
    let url = |hook| match hook {
        Hook::Webhook { url, .. } => url,
        Hook::Command { run, .. } => panic!("no command can be run here: {run:?}"),
    };
    all.into_iter().flatten().map(url).collect()
}

/// A shop that is healthy, sells, and says which version it is.
async fn shop_like(name: &str) -> Origin {
    let name = name.to_string();
    Origin::with(move |request| match request.head.starts_with("POST /cart ") {
        true => Reply::head("201 Created", &[], &name),
        false => Reply::ok(&name),
    })
    .await
}

fn session(client: u32) -> String {
    format!("cookie: session=s{client}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_canary_of_the_example_is_promoted() {
    let example = Example::run(CANARY).await;
    let load = Load::crowd(example.edge.address, 400, 400, session).start();
    // The judge wants more than seconds of one per cent.
    let wishes =
        r#"{"to": "green", "hold": "1s", "min_requests": 1, "watch": "1s", "judge": false}"#;
    let began = example.start(wishes).await;
    assert_eq!(began["strategy"], "canary");
    let ended = example.until_promoted().await;
    assert_eq!(ended["steps"], json!([1.0, 5.0, 10.0, 25.0, 50.0, 100.0]));
    assert_eq!(ended["steps_taken"], 6);
    let records = load.stop().await;
    assert!(records.iter().all(|record| record.is_ok()));
    assert!(records.last().unwrap().is_from("green"));
}

#[tokio::test]
async fn the_blue_green_of_the_example_is_promoted_after_its_smoke_requests() {
    let example = Example::run(BLUE_GREEN).await;
    let tester = ["x-pointsman-pool: green"];
    assert_eq!(example.edge.get(&tester).await.body, "green", "testers look first");
    assert_eq!(example.edge.get(&[]).await.body, "blue");
    let began = example.start(r#"{"to": "green", "watch": "1s"}"#).await;
    assert_eq!(began["strategy"], "blue-green");
    example.until_promoted().await;
    assert_eq!(example.edge.get(&[]).await.body, "green");
    assert_eq!(
        (example.asked("blue", "POST /cart "), example.asked("green", "POST /cart ")),
        (0, 1)
    );
    // As the file says: next time it goes the other way.
    example.start(r#"{"to": "blue", "watch": "0s"}"#).await;
    example.until_promoted().await;
    assert_eq!(example.edge.get(&[]).await.body, "blue");
    assert_eq!(example.asked("blue", "POST /cart "), 1);
}

#[tokio::test]
async fn the_rolling_of_the_example_calls_its_hook_for_each_upstream() {
    let example = Example::run(ROLLING).await;
    let load = Load::gets(example.edge.address, 100).start();
    assert_eq!(example.start("{}").await["strategy"], "rolling");
    let ended = example.until_promoted().await;
    assert_eq!(ended["status"], "pool `web`: 3 renewed");
    assert!(load.stop().await.iter().all(|record| record.is_ok()));
    let told = example.hooks.received().into_iter().map(|request| {
        assert_eq!(fields(&request.head, "content-type"), ["application/json"]);
        let told: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&told["point"], &told["strategy"]), (&json!("deploy"), &json!("rolling")));
        told["upstream"].as_str().unwrap().to_string()
    });
    let upstreams = example.origins.iter().map(|(_, origin)| origin.address.to_string());
    assert_eq!(told.collect::<Vec<_>>(), upstreams.collect::<Vec<_>>());
}
