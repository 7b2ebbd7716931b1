//! What is open over TLS and HTTP/2 while another process takes the place of the running one.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use crate::harness::running::file;
use crate::harness::{Installed, Origin, Reply, client};
use crate::http2::peer::{self, read_all, send_all};
use crate::tls::Talk;
use crate::tls::certificates::{Authority, Files};

/// So long that what ends does so for its reason.
const LONG: &str = "drain = \"10m\"\ndrain_idle = \"10m\"\n";

/// The next bytes of an answer, as many as were said.
async fn hear(body: &mut h2::RecvStream, word: &str) {
    let mut got = Vec::new();
    while got.len() < word.len() {
        let piece = body.data().await.expect("the stream goes on").unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        got.extend_from_slice(&piece);
    }
    assert_eq!(got, word.as_bytes());
}

#[tokio::test]
async fn sessions_calls_and_sockets_over_tls_outlast_an_upgrade() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let shop = Origin::with(move |request| match request.head.starts_with("GET /socket") {
        true => Reply::Echo(switch.into()),
        false => Reply::ok("fine"),
    })
    .await;
    let calls = peer::Origin::echo(&[("grpc-status", "0")]).await;
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let shown = files.issue("shop", &ours, &["shop.test"]);
    let services = format!(
        "[[routes]]\npath_prefix = \"/pkg.Chat\"\nservice = \"calls\"\n\
         [[routes]]\nservice = \"shop\"\n\
         [services.calls.pools.only]\nhttp2 = true\nupstreams = [\"{}\"]\n\
         [services.shop.pools.only]\nupstreams = [\"{}\"]\n",
        calls.address, shop.address
    );
    let (text, listen, admin) = file(LONG, &services);
    let address = format!("address = \"{listen}\"\n");
    let tls = format!("{address}tls.certificates = [{{ {shown}, default = true }}]\n");
    let mut installed = Installed::start(&text.replacen(&address, &tls, 1), admin).await;

    let remembers = Arc::new(ours.clients());
    let is_resumed = async || {
        let mut talk = Talk::by(listen, "shop.test", &remembers).await.unwrap();
        assert_eq!(talk.get("shop.test", &["connection: close"]).await.body, "fine");
        talk.is_resumed()
    };
    assert!(!is_resumed().await);
    assert!(is_resumed().await);

    let mut config = ours.clients();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let talk = Talk::make(listen, "shop.test", config).await.unwrap();
    let caller = peer::Client::over(talk.stream).await;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let request = caller.request(Method::POST, "/pkg.Chat/Talk", &fields);
    let (response, mut stream) = caller.begin(request, false).await;
    let mut body = response.await.unwrap().into_body();
    send_all(&mut stream, b"before").await;
    hear(&mut body, "before").await;

    let mut socket = Talk::make(listen, "shop.test", ours.clients()).await.unwrap();
    let ask = "GET /socket HTTP/1.1\r\nhost: shop.test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
               sec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n";
    socket.send(ask).await;
    assert_eq!(socket.response().await.unwrap().status, 101);
    socket.send("before").await;
    assert_eq!(socket.bytes(6).await, b"before");

    let first = installed.last();
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    assert_ne!(installed.last(), first);

    assert!(is_resumed().await, "the next process has the keys of tickets");
    send_all(&mut stream, b"and behind").await;
    hear(&mut body, "and behind").await;
    socket.send("and behind").await;
    assert_eq!(socket.bytes(10).await, b"and behind");
    // New ones go to the new process, old ones end as they like.
    assert_eq!(calls.heads.lock().unwrap().len(), 1);
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(read_all(&mut body).await.unwrap(), b"");
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    drop((caller, stream, body, socket));
    assert!(installed.first.wait().await.unwrap().success(), "nothing was left to it");
    assert!(is_resumed().await);
}

#[tokio::test]
async fn what_clients_have_used_up_of_a_rate_limit_stays_used_up() {
    let origin = Origin::named("fine").await;
    let limit = "rate_limit = { requests = 2, per = \"24h\" }";
    let services = format!(
        "[services.shop]\n{limit}\n[services.shop.pools.only]\nupstreams = [\"{}\"]\n",
        origin.address
    );
    let (text, listen, admin) = file("trusted_proxies = [\"127.0.0.0/8\"]", &services);
    let mut installed = Installed::start(&text, admin).await;
    let ask = async |client: &str| {
        let field = format!("x-forwarded-for: {client}");
        client::get(listen, "shop.test", "/", &[&field]).await.status
    };
    let (greedy, modest) = ("192.0.2.1", "192.0.2.2");
    assert_eq!([ask(greedy).await, ask(greedy).await, ask(modest).await], [200, 200, 200]);
    let (status, said) = installed.upgrade().await;
    assert_eq!(status, 200, "{said}");
    // For a moment the process before lets in who comes, too.
    assert!(installed.first.wait().await.unwrap().success());
    assert_eq!([ask(greedy).await, ask(modest).await, ask(modest).await], [429, 200, 429]);
}
