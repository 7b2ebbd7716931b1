//! Deploys as pipelines make them: the command, real processes and what users see meanwhile.

use std::cell::Cell;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::cli::{Ran, pointsman};
use crate::harness::client::{self, Client};
use crate::harness::edge::HEAD;
use crate::harness::origin::Gate;
use crate::harness::running::{file, free};
use crate::harness::{Edge, Load, Origin, Proxy, Reply, until};
use crate::sites::{block, with};

/// Switches at once when it is well, and has nothing to wait for afterwards.
const QUICK: &str = "[services.shop.judge]\nenabled = false\n[services.shop.rollout]\n\
                     strategy = \"blue-green\"\nwatch = \"0s\"\ndrain = \"1s\"\nready_within = \"10s\"\n";

const SOCKET: &str = "GET /socket HTTP/1.1\r\nhost: shop.test\r\nupgrade: websocket\r\n\
                      connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n";

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";

/// A version: it answers with its name, echoes on sockets, and takes uploads.
async fn version(name: &str) -> Origin {
    let name = name.to_string();
    Origin::with(move |request| match request.head.split(' ').nth(1) {
        Some("/socket") => Reply::Echo(SWITCH.into()),
        Some("/upload") => Reply::ok(&format!("{name} has it")),
        _ => Reply::ok(&name),
    })
    .await
}

/// A service whose second pool is yet to come.
fn shop(blue: &Origin, service: &str) -> String {
    format!(
        "[services.shop]\nsplit = {{ blue = 100, green = 0 }}\n{service}\
         [services.shop.pools]\nblue.upstreams = [\"{}\"]\ngreen.upstreams = []\n",
        blue.address
    )
}

async fn deploy(edge: &Edge, args: &[&str]) -> Ran {
    let admin = edge.admin.to_string();
    pointsman(&[&["deploy", "shop", "--admin", &admin], args].concat()).await
}

async fn pool(edge: &Edge, name: &str) -> (Vec<String>, Value) {
    let (_, pool) = edge.admin("GET", &format!("/v1/services/shop/pools/{name}"), "").await;
    let addresses = pool["upstreams"].as_array().unwrap().iter();
    let addresses = addresses.map(|one| one["address"].as_str().unwrap().to_string()).collect();
    (addresses, pool["tag"].clone())
}

async fn weights(edge: &Edge) -> Value {
    edge.admin("GET", "/v1/services/shop/split", "").await.1["weights"].clone()
}

/// A socket to whatever version is in force.
async fn socket(edge: &Edge) -> Client {
    let mut client = edge.client().await;
    client.send(SOCKET).await;
    assert_eq!(client.response().await.status, 101);
    client
}

/// An upload that goes on, a byte after the other, until it is told to end; what it is answered.
fn upload(mut client: Client) -> (tokio::task::JoinHandle<String>, oneshot::Sender<()>) {
    let (done, mut told) = oneshot::channel();
    let goes_on = tokio::spawn(async move {
        let head = "POST /upload HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n";
        client.send(head).await;
        while told.try_recv().is_err() {
            client.send("1\r\nx\r\n").await;
            sleep(Duration::from_millis(50)).await;
        }
        client.send("0\r\n\r\n").await;
        client.response().await.body
    });
    (goes_on, done)
}

async fn echoes(client: &mut Client, word: &str) {
    client.send(word).await;
    assert_eq!(client.bytes(word.len()).await, word.as_bytes());
}

