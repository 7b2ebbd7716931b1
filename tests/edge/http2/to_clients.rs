//! Clients that speak HTTP/2, before origins that speak HTTP/1.1.

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::Method;

use super::edge;
use super::peer::{Client, read_all, send_all, whole};
use crate::harness::edge::shop;
use crate::harness::{Edge, Gate, Origin, Reply, until};

async fn before(origin: &Origin) -> Edge {
    edge(&shop(&[("only", origin)], "")).await
}

#[tokio::test]
async fn a_request_is_one_like_any_other() {
    let fields = ["keep-alive: timeout=5", "x-own: 1", "connection: keep-alive"];
    let origin = Origin::always(Reply::head("200 OK", &fields, "hello")).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    for _ in 0..3 {
        let got = client.get("/a?b=c").await;
        assert_eq!((got.status, &got.body[..]), (200, &b"hello"[..]));
        assert_eq!(got.field("x-own"), Some("1"));
        assert_eq!(got.field("content-length"), Some("5"));
        assert!(got.field("x-request-id").is_some() && got.field("date").is_some());
        assert!(got.field("connection").is_none() && got.field("keep-alive").is_none());
    }
    let head = origin.received().pop().unwrap().head;
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: shop.test\r\n"), "{head}");
    assert!(head.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    // HTTP/1.1 is still spoken there.
    assert_eq!(edge.get(&[]).await.status, 200);
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_requests_total{"), "{metrics}");
}

#[tokio::test]
async fn bodies_are_framed_as_each_side_frames_them() {
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n";
    let origin = Origin::with(|request| match request.head.split(' ').nth(1) {
        Some("/chunked") => Reply::Bytes(CHUNKED.to_vec()),
        Some("/close") => Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\n\r\nto its end".to_vec()),
        Some("/204") => Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        Some("/head") => Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_vec()),
        _ => Reply::ok("took it"),
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    assert_eq!(client.post("/", &[], b"hello").await.status, 200);
    let got = origin.received().pop().unwrap();
    assert_eq!(got.fields("transfer-encoding"), ["chunked"]);
    assert_eq!(got.body, b"5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.post("/", &[("content-length", "5")], b"hello").await.status, 200);
    let got = origin.received().pop().unwrap();
    assert_eq!((got.fields("content-length"), &got.body[..]), (vec!["5"], &b"hello"[..]));
    assert_eq!(got.fields("transfer-encoding"), [""; 0]);
    let got = client.get("/chunked").await;
    assert_eq!((&got.body[..], got.field("transfer-encoding")), (&b"abcde"[..], None));
    assert_eq!((got.trailers.len(), &got.trailers["x-sum"]), (1, &"7".parse().unwrap()));
    assert_eq!(client.get("/close").await.body, b"to its end");
    let got = client.get("/204").await;
    assert_eq!((got.status, got.body.len()), (204, 0));
    let request = client.request(Method::HEAD, "/head", &[]);
    let got = whole(client.begin(request, true).await.0).await.unwrap();
    assert_eq!((got.field("content-length"), got.body.len()), (Some("9"), 0));
}

#[tokio::test]
async fn many_share_a_connection_and_none_waits_for_another() {
    let gate = Gate::closed();
    let slow = gate.clone();
    let origin = Origin::with(move |request| match request.head.starts_with("GET /slow") {
        true => Reply::ok("slow").behind(&slow),
        false => Reply::ok("fast"),
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let slow: Vec<_> = (0..40)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/slow").await })
        })
        .collect();
    until("all are there", async || origin.received().len() == 40).await;
    for _ in 0..20 {
        assert_eq!(client.get("/fast").await.body, b"fast");
    }
    assert!(slow.iter().all(|slow| !slow.is_finished()));
    gate.open();
    for slow in slow {
        assert_eq!(slow.await.unwrap().body, b"slow");
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways_and_who_does_not_read_is_waited_for() {
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", large.len());
    let answer = [head.as_bytes(), &large].concat();
    let origin = Origin::always(Reply::Bytes(answer)).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let got = client.post("/", &[], &large).await;
    assert!(got.body == large, "{} bytes", got.body.len());
    let body: usize = origin.received()[0].body.len();
    assert!(body > large.len(), "{body}");
    // One that reads nothing gets no more than its window, and takes nothing from others.
    let request = client.request(Method::GET, "/", &[]);
    let (stuck, _) = client.begin(request, true).await;
    let (_, mut unread) = stuck.await.unwrap().into_parts();
    for _ in 0..2 {
        assert!(client.get("/").await.body == large);
    }
    assert!(read_all(&mut unread).await.unwrap() == large);
}

#[tokio::test]
async fn interim_heads_pass() {
    const EARLY: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let origin = Origin::always(Reply::Bytes(EARLY.to_vec())).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let request = client.request(Method::GET, "/", &[]);
    let (mut response, _) = client.begin(request, true).await;
    let interim = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
    let interim = interim.unwrap().unwrap();
    assert_eq!(
        (interim.status().as_u16(), &interim.headers()["link"]),
        (103, &"</a.css>".parse().unwrap())
    );
    assert_eq!(whole(response).await.unwrap().body, b"ok");
}

#[tokio::test]
async fn what_breaks_off_is_reset_and_takes_nothing_with_it() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_vec();
    let origin = Origin::with(move |request| match request.head.starts_with("GET /cut") {
        true => Reply::BytesThenClose(cut.clone()),
        false => Reply::ok("well"),
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let request = client.request(Method::GET, "/cut", &[]);
    let error = whole(client.begin(request, true).await.0).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{error:?}");
    assert_eq!(client.get("/").await.body, b"well");
}

#[tokio::test]
async fn a_client_that_leaves_one_request_frees_its_place() {
    let gate = Gate::closed();
    let origin = Origin::always(Reply::ok("late").behind(&gate)).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let in_flight = async || {
        edge.admin("GET", "/v1/services/shop", "").await.1["pools"][0]["in_flight"].clone()
    };
    let request = client.request(Method::GET, "/", &[]);
    let (response, mut stream) = client.begin(request, true).await;
    until("it is asked", async || in_flight().await == 1).await;
    stream.send_reset(Reason::CANCEL);
    drop(response);
    until("it is over", async || in_flight().await == 0).await;
    gate.open();
    assert_eq!(client.get("/").await.body, b"late");
}

#[tokio::test]
async fn what_http_1_would_refuse_is_refused_here() {
    let origin = Origin::named("a").await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    for (path, fields, status) in [
        ("/a/../b", &[][..], 400),
        ("/", &[("host", "other.test")], 400),
        ("/", &[("x_forwarded_for", "1")], 400),
        ("/", &[("expect", "magic")], 417),
    ] {
        let request = client.request(Method::GET, path, fields);
        let got = whole(client.begin(request, true).await.0).await.unwrap();
        assert_eq!(got.status, status, "{path} {fields:?}");
        assert!(got.field("x-request-id").is_some(), "{path} {fields:?}");
    }
    let request = client.request(Method::TRACE, "/", &[]);
    assert_eq!(whole(client.begin(request, true).await.0).await.unwrap().status, 405);
    let same = [("host", "shop.test"), ("cookie", "a=1"), ("cookie", "b=2")];
    let request = client.request(Method::GET, "/", &same);
    assert_eq!(whole(client.begin(request, true).await.0).await.unwrap().status, 200);
    let got = origin.only();
    assert_eq!((got.fields("cookie"), got.fields("host")), (vec!["a=1; b=2"], vec!["shop.test"]));
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    let origin = Origin::with(|request| match request.head.starts_with("POST /no") {
        true => Reply::BytesThenClose(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno".to_vec()),
        false => Reply::ok("well"),
    })
    .await;
    let edge = edge(&shop(&[("only", &origin)], "")).await;
    let client = Client::connect(edge.address).await;
    let request = client.request(Method::POST, "/a/../b", &[]);
    let (response, mut stream) = client.begin(request, false).await;
    assert_eq!(whole(response).await.unwrap().status, 400);
    // What is left of it is not waited for.
    let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
    assert_eq!(reset, Reason::NO_ERROR);
    let _ = stream.send_data(Bytes::from_static(b"late"), true);
    let request = client.request(Method::POST, "/", &[]);
    let (response, mut stream) = client.begin(request, false).await;
    send_all(&mut stream, b"body").await;
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(whole(response).await.unwrap().body, b"well");
}

#[tokio::test]
async fn who_sends_on_behind_an_early_answer_is_let_finish() {
    // An upstream that answers before it has read anything, and we ourselves.
    let origin = Origin::with(|request| match request.head.starts_with("POST /early") {
        true => Reply::BytesThenClose(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno".to_vec()),
        false => Reply::ok("well"),
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    // More than there is room for ahead: a part of it has to be taken in.
    let body = vec![b'x'; 700 * 1024];
    for (path, status) in [("/a/../b", 400), ("/early", 413)] {
        // Some clients read the answer when they have sent all; a busy machine may take too long over it.
        until("all of it is taken", async || {
            let request = client.request(Method::POST, path, &[]);
            let (response, mut stream) = client.begin(request, false).await;
            let mut rest = &body[..];
            while !rest.is_empty() {
                stream.reserve_capacity(rest.len());
                let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                let Some(Ok(room)) = room else { return false };
                let (now, later) = rest.split_at(room.min(rest.len()));
                if stream.send_data(Bytes::copy_from_slice(now), later.is_empty()).is_err() {
                    return false;
                }
                rest = later;
            }
            whole(response).await.is_ok_and(|got| got.status == status)
        })
        .await;
    }
    assert_eq!(client.get("/").await.body, b"well");
}

#[tokio::test]
async fn a_stop_says_goodbye_and_serves_what_is_under_way() {
    let gate = Gate::closed();
    let origin = Origin::always(Reply::ok("late").behind(&gate)).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let request = client.request(Method::GET, "/", &[]);
    let (response, _) = client.begin(request, true).await;
    until("it is asked", async || origin.asked() == 1).await;
    let stopping = tokio::spawn(edge.server.stop());
    // No new one is taken once the goodbye is here.
    until("it is said", async || !client.takes_more().await).await;
    gate.open();
    assert_eq!(whole(response).await.unwrap().body, b"late");
    assert_eq!(stopping.await.unwrap(), 0);
}

#[tokio::test]
async fn a_websocket_is_a_tunnel_here_too() {
    const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-accept: x\r\nsec-websocket-protocol: chat\r\n\r\n";
    let origin = Origin::always(Reply::Echo(SWITCH.to_vec())).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    client.takes_websockets().await;
    // A key of the client's own is of no use to anybody.
    let fields = [("sec-websocket-version", "13"), ("sec-websocket-key", "b3du")];
    let mut request = client.request(Method::CONNECT, "/chat", &fields);
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, mut stream) = client.begin(request, false).await;
    let (parts, mut body) = response.await.unwrap().into_parts();
    assert_eq!(parts.status, 200);
    assert_eq!(parts.headers["sec-websocket-protocol"], "chat");
    for name in ["upgrade", "sec-websocket-accept"] {
        assert!(!parts.headers.contains_key(name), "{:?}", parts.headers);
    }
    for word in ["one", "two"] {
        send_all(&mut stream, word.as_bytes()).await;
        assert_eq!(body.data().await.unwrap().unwrap(), word);
    }
    let head = origin.only().head;
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert_eq!(head.matches("\r\nsec-websocket-key: ").count(), 1, "{head}");
    assert!(!head.contains("b3du"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    // A tunnel to anywhere else is not to be had.
    let request = client.request(Method::CONNECT, "/", &[]);
    assert_eq!(whole(client.begin(request, true).await.0).await.unwrap().status, 405);
}

#[tokio::test]
async fn a_listener_speaks_what_it_says_and_nothing_else() {
    let origin = Origin::named("a").await;
    let only = super::HEAD.replace("\"http1\", \"h2\"", "\"h2\"");
    let edge = Edge::start_file(&format!("{only}{}", shop(&[("only", &origin)], "")), true).await;
    assert_eq!(Client::connect(edge.address).await.get("/").await.status, 200);
    let refused = edge.get(&[]).await;
    assert_eq!(refused.status, 505);
    assert!(refused.body.contains("only HTTP/2 is spoken here"), "{}", refused.body);
    until("it is counted", async || {
        let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
        metrics.contains("pointsman_refused_total{reason=\"http1\"} 1")
    })
    .await;
}
