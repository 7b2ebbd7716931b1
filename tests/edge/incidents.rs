//! Incidents and alerts of others as those who live with them meet them: real processes, a real target
//! of notices, a proxy that is killed, and what its clients counted.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::pointsman;
use crate::harness::edge::HEAD;
use crate::harness::running::file;
use crate::harness::{Edge, Load, Origin, Proxy, Reply, alone, until};

fn brings(client: u32) -> String {
    format!("x-user: {client}")
}

/// What a target of notices was told about incidents, the oldest first.
fn told(target: &Origin) -> Vec<String> {
    let notices = target.received();
    let notices = notices.iter().map(|call| serde_json::from_slice::<Value>(&call.body).unwrap());
    let of_incidents = notices.filter(|notice| notice["kind"] == "incident");
    of_incidents.map(|notice| notice["what"].as_str().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_is_taken_back_opens_an_incident_whose_counts_are_the_clients() {
    let _alone = alone().await;
    let target = Origin::always(Reply::ok("")).await;
    let blue = Origin::fast("blue").await;
    let green = Origin::tireless(Reply::head("500 Oh", &[], "no")).await;
    let folder = TempDir::new().unwrap();
    let services = format!(
        "[incidents]\nrollback = \"critical\"\nupdates = \"2s\"\nchannel = \"#inc\"\n\
         [[notify]]\nurl = \"http://{}/\"\n\
         [[routes]]\nservice = \"shop\"\n\
         [services.shop]\nsplit = {{ blue = 100, green = 0 }}\nsticky = {{ header = \"x-user\" }}\n\
         retries.shield = false\nbreaker = false\nejection = false\n\
         slo = {{ availability = \"99%\" }}\n\
         [services.shop.rollout]\nsteps = [20, 100]\nhold = \"1h\"\n\
         [services.shop.pools]\nblue.upstreams = [\"{}\"]\ngreen.upstreams = []\n",
        target.address, blue.address
    );
    let (text, listen, admin) = file("", &services);
    let path = folder.path().join("p.toml");
    std::fs::write(&path, text).unwrap();
    let (path, admin) = (path.to_str().unwrap().to_string(), admin.to_string());
    let proxy = Proxy::run(&path, &admin).await;

    let load = Load::crowd(listen, 300, 100, brings).start();
    load.until_more(300).await;
    let to = green.address.to_string();
    let (code, said) = proxy.cli(&["deploy", "shop", "--to", &to, "--tag", "v2", "--wait"]).await;
    assert_eq!(code, 3, "it is taken back: {said}");
    until("an incident is opened", async || {
        proxy.json(&["incident", "list"]).await.as_array().unwrap().len() == 1
    })
    .await;
    let records = load.stop().await;
    let failed = records.iter().filter(|record| record.status() >= Some(500)).count() as u64;
    let users: std::collections::BTreeSet<u32> =
        records.iter().filter(|it| it.status() >= Some(500)).map(|it| it.client).collect();
    assert!(failed > 0);
    until("its count is the clients'", async || {
        proxy.json(&["incident", "show", "1"]).await["impact"]["failed"] == failed
    })
    .await;
    let incident = proxy.json(&["incident", "show"]).await;
    assert_eq!(incident["opened_by"], "rollback", "{incident}");
    assert_eq!((&incident["severity"], &incident["state"]), (&json!("critical"), &json!("open")));
    // Who failed in the moment in which it was taken back is not told apart any more.
    let reached = incident["impact"]["users"].as_u64().unwrap() as usize;
    assert!((1..=users.len()).contains(&reached), "{reached} of {}", users.len());
    assert!(incident["impact"]["budget_spent"]["shop"].as_f64().unwrap() > 0.0, "{incident}");
    let first = incident["first_failure"].as_f64().unwrap();
    assert!(first <= incident["opened"].as_f64().unwrap());
    // What happened before it was opened is gathered a moment later.
    until("its timeline tells the story", async || {
        let timeline = proxy.json(&["incident", "show"]).await["timeline"].to_string();
        ["rollout 1", "v2", "has started", "gets 20 %"].iter().all(|said| timeline.contains(said))
    })
    .await;

    // Whatever dies, nothing is forgotten.
    proxy.json(&["incident", "note", "v2 answers 500 at once"]).await;
    let proxy = proxy.kill().await;
    let again = proxy.json(&["incident", "show"]).await;
    assert_eq!(again["impact"]["failed"], failed, "{again}");
    assert_eq!((&again["id"], &again["opened"]), (&incident["id"], &incident["opened"]));
    assert!(again["timeline"].to_string().contains("v2 answers 500 at once"), "{again}");
    until("it is said that an update is due", async || {
        told(&target).iter().any(|what| what.starts_with("an update of incident 1 is due"))
    })
    .await;

    // It is taken back already: what is left to do is to let nobody begin again.
    let (code, all) = proxy.cli(&["incident", "suggest"]).await;
    assert_eq!(code, 0);
    let all: Value = serde_json::from_str(&all).unwrap();
    let commands: Vec<&str> =
        all.as_array().unwrap().iter().map(|one| one["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["pointsman freeze shop --reason \"incident 1\""]);

    proxy.json(&["incident", "update", "taken back, looking for why", "--next", "1h"]).await;
    proxy.json(&["incident", "mitigate", "nothing fails since"]).await;
    let closed = proxy.json(&["incident", "close", "v2 lacked a table"]).await;
    assert_eq!((&closed["state"], &closed["impact"]["failed"]), (&json!("closed"), &json!(failed)));
    let (code, _) = proxy.cli(&["incident", "update", "more", "--incident", "1"]).await;
    assert_eq!(code, 5, "it is closed");
    until("all messages are told", async || {
        told(&target).iter().any(|what| what.starts_with("RESOLVED"))
    })
    .await;
    let heard = told(&target);
    let beginnings = ["INCIDENT 1 [CRITICAL]", "UPDATE on incident 1", "RESOLVED: incident 1"];
    let times = beginnings.map(|begin| heard.iter().filter(|what| what.starts_with(begin)).count());
    assert_eq!(times, [1, 2, 1], "{heard:#?}");
    assert!(heard.iter().any(|what| what.contains("Next update: 20")), "{heard:#?}");

    let report = proxy.json(&["incident", "report"]).await;
    let report = report["markdown"].as_str().unwrap();
    for wanted in [
        format!("| Requests that failed | {failed} |\n"),
        format!("| Users reached | at least {reached} |\n"),
        "- Resolution: v2 lacked a table\n".into(),
        "(v2)".into(),
        "v2 answers 500 at once".into(),
    ] {
        assert!(report.contains(&wanted), "{wanted}\n{report}");
    }
}

/// An edge whose file names these tokens, with two tokens: one for alerts and one for all.
async fn with_tokens() -> Edge {
    let origin = Origin::named("one").await;
    let head = HEAD.replace("[admin]\n", "[admin]\ntoken_file = \"tokens\"\n");
    let text = format!(
        "{head}[incidents]\nalerts = {{ severity = \"critical\" }}\n[[routes]]\nservice = \"shop\"\n\
         [services.shop.pools]\nonly.upstreams = [\"{}\"]\n",
        origin.address
    );
    let tokens = "am role=alerts: alerts-token-0123456789\nann: admin-token-01234567890\n";
    Edge::start_folder(&[("pointsman.toml", &text), ("tokens", tokens)], &[], false).await
}

const AM: &str = "authorization: Bearer alerts-token-0123456789";
const ANN: &str = "authorization: Bearer admin-token-01234567890";

fn alert(fingerprint: &str, severity: &str) -> Value {
    json!({
        "status": "firing",
        "labels": {"alertname": "Down\u{1b}[2J", "service": "shop", "severity": severity},
        "annotations": {"summary": "<b>checkout</b>\u{202e} is down"},
        "startsAt": "2026-11-24T12:00:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.test/", "fingerprint": fingerprint,
    })
}

fn call(alerts: &[Value]) -> String {
    json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "pointsman", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager.test", "alerts": alerts,
    })
    .to_string()
}

