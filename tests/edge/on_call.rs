//! Who is on call: an alert is opened and closed by the same key, over a restart too, and `notify test` tries the whole
//! way.

use serde_json::Value;

use crate::cli::pointsman;
use crate::harness::edge::shop;
use crate::harness::origin::Reply;
use crate::harness::proxy::Proxy;
use crate::harness::running::free;
use crate::harness::{Edge, Origin, until};

/// What a target was told, as JSON.
fn told(target: &Origin) -> Vec<Value> {
    target.received().iter().map(|call| serde_json::from_slice(&call.body).unwrap()).collect()
}

/// A target of this form, with these lines.
fn target(name: &str, to: &Origin, form: &str, more: &str) -> String {
    format!(
        "[[notify]]\nname = \"{name}\"\nurl = \"http://{}/in\"\nform = \"{form}\"\n{more}\n",
        to.address
    )
}

async fn breaker(edge: &Edge, state: &str) {
    let body = format!(r#"{{"state": "{state}", "author": "ann", "reason": "<!channel> <@U1>"}}"#);
    assert_eq!(edge.admin("PUT", "/v1/services/shop/pools/blue/breaker", &body).await.0, 200);
}

#[tokio::test]
async fn what_opens_an_alert_closes_it_in_each_form() {
    let blue = Origin::named("blue").await;
    let (plain, pager, api, receiver) = (
        Origin::named("told").await,
        Origin::named("told").await,
        Origin::named("told").await,
        Origin::named("told").await,
    );
    let lines = [
        target("plain", &plain, "json", ""),
        target("pager", &pager, "pagerduty", "routing_key = \"${file:pager.key}\""),
        target("api", &api, "alertmanager", "headers = { authorization = \"Bearer t0ken\" }"),
        target("bridge", &receiver, "alertmanager-webhook", ""),
    ];
    let text =
        format!("{}{}{}", crate::harness::edge::HEAD, lines.concat(), shop(&[("blue", &blue)], ""));
    let text = text.replace("workers = 2", "workers = 2\nname = \"edge-1\"");
    let files = [("pointsman.toml", &*text), ("pager.key", "R0UT1NG\n")];
    let edge = Edge::start_folder(&files, &[], false).await;
    breaker(&edge, "open").await;
    breaker(&edge, "auto").await;
    for target in [&plain, &pager, &api, &receiver] {
        until("both are told", async || target.received().len() >= 2).await;
    }

    let key = "pointsman//edge-1/shop/blue//breaker";
    let (plain, pager, posted, received) =
        (told(&plain), told(&pager), told(&api), told(&receiver));
    for (notice, status) in plain.iter().zip(["open", "closed"]) {
        assert_eq!((&notice["key"], &notice["status"]), (&key.into(), &status.into()));
        assert_eq!(notice["alert"], "BreakerOpen");
    }
    assert_eq!(plain[0]["runbook"], "docs/runbooks/circuit-breaker.md");

    for (event, action) in pager.iter().zip(["trigger", "resolve"]) {
        assert_eq!((&event["event_action"], &event["dedup_key"]), (&action.into(), &key.into()));
        assert_eq!(event["routing_key"], "R0UT1NG");
    }
    let payload = &pager[0]["payload"];
    assert_eq!((&payload["severity"], &payload["source"]), (&"warning".into(), &"edge-1".into()));
    assert_eq!(payload["custom_details"]["service"], "shop");

    // Whatever it is open with is closed: of what is posted, one is opened, and with it all are closed.
    let now = |alert: &Value| alert.get("startsAt").is_none();
    let severities = |alerts: &Value, is_over: bool| -> Vec<String> {
        let alerts = alerts.as_array().unwrap().iter().filter(|alert| now(alert) == is_over);
        alerts.map(|alert| alert["labels"]["severity"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(severities(&posted[0], false), ["medium"]);
    assert_eq!(severities(&posted[1], false), [""; 0]);
    assert_eq!(severities(&posted[1], true), ["low", "medium", "high"]);
    let open = posted[0].as_array().unwrap().iter().find(|alert| !now(alert)).unwrap();
    let closed = &posted[1][1];
    assert_eq!(open["labels"], closed["labels"]);
    assert_eq!(
        (&open["labels"]["instance"], &open["labels"]["service"]),
        (&"edge-1".into(), &"shop".into())
    );
    assert_eq!(open["annotations"]["runbook"], "docs/runbooks/circuit-breaker.md");
    let summary = open["annotations"]["summary"].as_str().unwrap();
    assert!(!summary.contains("<!") && !summary.contains("<@"), "{summary}");
    assert_eq!(api.received()[0].fields("authorization"), ["Bearer t0ken"]);

    let statuses: Vec<&Value> = received.iter().map(|group| &group["status"]).collect();
    assert_eq!(statuses, ["firing", "resolved"]);
    assert_eq!(received[0]["alerts"][0]["fingerprint"], received[1]["alerts"][0]["fingerprint"]);
}

#[tokio::test]
async fn an_alert_of_before_a_restart_is_closed_by_its_key() {
    let (blue, pager) = (Origin::named("blue").await, Origin::named("told").await);
    let (http, admin) = (free(), free());
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    let text = format!(
        "[server]\nworkers = 1\nname = \"edge-1\"\n[[listeners]]\naddress = \"{http}\"\n\
         [admin]\naddress = \"{admin}\"\n{}{}",
        target("pager", &pager, "pagerduty", "routing_key = \"R\""),
        shop(&[("blue", &blue)], "")
    );
    std::fs::write(&file, text).unwrap();
    let proxy = Proxy::run(file.to_str().unwrap(), &admin.to_string()).await;
    let ordered = |state: &'static str| ["breaker", "shop/blue", state];
    assert_eq!(proxy.cli(&ordered("open")).await.0, 0);
    until("it is told", async || !pager.received().is_empty()).await;
    let proxy = proxy.kill().await;
    assert_eq!(proxy.cli(&ordered("auto")).await.0, 0);
    until("it is closed", async || pager.received().len() >= 2).await;
    let told = told(&pager);
    assert_eq!(
        (&told[0]["event_action"], &told[1]["event_action"]),
        (&"trigger".into(), &"resolve".into())
    );
    assert_eq!(told[0]["dedup_key"], told[1]["dedup_key"]);
}

#[tokio::test]
async fn a_test_says_what_each_target_answered_and_ends_with_1_if_one_has_not_taken_it() {
    let (blue, chat) = (Origin::named("blue").await, Origin::named("told").await);
    let reply = Reply::head("400 Bad Request", &[], "{\"status\": \"invalid event\"}");
    let pager = Origin::always(reply).await;
    let lines = [
        target("chat", &chat, "slack", "severity = \"critical\""),
        target("pager", &pager, "pagerduty", "routing_key = \"R\""),
    ];
    let edge = Edge::start(&(lines.concat() + &shop(&[("blue", &blue)], ""))).await;
    let admin = edge.admin.to_string();
    let test = async |more: &[&str]| {
        pointsman(&[&["notify", "test", "--admin", &admin], more].concat()).await
    };

    let all = test(&[]).await;
    assert_eq!(all.code, 1, "{}{}", all.out, all.err);
    assert!(all.out.contains("400 Bad Request: {\"status\": \"invalid event\"}"), "{}", all.out);
    let one = test(&["chat", "--severity", "high", "--json"]).await;
    assert_eq!(one.code, 0, "{}{}", one.out, one.err);
    let answer: Value = serde_json::from_str(&one.out).unwrap();
    let expected = serde_json::json!({"targets": [
        {"target": "chat", "form": "slack", "taken": true, "status": 200, "answer": "200 OK: told"},
    ]});
    assert_eq!(answer, expected);
    let text = told(&chat)[1]["text"].as_str().unwrap().to_string();
    assert!(text.starts_with("*HIGH* pointsman: TEST: nothing is wrong"), "{text}");
    assert_eq!(test(&["nobody"]).await.code, 1);
    // It is told who has rung whom.
    let (_, events) = edge.admin("GET", "/v1/events", "").await;
    assert!(events.to_string().contains("POST /v1/notify/test"), "{events}");

    let silent = Edge::before(&[("blue", &blue)], "").await;
    let none = silent.admin("POST", "/v1/notify/test", "").await;
    assert_eq!((none.0, &none.1["type"]), (409, &"no-target".into()));
    let bad = edge.admin("POST", "/v1/notify/test", r#"{"severity": "bad"}"#).await;
    assert_eq!(bad.0, 422, "{}", bad.1);
}
