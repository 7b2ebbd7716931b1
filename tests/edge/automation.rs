//! Rules of the automation against real processes: those of `conf/automation.toml`, with real places and
//! short times in them and nothing else; and what is left of each when Pointsman is killed in the middle.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::client::get;
use crate::harness::deployer::Deployer;
use crate::harness::origin::Gate;
use crate::harness::process::Process;
use crate::harness::proxy::Proxy;
use crate::harness::running::free;
use crate::harness::{Client, Load, Origin, Reply, until};

const SHIPPED: &str = include_str!("../../conf/automation.toml");

/// A process with the shipped file.
struct Ruled {
    _folder: TempDir,
    listen: SocketAddr,
    admin: String,
    proxy: Option<Proxy>,
    /// Who is paged.
    pager: Origin,
}

/// The shipped file with each of these put in the place of another.
fn shipped(folder: &Path, listen: SocketAddr, admin: &str, edits: &[(&str, &str)]) -> String {
    let mut text = SHIPPED.to_string();
    let listen = listen.to_string();
    let always = [("0.0.0.0:8080", listen.as_str())];
    for (from, to) in always.iter().chain(edits) {
        assert!(text.contains(from), "{from} is not in the file");
        text = text.replace(from, to);
    }
    let state = folder.join("state").display().to_string();
    text = text.replace("[server]", &format!("[server]\nstate_dir = \"{state}\""));
    format!("{text}\n[admin]\naddress = \"{admin}\"\n")
}

/// Times that no test waits for.
const SHORT: [(&str, &str); 6] = [
    ("for = \"1m\"", "for = \"0s\""),
    ("for = \"30s\"", "for = \"0s\""),
    ("for = \"20s\"", "for = \"0s\""),
    ("for = \"10s\"", "for = \"0s\""),
    ("cooldown = \"2m\"", "cooldown = \"1s\""),
    ("cooldown = \"3m\"", "cooldown = \"1s\""),
];

