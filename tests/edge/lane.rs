//! The HTTP/1.1 lane: what it takes and refuses, and what becomes of its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::edge::shop_at;
use crate::harness::origin::Received;
use crate::harness::{Edge, Origin, Reply, until};

#[tokio::test]
async fn what_speaks_something_else_is_told_so_and_counted() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let cases: [(&[u8], u16, &str, &str); 6] = [
        (&hello, 400, "this is TLS", "tls"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 400, "PROXY protocol", "proxy_header"),
        (b"\r\n\r\n\0\r\nQUIT\n", 400, "PROXY protocol", "proxy_header"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "this is HTTP/2", "http2"),
        (b"GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505, "only HTTP/1.0 and HTTP/1.1", "version"),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", 405, "CONNECT", "connect"),
    ];
    for (bytes, status, words, reason) in cases {
        let response = edge.raw(bytes).await;
        assert_eq!(response.status, status, "{}", bytes.escape_ascii());
        assert!(response.body.contains(words), "{}", response.body);
        assert_eq!(response.fields("x-request-id").len(), 1, "{}", response.head);
        assert_eq!(response.fields("connection"), ["close"]);
        assert_eq!(response.fields("server"), [""; 0]);
        until("it is counted", async || {
            let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
            metrics.contains(&format!("pointsman_refused_total{{reason=\"{reason}\"}}"))
        })
        .await;
    }
    assert_eq!(origin.received().len(), 0);
}

#[tokio::test]
async fn a_target_goes_on_as_it_came_whatever_bytes_it_holds() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    for target in ["/a\"<b>`{c}|\\^", "/?q=\"><script>", "//x", "/%E9?%"] {
        let response = edge.raw(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(response.status, 200, "{target}");
        let head = origin.received().pop().unwrap().head;
        assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
    }
    let latin = b"GET /caf\xe9?x=\xff HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(edge.raw(latin).await.status, 200);
    for refused in ["/a#b", "/a\x7f", "/a\tb"] {
        let response = edge.raw(format!("GET {refused} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(response.status, 400, "{refused}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_chunked_and_ours_goes_on() {
    let bytes = b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec();
    let origin = Origin::always(Reply::BytesThenClose(bytes)).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let response = client.response().await;
        assert_eq!(response.fields("transfer-encoding"), ["chunked"]);
        assert_eq!(response.fields("date").len(), 1, "{}", response.head);
        assert!(response.body.contains("hello"), "{}", response.body);
    }
}

#[tokio::test]
async fn who_has_left_the_line_is_not_served_and_takes_nobodys_place() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let hold = r#"{"mode": "hold", "for": "60s", "most": 5}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", hold).await.0, 200);
    let waiting =
        async || edge.admin("GET", "/v1/status", "").await.1["services"][0]["waiting"].clone();
    let post = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 5\r\n\r\nhello";
    // Twice as many as there is room for, five at a time.
    for _ in 0..2 {
        let clients = crate::harness::connect(edge.address, 5, post).await;
        until("all stand in line", async || waiting().await == 5).await;
        drop(clients);
        until("all have left", async || waiting().await == 0).await;
    }
    let mut stays = edge.client().await;
    stays.send(post).await;
    until("one stands in line", async || waiting().await == 1).await;
    let serve = r#"{"mode": "serve"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", serve).await.0, 200);
    assert_eq!(stays.response().await.status, 200);
    assert_eq!(origin.received().len(), 1);
}

#[tokio::test]
async fn who_has_left_the_line_is_seen_whatever_it_has_sent() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    // At most half of the line is for those whose bodies have yet to come.
    let hold = r#"{"mode": "hold", "for": "5m", "most": 10}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", hold).await.0, 200);
    let waiting =
        async || edge.admin("GET", "/v1/status", "").await.1["services"][0]["waiting"].clone();
    // More than is read ahead, and no more than the kernel takes.
    let body = "x".repeat(90 * 1024);
    let head =
        format!("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut clients = crate::harness::connect(edge.address, 5, &(head.clone() + &body)).await;
    until("all stand in line", async || waiting().await == 5).await;
    clients.truncate(1);
    let mut stays = clients.remove(0);
    until("one stands in line", async || waiting().await == 1).await;
    let serve = r#"{"mode": "serve"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/shop/mode", serve).await.0, 200);
    assert_eq!(stays.response().await.status, 200);
    let received = origin.received();
    assert_eq!(received.iter().filter(|one| one.body.len() == body.len()).count(), 1);
}

#[tokio::test]
async fn a_trace_is_refused_and_its_connection_goes_on() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    client.send("TRACE / HTTP/1.1\r\nhost: a\r\ncookie: secret\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.status, 405);
    assert!(!response.body.contains("secret") && response.body.contains("TRACE"), "{response:?}");
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    assert!(origin.only().head.starts_with("GET "));
    until("it is counted", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        metrics.contains("pointsman_refused_total{reason=\"trace\"} 1")
    })
    .await;
}

#[tokio::test]
async fn options_go_on_as_often_as_they_may() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    let mut ask = async |method: &str, most: &str| {
        let head = format!("{method} / HTTP/1.1\r\nhost: a\r\nMax-Forwards: {most}\r\n\r\n");
        client.send(head).await;
        client.response().await.status
    };
    assert_eq!(ask("OPTIONS", "0").await, 204);
    assert_eq!(origin.received().len(), 0);
    assert_eq!(ask("OPTIONS", "1").await, 200);
    assert_eq!(ask("OPTIONS", "12").await, 200);
    // Others do not ask (RFC 9110, 7.6.2).
    assert_eq!(ask("GET", "0").await, 200);
    let told: Vec<_> =
        origin.received().iter().map(|got| got.fields("max-forwards").join("+")).collect();
    assert_eq!(told, ["0", "11", "0"]);
}

