//! Rate limits: who is let through, who is told to wait and how, and that no pool is blamed.

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::client::{Response, get};
use crate::harness::edge::{HEAD, shop};
use crate::harness::{Client, Edge, Origin, Reply, until};

/// What is answered to these requests, each with a field.
async fn ask(address: SocketAddr, requests: &[&str]) -> Vec<u16> {
    let mut told = Vec::new();
    for field in requests {
        told.push(get(address, "shop.test", "/", &[field]).await.status);
    }
    told
}

/// An edge before one pool that trusts this machine as a proxy, with these lines for the service.
async fn limited(origin: &Origin, lines: &str) -> Edge {
    let head = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]");
    Edge::start_file(&format!("{head}{}", shop(&[("only", origin)], lines)), true).await
}

fn fields(told: &Response) -> [String; 3] {
    ["retry-after", "ratelimit-policy", "ratelimit"].map(|name| told.fields(name).join(","))
}

#[tokio::test]
async fn who_is_let_through_is_told_how_the_limits_stand_if_that_is_said() {
    let reply = Reply::head("200 OK", &["ratelimit: \"its\";r=9;t=1"], "fine");
    let origin = Origin::with(move |request| match request.head.starts_with("GET /early") {
        true => Reply::Bytes(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
                .to_vec(),
        ),
        false => reply.clone(),
    });
    let origin = origin.await;
    let limit = |told: &str| format!("rate_limit = {{ requests = 4, per = \"1h\"{told} }}\n");
    let quiet = limited(&origin, &limit("")).await;
    let told = quiet.get(&[]).await;
    assert_eq!(told.fields("ratelimit"), ["\"its\";r=9;t=1"], "the upstream's own goes on");
    assert_eq!(told.fields("ratelimit-policy"), [""; 0]);
    let edge = limited(&origin, &limit(", told = \"all\"")).await;
    for (left, nearest) in [(3, 900), (2, 1_800), (1, 2_700)] {
        let told = edge.get(&[]).await;
        assert_eq!(told.fields("ratelimit-policy"), ["\"service\";q=4;w=3600"]);
        let state = told.fields("ratelimit");
        assert_eq!((state.len(), state[0]), (2, "\"its\";r=9;t=1"));
        let rest = state[1].strip_prefix(&format!("\"service\";r={left};t=")).unwrap();
        let seconds: u64 = rest.parse().unwrap();
        // The bucket fills meanwhile.
        assert!((nearest - 100..=nearest).contains(&seconds), "{seconds}");
    }
    // An interim answer tells of nothing.
    let mut client = Client::connect(edge.address).await;
    client.send("GET /early HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n").await;
    let text = String::from_utf8(client.rest().await).unwrap();
    let (early, last) = text.split_once("\r\n\r\n").unwrap();
    assert!(early.starts_with("HTTP/1.1 103") && !early.contains("ratelimit"), "{text}");
    assert!(last.contains("ratelimit: \"service\";r=0;t="), "{text}");
    assert_eq!(edge.get(&[]).await.status, 429);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_and_others_are_served() {
    let origin = Origin::named("fine").await;
    let limit = "rate_limit = { requests = 2, per = \"1h\" }";
    let edge = limited(&origin, limit).await;
    let (one, other) = ("x-forwarded-for: 192.0.2.1", "x-forwarded-for: 192.0.2.2");
    assert_eq!(ask(edge.address, &[one, one, one, other]).await, [200, 200, 429, 200]);
    // One network of version 6 is one client.
    let network = ["x-forwarded-for: 2001:db8::1", "x-forwarded-for: 2001:db8::2"];
    let [near, far] = network;
    assert_eq!(ask(edge.address, &[near, far, near]).await, [200, 200, 429]);
    let mut client = Client::connect(edge.address).await;
    let head =
        format!("GET / HTTP/1.1\r\nhost: shop.test\r\naccept: application/json\r\n{one}\r\n\r\n");
    client.send(&head).await;
    let told = client.response().await;
    let [after, policy, state] = fields(&told);
    let seconds: u64 = after.parse().unwrap();
    assert!((1_700..=1_800).contains(&seconds), "half an hour brings the next: {seconds}");
    assert_eq!(
        (policy, state),
        ("\"service\";q=2;w=3600".into(), format!("\"service\";r=0;t={seconds}"))
    );
    let problem: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!((&problem["status"], told.status), (&429.into(), 429));
    // The connection goes on, for whom there is room.
    client.send(format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{other}\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 200);
    // Nothing of it is a failure of the pool, and none was asked for it.
    assert_eq!(origin.received().len(), 6);
    let metrics = async || edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let of_pool = |code: &str| {
        format!("pointsman_requests_total{{service=\"shop\",pool=\"only\",code=\"{code}\"}} ")
    };
    let counted = "pointsman_rate_limited_total{service=\"shop\",route=\"\"} 3\n";
    let refused = "reason=\"rate_limited\"} 3\n";
    until("it is counted", async || {
        let metrics = metrics().await;
        let is_good = metrics.contains(&format!("{}6\n", of_pool("2xx")));
        is_good && metrics.contains(counted) && metrics.contains(refused)
    })
    .await;
    let text = metrics().await;
    let refused = text.lines().find(|line| line.starts_with(&of_pool("4xx")));
    assert!(refused.is_none_or(|line| line.ends_with(" 0")), "{text}");
    // It is told once, however many were refused.
    let told = async || {
        let (_, events) = edge.admin("GET", "/v1/events", "").await;
        let events = events.as_array().unwrap().clone();
        events.into_iter().filter(|event| event["kind"] == "rate").collect::<Vec<_>>()
    };
    until("it is told", async || !told().await.is_empty()).await;
    let events = told().await;
    assert_eq!((events.len(), &events[0]["service"]), (1, &"shop".into()));
    assert!(events[0]["what"].as_str().unwrap().contains("2 in 1h"), "{}", events[0]);
}

#[tokio::test]
async fn who_writes_an_address_itself_has_the_limit_of_its_own() {
    let origin = Origin::named("fine").await;
    let edge =
        Edge::before(&[("only", &origin)], "rate_limit = { requests = 2, per = \"1h\" }").await;
    let made_up = ["x-forwarded-for: 1.1.1.1", "x-forwarded-for: 2.2.2.2", "x-real-ip: 3.3.3.3"];
    assert_eq!(ask(edge.address, &made_up).await, [200, 200, 429]);
}

#[tokio::test]
async fn a_limit_goes_by_a_field_or_a_cookie_and_without_one_as_it_is_told() {
    let origin = Origin::named("fine").await;
    let limit = |more: &str| format!("rate_limit = {{ requests = 1, per = \"1h\"{more} }}");
    let requests = [
        "x-key: a",
        "x-key: a",
        "x-key: b",
        "x-other: 1",
        "x-other: 2",
        "cookie: s=1",
        "cookie: s=1",
    ];
    for (more, told) in [
        (", header = \"x-key\"", [200, 429, 200, 200, 200, 200, 200]),
        (", header = \"x-key\", keyless = \"share\"", [200, 429, 200, 200, 429, 429, 429]),
        (", header = \"x-key\", client_ip = true", [200, 429, 200, 200, 429, 429, 429]),
        (", cookie = \"s\"", [200, 200, 200, 200, 200, 200, 429]),
    ] {
        let edge = limited(&origin, &limit(more)).await;
        assert_eq!(ask(edge.address, &requests).await, told, "{more}");
        edge.server.stop().await;
    }
}

#[tokio::test]
async fn a_route_has_a_limit_of_its_own_and_a_reload_forgets_nobody() {
    let origin = Origin::named("fine").await;
    let text = |login: u32, all: u32| {
        format!(
            "{HEAD}[[routes]]\npath_prefix = \"/\"\nservice = \"shop\"\n\
             [[routes]]\npath = \"/login\"\nservice = \"shop\"\n\
             rate_limit = {{ requests = {login}, per = \"1h\" }}\n{}",
            shop(
                &[("only", &origin)],
                &format!("rate_limit = {{ requests = {all}, per = \"1h\" }}")
            )
        )
    };
    let edge = Edge::start_file(&text(2, 4), false).await;
    let ask = async |path: &str| get(edge.address, "shop.test", path, &[]).await;
    let mut told = Vec::new();
    for path in ["/login", "/login", "/login", "/", "/", "/"] {
        told.push(ask(path).await.status);
    }
    assert_eq!(told, [200, 200, 429, 200, 200, 429]);
    let refused = ask("/login").await;
    assert_eq!(refused.fields("ratelimit-policy"), ["\"route\";q=2;w=3600"]);
    // What was used stays used.
    std::fs::write(edge.file(), text(3, 5)).unwrap();
    let (status, changes) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 200, "{changes}");
    let changes = changes.to_string();
    assert!(changes.contains("2 in 1h") && changes.contains("3 in 1h"), "{changes}");
    let after = [ask("/login").await.status, ask("/login").await.status, ask("/").await.status];
    assert_eq!(after, [429, 429, 429]);
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("route=\"/login\"} "), "{metrics}");
}