/// The site of docs/sites.md that has a port for each version, with the places of this machine in it.
#[tokio::test]
async fn five_versions_in_a_row_lose_no_request_no_socket_and_no_upload() {
    let first = version("v0").await;
    let file = with(
        &block("blue.upstreams = [\"127.0.0.1:9001\"]"),
        &[
            ("0.0.0.0:8080", "127.0.0.1:0"),
            ("127.0.0.1:9900", "127.0.0.1:0"),
            ("127.0.0.1:9001", &first.address.to_string()),
        ],
    );
    let edge = Edge::start_file(&file, false).await;
    let command = block("--to 127.0.0.1:9002");
    let load = Load::gets(edge.address, 200).start();
    let (mut versions, mut sockets) = (vec![first], Vec::new());
    for n in 1..=5 {
        let (old, new) = (format!("v{}", n - 1), format!("v{n}"));
        versions.push(version(&new).await);
        let at = versions[n].address.to_string();
        sockets.push(socket(&edge).await);
        let (upload, done) = upload(edge.client().await);
        // It has begun where it will end: beside the socket, and longer than any other request takes.
        let serves = versions[n - 1].address.to_string();
        let looks = Cell::new(0);
        until("the upload is under way", async || {
            let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
            let pools = service["pools"].as_array().unwrap().iter();
            let mut all = pools.flat_map(|pool| pool["upstreams"].as_array().unwrap());
            let serving = all.find(|one| one["address"] == *serves).unwrap();
            let is_there = serving["in_flight"].as_u64().unwrap() >= 2;
            looks.set(if is_there { looks.get() + 1 } else { 0 });
            looks.get() == 20
        })
        .await;

        let command = with(&command, &[("127.0.0.1:9002", &at), ("v2", &new)]);
        let (admin, words) = (edge.admin.to_string(), command.split_whitespace().skip(1));
        let ran = pointsman(&[&words.collect::<Vec<_>>()[..], &["--admin", &admin]].concat()).await;
        assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
        let pool = if n % 2 == 1 { "green" } else { "blue" };
        let begun = format!("{new} at {at} is deployed to pool {pool} of shop");
        assert!(ran.out.starts_with(&begun), "{}", ran.out);
        let promoted = format!("{pool} ({new}) at 100 %");
        assert!(ran.out.contains(&promoted), "{promoted}\n{}", ran.out);
        assert_eq!(edge.get(&[]).await.body, new);

        done.send(()).unwrap();
        assert_eq!(upload.await.unwrap(), format!("{old} has it"));
        for socket in &mut sockets {
            echoes(socket, &new).await;
        }
    }
    load.until_more(50).await;
    let records = load.stop().await;
    let failed = records.iter().filter(|record| !record.is_ok()).count();
    assert_eq!(failed, 0, "of {}", records.len());
    for n in 0..=5 {
        assert!(records.iter().any(|record| record.is_from(&format!("v{n}"))), "v{n} was asked");
    }
}

#[tokio::test]
async fn a_version_that_nobody_runs_gives_the_pool_back() {
    let blue = version("v1").await;
    let edge = Edge::start(&shop(&blue, QUICK)).await;
    let (dead, other) = (free().to_string(), version("v2").await);
    let both = format!("{},{dead}", other.address);
    let ran = deploy(&edge, &["--to", &both, "--tag", "v2", "--wait"]).await;
    assert_eq!(ran.code, 3, "{}\n{}", ran.out, ran.err);
    let waits = format!("(not yet: {dead})\n");
    assert!(ran.out.contains(&waits), "it says for whom it waits: {}", ran.out);
    let why = format!("`{dead}` of pool `green` did not prove well within 10s");
    assert!(ran.out.contains(&why), "{}", ran.out);
    assert_eq!(pool(&edge, "green").await, (Vec::new(), Value::Null));
    assert_eq!(weights(&edge).await, json!({"blue": 100.0}));
    // And one that had a version before gets that back.
    let at = other.address.to_string();
    assert_eq!(deploy(&edge, &["--to", &at, "--tag", "v2", "--wait"]).await.code, 0);
    let ran = deploy(&edge, &["--to", &dead, "--tag", "v3", "--wait"]).await;
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(pool(&edge, "blue").await, (vec![blue.address.to_string()], Value::Null));
    assert_eq!(
        (pool(&edge, "green").await, edge.get(&[]).await.body),
        ((vec![at], json!("v2")), "v2".into())
    );
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    let back = "rollout 3: pool `blue` has its upstreams back";
    assert!(events.as_array().unwrap().iter().any(|event| event["what"] == back), "{events}");
}

