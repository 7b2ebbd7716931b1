//! Requests by TLS: what goes on, both ways, and how connections end.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::certificates::{Authority, Files};
use super::{Shop, Talk};
use crate::harness::edge::shop;
use crate::harness::{Edge, Origin, Reply, client};

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other_and_several_at_once() {
    let shop = Shop::start().await;
    let mut talk = shop.connect("shop.test").await;
    for _ in 0..3 {
        let answer = talk.get("shop.test", &["x-forwarded-proto: http"]).await;
        assert_eq!((answer.status, &*answer.body), (200, "0 bytes"));
    }
    talk.send("GET /echo HTTP/1.1\r\nhost: shop.test\r\n\r\n".repeat(5)).await;
    for _ in 0..5 {
        assert_eq!(talk.response().await.unwrap().body.len(), 1024);
    }
    // One byte a record.
    for byte in b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n" {
        talk.send([*byte]).await;
    }
    assert_eq!(talk.response().await.unwrap().status, 200);
    for request in shop.origin.received() {
        assert_eq!(request.fields("x-forwarded-proto"), ["https"]);
        assert_eq!(request.fields("x-forwarded-for"), ["127.0.0.1"]);
    }
    assert_eq!((shop.origin.asked(), shop.handshakes("full").await), (9, 1));
}

/// More than all buffers on the way hold together.
const LARGE: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn large_bodies_pass_both_ways_to_whoever_reads_late() {
    let origin = Origin::with(|request| match request.body.len() {
        0 => Reply::ok(&"y".repeat(LARGE)),
        length => Reply::ok(&format!("{length} bytes")),
    });
    let shop = Shop::before(origin.await, |files, authority| {
        format!("certificates = [{{ {} }}]", files.issue("shop", authority, &["shop.test"]))
    })
    .await;
    let mut talk = shop.connect("shop.test").await;
    let head = format!("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: {LARGE}\r\n\r\n");
    talk.send(head).await;
    talk.send("x".repeat(LARGE)).await;
    assert_eq!(talk.response().await.unwrap().body, format!("{LARGE} bytes"));
    talk.send("POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..64 {
        talk.send(format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024))).await;
    }
    talk.send("0\r\n\r\n").await;
    assert_eq!(talk.response().await.unwrap().status, 200);
    // It is asked for, and not read before all that was asked before has come.
    talk.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n".repeat(2)).await;
    for _ in 0..2 {
        let answer = talk.response().await.unwrap();
        assert!(answer.body.len() == LARGE && answer.body.bytes().all(|byte| byte == b'y'));
    }
}

#[tokio::test]
async fn the_end_of_an_answer_is_said_and_a_cut_one_is_not_taken_for_whole() {
    let origin = Origin::with(|request| {
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf".to_vec();
        match request.head.starts_with("GET /cut") {
            true => Reply::BytesThenReset(head),
            false => Reply::BytesThenClose(head),
        }
    });
    let shop = Shop::before(origin.await, |files, authority| {
        format!("certificates = [{{ {} }}]", files.issue("shop", authority, &["shop.test"]))
    })
    .await;
    // To a client of old the end of the connection is the end of the answer.
    let ask = async |path: &str| {
        let mut talk = shop.connect("shop.test").await;
        talk.send(format!("GET {path} HTTP/1.0\r\nhost: shop.test\r\n\r\n")).await;
        let mut all = Vec::new();
        let read = talk.stream.read_to_end(&mut all).await;
        (read.map_err(|error| error.kind()), String::from_utf8(all).unwrap())
    };
    let (read, all) = ask("/whole").await;
    assert!(read.is_ok() && all.ends_with("\r\n\r\nhalf"), "{read:?} {all}");
    let (read, all) = ask("/cut").await;
    let is_cut = matches!(read, Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset));
    assert!(is_cut, "{read:?} {all}");
}

#[tokio::test]
async fn who_leaves_without_a_word_leaves_nothing_behind() {
    let shop = Shop::start().await;
    for _ in 0..3 {
        let mut talk = shop.connect("shop.test").await;
        assert_eq!(talk.get("shop.test", &[]).await.status, 200);
        let (tcp, _) = talk.stream.into_inner();
        drop(tcp);
    }
    let mut talk = shop.connect("shop.test").await;
    assert_eq!(talk.get("shop.test", &["connection: close"]).await.status, 200);
    let mut rest = Vec::new();
    // With a word of its end, or this fails.
    talk.stream.read_to_end(&mut rest).await.unwrap();
    talk.stream.shutdown().await.unwrap();
    let open = async || {
        let metrics = client::get(shop.edge.admin, "localhost", "/metrics", &[]).await.body;
        let listener = shop.edge.address;
        metrics.contains(&format!("pointsman_connections_open{{listener=\"{listener}\"}} 0"))
    };
    crate::harness::until("all are closed", open).await;
}

