//! Pools whose connections begin with a header of the PROXY protocol.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::harness::client::Client;
use crate::harness::edge::HEAD;
use crate::harness::{Edge, Origin, Reply, until};
use crate::http2::peer;
use crate::tls::certificates::{Authority, Files};
use crate::tls::upstreams::Secure;

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Stands before an origin: takes the header off each connection and remembers it.
struct Porter {
    address: SocketAddr,
    headers: Arc<Mutex<Vec<Vec<u8>>>>,
    open: Arc<AtomicUsize>,
}

impl Porter {
    async fn before(origin: SocketAddr) -> Porter {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let headers: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let open: Arc<AtomicUsize> = Arc::default();
        let (log, count) = (headers.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let (log, count) = (log.clone(), count.clone());
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    if let Some(header) = header(&mut from).await {
                        log.lock().unwrap().push(header);
                        let mut to = TcpStream::connect(origin).await.unwrap();
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Porter { address, headers, open }
    }

    fn headers(&self) -> Vec<Vec<u8>> {
        self.headers.lock().unwrap().clone()
    }

    /// The headers as text, of version 1.
    fn lines(&self) -> Vec<String> {
        self.headers().into_iter().map(|header| String::from_utf8(header).unwrap()).collect()
    }

    /// The sources in headers of version 2.
    fn sources(&self) -> Vec<SocketAddr> {
        let source = |header: &Vec<u8>| {
            assert_eq!(header[..16], [SIGNATURE, &[0x21, 0x11, 0, 12]].concat(), "{header:?}");
            let address: [u8; 4] = header[16..20].try_into().unwrap();
            (address, u16::from_be_bytes([header[24], header[25]])).into()
        };
        self.headers().iter().map(source).collect()
    }

    async fn until_closed(&self) {
        until("nothing is kept", async || self.open.load(Ordering::Relaxed) == 0).await;
    }
}

/// What a connection begins with, to its last byte and no farther.
async fn header(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = vec![from.read_u8().await.ok()?];
    if header[0] == SIGNATURE[0] {
        header.resize(16, 0);
        from.read_exact(&mut header[1..]).await.ok()?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        header.resize(16 + length, 0);
        from.read_exact(&mut header[16..]).await.ok()?;
    } else {
        while !header.ends_with(b"\r\n") {
            header.push(from.read_u8().await.ok()?);
        }
    }
    Some(header)
}

/// An edge before this pool, with these lines of its own.
async fn edge(porter: &Porter, pool: &str, service: &str) -> Edge {
    edge_of(HEAD, porter, pool, service).await
}

async fn edge_of(head: &str, porter: &Porter, pool: &str, service: &str) -> Edge {
    let address = porter.address;
    let pool = format!("[services.shop.pools.only]\nupstreams = [\"{address}\"]\n{pool}\n");
    Edge::start_file(&format!("{head}[services.shop]\n{service}\n{pool}"), false).await
}

/// The client's connection that is made from here, and its own address.
async fn client(edge: &Edge) -> (Client, SocketAddr) {
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let own = stream.local_addr().unwrap();
    (Client::of(stream), own)
}

#[tokio::test]
async fn each_connection_says_one_client_and_is_no_others() {
    let origin = Origin::named("a").await;
    let porter = Porter::before(origin.address).await;
    let edge = edge(&porter, "proxy_protocol = \"v1\"", "").await;
    let (mut one, own_of_one) = client(&edge).await;
    let (mut other, own_of_other) = client(&edge).await;
    for _ in 0..3 {
        for client in [&mut one, &mut other] {
            client.send(GET).await;
            assert_eq!(client.response().await.status, 200);
        }
    }
    let line = |own: SocketAddr| {
        let ours = edge.address;
        format!("PROXY TCP4 {} {} {} {}\r\n", own.ip(), ours.ip(), own.port(), ours.port())
    };
    assert_eq!(porter.lines(), [line(own_of_one), line(own_of_other)], "and kept for the next");
    assert_eq!(origin.asked(), 6);
    drop((one, other));
    porter.until_closed().await;
}

#[tokio::test]
async fn whom_a_proxy_of_ours_speaks_for_is_said_and_who_has_no_address_is_not() {
    let origin = Origin::named("a").await;
    let porter = Porter::before(origin.address).await;
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("edge.sock");
    let head =
        HEAD.replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").replace(
            "[admin]\n",
            &format!("[[listeners]]\naddress = \"unix:{}\"\n[admin]\n", socket.display()),
        );
    let edge = edge_of(&head, &porter, "proxy_protocol = \"v2\"", "").await;
    let (mut proxy, own) = client(&edge).await;
    // One connection of a proxy has many clients.
    for client in ["198.51.100.7", "203.0.113.7", "198.51.100.7"] {
        let field = format!("\r\nx-forwarded-for: {client}\r\n\r\n");
        proxy.send(GET.replace("\r\n\r\n", &field)).await;
        assert_eq!(proxy.response().await.status, 200);
    }
    proxy.send(GET).await;
    assert_eq!(proxy.response().await.status, 200);
    let nowhere = |client: &str| format!("{client}:0").parse().unwrap();
    assert_eq!(porter.sources(), [nowhere("198.51.100.7"), nowhere("203.0.113.7"), own]);
    let mut unix = UnixStream::connect(&socket).await.unwrap();
    unix.write_all(GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    unix.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let local = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
    assert_eq!(porter.headers().pop(), Some(local), "it speaks for nobody");
}

#[tokio::test]
async fn probes_and_connect_checks_speak_for_nobody() {
    for (version, header) in
        [("v1", b"PROXY UNKNOWN\r\n".to_vec()), ("v2", [SIGNATURE, &[0x20, 0, 0, 0]].concat())]
    {
        for probe in ["http = { path = \"/healthz\" }", "tcp = true"] {
            let origin = Origin::named("a").await;
            let porter = Porter::before(origin.address).await;
            let pool = format!("proxy_protocol = \"{version}\"");
            let health = format!("health = {{ {probe}, interval = \"50ms\" }}");
            let edge = edge(&porter, &pool, &health).await;
            until("it is probed", async || porter.headers().len() > 2).await;
            assert!(porter.headers().iter().all(|said| *said == header), "{:?}", porter.headers());
            if probe.contains("http") {
                let is_probe = |head: &str| head.starts_with("GET /healthz HTTP/1.1");
                until("it is asked", async || origin.asked() > 2).await;
                assert!(origin.received().iter().all(|got| is_probe(&got.head)));
            }
            drop(edge);
        }
    }
}

#[tokio::test]
async fn the_header_goes_before_tls() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let secure = Secure::start(&ours.issue(&["shop.test"]), None).await;
    let porter = Porter::before(secure.address).await;
    let ca = files.authority("ours.pem", &ours);
    let tls = format!("{{ ca = {ca}, server_name = \"shop.test\" }}");
    let pool = format!("proxy_protocol = \"v2\"\ntls = {tls}");
    let edge = edge(&porter, &pool, "").await;
    let mut own = Vec::new();
    for _ in 0..2 {
        let (mut client, address) = client(&edge).await;
        for _ in 0..2 {
            client.send(GET).await;
            assert_eq!(client.response().await.body.len(), 64 * 1024);
        }
        own.push(address);
    }
    assert_eq!(porter.sources(), own);
    porter.until_closed().await;
}

#[tokio::test]
async fn in_http2_too_a_connection_is_one_clients() {
    let origin = peer::Origin::echo(&[]).await;
    let porter = Porter::before(origin.address).await;
    let head = HEAD.replace(":0\"\n[admin]", ":0\"\nspeaks = [\"http1\", \"h2\"]\n[admin]");
    let edge = edge_of(&head, &porter, "http2 = true\nproxy_protocol = \"v2\"", "").await;
    let (one, other) = (edge.address, edge.address);
    let (one, other) = (peer::Client::connect(one).await, peer::Client::connect(other).await);
    for _ in 0..3 {
        for client in [&one, &other] {
            let got = client.post("/", &[], b"hello").await;
            assert_eq!((got.status, &got.body[..]), (200, &b"hello"[..]));
        }
    }
    let sources = porter.sources();
    let distinct: std::collections::HashSet<_> = sources.iter().collect();
    assert_eq!(distinct.len(), 2, "{sources:?}");
    drop((one, other));
    porter.until_closed().await;
}

#[tokio::test]
async fn a_tunnel_is_introduced_too() {
    let head =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let origin = Origin::always(Reply::Echo(head.into())).await;
    let porter = Porter::before(origin.address).await;
    let edge = edge(&porter, "proxy_protocol = \"v2\"", "").await;
    let (mut client, own) = client(&edge).await;
    let asks = "\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(GET.replace("\r\n\r\n", asks)).await;
    assert_eq!(client.response().await.status, 101);
    client.send("hello").await;
    assert_eq!(client.bytes(5).await, b"hello");
    assert_eq!(porter.sources(), [own]);
}
