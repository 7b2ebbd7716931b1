//! Pools whose upstreams speak HTTP/2, before clients that speak either.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request, Response};
use pointsman::crypto;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ServerConfig;

use super::edge;
use super::peer::{Client, How, Origin, map_of, read_all, send_all, whole};
use crate::harness::{Edge, PATIENCE, until};
use crate::tls::certificates::{Authority, Files};

async fn before(origin: &Origin) -> Edge {
    let address = origin.address;
    edge(&format!("[services.shop.pools.only]\nhttp2 = true\nupstreams = [\"{address}\"]\n")).await
}

#[tokio::test]
async fn requests_of_either_kind_go_out_in_http2_on_connections_they_share() {
    let origin = Origin::echo(&[("x-sum", "7")]).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    for _ in 0..5 {
        let got = client.post("/a?b", &[("x-own", "1")], b"hello").await;
        assert_eq!((got.status, &got.body[..]), (200, &b"hello"[..]));
        assert_eq!(got.trailers["x-sum"], "7");
        let post = "POST /a?b HTTP/1.1\r\nhost: shop.test\r\nte: trailers\r\nconnection: te, close\r\n\
                    content-length: 5\r\n\r\nhello";
        let mut plain = edge.client().await;
        plain.send(post).await;
        let text = String::from_utf8(plain.rest().await).unwrap();
        assert!(text.contains("\r\ntransfer-encoding: chunked\r\n"), "{text}");
        assert!(text.ends_with("5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n"), "{text}");
        let got = client.get("/").await;
        assert_eq!((got.status, got.body.len()), (200, 0));
    }
    let heads = origin.heads.lock().unwrap();
    for head in heads.iter() {
        assert_eq!(head.uri().authority().unwrap(), "shop.test");
        assert_eq!(head.headers()["te"], "trailers");
        assert_eq!(head.headers()["x-forwarded-for"], "127.0.0.1");
        for name in ["host", "connection", "transfer-encoding"] {
            assert!(!head.headers().contains_key(name), "{head:?}");
        }
    }
    assert_eq!(heads.len(), 15);
    // One for each of the two threads that move requests; and one more for who comes at the moment at
    // which its own are swept.
    let connections = origin.connections.load(Ordering::Relaxed);
    assert!(connections <= 2 + 2, "{connections} for {} requests", heads.len());
}

