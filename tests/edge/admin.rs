//! The admin API.

use serde_json::{Value, json};

use crate::harness::edge::{HEAD, shop};
use crate::harness::origin::Received;
use crate::harness::until;
use crate::harness::{Client, Edge, Origin, Reply};

async fn two_pools() -> (Origin, Origin, Edge) {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    (blue, green, edge)
}

#[tokio::test]
async fn a_shift_is_a_revision_and_takes_effect() {
    let (_blue, _green, edge) = two_pools().await;
    let body = r#"{"weights": {"green": 100}, "reason": "release 42", "author": "ann"}"#;
    let (status, revision) = edge.admin("PUT", "/v1/services/shop/split", body).await;
    assert_eq!(status, 200);
    assert_eq!(revision["revision"], 2);
    assert_eq!(revision["weights"], json!({"green": 100.0}));
    assert_eq!((&revision["author"], &revision["reason"]), (&json!("ann"), &json!("release 42")));
    assert_eq!(edge.get(&[]).await.body, "green");
    let (_, history) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
    let authors: Vec<&Value> = history.as_array().unwrap().iter().map(|r| &r["author"]).collect();
    assert_eq!(authors, ["ann", "file"]);
}

#[tokio::test]
async fn of_two_changes_to_one_revision_the_second_loses() {
    let (_blue, _green, edge) = two_pools().await;
    let split = "/v1/services/shop/split";
    let body = r#"{"weights": {"blue": 90, "green": 10}}"#;
    let read = edge.admin_with("GET", split, "", &[]).await;
    let tag = format!("if-match: {}", read.fields("etag")[0]);
    let first = edge.admin_with("PUT", split, body, &[&tag]).await;
    assert_eq!((first.status, first.fields("etag")), (200, vec!["\"2\""]));
    let second = edge.admin_with("PUT", split, body, &[&tag]).await;
    assert_eq!(second.status, 412);
    assert_eq!(second.fields("content-type"), ["application/problem+json"]);
    let problem: Value = serde_json::from_str(&second.body).unwrap();
    let detail = "it is at revision 2 by now, not at 1; that one is what was ordered here, by the \
                  same author";
    assert_eq!(problem["detail"], detail);
    assert_eq!(edge.admin_with("PUT", split, body, &["if-match: *"]).await.status, 200);
    assert_eq!(edge.admin_with("PUT", split, body, &["if-match: x"]).await.status, 400);
}

