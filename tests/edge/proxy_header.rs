//! Listeners whose connections begin with a header of the PROXY protocol.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::edge::{HEAD, shop};
use crate::harness::{Edge, Origin, until};
use crate::tls::certificates::{Authority, Files};

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";

async fn edge(trusted: &str, origin: &Origin) -> Edge {
    let head = HEAD.replace(
        "address = \"127.0.0.1:0\"\n[admin]",
        "address = \"127.0.0.1:0\"\nproxy_protocol = true\n[admin]",
    );
    let head = head.replace("[server]\n", &format!("[server]\ntrusted_proxies = [{trusted}]\n"));
    Edge::start_file(&format!("{head}{}", shop(&[("only", origin)], "")), false).await
}

#[tokio::test]
async fn who_a_proxy_of_ours_speaks_for_is_the_client() {
    let origin = Origin::named("a").await;
    let edge = edge("\"127.0.0.0/8\"", &origin).await;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x7f\0\0\x01\0\x05\0\x50".to_vec();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (header, client) in [
        (b"PROXY TCP4 198.51.100.7 127.0.0.1 5 80\r\n".to_vec(), "198.51.100.7"),
        (v2, "203.0.113.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (local, "127.0.0.1"),
    ] {
        let mut connection = edge.client().await;
        connection.send(&header).await;
        // It is said once a connection.
        for _ in 0..2 {
            connection.send(GET.replace("\r\n\r\n", "\r\nx-forwarded-for: 1.2.3.4\r\n\r\n")).await;
            assert_eq!(connection.response().await.status, 200);
            let got = origin.received().pop().unwrap();
            let said = got.fields("x-forwarded-for").join(", ");
            let wanted = match client {
                // Of itself the proxy may say what it likes.
                "127.0.0.1" => "1.2.3.4, 127.0.0.1".to_string(),
                client => client.to_string(),
            };
            assert_eq!(said, wanted, "{}", got.head);
        }
    }
}

#[tokio::test]
async fn nobody_else_is_believed_and_nothing_else_is_served() {
    let origin = Origin::named("a").await;
    let header = "PROXY TCP4 198.51.100.7 127.0.0.1 5 80\r\n";
    for (trusted, bytes) in
        [("\"192.0.2.0/24\"", format!("{header}{GET}")), ("\"127.0.0.0/8\"", GET.to_string())]
    {
        let edge = edge(trusted, &origin).await;
        let mut connection = edge.client().await;
        connection.send(&bytes).await;
        assert_eq!(connection.rest().await, b"", "{bytes}");
        until("it is counted", async || {
            let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
            metrics.contains("pointsman_connections_limited_total{reason=\"proxy_header\"} 1")
        })
        .await;
    }
    assert_eq!(origin.asked(), 0);
}

#[tokio::test]
async fn connections_are_counted_by_whom_a_proxy_speaks_for() {
    let origin = Origin::named("a").await;
    let server =
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\nclient.connections_per_client = 2\n";
    let head = HEAD
        .replace(":0\"\n[admin]", ":0\"\nproxy_protocol = true\n[admin]")
        .replace("[server]\n", server);
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    let connect = async |from: &str| {
        let mut connection = edge.client().await;
        connection.send(format!("{from}\r\n{GET}")).await;
        let answer = connection.next_response(false).await.map(|answer| answer.status);
        (connection, answer)
    };
    let (one, other) =
        ("PROXY TCP4 198.51.100.7 127.0.0.1 5 80", "PROXY TCP4 203.0.113.7 127.0.0.1 5 80");
    let (first, answer) = connect(one).await;
    assert_eq!(answer, Some(200));
    let (_second, answer) = connect(one).await;
    assert_eq!(answer, Some(200));
    assert_eq!(connect(one).await.1, None, "it has two");
    let mut held = Vec::new();
    for from in [other, other, "PROXY UNKNOWN", "PROXY UNKNOWN", "PROXY UNKNOWN"] {
        let (connection, answer) = connect(from).await;
        assert_eq!(
            answer,
            Some(200),
            "others have theirs, and the proxy itself as many as it likes"
        );
        held.push(connection);
    }
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(
        metrics.contains("pointsman_connections_limited_total{reason=\"per_client\"} 1\n"),
        "{metrics}"
    );
    drop(first);
    until("its place is free", async || connect(one).await.1 == Some(200)).await;
}

#[tokio::test]
async fn the_header_goes_before_tls() {
    let origin = Origin::named("a").await;
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let shown = files.issue("shop", &ours, &["shop.test"]);
    let tls = format!(
        "address = \"127.0.0.1:0\"\nproxy_protocol = true\n\
         tls.certificates = [{{ {shown}, default = true }}]\n[admin]"
    );
    let head = HEAD
        .replace("address = \"127.0.0.1:0\"\n[admin]", &tls)
        .replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    let edge = Edge::start_file(&format!("{head}{}", shop(&[("only", &origin)], "")), false).await;
    let connector = TlsConnector::from(Arc::new(ours.clients()));
    let shake = async |header: &[u8]| {
        let mut tcp = TcpStream::connect(edge.address).await.unwrap();
        tcp.write_all(header).await.unwrap();
        connector.connect("shop.test".try_into().unwrap(), tcp).await
    };
    let mut tls = shake(b"PROXY TCP4 198.51.100.7 127.0.0.1 5 443\r\n").await.unwrap();
    let get = GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    tls.write_all(get.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let got = origin.only();
    assert_eq!(got.fields("x-forwarded-for"), ["198.51.100.7"]);
    assert_eq!(got.fields("x-forwarded-proto"), ["https"]);
    assert!(shake(b"").await.is_err(), "nothing else begins a connection");
    // Nor does it come behind the handshake, where it is no request.
    let mut tls = shake(b"PROXY UNKNOWN\r\n").await.unwrap();
    tls.write_all(b"PROXY TCP4 198.51.100.7 127.0.0.1 5 443\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(origin.asked(), 1);
}