#[tokio::test]
async fn a_call_ends_when_its_client_has_said_that_it_waits_no_longer() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::new(move |request, mut respond| {
        let told = told.clone();
        async move {
            let path = request.uri().path().to_string();
            if path == "/silent" {
                let left = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                return told.send((path, left.unwrap())).unwrap();
            }
            let head = Response::builder().header("content-type", "application/grpc");
            let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
            let left = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            told.send((path, left.unwrap())).unwrap();
        }
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let fields = [("content-type", "application/grpc"), ("grpc-timeout", "300m")];
    for (path, is_whole) in
        [("/silent", true), ("/silent", false), ("/streams", true), ("/streams", false)]
    {
        let request = client.request(Method::POST, path, &fields);
        let (response, mut stream) = client.begin(request, false).await;
        send_all(&mut stream, b"hello").await;
        if is_whole {
            stream.send_data(Bytes::new(), true).unwrap();
        }
        // Without this it would be waited for a quarter of an hour.
        let got = tokio::time::timeout(PATIENCE, whole(response)).await.unwrap();
        match path {
            "/silent" => assert_eq!(got.unwrap().field("grpc-status"), Some("4"), "{is_whole}"),
            _ => assert!(got.unwrap_err().is_reset(), "{is_whole}"),
        }
        let told = tokio::time::timeout(PATIENCE, heard.recv()).await.unwrap();
        assert_eq!(told.unwrap(), (path.to_string(), Reason::CANCEL));
    }
    // Nobody else was asked for them.
    assert_eq!(origin.heads.lock().unwrap().len(), 4);
    let counted = "pointsman_refused_total{reason=\"call_over\"} 2";
    until("all are counted", async || {
        edge.admin_with("GET", "/metrics", "", &[]).await.body.contains(counted)
    })
    .await;
}

#[tokio::test]
async fn a_call_that_stands_in_line_ends_when_its_client_waits_no_longer() {
    let origin = Origin::new(|_, respond| async move {
        // It keeps the one place there is.
        std::future::pending::<()>().await;
        drop(respond);
    })
    .await;
    let address = origin.address;
    let edge = edge(&format!(
        "[services.shop]\nlimits = {{ in_flight = 1, queue = 9, queue_timeout = \"60s\" }}\n\
         [services.shop.pools.only]\nhttp2 = true\nupstreams = [\"{address}\"]\n"
    ))
    .await;
    let client = Client::connect(edge.address).await;
    let fields = [("content-type", "application/grpc"), ("grpc-timeout", "300m")];
    let _first = client.begin(client.request(Method::POST, "/", &fields[..1]), true).await;
    until("it is asked", async || origin.heads.lock().unwrap().len() == 1).await;
    let (response, _) = client.begin(client.request(Method::POST, "/", &fields), true).await;
    // Without this it would stand there for a minute.
    let got = tokio::time::timeout(PATIENCE, whole(response)).await.unwrap().unwrap();
    assert_eq!(got.field("grpc-status"), Some("4"));
    assert_eq!(origin.heads.lock().unwrap().len(), 1, "nobody was asked for it");
}

#[tokio::test]
async fn trailers_of_requests_of_either_kind_go_on() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::new(move |request, mut respond| {
        let told = told.clone();
        async move {
            let mut body = request.into_body();
            let bytes = read_all(&mut body).await.unwrap();
            told.send((bytes, body.trailers().await.unwrap())).unwrap();
            respond.send_response(Response::new(()), true).unwrap();
        }
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let behind = [("x-sum", "7"), ("authorization", "evil")];
    for (length, body, behind, passed) in [
        (None, &b"hello"[..], &behind[..], Some("7")),
        (None, b"", &behind[..1], Some("7")),
        (None, b"hello", &behind[1..], None),
        (Some("5"), b"hello", &behind[..], Some("7")),
    ] {
        let length: Vec<_> = length.map(|length| ("content-length", length)).into_iter().collect();
        let request = client.request(Method::POST, "/", &length);
        let (response, mut stream) = client.begin(request, false).await;
        send_all(&mut stream, body).await;
        // What is behind the body need not come with it.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stream.send_trailers(map_of(behind)).unwrap();
        assert_eq!(whole(response).await.unwrap().status, 200);
        let (got, trailers) = heard.recv().await.unwrap();
        assert_eq!(got, body);
        let passed = passed.map(|sum| map_of(&[("x-sum", sum)]));
        assert_eq!(trailers.filter(|trailers| !trailers.is_empty()), passed);
    }
    // In HTTP/2 they need no announcing.
    let post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
                X-Sum: 1\r\nHost: evil\r\n\r\n";
    assert_eq!(edge.raw(post).await.status, 200);
    let (got, trailers) = heard.recv().await.unwrap();
    assert_eq!((&got[..], trailers), (&b"abc"[..], Some(map_of(&[("x-sum", "1")]))));
}

#[tokio::test]
async fn trailers_of_answers_that_say_their_length_go_on() {
    let origin = Origin::new(|request, mut respond| async move {
        let length = request.uri().path().trim_start_matches('/').to_string();
        let head = Response::builder().header("content-length", length.clone()).body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        let body = vec![b'x'; length.parse().unwrap()];
        send_all(&mut stream, &body).await;
        // What is behind the body need not come with it.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stream.send_trailers(map_of(&[("x-sum", "7")])).unwrap();
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    for length in ["1", "5000", "200000"] {
        let got = client.get(&format!("/{length}")).await;
        assert_eq!(
            (got.field("content-length"), got.body.len().to_string()),
            (Some(length), length.into())
        );
        assert_eq!(got.trailers, map_of(&[("x-sum", "7")]), "{length}");
        // Who takes none does not wait for them either.
        let path = format!("GET /{length} HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(edge.raw(path).await.body.len().to_string(), length);
    }
}

#[tokio::test]
async fn both_sides_of_a_stream_talk_at_once() {
    let origin = Origin::echo(&[]).await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let request = client.request(Method::POST, "/pkg.Chat/Talk", &fields);
    let (response, mut stream) = client.begin(request, false).await;
    let (parts, mut body) = response.await.unwrap().into_parts();
    assert_eq!(parts.status, 200);
    for word in ["one", "two", "three"] {
        send_all(&mut stream, word.as_bytes()).await;
        let mut got = Vec::new();
        while got.len() < word.len() {
            let piece = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            got.extend_from_slice(&piece);
        }
        assert_eq!(got, word.as_bytes());
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(read_all(&mut body).await.unwrap(), b"");
}

#[tokio::test]
async fn how_a_call_went_is_passed_and_counted() {
    let origin = Origin::new(|request, mut respond| async move {
        let fields = [("content-type", "application/grpc"), ("grpc-status", "14")];
        let head = |fields: &[(&str, &str)]| {
            fields
                .iter()
                .fold(Response::builder(), |head, (name, value)| head.header(*name, *value))
                .body(())
                .unwrap()
        };
        // A call that fails at once has its status in its head, and no more.
        if request.uri().path() == "/only" {
            respond.send_response(head(&fields), true).unwrap();
            return;
        }
        let mut stream = respond.send_response(head(&fields[..1]), false).unwrap();
        stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
        let trailers = [("grpc-status", "0"), ("x-own-bin", "AAE=")];
        let trailers = trailers.map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        });
        stream.send_trailers(trailers.into_iter().collect()).unwrap();
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let got = client.post("/well", &fields, b"x").await;
    assert_eq!((got.status, &got.body[..]), (200, &b"abc"[..]));
    assert_eq!(
        (&got.trailers["grpc-status"], &got.trailers["x-own-bin"]),
        (&"0".parse().unwrap(), &"AAE=".parse().unwrap())
    );
    let request = client.request(Method::POST, "/only", &fields);
    let (response, mut stream) = client.begin(request, false).await;
    stream.send_data(Bytes::new(), true).unwrap();
    let (parts, body) = response.await.unwrap().into_parts();
    assert_eq!(parts.headers["grpc-status"], "14");
    assert!(body.is_end_stream(), "it is a call whose trailers are all that there is");
    until("the call counts as a failure", async || {
        let status = edge.admin("GET", "/v1/services/shop", "").await.1;
        status["pools"][0]["upstreams"][0]["errors"] == 1
    })
    .await;
}

#[tokio::test]
async fn what_an_upstream_breaks_off_is_broken_off_for_the_client_and_nobody_else() {
    let (seen, is_seen) = tokio::sync::watch::channel(false);
    let origin = Origin::new(move |request, mut respond| {
        let mut is_seen = is_seen.clone();
        async move {
            match request.uri().path() {
                "/refuse" => respond.send_reset(Reason::REFUSED_STREAM),
                "/break" => {
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
                    is_seen.wait_for(|seen| *seen).await.unwrap();
                    stream.send_reset(Reason::INTERNAL_ERROR);
                }
                _ => {
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    stream.send_data(Bytes::from_static(b"well"), true).unwrap();
                }
            }
        }
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    assert_eq!(client.get("/").await.body, b"well");
    let request = client.request(Method::GET, "/break", &[]);
    let (response, _) = client.begin(request, true).await;
    let (_, mut body) = response.await.unwrap().into_parts();
    assert_eq!(body.data().await.unwrap().unwrap(), "abc");
    seen.send(true).unwrap();
    let error = read_all(&mut body).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    let got = client.get("/refuse").await;
    assert_eq!(got.status, 502);
    assert_eq!(client.get("/").await.body, b"well");
}

#[tokio::test]
async fn what_an_upstream_may_have_done_is_not_asked_of_it_twice() {
    let refusals = Arc::new(AtomicUsize::new(2));
    let left = refusals.clone();
    let origin = Origin::new(move |request, mut respond| {
        let left = left.clone();
        async move {
            let is_refused = request.uri().path() == "/refuse"
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok();
            match request.uri().path() {
                "/break" => respond.send_reset(Reason::INTERNAL_ERROR),
                _ if is_refused => respond.send_reset(Reason::REFUSED_STREAM),
                _ => drop(respond.send_response(Response::new(()), true)),
            }
        }
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    assert_eq!(client.get("/").await.status, 200);
    let asked = || origin.heads.lock().unwrap().len();
    // It has begun with it, for all that anybody knows.
    assert_eq!(client.post("/break", &[], b"x").await.status, 502);
    assert_eq!(asked(), 2);
    // It says that it has not.
    assert_eq!(client.post("/refuse", &[], b"x").await.status, 200);
    assert_eq!(asked(), 5);
    assert_eq!(refusals.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn who_takes_two_at_once_gets_two_on_each_connection() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let how = How { streams: Some(2), ..How::default() };
    let origin = Origin::start(how, move |_, mut respond| {
        let gate = opened.clone();
        async move {
            let _passed = gate.acquire().await;
            let _ = respond.send_response(Response::new(()), true);
        }
    })
    .await;
    let edge = before(&origin).await;
    let client = Client::connect(edge.address).await;
    gate.add_permits(1);
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
    }
    until("the last one has given it back", async || gate.forget_permits(1) == 1).await;
    let mut all = Vec::new();
    for nth in 1..=12 {
        let client = client.clone();
        all.push(tokio::spawn(async move { client.get("/").await.status }));
        // One after the other: a new connection has said how many it may carry once it was asked.
        until("it is asked, and waits for nobody's end", async || {
            origin.heads.lock().unwrap().len() == 4 + nth
        })
        .await;
    }
    assert!(origin.connections.load(Ordering::Relaxed) >= 12 / 2);
    gate.add_permits(12);
    for one in all {
        assert_eq!(one.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn over_tls_it_is_agreed_in_the_handshake() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let shown = authority.issue(&["shop.test"]);
    let builder = ServerConfig::builder_with_provider(crypto::provider());
    let builder = builder.with_protocol_versions(crypto::FROM_1_2).unwrap();
    let mut config =
        builder.with_no_client_auth().with_single_cert(shown.chain(), shown.der_key()).unwrap();
    // What offers nothing of it gets no handshake.
    config.alpn_protocols = vec![b"h2".to_vec()];
    let how = How { tls: Some(Arc::new(config).into()), ..How::default() };
    let origin = Origin::start(how, |_, mut respond| async move {
        let _ = respond.send_response(Response::new(()), true);
    })
    .await;
    let (address, ca) = (origin.address, files.authority("ours.pem", &authority));
    let edge = edge(&format!(
        "[services.shop.health]\nhttp = {{ path = \"/well\" }}\n[services.shop.pools.only]\nhttp2 = true\nupstreams = [\"{address}\"]\n\
         tls = {{ ca = {ca}, server_name = \"shop.test\" }}\n"
    ))
    .await;
    for _ in 0..3 {
        assert_eq!(edge.get(&[]).await.status, 200);
    }
    let is_probed = |head: &Request<()>| head.uri().path() == "/well";
    until("it is probed", async || origin.heads.lock().unwrap().iter().any(is_probed)).await;
    let heads = origin.heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.uri().scheme_str() == Some("https")), "{heads:?}");
}
