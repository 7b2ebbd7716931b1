//! The web page: its files and how they come; and what is watched by whom.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::edge::{HEAD, shop};
use crate::harness::{Client, Edge, Origin, client};

/// A request for a line a second of what is watched.
fn watch(query: &str, fields: &str) -> String {
    format!("GET /v1/live{query} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")
}

/// What comes of a stream, line by line.
struct Lines {
    client: Client,
    rest: Vec<u8>,
}

impl Lines {
    async fn of(edge: &Edge, query: &str, fields: &str) -> Lines {
        let mut client = Client::connect(edge.admin).await;
        client.send(watch(query, fields)).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.bytes(1).await);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: application/x-ndjson"), "{head}");
        Lines { client, rest: Vec::new() }
    }

    /// The next one; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let mut size = Vec::new();
            while !size.ends_with(b"\r\n") {
                size.extend(self.client.bytes(1).await);
            }
            let size = std::str::from_utf8(&size).unwrap().trim();
            let size = usize::from_str_radix(size, 16).unwrap();
            let chunk = self.client.bytes(size + 2).await;
            if size == 0 {
                return None;
            }
            self.rest.extend(&chunk[..size]);
        }
    }
}

#[tokio::test]
async fn the_page_runs_what_comes_from_here_and_nothing_else() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let page = client::get(edge.admin, "localhost", "/", &[]).await;
    assert_eq!(page.status, 200);
    let links = page.body.split('"').filter(|part| part.starts_with("/page/"));
    let mut files: Vec<String> = links.map(str::to_string).collect();
    files.push("/".into());
    assert!(files.len() > 5, "{files:?}");
    for file in &files {
        let answer = client::get(edge.admin, "localhost", file, &[]).await;
        assert_eq!(answer.status, 200, "{file}");
        let one = |name: &str| match answer.fields(name)[..] {
            [value] => value.to_string(),
            _ => panic!("{file}: {name}: {answer:?}"),
        };
        let policy = one("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|it| it == part), "{file}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(one("x-content-type-options"), "nosniff");
        assert_eq!(one("x-frame-options"), "DENY");
        assert_eq!(one("referrer-policy"), "no-referrer");
        assert_eq!(one("cross-origin-resource-policy"), "same-origin");
        assert_eq!(one("cross-origin-opener-policy"), "same-origin");
        assert_eq!(one("cache-control"), "no-cache");
        let known = format!("if-none-match: {}", one("etag"));
        let again = client::get(edge.admin, "localhost", file, &[&known]).await;
        assert_eq!((again.status, &*again.body), (304, ""), "{file}");
    }
    let html = page.body.to_lowercase();
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("onclick="));
    assert!(!html.replace("<script src=", "").contains("<script"), "all scripts are files");
    for missing in ["/page/", "/page/none.js", "/page/..%2f..%2fmod.rs", "/page/index.html/"] {
        let answer = client::get(edge.admin, "localhost", missing, &[]).await;
        assert_eq!(answer.status, 404, "{missing}");
    }
    assert_eq!(edge.admin("POST", "/", "").await.0, 405);
}

#[tokio::test]
async fn the_page_needs_no_token_and_what_it_shows_does() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("admin.token");
    std::fs::write(&file, "boss: boss0000000000000000\n").unwrap();
    let head = HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", file.display()));
    let origin = Origin::named("fine").await;
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    for path in ["/", "/page/main.js"] {
        assert_eq!(client::get(edge.admin, "edge.example", path, &[]).await.status, 200, "{path}");
    }
    for path in ["/v1/me", "/v1/live", "/v1/live?service=shop", "/v1/nothing"] {
        assert_eq!(client::get(edge.admin, "localhost", path, &[]).await.status, 401, "{path}");
    }
    // A token in the address counts for nothing: addresses are kept and shown in many places.
    let path = "/v1/me?token=boss0000000000000000";
    assert_eq!(client::get(edge.admin, "localhost", path, &[]).await.status, 401);
}