#[tokio::test]
async fn a_version_proves_well_by_its_health_check_and_then_answers_smoke_requests() {
    let blue = version("v1").await;
    let probed = format!(
        "health = {{ http = {{ path = \"/healthz\" }}, interval = \"100ms\" }}\n{QUICK}\
         smoke = [{{ path = \"/smoke\", contains = \"fine\" }}]\n"
    );
    let edge = Edge::start(&shop(&blue, &probed)).await;
    // It accepts connections, and is not well.
    let ill = Origin::with(|request| match request.head.contains("/healthz") {
        true => Reply::head("503 No", &[], "starting"),
        false => Reply::ok("fine"),
    })
    .await;
    let at = ill.address.to_string();
    let ran = deploy(&edge, &["--to", &at, "--wait"]).await;
    assert_eq!(ran.code, 3, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("did not prove well"), "{}", ran.out);
    assert!(ill.received().iter().all(|request| request.head.contains("/healthz")));
    // It is well, and does not do what it is for; also where all traffic would go there at once.
    let rude = version("rude").await;
    let at = rude.address.to_string();
    let ran = deploy(&edge, &["--to", &at, "--strategy", "all-at-once", "--wait"]).await;
    assert_eq!(ran.code, 3, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("smoke requests failed"), "{}", ran.out);
    assert!(rude.received().iter().all(|request| !request.head.starts_with("GET / ")));
    assert_eq!(pool(&edge, "green").await, (Vec::new(), Value::Null));
    let good = Origin::always(Reply::ok("fine")).await;
    let at = good.address.to_string();
    assert_eq!(deploy(&edge, &["--to", &at, "--wait"]).await.code, 0);
    assert_eq!(edge.get(&[]).await.body, "fine");
}

#[tokio::test]
async fn a_version_may_be_at_a_name() {
    let (blue, green) = (version("v1").await, version("v2").await);
    let edge = Edge::start(&shop(&blue, QUICK)).await;
    let at = format!("localhost:{}", green.address.port());
    let ran = deploy(&edge, &["--to", &at, "--tag", "v2", "--wait"]).await;
    assert_eq!((ran.code, edge.get(&[]).await.body), (0, "v2".into()), "{}\n{}", ran.out, ran.err);
    let again = deploy(&edge, &["--to", &at, "--tag", "v2"]).await;
    assert!(again.out.contains("is already there"), "{}", again.out);
    // Nobody has a name that resolves to nothing.
    let ran = deploy(&edge, &["--to", "nobody.invalid:80", "--wait"]).await;
    assert_eq!(ran.code, 3, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("`nobody.invalid:80` of pool `blue`"), "{}", ran.out);
}