#[tokio::test]
async fn what_the_document_says_of_forms_is_so() {
    let (_blue, _green, edge) = two_pools().await;
    let (put, post) = ("PUT", "POST");
    let (longest, longer) = ("ä".repeat(1_024), "ä".repeat(1_025));
    let frozen = |reason: &str| format!(r#"{{"reason": "{reason}", "for": "1h"}}"#);
    for (method, path, body, status) in [
        // A float that stands for 57 hundredths, and one that stands for 7.
        (put, "split", r#"{"weights": {"blue": 0.5700000000000001, "green": 99.43}}"#, 200),
        (put, "mode", r#"{"mode": "hold", "for": "1ms", "most": 7.0}"#, 200),
        (put, "mode", r#"{"mode": "hold", "for": "1ms", "most": 7.5}"#, 422),
        // Whatever the mode is.
        (put, "mode", r#"{"mode": "serve", "most": 0}"#, 422),
        (put, "mode", r#"{"mode": "serve", "for": "soon"}"#, 422),
        (put, "mode", r#"{"mode": "serve"}"#, 200),
        // Characters and not bytes.
        (put, "freeze", &frozen(&longest), 200),
        (put, "freeze", &frozen(&longer), 422),
        // The reason of an override is its own, and needed whether there is a freeze or not.
        ("DELETE", "freeze", r#"{"override": {}, "reason": "mend"}"#, 422),
        ("DELETE", "freeze", "", 200),
        (post, "rollout", r#"{"to": "green", "override_freeze": true}"#, 422),
        // What could be planned as other things stood is no nonsense.
        (post, "rollout", r#"{"to": "red"}"#, 404),
        (post, "rollout", r#"{"to": "green"}"#, 409),
        (post, "rollout", r#"{"to": "green", "steps": [10]}"#, 409),
        (post, "flip", r#"{"to": "blue"}"#, 200),
        (post, "rollout", r#"{"to": "blue"}"#, 409),
        (post, "rollout", r#"{"to": "green", "steps": [10]}"#, 422),
    ] {
        let path = format!("/v1/services/shop/{path}");
        let (got, answer) = edge.admin(method, &path, body).await;
        assert_eq!(got, status, "{method} {path} {body}: {answer}");
    }
    let flip = async |tags: &[&str]| {
        let (path, body) = ("/v1/services/shop/flip", r#"{"to": "blue"}"#);
        edge.admin_with("POST", path, body, tags).await.status
    };
    for (tag, status) in [("7", 412), ("\"7\"", 412), ("+7", 400), ("\"7", 400), ("", 400)] {
        assert_eq!(flip(&[&format!("if-match: {tag}")]).await, status, "{tag}");
    }
    assert_eq!(flip(&["if-match: \"7\"", "if-match: *"]).await, 400, "which of them?");
}

#[tokio::test]
async fn bad_orders_are_refused_with_a_reason_and_change_nothing() {
    let (_blue, _green, edge) = two_pools().await;
    let before = edge.generation();
    let cases = [
        (
            "PUT",
            "/v1/services/shop/split",
            r#"{"weights": {"blue": 99}}"#,
            422,
            "the weights sum to 99 %, not to 100 %",
        ),
        (
            "PUT",
            "/v1/services/shop/split",
            r#"{"weights": {"blue": 99.999, "green": 0.001}}"#,
            422,
            "weights.blue: a percentage has at most two decimals",
        ),
        (
            "PUT",
            "/v1/services/shop/split",
            r#"{"weights": {"red": 100}}"#,
            404,
            "no pool is named `red`; the service has `blue`, `green`",
        ),
        ("PUT", "/v1/services/shop/split", r#"{"weihgts": {}}"#, 422, "unknown field `weihgts`"),
        ("PUT", "/v1/services/shop/split", "{", 400, "EOF while parsing"),
        (
            "PUT",
            "/v1/services/shop/split",
            r#"[{"blue": 90, "green": 10}]"#,
            422,
            "invalid type: sequence, expected a JSON object",
        ),
        (
            "PUT",
            "/v1/services/shop/split",
            r#"{"weights": {"blue": 90, "blue": 10}}"#,
            422,
            "weights: `blue` is named twice",
        ),
        ("POST", "/v1/services/shop/rollback", "[]", 422, "expected a JSON object"),
        ("POST", "/v1/services/shop/rollout/stop", "", 404, "a rollout has no verb `stop`"),
        (
            "PUT",
            "/v1/services/shop/pools/blue/breaker",
            r#"{"state": true}"#,
            422,
            r#"state: invalid type: boolean `true`, expected one of "auto", "open", "closed""#,
        ),
        (
            "PUT",
            "/v1/services/shop/mode",
            r#"{"mode": "held"}"#,
            422,
            r#"mode: invalid value: string "held", expected one of "serve", "hold", "maintenance""#,
        ),
        (
            "PUT",
            "/v1/services/shop/mode",
            r#"{"mode": "hold", "for": "5"}"#,
            422,
            "for: a duration needs a unit, such as 5s or 5ms",
        ),
        (
            "GET",
            "/v1/events?after=abc",
            "",
            422,
            "after: expected an event's number, such as 41; this is `abc`",
        ),
        ("GET", "/v1/events?wait=31", "", 422, "wait: expected 0 to 30 seconds; this is `31`"),
        ("GET", "/v1/events?aftr=3", "", 400, "unknown field `aftr`, expected `after` or `wait`"),
        (
            "DELETE",
            "/v1/services/shop/pools/blue/upstreams/1.2.3.4:5?why=x",
            "",
            400,
            "unknown field `why`, expected `reason` or `author`",
        ),
        (
            "PUT",
            "/v1/services/store/split",
            r#"{"weights": {"blue": 100}}"#,
            404,
            "no service is named `store`; there is `shop`",
        ),
        (
            "POST",
            "/v1/services/shop/flip",
            r#"{"to": "red"}"#,
            404,
            "service `shop` has no pool named `red`; there are `blue`, `green`",
        ),
        (
            "PUT",
            "/v1/services/shop/pools/blue/upstreams/1.2.3.4:5/state",
            r#"{"state": "drain"}"#,
            404,
            "pool `blue` has no upstream `1.2.3.4:5`; there is `127.0.0.1:",
        ),
        ("GET", "/v1/nothing", "", 404, "there is no /v1/nothing"),
        ("DELETE", "/v1/status", "", 405, "/v1/status does not take this method"),
        ("POST", "/v1/config/diff", "x = 1", 422, "(request) has"),
    ];
    for (method, path, body, status, detail) in cases {
        let answer = edge.admin_with(method, path, body, &[]).await;
        let problem: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let (answered, said) = (answer.status, problem["detail"].as_str().unwrap_or_default());
        assert!(answered == status && said.contains(detail), "{path} {body}: {answered} {problem}");
        assert_eq!(answer.fields("content-type"), ["application/problem+json"], "{path} {body}");
    }
    assert_eq!(edge.generation(), before);
}

#[tokio::test]
async fn a_flip_needs_a_pool_that_can_take_it() {
    let (_blue, green, edge) = two_pools().await;
    let state = format!("/v1/services/shop/pools/green/upstreams/{}/state", green.address);
    edge.admin("PUT", &state, r#"{"state": "drain"}"#).await;
    let flip = "/v1/services/shop/flip";
    let (status, problem) = edge.admin("POST", flip, r#"{"to": "green"}"#).await;
    assert_eq!((status, &problem["type"]), (409, &json!("pool-not-available")));
    assert_eq!(edge.get(&[]).await.body, "blue");
    edge.admin("PUT", &state, r#"{"state": "active"}"#).await;
    assert_eq!(edge.admin("POST", flip, r#"{"to": "green"}"#).await.0, 200);
    assert_eq!(edge.get(&[]).await.body, "green");
    let (status, problem) = edge.admin("PUT", &state, r#"{"state": "drain"}"#).await;
    assert_eq!((status, &problem["type"]), (409, &json!("last-upstream")));
    let forced = edge.admin("PUT", &state, r#"{"state": "drain", "force": true}"#).await;
    assert_eq!(forced.0, 200);
    edge.admin("POST", flip, r#"{"to": "blue"}"#).await;
    let split = "/v1/services/shop/split";
    let (status, _) = edge.admin("PUT", split, r#"{"weights": {"blue": 50, "green": 50}}"#).await;
    assert_eq!(status, 409, "half of the traffic would fail");
    let forced = edge.admin("POST", flip, r#"{"to": "green", "force": true}"#).await;
    assert_eq!(forced.0, 200);
    let (status, _) = edge.admin("PUT", split, r#"{"weights": {"blue": 50, "green": 50}}"#).await;
    assert_eq!(status, 200, "less than before is always fine");
}

#[tokio::test]
async fn the_description_covers_every_path_and_status_tells_all() {
    let (_blue, _green, edge) = two_pools().await;
    edge.get(&[]).await;
    let (_, description) = edge.admin("GET", "/openapi.json", "").await;
    assert_eq!(description["openapi"].as_str().unwrap()[..3], *"3.1");
    for path in [
        "/v1/status",
        "/v1/services/{service}/split",
        "/v1/services/{service}/flip",
        "/v1/services/{service}/pools/{pool}/upstreams/{address}/state",
        "/v1/config/reload",
        "/livez",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    let (_, status) = edge.admin("GET", "/v1/status", "").await;
    assert_eq!((&status["ready"], &status["services"][0]["name"]), (&json!(true), &json!("shop")));
    // A request is accounted for a moment after its answer.
    crate::harness::until("the request is counted", async || {
        let (_, status) = edge.admin("GET", "/v1/status", "").await;
        status["services"][0]["pools"][0]["upstreams"][0]["requests"] == 1
    })
    .await;
    assert_eq!(edge.admin_with("GET", "/livez", "", &[]).await.body, "ok\n");
    assert_eq!(edge.admin_with("GET", "/readyz", "", &[]).await.body, "ok\n");
    let (status, checked) = edge.admin("POST", "/v1/config/check", "x = 1").await;
    assert_eq!((status, &checked["valid"]), (200, &json!(false)));
    assert_eq!(checked["problems"][0]["message"], "unknown key `x`");
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let origin = Origin::named("a").await;
    let folder = tempfile::TempDir::new().unwrap();
    let token = folder.path().join("admin.token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    let head = HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", token.display()));
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    let with = async |fields: &[&str]| edge.admin_with("GET", "/v1/status", "", fields).await;
    let without = with(&[]).await;
    assert_eq!((without.status, without.fields("www-authenticate")), (401, vec!["Bearer"]));
    assert_eq!(with(&["authorization: Bearer 0123456789abcdef"]).await.status, 401);
    assert_eq!(with(&["authorization: Bearer 0123456789abcdef0123456789abcdef"]).await.status, 200);
    assert_eq!(edge.admin_with("GET", "/livez", "", &[]).await.status, 200);
}

#[tokio::test]
async fn changes_are_by_the_name_of_the_token_that_made_them() {
    let origin = Origin::named("a").await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("admin.token");
    let tokens = "# who may give orders\nci: 0123456789abcdef\nann: fedcba9876543210\n";
    std::fs::write(&file, tokens).unwrap();
    let head = HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", file.display()));
    let green = Origin::named("b").await;
    let text = format!("{head}{}", shop(&[("blue", &origin), ("green", &green)], ""));
    let edge = Edge::start_file(&text, false).await;
    let as_ci = ["authorization: Bearer 0123456789abcdef"];
    let as_ann = ["authorization: Bearer fedcba9876543210"];
    let bad = ["authorization: Bearer 0123456789abcdeg"];
    let flip = "/v1/services/shop/flip";
    assert_eq!(edge.admin_with("POST", flip, r#"{"to": "blue"}"#, &bad).await.status, 401);
    for (fields, body, author) in [
        (as_ci, r#"{"to": "green"}"#, "ci"),
        (as_ann, r#"{"to": "blue", "author": "ann"}"#, "ann"),
        (as_ci, r#"{"to": "green", "author": "ann"}"#, "ci (as ann)"),
    ] {
        let made = edge.admin_with("POST", flip, body, &fields).await;
        let made: Value = serde_json::from_str(&made.body).unwrap();
        assert_eq!(made["author"], author, "{made}");
    }
    let state = format!("/v1/services/shop/pools/blue/upstreams/{}?author=bob", origin.address);
    edge.admin_with("DELETE", &state, "", &as_ci).await;
    let mode = "/v1/services/shop/mode";
    edge.admin_with("PUT", mode, r#"{"mode": "maintenance"}"#, &as_ann).await;
    let status = edge.admin_with("GET", "/v1/status", "", &as_ci).await;
    let status: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(status["services"][0]["orders"][0]["author"], "ann", "{status}");
}

#[tokio::test]
async fn a_token_file_that_is_none_is_refused_with_its_line() {
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("admin.token"), "ci: 0123456789abcdef\nci: fedcba9876543210\n").unwrap();
    let text =
        format!("{HEAD}token_file = \"admin.token\"\n[services.a.pools]\nb.upstreams = []\n");
    std::fs::write(at("p.toml"), text).unwrap();
    let source = pointsman::files::Source::file(at("p.toml"), Default::default());
    let options = pointsman::server::Options { source, admin: None, watches_file: false };
    use pointsman::files::FileError;
    use pointsman::server::StartError;
    let refused = pointsman::server::Server::start(options).await.err().unwrap();
    let StartError::File(FileError::Problems(refused)) = refused else { panic!("{refused}") };
    let shown = refused.render(false);
    let said = "admin.token: line 2: `ci` has a token in line 1 already";
    assert!(shown.contains(said) && shown.contains("^^^^^^^^^^^^^"), "{shown}");
}

#[tokio::test]
async fn tokens_that_change_are_in_force_after_a_reload_and_bad_ones_open_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("admin.token");
    let (old, new) = ("0123456789abcdef", "fedcba9876543210");
    std::fs::write(&file, format!("ci: {old}\n")).unwrap();
    let head = HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", file.display()));
    let origin = Origin::named("a").await;
    let text = format!("{head}{}", shop(&[("only", &origin)], ""));
    // Watched, so that no reload is asked for.
    let edge = Edge::start_file(&text, true).await;
    let status = async |token: &str| {
        let field = format!("authorization: Bearer {token}");
        edge.admin_with("GET", "/v1/status", "", &[&field]).await.status
    };
    assert_eq!((status(old).await, status(new).await), (200, 401));
    std::fs::write(&file, format!("ci: {new}\n")).unwrap();
    until("the new one is in force", async || status(new).await == 200).await;
    assert_eq!(status(old).await, 401);
    let field = format!("authorization: Bearer {new}");
    let reload = async || edge.admin_with("POST", "/v1/config/reload", "", &[&field]).await;
    for bad in ["", "# nobody\n", "ci: short\n"] {
        std::fs::write(&file, bad).unwrap();
        let refused = reload().await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert!(refused.body.contains("admin.token"), "{}", refused.body);
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(reload().await.status, 422);
    let without = edge.admin_with("GET", "/v1/status", "", &[]).await.status;
    assert_eq!((without, status(new).await), (401, 200), "what was in force stays in force");
}

#[tokio::test]
async fn a_key_that_changes_signs_after_a_reload_and_a_bad_one_changes_nothing() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("alerts.key");
    std::fs::write(&file, "first-s3cret\n").unwrap();
    let (origin, told) = (Origin::named("a").await, Origin::always(Reply::ok("")).await);
    let notify = format!(
        "[[notify]]\nurl = \"http://{}/\"\nseverity = \"low\"\nsecret_file = \"{}\"\n",
        told.address,
        file.display()
    );
    let text = format!("{HEAD}{}{notify}", shop(&[("only", &origin)], ""));
    // Watched, so that no reload is asked for.
    let edge = Edge::start_file(&text, true).await;
    let signed_by = |key: &[u8]| told.received().iter().any(|call| is_signed(call, key));
    // Freezes of different lengths are different news.
    let freeze = async |length: &str| {
        let body = json!({"reason": "audit", "for": length}).to_string();
        let (status, said) = edge.admin("PUT", "/v1/services/shop/freeze", &body).await;
        assert_eq!(status, 200, "{said}");
    };
    freeze("1h").await;
    until("the first one signs", async || signed_by(b"first-s3cret")).await;
    std::fs::write(&file, "other-s3cret\n").unwrap();
    let reloaded = "pointsman_config_reloads_total{result=\"success\"} 1\n";
    let metrics = async || edge.admin_with("GET", "/metrics", "", &[]).await.body;
    until("it is read", async || metrics().await.contains(reloaded)).await;
    freeze("2h").await;
    until("the other one signs", async || signed_by(b"other-s3cret")).await;
    for bad in [Some(" \n".to_string()), Some("whsec_!".into()), Some("x".repeat(5_000)), None] {
        match bad {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let refused = edge.admin_with("POST", "/v1/config/reload", "", &[]).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert!(refused.body.contains("alerts.key"), "{}", refused.body);
    }
    let calls = told.received().len();
    freeze("3h").await;
    until("what was in force signs", async || told.received().len() > calls).await;
    assert!(told.received()[calls..].iter().all(|call| is_signed(call, b"other-s3cret")));
    for path in ["/v1/status", "/v1/config", "/v1/events"] {
        let shown = edge.admin_with("GET", path, "", &[]).await;
        assert_eq!((shown.status, shown.body.contains("s3cret")), (200, false), "{path}");
    }
}

/// Whether a call is signed with this key, as Standard Webhooks say.
pub fn is_signed(call: &Received, key: &[u8]) -> bool {
    use base64::Engine;
    use hmac::{Hmac, Mac};
    let field = |name: &str| call.fields(name).concat();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).as_bytes());
    mac.update(&call.body);
    let code = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    field("webhook-signature") == format!("v1,{code}")
}

#[tokio::test]
async fn a_web_page_cannot_give_orders() {
    let (_blue, _green, edge) = two_pools().await;
    let reload = async |fields: &[&str]| {
        edge.admin_with("POST", "/v1/config/reload", "", fields).await.status
    };
    assert_eq!(reload(&["origin: http://evil.test"]).await, 403);
    assert_eq!(reload(&["sec-fetch-site: cross-site"]).await, 403);
    assert_eq!(reload(&[&format!("origin: http://{}", edge.admin)]).await, 200);
    let mut rebound = Client::connect(edge.admin).await;
    rebound.send("GET /v1/status HTTP/1.1\r\nhost: evil.test\r\n\r\n").await;
    assert_eq!(rebound.response().await.status, 403);
}

#[tokio::test]
async fn requests_are_counted_by_how_they_ended() {
    let origin = Origin::with(|request| match request.head.split(' ').nth(1) {
        Some("/teapot") => Reply::head("418 I'm a teapot", &[], ""),
        Some("/close") => Reply::Close,
        _ => Reply::ok("fine"),
    })
    .await;
    let edge = Edge::before(&[("blue", &origin)], "").await;
    // First, while no connection is kept: one that turns out dead would be tried again.
    for path in ["/close", "/", "/", "/teapot"] {
        crate::harness::client::get(edge.address, "shop.test", path, &[]).await;
    }
    edge.raw("GET / HTTP/1.1\r\n\r\n").await;
    let metrics = async || edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let line = |name: &str, labels: &str, value: u64| format!("{name}{{{labels}}} {value}\n");
    let pool = "service=\"shop\",pool=\"blue\"";
    let upstream = format!("{pool},upstream=\"{}\"", origin.address);
    let expected = [
        line("pointsman_requests_total", &format!("{pool},code=\"2xx\""), 2),
        line("pointsman_requests_total", &format!("{pool},code=\"4xx\""), 1),
        line("pointsman_requests_total", &format!("{pool},code=\"5xx\""), 1),
        line("pointsman_requests_total", "service=\"_unmatched\",pool=\"\",code=\"4xx\"", 1),
        line("pointsman_request_duration_seconds_count", pool, 4),
        line("pointsman_upstream_requests_total", &format!("{upstream},outcome=\"2xx\""), 2),
        line("pointsman_upstream_requests_total", &format!("{upstream},outcome=\"4xx\""), 1),
        // It is alone in its pool, so that it was asked once more.
        line("pointsman_upstream_requests_total", &format!("{upstream},outcome=\"error\""), 2),
        line("pointsman_upstream_requests_in_flight", &upstream, 0),
        line("pointsman_pool_weight_ratio", pool, 1),
    ];
    // The last request is accounted for a moment after its answer.
    crate::harness::until("all are counted", async || {
        let text = metrics().await;
        expected.iter().all(|line| text.contains(line))
    })
    .await;
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    use tokio::io::AsyncWriteExt;
    let blue = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &blue)], "slo.latency = { p99 = \"1s\" }\n").await;
    edge.get(&[]).await;
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await;
    assert_eq!(metrics.fields("content-type"), ["text/plain; version=0.0.4; charset=utf-8"]);
    let mut promtool = tokio::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("promtool is installed (Debian package `prometheus`)");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(metrics.body.as_bytes()).await.unwrap();
    drop(input);
    let output = promtool.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn what_happened_to_a_request_is_found_by_its_id() {
    let (blue, _green, edge) = two_pools().await;
    let target = "/a?secret=1";
    let id = ["x-request-id: mine", "content-length: 5", "connection: close"];
    let head = format!("POST {target} HTTP/1.1\r\nhost: shop.test\r\n{}\r\n\r\n", id.join("\r\n"));
    assert_eq!(edge.raw(format!("{head}hello")).await.status, 200);
    crate::harness::until("the request is remembered", async || {
        edge.admin("GET", "/v1/requests/mine", "").await.0 == 200
    })
    .await;
    let (_, kept) = edge.admin("GET", "/v1/requests/mine", "").await;
    let of = |name: &str| kept[name].clone();
    let said = ["method", "host", "path", "service", "pool"].map(of);
    assert_eq!(said, ["POST", "shop.test", "/a", "shop", "blue"].map(Value::from));
    let counted = ["status", "route", "revision", "request_bytes", "response_bytes"].map(of);
    assert_eq!(counted, [200, 1, 1, 5, 4].map(Value::from), "{kept}");
    let attempt = &kept["attempts"][0];
    assert_eq!(attempt["upstream"], blue.address.to_string());
    assert_eq!(["sent_bytes", "received_bytes"].map(|n| attempt[n].clone()), [5, 4]);
    let times = ["chosen_ms", "connected_ms", "sent_ms", "head_ms", "done_ms"];
    let times = times.map(|name| attempt[name].as_f64().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    assert!(!kept.to_string().contains("secret"), "{kept}");
    let (_, latest) = edge.admin("GET", "/v1/requests?limit=1", "").await;
    assert_eq!(latest.as_array().unwrap().len(), 1);
    let (status, problem) = edge.admin("GET", "/v1/requests/another", "").await;
    assert_eq!((status, &problem["title"].is_string()), (404, &true));
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_requests_not_remembered_total 0\n"), "{metrics}");
}
