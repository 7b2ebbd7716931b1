//! What upstreams and clients are told in fields, and in the line before them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::edge::{HEAD, shop};
use crate::harness::{Edge, Origin, Reply, until};

#[tokio::test]
async fn an_upstream_is_told_where_a_request_comes_from() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let response = edge
        .get(&[
            "x-forwarded-for: 203.0.113.9",
            "x-forwarded-proto: https",
            "x-real-ip: 203.0.113.9",
            "via: 1.1 elsewhere",
        ])
        .await;
    let received = origin.only();
    assert_eq!(received.fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(received.fields("x-forwarded-host"), ["shop.test"]);
    assert_eq!(received.fields("x-real-ip"), [""; 0]);
    assert_eq!(received.fields("via"), ["1.1 elsewhere"]);
    assert_eq!(received.fields("host"), ["shop.test"]);
    assert_eq!(received.fields("x-request-id"), response.fields("x-request-id"));
    assert_eq!(received.fields("x-request-id")[0].len(), 32);
    let parent = received.fields("traceparent");
    assert!(
        parent.len() == 1 && parent[0].starts_with("00-") && parent[0].len() == 55,
        "{parent:?}"
    );
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let origin = Origin::named("a").await;
    let lines = crate::harness::edge::shop(&[("only", &origin)], "sticky = { client_ip = true }");
    let text = crate::harness::edge::HEAD
        .replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let edge = Edge::start_file(&format!("{text}{lines}"), false).await;
    edge.get(&["x-forwarded-for: 203.0.113.9", "x-forwarded-proto: https", "x-request-id: abc"])
        .await;
    let received = origin.only();
    assert_eq!(received.fields("x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(received.fields("x-forwarded-proto"), ["https"]);
    assert_eq!(received.fields("x-request-id"), ["abc"]);
}

/// What only a proxy may say, of each kind.
const CLAIMS: [&str; 12] = [
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Ssl: on",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-User: root",
    "X-Forwarded-Groups: admin",
    "X-Forwarded-Client-Cert: Subject=root",
    "X-Original-URL: /admin",
    "X-Rewrite-URL: /admin",
    "True-Client-IP: 10.0.0.1",
    "CF-Connecting-IP: 10.0.0.1",
    "Proxy: http://evil.test",
    "X-Tenant: other",
];

#[tokio::test]
async fn what_only_a_proxy_may_say_goes_on_from_one_alone() {
    let origin = Origin::named("a").await;
    for (trusted, arrives) in [("[]", false), ("[\"127.0.0.0/8\"]", true)] {
        let told = format!("workers = 2\ntrusted_proxies = {trusted}\nstrip = [\"x-tenant\"]");
        let head = HEAD.replace("workers = 2", &told);
        let edge =
            Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
        edge.get(&CLAIMS).await;
        let received = origin.received().pop().unwrap();
        for claim in CLAIMS {
            let (name, value) = claim.split_once(": ").unwrap();
            let wanted = if arrives { vec![value] } else { vec![] };
            assert_eq!(received.fields(name), wanted, "{name} of {trusted}");
        }
    }
}

#[tokio::test]
async fn a_name_in_another_spelling_is_the_same_claim() {
    let origin = Origin::named("a").await;
    let head = HEAD.replace("workers = 2", "workers = 2\nclient = { odd_names = \"pass\" }");
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    edge.get(&["X_Forwarded_For: 10.0.0.1", "x.original.url: /admin", "x_other: 1"]).await;
    let received = origin.only();
    assert_eq!(received.fields("x_forwarded_for"), [""; 0]);
    assert_eq!(received.fields("x.original.url"), [""; 0]);
    assert_eq!(received.fields("x_other"), ["1"]);
}

#[tokio::test]
async fn a_trace_is_continued() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    edge.get(&[parent, "tracestate: a=1", "tracestate: b=2"]).await;
    let received = origin.only();
    assert!(received.fields("traceparent")[0].starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_eq!(received.fields("tracestate"), ["a=1,b=2"]);
}

#[tokio::test]
async fn a_malformed_trace_is_started_anew_and_its_state_dropped() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    edge.get(&["traceparent: 00-xyz", "tracestate: a=1"]).await;
    let received = origin.only();
    assert_eq!(received.fields("traceparent")[0].len(), 55);
    assert_eq!(received.fields("tracestate"), [""; 0]);
}

#[tokio::test]
async fn hop_by_hop_fields_stop_here_in_both_directions() {
    let fields = [
        "Connection: X-Secret",
        "X-Secret: 1",
        "Keep-Alive: timeout=9",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "X-Stays: 1",
    ];
    let origin = Origin::always(Reply::head("200 OK", &fields, "a")).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let response =
        edge.get(&["connection: x-mine, te", "x-mine: 1", "te: trailers", "x-stays: 1"]).await;
    for gone in ["x-secret", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(response.fields(gone), [""; 0], "{gone}");
    }
    assert_eq!(response.fields("x-stays"), ["1"]);
    assert_eq!(response.fields("connection"), [""; 0], "HTTP/1.1 goes on unless it is told");
    let received = origin.only();
    for gone in ["x-mine", "te", "connection"] {
        assert_eq!(received.fields(gone), [""; 0], "{gone}");
    }
    assert_eq!(received.fields("x-stays"), ["1"]);
}

#[tokio::test]
async fn a_response_with_two_lengths_is_none_even_if_they_are_equal() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let origin = Origin::always(Reply::Bytes(bytes)).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    assert_eq!(edge.get(&[]).await.status, 502);
}

