//! What people are told: notices of each change, events of each reload and order, names that fail.

use serde_json::Value;

use crate::harness::edge::{HEAD, shop};
use crate::harness::proxy::Proxy;
use crate::harness::{Edge, Origin, until};

/// What a receiver of notices was told, in order.
fn told(receiver: &Origin) -> Vec<Value> {
    let body =
        |received: &crate::harness::origin::Received| serde_json::from_slice(&received.body).ok();
    receiver.received().iter().filter_map(body).collect()
}

async fn events(edge: &Edge) -> Vec<Value> {
    edge.admin("GET", "/v1/events", "").await.1.as_array().unwrap().clone()
}

#[tokio::test]
async fn each_change_of_state_is_told_with_who_and_where_and_a_repetition_is_not() {
    let (blue, receiver) = (Origin::named("blue").await, Origin::named("told").await);
    let notify = format!(
        "[server]\nworkers = 2\nname = \"edge-7\"\nenvironment = \"staging\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[notify]]\nurl = \"http://{}/\"\nseverity = \"low\"\n",
        receiver.address
    );
    let edge = Edge::start_file(&(notify + &shop(&[("blue", &blue)], "")), false).await;
    let mode = async |mode: &str| {
        let body = format!(r#"{{"mode": "{mode}", "author": "ann", "reason": "a test"}}"#);
        assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", &body).await.0, 200);
    };
    for next in ["maintenance", "serve", "maintenance", "maintenance", "serve"] {
        mode(next).await;
    }
    until("all are told", async || told(&receiver).len() >= 4).await;
    let all = told(&receiver);
    let words: Vec<&str> = all.iter().map(|notice| notice["what"].as_str().unwrap()).collect();
    let (down, up) = ("in maintenance, by ann: a test", "serves again, by ann: a test");
    assert_eq!(words, [down, up, down, up]);
    for notice in &all {
        assert_eq!((&notice["pointsman"], &notice["author"]), (&"edge-7".into(), &"ann".into()));
        assert_eq!(notice["environment"], "staging");
        assert_eq!(notice["topic"], all[0]["topic"]);
    }
}

#[tokio::test]
async fn who_was_told_of_trouble_is_told_that_it_is_over() {
    let (blue, receiver) = (Origin::named("blue").await, Origin::named("told").await);
    let notify = format!("[[notify]]\nurl = \"http://{}/\"\n", receiver.address);
    let edge = Edge::start(&(notify + &shop(&[("blue", &blue)], ""))).await;
    let breaker = async |state: &str| {
        let body = format!(r#"{{"state": "{state}"}}"#);
        let path = "/v1/services/shop/pools/blue/breaker";
        assert_eq!(edge.admin("PUT", path, &body).await.0, 200);
    };
    // Good news alone wakes nobody; a whole pool out of service is news, and so is its end.
    for state in ["closed", "open", "auto", "closed"] {
        breaker(state).await;
    }
    until("both are told", async || told(&receiver).len() >= 2).await;
    breaker("open").await;
    until("the third is told", async || told(&receiver).len() >= 3).await;
    let words: Vec<String> = told(&receiver).iter().map(|told| told["what"].to_string()).collect();
    let wanted = ["opened by order", "back to automatic", "opened by order"];
    assert!(words.iter().zip(wanted).all(|(word, wanted)| word.contains(wanted)), "{words:?}");
}

#[tokio::test]
async fn a_reload_says_by_whom_and_what_differs_and_which_services_come_and_go() {
    let blue = Origin::named("blue").await;
    let text = format!("{HEAD}{}", shop(&[("blue", &blue)], "timeouts.connect = \"2s\""));
    let edge = Edge::start_file(&text, false).await;
    let reload = "/v1/config/reload?author=ann&reason=more%20time";
    let edited = text.replace("\"2s\"", "\"3s\"").replace("services.shop", "services.kiosk");
    std::fs::write(edge.file(), edited).unwrap();
    assert_eq!(edge.admin("POST", reload, "").await.0, 200);
    std::fs::write(edge.file(), "[[listeners]").unwrap();
    assert_eq!(edge.admin("POST", reload, "").await.0, 422);
    let found = events(&edge).await;
    let of = |kind: &str, what: &str| {
        let is = |event: &&Value| {
            event["kind"] == kind && event["what"].as_str().unwrap().contains(what)
        };
        found.iter().find(is).unwrap_or_else(|| panic!("{kind} {what}: {found:?}"))
    };
    let reloaded = of("reload", "config reloaded: ");
    assert_eq!((&reloaded["author"], &reloaded["reason"]), (&"ann".into(), &"more time".into()));
    assert!(reloaded["what"].as_str().unwrap().contains("service kiosk"), "{reloaded}");
    assert_eq!(of("reload", "config refused")["author"], "ann");
    assert_eq!(of("service", "is new")["service"], "kiosk");
    assert_eq!(of("service", "not served any more")["service"], "shop");
}

/// What `pointsman events` tells, a line each.
async fn lines(proxy: &Proxy) -> Vec<Value> {
    let (code, text) = proxy.cli(&["events"]).await;
    assert_eq!(code, 0, "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_event_of_an_acknowledged_order_survives_a_kill_with_it() {
    let blue = Origin::named("blue").await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("pointsman.toml");
    let free = crate::harness::running::free();
    let head = HEAD
        .replace("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\naddress = \"{free}\""));
    std::fs::write(&file, format!("{head}{}", shop(&[("blue", &blue)], ""))).unwrap();
    let mut proxy = Proxy::run(file.to_str().unwrap(), &free.to_string()).await;
    for round in 1..=3 {
        let reason = format!("round {round}");
        proxy.json(&["maintenance", "shop", "--reason", &reason]).await;
        proxy = proxy.kill().await;
        let events = lines(&proxy).await;
        let of = |event: &&Value| event["reason"] == reason.as_str();
        let found: Vec<&Value> = events.iter().filter(of).collect();
        assert_eq!(found.len(), 1, "{events:?}");
        assert!(found[0]["number"].as_u64().unwrap() > 0 && found[0]["kind"] == "mode");
    }
    let events = lines(&proxy).await;
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["number"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_an_event_and_a_metric() {
    // Nobody answers there.
    let dead = crate::harness::running::free();
    let lines = format!(
        "[services.shop.pools.blue]\nupstreams = [\"shop.invalid:80\"]\n[[notify]]\nurl = \"http://{dead}/\"\n"
    );
    let head = HEAD.replace("workers = 2", &format!("workers = 2\nresolvers = [\"{dead}\"]"));
    let edge = Edge::start_file(&format!("{head}{lines}"), false).await;
    until("it is told", async || events(&edge).await.iter().any(|event| event["kind"] == "name"))
        .await;
    let found = events(&edge).await;
    let name = found.iter().find(|event| event["kind"] == "name").unwrap();
    assert_eq!((&name["service"], &name["upstream"]), (&"shop".into(), &"shop.invalid:80".into()));
    assert_eq!(name["severity"], "medium");
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_name_resolves{name=\"shop.invalid:80\"} 0"), "{metrics}");
}

#[tokio::test]
async fn answers_during_a_maintenance_count_for_their_service() {
    let blue = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &blue)], "").await;
    edge.admin("PUT", "/v1/services/shop/mode", r#"{"mode": "maintenance"}"#).await;
    assert_eq!(edge.get(&[]).await.status, 503);
    let metrics = async || edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let line = "pointsman_requests_total{service=\"shop\",pool=\"\",code=\"5xx\"} 1";
    until("it is counted", async || metrics().await.contains(line)).await;
    let metrics = metrics().await;
    assert!(metrics.contains("{service=\"_unmatched\",pool=\"\",code=\"5xx\"} 0\n"), "{metrics}");
    until("it is remembered", async || {
        let (_, last) = edge.admin("GET", "/v1/requests", "").await;
        last.to_string().contains("\"shop\"")
    })
    .await;
}

#[tokio::test]
async fn one_that_refuses_says_so_with_since_and_why_and_comes_back_without_requests() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let lines = format!("[services.shop.pools.blue]\nupstreams = [\"{address}\"]\n");
    let edge = Edge::start(&lines).await;
    let upstream = async || {
        let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
        service["pools"][0]["upstreams"][0].clone()
    };
    // Enough to open its breaker too.
    for _ in 0..30 {
        let status = edge.get(&[]).await.status;
        assert!(status == 502 || status == 503, "{status}");
    }
    let refusing = upstream().await;
    assert_eq!(refusing["state"], "refusing", "{refusing}");
    assert!(
        refusing["since"].as_f64() > Some(1e9) && refusing["last_error_at"].as_f64() > Some(1e9)
    );
    assert!(refusing["last_error"].as_str().unwrap().contains("refuses connections"), "{refusing}");
    let answer = edge.get(&[]).await;
    assert_eq!((answer.status, answer.fields("retry-after")), (503, vec!["1"]), "a check a second");
    until("it is told", async || {
        let is = |event: &Value| event["what"].as_str().unwrap().contains("refuses connections");
        events(&edge).await.iter().any(is)
    })
    .await;
    let _listener = socket.listen(8).unwrap();
    until("checks alone bring it back", async || upstream().await["state"] != "refusing").await;
    let back = upstream().await;
    assert_eq!((&back["breaker"]["state"], &back["since"]), (&"closed".into(), &Value::Null));
    let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
    assert_eq!(service["pools"][0]["breaker"]["state"], "closed", "{service}");
}