#[tokio::test]
async fn browsers_are_told_of_https_and_led_to_it() {
    let shop_tls = Shop::with(|files, authority| {
        let shop = files.issue("shop", authority, &["shop.test"]);
        format!("certificates = [{{ {shop} }}]\nhsts = {{ include_subdomains = true }}")
    })
    .await;
    let mut talk = shop_tls.connect("shop.test").await;
    let told = ["max-age=31536000; includeSubDomains"];
    let answer = talk.get("shop.test", &[]).await;
    assert_eq!(answer.fields("strict-transport-security"), told);
    talk.send("GET /../x HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    let refused = talk.response().await.unwrap();
    assert_eq!((refused.status, refused.fields("strict-transport-security")), (400, told.to_vec()));

    let origin = Origin::named("plain").await;
    let text = format!(
        "[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n[[listeners]]\n\
         address = \"127.0.0.1:0\"\nredirect_to_https = true\nhttps_port = 8443\n\
         [admin]\naddress = \"127.0.0.1:0\"\n{}",
        shop(&[("blue", &origin)], "")
    );
    let edge = Edge::start_file(&text, false).await;
    let led = async |request: &str, fields: &str| {
        let answer =
            edge.raw(format!("{request} HTTP/1.1\r\nhost: shop.test\r\n{fields}\r\n")).await;
        let place = answer.fields("location").first().map(ToString::to_string);
        assert_eq!(answer.fields("strict-transport-security"), Vec::<&str>::new());
        (answer.status, place.unwrap_or_default())
    };
    let place = "https://shop.test:8443/a?b=c".to_string();
    assert_eq!(led("GET /a?b=c", "").await, (301, place.clone()));
    assert_eq!(led("POST /a?b=c", "content-length: 0\r\n").await, (308, place));
    assert_eq!(led("GET /.well-known/acme-challenge/x", "").await, (200, String::new()));
    assert_eq!(led("GET /", "x-forwarded-proto: https\r\n").await, (200, String::new()));
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn what_is_spoken_inside_is_what_both_have_agreed_on() {
    let shop = Shop::with(|files, authority| {
        let shop = files.issue("shop", authority, &["shop.test"]);
        format!("certificates = [{{ {shop} }}]\nhsts = {{}}")
    })
    .await;
    let by = async |spoken: &[&[u8]]| {
        let mut clients = shop.authority.clients();
        clients.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
        super::Talk::make(shop.edge.address, "shop.test", clients).await.unwrap()
    };
    let agreed = |talk: &super::Talk| talk.stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let mut old = by(&[b"http/1.1"]).await;
    assert_eq!(agreed(&old), Some(b"http/1.1".to_vec()));
    assert_eq!(old.get("shop.test", &[]).await.status, 200);
    // Its rules are those of its version, whatever was agreed on.
    let mut oldest = by(&[b"http/1.0"]).await;
    assert_eq!(agreed(&oldest), Some(b"http/1.0".to_vec()));
    assert_eq!(oldest.get("shop.test", &[]).await.status, 200);
    let both = by(&[b"http/1.0", b"http/1.1"]).await;
    assert_eq!(agreed(&both), Some(b"http/1.1".to_vec()));
    // What was agreed on holds.
    old.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(old.response().await.unwrap().status, 400);
    let new = by(&[b"http/1.1", b"h2"]).await;
    assert_eq!(agreed(&new), Some(b"h2".to_vec()), "the newest that both speak");
    let (mut send, connection) = h2::client::handshake(new.stream).await.unwrap();
    tokio::spawn(connection);
    let asked = |path: &str| {
        let request = http::Request::get(format!("https://shop.test{path}"));
        request.body(()).unwrap()
    };
    for path in ["/", "/echo"] {
        let (answer, _) = send.send_request(asked(path), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    }
    let received = shop.origin.received();
    let told = received.iter().flat_map(|request| request.fields("x-forwarded-proto"));
    assert_eq!(told.collect::<Vec<_>>(), ["https"; 4]);
}

#[tokio::test]
async fn a_route_takes_what_browsers_are_told_of_https_out_of_answers_of_ours_too() {
    let (files, authority) = (Files::new(), Authority::new("ours"));
    let issued = files.issue("shop", &authority, &["shop.test"]);
    let origin = Origin::named("a").await;
    let tls = format!("certificates = [{{ {issued} }}]\nhsts = {{}}");
    let removes = "response = { remove = [\"strict-transport-security\"] }";
    let routes = format!(
        "[[routes]]\nservice = \"shop\"\n[[routes]]\npath = \"/told\"\nanswer = {{ body = \"b\" }}\n\
         [[routes]]\npath = \"/own\"\nanswer = {{ body = \"c\" }}\n{removes}\n\
         [[routes]]\npath = \"/led\"\nredirect = {{ to = \"/x\" }}\n{removes}\n\
         [[routes]]\npath = \"/behind\"\nservice = \"shop\"\n{removes}\n"
    );
    let edge = Edge::start_file(&format!("{}{routes}", super::config(&tls, &origin)), true).await;
    let mut talk = Talk::make(edge.address, "shop.test", authority.clients()).await.unwrap();
    for (path, status, is_told) in [
        ("/", 200, true),
        ("/told", 200, true),
        ("/own", 200, false),
        ("/led", 308, false),
        ("/behind", 200, false),
    ] {
        talk.send(format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\n\r\n")).await;
        let answer = talk.response().await.unwrap();
        let told = answer.fields("strict-transport-security");
        assert_eq!((answer.status, !told.is_empty()), (status, is_told), "{path}");
    }
}
