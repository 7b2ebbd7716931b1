//! The empty last piece of an HTTP/2 body must not end an upstream's chunks twice: pingora 0.9.1
//! does (#935), and what follows is read as the head of somebody else's request.
//!
//! There is no listener for HTTP/2 yet, so the lane is handed a session as pingora would make it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
use pingora::protocols::{Digest, GetProxyDigest, GetSocketDigest, Stream};
use pointsman::config::ClientLimits;
use pointsman::http::forwarded::Peer;
use pointsman::record::Rings;
use pointsman::wire::client_stream::{ClientStream, Socket};
use pointsman::wire::connection::Connection;
use pointsman::wire::pingora_lane::{Means, pingora_lane};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{Edge, Origin, Reply};

/// Serves one HTTP/2 connection with the lane, before the edge's snapshots.
async fn serve_http2(edge: &Edge) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let clock = pointsman::server::clock::system();
    let (mirrors, _) = pointsman::wire::mirror::channel();
    let (published, last) = (edge.server.published().clone(), Arc::new(Rings::new(0, 1)));
    let means = Means { workers: 1, clients: 1, kept: 1 };
    let proxy = Arc::new(pingora_lane(published, last, clock, means, mirrors));
    let peer = Peer::new([127, 0, 0, 1].into(), "http", Instant::now());
    let connection = Connection::new(peer, ClientLimits::default(), clock, Arc::default());
    let stream = ClientStream::new(Socket::Tcp(server), Arc::new(connection));
    let digest = Arc::new(Digest {
        ssl_digest: None,
        timing_digest: Vec::new(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    tokio::spawn(async move {
        let stream: Stream = Box::new(stream);
        let mut connection = handshake(stream, None).await.unwrap();
        let stopping = watch::Sender::new(false);
        while let Ok(Some(accepted)) =
            HttpSession::from_h2_conn(&mut connection, digest.clone()).await
        {
            let H2Accept::Session(session) = accepted else { continue };
            let (proxy, stopping) = (proxy.clone(), stopping.subscribe());
            tokio::spawn(async move {
                proxy.process_new_http(ServerSession::new_http2(session), &stopping).await;
            });
        }
    });
    client
}

#[tokio::test]
async fn an_empty_last_piece_ends_the_chunks_once() {
    let origin = Origin::with(|request| Reply::ok(&request.body.escape_ascii().to_string())).await;
    let edge = Edge::before(&[("only", &origin)], "").await;
    let stream = serve_http2(&edge).await;
    let (mut sender, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    for _ in 0..2 {
        let request = http::Request::post("http://shop.test/").body(()).unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        body.send_data(Bytes::new(), true).unwrap();
        let mut response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let answer = response.body_mut().data().await.unwrap().unwrap();
        assert_eq!(answer, "5\\r\\nhello\\r\\n0\\r\\n\\r\\n");
    }
    // A second end would lie in front of the next request's head, or be left over.
    let heads: Vec<_> = origin.received().into_iter().map(|request| request.head).collect();
    assert!(heads.len() == 2 && heads.iter().all(|head| head.starts_with("POST ")), "{heads:?}");
}