async fn ask(edge: &Edge, method: &str, path: &str, body: &str, token: &str) -> (u16, Value) {
    let response = edge.admin_with(method, path, body, &[token]).await;
    (response.status, serde_json::from_str(&response.body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn alerts_come_in_by_their_own_token_and_open_one_incident() {
    let edge = with_tokens().await;
    let both = call(&[alert("a", "warning"), alert("b", "critical")]);
    let (status, taken) = ask(&edge, "POST", "/v1/alerts", &both, AM).await;
    assert_eq!((status, &taken["firing"], &taken["opened"]), (200, &json!(2), &json!([1])));
    // As Alertmanager repeats itself.
    let (status, taken) = ask(&edge, "POST", "/v1/alerts", &both, AM).await;
    assert_eq!((status, &taken["opened"]), (200, &json!([])));

    let (_, alerts) = ask(&edge, "GET", "/v1/alerts", "", ANN).await;
    assert_eq!(alerts.as_array().unwrap().len(), 2, "{alerts}");
    assert_eq!(alerts[0]["name"], "Down [2J", "no terminal obeys it");
    assert_eq!(alerts[0]["annotations"]["summary"], "<b>checkout</b> is down");
    assert_eq!((&alerts[0]["incident"], &alerts[0]["seen"]["upstreams"]), (&json!(1), &json!(1)));
    let (_, incident) = ask(&edge, "GET", "/v1/incidents/1", "", ANN).await;
    assert_eq!(incident["opened_by"], "alert");
    assert_eq!(incident["services"], json!(["shop"]));
    let (_, shop) = ask(&edge, "GET", "/v1/services/shop/slo", "", ANN).await;
    assert_eq!(shop["freeze"], Value::Null, "an alert freezes nothing");
    let (_, status) = ask(&edge, "GET", "/v1/status", "", ANN).await;
    assert_eq!((&status["alerts_firing"], &status["incidents"][0]["id"]), (&json!(2), &json!(1)));
    let (_, report) = ask(&edge, "GET", "/v1/incidents/1/report", "", ANN).await;
    let report = report["markdown"].as_str().unwrap();
    assert!(report.contains("\\<b\\>checkout\\</b\\>") && !report.contains("<b>"), "{report}");

    // The role of alerts may do nothing else, and on this machine too nobody comes without a token.
    for (method, path) in
        [("GET", "/v1/alerts"), ("GET", "/v1/incidents/1"), ("POST", "/v1/incidents")]
    {
        let (status, problem) = ask(&edge, method, path, "{}", AM).await;
        assert_eq!((status, &problem["type"]), (403, &json!("role")), "{method} {path}");
    }
    let (status, _) = edge.admin("POST", "/v1/alerts", &both).await;
    assert_eq!(status, 401);
    let local = Edge::before(&[("only", &Origin::named("one").await)], "").await;
    let (status, problem) = local.admin("POST", "/v1/alerts", &both).await;
    assert_eq!((status, &problem["type"]), (401, &json!("no-token")));
    assert!(problem["detail"].as_str().unwrap().contains("token_file"), "{problem}");
}

#[tokio::test]
async fn what_is_no_call_of_alerts_is_refused_with_its_place() {
    let edge = with_tokens().await;
    let with = |field: &str, value: Value| {
        let mut one = alert("x", "warning");
        one[field] = value;
        call(&[alert("a", "warning"), one])
    };
    let many: Vec<Value> = (0..101).map(|n| alert(&n.to_string(), "warning")).collect();
    let long = call(&[alert(&"x".repeat(1024 * 1024), "warning")]);
    for (body, status, kind, says) in [
        (call(&many), 422, "many-alerts", "at most 100 a call, these are 101"),
        (long, 413, "long-body", "at most 1048576 bytes"),
        (call(&[]).replace("\"4\"", "\"5\""), 422, "bad-version", "this is `5`"),
        (with("startsAt", json!("yesterday")), 422, "bad-value", "alerts[1].startsAt"),
        (with("fingerprint", json!("")), 422, "bad-value", "alerts[1].fingerprint"),
        (with("status", json!("burning")), 422, "bad-body", "status"),
        (with("labels", json!([1])), 422, "bad-body", "labels"),
        ("[]".into(), 422, "bad-body", "JSON object"),
        ("{\"version\": \"4\", \"alerts\": [".into(), 400, "bad-body", "EOF"),
    ] {
        let (got, problem) = ask(&edge, "POST", "/v1/alerts", &body, AM).await;
        assert_eq!((got, &problem["type"]), (status, &json!(kind)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{says}: {problem}");
    }
    let (_, alerts) = ask(&edge, "GET", "/v1/alerts", "", ANN).await;
    assert_eq!(alerts, json!([]), "of a call that is refused nothing is taken");
}

#[tokio::test]
async fn an_incident_is_led_from_a_terminal() {
    let edge = Edge::before(&[("only", &Origin::named("one").await)], "").await;
    let admin = edge.admin.to_string();
    let run = async |args: &[&str]| {
        pointsman(&[&["incident"], args, &["--admin", &admin]].concat()).await
    };
    let none = run(&["note", "x"]).await;
    assert!(none.code == 1 && none.err.contains("no incident is open"), "{}", none.err);
    let open = ["open", "checkout failing", "--service", "shop", "--severity", "low", "--freeze"];
    let opened = run(&open).await;
    assert!(opened.out.starts_with("INCIDENT 1 [LOW]: checkout failing\n"), "{}", opened.out);
    assert!(opened.out.contains("Next update: "), "{}", opened.out);
    let unknown = run(&["open", "x", "--service", "shopp"]).await;
    assert!(
        unknown.code == 1 && unknown.err.contains("no service is named `shopp`"),
        "{}",
        unknown.err
    );
    let (_, slo) = edge.admin("GET", "/v1/services/shop/slo", "").await;
    assert_eq!(slo["freeze"]["reason"], "incident 1: checkout failing");
    let listed = run(&["list", "--open"]).await.out;
    assert!(listed.contains("checkout failing") && listed.contains("low"), "{listed}");
    run(&["note", "looks like the cache"]).await;
    let shown = run(&["show"]).await.out;
    assert!(shown.contains("note by") && shown.contains("looks like the cache"), "{shown}");
    let closed = run(&["close", "the cache"]).await;
    assert!(closed.out.starts_with("RESOLVED: incident 1"), "{}", closed.out);
    let (_, slo) = edge.admin("GET", "/v1/services/shop/slo", "").await;
    assert_eq!(slo["freeze"], Value::Null, "its freeze went with it");
    let report = run(&["report"]).await.out;
    assert!(report.starts_with("# Incident 1: checkout failing\n"), "{report}");
    // Whoever was slower is told so.
    let body = json!({"text": "late"}).to_string();
    let late = edge.admin_with("POST", "/v1/incidents/1/notes", &body, &["if-match: \"1\""]).await;
    assert_eq!(late.status, 412, "{}", late.body);
}