#[tokio::test]
async fn exit_codes_say_what_came_of_it() {
    let blue = version("v1").await;
    let edge = Edge::start(&shop(&blue, &QUICK.replace("10s", "1m"))).await;
    let (dead, green) = (free().to_string(), version("v2").await);
    let at = green.address.to_string();
    let code = async |args: &[&str]| {
        let ran = deploy(&edge, args).await;
        (ran.code, ran.err)
    };
    // Usage.
    for wrong in ["nowhere", "127.0.0.1:99999", "a b:80"] {
        assert_eq!(code(&["--to", wrong]).await.0, 2, "{wrong}");
    }
    assert_eq!(code(&["--to", &at, "--tag", "two words"]).await.0, 2);
    assert_eq!(code(&["--to", &at, "--strategy", "rolling"]).await.0, 2);
    assert_eq!(code(&["--to", &at, "--override-freeze"]).await.0, 2);
    assert_eq!(code(&["--to", &format!("{at},{at}")]).await.0, 2);
    assert_eq!(code(&[]).await.0, 2);
    let gone = ["deploy", "shop", "--to", &at, "--admin", &free().to_string()];
    assert_eq!(pointsman(&gone).await.code, 69);
    // Refused: a race, a freeze, a pool with traffic, an address with traffic.
    assert_eq!(code(&["--to", &at, "--if-revision", "7"]).await.0, 5);
    let (five, why) = code(&["--to", &at, "--pool", "blue"]).await;
    assert!(five == 5 && why.contains("pool `blue` has all traffic already"), "{why}");
    let (five, why) = code(&["--to", &blue.address.to_string(), "--tag", "v9"]).await;
    assert!(five == 5 && why.contains("is in pool `blue`, which gets traffic"), "{why}");
    let admin = edge.admin.to_string();
    let run = async |args: &[&str]| pointsman(&[args, &["--admin", &admin]].concat()).await;
    assert_eq!(run(&["freeze", "shop", "--reason", "fair"]).await.code, 0);
    assert_eq!(code(&["--to", &at]).await.0, 5);
    assert_eq!(run(&["freeze", "shop", "--lift", "--reason", "over"]).await.code, 0);
    assert_eq!(pool(&edge, "green").await.0, [""; 0], "nothing has changed");
    // It runs, and a second one is refused and named.
    let ran = deploy(&edge, &["--to", &dead, "--tag", "v2"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("waits for pool `green` to be healthy"), "{}", ran.out);
    let (five, why) = code(&["--to", &at, "--tag", "v3"]).await;
    assert!(five == 5 && why.contains("v2 is being deployed to `green`"), "{why}");
    assert!(why.contains("rollout 1") && why.contains("pointsman rollout abort shop"), "{why}");
    assert_eq!(run(&["rollout", "abort", "shop"]).await.code, 0);
    assert_eq!(pool(&edge, "green").await.0, [""; 0], "it has them back");
    // Paused.
    let none = ["--strategy", "canary", "--steps", "10,100", "--hold", "1h", "--wait"];
    let admin_of = admin.clone();
    let waits = tokio::spawn(async move {
        let args =
            [&["deploy", "shop", "--to", &at, "--tag", "v2", "--admin", &admin_of], &none[..]];
        pointsman(&args.concat()).await
    });
    until("it has its first share", async || weights(&edge).await["green"] == 10.0).await;
    assert_eq!(run(&["rollout", "pause", "shop"]).await.code, 0);
    let ran = waits.await.unwrap();
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(run(&["rollout", "resume", "shop"]).await.code, 0);
    assert_eq!(run(&["rollout", "promote", "shop"]).await.code, 0);
    until("it has ended", async || {
        edge.admin("GET", "/v1/services/shop/rollout", "").await.1["state"] == "promoted"
    })
    .await;
    // There already.
    let at = green.address.to_string();
    let ran = deploy(&edge, &["--to", &at, "--tag", "v2", "--wait"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let there = format!("v2 at {at} is already there: pool green of shop has all traffic");
    assert!(ran.out.starts_with(&there), "{}", ran.out);
    let ran = deploy(&edge, &["--to", &at, "--tag", "v2", "--json"]).await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&said["unchanged"], &said["pool"], &said["rollout"]),
        (&json!(true), &json!("green"), &Value::Null)
    );
}

#[tokio::test]
async fn the_tag_is_shown_wherever_the_pool_is() {
    let (blue, green) = (version("v1").await, version("v2").await);
    let edge = Edge::start(&shop(&blue, QUICK)).await;
    let at = green.address.to_string();
    let (admin, reason) = (edge.admin.to_string(), "release 42");
    let args = ["--to", &at, "--tag", "v42", "--reason", reason, "--wait", "--json"];
    let ran = deploy(&edge, &args).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let last: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["deploys"], json!({"tag": "v42", "upstreams": [at]}));
    let run = async |args: &[&str]| pointsman(&[args, &["--admin", &admin]].concat()).await.out;
    let status = run(&["status"]).await;
    assert!(status.contains("TAG") && status.contains("v42"), "{status}");
    let history = run(&["history", "shop"]).await;
    assert!(history.contains("green=100 % (v42)"), "{history}");
    let report = run(&["rollout", "report", "shop"]).await;
    assert!(report.contains(&format!("| deploys | v42 at {at} |")), "{report}");
    let list = run(&["rollout", "list", "shop"]).await;
    assert!(list.contains("blue → green (v42)"), "{list}");
    let events = run(&["events"]).await;
    assert!(events.contains(&format!("has started: deploys v42 at {at}")), "{events}");
    let metrics = client::get(edge.admin, "localhost", "/metrics", &[]).await.body;
    let info = "pointsman_pool_info{service=\"shop\",pool=\"green\",tag=\"v42\"} 1\n";
    assert!(metrics.contains(info), "{metrics}");
    assert_eq!(metrics.matches("pointsman_pool_info{").count(), 1, "of what was deployed alone");
    let (_, revisions) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
    assert_eq!((&revisions[0]["tags"], revisions[1].get("tags")), (&json!({"green": "v42"}), None));
    // The way back.
    let ran = pointsman(&["rollback", "shop", "--admin", &admin]).await;
    assert_eq!((ran.code, edge.get(&[]).await.body), (0, "v1".into()), "{}", ran.err);
    assert_eq!(pool(&edge, "green").await, (vec![at], json!("v42")), "to be looked at");
}