#[tokio::test]
async fn trailers_go_to_who_takes_them_so_far_as_they_decide_nothing() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
                   X-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nServer-Timing: a\r\nX_Odd: 1\r\n\r\n";
    let origin = Origin::always(Reply::Bytes(answer.to_vec())).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let ask = async |version: &str, fields: &str| {
        let mut client = edge.client().await;
        let head = format!("GET / HTTP/{version}\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        client.send(head).await;
        let got = String::from_utf8(client.rest().await).unwrap();
        got.split_once("\r\n\r\n").unwrap().1.to_string()
    };
    let passed = "3\r\nabc\r\n0\r\nX-Sum: 1\r\nServer-Timing: a\r\n\r\n";
    assert_eq!(ask("1.1", "TE: trailers\r\n").await, passed);
    assert_eq!(ask("1.1", "TE: gzip, Trailers\r\n").await, passed);
    for fields in ["", "TE: gzip\r\n", "Trailer: X-Sum\r\n"] {
        assert_eq!(ask("1.1", fields).await, "3\r\nabc\r\n0\r\n\r\n", "{fields}");
    }
    assert_eq!(ask("1.0", "TE: trailers\r\n").await, "abc");
}

#[tokio::test]
async fn trailers_of_a_request_go_on_as_announced_so_far_as_they_decide_nothing() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    for (announced, said, passed) in [
        ("", "", ""),
        ("trailer: X-Sum, Host\r\ntrailer: x-late\r\n", "X-Sum, x-late", "X-Sum: 1\r\n"),
        ("trailer: Host, content-length\r\n", "", ""),
    ] {
        let post = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n{announced}\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: b\r\nX-Other: 2\r\n\r\n"
        );
        client.send(post).await;
        assert_eq!(client.response().await.status, 200);
        let got = origin.received().pop().unwrap();
        let body = format!("3\r\nabc\r\n0\r\n{passed}\r\n");
        assert_eq!(String::from_utf8_lossy(&got.body), body, "{announced}");
        assert_eq!(got.fields("trailer").join(", "), said);
    }
    // A body of a known length has none behind it.
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntrailer: x\r\n\r\nabc").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(origin.received().pop().unwrap().fields("trailer"), [""; 0]);
}

#[tokio::test]
async fn who_is_asked_next_gets_the_trailers_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let script = |count: Arc<AtomicUsize>| {
        move |_: &Received| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::Close,
            _ => Reply::ok("fine"),
        }
    };
    let (one, other) =
        (Origin::with(script(count.clone())).await, Origin::with(script(count)).await);
    let both = [one.address, other.address];
    let edge = Edge::start(&shop_at(&[("only", &both)], "")).await;
    let put = "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: X-Sum\r\n\r\n\
               3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(edge.raw(put).await.status, 200);
    for origin in [one, other] {
        let got = origin.only();
        assert_eq!(String::from_utf8_lossy(&got.body), "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
    }
}

#[tokio::test]
async fn a_connection_goes_on_behind_an_upload_of_any_length() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    // Around the length up to which pieces are copied, and around that of the rooms.
    for length in [1, 4_095, 4_096, 4_097, 5_000, 15_000, 16_384, 17_000, 64_000, 70_000, 300_000] {
        let body = "x".repeat(length);
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        client.send(head + &body).await;
        let response = client.next_response(false).await;
        assert_eq!(response.map(|it| it.status), Some(200), "{length}");
    }
    assert_eq!(origin.received().len(), 11);
}

#[tokio::test]
async fn an_answer_is_over_with_its_last_byte_whatever_its_length() {
    let origin = Origin::with(|request| {
        let length = request.head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        Reply::ok(&"x".repeat(length))
    })
    .await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut clients = Vec::new();
    let lengths = [1, 4_096, 4_097, 10_000, 16_384, 70_000, 300_000];
    for length in lengths {
        let mut client = edge.client().await;
        client.send(format!("GET /{length} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(client.response().await.body.len(), length);
        // It says nothing more, and stays.
        clients.push(client);
    }
    until("all are over", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        let line = "pointsman_requests_total{service=\"shop\",pool=\"only\",code=\"2xx\"} 7";
        metrics.lines().any(|said| said == line)
    })
    .await;
}

#[tokio::test]
async fn who_has_sent_a_whole_upload_is_not_blamed_for_silence() {
    let origin = Origin::always(Reply::Nothing).await;
    let edge = Edge::before(&[("only", &origin)], "timeouts.response = \"300ms\"").await;
    for length in [10, 10_000] {
        let body = "x".repeat(length);
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        assert_eq!(edge.raw(head + &body).await.status, 504, "{length}");
    }
}

#[tokio::test]
async fn a_long_upload_that_is_answered_early_gets_its_answer() {
    let origin = Origin::named("a").await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let mut client = edge.client().await;
    // A path with dot segments is refused at once.
    client.send("POST /../x HTTP/1.1\r\nhost: a\r\ncontent-length: 8000000\r\n\r\n").await;
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..100 {
        if !client.try_send(&piece).await {
            break;
        }
    }
    assert_eq!(client.response().await.status, 400);
    assert_eq!(origin.received().len(), 0);
}

#[tokio::test]
async fn an_empty_line_behind_a_request_begins_no_other() {
    let origin = Origin::named("a").await;
    let edge = Edge::start(&format!(
        "[server.client]\nheader_timeout = \"2s\"\n{}",
        crate::harness::edge::shop(&[("only", &origin)], "")
    ))
    .await;
    let mut client = edge.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi\r\n").await;
    assert_eq!(client.response().await.status, 200);
    // Longer than a head may take, as one shows that begins now.
    let mut late = edge.client().await;
    late.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(late.response().await.status, 408);
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
}
