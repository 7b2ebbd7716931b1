//! Error budgets: what counts, what a burn keeps back, who may stand above it, and what outlives the
//! process.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pointsman::clock::WallTime;
use pointsman::files::Source;
use pointsman::judge::Counts;
use pointsman::server::{Options, Server, StartError};
use pointsman::slo::{Budget, DEFAULT_WINDOW, Goal, Kept, Objective};
use pointsman::state::Change;
use pointsman::store::{Store, StoreError};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::edge::{HEAD, shop};
use crate::harness::origin::Received;
use crate::harness::{Client, Edge, Load, Origin, Proxy, Reply, client, until};

/// Every failure reaches the client, and nothing is spared.
const PLAIN: &str = "breaker = false\nejection = false\nretries = { attempts = 0, shield = false }\n\
                     limits.throttle = false\n";

/// Not for this: the guard is too quick for a budget to have a say.
const NO_GUARD: &str = "rollout = { steps = [10, 50, 100], hold = \"1s\", min_requests = 1, \
                        guard.errors = 100 }\njudge.warm_up = \"0s\"\n";

async fn slo(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/slo", "").await.1
}

async fn start(edge: &Edge, body: Value) -> (u16, Value) {
    edge.admin("POST", "/v1/services/shop/rollout", &body.to_string()).await
}

async fn rollout(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/rollout", "").await.1
}