#[tokio::test]
async fn the_files_own_list_takes_over_when_it_is_edited() {
    let (blue, green, other) = (version("v1").await, version("v2").await, version("v3").await);
    let edge = Edge::start(&shop(&blue, QUICK)).await;
    let at = green.address.to_string();
    assert_eq!(deploy(&edge, &["--to", &at, "--tag", "v2", "--wait"]).await.code, 0);
    let text = std::fs::read_to_string(edge.file()).unwrap();
    let reload = async |text: &str| {
        std::fs::write(edge.file(), text).unwrap();
        edge.admin("POST", "/v1/config/reload", "").await
    };
    // An edit of something else, and one that says what is there.
    assert_eq!(reload(&format!("{text}# seen\n")).await.0, 200);
    let said = text.replace("green.upstreams = []", &format!("green.upstreams = [\"{at}\"]"));
    assert_eq!(reload(&said).await.0, 200);
    assert_eq!(pool(&edge, "green").await, (vec![at.clone()], json!("v2")));
    let edited = said.replace(&at, &other.address.to_string());
    let (status, changes) = reload(&edited).await;
    assert_eq!(status, 200);
    let gives_way = "v2, which was deployed there, gives way to the file's upstreams";
    let told = |change: &Value| change["what"] == gives_way;
    assert!(changes["changes"].as_array().unwrap().iter().any(told), "{changes}");
    assert_eq!(pool(&edge, "green").await, (vec![other.address.to_string()], Value::Null));
    until("it takes requests", async || edge.get(&[]).await.body == "v3").await;
}

#[tokio::test]
async fn a_token_for_deploys_deploys_within_its_networks() {
    let folder = tempfile::TempDir::new().unwrap();
    let tokens = folder.path().join("tokens");
    let lines = "ci role=deploy services=shop networks=127.0.0.1: ci0000000000000000\n\
                 mover role=shift: mover0000000000000000\n";
    std::fs::write(&tokens, lines).unwrap();
    let head = HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", tokens.display()));
    let (blue, green) = (version("v1").await, version("v2").await);
    let web = format!("[services.web.pools]\nonly.upstreams = [\"{}\"]\n", blue.address);
    let routes =
        "[[routes]]\nhosts = [\"web.test\"]\nservice = \"web\"\n[[routes]]\nservice = \"shop\"\n";
    let text = format!("{head}{routes}{web}{}", shop(&blue, QUICK));
    let edge = Edge::start_file(&text, false).await;
    let ask = async |who: &str, service: &str, to: &str| {
        let field = format!("authorization: Bearer {who}0000000000000000");
        let (path, body) = (format!("/v1/services/{service}/deploy"), json!({"to": [to]}));
        edge.admin_with("POST", &path, &body.to_string(), &[&field]).await
    };
    let at = green.address.to_string();
    assert_eq!(ask("mover", "shop", &at).await.status, 403);
    assert_eq!(ask("ci", "web", &at).await.status, 403);
    for outside in ["10.0.0.1:80", "localhost:80", "unix:/run/x.sock"] {
        let refused = ask("ci", "shop", outside).await;
        assert_eq!(refused.status, 403, "{outside}");
        assert!(refused.body.contains("other-network"), "{}", refused.body);
    }
    assert_eq!(ask("ci", "shop", &at).await.status, 201);
    until("it serves", async || edge.get(&[]).await.body == "v2").await;
}

