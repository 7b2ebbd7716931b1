//! Copies of live requests for a pool that is yet to get traffic.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::harness::chance::is_likely;
use crate::harness::client::get;
use crate::harness::edge::{HEAD, shop};
use crate::harness::origin::Received;
use crate::harness::{Edge, Origin, Reply, until};
use crate::http2::peer;

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// An edge whose `blue` serves and whose `green` gets copies, with these lines on how.
async fn edge(blue: &Origin, green: &Origin, lines: &str) -> Edge {
    let service = format!("ejection = false\n[services.shop.mirror]\nto = \"green\"\n{lines}");
    let split = format!("split = {{ blue = 100, green = 0 }}\n{service}");
    Edge::before(&[("blue", blue), ("green", green)], &split).await
}

async fn report(edge: &Edge) -> Value {
    let (status, report) = edge.admin("GET", "/v1/services/shop/mirror", "").await;
    assert_eq!(status, 200, "{report}");
    report
}

/// Waits until so many copies have come to an end of this kind.
async fn until_counted(edge: &Edge, what: &str, wanted: u64) {
    until(what, async || report(edge).await[what] == wanted).await;
}

/// Sends a GET of `/` so many times on one connection; each must succeed.
async fn gets(edge: &Edge, count: usize) {
    let mut client = edge.client().await;
    for _ in 0..count {
        client.send(GET).await;
        assert_eq!(client.response().await.body, "blue");
    }
}