/// Exit code, output and errors.
async fn pointsman(admin: &str, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(args)
        .args(["--admin", admin])
        .env("USER", "ann")
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn counts(slo: &Value, objective: usize) -> (u64, u64) {
    let objective = &slo["objectives"][objective];
    (objective["requests"].as_u64().unwrap(), objective["bad"].as_u64().unwrap())
}

#[tokio::test]
async fn what_users_got_is_what_counts() {
    let origin = Origin::with(|request| match request.head.split(' ').nth(1) {
        Some("/gone") => Reply::head("410 Gone", &[], ""),
        Some("/broken") => Reply::head("500 Oh", &[], ""),
        Some("/close") => Reply::Close,
        Some("/slow") => Reply::ok("slow").late(1_200),
        Some("/never") => Reply::Nothing,
        _ => Reply::ok("fine"),
    })
    .await;
    let service = format!("{PLAIN}slo.latency = {{ p99 = \"1s\" }}\n");
    let edge = Edge::before(&[("blue", &origin)], &service).await;
    let get = async |path: &str| client::get(edge.address, "shop.test", path, &[]).await.status;
    for (path, status) in
        [("/", 200), ("/gone", 410), ("/broken", 500), ("/close", 502), ("/slow", 200)]
    {
        assert_eq!(get(path).await, status, "{path}");
    }
    // Who leaves says nothing.
    let mut client = Client::connect(edge.address).await;
    client.send("GET /never HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    // Not counted: a kept connection that dies under `/close` is opened again, or is not.
    let is_never = |asked: &Received| asked.head.starts_with("GET /never ");
    until("it was asked", async || origin.received().iter().any(is_never)).await;
    drop(client);
    // Nor does what is refused on purpose.
    edge.admin("PUT", "/v1/services/shop/mode", r#"{"mode": "maintenance"}"#).await;
    assert_eq!(get("/").await, 503);
    edge.admin("PUT", "/v1/services/shop/mode", r#"{"mode": "serve"}"#).await;
    assert_eq!(get("/").await, 200);
    until("all are counted", async || counts(&slo(&edge).await, 0) == (6, 2)).await;
    let slo = slo(&edge).await;
    assert_eq!(counts(&slo, 1), (4, 1));
    assert_eq!((&slo["state"], &slo["objectives"][0]["warming"]), (&"open".into(), &true.into()));
    let objective = &slo["objectives"][1];
    assert_eq!((&objective["name"], &objective["target"]), (&"p99".into(), &99.0.into()));
    assert_eq!(objective["at_most_seconds"], 1.0);
    // 2 of 6 is 333 times what may fail, and far too few to say so.
    assert_eq!(slo["objectives"][0]["burn"]["1h"], 0.0);
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let availability = "service=\"shop\",objective=\"availability\"";
    for line in [
        format!("pointsman_slo_requests_total{{{availability}}} 6\n"),
        format!("pointsman_slo_bad_total{{{availability}}} 2\n"),
        "pointsman_slo_bad_total{service=\"shop\",objective=\"p99\"} 1\n".to_string(),
        format!("pointsman_slo_burn_rate{{{availability},window=\"6h\"}} 0\n"),
        "pointsman_slo_state{service=\"shop\"} 0\n".to_string(),
    ] {
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn a_stream_is_as_fast_as_its_head_and_a_grpc_call_as_good_as_its_status() {
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n";
    let origin = Origin::with(|request| match request.head.split(' ').nth(1) {
        Some("/events") => Reply::Bytes(events.into()),
        Some("/late") => Reply::Late(events.into(), 1_200),
        Some("/call") => {
            Reply::head("200 OK", &["content-type: application/grpc", "grpc-status: 14"], "")
        }
        _ => Reply::ok("fine"),
    })
    .await;
    let service = format!("{PLAIN}slo.latency = {{ p99 = \"1s\" }}\n");
    let edge = Edge::before(&[("blue", &origin)], &service).await;
    for path in ["/events", "/late"] {
        let mut client = Client::connect(edge.address).await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\n\r\n")).await;
        client.bytes(events.len() / 2).await;
        if path == "/events" {
            // It listens for longer than an answer may take, and leaves as clients of streams do.
            tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        }
    }
    assert_eq!(client::get(edge.address, "shop.test", "/call", &[]).await.status, 200);
    until("all are counted", async || counts(&slo(&edge).await, 0).0 == 3).await;
    let slo = slo(&edge).await;
    assert_eq!((counts(&slo, 0), counts(&slo, 1)), ((3, 1), (2, 1)));
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/blue", "").await;
    assert_eq!(pool["upstreams"][0]["errors"], 1, "the call failed: {pool}");
}

#[tokio::test]
async fn a_burning_budget_refuses_rollouts_says_why_and_bows_to_a_reason() {
    let origin = Origin::tireless(Reply::head("500 Oh", &[], "no")).await;
    let green = Origin::fast("green").await;
    let service = format!("{PLAIN}{NO_GUARD}slo = {{}}\n");
    let edge = Edge::before(&[("blue", &origin), ("green", &green)], &service).await;
    let admin = edge.admin.to_string();
    let load = Load::gets(edge.address, 200).start();
    until("the budget burns", async || slo(&edge).await["state"] == "hold").await;
    let (status, refused) = start(&edge, json!({"to": "green"})).await;
    assert_eq!((status, &refused["type"]), (409, &"frozen".into()));
    let detail = refused["detail"].as_str().unwrap();
    for part in [
        "no rollout of `shop` starts: the error budget of availability burns 1000× (",
        " of it is spent; if this one mends it: the same with `--override-freeze --reason TEXT`",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
    let (code, _, said) = pointsman(&admin, &["rollout", "start", "shop", "--to", "green"]).await;
    assert!(
        code == 5 && said.contains("burns 1000×") && said.contains("--override-freeze"),
        "{said}"
    );
    let (code, _, said) =
        pointsman(&admin, &["rollout", "start", "shop", "--override-freeze"]).await;
    assert!(code == 2 && said.contains("--reason"), "{said}");
    let (status, refused) = start(&edge, json!({"override_freeze": true})).await;
    assert_eq!((status, &refused["type"]), (422, &"no-reason".into()));
    let (_, picture, _) = pointsman(&admin, &["status"]).await;
    assert!(picture.contains("shop: rollouts are held: the error budget"), "{picture}");
    let (_, table, _) = pointsman(&admin, &["slo"]).await;
    assert!(table.contains("availability") && table.contains("1000×"), "{table}");
    assert!(table.contains("hold, warming"), "{table}");
    // What sends traffic elsewhere was never refused, and may be all that helps.
    let shift = r#"{"weights": {"blue": 90, "green": 10}}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/split", shift).await.0, 200);
    assert_eq!(edge.admin("POST", "/v1/services/shop/rollback", "{}").await.0, 200);
    let args = ["rollout", "start", "shop", "--to", "green", "--override-freeze"];
    let (code, said, _) = pointsman(&admin, &[&args[..], &["--reason", "mends it"]].concat()).await;
    assert_eq!(code, 0, "{said}");
    until("it goes on all the same", async || rollout(&edge).await["share"] == 50.0).await;
    assert_eq!(slo(&edge).await["state"], "hold");
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    let event = |severity: &str, what: &str| {
        let fits = |event: &&Value| {
            let begins = event["what"].as_str().unwrap().starts_with(what);
            event["kind"] == "slo" && event["severity"] == severity && begins
        };
        events.as_array().unwrap().iter().find(fits).cloned().unwrap_or_default()
    };
    assert_eq!(event("high", "rollouts are held")["service"], "shop");
    let audit = event("medium", "rollout 1 starts all the same: the error budget");
    assert_eq!((&audit["author"], &audit["reason"]), (&"cli:ann".into(), &"mends it".into()));
    let (_, store) = edge.admin("GET", "/v1/store", "").await;
    let standing = &store["tables"]["overrides"]["lifted shop 1"];
    assert_eq!((&standing["author"], &standing["reason"]), (&"cli:ann".into(), &"mends it".into()));
    assert_eq!(
        standing["until"].as_u64().unwrap() - standing["at"].as_u64().unwrap(),
        24 * 3_600_000
    );
    load.stop().await;
}

#[tokio::test]
async fn a_rollout_under_way_is_held_by_a_burn_that_is_not_its_own_and_can_go_back() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let is_broken = Arc::new(AtomicBool::new(false));
    let origin = async |name: &'static str| {
        let is_broken = is_broken.clone();
        Origin::with(move |_| match is_broken.load(Ordering::Relaxed) {
            true => Reply::head("500 Oh", &[], "no"),
            false => Reply::ok(name),
        })
        .await
    };
    let (blue, green) = (origin("blue").await, origin("green").await);
    let rollout_of = "rollout = { steps = [20, 100], hold = \"1h\", min_requests = 1, \
                      guard.errors = 100 }\n";
    let service = format!("{PLAIN}{rollout_of}slo = {{}}\n");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let admin = edge.admin.to_string();
    assert_eq!(start(&edge, json!({})).await.0, 201);
    let load = Load::gets(edge.address, 200).start();
    until("both are asked", async || green.received().len() > 20).await;
    is_broken.store(true, Ordering::Relaxed);
    let held = async || rollout(&edge).await["status"].as_str().unwrap().to_string();
    until("it is held", async || held().await.starts_with("held: the error budget of")).await;
    assert_eq!(rollout(&edge).await["state"], "running");
    let (code, _, said) = pointsman(&admin, &["rollout", "step", "shop"]).await;
    assert!(code == 5 && said.contains("is held: the error budget"), "{said}");
    let lift = ["freeze", "shop", "--lift"];
    let (code, _, said) = pointsman(&admin, &lift).await;
    assert!(code == 5 && said.contains("--lift --override --reason"), "{said}");
    let lift = [&lift[..], &["--override", "--for", "25h", "--reason", "the database"]].concat();
    let (code, _, said) = pointsman(&admin, &lift).await;
    assert!(code == 2 && said.contains("at most 24h"), "{said}");
    let lift = ["freeze", "shop", "--lift", "--override", "--reason", "the database"];
    assert_eq!(pointsman(&admin, &lift).await.0, 0);
    until("it goes on", async || held().await.starts_with("holds 20 %")).await;
    let (_, table, _) = pointsman(&admin, &["slo", "shop"]).await;
    assert!(table.contains("shop: not heeded until") && table.contains("the database"), "{table}");
    let (status, aborted) = edge.admin("POST", "/v1/services/shop/rollout/abort", "{}").await;
    assert_eq!((status, &aborted["state"]), (200, &"aborted".into()));
    load.stop().await;
}

#[tokio::test]
async fn a_canary_that_burns_the_budget_goes_back_without_a_guard() {
    let (blue, broken) = (Origin::fast("blue").await, Reply::head("500 Oh", &[], "no"));
    let green = Origin::tireless(broken).await;
    let service = format!("{PLAIN}{NO_GUARD}slo = {{}}\n");
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], &service).await;
    let load = Load::gets(edge.address, 200).start();
    start(&edge, json!({"to": "green", "hold": "1h"})).await;
    until("it is taken back", async || rollout(&edge).await["state"] == "rolled-back").await;
    load.stop().await;
    let why = rollout(&edge).await["status"].as_str().unwrap().to_string();
    assert!(why.contains("are the target's, and the error budget burns"), "{why}");
    let (_, split) = edge.admin("GET", "/v1/services/shop/split", "").await;
    assert_eq!(split["weights"], json!({"blue": 100.0}));
}

#[tokio::test]
async fn somebody_freezes_and_lifts() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    let admin = edge.admin.to_string();
    let (_, said, _) = pointsman(&admin, &["slo"]).await;
    assert!(said.starts_with("nothing is promised"), "{said}");
    assert_eq!(pointsman(&admin, &["freeze", "shop"]).await.0, 2);
    let freeze = ["freeze", "shop", "--reason", "black friday", "--for", "2h"];
    let (code, said, _) = pointsman(&admin, &freeze).await;
    assert!(code == 0 && said.contains("are frozen until 20"), "{said}");
    let (code, _, said) = pointsman(&admin, &["rollout", "start", "shop"]).await;
    assert!(code == 5 && said.contains("cli:ann froze them: black friday"), "{said}");
    let (_, picture, _) = pointsman(&admin, &["status"]).await;
    assert!(picture.contains("shop: rollouts are frozen: cli:ann froze them"), "{picture}");
    let (_, json) = edge.admin("GET", "/v1/services/shop/slo", "").await;
    assert_eq!((&json["state"], &json["objectives"]), (&"frozen".into(), &json!([])));
    let (at, until) = (&json["freeze"]["at"], &json["freeze"]["until"]);
    assert_eq!(until.as_f64().unwrap() - at.as_f64().unwrap(), 7_200.0);
    // The second word takes the place of the first.
    let (status, json) =
        edge.admin("PUT", "/v1/services/shop/freeze", r#"{"reason": "longer"}"#).await;
    assert_eq!((status, &json["freeze"]["author"]), (200, &"api".into()));
    assert_eq!(json["freeze"]["until"], Value::Null);
    let (status, refused) = edge.admin("PUT", "/v1/services/shop/freeze", "{}").await;
    assert_eq!((status, &refused["type"]), (422, &"no-reason".into()));
    assert_eq!(edge.admin("PUT", "/v1/services/shp/freeze", r#"{"reason": "x"}"#).await.0, 404);
    assert_eq!(pointsman(&admin, &["freeze", "shop", "--lift"]).await.0, 0);
    let (code, _, said) = pointsman(&admin, &["freeze", "shop", "--lift"]).await;
    assert!(code == 5 && said.contains("are not frozen by anybody"), "{said}");
    assert_eq!(pointsman(&admin, &["rollout", "start", "shop"]).await.0, 0);
}

/// A store that remembers a month in which nothing failed until yesterday, and then a tenth did.
fn spent(path: &Path) {
    let objective = Objective::Availability(Goal::THREE_NINES);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (end, begin) = (since.as_secs(), since.as_secs() - 31 * 24 * 3_600);
    let at = |second: u64| WallTime::from_millis(second * 1_000);
    let mut budget = Budget::begin(objective, DEFAULT_WINDOW, Kept::default(), true, at(begin));
    let mut counts = Counts::default();
    for second in (begin..end).step_by(10) {
        counts.total += 100;
        // Seven hours ago and for one: none of the fast rates looks back so far.
        let is_bad = (end - 8 * 3_600..end - 7 * 3_600).contains(&second);
        counts.bad += if is_bad { 90 } else { 0 };
        budget.look(counts, at(second));
    }
    let store = Store::open(path).unwrap();
    let of: Arc<str> = "shop/availability".into();
    let mut changes = vec![Change::Alarms { of: of.clone(), alarms: budget.alarms().clone() }];
    let blocks = budget.rings().unsaved().into_iter();
    changes.extend(blocks.map(|block| Change::Block { of: of.clone(), block }));
    store.commit(&changes, &[]).unwrap();
}

#[tokio::test]
async fn a_budget_that_is_spent_freezes_whoever_starts_and_nobody_who_goes_back() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let folder = tempfile::TempDir::new().unwrap();
    spent(&folder.path().join("store.redb"));
    let state = format!("[server]\nstate_dir = {:?}\n", folder.path());
    let text = HEAD.replace("[server]\n", &state)
        + &shop(&[("blue", &blue), ("green", &green)], &format!("{NO_GUARD}slo = {{}}\n"));
    let edge = Edge::start_file(&text, false).await;
    until("it is looked at", async || slo(&edge).await["state"] == "frozen").await;
    let slo = slo(&edge).await;
    let objective = &slo["objectives"][0];
    assert_eq!(objective["warming"], false);
    let remaining = objective["remaining"].as_f64().unwrap();
    assert!((-30.0..-20.0).contains(&remaining), "360 of 25,920 × 100 requests: {remaining}");
    let (status, refused) = start(&edge, json!({})).await;
    let detail = refused["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains("of availability is spent: 12"), "{detail}");
    let shift = r#"{"weights": {"green": 100}}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/split", shift).await.0, 200);
    assert_eq!(edge.admin("POST", "/v1/services/shop/rollback", "{}").await.0, 200);
    assert_eq!(edge.get(&[]).await.body, "blue");
    let (status, _) = start(&edge, json!({"override_freeze": true, "reason": "the mend"})).await;
    assert_eq!(status, 201);
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_slo_state{service=\"shop\"} 3\n"));
    assert!(metrics.contains(
        "pointsman_slo_budget_remaining_ratio{service=\"shop\",objective=\"availability\"} -0.2"
    ));
}

/// A server, once the one before it has let go of the store.
async fn started(options: &Options) -> Server {
    let server = std::cell::RefCell::new(None);
    until("the store is free", async || match Server::start(options.clone()).await {
        Ok(started) => server.replace(Some(started)).is_none(),
        Err(StartError::Store(StoreError::InUse { .. })) => false,
        Err(error) => panic!("{error}"),
    })
    .await;
    server.take().unwrap()
}

#[tokio::test]
async fn an_orderly_end_loses_no_count() {
    let origin = Origin::named("blue").await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, format!("{HEAD}{}", shop(&[("blue", &origin)], "slo = {}\n"))).unwrap();
    let options = Options {
        source: Source::file(file, Default::default()),
        admin: None,
        watches_file: false,
    };
    for round in 1..=3u64 {
        let server = started(&options).await;
        let shop = || server.published().load().service("shop").unwrap().state.standing();
        assert_eq!(shop().objectives[0].reading.seen.total, 7 * (round - 1));
        let address = server.address().unwrap();
        for _ in 0..7 {
            assert_eq!(client::get(address, "shop.test", "/", &[]).await.status, 200);
        }
        until("they are counted", async || shop().objectives[0].reading.seen.total == 7 * round)
            .await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_kill_loses_neither_the_budget_nor_its_state() {
    let origin = Origin::tireless(Reply::head("500 Oh", &[], "no")).await;
    let green = Origin::named("green").await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    let free = crate::harness::running::free;
    let (address, admin) = (free(), free().to_string());
    let text = format!(
        "[[listeners]]\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n{}",
        shop(&[("blue", &origin), ("green", &green)], &format!("{PLAIN}slo = {{}}\n"))
    );
    std::fs::write(&file, text).unwrap();
    let proxy = Proxy::run(file.to_str().unwrap(), &admin).await;
    let load = Load::gets(address, 200).start();
    let slo = async |proxy: &Proxy| proxy.json(&["slo", "shop"]).await[0].clone();
    until("the budget burns", async || slo(&proxy).await["state"] == "hold").await;
    load.stop().await;
    let (total, bad) = counts(&slo(&proxy).await, 0);
    let proxy = proxy.kill().await;
    let after = slo(&proxy).await;
    let (kept, kept_bad) = counts(&after, 0);
    // Its state was stored with the counts that made it so.
    assert_eq!((&after["state"], kept_bad), (&"hold".into(), kept), "{after}");
    assert!((1..=total).contains(&kept) && total == bad, "{kept} of {total}");
    let (code, said) = proxy.cli(&["rollout", "start", "shop", "--to", "green"]).await;
    assert!(code == 5 && said.contains("the error budget of availability"), "{said}");
}