#[tokio::test]
async fn a_zone_is_preferred_and_drained_by_its_label_and_seen_everywhere() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let lines = format!(
        "[services.shop]\nbalance.prefer = \"zone\"\n[services.shop.pools.blue]\nupstreams = [\
         {{ address = \"{}\", labels = {{ zone = \"a\" }} }}, \
         {{ address = \"{}\", labels = {{ zone = \"b\" }} }}]\n",
        a.address, b.address
    );
    let own = "workers = 2\nlabels = { zone = \"a\" }\nmetric_labels = [\"zone\"]";
    let edge = Edge::start_file(&(HEAD.replace("workers = 2", own) + &lines), false).await;
    for _ in 0..8 {
        assert_eq!(edge.get(&[]).await.body, "a");
    }
    let labelled =
        async |body: &str| edge.admin("PUT", "/v1/services/shop/labelled/state", body).await;
    let (status, set) =
        labelled(r#"{"label": "zone=a", "state": "drain", "reason": "power"}"#).await;
    assert_eq!((status, &set["upstreams"]), (200, &serde_json::json!([a.address.to_string()])));
    for _ in 0..8 {
        assert_eq!(edge.get(&[]).await.body, "b");
    }
    let (status, problem) = labelled(r#"{"label": "zone=b", "state": "drain"}"#).await;
    assert_eq!((status, &problem["type"]), (409, &"last-upstream".into()));
    let (status, problem) = labelled(r#"{"label": "zone=c", "state": "drain"}"#).await;
    assert_eq!((status, &problem["type"]), (404, &"no-label".into()));
    assert_eq!(labelled(r#"{"label": "zone", "state": "drain"}"#).await.0, 422);
    let found = events(&edge).await;
    let drained = found.iter().find(|event| event["what"] == "drained").unwrap();
    assert_eq!((&drained["labels"]["zone"], &drained["reason"]), (&"a".into(), &"power".into()));
    let (_, service) = edge.admin("GET", "/v1/services/shop", "").await;
    let upstream = &service["pools"][0]["upstreams"][0];
    assert_eq!(
        (&upstream["labels"]["zone"], &upstream["state"]),
        (&"a".into(), &"draining".into())
    );
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains(&format!("upstream=\"{}\",zone=\"a\"}} 0\n", a.address)), "{metrics}");
    let packed = edge.admin_with("GET", "/metrics", "", &["accept-encoding: gzip"]).await;
    assert_eq!(packed.fields("content-encoding"), ["gzip"]);
    let length = |response: &crate::harness::client::Response| {
        response.fields("content-length")[0].parse::<usize>().unwrap()
    };
    assert!(length(&packed) * 4 < metrics.len());
    let command = |args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["--admin", &edge.admin.to_string()]).args(args);
        command
    };
    let undone = command(&["drain", "shop", "--label", "zone=a", "--undo"]).output().await.unwrap();
    assert!(undone.status.success(), "{undone:?}");
    // It starts slowly.
    until("it takes requests again", async || edge.get(&[]).await.body == "a").await;
    let drained = command(&["drain", "shop/blue", "--label", "zone=b"]).output().await.unwrap();
    assert!(drained.status.success(), "{drained:?}");
    let shown = command(&["status", "shop"]).output().await.unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("zone=a") && shown.contains("draining"), "{shown}");
}