#[tokio::test]
async fn a_client_cannot_take_away_what_we_add() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let response = edge.get(&["connection: x-request-id, traceparent", "x-request-id: abc"]).await;
    assert_eq!(response.status, 200);
    let received = origin.only();
    assert_eq!(received.fields("traceparent").len(), 1);
    assert_eq!(received.fields("connection"), [""; 0]);
}

#[tokio::test]
async fn a_whole_uri_is_asked_for_as_its_path() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let asked =
        async |line: &str, host: &str| edge.raw(format!("{line}\r\n{host}\r\n")).await.status;
    let host = "host: shop.test:8080\r\n";
    assert_eq!(asked("GET http://shop.test:8080/a?b=c HTTP/1.1", host).await, 200);
    assert_eq!(asked("OPTIONS http://shop.test:8080 HTTP/1.1", host).await, 200);
    assert_eq!(asked("GET http://shop.test/ HTTP/1.0", "").await, 200);
    let received = origin.received();
    let lines: Vec<&str> =
        received.iter().map(|request| request.head.lines().next().unwrap()).collect();
    assert_eq!(lines, ["GET /a?b=c HTTP/1.1", "OPTIONS * HTTP/1.1", "GET / HTTP/1.1"]);
    let hosts: Vec<_> = received.iter().flat_map(|request| request.fields("host")).collect();
    assert_eq!(hosts, ["shop.test:8080", "shop.test:8080", "shop.test"]);
    assert_eq!(received[2].fields("x-forwarded-host"), ["shop.test"]);
    for refused in ["ftp://shop.test:8080/", "shop.test:8080", "http://shop.test:8080/a/../b"] {
        let status = asked(&format!("GET {refused} HTTP/1.1"), host).await;
        assert_eq!(status, 400, "{refused}");
    }
    until("the refusals are counted", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        let counts = |said: &str| metrics.contains(&format!("pointsman_refused_total{said}"));
        counts("{reason=\"target\"} 2") && counts("{reason=\"path\"} 1")
    })
    .await;
    // What is asked for says where it goes, whatever `Host` says (RFC 9112, 3.2.2).
    assert_eq!(asked("GET http://other.test/x HTTP/1.1", host).await, 200);
    let last = origin.received().pop().unwrap();
    assert_eq!(
        (last.fields("host"), last.fields("x-forwarded-host")),
        (vec!["other.test"], vec!["other.test"])
    );
}

#[tokio::test]
async fn fields_with_odd_names_are_refused_dropped_or_passed_on() {
    for (option, status, gets) in
        [("", 400, None), ("drop", 200, Some("")), ("pass", 200, Some("a_b,c.d"))]
    {
        let origin = Origin::named("a").await;
        let option = match option {
            "" => String::new(),
            option => format!("[server.client]\nodd_names = \"{option}\"\n"),
        };
        let edge = Edge::start(&format!("{option}{}", shop(&[("only", &origin)], ""))).await;
        let fields = ["a_b: 1", "x-plain: 2", "c.d: 3", "connection: x-gone"];
        assert_eq!(edge.get(&fields).await.status, status, "{option}");
        let line = match gets {
            None => "pointsman_refused_total{reason=\"field_name\"} 1",
            Some("") => "pointsman_odd_field_names_total{did=\"dropped\"} 2",
            Some(_) => "pointsman_odd_field_names_total{did=\"passed\"} 2",
        };
        // The answer is there before it is counted.
        until(line, async || {
            let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
            metrics.lines().any(|said| said == line)
        })
        .await;
        let Some(gets) = gets else { continue };
        let received = origin.only();
        let odd: Vec<_> =
            ["a_b", "c.d"].into_iter().filter(|name| !received.fields(name).is_empty()).collect();
        assert_eq!((odd.join(",").as_str(), received.fields("x-plain")), (gets, vec!["2"]));
    }
}

#[tokio::test]
async fn who_comes_by_a_trusted_unix_socket_is_believed_and_no_address_is_made_up() {
    for trusts in [true, false] {
        let origin = Origin::named("a").await;
        let folder = tempfile::TempDir::new().unwrap();
        let front = folder.path().join("front.sock");
        let trusted = if trusts { "\"unix\"" } else { "\"0.0.0.0/0\"" };
        let head = HEAD
            .replace("workers = 2", &format!("workers = 2\ntrusted_proxies = [{trusted}]"))
            .replace(
                "[admin]",
                &format!("[[listeners]]\naddress = \"unix:{}\"\n[admin]", front.display()),
            );
        let lines = shop(&[("only", &origin)], "");
        let edge = Edge::start_file(&format!("{head}{lines}"), false).await;
        for field in ["x-forwarded-for: 203.0.113.9\r\n", ""] {
            let mut client = tokio::net::UnixStream::connect(&front).await.unwrap();
            let request =
                format!("GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n{field}\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let told: Vec<_> =
            origin.received().iter().map(|got| got.fields("x-forwarded-for").join("+")).collect();
        let requests = async || edge.admin("GET", "/v1/requests", "").await.1;
        until("both are remembered", async || requests().await.as_array().unwrap().len() == 2)
            .await;
        let requests = requests().await;
        let clients: Vec<_> = requests
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|request| request["client"].as_str())
            .collect();
        match trusts {
            true => assert_eq!(
                (told, clients),
                (vec!["203.0.113.9".into(), String::new()], vec!["203.0.113.9"])
            ),
            false => assert_eq!((told, clients), (vec![String::new(); 2], Vec::new())),
        }
    }
}