/// The command with `--wait`, as a process of its own.
fn waiting(admin: &str, args: &[&str]) -> tokio::process::Child {
    Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["deploy", "shop", "--wait", "--admin", admin])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn ctrl_c_and_a_kill_of_the_command_leave_the_deploy_going() {
    let (blue, at) = (version("v1").await, free());
    let edge = Edge::start(&shop(&blue, &QUICK.replace("10s", "1m"))).await;
    let (admin, to) = (edge.admin.to_string(), at.to_string());
    let mut child = waiting(&admin, &["--to", &to, "--tag", "v2"]);
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || out.next_line().await.unwrap().unwrap();
    assert_eq!(next().await, format!("v2 at {to} is deployed to pool green of shop"));
    let line = next().await;
    assert!(line.contains("green (v2) at 0 %: waits for pool `green` to be healthy"), "{line}");
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("rollout 1 goes on; `pointsman rollout abort shop`"), "{said}");
    // A kill says nothing, and changes nothing either.
    assert_eq!(pointsman(&["rollout", "abort", "shop", "--admin", &admin]).await.code, 0);
    let mut child = waiting(&admin, &["--to", &to, "--tag", "v2"]);
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    out.next_line().await.unwrap().unwrap();
    child.kill().await.unwrap();
    let (_, rollout) = edge.admin("GET", "/v1/services/shop/rollout", "").await;
    assert_eq!((&rollout["id"], &rollout["state"]), (&json!(2), &json!("running")));
    let _green = Origin::at(at, |_| Reply::ok("v2")).await;
    until("it is promoted", async || {
        edge.admin("GET", "/v1/services/shop/rollout", "").await.1["state"] == "promoted"
    })
    .await;
    assert_eq!(edge.get(&[]).await.body, "v2");
}

/// What is told of the service and its rollout.
async fn told(proxy: &Proxy) -> (String, String, Vec<String>, Value, f64) {
    let rollout = proxy.json(&["rollout", "status", "shop"]).await;
    let status = proxy.json(&["status", "shop"]).await;
    let pools = status["services"][0]["pools"].as_array().unwrap().clone();
    let green = pools.iter().find(|pool| pool["name"] == "green").unwrap();
    let addresses = green["upstreams"].as_array().unwrap().iter();
    let addresses = addresses.map(|one| one["address"].as_str().unwrap().to_string());
    let text = |value: &Value| value.as_str().unwrap().to_string();
    (
        text(&rollout["state"]),
        text(&rollout["status"]),
        addresses.collect(),
        green["tag"].clone(),
        green["weight"].as_f64().unwrap(),
    )
}