impl Ruled {
    async fn run(edits: &[(&str, &str)]) -> Ruled {
        let (folder, listen, admin) = (TempDir::new().unwrap(), free(), free().to_string());
        let pager = Origin::always(Reply::ok("told")).await;
        let url = format!("http://{}/", pager.address);
        let mut all = vec![("https://alerts.example.com/pointsman", url.as_str())];
        all.extend(edits.iter().copied());
        let shortened =
            SHORT.iter().filter(|(from, _)| !all.iter().any(|(known, _)| known == from));
        let shortened: Vec<_> = shortened.copied().collect();
        all.extend(shortened);
        let text = shipped(folder.path(), listen, &admin, &all);
        let file = folder.path().join("p.toml");
        std::fs::write(&file, text).unwrap();
        let proxy = Some(Proxy::run(file.to_str().unwrap(), &admin).await);
        Ruled { _folder: folder, listen, admin, proxy, pager }
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// Kills it as a power cut would, and starts it again.
    async fn kill(&mut self) {
        self.proxy = Some(self.proxy.take().unwrap().kill().await);
    }

    async fn automation(&self) -> Value {
        self.proxy().json(&["automation"]).await
    }

    /// The acts of a rule, the newest first.
    async fn acts(&self, rule: &str) -> Vec<Value> {
        let told = self.automation().await;
        let acts = told["acts"].as_array().unwrap().iter();
        acts.filter(|act| act["rule"] == rule).cloned().collect()
    }

    async fn until_acts(&self, what: &str, rule: &str, holds: impl Fn(&[Value]) -> bool) {
        until(what, async || holds(&self.acts(rule).await)).await;
    }

    async fn upstreams(&self, pool: &str) -> Vec<String> {
        find(&self.proxy().json(&["status", "shop"]).await, pool)
    }

    /// What was told to the pager.
    fn pages(&self) -> Vec<Value> {
        let received = self.pager.received();
        received.iter().filter_map(|request| serde_json::from_slice(&request.body).ok()).collect()
    }

    fn is_paged(&self, what: &str) -> bool {
        self.pages().iter().any(|page| {
            page["severity"] == "critical" && page["what"].as_str().unwrap().contains(what)
        })
    }
}

/// The addresses of a pool, wherever in an answer it is.
fn find(value: &Value, pool: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            if fields.get("name").is_some_and(|name| name == pool)
                && let Some(Value::Array(upstreams)) = fields.get("upstreams")
            {
                let address = |upstream: &Value| upstream["address"].as_str().map(str::to_string);
                return upstreams.iter().filter_map(address).collect();
            }
            fields
                .values()
                .map(|value| find(value, pool))
                .find(|it| !it.is_empty())
                .unwrap_or_default()
        }
        Value::Array(list) => {
            list.iter().map(|value| find(value, pool)).find(|it| !it.is_empty()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// A command that is run by this script.
fn script(folder: &Path, lines: &str) -> String {
    let file = folder.join("script");
    std::fs::write(&file, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    file.display().to_string()
}

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// Places for the upstreams of the file: two of blue and one of green.
fn places(blue: [SocketAddr; 2], green: SocketAddr) -> [String; 3] {
    [blue[0], blue[1], green].map(|address| address.to_string())
}

fn at(places: &[String; 3]) -> [(&str, &str); 3] {
    ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]
        .into_iter()
        .zip(places.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[tokio::test]
async fn what_died_is_restarted() {
    let (one, two) = (Process::start("one").await, Process::start("two").await);
    let green = Origin::named("green").await;
    let places = places([one.address, two.address], green.address);
    let mut dies = one;
    let deployer = Deployer::of("again", std::slice::from_ref(&dies)).await;
    let run = deployer.script().display().to_string();
    let mut edits = at(&places).to_vec();
    edits.push(("/usr/local/bin/restart-upstream", &run));
    edits.push(("timeout = \"1m\"", "timeout = \"50s\""));
    let ruled = Ruled::run(&edits).await;
    dies.kill().await;
    ruled
        .until_acts("it is restarted", "restart", |acts| {
            acts.iter().any(|act| act["outcome"] == "done")
        })
        .await;
    assert!(deployer.calls().iter().all(|call| *call == dies.address.to_string()));
    until("it takes requests again", async || {
        get(ruled.listen, "shop.test", "/", &[]).await.body == "again"
    })
    .await;
    let acts = ruled.acts("restart").await;
    let done = acts.iter().find(|act| act["outcome"] == "done").unwrap();
    assert_eq!(done["place"], format!("shop/blue/{}", dies.address));
    assert!(done["said"].as_str().unwrap().contains("again is at"), "{done}");
}

#[tokio::test]
async fn what_does_not_come_back_is_restarted_three_times_and_then_somebody_is_paged() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (Process::start("one").await, Process::start("two").await);
    let green = Origin::named("green").await;
    let places = places([one.address, two.address], green.address);
    let (log, mut dies) = (folder.path().join("log"), one);
    let run = script(folder.path(), &format!("cat >> {0}; echo >> {0}", log.display()));
    let mut edits = at(&places).to_vec();
    edits.push(("/usr/local/bin/restart-upstream", &run));
    let ruled = Ruled::run(&edits).await;
    dies.kill().await;
    until("somebody is paged", async || ruled.is_paged("it has acted 3 times within 1h")).await;
    assert_eq!(lines(&log), 3);
    // What it is told comes on its input.
    let told = std::fs::read_to_string(&log).unwrap();
    let first: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["rule"], &first["upstream"], &first["action"]),
        (&"restart".into(), &dies.address.to_string().into(), &"act".into())
    );
    let metrics = get(ruled.admin.parse().unwrap(), "localhost", "/metrics", &[]).await;
    let counted =
        "pointsman_automation_acts_total{rule=\"restart\",action=\"command\",outcome=\"done\"} 3";
    assert!(metrics.body.contains(counted), "{}", metrics.body);
}

#[tokio::test]
async fn a_rollout_is_taken_back_when_users_get_errors() {
    let (blue, other) = (Origin::named("blue").await, Origin::named("blue").await);
    let green = Origin::with(|request| match request.head.starts_with("GET /healthz") {
        true => Reply::ok("well"),
        false => Reply::head("500 Internal Server Error", &[], "broken"),
    })
    .await;
    let places = places([blue.address, other.address], green.address);
    // Without a judge there is still a guard, which would be quicker.
    let mut edits = at(&places).to_vec();
    edits.push((
        "[services.shop.health]",
        "[services.shop.rollout.guard]\nerrors = \"99%\"\nrequests = 1000000\n\n[services.shop.health]",
    ));
    let ruled = Ruled::run(&edits).await;
    let start = [
        "rollout",
        "start",
        "shop",
        "--to",
        "green",
        "--steps",
        "50,100",
        "--hold",
        "1h",
        "--no-judge",
    ];
    let (code, said) = ruled.proxy().cli(&start).await;
    assert_eq!(code, 0, "{said}");
    let load = Load::gets(ruled.listen, 60).start();
    until("it is taken back", async || {
        let (_, told) = ruled.proxy().cli(&["rollout", "status", "shop"]).await;
        told.contains("\"aborted\"")
    })
    .await;
    load.stop().await;
    let acts = ruled.acts("roll-back").await;
    assert_eq!((acts.len(), &acts[0]["action"]), (1, &Value::from("abort-rollout")));
    let (_, history) = ruled.proxy().cli(&["history", "shop"]).await;
    assert!(history.contains("rule roll-back"), "{history}");
    let answer = get(ruled.listen, "shop.test", "/", &[]).await;
    assert_eq!(answer.body, "blue");
}

#[tokio::test]
async fn the_breaker_of_a_pool_that_fails_is_opened() {
    let broken = || {
        Origin::with(|request| match request.head.starts_with("GET /healthz") {
            true => Reply::ok("well"),
            false => Reply::head("500 Internal Server Error", &[], "broken"),
        })
    };
    let (one, two, green) = (broken().await, broken().await, Origin::named("green").await);
    let places = places([one.address, two.address], green.address);
    // Its own breakers and ejection would be quicker.
    let mut edits = at(&places).to_vec();
    edits.push((
        "limits = { upstream_in_flight = 50 }",
        "limits = { upstream_in_flight = 50 }\nbreaker = false\nejection = false",
    ));
    let ruled = Ruled::run(&edits).await;
    let load = Load::gets(ruled.listen, 60).start();
    ruled.until_acts("it is opened", "shut", |acts| !acts.is_empty()).await;
    until("nobody asks the pool", async || {
        let asked = one.asked() + two.asked();
        let answer = get(ruled.listen, "shop.test", "/", &[]).await;
        answer.status == 503 && one.asked() + two.asked() == asked
    })
    .await;
    load.stop().await;
    let acts = ruled.acts("shut").await;
    assert_eq!(
        (&acts[0]["action"], &acts[0]["place"], &acts[0]["outcome"]),
        (&Value::from("open-breaker"), &Value::from("shop/blue"), &Value::from("done"))
    );
}

#[tokio::test]
async fn a_pool_grows_by_what_the_scaler_answers_and_shrinks_when_it_is_quiet() {
    let gate = Gate::closed();
    let slow = |gate: Gate| {
        Origin::with(move |request| match request.head.starts_with("GET /healthz") {
            true => Reply::ok("well"),
            false => Reply::ok("slow").behind(&gate),
        })
    };
    let (one, two) = (slow(gate.clone()).await, slow(gate.clone()).await);
    let (green, new) = (Origin::named("green").await, Origin::named("new").await);
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (noted, answered) = (asked.clone(), new.address);
    let scaler = Origin::with(move |request| {
        let told: Value = serde_json::from_slice(&request.body).unwrap();
        noted.lock().unwrap().push(told);
        Reply::ok(&format!("{{\"upstreams\": [\"{answered}\"]}}"))
    })
    .await;
    let (places, url) = (
        places([one.address, two.address], green.address),
        format!("http://{}/shop", scaler.address),
    );
    let mut edits = at(&places).to_vec();
    edits.push(("https://scaler.example.com/shop", &url));
    edits.push(("upstream_in_flight = 50", "upstream_in_flight = 2"));
    edits.push(("quiet = \"15m\"", "quiet = \"4s\""));
    edits.push(("networks = [\"10.0.0.0/8\"]", "networks = [\"127.0.0.0/8\"]"));
    edits.push(("cooldown = \"3m\"", "cooldown = \"1h\""));
    let ruled = Ruled::run(&edits).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(ruled.listen).await;
        client.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        clients.push(client);
    }
    let has_new = async || ruled.upstreams("blue").await.contains(&new.address.to_string());
    until("the new one is in the pool", has_new).await;
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    until("the new one is out again", async || !has_new().await).await;
    until("the scaler is told to end it", async || asked.lock().unwrap().len() == 2).await;
    let asked = asked.lock().unwrap().clone();
    assert_eq!((&asked[0]["action"], &asked[1]["action"]), (&"add".into(), &"remove".into()));
    assert_eq!(asked[1]["upstreams"], serde_json::json!([new.address.to_string()]));
    let keys: Vec<Vec<String>> = scaler
        .received()
        .iter()
        .map(|it| it.fields("idempotency-key").iter().map(ToString::to_string).collect())
        .collect();
    assert_eq!(keys[0], [asked[0]["id"].as_str().unwrap()]);
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_command_that_is_killed_with_pointsman_is_not_run_again_and_somebody_is_told() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (Process::start("one").await, Process::start("two").await);
    let green = Origin::named("green").await;
    let places = places([one.address, two.address], green.address);
    let (log, mut dies) = (folder.path().join("log"), one);
    let run = script(folder.path(), &format!("echo begun >> {}; exec sleep 90", log.display()));
    let mut edits = at(&places).to_vec();
    edits.push(("/usr/local/bin/restart-upstream", &run));
    edits.push(("timeout = \"1m\"", "timeout = \"20m\""));
    edits.push(("cooldown = \"2m\"", "cooldown = \"1h\""));
    let mut ruled = Ruled::run(&edits).await;
    dies.kill().await;
    until("it is begun", async || lines(&log) == 1).await;
    ruled.kill().await;
    ruled
        .until_acts("nobody knows", "restart", |acts| {
            acts.iter().any(|act| act["outcome"] == "unknown")
        })
        .await;
    until("somebody is told", async || ruled.is_paged("nobody knows what has come of")).await;
    assert_eq!(lines(&log), 1, "it is run once");
    ruled.kill().await;
    let acts = ruled.acts("restart").await;
    let commands = acts.iter().filter(|act| act["action"] == "command").count();
    assert_eq!((commands, lines(&log)), (1, 1), "{acts:?}");
}

#[tokio::test]
async fn a_web_request_that_was_under_way_is_made_again_with_the_same_key() {
    let gate = Gate::closed();
    let held = gate.clone();
    let hook = Origin::with(move |_| Reply::ok("done").behind(&held)).await;
    let (one, two) = (Process::start("one").await, Process::start("two").await);
    let green = Origin::named("green").await;
    let places = places([one.address, two.address], green.address);
    let (mut dies, call) = (one, format!("then = {{ url = \"http://{}/\"", hook.address));
    let mut edits = at(&places).to_vec();
    edits.push(("then = { run = [\"/usr/local/bin/restart-upstream\"]", &call));
    edits.push(("cooldown = \"2m\"", "cooldown = \"1h\""));
    let mut ruled = Ruled::run(&edits).await;
    dies.kill().await;
    until("it is called", async || hook.asked() == 1).await;
    ruled.kill().await;
    until("it is called again", async || hook.asked() == 2).await;
    gate.open();
    ruled.until_acts("it is done", "restart", |acts| acts[0]["outcome"] == "done").await;
    let keys: Vec<String> =
        hook.received().iter().map(|it| it.fields("idempotency-key").concat()).collect();
    assert!(!keys[0].is_empty() && keys[0] == keys[1], "{keys:?}");
    assert_eq!(ruled.acts("restart").await.len(), 1);
}

#[tokio::test]
async fn a_stop_outlasts_the_process_and_a_person_is_obeyed() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (Process::start("one").await, Process::start("two").await);
    let green = Origin::named("green").await;
    let places = places([one.address, two.address], green.address);
    let (log, mut dies) = (folder.path().join("log"), one);
    let run = script(folder.path(), &format!("echo run >> {}", log.display()));
    let mut edits = at(&places).to_vec();
    edits.push(("/usr/local/bin/restart-upstream", &run));
    let mut ruled = Ruled::run(&edits).await;
    let told = ruled.proxy().json(&["automation", "stop", "--reason", "night"]).await;
    assert_eq!(told["stopped"]["reason"], "night");
    ruled.kill().await;
    assert_eq!(ruled.automation().await["rules"][0]["state"], "stopped");
    dies.kill().await;
    let place = format!("shop/blue/{}", dies.address);
    until("it is out", async || {
        let (_, told) = ruled.proxy().cli(&["status", "shop"]).await;
        told.contains("\"down\"") || told.contains("refus")
    })
    .await;
    // A person has it drained; then rules may act again, and leave it alone.
    let (code, said) = ruled
        .proxy()
        .cli(&["drain", "shop/blue", &dies.address.to_string(), "--reason", "mine"])
        .await;
    assert_eq!(code, 0, "{said}");
    ruled.proxy().json(&["automation", "start"]).await;
    ruled.kill().await;
    assert_eq!(lines(&log), 0, "{place}");
    let (code, said) =
        ruled.proxy().cli(&["drain", "shop/blue", &dies.address.to_string(), "--undo"]).await;
    assert_eq!(code, 0, "{said}");
    until("it is restarted", async || lines(&log) > 0).await;
}