#[tokio::test]
async fn the_page_is_not_shown_by_a_name_that_is_not_ours() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    for path in ["/", "/page/main.js", "/v1/live", "/v1/me"] {
        let rebound = client::get(edge.admin, "evil.test:9900", path, &[]).await;
        assert_eq!(rebound.status, 403, "{path}");
        assert!(rebound.body.contains("foreign-host"), "{rebound:?}");
    }
    let elsewhere = "sec-fetch-site: cross-site";
    // A link from a chat leads to the page; what it shows is for itself alone.
    assert_eq!(client::get(edge.admin, "localhost", "/", &[elsewhere]).await.status, 200);
    for path in ["/v1/live", "/v1/me", "/v1/status"] {
        let foreign = client::get(edge.admin, "localhost", path, &[elsewhere]).await;
        assert_eq!(foreign.status, 403, "{path}");
    }
}

#[tokio::test]
async fn who_asks_is_told_what_it_may_ask_for() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("admin.token");
    let tokens = "eye role=read: eye00000000000000000\n\
                  guest role=shift services=shop: guest00000000000000\n";
    std::fs::write(&file, tokens).unwrap();
    let head = HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", file.display()));
    let origin = Origin::named("fine").await;
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    let me = async |token: &str| -> Value {
        let field = format!("authorization: Bearer {token}");
        let answer = edge.admin_with("GET", "/v1/me", "", &[&field]).await;
        serde_json::from_str(&answer.body).unwrap()
    };
    let may = |me: &Value, what: &str| me["may"].as_array().unwrap().contains(&json!(what));
    let eye = me("eye00000000000000000").await;
    assert_eq!((&eye["name"], &eye["role"]), (&json!("eye"), &json!("read")));
    assert!(may(&eye, "GET /v1/live") && may(&eye, "GET /metrics"));
    let changes = eye["may"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    let changes: Vec<&str> = changes.filter(|it| !it.starts_with("GET ")).collect();
    assert_eq!(changes, ["POST /v1/explain"]);
    let guest = me("guest00000000000000").await;
    assert_eq!(guest["services"], json!(["shop"]));
    assert!(may(&guest, "PUT /v1/services/{service}/split") && !may(&guest, "GET /metrics"));
}

#[tokio::test]
async fn fifty_who_watch_share_one_look() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    // It goes on looking for as long as one of them is there.
    let _first = Lines::of(&edge, "", "").await;
    let mut viewers = Vec::new();
    for _ in 0..50 {
        viewers.push(Lines::of(&edge, "?lines=3", "").await);
    }
    let mut looks: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for viewer in &mut viewers {
        while let Some(line) = viewer.next().await {
            looks.entry(line["tick"].as_u64().unwrap()).or_default().push(line["at"].clone());
        }
    }
    // Ticks count looks, and each was one moment for all who saw it.
    assert_eq!(looks.values().map(Vec::len).sum::<usize>(), 150);
    assert!(looks.values().all(|seen| seen.iter().all(|at| *at == seen[0])), "{looks:?}");
    assert!(looks.values().any(|seen| seen.len() >= 2), "{looks:?}");
}

#[tokio::test]
async fn what_is_watched_says_what_is_different_and_whatever_it_is_stays_text() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::before(&[("blue", &blue), ("green", &green)], "").await;
    let mut all = Lines::of(&edge, "", "").await;
    let mut one = Lines::of(&edge, "?service=shop", "").await;
    let whole = all.next().await.unwrap();
    assert_eq!(whole["whole"], true);
    assert_eq!(whole["rows"]["service/shop"]["pools"][0]["weight"], 100.0);
    let close = one.next().await.unwrap();
    let address = format!("upstream/blue/{}", blue.address);
    for key in ["status", "service", "pool/blue", "pool/green", &address] {
        assert!(close["rows"].get(key).is_some(), "{key} {close}");
    }
    assert!(close["seconds"].is_object() && close["spans"].is_object(), "{close}");
    let reason = "</script><img src=x onerror=alert(1)>\n\u{2028}\"}";
    let body = json!({"weights": {"blue": 60, "green": 40}, "reason": reason}).to_string();
    assert_eq!(edge.admin("PUT", "/v1/services/shop/split", &body).await.0, 200);
    let mut told = Vec::new();
    while told.is_empty() {
        let line = one.next().await.unwrap();
        assert_eq!(line["whole"], false);
        told = line["events"].as_array().unwrap().clone();
        told.retain(|event| event["kind"] == "traffic");
        if !told.is_empty() {
            assert_eq!(line["rows"]["pool/green"]["weight"], 40.0, "{line}");
            assert_eq!(line["rows"]["revision"]["reason"], reason);
        }
    }
    assert_eq!(told[0]["reason"], reason);
    loop {
        let line = all.next().await.unwrap();
        if let Some(row) = line["rows"].get("service/shop") {
            assert_eq!(row["pools"][1]["weight"], 40.0);
            break;
        }
    }
}