#[tokio::test]
async fn a_proxy_that_is_killed_at_any_step_goes_on_from_there_and_says_where_it_is() {
    let (blue, at) = (version("v1").await, free());
    let to = at.to_string();
    let service = "[services.shop.judge]\nenabled = false\n[services.shop.rollout]\n\
                   steps = [10, 100]\nhold = \"1h\"\nmin_requests = 0\nwatch = \"1h\"\ndrain = \"1h\"\n\
                   smoke = [{ path = \"/smoke\", contains = \"fine\", timeout = \"1m\" }]\n";
    let (text, listen, admin) = file("", &shop(&blue, service));
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, &text).unwrap();
    let admin = admin.to_string();
    let mut proxy = Proxy::run(path.to_str().unwrap(), &admin).await;
    // Whoever waits goes on waiting, whatever happens to the proxy.
    let waits = waiting(&admin, &["--to", &to, "--tag", "v42"]);
    until("it has begun", async || proxy.cli(&["rollout", "status", "shop"]).await.0 == 0).await;
    let here = |told: (String, String, Vec<String>, Value, f64), words: &str, share: f64| {
        assert!(told.1.contains(words), "{words}: {told:?}");
        let rest = (told.0.as_str(), &told.2[..], &told.3, told.4);
        assert_eq!(rest, ("running", &[to.clone()][..], &json!("v42"), share));
    };
    let not_healthy = "waits for pool `green` to be healthy";
    here(told(&proxy).await, not_healthy, 0.0);
    proxy = proxy.kill().await;
    here(told(&proxy).await, not_healthy, 0.0);
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "v1");

    let gate = Gate::closed();
    let (opens, socket) = (gate.clone(), Reply::Echo(SWITCH.into()));
    let green = Origin::at(at, move |request| match request.head.split(' ').nth(1) {
        Some("/smoke") => Reply::ok("fine").behind(&gate),
        Some("/socket") => socket.clone(),
        _ => Reply::ok("v42"),
    })
    .await;
    let is_at = async |proxy: &Proxy, words: &str| told(proxy).await.1.contains(words);
    let smokes = "makes smoke requests to pool `green`";
    until("it smokes", async || is_at(&proxy, smokes).await).await;
    until("it is asked", async || green.asked() > 0).await;
    proxy = proxy.kill().await;
    here(told(&proxy).await, smokes, 0.0);
    opens.open();

    until("it holds", async || is_at(&proxy, "holds 10 %").await).await;
    proxy = proxy.kill().await;
    here(told(&proxy).await, "holds 10 %", 10.0);
    // Sockets, of which all but few are of the old version, hold the drain up.
    let mut held = client::connect(listen, 8, SOCKET).await;
    for socket in &mut held {
        assert_eq!(socket.response().await.status, 101);
    }
    proxy.json(&["rollout", "promote", "shop"]).await;
    until("it watches", async || is_at(&proxy, "all traffic is on `green`").await).await;
    proxy.json(&["rollout", "promote", "shop"]).await;
    let drains = "waits for requests of `blue` to end";
    until("it drains", async || is_at(&proxy, drains).await).await;
    proxy = proxy.kill().await;
    // They were the killed one's.
    until("it has ended", async || {
        proxy.json(&["rollout", "status", "shop"]).await["state"] == "promoted"
    })
    .await;
    proxy = proxy.kill().await;
    let (state, _, addresses, tag, share) = told(&proxy).await;
    let there = ("promoted", vec![to.clone()], json!("v42"), 100.0);
    assert_eq!((&*state, addresses, tag, share), there);
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "v42");
    let ended = waits.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    // And it is there already.
    let again = proxy.json(&["deploy", "shop", "--to", &to, "--tag", "v42"]).await;
    assert_eq!((&again["unchanged"], &again["pool"]), (&json!(true), &json!("green")));
    // The next one is killed while it is watched, with all traffic on it.
    let next = Origin::always(Reply::ok("fine")).await;
    let to = next.address.to_string();
    let args = ["deploy", "shop", "--to", &to, "--tag", "v43", "--strategy", "blue-green"];
    proxy.json(&args).await;
    until("it watches", async || is_at(&proxy, "all traffic is on `blue`").await).await;
    proxy = proxy.kill().await;
    let rollout = proxy.json(&["rollout", "status", "shop"]).await;
    assert_eq!((&rollout["state"], &rollout["share"]), (&json!("running"), &json!(100.0)));
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "fine");
    assert_eq!(proxy.json(&["rollout", "abort", "shop"]).await["state"], "aborted");
    proxy = proxy.kill().await;
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "v42");
    assert_eq!(told(&proxy).await.4, 100.0);
}

#[tokio::test]
async fn a_proxy_that_is_killed_after_a_failed_deploy_has_given_the_pool_back() {
    let (blue, dead) = (version("v1").await, free().to_string());
    let (text, listen, admin) = file("", &shop(&blue, QUICK));
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, &text).unwrap();
    let proxy = Proxy::run(path.to_str().unwrap(), &admin.to_string()).await;
    let (code, said) = proxy.cli(&["deploy", "shop", "--to", &dead, "--tag", "v2", "--wait"]).await;
    assert_eq!(code, 3, "{said}");
    let proxy = proxy.kill().await;
    let (state, words, addresses, tag, share) = told(&proxy).await;
    assert_eq!(
        (&*state, addresses, tag, share),
        ("failed", Vec::new(), Value::Null, 0.0),
        "{words}"
    );
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "v1");
    let green: SocketAddr = dead.parse().unwrap();
    let _green = Origin::at(green, |_| Reply::ok("v2")).await;
    let (code, said) = proxy.cli(&["deploy", "shop", "--to", &dead, "--tag", "v2", "--wait"]).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(client::get(listen, "shop.test", "/", &[]).await.body, "v2");
}