#[tokio::test]
async fn the_share_that_is_set_is_copied() {
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let edge = edge(&blue, &green, "percent = 25\nqueue = 10_000\n").await;
    gets(&edge, 1_000).await;
    until("nothing waits", async || {
        let report = report(&edge).await;
        report["waiting"] == 0 && report["sent"] == green.asked()
    })
    .await;
    assert!(is_likely(green.asked(), 1_000, 0.25), "{} of 1,000", green.asked());
    assert_eq!(blue.asked(), 1_000);
    let report = report(&edge).await;
    assert_eq!((&report["dropped"], &report["failed"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(report["comparisons"], Value::Null);
}

#[tokio::test]
async fn a_copy_is_the_request_as_the_upstream_gets_it_but_marked() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let lines = "percent = 100\nmethods = [\"PUT\", \"GET\"]\nbody_limit = \"8B\"\n";
    let edge = edge(&blue, &green, lines).await;
    let fields = "host: shop.test\r\nx-real-ip: 192.0.2.9\r\nconnection: x-mine\r\nx-mine: 1\r\n\
                  x-other: 2\r\n";
    edge.raw(format!("PUT /a?b=c HTTP/1.1\r\n{fields}content-length: 5\r\n\r\nhello")).await;
    until("the copy is there", async || green.asked() == 1).await;
    let (live, copy) = (blue.only(), green.only());
    assert_eq!(copy.head.lines().next(), Some("PUT /a?b=c HTTP/1.1"));
    assert_eq!(copy.body, b"hello");
    assert_eq!(copy.fields("x-pointsman-mirror"), ["1"]);
    assert_eq!(live.fields("x-pointsman-mirror"), [""; 0]);
    for same in ["host", "x-request-id", "traceparent", "x-forwarded-for", "x-other"] {
        assert!(live.fields(same).len() == 1, "{same}");
        assert_eq!(copy.fields(same), live.fields(same), "{same}");
    }
    assert_eq!((copy.fields("x-real-ip"), copy.fields("x-mine")), (vec![], vec![]));
    // Whole only: not one with a longer body, however it is framed.
    let put = "PUT /long HTTP/1.1\r\nhost: shop.test\r\n";
    edge.raw(format!("{put}content-length: 9\r\n\r\n123456789")).await;
    let chunked = "transfer-encoding: chunked\r\n\r\n4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n";
    edge.raw(format!("{put}{chunked}")).await;
    let chunked = "transfer-encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n";
    edge.raw(format!("{}{chunked}", put.replace("long", "short"))).await;
    until("the short one is there", async || green.asked() == 2).await;
    let last = &green.received()[1];
    assert_eq!(last.head.lines().next(), Some("PUT /short HTTP/1.1"));
    assert_eq!(last.body, b"12345678");
    assert_eq!(blue.asked(), 4);
}

#[tokio::test]
async fn copies_go_in_http2_to_a_pool_that_speaks_it() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let green = peer::Origin::new(move |request, mut respond| {
        let told = told.clone();
        async move {
            let (head, mut body) = request.into_parts();
            told.send((head, peer::read_all(&mut body).await.unwrap())).unwrap();
            let head = http::Response::builder().header("x-kind", "b").body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(bytes::Bytes::from_static(b"blue"), false).unwrap();
            stream.send_trailers(peer::map_of(&[("x-sum", "1")])).unwrap();
        }
    })
    .await;
    let blue = Origin::always(Reply::head("200 OK", &["x-kind: a"], "blue")).await;
    let text = format!(
        "[services.shop]\nsplit = {{ blue = 100, green = 0 }}\n[services.shop.mirror]\nto = \"green\"\n\
         percent = 100\nmethods = [\"PUT\", \"GET\"]\nbody_limit = \"1MiB\"\n\
         compare = {{ headers = [\"x-kind\"] }}\n\
         [services.shop.pools.blue]\nupstreams = [\"{}\"]\n\
         [services.shop.pools.green]\nhttp2 = true\nupstreams = [\"{}\"]\n",
        blue.address, green.address
    );
    let edge = Edge::start(&text).await;
    let mut client = edge.client().await;
    // More than a window, so that there is to be waited for room.
    let long = "x".repeat(200_000);
    for (sent, body) in (1..).zip(["", "hello", &long]) {
        let length = body.len();
        client
            .send(format!(
                "PUT /a?b=c HTTP/1.1\r\nhost: shop.test\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        assert_eq!(client.response().await.body, "blue");
        let (head, got) = heard.recv().await.unwrap();
        assert_eq!(
            (head.method.as_str(), &*head.uri.to_string()),
            ("PUT", "http://shop.test/a?b=c")
        );
        assert_eq!(
            (&head.headers["x-pointsman-mirror"], got.len()),
            (&"1".parse().unwrap(), length)
        );
        until_counted(&edge, "sent", sent).await;
    }
    let told = report(&edge).await;
    assert_eq!((&told["failed"], &told["dropped"]), (&json!(0), &json!(0)), "{told}");
    assert_eq!(told["comparisons"]["headers"], 3, "{told}");
    assert_eq!(green.connections.load(std::sync::atomic::Ordering::Relaxed), 1, "it is kept");
}

#[tokio::test]
async fn what_is_not_idempotent_or_goes_there_anyway_is_not_copied() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let lines = "percent = 100\n[services.shop.override]\nheader = \"x-pool\"\n";
    let edge = edge(&blue, &green, lines).await;
    let post = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(edge.raw(post).await.body, "blue");
    assert_eq!(edge.get(&["x-pool: green"]).await.body, "green");
    // Everything before it has been decided when this one's copy is there.
    edge.get(&["x-last: 1"]).await;
    let is_last = |received: &Received| !received.fields("x-last").is_empty();
    until("the last one's copy is there", async || green.received().iter().any(is_last)).await;
    let marked: Vec<bool> =
        green.received().iter().map(|r| !r.fields("x-pointsman-mirror").is_empty()).collect();
    assert_eq!(marked, [false, true]);
    let (_, flipped) = edge.admin("POST", "/v1/services/shop/flip", r#"{"to": "green"}"#).await;
    assert_eq!(flipped["weights"]["green"], 100.0);
    assert_eq!(edge.get(&[]).await.body, "green");
    until_counted(&edge, "sent", 1).await;
    assert_eq!(green.asked(), 3);
}

#[tokio::test]
async fn a_mark_of_the_clients_own_goes_nowhere_without_a_mirror_too() {
    let origin = Origin::named("blue").await;
    let edge = Edge::before(&[("blue", &origin)], "").await;
    edge.get(&["x-pointsman-mirror: 1", "X-Pointsman-Mirror: 2"]).await;
    assert_eq!(origin.only().fields("x-pointsman-mirror"), [""; 0]);
    let (status, problem) = edge.admin("GET", "/v1/services/shop/mirror", "").await;
    assert_eq!((status, &problem["type"]), (404, &json!("no-mirror")));
}

#[tokio::test]
async fn a_mirror_that_points_at_ourselves_ends() {
    let blue = Origin::fast("blue").await;
    let edge = Edge::before(&[("blue", &blue)], "split = { blue = 100, green = 0 }\n[services.shop.mirror]\nto = \"green\"\npercent = 100\n[services.shop.pools]\ngreen.upstreams = []\n").await;
    let (here, green) = (edge.address, "/v1/services/shop/pools/green/upstreams");
    let (status, answer) = edge.admin("POST", green, &json!({ "address": here }).to_string()).await;
    assert_eq!(status, 201, "{answer}");
    gets(&edge, 20).await;
    until_counted(&edge, "sent", 20).await;
    // Each was answered twice, for its client and for its copy, and the copy has none.
    assert_eq!(blue.asked(), 40);
    let report = report(&edge).await;
    assert_eq!(
        (&report["sent"], &report["dropped"], &report["waiting"]),
        (&json!(20), &json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_copy_keeps_its_mark_from_a_trusted_peer_and_is_not_copied_again() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let lines = "split = { blue = 100, green = 0 }\n[services.shop.mirror]\nto = \"green\"\npercent = 100\n";
    let lines = shop(&[("blue", &blue), ("green", &green)], lines);
    let head = HEAD.replace("workers = 2", "workers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let edge = Edge::start_file(&format!("{head}{lines}"), false).await;
    edge.get(&["x-pointsman-mirror: 1"]).await;
    edge.get(&["x-last: 1"]).await;
    until("the last one's copy is there", async || green.asked() == 1).await;
    assert_eq!(green.only().fields("x-last"), ["1"]);
    assert_eq!(blue.received()[0].fields("x-pointsman-mirror"), ["1"]);
}

#[tokio::test]
async fn a_mirror_that_hangs_delays_nobody_and_what_is_too_much_is_dropped() {
    let (blue, green) = (Origin::fast("blue").await, Origin::unread().await);
    let lines = "percent = 100\nqueue = 5\nconcurrent = 2\ntimeout = \"1h\"\n";
    let edge = edge(&blue, &green, lines).await;
    // All are answered while no copy ever is: nothing waits for one.
    gets(&edge, 50).await;
    let all = Cell::new(50);
    until("all but two under way and five that wait are dropped", async || {
        gets(&edge, 1).await;
        all.set(all.get() + 1);
        let report = report(&edge).await;
        report["waiting"] == 5 && report["dropped"] == all.get() - 7
    })
    .await;
    let report = report(&edge).await;
    assert_eq!((&report["sent"], &report["failed"]), (&json!(0), &json!(0)), "{report}");
}

#[tokio::test]
async fn a_mirror_that_fails_is_counted_and_leaves_the_pool_as_it_was() {
    let blue = Origin::fast("blue").await;
    let green = Origin::always(Reply::Close).await;
    let edge = edge(&blue, &green, "percent = 100\ntimeout = \"5s\"\nqueue = 1000\n").await;
    gets(&edge, 60).await;
    until_counted(&edge, "failed", 60).await;
    let said = report(&edge).await["last_failure"].as_str().unwrap().to_string();
    assert!(said.contains(&green.address.to_string()), "{said}");
    let (_, pool) = edge.admin("GET", "/v1/services/shop/pools/green", "").await;
    let upstream = &pool["upstreams"][0];
    assert_eq!(pool["breaker"]["state"], "closed");
    assert_eq!(
        (&upstream["breaker"]["state"], &upstream["state"]),
        (&json!("closed"), &json!("active"))
    );
    assert_eq!(
        (&upstream["requests"], &upstream["errors"], &upstream["in_flight"]),
        (&json!(0), &json!(0), &json!(0))
    );
    // A failure would weigh five seconds.
    assert!(upstream["latency_seconds"].as_f64().unwrap() < 0.1, "{upstream}");
}

#[tokio::test]
async fn answers_that_differ_are_reported_and_equal_ones_are_the_same() {
    // The body in two chunks here, and by its length there: the same to who reads it.
    let script = |is_green: bool| {
        move |request: &Received| {
            let plain = |status, kind, body| Reply::head(status, &[kind], body);
            match request.head.split(' ').nth(1).unwrap_or_default() {
                "/status?secret" if is_green => plain("500 Oh No", "content-type: a/a", "hello"),
                "/header" if is_green => plain("200 OK", "content-type: b/b", "hello"),
                "/body" if is_green => plain("200 OK", "content-type: a/a", "hallo"),
                "/same" if is_green => Reply::Bytes(
                    b"HTTP/1.1 200 OK\r\ncontent-type: a/a\r\nx-other: 1\r\n\
                      transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
                        .to_vec(),
                ),
                _ => plain("200 OK", "content-type: a/a", "hello"),
            }
        }
    };
    let (blue, green) = (Origin::with(script(false)).await, Origin::with(script(true)).await);
    let edge = edge(&blue, &green, "percent = 100\ncompare = {}\n").await;
    for (sent, path) in ["/same", "/status?secret", "/header", "/body"].iter().enumerate() {
        let id = format!("x-request-id: id-{sent}");
        assert_eq!(get(edge.address, "shop.test", path, &[&id]).await.body, "hello");
        // One after the other, so that the report has an order.
        until_counted(&edge, "sent", sent as u64 + 1).await;
    }
    until("all are compared", async || {
        report(&edge).await["comparisons"]
            == json!({"same": 1, "status": 1, "headers": 1, "body": 1})
    })
    .await;
    let report = report(&edge).await;
    let of = |found: &Value| {
        let part = &found["parts"][0]["part"];
        (found["path"].clone(), found["request_id"].clone(), part.clone())
    };
    let found: Vec<_> = report["differences"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(
        found,
        [
            (json!("/body"), json!("id-3"), json!("body")),
            (json!("/header"), json!("id-2"), json!("header content-type")),
            (json!("/status"), json!("id-1"), json!("status")),
        ]
    );
    let status = &report["differences"][2]["parts"][0];
    assert_eq!((&status["live"], &status["mirror"]), (&json!("200"), &json!("500")));
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let labels = "service=\"shop\",pool=\"green\"";
    for line in [
        format!("pointsman_mirrored_requests_total{{{labels},result=\"sent\"}} 4\n"),
        format!("pointsman_mirror_comparisons_total{{{labels},result=\"same\"}} 1\n"),
        format!("pointsman_mirror_comparisons_total{{{labels},result=\"headers\"}} 1\n"),
    ] {
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn an_answer_from_a_second_try_is_compared_and_the_body_is_copied_once() {
    let failing = Origin::always(Reply::Close).await;
    let (well, green) = (Origin::named("well").await, Origin::named("well").await);
    let lines = format!(
        "[services.shop]\nsplit = {{ blue = 100, green = 0 }}\nbalance.by = \"round-robin\"\n\
         ejection = false\n[services.shop.mirror]\nto = \"green\"\npercent = 100\n\
         methods = [\"PUT\"]\ncompare = {{}}\n[services.shop.pools]\n\
         blue.upstreams = [\"{}\", \"{}\"]\ngreen.upstreams = [\"{}\"]\n",
        failing.address, well.address, green.address
    );
    let edge = Edge::start(&lines).await;
    let put = "PUT / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\nhello";
    for _ in 0..2 {
        assert_eq!(edge.raw(put).await.body, "well");
    }
    assert!(failing.asked() >= 1, "one of two turns is the failing one's");
    until("both are compared", async || report(&edge).await["comparisons"]["same"] == 2).await;
    assert!(green.received().iter().all(|copy| copy.body == b"hello"));
}

#[tokio::test]
async fn what_came_of_copies_outlives_a_reload() {
    let (blue, green) = (Origin::fast("blue").await, Origin::fast("green").await);
    let edge = edge(&blue, &green, "percent = 100\n").await;
    gets(&edge, 3).await;
    until_counted(&edge, "sent", 3).await;
    let text = std::fs::read_to_string(edge.file()).unwrap();
    let before = edge.generation();
    std::fs::write(edge.file(), text.replace("percent = 100", "percent = 0")).unwrap();
    edge.until_after(before).await;
    gets(&edge, 3).await;
    let report = report(&edge).await;
    assert_eq!((&report["sent"], &report["percent"]), (&json!(3), &json!(0.0)));
    assert_eq!(green.asked(), 3);
}