#[tokio::test]
async fn plots_show_the_seconds_in_which_something_ended() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut lines = Lines::of(&edge, "?service=shop", "").await;
    assert_eq!(lines.next().await.unwrap()["spans"], json!({"only": []}));
    for _ in 0..7 {
        assert_eq!(edge.get(&[]).await.status, 200);
    }
    let mut seconds: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
    while seconds.values().map(|(requests, _)| requests).sum::<u64>() < 7 {
        let line = lines.next().await.unwrap();
        for point in line["seconds"]["only"].as_array().unwrap() {
            let [at, requests] = [0, 1].map(|place| point[place].as_f64().unwrap() as u64);
            seconds.insert(at, (requests, point[5].as_f64().is_some_and(|p99| p99 > 0.0)));
            assert_eq!(point[2], json!(0.0));
        }
    }
    assert_eq!(seconds.values().map(|(requests, _)| requests).sum::<u64>(), 7);
    assert!(seconds.values().all(|(_, has_p99)| *has_p99), "{seconds:?}");
}

#[tokio::test]
async fn who_watches_must_be_told_of_it_and_no_longer_than_its_token_counts() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("admin.token");
    let tokens =
        "boss: boss0000000000000000\nguest role=read services=shop: guest000000000000000\n";
    std::fs::write(&file, tokens).unwrap();
    let head = HEAD.replace("[admin]", &format!("[admin]\ntoken_file = \"{}\"", file.display()));
    let (origin, other) = (Origin::named("fine").await, Origin::named("other").await);
    let text = format!(
        "{head}[[routes]]\nhosts = [\"web.test\"]\nservice = \"web\"\n\
         [[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n{}\
         [services.web.pools.only]\nupstreams = [\"{}\"]\n",
        shop(&[("blue", &origin)], ""),
        other.address
    );
    let edge = Edge::start_file(&text, false).await;
    let guest = "authorization: Bearer guest000000000000000";
    let ask =
        async |path: &str, field: &str| edge.admin_with("GET", path, "", &[field]).await.status;
    assert_eq!(ask("/v1/live?service=web&lines=1", guest).await, 403);
    assert_eq!(ask("/v1/live?service=shop&lines=1", guest).await, 200);
    let boss = "authorization: Bearer boss0000000000000000";
    assert_eq!(ask("/v1/live?service=none", boss).await, 404);
    for bad in ["?lines=0", "?lines=many", "?lines=1000000001"] {
        assert_eq!(ask(&format!("/v1/live{bad}"), boss).await, 422, "{bad}");
    }
    assert_eq!(ask("/v1/live?token=boss0000000000000000", boss).await, 400);
    let mut lines = Lines::of(&edge, "", &format!("{guest}\r\n")).await;
    let first = lines.next().await.unwrap();
    let rows: Vec<&String> = first["rows"].as_object().unwrap().keys().collect();
    assert_eq!(rows, ["service/shop", "status"]);
    std::fs::write(&file, "boss: boss0000000000000000\n").unwrap();
    assert_eq!(edge.admin_with("POST", "/v1/config/reload", "", &[boss]).await.status, 200);
    while lines.next().await.is_some() {}
    assert_eq!(ask("/v1/live", guest).await, 401);
}

#[tokio::test]
async fn so_many_watch_and_others_still_give_orders() {
    let origin = Origin::named("fine").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut viewers = Vec::new();
    for _ in 0..64 {
        viewers.push(Lines::of(&edge, "", "").await);
    }
    let refused = client::get(edge.admin, "localhost", "/v1/live", &[]).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("too-many-watching"), "{refused:?}");
    let flip = json!({"to": "only"}).to_string();
    assert_eq!(edge.admin("POST", "/v1/services/shop/flip", &flip).await.0, 200);
    // Who goes makes room for another.
    viewers.clear();
    crate::harness::until("there is room", async || {
        client::get(edge.admin, "localhost", "/v1/live?lines=1", &[]).await.status == 200
    })
    .await;
}