#[tokio::test]
async fn places_of_a_version_may_have_their_weights() {
    let (blue, one, other) = (version("v1").await, version("v2").await, version("v2").await);
    let edge = Edge::start(&shop(&blue, QUICK)).await;
    let (heavy, light) = (format!("{}=300", one.address), other.address.to_string());
    let at = format!("{heavy},{light}");
    let ran = deploy(&edge, &["--to", &at, "--tag", "v2", "--wait"]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    let begun = format!("v2 at {}, {light} is deployed to pool green of shop", one.address);
    assert!(ran.out.starts_with(&begun), "{}", ran.out);
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/green", "").await;
    let weights: Vec<_> =
        pool["upstreams"].as_array().unwrap().iter().map(|it| it["weight"].clone()).collect();
    assert_eq!(weights, [json!(300), json!(100)]);
    // It is there, by these weights or by whichever; with others it is another one.
    for there in [&at, &format!("{},{light}", one.address)] {
        let ran = deploy(&edge, &["--to", there, "--tag", "v2"]).await;
        assert!(ran.code == 0 && ran.out.contains("is already there"), "{} {}", ran.out, ran.err);
    }
    let ran = deploy(&edge, &["--to", &format!("{}=1,{light}", one.address), "--tag", "v2"]).await;
    assert!(ran.code == 5 && ran.err.contains("which gets traffic"), "{} {}", ran.out, ran.err);
    for wrong in ["=0", "=10001", "=x", "="] {
        let ran = deploy(&edge, &["--to", &format!("{light}{wrong}")]).await;
        assert_eq!(ran.code, 2, "{wrong}: {}", ran.err);
    }
    let post = async |to: &str| {
        edge.admin("POST", "/v1/services/shop/deploy", &format!("{{\"to\": [{to}]}}")).await
    };
    for (wrong, status) in [
        ("{\"address\": \"127.0.0.1:1\", \"weight\": 0}", 422),
        ("{\"address\": \"127.0.0.1:1\", \"weight\": 5, \"other\": 1}", 422),
        ("{\"address\": \"nowhere\", \"weight\": 5}", 422),
        ("5", 422),
    ] {
        let (found, problem) = post(wrong).await;
        assert_eq!(found, status, "{wrong} {problem}");
    }
}

#[tokio::test]
async fn who_waits_is_told_what_became_of_a_version_whose_traffic_somebody_moved() {
    let (blue, green) = (version("v1").await, version("v2").await);
    let edge = Edge::start(&shop(&blue, QUICK)).await;
    let at = green.address.to_string();
    let admin = edge.admin.to_string();
    for (order, code) in [
        (&["flip", "shop", "green", "--force"][..], 0),
        (&["shift", "shop", "blue=40", "green=60", "--force"], 4),
        (&["shift", "shop", "blue=100", "--force"], 3),
    ] {
        let canary = ["--strategy", "canary", "--steps", "10,100", "--hold", "1h", "--wait"];
        let args = [&["deploy", "shop", "--to", &at, "--admin", &admin][..], &canary].concat();
        let args: Vec<String> = args.into_iter().map(String::from).collect();
        let waits = tokio::spawn(async move {
            pointsman(&args.iter().map(String::as_str).collect::<Vec<_>>()).await
        });
        until("it has its first share", async || weights(&edge).await["green"] == 10.0).await;
        let ran = pointsman(&[order, &["--admin", &admin]].concat()).await;
        assert_eq!(ran.code, 0, "{order:?} {} {}", ran.out, ran.err);
        let ended = waits.await.unwrap();
        assert_eq!(ended.code, code, "{order:?} {} {}", ended.out, ended.err);
        assert_eq!(ended.err.contains("pool green was given"), code != 3, "{}", ended.err);
        // Back to where it began.
        let back = ["shift", "shop", "blue=100", "--admin", &admin];
        assert!(code == 3 || pointsman(&back).await.code == 0);
    }
}
